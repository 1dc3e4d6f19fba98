//! `evidence sign`: a signed statement about which evidence is here.

use clap::Args;
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::check::Checker;
use git_archive_tomb::evidence::checkpoint::format::Checkpoint;
use git_archive_tomb::evidence::checkpoint::prepare::prepare;
use git_archive_tomb::operation::add_own_file;

use super::evidence_files;
use super::signed::CheckpointView;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::session::Session;
use crate::cli::signing::{known_signers, signer};

#[derive(Debug, Args)]
pub(super) struct SignArguments {
    /// Sign with this key: a file, or a public key that the agent holds (`key::ssh-ed25519 …`); default: git's
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The repository's name in the checkpoint; default as for `store`
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,
}

pub(super) fn sign(arguments: &SignArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    session.repository.require_work_tree()?;
    session.refuse_unfinished()?;
    session.check_places()?;
    let repo = match &arguments.repo {
        Some(repo) if repo.trim().is_empty() => {
            return Err(CommandError::new(Exit::Usage, "a repository's name cannot be empty"));
        }
        Some(repo) => repo.clone(),
        None => session.repo_name()?,
    };
    let signer = signer(arguments.key.as_deref(), session)?;
    let mut checker = Checker::default();
    let objects = session.repository.fetching_objects();
    for entry in evidence_files(session)? {
        checker.file(&entry.path, objects.open_blob(&entry.entry.id)?, |_| ());
    }
    let signers = known_signers(session)?;
    let statement = prepare(&session.repository, &checker.finish(), &repo, signers.as_ref(), Timestamp::now())?;
    let signature = signer.sign(statement.to_string().as_bytes())?;
    let checkpoint = Checkpoint::new(statement, signature);
    let path = checkpoint.path();
    add_own_file(&session.repository, &path, checkpoint.text().as_bytes())?;
    if session.output.json {
        session.output.object(&CheckpointView::new(&path.to_string(), &checkpoint))?;
    } else {
        session.output.line(&path)?;
    }
    let files = counted(usize::try_from(checkpoint.statement.count).unwrap_or(usize::MAX), "evidence file");
    session.output.say(format_args!("signed {files} of `{repo}`; the checkpoint is staged"));
    session.output.hint("commit it, and keep a copy where nobody can rewrite this repository");
    Ok(Exit::Done)
}
