//! The heads of the evidence graph: what the next evidence file names as its predecessors.

use crate::change::literal;
use crate::evidence::graph::{self, GraphError};
use crate::git::{GitError, IndexEntry, Repository};
use crate::id::Sha256;
use crate::item::{FileMode, RepoPath};
use crate::places::{EVIDENCE, Places};

/// Why the heads could not be found.
#[derive(Debug, thiserror::Error)]
pub enum HeadsError {
    /// The index could not be listed.
    #[error(transparent)]
    Index(#[from] GitError),
    /// The evidence could not be read.
    #[error(transparent)]
    Graph(#[from] GraphError<GitError>),
}

/// Returns the digests of the index's evidence files that no other one there names.
pub(super) fn of_index(repository: &Repository, places: &Places) -> Result<Vec<Sha256>, HeadsError> {
    let folder = RepoPath::try_new(EVIDENCE).expect("the program's own paths are valid");
    let entries = repository.index_entries(&[literal(&folder)])?;
    // What else stands there is for `verify` to tell; a submodule's commit, for one, is nothing to be read here.
    let is_file = |entry: &IndexEntry| entry.stage == 0 && entry.entry.file_mode() == Some(FileMode::Regular);
    let files: Vec<_> = entries.into_iter().filter(is_file).map(|entry| (entry.path, entry.entry.id)).collect();
    let objects = repository.fetching_objects();
    Ok(graph::heads(&files, &places.evidence_heads(), |id| objects.open_blob(id))?.digests)
}
