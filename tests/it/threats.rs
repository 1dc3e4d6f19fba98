//! The threat model, carried out: the tables of `docs/threat-model.md` are read from the page, each row is an attack here, and what
//! the page says of it has to come true. A row without an attack, or an attack without a row, fails.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::common::{Repo, World};

/// Carries out an attack, checks that the commands end as they should, and returns all that they said.
type Attack = fn(&Repo<'_>) -> String;

const ATTACKS: &[(&str, Attack)] = &[
    ("edits a stub (text, code, restore line)", edited_stub),
    ("edits, reorders, deletes lines of an evidence file", edited_evidence),
    ("deletes or renames an evidence file", deleted_evidence),
    ("writes new evidence that claims other bytes were archived", other_bytes),
    ("swaps a file just before archiving it, in one commit", swapped_bytes),
    ("puts other content over a stub", overwritten_stub),
    ("exempts a stub (`-archive-tomb`) to overwrite it, at once or in a later commit", exempted_stub),
    ("moves evidence where it counts for nothing, to remove it later", moved_evidence),
    ("commits the stub and not its evidence", stub_alone),
    ("hides a rewrite inside a merge commit", evil_merge),
    ("rewrites and mends within one pull request", mended),
    ("hides history behind replace refs, grafts, a doctored `.git/shallow`", hidden_history),
    ("uses names that a file system folds into `.codex`", folded_name),
    ("puts terminal escapes, workflow commands, markup into names", escapes),
    ("writes huge, deep, malformed stubs, evidence, trees", huge),
    ("points a configuration file in a branch at a server, or at secrets", hostile_configuration),
    ("changes bytes or rows in the archive", changed_bytes),
    ("changes or deletes `event` rows", deleted_events),
    ("rewrites the whole history, consistently", rewritten_history),
    ("cuts the history back to an older state", cut_history),
];

const LIMITS: &[(&str, Attack)] = &[
    ("a squash that erases an archive with its evidence", squashed),
    ("a name in `--by`, a clock", claimed_actor),
    ("a pull request that edits `.gitattributes`", edited_attributes),
    ("`--no-verify`, GUI clients, cherry-pick, revert, rebase", past_the_hook),
    ("a merge without the required checks", unchecked_merge),
    ("malformed evidence accepted once", accepted_once),
    ("a database owner who drops triggers", deleted_events),
    ("bytes archived by `--allow-dirty`", dirty),
];

#[test]
fn every_row_of_the_table_is_noticed_as_it_says() {
    carry_out("## What is protected, against whom", ATTACKS);
}

#[test]
fn every_limit_is_as_the_page_says() {
    carry_out("## Limits, tried", LIMITS);
}

/// Carries out the attacks of the table below `heading`, each on a copy of the same repository.
fn carry_out(heading: &str, attacks: &[(&str, Attack)]) {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/threat-model.md")).unwrap();
    let section = page.split_once(heading).unwrap().1.split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .skip(1)
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let listed: BTreeSet<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(listed, attacks.iter().map(|(name, _)| *name).collect());
    let world = World::new();
    let base = archived(&world);
    rows.par_iter().enumerate().for_each(|(number, row)| {
        let (_, attack) = attacks.iter().find(|(name, _)| *name == row[0]).unwrap();
        let folder = format!("attack{number}");
        std::fs::create_dir(world.at(&folder).path).unwrap();
        let said = attack(&base.copy_to(&format!("{folder}/project")));
        for rule in row.last().unwrap().split('`').skip(1).step_by(2).filter(|word| is_rule(word)) {
            assert!(said.contains(rule), "{}: {rule} is not in\n{said}", row[0]);
        }
    });
}

fn is_rule(word: &str) -> bool {
    let families = ["stub-", "evidence-", "archive-", "history-"];
    families.iter().any(|family| word.starts_with(family)) && !word.contains(' ')
}

/// Returns a repository in which `docs/old.md` and then `src/legacy` are archived and signed. Tags: `start` is before, `base` is now.
fn archived(world: &World) -> Repo<'_> {
    let repo = world.sample("project");
    repo.git(&["config", "remote.origin.url", "https://example.org/project.git"]);
    let keys = world.at(".");
    let made = keys.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", "ada"]).status().unwrap();
    assert!(made.success());
    keys.write("allowed_signers", format!("ada@example.org {}", keys.read_text("ada.pub")));
    repo.git(&["config", "gpg.format", "ssh"]);
    repo.git(&["config", "user.signingKey", keys.path.join("ada").to_str().unwrap()]);
    repo.git(&["config", "gpg.ssh.allowedSignersFile", keys.path.join("allowed_signers").to_str().unwrap()]);
    repo.git(&["tag", "start"]);
    repo.tomb_ok(&["store", "docs"]);
    repo.commit("archive docs");
    repo.tomb_ok(&["store", "src/legacy"]);
    repo.commit("archive src/legacy");
    repo.tomb_ok(&["evidence", "sign"]);
    repo.commit("sign");
    repo.git(&["tag", "base"]);
    repo
}

/// Verifies what came since a tag, which must end with `code`.
#[track_caller]
fn range(repo: &Repo<'_>, since: &str, code: i32) -> String {
    repo.tomb(&["verify", "--range", &format!("{since}..HEAD")]).exits(code).all_text()
}

/// Commits everything and verifies it, which must fail; then all is as before.
#[track_caller]
fn refused(repo: &Repo<'_>) -> String {
    repo.commit_all("attack");
    let said = range(repo, "base", 1);
    repo.git(&["reset", "-q", "--hard", "base"]);
    said
}

/// Returns the evidence files, oldest first. By their names, two of one second stand in the order of their digests.
fn evidence(repo: &Repo<'_>) -> Vec<String> {
    let listed = repo.git(&["ls-files", ".codex/evidence/ops"]);
    let mut files: Vec<String> = listed.lines().map(str::to_owned).collect();
    files.sort_by_key(|file| repo.read_text(file).split("\"ts\":\"").nth(1).map(|rest| rest[..24].to_owned()));
    files
}

/// Runs SQL on the embedded archive, with or without the triggers that protect it.
fn tamper(repo: &Repo<'_>, sql: &str, drops_triggers: bool) -> rusqlite::Result<()> {
    let archive = rusqlite::Connection::open(repo.path.join(".git/archive-tomb/archive.sqlite"))?;
    if drops_triggers {
        let mut names = archive.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")?;
        let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        names.iter().try_for_each(|name| archive.execute_batch(&format!("DROP TRIGGER \"{name}\"")))?;
    }
    archive.execute_batch(sql)
}

fn edited_stub(repo: &Repo<'_>) -> String {
    let stub = repo.read_text("src/legacy/old.py");
    let mut said = String::new();
    for (from, to) in [("raise ImportError(", "print("), ("restore: git", "restore: sudo git"), ("tombstone: ", "")] {
        assert!(stub.contains(from), "{stub}");
        repo.write("src/legacy/old.py", stub.replace(from, to));
        said += &refused(repo);
    }
    said
}

fn edited_evidence(repo: &Repo<'_>) -> String {
    let file = evidence(repo).remove(1);
    let text = repo.read_text(&file);
    let (first, second) = text.split_once('\n').unwrap();
    let edited = [text.replace("\"dead\"", "\"DEAD\""), format!("{second}{first}\n"), format!("{first}\n")];
    edited.iter().map(|text| (repo.write(&file, text), refused(repo)).1).collect()
}

fn deleted_evidence(repo: &Repo<'_>) -> String {
    let files = evidence(repo);
    repo.git(&["rm", "-q", &files[0]]);
    let deleted = refused(repo);
    repo.git(&["mv", &files[0], &files[0].replace("-archive-", "-restore-")]);
    deleted + &refused(repo)
}

/// The attacker archives other bytes in a history of his own, and brings stub and evidence from there.
fn other_bytes(repo: &Repo<'_>) -> String {
    let folder = repo.path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let elsewhere = repo.copy_to(&format!("{folder}/elsewhere"));
    elsewhere.git(&["reset", "-q", "--hard", "start"]);
    elsewhere.write("docs/old.md", "# Old\n\nNobody has ever read this.\n");
    elsewhere.commit_all("edit");
    elsewhere.tomb_ok(&["store", "docs"]);
    elsewhere.commit("archive");
    repo.git(&["reset", "-q", "--hard", "start"]);
    repo.git(&["fetch", "-q", elsewhere.path.to_str().unwrap(), "HEAD"]);
    repo.git(&["checkout", "-q", "FETCH_HEAD", "--", "docs", ".codex"]);
    repo.commit("archive");
    range(repo, "start", 1)
}

fn swapped_bytes(repo: &Repo<'_>) -> String {
    repo.git(&["reset", "-q", "--hard", "start"]);
    repo.write("docs/old.md", "# Old\n\nNobody has ever read this.\n");
    repo.commit_all("edit");
    repo.tomb_ok(&["store", "docs"]);
    repo.git(&["reset", "-q", "--soft", "start"]);
    repo.commit("archive");
    range(repo, "start", 1)
}

fn overwritten_stub(repo: &Repo<'_>) -> String {
    repo.write("docs/old.md", "# New\n");
    refused(repo)
}

fn exempted_stub(repo: &Repo<'_>) -> String {
    repo.write(".gitattributes", "docs/old.md -archive-tomb\n");
    repo.write("docs/old.md", "# New\n");
    let at_once = refused(repo);
    repo.write(".gitattributes", "docs/old.md -archive-tomb\n");
    repo.commit_all("exempt");
    range(repo, "base", 0);
    repo.write("docs/old.md", "# New\n");
    let later = refused(repo);
    assert!(at_once.contains("stub-removed") && later.contains("stub-removed"), "{at_once}{later}");
    at_once
}

fn moved_evidence(repo: &Repo<'_>) -> String {
    let file = evidence(repo).remove(0);
    let name = file.rsplit('/').next().unwrap();
    let other_month = format!(".codex/evidence/ops/2001/01/{name}");
    std::fs::create_dir_all(repo.path.join(".codex/evidence/ops/2001/01")).unwrap();
    repo.git(&["mv", &file, &other_month]);
    repo.commit("move");
    repo.git(&["rm", "-q", &other_month]);
    repo.commit("remove");
    let said = range(repo, "base", 1);
    repo.tomb(&["verify", "--all"]).exits(1);
    said
}

fn stub_alone(repo: &Repo<'_>) -> String {
    repo.git(&["reset", "-q", "--hard", "start"]);
    repo.tomb_ok(&["hooks", "install"]);
    repo.tomb_ok(&["store", "docs"]);
    let commit = repo.try_git(&["commit", "-q", "-m", "archive", "docs/old.md"]).exits(1);
    repo.git(&["commit", "-q", "--no-verify", "-m", "archive", "docs/old.md"]);
    commit.all_text() + &range(repo, "start", 1)
}

fn evil_merge(repo: &Repo<'_>) -> String {
    repo.git(&["checkout", "-q", "-b", "topic"]);
    repo.write("new.txt", "new\n");
    repo.commit_all("topic");
    repo.git(&["checkout", "-q", "main"]);
    repo.git(&["merge", "-q", "--no-ff", "--no-commit", "topic"]);
    repo.git(&["rm", "-q", &evidence(repo)[0]]);
    repo.write("docs/old.md", "# New\n");
    repo.write("src/legacy/old.py", repo.read_text("src/legacy/old.py").replace("raise ", "print "));
    repo.commit_all("merge");
    assert_eq!(repo.git(&["rev-list", "--parents", "-1", "HEAD"]).split(' ').count(), 3);
    range(repo, "base", 1)
}

fn mended(repo: &Repo<'_>) -> String {
    repo.git(&["rm", "-q", &evidence(repo)[0]]);
    repo.commit("remove");
    repo.git(&["checkout", "-q", "base", "--", ".codex"]);
    repo.commit("mend");
    let said = range(repo, "base", 0);
    assert!(said.contains("warning[evidence-rewritten]"), "{said}");
    said
}

fn hidden_history(repo: &Repo<'_>) -> String {
    repo.git(&["rm", "-q", &evidence(repo)[0]]);
    repo.commit("remove");
    repo.write("new.txt", "new\n");
    let head = repo.commit_all("next");
    repo.git(&["replace", "--graft", "HEAD"]);
    let replaced = range(repo, "base", 1);
    repo.git(&["replace", "-d", &head]);
    assert!(replaced.contains("error[evidence-rewritten]"), "{replaced}");
    repo.write(".git/info/grafts", format!("{head}\n"));
    let grafted = repo.tomb(&["verify", "--all"]).exits(1).all_text();
    assert!(grafted.contains("error[evidence-rewritten]"), "{grafted}");
    std::fs::remove_file(repo.path.join(".git/info/grafts")).unwrap();
    repo.write(".git/shallow", format!("{head}\n"));
    let doctored = repo.tomb(&["verify", "--all"]).exits(1).all_text();
    assert!(doctored.contains("error[evidence-rewritten]"), "{doctored}");
    // Where the commits really are not there.
    clone(repo, &["--depth", "1"]).tomb(&["verify", "--all"]).exits(1).all_text()
}

fn folded_name(repo: &Repo<'_>) -> String {
    let blob = repo.git(&["hash-object", "-w", &evidence(repo)[0]]);
    let mut said = String::new();
    for name in [".CODEX/evidence/ops/x", ".codex/evidence/Ops/x", ".c\u{200c}odex/x", "codex~1/x"] {
        repo.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{name}")]);
        repo.commit("fold");
        said += &range(repo, "base", 1);
        repo.git(&["reset", "-q", "--hard", "base"]);
    }
    said
}

fn escapes(repo: &Repo<'_>) -> String {
    let name = "docs/\u{1b}[31m\n::error::x<b>%0A.md";
    repo.write(name, "text\n");
    repo.commit_all("add");
    repo.tomb_ok(&["store", name]);
    repo.commit("archive");
    repo.write(name, "other\n");
    repo.git(&["add", "-A"]);
    for format in ["text", "json", "github", "sarif"] {
        let run = repo.tomb(&["verify", "--format", format]).exits(1);
        let said = run.all_text();
        assert!(!said.contains('\u{1b}') && !said.contains("\n::error::x"), "{said:?}");
        assert!(said.contains("stub-removed"), "{said}");
    }
    for command in [&["status"][..], &["list"], &["evidence", "log"], &["evidence", "digest"]] {
        let said = repo.tomb(command).exits(0).all_text();
        assert!(!said.contains('\u{1b}') && !said.contains("\n::error::x"), "{command:?}: {said:?}");
    }
    String::new()
}

fn huge(repo: &Repo<'_>) -> String {
    let name = ".codex/evidence/ops/2025/10/20251017T132236Z-archive-0123456789abcdef.jsonl";
    let deep = "[".repeat(1 << 20);
    let mut said = String::new();
    for evidence in [deep.as_bytes(), &vec![b'\n'; 2 << 20], &vec![0; 8 << 20], b"{}\n"] {
        repo.write(name, evidence);
        let refusal = refused(repo);
        assert!(refusal.len() < 4096, "{} bytes", refusal.len());
        said += &refusal;
    }
    let marker = "# git-archive-tomb stub v1\n".to_owned();
    repo.write("src/legacy/old.py", marker.clone() + &"# path: x\n".repeat(3000));
    said += &refused(repo);
    // Larger than any stub, it is none, and stands where one stood.
    repo.write("src/legacy/old.py", marker + &"x".repeat(8 << 20));
    let overwritten = refused(repo);
    assert!(overwritten.contains("stub-removed"), "{overwritten}");
    said
}

fn hostile_configuration(repo: &Repo<'_>) -> String {
    for text in [
        "[backend]\nurl = \"postgresql://evil.example/archive\"\n",
        "[backend]\nurl = \"sqlite:///./${HOME}.sqlite\"\n",
        "[logging]\nfile = \"/tmp/log\"\n",
        "[governance]\nrestore_approvals = 0\n",
    ] {
        repo.write(".codex/archive.toml", text);
        repo.git(&["add", "-f", ".codex/archive.toml"]);
        for command in [&["list"][..], &["store", "README.md"], &["verify", "--all", "--deep"], &["config-show"]] {
            let said = repo.tomb(command).exits(2).all_text();
            assert!(said.contains("git archive-tomb trust"), "{command:?}: {said}");
        }
    }
    String::new()
}

fn changed_bytes(repo: &Repo<'_>) -> String {
    tamper(repo, "UPDATE block SET bytes = zeroblob(length(bytes))", true).unwrap();
    repo.tomb(&["restore", "--from", "archive", "docs/old.md"]).exits(5);
    assert_ne!(repo.tomb(&["health-check", "--deep"]).code, Some(0));
    let bytes = repo.tomb(&["verify", "--all", "--deep"]).exits(1).all_text();
    tamper(repo, "UPDATE item SET mode = '100755'", true).unwrap();
    bytes + &repo.tomb(&["verify", "--all", "--deep"]).exits(1).all_text()
}

fn deleted_events(repo: &Repo<'_>) -> String {
    for sql in ["DELETE FROM event", "UPDATE event SET actor = 'x'"] {
        tamper(repo, sql, false).unwrap_err();
    }
    repo.tomb(&["verify", "--all", "--deep"]).exits(0);
    tamper(repo, "DELETE FROM event WHERE id = (SELECT max(id) FROM event WHERE action = 'ARCHIVE')", true).unwrap();
    repo.tomb(&["verify", "--all", "--deep"]).exits(1).all_text()
}

/// Clones the repository as from another machine.
fn clone<'a>(repo: &Repo<'a>, options: &[&str]) -> Repo<'a> {
    repo.git(&[&["clone", "-q", "--no-local"], options, &[".", "../clone"]].concat());
    repo.below("../clone")
}

/// Returns what reviewers and keepers of checkpoints have outside of the repository.
fn witnesses(repo: &Repo<'_>) -> (PathBuf, PathBuf) {
    let outside = repo.path.parent().unwrap();
    let checkpoint = repo.git(&["ls-files", ".codex/evidence/checkpoints"]);
    std::fs::copy(repo.path.join(checkpoint), outside.join("checkpoint.txt")).unwrap();
    std::fs::write(outside.join("quoted.txt"), repo.tomb_ok(&["evidence", "digest"]).stdout).unwrap();
    (outside.join("checkpoint.txt"), outside.join("quoted.txt"))
}

/// Asserts that the history satisfies every rule, and that witnesses from outside contradict it.
#[track_caller]
fn noticed_only_from_outside(repo: &Repo<'_>, (checkpoint, quoted): &(PathBuf, PathBuf)) {
    repo.tomb(&["verify", "--all", "--strict"]).exits(0);
    repo.tomb(&["evidence", "verify", "--strict"]).exits(0);
    let run = repo.tomb(&["evidence", "verify", "--digests", quoted.to_str().unwrap()]).exits(1);
    assert!(run.stdout_text().contains("is quoted, and no evidence here has it"), "{run}");
    let run = repo.tomb(&["evidence", "verify", "--signed", "--checkpoint", checkpoint.to_str().unwrap()]).exits(1);
    assert!(run.stdout_text().contains("vouches for evidence that is not here"), "{run}");
}

fn rewritten_history(repo: &Repo<'_>) -> String {
    let witnesses = witnesses(repo);
    repo.git(&["checkout", "-q", "--orphan", "rewritten", "start"]);
    repo.write("docs/old.md", "# Old\n\nNobody has ever read this.\n");
    repo.commit_all("first");
    repo.tomb_ok(&["store", "docs", "src/legacy"]);
    repo.commit("archive");
    noticed_only_from_outside(repo, &witnesses);
    repo.tomb(&["evidence", "verify", "--signed"]).exits(1).all_text()
}

fn cut_history(repo: &Repo<'_>) -> String {
    let witnesses = witnesses(repo);
    repo.git(&["reset", "-q", "--hard", "base~2"]);
    noticed_only_from_outside(repo, &witnesses);
    repo.tomb(&["evidence", "verify", "--signed"]).exits(1).all_text()
}

fn squashed(repo: &Repo<'_>) -> String {
    let witnesses = witnesses(repo);
    // The pull request archived and took it back, evidence and all; squashed, it changed another file.
    repo.git(&["reset", "-q", "--hard", "start"]);
    repo.write("README.md", "# changed\n");
    repo.commit_all("squashed");
    range(repo, "start", 0);
    noticed_only_from_outside(repo, &witnesses);
    // No byte is lost: nothing is archived in what is left.
    assert_eq!(repo.read_text("docs/old.md"), "# Old\n\nNobody reads this.\n");
    String::new()
}

fn claimed_actor(repo: &Repo<'_>) -> String {
    repo.tomb_ok(&["store", "README.md", "--by", "Somebody Else <else@example.org>"]);
    repo.commit("archive");
    let log = repo.tomb_ok(&["evidence", "log"]).stdout_text();
    assert!(log.contains("Somebody Else"), "{log}");
    range(repo, "base", 0)
}

fn edited_attributes(repo: &Repo<'_>) -> String {
    repo.write(".gitattributes", "docs/** -archive-tomb\n.codex/** -archive-tomb\n");
    repo.write("docs/old.md", "# New\n");
    repo.git(&["rm", "-q", &evidence(repo)[0]]);
    refused(repo)
}

fn past_the_hook(repo: &Repo<'_>) -> String {
    repo.tomb_ok(&["hooks", "install"]);
    repo.write("docs/old.md", "# New\n");
    repo.git(&["add", "-A"]);
    let refused = repo.try_git(&["commit", "-q", "-m", "overwrite"]).exits(1).all_text();
    repo.git(&["commit", "-q", "--no-verify", "-m", "overwrite"]);
    let said = range(repo, "base", 1);
    repo.git(&["revert", "--no-edit", "HEAD"]);
    repo.git(&["cherry-pick", "HEAD~1"]);
    refused + &said + &range(repo, "HEAD~1", 1)
}

fn unchecked_merge(repo: &Repo<'_>) -> String {
    evil_merge(repo);
    repo.write("new.txt", "newer\n");
    repo.commit_all("next");
    range(repo, "HEAD~1", 0);
    repo.tomb(&["verify", "--all"]).exits(1).all_text()
}

fn accepted_once(repo: &Repo<'_>) -> String {
    repo.write(".codex/evidence/ops/2025/10/20251017T132236Z-archive-0123456789abcdef.jsonl", "{}\n");
    repo.commit_all("malformed");
    let said = range(repo, "base", 1);
    repo.write("new.txt", "new\n");
    repo.commit_all("next");
    range(repo, "HEAD~1", 0);
    said + &repo.tomb(&["verify", "--all"]).exits(1).all_text()
}

fn dirty(repo: &Repo<'_>) -> String {
    repo.write("README.md", "# never committed\n");
    repo.tomb_ok(&["store", "--allow-dirty", "README.md"]);
    repo.commit("archive");
    let said = range(repo, "base", 0);
    assert!(said.contains("warning[stub-mismatch]"), "{said}");
    repo.tomb(&["verify", "--all", "--deep"]).exits(0);
    // Only this clone has them.
    let lost = clone(repo, &[]).tomb(&["cat", "README.md"]);
    assert_ne!(lost.code, Some(0), "{lost}");
    said
}
