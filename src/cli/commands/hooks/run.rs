//! `hooks run`: what the installed hooks call.

use std::io::{Read, Write};

use git_archive_tomb::hooks::{Hook, SHIM_VERSION};
use git_archive_tomb::review::complete;
use git_archive_tomb::verify::{Options, Scope, render, verify};

use super::RunArguments;
use super::push::check_push;
use crate::cli::commands::verify::merge_heads_of_environment;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::output_error;
use crate::cli::session::{Session, shown};

/// The longest message that is looked into, in bytes; one that is written with `--verbose` has its diff below.
const MAX_MESSAGE: u64 = 64 << 20;

/// Runs a hook.
pub(crate) fn run_hook(arguments: &RunArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    if arguments.shim.is_some_and(|version| version < SHIM_VERSION) {
        session.output.warn(format_args!("the {} hook is of an older version", arguments.hook));
        session.output.hint("renew it with `git archive-tomb hooks install`");
    }
    match arguments.hook {
        Hook::PreCommit | Hook::PreMergeCommit => check_commit(session),
        Hook::PrePush => check_push(arguments, session),
        Hook::CommitMsg => add_trailers(arguments, session),
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

/// Adds the trailers that quote staged evidence to the message that git has in a file. A message without them is worth
/// less, and no reason to refuse a commit.
fn add_trailers(arguments: &RunArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let Some(file) = arguments.arguments.first() else {
        return Err(CommandError::new(Exit::Usage, "git names the file of the message to this hook")
            .hint("`git archive-tomb hooks run commit-msg -- FILE`"));
    };
    let path = session.directory().join(file);
    let failed = |error: std::io::Error| {
        CommandError::new(Exit::Failed, format!("cannot change the message in {}", shown(&path)))
            .caused_by(error.to_string())
    };
    let complete_file = || -> Result<(), CommandError> {
        let mut message = Vec::new();
        let file = std::fs::File::open(&path).map_err(failed)?;
        file.take(MAX_MESSAGE + 1).read_to_end(&mut message).map_err(failed)?;
        if message.len() as u64 > MAX_MESSAGE {
            return Ok(());
        }
        match complete(&session.repository, &message)? {
            Some(completed) => std::fs::write(&path, completed).map_err(failed),
            None => Ok(()),
        }
    };
    if let Err(error) = complete_file() {
        session.output.warn(format_args!("the commit's message does not quote its evidence: {}", error.summary()));
    }
    Ok(Exit::Done)
}
