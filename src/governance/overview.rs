//! How governance stands: what is asked for, what is held, what is due, what was destroyed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use serde::Serialize;

use crate::archive::{AnyArchive, ArchiveError, Hold, Purge, Query, StoredItem};
use crate::clock::Timestamp;
use crate::evidence::record::Record;
use crate::git::Repository;
use crate::id::{Sha256, Tombstone};
use crate::item::{Date, RepoPath};

use super::due::{DueDate, Horizon};
use super::error::GovernanceError;
use super::evidence::{Found, Unreadable, all};
use super::ledger::{HoldKey, Ledger, Request, Told};
use super::obstacle::Obstacle;
use super::rules::{Judge, OpenHold, PurgeQuestion, judge_purge, open_holds, open_request};
use super::unfounded::{Unfounded, unfounded_among};

/// The most purges, and the most items that are due, which are listed: the oldest dates and the newest purges.
pub const MAX_LISTED: usize = 100;

/// How governance stands at a moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// The archive's id; absent where there is none, and evidence alone tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// The moment.
    pub at: Timestamp,
    /// The requests that stand, oldest first.
    pub requests: Vec<OpenRequest>,
    /// The requests that nobody withdrew or used, and that do not count all the same, oldest first.
    pub void_requests: Vec<VoidRequest>,
    /// The holds that are not released, by case and then by time.
    pub holds: Vec<OpenHold>,
    /// The approvals of restores that have not expired, oldest first.
    pub restore_approvals: Vec<Given>,
    /// The items whose date has come, or comes before `due_until`.
    pub due: Listed<Due>,
    /// Until when dates are near.
    pub due_until: Date,
    /// The purges that have begun and not ended: bytes may be left.
    pub unfinished: Vec<Purge>,
    /// The purges that are done, newest first.
    pub purges: Listed<Purged>,
    /// Those of them whose approvals do not count by the rules here.
    pub unfounded: Vec<Unfounded>,
    /// The evidence files that cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// The beginning of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed<T> {
    /// How many there are.
    pub count: usize,
    /// The first [`MAX_LISTED`] of them.
    pub first: Vec<T>,
}

impl<T> Listed<T> {
    fn new(mut all: Vec<T>) -> Self {
        let count = all.len();
        all.truncate(MAX_LISTED);
        Self { count, first: all }
    }
}

/// A request that stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OpenRequest {
    /// Its id.
    pub request: String,
    /// The item that it is about.
    pub tombstone: Tombstone,
    /// Its path, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<RepoPath>,
    /// The content that is to be destroyed.
    pub sha256: Sha256,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
    /// When it stands no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How many items lose their bytes by it.
    pub items: usize,
    /// The approvals of it, whether they count or not.
    pub approvals: Vec<Given>,
    /// What is in the way of the purge, what is missing included; not known without an archive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_the_way: Vec<Obstacle>,
}

/// A request that does not count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VoidRequest {
    /// Its id.
    pub request: String,
    /// The item that it is about.
    pub tombstone: Tombstone,
    /// Its path, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<RepoPath>,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Why it does not count, as a verb phrase.
    pub why: String,
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Given {
    /// The item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<Tombstone>,
    /// Its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<RepoPath>,
    /// Whose it is said to be.
    pub by: String,
    /// When it was given.
    pub at: Timestamp,
    /// When it counts no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// An item that may be destroyed from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Due {
    /// The item.
    pub tombstone: Tombstone,
    /// Its repository.
    pub repo: String,
    /// Its path.
    pub path: RepoPath,
    /// The day.
    pub delete_after: Date,
    /// Whether it is under a legal hold.
    pub legal_hold: bool,
}

/// A purge that is done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Purged {
    /// The item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<Tombstone>,
    /// Its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<RepoPath>,
    /// When.
    pub at: Timestamp,
    /// Who approved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Who else did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Says how governance stands by the archive and the evidence of every reference. Dates until `due_until` are near; `origin`
/// is this clone's id.
pub fn overview(
    repository: &Repository,
    mut archive: Option<&mut AnyArchive>,
    judge: &Judge<'_>,
    origin: &str,
    due_until: Date,
) -> Result<Overview, GovernanceError> {
    let (mut told, mut events) = (Vec::new(), Vec::new());
    let mut rows: BTreeMap<Sha256, Vec<(Hold, StoredItem)>> = BTreeMap::new();
    let mut unfinished = Vec::new();
    if let Some(archive) = archive.as_deref_mut() {
        unfinished = archive.unfinished_purges()?;
        let mut last = 0;
        loop {
            let page = archive.governance_page(last)?;
            let Some((end, _)) = page.last() else { break };
            last = *end;
            told.extend(page.iter().filter_map(|(_, event)| Told::of_event(event)));
        }
        events.clone_from(&told);
        for (hold, stored) in archive.holds()? {
            rows.entry(stored.item.sha256).or_default().push((hold, stored));
        }
    }
    let Found { records, unreadable } = all(repository)?;
    told.extend(records);
    let mut contents: BTreeMap<Sha256, Vec<Told>> = rows.keys().map(|sha256| (*sha256, Vec::new())).collect();
    for told in told {
        if let Some(sha256) = told.record.sha256 {
            contents.entry(sha256).or_default().push(told);
        }
    }
    let mut overview = Overview {
        archive: judge.archive.map(str::to_owned),
        at: judge.now,
        requests: Vec::new(),
        void_requests: Vec::new(),
        holds: Vec::new(),
        restore_approvals: Vec::new(),
        due: Listed::new(Vec::new()),
        due_until,
        unfinished: unfinished.clone(),
        purges: Listed::new(Vec::new()),
        unfounded: unfounded_among(judge, &events, &contents)?,
        unreadable,
    };
    let mut purges = Vec::new();
    for (sha256, told) in contents {
        let mut ledger = Ledger::of_records(&sha256, told.iter().cloned());
        // Their records are yet to be made.
        ledger.purge_rows.extend(unfinished.iter().filter(|purge| purge.sha256 == sha256).cloned());
        for (hold, stored) in rows.remove(&sha256).unwrap_or_default() {
            let key = HoldKey { tombstone: hold.tombstone, id: hold.id };
            let known = ledger.holds.entry(key).or_default();
            (known.row, known.path) = (Some(hold), Some(stored.item.path));
        }
        overview.holds.extend(open_holds(judge, &ledger)?);
        let targets: BTreeSet<Tombstone> = ledger.requests.iter().map(|request| request.target).collect();
        for target in targets {
            match open_request(judge, &ledger, &target)? {
                Ok(request) => {
                    let in_the_way = match archive.as_deref_mut() {
                        Some(archive) => in_the_way(judge, archive, request, &told, &overview.unreadable)?,
                        None => Vec::new(),
                    };
                    overview.requests.push(open(judge, &ledger, request, in_the_way));
                }
                Err(obstacle) => overview.void_requests.extend(void(&ledger, target, obstacle)),
            }
        }
        let valid = ledger.restore_approvals.iter().map(|told| given(judge, &told.record));
        overview.restore_approvals.extend(valid.filter(|given| given.expires_at.is_none_or(|at| judge.now < at)));
        purges.extend(ledger.purges.iter().map(|told| purged(&told.record)));
    }
    overview.requests.sort_by_key(|request| request.at);
    overview.void_requests.sort_by_key(|request| request.at);
    overview.holds.sort_by(|one, other| (&one.name, one.at).cmp(&(&other.name, other.at)));
    overview.restore_approvals.sort_by_key(|given| given.at);
    purges.sort_by_key(|purged| std::cmp::Reverse(purged.at));
    overview.purges = Listed::new(purges);
    if let Some(archive) = archive {
        overview.due = Listed::new(due(archive, origin, Horizon { today: Date(judge.now.date()), until: due_until })?);
    }
    Ok(overview)
}

/// Returns what is in the way of the purge that a request asks for, by what is known of its content.
fn in_the_way(
    judge: &Judge<'_>,
    archive: &mut AnyArchive,
    request: &Request,
    told: &[Told],
    unreadable: &[Unreadable],
) -> Result<Vec<Obstacle>, GovernanceError> {
    let Some(facts) = request.told.record.sha256.map(|sha256| archive.content_facts(&sha256)).transpose()?.flatten()
    else {
        return Ok(Vec::new());
    };
    let evidence: Vec<Told> = told.iter().filter(|told| told.file.is_some()).cloned().collect();
    let question = PurgeQuestion {
        target: request.target,
        facts: &facts,
        evidence: &evidence,
        unreadable,
        proposed: &[],
        early: false,
        // Whoever made the request knew them: they are its own.
        all_references: true,
    };
    Ok(judge_purge(judge, &question)?.err().unwrap_or_default())
}

fn open(judge: &Judge<'_>, ledger: &Ledger, request: &Request, in_the_way: Vec<Obstacle>) -> OpenRequest {
    let record = &request.told.record;
    OpenRequest {
        request: request.key.id.clone(),
        tombstone: request.target,
        path: record.repo_path(),
        sha256: record.sha256.expect("a ledger has the records of its content alone"),
        by: record.actor.clone(),
        reason: record.reason.clone(),
        at: record.ts,
        expires_at: later(record.ts, judge.policy.request_ttl),
        items: ledger.named(request).len(),
        approvals: ledger.approvals_of(&request.key.id).map(|told| given(judge, &told.record)).collect(),
        in_the_way,
    }
}

/// Returns the newest request for an item, which does not count, unless it has come to its end.
fn void(ledger: &Ledger, tombstone: Tombstone, obstacle: Obstacle) -> Option<VoidRequest> {
    let Obstacle::RequestVoid { request, by, at, why } = obstacle else { return None };
    if ledger.use_of(&request).is_some() || ledger.withdrawal(&request).is_some() {
        return None;
    }
    let known = ledger.requests.iter().find(|known| known.key.id == request);
    let path = known.and_then(|known| known.told.record.repo_path());
    Some(VoidRequest { request, tombstone, path, by, at, why })
}

fn given(judge: &Judge<'_>, record: &Record) -> Given {
    Given {
        tombstone: record.tombstone,
        path: record.repo_path(),
        by: record.actor.clone().unwrap_or_default(),
        at: record.ts,
        expires_at: later(record.ts, judge.policy.approval_ttl),
    }
}

fn purged(record: &Record) -> Purged {
    Purged {
        tombstone: record.tombstone,
        path: record.repo_path(),
        at: record.ts,
        by: record.actor.clone(),
        second: record.second.clone(),
        reason: record.reason.clone(),
    }
}

/// Returns the items whose date has come or is near, in the order of the dates.
fn due(archive: &mut AnyArchive, origin: &str, horizon: Horizon) -> Result<Vec<Due>, ArchiveError> {
    let query = Query { origin: Some(origin.to_owned()), ..Query::default() };
    let mut found = Vec::new();
    archive.list(&query, &mut |stored| {
        if let Some(DueDate { date: delete_after, .. }) = horizon.due(&stored) {
            let item = stored.item;
            let (tombstone, legal_hold) = (item.tombstone, item.legal_hold);
            found.push(Due { tombstone, repo: item.repo, path: item.path, delete_after, legal_hold });
        }
        ControlFlow::Continue(())
    })?;
    found.sort_by_key(|due| due.delete_after);
    Ok(found)
}

fn later(at: Timestamp, by: Duration) -> Option<Timestamp> {
    Timestamp::from_millisecond(at.as_millisecond().checked_add(i64::try_from(by.as_millis()).ok()?)?)
}
