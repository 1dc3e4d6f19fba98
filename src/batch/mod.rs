//! Many items at once: what `batch-restore` does with a manifest's rows.
//!
//! In the story of a batch [`check_outputs`] says which rows cannot be, before anything is asked or written; the items are located all at once; [`run`] brings them back in parallel, each as `restore` would, records what became of each, and keeps
//! the [`Results`] whole at every moment. A batch that was stopped goes on from there and from the operations log
//! ([`done_before`]). The formats and the order of writes are specified in `docs/batch.md`.

#[cfg(test)]
mod fixtures;
mod lock;
mod log;
mod outputs;
mod results;
mod row;
mod run;
mod work;

pub use lock::BatchLock;
pub use log::{Before, done_before};
pub use outputs::{Ground, check_outputs, check_repo_paths};
pub use results::{ItemResult, Results, ResultsError, ResultsFile, RowEcho, RowStatus, Summary};
pub use row::RestoreRow;
pub use run::{BatchContext, BatchError, Job, Outcome, RunOptions, Told, run};
