//! The threads that bring items back. Whoever waits for them may give one up: it then leaves nothing behind and never puts
//! anything in place any more, however late its answer comes.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;

use super::run::{Job, RunOptions};
use crate::archive::{LOOK_AHEAD, Pool, RUN_BYTES};
use crate::causes::in_one_line;
use crate::clock::Stopwatch;
use crate::evidence::record::Source;
use crate::fault;
use crate::fs;
use crate::git::Repository;
use crate::id::OperationId;
use crate::restore::{Beside, Delivered, ElsewhereError, Located, Sources, Standing, Wanted, look_at, write_beside};

/// What all threads share.
pub(super) struct Work {
    pub(super) repository: Repository,
    pub(super) pool: Option<Arc<Pool<'static>>>,
    pub(super) op: OperationId,
    /// Whether any file at an output may be replaced.
    pub(super) force: bool,
    /// Where bytes may come from, if not from everywhere.
    only: Option<Source>,
    /// Whether a failure ends it all.
    pub(super) stop_at_failure: bool,
    pub(super) jobs: Vec<Job>,
    runs: Mutex<VecDeque<Run>>,
    stopped: AtomicBool,
    is_closed: RwLock<bool>,
}

/// Jobs for one thread, by their numbers: neighbours, which share blocks. Shared with whoever waits, who takes back what is
/// left when that thread is given up.
pub(super) type Run = Arc<Mutex<VecDeque<usize>>>;

/// Whether a job is still its thread's: either that puts its item in place, or says how it ended, or whoever waits has given
/// it up.
#[derive(Debug, Default)]
pub(super) struct Ticket(AtomicU8);

const OPEN: u8 = 0;
const USED: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Ticket {
    /// Begins to put things in place; `false` if it must not be.
    fn take(&self) -> bool {
        self.0.compare_exchange(OPEN, USED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Gives the job up; `false` if its item is in place, or about to be, or its end about to be told.
    pub(super) fn give_up(&self) -> bool {
        self.0.compare_exchange(OPEN, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire) != Err(USED)
    }

    /// Says that the job is at its end; `false` if it was given up, and nobody wants to know.
    fn close(&self) -> bool {
        self.0.compare_exchange(OPEN, USED, Ordering::AcqRel, Ordering::Acquire) != Err(GIVEN_UP)
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }
}

/// What a thread says.
pub(super) enum Message {
    /// It begins with a job.
    Began { worker: usize, job: usize, ticket: Arc<Ticket>, run: Run },
    /// That is done. Of a job that was given up nothing is said.
    Ended { worker: usize, end: End },
    /// It has nothing more to do, or it broke off.
    Left { worker: usize },
}

/// How a job ended.
pub(super) struct End {
    /// The job.
    pub(super) job: usize,
    /// How its bytes came, `None` if they were there; or why they did not.
    pub(super) outcome: Result<Option<Delivered>, String>,
    pub(super) duration_ms: f64,
    pub(super) attempts: u64,
}

impl Work {
    pub(super) fn new(
        repository: Repository,
        pool: Option<Arc<Pool<'static>>>,
        options: &RunOptions,
        jobs: Vec<Job>,
    ) -> Self {
        Self {
            repository,
            pool,
            op: options.op,
            force: options.force,
            only: options.only,
            stop_at_failure: !options.continue_on_error,
            jobs,
            runs: Mutex::default(),
            stopped: AtomicBool::new(false),
            is_closed: RwLock::new(false),
        }
    }

    /// Divides the jobs with these numbers into runs for `threads` threads; returns how many of these there is work for.
    pub(super) fn divide(&self, mut numbers: Vec<usize>, threads: usize) -> usize {
        let wanted = |number: &usize| self.jobs[*number].located.as_ref().ok().map(|located| &located.wanted);
        // Neighbours in path order share blocks, and a reader keeps the last ones.
        numbers.sort_by_cached_key(|number| wanted(number).map(|wanted| (wanted.repo.clone(), wanted.path.clone())));
        let fair = numbers.len().div_ceil(threads.max(1) * 4).clamp(1, LOOK_AHEAD);
        let mut runs = self.runs();
        let (mut run, mut bytes) = (VecDeque::new(), 0_u64);
        for number in numbers {
            if run.len() >= fair || bytes >= RUN_BYTES {
                runs.push_back(Arc::new(Mutex::new(std::mem::take(&mut run))));
                bytes = 0;
            }
            bytes = bytes.saturating_add(wanted(&number).map_or(0, |wanted| wanted.size));
            run.push_back(number);
        }
        if !run.is_empty() {
            runs.push_back(Arc::new(Mutex::new(run)));
        }
        threads.max(1).min(runs.len())
    }

    /// Begins nothing new.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Lets nothing be put in place from here on; waits for what is being put there at this moment.
    pub(super) fn close(&self) {
        self.stop();
        *self.is_closed.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Puts an item in its place, unless its job was given up: then what is beside goes.
    fn put(&self, ticket: &Ticket, beside: Beside, standing: Standing) -> Result<(), ElsewhereError> {
        let is_closed = self.is_closed.read().unwrap_or_else(PoisonError::into_inner);
        if *is_closed {
            ticket.give_up();
        }
        if ticket.take() {
            beside.put(standing)?;
            fault::point("batch-put");
        }
        Ok(())
    }

    /// Gives the rest of the run of a thread that was given up to others; returns whether there is any.
    pub(super) fn take_back(&self, run: &Run) -> bool {
        let rest = std::mem::take(&mut *lock(run));
        if rest.is_empty() {
            return false;
        }
        self.runs().push_front(Arc::new(Mutex::new(rest)));
        true
    }

    /// Returns whether there is work that no thread has taken.
    pub(super) fn is_waiting(&self) -> bool {
        !self.stopped.load(Ordering::Acquire) && !self.runs().is_empty()
    }

    fn runs(&self) -> MutexGuard<'_, VecDeque<Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_run(&self) -> Option<Run> {
        if self.stopped.load(Ordering::Acquire) { None } else { self.runs().pop_front() }
    }

    fn next_of(&self, run: &Run) -> Option<usize> {
        if self.stopped.load(Ordering::Acquire) { None } else { lock(run).pop_front() }
    }

    /// Returns the file beside a job's output in which its bytes wait.
    pub(super) fn left_over(&self, job: &Job) -> PathBuf {
        fs::temporary_path(fs::parent_of(&job.path), &self.name_of(job))
    }

    /// Returns what tells that file from all others: who finds it knows whose it is.
    fn name_of(&self, job: &Job) -> String {
        format!("{}-{}", self.op, job.row)
    }
}

fn lock(run: &Run) -> MutexGuard<'_, VecDeque<usize>> {
    run.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread. It says that it left, whatever happens.
pub(super) fn start(work: &Arc<Work>, worker: usize, sender: &Sender<Message>) -> std::io::Result<()> {
    struct Leaving(Sender<Message>, usize);

    impl Drop for Leaving {
        fn drop(&mut self) {
            let _ = self.0.send(Message::Left { worker: self.1 });
        }
    }

    let (work, leaving) = (Arc::clone(work), Leaving(sender.clone(), worker));
    thread::Builder::new().name(format!("batch-{worker}")).spawn(move || {
        let leaving = leaving;
        while let Some(run) = work.next_run() {
            if !do_run(&work, worker, &run, &leaving.0) {
                return;
            }
        }
    })?;
    Ok(())
}

/// Does the jobs of a run; returns whether there is any use in going on.
fn do_run(work: &Work, worker: usize, run: &Run, sender: &Sender<Message>) -> bool {
    let mut archive = None;
    let mut next = None;
    if let Some(pool) = &work.pool {
        // Asking for a handle may take as long as anything else, so it is on account of the first job.
        let Some(job) = work.next_of(run) else { return true };
        let Some(begun) = Begun::new(worker, job, run, sender) else { return false };
        match pool.lend() {
            Ok(lent) => archive = Some(lent),
            Err(error) => {
                let goes_on = begun.end(work, Err(in_one_line(&error)), 1, sender);
                work.take_back(run);
                return goes_on;
            }
        }
        next = Some(begun);
    }
    let mut sources = Sources::new(&work.repository, archive.as_deref_mut(), work.only);
    let coming = next.iter().map(|begun| begun.job).chain(lock(run).iter().copied()).collect::<Vec<_>>();
    sources.expect(coming.iter().filter_map(|job| Some(located(&work.jobs[*job])?.wanted.sha256)));
    loop {
        let begun = next.take().or_else(|| Begun::new(worker, work.next_of(run)?, run, sender));
        let Some(begun) = begun else { return true };
        let retries = sources.retries();
        let outcome = deliver(work, &work.jobs[begun.job], &begun.ticket, &mut sources);
        let attempts = 1 + sources.retries() - retries;
        if !begun.end(work, outcome, attempts, sender) {
            return false;
        }
    }
}

fn located(job: &Job) -> Option<&Located> {
    job.located.as_ref().ok()
}

/// A job that its thread has begun.
struct Begun {
    worker: usize,
    job: usize,
    ticket: Arc<Ticket>,
    watch: Stopwatch,
}

impl Begun {
    /// Says that it begins; `None` if nobody listens any more.
    fn new(worker: usize, job: usize, run: &Run, sender: &Sender<Message>) -> Option<Self> {
        let ticket = Arc::<Ticket>::default();
        let message = Message::Began { worker, job, ticket: Arc::clone(&ticket), run: Arc::clone(run) };
        sender.send(message).ok()?;
        Some(Self { worker, job, ticket, watch: Stopwatch::start() })
    }

    /// Says how it ended; returns whether there is any use in going on.
    fn end(
        self,
        work: &Work,
        outcome: Result<Option<Delivered>, String>,
        attempts: u64,
        sender: &Sender<Message>,
    ) -> bool {
        if !self.ticket.close() {
            return false;
        }
        if outcome.is_err() && work.stop_at_failure {
            work.stop();
        }
        let end = End { job: self.job, outcome, duration_ms: self.watch.elapsed_ms(), attempts };
        sender.send(Message::Ended { worker: self.worker, end }).is_ok()
    }
}

/// Puts the item of a job at its output.
fn deliver(work: &Work, job: &Job, ticket: &Ticket, sources: &mut Sources<'_>) -> Result<Option<Delivered>, String> {
    let Located { wanted, stored, .. } = job.located.as_ref().map_err(Clone::clone)?;
    let mut put = |wanted: &Wanted| -> Result<Option<Delivered>, ElsewhereError> {
        let standing = look_at(&job.path, wanted, work.force)?;
        if standing == Standing::Item || ticket.is_given_up() {
            return Ok(None);
        }
        let (beside, delivered) = write_beside(sources, wanted, stored.as_ref(), &job.path, Some(&work.name_of(job)))?;
        fault::point("batch-beside");
        work.put(ticket, beside, standing)?;
        Ok(Some(delivered))
    };
    put(wanted).map_err(|error| in_one_line(&error))
}
