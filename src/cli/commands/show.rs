//! `show`: tells all about one item.

use std::ffi::OsString;
use std::fmt::Display;
use std::ops::ControlFlow;

use clap::Args;
use git_archive_tomb::archive::{AnyArchive, Event, StoredItem};
use git_archive_tomb::evidence::record::Record;
use git_archive_tomb::quote::quote;
use git_archive_tomb::residue::{self, Content};
use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, Style, human_size};
use crate::cli::session::Session;
use crate::cli::view::ItemView;

/// Show an item and everything that happened to it
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
    item: ItemView<'a>,
    events: Vec<Record>,
}

/// Runs the command.
pub(crate) fn run(arguments: &ShowArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut archive = session.archive()?;
    let stored = session.find_item(&mut *archive, &arguments.target)?;
    if arguments.residue {
        return print_residue(&[stored], &mut *archive, session);
    }
    let mut events = Vec::new();
    archive.events(&stored.item.tombstone, &mut |event: Event| {
        events.push(event);
        ControlFlow::Continue(())
    })?;
    // A line that is no record any more cannot be shown as one; `evidence verify` and `verify --deep` tell of it.
    let events = events.iter().filter_map(|event| Record::parse_line(event.line.as_bytes()).ok()).collect();
    if session.output.json {
        session.output.object(&Shown { item: ItemView::from(&stored), events })?;
    } else {
        print(&stored, &events, session.output)?;
    }
    Ok(Exit::Done)
}

fn print_residue(
    items: &[StoredItem],
    archive: &mut AnyArchive,
    session: &mut Session<'_>,
) -> Result<Exit, CommandError> {
    let content = Content::of(items, &session.repository).expect("there is an item");
    let residue = residue::of(&session.repository, &content, &session.operations_log()?, Some(archive))?;
    if session.output.json {
        session.output.object(&residue)?;
    } else {
        session.output.line(crate::cli::residue::text(&residue).trim_end())?;
    }
    Ok(Exit::Done)
}

fn print(stored: &StoredItem, events: &[Record], output: &mut Output) -> Result<(), CommandError> {
    let item = &stored.item;
    let mut fact = |name: &str, value: &dyn Display| output.line(format_args!("{name:<12} {value}"));
    fact("tombstone", &item.tombstone)?;
    fact("path", &item.path)?;
    fact("repo", &quote(item.repo.as_bytes()))?;
    fact("commit", &item.commit)?;
    fact("object", &item.object)?;
    fact("sha256", &item.sha256)?;
    fact("size", &format_args!("{} ({} stored)", human_size(item.size), human_size(stored.compressed_size)))?;
    fact("mode", &item.mode)?;
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
    if !events.is_empty() {
        let heading = output.styled(Style::Bold, "events");
        output.line(format_args!("\n{heading}"))?;
    }
    for record in events {
        output.line(format_args!("  {}", summary(record)))?;
    }
    Ok(())
}

/// Returns a record in a line for people.
pub(crate) fn summary(record: &Record) -> String {
    let mut text = format!("{}  {:<17}", record.ts, record.action);
    let mut add = |part: &str| {
        text.push(' ');
        text.push_str(part);
    };
    if let Some(status) = record.status {
        add(status.as_str());
    }
    if let Some(tombstone) = record.tombstone {
        add(&tombstone.to_string());
    }
    if let Some(path) = record.repo_path() {
        add(&path.to_string());
    }
    for (name, value) in
        [("by", &record.actor), ("to", &record.output), ("because", &record.reason), ("error:", &record.error)]
    {
        if let Some(value) = value {
            add(name);
            add(&quote(value.as_bytes()));
        }
    }
    text
}
