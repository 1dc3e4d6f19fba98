//! What is known of one item, told in order and from wherever it is known.

use git_archive_tomb::governance::record::hold_set;
use serde_json::Value;

use super::people::{allow, record};
use crate::common::{Repo, World, assert_shown};

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

#[test]
fn the_story_of_a_purged_item_is_told_whole_here_and_in_a_clone_without_an_archive() {
    let world = World::new();
    let repo = world.sample("project");
    repo.store(&[PATH, "--by", "Ada"], &[PATH]);
    let run = |arguments: &[&str]| {
        repo.tomb_ok(arguments);
        repo.commit(arguments[0]);
    };
    run(&["hold", "set", PATH, "--by", "Counsel", "--name", "CASE-7", "--reason", "a claim"]);
    run(&["hold", "release", PATH, "--by", "Counsel", "--name", "CASE-7", "--reason", "settled"]);
    run(&["prune-request", PATH, "--by", "Ada", "--reason", "Contains PII"]);
    run(&["approve", PATH, "--by", "Ben"]);
    run(&["purge", PATH, "--by", "Ada", "--second", "Ben", "--reason", "Contains PII", "--apply"]);
    let tombstone = repo.tombstone_at(PATH);
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");

    let all = ["ARCHIVE", "HOLD_SET", "HOLD_RELEASED", "PRUNE_REQUEST", "DELETE_APPROVED", "DELETE_APPROVED", "PURGE"];
    for place in [&repo, &clone] {
        let events = shown(place, &tombstone)["events"].clone();
        assert_eq!(actions(events.as_array().unwrap()), all);
        let log = place.tomb_ok(&["evidence", "log", "--json", "--tombstone", &tombstone]).json();
        let done: Vec<_> = log.into_iter().filter(|event| event["status"] != "intent").collect();
        assert_eq!(actions(&done), all);
        let text = place.tomb_ok(&["show", &tombstone]).stdout_text();
        assert!(text.contains(" by Ada and Ben: Contains PII\n"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("purged       20")), "{text}");
        let report = place.tomb_ok(&["report", "--governance", "--json"]).json().remove(0);
        assert_eq!((&report["purges"]["count"], &report["purges"]["first"][0]["second"]), (&1.into(), &"Ben".into()));
        assert_eq!((&report["requests"], &report["holds"]), (&Value::Array(vec![]), &Value::Array(vec![])));
        let residue = place.tomb_ok(&["show", "--residue", "--json", &tombstone]).json().remove(0);
        assert!(residue["places"].to_string().contains("\"branch\""), "{residue}");
        place.tomb_ok(&["export", "--proof", &tombstone, "../proof"]);
        let proof = world.at("proof");
        assert_eq!(proof.command("sh").arg("check.sh").status().unwrap().code(), Some(0));
        assert_eq!(proof.read_text("records.jsonl").lines().count(), all.len());
        std::fs::remove_dir_all(&proof.path).unwrap();
    }
    assert_shown!(&world, clone.tomb(&["show", &tombstone]), @r"
    exit: 0
    ----- stdout -----
    tombstone    [uuid]
    path         docs/old.md
    repo         project
    commit       [object]
    object       [object]
    sha256       [sha256]
    size         26 bytes
    mode         100644
    archive      not here: this is what stub and evidence tell
    purged       [time] by Ada and Ben: Contains PII
                 request [uuid]

    events
      [time]  ARCHIVE stored
          by Ada: dead
      [time]  HOLD_SET CASE-7
          by Counsel: a claim
          hold [uuid]
      [time]  HOLD_RELEASED CASE-7
          by Counsel: settled
          hold [uuid]
      [time]  PRUNE_REQUEST
          by Ada: Contains PII
          request [uuid]
      [time]  DELETE_APPROVED
          by Ben
          request [uuid]
      [time]  DELETE_APPROVED
          by Ada: Contains PII
          request [uuid]
      [time]  PURGE
          by Ada and Ben: Contains PII
          request [uuid]
    ");
}

#[test]
fn a_signature_is_named_by_its_principal_only_where_it_counts() {
    let world = World::new();
    let repo = world.sample("project");
    repo.store(&[PATH], &[PATH]);
    for person in ["ada", "eve"] {
        record(&repo, person, PATH, |facts, item| hold_set(facts, None, item, None, "a claim"));
    }
    let standing = || -> Vec<Value> {
        let events = shown(&repo, PATH)["events"].clone();
        events.as_array().unwrap()[1..].iter().map(|event| event["standing"].clone()).collect()
    };
    let why = "nobody is named whose signatures count";
    let rejected = serde_json::json!({ "signature": "rejected", "why": why });
    assert_eq!(standing(), [rejected.clone(), rejected]);
    repo.git(&["config", "gpg.ssh.allowedSignersFile", allow(&world, &["ada"]).to_str().unwrap()]);
    let standing = standing();
    assert_eq!((&standing[0]["signature"], &standing[0]["principal"]), (&"signed".into(), &"ada@example.org".into()));
    assert_eq!((&standing[1]["signature"], standing[1].get("principal")), (&"rejected".into(), None));
    let text = repo.tomb_ok(&["show", PATH]).stdout_text();
    assert!(text.contains("      signed by ada@example.org\n"), "{text}");
    assert!(!text.contains("signed by eve") && text.contains("      signature does not count: "), "{text}");
    // Where signatures are expected, it is said that there is none.
    repo.tomb_ok(&["hold", "set", PATH, "--by", "Mallory", "--reason", "a claim"]);
    assert!(!repo.tomb_ok(&["show", PATH]).stdout_text().contains("not signed"));
    repo.git(&["config", "archivetomb.governance.signed", "true"]);
    let text = repo.tomb_ok(&["show", PATH]).stdout_text();
    assert_eq!(text.matches("      not signed\n").count(), 1, "{text}");
}
