//! What governance leaves unfinished: acts and purges with a journal, and purges of which only the archive tells.

use git_archive_tomb::archive::{AnyArchive, Event, Purge};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record, Status};
use git_archive_tomb::governance::acts::{Act, ActPlan, PurgePlan, Purging};
use git_archive_tomb::governance::unfounded::{Unfounded, UnfoundedKind, unfounded};
use git_archive_tomb::id::Tombstone;
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::journal::{ActiveOperation, Journal};
use git_archive_tomb::operation::execute_again;
use git_archive_tomb::quote::quote;

use super::{Finding, Remedy, apply, with_context};
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::session::Session;

pub(super) fn recover_act(
    remedy: Remedy,
    active: ActiveOperation,
    session: &Session<'_>,
) -> Result<Vec<RepoPath>, CommandError> {
    let plan: ActPlan = active.plan()?;
    let mut archive = session.archive_if_any()?;
    apply(remedy, &mut Act { plan }, active, archive.as_deref_mut(), session)
}

pub(super) fn recover_purge(
    remedy: Remedy,
    active: ActiveOperation,
    session: &Session<'_>,
) -> Result<Vec<RepoPath>, CommandError> {
    let plan: PurgePlan = active.plan()?;
    let target = plan.purge.tombstone;
    let mut archive = session.archive_if_any()?;
    let id = archive.as_deref().map(|archive| archive.id().to_owned());
    let verdicts = session.verdicts()?;
    let judge = session.judge(&verdicts, id.as_deref())?;
    let done = apply(remedy, &mut Purging::new(plan, judge), active, archive.as_deref_mut(), session);
    match &done {
        Ok(_) if remedy == Remedy::Finish => hint_at_residue(target, session),
        _ => {}
    }
    done.map_err(|error| {
        // It had not begun.
        let refused = remedy == Remedy::Finish && error.exit == Exit::Governance;
        if refused { error.hint("or give it up: `git archive-tomb doctor --abort`") } else { error }
    })
}

/// Says where to read what a purge itself would have said at its end.
fn hint_at_residue(tombstone: Tombstone, session: &Session<'_>) {
    session.output.hint(format_args!("what git still has of it: `git archive-tomb show {tombstone} --residue`"));
    session.output.hint("what the archive's storage keeps for a while is listed in docs/governance.md");
}

/// Returns what to say of purges that have begun in the archive and not ended, but for those that this clone has journals of.
pub(super) fn examine(archive: &mut AnyArchive, session: &Session<'_>) -> Result<Vec<Finding>, CommandError> {
    let found = |purge: &Purge| {
        let text = format!(
            "the purge of item {}, begun {} by {} and {}, did not come to its end: bytes may be left",
            purge.tombstone,
            purge.begun_at,
            quote(purge.by.as_bytes()),
            quote(purge.second.as_bytes()),
        );
        Finding::new("error", text, Some("git archive-tomb doctor --continue"))
    };
    Ok(left(archive, session)?.iter().map(found).collect())
}

/// Returns what to say of purges that were made by other rules than those here. Nothing brings the bytes back, so it stays
/// said.
pub(super) fn examine_past(archive: &mut AnyArchive, session: &Session<'_>) -> Result<Vec<Finding>, CommandError> {
    if !session.config()?.governance.signed {
        return Ok(Vec::new());
    }
    let id = archive.id().to_owned();
    let verdicts = session.verdicts()?;
    let judge = session.judge(&verdicts, Some(&id))?;
    let found = |purge: &Unfounded| {
        let severity = if purge.kind == UnfoundedKind::Breach { "error" } else { "warning" };
        let end = purge.kind.meaning();
        let (tombstone, lacks) = (purge.tombstone, &purge.obstacle);
        let text = format!("the purge of item {tombstone} does not count by the rules here: {lacks}; {end}");
        Finding::new(severity, text, None)
    };
    Ok(unfounded(&session.repository, archive, &judge)?.iter().map(found).collect())
}

fn left(archive: &mut AnyArchive, session: &Session<'_>) -> Result<Vec<Purge>, CommandError> {
    let journal = Journal::at(session.places.journal());
    let mut purges = archive.unfinished_purges()?;
    purges.retain(|purge| !journal.holds(purge.op));
    Ok(purges)
}

/// Destroys what is left of the bytes of such purges, and returns how many there were. One that this clone began gets its
/// evidence here; of another clone's the archive gets the records, and that clone makes the evidence.
pub(super) fn end_purges(session: &Session<'_>) -> Result<usize, CommandError> {
    let Some(mut archive) = session.archive_if_any()? else { return Ok(0) };
    let (origin, repo) = (session.origin()?, session.repo_name()?);
    let purges = left(&mut *archive, session)?;
    for purge in &purges {
        let tombstone = purge.tombstone;
        if purge.origin == origin && session.repository.work_tree().is_some() {
            record_here(purge.clone(), &repo, &mut *archive, session)?;
            session.output.say(format_args!("ended the purge of item {tombstone}; its evidence is staged"));
            hint_at_residue(tombstone, session);
            continue;
        }
        archive.destroy(&purge.sha256)?;
        let event = ended(purge, &session.actor(None)?, &repo)?;
        // Once it has ended the content may come back. So no purge ends without saying whose bytes it destroyed.
        let records = PurgePlan::of_begun(purge.clone(), &mut *archive, &repo)?;
        let events: Result<Vec<Event>, _> = records.records().map(|record| event_of(&record)).collect();
        let mut events = events?;
        events.push(event.clone());
        archive.end_purge(purge.op, &events)?;
        session.log_event(&event)?;
        session.output.say(format_args!(
            "destroyed the bytes of item {tombstone}, whose purge another clone began; its evidence is made there"
        ));
        hint_at_residue(tombstone, session);
    }
    Ok(purges.len())
}

/// Carries a purge to its end of which no journal is left, as if it had just begun.
fn record_here(purge: Purge, repo: &str, archive: &mut AnyArchive, session: &Session<'_>) -> Result<(), CommandError> {
    let id = archive.id().to_owned();
    let plan = PurgePlan::of_begun(purge, archive, repo)?;
    let verdicts = session.verdicts()?;
    let judge = session.judge(&verdicts, Some(&id))?;
    session.places.create()?;
    let mut purging = Purging::new(plan, judge);
    with_context(session, Some(archive), |context| Ok(execute_again(context, &mut purging)?))?;
    Ok(())
}

/// Returns the event that tells that another clone's purge was brought to its end here.
fn ended(purge: &Purge, actor: &str, repo: &str) -> Result<Event, CommandError> {
    let mut record = Record::new(Action::Recover, purge.op, Timestamp::now());
    record.actor = Some(actor.to_owned());
    record.repo = Some(repo.to_owned());
    record.tombstone = Some(purge.tombstone);
    record.sha256 = Some(purge.sha256);
    record.request = Some(purge.request.clone());
    record.status = Some(Status::Finished);
    event_of(&record)
}

fn event_of(record: &Record) -> Result<Event, CommandError> {
    Event::from_record(record).map_err(|error| CommandError::from_error(Exit::Failed, &error))
}
