//! Signed checkpoints: the real `ssh-keygen`, two people's keys, clones, and an attacker who may rewrite everything and has no
//! allowed key. Each row of the table in `docs/checkpoints.md` is a test here.

use std::path::{Path, PathBuf};

use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::check::Checker;
use git_archive_tomb::evidence::checkpoint::format::Checkpoint;
use git_archive_tomb::evidence::checkpoint::set::EvidenceSet;
use git_archive_tomb::evidence::format::EvidenceFileName;
use git_archive_tomb::fault::VARIABLE;
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::signature::{AllowedSigners, Verdict};
use rayon::prelude::*;

use crate::common::keys::{allow, key, public};
use crate::common::{Repo, Run, World, assert_shown};

const FOLDER: &str = ".codex/evidence/checkpoints";
const SIGNED: &[&str] = &["evidence", "verify", "--signed"];

/// Sets a repository up as somebody would who signs with SSH keys.
fn set_up(repo: &Repo<'_>, person: &str) {
    let allowed = allow(repo.world, "allowed_signers", &[("ada", ""), ("bob", "")]);
    repo.git(&["config", "gpg.format", "ssh"]);
    repo.git(&["config", "user.signingKey", key(repo.world, person).to_str().unwrap()]);
    repo.git(&["config", "gpg.ssh.allowedSignersFile", allowed.to_str().unwrap()]);
}

/// Returns a repository in which `docs/old.md` is archived, and all is committed.
fn archived(world: &World) -> Repo<'_> {
    let repo = world.sample("project");
    repo.git(&["config", "remote.origin.url", "https://example.org/project.git"]);
    set_up(&repo, "ada");
    repo.tomb_ok(&["store", "docs"]);
    repo.commit("archive");
    repo
}

/// Signs, commits, and returns the path of the checkpoint.
fn sign(repo: &Repo<'_>) -> String {
    let path = repo.tomb_ok(&["evidence", "sign"]).stdout_text().trim().to_owned();
    repo.commit("sign");
    path
}

/// Returns a copy of a file of the repository, outside of it.
fn keep(repo: &Repo<'_>, path: &str, name: &str) -> PathBuf {
    let kept = repo.world.at(name).path;
    std::fs::copy(repo.path.join(path), &kept).unwrap();
    kept
}

/// Signs a statement with somebody's key, as an attacker can who has it, and returns the checkpoint's text.
fn forge(world: &World, person: &str, namespace: &str, statement: &str) -> String {
    let folder = world.at(".");
    folder.write("forged", statement);
    let _ = std::fs::remove_file(folder.path.join("forged.sig"));
    let mut command = folder.command("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(key(world, person)).arg("forged");
    assert!(command.status().unwrap().success());
    format!("{statement}{}", folder.read_text("forged.sig"))
}

fn statement_of(checkpoint: &str) -> &str {
    checkpoint.split_once("-----BEGIN").unwrap().0
}

/// Returns the statement with another time, `days` from now.
fn moved(statement: &str, days: i64) -> String {
    let time = Timestamp::from_millisecond(Timestamp::now().as_millisecond() + days * 86_400_000).unwrap();
    let old = statement.lines().find(|line| line.starts_with("time: ")).unwrap();
    statement.replace(old, &format!("time: {time}"))
}

/// Puts a checkpoint where it belongs in the index.
fn plant(repo: &Repo<'_>, text: &str) -> String {
    let path = Checkpoint::parse(text.as_bytes()).unwrap().path().to_string();
    repo.write(&path, text);
    repo.git(&["add", "-f", &path]);
    path
}

/// Runs `evidence verify --signed` with further arguments.
fn verify(repo: &Repo<'_>, arguments: &[&str]) -> Run {
    repo.tomb(&[SIGNED, arguments].concat())
}

/// Asserts that a check failed and said `text`.
#[track_caller]
fn refused(run: Run, text: &str) {
    let run = run.exits(1);
    assert!(run.stdout_text().contains(text), "{run}");
}

#[test]
fn a_checkpoint_is_staged_and_holds_while_evidence_grows() {
    let world = World::new();
    let repo = archived(&world);
    let before = repo.look();
    assert_shown!(&world, repo.tomb(&["evidence", "sign"]), @"
    exit: 0
    ----- stdout -----
    .codex/evidence/checkpoints/[checkpoint].txt
    ----- stderr -----
    signed 1 evidence file of `project`; the checkpoint is staged
    hint: commit it, and keep a copy where nobody can rewrite this repository
    ");
    repo.look().assert_changed_only(&before, &[]);
    assert_eq!(repo.status().lines().count(), 1, "{}", repo.status());
    repo.commit("sign");
    repo.assert_sound();
    assert_shown!(&world, verify(&repo, &[]), @"
    exit: 0
    ----- stdout -----
    signed: .codex/evidence/checkpoints/[checkpoint].txt: 1 evidence file by ada@example.org with SHA256:[key] on [time]
    ----- stderr -----
    1 evidence file with 1 record: all whole
    ");
    repo.store(&["src/legacy"], &["src/legacy/old.py", "src/legacy/run.sh"]);
    assert_shown!(&world, verify(&repo, &["--strict"]), @"
    exit: 0
    ----- stdout -----
    signed: .codex/evidence/checkpoints/[checkpoint].txt: 1 evidence file by ada@example.org with SHA256:[key] on [time]
    note: .codex/evidence/ops/[time]-archive-[digest].jsonl: is newer than every checkpoint that holds
    ----- stderr -----
    2 evidence files with 3 records: all whole
    ");
    let json = verify(&repo, &["--json"]).exits(0).json();
    assert_eq!((&json[0]["signer"], &json[0]["count"]), (&"ada@example.org".into(), &1.into()));
    assert_eq!(json[1]["severity"], "note");

    // The next one names the first, and then nothing is uncovered.
    let second = sign(&repo);
    assert!(repo.read_text(&second).contains("\nprevious: "), "{}", repo.read_text(&second));
    assert_eq!(verify(&repo, &["--strict"]).exits(0).stdout_text().lines().count(), 2);
    repo.assert_sound();
}

#[test]
fn the_commands_of_the_page_check_a_checkpoint_without_this_program() {
    let world = World::new();
    let repo = archived(&world);
    repo.tomb_ok(&["store", "src/legacy"]);
    let file = sign(&repo);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/checkpoints.md")).unwrap();
    let (_, by_hand) = page.split_once("\n## By hand\n").unwrap();
    let (commands, _) = by_hand.split_once("```sh\n").unwrap().1.split_once("```").unwrap();
    std::fs::copy(world.at("allowed_signers").path, repo.path.join("allowed_signers")).unwrap();
    let run = |file: &str| {
        Run::from(repo.command("sh").args(["-euc", commands]).env("FILE", file).env("PATH", tools()).output().unwrap())
    };
    let done = run(&file).exits(0);
    assert!(done.stdout_text().starts_with("Good \"git-archive-tomb\" signature for ada@example.org"), "{done}");
    // They are able to fail.
    for (from, to) in [("count: 2", "count: 3"), ("repo: p", "repo: q")] {
        repo.write("changed.txt", repo.read_text(&file).replace(from, to));
        assert_ne!(run("changed.txt").code, Some(0), "{from}");
    }
    let more = repo.tomb_ok(&["store", "README.md"]);
    assert_ne!(run(&file).code, Some(0), "{more}");
}

#[test]
fn samples_of_the_format_stay_readable() {
    let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
    let files = |folder: &str, extension: &str| {
        let entries = std::fs::read_dir(fixtures.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
        files.sort();
        files
    };
    let mut checker = Checker::default();
    for file in files("evidence/valid/two-branches-merged", "jsonl") {
        let name = EvidenceFileName::parse(file.file_name().unwrap().as_encoded_bytes()).unwrap();
        checker.file(&name.path(), std::fs::read(file).unwrap().as_slice(), |_| ());
    }
    let evidence = EvidenceSet::new(&checker.finish());
    let file = fixtures.join("checkpoints/allowed_signers");
    let signers = AllowedSigners { program: "ssh-keygen".into(), file, revoked: None };
    let samples = files("checkpoints", "txt");
    let read = |path: &PathBuf| {
        let place = format!("{FOLDER}/{}", path.file_name().unwrap().display());
        let text = std::fs::read_to_string(path).unwrap();
        let checkpoint = Checkpoint::parse_at(&RepoPath::try_new(place).unwrap(), text.as_bytes()).unwrap();
        let verdict = checkpoint.verdict(&signers).unwrap();
        assert!(matches!(&verdict, Verdict::Good { principal, .. } if principal == "ada@example.org"), "{verdict:?}");
        (evidence.extent(&checkpoint.statement).unwrap().len(), checkpoint, text)
    };
    let [first, second] = &samples.iter().map(read).collect::<Vec<_>>()[..] else { panic!("{samples:?}") };
    assert_eq!((first.0, second.0), (2, 4));
    assert_eq!(second.1.statement.previous, [first.1.sha256]);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/checkpoints.md")).unwrap();
    assert!(page.contains(&second.2));
}

/// Returns the search path without this program.
fn tools() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap()
}

#[test]
fn a_history_rewritten_as_a_whole_is_noticed() {
    let world = World::new();
    let repo = archived(&world);
    let checkpoint = sign(&repo);
    let kept = keep(&repo, &checkpoint, "kept.txt");
    // The same tree but for the archive, from the first commit on, by the attacker's own use of this very program.
    repo.git(&["checkout", "-q", "--orphan", "rewritten", "main~2"]);
    repo.write("docs/old.md", "# Old\n\nNobody has ever read this.\n");
    repo.commit_all("first");
    repo.tomb_ok(&["store", "docs"]);
    repo.commit("archive");
    repo.git(&["branch", "-q", "-f", "main"]);
    repo.git(&["checkout", "-q", "main"]);
    repo.assert_sound();
    repo.tomb(&["verify", "--all", "--strict", "--deep"]).exits(0);

    refused(verify(&repo, &[]), "there is no signed checkpoint");
    refused(verify(&repo, &["--checkpoint", kept.to_str().unwrap()]), "vouches for evidence that is not here");
    // With the old checkpoint put back, and with one of the attacker's own.
    let rewritten = repo.git(&["rev-parse", "HEAD"]);
    plant(&repo, &std::fs::read_to_string(&kept).unwrap());
    refused(verify(&repo, &[]), "vouches for evidence that is not here");
    repo.git(&["reset", "-q", "--hard", &rewritten]);
    repo.tomb_ok(&["evidence", "sign", "--key", key(&world, "eve").to_str().unwrap()]);
    refused(verify(&repo, &[]), "none of the checkpoints was signed by an allowed signer");
}

#[test]
fn a_history_cut_short_is_noticed_by_a_checkpoint_kept_outside() {
    let world = World::new();
    let repo = archived(&world);
    sign(&repo);
    let first = repo.git(&["rev-parse", "HEAD"]);
    repo.tomb_ok(&["store", "src/legacy"]);
    repo.commit("more");
    let newest = sign(&repo);
    let kept = keep(&repo, &newest, "kept.txt");
    let tag = repo.git(&["hash-object", "-w", &newest]);
    repo.git(&["tag", "checkpoint-1", &tag]);
    verify(&repo, &["--checkpoint", kept.to_str().unwrap(), "--checkpoint", "../kept.txt"]).exits(0);

    repo.git(&["reset", "-q", "--hard", &first]);
    repo.assert_sound();
    // In itself it is what it was then.
    verify(&repo, &["--strict", "--signed-since", "1d"]).exits(0);
    refused(verify(&repo, &["--checkpoint", kept.to_str().unwrap()]), "vouches for evidence that is not here");
    refused(verify(&repo, &["--signed-since", "0d"]), "the newest checkpoint that holds is of");
    let blob = repo.git(&["cat-file", "blob", "checkpoint-1"]) + "\n";
    let piped = repo.tomb_with_input(&[SIGNED, &["--checkpoint", "-"]].concat(), blob.as_bytes());
    refused(piped, "vouches for evidence that is not here");
}

#[test]
fn a_checkpoint_of_another_repository_does_not_count() {
    let world = World::new();
    let repo = archived(&world);
    sign(&repo);
    // A repository swapped as a whole for another one of the same people's.
    repo.git(&["config", "remote.origin.url", "https://example.org/other.git"]);
    refused(verify(&repo, &[]), "signed it for the repository `project`");
    verify(&repo, &["--repo", "project"]).exits(0);
    verify(&repo, &["--repo", "x", "--repo", "project"]).exits(0);
    // Another one that has nothing in common.
    let other = world.sample("other");
    set_up(&other, "ada");
    other.tomb_ok(&["store", "docs"]);
    let kept = keep(&other, &sign(&other), "kept.txt");
    verify(&repo, &["--repo", "project", "--checkpoint", kept.to_str().unwrap()]).exits(1);
}

#[test]
fn a_signature_made_for_something_else_is_none() {
    let world = World::new();
    let repo = archived(&world);
    let checkpoint = sign(&repo);
    let statement = statement_of(&repo.read_text(&checkpoint)).to_owned();
    for (namespace, statement, code) in [
        ("git-archive-tomb", statement.clone(), 0),
        ("git", statement.clone(), 1),
        ("file", statement.clone(), 1),
        // An old signature under a new statement, and the other way round.
        ("git-archive-tomb", moved(&statement, 0), 0),
    ] {
        let forged = forge(&world, "ada", namespace, &statement);
        repo.world.at(".").write("forged.txt", &forged);
        let run = verify(&repo, &["--checkpoint", "../forged.txt"]).exits(code);
        assert_eq!(run.stdout_text().contains("its signature is not one over what it states"), code == 1, "{run}");
    }
    let signature = repo.read_text(&checkpoint).split_off(statement.len());
    world.at(".").write("forged.txt", moved(&statement, 0) + &signature);
    refused(verify(&repo, &["--checkpoint", "../forged.txt"]), "its signature is not one over what it states");
    plant(&repo, &(moved(&statement, 0) + &signature));
    refused(verify(&repo, &[]), "its signature is not one over what it states");
}

#[test]
fn only_keys_that_were_allowed_at_the_time_count() {
    let world = World::new();
    let repo = archived(&world);
    let checkpoint = sign(&repo);
    let kept = keep(&repo, &checkpoint, "kept.txt");
    for (people, good) in [
        (&[("ada", "")][..], true),
        (&[("ada", "namespaces=\"git-archive-tomb\",valid-after=\"20200101\"")], true),
        (&[("ada", "namespaces=\"git\"")], false),
        (&[("ada", "valid-before=\"20200101\"")], false),
        (&[("ada", "valid-after=\"29000101\"")], false),
        (&[("bob", "")], false),
        (&[], false),
        // Two lines, of which the second allows it.
        (&[("ada", "valid-before=\"20200101\""), ("ada", "")], true),
    ] {
        let file = allow(&world, "judged_by", people);
        let arguments = ["--allowed-signers", file.to_str().unwrap()];
        let run = verify(&repo, &arguments).exits(i32::from(!good));
        assert_eq!(run.stdout_text().contains("warning: "), !good, "{people:?}: {run}");
        assert_eq!(run.stdout_text().contains("counts for nothing"), !good, "{people:?}: {run}");
        // Whoever names a file wants it to hold.
        let run = verify(&repo, &[&arguments[..], &["--checkpoint", kept.to_str().unwrap()]].concat());
        assert_eq!(run.stdout_text().contains("error: "), !good, "{people:?}: {run}");
    }
    // A key that expired since voids nothing that it signed, whatever the zone of the machine.
    let statement = moved(statement_of(&repo.read_text(&checkpoint)), -1);
    let past = Timestamp::from_millisecond(Timestamp::now().as_millisecond() - 43_200_000).unwrap();
    let expired = format!("valid-before=\"{}\"", past.compact().replace(['T', 'Z'], ""));
    let expired = allow(&world, "expired", &[("ada", &expired)]);
    let arguments = ["--allowed-signers", expired.to_str().unwrap()];
    verify(&repo, &arguments).exits(1);
    let older = plant(&repo, &forge(&world, "ada", "git-archive-tomb", &statement));
    for zone in ["UTC0", "EAST-14", "WEST12"] {
        let run = verify(&repo.with("TZ", zone), &arguments).exits(0);
        assert!(run.stdout_text().contains(&format!("signed: {older}: ")), "{zone}: {run}");
    }
    repo.git(&["rm", "-q", "-f", &older]);
    // Revoked, it voids all.
    world.at(".").write("revoked", public(&world, "ada") + "\n");
    repo.git(&["config", "gpg.ssh.revocationFile", world.at("revoked").path.to_str().unwrap()]);
    refused(verify(&repo, &[]), "its key is revoked");
    // A list that cannot be read is no list of nobody.
    repo.git(&["config", "gpg.ssh.revocationFile", "/nonexistent/revoked"]);
    let run = verify(&repo, &[]).exits(2);
    assert!(run.stderr_text().contains("cannot read `/nonexistent/revoked`"), "{run}");
    repo.git(&["config", "--unset", "gpg.ssh.revocationFile"]);
    // What a stranger signs is his affair, beside one that holds.
    plant(&repo, &forge(&world, "eve", "git-archive-tomb", &statement));
    let run = verify(&repo, &[]).exits(0);
    assert!(run.stdout_text().contains("warning: ") && run.stdout_text().contains("signed: "), "{run}");
}

#[test]
fn a_time_that_cannot_be_is_noticed() {
    let world = World::new();
    let repo = archived(&world);
    let checkpoint = repo.read_text(sign(&repo));
    let statement = statement_of(&checkpoint);
    let judged = |statement: &str, text: &str| {
        world.at(".").write("forged.txt", forge(&world, "ada", "git-archive-tomb", statement));
        refused(verify(&repo, &["--checkpoint", "../forged.txt"]), text);
    };
    judged(&moved(statement, 3), "which is still to come");
    judged(&moved(statement, -3), "that it vouches for");
    // A day is what clocks may differ.
    world.at(".").write("forged.txt", forge(&world, "ada", "git-archive-tomb", &moved(statement, -1)));
    verify(&repo, &["--checkpoint", "../forged.txt"]).exits(0);
    // A checkpoint that names a younger one. Evidence is of today, so only the younger one can be moved: half a day ahead.
    let ahead = Timestamp::from_millisecond(Timestamp::now().as_millisecond() + 80_000_000).unwrap();
    let line = statement.lines().find(|line| line.starts_with("time: ")).unwrap();
    let younger = forge(&world, "ada", "git-archive-tomb", &statement.replace(line, &format!("time: {ahead}")));
    let younger = plant(&repo, &younger);
    let digest = Checkpoint::parse(&repo.read(&younger)).unwrap().sha256;
    let behind = Timestamp::from_millisecond(Timestamp::now().as_millisecond() - 80_000_000).unwrap();
    let older = statement.replace(line, &format!("time: {behind}")) + &format!("previous: {digest}\n");
    world.at(".").write("forged.txt", forge(&world, "ada", "git-archive-tomb", &older));
    refused(verify(&repo, &["--checkpoint", "../forged.txt"]), &format!("before the checkpoint `{digest}`"));
    // Nobody signs with a clock that is behind.
    plant(&repo, &forge(&world, "ada", "git-archive-tomb", &moved(statement, 3)));
    let run = repo.tomb(&["evidence", "sign"]).exits(1);
    assert!(run.stderr_text().contains("is dated in the future"), "{run}");
}

#[test]
fn checkpoints_of_two_branches_merge() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["checkout", "-q", "-b", "theirs"]);
    repo.tomb_ok(&["store", "src/legacy/old.py"]);
    sign(&repo);
    repo.git(&["checkout", "-q", "main"]);
    repo.tomb_ok(&["store", "src/legacy/run.sh"]);
    sign(&repo);
    repo.git(&["merge", "-q", "--no-edit", "theirs"]);
    repo.assert_sound();
    let run = verify(&repo, &["--strict"]).exits(0);
    assert_eq!(run.stdout_text().lines().filter(|line| line.starts_with("signed: ")).count(), 2, "{run}");
    assert!(!run.stdout_text().contains("note: "), "{run}");
    // The next one closes the graph.
    let closing = repo.read_text(sign(&repo));
    assert_eq!(closing.matches("\nprevious: ").count(), 2, "{closing}");
    assert_eq!(closing.matches("\nhead: ").count(), 2, "{closing}");
    verify(&repo, &["--strict"]).exits(0);
}

#[test]
fn people_sign_in_clones_of_their_own() {
    let world = World::new();
    world.init_with("project.git", &["--bare"]);
    let ada = archived(&world);
    ada.git(&["config", "remote.origin.url", "../project.git"]);
    sign(&ada);
    ada.git(&["push", "-q", "origin", "main"]);
    world.at(".").git(&["clone", "-q", "project.git", "bob"]);
    let bob = world.at("bob");
    set_up(&bob, "bob");
    bob.tomb_ok(&["store", "src/legacy"]);
    sign(&bob);
    bob.git(&["push", "-q", "origin", "main"]);

    ada.git(&["pull", "-q", "origin", "main"]);
    let run = verify(&ada, &["--strict"]).exits(0);
    assert!(
        run.stdout_text().contains("by ada@example.org") && run.stdout_text().contains("by bob@example.org"),
        "{run}"
    );
    // Bob leaves: what he alone vouched for counts as new, and nothing breaks.
    let without_bob = allow(&world, "without_bob", &[("ada", "")]);
    let run = verify(&ada, &["--strict", "--allowed-signers", without_bob.to_str().unwrap()]).exits(0);
    assert!(run.stdout_text().contains("warning: ") && run.stdout_text().contains("note: "), "{run}");

    // One commit is enough, and a bare repository.
    let url = format!("file://{}", world.at("project.git").path.display());
    world.at(".").git(&["clone", "-q", "--depth", "1", &url, "shallow"]);
    let allowed = world.at("allowed_signers").path;
    for place in ["shallow", "project.git"] {
        let place = world.at(place);
        let run = verify(&place, &["--strict", "--repo", "project", "--allowed-signers", allowed.to_str().unwrap()]);
        assert_eq!(run.exits(0).stdout_text().matches("signed: ").count(), 2);
    }
    world.at("project.git").tomb(&["evidence", "sign"]).exits(2);
}

#[test]
fn a_branch_does_not_say_whom_to_believe() {
    let world = World::new();
    let repo = archived(&world);
    repo.tomb_ok(&["evidence", "sign", "--key", key(&world, "eve").to_str().unwrap()]);
    let eve = allow(&world, "eve_allows", &[("eve", "")]);
    repo.write("signers/allowed", std::fs::read(&eve).unwrap());
    std::os::unix::fs::symlink("signers", repo.path.join("list")).unwrap();
    std::os::unix::fs::symlink("../eve_allows", repo.path.join("outside")).unwrap();
    repo.commit_all("eve's list");
    for file in ["signers/allowed", "list/allowed", "outside", "./signers/../signers/allowed"] {
        repo.git(&["config", "gpg.ssh.allowedSignersFile", file]);
        let run = verify(&repo, &[]).exits(2);
        assert!(run.stderr_text().contains("belongs to this branch"), "{file}: {run}");
        let absolute = repo.path.join(file);
        repo.git(&["config", "gpg.ssh.allowedSignersFile", absolute.to_str().unwrap()]);
        verify(&repo, &[]).exits(2);
        // Named on the command line, it is the user's choice.
        let run = verify(&repo, &["--allowed-signers", file]).exits(0);
        assert!(
            run.stderr_text().contains("warning: ") && run.stderr_text().contains("belongs to this branch"),
            "{run}"
        );
    }
    repo.git(&["config", "gpg.ssh.allowedSignersFile", eve.to_str().unwrap()]);
    verify(&repo, &[]).exits(0);
    repo.git(&["config", "gpg.ssh.revocationFile", "signers/allowed"]);
    let run = verify(&repo, &[]).exits(2);
    assert!(run.stderr_text().contains("belongs to this branch"), "{run}");
    // The setting comes before git's, and what a tracked file says has to be trusted first.
    repo.git(&["config", "--unset", "gpg.ssh.revocationFile"]);
    let nobody = allow(&world, "nobody", &[]);
    repo.git(&["config", "archivetomb.governance.allowedSigners", nobody.to_str().unwrap()]);
    verify(&repo, &[]).exits(1);
    repo.git(&["config", "--unset", "archivetomb.governance.allowedSigners"]);
    repo.git(&["config", "--unset", "gpg.ssh.allowedSignersFile"]);
    assert_shown!(&world, verify(&repo, &[]), @"
    exit: 2
    ----- stderr -----
    error: nobody is named whose signatures count
    hint: name a file of allowed signers: `git config gpg.ssh.allowedSignersFile <file>`, or, for this program alone, `git config archivetomb.governance.allowedSigners <file>`
    ");
}

#[test]
#[expect(clippy::print_stdout, reason = "the count is a result")]
fn a_changed_byte_of_a_checkpoint_is_noticed_without_its_name() {
    let world = World::new();
    let repo = archived(&world);
    let text = repo.read(sign(&repo));
    // As if it came from outside: no name tells.
    let signers =
        AllowedSigners { program: "ssh-keygen".into(), file: world.at("allowed_signers").path, revoked: None };
    let is_good = |bytes: &[u8]| {
        let Ok(checkpoint) = Checkpoint::parse(bytes) else { return (false, false) };
        let statement = checkpoint.statement.to_string();
        let verdict = signers.judge(statement.as_bytes(), &checkpoint.signature, checkpoint.statement.time).unwrap();
        (matches!(verdict, Verdict::Good { .. }), true)
    };
    assert_eq!(is_good(&text), (true, true));
    // Every byte loses its last bit or gains a first one; a third of them, as each may cost a process.
    let changes: Vec<(usize, u8)> = (0..text.len()).step_by(3).flat_map(|index| [(index, 1), (index, 0x80)]).collect();
    let judged: Vec<(bool, bool)> = changes
        .par_iter()
        .map(|(index, bit)| {
            let mut damaged = text.clone();
            damaged[*index] ^= bit;
            is_good(&damaged)
        })
        .collect();
    let unnoticed: Vec<_> = changes.iter().zip(&judged).filter(|(_, (good, _))| *good).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
    let asked = judged.iter().filter(|(_, asked)| *asked).count();
    println!("{} changes in {} bytes noticed, {asked} of them by ssh-keygen", changes.len(), text.len());
    assert!(asked > 100, "{asked}");
}

#[test]
fn hostile_checkpoints_are_refused_in_bounded_memory() {
    let world = World::new();
    let repo = archived(&world);
    let path = sign(&repo);
    let text = repo.read_text(&path);
    let huge = world.at("huge.txt").path;
    std::fs::File::create(&huge).unwrap().set_len(1 << 30).unwrap();
    let statement = statement_of(&text);
    let armor = &text[statement.len()..];
    let broken: &[(&str, Vec<u8>)] = &[
        ("it is no checkpoint", Vec::new()),
        ("it is no checkpoint", vec![0; 100]),
        ("it is larger than any checkpoint", vec![b'\n'; 2 << 20]),
        ("it needs a newer git-archive-tomb (checkpoint v2)", text.replace("checkpoint v1", "checkpoint v2").into()),
        ("not in canonical form", text.replace("repo: project", "repo: \u{1b}[31m").into()),
        ("not in canonical form", text.replace("count: 1\n", "").into()),
        ("not in canonical form", text.replace("count: 1\n", "count: 1\ncount: 1\n").into()),
        ("not in canonical form", [text.as_bytes(), b"\xff"].concat()),
        ("its signature is damaged", statement.as_bytes().to_vec()),
        ("its signature is damaged", text.replace("-----END", "----END").into()),
        ("its signature is damaged", format!("{text}{armor}").into()),
        ("its signature is not one over", [statement, ARMOR].concat().into()),
    ];
    for (reason, bytes) in broken {
        world.at(".").write("broken.txt", bytes);
        let run = verify(&repo, &["--checkpoint", "../broken.txt"]).exits(1);
        assert!(run.stdout_text().contains(reason) && !run.stdout_text().contains('\u{1b}'), "{reason}: {run}");
    }
    refused(verify(&repo, &["--checkpoint", "../huge.txt"]), "it is larger than any checkpoint");
    verify(&repo, &["--checkpoint", "../missing.txt"]).exits(2);

    // In the index, `verify` knows them too.
    repo.write(format!("{FOLDER}/huge.txt"), vec![b'\n'; 2 << 20]);
    repo.write(format!("{FOLDER}/20200101T000000Z-0123456789abcdef.txt"), &text);
    repo.write(format!("{FOLDER}/notes"), "a note\n");
    std::os::unix::fs::symlink("notes", repo.path.join(FOLDER).join("link.txt")).unwrap();
    repo.git(&["add", "-f", FOLDER]);
    let run = verify(&repo, &[]).exits(1);
    assert_eq!(run.stdout_text().lines().filter(|line| line.starts_with("error: ")).count(), 4, "{run}");
    let run = repo.tomb(&["verify"]).exits(1);
    assert_eq!(run.stdout_text().matches("error[evidence-broken]").count(), 4, "{run}");
    let run = repo.tomb(&["evidence", "sign"]).exits(1);
    assert!(run.stderr_text().contains("is no checkpoint that this program can read"), "{run}");
    // What never was a checkpoint may go again.
    repo.git(&["commit", "-q", "--no-verify", "-m", "broken"]);
    repo.git(&["rm", "-q", "-r", "--cached", FOLDER]);
    repo.git(&["add", "-f", &path]);
    repo.tomb(&["verify"]).exits(0);
}

/// The armor of no signature at all.
const ARMOR: &str = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAA\n-----END SSH SIGNATURE-----\n";

#[test]
fn a_checkpoint_stays_where_it_is() {
    let world = World::new();
    let repo = archived(&world);
    let path = sign(&repo);
    let signed = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["commit", "-q", "--allow-empty", "-m", "next"]);
    for change in ["remove", "edit", "rename", "execute"] {
        let renamed = format!("{FOLDER}/20200101T000000Z-0123456789abcdef.txt");
        match change {
            "remove" => drop(repo.git(&["rm", "-q", &path])),
            "edit" => repo.write(&path, repo.read_text(&path).replace("count: 1", "count: 2")),
            "rename" => drop(repo.git(&["mv", &path, &renamed])),
            _ => repo.set_executable(&path),
        }
        repo.commit_all(change);
        for arguments in [&["--range", "HEAD~1..HEAD"][..], &["--all"]] {
            let run = repo.tomb(&[&["verify"], arguments].concat()).exits(1);
            assert!(run.stdout_text().contains("error[evidence-rewritten]"), "{change}: {run}");
        }
        repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    }
    repo.git(&["revert", "-n", &signed]);
    repo.tomb(&["verify", "--staged"]).exits(1);
    repo.git(&["revert", "--abort"]);
    // A subtree takes it along.
    let other = world.sample("other");
    other.git(&["fetch", "-q", repo.path.to_str().unwrap(), "main"]);
    other.git(&["merge", "-q", "-s", "ours", "--no-commit", "--allow-unrelated-histories", "FETCH_HEAD"]);
    other.git(&["read-tree", "--prefix=lib/", "-u", "FETCH_HEAD"]);
    other.commit("add lib");
    other.tomb(&["verify", "--all", "--strict"]).exits(0);
}

#[test]
fn keys_are_found_as_git_finds_them() {
    let world = World::new();
    let repo = archived(&world);
    let ada = key(&world, "ada");
    let literal = public(&world, "ada");
    let signs = |set: &[(&str, &str)], agent: bool| {
        for (key, value) in set {
            repo.git(&["config", key, value]);
        }
        let sign = format!("'{}' evidence sign", env!("CARGO_BIN_EXE_git-archive-tomb"));
        let run = if agent {
            let script = format!("ssh-add -q '{}' && {sign}", ada.display());
            Run::from(repo.command("ssh-agent").args(["sh", "-euc", &script]).output().unwrap())
        } else {
            Run::from(repo.command("sh").args(["-euc", &sign]).output().unwrap())
        };
        for (key, _) in set {
            repo.git(&["config", "--unset-all", key]);
        }
        run
    };
    let good = |set: &[(&str, &str)], agent: bool| {
        let path = signs(set, agent).exits(0).stdout_text().trim().to_owned();
        verify(&repo, &[]).exits(0);
        repo.git(&["rm", "-q", "-f", &path]);
    };
    repo.git(&["config", "--unset", "user.signingKey"]);
    std::fs::copy(&ada, world.at("home/ada").path).unwrap();
    good(&[("user.signingKey", "~/ada")], false);
    good(&[("user.signingKey", "../ada.key")], false);
    good(&[("user.signingKey", "../ada.key.pub")], true);
    good(&[("user.signingKey", &format!("key::{literal}"))], true);
    good(&[("user.signingKey", &literal)], true);
    good(&[("gpg.ssh.defaultKeyCommand", "ssh-add -L")], true);
    good(&[("gpg.ssh.defaultKeyCommand", &format!("echo 'key::{literal}'"))], true);

    // A program in the place of `ssh-keygen` is called as git calls it.
    let wrapper = world.at("wrapper").path;
    world.at(".").write("wrapper", "#!/bin/sh\necho \"$@\" >> \"$HOME/called\"\nexec ssh-keygen \"$@\"\n");
    world.at(".").set_executable("wrapper");
    let program = ("gpg.ssh.program", wrapper.to_str().unwrap());
    signs(&[("user.signingKey", "../ada.key"), program], false).exits(0);
    assert!(world.at("home").read_text("called").starts_with("-Y sign -n git-archive-tomb -f "));
    // One that does something else is not believed.
    let lie = |script: &str, text: &str| {
        world.at(".").write("wrapper", format!("#!/bin/sh\n{script}\n"));
        let run = signs(&[("user.signingKey", "../ada.key"), program], false).exits(1);
        assert!(run.stderr_text().contains(text), "{run}");
    };
    lie("exit 0", "did not sign");
    lie(
        "for last; do :; done; test \"$2\" != sign || echo junk > \"$last.sig\"",
        "wrote something else than a signature",
    );
    lie(
        "for last; do :; done; test \"$2\" != sign || echo other > \"$last\"; exec ssh-keygen \"$@\"",
        "wrote a signature that does not fit",
    );
    lie("printf '\\033[31mno\\n' >&2; exit 1", "did not sign: \\u{1b}[31mno");
}

#[test]
fn what_keeps_from_signing_is_named_with_what_to_do() {
    let world = World::new();
    let repo = archived(&world);
    let config = |key: &str, value: &str| drop(repo.git(&["config", key, value]));
    let index = repo.read(".git/index");
    let tree = repo.tree();
    config("gpg.ssh.program", "/nonexistent/ssh-keygen");
    assert_shown!(&world, repo.tomb(&["evidence", "sign"]), @"
    exit: 2
    ----- stderr -----
    error: cannot start `/nonexistent/ssh-keygen`
      caused by: No such file or directory (os error 2)
    hint: install OpenSSH (`openssh-client`), or set `git config gpg.ssh.program`
    ");
    repo.git(&["config", "--unset", "gpg.ssh.program"]);
    std::fs::copy(key(&world, "ada").with_extension("key.pub"), world.at("lonely.pub").path).unwrap();
    config("user.signingKey", "../lonely.pub");
    let run = repo.tomb(&["evidence", "sign"]).exits(1);
    assert!(run.stderr_text().contains("hint: start an agent that holds the key"), "{run}");
    config("user.signingKey", &format!("key::{}", public(&world, "ada")));
    let run = repo.with("SSH_AUTH_SOCK", "/nonexistent").tomb(&["evidence", "sign"]).exits(1);
    assert!(run.stderr_text().contains("hint: start an agent that holds the key"), "{run}");
    config("user.signingKey", "/nonexistent/key");
    let run = repo.tomb(&["evidence", "sign"]).exits(1);
    assert!(run.stderr_text().contains("hint: name the key"), "{run}");
    // Where no terminal can be asked.
    let locked = world.at("locked.key").path;
    let mut command = world.at(".").command("ssh-keygen");
    assert!(command.args(["-q", "-t", "ed25519", "-N", "secret", "-f"]).arg(&locked).status().unwrap().success());
    config("user.signingKey", "../locked.key");
    let mut command = repo.command("setsid");
    let run = Run::from(command.args([env!("CARGO_BIN_EXE_git-archive-tomb"), "evidence", "sign"]).output().unwrap());
    assert!(
        run.clone().exits(1).stderr_text().contains("hint: run this in a terminal, or unlock the key first"),
        "{run}"
    );
    for (set, text) in [
        (&[("gpg.format", "openpgp")][..], "git signs with `openpgp` here"),
        (&[("gpg.format", "x509")], "git signs with `x509` here"),
        (&[("gpg.ssh.defaultKeyCommand", "false")], "`gpg.ssh.defaultKeyCommand` gave no key"),
        (&[("gpg.ssh.defaultKeyCommand", "echo 'open")], "its quoting is broken"),
        (&[], "git knows no key to sign with"),
    ] {
        repo.try_git(&["config", "--unset", "user.signingKey"]);
        for (key, value) in set {
            config(key, value);
        }
        let run = repo.tomb(&["evidence", "sign"]).exits(2);
        assert!(run.stderr_text().contains(text) && run.stderr_text().contains("hint: "), "{run}");
        config("gpg.format", "ssh");
        repo.try_git(&["config", "--unset", "gpg.ssh.defaultKeyCommand"]);
    }
    assert_eq!(repo.read(".git/index"), index);
    assert_eq!(repo.tree(), tree);
}

#[test]
fn nobody_is_brought_to_sign_a_loss() {
    let world = World::new();
    let empty = world.sample("empty");
    set_up(&empty, "ada");
    let run = empty.tomb(&["evidence", "sign"]).exits(1);
    assert!(run.stderr_text().contains("there is no evidence to sign"), "{run}");

    let repo = archived(&world);
    sign(&repo);
    let first = &*repo.git(&["ls-files", ".codex/evidence/ops"]);
    repo.tomb_ok(&["store", "src/legacy"]);
    repo.commit("more");
    // Two files of one second stand in the order of their digests.
    let evidence = repo.git(&["ls-files", ".codex/evidence/ops"]);
    let second = evidence.lines().find(|file| *file != first).unwrap();
    for (damage, text) in [
        (&["rm", "-q", first][..], "does not hold here"),
        (&["mv", second, ".codex/evidence/ops/x.jsonl"], "the evidence is not whole"),
    ] {
        repo.git(damage);
        let run = repo.tomb(&["evidence", "sign"]).exits(1);
        assert!(run.stderr_text().contains(text) && run.stderr_text().contains("hint: "), "{run}");
        repo.git(&["reset", "-q", "--hard"]);
    }
    repo.tomb_ok(&["evidence", "sign"]);
    repo.git(&["reset", "-q", "--hard"]);

    // What strangers claim keeps nobody from signing, once it is known who they are.
    let statement = statement_of(&repo.read_text(repo.git(&["ls-files", FOLDER]))).to_owned();
    let loss = statement.replace("head: ", &format!("head: {}\nhead: ", "0".repeat(64)));
    for statement in [loss, moved(&statement, 3)] {
        for (person, code) in [("eve", 0), ("ada", 1)] {
            plant(&repo, &forge(&world, person, "git-archive-tomb", &statement));
            repo.tomb(&["evidence", "sign"]).exits(code);
            let nobody = repo.with("GIT_CONFIG_COUNT", "1").with("GIT_CONFIG_KEY_0", "gpg.ssh.allowedSignersFile");
            nobody.with("GIT_CONFIG_VALUE_0", "").tomb(&["evidence", "sign"]).exits(1);
            repo.git(&["reset", "-q", "--hard"]);
        }
    }
}

#[test]
fn a_killed_signing_harms_nothing() {
    let world = World::new();
    let base = archived(&world);
    for point in ["lock-bare", "evidence-file", "index-written", "index-renamed"] {
        let repo = base.copy_to(point);
        let killed = repo.with(VARIABLE, point).tomb(&["evidence", "sign"]);
        assert_eq!(killed.code, None, "{point}: {killed}");
        assert_eq!(repo.git(&["fsck", "--strict", "--no-dangling"]), "", "{point}");
        if repo.exists(".git/index.lock") {
            let run = repo.tomb(&["evidence", "sign"]).exits(1);
            assert!(run.stderr_text().contains("the index is locked"), "{point}: {run}");
            std::fs::remove_file(repo.path.join(".git/index.lock")).unwrap();
        }
        // Taken along by the next `git add`, what is left is a checkpoint like any other.
        repo.tomb_ok(&["evidence", "sign"]);
        repo.commit_all("all");
        repo.assert_sound();
        verify(&repo, &["--strict"]).exits(0);
    }
}

#[test]
fn names_in_lists_and_repositories_do_not_reach_the_terminal() {
    let world = World::new();
    let repo = archived(&world);
    repo.tomb_ok(&["evidence", "sign", "--repo", "a\u{1b}[31m\nb"]);
    let list = format!("evil\u{1b}[31m {}\n", public(&world, "ada"));
    world.at(".").write("evil", list);
    let run = verify(&repo, &["--allowed-signers", "../evil"]).exits(1);
    assert!(!run.all_text().contains('\u{1b}'), "{run}");
    let run = verify(&repo, &["--allowed-signers", "../evil", "--repo", "a\u{1b}[31m\nb"]).exits(0);
    assert!(!run.all_text().contains('\u{1b}') && run.stdout_text().contains("signed: "), "{run}");
    let run = verify(&repo, &["--allowed-signers", "../evil", "--repo", "a\u{1b}[31m\nb", "--json"]).exits(0);
    assert!(!run.all_text().contains('\u{1b}'), "{run}");
    repo.tomb(&["evidence", "sign", "--repo", " "]).exits(2);
}

#[test]
fn options_of_checkpoints_need_signed() {
    let world = World::new();
    let repo = world.sample("project");
    for option in [["--checkpoint", "x"], ["--allowed-signers", "x"], ["--repo", "x"], ["--signed-since", "1d"]] {
        repo.tomb(&[&["evidence", "verify"][..], &option].concat()).exits(2);
    }
}
