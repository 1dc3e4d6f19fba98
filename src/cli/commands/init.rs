//! `init`: prepares a repository.

use clap::Args;
use git_archive_tomb::archive::{ArchiveError, ObjectsError, OpenMode};
use git_archive_tomb::config::{TRUST_KEY, template, trust_digest};
use git_archive_tomb::hooks::{InstallOptions, InstallOutcome, Installed};
use git_archive_tomb::operation::stage_own_files;
use git_archive_tomb::places::{CONFIGURATION, OWN_FILES};
use git_archive_tomb::textconv::setup;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::session::{Session, shown};

/// Prepare a repository: archive, `.codex` folder and hooks
///
/// Safe to run again: it makes what is missing and brings an older archive up to date.
#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Do not install hooks
    #[arg(long)]
    no_hooks: bool,
    /// Make git's diffs show what was archived in place of each stub
    #[arg(long)]
    textconv: bool,
    /// Make git's diffs show stubs as they are again
    #[arg(long, conflicts_with = "textconv")]
    no_textconv: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &InitArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    session.refuse_unfinished()?;
    session.check_places()?;
    prepare_archive(session)?;
    if let Some(top) = session.repository.work_tree() {
        for link in session.places.link(session.is_default_archive()?)? {
            session.output.say(format_args!("linked {}", shown(link.strip_prefix(top).unwrap_or(&link))));
        }
        write_configuration(session, top)?;
        if stage_own_files(&session.repository)? {
            let names: Vec<_> = OWN_FILES.iter().map(|file| file.path).collect();
            session.output.say(format_args!("staged {}", names.join(" and ")));
        }
    }
    if !arguments.no_hooks {
        install_hooks(session)?;
    }
    if arguments.textconv {
        let lines = setup::enable(&session.repository, &super::hooks::program()?)?;
        session.output.say(format_args!(
            "git's diffs see through stubs ({} in {})",
            counted(lines, "line"),
            shown(&session.repository.common_dir().join("info/attributes"))
        ));
    } else if arguments.no_textconv {
        setup::disable(&session.repository)?;
        session.output.say("git's diffs show stubs as they are");
    }
    Ok(Exit::Done)
}

/// Makes the archive, or brings an older one up to date.
fn prepare_archive(session: &Session<'_>) -> Result<(), CommandError> {
    let (verb, mut archive) = match session.try_open_archive(OpenMode::Existing)? {
        Ok(archive) => ("uses", archive),
        Err(ArchiveError::Missing { .. }) => ("made", session.open_archive(OpenMode::CreateOrMigrate)?),
        Err(ArchiveError::Older { .. }) => ("migrated", session.open_archive(OpenMode::CreateOrMigrate)?),
        Err(ArchiveError::Objects(ObjectsError::Unprepared { .. })) => {
            ("prepared the objects of", session.open_archive(OpenMode::CreateOrMigrate)?)
        }
        Err(error) => return Err(error.into()),
    };
    archive.ping()?;
    session.output.say(format_args!("{verb} the archive {} ({})", session.shown_archive()?, archive.id()));
    Ok(())
}

/// Writes a commented configuration file where there is none. What this program wrote itself is trusted.
fn write_configuration(session: &Session<'_>, top: &std::path::Path) -> Result<(), CommandError> {
    let path = top.join(CONFIGURATION);
    if session.global.config_file.is_some() || path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let text = template();
    git_archive_tomb::fs::replace(&path, text.as_bytes()).map_err(|error| {
        CommandError::new(Exit::Failed, format!("cannot write {}", shown(&path))).caused_by(error.to_string())
    })?;
    let digest = trust_digest(text.as_bytes());
    if !session.trusted_digests()?.contains(&digest) {
        session.repository.add_local_config(TRUST_KEY, &digest.to_string())?;
    }
    session.output.say(format_args!("wrote {CONFIGURATION}, in which every setting is a comment"));
    Ok(())
}

fn install_hooks(session: &Session<'_>) -> Result<(), CommandError> {
    let options = InstallOptions { program: super::hooks::program()?, shared: false, force: false };
    let place = super::hooks::place(session);
    match git_archive_tomb::hooks::install(&place, &options)? {
        InstallOutcome::Done(hooks) => {
            let names: Vec<_> = hooks.iter().map(|(hook, _)| hook.name()).collect();
            let verb = if hooks.iter().all(|(_, installed)| *installed == Installed::Unchanged) {
                "kept"
            } else {
                "installed"
            };
            session.output.say(format_args!("{verb} the hooks {}", names.join(", ")));
        }
        InstallOutcome::Managed { manager, snippets } => {
            session.output.say(format_args!("{} manages the hooks here; add to its configuration:", manager.name()));
            super::hooks::print_snippets(session.output, &snippets);
        }
        InstallOutcome::Shared { snippets } => {
            session
                .output
                .say("the hooks folder is outside this repository's git directory, so nothing was written; add to it:");
            super::hooks::print_snippets(session.output, &snippets);
        }
    }
    Ok(())
}
