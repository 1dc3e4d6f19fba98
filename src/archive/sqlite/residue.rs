//! What the files keep of purged bytes: nothing. Told by looking for them in the raw files.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use rusqlite::Connection;

use super::tests::{Sqlite, client};
use crate::archive::contract::{self, Engine as _, archived, archived_together, noise, purge, purge_whole, read};
use crate::archive::{Archive, ArchiveError, BLOCK_SIZE, Block, Destroyed, StoreContentsOptions, store_contents};
use crate::evidence::record::Action;
use crate::id::Sha256;
use crate::item::Item;

/// How many bytes in a row are residue: any 127 of what is looked for have such a window.
const WINDOW: usize = 64;

/// What is looked for: windows of bytes, by what they begin with.
struct Traces {
    windows: HashMap<[u8; 4], Vec<Vec<u8>>>,
    /// Whether any may begin so: this is asked at every byte.
    starts: Vec<bool>,
}

/// Returns a number below 2^20 for what a window begins with.
fn number(start: [u8; 4]) -> usize {
    (u32::from_le_bytes(start).wrapping_mul(0x9e37_79b1) >> 12) as usize
}

impl Traces {
    fn new() -> Self {
        Self { windows: HashMap::new(), starts: vec![false; 1 << 20] }
    }

    fn add(&mut self, bytes: &[u8]) {
        for window in bytes.chunks_exact(WINDOW).chain((bytes.len() < WINDOW).then_some(bytes)) {
            let start = window.first_chunk().copied().expect("what is looked for is not that short");
            self.starts[number(start)] = true;
            let others = self.windows.entry(start).or_default();
            if !others.iter().any(|other| other == window) {
                others.push(window.to_vec());
            }
        }
    }

    /// Visits the places of `bytes` at which a window stands, with the windows that begin alike.
    fn visit(&self, bytes: &[u8], visit: &mut dyn FnMut([u8; 4], &[u8])) {
        for (at, start) in bytes.windows(4).enumerate() {
            let start = [start[0], start[1], start[2], start[3]];
            if self.starts[number(start)]
                && let Some(others) = self.windows.get(&start)
                && let Some(window) = others.iter().find(|window| bytes[at..].starts_with(window))
            {
                visit(start, window);
            }
        }
    }

    /// Leaves out what others may have: such a window is theirs.
    fn forgive(&mut self, bytes: &[u8]) {
        let mut theirs = Vec::new();
        self.visit(bytes, &mut |start, window| theirs.push((start, window.to_vec())));
        for (start, window) in theirs {
            self.windows.entry(start).or_default().retain(|other| *other != window);
        }
    }

    /// Counts the windows that stand in `bytes`.
    fn count(&self, bytes: &[u8]) -> usize {
        let mut count = 0;
        self.visit(bytes, &mut |_, _| count += 1);
        count
    }
}

/// Counts what stands in the file and in those beside it.
fn found(engine: &Sqlite, traces: &Traces) -> usize {
    let files = fs::read_dir(engine.path().parent().expect("has a folder")).expect("lists");
    files.map(|file| traces.count(&fs::read(file.expect("lists").path()).expect("reads"))).sum()
}

/// Returns the blocks that a content is made of.
fn blocks_of(archive: &mut dyn Archive, item: &Item) -> Vec<Block> {
    let segments = archive.segments(&item.sha256, 0).expect("reads");
    segments.iter().map(|segment| archive.block(&segment.block).expect("reads").expect("is there")).collect()
}

/// Returns the traces of a content: its bytes, and those of its blocks as they are stored, but for what is in `others` too.
fn traces(archive: &mut dyn Archive, item: &Item, others: &[Item]) -> Traces {
    let mut traces = Traces::new();
    for block in blocks_of(archive, item) {
        traces.add(&block.stored);
    }
    traces.add(&read(archive, &item.sha256, item.size).expect("reads"));
    // A piece that a version of it shares is the version's.
    for item in others {
        traces.forgive(&read(archive, &item.sha256, item.size).expect("reads"));
    }
    traces
}

/// Does to the file what years do: rows come and go, by hands that leave bytes where they stood, and the log has old pages.
fn age(engine: &Sqlite, contents: &[Vec<u8>]) -> Connection {
    let other = engine.raw();
    other.execute_batch("PRAGMA secure_delete = OFF; PRAGMA wal_autocheckpoint = 0").expect("sets");
    for content in contents {
        for (number, raw) in [content.clone(), [b"before", &content[..]].concat()].into_iter().enumerate() {
            let raw = &raw[..raw.len().min(BLOCK_SIZE)];
            let digest = Sha256::of(raw).to_string();
            let size = i64::try_from(raw.len()).expect("is short");
            let values = rusqlite::params![digest, size, raw];
            other
                .execute(
                    "INSERT INTO block (raw_sha256, raw_size, stored_sha256, stored_size, codec, bytes)
                     SELECT ?1, ?2, ?1, ?2, 'none', ?3 WHERE NOT EXISTS (SELECT 1 FROM block WHERE raw_sha256 = ?1)",
                    values,
                )
                .expect("inserts");
            if number == 0 {
                other.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").expect("writes back");
            }
        }
    }
    let unused = "DELETE FROM block WHERE NOT EXISTS (SELECT 1 FROM segment WHERE block_id = block.id)";
    other.execute_batch(unused).expect("deletes");
    other
}

#[test]
fn what_is_purged_is_nowhere_in_the_files() {
    let engine = Sqlite::create();
    let mut archive = engine.open();
    let text = |word: &str, count: usize| -> Vec<u8> {
        (0..count).flat_map(|number| format!("{word} {number} {}\n", number * 7919).into_bytes()).collect()
    };
    let large = noise(11, 1_800_000);
    let mut version = large.clone();
    version.splice(1_000_000..1_000_000, *b"inserted");
    let files = [
        ("a", text("first", 40), false),
        ("b", text("held", 60), true),
        ("c", text("purged", 50), false),
        ("d", noise(1, 700), false),
        ("e", noise(2, 1_500), true),
        ("f", noise(3, 2_500), false),
        ("g", large, false),
        ("h", version, false),
        ("i", text("long", 5_000), false),
        ("j", text("last", 30), false),
    ];
    let mut items = archived_together(&mut *archive, &files);
    // Many small ones, so that pages of the table are split and joined.
    for number in 0..60_usize {
        items.push(archived(
            &mut *archive,
            &format!("many/{number}"),
            &noise(100 + number as u64, 300 + number * 30),
            false,
        ));
    }
    let contents: Vec<Vec<u8>> = files.iter().map(|(_, content, _)| content.clone()).collect();
    for number in [2, 3, 5, 6, 8, 15, 40] {
        let victim = items[number].clone();
        let others: Vec<Item> = items.iter().filter(|item| item.sha256 != victim.sha256).cloned().collect();
        let others: Vec<Item> = others
            .into_iter()
            .filter(|item| archive.item(&item.tombstone).expect("looks").expect("stays").purged_at.is_none())
            .collect();
        let mut traces = traces(&mut *archive, &victim, &others);
        let other = age(&engine, contents.get(number).map(std::slice::from_ref).unwrap_or_default());
        assert!(found(&engine, &traces) > 0, "{number}: it would be noticed");
        let before: Vec<Vec<u8>> =
            others.iter().map(|item| read(&mut *archive, &item.sha256, item.size).expect("reads")).collect();
        purge_whole(&mut *archive, &victim);
        // What the others have now is theirs, as it is stored.
        for item in &others {
            for block in blocks_of(&mut *archive, item) {
                traces.forgive(&block.stored);
            }
        }
        assert_eq!(found(&engine, &traces), 0, "{number}");
        for (item, before) in others.iter().zip(before) {
            assert!(read(&mut *archive, &item.sha256, item.size).expect("reads") == before, "{number} {}", item.path);
        }
        drop(other);
    }
    let mended: String = engine.raw().query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("asks");
    assert_eq!(mended, "ok");
}

/// A reader sees the archive as it was when it began, and so keeps what it was.
#[test]
fn a_reader_leaves_a_purge_unfinished_until_it_ends() {
    let engine = Sqlite::create();
    let mut archive = engine.open();
    let item = archived(&mut *archive, "a", &noise(1, 5_000), false);
    let other = archived(&mut *archive, "b", &noise(2, 5_000), false);
    let traces = traces(&mut *archive, &item, std::slice::from_ref(&other));
    let purge = purge(&item);
    assert!(archive.begin_purge(&purge, &mut |_| true).expect("begins"));

    let reader = engine.raw();
    reader.execute_batch("BEGIN; SELECT count(*) FROM block").expect("reads");
    assert!(matches!(archive.destroy(&item.sha256), Err(ArchiveError::InUse)));
    assert!(found(&engine, &traces) > 0);
    assert_eq!(archive.unfinished_purges().expect("asks").len(), 1);
    assert_eq!(read(&mut *archive, &other.sha256, other.size).expect("reads"), noise(2, 5_000));
    drop(reader);

    // Another program, if there is one. It began when no row had the bytes any more, and the file still had them.
    if let Some(mut sqlite3) = client("sqlite3") {
        let process = sqlite3.arg(engine.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.expect("starts");
        let mut ask = process.stdin.take().expect("is piped");
        writeln!(ask, "BEGIN; SELECT count(*) FROM block;").expect("asks");
        let mut answer = String::new();
        BufReader::new(process.stdout.take().expect("is piped")).read_line(&mut answer).expect("answers");
        assert!(matches!(archive.destroy(&item.sha256), Err(ArchiveError::InUse)));
        drop(ask);
        process.wait().expect("ends");
    }
    // Another clone may end it.
    let mut archive = engine.open();
    assert_eq!(archive.destroy(&item.sha256).expect("destroys"), Destroyed::default());
    assert_eq!(found(&engine, &traces), 0);
    archive.end_purge(purge.op, &[contract::event(purge.op, Action::Purge, Some(&item))]).expect("ends");
    assert!(archive.unfinished_purges().expect("asks").is_empty());
    assert_eq!(read(&mut *archive, &other.sha256, other.size).expect("reads"), noise(2, 5_000));
}

/// A purge deletes blocks that nobody uses: those too of a content whose store is under way.
#[test]
fn a_store_goes_on_although_a_purge_takes_what_it_has_brought() {
    let engine = Sqlite::create();
    let item = archived(&mut *engine.open(), "a", &noise(1, 5_000), false);
    let content = noise(2, 24 * BLOCK_SIZE);
    let source = contract::Memory(vec![content.clone()]);
    let mut taken = 0;
    let stored = store_contents(&mut *engine.open(), &source, StoreContentsOptions::default(), &mut |_| {
        let mut other = engine.open();
        if taken == 0 && other.counts().expect("counts").stored_bytes > 5_000 {
            purge_whole(&mut *other, &item);
            taken = 1;
            assert_eq!(other.counts().expect("counts").stored_bytes, 0);
        }
    });
    assert_eq!((stored.expect("stores")[0].new, taken), (true, 1));
    let bytes = read(&mut *engine.open(), &Sha256::of(&content), content.len() as u64).expect("reads");
    assert!(bytes == content);
}
