//! Holds: each is released by itself, in the place where it stands, and until then the bytes stay.

use super::commands::{SECRET, archived, events, purge, request};
use crate::common::{Repo, World, assert_shown};

fn hold(repo: &Repo<'_>, target: &str, name: &str) {
    repo.tomb_ok(&["hold", "set", target, "--by", "Carol", "--name", name, "--reason", "Litigation"]);
}

/// Asserts that a purge is refused for want of nothing but the release of holds.
#[track_caller]
fn assert_held(repo: &Repo<'_>, holds: usize) {
    let refused = repo.tomb(&purge(SECRET, &["--apply", "--all-references"])).exits(4).stderr_text();
    let reasons: Vec<_> = refused.lines().filter(|line| line.contains("caused by:")).collect();
    assert!(reasons.len() == holds && reasons.iter().all(|reason| reason.contains("legal hold")), "{refused}");
    repo.tomb_ok(&["cat", SECRET]);
}

#[test]
fn holds_are_set_listed_and_released_one_by_one() {
    let world = World::new();
    let repo = archived(&world);
    assert_shown!(&world, repo.tomb(&["hold", "list"]), @r"
    exit: 0
    ----- stderr -----
    0 holds
    ");
    assert_shown!(&world, repo.tomb(&["hold", "set", SECRET, "--by", "Carol", "--reason", "Litigation", "--name", "CASE-7"]), @r"
    exit: 0
    ----- stdout -----
    held  [uuid]  project:docs/old.md
    ----- stderr -----
    its evidence is staged; commit it with `git commit`
    ");
    repo.tomb_ok(&["hold", "set", SECRET, "--by", "Dan", "--reason", "Audit"]);
    hold(&repo, "src/legacy/old.py", "CASE-8");
    assert_shown!(&world, repo.tomb(&["hold", "list"]), @r"
    exit: 0
    ----- stdout -----
    [date]  [uuid]  docs/old.md
        CASE-7  by Carol: Litigation
    [date]  [uuid]  docs/old.md
        by Dan: Audit
    [date]  [uuid]  src/legacy/old.py
        CASE-8  by Carol: Litigation
    ----- stderr -----
    3 holds
    ");
    assert_shown!(&world, repo.tomb(&["hold", "list", SECRET, "--json"]), @r#"
    exit: 0
    ----- stdout -----
    {"tombstone":"[uuid]","path":"docs/old.md","id":"[uuid]","name":"CASE-7","by":"Carol","reason":"Litigation","at":"[time]","in_archive":true,"evidence":".codex/evidence/ops/[time]-hold-set-[digest].jsonl"}
    {"tombstone":"[uuid]","path":"docs/old.md","id":"[uuid]","by":"Dan","reason":"Audit","at":"[time]","in_archive":true,"evidence":".codex/evidence/ops/[time]-hold-set-[digest].jsonl"}
    ----- stderr -----
    2 holds
    "#);
    let nul = repo.tomb_ok(&["hold", "list", "-z"]).stdout_text();
    let records: Vec<Vec<&str>> = nul.split_terminator('\0').map(|record| record.split('\t').collect()).collect();
    assert_eq!(records.len(), 3, "{nul:?}");
    for (record, path) in records.iter().zip([SECRET, SECRET, "src/legacy/old.py"]) {
        assert_eq!((record.len(), record[0], record[3], record[4]), (5, &*repo.tombstone_at(path), "both", path));
    }
    request(&repo, SECRET);
    assert_held(&repo, 2);
    assert_shown!(&world, repo.tomb(&["hold", "release", SECRET, "--reason", "Settled"]), @r"
    exit: 2
    ----- stderr -----
    error: item [uuid] is under several holds
      caused by: legal hold `CASE-7` of [date] by `Carol` on `docs/old.md`, in the archive and in evidence `.codex/evidence/ops/[time]-hold-set-[digest].jsonl` (Litigation)
      caused by: legal hold of [date] by `Dan` on `docs/old.md`, in the archive and in evidence `.codex/evidence/ops/[time]-hold-set-[digest].jsonl` (Audit)
    hint: name the case: `--name CASE-7`
    ");
    assert_shown!(&world, repo.tomb(&["hold", "release", SECRET, "--reason", "Settled", "--name", "CASE-9"]), @r"
    exit: 1
    ----- stderr -----
    error: item [uuid] is under no hold CASE-9
      caused by: legal hold `CASE-7` of [date] by `Carol` on `docs/old.md`, in the archive and in evidence `.codex/evidence/ops/[time]-hold-set-[digest].jsonl` (Litigation)
      caused by: legal hold of [date] by `Dan` on `docs/old.md`, in the archive and in evidence `.codex/evidence/ops/[time]-hold-set-[digest].jsonl` (Audit)
    ");
    assert_shown!(&world, repo.tomb(&["hold", "release", SECRET, "--reason", "Settled", "--name", "CASE-7"]), @r"
    exit: 0
    ----- stdout -----
    released  [uuid]  project:docs/old.md
    ----- stderr -----
    its evidence is staged; commit it with `git commit`
    ");
    assert_held(&repo, 1);
    repo.tomb_ok(&["hold", "release", SECRET, "--reason", "Done", "--name", ""]);
    assert_shown!(&world, repo.tomb(&["hold", "release", SECRET, "--reason", "Done"]), @r"
    exit: 1
    ----- stderr -----
    error: item [uuid] is under no hold
    ");
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
    assert_shown!(&world, repo.tomb(&["hold", "set", SECRET, "--reason", "Too late"]), @r"
    exit: 4
    ----- stderr -----
    error: item [uuid] is purged
      caused by: the bytes were destroyed on [date], approved by `Ada <ada@example.org>` and `Bob <bob@example.org>` (Contains PII)
    hint: `git archive-tomb show [uuid]` tells the whole story
    ");
}

#[test]
fn a_hold_keeps_the_bytes_of_every_item_that_has_them() {
    let world = World::new();
    let repo = world.sample("project");
    repo.write("docs/copy.md", repo.read("docs/old.md"));
    repo.commit_all("copy");
    repo.tomb_ok(&["store", SECRET]);
    repo.tomb_ok(&["store", "docs/copy.md", "--legal-hold"]);
    repo.commit("archive");
    request(&repo, SECRET);
    assert_held(&repo, 1);
    assert_shown!(&world, repo.tomb(&["hold", "release", SECRET, "--reason", "Done"]), @r#"
    exit: 1
    ----- stderr -----
    error: item [uuid] is under no hold
      caused by: legal hold of [date] by `A Maintainer <maintainer@example.org>` on `docs/copy.md`, in the archive and in evidence `.codex/evidence/ops/[time]-archive-[digest].jsonl`
    hint: that one is of another item with the same bytes: `git archive-tomb hold release [uuid] --reason "<why>"`
    "#);
    repo.tomb_ok(&["hold", "release", "docs/copy.md", "--reason", "Done"]);
    repo.tomb_ok(&purge(SECRET, &["--apply", "--all-references"]));
}

#[test]
fn a_hold_that_is_released_and_set_again_holds_again() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    hold(&repo, SECRET, "CASE-7");
    repo.tomb_ok(&["hold", "release", SECRET, "--reason", "Settled"]);
    hold(&repo, SECRET, "CASE-7");
    assert_held(&repo, 1);
    assert_eq!((events(&repo, "HOLD_SET").len(), events(&repo, "HOLD_RELEASED").len()), (2, 1));
    repo.tomb_ok(&["hold", "release", SECRET, "--reason", "Settled"]);
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
}

#[test]
fn a_hold_of_another_clone_counts_from_any_branch_that_is_fetched() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    repo.commit("request");
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");
    clone.git(&["switch", "-q", "-c", "hold"]);
    let set = clone.tomb(&["hold", "set", SECRET, "--by", "Carol", "--reason", "Litigation"]).exits(0);
    assert!(set.stderr_text().contains("there is no archive here"), "{set}");
    clone.commit("hold");
    repo.git(&["fetch", "-q", "../clone", "hold:refs/remotes/clone/hold"]);
    assert_held(&repo, 1);
    assert!(repo.tomb_ok(&["hold", "list"]).stdout_text().contains("[in evidence only]"));
    // Where it is released, it is on the way here as well.
    clone.tomb_ok(&["hold", "release", SECRET, "--reason", "Settled"]);
    clone.commit("release");
    assert_held(&repo, 1);
    repo.git(&["fetch", "-q", "../clone", "hold:refs/remotes/clone/hold"]);
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
}

#[test]
fn evidence_that_cannot_be_read_is_named_whatever_is_listed() {
    let world = World::new();
    let repo = archived(&world);
    hold(&repo, SECRET, "CASE-7");
    let evidence = repo.git(&["diff", "--cached", "--name-only", "--", ".codex/evidence/ops"]);
    let text = repo.read_text(evidence.trim());
    repo.write(evidence.trim(), text.replace("Litigation", "Nothing"));
    repo.git(&["add", "--", evidence.trim()]);
    for arguments in [&["hold", "list"][..], &["hold", "list", SECRET]] {
        let warned = repo.tomb_ok(arguments).stderr_text();
        assert!(warned.contains("may set a hold and cannot be read"), "{arguments:?}: {warned}");
    }
}

#[test]
fn evidence_of_a_hold_that_the_archive_never_heard_of_is_released_here() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    repo.commit("request");
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");
    hold(&clone, SECRET, "CASE-7");
    clone.commit("hold");
    repo.git(&["pull", "-q", "../clone", "main"]);
    assert_held(&repo, 1);
    repo.tomb_ok(&["hold", "release", SECRET, "--name", "CASE-7", "--reason", "Settled"]);
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
}
