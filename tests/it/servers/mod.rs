//! Archives on real servers: every command as on SQLite, and what goes wrong on the way to a server.

mod batch;
mod binlog;
mod faults;
mod hostile;
mod init;
mod logins;
mod machine;
mod packets;
mod proxy;
mod raw_clients;
mod residue;
mod secrets;
mod story;
mod tls;
mod trips;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{Repo, Run, assert_dropped};

/// Which kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Postgres,
    Mariadb,
}

const KINDS: [Kind; 2] = [Kind::Postgres, Kind::Mariadb];

/// A database, and who uses it.
#[derive(Debug, Clone)]
struct Login {
    kind: Kind,
    host: String,
    port: u16,
    user: String,
    password: String,
    database: String,
    /// Of the URL, with its question mark.
    parameters: String,
}

impl Login {
    /// Returns the login to the server that `scripts/test` starts.
    fn to_tests(kind: Kind) -> Self {
        let variable = match kind {
            Kind::Postgres => "ARCHIVE_TOMB_TEST_POSTGRES",
            Kind::Mariadb => "ARCHIVE_TOMB_TEST_MARIADB",
        };
        let url = std::env::var(variable)
            .unwrap_or_else(|_| panic!("{variable} names no server: run the tests by scripts/test"));
        let rest = url.split_once("://").unwrap().1;
        let (login, place) = rest.rsplit_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let (host, database) = place.split_once('/').unwrap();
        let (host, port) = host.split_once(':').unwrap();
        Self {
            kind,
            host: host.to_owned(),
            port: port.parse().unwrap(),
            user: user.to_owned(),
            password: password.to_owned(),
            database: database.to_owned(),
            parameters: String::new(),
        }
    }

    fn url(&self) -> String {
        let Self { host, port, user, password, database, parameters, .. } = self;
        let scheme = match self.kind {
            Kind::Postgres => "postgres",
            Kind::Mariadb => "mariadb",
        };
        format!("{scheme}://{user}:{password}@{host}:{port}/{database}{parameters}")
    }

    /// Returns the server's own client.
    fn client(&self) -> Command {
        let port = self.port.to_string();
        match self.kind {
            Kind::Postgres => {
                let mut psql = Command::new("psql");
                psql.args(["-qAtX", "-h", &self.host, "-p", &port, "-U", &self.user, "-d", &self.database]);
                psql.env("PGPASSWORD", &self.password).env("PGCLIENTENCODING", "UTF8");
                psql
            }
            Kind::Mariadb => {
                let mut mariadb = Command::new("mariadb");
                mariadb.args(["--no-defaults", "--batch", "--skip-column-names", "--unbuffered", "--force", "--raw"]);
                mariadb.args(["-h", &self.host, "-P", &port, "-u", &self.user, &self.database]);
                mariadb.env("MYSQL_PWD", &self.password);
                mariadb
            }
        }
    }

    /// Runs SQL, which must succeed, and returns what it printed.
    #[track_caller]
    fn sql(&self, sql: &str) -> String {
        let done = self.try_sql(sql);
        assert_eq!(done.code, Some(0), "{sql}: {done}");
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    /// Runs SQL.
    fn try_sql(&self, sql: &str) -> Run {
        let mut client = self.client();
        client.args([if self.kind == Kind::Postgres { "-c" } else { "-e" }, sql]);
        Run::from(client.stdin(Stdio::null()).output().unwrap())
    }

    /// Opens a session that stays.
    fn session(&self) -> Session {
        let mut client = self.client();
        let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Session { child, input: Some(input), output }
    }

    /// Returns how many of the program's own sessions are in this database.
    fn sessions(&self) -> usize {
        let administrator = Self::to_tests(self.kind);
        let sql = match self.kind {
            Kind::Postgres => format!(
                "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'git-archive-tomb'",
                self.database
            ),
            Kind::Mariadb => {
                format!("SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{}'", self.database)
            }
        };
        administrator.sql(&sql).parse().unwrap()
    }
}

/// A session of the server's own client.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Sends SQL without waiting for it to be done.
    fn say(&mut self, sql: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{sql};").unwrap();
        input.flush().unwrap();
    }

    /// Runs SQL, and returns the lines that it printed.
    fn ask(&mut self, sql: &str) -> Vec<String> {
        const END: &str = "end of the answer";
        self.say(sql);
        self.say(&format!("SELECT '{END}'"));
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the session has ended: {sql}");
            match line.trim_end() {
                END => return lines,
                line => lines.push(line.to_owned()),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.input.take();
        let _ = self.child.wait();
    }
}

/// A database of its own on a server.
struct Database {
    login: Login,
    administrator: Login,
}

impl Database {
    /// Makes an empty one on the server that `scripts/test` starts.
    fn new(kind: Kind) -> Self {
        Self::on(&Login::to_tests(kind))
    }

    fn on(administrator: &Login) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("it_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        administrator.sql(&format!("CREATE DATABASE {name}"));
        let login = Login { database: name, ..administrator.clone() };
        Self { login, administrator: administrator.clone() }
    }

    /// Makes one with an archive in it.
    fn with_archive(kind: Kind, repo: &Repo<'_>) -> Self {
        let database = Self::new(kind);
        database.used_by(repo).tomb_ok(&["init", "--no-hooks"]);
        database
    }

    /// Returns the repository with this database as its archive.
    fn used_by<'a>(&self, repo: &Repo<'a>) -> Repo<'a> {
        repo.with("CODEX_ARCHIVE_URL", self.login.url())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let force = if self.login.kind == Kind::Postgres { " WITH (FORCE)" } else { "" };
            assert_dropped(&self.administrator.try_sql(&format!("DROP DATABASE {}{force}", self.login.database)));
        }
    }
}

/// Waits until `condition` holds; fails where it does not come to hold within a minute.
#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if condition() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{what}: not within a minute");
}

/// Returns the repository with patience: so many attempts, and short delays.
fn patient<'a>(repo: &Repo<'a>, attempts: u32) -> Repo<'a> {
    repo.with("CODEX_ARCHIVE_RETRY_ENABLED", "true")
        .with("CODEX_ARCHIVE_RETRY_MAX", attempts.to_string())
        .with("CODEX_ARCHIVE_RETRY_INITIAL_DELAY", "0.2")
        .with("CODEX_ARCHIVE_RETRY_MAX_DELAY", "2")
}
