//! Holds, approvals and purges on a server.

use std::collections::HashMap;

use super::bytes::artifact_ids;
use super::connection::{Connection, Row, Value, text};
use super::items::{by_tombstone, row_ids, select};
use super::{ServerArchive, events, failed, in_groups, insert_rows, length, parse};
use crate::archive::copying::PAGE;
use crate::archive::governing::{governance_actions, releases};
use crate::archive::{
    Approval, ArchiveError, ContentFacts, Destroyed, Event, Governing, Hold, KnownHold, KnownPurge, Purge, StoredItem,
};
use crate::clock::Timestamp;
use crate::fault;
use crate::id::{OperationId, Sha256, Tombstone};

/// Returns the holds that `conditions` select (over hold `h` and item `i`), each with its number, in the order in which they
/// were set, from after number `after`: a page of them.
pub(super) fn holds_page(
    connection: &mut dyn Connection,
    conditions: &str,
    after: i64,
    values: &[Value<'_>],
) -> Result<Vec<(i64, KnownHold)>, ArchiveError> {
    let failed = failed("read holds");
    let columns =
        ["i.tombstone_id", "h.op", "h.name", "h.set_by", "h.reason", "h.set_at", "h.released_at", "h.released_by"];
    let sql = format!(
        "SELECT h.id, {} FROM hold h JOIN item i ON i.id = h.item_id WHERE {conditions} AND h.id > {after}
         ORDER BY h.id LIMIT {PAGE}",
        columns.map(text).join(", ")
    );
    let rows = connection.query(&sql, values).map_err(failed)?;
    rows.iter().map(|row| Ok((row.integer(0).map_err(failed)?, read_hold(row)?))).collect()
}

fn read_hold(row: &Row) -> Result<KnownHold, ArchiveError> {
    let failed = failed("read holds");
    let optional = |column| row.optional_text(column).map_err(failed);
    let hold = Hold {
        tombstone: parse(&row.text(1).map_err(failed)?, "item.tombstone_id")?,
        id: optional(2)?.map(|op| parse(&op, "hold.op")).transpose()?,
        name: optional(3)?,
        set_by: optional(4)?,
        reason: optional(5)?,
        set_at: parse(&row.text(6).map_err(failed)?, "hold.set_at")?,
    };
    let released_at = optional(7)?.map(|time| parse::<Timestamp>(&time, "hold.released_at")).transpose()?;
    let released_by = optional(8)?.map(|digest| parse::<Sha256>(&digest, "hold.released_by")).transpose()?;
    Ok(KnownHold { hold, released: released_at.zip(released_by) })
}

/// Returns all the holds that `conditions` select, in the order in which they were set.
fn all_holds(
    connection: &mut dyn Connection,
    conditions: &str,
    values: &[Value<'_>],
) -> Result<Vec<Hold>, ArchiveError> {
    let (mut holds, mut last) = (Vec::new(), 0);
    loop {
        let page = holds_page(connection, conditions, last, values)?;
        let Some((end, _)) = page.last() else { return Ok(holds) };
        last = *end;
        holds.extend(page.into_iter().map(|(_, known)| known.hold));
    }
}

/// Returns the purges that `tail` selects (a `WHERE` clause over purge `p` and artifact `a`, an order and a limit), each with
/// its number.
pub(super) fn select_purges(
    connection: &mut dyn Connection,
    tail: &str,
    values: &[Value<'_>],
) -> Result<Vec<(i64, KnownPurge)>, ArchiveError> {
    let failed = failed("read purges");
    let columns = [
        "p.op",
        "p.origin",
        "p.tombstone_id",
        "a.content_sha256",
        "p.request_id",
        "p.purged_by",
        "p.second",
        "p.reason",
        "p.begun_at",
        "p.destroyed_at",
    ];
    let sql = format!(
        "SELECT p.id, {} FROM purged p JOIN artifact a ON a.id = p.artifact_id {tail}",
        columns.map(text).join(", ")
    );
    let rows = connection.query(&sql, values).map_err(failed)?;
    let purges = rows.iter().map(|row| {
        let text = |column| row.text(column).map_err(failed);
        let purge = Purge {
            op: parse(&text(1)?, "purge.op")?,
            origin: text(2)?,
            tombstone: parse(&text(3)?, "purge.tombstone_id")?,
            sha256: parse(&text(4)?, "artifact.content_sha256")?,
            request: text(5)?,
            by: text(6)?,
            second: text(7)?,
            reason: text(8)?,
            begun_at: parse(&text(9)?, "purge.begun_at")?,
        };
        let destroyed_at = row.optional_text(10).map_err(failed)?;
        let destroyed_at = destroyed_at.map(|time| parse(&time, "purge.destroyed_at")).transpose()?;
        Ok((row.integer(0).map_err(failed)?, KnownPurge { purge, destroyed_at }))
    });
    purges.collect()
}

/// Returns a page of the events about governance that `from` selects, after number `after`.
fn events_page(
    connection: &mut dyn Connection,
    from: &str,
    after: i64,
    values: &[Value<'_>],
) -> Result<Vec<(i64, Event)>, ArchiveError> {
    let failed = failed("read events");
    let sql = format!(
        "SELECT e.id, {} FROM {from} AND e.action IN ({}) AND e.id > {after} ORDER BY e.id LIMIT {PAGE}",
        ["e.digest", "e.tombstone_id", "e.line"].map(text).join(", "),
        governance_actions()
    );
    let rows = connection.query(&sql, values).map_err(failed)?;
    let events = rows.iter().map(|row| {
        let id = row.integer(0).map_err(failed)?;
        let (digest, line) = (row.text(1).map_err(failed)?, row.text(3).map_err(failed)?);
        let tombstone = row.optional_text(2).map_err(failed)?;
        Ok((id, Event::checked(id, &line, &digest, tombstone.as_deref())?))
    });
    events.collect()
}

/// Returns what is known of a content; the caller sees to it that all of it is as of one moment.
fn facts(connection: &mut dyn Connection, sha256: &Sha256) -> Result<Option<ContentFacts>, ArchiveError> {
    let Some(artifact) = artifact_ids(connection, [sha256])?.remove(sha256) else { return Ok(None) };
    let mut items: Vec<StoredItem> = Vec::new();
    loop {
        let tail = format!(
            "WHERE i.artifact_id = ? AND i.state <> 'undone' AND i.tombstone_id > ? ORDER BY i.tombstone_id LIMIT {PAGE}"
        );
        let after = items.last().map(|stored| stored.item.tombstone.to_string()).unwrap_or_default();
        let page = select(connection, &tail, &[artifact.into(), after.into()])?;
        if page.is_empty() {
            break;
        }
        items.extend(page.into_iter().map(|(_, stored)| stored));
    }
    if items.is_empty() {
        return Ok(None);
    }
    let conditions = "i.artifact_id = ? AND i.state <> 'undone' AND h.released_at IS NULL";
    let holds = all_holds(connection, conditions, &[artifact.into()])?;
    let from = "item i JOIN event e ON e.tombstone_id = i.tombstone_id WHERE i.artifact_id = ? AND i.state <> 'undone'";
    let (mut events, mut last) = (Vec::new(), 0);
    loop {
        let page = events_page(connection, from, last, &[artifact.into()])?;
        let Some((end, _)) = page.last() else { break };
        last = *end;
        events.extend(page.into_iter().map(|(_, event)| event));
    }
    let (mut purges, mut last) = (Vec::new(), 0);
    loop {
        let tail = format!("WHERE p.artifact_id = ? AND p.id > {last} ORDER BY p.id LIMIT {PAGE}");
        let page = select_purges(connection, &tail, &[artifact.into()])?;
        let Some((end, _)) = page.last() else { break };
        last = *end;
        purges.extend(page.into_iter().map(|(_, known)| known.purge));
    }
    Ok(Some(ContentFacts { sha256: *sha256, items, holds, events, purges }))
}

/// What is known of an item before something is done to it.
struct Standing {
    id: i64,
    sha256: Sha256,
    purged_at: Option<Timestamp>,
}

/// Returns the rows of items, none of which may be undone.
fn standing<'t>(
    connection: &mut dyn Connection,
    tombstones: impl Iterator<Item = &'t Tombstone> + Clone,
) -> Result<HashMap<Tombstone, Standing>, ArchiveError> {
    let failed = failed("look for items");
    let sql = format!(
        "SELECT i.tombstone_id, i.id, {}, {} FROM item i JOIN artifact a ON a.id = i.artifact_id
         WHERE i.state <> 'undone' AND i.tombstone_id IN (…)",
        text("a.content_sha256"),
        text("COALESCE(a.purged_at, i.purged_at)")
    );
    let mut found = HashMap::new();
    in_groups(tombstones.clone().map(|tombstone| tombstone.to_string().into()), &sql, |sql, values| {
        for row in connection.query(sql, values).map_err(failed)? {
            let purged_at = row.optional_text(3).map_err(failed)?;
            let standing = Standing {
                id: row.integer(1).map_err(failed)?,
                sha256: parse(&row.text(2).map_err(failed)?, "artifact.content_sha256")?,
                purged_at: purged_at.map(|time| parse(&time, "item.purged_at")).transpose()?,
            };
            found.insert(parse(&row.text(0).map_err(failed)?, "item.tombstone_id")?, standing);
        }
        Ok(())
    })?;
    match tombstones.into_iter().find(|tombstone| !found.contains_key(*tombstone)) {
        Some(tombstone) => Err(ArchiveError::NoSuchItem { tombstone: *tombstone }),
        None => Ok(found),
    }
}

/// Returns the holds of the items in rows `ids`, each item's in the order in which they were set, with their numbers.
pub(super) fn holds_of(
    connection: &mut dyn Connection,
    ids: &[i64],
) -> Result<HashMap<Tombstone, Vec<(i64, KnownHold)>>, ArchiveError> {
    let mut found: HashMap<Tombstone, Vec<(i64, KnownHold)>> = HashMap::new();
    for group in ids.chunks(PAGE) {
        let ids: Vec<String> = group.iter().map(ToString::to_string).collect();
        let conditions = format!("h.item_id IN ({})", ids.join(", "));
        let mut last = 0;
        loop {
            let page = holds_page(connection, &conditions, last, &[])?;
            let Some((end, _)) = page.last() else { break };
            last = *end;
            for (number, known) in page {
                found.entry(known.hold.tombstone).or_default().push((number, known));
            }
        }
    }
    Ok(found)
}

/// Adds holds as they are, to items in these rows.
pub(super) fn add_holds(connection: &mut dyn Connection, holds: &[(i64, &KnownHold)]) -> Result<(), ArchiveError> {
    let rows = holds.iter().map(|(item, known)| -> [Value<'_>; 8] {
        let Hold { id, name, set_by, reason, set_at, .. } = &known.hold;
        let (released_at, released_by) = known.released.unzip();
        [
            (*item).into(),
            id.map(|id| id.to_string()).into(),
            name.into(),
            set_by.into(),
            reason.into(),
            set_at.to_string().into(),
            released_at.map(|time| time.to_string()).into(),
            released_by.map(|digest| digest.to_string()).into(),
        ]
    });
    let sql = "INSERT INTO hold (item_id, op, name, set_by, reason, set_at, released_at, released_by) VALUES …";
    insert_rows(connection, sql, rows).map_err(failed("hold items"))
}

/// Adds a purge as it is. With one that has not ended its content and the content's items are purged.
pub(super) fn add_purge(connection: &mut dyn Connection, known: &KnownPurge) -> Result<(), ArchiveError> {
    let purge = &known.purge;
    let artifact = artifact_ids(connection, [&purge.sha256])?.remove(&purge.sha256);
    let artifact = artifact.ok_or(ArchiveError::MissingArtifact { sha256: purge.sha256 })?;
    let values: [Value<'_>; 10] = [
        artifact.into(),
        purge.op.to_string().into(),
        purge.origin.as_str().into(),
        purge.tombstone.to_string().into(),
        purge.request.as_str().into(),
        purge.by.as_str().into(),
        purge.second.as_str().into(),
        purge.reason.as_str().into(),
        purge.begun_at.to_string().into(),
        known.destroyed_at.map(|time| time.to_string()).into(),
    ];
    let sql =
        "INSERT INTO purged (artifact_id, op, origin, tombstone_id, request_id, purged_by, second, reason, begun_at,
      destroyed_at) VALUES …";
    insert_rows(connection, sql, [values]).map_err(failed("note the purge"))
}

fn set_holds(connection: &mut dyn Connection, holds: &[Hold]) -> Result<(), ArchiveError> {
    let items = standing(connection, holds.iter().map(|hold| &hold.tombstone))?;
    let ids: Vec<i64> = items.values().map(|item| item.id).collect();
    let mut there = holds_of(connection, &ids)?;
    for hold in holds {
        let Standing { id, sha256, purged_at } = items[&hold.tombstone];
        let known = there.entry(hold.tombstone).or_default();
        if known.iter().any(|(_, known)| known.hold.id == hold.id && (hold.id.is_some() || known.released.is_none())) {
            continue;
        }
        if let Some(purged_at) = purged_at {
            return Err(ArchiveError::Purged { sha256, purged_at });
        }
        let new = KnownHold { hold: hold.clone(), released: None };
        add_holds(connection, &[(id, &new)])?;
        known.push((0, new));
    }
    Ok(())
}

fn release_holds(connection: &mut dyn Connection, events: &[Event]) -> Result<(), ArchiveError> {
    events::insert(connection, events)?;
    let items = row_ids(connection, releases(events).map(|release| release.tombstone).collect::<Vec<_>>().iter())?;
    for release in releases(events) {
        let Some(item) = items.get(&release.tombstone) else { continue };
        let [at, by] = [release.event.created_at.to_string(), release.event.digest.to_string()];
        let mut values: Vec<Value<'_>> = vec![at.into(), by.into(), (*item).into()];
        let which = match release.hold {
            Some(op) => {
                values.push(op.into());
                "op = ?"
            }
            None => "op IS NULL",
        };
        let sql = format!(
            "UPDATE hold SET released_at = ?, released_by = ? WHERE item_id = ? AND released_at IS NULL AND {which}"
        );
        connection.execute(&sql, &values).map_err(failed("release holds"))?;
    }
    Ok(())
}

fn approve(
    connection: &mut dyn Connection,
    approvals: &[(Tombstone, Approval)],
    events: &[Event],
) -> Result<(), ArchiveError> {
    let failed = failed("note approvals");
    events::insert(connection, events)?;
    let items = standing(connection, approvals.iter().map(|(tombstone, _)| tombstone))?;
    for (tombstone, approval) in approvals {
        let id = items[tombstone].id;
        let Approval { purpose, request, approver, approved_at, consumed_at } = approval;
        let mut known: Vec<Value<'_>> = vec![id.into(), purpose.as_str().into(), approver.as_str().into()];
        let of_request = match request {
            Some(request) => {
                known.push(request.as_str().into());
                "request_id = ?"
            }
            None => "request_id IS NULL",
        };
        let sql = format!(
            "SELECT id FROM approval WHERE item_id = ? AND purpose = ? AND approver = ? AND consumed_at IS NULL
               AND {of_request} LIMIT 1"
        );
        if !connection.query(&sql, &known).map_err(failed)?.is_empty() {
            continue;
        }
        let row: [Value<'_>; 6] = [
            id.into(),
            purpose.as_str().into(),
            request.into(),
            approver.as_str().into(),
            approved_at.to_string().into(),
            consumed_at.map(|time| time.to_string()).into(),
        ];
        let sql = "INSERT INTO approval (item_id, purpose, request_id, approver, approved_at, consumed_at) VALUES …";
        insert_rows(connection, sql, [row]).map_err(failed)?;
    }
    Ok(())
}

fn begin_purge(
    connection: &mut dyn Connection,
    purge: &Purge,
    judge: &mut dyn FnMut(&ContentFacts) -> bool,
) -> Result<bool, ArchiveError> {
    if purge_by(connection, purge.op)?.is_some() {
        return Ok(true);
    }
    let item = standing(connection, std::iter::once(&purge.tombstone))?.remove(&purge.tombstone);
    let missing = ArchiveError::NoSuchItem { tombstone: purge.tombstone };
    let Standing { sha256, purged_at, .. } = item.filter(|item| item.sha256 == purge.sha256).ok_or(missing)?;
    if let Some(purged_at) = purged_at {
        return Err(ArchiveError::Purged { sha256, purged_at });
    }
    let facts = facts(connection, &sha256)?.ok_or(ArchiveError::MissingArtifact { sha256 })?;
    if !judge(&facts) {
        return Ok(false);
    }
    // Whatever the records say: the row may be all that another clone's purge has left so far.
    if !select_purges(connection, "WHERE p.request_id = ?", &[purge.request.as_str().into()])?.is_empty() {
        return Err(ArchiveError::RequestUsed { request: purge.request.clone() });
    }
    add_purge(connection, &KnownPurge { purge: purge.clone(), destroyed_at: None })?;
    let sql = "UPDATE approval SET consumed_at = ? WHERE request_id = ? AND purpose = 'purge' AND consumed_at IS NULL";
    let values = [purge.begun_at.to_string().into(), purge.request.as_str().into()];
    connection.execute(sql, &values).map_err(failed("begin the purge"))?;
    Ok(true)
}

fn purge_by(connection: &mut dyn Connection, op: OperationId) -> Result<Option<KnownPurge>, ArchiveError> {
    Ok(select_purges(connection, "WHERE p.op = ?", &[op.to_string().into()])?.pop().map(|(_, known)| known))
}

fn end_purge(connection: &mut dyn Connection, op: OperationId, events: &[Event]) -> Result<(), ArchiveError> {
    if purge_by(connection, op)?.is_none() {
        return Err(ArchiveError::NoSuchPurge { op });
    }
    events::insert(connection, events)?;
    let sql = "UPDATE purged SET destroyed_at = ? WHERE op = ? AND destroyed_at IS NULL";
    let values = [Timestamp::now().to_string().into(), op.to_string().into()];
    connection.execute(sql, &values).map(|_| ()).map_err(failed("end the purge"))
}

const NEWEST_PURGE: &str = "WHERE a.content_sha256 = ? ORDER BY p.id DESC LIMIT 1";

impl Governing for ServerArchive {
    fn content_facts(&mut self, sha256: &Sha256) -> Result<Option<ContentFacts>, ArchiveError> {
        self.read(|connection| facts(connection, sha256))
    }

    fn set_holds(&mut self, holds: &[Hold]) -> Result<(), ArchiveError> {
        self.write("hold items", |connection| set_holds(connection, holds))
    }

    fn release_holds(&mut self, events: &[Event]) -> Result<(), ArchiveError> {
        self.write("release holds", |connection| release_holds(connection, events))
    }

    fn holds(&mut self) -> Result<Vec<(Hold, StoredItem)>, ArchiveError> {
        self.read(|connection| {
            let holds = all_holds(connection, "h.released_at IS NULL AND i.state <> 'undone'", &[])?;
            let mut found = Vec::with_capacity(holds.len());
            for group in holds.chunks(PAGE) {
                let tombstones: Vec<Tombstone> = group.iter().map(|hold| hold.tombstone).collect();
                let items = by_tombstone(connection, &tombstones)?;
                for hold in group {
                    let item = items.get(&hold.tombstone).cloned();
                    let item = item.ok_or(ArchiveError::NoSuchItem { tombstone: hold.tombstone })?;
                    found.push((hold.clone(), item));
                }
            }
            Ok(found)
        })
    }

    fn approve(&mut self, approvals: &[(Tombstone, Approval)], events: &[Event]) -> Result<(), ArchiveError> {
        self.write("note approvals", |connection| approve(connection, approvals, events))
    }

    fn begin_purge(
        &mut self,
        purge: &Purge,
        judge: &mut dyn FnMut(&ContentFacts) -> bool,
    ) -> Result<bool, ArchiveError> {
        let begun = self.write("begin the purge", |connection| begin_purge(connection, purge, judge))?;
        if begun {
            fault::point("purge-begun");
        }
        Ok(begun)
    }

    fn destroy(&mut self, sha256: &Sha256) -> Result<Destroyed, ArchiveError> {
        super::destroying::destroy(self, sha256)
    }

    fn end_purge(&mut self, op: OperationId, events: &[Event]) -> Result<(), ArchiveError> {
        self.write("end the purge", |connection| end_purge(connection, op, events))
    }

    fn purge_by(&mut self, op: OperationId) -> Result<Option<KnownPurge>, ArchiveError> {
        self.ask(|connection| purge_by(connection, op))
    }

    fn purge_of(&mut self, sha256: &Sha256) -> Result<Option<Purge>, ArchiveError> {
        let newest =
            self.ask(|connection| select_purges(connection, NEWEST_PURGE, &[sha256.to_string().into()]))?.pop();
        Ok(newest.map(|(_, known)| known.purge))
    }

    fn unfinished_purges(&mut self) -> Result<Vec<Purge>, ArchiveError> {
        let (mut purges, mut last) = (Vec::new(), 0);
        loop {
            let tail = format!("WHERE p.destroyed_at IS NULL AND p.id > {last} ORDER BY p.id LIMIT {PAGE}");
            let page = self.ask(|connection| select_purges(connection, &tail, &[]))?;
            let Some((end, _)) = page.last() else { return Ok(purges) };
            last = *end;
            purges.extend(page.into_iter().map(|(_, known)| known.purge));
        }
    }

    fn governance_page(&mut self, after: u64) -> Result<Vec<(u64, Event)>, ArchiveError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let page = self.ask(|connection| events_page(connection, "event e WHERE 1 = 1", after, &[]))?;
        page.into_iter().map(|(number, event)| Ok((length(number, "event.id")?, event))).collect()
    }
}
