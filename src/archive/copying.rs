//! What it takes to copy a whole archive: all that it holds, in pages, and an archive that takes it in as it is.
//!
//! `docs/migrate.md` says what holds while a copy is made.

use super::{Archive, ArchiveError, Block, Event, Hold, Purge, Segment, StoredItem};
use crate::clock::Timestamp;
use crate::id::{Sha256, Tombstone};
use crate::item::text_enum;

/// How many rows a page has at most. A row has at most some 64 KiB.
pub(super) const PAGE: usize = 256;

text_enum! {
    /// What an approval allows.
    Purpose, "what an approval is for (purge or restore)" {
        /// That the item's bytes are destroyed.
        Purge = "purge",
        /// That the item is given back.
        Restore = "restore",
    }
}

/// An approval as the archive keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// What it allows.
    pub purpose: Purpose,
    /// The request that it answers.
    pub request: Option<String>,
    /// Who approved.
    pub approver: String,
    /// When.
    pub approved_at: Timestamp,
    /// When it was made use of.
    pub consumed_at: Option<Timestamp>,
}

/// A content without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownContent {
    /// Its number: what came later has a greater one. Another archive has other numbers.
    pub number: u64,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
    /// When it came into the archive.
    pub created_at: Timestamp,
    /// When its bytes were destroyed.
    pub purged_at: Option<Timestamp>,
}

/// An item with all that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownItem {
    /// The item.
    pub stored: StoredItem,
    /// The approvals of it, in the order in which they came.
    pub approvals: Vec<Approval>,
}

/// A hold, released or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHold {
    /// The hold.
    pub hold: Hold,
    /// When it was released, and the digest of the event that says so.
    pub released: Option<(Timestamp, Sha256)>,
}

/// A purge, ended or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPurge {
    /// The purge.
    pub purge: Purge,
    /// When the bytes were gone.
    pub destroyed_at: Option<Timestamp>,
}

/// What a copy takes in at once: blocks before the contents that are made of them, contents before items, items before
/// events, and those before holds and purges. What is of one batch needs no other order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Blocks, as they are stored. What is there already stays.
    pub blocks: Vec<Block>,
    /// Contents with their segments; a purged one has none. What is there already stays, but what was purged there comes back.
    pub contents: Vec<(KnownContent, Vec<Segment>)>,
    /// Items, without their holds. One that is there already becomes as it is here.
    pub items: Vec<KnownItem>,
    /// Events, in their order. What is there already stays where it is.
    pub events: Vec<Event>,
    /// Holds, in their order. One that is there already stays, but is released if it is released here.
    pub holds: Vec<KnownHold>,
    /// Purges that have ended, in their order. What is there already stays.
    pub purges: Vec<KnownPurge>,
}

/// The part of an [`Archive`](super::Archive) that makes and takes copies.
///
/// An archive that is *superseded* refuses every change with [`ArchiveError::Superseded`]. A copy is superseded by its
/// source until it is complete, so that only these methods change it.
pub trait Copying {
    /// Returns the id of the archive that is to be used instead of this one, if there is one by now.
    fn superseded_by(&mut self) -> Result<Option<String>, ArchiveError>;

    /// Returns the next contents after number `after` (from 0), purged ones included, in the order in which they came.
    /// An empty page is the end.
    fn contents_page(&mut self, after: u64) -> Result<Vec<KnownContent>, ArchiveError>;

    /// Returns the next items after tombstone `after`, whatever their state, in the order of their tombstones. An empty
    /// page is the end.
    fn items_page(&mut self, after: Option<&Tombstone>) -> Result<Vec<KnownItem>, ArchiveError>;

    /// Returns the next events after number `after` (from 0), each with its number, in the order in which they were
    /// appended, checked against their digests. An empty page is the end.
    fn events_page(&mut self, after: u64) -> Result<Vec<(u64, Event)>, ArchiveError>;

    /// Returns the next holds after number `after` (from 0), each with its number, in the order in which they were set. An
    /// empty page is the end.
    fn holds_page(&mut self, after: u64) -> Result<Vec<(u64, KnownHold)>, ArchiveError>;

    /// Returns the next purges after number `after` (from 0), each with its number, in the order in which they began. An
    /// empty page is the end.
    fn purges_page(&mut self, after: u64) -> Result<Vec<(u64, KnownPurge)>, ArchiveError>;

    /// Returns the number of the newest event; 0 if there is none.
    fn newest_event(&mut self) -> Result<u64, ArchiveError>;

    /// Makes this archive, which must be empty, a copy of archive `of` that is not complete. Does nothing where it is
    /// one already; fails with [`ArchiveError::NotACopy`] where it holds anything else.
    fn begin_copy(&mut self, of: &str) -> Result<(), ArchiveError>;

    /// Adds `batch` to this archive, which must be a copy of archive `of` that is not complete.
    ///
    /// Fails with [`ArchiveError::MissingBlock`] or [`ArchiveError::MissingArtifact`] where something is missing that
    /// should have come before.
    fn take_in(&mut self, of: &str, batch: &Batch) -> Result<(), ArchiveError>;

    /// Appends `events` and makes this copy of archive `of` an archive like any other. Does nothing where it has been that
    /// for long, with these events.
    fn complete_copy(&mut self, of: &str, events: &[Event]) -> Result<(), ArchiveError>;

    /// Keeps everybody from changing the archive while `last_look` has a last look at it, by another connection, and
    /// then, in the same transaction, appends the event that it returned and marks the archive as superseded by archive
    /// `by`. Changes nothing where it returned none, and does nothing where the archive is superseded by that one already.
    fn supersede(&mut self, by: &str, last_look: &mut dyn FnMut() -> Option<Event>) -> Result<(), ArchiveError>;
}

/// Returns an item that has the content `sha256`, if there is one: to say by a name what is damaged. Looks at every item.
pub(crate) fn item_with(archive: &mut dyn Archive, sha256: &Sha256) -> Result<Option<StoredItem>, ArchiveError> {
    let mut last = None;
    loop {
        let page = archive.items_page(last.as_ref())?;
        let Some(end) = page.last() else { return Ok(None) };
        last = Some(end.stored.item.tombstone);
        if let Some(known) = page.into_iter().find(|known| known.stored.item.sha256 == *sha256) {
            return Ok(Some(known.stored));
        }
    }
}
