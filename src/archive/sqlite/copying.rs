//! Copies to and from SQLite.

use rusqlite::{Connection, Transaction, params};

use super::bytes::{length, put_blocks, put_segments, readmit, row_id};
use super::governing::{add_hold, add_purge, select_holds, select_purges};
use super::items::{ItemRow, column, optional, parsed, select, write_item, write_labels};
use super::{SqliteArchive, damaged, engine_error, events, parse};
use crate::archive::copying::PAGE;
use crate::archive::objects::put_first;
use crate::archive::{
    Approval, ArchiveError, Batch, Copying, Event, KnownContent, KnownHold, KnownItem, KnownPurge, Segment,
};
use crate::id::{Sha256, Tombstone};

const FIND_ARTIFACT: &str = "SELECT id FROM artifact WHERE content_sha256 = ?1";

const FIND_ITEM: &str = "SELECT id FROM item WHERE tombstone_id = ?1";

/// Returns the id of the archive that is to be used instead of this one.
pub(super) fn superseded_by(connection: &Connection) -> Result<Option<String>, ArchiveError> {
    let failed = engine_error("say whether it is superseded");
    let mut statement = connection.prepare_cached("SELECT superseded_by FROM archive").map_err(failed)?;
    let id: Option<String> = statement.query_row([], |row| row.get(0)).map_err(failed)?;
    id.map(|id| parse::<uuid::Uuid>(&id, "archive.superseded_by").map(|id| id.to_string())).transpose()
}

fn set_superseded(transaction: &Transaction<'_>, by: Option<&str>) -> Result<(), ArchiveError> {
    let changed = transaction.execute("UPDATE archive SET superseded_by = ?1", [by]);
    changed.map(|_| ()).map_err(engine_error("mark the archive"))
}

impl SqliteArchive {
    /// Begins a transaction that changes an unfinished copy of archive `of`.
    fn write_copy(&mut self, of: &str) -> Result<Transaction<'_>, ArchiveError> {
        let transaction = self.lock()?;
        if superseded_by(&transaction)?.as_deref() == Some(of) {
            Ok(transaction)
        } else {
            Err(ArchiveError::NotACopy { of: of.to_owned() })
        }
    }
}

impl Copying for SqliteArchive {
    fn superseded_by(&mut self) -> Result<Option<String>, ArchiveError> {
        superseded_by(&self.connection)
    }

    fn contents_page(&mut self, after: u64) -> Result<Vec<KnownContent>, ArchiveError> {
        let failed = engine_error("list contents");
        let sql = format!(
            "SELECT id, content_sha256, size_bytes, created_at, purged_at FROM artifact WHERE id > ?1
             ORDER BY id LIMIT {PAGE}"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query([i64::try_from(after).unwrap_or(i64::MAX)]).map_err(failed)?;
        let mut page = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            page.push(KnownContent {
                number: length(column(row, "id")?, "artifact.id")?,
                sha256: parsed(row, "content_sha256")?,
                size: length(column(row, "size_bytes")?, "artifact.size_bytes")?,
                created_at: parsed(row, "created_at")?,
                purged_at: optional(row, "purged_at")?,
            });
        }
        Ok(page)
    }

    fn items_page(&mut self, after: Option<&Tombstone>) -> Result<Vec<KnownItem>, ArchiveError> {
        // One transaction: items and approvals as of one moment.
        let moment = self.connection.unchecked_transaction().map_err(engine_error("read items"))?;
        let tail = format!("WHERE i.tombstone_id > ?1 ORDER BY i.tombstone_id LIMIT {PAGE}");
        let items = select(&moment, &tail, [after.map(ToString::to_string).unwrap_or_default()])?;
        let known = items.into_iter().map(|stored| {
            let approvals = approvals(&moment, &stored.item.tombstone)?;
            Ok(KnownItem { stored, approvals })
        });
        known.collect()
    }

    fn events_page(&mut self, after: u64) -> Result<Vec<(u64, Event)>, ArchiveError> {
        let failed = engine_error("read events");
        let sql = format!("SELECT id, digest, tombstone_id, line FROM event WHERE id > ?1 ORDER BY id LIMIT {PAGE}");
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query([i64::try_from(after).unwrap_or(i64::MAX)]).map_err(failed)?;
        let mut page = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let (id, digest, tombstone, line): (i64, String, Option<String>, String) =
                row.try_into().map_err(failed)?;
            page.push((length(id, "event.id")?, Event::checked(id, &line, &digest, tombstone.as_deref())?));
        }
        Ok(page)
    }

    fn holds_page(&mut self, after: u64) -> Result<Vec<(u64, KnownHold)>, ArchiveError> {
        let tail = format!("WHERE h.id > ?1 ORDER BY h.id LIMIT {PAGE}");
        select_holds(&self.connection, &tail, [i64::try_from(after).unwrap_or(i64::MAX)])
    }

    fn purges_page(&mut self, after: u64) -> Result<Vec<(u64, KnownPurge)>, ArchiveError> {
        let tail = format!("WHERE p.id > ?1 ORDER BY p.id LIMIT {PAGE}");
        select_purges(&self.connection, &tail, [i64::try_from(after).unwrap_or(i64::MAX)])
    }

    fn newest_event(&mut self) -> Result<u64, ArchiveError> {
        let newest = self.connection.query_row("SELECT coalesce(max(id), 0) FROM event", [], |row| row.get(0));
        length(newest.map_err(engine_error("look for the newest event"))?, "event.id")
    }

    fn begin_copy(&mut self, of: &str) -> Result<(), ArchiveError> {
        let failed = engine_error("become a copy");
        let transaction = self.lock()?;
        let mark = superseded_by(&transaction)?;
        if mark.as_deref() == Some(of) {
            return Ok(());
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM artifact) OR EXISTS (SELECT 1 FROM event)
          OR EXISTS (SELECT 1 FROM block)";
        let occupied: bool = transaction.query_row(sql, [], |row| row.get(0)).map_err(failed)?;
        if mark.is_some() || occupied {
            return Err(ArchiveError::NotACopy { of: of.to_owned() });
        }
        set_superseded(&transaction, Some(of))?;
        transaction.commit().map_err(failed)
    }

    fn take_in(&mut self, of: &str, batch: &Batch) -> Result<(), ArchiveError> {
        let store = self.blocks.clone();
        let blocks = put_first(self, &store, &batch.blocks)?;
        let transaction = self.write_copy(of)?;
        put_blocks(&transaction, &blocks)?;
        for (content, segments) in &batch.contents {
            add_content(&transaction, content, segments)?;
        }
        for item in &batch.items {
            set_item(&transaction, item)?;
        }
        events::insert(&transaction, &batch.events)?;
        for hold in &batch.holds {
            set_hold(&transaction, hold)?;
        }
        for purge in &batch.purges {
            if select_purges(&transaction, "WHERE p.op = ?1", [purge.purge.op.to_string()])?.is_empty() {
                add_purge(&transaction, purge)?;
            }
        }
        transaction.commit().map_err(engine_error("take in what is copied"))
    }

    fn complete_copy(&mut self, of: &str, events: &[Event]) -> Result<(), ArchiveError> {
        let transaction = self.lock()?;
        let mark = superseded_by(&transaction)?;
        if mark.is_none() {
            let digests: Vec<Sha256> = events.iter().map(|event| event.digest).collect();
            drop(transaction);
            let known = events::find(&self.connection, &digests)?;
            if digests.iter().all(|digest| known.contains(digest)) {
                return Ok(());
            }
        } else if mark.as_deref() == Some(of) {
            events::insert(&transaction, events)?;
            set_superseded(&transaction, None)?;
            return transaction.commit().map_err(engine_error("complete the copy"));
        }
        Err(ArchiveError::NotACopy { of: of.to_owned() })
    }

    fn supersede(&mut self, by: &str, last_look: &mut dyn FnMut() -> Option<Event>) -> Result<(), ArchiveError> {
        let transaction = self.lock()?;
        match superseded_by(&transaction)? {
            Some(known) if known == by => return Ok(()),
            Some(by) => return Err(ArchiveError::Superseded { by }),
            None => {}
        }
        let Some(event) = last_look() else { return Ok(()) };
        events::insert(&transaction, &[event])?;
        set_superseded(&transaction, Some(by))?;
        transaction.commit().map_err(engine_error("give way to its copy"))
    }
}

/// Adds a content, unless it is there. One that was purged there, and is not here, comes back.
fn add_content(
    transaction: &Transaction<'_>,
    content: &KnownContent,
    segments: &[Segment],
) -> Result<(), ArchiveError> {
    let failed = engine_error("take in a content");
    let mut find = transaction.prepare_cached(FIND_ARTIFACT).map_err(failed)?;
    let sha256 = content.sha256.to_string();
    if let Some(id) = row_id(&mut find, &sha256)? {
        let sql = "SELECT purged_at IS NOT NULL FROM artifact WHERE id = ?1";
        let purged: bool = transaction.query_row(sql, [id], |row| row.get(0)).map_err(failed)?;
        if purged && content.purged_at.is_none() {
            readmit(transaction, id, &content.sha256, segments)?;
        }
        return Ok(());
    }
    let size = i64::try_from(content.size).map_err(|_| damaged("a content longer than 2^63 bytes"))?;
    let id = transaction
        .prepare_cached(
            "INSERT INTO artifact (content_sha256, size_bytes, created_at, purged_at) VALUES (?1, ?2, ?3, ?4)",
        )
        .and_then(|mut statement| {
            let purged_at = content.purged_at.map(|time| time.to_string());
            statement.insert(params![sha256, size, content.created_at.to_string(), purged_at])
        })
        .map_err(failed)?;
    put_segments(transaction, id, &content.sha256, segments)
}

/// Makes an item's row as it is in the other archive.
fn set_item(transaction: &Transaction<'_>, known: &KnownItem) -> Result<(), ArchiveError> {
    let failed = engine_error("take in an item");
    let stored = &known.stored;
    let item = &stored.item;
    let mut find = transaction.prepare_cached(FIND_ITEM).map_err(failed)?;
    let tombstone = item.tombstone.to_string();
    let id = if let Some(id) = row_id(&mut find, &tombstone)? {
        for sql in ["DELETE FROM tag WHERE item_id = ?1", "DELETE FROM referent WHERE item_id = ?1"] {
            transaction.execute(sql, [id]).map_err(failed)?;
        }
        write_labels(transaction, id, item).map_err(failed)?;
        id
    } else {
        let mut artifact = transaction.prepare_cached(FIND_ARTIFACT).map_err(failed)?;
        let artifact = row_id(&mut artifact, &item.sha256.to_string())?;
        let artifact = artifact.ok_or(ArchiveError::MissingArtifact { sha256: item.sha256 })?;
        let row = ItemRow { item, op: stored.op, origin: &stored.origin, purged_at: stored.purged_at };
        write_item(transaction, None, artifact, &row)?
    };
    let metadata = serde_json::to_string(&item.metadata).expect("a map of texts is JSON");
    transaction
        .prepare_cached(
            "UPDATE item SET object_id = ?2, mode = ?3, kind = ?4, language = ?5, mime_type = ?6, reason = ?7,
               metadata = ?8, dirty = ?9, purged_at = ?10, delete_after = ?11, archived_by = ?12, archived_at = ?13,
               op = ?14, origin = ?15, restored_at = ?16, state = ?17
             WHERE id = ?1",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                id,
                item.object.to_string(),
                item.mode.as_str(),
                item.kind.as_str(),
                item.language,
                item.mime,
                item.reason.as_str(),
                metadata,
                item.dirty,
                stored.purged_at.map(|time| time.to_string()),
                item.delete_after.map(|date| date.to_string()),
                item.archived_by,
                item.archived_at.to_string(),
                stored.op.to_string(),
                stored.origin,
                stored.restored_at.map(|time| time.to_string()),
                stored.state.as_str(),
            ])
        })
        .map_err(failed)?;
    transaction.execute("DELETE FROM approval WHERE item_id = ?1", [id]).map_err(failed)?;
    let mut add = transaction
        .prepare_cached(
            "INSERT INTO approval (item_id, purpose, request_id, approver, approved_at, consumed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .map_err(failed)?;
    for approval in &known.approvals {
        let Approval { purpose, request, approver, approved_at, consumed_at } = approval;
        let consumed_at = consumed_at.map(|time| time.to_string());
        add.execute(params![id, purpose.as_str(), request, approver, approved_at.to_string(), consumed_at])
            .map_err(failed)?;
    }
    Ok(())
}

/// Adds a hold, or releases it as it is released in the other archive. Where the event that says so is not there yet, that is
/// for the next round.
fn set_hold(transaction: &Transaction<'_>, known: &KnownHold) -> Result<(), ArchiveError> {
    let failed = engine_error("take in a hold");
    let tombstone = known.hold.tombstone;
    let mut find = transaction.prepare_cached(FIND_ITEM).map_err(failed)?;
    let item = row_id(&mut find, &tombstone.to_string())?.ok_or(ArchiveError::NoSuchItem { tombstone })?;
    let there = select_holds(transaction, "WHERE h.item_id = ?1 ORDER BY h.id", [item])?;
    let Some((number, there)) = there.into_iter().find(|(_, there)| there.hold == known.hold) else {
        return add_hold(transaction, item, known);
    };
    if let (Some((at, by)), None) = (known.released, there.released) {
        transaction
            .execute(
                "UPDATE hold SET released_at = ?2, released_by = ?3
                 WHERE id = ?1 AND EXISTS (SELECT 1 FROM event WHERE digest = ?3)",
                params![i64::try_from(number).unwrap_or(i64::MAX), at.to_string(), by.to_string()],
            )
            .map_err(failed)?;
    }
    Ok(())
}

fn approvals(connection: &Connection, tombstone: &Tombstone) -> Result<Vec<Approval>, ArchiveError> {
    let failed = engine_error("read approvals");
    let mut statement = connection
        .prepare_cached(
            "SELECT a.purpose, a.request_id, a.approver, a.approved_at, a.consumed_at
             FROM approval a JOIN item i ON i.id = a.item_id WHERE i.tombstone_id = ?1 ORDER BY a.id",
        )
        .map_err(failed)?;
    let mut rows = statement.query([tombstone.to_string()]).map_err(failed)?;
    let mut approvals = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        approvals.push(Approval {
            purpose: parsed(row, "purpose")?,
            request: column(row, "request_id")?,
            approver: column(row, "approver")?,
            approved_at: parsed(row, "approved_at")?,
            consumed_at: optional(row, "consumed_at")?,
        });
    }
    Ok(approvals)
}
