//! The proof of an item: a folder that is checked with nothing but `sha256sum`, `ssh-keygen` and a shell.

use std::collections::BTreeMap;
use std::path::Path;

use git_archive_tomb::fault::VARIABLE;
use git_archive_tomb::governance::record::{hold_released, hold_set};
use git_archive_tomb::id::Sha256;
use git_archive_tomb::proof::CHECK;
use rayon::prelude::*;

use super::people::{allow, key, record};
use crate::common::{Repo, Run, World};

const PATH: &str = "docs/old.md";

/// Makes a repository with an item that was archived, held and released, each signed, a checkpoint, and evidence of other items
/// before and after.
fn governed(world: &World) -> Repo<'_> {
    let repo = world.sample("project");
    repo.git(&["config", "gpg.format", "ssh"]);
    repo.git(&["config", "user.signingKey", key(world, "ada").to_str().unwrap()]);
    repo.git(&["config", "gpg.ssh.allowedSignersFile", allow(world, &["ada", "bob"]).to_str().unwrap()]);
    repo.store(&["src/legacy/run.sh"], &["src/legacy/run.sh"]);
    repo.store(&[PATH], &[PATH]);
    let mut hold = None;
    record(&repo, "ada", PATH, |facts, item| {
        hold = Some(facts.op);
        hold_set(facts, None, item, Some("CASE-7"), "a claim, \"quoted\" and \\ more")
    });
    record(&repo, "bob", PATH, |facts, item| hold_released(facts, None, item, hold, Some("CASE-7"), "it was settled"));
    allow(world, &["ada", "bob"]);
    repo.tomb_ok(&["evidence", "sign"]);
    repo.commit("sign");
    repo.store(&["src/legacy/old.py"], &["src/legacy/old.py"]);
    repo
}

fn prove<'a>(repo: &Repo<'a>, name: &str) -> Repo<'a> {
    let place = repo.world.at(name);
    repo.tomb_ok(&["export", "--proof", &repo.tombstone_at(PATH), place.path.to_str().unwrap()]);
    place
}

/// Checks a proof as its README says.
fn check(proof: &Repo<'_>) -> Run {
    Run::from(proof.command("sh").arg("check.sh").output().unwrap())
}

/// Checks a proof by a list of allowed signers of one's own.
fn check_by(proof: &Repo<'_>, signers: &Path) -> Run {
    Run::from(proof.with("SIGNERS", signers).command("sh").arg("check.sh").output().unwrap())
}

fn files(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Makes the manifest anew, as whoever tampers would.
fn list_again(proof: &Repo<'_>) {
    let script = "find . -type f ! -path ./SHA256SUMS | LC_ALL=C sort | xargs sha256sum > SHA256SUMS";
    assert!(proof.command("sh").args(["-c", script]).status().unwrap().success());
}

#[test]
fn a_proof_is_checked_offline_by_what_its_readme_says() {
    let world = World::new();
    let repo = governed(&world);
    let proof = prove(&repo, "proof");
    let readme = proof.read_text("README.txt");
    assert!(readme.lines().all(|line| line.len() <= 80));
    assert!(readme.contains("    sh check.sh\n") && readme.contains("    SIGNERS=/your/allowed_signers REVOKED="));
    let told = check(&proof).exits(0);
    let text = told.stdout_text();
    for said in [
        "evidence: 5 files, 1 of them the newest\n",
        "3 records in evidence\n",
        ": signed by ada@example.org\n",
        "HOLD_RELEASED of 20",
        ": signed by bob@example.org\n",
        ": 4 files, signed by ada@example.org\n",
        "all of it holds\n",
    ] {
        assert!(text.contains(said), "{said}: {told}");
    }
    assert_eq!((told.stderr_text(), text.contains("NOTE")), (String::new(), false), "{told}");
    // Each file that is there is one that the README names.
    for file in files(&proof.path) {
        let first = file.split('/').next().unwrap();
        assert!(first == "README.txt" || readme.contains(first), "{file}");
    }
    let ops: Vec<String> = files(&proof.path).into_iter().filter(|file| file.contains("/ops/")).collect();
    for file in &ops {
        assert_eq!(proof.read(file), repo.read(file));
    }
    assert_eq!(proof.read("stub.txt"), repo.read(PATH));
    let commits = proof.read_text("commits.txt");
    for line in commits.lines() {
        let (commit, path) = line.split_once(' ').unwrap();
        assert_eq!(repo.git(&["show", &format!("{commit}:{path}")]), proof.read_text(path).trim_end_matches('\n'));
    }
    assert_eq!(commits.lines().count(), 4, "{commits}");

    // By a list of the auditor's own, whoever is not on it counts for nothing; and so does whoever was revoked.
    let told = check_by(&proof, &allow(&world, &["ada"])).exits(0);
    assert!(told.stdout_text().contains(", of bob@example.org, is signed by a key of no allowed signer: "), "{told}");
    assert!(told.stdout_text().ends_with("all of it holds, but for what the note says\n"), "{told}");
    let both = allow(&world, &["ada", "bob"]);
    let others = world.at("others");
    world
        .at("")
        .write("others", std::fs::read_to_string(&both).unwrap().replace("bob@example.org", "carl@example.org"));
    let told = check_by(&proof, &others.path).exits(0);
    assert!(told.stdout_text().contains(", of bob@example.org, is signed by carl@example.org\n"), "{told}");
    let revoked = key(&world, "bob").with_extension("key.pub");
    let mut command = proof.with("SIGNERS", &both).command("sh");
    let told = Run::from(command.env("REVOKED", revoked).arg("check.sh").output().unwrap()).exits(0);
    assert!(told.stdout_text().contains(", of bob@example.org, is signed by a key of no allowed signer: "), "{told}");
    let told = check_by(&proof, Path::new("/nowhere")).exits(1);
    assert!(told.stderr_text().contains("there is no file /nowhere"), "{told}");
}

#[test]
fn a_signer_whom_only_the_auditor_knows_counts_by_the_auditors_list() {
    let world = World::new();
    let repo = governed(&world);
    allow(&world, &["ada"]);
    let run = repo.tomb_ok(&["export", "--proof", PATH, "../proof"]);
    assert!(run.stderr_text().contains("1 signature of records count for nothing here"), "{run}");
    let proof = world.at("proof");
    let told = check(&proof).exits(0);
    assert!(told.stdout_text().contains("but for what the note says"), "{told}");
    let all = world.at("all");
    std::fs::copy(allow(&world, &["ada", "bob"]), &all.path).unwrap();
    let told = check_by(&proof, &all.path).exits(0);
    assert!(told.stdout_text().contains(": signed by bob@example.org\n"), "{told}");
    assert!(told.stdout_text().ends_with("all of it holds\n"), "{told}");
}

#[test]
fn a_changed_byte_anywhere_and_a_file_too_few_or_too_many_are_found() {
    let world = World::new();
    let repo = governed(&world);
    let proof = prove(&repo, "proof");
    let names = files(&proof.path);
    let mut cases: Vec<(String, Option<usize>)> = Vec::new();
    for name in &names {
        let length = proof.read(name).len();
        cases.extend([length / 2, length.saturating_sub(1)].map(|at| (name.clone(), (at < length).then_some(at))));
        cases.push((name.clone(), None));
    }
    cases.sort();
    cases.dedup();
    let wrong: Vec<String> = cases
        .par_iter()
        .enumerate()
        .filter_map(|(number, (name, at))| {
            let copy = proof.copy_to(&format!("copy-{number}"));
            match at {
                // The script itself is not run where it is changed.
                _ if name == "check.sh" => return None,
                Some(at) => {
                    let mut bytes = copy.read(name);
                    bytes[*at] ^= 1;
                    copy.write(name, bytes);
                }
                None => std::fs::remove_file(copy.path.join(name)).unwrap(),
            }
            (check(&copy).code == Some(0)).then(|| format!("{name} at {at:?}"))
        })
        .collect();
    assert!(wrong.is_empty() && cases.len() > 40, "{wrong:?} of {}", cases.len());
    for at in (0..90).step_by(6) {
        let copy = if at == 0 { proof.copy_to("manifest") } else { world.at("manifest") };
        let mut bytes = proof.read("SHA256SUMS");
        bytes[at] ^= 0x20;
        copy.write("SHA256SUMS", bytes);
        assert_ne!(check(&copy).code, Some(0), "byte {at} of the manifest");
    }
    proof.write("added", "");
    assert_ne!(check(&proof).code, Some(0));
}

/// Something that somebody does to a proof who then makes its manifest anew.
type Attack = fn(&Repo<'_>);

#[test]
fn whoever_makes_the_manifest_anew_is_found_out_by_what_it_lists() {
    let attacks: BTreeMap<&str, (Attack, &str)> = [
        ("evidence-changed", (edit_evidence as Attack, "under a name that is not its own")),
        ("evidence-dropped", (|proof| drop_evidence(proof, "-hold-set-"), "evidence was left out")),
        ("newest-dropped", (|proof| drop_evidence(proof, "-archive-"), "evidence was left out")),
        ("record-dropped", (|proof| drop_line(proof, "records.jsonl"), "records.jsonl is not what evidence says")),
        ("records-reordered", (reorder, "in its order")),
        ("signed-changed", (|proof| forge(proof, "a claim, ", "no claim, "), "is not what was signed")),
        ("signer-changed", (|proof| forge(proof, "bob@example.org", "ada@example.org"), "is not what was signed")),
        ("record-disguised", (disguise, "has what is no record")),
        ("signatures-swapped", (swap_signatures, "is not what was signed")),
        ("stub-changed", (|proof| edit(proof, "stub.txt", "reason", "raison"), "is not the stub that was recorded")),
        ("list-shortened", (shorten_lists, "is not whole")),
        ("item-swapped", (swap_item, "records.jsonl is not what evidence says")),
        ("path-changed", (|proof| edit(proof, "item.json", PATH, "docs/new.md"), "not the item that was archived")),
        (
            "size-changed",
            (|proof| edit(proof, "item.json", "\"size\":", "\"size\":1"), "not the item that was archived"),
        ),
        ("digest-changed", (edit_digest, "not the item that was archived")),
        ("commit-dropped", (|proof| edit(proof, "item.json", ",\"commit\":\"", ",\"c\":\""), "not the item that was")),
        ("commits-dropped", (|proof| remove(proof, "commits.txt"), "there is no commits.txt")),
        ("about-dropped", (|proof| remove(proof, "about.json"), "there is no about.json")),
        ("file-added", (|proof| proof.write("statements.txt", "true\n"), "that are none of a proof")),
        ("odd-file-added", (|proof| proof.write("heads.txt heads.txt", "true\n"), "that are none of a proof")),
        ("lock-used", (|proof| proof.write("lock", "true\n"), "the file lock is not empty")),
    ]
    .into();
    // What is taken away is not there any more, and said to be missing.
    let notes: BTreeMap<&str, (Attack, &str)> = [
        ("signature-dropped", (unsign as Attack, "HOLD_SET of 20")),
        ("signer-dropped", (|proof| drop_line(proof, "allowed_signers"), "is signed by a key of no allowed signer")),
        ("signers-dropped", (|proof| remove(proof, "allowed_signers"), "there is no list of allowed signers")),
        ("stub-dropped", (|proof| remove(proof, "stub.txt"), "there is no stub.txt")),
    ]
    .into();
    let world = World::new();
    let repo = governed(&world);
    let proof = prove(&repo, "proof");
    let attacked = |name: &str, attack: Attack| {
        let copy = proof.copy_to(name);
        attack(&copy);
        list_again(&copy);
        check(&copy)
    };
    for (name, (attack, said)) in attacks {
        let told = attacked(name, attack);
        assert!(told.code == Some(1) && told.stderr_text().contains(said), "{name}: {told}");
    }
    for (name, (attack, said)) in notes {
        let told = attacked(name, attack).exits(0);
        let text = told.stdout_text();
        let note = text.lines().any(|line| line.starts_with("NOTE: ") && line.contains(said));
        assert!(note && text.contains("\nall of it holds, but for what "), "{name}: {told}");
    }
}

fn edit(proof: &Repo<'_>, name: &str, from: &str, to: &str) {
    let text = proof.read_text(name);
    assert!(text.contains(from));
    proof.write(name, text.replacen(from, to, 1));
}

fn remove(proof: &Repo<'_>, name: &str) {
    std::fs::remove_file(proof.path.join(name)).unwrap();
}

fn drop_line(proof: &Repo<'_>, name: &str) {
    let text = proof.read_text(name);
    proof.write(name, text.split_once('\n').unwrap().1);
}

fn edit_evidence(proof: &Repo<'_>) {
    let name = files(&proof.path).into_iter().find(|name| name.contains("-hold-set-")).unwrap();
    edit(proof, &name, "CASE-7", "CASE-8");
    let records = proof.read_text("records.jsonl").replace("CASE-7", "CASE-8");
    proof.write("records.jsonl", records);
}

/// Changes what records of governance say, and then all that depends on it: names of evidence, what names them, and what was
/// derived of them. Checkpoints go, as whoever has no key would have it.
fn forge(proof: &Repo<'_>, from: &str, to: &str) {
    forge_by(proof, &|text| text.replace(from, to));
}

/// Has a record of governance look as if it were none.
fn disguise(proof: &Repo<'_>) {
    forge(proof, r#""level":"info","action":"HOLD_SET""#, r#""action":"HOLD_SET","level":"info""#);
}

fn unsign(proof: &Repo<'_>) {
    forge_by(proof, &|text| {
        let Some((before, rest)) = text.split_once(",\"signature\":\"").filter(|_| text.contains("HOLD_SET")) else {
            return text.to_owned();
        };
        format!("{before}{}", rest.split_once('"').unwrap().1)
    });
}

fn forge_by(proof: &Repo<'_>, change: &dyn Fn(&str) -> String) {
    let all = files(&proof.path);
    let mut renamed: Vec<(String, String)> = Vec::new();
    let again = |text: String, renamed: &[(String, String)]| {
        renamed.iter().fold(text, |text, (old, new)| text.replace(old, new))
    };
    let mut evidence: Vec<&String> = all.iter().filter(|name| name.contains("/ops/")).collect();
    // The time is the first that differs: each comes after those that it names.
    evidence.sort_by_key(|name| proof.read_text(name));
    for name in evidence {
        let old = proof.read_text(name);
        let text = again(if name.contains("-hold-") { change(&old) } else { old.clone() }, &renamed);
        if text != old {
            let digests = [&old, &text].map(|text| Sha256::of(text.as_bytes()).to_string());
            remove(proof, name);
            proof.write(name.replace(&digests[0][..16], &digests[1][..16]), &text);
            let [old, new] = digests;
            renamed.push((old, new));
        }
    }
    assert!(!renamed.is_empty());
    let heads = again(proof.read_text("heads.txt"), &renamed);
    proof.write("heads.txt", heads);
    let lines = proof.read_text("records.jsonl");
    let lines: String = lines
        .split_inclusive('\n')
        .map(|line| if line.contains("\"action\":\"HOLD_") { change(line) } else { line.to_owned() })
        .collect();
    proof.write("records.jsonl", again(lines, &renamed));
    for name in all.iter().filter(|name| name.contains("checkpoints/") || name.starts_with("lists/")) {
        remove(proof, name);
    }
}

fn reorder(proof: &Repo<'_>) {
    let text = proof.read_text("records.jsonl");
    let (first, rest) = text.split_once('\n').unwrap();
    proof.write("records.jsonl", format!("{rest}{first}\n"));
}

fn edit_digest(proof: &Repo<'_>) {
    let text = proof.read_text("item.json");
    let (before, rest) = text.split_once("\"sha256\":\"").unwrap();
    proof.write("item.json", format!("{before}\"sha256\":\"{}{}", "0".repeat(64), &rest[64..]));
}

fn drop_evidence(proof: &Repo<'_>, which: &str) {
    let name = files(&proof.path).into_iter().find(|name| name.contains(which)).unwrap();
    let gone = proof.read_text(&name);
    remove(proof, &name);
    let records = proof.read_text("records.jsonl");
    let left: String = records.split_inclusive('\n').filter(|line| !gone.contains(line)).collect();
    proof.write("records.jsonl", left);
}

fn swap_signatures(proof: &Repo<'_>) {
    let records = proof.read_text("records.jsonl");
    let signature =
        |line: &str| line.split_once(",\"signature\":").map(|(_, rest)| rest.split('"').nth(1).unwrap().to_owned());
    let signatures: Vec<String> = records.lines().filter_map(signature).collect();
    let [one, two] = &signatures[..] else { panic!("{signatures:?}") };
    forge_by(proof, &|text| if text.contains(one) { text.replace(one, two) } else { text.replace(two, one) });
}

fn shorten_lists(proof: &Repo<'_>) {
    let name = files(&proof.path).into_iter().find(|name| name.starts_with("lists/")).unwrap();
    drop_line(proof, &name);
}

fn swap_item(proof: &Repo<'_>) {
    let text = proof.read_text("item.json");
    let tombstone = text.split("\"tombstone\":\"").nth(1).unwrap()[..36].to_owned();
    proof.write("item.json", text.replace(&tombstone, "00000000-0000-5000-8000-000000000000"));
}

#[test]
fn a_clone_without_an_archive_proves_the_same() {
    let world = World::new();
    let repo = governed(&world);
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");
    let allowed = allow(&world, &["ada", "bob"]);
    clone.git(&["config", "gpg.ssh.allowedSignersFile", allowed.to_str().unwrap()]);
    let (here, there) = (prove(&repo, "here"), prove(&clone, "there"));
    check(&there).exits(0);
    for name in files(&there.path) {
        let is_own = ["about.json", "item.json", "SHA256SUMS", "archive-only.jsonl"].contains(&name.as_str());
        assert!(is_own || here.read(&name) == there.read(&name), "{name}");
    }
    // Where nobody is named, signatures are left to the auditor.
    clone.git(&["config", "--unset", "gpg.ssh.allowedSignersFile"]);
    let run = clone.tomb_ok(&["export", "--proof", PATH, "../nobody"]);
    assert!(run.stderr_text().contains("2 signatures of records count for nothing here"), "{run}");
    let told = check(&world.at("nobody")).exits(0);
    assert!(told.stdout_text().contains("NOTE: who signed was not checked"), "{told}");
}

#[test]
fn a_proof_tells_nothing_of_machines_and_leaves_no_trace_of_a_failure() {
    let world = World::new();
    let repo = governed(&world);
    let out = world.at("out.md").path;
    repo.tomb_ok(&["restore", PATH, out.to_str().unwrap()]);
    let proof = prove(&repo, "proof");
    let home = world.at("").path.display().to_string();
    for name in files(&proof.path) {
        assert!(!String::from_utf8_lossy(&proof.read(&name)).contains(home.trim_end_matches('/')), "{name}");
    }
    assert!(proof.read_text("about.json").contains("\"records_left_out\":1"));
    let record = repo.tomb_ok(&["evidence", "log", "--json", "--action", "EXPORT"]).json().pop().unwrap();
    assert_eq!((&record["status"], &record["tombstone"]), (&"done".into(), &repo.tombstone_at(PATH).into()));

    // A killed one leaves nothing at its place, and does not keep the next from it.
    let killed = repo.with(VARIABLE, "export-written").tomb(&["export", "--proof", PATH, "../again"]);
    assert_eq!((killed.code, repo.exists("../again")), (None, false), "{killed}");
    check(&prove(&repo, "again")).exits(0);
    // One that is killed at its very end leaves a whole one.
    let killed = repo.with(VARIABLE, "export-renamed").tomb(&["export", "--proof", PATH, "../late"]);
    assert_eq!((killed.code, repo.exists("../late/lock")), (None, true), "{killed}");
    check(&world.at("late")).exits(0);

    let before = proof.tree();
    repo.tomb(&["export", "--proof", PATH, "../proof"]).exits(1);
    assert_eq!(proof.tree(), before);
    repo.tomb(&["export", "--proof", "00000000-0000-5000-8000-000000000000", "../none"]).exits(3);
    repo.tomb(&["export", "--proof", PATH]).exits(2);
    repo.tomb(&["export", "--proof", PATH, "--digest"]).exits(2);
    assert!(!repo.exists("../none"));
}

#[test]
fn evidence_that_was_lost_before_is_a_note_and_a_broken_file_is_named() {
    let world = World::new();
    let repo = governed(&world);
    let files = repo.git(&["ls-files", ".codex/evidence/ops"]);
    let first = files.lines().find(|file| repo.read_text(file).contains("run.sh")).unwrap().to_owned();
    repo.git(&["checkout", "-q", "--orphan", "squashed"]);
    repo.git(&["rm", "-q", "--cached", &first]);
    std::fs::remove_file(repo.path.join(&first)).unwrap();
    repo.commit("squashed");
    repo.git(&["branch", "-q", "-D", "main"]);
    let told = check(&prove(&repo, "lost")).exits(0);
    assert!(told.stdout_text().contains("NOTE: absent.txt lists evidence"), "{told}");
    repo.write(&first, "{}\n");
    repo.commit_all("broken");
    let run = repo.tomb_ok(&["export", "--proof", PATH, "../broken", "--json"]);
    assert!(run.stderr_text().contains("cannot be read and is not in the proof"), "{run}");
    assert_eq!(run.json()[0]["left_out"], serde_json::json!([first]));
    check(&world.at("broken")).exits(0);
}

#[test]
fn the_page_has_the_script_as_it_is() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/governance.md")).unwrap();
    let section = page.split("\n## Proof\n").nth(1).unwrap();
    assert!(section.contains(&format!("```sh\n{CHECK}```\n")));
}
