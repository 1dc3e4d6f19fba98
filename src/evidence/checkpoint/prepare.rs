//! What a new checkpoint states, if it may be signed.

use std::collections::HashSet;

use crate::clock::Timestamp;
use crate::evidence::check::Integrity;
use crate::git::{GitError, Repository};
use crate::id::Sha256;
use crate::item::RepoPath;
use crate::signature::{AllowedSigners, SignatureError, Verdict};

use super::format::{CheckpointError, MAX_LENGTH, Statement};
use super::judge::Candidate;
use super::latest;
use super::set::{Contradiction, EvidenceSet};

/// Room for a signature below the statement, in bytes.
const ROOM_FOR_SIGNATURE: u64 = 64 << 10;

/// Why nobody should sign.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// There is no evidence.
    #[error("there is no evidence to sign")]
    Nothing,
    /// Some of it is broken, or of a later format.
    #[error("the evidence is not whole: `{path}` is no intact evidence file")]
    Broken {
        /// The file.
        path: RepoPath,
    },
    /// Something is dated in the future.
    #[error("`{name}` is dated in the future: a clock is wrong, here or where it was made")]
    Future {
        /// The evidence file or checkpoint.
        name: String,
    },
    /// A file that should be a checkpoint is none.
    #[error("`{name}` is no checkpoint that this program can read")]
    Checkpoint {
        /// The file.
        name: String,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// Evidence that an earlier checkpoint vouches for is not here.
    #[error("the checkpoint `{name}` does not hold here")]
    Lost {
        /// The file.
        name: String,
        /// How.
        source: Contradiction,
    },
    /// The statement is too long.
    #[error("there are too many evidence files that no other one names")]
    TooLong,
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Signatures of earlier checkpoints could not be checked.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// Returns the statement about the evidence that is here, all of which was checked as `integrity` says.
///
/// Earlier checkpoints have to hold, unless somebody else than `signers`, where they are known, signed them: anybody can
/// add one, and nobody should be kept from signing by that.
pub fn prepare(
    repository: &Repository,
    integrity: &Integrity,
    repo: &str,
    signers: Option<&AllowedSigners>,
    now: Timestamp,
) -> Result<Statement, PrepareError> {
    if let Some(broken) = integrity.files.iter().find(|file| file.outcome.is_err()) {
        return Err(PrepareError::Broken { path: broken.path.clone() });
    }
    let evidence = EvidenceSet::new(integrity);
    if evidence.is_empty() {
        return Err(PrepareError::Nothing);
    }
    if let Some(name) = evidence.younger(evidence.paths().map(|(digest, _)| digest), now) {
        return Err(PrepareError::Future { name: name.to_string() });
    }
    let mut statement = Statement {
        time: now,
        repo: repo.to_owned(),
        commit: repository.head()?.commit(),
        count: 0,
        evidence: Sha256::ZERO,
        heads: Vec::new(),
        absent: Vec::new(),
        previous: previous(repository, &evidence, signers, now)?,
    };
    evidence.describe(&mut statement);
    let length = statement.to_string().len() as u64;
    if length + ROOM_FOR_SIGNATURE > MAX_LENGTH { Err(PrepareError::TooLong) } else { Ok(statement) }
}

/// Returns the checkpoints in the index that no other one there names, sorted.
fn previous(
    repository: &Repository,
    evidence: &EvidenceSet,
    signers: Option<&AllowedSigners>,
    now: Timestamp,
) -> Result<Vec<Sha256>, PrepareError> {
    let (mut present, mut named) = (HashSet::new(), HashSet::new());
    for candidate in Candidate::in_index(repository)? {
        let name = candidate.name.clone();
        let checkpoint = match candidate.read(repository)? {
            Ok(checkpoint) => checkpoint,
            Err(source) => return Err(PrepareError::Checkpoint { name, source }),
        };
        let problem = if latest(now) < checkpoint.statement.time {
            Some(PrepareError::Future { name })
        } else {
            evidence.extent(&checkpoint.statement).err().map(|source| PrepareError::Lost { name, source })
        };
        if let Some(problem) = problem {
            match signers {
                Some(signers) if !matches!(checkpoint.verdict(signers)?, Verdict::Good { .. }) => continue,
                _ => return Err(problem),
            }
        }
        present.insert(checkpoint.sha256);
        named.extend(checkpoint.statement.previous);
    }
    let mut heads: Vec<Sha256> = present.difference(&named).copied().collect();
    heads.sort_unstable();
    Ok(heads)
}
