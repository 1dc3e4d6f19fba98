//! The contract, held against real servers.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::archive::contract::{self, Engine as Contract};

/// Returns the URL of the test server, with a database of its own, or `None` where there is no server and that is
/// allowed: anywhere but in CI.
fn server(engine: Engine) -> String {
    let variable = match engine {
        Engine::Postgres => "ARCHIVE_TOMB_TEST_POSTGRES",
        Engine::Mariadb => "ARCHIVE_TOMB_TEST_MARIADB",
    };
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server: run the tests by scripts/test"))
}

/// A database of its own on a test server.
struct Database {
    engine: Engine,
    name: String,
}

impl Database {
    fn new(engine: Engine) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let database = Self { engine, name };
        database.administrate(&format!("CREATE DATABASE {}", database.name));
        database
    }

    fn administrate(&self, sql: &str) {
        let address = Address::parse(self.engine, &SecretUrl::new(&server(self.engine))).expect("is a URL");
        connect(&address).expect("connects").run(sql).expect("runs");
    }

    fn url(&self) -> SecretUrl {
        let server = server(self.engine);
        let (base, _) = server.rsplit_once('/').expect("names a database");
        SecretUrl::new(&format!("{base}/{}", self.name))
    }

    fn open(&self, mode: OpenMode) -> Result<ServerArchive, ArchiveError> {
        ServerArchive::open(self.engine, &self.url(), mode)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let force = if self.engine == Engine::Postgres { " WITH (FORCE)" } else { "" };
            self.administrate(&format!("DROP DATABASE {}{force}", self.name));
        }
    }
}

mod postgres_contract {
    use super::*;

    struct Postgres(Database);

    impl Contract for Postgres {
        fn create() -> Self {
            let database = Database::new(Engine::Postgres);
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

    impl Contract for Mariadb {
        fn create() -> Self {
            let database = Database::new(Engine::Mariadb);
            database.open(OpenMode::CreateOrMigrate).expect("makes an archive");
            Self(database)
        }

        fn open(&self) -> Box<dyn Archive> {
            Box::new(self.0.open(OpenMode::Existing).expect("opens"))
        }
    }

    contract::contract_suite!(Mariadb);
}
