//! Governance: who may have bytes destroyed or handed out, what keeps them, and how that is proved.
//!
//! A [`record`] of governance is made, [`sign`]ed over its [`statement()`] and kept as evidence and as an event. [`evidence`]
//! finds the records of a content in a repository, the [`ledger`] says what they add up to, and the [`rules`] judge by it.
//! What databases keep of destroyed bytes is in [`remains`]. All but `evidence` and the signatures is pure. Specified in `docs/governance.md`.

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

pub use obstacle::{Obstacle, Void};
pub use person::{Person, distinct};
pub use signing::{SigningError, Standing, Verdicts, Verifier, sign};
pub use statement::statement;

#[cfg(test)]
mod tests;
