//! What does not pass fails at once, in words that say what to do and name no secret.

use super::{Database, KINDS, Kind, Login};
use crate::common::{Repo, World};

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

#[test]
fn a_user_without_rights_is_told_so() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = Database::with_archive(kind, &repo);
        database.used_by(&repo).tomb_ok(&["store", "src/legacy"]);
        let name = &database.login.database;
        let user = format!("u_{name}");
        let grant = |what: &str| match kind {
            Kind::Postgres => database.login.sql(&format!("GRANT {what} ON ALL TABLES IN SCHEMA public TO {user}")),
            Kind::Mariadb => database.login.sql(&format!("GRANT {what} ON {name}.* TO {user}@'127.0.0.1'")),
        };
        match kind {
            Kind::Postgres => {
                database.login.sql(&format!("CREATE ROLE {user} LOGIN PASSWORD 'look-only'"));
            }
            Kind::Mariadb => {
                database.login.sql(&format!("CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'look-only'"));
            }
        }
        let login = Login { user: user.clone(), password: "look-only".to_owned(), ..database.login.clone() };
        let hint = "hint: have its administrator grant it, or use another user";
        let acting = repo.with("CODEX_ARCHIVE_URL", login.url());
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
        grant("SELECT");
        acting.tomb_ok(&["list"]);
        acting.tomb_ok(&["cat", "src/legacy/old.py"]);
        let run = acting.tomb(&["store", "docs"]).exits(6);
        let error = run.stderr_text();
        assert!(error.contains("the archive does not let this user ") && error.contains(hint), "{error}");
        assert!(!run.all_text().contains("look-only"), "{run}");
        assert_eq!(repo.git(&["status", "--short", "docs"]), "");
        // The intent is in the journal, and whoever may write can take it back.
        database.used_by(&repo).tomb_ok(&["doctor", "--abort"]);
        match kind {
            Kind::Postgres => {
                database.login.sql(&format!("DROP OWNED BY {user}"));
                database.login.sql(&format!("DROP ROLE {user}"))
            }
            Kind::Mariadb => database.login.sql(&format!("DROP USER {user}@'127.0.0.1'")),
        };
    }
}
