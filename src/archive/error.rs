//! What can go wrong with an archive.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::ObjectsError;
use crate::clock::Timestamp;
use crate::id::{OperationId, Sha256, Tombstone};
use crate::retry::Class;

/// A setting of a server that can be in an archive's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// MariaDB's `log_bin_trust_function_creators`: off, and there is a binary log.
    TrustFunctionCreators,
    /// MariaDB's `binlog_format`: `STATEMENT`, which cannot log what depends on what others write.
    BinlogFormat,
}

/// Why an archive could not be opened, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is no archive, and none was to be made.
    #[error("there is no archive at `{archive}`")]
    Missing {
        /// Where it was looked for: the file, or the URL without secrets.
        archive: String,
    },
    /// The file's place cannot be used.
    #[error("cannot use `{}` for an archive", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is a symbolic link.
    #[error("`{}` is a symbolic link, which is not followed", path.display())]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// The file is on a network file system, whose locks an embedded archive cannot rely on.
    #[error("`{}` is on a network file system ({kind}), where an embedded archive is not safe", path.display())]
    NetworkFilesystem {
        /// The file.
        path: PathBuf,
        /// The file system's name.
        kind: &'static str,
    },
    /// The file is no database, or one that some other program made.
    #[error("`{archive}` is not an archive: {reason}")]
    NotAnArchive {
        /// The archive, as people know it: its file, or its URL without secrets.
        archive: String,
        /// What it is instead.
        reason: &'static str,
    },
    /// The file is an archive of the Python tool, which `import` takes over.
    #[error("`{archive}` is an archive of the Python tool")]
    PythonArchive {
        /// The archive, as people know it: its file, or its URL without secrets.
        archive: String,
    },
    /// Another archive is there by now than the one that was opened.
    #[error("another archive is at `{archive}` by now: {found} and no longer {opened}")]
    Replaced {
        /// Its URL without secrets.
        archive: String,
        /// The id of the archive that was opened.
        opened: Box<str>,
        /// The id of the one that is there.
        found: Box<str>,
    },
    /// The archive is older than this program; `init` brings it up to date.
    #[error("the archive `{archive}` has schema {found} and this program needs schema {current}")]
    Older {
        /// The archive, as people know it: its file, or its URL without secrets.
        archive: String,
        /// The archive's schema: the number of its newest migration.
        found: u32,
        /// This program's schema.
        current: u32,
    },
    /// The archive is newer than this program.
    #[error("the archive `{archive}` has schema {found} and needs git-archive-tomb {needs} or newer")]
    Newer {
        /// The archive, as people know it: its file, or its URL without secrets.
        archive: String,
        /// The archive's schema: the number of its newest migration.
        found: u32,
        /// The first version of the program that knows it.
        needs: String,
    },
    /// The archive's schema was made by a migration other than this program's of that number.
    #[error("migration {version} of the archive `{archive}` is not this program's migration {version}")]
    ChangedMigration {
        /// The archive, as people know it: its file, or its URL without secrets.
        archive: String,
        /// The migration's number.
        version: u32,
    },
    /// The content was purged: its bytes were destroyed and must not come back.
    #[error("content `{sha256}` was purged at {purged_at}")]
    Purged {
        /// The content.
        sha256: Sha256,
        /// When.
        purged_at: Timestamp,
    },
    /// A request for a purge that another one has used.
    #[error("request `{}` is used: a purge began by it", request.escape_debug())]
    RequestUsed {
        /// Its id.
        request: String,
    },
    /// No purge was begun by this operation.
    #[error("operation `{op}` has begun no purge")]
    NoSuchPurge {
        /// The operation.
        op: OperationId,
    },
    /// Another program reads the archive and keeps bytes that were destroyed from going.
    #[error("another program that reads the archive keeps destroyed bytes from going")]
    InUse,
    /// An item's content is not in the archive.
    #[error("content `{sha256}` is not in the archive")]
    MissingArtifact {
        /// The content.
        sha256: Sha256,
    },
    /// A block that an artifact is made of is not in the archive.
    #[error("a block of content `{sha256}` is not in the archive")]
    MissingBlock {
        /// The content.
        sha256: Sha256,
    },
    /// No item has this tombstone.
    #[error("no item has tombstone `{tombstone}`")]
    NoSuchItem {
        /// The tombstone.
        tombstone: Tombstone,
    },
    /// The start of a tombstone that is too short to be one on purpose.
    #[error("`{}` is too short for a tombstone's start (8 characters)", prefix.escape_debug())]
    ShortPrefix {
        /// The text.
        prefix: String,
    },
    /// The operation was begun in another clone, and only that one may take it back.
    #[error("operation `{op}` was begun in another clone")]
    OtherOrigin {
        /// The operation.
        op: OperationId,
    },
    /// Another archive took the place of this one, which takes no changes any more.
    #[error("the archive is superseded by archive `{by}` and takes no changes")]
    Superseded {
        /// The id of the archive that is to be used instead.
        by: String,
    },
    /// The archive is not an unfinished copy of the one that is to be copied.
    #[error("the archive holds data of its own and is no unfinished copy of archive `{of}`")]
    NotACopy {
        /// The id of the archive that is to be copied.
        of: String,
    },
    /// A stored value is not what the archive's format allows.
    #[error("the archive is damaged: {what}")]
    Damaged {
        /// What and where, as a noun phrase.
        what: String,
    },
    /// The server of the archive cannot be reached.
    #[error("cannot reach the archive `{archive}`")]
    Unreachable {
        /// Its URL without secrets.
        archive: String,
        /// What the system or the driver said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server does not let us in.
    #[error("the archive `{archive}` refuses the login")]
    LoginRefused {
        /// Its URL without secrets.
        archive: String,
        /// What the server said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server asks for a login that this program cannot make.
    #[error("cannot log in to the archive `{archive}`")]
    LoginUnknown {
        /// Its URL without secrets.
        archive: String,
        /// What cannot be done.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server has no such database.
    #[error("there is no database for the archive `{archive}`")]
    NoDatabase {
        /// Its URL without secrets.
        archive: String,
        /// What the server said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server let us in, but not do this.
    #[error("the archive does not let this user {action}")]
    Forbidden {
        /// What it was asked to do, as a verb phrase.
        action: &'static str,
        /// What the server said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The archive takes no changes just now, whoever asks: a copy of another server, a file that cannot be written.
    #[error("the archive is read-only, and could not {action}")]
    ReadOnly {
        /// What it was asked to do, as a verb phrase.
        action: &'static str,
        /// What the engine said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server is set up so that it does not take what an archive needs.
    #[error("the server is not set up for an archive: it could not {action}")]
    Setup {
        /// What it was asked to do, as a verb phrase.
        action: &'static str,
        /// The setting that is in the way.
        setting: Setting,
        /// What the server said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// This build of the program has neither archives on servers nor object stores.
    #[error("cannot use `{place}`: this program was built without the feature `net`")]
    NotBuiltIn {
        /// The URL of the archive, or of the store of its objects, without secrets.
        place: String,
    },
    /// No connection comes about that is as safe as the URL asks for: no encryption, a certificate that is not trusted.
    #[error("no connection to the archive `{archive}` that satisfies its URL")]
    Insecure {
        /// Its URL without secrets.
        archive: String,
        /// What the driver said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The URL of a server says something that this program does not understand.
    #[error("the URL `{archive}` cannot be used: {reason}")]
    Address {
        /// The URL without secrets.
        archive: String,
        /// What is wrong, as a fragment.
        reason: String,
    },
    /// The connection to the server broke while it was asked something. What was to be changed may have been changed.
    #[error("lost the connection to the archive, which was to {action}")]
    Lost {
        /// What it was asked to do, as a verb phrase.
        action: &'static str,
        /// What the system or the driver said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database is locked by another program for longer than was waited. Worth trying again.
    #[error("the archive is busy")]
    Busy {
        /// What the engine said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The objects that keep the archive's bytes cannot be used, or not as they are.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The engine failed.
    #[error("the archive could not {action}")]
    Engine {
        /// What it was asked to do, as a verb phrase.
        action: &'static str,
        /// What the engine said.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl ArchiveError {
    /// Returns whether what the archive holds is at fault, rather than its reach.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::MissingBlock { .. } => true,
            Self::Objects(error) => error.is_damage(),
            _ => false,
        }
    }

    /// Returns whether the same may succeed when it is tried again.
    pub fn class(&self) -> Class {
        match self {
            Self::Busy { .. } | Self::Unreachable { .. } | Self::Lost { .. } => Class::Transient,
            Self::Place { source, .. } if source.kind() == io::ErrorKind::Interrupted => Class::Transient,
            Self::Objects(error) => error.class(),
            _ => Class::Permanent,
        }
    }
}

/// Returns the error for a stored value that is not what the format allows.
pub(super) fn damaged(what: impl Into<String>) -> ArchiveError {
    ArchiveError::Damaged { what: what.into() }
}

/// Returns `text`, the value of `column`, as what it is the printed form of.
pub(super) fn parse<T: std::str::FromStr>(text: &str, column: &str) -> Result<T, ArchiveError> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
        damaged(format!("`{shown}` in column `{column}`"))
    })
}
