//! The embedded archive: one SQLite file.
//!
//! SQLite's quirks and how they are met: a plain open follows links and makes missing files (open flags); the usual
//! journal lets readers block writers (WAL); a checked-in or handed-over file may carry hostile functions in its schema
//! (`trusted_schema` off, defensive mode) or values of any length (a length limit); `REPLACE` deletes rows without
//! firing their delete triggers (guards before insert and update, in the schema).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, Transaction, TransactionBehavior};

use super::error::{damaged, parse};
use super::migration::{Migration, migrations};
use super::objects::{self, Blocks, Keeper, ObjectPlace, attach, put_first};
use super::{
    Archive, ArchiveError, ArtifactInfo, Block, BlockInfo, Change, Counts, Event, ItemStatus, NewArtifact, OpenMode,
    PendingOperation, Query, Segment, StoredItem,
};
use crate::clock::Timestamp;
use crate::fs::{network_filesystem, parent_of, sync_dir};
use crate::id::{OperationId, Sha256, Tombstone};
use crate::item::{Backend, Item, RepoPath};

mod bytes;
mod copying;
mod destroying;
mod events;
mod governing;
mod items;
#[cfg(test)]
mod residue;
mod schema;
#[cfg(test)]
mod tests;

use schema::Found;

/// How long a lock held by another program is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest value in bytes that is read or written: four blocks, far more than any row of ours has.
const LONGEST_VALUE: i32 = 4 * 1024 * 1024;

/// An archive in one SQLite file.
#[derive(Debug)]
pub struct SqliteArchive {
    connection: Connection,
    id: String,
    /// What keeps the bytes of blocks, if the database does not.
    blocks: Blocks,
}

impl SqliteArchive {
    /// Opens the archive in the file `path`, whose folder must exist. The file itself is never a link that is followed.
    pub fn open(path: &Path, mode: OpenMode) -> Result<Self, ArchiveError> {
        Self::open_at(path, None, mode)
    }

    /// Opens the archive likewise; the bytes of its blocks are at `objects`, if that is some place.
    pub(super) fn open_at(path: &Path, objects: Option<&ObjectPlace>, mode: OpenMode) -> Result<Self, ArchiveError> {
        let mut archive = Self::open_with(path, mode, migrations(Backend::Sqlite))?;
        archive.blocks = attach(&mut archive, objects, mode)?;
        Ok(archive)
    }

    fn open_with(path: &Path, mode: OpenMode, migrations: &[Migration]) -> Result<Self, ArchiveError> {
        let path = &resolve_folder(path, mode)?;
        let missing = || ArchiveError::Missing { archive: path.display().to_string() };
        let exists = check_place(path)?;
        if !exists && mode == OpenMode::Existing {
            return Err(missing());
        }
        let mut connection = connect(path, mode)?;
        let current = migrations.last().map_or(0, |migration| migration.version);
        match inspect(&connection, path, migrations)? {
            Found::Current => {}
            Found::Empty if mode == OpenMode::Existing => return Err(missing()),
            Found::Older(found) if mode != OpenMode::CreateOrMigrate => {
                return Err(ArchiveError::Older { archive: path.display().to_string(), found, current });
            }
            Found::Empty | Found::Older(_) => {
                enter_wal(&connection)?;
                schema::migrate(&mut connection, path, migrations)?;
                sync_dir(parent_of(path)).map_err(|source| ArchiveError::Place { path: path.clone(), source })?;
            }
        }
        let id: String = connection
            .query_row("SELECT id FROM archive", [], |row| row.get(0))
            .map_err(engine_error("read the archive's id"))?;
        let id: uuid::Uuid = parse(&id, "archive.id")?;
        Ok(Self { connection, id: id.to_string(), blocks: None })
    }

    /// Begins a transaction that changes the archive, unless another archive took its place.
    fn write(&mut self) -> Result<Transaction<'_>, ArchiveError> {
        let transaction = self.lock()?;
        match copying::superseded_by(&transaction)? {
            None => Ok(transaction),
            Some(by) => Err(ArchiveError::Superseded { by }),
        }
    }

    /// Begins a transaction that may write. It takes the write lock at once: one that began by reading could not get it
    /// any more after another program wrote.
    fn lock(&mut self) -> Result<Transaction<'_>, ArchiveError> {
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(engine_error("begin a transaction"))
    }
}

impl Keeper for SqliteArchive {
    fn keeps_objects(&mut self) -> Result<bool, ArchiveError> {
        bytes::keeps_objects(&self.connection)
    }

    fn has_blocks(&mut self) -> Result<bool, ArchiveError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM block)";
        self.connection.query_row(sql, [], |row| row.get(0)).map_err(engine_error("look for blocks"))
    }

    fn keep_objects(&mut self) -> Result<(), ArchiveError> {
        let failed = engine_error("say where its bytes are");
        let transaction = self.write()?;
        let sql = "UPDATE archive SET driver = 'object' WHERE NOT EXISTS (SELECT 1 FROM block)";
        transaction.execute(sql, []).map_err(failed)?;
        transaction.commit().map_err(failed)
    }
}

/// Returns `path` with its folder's links resolved, because SQLite's refusal of links covers every component.
fn resolve_folder(path: &Path, mode: OpenMode) -> Result<PathBuf, ArchiveError> {
    let place = |source| ArchiveError::Place { path: path.to_owned(), source };
    let name = path.file_name().ok_or_else(|| place(io::Error::from(io::ErrorKind::InvalidInput)))?;
    match parent_of(path).canonicalize() {
        Ok(folder) => Ok(folder.join(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && mode == OpenMode::Existing => {
            Err(ArchiveError::Missing { archive: path.display().to_string() })
        }
        Err(error) => Err(place(error)),
    }
}

/// Checks that `path` is, or could become, a file that may hold an archive. Returns whether it exists.
fn check_place(path: &Path) -> Result<bool, ArchiveError> {
    let place = |source| ArchiveError::Place { path: path.to_owned(), source };
    let exists = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => return Err(ArchiveError::SymbolicLink { path: path.to_owned() }),
        Ok(metadata) if !metadata.is_file() => {
            return Err(ArchiveError::NotAnArchive {
                archive: path.display().to_string(),
                reason: "it is not a regular file",
            });
        }
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(place(error)),
    };
    match network_filesystem(parent_of(path)).map_err(place)? {
        Some(kind) => Err(ArchiveError::NetworkFilesystem { path: path.to_owned(), kind }),
        None => Ok(exists),
    }
}

/// Connects to the file and sets what holds for the connection.
fn connect(path: &Path, mode: OpenMode) -> Result<Connection, ArchiveError> {
    let mut flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    if mode != OpenMode::Existing {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let configure = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        // Without this, SQLite prepares a statement anew for each value bound to it that could have decided whether one
        // of the partial indexes serves: every look at an item.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(64);
        governing::add_functions(&connection)?;
        // `synchronous` FULL syncs the WAL at every commit; `fullfsync` is what makes that true on macOS.
        connection.execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; \
             PRAGMA checkpoint_fullfsync = ON; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; \
             PRAGMA journal_size_limit = 67108864;",
        )?;
        // The first read: what is no database shows here.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    configure().map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            ArchiveError::NotAnArchive { archive: path.display().to_string(), reason: "it is not a database" }
        }
        Some(ErrorCode::CannotOpen) => ArchiveError::Place { path: path.to_owned(), source: io::Error::other(error) },
        _ => engine_error("open")(error),
    })
}

/// Says what the database is, as of one moment: another program may be making an archive of it just now.
fn inspect(connection: &Connection, path: &Path, migrations: &[Migration]) -> Result<Found, ArchiveError> {
    let moment = connection.unchecked_transaction().map_err(engine_error("read the schema"))?;
    schema::inspect(&moment, path, migrations)
}

/// Turns the write-ahead log on, for good: the file remembers it. Where programs race to do it SQLite reports "busy"
/// without waiting, so the waiting is here.
fn enter_wal(connection: &Connection) -> Result<(), ArchiveError> {
    let start = Instant::now();
    loop {
        match connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && start.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result.map_err(engine_error("turn on its write-ahead log")),
        }
    }
}

/// Returns what turns SQLite's errors into ours, for something that was to `action` (a verb phrase).
fn engine_error(action: &'static str) -> impl Fn(rusqlite::Error) -> ArchiveError + Copy {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ArchiveError::Busy { source: Box::new(error) },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            ArchiveError::Damaged { what: format!("SQLite reports `{error}`") }
        }
        Some(ErrorCode::TooBig) => ArchiveError::Damaged { what: "a value longer than any of an archive's".to_owned() },
        Some(ErrorCode::ReadOnly) => ArchiveError::ReadOnly { action, source: Box::new(error) },
        Some(_) => ArchiveError::Engine { action, source: Box::new(error) },
        // Not from SQLite but from reading a column: the value has the wrong type or form.
        None => ArchiveError::Damaged { what: format!("a value cannot be read (`{error}`)") },
    }
}

impl Archive for SqliteArchive {
    fn id(&self) -> &str {
        &self.id
    }

    fn backend(&self) -> &'static str {
        "sqlite"
    }

    fn check_change(&mut self, change: Change) -> Result<(), ArchiveError> {
        if self.connection.is_readonly(MAIN_DB).map_err(engine_error("say whether it can be written"))? {
            let source = "the file cannot be written".into();
            return Err(ArchiveError::ReadOnly { action: change.describe(), source });
        }
        match copying::superseded_by(&self.connection)? {
            Some(by) if change != Change::Supersede => Err(ArchiveError::Superseded { by }),
            _ => Ok(()),
        }
    }

    fn ping(&mut self) -> Result<(), ArchiveError> {
        self.connection.query_row("SELECT 1 FROM archive", [], |_| Ok(())).map_err(engine_error("answer"))?;
        objects::ping(&self.blocks)
    }

    fn find_artifacts(&mut self, contents: &[Sha256]) -> Result<HashMap<Sha256, ArtifactInfo>, ArchiveError> {
        bytes::find_artifacts(&self.connection, contents)
    }

    fn find_blocks(&mut self, raw: &[Sha256]) -> Result<HashMap<Sha256, BlockInfo>, ArchiveError> {
        bytes::find_blocks(&self.connection, raw)
    }

    fn put(&mut self, blocks: &[Block], artifacts: &[NewArtifact]) -> Result<HashSet<Sha256>, ArchiveError> {
        let store = self.blocks.clone();
        // Looked at again under the lock; here it keeps objects that nobody will use from being written.
        if store.is_some()
            && let Some(by) = copying::superseded_by(&self.connection)?
        {
            return Err(ArchiveError::Superseded { by });
        }
        let put = put_first(self, &store, blocks).and_then(|blocks| bytes::put(self.write()?, &blocks, artifacts));
        if let (Err(ArchiveError::Purged { .. }), Some(_)) = (&put, &store) {
            // The rows went back by themselves.
            let _ = destroying::discard(self, blocks);
        }
        put
    }

    fn segments(&mut self, content: &Sha256, from: u64) -> Result<Vec<Segment>, ArchiveError> {
        bytes::segments(&self.connection, content, from)
    }

    fn block(&mut self, raw: &Sha256) -> Result<Option<Block>, ArchiveError> {
        bytes::block(&self.connection, &self.blocks, raw)
    }

    fn begin(&mut self, op: OperationId, origin: &str, items: &[Item]) -> Result<Vec<ItemStatus>, ArchiveError> {
        items::begin(self.write()?, op, origin, items)
    }

    fn seal(&mut self, op: OperationId, events: &[Event]) -> Result<(), ArchiveError> {
        items::seal(self.write()?, op, events)
    }

    fn undo(&mut self, op: OperationId, origin: &str, event: &Event) -> Result<u64, ArchiveError> {
        items::undo(self.write()?, op, origin, event)
    }

    fn pending(&mut self, origin: &str) -> Result<Vec<PendingOperation>, ArchiveError> {
        items::pending(&self.connection, origin)
    }

    fn operation_items(&mut self, op: OperationId) -> Result<Vec<StoredItem>, ArchiveError> {
        items::of_operation(&self.connection, op)
    }

    fn append_events(&mut self, events: &[Event]) -> Result<(), ArchiveError> {
        let transaction = self.write()?;
        events::insert(&transaction, events)?;
        transaction.commit().map_err(engine_error("append events"))
    }

    fn mark_restored(&mut self, tombstones: &[Tombstone], at: Timestamp, events: &[Event]) -> Result<(), ArchiveError> {
        items::mark_restored(self.write()?, tombstones, at, events)
    }

    fn items(&mut self, tombstones: &[Tombstone]) -> Result<HashMap<Tombstone, StoredItem>, ArchiveError> {
        items::by_tombstone(&self.connection, tombstones)
    }

    fn items_by_prefix(&mut self, prefix: &str, limit: usize) -> Result<Vec<StoredItem>, ArchiveError> {
        items::by_prefix(&self.connection, prefix, limit)
    }

    fn items_by_path(&mut self, repo: &str, path: &RepoPath) -> Result<Vec<StoredItem>, ArchiveError> {
        items::by_path(&self.connection, repo, path)
    }

    fn list(
        &mut self,
        query: &Query,
        visit: &mut dyn FnMut(StoredItem) -> ControlFlow<()>,
    ) -> Result<(), ArchiveError> {
        items::list(&self.connection, query, visit)
    }

    fn events(
        &mut self,
        tombstone: &Tombstone,
        visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), ArchiveError> {
        events::of_tombstone(&self.connection, tombstone, visit)
    }

    fn find_events(&mut self, digests: &[Sha256]) -> Result<HashSet<Sha256>, ArchiveError> {
        events::find(&self.connection, digests)
    }

    fn counts(&mut self) -> Result<Counts, ArchiveError> {
        items::counts(&self.connection)
    }
}
