//! What the records about one content add up to: requests, approvals, holds and purges.
//!
//! Records may be hostile, contradict each other, repeat and come in any order. The ledger sorts them and believes nobody:
//! whose voice counts is for the [`rules`](super::rules) to say.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::{ContentFacts, Event, Hold, Purge, StoredItem};
use crate::clock::Timestamp;
use crate::evidence::format::EvidenceFileName;
use crate::evidence::record::{Action, Record};
use crate::id::{OperationId, Sha256, Tombstone};
use crate::item::RepoPath;

use super::record::{ARCHIVE, ITEMS, RequestKey, took_place};

/// A record, and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The record.
    pub record: Record,
    /// The digest of its line.
    pub digest: Sha256,
    /// Whether the archive has it as an event.
    pub in_archive: bool,
    /// An evidence file of the index, `HEAD` or a reference that has it.
    pub file: Option<EvidenceFileName>,
}

impl Told {
    /// Returns what the archive's `event` tells; `None` where that has nothing to do with governance.
    pub fn of_event(event: &Event) -> Option<Self> {
        let record = Record::parse_line(event.line.as_bytes()).ok()?;
        matters(&record).then_some(Self { record, digest: event.digest, in_archive: true, file: None })
    }

    /// Returns the id of the archive that the record is bound to, where it says so.
    pub fn archive(&self) -> Option<&str> {
        self.record.metadata.get(ARCHIVE).map(String::as_str)
    }

    /// Returns the items of the request that the record is, or approves.
    pub fn items(&self) -> Option<&str> {
        self.record.metadata.get(ITEMS).map(String::as_str)
    }
}

/// Returns whether a record has to do with governance: by its action, or as the `ARCHIVE` record of an item under a hold.
pub fn matters(record: &Record) -> bool {
    let holds = record.action == Action::Archive && record.legal_hold;
    took_place(record) && (record.action.is_governance() || holds)
}

/// A request for a purge.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What approvals name it by.
    pub key: RequestKey,
    /// The item whose bytes are to be destroyed.
    pub target: Tombstone,
    /// The record.
    pub told: Told,
}

impl Request {
    fn of(told: &Told) -> Option<Self> {
        let record = &told.record;
        let archive = told.archive()?.to_owned();
        let key = RequestKey { id: record.request.clone()?, archive, items: told.items()?.to_owned() };
        Some(Self { key, target: record.tombstone?, told: told.clone() })
    }
}

/// A hold on an item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldKey {
    /// The item.
    pub tombstone: Tombstone,
    /// The operation that set it; `None` where somebody set it by SQL.
    pub id: Option<OperationId>,
}

/// What is known of a hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownHold {
    /// What set it; more than one record only where somebody forged the others.
    pub set: Vec<Told>,
    /// What was said to release it.
    pub released: Vec<Told>,
    /// The archive's own row of it, which is not released.
    pub row: Option<Hold>,
    /// The path of the item, where the archive has it.
    pub path: Option<RepoPath>,
}

/// What the records about a content add up to. Each list is in the order of time, and has each record once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    /// The records that make requests.
    pub requests: Vec<Request>,
    /// The other items that requests name, by the requests' ids.
    pub named: BTreeMap<String, BTreeSet<Tombstone>>,
    /// The withdrawals of requests.
    pub withdrawals: Vec<Told>,
    /// The approvals of purges.
    pub approvals: Vec<Told>,
    /// The approvals of restores.
    pub restore_approvals: Vec<Told>,
    /// The holds, released ones included.
    pub holds: BTreeMap<HoldKey, KnownHold>,
    /// The records of purges.
    pub purges: Vec<Told>,
    /// The purges that the archive knows of, whether or not their records have been made.
    pub purge_rows: Vec<Purge>,
}

impl Ledger {
    /// Returns what the archive and `evidence` know of a content. What is about another content is left out.
    pub fn of(facts: &ContentFacts, evidence: &[Told]) -> Self {
        let events = facts.events.iter().filter_map(Told::of_event);
        let mut ledger = Self::of_records(&facts.sha256, events.chain(evidence.iter().cloned()));
        for hold in &facts.holds {
            ledger.holds.entry(HoldKey { tombstone: hold.tombstone, id: hold.id }).or_default().row =
                Some(hold.clone());
        }
        ledger.purge_rows.clone_from(&facts.purges);
        let item = |stored: &StoredItem| (stored.item.tombstone, stored.item.path.clone());
        let paths: BTreeMap<Tombstone, RepoPath> = facts.items.iter().map(item).collect();
        for (key, hold) in &mut ledger.holds {
            hold.path = paths.get(&key.tombstone).cloned();
        }
        ledger
    }

    /// Returns what records say of a content.
    pub fn of_records(sha256: &Sha256, records: impl IntoIterator<Item = Told>) -> Self {
        let mut ledger = Self::default();
        let about = |told: &Told| matters(&told.record) && told.record.sha256 == Some(*sha256);
        for told in merged(records.into_iter().filter(about)) {
            ledger.add(told);
        }
        ledger
    }

    fn add(&mut self, told: Told) {
        match told.record.action {
            Action::PruneRequest if told.items().is_some() => self.requests.extend(Request::of(&told)),
            Action::PruneRequest => {
                if let Some((id, item)) = told.record.request.zip(told.record.tombstone) {
                    self.named.entry(id).or_default().insert(item);
                }
            }
            Action::RequestWithdrawn => self.withdrawals.push(told),
            Action::DeleteApproved => self.approvals.push(told),
            Action::RestoreApproved => self.restore_approvals.push(told),
            Action::Purge => self.purges.push(told),
            Action::Archive | Action::HoldSet => {
                let id = Some(told.record.op);
                self.add_hold(told, id, |hold| &mut hold.set);
            }
            // What names something else than an operation releases no hold.
            Action::HoldReleased => {
                if let Ok(id) = told.record.request.as_deref().map(str::parse).transpose() {
                    self.add_hold(told, id, |hold| &mut hold.released);
                }
            }
            _ => {}
        }
    }

    fn add_hold(&mut self, told: Told, id: Option<OperationId>, list: fn(&mut KnownHold) -> &mut Vec<Told>) {
        if let Some(tombstone) = told.record.tombstone {
            list(self.holds.entry(HoldKey { tombstone, id }).or_default()).push(told);
        }
    }

    /// Returns the items that the records of a request name.
    pub fn named(&self, request: &Request) -> BTreeSet<Tombstone> {
        self.named.get(&request.key.id).into_iter().flatten().copied().chain([request.target]).collect()
    }

    /// Returns the approvals of request `id`: those that the archive has, and then those that anybody can bring, newest first.
    pub fn approvals_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Told> {
        let about = self.approvals.iter().filter(move |told| told.record.request.as_deref() == Some(id));
        about.clone().filter(|told| told.in_archive).chain(about.rev().filter(|told| !told.in_archive))
    }

    /// Returns the record that takes back request `id`. Anybody's counts, wherever it stands.
    pub fn withdrawal(&self, id: &str) -> Option<&Told> {
        self.withdrawals.iter().find(|told| told.record.request.as_deref() == Some(id))
    }

    /// Returns when a purge used request `id`.
    pub fn use_of(&self, id: &str) -> Option<Timestamp> {
        let rows = self.purge_rows.iter().filter(|purge| purge.request == id).map(|purge| purge.begun_at);
        let records = self.purges.iter().filter(|told| told.record.request.as_deref() == Some(id));
        rows.chain(records.map(|told| told.record.ts)).min()
    }

    /// Returns whether a request, or an approval of it, has a signature, of whatever kind.
    pub fn has_signature(&self, id: &str) -> bool {
        let requests = self.requests.iter().map(|request| &request.told);
        let mut about = requests.chain(&self.approvals).filter(|told| told.record.request.as_deref() == Some(id));
        about.any(|told| told.record.signature.is_some())
    }

    /// Returns whether a purge came after every request for the purge of an item.
    pub fn is_used_up(&self, item: &Tombstone) -> bool {
        let newest = self.requests.iter().rfind(|request| request.target == *item);
        newest.is_none_or(|request| self.use_of(&request.key.id).is_some())
    }

    /// Returns the record of the newest purge of an item in archive `archive`, or in any.
    pub fn purge_of(&self, item: &Tombstone, archive: Option<&str>) -> Option<&Told> {
        let mut newest = self.purges.iter().rev();
        newest.find(|told| {
            told.record.tombstone == Some(*item) && archive.is_none_or(|archive| told.archive() == Some(archive))
        })
    }
}

/// Returns each of the records once with all places where it stands, in the order of time.
pub(crate) fn merged(records: impl IntoIterator<Item = Told>) -> Vec<Told> {
    let mut known: BTreeMap<(Timestamp, Sha256), (usize, Told)> = BTreeMap::new();
    for (number, told) in records.into_iter().enumerate() {
        let (_, first) = known.entry((told.record.ts, told.digest)).or_insert_with(|| (number, told.clone()));
        first.in_archive |= told.in_archive;
        if first.file.is_none() {
            first.file = told.file;
        }
    }
    let mut merged: Vec<(usize, Told)> = known.into_values().collect();
    // What is of one moment stays as it was given: in the order of its operation.
    merged.sort_by_key(|(number, told)| (told.record.ts, *number));
    let mut merged: Vec<Told> = merged.into_iter().map(|(_, told)| told).collect();
    join_purges(&mut merged);
    merged
}

/// Takes away what the archive tells of purges that another clone ended, where the evidence of the clone that began them tells
/// it as well: the same records, with their place among the evidence.
fn join_purges(told: &mut Vec<Told>) {
    let bare = |record: &Record| Record { count: None, prev: Vec::new(), ..record.clone() };
    let placed = told.iter().filter(|told| told.record.action == Action::Purge && told.record.count.is_some());
    let placed: Vec<Record> = placed.map(|told| bare(&told.record)).collect();
    if !placed.is_empty() {
        told.retain(|told| told.file.is_some() || told.record.count.is_some() || !placed.contains(&told.record));
    }
}
