//! Where an archive is: the one place that knows all engines.

use std::fmt;
use std::path::PathBuf;

#[cfg(feature = "net")]
use super::server::{Kind, ServerArchive};
use super::{AnyArchive, ArchiveError, ObjectPlace, SqliteArchive};
use crate::redact::SecretUrl;

/// Whether opening may make or change an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// The archive must exist and have this program's schema.
    Existing,
    /// The archive is made if it is missing; one that exists must have this program's schema.
    CreateIfMissing,
    /// The archive is made if it is missing, and brought up to date if it is older. For `init` alone.
    CreateOrMigrate,
}

/// Where an archive is. It prints as people may see it.
#[derive(Debug, Clone, PartialEq)]
pub enum Location {
    /// In a file.
    File(PathBuf),
    /// In the database of a PostgreSQL server.
    Postgres(SecretUrl),
    /// In the database of a MariaDB server.
    Mariadb(SecretUrl),
}

impl Location {
    /// Opens the archive that is there, which keeps the bytes of its blocks at `objects`, if that is some place, else in its
    /// database. With [`OpenMode::CreateIfMissing`] only a missing file comes to be.
    pub fn open(&self, objects: Option<&ObjectPlace>, mode: OpenMode) -> Result<Box<AnyArchive>, ArchiveError> {
        match self {
            Self::File(path) => Ok(Box::new(SqliteArchive::open_at(path, objects, mode)?)),
            #[cfg(feature = "net")]
            Self::Postgres(url) => Ok(Box::new(ServerArchive::open(Kind::Postgres, url, objects, mode)?)),
            #[cfg(feature = "net")]
            Self::Mariadb(url) => Ok(Box::new(ServerArchive::open(Kind::Mariadb, url, objects, mode)?)),
            #[cfg(not(feature = "net"))]
            Self::Postgres(url) | Self::Mariadb(url) => {
                Err(ArchiveError::NotBuiltIn { place: url.redacted().to_owned() })
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Postgres(url) | Self::Mariadb(url) => url.fmt(formatter),
        }
    }
}
