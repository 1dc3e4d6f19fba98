//! The same operations give the same archive, whatever database it is in: random sequences of what callers do, by several
//! clones at once, with every question asked in between and the export's digest compared in the end.
//!
//! `ARCHIVE_TOMB_SEQUENCES=1000` runs more of them, `ARCHIVE_TOMB_SEED=7` begins with another one. A failure names its seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::ops::ControlFlow;

use git_archive_tomb::archive::{
    AnyArchive, ContentReader, ContentSource, Event, OpenMode, Query, StoreContentsOptions, store_contents,
};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record};
use git_archive_tomb::export::facts;
use git_archive_tomb::id::{ObjectId, OperationId, Sha256, Tombstone};
use git_archive_tomb::item::{FileMode, Item, Kind as ItemKind, Reason, Referent, RepoPath};

use crate::databases::{Database, KINDS, open};

const ORIGINS: [&str; 3] = ["one", "two", "three"];

/// Paths that are easily taken for one another.
const PATHS: [&[u8]; 10] = [
    b"a",
    b"A",
    b"a ",
    b"src/a.py",
    b"src/A.py",
    b"src/caf\xc3\xa9",
    b"src/cafe\xcc\x81",
    b"src/caf\xe9",
    b"src/%_\\'\"",
    "src/\u{1f4a9}\n".as_bytes(),
];

/// What a caller does.
#[derive(Debug, Clone)]
enum Step {
    Put(Vec<Vec<u8>>),
    Begin(OperationId, &'static str, Vec<Item>),
    Seal(OperationId, Vec<Event>),
    Undo(OperationId, &'static str, Event),
    Restored(Vec<Tombstone>, Timestamp, Vec<Event>),
    Append(Vec<Event>),
}

struct Memory<'a>(&'a [Vec<u8>]);

impl ContentSource for Memory<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn size(&self, index: usize) -> u64 {
        self.0[index].len() as u64
    }

    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(&self.0[index][..]))
    }
}

/// A sequence that is being made up.
struct Sequence {
    random: fastrand::Rng,
    contents: Vec<Vec<u8>>,
    operations: Vec<OperationId>,
    items: Vec<Item>,
    clock: i64,
}

impl Sequence {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut contents: Vec<Vec<u8>> = (0..5).map(|n| format!("content {n}\n").repeat(n * 40).into_bytes()).collect();
        let large = random.usize(..3_000_000);
        contents.push(std::iter::repeat_with(|| random.u8(..)).take(large).collect());
        let operations = (0..8).map(|n| format!("0199f1a2-0000-7000-8000-{n:012x}").parse().unwrap()).collect();
        let mut sequence = Self { random, contents, operations, items: Vec::new(), clock: 1_000_000 };
        sequence.items = (0..16).map(|_| sequence.item()).collect();
        sequence
    }

    fn item(&mut self) -> Item {
        let random = &mut self.random;
        let content = &self.contents[random.usize(..self.contents.len())];
        let path = RepoPath::try_new(PATHS[random.usize(..PATHS.len())]).unwrap();
        let repo = ["repo", "Repo", "repo "][random.usize(..3)];
        let commit = ObjectId::from_bytes(&[random.u8(..2); 20]).unwrap();
        let sha256 = Sha256::of(content);
        Item {
            tombstone: Tombstone::derive(repo, path.as_bytes(), &commit, &sha256),
            repo: repo.to_owned(),
            path,
            commit,
            object: ObjectId::from_bytes(&[random.u8(..); 32]).unwrap(),
            mode: *random.choice(FileMode::ALL).unwrap(),
            sha256,
            size: content.len() as u64,
            kind: *random.choice(ItemKind::ALL).unwrap(),
            language: random.bool().then(|| "python".to_owned()),
            mime: random.bool().then(|| "text/x".to_owned()),
            reason: *random.choice(Reason::ALL).unwrap(),
            tags: ["Tag", "tag", "tag ", "ťag"].iter().filter(|_| random.bool()).map(|tag| (*tag).to_owned()).collect(),
            metadata: BTreeMap::from([("k".to_owned(), "é\u{0}\"\\ ".repeat(random.usize(..3)))]),
            refs: (0..random.usize(..3)).map(|n| Referent { kind: "pr".to_owned(), value: format!("{n} ") }).collect(),
            dirty: random.bool(),
            delete_after: random.bool().then(|| "2027-01-31".parse().unwrap()),
            legal_hold: random.u8(..6) == 0,
            archived_by: ["A <a@example.org>", "a <a@example.org>", "a <a@example.org> "][random.usize(..3)].to_owned(),
            archived_at: Timestamp::from_millisecond(i64::from(random.u8(..4))).unwrap(),
        }
    }

    fn time(&mut self) -> Timestamp {
        self.clock += 1;
        Timestamp::from_millisecond(self.clock).unwrap()
    }

    fn event(&mut self, op: OperationId, action: Action, tombstone: Option<Tombstone>) -> Event {
        let mut record = Record::new(action, op, self.time());
        record.tombstone = tombstone;
        record.actor = self.random.bool().then(|| "A <a@example.org>".to_owned());
        Event::from_record(&record).unwrap()
    }

    fn some_items(&mut self) -> Vec<Item> {
        let count = self.random.usize(1..5);
        let mut items = self.random.choose_multiple(self.items.clone(), count);
        // A second store of the same says other things about it.
        for item in &mut items {
            item.legal_hold |= self.random.u8(..8) == 0;
            if self.random.bool() {
                item.tags.clear();
            }
        }
        items
    }

    fn step(&mut self) -> Step {
        let op = *self.random.choice(&self.operations).unwrap();
        let origin = ORIGINS[self.random.usize(..ORIGINS.len())];
        match self.random.u8(..12) {
            0..=2 => {
                let count = self.random.usize(1..4);
                Step::Put(self.random.choose_multiple(self.contents.clone(), count))
            }
            3..=5 => Step::Begin(op, origin, self.some_items()),
            6 | 7 => {
                let items = self.some_items();
                let named = self.random.usize(..=items.len());
                let events = items.iter().take(named).map(|item| self.event(op, Action::Archive, Some(item.tombstone)));
                Step::Seal(op, events.collect())
            }
            8 => Step::Undo(op, origin, self.event(op, Action::Recover, None)),
            9 => {
                let tombstones: Vec<_> = self.some_items().iter().map(|item| item.tombstone).collect();
                let event = self.event(op, Action::Restore, tombstones.first().copied());
                Step::Restored(tombstones, self.time(), vec![event.clone(), event])
            }
            _ => {
                let tombstone = self.some_items()[0].tombstone;
                let action = *self.random.choice(Action::ALL).unwrap();
                Step::Append(vec![self.event(op, action, Some(tombstone)), self.event(op, action, None)])
            }
        }
    }
}

/// Returns an answer as text; of an error, what people are told.
fn told<T: std::fmt::Debug>(answer: Result<T, impl std::fmt::Display>) -> String {
    answer.map_or_else(|error| format!("error: {error}"), |answer| format!("{answer:?}"))
}

fn apply(archive: &mut AnyArchive, step: &Step) -> String {
    match step {
        Step::Put(contents) => {
            let stored = store_contents(archive, &Memory(contents), StoreContentsOptions::default(), &mut |_| ());
            told(stored)
        }
        Step::Begin(op, origin, items) => told(archive.begin(*op, origin, items)),
        Step::Seal(op, events) => told(archive.seal(*op, events)),
        Step::Undo(op, origin, event) => told(archive.undo(*op, origin, event)),
        Step::Restored(tombstones, at, events) => told(archive.mark_restored(tombstones, *at, events)),
        Step::Append(events) => told(archive.append_events(events)),
    }
}

/// Asks everything that can be asked.
fn ask(archive: &mut AnyArchive, sequence: &Sequence) -> String {
    let mut answers = String::new();
    let mut note = |what: &str, answer: String| writeln!(answers, "{what}: {answer}").unwrap();
    let contents: Vec<Sha256> = sequence.contents.iter().map(|content| Sha256::of(content)).collect();
    let known = archive.find_artifacts(&contents).map(|known| {
        let known: BTreeMap<String, String> =
            known.into_iter().map(|(sha256, info)| (sha256.to_string(), format!("{info:?}"))).collect();
        known
    });
    note("contents", told(known));
    let queries = [
        Query::default(),
        Query { origin: Some("one".to_owned()), ..Query::default() },
        Query { repo: Some("repo".to_owned()), limit: Some(3), ..Query::default() },
        Query { tag: Some("tag".to_owned()), ..Query::default() },
        Query { reason: Some(Reason::Dead), ..Query::default() },
        Query { path: Some(b"src/[Aa]*".to_vec()), ..Query::default() },
        Query { path: Some(b"A".to_vec()), ..Query::default() },
        Query { archived_by: Some("a <a@example.org>".to_owned()), ..Query::default() },
        Query { since: Timestamp::from_millisecond(2), ..Query::default() },
        Query { until: Timestamp::from_millisecond(1), ..Query::default() },
    ];
    for query in queries {
        let mut listed = Vec::new();
        let done = archive.list(&query, &mut |stored| {
            listed.push(stored);
            ControlFlow::Continue(())
        });
        note("list", told(done.map(|()| listed)));
    }
    for origin in ORIGINS {
        note("pending", told(archive.pending(origin)));
    }
    for op in &sequence.operations {
        note("operation", told(archive.operation_items(*op)));
    }
    for item in &sequence.items {
        let tombstone = item.tombstone;
        note("item", told(archive.item(&tombstone)));
        note("prefix", told(archive.items_by_prefix(&tombstone.to_string()[..9], 2)));
        note("path", told(archive.items_by_path(&item.repo, &item.path)));
        let mut events = Vec::new();
        let done = archive.events(&tombstone, &mut |event| {
            events.push(event.line);
            ControlFlow::Continue(())
        });
        note("events", told(done.map(|()| events)));
    }
    note("prefix", told(archive.items_by_prefix("ABCDEF%_", 9)));
    note("short", told(archive.items_by_prefix("abc", 9)));
    note("counts", told(archive.counts()));
    answers
}

fn run(seed: u64) {
    let databases: Vec<Database> = KINDS.iter().map(|kind| Database::new(*kind)).collect();
    let mut archives: Vec<Box<AnyArchive>> =
        databases.iter().map(|database| open(database, OpenMode::CreateOrMigrate)).collect();
    let mut sequence = Sequence::new(seed);
    for number in 0..sequence.random.usize(10..30) {
        let step = sequence.step();
        let repeats = if sequence.random.u8(..5) == 0 { 2 } else { 1 };
        let mut first: Option<(String, String)> = None;
        for (archive, database) in archives.iter_mut().zip(&databases) {
            let mut result = String::new();
            for _ in 0..repeats {
                result = apply(&mut **archive, &step);
            }
            let answer = (result, if number % 3 == 0 { ask(&mut **archive, &sequence) } else { String::new() });
            let expected = first.get_or_insert_with(|| answer.clone());
            assert_eq!(answer, *expected, "{:?}, seed {seed}, step {number}: {step:?}", database.kind);
        }
    }
    let mut digests = Vec::new();
    let mut answers = Vec::new();
    for archive in &mut archives {
        let said = facts(&mut **archive, &mut io::sink(), &mut io::sink(), &mut |_| Ok(())).unwrap();
        digests.push((said.digest(), said.items, said.events));
        answers.push(ask(&mut **archive, &sequence));
        for content in &sequence.contents {
            let mut bytes = Vec::new();
            let sha256 = Sha256::of(content);
            let known = archive.find_artifacts(&[sha256]).unwrap().contains_key(&sha256);
            let read = ContentReader::new(&mut **archive).read(&sha256, content.len() as u64, &mut bytes);
            assert_eq!((known, bytes == *content || !known), (read.is_ok(), true), "seed {seed}");
        }
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "seed {seed}: {digests:?}");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "seed {seed}");
}

/// Returns the number that an environment variable holds.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn the_same_operations_give_the_same_archive_on_every_database() {
    let first = number("ARCHIVE_TOMB_SEED", 0);
    for seed in first..first + number("ARCHIVE_TOMB_SEQUENCES", 8) {
        run(seed);
    }
}
