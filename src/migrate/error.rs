//! What can keep an archive from being copied.

use crate::archive::{ArchiveError, ReadError};
use crate::clock::Timestamp;
use crate::export::described;
use crate::id::{Sha256, Tombstone};
use crate::item::RepoPath;

/// Why an archive was not copied. The source is as it was.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Source and target are one archive.
    #[error("the archive cannot be copied to itself")]
    Same,
    /// The source is superseded by another archive than the target.
    #[error("the archive that is to be copied is superseded by archive `{by}`")]
    Superseded {
        /// That archive.
        by: String,
    },
    /// The source failed, or is damaged.
    #[error("cannot read the archive that is to be copied")]
    Source(#[source] ArchiveError),
    /// The target failed, or cannot become the copy.
    #[error("cannot make the copy")]
    Target(#[source] ArchiveError),
    /// A content is damaged in the source.
    #[error("cannot copy {}", described(*sha256, item.as_ref()))]
    Damaged {
        /// The content.
        sha256: Sha256,
        /// An item that has it.
        item: Option<(Tombstone, RepoPath)>,
        /// What is wrong.
        source: Box<ReadError>,
    },
    /// A content does not come out of the copy as it went in.
    #[error("the copy does not give back {}", described(*sha256, item.as_ref()))]
    NotWhole {
        /// The content.
        sha256: Sha256,
        /// An item that has it.
        item: Option<(Tombstone, RepoPath)>,
        /// What is wrong.
        source: Box<ReadError>,
    },
    /// A content was purged in the source, and the copy has its bytes.
    #[error("content `{sha256}` was purged at {purged_at}, after it was copied")]
    Purged {
        /// The content.
        sha256: Sha256,
        /// When.
        purged_at: Timestamp,
    },
    /// The source has begun to destroy the bytes of a content, and has not ended.
    #[error("content `{sha256}` is being destroyed in the archive that is to be copied, since {begun_at}")]
    Unfinished {
        /// The content.
        sha256: Sha256,
        /// When that began.
        begun_at: Timestamp,
    },
    /// A content was purged, and the source still, or again, has its bytes.
    #[error(
        "content `{sha256}` was purged at {purged_at}, says {evidence}, and the archive that is to be copied has its bytes"
    )]
    Kept {
        /// The content.
        sha256: Sha256,
        /// When.
        purged_at: Timestamp,
        /// What tells of it: an evidence file, or an event of the archive.
        evidence: String,
    },
    /// The two do not hold the same in the end.
    #[error("the copy holds something else than its source: digest `{target_digest}` and not `{source_digest}`")]
    Differ {
        /// The digest of the source.
        source_digest: Sha256,
        /// The digest of the target.
        target_digest: Sha256,
    },
}
