//! A plan as a journal has it, of this version or the one before.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Label, PlannedItem, SkippedPath, StorePlan};
use crate::change::FileChange;
use crate::id::ObjectId;
use crate::item::{Date, Reason, Referent};
use crate::operation::Facts;
use crate::restore::Wanted;
use crate::stub::Style;

/// What is read, before it is known to make sense.
#[derive(Deserialize)]
pub(super) struct WrittenPlan {
    facts: Facts,
    commit: ObjectId,
    /// `None` in journals of version 1, where all items had one label, written out in the plan.
    labels: Option<Vec<Label>>,
    reason: Option<Reason>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    refs: Vec<Referent>,
    delete_after: Option<Date>,
    legal_hold: bool,
    #[serde(default)]
    allow_purged: bool,
    keep: bool,
    style: Style,
    items: Vec<PlannedItem>,
    skipped: Vec<SkippedPath>,
    #[serde(default)]
    replaced: Vec<Wanted>,
    #[serde(default)]
    also: Vec<FileChange>,
}

/// Why what is read is no plan.
#[derive(Debug, thiserror::Error)]
pub(super) enum WrittenError {
    /// A plan without any.
    #[error("the plan says nothing of why the paths go")]
    NoLabel,
    /// A path has one that is not there.
    #[error("the plan lacks what a path is archived as")]
    UnknownLabel,
}

impl TryFrom<WrittenPlan> for StorePlan {
    type Error = WrittenError;

    fn try_from(written: WrittenPlan) -> Result<Self, WrittenError> {
        let labels = match (written.labels, written.reason) {
            (Some(labels), _) => labels,
            (None, Some(reason)) => vec![Label { reason, tags: written.tags, metadata: written.metadata }],
            (None, None) => return Err(WrittenError::NoLabel),
        };
        let (items, skipped) = (written.items, written.skipped);
        let mut named = items.iter().map(|item| item.label).chain(skipped.iter().map(|skipped| skipped.label));
        if named.any(|label| label >= labels.len()) {
            return Err(WrittenError::UnknownLabel);
        }
        Ok(Self {
            facts: written.facts,
            commit: written.commit,
            labels,
            refs: written.refs,
            delete_after: written.delete_after,
            legal_hold: written.legal_hold,
            allow_purged: written.allow_purged,
            keep: written.keep,
            style: written.style,
            items,
            skipped,
            replaced: written.replaced,
            also: written.also,
        })
    }
}
