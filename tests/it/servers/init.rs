//! `init` on a database that others make an archive of at the same time, or that an administrator is at work on.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use super::{Database, KINDS, Kind, Login, Session, patient, wait_until};
use crate::common::{Repo, Run, World};

/// Starts `init`.
fn spawn(repo: &Repo<'_>) -> std::process::Child {
    let mut command = repo.command(env!("CARGO_BIN_EXE_git-archive-tomb"));
    command.args(["init", "--no-hooks"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Lets eight programs make an archive at `url`, each from a repository of its own.
fn eight_make_one(url: &str) {
    let world = World::new();
    let project = world.sample("project");
    let repos: Vec<_> =
        (0..8).map(|number| project.copy_to(&format!("project-{number}")).with("CODEX_ARCHIVE_URL", url)).collect();
    let racing: Vec<_> = repos.iter().map(spawn).collect();
    let ids: BTreeSet<String> = racing
        .into_iter()
        .map(|child| {
            let run = Run::from(child.wait_with_output().unwrap()).exits(0);
            let said = run.stderr_text();
            let line = said.lines().find(|line| line.contains(" the archive ")).unwrap_or_else(|| panic!("{said}"));
            line.rsplit('(').next().unwrap().trim_end_matches(')').to_owned()
        })
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    for repo in &repos[..2] {
        repo.commit_all("init");
        repo.store(&["docs"], &["docs/old.md"]);
    }
    repos[0].tomb_ok(&["health-check", "--deep"]);
}

#[test]
fn eight_programs_make_one_archive_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    eight_make_one(&format!("sqlite:///{}", folder.path().join("archive.sqlite").display()));
}

#[test]
fn eight_programs_make_one_archive_on_a_server() {
    for kind in KINDS {
        eight_make_one(&Database::new(kind).login.url());
    }
}

/// Makes the next `init` in `database` wait in the middle of its migration, until the session ends what it has begun.
fn in_the_way(database: &Database, repo: &Repo<'_>) -> Session {
    let Login { kind, .. } = database.login;
    if kind == Kind::Mariadb {
        // Tables without triggers, as a stop leaves them. A trigger is made while nobody reads its table.
        let script = repo.tomb_ok(&["schema", "--dialect", "mariadb"]).stdout_text();
        let (tables, _) = script.split_once("DELIMITER //").unwrap();
        let mut client = database.login.client().stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        client.stdin.take().unwrap().write_all(tables.as_bytes()).unwrap();
        assert!(client.wait().unwrap().success());
    }
    let mut session = database.login.session();
    session.ask("BEGIN");
    session.ask(match kind {
        // Another table of a name is waited for, in case that it does not stay.
        Kind::Postgres => "CREATE TABLE item (id INT)",
        Kind::Mariadb => "SELECT COUNT(*) FROM item",
    });
    session
}

/// Returns the number of the program's session in `database` that waits for a lock, if there is one.
fn waiting(database: &Database) -> Option<String> {
    let name = &database.login.database;
    let number = Login::to_tests(database.login.kind).sql(&match database.login.kind {
        Kind::Postgres => format!(
            "SELECT pid FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'git-archive-tomb'
               AND wait_event_type = 'Lock'"
        ),
        Kind::Mariadb => format!(
            "SELECT id FROM information_schema.processlist WHERE db = '{name}'
               AND state = 'Waiting for table metadata lock'"
        ),
    });
    Some(number).filter(|number| !number.is_empty())
}

#[test]
fn an_init_that_an_administrator_ended_is_done_by_the_next() {
    for kind in KINDS {
        for patience in [false, true] {
            let world = World::new();
            let repo = world.sample("project");
            let database = Database::new(kind);
            let repo = database.used_by(&repo);
            let mut session = in_the_way(&database, &repo);
            let child = spawn(&if patience { patient(&repo, 5) } else { repo.clone() });
            wait_until("init waits", || waiting(&database).is_some());
            let number = waiting(&database).unwrap();
            Login::to_tests(kind).sql(&match kind {
                Kind::Postgres => format!("SELECT pg_terminate_backend({number})"),
                Kind::Mariadb => format!("KILL {number}"),
            });
            session.ask("ROLLBACK");
            let run = Run::from(child.wait_with_output().unwrap());
            if patience {
                let run = run.exits(0);
                assert!(run.stderr_text().contains("Attempt 1 failed"), "{run}");
            } else {
                let error = run.exits(6).stderr_text();
                assert!(error.contains("lost the connection to the archive, which was to make the schema"), "{error}");
                assert!(repo.tomb(&["list"]).exits(6).stderr_text().contains("there is no archive at"));
                repo.tomb_ok(&["init", "--no-hooks"]);
            }
            repo.commit_all("init");
            repo.store(&["docs"], &["docs/old.md"]);
            repo.tomb_ok(&["health-check", "--deep"]);
        }
    }
}
