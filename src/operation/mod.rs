//! An operation: what every command that leaves evidence has in common.
//!
//! The order of writes of `docs/design.md` stands here once. A command says what it does to the archive, which records it
//! makes and which files change with them ([`Operation`]); running it stands here, finishing it after a stop, undoing it
//! and what to do where the journal is lost in `recover.rs`. `staging.rs` has what leaves no evidence.

mod error;
mod heads;
mod landing;
mod recover;
mod staging;

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bstr::ByteVec;

pub use error::OperationError;
pub use heads::HeadsError;
pub use landing::NewBranch;
pub use recover::{OrphanError, Settled, abandon, execute_again, finish, orphans, set_aside, settle_orphan, undo};
pub use staging::{STAGING, StagingPlan, finish_staging, stage_files, undo_staging};

use landing::LandingChange;

use crate::archive::{AnyArchive, Event};
use crate::change::{ChangeError, FileChange, OwnFilesError, check_unaltered, log_evidence, prepare_own_files, stage};
use crate::clock::Timestamp;
use crate::evidence::log::{LogError, OperationsLog, records};
use crate::evidence::record::{Action, Level, Record, Status};
use crate::evidence::writer::NewEvidenceFile;
use crate::fault;
use crate::git::{AttributeSource, GitError, IndexLock, Repository, Root};
use crate::id::{ObjectId, OperationId, Sha256};
use crate::item::RepoPath;
use crate::journal::{ActiveOperation, FormatVersion, Header, Journal};
use crate::places::Places;
use crate::quote::quote;
use crate::redact::Redactor;

/// Where the journal keeps the evidence once it is built: from then on the operation only does what it says.
const EVIDENCE: &str = "evidence.jsonl";

/// What operations work with.
pub struct OperationContext<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The archive; `None` for a command that does without one.
    pub archive: Option<&'a mut AnyArchive>,
    /// The program's places.
    pub places: &'a Places,
    /// The operations log.
    pub log: &'a Path,
    /// This clone's id.
    pub origin: &'a str,
    /// Hides secrets in what records say of errors.
    pub redactor: &'a Redactor,
    /// Set from outside, by a signal, to stop: everything is then taken back, unless the tree has begun to change.
    pub interrupted: &'a AtomicBool,
}

impl OperationContext<'_> {
    /// Returns whether the operation is to stop.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// What the journal and the records say of an operation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Facts {
    /// The operation's id.
    pub op: OperationId,
    /// When it began; every record carries this time.
    pub started: Timestamp,
    /// Who acts.
    pub actor: String,
    /// The repository's name.
    pub repo: String,
}

impl Facts {
    /// Returns a record of this operation with what all its records have.
    pub fn record(&self, action: Action) -> Record {
        let mut record = Record::new(action, self.op, self.started);
        record.actor = Some(self.actor.clone());
        record.repo = Some(self.repo.clone());
        record
    }
}

/// A command's own part of an operation. Every step may be repeated after a stop.
pub trait Operation {
    /// What can go wrong in the command's own part.
    type Error: std::error::Error + Send + Sync + 'static;
    /// What is to be done, as the journal keeps it.
    type Plan: serde::Serialize;

    /// Returns the action that the operation is announced as, and that its first record usually has.
    fn action(&self) -> Action;

    /// Returns the action of the record of its failure.
    fn failure(&self) -> Action;

    /// Returns what the journal calls the command.
    fn command(&self) -> &'static str;

    /// Returns the branch that the change is a commit on; `None` where it is one of the working tree and its index.
    fn branch(&self) -> Option<&NewBranch> {
        None
    }

    /// Returns the facts.
    fn facts(&self) -> &Facts;

    /// Returns the plan.
    fn plan(&self) -> &Self::Plan;

    /// Returns how many paths the operation is about.
    fn paths(&self) -> usize;

    /// Does what comes before the evidence, under the index lock if there is one, and returns the records. Nothing in the tree changes.
    fn produce(&mut self, context: &mut OperationContext<'_>, resumed: bool) -> Result<Vec<Record>, Self::Error>;

    /// Writes the blobs that come into the tree, and returns the files that change. It follows from plan and evidence.
    fn changes(
        &mut self,
        context: &mut OperationContext<'_>,
        records: &[Record],
        evidence: &Sha256,
    ) -> Result<Vec<FileChange>, Self::Error>;

    /// Returns the message of the commit, where the change is one. It follows from plan and evidence.
    fn message(
        &mut self,
        _context: &mut OperationContext<'_>,
        _records: &[Record],
        _evidence: &Sha256,
    ) -> Result<Vec<u8>, Self::Error> {
        Ok(Vec::new())
    }

    /// Brings the archive's rows to their final state and adds the events: the last step.
    fn settle(
        &mut self,
        context: &mut OperationContext<'_>,
        records: &[Record],
        events: &[Event],
    ) -> Result<(), Self::Error>;

    /// Returns whether the archive has done by now what nothing takes back: from then on the operation is only ever finished.
    /// Where that cannot be told, it fails.
    fn is_final(&mut self, _context: &mut OperationContext<'_>) -> Result<bool, Self::Error> {
        Ok(false)
    }

    /// Takes back what [`Operation::produce`] did to the archive, and adds `event`.
    fn withdraw(&mut self, context: &mut OperationContext<'_>, event: &Event) -> Result<(), Self::Error>;
}

/// What an operation did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its records, as the evidence has them.
    pub records: Vec<Record>,
    /// The path of its evidence file.
    pub evidence_path: RepoPath,
    /// The digest of its evidence file.
    pub evidence: Sha256,
    /// Paths that were left as they are, because something else stands there now.
    pub left: Vec<RepoPath>,
    /// The commit that the change is, if it is one.
    pub commit: Option<ObjectId>,
}

/// Runs a new operation to its end.
///
/// An error, or an interruption, before the tree has changed, or the branch is there, takes everything back; after a later error the operation
/// waits to be finished or undone. One that is [final](Operation::is_final) waits to be finished.
pub fn execute<O: Operation>(
    context: &mut OperationContext<'_>,
    operation: &mut O,
) -> Result<Outcome, OperationError<O::Error>> {
    let facts = operation.facts();
    let op = facts.op;
    let place = match operation.branch() {
        // Made in whatever working tree, or in none.
        Some(_) => context.repository.work_tree().unwrap_or(context.repository.git_dir()),
        None => context.repository.require_work_tree()?,
    };
    let header = Header {
        version: FormatVersion,
        id: op,
        command: operation.command().to_owned(),
        branch: operation.branch().map(|branch| branch.name.clone()),
        started: facts.started,
        actor: facts.actor.clone(),
        git_dir: git_dir_of(context.repository),
        work_tree: place.display().to_string(),
        paths: operation.paths(),
    };
    // A log that cannot be opened is met here, where nothing has begun.
    OperationsLog::open(context.log)?;
    let active = Journal::at(context.places.journal()).begin(&header, operation.plan())?;
    let mut touched = false;
    let error = match run_steps(context, operation, &active, false, &mut touched) {
        Ok(outcome) => return close(op, active).map(|()| outcome),
        Err(error) => error,
    };
    // Without an answer it has to be taken for final.
    let is_final = operation.is_final(context).unwrap_or(true);
    if touched || is_final {
        return Err(OperationError::Unfinished { op, is_final, source: Box::new(error) });
    }
    match take_back(context, operation, active, &error) {
        Ok(()) if context.is_interrupted() => Err(OperationError::Interrupted),
        Ok(()) => Err(error),
        // What is wrong may be wrong still: a full disk, an archive that is locked.
        Err(_) => Err(OperationError::Unfinished { op, is_final: false, source: Box::new(error) }),
    }
}

/// Completes the program's own files in the working tree and stages them; returns whether that changed the index.
pub fn stage_own_files(repository: &Repository) -> Result<bool, OwnFilesError> {
    let lock = IndexLock::acquire(repository, "init")?;
    let own = prepare_own_files(repository)?;
    if own.is_empty() {
        return Ok(false);
    }
    stage(&lock, &own)?;
    lock.refresh()?;
    lock.commit()?;
    Ok(true)
}

/// Puts a new file that belongs to no operation into the working tree and the index, durably, with the program's own files,
/// which keep git from altering it. Stopped in between, it leaves a file that is not staged.
pub fn add_own_file(repository: &Repository, path: &RepoPath, bytes: &[u8]) -> Result<(), OwnFilesError> {
    let lock = IndexLock::acquire(repository, "a new file")?;
    let mut files = prepare_own_files(repository)?;
    check_unaltered(repository, AttributeSource::WorkTree, path)?;
    let root = Root::open(repository.require_work_tree()?)?;
    let mut add = || {
        root.write(path, bytes)?;
        fault::point("evidence-file");
        let blobs = repository.objects().write_blobs(&[bytes])?;
        files.extend(blobs.into_iter().map(|id| (path.clone(), id)));
        stage(&lock, &files)?;
        lock.refresh()
    };
    let added = add().and_then(|()| lock.commit());
    if added.is_err() {
        // Nobody knows of it, so nobody misses it.
        let _ = root.remove(path).and_then(|()| root.remove_empty_parents(path));
    }
    Ok(added?)
}

/// Returns how the journal names a working tree: by its git directory relative to the common one, quoted.
pub fn git_dir_of(repository: &Repository) -> String {
    let git_dir = repository.git_dir();
    let relative = git_dir.strip_prefix(repository.common_dir()).unwrap_or(git_dir);
    quote(&Vec::from_path_lossy(relative)).into_owned()
}

/// Does all steps but closing the journal. Says through `touched` when the tree begins to change.
fn run_steps<O: Operation>(
    context: &mut OperationContext<'_>,
    operation: &mut O,
    active: &ActiveOperation,
    resumed: bool,
    touched: &mut bool,
) -> Result<Outcome, OperationError<O::Error>> {
    let facts = operation.facts().clone();
    announce(context.log, &facts, operation.action(), operation.paths(), resumed)?;
    fault::point("intent");
    let mut landing = landing::open(context, operation.branch(), active, resumed)?;
    let saved = saved_evidence(active)?;
    landing.prepare(saved.as_ref().map(|(evidence, _)| evidence))?;
    fault::point("own");
    check_interrupted(context)?;
    // Also where the evidence is there already: so what it says is in the archive, whatever happened to that since.
    let produced = operation.produce(context, resumed).map_err(OperationError::Command)?;
    check_interrupted(context)?;
    let (evidence, records) = if let Some(saved) = saved {
        saved
    } else {
        let heads = heads::of(context.repository, landing.tracked(), context.places)?;
        let evidence = NewEvidenceFile::build(produced, heads)?;
        // Attributes can be meant for this very name or folder, which was not known before.
        landing.check_unaltered(&evidence.path())?;
        active.save(EVIDENCE, evidence.bytes())?;
        let records = evidence.records()?;
        (evidence, records)
    };
    fault::point("evidence");
    landing.publish(&evidence)?;
    log_evidence(context.log, facts.op, &evidence, resumed)?;
    let files = operation.changes(context, &records, evidence.sha256()).map_err(OperationError::Command)?;
    let message = operation.message(context, &records, evidence.sha256()).map_err(OperationError::Command)?;
    let landed = landing.apply(LandingChange {
        evidence: &evidence,
        files: &files,
        message: &message,
        interrupted: context.interrupted,
        touching: &mut || *touched = true,
    })?;
    let events: Vec<Event> = evidence.lines().into_iter().map(Event::from_line).collect::<Result<_, _>>()?;
    operation.settle(context, &records, &events).map_err(OperationError::Command)?;
    fault::point("settled");
    Ok(Outcome {
        records,
        evidence_path: evidence.path(),
        evidence: *evidence.sha256(),
        left: landed.left,
        commit: landed.commit,
    })
}

/// Writes the intent into the operations log, where an operation that is finished may have it already.
fn announce<E: Error>(
    log: &Path,
    facts: &Facts,
    action: Action,
    paths: usize,
    resumed: bool,
) -> Result<(), OperationError<E>> {
    let mut intent = facts.record(action);
    intent.status = Some(Status::Intent);
    intent.count = Some(paths as u64);
    if !resumed || !is_announced(log, facts.op, action)? {
        OperationsLog::open(log)?.append(&[intent.to_line()?])?;
    }
    Ok(())
}

/// Returns whether the operations log has the intent of operation `op`; a batch that it is the whole of has another, by an action of its own.
fn is_announced(log: &Path, op: OperationId, action: Action) -> Result<bool, LogError> {
    let mut records = records(log)?.into_iter().flatten().flatten().map(|entry| entry.record);
    Ok(records.any(|record| record.op == op && record.action == action && record.status == Some(Status::Intent)))
}

/// Takes back an operation that failed before the tree changed, and records the failure.
fn take_back<O: Operation>(
    context: &mut OperationContext<'_>,
    operation: &mut O,
    active: ActiveOperation,
    error: &OperationError<O::Error>,
) -> Result<(), OperationError<O::Error>> {
    let saved = saved_evidence(&active)?;
    // The program's own files may also be those of another operation, which has the lock then.
    match landing::open(context, operation.branch(), &active, false) {
        Ok(landing) => landing.withdraw(saved.as_ref().map(|(evidence, _)| evidence))?,
        Err(GitError::IndexLocked { .. }) if saved.is_none() => {}
        Err(error) => return Err(error.into()),
    }
    let mut record = operation.facts().record(operation.failure());
    record.ts = Timestamp::now();
    record.level = Level::Error;
    record.status = Some(Status::Failed);
    let why = if context.is_interrupted() { "interrupted".to_owned() } else { error.chain() };
    record.error = Some(context.redactor.redact(&why).into_owned());
    let event = Event::from_record(&record)?;
    operation.withdraw(context, &event).map_err(OperationError::Command)?;
    OperationsLog::open(context.log)?.append(&[event.line])?;
    Ok(active.close()?)
}

/// Closes the journal of an operation that is done but for that.
fn close<E: Error>(op: OperationId, active: ActiveOperation) -> Result<(), OperationError<E>> {
    let failed = |source| OperationError::Unfinished { op, is_final: false, source: Box::new(source) };
    active.close().map_err(failed)
}

fn check_interrupted<E: Error>(context: &OperationContext<'_>) -> Result<(), OperationError<E>> {
    if context.is_interrupted() { Err(ChangeError::Interrupted.into()) } else { Ok(()) }
}

/// Returns the evidence that the journal keeps, if it was built before the stop, with its records.
fn saved_evidence<E: Error>(
    active: &ActiveOperation,
) -> Result<Option<(NewEvidenceFile, Vec<Record>)>, OperationError<E>> {
    let Some(bytes) = active.load(EVIDENCE)? else { return Ok(None) };
    let evidence = NewEvidenceFile::from_bytes(bytes)?;
    let records = evidence.records()?;
    Ok(Some((evidence, records)))
}
