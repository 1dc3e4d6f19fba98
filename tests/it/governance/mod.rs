//! Governance: what keeps bytes from being destroyed, and what an auditor is shown.

mod audit_view;
mod people;
mod proof;
mod report;
mod residue;
mod statements;
