//! Holds, approvals and purges in SQLite.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Transaction, params};

use super::bytes::length;
use super::items::{column, optional, parsed, select};
use super::{SqliteArchive, engine_error, events};
use crate::archive::copying::PAGE;
use crate::archive::governing::{governance_actions, releases};
use crate::archive::{
    Approval, ArchiveError, ContentFacts, Destroyed, Event, Governing, Hold, KnownHold, KnownPurge, Purge, StoredItem,
};
use crate::clock::Timestamp;
use crate::id::{OperationId, Sha256, Tombstone};

/// Adds the function `sha256` of bytes, in lower-case hexadecimal: the guard of what is held asks it.
pub(super) fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("sha256", 1, flags, |context: &Context<'_>| {
        Ok(match context.get_raw(0) {
            ValueRef::Blob(bytes) => Some(Sha256::of(bytes).to_string()),
            _ => None,
        })
    })
}

const HOLDS: &str =
    "SELECT h.id, i.tombstone_id, h.op, h.name, h.set_by, h.reason, h.set_at, h.released_at, h.released_by
  FROM hold h JOIN item i ON i.id = h.item_id";

const PURGES: &str =
    "SELECT p.id, p.op, p.origin, p.tombstone_id, a.content_sha256, p.request_id, p.purged_by, p.second,
    p.reason, p.begun_at, p.destroyed_at
  FROM purged p JOIN artifact a ON a.id = p.artifact_id";

/// Returns the holds that `tail` selects (a `WHERE` clause over hold `h` and item `i`, and an order), each with its number.
pub(super) fn select_holds(
    connection: &Connection,
    tail: &str,
    values: impl Params,
) -> Result<Vec<(u64, KnownHold)>, ArchiveError> {
    let failed = engine_error("read holds");
    let mut statement = connection.prepare_cached(&format!("{HOLDS} {tail}")).map_err(failed)?;
    let mut rows = statement.query(values).map_err(failed)?;
    let mut holds = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        holds.push((length(column(row, "id")?, "hold.id")?, read_hold(row)?));
    }
    Ok(holds)
}

fn read_hold(row: &Row<'_>) -> Result<KnownHold, ArchiveError> {
    let released_at: Option<Timestamp> = optional(row, "released_at")?;
    let released_by: Option<Sha256> = optional(row, "released_by")?;
    let hold = Hold {
        tombstone: parsed(row, "tombstone_id")?,
        id: optional(row, "op")?,
        name: column(row, "name")?,
        set_by: column(row, "set_by")?,
        reason: column(row, "reason")?,
        set_at: parsed(row, "set_at")?,
    };
    Ok(KnownHold { hold, released: released_at.zip(released_by) })
}

/// Returns the purges that `tail` selects (a `WHERE` clause over purge `p` and artifact `a`, and an order), each with its
/// number.
pub(super) fn select_purges(
    connection: &Connection,
    tail: &str,
    values: impl Params,
) -> Result<Vec<(u64, KnownPurge)>, ArchiveError> {
    let failed = engine_error("read purges");
    let mut statement = connection.prepare_cached(&format!("{PURGES} {tail}")).map_err(failed)?;
    let mut rows = statement.query(values).map_err(failed)?;
    let mut purges = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let purge = Purge {
            op: parsed(row, "op")?,
            origin: column(row, "origin")?,
            tombstone: parsed(row, "tombstone_id")?,
            sha256: parsed(row, "content_sha256")?,
            request: column(row, "request_id")?,
            by: column(row, "purged_by")?,
            second: column(row, "second")?,
            reason: column(row, "reason")?,
            begun_at: parsed(row, "begun_at")?,
        };
        let known = KnownPurge { purge, destroyed_at: optional(row, "destroyed_at")? };
        purges.push((length(column(row, "id")?, "purge.id")?, known));
    }
    Ok(purges)
}

fn select_events(connection: &Connection, from: &str, values: impl Params) -> Result<Vec<(u64, Event)>, ArchiveError> {
    let failed = engine_error("read events");
    let sql = format!("SELECT e.id, e.digest, e.tombstone_id, e.line FROM {from}");
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query(values).map_err(failed)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let (id, digest, tombstone, line): (i64, String, Option<String>, String) = row.try_into().map_err(failed)?;
        events.push((length(id, "event.id")?, Event::checked(id, &line, &digest, tombstone.as_deref())?));
    }
    Ok(events)
}

/// Returns what is known of a content; the caller sees to it that all of it is as of one moment.
fn facts(connection: &Connection, sha256: &Sha256) -> Result<Option<ContentFacts>, ArchiveError> {
    let content = sha256.to_string();
    let tail = "WHERE a.content_sha256 = ?1 AND i.state <> 'undone' ORDER BY i.tombstone_id";
    let items = select(connection, tail, [&content])?;
    if items.is_empty() {
        return Ok(None);
    }
    let tail = "JOIN artifact a ON a.id = i.artifact_id WHERE a.content_sha256 = ?1 AND i.state <> 'undone'
      AND h.released_at IS NULL ORDER BY h.id";
    let holds = select_holds(connection, tail, [&content])?;
    let events = select_events(
        connection,
        &format!(
            "artifact a JOIN item i ON i.artifact_id = a.id JOIN event e ON e.tombstone_id = i.tombstone_id
             WHERE a.content_sha256 = ?1 AND i.state <> 'undone' AND e.action IN ({}) ORDER BY e.id",
            governance_actions()
        ),
        [&content],
    )?;
    let purges = select_purges(connection, "WHERE a.content_sha256 = ?1 ORDER BY p.id", [&content])?;
    Ok(Some(ContentFacts {
        sha256: *sha256,
        items,
        holds: holds.into_iter().map(|(_, known)| known.hold).collect(),
        events: events.into_iter().map(|(_, event)| event).collect(),
        purges: purges.into_iter().map(|(_, known)| known.purge).collect(),
    }))
}

/// Returns the row of the item, which must not be undone, and when its bytes were destroyed.
fn item_row(
    transaction: &Transaction<'_>,
    tombstone: &Tombstone,
) -> Result<(i64, Sha256, Option<Timestamp>), ArchiveError> {
    let failed = engine_error("look for an item");
    let mut statement = transaction
        .prepare_cached(
            "SELECT i.id, a.content_sha256, coalesce(a.purged_at, i.purged_at) AS purged_at
             FROM item i JOIN artifact a ON a.id = i.artifact_id WHERE i.tombstone_id = ?1 AND i.state <> 'undone'",
        )
        .map_err(failed)?;
    let mut rows = statement.query([tombstone.to_string()]).map_err(failed)?;
    match rows.next().map_err(failed)? {
        Some(row) => Ok((column(row, "id")?, parsed(row, "content_sha256")?, optional(row, "purged_at")?)),
        None => Err(ArchiveError::NoSuchItem { tombstone: *tombstone }),
    }
}

/// Adds a hold as it is, unless it is there.
pub(super) fn add_hold(transaction: &Transaction<'_>, item: i64, known: &KnownHold) -> Result<(), ArchiveError> {
    let failed = engine_error("hold an item");
    let Hold { id, name, set_by, reason, set_at, .. } = &known.hold;
    let mut statement = transaction
        .prepare_cached(
            "INSERT INTO hold (item_id, op, name, set_by, reason, set_at, released_at, released_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .map_err(failed)?;
    let (released_at, released_by) = known.released.unzip();
    let values = params![
        item,
        id.map(|id| id.to_string()),
        name,
        set_by,
        reason,
        set_at.to_string(),
        released_at.map(|time| time.to_string()),
        released_by.map(|digest| digest.to_string()),
    ];
    statement.execute(values).map(|_| ()).map_err(failed)
}

/// Returns whether the hold `id` of an item is there, released or not; for one without an id: one that is not released.
fn has_hold(transaction: &Transaction<'_>, item: i64, id: Option<OperationId>) -> Result<bool, ArchiveError> {
    let failed = engine_error("look for a hold");
    let mut statement = transaction
        .prepare_cached(
            "SELECT 1 FROM hold WHERE item_id = ?1 AND op IS ?2 AND (op IS NOT NULL OR released_at IS NULL)",
        )
        .map_err(failed)?;
    statement.exists(params![item, id.map(|id| id.to_string())]).map_err(failed)
}

impl Governing for SqliteArchive {
    fn content_facts(&mut self, sha256: &Sha256) -> Result<Option<ContentFacts>, ArchiveError> {
        let moment =
            self.connection.unchecked_transaction().map_err(engine_error("read what is known of a content"))?;
        facts(&moment, sha256)
    }

    fn set_holds(&mut self, holds: &[Hold]) -> Result<(), ArchiveError> {
        let transaction = self.write()?;
        for hold in holds {
            let (item, sha256, purged_at) = item_row(&transaction, &hold.tombstone)?;
            if has_hold(&transaction, item, hold.id)? {
                continue;
            }
            if let Some(purged_at) = purged_at {
                return Err(ArchiveError::Purged { sha256, purged_at });
            }
            add_hold(&transaction, item, &KnownHold { hold: hold.clone(), released: None })?;
        }
        transaction.commit().map_err(engine_error("hold items"))
    }

    fn release_holds(&mut self, events: &[Event]) -> Result<(), ArchiveError> {
        let failed = engine_error("release holds");
        let transaction = self.write()?;
        events::insert(&transaction, events)?;
        for release in releases(events) {
            let values = params![
                release.tombstone.to_string(),
                release.hold,
                release.event.created_at.to_string(),
                release.event.digest.to_string(),
            ];
            transaction
                .prepare_cached(
                    "UPDATE hold SET released_at = ?3, released_by = ?4 WHERE released_at IS NULL AND op IS ?2
                       AND item_id = (SELECT id FROM item WHERE tombstone_id = ?1)",
                )
                .and_then(|mut statement| statement.execute(values))
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    fn holds(&mut self) -> Result<Vec<(Hold, StoredItem)>, ArchiveError> {
        let moment = self.connection.unchecked_transaction().map_err(engine_error("read holds"))?;
        let tail = "WHERE h.released_at IS NULL AND i.state <> 'undone' ORDER BY h.id";
        let mut holds = Vec::new();
        for (_, KnownHold { hold, .. }) in select_holds(&moment, tail, [])? {
            let item = select(&moment, "WHERE i.tombstone_id = ?1", [hold.tombstone.to_string()])?.pop();
            let tombstone = hold.tombstone;
            holds.push((hold, item.ok_or(ArchiveError::NoSuchItem { tombstone })?));
        }
        Ok(holds)
    }

    fn approve(&mut self, approvals: &[(Tombstone, Approval)], events: &[Event]) -> Result<(), ArchiveError> {
        let failed = engine_error("note approvals");
        let transaction = self.write()?;
        events::insert(&transaction, events)?;
        for (tombstone, approval) in approvals {
            let (item, ..) = item_row(&transaction, tombstone)?;
            let Approval { purpose, request, approver, approved_at, consumed_at } = approval;
            let values = params![
                item,
                purpose.as_str(),
                request,
                approver,
                approved_at.to_string(),
                consumed_at.map(|time| time.to_string()),
            ];
            transaction
                .prepare_cached(
                    "INSERT INTO approval (item_id, purpose, request_id, approver, approved_at, consumed_at)
                     SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (SELECT 1 FROM approval WHERE item_id = ?1
                       AND purpose = ?2 AND request_id IS ?3 AND approver = ?4 AND consumed_at IS NULL)",
                )
                .and_then(|mut statement| statement.execute(values))
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }

    fn begin_purge(
        &mut self,
        purge: &Purge,
        judge: &mut dyn FnMut(&ContentFacts) -> bool,
    ) -> Result<bool, ArchiveError> {
        let failed = engine_error("begin the purge");
        let transaction = self.write()?;
        if purge_by(&transaction, purge.op)?.is_some() {
            return Ok(true);
        }
        let (_, sha256, purged_at) = item_row(&transaction, &purge.tombstone)?;
        if sha256 != purge.sha256 {
            return Err(ArchiveError::NoSuchItem { tombstone: purge.tombstone });
        }
        if let Some(purged_at) = purged_at {
            return Err(ArchiveError::Purged { sha256, purged_at });
        }
        let facts = facts(&transaction, &sha256)?.ok_or(ArchiveError::MissingArtifact { sha256 })?;
        if !judge(&facts) {
            return Ok(false);
        }
        // Whatever the records say: the row may be all that another clone's purge has left so far.
        if !select_purges(&transaction, "WHERE p.request_id = ?1", [&purge.request])?.is_empty() {
            return Err(ArchiveError::RequestUsed { request: purge.request.clone() });
        }
        add_purge(&transaction, &KnownPurge { purge: purge.clone(), destroyed_at: None })?;
        transaction
            .execute(
                "UPDATE approval SET consumed_at = ?2
                 WHERE request_id = ?1 AND purpose = 'purge' AND consumed_at IS NULL",
                [&purge.request, &purge.begun_at.to_string()],
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
        crate::fault::point("purge-begun");
        Ok(true)
    }

    fn destroy(&mut self, sha256: &Sha256) -> Result<Destroyed, ArchiveError> {
        super::destroying::destroy(self, sha256)
    }

    fn end_purge(&mut self, op: OperationId, events: &[Event]) -> Result<(), ArchiveError> {
        let failed = engine_error("end the purge");
        let transaction = self.write()?;
        if purge_by(&transaction, op)?.is_none() {
            return Err(ArchiveError::NoSuchPurge { op });
        }
        events::insert(&transaction, events)?;
        transaction
            .execute(
                "UPDATE purged SET destroyed_at = ?2 WHERE op = ?1 AND destroyed_at IS NULL",
                [op.to_string(), Timestamp::now().to_string()],
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    fn purge_by(&mut self, op: OperationId) -> Result<Option<KnownPurge>, ArchiveError> {
        purge_by(&self.connection, op)
    }

    fn purge_of(&mut self, sha256: &Sha256) -> Result<Option<Purge>, ArchiveError> {
        let mut newest = select_purges(&self.connection, NEWEST_PURGE, [sha256.to_string()])?;
        Ok(newest.pop().map(|(_, known)| known.purge))
    }

    fn unfinished_purges(&mut self) -> Result<Vec<Purge>, ArchiveError> {
        let purges = select_purges(&self.connection, "WHERE p.destroyed_at IS NULL ORDER BY p.id", [])?;
        Ok(purges.into_iter().map(|(_, known)| known.purge).collect())
    }

    fn governance_page(&mut self, after: u64) -> Result<Vec<(u64, Event)>, ArchiveError> {
        let from =
            format!("event e WHERE e.action IN ({}) AND e.id > ?1 ORDER BY e.id LIMIT {PAGE}", governance_actions());
        select_events(&self.connection, &from, [i64::try_from(after).unwrap_or(i64::MAX)])
    }
}

const NEWEST_PURGE: &str = "WHERE a.content_sha256 = ?1 ORDER BY p.id DESC LIMIT 1";

fn purge_by(connection: &Connection, op: OperationId) -> Result<Option<KnownPurge>, ArchiveError> {
    Ok(select_purges(connection, "WHERE p.op = ?1", [op.to_string()])?.pop().map(|(_, known)| known))
}

/// Adds a purge as it is. With one that has not ended its content and the content's items are purged.
pub(super) fn add_purge(transaction: &Transaction<'_>, known: &KnownPurge) -> Result<(), ArchiveError> {
    let failed = engine_error("note the purge");
    let purge = &known.purge;
    let artifact = transaction
        .query_row("SELECT id FROM artifact WHERE content_sha256 = ?1", [purge.sha256.to_string()], |row| row.get(0))
        .optional();
    let artifact: Option<i64> = artifact.map_err(failed)?;
    let artifact = artifact.ok_or(ArchiveError::MissingArtifact { sha256: purge.sha256 })?;
    let values = params![
        artifact,
        purge.op.to_string(),
        purge.origin,
        purge.tombstone.to_string(),
        purge.request,
        purge.by,
        purge.second,
        purge.reason,
        purge.begun_at.to_string(),
        known.destroyed_at.map(|time| time.to_string()),
    ];
    transaction
        .prepare_cached(
            "INSERT INTO purged (artifact_id, op, origin, tombstone_id, request_id, purged_by, second, reason, begun_at,
               destroyed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .and_then(|mut statement| statement.execute(values))
        .map(|_| ())
        .map_err(failed)
}
