//! People with keys, and records of governance that they sign with the real `ssh-keygen`.

use std::path::PathBuf;

use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::format::EvidenceFileName;
use git_archive_tomb::evidence::record::Record;
use git_archive_tomb::evidence::writer::NewEvidenceFile;
use git_archive_tomb::governance::record::Subject;
use git_archive_tomb::id::{OperationId, Sha256};
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::operation::Facts;
use git_archive_tomb::signature::{AllowedSigners, Key, Signer};

pub(super) use crate::common::keys::key;
use crate::common::{Repo, World, keys};

/// Writes a file of allowed signers with these people, whom it makes `name@example.org`.
pub(super) fn allow(world: &World, people: &[&str]) -> PathBuf {
    let people: Vec<(&str, &str)> = people.iter().map(|name| (*name, "")).collect();
    keys::allow(world, "allowed_signers", &people)
}

/// Signs a record that `make` makes of an operation and the item archived at `path`, in a person's name, and stages it as
/// evidence.
pub(super) fn record(
    repo: &Repo<'_>,
    person: &str,
    path: &str,
    make: impl FnOnce(&Facts, &Subject) -> Record,
) -> Record {
    let tombstone = repo.tombstone_at(path);
    let shown = repo.tomb_ok(&["show", "--json", &tombstone]).json().remove(0);
    let subject = Subject {
        repo: shown["repo"].as_str().unwrap().to_owned(),
        path: RepoPath::try_new(path).unwrap(),
        tombstone: tombstone.parse().unwrap(),
        sha256: shown["sha256"].as_str().unwrap().parse().unwrap(),
    };
    let facts = Facts {
        op: OperationId::generate(),
        started: Timestamp::now(),
        actor: format!("{person}@example.org"),
        repo: subject.repo.clone(),
    };
    let mut record = make(&facts, &subject);
    let program = "ssh-keygen".into();
    let signers = AllowedSigners { program, file: allow(repo.world, &["ada", "bob", "eve"]), revoked: None };
    let signer = Signer { program: "ssh-keygen".into(), key: Key::File(key(repo.world, person)) };
    git_archive_tomb::governance::sign(&mut record, &signer, &signers, false).unwrap();
    let files = repo.git(&["ls-files", ".codex/evidence/ops"]);
    let named: Vec<String> = files.lines().map(|file| repo.read_text(file)).collect();
    let digest = |text: &String| Sha256::of(text.as_bytes());
    let heads = named.iter().map(digest).filter(|sum| !named.iter().any(|text| text.contains(&sum.to_string())));
    let file = NewEvidenceFile::build(vec![record.clone()], heads.collect()).unwrap();
    assert!(EvidenceFileName::parse_path(&file.path()).is_ok());
    repo.write(file.path().to_string(), file.bytes());
    repo.commit_all("governed");
    record
}
