//! How often the program waits for a server: not for each file.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::{Database, KINDS, Login};
use crate::common::{Repo, World};

/// A way to a server, on which the client's words after the server's are counted. It is there until the test ends.
pub(super) struct Way {
    pub(super) port: u16,
    trips: Arc<AtomicU64>,
}

impl Way {
    pub(super) fn to(login: &Login) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let trips = Arc::new(AtomicU64::new(0));
        let (counter, server) = (Arc::clone(&trips), (login.host.clone(), login.port));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((server.0.as_str(), server.1)) else { continue };
                let answered = Arc::new(AtomicBool::new(true));
                let (asked, counter) = (Arc::clone(&answered), Arc::clone(&counter));
                pass(client.try_clone().unwrap(), server.try_clone().unwrap(), move || {
                    if asked.swap(false, Ordering::SeqCst) {
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                });
                pass(server, client, move || answered.store(true, Ordering::SeqCst));
            }
        });
        Self { port, trips }
    }

    /// Runs the program, which must succeed, and returns how many round trips that took.
    pub(super) fn trips_of(&self, repo: &Repo<'_>, arguments: &[&str]) -> u64 {
        self.trips.store(0, Ordering::SeqCst);
        repo.tomb_ok(arguments);
        self.trips.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, heard: impl Fn() + Send + 'static) {
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            heard();
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

#[test]
fn the_number_of_round_trips_does_not_grow_with_the_files() {
    // More than there are runs in which several threads share what is to be examined.
    const FILES: [u64; 2] = [80, 200];
    const COMMANDS: &[&[&str]] = &[
        &["store", "-q", "old"],
        &["list"],
        &["status"],
        &["verify", "--all", "--deep"],
        &["health-check", "--deep"],
        &["grep", "-n", "number"],
        &["restore", "-q", "old"],
        &["store", "-q", "old"],
        &["export", "--digest"],
    ];
    for kind in KINDS {
        let mut trips = Vec::new();
        for files in FILES {
            let world = World::new();
            let repo = world.sample("project");
            for number in 0..files {
                repo.write(format!("old/{number:03}.py"), format!("number = {number}\n").repeat(5));
            }
            repo.commit_all("many");
            let database = Database::with_archive(kind, &repo);
            let way = Way::to(&database.login);
            let parameters = "?sslmode=disable".to_owned();
            let login = Login { host: "127.0.0.1".to_owned(), port: way.port, parameters, ..database.login.clone() };
            let far = repo.with("CODEX_ARCHIVE_URL", login.url());
            let counted: Vec<u64> = COMMANDS
                .iter()
                .map(|arguments| {
                    let trips = way.trips_of(&far, arguments);
                    repo.try_git(&["commit", "-qm", "step"]);
                    trips
                })
                .collect();
            trips.push(counted);
        }
        for ((arguments, few), many) in COMMANDS.iter().zip(&trips[0]).zip(&trips[1]) {
            assert!(*few >= 3, "{kind:?}: {arguments:?} went around the way");
            // Pages, and groups of rows.
            let more = (FILES[1] - FILES[0]) / 10;
            assert!(*many < few + more, "{kind:?}: {arguments:?} made {few} round trips for 80 files, {many} for 200");
        }
    }
}
