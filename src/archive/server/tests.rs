//! The contract, held against real servers.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::archive::contract::{self, Engine};

/// Returns the URL of the test server, with a database of its own, or `None` where there is no server and that is
/// allowed: anywhere but in CI.
fn server(kind: Kind) -> String {
    let variable = match kind {
        Kind::Postgres => "ARCHIVE_TOMB_TEST_POSTGRES",
        Kind::Mariadb => "ARCHIVE_TOMB_TEST_MARIADB",
    };
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server: run the tests by scripts/test"))
}

/// A database of its own on a test server.
struct Database {
    kind: Kind,
    name: String,
}

impl Database {
    fn new(kind: Kind) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let database = Self { kind, name };
        database.administrate(&format!("CREATE DATABASE {}", database.name));
        database
    }

    fn administrate(&self, sql: &str) {
        let address = Address::parse(self.kind, &SecretUrl::new(&server(self.kind))).expect("is a URL");
        connect(&address).expect("connects").run(sql).expect("runs");
    }

    fn url(&self) -> SecretUrl {
        let server = server(self.kind);
        let (base, _) = server.rsplit_once('/').expect("names a database");
        SecretUrl::new(&format!("{base}/{}", self.name))
    }

    fn open(&self, mode: OpenMode) -> Result<ServerArchive, ArchiveError> {
        ServerArchive::open(self.kind, &self.url(), mode)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let force = if self.kind == Kind::Postgres { " WITH (FORCE)" } else { "" };
            self.administrate(&format!("DROP DATABASE {}{force}", self.name));
        }
    }
}

mod postgres_contract {
    use super::*;

    struct Postgres(Database);

    impl Engine for Postgres {
        fn create() -> Self {
            let database = Database::new(Kind::Postgres);
            database.open(OpenMode::CreateOrMigrate).expect("makes an archive");
            Self(database)
        }

        fn open(&self) -> Box<dyn Archive> {
            Box::new(self.0.open(OpenMode::Existing).expect("opens"))
        }
    }

    contract::contract_suite!(Postgres);
}

mod mariadb_contract {
    use super::*;

    struct Mariadb(Database);

    impl Engine for Mariadb {
        fn create() -> Self {
            let database = Database::new(Kind::Mariadb);
            database.open(OpenMode::CreateOrMigrate).expect("makes an archive");
            Self(database)
        }

        fn open(&self) -> Box<dyn Archive> {
            Box::new(self.0.open(OpenMode::Existing).expect("opens"))
        }
    }

    contract::contract_suite!(Mariadb);
}

/// Counts the sessions that are in a database, as the server sees them.
fn sessions(database: &Database) -> i64 {
    let address = Address::parse(database.kind, &SecretUrl::new(&server(database.kind))).expect("is a URL");
    let sql = match database.kind {
        Kind::Postgres => "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = ?",
        Kind::Mariadb => "SELECT CAST(COUNT(*) AS SIGNED) FROM information_schema.processlist WHERE db = ?",
    };
    let rows = connect(&address).expect("connects").query(sql, &[database.name.as_str().into()]).expect("answers");
    rows[0].integer(0).expect("is a number")
}

#[test]
fn a_pool_has_no_more_connections_than_its_limit() {
    for kind in [Kind::Postgres, Kind::Mariadb] {
        let database = Database::new(kind);
        database.open(OpenMode::CreateOrMigrate).expect("makes an archive");
        let pool = crate::archive::Pool::new(3, || Ok(Box::new(database.open(OpenMode::Existing)?)));
        let together = std::sync::Barrier::new(3);
        std::thread::scope(|scope| {
            // Nine threads for three connections: no barrier opens before three are in use at once.
            for _ in 0..9 {
                scope.spawn(|| {
                    let mut archive = pool.lend().expect("opens");
                    together.wait();
                    archive.counts().expect("counts");
                    // Each sees all three, and the one that made the archive at most.
                    let sessions = sessions(&database);
                    assert!((1..=4).contains(&sessions), "{sessions}");
                    together.wait();
                });
            }
        });
        drop(pool);
    }
}
