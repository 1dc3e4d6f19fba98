//! How paths stand in index and working tree, compared with what is expected there.

use std::collections::HashMap;

use crate::git::{GitError, IndexEntry, Repository, Root, Stages, TreeEntry, WorkState, literal};
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

/// A path in conflict: the versions that the index holds of it, and the file that stands there meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Versions {
    /// The common ancestor's, ours and theirs.
    pub stages: Stages,
    /// The working file; `None` if there is none.
    pub working: Option<TreeEntry>,
}

/// How a path in conflict stands, compared with what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictStanding {
    /// Index and working file are just that.
    Exact,
    /// The index agrees, the working file does not.
    Modified,
    /// The index holds something else.
    Staged,
}

/// Returns how each of these conflicts stands, in order.
pub fn conflict_standings(
    repository: &Repository,
    expected: &[(&RepoPath, Versions)],
) -> Result<Vec<ConflictStanding>, GitError> {
    if expected.is_empty() {
        return Ok(Vec::new());
    }
    let conflicts = repository.conflicts()?;
    let working: Vec<_> = expected.iter().map(|(path, versions)| (*path, versions.working)).collect();
    let as_expected = stand_as(repository, &working)?;
    Ok(expected
        .iter()
        .zip(as_expected)
        .map(|((path, versions), as_expected)| match conflicts.get(path) {
            Some(stages) if *stages == versions.stages && as_expected => ConflictStanding::Exact,
            Some(stages) if *stages == versions.stages => ConflictStanding::Modified,
            _ => ConflictStanding::Staged,
        })
        .collect())
}

/// Returns whether each working file is that entry, or is not there where there is none; in order.
pub fn stand_as(repository: &Repository, expected: &[(&RepoPath, Option<TreeEntry>)]) -> Result<Vec<bool>, GitError> {
    let root = Root::open(repository.require_work_tree()?)?;
    let files: Vec<_> = expected.iter().filter_map(|(path, entry)| Some(((*path).clone(), (*entry)?))).collect();
    let mut states = repository.work_states(&files)?.into_iter();
    expected
        .iter()
        .map(|(path, entry)| match entry {
            Some(_) => Ok(states.next() == Some(WorkState::Unmodified)),
            None => match root.kind(path) {
                Err(GitError::BlockedPath { .. }) => Ok(true),
                kind => Ok(kind?.is_none()),
            },
        })
        .collect()
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
