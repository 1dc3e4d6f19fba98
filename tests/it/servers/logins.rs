//! What does not pass fails at once, in words that say what to do and name no secret.

use super::machine::{Machine, give_to_server, me};
use super::{Database, KINDS, Kind, Login};
use crate::common::{Repo, Run, World};
use crate::migrate::noise;

/// Runs commands that must fail at once, however patient they are, and returns the errors without what differs from run
/// to run.
#[track_caller]
fn refused(repo: &Repo<'_>, login: &Login) -> Vec<String> {
    let patient = repo
        .with("CODEX_ARCHIVE_URL", login.url())
        .with("CODEX_ARCHIVE_RETRY_ENABLED", "true")
        .with("CODEX_ARCHIVE_RETRY_INITIAL_DELAY", "0.1");
    let log = repo.path.join(".git/archive-tomb/archive_ops.jsonl");
    [&["health-check"][..], &["store", "docs"], &["list"], &["init", "--no-hooks"]]
        .into_iter()
        .map(|arguments| {
            let run = patient.tomb(arguments).exits(6);
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(!log.contains("retrying"), "{log}");
            assert!(!run.all_text().contains(&login.password) && !log.contains(&login.password), "{run}");
            let error = run.stderr_text();
            let error = error[error.find("error:").unwrap()..].trim_end();
            error
                .replace(&login.port.to_string(), "[port]")
                .replace(&login.database, "[database]")
                .replace(&login.user, "[user]")
        })
        .collect()
}

/// Asserts that every command says the same.
#[track_caller]
fn assert_all(errors: &[String], expected: &[&str]) {
    for error in errors {
        for expected in expected {
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[test]
fn a_wrong_password_is_never_tried_again() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = Database::with_archive(kind, &repo);
        let login = Login { password: "Sesame-open".to_owned(), ..database.login.clone() };
        let expected = [
            "error: the archive `",
            "://[user]:***@127.0.0.1:[port]/[database]` refuses the login\n  caused by: ",
            "\nhint: check user and password: `git archive-tomb config-show` says where the URL is from",
        ];
        assert_all(&refused(&repo, &login), &expected);
        let nobody = Login { user: "nobody_here".to_owned(), ..login };
        assert_all(&refused(&repo, &nobody), &expected);
    }
}

#[test]
fn a_missing_database_is_never_tried_again() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let login = Login { database: "there_is_none".to_owned(), ..Login::to_tests(kind) };
        let expected = [
            "error: there is no database for the archive `",
            "\nhint: create the database, then `git archive-tomb init`",
        ];
        assert_all(&refused(&repo, &login), &expected);
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = closed.local_addr().unwrap().port();
        drop(closed);
        for (host, port) in [("127.0.0.1", port), ("nowhere.invalid", 5432)] {
            let login = Login { host: host.to_owned(), port, ..Login::to_tests(kind) };
            let repo = repo.with("CODEX_ARCHIVE_URL", login.url());
            for arguments in [&["health-check"][..], &["store", "docs"], &["list"], &["init", "--no-hooks"]] {
                let run = repo.tomb(arguments).exits(6);
                let error = run.stderr_text();
                assert!(error.contains("error: cannot reach the archive `"), "{error}");
                assert!(error.contains(host) && error.contains("  caused by: "), "{error}");
                assert!(error.contains("hint: see that the server runs and can be reached from here"), "{error}");
                assert!(!run.all_text().contains(&login.password), "{run}");
            }
        }
    }
}

/// An account of a test's own, on the server that `scripts/test` starts.
pub(super) struct Account<'a> {
    database: &'a Database,
    pub(super) login: Login,
}

impl<'a> Account<'a> {
    pub(super) fn new(database: &'a Database) -> Self {
        let user = format!("u_{}", database.login.database);
        let login = Login { user: user.clone(), password: "look-only".to_owned(), ..database.login.clone() };
        database.login.sql(&match login.kind {
            Kind::Postgres => format!("CREATE ROLE {user} LOGIN PASSWORD 'look-only'"),
            Kind::Mariadb => format!("CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'look-only'"),
        });
        Self { database, login }
    }

    /// Gives it a privilege for every table.
    pub(super) fn grant(&self, what: &str) {
        let Login { user, database, .. } = &self.login;
        self.database.login.sql(&match self.login.kind {
            Kind::Postgres => format!("GRANT {what} ON ALL TABLES IN SCHEMA public TO {user}"),
            Kind::Mariadb => format!("GRANT {what} ON {database}.* TO {user}@'127.0.0.1'"),
        });
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let user = &self.login.user;
        self.database.login.sql(&match self.login.kind {
            Kind::Postgres => format!("DROP OWNED BY {user}; DROP ROLE {user}"),
            Kind::Mariadb => format!("DROP USER {user}@'127.0.0.1'"),
        });
    }
}

/// Runs commands that an archive does not take, and asserts that each one says `expected` and leaves everything as it was.
#[track_caller]
fn assert_nothing_begun(repo: &Repo<'_>, commands: &[&[&str]], expected: &[&str]) {
    let journal = || {
        let folder = std::fs::read_dir(repo.path.join(".git/archive-tomb/journal"));
        folder.into_iter().flatten().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    let before = (repo.look(), journal());
    for arguments in commands {
        let run = repo.tomb(arguments).exits(6);
        for expected in expected {
            assert!(run.stderr_text().contains(expected), "{arguments:?}: {run}");
        }
        assert_eq!((repo.look(), journal()), before, "{arguments:?}");
        assert!(!repo.exists("output"), "{arguments:?}");
    }
    repo.tomb_ok(&["doctor"]);
}

const CHANGES: &[&[&str]] =
    &[&["store", "docs"], &["restore", "src/legacy/old.py"], &["restore", "src/legacy/old.py", "output"]];

#[test]
fn a_user_without_rights_is_told_so() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = Database::with_archive(kind, &repo);
        database.used_by(&repo).tomb_ok(&["store", "src/legacy"]);
        let account = Account::new(&database);
        let acting = repo.with("CODEX_ARCHIVE_URL", account.login.url());
        let run = acting.tomb(&["list"]).exits(6);
        let (error, expected) = (
            run.stderr_text(),
            match kind {
                Kind::Postgres => {
                    "error: the archive does not let this user read the schema\n  caused by: permission denied"
                }
                Kind::Mariadb => "refuses the login\n  caused by: Access denied",
            },
        );
        assert!(error.contains(expected), "{error}");
        // Who may read only reads.
        account.grant("SELECT");
        acting.tomb_ok(&["list"]);
        acting.tomb_ok(&["cat", "src/legacy/old.py"]);
        assert_nothing_begun(
            &acting,
            CHANGES,
            &[
                "the archive does not let this user ",
                "denied",
                "hint: use an account with the role",
                "docs/deployment.md",
            ],
        );
        assert!(!acting.tomb(&["store", "docs"]).all_text().contains("look-only"));
        let to = world.at("copy.sqlite").path;
        let to = format!("sqlite:///{}", to.display());
        assert_nothing_begun(&acting, &[&["migrate", "--to", &to]], &["does not let this user be superseded"]);
        assert!(!world.at("copy.sqlite").path.exists());
        // One missing right is enough, and one account of the administrator's needs none but those that are documented.
        for what in ["INSERT", "UPDATE"] {
            account.grant(what);
        }
        assert_nothing_begun(&acting, &CHANGES[..1], &["the archive does not let this user store anything"]);
        account.grant("DELETE");
        acting.tomb_ok(&["store", "docs"]);
        acting.tomb_ok(&["restore", "src/legacy/old.py"]);
    }
}

#[test]
fn a_server_that_only_reads_is_left_alone() {
    // Where an administrator has ended changes for a while: on MariaDB for the whole server, so it is the test's own.
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let mut machine = Machine::start(kind, &[]);
        let administrator = machine.login();
        let login = Login { database: "tombs".to_owned(), user: "anna".to_owned(), ..administrator.clone() };
        let (make, close, open) = match kind {
            Kind::Postgres => (
                vec!["CREATE ROLE anna LOGIN PASSWORD 'secret-of-the-machine'", "CREATE DATABASE tombs OWNER anna"],
                "ALTER DATABASE tombs SET default_transaction_read_only = on",
                "ALTER DATABASE tombs RESET default_transaction_read_only",
            ),
            Kind::Mariadb => (
                vec![
                    "CREATE DATABASE tombs",
                    "CREATE USER anna@'127.0.0.1' IDENTIFIED BY 'secret-of-the-machine'",
                    "GRANT ALL ON tombs.* TO anna@'127.0.0.1'",
                ],
                "SET GLOBAL read_only = ON",
                "SET GLOBAL read_only = OFF",
            ),
        };
        for sql in make {
            administrator.sql(sql);
        }
        let acting = repo.with("CODEX_ARCHIVE_URL", login.url());
        acting.tomb_ok(&["init", "--no-hooks"]);
        acting.tomb_ok(&["store", "src/legacy"]);
        let expected =
            ["error: the archive is read-only, and could not ", "read", "hint: use the server that takes changes"];
        administrator.sql(close);
        acting.tomb_ok(&["cat", "src/legacy/old.py"]);
        assert_nothing_begun(&acting, CHANGES, &expected);
        administrator.sql(open);
        if kind == Kind::Postgres {
            // A standby refuses on its own account.
            machine.down();
            let signal = machine.folder().join("data/standby.signal");
            std::fs::write(&signal, "").unwrap();
            give_to_server(kind, &signal);
            machine.up(&[]);
            acting.tomb_ok(&["cat", "src/legacy/old.py"]);
            assert_nothing_begun(&acting, CHANGES, &expected);
            continue;
        }
        acting.tomb_ok(&["store", "docs"]);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_left_alone() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo.tomb_ok(&["store", "src/legacy"]);
    let archive = repo.path.join(".git/archive-tomb/archive.sqlite");
    std::fs::set_permissions(&archive, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    // Permissions are no obstacle to root, unless it gives that up.
    let program = env!("CARGO_BIN_EXE_git-archive-tomb");
    for arguments in CHANGES {
        let before = repo.look();
        let mut command = if me() == "root" {
            let mut bound = repo.command("setpriv");
            bound.args(["--bounding-set=-dac_override", program]);
            bound
        } else {
            repo.command(program)
        };
        command.args(*arguments);
        let run = Run::from(command.output().unwrap()).exits(6);
        assert!(run.stderr_text().contains("error: the archive is read-only, and could not "), "{run}");
        assert_eq!(repo.look(), before, "{arguments:?}");
        repo.tomb_ok(&["doctor"]);
    }
}

/// What the driver says of such a password has a piece of it.
#[test]
fn a_password_that_no_login_takes_is_called_that_and_not_shown() {
    let world = World::new();
    let repo = world.sample("project");
    // As text, and as it stands in a URL.
    let (password, escaped) = ("se\u{1f511}same", "se%F0%9F%94%91same");
    for kind in KINDS {
        let database = Database::with_archive(kind, &repo);
        let account = Account::new(&database);
        account.grant("SELECT");
        let user = &account.login.user;
        database.login.sql(&match kind {
            Kind::Postgres => format!("ALTER ROLE {user} PASSWORD '{password}'"),
            Kind::Mariadb => format!("SET NAMES utf8mb4; ALTER USER {user}@'127.0.0.1' IDENTIFIED BY '{password}'"),
        });
        let login = Login { password: escaped.to_owned(), ..account.login.clone() };
        let repo = repo.with("CODEX_ARCHIVE_URL", login.url());
        let run = repo.tomb(&["list"]);
        assert!(!run.all_text().contains('\u{1f511}') && !run.all_text().contains("1f511"), "{run}");
        if kind == Kind::Mariadb {
            // A password is bytes there.
            run.exits(0);
            continue;
        }
        let error = run.exits(6).stderr_text();
        assert!(error.contains("error: cannot log in to the archive `") && error.contains("RFC 4013"), "{error}");
        assert!(error.contains("hint: give the account another password, or another kind of login"), "{error}");
    }
}

#[test]
fn a_login_of_a_kind_that_nobody_knows_is_named() {
    let world = World::new();
    let repo = world.sample("project");
    let machine = Machine::start(Kind::Mariadb, &["--plugin-load-add=auth_ed25519".to_owned()]);
    let sql = "CREATE USER anna@'127.0.0.1' IDENTIFIED VIA ed25519 USING PASSWORD('secret-of-the-machine')";
    machine.login().sql(sql);
    let login = Login { user: "anna".to_owned(), ..machine.login() };
    let error = repo.with("CODEX_ARCHIVE_URL", login.url()).tomb(&["list"]).exits(6).stderr_text();
    assert!(error.contains("the server asks for a login by `client_ed25519`"), "{error}");
    assert!(error.contains("`mysql_native_password` on MariaDB"), "{error}");
}

#[test]
fn reading_everything_takes_as_many_connections_as_may_work_at_once() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        for number in 0..12 {
            repo.write(format!("many/{number}.bin"), noise(number, 2 << 20));
        }
        repo.commit_all("Add many files");
        let database = Database::with_archive(kind, &repo);
        database.used_by(&repo).tomb_ok(&["store", "many"]);
        let name = &database.login.database;
        let user = format!("u_{name}");
        match kind {
            Kind::Postgres => {
                database.login.sql(&format!("CREATE ROLE {user} LOGIN PASSWORD 'few' CONNECTION LIMIT 3"));
                database.login.sql(&format!("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {user}"));
            }
            Kind::Mariadb => {
                let limit = "WITH MAX_USER_CONNECTIONS 3";
                database.login.sql(&format!("CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'few' {limit}"));
                database.login.sql(&format!("GRANT SELECT, INSERT, UPDATE ON {name}.* TO {user}@'127.0.0.1'"));
            }
        }
        let login = Login { user: user.clone(), password: "few".to_owned(), ..database.login.clone() };
        let acting = repo.with("CODEX_ARCHIVE_URL", login.url()).with("CODEX_ARCHIVE_BATCH_CONCURRENT", "3");
        let run = acting.tomb_ok(&["health-check", "--deep"]);
        assert!(run.stdout_text().contains("Contents Read: 12"), "{}", run.stdout_text());
        match kind {
            Kind::Postgres => {
                database.login.sql(&format!("DROP OWNED BY {user}"));
                database.login.sql(&format!("DROP ROLE {user}"));
            }
            Kind::Mariadb => {
                database.login.sql(&format!("DROP USER {user}@'127.0.0.1'"));
            }
        }
    }
}

/// What is not in the URL is not there, whatever PostgreSQL's own programs would take from the environment.
#[test]
fn variables_of_postgres_change_nothing_or_are_refused() {
    let world = World::new();
    let repo = world.sample("project");
    let database = Database::with_archive(Kind::Postgres, &repo);
    database.login.sql("CREATE SCHEMA other");
    let repo = database.used_by(&repo);
    let shown = |repo: &Repo<'_>| repo.tomb_ok(&["list", "--json"]).stdout;
    repo.tomb_ok(&["store", "docs"]);
    let (list, missing) = (shown(&repo), "/nowhere");
    for (name, value) in [
        ("PGHOST", "192.0.2.1"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGPASSWORD", "Canary"),
        ("PGPASSFILE", missing),
        ("PGDATABASE", "nowhere"),
        ("PGSERVICE", "nowhere"),
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", missing),
        ("PGAPPNAME", "Canary"),
        ("PGOPTIONS", ""),
    ] {
        assert_eq!(shown(&repo.with(name, value)), list, "{name}");
    }
    for (name, value) in [("PGOPTIONS", "-c search_path=other"), ("PGSSLCERT", missing), ("PGSSLKEY", missing)] {
        let run = repo.with(name, value).tomb(&["init", "--no-hooks"]).exits(2);
        assert!(run.stderr_text().contains(&format!("the environment's `{name}`")), "{run}");
    }
    // Where none is presented, none is taken from elsewhere.
    let clear = Login { parameters: "?sslmode=disable".to_owned(), ..database.login.clone() };
    shown(&repo.with("CODEX_ARCHIVE_URL", clear.url()).with("PGSSLCERT", missing));
    // A password of the environment is not the URL's: nobody else gets to hear it.
    let without = database.login.url().replace(&format!(":{}@", database.login.password), "@");
    let run = repo.with("CODEX_ARCHIVE_URL", without).with("PGPASSWORD", &database.login.password).tomb(&["list"]);
    assert!(run.exits(6).stderr_text().contains("refuses the login"));
}
