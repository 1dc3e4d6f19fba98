//! Purges that were made by other rules than those that hold here: the rules are the settings of whoever runs the program.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::archive::AnyArchive;
use crate::evidence::record::Action;
use crate::git::Repository;
use crate::id::{Sha256, Tombstone};
use crate::item::RepoPath;
use crate::signature::SignatureError;

use super::error::GovernanceError;
use super::evidence::all;
use super::ledger::{Ledger, Told};
use super::obstacle::Obstacle;
use super::rules::{Judge, judge_past};
use super::signing::Standing;

/// A purge whose approvals do not count here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unfounded {
    /// The item.
    pub tombstone: Tombstone,
    /// Its path, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<RepoPath>,
    /// The request that was used.
    pub request: String,
    /// What it lacks.
    pub obstacle: Obstacle,
    /// How sure that is.
    pub kind: UnfoundedKind,
}

/// How sure it is that a purge was made by other rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnfoundedKind {
    /// It rests on what does not count, though people signed in this archive before.
    Breach,
    /// Nobody had signed anything in this archive: the purge may be older than the rule.
    Earlier,
    /// Approvals are missing and may be in evidence that this repository does not have.
    Missing,
}

impl UnfoundedKind {
    /// Returns what follows from it, as a clause.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Breach => "nothing brings the bytes back",
            Self::Earlier => "nobody had signed anything in this archive by then",
            Self::Missing => "the others may be in a branch that was not fetched",
        }
    }
}

/// Returns the purges in the archive whose approvals do not count, in the order in which they were made. Without
/// `governance.signed` there are none: then anybody's word counts.
pub fn unfounded(
    repository: &Repository,
    archive: &mut AnyArchive,
    judge: &Judge<'_>,
) -> Result<Vec<Unfounded>, GovernanceError> {
    if !judge.policy.signed {
        return Ok(Vec::new());
    }
    let mut events = Vec::new();
    let mut last = 0;
    loop {
        let page = archive.governance_page(last)?;
        let Some((end, _)) = page.last() else { break };
        last = *end;
        events.extend(page.iter().filter_map(|(_, event)| Told::of_event(event)));
    }
    if !events.iter().any(|told| told.record.action == Action::Purge) {
        return Ok(Vec::new());
    }
    let mut contents: BTreeMap<Sha256, Vec<Told>> = BTreeMap::new();
    for told in events.iter().cloned().chain(all(repository)?.records) {
        if let Some(sha256) = told.record.sha256 {
            contents.entry(sha256).or_default().push(told);
        }
    }
    Ok(unfounded_among(judge, &events, &contents)?)
}

/// Returns the same of the archive's `events` by all that is known of their contents.
pub(super) fn unfounded_among(
    judge: &Judge<'_>,
    events: &[Told],
    contents: &BTreeMap<Sha256, Vec<Told>>,
) -> Result<Vec<Unfounded>, SignatureError> {
    if !judge.policy.signed {
        return Ok(Vec::new());
    }
    let (mut found, mut looked_at, mut signed) = (Vec::new(), BTreeSet::new(), false);
    for told in events {
        let record = &told.record;
        if record.action != Action::Purge {
            // By the order of the archive, and not by what records say of their time.
            signed = signed || matches!(judge.verifier.standing(record, record.ts)?, Standing::Signed { .. });
            continue;
        }
        let Some((tombstone, sha256)) = record.tombstone.zip(record.sha256) else { continue };
        // The first is about the target; the others only name what lost its bytes along with it.
        let request = record.request.clone().unwrap_or_default();
        if !looked_at.insert((sha256, request.clone())) {
            continue;
        }
        let ledger = Ledger::of_records(&sha256, contents.get(&sha256).into_iter().flatten().cloned());
        if let Some(obstacle) = judge_past(judge, &ledger, record)? {
            let kind = match &obstacle {
                Obstacle::Approvals { void, .. } if void.is_empty() => UnfoundedKind::Missing,
                _ if signed => UnfoundedKind::Breach,
                _ => UnfoundedKind::Earlier,
            };
            found.push(Unfounded { tombstone, path: record.repo_path(), request, obstacle, kind });
        }
    }
    Ok(found)
}
