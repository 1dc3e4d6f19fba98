//! What strangers put into a repository, and what users do with it: nothing is followed, taken on trust, or half done.

use std::os::unix::fs::symlink;

use crate::common::{Repo, World};

/// Archives `path` and returns its tombstone.
fn archived(repo: &Repo<'_>, path: &str) -> String {
    let stored = repo.tomb_ok(&["store", path]).json();
    repo.commit("archive");
    stored[0]["tombstone"].as_str().unwrap().to_owned()
}

/// Asserts that no operation is unfinished.
#[track_caller]
fn assert_nothing_unfinished(repo: &Repo<'_>) {
    assert_eq!(std::fs::read_dir(repo.path.join(".git/archive-tomb/operations")).unwrap().count(), 0);
}

#[test]
fn a_configuration_behind_a_link_or_in_a_submodule_is_not_read() {
    let world = World::new();
    let other = world.init("other");
    let log = world.at("stolen.log").path;
    other.write("archive.toml", format!("[logging]\nfile = {:?}\n", log.display().to_string()));
    other.commit_all("configuration");

    let repo = world.sample("submodule");
    repo.git(&["submodule", "add", "-q", "../other", ".codex"]);
    repo.tomb(&["list"]).exits(2);
    repo.tomb(&["config-show"]).exits(2);
    let repo = world.sample("link");
    repo.git(&["submodule", "add", "-q", "../other", "sub"]);
    symlink("sub", repo.path.join(".codex")).unwrap();
    repo.tomb(&["list"]).exits(2);
    repo.tomb(&["store", "README.md"]).exits(2);
    assert!(!log.exists());
}

#[test]
fn an_index_that_holds_something_else_at_codex_is_refused_and_kept() {
    let world = World::new();
    for (number, (mode, path)) in
        [("160000", ".codex"), ("120000", ".codex"), ("100644", ".Codex/x")].iter().enumerate()
    {
        let repo = world.sample(&format!("project-{number}"));
        let id = if *mode == "160000" { "HEAD" } else { "HEAD:README.md" };
        let id = repo.git(&["rev-parse", id]);
        repo.git(&["update-index", "--add", "--cacheinfo", &format!("{mode},{id},{path}")]);
        repo.commit("something else");
        let before = repo.git(&["ls-files", "-s"]);
        repo.tomb(&["store", "README.md"]).exits(2);
        repo.tomb(&["init"]).exits(2);
        assert_eq!(repo.git(&["ls-files", "-s"]), before);
    }
}

#[test]
fn diff_follows_no_link_and_waits_for_no_pipe() {
    let world = World::new();
    let repo = world.sample("project");
    let tombstone = archived(&repo, "docs/old.md");
    let secret = world.at("secret");
    secret.write("old.md", "secret\n");
    std::fs::remove_file(repo.path.join("docs/old.md")).unwrap();
    symlink(secret.path.join("old.md"), repo.path.join("docs/old.md")).unwrap();
    let run = repo.tomb_ok(&["diff", &tombstone]);
    assert!(!run.stdout_text().contains("+secret\n"), "{run}");
    std::fs::remove_dir_all(repo.path.join("docs")).unwrap();
    symlink(&secret.path, repo.path.join("docs")).unwrap();
    repo.tomb(&["diff", &tombstone]).exits(1);
    std::fs::remove_file(repo.path.join("docs")).unwrap();
    std::fs::create_dir(repo.path.join("docs")).unwrap();
    repo.tomb(&["diff", &tombstone]).exits(1);
    assert!(repo.command("mkfifo").arg("docs/old.md").status().unwrap().success());
    repo.tomb(&["diff", &tombstone]).exits(1);
}

#[test]
fn a_restore_that_is_blocked_is_refused_before_anything_changes() {
    let world = World::new();
    let repo = world.sample("project");
    let tombstone = archived(&repo, "src/legacy/old.py");
    let outside = world.at("outside").path;
    std::fs::create_dir(&outside).unwrap();
    std::fs::remove_dir_all(repo.path.join("src/legacy")).unwrap();

    std::fs::create_dir_all(repo.path.join("src/legacy/old.py")).unwrap();
    repo.tomb(&["restore", "--force", &tombstone]).exits(1);
    std::fs::remove_dir_all(repo.path.join("src/legacy")).unwrap();
    repo.write("src/legacy", "a file");
    repo.tomb(&["restore", "--force", &tombstone]).exits(1);
    std::fs::remove_file(repo.path.join("src/legacy")).unwrap();
    symlink(&outside, repo.path.join("src/legacy")).unwrap();
    repo.tomb(&["restore", "--force", &tombstone]).exits(5);

    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert_nothing_unfinished(&repo);
    std::fs::remove_file(repo.path.join("src/legacy")).unwrap();
    repo.tomb_ok(&["restore", &tombstone]);
}

#[test]
fn what_is_in_its_place_already_is_not_restored_again() {
    let world = World::new();
    let repo = world.sample("project");
    let tombstone = archived(&repo, "docs/old.md");
    repo.tomb_ok(&["restore", &tombstone]);
    let before = repo.git(&["ls-files", "-s"]);
    let run = repo.tomb_ok(&["restore", &tombstone]);
    assert_eq!(run.stdout_text(), "");
    assert_eq!(repo.git(&["ls-files", "-s"]), before);

    repo.git(&["rm", "-q", "--cached", "docs/old.md"]);
    repo.tomb_ok(&["restore", &tombstone]);
    assert!(repo.git(&["ls-files", "docs"]).contains("docs/old.md"), "the bytes are there, and are staged");
    assert_nothing_unfinished(&repo);
}

#[test]
fn a_path_in_conflict_is_no_stub() {
    let world = World::new();
    let repo = world.sample("project");
    repo.git(&["checkout", "-q", "-b", "topic"]);
    archived(&repo, "docs/old.md");
    repo.git(&["checkout", "-q", "main"]);
    repo.write("docs/old.md", "# Edited\n");
    repo.commit_all("edit");
    assert_ne!(repo.try_git(&["merge", "-q", "topic"]).code, Some(0));
    let before = repo.git(&["ls-files", "-s"]);
    for refused in [&["restore", "docs/old.md"][..], &["restore", "--force", "."], &["store", "docs/old.md"]] {
        let said = repo.tomb(refused).exits(1).stderr_text();
        assert!(said.contains("conflict") && said.contains("git archive-tomb resolve"), "{said}");
    }
    assert_eq!(repo.git(&["ls-files", "-s"]), before);
}

#[test]
fn links_are_ignored_on_branches_that_have_no_archive_yet() {
    let world = World::new();
    let repo = world.sample("project");
    repo.git(&["checkout", "-q", "-b", "topic"]);
    archived(&repo, "docs/old.md");
    repo.git(&["checkout", "-q", "main"]);
    assert_eq!(repo.status(), "");
    let excluded = repo.read_text(".git/info/exclude");
    repo.git(&["checkout", "-q", "topic"]);
    repo.tomb_ok(&["store", "README.md"]);
    assert_eq!(repo.read_text(".git/info/exclude"), excluded, "lines are added once");
}

#[test]
fn the_way_pathspecs_are_read_is_the_users_business_only() {
    let world = World::new();
    let repo = world.sample("project");
    repo.write("docs/OLD.md", "# other case\n");
    repo.commit_all("two cases");
    repo.with("GIT_LITERAL_PATHSPECS", "1").tomb_ok(&["store", "docs/old.md", "docs/OLD.md"]);
    repo.commit("archive");
    let restored = repo.with("GIT_ICASE_PATHSPECS", "1").tomb_ok(&["restore", "docs/old.md"]);
    assert_eq!(restored.stdout_text(), "docs/old.md\n");
}

#[test]
fn an_absolute_path_outside_is_not_one_below_the_top() {
    let world = World::new();
    let repo = world.sample("project");
    archived(&repo, "docs/old.md");
    repo.tomb(&["cat", "/docs/old.md"]).exits(3);
    let absolute = repo.path.canonicalize().unwrap().join("docs/old.md");
    repo.tomb_ok(&["cat", absolute.to_str().unwrap()]);
}

#[test]
fn a_record_that_would_not_fit_is_refused_before_anything_changes() {
    let world = World::new();
    let repo = world.sample("project");
    let fact = format!("k={}", "x".repeat(70_000));
    let run = repo.tomb(&["store", "--metadata", &fact, "docs/old.md"]).exits(2);
    assert!(run.stderr_text().contains("64 KiB"), "{run}");
    assert_eq!(repo.status(), "");
    assert!(!repo.exists(".git/archive-tomb"));
}

#[test]
fn nobody_listening_to_standard_error_stops_nothing() {
    let world = World::new();
    let repo = world.sample("project");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = repo.command(env!("CARGO_BIN_EXE_git-archive-tomb"));
    assert!(
        command
            .args(["store", "docs/old.md"])
            .stderr(full)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    assert!(repo.read_text("docs/old.md").contains("git-archive-tomb stub v1"));
}

#[test]
fn control_characters_in_errors_are_escaped() {
    let world = World::new();
    let repo = world.sample("project");
    repo.write(".codex/archive.toml", "\"\u{1b}[31m\" = 1\n");
    for arguments in [["cat", "\u{1b}[31m"], ["list", "--until=\u{1b}[31m"], ["store", "--commit=\u{1b}[31m"]] {
        let run = repo.tomb(&arguments);
        assert_ne!(run.code, Some(0));
        assert!(!run.stderr.contains(&0x1b), "{run}");
    }
}

#[test]
fn reading_writes_nothing() {
    let world = World::new();
    let repo = world.sample("project");
    archived(&repo, "docs/old.md");
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");
    let target = "docs/old.md";
    for arguments in [&["status"][..], &["cat", target], &["diff", target], &["show", target], &["config-show"]] {
        clone.tomb_ok(arguments);
    }
    clone.tomb(&["list"]).exits(6);
    assert!(!clone.exists(".git/archive-tomb"));
}

#[test]
fn an_exempt_path_is_no_stub_for_any_command() {
    let world = World::new();
    let repo = world.sample("project");
    let tombstone = archived(&repo, "docs/old.md");
    let stub = repo.read_text("docs/old.md");
    repo.write("tests/broken.md", stub.replace("size: ", "size: x"));
    repo.write("docs/a-copy.md", &stub);
    repo.write(".gitattributes", "tests/* -archive-tomb\ndocs/a-copy.md -archive-tomb\n");
    repo.commit_all("fixtures");
    let status = repo.tomb_ok(&["status", "--json"]).json();
    assert_eq!((&status[0]["stubs"], &status[0]["malformed"]), (&1.into(), &0.into()));
    repo.git(&["clone", "-q", "--bare", ".", "../bare"]);
    assert_eq!(world.at("bare").tomb_ok(&["status", "--json"]).json()[0]["stubs"], 1);
    assert_eq!(repo.tomb_ok(&["restore", &tombstone]).stdout_text(), "docs/old.md\n");
    assert_eq!(repo.read_text("docs/a-copy.md"), stub);
    repo.tomb(&["restore", "."]).exits(3);
}

#[test]
fn hints_may_be_pasted_whatever_the_paths_are_called() {
    let world = World::new();
    let repo = world.sample("project");
    for path in ["src/$(touch pwned)", "src/a\n$(touch pwned)", "src/*"] {
        repo.write(path, "text\n");
        repo.commit_all("hostile name");
        std::fs::remove_file(repo.path.join(path)).unwrap();
        let run = repo.tomb(&["store", &format!(":(literal){path}")]).exits(1);
        let hint = run.stderr_text().lines().find_map(|line| Some(line.split_once("hint: ")?.1.to_owned())).unwrap();
        let command = hint.split('`').nth(1).unwrap().to_owned();
        assert!(repo.below("src").command("bash").args(["-c", &command]).status().unwrap().success(), "{command}");
        assert!(repo.exists(path), "{command}");
        assert!(!repo.exists("src/pwned") && !repo.exists("pwned"));
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_before_anything_begins() {
    let world = World::new();
    let repo = world.sample("project");
    let log = repo.path.join(".git/archive-tomb/archive_ops.jsonl");
    std::fs::create_dir_all(&log).unwrap();
    repo.tomb(&["store", "docs/old.md"]).exits(1);
    std::fs::remove_dir(&log).unwrap();
    symlink("elsewhere", &log).unwrap();
    repo.tomb(&["store", "docs/old.md"]).exits(1);
    std::fs::remove_file(&log).unwrap();
    assert!(!repo.exists(".git/archive-tomb/elsewhere"));
    repo.tomb_ok(&["store", "docs/old.md"]);
    assert_nothing_unfinished(&repo);
}

#[test]
fn what_is_no_evidence_file_among_the_evidence_stops_nobody() {
    let world = World::new();
    let repo = world.sample("project");
    archived(&repo, "docs/old.md");
    let commit = repo.git(&["rev-parse", "HEAD"]);
    let name = |digit: char| {
        let digest: String = std::iter::repeat_n(digit, 16).collect();
        format!(".codex/evidence/ops/2026/01/20260101T000000Z-archive-{digest}.jsonl")
    };
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{}", name('0'))]);
    repo.write(name('1'), "x".repeat(1 << 20));
    repo.git(&["add", "-f", &name('1')]);
    repo.tomb_ok(&["store", "README.md"]);
    repo.tomb_ok(&["restore", "docs/old.md"]);
}

/// Who may write may also put in what is wrong, for a content that somebody is going to store.
#[test]
fn a_content_that_was_slipped_into_the_archive_is_not_relied_on() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["init", "--no-hooks"]);
    let content = repo.read("docs/old.md");
    let sha256 = git_archive_tomb::id::Sha256::of(&content);
    let archive = rusqlite::Connection::open(repo.path.join(".git/archive-tomb/archive.sqlite")).unwrap();
    let row =
        "INSERT INTO artifact (content_sha256, size_bytes, created_at) VALUES (?1, ?2, '2026-01-01T00:00:00.000Z')";
    archive.execute(row, (sha256.to_string(), u32::try_from(content.len()).unwrap())).unwrap();
    let before = repo.look();
    let error = repo.tomb(&["store", "docs"]).exits(5).stderr_text();
    assert!(error.contains("hint: have the archive's administrator look at it"), "{error}");
    assert_eq!(repo.look(), before);
    assert_nothing_unfinished(&repo);
}

#[test]
fn a_restored_file_is_as_private_as_the_user_wants() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let repo = world.sample("project");
    let tombstone = archived(&repo, "docs/old.md");
    let program = env!("CARGO_BIN_EXE_git-archive-tomb");
    for (mask, mode) in [("077", 0o600), ("022", 0o644)] {
        let script = format!("umask {mask} && '{program}' restore {tombstone} ../copy-{mask}");
        assert!(repo.command("sh").args(["-c", &script]).output().unwrap().status.success());
        let copy = world.at(&format!("copy-{mask}")).path.metadata().unwrap();
        assert_eq!(copy.permissions().mode() & 0o777, mode);
    }
}
