//! How archives come to be, and from one schema to the next.

use std::collections::HashSet;

use super::{Database, item};
use crate::archive::migration::{Migration, migrations};
use crate::archive::{Archive, ArchiveError, OpenMode, schema};
use crate::id::{OperationId, Sha256};
use crate::item::Backend;

const MODES: [OpenMode; 3] = [OpenMode::Existing, OpenMode::CreateIfMissing, OpenMode::CreateOrMigrate];

/// Returns the number of our newest migration.
fn newest<E: Database>() -> u32 {
    migrations(E::BACKEND).last().expect("there are some").version
}

/// Returns our migrations and one that a later version of the program might bring.
fn with_later<E: Database>(sql: &'static str) -> Vec<Migration> {
    let own = migrations(E::BACKEND).iter();
    let own = own.map(|Migration { version, name, sql, program }| Migration { version: *version, name, sql, program });
    let version = newest::<E>() + 1;
    own.chain([Migration { version, name: "later", sql, program: "9.8.7" }]).collect()
}

fn opened<E: Database>(engine: &E, mode: OpenMode) -> Result<Box<dyn Archive>, ArchiveError> {
    engine.try_open(mode, migrations(E::BACKEND))
}

/// Opens with `mode`, expecting to be refused.
fn refused<E: Database>(engine: &E, mode: OpenMode) -> ArchiveError {
    opened(engine, mode).err().expect("is refused")
}

/// Asserts that two databases are described alike, and says what is not.
fn assert_alike(left: &[String], right: &[String]) {
    let only = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    assert_eq!(only(left, right), only(right, left));
}

pub(in crate::archive) fn an_archive_is_not_made_unasked<E: Database>() {
    let engine = E::without_archive();
    for _ in 0..2 {
        assert!(matches!(refused(&engine, OpenMode::Existing), ArchiveError::Missing { .. }));
    }
    opened(&engine, OpenMode::CreateOrMigrate).expect("makes one");
    opened(&engine, OpenMode::Existing).expect("opens");
}

pub(in crate::archive) fn only_init_brings_an_older_archive_up_to_date_and_there_is_no_way_back<E: Database>() {
    let engine = E::create();
    let item = item(&mut *engine.open(), b"a", b"a");
    engine.open().begin(OperationId::generate(), "here", std::slice::from_ref(&item)).expect("begins");
    let id = engine.open().id().to_owned();
    let later = with_later::<E>("CREATE TABLE later (x INTEGER);\n");
    for mode in [OpenMode::Existing, OpenMode::CreateIfMissing] {
        let refused = engine.try_open(mode, &later).err().expect("is refused");
        let newest = newest::<E>();
        assert!(
            matches!(refused, ArchiveError::Older { found, current, .. } if (found, current) == (newest, newest + 1)),
            "{refused:?}"
        );
    }
    for _ in 0..2 {
        let mut archive = engine.try_open(OpenMode::CreateOrMigrate, &later).expect("migrates");
        assert_eq!(archive.id(), id);
        assert!(archive.item(&item.tombstone).expect("looks").is_some());
    }
    for mode in MODES {
        match refused(&engine, mode) {
            ArchiveError::Newer { found, needs, .. } => assert_eq!((found, &*needs), (newest::<E>() + 1, "9.8.7")),
            other => panic!("{other:?}"),
        }
    }
}

pub(in crate::archive) fn a_changed_migration_is_noticed<E: Database>() {
    let engine = E::create();
    engine.owner("UPDATE migration SET sha256 = 'x'").expect("changes");
    for mode in MODES {
        assert!(matches!(refused(&engine, mode), ArchiveError::ChangedMigration { version: 1, .. }));
    }
}

pub(in crate::archive) fn line_ends_do_not_change_a_migration<E: Database>() {
    let elsewhere = migrations(E::BACKEND).iter().map(|Migration { version, name, sql, program }| {
        let sql: &'static str = sql.replace('\n', "\r\n").leak();
        Migration { version: *version, name, sql, program }
    });
    let engine = E::without_archive();
    let checked_out_elsewhere: Vec<Migration> = elsewhere.collect();
    engine.try_open(OpenMode::CreateOrMigrate, &checked_out_elsewhere).expect("makes an archive");
    opened(&engine, OpenMode::Existing).expect("opens");
    assert_alike(&engine.dump(), &E::create().dump());
}

pub(in crate::archive) fn a_failed_migration_leaves_a_usable_archive<E: Database>() {
    let engine = E::create();
    let before = engine.dump();
    let broken = with_later::<E>("CREATE TABLE later (x INTEGER);\nINSERT INTO nowhere VALUES (1);\n");
    engine.try_open(OpenMode::CreateOrMigrate, &broken).err().expect("is refused");
    engine.open().ping().expect("answers");
    // MariaDB commits at every change of a schema; what the migration has left there, its next run finds.
    if E::BACKEND != Backend::Mariadb {
        assert_alike(&engine.dump(), &before);
    }
    let mended = with_later::<E>("CREATE TABLE IF NOT EXISTS later (x INTEGER);\n");
    engine.try_open(OpenMode::CreateOrMigrate, &mended).expect("migrates");
}

pub(in crate::archive) fn eight_programs_make_one_archive<E: Database>() {
    let engine = E::without_archive();
    let open = || opened(&engine, OpenMode::CreateOrMigrate).expect("opens").id().to_owned();
    let ids: HashSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("ends")).collect()
    });
    assert_eq!(ids.len(), 1);
    assert_alike(&engine.dump(), &E::create().dump());
}

/// The tables of the Python tool by their columns, and of others that merely use our words.
pub(in crate::archive) fn another_programs_tables_are_left_alone<E: Database>() {
    let bytes = if E::BACKEND == Backend::Postgres { "BYTEA" } else { "BLOB" };
    let python = format!("CREATE TABLE artifact (id VARCHAR(36), content_sha256 VARCHAR(64), blob_bytes {bytes})");
    for (tables, is_python) in [
        (&[&*python, "CREATE TABLE item (id INT)", "CREATE TABLE event (id INT)"][..], true),
        (&["CREATE TABLE artifact (id INT)"], false),
        (&["CREATE TABLE event (id INT)"], false),
        (&["CREATE TABLE migration (id INT, version INT)"], false),
        (&["CREATE TABLE migration (id INT)", "CREATE TABLE archive (id INT)"], false),
        (&["CREATE TABLE other (id INT)", "CREATE VIEW block AS SELECT id FROM other"], false),
        // No name of ours, and still somebody's.
        (&["CREATE TABLE other (id INT)"], false),
    ] {
        let engine = E::without_archive();
        for table in tables {
            engine.owner(table).expect(table);
        }
        let before = engine.dump();
        for mode in MODES {
            match refused(&engine, mode) {
                ArchiveError::PythonArchive { .. } if is_python => {}
                ArchiveError::NotAnArchive { .. } if !is_python => {}
                other => panic!("{tables:?} {mode:?} {other:?}"),
            }
        }
        assert_alike(&engine.dump(), &before);
    }
}

/// What comes to stand beside an archive is its owner's business.
pub(in crate::archive) fn an_archive_with_tables_beside_it_stays_one<E: Database>() {
    let engine = E::create();
    engine.owner("CREATE TABLE other (id INT)").expect("makes a table");
    for mode in MODES {
        opened(&engine, mode).expect("opens");
    }
}

pub(in crate::archive) fn an_archive_made_by_hand_equals_one_made_by_init<E: Database>() {
    let (by_hand, by_init) = (E::without_archive(), E::create());
    by_hand.run_by_its_client(&schema(E::BACKEND));
    assert_alike(&by_hand.dump(), &by_init.dump());
    opened(&by_hand, OpenMode::CreateOrMigrate).expect("is current");
    assert_alike(&by_hand.dump(), &by_init.dump());
    let mut archive = by_hand.open();
    let id = uuid::Uuid::parse_str(archive.id()).expect("is a UUID");
    assert_eq!((id.get_version_num(), id.get_variant()), (4, uuid::Variant::RFC4122));
    assert_eq!(id.to_string(), archive.id());
    item(&mut *archive, b"a", b"a");
}

/// Some who come from the Python tool ask the database itself.
pub(in crate::archive) fn the_queries_of_the_python_tools_handbook_run<E: Database>() {
    let (engine, _) = super::with_held_item::<E>();
    let mut client = engine.client();
    for query in [
        "SELECT repo, path, archived_at, tombstone_id FROM item ORDER BY archived_at DESC LIMIT 20",
        "SELECT content_sha256, COUNT(*) AS reuse_count FROM artifact a JOIN item i ON i.artifact_id = a.id
         GROUP BY content_sha256 HAVING COUNT(*) > 1 ORDER BY reuse_count DESC",
    ] {
        client(query).expect(query);
    }
    if E::BACKEND == Backend::Sqlite {
        client("SELECT json_group_array(metadata) FROM item").expect("runs");
    }
}

/// Migration 2 makes holds of what was a column: by the stores whose records asked for them, where these are known.
pub(in crate::archive) fn an_older_archive_keeps_its_holds<E: Database>() {
    let engine = E::without_archive();
    engine.try_open(OpenMode::CreateOrMigrate, &migrations(E::BACKEND)[..1]).expect("makes an archive as it was");
    let path = if E::BACKEND == Backend::Postgres { "'\\x61'" } else { "x'61'" };
    let digest = |number: u32| Sha256::of(&number.to_le_bytes());
    let op = |number: u32| format!("0199f1a2-0000-7000-8000-00000000000{number}");
    let tombstone = |number: u32| format!("0199f1a2-0000-5000-8000-00000000000{number}");
    engine
        .owner(&format!(
            "INSERT INTO artifact (content_sha256, size_bytes, created_at) VALUES ('{}', 0, '2026-01-01T00:00:00.000Z')",
            Sha256::of(b"")
        ))
        .expect("adds");
    // Held by two stores, held and pending, held by nobody knows whom, held and undone, free.
    let rows =
        [(1, "sealed", true), (2, "pending", true), (3, "sealed", true), (4, "undone", true), (5, "sealed", false)];
    for (number, state, held) in rows {
        let sql = format!(
            "INSERT INTO item (tombstone_id, artifact_id, repo, path, path_bytes, commit_sha, object_id, mode, kind, reason,
               legal_hold, archived_by, archived_at, state, op, origin)
             VALUES ('{}', 1, 'repo', 'a', {path}, '{commit}', '{commit}', '100644', 'code', 'dead', {held}, 'A',
               '2026-01-01T00:00:00.000Z', '{state}', '{}', 'here')",
            tombstone(number),
            op(number),
            commit = "7".repeat(40)
        );
        engine.owner(&sql).expect(&sql);
    }
    for (number, op, item, held) in
        [(1, op(1), 1, true), (2, op(6), 1, false), (3, op(7), 1, true), (4, op(3), 3, false)]
    {
        let held = if held { "\"legal_hold\":true" } else { "\"reason\":\"\\\\\"legal_hold\\\\\":true\"" };
        let held = if E::BACKEND == Backend::Mariadb { held.to_owned() } else { held.replace("\\\\", "\\") };
        let sql = format!(
            "INSERT INTO event (digest, op, action, actor, item_id, tombstone_id, created_at, line)
             VALUES ('{}', '{op}', 'ARCHIVE', 'B', {item}, '{}', '2026-01-02T00:00:00.000Z', '{{{held}}}')",
            digest(number),
            tombstone(item),
        );
        engine.owner(&sql).expect(&sql);
    }
    let mut archive = opened(&engine, OpenMode::CreateOrMigrate).expect("migrates");
    let holds = archive.holds_page(0).expect("reads");
    let mut found: Vec<_> = holds
        .iter()
        .map(|(_, known)| {
            (known.hold.tombstone.to_string(), known.hold.id.map(|id| id.to_string()), known.hold.set_by.as_deref())
        })
        .collect();
    found.sort();
    let expected = [
        (tombstone(1), Some(op(1)), Some("B")),
        (tombstone(1), Some(op(7)), Some("B")),
        (tombstone(2), Some(op(2)), Some("A")),
        (tombstone(3), None, None),
    ];
    assert_eq!(found, expected);
    assert!(holds.iter().all(|(_, known)| known.released.is_none()));
    let items = archive.items_page(None).expect("reads");
    let held: Vec<bool> = items.iter().map(|known| known.stored.item.legal_hold).collect();
    assert_eq!(held, [true, true, true, false, false]);
}
