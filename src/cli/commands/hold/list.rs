//! `hold list`: the holds that are not released, in the archive and in evidence.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;

use clap::Args;
use git_archive_tomb::archive::AnyArchive;
use git_archive_tomb::evidence::record::Action;
use git_archive_tomb::governance::evidence::{Unreadable, named};
use git_archive_tomb::governance::ledger::{Ledger, Told};
use git_archive_tomb::governance::rules::{OpenHold, open_holds};
use git_archive_tomb::id::Sha256;
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::quote::quote;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Style, counted, output_error};
use crate::cli::session::Session;

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Only holds that keep this item's bytes: a tombstone, at least 8 characters of one, or the path of a stub
    target: Option<OsString>,
    /// End each hold with NUL and quote nothing: `<tombstone> <hold> <set-at> <both|archive|evidence> <path>`
    #[arg(short = 'z')]
    nul: bool,
}

pub(super) fn run(arguments: &ListArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut archive = session.archive_if_any()?;
    let ledgers = match &arguments.target {
        Some(target) => {
            let matter = session.matter(archive.as_deref_mut(), target)?;
            warn_of_unreadable(&matter.found.unreadable, session);
            vec![matter.ledger]
        }
        None => all(archive.as_deref_mut(), session)?,
    };
    let id = archive.as_deref().map(|archive| archive.id().to_owned());
    let verdicts = session.verdicts()?;
    let judge = session.judge(&verdicts, id.as_deref())?;
    let mut holds = Vec::new();
    for ledger in &ledgers {
        holds.append(&mut open_holds(&judge, ledger)?);
    }
    holds.sort_by_key(|hold| (hold.at, hold.id, hold.tombstone));
    for hold in &holds {
        if arguments.nul { print_nul(hold, session)? } else { print(hold, session)? }
    }
    session.output.say(counted(holds.len(), "hold"));
    Ok(Exit::Done)
}

/// Returns what is known of every content that somebody put under a hold.
fn all(mut archive: Option<&mut AnyArchive>, session: &Session<'_>) -> Result<Vec<Ledger>, CommandError> {
    let mut told: BTreeMap<Sha256, Vec<Told>> = BTreeMap::new();
    // What only releases a hold, or is about a content without one, does no harm.
    let actions = [Action::Archive, Action::HoldSet, Action::HoldReleased];
    let broken = named(&session.repository, &actions, |one| {
        if let Some(sha256) = one.record.sha256 {
            told.entry(sha256).or_default().push(one);
        }
    })?;
    warn_of_unreadable(&broken, session);
    if let Some(archive) = archive.as_deref_mut() {
        for (_, stored) in archive.holds()? {
            told.entry(stored.item.sha256).or_default();
        }
    }
    let mut ledgers = Vec::with_capacity(told.len());
    for (sha256, told) in told {
        let facts = archive.as_deref_mut().map(|archive| archive.content_facts(&sha256)).transpose()?.flatten();
        ledgers.push(match facts {
            Some(facts) => Ledger::of(&facts, &told),
            None => Ledger::of_records(&sha256, told),
        });
    }
    Ok(ledgers)
}

fn warn_of_unreadable(files: &[Unreadable], session: &Session<'_>) {
    for file in files {
        session.output.warn(format_args!("evidence `{}` may set a hold and cannot be read: {}", file.file, file.why));
    }
}

/// Prints a hold for scripts. Names and reasons are anybody's text, and JSON has them.
fn print_nul(hold: &OpenHold, session: &mut Session<'_>) -> Result<(), CommandError> {
    let id = hold.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let at = hold.at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let place = match (hold.in_archive, &hold.evidence) {
        (true, Some(_)) => "both",
        (true, None) => "archive",
        (false, _) => "evidence",
    };
    let mut record = format!("{}\t{id}\t{at}\t{place}\t", hold.tombstone).into_bytes();
    record.extend_from_slice(hold.path.as_ref().map(RepoPath::as_bytes).unwrap_or_default());
    record.push(0);
    session.output.raw().write_all(&record).map_err(|error| output_error(&error))
}

fn print(hold: &OpenHold, session: &mut Session<'_>) -> Result<(), CommandError> {
    let output = &mut *session.output;
    if output.json {
        return output.object(hold);
    }
    let date = hold.at.map_or_else(|| "unknown   ".to_owned(), |at| at.date().to_string());
    let tombstone = output.styled(Style::Warning, hold.tombstone);
    let shown = |text: &Option<String>| text.as_deref().map(|text| quote(text.as_bytes()).into_owned());
    let path = hold.path.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
    output.line(format_args!("{date}  {tombstone}  {path}"))?;
    let said = match (shown(&hold.by), shown(&hold.reason)) {
        (Some(by), Some(reason)) => Some(format!("by {by}: {reason}")),
        (by, reason) => by.map(|by| format!("by {by}")).or(reason),
    };
    let place = match (hold.in_archive, &hold.evidence) {
        (true, Some(_)) | (false, None) => None,
        (true, None) => Some("[in the archive only]".to_owned()),
        (false, Some(_)) => Some("[in evidence only]".to_owned()),
    };
    let more: Vec<String> = [shown(&hold.name), said, place].into_iter().flatten().collect();
    if more.is_empty() { Ok(()) } else { output.line(format_args!("    {}", more.join("  "))) }
}
