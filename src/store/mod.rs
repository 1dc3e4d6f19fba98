//! `store`: takes paths out of the tree and into the archive.
//!
//! [`plan`](plan()) decides what would be archived and what is refused, and changes nothing; [`Store`] carries a plan
//! out as an [operation](crate::operation). A [`StoreRow`] is what a manifest says of some paths; `select` finds out which
//! paths those are.

mod execute;
mod plan;
mod records;
mod refusal;
mod row;
mod select;
mod written;

pub use execute::{PurgedPath, Store, StoreError, check_purged};
pub use plan::{PlanError, Planned, PlannedItem, SkippedPath, StorePlan, plan, plan_rows};
pub use refusal::{Refusal, RefusalReason};
pub use row::{Label, StoreRow};

use std::collections::BTreeMap;

use crate::item::{Date, Kind, Reason, Referent};
use crate::stub::Style;

/// What the user asked to be recorded with the items, and how.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent choices, each with a name of its own")]
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
    /// Whether bytes come back that were destroyed on purpose.
    pub allow_purged: bool,
    /// What the stubs are like.
    pub style: Style,
    /// Whether to archive only and leave the paths as they are.
    pub keep: bool,
    /// Whether locally modified files are archived as they stand.
    pub allow_dirty: bool,
    /// Whether files in conflict are archived as the commit has them: the caller sees to the conflict.
    pub in_conflict: bool,
    /// Whether the plan is only to be looked at: not even the bytes of a locally modified file are written to git.
    pub dry_run: bool,
}
