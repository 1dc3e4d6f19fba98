//! Many at once on one archive, the same content from all sides: one of each, nothing lost, nothing twice.
//!
//! `ARCHIVE_TOMB_HAMMER=1` lets 16 processes do 200 operations each, where the suite lets fewer do less. What it came to
//! is printed (`--no-capture`).

#![expect(clippy::print_stderr, reason = "whoever asks for the whole wants its figures")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, BufRead as _, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use git_archive_tomb::archive::{
    AnyArchive, ContentReader, ContentSource, Event, ItemState, Location, OpenMode, Pool, Query, Retry,
    StoreContentsOptions, examine, open_retrying, store_contents,
};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record};
use git_archive_tomb::fault::VARIABLE;
use git_archive_tomb::id::{ObjectId, OperationId, Sha256, Tombstone};
use git_archive_tomb::item::{FileMode, Item, Kind as ItemKind, Reason, RepoPath};
use git_archive_tomb::redact::SecretUrl;
use git_archive_tomb::retry::Policy;

use crate::common::{Repo, Run, World};
use crate::databases::{Database, KINDS, open};

/// Tells a process of this test binary that it is one of the many.
const WORKER: &str = "ARCHIVE_TOMB_HAMMER_WORKER";

/// How many paths there are, and how many contents each has had: few, so that all meet at the same.
const PATHS: usize = 24;
const VERSIONS: usize = 3;

/// How many do how much.
#[derive(Clone, Copy)]
struct Size {
    processes: usize,
    operations: usize,
}

/// Returns the whole where it is asked for, else `few`.
fn size(few: Size) -> Size {
    if std::env::var_os("ARCHIVE_TOMB_HAMMER").is_some() { Size { processes: 16, operations: 200 } } else { few }
}

/// What one of the many did: what it was told is done, and how long that took.
#[derive(Default)]
struct Told {
    lines: BTreeSet<String>,
    stored: BTreeSet<String>,
    retries: usize,
    times: Vec<Duration>,
}

/// Returns content number `version` of path number `path`. Other paths have some of the same.
fn content(path: usize, version: usize) -> Vec<u8> {
    match (path + version) % PATHS {
        0 => Vec::new(),
        // In several pieces.
        1 => fastrand::Rng::with_seed(1).bytes(1_500_000),
        number => format!("content {number}\n").repeat(number * number).into_bytes(),
    }
}

trait Bytes {
    fn bytes(self, length: usize) -> Vec<u8>;
}

impl Bytes for fastrand::Rng {
    fn bytes(mut self, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.u8(..)).take(length).collect()
    }
}

struct Memory(Vec<Vec<u8>>);

impl ContentSource for Memory {
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

fn item(path: usize, version: usize) -> Item {
    let content = content(path, version);
    let sha256 = Sha256::of(&content);
    let path = RepoPath::try_new(format!("src/{path}.py")).unwrap();
    let commit = ObjectId::from_bytes(&[7; 20]).unwrap();
    Item {
        tombstone: Tombstone::derive("project", path.as_bytes(), &commit, &sha256),
        repo: "project".to_owned(),
        path,
        commit,
        object: ObjectId::from_bytes(&[9; 20]).unwrap(),
        mode: FileMode::Regular,
        sha256,
        size: content.len() as u64,
        kind: ItemKind::Code,
        language: None,
        mime: None,
        reason: Reason::Dead,
        tags: vec!["hammer".to_owned()],
        metadata: BTreeMap::new(),
        refs: Vec::new(),
        dirty: false,
        delete_after: None,
        legal_hold: false,
        archived_by: "A <a@example.org>".to_owned(),
        archived_at: Timestamp::now(),
    }
}

/// One of the many: a process with an archive of its own to talk to.
struct Worker {
    archive: Box<AnyArchive>,
    origin: String,
    random: fastrand::Rng,
    /// What is printed for each thing that was acknowledged.
    say: fn(&str, &str),
}

impl Worker {
    fn operate(&mut self) {
        match self.random.u8(..10) {
            0..4 => self.store(true),
            4 => self.store(false),
            5..8 => self.restore(),
            8 => self.list(),
            _ => self.look(),
        }
    }

    fn event(&self, op: OperationId, action: Action, item: Option<&Item>) -> Event {
        let mut record = Record::new(action, op, Timestamp::now());
        record.tombstone = item.map(|item| item.tombstone);
        record.actor = Some(self.origin.clone());
        Event::from_record(&record).unwrap()
    }

    /// Says that events are in the archive, once that is so.
    fn recorded(&self, events: &[Event]) {
        for event in events {
            (self.say)("event", event.line.trim_end());
        }
    }

    fn store(&mut self, to_the_end: bool) {
        let chosen: BTreeSet<(usize, usize)> =
            (0..self.random.usize(1..6)).map(|_| (self.random.usize(..PATHS), self.random.usize(..VERSIONS))).collect();
        let contents = Memory(chosen.iter().map(|(path, version)| content(*path, *version)).collect());
        let mut items: Vec<Item> = chosen.iter().map(|(path, version)| item(*path, *version)).collect();
        let stored =
            store_contents(&mut *self.archive, &contents, StoreContentsOptions::default(), &mut |_| ()).unwrap();
        assert!(stored.iter().zip(&items).all(|(stored, item)| stored.sha256 == item.sha256));
        for item in &mut items {
            (self.say)("stored", &item.sha256.to_string());
            item.legal_hold = self.random.u8(..20) == 0;
        }
        let op = OperationId::generate();
        assert_eq!(self.archive.begin(op, &self.origin, &items).unwrap().len(), items.len());
        if to_the_end {
            let events: Vec<Event> = items.iter().map(|item| self.event(op, Action::Archive, Some(item))).collect();
            self.archive.seal(op, &events).unwrap();
            self.recorded(&events);
            let tombstones: Vec<Tombstone> = items.iter().map(|item| item.tombstone).collect();
            let found = self.archive.items(&tombstones).unwrap();
            assert!(tombstones.iter().all(|tombstone| found[tombstone].state == ItemState::Sealed));
        } else {
            let event = self.event(op, Action::Recover, None);
            self.archive.undo(op, &self.origin, &event).unwrap();
            self.recorded(&[event]);
            let pending = self.archive.pending(&self.origin).unwrap();
            assert!(pending.iter().all(|pending| pending.op != op));
        }
    }

    fn restore(&mut self) {
        let path = self.random.usize(..PATHS);
        let wanted: Vec<Item> = (0..VERSIONS).map(|version| item(path, version)).collect();
        let tombstones: Vec<Tombstone> = wanted.iter().map(|item| item.tombstone).collect();
        let found = self.archive.items(&tombstones).unwrap();
        let mut given = Vec::new();
        for (version, item) in wanted.iter().enumerate() {
            if found.get(&item.tombstone).is_some_and(|stored| stored.is_visible_to(&self.origin)) {
                let mut bytes = Vec::new();
                ContentReader::new(&mut *self.archive).read(&item.sha256, item.size, &mut bytes).unwrap();
                assert!(bytes == content(path, version));
                given.push(item);
            }
        }
        let op = OperationId::generate();
        let events: Vec<Event> = given.iter().map(|item| self.event(op, Action::Restore, Some(item))).collect();
        let given: Vec<Tombstone> = given.iter().map(|item| item.tombstone).collect();
        self.archive.mark_restored(&given, Timestamp::now(), &events).unwrap();
        self.recorded(&events);
    }

    /// Lists, with no item twice and none out of order.
    fn list(&mut self) {
        let query = Query { origin: Some(self.origin.clone()), ..Query::default() };
        let mut listed = Vec::new();
        self.archive
            .list(&query, &mut |stored| {
                listed.push(stored);
                ControlFlow::Continue(())
            })
            .unwrap();
        let keys: Vec<_> = listed.iter().map(|stored| (&stored.item.path, stored.item.tombstone)).collect();
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), listed.len());
        assert!(listed.is_sorted_by_key(|stored| std::cmp::Reverse(stored.item.archived_at)));
        assert!(listed.iter().all(|stored| stored.is_visible_to(&self.origin)));
    }

    /// Looks at one item's history, and at how much there is.
    fn look(&mut self) {
        let item = item(self.random.usize(..PATHS), self.random.usize(..VERSIONS));
        let mut events = Vec::new();
        self.archive
            .events(&item.tombstone, &mut |event| {
                events.push(event);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(events.iter().all(|event| event.tombstone == Some(item.tombstone)));
        let counts = self.archive.counts().unwrap();
        assert_eq!(counts.items, counts.retrievable);
    }
}

/// Says something to the process that started this one.
fn say(what: &str, text: &str) {
    let line = format!("hammer {what} {text}\n");
    io::Write::write_all(&mut io::stdout(), line.as_bytes()).unwrap();
}

/// Does nothing but in a process that [`many_processes`] started.
#[test]
fn one_of_the_many() {
    let Ok(task) = std::env::var(WORKER) else { return };
    let (number, rest) = task.split_once(' ').unwrap();
    let (operations, url) = rest.split_once(' ').unwrap();
    let number: u64 = number.parse().unwrap();
    let location = match url.split_once("://").unwrap() {
        ("sqlite", path) => Location::File(path.trim_start_matches('/').into()),
        ("postgres", _) => Location::Postgres(SecretUrl::new(url)),
        _ => Location::Mariadb(SecretUrl::new(url)),
    };
    let location = match location {
        Location::File(path) => Location::File(Path::new("/").join(path)),
        other => other,
    };
    let policy = Policy {
        max_attempts: 5,
        initial_delay: Duration::from_millis(50),
        max_delay: Duration::from_secs(2),
        backoff_factor: 2.0,
        jitter: true,
        seed: Some(number),
    };
    let on_retry = |retry: Retry<'_>| {
        if let Retry::Again { error, .. } = retry {
            say("retry", &error.to_string());
        }
    };
    let archive = open_retrying(policy, Box::new(on_retry), || location.open(None, OpenMode::Existing)).unwrap();
    // What the test harness has begun to print ends here.
    io::Write::write_all(&mut io::stdout(), b"\n").unwrap();
    // Two have one origin, as linked working trees do.
    let origin = format!("clone-{}", number / 2);
    let mut worker = Worker { archive, origin, random: fastrand::Rng::with_seed(number), say };
    // All begin at once: when the one that started them lets go.
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    for _ in 0..operations.parse().unwrap() {
        let start = Instant::now();
        worker.operate();
        say("time", &start.elapsed().as_micros().to_string());
    }
}

/// Starts so many processes on one archive, lets them go, and returns what they said is done.
fn many_processes(database: &Database, size: Size) -> (Told, Duration) {
    let mut children: Vec<Child> = (0..size.processes)
        .map(|number| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "hammer::one_of_the_many", "--nocapture"])
                .env(WORKER, format!("{number} {} {}", size.operations, database.url()))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let start = Instant::now();
    for child in &mut children {
        drop(child.stdin.take());
    }
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let waiting: Vec<_> =
            children.into_iter().map(|child| scope.spawn(|| child.wait_with_output().unwrap())).collect();
        waiting.into_iter().map(|waiting| waiting.join().unwrap()).collect()
    });
    let elapsed = start.elapsed();
    let mut told = Told::default();
    for output in outputs {
        let output = Run::from(output);
        assert_eq!(output.code, Some(0), "{output}");
        for line in output.stdout.lines().map_while(Result::ok) {
            let Some((what, text)) = line.strip_prefix("hammer ").and_then(|line| line.split_once(' ')) else {
                continue;
            };
            match what {
                "event" => assert!(told.lines.insert(format!("{text}\n")), "{text}"),
                "stored" => drop(told.stored.insert(text.to_owned())),
                "time" => told.times.push(Duration::from_micros(text.parse().unwrap())),
                _ => told.retries += 1,
            }
        }
    }
    assert_eq!(told.times.len(), size.processes * size.operations);
    (told, elapsed)
}

/// Returns how many of `count` were done in a second.
fn a_second(count: usize, elapsed: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / elapsed.as_secs_f64()
}

/// Returns every event of an archive, each of which is there once.
fn events(archive: &mut AnyArchive) -> Vec<Event> {
    let (mut events, mut seen, mut last) = (Vec::new(), HashSet::new(), 0);
    loop {
        let page = archive.events_page(last).unwrap();
        let Some((end, _)) = page.last() else { return events };
        last = *end;
        for (_, event) in page {
            assert!(seen.insert(event.digest), "event {} is there twice", event.line);
            events.push(event);
        }
    }
}

/// Returns the digests of an archive's contents, each of which is there once.
fn contents(archive: &mut AnyArchive) -> BTreeSet<String> {
    let (mut contents, mut last) = (BTreeSet::new(), 0);
    loop {
        let page = archive.contents_page(last).unwrap();
        let Some(end) = page.last() else { return contents };
        last = end.number;
        for content in page {
            assert!(contents.insert(content.sha256.to_string()), "content {} is there twice", content.sha256);
        }
    }
}

#[test]
fn sixteen_processes_leave_one_of_each() {
    for kind in KINDS {
        let size = size(Size { processes: 8, operations: 12 });
        let database = Database::new(*kind);
        drop(open(&database, OpenMode::CreateOrMigrate));
        let (mut told, elapsed) = many_processes(&database, size);
        let mut archive = open(&database, OpenMode::Existing);

        let events = events(&mut *archive);
        let lines: BTreeSet<String> = events.iter().map(|event| event.line.clone()).collect();
        assert_eq!(lines, told.lines, "what was acknowledged is there, and nothing else");

        assert_eq!(contents(&mut *archive), told.stored);

        let archived: HashSet<Tombstone> =
            events.iter().filter(|event| event.action == Action::Archive).filter_map(|event| event.tombstone).collect();
        let (mut items, mut last) = (0, None);
        loop {
            let page = archive.items_page(last.as_ref()).unwrap();
            let Some(end) = page.last() else { break };
            last = Some(end.stored.item.tombstone);
            for known in page {
                let sealed = archived.contains(&known.stored.item.tombstone);
                let expected = if sealed { ItemState::Sealed } else { ItemState::Undone };
                assert_eq!(known.stored.state, expected, "{known:?}");
                assert_eq!(known.stored.item.tags, ["hammer"], "labels are there once");
                items += usize::from(sealed);
            }
        }
        assert_eq!(items, archived.len());
        let pool = Pool::new(2, || Ok(open(&database, OpenMode::Existing)));
        let examined = examine(&pool, "nobody", None, &mut |_, _| ()).unwrap();
        assert!(examined.damaged.is_empty(), "{:?}", examined.damaged);
        let counts = archive.counts().unwrap();
        assert_eq!(counts.items, counts.retrievable);

        told.times.sort();
        let at = |part: usize| told.times[(told.times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
        eprintln!(
            "{kind:?}: {} processes, {} operations in {:.1} s, {:.0} a second; {} retries; {} events; half within \
             {:.0} ms, 99 of 100 within {:.0} ms, all within {:.0} ms",
            size.processes,
            told.times.len(),
            elapsed.as_secs_f64(),
            a_second(told.times.len(), elapsed),
            told.retries,
            events.len(),
            at(50),
            at(99),
            at(100),
        );
    }
}

/// One who works in a clone, or in a linked working tree of it, with the program and with git.
struct Actor<'a> {
    repo: Repo<'a>,
    base: String,
    random: fastrand::Rng,
    stubs: BTreeSet<String>,
    /// How often the program ran.
    runs: usize,
}

/// Where a store is killed: before, between and after what it writes to the archive.
const POINTS: [&str; 5] = ["journal", "bytes", "rows", "index", "settled"];

impl Actor<'_> {
    fn run(&mut self, arguments: &[&str]) -> Run {
        self.runs += 1;
        self.repo.tomb_ok(arguments)
    }

    /// Runs `doctor`, which also tells what another one was killed in, in a linked working tree.
    fn doctor(&mut self, arguments: &[&str]) -> String {
        self.runs += 1;
        let run = self.repo.tomb(arguments);
        assert!(matches!(run.code, Some(0 | 1)), "{run}");
        run.all_text()
    }

    fn operate(&mut self) {
        match self.random.u8(..10) {
            0..4 => self.store(None),
            4 => {
                let point = POINTS[self.random.usize(..POINTS.len())];
                self.store(Some(point));
            }
            5..8 => self.restore(),
            8 => self.list(),
            _ => {
                self.run(&["verify", "--all"]);
                self.doctor(&["doctor"]);
            }
        }
    }

    /// Stores a few files as they were when all clones were made, so that all make the same tombstones; where the program
    /// is killed at `fault`, the store is finished or taken back.
    fn store(&mut self, fault: Option<&str>) {
        let mut chosen: BTreeSet<String> =
            (0..self.random.usize(1..4)).map(|_| format!("src/{}.py", self.random.usize(..PATHS))).collect();
        chosen.retain(|path| !self.stubs.contains(path));
        if chosen.is_empty() {
            return;
        }
        let base = self.base.clone();
        let mut arguments = vec!["store", "-q", "--commit", &base];
        arguments.extend(chosen.iter().map(String::as_str));
        let mut stored = true;
        if let Some(point) = fault {
            self.runs += 1;
            let run = self.repo.with(VARIABLE, point).tomb(&arguments);
            assert_eq!(run.code, None, "killed at {point}: {run}");
            // What has its index is done; it can only be finished.
            stored = matches!(point, "index" | "settled") || self.random.bool();
            self.doctor(&["doctor"]);
            let told = self.doctor(&["doctor", if stored { "--continue" } else { "--abort" }]);
            assert!(told.contains(if stored { "finished operation" } else { "undid operation" }), "{told}");
        } else {
            self.run(&arguments);
        }
        if stored {
            self.repo.commit("archive");
            self.stubs.extend(chosen);
        }
    }

    fn restore(&mut self) {
        let Some(path) = self.random.choice(self.stubs.iter()).cloned() else { return };
        let number: usize = path.trim_start_matches("src/").trim_end_matches(".py").parse().unwrap();
        if self.random.bool() {
            let given = self.run(&["cat", &path]);
            assert!(given.stdout == content(number, 0));
        } else {
            self.run(&["restore", "-q", &path]);
            assert!(self.repo.read(&path) == content(number, 0));
            self.repo.commit("restore");
            self.stubs.remove(&path);
        }
    }

    fn list(&mut self) {
        let listed = self.run(&["list", "--json"]).json();
        let tombstones: BTreeSet<&str> = listed.iter().filter_map(|item| item["tombstone"].as_str()).collect();
        assert_eq!(tombstones.len(), listed.len());
        for path in &self.stubs {
            assert!(tombstones.contains(&*self.repo.tombstone_at(path)));
        }
    }
}

#[test]
fn clones_and_working_trees_that_store_the_same_leave_one_of_each() {
    for kind in KINDS {
        let size = match size(Size { processes: 4, operations: 6 }) {
            Size { processes: 16, .. } => Size { processes: 16, operations: 50 },
            few => few,
        };
        let world = World::new();
        let database = Database::new(*kind);
        let origin = world.init("project");
        for path in 0..PATHS {
            origin.write(format!("src/{path}.py"), content(path, 0));
        }
        let base = origin.commit_all("first");
        origin.with("CODEX_ARCHIVE_URL", database.url()).tomb_ok(&["init", "--no-hooks"]);
        // Half of them work in clones, each with a linked working tree for one of the others.
        let clones: Vec<Repo<'_>> = (0..size.processes.div_ceil(2))
            .map(|number| {
                world.at(".").git(&["clone", "-q", "project", &format!("clone-{number}/project")]);
                let clone = world.at(&format!("clone-{number}/project"));
                clone.git(&["worktree", "add", "-q", "-b", "linked", "../linked"]);
                clone
            })
            .collect();
        let start = Instant::now();
        let actors: Vec<Actor<'_>> = std::thread::scope(|scope| {
            let working: Vec<_> = (0..size.processes)
                .map(|number| {
                    let clone = &clones[number / 2];
                    let repo = if number % 2 == 0 { clone.clone() } else { clone.below("../linked") };
                    let mut actor = Actor {
                        repo: repo
                            .with("CODEX_ARCHIVE_URL", database.url())
                            .with("CODEX_ARCHIVE_RETRY_ENABLED", "true"),
                        base: base.clone(),
                        random: fastrand::Rng::with_seed(number as u64),
                        stubs: BTreeSet::new(),
                        runs: 0,
                    };
                    scope.spawn(move || {
                        for _ in 0..size.operations {
                            actor.operate();
                        }
                        actor
                    })
                })
                .collect();
            working.into_iter().map(|working| working.join().unwrap()).collect()
        });
        let elapsed = start.elapsed();

        // Every record of every log that tells of the archive, once.
        let mut archive = open(&database, OpenMode::Existing);
        let events = events(&mut *archive);
        let lines: BTreeSet<String> = events.iter().map(|event| event.line.clone()).collect();
        let (mut recorded, mut retries) = (BTreeSet::new(), 0);
        for clone in &clones {
            for line in clone.read_text(".git/archive-tomb/archive_ops.jsonl").split_inclusive('\n') {
                let record: serde_json::Value = serde_json::from_str(line).unwrap();
                match record["status"].as_str() {
                    Some("retrying") => retries += 1,
                    Some("intent") => {}
                    _ => drop(recorded.insert(line.to_owned())),
                }
            }
        }
        let lost: Vec<_> = recorded.difference(&lines).collect();
        let unknown: Vec<_> = lines.difference(&recorded).collect();
        assert!(lost.is_empty() && unknown.is_empty(), "lost: {lost:?}, unknown: {unknown:?}");

        contents(&mut *archive);
        for actor in &actors {
            let repo = &actor.repo;
            assert_eq!(repo.status(), "");
            repo.tomb_ok(&["doctor"]);
            repo.tomb_ok(&["verify", "--all", "--deep", "--strict"]);
            repo.tomb_ok(&["evidence", "verify", "--strict"]);
        }
        actors[0].repo.tomb_ok(&["health-check", "--deep"]);
        let runs: usize = actors.iter().map(|actor| actor.runs).sum();
        eprintln!(
            "{kind:?}: {} in as many working trees, {} operations, {runs} runs of the program in {:.1} s, {:.1} a \
             second; {retries} retries; {} events",
            size.processes,
            size.processes * size.operations,
            elapsed.as_secs_f64(),
            a_second(runs, elapsed),
            events.len(),
        );
    }
}
