//! The contract, held against real servers.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::archive::contract::{self, Client, Database, Engine};
use crate::redact::UrlParts;

mod interrupted;
mod lost;
mod nodes;
mod objects;

/// Returns the URL of the test server.
fn server(kind: Kind) -> String {
    let variable = match kind {
        Kind::Postgres => "ARCHIVE_TOMB_TEST_POSTGRES",
        Kind::Mariadb => "ARCHIVE_TOMB_TEST_MARIADB",
    };
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server: run the tests by scripts/test"))
}

/// A database of its own on a test server.
struct Place {
    kind: Kind,
    /// Of the database, and of the account of [`Database::client`].
    name: String,
}

impl Place {
    fn new(kind: Kind) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let database = Self { kind, name };
        database.administrate(&format!("CREATE DATABASE {}", database.name));
        database
    }

    fn administrate(&self, sql: &str) {
        let administrator = SecretUrl::new(&server(self.kind));
        if let Err(error) = self.connect(&administrator).run(sql) {
            // MariaDB sets a table's triggers aside while it makes another one (`segment.TRG-`) and, where others do the
            // same in other databases, may forget to remove that: the empty database stays, for as long as its server.
            let is_left = sql.starts_with("DROP DATABASE") && error.to_string().contains("1010");
            assert!(is_left, "{sql}: {error}");
        }
    }

    fn connect(&self, url: &SecretUrl) -> Box<dyn Connection> {
        connect(&Address::parse(self.kind, url).expect("is a URL")).expect("connects")
    }

    fn url(&self) -> SecretUrl {
        let server = server(self.kind);
        let (base, _) = server.rsplit_once('/').expect("names a database");
        SecretUrl::new(&format!("{base}/{}", self.name))
    }

    /// Connects as the database's owner.
    fn owner(&self) -> Box<dyn Connection> {
        self.connect(&self.url())
    }

    /// Makes an account that may read and write every table, and nothing else, and connects as that.
    fn client(&self) -> Box<dyn Connection> {
        let name = &self.name;
        let mut owner = self.owner();
        let rows = |kind| match kind {
            Kind::Postgres => vec![
                format!(
                    "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{name}') THEN
                       CREATE ROLE {name} LOGIN PASSWORD 'secret-of-a-client'; END IF; END $$"
                ),
                format!("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO {name}"),
                // A schema of its own, as many an account has.
                format!("CREATE SCHEMA IF NOT EXISTS games AUTHORIZATION {name}"),
            ],
            Kind::Mariadb => vec![
                format!("CREATE USER IF NOT EXISTS {name} IDENTIFIED BY 'secret-of-a-client'"),
                format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {name}"),
            ],
        };
        for sql in rows(self.kind) {
            owner.run(&sql).expect(&sql);
        }
        self.connect(&self.client_url())
    }

    fn client_url(&self) -> SecretUrl {
        let url = self.url();
        let (scheme, rest) = url.expose().split_once("://").expect("is a URL");
        let (_, place) = rest.rsplit_once('@').expect("has a user");
        SecretUrl::new(&format!("{scheme}://{}:secret-of-a-client@{place}", self.name))
    }

    /// Returns the server's own client, connected as the owner.
    fn program(&self) -> Command {
        let url = self.url();
        let parts = UrlParts::parse(url.expose()).expect("is a URL");
        let (host, port) = parts.hosts.first().cloned().expect("has a host");
        let (user, password) = (parts.user.expect("has a user"), parts.password.unwrap_or_default());
        let port = port.expect("has a port").to_string();
        let mut command = match self.kind {
            Kind::Postgres => {
                let mut command = Command::new("psql");
                command.args(["-X", "-q", "-h", &host, "-p", &port, "-U", &user, "-d", &self.name]);
                command.env("PGPASSWORD", &*password);
                command
            }
            Kind::Mariadb => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "--protocol=tcp", "-h", &host, "-P", &port, "-u", &user, &self.name]);
                command.env("MYSQL_PWD", &*password);
                command
            }
        };
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command
    }

    fn run_by_its_client(&self, script: &str) {
        let mut child = self.program().spawn().expect("the tests need the servers' clients");
        let written = child.stdin.take().expect("is piped").write_all(script.as_bytes());
        assert!(child.wait().expect("ends").success());
        written.expect("writes");
    }

    fn open(&self, mode: OpenMode, migrations: &[Migration]) -> Result<Box<dyn Archive>, ArchiveError> {
        Ok(Box::new(ServerArchive::open_with(self.kind, &self.url(), mode, migrations)?))
    }

    fn dump(&self) -> Vec<String> {
        let mut owner = self.owner();
        let mut lines = Vec::new();
        for sql in match self.kind {
            Kind::Postgres => POSTGRES_SCHEMA,
            Kind::Mariadb => MARIADB_SCHEMA,
        } {
            for row in owner.query(sql, &[]).expect(sql) {
                lines.push(row.text(0).expect("is text").replace(&self.name, "[database]"));
            }
        }
        // Another program's table of this name has other columns.
        let sql = "SELECT CONCAT(version, name, sha256, program) FROM migration ORDER BY 1";
        for row in owner.query(sql, &[]).unwrap_or_default() {
            lines.push(row.text(0).expect("is text"));
        }
        lines
    }
}

const POSTGRES_SCHEMA: &[&str] = &[
    "SELECT CONCAT_WS(' ', c.relkind, c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.attidentity, a.attstorage, a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid))
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "SELECT CONCAT_WS(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
     WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
];

const MARIADB_SCHEMA: &[&str] = &[
    "SELECT CONCAT_WS(' ', table_name, ordinal_position, column_name, column_type, is_nullable, column_default,
       collation_name, extra) FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1",
    "SELECT CONCAT_WS(' ', table_name, engine, row_format, table_collation) FROM information_schema.tables
     WHERE table_schema = DATABASE() ORDER BY 1",
    "SELECT CONCAT_WS(' ', table_name, index_name, non_unique, seq_in_index, column_name, sub_part)
     FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1",
    "SELECT CONCAT_WS(' ', table_name, constraint_name, check_clause) FROM information_schema.check_constraints
     WHERE constraint_schema = DATABASE() ORDER BY 1",
    "SELECT CONCAT_WS(' ', table_name, constraint_name, referenced_table_name, update_rule, delete_rule)
     FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE() ORDER BY 1",
    "SELECT CONCAT_WS(' ', trigger_name, event_manipulation, event_object_table, action_timing, action_statement)
     FROM information_schema.triggers WHERE trigger_schema = DATABASE() ORDER BY 1",
    "SELECT CONCAT_WS(' ', table_name, view_definition, security_type) FROM information_schema.views
     WHERE table_schema = DATABASE() ORDER BY 1",
];

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let (database, account) = match self.kind {
                Kind::Postgres => (format!("DROP DATABASE {} WITH (FORCE)", self.name), "ROLE"),
                Kind::Mariadb => (format!("DROP DATABASE IF EXISTS {}", self.name), "USER"),
            };
            self.administrate(&database);
            self.administrate(&format!("DROP {account} IF EXISTS {}", self.name));
        }
    }
}

/// Makes an engine of a kind of server join the contract.
macro_rules! server_contract {
    ($module:ident, $kind:ident) => {
        mod $module {
            use super::*;

            struct Server(Place);

            impl Engine for Server {
                fn create() -> Self {
                    let server = Self::without_archive();
                    server.0.open(OpenMode::CreateOrMigrate, migrations(Self::BACKEND)).expect("makes an archive");
                    server
                }

                fn open(&self) -> Box<dyn Archive> {
                    self.0.open(OpenMode::Existing, migrations(Self::BACKEND)).expect("opens")
                }
            }

            impl Database for Server {
                const BACKEND: Backend = Backend::$kind;

                fn without_archive() -> Self {
                    Self(Place::new(Kind::$kind))
                }

                fn try_open(&self, mode: OpenMode, migrations: &[Migration]) -> Result<Box<dyn Archive>, ArchiveError> {
                    self.0.open(mode, migrations)
                }

                fn client(&self) -> Client<'_> {
                    let mut client = self.0.client();
                    Box::new(move |sql| client.run(sql).map_err(|error| error.to_string()))
                }

                fn owner(&self, sql: &str) -> Result<(), String> {
                    self.0.owner().run(sql).map_err(|error| error.to_string())
                }

                fn dump(&self) -> Vec<String> {
                    self.0.dump()
                }

                fn run_by_its_client(&self, script: &str) {
                    self.0.run_by_its_client(script);
                }
            }

            contract::contract_suite!(Server);
            contract::database_suite!(Server);
        }
    };
}

server_contract!(postgres_contract, Postgres);
server_contract!(mariadb_contract, Mariadb);

/// Counts the sessions that are in a database, as the server sees them.
fn sessions(database: &Place) -> i64 {
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
        let database = Place::new(kind);
        let migrations = migrations(kind.backend());
        database.open(OpenMode::CreateOrMigrate, migrations).expect("makes an archive");
        let pool = crate::archive::Pool::new(3, || database.open(OpenMode::Existing, migrations));
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
