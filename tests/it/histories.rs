//! What git's operations look like to `verify`: each row of "Kinds of history" in `docs/verification.md`, by the real git,
//! with the advice that the page gives.

use crate::common::{Repo, Run, World, lines};

/// Returns a repository with a few committed files, `init` included, whose first commit has the tag `start`.
fn project(world: &World) -> Repo<'_> {
    let repo = world.init("project");
    for path in ["a.py", "b.py", "c.py", "src/d.py", "src/e.py"] {
        repo.write(path, lines(path));
    }
    repo.git(&["add", "-A"]);
    repo.tomb_ok(&["init"]);
    repo.git(&["commit", "-q", "-m", "start"]);
    repo.git(&["tag", "start"]);
    repo
}

/// What the file is like after somebody edited it.
fn edited(path: &str) -> String {
    lines(path).replace("line_3", "edited")
}

fn edit(repo: &Repo<'_>, path: &str) {
    repo.write(path, edited(path));
    repo.git(&["commit", "-q", "-m", "edit", "--", path]);
}

/// Archives and commits, past no hook.
fn archive(repo: &Repo<'_>, paths: &[&str]) {
    repo.tomb_ok(&[&["store"], paths].concat());
    repo.git(&["commit", "-q", "-m", "archive"]);
}

fn restore(repo: &Repo<'_>, path: &str) {
    repo.tomb_ok(&["restore", path]);
    repo.git(&["commit", "-q", "-m", "restore"]);
}

/// Makes a commit that has nothing to do with anything.
fn go_on(repo: &Repo<'_>, file: &str) {
    repo.write(file, "x\n");
    repo.git(&["add", file]);
    repo.git(&["commit", "-q", "-m", "go on"]);
}

fn branch(repo: &Repo<'_>, name: &str) {
    repo.git(&["switch", "-q", "-c", name, "start"]);
}

fn switch(repo: &Repo<'_>, name: &str) {
    repo.git(&["switch", "-q", name]);
}

/// Returns the findings of a verification as `severity rule path`.
fn verify(repo: &Repo<'_>, scope: &[&str]) -> Vec<String> {
    let run = repo.tomb(&[&["verify", "--json"], scope].concat());
    let findings = run.json();
    let failed = findings.iter().any(|finding| finding["severity"] == "error");
    assert_eq!(run.code, Some(i32::from(failed)), "{run}");
    let told = findings.iter().map(|finding| {
        let path = finding["path"].as_str().unwrap_or_default();
        let path = if path.contains(".codex/evidence/ops/") { "EVIDENCE" } else { path };
        format!("{} {} {path}", finding["severity"].as_str().unwrap(), finding["rule"].as_str().unwrap())
    });
    told.collect()
}

fn range(repo: &Repo<'_>, from: &str, to: &str) -> Vec<String> {
    verify(repo, &["--range", &format!("{from}..{to}")])
}

const CLEAN: [&str; 0] = [];

/// Asserts that the commits since `start` are clean, and the repository as a whole is.
#[track_caller]
fn assert_clean(repo: &Repo<'_>) {
    assert_eq!(range(repo, "start", "HEAD"), CLEAN);
    assert_eq!(verify(repo, &["--all", "--strict"]), CLEAN);
    repo.tomb_ok(&["evidence", "verify", "--strict"]);
}

/// Runs git, which stops in a conflict; nothing below `.codex` is ever part of one.
#[track_caller]
fn conflicts(repo: &Repo<'_>, arguments: &[&str], paths: &[&str]) -> Run {
    let run = repo.try_git(arguments);
    assert_ne!(run.code, Some(0), "{run}");
    let unmerged = repo.git(&["diff", "--name-only", "--diff-filter=U"]);
    assert_eq!(unmerged.lines().collect::<Vec<_>>(), paths, "{run}");
    run
}

/// Takes one side of a conflict.
fn take(repo: &Repo<'_>, side: &str, path: &str) {
    repo.git(&["checkout", "-q", side, "--", path]);
    repo.git(&["add", "--", path]);
}

/// Runs every hint of a verification, as somebody who follows it to the letter.
fn follow_hints(repo: &Repo<'_>, scope: &[&str]) {
    for finding in repo.tomb(&[&["verify", "--json"], scope].concat()).json() {
        let hint = finding["hint"].as_str().unwrap();
        let run = Run::from(repo.command("sh").args(["-c", hint]).output().unwrap());
        assert_eq!(run.code, Some(0), "{hint}: {run}");
    }
}

#[test]
fn the_page_names_tests_that_are_here() {
    let page = include_str!("../../docs/verification.md");
    let source = include_str!("histories.rs");
    let is_name =
        |word: &&str| word.ends_with('_') && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let named: Vec<&str> = page.split('`').filter_map(|word| word.strip_suffix('…')).filter(is_name).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        assert!(source.contains(&format!("\nfn {name}")), "no test `{name}…`");
    }
}

#[test]
fn merges_of_every_kind_are_clean() {
    let world = World::new();
    let repo = project(&world);
    for (name, path) in [("one", "a.py"), ("two", "b.py"), ("three", "c.py"), ("four", "src/d.py")] {
        branch(&repo, name);
        archive(&repo, &[path]);
    }
    switch(&repo, "main");
    repo.git(&["merge", "-q", "--ff-only", "one"]);
    assert_clean(&repo);
    repo.git(&["merge", "-q", "--no-ff", "--no-edit", "two"]);
    assert_clean(&repo);
    repo.git(&["merge", "-q", "--no-edit", "three", "four"]);
    assert_eq!(repo.git(&["rev-list", "--parents", "-1", "HEAD"]).split(' ').count(), 4);
    assert_clean(&repo);
    archive(&repo, &["src/e.py"]);
    assert_clean(&repo);
}

#[test]
fn branches_that_each_begin_with_init_do_not_conflict() {
    let world = World::new();
    let repo = world.sample("project");
    repo.git(&["tag", "start"]);
    for (name, path) in [("one", "docs/old.md"), ("two", "src/legacy/old.py")] {
        branch(&repo, name);
        repo.tomb_ok(&["init"]);
        archive(&repo, &[path]);
    }
    repo.git(&["merge", "-q", "--no-edit", "one"]);
    assert_clean(&repo);
}

#[test]
fn squashes_of_archives_are_clean() {
    let world = World::new();
    let repo = project(&world);
    branch(&repo, "topic");
    archive(&repo, &["a.py"]);
    archive(&repo, &["b.py"]);
    restore(&repo, "b.py");
    switch(&repo, "main");
    edit(&repo, "c.py");
    repo.git(&["merge", "-q", "--squash", "topic"]);
    assert_eq!(verify(&repo, &["--staged"]), CLEAN);
    repo.git(&["commit", "-q", "-m", "squashed"]);
    assert_clean(&repo);
    // So they are for whoever sees the main branch alone.
    repo.git(&["clone", "-q", "--no-local", "--single-branch", "-b", "main", ".", "../newcomer"]);
    assert_eq!(range(&world.at("newcomer"), "start", "HEAD"), CLEAN);
    repo.tomb_ok(&["verify", "--all", "--deep"]);
}

#[test]
fn an_edit_that_is_squashed_with_its_archive_was_never_archived_as_it_stood() {
    let world = World::new();
    let repo = project(&world);
    let refused = ["error stub-mismatch a.py"];
    branch(&repo, "topic");
    edit(&repo, "a.py");
    archive(&repo, &["a.py"]);
    assert_clean(&repo);
    switch(&repo, "main");
    repo.git(&["merge", "-q", "--squash", "topic"]);
    assert_eq!(verify(&repo, &["--staged"]), refused);
    repo.git(&["reset", "-q", "--hard"]);
    // By hand, and as an amend, which the hook does not see: it compares with the commit that is amended.
    for amend in [false, true] {
        repo.git(&["switch", "-q", "-C", "again", "start"]);
        edit(&repo, "a.py");
        repo.tomb_ok(&["store", "a.py"]);
        if amend {
            repo.git(&["commit", "-q", "--amend", "-m", "both"]);
        } else {
            repo.git(&["reset", "-q", "--soft", "start"]);
            repo.git(&["commit", "-q", "--no-verify", "-m", "both"]);
        }
        assert_eq!(range(&repo, "start", "HEAD"), refused);
        // The way out: as it was before, then the edit and its archive in commits of their own.
        repo.git(&["reset", "-q", "--hard", "HEAD@{1}"]);
        if !amend {
            repo.git(&["reset", "-q", "--hard", "start"]);
            edit(&repo, "a.py");
        }
        archive(&repo, &["a.py"]);
        assert_eq!(range(&repo, "start", "HEAD"), CLEAN);
    }
    // On the main branch, merged as it is.
    switch(&repo, "main");
    repo.git(&["merge", "-q", "--no-edit", "topic"]);
    assert_clean(&repo);
}

#[test]
fn a_stub_that_hides_an_edit_is_found_even_where_its_commit_is_gone() {
    let world = World::new();
    let repo = project(&world);
    branch(&repo, "topic");
    go_on(&repo, "x");
    archive(&repo, &["a.py"]);
    switch(&repo, "main");
    edit(&repo, "a.py");
    switch(&repo, "topic");
    conflicts(&repo, &["rebase", "-q", "main"], &["a.py"]);
    take(&repo, "--theirs", "a.py");
    let refused = verify(&repo, &["--staged"]);
    assert_eq!(refused, ["error stub-mismatch a.py"]);
    repo.git(&["-c", "core.hooksPath=/dev/null", "rebase", "--continue"]);
    assert_eq!(range(&repo, "main", "topic"), refused);
    repo.git(&["clone", "-q", "--no-local", ".", "../newcomer"]);
    assert_eq!(range(&world.at("newcomer"), "origin/main", "origin/topic"), refused);
    // The same by a squash after a merge that kept the stub. The merge itself shows both.
    repo.git(&["switch", "-q", "-C", "topic", "start"]);
    archive(&repo, &["a.py"]);
    conflicts(&repo, &["merge", "-q", "main"], &["a.py"]);
    take(&repo, "--ours", "a.py");
    repo.git(&["commit", "-q", "--no-edit"]);
    assert_eq!(range(&repo, "main", "topic"), CLEAN);
    switch(&repo, "main");
    repo.git(&["merge", "-q", "--squash", "topic"]);
    assert_eq!(verify(&repo, &["--staged"]), refused);
    // The way out: the edited file is archived in its place.
    repo.git(&["checkout", "HEAD", "--", "a.py"]);
    repo.tomb_ok(&["store", "a.py"]);
    repo.git(&["commit", "-q", "-m", "squashed"]);
    assert_eq!(range(&repo, "start", "HEAD"), CLEAN);
    assert_eq!(repo.tomb_ok(&["cat", "a.py"]).stdout, edited("a.py").as_bytes());
}

#[test]
fn rebases_carry_stubs_with_their_evidence() {
    let world = World::new();
    let repo = project(&world);
    branch(&repo, "topic");
    archive(&repo, &["a.py"]);
    branch(&repo, "side");
    archive(&repo, &["b.py"]);
    switch(&repo, "topic");
    repo.git(&["merge", "-q", "--no-edit", "side"]);
    edit(&repo, "src/e.py");
    archive(&repo, &["c.py", "src/e.py"]);
    archive(&repo, &["src/d.py"]);
    switch(&repo, "main");
    go_on(&repo, "x");
    for options in [&["main"][..], &["--rebase-merges", "main"], &["--onto", "main", "start"]] {
        repo.git(&["switch", "-q", "--detach", "topic"]);
        repo.git(&[&["rebase", "-q"], options].concat());
        assert_clean(&repo);
    }
    // What comes after `start` alone goes elsewhere: its predecessors stay behind.
    repo.git(&["switch", "-q", "--detach", "topic"]);
    repo.git(&["rebase", "-q", "--onto", "main", "topic~1"]);
    assert_eq!(range(&repo, "start", "HEAD"), ["warning evidence-broken EVIDENCE"]);
}

#[test]
fn interactive_rebases_are_clean_and_what_they_drop_is_named_by_its_successors() {
    let world = World::new();
    let repo = project(&world);
    branch(&repo, "topic");
    edit(&repo, "c.py");
    archive(&repo, &["a.py"]);
    archive(&repo, &["b.py"]);
    restore(&repo, "b.py");
    for program in ["2,$s/^pick/squash/", "2,$s/^pick/fixup/", "s/^pick/reword/", "3s/^pick/fixup/", "1{h;d};3{G}"] {
        repo.git(&["switch", "-q", "--detach", "topic"]);
        let editor = format!("sequence.editor=sed -i -e '{program}'");
        repo.git(&["-c", &editor, "rebase", "-q", "-i", "start"]);
        assert_clean(&repo);
    }
    repo.git(&["switch", "-q", "--detach", "topic"]);
    repo.git(&["-c", "sequence.editor=sed -i -e 2s/^pick/drop/", "rebase", "-q", "-i", "start"]);
    assert_eq!(range(&repo, "start", "HEAD"), ["warning evidence-broken EVIDENCE"]);
    assert_eq!(repo.read_text("c.py"), edited("c.py"));
}

#[test]
fn picked_commits_bring_their_evidence() {
    let world = World::new();
    let repo = project(&world);
    branch(&repo, "topic");
    archive(&repo, &["a.py"]);
    archive(&repo, &["b.py"]);
    restore(&repo, "a.py");
    repo.git(&["switch", "-q", "-c", "merged", "start"]);
    go_on(&repo, "x");
    repo.git(&["merge", "-q", "--no-edit", "topic"]);
    for (name, pick, findings) in [
        ("one", &["topic~2"][..], &CLEAN[..]),
        ("later", &["topic~1"], &["warning evidence-broken EVIDENCE"]),
        ("range", &["start..topic"], &CLEAN),
        ("merge", &["-m", "1", "merged"], &CLEAN),
        ("twice", &["topic~2", "topic~1"], &CLEAN),
    ] {
        branch(&repo, name);
        repo.git(&[&["cherry-pick"], pick].concat());
        assert_eq!(range(&repo, "start", "HEAD"), findings, "{name}");
    }
    // What was picked and is merged later is the same file.
    repo.git(&["merge", "-q", "--no-edit", "topic"]);
    assert_clean(&repo);
}

#[test]
fn a_restore_that_is_picked_twice_needs_another_record() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py"]);
    repo.tomb_ok(&["restore", "a.py"]);
    repo.write("a.py", edited("a.py"));
    repo.git(&["commit", "-q", "-a", "-m", "restore and edit"]);
    // The stub is here again, with the record of its restore.
    repo.git(&["checkout", "HEAD~1", "--", "a.py"]);
    assert_eq!(verify(&repo, &["--staged"]), ["error stub-mismatch a.py"]);
    repo.git(&["checkout", "start", "--", "a.py"]);
    repo.git(&["commit", "-q", "-m", "undo the edit"]);
    repo.git(&["checkout", "HEAD~2", "--", "a.py"]);
    repo.git(&["commit", "-q", "-m", "the stub again"]);
    repo.git(&["cherry-pick", "-n", "HEAD~2"]);
    assert_eq!(verify(&repo, &["--staged"]), ["error stub-removed a.py"]);
    repo.git(&["checkout", "HEAD", "--", "a.py"]);
    repo.tomb_ok(&["restore", "a.py"]);
    repo.git(&["checkout", "HEAD~2", "--", "a.py"]);
    repo.git(&["commit", "-q", "-m", "restore and edit"]);
    assert_clean(&repo);
}

#[test]
fn a_revert_takes_evidence_away_and_the_hint_brings_it_back() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py"]);
    repo.git(&["revert", "--no-edit", "HEAD"]);
    assert_eq!(range(&repo, "start", "HEAD"), ["error evidence-rewritten EVIDENCE"]);
    follow_hints(&repo, &["--range", "start..HEAD"]);
    repo.git(&["commit", "-q", "-m", "keep the evidence"]);
    assert_eq!(range(&repo, "start", "HEAD"), ["warning evidence-rewritten EVIDENCE"]);
    assert_eq!(repo.read_text("a.py"), lines("a.py"));
}

#[test]
fn a_revert_that_keeps_the_evidence_is_clean() {
    let world = World::new();
    let repo = project(&world);
    let revert = |arguments: &[&str]| {
        repo.git(&[&["revert", "--no-commit"], arguments].concat());
        repo.git(&["checkout", "HEAD", "--", ".codex/evidence"]);
        assert_eq!(verify(&repo, &["--staged"]), CLEAN);
        repo.git(&["commit", "-q", "-m", "revert"]);
        assert_clean(&repo);
    };
    archive(&repo, &["a.py"]);
    revert(&["HEAD"]);
    assert_eq!(repo.read_text("a.py"), lines("a.py"));
    archive(&repo, &["b.py"]);
    restore(&repo, "b.py");
    revert(&["HEAD"]);
    assert_ne!(repo.read_text("b.py"), lines("b.py"));
    repo.git(&["switch", "-q", "-c", "topic"]);
    archive(&repo, &["c.py"]);
    switch(&repo, "main");
    repo.git(&["merge", "-q", "--no-ff", "--no-edit", "topic"]);
    revert(&["-m", "1", "HEAD"]);
    // `restore` says it all in one go, and leaves a record.
    restore(&repo, "b.py");
    assert_clean(&repo);
}

#[test]
fn to_revert_an_edit_with_its_archive_the_stub_is_restored_first() {
    let world = World::new();
    let repo = project(&world);
    edit(&repo, "a.py");
    archive(&repo, &["a.py"]);
    repo.git(&["reset", "-q", "--soft", "start"]);
    repo.git(&["commit", "-q", "--no-verify", "-m", "both at once"]);
    repo.git(&["tag", "-f", "start"]);
    repo.git(&["revert", "--no-commit", "HEAD"]);
    repo.git(&["checkout", "HEAD", "--", ".codex/evidence"]);
    assert_eq!(verify(&repo, &["--staged"]), ["error stub-removed a.py"]);
    repo.git(&["checkout", "HEAD", "--", "a.py"]);
    repo.tomb_ok(&["restore", "a.py"]);
    repo.git(&["checkout", "HEAD~1", "--", "a.py"]);
    repo.git(&["commit", "-q", "-m", "revert"]);
    assert_clean(&repo);
    assert_eq!(repo.read_text("a.py"), lines("a.py"));
}

#[test]
fn amends_keep_or_drop_what_only_they_had() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py"]);
    repo.git(&["commit", "-q", "--amend", "-m", "another message"]);
    repo.tomb_ok(&["store", "b.py"]);
    repo.git(&["commit", "-q", "--amend", "-m", "archive both"]);
    assert_clean(&repo);
    // The last archive of all is not wanted.
    repo.git(&["rm", "-q", "-r", "--cached", ".codex/evidence"]);
    repo.git(&["checkout", "start", "--", "a.py", "b.py"]);
    repo.write("x", "x\n");
    repo.git(&["add", "x"]);
    assert_eq!(verify(&repo, &["--staged"]), ["warning evidence-rewritten EVIDENCE"; 2]);
    repo.git(&["commit", "-q", "--amend", "-m", "no archive"]);
    assert_clean(&repo);
}

#[test]
fn partial_commits_are_told_what_to_take_along() {
    let world = World::new();
    let repo = project(&world);
    repo.tomb_ok(&["store", "a.py", "b.py"]);
    let refused = repo.try_git(&["commit", "-q", "-m", "partial", "--", "a.py"]);
    assert_eq!(refused.code, Some(1), "{refused}");
    let told = refused.all_text();
    let hint = told.lines().find_map(|line| line.trim().strip_prefix("hint: git commit ")).unwrap();
    let run = Run::from(repo.command("sh").args(["-c", &format!("git commit -q -m both {hint}")]).output().unwrap());
    assert_eq!(run.code, Some(0), "{run}");
    assert_clean(&repo);
    repo.write("c.py", "changed\n");
    repo.git(&["commit", "-q", "-a", "-m", "the rest"]);
    assert_clean(&repo);
}

/// As it was restored, a file accounts for itself; edited, it takes the evidence.
#[test]
fn partial_commits_of_a_restored_and_edited_file_are_told_the_evidence() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py", "b.py"]);
    repo.tomb_ok(&["restore", "a.py"]);
    repo.write("a.py", "edited = True\n");
    let evidence = repo.git(&["diff", "--cached", "--name-only", "--", ".codex"]);
    let told = repo.try_git(&["commit", "-q", "-m", "partial", "--", "a.py"]).exits(1).all_text();
    assert!(told.contains("stub-removed") && told.contains("leaves the evidence that its item was restored"), "{told}");
    assert!(told.contains(&evidence), "{evidence}: {told}");
    let hint = told.lines().find_map(|line| line.trim().strip_prefix("hint: git commit ")).unwrap();
    let run = Run::from(repo.command("sh").args(["-c", &format!("git commit -q -m both {hint}")]).output().unwrap());
    assert_eq!(run.code, Some(0), "{run}");
    assert_clean(&repo);
    // Where there is no such evidence, it has to be made.
    repo.write("b.py", "edited = True\n");
    let told = repo.try_git(&["commit", "-q", "-m", "edited", "--", "b.py"]).exits(1).all_text();
    assert!(told.contains("first `git archive-tomb restore"), "{told}");
}

#[test]
fn a_stash_keeps_a_staged_archive_together() {
    let world = World::new();
    let repo = project(&world);
    for (path, pop) in [("a.py", &["stash", "pop", "-q", "--index"][..]), ("b.py", &["stash", "pop", "-q"])] {
        repo.tomb_ok(&["store", path]);
        repo.git(&["stash", "-q"]);
        assert_eq!(repo.read_text(path), lines(path));
        go_on(&repo, &format!("x-{path}"));
        repo.git(pop);
        repo.git(&["commit", "-q", "-a", "-m", "archive"]);
        assert_clean(&repo);
    }
    // Without `-a`, git commits the evidence first and the stub when it is added.
    repo.tomb_ok(&["store", "c.py"]);
    repo.git(&["stash", "-q"]);
    repo.git(&["stash", "pop", "-q"]);
    repo.git(&["commit", "-q", "-m", "evidence"]);
    repo.git(&["commit", "-q", "-a", "-m", "stub"]);
    assert_clean(&repo);
}

#[test]
fn moved_and_deleted_stubs_are_warnings_and_can_still_be_restored() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py", "src"]);
    repo.git(&["mv", "a.py", "z.py"]);
    repo.git(&["mv", "src", "lib"]);
    repo.git(&["commit", "-q", "-m", "move"]);
    let moved = ["warning stub-moved lib/d.py", "warning stub-moved lib/e.py", "warning stub-moved z.py"];
    assert_eq!(range(&repo, "start", "HEAD"), moved);
    restore(&repo, "z.py");
    assert_eq!(repo.read_text("z.py"), lines("a.py"));
    assert_eq!(range(&repo, "HEAD~1", "HEAD"), CLEAN);
    let gone = repo.tombstone_at("lib/d.py");
    repo.git(&["rm", "-q", "lib/d.py"]);
    repo.git(&["commit", "-q", "-m", "remove"]);
    assert_eq!(range(&repo, "HEAD~1", "HEAD"), ["warning stub-removed lib/d.py"]);
    assert_eq!(repo.tomb_ok(&["restore", &gone, "-"]).stdout, lines("src/d.py").as_bytes());
}

#[test]
fn a_stub_from_another_branch_needs_its_evidence() {
    let world = World::new();
    let repo = project(&world);
    branch(&repo, "topic");
    archive(&repo, &["a.py"]);
    switch(&repo, "main");
    repo.git(&["checkout", "topic", "--", "a.py"]);
    assert_eq!(verify(&repo, &["--staged"]), ["error stub-unknown a.py"]);
    repo.git(&["checkout", "topic", "--", ":/.codex/evidence"]);
    repo.git(&["commit", "-q", "-m", "take it over"]);
    assert_clean(&repo);
    // What is not committed is undone as anything else is; the record of it may stay.
    repo.tomb_ok(&["store", "b.py"]);
    repo.git(&["checkout", "HEAD", "--", "b.py"]);
    repo.git(&["commit", "-q", "-m", "evidence alone"]);
    assert_clean(&repo);
    repo.tomb_ok(&["store", "c.py"]);
    repo.git(&["reset", "-q", "--hard"]);
    assert_clean(&repo);
}

#[test]
fn mailed_and_bundled_commits_are_clean() {
    let world = World::new();
    let repo = project(&world);
    let elsewhere = repo.copy_to("elsewhere");
    archive(&repo, &["a.py", "src"]);
    restore(&repo, "src/d.py");
    let patches = repo.git(&["format-patch", "-o", "../patches", "start"]);
    let patches: Vec<&str> = patches.lines().collect();
    elsewhere.git(&[&["am", "-q"], &patches[..]].concat());
    assert_clean(&elsewhere);
    elsewhere.git(&["fetch", "-q", "../project", "main"]);
    assert_eq!(elsewhere.git(&["diff", "HEAD", "FETCH_HEAD"]), "");
    repo.git(&["bundle", "create", "-q", "../all.bundle", "--all"]);
    repo.git(&["clone", "-q", "-b", "main", "../all.bundle", "../bundled"]);
    assert_clean(&world.at("bundled"));
}

#[test]
fn a_shallow_clone_says_what_it_lacks_and_how_to_get_it() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py"]);
    go_on(&repo, "x");
    let url = format!("file://{}", repo.path.display());
    repo.git(&["clone", "-q", "--depth", "1", &url, "../shallow"]);
    let shallow = world.at("shallow");
    assert!(verify(&shallow, &["--all"]).contains(&"error history-incomplete ".to_owned()));
    let told = shallow.tomb(&["verify", "--all"]).stdout_text();
    assert!(told.contains("hint: git fetch --unshallow"), "{told}");
    shallow.git(&["fetch", "-q", "--unshallow", "--tags"]);
    assert_clean(&shallow);
}

#[test]
fn linked_worktrees_and_submodules_nearby_change_nothing() {
    let world = World::new();
    let library = world.sample("library");
    let repo = project(&world);
    repo.git(&["submodule", "--quiet", "add", &library.path.display().to_string(), "lib"]);
    repo.git(&["commit", "-q", "-m", "library"]);
    repo.git(&["worktree", "add", "-q", "../linked", "-b", "linked"]);
    let linked = world.at("linked");
    archive(&linked, &["a.py"]);
    assert_clean(&linked);
    archive(&repo, &["src"]);
    repo.git(&["merge", "-q", "--no-edit", "linked"]);
    assert_clean(&repo);
}

#[test]
fn a_subtree_comes_in_goes_out_and_follows_its_origin() {
    let world = World::new();
    let library = project(&world);
    archive(&library, &["a.py"]);
    let host = world.init("host");
    // Some builds of git come without the script.
    let with_subtree =
        |git: &&&str| host.command(git).args(["subtree"]).output().is_ok_and(|run| run.status.code() == Some(129));
    let Some(git) = ["git", "/usr/bin/git"].iter().find(with_subtree) else {
        assert!(std::env::var_os("CI").is_none(), "no git here has `subtree`");
        return;
    };
    let subtree = |arguments: &[&str]| {
        let run = Run::from(host.command(git).arg("subtree").args(arguments).output().unwrap());
        assert_eq!(run.code, Some(0), "{arguments:?}: {run}");
    };
    go_on(&host, "main.c");
    host.tomb_ok(&["init"]);
    host.git(&["commit", "-q", "-m", "init"]);
    host.git(&["tag", "start"]);
    subtree(&["add", "-q", "--prefix=vendor/lib", "../project", "main"]);
    assert_clean(&host);
    archive(&library, &["b.py"]);
    restore(&library, "a.py");
    subtree(&["pull", "-q", "--prefix=vendor/lib", "../project", "main"]);
    assert_clean(&host);
    subtree(&["split", "-q", "--prefix=vendor/lib", "-b", "split"]);
    assert_eq!(range(&host, "start", "split"), CLEAN);
    // What the host itself archives below has its evidence at the top, which a split leaves out.
    archive(&host, &["vendor/lib/c.py"]);
    assert_clean(&host);
    subtree(&["split", "-q", "--prefix=vendor/lib", "-b", "again"]);
    assert_eq!(range(&host, "split", "again"), ["error stub-unknown c.py"]);
}

#[test]
fn a_history_rewritten_as_a_whole_verifies_as_before() {
    let world = World::new();
    let repo = project(&world);
    edit(&repo, "b.py");
    archive(&repo, &["a.py", "b.py"]);
    restore(&repo, "a.py");
    let rewrite = repo.with("FILTER_BRANCH_SQUELCH_WARNING", "1");
    rewrite.git(&[
        "filter-branch",
        "-f",
        "--msg-filter",
        "sed s/^/rewritten:/",
        "--tag-name-filter",
        "cat",
        "--",
        "--all",
    ]);
    repo.git(&["clone", "-q", "--no-local", "--single-branch", "-b", "main", ".", "../rewritten"]);
    let rewritten = world.at("rewritten");
    assert_eq!(range(&rewritten, "start", "HEAD"), CLEAN);
    // The records' commits have other ids now.
    assert_eq!(verify(&rewritten, &["--all"]), ["warning unproven b.py"]);
}

#[test]
fn two_who_archive_the_same_file_take_either_stub() {
    let world = World::new();
    let repo = project(&world);
    for side in ["--ours", "--theirs"] {
        for (name, who) in [("one", "one <one@example.org>"), ("two", "two <two@example.org>")] {
            repo.git(&["switch", "-q", "-C", name, "start"]);
            repo.tomb_ok(&["store", "--by", who, "a.py"]);
            repo.git(&["commit", "-q", "-m", "archive"]);
        }
        conflicts(&repo, &["merge", "-q", "one"], &["a.py"]);
        assert_eq!(repo.try_git(&["commit", "-q", "-a", "-m", "markers"]).code, Some(1));
        repo.git(&["checkout", "-q", side, "--", "a.py"]);
        repo.git(&["add", "a.py"]);
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_clean(&repo);
        restore(&repo, "a.py");
        assert_clean(&repo);
    }
}

#[test]
fn one_edits_what_the_other_archives() {
    let world = World::new();
    let repo = project(&world);
    branch(&repo, "edits");
    edit(&repo, "a.py");
    branch(&repo, "archives");
    archive(&repo, &["a.py"]);
    repo.git(&["switch", "-q", "--detach"]);
    // The stub stays: the edit is in git's history, and the merge shows both.
    conflicts(&repo, &["merge", "-q", "edits"], &["a.py"]);
    take(&repo, "--ours", "a.py");
    repo.git(&["commit", "-q", "--no-edit"]);
    assert_clean(&repo);
    for (into, other, stub, keeps) in
        [("archives", "edits", "--ours", "MERGE_HEAD"), ("edits", "archives", "--theirs", "HEAD")]
    {
        // The edit stays: on the record.
        repo.git(&["switch", "-q", "--detach", into]);
        conflicts(&repo, &["merge", "-q", other], &["a.py"]);
        take(&repo, if stub == "--ours" { "--theirs" } else { "--ours" }, "a.py");
        assert_eq!(verify(&repo, &["--staged"]), ["error stub-removed a.py"]);
        repo.git(&["checkout", "-q", "-m", "--", "a.py"]);
        take(&repo, stub, "a.py");
        repo.tomb_ok(&["restore", "a.py"]);
        repo.git(&["checkout", keeps, "--", "a.py"]);
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_clean(&repo);
        assert_eq!(repo.read_text("a.py"), edited("a.py"));
        // And the edited file is archived.
        archive(&repo, &["a.py"]);
        assert_clean(&repo);
    }
}

#[test]
fn one_renames_what_the_other_archives() {
    let world = World::new();
    let repo = project(&world);
    for edit_first in [false, true] {
        repo.git(&["switch", "-q", "-C", "renames", "start"]);
        repo.git(&["mv", "a.py", "renamed.py"]);
        repo.git(&["commit", "-q", "-m", "rename"]);
        repo.git(&["switch", "-q", "-C", "archives", "start"]);
        if edit_first {
            edit(&repo, "a.py");
        }
        archive(&repo, &["a.py"]);
        switch(&repo, "renames");
        repo.git(&["merge", "-q", "--no-edit", "archives"]);
        assert_eq!(range(&repo, "start", "HEAD"), ["warning stub-moved renamed.py"]);
        restore(&repo, "renamed.py");
        let bytes = if edit_first { edited("a.py") } else { lines("a.py") };
        assert_eq!(repo.read_text("renamed.py"), bytes);
    }
}

#[test]
fn both_restore_and_one_restores_what_the_other_archives_anew() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py", "b.py"]);
    repo.git(&["tag", "-f", "start"]);
    branch(&repo, "one");
    restore(&repo, "a.py");
    branch(&repo, "two");
    restore(&repo, "a.py");
    repo.git(&["merge", "-q", "--no-edit", "one"]);
    assert_clean(&repo);

    branch(&repo, "restores");
    restore(&repo, "b.py");
    repo.git(&["switch", "-q", "-c", "again", "start"]);
    restore(&repo, "b.py");
    edit(&repo, "b.py");
    archive(&repo, &["b.py"]);
    for (side, findings) in [("--ours", &CLEAN[..]), ("--theirs", &["error stub-removed b.py"])] {
        repo.git(&["switch", "-q", "--detach", "again"]);
        conflicts(&repo, &["merge", "-q", "restores"], &["b.py"]);
        take(&repo, side, "b.py");
        assert_eq!(verify(&repo, &["--staged"]), findings);
        if side == "--theirs" {
            repo.git(&["checkout", "HEAD", "--", "b.py"]);
            repo.tomb_ok(&["restore", "b.py"]);
            repo.git(&["checkout", "MERGE_HEAD", "--", "b.py"]);
        }
        repo.git(&["commit", "-q", "--no-edit"]);
        assert_clean(&repo);
    }
}

#[test]
fn a_merge_does_not_judge_again_what_its_other_parent_did_step_by_step() {
    let world = World::new();
    let repo = project(&world);
    archive(&repo, &["a.py", "b.py", "c.py"]);
    branch(&repo, "topic");
    repo.git(&["merge", "-q", "--ff-only", "main"]);
    go_on(&repo, "x");
    switch(&repo, "main");
    // The bytes come back, and are edited afterwards.
    repo.git(&["checkout", "start", "--", "a.py"]);
    repo.git(&["commit", "-q", "-m", "undo"]);
    edit(&repo, "a.py");
    // Another stub takes a stub's place, and is restored.
    restore(&repo, "b.py");
    edit(&repo, "b.py");
    archive(&repo, &["b.py"]);
    // A stub goes, and later something else comes.
    repo.git(&["rm", "-q", "c.py"]);
    repo.git(&["commit", "-q", "-m", "remove"]);
    go_on(&repo, "c.py");
    let findings = ["warning stub-removed c.py"];
    assert_eq!(range(&repo, "start", "HEAD"), findings);
    switch(&repo, "topic");
    repo.git(&["merge", "-q", "--no-commit", "main"]);
    assert_eq!(verify(&repo, &["--staged"]), CLEAN);
    repo.git(&["commit", "-q", "--no-edit"]);
    assert_eq!(range(&repo, "main", "HEAD"), CLEAN);
    assert_eq!(range(&repo, "start", "HEAD"), findings);
    // The same where this side has renamed the stub meanwhile.
    repo.git(&["switch", "-q", "--detach", "topic~1"]);
    repo.git(&["mv", "a.py", "z.py"]);
    repo.git(&["commit", "-q", "-m", "rename"]);
    let run = repo.try_git(&["merge", "-q", "--no-commit", "main"]);
    assert_eq!(repo.read_text("z.py"), edited("a.py"), "{run}");
    assert_eq!(verify(&repo, &["--staged"]), CLEAN);
    repo.git(&["merge", "--abort"]);
    // A merge that itself puts other bytes there does answer for it.
    repo.git(&["switch", "-q", "--detach", "topic~1"]);
    repo.git(&["merge", "-q", "--no-commit", "main"]);
    repo.write("a.py", "neither\n");
    repo.git(&["add", "a.py"]);
    assert_eq!(verify(&repo, &["--staged"]), ["error stub-removed a.py"]);
}

#[test]
fn a_merge_that_leaves_the_other_side_out_keeps_its_evidence() {
    let world = World::new();
    let repo = project(&world);
    branch(&repo, "topic");
    archive(&repo, &["a.py"]);
    switch(&repo, "main");
    repo.git(&["merge", "-q", "-s", "ours", "--no-commit", "topic"]);
    assert!(verify(&repo, &["--staged"]).contains(&"error evidence-rewritten EVIDENCE".to_owned()));
    repo.git(&["checkout", "MERGE_HEAD", "--", ".codex/evidence"]);
    repo.git(&["commit", "-q", "--no-edit"]);
    assert_clean(&repo);
}
