//! The main job from end to end: archive, commit, restore from the archive, and from history in a fresh clone.

use crate::common::World;

#[test]
fn what_is_stored_and_committed_comes_back_bit_for_bit() {
    let world = World::new();
    let repo = world.sample("project");
    let original = repo.git(&["rev-parse", "HEAD"]);
    repo.tomb_ok(&["init"]);
    let stored = repo.tomb_ok(&["store", "src/legacy", "docs", "--reason", "legacy", "--tag", "old"]);
    let paths: Vec<_> = stored.json().iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(paths, ["docs/old.md", "src/legacy/old.py", "src/legacy/run.sh"]);
    assert!(repo.read_text("docs/old.md").starts_with("<!-- git-archive-tomb stub v1\n"));
    repo.git(&["commit", "-q", "-m", "archive"]);
    repo.git(&["clone", "-q", ".", "../clone"]);

    for (place, source) in [(repo, "archive"), (world.at("clone"), "history")] {
        let restored = place.tomb_ok(&["restore", ".", "--json"]);
        for item in restored.json() {
            assert_eq!(item["source"], source);
        }
        place.git(&["commit", "-q", "-m", "restore"]);
        assert_eq!(place.git(&["diff", &original, "--", ".", ":!.codex"]), "");
        assert_eq!(place.status().replace("?? .codex/archive.toml", ""), "");
        place.tomb_ok(&["evidence", "verify", "--strict"]);
    }
}

#[test]
fn the_same_content_stored_again_has_the_same_tombstone() {
    let world = World::new();
    let repo = world.sample("project");
    let commit = repo.git(&["rev-parse", "HEAD"]);
    let first = repo.tomb_ok(&["store", "docs/old.md"]).json();
    assert_eq!(first[0]["status"], "stored");
    assert_eq!(repo.tomb_ok(&["store", "docs/old.md"]).json()[0]["status"], "skipped", "a staged stub is a stub");
    repo.commit("archive");
    assert_eq!(repo.tomb_ok(&["store", "docs/old.md"]).json()[0]["status"], "skipped");
    repo.tomb_ok(&["restore", "docs/old.md"]);
    repo.commit("restore");
    let again = repo.tomb_ok(&["store", "docs/old.md", "--commit", &commit]).json();
    assert_eq!(again[0]["status"], "already-stored");
    assert_eq!(again[0]["tombstone"], first[0]["tombstone"]);
}

#[test]
fn the_hook_lets_honest_commits_through_and_stops_the_others() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["init"]);
    repo.tomb_ok(&["store", "src/legacy", "docs"]);
    // Git takes a path-limited commit from an index of its own, which lacks the staged evidence.
    let partial = repo.try_git(&["commit", "-m", "partial", "--", "docs/old.md"]).exits(1);
    assert!(partial.stderr_text().contains("evidence-missing"), "{partial}");
    repo.git(&["commit", "-m", "archive"]);
    repo.tomb_ok(&["verify", "--all", "--strict"]);

    repo.write("docs/old.md", repo.read_text("docs/old.md").replace("size: ", "size: 1"));
    let forged = repo.try_git(&["commit", "-a", "-m", "forged"]).exits(1);
    assert!(forged.stderr_text().contains("stub-mismatch"), "{forged}");
    repo.git(&["checkout", "-q", "HEAD", "--", "docs/old.md"]);

    repo.tomb_ok(&["restore", "docs/old.md"]);
    repo.git(&["commit", "-m", "restore"]);
    repo.tomb_ok(&["verify", "--all", "--strict", "--deep"]);
    repo.tomb_ok(&["verify", "--range", "HEAD~2..HEAD"]);
}

#[test]
fn two_branches_that_each_archive_something_merge_without_help() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["init"]);
    repo.commit("prepare");
    repo.git(&["checkout", "-q", "-b", "other"]);
    repo.tomb_ok(&["store", "docs"]);
    repo.git(&["commit", "-q", "-m", "archive docs"]);
    repo.git(&["checkout", "-q", "main"]);
    repo.tomb_ok(&["store", "src/legacy"]);
    repo.git(&["commit", "-q", "-m", "archive legacy"]);
    repo.git(&["merge", "-q", "-m", "merge", "other"]);
    repo.tomb_ok(&["verify", "--all", "--strict"]);
    // The next operation names both branches' evidence as its predecessors.
    repo.tomb_ok(&["restore", "docs"]);
    repo.git(&["commit", "-q", "-m", "restore"]);
    let evidence = repo.git(&["log", "-1", "--format=", "--name-only", "--", ".codex/evidence/ops"]);
    let first = repo.read_text(&evidence);
    let record: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    assert_eq!(record["prev"].as_array().unwrap().len(), 2);
    repo.tomb_ok(&["verify", "--all", "--strict"]);
}
