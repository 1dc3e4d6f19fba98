//! Which evidence a change brings, read from git's objects and never from the working tree.

use crate::change::literal;
use crate::evidence::format::{Entry, EvidenceFileName, Facts, FileError, read};
use crate::git::{Change, GitError, Repository, TreeEntry};
use crate::id::ObjectId;
use crate::item::{FileMode, RepoPath};
use crate::places;

/// A change whose evidence is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What is staged: what the index has and no parent of the commit to be.
    Staged,
    /// What the tree of `to` has and that of `from` has not.
    Range {
        /// Where the change goes; git's null id where nothing is there yet.
        from: ObjectId,
        /// The last commit of the change.
        to: ObjectId,
    },
}

/// An evidence file of a tree or the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    /// Its name.
    pub name: EvidenceFileName,
    id: ObjectId,
}

/// Why evidence could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// It is not what it should be.
    #[error("evidence that is not intact cannot be quoted")]
    Evidence(#[from] FileError),
}

impl Evidence {
    /// Returns `path` and `entry` as one of this repository's own evidence files; `None` if they are none. Those in other
    /// folders came with a subtree, and have been reviewed where they come from.
    fn new(path: &RepoPath, entry: &TreeEntry) -> Option<Self> {
        let name = EvidenceFileName::parse_path(path).ok().filter(|name| name.path() == *path)?;
        (FileMode::from_bits(entry.mode) == Some(FileMode::Regular)).then_some(Self { name, id: entry.id })
    }

    /// Reads the file and hands each record to `each`. The records count only if the result is no error.
    pub fn read(&self, repository: &Repository, each: impl FnMut(Entry)) -> Result<Facts, ReviewError> {
        Ok(read(&self.name, repository.fetching_objects().open_blob(&self.id)?, each)?)
    }
}

/// Returns the evidence files of the index, oldest first.
pub fn tracked(repository: &Repository) -> Result<Vec<Evidence>, GitError> {
    let folder = RepoPath::try_new(places::EVIDENCE).expect("the program's own paths are valid");
    let entries = repository.tracked_entries(&[literal(&folder)])?;
    let unconflicted = entries.iter().filter(|entry| entry.stage == 0);
    Ok(sorted(unconflicted.filter_map(|entry| Evidence::new(&entry.path, &entry.entry)).collect()))
}

/// Returns the evidence files that a change adds, oldest first.
pub fn added(repository: &Repository, scope: Scope) -> Result<Vec<Evidence>, GitError> {
    let objects = repository.objects();
    let new = |change: Change| Evidence::new(&change.path, &change.new?);
    match scope {
        Scope::Staged => {
            let head = repository.head()?.commit();
            let changes = repository.index_changes(head.as_ref())?.changes;
            let mut found: Vec<Evidence> = changes.into_iter().filter_map(new).collect();
            for parent in repository.merge_heads()? {
                let tree = objects.commit(&parent)?.tree;
                let mut others = Vec::new();
                for evidence in found {
                    let there = objects.entry(&tree, &evidence.name.path())?;
                    if there.is_none_or(|there| there.id != evidence.id) {
                        others.push(evidence);
                    }
                }
                found = others;
            }
            Ok(sorted(found))
        }
        Scope::Range { from, to } => {
            let tree = |commit: &ObjectId| Ok::<_, GitError>(objects.commit(commit)?.tree);
            let from = if from.is_null() { None } else { Some(tree(&from)?) };
            let mut found = Vec::new();
            for change in objects.diff_trees(from.as_ref(), Some(&tree(&to)?)) {
                match change {
                    Ok(change) => found.extend(new(change)),
                    // No path of ours.
                    Err(GitError::InvalidPath(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(sorted(found))
        }
    }
}

/// Sorts by name, which is by time.
fn sorted(mut found: Vec<Evidence>) -> Vec<Evidence> {
    found.sort();
    found
}
