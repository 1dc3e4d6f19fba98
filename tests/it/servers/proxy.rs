//! A proxy between the program and a server, which cuts the connection at the worst moment: after the server got a
//! `COMMIT`, and before its answer gets back.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use super::Login;
use super::{Database, KINDS, patient};
use crate::common::World;

/// A proxy of a server; it is there until the test ends.
struct Proxy {
    port: u16,
    /// How many commits pass before the one whose answer is lost; below zero, none is.
    commits_left: Arc<AtomicI64>,
}

impl Proxy {
    fn before(login: &Login) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (commits_left, server) = (Arc::new(AtomicI64::new(-1)), (login.host.clone(), login.port));
        let counter = Arc::clone(&commits_left);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((server.0.as_str(), server.1)) else { continue };
                let counter = Arc::clone(&counter);
                thread::spawn(move || pass(client, server, &counter));
            }
        });
        Self { port, commits_left }
    }
}

/// Passes on what either side says, until one of them ends or it is time to cut.
fn pass(client: TcpStream, server: TcpStream, commits_left: &AtomicI64) {
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let lost = Arc::new(AtomicI64::new(0));
    let is_lost = Arc::clone(&lost);
    let back = thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(length @ 1..) = from_server.read(&mut buffer) {
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
        let is_commit = buffer[..length].windows(6).any(|window| window == b"COMMIT");
        if is_commit && commits_left.fetch_sub(1, Ordering::SeqCst) == 0 {
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
        let parameters = "?sslmode=disable".to_owned();
        let login = Login { host: "127.0.0.1".to_owned(), port: proxy.port, parameters, ..database.login.clone() };
        let direct = database.used_by(&repo);
        let through = repo.with("CODEX_ARCHIVE_URL", login.url());
        let (mut number, mut cuts) = (0, [0, 0]);
        // Each commit of a store in turn, with patience and without.
        for (column, enabled) in [true, false].into_iter().enumerate() {
            for commit in (0..).step_by(if enabled { 1 } else { 3 }) {
                number += 1;
                let file = format!("gone/{number}.txt");
                repo.write(&file, format!("number {number}\n"));
                repo.commit_all("more");
                proxy.commits_left.store(commit, Ordering::SeqCst);
                let run = if enabled { patient(&through, 3) } else { through.clone() }.tomb(&["store", &file]);
                if proxy.commits_left.swap(-1, Ordering::SeqCst) >= 0 {
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
        assert!(cuts[0] >= 6 && cuts[1] >= 2, "{kind:?}: {cuts:?}");
        let counts = database
            .login
            .sql("SELECT (SELECT COUNT(*) FROM item), (SELECT COUNT(*) FROM artifact), (SELECT COUNT(*) FROM block)");
        let counts: Vec<u64> = counts.split(['|', '\t']).map(|count| count.parse().unwrap()).collect();
        assert_eq!(counts, [number; 3], "{kind:?}");
        direct.tomb_ok(&["verify", "--all", "--deep"]);
        direct.tomb_ok(&["health-check", "--deep"]);
    }
}
