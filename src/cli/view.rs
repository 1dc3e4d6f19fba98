//! Items as they are printed: one shape for `list` and `show`.

use std::collections::BTreeMap;

use git_archive_tomb::archive::{ItemState, StoredItem};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::id::{ObjectId, Sha256, Tombstone};
use git_archive_tomb::item::{Date, FileMode, JsonPath, Kind, Reason, Referent};
use serde::Serialize;

/// An item in JSON. Absent facts have no key.
#[derive(Debug, Serialize)]
pub(crate) struct ItemView<'a> {
    tombstone: Tombstone,
    repo: &'a str,
    #[serde(flatten)]
    path: PathView,
    sha256: Sha256,
    size_bytes: u64,
    compressed_size: u64,
    commit: ObjectId,
    object: ObjectId,
    mode: FileMode,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime: Option<&'a str>,
    reason: Reason,
    tags: &'a [String],
    metadata: &'a BTreeMap<String, String>,
    refs: &'a [Referent],
    dirty: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    delete_after: Option<Date>,
    legal_hold: bool,
    archived_by: &'a str,
    archived_at: Timestamp,
    state: ItemState,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purged_at: Option<Timestamp>,
}

/// A path in JSON: `path`, or `path_b64` where it is not UTF-8.
#[derive(Debug, Serialize)]
pub(crate) struct PathView {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
}

impl From<JsonPath> for PathView {
    fn from(json: JsonPath) -> Self {
        Self { path: json.path, path_b64: json.path_b64 }
    }
}

impl<'a> From<&'a StoredItem> for ItemView<'a> {
    fn from(stored: &'a StoredItem) -> Self {
        let item = &stored.item;
        Self {
            tombstone: item.tombstone,
            repo: &item.repo,
            path: JsonPath::from(&item.path).into(),
            sha256: item.sha256,
            size_bytes: item.size,
            compressed_size: stored.compressed_size,
            commit: item.commit,
            object: item.object,
            mode: item.mode,
            kind: item.kind,
            language: item.language.as_deref(),
            mime: item.mime.as_deref(),
            reason: item.reason,
            tags: &item.tags,
            metadata: &item.metadata,
            refs: &item.refs,
            dirty: item.dirty,
            delete_after: item.delete_after,
            legal_hold: item.legal_hold,
            archived_by: &item.archived_by,
            archived_at: item.archived_at,
            state: stored.state,
            restored_at: stored.restored_at,
            purged_at: stored.purged_at,
        }
    }
}
