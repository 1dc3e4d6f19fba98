//! The values that go into an archive and come out of it.

use super::ArchiveError;
use crate::clock::Timestamp;
use crate::evidence::record::{Action, Record, RecordError};
use crate::id::{OperationId, Sha256, Tombstone};
use crate::item::{Item, text_enum};

/// How many segments one call of [`Archive::segments`](super::Archive::segments) returns at most.
pub const SEGMENT_PAGE: usize = 4096;

text_enum! {
    /// How far an item has come.
    ItemState, "an item's state (pending, sealed or undone)" {
        /// Its operation has begun; stub and evidence may or may not be there.
        Pending = "pending",
        /// Its operation is done.
        Sealed = "sealed",
        /// Its operation was taken back; the row is as good as absent.
        Undone = "undone",
    }
}

/// What a command is about to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Contents, items and events are added.
    Store,
    /// Items are given back: times are noted, and events added.
    Restore,
    /// Holds are set and released, approvals and events are added.
    Govern,
    /// Bytes are destroyed, or those that were come back.
    Purge,
    /// The archive is marked as one whose place another one takes.
    Supersede,
}

impl Change {
    /// Returns what is done, as a verb phrase.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Store => "store anything",
            Self::Restore => "record what is given back",
            Self::Govern => "record what is held and approved",
            Self::Purge => "destroy bytes",
            Self::Supersede => "be superseded",
        }
    }
}

/// Whether beginning an operation made an item's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemStatus {
    /// The row is this operation's: it is new, or was undone and begins anew.
    Stored,
    /// The row is another operation's, sealed or pending.
    AlreadyStored,
}

/// An item as it stands in the archive.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredItem {
    /// The facts about it.
    pub item: Item,
    /// How far it has come.
    pub state: ItemState,
    /// The operation that made its row.
    pub op: OperationId,
    /// The clone that began that operation.
    pub origin: String,
    /// Its share of its blocks' stored bytes, rounded up for each segment.
    pub compressed_size: u64,
    /// When it was last given back.
    pub restored_at: Option<Timestamp>,
    /// When its bytes were destroyed, or began to be. They stay so for this item although the content may have come back
    /// with another one.
    pub purged_at: Option<Timestamp>,
}

impl StoredItem {
    /// Returns whether clone `origin` sees the item: sealed items are seen by all, pending ones by the clone that began
    /// them, undone ones by none.
    pub fn is_visible_to(&self, origin: &str) -> bool {
        match self.state {
            ItemState::Sealed => true,
            ItemState::Pending => self.origin == origin,
            ItemState::Undone => false,
        }
    }
}

/// A record as the archive keeps it: the exact line, and what is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The SHA-256 of the line.
    pub digest: Sha256,
    /// The operation that made the record.
    pub op: OperationId,
    /// What it tells of.
    pub action: Action,
    /// Who acted.
    pub actor: Option<String>,
    /// The item it is about.
    pub tombstone: Option<Tombstone>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The record's exact line, with its newline.
    pub line: String,
}

impl Event {
    /// Returns the event that keeps `record`.
    pub fn from_record(record: &Record) -> Result<Self, RecordError> {
        Ok(Self::new(record, record.to_line()?))
    }

    /// Returns the event that keeps `line`, which must be a canonical record.
    pub fn from_line(line: &str) -> Result<Self, RecordError> {
        Ok(Self::new(&Record::parse_line(line.as_bytes())?, line.to_owned()))
    }

    /// Returns the event in row `id`, whose other columns must agree with its line.
    pub(super) fn checked(id: i64, line: &str, digest: &str, tombstone: Option<&str>) -> Result<Self, ArchiveError> {
        let damaged = |what: &str| ArchiveError::Damaged { what: format!("event {id} {what}") };
        let event = Self::from_line(line).map_err(|_| damaged("is not a record"))?;
        if event.digest.to_string() != digest {
            return Err(damaged("does not match its digest"));
        }
        if event.tombstone.map(|tombstone| tombstone.to_string()).as_deref() != tombstone {
            return Err(damaged("is about another item"));
        }
        Ok(event)
    }

    fn new(record: &Record, line: String) -> Self {
        Self {
            digest: Record::digest(&line),
            op: record.op,
            action: record.action,
            actor: record.actor.clone(),
            tombstone: record.tombstone,
            created_at: record.ts,
            line,
        }
    }
}

/// What is known of one content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArtifactInfo {
    /// Its length in bytes.
    pub size: u64,
    /// Its share of its blocks' stored bytes, rounded up for each segment.
    pub compressed_size: u64,
    /// When its bytes were destroyed.
    pub purged_at: Option<Timestamp>,
    /// Its first segment, which is all that a small content has.
    pub first: Option<Segment>,
}

/// The sizes of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockInfo {
    /// The length of the raw bytes.
    pub raw_size: u32,
    /// The length of the stored bytes.
    pub stored_size: u32,
}

impl BlockInfo {
    /// Returns the share of the stored bytes that `length` of the raw bytes account for, rounded up.
    pub fn share(self, length: u32) -> u64 {
        (u64::from(length) * u64::from(self.stored_size)).div_ceil(u64::from(self.raw_size.max(1)))
    }
}

/// A run of bytes of one block: contents are lists of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The digest of the block's raw bytes.
    pub block: Sha256,
    /// Where the run starts in the raw bytes.
    pub offset: u32,
    /// How many bytes it has; never 0.
    pub length: u32,
}

/// A content about to enter the archive. Empty content has no segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArtifact {
    /// The digest of the bytes.
    pub sha256: Sha256,
    /// The length of the bytes, which is the sum of the segments' lengths.
    pub size: u64,
    /// Where the bytes are, in order.
    pub segments: Vec<Segment>,
    /// Whether it comes back also where its bytes were destroyed.
    pub readmit: bool,
}

/// An operation that has not been sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingOperation {
    /// Its id.
    pub op: OperationId,
    /// How many of its rows are pending.
    pub items: u64,
    /// The earliest time at which one of them was archived.
    pub since: Timestamp,
}

/// How much is in an archive. Undone items are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items, sealed and pending.
    pub items: u64,
    /// Those of them whose bytes are all there, by the tables (nothing is read or hashed).
    pub retrievable: u64,
    /// Those of them that are purged.
    pub purged: u64,
    /// Distinct contents, without the purged.
    pub artifacts: u64,
    /// The sum of the items' sizes: what they took in their working trees.
    pub item_bytes: u64,
    /// The sum of the distinct contents' sizes.
    pub artifact_bytes: u64,
    /// The sum of the blocks' stored sizes.
    pub stored_bytes: u64,
    /// Events.
    pub events: u64,
}
