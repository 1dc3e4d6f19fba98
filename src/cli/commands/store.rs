//! `store`: archives files and leaves stubs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;

use bstr::{BString, ByteVec};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use git_archive_tomb::archive::{Change, OpenMode, Progress as StoreProgress, StoreContentsOptions};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record, Status};
use git_archive_tomb::id::{ObjectId, Sha256, Tombstone};
use git_archive_tomb::item::{Date, JsonPath, Kind, Reason, Referent, RepoPath};
use git_archive_tomb::operation::{OperationContext, Outcome, execute};
use git_archive_tomb::store::{
    PlanError, PlannedItem, Refusal, RefusalReason, SkippedPath, Store, StoreOptions, StorePlan, check_purged, plan,
};
use git_archive_tomb::stub::Style;
use git_archive_tomb::textconv::setup;
use serde::Serialize;

use crate::cli::arguments::{ActorArguments, key_value};
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{counted, human_size};
use crate::cli::progress::Progress;
use crate::cli::session::{Session, shown};
use crate::cli::view::PathView;
use crate::cli::when::parse_day;

/// The longest name of a repository, in bytes: a stub that tells it has to stay small.
const MAX_REPO: usize = 1024;

/// The longest list of pathspecs that is read from a file, in bytes.
const MAX_PATHSPEC_FILE: u64 = 256 << 20;

/// Archive files or folders and leave a stub at each path
///
/// Reads the paths at a commit, puts their bytes into the archive, leaves a tombstone stub at each path and stages
/// stubs and evidence. Committing is up to you. Prints one JSON object per item.
#[derive(Debug, Args)]
pub(crate) struct StoreArguments {
    /// Files, folders or git pathspecs
    #[arg(value_name = "PATH", required_unless_present = "pathspec_from_file")]
    paths: Vec<OsString>,
    #[command(flatten)]
    items: ItemArguments,
    /// Read pathspecs from a file, one per line; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "paths")]
    pathspec_from_file: Option<PathBuf>,
    /// The pathspecs in the file end with NUL, not with a newline
    #[arg(long, requires = "pathspec_from_file")]
    pathspec_file_nul: bool,
}

/// What is archived as what, and how: for all paths of a command.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct ItemArguments {
    #[command(flatten)]
    actor: ActorArguments,
    /// Why the paths go
    #[arg(long, value_name = "dead|pruned|legacy|replaced", default_value = "dead")]
    reason: Reason,
    /// The revision whose tree is read
    #[arg(long, value_name = "REV", default_value = "HEAD")]
    commit: String,
    /// The repository's name in the records; by default the last part of `remote.origin.url`, else the folder's name
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,
    /// What sort of file it is; by default guessed from the path
    #[arg(long, value_name = "code|doc|asset")]
    kind: Option<Kind>,
    /// The programming or markup language; by default guessed from the path
    #[arg(long)]
    language: Option<String>,
    /// The media type; by default guessed from the path
    #[arg(long)]
    mime: Option<String>,
    /// A label; may be repeated
    #[arg(long = "tag", value_name = "TAG", value_parser = NonEmptyStringValueParser::new())]
    tags: Vec<String>,
    /// A fact to keep with the items; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    metadata: Vec<(String, String)>,
    /// A pointer to something elsewhere, such as `pr=123`; may be repeated
    #[arg(long = "ref", value_name = "TYPE=VALUE", value_parser = key_value)]
    refs: Vec<(String, String)>,
    /// The day before which the bytes are not to be destroyed: a date, or days from today such as `90d`
    #[arg(long, value_name = "DATE|DAYS")]
    delete_after: Option<String>,
    /// Put the items under a legal hold
    #[arg(long)]
    legal_hold: bool,
    /// Archive also what was purged: its bytes are in the archive again then, on record
    #[arg(long)]
    allow_purged: bool,
    /// What stubs are like: `loud` ones fail with the restore command when they are used
    #[arg(long, value_name = "auto|loud|comment")]
    stub: Option<Style>,
    /// Archive only, and leave the paths as they are
    #[arg(long)]
    keep: bool,
    /// Archive locally modified files as they stand
    #[arg(long)]
    allow_dirty: bool,
    /// Print what would be archived, and change nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
}

/// One line of the results.
#[derive(Serialize)]
struct StoredView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone: Option<Tombstone>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compressed_size: Option<u64>,
    repo: &'a str,
    #[serde(flatten)]
    path: PathView,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<ObjectId>,
    commit: ObjectId,
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Sha256>,
    status: &'static str,
}

/// Runs the command.
pub(crate) fn run(arguments: &StoreArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    prepare(session)?;
    let pathspecs = pathspecs(arguments, session)?;
    // To git, no pathspec means everything; an empty list was hardly meant so.
    if pathspecs.is_empty() {
        return Err(CommandError::new(Exit::Usage, "the list of paths is empty"));
    }
    let options = arguments.items.options(session)?;
    let plan = plan(&session.repository, &pathspecs, &options).map_err(|error| {
        let hint = repository_name_hint(arguments, &error);
        let error = CommandError::from(error);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })?;
    archive(&plan, arguments.items.dry_run, session)
}

/// Checks that an operation may begin here.
pub(crate) fn prepare(session: &Session<'_>) -> Result<(), CommandError> {
    session.repository.require_work_tree()?;
    session.refuse_unfinished()?;
    session.check_places()
}

/// Archives what is planned, or prints it.
pub(super) fn archive(plan: &StorePlan, dry_run: bool, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    if dry_run {
        // An archive that is not there yet refuses nothing.
        if let Some(mut archive) = session.archive_if_any()? {
            check_purged(&session.repository, &mut *archive, plan)?;
        }
        return print_plan(plan, session);
    }
    if plan.items.is_empty() {
        report(plan, None, session)?;
        return Ok(Exit::Done);
    }
    let outcome = carry_out(plan.clone(), session)?;
    see_through(plan, session);
    report(plan, Some(&outcome), session)?;
    Ok(if outcome.left.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Makes git's diffs see through the new stubs, where that was asked for. The archival is done: whatever fails here is a
/// warning.
fn see_through(plan: &StorePlan, session: &Session<'_>) {
    let paths: Vec<&RepoPath> = plan.items.iter().map(|item| &item.path).collect();
    let covered = session.git_config().and_then(|config| {
        if setup::is_enabled(config) && !plan.keep { Ok(setup::cover(&session.repository, &paths)?) } else { Ok(()) }
    });
    if let Err(error) = covered {
        session.output.warn(format_args!("git's diffs do not see through the new stubs: {}", error.summary()));
        session.output.hint("`git archive-tomb init --textconv` makes them do so");
    }
}

/// Returns the pathspecs of the command line or of the file.
fn pathspecs(arguments: &StoreArguments, session: &Session<'_>) -> Result<Vec<BString>, CommandError> {
    let Some(file) = &arguments.pathspec_from_file else {
        return Ok(arguments.paths.iter().map(|path| Vec::from_os_str_lossy(path).into_owned().into()).collect());
    };
    let failed = |error: std::io::Error| {
        CommandError::new(Exit::Usage, format!("cannot read {}", shown(file))).caused_by(error.to_string())
    };
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(MAX_PATHSPEC_FILE).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = std::fs::File::open(session.directory().join(file)).map_err(failed)?;
        file.take(MAX_PATHSPEC_FILE).read_to_end(&mut bytes).map_err(failed)?;
    }
    let separator = if arguments.pathspec_file_nul { 0 } else { b'\n' };
    let lines = bytes.split(|byte| *byte == separator).filter(|line| !line.is_empty());
    if arguments.pathspec_file_nul {
        return Ok(lines.map(BString::from).collect());
    }
    lines
        .map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // Git quotes such lines as it quotes paths in its own output.
            let unquoted = std::str::from_utf8(line).ok().map_or(Some(line.into()), git_archive_tomb::quote::unquote);
            unquoted
                .map(|line| line.into_owned().into())
                .ok_or_else(|| CommandError::new(Exit::Usage, format!("a line of {} is badly quoted", shown(file))))
        })
        .collect()
}

impl ItemArguments {
    /// Returns what they mean here.
    pub(super) fn options(&self, session: &Session<'_>) -> Result<StoreOptions, CommandError> {
        let today = Date(Timestamp::now().date());
        let delete_after = self.delete_after.as_deref().map(|text| parse_day("--delete-after", text, today));
        let metadata: BTreeMap<String, String> = self.metadata.iter().cloned().collect();
        if metadata.len() < self.metadata.len() {
            return Err(CommandError::new(Exit::Usage, "`--metadata` gives one key several values"));
        }
        let repo = self.repo.clone().map_or_else(|| session.repo_name(), Ok)?;
        if repo.trim().is_empty() || repo.len() > MAX_REPO {
            return Err(CommandError::new(Exit::Usage, "the repository's name is empty or longer than 1,024 bytes"));
        }
        Ok(StoreOptions {
            commit: self.commit.clone(),
            repo,
            actor: session.actor(self.actor.by.as_deref())?,
            reason: self.reason,
            kind: self.kind,
            language: self.language.clone(),
            mime: self.mime.clone(),
            tags: self.tags.clone(),
            metadata,
            refs: self.refs.iter().map(|(kind, value)| Referent { kind: kind.clone(), value: value.clone() }).collect(),
            delete_after: delete_after.transpose()?,
            legal_hold: self.legal_hold,
            allow_purged: self.allow_purged,
            style: self.stub.map_or_else(|| Ok(session.config()?.stub.style), Ok::<_, CommandError>)?,
            keep: self.keep,
            allow_dirty: self.allow_dirty,
            in_conflict: false,
            dry_run: self.dry_run,
        })
    }
}

/// The Python tool's command took the repository's name first: whoever still types that gets a hint.
fn repository_name_hint(arguments: &StoreArguments, error: &PlanError) -> Option<String> {
    let PlanError::Refused { refusals } = error else { return None };
    let first = arguments.paths.first()?;
    let is_nothing =
        |refusal: &Refusal| refusal.reason == RefusalReason::NoMatch && refusal.path == first.as_encoded_bytes();
    let looks_like_name = !first.as_encoded_bytes().iter().any(|byte| b"/*?[:.".contains(byte));
    (arguments.paths.len() > 1 && refusals.iter().any(is_nothing) && looks_like_name)
        .then(|| format!("a repository's name is given with `--repo {}`", first.to_string_lossy()))
}

/// Carries the plan out.
pub(super) fn carry_out(plan: StorePlan, session: &Session<'_>) -> Result<Outcome, CommandError> {
    session.act(plan.facts.record(Action::Archive));
    let default = session.is_default_archive()?;
    let missing = default && session.places.archive().symlink_metadata().is_err();
    let mode = if default { OpenMode::CreateIfMissing } else { OpenMode::Existing };
    let mut archive = session.open_archive(mode)?;
    archive.check_change(Change::Store)?;
    if missing {
        session.output.say(format_args!("made the archive {}", session.shown_archive()?));
    }
    session.places.link(session.is_default_archive()?)?;
    let total = plan.items.iter().map(|item| item.size).sum();
    let bar = Progress::bytes("archiving", total, session.output.quiet);
    let mut progress = |progress: StoreProgress| bar.set(progress.bytes);
    let templates = session.templates()?;
    let storage = StoreContentsOptions { level: session.config()?.storage.level, ..StoreContentsOptions::default() };
    let mut store = Store { plan, templates: &templates, storage, progress: &mut progress };
    let (log, origin) = (session.operations_log()?, session.origin()?);
    let redactor = session.config()?.redactor();
    let mut context = OperationContext {
        repository: &session.repository,
        archive: Some(&mut *archive),
        places: &session.places,
        log: &log,
        origin: &origin,
        interrupted: &session.interrupted,
        redactor: &redactor,
    };
    session.catch_signals()?;
    Ok(execute(&mut context, &mut store)?)
}

/// Prints what became of every path, in order, and a summary.
fn report(plan: &StorePlan, outcome: Option<&Outcome>, session: &mut Session<'_>) -> Result<(), CommandError> {
    let mut lines: Vec<(&RepoPath, StoredView<'_>)> = Vec::new();
    if let Some(outcome) = outcome {
        for (item, record) in plan.items.iter().zip(&outcome.records) {
            lines.push((&item.path, stored_view(plan, item, record, &outcome.evidence)));
        }
    }
    lines.extend(plan.skipped.iter().map(|skipped| (&skipped.path, skipped_view(plan, skipped))));
    print_lines(lines, session)?;
    say_skipped(plan, session);
    let Some(outcome) = outcome else {
        session.output.say("nothing to archive");
        return Ok(());
    };
    let raw: u64 = outcome.records.iter().filter_map(|record| record.size).sum();
    let stored: u64 = outcome.records.iter().filter_map(|record| record.compressed_size).sum();
    session.output.say(format_args!(
        "archived {} ({}, {} in the archive)",
        counted(outcome.records.len(), "file"),
        human_size(raw),
        human_size(stored)
    ));
    for path in &outcome.left {
        session.output.warn(format_args!("{path} changed in the meantime and was left as it is"));
    }
    let what = if plan.keep { "its evidence is staged" } else { "stubs and evidence are staged" };
    session.output.say(format_args!("{what}; commit them with `git commit`"));
    Ok(())
}

/// Prints what would be archived, in the order and the shape of what is.
fn print_plan(plan: &StorePlan, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut lines: Vec<(&RepoPath, StoredView<'_>)> = Vec::new();
    for item in &plan.items {
        let (size_bytes, object) = (Some(item.size), Some(item.object));
        lines.push((
            &item.path,
            StoredView { size_bytes, object, ..empty_view(plan, &item.path, item.label, "planned") },
        ));
    }
    for skipped in &plan.skipped {
        lines.push((&skipped.path, skipped_view(plan, skipped)));
    }
    print_lines(lines, session)?;
    say_skipped(plan, session);
    let bytes = plan.items.iter().map(|item| item.size).sum();
    session.output.say(format_args!(
        "would archive {} ({}); nothing was changed",
        counted(plan.items.len(), "file"),
        human_size(bytes)
    ));
    Ok(Exit::Done)
}

fn print_lines(mut lines: Vec<(&RepoPath, StoredView<'_>)>, session: &mut Session<'_>) -> Result<(), CommandError> {
    lines.sort_by(|a, b| a.0.cmp(b.0));
    lines.iter().try_for_each(|(_, line)| session.output.object(line))
}

fn say_skipped(plan: &StorePlan, session: &Session<'_>) {
    if !plan.skipped.is_empty() {
        let verb = if plan.skipped.len() == 1 { "is a stub" } else { "are stubs" };
        session.output.say(format_args!("skipped {} that {verb} already", counted(plan.skipped.len(), "path")));
    }
}

fn skipped_view<'a>(plan: &'a StorePlan, skipped: &SkippedPath) -> StoredView<'a> {
    StoredView { tombstone: Some(skipped.tombstone), ..empty_view(plan, &skipped.path, skipped.label, "skipped") }
}

fn stored_view<'a>(plan: &'a StorePlan, item: &PlannedItem, record: &Record, evidence: &Sha256) -> StoredView<'a> {
    StoredView {
        tombstone: record.tombstone,
        sha256: record.sha256,
        size_bytes: record.size,
        compressed_size: record.compressed_size,
        object: record.object,
        evidence: Some(*evidence),
        ..empty_view(plan, &item.path, item.label, record.status.map_or("stored", Status::as_str))
    }
}

fn empty_view<'a>(plan: &'a StorePlan, path: &RepoPath, label: usize, status: &'static str) -> StoredView<'a> {
    StoredView {
        tombstone: None,
        sha256: None,
        size_bytes: None,
        compressed_size: None,
        repo: &plan.facts.repo,
        path: JsonPath::from(path).into(),
        object: None,
        commit: plan.commit,
        reason: plan.labels[label].reason,
        evidence: None,
        status,
    }
}
