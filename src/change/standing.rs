//! How paths stand in index and working tree, compared with what is expected there.

use std::collections::HashMap;

use crate::git::{GitError, IndexEntry, Repository, TreeEntry, WorkState, literal};
use crate::item::RepoPath;

/// Above so many paths, listing the whole index costs less than matching each.
const MAX_PATHSPECS: usize = 64;

/// What is expected at a path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Expected {
    /// Where.
    pub path: RepoPath,
    /// What the index holds.
    pub staged: TreeEntry,
    /// What the working file would be: the index's own entry, unless the file has local changes that are known.
    pub working: TreeEntry,
}

/// How a path stands, compared with what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Index and working file are just that.
    Exact,
    /// The index agrees, the working file does not.
    Modified,
    /// The index agrees, there is no working file.
    Missing,
    /// The index holds another blob or mode.
    Staged,
    /// The index holds several versions.
    Conflicted,
    /// The index agrees, and a sparse checkout leaves the working file out.
    Sparse,
    /// The index does not hold the path.
    NotInIndex,
}

/// Returns how each of `expected` stands, in order.
pub fn standings(repository: &Repository, expected: &[Expected]) -> Result<Vec<Standing>, GitError> {
    let paths: Vec<_> = expected.iter().map(|expected| &expected.path).collect();
    let entries = index_entries_of(repository, &paths)?;
    let by_index: Vec<Option<Standing>> =
        expected.iter().zip(&entries).map(|(expected, entries)| in_index(entries, &expected.staged)).collect();
    // Only where the index agrees does the working file matter.
    let asked: Vec<_> = expected
        .iter()
        .zip(&by_index)
        .filter(|(_, standing)| standing.is_none())
        .map(|(expected, _)| (expected.path.clone(), expected.working))
        .collect();
    let mut states = repository.work_states(&asked)?.into_iter();
    Ok(by_index
        .into_iter()
        .map(|standing| {
            standing.unwrap_or_else(|| match states.next() {
                Some(WorkState::Unmodified) => Standing::Exact,
                Some(WorkState::Modified) => Standing::Modified,
                Some(WorkState::Missing) | None => Standing::Missing,
            })
        })
        .collect())
}

/// Returns the index entries at each of `paths` (several where it is in conflict), in order.
pub fn index_entries_of(repository: &Repository, paths: &[&RepoPath]) -> Result<Vec<Vec<IndexEntry>>, GitError> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let pathspecs =
        if paths.len() <= MAX_PATHSPECS { paths.iter().map(|path| literal(path)).collect() } else { Vec::new() };
    let mut by_path: HashMap<RepoPath, Vec<IndexEntry>> = HashMap::new();
    for entry in repository.index_entries(&pathspecs)? {
        by_path.entry(entry.path.clone()).or_default().push(entry);
    }
    Ok(paths.iter().map(|path| by_path.remove(*path).unwrap_or_default()).collect())
}

/// Returns how a path stands by its index entries alone; `None` if the working file decides.
fn in_index(entries: &[IndexEntry], staged: &TreeEntry) -> Option<Standing> {
    match entries {
        [] => Some(Standing::NotInIndex),
        [entry] if entry.stage == 0 => {
            if entry.entry != *staged {
                Some(Standing::Staged)
            } else if entry.skip_worktree {
                Some(Standing::Sparse)
            } else {
                None
            }
        }
        _ => Some(Standing::Conflicted),
    }
}
