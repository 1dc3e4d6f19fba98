//! Batches from a server: few round trips, and none of them waited for longer than an item may take.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::trips::Way;
use super::{Database, KINDS, Login};
use crate::common::{Repo, World};

/// Archives so many files in an archive on a server, and writes a manifest that brings them back below `out`.
fn archived<'a>(world: &'a World, database: &Database, files: usize) -> Repo<'a> {
    let repo = world.sample("project");
    for number in 0..files {
        repo.write(format!("old/{number:03}.py"), format!("number = {number}\n").repeat(5));
    }
    repo.commit_all("many");
    let repo = database.used_by(&repo);
    repo.tomb_ok(&["init", "--no-hooks"]);
    let stored = repo.tomb_ok(&["store", "old"]).json();
    repo.commit_all("archive");
    let row = |row: &Value| json!({"tombstone": row["tombstone"], "output": format!("out/{}", row["path"].as_str().unwrap())});
    repo.write("manifest.json", Value::Array(stored.iter().map(row).collect()).to_string());
    repo
}

#[test]
fn round_trips_do_not_grow_with_the_rows() {
    for kind in KINDS {
        let trips = [80, 200].map(|files| {
            let world = World::new();
            let database = Database::new(kind);
            let repo = archived(&world, &database, files);
            let way = Way::to(&database.login);
            let parameters = "?sslmode=disable".to_owned();
            let login = Login { host: "127.0.0.1".to_owned(), port: way.port, parameters, ..database.login.clone() };
            let far = repo.with("CODEX_ARCHIVE_URL", login.url());
            way.trips_of(&far, &["batch-restore", "manifest.json", "-q", "--max-concurrent", "1"])
        });
        assert!(trips[0] >= 3 && trips[1] < trips[0] + 12, "{kind:?}: {trips:?} round trips");
    }
}

/// A way to a server that stops passing anything on, for each connection when it asks for a block, as often as it is told to.
struct Stalling {
    port: u16,
    stalls: Arc<AtomicI64>,
}

impl Stalling {
    fn before(login: &Login) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stalls = Arc::new(AtomicI64::new(0));
        let (shared, server) = (Arc::clone(&stalls), (login.host.clone(), login.port));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((server.0.as_str(), server.1)) else { continue };
                let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
                let stalls = Arc::clone(&shared);
                thread::spawn(move || pass(client, server, &stalls));
            }
        });
        Self { port, stalls }
    }
}

fn pass(mut client: TcpStream, mut server: TcpStream, stalls: &AtomicI64) {
    let mut buffer = [0; 16384];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let said = &buffer[..length];
        let asks = said.windows(16).any(|window| window == b"FROM block WHERE");
        if asks && stalls.fetch_sub(1, Ordering::SeqCst) > 0 {
            // Longer than an item may take; then it goes on, too late.
            thread::sleep(Duration::from_millis(2_500));
        }
        if server.write_all(said).is_err() {
            break;
        }
    }
}

#[test]
fn an_item_that_hangs_fails_in_time_and_the_others_come_back() {
    for kind in KINDS {
        let world = World::new();
        let database = Database::new(kind);
        let repo = archived(&world, &database, 6);
        let stalling = Stalling::before(&database.login);
        let parameters = "?sslmode=disable".to_owned();
        let login = Login { host: "127.0.0.1".to_owned(), port: stalling.port, parameters, ..database.login.clone() };
        let far = repo.with("CODEX_ARCHIVE_URL", login.url()).with("CODEX_ARCHIVE_BATCH_TIMEOUT_PER_ITEM", "1");
        // Three, one after the other: when the first answer comes, too late, the batch is still at work.
        stalling.stalls.store(3, Ordering::SeqCst);
        let arguments =
            ["batch-restore", "manifest.json", "--continue-on-error", "--max-concurrent", "1", "--results", "r.json"];
        let run = far.tomb(&arguments).exits(1);
        assert!(run.stderr_text().contains("[ERROR] Item 1 failed: it took longer than 1 s"), "{kind:?}: {run}");
        let results: Value = serde_json::from_slice(&repo.read("r.json")).unwrap();
        let statuses: Vec<_> = results["items"].as_array().unwrap().iter().map(|item| &item["status"]).collect();
        assert_eq!(statuses, ["failed", "failed", "failed", "success", "success", "success"], "{kind:?}: {run}");
        // Nothing of them is there, not even a beginning.
        let names: Vec<_> = repo.below("out/old").tree().into_keys().collect();
        assert_eq!(names, ["003.py", "004.py", "005.py"]);

        repo.tomb_ok(&["batch-restore", "manifest.json", "--resume", "r.json"]);
        let results: Value = serde_json::from_slice(&repo.read("r.json")).unwrap();
        assert_eq!(results["summary"]["succeeded"], 6, "{kind:?}");
    }
}
