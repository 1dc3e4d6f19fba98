//! Governance: what keeps bytes from being destroyed, and what an auditor is shown.

mod audit_view;
mod commands;
mod holds;
mod keys;
mod people;
pub(crate) mod place;
mod proof;
mod purges;
mod races;
mod report;
mod residue;
mod restore_approvals;
mod servers;
mod signed;
mod statements;
mod truth_table;
