//! `restore --merge`: an archived file brought back together with what another branch made of it.

use crate::common::{Repo, Run, World, lines};

/// Returns a repository whose branch `main` archived `a.py` and `b.py`, with the tag `start` before that.
fn project(world: &World) -> Repo<'_> {
    let repo = world.init("project");
    for path in ["a.py", "b.py", "c.py"] {
        repo.write(path, lines(path));
    }
    repo.write("logo.bin", b"\0\x01\x02base");
    repo.tomb_ok(&["init"]);
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-q", "-m", "start"]);
    repo.git(&["tag", "start"]);
    repo
}

/// Commits what `change` does on top of what is there, and archives some paths.
fn archive(repo: &Repo<'_>, paths: &[&str]) {
    repo.git(&["switch", "-q", "main"]);
    repo.tomb_ok(&[&["store"], paths].concat());
    repo.git(&["commit", "-q", "-m", "archive"]);
}

fn branch(repo: &Repo<'_>, name: &str, change: impl FnOnce()) {
    repo.git(&["switch", "-q", "-c", name, "start"]);
    change();
    repo.git(&["add", "-A"]);
    repo.git(&["commit", "-q", "-m", name]);
    repo.git(&["switch", "-q", "main"]);
}

fn changed(path: &str, line: &str, to: &str) -> String {
    lines(path).replace(line, to)
}

/// Commits with the hooks, and asserts that all verifies.
#[track_caller]
fn assert_commits(repo: &Repo<'_>) {
    repo.git(&["commit", "-q", "-m", "merged"]);
    let run = repo.tomb_ok(&["verify", "--range", "start..HEAD", "--json"]);
    assert_eq!(run.stdout_text(), "");
    repo.tomb_ok(&["verify", "--all", "--strict"]);
    repo.tomb_ok(&["evidence", "verify", "--strict"]);
    assert_eq!(repo.status(), "");
}

#[test]
fn changes_of_other_lines_go_together() {
    let world = World::new();
    let repo = project(&world);
    // What was archived is not what the branch began with.
    repo.write("a.py", changed("a.py", "line_1", "ours"));
    repo.git(&["commit", "-q", "-a", "-m", "ours"]);
    archive(&repo, &["a.py"]);
    branch(&repo, "topic", || repo.write("a.py", changed("a.py", "line_6", "theirs")));
    let before = repo.look();
    let said = repo.tomb_ok(&["restore", "a.py", "--merge"]).stderr_text();
    assert!(said.contains("merged a.py with what topic made of it"), "{said}");
    repo.look().assert_changed_only(&before, &["a.py"]);
    assert_eq!(repo.read_text("a.py"), changed("a.py", "line_1", "ours").replace("line_6", "theirs"));
    assert_commits(&repo);
}

#[test]
fn changes_of_the_same_line_are_a_conflict_as_git_marks_them() {
    let world = World::new();
    let repo = project(&world);
    repo.write("a.py", changed("a.py", "line_1", "ours"));
    repo.git(&["commit", "-q", "-a", "-m", "ours"]);
    archive(&repo, &["a.py", "b.py"]);
    let archived = repo.tombstone_at("a.py");
    branch(&repo, "topic", || repo.write("a.py", changed("a.py", "line_1", "theirs")));
    for style in ["merge", "diff3"] {
        repo.git(&["config", "merge.conflictStyle", style]);
        let run = repo.tomb(&["restore", "a.py", "--merge=topic"]).exits(1);
        assert!(run.stderr_text().contains("a.py conflicts with what topic made of it"), "{run}");
        assert!(run.stderr_text().contains("`git add`"), "{run}");
        assert!(run.stderr_text().contains("restored 0 files; 1 file in conflict\n"), "{run}");
        let text = repo.read_text("a.py");
        assert!(text.contains(&format!("<<<<<<< archived {}\nours", &archived[..8])), "{text}");
        assert!(text.contains(">>>>>>> topic\n"), "{text}");
        assert_eq!(text.contains("||||||| base\n"), style == "diff3", "{text}");
        let stage = |number: u8| repo.git(&["show", &format!(":{number}:a.py")]);
        assert!(stage(1).contains("line_1 =") && stage(2).contains("ours") && stage(3).contains("theirs"));
        assert_eq!(repo.status().lines().filter(|line| line.starts_with("UU")).collect::<Vec<_>>(), ["UU a.py"]);
        repo.git(&["reset", "-q", "--hard"]);
    }
    let run = repo.tomb(&["restore", ".", "--merge", "--json"]).exits(1);
    let told: Vec<_> = run.json().iter().map(|view| format!("{} {}", view["path"], view["status"])).collect();
    assert_eq!(told, [r#""a.py" "conflict""#, r#""b.py" "restored""#]);
    assert_eq!(repo.read_text("b.py"), lines("b.py"));
    repo.write("a.py", changed("a.py", "line_1", "both"));
    repo.git(&["add", "a.py"]);
    assert_commits(&repo);
}

#[test]
fn a_file_that_was_renamed_elsewhere_is_followed() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py"]);
    branch(&repo, "topic", || {
        repo.git(&["mv", "a.py", "new.py"]);
        repo.write("new.py", changed("a.py", "line_6", "theirs"));
    });
    repo.tomb_ok(&["restore", "a.py", "--merge"]);
    assert_eq!(repo.read_text("a.py"), changed("a.py", "line_6", "theirs"));
    assert_commits(&repo);
}

#[test]
fn nothing_made_elsewhere_is_a_plain_restore() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py", "b.py"]);
    branch(&repo, "topic", || repo.write("c.py", "other\n"));
    // Gone, archived as well, or merged already: nothing to be merged.
    branch(&repo, "deletes", || drop(repo.git(&["rm", "-q", "a.py"])));
    branch(&repo, "archives", || drop(repo.tomb_ok(&["store", "a.py"])));
    let said = repo.tomb_ok(&["restore", "a.py", "--merge"]).stderr_text();
    assert!(said.contains("a.py was changed nowhere else"), "{said}");
    assert_eq!(repo.read_text("a.py"), lines("a.py"));
    assert_commits(&repo);
    let unknown = repo.tomb(&["restore", "b.py", "--merge=nowhere"]).exits(2);
    assert!(unknown.stderr_text().contains("nowhere"), "{unknown}");
    repo.tomb(&["restore", "b.py", "out", "--merge"]).exits(2);
}

#[test]
fn of_several_changes_one_is_named() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py"]);
    for (name, text) in [("one", "1"), ("two", "2"), ("same", "2")] {
        branch(&repo, name, || repo.write("a.py", changed("a.py", "line_3", text)));
    }
    let before = repo.look();
    let refused = repo.tomb(&["restore", "a.py", "--merge"]).exits(1).stderr_text();
    assert!(refused.contains("in different ways elsewhere: one, "), "{refused}");
    assert!(refused.contains("`git archive-tomb restore :/a.py --merge=one`"), "{refused}");
    assert_eq!(repo.look(), before);
    repo.tomb_ok(&["restore", "a.py", "--merge=two"]);
    assert_eq!(repo.read_text("a.py"), changed("a.py", "line_3", "2"));
    assert_commits(&repo);
}

/// What a merge kept the stub over is still in its history.
#[test]
fn an_edit_that_lost_to_a_stub_is_merged_later() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py"]);
    branch(&repo, "topic", || repo.write("a.py", changed("a.py", "line_3", "theirs")));
    assert_eq!(repo.try_git(&["merge", "-q", "topic"]).code, Some(1));
    repo.tomb_ok(&["resolve", "a.py", "--keep-tomb"]);
    // While git still merges it, no name is needed.
    let copy = repo.sibling("merging");
    copy.tomb_ok(&["restore", "a.py", "--merge"]);
    assert_eq!(copy.read_text("a.py"), changed("a.py", "line_3", "theirs"));
    assert_commits(&copy);
    repo.git(&["commit", "-q", "--no-edit"]);
    repo.tomb_ok(&["restore", "a.py", "--merge=topic"]);
    assert_eq!(repo.read_text("a.py"), changed("a.py", "line_3", "theirs"));
    assert_commits(&repo);
}

#[test]
fn attributes_and_modes_have_their_say() {
    let world = World::new();
    let repo = project(&world);
    repo.write(".gitattributes", "b.py merge=union\nc.py -merge\n");
    repo.git(&["add", ".gitattributes"]);
    for path in ["a.py", "b.py", "c.py"] {
        repo.write(path, changed(path, "line_3", "ours"));
    }
    repo.write("logo.bin", b"\0ours");
    repo.git(&["commit", "-q", "-a", "-m", "ours"]);
    archive(&repo, &["a.py", "b.py", "c.py", "logo.bin"]);
    branch(&repo, "topic", || {
        repo.set_executable("a.py");
        for path in ["b.py", "c.py"] {
            repo.write(path, changed(path, "line_3", "theirs"));
        }
        repo.write("logo.bin", b"\0theirs");
    });
    repo.tomb_ok(&["restore", "a.py", "--merge"]);
    assert!(repo.tree()["a.py"].starts_with("100755 ") && repo.read_text("a.py").contains("ours"));
    repo.tomb_ok(&["restore", "b.py", "--merge"]);
    assert!(repo.read_text("b.py").contains("ours") && repo.read_text("b.py").contains("theirs"));
    for path in ["c.py", "logo.bin"] {
        repo.tomb(&["restore", path, "--merge"]).exits(1);
        let ours = repo.git(&["rev-parse", &format!(":2:{path}")]);
        assert_eq!(repo.git(&["hash-object", path]), ours, "no markers in {path}");
        assert_eq!(repo.git(&["rev-parse", &format!(":3:{path}")]), repo.git(&["rev-parse", &format!("topic:{path}")]));
        repo.git(&["add", path]);
    }
    assert_commits(&repo);
}

/// A conflict is a change like any other: it can be finished and undone.
#[test]
fn a_stopped_merge_is_finished_and_undone() {
    let world = World::new();
    let repo = project(&world);
    repo.write("a.py", changed("a.py", "line_1", "ours"));
    repo.git(&["commit", "-q", "-a", "-m", "ours"]);
    archive(&repo, &["a.py"]);
    branch(&repo, "topic", || repo.write("a.py", changed("a.py", "line_1", "theirs")));
    let before = repo.look();
    for point in ["staged", "file", "index-written", "index-renamed"] {
        let copy = repo.sibling(point);
        let run: Run = copy.with("GIT_ARCHIVE_TOMB_FAULT", point).tomb(&["restore", "a.py", "--merge"]);
        assert_eq!(run.code, None, "{point}: {run}");
        if point != "index-renamed" {
            let undone = copy.sibling("undone");
            undone.tomb_ok(&["doctor", "--abort"]);
            assert_eq!(undone.look(), before, "{point}");
        }
        copy.tomb_ok(&["doctor", "--continue"]);
        assert!(copy.status().contains("UU a.py"), "{point}");
        assert!(copy.read_text("a.py").contains("<<<<<<<"), "{point}");
        copy.write("a.py", changed("a.py", "line_1", "both"));
        copy.git(&["add", "a.py"]);
        assert_commits(&copy);
    }
}

/// A name that ends like a remote's own choice is a branch all the same.
#[test]
fn a_branch_may_be_called_head() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py"]);
    branch(&repo, "topic/HEAD", || repo.write("a.py", changed("a.py", "line_6", "theirs")));
    let said = repo.tomb_ok(&["restore", "a.py", "--merge"]).stderr_text();
    assert!(said.contains("merged a.py with what topic/HEAD made of it"), "{said}");
    assert_commits(&repo);
    // What a remote calls its own choice is the branch that it leads to.
    archive(&repo, &["b.py"]);
    branch(&repo, "edits", || repo.write("b.py", changed("b.py", "line_6", "theirs")));
    repo.git(&["update-ref", "refs/remotes/origin/edits", "edits"]);
    repo.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/edits"]);
    repo.git(&["branch", "-q", "-D", "edits"]);
    let said = repo.tomb_ok(&["restore", "b.py", "--merge"]).stderr_text();
    assert!(said.contains("merged b.py with what origin/edits made of it"), "{said}");
}

/// What was laid out for git goes, at the latest when the next operation sweeps up after the dead.
#[test]
fn a_killed_merge_leaves_no_bytes_behind() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py"]);
    branch(&repo, "topic", || repo.write("a.py", changed("a.py", "line_6", "theirs")));
    let before = repo.look();
    repo.write(
        "../bin/git",
        "#!/bin/sh\ncase \" $* \" in *' merge-file '*) kill -9 $PPID; exit 1;; esac\nPATH=${PATH#*:} exec git \"$@\"\n",
    );
    repo.set_executable("../bin/git");
    let path = format!("{}/bin:{}", repo.path.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let run = repo.with("PATH", path).tomb(&["restore", "a.py", "--merge"]);
    assert_eq!(run.code, None, "{run}");
    let left = || {
        let found = repo.command("find").args([".git", "-name", "ours"]).output().unwrap();
        String::from_utf8(found.stdout).unwrap()
    };
    assert_eq!(left().lines().count(), 1);
    repo.tomb_ok(&["doctor", "--continue"]);
    assert_eq!(left(), "");
    assert_eq!(repo.look(), before);
    repo.tomb_ok(&["restore", "a.py", "--merge"]);
    assert_commits(&repo);
}
