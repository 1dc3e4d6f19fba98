//! Migrations: the numbered steps of a schema, the same rules for every engine. Applied once each, forward only.

use super::ArchiveError;
use crate::id::Sha256;

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
