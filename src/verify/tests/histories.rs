//! Real histories, made with the real git.

use super::project::{Project, assert_report, run};
use crate::evidence::record::Action;
use crate::id::Sha256;
use crate::verify::Scope;

#[test]
fn an_archive_is_clean_before_and_after_its_commit() {
    let project = Project::new();
    assert_report(&project.staged(), &[]);
    project.archive(&["a.py", "b.py"]);
    let staged = project.staged();
    assert_report(&staged, &[]);
    assert_eq!((staged.checked.commits, staged.checked.stubs, staged.checked.evidence_files), (1, 2, 1));
    project.commit("archive");
    project.archive(&["c.py"]);
    project.commit("archive more");
    let range = project.range("start", "HEAD");
    assert_report(&range, &[]);
    assert_eq!((range.checked.commits, range.checked.edges, range.checked.stubs), (2, 2, 3));
    let all = project.all();
    assert_report(&all, &[]);
    assert_eq!(all.checked.stubs, 3);
    assert_report(&project.staged(), &[]);
}

#[test]
fn the_working_tree_is_never_read() {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.write("a.py", "something else\n");
    for file in project.evidence_files() {
        std::fs::remove_file(project.top().join(file)).expect("removes");
    }
    assert_report(&project.staged(), &[]);
    assert_report(&project.all(), &[]);
}

#[test]
fn there_may_be_no_commit_yet() {
    for format in ["sha1", "sha256"] {
        let project = Project::empty(format);
        assert_report(&project.staged(), &[]);
        assert_report(&project.all(), &[]);
        project.write("a.py", "a\n");
        project.git(&["add", "-A"]);
        assert_report(&project.staged(), &[]);
        project.commit("start");
        project.archive(&["a.py"]);
        assert_report(&project.staged(), &[]);
        project.commit("archive");
        assert_report(&project.range("HEAD~", "HEAD"), &[]);
        assert_report(&project.all(), &[]);
    }
}

#[test]
fn branches_that_each_archive_merge_three_way_and_stay_clean() {
    let project = Project::new();
    project.git(&["switch", "-q", "-c", "topic"]);
    project.archive(&["a.py"]);
    project.commit("archive a");
    project.git(&["switch", "-q", "main"]);
    project.archive(&["b.py"]);
    project.commit("archive b");
    project.git(&["merge", "-q", "--no-ff", "--no-commit", "topic"]);
    assert_report(&project.staged(), &[]);
    project.git(&["commit", "-q", "--no-edit"]);
    let merged = project.range("start", "HEAD");
    assert_report(&merged, &[]);
    assert_eq!((merged.checked.commits, merged.checked.edges), (3, 4));
    project.archive(&["c.py"]);
    assert_report(&project.staged(), &[]);
    project.commit("close the graph");
    assert_report(&project.all(), &[]);
    assert_report(&project.range("HEAD~", "HEAD"), &[]);
}

#[test]
fn a_merge_that_drops_evidence_is_found_on_either_edge() {
    for (ours, theirs) in [("main", "topic"), ("topic", "main")] {
        let project = Project::new();
        project.git(&["switch", "-q", "-c", "topic"]);
        project.archive(&["a.py"]);
        project.commit("archive a");
        project.git(&["switch", "-q", "main"]);
        project.write("x", "x");
        project.commit("go on");
        project.git(&["switch", "-q", ours]);
        project.git(&["merge", "-q", "--no-ff", "--no-commit", theirs]);
        project.git(&["rm", "-q", "-r", "--cached", ".codex"]);
        assert_report(&project.staged(), &["error evidence-rewritten EVIDENCE"]);
        project.git(&["commit", "-q", "--no-edit"]);
        assert_report(&project.range("start", "HEAD"), &["error evidence-rewritten EVIDENCE"]);
        let report = project.all();
        assert_report(&report, &["error evidence-rewritten EVIDENCE", "error stub-unknown a.py"]);
    }
}

#[test]
fn a_merge_that_keeps_an_edited_file_needs_a_record() {
    let project = Project::new();
    project.git(&["switch", "-q", "-c", "topic"]);
    project.write("a.py", "print('edited')\n");
    project.commit("edit");
    project.git(&["switch", "-q", "main"]);
    let tombstones = project.archive(&["a.py"]);
    project.commit("archive");
    assert!(!project.try_git(&project.top(), &["merge", "-q", "topic"]).0, "conflicts");
    project.write("a.py", "print('edited')\n");
    project.git(&["add", "a.py"]);
    assert_report(&project.staged(), &["error stub-removed a.py"]);
    project.account(Action::Restore, tombstones[0]);
    assert_report(&project.staged(), &[]);
    project.git(&["commit", "-q", "--no-edit"]);
    assert_report(&project.range("start", "HEAD"), &[]);
    // Keeping the stub is no loss: the branch that wrote it proved it.
    project.git(&["reset", "-q", "--hard", "HEAD~"]);
    assert!(!project.try_git(&project.top(), &["merge", "-q", "topic"]).0, "conflicts");
    project.git(&["checkout", "-q", "--ours", "a.py"]);
    project.git(&["add", "a.py"]);
    assert_report(&project.staged(), &[]);
}

#[test]
fn rebase_and_cherry_pick_carry_stub_and_evidence() {
    let project = Project::new();
    project.git(&["switch", "-q", "-c", "topic"]);
    project.archive(&["a.py"]);
    project.commit("archive a");
    project.archive(&["b.py"]);
    project.commit("archive b");
    project.git(&["switch", "-q", "main"]);
    project.write("x", "x");
    project.commit("go on");
    project.git(&["switch", "-q", "topic"]);
    project.git(&["rebase", "-q", "main"]);
    assert_report(&project.range("main", "topic"), &[]);
    project.git(&["switch", "-q", "main"]);
    project.git(&["cherry-pick", "topic"]);
    // Its predecessor stayed on the other branch.
    assert_report(&project.range("start", "main"), &["warning evidence-broken EVIDENCE"]);
}

#[test]
fn a_rebase_over_an_edit_does_not_hide_the_edit() {
    let project = Project::new();
    project.git(&["switch", "-q", "-c", "topic"]);
    project.archive(&["a.py"]);
    project.commit("archive a");
    let stub = project.read("a.py");
    project.git(&["switch", "-q", "main"]);
    project.write("a.py", "print('edited')\n");
    project.commit("edit");
    project.git(&["switch", "-q", "topic"]);
    assert!(!project.try_git(&project.top(), &["rebase", "-q", "main"]).0, "conflicts");
    project.write("a.py", stub);
    project.git(&["add", "-A"]);
    project.git(&["rebase", "--continue"]);
    assert_report(&project.range("main", "topic"), &["error stub-mismatch a.py"]);
}

#[test]
fn a_revert_brings_bytes_back_and_may_not_take_evidence_away() {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.commit("archive");
    project.git(&["revert", "--no-commit", "HEAD"]);
    // While it is staged, it looks like an amend that leaves the archive out.
    assert_report(&project.staged(), &["warning evidence-rewritten EVIDENCE"]);
    project.git(&["commit", "-q", "-m", "revert"]);
    let report = project.range("start", "HEAD");
    assert_report(&report, &["error evidence-rewritten EVIDENCE"]);
    let hint = report.findings[0].hint.clone().expect("has a hint");
    // The hint is the command that mends it.
    let words: Vec<&str> = hint.split(' ').skip(1).collect();
    project.git(&words);
    project.commit("keep the evidence");
    assert_report(&project.range("start", "HEAD"), &["warning evidence-rewritten EVIDENCE"]);
    assert_report(&project.all(), &["warning evidence-rewritten EVIDENCE"]);
    assert_report(&project.range("HEAD~2", "HEAD"), &["warning evidence-rewritten EVIDENCE"]);
}

#[test]
fn a_squash_keeps_what_it_archived() {
    let project = Project::new();
    project.git(&["switch", "-q", "-c", "topic"]);
    project.write("new.py", "new\n");
    project.commit("add");
    project.archive(&["a.py", "new.py"]);
    project.commit("archive");
    project.git(&["switch", "-q", "main"]);
    project.git(&["merge", "-q", "--squash", "topic"]);
    assert_report(&project.staged(), &[]);
    project.commit("squashed");
    assert_report(&project.range("start", "HEAD"), &[]);
    // In a clone that never saw the branch, the new file's commit is unknown.
    project.git_in(project.home(), &["clone", "-q", "--no-local", "--single-branch", "top", "clone"]);
    let clone = project.discover(&project.home().join("clone"), &[]);
    let scope = Scope::Range { from: project.id("start"), to: project.id("HEAD") };
    assert_report(&run(&clone, &scope), &["warning unproven new.py"]);
}

#[test]
fn an_amend_is_told_from_a_loss() {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.commit("archive a");
    let first = project.evidence_files();
    // The archive is made anew, as `git commit --amend` after an undo would.
    project.git(&["rm", "-q", "-r", "--cached", ".codex"]);
    project.git(&["checkout", "-q", "start", "--", "a.py"]);
    assert_report(&project.staged(), &["warning evidence-rewritten EVIDENCE"]);
    project.git(&["reset", "-q", "--hard", "HEAD"]);
    project.archive(&["b.py"]);
    project.commit("archive b");
    project.git(&["rm", "-q", "-r", "--cached", ".codex"]);
    let report = project.staged();
    assert_report(&report, &["error evidence-rewritten EVIDENCE", "warning evidence-rewritten EVIDENCE"]);
    assert_eq!(report.findings[0].path().expect("has a path"), first[0].as_str());
    // No amend changes a file that is there.
    project.git(&["reset", "-q", "--hard", "HEAD"]);
    let last = project.evidence_files().pop().expect("is there");
    project.write(&last, "changed\n");
    project.git(&["add", &last]);
    let expected = ["error evidence-broken EVIDENCE", "error evidence-rewritten EVIDENCE", "error stub-unknown b.py"];
    assert_report(&project.staged(), &expected[..2]);
    project.git(&["commit", "-q", "-m", "tamper"]);
    assert_report(&project.range("HEAD~", "HEAD"), &expected[..2]);
    assert_report(&project.all(), &expected);
}

#[cfg(unix)]
#[test]
fn committing_a_path_without_its_evidence_is_refused_with_the_command() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new();
    project.archive(&["a.py", "b.py"]);
    // The hook sees the temporary index that git commits from.
    let hook = project.top().join(".git/hooks/pre-commit");
    let kept = project.home().join("kept-index");
    let copy = |name: &str| {
        let script = format!("#!/bin/sh\ncp \"$GIT_INDEX_FILE\" '{}'\nexit 1\n", kept.display());
        std::fs::write(&hook, script).expect("writes");
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("sets");
        assert!(!project.try_git(&project.top(), &["commit", "-m", "partial", "--", name]).0, "the hook refuses");
    };
    copy("a.py");
    let partial = project.discover(&project.top(), &[("GIT_INDEX_FILE", kept.to_str().expect("is text"))]);
    let report = run(&partial, &Scope::Staged { merge_heads: Vec::new() });
    assert_report(&report, &["error evidence-missing a.py"]);
    let hint = report.findings[0].hint.clone().expect("has a hint");
    assert_eq!(hint, "git commit -- :/a.py :/.codex/evidence");
    std::fs::remove_file(&hook).expect("removes");
    let words: Vec<&str> = hint.split(' ').skip(2).collect();
    project.git(&[&["commit", "-q", "-m", "both"], &words[..]].concat());
    assert_report(&project.range("start", "HEAD"), &[]);
    assert_report(&project.staged(), &[]);
}

#[test]
fn moves_copies_edits_and_deletions_of_stubs() {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.commit("archive");
    project.git(&["tag", "archived"]);
    let again = || project.git(&["reset", "-q", "--hard", "archived"]);

    project.git(&["mv", "a.py", "moved.py"]);
    assert_report(&project.staged(), &["warning stub-moved moved.py"]);
    project.commit("move");
    assert_report(&project.all(), &["warning stub-moved moved.py"]);
    again();
    project.write("copy.py", project.read("a.py"));
    project.git(&["add", "-A"]);
    assert_report(&project.staged(), &["warning stub-duplicate copy.py", "warning stub-moved copy.py"]);
    again();
    project.write("a.py", project.read("a.py").replace("size: ", "size: 1"));
    project.git(&["add", "-A"]);
    assert_report(&project.staged(), &["error stub-mismatch a.py"]);
    again();
    project.write("a.py", "overwritten\n");
    project.commit("overwrite");
    assert_report(&project.range("archived", "HEAD"), &["error stub-removed a.py"]);
    again();
    project.git(&["rm", "-q", "a.py"]);
    assert_report(&project.staged(), &["warning stub-removed a.py"]);
}

#[test]
fn swapped_bytes_and_forged_records_are_found() {
    let project = Project::new();
    project.write("a.py", "print('swapped')\n");
    project.commit("edit");
    project.git(&["tag", "edited"]);
    // The record is of the bytes before the edit: as if the edit had never been.
    project.git(&["reset", "-q", "--hard", "start"]);
    project.archive(&["a.py"]);
    project.git(&["reset", "-q", "--soft", "edited"]);
    assert_report(&project.staged(), &["error stub-mismatch a.py"]);
    project.git(&["commit", "-q", "-m", "archive"]);
    assert_report(&project.range("edited", "HEAD"), &["error stub-mismatch a.py"]);

    project.git(&["reset", "-q", "--hard", "start"]);
    project.archive_with(&["b.py"], |record| record.sha256 = Some(Sha256::of(b"forged")));
    assert_report(&project.staged(), &["error stub-mismatch b.py"]);
}

#[test]
fn an_imported_subtree_verifies_below_its_folder() {
    let library = Project::new();
    library.archive(&["a.py"]);
    library.commit("archive");
    let host = Project::empty("sha1");
    host.write("main.c", "int main;\n");
    host.commit("start");
    host.git(&["tag", "start"]);
    let url = library.top().to_string_lossy().into_owned();
    host.git(&["fetch", "-q", "--no-tags", &url, "main"]);
    host.git(&["merge", "-q", "-s", "ours", "--no-commit", "--allow-unrelated-histories", "FETCH_HEAD"]);
    host.git(&["read-tree", "--prefix=vendor/lib/", "-u", "FETCH_HEAD"]);
    assert_report(&host.staged(), &[]);
    host.git(&["commit", "-q", "-m", "import"]);
    assert_report(&host.range("start", "HEAD"), &[]);
    assert_report(&host.all(), &[]);
    // Renaming the folder takes stubs and evidence along.
    host.git(&["mv", "vendor", "third-party"]);
    host.commit("rename");
    assert_report(&host.range("HEAD~", "HEAD"), &[]);
    // Taking the folder out loses evidence.
    host.git(&["rm", "-q", "-r", "third-party/lib/.codex"]);
    host.git(&["commit", "-q", "-m", "remove"]);
    assert_report(&host.range("HEAD~", "HEAD"), &["error evidence-rewritten EVIDENCE"]);
}

#[test]
fn a_checkout_with_other_line_ends_changes_nothing() {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.commit("archive");
    project.git_in(project.home(), &["clone", "-q", "-c", "core.autocrlf=true", "top", "windows"]);
    let dir = project.home().join("windows");
    assert!(std::fs::read(dir.join("a.py")).expect("reads").contains(&b'\r'));
    let windows = project.discover(&dir, &[]);
    assert_report(&run(&windows, &Scope::All), &[]);
    assert_report(&run(&windows, &Scope::Staged { merge_heads: Vec::new() }), &[]);
    // Even a stub committed with CRLF is the same stub.
    project.write("a.py", project.read("a.py").replace('\n', "\r\n"));
    project.commit("other line ends");
    assert_report(&project.range("HEAD~", "HEAD"), &[]);
}

#[test]
fn a_shallow_clone_never_passes() {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.commit("archive");
    project.write("x", "x");
    project.commit("go on");
    let url = format!("file://{}", project.top().display());
    project.git_in(project.home(), &["clone", "-q", "--depth", "1", &url, "shallow"]);
    let dir = project.home().join("shallow");
    let shallow = project.discover(&dir, &[]);
    let report = run(&shallow, &Scope::All);
    // The original is not here either.
    assert_report(&report, &["error history-incomplete", "warning unproven a.py"]);
    assert_eq!(report.findings[1].hint.as_deref(), Some("git fetch --unshallow"));
    assert_report(&run(&shallow, &Scope::Staged { merge_heads: Vec::new() }), &[]);
    project.git_in(&dir, &["fetch", "-q", "--unshallow"]);
    assert_report(&run(&project.discover(&dir, &[]), &Scope::All), &[]);
}

#[test]
fn a_filtered_clone_never_passes_and_never_fetches() {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.commit("archive");
    project.git(&["config", "uploadpack.allowFilter", "true"]);
    let url = format!("file://{}", project.top().display());
    project.git_in(project.home(), &["clone", "-q", "--bare", "--filter=blob:none", &url, "partial"]);
    let dir = project.home().join("partial");
    let scope = Scope::Range { from: project.id("start"), to: project.id("HEAD") };
    for _ in 0..2 {
        let report = run(&project.discover(&dir, &[]), &scope);
        assert!(
            report.findings.iter().all(|finding| finding.rule == crate::verify::Rule::HistoryIncomplete),
            "{report:#?}"
        );
        assert!(!report.is_clean());
        let hint = report.findings[0].hint.clone().expect("has a hint");
        assert_eq!(hint, "git fetch --refetch --no-filter");
    }
    project.git_in(&dir, &["fetch", "-q", "--refetch", "--no-filter"]);
    assert_report(&run(&project.discover(&dir, &[]), &scope), &[]);
}

#[test]
fn replace_refs_have_no_say() {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.commit("archive");
    project.git(&["rm", "-q", "-r", ".codex"]);
    project.commit("drop evidence");
    let honest = ["error evidence-rewritten EVIDENCE"];
    assert_report(&project.range("start", "HEAD"), &honest);
    // A parent that never had the evidence, were it asked.
    project.git(&["replace", "HEAD~", "start"]);
    assert_report(&project.range("start", "HEAD"), &honest);
}

#[test]
fn exempt_paths_are_read_from_what_is_checked() {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.commit("archive");
    let stub = project.read("a.py").replace("size: ", "size: 9");
    project.write("tests/data/stub.py", stub);
    project.git(&["add", "-A"]);
    let broken = ["error stub-mismatch tests/data/stub.py", "warning stub-duplicate tests/data/stub.py"];
    assert_report(&project.staged(), &broken);
    project.commit("add a fixture");
    // Attributes of the working tree alone do not count.
    project.write("tests/data/.gitattributes", "* -archive-tomb\n");
    assert_report(&project.range("HEAD~", "HEAD"), &broken);
    assert_report(&project.all(), &broken);
    project.git(&["add", "-A"]);
    project.git(&["commit", "-q", "--amend", "--no-edit"]);
    assert_report(&project.range("HEAD~", "HEAD"), &[]);
    assert_report(&project.all(), &[]);
}

#[test]
fn findings_come_oldest_commit_first() {
    let project = Project::new();
    for name in ["b.py", "a.py"] {
        project.write(name, "# git-archive-tomb stub v1\n");
        project.commit(name);
    }
    let report = project.range("start", "HEAD");
    assert_report(&report, &["error stub-malformed b.py", "error stub-malformed a.py"]);
    assert_eq!(report.findings[0].commit, Some(project.id("HEAD~")));
    assert_eq!(report.findings[1].commit, Some(project.id("HEAD")));
}

#[test]
fn awkward_repositories_are_read_as_any_other() {
    let project = Project::new();
    project.write("deep/er/e.py", "e\n");
    project.commit("more");
    project.archive(&["a.py", "deep/er/e.py"]);
    let all_clean = |dir: &std::path::Path| {
        let repository = project.discover(dir, &[]);
        assert_report(&run(&repository, &Scope::Staged { merge_heads: Vec::new() }), &[]);
        let report = run(&repository, &Scope::All);
        assert_report(&report, &[]);
        report.checked.stubs
    };
    assert_eq!(all_clean(&project.top()), 2);
    project.git(&["commit", "-q", "-m", "archive"]);
    // A sparse index, in which the evidence has no entries of its own.
    project.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "deep"]);
    assert!(project.git(&["ls-files", "--sparse"]).lines().any(|line| line == ".codex/"));
    assert_eq!(all_clean(&project.top().join("deep")), 2);
    project.git(&["sparse-checkout", "disable"]);
    project.git(&["update-index", "--split-index"]);
    assert_eq!(all_clean(&project.top()), 2);
    project.git(&["worktree", "add", "-q", "--detach", "../linked"]);
    assert_eq!(all_clean(&project.home().join("linked")), 2);
    project.git(&["gc", "-q"]);
    project.git_in(project.home(), &["clone", "-q", "--bare", "top", "bare"]);
    let bare = project.discover(&project.home().join("bare"), &[]);
    let scope = Scope::Range { from: project.id("start"), to: project.id("HEAD") };
    let report = run(&bare, &scope);
    assert_report(&report, &[]);
    assert_eq!(report.checked.stubs, 2);
}

#[test]
fn every_parent_that_git_names_has_an_edge() {
    let project = Project::new();
    project.git(&["switch", "-q", "-c", "topic"]);
    project.archive(&["a.py"]);
    project.commit("archive");
    let topic = project.id("HEAD");
    project.git(&["switch", "-q", "main"]);
    // A merge that takes nothing over: its other parents are known only from the environment.
    assert_report(&project.staged(), &[]);
    let named = Scope::Staged { merge_heads: vec![topic, topic] };
    let expected = ["error evidence-rewritten EVIDENCE"];
    assert_report(&run(&project.repository(), &named), &expected);
    // And from MERGE_HEAD, while an octopus is made.
    project.git(&["branch", "other", "start"]);
    project.git(&["merge", "-q", "--no-ff", "--no-commit", "-s", "ours", "topic", "other"]);
    let staged = project.staged();
    assert_report(&staged, &expected);
    assert_eq!(staged.checked.edges, 2, "a parent that HEAD contains is none");
    project.git(&["commit", "-q", "--no-edit"]);
    assert_report(&project.range("start", "HEAD"), &expected);
}

#[test]
fn a_missing_parent_is_reported_and_the_rest_is_checked() {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.commit("archive");
    let gone = project.id("start").to_string();
    std::fs::remove_file(project.top().join(".git/objects").join(&gone[..2]).join(&gone[2..])).expect("removes");
    project.write("b.py", "# git-archive-tomb stub v1\n");
    project.git(&["add", "b.py"]);
    let report = project.all();
    let expected = ["error history-incomplete", "error stub-malformed b.py", "warning unproven a.py"];
    assert_report(&report, &expected);
    let incomplete = report.findings.iter().find(|finding| finding.path().is_none()).expect("is there");
    assert!(
        incomplete.reason.contains(&gone) && incomplete.hint.as_ref().is_some_and(|hint| hint.contains("git fsck"))
    );
}

#[test]
fn only_the_same_bytes_mend_lost_evidence() {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.commit("archive");
    let evidence = project.evidence_files().pop().expect("is there");
    let bytes = project.read(&evidence);
    project.git(&["rm", "-q", &evidence]);
    project.commit("lose it");
    project.write(&evidence, bytes.replace("widgets", "gadgets"));
    project.commit("put something else there");
    let expected = ["error evidence-rewritten EVIDENCE", "error evidence-broken EVIDENCE"];
    assert_report(&project.range("start", "HEAD"), &expected);
    project.write(&evidence, bytes);
    project.commit("mend it");
    assert_report(&project.range("start", "HEAD"), &["warning evidence-rewritten EVIDENCE", expected[1]]);
    assert_report(&project.all(), &["warning evidence-rewritten EVIDENCE"]);
}

#[test]
fn an_update_loses_nothing_although_no_edge_leads_there() {
    let project = Project::new();
    let update = |from: &str, to: &str| {
        run(&project.repository(), &Scope::Update { from: project.id(from), to: project.id(to) })
    };
    project.archive(&["a.py"]);
    project.commit("archive a");
    project.git(&["tag", "shared"]);
    assert_report(&update("start", "shared"), &[]);
    project.write("notes", "more\n");
    project.git(&["add", "notes"]);
    project.commit("more");
    assert_report(&update("shared", "HEAD"), &[]);

    // The branch is rewound, as if nobody had archived anything: each commit alone is in order.
    project.git(&["checkout", "-q", "-B", "topic", "start"]);
    project.write("a.py", "changed\n");
    project.git(&["add", "a.py"]);
    project.commit("edit a");
    assert_report(&project.range("shared", "HEAD"), &[]);
    assert_report(&update("shared", "HEAD"), &["error evidence-rewritten EVIDENCE", "error stub-removed a.py"]);
    // What the hint says mends the first; the other is as wrong as it would be on an edge.
    project.git(&["checkout", "-q", "shared", "--", ".codex/evidence"]);
    project.commit("keep the evidence");
    assert_report(&update("shared", "HEAD"), &["error stub-removed a.py"]);

    // Honest rewriting: the same change on another base.
    project.git(&["checkout", "-q", "-B", "base", "start"]);
    project.write("notes", "other\n");
    project.git(&["add", "notes"]);
    project.commit("other");
    project.git(&["cherry-pick", "shared"]);
    assert_report(&update("shared", "HEAD"), &[]);
    assert_report(&update("HEAD", "shared"), &[]);

    // A new branch has no commit before; all that leads to it counts.
    let new = Scope::Update { from: project.repository().object_format().null_id(), to: project.id("HEAD") };
    let report = run(&project.repository(), &new);
    assert_report(&report, &[]);
    assert_eq!(report.checked.commits, 3);
}
