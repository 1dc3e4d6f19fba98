//! `store`: takes paths out of the tree and into the archive.
//!
//! [`plan`](plan()) decides what would be archived and what is refused, and changes nothing; [`Store`] carries a plan
//! out as an [operation](crate::operation).

mod execute;
mod plan;
mod records;
mod refusal;

use std::collections::BTreeMap;

pub use execute::{Store, StoreError};
pub use plan::{PlanError, PlannedItem, SkippedPath, StorePlan, plan};
pub use refusal::{Refusal, RefusalReason};

use crate::item::{Date, Kind, Reason, Referent};
use crate::stub::Style;

/// What the user asked to be recorded with the items, and how.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The revision whose tree is read.
    pub commit: String,
    /// The repository's name in the records.
    pub repo: String,
    /// Who archives.
    pub actor: String,
    /// Why the paths go.
    pub reason: Reason,
    /// The kind, where it is not to be guessed from the path.
    pub kind: Option<Kind>,
    /// The language, where it is not to be guessed from the path.
    pub language: Option<String>,
    /// The media type, where it is not to be guessed from the path.
    pub mime: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// Free facts by name.
    pub metadata: BTreeMap<String, String>,
    /// Pointers elsewhere.
    pub refs: Vec<Referent>,
    /// The day before which the bytes should not be destroyed.
    pub delete_after: Option<Date>,
    /// Whether to put the items under a legal hold.
    pub legal_hold: bool,
    /// What the stubs are like.
    pub style: Style,
    /// Whether to archive only and leave the paths as they are.
    pub keep: bool,
    /// Whether locally modified files are archived as they stand.
    pub allow_dirty: bool,
    /// Whether files in conflict are archived as the commit has them: the caller sees to the conflict.
    pub in_conflict: bool,
}
