//! What git tracks: where stubs and evidence are looked for.

use bstr::BString;

use super::{AttributeSource, GitError, IndexEntry, Repository};
use crate::id::ObjectId;
use crate::item::RepoPath;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracked {
    /// The index.
    Index,
    /// A tree, whatever the index holds. What a filter left out of it is fetched.
    Tree(ObjectId),
}

impl Tracked {
    /// Returns what is tracked here: the index, or where there is none (a bare repository) the tree at `HEAD`.
    pub fn here(repository: &Repository) -> Result<Self, GitError> {
        if !repository.is_bare() {
            return Ok(Self::Index);
        }
        match repository.head()?.commit() {
            Some(head) => Ok(Self::Tree(repository.fetching_objects().commit(&head)?.tree)),
            None => Ok(Self::Tree(repository.object_format().empty_tree())),
        }
    }

    /// Returns the entries at or below `path`; all of them without one. Sorted by the bytes of the paths, then the stage.
    pub fn entries(self, repository: &Repository, path: Option<&RepoPath>) -> Result<Vec<IndexEntry>, GitError> {
        let tree = match self {
            Self::Index => return repository.index_entries(&path.map(literal).into_iter().collect::<Vec<_>>()),
            Self::Tree(tree) => tree,
        };
        let objects = repository.fetching_objects();
        let found = |path, entry| IndexEntry { path, entry, stage: 0, skip_worktree: false, assume_unchanged: false };
        let walk = match path {
            None => objects.walk_tree(&tree),
            Some(path) => match objects.entry(&tree, path)? {
                Some(entry) if !entry.is_folder() => return Ok(vec![found(path.clone(), entry)]),
                _ => objects.walk_folder(&tree, path)?,
            },
        };
        // A path that leads out is nothing to be found.
        let valid = walk.filter(|entry| !matches!(entry, Err(GitError::InvalidPath(_))));
        valid.map(|entry| entry.map(|(path, entry)| found(path, entry))).collect()
    }

    /// Returns the attributes files that go with it.
    pub fn attributes(self) -> AttributeSource {
        match self {
            Self::Index => AttributeSource::Index,
            Self::Tree(tree) => AttributeSource::Tree(tree),
        }
    }
}

/// Returns the pathspec that means just `path` and what is below it.
pub(crate) fn literal(path: &RepoPath) -> BString {
    [b":(top,literal)", path.as_bytes()].concat().into()
}
