//! Whether checkpoints hold: for the evidence that is here, by keys of people who are believed.

use std::collections::{HashMap, HashSet};

use bstr::BString;
use rayon::prelude::*;

use crate::clock::Timestamp;
use crate::evidence::format::EvidenceFileName;
use crate::git::{GitError, ObjectKind, Repository, TreeEntry};
use crate::id::Sha256;
use crate::item::{FileMode, RepoPath};
use crate::signature::{AllowedSigners, SignatureError, Verdict};

use super::format::{Checkpoint, CheckpointError, FOLDER, MAX_LENGTH};
use super::latest;
use super::set::{Contradiction, EvidenceSet};

/// What checkpoints are held against.
pub struct Judge<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The evidence that is here.
    pub evidence: &'a EvidenceSet,
    /// Whom to believe.
    pub signers: &'a AllowedSigners,
    /// The names that the repository has, or had.
    pub repos: &'a [String],
    /// The present.
    pub now: Timestamp,
}

/// A file that should be a checkpoint.
#[derive(Debug)]
pub struct Candidate {
    /// What it is called in messages.
    pub name: String,
    /// Where it is.
    pub place: Place,
}

/// Where a checkpoint is.
#[derive(Debug)]
pub enum Place {
    /// In the index.
    Index {
        /// Its path, of which its name has to be its own.
        path: RepoPath,
        /// What stands there.
        entry: TreeEntry,
    },
    /// Outside of the repository.
    Outside {
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// What was found.
#[derive(Debug)]
pub struct Judgement {
    /// Each of the candidates.
    pub judged: Vec<Judged>,
    /// The evidence that no good checkpoint is about, in the order of the paths.
    pub uncovered: Vec<RepoPath>,
}

/// What became of one candidate.
#[derive(Debug)]
pub struct Judged {
    /// What it is called in messages.
    pub name: String,
    /// Whether it is from outside of the repository.
    pub is_outside: bool,
    /// The digest of the file, if it is a checkpoint.
    pub sha256: Option<Sha256>,
    /// The checkpoint, if it is good.
    pub result: Result<Good, Problem>,
    /// The checkpoints that a good one names as its predecessors and that are nowhere.
    pub unknown: Vec<Sha256>,
}

/// A checkpoint that holds.
#[derive(Debug)]
pub struct Good {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Who signed it.
    pub principal: String,
    /// The fingerprint of the key.
    pub key: String,
}

/// Why a checkpoint counts for nothing, or against what is here.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It is no checkpoint.
    #[error(transparent)]
    Malformed(#[from] CheckpointError),
    /// The signature is not over the statement, or for something else.
    #[error("its signature is not one over what it states")]
    Forged,
    /// Nobody who is believed signed it.
    #[error("its signature with {key} of {time} counts for nothing: {why}")]
    Untrusted {
        /// The fingerprint of the key.
        key: String,
        /// When it says that it was signed.
        time: Timestamp,
        /// Why.
        why: String,
    },
    /// It is of another repository.
    #[error("{principal} signed it for the repository `{}`", crate::quote::quote(repo.as_bytes()))]
    OtherRepository {
        /// Who signed it.
        principal: String,
        /// The repository's name.
        repo: String,
    },
    /// It contradicts the evidence.
    #[error("{principal} signed it on {time}")]
    Contradicted {
        /// Who signed it.
        principal: String,
        /// When.
        time: Timestamp,
        /// How.
        source: Contradiction,
    },
    /// It is dated in the future.
    #[error("{principal} signed it on {time}, which is still to come")]
    Future {
        /// Who signed it.
        principal: String,
        /// When.
        time: Timestamp,
    },
    /// It is dated before evidence that it vouches for.
    #[error("{principal} signed it on {time}, before the evidence `{}` that it vouches for", evidence.as_str())]
    BeforeEvidence {
        /// Who signed it.
        principal: String,
        /// When.
        time: Timestamp,
        /// The evidence.
        evidence: EvidenceFileName,
    },
    /// It is dated before a checkpoint that it names as its predecessor.
    #[error("{principal} signed it on {time}, before the checkpoint `{previous}` that it names")]
    BeforePrevious {
        /// Who signed it.
        principal: String,
        /// When.
        time: Timestamp,
        /// The other checkpoint.
        previous: Sha256,
    },
}

/// Why checkpoints could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Signatures could not be checked.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Candidate {
    /// Returns what stands in the checkpoints' folder of the index.
    pub fn in_index(repository: &Repository) -> Result<Vec<Self>, GitError> {
        let folder = BString::from(format!(":(top,literal){FOLDER}"));
        let entries = repository.tracked_entries(&[folder])?.into_iter().filter(|entry| entry.stage == 0);
        let candidate = |path: RepoPath, entry| Self { name: path.to_string(), place: Place::Index { path, entry } };
        Ok(entries.map(|entry| candidate(entry.path, entry.entry)).collect())
    }

    /// Reads the checkpoint.
    pub(super) fn read(&self, repository: &Repository) -> Result<Result<Checkpoint, CheckpointError>, GitError> {
        let (path, entry) = match &self.place {
            Place::Outside { bytes } => return Ok(Checkpoint::parse(bytes)),
            Place::Index { path, entry } => (path, entry),
        };
        if entry.mode != FileMode::Regular.bits() {
            return Ok(Err(CheckpointError::NotAFile));
        }
        match repository.fetching_objects().read_kind(&entry.id, ObjectKind::Blob, MAX_LENGTH) {
            Ok(bytes) => Ok(Checkpoint::parse_at(path, &bytes)),
            Err(GitError::TooLarge { .. }) => Ok(Err(CheckpointError::TooLong)),
            Err(error) => Err(error),
        }
    }
}

impl Problem {
    /// Returns whether the checkpoint merely counts for nothing: anybody can add such a one, and nothing is wrong with what
    /// is here.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Untrusted { .. })
    }
}

impl Judge<'_> {
    /// Judges all candidates, each by itself and then together.
    pub fn judge(&self, candidates: &[Candidate]) -> Result<Judgement, JudgeError> {
        let mut judged: Vec<Judged> =
            candidates.par_iter().map(|candidate| self.judge_one(candidate)).collect::<Result<_, _>>()?;
        let present: HashSet<Sha256> = judged.iter().filter_map(|judged| judged.sha256).collect();
        let times: HashMap<Sha256, Timestamp> =
            good(&judged).map(|(_, good)| (good.checkpoint.sha256, good.checkpoint.statement.time)).collect();
        for judged in &mut judged {
            let Ok(good) = &judged.result else { continue };
            let statement = &good.checkpoint.statement;
            let previous = &statement.previous;
            judged.unknown = previous.iter().filter(|previous| !present.contains(previous)).copied().collect();
            let is_younger =
                |previous: &&Sha256| times.get(previous).is_some_and(|time| latest(statement.time) < *time);
            if let Some(previous) = previous.iter().find(is_younger).copied() {
                let (principal, time) = (good.principal.clone(), statement.time);
                judged.result = Err(Problem::BeforePrevious { principal, time, previous });
            }
        }
        let mut covered = HashSet::new();
        for (_, good) in good(&judged) {
            covered.extend(self.evidence.extent(&good.checkpoint.statement).unwrap_or_default());
        }
        let uncovered = self.evidence.paths().filter(|(digest, _)| !covered.contains(digest));
        let mut uncovered: Vec<RepoPath> = uncovered.map(|(_, path)| path.clone()).collect();
        uncovered.sort();
        Ok(Judgement { judged, uncovered })
    }

    fn judge_one(&self, candidate: &Candidate) -> Result<Judged, JudgeError> {
        let is_outside = matches!(candidate.place, Place::Outside { .. });
        let (sha256, result) = match candidate.read(self.repository)? {
            Ok(checkpoint) => (Some(checkpoint.sha256), self.examine(checkpoint)?),
            Err(error) => (None, Err(error.into())),
        };
        Ok(Judged { name: candidate.name.clone(), is_outside, sha256, result, unknown: Vec::new() })
    }

    /// Asks whose the checkpoint is, and then whether it holds: what strangers claim is nobody's concern.
    fn examine(&self, checkpoint: Checkpoint) -> Result<Result<Good, Problem>, JudgeError> {
        let statement = &checkpoint.statement;
        let time = statement.time;
        let (principal, key) = match checkpoint.verdict(self.signers)? {
            Verdict::Good { principal, key } => (principal, key),
            Verdict::Untrusted { key, why } => return Ok(Err(Problem::Untrusted { key, time, why })),
            Verdict::Forged => return Ok(Err(Problem::Forged)),
        };
        if !self.repos.contains(&statement.repo) {
            return Ok(Err(Problem::OtherRepository { principal, repo: statement.repo.clone() }));
        }
        let extent = match self.evidence.extent(statement) {
            Ok(extent) => extent,
            Err(source) => return Ok(Err(Problem::Contradicted { principal, time, source })),
        };
        if latest(self.now) < time {
            return Ok(Err(Problem::Future { principal, time }));
        }
        if let Some(evidence) = self.evidence.younger(&extent, time) {
            return Ok(Err(Problem::BeforeEvidence { principal, time, evidence }));
        }
        Ok(Ok(Good { checkpoint, principal, key }))
    }
}

/// Returns the checkpoints that are good so far.
pub fn good(judged: &[Judged]) -> impl Iterator<Item = (&Judged, &Good)> {
    judged.iter().filter_map(|judged| Some((judged, judged.result.as_ref().ok()?)))
}
