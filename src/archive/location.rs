//! Where an archive is: the one place that knows all engines.

use std::fmt;
use std::path::PathBuf;

#[cfg(feature = "net")]
use super::server::{Kind, ServerArchive};
use super::{AnyArchive, ArchiveError, ObjectPlace, OpenMode, SqliteArchive};
use crate::redact::SecretUrl;

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
