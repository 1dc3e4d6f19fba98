//! What is signed, checked with a shell and without this program, as `docs/governance.md` says.

use std::path::Path;

use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::Record;
use git_archive_tomb::evidence::writer::NewEvidenceFile;
use git_archive_tomb::governance::record::{RequestKey, Subject, hold_set, prune_request, purge_approval};
use git_archive_tomb::governance::{sign, statement};
use git_archive_tomb::id::{OperationId, Sha256, Tombstone};
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::operation::Facts;
use git_archive_tomb::signature::{AllowedSigners, Key, Signer};

use super::people::{allow, key};
use crate::common::{Run, World};

fn signers(world: &World) -> AllowedSigners {
    AllowedSigners { program: "ssh-keygen".into(), file: allow(world, &["ada", "bob"]), revoked: None }
}

fn signed(world: &World, name: &str, record: &Record) -> Record {
    let mut record = record.clone();
    let signer = Signer { program: "ssh-keygen".into(), key: Key::File(key(world, name)) };
    sign(&mut record, &signer, &signers(world), true).unwrap();
    record
}

/// Runs the commands of the page on an evidence file.
fn by_hand(world: &World, file: &Path, action: &str) -> Run {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/governance.md")).unwrap();
    let (_, by_hand) = page.split_once("\n**By hand.**").unwrap();
    let (commands, _) = by_hand.split_once("```sh\n").unwrap().1.split_once("```").unwrap();
    let mut command = world.at(".").command("sh");
    command
        .args(["-euc", commands])
        .env("FILE", file)
        .env("ACTION", action)
        .env("PATH", std::env::var_os("PATH").unwrap());
    Run::from(command.output().unwrap())
}

#[test]
fn the_commands_of_the_page_check_a_signed_record_without_this_program() {
    let world = World::new();
    let item = |path: &str| Subject {
        repo: "project".to_owned(),
        path: RepoPath::try_new(path).unwrap(),
        tombstone: Tombstone::derive("project", path.as_bytes(), &"01".repeat(20).parse().unwrap(), &Sha256::of(b"x")),
        sha256: Sha256::of(b"x"),
    };
    let facts = Facts {
        op: OperationId::generate(),
        started: Timestamp::now(),
        actor: "Ada \"the\" Countess <ada@example.org>".to_owned(),
        repo: "project".to_owned(),
    };
    let items = [item("src/a \"b\" {c}.py"), item("docs/é,\"count\":1.md")];
    let request = RequestKey::generate("3c7a4f0e-8f0e-4d57-9d0e-3f6f1f0f8a11", items.iter().map(|item| item.tombstone));
    // Whatever people write, it is not taken for a part of the record.
    let hostile = "x\",\"signature\":\"y\",\"count\":1,\"prev\":[\"z\"],\n\"action\":\"HOLD_SET\" \\n {}";
    let requested = prune_request(&facts, &request, &items[0], &items[1..], hostile);
    let records = vec![
        signed(&world, "ada", &requested[0]),
        requested[1].clone(),
        signed(&world, "bob", &purge_approval(&facts, "Bob <bob@example.org>", &request, &items[0], Some(hostile))),
        signed(&world, "ada", &hold_set(&facts, None, &items[1], Some("CASE-7"), "litigation")),
    ];
    let evidence = NewEvidenceFile::build(records, vec![Sha256::ZERO]).unwrap();
    let file = world.at("evidence.jsonl").path;
    std::fs::write(&file, evidence.bytes()).unwrap();
    let read = evidence.records().unwrap();
    for (number, action, who) in [(0, "PRUNE_REQUEST", "ada"), (2, "DELETE_APPROVED", "bob"), (3, "HOLD_SET", "ada")] {
        let done = by_hand(&world, &file, action).exits(0);
        let good = format!("Good \"git-archive-tomb\" signature for {who}@example.org");
        assert!(done.stdout_text().starts_with(&good), "{done}");
        assert_eq!(world.at(".").read_text("statement"), statement(&read[number]).unwrap());
    }
    // They are able to fail.
    let text = std::str::from_utf8(evidence.bytes()).unwrap();
    for (from, to) in [("project", "product"), ("the\\\"", "a\\\""), ("litigation", "nothing"), ("\"2 ", "\"3 ")] {
        assert!(text.contains(from), "{from}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
        let runs = ["PRUNE_REQUEST", "DELETE_APPROVED", "HOLD_SET"].map(|action| by_hand(&world, &file, action).code);
        assert!(runs.iter().any(|code| *code != Some(0)), "{from}");
    }
}
