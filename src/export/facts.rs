//! What an archive holds, as canonical lines.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::archive::{Approval, Archive, ArchiveError, ItemState, KnownItem, Purpose};
use crate::clock::Timestamp;
use crate::id::{ObjectId, OperationId, Sha256, Sha256Hasher, Tombstone};
use crate::item::{Date, FileMode, JsonPath, Kind, Reason, Referent};

/// The format of an export. A reader of another version does not read it.
const SCHEMA: &str = "archive-export/1";

/// Why it could not be said what an archive holds.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The archive failed, or is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The lines could not be written.
    #[error("cannot write down what the archive holds")]
    Write(#[from] io::Error),
}

/// The facts of an archive, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Facts {
    schema: &'static str,
    /// How many items there are, in every state.
    pub items: u64,
    /// How many events there are.
    pub events: u64,
    /// The digest of the items' lines.
    pub items_sha256: Sha256,
    /// The digest of the events' lines.
    pub events_sha256: Sha256,
}

impl Facts {
    /// Returns the text of `manifest.json`.
    pub fn manifest(&self) -> String {
        let mut text = serde_json::to_string(self).expect("counts and digests are JSON");
        text.push('\n');
        text
    }

    /// Returns the digest of the export: the SHA-256 of its manifest.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.manifest().as_bytes())
    }
}

/// The line of an item. The order of the fields is frozen: it is hashed.
#[derive(Serialize)]
struct ItemLine<'a> {
    tombstone: Tombstone,
    sha256: Sha256,
    size: u64,
    mode: FileMode,
    repo: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
    commit: ObjectId,
    object: ObjectId,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime: Option<&'a str>,
    reason: Reason,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    refs: &'a [Referent],
    #[serde(skip_serializing_if = "is_false")]
    dirty: bool,
    #[serde(skip_serializing_if = "is_false")]
    legal_hold: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_after: Option<Date>,
    archived_by: &'a str,
    archived_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purged_at: Option<Timestamp>,
    state: ItemState,
    op: OperationId,
    origin: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    approvals: Vec<ApprovalLine<'a>>,
}

#[derive(Serialize)]
struct ApprovalLine<'a> {
    purpose: Purpose,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    approver: &'a str,
    approved_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_at: Option<Timestamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn line(known: &KnownItem) -> String {
    let stored = &known.stored;
    let item = &stored.item;
    let path = JsonPath::from(&item.path);
    let line = ItemLine {
        tombstone: item.tombstone,
        sha256: item.sha256,
        size: item.size,
        mode: item.mode,
        repo: &item.repo,
        path: path.path,
        path_b64: path.path_b64,
        commit: item.commit,
        object: item.object,
        kind: item.kind,
        language: item.language.as_deref(),
        mime: item.mime.as_deref(),
        reason: item.reason,
        tags: &item.tags,
        metadata: &item.metadata,
        refs: &item.refs,
        dirty: item.dirty,
        legal_hold: item.legal_hold,
        delete_after: item.delete_after,
        archived_by: &item.archived_by,
        archived_at: item.archived_at,
        restored_at: stored.restored_at,
        purged_at: stored.purged_at,
        state: stored.state,
        op: stored.op,
        origin: &stored.origin,
        approvals: known.approvals.iter().map(ApprovalLine::from).collect(),
    };
    let mut text = serde_json::to_string(&line).expect("texts and numbers are JSON");
    text.push('\n');
    text
}

impl<'a> From<&'a Approval> for ApprovalLine<'a> {
    fn from(approval: &'a Approval) -> Self {
        Self {
            purpose: approval.purpose,
            request: approval.request.as_deref(),
            approver: &approval.approver,
            approved_at: approval.approved_at,
            consumed_at: approval.consumed_at,
        }
    }
}

/// Says what `archive` holds: a line per item to `items`, in the order of the tombstones, and the lines of the events to
/// `events`, in the order in which they came. `visit` is shown every item. Memory is bounded.
pub fn facts(
    archive: &mut dyn Archive,
    items: &mut dyn Write,
    events: &mut dyn Write,
    visit: &mut dyn FnMut(&KnownItem) -> io::Result<()>,
) -> Result<Facts, FactsError> {
    let mut hasher = Sha256Hasher::new();
    let (mut count, mut last) = (0, None);
    loop {
        let page = archive.items_page(last.as_ref())?;
        let Some(end) = page.last() else { break };
        last = Some(end.stored.item.tombstone);
        count += page.len() as u64;
        for known in &page {
            let line = line(known);
            hasher.update(line.as_bytes());
            items.write_all(line.as_bytes())?;
            visit(known)?;
        }
    }
    let items_sha256 = hasher.finish();

    let mut hasher = Sha256Hasher::new();
    let (mut events_count, mut last) = (0, 0);
    loop {
        let page = archive.events_page(last)?;
        let Some((end, _)) = page.last() else { break };
        last = *end;
        events_count += page.len() as u64;
        for (_, event) in &page {
            hasher.update(event.line.as_bytes());
            events.write_all(event.line.as_bytes())?;
        }
    }
    Ok(Facts { schema: SCHEMA, items: count, events: events_count, items_sha256, events_sha256: hasher.finish() })
}
