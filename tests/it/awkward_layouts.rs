//! Repositories that are laid out or stored in unusual ways.

use crate::common::{Repo, World};

/// Archives, commits, restores and commits a file, seen from `at`, which may be anywhere in the working tree.
#[track_caller]
fn round_trip(at: &Repo<'_>, argument: &str, path: &str) {
    let top = at.top();
    let original = top.read(path);
    let entry = top.git(&["ls-files", "-s", "--", path]);
    let commit = top.git(&["rev-parse", "HEAD"]);
    let stored = at.store(&[argument], &[path]).json();
    assert_eq!(stored[0]["path"], path);
    assert_eq!(stored[0]["commit"], commit.as_str());
    assert!(top.read_text(path).contains("git-archive-tomb stub v1"));
    assert_eq!(top.tomb_ok(&["list", "--json"]).json()[0]["path"], path);
    let status = &top.tomb_ok(&["status", "--json"]).json()[0];
    assert_eq!((&status["stubs"], &status["nowhere"], &status["malformed"]), (&1.into(), &0.into(), &0.into()));
    assert_eq!(at.tomb_ok(&["cat", argument]).stdout, original);
    at.restore(&[argument], &[path]);
    assert_eq!(top.read(path), original);
    assert_eq!(top.git(&["ls-files", "-s", "--", path]), entry);
    assert_eq!(top.git(&["diff", "--stat", &commit, "--", ".", ":(exclude).codex"]), "");
}

#[test]
fn paths_are_named_from_the_folder_where_the_user_stands() {
    let world = World::new();
    let repo = world.sample("app");
    round_trip(&repo.below("src"), "legacy/old.py", "src/legacy/old.py");
    round_trip(&repo.below("src/legacy"), "../../docs/old.md", "docs/old.md");
}

#[test]
fn a_folder_named_with_the_global_option_is_where_paths_start() {
    let world = World::new();
    let repo = world.sample("app");
    let outside = world.at("elsewhere");
    std::fs::create_dir(&outside.path).unwrap();
    outside.tomb_ok(&["-C", "../app/src", "store", "legacy/old.py"]);
    repo.commit("archive");
    repo.assert_sound();
    outside.tomb_ok(&["-C", "../app", "-C", "src", "restore", "legacy/old.py", "copy.py"]);
    assert_eq!(repo.read_text("src/copy.py").trim_end(), repo.git(&["show", "HEAD~1:src/legacy/old.py"]));
}

#[test]
fn linked_worktrees_share_archive_log_and_journal() {
    let world = World::new();
    let repo = world.sample("app");
    repo.git(&["worktree", "add", "-q", "-b", "side", "../side"]);
    let side = world.at("side");
    round_trip(&side.below("docs"), "old.md", "docs/old.md");
    assert_eq!(repo.tomb_ok(&["list", "--json"]).json()[0]["repo"], "app", "named after the main working tree");
    assert!(repo.exists(".git/archive-tomb/archive.sqlite"));
    let log = repo.read(".git/archive-tomb/archive_ops.jsonl");
    assert_eq!(side.read(".codex/evidence/archive_ops.jsonl"), log, "the link of the worktree leads there");
    // The other working tree is as it was.
    assert_eq!(repo.status(), "");
    assert!(!repo.exists(".codex/evidence/ops"));
    repo.store(&["src/legacy/run.sh"], &["src/legacy/run.sh"]);
    assert_eq!(side.tomb_ok(&["list", "--json"]).json().len(), 2);

    // A store that was killed in one is known in the other, which cannot finish it.
    let killed = side.with("GIT_ARCHIVE_TOMB_FAULT", "files").tomb(&["store", "README.md"]);
    assert_eq!(killed.code, None);
    assert!(repo.tomb_ok(&["status"]).stderr_text().contains("stopped half-way"));
    repo.tomb(&["doctor", "--continue"]).exits(1);
    assert!(side.tomb(&["store", "src/keep.py"]).exits(1).stderr_text().contains("doctor --continue"));
    side.tomb_ok(&["doctor", "--continue"]);
    side.commit("archive");
    side.assert_sound();
}

#[test]
fn a_bare_repository_with_worktrees_has_one_archive() {
    let world = World::new();
    world.sample("origin").git(&["clone", "-q", "--bare", ".", "../app.git"]);
    let bare = world.at("app.git");
    bare.git(&["remote", "remove", "origin"]);
    bare.git(&["worktree", "add", "-q", "../one", "main"]);
    let one = world.at("one");
    round_trip(&one, "docs/old.md", "docs/old.md");
    assert!(bare.exists("archive-tomb/archive.sqlite"));
    let listed = bare.tomb_ok(&["list", "--json"]).json();
    assert_eq!(listed[0]["repo"], "app");
    let tombstone = listed[0]["tombstone"].as_str().unwrap();
    assert_eq!(bare.tomb_ok(&["cat", tombstone]).stdout, one.read("docs/old.md"));
}

#[test]
fn a_bare_repository_reads_and_refuses_to_store() {
    let world = World::new();
    let repo = world.sample("app");
    let original = repo.read("docs/old.md");
    let stored = repo.store(&["docs/old.md"], &["docs/old.md"]).json();
    let tombstone = stored[0]["tombstone"].as_str().unwrap();
    repo.git(&["clone", "-q", "--bare", ".", "../app.git"]);
    let bare = world.at("app.git");
    let refused = bare.tomb(&["store", "README.md"]).exits(2).stderr_text();
    assert!(refused.contains("hint: run this in a working tree"), "{refused}");
    bare.tomb(&["restore", tombstone]).exits(2);
    assert!(bare.tomb(&["list"]).exits(6).stderr_text().contains("init"), "a clone has no archive");
    assert_eq!(bare.tomb_ok(&["restore", tombstone, "-"]).stdout, original, "from history, by the evidence of HEAD");
    bare.tomb_ok(&["verify", "--all"]);
    for command in [&["status"][..], &["hooks", "status"], &["config-show"], &["health-check"], &["evidence", "log"]] {
        let run = bare.tomb(command);
        assert!(matches!(run.code, Some(0 | 1 | 6)), "{command:?}: {run}");
    }
    assert_eq!(repo.tomb_ok(&["cat", tombstone]).stdout, original);
}

#[test]
fn git_dir_and_work_tree_of_the_environment_are_followed() {
    let world = World::new();
    let repo = world.sample("app");
    let elsewhere = world.at("elsewhere");
    std::fs::create_dir(&elsewhere.path).unwrap();
    let git_dir = repo.path.join(".git");
    round_trip(&repo.with("GIT_DIR", &git_dir).with("GIT_WORK_TREE", &repo.path), "docs/old.md", "docs/old.md");
    // From outside of the working tree paths start at its top, as git has it.
    let outside = elsewhere.with("GIT_DIR", &git_dir).with("GIT_WORK_TREE", &repo.path);
    outside.tomb_ok(&["-C", repo.path.to_str().unwrap(), "store", "src/legacy/run.sh"]);
    repo.commit("archive");
    repo.assert_sound();
}

#[test]
fn a_git_directory_elsewhere_holds_the_archive() {
    let world = World::new();
    let real = world.at("real.git");
    let repo = world.init_with("app", &["--separate-git-dir", real.path.to_str().unwrap()]);
    repo.write("a.txt", "a\n");
    repo.commit_all("first");
    round_trip(&repo, "a.txt", "a.txt");
    assert!(real.exists("archive-tomb/archive.sqlite"));
}

#[test]
fn a_submodule_is_a_repository_of_its_own() {
    let world = World::new();
    world.sample("library");
    let repo = world.sample("app");
    repo.git(&["submodule", "--quiet", "add", "../library", "vendor/library"]);
    repo.commit("add the library");
    let inside = repo.below("vendor/library");
    round_trip(&inside, "docs/old.md", "docs/old.md");
    assert!(repo.exists(".git/modules/vendor/library/archive-tomb/archive.sqlite"));
    assert!(!repo.exists(".git/archive-tomb"));
}

#[test]
fn every_object_and_reference_format_works() {
    let world = World::new();
    let reftable = world.at("probe").command("git").current_dir("/").args(["--version"]).output().unwrap();
    let reftable = String::from_utf8(reftable.stdout).unwrap();
    let minor: u32 = reftable.split('.').nth(1).unwrap().parse().unwrap();
    let mut formats = vec![("sha256", "--object-format=sha256")];
    if minor >= 45 {
        formats.push(("reftable", "--ref-format=reftable"));
    }
    for (name, option) in formats {
        let repo = world.init_with(name, &[option]);
        repo.write("a.txt", "a\n");
        repo.write("b.txt", "b\n");
        repo.commit_all("first");
        round_trip(&repo, "a.txt", "a.txt");
        repo.tomb_ok(&["hooks", "install"]);
        repo.tomb_ok(&["store", "b.txt"]);
        repo.git(&["commit", "-q", "-m", "archive, past the hook"]);
        repo.assert_sound();
        // In a clone that has no archive, history gives the bytes back.
        repo.git(&["clone", "-q", ".", &format!("../{name}-clone")]);
        let clone = world.at(&format!("{name}-clone"));
        clone.tomb_ok(&["restore", "--by", "B", "b.txt"]);
        assert_eq!(clone.read("b.txt"), b"b\n");
    }
}

/// A repository whose sparse checkout has `src` and leaves `docs` out.
fn sparse<'w>(world: &'w World, option: &str) -> Repo<'w> {
    let repo = world.sample("app");
    repo.git(&["sparse-checkout", "set", "--cone", option, "src"]);
    assert!(!repo.exists("docs"));
    repo
}

#[test]
fn a_sparse_checkout_keeps_what_it_leaves_out() {
    for option in ["--no-sparse-index", "--sparse-index"] {
        let world = World::new();
        let repo = sparse(&world, option);
        let sparse_dirs = |repo: &Repo<'_>| repo.git(&["ls-files", "--sparse", "-t"]);
        let before = sparse_dirs(&repo);
        let refused = repo.tomb(&["store", "docs", "src/legacy"]).exits(1).stderr_text();
        assert!(refused.contains("docs/old.md: is outside the sparse checkout"), "{refused}");
        assert!(!refused.contains("--repo"), "docs is a path, though not in the tree: {refused}");
        assert!(refused.contains("git sparse-checkout add"), "{refused}");
        round_trip(&repo, "src/legacy/old.py", "src/legacy/old.py");
        // What is outside can be archived without a stub, and is not checked out by that.
        repo.store(&["--keep", "docs/old.md"], &[]);
        assert!(!repo.exists("docs"));
        let after = sparse_dirs(&repo);
        for line in before.lines() {
            assert!(after.lines().any(|other| other == line), "{line}: {after}");
        }
    }
}

#[test]
fn the_way_out_of_a_sparse_checkout_that_is_named_works() {
    let world = World::new();
    let repo = sparse(&world, "--sparse-index");
    repo.tomb(&["store", "docs/old.md"]).exits(1);
    repo.git(&["sparse-checkout", "add", "docs"]);
    round_trip(&repo, "docs/old.md", "docs/old.md");
}

#[test]
fn a_stub_outside_of_the_sparse_checkout_is_restored_into_the_tree() {
    let world = World::new();
    let repo = world.sample("app");
    let original = repo.read("docs/old.md");
    repo.store(&["docs/old.md"], &["docs/old.md"]);
    repo.git(&["sparse-checkout", "set", "--cone", "src"]);
    assert!(!repo.exists("docs"));
    assert_eq!(repo.tomb_ok(&["cat", "docs/old.md"]).stdout, original);
    repo.tomb_ok(&["restore", "docs/old.md"]);
    assert_eq!(repo.read("docs/old.md"), original);
    repo.commit("restore");
    repo.assert_sound();
}

#[test]
fn a_split_index_stays_split() {
    let world = World::new();
    let repo = world.sample("app");
    repo.git(&["config", "core.splitIndex", "true"]);
    repo.git(&["update-index", "--split-index"]);
    let shared = |repo: &Repo<'_>| {
        let names = std::fs::read_dir(repo.path.join(".git")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("sharedindex.")).count()
    };
    assert_eq!(shared(&repo), 1);
    round_trip(&repo, "docs/old.md", "docs/old.md");
    assert!(shared(&repo) >= 1);
}

#[test]
fn a_shallow_clone_says_what_to_fetch() {
    let world = World::new();
    let repo = world.sample("app");
    let original = repo.read("docs/old.md");
    repo.store(&["docs/old.md"], &["docs/old.md"]);
    let url = format!("file://{}", repo.path.display());
    world.at("").git(&["clone", "-q", "--depth=1", &url, "shallow"]);
    let clone = world.at("shallow");
    let failed = clone.tomb(&["restore", "docs/old.md"]).exits(3).stderr_text();
    assert!(failed.contains("not in the part of git's history that is here"), "{failed}");
    assert!(failed.contains("hint: fetch the rest of the history: `git fetch --unshallow`"), "{failed}");
    assert!(clone.read_text("docs/old.md").contains("git-archive-tomb stub v1"));
    assert_eq!(clone.status(), "");
    clone.git(&["fetch", "-q", "--unshallow"]);
    clone.restore(&["docs/old.md"], &["docs/old.md"]);
    assert_eq!(clone.read("docs/old.md"), original);
    // What is there can be archived, however little history is; verify says what it could not see.
    world.at("").git(&["clone", "-q", "--depth=1", &url, "another"]);
    let another = world.at("another");
    let kept = another.read("src/keep.py");
    another.tomb_ok(&["store", "src/keep.py"]);
    another.commit("archive");
    let incomplete = another.tomb(&["verify", "--all"]).exits(1).stdout_text();
    assert!(incomplete.contains("error[history-incomplete]"), "{incomplete}");
    assert!(incomplete.contains("hint: git fetch --unshallow"), "{incomplete}");
    another.tomb_ok(&["restore", "src/keep.py"]);
    another.commit("restore");
    assert_eq!(another.read("src/keep.py"), kept);
    assert_eq!(another.status(), "");
    another.git(&["fetch", "-q", "--unshallow"]);
    another.assert_sound();
}

#[test]
fn a_partial_clone_fetches_what_it_needs() {
    let world = World::new();
    let repo = world.sample("app");
    let original = repo.read("docs/old.md");
    repo.store(&["docs/old.md"], &["docs/old.md"]);
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    repo.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let url = format!("file://{}", repo.path.display());
    world.at("").git(&["clone", "-q", "--filter=blob:none", &url, "partial"]);
    let clone = world.at("partial");
    clone.restore(&["docs/old.md"], &["docs/old.md"]);
    assert_eq!(clone.read("docs/old.md"), original);
    round_trip(&clone, "src/keep.py", "src/keep.py");
    // Where the remote is gone, the error names it.
    world.at("").git(&["clone", "-q", "--filter=blob:none", &url, "offline"]);
    let offline = world.at("offline");
    offline.git(&["remote", "set-url", "origin", "file:///nowhere/app"]);
    let before = offline.look();
    let failed = offline.tomb(&["restore", "docs/old.md"]);
    assert!(matches!(failed.code, Some(1 | 3)), "{failed}");
    assert!(failed.stderr_text().contains("fetch"), "{failed}");
    offline.look().assert_changed_only(&before, &[]);
}

#[test]
fn a_detached_head_is_as_good_as_a_branch() {
    let world = World::new();
    let repo = world.sample("app");
    repo.git(&["checkout", "-q", "--detach"]);
    round_trip(&repo, "docs/old.md", "docs/old.md");
}

#[test]
fn without_a_commit_there_is_nothing_to_archive() {
    let world = World::new();
    let repo = world.init("app");
    repo.write("a.txt", "a\n");
    repo.git(&["add", "-A"]);
    let before = repo.look();
    let refused = repo.tomb(&["store", "a.txt"]).exits(2).stderr_text();
    assert!(refused.contains("hint: there is no commit yet: commit first"), "{refused}");
    assert_eq!(repo.look(), before);
    repo.tomb_ok(&["status"]);
    repo.tomb_ok(&["evidence", "verify"]);
    repo.tomb(&["restore", "a.txt"]).exits(3);
    repo.commit("first");
    round_trip(&repo, "a.txt", "a.txt");
}

#[test]
fn outside_of_a_repository_that_is_said() {
    let world = World::new();
    let nowhere = world.at("nowhere");
    std::fs::create_dir(&nowhere.path).unwrap();
    let refused = nowhere.tomb(&["store", "a"]).exits(2).stderr_text();
    assert!(refused.contains("hint: go to a repository, or name one with `-C`"), "{refused}");
    nowhere.tomb(&["-C", "missing", "status"]).exits(2);
}

#[test]
fn the_repository_is_named_after_its_remote_or_its_folder() {
    let world = World::new();
    let repo = world.sample("folder");
    let name = || repo.tomb_ok(&["store", "--dry-run", "docs/old.md"]).json()[0]["repo"].as_str().unwrap().to_owned();
    assert_eq!(name(), "folder");
    for (url, expected) in [
        ("https://example.org/group/tool.git", "tool"),
        ("git@example.org:tool.git", "tool"),
        ("ssh://git@example.org/group/tool/", "tool"),
        ("../tool", "tool"),
    ] {
        repo.git(&["config", "remote.origin.url", url]);
        assert_eq!(name(), expected, "{url}");
    }
    let named = repo.tomb_ok(&["store", "--dry-run", "--repo", "other", "docs/old.md"]).json();
    assert_eq!(named[0]["repo"], "other");
}

#[test]
fn every_index_format_is_kept() {
    for (name, settings) in [
        ("version-4", &["update-index --index-version 4"][..]),
        ("untracked-cache", &["update-index --force-untracked-cache"]),
        ("skip-hash", &["config index.skipHash true"]),
        ("many-files", &["config feature.manyFiles true"]),
    ] {
        let world = World::new();
        let repo = world.sample(name);
        for setting in settings {
            repo.git(&setting.split(' ').collect::<Vec<_>>());
        }
        repo.status();
        let version = |repo: &Repo<'_>| repo.read(".git/index")[..8].to_vec();
        let before = version(&repo);
        round_trip(&repo, "docs/old.md", "docs/old.md");
        assert_eq!(version(&repo), before, "{name}");
    }
}

#[test]
fn git_finds_the_program_as_its_own_command() {
    let world = World::new();
    let repo = world.sample("app");
    repo.git(&["config", "alias.bury", "!git archive-tomb store"]);
    repo.below("src").git(&["archive-tomb", "store", "legacy"]);
    repo.git(&["-C", "docs", "-c", "archivetomb.stub.style=comment", "archive-tomb", "store", "old.md"]);
    repo.git(&["bury", "README.md"]);
    repo.commit("archive");
    repo.assert_sound();
    assert_eq!(repo.tomb_ok(&["list", "--json"]).json().len(), 4);
}

#[test]
fn where_modes_and_links_cannot_be_trusted_the_index_is() {
    let world = World::new();
    let repo = world.sample("app");
    std::os::unix::fs::symlink("docs/old.md", repo.path.join("link")).unwrap();
    let original = repo.commit_all("second");
    repo.git(&["config", "core.fileMode", "false"]);
    repo.git(&["config", "core.symlinks", "false"]);
    std::fs::remove_file(repo.path.join("link")).unwrap();
    repo.git(&["checkout", "-q", "--", "link"]);
    assert_eq!(repo.read("link"), b"docs/old.md", "git writes a file");
    repo.set_executable("docs/old.md");
    assert_eq!(repo.status(), "");
    let paths = ["docs/old.md", "link", "src/legacy/run.sh"];
    repo.store(&paths, &paths);
    repo.restore(&["."], &paths);
    assert_eq!(repo.git(&["diff", &original, "HEAD", "--", ".", ":(exclude).codex"]), "");
    repo.write("link", "docs/new.md");
    let stored = repo.store(&["--allow-dirty", "link"], &["link"]).json();
    assert_eq!(stored[0]["size_bytes"], 11);
    repo.restore(&["link"], &["link"]);
    assert!(repo.git(&["ls-files", "-s", "link"]).starts_with("120000 "), "still a link to git");
}

#[test]
fn replaced_objects_and_grafts_are_not_believed() {
    let world = World::new();
    let repo = world.sample("app");
    let original = repo.read("docs/old.md");
    let blob = repo.git(&["rev-parse", "HEAD:docs/old.md"]);
    repo.write("other", "something else\n");
    let other = repo.git(&["hash-object", "-w", "other"]);
    std::fs::remove_file(repo.path.join("other")).unwrap();
    repo.git(&["replace", &blob, &other]);
    repo.tomb_ok(&["store", "docs"]);
    assert_eq!(repo.tomb_ok(&["cat", "docs/old.md"]).stdout, original);
    repo.commit("archive");
    assert_eq!(repo.tomb_ok(&["restore", "--from", "history", "docs/old.md", "-"]).stdout, original);
}

#[test]
fn folders_with_awkward_names_hold_a_repository() {
    let world = World::new();
    for name in ["with space", "new\nline", "caf\u{e9}", "-dash", "%41 $HOME 'q'"] {
        let repo = world.sample(name);
        round_trip(&repo.below("src"), "legacy/run.sh", "src/legacy/run.sh");
    }
}
