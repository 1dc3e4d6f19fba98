//! `show`: tells all about one item.

use std::ffi::OsString;
use std::fmt::Display;

use clap::Args;
use git_archive_tomb::archive::{AnyArchive, StoredItem};
use git_archive_tomb::governance::story::Story;
use git_archive_tomb::id::{ObjectId, Sha256, Tombstone};
use git_archive_tomb::item::{FileMode, JsonPath};
use git_archive_tomb::quote::quote;
use git_archive_tomb::residue::{self, Content};
use git_archive_tomb::restore::{Located, Wanted};
use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Style, human_size};
use crate::cli::session::Session;
use crate::cli::story::{ToldView, Witness, by, place, warn_unreadable};
use crate::cli::view::{ItemView, PathView};

/// Show an item and everything that happened to it
///
/// From the archive's events and from the evidence of every reference: whichever tells of it.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// A tombstone, at least 8 characters of one, or the path of a stub
    target: OsString,
    /// Only say where the bytes still are in this repository, and which commands take them out
    #[arg(long)]
    residue: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    item: AnyView<'a>,
    events: Vec<ToldView<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum AnyView<'a> {
    Stored(Box<ItemView<'a>>),
    Told(Box<WantedView<'a>>),
}

/// An item in JSON as a stub, or evidence, tells of it.
#[derive(Serialize)]
struct WantedView<'a> {
    tombstone: Tombstone,
    repo: &'a str,
    #[serde(flatten)]
    path: PathView,
    sha256: Sha256,
    size_bytes: u64,
    commit: ObjectId,
    object: ObjectId,
    mode: FileMode,
}

impl<'a> From<&'a Wanted> for WantedView<'a> {
    fn from(wanted: &'a Wanted) -> Self {
        Self {
            tombstone: wanted.tombstone,
            repo: &wanted.repo,
            path: JsonPath::from(&wanted.path).into(),
            sha256: wanted.sha256,
            size_bytes: wanted.size,
            commit: wanted.commit,
            object: wanted.object,
            mode: wanted.mode,
        }
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &ShowArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut archive = session.archive_if_any()?;
    let located = session.locate_one(archive.as_deref_mut(), &arguments.target)?;
    if arguments.residue {
        return print_residue(&located.wanted, archive.as_deref_mut(), session);
    }
    let story = Story::of(&session.repository, &located.wanted.tombstone, archive.as_deref_mut(), [])?;
    warn_unreadable(&story, session.output);
    if session.output.json {
        let item = match &located.stored {
            Some(stored) => AnyView::Stored(Box::new(stored.into())),
            None => AnyView::Told(Box::new((&located.wanted).into())),
        };
        let witness = Witness::new(session)?;
        let events = story.told.iter().map(|told| witness.view(told)).collect::<Result<_, _>>()?;
        session.output.object(&Shown { item, events })?;
    } else {
        print(&located, &story, session)?;
    }
    Ok(Exit::Done)
}

fn print_residue(
    wanted: &Wanted,
    mut archive: Option<&mut AnyArchive>,
    session: &mut Session<'_>,
) -> Result<Exit, CommandError> {
    let facts = archive.as_deref_mut().map(|archive| archive.content_facts(&wanted.sha256)).transpose()?.flatten();
    // Others may have taken the same bytes elsewhere.
    let others = facts.iter().flat_map(|facts| &facts.items).map(|stored| (stored.item.tombstone, stored.item.object));
    let items = others.chain([(wanted.tombstone, wanted.object)]);
    let content = Content::new(wanted.sha256, wanted.size, items, &session.repository);
    let residue = residue::of(&session.repository, &content, &session.operations_log()?, archive)?;
    if session.output.json {
        session.output.object(&residue)?;
    } else {
        session.output.line(crate::cli::residue::text(&residue).trim_end())?;
    }
    Ok(Exit::Done)
}

fn print(located: &Located, story: &Story, session: &mut Session<'_>) -> Result<(), CommandError> {
    let Located { wanted, stored, .. } = located;
    let mut fact = |name: &str, value: &dyn Display| session.output.line(format_args!("{name:<12} {value}"));
    fact("tombstone", &wanted.tombstone)?;
    fact("path", &wanted.path)?;
    fact("repo", &quote(wanted.repo.as_bytes()))?;
    fact("commit", &wanted.commit)?;
    fact("object", &wanted.object)?;
    fact("sha256", &wanted.sha256)?;
    match stored {
        Some(stored) => {
            let (size, kept) = (human_size(wanted.size), human_size(stored.compressed_size));
            fact("size", &format_args!("{size} ({kept} stored)"))?;
        }
        None => fact("size", &human_size(wanted.size))?,
    }
    fact("mode", &wanted.mode)?;
    match stored {
        Some(stored) => print_stored(stored, &mut fact)?,
        None => fact("archive", &"not here: this is what stub and evidence tell")?,
    }
    if let Some(purge) = story.purge() {
        fact("purged", &format_args!("{} {}", purge.ts, by(purge).unwrap_or_default()))?;
        if let Some(request) = &purge.request {
            fact("", &format_args!("request {}", quote(request.as_bytes())))?;
        }
    }
    if story.told.is_empty() {
        return Ok(());
    }
    let witness = Witness::new(session)?;
    let output = &mut *session.output;
    let heading = output.styled(Style::Bold, "events");
    output.line(format_args!("\n{heading}"))?;
    for told in &story.told {
        let only_there = place(told, stored.is_some(), output);
        for line in witness.lines(told, true)?.into_iter().chain(only_there) {
            output.line(format_args!("  {line}"))?;
        }
    }
    Ok(())
}

fn print_stored(
    stored: &StoredItem,
    fact: &mut dyn FnMut(&str, &dyn Display) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let item = &stored.item;
    fact("kind", &item.kind)?;
    for (name, value) in [("language", &item.language), ("mime", &item.mime)] {
        if let Some(value) = value {
            fact(name, &quote(value.as_bytes()))?;
        }
    }
    fact("reason", &item.reason)?;
    for tag in &item.tags {
        fact("tag", &quote(tag.as_bytes()))?;
    }
    for (key, value) in &item.metadata {
        fact("metadata", &format_args!("{}={}", quote(key.as_bytes()), quote(value.as_bytes())))?;
    }
    for referent in &item.refs {
        fact("ref", &format_args!("{}={}", quote(referent.kind.as_bytes()), quote(referent.value.as_bytes())))?;
    }
    if item.dirty {
        fact("dirty", &"yes: these bytes were never committed")?;
    }
    if let Some(date) = item.delete_after {
        fact("delete-after", &date)?;
    }
    if item.legal_hold {
        fact("legal-hold", &"yes")?;
    }
    fact("archived-by", &quote(item.archived_by.as_bytes()))?;
    fact("archived-at", &item.archived_at)?;
    fact("state", &stored.state)?;
    if let Some(at) = stored.restored_at {
        fact("restored-at", &at)?;
    }
    if let Some(at) = stored.purged_at {
        fact("purged-at", &at)?;
    }
    Ok(())
}
