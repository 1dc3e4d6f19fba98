//! `purge`: destroys the bytes of an item, if everything that it takes is there.

use std::ffi::OsString;

use clap::Args;
use git_archive_tomb::archive::{AnyArchive, StoredItem};
use git_archive_tomb::evidence::record::Action;
use git_archive_tomb::governance::Obstacle;
use git_archive_tomb::governance::acts::{PurgeOptions, PurgePlan, Purging, PurgingError};
use git_archive_tomb::governance::record::purge_approval;
use git_archive_tomb::governance::remains::{Remain, remains};
use git_archive_tomb::governance::rules::{Grant, Judge, PurgeQuestion, judge_purge, open_request};
use git_archive_tomb::id::{OperationId, Sha256, Tombstone};
use git_archive_tomb::operation::{Facts, Outcome, execute};
use git_archive_tomb::quote::quote;
use git_archive_tomb::residue::{self, Content, Residue};
use serde::Serialize;

use super::doctor::with_context;
use super::store::prepare;
use crate::cli::acting::{Matter, refuse_purged, text};
use crate::cli::arguments::ActorArguments;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, counted, human_size};
use crate::cli::session::{Session, object_place};
use crate::cli::view::ItemView;
use crate::cli::wrap::wrap;

/// Destroy an item's bytes for good
///
/// It takes an open request and two persons' approvals, no legal hold, and a date of retention that has come. Whatever is
/// in the way is listed at once, and nothing is done then. Without `--apply` approvals are recorded and the bytes stay. The
/// item, its events and its evidence stay in any case.
#[derive(Debug, Args)]
pub(crate) struct PurgeArguments {
    /// A tombstone, at least 8 characters of one, or the path of a stub
    target: OsString,
    #[command(flatten)]
    actor: ActorArguments,
    /// Who approves as well; with `governance.signed` whose approval is there already
    #[arg(long, value_name = "ACTOR")]
    second: Option<String>,
    /// Why the bytes go
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Destroy the bytes now
    #[arg(long)]
    apply: bool,
    /// Also before the date that an item was archived with (`--delete-after`)
    #[arg(long)]
    early: bool,
    /// Also where other items have the same bytes: they lose them as well
    #[arg(long)]
    all_references: bool,
}

/// What a purge did, in JSON.
#[derive(Serialize)]
struct PurgedView<'a> {
    op: OperationId,
    request: &'a str,
    by: &'a str,
    second: &'a str,
    reason: &'a str,
    sha256: Sha256,
    size_bytes: u64,
    items: Vec<ItemView<'a>>,
    blocks: u64,
    moved: u64,
    evidence: Sha256,
    /// What the archive's database and object store keep.
    remains: Vec<Remain>,
    /// What git keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    residue: Option<Residue>,
}

/// Runs the command.
pub(crate) fn run(arguments: &PurgeArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    prepare(session)?;
    let reason = text("--reason", &arguments.reason)?;
    let facts = session.begin_act(&arguments.actor)?;
    let action = if arguments.apply { Action::Purge } else { Action::DeleteApproved };
    let mut archive = session.archive_to_change(&facts, action)?;
    let id = archive.id().to_owned();
    let matter = session.matter_in(&mut *archive, &arguments.target)?;
    let tombstone = matter.subject.tombstone;
    refuse_purged(&matter, &mut *archive)?;
    let verdicts = session.verdicts()?;
    let judge = session.judge(&verdicts, Some(&id))?;
    let proposed = proposed(arguments, &facts, session)?;
    let proposed: Vec<&str> = proposed.iter().map(String::as_str).collect();
    let options = PurgeOptions {
        reason: &reason,
        proposed: &proposed,
        early: arguments.early,
        all_references: arguments.all_references,
    };
    let Some(content) = &matter.facts else { return Ok(Exit::NotFound) };
    let question = PurgeQuestion {
        target: tombstone,
        facts: content,
        evidence: &matter.found.records,
        unreadable: &matter.found.unreadable,
        proposed: &proposed,
        early: arguments.early,
        all_references: arguments.all_references,
    };
    let granted = judge_purge(&judge, &question)?;
    if !arguments.apply {
        return approve_only(granted, &matter, &judge, &options, facts, &mut *archive, session);
    }
    let grant = match granted {
        Ok(grant) => grant,
        Err(obstacles) => return Err(refusal(obstacles, tombstone, session)?),
    };
    let plan = PurgePlan::new(facts, &session.origin()?, &matter.subject, &grant, &options);
    session.places.create()?;
    session.places.link(session.is_default_archive()?)?;
    session.catch_signals()?;
    let mut purging = Purging::new(plan, judge);
    let outcome = with_context(session, Some(&mut *archive), |context| Ok(execute(context, &mut purging)?))?;
    report(&purging, &outcome, &mut *archive, session)
}

/// Returns those who approve by this command: whoever runs it, and who is named beside.
fn proposed(arguments: &PurgeArguments, facts: &Facts, session: &Session<'_>) -> Result<Vec<String>, CommandError> {
    // A signature is never given in passing: who is not named is not meant.
    let by = if session.config()?.governance.signed { arguments.actor.by.clone() } else { Some(facts.actor.clone()) };
    let second = arguments.second.as_deref().map(|second| session.person(Some(second))).transpose()?;
    Ok(by.into_iter().chain(second).collect())
}

/// Records the approvals of those who are named, if nothing else is in the way, and destroys nothing.
fn approve_only(
    granted: Result<Grant, Vec<Obstacle>>,
    matter: &Matter,
    judge: &Judge<'_>,
    options: &PurgeOptions<'_>,
    facts: Facts,
    archive: &mut AnyArchive,
    session: &mut Session<'_>,
) -> Result<Exit, CommandError> {
    let tombstone = matter.subject.tombstone;
    let (by, is_complete) = match granted {
        Ok(grant) => (grant.fresh, true),
        Err(mut obstacles) => {
            // That others have yet to approve is in nobody's way here, as long as those who are named count.
            obstacles.retain(|obstacle| !is_only_incomplete(obstacle, options.proposed));
            if !obstacles.is_empty() {
                return Err(refusal(obstacles, tombstone, session)?);
            }
            (options.proposed.iter().map(|&by| by.to_owned()).collect(), false)
        }
    };
    if by.is_empty() {
        session.output.say("all of them have approved already; the bytes stay until `--apply`");
        return Ok(Exit::Done);
    }
    let request = match open_request(judge, &matter.ledger, &tombstone)? {
        Ok(request) => request,
        Err(obstacle) => return Err(refusal(vec![obstacle], tombstone, session)?),
    };
    let approval = |by: &String| purge_approval(&facts, by, &request.key, &matter.subject, Some(options.reason));
    let records = by.iter().map(approval).collect();
    let outcome = session.carry_out_act(facts, records, Some(archive))?;
    session.print_act(&outcome, "approved")?;
    let missing = if is_complete { "" } else { ", and another approval is missing" };
    session.output.say(format_args!("the bytes stay until `--apply`{missing}; commit the evidence with `git commit`"));
    Ok(Exit::Done)
}

/// Returns whether an obstacle says no more than that somebody else has to approve as well.
fn is_only_incomplete(obstacle: &Obstacle, proposed: &[&str]) -> bool {
    match obstacle {
        Obstacle::Approvals { given, .. } => !proposed.is_empty() && given.len() >= proposed.len(),
        _ => false,
    }
}

/// Returns the error of a purge that was refused. Programs get what is in the way one by one.
fn refusal(
    obstacles: Vec<Obstacle>,
    tombstone: Tombstone,
    session: &mut Session<'_>,
) -> Result<CommandError, CommandError> {
    if session.output.json {
        obstacles.iter().try_for_each(|obstacle| session.output.object(obstacle))?;
    }
    let lacks_approvals = obstacles.iter().any(|obstacle| matches!(obstacle, Obstacle::Approvals { .. }));
    let error = CommandError::from(PurgingError::Refused { tombstone, obstacles });
    let may_be_elsewhere = lacks_approvals && session.config()?.governance.signed;
    let hint = "an approval that was given in another clone counts once its branch is here: `git fetch --all`";
    Ok(if may_be_elsewhere { error.hint(hint) } else { error })
}

/// Prints what was destroyed, and what others keep of it.
fn report(
    purging: &Purging<'_>,
    outcome: &Outcome,
    archive: &mut AnyArchive,
    session: &mut Session<'_>,
) -> Result<Exit, CommandError> {
    let (purge, purged) = (&purging.plan.purge, &purging.purged);
    let config = session.config()?;
    let objects = config.storage.object_store.as_ref().map(|url| object_place(url).kind);
    let remains = remains(config.url.backend(), objects.as_ref());
    let residue = residue_of(&purged.items, archive, session);
    let size_bytes = purged.items.first().map_or(0, |stored| stored.item.size);
    let output = &mut *session.output;
    if output.json {
        return output
            .object(&PurgedView {
                op: purge.op,
                request: &purge.request,
                by: &purge.by,
                second: &purge.second,
                reason: &purge.reason,
                sha256: purge.sha256,
                size_bytes,
                items: purged.items.iter().map(ItemView::from).collect(),
                blocks: purged.destroyed.blocks,
                moved: purged.destroyed.moved,
                evidence: outcome.evidence,
                remains,
                residue,
            })
            .map(|()| Exit::Done);
    }
    for stored in &purged.items {
        let repo = quote(stored.item.repo.as_bytes()).into_owned();
        output.line(format_args!("purged  {}  {repo}:{}", stored.item.tombstone, stored.item.path))?;
    }
    output.line("")?;
    if let Some(residue) = &residue {
        output.line(crate::cli::residue::text(residue))?;
    }
    print_remains(&remains, output)?;
    let neighbours = match purged.destroyed.moved {
        0 => String::new(),
        moved => format!("; {} beside them moved", counted(usize::try_from(moved).unwrap_or(usize::MAX), "content")),
    };
    output.say(format_args!("destroyed {} in the archive{neighbours}", human_size(size_bytes)));
    output.say("the evidence is staged; commit it with `git commit`");
    Ok(Exit::Done)
}

/// Returns where git still has the bytes. They are destroyed already: whatever fails here is a warning.
fn residue_of(items: &[StoredItem], archive: &mut AnyArchive, session: &Session<'_>) -> Option<Residue> {
    let content = Content::of(items, &session.repository)?;
    let found =
        session.operations_log().and_then(|log| Ok(residue::of(&session.repository, &content, &log, Some(archive))?));
    found
        .inspect_err(|error| {
            session.output.warn(format_args!("what git keeps could not be looked at: {}", error.summary()));
            if let Some(stored) = items.first() {
                session.output.hint(format_args!("`git archive-tomb show {} --residue`", stored.item.tombstone));
            }
        })
        .ok()
}

/// Prints what the archive's database and its object store keep where the program does not reach.
fn print_remains(remains: &[Remain], output: &mut Output) -> Result<(), CommandError> {
    output.line("what the archive's storage keeps for a while:")?;
    for remain in remains {
        output.line(wrap("  ", "  ", remain.place))?;
        output.line(wrap("    ", "    ", &format!("until {}", remain.until)))?;
        for statement in remain.statements {
            // In one line, so that it can be copied.
            output.line(format_args!("    sooner: {statement}"))?;
        }
    }
    Ok(())
}
