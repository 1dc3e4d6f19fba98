//! `hooks run`: what the installed hooks call.

use std::io::Write;

use git_archive_tomb::hooks::{Hook, SHIM_VERSION};
use git_archive_tomb::verify::{Options, Scope, render, verify};

use super::RunArguments;
use super::push::check_push;
use crate::cli::commands::verify::merge_heads_of_environment;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::output_error;
use crate::cli::session::Session;

/// Runs a hook.
pub(crate) fn run_hook(arguments: &RunArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    if arguments.shim.is_some_and(|version| version < SHIM_VERSION) {
        session.output.warn(format_args!("the {} hook is of an older version", arguments.hook));
        session.output.hint("renew it with `git archive-tomb hooks install`");
    }
    match arguments.hook {
        Hook::PreCommit | Hook::PreMergeCommit => check_commit(session),
        Hook::PrePush => check_push(session),
    }
}

/// Checks what is about to be committed. It is silent unless there is something to say.
fn check_commit(session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let scope = Scope::Staged { merge_heads: merge_heads_of_environment() };
    let report = verify(&session.repository, &scope, Options::default())?;
    if report.findings.is_empty() {
        return Ok(Exit::Done);
    }
    // Git shows a hook's standard output with its standard error.
    session.output.raw().write_all(render::text(&report).as_bytes()).map_err(|error| output_error(&error))?;
    if report.is_clean() {
        return Ok(Exit::Done);
    }
    Err(CommandError::new(Exit::Failed, "the commit is refused: stubs and evidence do not agree"))
}
