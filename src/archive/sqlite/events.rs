//! Events in SQLite.

use std::collections::HashSet;
use std::ops::ControlFlow;

use rusqlite::{Connection, Transaction, params};

use super::engine_error;
use crate::archive::{ArchiveError, Event};
use crate::id::{Sha256, Tombstone};

/// Appends `events`, leaving out those that are there.
pub(super) fn insert(transaction: &Transaction<'_>, events: &[Event]) -> Result<(), ArchiveError> {
    let failed = engine_error("append events");
    // Not `ON CONFLICT DO NOTHING`: the guard against `REPLACE` fires before the conflict is seen.
    let mut statement = transaction
        .prepare_cached(
            "INSERT INTO event (digest, op, action, actor, item_id, tombstone_id, created_at, line)
             SELECT ?1, ?2, ?3, ?4, (SELECT id FROM item WHERE tombstone_id = ?5), ?5, ?6, ?7
             WHERE NOT EXISTS (SELECT 1 FROM event WHERE digest = ?1)",
        )
        .map_err(failed)?;
    for event in events {
        debug_assert_eq!(event.digest, Sha256::of(event.line.as_bytes()), "an event's digest is its line's");
        statement
            .execute(params![
                event.digest.to_string(),
                event.op.to_string(),
                event.action.as_str(),
                event.actor,
                event.tombstone.map(|tombstone| tombstone.to_string()),
                event.created_at.to_string(),
                event.line
            ])
            .map_err(failed)?;
    }
    Ok(())
}

/// Hands the events of `tombstone` to `visit`, each checked against its digest.
pub(super) fn of_tombstone(
    connection: &Connection,
    tombstone: &Tombstone,
    visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<(), ArchiveError> {
    let failed = engine_error("read events");
    let mut statement = connection
        .prepare_cached("SELECT id, digest, line FROM event WHERE tombstone_id = ?1 ORDER BY id")
        .map_err(failed)?;
    let tombstone = tombstone.to_string();
    let mut rows = statement.query([&tombstone]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (id, digest, line): (i64, String, String) = row.try_into().map_err(failed)?;
        if visit(Event::checked(id, &line, &digest, Some(&tombstone))?).is_break() {
            break;
        }
    }
    Ok(())
}

/// Returns those of `digests` that an event has.
pub(super) fn find(connection: &Connection, digests: &[Sha256]) -> Result<HashSet<Sha256>, ArchiveError> {
    let failed = engine_error("look for events");
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let mut statement = transaction.prepare_cached("SELECT 1 FROM event WHERE digest = ?1").map_err(failed)?;
    let mut found = HashSet::new();
    for digest in digests {
        if statement.exists([digest.to_string()]).map_err(failed)? {
            found.insert(*digest);
        }
    }
    Ok(found)
}
