//! An archive as plain files, and the digest that two archives share if they hold the same.
//!
//! `docs/export.md` specifies both. [`facts`] says in canonical lines what an archive holds; [`export`] writes these
//! lines and the bytes behind them into a folder, which needs nothing of this program to be read.

mod facts;
mod folder;

pub use facts::{Facts, FactsError, facts};
pub use folder::{ExportError, Exported, export};
pub(crate) use folder::{build, described, synced};
