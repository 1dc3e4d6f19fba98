//! Rows that somebody else wrote: what cannot be is damage, is said so, and costs no memory.

use std::process::Stdio;

use super::{Database, KINDS, Kind};
use crate::common::{Repo, Run, World};

/// The most memory in bytes that a command may use over rows of any size. Of an answer 32 MiB are kept at most, in buffers that
/// may be twice as long, as the network happens to cut them.
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

/// Returns the SQL that makes a column one that takes any text.
fn widen(kind: Kind, table: &str, column: &str) -> String {
    match kind {
        Kind::Postgres => format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL;"),
        Kind::Mariadb => format!("ALTER TABLE {table} MODIFY {column} LONGTEXT CHARACTER SET utf8mb4;"),
    }
}

/// Changes rows past every check.
fn change(database: &Database, sql: &str) {
    match database.login.kind {
        Kind::Postgres => database.login.sql(sql),
        Kind::Mariadb => database.login.sql(&format!("SET check_constraint_checks = 0, sql_mode = ''; {sql}")),
    };
}

/// The texts, and the commands that read them.
const TEXTS: [(&str, &str, &[Command]); 16] = [
    ("item", "repo", &[Command::Show, Command::List]),
    ("item", "commit_sha", &[Command::Show, Command::List]),
    ("item", "language", &[Command::Show, Command::List]),
    ("item", "metadata", &[Command::Show, Command::List]),
    ("item", "archived_by", &[Command::Show, Command::List]),
    ("item", "archived_at", &[Command::Show]),
    ("item", "restored_at", &[Command::Show, Command::List]),
    ("item", "origin", &[Command::Show, Command::List]),
    ("tag", "tag", &[Command::Show]),
    ("referent", "ref_value", &[Command::Show]),
    ("event", "line", &[Command::Show, Command::Migrate]),
    ("artifact", "created_at", &[Command::Migrate]),
    ("approval", "approver", &[Command::Migrate]),
    ("archive", "superseded_by", &[Command::Store]),
    ("archive", "id", &[Command::List]),
    // Last, since it is in the way of the next one's test.
    ("item", "op", &[Command::Store, Command::Doctor]),
];

/// What reads texts.
#[derive(Debug, Clone, Copy)]
enum Command {
    Show,
    List,
    Store,
    Doctor,
    Migrate,
}

#[test]
fn a_text_of_any_length_in_any_column_is_damage_and_costs_no_memory() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = open_tables(kind, &repo);
        let tombstone = repo.tombstone_at("docs/old.md");
        // Where it has not happened yet, the same can be stored again.
        repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
        let repo = database.used_by(&repo);
        let copy = format!("sqlite:///{}", world.at("copy.sqlite").path.display());
        // What is read in full is in memory twice and more. What MariaDB makes is as long as a packet at most.
        let longest = if kind == Kind::Postgres { MEMORY / 2 } else { 15 << 20 };
        let (mut setup, mut tables) = (String::new(), Vec::new());
        setup.push_str("INSERT INTO approval (item_id, purpose, approver, approved_at) SELECT id, 'purge', 'A', archived_at FROM item;");
        for (table, column, _) in TEXTS {
            setup.push_str(&widen(kind, table, column));
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        for table in tables {
            setup.extend(["CREATE TABLE kept_", table, " AS SELECT * FROM ", table, ";"]);
        }
        change(&database, &setup);
        let mut mend = String::new();
        for (table, column, commands) in TEXTS {
            // The longest only where the reading of it is not that of another one here.
            let alike = matches!(table, "item" | "tag" | "referent") && !["repo", "op"].contains(&column);
            let longest = if alike { 70_000 } else { longest };
            change(&database, &format!("{mend} UPDATE {table} SET {column} = REPEAT('x', {longest})"));
            for command in commands {
                let arguments: &[&str] = match command {
                    Command::Show => &["show", &tombstone],
                    Command::List => &["list"],
                    Command::Store => &["store", "docs"],
                    Command::Doctor => {
                        change(&database, "UPDATE item SET state = 'pending'");
                        &["doctor"]
                    }
                    Command::Migrate => &["migrate", "--to", &copy],
                };
                damaged(&repo, arguments, &format!("{kind:?} {table}.{column}"));
            }
            let key = match table {
                "tag" | "referent" => "item_id",
                "archive" => "singleton",
                _ => "id",
            };
            mend = format!(
                "UPDATE {table} SET {column} = (SELECT k.{column} FROM kept_{table} k WHERE k.{key} = {table}.{key});"
            );
        }
        change(&database, &format!("{mend} UPDATE item SET state = 'sealed'"));
        repo.tomb_ok(&["show", &tombstone]);
        // Many rows in the place of one.
        let rows = "SELECT item_id, 1000 + n, REPEAT('y', 60000) FROM tag, numbers";
        let numbers = match kind {
            Kind::Postgres => "CREATE TABLE numbers AS SELECT generate_series(1, 2400) AS n",
            Kind::Mariadb => "CREATE TABLE numbers AS SELECT seq AS n FROM seq_1_to_2400",
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
