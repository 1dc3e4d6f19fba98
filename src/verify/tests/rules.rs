//! Each rule in memory: what it raises, and what comes close and is fine.

use std::collections::BTreeMap;

use super::world::{Tree, World, assert_found, id};
use super::writer::{Original, Written, account, archive, archive_with, path};
use crate::evidence::record::{Action, Record};
use crate::id::{ObjectId, Sha256};
use crate::verify::report::{Rule, Severity};

/// A repository with two files, and the operation that archives the first.
struct Scene {
    world: World,
    before: Tree,
    after: Tree,
    commit: ObjectId,
    written: Written,
}

const OLD: &[u8] = b"print('old')\n";

fn scene_with(change: impl Fn(&mut Record)) -> Scene {
    let mut world = World::default();
    let mut before = Tree::default();
    world.put(&mut before, "old.py", OLD);
    world.put(&mut before, "new.py", b"print('new')\n");
    let commit = world.commit(&before);
    let written = archive_with(1, &[original(commit)], &[], change);
    let mut after = before.clone();
    world.put_all(&mut after, &written);
    Scene { world, before, after, commit, written }
}

fn scene() -> Scene {
    scene_with(|_| ())
}

fn original(commit: ObjectId) -> Original {
    Original::new("old.py", OLD, id(OLD), commit)
}

fn evidence_path(scene: &Scene) -> String {
    scene.written.evidence.path().to_string()
}

#[test]
fn an_archive_as_it_should_be_is_clean() {
    let Scene { world, before, after, .. } = scene();
    assert_found(&world.check(&[&before], &after), &[]);
    assert_eq!(world.outcome(&[&before], &after, None, false).checked.stubs, 1);
    // From nothing, the commit that the record names is asked.
    assert_found(&world.check(&[], &after), &[]);
    assert_found(&world.check(&[&after], &after), &[]);
}

#[test]
fn every_changed_byte_of_a_stub_is_found() {
    let Scene { mut world, before, after, written, .. } = scene();
    let text = written.stubs[0].1.as_bytes().to_vec();
    let mut seen = BTreeMap::new();
    for position in 0..text.len() {
        for change in [0x01, 0x20, 0x80] {
            let mut text = text.clone();
            text[position] ^= change;
            let mut tree = after.clone();
            world.put(&mut tree, "old.py", &text);
            // On the edge that archives it, and as a change of the stub that was there.
            let archived = world.check(&[&before], &tree);
            let edited = world.check(&[&after], &tree);
            for finding in &edited {
                *seen.entry(finding.rule).or_insert(0) += 1;
            }
            let is_same = crate::stub::parse(&text);
            if let crate::stub::Parsed::Stub(parsed) = is_same
                && Some(parsed.digest) == written.records[0].stub
                && parsed.stub.evidence == *written.evidence.sha256()
            {
                assert_found(&edited, &[]);
                continue;
            }
            assert!(edited.iter().any(|finding| finding.severity == Severity::Error), "byte {position} ^ {change}");
            // Bytes that are no stub at all are an ordinary edit of the file, when there was no stub before.
            let is_stub = !matches!(crate::stub::parse(&text), crate::stub::Parsed::NotAStub);
            assert!(!is_stub || archived.iter().any(|finding| finding.severity == Severity::Error), "byte {position}");
        }
    }
    let rules: Vec<Rule> = seen.into_keys().collect();
    for rule in [Rule::StubMalformed, Rule::StubUnknown, Rule::StubMismatch, Rule::StubRemoved] {
        assert!(rules.contains(&rule), "{rules:?}");
    }
}

#[test]
fn line_ends_of_another_system_are_no_difference() {
    let Scene { mut world, before, after, written, .. } = scene();
    let mut tree = after.clone();
    world.put(&mut tree, "old.py", written.stubs[0].1.replace('\n', "\r\n").as_bytes());
    assert_found(&world.check(&[&before], &tree), &[]);
    assert_found(&world.check(&[&after], &tree), &[]);
}

#[test]
fn a_stub_with_conflict_markers_is_malformed() {
    let Scene { mut world, after, written, .. } = scene();
    let mut tree = after.clone();
    let text = format!("<<<<<<< HEAD\n{}=======\nprint('edited')\n>>>>>>> topic\n", written.stubs[0].1);
    world.put(&mut tree, "old.py", text.as_bytes());
    assert_found(&world.check(&[&after], &tree), &["error stub-malformed old.py"]);
}

#[test]
fn a_later_version_is_not_called_broken() {
    let Scene { mut world, before, after, written, .. } = scene();
    let mut tree = after.clone();
    world.put(&mut tree, "old.py", written.stubs[0].1.replace("stub v1", "stub v2").as_bytes());
    assert_found(&world.check(&[&before], &tree), &["error needs-newer old.py"]);
    // What became of it cannot be judged either.
    let mut overwritten = tree.clone();
    world.put(&mut overwritten, "old.py", b"other bytes");
    assert_found(&world.check(&[&tree], &overwritten), &["error needs-newer old.py"]);

    let text = String::from_utf8(written.evidence.bytes().to_vec()).expect("is text");
    let text = text.replace("archive-evidence/1", "archive-evidence/2");
    let digest = Sha256::of(text.as_bytes());
    let mut tree = before.clone();
    let at = evidence_path_for(&written, &digest);
    world.put(&mut tree, &at, text.as_bytes());
    let stub = written.stubs[0].1.replace(&written.evidence.sha256().to_string(), &digest.to_string());
    world.put(&mut tree, "old.py", stub.as_bytes());
    let findings = world.check(&[&before], &tree);
    assert_found(&findings, &[&format!("error needs-newer {at}"), "error needs-newer old.py"]);
    assert!(findings.iter().all(|finding| finding.reason.contains("needs a newer git-archive-tomb")));
}

/// Returns the path of the evidence file as it would be with other bytes.
fn evidence_path_for(written: &Written, digest: &Sha256) -> String {
    written.evidence.path().to_string().replace(&written.evidence.sha256().short(), &digest.short())
}

#[test]
fn a_stub_without_its_evidence_is_unknown() {
    let Scene { world, before, after, .. } = scene();
    let mut tree = after.clone();
    tree.files.retain(|path, _| !path.is_within(b".codex"));
    assert_found(&world.check(&[&before], &tree), &["error stub-unknown old.py"]);
}

#[test]
fn a_stub_whose_record_is_elsewhere_is_unknown() {
    let Scene { mut world, before, commit, .. } = scene();
    let written = archive_with(2, &[original(commit)], &[], |record| record.action = Action::HoldSet);
    let mut tree = before.clone();
    world.put_all(&mut tree, &written);
    assert_found(&world.check(&[&before], &tree), &["error stub-unknown old.py"]);
}

#[test]
fn evidence_that_is_staged_and_not_committed_is_named_with_the_command() {
    let Scene { world, before, after, .. } = scene();
    let mut partial = after.clone();
    partial.files.retain(|path, _| !path.is_within(b".codex"));
    let outcome = world.outcome(&[&before], &partial, Some(&after), false);
    assert_found(&outcome.findings, &["error evidence-missing old.py"]);
    assert_eq!(outcome.findings[0].hint.as_deref(), Some("git commit both"));
}

#[test]
fn each_field_is_compared_with_the_record() {
    type Falsify = fn(&mut Record);
    let changes: [(&str, Falsify); 11] = [
        ("sha256", |record| record.sha256 = Some(Sha256::of(b"other"))),
        ("size", |record| record.size = Some(1)),
        ("mode", |record| record.mode = None),
        ("object", |record| record.object = Some(id(b"other"))),
        ("repo", |record| record.repo = Some("other".to_owned())),
        ("commit", |record| record.commit = Some(id(b"other"))),
        ("reason", |record| record.reason = Some("legacy".to_owned())),
        ("archived-by", |record| record.actor = Some("B".to_owned())),
        ("archived-at", |record| record.ts = super::writer::moment(9)),
        ("path", |record| record.set_path(&path("other.py"))),
        ("digest", |record| record.stub = Some(Sha256::of(b"other"))),
    ];
    for (field, change) in changes {
        let Scene { world, before, after, .. } = scene_with(change);
        let findings = world.check(&[&before], &after);
        assert_found(&findings, &["error stub-mismatch old.py"]);
        assert!(findings[0].record.is_some(), "{field}");
    }
}

#[test]
fn a_tombstone_that_does_not_follow_from_its_item_is_forged() {
    let mut forged = scene();
    let other = "16bd3d4a-ba15-592c-ad02-cf17c8d16883".parse().expect("is a tombstone");
    let stub = forged.written.stubs[0]
        .1
        .replace(&forged.written.tombstones[0].to_string(), "16bd3d4a-ba15-592c-ad02-cf17c8d16883");
    let crate::stub::Parsed::Stub(parsed) = crate::stub::parse(stub.as_bytes()) else { panic!("is a stub") };
    for (action, expected) in [(Action::Archive, &["error stub-mismatch old.py"][..]), (Action::Import, &[])] {
        let written = archive_with(1, &[original(forged.commit)], &[], |record| {
            record.action = action;
            record.tombstone = Some(other);
            record.stub = Some(parsed.digest);
        });
        let stub = stub.replace(&forged.written.evidence.sha256().to_string(), &written.evidence.sha256().to_string());
        let mut tree = forged.before.clone();
        forged.world.put_evidence(&mut tree, "", &written.evidence);
        forged.world.put(&mut tree, "old.py", stub.as_bytes());
        assert_found(&forged.world.check(&[&forged.before], &tree), expected);
    }
}

#[test]
fn a_stub_is_a_plain_file() {
    let Scene { mut world, before, after, written, .. } = scene();
    let mut tree = after.clone();
    world.put_mode(&mut tree, "old.py", written.stubs[0].1.as_bytes(), 0o100_755);
    assert_found(&world.check(&[&before], &tree), &["error stub-mismatch old.py"]);
}

#[test]
fn swapped_bytes_are_found() {
    let Scene { mut world, before, after, .. } = scene();
    let mut swapped = before.clone();
    world.put(&mut swapped, "old.py", b"precious()\n");
    assert_found(&world.check(&[&swapped], &after), &["error stub-mismatch old.py"]);
    // In a merge the bytes of one parent are enough.
    assert_found(&world.check(&[&swapped, &before], &after), &[]);
    // The mode was archived too.
    let mut executable = before.clone();
    world.put_mode(&mut executable, "old.py", OLD, 0o100_755);
    assert_found(&world.check(&[&executable], &after), &["error stub-mismatch old.py"]);
}

#[test]
fn dirty_bytes_are_only_warned_about() {
    let Scene { mut world, before, after, .. } = scene_with(|record| record.dirty = true);
    assert_found(&world.check(&[&before], &after), &[]);
    let mut swapped = before.clone();
    world.put(&mut swapped, "old.py", b"what was committed\n");
    assert_found(&world.check(&[&swapped], &after), &["warning stub-mismatch old.py"]);
}

#[test]
fn a_new_path_is_compared_with_the_commit_of_the_record() {
    let Scene { mut world, before, after, commit, .. } = scene();
    let mut without = before.clone();
    without.files.remove(&path("old.py"));
    assert_found(&world.check(&[&without], &after), &[]);
    // A commit that has other bytes, or nothing, at the path.
    world.commits.insert(commit, without.clone());
    assert_found(&world.check(&[&without], &after), &["error stub-mismatch old.py"]);
    let mut other = without.clone();
    world.put(&mut other, "old.py", b"other bytes\n");
    world.commits.insert(commit, other);
    assert_found(&world.check(&[&without], &after), &["error stub-mismatch old.py"]);
    // A commit that git does not have.
    world.commits.remove(&commit);
    assert_found(&world.check(&[&without], &after), &["warning unproven old.py"]);
}

#[test]
fn a_moved_stub_is_a_warning_and_a_copy_a_duplicate() {
    let Scene { mut world, after, written, .. } = scene();
    let mut moved = after.clone();
    let entry = moved.files.remove(&path("old.py")).expect("is there");
    moved.files.insert(path("lib/old.py"), entry);
    assert_found(&world.check(&[&after], &moved), &["warning stub-moved lib/old.py"]);
    // It was proven when it came: that the record's commit is gone by now does not matter.
    let commits = std::mem::take(&mut world.commits);
    assert_found(&world.check(&[&after], &moved), &["warning stub-moved lib/old.py"]);
    world.commits = commits;
    let mut copied = after.clone();
    world.put(&mut copied, "lib/old.py", written.stubs[0].1.as_bytes());
    let expected = ["warning stub-duplicate lib/old.py", "warning stub-moved lib/old.py"];
    assert_found(&world.check(&[&after], &copied), &expected);
    assert_found(&world.check(&[], &copied), &expected);
}

#[test]
fn an_overwritten_stub_needs_an_account() {
    let Scene { mut world, after, written, .. } = scene();
    let mut overwritten = after.clone();
    world.put(&mut overwritten, "old.py", b"something else\n");
    assert_found(&world.check(&[&after], &overwritten), &["error stub-removed old.py"]);
    // The archived bytes are back.
    let mut undone = after.clone();
    world.put(&mut undone, "old.py", OLD);
    assert_found(&world.check(&[&after], &undone), &[]);
    // A record that the edge adds says so; one that was there before does not.
    for action in [Action::Restore, Action::BatchRestore, Action::Purge] {
        let mut accounted = overwritten.clone();
        let evidence = account(action, 2, written.tombstones[0]);
        world.put_evidence(&mut accounted, "", &evidence);
        assert_found(&world.check(&[&after], &accounted), &[]);
        let mut earlier = after.clone();
        world.put_evidence(&mut earlier, "", &evidence);
        assert_found(&world.check(&[&earlier], &accounted), &["error stub-removed old.py"]);
    }
    for (action, tombstone) in [
        (Action::HoldSet, written.tombstones[0]),
        (Action::Restore, "16bd3d4a-ba15-592c-ad02-cf17c8d16883".parse().expect("is a tombstone")),
    ] {
        let mut accounted = overwritten.clone();
        world.put_evidence(&mut accounted, "", &account(action, 2, tombstone));
        assert_found(&world.check(&[&after], &accounted), &["error stub-removed old.py"]);
    }
    // The stub stands elsewhere, and did before.
    let mut copied = after.clone();
    world.put(&mut copied, "lib/old.py", written.stubs[0].1.as_bytes());
    let mut replaced = copied.clone();
    world.put(&mut replaced, "old.py", b"something else\n");
    assert_found(&world.check(&[&copied], &replaced), &[]);
    // An exempt copy is no stub.
    replaced.exempt.insert(path("lib/old.py"));
    assert_found(&world.check(&[&copied], &replaced), &["error stub-removed old.py"]);
    // A symbolic link or a submodule is not the file.
    for mode in [0o120_000, 0o160_000] {
        let mut linked = after.clone();
        world.put_mode(&mut linked, "old.py", b"elsewhere", mode);
        assert_found(&world.check(&[&after], &linked), &["error stub-removed old.py"]);
    }
}

#[test]
fn a_deleted_stub_is_a_warning() {
    let Scene { world, after, .. } = scene();
    let mut deleted = after.clone();
    deleted.files.remove(&path("old.py"));
    assert_found(&world.check(&[&after], &deleted), &["warning stub-removed old.py"]);
}

#[test]
fn evidence_only_grows() {
    let scene = scene();
    let at = evidence_path(&scene);
    let Scene { mut world, before, after, written, .. } = scene;
    let mut lost = after.clone();
    lost.files.remove(&path(&at));
    assert_found(&world.check(&[&after], &lost), &[&format!("error evidence-rewritten {at}")]);
    // A revert brings the bytes back and loses the evidence.
    assert_found(&world.check(&[&after], &before), &[&format!("error evidence-rewritten {at}")]);
    // Every edge of a merge counts.
    assert_found(
        &world.check(&[&before, &after], &lost),
        &[&format!("error evidence-rewritten {at}"), "error stub-unknown old.py"][..1],
    );
    let mut changed = after.clone();
    let bytes = [written.evidence.bytes(), b"\n"].concat();
    world.put(&mut changed, &at, &bytes);
    let expected = [format!("error evidence-rewritten {at}"), format!("error evidence-broken {at}")];
    assert_found(&world.check(&[&after], &changed), &expected.each_ref().map(String::as_str));
    // Mending is no rewriting: what was broken is no evidence.
    assert_found(&world.check(&[&changed], &after), &[]);
    let mut executable = after.clone();
    world.put_mode(&mut executable, &at, written.evidence.bytes(), 0o100_755);
    assert_found(&world.check(&[&after], &executable), &expected.each_ref().map(String::as_str));
    assert_found(&world.check(&[&executable], &after), &[]);
}

#[test]
fn every_changed_byte_of_evidence_is_found() {
    let scene = scene();
    let at = evidence_path(&scene);
    let Scene { mut world, before, after, written, .. } = scene;
    let bytes = written.evidence.bytes().to_vec();
    for position in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[position] ^= 1;
        let mut tree = after.clone();
        world.put(&mut tree, &at, &bytes);
        let rules: Vec<Rule> = world.check(&[&before], &tree).iter().map(|finding| finding.rule).collect();
        assert!(
            rules.contains(&Rule::EvidenceBroken) && rules.contains(&Rule::StubUnknown),
            "byte {position}: {rules:?}"
        );
    }
}

#[test]
fn only_evidence_stands_where_evidence_stands() {
    let Scene { mut world, before, written, .. } = scene();
    let bytes = written.evidence.bytes();
    let name = written.evidence.path().to_string();
    let (_, file) = name.rsplit_once('/').expect("has a folder");
    for at in [
        ".codex/evidence/ops/README".to_owned(),
        ".codex/evidence/ops/2025/10/notes.jsonl".to_owned(),
        format!(".codex/evidence/ops/{file}"),
        format!(".codex/evidence/ops/2024/01/{file}"),
        format!("lib/.codex/evidence/ops/1/{file}"),
        name.replace(".codex", ".Codex"),
        name.replace("/ops/", "/OPS/"),
        name.replace(".codex", ".c\u{200d}odex"),
        ".codex".to_owned(),
        ".codex/evidence".to_owned(),
        ".codex/evidence/ops".to_owned(),
    ] {
        let mut tree = before.clone();
        world.put(&mut tree, &at, bytes);
        assert_found(&world.check(&[&before], &tree), &[&format!("error evidence-broken {at}")]);
        // Taking it away again is no loss.
        assert_found(&world.check(&[&tree], &before), &[]);
    }
    for mode in [0o120_000, 0o160_000, 0o100_755] {
        let mut tree = before.clone();
        world.put_mode(&mut tree, &name, bytes, mode);
        assert_found(&world.check(&[&before], &tree), &[&format!("error evidence-broken {name}")]);
    }
    let mut tree = before.clone();
    world.put(&mut tree, ".codex/archive.toml", b"");
    world.put(&mut tree, "lib/.codex/notes", b"");
    assert_found(&world.check(&[&before], &tree), &[]);
}

#[test]
fn the_broken_line_is_named() {
    let scene = scene();
    let mut text = String::from_utf8(scene.written.evidence.bytes().to_vec()).expect("is text");
    text.push_str("{}\n");
    let at = evidence_path_for(&scene.written, &Sha256::of(text.as_bytes()));
    let mut world = scene.world;
    let mut tree = scene.before.clone();
    world.put(&mut tree, &at, text.as_bytes());
    let findings = world.check(&[&scene.before], &tree);
    assert_found(&findings, &[&format!("error evidence-broken {at}")]);
    assert_eq!(findings[0].line, Some(2));
}

#[test]
fn a_predecessor_that_is_nowhere_is_a_warning_and_with_strict_an_error() {
    let Scene { mut world, before, written: first, .. } = scene();
    let mut tree = before.clone();
    world.put(&mut tree, "b.py", b"b\n");
    let commit = world.commit(&tree);
    let originals = [Original::new("b.py", b"b\n", id(b"b\n"), commit)];
    let second = archive(2, &originals, &[*first.evidence.sha256()]);
    let mut alone = tree.clone();
    world.put_all(&mut alone, &second);
    let at = second.evidence.path().to_string();
    assert_found(&world.check(&[&tree], &alone), &[&format!("warning evidence-broken {at}")]);
    let strict = world.outcome(&[&tree], &alone, None, true).findings;
    assert_found(&strict, &[&format!("error evidence-broken {at}")]);
    world.put_all(&mut alone, &first);
    assert_found(&world.outcome(&[&tree], &alone, None, true).findings, &[]);
}

#[test]
fn an_imported_subtree_verifies_where_it_is() {
    let Scene { mut world, before, after, written, .. } = scene();
    let mut host = Tree::default();
    world.put(&mut host, "host.c", b"int main;\n");
    let mut merged = host.clone();
    for (at, entry) in &after.files {
        merged.files.insert(path(&format!("vendor/{at}")), *entry);
    }
    assert_found(&world.check(&[&host, &after], &merged), &[]);
    assert_found(&world.check(&[], &merged), &[]);
    // A stub that stays where its evidence left is found.
    let mut torn = merged.clone();
    world.put(&mut torn, "old.py", written.stubs[0].1.as_bytes());
    let findings = world.check(&[&after], &torn);
    assert_found(&findings, &["error stub-unknown old.py", "warning stub-duplicate vendor/old.py"]);
    let _ = before;
}

#[test]
fn two_branches_that_each_archive_merge_clean() {
    let Scene { mut world, before, after: ours, .. } = scene();
    let commit = world.commit(&before);
    let bytes = b"print('new')\n";
    let written = archive(2, &[Original::new("new.py", bytes, id(bytes), commit)], &[]);
    let mut theirs = before.clone();
    world.put_all(&mut theirs, &written);
    let mut merged = ours.clone();
    world.put_all(&mut merged, &written);
    assert_found(&world.check(&[&ours, &theirs], &merged), &[]);
    // The same path archived on both sides: either stub will do, and both pieces of evidence stay.
    let again = archive(3, &[Original { commit, ..original(commit) }], &[]);
    let mut theirs = before.clone();
    world.put_all(&mut theirs, &again);
    let mut merged = ours.clone();
    world.put_evidence(&mut merged, "", &again.evidence);
    assert_found(&world.check(&[&ours, &theirs], &merged), &[]);
    // One archive in place of another, of the same bytes.
    let mut replaced = ours.clone();
    world.put_all(&mut replaced, &again);
    world.commits.clear();
    assert_found(&world.check(&[&ours], &replaced), &[]);
}

#[test]
fn exempt_paths_are_no_stubs() {
    let Scene { mut world, before, written, .. } = scene();
    let mut tree = before.clone();
    world.put(&mut tree, "fixtures/stub.py", written.stubs[0].1.as_bytes());
    assert_found(&world.check(&[&before], &tree), &["error stub-unknown fixtures/stub.py"]);
    tree.exempt.insert(path("fixtures/stub.py"));
    assert_found(&world.check(&[&before], &tree), &[]);
    let mut removed = tree.clone();
    world.put(&mut removed, "fixtures/stub.py", b"other");
    assert_found(&world.check(&[&tree], &removed), &[]);
    // A change cannot exempt what it overwrites.
    let mut unprotected = removed.clone();
    unprotected.exempt.clear();
    let mut stub = tree.clone();
    stub.exempt.clear();
    assert_found(&world.check(&[&stub], &removed), &["error stub-removed fixtures/stub.py"]);
    assert_found(&world.check(&[&stub], &unprotected), &["error stub-removed fixtures/stub.py"]);
    // Evidence is never exempt.
    let at = ".codex/evidence/ops/README";
    world.put(&mut tree, at, b"");
    tree.exempt.insert(path(at));
    assert_found(&world.check(&[&before], &tree), &[&format!("error evidence-broken {at}")]);
}

#[test]
fn what_is_missing_is_never_a_pass() {
    let scene = scene();
    let at = evidence_path(&scene);
    let Scene { world, before, after, written, .. } = scene;
    let without = |gone: &[u8]| {
        let mut blobs = world.blobs.clone();
        blobs.remove(&id(gone)).expect("is there");
        World { blobs, commits: world.commits.clone() }
    };
    for (gone, shown) in
        [(written.stubs[0].1.as_bytes(), "old.py"), (written.evidence.bytes(), at.as_str()), (OLD, "old.py")]
    {
        let findings = without(gone).check(&[&before], &after);
        assert_found(&findings, &[&format!("error history-incomplete {shown}")]);
        assert_eq!(findings[0].hint.as_deref(), Some("git fetch --unshallow"));
    }
}

proptest::proptest! {
    /// Whatever stands where stubs and evidence stand, and whatever stood there before, there is an answer.
    #[test]
    fn any_bytes_are_survived(
        stub in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        evidence in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        cut in 0..2000_usize,
    ) {
        let Scene { mut world, before, after, written, .. } = scene();
        let text = written.stubs[0].1.as_bytes();
        let mixed = [&text[..cut.min(text.len())], &stub].concat();
        let bytes = written.evidence.bytes();
        let broken = [&bytes[..cut.min(bytes.len())], &evidence].concat();
        let mut tree = after.clone();
        world.put(&mut tree, "old.py", &mixed);
        world.put(&mut tree, "raw.py", &stub);
        world.put(&mut tree, &written.evidence.path().to_string(), &broken);
        for (parent, child) in [(&before, &tree), (&after, &tree), (&tree, &after), (&tree, &before)] {
            world.check(&[parent], child);
        }
        proptest::prop_assert!(broken == bytes || !world.check(&[&after], &tree).is_empty());
    }
}
