//! `resolve`: ends the conflict that a merge leaves where one side archived a file and the other edited, renamed,
//! deleted or archived it too.
//!
//! [`Conflicts`] finds the sides: from the versions in the index, and where a rename took them apart, from the commits that
//! git was merging. A [`Choice`] then becomes changes of the tree: [`keep`] those for a stub, which has its evidence
//! already; [`restore`] and [`re_archive`] plans for the operations that leave new evidence. `docs/conflicts.md` has the table.

mod conflict;
mod marked;
mod plan;

pub use conflict::{Conflict, Conflicts, Edited, Home, Named, Side, Tomb};
pub use plan::{LeftBehind, check_own, keep, keep_left_behind, re_archive, restore};

use std::io;

use crate::git::GitError;
use crate::id::{ObjectId, Tombstone};
use crate::item::RepoPath;
use crate::journal::JournalError;
use crate::restore::LocateError;
use crate::store;

/// How a conflict ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The stub stays.
    KeepTomb,
    /// The file stays.
    Restore,
    /// The file is archived as well: its stub takes the place of the other one.
    ReArchive,
}

/// Why a conflict was not resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nothing is in conflict there.
    #[error("`{named}` is in no conflict")]
    NoConflict {
        /// What was named, quoted.
        named: String,
    },
    /// No side of the conflict is a stub.
    #[error("`{path}` is in a conflict in which no side is a stub")]
    Ordinary {
        /// The path.
        path: RepoPath,
    },
    /// A side has a submodule there.
    #[error("a side of `{path}` is a submodule")]
    Submodule {
        /// The path.
        path: RepoPath,
    },
    /// The program's own files are in conflict.
    #[error("`{path}` is in conflict, which belongs to git-archive-tomb")]
    Own {
        /// The path.
        path: RepoPath,
    },
    /// A side's stub cannot be read.
    #[error("a side of `{path}` is a stub that {}", if *.newer { "needs a newer git-archive-tomb" } else { "does not parse" })]
    Unreadable {
        /// The path.
        path: RepoPath,
        /// Whether it is of a later version.
        newer: bool,
    },
    /// The working file is none of the versions, nor both as git marks them: somebody worked on it.
    #[error("`{path}` was changed since the conflict began")]
    Changed {
        /// The path.
        path: RepoPath,
    },
    /// A folder stands where a file belongs.
    #[error("`{path}` cannot be written: a folder is in the way")]
    Blocked {
        /// The path.
        path: RepoPath,
    },
    /// The commit to come would have the stub in place of a file that it does not stand for.
    #[error("the stub at `{path}` would hide the file that commit {commit} has there")]
    Hides {
        /// The path.
        path: RepoPath,
        /// The only parent of the commit to come.
        commit: ObjectId,
    },
    /// No commit holds the edited file.
    #[error("no commit holds the edited version of `{path}`")]
    Uncommitted {
        /// The path.
        path: RepoPath,
    },
    /// There is no edited file to be archived.
    #[error("there is no edited version of `{path}` to archive: {}", if *.twice { "both sides archived it" } else { "the other side deleted it" })]
    NothingEdited {
        /// The path.
        path: RepoPath,
        /// Whether both sides are stubs.
        twice: bool,
    },
    /// Both sides archived the path, with different contents.
    #[error("both sides archived `{path}`, with different contents")]
    Ambiguous {
        /// The path.
        path: RepoPath,
        /// Our item and theirs.
        tombstones: [Tombstone; 2],
    },
    /// A stub does not agree with what is known of its item.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// The edited file cannot be archived.
    #[error(transparent)]
    Store(#[from] store::PlanError),
    /// There is no place for the versions that git is to merge.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Those could not be written or read.
    #[error("cannot compare `{path}` with its versions")]
    Compare {
        /// The path.
        path: RepoPath,
        /// Why not.
        source: io::Error,
    },
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}
