//! `evidence`: the records, their digests, and whether they are whole.

mod digest;
mod log;
mod sign;
mod signed;
mod verify;

use bstr::BString;
use clap::{Args, Subcommand};
use git_archive_tomb::evidence::format::MAX_FILE_LENGTH;
use git_archive_tomb::git::IndexEntry;
use git_archive_tomb::places;

use self::digest::{DigestArguments, digest};
use self::log::{LogArguments, log};
use self::sign::{SignArguments, sign};
use self::verify::{VerifyArguments, verify};
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::session::Session;

/// Show records and their digests, or check that they are whole
#[derive(Debug, Args)]
pub(crate) struct EvidenceArguments {
    #[command(subcommand)]
    command: EvidenceCommand,
}

#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    /// Print the records of the operations log, oldest first
    Log(LogArguments),
    /// Print the digest of each line of evidence in the index, for a pull request
    ///
    /// `grep TOMBSTONE FILE | sha256sum` gives the same digest. With `--trailers`, what a commit message quotes.
    Digest(DigestArguments),
    /// Check that the evidence files of the index are whole
    Verify(VerifyArguments),
    /// Sign a checkpoint: a statement that all this evidence was here
    ///
    /// It is staged beside the evidence. `evidence verify --signed` then notices where history was rewritten without it.
    Sign(SignArguments),
}

/// Runs the command.
pub(crate) fn run(arguments: &EvidenceArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    match &arguments.command {
        EvidenceCommand::Log(arguments) => log(arguments, session),
        EvidenceCommand::Digest(arguments) => digest(arguments, session),
        EvidenceCommand::Verify(arguments) => verify(arguments, session),
        EvidenceCommand::Sign(arguments) => sign(arguments, session),
    }
}

/// Returns the evidence files of the index, in the order of their names, which is that of time.
fn evidence_files(session: &Session<'_>) -> Result<Vec<IndexEntry>, CommandError> {
    let folder = BString::from(format!(":(top,literal){}", places::EVIDENCE));
    let objects = session.repository.objects();
    let mut entries = session.repository.tracked_entries(&[folder])?;
    entries.retain(|entry| entry.stage == 0);
    for entry in &entries {
        let (_, size) = objects.header(&entry.entry.id)?;
        if size > MAX_FILE_LENGTH {
            return Err(CommandError::new(Exit::Failed, format!("{} is larger than any evidence file", entry.path)));
        }
    }
    Ok(entries)
}
