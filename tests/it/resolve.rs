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
    repo.tomb_ok(&["init"]);
    repo.git(&["add", "-A"]);
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
fn archives(repo: &Repo<'_>, paths: &[&str]) {
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
fn conflict(repo: &Repo<'_>, into: &str, command: &[&str], paths: &[&str]) {
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

#[test]
fn a_renamed_and_edited_file_is_followed_by_either_name() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    let archived = repo.tombstone_at("a.py");
    branch(&repo, "renames", || {
        repo.git(&["mv", "a.py", "new.py"]);
        repo.write("new.py", edited("a.py"));
    });
    for (into, other) in [("archives", "renames"), ("renames", "archives")] {
        for name in ["a.py", "new.py", archived.as_str()] {
            // Git merges the stub's text into the new name.
            conflict(&repo, into, &["merge", "-q", other], &["new.py"]);
            repo.tomb_ok(&["resolve", name, "--keep-tomb"]);
            assert_eq!((repo.tombstone_at("new.py"), repo.exists("a.py")), (archived.clone(), false));
            repo.git(&["commit", "-q", "--no-edit"]);
            assert_verifies(&repo, &["warning stub-moved new.py"]);
        }
        conflict(&repo, into, &["merge", "-q", other], &["new.py"]);
        repo.tomb_ok(&["resolve", "a.py", "--restore"]);
        assert_eq!(repo.read_text("new.py"), edited("a.py"));
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_verifies(&repo, &CLEAN);

        conflict(&repo, into, &["merge", "-q", other], &["new.py"]);
        repo.tomb_ok(&["resolve", "a.py", "--re-archive"]);
        assert_ne!(repo.tombstone_at("new.py"), archived);
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_verifies(&repo, &CLEAN);
    }
}

/// Git finds no rename where the file was edited too much.
#[test]
fn a_rename_that_the_merge_did_not_find_is_one_conflict_all_the_same() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    let archived = repo.tombstone_at("a.py");
    branch(&repo, "renames", || {
        repo.git(&["mv", "a.py", "new.py"]);
        repo.write("new.py", edited("a.py"));
    });
    for (into, other) in [("archives", "renames"), ("renames", "archives")] {
        let merge = ["merge", "-q", "-X", "find-renames=100%", other];
        for name in ["a.py", "new.py"] {
            conflict(&repo, into, &merge, &["a.py"]);
            repo.tomb_ok(&["resolve", name, "--keep-tomb"]);
            assert_eq!((repo.tombstone_at("a.py"), repo.exists("new.py")), (archived.clone(), false));
            repo.git(&["commit", "-q", "--no-edit"]);
            assert_verifies(&repo, &CLEAN);
        }
        conflict(&repo, into, &merge, &["a.py"]);
        repo.tomb_ok(&["resolve", "new.py", "--restore"]);
        assert_eq!((repo.read_text("new.py"), repo.exists("a.py")), (edited("a.py"), false));
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_verifies(&repo, &CLEAN);

        conflict(&repo, into, &merge, &["a.py"]);
        repo.tomb_ok(&["resolve", "a.py", "--re-archive"]);
        assert!(is_stub(&repo, "new.py") && !repo.exists("a.py"));
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_verifies(&repo, &CLEAN);
    }
}

#[test]
fn a_stub_that_its_own_side_moved_is_found() {
    let world = World::new();
    let repo = project(&world);
    edits(&repo);
    for move_first in [true, false] {
        repo.git(&["switch", "-q", "-C", "archives", "start"]);
        if move_first {
            repo.git(&["mv", "a.py", "moved.py"]);
            commit(&repo, "move");
            repo.tomb_ok(&["store", "moved.py"]);
            commit(&repo, "archive");
        } else {
            repo.tomb_ok(&["store", "a.py"]);
            commit(&repo, "archive");
            repo.git(&["mv", "a.py", "moved.py"]);
            commit(&repo, "move");
        }
        let moved: &[&str] = if move_first { &[] } else { &["warning stub-moved moved.py"] };
        for (into, other) in [("archives", "edits"), ("edits", "archives")] {
            conflict(&repo, into, &["merge", "-q", other], &["a.py"]);
            repo.tomb_ok(&["resolve", "moved.py", "--keep-tomb"]);
            assert!(is_stub(&repo, "moved.py") && !repo.exists("a.py"));
            repo.git(&["commit", "-q", "--no-edit"]);
            assert_verifies(&repo, moved);

            conflict(&repo, into, &["merge", "-q", other], &["a.py"]);
            repo.tomb_ok(&["resolve", "a.py", "--restore"]);
            assert_eq!((repo.read_text("a.py"), repo.exists("moved.py")), (edited("a.py"), false));
            repo.git(&["commit", "-q", "--no-edit"]);
            assert_verifies(&repo, moved);

            conflict(&repo, into, &["merge", "-q", other], &["a.py"]);
            repo.tomb_ok(&["resolve", "a.py", "--re-archive"]);
            assert!(is_stub(&repo, "a.py") && !repo.exists("moved.py"));
            repo.git(&["commit", "-q", "--no-edit"]);
            assert_verifies(&repo, moved);
        }
    }
}

#[test]
fn what_the_other_side_deleted_stays_a_stub_or_comes_back() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    branch(&repo, "deletes", || drop(repo.git(&["rm", "-q", "a.py"])));
    for (into, other) in [("archives", "deletes"), ("deletes", "archives")] {
        conflict(&repo, into, &["merge", "-q", other], &["a.py"]);
        let refused = repo.tomb(&["resolve", "a.py", "--re-archive"]).exits(1).stderr_text();
        assert!(refused.contains("the other side deleted it"), "{refused}");
        repo.tomb_ok(&["resolve", "a.py", "--keep-tomb"]);
        repo.git(&["commit", "-q", "--no-edit"]);
        assert!(is_stub(&repo, "a.py"));
        assert_verifies(&repo, &CLEAN);

        conflict(&repo, into, &["merge", "-q", other], &["a.py"]);
        repo.tomb_ok(&["resolve", "a.py", "--restore"]);
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_eq!(repo.read_text("a.py"), lines("a.py"));
        assert_verifies(&repo, &CLEAN);
    }
}

#[test]
fn modes_and_links_come_back_as_they_were_edited() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["run.sh", "link"]);
    branch(&repo, "edits", || {
        repo.write("run.sh", edited("run"));
        std::fs::remove_file(repo.path.join("link")).unwrap();
        std::os::unix::fs::symlink("b.py", repo.path.join("link")).unwrap();
    });
    for (into, other, beside) in [("archives", "edits", "link~HEAD"), ("edits", "archives", "link~archives")] {
        // Git puts the stub beside the link: a path cannot be in the index as both.
        let paths = ["link", beside, "run.sh"];
        conflict(&repo, into, &["merge", "-q", other], &paths);
        repo.tomb_ok(&["resolve", ".", "--keep-tomb"]);
        assert!(is_stub(&repo, "link") && is_stub(&repo, "run.sh") && !repo.exists(beside));
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_verifies(&repo, &CLEAN);

        conflict(&repo, into, &["merge", "-q", other], &paths);
        repo.tomb_ok(&["resolve", "link", "run.sh", "--restore"]);
        assert_eq!(repo.tree()["link"], "link to b.py");
        assert!(repo.tree()["run.sh"].starts_with("100755 ") && !repo.exists(beside));
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_verifies(&repo, &CLEAN);

        conflict(&repo, into, &["merge", "-q", other], &paths);
        repo.tomb_ok(&["resolve", beside, "run.sh", "--re-archive"]);
        assert!(is_stub(&repo, "link") && is_stub(&repo, "run.sh") && !repo.exists(beside));
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_verifies(&repo, &CLEAN);
        repo.tomb_ok(&["restore", "link"]);
        assert_eq!(repo.tree()["link"], "link to b.py");
        repo.git(&["reset", "-q", "--hard"]);
    }
}

#[test]
fn what_both_sides_archived_stays_archived_or_comes_back_once() {
    let world = World::new();
    let repo = project(&world);
    for edit in [false, true] {
        let mut tombstones = Vec::new();
        for name in ["one", "two"] {
            repo.git(&["switch", "-q", "-C", name, "start"]);
            if edit {
                repo.write("a.py", edited(name));
            } else {
                repo.write("b.py", edited(name));
            }
            repo.git(&["commit", "-q", "-a", "-m", "go on"]);
            repo.tomb_ok(&["store", "--by", &format!("{name} <{name}@example.org>"), "a.py"]);
            commit(&repo, "archive");
            tombstones.push(repo.tombstone_at("a.py"));
        }
        let begin = || {
            repo.git(&["switch", "-q", "--detach", "one"]);
            assert_eq!(repo.try_git(&["merge", "-q", "two"]).code, Some(1));
            if !edit {
                repo.git(&["checkout", "-q", "--ours", "--", "b.py"]);
                repo.git(&["add", "b.py"]);
            }
            assert_eq!(unmerged(&repo), ["a.py"]);
        };
        for kept in [None, Some(0), Some(1)] {
            begin();
            repo.tomb_ok(&["resolve", kept.map_or("a.py", |kept| &tombstones[kept]), "--keep-tomb"]);
            assert_eq!(repo.tombstone_at("a.py"), tombstones[kept.unwrap_or(0)]);
            repo.git(&["commit", "-q", "--no-edit"]);
            assert_verifies(&repo, &CLEAN);
        }
        begin();
        let refused = repo.tomb(&["resolve", "a.py", "--re-archive"]).exits(1).stderr_text();
        assert!(refused.contains("both sides archived it"), "{refused}");
        if edit {
            let refused = repo.tomb(&["resolve", "a.py", "--restore"]).exits(1).stderr_text();
            assert!(refused.contains(&tombstones[0]) && refused.contains(&tombstones[1]), "{refused}");
            repo.tomb_ok(&["resolve", &tombstones[1], "--restore"]);
            assert_eq!(repo.read_text("a.py"), edited("two"));
        } else {
            repo.tomb_ok(&["resolve", "a.py", "--restore"]);
            assert_eq!(repo.read_text("a.py"), lines("a.py"));
        }
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_verifies(&repo, &CLEAN);
    }
}

#[test]
fn a_rebase_goes_on_with_what_was_chosen() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    edits(&repo);
    let goes_on = || drop(repo.git(&["-c", "core.editor=true", "rebase", "--continue"]));
    // The edit onto the archive.
    for (choice, findings) in [("--keep-tomb", &CLEAN[..]), ("--restore", &CLEAN), ("--re-archive", &CLEAN)] {
        conflict(&repo, "edits", &["rebase", "-q", "archives"], &["a.py"]);
        let said = repo.tomb_ok(&["resolve", "a.py", choice]).stderr_text();
        assert!(said.contains("`git rebase --continue`"), "{said}");
        goes_on();
        assert_eq!(is_stub(&repo, "a.py"), choice != "--restore");
        assert_verifies(&repo, findings);
    }
    // The archive onto the edit: its only parent has the edit, which the stub would hide.
    for choice in ["--restore", "--re-archive"] {
        conflict(&repo, "archives", &["rebase", "-q", "edits"], &["a.py"]);
        let refused = repo.tomb(&["resolve", "a.py", "--keep-tomb"]).exits(1).stderr_text();
        assert!(refused.contains("would hide") && refused.contains("resolve :/a.py --re-archive"), "{refused}");
        repo.tomb_ok(&["resolve", ":/a.py", choice]);
        goes_on();
        assert_eq!(is_stub(&repo, "a.py"), choice != "--restore");
        assert_verifies(&repo, &CLEAN);
    }
}

#[test]
fn picks_reverts_squashes_and_stashes_end_the_same_way() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    edits(&repo);
    for choice in ["--keep-tomb", "--restore", "--re-archive"] {
        conflict(&repo, "archives", &["cherry-pick", "edits"], &["a.py"]);
        let said = repo.tomb_ok(&["resolve", "a.py", choice]).stderr_text();
        let next = said.split('`').find(|part| part.starts_with("git ")).unwrap();
        let run = Run::from(repo.with("GIT_EDITOR", "true").command("sh").args(["-c", next]).output().unwrap());
        assert_eq!(run.code, Some(0), "{next}: {run}");
        assert_eq!(is_stub(&repo, "a.py"), choice != "--restore");
        assert_verifies(&repo, &CLEAN);

        conflict(&repo, "archives", &["merge", "-q", "--squash", "edits"], &["a.py"]);
        repo.tomb_ok(&["resolve", "a.py", choice]);
        repo.git(&["commit", "-q", "--allow-empty", "-m", "squash"]);
        assert_verifies(&repo, &CLEAN);

        // What a stash has over an archive that came meanwhile.
        repo.git(&["switch", "-q", "--detach", "start"]);
        repo.write("a.py", edited("stashed"));
        repo.git(&["stash", "-q"]);
        conflict(&repo, "archives", &["stash", "pop", "-q"], &["a.py"]);
        repo.tomb_ok(&["resolve", "a.py", choice]);
        repo.git(&["commit", "-q", "--allow-empty", "-m", "popped"]);
        assert_eq!(is_stub(&repo, "a.py"), choice != "--restore");
        assert_verifies(&repo, &CLEAN);
        if choice == "--restore" {
            assert_eq!(repo.read_text("a.py"), edited("stashed"));
        }
        repo.git(&["stash", "drop", "-q"]);

        // A commit before the archive that is taken back.
        repo.git(&["switch", "-q", "-C", "later", "edits"]);
        repo.tomb_ok(&["store", "a.py"]);
        commit(&repo, "archive");
        conflict(&repo, "later", &["revert", "--no-edit", "edits"], &["a.py"]);
        let said = repo.tomb_ok(&["resolve", "a.py", choice]).stderr_text();
        let next = said.split('`').find(|part| part.starts_with("git ")).unwrap();
        let run = Run::from(repo.with("GIT_EDITOR", "true").command("sh").args(["-c", next]).output().unwrap());
        assert_eq!(run.code, Some(0), "{next}: {run}");
        assert_verifies(&repo, &CLEAN);
        if choice == "--restore" {
            assert_eq!(repo.read_text("a.py"), lines("a.py"));
        }
    }
}

/// A revert of a restore takes that record away as well.
#[test]
fn a_reverted_restore_keeps_its_record() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    repo.tomb_ok(&["restore", "a.py"]);
    commit(&repo, "restore");
    let restored = repo.git(&["rev-parse", "HEAD"]);
    repo.write("a.py", edited("a.py"));
    repo.git(&["commit", "-q", "-a", "-m", "edit"]);
    let start = repo.git(&["rev-parse", "HEAD"]);
    for choice in ["--restore", "--re-archive"] {
        conflict(&repo, &start, &["revert", "--no-edit", &restored], &["a.py"]);
        repo.tomb(&["resolve", "a.py", "--keep-tomb"]).exits(1);
        repo.tomb_ok(&["resolve", "a.py", choice]);
        repo.git(&["-c", "core.editor=true", "revert", "--continue"]);
        assert_eq!(is_stub(&repo, "a.py"), choice == "--re-archive");
        assert_verifies(&repo, &CLEAN);
    }
}

#[test]
fn other_conflicts_and_files_are_left_alone() {
    let world = World::new();
    let repo = project(&world);
    repo.git(&["switch", "-q", "-C", "archives", "start"]);
    repo.tomb_ok(&["store", "a.py", "src/d.py"]);
    repo.write("b.py", edited("ours"));
    repo.git(&["add", "b.py"]);
    commit(&repo, "archive");
    branch(&repo, "edits", || {
        for path in ["a.py", "b.py", "src/d.py"] {
            repo.write(path, edited(path));
        }
    });
    for choice in ["--keep-tomb", "--restore", "--re-archive"] {
        conflict(&repo, "archives", &["merge", "-q", "edits"], &["a.py", "b.py", "src/d.py"]);
        repo.write("c.py", "mine\n");
        repo.write("untracked", "mine\n");
        let before = repo.look();
        let refused = repo.tomb(&["resolve", "b.py", choice]).exits(1).stderr_text();
        assert!(refused.contains("no side is a stub") && refused.contains("git add -- :/b.py"), "{refused}");
        let refused = repo.tomb(&["resolve", "c.py", choice]).exits(1).stderr_text();
        assert!(refused.contains("`c.py` is in no conflict"), "{refused}");
        assert_eq!(repo.look(), before);
        let said = repo.below("src").tomb_ok(&["resolve", "d.py", choice]).stderr_text();
        assert!(said.contains("2 paths still in conflict"), "{said}");
        repo.look().assert_changed_only(&before, &["src/d.py"]);
        assert_eq!(unmerged(&repo), ["a.py", "b.py"]);
        assert_eq!(repo.read_text("c.py"), "mine\n");
        std::fs::remove_file(repo.path.join("untracked")).unwrap();
        repo.git(&["reset", "-q", "--hard"]);
    }
}

#[test]
fn work_on_the_conflict_is_not_thrown_away() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    edits(&repo);
    conflict(&repo, "archives", &["merge", "-q", "edits"], &["a.py"]);
    repo.write("a.py", "merged by hand\n");
    for choice in ["--keep-tomb", "--restore", "--re-archive"] {
        let before = repo.look();
        let refused = repo.tomb(&["resolve", "a.py", choice]).exits(1).stderr_text();
        assert!(refused.contains("was changed since the conflict began"), "{refused}");
        assert_eq!(repo.look(), before);
    }
    // Half done is worked on as well.
    repo.git(&["checkout", "-q", "-m", "--", "a.py"]);
    let marked = repo.read_text("a.py");
    for work in [format!("{marked}mine\n"), marked.replace("edited", "mine"), marked.replace("=======\n", "")] {
        repo.write("a.py", work);
        let before = repo.look();
        let refused = repo.tomb(&["resolve", "a.py", "--keep-tomb"]).exits(1).stderr_text();
        assert!(refused.contains("was changed since the conflict began"), "{refused}");
        assert!(refused.contains("`git checkout --ours -- :/a.py`"), "{refused}");
        assert_eq!(repo.look(), before);
    }
    for style in ["merge", "diff3", "zdiff3"] {
        repo.git(&["checkout", "-q", "--conflict", style, "--", "a.py"]);
        repo.sibling(style).tomb_ok(&["resolve", "a.py", "--keep-tomb"]);
    }
    // Whichever side was checked out meanwhile, and nothing at all, is as good as the markers.
    for side in ["--ours", "--theirs", "-m"] {
        repo.git(&["checkout", "-q", side, "--", "a.py"]);
        let copy = repo.sibling(side);
        copy.tomb_ok(&["resolve", "a.py", "--restore"]);
        assert_eq!(copy.read_text("a.py"), edited("a.py"));
    }
    std::fs::remove_file(repo.path.join("a.py")).unwrap();
    repo.tomb_ok(&["resolve", "a.py", "--keep-tomb"]);
    assert!(is_stub(&repo, "a.py"));
}

#[test]
fn an_edit_that_no_commit_holds_is_kept() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    repo.git(&["switch", "-q", "--detach", "start"]);
    repo.write("a.py", edited("a.py"));
    repo.git(&["checkout", "-q", "-m", "archives"]);
    assert_eq!(unmerged(&repo), ["a.py"]);
    for choice in ["--keep-tomb", "--re-archive"] {
        let refused = repo.tomb(&["resolve", "a.py", choice]).exits(1).stderr_text();
        assert!(refused.contains("no commit holds the edited version of `a.py`"), "{refused}");
    }
    repo.tomb_ok(&["resolve", "a.py", "--restore"]);
    repo.git(&["commit", "-q", "-m", "restore"]);
    assert_eq!(repo.read_text("a.py"), edited("a.py"));
    assert_verifies(&repo, &CLEAN);
}

/// What a rebase drops stays where git does not throw it away.
#[test]
fn an_edit_whose_commit_is_left_behind_is_kept() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    edits(&repo);
    let edit = repo.git(&["rev-parse", "edits:a.py"]);
    let reference = format!("refs/archive-tomb/edited/{edit}");
    for choice in ["--keep-tomb", "--re-archive"] {
        for on_a_branch in [true, false] {
            let copy = repo.sibling(&format!("rebased{choice}-{on_a_branch}"));
            if on_a_branch {
                copy.git(&["branch", "other", "edits"]);
            }
            copy.git(&["switch", "-q", "edits"]);
            assert_ne!(copy.try_git(&["rebase", "-q", "archives"]).code, Some(0));
            let said = copy.tomb_ok(&["resolve", "a.py", choice]).stderr_text();
            assert_eq!(said.contains("no branch keeps commit"), !on_a_branch, "{said}");
            assert_eq!(said.contains(&format!("git cat-file blob {reference}")), !on_a_branch, "{said}");
            assert_eq!(said.contains("stays in commit"), on_a_branch && choice == "--keep-tomb", "{said}");
            copy.git(&["-c", "core.editor=true", "rebase", "--continue"]);
            assert_eq!(copy.try_git(&["rev-parse", "-q", "--verify", &reference]).code == Some(0), !on_a_branch);
            copy.git(&["reflog", "expire", "--expire=now", "--all"]);
            for name in ["ORIG_HEAD", "REBASE_HEAD"] {
                copy.try_git(&["update-ref", "-d", name]);
            }
            copy.git(&["read-tree", "HEAD"]);
            copy.git(&["gc", "-q", "--prune=now"]);
            assert_eq!(format!("{}\n", copy.git(&["cat-file", "blob", &edit])).trim_end(), edited("a.py").trim_end());
            if choice == "--re-archive" {
                copy.tomb_ok(&["restore", "a.py", "--from", "history"]);
                assert_eq!(copy.read_text("a.py"), edited("a.py"));
            }
        }
    }
}

#[test]
fn a_folder_in_the_place_of_an_archived_file_leaves_the_stub_beside_it() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    branch(&repo, "folder", || {
        repo.git(&["rm", "-q", "a.py"]);
        repo.write("a.py/x", "x\n");
    });
    for (choice, stands) in [("--keep-tomb", true), ("--restore", false)] {
        conflict(&repo, "archives", &["merge", "-q", "folder"], &["a.py~HEAD"]);
        let said = repo.tomb_ok(&["resolve", "a.py~HEAD", choice]).stderr_text();
        assert!(said.contains("a.py~HEAD is a name that git made up"), "{said}");
        assert_eq!(is_stub(&repo, "a.py~HEAD"), stands);
        repo.git(&["reset", "-q", "--hard"]);
    }
}

#[test]
fn a_patch_goes_on_with_gits_own_command() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    edits(&repo);
    repo.git(&["format-patch", "-q", "-1", "-o", "../patches", "edits"]);
    repo.git(&["switch", "-q", "--detach", "archives"]);
    let applied = repo.command("sh").args(["-c", "git am -q -3 ../patches/*.patch"]).output().unwrap();
    assert!(!applied.status.success());
    assert_eq!(unmerged(&repo), ["a.py"]);
    let said = repo.tomb_ok(&["resolve", "a.py", "--restore"]).stderr_text();
    assert!(said.contains("`git am --continue`"), "{said}");
    repo.git(&["am", "--continue"]);
    assert_eq!(repo.read_text("a.py"), edited("a.py"));
    assert_verifies(&repo, &CLEAN);
}

/// Puts versions of a path into the index: ours and theirs, each a mode and an object.
fn put_in_conflict(repo: &Repo<'_>, path: &str, ours: &str, theirs: &str) {
    let input = format!("0 {}\t{path}\n{ours} 2\t{path}\n{theirs} 3\t{path}\n", "0".repeat(40));
    repo.write("../index-info", input);
    let run =
        Run::from(repo.command("sh").args(["-c", "git update-index --index-info < ../index-info"]).output().unwrap());
    assert_eq!(run.code, Some(0), "{run}");
}

#[test]
fn what_is_no_conflict_of_a_stub_and_a_file_is_refused() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    let entry = |path: &str| format!("100644 {}", repo.git(&["rev-parse", &format!("HEAD:{path}")]));
    let head = format!("160000 {}", repo.git(&["rev-parse", "HEAD"]));
    put_in_conflict(&repo, "a.py", &entry("a.py"), &head);
    let refused = repo.tomb(&["resolve", "a.py", "--restore"]).exits(1).stderr_text();
    assert!(refused.contains("a side of `a.py` is a submodule"), "{refused}");
    // A stub that somebody broke on his side.
    repo.write("broken", repo.git(&["show", "HEAD:a.py"]).replace("sha256: ", "sha256: x"));
    let broken = format!("100644 {}", repo.git(&["hash-object", "-w", "broken"]));
    put_in_conflict(&repo, "a.py", &broken, &entry("b.py"));
    let refused = repo.tomb(&["resolve", "a.py", "--keep-tomb"]).exits(1).stderr_text();
    assert!(refused.contains("a side of `a.py` is a stub that does not parse"), "{refused}");
    // And one that says something else than its evidence.
    repo.write("forged", repo.git(&["show", "HEAD:a.py"]).replace("mode: 100644", "mode: 100755"));
    let forged = format!("100644 {}", repo.git(&["hash-object", "-w", "forged"]));
    put_in_conflict(&repo, "a.py", &forged, &entry("b.py"));
    repo.git(&["checkout", "-q", "--ours", "--", "a.py"]);
    repo.tomb(&["resolve", "a.py", "--restore"]).exits(5);
    put_in_conflict(&repo, ".codex/.gitignore", &entry("b.py"), &entry("c.py"));
    let refused = repo.tomb(&["resolve", "a.py", "--restore"]).exits(1).stderr_text();
    assert!(refused.contains("`.codex/.gitignore` is in conflict"), "{refused}");
    assert!(refused.contains("git checkout --theirs -- :/.codex/.gitignore"), "{refused}");
}

#[test]
fn where_restoring_needs_approvals_only_the_stub_can_be_kept() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    edits(&repo);
    conflict(&repo, "archives", &["merge", "-q", "edits"], &["a.py"]);
    repo.write("approvals.toml", "[governance]\nrestore_approvals = 1\n");
    for arguments in [&["resolve", "a.py", "--restore"][..], &["resolve", "a.py", "--re-archive"]] {
        repo.tomb(&[&["--config-file", "approvals.toml"], arguments].concat()).exits(4);
    }
    repo.tomb_ok(&["--config-file", "approvals.toml", "resolve", "a.py", "--keep-tomb"]);
    repo.tomb(&["--config-file", "approvals.toml", "restore", "a.py", "--merge"]).exits(4);
}

#[test]
fn exactly_one_choice_is_made() {
    let world = World::new();
    let repo = project(&world);
    repo.tomb(&["resolve", "a.py"]).exits(2);
    repo.tomb(&["resolve", "--keep-tomb"]).exits(2);
    repo.tomb(&["resolve", "a.py", "--keep-tomb", "--restore"]).exits(2);
    repo.tomb(&["resolve", "a.py", "--keep-tomb", "--reason", "dead"]).exits(2);
}

/// An editor's backup is not what git puts beside a file.
#[test]
fn a_file_whose_name_goes_on_with_a_tilde_is_another_file() {
    let world = World::new();
    let repo = project(&world);
    repo.write("a.py~", "backup\n");
    repo.git(&["add", "-A"]);
    commit(&repo, "backup");
    repo.git(&["tag", "-f", "start"]);
    repo.git(&["switch", "-q", "-c", "archives"]);
    repo.tomb_ok(&["store", "a.py"]);
    repo.git(&["rm", "-q", "a.py~"]);
    commit(&repo, "archive");
    branch(&repo, "edits", || {
        repo.git(&["rm", "-q", "a.py"]);
        repo.write("a.py~", "edited backup\n");
    });
    for (into, other) in [("archives", "edits"), ("edits", "archives")] {
        for (choice, stands) in [("--keep-tomb", true), ("--restore", false)] {
            conflict(&repo, into, &["merge", "-q", other], &["a.py", "a.py~"]);
            repo.tomb_ok(&["resolve", "a.py", choice]);
            assert_eq!(unmerged(&repo), ["a.py~"]);
            assert_eq!(repo.read_text("a.py~"), "edited backup\n");
            assert_eq!(is_stub(&repo, "a.py"), stands);
            if !stands {
                assert_eq!(repo.read_text("a.py"), lines("a.py"));
            }
            repo.git(&["reset", "-q", "--hard"]);
        }
        conflict(&repo, into, &["merge", "-q", other], &["a.py", "a.py~"]);
        let refused = repo.tomb(&["resolve", "a.py~", "--keep-tomb"]).exits(1).stderr_text();
        assert!(refused.contains("no side is a stub"), "{refused}");
        repo.git(&["reset", "-q", "--hard"]);
    }
}

#[test]
fn a_stub_of_another_file_with_the_same_bytes_takes_no_part() {
    let world = World::new();
    let repo = project(&world);
    for text in ["", "boilerplate\n"] {
        repo.git(&["switch", "-q", "--detach", "start"]);
        repo.write("pkg/__init__.py", text);
        repo.git(&["add", "-A"]);
        commit(&repo, "package");
        repo.git(&["tag", "-f", "package"]);
        repo.git(&["switch", "-q", "-C", "archives"]);
        repo.write("new/__init__.py", text);
        repo.git(&["add", "-A"]);
        commit(&repo, "another");
        repo.tomb_ok(&["store", "new/__init__.py"]);
        repo.git(&["rm", "-q", "pkg/__init__.py"]);
        commit(&repo, "archive");
        repo.git(&["switch", "-q", "-C", "edits", "package"]);
        repo.write("pkg/__init__.py", "edited\n");
        repo.git(&["commit", "-q", "-a", "-m", "edit"]);
        conflict(&repo, "archives", &["merge", "-q", "edits"], &["pkg/__init__.py"]);
        let before = repo.look();
        for (name, choice) in [("pkg/__init__.py", "--restore"), ("pkg", "--restore"), (".", "--keep-tomb")] {
            let refused = repo.tomb(&["resolve", name, choice]).exits(1).stderr_text();
            assert!(refused.contains("no side is a stub"), "{refused}");
            assert_eq!(repo.look(), before);
        }
        repo.git(&["reset", "-q", "--hard"]);
    }
}

/// Takes the first command in backticks of what was said, or the whole of it, and runs it.
#[track_caller]
fn follow(repo: &Repo<'_>, said: &str) {
    let command = said.split('`').find(|part| part.starts_with("git archive-tomb ")).unwrap_or(said);
    let run = Run::from(repo.command("sh").args(["-c", command]).output().unwrap());
    assert_eq!(run.code, Some(0), "{command}: {run}");
}

#[test]
fn whoever_meets_the_conflict_elsewhere_is_told_of_the_command() {
    let world = World::new();
    let repo = project(&world);
    archives(&repo, &["a.py"]);
    edits(&repo);
    let begin = || conflict(&repo, "archives", &["merge", "-q", "edits"], &["a.py"]);
    begin();
    let status = repo.tomb_ok(&["status"]);
    assert!(status.stdout_text().contains("a.py: in conflict"), "{status}");
    let hints = [
        status.stderr_text(),
        repo.tomb(&["restore", "a.py"]).exits(1).stderr_text(),
        repo.tomb(&["store", "a.py"]).exits(1).stderr_text(),
        // The hook says it, with the index that git was about to commit.
        repo.try_git(&["commit", "-q", "-a", "-m", "markers"]).exits(1).stderr_text(),
    ];
    for hint in hints {
        assert!(hint.contains("git archive-tomb resolve"), "{hint}");
        let line = hint.lines().find(|line| line.contains("git archive-tomb resolve")).unwrap();
        let copy = repo.sibling("follows");
        follow(&copy, line.trim().trim_start_matches("hint: "));
        assert_eq!(unmerged(&copy), CLEAN);
        std::fs::remove_dir_all(&copy.path).unwrap();
    }
    // Markers that were staged as if they were the end of it.
    repo.git(&["add", "a.py"]);
    let findings = repo.tomb(&["verify", "--staged", "--json"]).exits(1).json();
    assert_eq!(findings[0]["rule"], "stub-malformed");
    follow(&repo, findings[0]["hint"].as_str().unwrap());
    assert!(is_stub(&repo, "a.py"));
    repo.git(&["commit", "-q", "--no-edit"]);
    assert_verifies(&repo, &CLEAN);
}
