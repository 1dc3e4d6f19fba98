//! One row of a manifest for `batch-restore`.

use crate::id::Tombstone;
use crate::manifest::{Fields, FromRow};

/// The longest name of an actor in bytes, as everywhere.
const MAX_ACTOR: usize = 1024;

/// An item, and where it is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRow {
    /// The item.
    pub tombstone: Tombstone,
    /// Where it is to go, as the manifest says; on a branch it may be left out.
    pub output: Option<String>,
    /// Who wants it back, if not whoever runs the batch.
    pub actor: Option<String>,
}

impl FromRow for RestoreRow {
    const FIELDS: &'static [&'static str] = &["tombstone", "output", "actor"];

    fn from_row(fields: &mut Fields) -> Option<Self> {
        let (tombstone, output) = (fields.required("tombstone"), fields.text("output"));
        let actor = fields.text("actor").map(|actor| actor.trim().to_owned());
        if actor
            .as_ref()
            .is_some_and(|actor| actor.is_empty() || actor.len() > MAX_ACTOR || actor.chars().any(char::is_control))
        {
            fields.refuse("`actor` is not a name");
        }
        let parsed = tombstone?.parse().ok();
        if parsed.is_none() {
            // A prefix that means one item today may mean two when the manifest is used again.
            fields.refuse("`tombstone` is not a whole tombstone (`git archive-tomb list` prints them)");
        }
        Some(Self { tombstone: parsed?, output, actor })
    }
}
