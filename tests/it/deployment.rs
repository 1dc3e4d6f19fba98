//! `docs/deployment.md`, run as it stands there: the roles on real servers, what they may do and what they may not,
//! the queries and the backups.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{Repo, Run, World, assert_dropped};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Postgres,
    Mariadb,
}

/// A database on a test server, set up as the page says, with names of its own in place of the page's.
struct Deployment {
    kind: Kind,
    /// Stands for the page's `tomb`: the database is `tombs`, the accounts are `tomb_admin` and so on.
    prefix: String,
    /// The server's administrator, password and place.
    user: String,
    password: String,
    host: String,
    port: String,
}

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deployment.md")).unwrap()
}

/// Returns the blocks of `language` below the heading `heading`, up to the next one.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let page = page();
    let section = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading}")).1;
    let section = section.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
    let start = format!("```{language}\n");
    let blocks = section.split(&*start).skip(1);
    let blocks: Vec<String> = blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect();
    assert!(!blocks.is_empty(), "{heading}");
    blocks
}

impl Deployment {
    fn new(kind: Kind) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let variable = match kind {
            Kind::Postgres => "ARCHIVE_TOMB_TEST_POSTGRES",
            Kind::Mariadb => "ARCHIVE_TOMB_TEST_MARIADB",
        };
        let url = std::env::var(variable)
            .unwrap_or_else(|_| panic!("{variable} names no server: run the tests by scripts/test"));
        let (login, place) = url.split_once("://").unwrap().1.split_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let (host, port) = place.split_once('/').unwrap().0.split_once(':').unwrap();
        let [user, password, host, port] = [user, password, host, port].map(str::to_owned);
        let prefix = format!("d{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { kind, prefix, user, password, host, port }
    }

    fn heading(&self) -> &'static str {
        match self.kind {
            Kind::Postgres => "### PostgreSQL",
            Kind::Mariadb => "### MariaDB",
        }
    }

    /// Returns the password that the page gives an account.
    fn password_of(account: &str) -> String {
        format!("password-of-the-{}", if account == "admin" { "administrator" } else { account })
    }

    fn url(&self, account: &str) -> String {
        let Self { prefix, host, port, .. } = self;
        let scheme = if self.kind == Kind::Postgres { "postgres" } else { "mariadb" };
        let password = Self::password_of(account);
        format!("{scheme}://{prefix}_{account}:{password}@{host}:{port}/{prefix}s")
    }

    /// Runs SQL by the server's own client.
    fn run(&self, user: &str, password: &str, database: &str, sql: &str) -> Run {
        let Self { host, port, .. } = self;
        let mut command = match self.kind {
            Kind::Postgres => {
                let mut command = Command::new("psql");
                command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", user, "-d", database]);
                command.env("PGPASSWORD", password);
                command
            }
            Kind::Mariadb => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "--protocol=tcp", "--local-infile=1", "-h", host, "-P", port]);
                command.args(["-u", user, database]).env("MYSQL_PWD", password);
                command
            }
        };
        let (input, mut output) = std::io::pipe().unwrap();
        let child = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.expect("the tests need the servers' clients");
        drop(command);
        std::io::Write::write_all(&mut output, sql.as_bytes()).unwrap();
        drop(output);
        Run::from(child.wait_with_output().unwrap())
    }

    fn administrate(&self, database: &str, sql: &str) {
        self.try_administrate(database, sql).exits(0);
    }

    fn try_administrate(&self, database: &str, sql: &str) -> Run {
        let sql = sql.replace("tomb", &self.prefix);
        self.run(&self.user, &self.password, database, &sql)
    }

    fn as_account(&self, account: &str, sql: &str) -> Run {
        let user = format!("{}_{account}", self.prefix);
        let sql = sql.replace("tomb", &self.prefix);
        self.run(&user, &Self::password_of(account), &format!("{}s", self.prefix), &sql)
    }

    /// Returns the database that the server's administrator is in.
    fn home(&self) -> &'static str {
        if self.kind == Kind::Postgres { "postgres" } else { "mysql" }
    }

    /// Sets everything up, in `repo`.
    fn set_up(&self, repo: &Repo<'_>) {
        let [before, after] = blocks(self.heading(), "sql").try_into().unwrap();
        self.administrate(self.home(), &before);
        repo.with("CODEX_ARCHIVE_URL", self.url("admin")).tomb_ok(&["init"]);
        match self.kind {
            Kind::Postgres => drop(self.as_account("admin", &after).exits(0)),
            Kind::Mariadb => self.administrate(self.home(), &after),
        }
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let (force, account) = if self.kind == Kind::Postgres { ("WITH (FORCE)", "ROLE") } else { ("", "USER") };
        for database in ["tombs", "tombs_restored"] {
            assert_dropped(
                &self.try_administrate(self.home(), &format!("DROP DATABASE IF EXISTS {database} {force};")),
            );
        }
        self.administrate(
            self.home(),
            &format!("DROP {account} IF EXISTS tomb_admin, tomb_writer, tomb_reader, tomb_purger;"),
        );
    }
}

/// What neither writer nor reader may do, in any dialect.
const ATTACKS: &[&str] = &[
    "UPDATE event SET line = 'x'",
    "DELETE FROM event",
    "TRUNCATE TABLE event",
    "DROP TABLE event",
    "ALTER TABLE event ADD COLUMN x INT",
    "TRUNCATE TABLE segment",
    "DELETE FROM segment",
    "DELETE FROM block",
    "UPDATE block SET codec = 'none'",
    "DELETE FROM artifact",
    "UPDATE artifact SET purged_at = 'x'",
    "DELETE FROM item",
    "UPDATE archive SET superseded_by = 'x'",
    "DELETE FROM archive",
    "UPDATE migration SET version = 9",
    "INSERT INTO migration VALUES (9, 'x', 'x', 'x', 'x')",
    "INSERT INTO archive VALUES (2, 'x', 'x', NULL)",
    "DELETE FROM approval",
    "DELETE FROM hold",
    "UPDATE hold SET set_at = 'x'",
    "DELETE FROM purged",
    "UPDATE purged SET destroyed_at = 'x'",
    "CREATE TABLE mine (id INT)",
    "CREATE OR REPLACE VIEW held_artifact AS SELECT 1 AS artifact_id",
    "CREATE TEMPORARY TABLE segment (block_id INT)",
];

const POSTGRES_ATTACKS: &[&str] = &[
    "DROP TRIGGER event_change ON event",
    "ALTER TABLE event DISABLE TRIGGER ALL",
    "CREATE OR REPLACE FUNCTION archive_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
    "CREATE SCHEMA mine",
    "SET ROLE tomb_admin",
    "SET session_replication_role = replica",
    "UPDATE archive SET singleton = 2",
    "INSERT INTO purged OVERRIDING SYSTEM VALUE SELECT * FROM purged",
];

const MARIADB_ATTACKS: &[&str] = &[
    "DROP TRIGGER event_delete",
    "REPLACE INTO event SELECT * FROM event AS e",
    "INSERT INTO event SELECT * FROM event AS e ON DUPLICATE KEY UPDATE line = 'x'",
    "LOAD DATA LOCAL INFILE '/dev/null' REPLACE INTO TABLE event",
    "LOCK TABLES event WRITE",
    "SET GLOBAL foreign_key_checks = 0",
    "INSERT INTO purged SELECT * FROM purged",
];

/// What the reader may not do besides.
const READER_ATTACKS: &[&str] = &[
    "INSERT INTO artifact (content_sha256, size_bytes, created_at) VALUES (REPEAT('0', 64), 0, 'x')",
    "INSERT INTO segment SELECT * FROM segment",
    "UPDATE item SET legal_hold = TRUE",
    "INSERT INTO hold (item_id, set_at) VALUES (1, 'x')",
    "UPDATE hold SET released_at = 'x', released_by = 'x'",
    "INSERT INTO approval (item_id, purpose, approver, approved_at) VALUES (1, 'purge', 'x', 'x')",
    "UPDATE item SET state = 'sealed'",
    "DELETE FROM tag",
    "INSERT INTO referent VALUES (1, 9, 'x', 'x')",
];

fn the_roles_do_what_the_page_says(kind: Kind) {
    let (world, deployment) = (World::new(), Deployment::new(kind));
    let repo = world.sample("repo");
    deployment.set_up(&repo);
    let [admin, writer, reader] =
        ["admin", "writer", "reader"].map(|account| repo.with("CODEX_ARCHIVE_URL", deployment.url(account)));
    repo.commit_all("init");
    writer.tomb_ok(&["init"]);
    writer.store(
        &["--reason", "legacy", "--legal-hold", "--tag", "a", "src/legacy"],
        &["src/legacy/old.py", "src/legacy/run.sh"],
    );
    writer.store(&["--reason", "dead", "docs/old.md"], &["docs/old.md"]);
    writer.tomb_ok(&["verify", "--deep", "--all"]);
    writer.tomb_ok(&["health-check", "--deep"]);
    writer.restore(&["docs/old.md"], &["docs/old.md"]);

    assert_eq!(reader.tomb_ok(&["list"]).stdout_text().lines().count(), 3);
    reader.tomb_ok(&["show", "src/legacy/old.py"]);
    assert!(reader.tomb_ok(&["cat", "src/legacy/old.py"]).stdout_text().starts_with("import os\n"));
    reader.tomb_ok(&["verify", "--deep", "--all"]);
    reader.tomb_ok(&["health-check", "--deep"]);
    reader.restore(&["src/legacy/run.sh"], &["src/legacy/run.sh"]);
    let before = reader.look();
    let refused = reader.tomb(&["store", "--reason", "dead", "README.md"]).exits(6);
    assert!(refused.stderr_text().contains("the archive does not let this user store anything"), "{refused}");
    assert_eq!(reader.look(), before);
    admin.tomb_ok(&["init"]);

    let own = if kind == Kind::Postgres { POSTGRES_ATTACKS } else { MARIADB_ATTACKS };
    for attack in ATTACKS.iter().chain(own) {
        for account in ["writer", "reader"] {
            assert_refused(&deployment, account, attack);
        }
    }
    for attack in READER_ATTACKS {
        assert_refused(&deployment, "reader", attack);
    }
    admin.tomb_ok(&["health-check", "--deep"]);
    admin.tomb_ok(&["verify", "--deep", "--all"]);

    for query in blocks("## Monitoring", "sql") {
        assert!(deployment.as_account("reader", &query).exits(0).stdout_text().contains("initial"));
    }
}

#[track_caller]
fn assert_refused(deployment: &Deployment, account: &str, attack: &str) {
    let run = deployment.as_account(account, &format!("{attack};"));
    assert_ne!(run.code, Some(0), "{account}: {attack}");
    let refusals = ["denied", "must be owner", "append-only", "violates check"];
    let said = run.stderr_text();
    assert!(refusals.iter().any(|refusal| said.contains(refusal)), "{account}: {attack}: {said}");
}

/// What the account for purges may not do, although it deletes bytes; and what says so.
const PURGER_ATTACKS: &[(&str, &str)] = &[
    (
        "DELETE FROM segment WHERE artifact_id IN (SELECT artifact_id FROM item WHERE legal_hold)",
        "the content is under a legal hold",
    ),
    (
        "DELETE FROM segment WHERE artifact_id NOT IN (SELECT artifact_id FROM item WHERE legal_hold)",
        "the content is in use",
    ),
    ("DELETE FROM block", "the block is in use"),
    ("UPDATE segment SET block_id = 0", "a content moves only"),
    ("UPDATE artifact SET purged_at = '2026-01-01T00:00:00.000Z'", "artifacts never change"),
    ("UPDATE artifact SET purged_at = NULL", "artifacts never change"),
    (
        "INSERT INTO purged (artifact_id, op, origin, tombstone_id, request_id, purged_by, second, reason, begun_at) SELECT \
         artifact_id, op, origin, tombstone_id, 'r', 'a', 'b', 'c', archived_at FROM item WHERE legal_hold",
        "the content is under a legal hold",
    ),
    ("UPDATE item SET legal_hold = FALSE", "the item is under a legal hold"),
    ("UPDATE hold SET released_at = 'x', released_by = 'y'", "holds never change"),
    ("DELETE FROM hold", "denied"),
    ("DELETE FROM purged", "denied"),
    ("UPDATE purged SET reason = 'x'", "denied"),
    ("DELETE FROM event", "denied"),
    ("DELETE FROM approval", "denied"),
    ("TRUNCATE TABLE segment", "denied"),
];

fn a_purge_takes_an_account_that_the_guards_bind(kind: Kind) {
    let (world, deployment) = (World::new(), Deployment::new(kind));
    let repo = world.sample("repo");
    deployment.set_up(&repo);
    let heading = deployment.heading().replace("### ", "### Purges on ");
    let [grants] = blocks(&heading, "sql").try_into().unwrap();
    let database = format!("{}s", deployment.prefix);
    deployment.administrate(&database, &grants);
    let [writer, purger] = ["writer", "purger"].map(|account| repo.with("CODEX_ARCHIVE_URL", deployment.url(account)));
    repo.commit_all("init");
    writer.store(&["--reason", "legacy", "--legal-hold", "src/legacy"], &["src/legacy/old.py", "src/legacy/run.sh"]);
    writer.store(&["--reason", "dead", "src/keep.py"], &["src/keep.py"]);
    writer.store(&["--reason", "dead", "docs/old.md"], &["docs/old.md"]);
    writer.tomb_ok(&["prune-request", "docs/old.md", "--by", "Ada", "--reason", "PII"]);
    let arguments = ["purge", "docs/old.md", "--by", "Ada", "--second", "Grace", "--reason", "PII", "--apply"];
    let before = repo.look();
    let refused = writer.tomb(&arguments).exits(6).stderr_text();
    assert!(refused.contains("the archive does not let this user destroy bytes"), "{refused}");
    assert_eq!(repo.look(), before);
    purger.tomb_ok(&arguments);
    writer.tomb(&["cat", "docs/old.md"]).exits(4);
    for (attack, said) in PURGER_ATTACKS {
        let (user, password) = (format!("{}_purger", deployment.prefix), Deployment::password_of("purger"));
        let run = deployment.run(&user, &password, &database, &format!("{attack};"));
        assert!(run.code != Some(0) && run.stderr_text().contains(said), "{attack}: {run}");
    }
    repo.commit("purge");
    writer.tomb_ok(&["health-check", "--deep"]);
    writer.tomb_ok(&["verify", "--deep", "--all"]);
    writer.restore(&["src/legacy"], &["src/legacy/old.py", "src/legacy/run.sh"]);
}

#[test]
fn a_purge_on_postgres_takes_an_account_that_the_guards_bind() {
    a_purge_takes_an_account_that_the_guards_bind(Kind::Postgres);
}

#[test]
fn a_purge_on_mariadb_takes_an_account_that_the_guards_bind() {
    a_purge_takes_an_account_that_the_guards_bind(Kind::Mariadb);
}

fn a_backup_gives_everything_back(kind: Kind) {
    let (world, deployment) = (World::new(), Deployment::new(kind));
    let repo = world.sample("repo");
    deployment.set_up(&repo);
    let from = repo.with("CODEX_ARCHIVE_URL", deployment.url("admin"));
    repo.commit_all("init");
    from.store(&["--reason", "legacy", "--legal-hold", "docs/old.md"], &["docs/old.md"]);
    let [postgres, mariadb, _] = blocks("## Backup and restore", "sh").try_into().unwrap();
    let prefix = &deployment.prefix;
    let restored = format!("{prefix}s_restored");
    let url = deployment.url("admin");
    let other = url.replace(&format!("/{prefix}s"), &format!("/{restored}"));
    let script = match kind {
        Kind::Postgres => {
            deployment.administrate(deployment.home(), "CREATE DATABASE tombs_restored OWNER tomb_admin;");
            format!("from='{url}' to='{other}'\n{postgres}")
        }
        Kind::Mariadb => {
            deployment.administrate(
                deployment.home(),
                "CREATE DATABASE tombs_restored; GRANT ALL ON tombs_restored.* TO tomb_admin;",
            );
            let Deployment { host, port, .. } = &deployment;
            let password = Deployment::password_of("admin");
            repo.write(
                "../my.cnf",
                format!("[client]\nhost={host}\nport={port}\nprotocol=tcp\nuser={prefix}_admin\npassword={password}\n"),
            );
            format!("from={prefix}s to={restored}\n{}", mariadb.replace("my.cnf", "../my.cnf"))
        }
    };
    Run::from(repo.command("sh").args(["-euc", &script]).output().unwrap()).exits(0);
    let restored = repo.with("CODEX_ARCHIVE_URL", &other);
    repo.git(&["clean", "-fdq"]);
    restored.tomb_ok(&["verify", "--deep", "--all"]);
    restored.tomb_ok(&["health-check", "--deep"]);
    assert_eq!(from.tomb_ok(&["list", "--json"]).stdout, restored.tomb_ok(&["list", "--json"]).stdout);
    restored.restore(&["docs/old.md"], &["docs/old.md"]);
    // The guards are part of it.
    let run = deployment.run(
        &format!("{prefix}_admin"),
        &Deployment::password_of("admin"),
        &format!("{prefix}s_restored"),
        "DELETE FROM segment WHERE artifact_id IN (SELECT artifact_id FROM item WHERE legal_hold);",
    );
    assert!(run.stderr_text().contains("the content is under a legal hold"), "{run}");
}

#[test]
fn the_roles_on_postgres_do_what_the_page_says() {
    the_roles_do_what_the_page_says(Kind::Postgres);
}

#[test]
fn the_roles_on_mariadb_do_what_the_page_says() {
    the_roles_do_what_the_page_says(Kind::Mariadb);
}

#[test]
fn a_backup_of_postgres_gives_everything_back() {
    a_backup_gives_everything_back(Kind::Postgres);
}

#[test]
fn a_backup_of_mariadb_gives_everything_back() {
    a_backup_gives_everything_back(Kind::Mariadb);
}

#[test]
fn a_backup_of_sqlite_gives_everything_back() {
    let world = World::new();
    let repo = world.sample("repo");
    repo.tomb_ok(&["init"]);
    repo.commit_all("init");
    repo.store(&["--reason", "legacy", "docs/old.md"], &["docs/old.md"]);
    let backup = blocks("## Backup and restore", "sh").pop().unwrap();
    let script = format!("from=.git/archive-tomb/archive.sqlite to=../copy.sqlite\n{backup}");
    Run::from(repo.command("sh").args(["-euc", &script]).output().unwrap()).exits(0);
    let url = format!("sqlite:///{}", world.at("copy.sqlite").path.display());
    let restored = repo.with("CODEX_ARCHIVE_URL", url);
    restored.tomb_ok(&["verify", "--deep", "--all"]);
    restored.restore(&["docs/old.md"], &["docs/old.md"]);
    for query in blocks("## Monitoring", "sql") {
        let mut sqlite3 = repo.command("sqlite3");
        Run::from(sqlite3.args(["-bail", "../copy.sqlite", &query]).output().unwrap()).exits(0);
    }
}

/// `schema` needs neither a repository nor a server.
#[test]
fn the_schema_of_any_dialect_is_printed_anywhere() {
    let world = World::new();
    let nowhere = world.at("nowhere");
    std::fs::create_dir(&nowhere.path).unwrap();
    for dialect in ["sqlite", "postgres", "mariadb"] {
        let unreachable = nowhere.with("CODEX_ARCHIVE_URL", "postgres://nobody@127.0.0.1:1/none");
        let script = unreachable.tomb_ok(&["schema", "--dialect", dialect]);
        assert!(script.stdout_text().contains("CREATE TABLE") && script.stderr.is_empty(), "{script}");
    }
}
