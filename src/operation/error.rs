//! Why an operation failed.

use std::error::Error;

use super::heads::HeadsError;
use crate::archive::ArchiveError;
use crate::causes::in_one_line;
use crate::change::{ChangeError, OwnFilesError};
use crate::evidence::log::LogError;
use crate::evidence::record::RecordError;
use crate::evidence::writer::WriteError;
use crate::git::GitError;
use crate::id::OperationId;
use crate::journal::JournalError;

/// Why an operation failed; `E` is the command's own part.
#[derive(Debug, thiserror::Error)]
pub enum OperationError<E: Error + 'static> {
    /// It was stopped half-way and could not be taken back; it can be finished or, unless it is final, undone.
    #[error("operation {op} is unfinished")]
    Unfinished {
        /// The operation.
        op: OperationId,
        /// Whether it can only be finished; see [`Operation::is_final`](super::Operation::is_final).
        is_final: bool,
        /// What stopped it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It cannot be undone any more.
    #[error("operation {op} cannot be undone: {holder} holds its evidence")]
    Published {
        /// The operation.
        op: OperationId,
        /// An index, or a commit.
        holder: String,
    },
    /// It cannot be undone: what it did to the archive is never taken back.
    #[error("operation {op} cannot be undone: a `{command}` that has begun in the archive is only ever finished")]
    Final {
        /// The operation.
        op: OperationId,
        /// What the journal calls the command.
        command: &'static str,
    },
    /// It was interrupted, and everything was taken back.
    #[error("interrupted, and nothing was changed")]
    Interrupted,
    /// The command's own part failed.
    #[error(transparent)]
    Command(E),
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Git, or the working tree, failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operations log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record could not be written, or read back.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The evidence could not be built.
    #[error(transparent)]
    Evidence(#[from] WriteError),
    /// The evidence that is there could not be read.
    #[error(transparent)]
    Heads(#[from] HeadsError),
    /// The program's own files are not as they have to be.
    #[error(transparent)]
    Own(#[from] OwnFilesError),
    /// The tree could not be changed.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl<E: Error + 'static> OperationError<E> {
    /// Returns the text of the error and of its causes, for a record.
    pub(super) fn chain(&self) -> String {
        in_one_line(self).chars().take(2000).collect()
    }
}
