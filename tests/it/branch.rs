//! `restore --branch`: a commit on a new branch, and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use git_archive_tomb::fault::{POINTS, VARIABLE};
use rayon::prelude::*;

use crate::common::{FILTERS, Repo, World};
use crate::faults::{go_on, journals, kill_at, logged, recoveries, stopped_at};

/// Makes a repository in which files of each mode are archived.
fn archived<'a>(world: &'a World, options: &[&str]) -> Repo<'a> {
    let repo = world.init_with("project", options);
    repo.write("README.md", "# project\n");
    repo.write("docs/old.md", "# Old\n");
    repo.write("src/legacy/old.py", "import os\n");
    repo.write("src/legacy/run.sh", "#!/bin/sh\necho legacy\n");
    repo.set_executable("src/legacy/run.sh");
    std::os::unix::fs::symlink("old.py", repo.path.join("src/legacy/link")).unwrap();
    repo.commit_all("first");
    repo.git(&["config", "remote.origin.url", "https://example.org/project.git"]);
    repo.tomb_ok(&["store", "docs", "src/legacy"]);
    repo.commit("archive");
    repo
}

/// What a run must leave alone: bytes and times of every file of the working tree, of the index, and of what `HEAD` is and was.
#[derive(Debug, PartialEq, Eq)]
struct Untouched(BTreeMap<PathBuf, (SystemTime, Vec<u8>)>);

impl Untouched {
    fn of(repo: &Repo<'_>) -> Self {
        let mut found = BTreeMap::new();
        let mut pending = vec![repo.path.clone()];
        while let Some(path) = pending.pop() {
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() && path.file_name().unwrap() != ".git" {
                pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                found.insert(path, (metadata.modified().unwrap(), Vec::new()));
            } else if metadata.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, (metadata.modified().unwrap(), bytes));
            }
        }
        let git_dir = PathBuf::from(repo.git(&["rev-parse", "--absolute-git-dir"]));
        for name in ["index", "HEAD", "logs/HEAD", "MERGE_HEAD", "ORIG_HEAD", "FETCH_HEAD"] {
            let path = git_dir.join(name);
            if let Ok(bytes) = std::fs::read(&path) {
                found.insert(path.clone(), (path.metadata().unwrap().modified().unwrap(), bytes));
            }
        }
        Self(found)
    }
}

/// Runs a restore on branch `back`, which must succeed and touch nothing else.
#[track_caller]
fn restore(repo: &Repo<'_>, arguments: &[&str]) -> String {
    let before = Untouched::of(repo);
    let run = repo.tomb_ok(&[&["restore", "--branch", "back"], arguments].concat());
    assert!(Untouched::of(repo) == before, "nothing but the branch changes");
    run.stdout_text()
}

/// Asserts that a run ends with `code`, says `text`, and leaves no branch and nothing unfinished.
#[track_caller]
fn refused(repo: &Repo<'_>, arguments: &[&str], code: i32, text: &str) {
    let references = repo.git(&["for-each-ref"]);
    let before = Untouched::of(repo);
    let run = repo.tomb(arguments).exits(code);
    assert!(run.stderr_text().contains(text), "{arguments:?}: {run}");
    assert_eq!(repo.git(&["for-each-ref"]), references);
    assert!(Untouched::of(repo) == before, "nothing changes");
    assert_eq!(journals(repo), Vec::<String>::new());
}

/// Returns mode and path of what a branch has other than its parent, evidence apart.
fn changed(repo: &Repo<'_>, branch: &str) -> Vec<String> {
    let range = format!("{branch}^..{branch}");
    let listed = repo.git(&["diff", "--raw", "--no-renames", &range, "--", ".", ":(exclude).codex/evidence"]);
    let line = |line: &str| {
        let (facts, path) = line.split_once('\t').unwrap();
        format!("{} {path}", facts.split(' ').nth(1).unwrap())
    };
    listed.lines().map(line).collect()
}

#[test]
fn a_branch_brings_files_back_and_nothing_else_changes() {
    let world = World::new();
    let repo = archived(&world, &[]);
    // A merge that stopped in a conflict, in a tree with changes of every kind.
    repo.git(&["switch", "-q", "-c", "side"]);
    repo.write("README.md", "# side\n");
    repo.commit_all("side");
    repo.git(&["switch", "-q", "main"]);
    repo.write("README.md", "# main\n");
    repo.commit_all("main");
    assert_eq!(repo.try_git(&["merge", "-q", "side"]).code, Some(1));
    repo.write("docs/old.md", "edited\n");
    repo.write("staged.txt", "mine\n");
    repo.git(&["add", "staged.txt"]);
    repo.git(&["rm", "-q", "--cached", "src/legacy/old.py"]);
    repo.write("untracked.txt", "mine\n");
    repo.write(".git/index.lock", "somebody else's\n");

    let restored = restore(&repo, &["."]);
    assert_eq!(restored, "docs/old.md\nsrc/legacy/link\nsrc/legacy/old.py\nsrc/legacy/run.sh\n");
    let expected =
        ["100644 docs/old.md", "120000 src/legacy/link", "100644 src/legacy/old.py", "100755 src/legacy/run.sh"];
    assert_eq!(changed(&repo, "back"), expected);
    assert_eq!(repo.git(&["diff", "main~2", "back", "--", "docs", "src"]), "");
    assert_eq!(repo.git(&["rev-parse", "back^"]), repo.git(&["rev-parse", "main"]));
    let reflog = repo.git(&["reflog", "show", "--format=%gs", "back"]);
    assert!(reflog.starts_with("archive-tomb: restored on top of "), "{reflog}");

    std::fs::remove_file(repo.path.join(".git/index.lock")).unwrap();
    repo.tomb_ok(&["verify", "--range", "main..back", "--strict", "--deep"]);
    repo.git(&["reset", "-q", "--hard"]);
    repo.git(&["merge", "-q", "--no-edit", "back"]);
    repo.tomb_ok(&["verify", "--all", "--strict", "--deep"]);
    repo.tomb_ok(&["evidence", "verify", "--strict", "--trailers"]);
    assert_eq!(repo.read_text("docs/old.md"), "# Old\n");
    let items = repo.tomb_ok(&["list", "--json"]).json();
    assert!(items.iter().all(|item| item["restored_at"].is_string()), "{items:?}");
}

#[test]
fn the_commit_quotes_its_evidence_and_the_text_for_its_pull_request_can_be_checked() {
    let world = World::new();
    let repo = archived(&world, &[]);
    let run = repo.tomb_ok(&["restore", "src/legacy/old.py", "--branch", "back", "--json"]);
    let [shown] = &run.json()[..] else { panic!("{run}") };
    assert_eq!(shown["branch"], "back");
    assert_eq!(shown["commit"].as_str().unwrap(), repo.git(&["rev-parse", "back"]));
    let message = repo.git(&["log", "-1", "--format=%B", "back"]);
    let tombstone = repo.tombstone_at("src/legacy/old.py");
    let evidence = shown["evidence"].as_str().unwrap();
    assert_eq!(
        message.trim_end(),
        format!("Restore src/legacy/old.py\n\nTombstone: {tombstone}\nEvidence-Digest: sha256:{evidence}")
    );
    let body = repo.tomb_ok(&["pr-body", "--range", "main..back"]).stdout;
    let text = String::from_utf8(body.clone()).unwrap();
    assert!(text.starts_with("**1 file restored** (10 bytes), in 1 operation."), "{text}");
    assert!(text.contains("| `src/legacy/old.py` | 10 bytes | from the archive |"), "{text}");
    repo.git(&["switch", "-q", "back"]);
    repo.write("../body.md", body);
    repo.tomb_ok(&["evidence", "verify", "--digests", "../body.md"]);
    repo.tomb_ok(&["evidence", "verify", "--trailers"]);
}

#[test]
fn a_message_is_taken_as_git_commit_takes_it() {
    let world = World::new();
    let repo = archived(&world, &[]);
    let trailer = format!("Tombstone: {}", repo.tombstone_at("docs/old.md"));
    let last = "#12 is the reason  \n\n\nSigned-off-by: A <a@example.org>";
    repo.tomb_ok(&["restore", "docs", "--branch", "back", "-m", "Bring it back", "-m", last]);
    let lines = repo.git(&["log", "-1", "--format=%B", "back"]);
    let digest = lines.lines().find(|line| line.starts_with("Evidence-Digest: ")).unwrap();
    assert_eq!(
        lines.trim_end(),
        format!("Bring it back\n\n#12 is the reason\n\nSigned-off-by: A <a@example.org>\n{trailer}\n{digest}")
    );
    let parsed = repo.git(&["log", "-1", "--format=%(trailers:key=Evidence-Digest)", "back"]);
    assert_eq!(parsed.trim(), digest);
    refused(&repo, &["restore", "docs", "--branch", "none", "-m", " \n"], 2, "the message is empty");
}

#[test]
fn author_encoding_and_dates_are_gits_business() {
    let world = World::new();
    let repo =
        archived(&world, &[]).with("GIT_AUTHOR_NAME", "Somebody").with("GIT_AUTHOR_DATE", "2001-02-03T04:05:06Z");
    repo.git(&["config", "i18n.commitEncoding", "ISO-8859-1"]);
    repo.tomb_ok(&["restore", "docs", "--branch", "back"]);
    let commit = repo.git(&["cat-file", "commit", "back"]);
    assert!(commit.contains("\nauthor Somebody <maintainer@example.org> 981173106 +0000\n"), "{commit}");
    assert!(commit.contains("\ncommitter A Maintainer <"), "{commit}");
    assert!(commit.contains("\nencoding ISO-8859-1\n"), "{commit}");
    repo.git(&["config", "user.name", ""]);
    let nobody = ["restore", "docs", "--branch", "nobody", "--by", "B <b@example.org>"];
    refused(&repo, &nobody, 2, "tell git who you are");
}

#[test]
fn the_commit_is_signed_if_gits_configuration_says_so() {
    let world = World::new();
    let repo = archived(&world, &[]);
    let key = world.at("key").path;
    let mut command = world.at(".").command("ssh-keygen");
    assert!(command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap().success());
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    world.at(".").write("allowed", format!("maintainer@example.org {public}"));
    repo.git(&["config", "gpg.format", "ssh"]);
    repo.git(&["config", "gpg.ssh.allowedSignersFile", world.at("allowed").path.to_str().unwrap()]);
    repo.git(&["config", "user.signingKey", key.to_str().unwrap()]);
    restore(&repo, &["docs"]);
    assert_ne!(repo.try_git(&["verify-commit", "back"]).code, Some(0), "nobody asked for it");
    repo.git(&["config", "commit.gpgSign", "true"]);
    repo.tomb_ok(&["restore", "docs", "--branch", "signed"]);
    repo.git(&["verify-commit", "signed"]);
    repo.tomb_ok(&["verify", "--range", "main..signed", "--strict"]);

    repo.git(&["config", "user.signingKey", world.at("nowhere").path.to_str().unwrap()]);
    refused(&repo, &["restore", "docs", "--branch", "unsigned"], 1, "`git commit-tree` failed");
    assert_eq!(logged(&repo, "RESTORE_FAIL").len(), 1);
    repo.tomb_ok(&["doctor"]);
}

#[test]
fn every_kind_of_repository_gets_its_branch() {
    let world = World::new();
    let minor: u32 = world.at("home").git(&["--version"]).split('.').nth(1).unwrap().parse().unwrap();
    let mut formats = vec!["--object-format=sha1", "--object-format=sha256"];
    if minor >= 45 {
        formats.push("--ref-format=reftable");
    }
    for format in formats {
        let world = World::new();
        let repo = archived(&world, &[format]);
        restore(&repo, &["src"]);
        repo.tomb_ok(&["verify", "--range", "main..back", "--strict", "--deep"]);
        refused(&repo, &["restore", "src", "--branch", "back"], 1, "`refs/heads/back` exists");

        // Others of the same repository: a linked working tree with another branch, and a bare clone without an archive.
        repo.git(&["worktree", "add", "-q", "-b", "linked", "../linked"]);
        let linked = world.at("linked/src");
        linked.tomb_ok(&["restore", "legacy/old.py", "../other.py", "--branch", "elsewhere"]);
        assert_eq!(changed(&repo, "elsewhere"), ["100644 other.py"], "{format}");
        assert_eq!(linked.git(&["status", "--short"]), "");
        repo.tomb_ok(&["verify", "--range", "main..elsewhere", "--strict", "--deep"]);

        repo.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
        let bare = world.at("bare.git");
        bare.git(&["config", "remote.origin.url", "https://example.org/project.git"]);
        let run = bare.tomb_ok(&["restore", "src/legacy", "--branch", "in-bare"]);
        assert!(run.stderr_text().contains("3 files from git's history on the new branch `in-bare`"), "{run}");
        assert!(!run.stderr_text().contains("git switch"), "{run}");
        bare.tomb_ok(&["verify", "--range", "main..in-bare", "--strict"]);
        assert_eq!(changed(&bare, "in-bare").len(), 3);
    }
}

#[test]
fn a_sparse_checkout_is_left_sparse() {
    let world = World::new();
    let repo = archived(&world, &[]);
    repo.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "src"]);
    assert!(!repo.exists("docs/old.md"));
    restore(&repo, &["docs/old.md"]);
    assert_eq!(changed(&repo, "back"), ["100644 docs/old.md"]);
    repo.tomb_ok(&["verify", "--range", "main..back", "--strict", "--deep"]);
}

#[test]
fn what_stands_where_is_the_bases_to_say() {
    let world = World::new();
    let repo = archived(&world, &[]);
    let first = repo.git(&["rev-parse", "main~1"]);
    let base = repo.git(&["rev-parse", "main"]);
    let tombstone = repo.tombstone_at("docs/old.md");
    // Later the stubs moved, one was restored, and the index has none of them any more.
    repo.git(&["mv", "src", "source"]);
    repo.tomb_ok(&["restore", "docs"]);
    repo.commit("later");
    repo.git(&["rm", "-q", "-r", "--cached", "."]);
    let run = repo.tomb_ok(&["restore", ".", "--branch", "of-base", "--base", &base]);
    assert_eq!(run.stdout_text(), "docs/old.md\nsrc/legacy/link\nsrc/legacy/old.py\nsrc/legacy/run.sh\n");
    repo.tomb_ok(&["verify", "--range", &format!("{base}..of-base"), "--strict", "--deep"]);
    let run = repo.tomb_ok(&["restore", "source/legacy/run.sh", "--branch", "of-head"]);
    assert_eq!(run.stdout_text(), "source/legacy/run.sh\n", "a stub that moved");
    assert_eq!(changed(&repo, "of-head"), ["100755 source/legacy/run.sh"]);
    repo.tomb_ok(&["verify", "--range", "main..of-head", "--strict", "--deep"]);

    // Before anything was archived: the program's own files come along, and the item is there already.
    let run = repo.tomb_ok(&["restore", &tombstone, "--branch", "none", "--base", &first]);
    assert!(run.stderr_text().contains("nothing to restore, and no branch was made"), "{run}");
    assert_eq!(repo.try_git(&["rev-parse", "-q", "--verify", "none"]).code, Some(1));
    let run = repo.tomb_ok(&["restore", &tombstone, "copy.md", "--branch", "copy", "--base", &first]);
    assert_eq!(run.stdout_text(), "copy.md\n");
    assert_eq!(changed(&repo, "copy"), ["100644 .codex/.gitattributes", "100644 .codex/.gitignore", "100644 copy.md"]);
    repo.tomb_ok(&["verify", "--range", &format!("{first}..copy"), "--strict", "--deep"]);
    repo.tomb_ok(&["verify", "--all"]);
}

#[test]
fn what_is_in_the_way_is_refused_with_a_way_out() {
    let world = World::new();
    let repo = archived(&world, &[]);
    repo.write("taken.md", "something else\n");
    repo.write("folder/file", "x\n");
    repo.write("same.md", "# Old\n");
    repo.commit_all("more");
    repo.git(&["branch", "team/topic"]);
    repo.git(&["symbolic-ref", "refs/heads/dangling", "refs/heads/ghost"]);
    let target = "docs/old.md";
    for (branch, code, text) in [
        ("main", 1, "`refs/heads/main` exists"),
        ("team", 1, "`refs/heads/team/topic` exists"),
        ("team/topic/more", 1, "--branch team-topic-more"),
        ("a..b", 2, "`a..b` is not a name for a branch"),
        ("-x", 2, ""),
        ("HEAD", 2, "is not a name for a branch"),
        ("@", 2, "`@` is not a name for a branch"),
        ("", 2, "is not a name for a branch"),
        ("dangling", 1, "`refs/heads/dangling` exists"),
        ("dangling/more", 1, "`refs/heads/dangling` exists"),
    ] {
        refused(&repo, &["restore", target, &format!("--branch={branch}")], code, text);
    }
    assert_eq!(repo.try_git(&["rev-parse", "-q", "--verify", "refs/heads/ghost"]).code, Some(1));
    for (output, text) in [
        ("taken.md", "`taken.md` is in the way"),
        ("src/legacy/old.py", "`src/legacy/old.py` is in the way"),
        ("folder", "a folder is in the way"),
        ("taken.md/below", "a file above it is in the way"),
        (".codex/evidence/ops/x", "is in `.codex`"),
        (".CODEX/x", "is in `.codex`"),
        (".git/config", "it leads into `.git`"),
        ("GIT~1/config", "it leads into `.git`"),
        ("../outside", "is not a path"),
        ("/outside", "is not a path"),
        ("-", "is not a path for a file"),
        (".", "is not a path for a file"),
        ("folder/", "is not a path for a file"),
    ] {
        refused(&repo, &["restore", target, output, "--branch", "back"], 1, text);
    }
    refused(&repo, &["restore", target, "--branch", "back", "--raw"], 2, "cannot be used with");
    refused(&repo, &["restore", "src", "out", "--branch", "back"], 2, "means several stubs");
    refused(&repo, &["restore", target, "--branch", "back", "--base", "nowhere"], 2, "is not a revision");
    refused(&repo, &["restore", target, "--base", "main"], 2, "--branch");
    let before = logged(&repo, "RESTORE_FAIL").len();
    assert!(before >= 15, "refusals are recorded, {before} of them");

    let run = repo.tomb_ok(&["restore", target, "same.md", "--branch", "same"]);
    assert!(run.stderr_text().contains("no branch was made"), "{run}");
    repo.tomb_ok(&["restore", target, "taken.md", "--branch", "forced", "--force"]);
    assert_eq!(changed(&repo, "forced"), ["100644 taken.md"]);
}

#[test]
fn a_base_that_leaves_no_room_for_evidence_is_refused() {
    let world = World::new();
    let repo = archived(&world, &[]);
    let tombstone = repo.tombstone_at("docs/old.md");
    let commit = |name: &str, entries: &str| {
        let tree = repo
            .command("git")
            .args(["mktree"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let mut tree = tree.unwrap();
        std::io::Write::write_all(&mut tree.stdin.take().unwrap(), entries.as_bytes()).unwrap();
        let tree = String::from_utf8(tree.wait_with_output().unwrap().stdout).unwrap();
        let commit = repo.git(&["commit-tree", tree.trim(), "-m", name]);
        repo.git(&["update-ref", &format!("refs/heads/{name}"), &commit]);
    };
    let blob = repo.git(&["rev-parse", "main:README.md"]);
    let folder = repo.git(&["rev-parse", "main:docs"]);
    commit("file", &format!("100644 blob {blob}\t.codex\n"));
    commit("case", &format!("040000 tree {folder}\t.Codex\n"));
    repo.git(&["switch", "-q", "--detach", "main~1"]);
    for path in [".codex/.gitattributes/x", ".codex/evidence/ops"] {
        repo.git(&["switch", "-q", "--detach", "main~1"]);
        repo.write(path, "theirs\n");
        repo.git(&["add", "-f", path]);
        repo.commit("in the way");
        let at = ["restore", &tombstone, "x", "--branch", "back", "--base", "HEAD"];
        refused(&repo, &at, 1, "is in the way");
        repo.git(&["reset", "-q", "--hard", "main~1"]);
    }
    repo.git(&["switch", "-q", "main"]);
    for (base, code, text) in [("file", 2, "git tracks `.codex`"), ("case", 2, "git tracks `.Codex`")] {
        refused(&repo, &["restore", &tombstone, "x", "--branch", "back", "--base", base], code, text);
    }
    // The base's attributes count, those of the working tree do not.
    repo.write(".codex/evidence/.gitattributes", "*.jsonl text\n");
    restore(&repo, &["docs"]);
    repo.git(&["add", "-f", ".codex/evidence/.gitattributes"]);
    repo.commit("harmful");
    std::fs::remove_file(repo.path.join(".codex/evidence/.gitattributes")).unwrap();
    let line = "line 1 of `.codex/evidence/.gitattributes`: *.jsonl text";
    refused(&repo, &["restore", "docs", "--branch", "again"], 2, line);
}

#[test]
fn attributes_that_come_back_and_would_alter_evidence_are_refused() {
    let world = World::new();
    let repo = archived(&world, &[]);
    // Below the top git takes it for nothing.
    repo.write("sub/.gitattributes", "# mine\n[attr]linguist-generated text eol=crlf\n");
    repo.commit_all("attributes");
    repo.tomb_ok(&["store", "sub"]);
    repo.commit("archive them");
    let line = "line 2 of `.gitattributes`: [attr]linguist-generated text eol=crlf";
    let said = ["restore", "sub/.gitattributes", ".gitattributes", "--branch", "back"];
    refused(&repo, &said, 2, line);
    repo.git(&["mv", "sub/.gitattributes", ".gitattributes"]);
    repo.commit("move the stub");
    refused(&repo, &["restore", ".", "--branch", "back"], 2, line);
    restore(&repo, &[".gitattributes", "sub/.gitattributes"]);
    repo.tomb_ok(&["verify", "--range", "main..back", "--strict", "--deep"]);
}

#[test]
fn what_is_said_works_also_where_a_tag_has_the_name() {
    let world = World::new();
    let repo = archived(&world, &[]);
    repo.git(&["init", "-q", "--bare", "../remote.git"]);
    repo.git(&["config", "remote.origin.pushurl", "../remote.git"]);
    repo.git(&["tag", "v1", "main~1"]);
    let run = repo.tomb_ok(&["restore", "docs", "--branch", "v1"]);
    let said = run.stderr_text();
    let hints: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("hint: ")?.split('`').nth(1)).collect();
    let [switch, push, body] = hints[..] else { panic!("{run}") };
    let rest = |line: &str, command: &str| line.strip_prefix(command).unwrap_or_else(|| panic!("{line}")).to_owned();
    repo.git(&rest(push, "git ").split(' ').collect::<Vec<_>>());
    let refs = world.at("remote.git").git(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/v1");
    let text = repo.tomb_ok(&rest(body, "git archive-tomb ").split(' ').collect::<Vec<_>>()).stdout_text();
    assert!(text.starts_with("**1 file restored**"), "{text}");
    repo.git(&rest(switch, "git ").split(' ').collect::<Vec<_>>());
    assert_eq!(repo.git(&["symbolic-ref", "HEAD"]), "refs/heads/v1");
}

#[test]
fn a_repository_without_a_commit_and_a_branch_that_waits_for_one_are_refused() {
    let world = World::new();
    let empty = world.init("empty");
    let tombstone = "8e3531b9-c839-5a07-9dec-507c36136eb1";
    let run = empty.tomb(&["restore", tombstone, "--branch", "back"]).exits(2);
    assert!(run.stderr_text().contains("there is no commit yet"), "{run}");

    let repo = archived(&world, &[]);
    repo.git(&["switch", "-q", "--orphan", "waiting"]);
    let target = ["restore", "docs/old.md", "--base", "main", "--branch"];
    refused(&repo, &[&target[..], &["waiting"]].concat(), 1, "is on it, without a commit yet");
    repo.tomb_ok(&[&target[..], &["back"]].concat());
}

#[test]
fn approvals_keep_bytes_from_getting_out_whatever_restore_is_asked_for() {
    let world = World::new();
    let repo = archived(&world, &[]);
    let repo = repo.with("CODEX_ARCHIVE_GOVERNANCE_RESTORE_APPROVALS", "1");
    let ways = [&[][..], &["out.md"], &["-"], &["--raw"], &["--force"], &["--merge"], &["--branch", "back"]];
    for source in ["archive", "history"] {
        for way in ways {
            let arguments = [&["restore", "docs/old.md", "--from", source], way].concat();
            refused(&repo, &arguments, 4, "with approvals only");
            assert_eq!(repo.tomb(&arguments).stdout_text(), "", "{arguments:?}");
        }
    }
    assert_eq!(logged(&repo, "RESTORE_FAIL").len(), 2 * 2 * ways.len(), "each is on record");
    assert_eq!(logged(&repo, "RESTORE").len(), 0);
}

#[test]
fn clones_that_lack_a_part_fetch_it_or_say_what_to_fetch() {
    let world = World::new();
    let repo = archived(&world, &[]);
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    repo.git(&["branch", "other"]);
    repo.git(&["rm", "-q", "-r", "docs", "src"]);
    repo.commit("gone");
    let url = format!("file://{}", repo.path.display());
    for (name, options) in [("blobless", &["--filter=blob:none"][..]), ("treeless", &["--filter=tree:0"])] {
        world.at("home").git(&[&["clone", "-q"], options, &[&url, &format!("../{name}")]].concat());
        let clone = world.at(name);
        // In the base of another branch, whose blobs nobody has asked for yet.
        let run = clone.tomb_ok(&["restore", "src", "--branch", "back", "--base", "origin/other"]);
        assert!(run.stderr_text().contains("from git's history"), "{run}");
        clone.tomb_ok(&["verify", "--range", "origin/other..back", "--strict"]);
    }
    // Many are better fetched at once; and what cannot be fetched is told.
    repo.git(&["switch", "-q", "other"]);
    for number in 0..20 {
        repo.write(format!("many/{number}.txt"), format!("{number}\n"));
    }
    repo.commit_all("many");
    repo.tomb_ok(&["store", "-q", "many"]);
    repo.commit("archive many");
    repo.git(&["switch", "-q", "main"]);
    world.at("home").git(&["clone", "-q", "--filter=blob:none", &url, "../cut-off"]);
    let clone = world.at("cut-off");
    let at = |target| ["restore", target, "--branch", "back", "--base", "origin/other"];
    refused(&clone, &at("many"), 1, "git fetch --refetch --no-filter");
    clone.git(&["remote", "set-url", "origin", "file:///nowhere"]);
    refused(&clone, &at("docs"), 1, "could not fetch");

    world.at("home").git(&["clone", "-q", "--depth=1", "--no-single-branch", &url, "../shallow"]);
    let shallow = world.at("shallow");
    let run = shallow.tomb(&["restore", "docs", "--branch", "back", "--base", "origin/other~1"]).exits(2);
    assert!(run.stderr_text().contains("git fetch --unshallow"), "{run}");
    let run = shallow.tomb(&["restore", "docs", "--branch", "back", "--base", "origin/other"]).exits(3);
    assert!(run.stderr_text().contains("git fetch --unshallow"), "{run}");
    assert_eq!(journals(&shallow), Vec::<String>::new());
}

#[test]
fn whoever_is_second_to_a_name_is_refused_and_leaves_nothing() {
    let world = World::new();
    let repo = archived(&world, &[]);
    let child = stopped_at(&repo, "commit", &["restore", "docs", "--branch", "back"]);
    // Meanwhile: another working at the same name, and an ordinary operation in the working tree.
    repo.tomb_ok(&["restore", "src", "--branch", "back"]);
    let winner = repo.git(&["rev-parse", "back"]);
    repo.tomb_ok(&["store", "README.md"]);
    let run = go_on(child).exits(1);
    assert!(run.stderr_text().contains("another one took its name meanwhile"), "{run}");
    assert_eq!(repo.git(&["rev-parse", "back"]), winner);
    assert_eq!(journals(&repo), Vec::<String>::new());
    assert_eq!(logged(&repo, "RESTORE_FAIL").len(), 1);
    repo.tomb_ok(&["verify", "--staged"]);
    repo.tomb_ok(&["doctor"]);
}

#[test]
fn a_hook_that_refuses_the_reference_leaves_nothing() {
    let world = World::new();
    let repo = archived(&world, &[]);
    repo.write(".git/hooks/reference-transaction", "#!/bin/sh\n! grep -q refs/heads/back\n");
    repo.set_executable(".git/hooks/reference-transaction");
    for hook in ["pre-commit", "commit-msg", "post-commit", "pre-merge-commit"] {
        repo.write(format!(".git/hooks/{hook}"), "#!/bin/sh\ntouch ran\nexit 1\n");
        repo.set_executable(&format!(".git/hooks/{hook}"));
    }
    refused(&repo, &["restore", "docs", "--branch", "back"], 1, "`git update-ref` failed");
    repo.tomb_ok(&["restore", "docs", "--branch", "other"]);
    assert!(!repo.exists("ran"), "no hook of a commit is run");
}

#[test]
fn an_interruption_takes_everything_back_until_the_branch_is_there() {
    let world = World::new();
    let repo = archived(&world, &[]);
    for point in ["intent", "bytes", "log", "commit"] {
        let stopped = repo.with(VARIABLE, format!("{point}@INT"));
        refused(&stopped, &["restore", "docs", "--branch", "back"], 130, "interrupted, and nothing was changed");
    }
    repo.with(VARIABLE, "branch@TERM").tomb_ok(&["restore", "docs", "--branch", "back"]);
    repo.tomb_ok(&["verify", "--range", "main..back", "--strict", "--deep"]);
}

const RESTORE: [&str; 4] = ["restore", ".", "--branch", "back"];

fn is_made(repo: &Repo<'_>) -> bool {
    repo.try_git(&["rev-parse", "-q", "--verify", "refs/heads/back"]).code == Some(0)
}

fn is_unfinished(repo: &Repo<'_>) -> bool {
    journals(repo).iter().any(|name| !name.starts_with('.'))
}

/// Asserts that the branch is as if nothing had stopped.
#[track_caller]
fn assert_done(repo: &Repo<'_>, what: &str) {
    assert_eq!(journals(repo), Vec::<String>::new(), "{what}");
    assert_eq!(changed(repo, "back").len(), 4, "{what}");
    assert_eq!(repo.git(&["rev-parse", "back^"]), repo.git(&["rev-parse", "main"]), "{what}");
    repo.tomb_ok(&["verify", "--range", "main..back", "--strict", "--deep"]);
}

#[test]
fn stopped_anywhere_it_can_be_finished_or_undone_and_done_again() {
    let world = World::new();
    let base = archived(&world, &[]);
    let before = Untouched::of(&base);
    let reached: Vec<&&str> = POINTS
        .par_iter()
        .filter(|point| {
            let killed = base.copy_to(&format!("at-{point}"));
            let untouched = Untouched::of(&killed);
            if !kill_at(&killed, point, &RESTORE) {
                return false;
            }
            assert!(Untouched::of(&killed) == untouched, "{point}");
            let (made, unfinished) = (is_made(&killed), is_unfinished(&killed));
            let commit = made.then(|| killed.git(&["rev-parse", "back"]));
            if unfinished {
                let said = killed.tomb(&RESTORE).exits(1).stderr_text();
                assert!(said.contains("doctor --continue"), "{point}: {said}");
                // It is in nobody's way.
                let said = killed.tomb_ok(&["store", "--dry-run", "README.md"]).stderr_text();
                assert!(said.contains("half-way"), "{point}: {said}");
            }

            let finished = killed.sibling("finished");
            finished.tomb_ok(&["doctor", "--continue"]);
            if unfinished {
                assert_eq!(recoveries(&finished), ["finished"], "{point}");
            }
            if unfinished || made {
                assert_done(&finished, point);
                let records = logged(&finished, "RESTORE").into_iter().filter(|record| !record["tombstone"].is_null());
                assert_eq!(records.count(), 4, "{point}: each is logged once");
                assert!(commit.is_none_or(|commit| commit == finished.git(&["rev-parse", "back"])), "{point}");
            }

            let undone = killed.sibling("undone");
            let run = undone.tomb(&["doctor", "--abort"]);
            if made && unfinished {
                assert!(run.exits(1).stderr_text().contains("cannot be undone"), "{point}");
            } else {
                let _ = run.exits(0);
                assert_eq!(is_made(&undone), made, "{point}");
                if !made {
                    undone.tomb_ok(&RESTORE);
                    assert_done(&undone, point);
                }
            }
            true
        })
        .collect();
    assert!(Untouched::of(&base) == before);
    for point in
        ["journal", "intent", "own", "bytes", "evidence", "log", "blobs", "commit-made", "commit", "branch", "settled"]
    {
        assert!(reached.contains(&&point), "{point} is passed: {reached:?}");
    }
}

#[test]
fn a_recovery_stopped_anywhere_can_be_repeated_or_turned_round() {
    let world = World::new();
    let base = archived(&world, &[]);
    assert!(kill_at(&base, "commit-made", &RESTORE));
    for (first, then) in [("--continue", &["--continue"][..]), ("--abort", &["--abort", "--continue"])] {
        let reached: Vec<_> = POINTS
            .par_iter()
            .filter(|point| {
                let killed = base.copy_to(&format!("{point}{first}"));
                if !kill_at(&killed, point, &["doctor", first]) {
                    return false;
                }
                let unfinished = is_unfinished(&killed);
                for second in then {
                    let what = format!("{first} at {point}, then {second}");
                    let copy = killed.sibling(second);
                    copy.tomb_ok(&["doctor", second]);
                    match (unfinished, first, *second) {
                        (true, _, "--continue") | (false, "--continue", _) => assert_done(&copy, &what),
                        _ => assert!(!is_made(&copy) && journals(&copy).is_empty(), "{what}"),
                    }
                }
                true
            })
            .collect();
        assert!(reached.contains(&&"recovery"), "{reached:?}");
    }
}

#[test]
fn what_became_of_the_branch_since_the_stop_is_respected() {
    let world = World::new();
    let base = archived(&world, &[]);
    assert!(kill_at(&base, "branch", &RESTORE));
    let commit = base.git(&["rev-parse", "back"]);
    let finish = |name: &str, prepare: &[&[&str]]| {
        let repo = base.copy_to(name);
        for arguments in prepare {
            repo.git(arguments);
        }
        repo.tomb_ok(&["doctor", "--continue"]);
        assert_eq!(journals(&repo), Vec::<String>::new());
        repo.git(&["for-each-ref", "--format=%(refname:short) %(objectname)", "--contains", &commit, "refs/heads/"])
    };
    assert_eq!(finish("renamed", &[&["branch", "-m", "back", "other"]]), format!("other {commit}"));
    let merged = finish("merged", &[&["merge", "-q", "back"], &["branch", "-q", "-d", "back"]]);
    assert_eq!(merged, format!("main {commit}"));
    assert_eq!(finish("deleted", &[&["branch", "-q", "-D", "back"]]), format!("back {commit}"));

    // Somebody else has the name now: it can only be undone.
    assert!(kill_at(&world.at("deleted"), "commit", &["restore", ".", "--branch", "late"]));
    let repo = world.at("deleted");
    repo.git(&["branch", "late"]);
    let run = repo.tomb(&["doctor", "--continue"]).exits(1);
    assert!(run.stderr_text().contains("another one took its name"), "{run}");
    assert!(run.stderr_text().contains("doctor --abort"), "{run}");
    repo.tomb_ok(&["doctor", "--abort"]);
    assert_eq!(repo.git(&["rev-parse", "late"]), repo.git(&["rev-parse", "main"]));
    assert_eq!(journals(&repo), Vec::<String>::new());
}

#[test]
fn what_git_dropped_since_the_stop_is_made_again() {
    let world = World::new();
    let base = archived(&world, &[]);
    assert!(kill_at(&base, "commit", &RESTORE));
    for (name, remedy) in [("pruned", "--continue"), ("undone", "--abort")] {
        let repo = base.copy_to(name);
        repo.git(&["prune", "--expire=now"]);
        repo.tomb_ok(&["doctor", remedy]);
        if remedy == "--continue" {
            assert_done(&repo, name);
        } else {
            assert!(!is_made(&repo) && journals(&repo).is_empty());
        }
    }

    // Without the base there is nothing to make a commit on; undoing needs none.
    let repo = base.copy_to("baseless");
    repo.git(&["switch", "-q", "--orphan", "lost"]);
    repo.git(&["commit", "-q", "--no-verify", "--allow-empty", "-m", "lost"]);
    repo.write("x", "x\n");
    assert!(kill_at(
        &repo,
        "log",
        &["restore", &base.tombstone_at("docs/old.md"), "--branch", "of-lost", "--base", "lost"]
    ));
    repo.git(&["switch", "-q", "main"]);
    repo.git(&["branch", "-q", "-D", "lost"]);
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    repo.git(&["prune", "--expire=now"]);
    repo.tomb(&["doctor", "--continue"]).exits(1);
    repo.tomb_ok(&["doctor", "--abort"]);
    assert_eq!(journals(&repo), Vec::<String>::new());
}

#[test]
fn it_is_mended_from_any_working_tree_and_without_one() {
    let world = World::new();
    let repo = archived(&world, &[]);
    repo.git(&["worktree", "add", "-q", "--detach", "../linked"]);
    assert!(kill_at(&world.at("linked"), "log", &RESTORE));
    repo.git(&["worktree", "remove", "--force", "../linked"]);
    assert!(repo.tomb(&["doctor"]).exits(1).stdout_text().contains("doctor --continue"));
    repo.tomb_ok(&["doctor", "--continue"]);
    assert_done(&repo, "begun elsewhere");

    repo.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    let bare = world.at("bare.git");
    bare.git(&["config", "remote.origin.url", "https://example.org/project.git"]);
    for remedy in ["--continue", "--abort"] {
        let arguments = ["restore", "src", "--branch", "new"];
        let run = bare.with(VARIABLE, "commit").tomb(&arguments);
        assert_eq!(run.code, None, "{run}");
        bare.tomb_ok(&["doctor", remedy]);
        assert_eq!(bare.try_git(&["rev-parse", "-q", "--verify", "new"]).code == Some(0), remedy == "--continue");
        if remedy == "--continue" {
            bare.tomb_ok(&["verify", "--range", "main..new", "--strict"]);
            bare.git(&["branch", "-q", "-D", "new"]);
        }
    }
    assert!(!Path::new(&bare.path).join("index.lock").exists());
}

#[test]
fn what_is_said() {
    let world = World::new();
    let repo = archived(&world, &[]);
    let filters = || [FILTERS, &[(r"\{.ts.*\n", "")]].concat();
    let shown = |arguments: &[&str]| repo.tomb(arguments).snapshot(&world);
    insta::with_settings!({ filters => filters() }, {
        insta::assert_snapshot!(shown(&["restore", "src", "--branch", "back"]), @r"
        exit: 0
        ----- stdout -----
        src/legacy/link
        src/legacy/old.py
        src/legacy/run.sh
        ----- stderr -----
        restored 3 files on the new branch `back`, in commit [short] on top of [short]
        hint: look at it: `git switch back`
        hint: publish it: `git push -u origin back`
        hint: the text of its pull request: `git archive-tomb pr-body --range [short]..back`
        ");
        insta::assert_snapshot!(shown(&["restore", "src", "--branch", "back"]), @r"
        exit: 1
        ----- stderr -----
        error: branch `back` cannot be made: `refs/heads/back` exists
        hint: choose another name: `--branch back-2`
        hint: see what is there: `git log back`
        ");
        insta::assert_snapshot!(shown(&["restore", "docs/old.md", "README.md", "--branch", "next"]), @r"
        exit: 1
        ----- stderr -----
        error: `README.md` is in the way: it is not the stub of item [uuid]
        hint: restore to another file, by naming one, or replace what is there with `--force`
        ");
        insta::assert_snapshot!(shown(&["-q", "restore", "docs", "--branch", "next", "--json"]), @r#"
        exit: 0
        ----- stdout -----
        {"tombstone":"[uuid]","sha256":"[sha256]","size_bytes":6,"repo":"project","path":"docs/old.md","source":"archive","evidence":"[sha256]","branch":"next","commit":"[object]","status":"restored"}
        "#);
        let _ = repo.with(VARIABLE, "log").tomb(&["restore", "docs", "--branch", "cut"]);
        insta::assert_snapshot!(shown(&["list", "--path", "nowhere"]), @r"
        exit: 0
        ----- stderr -----
        warning: operation [uuid] (restore --branch of 1 path, begun [time] by A Maintainer <maintainer@example.org>) was stopped half-way
        hint: finish it with `git archive-tomb doctor --continue`, or undo it with `git archive-tomb doctor --abort`
        ");
        insta::assert_snapshot!(shown(&["doctor", "--continue"]), @r"
        exit: 0
        ----- stderr -----
        finished operation [uuid]: branch `cut` is there
        ");
    });
}
