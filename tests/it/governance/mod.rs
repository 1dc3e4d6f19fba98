//! Governance: what keeps bytes from being destroyed, and what an auditor is shown.

mod audit_view;
mod commands;
mod holds;
mod people;
mod proof;
mod purges;
mod report;
mod residue;
mod restore_approvals;
mod signed;
mod statements;
