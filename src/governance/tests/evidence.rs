//! What is found in the evidence of a repository, wherever it is and whatever somebody did to it.

use proptest::prelude::*;

use crate::evidence::writer::NewEvidenceFile;
use crate::git::testing::Fixture;
use crate::governance::evidence::{Found, about, named, scan};

use super::*;

fn file(records: Vec<Record>) -> NewEvidenceFile {
    NewEvidenceFile::build(records, Vec::new()).expect("makes a file")
}

fn write(fixture: &Fixture, file: &NewEvidenceFile) -> String {
    let path = file.path().to_string();
    fixture.write(&path, file.bytes());
    path
}

fn stage(fixture: &Fixture, file: &NewEvidenceFile) -> String {
    let path = write(fixture, file);
    fixture.git(&["add", "-f", &path]);
    path
}

fn hold(number: u64, path: &str) -> NewEvidenceFile {
    let facts = acts(number, "Ada", days(-3));
    file(vec![record::hold_set(&facts, Some(ARCHIVE), &subject(path), None, "litigation")])
}

/// Returns the evidence of a store of two items, of which the second is held.
fn held_by_store(number: u64) -> NewEvidenceFile {
    let records = ["src/other.py", "src/a.py"].map(|path| {
        let item = subject(path);
        let mut record = acts(number, "Ada", days(-4)).record(Action::Archive);
        record.set_path(&item.path);
        (record.tombstone, record.sha256) = (Some(item.tombstone), Some(item.sha256));
        record.legal_hold = path == "src/a.py";
        record
    });
    file(records.to_vec())
}

fn found(fixture: &Fixture) -> Found {
    about(&fixture.repository(), &subject("src/a.py").sha256).expect("reads")
}

/// Returns the operations that what was found is of.
fn operations(found: &Found) -> Vec<OperationId> {
    found.records.iter().map(|told| told.record.op).collect()
}

#[test]
fn holds_are_found_wherever_a_reference_leads() {
    let fixture = Fixture::new("sha1");
    fixture.write("a", "a");
    fixture.git(&["add", "a"]);
    fixture.git(&["commit", "-q", "-m", "first"]);
    let places: [(u64, &[&[&str]]); 5] = [
        (1, &[&["commit", "-q", "-m", "x"], &["branch", "other"]]),
        (2, &[&["commit", "-q", "-m", "x"], &["tag", "-a", "-m", "x", "annotated"]]),
        (3, &[&["commit", "-q", "-m", "x"], &["update-ref", "refs/remotes/origin/topic", "HEAD"]]),
        (4, &[&["stash", "-q"]]),
        (5, &[&["commit", "-q", "-m", "x"], &["update-ref", "refs/anything/else", "HEAD"]]),
    ];
    let first = fixture.git(&["rev-parse", "HEAD"]);
    for (number, commands) in places {
        stage(&fixture, &hold(number, "src/a.py"));
        for command in commands {
            fixture.git(command);
        }
        fixture.git(&["reset", "-q", "--hard", &first]);
    }
    // In nothing but the index, and on a detached HEAD.
    fixture.git(&["checkout", "-q", "--detach"]);
    stage(&fixture, &held_by_store(6));
    fixture.git(&["commit", "-q", "-m", "x"]);
    stage(&fixture, &hold(7, "src/b.py"));
    // Not staged, and dropped: nobody knows.
    write(&fixture, &hold(8, "src/a.py"));
    let found = found(&fixture);
    let mut operations = operations(&found);
    operations.sort();
    assert_eq!(operations, (1..=7).map(op).collect::<Vec<_>>());
    assert_eq!(found.unreadable, []);
    let world = World { evidence: found.records, ..World::new() };
    assert_eq!(world.names().iter().filter(|name| **name == "hold").count(), 7);
}

#[test]
fn holds_are_found_in_other_working_trees_in_a_merge_and_in_what_was_fetched() {
    let fixture = Fixture::new("sha1");
    let first = fixture.commit_files(&[("a", "a")]).to_string();
    let linked = fixture.top().join("../linked");
    let linked = linked.to_str().expect("is text");
    fixture.git(&["worktree", "add", "-q", "--detach", linked]);
    let in_linked = |arguments: &[&str]| fixture.git(&[&["-C", linked], arguments].concat());
    let stage_linked = |number: u64| {
        let file = hold(number, "src/a.py");
        let path = std::path::Path::new(linked).join(file.path().to_string());
        std::fs::create_dir_all(path.parent().expect("is in a folder")).expect("makes");
        std::fs::write(&path, file.bytes()).expect("writes");
        in_linked(&["add", "-f", &file.path().to_string()]);
    };
    let numbers = || -> Vec<OperationId> {
        let found = found(&fixture);
        assert_eq!(found.unreadable, []);
        operations(&found)
    };
    assert_eq!(numbers(), []);
    stage_linked(1);
    assert_eq!(numbers(), [op(1)], "an index");
    in_linked(&["commit", "-q", "-m", "x"]);
    let held = in_linked(&["rev-parse", "HEAD"]);
    assert_eq!(numbers(), [op(1)], "a detached head");
    in_linked(&["reset", "-q", "--hard", &first]);
    assert_eq!(numbers(), [], "what was dropped");
    in_linked(&["merge", "-q", "--no-commit", "--no-ff", &held]);
    in_linked(&["read-tree", "HEAD"]);
    assert_eq!(numbers(), [op(1)], "a merge");
    in_linked(&["merge", "--quit"]);
    assert_eq!(numbers(), []);

    let other = Fixture::new("sha1");
    other.commit_files(&[("b", "b")]);
    stage(&other, &hold(2, "src/a.py"));
    other.git(&["commit", "-q", "-m", "x"]);
    in_linked(&["fetch", "-q", other.top().to_str().expect("is text"), "HEAD"]);
    assert_eq!(numbers(), [op(2)], "what was fetched");
    // Seen from there, the main working tree is the other one.
    stage(&fixture, &hold(3, "src/a.py"));
    let seen = fixture.discover(std::path::Path::new(linked)).expect("is one");
    let found = about(&seen, &subject("src/a.py").sha256).expect("reads");
    let mut operations = operations(&found);
    operations.sort();
    assert_eq!(operations, [op(2), op(3)]);
}

#[test]
fn what_is_called_like_evidence_and_is_no_regular_file_is_named() {
    for (mode, of) in [("100755", true), ("120000", true), ("160000", true), ("100644", false)] {
        for committed in [false, true] {
            let fixture = Fixture::new("sha1");
            let first = fixture.commit_files(&[("a", "a")]).to_string();
            let file = hold(1, "src/a.py");
            let path = write(&fixture, &file);
            let blob = if mode == "160000" { first } else { fixture.git(&["hash-object", "-w", &path]) };
            fixture.git(&["update-index", "--add", "--cacheinfo", &format!("{mode},{blob},{path}")]);
            if committed {
                fixture.git(&["commit", "-q", "-m", "x"]);
                fixture.git(&["rm", "-q", "--cached", &path]);
            }
            let found = found(&fixture);
            let named: Vec<(&str, &str)> =
                found.unreadable.iter().map(|unreadable| (unreadable.file.as_str(), unreadable.why.as_str())).collect();
            let expected = (path.as_str(), "it is no regular file");
            assert_eq!(named, if of { vec![expected] } else { vec![] }, "{mode} {committed}");
            assert_eq!(operations(&found).len(), usize::from(!of));
            let broken = named_of(&fixture, Action::HoldSet);
            assert_eq!(broken, usize::from(of));
            assert_eq!(named_of(&fixture, Action::Purge), 0);
        }
    }
}

fn named_of(fixture: &Fixture, action: Action) -> usize {
    named(&fixture.repository(), &[action], |_| ()).expect("reads").len()
}

#[test]
fn evidence_of_other_contents_is_passed_over() {
    let fixture = Fixture::new("sha256");
    let mut other = subject("src/a.py");
    other.sha256 = Sha256::of(b"other");
    let facts = acts(1, "Ada", days(-3));
    stage(&fixture, &file(vec![record::hold_set(&facts, None, &other, None, "x")]));
    let mut mentioned = record::hold_set(&acts(2, "Ada", days(-3)), None, &other, None, "x");
    mentioned.reason = Some(subject("src/a.py").sha256.to_string());
    stage(&fixture, &file(vec![mentioned]));
    stage(&fixture, &hold(3, "src/a.py"));
    assert_eq!(operations(&found(&fixture)), [op(3)]);
}

type Mishap<'a> = &'a dyn Fn(&str) -> String;

#[test]
fn a_file_that_may_hold_and_is_not_intact_is_named() {
    let item = subject("src/a.py");
    let store = held_by_store(1);
    let set = hold(2, "src/a.py");
    let restore = {
        let mut record = acts(3, "Ada", days(-2)).record(Action::Restore);
        (record.tombstone, record.sha256) = (Some(item.tombstone), Some(item.sha256));
        file(vec![record])
    };
    // Taking away the hold, or the very content, or just anything.
    let lifted = |text: &str| text.replace(",\"legal_hold\":true", "");
    let another = |text: &str| text.replace(&item.sha256.to_string(), &Sha256::of(b"other").to_string());
    let torn = |text: &str| text[..text.len() - 1].to_owned();
    let empty = |_: &str| String::new();
    let newer = |text: &str| text.replace("archive-evidence/1", "archive-evidence/2");
    let mishaps: [(&str, Mishap<'_>); 5] =
        [("lifted", &lifted), ("another", &another), ("torn", &torn), ("empty", &empty), ("newer", &newer)];
    for (what, change) in mishaps {
        for (original, named) in [(&store, true), (&set, true), (&restore, false)] {
            let changed = change(std::str::from_utf8(original.bytes()).expect("is text"));
            if changed.as_bytes() == original.bytes() {
                continue;
            }
            let fixture = Fixture::new("sha1");
            let path = original.path().to_string();
            fixture.write(&path, &changed);
            fixture.git(&["add", "-f", &path]);
            let found = found(&fixture);
            assert_eq!(found.records, [], "{what}");
            let files: Vec<&str> = found.unreadable.iter().map(|unreadable| unreadable.file.as_str()).collect();
            assert_eq!(files, if named { vec![path.as_str()] } else { Vec::new() }, "{what}");
        }
    }
    // What a later version wrote under the name of an action that is not known here may be anything.
    let fixture = Fixture::new("sha1");
    let text = newer(std::str::from_utf8(set.bytes()).expect("is text")).replace("HOLD_SET", "HOLD_ALL");
    let (time, short) = (set.path().to_string(), Sha256::of(text.as_bytes()).short());
    let path = format!("{}-hold-all-{short}.jsonl", time.split_once("-hold").expect("is named so").0);
    fixture.write(&path, &text);
    fixture.git(&["add", "-f", &path]);
    let found = found(&fixture);
    assert!(found.unreadable[0].why.contains("needs a newer"), "{found:?}");
}

#[test]
fn files_are_found_by_the_action_that_they_begin_with() {
    let fixture = Fixture::new("sha1");
    let (key, records) = request(1, &[subject("src/a.py"), subject("src/b.py")]);
    stage(&fixture, &file(records));
    let facts = acts(2, "Ada", days(-1));
    let item = subject("src/a.py");
    let approved = record::purge_approval(&facts, "Ada", &key, &item, None);
    stage(&fixture, &file(vec![approved, record::purge(&facts, &key, &item, "Ada", "Bob", "PII")]));
    let broken = hold(3, "src/a.py");
    fixture.write(&broken.path().to_string(), "x");
    fixture.git(&["add", "-f", &broken.path().to_string()]);
    let read = |actions: &[Action]| {
        let mut found = Vec::new();
        let broken = named(&fixture.repository(), actions, |told| found.push(told.record.action)).expect("reads");
        (found, broken.len())
    };
    assert_eq!(read(&[Action::PruneRequest]), (vec![Action::PruneRequest; 2], 0));
    assert_eq!(read(&[Action::Purge, Action::DeleteApproved]), (vec![Action::DeleteApproved, Action::Purge], 0));
    assert_eq!(
        read(&Action::GOVERNANCE),
        (vec![Action::PruneRequest, Action::PruneRequest, Action::DeleteApproved, Action::Purge], 1)
    );
}

proptest! {
    #[test]
    fn what_is_looked_for_is_found_across_pieces(
        before in 0_usize..200_000,
        after in 0_usize..100,
        piece in 1_usize..100_000,
        there: bool,
    ) {
        struct Pieces<'a>(&'a [u8], usize);
        impl std::io::Read for Pieces<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let length = self.0.len().min(self.1).min(buffer.len());
                buffer[..length].copy_from_slice(&self.0[..length]);
                self.0 = &self.0[length..];
                Ok(length)
            }
        }
        let needle = subject("src/a.py").sha256.to_string();
        let middle = if there { needle.as_bytes() } else { &needle.as_bytes()[1..] };
        let bytes = [&vec![b'x'; before][..], middle, &vec![b'x'; after][..]].concat();
        let finder = memchr::memmem::Finder::new(needle.as_bytes());
        let scanned = scan(Pieces(&bytes, piece), &finder).expect("reads");
        prop_assert_eq!(scanned, (there, Sha256::of(&bytes)));
    }
}

/// Prints how long it takes where there are many files: 50,000 with `ARCHIVE_TOMB_SIZES=1`.
#[test]
#[expect(clippy::print_stdout, reason = "the figure is what whoever runs it wants to see")]
fn one_file_of_many_is_found() {
    let count: u64 = if std::env::var_os("ARCHIVE_TOMB_SIZES").is_some() { 50_000 } else { 300 };
    let fixture = Fixture::new("sha1");
    let mut stream = String::new();
    for number in 0..count {
        let store = held_by_store(number + 10);
        let text = std::str::from_utf8(store.bytes()).expect("is text");
        let text =
            text.replace(&subject("src/a.py").sha256.to_string(), &Sha256::of(&number.to_be_bytes()).to_string());
        let other = NewEvidenceFile::from_bytes(text.into_bytes()).expect("is one");
        let bytes = std::str::from_utf8(other.bytes()).expect("is text");
        stream.extend([
            "M 100644 inline ",
            &other.path().to_string(),
            "\ndata ",
            &bytes.len().to_string(),
            "\n",
            bytes,
            "\n",
        ]);
    }
    let held = hold(5, "src/a.py");
    let bytes = std::str::from_utf8(held.bytes()).expect("is text");
    stream.extend([
        "M 100644 inline ",
        &held.path().to_string(),
        "\ndata ",
        &bytes.len().to_string(),
        "\n",
        bytes,
        "\n",
    ]);
    let commit = "commit refs/heads/main\ncommitter C <c@x> 1700000000 +0000\ndata 1\nx\n";
    fixture.git_input(&["fast-import", "--quiet"], format!("{commit}{stream}").as_bytes());
    fixture.git(&["reset", "-q"]);
    let started = std::time::Instant::now();
    assert_eq!(operations(&found(&fixture)), [op(5)]);
    println!("{} evidence files in {:?}", count + 1, started.elapsed());
}
