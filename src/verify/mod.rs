//! Verification: whether what git holds proves that nothing was lost.
//!
//! The rules of `docs/verification.md` look at *steps*: a commit, or what is staged, with an edge to each parent
//! (`step`). They are written against small traits (`snapshot`), so that tests hold them to their definitions in
//! memory; `git` binds them to a repository. With the writers they share the formats of stub and evidence and
//! nothing else. A [`Report`] comes out, which [`render`] turns into text.
//!
//! Nothing here writes or reads the working tree, and but for [`deepen`] nothing connects to anything.

mod deep;
mod evidence;
mod git;
mod names;
pub mod render;
mod report;
mod rules;
mod scope;
mod snapshot;
mod step;
#[cfg(test)]
mod tests;

pub use deep::{DeepError, deepen};
pub use report::{Checked, Finding, Report, Rule, Severity};
pub use scope::{Options, Scope, VerifyError, verify};
