//! Rows that somebody else wrote: what cannot be is damage, is said so, and costs no memory.

use std::process::Stdio;

use super::{Database, KINDS, Kind};
use crate::common::{Repo, Run, World};

/// The most memory in bytes that a command may use over rows of any size.
const MEMORY: u64 = 96 << 20;

/// Runs a command, which must find damage, and returns what it printed. However large a row is, memory stays small.
#[track_caller]
fn damaged(repo: &Repo<'_>, arguments: &[&str], what: &str) -> Run {
    let mut command = repo.command(env!("CARGO_BIN_EXE_git-archive-tomb"));
    let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kibibytes.unwrap_or_default() << 10);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(5), "{what} {arguments:?}: {run}");
    assert!(run.stderr_text().contains("the archive is damaged"), "{what} {arguments:?}: {run}");
    assert!(run.all_text().len() < 4096, "{what} {arguments:?}");
    assert!(peak < MEMORY, "{what} {arguments:?}: {peak} bytes");
    run
}

/// Returns an archive whose tables take anything, with one item.
fn open_tables(kind: Kind, repo: &Repo<'_>) -> Database {
    let database = Database::with_archive(kind, repo);
    let repo = database.used_by(repo);
    repo.tomb_ok(&["store", "docs", "--tag", "t", "--ref", "pr=1", "--language", "text", "--mime", "text/plain"]);
    repo.commit("archive");
    match kind {
        Kind::Postgres => {
            database.login.sql(
                "DO $$ DECLARE r record; BEGIN
                   FOR r IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE contype IN ('c', 'f') LOOP
                     IF r.t::text IN ('artifact', 'block', 'segment', 'item', 'tag', 'referent', 'event', 'archive', 'approval')
                     THEN EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', r.t, r.conname); END IF; END LOOP;
                   FOR r IN SELECT tgrelid::regclass AS t FROM pg_trigger WHERE NOT tgisinternal LOOP
                     EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', r.t); END LOOP;
                   FOR r IN SELECT indexrelid::regclass AS i FROM pg_index JOIN pg_class c ON c.oid = indrelid
                     WHERE c.relname IN ('item', 'event') AND NOT indisprimary AND NOT indisunique LOOP
                     EXECUTE format('DROP INDEX %s', r.i); END LOOP; END $$;
                 DROP VIEW held_artifact; ALTER TABLE item DROP CONSTRAINT item_tombstone_id_key; ALTER TABLE event DROP CONSTRAINT event_digest_key",
            );
        }
        Kind::Mariadb => {
            let drops = database.login.sql(
                "SELECT CONCAT('DROP TRIGGER ', trigger_name) FROM information_schema.triggers
                   WHERE trigger_schema = DATABASE()
                 UNION ALL SELECT DISTINCT CONCAT('ALTER TABLE `', table_name, '` DROP INDEX `', index_name, '`')
                   FROM information_schema.statistics WHERE table_schema = DATABASE() AND index_name <> 'PRIMARY'
                   AND table_name IN ('item', 'event') AND column_name NOT IN ('artifact_id', 'item_id')",
            );
            for drop in drops.lines() {
                database.login.sql(drop);
            }
        }
    }
    database
}

/// Makes a column one that takes any text.
fn widen(database: &Database, table: &str, column: &str) {
    match database.login.kind {
        Kind::Postgres => database.login.sql(&format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")),
        Kind::Mariadb => database.login.sql(&format!(
            "SET check_constraint_checks = 0; ALTER TABLE {table} MODIFY {column} LONGTEXT CHARACTER SET utf8mb4"
        )),
    };
}

/// Changes rows past every check.
fn change(database: &Database, sql: &str) {
    match database.login.kind {
        Kind::Postgres => database.login.sql(sql),
        Kind::Mariadb => database.login.sql(&format!("SET check_constraint_checks = 0, sql_mode = ''; {sql}")),
    };
}

#[test]
fn a_text_of_any_length_in_any_column_is_damage_and_costs_no_memory() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = open_tables(kind, &repo);
        let tombstone = repo.tombstone_at("docs/old.md");
        let repo = database.used_by(&repo);
        // What MariaDB makes is as long as a packet at most.
        let longest = if kind == Kind::Postgres { 100 << 20 } else { 15 << 20 };
        for (table, column) in [
            ("item", "repo"),
            ("item", "commit_sha"),
            ("item", "language"),
            ("item", "metadata"),
            ("item", "archived_by"),
            ("item", "archived_at"),
            ("item", "restored_at"),
            ("item", "origin"),
            ("tag", "tag"),
            ("referent", "ref_value"),
            ("event", "line"),
        ] {
            widen(&database, table, column);
            let length = if ["repo", "line"].contains(&column) { longest } else { 70_000 };
            let copy = if kind == Kind::Postgres { "TEXT" } else { "LONGTEXT" };
            database.login.sql(&format!("ALTER TABLE {table} ADD COLUMN kept {copy}"));
            change(&database, &format!("UPDATE {table} SET kept = {column}"));
            change(&database, &format!("UPDATE {table} SET {column} = REPEAT('x', {length})"));
            damaged(&repo, &["show", &tombstone], &format!("{kind:?} {table}.{column}"));
            if table == "item" && column != "archived_at" {
                damaged(&repo, &["list"], &format!("{kind:?} {table}.{column}"));
            }
            change(&database, &format!("UPDATE {table} SET {column} = kept"));
            database.login.sql(&format!("ALTER TABLE {table} DROP COLUMN kept"));
        }
        repo.tomb_ok(&["show", &tombstone]);
        // Many rows in the place of one.
        database.login.sql("ALTER TABLE tag ADD COLUMN filler INT");
        let rows = "SELECT item_id, 1000 + n, REPEAT('y', 60000) FROM tag, numbers";
        let numbers = match kind {
            Kind::Postgres => "CREATE TABLE numbers AS SELECT generate_series(1, 3000) AS n",
            Kind::Mariadb => "CREATE TABLE numbers AS SELECT seq AS n FROM seq_1_to_3000",
        };
        database.login.sql(numbers);
        change(&database, &format!("INSERT INTO tag (item_id, position, tag) {rows} WHERE position = 0"));
        damaged(&repo, &["show", &tombstone], &format!("{kind:?} tags"));
    }
}

#[test]
fn numbers_that_cannot_be_are_damage() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = open_tables(kind, &repo);
        let tombstone = repo.tombstone_at("docs/old.md");
        let repo = database.used_by(&repo);
        let offset = if kind == Kind::Postgres { "\"offset\"" } else { "`offset`" };
        for (table, column, value, command) in [
            ("artifact", "size_bytes", "-1", "show"),
            ("block", "raw_size", "-5", "cat"),
            ("block", "raw_size", "2000000", "cat"),
            ("segment", offset, "-1", "cat"),
            ("segment", "length", "-9", "cat"),
            ("segment", "length", "9223372036854775807", "show"),
            ("block", "codec", "'lzma'", "cat"),
            ("block", "stored_sha256", "'zz'", "cat"),
            ("item", "mode", "'777'", "show"),
            ("item", "state", "'lost'", "show"),
            ("item", "metadata", "'[1]'", "show"),
            ("item", "archived_at", "'soon'", "list"),
            ("item", "path_bytes", "''", "show"),
        ] {
            let before = database.login.sql(&format!(
                "SELECT CASE WHEN {column} IS NULL THEN '' ELSE {} END FROM {table}",
                match (kind, column) {
                    (Kind::Postgres, "path_bytes") => "encode(path_bytes, 'escape')".to_owned(),
                    (Kind::Postgres, column) => format!("{column}::text"),
                    (Kind::Mariadb, column) => column.to_owned(),
                }
            ));
            change(&database, &format!("UPDATE {table} SET {column} = {value}"));
            let arguments = if command == "list" { vec!["list"] } else { vec![command, &tombstone] };
            damaged(&repo, &arguments, &format!("{kind:?} {table}.{column} = {value}"));
            change(&database, &format!("UPDATE {table} SET {column} = '{before}'"));
        }
        repo.tomb_ok(&["cat", &tombstone]);
        // A block that is longer than a block.
        let bytes = match kind {
            Kind::Postgres => "decode(repeat('00', 8000000), 'hex')",
            Kind::Mariadb => "REPEAT('x', 8000000)",
        };
        change(&database, &format!("UPDATE block SET bytes = {bytes}, stored_size = 8000000"));
        damaged(&repo, &["cat", &tombstone], &format!("{kind:?} block"));
    }
}

#[test]
fn columns_of_another_type_and_nothing_where_something_must_be_are_damage() {
    for kind in KINDS {
        let (change_type, any) = match kind {
            Kind::Postgres => ("ALTER COLUMN", "TYPE"),
            Kind::Mariadb => ("MODIFY", ""),
        };
        for (table, column, to, using, command) in [
            ("artifact", "size_bytes", "TEXT", "'many'", "show"),
            ("item", "dirty", "TEXT", "''", "show"),
            ("item", "repo", "DATE", "NULL", "show"),
            ("block", "bytes", "BIGINT", "7", "cat"),
        ] {
            let world = World::new();
            let repo = world.sample("project");
            let database = open_tables(kind, &repo);
            let tombstone = repo.tombstone_at("docs/old.md");
            match kind {
                Kind::Postgres => database.login.sql(&format!(
                    "ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL, ALTER COLUMN {column} DROP DEFAULT,
                     {change_type} {column} {any} {to} USING {using}"
                )),
                Kind::Mariadb => {
                    let base = format!("SET check_constraint_checks = 0, sql_mode = ''; ALTER TABLE {table}");
                    database.login.sql(&format!("{base} {change_type} {column} {any} {to} NULL"));
                    database.login.sql(&format!(
                        "{} UPDATE {table} SET {column} = {using}",
                        "SET check_constraint_checks = 0, sql_mode = '';"
                    ))
                }
            };
            let what = format!("{kind:?} {table}.{column} {to} {using}");
            damaged(&database.used_by(&repo), &[command, &tombstone], &what);
        }
        // A table that is not there.
        {
            let sql = "DROP TABLE referent";
            let world = World::new();
            let repo = world.sample("project");
            let database = open_tables(kind, &repo);
            let tombstone = repo.tombstone_at("docs/old.md");
            database.login.sql(sql);
            damaged(&database.used_by(&repo), &["show", &tombstone], &format!("{kind:?} {sql}"));
        }
    }
}
