//! The archive: where the bytes of archived files, the facts about them and the events around them are kept.
//!
//! In the story of a file it comes first and last: [`store_contents`] makes the bytes durable before anything in the
//! repository changes, [`Archive::begin`] and [`Archive::seal`] put the item's row around the stub's appearance, and
//! [`ContentReader`] gives the bytes back, checked against every digest on the way. The layout of the stored bytes, the
//! tables and the order of writes are specified in `docs/archive.md`.
//!
//! * [`Archive`] is what a database engine promises; `sqlite` is the embedded one, `server` (feature `net`) speaks to
//!   PostgreSQL and MariaDB. [`Location`] says which one, and opens it.
//! * `objects` keeps the bytes of an archive's blocks outside of its database.
//! * [`Governing`] holds, approves and destroys: `purging` takes a content out of blocks that it shares.
//! * `block`, `chunk`, `writer` and `reader` turn contents into blocks and back, the same for every engine.

mod backend;
mod block;
mod chunk;
#[cfg(test)]
mod contract;
mod copying;
mod error;
mod examine;
mod governing;
mod location;
mod migration;
mod model;
mod objects;
mod pool;
mod purging;
mod query;
mod reader;
mod retrying;
mod runs;
#[cfg(feature = "net")]
mod server;
mod sqlite;
mod writer;

pub use backend::Archive;
pub use block::{BLOCK_SIZE, Block, BlockError, Codec};
pub use chunk::{AVERAGE_PIECE, MAXIMUM_PIECE, MINIMUM_PIECE};
pub(crate) use copying::item_with;
pub use copying::{Approval, Batch, Copying, KnownContent, KnownHold, KnownItem, KnownPurge, Purpose};
pub use error::{ArchiveError, Setting};
pub use examine::{Damage, Examination, examine};
pub use governing::{ContentFacts, Destroyed, Governing, Hold, Purge};
pub use location::{Location, OpenMode};
pub use migration::schema;
pub use model::{
    ArtifactInfo, BlockInfo, Change, Counts, Event, ItemState, ItemStatus, NewArtifact, PendingOperation, SEGMENT_PAGE,
    Segment, StoredItem,
};
pub use objects::{ObjectPlace, ObjectPlaceKind, ObjectsError};
pub use pool::{Lent, Pool};
pub use query::Query;
pub(crate) use reader::LOOK_AHEAD;
pub use reader::{ContentReader, ReadError, ReadTimings};
pub use retrying::{OnRetry, Retry, open_retrying};
pub(crate) use runs::RUN_BYTES;
pub use runs::{Content, read_in_runs};
pub use sqlite::SqliteArchive;
pub use writer::{ContentSource, Progress, StoreContentsError, StoreContentsOptions, StoredContent, store_contents};

/// An open archive of any engine.
///
/// The alias has the bound `'static`, so that a reference to one can be lent on for a shorter time.
pub type AnyArchive = dyn Archive;
