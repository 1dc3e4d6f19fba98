//! Holds, approvals and purges: what keeps bytes, and what is left of them.

mod keys;
pub(crate) mod place;
mod races;
mod truth_table;
