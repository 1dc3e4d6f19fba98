//! Makes genuine stubs and evidence through the writers' own interfaces, as small as can be.

use crate::clock::Timestamp;
use crate::evidence::record::{Action, Record, Status};
use crate::evidence::writer::NewEvidenceFile;
use crate::id::{ObjectId, OperationId, Sha256, Tombstone};
use crate::item::{FileMode, Reason, RepoPath};
use crate::stub::{Stub, Style, Template, Templates, classify};

/// What is to be archived.
#[derive(Clone)]
pub(super) struct Original {
    pub(super) path: &'static str,
    pub(super) bytes: Vec<u8>,
    /// What stub and record say of the bytes' number.
    pub(super) size: u64,
    pub(super) object: ObjectId,
    pub(super) commit: ObjectId,
}

impl Original {
    pub(super) fn new(path: &'static str, bytes: &[u8], object: ObjectId, commit: ObjectId) -> Self {
        Self { path, bytes: bytes.to_vec(), size: bytes.len() as u64, object, commit }
    }
}

/// One operation's evidence file and stubs.
pub(super) struct Written {
    pub(super) evidence: NewEvidenceFile,
    pub(super) records: Vec<Record>,
    pub(super) stubs: Vec<(RepoPath, String)>,
    pub(super) tombstones: Vec<Tombstone>,
}

pub(super) fn path(text: &str) -> RepoPath {
    RepoPath::try_new(text).expect("is a path")
}

/// Returns a moment that is `second` seconds after a fixed one.
pub(super) fn moment(second: u32) -> Timestamp {
    Timestamp::from_millisecond(1_760_707_356_000 + i64::from(second) * 1000).expect("is in range")
}

fn record(action: Action, second: u32) -> Record {
    let op: OperationId = format!("0199f1a2-0000-7000-8000-{second:012}").parse().expect("is an id");
    Record::new(action, op, moment(second))
}

/// Archives, with `change` made to each record before it is written.
pub(super) fn archive_with(
    second: u32,
    originals: &[Original],
    heads: &[Sha256],
    change: impl Fn(&mut Record),
) -> Written {
    let template = Template::parse("text.comment", "# git-archive-tomb stub v1\n# @fields@\n").expect("is a template");
    write(second, originals, heads, |_| &template, change)
}

/// Archives as `store` does, each file with the template of its kind.
pub(super) fn archive_by_kind(second: u32, originals: &[Original], heads: &[Sha256]) -> Written {
    let templates = Templates::built_in();
    let choose = |original: &Original| {
        let at = path(original.path);
        templates.choose(&at, &classify(&at, &original.bytes), Style::Auto)
    };
    write(second, originals, heads, choose, |_| ())
}

fn write<'t>(
    second: u32,
    originals: &[Original],
    heads: &[Sha256],
    template: impl Fn(&Original) -> &'t Template,
    change: impl Fn(&mut Record),
) -> Written {
    let mut stubs = Vec::new();
    let mut records = Vec::new();
    for original in originals {
        let sha256 = Sha256::of(&original.bytes);
        let stub = Stub {
            path: path(original.path),
            tombstone: Tombstone::derive("widgets", original.path.as_bytes(), &original.commit, &sha256),
            sha256,
            size: original.size,
            mode: FileMode::Regular,
            object: original.object,
            repo: "widgets".to_owned(),
            commit: original.commit,
            reason: Reason::Dead,
            archived_by: "A <a@example.org>".to_owned(),
            archived_at: moment(second),
            evidence: Sha256::ZERO,
        };
        let mut record = record(Action::Archive, second);
        record.actor = Some(stub.archived_by.clone());
        record.repo = Some(stub.repo.clone());
        record.set_path(&stub.path);
        record.tombstone = Some(stub.tombstone);
        record.sha256 = Some(sha256);
        record.size = Some(stub.size);
        record.object = Some(stub.object);
        record.mode = Some(stub.mode);
        record.commit = Some(stub.commit);
        record.reason = Some(stub.reason.to_string());
        record.stub = Some(template(original).render(&stub).expect("is short").digest);
        record.status = Some(Status::Stored);
        change(&mut record);
        records.push(record);
        stubs.push(stub);
    }
    let evidence = NewEvidenceFile::build(records.clone(), heads.to_vec()).expect("is valid");
    let tombstones = stubs.iter().map(|stub| stub.tombstone).collect();
    let stubs = stubs
        .into_iter()
        .zip(originals)
        .map(|(stub, original)| {
            let stub = Stub { evidence: *evidence.sha256(), ..stub };
            (stub.path.clone(), template(original).render(&stub).expect("is short").text)
        })
        .collect();
    Written { evidence, records, stubs, tombstones }
}

pub(super) fn archive(second: u32, originals: &[Original], heads: &[Sha256]) -> Written {
    archive_with(second, originals, heads, |_| ())
}

/// Writes down that an item was restored, or that something else was done to it.
pub(super) fn account(action: Action, second: u32, tombstone: Tombstone) -> NewEvidenceFile {
    let mut record = record(action, second);
    record.tombstone = Some(tombstone);
    record.status = Some(Status::Done);
    NewEvidenceFile::build(vec![record], Vec::new()).expect("is valid")
}
