//! Whether bytes may be handed out: never those of a purged item, and where the settings ask for approvals only with them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::archive::{AnyArchive, ArchiveError, StoredItem};
use crate::clock::Timestamp;
use crate::evidence::record::{Action, Record, Source};
use crate::git::{GitError, Repository};
use crate::id::{Sha256, Tombstone};
use crate::item::RepoPath;

use super::error::GovernanceError;
use super::evidence::named;
use super::ledger::Told;
use super::obstacle::Obstacle;
use super::record::Subject;
use super::rules::{Judge, RestoreQuestion, judge_restore};

/// The most approvals of one item that are looked at.
const MAX_APPROVALS: usize = 10_000;

/// Who wants bytes, and from where.
#[derive(Clone, Copy)]
pub struct Demand<'a> {
    /// What decides.
    pub judge: Judge<'a>,
    /// Who asks.
    pub by: &'a str,
    /// Where the bytes may come from; anywhere if not set. Whoever names git's history gets what git still has, also of
    /// what was purged: that keeps nobody from reading it.
    pub only: Option<Source>,
}

/// An item whose bytes are not handed out.
#[derive(Debug, Clone, PartialEq)]
pub struct Withheld {
    /// The item.
    pub tombstone: Tombstone,
    /// Its path.
    pub path: RepoPath,
    /// Why not.
    pub obstacle: Obstacle,
}

/// Returns those of `items`, each with its row in the archive if that has one, that are not handed out.
pub fn withheld(
    repository: &Repository,
    mut archive: Option<&mut AnyArchive>,
    demand: &Demand<'_>,
    items: &[(Subject, Option<&StoredItem>)],
) -> Result<Vec<Withheld>, GovernanceError> {
    let mut withheld = Vec::new();
    let mut refuse = |subject: &Subject, obstacle| {
        withheld.push(Withheld { tombstone: subject.tombstone, path: subject.path.clone(), obstacle });
    };
    let unknown = items.iter().any(|(_, stored)| stored.is_none());
    let purges = if unknown && demand.only != Some(Source::History) {
        said(repository, &[Action::Purge, Action::DeleteApproved], Action::Purge)?
    } else {
        HashMap::new()
    };
    let approvals = if demand.judge.policy.restore_approvals == 0 {
        HashMap::new()
    } else {
        said(repository, &[Action::RestoreApproved], Action::RestoreApproved)?
    };
    for (subject, stored) in items {
        if demand.only != Some(Source::History)
            && let Some(obstacle) = purged(archive.as_deref_mut(), &purges, subject, *stored)?
        {
            refuse(subject, obstacle);
            continue;
        }
        if demand.judge.policy.restore_approvals == 0 {
            continue;
        }
        let mut records = approvals.get(&subject.tombstone).cloned().unwrap_or_default();
        if let Some(archive) = archive.as_deref_mut() {
            archive.events(&subject.tombstone, &mut |event| {
                if event.action == Action::RestoreApproved {
                    records.extend(Told::of_event(&event));
                }
                if records.len() < MAX_APPROVALS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        let question = RestoreQuestion { item: subject, records: &records, by: demand.by };
        if let Err(obstacle) = judge_restore(&demand.judge, &question)? {
            refuse(subject, obstacle);
        }
    }
    Ok(withheld)
}

/// Returns when, by whom and why an item's bytes were destroyed, if they were: as the archive has it, else as evidence has.
fn purged(
    archive: Option<&mut AnyArchive>,
    purges: &HashMap<Tombstone, Vec<Told>>,
    subject: &Subject,
    stored: Option<&StoredItem>,
) -> Result<Option<Obstacle>, ArchiveError> {
    if let Some(stored) = stored {
        let Some(at) = stored.purged_at else { return Ok(None) };
        return purge_at(archive, &subject.sha256, Some(&subject.tombstone), at).map(Some);
    }
    let told = purges.get(&subject.tombstone).and_then(|told| told.last());
    Ok(told.map(|told| purged_by(&told.record, told.record.ts)))
}

/// Returns what is to be said of the purge that destroyed the bytes of a content, and with them those of `item` if one is
/// meant, at that moment.
pub fn purge_at(
    archive: Option<&mut AnyArchive>,
    sha256: &Sha256,
    item: Option<&Tombstone>,
    at: Timestamp,
) -> Result<Obstacle, ArchiveError> {
    let nobody = Obstacle::Purged { at, by: None, second: None, reason: None, unfinished: false };
    let Some(archive) = archive else { return Ok(nobody) };
    if let Some(purge) = archive.purge_of(sha256)?.filter(|purge| purge.begun_at == at) {
        let unfinished = archive.unfinished_purges()?.iter().any(|other| other.op == purge.op);
        let (by, second, reason) = (Some(purge.by), Some(purge.second), Some(purge.reason));
        return Ok(Obstacle::Purged { at, by, second, reason, unfinished });
    }
    // An item that was purged before its content came back, and was destroyed again, had other approvers.
    let mut own = None;
    if let Some(item) = item {
        archive.events(item, &mut |event| {
            if event.action == Action::Purge {
                own = Told::of_event(&event).or(own.take());
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(own.map_or(nobody, |told| purged_by(&told.record, at)))
}

/// Returns what is to be said of a purge of which `record` tells.
pub fn purged_by(record: &Record, at: Timestamp) -> Obstacle {
    let (by, second, reason) = (record.actor.clone(), record.second.clone(), record.reason.clone());
    Obstacle::Purged { at, by, second, reason, unfinished: false }
}

/// Returns the records of one action in the evidence files that are named after one of `actions`, by their items.
fn said(
    repository: &Repository,
    actions: &[Action],
    action: Action,
) -> Result<HashMap<Tombstone, Vec<Told>>, GitError> {
    let mut said: HashMap<Tombstone, Vec<Told>> = HashMap::new();
    named(repository, actions, |told| {
        if let Some(tombstone) = told.record.tombstone.filter(|_| told.record.action == action) {
            let told_of_it = said.entry(tombstone).or_default();
            if told_of_it.len() < MAX_APPROVALS {
                told_of_it.push(told);
            }
        }
    })?;
    Ok(said)
}
