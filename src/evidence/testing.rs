//! Records for the tests of this module.

use crate::clock::Timestamp;
use crate::id::{ObjectId, OperationId, Sha256, Tombstone};
use crate::item::{FileMode, Kind, Referent, RepoPath};

use super::record::{Action, Level, Record, Source, Status};
use super::writer::NewEvidenceFile;

pub(super) fn op(number: u64) -> OperationId {
    format!("0199f1a2-0000-7000-8000-{number:012x}").parse().expect("is an operation id")
}

/// Returns the record of archiving file `number` in operation `operation`.
pub(super) fn record(operation: u64, number: u64) -> Record {
    let millisecond = 1_760_707_356_120 + i64::try_from(operation).expect("is small");
    let ts = Timestamp::from_millisecond(millisecond).expect("is in range");
    let mut record = Record::new(Action::Archive, op(operation), ts);
    let path = RepoPath::try_new(format!("src/legacy/file{number}.py")).expect("is a path");
    let commit: ObjectId = "0123456789012345678901234567890123456789".parse().expect("is an object id");
    let sha256 = Sha256::of(&number.to_be_bytes());
    record.actor = Some("A <a@example.org>".to_owned());
    record.tombstone = Some(Tombstone::derive("repo", path.as_bytes(), &commit, &sha256));
    record.set_path(&path);
    record.sha256 = Some(sha256);
    record.size = Some(number);
    record
}

pub(super) fn records(operation: u64, count: u64) -> Vec<Record> {
    (1..=count).map(|number| record(operation, number)).collect()
}

pub(super) fn file(operation: u64, count: u64, heads: Vec<Sha256>) -> NewEvidenceFile {
    NewEvidenceFile::build(records(operation, count), heads).expect("makes an evidence file")
}

/// Returns a record with every key; not valid, as `path` and `path_b64` exclude each other.
pub(super) fn record_with_every_key() -> Record {
    let mut record = record(1, 1);
    let date = "2027-01-31".parse().expect("is a date");
    let text = || Some("text".to_owned());
    record.level = Level::Warn;
    record.repo = text();
    record.path_b64 = Some("Y2Fm6Q==".to_owned());
    record.compressed_size = Some(1);
    record.object = Some("0123456789012345678901234567890123456789".parse().expect("is an object id"));
    record.mode = Some(FileMode::Regular);
    record.commit = record.object;
    record.kind = Some(Kind::Code);
    record.language = text();
    record.mime = text();
    record.reason = text();
    record.tags = vec!["tag".to_owned()];
    record.metadata.insert("key".to_owned(), "value".to_owned());
    record.refs = vec![Referent { kind: "pr".to_owned(), value: "1".to_owned() }];
    record.dirty = true;
    record.delete_after = Some(date);
    record.legal_hold = true;
    record.stub = record.sha256;
    record.backend = text();
    record.status = Some(Status::Stored);
    record.source = Some(Source::Archive);
    record.output = text();
    record.request = text();
    record.second = text();
    record.name = text();
    record.signature = text();
    record.attempt = Some(1);
    record.error = text();
    record.duration_ms = Some(245.0);
    record.decompression_ms = Some(0.5);
    record.write_ms = Some(1.25);
    record.count = Some(1);
    record.prev = vec![Sha256::of(b"")];
    record
}
