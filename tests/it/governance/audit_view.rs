//! What is known of one item, told in order and from wherever it is known.

use serde_json::Value;

use crate::common::{Repo, World};

const PATH: &str = "docs/old.md";

fn actions(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["action"].as_str().unwrap()).collect()
}

fn shown(repo: &Repo<'_>, target: &str) -> Value {
    repo.tomb_ok(&["show", "--json", target]).json().remove(0)
}

#[test]
fn a_clone_without_an_archive_tells_the_story_from_its_evidence() {
    let world = World::new();
    let repo = world.sample("repo");
    repo.store(&[PATH, "--legal-hold", "--by", "Ada <ada@example.org>"], &[PATH]);
    let tombstone = repo.tombstone_at(PATH);
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");
    let here = shown(&repo, PATH);
    let there = shown(&clone, PATH);
    for key in ["tombstone", "repo", "path", "sha256", "size_bytes", "commit", "object", "mode"] {
        assert_eq!(here[key], there[key], "{key}");
    }
    let (here, there) = (here["events"].as_array().unwrap(), there["events"].as_array().unwrap());
    assert_eq!(actions(here), ["ARCHIVE"]);
    assert_eq!(actions(there), ["ARCHIVE"]);
    assert_eq!((&here[0]["in_archive"], &there[0]["in_archive"]), (&true.into(), &false.into()));
    for key in ["digest", "evidence", "ts", "actor", "legal_hold"] {
        assert_eq!(here[0][key], there[0][key], "{key}");
    }
    let text = clone.tomb_ok(&["show", &tombstone]).stdout_text();
    assert!(text.contains("archive      not here: this is what stub and evidence tell\n"), "{text}");
    assert!(text.contains("    by Ada <ada@example.org>: dead\n      under a legal hold\n"), "{text}");
    assert_eq!(clone.tomb_ok(&["evidence", "log", "--json", "--tombstone", &tombstone]).json(), *there);
}

#[test]
fn what_only_a_branch_tells_is_told_once_and_in_order() {
    let world = World::new();
    let repo = world.sample("repo");
    repo.store(&[PATH], &[PATH]);
    let tombstone = repo.tombstone_at(PATH);
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");
    clone.tomb_ok(&["restore", PATH, "--branch", "back", "--by", "Ben"]);
    repo.git(&["fetch", "-q", "../clone", "back:theirs"]);
    repo.restore(&[PATH, "--by", "Ada"], &[PATH]);

    let events = shown(&repo, &tombstone)["events"].clone();
    let events = events.as_array().unwrap();
    assert_eq!(actions(events), ["ARCHIVE", "RESTORE", "RESTORE"]);
    let told: Vec<_> = events[1..].iter().map(|event| (&event["actor"], &event["in_archive"])).collect();
    assert_eq!(told, [(&"Ben".into(), &false.into()), (&"Ada".into(), &true.into())]);
    let text = repo.tomb_ok(&["show", &tombstone]).stdout_text();
    assert_eq!(text.matches("only in 20").count(), 1, "{text}");

    // The log of this clone has its own intents, too; what stands in several places is told once.
    let log = repo.tomb_ok(&["evidence", "log", "--json", "--tombstone", &tombstone]).json();
    let done: Vec<_> = log.iter().filter(|event| event["status"] != "intent").cloned().collect();
    assert_eq!(actions(&done), ["ARCHIVE", "RESTORE", "RESTORE"]);
    let only = repo.tomb_ok(&["evidence", "log", "--json", "--tombstone", &tombstone, "--action", "ARCHIVE"]).json();
    assert!(!only.is_empty() && only.iter().all(|event| event["action"] == "ARCHIVE"));
}

#[test]
fn a_file_of_evidence_that_cannot_be_read_is_named_and_the_rest_is_told() {
    let world = World::new();
    let repo = world.sample("repo");
    repo.store(&[PATH], &[PATH]);
    let tombstone = repo.tombstone_at(PATH);
    let file = repo.git(&["ls-files", ".codex/evidence/ops"]);
    repo.git(&["checkout", "-q", "-b", "broken"]);
    repo.write(&file, "{}\n");
    repo.commit_all("broken");
    repo.git(&["checkout", "-q", "main"]);
    let run = repo.tomb_ok(&["show", "--json", &tombstone]);
    assert!(run.stderr_text().contains("is not known"), "{run}");
    assert_eq!(actions(run.json()[0]["events"].as_array().unwrap()), ["ARCHIVE"]);
    repo.tomb(&["evidence", "log", "--tombstone", &tombstone]).exits(1);
}
