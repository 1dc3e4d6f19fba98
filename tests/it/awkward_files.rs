//! How files stand when they are archived: what is refused, and that a refusal changes nothing.

use crate::common::{Repo, World};

/// Asserts that storing `arguments` is refused with exit 1 and changes nothing at all; returns what was said.
#[track_caller]
fn refused(repo: &Repo<'_>, arguments: &[&str]) -> String {
    let before = repo.look();
    let index = repo.read(".git/index");
    let run = repo.tomb(&[&["store"], arguments].concat()).exits(1);
    assert!(run.stdout.is_empty(), "{run}");
    assert_eq!(repo.look(), before);
    assert_eq!(repo.read(".git/index"), index);
    assert!(!repo.exists(".git/archive-tomb/archive.sqlite"));
    run.stderr_text()
}

#[test]
fn all_refusals_are_listed_at_once_and_nothing_changes() {
    let world = World::new();
    world.sample("library");
    let repo = world.sample("app");
    repo.write(".gitignore", "*.log\n");
    for name in ["modified", "missing", "staged", "deleted", "conflict", "good", "ready"] {
        repo.write(format!("{name}.txt"), "one\n");
    }
    repo.write("pointer.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
    repo.write("picture.psd", "pixels\n");
    repo.write("wide.txt", "one\n");
    repo.git(&["submodule", "--quiet", "add", "../library", "vendor/library"]);
    repo.commit_all("second");
    conflict(&repo, "conflict.txt");
    repo.write("modified.txt", "two\n");
    std::fs::remove_file(repo.path.join("missing.txt")).unwrap();
    repo.write("staged.txt", "two\n");
    repo.write("new.txt", "new\n");
    repo.git(&["add", "staged.txt", "new.txt"]);
    repo.git(&["rm", "-q", "--cached", "deleted.txt"]);
    repo.write("untracked.txt", "u\n");
    repo.write("noise.log", "u\n");
    repo.write(".git/info/attributes", "*.psd filter=lfs\nwide.txt working-tree-encoding=UTF-16\n");
    let said = refused(
        &repo,
        &[
            "good.txt",
            "modified.txt",
            "missing.txt",
            "staged.txt",
            "new.txt",
            "deleted.txt",
            "conflict.txt",
            "untracked.txt",
            "noise.log",
            "pointer.bin",
            "picture.psd",
            "wide.txt",
            "vendor",
            "nothing-here",
            ".codex/archive.toml",
        ],
    );
    insta::assert_snapshot!(world.filter(&said), @r#"
    error: 14 paths cannot be archived
      caused by: .codex/archive.toml: matches no tracked file
      caused by: conflict.txt: is in conflict
      caused by: deleted.txt: is in the commit but no longer in the index
      caused by: missing.txt: is missing from the working tree
      caused by: modified.txt: has local changes
      caused by: new.txt: is not in the commit
      caused by: noise.log: is ignored
      caused by: nothing-here: matches no tracked file
      caused by: picture.psd: has the attribute `filter=lfs`, which would change a stub
      caused by: pointer.bin: is a Git LFS pointer, not the content itself
      caused by: staged.txt: has staged changes that are not in the commit
      caused by: untracked.txt: is not tracked
      caused by: vendor/library: is a submodule
      caused by: wide.txt: has the attribute `working-tree-encoding=UTF-16`, which would change a stub
    hint: resolve the conflict and commit first
    hint: name the commit that holds it and archive only: `--keep`
    hint: bring it back first: `git checkout -- <path>`
    hint: commit or `git stash` the changes first, or archive them as they stand with `--allow-dirty`
    hint: commit first, or name the commit with `--commit`
    hint: commit it first: `git add -f -- <path> && git commit`
    hint: allow a stub there with this line in `.gitattributes` at the top: `/picture.psd -filter`
    hint: take it out of Git LFS first: `git lfs migrate export`
    hint: commit it first: `git add -- <path> && git commit`
    hint: archive the files in the submodule's own repository
    hint: allow a stub there with this line in `.gitattributes` at the top: `/wide.txt -working-tree-encoding`
    "#);
}

/// Leaves `path` in conflict.
fn conflict(repo: &Repo<'_>, path: &str) {
    repo.git(&["checkout", "-q", "-b", "other"]);
    repo.write(path, "theirs\n");
    repo.commit_all("theirs");
    repo.git(&["checkout", "-q", "main"]);
    repo.write(path, "ours\n");
    repo.commit_all("ours");
    repo.try_git(&["merge", "-q", "other"]).exits(1);
}

#[test]
fn a_conflict_elsewhere_is_no_obstacle_and_stays() {
    let world = World::new();
    let repo = world.sample("app");
    conflict(&repo, "README.md");
    let before = repo.look();
    repo.tomb_ok(&["store", "docs/old.md"]);
    repo.look().assert_changed_only(&before, &["docs/old.md"]);
    assert_eq!(repo.git(&["ls-files", "-u"]).lines().count(), 3);
    repo.git(&["checkout", "-q", "--ours", "README.md"]);
    repo.git(&["add", "README.md"]);
    repo.commit("merge");
    repo.assert_sound();
    repo.tomb_ok(&["restore", "docs/old.md"]);
}

#[test]
fn a_lock_on_the_index_is_named_and_nothing_changes() {
    let world = World::new();
    let repo = world.sample("app");
    repo.write(".git/index.lock", "");
    let before = repo.look();
    let said = repo.tomb(&["store", "docs/old.md"]).exits(1).stderr_text();
    assert!(said.contains("index.lock"), "{said}");
    assert!(said.contains("hint: wait for the other git command, or, if none runs, remove"), "{said}");
    repo.look().assert_changed_only(&before, &[]);
    std::fs::remove_file(repo.path.join(".git/index.lock")).unwrap();
    assert!(!repo.tomb_ok(&["status"]).stderr_text().contains("stopped half-way"), "it was taken back");
    repo.store(&["docs/old.md"], &["docs/old.md"]);
    repo.write(".git/index.lock", "");
    repo.tomb(&["restore", "docs/old.md"]).exits(1);
    assert!(repo.read_text("docs/old.md").contains("git-archive-tomb stub v1"));
    // Reading needs no lock.
    for command in ["status", "list"] {
        repo.tomb_ok(&[command]);
    }
    std::fs::remove_file(repo.path.join(".git/index.lock")).unwrap();
    repo.restore(&["docs/old.md"], &["docs/old.md"]);
}

#[test]
fn what_git_is_told_not_to_see_is_seen() {
    let world = World::new();
    let repo = world.sample("app");
    repo.git(&["update-index", "--assume-unchanged", "docs/old.md"]);
    repo.write("docs/old.md", "changed behind git's back\n");
    assert_eq!(repo.status(), "");
    assert!(refused(&repo, &["docs"]).contains("docs/old.md: has local changes"));

    repo.git(&["update-index", "--skip-worktree", "src/keep.py"]);
    repo.write("src/keep.py", "changed behind git's back\n");
    let said = refused(&repo, &["src/keep.py"]);
    assert!(said.contains("src/keep.py: is outside the sparse checkout"), "{said}");
    assert_eq!(repo.read("src/keep.py"), b"changed behind git's back\n");

    // As long as nothing changed, the flag is no obstacle.
    repo.git(&["update-index", "--no-assume-unchanged", "docs/old.md"]);
    repo.git(&["update-index", "--no-skip-worktree", "src/keep.py"]);
    repo.git(&["checkout", "-q", "--", "."]);
    repo.git(&["update-index", "--assume-unchanged", "docs/old.md"]);
    repo.store(&["docs/old.md"], &["docs/old.md"]);
}

#[test]
fn an_intended_addition_is_not_in_the_commit() {
    let world = World::new();
    let repo = world.sample("app");
    repo.write("empty.txt", "");
    repo.write("new.txt", "new\n");
    repo.git(&["add", "-N", "new.txt", "empty.txt"]);
    let said = refused(&repo, &["new.txt", "empty.txt"]);
    assert!(said.contains("new.txt: is not in the commit"), "{said}");
    assert!(said.contains("empty.txt: is not in the commit"), "{said}");
    // Others are archived beside it, and it stays intended.
    repo.tomb_ok(&["store", "docs"]);
    assert!(repo.status().contains(" A new.txt"), "{}", repo.status());
}

#[test]
fn a_file_replaced_by_a_folder_or_below_a_link_is_refused() {
    let world = World::new();
    let repo = world.sample("app");
    std::fs::remove_file(repo.path.join("docs/old.md")).unwrap();
    repo.write("docs/old.md/inner.txt", "inner\n");
    for arguments in [&["docs/old.md"][..], &["--allow-dirty", "docs/old.md"]] {
        let said = refused(&repo, arguments);
        assert!(said.contains("docs/old.md: "), "{said}");
    }
    std::fs::rename(repo.path.join("src"), repo.path.join("real")).unwrap();
    std::os::unix::fs::symlink("real", repo.path.join("src")).unwrap();
    for arguments in [&["src/keep.py"][..], &["--allow-dirty", "src/keep.py"]] {
        let said = refused(&repo, arguments);
        assert!(said.contains("src/keep.py: "), "{said}");
    }
}

#[test]
fn modes_links_and_empty_files_come_back_as_they_were() {
    let world = World::new();
    let repo = world.sample("app");
    repo.write("empty.dat", "");
    std::os::unix::fs::symlink("docs/old.md", repo.path.join("link")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at all", repo.path.join("dangling")).unwrap();
    let original = repo.commit_all("second");
    let paths = ["dangling", "empty.dat", "link", "src/legacy/run.sh"];
    let stored = repo.store(&paths, &paths).json();
    assert_eq!(stored[1]["size_bytes"], 0);
    for path in paths {
        let listed = repo.git(&["ls-files", "-s", "--", path]);
        assert!(listed.starts_with("100644 "), "a stub is never executable: {listed}");
        let metadata = repo.path.join(path).symlink_metadata().unwrap();
        assert!(metadata.is_file(), "{path}");
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111, 0, "{path}");
    }
    // A link is restored elsewhere as a link, and its target is what `cat` prints.
    assert_eq!(repo.tomb_ok(&["cat", "link"]).stdout, b"docs/old.md");
    repo.tomb_ok(&["restore", "link", "../copy-of-link"]);
    assert_eq!(std::fs::read_link(world.at("copy-of-link").path).unwrap().to_str(), Some("docs/old.md"));
    repo.tomb_ok(&["restore", "src/legacy/run.sh", "../run.sh"]);
    let mode = std::fs::metadata(world.at("run.sh").path).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o100, 0o100);
    repo.restore(&["."], &paths);
    assert_eq!(repo.git(&["diff", &original, "--", ".", ":(exclude).codex"]), "");
    assert_eq!(std::fs::read_link(repo.path.join("dangling")).unwrap().to_str(), Some("/nowhere/at all"));
}

#[test]
fn a_locally_modified_file_is_archived_as_it_stands_where_that_is_allowed() {
    let world = World::new();
    let repo = world.sample("app");
    repo.write("docs/old.md", "# Old\n\nEdited, never committed.\n");
    let said = refused(&repo, &["docs/old.md"]);
    assert!(said.contains("hint: commit or `git stash` the changes first"), "{said}");
    assert!(said.contains("--allow-dirty"), "{said}");
    let stored = repo.store(&["--allow-dirty", "docs"], &["docs/old.md"]).json();
    let (tombstone, object) = (stored[0]["tombstone"].as_str().unwrap(), stored[0]["object"].as_str().unwrap());
    let record = repo.tomb_ok(&["evidence", "log", "--json", "--tombstone", tombstone]).json();
    assert_eq!(record[0]["dirty"], true);
    assert_eq!(repo.tomb_ok(&["show", "--json", tombstone]).json()[0]["dirty"], true);

    // Nothing in history holds these bytes: a reference does, or git would drop them.
    let reference = repo.git(&["for-each-ref", "--format=%(refname) %(objectname)", "refs/archive-tomb/"]);
    assert_eq!(reference, format!("refs/archive-tomb/dirty/{tombstone} {object}"));
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    repo.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(
        repo.tomb_ok(&["restore", "--from", "history", tombstone, "-"]).stdout,
        b"# Old\n\nEdited, never committed.\n"
    );
    assert!(repo.tomb_ok(&["status"]).stdout_text().contains("only on this machine"));

    repo.restore(&["docs/old.md"], &["docs/old.md"]);
    assert_eq!(repo.read("docs/old.md"), b"# Old\n\nEdited, never committed.\n");
}

#[test]
fn an_unmodified_file_leaves_no_reference() {
    let world = World::new();
    let repo = world.sample("app");
    let stored = repo.store(&["--allow-dirty", "docs"], &["docs/old.md"]).json();
    let tombstone = stored[0]["tombstone"].as_str().unwrap();
    assert!(repo.tomb_ok(&["show", "--json", tombstone]).json()[0].get("dirty").is_none_or(|dirty| dirty == false));
    assert_eq!(repo.git(&["for-each-ref", "refs/archive-tomb/"]), "");
}

#[test]
fn a_changed_mode_or_type_is_a_local_change_that_can_be_archived() {
    let world = World::new();
    let repo = world.sample("app");
    repo.set_executable("docs/old.md");
    std::fs::remove_file(repo.path.join("src/legacy/old.py")).unwrap();
    std::os::unix::fs::symlink("../keep.py", repo.path.join("src/legacy/old.py")).unwrap();
    let said = refused(&repo, &["docs", "src/legacy/old.py"]);
    assert!(said.contains("docs/old.md: has local changes"), "{said}");
    assert!(said.contains("src/legacy/old.py: has local changes"), "{said}");
    let paths = ["docs/old.md", "src/legacy/old.py"];
    repo.store(&["--allow-dirty", "docs", "src/legacy/old.py"], &paths);
    repo.restore(&["."], &paths);
    let listed = repo.git(&["ls-files", "-s", "--", "docs/old.md", "src/legacy/old.py"]);
    let modes: Vec<_> = listed.lines().map(|line| &line[..6]).collect();
    assert_eq!(modes, ["100755", "120000"]);
}

#[test]
fn a_killed_store_of_a_modified_file_loses_nothing() {
    let world = World::new();
    for point in ["references", "files", "index"] {
        for (option, expected) in [("--abort", "edited\n"), ("--continue", "stub")] {
            let repo = world.sample(&format!("{point}{option}"));
            repo.write("docs/old.md", "edited\n");
            let killed = repo.with("GIT_ARCHIVE_TOMB_FAULT", point).tomb(&["store", "--allow-dirty", "docs"]);
            assert_eq!(killed.code, None, "{killed}");
            let run = repo.tomb(&["doctor", option]);
            if point == "index" && option == "--abort" {
                run.exits(1);
                continue;
            }
            run.exits(0);
            let found = repo.read_text("docs/old.md");
            if expected == "stub" {
                assert!(found.contains("git-archive-tomb stub v1"), "{point}");
                assert_eq!(repo.tomb_ok(&["restore", "docs/old.md", "-"]).stdout, b"edited\n");
            } else {
                assert_eq!(found, expected, "{point}");
                let tracked = repo.git(&["status", "--short", "--untracked-files=no"]);
                assert_eq!(tracked, " M docs/old.md", "{point}");
            }
        }
    }
}

#[test]
fn keeping_archives_and_leaves_the_tree_alone() {
    let world = World::new();
    let repo = world.sample("app");
    let committed = repo.read("docs/old.md");
    let sha = |repo: &Repo<'_>, run: &[&str]| repo.tomb_ok(run).json()[0]["sha256"].as_str().unwrap().to_owned();
    repo.store(&["--keep", "docs/old.md"], &[]);
    assert_eq!(repo.read("docs/old.md"), committed);
    repo.write("docs/old.md", "edited\n");
    // Local changes do not matter then, unless they are what is asked for.
    let kept = sha(&repo, &["store", "--keep", "docs/old.md"]);
    let dirty = sha(&repo, &["store", "--keep", "--allow-dirty", "docs/old.md"]);
    assert_ne!(kept, dirty);
    assert_eq!(repo.read("docs/old.md"), b"edited\n");
    assert!(repo.status().contains(" M docs/old.md"), "{}", repo.status());
    let items = repo.tomb_ok(&["list", "--json"]).json();
    assert_eq!(items.len(), 3, "two of them are the same bytes at two commits");
}

#[test]
fn an_older_commit_is_archived_where_the_tree_still_holds_it() {
    let world = World::new();
    let repo = world.sample("app");
    let first = repo.git(&["rev-parse", "HEAD"]);
    repo.write("README.md", "# changed\n");
    repo.commit_all("second");
    let stored = repo.store(&["--commit", "HEAD~1", "docs/old.md"], &["docs/old.md"]).json();
    assert_eq!(stored[0]["commit"], first.as_str());
    let before = repo.look();
    let said = repo.tomb(&["store", "--commit", &first, "README.md"]).exits(1).stderr_text();
    assert!(said.contains("README.md: has staged changes that are not in the commit"), "{said}");
    assert_eq!(repo.look(), before);
    repo.tomb_ok(&["store", "--keep", "--commit", &first, "README.md"]);
    assert_eq!(
        repo.tomb_ok(&[
            "cat",
            repo.tomb_ok(&["list", "--json", "--path", "README.md"]).json()[0]["tombstone"].as_str().unwrap()
        ])
        .stdout,
        b"# sample\n"
    );
    assert_eq!(repo.read("README.md"), b"# changed\n");
    repo.tomb(&["store", "--commit", "nowhere", "README.md"]).exits(2);
}

#[test]
fn the_same_bytes_at_two_paths_are_one_artifact() {
    let world = World::new();
    let repo = world.sample("app");
    repo.write("one.txt", "twin\n");
    repo.write("two.txt", "twin\n");
    repo.commit_all("second");
    let stored = repo.store(&["one.txt", "two.txt"], &["one.txt", "two.txt"]).json();
    assert_eq!(stored[0]["sha256"], stored[1]["sha256"]);
    assert_ne!(stored[0]["tombstone"], stored[1]["tombstone"]);
    let rows = "import sqlite3,sys; print(*sqlite3.connect(sys.argv[1]).execute('select (select count(*) from artifact), (select count(*) from item)').fetchone())";
    let counted = repo.command("python3").args(["-c", rows, ".codex/archive.sqlite"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&counted.stdout), "1 2\n", "{}", String::from_utf8_lossy(&counted.stderr));
    // Restoring one leaves the other.
    repo.restore(&["one.txt"], &["one.txt"]);
    assert_eq!(repo.tomb_ok(&["cat", "two.txt"]).stdout, b"twin\n");
}

#[test]
fn a_dry_run_changes_nothing() {
    let world = World::new();
    let repo = world.sample("app");
    let before = repo.look();
    let index = repo.read(".git/index");
    let run = repo.tomb_ok(&["store", "--dry-run", "src/legacy", "docs"]);
    let planned: Vec<_> = run.json().iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(planned, ["docs/old.md", "src/legacy/old.py", "src/legacy/run.sh"]);
    assert!(run.stderr_text().contains("would archive 3 files"), "{run}");
    assert_eq!(repo.look(), before);
    assert_eq!(repo.read(".git/index"), index);
    assert!(!repo.exists(".git/archive-tomb/archive.sqlite"));
    assert!(!repo.exists(".git/archive-tomb/archive_ops.jsonl"));
    // What would be refused is refused just so.
    assert!(repo.tomb(&["store", "-n", "missing"]).exits(1).stderr_text().contains("missing: matches no tracked file"));
}

/// Returns the paths that storing `arguments` would archive.
#[track_caller]
fn planned(repo: &Repo<'_>, arguments: &[&str]) -> Vec<String> {
    let lines = repo.tomb_ok(&[&["store", "--dry-run"], arguments].concat()).json();
    lines.iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn pathspecs_mean_what_they_mean_to_git() {
    let world = World::new();
    let repo = world.sample("app");
    assert_eq!(planned(&repo, &["*.py"]), ["src/keep.py", "src/legacy/old.py"]);
    assert_eq!(planned(&repo, &[":(glob)src/*.py"]), ["src/keep.py"]);
    assert_eq!(planned(&repo, &["src", ":(exclude)src/legacy"]), ["src/keep.py"]);
    assert_eq!(planned(&repo, &["src", ":!*.py"]), ["src/legacy/run.sh"]);
    let below = repo.below("docs");
    assert_eq!(planned(&below, &["."]), ["docs/old.md"]);
    assert_eq!(planned(&below, &[":(top)src/keep.py"]), ["src/keep.py"]);
    assert_eq!(planned(&below, &[":/*.sh"]), ["src/legacy/run.sh"]);
    assert_eq!(planned(&below, &["../src/legacy/"]), ["src/legacy/old.py", "src/legacy/run.sh"]);
    assert_eq!(planned(&repo, &[":(icase)DOCS/OLD.MD"]), ["docs/old.md"]);
    repo.tomb(&["store", "../outside"]).exits(1);
}

#[test]
fn pathspecs_come_from_a_file_or_standard_input() {
    let world = World::new();
    let repo = world.sample("app");
    repo.write("a b.txt", "a\n");
    repo.write("caf\u{e9}.txt", "c\n");
    repo.commit_all("second");
    repo.write("../list", "docs\r\n\n\"caf\\303\\251.txt\"\na b.txt\n");
    assert_eq!(planned(&repo, &["--pathspec-from-file", "../list"]), ["a b.txt", "caf\u{e9}.txt", "docs/old.md"]);
    let run = repo.tomb_with_input(
        &["store", "--pathspec-from-file", "-", "--pathspec-file-nul"],
        "docs\0a b.txt\0caf\u{e9}.txt\0".as_bytes(),
    );
    assert_eq!(run.clone().exits(0).json().len(), 3, "{run}");
    repo.commit("archive");
    repo.assert_sound();
    repo.tomb(&["store", "--pathspec-from-file", "../list", "docs"]).exits(2);
    repo.tomb(&["store", "--pathspec-from-file", "../no-such-list"]).exits(2);
    repo.tomb(&["store"]).exits(2);
}

#[test]
fn a_repository_name_in_the_place_of_a_path_gets_a_hint() {
    let world = World::new();
    let repo = world.sample("app");
    let said = refused(&repo, &["my-service", "docs/old.md"]);
    assert!(said.contains("--repo my-service"), "{said}");
}

#[test]
fn a_folder_means_its_tracked_files_without_ours() {
    let world = World::new();
    let repo = world.sample("app");
    repo.tomb_ok(&["init"]);
    repo.commit_all("init");
    repo.write("docs/untracked.txt", "u\n");
    assert_eq!(planned(&repo, &["docs"]), ["docs/old.md"]);
    let all = planned(&repo, &["."]);
    assert_eq!(all, ["README.md", "docs/old.md", "src/keep.py", "src/legacy/old.py", "src/legacy/run.sh"]);
    let said = repo.tomb(&["store", ".codex"]).exits(1).stderr_text();
    assert!(said.contains(".codex/.gitattributes: is in `.codex`, which belongs to git-archive-tomb"), "{said}");
    assert!(repo.tomb(&["store", ".git/config"]).exits(1).stderr_text().contains(".git/config"));
}

#[test]
fn an_empty_list_of_paths_archives_nothing() {
    let world = World::new();
    let repo = world.sample("app");
    let before = repo.look();
    for list in ["", "\n\n"] {
        let refused = repo.tomb_with_input(&["store", "--pathspec-from-file", "-"], list.as_bytes()).exits(2);
        assert!(refused.stderr_text().contains("the list of paths is empty"), "{refused}");
    }
    repo.look().assert_changed_only(&before, &[]);
}
