//! Governance: who may have bytes destroyed or handed out, what keeps them, and how that is proved.
//!
//! A [`record`] of governance is made, [`sign`]ed over its [`statement()`] and kept as evidence and as an event. [`evidence`]
//! finds the records of a content in a repository, the [`ledger`] says what they add up to, and the [`rules`] judge by it.
//! What people do then are [`acts`], [`clearance`] is asked before bytes are handed out, [`due`] looks at dates, [`unfounded`]
//! finds purges that were made by other rules, and [`remains`] has what databases keep
//! of destroyed ones. All but these, `evidence` and the signatures is pure. Specified in `docs/governance.md`.

pub mod acts;
pub mod clearance;
pub mod due;
mod error;
pub mod evidence;
pub mod ledger;
mod obstacle;
pub mod overview;
mod person;
pub mod record;
pub mod remains;
pub mod rules;
mod signing;
mod statement;
pub mod story;
pub mod unfounded;

pub use error::GovernanceError;
pub use obstacle::{Obstacle, Void};
pub use person::{Person, distinct};
pub use signing::{SigningError, Standing, Verdicts, Verifier, sign};
pub use statement::statement;

#[cfg(test)]
mod tests;
