//! Every small change of a realistic archive commit, counted: what verification finds, and what it lets pass as the same.
//!
//! The everyday run tries every byte of the stubs, and samples the evidence file. With `GIT_ARCHIVE_TOMB_TAMPER=bytes` every
//! byte of that is changed once, with `all` everything is tried in every way, which takes many minutes. Each prints what it
//! counted.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Mutex;

use bstr::ByteSlice;
use rayon::prelude::*;

use super::world::{Tree, World, id};
use super::writer::{Original, Written, account, archive_by_kind, path};
use crate::evidence::record::Action;
use crate::git::{Change, GitError, TreeEntry};
use crate::id::ObjectId;
use crate::item::RepoPath;
use crate::verify::report::Severity;
use crate::verify::snapshot::{Objects, Overlay, Snapshot};
use crate::verify::step::{Checker, Edge, Gaps, Step};

/// One file of each kind of stub; the record of each is one of 50.
const KINDS: [(&str, &str); 8] = [
    ("src/legacy/old.py", "import os\n"),
    ("src/legacy/run.sh", "#!/bin/sh\necho legacy\n"),
    ("docs/old.md", "# Old\n"),
    ("package.json", "{}\n"),
    ("web/old.html", "<!doctype html>\n<p>old</p>\n"),
    ("lib/Old.java", "class Old {}\n"),
    ("web/old.css", "p { color: red }\n"),
    ("data/unknown.xyz", "something\n"),
];

const RECORDS: usize = 50;

/// A branch with an archive of fifty files, a smaller one after it, and the record of a restore.
struct Archive {
    world: World,
    before: Tree,
    after: Tree,
    large: Written,
    /// The evidence files, the large one first.
    evidence: Vec<(RepoPath, Vec<u8>)>,
}

fn archive() -> Archive {
    let mut world = World::default();
    let mut before = Tree::default();
    let more =
        (KINDS.len()..RECORDS + 3).map(|number| (&*format!("src/legacy/part_{number:02}.py").leak(), "part = 1\n"));
    let files: Vec<(&'static str, Vec<u8>)> =
        KINDS.into_iter().chain(more).map(|(at, text)| (at, text.into())).collect();
    for (at, bytes) in &files {
        world.put(&mut before, at, bytes);
    }
    let commit = world.commit(&before);
    let original = |(path, bytes): &(&'static str, Vec<u8>)| Original::new(path, bytes, id(bytes), commit);
    let originals: Vec<Original> = files.iter().map(original).collect();
    let large = archive_by_kind(1, &originals[..RECORDS], &[]);
    let small = archive_by_kind(2, &originals[RECORDS..], &[*large.evidence.sha256()]);
    let restored = account(Action::Restore, 3, small.tombstones[0]);
    let mut after = before.clone();
    world.put_all(&mut after, &large);
    world.put_all(&mut after, &small);
    world.put_evidence(&mut after, "", &restored);
    let evidence =
        [&large.evidence, &small.evidence, &restored].map(|file| (file.path(), file.bytes().to_vec())).into();
    Archive { world, before, after, large, evidence }
}

/// A world in which one file has other bytes, again and again.
struct Tampered<'w> {
    world: &'w World,
    changed: Mutex<(ObjectId, Vec<u8>)>,
}

impl Objects for Tampered<'_> {
    fn read(&self, id: &ObjectId, limit: u64) -> Result<Option<Vec<u8>>, GitError> {
        let changed = self.changed.lock().expect("no test panics here");
        if *id == changed.0 { Ok(Some(changed.1.clone())) } else { self.world.read(id, limit) }
    }

    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, GitError> {
        let changed = self.changed.lock().expect("no test panics here");
        if *id == changed.0 { Ok(Box::new(Cursor::new(changed.1.clone()))) } else { self.world.open(id) }
    }

    fn entry_in_commit(&self, commit: &ObjectId, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        self.world.entry_in_commit(commit, path)
    }

    fn forks(&self, one: &ObjectId, other: &ObjectId) -> Result<Vec<ObjectId>, GitError> {
        self.world.forks(one, other)
    }
}

/// Returns whether verification fails for a step from `parent` with these differences: as a commit, as what is staged, or
/// as both, which agree.
fn fails(checker: &Checker<'_>, parent: &Tree, child: &Tree, changes: &[Change], which: Which) -> bool {
    let attributes = |paths: &[RepoPath]| Ok(vec![false; paths.len()]);
    let overlay = Overlay::new(parent, changes.iter().cloned(), &attributes);
    let judge = |child: &dyn Snapshot| {
        let mut gaps = Gaps::default();
        let touched = checker.touch_all(changes.iter().cloned(), &mut gaps).expect("reads memory");
        let edges = vec![Edge { parent: None, snapshot: parent, touched }];
        let step = Step { commit: None, child, edges, own_index: None };
        let outcome = checker.check(&step, gaps).expect("reads memory");
        !outcome.lost.is_empty() || outcome.findings.iter().any(|finding| finding.severity == Severity::Error)
    };
    match which {
        Which::Staged => judge(&overlay),
        Which::Committed => judge(child),
        Which::Both => {
            let (staged, committed) = (judge(&overlay), judge(child));
            assert_eq!(staged, committed, "what is staged and what is committed are judged alike");
            committed
        }
    }
}

#[derive(Clone, Copy)]
enum Which {
    Staged,
    Committed,
    Both,
}

/// Judges one file with other bytes, many times.
struct Bench<'a> {
    checker: Checker<'a>,
    tampered: &'a Tampered<'a>,
    at: &'a RepoPath,
    /// Where the file was right, and where it is new; all else is as after the archive.
    parents: [(Tree, Vec<Change>); 2],
    child: Tree,
    turn: bool,
}

impl<'a> Bench<'a> {
    fn new(archive: &Archive, tampered: &'a Tampered<'a>, at: &'a RepoPath) -> Self {
        let mut fresh = archive.after.clone();
        if let Some(original) = archive.before.files.get(at) {
            fresh.files.insert(at.clone(), *original);
        } else {
            // A stub that names the evidence comes along.
            let stub = &archive.large.stubs[0].0;
            fresh.files.insert(stub.clone(), archive.before.files[stub]);
            fresh.files.remove(at);
        }
        let parents = [archive.after.clone(), fresh].map(|parent| {
            let mut changes = archive.after.changes_since(&parent);
            if changes.iter().all(|change| change.path != *at) {
                let entry = archive.after.files[at];
                changes.push(Change { path: at.clone(), old: Some(entry), new: Some(entry) });
            }
            changes.sort_by(|a, b| a.path.cmp(&b.path));
            (parent, changes)
        });
        Self {
            checker: Checker::new(tampered, false),
            tampered,
            at,
            parents,
            child: archive.after.clone(),
            turn: false,
        }
    }

    /// Returns whether it fails that the file has these bytes: `[edited, archived]`.
    fn fails_with(&mut self, bytes: Vec<u8>) -> [bool; 2] {
        let entry = TreeEntry { mode: 0o100_644, id: id(&bytes) };
        *self.tampered.changed.lock().expect("no test panics here") = (entry.id, bytes);
        self.child.files.insert(self.at.clone(), entry);
        let (checker, child, at) = (&self.checker, &self.child, self.at);
        // By turns: the same rules look at either through another snapshot.
        self.turn = !self.turn;
        let which = match (is_asked_for("all"), self.turn) {
            (true, _) => Which::Both,
            (_, true) => Which::Staged,
            (_, false) => Which::Committed,
        };
        self.parents.each_mut().map(|(parent, changes)| {
            let change = changes.iter_mut().find(|change| change.path == *at).expect("is among them");
            change.new = Some(entry);
            fails(checker, parent, child, changes, which)
        })
    }
}

impl Archive {
    /// Judges the file at `at` after each of these changes, on all cores: `(kind, bytes, [edited, archived])`.
    fn judge_all(
        &self,
        at: &RepoPath,
        bytes: &[u8],
        changes: &[(&'static str, Edit)],
        judge: impl Fn(&str, &[u8], [bool; 2]) + Sync,
    ) {
        changes.par_chunks(512).for_each(|chunk| {
            let tampered = Tampered { world: &self.world, changed: Mutex::new((id(b""), Vec::new())) };
            let mut bench = Bench::new(self, &tampered, at);
            for (what, edit) in chunk {
                let bytes = edit.apply(bytes);
                let found = bench.fails_with(bytes.clone());
                judge(what, &bytes, found);
            }
        });
    }

    /// Returns whether it fails to turn the archive's commit into `child`.
    fn fails_as(&self, child: &Tree) -> bool {
        fails(&Checker::new(&self.world, false), &self.after, child, &child.changes_since(&self.after), Which::Both)
    }
}

/// What came of many attempts, by kind.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<String, [usize; 2]>>);

impl Counts {
    fn add(&self, what: String, is_found: bool) {
        self.0.lock().expect("no test panics here").entry(what).or_default()[usize::from(is_found)] += 1;
    }

    #[expect(clippy::print_stdout, reason = "the figures are what whoever runs it wants to see")]
    fn print(self) {
        let counts = self.0.into_inner().expect("no test panics here");
        let row = |what: &str, [same, found]: [usize; 2]| println!("{what:58} {found:8} found {same:6} the same");
        let mut total = [0, 0];
        for (what, count) in &counts {
            row(what, *count);
            total = [total[0] + count[0], total[1] + count[1]];
        }
        row("total", total);
    }
}

/// Returns whether more is asked for than the everyday sample: `bytes` or `all`.
fn is_asked_for(effort: &str) -> bool {
    std::env::var_os("GIT_ARCHIVE_TOMB_TAMPER").is_some_and(|value| value == effort)
}

/// Returns what a byte is changed to: each other than it is, without repeats.
fn values(byte: u8, position: usize) -> Vec<u8> {
    let random = u8::try_from(position.wrapping_mul(7919) % 255).expect("is below 255");
    let mut values = vec![byte ^ 0x01, byte ^ 0x80, 0x00, b' ', b'\n', byte.wrapping_add(1 + random)];
    values.sort_unstable();
    values.dedup();
    values.retain(|value| *value != byte);
    values
}

/// Returns what readers take for the same as `bytes`. This is the whole list of equivalents: a byte order mark at the
/// start, blanks, tabs and carriage returns before the end of a line, empty lines at the end, and the last newline.
fn normalised(bytes: &[u8]) -> Vec<Vec<u8>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines: Vec<Vec<u8>> =
        bytes.split_str("\n").map(|line| line.trim_end_with(|last| " \t\r".contains(last)).to_vec()).collect();
    while lines.pop_if(|line| line.is_empty()).is_some() {}
    lines
}

/// A small change of a file.
enum Edit {
    Change(usize, u8),
    Delete(usize),
    Insert(usize, u8),
    Truncate(usize),
    Replace(Vec<u8>),
}

impl Edit {
    fn apply(&self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Change(at, value) => [&bytes[..*at], &[*value], &bytes[at + 1..]].concat(),
            Self::Delete(at) => [&bytes[..*at], &bytes[at + 1..]].concat(),
            Self::Insert(at, value) => [&bytes[..*at], &[*value], &bytes[*at..]].concat(),
            Self::Truncate(at) => bytes[..*at].to_vec(),
            Self::Replace(bytes) => bytes.clone(),
        }
    }
}

/// Returns the small changes of `bytes`, as many at each position as `effort` says.
fn small_changes(bytes: &[u8], effort: impl Fn(usize) -> Effort) -> Vec<(&'static str, Edit)> {
    let mut changes = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        let values = values(*byte, at);
        let change = |value: &u8| ("a byte changed", Edit::Change(at, *value));
        match effort(at) {
            Effort::None => {}
            Effort::One => changes.push(change(&values[at % values.len()])),
            Effort::All => {
                changes.extend(values.iter().map(change));
                changes.push(("a byte deleted", Edit::Delete(at)));
                changes.push(("a byte inserted", Edit::Insert(at, b"x \n\0"[at % 4])));
                changes.push(("truncated", Edit::Truncate(at)));
            }
        }
    }
    changes
}

/// How many changes are tried at one position.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    None,
    One,
    All,
}

#[test]
fn every_small_change_of_a_stub_is_found() {
    let archive = archive();
    let counts = Counts::default();
    for (at, text) in &archive.large.stubs[..KINDS.len()] {
        let original = normalised(text.as_bytes());
        // One kind in full. The comments and code of the others differ, their fields do not.
        let in_full = is_asked_for("all") || at.as_bytes().ends_with(b".py");
        let mut changes = small_changes(text.as_bytes(), |_| if in_full { Effort::All } else { Effort::One });
        for (what, text) in [
            ("other line ends", text.replace('\n', "\r\n")),
            ("a byte order mark", format!("\u{feff}{text}")),
            ("two byte order marks", format!("\u{feff}\u{feff}{text}")),
        ] {
            changes.push((what, Edit::Replace(text.into())));
        }
        archive.judge_all(at, text.as_bytes(), &changes, |what, bytes, [edited, archived]| {
            let same = normalised(bytes) == original;
            assert_eq!(edited, !same, "{at}, {what}: {:?}", bytes.as_bstr());
            // Without a marker it is no stub but an ordinary edit, where no stub stood before.
            let is_stub = !matches!(crate::stub::parse(bytes), crate::stub::Parsed::NotAStub);
            assert!(archived != same || !is_stub, "{at}, {what}, archived: {:?}", bytes.as_bstr());
            counts.add(format!("{at}: {what}"), edited);
        });
    }
    counts.print();
}

#[test]
fn every_small_change_of_an_evidence_file_is_found() {
    let archive = archive();
    let (at, bytes) = &archive.evidence[0];
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), RECORDS);
    let mut changes = small_changes(bytes, |position| match position % 193 {
        _ if is_asked_for("all") => Effort::All,
        0 => Effort::All,
        _ if position < lines[0].len() || is_asked_for("bytes") => Effort::One,
        _ => Effort::None,
    });
    let mut whole = |what, bytes: Vec<u8>| changes.push((what, Edit::Replace(bytes)));
    let foreign = archive.evidence[1].1.split_inclusive(|byte| *byte == b'\n').nth(1).expect("has a second line");
    for one in 0..lines.len() {
        let (before, after) = (&lines[..one], &lines[one + 1..]);
        whole("a line deleted", [before, after].concat().concat());
        whole("a line doubled", [&lines[..=one], &lines[one..]].concat().concat());
        whole("a line of another file inserted", [before, &[foreign], &lines[one..]].concat().concat());
        for other in one + 1..lines.len() {
            if is_asked_for("all") || other - one == 1 || one + other == RECORDS - 1 {
                let mut lines = lines.clone();
                lines.swap(one, other);
                whole("two lines swapped", lines.concat());
            }
        }
    }
    whole("a line of another file inserted", [bytes, foreign].concat());
    whole("other line ends", bytes.replace("\n", "\r\n"));
    whole("a byte order mark", [b"\xef\xbb\xbf", &bytes[..]].concat());
    let counts = Counts::default();
    archive.judge_all(at, bytes, &changes, |what, bytes, found| {
        assert_eq!(found, [true, true], "{what}: {:?}", bytes.as_bstr());
        counts.add(format!("evidence file: {what}"), true);
    });
    counts.print();
}

#[test]
fn every_change_of_the_set_of_evidence_files_is_found() {
    let mut archive = archive();
    let counts = Counts::default();
    let found = |what: &str, archive: &Archive, child: &Tree| {
        assert!(archive.fails_as(child), "{what}");
        counts.add(format!("evidence files: {what}"), true);
    };
    let files = archive.evidence.clone();
    for (at, bytes) in &files {
        let entry = archive.after.files[at];
        let name = at.to_string();
        let mut gone = archive.after.clone();
        gone.files.remove(at);
        found("deleted", &archive, &gone);
        let (folder, file) = name.rsplit_once('/').expect("has a folder");
        let mut parts = file.splitn(2, '-');
        let (time, rest) = (parts.next().expect("has a time"), parts.next().expect("has a rest"));
        let (action, digits) = rest.rsplit_once('-').expect("has digits");
        let other_action = if action == "archive" { "purge" } else { "archive" };
        for (what, to) in [
            ("renamed, another digest", format!("{folder}/{time}-{action}-0123456789abcdef.jsonl")),
            (
                "renamed, another digit",
                format!("{folder}/{time}-{action}-{}{}", if digits.starts_with('0') { '1' } else { '0' }, &digits[1..]),
            ),
            ("renamed, another time", format!("{folder}/20251017T000000Z-{rest}")),
            ("renamed, another month", name.replace("/10/", "/11/")),
            ("renamed, another year", name.replace("/2025/", "/2024/")),
            ("renamed, another action", format!("{folder}/{time}-{other_action}-{digits}")),
            ("renamed, upper case", format!("{folder}/{}", file.to_uppercase())),
            ("renamed, another folder", name.replace("/ops/", "/log/")),
            ("renamed, a folder in the evidence folder", name.replace("ops/", "ops/.codex/evidence/ops/")),
            ("renamed, a name that file systems fold", name.replace(".codex", ".Codex")),
        ] {
            let mut renamed = gone.clone();
            renamed.files.insert(path(&to), entry);
            found(what, &archive, &renamed);
            // It was copied there, too.
            let mut copied = archive.after.clone();
            copied.files.insert(path(&to), entry);
            if what != "renamed, another folder" {
                found(&what.replace("renamed", "copied"), &archive, &copied);
            }
        }
        for mode in [0o100_755, 0o120_000, 0o160_000] {
            let mut changed = archive.after.clone();
            changed.files.insert(at.clone(), TreeEntry { mode, ..entry });
            found("another mode", &archive, &changed);
        }
        for (other, _) in files.iter().filter(|(other, _)| other != at) {
            let mut swapped = archive.after.clone();
            swapped.files.insert(at.clone(), archive.after.files[other]);
            found("holds what another holds", &archive, &swapped);
            swapped.files.insert(other.clone(), entry);
            found("contents swapped with another", &archive, &swapped);
        }
        let mut emptied = archive.after.clone();
        archive.world.put(&mut emptied, &name, b"");
        found("emptied", &archive, &emptied);
        // Records of one file moved to the end of another, whose name is made to fit.
        for (other, others) in files.iter().filter(|(other, _)| other != at) {
            let line = bytes.split_inclusive(|byte| *byte == b'\n').next_back().expect("has a line");
            let longer = [&others[..], line].concat();
            let short = crate::id::Sha256::of(&longer).short();
            let other = other.to_string();
            let fitting = format!("{}-{short}.jsonl", other.rsplit_once('-').expect("has digits").0);
            let mut child = archive.after.clone();
            child.files.remove(&path(&other));
            archive.world.put(&mut child, &fitting, &longer);
            found("a record moved to another, which is renamed to fit", &archive, &child);
        }
    }
    counts.print();
}
