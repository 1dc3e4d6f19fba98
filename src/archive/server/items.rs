//! Items, with their tags and referents, on a server.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

use super::bytes::{artifact_ids, compressed_size, find_artifacts};
use super::connection::{Connection, Row, Value, text};
use super::{damaged, events, failed, in_groups, insert_rows, length, parse};
use crate::archive::query::path_matches;
use crate::archive::{ArchiveError, Counts, Event, ItemState, ItemStatus, PendingOperation, Query, StoredItem};
use crate::clock::Timestamp;
use crate::evidence::record::Action;
use crate::id::{OperationId, Sha256, Tombstone};
use crate::item::{Item, Reason, Referent, RepoPath};
use crate::quote;

/// The shortest start of a tombstone that is looked for, in characters.
const SHORTEST_PREFIX: usize = 8;

/// How many items are read at a time. Each has at most some 64 KiB.
const PAGE: usize = 256;

/// How many items of a listing are put in order at a time, by their numbers. A server may look at all that are left, and sort
/// them, for every page, so these are long.
const ORDERED_PAGE: u64 = 8192;

/// How many bytes of a path are read, more than it may have.
const LONGEST_PATH: usize = 4097;

/// What is known of a row before it is written.
struct Standing {
    id: i64,
    state: ItemState,
    op: OperationId,
}

pub(super) fn begin(
    connection: &mut dyn Connection,
    op: OperationId,
    origin: &str,
    items: &[Item],
) -> Result<Vec<ItemStatus>, ArchiveError> {
    let artifacts = usable_artifacts(connection, items)?;
    let mut standing = standing(connection, items)?;
    let mut statuses = Vec::with_capacity(items.len());
    let (mut fresh, mut again, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        statuses.push(match standing.get_mut(&item.tombstone) {
            Some(row) if row.state != ItemState::Undone => {
                known.push(row.id);
                if row.op == op { ItemStatus::Stored } else { ItemStatus::AlreadyStored }
            }
            row => {
                if let Some(row) = row {
                    again.push((row.id, item));
                    (row.state, row.op) = (ItemState::Pending, op);
                } else {
                    fresh.push(item);
                    standing.insert(item.tombstone, Standing { id: 0, state: ItemState::Pending, op });
                }
                ItemStatus::Stored
            }
        });
    }
    let rows: Vec<_> = fresh.iter().map(|item| ItemRow::new(item, op, origin)).collect();
    insert_items(connection, &rows, &artifacts)?;
    for (id, item) in &again {
        begin_anew(connection, *id, item, op, origin)?;
    }
    // The content of those that were purged is there again, which was seen before.
    let back = "UPDATE item SET purged_at = NULL WHERE purged_at IS NOT NULL AND id IN (…)";
    in_groups(known.into_iter().map(Value::Integer), back, |sql, values| {
        connection.execute(sql, values).map(|_| ()).map_err(failed("record the items"))
    })?;
    let ids = row_ids(connection, fresh.iter().map(|item| &item.tombstone))?;
    let mut labelled = Vec::with_capacity(fresh.len() + again.len());
    for item in fresh {
        let id = ids.get(&item.tombstone).ok_or_else(|| damaged(format!("item `{}` vanished", item.tombstone)))?;
        labelled.push((*id, item));
    }
    labelled.extend(again);
    write_labels(connection, &labelled)?;
    hold(connection, items, op)?;
    Ok(statuses)
}

/// Puts the holds on items that operation `op` asks for, also where another store brought the item in: one that was asked for
/// is never lost. The columns of the items follow by themselves.
fn hold(connection: &mut dyn Connection, items: &[Item], op: OperationId) -> Result<(), ArchiveError> {
    let held: Vec<&Item> = items.iter().filter(|item| item.legal_hold).collect();
    let ids = row_ids(connection, held.iter().map(|item| &item.tombstone))?;
    let mut there = items_held_by(connection, op, ids.values().copied())?;
    let fresh = held.iter().filter_map(|item| {
        let id = *ids.get(&item.tombstone)?;
        there.insert(id).then(|| -> [Value<'_>; 4] {
            [id.into(), op.to_string().into(), item.archived_by.as_str().into(), item.archived_at.to_string().into()]
        })
    });
    let fresh: Vec<_> = fresh.collect();
    let sql = "INSERT INTO hold (item_id, op, set_by, set_at) VALUES …";
    insert_rows(connection, sql, fresh).map_err(failed("hold items"))
}

/// Returns those of the items in rows `ids` that have a hold of operation `op`, released or not.
fn items_held_by(
    connection: &mut dyn Connection,
    op: OperationId,
    ids: impl Iterator<Item = i64>,
) -> Result<HashSet<i64>, ArchiveError> {
    let mut held = HashSet::new();
    // An operation's id needs no quoting.
    let sql = format!("SELECT item_id FROM hold WHERE op = '{op}' AND item_id IN (…)");
    in_groups(ids.map(Value::Integer), &sql, |sql, values| {
        for row in connection.query(sql, values).map_err(failed("look for holds"))? {
            held.insert(row.integer(0).map_err(failed("look for holds"))?);
        }
        Ok(())
    })?;
    Ok(held)
}

/// Returns the rows of the items' contents, which must be there, not purged, and of the lengths that the items say.
fn usable_artifacts(connection: &mut dyn Connection, items: &[Item]) -> Result<HashMap<Sha256, i64>, ArchiveError> {
    let contents: Vec<Sha256> = items.iter().map(|item| item.sha256).collect();
    let known = find_artifacts(connection, &contents)?;
    for item in items {
        let sha256 = item.sha256;
        let info = known.get(&sha256).ok_or(ArchiveError::MissingArtifact { sha256 })?;
        if let Some(purged_at) = info.purged_at {
            return Err(ArchiveError::Purged { sha256, purged_at });
        }
        if info.size != item.size {
            return Err(damaged(format!("content `{sha256}` has {} bytes and not {}", info.size, item.size)));
        }
    }
    artifact_ids(connection, known.keys())
}

fn standing(connection: &mut dyn Connection, items: &[Item]) -> Result<HashMap<Tombstone, Standing>, ArchiveError> {
    let failed = failed("look for items");
    let (state, op) = (text("state"), text("op"));
    let sql = format!("SELECT tombstone_id, id, {state}, {op} FROM item WHERE tombstone_id IN (…)");
    let mut found = HashMap::new();
    in_groups(items.iter().map(|item| item.tombstone.to_string().into()), &sql, |sql, values| {
        for row in connection.query(sql, values).map_err(failed)? {
            let standing = Standing {
                id: row.integer(1).map_err(failed)?,
                state: parse(&row.text(2).map_err(failed)?, "item.state")?,
                op: parse(&row.text(3).map_err(failed)?, "item.op")?,
            };
            found.insert(parse(&row.text(0).map_err(failed)?, "item.tombstone_id")?, standing);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Returns the ids of the rows of those of `tombstones` that have one.
pub(super) fn row_ids<'t>(
    connection: &mut dyn Connection,
    tombstones: impl IntoIterator<Item = &'t Tombstone>,
) -> Result<HashMap<Tombstone, i64>, ArchiveError> {
    let failed = failed("look for items");
    let sql = "SELECT tombstone_id, id FROM item WHERE tombstone_id IN (…)";
    let mut found = HashMap::new();
    in_groups(tombstones.into_iter().map(|tombstone| tombstone.to_string().into()), sql, |sql, values| {
        for row in connection.query(sql, values).map_err(failed)? {
            let tombstone = parse(&row.text(0).map_err(failed)?, "item.tombstone_id")?;
            found.insert(tombstone, row.integer(1).map_err(failed)?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// What a row of an item says.
pub(super) struct ItemRow<'a> {
    pub item: &'a Item,
    pub op: OperationId,
    pub origin: &'a str,
    pub state: ItemState,
    pub restored_at: Option<Timestamp>,
    pub purged_at: Option<Timestamp>,
}

impl<'a> ItemRow<'a> {
    /// Returns the row of an item that operation `op` begins.
    fn new(item: &'a Item, op: OperationId, origin: &'a str) -> Self {
        Self { item, op, origin, state: ItemState::Pending, restored_at: None, purged_at: None }
    }
}

impl<'a> From<&'a StoredItem> for ItemRow<'a> {
    fn from(stored: &'a StoredItem) -> Self {
        let StoredItem { item, op, origin, state, restored_at, purged_at, .. } = stored;
        Self { item, op: *op, origin, state: *state, restored_at: *restored_at, purged_at: *purged_at }
    }
}

/// Adds items, whose contents have the ids `artifacts`, without their labels and holds.
pub(super) fn insert_items(
    connection: &mut dyn Connection,
    items: &[ItemRow<'_>],
    artifacts: &HashMap<Sha256, i64>,
) -> Result<(), ArchiveError> {
    let failed = failed("record the items");
    let sql = "INSERT INTO item (tombstone_id, artifact_id, repo, path, path_bytes, commit_sha, object_id, mode, kind,
        language, mime_type, reason, metadata, dirty, delete_after, archived_by, archived_at, op, origin, state,
        restored_at, purged_at) VALUES …";
    let rows = items.iter().map(|ItemRow { item, op, origin, state, restored_at, purged_at }| -> [Value<'_>; 22] {
        let path = match std::str::from_utf8(item.path.as_bytes()) {
            Ok(text) => text.into(),
            Err(_) => quote::quote(item.path.as_bytes()),
        };
        [
            item.tombstone.to_string().into(),
            artifacts[&item.sha256].into(),
            item.repo.as_str().into(),
            Value::Text(Some(path)),
            item.path.as_bytes().into(),
            item.commit.to_string().into(),
            item.object.to_string().into(),
            item.mode.as_str().into(),
            item.kind.as_str().into(),
            (&item.language).into(),
            (&item.mime).into(),
            item.reason.as_str().into(),
            metadata(item).into(),
            item.dirty.into(),
            item.delete_after.map(|date| date.to_string()).into(),
            item.archived_by.as_str().into(),
            item.archived_at.to_string().into(),
            op.to_string().into(),
            (*origin).into(),
            state.as_str().into(),
            restored_at.map(|time| time.to_string()).into(),
            purged_at.map(|time| time.to_string()).into(),
        ]
    });
    insert_rows(connection, sql, rows).map_err(failed)
}

fn metadata(item: &Item) -> String {
    serde_json::to_string(&item.metadata).expect("a map of texts is JSON")
}

/// Begins an undone row anew.
fn begin_anew(
    connection: &mut dyn Connection,
    id: i64,
    item: &Item,
    op: OperationId,
    origin: &str,
) -> Result<(), ArchiveError> {
    let row = ItemRow::new(item, op, origin);
    rewrite_row(connection, id, &row, &["tag", "referent"]).map_err(failed("record an item"))
}

/// Makes row `id` say what `row` does, but for what a tombstone stands for, which never changes, and for its holds; empties its
/// part of `tables`.
pub(super) fn rewrite_row(
    connection: &mut dyn Connection,
    id: i64,
    row: &ItemRow<'_>,
    tables: &[&str],
) -> Result<(), sqlx::Error> {
    let ItemRow { item, op, origin, state, restored_at, purged_at } = row;
    let values: [Value<'_>; 17] = [
        item.object.to_string().into(),
        item.mode.as_str().into(),
        item.kind.as_str().into(),
        (&item.language).into(),
        (&item.mime).into(),
        item.reason.as_str().into(),
        metadata(item).into(),
        item.dirty.into(),
        item.delete_after.map(|date| date.to_string()).into(),
        item.archived_by.as_str().into(),
        item.archived_at.to_string().into(),
        op.to_string().into(),
        (*origin).into(),
        restored_at.map(|time| time.to_string()).into(),
        purged_at.map(|time| time.to_string()).into(),
        state.as_str().into(),
        id.into(),
    ];
    connection.execute(
        "UPDATE item SET object_id = ?, mode = ?, kind = ?, language = ?, mime_type = ?, reason = ?, metadata = ?,
           dirty = ?, delete_after = ?, archived_by = ?, archived_at = ?, op = ?, origin = ?, restored_at = ?,
           purged_at = ?, state = ?
         WHERE id = ?",
        &values,
    )?;
    for table in tables {
        connection.execute(&format!("DELETE FROM {table} WHERE item_id = ?"), &[id.into()])?;
    }
    Ok(())
}

/// Writes the items' tags and referents.
pub(super) fn write_labels(connection: &mut dyn Connection, items: &[(i64, &Item)]) -> Result<(), ArchiveError> {
    let failed = failed("label the items");
    let (mut tags, mut referents) = (Vec::new(), Vec::new());
    for (id, item) in items {
        let mut distinct: Vec<&String> = item.tags.iter().collect();
        distinct.sort();
        distinct.dedup();
        for (position, tag) in (0_i64..).zip(distinct) {
            tags.push([(*id).into(), position.into(), tag.as_str().into()]);
        }
        for (position, referent) in (0_i64..).zip(&item.refs) {
            let Referent { kind, value } = referent;
            referents.push([(*id).into(), position.into(), kind.as_str().into(), value.as_str().into()]);
        }
    }
    insert_rows(connection, "INSERT INTO tag (item_id, position, tag) VALUES …", tags).map_err(failed)?;
    insert_rows(connection, "INSERT INTO referent (item_id, position, ref_type, ref_value) VALUES …", referents)
        .map_err(failed)
}

pub(super) fn seal(connection: &mut dyn Connection, op: OperationId, events: &[Event]) -> Result<(), ArchiveError> {
    let failed = failed("seal the items");
    let sealed = "UPDATE item SET state = 'sealed' WHERE op = ? AND state = 'pending'";
    connection.execute(sealed, &[op.to_string().into()]).map_err(failed)?;
    let archived: Vec<Tombstone> =
        events.iter().filter(|event| event.action == Action::Archive).filter_map(|event| event.tombstone).collect();
    let rows = row_ids(connection, &archived)?;
    if let Some(tombstone) = archived.iter().find(|tombstone| !rows.contains_key(tombstone)) {
        return Err(ArchiveError::NoSuchItem { tombstone: *tombstone });
    }
    // The content of what was undone may be purged. In this order: MariaDB reads columns as they were set before.
    let sql = "UPDATE item SET purged_at = CASE WHEN state = 'undone'
          THEN (SELECT a.purged_at FROM artifact a WHERE a.id = item.artifact_id) ELSE purged_at END,
        state = 'sealed'
      WHERE state <> 'sealed' AND tombstone_id IN (…)";
    in_groups(archived.iter().map(|tombstone| tombstone.to_string().into()), sql, |sql, values| {
        connection.execute(sql, values).map(|_| ()).map_err(failed)
    })?;
    events::insert(connection, events)
}

pub(super) fn undo(
    connection: &mut dyn Connection,
    op: OperationId,
    origin: &str,
    event: &Event,
) -> Result<u64, ArchiveError> {
    let failed = failed("undo the operation");
    let foreign = "SELECT id FROM item WHERE op = ? AND origin <> ? LIMIT 1";
    if !connection.query(foreign, &[op.to_string().into(), origin.into()]).map_err(failed)?.is_empty() {
        return Err(ArchiveError::OtherOrigin { op });
    }
    let undo = "UPDATE item SET state = 'undone' WHERE op = ? AND state = 'pending'";
    let undone = connection.execute(undo, &[op.to_string().into()]).map_err(failed)?;
    events::insert(connection, std::slice::from_ref(event))?;
    // Not in one statement: MariaDB's trigger could not change the items that it reads.
    let held = "SELECT h.id FROM hold h JOIN item i ON i.id = h.item_id
      WHERE i.op = ? AND h.op = i.op AND h.released_at IS NULL AND i.state = 'undone'";
    let rows = connection.query(held, &[op.to_string().into()]).map_err(failed)?;
    let held: Vec<i64> = rows.iter().map(|row| row.integer(0).map_err(failed)).collect::<Result<_, _>>()?;
    // Neither time nor digest needs quoting.
    let Event { created_at, digest, .. } = event;
    let release = format!("UPDATE hold SET released_at = '{created_at}', released_by = '{digest}' WHERE id IN (…)");
    in_groups(held.into_iter().map(Value::Integer), &release, |sql, values| {
        connection.execute(sql, values).map(|_| ()).map_err(failed)
    })?;
    Ok(undone)
}

pub(super) fn mark_restored(
    connection: &mut dyn Connection,
    tombstones: &[Tombstone],
    at: Timestamp,
    events: &[Event],
) -> Result<(), ArchiveError> {
    let failed = failed("note what was given back");
    // The time is text of our own making, which needs no quoting.
    let sql = format!("UPDATE item SET restored_at = '{at}' WHERE tombstone_id IN (…)");
    in_groups(tombstones.iter().map(|tombstone| tombstone.to_string().into()), &sql, |sql, values| {
        connection.execute(sql, values).map(|_| ()).map_err(failed)
    })?;
    events::insert(connection, events)
}

pub(super) fn pending(connection: &mut dyn Connection, origin: &str) -> Result<Vec<PendingOperation>, ArchiveError> {
    let failed = failed("look for unfinished operations");
    let (op, since) = (text("op"), text("MIN(archived_at)"));
    let sql = format!(
        "SELECT {op}, COUNT(*), {since} FROM item WHERE origin = ? AND state = 'pending' GROUP BY op ORDER BY 3, 1"
    );
    let mut operations = Vec::new();
    for row in connection.query(&sql, &[origin.into()]).map_err(failed)? {
        operations.push(PendingOperation {
            op: parse(&row.text(0).map_err(failed)?, "item.op")?,
            items: length(row.integer(1).map_err(failed)?, "item.id")?,
            since: parse(&row.text(2).map_err(failed)?, "item.archived_at")?,
        });
    }
    Ok(operations)
}

pub(super) fn of_operation(connection: &mut dyn Connection, op: OperationId) -> Result<Vec<StoredItem>, ArchiveError> {
    // In pages by their ids, then brought into the order of their paths: an operation is in memory anyway.
    let mut items = Vec::new();
    let mut last = 0;
    loop {
        let tail = format!("WHERE i.op = ? AND i.id > ? ORDER BY i.id LIMIT {PAGE}");
        let page = select(connection, &tail, &[op.to_string().into(), last.into()])?;
        let Some((id, _)) = page.last() else { break };
        last = *id;
        items.extend(page.into_iter().map(|(_, stored)| stored));
    }
    items.sort_by(|a, b| (&a.item.path, a.item.tombstone).cmp(&(&b.item.path, b.item.tombstone)));
    Ok(items)
}

pub(super) fn by_tombstone(
    connection: &mut dyn Connection,
    tombstones: &[Tombstone],
) -> Result<HashMap<Tombstone, StoredItem>, ArchiveError> {
    let mut found = HashMap::with_capacity(tombstones.len());
    for group in tombstones.chunks(PAGE) {
        let tail = "WHERE i.tombstone_id IN (…)";
        in_groups(group.iter().map(|tombstone| tombstone.to_string().into()), tail, |tail, values| {
            let items = select(connection, tail, values)?;
            found.extend(items.into_iter().map(|(_, stored)| (stored.item.tombstone, stored)));
            Ok(())
        })?;
    }
    Ok(found)
}

pub(super) fn by_prefix(
    connection: &mut dyn Connection,
    prefix: &str,
    limit: usize,
) -> Result<Vec<StoredItem>, ArchiveError> {
    if prefix.chars().count() < SHORTEST_PREFIX {
        return Err(ArchiveError::ShortPrefix { prefix: prefix.to_owned() });
    }
    // What is not the start of a printed UUID is the start of no tombstone, and not every server takes it for text.
    if prefix.len() > 36 || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Ok(Vec::new());
    }
    // A range, so that the index serves: `g` comes after every character of a tombstone.
    let tail = format!("WHERE i.tombstone_id >= ? AND i.tombstone_id < ? ORDER BY i.tombstone_id LIMIT {limit}");
    let items = select(connection, &tail, &[prefix.into(), format!("{prefix}g").into()])?;
    Ok(items.into_iter().map(|(_, stored)| stored).collect())
}

pub(super) fn by_path(
    connection: &mut dyn Connection,
    repo: &str,
    path: &RepoPath,
) -> Result<Vec<StoredItem>, ArchiveError> {
    let conditions = "i.repo = ? AND i.path_bytes = ?";
    let order = format!("ORDER BY i.archived_at DESC, i.tombstone_id LIMIT {PAGE}");
    let mut values: Vec<Value<'_>> = vec![repo.into(), path.as_bytes().into()];
    let mut tail = format!("WHERE {conditions} {order}");
    let mut items: Vec<StoredItem> = Vec::new();
    loop {
        let page = select(connection, &tail, &values)?;
        let is_last = page.len() < PAGE;
        items.extend(page.into_iter().map(|(_, stored)| stored));
        let Some(StoredItem { item: last, .. }) = items.last().filter(|_| !is_last) else { return Ok(items) };
        // Where the page ended: what is older, or as old with a greater tombstone.
        tail =
            format!("WHERE {conditions} AND (i.archived_at < ? OR (i.archived_at = ? AND i.tombstone_id > ?)) {order}");
        let time = last.archived_at.to_string();
        values.truncate(2);
        values.extend([time.clone().into(), time.into(), last.tombstone.to_string().into()]);
    }
}

pub(super) fn list(
    connection: &mut dyn Connection,
    query: &Query,
    visit: &mut dyn FnMut(StoredItem) -> ControlFlow<()>,
) -> Result<(), ArchiveError> {
    let mut conditions = vec!["(i.state = 'sealed' OR (i.state = 'pending' AND i.origin = ?))"];
    let mut values: Vec<Value<'_>> = vec![query.origin.as_deref().unwrap_or_default().into()];
    let texts = [
        ("i.repo = ?", query.repo.clone()),
        ("i.reason = ?", query.reason.map(Reason::as_str).map(str::to_owned)),
        ("i.archived_by = ?", query.archived_by.clone()),
        ("i.archived_at >= ?", query.since.map(|time| time.to_string())),
        ("i.archived_at <= ?", query.until.map(|time| time.to_string())),
        ("EXISTS (SELECT 1 FROM tag t WHERE t.item_id = i.id AND t.tag = ?)", query.tag.clone()),
    ];
    for (condition, value) in texts {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(value.into());
        }
    }
    let conditions = conditions.join(" AND ");
    let mut left = query.limit.unwrap_or(u64::MAX);
    let mut after: Option<Item> = None;
    loop {
        let count = if query.path.is_none() { left.min(ORDERED_PAGE) } else { ORDERED_PAGE };
        let order = format!("ORDER BY i.archived_at DESC, i.path_bytes, i.tombstone_id LIMIT {count}");
        let ids = match &after {
            None => ids(connection, &format!("WHERE {conditions} {order}"), &values)?,
            // Where the page before ended: what is older, or as old with a greater path, or tombstone.
            Some(last) => {
                let time = last.archived_at.to_string();
                let tail = format!(
                    "WHERE {conditions} AND (i.archived_at < ? OR (i.archived_at = ? AND (i.path_bytes > ?
                       OR (i.path_bytes = ? AND i.tombstone_id > ?)))) {order}"
                );
                let mut values = values.clone();
                values.extend([time.clone().into(), time.into()]);
                values.extend([last.path.as_bytes().into(), last.path.as_bytes().into()]);
                values.push(last.tombstone.to_string().into());
                ids(connection, &tail, &values)?
            }
        };
        for group in ids.chunks(PAGE) {
            for stored in by_ids(connection, group)? {
                after = Some(stored.item.clone());
                // Patterns are matched here and not by the server, so that every engine means the same by them.
                if query.path.as_ref().is_some_and(|pattern| !path_matches(pattern, &stored.item.path)) {
                    continue;
                }
                if left == 0 || visit(stored).is_break() {
                    return Ok(());
                }
                left -= 1;
            }
        }
        if left == 0 || (ids.len() as u64) < ORDERED_PAGE {
            return Ok(());
        }
    }
}

/// Returns the ids of the rows of table `item` that `tail` (a `WHERE` clause over `i`, an order and a limit) selects.
fn ids(connection: &mut dyn Connection, tail: &str, values: &[Value<'_>]) -> Result<Vec<i64>, ArchiveError> {
    let failed = failed("list the items");
    let rows = connection.query(&format!("SELECT i.id FROM item i {tail}"), values).map_err(failed)?;
    rows.iter().map(|row| row.integer(0).map_err(failed)).collect()
}

/// Returns the items in rows `ids`, in that order.
fn by_ids(connection: &mut dyn Connection, ids: &[i64]) -> Result<Vec<StoredItem>, ArchiveError> {
    let mut found = HashMap::with_capacity(ids.len());
    in_groups(ids.iter().map(|id| (*id).into()), "WHERE i.id IN (…)", |tail, values| {
        found.extend(select(connection, tail, values)?);
        Ok(())
    })?;
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

pub(super) fn counts(connection: &mut dyn Connection) -> Result<Counts, ArchiveError> {
    let failed = failed("count");
    let integer = connection.dialect().integer;
    let mut count = |what: &str, from: &str| -> Result<u64, ArchiveError> {
        let sql = format!("SELECT CAST({what} AS {integer}) FROM {from}");
        let rows = connection.query(&sql, &[]).map_err(failed)?;
        let row = rows.first().ok_or_else(|| damaged("a count without an answer"))?;
        length(row.integer(0).map_err(failed)?, "count")
    };
    Ok(Counts {
        items: count("COUNT(*)", "item WHERE state <> 'undone'")?,
        retrievable: count(
            "COUNT(*)",
            "item i JOIN artifact a ON a.id = i.artifact_id
             WHERE i.state <> 'undone' AND i.purged_at IS NULL AND a.purged_at IS NULL AND a.size_bytes = (SELECT COALESCE(SUM(s.length), 0)
               FROM segment s JOIN block b ON b.id = s.block_id WHERE s.artifact_id = a.id)",
        )?,
        purged: count("COUNT(*)", "item WHERE state <> 'undone' AND purged_at IS NOT NULL")?,
        artifacts: count("COUNT(*)", "artifact WHERE purged_at IS NULL")?,
        item_bytes: count(
            "COALESCE(SUM(a.size_bytes), 0)",
            "item i JOIN artifact a ON a.id = i.artifact_id WHERE i.state <> 'undone'",
        )?,
        artifact_bytes: count("COALESCE(SUM(size_bytes), 0)", "artifact WHERE purged_at IS NULL")?,
        stored_bytes: count("COALESCE(SUM(stored_size), 0)", "block")?,
        events: count("COUNT(*)", "event")?,
    })
}

/// Returns the items that `tail` (a `WHERE` clause over item `i` and artifact `a`, and an order) selects, each with the id
/// of its row.
pub(super) fn select(
    connection: &mut dyn Connection,
    tail: &str,
    values: &[Value<'_>],
) -> Result<Vec<(i64, StoredItem)>, ArchiveError> {
    let failed = failed("read items");
    let sql = format!(
        "SELECT i.id, {}, SUBSTRING(i.path_bytes FROM 1 FOR {LONGEST_PATH}), i.dirty, i.legal_hold, a.size_bytes, {}
         FROM item i JOIN artifact a ON a.id = i.artifact_id {tail}",
        TEXTS.map(text).join(", "),
        compressed_size(connection.dialect().integer)
    );
    let rows = connection.query(&sql, values).map_err(failed)?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        items.push((row.integer(0).map_err(failed)?, read_item(row)?));
    }
    let by_id: HashMap<i64, usize> = items.iter().enumerate().map(|(index, (id, _))| (*id, index)).collect();
    let ids: Vec<i64> = items.iter().map(|(id, _)| *id).collect();
    let of_tags = format!("SELECT item_id, {} FROM tag WHERE item_id IN (…) ORDER BY item_id, position", text("tag"));
    let of_referents = format!(
        "SELECT item_id, {}, {} FROM referent WHERE item_id IN (…) ORDER BY item_id, position",
        text("ref_type"),
        text("ref_value")
    );
    // By pages, since a group may be longer: labels are as long as items.
    for page in ids.chunks(PAGE) {
        in_groups(page.iter().map(|id| (*id).into()), &of_tags, |sql, values| {
            for row in connection.query(sql, values).map_err(failed)? {
                let index = by_id[&row.integer(0).map_err(failed)?];
                items[index].1.item.tags.push(row.text(1).map_err(failed)?);
            }
            Ok(())
        })?;
        in_groups(page.iter().map(|id| (*id).into()), &of_referents, |sql, values| {
            for row in connection.query(sql, values).map_err(failed)? {
                let index = by_id[&row.integer(0).map_err(failed)?];
                let referent = Referent { kind: row.text(1).map_err(failed)?, value: row.text(2).map_err(failed)? };
                items[index].1.item.refs.push(referent);
            }
            Ok(())
        })?;
    }
    Ok(items)
}

/// The texts of a row that [`select`] asks for, from column 1 on.
const TEXTS: [&str; 19] = [
    "i.tombstone_id",
    "i.repo",
    "i.commit_sha",
    "i.object_id",
    "i.mode",
    "i.kind",
    "i.language",
    "i.mime_type",
    "i.reason",
    "i.metadata",
    "i.delete_after",
    "i.archived_by",
    "i.archived_at",
    "i.restored_at",
    "i.state",
    "i.op",
    "i.origin",
    "i.purged_at",
    "a.content_sha256",
];

/// Reads one row of what [`select`] asks for, without labels.
fn read_item(row: &Row) -> Result<StoredItem, ArchiveError> {
    let failed = failed("read an item");
    let column = |name: &str| 1 + TEXTS.iter().position(|text| *text == name).expect("it is asked for");
    let text = |name: &str| row.text(column(name)).map_err(failed);
    let optional = |name: &str| row.optional_text(column(name)).map_err(failed);
    let after = |number: usize| 1 + TEXTS.len() + number;
    let tombstone = parse(&text("i.tombstone_id")?, "tombstone_id")?;
    let path = row.optional_bytes(after(0)).map_err(failed)?.unwrap_or_default();
    let path = RepoPath::try_new(path).map_err(|error| damaged(format!("the path of item `{tombstone}`: {error}")))?;
    let metadata: BTreeMap<String, String> = serde_json::from_str(&text("i.metadata")?)
        .map_err(|error| damaged(format!("the JSON in column `metadata` ({error})")))?;
    let item = Item {
        tombstone,
        repo: text("i.repo")?,
        path,
        commit: parse(&text("i.commit_sha")?, "commit_sha")?,
        object: parse(&text("i.object_id")?, "object_id")?,
        mode: parse(&text("i.mode")?, "mode")?,
        sha256: parse(&text("a.content_sha256")?, "content_sha256")?,
        size: length(row.integer(after(3)).map_err(failed)?, "artifact.size_bytes")?,
        kind: parse(&text("i.kind")?, "kind")?,
        language: optional("i.language")?,
        mime: optional("i.mime_type")?,
        reason: parse(&text("i.reason")?, "reason")?,
        tags: Vec::new(),
        metadata,
        refs: Vec::new(),
        dirty: row.boolean(after(1)).map_err(failed)?,
        delete_after: optional("i.delete_after")?.map(|date| parse(&date, "delete_after")).transpose()?,
        legal_hold: row.boolean(after(2)).map_err(failed)?,
        archived_by: text("i.archived_by")?,
        archived_at: parse(&text("i.archived_at")?, "archived_at")?,
    };
    Ok(StoredItem {
        item,
        state: parse(&text("i.state")?, "state")?,
        op: parse(&text("i.op")?, "op")?,
        origin: text("i.origin")?,
        compressed_size: length(row.integer(after(4)).map_err(failed)?, "segment.length")?,
        restored_at: optional("i.restored_at")?.map(|time| parse(&time, "restored_at")).transpose()?,
        purged_at: optional("i.purged_at")?.map(|time| parse(&time, "purged_at")).transpose()?,
    })
}
