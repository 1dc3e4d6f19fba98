//! Finding items: filters, order, `-z`, what `show`, `diff` and `status` tell, and raw restores.

use crate::common::{Repo, World};

/// Returns the paths that `list` finds, in its order.
fn listed(repo: &Repo<'_>, options: &[&str]) -> Vec<String> {
    let run = repo.tomb_ok(&[&["list", "--json"], options].concat());
    run.json().iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn filters_select_and_the_order_is_newest_first_then_by_path() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "src/legacy", "--by", "ann", "--tag", "a", "--tag", "b", "--reason", "legacy"]);
    repo.commit("one");
    repo.tomb_ok(&["store", "docs", "README.md", "--by", "bob", "--tag", "b", "--repo", "other"]);
    repo.commit("two");
    let all = ["README.md", "docs/old.md", "src/legacy/old.py", "src/legacy/run.sh"];
    assert_eq!(listed(&repo, &[]), all);
    for (options, expected) in [
        (&["--by", "ann"][..], &all[2..]),
        (&["--actor", "bob"], &all[..2]),
        (&["--tag", "a"], &all[2..]),
        (&["--tag", "b"], &all[..]),
        (&["--reason", "legacy"], &all[2..]),
        (&["--repo", "other"], &all[..2]),
        (&["--path", "src"], &all[2..]),
        (&["--path", "src/legacy/"], &all[2..]),
        (&["--path", "*.md"], &all[..2]),
        (&["--path", "docs/old.md"], &all[1..2]),
        (&["--limit", "3"], &all[..3]),
        (&["--limit", "0"], &[]),
        (&["--since", "1d"], &all[..]),
        (&["--until", "1d"], &[]),
        (&["--since", "2020-01-01", "--tag", "a", "--limit", "1"], &all[2..3]),
        (&["--tag", "c"], &[]),
    ] {
        assert_eq!(listed(&repo, options), expected, "{options:?}");
    }
    assert!(repo.tomb_ok(&["list", "--tag", "c"]).all_text().trim().is_empty());
}

#[test]
fn with_z_paths_are_bytes_and_entries_end_with_nul() {
    use std::os::unix::ffi::OsStrExt as _;
    let world = World::new();
    let repo = world.init("project");
    let names: [&[u8]; 3] = [b"caf\xe9.txt", b"new\nline.txt", b"plain.txt"];
    for name in names {
        repo.write(std::ffi::OsStr::from_bytes(name), name);
    }
    repo.commit_all("first");
    repo.tomb_ok(&["store", "."]);
    let entries = repo.tomb_ok(&["list", "-z"]).stdout;
    let entries: Vec<&[u8]> = entries.strip_suffix(b"\0").unwrap().split(|byte| *byte == 0).collect();
    let paths: Vec<&[u8]> =
        entries.iter().map(|entry| entry.splitn(6, |byte| *byte == b'\t').last().unwrap()).collect();
    assert_eq!(paths, names);
    let digests = repo.tomb_ok(&["evidence", "digest", "-z"]).stdout;
    let digests: Vec<&[u8]> = digests.strip_suffix(b"\0").unwrap().split(|byte| *byte == 0).collect();
    let paths: Vec<&[u8]> = digests.iter().map(|entry| entry.splitn(3, |byte| *byte == b' ').last().unwrap()).collect();
    assert_eq!(paths, names);
    let text = repo.tomb_ok(&["list"]).stdout_text();
    assert!(text.contains(r#":"caf\351.txt""#) && text.contains(r#":"new\nline.txt""#), "{text}");
    let json = repo.tomb_ok(&["list", "--json"]).json();
    assert_eq!(json[0]["path_b64"], "Y2Fm6S50eHQ=");
    assert!(json[0].get("path").is_none());
}

#[test]
fn show_has_every_fact_and_every_event() {
    let world = World::new();
    let repo = world.sample("project");
    let facts = ["--metadata", "ticket=OPS-1", "--ref", "pr=123", "--tag", "t", "--delete-after", "2031-01-31"];
    repo.tomb_ok(&[&["store", "docs/old.md", "--legal-hold", "--by", "ann"][..], &facts].concat());
    repo.commit("archive");
    repo.tomb_ok(&["restore", "docs/old.md", "copy.md", "--by", "bob"]);
    let shown = repo.tomb_ok(&["show", "docs/old.md", "--json"]).json().remove(0);
    assert_eq!(shown["metadata"]["ticket"], "OPS-1");
    assert_eq!((&shown["delete_after"], &shown["legal_hold"]), (&"2031-01-31".into(), &true.into()));
    assert!(shown["restored_at"].is_string());
    let events: Vec<_> = shown["events"].as_array().unwrap().iter().map(|event| &event["action"]).collect();
    assert_eq!(events, ["ARCHIVE", "RESTORE"]);
    let text = repo.tomb_ok(&["show", shown["tombstone"].as_str().unwrap()]).stdout_text();
    for fact in ["ticket=OPS-1", "pr=123", "2031-01-31", "legal-hold   yes", "RESTORE", "by bob", "to copy.md"] {
        assert!(text.contains(fact), "{fact}: {text}");
    }
    // The first 8 characters are enough, also where a folder could be meant.
    let prefix = &shown["tombstone"].as_str().unwrap()[..8];
    repo.tomb_ok(&["show", prefix]);
    repo.tomb(&["show", &prefix[..7]]).exits(3);
}

#[test]
fn diff_compares_with_the_working_tree_a_file_and_a_revision() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "docs/old.md"]);
    repo.commit("archive");
    let diff = |arguments: &[&str]| repo.tomb_ok(&[&["diff", "docs/old.md"], arguments].concat()).stdout_text();
    assert!(diff(&[]).contains("\n+<!-- git-archive-tomb stub v1\n"));
    repo.write("edited.md", "# Old\n\nSomebody reads this.\n");
    let edited = diff(&["edited.md"]);
    assert!(edited.contains("\n+++ edited.md\n") && edited.contains("\n-Nobody reads this.\n+Somebody reads this.\n"));
    assert_eq!(repo.below("docs").tomb_ok(&["diff", "old.md", "../edited.md", "-U0"]).stdout_text().lines().count(), 5);
    assert_eq!(diff(&["--rev", "HEAD~1"]), "");
    repo.write("edited.md", b"binary\0".as_slice());
    assert!(diff(&["edited.md"]).starts_with("Binary files "));
    repo.tomb(&["diff", "docs/old.md", "--rev", "HEAD", "edited.md"]).exits(2);
    repo.tomb(&["diff", "docs/old.md", "missing.md"]).exits(1);
}

#[test]
fn diff_tells_modes_and_ends_of_lines_as_git_does() {
    let world = World::new();
    let repo = world.sample("project");
    std::os::unix::fs::symlink("docs/old.md", repo.path.join("link")).unwrap();
    repo.write("ends.txt", "dos\r\nmac\rstays one line\nlast");
    repo.commit_all("more");
    repo.tomb_ok(&["store", "-q", "src/legacy/run.sh", "link", "ends.txt"]);
    repo.commit("archive");
    let diff = |arguments: &[&str]| repo.tomb_ok(&[&["diff", "-U0"], arguments].concat()).stdout_text();

    repo.write("src/legacy/run.sh", "#!/bin/sh\necho legacy\n");
    assert_eq!(diff(&["src/legacy/run.sh"]), "old mode 100755\nnew mode 100644\n");
    assert_eq!(diff(&["src/legacy/run.sh", "--rev", "HEAD~1"]), "");
    repo.set_executable("src/legacy/run.sh");
    assert_eq!(diff(&["src/legacy/run.sh"]), "");
    assert_eq!(diff(&["src/legacy/run.sh", "src/legacy/run.sh"]), "");

    std::fs::remove_file(repo.path.join("link")).unwrap();
    std::os::unix::fs::symlink("README.md", repo.path.join("link")).unwrap();
    let link = diff(&["link"]);
    assert!(
        link.ends_with(
            "@@ -1 +1 @@\n-docs/old.md\n\\ No newline at end of file\n+README.md\n\\ No newline at end of file\n"
        ),
        "{link}"
    );

    repo.write("ends.txt", "dos\nmac\rstays one line\nlast\n");
    let ends = diff(&["ends.txt"]);
    let expected = "@@ -1 +1 @@\n-dos\r\n+dos\n@@ -3 +3 @@\n-last\n\\ No newline at end of file\n+last\n";
    assert!(ends.ends_with(expected), "{ends}");
    let colored = diff(&["ends.txt", "--color=always"]);
    assert!(colored.contains("\u{1b}[31m-dos\u{1b}[0m\r\n\u{1b}[32m+dos\u{1b}[0m\n"), "{colored:?}");
    assert!(colored.contains("\u{1b}[36m@@ -1 +1 @@\u{1b}[0m\n"), "{colored:?}");

    // As a checkout would write it.
    repo.write(".git/info/attributes", "ends.txt text eol=crlf\n");
    repo.write("ends.txt", "dos\r\nmac\rstays one line\r\nlast\r\n");
    let objects = || repo.git(&["count-objects"]);
    let before = objects();
    assert_eq!(diff(&["ends.txt"]), ends);
    assert_eq!(objects(), before);

    repo.write("ends.txt", "\n".repeat(2_000_001));
    repo.tomb(&["diff", "ends.txt"]).exits(1);
}

#[test]
fn bytes_in_commits_that_no_remote_has_are_only_on_this_machine() {
    let world = World::new();
    let repo = world.sample("project");
    repo.git(&["init", "-q", "--bare", "../remote.git"]);
    repo.git(&["remote", "add", "origin", "../remote.git"]);
    let counts = |repo: &Repo<'_>| {
        let status = repo.tomb_ok(&["status", "--json"]).json().remove(0);
        ["in_archive_and_on_remote", "on_remote", "only_on_this_machine", "nowhere"]
            .map(|name| status[name].as_u64().unwrap())
    };
    repo.git(&["push", "-q", "origin", "main"]);
    repo.write("docs/new.md", "not pushed\n");
    repo.commit_all("second");
    repo.tomb_ok(&["store", "docs/new.md"]);
    repo.tomb_ok(&["store", "docs/old.md", "--commit", "HEAD~1"]);
    assert_eq!(counts(&repo), [1, 0, 1, 0]);
    let text = repo.tomb_ok(&["status"]).stdout_text();
    assert!(text.contains("only on this machine\n          docs/new.md\n"), "{text}");
    repo.commit("archive");
    repo.git(&["push", "-q", "origin", "main"]);
    assert_eq!(counts(&repo), [2, 0, 0, 0]);
    repo.git(&["clone", "-q", "../remote.git", "../clone"]);
    assert_eq!(counts(&world.at("clone")), [0, 2, 0, 0]);
    repo.write("docs/new.md", "dirty\n");
    repo.git(&["checkout", "-q", "HEAD~1", "--", "docs/old.md"]);
    repo.write("docs/old.md", "never committed\n");
    repo.tomb_ok(&["store", "docs/old.md", "--allow-dirty", "--commit", "HEAD~1"]);
    assert_eq!(counts(&repo)[2], 1);
}

#[test]
fn the_digest_is_that_of_grep_and_sha256sum_and_a_quoted_one_is_known_again() {
    let world = World::new();
    let repo = world.sample("project");
    let stored = repo.tomb_ok(&["store", "src/legacy"]).json();
    let tombstone = stored[1]["tombstone"].as_str().unwrap();
    let digest = repo.tomb_ok(&["evidence", "digest", tombstone]).stdout_text();
    assert_eq!(digest.lines().count(), 1);
    let script = format!("grep -h {tombstone} .codex/evidence/ops/*/*/* | sha256sum");
    let sum = String::from_utf8(repo.command("sh").args(["-c", &script]).output().unwrap().stdout).unwrap();
    assert_eq!(digest.split(' ').next(), sum.split(' ').next());
    assert_eq!(repo.tomb_ok(&["evidence", "digest", "--staged"]).stdout_text().lines().count(), 2);
    repo.commit("archive");
    assert_eq!(repo.tomb_ok(&["evidence", "digest", "--staged"]).stdout_text(), "");
    repo.write("body.md", format!("We archive this.\n\n{digest}"));
    repo.tomb_ok(&["evidence", "verify", "--digests", "body.md"]);
    repo.write("body.md", digest.replace(&digest[..4], if digest.starts_with("0000") { "1111" } else { "0000" }));
    let json = repo.tomb(&["evidence", "verify", "--digests", "body.md", "--json"]).exits(1).json();
    assert_eq!(json[0]["severity"], "error");
}

#[test]
fn raw_puts_the_archived_bytes_back_past_the_checkout_conversion() {
    let world = World::new();
    let repo = world.init("project");
    repo.write(".gitattributes", "*.txt text eol=crlf\n");
    repo.write("a.txt", "one\r\ntwo\r\n");
    repo.write("run.txt", "run\r\n");
    repo.set_executable("run.txt");
    std::os::unix::fs::symlink("a.txt", repo.path.join("link.txt")).unwrap();
    repo.commit_all("first");
    repo.tomb_ok(&["store", "a.txt", "run.txt", "link.txt"]);
    repo.commit("archive");
    repo.tomb_ok(&["restore", "."]);
    assert_eq!(repo.read("a.txt"), b"one\r\ntwo\r\n");
    repo.git(&["reset", "-q", "--hard"]);
    repo.tomb_ok(&["restore", "--raw", "."]);
    assert_eq!(repo.read("a.txt"), b"one\ntwo\n");
    assert_eq!(repo.read("run.txt"), b"run\n");
    assert_eq!(std::fs::read_link(repo.path.join("link.txt")).unwrap(), std::path::Path::new("a.txt"));
    assert_eq!(repo.git(&["diff", "HEAD~1", "--", ".", ":!.codex"]), "", "the objects are the same ones");
    let executable = std::fs::metadata(repo.path.join("run.txt")).unwrap();
    assert_ne!(std::os::unix::fs::PermissionsExt::mode(&executable.permissions()) & 0o100, 0);
    repo.tomb_ok(&["verify"]);
}

#[test]
fn every_failed_restore_is_on_record_with_its_reason() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "docs/old.md"]);
    let failures = || {
        let log = repo.tomb_ok(&["evidence", "log", "--action", "RESTORE_FAIL", "--json"]).json();
        log.iter().map(|record| record["error"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    repo.tomb(&["restore", "8e3531b9-c839-5a07-9dec-507c36136eb1"]).exits(3);
    repo.tomb(&["restore", "docs/old.md", "README.md"]).exits(1);
    repo.write("docs/old.md", "edited");
    repo.tomb(&["restore", "docs/old.md"]).exits(1);
    repo.git(&["checkout", "-q", "--", "docs/old.md"]);
    repo.write(".git/index.lock", "");
    repo.tomb(&["restore", "docs/old.md"]).exits(1);
    std::fs::remove_file(repo.path.join(".git/index.lock")).unwrap();
    let reasons = failures();
    let expected = ["no item has a tombstone", "exists and is not the item", "is in the way", "the index is locked"];
    assert_eq!(reasons.len(), expected.len(), "{reasons:#?}");
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.contains(expected), "{reason}: {expected}");
    }
    let shown = repo.tomb_ok(&["show", "docs/old.md", "--json"]).json();
    let events = shown[0]["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["action"] == "RESTORE_FAIL"), "about a known item it is an event too");
}
