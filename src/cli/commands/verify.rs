//! `verify`: checks stubs and evidence; also what the hooks run.

use std::collections::HashSet;
use std::io::{IsTerminal, Read, Write};

use clap::{Args, ValueEnum};
use git_archive_tomb::config::Place;
use git_archive_tomb::hooks::Hook;
use git_archive_tomb::id::ObjectId;
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::quote::quote;
use git_archive_tomb::survey::{StubContent, blob_stub};
use git_archive_tomb::verify::{Options, Scope, deepen, render, verify};

use super::hooks::RunArguments;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{counted, output_error};
use crate::cli::range::Range;
use crate::cli::session::Session;

/// The longest list of pushed references that a hook reads, in bytes.
const MAX_PUSH_LIST: u64 = 16 << 20;

/// Check stubs and evidence
///
/// Without options, what is staged is checked, as the pre-commit hook does. Nothing is written, and without `--deep`
/// nothing is connected to.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct VerifyArguments {
    /// Check what is about to be committed (the default)
    #[arg(long, conflicts_with_all = ["range", "all"])]
    staged: bool,
    /// Check every commit reachable from B and not from A
    #[arg(long, value_name = "A..B", conflicts_with = "all")]
    range: Option<String>,
    /// Check the stubs here, and the evidence of the whole history
    #[arg(long)]
    all: bool,
    /// Also compare with the archive: read and hash the bytes of every stub here
    #[arg(long)]
    deep: bool,
    /// Take evidence that names unknown predecessors for an error
    #[arg(long)]
    strict: bool,
    /// How findings are printed
    #[arg(long, value_enum, default_value = "text", hide_default_value = true)]
    format: FormatArgument,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArgument {
    /// For people
    Text,
    /// One JSON object per finding
    Json,
    /// Annotations of GitHub Actions
    Github,
    /// SARIF 2.1.0
    Sarif,
}

/// Runs the command.
pub(crate) fn run(arguments: &VerifyArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let scope = match (&arguments.range, arguments.all) {
        (Some(range), _) => {
            let Range { from, to } = Range::parse(range, &session.repository)?;
            Scope::Range { from, to }
        }
        (None, true) => Scope::All,
        (None, false) => Scope::Staged { merge_heads: merge_heads_of_environment() },
    };
    let mut report = verify(&session.repository, &scope, Options { strict: arguments.strict })?;
    if arguments.deep {
        let mut archive = session.archive()?;
        deepen(&mut report, &session.repository, &mut *archive, &session.known_origin()?)?;
    }
    let format = if session.output.json { FormatArgument::Json } else { arguments.format };
    let text = match format {
        FormatArgument::Text => render::text(&report),
        FormatArgument::Json => render::json(&report),
        FormatArgument::Github => render::github(&report),
        FormatArgument::Sarif => render::sarif(&report),
    };
    session.output.raw().write_all(text.as_bytes()).map_err(|error| output_error(&error))?;
    Ok(if report.is_clean() { Exit::Done } else { Exit::Failed })
}

/// Returns the commits that a running `git merge` names to its hooks, one variable `GITHEAD_<id>` each.
fn merge_heads_of_environment() -> Vec<ObjectId> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter_map(|name| name.strip_prefix("GITHEAD_")?.parse().ok()).collect()
}

/// Runs a hook.
pub(crate) fn run_hook(arguments: &RunArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    match arguments.hook {
        Hook::PreCommit | Hook::PreMergeCommit => check_commit(session),
        Hook::PrePush => check_push(session),
    }
}

/// Checks what is about to be committed. It is silent unless there is something to say.
fn check_commit(session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let scope = Scope::Staged { merge_heads: merge_heads_of_environment() };
    let report = verify(&session.repository, &scope, Options::default())?;
    if report.findings.is_empty() {
        return Ok(Exit::Done);
    }
    // Git shows a hook's standard output with its standard error.
    session.output.raw().write_all(render::text(&report).as_bytes()).map_err(|error| output_error(&error))?;
    if report.is_clean() {
        return Ok(Exit::Done);
    }
    Err(CommandError::new(Exit::Failed, "the commit is refused: stubs and evidence do not agree"))
}

/// Warns about, or with `hooks.require_copies` refuses, stubs whose bytes would be in too few places after the push.
fn check_push(session: &Session<'_>) -> Result<Exit, CommandError> {
    let required = session.config()?.hooks.require_copies as usize;
    // A push does not fail for an archive that cannot be opened: then it is no place.
    let mut archive = session.archive_if_any().unwrap_or_default();
    let origin = session.known_origin()?;
    // A local archive is one place, and a place of this machine alone.
    let archive_is_local = matches!(session.config()?.url.place(), Some(Place::Default | Place::Path(_)));
    let (mut only_here, mut too_few) = (Vec::new(), Vec::new());
    for (local, remote) in pushed(session)? {
        let objects = session.repository.objects();
        let known = remote.filter(|remote| objects.commit(remote).is_ok());
        let history = objects.history(&[local], &[])?;
        let reachable: HashSet<ObjectId> = history.commits.iter().map(|commit| commit.id).collect();
        let old = known.map(|remote| objects.commit(&remote)).transpose()?.map(|commit| commit.tree);
        let new = objects.commit(&local)?.tree;
        for change in objects.diff_trees(old.as_ref(), Some(&new)) {
            // Paths that this program does not handle cannot be stubs of its making.
            let Ok(change) = change else { continue };
            let Some(entry) = change.new else { continue };
            let Some(StubContent::Stub(parsed)) = blob_stub(&session.repository, &entry)? else { continue };
            let stub = &parsed.stub;
            let stored = match &mut archive {
                Some(archive) => archive.item(&stub.tombstone)?.filter(|stored| stored.is_visible_to(&origin)),
                None => None,
            };
            let in_archive = stored.as_ref().is_some_and(|stored| stored.purged_at.is_none());
            if stored.is_some() && !in_archive {
                continue;
            }
            // The remote gets the blob with the commit that held it.
            let dirty = stored.is_some_and(|stored| stored.item.dirty);
            let on_remote = !dirty && reachable.contains(&stub.commit) && objects.contains(&[stub.object])? == [true];
            let places = usize::from(in_archive) + usize::from(on_remote);
            if places < required {
                too_few.push((change.path.clone(), places));
            } else if !on_remote && (archive_is_local || !in_archive) {
                only_here.push(change.path);
            }
        }
    }
    report_copies(session, &only_here, &too_few, required)
}

fn report_copies(
    session: &Session<'_>,
    only_here: &[RepoPath],
    too_few: &[(RepoPath, usize)],
    required: usize,
) -> Result<Exit, CommandError> {
    const MAX_LISTED: usize = 10;
    for path in only_here.iter().take(MAX_LISTED) {
        session.output.warn(format_args!("the bytes of {path} are only on this machine"));
    }
    if only_here.len() > MAX_LISTED {
        session.output.warn(format_args!("and those of {} more", counted(only_here.len() - MAX_LISTED, "stub")));
    }
    if too_few.is_empty() {
        return Ok(Exit::Done);
    }
    let mut error = CommandError::new(
        Exit::Failed,
        format!(
            "the push is refused: the bytes of {} are in fewer than {required} places",
            counted(too_few.len(), "stub")
        ),
    );
    for (path, places) in too_few.iter().take(MAX_LISTED) {
        error = error.caused_by(format!("{path} is in {}", counted(*places, "place")));
    }
    Err(error.hint("push the commits that hold the files as well, or lower `hooks.require_copies`"))
}

/// Returns what is pushed: each commit with the remote's present one, where it has one.
fn pushed(session: &Session<'_>) -> Result<Vec<(ObjectId, Option<ObjectId>)>, CommandError> {
    let mut text = String::new();
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        stdin.lock().take(MAX_PUSH_LIST).read_to_string(&mut text).map_err(|error| {
            CommandError::new(Exit::Failed, "cannot read what is pushed").caused_by(error.to_string())
        })?;
    }
    let mut pushed = Vec::new();
    // The pre-commit framework tells it by variables.
    let from_framework = (std::env::var("PRE_COMMIT_FROM_REF"), std::env::var("PRE_COMMIT_TO_REF"));
    if let (Ok(from), Ok(to)) = from_framework
        && text.trim().is_empty()
    {
        let local = session.repository.resolve_commit(&to)?;
        pushed.push((local, session.repository.resolve_commit(&from).ok()));
    }
    for line in text.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let ids = match fields[..] {
            [_, local, _, remote] => (local.parse::<ObjectId>().ok(), remote.parse::<ObjectId>().ok()),
            _ => (None, None),
        };
        let (Some(local), Some(remote)) = ids else {
            return Err(CommandError::new(
                Exit::Usage,
                format!("{} is not what git gives a pre-push hook", quote(line.as_bytes())),
            ));
        };
        // A null id stands for a reference that is deleted, or not there yet. Tags of other things are not looked into.
        if !local.is_null()
            && let Ok(local) = session.repository.resolve_commit(&local.to_string())
        {
            pushed.push((local, Some(remote).filter(|remote| !remote.is_null())));
        }
    }
    Ok(pushed)
}
