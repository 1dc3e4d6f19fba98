//! From a planned path to its item, record and stub. The stub follows from the record alone, so that an operation that
//! is finished later writes the very same stubs.

use crate::archive::ItemStatus;
use crate::evidence::record::{Action, Record, Status};
use crate::id::{Sha256, Tombstone};
use crate::item::{Item, Reason};
use crate::stub::Stub;

use super::plan::{PlannedItem, StorePlan};

/// Returns the item of a planned path whose bytes have digest `sha256`.
pub(super) fn item(plan: &StorePlan, planned: &PlannedItem, sha256: Sha256) -> Item {
    let label = plan.label(planned);
    Item {
        tombstone: Tombstone::derive(&plan.facts.repo, planned.path.as_bytes(), &plan.commit, &sha256),
        repo: plan.facts.repo.clone(),
        path: planned.path.clone(),
        commit: plan.commit,
        object: planned.object,
        mode: planned.mode,
        sha256,
        size: planned.size,
        kind: planned.kind,
        language: planned.language.clone(),
        mime: planned.mime.clone(),
        reason: label.reason,
        tags: label.tags.clone(),
        metadata: label.metadata.clone(),
        refs: plan.refs.clone(),
        dirty: planned.is_dirty(),
        delete_after: plan.delete_after,
        legal_hold: plan.legal_hold,
        archived_by: plan.facts.actor.clone(),
        archived_at: plan.facts.started,
    }
}

/// Returns the record of archiving `item`, without the stub's digest.
pub(super) fn record(plan: &StorePlan, item: &Item, compressed_size: u64, status: ItemStatus, backend: &str) -> Record {
    let mut record = plan.facts.record(Action::Archive);
    record.set_path(&item.path);
    record.tombstone = Some(item.tombstone);
    record.sha256 = Some(item.sha256);
    record.size = Some(item.size);
    record.compressed_size = Some(compressed_size);
    record.object = Some(item.object);
    record.mode = Some(item.mode);
    record.commit = Some(item.commit);
    record.kind = Some(item.kind);
    record.language.clone_from(&item.language);
    record.mime.clone_from(&item.mime);
    record.reason = Some(item.reason.to_string());
    record.tags.clone_from(&item.tags);
    record.metadata.clone_from(&item.metadata);
    record.refs.clone_from(&item.refs);
    record.dirty = item.dirty;
    record.delete_after = item.delete_after;
    record.legal_hold = item.legal_hold;
    record.backend = Some(backend.to_owned());
    record.status = Some(match status {
        ItemStatus::Stored => Status::Stored,
        ItemStatus::AlreadyStored => Status::AlreadyStored,
    });
    record
}

/// Returns a record of a planned path that is as long as any can become: with a predecessor, and the longest numbers.
pub(super) fn longest(plan: &StorePlan, planned: &PlannedItem) -> Record {
    let item = item(plan, planned, Sha256::ZERO);
    let mut record = record(plan, &item, u64::MAX, ItemStatus::AlreadyStored, "postgresql");
    record.stub = Some(Sha256::ZERO);
    record.count = Some(u64::MAX);
    record.prev = vec![Sha256::ZERO];
    record
}

/// Returns the stub that stands for an `ARCHIVE` record in the evidence file with digest `evidence`; `None` if the
/// record lacks something that a stub tells.
pub(super) fn stub(record: &Record, evidence: Sha256) -> Option<Stub> {
    Some(Stub {
        path: record.repo_path()?,
        tombstone: record.tombstone?,
        sha256: record.sha256?,
        size: record.size?,
        mode: record.mode?,
        object: record.object?,
        repo: record.repo.clone()?,
        commit: record.commit?,
        reason: record.reason.as_deref()?.parse::<Reason>().ok()?,
        archived_by: record.actor.clone()?,
        archived_at: record.ts,
        evidence,
    })
}
