//! Trailers of commit messages that quote evidence: who writes them, and what they notice.

use crate::common::{Repo, World};

/// Returns a repository whose commit messages quote their evidence.
fn quoting(world: &World) -> Repo<'_> {
    let repo = world.sample("project");
    repo.tomb_ok(&["hooks", "install", "--trailers"]);
    repo
}

/// Returns the message of the last commit.
fn message(repo: &Repo<'_>) -> String {
    repo.git(&["log", "-1", "--format=%B"])
}

/// Returns the values of the trailers `key` of the last commit, as git reads them.
fn trailers(repo: &Repo<'_>, key: &str) -> Vec<String> {
    let format = format!("--format=%(trailers:key={key},valueonly)");
    repo.git(&["log", "-1", &format]).lines().map(str::to_owned).collect()
}

/// Returns the digests of the staged evidence files as trailers name them.
fn staged_digests(repo: &Repo<'_>) -> Vec<String> {
    let digests = repo.tomb_ok(&["evidence", "digest", "--staged", "--files", "--json"]).json();
    digests.iter().map(|file| format!("sha256:{}", file["sha256"].as_str().unwrap())).collect()
}

/// Makes `GIT_EDITOR` a script that runs `script` with the message in `$1`.
fn with_editor<'a>(repo: &Repo<'a>, script: &str) -> Repo<'a> {
    repo.write("../editor", format!("#!/bin/sh\n{script}\n"));
    repo.below("..").set_executable("editor");
    repo.with("GIT_EDITOR", repo.path.join("../editor"))
}

/// Stores and commits `paths`, and takes the evidence away in the next commit, as nobody should.
fn archive_and_truncate(repo: &Repo<'_>) {
    repo.tomb_ok(&["store", "docs"]);
    repo.git(&["commit", "-q", "-m", "archive"]);
    repo.git(&["checkout", "-q", "HEAD~1", "--", "docs"]);
    repo.git(&["rm", "-rq", ".codex/evidence"]);
    repo.commit("change of mind");
}

#[test]
fn a_commit_quotes_its_evidence() {
    let world = World::new();
    let repo = quoting(&world);
    repo.tomb_ok(&["store", "docs", "src/legacy"]);
    let digests = staged_digests(&repo);
    repo.git(&["commit", "-q", "-m", "archive", "-m", "Signed-off-by: A <a@example.org>"]);
    assert_eq!(trailers(&repo, "Evidence-Digest"), digests);
    assert_eq!(trailers(&repo, "Tombstone").len(), 3);
    assert!(message(&repo).starts_with("archive\n\nSigned-off-by: A <a@example.org>\nTombstone: "));
    assert!(repo.tomb_ok(&["evidence", "verify", "--trailers"]).stderr_text().contains("quote 1 evidence file"));

    repo.write("README.md", "# changed\n");
    repo.git(&["commit", "-qam", "nothing to quote"]);
    assert_eq!(message(&repo), "nothing to quote");
}

#[test]
fn an_amend_adds_and_replaces_and_repeats_nothing() {
    let world = World::new();
    let repo = quoting(&world);
    repo.tomb_ok(&["store", "docs"]);
    let first = staged_digests(&repo);
    repo.git(&["commit", "-q", "-m", "archive"]);
    let quoted = message(&repo);
    repo.git(&["commit", "-q", "--amend", "--no-edit"]);
    assert_eq!(message(&repo), quoted);

    repo.tomb_ok(&["store", "src/legacy/run.sh"]);
    let second = staged_digests(&repo);
    repo.git(&["commit", "-q", "--amend", "--no-edit"]);
    assert_eq!(trailers(&repo, "Evidence-Digest"), [&first[..], &second].concat());
    assert_eq!(trailers(&repo, "Tombstone").len(), 2);

    // The first archival is taken out of the commit: what quoted it goes.
    let file = repo.git(&["diff-tree", "-r", "--name-only", "HEAD", "HEAD~1", "--", ".codex/evidence"]);
    let file = file.lines().find(|file| file.contains(&first[0]["sha256:".len()..][..16])).unwrap().to_owned();
    repo.git(&["rm", "-q", &file]);
    repo.git(&["checkout", "-q", "HEAD~1", "--", "docs"]);
    repo.git(&["commit", "-q", "--no-verify", "--amend", "--no-edit"]);
    assert_eq!(trailers(&repo, "Evidence-Digest").len(), 2, "without the hook nothing changes");
    repo.tomb(&["evidence", "verify", "--trailers"]).exits(1);
    let path = repo.path.join("message");
    repo.write("message", message(&repo));
    repo.tomb_ok(&["hooks", "run", "commit-msg", "--", path.to_str().unwrap()]);
    repo.git(&["commit", "-q", "--no-verify", "--amend", "-F", "message"]);
    assert_eq!(trailers(&repo, "Evidence-Digest"), second);
    assert_eq!(trailers(&repo, "Tombstone").len(), 1);
    repo.tomb_ok(&["evidence", "verify", "--trailers"]);
}

#[test]
fn leaving_the_editor_without_a_message_still_ends_the_commit() {
    let world = World::new();
    let repo = quoting(&world);
    repo.tomb_ok(&["store", "docs"]);
    let refused = repo.try_git(&["commit"]);
    assert_ne!(refused.code, Some(0), "{refused}");
    assert!(refused.stderr_text().contains("empty commit message"), "{refused}");
    let refused = repo.try_git(&["commit", "--verbose"]);
    assert!(refused.stderr_text().contains("empty commit message"), "{refused}");
    repo.write("../template", "what and why?\n");
    let refused = repo.try_git(&["-c", "commit.template=../template", "commit"]);
    assert!(refused.stderr_text().contains("did not edit the message"), "{refused}");

    let written = with_editor(&repo, r#"{ echo "written by hand"; cat "$1"; } >"$1.new" && mv "$1.new" "$1""#);
    written.git(&["commit", "-q", "--verbose"]);
    let quoted = message(&repo);
    assert!(quoted.starts_with("written by hand\n\nTombstone: ") && !quoted.contains(['#', '@']), "{quoted}");
    assert_eq!(trailers(&repo, "Evidence-Digest").len(), 1);
}

#[test]
fn only_our_trailers_are_added_whatever_is_configured() {
    let world = World::new();
    let repo = quoting(&world);
    repo.git(&["config", "trailer.sign.key", "Signed-off-by"]);
    repo.git(&["config", "trailer.sign.command", "echo nobody"]);
    repo.git(&["config", "core.commentChar", ";"]);
    repo.tomb_ok(&["store", "docs"]);
    repo.git(&["commit", "-q", "-m", "archive", "-m", "# no comment", "-m", "Reviewed-by: B"]);
    let written = with_editor(&repo, r#"printf '; added\n' >>"$1""#);
    written.git(&["commit", "-q", "--amend", "--verbose"]);
    let quoted = message(&repo);
    assert!(quoted.starts_with("archive\n\n# no comment\n\nReviewed-by: B\nTombstone: "), "{quoted}");
    assert_eq!(quoted.lines().count(), 7, "{quoted}");
    assert_eq!(repo.git(&["show", "-s", "--format=%(trailers)"]).trim().lines().count(), 3);
}

#[test]
fn merges_squashes_and_rebases_keep_what_is_quoted() {
    let world = World::new();
    let repo = quoting(&world);
    repo.git(&["checkout", "-q", "-b", "topic"]);
    repo.tomb_ok(&["store", "docs"]);
    repo.git(&["commit", "-q", "-m", "archive"]);
    let quoted = message(&repo);
    repo.git(&["checkout", "-q", "main"]);
    repo.write("README.md", "# moved on\n");
    repo.git(&["commit", "-qam", "move on"]);
    repo.git(&["branch", "start"]);

    repo.git(&["merge", "-q", "--no-ff", "-m", "merge", "topic"]);
    assert_eq!(message(&repo), "merge", "what a merge takes over was quoted before");
    repo.git(&["checkout", "-q", "-b", "squashed", "start"]);
    repo.git(&["merge", "-q", "--squash", "topic"]);
    repo.git(&["commit", "-q", "--no-edit"]);
    assert_eq!(trailers(&repo, "Evidence-Digest").len(), 1);
    repo.git(&["checkout", "-q", "-b", "rebased", "topic"]);
    repo.git(&["rebase", "-q", "start"]);
    assert_eq!(message(&repo), quoted);
    for branch in ["main", "squashed", "rebased"] {
        repo.git(&["checkout", "-q", branch]);
        repo.tomb_ok(&["evidence", "verify", "--trailers"]);
    }
}

#[test]
fn a_squash_that_takes_an_archival_and_its_evidence_away_is_noticed() {
    let world = World::new();
    let repo = quoting(&world);
    repo.git(&["checkout", "-q", "-b", "topic"]);
    archive_and_truncate(&repo);
    repo.git(&["checkout", "-q", "main"]);
    repo.write("README.md", "# moved on\n");
    repo.git(&["commit", "-qam", "move on"]);
    repo.git(&["checkout", "-q", "-B", "squashed"]);
    repo.git(&["merge", "-q", "--squash", "topic"]);
    repo.git(&["commit", "-q", "--no-verify", "--allow-empty", "--no-edit"]);
    // No edge of this history ever had the evidence.
    repo.tomb_ok(&["verify", "--all"]);
    repo.tomb_ok(&["evidence", "verify"]);
    let told = repo.tomb(&["evidence", "verify", "--trailers", "--json"]).exits(1);
    let commit = repo.git(&["rev-parse", "HEAD"]);
    assert!(told.json()[0]["message"].as_str().unwrap().starts_with(&format!("commit {commit} says that it brought")));

    // A range is looked at in its own trees, whatever is checked out.
    repo.git(&["checkout", "-q", "main"]);
    repo.tomb_ok(&["evidence", "verify", "--trailers"]);
    repo.tomb(&["evidence", "verify", "--trailers=main..squashed"]).exits(1);
    repo.tomb_ok(&["evidence", "verify", "--trailers=main..topic~1"]);
    repo.tomb(&["evidence", "verify", "--trailers=main..topic"]).exits(1);
    repo.tomb(&["evidence", "verify", "--trailers=main"]).exits(2);
}

#[test]
fn messages_that_are_not_here_are_no_pass() {
    let world = World::new();
    let repo = quoting(&world);
    archive_and_truncate(&repo);
    let url = format!("file://{}", repo.path.display());
    repo.git(&["clone", "-q", "--depth", "1", &url, "../shallow"]);
    let told = world.at("shallow").tomb(&["evidence", "verify", "--trailers"]).exits(1);
    assert!(told.stdout_text().contains("git fetch --unshallow"), "{told}");
}

#[test]
fn an_imported_subtree_brings_its_messages_and_its_evidence() {
    let world = World::new();
    let repo = quoting(&world);
    repo.tomb_ok(&["store", "docs"]);
    repo.git(&["commit", "-q", "-m", "archive"]);
    let whole = world.init("whole");
    whole.write("a", "a");
    whole.commit_all("first");
    whole.git(&["fetch", "-q", "../project", "main"]);
    whole.git(&["merge", "-q", "-s", "ours", "--no-commit", "--allow-unrelated-histories", "FETCH_HEAD"]);
    whole.git(&["read-tree", "--prefix=part/", "-u", "FETCH_HEAD"]);
    whole.commit("import");
    whole.tomb_ok(&["evidence", "verify", "--trailers"]);
    whole.git(&["rm", "-rq", "part/.codex"]);
    whole.tomb(&["evidence", "verify", "--trailers"]).exits(1);
}

#[test]
fn without_the_hook_a_command_gives_the_trailers() {
    let world = World::new();
    let repo = world.sample("project");
    assert_eq!(repo.tomb_ok(&["evidence", "digest", "--trailers"]).stdout_text(), "");
    repo.tomb_ok(&["store", "docs"]);
    let digests = staged_digests(&repo);
    let lines = repo.tomb_ok(&["evidence", "digest", "--trailers"]).stdout_text();
    repo.git(&["commit", "-q", "-m", "archive", "-m", &lines]);
    assert_eq!(trailers(&repo, "Evidence-Digest"), digests);

    // Many items are counted only.
    for number in 0..21 {
        repo.write(format!("many/{number}"), number.to_string());
    }
    repo.commit_all("many");
    repo.tomb_ok(&["store", "many"]);
    let lines = repo.tomb_ok(&["evidence", "digest", "--trailers"]).stdout_text();
    assert_eq!(lines, format!("Tombstone-Count: 21\nEvidence-Digest: {}\n", staged_digests(&repo)[0]));
}

#[test]
fn what_cannot_be_quoted_is_no_reason_to_refuse_a_commit() {
    let world = World::new();
    let repo = quoting(&world);
    repo.tomb_ok(&["store", "docs"]);
    let file = repo.git(&["ls-files", ".codex/evidence/ops"]);
    repo.write(&file, "damage\n");
    repo.git(&["add", &file]);
    std::fs::remove_file(repo.path.join(".git/hooks/pre-commit")).unwrap();
    let told = repo.try_git(&["commit", "-q", "-m", "archive"]).exits(0);
    assert!(told.stderr_text().contains("does not quote its evidence"), "{told}");
    assert_eq!(message(&repo), "archive");
    repo.tomb(&["hooks", "run", "commit-msg"]).exits(2);
    assert!(repo.tomb_ok(&["hooks", "run", "commit-msg", "--", "nothing"]).stderr_text().contains("warning:"));
}

#[test]
fn the_hook_is_installed_on_request_and_removed_with_the_others() {
    let world = World::new();
    let repo = world.sample("project");
    let own = "#!/bin/sh\necho own >>\"$1\"\n";
    repo.write(".git/hooks/commit-msg", own);
    repo.set_executable(".git/hooks/commit-msg");
    repo.tomb_ok(&["hooks", "install"]);
    assert_eq!(repo.read_text(".git/hooks/commit-msg"), own);
    assert!(!repo.tomb_ok(&["hooks", "status"]).stdout_text().contains("commit-msg"));
    let told = repo.tomb_ok(&["hooks", "install", "--trailers"]);
    assert!(told.stdout_text().contains("commit-msg        installed; the hook that was there runs first"), "{told}");
    assert!(repo.tomb_ok(&["hooks", "status"]).stdout_text().contains("commit-msg"));
    assert!(repo.tomb_ok(&["hooks", "install"]).stdout_text().contains("commit-msg        was installed already"));
    repo.tomb_ok(&["store", "docs"]);
    repo.git(&["commit", "-q", "-m", "archive"]);
    assert!(message(&repo).starts_with("archive\nown\n"), "{}", message(&repo));
    assert_eq!(trailers(&repo, "Evidence-Digest").len(), 1);
    repo.tomb_ok(&["hooks", "uninstall"]);
    assert_eq!(repo.read_text(".git/hooks/commit-msg"), own);

    repo.write(".husky/pre-commit", "");
    let told = repo.tomb_ok(&["hooks", "install", "--trailers"]).stderr_text();
    assert!(told.contains(".husky/commit-msg:\ngit-archive-tomb hooks run commit-msg -- \"$@\""), "{told}");
    repo.git(&["clone", "-q", ".", "../managed"]);
    for (configuration, wanted) in [
        ("lefthook.yml", "commit-msg:\n  commands:"),
        (".pre-commit-config.yaml", "stages: [commit-msg]"),
        ("prek.toml", "stages = [\"commit-msg\"]"),
    ] {
        let managed = world.at("managed");
        managed.write(configuration, "");
        let told = managed.tomb_ok(&["hooks", "install", "--trailers"]).stderr_text();
        assert!(told.contains(wanted), "{configuration}: {told}");
        assert!(!managed.tomb_ok(&["hooks", "install"]).stderr_text().contains("commit-msg"));
        std::fs::remove_file(managed.path.join(configuration)).unwrap();
    }
}
