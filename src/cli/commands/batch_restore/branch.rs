//! `batch-restore --branch`: all items in one commit on a new branch, or none.

use std::collections::HashMap;
use std::ffi::OsStr;

use bstr::ByteSlice as _;
use git_archive_tomb::archive::AnyArchive;
use git_archive_tomb::batch::{RestoreRow, Results, ResultsFile, RowStatus, check_repo_paths};
use git_archive_tomb::clock::{Stopwatch, Timestamp};
use git_archive_tomb::evidence::record::{Action, Level, Record, Status};
use git_archive_tomb::git::Tracked;
use git_archive_tomb::id::{OperationId, Tombstone};
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::manifest::{Manifest, ManifestError, Mistakes, Row};
use git_archive_tomb::operation::Outcome;
use git_archive_tomb::restore::{BranchItem, Located, RestorePlan, check_branch_name, plan_branch};

use super::super::restore::{Failure, RestoreRun, SourceArgument, path_in_repository, say_where};
use super::{
    BatchRestoreArguments, BatchView, begin_file, chosen_results, dry_run, locate_rows, print_summary,
    refuse_what_does_not_come, warn_of_retention, withheld,
};
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::session::{Session, shown};

/// Runs the command, where `name` is the branch.
pub(super) fn run(
    arguments: &BatchRestoreArguments,
    name: &OsStr,
    manifest: &Manifest<RestoreRow>,
    mistakes: Mistakes,
    session: &mut Session<'_>,
) -> Result<Exit, CommandError> {
    let outputs = outputs(arguments, &manifest.rows, mistakes, session)?;
    check_branch_name(&session.repository, <[u8]>::from_os_str(name).unwrap_or_default())?;
    if arguments.dry_run {
        return dry_run(manifest.rows.len(), session);
    }
    let mut results = Results::begin(OperationId::generate(), manifest.sha256, &manifest.rows);
    results.branch = Some(name.to_string_lossy().into_owned());
    let file = chosen_results(arguments, session)?.map(|path| ResultsFile::at(&path)).transpose()?;
    let run = RestoreRun {
        op: results.op,
        actor: session.actor(arguments.actor.by.as_deref())?,
        only: arguments.from.map(SourceArgument::source),
        metrics: session.config()?.performance,
        watch: Stopwatch::start(),
    };
    session.act(run.record(Action::Restore));
    let options = arguments.commit.options(name, &run, arguments.force, session)?;
    let mut archive = session.archive_to_restore(run.only)?;
    let tracked = Tracked::Tree(options.base.tree);
    let located = locate_rows(&manifest.rows, (tracked, true), archive.as_deref_mut(), session)?;
    let withheld = withheld(&manifest.rows, &located, archive.as_deref_mut(), &run.actor, run.only, session)?;
    refuse_what_does_not_come(&manifest.rows, &located, &withheld, &run.actor, "take the rows out")?;
    warn_of_retention(located.values(), session);
    let (items, places) = items(&manifest.rows, outputs, &located);
    let plan = plan_branch(&session.repository, items, &options)?;
    // From here on it is known what was asked for, whatever happens.
    let file = begin_file(file, &results, session)?;
    if !plan.items.is_empty() {
        session.record(&batch_record(&run, Status::Intent, manifest.rows.len(), None), archive.as_deref_mut())?;
    }
    let committed = run.commit(&plan, session, archive.as_deref_mut()).map_err(|failure| match failure {
        Failure::Recorded(error) | Failure::New(error, _) => error,
    });
    let outcome = committed.inspect_err(|error| {
        let last = batch_record(&run, Status::Failed, 0, Some(error));
        let _ = session.record(&last, archive.as_deref_mut());
        results.finished_at = Some(Timestamp::now());
        let _ = file.write(&results);
    })?;
    finish(&run, &plan, outcome.as_ref(), &places, &mut results, archive.as_deref_mut(), session)?;

    file.write(&results)?;
    let path = file.path().strip_prefix(session.directory()).unwrap_or(file.path());
    let commit = outcome.as_ref().and_then(|outcome| outcome.commit);
    let view = BatchView { summary: results.summary(), results: shown(path), branch: results.branch.clone(), commit };
    print_summary("Batch Restore Complete:", &view, session)?;
    if let Some(outcome) = &outcome {
        say_where(&plan, outcome, session)?;
    }
    Ok(Exit::Done)
}

/// Returns the paths in the repository that the rows name, and refuses the manifest for all that is wrong with it.
fn outputs(
    arguments: &BatchRestoreArguments,
    rows: &[Row<RestoreRow>],
    mut mistakes: Mistakes,
    session: &Session<'_>,
) -> Result<Vec<Option<RepoPath>>, CommandError> {
    let mut outputs = Vec::with_capacity(rows.len());
    for row in rows {
        let named = row.value.output.as_ref().map(|output| match &arguments.output_root {
            Some(root) => root.join(output).into_os_string(),
            None => output.into(),
        });
        match named.map(|named| path_in_repository(session, &named)).transpose() {
            Ok(path) => outputs.push(path),
            // What it is caused by says more, and names the path too.
            Err(error) => mistakes.add(row.mistake(error.deepest())),
        }
    }
    if mistakes.is_empty() {
        let named = rows.iter().zip(&outputs).filter_map(|(row, output)| Some((row, output.as_ref()?)));
        check_repo_paths(named, &mut mistakes);
    }
    if mistakes.is_empty() { Ok(outputs) } else { Err(ManifestError::Mistakes(mistakes).into()) }
}

/// Returns what comes back, and where that is by row.
fn items(
    rows: &[Row<RestoreRow>],
    outputs: Vec<Option<RepoPath>>,
    located: &HashMap<Tombstone, Located>,
) -> (Vec<BranchItem>, Vec<RepoPath>) {
    let (mut items, mut places) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for (row, output) in rows.iter().zip(outputs) {
        let Some(located) = located.get(&row.value.tombstone) else { continue };
        let mut item = BranchItem::new(located.clone(), output);
        item.actor.clone_from(&row.value.actor);
        places.push(item.path.clone());
        items.push(item);
    }
    (items, places)
}

/// Records that the batch is done, and fills the results in: all of them are successes.
fn finish(
    run: &RestoreRun,
    plan: &RestorePlan,
    outcome: Option<&Outcome>,
    places: &[RepoPath],
    results: &mut Results,
    archive: Option<&mut AnyArchive>,
    session: &Session<'_>,
) -> Result<(), CommandError> {
    let records = outcome.map(|outcome| outcome.records.as_slice()).unwrap_or_default();
    let by_path: HashMap<&RepoPath, &Record> = plan.items.iter().map(|item| &item.path).zip(records).collect();
    for (item, place) in results.items.iter_mut().zip(places) {
        item.status = RowStatus::Success;
        item.attempts = 1;
        if let Some(record) = by_path.get(place) {
            item.duration_ms = record.duration_ms;
            item.decompression_ms = record.decompression_ms;
            item.write_ms = record.write_ms;
        }
    }
    if outcome.is_none() {
        results.branch = None;
    } else {
        session.record(&batch_record(run, Status::Done, records.len(), None), archive)?;
    }
    results.duration_ms = run.watch.elapsed_ms();
    results.finished_at = Some(Timestamp::now());
    Ok(())
}

/// Returns the record that the batch begins or ends.
fn batch_record(run: &RestoreRun, status: Status, count: usize, error: Option<&CommandError>) -> Record {
    let mut record = run.record(Action::BatchRestore);
    record.status = Some(status);
    record.count = Some(count as u64);
    if let Some(error) = error {
        record.level = Level::Error;
        record.error = Some(crate::cli::talk::redacted(&error.summary()).chars().take(1000).collect());
    }
    if status != Status::Intent {
        record.duration_ms = run.metrics.total(run.watch.elapsed_ms());
    }
    record
}
