//! What every database engine promises: the one interface between the product and its archives.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::{
    ArchiveError, ArtifactInfo, Block, BlockInfo, Change, Copying, Counts, Event, Governing, ItemStatus, NewArtifact,
    PendingOperation, Query, Segment, StoredItem,
};
use crate::clock::Timestamp;
use crate::id::{OperationId, Sha256, Tombstone};
use crate::item::{Item, RepoPath};

/// An open archive.
///
/// Promises that hold for every engine:
///
/// * A method that changes something does all of it or nothing, and on return it is durable: it survives a crash of
///   the program, of the database and of the machine.
/// * Every changing method may be repeated after an error or a crash and then has the effect of one call.
/// * Several programs may use one archive at once. What one has been told is stored, the others see.
/// * Nothing deletes items or events, and only [`Governing::destroy`] deletes bytes.
/// * An archive that is superseded (see [`Copying`]) refuses every change with [`ArchiveError::Superseded`].
///
/// `origin` is the id of the clone that acts: an opaque text, the same for every command run in that clone.
pub trait Archive: Copying + Governing + Send {
    /// Returns the archive's random id: a lower-case version 4 UUID, made with the archive and never changed.
    fn id(&self) -> &str;

    /// Returns the engine's name as records and configuration carry it: `sqlite`.
    fn backend(&self) -> &'static str;

    /// Returns how many attempts failed and were made again since it was opened.
    fn retries(&self) -> u64 {
        0
    }

    /// Asks whether `change` may be made here, without making any: what is refused for want of a right, or because the
    /// archive takes no changes, is refused before a command has begun.
    ///
    /// Fails as the change itself would: with [`ArchiveError::Forbidden`], [`ArchiveError::ReadOnly`] or, but for
    /// [`Change::Supersede`], [`ArchiveError::Superseded`].
    fn check_change(&mut self, change: Change) -> Result<(), ArchiveError>;

    /// Asks the engine for a sign of life, and what keeps its bytes, in one short round trip each.
    fn ping(&mut self) -> Result<(), ArchiveError>;

    /// Returns what is known of those of `contents` that are in the archive, purged ones included.
    fn find_artifacts(&mut self, contents: &[Sha256]) -> Result<HashMap<Sha256, ArtifactInfo>, ArchiveError>;

    /// Returns the sizes of those blocks of `raw` (digests of raw bytes) that are in the archive.
    fn find_blocks(&mut self, raw: &[Sha256]) -> Result<HashMap<Sha256, BlockInfo>, ArchiveError>;

    /// Adds blocks and artifacts made of these or earlier blocks, and returns the artifacts that were not there before.
    ///
    /// A block exists once by the digest of its raw bytes, an artifact once by its content's: what is there stays as
    /// it is. Fails with [`ArchiveError::Purged`] for content that was purged (unless it is to be
    /// [readmitted](NewArtifact::readmit), and its purge has ended), and with [`ArchiveError::MissingBlock`] where a segment
    /// names a block that is neither here nor there (any more: a purge deletes blocks that nobody uses).
    fn put(&mut self, blocks: &[Block], artifacts: &[NewArtifact]) -> Result<HashSet<Sha256>, ArchiveError>;

    /// Returns up to [`SEGMENT_PAGE`](super::SEGMENT_PAGE) segments of `content` in order, from number `from` (from 0).
    ///
    /// The list ends with a shorter page, which may be empty. Unknown, purged and empty contents have no segments.
    fn segments(&mut self, content: &Sha256, from: u64) -> Result<Vec<Segment>, ArchiveError>;

    /// Returns the block whose raw bytes have digest `raw`, as it is stored: nothing about it has been checked but that
    /// its sizes are within [`BLOCK_SIZE`](super::BLOCK_SIZE).
    fn block(&mut self, raw: &Sha256) -> Result<Option<Block>, ArchiveError>;

    /// Records that operation `op` of clone `origin` is about to archive `items`: rows in state *pending*.
    ///
    /// Returns for each item whether this operation made its row. A row that is there, sealed or pending, is left as it
    /// is, but put under a legal hold of this operation if the item asks for one, and not purged any more if its content
    /// has come back; one that was undone begins anew as this operation's.
    ///
    /// The contents must have been [`put`](Self::put) before: fails with [`ArchiveError::MissingArtifact`] or
    /// [`ArchiveError::Purged`] where they are not there (any more).
    fn begin(&mut self, op: OperationId, origin: &str, items: &[Item]) -> Result<Vec<ItemStatus>, ArchiveError>;

    /// Ends operation `op`: its pending rows, and the rows of every tombstone that an `ARCHIVE` event among `events`
    /// names (also another operation's, also undone ones), are sealed, and `events` are appended.
    ///
    /// Fails with [`ArchiveError::NoSuchItem`] where an `ARCHIVE` event names a tombstone that has no row.
    fn seal(&mut self, op: OperationId, events: &[Event]) -> Result<(), ArchiveError>;

    /// Takes operation `op` of clone `origin` back: its rows that are still pending become undone, `event` is appended.
    /// Returns how many rows that were. Bytes stay; the holds that it asked for on these rows are released.
    ///
    /// Fails with [`ArchiveError::OtherOrigin`], changing nothing, where another clone began the operation.
    fn undo(&mut self, op: OperationId, origin: &str, event: &Event) -> Result<u64, ArchiveError>;

    /// Returns the operations of clone `origin` that have pending rows, oldest first.
    fn pending(&mut self, origin: &str) -> Result<Vec<PendingOperation>, ArchiveError>;

    /// Returns the items whose rows operation `op` made, in the order of their paths, whatever their state.
    fn operation_items(&mut self, op: OperationId) -> Result<Vec<StoredItem>, ArchiveError>;

    /// Appends `events`; those already there (by digest) are left out.
    fn append_events(&mut self, events: &[Event]) -> Result<(), ArchiveError>;

    /// Notes when `tombstones` were last given back, and appends `events`. Tombstones without a row are passed over.
    fn mark_restored(&mut self, tombstones: &[Tombstone], at: Timestamp, events: &[Event]) -> Result<(), ArchiveError>;

    /// Returns the items of those of `tombstones` that have a row, whatever their state (see
    /// [`StoredItem::is_visible_to`]), as of one moment.
    fn items(&mut self, tombstones: &[Tombstone]) -> Result<HashMap<Tombstone, StoredItem>, ArchiveError>;

    /// Returns the item of one tombstone, as [`Archive::items`] does.
    fn item(&mut self, tombstone: &Tombstone) -> Result<Option<StoredItem>, ArchiveError> {
        Ok(self.items(std::slice::from_ref(tombstone))?.remove(tombstone))
    }

    /// Returns up to `limit` items whose printed tombstone starts with `prefix`, whatever their state, in the order of
    /// their tombstones. Fails with [`ArchiveError::ShortPrefix`] where that has fewer than 8 characters.
    fn items_by_prefix(&mut self, prefix: &str, limit: usize) -> Result<Vec<StoredItem>, ArchiveError>;

    /// Returns the items of `repo` that stood at `path`, whatever their state, newest first.
    fn items_by_path(&mut self, repo: &str, path: &RepoPath) -> Result<Vec<StoredItem>, ArchiveError>;

    /// Hands the items that `query` selects to `visit`, newest first, then by the bytes of their paths, then by
    /// tombstone, until it breaks off. Memory does not grow with the number of items.
    fn list(&mut self, query: &Query, visit: &mut dyn FnMut(StoredItem) -> ControlFlow<()>)
    -> Result<(), ArchiveError>;

    /// Hands the events of `tombstone` to `visit` in the order in which they were appended, until it breaks off.
    fn events(
        &mut self,
        tombstone: &Tombstone,
        visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), ArchiveError>;

    /// Returns those of `digests` that an event has.
    fn find_events(&mut self, digests: &[Sha256]) -> Result<HashSet<Sha256>, ArchiveError>;

    /// Counts what is in the archive.
    fn counts(&mut self) -> Result<Counts, ArchiveError>;
}
