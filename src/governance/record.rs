//! The records that governance makes, one constructor for each.

use std::collections::BTreeSet;

use crate::evidence::record::{Action, Level, Record, Status};
use crate::id::{OperationId, Sha256, Tombstone};
use crate::item::{Item, RepoPath};
use crate::operation::Facts;

/// The key in `metadata` with the id of the archive that a record is bound to.
pub const ARCHIVE: &str = "archive";

/// The key in `metadata` with the items that a request is about, as [`list`] has them.
pub const ITEMS: &str = "items";

/// The item that a record is about.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Subject {
    /// The repository's name.
    pub repo: String,
    /// The item's path.
    pub path: RepoPath,
    /// The item.
    pub tombstone: Tombstone,
    /// Its content.
    pub sha256: Sha256,
}

impl From<&Item> for Subject {
    fn from(item: &Item) -> Self {
        Self { repo: item.repo.clone(), path: item.path.clone(), tombstone: item.tombstone, sha256: item.sha256 }
    }
}

impl Subject {
    /// Returns the item that `record` is about, if it names one in full.
    pub fn of(record: &Record) -> Option<Self> {
        let path = record.repo_path()?;
        Some(Self { repo: record.repo.clone()?, path, tombstone: record.tombstone?, sha256: record.sha256? })
    }
}

/// A request as approvals name it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RequestKey {
    /// Its id.
    pub id: String,
    /// The id of the archive that it is bound to.
    pub archive: String,
    /// The items that it is about, as [`list`] has them.
    pub items: String,
}

impl RequestKey {
    /// Returns a new request in `archive`, about `items`.
    pub fn generate(archive: &str, items: impl IntoIterator<Item = Tombstone>) -> Self {
        Self { id: uuid::Uuid::new_v4().to_string(), archive: archive.to_owned(), items: list(items) }
    }
}

/// Returns items in short: how many they are, and the SHA-256 of their tombstones, sorted, each with a newline.
pub fn list(items: impl IntoIterator<Item = Tombstone>) -> String {
    let sorted: BTreeSet<Tombstone> = items.into_iter().collect();
    let text: String = sorted.iter().flat_map(|tombstone| [tombstone.to_string(), "\n".to_owned()]).collect();
    format!("{} {}", sorted.len(), Sha256::of(text.as_bytes()))
}

/// Returns the records of a request: the first, which is the request itself, is about `target`, and each of the others names an
/// item with the same bytes. Only the first is signed: it has the list.
pub fn prune_request(
    facts: &Facts,
    key: &RequestKey,
    target: &Subject,
    others: &[Subject],
    reason: &str,
) -> Vec<Record> {
    let mut request = bound(facts, Action::PruneRequest, target, Some(&key.archive), Some(reason));
    request.request = Some(key.id.clone());
    request.metadata.insert(ITEMS.to_owned(), key.items.clone());
    let named = others.iter().map(|other| {
        let mut record = bound(facts, Action::PruneRequest, other, Some(&key.archive), Some(reason));
        record.request = Some(key.id.clone());
        record
    });
    std::iter::once(request).chain(named).collect()
}

/// Returns the record of a request's being taken back.
pub fn withdrawal(facts: &Facts, key: &RequestKey, target: &Subject, reason: Option<&str>) -> Record {
    let mut record = bound(facts, Action::RequestWithdrawn, target, Some(&key.archive), reason);
    record.request = Some(key.id.clone());
    record
}

/// Returns the record of `by`'s consent to a purge.
pub fn purge_approval(facts: &Facts, by: &str, key: &RequestKey, target: &Subject, reason: Option<&str>) -> Record {
    let mut record = bound(facts, Action::DeleteApproved, target, Some(&key.archive), reason);
    record.actor = Some(by.to_owned());
    record.request = Some(key.id.clone());
    record.metadata.insert(ITEMS.to_owned(), key.items.clone());
    record
}

/// Returns the record of the actor's consent to a restore.
pub fn restore_approval(facts: &Facts, archive: Option<&str>, target: &Subject, reason: Option<&str>) -> Record {
    bound(facts, Action::RestoreApproved, target, archive, reason)
}

/// Returns the record of a hold, whose id is the operation's.
pub fn hold_set(facts: &Facts, archive: Option<&str>, target: &Subject, name: Option<&str>, reason: &str) -> Record {
    let mut record = bound(facts, Action::HoldSet, target, archive, Some(reason));
    record.request = Some(facts.op.to_string());
    record.name = name.map(str::to_owned);
    record
}

/// Returns the record of the release of the hold `id`; `None` is for one that has no id.
pub fn hold_released(
    facts: &Facts,
    archive: Option<&str>,
    target: &Subject,
    id: Option<OperationId>,
    name: Option<&str>,
    reason: &str,
) -> Record {
    let mut record = bound(facts, Action::HoldReleased, target, archive, Some(reason));
    record.request = id.map(|id| id.to_string());
    record.name = name.map(str::to_owned);
    record
}

/// Returns the record that the bytes of an item are gone, approved by `by` and `second`.
pub fn purge(facts: &Facts, key: &RequestKey, item: &Subject, by: &str, second: &str, reason: &str) -> Record {
    let mut record = bound(facts, Action::Purge, item, Some(&key.archive), Some(reason));
    record.actor = Some(by.to_owned());
    record.second = Some(second.to_owned());
    record.request = Some(key.id.clone());
    record
}

/// Returns whether what a record tells of took place: not the intent of an operation, and not its failure.
pub fn took_place(record: &Record) -> bool {
    record.level != Level::Error && !matches!(record.status, Some(Status::Intent | Status::Failed | Status::Retrying))
}

fn bound(facts: &Facts, action: Action, item: &Subject, archive: Option<&str>, reason: Option<&str>) -> Record {
    let mut record = facts.record(action);
    record.repo = Some(item.repo.clone());
    record.set_path(&item.path);
    record.tombstone = Some(item.tombstone);
    record.sha256 = Some(item.sha256);
    record.reason = reason.map(str::to_owned);
    record.metadata.extend(archive.map(|archive| (ARCHIVE.to_owned(), archive.to_owned())));
    record.status = Some(Status::Done);
    record
}
