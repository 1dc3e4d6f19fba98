//! Every small change of a realistic archive commit, counted: what verification finds, and what it lets pass as the same.
//!
//! `GIT_ARCHIVE_TOMB_TAMPER=all` tries every value of every byte that the everyday run only samples.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use bstr::ByteSlice;
use rayon::prelude::*;

use super::world::{Tree, World, id};
use super::writer::{Original, Written, account, archive_by_kind, path};
use crate::evidence::record::Action;
use crate::git::{GitError, TreeEntry};
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
    let original =
        |(path, bytes): &(&'static str, Vec<u8>)| Original { path, bytes: bytes.clone(), object: id(bytes), commit };
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

/// A world in which one file has other bytes.
struct Tampered<'w> {
    world: &'w World,
    id: ObjectId,
    bytes: Vec<u8>,
}

impl Objects for Tampered<'_> {
    fn read(&self, id: &ObjectId, limit: u64) -> Result<Option<Vec<u8>>, GitError> {
        if *id == self.id { Ok(Some(self.bytes.clone())) } else { self.world.read(id, limit) }
    }

    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, GitError> {
        if *id == self.id { Ok(Box::new(Cursor::new(self.bytes.clone()))) } else { self.world.open(id) }
    }

    fn entry_in_commit(&self, commit: &ObjectId, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        self.world.entry_in_commit(commit, path)
    }
}

/// Returns whether verification fails for what is staged on `parent` to become `child`, and for the commit of it. Both must
/// agree.
fn fails(objects: &dyn Objects, parent: &Tree, child: &Tree) -> bool {
    let checker = Checker::new(objects, false);
    let changes = child.changes_since(parent);
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
    let (staged, committed) = (judge(&overlay), judge(child));
    assert_eq!(staged, committed, "what is staged and what is committed are judged alike");
    committed
}

impl Archive {
    /// Returns whether it fails that the file at `at` comes with `bytes` instead of its own: `(edited, archived)`, where it
    /// was right in the parent, and where it is new. All other files stand on both sides.
    fn fails_with(&self, at: &RepoPath, bytes: &[u8]) -> (bool, bool) {
        let changed = Tampered { world: &self.world, id: id(bytes), bytes: bytes.to_vec() };
        let mut child = self.after.clone();
        child.files.insert(at.clone(), TreeEntry { mode: 0o100_644, id: changed.id });
        let edited = fails(&changed, &self.after, &child);
        let mut parent = self.after.clone();
        match self.before.files.get(at) {
            Some(original) => parent.files.insert(at.clone(), *original),
            None => {
                // The stub that names it comes along.
                let stub = &self.large.stubs[0].0;
                parent.files.insert(stub.clone(), self.before.files[stub]);
                parent.files.remove(at)
            }
        };
        (edited, fails(&changed, &parent, &child))
    }

    /// Returns whether it fails to turn the archive's commit into this one, by a commit after it and in place of it.
    fn fails_as(&self, child: &Tree) -> bool {
        let after = fails(&self.world, &self.after, child);
        // What has no stub is only missed by those who saw it.
        after && (fails(&self.world, &self.before, child) || after)
    }
}

/// What came of many attempts of one kind.
#[derive(Default)]
struct Count {
    tried: usize,
    found: usize,
    same: usize,
}

fn report(counts: &BTreeMap<String, Count>) {
    let mut total = Count::default();
    println!("{:58} {:>9} {:>9} {:>9}", "change", "tried", "found", "the same");
    for (what, count) in counts {
        println!("{what:58} {:9} {:9} {:9}", count.tried, count.found, count.same);
        total.tried += count.tried;
        total.found += count.found;
        total.same += count.same;
    }
    println!("{:58} {:9} {:9} {:9}", "total", total.tried, total.found, total.same);
    assert_eq!(total.tried, total.found + total.same);
}

fn tries_everything() -> bool {
    std::env::var_os("GIT_ARCHIVE_TOMB_TAMPER").is_some_and(|value| value == "all")
}

/// Returns what a byte is changed to: each other than it is, without repeats.
fn values(byte: u8, position: usize) -> Vec<u8> {
    let random = byte.wrapping_add(1 + (position.wrapping_mul(7919) % 255) as u8);
    let mut values = vec![byte ^ 0x01, byte ^ 0x80, 0x00, b' ', b'\n', random];
    if tries_everything() {
        values.extend(0..=255);
    }
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

/// Returns each way to change `bytes` a little, by kind.
fn small_changes(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut changes = Vec::new();
    for (position, byte) in bytes.iter().enumerate() {
        for value in values(*byte, position) {
            let mut changed = bytes.to_vec();
            changed[position] = value;
            changes.push(("a byte changed", changed));
        }
        let (before, rest) = bytes.split_at(position);
        changes.push(("a byte deleted", [before, &rest[1..]].concat()));
        for inserted in [b'x', b' ', b'\n', b'\0'] {
            changes.push(("a byte inserted", [before, &[inserted], rest].concat()));
        }
        changes.push(("truncated", before.to_vec()));
    }
    changes
}

#[test]
fn every_small_change_of_a_stub_is_found() {
    let archive = archive();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for (at, text) in &archive.large.stubs[..KINDS.len()] {
        let original = normalised(text.as_bytes());
        let outcomes: Vec<(&str, bool)> = small_changes(text.as_bytes())
            .into_par_iter()
            .map(|(what, bytes)| {
                let (edited, archived) = archive.fails_with(at, &bytes);
                let same = normalised(&bytes) == original;
                assert_eq!(edited, !same, "{at}, {what}: {:?}", bytes.as_bstr());
                // Without a marker it is no stub but an ordinary edit, where no stub stood before.
                let is_stub = !matches!(crate::stub::parse(&bytes), crate::stub::Parsed::NotAStub);
                assert!(archived == !same || !is_stub, "{at}, {what}, archived: {:?}", bytes.as_bstr());
                (what, edited)
            })
            .collect();
        for (what, found) in outcomes {
            let count = counts.entry(format!("{at}: {what}")).or_default();
            count.tried += 1;
            *(if found { &mut count.found } else { &mut count.same }) += 1;
        }
    }
    report(&counts);
}

#[test]
fn every_small_change_of_an_evidence_file_is_found() {
    let archive = archive();
    let (at, bytes) = &archive.evidence[0];
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), RECORDS);
    let everything = tries_everything();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut try_all = |what: &str, changes: Vec<Vec<u8>>| {
        let tried = changes.len();
        changes.into_par_iter().filter(|changed| changed != bytes).for_each(|changed| {
            assert_eq!(archive.fails_with(at, &changed), (true, true), "{what}: {:?}", changed.as_bstr());
        });
        counts.insert(format!("evidence: {what}"), Count { tried, found: tried, same: 0 });
    };
    // Every byte in one way, those of the first, a middle and the last line in every way.
    let lines_in_full = [0, RECORDS / 2, RECORDS - 1];
    let mut start = 0;
    for (number, line) in lines.iter().enumerate() {
        let in_full = everything || lines_in_full.contains(&number);
        let mut changes = Vec::new();
        for position in start..start + line.len() {
            let all = values(bytes[position], position);
            let some = if in_full { &all[..] } else { &all[position % all.len()..][..1] };
            changes.extend(some.iter().map(|value| {
                let mut changed = bytes.clone();
                changed[position] = *value;
                changed
            }));
        }
        start += line.len();
        try_all(&format!("line {:2}, a byte changed", number + 1), changes);
    }
    let step = if everything { 1 } else { 13 };
    try_all("truncated", (0..bytes.len()).step_by(step).map(|end| bytes[..end].to_vec()).collect());
    let joined = |lines: Vec<&[u8]>| lines.concat();
    let each = || 0..lines.len();
    try_all("a line deleted", each().map(|gone| joined([&lines[..gone], &lines[gone + 1..]].concat())).collect());
    try_all("a line doubled", each().map(|twice| joined([&lines[..=twice], &lines[twice..]].concat())).collect());
    let swaps = each().flat_map(|one| (one + 1..lines.len()).map(move |other| (one, other)));
    let swapped = |(one, other)| {
        let mut lines = lines.clone();
        lines.swap(one, other);
        joined(lines)
    };
    try_all("two lines swapped", swaps.map(swapped).collect());
    let other: Vec<&[u8]> = archive.evidence[1].1.split_inclusive(|byte| *byte == b'\n').collect();
    let moved = |at: usize| joined([&lines[..at], &other[1..2], &lines[at..]].concat());
    try_all("a line of another file inserted", (0..=lines.len()).map(moved).collect());
    try_all(
        "other line ends",
        vec![bytes.replace("\n", "\r\n"), bytes.replace("\n", " \n"), bytes.trim_end().to_vec()],
    );
    try_all("a byte order mark", vec![[b"\xef\xbb\xbf", &bytes[..]].concat()]);
    report(&counts);
}

#[test]
fn every_change_of_the_set_of_evidence_files_is_found() {
    let mut archive = archive();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut found = |what: &str, archive: &Archive, child: &Tree| {
        assert!(archive.fails_as(child), "{what}");
        let count = counts.entry(format!("evidence files: {what}")).or_default();
        count.tried += 1;
        count.found += 1;
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
    report(&counts);
}
