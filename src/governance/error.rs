//! Why a question of governance has no answer.

use crate::archive::ArchiveError;
use crate::git::GitError;
use crate::signature::SignatureError;

/// Why it could not be found out what the records of governance come to.
#[derive(Debug, thiserror::Error)]
pub enum GovernanceError {
    /// The archive failed, or is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Signatures could not be checked.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}
