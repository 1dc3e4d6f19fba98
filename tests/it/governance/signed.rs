//! `governance.signed`: people sign with their own keys, in clones of their own, and nothing but that counts.

use std::path::PathBuf;

use super::commands::{SECRET, archived, events};
use crate::common::keys::{self, key};
use crate::common::{Repo, Run, World, assert_shown};

/// Writes the file of allowed signers, each a name with options.
fn allow(world: &World, people: &[(&str, &str)]) -> PathBuf {
    keys::allow(world, "allowed_signers", people)
}

/// Sets a repository up as somebody would who signs with SSH keys.
fn set_up(repo: &Repo<'_>, person: &str) {
    let world = repo.world;
    repo.git(&["config", "archivetomb.governance.signed", "true"]);
    repo.git(&["config", "gpg.format", "ssh"]);
    repo.git(&["config", "user.signingKey", key(world, person).to_str().unwrap()]);
    repo.git(&["config", "gpg.ssh.allowedSignersFile", world.at("allowed_signers").path.to_str().unwrap()]);
    repo.git(&["config", "user.name", person]);
    repo.git(&["config", "user.email", &format!("{person}@example.org")]);
}

/// Returns Ada's repository, which has the archive, with an open request, and Bob's clone, which has none.
pub(super) fn two_clones(world: &World) -> (Repo<'_>, Repo<'_>) {
    allow(world, &[("ada", ""), ("bob", ""), ("carol", "")]);
    let ada = archived(world);
    set_up(&ada, "ada");
    ada.tomb_ok(&["prune-request", SECRET, "--reason", "Contains PII"]);
    ada.commit("request");
    ada.git(&["clone", "-q", ".", "../bob"]);
    let bob = world.at("bob");
    set_up(&bob, "bob");
    (ada, bob)
}

/// Approves in Bob's clone, and fetches that into Ada's.
fn approve_in(bob: &Repo<'_>, ada: &Repo<'_>) {
    bob.git(&["switch", "-q", "-c", "approval"]);
    bob.tomb_ok(&["approve", SECRET]);
    bob.commit("approve");
    ada.git(&["fetch", "-q", "../bob", "approval:refs/remotes/bob/approval"]);
}

#[test]
fn two_people_approve_in_two_clones_with_two_keys() {
    let world = World::new();
    let (ada, bob) = two_clones(&world);
    assert_shown!(&world, bob.tomb(&["approve", SECRET, "--reason", "I looked"]), @r"
    exit: 0
    ----- stdout -----
    approved  [uuid]  project:docs/old.md
    ----- stderr -----
    the purge that ada <ada@example.org> requested on [date]: Contains PII
    1 of 2 approvals: bob@example.org
    there is no archive here: the approval counts from its evidence, where that is fetched
    its evidence is staged; commit it with `git commit`
    ");
    bob.git(&["switch", "-q", "-c", "approval"]);
    bob.commit("approve");
    ada.tomb_ok(&["approve", SECRET]);
    let refused = ada.tomb(&["purge", SECRET, "--reason", "PII", "--apply"]).exits(4);
    assert!(refused.stderr_text().contains("1 of 2 approvals"), "{refused}");
    ada.git(&["fetch", "-q", "../bob", "approval:refs/remotes/bob/approval"]);
    let named = ada
        .tomb(&["purge", SECRET, "--by", "ada", "--second", "carol@example.org", "--reason", "x", "--apply"])
        .exits(4);
    assert!(named.stderr_text().contains("carol@example.org` is named as approver and has not approved"), "{named}");
    ada.tomb_ok(&[
        "purge",
        SECRET,
        "--by",
        "ada@example.org",
        "--second",
        "bob@example.org",
        "--reason",
        "PII",
        "--apply",
    ]);
    let [purge] = &events(&ada, "PURGE")[..] else { panic!("one purge") };
    assert_eq!((&purge["actor"], &purge["second"]), (&"ada@example.org".into(), &"bob@example.org".into()));
    ada.commit("purge");
    ada.tomb_ok(&["verify", "--all", "--deep"]);
    ada.tomb_ok(&["evidence", "verify"]);
}

#[test]
fn an_approval_that_was_merged_counts_as_well() {
    let world = World::new();
    let (ada, bob) = two_clones(&world);
    approve_in(&bob, &ada);
    ada.git(&["merge", "-q", "bob/approval"]);
    ada.git(&["update-ref", "-d", "refs/remotes/bob/approval"]);
    ada.tomb_ok(&["approve", SECRET]);
    ada.tomb_ok(&["purge", SECRET, "--reason", "PII", "--apply"]);
}

#[test]
fn what_was_signed_stays_so_whatever_the_settings_say_afterwards() {
    let world = World::new();
    let (ada, _) = two_clones(&world);
    ada.git(&["config", "archivetomb.governance.signed", "false"]);
    let purge = ["purge", SECRET, "--by", "mallory", "--second", "eve", "--reason", "x", "--apply"];
    let refused = ada.tomb(&purge).exits(4).stderr_text();
    assert!(refused.contains("`mallory` is named as approver and has not approved"), "{refused}");
    let refused = ada.tomb(&["approve", SECRET, "--by", "mallory"]).exits(4).stderr_text();
    assert!(refused.contains("is signed, so this has to be, too"), "{refused}");
    assert!(events(&ada, "PURGE").is_empty() && events(&ada, "DELETE_APPROVED").is_empty());
}

#[test]
fn nobody_speaks_in_the_name_of_another() {
    let world = World::new();
    let (ada, bob) = two_clones(&world);
    let before = bob.look();
    assert_shown!(&world, bob.tomb(&["approve", SECRET, "--by", "Ada <ada@example.org>"]), @r"
    exit: 4
    ----- stderr -----
    error: the key is `bob@example.org`'s, not `Ada <ada@example.org>`'s
    hint: leave `--by` out, or sign with the key of whoever is named: `--key <key>`
    ");
    assert_eq!(bob.look(), before);
    // In unsigned mode that would do.
    let both = ["purge", SECRET, "--by", "ada@example.org", "--second", "bob@example.org", "--reason", "x"];
    let _ = ada.tomb(&[&both[..], &["--apply"]].concat()).exits(4);
    let _ = ada.tomb(&both).exits(4);
    assert!(events(&ada, "DELETE_APPROVED").is_empty());
}

#[test]
fn a_key_that_nobody_allows_or_that_expired_makes_no_record() {
    let world = World::new();
    let (ada, bob) = two_clones(&world);
    allow(&world, &[("ada", "valid-before=\"20200101\""), ("carol", "")]);
    for repo in [&ada, &bob] {
        let before = repo.look();
        for arguments in [
            &["approve", SECRET][..],
            &["hold", "set", SECRET, "--reason", "x"],
            &["approve", SECRET, "--for", "restore"],
        ] {
            let refused = repo.tomb(arguments).exits(4);
            assert!(
                refused.stderr_text().contains("the signature would not count")
                    || refused.stderr_text().contains("does not count"),
                "{refused}"
            );
        }
        assert_eq!(repo.look(), before);
    }
}

#[test]
fn a_key_that_expires_before_the_purge_takes_its_approval_along() {
    let world = World::new();
    let (ada, bob) = two_clones(&world);
    approve_in(&bob, &ada);
    ada.tomb_ok(&["approve", SECRET]);
    allow(&world, &[("ada", ""), ("bob", "valid-before=\"20200101\"")]);
    let refused = ada.tomb(&["purge", SECRET, "--reason", "PII", "--apply"]).exits(4);
    assert!(refused.stderr_text().contains("1 of 2 approvals"), "{refused}");
    allow(&world, &[("ada", ""), ("bob", "")]);
    ada.tomb_ok(&["purge", SECRET, "--reason", "PII", "--apply"]);
}

#[test]
fn a_purge_by_somebody_who_turned_signing_off_is_found() {
    let world = World::new();
    let (ada, bob) = two_clones(&world);
    // What a signed request asks takes signed approvals, whatever is set; so he makes one of his own.
    let (unsigned, target) = (["-c", "archivetomb.governance.signed=false", "archive-tomb"], "src/legacy/old.py");
    ada.git(&[&unsigned[..], &["prune-request", target, "--by", "mallory", "--reason", "x"]].concat());
    let two = ["--by", "mallory", "--second", "eve", "--reason", "x", "--apply"];
    ada.git(&[&unsigned[..], &["purge", target], &two].concat());
    ada.commit("purge");
    ada.tomb_ok(&["hooks", "install"]);
    assert_shown!(&world, ada.tomb(&["doctor"]), @r"
    exit: 1
    ----- stdout -----
    error: the purge of item [uuid] does not count by the rules here: request `[uuid]` by `mallory` of [date] does not count: it is not signed; nothing brings the bytes back
    ----- stderr -----
    1 error
    ");
    // Where nothing has to be signed, anybody's word counts.
    ada.git(&["-c", "archivetomb.governance.signed=false", "archive-tomb", "doctor"]);
    drop(bob);
}

#[test]
fn a_purge_that_two_people_signed_counts_ever_after() {
    let world = World::new();
    let (ada, bob) = two_clones(&world);
    approve_in(&bob, &ada);
    ada.tomb_ok(&["approve", SECRET]);
    ada.tomb_ok(&["purge", SECRET, "--reason", "PII", "--apply"]);
    ada.commit("purge");
    ada.git(&["config", "archivetomb.governance.approvalTtl", "1s"]);
    assert!(!ada.tomb_ok(&["doctor"]).stdout_text().contains("does not count"));
    // The approval in the branch, which was fetched, is all there is of it.
    ada.git(&["update-ref", "-d", "refs/remotes/bob/approval"]);
    std::fs::remove_file(ada.path.join(".git/FETCH_HEAD")).unwrap();
    let warned = ada.tomb_ok(&["doctor"]).stdout_text();
    let what = "warning: the purge of item";
    assert!(warned.contains(what) && warned.contains("1 of 2 approvals, by `ada@example.org`; the others"), "{warned}");
}

#[test]
fn a_purge_from_before_anybody_signed_is_a_warning() {
    let world = World::new();
    let repo = archived(&world);
    super::commands::request(&repo, SECRET);
    repo.tomb_ok(&super::commands::purge(SECRET, &["--apply"]));
    repo.commit("purge");
    allow(&world, &[("ada", ""), ("bob", "")]);
    set_up(&repo, "ada");
    let warned = repo.tomb_ok(&["doctor"]).stdout_text();
    assert!(warned.contains("warning: the purge of item"), "{warned}");
    assert!(warned.contains("nobody had signed anything in this archive by then"), "{warned}");
}

#[test]
fn an_approval_counts_for_its_request_only() {
    let world = World::new();
    let (ada, bob) = two_clones(&world);
    approve_in(&bob, &ada);
    ada.tomb_ok(&["prune-request", SECRET, "--withdraw"]);
    ada.tomb_ok(&["prune-request", SECRET, "--reason", "Contains PII"]);
    ada.tomb_ok(&["approve", SECRET]);
    let refused = ada.tomb(&["purge", SECRET, "--reason", "PII", "--apply"]).exits(4);
    assert!(refused.stderr_text().contains("1 of 2 approvals"), "{refused}");
    // Nor for another item, whatever evidence it is written into.
    ada.tomb_ok(&["prune-request", "src/legacy/old.py", "--reason", "x"]);
    ada.tomb_ok(&["approve", "src/legacy/old.py"]);
    let refused = ada.tomb(&["purge", "src/legacy/old.py", "--reason", "x", "--apply"]).exits(4);
    assert!(refused.stderr_text().contains("1 of 2 approvals"), "{refused}");
}

#[test]
fn holds_of_anybody_hold_and_only_signed_releases_release() {
    let world = World::new();
    let (ada, bob) = two_clones(&world);
    ada.tomb_ok(&["approve", SECRET]);
    approve_in(&bob, &ada);
    let carol = ada
        .with("GIT_CONFIG_COUNT", "1")
        .with("GIT_CONFIG_KEY_0", "archivetomb.governance.signed")
        .with("GIT_CONFIG_VALUE_0", "false");
    carol.tomb_ok(&["hold", "set", SECRET, "--by", "carol", "--reason", "Litigation"]);
    let purge = ["purge", SECRET, "--reason", "PII", "--apply"];
    let refused = ada.tomb(&purge).exits(4);
    assert!(refused.stderr_text().contains("legal hold"), "{refused}");
    carol.tomb_ok(&["hold", "release", SECRET, "--by", "carol", "--reason", "Never mind"]);
    let refused = ada.tomb(&purge).exits(4);
    assert!(refused.stderr_text().contains("its release does not count"), "{refused}");
    ada.tomb_ok(&["hold", "release", SECRET, "--reason", "Settled"]);
    ada.tomb_ok(&purge);
}

#[test]
fn restores_are_approved_by_signature_and_counted_in_clones_without_an_archive() {
    let world = World::new();
    let (ada, bob) = two_clones(&world);
    for repo in [&ada, &bob] {
        repo.git(&["config", "archivetomb.governance.restoreApprovals", "2"]);
    }
    bob.tomb_ok(&["approve", SECRET, "--for", "restore"]);
    bob.commit("approve");
    let _ = bob.tomb(&["cat", SECRET]).exits(4);
    ada.tomb_ok(&["approve", SECRET, "--for", "restore"]);
    ada.commit("approve");
    bob.git(&["fetch", "-q", "../project", "main:refs/remotes/ada/main"]);
    bob.tomb_ok(&["cat", SECRET]);
    bob.tomb_ok(&["restore", SECRET]);
    let _ = ada.tomb(&["cat", SECRET]).exits(4);
}

#[test]
fn the_commands_of_the_page_lead_two_people_from_nothing_to_a_purge() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/governance.md")).unwrap();
    let (_, section) = page.split_once("\n## Two people, two clones\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks: Vec<&str> = section.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0).collect();
    let [set_up, ask, approve, purge] = &blocks[..] else { panic!("four blocks") };
    let world = World::new();
    allow(&world, &[("ada", ""), ("bob", "")]);
    let ada = archived(&world);
    ada.git(&["clone", "-q", "--bare", ".", "../hub/project.git"]);
    ada.git(&["remote", "remove", "origin"]);
    ada.git(&["remote", "add", "origin", "../hub/project.git"]);
    ada.git(&["config", "push.autoSetupRemote", "true"]);
    ada.git(&["fetch", "-q"]);
    ada.git(&["branch", "-q", "-u", "origin/main"]);
    ada.git(&["clone", "-q", "../hub/project.git", "../bob"]);
    let bob = world.at("bob");
    let run = |repo: &Repo<'_>, who: &str, commands: &str| {
        let home = world.at(&format!("{who}-home")).path;
        std::fs::create_dir_all(home.join(".ssh")).unwrap();
        for end in ["", ".pub"] {
            let from = key(&world, who).with_extension(format!("key{end}"));
            std::fs::copy(from, home.join(format!(".ssh/id_ed25519{end}"))).unwrap();
        }
        std::fs::copy(world.at("allowed_signers").path, home.join("allowed_signers")).unwrap();
        repo.git(&["config", "user.name", who]);
        repo.git(&["config", "user.email", &format!("{who}@example.org")]);
        Run::from(repo.command("sh").args(["-euc", commands]).env("HOME", home).output().unwrap())
    };
    let _ = run(&ada, "ada", set_up).exits(0);
    let _ = run(&bob, "bob", set_up).exits(0);
    let _ = run(&ada, "ada", ask).exits(0);
    let refused = run(&ada, "ada", purge).exits(4).stderr_text();
    assert!(refused.contains("1 of 2 approvals, by `ada@example.org`"), "{refused}");
    assert!(refused.contains("counts once its branch is here: `git fetch --all`"), "{refused}");
    let approved = run(&bob, "bob", approve).exits(0).stderr_text();
    assert!(approved.contains("2 of 2 approvals: ada@example.org, bob@example.org"), "{approved}");
    let _ = run(&ada, "ada", purge).exits(0);
    let _ = ada.tomb(&["cat", SECRET]).exits(4);
    bob.git(&["pull", "-q"]);
    for purpose in ["purge", "restore"] {
        let refused = bob.tomb(&["approve", SECRET, "--for", purpose]).exits(4).stderr_text();
        assert!(refused.contains("is purged"), "{purpose}: {refused}");
    }
}
