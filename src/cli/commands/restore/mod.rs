//! `restore`: brings items back.

mod branch;
mod merge;

use std::ffi::{OsStr, OsString};

use bstr::ByteVec;
use clap::{Args, ValueEnum};
use git_archive_tomb::archive::{AnyArchive, Archive};
use git_archive_tomb::change::After;
use git_archive_tomb::clock::{Stopwatch, Timestamp};
use git_archive_tomb::config::Performance;
use git_archive_tomb::evidence::record::{Action, Level, Record, Source, Status};
use git_archive_tomb::governance::due::{DueDate, Horizon};
use git_archive_tomb::id::{ObjectId, OperationId, Sha256, Tombstone};
use git_archive_tomb::item::{JsonPath, RepoPath};
use git_archive_tomb::operation::{OperationContext, Outcome, execute};
use git_archive_tomb::quote::quote;
use git_archive_tomb::restore::{
    Delivered, InPlace, Located, RestoreOptions, RestorePlan, Sources, Wanted, Written, plan, to_file, to_writer,
};
use serde::Serialize;
use tracing::{error, info};

pub(crate) use branch::{BranchArguments, path_in_repository, say_where};

use crate::cli::arguments::ActorArguments;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::progress::Progress;
use crate::cli::session::Session;
use crate::cli::talk;
use crate::cli::view::PathView;

/// Bring an item back, bit for bit
///
/// Without OUTPUT the file comes back where its stub stands and is staged with its evidence; with OUTPUT its bytes go
/// there, `-` being standard output. With `--branch` the file is committed with its evidence on a new branch instead,
/// and OUTPUT is a path in the repository. Where there is no archive, or it lacks the item, git's own history is asked.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// A tombstone, at least 8 characters of one, the path of a stub, or a folder (every stub below it)
    target: OsString,
    /// Where to put the bytes instead; `-` is standard output
    output: Option<OsString>,
    #[command(flatten)]
    actor: ActorArguments,
    /// Replace what stands at the destination
    #[arg(short, long)]
    force: bool,
    /// Put the archived bytes back as they are, without git's checkout conversion (line ends, `ident`)
    #[arg(long, conflicts_with = "branch")]
    raw: bool,
    /// Take the bytes from here only
    #[arg(long, value_enum, value_name = "SOURCE")]
    from: Option<SourceArgument>,
    /// Merge the file with what REV made of it since; by default the commit that is being merged, rebased or picked,
    /// else the only branch that changed it
    #[arg(long, value_name = "REV", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    #[arg(conflicts_with_all = ["output", "branch", "raw"])]
    merge: Option<String>,
    #[command(flatten)]
    commit: BranchArguments,
}

/// Where bytes may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SourceArgument {
    /// The archive
    Archive,
    /// Git's own history
    History,
}

/// Runs the command.
pub(crate) fn run(arguments: &RestoreArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let run = RestoreRun {
        op: OperationId::generate(),
        actor: session.actor(arguments.actor.by.as_deref())?,
        only: arguments.from.map(SourceArgument::source),
        metrics: session.config()?.performance,
        watch: Stopwatch::start(),
    };
    session.act(run.record(Action::Restore));
    let mut archive = None;
    let restored = run.bring_back(arguments, session, &mut archive);
    restored.map_err(|failure| match failure {
        Failure::Recorded(error) => error,
        Failure::New(error, wanted) => {
            run.record_failure(&error, wanted.as_deref(), session, archive.as_deref_mut());
            error
        }
    })
}

/// One run of the command.
pub(crate) struct RestoreRun {
    pub(crate) op: OperationId,
    pub(crate) actor: String,
    pub(crate) only: Option<Source>,
    pub(crate) metrics: Performance,
    pub(crate) watch: Stopwatch,
}

/// Why a run ended, and whether that is on record.
pub(crate) enum Failure {
    Recorded(CommandError),
    New(CommandError, Option<Box<Wanted>>),
}

impl<E> From<E> for Failure
where
    CommandError: From<E>,
{
    fn from(error: E) -> Self {
        Self::New(error.into(), None)
    }
}

/// One line of the results.
#[derive(Serialize)]
struct RestoredView {
    tombstone: Tombstone,
    sha256: Sha256,
    size_bytes: u64,
    repo: String,
    #[serde(flatten)]
    path: PathView,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Sha256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<ObjectId>,
    status: &'static str,
}

impl RestoredView {
    fn new(wanted: &Wanted, path: &RepoPath, status: &'static str) -> Self {
        Self {
            tombstone: wanted.tombstone,
            sha256: wanted.sha256,
            size_bytes: wanted.size,
            repo: wanted.repo.clone(),
            path: JsonPath::from(path).into(),
            output: None,
            source: None,
            evidence: None,
            branch: None,
            commit: None,
            status,
        }
    }
}

impl RestoreRun {
    /// Brings items back to where they are asked for, wherever their bytes come from.
    fn bring_back(
        &self,
        arguments: &RestoreArguments,
        session: &mut Session<'_>,
        archive: &mut Option<Box<AnyArchive>>,
    ) -> Result<Exit, Failure> {
        match (&arguments.commit.branch, &arguments.output) {
            (Some(name), _) => self.on_branch(arguments, name, session, archive),
            (None, None) => self.in_place(arguments, session, archive),
            (None, Some(output)) => self.elsewhere(arguments, output, session, archive),
        }
    }

    /// Puts items back where their stubs stand.
    fn in_place(
        &self,
        arguments: &RestoreArguments,
        session: &mut Session<'_>,
        archive: &mut Option<Box<AnyArchive>>,
    ) -> Result<Exit, Failure> {
        session.repository.require_work_tree()?;
        session.refuse_unfinished()?;
        session.check_places()?;
        *archive = session.archive_to_restore(self.only)?;
        let located = session.locate(archive.as_deref_mut(), &arguments.target)?;
        session.clear(&located, archive.as_deref_mut(), Some(&self.actor), self.only)?;
        warn_of_retention(&located, session);
        let options = RestoreOptions {
            op: self.op,
            actor: self.actor.clone(),
            repo: session.repo_name()?,
            only: self.only,
            force: arguments.force,
            raw: arguments.raw,
        };
        let mut plan = plan(&session.repository, &located, &options)?;
        if plan.items.is_empty() {
            session.output.say("everything is in its place already; nothing to restore");
            return Ok(Exit::Done);
        }
        let merged = match &arguments.merge {
            Some(revision) => merge::merge_into(&mut plan, revision, session, archive.as_deref_mut())?,
            None => Vec::new(),
        };
        session.places.create()?;
        session.places.link(session.is_default_archive()?)?;
        let outcome = self.carry_out(plan.clone(), session, archive.as_deref_mut())?;
        print_restored(&plan, &outcome, merge::in_conflict(&merged, &outcome), session)?;
        Ok(merge::report(&merged, &outcome, session))
    }

    /// Carries a plan out that says where the items come back.
    fn carry_out(
        &self,
        plan: RestorePlan,
        session: &Session<'_>,
        archive: Option<&mut AnyArchive>,
    ) -> Result<Outcome, Failure> {
        let (log, origin) = (session.operations_log()?, session.origin()?);
        let redactor = session.config()?.redactor();
        let only_item = if let [item] = &plan.items[..] { Some(item.wanted.tombstone) } else { None };
        let backend = archive.as_deref().map(Archive::backend).map(str::to_owned);
        let backend = backend.as_deref();
        self.log_started(only_item, backend);
        let bar = Progress::count("restoring", plan.items.len() as u64, session.output.quiet);
        let (mut done, mut decompression, mut write) = (0, 0.0, 0.0);
        let mut progress = |delivered: &Delivered| {
            done += 1;
            decompression += delivered.decompression_ms;
            write += delivered.write_ms;
            bar.set(done);
        };
        let mut operation =
            InPlace { plan, scratch: session.places.scratch(self.op), metrics: self.metrics, progress: &mut progress };
        let mut context = OperationContext {
            repository: &session.repository,
            archive,
            places: &session.places,
            log: &log,
            origin: &origin,
            redactor: &redactor,
            interrupted: &session.interrupted,
        };
        session.catch_signals()?;
        let outcome = execute(&mut context, &mut operation).map_err(|error| {
            let error = CommandError::from(error);
            log_failed(&error, &self.actor, only_item);
            Failure::Recorded(error)
        })?;
        drop(bar);
        self.log_finished(only_item, backend, decompression, write);
        Ok(outcome)
    }

    /// Gives one item's bytes to a file or to standard output.
    fn elsewhere(
        &self,
        arguments: &RestoreArguments,
        output: &OsStr,
        session: &mut Session<'_>,
        archive: &mut Option<Box<AnyArchive>>,
    ) -> Result<Exit, Failure> {
        session.report_unfinished()?;
        *archive = session.archive_to_restore(self.only)?;
        let located = session.locate_one(archive.as_deref_mut(), &arguments.target)?;
        let cleared = session.clear([&located], archive.as_deref_mut(), Some(&self.actor), self.only);
        cleared.map_err(|error| Failure::New(error, Some(Box::new(located.wanted.clone()))))?;
        warn_of_retention(std::slice::from_ref(&located), session);
        let (wanted, stored) = (&located.wanted, located.stored.as_ref());
        let backend = archive.as_deref().map(Archive::backend);
        self.log_started(Some(wanted.tombstone), backend);
        let shown_output = quote(&Vec::from_os_str_lossy(output)).into_owned();
        let mut sources = Sources::new(&session.repository, archive.as_deref_mut(), self.only);
        let written = if output == "-" {
            to_writer(&mut sources, wanted, stored, session.output.raw()).map(Written::New)
        } else {
            let path = session.directory().join(output);
            to_file(&mut sources, wanted, stored, &path, &session.closed()?, arguments.force)
        };
        drop(sources);
        let written = written.map_err(|error| Failure::New(error.into(), Some(Box::new(wanted.clone()))))?;
        if let Written::New(delivered) = written {
            let mut record = self.record_of(Action::Restore, wanted);
            record.status = Some(Status::Done);
            record.source = Some(delivered.source);
            record.backend = backend.filter(|_| delivered.source == Source::Archive).map(str::to_owned);
            record.output = Some(shown_output.clone());
            delivered.measure(&mut record, self.watch.elapsed_ms(), self.metrics);
            session.record(&record, archive.as_deref_mut())?;
            let Delivered { decompression_ms, write_ms, .. } = delivered;
            self.log_finished(Some(wanted.tombstone), backend, decompression_ms, write_ms);
        } else {
            session.output.say(format_args!("{shown_output} is the item already; nothing was written"));
        }
        if output == "-" {
            return Ok(Exit::Done);
        }
        if session.output.json {
            let (source, status) = match written {
                Written::New(delivered) => (Some(delivered.source), "restored"),
                Written::Present => (None, "present"),
            };
            let view =
                RestoredView { output: Some(shown_output), source, ..RestoredView::new(wanted, &wanted.path, status) };
            session.output.object(&view)?;
        } else {
            session.output.line(shown_output)?;
        }
        Ok(Exit::Done)
    }

    /// Returns a record of this run.
    pub(crate) fn record(&self, action: Action) -> Record {
        let mut record = Record::new(action, self.op, Timestamp::now());
        record.actor = Some(self.actor.clone());
        record
    }

    /// Returns a record of this run about one item.
    fn record_of(&self, action: Action, wanted: &Wanted) -> Record {
        let mut record = self.record(action);
        record.repo = Some(wanted.repo.clone());
        record.set_path(&wanted.path);
        record.tombstone = Some(wanted.tombstone);
        record.sha256 = Some(wanted.sha256);
        record.size = Some(wanted.size);
        record
    }

    /// Records that this run failed. The failure itself is what the user is told; that it could not be recorded as well
    /// is a warning.
    fn record_failure(
        &self,
        error: &CommandError,
        wanted: Option<&Wanted>,
        session: &Session<'_>,
        archive: Option<&mut AnyArchive>,
    ) {
        // A reader that has seen enough is no failure.
        if error.exit == Exit::Done {
            return;
        }
        let mut record = match wanted {
            Some(wanted) => self.record_of(Action::RestoreFail, wanted),
            None => self.record(Action::RestoreFail),
        };
        record.level = Level::Error;
        record.status = Some(Status::Failed);
        record.error = Some(talk::redacted(&error.summary()));
        record.duration_ms = self.metrics.total(self.watch.elapsed_ms());
        log_failed(error, &self.actor, record.tombstone);
        if let Err(unrecorded) = session.record(&record, archive) {
            session.output.warn(format_args!("this failure could not be recorded: {}", unrecorded.summary()));
        }
    }

    fn log_started(&self, tombstone: Option<Tombstone>, backend: Option<&str>) {
        let (actor, tombstone) = (self.actor.as_str(), tombstone.map(tracing::field::display));
        info!(action = "RESTORE", actor, tombstone, backend, "Restore started");
    }

    /// Logs how long the restore and its parts took, as far as that is to be measured.
    fn log_finished(&self, tombstone: Option<Tombstone>, backend: Option<&str>, decompression_ms: f64, write_ms: f64) {
        let (actor, tombstone) = (self.actor.as_str(), tombstone.map(tracing::field::display));
        if !self.metrics.enabled {
            info!(action = "RESTORE", actor, tombstone, backend, "Restore completed");
            return;
        }
        if self.metrics.track_decompression {
            let duration_ms = decompression_ms;
            info!(
                action = "RESTORE",
                actor, tombstone, duration_ms, backend, "Decompression completed in {duration_ms:.1}ms"
            );
            let duration_ms = write_ms;
            info!(action = "RESTORE", actor, tombstone, duration_ms, backend, "File written in {duration_ms:.1}ms");
        }
        let duration_ms = self.watch.elapsed_ms();
        info!(action = "RESTORE", actor, tombstone, duration_ms, backend, "Restore completed in {duration_ms:.1}ms");
    }
}

fn log_failed(error: &CommandError, actor: &str, tombstone: Option<Tombstone>) {
    let (tombstone, why) = (tombstone.map(tracing::field::display), error.summary());
    error!(action = "RESTORE_FAIL", actor, tombstone, "Restore failed: {why}");
}

/// Prints what came back, and a summary.
fn print_restored(
    plan: &RestorePlan,
    outcome: &Outcome,
    in_conflict: usize,
    session: &mut Session<'_>,
) -> Result<(), CommandError> {
    for (item, record) in plan.items.iter().zip(&outcome.records) {
        if outcome.left.contains(&item.path) {
            session.output.warn(format_args!("{} changed in the meantime and was left as it is", item.path));
        } else if session.output.json {
            let status = match item.instead.as_ref().map(|instead| &instead.after) {
                None => "restored",
                Some(After::Conflict(_)) => "conflict",
                Some(After::File(_) | After::Nothing) => "merged",
            };
            let view = RestoredView {
                source: record.source,
                evidence: Some(outcome.evidence),
                ..RestoredView::new(&item.wanted, &item.path, status)
            };
            session.output.object(&view)?;
        } else {
            session.output.line(&item.path)?;
        }
    }
    let restored = counted(outcome.records.len() - outcome.left.len() - in_conflict, "file");
    let from = from_history(&outcome.records);
    // What comes next where there are conflicts is said of those.
    if in_conflict == 0 {
        session.output.say(format_args!(
            "restored {restored}{from}; files and evidence are staged, commit them with `git commit`"
        ));
    } else {
        session.output.say(format_args!("restored {restored}; {} in conflict", counted(in_conflict, "file")));
    }
    Ok(())
}

/// Returns what is said of how many came from git's history.
fn from_history(records: &[Record]) -> String {
    match records.iter().filter(|record| record.source == Some(Source::History)).count() {
        0 => String::new(),
        all if all == records.len() => " from git's history".to_owned(),
        some => format!(", {some} of them from git's history"),
    }
}

/// Warns where an item may be destroyed by now, or soon.
fn warn_of_retention(located: &[Located], session: &Session<'_>) {
    let horizon = Horizon::now();
    for located in located {
        let path = &located.wanted.path;
        match located.stored.as_ref().and_then(|stored| horizon.due(stored)) {
            Some(DueDate { date, has_come: true }) => {
                session.output.warn(format_args!("{path} may be destroyed since {date}"));
            }
            Some(DueDate { date, .. }) => {
                session.output.warn(format_args!("{path} may be destroyed soon, from {date} on"));
            }
            None => {}
        }
    }
}

impl SourceArgument {
    pub(crate) fn source(self) -> Source {
        match self {
            Self::Archive => Source::Archive,
            Self::History => Source::History,
        }
    }
}
