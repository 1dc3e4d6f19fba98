//! Failures that pass, each with the real thing: with patience a command goes through, without it ends clean and can be
//! finished.

use std::process::{Child, Stdio};

use git_archive_tomb::fault::VARIABLE;
use git_archive_tomb::id::Sha256;
use serde_json::Value;

use super::machine::{Machine, signal};
use super::{Database, KINDS, Kind, Login, patient, wait_until};
use crate::common::{Repo, Run, World};

/// The program, stopped in the middle of what it does.
pub(super) struct Stopped(Child);

impl Stopped {
    /// Starts a command and stops it at a fault point.
    pub(super) fn at(point: &str, repo: &Repo<'_>, arguments: &[&str]) -> Self {
        let stopped = Self(spawn(&repo.with(VARIABLE, format!("{point}@STOP")), arguments));
        wait_until("the program stops", || stopped.is_stopped());
        stopped
    }

    fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Lets it go on, and waits for its end.
    pub(super) fn finish(self) -> Run {
        end(self.go_on())
    }

    fn go_on(self) -> Child {
        signal(&self.0, "CONT");
        self.0
    }
}

fn spawn(repo: &Repo<'_>, arguments: &[&str]) -> Child {
    let mut command = repo.command(env!("CARGO_BIN_EXE_git-archive-tomb"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> Run {
    Run::from(child.wait_with_output().unwrap())
}

/// Returns the records of attempts, as the operations log has them.
fn attempts(repo: &Repo<'_>) -> Vec<Value> {
    let log = repo.path.join(".git/archive-tomb/archive_ops.jsonl");
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["status"] == "retrying").collect()
}

/// Asserts that attempts failed for a reason that has one of `reasons` in it, and that the last one succeeded and tells
/// how long all took.
#[track_caller]
fn assert_told(repo: &Repo<'_>, reasons: &[&str]) {
    let attempts = attempts(repo);
    let [failed @ .., last] = &attempts[..] else { panic!("no attempt is recorded") };
    assert!(!failed.is_empty());
    for record in failed {
        assert_eq!(record["action"], "ARCHIVE");
        let error = record["error"].as_str().unwrap_or_default();
        assert!(
            record["attempt"].as_u64().unwrap() > 1 || reasons.iter().any(|reason| error.contains(reason)),
            "{record}"
        );
    }
    assert!(last.get("error").is_none() && last["duration_ms"].as_f64().unwrap() > 0.0, "{last}");
    assert!(last["attempt"].as_u64().unwrap() > 1, "{last}");
}

/// Returns a repository with an archive on `database` and files to store, each of which fills a block.
fn project<'a>(world: &'a World, seed: u64, database: &Database) -> Repo<'a> {
    let repo = world.sample(&format!("project-{seed}"));
    let mut state = seed;
    for number in 0..16 {
        let mut bytes = Vec::with_capacity(900_000);
        while bytes.len() < 900_000 {
            // Marsaglia's xorshift: what does not compress.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        repo.write(format!("many/{number}.bin"), bytes);
    }
    repo.commit_all("many");
    let repo = database.used_by(&repo);
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo
}

#[track_caller]
fn assert_whole(repo: &Repo<'_>, path: &str) {
    repo.commit_all("archive");
    repo.tomb_ok(&["verify", "--all", "--deep"]);
    repo.tomb_ok(&["health-check", "--deep"]);
    repo.tomb_ok(&["restore", path]);
}

/// Stops the server under a store at several places, and starts it again.
fn a_server_that_stops(kind: Kind) {
    let mut machine = Machine::start(kind, &[]);
    let database = Database::on(&machine.login());
    let mut seed = 0;
    for place in ["put", "index"] {
        for patience in [true, false] {
            let world = World::new();
            seed += 1;
            let repo = project(&world, seed, &database);
            let acting = if patience { patient(&repo, 10) } else { repo.clone() };
            let mut session = database.login.session();
            let mut blocks = || session.ask("SELECT COUNT(*) FROM block")[0].parse::<u32>().unwrap();
            let stopped = if place == "put" {
                // In the middle of the bytes, wherever that is.
                let before = blocks();
                // At a level that gives us time to look.
                let mut child = spawn(&acting.with("CODEX_ARCHIVE_STORAGE_LEVEL", "19"), &["store", "many"]);
                while blocks() == before {
                    assert!(child.try_wait().unwrap().is_none(), "the store has ended");
                }
                signal(&child, "STOP");
                Stopped(child)
            } else {
                Stopped::at(place, &acting, &["store", "docs", "src"])
            };
            drop(session);
            machine.down();
            let running = stopped.go_on();
            if patience {
                wait_until("an attempt failed", || !attempts(&repo).is_empty());
                machine.up(&[]);
                end(running).exits(0);
                assert_told(&repo, &["lost the connection", "cannot reach"]);
            } else {
                let run = end(running).exits(6);
                assert!(run.stderr_text().contains("lost the connection"), "{run}");
                assert!(attempts(&repo).is_empty());
                machine.up(&[]);
                // With the server it lost the means to take back what it had begun.
                assert!(repo.tomb(&["doctor"]).exits(1).stdout_text().contains("doctor --continue"));
                repo.tomb_ok(&["doctor", "--continue"]);
            }
            assert_whole(&repo, if place == "put" { "many/7.bin" } else { "docs/old.md" });
        }
    }
    drop(database);
}

#[test]
fn a_store_goes_through_while_postgres_stops_and_starts() {
    a_server_that_stops(Kind::Postgres);
}

#[test]
fn a_store_goes_through_while_mariadb_stops_and_starts() {
    a_server_that_stops(Kind::Mariadb);
}

/// Ends every session of the program in a database, as an administrator may.
fn kill_sessions(login: &Login) {
    let administrator = Login::to_tests(login.kind);
    match login.kind {
        Kind::Postgres => {
            administrator.sql(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
                login.database
            ));
        }
        Kind::Mariadb => {
            let sessions = administrator
                .sql(&format!("SELECT id FROM information_schema.processlist WHERE db = '{}'", login.database));
            for session in sessions.lines() {
                administrator.sql(&format!("KILL {session}"));
            }
        }
    }
    wait_until("the sessions end", || login.sessions() == 0);
}

#[test]
fn a_connection_that_an_administrator_kills_is_made_again() {
    for kind in KINDS {
        for point in ["bytes", "index"] {
            for patience in [true, false] {
                let world = World::new();
                let repo = world.sample("project");
                let database = Database::with_archive(kind, &repo);
                let repo = database.used_by(&repo);
                let acting = if patience { patient(&repo, 3) } else { repo.clone() };
                let stopped = Stopped::at(point, &acting, &["store", "docs", "src"]);
                kill_sessions(&database.login);
                let run = stopped.finish();
                if patience {
                    run.exits(0);
                    assert_told(&repo, &["lost the connection"]);
                } else {
                    let run = run.exits(6);
                    assert!(run.stderr_text().contains("lost the connection"), "{run}");
                    // What had not touched the repository yet was taken back.
                    if repo.exists(".git/archive-tomb/operations") && !repo.tomb(&["doctor"]).stdout.is_empty() {
                        repo.tomb_ok(&["doctor", "--continue"]);
                    }
                    repo.tomb_ok(&["store", "docs", "src"]);
                }
                assert_whole(&repo, "docs/old.md");
            }
        }
    }
}

#[test]
fn a_deadlock_is_tried_again() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = Database::with_archive(kind, &repo);
        let repo = database.used_by(&repo);
        let content = Sha256::of(&repo.read("docs/old.md"));
        let artifact = |sha256: &str| {
            format!(
                "INSERT INTO artifact (content_sha256, size_bytes, created_at) VALUES ('{sha256}', 1, '2025-01-01T00:00:00.000Z')"
            )
        };
        let mut other = database.login.session();
        if kind == Kind::Postgres {
            // Whoever looks first finds the deadlock, and is the one that gives way.
            database.login.sql(&format!("ALTER DATABASE {} SET deadlock_timeout = '3s'", database.login.database));
            other.ask("SET deadlock_timeout = '10min'");
        }
        other.ask("BEGIN");
        // MariaDB lets the one give way that has changed less.
        for number in 0..50 {
            other.ask(&artifact(&format!("{number:064x}")));
        }
        other.ask(&artifact(&content.to_string()));
        let mut watcher = database.login.session();
        let running = spawn(&patient(&repo, 5), &["store", "docs"]);
        // It has locked the archive, and waits for the content …
        wait_until("the store waits", || match kind {
            Kind::Postgres => {
                let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()
                           AND wait_event_type = 'Lock'";
                watcher.ask(sql) == ["1"]
            }
            Kind::Mariadb => {
                // Whoever asks again within a tenth of a second gets the same answer, which counts as asking again.
                std::thread::sleep(std::time::Duration::from_millis(150));
                let sql = "SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p
                           ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE() AND t.trx_state = 'LOCK WAIT'";
                watcher.ask(sql) == ["1"]
            }
        });
        // … and now each waits for the other.
        other.ask("SELECT id FROM archive FOR UPDATE");
        wait_until("an attempt failed", || !attempts(&repo).is_empty());
        other.ask("ROLLBACK");
        end(running).exits(0);
        assert_told(&repo, &["eadlock"]);
        assert_whole(&repo, "docs/old.md");
    }
}

#[test]
fn a_lock_that_is_waited_for_too_long_is_tried_again() {
    let wait = |kind: Kind| {
        let world = World::new();
        let repo = world.sample("project");
        let database = Database::with_archive(kind, &repo);
        let repo = database.used_by(&repo);
        let mut other = database.login.session();
        other.ask("BEGIN");
        other.ask("SELECT id FROM archive FOR UPDATE");
        let running = spawn(&patient(&repo, 5), &["store", "docs"]);
        wait_until("an attempt failed", || !attempts(&repo).is_empty());
        other.ask("ROLLBACK");
        end(running).exits(0);
        assert_told(&repo, &["the archive is busy"]);
        assert_whole(&repo, "docs/old.md");
    };
    std::thread::scope(|scope| {
        for kind in KINDS {
            scope.spawn(move || wait(kind));
        }
    });
}

#[test]
fn a_serialization_failure_is_tried_again() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = Database::with_archive(kind, &repo);
        let repo = database.used_by(&repo);
        // The engine asks for nothing that could fail like this, but a cluster behind the same protocol may. Once only: a
        // sequence counts on whatever becomes of the transaction.
        match kind {
            Kind::Postgres => database.login.sql(
                "CREATE SEQUENCE once; CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF nextval('once') = 1 THEN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END IF;
                   RETURN NEW; END $$;
                 CREATE TRIGGER fail BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION fail_once()",
            ),
            Kind::Mariadb => {
                database.login.sql("CREATE SEQUENCE once");
                database.login.sql(
                    "DELIMITER //\nCREATE TRIGGER fail BEFORE INSERT ON item FOR EACH ROW IF NEXTVAL(once) = 1 THEN
                       SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'could not serialize access'; END IF//",
                )
            }
        };
        patient(&repo, 3).tomb_ok(&["store", "docs", "src"]);
        assert_told(&repo, &["could not serialize access"]);
        assert_whole(&repo, "docs/old.md");
    }
}

#[test]
fn a_server_without_a_free_connection_is_waited_for() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = Database::new(kind);
        let user = format!("u_{}", database.login.database);
        match kind {
            Kind::Postgres => {
                database.login.sql(&format!("CREATE ROLE {user} LOGIN CONNECTION LIMIT 1 PASSWORD 'only-one'"));
                database.login.sql(&format!("ALTER DATABASE {} OWNER TO {user}", database.login.database));
                database.login.sql(&format!("ALTER SCHEMA public OWNER TO {user}"));
            }
            Kind::Mariadb => {
                database.login.sql(&format!(
                    "CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'only-one' WITH MAX_USER_CONNECTIONS 1"
                ));
                database.login.sql(&format!("GRANT ALL ON {}.* TO {user}@'127.0.0.1'", database.login.database));
            }
        }
        let login = Login { user: user.clone(), password: "only-one".to_owned(), ..database.login.clone() };
        let repo = repo.with("CODEX_ARCHIVE_URL", login.url());
        repo.tomb_ok(&["init", "--no-hooks"]);
        let mut other = login.session();
        other.ask("SELECT 1");
        let run = repo.tomb(&["store", "docs"]).exits(6);
        assert!(run.stderr_text().contains("the archive is busy"), "{run}");
        let running = spawn(&patient(&repo, 10), &["store", "docs"]);
        wait_until("an attempt failed", || !attempts(&repo).is_empty());
        drop(other);
        end(running).exits(0);
        assert_told(&repo, &["the archive is busy"]);
        assert_whole(&repo, "docs/old.md");
        match kind {
            Kind::Postgres => {
                database.login.sql(&format!("REASSIGN OWNED BY {user} TO CURRENT_USER; DROP OWNED BY {user}"));
                database.login.sql(&format!("DROP ROLE {user}"))
            }
            Kind::Mariadb => database.login.sql(&format!("DROP USER {user}@'127.0.0.1'")),
        };
    }
}
