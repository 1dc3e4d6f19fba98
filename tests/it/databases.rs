//! Databases of their own, of every kind, on the servers that the tests are given.

#![allow(dead_code, reason = "without servers, some helpers have nothing to do")]

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use git_archive_tomb::archive::{AnyArchive, Location, OpenMode};
use git_archive_tomb::redact::SecretUrl;

use crate::common::{Run, assert_dropped};

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Mariadb,
}

/// The kinds that this build knows.
#[cfg(feature = "net")]
pub(crate) const KINDS: &[Kind] = &[Kind::Sqlite, Kind::Postgres, Kind::Mariadb];
#[cfg(not(feature = "net"))]
pub(crate) const KINDS: &[Kind] = &[Kind::Sqlite];

/// An empty database, gone with this value.
pub(crate) struct Database {
    pub(crate) kind: Kind,
    name: String,
    url: String,
    folder: tempfile::TempDir,
}

impl Database {
    pub(crate) fn new(kind: Kind) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let name = format!("m_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let url = match server(kind) {
            None => format!("sqlite:///{}", folder.path().join("archive.sqlite").display()),
            Some(server) => format!("{}/{name}", server.rsplit_once('/').unwrap().0),
        };
        let database = Self { kind, name, url, folder };
        if kind != Kind::Sqlite {
            client(kind, &server(kind).unwrap(), &format!("CREATE DATABASE {}", database.name));
        }
        database
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs SQL with the database's own client.
    pub(crate) fn sql(&self, sql: &str) {
        if self.kind == Kind::Sqlite {
            let archive = rusqlite::Connection::open(self.folder.path().join("archive.sqlite")).unwrap();
            archive.execute_batch(sql).unwrap();
        } else {
            client(self.kind, &self.url, sql);
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.kind != Kind::Sqlite && !std::thread::panicking() {
            let force = if self.kind == Kind::Postgres { " WITH (FORCE)" } else { "" };
            let drop = format!("DROP DATABASE {}{force}", self.name);
            assert_dropped(&try_client(self.kind, &server(self.kind).unwrap(), &drop));
        }
    }
}

fn server(kind: Kind) -> Option<String> {
    let variable = match kind {
        Kind::Sqlite => return None,
        Kind::Postgres => "ARCHIVE_TOMB_TEST_POSTGRES",
        Kind::Mariadb => "ARCHIVE_TOMB_TEST_MARIADB",
    };
    Some(
        std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server: run the tests by scripts/test")),
    )
}

fn client(kind: Kind, url: &str, sql: &str) {
    let done = try_client(kind, url, sql);
    assert_eq!(done.code, Some(0), "{sql}: {done}");
}

fn try_client(kind: Kind, url: &str, sql: &str) -> Run {
    let mut command = if kind == Kind::Postgres {
        let mut command = Command::new("psql");
        command
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", url, "-c", sql])
            .env("PGOPTIONS", "-c client_min_messages=error");
        command
    } else {
        let (_, rest) = url.split_once("://").unwrap();
        let (login, rest) = rest.split_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let (host, database) = rest.split_once('/').unwrap();
        let (host, port) = host.split_once(':').unwrap();
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--protocol=tcp", "-h", host, "-P", port, "-u", user, database, "-e", sql]);
        command.env("MYSQL_PWD", password);
        command
    };
    Run::from(command.output().unwrap())
}

/// Opens the archive in a database.
pub(crate) fn open(database: &Database, mode: OpenMode) -> Box<AnyArchive> {
    location(database).open(None, mode).unwrap()
}

/// Returns where the archive in a database is.
pub(crate) fn location(database: &Database) -> Location {
    match database.kind {
        Kind::Sqlite => Location::File(database.folder.path().join("archive.sqlite")),
        Kind::Postgres => Location::Postgres(SecretUrl::new(&database.url)),
        Kind::Mariadb => Location::Mariadb(SecretUrl::new(&database.url)),
    }
}
