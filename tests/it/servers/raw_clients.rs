//! Clients that may read and write every table, and nothing else: whatever they say in whatever order, what is held stays, and so
//! does every event.
//!
//! The contract suite has the attempts one by one (`src/archive/contract/guards.rs`); here they come in any order, in transactions
//! of every kind and with every setting that a session has. `ARCHIVE_TOMB_HAMMER=1` tries a hundred times as many.

use std::fmt::Write as _;

use git_archive_tomb::archive::{AnyArchive, Event, Hold, Location, OpenMode};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record, Status};
use git_archive_tomb::id::OperationId;
use git_archive_tomb::item::Item;
use git_archive_tomb::redact::SecretUrl;

use super::logins::Account;
use super::{Database, KINDS, Kind};
use crate::governance::place::{archive_items, item, read, store};

/// What any session may set, or may not.
const POSTGRES_SETTINGS: &[&str] = &[
    "SET session_replication_role = replica",
    "SET search_path = games, public",
    "SET search_path = public",
    "SET standard_conforming_strings = off",
    "SET bytea_output = escape",
    "SET row_security = off",
    "SET CONSTRAINTS ALL DEFERRED",
    "SET default_transaction_isolation = serializable",
    "SET default_transaction_isolation = 'read committed'",
    "SET transaction_isolation = 'repeatable read'",
    "SET LOCAL lock_timeout = 1",
    "ALTER TABLE segment DISABLE TRIGGER ALL",
    "CREATE TEMPORARY TABLE hold (item_id BIGINT, op TEXT, released_at TEXT, released_by TEXT)",
    "CREATE TEMPORARY TABLE purged (artifact_id BIGINT, begun_at TEXT, destroyed_at TEXT)",
    "CREATE TEMPORARY VIEW held_artifact AS SELECT 0::BIGINT AS artifact_id WHERE FALSE",
    "DROP TABLE IF EXISTS pg_temp.hold, pg_temp.purged",
    "CREATE FUNCTION games.sha256(BYTEA) RETURNS BYTEA LANGUAGE sql AS 'SELECT $1'",
    "CREATE FUNCTION games.strpos(TEXT, TEXT) RETURNS INTEGER LANGUAGE sql AS 'SELECT 1'",
];

const MARIADB_SETTINGS: &[&str] = &[
    "SET SESSION foreign_key_checks = 0",
    "SET SESSION unique_checks = 0",
    "SET SESSION check_constraint_checks = 0",
    "SET SESSION sql_mode = ''",
    "SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES'",
    "SET SESSION sql_mode = 'NO_ZERO_DATE,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE'",
    "SET SESSION sql_mode = DEFAULT",
    "SET SESSION autocommit = 0",
    "SET SESSION autocommit = 1",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET SESSION sql_log_bin = 0",
    "SET NAMES latin1",
    "SET SESSION collation_connection = utf8mb4_general_ci",
    "SET SESSION max_statement_time = 0.01",
    "SET SESSION max_statement_time = 0",
    "SET SESSION innodb_lock_wait_timeout = 1",
    "SET SESSION sql_auto_is_null = 1",
    "SET SESSION optimizer_switch = 'semijoin=off,materialization=off,exists_to_in=off'",
    "CREATE TEMPORARY TABLE hold (item_id BIGINT, op TEXT, released_at TEXT, released_by TEXT)",
];

/// What an attempt may say in the place of `NAME`.
fn fill(random: &mut fastrand::Rng, kind: Kind, attempt: &str) -> String {
    let offset = if kind == Kind::Postgres { "\"offset\"" } else { "`offset`" };
    let mut filled = attempt.replace("OFFSET", offset);
    for (name, range) in [("ITEM", 1..8), ("ARTIFACT", 1..8), ("BLOCK", 1..10), ("HOLD", 1..6), ("NUMBER", 0..4000)] {
        while let Some(at) = filled.find(name) {
            filled.replace_range(at..at + name.len(), &random.u32(range.clone()).to_string());
        }
    }
    let time = "'2026-11-20T12:00:00.000Z'";
    let digest = "(SELECT digest FROM event ORDER BY id DESC LIMIT 1)";
    filled.replace("TIME", time).replace("DIGEST", digest)
}

const ATTEMPTS: &[&str] = &[
    "UPDATE segment SET block_id = BLOCK",
    "UPDATE segment SET block_id = BLOCK, OFFSET = NUMBER WHERE artifact_id = ARTIFACT",
    "UPDATE segment SET OFFSET = 0 WHERE artifact_id = ARTIFACT",
    "UPDATE segment SET block_id = BLOCK, OFFSET = 0 WHERE artifact_id = ARTIFACT AND (SELECT COUNT(*) FROM approval) >= 0",
    "UPDATE segment SET length = NUMBER WHERE artifact_id = ARTIFACT",
    "UPDATE segment SET position = position + 1 WHERE artifact_id = ARTIFACT",
    "UPDATE segment SET artifact_id = ARTIFACT, position = NUMBER WHERE artifact_id = ARTIFACT",
    "DELETE FROM segment",
    "DELETE FROM segment WHERE artifact_id = ARTIFACT",
    "DELETE FROM segment WHERE block_id = BLOCK",
    "INSERT INTO segment (artifact_id, position, block_id, OFFSET, length) VALUES (ARTIFACT, 1, BLOCK, 0, 1)",
    "DELETE FROM block",
    "DELETE FROM block WHERE id = BLOCK",
    "UPDATE block SET bytes = NULL",
    "UPDATE block SET bytes = NULL WHERE id = BLOCK",
    "UPDATE block SET codec = 'none' WHERE id = BLOCK",
    "UPDATE block SET id = 99 WHERE id = BLOCK",
    "UPDATE artifact SET purged_at = TIME WHERE id = ARTIFACT",
    "UPDATE artifact SET purged_at = NULL",
    "UPDATE artifact SET size_bytes = 0 WHERE id = ARTIFACT",
    "UPDATE artifact SET content_sha256 = (SELECT raw_sha256 FROM block WHERE id = BLOCK) WHERE id = ARTIFACT",
    "DELETE FROM artifact WHERE id = ARTIFACT",
    "INSERT INTO purged (artifact_id, op, origin, tombstone_id, request_id, purged_by, second, reason, begun_at) VALUES (ARTIFACT, 'o\
     NUMBER', 'me', 't', 'r', 'a', 'b', 'c', TIME)",
    "INSERT INTO purged (artifact_id, op, origin, tombstone_id, request_id, purged_by, second, reason, begun_at, destroyed_at) VALUES \
     (ARTIFACT, 'o NUMBER', 'me', 't', 'r', 'a', 'b', 'c', TIME, TIME)",
    "INSERT INTO purged (artifact_id, op, origin, tombstone_id, request_id, purged_by, second, reason, begun_at) SELECT ARTIFACT, 'p \
     NUMBER', 'me', 't', 'r', 'a', 'b', 'c', TIME FROM migration WHERE version = 1 AND (SELECT COUNT(*) FROM approval) >= 0",
    "UPDATE purged SET destroyed_at = TIME",
    "UPDATE purged SET destroyed_at = NULL, artifact_id = ARTIFACT",
    "DELETE FROM purged",
    "UPDATE item SET legal_hold = FALSE",
    "UPDATE item SET legal_hold = FALSE WHERE id = ITEM",
    "UPDATE item SET legal_hold = NULL WHERE id = ITEM",
    "UPDATE item SET legal_hold = TRUE WHERE id = ITEM",
    "UPDATE item SET legal_hold = NOT legal_hold",
    "UPDATE item SET state = 'undone', legal_hold = FALSE",
    "UPDATE item SET state = 'undone' WHERE id = ITEM",
    "UPDATE item SET state = 'pending' WHERE id = ITEM",
    "UPDATE item SET artifact_id = ARTIFACT WHERE id = ITEM",
    "UPDATE item SET id = 99 WHERE id = ITEM",
    "UPDATE item SET purged_at = TIME WHERE id = ITEM",
    "UPDATE item SET tombstone_id = REVERSE(tombstone_id) WHERE id = ITEM",
    "DELETE FROM item WHERE id = ITEM",
    "INSERT INTO hold (item_id, op, set_at, released_at, released_by) VALUES (ITEM, NULL, TIME, TIME, DIGEST)",
    "INSERT INTO hold (item_id, op, set_at) VALUES (ITEM, '0f0f6f6c-52a5-4b52-8f5a-0b7a2a1f3c55', TIME)",
    "INSERT INTO hold (id, item_id, set_at) VALUES (HOLD, ITEM, TIME)",
    "UPDATE hold SET released_at = TIME, released_by = DIGEST",
    "UPDATE hold SET released_at = TIME, released_by = DIGEST WHERE id = HOLD",
    "UPDATE hold SET released_at = TIME, released_by = NULL WHERE id = HOLD",
    "UPDATE hold SET released_at = TIME, released_by = 'x' WHERE id = HOLD",
    "UPDATE hold SET op = NULL WHERE id = HOLD",
    "UPDATE hold SET item_id = ITEM WHERE id = HOLD",
    "UPDATE hold SET id = 99 WHERE id = HOLD",
    "DELETE FROM hold",
    "DELETE FROM hold WHERE id = HOLD",
    "UPDATE event SET line = '' WHERE id = NUMBER",
    "UPDATE event SET action = 'HOLD_RELEASED'",
    "UPDATE event SET item_id = ITEM",
    "DELETE FROM event",
    "TRUNCATE event",
    "TRUNCATE hold",
    "TRUNCATE segment",
    "TRUNCATE block",
    "UPDATE archive SET driver = 'object'",
    "LOCK TABLE hold",
];

const POSTGRES: &[&str] = &[
    "WITH gone AS (DELETE FROM segment RETURNING block_id) DELETE FROM block WHERE id IN (SELECT block_id FROM gone)",
    "WITH freed AS (UPDATE item SET legal_hold = FALSE RETURNING artifact_id) DELETE FROM segment USING freed \
     WHERE segment.artifact_id = freed.artifact_id",
    "WITH said AS (INSERT INTO event (digest, op, action, item_id, created_at, line) VALUES (md5('NUMBER') || md5('x'), 'o', \
     'HOLD_RELEASED', ITEM, TIME, 'x') RETURNING digest) UPDATE hold SET released_at = TIME, released_by = (SELECT digest FROM said)",
    "INSERT INTO event (digest, op, action, item_id, created_at, line) VALUES (md5('NUMBER') || md5('y'), 'o', 'HOLD_RELEASED', ITEM, \
     TIME, '{\"request\":\"nobody\"}')",
    "INSERT INTO event (digest, op, action, item_id, created_at, line) SELECT digest, op, action, item_id, created_at, '' FROM event \
     ON CONFLICT (digest) DO UPDATE SET line = ''",
    "INSERT INTO hold (item_id, op, set_at) SELECT item_id, op, set_at FROM hold ON CONFLICT (item_id, op) DO UPDATE SET \
     released_at = TIME, released_by = DIGEST",
    "INSERT INTO artifact (content_sha256, size_bytes, created_at) SELECT content_sha256, 0, created_at FROM artifact ON CONFLICT \
     (content_sha256) DO UPDATE SET purged_at = TIME",
    "TRUNCATE item, artifact, block, segment, hold, event CASCADE",
    "INSERT INTO block (raw_sha256, raw_size, stored_sha256, stored_size, codec, bytes) VALUES (md5('NUMBER') || md5('z'), 4, \
     md5('NUMBER') || md5('z'), 4, 'none', 'abcd')",
    "INSERT INTO block (raw_sha256, raw_size, stored_sha256, stored_size, codec) SELECT REVERSE(raw_sha256), raw_size, stored_sha256, \
     stored_size, 'none' FROM block WHERE id = BLOCK",
    "SELECT set_config('search_path', 'pg_temp, public', false)",
    "DO $$ BEGIN DELETE FROM segment WHERE artifact_id = ARTIFACT; EXCEPTION WHEN OTHERS THEN NULL; END $$",
];

const MARIADB: &[&str] = &[
    "DELETE s, b FROM segment s JOIN block b ON b.id = s.block_id",
    "DELETE b, s FROM block b JOIN segment s ON b.id = s.block_id WHERE s.artifact_id = ARTIFACT",
    "UPDATE item i JOIN hold h ON h.item_id = i.id SET i.legal_hold = FALSE, h.released_at = TIME, h.released_by = DIGEST",
    "UPDATE hold h JOIN item i ON h.item_id = i.id SET h.set_at = TIME, i.state = 'undone', i.legal_hold = FALSE",
    "UPDATE IGNORE item SET legal_hold = NULL",
    "UPDATE IGNORE hold SET released_at = TIME, released_by = DIGEST",
    "DELETE IGNORE FROM segment WHERE artifact_id = ARTIFACT",
    "DELETE IGNORE FROM hold",
    "INSERT IGNORE INTO hold (id, item_id, op, set_at) VALUES (HOLD, ITEM, '0f0f6f6c-52a5-4b52-8f5a-0b7a2a1f3c56', NULL)",
    "REPLACE INTO hold (id, item_id, op, set_at) VALUES (HOLD, ITEM, '0f0f6f6c-52a5-4b52-8f5a-0b7a2a1f3c55', TIME)",
    "REPLACE INTO segment (artifact_id, position, block_id, OFFSET, length) VALUES (ARTIFACT, 0, BLOCK, 0, NUMBER)",
    "REPLACE INTO item SELECT * FROM item WHERE id = ITEM",
    "REPLACE INTO block (id, raw_sha256, raw_size, stored_sha256, stored_size, codec) SELECT id, raw_sha256, raw_size, stored_sha256, \
     stored_size, codec FROM block WHERE id = BLOCK",
    "REPLACE INTO event SELECT * FROM event",
    "REPLACE INTO artifact SELECT id, content_sha256, 0, created_at, TIME FROM artifact WHERE id = ARTIFACT",
    "INSERT INTO hold (item_id, op, set_at) SELECT item_id, op, set_at FROM hold ON DUPLICATE KEY UPDATE released_at = TIME, \
     released_by = DIGEST",
    "INSERT INTO artifact (content_sha256, size_bytes, created_at) SELECT content_sha256, 0, created_at FROM artifact ON DUPLICATE \
     KEY UPDATE purged_at = TIME",
    "INSERT INTO event (digest, op, action, item_id, created_at, line) VALUES (SHA2('NUMBER', 256), 'o', 'HOLD_RELEASED', ITEM, TIME, \
     '{\"request\":\"nobody\"}')",
    "INSERT INTO block (raw_sha256, raw_size, stored_sha256, stored_size, codec, bytes) VALUES (SHA2('NUMBER', 256), 4, \
     SHA2('NUMBER', 256), 4, 'none', 'abcd')",
    "INSERT INTO block (raw_sha256, raw_size, stored_sha256, stored_size, codec) SELECT REVERSE(raw_sha256), raw_size, stored_sha256, \
     stored_size, 'none' FROM block WHERE id = BLOCK",
    "LOCK TABLES segment WRITE",
    "UNLOCK TABLES",
    "ALTER TABLE hold DROP COLUMN op",
    "SET STATEMENT foreign_key_checks = 0 FOR DELETE FROM segment",
    "HANDLER segment OPEN",
    "BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END; DELETE FROM segment WHERE artifact_id = ARTIFACT; END",
];

const TRANSACTIONS: &[&str] = &[
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT here",
    "ROLLBACK TO SAVEPOINT here",
    "START TRANSACTION READ ONLY",
    "SELECT COUNT(*) FROM item",
    "SELECT id FROM archive FOR UPDATE",
];

/// What must stay.
struct Kept {
    contents: Vec<Vec<u8>>,
    items: Vec<Item>,
    holds: Vec<String>,
}

/// Archives a content of several blocks, one alone and some in one block; holds the first of each, one twice.
fn prepare(archive: &mut AnyArchive) -> Kept {
    let mut random = fastrand::Rng::with_seed(5);
    let contents = [1_100_000, 90_000, 80_000, 500, 600, 700];
    let contents = contents.map(|length| std::iter::repeat_with(|| random.u8(..)).take(length).collect::<Vec<u8>>());
    for some in [&contents[..1], &contents[1..2], &contents[2..3], &contents[3..]] {
        store(archive, &some.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    }
    let items: Vec<Item> =
        contents.iter().enumerate().map(|(number, content)| item(&format!("src/{number}"), content)).collect();
    archive_items(archive, &items).unwrap();
    let held = [0, 1, 3, 3];
    let holds: Vec<Hold> = held.iter().map(|number| hold(&items[*number])).collect();
    archive.set_holds(&holds).unwrap();
    // One that was set and released again: its release must not serve another hold.
    let released = hold(&items[3]);
    archive.set_holds(std::slice::from_ref(&released)).unwrap();
    let mut record = Record::new(Action::HoldReleased, OperationId::generate(), Timestamp::now());
    record.tombstone = Some(released.tombstone);
    record.sha256 = Some(items[3].sha256);
    record.status = Some(Status::Done);
    record.request = released.id.map(|id| id.to_string());
    archive.release_holds(&[Event::from_record(&record).unwrap()]).unwrap();
    let holds = holds_of(archive);
    let contents = [0, 1, 3].map(|number: usize| contents[number].clone()).to_vec();
    let items = [0, 1, 3].map(|number: usize| items[number].clone()).to_vec();
    Kept { contents, items, holds }
}

fn hold(item: &Item) -> Hold {
    Hold {
        tombstone: item.tombstone,
        id: Some(OperationId::generate()),
        name: Some("CASE-7".to_owned()),
        set_by: Some("Ada <ada@example.org>".to_owned()),
        reason: Some("Litigation".to_owned()),
        set_at: Timestamp::now(),
    }
}

/// Returns the holds that the program set.
fn holds_of(archive: &mut AnyArchive) -> Vec<String> {
    let holds = archive.holds().unwrap().into_iter().filter(|(hold, _)| hold.reason.is_some());
    holds.map(|(hold, _)| format!("{hold:?}")).collect()
}

#[test]
fn nothing_that_a_raw_client_says_destroys_what_is_held() {
    let rounds = if std::env::var_os("ARCHIVE_TOMB_HAMMER").is_some() { 5_000 } else { 50 };
    for kind in KINDS {
        let database = Database::new(kind);
        let url = SecretUrl::new(&database.login.url());
        let location = match kind {
            Kind::Postgres => Location::Postgres(url),
            Kind::Mariadb => Location::Mariadb(url),
        };
        let mut archive = location.open(None, OpenMode::CreateOrMigrate).unwrap();
        let kept = prepare(&mut *archive);
        let newest = database.login.sql("SELECT MAX(id) FROM event");
        let events = format!(
            "SELECT id, digest, op, action, actor, item_id, created_at, line FROM event WHERE id <= {newest} ORDER BY id"
        );
        let mut owner = database.login.session();
        let recorded = owner.ask(&events);
        let account = Account::new(&database);
        match kind {
            Kind::Postgres => {
                account.grant("SELECT, INSERT, UPDATE, DELETE, TRUNCATE");
                let user = &account.login.user;
                database.login.sql(&format!("CREATE SCHEMA games AUTHORIZATION {user}"));
            }
            Kind::Mariadb => account.grant("SELECT, INSERT, UPDATE, DELETE, EXECUTE, LOCK TABLES"),
        }
        let (settings, own) = match kind {
            Kind::Postgres => (POSTGRES_SETTINGS, POSTGRES),
            Kind::Mariadb => (MARIADB_SETTINGS, MARIADB),
        };
        let mut random = fastrand::Rng::with_seed(11);
        let mut session = account.login.session();
        for round in 0..rounds {
            if round % 20 == 0 {
                session = account.login.session();
            }
            let mut said = String::new();
            for _ in 0..random.usize(3..12) {
                let list = match random.u8(..10) {
                    0 => settings,
                    1..3 => TRANSACTIONS,
                    3..5 => own,
                    _ => ATTEMPTS,
                };
                let attempt = list[random.usize(..list.len())];
                let attempt = fill(&mut random, kind, attempt);
                writeln!(said, "{attempt};").unwrap();
            }
            said.push_str(if random.bool() { "COMMIT" } else { "ROLLBACK" });
            session.say(&said);
            session.ask(if kind == Kind::Mariadb { "UNLOCK TABLES" } else { "ROLLBACK" });
            for (content, item) in kept.contents.iter().zip(&kept.items) {
                let read = read(&mut *archive, content);
                assert!(
                    read.as_ref().is_ok_and(|bytes| bytes == content),
                    "{kind:?}, {}: {read:?} after\n{said}",
                    item.path
                );
            }
            assert_eq!(holds_of(&mut *archive), kept.holds, "{kind:?}: {said}");
            assert_eq!(owner.ask(&events), recorded, "{kind:?}: {said}");
        }
        drop(session);
        drop(owner);
        // It is the guards that this account meets, and not the want of a privilege.
        database.login.sql(match kind {
            Kind::Postgres => "ALTER TABLE segment DISABLE TRIGGER USER",
            Kind::Mariadb => "DROP TRIGGER segment_delete",
        });
        account.login.sql("DELETE FROM segment WHERE artifact_id = 1");
        assert!(read(&mut *archive, &kept.contents[0]).is_err());
    }
}
