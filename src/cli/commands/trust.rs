//! `trust`: accepts the tracked configuration file as it is now.

use clap::Args;
use git_archive_tomb::config::{TRUST_KEY, needs_trust};

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::session::{Session, shown};

/// Trust the configuration file as it is now
///
/// A configuration file that git tracks belongs to whoever wrote the branch. Settings that could send something
/// elsewhere or weaken a rule count only once somebody in this clone has trusted these very bytes.
#[derive(Debug, Args)]
pub(crate) struct TrustArguments {}

/// Runs the command.
pub(crate) fn run(_arguments: &TrustArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let Some(file) = session.config_file()? else {
        return Err(
            CommandError::new(Exit::Usage, "there is no configuration file").hint("`git archive-tomb init` writes one")
        );
    };
    for reason in needs_trust(&file.text, file.top.as_deref()) {
        session.output.say(reason);
    }
    if !file.trusted {
        session.repository.add_local_config(TRUST_KEY, &file.digest().to_string())?;
    }
    session.output.say(format_args!("{} is trusted in this clone until it changes", shown(&file.path)));
    Ok(Exit::Done)
}
