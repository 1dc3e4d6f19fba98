//! What a batch leaves in the operations log, and what it finds there when it goes on.

use std::collections::HashMap;
use std::path::Path;

use super::run::{Job, RunOptions};
use crate::archive::Event;
use crate::clock::Timestamp;
use crate::evidence::log::{LogError, records};
use crate::evidence::record::{Action, Level, Record, Source, Status};
use crate::id::{OperationId, Tombstone};
use crate::restore::Delivered;

/// What the operations log tells of a batch.
#[derive(Debug, Default)]
pub struct Before {
    /// Every record of it that there is, in order.
    pub events: Vec<Event>,
    /// How long each row took that is done, by item and output.
    done: HashMap<(Tombstone, String), Took>,
}

/// How long a row took in milliseconds, as far as that is on record.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Took {
    pub(super) all: Option<f64>,
    pub(super) decompression: Option<f64>,
    pub(super) write: Option<f64>,
}

impl Before {
    /// Returns how long the row took that brought `tombstone` to `output` (quoted), if that is done.
    pub(super) fn done(&self, tombstone: Tombstone, output: &str) -> Option<Took> {
        self.done.get(&(tombstone, output.to_owned())).copied()
    }
}

/// Returns what the operations log at `log` tells of batch `op`: the log is ahead of the results file, never behind it.
pub fn done_before(log: &Path, op: OperationId) -> Result<Before, LogError> {
    let mut before = Before::default();
    // Lines that cannot be read are none of ours: those were whole before anything relied on them.
    for entry in records(log)?.into_iter().flatten().flatten().filter(|entry| entry.record.op == op) {
        let record = entry.record;
        if record.action == Action::Restore
            && record.status == Some(Status::Done)
            && let (Some(tombstone), Some(output)) = (record.tombstone, record.output.clone())
        {
            let took = Took { all: record.duration_ms, decompression: record.decompression_ms, write: record.write_ms };
            before.done.insert((tombstone, output), took);
        }
        before.events.extend(Event::from_record(&record).ok());
    }
    Ok(before)
}

/// Returns the record that an item is back; how it came is not known of one that an earlier run put there.
pub(super) fn restored(
    job: &Job,
    options: &RunOptions,
    delivered: Option<&Delivered>,
    duration_ms: f64,
    backend: Option<&str>,
) -> Record {
    let mut record = of_job(Action::Restore, job, options);
    record.status = Some(Status::Done);
    if let Some(delivered) = delivered {
        record.source = Some(delivered.source);
        let from_archive = delivered.source == Source::Archive;
        record.backend = backend.filter(|_| from_archive).map(str::to_owned);
        delivered.measure(&mut record, duration_ms, options.metrics);
    }
    record
}

/// Returns the record that an item could not be brought back.
pub(super) fn failed(job: &Job, options: &RunOptions, error: &str, duration_ms: f64) -> Record {
    let mut record = of_job(Action::RestoreFail, job, options);
    record.level = Level::Error;
    record.status = Some(Status::Failed);
    record.error = Some(error.to_owned());
    record.duration_ms = options.metrics.total(duration_ms);
    record
}

/// Returns the record that the batch begins or ends.
pub(super) fn of_batch(options: &RunOptions, status: Status, count: usize) -> Record {
    let mut record = Record::new(Action::BatchRestore, options.op, Timestamp::now());
    record.actor = Some(options.actor.clone());
    record.status = Some(status);
    record.count = Some(count as u64);
    if status == Status::Failed {
        record.level = Level::Error;
    }
    record
}

fn of_job(action: Action, job: &Job, options: &RunOptions) -> Record {
    let mut record = Record::new(action, options.op, Timestamp::now());
    record.actor = Some(job.actor.clone());
    record.tombstone = Some(job.tombstone);
    record.output = Some(job.output.clone());
    if let Ok(located) = &job.located {
        let wanted = &located.wanted;
        record.repo = Some(wanted.repo.clone());
        record.set_path(&wanted.path);
        record.sha256 = Some(wanted.sha256);
        record.size = Some(wanted.size);
    }
    record
}
