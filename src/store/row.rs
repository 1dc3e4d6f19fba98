//! A row of a manifest for `batch-store`: some paths, and what is to be said of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bstr::BString;

use super::select::{Request, RowPlace};
use crate::git::excludes;
use crate::item::Reason;
use crate::manifest::{Fields, FromRow, Row};

/// What items are archived as.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Label {
    /// Why they go.
    pub reason: Reason,
    /// Labels, sorted and without repeats.
    pub tags: Vec<String>,
    /// Free facts by name.
    pub metadata: BTreeMap<String, String>,
}

impl Label {
    /// Returns a label, its tags in order.
    pub fn new(reason: Reason, mut tags: Vec<String>, metadata: BTreeMap<String, String>) -> Self {
        tags.sort();
        tags.dedup();
        Self { reason, tags, metadata }
    }
}

/// Some paths, and what is said of them beside what the command says of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRow {
    /// A path, folder or pathspec, as a command line would have it.
    pub path: BString,
    /// Why they go, if not as the command says.
    pub reason: Option<Reason>,
    /// Tags beside those of the command.
    pub tags: Vec<String>,
    /// Facts beside those of the command, or in their place.
    pub metadata: BTreeMap<String, String>,
}

impl FromRow for StoreRow {
    const FIELDS: &'static [&'static str] = &["path", "path_b64", "reason", "tags", "metadata"];

    fn from_row(fields: &mut Fields) -> Option<Self> {
        let path = match (fields.text("path"), fields.text("path_b64")) {
            (Some(path), None) => Some(path.into_bytes()),
            (None, Some(base64)) => {
                let path = BASE64.decode(base64).ok();
                if path.is_none() {
                    fields.refuse("`path_b64` is not Base64");
                }
                path
            }
            (Some(_), Some(_)) => {
                fields.refuse("`path` and `path_b64` are both there");
                None
            }
            (None, None) => {
                fields.refuse("`path` is missing");
                None
            }
        };
        if path.as_ref().is_some_and(|path| path.contains(&0)) {
            fields.refuse("`path` holds a NUL");
        }
        if path.as_ref().is_some_and(|path| excludes(path)) {
            fields.refuse("`path` leaves paths out, and a row is to name some");
        }
        let reason = fields.text("reason").and_then(|text| {
            let reason = text.parse().ok();
            if reason.is_none() {
                let all: Vec<_> = Reason::ALL.iter().map(|reason| format!("`{reason}`")).collect();
                fields.refuse(format!("`reason` is none of {}", all.join(", ")));
            }
            reason
        });
        let (tags, metadata) = (fields.texts("tags"), fields.pairs("metadata"));
        if tags.iter().any(String::is_empty) {
            fields.refuse("`tags` has one that is empty");
        }
        if metadata.contains_key("") {
            fields.refuse("`metadata` has a key that is empty");
        }
        Some(Self { reason, tags, metadata, path: path?.into() })
    }
}

/// Returns what rows ask for, and the labels that they name, given what the command says of all.
///
/// Rows that say the same of the same path are asked for once.
pub(super) fn requests(rows: Vec<Row<StoreRow>>, common: &Label) -> (Vec<Request>, Vec<Label>) {
    let (mut requests, mut labels) = (Vec::new(), Vec::new());
    let mut places: HashMap<Label, usize> = HashMap::new();
    let mut known: HashSet<(BString, usize)> = HashSet::new();
    for Row { number, line, value } in rows {
        let tags = common.tags.iter().cloned().chain(value.tags).collect();
        let mut metadata = common.metadata.clone();
        metadata.extend(value.metadata);
        let label = Label::new(value.reason.unwrap_or(common.reason), tags, metadata);
        let label = *places.entry(label).or_insert_with_key(|label| {
            labels.push(label.clone());
            labels.len() - 1
        });
        if known.insert((value.path.clone(), label)) {
            requests.push(Request { pathspec: value.path, label, row: Some(RowPlace { number, line }) });
        }
    }
    (requests, labels)
}
