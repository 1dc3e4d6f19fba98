//! What governance asks of an archive: holds, approvals, and the destruction of bytes.
//!
//! `docs/governance.md` says what holds while bytes are destroyed, and in which order.

use super::{Approval, ArchiveError, Event, KnownPurge, StoredItem};
use crate::clock::Timestamp;
use crate::evidence::record::{Action, Record};
use crate::id::{OperationId, Sha256, Tombstone};

/// A legal hold on an item, as the archive keeps it. It keeps the bytes of every item with the same content.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hold {
    /// The item.
    pub tombstone: Tombstone,
    /// The operation that set it, which is its id; `None` where somebody set it by SQL.
    pub id: Option<OperationId>,
    /// The name of the case; `None` for a hold without one.
    pub name: Option<String>,
    /// Who set it, where that is known.
    pub set_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub set_at: Timestamp,
}

/// A purge that has begun: the content's bytes are destroyed, or about to be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Purge {
    /// The operation.
    pub op: OperationId,
    /// The clone that began it.
    pub origin: String,
    /// The item that the request is about.
    pub tombstone: Tombstone,
    /// The content.
    pub sha256: Sha256,
    /// The request that it uses up.
    pub request: String,
    /// Who approved it, and applied it.
    pub by: String,
    /// The other one who approved it.
    pub second: String,
    /// Why.
    pub reason: String,
    /// When it began.
    pub begun_at: Timestamp,
}

/// What is known of one content that its destruction depends on, as of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ContentFacts {
    /// The content.
    pub sha256: Sha256,
    /// The items that have it, pending ones included, undone ones not, in the order of their tombstones. Those that were purged
    /// before the content came back are among them.
    pub items: Vec<StoredItem>,
    /// The holds on these items that are not released, in the order in which they were set.
    pub holds: Vec<Hold>,
    /// The events of these items that are about governance (see [`Action::is_governance`](crate::evidence::record::Action::is_governance)),
    /// in the order in which they were appended.
    pub events: Vec<Event>,
    /// The purges of the content, ended ones included, oldest first: also of those whose record nobody has made yet.
    pub purges: Vec<Purge>,
}

/// What destroying the bytes of a content did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// How many blocks went.
    pub blocks: u64,
    /// How many other contents moved to other blocks.
    pub moved: u64,
}

/// The part of an [`Archive`](super::Archive) that holds, approves and destroys.
pub trait Governing {
    /// Returns what is known of a content that an item has or had; `None` for one that no item has.
    fn content_facts(&mut self, sha256: &Sha256) -> Result<Option<ContentFacts>, ArchiveError>;

    /// Sets holds. One that is there by tombstone and id stays as it is, released or not.
    ///
    /// Fails with [`ArchiveError::NoSuchItem`] where there is no such item, and with [`ArchiveError::Purged`] where its content is
    /// purged.
    fn set_holds(&mut self, holds: &[Hold]) -> Result<(), ArchiveError>;

    /// Appends `events` and releases the holds that the `HOLD_RELEASED` ones among them name by tombstone and `request`; a
    /// record without `request` releases the holds without an id. Releasing what is released does nothing.
    fn release_holds(&mut self, events: &[Event]) -> Result<(), ArchiveError>;

    /// Returns all holds that are not released, each with its item, in the order in which they were set.
    fn holds(&mut self) -> Result<Vec<(Hold, StoredItem)>, ArchiveError>;

    /// Appends `events` and notes approvals of items. An approval that is there (by item, purpose, request and approver, not
    /// consumed) stays as it is.
    fn approve(&mut self, approvals: &[(Tombstone, Approval)], events: &[Event]) -> Result<(), ArchiveError>;

    /// Begins `purge`, if `judge` agrees: it is shown the facts under the writers' lock. From then on the content and its items
    /// are purged, and the approvals of the request are consumed. Returns whether it has begun; if not, nothing has changed.
    ///
    /// A purge that this operation has begun already stays begun, and `judge` is not asked. Fails with [`ArchiveError::Purged`]
    /// where another one has begun, with [`ArchiveError::RequestUsed`] where one used the request, of whatever content, and with
    /// [`ArchiveError::NoSuchItem`] where the item is not there.
    fn begin_purge(
        &mut self,
        purge: &Purge,
        judge: &mut dyn FnMut(&ContentFacts) -> bool,
    ) -> Result<bool, ArchiveError>;

    /// Destroys the bytes of a content whose purge has begun, and makes sure that they are gone. May be repeated.
    ///
    /// Fails with [`ArchiveError::InUse`] where a reader keeps the last of them from going.
    fn destroy(&mut self, sha256: &Sha256) -> Result<Destroyed, ArchiveError>;

    /// Appends `events` and notes that the bytes are gone whose purge operation `op` has begun. Where that was noted before, only
    /// the events are new.
    ///
    /// Fails with [`ArchiveError::NoSuchPurge`] where it has begun none.
    fn end_purge(&mut self, op: OperationId, events: &[Event]) -> Result<(), ArchiveError>;

    /// Returns the purge that operation `op` has begun, and whether it has ended.
    fn purge_by(&mut self, op: OperationId) -> Result<Option<KnownPurge>, ArchiveError>;

    /// Returns the newest purge of a content; `None` for one that was never purged.
    fn purge_of(&mut self, sha256: &Sha256) -> Result<Option<Purge>, ArchiveError>;

    /// Returns the purges that have begun and not ended, oldest first.
    fn unfinished_purges(&mut self) -> Result<Vec<Purge>, ArchiveError>;

    /// Returns the events about governance of all items, in the order in which they were appended, after number `after` (from
    /// 0), a page at a time. An empty page is the end.
    fn governance_page(&mut self, after: u64) -> Result<Vec<(u64, Event)>, ArchiveError>;
}

/// Returns the SQL of the list of all actions about governance.
pub(super) fn governance_actions() -> String {
    Action::GOVERNANCE.map(|action| format!("'{}'", action.as_str())).join(", ")
}

/// What an event releases.
pub(super) struct Release<'a> {
    /// The item whose hold it is.
    pub tombstone: Tombstone,
    /// The hold's id; `None` for one that nobody knows who set.
    pub hold: Option<String>,
    /// The event.
    pub event: &'a Event,
}

/// Returns what `events` release.
pub(super) fn releases(events: &[Event]) -> impl Iterator<Item = Release<'_>> {
    events.iter().filter(|event| event.action == Action::HoldReleased).filter_map(|event| {
        let record = Record::parse_line(event.line.as_bytes()).ok()?;
        Some(Release { tombstone: event.tombstone?, hold: record.request, event })
    })
}
