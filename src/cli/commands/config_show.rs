//! `config-show`: prints the configuration in force.

use clap::Args;
use git_archive_tomb::config::show::{self, Reveal};

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::session::Session;

/// Show the configuration in force, and where each value is from
///
/// Credentials are hidden unless `--debug` is given.
#[derive(Debug, Args)]
pub(crate) struct ConfigShowArguments {}

/// Runs the command.
pub(crate) fn run(_arguments: &ConfigShowArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let reveal = if session.global.debug { Reveal::Whole } else { Reveal::Redacted };
    let config = session.config()?;
    if session.output.json {
        let entries: Vec<_> = show::entries(config, reveal).map(|entry| serde_json::json!(entry)).collect();
        for entry in entries {
            session.output.object(&entry)?;
        }
    } else {
        let text = show::text(config, reveal);
        session.output.line(text.trim_end())?;
    }
    Ok(Exit::Done)
}
