//! `batch-restore`: brings the items of a manifest back.

mod branch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use bstr::ByteVec as _;
use clap::Args;
use git_archive_tomb::archive::{AnyArchive, Archive};
use git_archive_tomb::batch::{
    BatchContext, BatchLock, Before, Ground, Job, Outcome, RestoreRow, Results, ResultsFile, RunOptions, Summary, Told,
    check_outputs, done_before, run as run_batch,
};
use git_archive_tomb::clock::{Stopwatch, Timestamp};
use git_archive_tomb::evidence::record::{Action, Record, Source};
use git_archive_tomb::git::Tracked;
use git_archive_tomb::governance::due::Horizon;
use git_archive_tomb::id::{ObjectId, OperationId, Tombstone};
use git_archive_tomb::manifest::{self, Manifest, ManifestError, Mistakes, Row};
use git_archive_tomb::quote::{quote, shell, unquote};
use git_archive_tomb::restore::{Located, locate_tombstones};
use serde::Serialize;
use tracing::info;

use super::restore::{BranchArguments, SourceArgument};
use super::retention::DueItems;
use crate::cli::acting::subject_of;
use crate::cli::arguments::ActorArguments;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::manifest::open_manifest;
use crate::cli::output::{Output, Style, counted};
use crate::cli::progress::Progress;
use crate::cli::session::{Session, shown};

/// Bring many items back, each to the output that a manifest names
///
/// A manifest is JSON (a list, or an object with `items`), JSON lines or CSV with a header; its rows have the fields
/// `tombstone`, `output` and, if somebody else wants the item back, `actor`. Everything that can be checked is checked before
/// anything is written. What became of every row is in the results file, from which a batch that was stopped goes on.
#[derive(Debug, Args)]
pub(crate) struct BatchRestoreArguments {
    /// The manifest; `-` is standard input
    manifest: PathBuf,
    #[command(flatten)]
    actor: ActorArguments,
    /// Keep the results in this file [default: `batch_restore_DATE_TIME.json` here]
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Check the manifest, print the number of its rows, and touch nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Carry on after an item that failed
    #[arg(long, conflicts_with = "branch")]
    continue_on_error: bool,
    /// Start at row N; the rows before it are skipped
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "branch")]
    resume_from: Option<u32>,
    /// Go on with the batch whose results are in this file: nothing is done twice, nothing left out
    #[arg(long, value_name = "RESULTS", conflicts_with_all = ["resume_from", "results", "branch"])]
    resume: Option<PathBuf>,
    /// Work on so many items at the same time, 1 to 32
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=32), conflicts_with = "branch")]
    max_concurrent: Option<u32>,
    /// Put relative outputs below this folder instead of the current one
    #[arg(long, value_name = "DIR")]
    output_root: Option<PathBuf>,
    /// Replace what stands at the outputs
    #[arg(short, long)]
    force: bool,
    /// Take the bytes from here only
    #[arg(long, value_enum, value_name = "SOURCE")]
    from: Option<SourceArgument>,
    #[command(flatten)]
    commit: BranchArguments,
}

/// Runs the command.
pub(crate) fn run(arguments: &BatchRestoreArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let (manifest, mistakes) = manifest::read_all(open_manifest(&arguments.manifest, session)?)?;
    if let Some(name) = &arguments.commit.branch {
        return branch::run(arguments, name, &manifest, mistakes, session);
    }
    let first_row = first_row(arguments, manifest.rows.len())?;
    let resumed = arguments.resume.as_ref().map(|path| session.directory().join(path));
    if let (Some(_), false) = (&resumed, mistakes.is_empty()) {
        // Nothing was ever begun with such a manifest.
        return Err(ManifestError::Mistakes(mistakes).into());
    }
    let known = resumed.as_ref().map(|path| Results::read(path, &manifest.sha256, &manifest.rows)).transpose()?;
    let root = root(arguments, known.as_ref(), session)?;
    let taken = taken(arguments, resumed.as_deref(), session)?;
    let paths = check(&manifest.rows, mistakes, &root, &taken, session)?;
    if arguments.dry_run {
        return dry_run(manifest.rows.len(), session);
    }
    let actor = session.actor(arguments.actor.by.as_deref())?;
    let mut batch = match (resumed, known) {
        (Some(path), Some(known)) => Batch::resume(&path, known.op, &manifest, session)?,
        _ => Batch::begin(arguments, &manifest, first_row, &root, session)?,
    };
    let mut record = Record::new(Action::Restore, batch.results.op, Timestamp::now());
    record.actor = Some(actor.clone());
    session.act(record);
    let mut archive = session.archive_to_restore(arguments.from.map(SourceArgument::source))?;
    let continue_on_error = arguments.continue_on_error || session.config()?.batch.continue_on_error;
    let tracked = Tracked::here(&session.repository)?;
    let located = locate_rows(&manifest.rows, (tracked, false), archive.as_deref_mut(), session)?;
    let only = arguments.from.map(SourceArgument::source);
    let withheld = withheld(&manifest.rows, &located, archive.as_deref_mut(), &actor, only, session)?;
    if !continue_on_error {
        let hint = "take the rows out, or bring back the others with `--continue-on-error`";
        refuse_what_does_not_come(&manifest.rows, &located, &withheld, &actor, hint)?;
    }
    warn_of_retention(located.values(), session);

    let (file, _lock) = batch.take_file(session)?;
    let jobs = jobs(&manifest.rows, &paths, (&located, &withheld), &actor);
    let config = session.config()?;
    let options = RunOptions {
        op: batch.results.op,
        actor,
        metrics: config.performance,
        threads: arguments.max_concurrent.map_or(config.batch.max_concurrent, |count| count as usize),
        timeout: config.batch.timeout_per_item,
        continue_on_error,
        force: arguments.force,
        only,
        resumed: arguments.resume.is_some(),
    };
    let into = if root == session.directory() { String::new() } else { format!(" into `{}`", shown(&root)) };
    session.output.say(format_args!("Processing {} from manifest{into}...", counted(manifest.rows.len(), "item")));
    let Batch { mut results, before, .. } = batch;
    let outcome = carry_out(&options, archive, jobs, &mut results, &file, before, session)
        .map_err(|error| error.hint(how_to_go_on(arguments, &file, session)))?;
    report(arguments, &outcome, &results, &file, session)
}

/// What is known of a batch before it runs.
struct Batch {
    results: Results,
    before: Before,
    /// The file that was named for the results.
    file: Option<ResultsFile>,
    /// Held from the beginning by a batch that goes on.
    lock: Option<BatchLock>,
}

impl Batch {
    /// Returns a new batch. Nothing is written.
    fn begin(
        arguments: &BatchRestoreArguments,
        manifest: &Manifest<RestoreRow>,
        first_row: usize,
        root: &Path,
        session: &Session<'_>,
    ) -> Result<Self, CommandError> {
        let mut results = Results::begin(OperationId::generate(), manifest.sha256, &manifest.rows);
        results.output_root = Some(quoted(root));
        results.first_row = first_row;
        let file = chosen_results(arguments, session)?.map(|path| ResultsFile::at(&path)).transpose()?;
        Ok(Self { results, before: Before::default(), file, lock: None })
    }

    /// Returns batch `op`, whose results are at `path`, as it is when no other process runs it.
    fn resume(
        path: &Path,
        op: OperationId,
        manifest: &Manifest<RestoreRow>,
        session: &Session<'_>,
    ) -> Result<Self, CommandError> {
        session.places.create()?;
        let lock = lock(op, session)?;
        // Read again: who held the lock until now may have gone on.
        let results = Results::read(path, &manifest.sha256, &manifest.rows)?;
        if results.op != op {
            return Err(is_running());
        }
        let before = done_before(&session.operations_log()?, op)?;
        Ok(Self { results, before, file: Some(ResultsFile::resumed(path)), lock: Some(lock) })
    }

    /// Takes the file for the results, made if need be, and the lock.
    fn take_file(&mut self, session: &Session<'_>) -> Result<(ResultsFile, BatchLock), CommandError> {
        session.places.create()?;
        if let (Some(file), Some(lock)) = (&self.file, self.lock.take()) {
            return Ok((file.clone(), lock));
        }
        // There before the lock: so one that is left behind belongs to a batch that somebody can go on with.
        let file = begin_file(self.file.take(), &self.results, session)?;
        Ok((file, lock(self.results.op, session)?))
    }
}

/// Writes the first results of a batch to `file`, or to one that is named by the time.
fn begin_file(
    file: Option<ResultsFile>,
    results: &Results,
    session: &Session<'_>,
) -> Result<ResultsFile, CommandError> {
    let Some(file) = file else { return Ok(ResultsFile::create_in(session.directory(), results)?) };
    file.begin(results)?;
    Ok(file)
}

fn first_row(arguments: &BatchRestoreArguments, rows: usize) -> Result<usize, CommandError> {
    let first = arguments.resume_from.map_or(1, |row| row as usize);
    if first > rows.max(1) {
        let text = format!("there is no row {first}: the manifest has {}", counted(rows, "row"));
        return Err(CommandError::new(Exit::Usage, text));
    }
    Ok(first)
}

/// Returns the folder that relative outputs start from, which is the same in all runs of a batch.
fn root(
    arguments: &BatchRestoreArguments,
    known: Option<&Results>,
    session: &Session<'_>,
) -> Result<PathBuf, CommandError> {
    let named = arguments.output_root.as_ref().map(|root| session.directory().join(root));
    let Some(known) = known else { return Ok(named.unwrap_or_else(|| session.directory().to_owned())) };
    if known.branch.is_some() {
        let text = "a batch onto a branch is not resumed: that has all items, or is not there";
        return Err(CommandError::new(Exit::Usage, text).hint("run it again if there is no such branch"));
    }
    let recorded = known.output_root.as_deref().and_then(|root| unquote(root)?.into_owned().into_path_buf().ok());
    let Some(recorded) = recorded.filter(|root| root.is_absolute()) else {
        return Err(CommandError::new(Exit::Usage, "the results file does not say in which folder the outputs are"));
    };
    let is_same = |named: &PathBuf| {
        let real = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        real(named) == real(&recorded)
    };
    if named.as_ref().is_none_or(is_same) {
        return Ok(recorded);
    }
    let text = format!("the outputs of this batch are in {}, not in another folder", shown(&recorded));
    Err(CommandError::new(Exit::Usage, text).hint("go on without `--output-root`"))
}

/// Returns the file that is named for the results, if one is.
fn chosen_results(arguments: &BatchRestoreArguments, session: &Session<'_>) -> Result<Option<PathBuf>, CommandError> {
    let configured = || Ok(session.config()?.batch.results_path.as_ref().map(|path| session.at_top(path)));
    arguments.results.as_ref().map_or_else(configured, |path| Ok(Some(session.directory().join(path))))
}

/// Returns the files that no output may be.
fn taken(
    arguments: &BatchRestoreArguments,
    resumed: Option<&Path>,
    session: &Session<'_>,
) -> Result<Vec<(PathBuf, &'static str)>, CommandError> {
    let results = resumed.map_or_else(|| chosen_results(arguments, session), |path| Ok(Some(path.to_owned())))?;
    let mut taken = vec![(session.directory().join(&arguments.manifest), "the manifest")];
    taken.extend(results.map(|path| (path, "the results file")));
    Ok(taken)
}

/// Checks all outputs, and refuses the manifest for all that is wrong with it.
fn check(
    rows: &[Row<RestoreRow>],
    mut mistakes: Mistakes,
    root: &Path,
    taken: &[(PathBuf, &'static str)],
    session: &Session<'_>,
) -> Result<Vec<PathBuf>, CommandError> {
    let paths = check_outputs(rows, &Ground { root, closed: &session.closed()?, taken }, &mut mistakes);
    if mistakes.is_empty() { Ok(paths) } else { Err(ManifestError::Mistakes(mistakes).into()) }
}

fn dry_run(rows: usize, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    #[derive(Serialize)]
    struct Counted {
        items: usize,
        dry_run: bool,
    }
    if session.output.json {
        session.output.object(&Counted { items: rows, dry_run: true })?;
    } else {
        session.output.line(format_args!("Manifest valid: {}; nothing was restored", counted(rows, "item")))?;
    }
    Ok(Exit::Done)
}

/// Looks all items up at once; where they may replace their stubs, those too.
fn locate_rows(
    rows: &[Row<RestoreRow>],
    (tracked, with_stubs): (Tracked, bool),
    archive: Option<&mut AnyArchive>,
    session: &Session<'_>,
) -> Result<HashMap<Tombstone, Located>, CommandError> {
    let mut tombstones: Vec<Tombstone> = rows.iter().map(|row| row.value.tombstone).collect();
    tombstones.sort_unstable();
    tombstones.dedup();
    let origin = session.known_origin()?;
    Ok(locate_tombstones(&session.repository, tracked, archive, &origin, &tombstones, with_stubs)?)
}

/// Why items are not handed out, by the item and whoever wants it.
type WithheldRows = HashMap<(Tombstone, String), String>;

/// Returns which rows' items are not handed out to whoever wants them there.
fn withheld(
    rows: &[Row<RestoreRow>],
    located: &HashMap<Tombstone, Located>,
    mut archive: Option<&mut AnyArchive>,
    actor: &str,
    only: Option<Source>,
    session: &Session<'_>,
) -> Result<WithheldRows, CommandError> {
    let mut wanted: BTreeMap<&str, BTreeSet<Tombstone>> = BTreeMap::new();
    for row in rows {
        wanted.entry(actor_of(row, actor)).or_default().insert(row.value.tombstone);
    }
    let mut withheld = WithheldRows::new();
    for (by, tombstones) in wanted {
        let known = tombstones.iter().filter_map(|tombstone| located.get(tombstone));
        let items: Vec<_> = known.map(|located| (subject_of(&located.wanted), located.stored.as_ref())).collect();
        for one in session.withheld(&items, archive.as_deref_mut(), Some(by), only)? {
            withheld.insert((one.tombstone, by.to_owned()), one.obstacle.to_string());
        }
    }
    Ok(withheld)
}

fn actor_of<'r>(row: &'r Row<RestoreRow>, actor: &'r str) -> &'r str {
    row.value.actor.as_deref().unwrap_or(actor)
}

/// Ends the batch before anything is written if an item is unknown, or not handed out.
fn refuse_what_does_not_come(
    rows: &[Row<RestoreRow>],
    located: &HashMap<Tombstone, Located>,
    withheld: &WithheldRows,
    actor: &str,
    hint: &str,
) -> Result<(), CommandError> {
    let (mut unknown, mut refused) = (Mistakes::default(), Mistakes::default());
    for row in rows {
        let tombstone = row.value.tombstone;
        if !located.contains_key(&tombstone) {
            unknown.add(row.mistake(format!("no item has the tombstone {tombstone}")));
        } else if let Some(why) = withheld.get(&(tombstone, actor_of(row, actor).to_owned())) {
            refused.add(row.mistake(format!("item {tombstone} is not handed out: {why}")));
        }
    }
    for (mistakes, what, exit) in
        [(unknown, "cannot be found", Exit::NotFound), (refused, "cannot be brought back", Exit::Governance)]
    {
        if !mistakes.is_empty() {
            let text = format!("{} of the manifest {what}", counted(mistakes.total(), "item"));
            return Err(CommandError::new(exit, text).listing(&mistakes).hint(hint));
        }
    }
    Ok(())
}

/// Warns where items may be destroyed by now, or soon.
fn warn_of_retention<'a>(located: impl Iterator<Item = &'a Located>, session: &Session<'_>) {
    let (mut due, horizon) = (DueItems::default(), Horizon::now());
    located.filter_map(|located| located.stored.as_ref()).for_each(|stored| due.count(&horizon, stored));
    due.warn(" of the manifest", session.output);
}

fn lock(op: OperationId, session: &Session<'_>) -> Result<BatchLock, CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::new(Exit::Failed, "the batch cannot be locked").caused_by(error.to_string())
    };
    BatchLock::take(session.places.folder(), op).map_err(failed)?.ok_or_else(is_running)
}

fn is_running() -> CommandError {
    CommandError::new(Exit::Failed, "this batch is running")
        .hint("wait for its end; its results file says how far it has come")
}

fn jobs(
    rows: &[Row<RestoreRow>],
    paths: &[PathBuf],
    (located, withheld): (&HashMap<Tombstone, Located>, &WithheldRows),
    actor: &str,
) -> Vec<Job> {
    let located = |row: &Row<RestoreRow>| {
        let tombstone = row.value.tombstone;
        match withheld.get(&(tombstone, actor_of(row, actor).to_owned())) {
            Some(why) => Err(format!("it is not handed out: {why}")),
            None => located.get(&tombstone).cloned().ok_or_else(|| "tombstone not found".to_owned()),
        }
    };
    rows.iter()
        .zip(paths)
        .map(|(row, path)| Job {
            row: row.number,
            tombstone: row.value.tombstone,
            located: located(row),
            path: path.clone(),
            output: quote(row.value.output.as_deref().unwrap_or_default().as_bytes()).into_owned(),
            actor: actor_of(row, actor).to_owned(),
        })
        .collect()
}

/// Brings the items back, and says how it goes.
fn carry_out(
    options: &RunOptions,
    archive: Option<Box<AnyArchive>>,
    jobs: Vec<Job>,
    results: &mut Results,
    file: &ResultsFile,
    before: Before,
    session: &Session<'_>,
) -> Result<Outcome, CommandError> {
    let (total, interval) = (results.items.len(), session.config()?.batch.progress_interval);
    let (actor, backend) = (options.actor.as_str(), archive.as_deref().map(Archive::backend));
    info!(action = "BATCH_RESTORE", actor, backend, "Batch restore of {} started", counted(total, "item"));
    let bar = Progress::count("restoring", total as u64, session.output.quiet);
    let output: &Output = session.output;
    let is_terminal = std::io::stderr().is_terminal();
    let mut tell = |told: Told<'_>| match told {
        Told::Failed { row, error } => bar.above(|| output.say_error(format_args!("Item {row} failed: {error}"))),
        Told::Progress { done } if is_terminal => bar.set(done as u64),
        Told::Progress { done } => {
            if done == total || (done as u64).is_multiple_of(interval) {
                output.say(format_args!("Progress: {done}/{total} ({}%)", done * 100 / total.max(1)));
            }
        }
    };
    let pool = match (archive, backend) {
        (Some(archive), Some(backend)) => Some((session.pool_with(archive, options.threads + 1)?, backend)),
        _ => None,
    };
    let redactor = session.redactor()?;
    let log = session.operations_log()?;
    session.catch_signals()?;
    let context = BatchContext {
        repository: &session.repository,
        pool,
        log: &log,
        redactor: &redactor,
        interrupted: &session.interrupted,
        tell: &mut tell,
    };
    let watch = Stopwatch::start();
    let outcome = run_batch(context, options, jobs, results, file, before);
    // Where people read, the log's lines and the bar share a screen.
    drop(bar);
    let Summary { succeeded, failed, skipped, .. } = results.summary();
    info!(
        action = "BATCH_RESTORE",
        actor,
        duration_ms = watch.elapsed_ms(),
        backend,
        "Batch restore ended: {succeeded} succeeded, {failed} failed, {skipped} skipped"
    );
    Ok(outcome?)
}

/// What is printed of a batch in JSON.
#[derive(Serialize)]
struct BatchView {
    #[serde(flatten)]
    summary: Summary,
    results: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<ObjectId>,
}

/// Prints what came of the batch.
fn print_summary(title: &str, view: &BatchView, session: &mut Session<'_>) -> Result<(), CommandError> {
    if session.output.json {
        return session.output.object(view);
    }
    let summary = view.summary;
    session.output.line(title)?;
    let good = session.output.styled(Style::Good, "✓");
    session.output.line(format_args!("  {good} Succeeded: {}", summary.succeeded))?;
    let bad = session.output.styled(if summary.failed > 0 { Style::Error } else { Style::Dim }, "✗");
    session.output.line(format_args!("  {bad} Failed: {}", summary.failed))?;
    if summary.skipped > 0 {
        session.output.line(format_args!("  - Skipped: {}", summary.skipped))?;
    }
    session.output.line(format_args!("  Total Time: {}", for_people(summary.total_duration_ms)))?;
    session.output.line(format_args!("Results saved to: {}", view.results))
}

/// Prints what came of the batch, and what to do next.
fn report(
    arguments: &BatchRestoreArguments,
    outcome: &Outcome,
    results: &Results,
    file: &ResultsFile,
    session: &mut Session<'_>,
) -> Result<Exit, CommandError> {
    let path = file.path().strip_prefix(session.directory()).unwrap_or(file.path());
    let title = if outcome.interrupted { "Batch Restore Interrupted:" } else { "Batch Restore Complete:" };
    let view = BatchView { summary: results.summary(), results: shown(path), branch: None, commit: None };
    print_summary(title, &view, session)?;
    let is_done = results.first_undone().is_none();
    if let Some(why) = &outcome.unrecorded {
        session.output.warn(format_args!("the archive's events lack what the operations log has: {why}"));
    }
    if !is_done || outcome.unrecorded.is_some() {
        session.output.hint(how_to_go_on(arguments, file, session));
    }
    Ok(match (outcome.interrupted, is_done && outcome.unrecorded.is_none()) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Done,
        (false, false) => Exit::Failed,
    })
}

/// Returns the command that goes on with a batch that did not come to its end.
fn how_to_go_on(arguments: &BatchRestoreArguments, file: &ResultsFile, session: &Session<'_>) -> String {
    // With `-C`, paths are not those of whoever reads this.
    let is_here = session.global.directories.is_empty();
    let word = |path: &Path| {
        let path = if is_here { path.to_owned() } else { session.directory().join(path) };
        shell(&<Vec<u8>>::from_path_lossy(&path))
    };
    let results = word(file.path().strip_prefix(session.directory()).unwrap_or(file.path()));
    if arguments.manifest.as_os_str() == "-" {
        return format!("go on with the same manifest and `--resume {results}`");
    }
    let by = arguments.actor.by.as_ref().map(|by| format!(" --by {}", shell(by.as_bytes()))).unwrap_or_default();
    let carries_on = if arguments.continue_on_error { " --continue-on-error" } else { "" };
    let force = if arguments.force { " --force" } else { "" };
    let from = match arguments.from {
        Some(SourceArgument::Archive) => " --from archive",
        Some(SourceArgument::History) => " --from history",
        None => "",
    };
    let manifest = word(&arguments.manifest);
    format!("go on with `git archive-tomb batch-restore {manifest} --resume {results}{by}{carries_on}{force}{from}`")
}

fn quoted(path: &Path) -> String {
    quote(&<Vec<u8>>::from_path_lossy(path)).into_owned()
}

/// Returns a duration as people read it.
fn for_people(milliseconds: f64) -> String {
    if milliseconds < 10_000.0 {
        return format!("{milliseconds:.1}ms");
    }
    format!("{:.1}s", milliseconds / 1_000.0)
}
