//! Events on a server.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::connection::{Connection, Value, text};
use super::{failed, in_groups, insert_rows, parse};
use crate::archive::{ArchiveError, Event};
use crate::id::{Sha256, Tombstone};

/// How many events are read at a time. Each has at most 64 KiB.
const PAGE: usize = 256;

/// Appends `events` in their order, leaving out those that are there. The archive is locked.
pub(super) fn insert(connection: &mut dyn Connection, events: &[Event]) -> Result<(), ArchiveError> {
    let failed = failed("append events");
    let digests: Vec<Sha256> = events.iter().map(|event| event.digest).collect();
    let mut known = find(connection, &digests)?;
    let fresh: Vec<&Event> = events.iter().filter(|event| known.insert(event.digest)).collect();
    let tombstones: HashSet<Tombstone> = fresh.iter().filter_map(|event| event.tombstone).collect();
    let items = super::items::row_ids(connection, tombstones.iter())?;
    let rows = fresh.into_iter().map(|event| -> [Value<'_>; 8] {
        debug_assert_eq!(event.digest, Sha256::of(event.line.as_bytes()), "an event's digest is its line's");
        let item = event.tombstone.and_then(|tombstone| items.get(&tombstone).copied());
        [
            event.digest.to_string().into(),
            event.op.to_string().into(),
            event.action.as_str().into(),
            (&event.actor).into(),
            Value::OptionalInteger(item),
            event.tombstone.map(|tombstone| tombstone.to_string()).into(),
            event.created_at.to_string().into(),
            event.line.as_str().into(),
        ]
    });
    let sql = "INSERT INTO event (digest, op, action, actor, item_id, tombstone_id, created_at, line) VALUES …";
    insert_rows(connection, sql, rows).map_err(failed)
}

/// Hands the events of `tombstone` to `visit`, each checked against its digest.
pub(super) fn of_tombstone(
    connection: &mut dyn Connection,
    tombstone: &Tombstone,
    visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<(), ArchiveError> {
    let failed = failed("read events");
    let sql = format!(
        "SELECT id, {}, {} FROM event WHERE tombstone_id = ? AND id > ? ORDER BY id LIMIT {PAGE}",
        text("digest"),
        text("line")
    );
    let tombstone = tombstone.to_string();
    let mut last = 0;
    loop {
        let rows = connection.query(&sql, &[tombstone.as_str().into(), last.into()]).map_err(failed)?;
        for row in &rows {
            let id = row.integer(0).map_err(failed)?;
            let (digest, line) = (row.text(1).map_err(failed)?, row.text(2).map_err(failed)?);
            if visit(Event::checked(id, &line, &digest, Some(&tombstone))?).is_break() {
                return Ok(());
            }
            last = id;
        }
        if rows.len() < PAGE {
            return Ok(());
        }
    }
}

/// Returns those of `digests` that an event has.
pub(super) fn find(connection: &mut dyn Connection, digests: &[Sha256]) -> Result<HashSet<Sha256>, ArchiveError> {
    let failed = failed("look for events");
    let mut found = HashSet::with_capacity(digests.len());
    let sql = "SELECT digest FROM event WHERE digest IN (…)";
    in_groups(digests.iter().map(|digest| digest.to_string().into()), sql, |sql, values| {
        for row in connection.query(sql, values).map_err(failed)? {
            found.insert(parse(&row.text(0).map_err(failed)?, "event.digest")?);
        }
        Ok(())
    })?;
    Ok(found)
}
