//! The heads of the evidence graph: what the next evidence file names as its predecessors.

use crate::evidence::graph::{self, GraphError};
use crate::git::{GitError, IndexEntry, Repository, Tracked};
use crate::id::Sha256;
use crate::item::{FileMode, RepoPath};
use crate::places::{EVIDENCE, Places};

/// Why the heads could not be found.
#[derive(Debug, thiserror::Error)]
pub enum HeadsError {
    /// What is tracked could not be listed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The evidence could not be read.
    #[error(transparent)]
    Graph(#[from] GraphError<GitError>),
}

/// Returns the digests of the tracked evidence files that no other one there names.
pub(super) fn of(repository: &Repository, tracked: Tracked, places: &Places) -> Result<Vec<Sha256>, HeadsError> {
    let folder = RepoPath::try_new(EVIDENCE).expect("the program's own paths are valid");
    let entries = tracked.entries(repository, Some(&folder))?;
    // What else stands there is for `verify` to tell; a submodule's commit, for one, is nothing to be read here.
    let is_file = |entry: &IndexEntry| entry.stage == 0 && entry.entry.file_mode() == Some(FileMode::Regular);
    let files: Vec<_> = entries.into_iter().filter(is_file).map(|entry| (entry.path, entry.entry.id)).collect();
    let objects = repository.fetching_objects();
    Ok(graph::heads(&files, &places.evidence_heads(), |id| objects.open_blob(id))?.digests)
}
