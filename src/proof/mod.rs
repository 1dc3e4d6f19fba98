//! What an auditor checks offline: one folder with all that is known of an item.
//!
//! It has the whole evidence graph and a short script that needs `sha256sum` and `ssh-keygen`. What the records say, their
//! order, what was signed and the item's facts are derived there again from evidence. What cannot be, is a claim and named as
//! one: whom to believe, the commits, what the archive alone has. `docs/governance.md` specifies it.

mod folder;

use std::path::Path;

use serde::Serialize;

use crate::archive::{AnyArchive, ArchiveError, ItemState, StoredItem};
use crate::clock::Timestamp;
use crate::evidence::checkpoint::judge::JudgeError;
use crate::evidence::record::RecordError;
use crate::export::{ExportError, build};
use crate::git::{GitError, Repository};
use crate::governance::Verdicts;
use crate::id::{ObjectId, Sha256, Tombstone};
use crate::item::{FileMode, JsonPath, RepoPath};
use crate::signature::{AllowedSigners, SignatureError};

/// The script that checks a proof.
pub const CHECK: &str = include_str!("check.sh");

/// An item that is to be proved, and what is believed.
pub struct Proof<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The item.
    pub item: Subject<'a>,
    /// The archive, where there is one.
    pub archive: Option<&'a mut AnyArchive>,
    /// The text of the stub that stands for it.
    pub stub: Option<Vec<u8>>,
    /// Whose signatures count, where that is known.
    pub signers: Option<AllowedSigners>,
    /// The names that the repository has, or had.
    pub repos: Vec<String>,
}

/// The facts of an item.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its tombstone.
    pub tombstone: Tombstone,
    /// The repository that it was archived from.
    pub repo: &'a str,
    /// Where it stood.
    pub path: &'a RepoPath,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// The length of its bytes.
    pub size: u64,
    /// Its mode.
    pub mode: FileMode,
    /// The commit whose tree held it.
    pub commit: ObjectId,
    /// The blob that it was.
    pub object: ObjectId,
    /// Its row in the archive.
    pub stored: Option<&'a StoredItem>,
}

/// What went into a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proved {
    /// The digest of the manifest, `SHA256SUMS`.
    pub digest: Sha256,
    /// How many evidence files there are.
    pub evidence: u64,
    /// How many records of the item they have.
    pub records: u64,
    /// How many of these are signed by somebody who is believed.
    pub signed: u64,
    /// How many signatures count for nothing.
    pub rejected: u64,
    /// How many checkpoints vouch for evidence.
    pub checkpoints: u64,
    /// The evidence files that are not in it because they cannot be read.
    pub left_out: Vec<String>,
}

/// Why a proof was not written. Nothing stands at its place then.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The folder could not be made.
    #[error(transparent)]
    Folder(#[from] ExportError),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The archive failed, or is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Signatures could not be checked.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Checkpoints could not be judged.
    #[error(transparent)]
    Checkpoint(#[from] JudgeError),
    /// A record could not be written down again.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// No evidence at hand has a record of the item: there is nothing to prove.
    #[error("no evidence here has a record of item `{tombstone}`")]
    NoEvidence {
        /// The item.
        tombstone: Tombstone,
    },
}

/// `item.json`. Its facts come as an `ARCHIVE` record has them: so the script compares them as text.
#[derive(Serialize)]
struct ItemLine<'a> {
    schema: &'static str,
    repo: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
    tombstone: Tombstone,
    sha256: Sha256,
    size: u64,
    object: ObjectId,
    mode: FileMode,
    commit: ObjectId,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<ItemState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purged_at: Option<Timestamp>,
}

impl<'a> From<&Subject<'a>> for ItemLine<'a> {
    fn from(item: &Subject<'a>) -> Self {
        let path = JsonPath::from(item.path);
        Self {
            schema: "archive-proof/1",
            repo: item.repo,
            path: path.path,
            path_b64: path.path_b64,
            tombstone: item.tombstone,
            sha256: item.sha256,
            size: item.size,
            object: item.object,
            mode: item.mode,
            commit: item.commit,
            archived_by: item.stored.map(|stored| stored.item.archived_by.as_str()),
            archived_at: item.stored.map(|stored| stored.item.archived_at),
            state: item.stored.map(|stored| stored.state),
            purged_at: item.stored.and_then(|stored| stored.purged_at),
        }
    }
}

/// `about.json`.
#[derive(Serialize)]
struct About<'a> {
    made_at: Timestamp,
    program: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<&'a str>,
    /// Whether whoever made it named people whose signatures count.
    signers: bool,
    /// Records of the archive that tell of places on somebody's machine.
    records_left_out: u64,
    evidence_left_out: &'a [String],
}

/// Writes the proof to the folder `place`, which must not exist; its parent must. It is there whole or not at all.
pub fn prove(mut proof: Proof<'_>, place: &Path) -> Result<Proved, ProofError> {
    let verdicts = Verdicts::new(proof.signers.clone());
    build(place, |folder| folder::fill(folder, place, &mut proof, &verdicts))
}
