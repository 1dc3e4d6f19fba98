//! What a server keeps of bytes that a purge destroyed: its folder is searched for them, before and after the statements that
//! the report of a purge and `docs/governance.md` print.

use std::path::{Path, PathBuf};

use git_archive_tomb::archive::{AnyArchive, ContentReader, Location, OpenMode, Purge};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::governance::remains::remains;
use git_archive_tomb::id::{OperationId, Sha256};
use git_archive_tomb::item::Backend;
use git_archive_tomb::redact::SecretUrl;

use super::machine::Machine;
use super::{Kind, Login};
use crate::governance::place::{archive_items, event, item, store};

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// Returns runs of `bytes`, short enough that pages of a database have some of them in one piece.
fn runs(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.chunks(64).step_by((bytes.len() / 64 / 8).max(1)).filter(|run| run.len() == 64).collect()
}

/// Returns the files below `folder` that have one of `runs`.
fn files_with(folder: &Path, runs: &[&[u8]]) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // A server removes files as it likes.
            let bytes = if path.is_file() { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
            if runs.iter().any(|run| memchr::memmem::find(&bytes, run).is_some()) {
                found.push(path);
            }
        }
    }
    found
}

fn purge(archive: &mut AnyArchive, path: &str, content: &[u8]) {
    let target = item(path, content);
    let op = OperationId::generate();
    let purge = Purge {
        op,
        origin: "clone".to_owned(),
        tombstone: target.tombstone,
        sha256: target.sha256,
        request: OperationId::generate().to_string(),
        by: "Ada <ada@example.org>".to_owned(),
        second: "Grace <grace@example.org>".to_owned(),
        reason: "Contains PII".to_owned(),
        begun_at: Timestamp::now(),
    };
    assert!(archive.begin_purge(&purge, &mut |_| true).unwrap());
    archive.destroy(&target.sha256).unwrap();
    let done = event(op, git_archive_tomb::evidence::record::Action::Purge, &target);
    archive.end_purge(op, &[done]).unwrap();
}

/// Purges a content of several pages and one that lies in a block with others, and searches the server's folder for their
/// bytes, plain and as they were stored.
fn assert_ended_by_the_statements(kind: Kind, options: &[&str]) {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let machine = Machine::start(kind, &options);
    let administrator = machine.login();
    administrator.sql("CREATE DATABASE tombs");
    let login = Login { database: "tombs".to_owned(), ..administrator };
    let url = SecretUrl::new(&login.url());
    let (backend, location) = match kind {
        Kind::Postgres => (Backend::Postgres, Location::Postgres(url)),
        Kind::Mariadb => (Backend::Mariadb, Location::Mariadb(url)),
    };
    let mut archive = location.open(None, OpenMode::CreateOrMigrate).unwrap();
    let archive = &mut *archive;

    let (large, small) = (noise(1, 300_000), noise(2, 1_200));
    // Neighbours compress, so that what is stored of the small one is not what it is made of.
    let neighbours = ["neighbour ".repeat(300).into_bytes(), "another one ".repeat(700).into_bytes()];
    store(archive, &[&noise(3, 4_000_000)]).unwrap();
    store(archive, &[&large]).unwrap();
    store(archive, &[&neighbours[0], &small, &neighbours[1]]).unwrap();
    store(archive, &[&noise(4, 4_000_000)]).unwrap();
    archive_items(archive, &[item("large", &large), item("small", &small)]).unwrap();
    archive_items(archive, &[item("neighbour", &neighbours[0]), item("another", &neighbours[1])]).unwrap();
    let block = archive.segments(&Sha256::of(&small), 0).unwrap()[0].block;
    let stored = archive.block(&block).unwrap().unwrap().stored;
    let sought: Vec<&[u8]> = [&*large, &small, &stored].into_iter().flat_map(runs).collect();
    assert!(!files_with(machine.folder(), &sought).is_empty());

    purge(archive, "large", &large);
    purge(archive, "small", &small);
    let left = files_with(machine.folder(), &sought);
    assert!(!left.is_empty(), "where nothing is left, the statements are of no use");
    for remain in remains(backend, None) {
        for statement in remain.statements {
            login.sql(statement);
        }
    }
    assert_eq!(files_with(machine.folder(), &sought), Vec::<PathBuf>::new(), "were: {left:?}");
    for neighbour in &neighbours {
        let mut bytes = Vec::new();
        ContentReader::new(archive).read(&Sha256::of(neighbour), neighbour.len() as u64, &mut bytes).unwrap();
        assert!(bytes == *neighbour);
    }
}

#[test]
fn what_postgres_keeps_is_ended_by_the_statements_of_the_report() {
    assert_ended_by_the_statements(Kind::Postgres, &["autovacuum=off"]);
}

#[test]
fn what_mariadb_keeps_is_ended_by_the_statements_of_the_report() {
    let options =
        ["--log-bin=log", "--server-id=1", "--log-bin-trust-function-creators=1", "--innodb-log-file-size=16M"];
    assert_ended_by_the_statements(Kind::Mariadb, &options);
}
