//! The rules of `docs/verification.md`, one file per subject.

/// Signed checkpoints: their form, and that they stay.
pub(super) mod checkpoints;
/// Evidence: it only grows, and what is added is whole.
pub(super) mod ledger;
/// Stubs that disappear.
pub(super) mod removal;
/// Stubs that a commit brings in.
pub(super) mod stubs;
