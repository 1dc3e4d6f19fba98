//! Where the change of an operation lands: in the working tree and its index, or as a commit on a new branch.
//!
//! The order of writes is the same for both. What differs stands here: what is taken hold of meanwhile, where the evidence
//! is put, and which one step makes the change visible.

mod branch;
mod work_tree;

use std::sync::atomic::AtomicBool;

pub use branch::NewBranch;
pub(super) use work_tree::lock_note;

use branch::OnBranch;
use work_tree::InWorkTree;

use super::OperationContext;
use crate::change::{ChangeError, FileChange, OwnFilesError};
use crate::evidence::writer::NewEvidenceFile;
use crate::git::{GitError, Tracked, remove_stale_lock};
use crate::id::{ObjectId, OperationId};
use crate::item::RepoPath;
use crate::journal::ActiveOperation;

/// A place where a change lands. Every step may be repeated after a stop.
pub(super) trait Landing {
    /// Completes the program's own files there, and checks that git will leave evidence alone. `evidence` is that of an
    /// earlier try, if it came so far.
    fn prepare(&mut self, evidence: Option<&NewEvidenceFile>) -> Result<(), OwnFilesError>;

    /// Returns what is there before the change.
    fn tracked(&self) -> Tracked;

    /// Checks that git will leave the evidence file at `path` alone.
    fn check_unaltered(&self, path: &RepoPath) -> Result<(), OwnFilesError>;

    /// Puts the evidence where it shows, if there is such a place before the change is visible.
    fn publish(&self, evidence: &NewEvidenceFile) -> Result<(), GitError>;

    /// Makes the change, and then makes it visible in one step.
    fn apply(self: Box<Self>, change: LandingChange<'_>) -> Result<Landed, ChangeError>;

    /// Takes a change back that was not made visible. Returns the paths that hold something else now.
    fn revert(&self, evidence: &NewEvidenceFile, files: &[FileChange]) -> Result<Vec<RepoPath>, ChangeError>;

    /// Takes back what came before the change: its evidence, and the program's own files if nothing else needs them.
    fn withdraw(&self, evidence: Option<&NewEvidenceFile>) -> Result<(), OwnFilesError>;
}

/// The change that is to land.
pub(super) struct LandingChange<'a> {
    /// Its evidence.
    pub(super) evidence: &'a NewEvidenceFile,
    /// Its files; their blobs are written.
    pub(super) files: &'a [FileChange],
    /// The message of the commit, where it becomes one.
    pub(super) message: &'a [u8],
    /// Set from outside to stop the change, as long as it is not too late.
    pub(super) interrupted: &'a AtomicBool,
    /// Told when from now on the change can no longer be taken back without a trace.
    pub(super) touching: &'a mut dyn FnMut(),
}

/// What became of a change.
#[derive(Debug, Default)]
pub(super) struct Landed {
    /// Paths that were left as they are, because something else stands there now.
    pub(super) left: Vec<RepoPath>,
    /// The commit that it became.
    pub(super) commit: Option<ObjectId>,
}

/// Takes hold of the place where an operation lands: the index of the working tree, or nothing for a `branch`, as nobody
/// has that yet. `resumed` says whether an earlier try may have done a part.
pub(super) fn open<'a>(
    context: &OperationContext<'a>,
    branch: Option<&NewBranch>,
    active: &'a ActiveOperation,
    resumed: bool,
) -> Result<Box<dyn Landing + 'a>, GitError> {
    Ok(match branch {
        Some(branch) => Box::new(OnBranch::open(context, branch.clone(), active, resumed)),
        None => Box::new(InWorkTree::open(context, active.id(), resumed)?),
    })
}

/// Frees what a killed process still held of the place where its operation lands.
pub(super) fn release(
    context: &OperationContext<'_>,
    branch: Option<&NewBranch>,
    op: OperationId,
) -> Result<(), GitError> {
    match branch {
        Some(_) => Ok(()),
        None => remove_stale_lock(context.repository, &lock_note(op)).map(drop),
    }
}
