//! Governance: what keeps bytes from being destroyed, and what an auditor is shown.

mod audit_view;
mod residue;
mod statements;
