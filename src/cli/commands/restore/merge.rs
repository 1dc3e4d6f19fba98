//! `restore --merge`: items brought back together with what was made of their files elsewhere.

use git_archive_tomb::archive::AnyArchive;
use git_archive_tomb::journal::Journal;
use git_archive_tomb::operation::Outcome;
use git_archive_tomb::restore::{MergedItem, RestorePlan, merge};

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::session::Session;

/// Merges into the items of a plan what `revision` made of their files; an empty one is whatever changed them.
pub(super) fn merge_into(
    plan: &mut RestorePlan,
    revision: &str,
    session: &Session<'_>,
    archive: Option<&mut AnyArchive>,
) -> Result<Vec<MergedItem>, CommandError> {
    session.places.create()?;
    let journal = Journal::at(session.places.journal());
    let revision = Some(revision).filter(|revision| !revision.is_empty());
    Ok(merge(&session.repository, archive, &session.origin()?, plan, revision, &journal)?)
}

/// Says what was merged and what comes next, and returns how the command ends.
pub(super) fn report(merged: &[MergedItem], outcome: &Outcome, session: &Session<'_>) -> Exit {
    for MergedItem { path, with, conflict } in merged.iter().filter(|item| !outcome.left.contains(&item.path)) {
        match with {
            Some(with) if *conflict => {
                session.output.warn(format_args!("{path} conflicts with what {with} made of it"));
            }
            Some(with) => session.output.say(format_args!("merged {path} with what {with} made of it")),
            None => session.output.say(format_args!("{path} was changed nowhere else; it is as it was archived")),
        }
    }
    match in_conflict(merged, outcome) {
        0 if outcome.left.is_empty() => Exit::Done,
        0 => Exit::Failed,
        conflicts => {
            session.output.hint(format_args!(
                "fix {} by hand, then `git add` what you fixed and `git commit`; the evidence is staged",
                counted(conflicts, "conflict")
            ));
            Exit::Failed
        }
    }
}

/// Returns how many of the files that came back are in conflict.
pub(super) fn in_conflict(merged: &[MergedItem], outcome: &Outcome) -> usize {
    merged.iter().filter(|item| item.conflict && !outcome.left.contains(&item.path)).count()
}
