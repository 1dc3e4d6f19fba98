//! A proxy between the program and a server, which cuts the connection at the worst moment: after the server got a
//! `COMMIT`, and before its answer gets back; or in the middle of the bytes that are read.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use super::Login;
use super::{Database, KINDS, patient};
use crate::common::{Repo, Run, World};

/// A proxy of a server; it is there until the test ends.
struct Proxy {
    port: u16,
    cuts: Arc<Cuts>,
}

/// When a connection is cut; below zero, none is.
struct Cuts {
    /// How many commits pass before the one whose answer is lost.
    commits_left: AtomicI64,
    /// How many of the server's bytes pass.
    bytes_left: AtomicI64,
}

impl Proxy {
    fn before(login: &Login) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(Cuts { commits_left: AtomicI64::new(-1), bytes_left: AtomicI64::new(-1) });
        let (shared, server) = (Arc::clone(&cuts), (login.host.clone(), login.port));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((server.0.as_str(), server.1)) else { continue };
                let cuts = Arc::clone(&shared);
                thread::spawn(move || pass(client, server, &cuts));
            }
        });
        Self { port, cuts }
    }

    /// Returns the login that goes through it.
    fn login(&self, direct: &Login) -> Login {
        let parameters = "?sslmode=disable".to_owned();
        Login { host: "127.0.0.1".to_owned(), port: self.port, parameters, ..direct.clone() }
    }
}

/// Passes on what either side says, until one of them ends or it is time to cut.
fn pass(client: TcpStream, server: TcpStream, cuts: &Arc<Cuts>) {
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let lost = Arc::new(AtomicI64::new(0));
    let (is_lost, shared) = (Arc::clone(&lost), Arc::clone(cuts));
    let back = thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(length @ 1..) = from_server.read(&mut buffer) {
            let passing = i64::try_from(length).unwrap();
            if (0..passing).contains(&shared.bytes_left.fetch_sub(passing, Ordering::SeqCst)) {
                break;
            }
            // The server has answered, so it has committed; nobody will hear of it.
            if is_lost.load(Ordering::SeqCst) > 0 || to_client.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_client, mut to_server) = (client, server);
    let mut buffer = [0; 16384];
    while let Ok(length @ 1..) = from_client.read(&mut buffer) {
        let said = &buffer[..length];
        let says = |words: &[u8]| said.windows(words.len()).any(|window| window == words);
        // Sessions and transactions that only ask for `READ COMMITTED` commit nothing.
        let is_commit = says(b"COMMIT") && !says(b"READ COMMITTED");
        if is_commit && cuts.commits_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            lost.store(1, Ordering::SeqCst);
        }
        if to_server.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = back.join();
    let _ = to_server.shutdown(Shutdown::Both);
}

#[test]
fn a_commit_whose_answer_is_lost_is_repeated_with_the_effect_of_one() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = Database::with_archive(kind, &repo);
        let proxy = Proxy::before(&database.login);
        let direct = database.used_by(&repo);
        let through = repo.with("CODEX_ARCHIVE_URL", proxy.login(&database.login).url());
        let (mut number, mut cuts) = (0, [0, 0]);
        // Each commit of a store in turn, with patience and without.
        for (column, enabled) in [true, false].into_iter().enumerate() {
            for commit in (0..).step_by(if enabled { 1 } else { 3 }) {
                number += 1;
                let file = format!("gone/{number}.txt");
                repo.write(&file, format!("number {number}\n"));
                repo.commit_all("more");
                proxy.cuts.commits_left.store(commit, Ordering::SeqCst);
                let run = if enabled { patient(&through, 3) } else { through.clone() }.tomb(&["store", &file]);
                if proxy.cuts.commits_left.swap(-1, Ordering::SeqCst) >= 0 {
                    // There was no such commit any more.
                    run.exits(0);
                    break;
                }
                cuts[column] += 1;
                if enabled {
                    run.exits(0);
                } else {
                    let run = run.exits(6);
                    assert!(run.stderr_text().contains("lost the connection"), "{run}");
                    if repo.path.join(".git/archive-tomb/operations").read_dir().unwrap().next().is_some() {
                        direct.tomb_ok(&["doctor", "--continue"]);
                    } else {
                        direct.tomb_ok(&["store", &file]);
                    }
                }
                repo.commit("archive");
                let shown = &direct.tomb_ok(&["show", &file, "--json"]).json()[0];
                let events = shown["events"].as_array().unwrap().iter().filter(|event| event["action"] == "ARCHIVE");
                assert_eq!(events.count(), 1, "{shown}");
            }
        }
        assert!(cuts[0] >= 4 && cuts[1] >= 2, "{kind:?}: {cuts:?}");
        let counts = database
            .login
            .sql("SELECT (SELECT COUNT(*) FROM item), (SELECT COUNT(*) FROM artifact), (SELECT COUNT(*) FROM block)");
        let counts: Vec<u64> = counts.split(['|', '\t']).map(|count| count.parse().unwrap()).collect();
        assert_eq!(counts, [number; 3], "{kind:?}");
        direct.tomb_ok(&["verify", "--all", "--deep"]);
        direct.tomb_ok(&["health-check", "--deep"]);
    }
}

/// Makes an archive with 4 MB that a check reads, cuts the connection in the middle of them, and returns the repository
/// without the proxy, and what the check said.
fn cut_in_mid_check<'a>(database: &Database, repo: &Repo<'a>, check: &[&str]) -> (Repo<'a>, Run) {
    for number in 0..4 {
        repo.write(format!("many/{number}.bin"), crate::migrate::noise(number + 1, 1_000_000));
    }
    repo.commit_all("many");
    let direct = database.used_by(repo);
    direct.tomb_ok(&["store", "many"]);
    repo.commit_all("archive");
    let proxy = Proxy::before(&database.login);
    proxy.cuts.bytes_left.store(2_000_000, Ordering::SeqCst);
    let through = repo.with("CODEX_ARCHIVE_URL", proxy.login(&database.login).url());
    let run = through.tomb(check);
    assert!(proxy.cuts.bytes_left.load(Ordering::SeqCst) < 0, "not cut: {run}");
    (direct, run)
}

#[test]
fn a_health_check_that_loses_the_archive_finds_no_damage() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = Database::with_archive(kind, &repo);
        let (direct, run) = cut_in_mid_check(&database, &repo, &["health-check", "--deep"]);
        let run = run.exits(6);
        assert!(run.stderr_text().contains("lost the connection"), "{run}");
        // Events are there for ever: none may say what is not so.
        let events = || database.login.sql("SELECT COUNT(*) FROM event WHERE action = 'HEALTH_CHECK'");
        assert_eq!(events(), "0", "{kind:?}");
        direct.tomb_ok(&["health-check", "--deep"]);
        assert_eq!(events(), "1", "{kind:?}");
    }
}

#[test]
fn a_deep_verification_that_loses_the_archive_finds_nothing_missing() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = Database::with_archive(kind, &repo);
        let (direct, run) = cut_in_mid_check(&database, &repo, &["verify", "--all", "--deep"]);
        let run = run.exits(6);
        assert!(run.stderr_text().contains("lost the connection"), "{run}");
        assert!(!run.stdout_text().contains("archive-missing"), "{run}");
        direct.tomb_ok(&["verify", "--all", "--deep"]);
    }
}
