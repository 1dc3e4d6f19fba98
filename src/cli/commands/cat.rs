//! `cat`: prints an item's bytes.

use std::ffi::OsString;

use clap::Args;
use git_archive_tomb::restore::{Sources, to_writer};

use crate::cli::acting::subject_of;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::output_error;
use crate::cli::session::Session;

/// Print an item's bytes
///
/// Byte for byte, but on a terminal: there control characters are shown escaped.
#[derive(Debug, Args)]
pub(crate) struct CatArguments {
    /// A tombstone, at least 8 characters of one, or the path of a stub
    target: OsString,
}

/// Runs the command.
pub(crate) fn run(arguments: &CatArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut archive = session.archive_if_any()?;
    let located = session.locate_one(archive.as_deref_mut(), &arguments.target)?;
    session.clear([&located], archive.as_deref_mut(), None, None)?;
    session.record_handing_out([&subject_of(&located.wanted)], "cat", None, archive.as_deref_mut())?;
    let mut sources = Sources::new(&session.repository, archive.as_deref_mut(), None);
    let mut content = session.output.content();
    to_writer(&mut sources, &located.wanted, located.stored.as_ref(), &mut content)?;
    content.finish().map_err(|error| output_error(&error))?;
    Ok(Exit::Done)
}
