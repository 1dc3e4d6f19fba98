//! How the embedded archive gets its schema.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::{ArchiveError, engine_error};
use crate::archive::migration::{self, Applied, Migration};
use crate::clock::Timestamp;

/// The bytes `ATmb`: what `PRAGMA application_id` says of an archive.
const APPLICATION_ID: i32 = 1_096_052_066;

/// What a database file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing yet.
    Empty,
    /// An archive with all of this program's migrations.
    Current,
    /// An archive that lacks some of them; the number of its newest.
    Older(u32),
}

/// Says what the database is, and checks that this program knows its schema.
pub(super) fn inspect(connection: &Connection, path: &Path, migrations: &[Migration]) -> Result<Found, ArchiveError> {
    let failed = engine_error("read the schema");
    let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
    if application != APPLICATION_ID {
        return inspect_foreign(connection, path);
    }
    let mut statement =
        connection.prepare("SELECT version, sha256, program FROM migration ORDER BY version").map_err(failed)?;
    let applied = statement
        .query_map([], |row| Ok(Applied { version: row.get(0)?, sha256: row.get(1)?, program: row.get(2)? }))
        .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
        .map_err(failed)?;
    let newest = migration::newest(&path.display().to_string(), applied, migrations)?;
    let current = migrations.last().map_or(0, |migration| migration.version);
    Ok(if newest == current { Found::Current } else { Found::Older(newest) })
}

/// Says what a database that is no archive is.
fn inspect_foreign(connection: &Connection, path: &Path) -> Result<Found, ArchiveError> {
    let failed = engine_error("read the schema");
    let used: bool =
        connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0)).map_err(failed)?;
    if !used {
        return Ok(Found::Empty);
    }
    let python = connection
        .query_row("SELECT 1 FROM pragma_table_info('artifact') WHERE name = 'blob_bytes'", [], |_| Ok(()))
        .optional()
        .map_err(failed)?;
    let archive = path.display().to_string();
    Err(match python {
        Some(()) => ArchiveError::PythonArchive { archive },
        None => ArchiveError::NotAnArchive { archive, reason: "it is another program's database" },
    })
}

/// Applies the migrations that are missing. Safe when several programs do it at once: the first one does it for all.
pub(super) fn migrate(connection: &mut Connection, path: &Path, migrations: &[Migration]) -> Result<(), ArchiveError> {
    let failed = engine_error("make the schema");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let newest = match inspect(&transaction, path, migrations)? {
        Found::Current => return Ok(()),
        Found::Empty => 0,
        Found::Older(newest) => newest,
    };
    for migration in migrations.iter().filter(|migration| migration.version > newest) {
        transaction.execute_batch(&migration.text()).map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO migration (version, name, sha256, program, applied_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    migration.version,
                    migration.name,
                    migration.sha256().to_string(),
                    migration.program,
                    Timestamp::now().to_string()
                ],
            )
            .map_err(failed)?;
        transaction.pragma_update(None, "user_version", migration.version).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}
