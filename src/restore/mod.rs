//! `restore`: gives items back.
//!
//! A [`Target`] is what the user names; [`locate_in`] finds the items it means, from stubs, the archive and evidence;
//! [`Sources`] delivers their bytes; [`InPlace`] puts them back into the tree, the working one or that of a new branch, as an
//! [operation](crate::operation), and [`to_file`] anywhere else.

mod branch;
mod elsewhere;
mod in_place;
mod locate;
mod source;

pub use branch::{Base, BranchItem, BranchOptions, BranchPlanError, PlannedCommit, plan_branch};
pub use elsewhere::{ElsewhereError, Written, to_file, to_writer};
pub use in_place::{InPlace, InPlaceError, PlanError, PlannedRestore, RestoreOptions, RestorePlan, plan};
pub use locate::{LocateError, Located, StubPlace, Target, locate_in, path_below_top};
pub use source::{Delivered, SourceError, Sources, Wanted, find_in_history, find_recorded};
