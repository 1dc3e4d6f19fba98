//! `approve`: consents to a purge that was requested, or to a restore.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use git_archive_tomb::archive::AnyArchive;
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record};
use git_archive_tomb::governance::clearance::purged_by;
use git_archive_tomb::governance::ledger::{Request, Told};
use git_archive_tomb::governance::record::{Subject, purge_approval, restore_approval};
use git_archive_tomb::governance::rules::{PURGE_APPROVALS, Progress, judge_approval, progress};
use git_archive_tomb::id::Tombstone;
use git_archive_tomb::item::JsonPath;
use git_archive_tomb::operation::Facts;
use git_archive_tomb::quote::quote;
use serde::Serialize;

use super::store::prepare;
use crate::cli::acting::{ActingArguments, Matter, refuse_purged, refused, text};
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::cli::view::PathView;

/// How many of the items that lose their bytes are named to people.
const MAX_LISTED: usize = 20;

/// Approve the purge that was requested of an item, or its restore
///
/// Approvals may be given one at a time, from several machines. A signed one counts from its evidence too, as soon as
/// that is in any branch here; it names what it approves, so it counts for nothing else.
#[derive(Debug, Args)]
pub(crate) struct ApproveArguments {
    /// A tombstone, at least 8 characters of one, or the path of a stub
    target: OsString,
    /// What is approved
    #[arg(long = "for", value_enum, value_name = "WHAT", default_value = "purge")]
    purpose: ApprovalFor,
    #[command(flatten)]
    acting: ActingArguments,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What an approval is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ApprovalFor {
    /// That the bytes are destroyed, as the open request asks
    Purge,
    /// That the bytes are handed out
    Restore,
}

/// Runs the command.
pub(crate) fn run(arguments: &ApproveArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    prepare(session)?;
    reason(arguments)?;
    let mut facts = session.begin_act(&arguments.acting.actor)?;
    let is_purge = arguments.purpose == ApprovalFor::Purge;
    let action = if is_purge { Action::DeleteApproved } else { Action::RestoreApproved };
    let mut archive = archive(&facts, action, arguments, session)?;
    let mut matter = session.matter(archive.as_deref_mut(), &arguments.target)?;
    let is_elsewhere = matter.stored.is_none() || (is_purge && !has_request(&matter));
    if archive.is_some() && is_elsewhere && signs(arguments, session)? {
        // The archive here is another one than that of the request: that one's evidence is to go by.
        archive = None;
        matter = session.matter(None, &arguments.target)?;
    }
    refuse_what_is_gone(&matter, is_purge, archive.as_deref_mut())?;
    let id = archive.as_deref().map(|archive| archive.id().to_owned());
    if is_purge {
        return approve_purge(arguments, facts, &matter, archive.as_deref_mut(), id.as_deref(), session);
    }
    let mut records = vec![restore_approval(&facts, id.as_deref(), &matter.subject, reason(arguments)?.as_deref())];
    session.sign_act(&arguments.acting, &mut facts, &mut records)?;
    let outcome = session.carry_out_act(facts, records, archive.as_deref_mut())?;
    session.print_act(&outcome, "approved")?;
    say_where(archive.is_some(), session);
    Ok(Exit::Done)
}

fn reason(arguments: &ApproveArguments) -> Result<Option<String>, CommandError> {
    arguments.reason.as_deref().map(|reason| text("--reason", reason)).transpose()
}

/// Refuses what needs bytes that are gone.
fn refuse_what_is_gone(matter: &Matter, is_purge: bool, archive: Option<&mut AnyArchive>) -> Result<(), CommandError> {
    if let Some(archive) = archive {
        return refuse_purged(matter, archive);
    }
    let tombstone = &matter.subject.tombstone;
    match matter.ledger.purge_of(tombstone, None) {
        // What came back may have been requested since.
        Some(told) if !is_purge || matter.ledger.is_used_up(tombstone) => {
            Err(refused(&format!("item {tombstone} is purged"), &[purged_by(&told.record, told.record.ts)], tombstone))
        }
        _ => Ok(()),
    }
}

fn approve_purge(
    arguments: &ApproveArguments,
    mut facts: Facts,
    matter: &Matter,
    archive: Option<&mut AnyArchive>,
    id: Option<&str>,
    session: &mut Session<'_>,
) -> Result<Exit, CommandError> {
    let subject = &matter.subject;
    let verdicts = session.verdicts()?;
    let judge = session.judge(&verdicts, id)?;
    let request = judge_approval(&judge, &matter.ledger, &subject.tombstone, &facts.actor)?;
    let request = request.map_err(|obstacles| {
        let what = format!("the purge of item {} cannot be approved", subject.tombstone);
        refused(&what, &obstacles, &subject.tombstone)
    })?;
    let reason = reason(arguments)?;
    let mut records = vec![purge_approval(&facts, &facts.actor, &request.key, subject, reason.as_deref())];
    session.sign_act(&arguments.acting, &mut facts, &mut records)?;
    let others: Vec<_> = matter.others().collect();
    let others = matter.facts.as_ref().map(|_| &others[..]);
    let before = progress(&judge, &matter.ledger, request, others)?;
    if before.has(&facts.actor) {
        let by = quote(facts.actor.as_bytes()).into_owned();
        session.output.say(format_args!("{by} has approved already; nothing was recorded"));
        say_progress(request, &before, matter, session);
        return Ok(Exit::Done);
    }
    let mut ledger = matter.ledger.clone();
    let in_archive = archive.is_some();
    // As it will be found.
    let told = |record: &Record| Told { record: record.clone(), digest: request.told.digest, in_archive, file: None };
    ledger.approvals.extend(records.iter().map(told));
    let after = progress(&judge, &ledger, request, others)?;
    let outcome = session.carry_out_act(facts, records, archive)?;
    let items = named(request, matter);
    session.print_act_with(&outcome, "approved", Some(ApprovedView::of(request, &after, &items)))?;
    say_progress(request, &after, matter, session);
    say_where(in_archive, session);
    Ok(Exit::Done)
}

/// What was approved, in JSON.
#[derive(Serialize)]
struct ApprovedView<'a> {
    requested_by: Option<&'a str>,
    requested_at: Timestamp,
    request_reason: Option<&'a str>,
    approvals: &'a [String],
    needed: usize,
    items: Vec<LosesView<'a>>,
}

/// An item that loses its bytes, in JSON.
#[derive(Serialize)]
struct LosesView<'a> {
    tombstone: Tombstone,
    repo: &'a str,
    #[serde(flatten)]
    path: PathView,
}

impl<'a> ApprovedView<'a> {
    fn of(request: &'a Request, progress: &'a Progress, items: &'a [Subject]) -> Self {
        let record = &request.told.record;
        let loses = |item: &'a Subject| LosesView {
            tombstone: item.tombstone,
            repo: &item.repo,
            path: JsonPath::from(&item.path).into(),
        };
        Self {
            requested_by: record.actor.as_deref(),
            requested_at: record.ts,
            request_reason: record.reason.as_deref(),
            approvals: &progress.given,
            needed: PURGE_APPROVALS,
            items: items.iter().map(loses).collect(),
        }
    }
}

/// Returns the items that a request names, the target first.
fn named(request: &Request, matter: &Matter) -> Vec<Subject> {
    let evidence = matter.found.records.iter().cloned();
    let events = matter.facts.iter().flat_map(|facts| &facts.events).filter_map(Told::of_event);
    let mut items = vec![matter.subject.clone()];
    for told in events.chain(evidence) {
        let record = &told.record;
        let names = record.action == Action::PruneRequest && record.request.as_ref() == Some(&request.key.id);
        let item = Subject::of(record).filter(|item| names && !items.iter().any(|one| one.tombstone == item.tombstone));
        items.extend(item);
    }
    items
}

/// Says what is approved, and how far it has come.
fn say_progress(request: &Request, progress: &Progress, matter: &Matter, session: &Session<'_>) {
    let record = &request.told.record;
    let shown = |text: &Option<String>| quote(text.as_deref().unwrap_or_default().as_bytes()).into_owned();
    let output = &*session.output;
    output.say(format_args!(
        "the purge that {} requested on {}: {}",
        shown(&record.actor),
        record.ts.date(),
        shown(&record.reason)
    ));
    let items = named(request, matter);
    for item in items.iter().skip(1).take(MAX_LISTED) {
        output.say(format_args!("  also of {}  {}:{}", item.tombstone, quote(item.repo.as_bytes()), item.path));
    }
    if let Some(more @ 1..) = items.len().checked_sub(MAX_LISTED + 1) {
        output.say(format_args!("  and of {more} more"));
    }
    let given: Vec<String> = progress.given.iter().map(|who| quote(who.as_bytes()).into_owned()).collect();
    output.say(format_args!("{} of {PURGE_APPROVALS} approvals: {}", given.len(), given.join(", ")));
    if !progress.unnamed.is_empty() {
        for obstacle in progress.unnamed.iter().take(MAX_LISTED) {
            output.warn(format_args!("{obstacle}: as it stands, no purge comes of it"));
        }
        let tombstone = matter.subject.tombstone;
        output.hint(format_args!(
            "request it anew: `git archive-tomb prune-request {tombstone} --withdraw`, then without `--withdraw`"
        ));
    }
}

fn say_where(in_archive: bool, session: &Session<'_>) {
    if !in_archive {
        session.output.say("there is no archive here: the approval counts from its evidence, where that is fetched");
    }
    session.output.say("its evidence is staged; commit it with `git commit`");
}

/// Returns whether the approval will be signed.
fn signs(arguments: &ApproveArguments, session: &Session<'_>) -> Result<bool, CommandError> {
    Ok(session.config()?.governance.signed || arguments.acting.key.is_some())
}

/// Returns whether the archive has a request for the purge of the item, open or not.
fn has_request(matter: &Matter) -> bool {
    let mut requests = matter.ledger.requests.iter();
    requests.any(|request| request.told.in_archive && request.target == matter.subject.tombstone)
}

/// Opens the archive. Where none is at hand, a signed approval counts from its evidence alone.
fn archive(
    facts: &Facts,
    action: Action,
    arguments: &ApproveArguments,
    session: &Session<'_>,
) -> Result<Option<Box<AnyArchive>>, CommandError> {
    if !signs(arguments, session)? {
        return session.archive_to_change(facts, action).map(Some);
    }
    session.archive_to_change_if_any(facts, action).or_else(|error| {
        if error.exit != Exit::Unreachable {
            return Err(error);
        }
        session.output.warn(format_args!("the archive is out of reach: {}", error.summary()));
        Ok(None)
    })
}
