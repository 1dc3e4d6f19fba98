//! The rules against everything that can be said: by a table, by forgers, and by whoever writes nonsense.

mod evidence;
mod ledger;
mod replay;
mod rules;
mod signatures;
mod truth_table;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::archive::{ContentFacts, Event, Hold, ItemState, Purge, StoredItem};
use crate::clock::Timestamp;
use crate::evidence::format::EvidenceFileName;
use crate::evidence::record::{Action, Record};
use crate::id::{ObjectId, OperationId, Sha256, Tombstone};
use crate::item::{FileMode, Item, Kind, Reason, RepoPath};
use crate::operation::Facts;
use crate::signature::SignatureError;

use super::ledger::Told;
use super::record::{self, RequestKey, Subject};
use super::rules::{Grant, Judge, Policy, PurgeQuestion, judge_purge};
use super::signing::{Standing, Verifier};
use super::{Obstacle, Person};

const ARCHIVE: &str = "3c7a4f0e-8f0e-4d57-9d0e-3f6f1f0f8a11";
const OTHER_ARCHIVE: &str = "9f0e3c7a-8f0e-4d57-9d0e-3f6f1f0f8a11";
const DAY: i64 = 86_400_000;

/// The present of all tests, in milliseconds.
const NOW: i64 = 1_793_534_936_123;

const POLICY: Policy = Policy {
    signed: false,
    requester_may_approve: true,
    approval_ttl: Duration::from_hours(30 * 24),
    request_ttl: Duration::from_hours(30 * 24),
    restore_approvals: 0,
};

/// Returns the moment so many days from the present.
fn days(days: i64) -> Timestamp {
    Timestamp::from_millisecond(NOW + days * DAY).expect("is in range")
}

fn op(number: u64) -> OperationId {
    format!("0199f1a2-0000-7000-8000-{number:012x}").parse().expect("is an operation id")
}

fn acts(number: u64, actor: &str, at: Timestamp) -> Facts {
    Facts { op: op(number), started: at, actor: actor.to_owned(), repo: "repo".to_owned() }
}

fn subject(path: &str) -> Subject {
    let commit: ObjectId = "0123456789012345678901234567890123456789".parse().expect("is an object id");
    let sha256 = Sha256::of(b"content");
    let tombstone = Tombstone::derive("repo", path.as_bytes(), &commit, &sha256);
    Subject { repo: "repo".to_owned(), path: RepoPath::try_new(path).expect("is a path"), tombstone, sha256 }
}

fn stored(subject: &Subject) -> StoredItem {
    let object: ObjectId = "0123456789012345678901234567890123456789".parse().expect("is an object id");
    let item = Item {
        tombstone: subject.tombstone,
        repo: subject.repo.clone(),
        path: subject.path.clone(),
        commit: object,
        object,
        mode: FileMode::Regular,
        sha256: subject.sha256,
        size: 7,
        kind: Kind::Code,
        language: None,
        mime: None,
        reason: Reason::Dead,
        tags: Vec::new(),
        metadata: BTreeMap::new(),
        refs: Vec::new(),
        dirty: false,
        delete_after: None,
        legal_hold: false,
        archived_by: "Ada".to_owned(),
        archived_at: days(-100),
    };
    let state = ItemState::Sealed;
    let (restored_at, purged_at) = (None, None);
    StoredItem { item, state, op: op(0), origin: "clone".to_owned(), compressed_size: 7, restored_at, purged_at }
}

/// Returns a record as an event of the archive.
fn event(record: &Record) -> Event {
    Event::from_record(record).expect("is a record")
}

/// Returns a record as evidence.
fn evidence(record: &Record) -> Told {
    let line = record.to_line().expect("is a record");
    let digest = Record::digest(&line);
    let file = EvidenceFileName::new(record.action, record.ts, &digest);
    Told { record: record.clone(), digest, in_archive: false, file }
}

/// Returns a record as the archive's.
fn archived(record: &Record) -> Told {
    Told::of_event(&event(record)).expect("is about governance")
}

/// An archive with a content that two items may have, and what evidence says.
#[derive(Clone)]
struct World {
    facts: ContentFacts,
    evidence: Vec<Told>,
    policy: Policy,
    proposed: Vec<&'static str>,
    early: bool,
    all_references: bool,
}

impl World {
    /// Returns one in which nobody has asked for anything.
    fn new() -> Self {
        let target = subject("src/a.py");
        let items = vec![stored(&target)];
        let facts =
            ContentFacts { sha256: target.sha256, items, holds: Vec::new(), events: Vec::new(), purges: Vec::new() };
        Self { facts, evidence: Vec::new(), policy: POLICY, proposed: Vec::new(), early: false, all_references: false }
    }

    fn event(&mut self, record: &Record) -> &mut Self {
        self.facts.events.push(event(record));
        self
    }

    fn hold_row(&mut self, hold: Hold) -> &mut Self {
        self.facts.holds.push(hold);
        self
    }

    fn judge_with(&self, verifier: &dyn Verifier) -> Result<Grant, Vec<Obstacle>> {
        let judge = Judge { policy: self.policy, verifier, archive: Some(ARCHIVE), now: days(0) };
        let question = PurgeQuestion {
            target: self.facts.items[0].item.tombstone,
            facts: &self.facts,
            evidence: &self.evidence,
            unreadable: &[],
            proposed: &self.proposed,
            early: self.early,
            all_references: self.all_references,
        };
        judge_purge(&judge, &question).expect("judges")
    }

    fn judge(&self) -> Result<Grant, Vec<Obstacle>> {
        self.judge_with(&Claims)
    }

    /// Returns the names of what is in the way.
    fn names(&self) -> Vec<&'static str> {
        self.judge_with(&Claims).err().unwrap_or_default().iter().map(Obstacle::name).collect()
    }

    /// Returns what is in the way, as people read it.
    fn told(&self) -> String {
        let obstacles = self.judge_with(&Claims).err().unwrap_or_default();
        obstacles.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// Returns a request of five days ago by Ada, for these items, the target first.
fn request(number: u64, items: &[Subject]) -> (RequestKey, Vec<Record>) {
    let id = format!("0f0f6f6c-52a5-4b52-8f5a-{number:012x}");
    let key =
        RequestKey { id, archive: ARCHIVE.to_owned(), items: record::list(items.iter().map(|item| item.tombstone)) };
    let records = record::prune_request(&acts(number, "Ada <ada@x>", days(-5)), &key, &items[0], &items[1..], "PII");
    (key, records)
}

fn approval(number: u64, key: &RequestKey, by: &str, at: Timestamp) -> Record {
    record::purge_approval(&acts(number, by, at), by, key, &subject("src/a.py"), None)
}

/// Returns the archive's own row of a purge by Ada and Bob, of yesterday.
fn purge_row(key: &RequestKey, item: &Subject) -> Purge {
    Purge {
        op: op(8),
        origin: "clone".to_owned(),
        tombstone: item.tombstone,
        sha256: item.sha256,
        request: key.id.clone(),
        by: "Ada <ada@x>".to_owned(),
        second: "Bob".to_owned(),
        reason: "PII".to_owned(),
        begun_at: days(-1),
    }
}

/// Believes what stands in the place of a signature: `signed ada k1`, `expired ada k1` for a key that was valid then and is not
/// now, or why it is none.
struct Claims;

impl Verifier for Claims {
    fn standing(&self, record: &Record, at: Timestamp) -> Result<Standing, SignatureError> {
        let Some(text) = &record.signature else { return Ok(Standing::Unsigned) };
        let words: Vec<&str> = text.split(' ').collect();
        let signed =
            |principal: &str, key: &str| Standing::Signed { principal: principal.to_owned(), key: key.to_owned() };
        Ok(match words[..] {
            ["signed", principal, key] => signed(principal, key),
            ["expired", principal, key] if at < days(0) => signed(principal, key),
            _ => Standing::Rejected { why: text.clone() },
        })
    }
}

fn claimed(record: &Record, signature: &str) -> Record {
    Record { signature: Some(signature.to_owned()), ..record.clone() }
}
