//! Migrations: the numbered steps of the schemas, with the same rules for every engine. Applied once each, forward only.

use std::fmt::Write as _;

use super::ArchiveError;
use crate::id::Sha256;
use crate::item::Backend;

const SQLITE: &[Migration] = &[
    Migration {
        version: 1,
        name: "initial",
        sql: include_str!("../../schemas/sqlite/0001_initial.sql"),
        program: "0.1.0",
    },
    Migration {
        version: 2,
        name: "governance",
        sql: include_str!("../../schemas/sqlite/0002_governance.sql"),
        program: "0.1.0",
    },
];

const POSTGRES: &[Migration] = &[
    Migration {
        version: 1,
        name: "initial",
        sql: include_str!("../../schemas/postgres/0001_initial.sql"),
        program: "0.1.0",
    },
    Migration {
        version: 2,
        name: "governance",
        sql: include_str!("../../schemas/postgres/0002_governance.sql"),
        program: "0.1.0",
    },
];

const MARIADB: &[Migration] = &[
    Migration {
        version: 1,
        name: "initial",
        sql: include_str!("../../schemas/mariadb/0001_initial.sql"),
        program: "0.1.0",
    },
    Migration {
        version: 2,
        name: "governance",
        sql: include_str!("../../schemas/mariadb/0002_governance.sql"),
        program: "0.1.0",
    },
];

/// Returns every migration of a backend, in order.
pub(super) fn migrations(backend: Backend) -> &'static [Migration] {
    match backend {
        Backend::Sqlite => SQLITE,
        Backend::Postgres => POSTGRES,
        Backend::Mariadb => MARIADB,
    }
}

/// Returns the complete script that makes an empty archive, for the database's own client: the archive is the same that
/// opening one with [`OpenMode::CreateOrMigrate`](super::OpenMode::CreateOrMigrate) makes.
pub fn schema(backend: Backend) -> String {
    let (begin, now, end) = match backend {
        Backend::Sqlite => (
            "a new file: sqlite3 archive.sqlite < this-file\n.bail on\nPRAGMA journal_mode = WAL;\nBEGIN IMMEDIATE;\n",
            "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
            "COMMIT;\n",
        ),
        Backend::Postgres => (
            "a database or schema of its own: psql -f this-file DATABASE\n\\set ON_ERROR_STOP on\nBEGIN;\n",
            "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
            "COMMIT;\n",
        ),
        // It commits at every change of the schema; so what the script does may be repeated after a stop.
        Backend::Mariadb => (
            "a database of its own: mariadb DATABASE < this-file\n",
            "CONCAT(LEFT(DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')",
            "",
        ),
    };
    let mut script = format!("-- An empty archive of git-archive-tomb. Run it on {begin}\n");
    for migration in migrations(backend) {
        let Migration { version, name, program, .. } = migration;
        let (text, sha256) = (migration.text(), migration.sha256());
        let insert = if backend == Backend::Mariadb { "INSERT IGNORE" } else { "INSERT" };
        let _ = write!(
            script,
            "{text}\n{insert} INTO migration (version, name, sha256, program, applied_at) VALUES\n  ({version}, '{name}', \
             '{sha256}', '{program}', {now});\n",
        );
        if backend == Backend::Sqlite {
            let _ = writeln!(script, "PRAGMA user_version = {version};");
        }
        script.push('\n');
    }
    script.push_str(end);
    script
}

/// One step from a schema to the next. Never edited once released: archives remember its digest.
pub(super) struct Migration {
    /// Its number: 1, 2, 3 …
    pub version: u32,
    /// Its name, as its file is called.
    pub name: &'static str,
    /// Its statements.
    pub sql: &'static str,
    /// The first version of the program that knows it.
    pub program: &'static str,
}

impl Migration {
    /// Returns the statements with LF line ends, however the source was checked out.
    pub(super) fn text(&self) -> String {
        self.sql.replace("\r\n", "\n")
    }

    /// Returns the digest that archives remember.
    pub(super) fn sha256(&self) -> Sha256 {
        Sha256::of(self.text().as_bytes())
    }
}

/// A migration as an archive remembers it.
pub(super) struct Applied {
    /// Its number.
    pub version: u32,
    /// Its digest, as it stands there.
    pub sha256: String,
    /// The first version of the program that knows it, as it stands there.
    pub program: String,
}

/// Returns the number of the newest migration of `archive` (its name for people), 0 if there is none; fails unless
/// `applied`, in their order, are the first of `migrations`.
pub(super) fn newest(
    archive: &str,
    applied: impl IntoIterator<Item = Applied>,
    migrations: &[Migration],
) -> Result<u32, ArchiveError> {
    let mut newest = 0;
    for Applied { version, sha256, program } in applied {
        let archive = archive.to_owned();
        match migrations.iter().find(|migration| migration.version == version) {
            Some(migration) if migration.sha256().to_string() == sha256 && version == newest + 1 => newest = version,
            Some(_) => return Err(ArchiveError::ChangedMigration { archive, version }),
            None => {
                let plain = |character: &char| character.is_ascii_alphanumeric() || ".+-".contains(*character);
                let needs = program.chars().filter(plain).take(32).collect();
                return Err(ArchiveError::Newer { archive, found: version, needs });
            }
        }
    }
    Ok(newest)
}
