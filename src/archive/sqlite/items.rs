//! Items, with their tags and referents, in SQLite.

use std::collections::HashMap;
use std::ops::ControlFlow;

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Transaction, params};

use super::bytes::{COMPRESSED_SIZE, length};
use super::{damaged, engine_error, events, parse};
use crate::archive::query::path_matches;
use crate::archive::{ArchiveError, Counts, Event, ItemState, ItemStatus, PendingOperation, Query, StoredItem};
use crate::clock::Timestamp;
use crate::evidence::record::Action;
use crate::id::{OperationId, Sha256, Tombstone};
use crate::item::{Item, Reason, Referent, RepoPath};
use crate::quote;

/// The shortest start of a tombstone that is looked for, in characters.
const SHORTEST_PREFIX: usize = 8;

pub(super) fn begin(
    transaction: Transaction<'_>,
    op: OperationId,
    origin: &str,
    items: &[Item],
) -> Result<Vec<ItemStatus>, ArchiveError> {
    let failed = engine_error("record the items");
    let mut statuses = Vec::with_capacity(items.len());
    for item in items {
        let artifact = usable_artifact(&transaction, &item.sha256, item.size)?;
        let mut find =
            transaction.prepare_cached("SELECT id, state, op FROM item WHERE tombstone_id = ?1").map_err(failed)?;
        let row = find.query_row([item.tombstone.to_string()], |row| row.try_into());
        let row: Option<(i64, String, String)> = row.optional().map_err(failed)?;
        let undone = ItemState::Undone.as_str();
        statuses.push(match row {
            Some((id, state, maker)) if state != undone => {
                come_back(&transaction, id)?;
                hold(&transaction, id, item, op)?;
                if maker == op.to_string() { ItemStatus::Stored } else { ItemStatus::AlreadyStored }
            }
            row => {
                let new = ItemRow { item, op, origin, purged_at: None };
                let id = write_item(&transaction, row.map(|(id, ..)| id), artifact, &new)?;
                hold(&transaction, id, item, op)?;
                ItemStatus::Stored
            }
        });
    }
    transaction.commit().map_err(failed)?;
    Ok(statuses)
}

/// Returns the row of the content, which must be there, not purged, and of the length that the item says.
fn usable_artifact(transaction: &Transaction<'_>, sha256: &Sha256, size: u64) -> Result<i64, ArchiveError> {
    let failed = engine_error("look for a content");
    let mut statement = transaction
        .prepare_cached("SELECT id, size_bytes, purged_at FROM artifact WHERE content_sha256 = ?1")
        .map_err(failed)?;
    let row = statement.query_row([sha256.to_string()], |row| row.try_into());
    let row: Option<(i64, i64, Option<String>)> = row.optional().map_err(failed)?;
    let (id, stored_size, purged_at) = row.ok_or(ArchiveError::MissingArtifact { sha256: *sha256 })?;
    if let Some(purged_at) = purged_at {
        return Err(ArchiveError::Purged { sha256: *sha256, purged_at: parse(&purged_at, "artifact.purged_at")? });
    }
    if length(stored_size, "artifact.size_bytes")? != size {
        return Err(damaged(format!("content `{sha256}` has {stored_size} bytes and not {size}")));
    }
    Ok(id)
}

/// Puts the hold on an item that operation `op` asks for, also where another store brought the item in: one that was asked for
/// is never lost. The column of the item follows by itself.
fn hold(transaction: &Transaction<'_>, id: i64, item: &Item, op: OperationId) -> Result<(), ArchiveError> {
    if !item.legal_hold {
        return Ok(());
    }
    let failed = engine_error("hold an item");
    let mut statement = transaction
        .prepare_cached(
            "INSERT INTO hold (item_id, op, set_by, set_at) SELECT ?1, ?2, ?3, ?4
             WHERE NOT EXISTS (SELECT 1 FROM hold WHERE item_id = ?1 AND op = ?2)",
        )
        .map_err(failed)?;
    statement.execute(params![id, op.to_string(), item.archived_by, item.archived_at.to_string()]).map_err(failed)?;
    Ok(())
}

/// Takes back that an item was purged: its content is there again, which was seen before.
fn come_back(transaction: &Transaction<'_>, id: i64) -> Result<(), ArchiveError> {
    let failed = engine_error("record the items");
    let mut statement = transaction
        .prepare_cached("UPDATE item SET purged_at = NULL WHERE id = ?1 AND purged_at IS NOT NULL")
        .map_err(failed)?;
    statement.execute([id]).map_err(failed)?;
    Ok(())
}

/// What a row of an item says that is new.
pub(super) struct ItemRow<'a> {
    pub item: &'a Item,
    pub op: OperationId,
    pub origin: &'a str,
    pub purged_at: Option<Timestamp>,
}

/// Makes an item's row, or with the id of an undone row begins that one anew, and returns its id. Holds are left as they are.
pub(super) fn write_item(
    transaction: &Transaction<'_>,
    undone: Option<i64>,
    artifact: i64,
    row: &ItemRow<'_>,
) -> Result<i64, ArchiveError> {
    let ItemRow { item, op, origin, purged_at } = row;
    let failed = engine_error("record an item");
    let path = match std::str::from_utf8(item.path.as_bytes()) {
        Ok(text) => text.into(),
        Err(_) => quote::quote(item.path.as_bytes()),
    };
    let metadata = serde_json::to_string(&item.metadata).expect("a map of texts is JSON");
    let columns = params![
        item.tombstone.to_string(),
        artifact,
        item.repo,
        path,
        item.path.as_bytes(),
        item.commit.to_string(),
        item.object.to_string(),
        item.mode.as_str(),
        item.kind.as_str(),
        item.language,
        item.mime,
        item.reason.as_str(),
        metadata,
        item.dirty,
        item.delete_after.map(|date| date.to_string()),
        item.archived_by,
        item.archived_at.to_string(),
        op.to_string(),
        origin,
        purged_at.map(|time| time.to_string()),
    ];
    let id = match undone {
        None => transaction
            .prepare_cached(
                "INSERT INTO item (tombstone_id, artifact_id, repo, path, path_bytes, commit_sha, object_id, mode,
                   kind, language, mime_type, reason, metadata, dirty, delete_after, archived_by, archived_at, op,
                   origin, purged_at, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
                   'pending')",
            )
            .and_then(|mut statement| statement.insert(columns))
            .map_err(failed)?,
        Some(id) => {
            transaction
                .prepare_cached(
                    "UPDATE item SET object_id = ?7, mode = ?8, kind = ?9, language = ?10, mime_type = ?11,
                       reason = ?12, metadata = ?13, dirty = ?14, delete_after = ?15, archived_by = ?16,
                       archived_at = ?17, op = ?18, origin = ?19, purged_at = ?20, restored_at = NULL,
                       state = 'pending'
                     WHERE tombstone_id = ?1",
                )
                .and_then(|mut statement| statement.execute(columns))
                .map_err(failed)?;
            for sql in ["DELETE FROM tag WHERE item_id = ?1", "DELETE FROM referent WHERE item_id = ?1"] {
                transaction.execute(sql, [id]).map_err(failed)?;
            }
            id
        }
    };
    write_labels(transaction, id, item).map_err(failed)?;
    Ok(id)
}

/// Writes an item's tags and referents.
pub(super) fn write_labels(transaction: &Transaction<'_>, id: i64, item: &Item) -> rusqlite::Result<()> {
    let mut add_tag = transaction.prepare_cached("INSERT OR IGNORE INTO tag (item_id, tag) VALUES (?1, ?2)")?;
    for tag in &item.tags {
        add_tag.execute(params![id, tag])?;
    }
    let mut add_referent = transaction.prepare_cached(
        "INSERT INTO referent (item_id, position, ref_type, ref_value)
         VALUES (?1, (SELECT count(*) FROM referent WHERE item_id = ?1), ?2, ?3)",
    )?;
    for referent in &item.refs {
        add_referent.execute(params![id, referent.kind, referent.value])?;
    }
    Ok(())
}

pub(super) fn seal(transaction: Transaction<'_>, op: OperationId, events: &[Event]) -> Result<(), ArchiveError> {
    let failed = engine_error("seal the items");
    transaction
        .execute("UPDATE item SET state = 'sealed' WHERE op = ?1 AND state = 'pending'", [op.to_string()])
        .map_err(failed)?;
    {
        // Sealing what is sealed counts as found and changes nothing. The content of what was undone may be purged.
        let mut seal = transaction
            .prepare_cached(
                "UPDATE item SET state = 'sealed', purged_at = CASE state WHEN 'undone'
                   THEN (SELECT purged_at FROM artifact WHERE id = item.artifact_id) ELSE purged_at END
                 WHERE tombstone_id = ?1",
            )
            .map_err(failed)?;
        for event in events.iter().filter(|event| event.action == Action::Archive) {
            if let Some(tombstone) = event.tombstone
                && seal.execute([tombstone.to_string()]).map_err(failed)? == 0
            {
                return Err(ArchiveError::NoSuchItem { tombstone });
            }
        }
    }
    events::insert(&transaction, events)?;
    transaction.commit().map_err(failed)
}

pub(super) fn undo(
    transaction: Transaction<'_>,
    op: OperationId,
    origin: &str,
    event: &Event,
) -> Result<u64, ArchiveError> {
    let failed = engine_error("undo the operation");
    let foreign = transaction
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM item WHERE op = ?1 AND origin <> ?2)",
            params![op.to_string(), origin],
            |row| row.get(0),
        )
        .map_err(failed)?;
    if foreign {
        return Err(ArchiveError::OtherOrigin { op });
    }
    let undone = transaction
        .execute("UPDATE item SET state = 'undone' WHERE op = ?1 AND state = 'pending'", [op.to_string()])
        .map_err(failed)?;
    events::insert(&transaction, std::slice::from_ref(event))?;
    transaction
        .execute(
            "UPDATE hold SET released_at = ?2, released_by = ?3 WHERE op = ?1 AND released_at IS NULL
               AND item_id IN (SELECT id FROM item WHERE op = ?1 AND state = 'undone')",
            [op.to_string(), event.created_at.to_string(), event.digest.to_string()],
        )
        .map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(undone as u64)
}

pub(super) fn mark_restored(
    transaction: Transaction<'_>,
    tombstones: &[Tombstone],
    at: Timestamp,
    events: &[Event],
) -> Result<(), ArchiveError> {
    let failed = engine_error("note what was given back");
    {
        let mut mark =
            transaction.prepare_cached("UPDATE item SET restored_at = ?2 WHERE tombstone_id = ?1").map_err(failed)?;
        for tombstone in tombstones {
            mark.execute(params![tombstone.to_string(), at.to_string()]).map_err(failed)?;
        }
    }
    events::insert(&transaction, events)?;
    transaction.commit().map_err(failed)
}

pub(super) fn pending(connection: &Connection, origin: &str) -> Result<Vec<PendingOperation>, ArchiveError> {
    let failed = engine_error("look for unfinished operations");
    let mut statement = connection
        .prepare_cached(
            "SELECT op, count(*), min(archived_at) FROM item WHERE origin = ?1 AND state = 'pending'
             GROUP BY op ORDER BY 3, 1",
        )
        .map_err(failed)?;
    let mut rows = statement.query([origin]).map_err(failed)?;
    let mut operations = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let (op, items, since): (String, i64, String) = row.try_into().map_err(failed)?;
        operations.push(PendingOperation {
            op: parse(&op, "item.op")?,
            items: length(items, "item.id")?,
            since: parse(&since, "item.archived_at")?,
        });
    }
    Ok(operations)
}

pub(super) fn of_operation(connection: &Connection, op: OperationId) -> Result<Vec<StoredItem>, ArchiveError> {
    select(connection, "WHERE i.op = ?1 ORDER BY i.path_bytes, i.tombstone_id", [op.to_string()])
}

pub(super) fn by_tombstone(
    connection: &Connection,
    tombstones: &[Tombstone],
) -> Result<HashMap<Tombstone, StoredItem>, ArchiveError> {
    // One transaction: one moment, and the file is locked once.
    let moment = connection.unchecked_transaction().map_err(engine_error("read items"))?;
    let mut found = HashMap::with_capacity(tombstones.len());
    for tombstone in tombstones {
        let items = select(&moment, "WHERE i.tombstone_id = ?1", [tombstone.to_string()])?;
        found.extend(items.into_iter().map(|stored| (stored.item.tombstone, stored)));
    }
    Ok(found)
}

pub(super) fn by_prefix(connection: &Connection, prefix: &str, limit: usize) -> Result<Vec<StoredItem>, ArchiveError> {
    if prefix.chars().count() < SHORTEST_PREFIX {
        return Err(ArchiveError::ShortPrefix { prefix: prefix.to_owned() });
    }
    // A range, so that the index serves: `g` comes after every character of a tombstone.
    let tail = "WHERE i.tombstone_id >= ?1 AND i.tombstone_id < ?1 || 'g' ORDER BY i.tombstone_id LIMIT ?2";
    select(connection, tail, params![prefix, i64::try_from(limit).unwrap_or(i64::MAX)])
}

pub(super) fn by_path(connection: &Connection, repo: &str, path: &RepoPath) -> Result<Vec<StoredItem>, ArchiveError> {
    let tail = "WHERE i.repo = ?1 AND i.path_bytes = ?2 ORDER BY i.archived_at DESC, i.tombstone_id";
    select(connection, tail, params![repo, path.as_bytes()])
}

pub(super) fn list(
    connection: &Connection,
    query: &Query,
    visit: &mut dyn FnMut(StoredItem) -> ControlFlow<()>,
) -> Result<(), ArchiveError> {
    let tail = "WHERE (i.state = 'sealed' OR (i.state = 'pending' AND i.origin = ?1))
      AND (?2 IS NULL OR i.repo = ?2) AND (?3 IS NULL OR i.reason = ?3) AND (?4 IS NULL OR i.archived_by = ?4)
      AND (?5 IS NULL OR i.archived_at >= ?5) AND (?6 IS NULL OR i.archived_at <= ?6)
      AND (?7 IS NULL OR EXISTS (SELECT 1 FROM tag t WHERE t.item_id = i.id AND t.tag = ?7))
      ORDER BY i.archived_at DESC, i.path_bytes, i.tombstone_id";
    let values = params![
        query.origin,
        query.repo,
        query.reason.map(Reason::as_str),
        query.archived_by,
        query.since.map(|time| time.to_string()),
        query.until.map(|time| time.to_string()),
        query.tag,
    ];
    let mut left = query.limit.unwrap_or(u64::MAX);
    visit_items(connection, tail, values, &mut |stored| {
        // Patterns are matched here and not by the engine, so that every engine means the same by them.
        if query.path.as_ref().is_some_and(|pattern| !path_matches(pattern, &stored.item.path)) {
            return ControlFlow::Continue(());
        }
        if left == 0 {
            return ControlFlow::Break(());
        }
        left -= 1;
        visit(stored)
    })
}

pub(super) fn counts(connection: &Connection) -> Result<Counts, ArchiveError> {
    let failed = engine_error("count");
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let count = |sql: &str| -> Result<u64, ArchiveError> {
        length(transaction.query_row(sql, [], |row| row.get(0)).map_err(failed)?, "count")
    };
    Ok(Counts {
        items: count("SELECT count(*) FROM item WHERE state <> 'undone'")?,
        retrievable: count(
            "SELECT count(*) FROM item i JOIN artifact a ON a.id = i.artifact_id
             WHERE i.state <> 'undone' AND i.purged_at IS NULL AND a.purged_at IS NULL AND a.size_bytes = (SELECT coalesce(sum(s.length), 0)
               FROM segment s JOIN block b ON b.id = s.block_id WHERE s.artifact_id = a.id)",
        )?,
        purged: count("SELECT count(*) FROM item WHERE state <> 'undone' AND purged_at IS NOT NULL")?,
        artifacts: count("SELECT count(*) FROM artifact WHERE purged_at IS NULL")?,
        item_bytes: count(
            "SELECT coalesce(sum(a.size_bytes), 0) FROM item i JOIN artifact a ON a.id = i.artifact_id
             WHERE i.state <> 'undone'",
        )?,
        artifact_bytes: count("SELECT coalesce(sum(size_bytes), 0) FROM artifact WHERE purged_at IS NULL")?,
        stored_bytes: count("SELECT coalesce(sum(stored_size), 0) FROM block")?,
        events: count("SELECT count(*) FROM event")?,
    })
}

/// Returns the items that `tail` (a `WHERE` clause over item `i` and artifact `a`, and an order) selects.
pub(super) fn select(
    connection: &Connection,
    tail: &str,
    values: impl Params,
) -> Result<Vec<StoredItem>, ArchiveError> {
    let mut items = Vec::new();
    visit_items(connection, tail, values, &mut |item| {
        items.push(item);
        ControlFlow::Continue(())
    })?;
    Ok(items)
}

/// Hands the items that `tail` selects to `visit`, until it breaks off.
fn visit_items(
    connection: &Connection,
    tail: &str,
    values: impl Params,
    visit: &mut dyn FnMut(StoredItem) -> ControlFlow<()>,
) -> Result<(), ArchiveError> {
    let failed = engine_error("read items");
    let sql = format!(
        "SELECT i.tombstone_id, i.repo, i.path_bytes, i.commit_sha, i.object_id, i.mode, i.kind, i.language,
           i.mime_type, i.reason, i.metadata, i.dirty, i.legal_hold, i.delete_after, i.archived_by, i.archived_at,
           i.restored_at, i.state, i.op, i.origin, i.purged_at, a.content_sha256, a.size_bytes,
           {COMPRESSED_SIZE} AS compressed_size,
           (SELECT json_group_array(tag) FROM (SELECT tag FROM tag WHERE item_id = i.id ORDER BY tag)) AS tags,
           (SELECT json_group_array(json_object('type', ref_type, 'value', ref_value)) FROM
             (SELECT ref_type, ref_value FROM referent WHERE item_id = i.id ORDER BY position)) AS refs
         FROM item i JOIN artifact a ON a.id = i.artifact_id {tail}"
    );
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query(values).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        if visit(read_item(row)?).is_break() {
            break;
        }
    }
    Ok(())
}

/// Reads one row of what [`visit_items`] selects.
fn read_item(row: &Row<'_>) -> Result<StoredItem, ArchiveError> {
    let tombstone = parsed(row, "tombstone_id")?;
    let path: Vec<u8> = column(row, "path_bytes")?;
    let path = RepoPath::try_new(path).map_err(|error| damaged(format!("the path of item `{tombstone}`: {error}")))?;
    let item = Item {
        tombstone,
        repo: column(row, "repo")?,
        path,
        commit: parsed(row, "commit_sha")?,
        object: parsed(row, "object_id")?,
        mode: parsed(row, "mode")?,
        sha256: parsed(row, "content_sha256")?,
        size: length(column(row, "size_bytes")?, "artifact.size_bytes")?,
        kind: parsed(row, "kind")?,
        language: column(row, "language")?,
        mime: column(row, "mime_type")?,
        reason: parsed(row, "reason")?,
        tags: json(row, "tags")?,
        metadata: json(row, "metadata")?,
        refs: json::<Vec<Referent>>(row, "refs")?,
        dirty: column(row, "dirty")?,
        delete_after: optional(row, "delete_after")?,
        legal_hold: column(row, "legal_hold")?,
        archived_by: column(row, "archived_by")?,
        archived_at: parsed(row, "archived_at")?,
    };
    Ok(StoredItem {
        item,
        state: parsed(row, "state")?,
        op: parsed(row, "op")?,
        origin: column(row, "origin")?,
        compressed_size: length(column(row, "compressed_size")?, "segment.length")?,
        restored_at: optional(row, "restored_at")?,
        purged_at: optional(row, "purged_at")?,
    })
}

/// Returns the value of column `name`.
pub(super) fn column<T: FromSql>(row: &Row<'_>, name: &str) -> Result<T, ArchiveError> {
    row.get(name).map_err(engine_error("read an item"))
}

/// Returns what the text in column `name` is the printed form of.
pub(super) fn parsed<T: std::str::FromStr>(row: &Row<'_>, name: &str) -> Result<T, ArchiveError> {
    parse(&column::<String>(row, name)?, name)
}

/// Returns what the text in column `name`, if there is one, is the printed form of.
pub(super) fn optional<T: std::str::FromStr>(row: &Row<'_>, name: &str) -> Result<Option<T>, ArchiveError> {
    column::<Option<String>>(row, name)?.map(|text| parse(&text, name)).transpose()
}

/// Returns what the JSON in column `name` says.
fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, name: &str) -> Result<T, ArchiveError> {
    let text: String = column(row, name)?;
    serde_json::from_str(&text).map_err(|error| damaged(format!("the JSON in column `{name}` ({error})")))
}
