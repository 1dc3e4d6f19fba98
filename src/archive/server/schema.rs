//! How an archive on a server gets its schema.

use std::collections::HashSet;

use super::connection::{Connection, Value, text};
use super::{damaged, failed, in_groups, insert_rows};
use crate::archive::ArchiveError;
use crate::archive::migration::{self, Applied, Migration};
use crate::clock::Timestamp;

/// The tables and views of an archive.
const TABLES: &[&str] = &[
    "migration",
    "archive",
    "artifact",
    "block",
    "segment",
    "item",
    "tag",
    "referent",
    "approval",
    "event",
    "hold",
    "purged",
    "held_artifact",
];

/// The columns by which our table `migration`, the first one that is made, differs from other programs' tables.
const MARKS: [&str; 3] = ["version", "sha256", "program"];

const OTHER_TABLES: &str = "it has another program's tables";

/// How many migrations are looked at: more than there will be, and few enough for any answer.
const MIGRATIONS: usize = 1024;

/// What a database is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has no archive; perhaps the making of one was stopped.
    None,
    /// An archive with all of this program's migrations.
    Current,
    /// An archive that lacks some of them; the number of its newest.
    Older(u32),
}

/// Says what the database is, and checks that this program knows its schema.
pub(super) fn inspect(
    connection: &mut dyn Connection,
    archive: &str,
    migrations: &[Migration],
) -> Result<Found, ArchiveError> {
    let failed = failed("read the schema");
    let mut columns = HashSet::new();
    let sql = connection.dialect().columns.replace("IN (…)", &format!("IN ('{}')", TABLES.join("', '")));
    for row in connection.query(&sql, &[]).map_err(failed)? {
        columns.insert((row.text(0).map_err(failed)?, row.text(1).map_err(failed)?));
    }
    let has = |table: &str| columns.iter().any(|(name, _)| name == table);
    let has_column = |table: &str, column: &str| columns.contains(&(table.to_owned(), column.to_owned()));
    if !MARKS.iter().all(|column| has_column("migration", column)) {
        // The Python tool's archive, and whatever else somebody has tables for, is left alone, also where no name is ours:
        // an address is more easily mistyped than a database shared on purpose.
        if has_column("artifact", "blob_bytes") {
            return Err(ArchiveError::PythonArchive { archive: archive.to_owned() });
        }
        let mut is_used = !columns.is_empty();
        // Not those of our names, which another program may have begun to make since.
        in_groups(TABLES.iter().map(|table| (*table).into()), connection.dialect().other_table, |sql, values| {
            is_used |= !connection.query(sql, values).map_err(failed)?.is_empty();
            Ok(())
        })?;
        if is_used {
            return Err(ArchiveError::NotAnArchive { archive: archive.to_owned(), reason: OTHER_TABLES });
        }
        return Ok(Found::None);
    }
    if !has("archive") {
        return Ok(Found::None);
    }
    let mut applied = Vec::new();
    let (sha256, program) = (text("sha256"), text("program"));
    let sql = format!("SELECT version, {sha256}, {program} FROM migration ORDER BY version LIMIT {MIGRATIONS}");
    for row in connection.query(&sql, &[]).map_err(failed)? {
        let version = row.integer(0).map_err(failed)?;
        let version = u32::try_from(version).map_err(|_| damaged(format!("`{version}` in column `version`")))?;
        applied.push(Applied { version, sha256: row.text(1).map_err(failed)?, program: row.text(2).map_err(failed)? });
    }
    let newest = migration::newest(archive, applied, migrations)?;
    let current = migrations.last().map_or(0, |migration| migration.version);
    Ok(match newest {
        // MariaDB commits at every step: tables without a migration are what a stop has left.
        0 => Found::None,
        newest if newest == current => Found::Current,
        newest => Found::Older(newest),
    })
}

/// Applies the migrations that are missing. Safe when several programs do it at once: the first one does it for all.
pub(super) fn migrate(
    connection: &mut dyn Connection,
    archive: &str,
    migrations: &[Migration],
) -> Result<(), ArchiveError> {
    let failed = failed("make the schema");
    let dialect = connection.dialect();
    for statement in dialect.begin_migration {
        connection.run(statement).map_err(failed)?;
    }
    let result = lock_and_apply(connection, archive, migrations);
    let end = if result.is_ok() { dialect.end_migration } else { dialect.abandon_migration };
    let ended = connection.run(end).map_err(failed);
    result.and(ended)
}

fn lock_and_apply(
    connection: &mut dyn Connection,
    archive: &str,
    migrations: &[Migration],
) -> Result<(), ArchiveError> {
    let failed = failed("make the schema");
    let rows = connection.query(connection.dialect().lock_migration, &[]).map_err(failed)?;
    if !rows.first().is_some_and(|row| row.integer(0).is_ok_and(|locked| locked == 1)) {
        return Err(ArchiveError::Busy { source: "another program migrates it".into() });
    }
    let newest = match inspect(connection, archive, migrations)? {
        Found::Current => return Ok(()),
        Found::None => 0,
        Found::Older(newest) => newest,
    };
    let missing = migrations.iter().filter(|migration| migration.version > newest);
    for migration in missing.clone() {
        connection.run(&migration.text()).map_err(failed)?;
    }
    // All at once, and last: MariaDB commits at every step, and an archive that was stopped while it was made is none, not one of
    // an earlier version.
    let now = Timestamp::now().to_string();
    let rows = missing.map(|migration| {
        [
            Value::from(i64::from(migration.version)),
            migration.name.into(),
            migration.sha256().to_string().into(),
            migration.program.into(),
            now.clone().into(),
        ]
    });
    let sql = "INSERT INTO migration (version, name, sha256, program, applied_at) VALUES …";
    insert_rows(connection, sql, rows).map_err(failed)
}
