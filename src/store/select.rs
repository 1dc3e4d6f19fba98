//! Which paths a store is asked for.

use std::ops::ControlFlow;

use bstr::{BString, ByteSlice};

use super::plan::{Candidate, PlanError};
use super::{Label, Refusal, RefusalReason};
use crate::git::{GitError, MODE_SUBMODULE, Overlap, Repository, Untracked, without_here};
use crate::id::ObjectId;
use crate::item::FileMode;
use crate::manifest::{Mistake, Mistakes};
use crate::places;

/// Of how many requests that match nothing it is found out why: each costs up to three children.
const MAX_REASONS: usize = 1000;

/// Paths that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// What git is asked to match, relative to where the caller stands.
    pub(super) pathspec: BString,
    /// What they are archived as: a place among the labels.
    pub(super) label: usize,
    /// The row of the manifest that asks.
    pub(super) row: Option<RowPlace>,
}

/// Where a row stands in its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowPlace {
    /// Its number, from 1.
    pub(super) number: usize,
    /// The line that it begins in, from 1.
    pub(super) line: usize,
}

impl Request {
    /// Returns what an argument asks for: it has the one label that there is.
    pub(super) fn new(pathspec: BString) -> Self {
        Self { pathspec, label: 0, row: None }
    }

    fn row(&self) -> Option<usize> {
        self.row.map(|row| row.number)
    }
}

/// Returns what the requests match in the tree of `commit`, sorted by path; what else they name is refused.
pub(super) fn select(
    repository: &Repository,
    commit: &ObjectId,
    requests: &[Request],
    labels: &[Label],
    refusals: &mut Vec<Refusal>,
) -> Result<Vec<Candidate>, PlanError> {
    if requests.is_empty() {
        // To git, none would mean everything.
        return Ok(Vec::new());
    }
    let pathspecs: Vec<BString> = requests.iter().map(|request| request.pathspec.clone()).collect();
    let by_rows = requests.iter().any(|request| request.row.is_some());
    let mut expansion = if by_rows {
        let mut contradictions = Mistakes::default();
        let expansion = repository.expand_each(commit, &pathspecs, &mut |overlap| {
            let Some(mistake) = contradiction(&overlap, requests, labels) else { return ControlFlow::Continue(()) };
            contradictions.add(mistake);
            ControlFlow::Break(())
        })?;
        if !contradictions.is_empty() {
            return Err(PlanError::Contradictions(contradictions));
        }
        expansion
    } else {
        repository.expand(commit, &pathspecs)?
    };
    // Without rows all say the same.
    expansion.owners.resize(expansion.entries.len(), 0);
    for (position, detail) in expansion.refused {
        let request = &requests[position];
        let reason = RefusalReason::Pathspec { detail };
        refusals.push(Refusal::new(request.pathspec.as_slice(), reason, request.row()));
    }
    for (number, position) in expansion.unmatched.into_iter().enumerate() {
        let request = &requests[position];
        let reason = if number < MAX_REASONS { why_unmatched(repository, request)? } else { RefusalReason::NoMatch };
        refusals.push(Refusal::new(request.pathspec.as_slice(), reason, request.row()));
    }
    let ours: Vec<_> = requests
        .iter()
        .map(|request| (full(repository, &request.pathspec), request))
        .filter(|(full, _)| is_ours(full))
        .collect();
    let mut candidates = Vec::new();
    for ((path, entry), owner) in expansion.entries.into_iter().zip(expansion.owners) {
        let (label, row) = (requests[owner].label, requests[owner].row());
        if path.is_within(places::CODEX.as_bytes()) {
            // A folder means its files without ours; whoever names ours means them.
            if let Some((_, request)) = ours.iter().find(|(full, _)| path.is_within(full)) {
                refusals.push(Refusal::new(path.as_bytes(), RefusalReason::Own, request.row()));
            }
            continue;
        }
        match FileMode::from_bits(entry.mode) {
            Some(mode) => candidates.push(Candidate { path, mode, object: entry.id, dirty: false, label, row }),
            None if entry.mode == MODE_SUBMODULE => {
                refusals.push(Refusal::new(path.as_bytes(), RefusalReason::Submodule, row));
            }
            None => refusals.push(Refusal::new(path.as_bytes(), RefusalReason::Mode(entry.mode), row)),
        }
    }
    Ok(candidates)
}

/// Says what is wrong with two rows that name one path and say something else of it; one path is enough to show it of two
/// folders.
fn contradiction(overlap: &Overlap<'_>, requests: &[Request], labels: &[Label]) -> Option<Mistake> {
    let (one, other) = (&requests[overlap.second], &requests[overlap.first]);
    if one.label == other.label {
        return None;
    }
    let (row, differs) = (one.row?, difference(&labels[other.label], &labels[one.label]));
    let number = other.row().unwrap_or_default();
    let what = format!("names {}, and so does row {number} with other {differs}", overlap.path);
    Some(Mistake { row: row.number, line: row.line, what })
}

/// Returns the first field in which two labels differ.
fn difference(one: &Label, other: &Label) -> &'static str {
    if one.reason != other.reason {
        "`reason`"
    } else if one.tags != other.tags {
        "`tags`"
    } else {
        "`metadata`"
    }
}

fn why_unmatched(repository: &Repository, request: &Request) -> Result<RefusalReason, GitError> {
    Ok(match repository.why_unmatched(&request.pathspec)? {
        Untracked::Staged => RefusalReason::NotInCommit,
        Untracked::Untracked => RefusalReason::Untracked,
        Untracked::Ignored => RefusalReason::Ignored,
        Untracked::Nothing => RefusalReason::NoMatch,
    })
}

/// Returns what a pathspec names if it is plain, from the top.
fn full(repository: &Repository, pathspec: &BString) -> Vec<u8> {
    let mut full = repository.prefix().to_vec();
    full.extend_from_slice(without_here(pathspec));
    full.truncate(full.trim_end_with(|end| end == '/').len());
    full
}

fn is_ours(full: &[u8]) -> bool {
    full.starts_with(places::CODEX.as_bytes())
}
