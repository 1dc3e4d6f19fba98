//! Archives on database servers: PostgreSQL and MariaDB.
//!
//! The two are one engine. Whatever changes an archive there first locks its one row in table `archive`, as SQLite locks
//! its file, so writers come one after the other: no deadlock, no serialization failure, and what was looked up under
//! the lock still stands when it is used. Only the blocks of a [`put`](Archive::put), which is where the time goes, are
//! written before, each on its own. What is peculiar to a server is in its driver (`postgres`, `mariadb`) and its schema.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::error::{damaged, parse};
use super::migration::{Migration, migrations};
use super::objects::{self, Blocks, Keeper, ObjectPlace, attach, put_first};
use super::{
    Archive, ArchiveError, ArtifactInfo, Block, BlockInfo, Change, Copying as _, Counts, Event, ItemStatus,
    NewArtifact, OpenMode, PendingOperation, Query, Segment, StoredItem,
};
use crate::clock::Timestamp;
use crate::id::{OperationId, Sha256, Tombstone};
use crate::item::{Backend, Item, RepoPath};
use crate::redact::SecretUrl;

mod address;
mod bytes;
mod connection;
mod copying;
mod destroying;
mod events;
mod governing;
mod items;
mod mariadb;
mod postgres;
mod refusal;
mod rights;
mod schema;
mod statements;
#[cfg(test)]
mod tests;

use address::Address;
use connection::{Connection, Dialect, Value};
use copying::Standing;
use refusal::{cannot_connect, failed};
use schema::Found;
use statements::{in_groups, insert_rows, placeholders};

/// How often blocks are written that are gone when they are to be used.
const PUT_ATTEMPTS: u32 = 3;

/// Which kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// PostgreSQL, or what speaks its protocol.
    Postgres,
    /// MariaDB, or what speaks its protocol.
    Mariadb,
}

impl Kind {
    fn backend(self) -> Backend {
        match self {
            Self::Postgres => Backend::Postgres,
            Self::Mariadb => Backend::Mariadb,
        }
    }
}

/// An archive on a server.
pub(super) struct ServerArchive {
    address: Address,
    id: String,
    /// `None` after it broke; the next question makes another one.
    connection: Option<Box<dyn Connection>>,
    /// What keeps the bytes of blocks, if the database does not.
    blocks: Blocks,
}

impl ServerArchive {
    /// Opens the archive that `url` leads to.
    ///
    /// [`OpenMode::CreateIfMissing`] is for archives that come to be by themselves, which those on servers never do: it
    /// means the same here as [`OpenMode::Existing`].
    ///
    /// The bytes of its blocks are at `objects`, if that is some place.
    pub(super) fn open(
        kind: Kind,
        url: &SecretUrl,
        objects: Option<&ObjectPlace>,
        mode: OpenMode,
    ) -> Result<Self, ArchiveError> {
        let mut archive = Self::open_with(kind, url, mode, migrations(kind.backend()))?;
        // As with the archive itself: on servers nothing comes to be by itself.
        let mode = if mode == OpenMode::CreateIfMissing { OpenMode::Existing } else { mode };
        archive.blocks = attach(&mut archive, objects, mode)?;
        Ok(archive)
    }

    fn open_with(kind: Kind, url: &SecretUrl, mode: OpenMode, migrations: &[Migration]) -> Result<Self, ArchiveError> {
        let address = Address::parse(kind, url)?;
        let mut connection = connect(&address)?;
        let id = prepare(&mut *connection, &address, mode, migrations)?;
        Ok(Self { address, id, connection: Some(connection), blocks: None })
    }

    /// Asks the server something outside of a transaction.
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut dyn Connection) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            broken => broken.insert(reconnect(&self.address, &self.id)?),
        };
        let answer = question(&mut **connection);
        if let Err(ArchiveError::Lost { .. }) = answer {
            self.connection = None;
        }
        answer
    }

    /// Reads the archive as of one moment.
    fn read<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Connection) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        self.transaction("read", |dialect| dialect.begin_read, work)
    }

    /// Changes the archive, unless another one took its place: all of it or nothing, while nobody else does.
    fn write<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&mut dyn Connection) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        self.lock(action, |connection, standing| match standing.superseded_by {
            None => work(connection),
            Some(by) => Err(ArchiveError::Superseded { by }),
        })
    }

    /// Takes the lock of those who write; `work` is told how the archive stands under it.
    fn lock<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&mut dyn Connection, Standing) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let locked = |connection: &mut dyn Connection| {
            let standing = copying::standing(connection, "FOR UPDATE")?;
            work(connection, standing)
        };
        self.transaction(action, |dialect| dialect.begin_write, locked)
    }

    /// Adds blocks, each by itself, and then artifacts, under the lock.
    fn put_once(&mut self, blocks: &[Block], artifacts: &[NewArtifact]) -> Result<HashSet<Sha256>, ArchiveError> {
        let store = self.blocks.clone();
        let blocks = put_first(self, &store, blocks)?;
        self.ask(|connection| bytes::put_blocks(connection, &blocks))?;
        self.lock("store contents", |connection, standing| {
            if let Some(by) = standing.superseded_by {
                return Err(ArchiveError::Superseded { by });
            }
            blocks.check(standing.keeps_objects)?;
            bytes::put_artifacts(connection, artifacts)
        })
    }

    fn transaction<T>(
        &mut self,
        action: &'static str,
        begin: impl FnOnce(&Dialect) -> &'static str,
        work: impl FnOnce(&mut dyn Connection) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let answer = self.ask(|connection| {
            connection.run(begin(connection.dialect())).map_err(failed(action))?;
            let result = work(connection).and_then(|done| {
                connection.run("COMMIT").map_err(failed(action))?;
                Ok(done)
            });
            // A connection that is lost or cannot go back is given up, and the server goes back by itself.
            let gone_back = match &result {
                Ok(_) => true,
                Err(ArchiveError::Lost { .. }) => false,
                Err(_) => connection.run("ROLLBACK").is_ok(),
            };
            Ok((result, gone_back))
        });
        let (result, usable) = answer?;
        if !usable {
            self.connection = None;
        }
        result
    }
}

impl Keeper for ServerArchive {
    fn keeps_objects(&mut self) -> Result<bool, ArchiveError> {
        self.ask(|connection| copying::standing(connection, "")).map(|standing| standing.keeps_objects)
    }

    fn has_blocks(&mut self) -> Result<bool, ArchiveError> {
        let sql = "SELECT id FROM block LIMIT 1";
        let rows = self.ask(|connection| connection.query(sql, &[]).map_err(failed("look for blocks")))?;
        Ok(!rows.is_empty())
    }

    fn keep_objects(&mut self) -> Result<(), ArchiveError> {
        let action = "say where its bytes are";
        self.write(action, |connection| {
            // Blocks are written without the lock: those that are on their way count.
            connection.run(connection.dialect().await_blocks).map_err(failed(action))?;
            let sql = "UPDATE archive SET driver = 'object' WHERE singleton = 1 AND NOT EXISTS (SELECT 1 FROM block)";
            connection.execute(sql, &[]).map(|_| ()).map_err(failed(action))
        })
    }
}

fn connect(address: &Address) -> Result<Box<dyn Connection>, ArchiveError> {
    address.check_certificates()?;
    if address.kind == Kind::Postgres
        && let Some(variable) = postgres::in_the_way(address)
    {
        let reason = format!("the environment's `{variable}` would change where it leads, or as whom; unset it");
        return Err(ArchiveError::Address { archive: address.shown.clone(), reason });
    }
    let connected =
        match address.kind {
            Kind::Postgres => postgres::PostgresConnection::connect(address)
                .map(|connection| Box::new(connection) as Box<dyn Connection>),
            Kind::Mariadb => mariadb::MariadbConnection::connect(address)
                .map(|connection| Box::new(connection) as Box<dyn Connection>),
        };
    connected.map_err(|error| cannot_connect(address, error))
}

/// Connects to archive `opened` once more: after an outage another one may be there, by a backup or another server behind
/// the same name, or the same one with another schema.
fn reconnect(address: &Address, opened: &str) -> Result<Box<dyn Connection>, ArchiveError> {
    let mut connection = connect(address)?;
    let found = prepare(&mut *connection, address, OpenMode::Existing, migrations(address.kind.backend()))?;
    if found != opened {
        return Err(ArchiveError::Replaced {
            archive: address.shown.clone(),
            opened: opened.into(),
            found: found.into(),
        });
    }
    Ok(connection)
}

/// Sees that there is an archive with this program's schema, and returns its id.
fn prepare(
    connection: &mut dyn Connection,
    address: &Address,
    mode: OpenMode,
    migrations: &[Migration],
) -> Result<String, ArchiveError> {
    let archive = || address.shown.clone();
    match schema::inspect(connection, &address.shown, migrations)? {
        Found::Current => {}
        Found::None | Found::Older(_) if mode == OpenMode::CreateOrMigrate => {
            schema::migrate(connection, &address.shown, migrations)?;
        }
        Found::None => return Err(ArchiveError::Missing { archive: archive() }),
        Found::Older(found) => {
            let current = migrations.last().map_or(0, |migration| migration.version);
            return Err(ArchiveError::Older { archive: archive(), found, current });
        }
    }
    let failed = failed("read the archive's id");
    let sql = format!("SELECT {} FROM archive WHERE singleton = 1", connection::text("id"));
    let rows = connection.query(&sql, &[]).map_err(failed)?;
    let row = rows.first().ok_or_else(|| damaged("an archive without an id"))?;
    let id: uuid::Uuid = parse(&row.text(0).map_err(failed)?, "archive.id")?;
    Ok(id.to_string())
}

/// Returns a stored length or count, which is never negative.
fn length<T: TryFrom<i64>>(value: i64, column: &str) -> Result<T, ArchiveError> {
    T::try_from(value).map_err(|_| damaged(format!("`{value}` in column `{column}`")))
}

impl Archive for ServerArchive {
    fn id(&self) -> &str {
        &self.id
    }

    fn backend(&self) -> &'static str {
        self.address.kind.backend().as_str()
    }

    fn check_change(&mut self, change: Change) -> Result<(), ArchiveError> {
        let action = change.describe();
        let begin = |dialect: &Dialect| dialect.begin_write;
        let standing = self.transaction(action, begin, |connection| {
            rights::check(connection, change)?;
            copying::standing(connection, "")
        })?;
        match standing.superseded_by {
            Some(by) if change != Change::Supersede => Err(ArchiveError::Superseded { by }),
            _ => Ok(()),
        }
    }

    fn ping(&mut self) -> Result<(), ArchiveError> {
        self.ask(|connection| {
            let sql = "SELECT singleton FROM archive WHERE singleton = 1";
            connection.query(sql, &[]).map_err(failed("answer")).map(|_| ())
        })?;
        objects::ping(&self.blocks)
    }

    fn find_artifacts(&mut self, contents: &[Sha256]) -> Result<HashMap<Sha256, ArtifactInfo>, ArchiveError> {
        self.ask(|connection| bytes::find_artifacts(connection, contents))
    }

    fn find_blocks(&mut self, raw: &[Sha256]) -> Result<HashMap<Sha256, BlockInfo>, ArchiveError> {
        self.ask(|connection| bytes::find_blocks(connection, raw))
    }

    fn put(&mut self, blocks: &[Block], artifacts: &[NewArtifact]) -> Result<HashSet<Sha256>, ArchiveError> {
        // Looked at again under the lock; here it keeps blocks that nobody will use from being written.
        if !blocks.is_empty()
            && let Some(by) = self.superseded_by()?
        {
            return Err(ArchiveError::Superseded { by });
        }
        let mut attempts = PUT_ATTEMPTS;
        loop {
            match self.put_once(blocks, artifacts) {
                // A purge deletes blocks that nobody uses, those too that somebody is about to.
                Err(ArchiveError::MissingBlock { .. }) if attempts > 1 && !blocks.is_empty() => attempts -= 1,
                Err(error @ ArchiveError::Purged { .. }) => {
                    // Who may not delete leaves them to the next purge.
                    let _ = destroying::discard(self, blocks);
                    return Err(error);
                }
                result => return result,
            }
        }
    }

    fn segments(&mut self, content: &Sha256, from: u64) -> Result<Vec<Segment>, ArchiveError> {
        self.ask(|connection| bytes::segments(connection, content, from))
    }

    fn block(&mut self, raw: &Sha256) -> Result<Option<Block>, ArchiveError> {
        let store = self.blocks.clone();
        self.ask(|connection| bytes::block(connection, &store, raw))
    }

    fn begin(&mut self, op: OperationId, origin: &str, items: &[Item]) -> Result<Vec<ItemStatus>, ArchiveError> {
        self.write("record the items", |connection| items::begin(connection, op, origin, items))
    }

    fn seal(&mut self, op: OperationId, events: &[Event]) -> Result<(), ArchiveError> {
        self.write("seal the items", |connection| items::seal(connection, op, events))
    }

    fn undo(&mut self, op: OperationId, origin: &str, event: &Event) -> Result<u64, ArchiveError> {
        self.write("undo the operation", |connection| items::undo(connection, op, origin, event))
    }

    fn pending(&mut self, origin: &str) -> Result<Vec<PendingOperation>, ArchiveError> {
        self.ask(|connection| items::pending(connection, origin))
    }

    fn operation_items(&mut self, op: OperationId) -> Result<Vec<StoredItem>, ArchiveError> {
        self.read(|connection| items::of_operation(connection, op))
    }

    fn append_events(&mut self, events: &[Event]) -> Result<(), ArchiveError> {
        self.write("append events", |connection| events::insert(connection, events))
    }

    fn mark_restored(&mut self, tombstones: &[Tombstone], at: Timestamp, events: &[Event]) -> Result<(), ArchiveError> {
        self.write("note what was given back", |connection| items::mark_restored(connection, tombstones, at, events))
    }

    fn items(&mut self, tombstones: &[Tombstone]) -> Result<HashMap<Tombstone, StoredItem>, ArchiveError> {
        self.read(|connection| items::by_tombstone(connection, tombstones))
    }

    fn items_by_prefix(&mut self, prefix: &str, limit: usize) -> Result<Vec<StoredItem>, ArchiveError> {
        self.read(|connection| items::by_prefix(connection, prefix, limit))
    }

    fn items_by_path(&mut self, repo: &str, path: &RepoPath) -> Result<Vec<StoredItem>, ArchiveError> {
        self.read(|connection| items::by_path(connection, repo, path))
    }

    fn list(
        &mut self,
        query: &Query,
        visit: &mut dyn FnMut(StoredItem) -> ControlFlow<()>,
    ) -> Result<(), ArchiveError> {
        self.read(|connection| items::list(connection, query, visit))
    }

    fn events(
        &mut self,
        tombstone: &Tombstone,
        visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), ArchiveError> {
        self.read(|connection| events::of_tombstone(connection, tombstone, visit))
    }

    fn find_events(&mut self, digests: &[Sha256]) -> Result<HashSet<Sha256>, ArchiveError> {
        self.ask(|connection| events::find(connection, digests))
    }

    fn counts(&mut self) -> Result<Counts, ArchiveError> {
        self.read(items::counts)
    }
}
