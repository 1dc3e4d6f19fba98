//! Who signs, and whom to believe: as the options say, else the settings, else git.

use std::path::{Path, PathBuf};

use git_archive_tomb::signature::{
    AllowedSigners, Key, Signer, allowed_signers_of_git, program_of_git, revocations_of_git,
};

use super::error::CommandError;
use super::exit::Exit;
use super::session::{Session, shown};

/// Returns the signer with the named key (a file, or a public key as git writes it), else with git's.
pub(crate) fn signer(key: Option<&str>, session: &Session<'_>) -> Result<Signer, CommandError> {
    let key = key.map(|key| Key::literal(key).unwrap_or_else(|| Key::File(session.directory().join(key))));
    Ok(Signer::find(&session.repository, session.git_config()?, key)?)
}

/// Returns whom to believe: the people in the named file, else in the configured one.
///
/// A file that git tracks here is written by whoever wrote the branch, who could add a key of his own. It counts only where
/// the command line names it.
pub(crate) fn allowed_signers(named: Option<&Path>, session: &Session<'_>) -> Result<AllowedSigners, CommandError> {
    let file = if let Some(named) = named {
        let file = session.directory().join(named);
        if session.belongs_to_branch(&file)? {
            let named = shown(named);
            session.output.warn(format_args!("{named} belongs to this branch, whose author may have added keys to it"));
        }
        file
    } else {
        let Some(file) = configured(session)? else {
            return Err(CommandError::new(Exit::Usage, "nobody is named whose signatures count").hint(
                "name a file of allowed signers: `git config gpg.ssh.allowedSignersFile <file>`, or, for this program alone, \
                 `git config archivetomb.governance.allowedSigners <file>`",
            ));
        };
        refuse_of_branch(&file, session)?;
        file
    };
    let revoked = revocations_of_git(&session.repository)?;
    if let Some(revoked) = &revoked {
        refuse_of_branch(revoked, session)?;
    }
    Ok(AllowedSigners { program: program_of_git(&session.repository)?, file, revoked })
}

/// Returns whom to believe where that is configured, and not by the branch.
pub(crate) fn known_signers(session: &Session<'_>) -> Result<Option<AllowedSigners>, CommandError> {
    let Some(file) = configured(session)? else { return Ok(None) };
    let revoked = revocations_of_git(&session.repository)?;
    for file in std::iter::once(&file).chain(&revoked) {
        if session.belongs_to_branch(file)? || !file.exists() {
            return Ok(None);
        }
    }
    Ok(Some(AllowedSigners { program: program_of_git(&session.repository)?, file, revoked }))
}

fn configured(session: &Session<'_>) -> Result<Option<PathBuf>, CommandError> {
    Ok(match &session.config()?.governance.allowed_signers {
        Some(file) => Some(session.at_top(file)),
        None => allowed_signers_of_git(&session.repository)?,
    })
}

fn refuse_of_branch(file: &Path, session: &Session<'_>) -> Result<(), CommandError> {
    if !session.belongs_to_branch(file)? {
        return Ok(());
    }
    let top = session.repository.work_tree().unwrap_or(session.repository.git_dir());
    let inside = file.strip_prefix(top).unwrap_or(file);
    let message = format!("{} belongs to this branch, whose author may have changed it to be believed", shown(inside));
    Err(CommandError::new(Exit::Usage, message).hint(format!(
        "keep such a file outside, or take it from a commit that you trust: `git show <commit>:{} > <file>`",
        shown(inside)
    )))
}
