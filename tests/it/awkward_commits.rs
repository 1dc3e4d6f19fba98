//! Commits that git makes in its own ways, with the hook installed.

use crate::common::{Repo, World};

fn hooked(world: &World) -> Repo<'_> {
    let repo = world.sample("app");
    repo.tomb_ok(&["init"]);
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-q", "-m", "init"]);
    repo
}

#[test]
fn committing_everything_with_dash_a_passes_the_hook() {
    let world = World::new();
    let repo = hooked(&world);
    repo.tomb_ok(&["store", "docs"]);
    repo.write("README.md", "# edited\n");
    repo.git(&["commit", "-q", "-a", "-m", "archive and edit"]);
    repo.assert_sound();
    repo.tomb_ok(&["restore", "docs"]);
    repo.git(&["commit", "-q", "-a", "-m", "restore"]);
    repo.assert_sound();
}

#[test]
fn committing_only_a_stub_is_stopped_with_the_command_that_commits_both() {
    let world = World::new();
    let repo = hooked(&world);
    let original = repo.read("docs/old.md");
    repo.tomb_ok(&["store", "docs"]);
    let head = repo.git(&["rev-parse", "HEAD"]);
    let run = repo.try_git(&["commit", "-q", "-m", "only the stub", "docs/old.md"]).exits(1);
    let said = format!("{}{}", run.stdout_text(), run.stderr_text());
    assert!(said.contains("evidence-missing"), "{said}");
    assert_eq!(repo.git(&["rev-parse", "HEAD"]), head);
    let command = said.lines().find_map(|line| line.trim().strip_prefix("hint: ")).unwrap();
    // As printed, but for the message that an editor would ask for.
    let command = command.trim_matches('`').replacen("git commit", "git commit -m both", 1);
    let committed = repo.command("sh").args(["-c", &command]).output().unwrap();
    assert!(committed.status.success(), "{command}: {}", String::from_utf8_lossy(&committed.stderr));
    repo.assert_sound();
    assert_eq!(repo.tomb_ok(&["cat", "docs/old.md"]).stdout, original);
}

#[test]
fn committing_another_path_leaves_the_archive_staged() {
    let world = World::new();
    let repo = hooked(&world);
    repo.tomb_ok(&["store", "docs"]);
    let staged = repo.git(&["diff", "--cached", "--name-only"]);
    repo.write("README.md", "# edited\n");
    repo.git(&["commit", "-q", "-m", "something else", "README.md"]);
    assert_eq!(repo.git(&["diff", "--cached", "--name-only"]), staged);
    repo.git(&["commit", "-q", "-m", "archive"]);
    repo.assert_sound();
}

#[test]
fn amending_keeps_evidence_and_stubs() {
    let world = World::new();
    let repo = hooked(&world);
    repo.tomb_ok(&["store", "docs"]);
    repo.git(&["commit", "-q", "-m", "archive"]);
    repo.tomb_ok(&["store", "src/legacy"]);
    repo.git(&["commit", "-q", "--amend", "-m", "archive both"]);
    repo.assert_sound();
}

#[test]
fn an_index_named_by_the_environment_is_the_one_that_counts() {
    let world = World::new();
    let repo = hooked(&world);
    let own = repo.read(".git/index");
    std::fs::copy(repo.path.join(".git/index"), repo.path.join(".git/other")).unwrap();
    let other = repo.with("GIT_INDEX_FILE", repo.path.join(".git/other"));
    other.tomb_ok(&["store", "docs"]);
    assert_eq!(repo.read(".git/index"), own, "nobody asked for that one");
    assert!(!repo.exists(".git/other.lock") && !repo.exists(".git/index.lock"));
    other.tomb_ok(&["verify", "--staged"]);
    assert_eq!(other.tomb_ok(&["cat", "docs/old.md"]).code, Some(0));
    other.git(&["commit", "-q", "-m", "archive"]);
    std::fs::copy(repo.path.join(".git/other"), repo.path.join(".git/index")).unwrap();
    repo.assert_sound();
}

#[test]
fn hooks_work_in_a_linked_worktree_and_below_a_folder() {
    let world = World::new();
    let repo = hooked(&world);
    repo.git(&["worktree", "add", "-q", "-b", "side", "../side"]);
    let side = world.at("side");
    side.below("src").tomb_ok(&["store", "legacy"]);
    side.below("src").git(&["commit", "-q", "-m", "archive"]);
    side.assert_sound();
    // A stub that lies is stopped there as well.
    let stub = side.read_text("src/legacy/run.sh").replace("size: ", "size: 1");
    side.write("src/legacy/run.sh", stub);
    side.git(&["add", "-A"]);
    let run = side.try_git(&["commit", "-q", "-m", "lie"]).exits(1);
    assert!(format!("{}{}", run.stdout_text(), run.stderr_text()).contains("stub-mismatch"), "{run}");
}

#[test]
fn two_branches_that_archive_merge_without_a_driver() {
    let world = World::new();
    let repo = hooked(&world);
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.tomb_ok(&["store", "docs"]);
    repo.git(&["commit", "-q", "-m", "archive docs"]);
    repo.git(&["checkout", "-q", "main"]);
    repo.tomb_ok(&["store", "src/legacy"]);
    repo.git(&["commit", "-q", "-m", "archive legacy"]);
    repo.git(&["merge", "-q", "--no-edit", "side"]);
    repo.assert_sound();
    repo.tomb_ok(&["restore", "."]);
    repo.git(&["commit", "-q", "-m", "restore"]);
    repo.assert_sound();
}
