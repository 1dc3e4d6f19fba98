//! The schemas of archives on servers, and how they come to be.

use std::fmt::Write as _;

use super::address::Engine;
use super::connection::{Connection, Value};
use super::{damaged, failed};
use crate::archive::ArchiveError;
use crate::archive::migration::{self, Applied, Migration};
use crate::clock::Timestamp;

const POSTGRES: &[Migration] = &[Migration {
    version: 1,
    name: "initial",
    sql: include_str!("../../../schemas/postgres/0001_initial.sql"),
    program: "0.2.0",
}];

const MARIADB: &[Migration] = &[Migration {
    version: 1,
    name: "initial",
    sql: include_str!("../../../schemas/mariadb/0001_initial.sql"),
    program: "0.2.0",
}];

/// Returns every migration, in order.
pub(super) fn migrations(engine: Engine) -> &'static [Migration] {
    match engine {
        Engine::Postgres => POSTGRES,
        Engine::Mariadb => MARIADB,
    }
}

/// Returns the complete script that makes an empty archive, for the server's own client (`psql`, `mariadb`). The archive
/// is the same that `init` makes.
pub fn sql(engine: Engine) -> String {
    let mut script = String::from("-- An empty archive of git-archive-tomb. Run it in a database of its own: ");
    script.push_str(match engine {
        Engine::Postgres => "psql -f this-file DATABASE\n\\set ON_ERROR_STOP on\nBEGIN;\n\n",
        Engine::Mariadb => "mariadb DATABASE < this-file\n\n",
    });
    let now = match engine {
        Engine::Postgres => "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
        Engine::Mariadb => "CONCAT(LEFT(DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')",
    };
    for migration in migrations(engine) {
        let Migration { version, name, program, .. } = migration;
        let (text, sha256) = (migration.text(), migration.sha256());
        let insert = match engine {
            Engine::Postgres => "INSERT",
            // The script may be repeated after a stop, as its statements may.
            Engine::Mariadb => "INSERT IGNORE",
        };
        let _ = write!(
            script,
            "{text}\n{insert} INTO migration (version, name, sha256, program, applied_at) VALUES\n  ({version}, '{name}', \
             '{sha256}', '{program}',\n  {now});\n\n",
        );
    }
    if engine == Engine::Postgres {
        script.push_str("COMMIT;\n");
    }
    script
}

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
    let mut tables = Vec::new();
    for row in connection.query(connection.dialect().tables, &[]).map_err(failed)? {
        tables.push(row.text(0).map_err(failed)?);
    }
    let has = |name: &str| tables.iter().any(|table| table == name);
    if !has("migration") || !has("archive") {
        // The Python tool's archive, and whatever else has tables of our names, is left alone.
        return match ["artifact", "item", "event"].iter().any(|name| has(name)) {
            true if has("migration") => Ok(Found::None),
            true => Err(ArchiveError::PythonArchive { archive: archive.to_owned() }),
            false => Ok(Found::None),
        };
    }
    let mut applied = Vec::new();
    for row in
        connection.query("SELECT version, sha256, program FROM migration ORDER BY version", &[]).map_err(failed)?
    {
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
    for migration in migrations.iter().filter(|migration| migration.version > newest) {
        connection.run(&migration.text()).map_err(failed)?;
        let values = [
            Value::from(i64::from(migration.version)),
            migration.name.into(),
            migration.sha256().to_string().into(),
            migration.program.into(),
            Timestamp::now().to_string().into(),
        ];
        connection
            .execute(
                "INSERT INTO migration (version, name, sha256, program, applied_at) VALUES (?, ?, ?, ?, ?)",
                &values,
            )
            .map_err(failed)?;
    }
    Ok(())
}
