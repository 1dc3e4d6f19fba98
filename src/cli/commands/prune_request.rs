//! `prune-request`: asks that an item's bytes be destroyed, or takes the asking back.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use git_archive_tomb::evidence::record::Action;
use git_archive_tomb::governance::Obstacle;
use git_archive_tomb::governance::ledger::Request;
use git_archive_tomb::governance::record::{RequestKey, Subject, prune_request, withdrawal};
use git_archive_tomb::governance::rules::open_request;
use git_archive_tomb::id::Tombstone;
use git_archive_tomb::operation::Outcome;
use git_archive_tomb::quote::quote;

use super::store::prepare;
use crate::cli::acting::{ActingArguments, refuse_purged, text};
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::session::Session;

/// Ask that an item's bytes be destroyed
///
/// Destroys nothing: it opens the way to a purge, which takes two persons' approvals. The request is bound to the item, its
/// bytes and the other items that have the same; what becomes of them is said here already.
#[derive(Debug, Args)]
pub(crate) struct PruneRequestArguments {
    /// A tombstone, at least 8 characters of one, or the path of a stub
    target: OsString,
    #[command(flatten)]
    acting: ActingArguments,
    /// Why the bytes should go, or no longer need to
    #[arg(long, value_name = "TEXT", required_unless_present = "withdraw")]
    reason: Option<String>,
    /// Take the item's open request back
    #[arg(long)]
    withdraw: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &PruneRequestArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    prepare(session)?;
    let reason = arguments.reason.as_deref().map(|reason| text("--reason", reason)).transpose()?;
    let mut facts = session.begin_act(&arguments.acting.actor)?;
    let action = if arguments.withdraw { Action::RequestWithdrawn } else { Action::PruneRequest };
    let mut archive = session.archive_to_change(&facts, action)?;
    let id = archive.id().to_owned();
    let matter = session.matter_in(&mut *archive, &arguments.target)?;
    let verdicts = session.verdicts()?;
    let judge = session.judge(&verdicts, Some(&id))?;
    let open = open_request(&judge, &matter.ledger, &matter.subject.tombstone)?;
    let mut records = if arguments.withdraw {
        let request = open.map_err(|obstacle| nothing_open(&obstacle, &matter.subject.tombstone))?;
        vec![withdrawal(&facts, &request.key, &matter.subject, reason.as_deref())]
    } else {
        if let Ok(request) = open {
            return Err(is_open(request, &matter.subject.tombstone));
        }
        refuse_purged(&matter, &mut *archive)?;
        let others: Vec<Subject> = matter.others().map(|stored| Subject::from(&stored.item)).collect();
        let items = others.iter().map(|other| other.tombstone).chain([matter.subject.tombstone]);
        let key = RequestKey::generate(&id, items);
        prune_request(&facts, &key, &matter.subject, &others, reason.as_deref().unwrap_or_default())
    };
    session.sign_act(&arguments.acting, &mut facts, &mut records)?;
    let outcome = session.carry_out_act(facts, records, Some(&mut *archive))?;
    session.print_act(&outcome, if arguments.withdraw { "withdrawn" } else { "requested" })?;
    say(arguments.withdraw, &outcome, session)
}

/// Says what this means, and what comes next.
fn say(withdrawn: bool, outcome: &Outcome, session: &Session<'_>) -> Result<Exit, CommandError> {
    let Some((first, others)) = outcome.records.split_first() else { return Ok(Exit::Done) };
    let (request, tombstone) = (first.request.as_deref().unwrap_or_default(), first.tombstone);
    if withdrawn {
        session.output.say(format_args!("request {request} is withdrawn; commit its evidence with `git commit`"));
        return Ok(Exit::Done);
    }
    if !others.is_empty() {
        let items = counted(others.len(), "other item");
        session.output.warn(format_args!("{items} with the same bytes would lose them too"));
    }
    let lasts = lasts(session.config()?.governance.request_ttl);
    session.output.say(format_args!("request {request} stands for {lasts}; commit its evidence with `git commit`"));
    if let Some(tombstone) = tombstone {
        session.output.hint(format_args!("two persons approve it: `git archive-tomb approve {tombstone}`"));
    }
    Ok(Exit::Done)
}

/// Returns how long something lasts, in the largest unit that says it whole.
fn lasts(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (unit, name) =
        units.into_iter().find(|(unit, _)| seconds >= *unit && seconds % unit == 0).unwrap_or((1, "second"));
    counted(usize::try_from(seconds / unit).unwrap_or(usize::MAX), name)
}

fn nothing_open(obstacle: &Obstacle, tombstone: &Tombstone) -> CommandError {
    let error = CommandError::new(Exit::Failed, format!("no request for the purge of item {tombstone} is open"));
    if *obstacle == Obstacle::NoRequest { error } else { error.caused_by(obstacle.to_string()) }
}

fn is_open(request: &Request, tombstone: &Tombstone) -> CommandError {
    let Request { key, told, .. } = request;
    let by = quote(told.record.actor.as_deref().unwrap_or_default().as_bytes()).into_owned();
    let text = format!("request {} of {} by {by} is open already", key.id, told.record.ts);
    CommandError::new(Exit::Failed, text)
        .hint(format!("approve it: `git archive-tomb approve {tombstone}`"))
        .hint(format!("or take it back: `git archive-tomb prune-request {tombstone} --withdraw`"))
}
