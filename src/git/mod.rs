//! Git: the only place that opens a repository, reads its objects or starts `git`.
//!
//! Raw objects come from libgit2's object database in process, or from a long-lived `git cat-file` where libgit2 lacks
//! them; trees and commits are then read by our own parsers, so that parents are what the commit says and nothing else.
//! Everything about the index, configuration, attributes and conversion is asked of `git` itself, which knows every
//! kind of repository. The design is in `docs/git.md`.

mod attributes;
mod blobs;
mod branch;
mod command;
mod commit;
mod config;
mod error;
mod gap;
mod holders;
mod index;
mod lock;
mod merge;
mod message;
mod objects;
mod occurrences;
mod pathspec;
mod repository;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tracked;
mod tree;
mod upstream;
mod worktree;

pub use attributes::{AttributeLine, AttributeSource, AttributeValue, attribute_pattern, attribute_pattern_below};
pub use branch::BranchName;
pub use commit::{Commit, History};
pub use config::{ConfigEntry, GitConfig};
pub use error::GitError;
pub use gap::Gap;
pub use holders::{Held, Holder};
pub use index::{ConflictState, IndexChanges, IndexEntry, Stages, WorkState};
pub use lock::{IndexLock, IndexUpdate, StagedFiles, remove_stale_lock, stale_lock_note};
pub use merge::{Merged, Unfinished, UnfinishedKind};
pub use objects::{Object, ObjectKind, Objects};
pub use occurrences::{Added, Named, Occurrences, Staged, WorkTree};
pub use pathspec::{Expansion, Overlap, Untracked};
pub(crate) use pathspec::{excludes, without_here};
pub use repository::{Head, ObjectFormat, Reference, Repository};
pub use tracked::Tracked;
pub(crate) use tracked::literal;
pub(crate) use tree::Tree;
pub use tree::{Change, MODE_FOLDER, MODE_SUBMODULE, TreeDiff, TreeEntry, TreeWalk};
pub use worktree::{FileIdentity, FileKind, Root};
