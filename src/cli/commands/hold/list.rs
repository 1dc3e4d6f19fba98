//! `hold list`: the holds that are not released, in the archive and in evidence.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::Args;
use git_archive_tomb::archive::AnyArchive;
use git_archive_tomb::evidence::record::Action;
use git_archive_tomb::governance::evidence::named;
use git_archive_tomb::governance::ledger::{Ledger, Told};
use git_archive_tomb::governance::rules::{OpenHold, open_holds};
use git_archive_tomb::id::Sha256;
use git_archive_tomb::quote::quote;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Style, counted};
use crate::cli::session::Session;

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Only holds that keep this item's bytes: a tombstone, at least 8 characters of one, or the path of a stub
    target: Option<OsString>,
}

pub(super) fn run(arguments: &ListArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut archive = session.archive_if_any()?;
    let ledgers = match &arguments.target {
        Some(target) => vec![session.matter(archive.as_deref_mut(), target)?.ledger],
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
        print(hold, session)?;
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
    for file in broken {
        session.output.warn(format_args!("evidence `{}` may set a hold and cannot be read: {}", file.file, file.why));
    }
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

fn print(hold: &OpenHold, session: &mut Session<'_>) -> Result<(), CommandError> {
    let output = &mut *session.output;
    if output.json {
        return output.object(hold);
    }
    let date = hold.at.map_or_else(|| "unknown   ".to_owned(), |at| at.date().to_string());
    let tombstone = output.styled(Style::Warning, hold.tombstone);
    let shown = |text: &Option<String>| text.as_deref().map(|text| quote(text.as_bytes()).into_owned());
    let path = hold.path.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
    let name = shown(&hold.name).map(|name| format!("  {name}")).unwrap_or_default();
    let by = shown(&hold.by).map(|by| format!("  by {by}")).unwrap_or_default();
    let reason = shown(&hold.reason).map(|reason| format!(": {reason}")).unwrap_or_default();
    let place = match (hold.in_archive, &hold.evidence) {
        (true, Some(_)) | (false, None) => "",
        (true, None) => "  [in the archive only]",
        (false, Some(_)) => "  [in evidence only]",
    };
    output.line(format_args!("{date}  {tombstone}  {path}{name}{by}{reason}{place}"))
}
