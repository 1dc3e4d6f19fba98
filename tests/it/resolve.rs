//! `resolve`: conflicts between what one side archived and the other changed, by the real git, with the hooks installed.
//! Each situation of `docs/conflicts.md` with each choice.

use crate::common::{Repo, Run, World, lines};

/// Returns a repository with a few committed files and hooks, whose first commit has the tag `start`.
fn project(world: &World) -> Repo<'_> {
    let repo = world.init("project");
    for path in ["a.py", "b.py", "c.py", "src/d.py"] {
        repo.write(path, lines(path));
    }
    repo.write("run.sh", format!("#!/bin/sh\n{}", lines("run")));
    repo.set_executable("run.sh");
    std::os::unix::fs::symlink("a.py", repo.path.join("link")).unwrap();
    repo.git(&["add", "-A"]);
    repo.tomb_ok(&["init"]);
    repo.git(&["config", "remote.origin.url", "https://example.org/sample.git"]);
    repo.git(&["commit", "-q", "-m", "start"]);
    repo.git(&["tag", "start"]);
    repo
}

/// What the file is like after somebody edited it.
fn edited(about: &str) -> String {
    lines(about).replace("line_3", "edited")
}

fn commit(repo: &Repo<'_>, message: &str) {
    repo.git(&["commit", "-q", "-m", message]);
}

/// Archives on a branch of that name, from `start`.
fn archives<'w>(repo: &Repo<'w>, paths: &[&str]) {
    repo.git(&["switch", "-q", "-C", "archives", "start"]);
    repo.tomb_ok(&[&["store"], paths].concat());
    commit(repo, "archive");
}

/// Makes a branch from `start`, with a commit of what `change` does.
fn branch(repo: &Repo<'_>, name: &str, change: impl FnOnce()) {
    repo.git(&["switch", "-q", "-C", name, "start"]);
    change();
    repo.git(&["add", "-A"]);
    commit(repo, name);
}

fn edits(repo: &Repo<'_>) {
    branch(repo, "edits", || repo.write("a.py", edited("a.py")));
}

/// Returns the findings of a verification as `severity rule path`.
fn verify(repo: &Repo<'_>, scope: &[&str]) -> Vec<String> {
    let run = repo.tomb(&[&["verify", "--json"], scope].concat());
    let told = |finding: serde_json::Value| {
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text("severity"), text("rule"), text("path"))
    };
    run.json().into_iter().map(told).collect()
}

const CLEAN: [&str; 0] = [];

/// Asserts that what was done since `start` verifies, with these findings along the way.
#[track_caller]
fn assert_verifies(repo: &Repo<'_>, findings: &[&str]) {
    assert_eq!(repo.status(), "");
    assert_eq!(verify(repo, &["--range", "start..HEAD"]), findings);
    repo.tomb_ok(&["verify", "--all", "--strict"]);
    repo.tomb_ok(&["evidence", "verify", "--strict"]);
}

/// Merges `other` into `into`, which ends in a conflict of just these paths.
#[track_caller]
fn conflict<'w>(repo: &Repo<'w>, into: &str, command: &[&str], paths: &[&str]) {
    repo.git(&["switch", "-q", "--detach", into]);
    let run = repo.try_git(command);
    assert_ne!(run.code, Some(0), "{run}");
    assert_eq!(unmerged(repo), paths, "{run}");
}

fn unmerged(repo: &Repo<'_>) -> Vec<String> {
    repo.git(&["diff", "--name-only", "--diff-filter=U"]).lines().map(str::to_owned).collect()
}

fn is_stub(repo: &Repo<'_>, path: &str) -> bool {
    repo.exists(path) && repo.read_text(path).contains("git-archive-tomb stub v1")
}

#[test]
fn a_merge_of_an_edit_with_an_archive_ends_either_way() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    let archived = repo.tombstone_at("a.py");
    edits(&repo);
    for (into, other) in [("archives", "edits"), ("edits", "archives")] {
        let merge = ["merge", "-q", other];
        conflict(&repo, into, &merge, &["a.py"]);
        let run = repo.tomb_ok(&["resolve", "a.py", "--keep-tomb"]);
        assert_eq!(run.stdout_text(), "a.py\n");
        let edit = repo.git(&["rev-parse", "edits"]);
        let said = run.stderr_text();
        assert!(said.contains(&format!("stays in commit {edit}, at a.py")), "{said}");
        assert!(said.contains("`git commit`"), "{said}");
        assert_eq!(repo.tombstone_at("a.py"), archived);
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_verifies(&repo, &CLEAN);

        conflict(&repo, into, &merge, &["a.py"]);
        repo.tomb_ok(&["resolve", "a.py", "--restore"]);
        assert_eq!(repo.read_text("a.py"), edited("a.py"));
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_verifies(&repo, &CLEAN);
        let shown = repo.tomb_ok(&["show", &archived, "--json"]).stdout_text();
        assert!(shown.contains("merged-with") && shown.contains(&edit), "{shown}");

        conflict(&repo, into, &merge, &["a.py"]);
        let run = repo.tomb_ok(&["resolve", "a.py", "--re-archive", "--json"]);
        let view = &run.json()[0];
        assert_eq!((view["path"].as_str(), view["status"].as_str()), (Some("a.py"), Some("archived")));
        assert_eq!(view["replaced"][0].as_str(), Some(&*archived));
        assert_eq!(view["tombstone"].as_str(), Some(&*repo.tombstone_at("a.py")));
        assert_ne!(repo.tombstone_at("a.py"), archived);
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_verifies(&repo, &CLEAN);
        // Both are known, and come back as they were.
        assert_eq!(repo.tomb_ok(&["cat", &archived]).stdout_text(), lines("a.py"));
        repo.tomb_ok(&["restore", "a.py"]);
        assert_eq!(repo.read_text("a.py"), edited("a.py"));
        commit(&repo, "restore");
        assert_verifies(&repo, &CLEAN);
    }
}
