//! What a client without schema privileges cannot do to events, to items, and to what is held.

use std::ops::ControlFlow;

use super::governing::{archived_together, purge};
use super::{Client, Database, Memory, event, item, noise, read, store, time};
use crate::archive::{
    Archive, ArchiveError, Block, Codec, Event, Query, ReadError, StoreContentsError, StoreContentsOptions,
    store_contents,
};
use crate::evidence::record::{Action, Record, Status};
use crate::id::{OperationId, Sha256};
use crate::item::{Backend, Item};

/// Statements, by the reason for which each is refused. The rows are those of [`with_held_item`]: the free item's content
/// was stored first, so artifact and block 1 are free and 2 held; item 1 is held and item 2 free.
type Attempts = &'static [(&'static str, &'static [&'static str])];

const EVENTS: &str = "events are append-only";
const BLOCK_IN_USE: &str = "the block is in use";
const BLOCKS: &str = "blocks never change";
const SEGMENTS: &str = "segments never change";
const MOVES: &str = "a content moves only to where its bytes are seen";
const COMPLETE: &str = "the content is complete";
const HELD_CONTENT: &str = "the content is under a legal hold";
const CONTENT_IN_USE: &str = "the content is in use";
const ARTIFACTS: &str = "artifacts never change";
const HELD_ITEM: &str = "the item is under a legal hold";
const HOLDS: &str = "holds never change";
const HOLDS_STAY: &str = "holds are never deleted";
const PURGES: &str = "purges never change";
const PURGED_WITH_CONTENT: &str = "an item is purged with its content";
const SEALED: &str = "a sealed item stays sealed";
const TOMBSTONE: &str = "what a tombstone stands for never changes";
const ITEMS: &str = "items are never deleted";

const EVERYWHERE: Attempts = &[
    (
        EVENTS,
        &[
            "UPDATE event SET line = 'x' WHERE id = 1",
            "UPDATE event SET item_id = NULL, tombstone_id = NULL",
            "DELETE FROM event",
            "DELETE FROM event WHERE id = (SELECT MAX(id) FROM event)",
        ],
    ),
    (BLOCK_IN_USE, &["DELETE FROM block WHERE id = 2", "DELETE FROM block"]),
    (
        BLOCKS,
        &[
            "UPDATE block SET codec = 'zstd', raw_size = raw_size + 1 WHERE id = 2",
            "UPDATE block SET bytes = (SELECT path_bytes FROM item WHERE id = 1), stored_size = 4 WHERE id = 2",
            "UPDATE block SET raw_sha256 = stored_sha256",
        ],
    ),
    (
        SEGMENTS,
        &[
            "UPDATE segment SET length = 1 WHERE artifact_id = 2",
            "UPDATE segment SET artifact_id = 1, position = 7 WHERE artifact_id = 2",
            "UPDATE segment SET artifact_id = 2, position = 7 WHERE artifact_id = 1",
            "UPDATE segment SET position = 1 WHERE artifact_id = 2",
            "INSERT INTO segment VALUES (2, 1, 1, 0, 5000)",
        ],
    ),
    (
        COMPLETE,
        &[
            "INSERT INTO segment VALUES (1, 1, 2, 0, 5000)",
            "INSERT INTO segment VALUES (1, 1, 1, 0, 1)",
            "INSERT INTO segment SELECT 1, position + 7, block_id, 0, 1 FROM segment WHERE artifact_id = 2",
        ],
    ),
    (
        HELD_CONTENT,
        &[
            "DELETE FROM segment WHERE artifact_id = 2",
            "INSERT INTO purged (artifact_id, op, origin, tombstone_id, request_id, purged_by, second, reason, begun_at) VALUES (2, 'x', '', '', '', '', '', '', '2026-01-01T00:00:00.000Z')",
        ],
    ),
    (
        CONTENT_IN_USE,
        &[
            "DELETE FROM artifact WHERE id = 2",
            "DELETE FROM artifact",
            // Nobody holds it, but nobody has purged it either.
            "DELETE FROM segment WHERE artifact_id = 1",
            "DELETE FROM segment",
        ],
    ),
    (MOVES, &["UPDATE segment SET block_id = 2 WHERE artifact_id = 1", "UPDATE segment SET block_id = 1"]),
    (
        "a purge begins before it ends",
        &[
            "INSERT INTO purged (artifact_id, op, origin, tombstone_id, request_id, purged_by, second, reason, begun_at, destroyed_at) VALUES (1, 'x', '', '', '', '', '', '', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')",
        ],
    ),
    (
        ARTIFACTS,
        &[
            "UPDATE artifact SET size_bytes = 0 WHERE id = 2",
            "UPDATE artifact SET created_at = ''",
            "UPDATE artifact SET purged_at = '2026-01-01T00:00:00.000Z' WHERE id = 2",
            "UPDATE artifact SET purged_at = '2026-01-01T00:00:00.000Z'",
            "UPDATE artifact SET content_sha256 = (SELECT digest FROM event WHERE id = 1) WHERE id = 2",
        ],
    ),
    (
        HELD_ITEM,
        &[
            "UPDATE item SET legal_hold = FALSE",
            "UPDATE item SET legal_hold = FALSE, reason = 'dead' WHERE id = 1",
            "UPDATE item SET legal_hold = NOT legal_hold",
        ],
    ),
    (
        HOLDS,
        &[
            "UPDATE hold SET released_at = '2026-01-01T00:00:00.000Z', released_by = 'x'",
            // Another action, and another item's.
            "UPDATE hold SET released_at = '2026-01-01T00:00:00.000Z', released_by = (SELECT digest FROM event WHERE id = 1)",
            "UPDATE hold SET released_at = '2026-01-01T00:00:00.000Z', released_by = (SELECT digest FROM event WHERE id = 3)",
            "UPDATE hold SET item_id = 2",
            "UPDATE hold SET op = NULL",
            "UPDATE hold SET name = 'x', set_by = 'x'",
            "UPDATE hold SET set_at = '2026-01-01T00:00:00.000Z'",
            // As if it had been, before the program sets it.
            "INSERT INTO hold (item_id, op, set_at, released_at, released_by) SELECT 2, '0199f1a2-0000-7000-8000-000000000001', set_at, set_at, digest FROM hold, event WHERE event.id = 1",
        ],
    ),
    (HOLDS_STAY, &["DELETE FROM hold", "DELETE FROM hold WHERE released_at IS NULL"]),
    (
        PURGED_WITH_CONTENT,
        &[
            "UPDATE item SET purged_at = '2026-01-01T00:00:00.000Z' WHERE id = 1",
            "UPDATE item SET purged_at = '2026-01-01T00:00:00.000Z' WHERE id = 2",
        ],
    ),
    (SEALED, &["UPDATE item SET state = 'undone' WHERE id = 1", "UPDATE item SET state = 'pending'"]),
    (
        TOMBSTONE,
        &[
            "UPDATE item SET artifact_id = 1 WHERE id = 1",
            "UPDATE item SET repo = 'elsewhere' WHERE id = 1",
            "UPDATE item SET commit_sha = object_id WHERE id = 1",
            "UPDATE item SET tombstone_id = REPLACE(tombstone_id, '-', '0') WHERE id = 1",
            "UPDATE item SET path_bytes = (SELECT SUBSTR(bytes, 1, 9) FROM block WHERE id = 1) WHERE id = 1",
        ],
    ),
    (ITEMS, &["DELETE FROM item WHERE id = 1", "DELETE FROM item"]),
];

/// `REPLACE` deletes without firing delete triggers, and a row's id has three names.
const SQLITE: Attempts = &[
    (
        EVENTS,
        &[
            "UPDATE event SET rowid = 77 WHERE id = 1",
            "UPDATE OR IGNORE event SET line = 'x'",
            "UPDATE event SET line = 'x' FROM item WHERE item.id = event.item_id",
            "INSERT OR REPLACE INTO event SELECT id, digest, op, action, 'x', item_id, tombstone_id, created_at, line FROM event",
            "REPLACE INTO event (rowid, digest, op, action, created_at, line) VALUES (1, printf('%064d', 1), '', '', '', '')",
            "INSERT INTO event SELECT 77, digest, op, action, 'x', item_id, tombstone_id, created_at, line FROM event WHERE id = 1 ON CONFLICT (digest) DO UPDATE SET actor = 'x'",
            "CREATE TEMP TABLE event (id); DELETE FROM main.event",
        ],
    ),
    (
        BLOCKS,
        &[
            "UPDATE OR REPLACE block SET rowid = 2 WHERE id = 1",
            "UPDATE OR REPLACE block SET raw_sha256 = (SELECT raw_sha256 FROM block WHERE id = 2) WHERE id = 1",
            "INSERT OR REPLACE INTO block SELECT id, raw_sha256, raw_size, stored_sha256, 1, codec, x'00' FROM block WHERE id = 2",
            "INSERT OR REPLACE INTO block (rowid, raw_sha256, raw_size, stored_sha256, stored_size, codec, bytes) VALUES (2, printf('%064d', 1), 1, printf('%064d', 1), 1, 'none', x'00')",
        ],
    ),
    (BLOCK_IN_USE, &["CREATE TEMP TABLE segment (block_id); DELETE FROM main.block WHERE id = 2"]),
    (
        SEGMENTS,
        &[
            "UPDATE OR REPLACE segment SET artifact_id = 2 WHERE artifact_id = 1",
            "INSERT OR REPLACE INTO segment VALUES (2, 0, 1, 0, 5000)",
        ],
    ),
    (
        HELD_CONTENT,
        &["CREATE TEMP VIEW held_artifact AS SELECT 0 AS artifact_id; DELETE FROM main.segment WHERE artifact_id = 2"],
    ),
    (
        ARTIFACTS,
        &[
            "UPDATE artifact SET rowid = 77 WHERE id = 2",
            "UPDATE OR REPLACE artifact SET rowid = 2 WHERE id = 1",
            "INSERT OR REPLACE INTO artifact (content_sha256, size_bytes, created_at) SELECT content_sha256, 0, '' FROM artifact WHERE id = 2",
        ],
    ),
    (
        TOMBSTONE,
        &[
            "UPDATE OR REPLACE item SET rowid = 1 WHERE id = 2",
            "UPDATE OR REPLACE item SET tombstone_id = (SELECT tombstone_id FROM item WHERE id = 1) WHERE id = 2",
        ],
    ),
    (HELD_ITEM, &["PRAGMA ignore_check_constraints = ON; UPDATE item SET legal_hold = 2"]),
    (ITEMS, &["REPLACE INTO item SELECT * FROM item WHERE id = 1"]),
    (
        HOLDS,
        &[
            "UPDATE hold SET rowid = 77",
            "INSERT OR REPLACE INTO hold SELECT * FROM hold",
            "REPLACE INTO hold (rowid, item_id, set_at, released_at, released_by) VALUES (1, 1, '', '', '')",
            "INSERT OR REPLACE INTO hold (item_id, op, set_at, released_at, released_by) SELECT item_id, op, '', '', '' FROM hold",
            "CREATE TEMP TABLE event (digest, action, item_id, line); INSERT INTO temp.event SELECT 'x', 'HOLD_RELEASED', 1, '\"request\":\"' || op || '\"' FROM hold; UPDATE hold SET released_at = '', released_by = 'x'",
        ],
    ),
];

/// The program brings the function with which a guard in SQLite looks at bytes and lines.
const WITHOUT_SHA256: &[&str] = &[
    "UPDATE segment SET block_id = 1",
    "UPDATE segment SET offset = 1 WHERE artifact_id = 2",
    "UPDATE hold SET released_at = '2026-01-01T00:00:00.000Z', released_by = 'x'",
];

/// What a name means depends on the search path, what a transaction sees on its isolation, and a schema of its own a client
/// may well have (`games`).
const POSTGRES: Attempts = &[
    (
        EVENTS,
        &[
            "TRUNCATE event",
            "TRUNCATE ONLY event CONTINUE IDENTITY",
            "MERGE INTO event USING (VALUES (1)) AS v (id) ON event.id = v.id WHEN MATCHED THEN DELETE",
            "MERGE INTO event USING (VALUES (1)) AS v (id) ON event.id = v.id WHEN MATCHED THEN UPDATE SET line = 'x'",
            "INSERT INTO event OVERRIDING SYSTEM VALUE SELECT * FROM event ON CONFLICT (id) DO UPDATE SET line = 'x'",
            "INSERT INTO event (digest, op, action, created_at, line) SELECT digest, '', '', '', '' FROM event ON CONFLICT (digest) DO UPDATE SET line = 'x'",
            "WITH gone AS (DELETE FROM event RETURNING id) SELECT * FROM gone",
            "DELETE FROM event USING item WHERE item.id = event.item_id",
            "UPDATE ONLY event SET actor = 'x'",
            "BEGIN; SET CONSTRAINTS ALL DEFERRED; DELETE FROM event; COMMIT",
            "BEGIN ISOLATION LEVEL SERIALIZABLE; DELETE FROM event; COMMIT",
            "CREATE TEMP TABLE event (LIKE public.event); DELETE FROM public.event",
            "PREPARE gone AS DELETE FROM event; EXECUTE gone",
            "DO 'BEGIN DELETE FROM event; END'",
        ],
    ),
    (HOLDS_STAY, &["TRUNCATE hold"]),
    (
        HOLDS,
        &[
            "INSERT INTO hold (item_id, op, set_at) SELECT item_id, op, set_at FROM hold ON CONFLICT (item_id, op) DO UPDATE SET released_at = '', released_by = ''",
            "CREATE TEMP TABLE event (digest TEXT, action TEXT, item_id BIGINT, line TEXT); INSERT INTO pg_temp.event VALUES ('x', 'HOLD_RELEASED', 1, ''); UPDATE hold SET released_at = '', released_by = 'x'",
        ],
    ),
    (PURGES, &["TRUNCATE purged"]),
    ("artifacts are not truncated", &["TRUNCATE artifact CASCADE"]),
    ("blocks are not truncated", &["TRUNCATE block CASCADE"]),
    ("segments are not truncated", &["TRUNCATE segment"]),
    (ITEMS, &["TRUNCATE item CASCADE", "DELETE FROM held_artifact"]),
    (TOMBSTONE, &["UPDATE held_artifact SET artifact_id = 1"]),
    (
        BLOCK_IN_USE,
        &[
            "CREATE TEMP TABLE segment (block_id BIGINT); DELETE FROM public.block WHERE id = 2",
            "SET search_path = games; CREATE TABLE segment (block_id BIGINT); DELETE FROM public.block WHERE id = 2",
        ],
    ),
    (
        HELD_CONTENT,
        &[
            "CREATE TEMP VIEW held_artifact AS SELECT 0::BIGINT AS artifact_id; DELETE FROM public.segment WHERE artifact_id = 2",
            "CREATE TEMP TABLE item (LIKE public.item); DELETE FROM public.segment WHERE artifact_id = 2",
            "SET search_path = games; CREATE VIEW held_artifact AS SELECT 0::BIGINT AS artifact_id; DELETE FROM public.segment WHERE artifact_id = 2",
        ],
    ),
    (
        HELD_ITEM,
        &[
            "UPDATE item SET legal_hold = NULL",
            "CREATE FUNCTION games.no(TEXT, TEXT) RETURNS BOOLEAN LANGUAGE sql AS 'SELECT FALSE';
             CREATE OPERATOR games.<> (LEFTARG = TEXT, RIGHTARG = TEXT, FUNCTION = games.no);
             SET search_path = games, pg_catalog, public;
             UPDATE item SET legal_hold = FALSE",
        ],
    ),
    (
        "contents change in READ COMMITTED transactions only",
        &[
            "BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM segment WHERE artifact_id = 2; COMMIT",
            "BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE artifact SET purged_at = ''; COMMIT",
        ],
    ),
    ("can only be updated to DEFAULT", &["UPDATE event SET id = 77", "UPDATE artifact SET id = 77 WHERE id = 2"]),
    (
        "permission denied",
        &[
            "SET session_replication_role = replica",
            "CREATE OR REPLACE FUNCTION archive_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
            "CREATE TRIGGER first BEFORE DELETE ON event FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "SET ROLE pg_write_all_data",
        ],
    ),
    ("must be superuser", &["COPY event FROM PROGRAM 'true'", "COPY event FROM '/dev/null'"]),
    (
        "must be owner",
        &[
            "ALTER TABLE event DISABLE TRIGGER ALL",
            "DROP TRIGGER event_change ON event",
            "DROP TABLE event CASCADE",
            "CREATE OR REPLACE RULE quiet AS ON DELETE TO event DO INSTEAD NOTHING",
            "ALTER FUNCTION archive_guard_item() SET search_path = games",
        ],
    ),
];

/// Any session may turn off foreign keys, checks and the strictness about values.
const MARIADB: Attempts = &[
    (
        EVENTS,
        &[
            "UPDATE event SET id = 77 WHERE id = 1",
            "UPDATE IGNORE event SET line = 'x'",
            "DELETE IGNORE FROM event",
            "DELETE QUICK FROM event",
            "DELETE FROM event RETURNING id",
            "REPLACE INTO event SELECT id, digest, op, action, 'x', item_id, tombstone_id, created_at, line FROM event",
            "REPLACE INTO event (id, digest, op, action, created_at, line) VALUES (1, REPEAT('0', 64), '', '', '', '')",
            "INSERT INTO event SELECT * FROM event AS e ON DUPLICATE KEY UPDATE line = 'x'",
            "INSERT IGNORE INTO event SELECT * FROM event AS e ON DUPLICATE KEY UPDATE line = 'x'",
            "DELETE event FROM event JOIN item ON item.id = event.item_id",
            "UPDATE item JOIN event ON item.id = event.item_id SET event.line = 'x', item.kind = 'text'",
            "SET foreign_key_checks = 0, unique_checks = 0, check_constraint_checks = 0, sql_mode = '';\nDELETE FROM event",
            "SET STATEMENT sql_mode = '' FOR DELETE FROM event",
            "SET SESSION sql_mode = 'ORACLE';\nDELETE FROM event",
            "EXECUTE IMMEDIATE 'DELETE FROM event'",
        ],
    ),
    (
        BLOCK_IN_USE,
        &[
            "SET foreign_key_checks = 0;\nDELETE FROM block WHERE id = 2",
            "SET foreign_key_checks = 0, sql_select_limit = 0;\nDELETE FROM block WHERE id = 2",
            "SET foreign_key_checks = 0;\nREPLACE INTO block SELECT id, raw_sha256, raw_size, stored_sha256, 1, codec, 'x' FROM block WHERE id = 2",
            "DELETE block FROM block JOIN segment ON segment.block_id = block.id",
        ],
    ),
    (BLOCKS, &["INSERT INTO block SELECT * FROM block AS b ON DUPLICATE KEY UPDATE bytes = 'x', stored_size = 1"]),
    (SEGMENTS, &["REPLACE INTO segment VALUES (2, 0, 1, 0, 5000)"]),
    (
        MOVES,
        &[
            "SET foreign_key_checks = 0;\nUPDATE segment SET block_id = 99",
            "SET sql_mode = '';\nUPDATE IGNORE segment SET block_id = NULL WHERE artifact_id = 2",
            "SET check_constraint_checks = 0;\nUPDATE segment SET `offset` = -5001 WHERE artifact_id = 2",
        ],
    ),
    (
        HOLDS,
        &[
            "UPDATE hold SET id = 77",
            "INSERT INTO hold SELECT * FROM hold AS h ON DUPLICATE KEY UPDATE released_at = '', released_by = ''",
            "SET check_constraint_checks = 0;\nUPDATE hold SET released_at = '', released_by = NULL",
        ],
    ),
    (
        HOLDS_STAY,
        &[
            "REPLACE INTO hold SELECT * FROM hold AS h",
            "REPLACE INTO hold (item_id, op, set_at) SELECT item_id, op, set_at FROM hold AS h",
            "DELETE hold FROM hold JOIN item ON item.id = hold.item_id",
        ],
    ),
    (
        HELD_CONTENT,
        &[
            "SET foreign_key_checks = 0, sql_select_limit = 0;\nDELETE FROM segment WHERE artifact_id = 2",
            "DELETE segment FROM segment JOIN artifact ON artifact.id = segment.artifact_id WHERE artifact.id = 2",
        ],
    ),
    (
        CONTENT_IN_USE,
        &[
            "SET foreign_key_checks = 0;\nDELETE FROM artifact WHERE id = 2",
            "SET STATEMENT foreign_key_checks = 0 FOR DELETE FROM artifact WHERE id = 2",
            "SET foreign_key_checks = 0;\nREPLACE INTO artifact (content_sha256, size_bytes, created_at) SELECT content_sha256, 0, '' FROM artifact WHERE id = 2",
        ],
    ),
    (ARTIFACTS, &["SET foreign_key_checks = 0;\nUPDATE artifact SET id = 77 WHERE id = 2"]),
    (
        HELD_ITEM,
        &[
            "SET sql_mode = '';\nUPDATE item SET legal_hold = NULL",
            "UPDATE IGNORE item SET legal_hold = NULL",
            "SET sql_mode = '';\nUPDATE item SET legal_hold = ''",
            "INSERT INTO item SELECT * FROM item AS i ON DUPLICATE KEY UPDATE legal_hold = FALSE",
            "UPDATE item JOIN artifact ON artifact.id = item.artifact_id SET item.legal_hold = FALSE",
        ],
    ),
    (
        SEALED,
        &[
            "SET check_constraint_checks = 0;\nUPDATE item SET state = 'x' WHERE id = 1",
            "SET sql_mode = '';\nUPDATE item SET state = NULL WHERE id = 1",
        ],
    ),
    (TOMBSTONE, &["UPDATE item SET id = 77 WHERE id = 1", "UPDATE held_artifact SET artifact_id = 1"]),
    (
        ITEMS,
        &[
            "SET foreign_key_checks = 0;\nREPLACE INTO item SELECT * FROM item AS i WHERE id = 1",
            "DELETE FROM held_artifact",
        ],
    ),
    (
        "denied",
        &[
            "TRUNCATE event",
            "TRUNCATE segment",
            "ALTER TABLE event ENGINE = InnoDB",
            "DROP TRIGGER event_delete",
            "DROP TABLE event",
            "RENAME TABLE event TO gone",
            "CREATE OR REPLACE TABLE event (id INT)",
            "CREATE OR REPLACE VIEW held_artifact AS SELECT 0 AS artifact_id",
            "CREATE TEMPORARY TABLE segment (block_id INT)",
            "CREATE TEMPORARY TABLE held_artifact (artifact_id INT)",
            "CREATE TRIGGER last BEFORE DELETE ON event FOR EACH ROW SET @x = 1",
            "LOCK TABLES event WRITE",
            "LOAD DATA INFILE '/dev/null' REPLACE INTO TABLE event",
            "SET GLOBAL foreign_key_checks = 0",
        ],
    ),
];

/// Returns an archive with one held and one free item, and them.
pub(in crate::archive) fn with_held_item<E: Database>() -> (E, [Item; 2]) {
    let engine = E::create();
    let mut archive = engine.open();
    let free = item(&mut *archive, b"free", &noise(1, 5_000));
    let held = item(&mut *archive, b"held", &noise(2, 5_000));
    let items = [Item { legal_hold: true, ..held }, free];
    let op = OperationId::generate();
    archive.begin(op, "here", &items).expect("begins");
    let events = items.each_ref().map(|item| event(op, Action::Archive, Some(item)));
    archive.seal(op, &events).expect("seals");
    drop(archive);
    (engine, items)
}

/// Returns everything that is to stay: items, contents, events.
fn all(archive: &mut dyn Archive, items: &[Item]) -> (Vec<Item>, Vec<Vec<u8>>, Vec<Event>) {
    let mut found = Vec::new();
    archive
        .list(&Query::default(), &mut |stored| {
            found.push(stored.item);
            ControlFlow::Continue(())
        })
        .expect("lists");
    let (mut contents, mut events) = (Vec::new(), Vec::new());
    for item in items {
        contents.push(read(archive, &item.sha256, item.size).expect("reads"));
        archive
            .events(&item.tombstone, &mut |event| {
                events.push(event);
                ControlFlow::Continue(())
            })
            .expect("reads");
    }
    (found, contents, events)
}

fn begins_with_a_look(backend: Backend) -> &'static [&'static str] {
    match backend {
        Backend::Sqlite => &["BEGIN"],
        Backend::Postgres => &["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE"],
        Backend::Mariadb => &[
            "START TRANSACTION WITH CONSISTENT SNAPSHOT",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nSTART TRANSACTION",
            "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED;\nSTART TRANSACTION",
        ],
    }
}

pub(in crate::archive) fn a_client_changes_no_event_and_destroys_nothing_held<E: Database>() {
    let (engine, items) = with_held_item::<E>();
    let elsewhere = event(OperationId::generate(), Action::HoldReleased, Some(&items[1]));
    engine.open().append_events(&[elsewhere]).expect("appends");
    let before = all(&mut *engine.open(), &items);
    let own = match E::BACKEND {
        Backend::Sqlite => SQLITE,
        Backend::Postgres => POSTGRES,
        Backend::Mariadb => MARIADB,
    };
    for (reason, attempts) in EVERYWHERE.iter().chain(own) {
        for attempt in *attempts {
            let error = engine.client_of_the_programs_kind()(attempt).expect_err(attempt);
            assert!(error.contains(reason), "{attempt}: {error}");
        }
    }
    if E::BACKEND == Backend::Sqlite {
        refused(&mut engine.client(), "no such function: sha256", WITHOUT_SHA256);
    }
    assert_eq!(all(&mut *engine.open(), &items), before);
    // What is not held can be purged, by whoever may say so and delete.
    let mut client = engine.client();
    for sql in [PURGE, "DELETE FROM segment WHERE artifact_id = 1", "DELETE FROM block WHERE id = 1"] {
        client(sql).expect(sql);
    }
}

/// Begins a purge of the free content.
const PURGE: &str = "INSERT INTO purged
    (artifact_id, op, origin, tombstone_id, request_id, purged_by, second, reason, begun_at)
  VALUES (1, '0199f1a2-0000-7000-8000-000000000001', 'here', '0199f1a2-0000-5000-8000-000000000001', 'r', 'A', 'B', 'why',
    '2026-01-01T00:00:00.000Z')";

/// A transaction that looked at the archive before something was held must not destroy it afterwards.
pub(in crate::archive) fn a_hold_counts_for_who_looked_before_it<E: Database>() {
    for begin in begins_with_a_look(E::BACKEND) {
        let (engine, [_, free]) = with_held_item::<E>();
        let mut looked = engine.client();
        looked(begin).expect(begin);
        // An older look than a serializable transaction's locks would allow: at another table.
        looked("SELECT COUNT(*) FROM tag").expect("looks");
        engine.raw("UPDATE item SET legal_hold = TRUE WHERE id = 2").expect("holds");
        looked(PURGE).expect_err(PURGE);
        drop(looked);
        read(&mut *engine.open(), &free.sha256, free.size).expect("reads");
    }
}

pub(in crate::archive) fn a_hold_that_is_being_set_is_waited_for<E: Database>() {
    // A statement that has looked at a table before it waits sees what it then saw, if nobody has it look again.
    let looking = PURGE
        .replace("VALUES (", "SELECT ")
        .replace("000Z')", "000Z' FROM migration WHERE version = 1 AND (SELECT COUNT(*) FROM approval) >= 0");
    for destroy in [PURGE, &looking] {
        let (engine, [_, free]) = with_held_item::<E>();
        let error = meanwhile(&engine, &["UPDATE item SET legal_hold = TRUE WHERE id = 2"], &[destroy]);
        assert!(error.contains(HELD_CONTENT), "{destroy}: {error}");
        read(&mut *engine.open(), &free.sha256, free.size).expect("reads");
    }
    // One moves away from what is being purged, and is held just then.
    let (engine, items) = with_neighbours::<E>();
    let [purged, moving, _] = &items;
    assert!(engine.open().begin_purge(&purge(purged), &mut |_| true).expect("begins"));
    let offset = if E::BACKEND == Backend::Mariadb { "`offset`" } else { "\"offset\"" };
    let away = format!(
        "UPDATE segment SET block_id = 2, {offset} = 0 WHERE artifact_id = 2 AND (SELECT COUNT(*) FROM approval) >= 0"
    );
    let error = meanwhile(&engine, &["UPDATE item SET legal_hold = TRUE WHERE artifact_id = 2"], &[&away]);
    assert!(error.contains(MOVES), "{error}");
    read(&mut *engine.open(), &moving.sha256, moving.size).expect("reads");
}

/// An item has two holds from the moment that the second one is set: releasing the first frees nothing.
pub(in crate::archive) fn a_release_waits_for_a_hold_that_is_being_set<E: Database>() {
    let (engine, [_, free]) = with_held_item::<E>();
    engine.raw("UPDATE item SET legal_hold = TRUE WHERE id = 2").expect("holds");
    let mut archive = engine.open();
    let mut record = Record::new(Action::HoldReleased, OperationId::generate(), time(4_000));
    (record.tombstone, record.status) = (Some(free.tombstone), Some(Status::Done));
    let event = Event::from_record(&record).expect("is short");
    archive.append_events(std::slice::from_ref(&event)).expect("appends");
    let set = "INSERT INTO hold (item_id, op, set_at)
      VALUES (2, '0199f1a2-0000-7000-8000-000000000001', '2026-01-01T00:00:00.000Z')";
    let release = format!(
        "UPDATE hold SET released_at = '2026-01-01T00:00:00.000Z', released_by = '{}'
         WHERE item_id = 2 AND op IS NULL AND (SELECT COUNT(*) FROM approval) >= 0",
        event.digest
    );
    let error = meanwhile(&engine, &[set], &[&release, PURGE]);
    assert!(error.contains(HELD_CONTENT), "{error}");
    assert!(archive.item(&free.tombstone).expect("looks").expect("is there").item.legal_hold);
}

/// Runs `others` while a transaction has done `first` and not ended, and returns why the last of them was refused.
fn meanwhile<E: Database>(engine: &E, first: &[&str], others: &[&str]) -> String {
    let mut holder = engine.client();
    holder(if E::BACKEND == Backend::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" }).expect("begins");
    for sql in first {
        holder(sql).expect(sql);
    }
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut client = engine.client_of_the_programs_kind();
            if E::BACKEND == Backend::Mariadb {
                // So that a look takes no lock.
                client("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").expect("sets");
            }
            let (last, before) = others.split_last().expect("is something");
            for sql in before {
                client(sql).expect(sql);
            }
            client(last)
        });
        // So that it most likely waits. Where it comes late, it sees what was done anyway.
        std::thread::sleep(std::time::Duration::from_millis(100));
        holder("COMMIT").expect("commits");
        other.join().expect("ends").expect_err("is held by now")
    })
}

/// Returns an archive in which artifacts 1 and 2 share block 1, and artifact 3 has block 2; and their items.
fn with_neighbours<E: Database>() -> (E, [Item; 3]) {
    let engine = E::create();
    let mut archive = engine.open();
    let mut items = archived_together(&mut *archive, &[("a", noise(1, 5_000), false), ("b", noise(2, 5_000), false)]);
    items.extend(archived_together(&mut *archive, &[("c", noise(3, 10_000), false)]));
    drop(archive);
    (engine, items.try_into().expect("are three"))
}

pub(in crate::archive) fn what_nobody_purges_stays_where_it_is<E: Database>() {
    let (engine, items) = with_neighbours::<E>();
    let [purged, neighbour, other] = &items;
    let mut archive = engine.open();
    let mut client = engine.client_of_the_programs_kind();
    let delete = |artifact: u32| format!("DELETE FROM segment WHERE artifact_id = {artifact}");
    let offset = if E::BACKEND == Backend::Mariadb { "`offset`" } else { "\"offset\"" };
    let to = |artifact: u32, block: u32| {
        format!("UPDATE segment SET block_id = {block}, {offset} = 0 WHERE artifact_id = {artifact}")
    };
    refused(&mut client, CONTENT_IN_USE, &[&delete(1), &delete(2), &delete(3)]);
    refused(&mut client, MOVES, &[&to(1, 2), &to(2, 1), &to(3, 1)]);
    let begun = purge(purged);
    assert!(archive.begin_purge(&begun, &mut |_| true).expect("begins"));
    // The others do not go with it, and only what is in its way moves.
    refused(&mut client, CONTENT_IN_USE, &[&delete(2), &delete(3)]);
    refused(&mut client, MOVES, &[&to(3, 1)]);
    archive.destroy(&purged.sha256).expect("destroys");
    refused(&mut client, MOVES, &[&to(2, 2), &to(3, 2).replace("= 0", "= 1")]);
    archive.end_purge(begun.op, &[]).expect("ends");
    refused(&mut client, CONTENT_IN_USE, &[&delete(2), &delete(3)]);
    for item in [neighbour, other] {
        read(&mut *archive, &item.sha256, item.size).expect("reads");
    }
    // A content that no item uses is nobody's; nor is one whose store was taken back.
    let content = noise(4, 5_000);
    store(&mut *archive, std::slice::from_ref(&content));
    let loose = format!(
        "DELETE FROM segment WHERE artifact_id IN (SELECT id FROM artifact WHERE content_sha256 = '{}')",
        Sha256::of(&content)
    );
    client(&loose).expect("is nobody's");
}

pub(in crate::archive) fn purged_content_is_known_as_purged_and_does_not_come_back<E: Database>() {
    let (engine, [_, free]) = with_held_item::<E>();
    let mut client: Client<'_> = engine.client();
    for sql in [PURGE, "DELETE FROM segment WHERE artifact_id = 1", "DELETE FROM block WHERE id = 1"] {
        client(sql).expect(sql);
    }
    let back = client("INSERT INTO segment VALUES (1, 0, 2, 0, 5000)").expect_err("is purged");
    assert!(back.contains(COMPLETE), "{back}");
    let mut archive = engine.open();
    assert!(archive.find_artifacts(&[free.sha256]).expect("looks")[&free.sha256].purged_at.is_some());
    assert!(archive.item(&free.tombstone).expect("looks").expect("stays").purged_at.is_some());
    let refused = read(&mut *archive, &free.sha256, free.size).expect_err("is purged");
    assert!(matches!(refused, ReadError::Archive { source: ArchiveError::Purged { .. }, .. }));
    let source = Memory(vec![noise(1, 5_000)]);
    let refused = store_contents(&mut *archive, &source, StoreContentsOptions::default(), &mut |_| ());
    assert!(matches!(refused, Err(StoreContentsError::Archive(ArchiveError::Purged { .. }))), "{refused:?}");
    let refused = archive.begin(OperationId::generate(), "here", &[free]);
    assert!(matches!(refused, Err(ArchiveError::Purged { .. })), "{refused:?}");
    assert_eq!(archive.counts().expect("counts").retrievable, 1);
    let other = store(&mut *archive, &[noise(3, 5_000)]);
    assert!(other[0].new);
}

/// Who may write may also write what is wrong: it is found before anything relies on it.
pub(in crate::archive) fn a_content_that_was_slipped_in_is_noticed_by_the_next_store<E: Database>() {
    let engine = E::create();
    let content = noise(9, 100);
    let insert = "INSERT INTO artifact (content_sha256, size_bytes, created_at) VALUES";
    let row = format!("('{}', {}, '2026-01-01T00:00:00.000Z')", Sha256::of(&content), content.len());
    engine.raw(&format!("{insert} {row}")).expect("is a row like others");
    let source = Memory(vec![content]);
    let refused = store_contents(&mut *engine.open(), &source, StoreContentsOptions::default(), &mut |_| ());
    assert!(matches!(refused, Err(StoreContentsError::Known(_))), "{refused:?}");
}

/// Runs each of `attempts`, which are refused for `reason`.
fn refused(client: &mut Client<'_>, reason: &str, attempts: &[&str]) {
    for attempt in attempts {
        let error = client(attempt).expect_err(attempt);
        assert!(error.contains(reason), "{attempt}: {error}");
    }
}

pub(in crate::archive) fn what_is_held_moves_only_to_where_its_bytes_are_seen<E: Database>() {
    let (engine, [held, free]) = with_held_item::<E>();
    let bytes = noise(2, 5_000);
    let mut archive = engine.open();
    let shown = |raw: Vec<u8>| {
        let (raw_sha256, raw_size) = (Sha256::of(&raw), u32::try_from(raw.len()).expect("is short"));
        Block { raw_sha256, raw_size, stored_sha256: raw_sha256, codec: Codec::None, stored: raw }
    };
    let raw = [&bytes[..], &[0; 9_000]].concat();
    let packed = Block::encode(&raw, Sha256::of(&raw), 3).expect("compresses");
    assert_eq!(packed.codec, Codec::Zstd);
    let blocks = [packed, shown([b"before", &bytes[..]].concat()), shown([&bytes[..], b"behind"].concat())];
    archive.put(&blocks, &[]).expect("stores");
    let mut client = engine.client_of_the_programs_kind();
    // A row that lies about its bytes, and one that has none.
    let [name, other] = [Sha256::of(b"x"), Sha256::of(b"y")];
    let forge = |name, bytes| {
        format!(
            "INSERT INTO block (raw_sha256, raw_size, stored_sha256, stored_size, codec, bytes)
             SELECT '{name}', raw_size, '{name}', stored_size, codec, {bytes} FROM block WHERE id = 5"
        )
    };
    for sql in [forge(name, "bytes"), forge(other, "NULL")] {
        client(&sql).expect(&sql);
    }
    let offset = if E::BACKEND == Backend::Mariadb { "`offset`" } else { "\"offset\"" };
    let to =
        |block: &str, at: u32| format!("UPDATE segment SET block_id = {block}, {offset} = {at} WHERE artifact_id = 2");
    let forged = |name: Sha256| format!("(SELECT id FROM block WHERE raw_sha256 = '{name}')");
    let moves =
        [to("1", 0), to("2", 1), to("3", 0), to("4", 0), to("4", 7), to(&forged(name), 0), to(&forged(other), 0)];
    let moves: Vec<&str> = moves.iter().map(String::as_str).collect();
    refused(&mut client, MOVES, &moves);
    for (block, at) in [("4", 6), ("5", 0), ("2", 0)] {
        client(&to(block, at)).expect("shows the bytes");
        assert_eq!(read(&mut *archive, &held.sha256, held.size).expect("reads"), bytes);
    }
    refused(&mut client, MOVES, &[&format!("UPDATE segment SET {offset} = 1 WHERE artifact_id = 1")]);
    assert_eq!(read(&mut *archive, &free.sha256, free.size).expect("reads"), noise(1, 5_000));
}

pub(in crate::archive) fn a_hold_that_a_client_sets_is_released_by_the_program_alone<E: Database>() {
    let (engine, [held, free]) = with_held_item::<E>();
    let mut archive = engine.open();
    let release = |hold: Option<OperationId>| {
        let mut record = Record::new(Action::HoldReleased, OperationId::generate(), time(4_000));
        (record.tombstone, record.request) = (Some(free.tombstone), hold.map(|id| id.to_string()));
        record.status = Some(Status::Done);
        Event::from_record(&record).expect("is short")
    };
    let lower = "UPDATE item SET legal_hold = FALSE WHERE id = 2";
    let mut replays = Vec::new();
    for _ in 0..2 {
        engine.raw("UPDATE item SET legal_hold = TRUE WHERE id = 2").expect("holds");
        let holds = archive.content_facts(&free.sha256).expect("asks").expect("is known").holds;
        assert_eq!((holds.len(), holds[0].id), (1, None));
        refused(&mut engine.client(), HELD_ITEM, &[lower]);
        refused(&mut engine.client(), HELD_CONTENT, &[PURGE]);
        let replays_before: Vec<&str> = replays.iter().map(String::as_str).collect();
        refused(&mut engine.client_of_the_programs_kind(), HOLDS, &replays_before);
        let released = release(None);
        archive.release_holds(std::slice::from_ref(&released)).expect("releases");
        replays.push(format!(
            "UPDATE hold SET released_at = '2026-01-01T00:00:00.000Z', released_by = '{}'
             WHERE released_at IS NULL AND item_id = 2",
            released.digest
        ));
        assert!(archive.content_facts(&free.sha256).expect("asks").expect("is known").holds.is_empty());
    }
    // A row by itself is as good, and an event counts for the hold that it names.
    let id = OperationId::generate();
    engine
        .raw(&format!("INSERT INTO hold (item_id, op, set_at) VALUES (2, '{id}', '2026-01-01T00:00:00.000Z')"))
        .expect("holds");
    assert!(archive.item(&free.tombstone).expect("looks").expect("is there").item.legal_hold);
    let other = release(Some(OperationId::generate()));
    archive.append_events(std::slice::from_ref(&other)).expect("appends");
    let by = |digest: &Sha256| {
        format!("UPDATE hold SET released_at = '2026-01-01T00:00:00.000Z', released_by = '{digest}' WHERE op = '{id}'")
    };
    let mut client = engine.client_of_the_programs_kind();
    refused(&mut client, HOLDS, &[&by(&other.digest), &replays[0]]);
    // Nor does an event that only looks like a release: what it says is in its line, and its digest is of that.
    let line = release(Some(id)).line;
    let lines = [
        line.replace(r#","status":"done""#, ""),
        line.replace(r#""status":"done""#, r#""status":"failed""#),
        line.replace("HOLD_RELEASED", "HOLD_SET"),
        line.replace(&free.tombstone.to_string(), &held.tombstone.to_string()),
        line.replace(&format!(r#""request":"{id}""#), &format!(r#""metadata":{{"request":"{id}"}}"#)),
        line.replace(&id.to_string(), &id.to_string().to_uppercase()),
        format!(r#"{{"request":"{id}"}}"#),
        format!("no record of \"request\":\"{id}\""),
    ];
    let true_line = (Sha256::of(b"another line"), line.clone());
    for (digest, line) in lines.into_iter().map(|line| (Sha256::of(line.as_bytes()), line)).chain([true_line]) {
        let append = format!(
            "INSERT INTO event (digest, op, action, item_id, tombstone_id, created_at, line)
             VALUES ('{digest}', 'x', 'HOLD_RELEASED', 2, '{}', '2026-01-01T00:00:00.000Z', '{line}')",
            free.tombstone
        );
        client(&append).expect("looks like any event");
        let error = client(&by(&digest)).expect_err(&line);
        assert!(error.contains(HOLDS) || error.contains("JSON") || error.contains("json"), "{line}: {error}");
    }
    refused(&mut client, HELD_CONTENT, &[PURGE]);
    // What no hold looks like is none: it could not be read.
    for (op, time) in [
        ("x", "2026-01-01T00:00:00.000Z"),
        ("0199F1A2-0000-7000-8000-000000000001", "2026-01-01T00:00:00.000Z"),
        ("0199f1a2-0000-7000-8000-000000000001", "tomorrow"),
    ] {
        let lax = if E::BACKEND == Backend::Mariadb { "SET STATEMENT check_constraint_checks = 0 FOR " } else { "" };
        let sql = format!("{lax}INSERT INTO hold (item_id, op, set_at) VALUES (2, '{op}', '{time}')");
        client(&sql).expect_err(&sql);
    }
    archive.release_holds(&[release(Some(id))]).expect("releases");
    engine.raw(PURGE).expect("is not held any more");
}

pub(in crate::archive) fn what_is_purged_stays_so_whoever_asks<E: Database>() {
    let (engine, [_, free]) = with_held_item::<E>();
    let mut client = engine.client();
    client(PURGE).expect("purges");
    let purged = engine.open().item(&free.tombstone).expect("looks").expect("stays").purged_at;
    assert!(purged.is_some());
    let again = PURGE.replace("8000-000000000001', 'here", "8000-000000000002', 'here");
    let unpurge = "UPDATE artifact SET purged_at = NULL WHERE id = 1";
    refused(&mut client, ARTIFACTS, &[unpurge, "UPDATE artifact SET purged_at = 'x' WHERE id = 1"]);
    refused(&mut client, PURGED_WITH_CONTENT, &["UPDATE item SET purged_at = NULL WHERE id = 2"]);
    refused(
        &mut client,
        "the content is purged",
        &[
            &again,
            "UPDATE item SET legal_hold = TRUE WHERE id = 2",
            "INSERT INTO hold (item_id, set_at) VALUES (2, '2026-01-01T00:00:00.000Z')",
        ],
    );
    refused(
        &mut client,
        PURGES,
        &[
            "DELETE FROM purged",
            "UPDATE purged SET reason = 'another', destroyed_at = 'x'",
            "UPDATE purged SET begun_at = 'x'",
            "UPDATE purged SET destroyed_at = NULL",
        ],
    );
    refused(&mut client, "the content has bytes", &["UPDATE purged SET destroyed_at = '2026-01-02T00:00:00.000Z'"]);
    let mut archive = engine.open();
    archive.destroy(&free.sha256).expect("destroys");
    let begun = archive.unfinished_purges().expect("asks").remove(0);
    archive.end_purge(begun.op, &[]).expect("ends");
    // Not without its bytes either.
    refused(&mut client, ARTIFACTS, &[unpurge]);
    refused(
        &mut client,
        PURGES,
        &["UPDATE purged SET destroyed_at = '2026-01-02T00:00:00.000Z'", "DELETE FROM purged"],
    );
    assert_eq!(archive.item(&free.tombstone).expect("looks").expect("stays").purged_at, purged);
}
