//! `restore --branch`: a commit on a new branch, past working tree and index.

use std::ffi::{OsStr, OsString};

use bstr::{BString, ByteSlice};
use clap::Args;
use git_archive_tomb::archive::AnyArchive;
use git_archive_tomb::git::{BranchName, GitError, Tracked};
use git_archive_tomb::id::ObjectId;
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::operation::Outcome;
use git_archive_tomb::quote::{quote, shell};
use git_archive_tomb::restore::{Base, BranchItem, BranchOptions, RestorePlan, path_below_top, plan_branch};

use super::{Failure, RestoreArguments, RestoreRun, RestoredView, from_history, warn_of_retention};
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::session::{Session, describe_unfinished};

/// What says that files come back on a branch, and how.
#[derive(Debug, Args)]
pub(crate) struct BranchArguments {
    /// Commit the files on a new branch NAME, and leave working tree, index and HEAD alone
    #[arg(long, value_name = "NAME")]
    pub(crate) branch: Option<OsString>,
    /// Where the new branch begins [default: HEAD]
    #[arg(long, value_name = "REV", requires = "branch")]
    base: Option<String>,
    /// The commit's message, without the trailers; several are paragraphs
    #[arg(short, long, value_name = "TEXT", requires = "branch")]
    message: Vec<OsString>,
}

impl BranchArguments {
    /// Returns what they ask of a run, where `name` is the branch, which no unfinished operation may be about to make.
    pub(crate) fn options(
        &self,
        name: &OsStr,
        run: &RestoreRun,
        force: bool,
        session: &Session<'_>,
    ) -> Result<BranchOptions, CommandError> {
        let name = <[u8]>::from_os_str(name).map(BString::from).unwrap_or_default();
        refuse_unfinished_on(session, &name)?;
        Ok(BranchOptions {
            op: run.op,
            actor: run.actor.clone(),
            repo: session.repo_name()?,
            only: run.only,
            force,
            name,
            base: resolve_base(session, self.base.as_deref())?,
            message: message(&self.message),
        })
    }
}

impl RestoreRun {
    /// Puts items back on a new branch.
    pub(super) fn on_branch(
        &self,
        arguments: &RestoreArguments,
        name: &OsStr,
        session: &mut Session<'_>,
        archive: &mut Option<Box<AnyArchive>>,
    ) -> Result<Exit, Failure> {
        let options = arguments.commit.options(name, self, arguments.force, session)?;
        let base = options.base;
        let output = arguments.output.as_deref().map(|output| path_in_repository(session, output)).transpose()?;
        *archive = session.archive_to_restore(self.only)?;
        let located = match output {
            Some(_) => {
                vec![session.locate_one_in(Tracked::Tree(base.tree), archive.as_deref_mut(), &arguments.target)?]
            }
            None => session.locate_in(Tracked::Tree(base.tree), archive.as_deref_mut(), &arguments.target)?,
        };
        session.clear(&located, archive.as_deref_mut(), Some(&self.actor), self.only)?;
        warn_of_retention(&located, session);
        let items = located.into_iter().map(|located| BranchItem::new(located, output.clone())).collect();
        let plan = plan_branch(&session.repository, items, &options)?;
        let Some(outcome) = self.commit(&plan, session, archive.as_deref_mut())? else { return Ok(Exit::Done) };
        print_on_branch(&plan, &outcome, session)?;
        Ok(Exit::Done)
    }

    /// Makes the commit that is planned; `None` if nothing has to come back.
    pub(crate) fn commit(
        &self,
        plan: &RestorePlan,
        session: &Session<'_>,
        archive: Option<&mut AnyArchive>,
    ) -> Result<Option<Outcome>, Failure> {
        if plan.items.is_empty() {
            let base = plan.commit.as_ref().map(|commit| short(&commit.branch.base)).unwrap_or_default();
            session
                .output
                .say(format_args!("commit {base} has everything already; nothing to restore, and no branch was made"));
            return Ok(None);
        }
        session.places.create()?;
        self.carry_out(plan.clone(), session, archive).map(Some)
    }
}

/// Refuses a branch that an operation that was stopped half-way is to make, and warns of all other such operations: no
/// branch is in their way.
fn refuse_unfinished_on(session: &Session<'_>, name: &BString) -> Result<(), CommandError> {
    for unfinished in session.unfinished()? {
        let text = describe_unfinished(&unfinished);
        let mend = session.mend_unfinished(&unfinished);
        let branch = unfinished.header.ok().and_then(|header| header.branch);
        if branch.is_some() && branch == session.repository.branch_name(name.as_bstr())? {
            return Err(CommandError::new(Exit::Failed, text).hint(mend));
        }
        session.output.warn(text);
        session.output.hint(mend);
    }
    Ok(())
}

fn resolve_base(session: &Session<'_>, revision: Option<&str>) -> Result<Base, CommandError> {
    Base::resolve(&session.repository, revision.unwrap_or("HEAD")).map_err(|error| {
        let is_cut = session.repository.is_shallow() && matches!(error, GitError::UnknownRevision { .. });
        let error = CommandError::from(error);
        if is_cut { error.hint("this clone is shallow: `git fetch --unshallow` brings the rest") } else { error }
    })
}

/// Returns the path in the repository that `output`, as given where the user stands, means.
pub(crate) fn path_in_repository(session: &Session<'_>, output: &OsStr) -> Result<RepoPath, CommandError> {
    let named = <[u8]>::from_os_str(output).unwrap_or_default();
    let refused = || {
        let text = format!("`{}` is not a path for a file in the repository", quote(named));
        CommandError::new(Exit::Failed, text).hint("name where the file is to stand on the branch, from where you are")
    };
    if named == b"-" || named.ends_with(b"/") {
        return Err(refused());
    }
    let (named, prefix) = session.below_top(output);
    match path_below_top(named, prefix) {
        Ok(Some(path)) => Ok(path),
        Ok(None) => Err(refused()),
        Err(error) => Err(refused().caused_by(error.to_string())),
    }
}

/// Returns the paragraphs of a message as one.
fn message(paragraphs: &[OsString]) -> Option<Vec<u8>> {
    let paragraphs: Vec<&[u8]> = paragraphs.iter().map(|text| <[u8]>::from_os_str(text).unwrap_or_default()).collect();
    (!paragraphs.is_empty()).then(|| bstr::join("\n\n", paragraphs))
}

/// Prints what came back, and what to do with it.
fn print_on_branch(plan: &RestorePlan, outcome: &Outcome, session: &mut Session<'_>) -> Result<(), CommandError> {
    let branch = plan.commit.as_ref().map(|commit| &commit.branch);
    for (item, record) in plan.items.iter().zip(&outcome.records) {
        if session.output.json {
            let view = RestoredView {
                source: record.source,
                evidence: Some(outcome.evidence),
                branch: branch.map(|branch| branch.name.short().to_str_lossy().into_owned()),
                commit: outcome.commit,
                ..RestoredView::new(&item.wanted, &item.path, "restored")
            };
            session.output.object(&view)?;
        } else {
            session.output.line(&item.path)?;
        }
    }
    say_where(plan, outcome, session)
}

/// Says on which branch the files are, and what comes next.
pub(crate) fn say_where(plan: &RestorePlan, outcome: &Outcome, session: &Session<'_>) -> Result<(), CommandError> {
    let branch = plan.commit.as_ref().map(|commit| &commit.branch);
    let (Some(branch), Some(commit)) = (branch, outcome.commit) else { return Ok(()) };
    session.output.say(format_args!(
        "restored {}{} on the new branch `{}`, in commit {} on top of {}",
        counted(outcome.records.len(), "file"),
        from_history(&outcome.records),
        branch.name,
        short(&commit),
        short(&branch.base),
    ));
    hint_at_next(&branch.name, &branch.base, session)
}

/// Prints the commands that come next.
fn hint_at_next(name: &BranchName, base: &ObjectId, session: &Session<'_>) -> Result<(), CommandError> {
    if session.repository.work_tree().is_some() {
        session.output.hint(format_args!("look at it: `git switch {}`", shell(name.short())));
    }
    // Other commands than that one may take a tag of the same name for it.
    let unambiguous = session.repository.unambiguous(name)?;
    let word = shell(&unambiguous);
    if let Some(remote) = session.push_remote()? {
        session.output.hint(format_args!("publish it: `git push -u {} {word}`", shell(remote.as_bytes())));
    }
    session
        .output
        .hint(format_args!("the text of its pull request: `git archive-tomb pr-body --range {}..{word}`", short(base)));
    Ok(())
}

/// Returns the beginning of an id, as people read it.
fn short(id: &ObjectId) -> String {
    id.to_string()[..12].to_owned()
}
