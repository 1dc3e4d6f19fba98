//! The rules of `docs/verification.md`, one file per subject.

/// Evidence: it only grows, and what is added is whole.
pub(super) mod ledger;
/// Stubs that disappear.
pub(super) mod removal;
/// Stubs that a commit brings in.
pub(super) mod stubs;
