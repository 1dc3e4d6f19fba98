//! Brings the items of a batch back, and keeps account of them.
//!
//! One thread, the caller's, waits for those that do the work. It alone writes log and results, in the order that
//! `docs/batch.md` gives, and it never waits for a server, so that no server can keep it from noticing that time is up.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::debug;

use super::log::{self, Before};
use super::results::{ItemResult, Results, ResultsError, ResultsFile, RowStatus, rounded};
use super::work::{self, End, Message, Ticket, Work};
use crate::archive::{ArchiveError, Event, Pool};
use crate::causes::in_one_line;
use crate::clock::{Stopwatch, Timestamp};
use crate::config::Performance;
use crate::evidence::log::{LogError, OperationsLog};
use crate::evidence::record::{Action, Record, RecordError, Source, Status};
use crate::fault;
use crate::fs;
use crate::git::Repository;
use crate::id::{OperationId, Tombstone};
use crate::redact::Redactor;
use crate::restore::Located;

/// How long is waited for news before it is asked whether the user wants an end.
const TICK: Duration = Duration::from_millis(50);

/// The shortest time between two writings of the results file.
const RESULTS_PAUSE: Duration = Duration::from_millis(500);

/// How many times as long as a writing of the results file took is waited before the next.
const RESULTS_SHARE: u32 = 20;

/// How many events go to the archive at a time.
const EVENTS: usize = 512;

/// How many threads may hang at the same time. Where more do, nothing is to be hoped for from the archive.
const MOST_HANGING: usize = 32;

/// How long an interrupted batch waits for its events to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest error in characters that records and results carry.
const MAX_ERROR: usize = 1000;

/// One row that is to be done.
#[derive(Debug)]
pub struct Job {
    /// The row's number, from 1.
    pub row: usize,
    /// The item.
    pub tombstone: Tombstone,
    /// What is known of it; or why it does not come back.
    pub located: Result<Located, String>,
    /// Where it goes.
    pub path: PathBuf,
    /// The same as the manifest says, quoted as git quotes paths.
    pub output: String,
    /// Who wants it back.
    pub actor: String,
}

/// What is asked of a batch.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The batch.
    pub op: OperationId,
    /// Who runs it.
    pub actor: String,
    /// What is measured.
    pub metrics: Performance,
    /// How many items are worked on at the same time.
    pub threads: usize,
    /// How long one item may take.
    pub timeout: Duration,
    /// Whether to go on after an item that failed.
    pub continue_on_error: bool,
    /// Whether any file at an output may be replaced.
    pub force: bool,
    /// Where bytes may come from, if not from everywhere.
    pub only: Option<Source>,
    /// Whether an earlier run of this batch was stopped.
    pub resumed: bool,
}

/// What a batch works with.
pub struct BatchContext<'a> {
    /// The repository, for what only its history has.
    pub repository: &'a Repository,
    /// The archive, if there is one, and its kind.
    pub pool: Option<(Pool<'static>, &'static str)>,
    /// Where the operations log is.
    pub log: &'a Path,
    /// Knows what must not be in errors.
    pub redactor: &'a Redactor,
    /// Set when the user wants an end.
    pub interrupted: &'a AtomicBool,
    /// Is told how it goes.
    pub tell: &'a mut dyn FnMut(Told<'_>),
}

/// What is told while a batch runs.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// A row failed.
    Failed {
        /// Its number.
        row: usize,
        /// Why.
        error: &'a str,
    },
    /// So many rows are behind us, rows before the first that is wanted and rows done by an earlier run included.
    Progress {
        /// How many.
        done: usize,
    },
}

/// How a batch ended.
#[derive(Debug)]
pub struct Outcome {
    /// Whether the user wanted an end before all was done.
    pub interrupted: bool,
    /// Why the archive's events do not tell of it all; the operations log does.
    pub unrecorded: Option<String>,
}

/// Why a batch broke off. What was done is at its outputs; what is missing from log and results is found there.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The operations log could not be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The results could not be written.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// A record could not be made.
    #[error("cannot record what was done")]
    Record(#[from] RecordError),
    /// What was put in place is not durable.
    #[error("cannot make what is at `{}` durable", path.display())]
    Sync {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// Brings the items of `jobs` back; `results`, kept in `file`, and what log and archive are told say what became of each.
///
/// What `before` tells, and what `results` has as done, is not done again.
pub fn run(
    context: BatchContext<'_>,
    options: &RunOptions,
    jobs: Vec<Job>,
    results: &mut Results,
    file: &ResultsFile,
    before: Before,
) -> Result<Outcome, BatchError> {
    let watch = Stopwatch::start();
    let todo = take_over(results, &jobs, &before);
    let (pool, backend) = match context.pool {
        Some((pool, backend)) => (Some(Arc::new(pool)), Some(backend)),
        None => (None, None),
    };
    let recorder =
        pool.as_ref().map(|pool| Recorder::start(Arc::clone(pool))).transpose().map_err(BatchError::Thread)?;
    let work = Arc::new(Work::new(context.repository.reopen(), pool, options, jobs));
    let (sender, messages) = channel();
    let mut foreman = Foreman {
        options,
        log: context.log,
        redactor: context.redactor,
        interrupted: context.interrupted,
        tell: context.tell,
        backend,
        behind: results.items.len() - todo.len(),
        earlier_ms: results.duration_ms,
        watch,
        work,
        results,
        file,
        written: Instant::now(),
        pause: RESULTS_PAUSE,
        recorder,
        events: Vec::new(),
        sender,
        running: HashMap::new(),
        live: 0,
        hanging: HashMap::new(),
        started: 0,
    };
    foreman.results.finished_at = None;
    foreman.write_results()?;
    fault::point("batch-results");
    foreman.events.extend(before.events);
    foreman.record(&[log::of_batch(options, Status::Intent, todo.len())])?;
    fault::point("batch-intent");
    if options.resumed {
        for job in &todo {
            // Left by a run that was killed. Where it cannot be removed now, writing there says why.
            let _ = fs::remove_if_there(&foreman.work.left_over(&foreman.work.jobs[*job]));
        }
    }
    let worked = foreman.work_off(todo, &messages);
    let wound_up = foreman.wind_up(&messages);
    foreman.end(worked.and(wound_up))
}

/// Takes over what earlier runs did, and returns the numbers of the jobs that are left.
fn take_over(results: &mut Results, jobs: &[Job], before: &Before) -> Vec<usize> {
    let mut todo = Vec::new();
    for (job, number) in jobs.iter().zip(0..) {
        let result = &mut results.items[job.row - 1];
        if result.status == RowStatus::Success || job.row < results.first_row {
            continue;
        }
        let took = before.done(job.tombstone, &job.output);
        let status = if took.is_some() { RowStatus::Success } else { RowStatus::Skipped };
        let took = took.unwrap_or_default();
        *result = ItemResult {
            item: result.item.clone(),
            status,
            duration_ms: took.all,
            decompression_ms: took.decompression,
            write_ms: took.write,
            attempts: u64::from(status == RowStatus::Success),
            error: None,
        };
        if status == RowStatus::Skipped {
            todo.push(number);
        }
    }
    todo
}

/// A thread at work.
struct Running {
    job: usize,
    ticket: Arc<Ticket>,
    run: work::Run,
    since: Instant,
}

/// Who waits for the threads and keeps account.
struct Foreman<'a> {
    options: &'a RunOptions,
    log: &'a Path,
    redactor: &'a Redactor,
    interrupted: &'a AtomicBool,
    tell: &'a mut dyn FnMut(Told<'_>),
    backend: Option<&'static str>,
    /// How many rows are behind us.
    behind: usize,
    /// How long earlier runs took.
    earlier_ms: f64,
    watch: Stopwatch,
    work: Arc<Work>,
    results: &'a mut Results,
    file: &'a ResultsFile,
    written: Instant,
    pause: Duration,
    recorder: Option<Recorder>,
    /// Recorded in the log, and not handed to the recorder yet.
    events: Vec<Event>,
    sender: Sender<Message>,
    running: HashMap<usize, Running>,
    /// How many threads are there that nobody gave up.
    live: usize,
    /// Those that were given up and did not end yet, with their last jobs.
    hanging: HashMap<usize, usize>,
    started: usize,
}

impl Foreman<'_> {
    /// Has the jobs done. Returns at the end, at the first failure if nothing is to follow it, or when the user wants it.
    fn work_off(&mut self, todo: Vec<usize>, messages: &Receiver<Message>) -> Result<(), BatchError> {
        for _ in 0..self.work.divide(todo, self.options.threads) {
            self.start_thread()?;
        }
        while self.live > 0 && !self.interrupted.load(Ordering::Relaxed) {
            let mut ended = Vec::new();
            match messages.recv_timeout(self.until_next_deadline()) {
                Ok(message) => {
                    self.hear(message, &mut ended);
                    while ended.len() < EVENTS
                        && let Ok(message) = messages.try_recv()
                    {
                        self.hear(message, &mut ended);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.check_deadlines(&mut ended)?;
            self.settle(ended)?;
        }
        Ok(())
    }

    fn start_thread(&mut self) -> Result<(), BatchError> {
        self.started += 1;
        work::start(&self.work, self.started, &self.sender).map_err(BatchError::Thread)?;
        self.live += 1;
        Ok(())
    }

    fn until_next_deadline(&self) -> Duration {
        let next = self.running.values().map(|running| running.since + self.options.timeout).min();
        next.map_or(TICK, |deadline| deadline.saturating_duration_since(Instant::now()).min(TICK))
    }

    fn hear(&mut self, message: Message, ended: &mut Vec<End>) {
        match message {
            Message::Began { worker, job, ticket, run } => {
                self.running.insert(worker, Running { job, ticket, run, since: Instant::now() });
            }
            Message::Ended { worker, end } => {
                self.running.remove(&worker);
                ended.push(end);
            }
            Message::Left { worker } => {
                if self.hanging.remove(&worker).is_some() {
                    return;
                }
                self.live -= 1;
                if let Some(Running { job, run, since, ticket }) = self.running.remove(&worker)
                    && !ticket.is_given_up()
                {
                    // It broke off in the middle; a panic has said why.
                    self.work.take_back(&run);
                    ended.push(End::failed(job, "an internal error, which was reported above", since));
                }
            }
        }
    }

    /// Gives up what takes too long, and starts others in its place.
    fn check_deadlines(&mut self, ended: &mut Vec<End>) -> Result<(), BatchError> {
        let is_over = |running: &Running| running.since.elapsed() >= self.options.timeout;
        let late: Vec<usize> =
            self.running.iter().filter(|(_, late)| is_over(late)).map(|(worker, _)| *worker).collect();
        for worker in late {
            let Some(Running { job, run, since, .. }) = self.give_up(worker) else { continue };
            self.work.take_back(&run);
            if let Some(pool) = &self.work.pool {
                pool.write_off();
            }
            let why =
                format!("it took longer than {} s (`batch.timeout_per_item`)", self.options.timeout.as_secs_f64());
            ended.push(End::failed(job, &why, since));
        }
        let is_failure = ended.iter().any(|end| end.outcome.is_err());
        if self.hanging.len() >= MOST_HANGING || (is_failure && !self.options.continue_on_error) {
            self.work.stop();
        }
        // Also where one broke off.
        while self.live < self.options.threads && self.work.is_waiting() {
            self.start_thread()?;
        }
        Ok(())
    }

    /// Gives up a thread, unless its job is as good as done.
    fn give_up(&mut self, worker: usize) -> Option<Running> {
        if !self.running.get(&worker)?.ticket.give_up() {
            return None;
        }
        let running = self.running.remove(&worker)?;
        self.live -= 1;
        self.hanging.insert(worker, running.job);
        self.remove_left_over(running.job);
        Some(running)
    }

    /// Removes what a thread that hangs would remove itself, but perhaps never comes to.
    fn remove_left_over(&self, job: usize) {
        let _ = fs::remove_if_there(&self.work.left_over(&self.work.jobs[job]));
    }

    /// Ends all work: whatever happened, nothing is put in place from here on, and what was is accounted for.
    fn wind_up(&mut self, messages: &Receiver<Message>) -> Result<(), BatchError> {
        self.work.close();
        let mut ended = Vec::new();
        while let Ok(message) = messages.try_recv() {
            self.hear(message, &mut ended);
        }
        let workers: Vec<usize> = self.running.keys().copied().collect();
        for worker in workers {
            self.give_up(worker);
        }
        // The others have put their item in place and are about to say so.
        while !self.running.is_empty()
            && let Ok(message) = messages.recv_timeout(PATIENCE)
        {
            self.hear(message, &mut ended);
        }
        self.settle(ended)
    }

    /// Records what came of some jobs, each step durable before the next: outputs, log, results.
    fn settle(&mut self, ended: Vec<End>) -> Result<(), BatchError> {
        if ended.is_empty() {
            return Ok(());
        }
        let jobs = &self.work.jobs;
        // What an earlier run put there may have been stopped before this, and is recorded by this one.
        let found = || ended.iter().filter(|end| self.options.resumed && matches!(end.outcome, Ok(None)));
        for end in found() {
            let path = &jobs[end.job].path;
            fs::sync_file(path).map_err(|source| BatchError::Sync { path: path.clone(), source })?;
        }
        let put = ended.iter().filter(|end| matches!(end.outcome, Ok(Some(_)))).chain(found());
        let folders: BTreeSet<&Path> = put.map(|end| fs::parent_of(&jobs[end.job].path)).collect();
        for folder in folders {
            fs::sync_dir(folder).map_err(|source| BatchError::Sync { path: folder.to_owned(), source })?;
        }
        fault::point("batch-synced");
        let ended: Vec<End> = ended.into_iter().map(|end| self.without_secrets(end)).collect();
        let records: Vec<Record> = ended.iter().filter_map(|end| self.record_of(end)).collect();
        self.record(&records)?;
        fault::point("batch-log");
        for end in ended {
            self.account(end);
        }
        if self.written.elapsed() >= self.pause {
            self.write_results()?;
        }
        Ok(())
    }

    fn without_secrets(&self, mut end: End) -> End {
        end.outcome = end.outcome.map_err(|error| {
            let error = self.redactor.redact(&error);
            error.chars().take(MAX_ERROR).collect()
        });
        end
    }

    /// Returns the record of how a job ended; what was there before this batch came is none of its doing.
    fn record_of(&self, end: &End) -> Option<Record> {
        let job = &self.work.jobs[end.job];
        match &end.outcome {
            Err(error) => Some(log::failed(job, self.options, error, end.duration_ms)),
            Ok(None) if !self.options.resumed => None,
            Ok(delivered) => Some(log::restored(job, self.options, delivered.as_ref(), end.duration_ms, self.backend)),
        }
    }

    /// Notes in the results how a job ended, and tells of it.
    fn account(&mut self, end: End) {
        let (row, metrics) = (self.work.jobs[end.job].row, self.options.metrics);
        let measured = |time: f64| Some(rounded(time)).filter(|_| metrics.enabled);
        let part = |time| measured(time).filter(|_| metrics.track_decompression);
        let result = &mut self.results.items[row - 1];
        result.duration_ms = measured(end.duration_ms);
        result.attempts = end.attempts;
        log_end(&self.work.jobs[end.job], &end, self.backend);
        match end.outcome {
            Ok(delivered) => {
                result.status = RowStatus::Success;
                result.decompression_ms = delivered.and_then(|delivered| part(delivered.decompression_ms));
                result.write_ms = delivered.and_then(|delivered| part(delivered.write_ms));
            }
            Err(error) => {
                result.status = RowStatus::Failed;
                (self.tell)(Told::Failed { row, error: &error });
                result.error = Some(error);
            }
        }
        self.behind += 1;
        (self.tell)(Told::Progress { done: self.behind });
    }

    /// Appends records to the operations log, and gathers them for the archive.
    fn record(&mut self, records: &[Record]) -> Result<(), BatchError> {
        let events = records.iter().map(Event::from_record).collect::<Result<Vec<_>, _>>()?;
        if events.is_empty() {
            return Ok(());
        }
        let lines: Vec<&str> = events.iter().map(|event| event.line.as_str()).collect();
        OperationsLog::open(self.log)?.append(&lines)?;
        self.events.extend(events);
        if self.events.len() >= EVENTS {
            self.hand_over();
        }
        Ok(())
    }

    fn hand_over(&mut self) {
        let events = std::mem::take(&mut self.events);
        if let Some(recorder) = &self.recorder {
            recorder.take(events);
        }
    }

    fn write_results(&mut self) -> Result<(), ResultsError> {
        let started = Instant::now();
        self.results.duration_ms = self.earlier_ms + self.watch.elapsed_ms();
        self.file.write(self.results)?;
        // Every row is written each time: the more there are, the less often.
        self.pause = RESULTS_PAUSE.max(started.elapsed() * RESULTS_SHARE);
        self.written = Instant::now();
        fault::point("batch-told");
        Ok(())
    }

    /// Brings the batch to its end, also after `worked` went wrong: what is known is written as far as it can be.
    fn end(mut self, worked: Result<(), BatchError>) -> Result<Outcome, BatchError> {
        let summary = self.results.summary();
        let wanted = self.results.items.len() - self.results.first_row.saturating_sub(1).min(summary.total);
        let is_whole = worked.is_ok() && summary.succeeded >= wanted;
        let interrupted = self.interrupted.load(Ordering::Relaxed) && !is_whole;
        let mut last =
            log::of_batch(self.options, if is_whole { Status::Done } else { Status::Failed }, summary.succeeded);
        last.duration_ms = self.options.metrics.total(self.watch.elapsed_ms());
        last.error = interrupted.then(|| "interrupted".to_owned());
        let recorded = worked.and_then(|()| self.record(&[last]));
        fault::point("batch-end");
        self.hand_over();
        let timeout = self.options.timeout;
        let told = self.recorder.take().map_or(Ok(()), |recorder| recorder.finish(timeout, PATIENCE, self.interrupted));
        let (interrupted, unrecorded) = match told {
            Ok(()) => (interrupted, None),
            Err(Untold { interrupted: too, why }) => (interrupted || too, Some(why)),
        };
        for job in self.hanging.values() {
            self.remove_left_over(*job);
        }
        fault::point("batch-events");
        // One that was interrupted, or broke off, is not at its end, which may still come.
        self.results.finished_at = (!interrupted && recorded.is_ok()).then(Timestamp::now);
        let written = self.write_results();
        recorded?;
        written?;
        Ok(Outcome { interrupted, unrecorded })
    }
}

/// Tells the log how a job ended: the details, as there may be thousands.
fn log_end(job: &Job, end: &End, backend: Option<&str>) {
    let (actor, tombstone) = (job.actor.as_str(), tracing::field::display(job.tombstone));
    let duration_ms = end.duration_ms;
    match &end.outcome {
        Ok(_) => debug!(
            action = "RESTORE",
            actor, tombstone, duration_ms, backend, "Restore completed in {duration_ms:.1}ms"
        ),
        Err(error) => {
            debug!(action = "RESTORE_FAIL", actor, tombstone, duration_ms, backend, "Restore failed: {error}");
        }
    }
}

impl End {
    /// Returns the end of a job that will not say so itself.
    fn failed(job: usize, why: &str, since: Instant) -> Self {
        let duration_ms = rounded(since.elapsed().as_secs_f64() * 1_000.0);
        Self { job, outcome: Err(why.to_owned()), duration_ms, attempts: 1 }
    }
}

/// A thread that tells the archive's events of what the log has. It may hang as well as any other.
struct Recorder {
    events: Sender<Vec<Event>>,
    ended: Receiver<Result<(), ArchiveError>>,
}

impl Recorder {
    fn start(pool: Arc<Pool<'static>>) -> io::Result<Self> {
        let ((events, incoming), (result, ended)) = (channel(), channel());
        thread::Builder::new().name("batch-events".to_owned()).spawn(move || {
            let _ = result.send(record_all(&pool, &incoming));
        })?;
        Ok(Self { events, ended })
    }

    /// Takes events over.
    fn take(&self, events: Vec<Event>) {
        // Where the thread has failed, that is told at the end.
        let _ = self.events.send(events);
    }

    /// Waits until all events are in the archive, and not much longer once the user wants an end.
    fn finish(self, patience: Duration, last_patience: Duration, interrupted: &AtomicBool) -> Result<(), Untold> {
        drop(self.events);
        let mut deadline = Instant::now() + patience;
        let mut is_interrupted = false;
        loop {
            if interrupted.load(Ordering::Relaxed) && !is_interrupted {
                is_interrupted = true;
                deadline = deadline.min(Instant::now() + last_patience);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let why = match self.ended.recv_timeout(left.min(TICK)) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => in_one_line(&error),
                Err(RecvTimeoutError::Timeout) if left > TICK => continue,
                Err(_) if is_interrupted => "it did not take them before the end that was asked for".to_owned(),
                Err(_) => format!("it did not take them within {} s", patience.as_secs_f64()),
            };
            return Err(Untold { interrupted: is_interrupted, why });
        }
    }
}

/// The archive does not have all events.
#[derive(Debug)]
struct Untold {
    /// Whether the user wanted an end.
    interrupted: bool,
    why: String,
}

fn record_all(pool: &Pool<'static>, incoming: &Receiver<Vec<Event>>) -> Result<(), ArchiveError> {
    for mut events in incoming {
        events.extend(incoming.try_iter().flatten());
        for page in events.chunks(EVENTS) {
            let restored: Vec<_> = page.iter().filter(|event| event.action == Action::Restore).collect();
            let tombstones: Vec<Tombstone> = restored.iter().filter_map(|event| event.tombstone).collect();
            let at = page.iter().map(|event| event.created_at).max();
            pool.lend()?.mark_restored(&tombstones, at.unwrap_or_else(Timestamp::now), page)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_ends_the_wait_for_an_archive_that_hangs() {
        let ((events, _incoming), (_result, ended)) = (channel(), channel());
        let recorder = Recorder { events, ended };
        let told = recorder.finish(Duration::from_hours(24), Duration::ZERO, &AtomicBool::new(true));
        assert!(told.is_err_and(|untold| untold.interrupted));
    }
}
