//! `governance.signed`: people sign with their own keys, in clones of their own, and nothing but that counts.

use std::path::PathBuf;

use super::commands::{SECRET, archived, events};
use crate::common::{Repo, World, assert_shown};

/// Makes a key without a passphrase; its public half is beside it.
fn key(world: &World, name: &str) -> PathBuf {
    let path = world.at(&format!("{name}.key")).path;
    if !path.exists() {
        let mut command = world.at(".").command("ssh-keygen");
        let done = command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path).status().unwrap();
        assert!(done.success());
    }
    path
}

/// Writes the file of allowed signers, each a name with options.
fn allow(world: &World, people: &[(&str, &str)]) -> PathBuf {
    let line = |(name, options): &(&str, &str)| {
        let public = std::fs::read_to_string(key(world, name).with_extension("key.pub")).unwrap();
        format!("{name}@example.org {options} {}\n", public.trim())
    };
    world.at(".").write("allowed_signers", people.iter().map(line).collect::<String>());
    world.at("allowed_signers").path
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
fn two_clones(world: &World) -> (Repo<'_>, Repo<'_>) {
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
