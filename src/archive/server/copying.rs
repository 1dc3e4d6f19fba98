//! Copies to and from a server.

use std::collections::{HashMap, HashSet};

use super::bytes::{artifact_ids, find_artifacts, put_blocks, put_segments, readmit};
use super::connection::{Connection, Value, text};
use super::governing::{add_holds, add_purge, holds_of, holds_page, select_purges};
use super::items::{ItemRow, insert_items, rewrite_row, row_ids, select, write_labels};
use super::{ServerArchive, damaged, events, failed, insert_rows, length, parse, placeholders};
use crate::archive::copying::PAGE;
use crate::archive::objects::put_first;
use crate::archive::{
    Approval, ArchiveError, Batch, Copying, Event, KnownContent, KnownHold, KnownItem, KnownPurge, Segment,
};
use crate::id::{Sha256, Tombstone};

/// How an archive stands.
pub(super) struct Standing {
    /// The id of the archive that is to be used instead of this one.
    pub superseded_by: Option<String>,
    /// Whether it keeps bytes in objects.
    pub keeps_objects: bool,
}

/// Says how the archive stands; `locking` ends the statement that asks.
pub(super) fn standing(connection: &mut dyn Connection, locking: &str) -> Result<Standing, ArchiveError> {
    let failed = failed("say how it stands");
    let [superseded_by, driver] = ["superseded_by", "driver"].map(text);
    let sql = format!("SELECT {superseded_by}, {driver} FROM archive WHERE singleton = 1 {locking}");
    let rows = connection.query(&sql, &[]).map_err(failed)?;
    let row = rows.first().ok_or_else(|| damaged("an archive without an id"))?;
    let id = row.optional_text(0).map_err(failed)?;
    let id = id.map(|id| parse::<uuid::Uuid>(&id, "archive.superseded_by")).transpose()?;
    Ok(Standing { superseded_by: id.map(|id| id.to_string()), keeps_objects: row.text(1).map_err(failed)? == "object" })
}

fn set_superseded(connection: &mut dyn Connection, by: Option<&str>) -> Result<(), ArchiveError> {
    let by = Value::from(by.map(str::to_owned));
    let changed = connection.execute("UPDATE archive SET superseded_by = ? WHERE singleton = 1", &[by]);
    changed.map(|_| ()).map_err(failed("mark the archive"))
}

fn number(number: u64) -> Value<'static> {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

impl Copying for ServerArchive {
    fn superseded_by(&mut self) -> Result<Option<String>, ArchiveError> {
        self.ask(|connection| standing(connection, "")).map(|standing| standing.superseded_by)
    }

    fn contents_page(&mut self, after: u64) -> Result<Vec<KnownContent>, ArchiveError> {
        let failed = failed("list contents");
        let sql = format!(
            "SELECT id, {}, size_bytes, {}, {} FROM artifact WHERE id > ? ORDER BY id LIMIT {PAGE}",
            text("content_sha256"),
            text("created_at"),
            text("purged_at")
        );
        let rows = self.ask(|connection| connection.query(&sql, &[number(after)]).map_err(failed))?;
        let contents = rows.iter().map(|row| {
            let purged_at = row.optional_text(4).map_err(failed)?;
            Ok(KnownContent {
                number: length(row.integer(0).map_err(failed)?, "artifact.id")?,
                sha256: parse(&row.text(1).map_err(failed)?, "artifact.content_sha256")?,
                size: length(row.integer(2).map_err(failed)?, "artifact.size_bytes")?,
                created_at: parse(&row.text(3).map_err(failed)?, "artifact.created_at")?,
                purged_at: purged_at.map(|time| parse(&time, "artifact.purged_at")).transpose()?,
            })
        });
        contents.collect()
    }

    fn items_page(&mut self, after: Option<&Tombstone>) -> Result<Vec<KnownItem>, ArchiveError> {
        let after = after.map(ToString::to_string).unwrap_or_default();
        let tail = format!("WHERE i.tombstone_id > ? ORDER BY i.tombstone_id LIMIT {PAGE}");
        self.read(|connection| {
            let items = select(connection, &tail, &[after.as_str().into()])?;
            let mut approvals = approvals(connection, items.iter().map(|(id, _)| *id))?;
            let known = items.into_iter().map(|(id, stored)| {
                let approvals = approvals.remove(&id).unwrap_or_default();
                KnownItem { stored, approvals }
            });
            Ok(known.collect())
        })
    }

    fn events_page(&mut self, after: u64) -> Result<Vec<(u64, Event)>, ArchiveError> {
        let failed = failed("read events");
        let [digest, tombstone, line] = ["digest", "tombstone_id", "line"].map(text);
        let sql = format!("SELECT id, {digest}, {tombstone}, {line} FROM event WHERE id > ? ORDER BY id LIMIT {PAGE}");
        let rows = self.ask(|connection| connection.query(&sql, &[number(after)]).map_err(failed))?;
        let events = rows.iter().map(|row| {
            let id = row.integer(0).map_err(failed)?;
            let (digest, line) = (row.text(1).map_err(failed)?, row.text(3).map_err(failed)?);
            let tombstone = row.optional_text(2).map_err(failed)?;
            Ok((length(id, "event.id")?, Event::checked(id, &line, &digest, tombstone.as_deref())?))
        });
        events.collect()
    }

    fn holds_page(&mut self, after: u64) -> Result<Vec<(u64, KnownHold)>, ArchiveError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let page = self.ask(|connection| holds_page(connection, "1 = 1", after, &[]))?;
        page.into_iter().map(|(number, known)| Ok((length(number, "hold.id")?, known))).collect()
    }

    fn purges_page(&mut self, after: u64) -> Result<Vec<(u64, KnownPurge)>, ArchiveError> {
        let tail = format!("WHERE p.id > ? ORDER BY p.id LIMIT {PAGE}");
        let page = self.ask(|connection| select_purges(connection, &tail, &[number(after)]))?;
        page.into_iter().map(|(number, known)| Ok((length(number, "purge.id")?, known))).collect()
    }

    fn newest_event(&mut self) -> Result<u64, ArchiveError> {
        let failed = failed("look for the newest event");
        let rows = self
            .ask(|connection| connection.query("SELECT id FROM event ORDER BY id DESC LIMIT 1", &[]).map_err(failed))?;
        rows.first().map_or(Ok(0), |row| length(row.integer(0).map_err(failed)?, "event.id"))
    }

    fn begin_copy(&mut self, of: &str) -> Result<(), ArchiveError> {
        let action = "become a copy";
        self.lock(action, |connection, Standing { superseded_by: mark, .. }| {
            if mark.as_deref() == Some(of) {
                return Ok(());
            }
            let mut occupied = mark.is_some();
            for table in ["artifact", "event", "block"] {
                let sql = format!("SELECT id FROM {table} LIMIT 1");
                occupied |= !connection.query(&sql, &[]).map_err(failed(action))?.is_empty();
            }
            if occupied {
                return Err(ArchiveError::NotACopy { of: of.to_owned() });
            }
            set_superseded(connection, Some(of))
        })
    }

    fn take_in(&mut self, of: &str, batch: &Batch) -> Result<(), ArchiveError> {
        let store = self.blocks.clone();
        let blocks = put_first(self, &store, &batch.blocks)?;
        self.lock("take in what is copied", |connection, standing| {
            if standing.superseded_by.as_deref() != Some(of) {
                return Err(ArchiveError::NotACopy { of: of.to_owned() });
            }
            blocks.check(standing.keeps_objects)?;
            put_blocks(connection, &blocks)?;
            add_contents(connection, &batch.contents)?;
            set_items(connection, &batch.items)?;
            events::insert(connection, &batch.events)?;
            set_holds(connection, &batch.holds)?;
            for purge in &batch.purges {
                if select_purges(connection, "WHERE p.op = ?", &[purge.purge.op.to_string().into()])?.is_empty() {
                    add_purge(connection, purge)?;
                }
            }
            Ok(())
        })
    }

    fn complete_copy(&mut self, of: &str, events: &[Event]) -> Result<(), ArchiveError> {
        self.lock("complete the copy", |connection, Standing { superseded_by: mark, .. }| {
            if mark.as_deref() == Some(of) {
                events::insert(connection, events)?;
                return set_superseded(connection, None);
            }
            let digests: Vec<Sha256> = events.iter().map(|event| event.digest).collect();
            let known = events::find(connection, &digests)?;
            if mark.is_none() && digests.iter().all(|digest| known.contains(digest)) {
                Ok(())
            } else {
                Err(ArchiveError::NotACopy { of: of.to_owned() })
            }
        })
    }

    fn supersede(&mut self, by: &str, last_look: &mut dyn FnMut() -> Option<Event>) -> Result<(), ArchiveError> {
        let action = "give way to its copy";
        self.lock(action, |connection, Standing { superseded_by: mark, .. }| {
            match mark {
                Some(known) if known == by => return Ok(()),
                Some(by) => return Err(ArchiveError::Superseded { by }),
                None => {}
            }
            // The last look compares whole archives while this session says nothing.
            connection.run(connection.dialect().wait_long).map_err(failed(action))?;
            let Some(event) = last_look() else { return Ok(()) };
            events::insert(connection, &[event])?;
            set_superseded(connection, Some(by))
        })
    }
}

/// Adds holds, or releases them as they are released in the other archive. Where the event that says so is not there yet, that
/// is for the next round.
fn set_holds(connection: &mut dyn Connection, holds: &[KnownHold]) -> Result<(), ArchiveError> {
    let items = row_ids(connection, holds.iter().map(|known| &known.hold.tombstone))?;
    let there = holds_of(connection, &items.values().copied().collect::<Vec<_>>())?;
    let mut new = Vec::new();
    for known in holds {
        let tombstone = known.hold.tombstone;
        let item = *items.get(&tombstone).ok_or(ArchiveError::NoSuchItem { tombstone })?;
        let there = there.get(&tombstone).and_then(|there| there.iter().find(|(_, there)| there.hold == known.hold));
        match (there, known.released) {
            (None, _) => new.push((item, known)),
            (Some((number, KnownHold { released: None, .. })), Some((at, by))) => {
                let sql = "UPDATE hold SET released_at = ?, released_by = ?
                  WHERE id = ? AND EXISTS (SELECT 1 FROM event WHERE digest = ?)";
                let by = by.to_string();
                let values = [at.to_string().into(), by.as_str().into(), (*number).into(), by.as_str().into()];
                connection.execute(sql, &values).map_err(failed("take in a hold"))?;
            }
            (Some(_), _) => {}
        }
    }
    add_holds(connection, &new)
}

/// Adds those contents that are not there. Those that were purged there, and are not here, come back.
fn add_contents(
    connection: &mut dyn Connection,
    contents: &[(KnownContent, Vec<Segment>)],
) -> Result<(), ArchiveError> {
    let digests: Vec<Sha256> = contents.iter().map(|(content, _)| content.sha256).collect();
    let there = find_artifacts(connection, &digests)?;
    let back = contents.iter().filter(|(content, _)| {
        content.purged_at.is_none() && there.get(&content.sha256).is_some_and(|info| info.purged_at.is_some())
    });
    let back: Vec<_> = back.map(|(content, segments)| (content.sha256, &segments[..])).collect();
    readmit(connection, &back)?;
    let mut known: HashSet<Sha256> = there.into_keys().collect();
    let fresh: Vec<_> = contents.iter().filter(|(content, _)| known.insert(content.sha256)).collect();
    let rows = fresh.iter().map(|(content, _)| {
        let size = i64::try_from(content.size).map_err(|_| damaged("a content longer than 2^63 bytes"))?;
        Ok([
            content.sha256.to_string().into(),
            size.into(),
            content.created_at.to_string().into(),
            content.purged_at.map(|time| time.to_string()).into(),
        ])
    });
    let rows = rows.collect::<Result<Vec<[Value<'_>; 4]>, ArchiveError>>()?;
    let sql = "INSERT INTO artifact (content_sha256, size_bytes, created_at, purged_at) VALUES …";
    insert_rows(connection, sql, rows).map_err(failed("take in contents"))?;
    let segments: Vec<_> = fresh.iter().map(|(content, segments)| (content.sha256, &segments[..])).collect();
    put_segments(connection, &segments)
}

/// Makes the items' rows as they are in the other archive.
fn set_items(connection: &mut dyn Connection, items: &[KnownItem]) -> Result<(), ArchiveError> {
    let artifacts = artifact_ids(connection, items.iter().map(|known| &known.stored.item.sha256))?;
    let there = row_ids(connection, items.iter().map(|known| &known.stored.item.tombstone))?;
    let (old, new): (Vec<_>, Vec<_>) = items.iter().partition(|known| there.contains_key(&known.stored.item.tombstone));
    let mut rows = Vec::with_capacity(new.len());
    for KnownItem { stored, .. } in new {
        let item = &stored.item;
        if !artifacts.contains_key(&item.sha256) {
            return Err(ArchiveError::MissingArtifact { sha256: item.sha256 });
        }
        rows.push(ItemRow::from(stored));
    }
    insert_items(connection, &rows, &artifacts)?;
    for known in old {
        update_item(connection, there[&known.stored.item.tombstone], known)?;
    }
    let ids = row_ids(connection, items.iter().map(|known| &known.stored.item.tombstone))?;
    let mut labelled = Vec::with_capacity(items.len());
    let mut approvals: Vec<[Value<'_>; 6]> = Vec::new();
    for KnownItem { stored, approvals: known } in items {
        let tombstone = stored.item.tombstone;
        let id = *ids.get(&tombstone).ok_or(ArchiveError::NoSuchItem { tombstone })?;
        labelled.push((id, &stored.item));
        approvals.extend(known.iter().map(|approval| {
            let Approval { purpose, request, approver, approved_at, consumed_at } = approval;
            [
                id.into(),
                purpose.as_str().into(),
                request.into(),
                approver.as_str().into(),
                approved_at.to_string().into(),
                consumed_at.map(|time| time.to_string()).into(),
            ]
        }));
    }
    write_labels(connection, &labelled)?;
    let sql = "INSERT INTO approval (item_id, purpose, request_id, approver, approved_at, consumed_at) VALUES …";
    insert_rows(connection, sql, approvals).map_err(failed("take in approvals"))
}

/// Makes row `id` as it is in the other archive, without labels and approvals.
fn update_item(connection: &mut dyn Connection, id: i64, known: &KnownItem) -> Result<(), ArchiveError> {
    let row = ItemRow::from(&known.stored);
    rewrite_row(connection, id, &row, &["tag", "referent", "approval"]).map_err(failed("take in an item"))
}

/// Returns the approvals of the items in rows `items`, those of each in the order in which they came.
fn approvals(
    connection: &mut dyn Connection,
    items: impl Iterator<Item = i64>,
) -> Result<HashMap<i64, Vec<Approval>>, ArchiveError> {
    let failed = failed("read approvals");
    let items: Vec<Value<'_>> = items.map(Value::Integer).collect();
    let mut found: HashMap<i64, Vec<Approval>> = HashMap::new();
    if items.is_empty() {
        return Ok(found);
    }
    let sql = format!(
        "SELECT item_id, {} FROM approval WHERE item_id IN ({}) ORDER BY id",
        ["purpose", "request_id", "approver", "approved_at", "consumed_at"].map(text).join(", "),
        placeholders(items.len())
    );
    for row in connection.query(&sql, &items).map_err(failed)? {
        let consumed_at = row.optional_text(5).map_err(failed)?;
        found.entry(row.integer(0).map_err(failed)?).or_default().push(Approval {
            purpose: parse(&row.text(1).map_err(failed)?, "approval.purpose")?,
            request: row.optional_text(2).map_err(failed)?,
            approver: row.text(3).map_err(failed)?,
            approved_at: parse(&row.text(4).map_err(failed)?, "approval.approved_at")?,
            consumed_at: consumed_at.map(|time| parse(&time, "approval.consumed_at")).transpose()?,
        });
    }
    Ok(found)
}
