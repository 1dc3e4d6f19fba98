//! Recovery: operations that were stopped, by a kill or an error, and have to be finished or undone.

use std::path::PathBuf;

use bstr::BString;

use super::landing::{self, lock_note};
use super::{Facts, Operation, OperationContext, OperationError, Outcome, close, execute, run_steps, saved_evidence};
use crate::archive::{ArchiveError, Event, PendingOperation};
use crate::clock::Timestamp;
use crate::evidence::format::{EvidenceFileName, MAX_FILE_LENGTH};
use crate::evidence::log::{LogError, OperationsLog};
use crate::evidence::record::{Action, RecordError, Status};
use crate::evidence::writer::NewEvidenceFile;
use crate::fault;
use crate::git::{GitError, ObjectKind, literal, remove_stale_lock};
use crate::id::Sha256;
use crate::item::RepoPath;
use crate::journal::{ActiveOperation, Header, Journal};

/// Finishes an operation that was stopped: runs it again from its journal, and records that. After an error it is as
/// unfinished as before.
pub fn finish<O: Operation>(
    context: &mut OperationContext<'_>,
    operation: &mut O,
    active: ActiveOperation,
) -> Result<Outcome, OperationError<O::Error>> {
    let facts = operation.facts().clone();
    landing::release(context, operation.branch(), facts.op)?;
    let outcome = run_steps(context, operation, &active, true, &mut false)?;
    let event = recovery(&facts, Status::Finished, operation.paths())?;
    if let Some(archive) = &mut context.archive {
        archive.append_events(std::slice::from_ref(&event))?;
    }
    fault::point("recovery-event");
    OperationsLog::open(context.log)?.append(&[event.line])?;
    fault::point("recovery");
    close(facts.op, active)?;
    Ok(outcome)
}

/// Runs an operation of which no journal is left, with the id that it had: what its process still held is freed first.
pub fn execute_again<O: Operation>(
    context: &mut OperationContext<'_>,
    operation: &mut O,
) -> Result<Outcome, OperationError<O::Error>> {
    landing::release(context, operation.branch(), operation.facts().op)?;
    execute(context, operation)
}

/// Undoes an operation that was stopped: what stood in the tree comes back, rows are marked, nothing is deleted. Returns
/// the paths that were left because something else stands there now. After an error it is as unfinished as before.
pub fn undo<O: Operation>(
    context: &mut OperationContext<'_>,
    operation: &mut O,
    active: ActiveOperation,
) -> Result<Vec<RepoPath>, OperationError<O::Error>> {
    let facts = operation.facts().clone();
    if operation.is_final(context).map_err(OperationError::Command)? {
        return Err(OperationError::Final { op: facts.op, command: operation.command() });
    }
    landing::release(context, operation.branch(), facts.op)?;
    // Held to the end, so that nobody stages the evidence meanwhile.
    let landing = landing::open(context, operation.branch(), &active, true)?;
    let saved = saved_evidence(&active)?;
    let mut left = Vec::new();
    if let Some((evidence, records)) = &saved {
        if let Some(held) = context.repository.holders(&literal(&evidence.path()))?.into_iter().next() {
            return Err(OperationError::Published { op: facts.op, holder: held.holder.to_string() });
        }
        let files = operation.changes(context, records, evidence.sha256()).map_err(OperationError::Command)?;
        left = landing.revert(evidence, &files)?;
    }
    landing.withdraw(saved.as_ref().map(|(evidence, _)| evidence))?;
    let event = recovery(&facts, Status::Undone, operation.paths())?;
    operation.withdraw(context, &event).map_err(OperationError::Command)?;
    fault::point("recovery-event");
    OperationsLog::open(context.log)?.append(&[event.line])?;
    fault::point("recovery");
    drop(landing);
    close(facts.op, active)?;
    Ok(left)
}

/// Returns the event that tells of an operation that was finished or undone later.
pub(super) fn recovery(facts: &Facts, status: Status, paths: usize) -> Result<Event, RecordError> {
    let mut record = facts.record(Action::Recover);
    record.ts = Timestamp::now();
    record.status = Some(status);
    record.count = Some(paths as u64);
    Event::from_record(&record)
}

/// Why rows without a journal could not be brought to an end.
#[derive(Debug, thiserror::Error)]
pub enum OrphanError {
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The operations log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record could not be written, or read back.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What became of rows without a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// An index or a commit holds their evidence: they are sealed.
    Sealed,
    /// Nothing holds any: they are undone.
    Undone,
}

/// Returns the operations of this clone that have pending rows and no journal: it, or the working tree, was removed.
pub fn orphans(context: &mut OperationContext<'_>) -> Result<Vec<PendingOperation>, ArchiveError> {
    let Some(archive) = &mut context.archive else { return Ok(Vec::new()) };
    let journal = Journal::at(context.places.journal());
    let mut found = archive.pending(context.origin)?;
    found.retain(|pending| !journal.holds(pending.op));
    if !found.is_empty() {
        // One that ended just now had its rows sealed before its journal went.
        let pending = archive.pending(context.origin)?;
        found.retain(|orphan| pending.contains(orphan));
    }
    Ok(found)
}

/// Brings the rows of an operation without a journal to an end: sealed if an index or a commit holds their evidence, else
/// undone. `actor` does it, in the repository called `repo`.
pub fn settle_orphan(
    context: &mut OperationContext<'_>,
    orphan: &PendingOperation,
    actor: &str,
    repo: &str,
) -> Result<Settled, OrphanError> {
    let facts = Facts { op: orphan.op, started: orphan.since, actor: actor.to_owned(), repo: repo.to_owned() };
    let evidence = published_evidence(context, orphan)?;
    let settled = if evidence.is_some() { Settled::Sealed } else { Settled::Undone };
    let status = if evidence.is_some() { Status::Finished } else { Status::Undone };
    let event = recovery(&facts, status, usize::try_from(orphan.items).unwrap_or(usize::MAX))?;
    if let Some(archive) = &mut context.archive {
        match evidence {
            Some(evidence) => {
                let mut events: Vec<_> =
                    evidence.lines().into_iter().map(Event::from_line).collect::<Result<_, _>>()?;
                events.push(event.clone());
                archive.seal(orphan.op, &events)?;
            }
            None => drop(archive.undo(orphan.op, context.origin, &event)?),
        }
    }
    OperationsLog::open(context.log)?.append(&[event.line])?;
    Ok(settled)
}

/// Gives up an operation whose working tree is gone: there is nothing to finish or undo but its rows, which are
/// [orphans](orphans()) from now on.
pub fn abandon(
    context: &mut OperationContext<'_>,
    header: &Header,
    actor: &str,
    repo: &str,
    active: ActiveOperation,
) -> Result<(), OperationError<OrphanError>> {
    let facts = Facts { op: header.id, started: header.started, actor: actor.to_owned(), repo: repo.to_owned() };
    let event = recovery(&facts, Status::Undone, header.paths)?;
    OperationsLog::open(context.log)?.append(&[event.line])?;
    close(header.id, active)
}

/// Sets a journal that cannot be read aside, frees the lock that its operation may have left, and returns where the
/// journal is now. Its rows are [orphans](orphans()) from now on; no file of the tree is touched, as nothing says which.
pub fn set_aside(
    context: &mut OperationContext<'_>,
    active: ActiveOperation,
) -> Result<PathBuf, OperationError<OrphanError>> {
    remove_stale_lock(context.repository, &lock_note(active.id()))?;
    Ok(active.set_aside()?)
}

/// Returns the evidence of an operation of which only its rows are known, if an index or a commit holds it.
fn published_evidence(
    context: &OperationContext<'_>,
    orphan: &PendingOperation,
) -> Result<Option<NewEvidenceFile>, OrphanError> {
    // A file's name begins with the time that all records of the operation carry, and the rows too.
    let Some(name) = EvidenceFileName::new(Action::Archive, orphan.since, &Sha256::ZERO) else { return Ok(None) };
    let path = name.path().to_string();
    let pattern = path.replace(&Sha256::ZERO.short(), "*");
    for held in context.repository.holders(&BString::from(format!(":(top,glob){pattern}")))? {
        let bytes = context.repository.objects().read_kind(&held.blob, ObjectKind::Blob, MAX_FILE_LENGTH)?;
        let evidence = NewEvidenceFile::from_bytes(bytes)?;
        if evidence.records()?.first().is_some_and(|record| record.op == orphan.op) {
            return Ok(Some(evidence));
        }
    }
    Ok(None)
}
