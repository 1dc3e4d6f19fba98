//! `doctor`: finds what is wrong, and finishes or undoes what was stopped.

mod governance;

use clap::Args;
use git_archive_tomb::archive::{AnyArchive, OpenMode, StoreContentsOptions};
use git_archive_tomb::change::ChangeError;
use git_archive_tomb::governance::acts::{Act, Purging};
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::journal::{ActiveOperation, Journal, JournalError};
use git_archive_tomb::operation::{
    Operation, OperationContext, OperationError, STAGING, Settled, abandon, finish, finish_staging, orphans, set_aside,
    settle_orphan, undo, undo_staging,
};
use git_archive_tomb::restore::{InPlace, RestorePlan};
use git_archive_tomb::store::{Store, StorePlan};
use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, counted};
use crate::cli::session::{Session, describe_unfinished, shown};
use crate::cli::talk;

/// Find what is wrong and name the command that mends it
///
/// With `--continue` or `--abort`, finish or undo the operations of this working tree that were stopped half-way. Both
/// touch a path only while it holds exactly the archived bytes or the operation's own stub, and name the others.
#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Finish what was stopped half-way
    #[arg(long = "continue", conflicts_with = "abort")]
    finish: bool,
    /// Undo what was stopped half-way; no bytes are deleted
    #[arg(long)]
    abort: bool,
}

/// What to do with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    Finish,
    Undo,
}

/// Runs the command.
pub(crate) fn run(arguments: &DoctorArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    match (arguments.finish, arguments.abort) {
        (false, false) => examine(session),
        (true, _) => recover(Remedy::Finish, session),
        (false, true) => recover(Remedy::Undo, session),
    }
}

/// Something that the doctor found.
#[derive(Serialize)]
struct Finding {
    /// `error`, `warning` or `note`.
    severity: &'static str,
    what: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn new(severity: &'static str, what: impl Into<String>, mend: Option<&str>) -> Self {
        Self { severity, what: what.into(), mend: mend.map(str::to_owned) }
    }

    fn print(&self, output: &mut Output) -> Result<(), CommandError> {
        if output.json {
            return output.object(self);
        }
        output.line(format_args!("{}: {}", self.severity, self.what))?;
        self.mend.as_ref().map_or(Ok(()), |mend| output.line(format_args!("  mend: {mend}")))
    }
}

/// Looks at everything and changes nothing.
fn examine(session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut findings = Vec::new();
    for unfinished in session.unfinished()? {
        let mend = session.mend_unfinished(&unfinished);
        findings.push(Finding::new("error", describe_unfinished(&unfinished), Some(&mend)));
    }
    match session.archive_if_any() {
        Ok(Some(mut archive)) => {
            let counts = archive.counts()?;
            // Of what is purged they are not meant to be.
            let missing = counts.items.saturating_sub(counts.retrievable + counts.purged);
            if missing > 0 {
                let items = counted(usize::try_from(missing).unwrap_or(usize::MAX), "item");
                findings.push(Finding::new("note", format!("the bytes of {items} are not in the archive"), None));
            }
            for orphan in with_context(session, Some(&mut *archive), |context| Ok(orphans(context)?))? {
                let text = format!(
                    "operation {} of {} left {} pending, and its journal is gone",
                    orphan.op,
                    orphan.since,
                    counted(usize::try_from(orphan.items).unwrap_or(usize::MAX), "item"),
                );
                findings.push(Finding::new("error", text, Some("git archive-tomb doctor --continue")));
            }
            findings.append(&mut governance::examine(&mut *archive, session)?);
            match governance::examine_past(&mut *archive, session) {
                Ok(mut past) => findings.append(&mut past),
                Err(error) => findings.push(Finding::new("error", talk::redacted(&error.summary()), None)),
            }
        }
        Ok(None) => findings.push(Finding::new("note", "there is no archive here", Some("git archive-tomb init"))),
        Err(error) => findings.push(Finding::new("error", talk::redacted(&error.summary()), None)),
    }
    let hooks = git_archive_tomb::hooks::status(&super::hooks::place(session))?;
    if !hooks.is_complete() {
        let mend = Some("git archive-tomb hooks install");
        findings.push(Finding::new("warning", "hooks are missing or out of date", mend));
    }
    for finding in &findings {
        finding.print(session.output)?;
    }
    match findings.iter().filter(|finding| finding.severity == "error").count() {
        0 => {
            session.output.say("nothing is broken");
            Ok(Exit::Done)
        }
        errors => {
            session.output.say(counted(errors, "error"));
            Ok(Exit::Failed)
        }
    }
}

/// Finishes or undoes the operations of this working tree, oldest first, and brings to an end what belongs to none.
fn recover(remedy: Remedy, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    session.catch_signals()?;
    let journal = Journal::at(session.places.journal());
    journal.sweep()?;
    let mut exit = Exit::Done;
    let mut ended = 0;
    for unfinished in session.unfinished()? {
        let header = match &unfinished.header {
            Ok(header) if session.is_here(header) => header,
            Ok(header) if session.is_gone(header) && remedy == Remedy::Undo => {
                let (actor, repo) = (session.actor(None)?, session.repo_name()?);
                let active = journal.resume(header.id)?;
                with_context(session, None, |context| Ok(abandon(context, header, &actor, &repo, active)?))?;
                session.output.say(format_args!("gave up operation {}, whose working tree is gone", header.id));
                ended += 1;
                continue;
            }
            Err(JournalError::Malformed { .. }) if remedy == Remedy::Undo => {
                let aside =
                    with_context(session, None, |context| Ok(set_aside(context, journal.resume(unfinished.id)?)?))?;
                session.output.warn(format_args!("the damaged journal is now {}", shown(&aside)));
                session.output.hint(
                    "`git status` shows the paths that it may have changed already; `git restore` brings each back",
                );
                ended += 1;
                continue;
            }
            _ => {
                exit = Exit::Failed;
                session.output.warn(describe_unfinished(&unfinished));
                session.output.hint(session.mend_unfinished(&unfinished));
                continue;
            }
        };
        let active = journal.resume(header.id)?;
        let left = match header.command.as_str() {
            Store::COMMAND => recover_store(remedy, active, session)?,
            InPlace::COMMAND | InPlace::ON_BRANCH => recover_restore(remedy, active, session)?,
            Purging::COMMAND => governance::recover_purge(remedy, active, session)?,
            command if Act::is_command(command) => governance::recover_act(remedy, active, session)?,
            STAGING => with_context(session, None, |context| {
                Ok(match remedy {
                    Remedy::Finish => finish_staging(context, active)?,
                    Remedy::Undo => undo_staging(context, active)?,
                })
            })?,
            other => {
                return Err(CommandError::new(
                    Exit::Usage,
                    format!(
                        "operation {} is a `{}`, which this version does not know",
                        header.id,
                        other.escape_debug()
                    ),
                )
                .hint("use the version of git-archive-tomb that began it"));
            }
        };
        ended += 1;
        match (remedy, &header.branch) {
            (Remedy::Finish, Some(branch)) => {
                session.output.say(format_args!("finished operation {}: branch `{branch}` is there", header.id));
            }
            (Remedy::Finish, None) => session.output.say(format_args!("finished operation {}", header.id)),
            (Remedy::Undo, _) => session.output.say(format_args!("undid operation {}", header.id)),
        }
        for path in left {
            exit = Exit::Failed;
            session.output.warn(format_args!("{path} holds something else now and was left as it is"));
        }
    }
    ended += recover_orphans(session)?;
    if remedy == Remedy::Finish {
        ended += governance::end_purges(session)?;
    }
    if ended == 0 {
        session.output.say("nothing is unfinished here");
    }
    Ok(exit)
}

/// Brings to an end what operations without a journal left in the archive, and returns how many there were.
fn recover_orphans(session: &Session<'_>) -> Result<usize, CommandError> {
    let Some(mut archive) = session.archive_if_any()? else { return Ok(0) };
    with_context(session, Some(&mut *archive), |context| {
        let found = orphans(context)?;
        for orphan in &found {
            let settled = settle_orphan(context, orphan, &session.actor(None)?, &session.repo_name()?)?;
            let what = match settled {
                Settled::Sealed => "sealed what operation {} had archived: its evidence is staged or committed",
                Settled::Undone => "undid operation {}, of which only rows in the archive were left",
            };
            session.output.say(what.replace("{}", &orphan.op.to_string()));
        }
        Ok(found.len())
    })
}

fn recover_store(
    remedy: Remedy,
    active: ActiveOperation,
    session: &mut Session<'_>,
) -> Result<Vec<RepoPath>, CommandError> {
    let plan: StorePlan = active.plan()?;
    // Undoing needs no archive: where there is none, there are no rows. Finishing fills a new one from git.
    let mut archive = match remedy {
        Remedy::Undo => session.archive_if_any()?,
        Remedy::Finish if session.is_default_archive()? => Some(session.open_archive(OpenMode::CreateIfMissing)?),
        Remedy::Finish => Some(session.open_archive(OpenMode::Existing)?),
    };
    let templates = session.templates()?;
    let storage = StoreContentsOptions { level: session.config()?.storage.level, ..StoreContentsOptions::default() };
    let mut store = Store { plan, templates: &templates, storage, progress: &mut |_| {} };
    apply(remedy, &mut store, active, archive.as_deref_mut(), session)
}

fn recover_restore(
    remedy: Remedy,
    active: ActiveOperation,
    session: &mut Session<'_>,
) -> Result<Vec<RepoPath>, CommandError> {
    let plan: RestorePlan = active.plan()?;
    let mut archive = session.archive_if_any()?;
    let metrics = session.config()?.performance;
    let mut restore = InPlace { plan, scratch: session.places.scratch(active.id()), metrics, progress: &mut |_| {} };
    apply(remedy, &mut restore, active, archive.as_deref_mut(), session)
}

/// Applies the remedy and returns the paths that were left.
fn apply<O: Operation>(
    remedy: Remedy,
    operation: &mut O,
    active: ActiveOperation,
    archive: Option<&mut AnyArchive>,
    session: &Session<'_>,
) -> Result<Vec<RepoPath>, CommandError>
where
    CommandError: From<O::Error>,
{
    with_context(session, archive, |context| {
        Ok(match remedy {
            Remedy::Finish => finish(context, operation, active).map_err(unfinished)?.left,
            Remedy::Undo => undo(context, operation, active)?,
        })
    })
}

/// Returns the error of an operation that could not be finished.
fn unfinished<E: std::error::Error + 'static>(error: OperationError<E>) -> CommandError
where
    CommandError: From<E>,
{
    let is_taken = matches!(error, OperationError::Change(ChangeError::BranchTaken { .. }));
    let mut shown = <CommandError as From<OperationError<E>>>::from(error);
    if is_taken {
        shown.hints = vec![
            "rename the branch that is there (`git branch -m`) and try again, or undo the operation with \
             `git archive-tomb doctor --abort`"
                .to_owned(),
        ];
    }
    shown
}

/// Calls `work` with what operations work with.
pub(crate) fn with_context<T>(
    session: &Session<'_>,
    archive: Option<&mut AnyArchive>,
    work: impl FnOnce(&mut OperationContext<'_>) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let (log, origin) = (session.operations_log()?, session.origin()?);
    let redactor = session.config()?.redactor();
    work(&mut OperationContext {
        repository: &session.repository,
        archive,
        places: &session.places,
        log: &log,
        origin: &origin,
        interrupted: &session.interrupted,
        redactor: &redactor,
    })
}
