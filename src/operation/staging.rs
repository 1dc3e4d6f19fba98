//! An operation that leaves no evidence of its own, because what it stages has its evidence already: only files and the
//! index change. It has a journal and the index lock as any other, and is finished and undone as they are.

use std::convert::Infallible;
use std::sync::atomic::Ordering;

use super::landing::lock_note;
use super::recover::recovery;
use super::{Facts, OperationContext, OperationError, close, git_dir_of};
use crate::change::{
    Before, ChangeError, ConflictStanding, FileChange, change_files, conflict_standings, remove_unfinished, revert,
};
use crate::evidence::log::OperationsLog;
use crate::evidence::record::Status;
use crate::fault;
use crate::git::{IndexLock, remove_stale_lock};
use crate::item::RepoPath;
use crate::journal::{ActiveOperation, FormatVersion, Header, Journal};

/// What the journal calls it.
pub const STAGING: &str = "resolve";

type Error = OperationError<Infallible>;

/// What is to be done, as the journal keeps it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct StagingPlan {
    /// The operation.
    pub facts: Facts,
    /// What changes.
    pub files: Vec<FileChange>,
}

/// Makes the files of `plan` change, whose blobs are written. Returns the paths that were left as they are, because
/// something else stands there now.
pub fn stage_files(context: &OperationContext<'_>, plan: &StagingPlan) -> Result<Vec<RepoPath>, Error> {
    let op = plan.facts.op;
    let header = Header {
        version: FormatVersion,
        id: op,
        command: STAGING.to_owned(),
        started: plan.facts.started,
        actor: plan.facts.actor.clone(),
        git_dir: git_dir_of(context.repository),
        work_tree: context.repository.require_work_tree()?.display().to_string(),
        branch: None,
        paths: plan.files.len(),
    };
    let active = Journal::at(context.places.journal()).begin(&header, plan)?;
    let mut touched = false;
    match apply(context, plan, &mut touched) {
        Ok(left) => close(op, active).map(|()| left),
        Err(error) if touched => Err(OperationError::Unfinished { op, is_final: false, source: Box::new(error) }),
        Err(error) => {
            active.close()?;
            Err(error)
        }
    }
}

/// Finishes a change that was stopped. Returns the paths that were left.
pub fn finish_staging(context: &OperationContext<'_>, active: ActiveOperation) -> Result<Vec<RepoPath>, Error> {
    let plan: StagingPlan = active.plan()?;
    remove_stale_lock(context.repository, &lock_note(plan.facts.op))?;
    remove_unfinished(context.repository, plan.files.iter().map(|file| &file.path))?;
    let left = apply(context, &plan, &mut false)?;
    end(context, &plan, Status::Finished, active)?;
    Ok(left)
}

/// Undoes a change that was stopped, unless the index has it. Returns the paths that were left.
pub fn undo_staging(context: &OperationContext<'_>, active: ActiveOperation) -> Result<Vec<RepoPath>, Error> {
    let plan: StagingPlan = active.plan()?;
    let (op, files) = (plan.facts.op, &plan.files);
    remove_stale_lock(context.repository, &lock_note(op))?;
    let lock = IndexLock::acquire(context.repository, &lock_note(op))?;
    let mut conflicts = Vec::new();
    for file in files {
        if let Before::Conflict(versions) = &file.before {
            conflicts.push((&file.path, **versions));
        }
    }
    if conflict_standings(context.repository, &conflicts)?.contains(&ConflictStanding::Staged) {
        return Err(OperationError::Published { op, holder: "the index".to_owned() });
    }
    remove_unfinished(context.repository, files.iter().map(|file| &file.path))?;
    let left = revert(context.repository, &lock, files)?;
    end(context, &plan, Status::Undone, active)?;
    Ok(left)
}

/// Records that a stopped change was brought to an end, and closes its journal.
fn end(
    context: &OperationContext<'_>,
    plan: &StagingPlan,
    status: Status,
    active: ActiveOperation,
) -> Result<(), Error> {
    let event = recovery(&plan.facts, status, plan.files.len())?;
    OperationsLog::open(context.log)?.append(&[event.line])?;
    close(plan.facts.op, active)
}

fn apply(context: &OperationContext<'_>, plan: &StagingPlan, touched: &mut bool) -> Result<Vec<RepoPath>, Error> {
    let lock = IndexLock::acquire(context.repository, &lock_note(plan.facts.op))?;
    fault::point("lock");
    let left = change_files(context.repository, lock, &plan.files, &[], &mut || {
        if context.interrupted.load(Ordering::Relaxed) {
            return Err(ChangeError::Interrupted);
        }
        *touched = true;
        Ok(())
    })?;
    Ok(left)
}
