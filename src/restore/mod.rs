//! `restore`: gives items back.
//!
//! A [`Target`] is what the user names; [`locate_in`] finds the items it means, from stubs, the archive and evidence;
//! [`Sources`] delivers their bytes; [`InPlace`] puts them back into the tree, the working one or that of a new branch, as an
//! [operation](crate::operation), [merged](merge()) with what was made of their files elsewhere if that is wanted, and
//! [`to_file`] anywhere else.

mod branch;
mod closed;
mod elsewhere;
mod in_place;
mod locate;
mod merge;
mod source;

pub use branch::{Base, BranchItem, BranchOptions, BranchPlanError, PlannedCommit, check_branch_name, plan_branch};
pub use closed::Closed;
pub(crate) use closed::{Way, Ways};
pub(crate) use elsewhere::{Beside, Standing, look_at, write_beside};
pub use elsewhere::{ElsewhereError, Written, to_file, to_writer};
pub(crate) use in_place::record;
pub use in_place::{InPlace, InPlaceError, Instead, PlanError, PlannedRestore, RestoreOptions, RestorePlan, plan};
pub(crate) use locate::confirm;
pub use locate::{LocateError, Located, StubPlace, Target, locate_in, locate_tombstones, path_below_top};
pub use merge::{MergeError, MergedItem, merge};
pub use source::{Absence, Delivered, SourceError, Sources, Wanted, find_in_history, find_recorded};
