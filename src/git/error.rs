//! What can go wrong between us and a repository.

use std::io;
use std::path::PathBuf;

use super::ObjectKind;
use crate::id::ObjectId;
use crate::item::{RepoPath, RepoPathError};

/// Why something asked of git, or of a repository's files, did not happen.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git` on `PATH`, or it cannot be started.
    #[error("cannot start `git`")]
    GitNotFound(#[source] io::Error),
    /// The `git` on `PATH` is older than this program needs.
    #[error("git `{found}` is too old, 2.39 or later is needed")]
    GitTooOld {
        /// What it says of itself.
        found: String,
    },
    /// There is no such folder.
    #[error("there is no folder `{}`", dir.display())]
    NoSuchFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder is in no repository.
    #[error("`{}` is not in a git repository", dir.display())]
    NotARepository {
        /// The folder.
        dir: PathBuf,
    },
    /// The repository belongs to somebody else, and git refuses it (`safe.directory`).
    #[error("git refuses the repository of `{}`: {detail}", dir.display())]
    UnsafeOwnership {
        /// The folder from which the repository was looked for.
        dir: PathBuf,
        /// Git's own words, first line.
        detail: String,
    },
    /// Git itself cannot read the repository: a newer format, broken configuration.
    #[error("git cannot open the repository of `{}`: {detail}", dir.display())]
    UnreadableRepository {
        /// The folder from which the repository was looked for.
        dir: PathBuf,
        /// Git's own words.
        detail: String,
    },
    /// The command needs a working tree and there is none: a bare repository, or a folder inside `.git`.
    #[error("`{}` has no working tree here", git_dir.display())]
    NoWorkTree {
        /// The git directory.
        git_dir: PathBuf,
    },
    /// A `git` that was started failed.
    #[error("`git {command}` failed: {detail}")]
    Failed {
        /// The sub-command.
        command: &'static str,
        /// What it said on standard error, shortened.
        detail: String,
    },
    /// A `git` that was started said something that it should never say.
    #[error("`git {command}` answered in an unknown form")]
    UnexpectedAnswer {
        /// The sub-command.
        command: &'static str,
    },
    /// A `git` that was started could not be talked to.
    #[error("cannot talk to `git {command}`")]
    Pipe {
        /// The sub-command.
        command: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A file could not be used.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A revision names nothing.
    #[error("`{revision}` is not a revision of this repository")]
    UnknownRevision {
        /// The revision as it was given, shortened and without control characters.
        revision: String,
    },
    /// An object is not here.
    #[error("object `{id}` is missing{}", if *.shallow { " (the repository is shallow)" } else if *.partial { " (the repository is a partial clone)" } else { "" })]
    MissingObject {
        /// Its id.
        id: ObjectId,
        /// Whether the repository is shallow: `git fetch --unshallow` may bring it.
        shallow: bool,
        /// Whether the repository is a partial clone: its remote may have it.
        partial: bool,
    },
    /// An object is larger than the reader is ready for.
    #[error("object `{id}` has {size} bytes, more than the {limit} that are accepted here")]
    TooLarge {
        /// Its id.
        id: ObjectId,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An object is of another kind than what refers to it says.
    #[error("object `{id}` is a {found}, not a {expected}")]
    WrongKind {
        /// Its id.
        id: ObjectId,
        /// The kind it should have.
        expected: ObjectKind,
        /// The kind it has.
        found: ObjectKind,
    },
    /// An object's bytes break the rules of its kind.
    #[error("{kind} `{id}` is malformed: {reason}")]
    Malformed {
        /// Its id.
        id: ObjectId,
        /// Its kind.
        kind: ObjectKind,
        /// The rule, as a clause.
        reason: &'static str,
    },
    /// A folder on the way to a path is a symbolic link or no folder; it is never followed. Or a folder is where a file
    /// should be.
    #[error("`{path}` cannot be reached: `{parent}` is in the way")]
    BlockedPath {
        /// The path.
        path: RepoPath,
        /// What is in the way.
        parent: RepoPath,
    },
    /// Another process holds the index, or one that was killed left its lock.
    #[error("the index is locked: `{}` exists", path.display())]
    IndexLocked {
        /// The lock file.
        path: PathBuf,
    },
    /// A tree or the index names a path that leads out of the working tree or into `.git`.
    #[error("git holds a path that cannot be used")]
    InvalidPath(#[from] RepoPathError),
}
