//! `hooks`: installs, removes, describes and runs the git hooks.

mod push;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use git_archive_tomb::hooks::{
    Hook, InstallOptions, InstallOutcome, Installed, Owner, Place, Snippet, State, UninstallOptions, UninstallOutcome,
    Uninstalled, install, install_with_trailers, status, uninstall,
};

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, Style};
use crate::cli::session::{Session, shown};

/// Install, remove or describe the git hooks
///
/// The hooks check stubs and evidence before a commit, a merge commit and a push. They only read. One that adds trailers
/// to commit messages is installed on request.
#[derive(Debug, Args)]
pub(crate) struct HooksArguments {
    #[command(subcommand)]
    command: HooksCommand,
}

#[derive(Debug, Subcommand)]
enum HooksCommand {
    /// Install the hooks; hooks that are there are kept and run first
    Install(InstallArguments),
    /// Remove the hooks; what was there before comes back as it was
    Uninstall(ChangeArguments),
    /// Tell which hooks are there
    Status,
    /// Run a hook (this is what the installed hooks call)
    Run(RunArguments),
}

#[derive(Debug, Args)]
struct InstallArguments {
    #[command(flatten)]
    change: ChangeArguments,
    /// Also install the hook `commit-msg`, which makes commit messages quote their evidence
    #[arg(long)]
    trailers: bool,
}

#[derive(Debug, Args)]
struct ChangeArguments {
    /// Also in a hooks folder outside this repository, which others may use too
    #[arg(long)]
    shared: bool,
    /// Also where our hooks were edited
    #[arg(short, long)]
    force: bool,
}

/// How a hook was called.
#[derive(Debug, Args)]
struct RunArguments {
    /// The version of the installed hook
    #[arg(long, value_name = "N")]
    shim: Option<u32>,
    /// The hook's name
    #[arg(value_parser = parse_hook)]
    hook: Hook,
    /// What git gave the hook
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

fn parse_hook(text: &str) -> Result<Hook, String> {
    text.parse().map_err(|error: git_archive_tomb::hooks::UnknownHook| error.to_string())
}

/// Runs the command.
pub(crate) fn run(arguments: &HooksArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    match &arguments.command {
        HooksCommand::Install(arguments) => install_hooks(arguments, session),
        HooksCommand::Uninstall(arguments) => uninstall_hooks(arguments, session),
        HooksCommand::Status => print_status(session),
        HooksCommand::Run(arguments) => run::run_hook(arguments, session),
    }
}

/// Returns where this repository's hooks are.
pub(crate) fn place(session: &Session<'_>) -> Place {
    Place {
        hooks_dir: session.repository.hooks_dir().to_owned(),
        common_dir: session.repository.common_dir().to_owned(),
        work_tree: session.repository.work_tree().map(ToOwned::to_owned),
    }
}

/// Returns where this program is.
pub(crate) fn program() -> Result<PathBuf, CommandError> {
    std::env::current_exe().map_err(|error| {
        CommandError::new(Exit::Failed, "cannot find out where this program is").caused_by(error.to_string())
    })
}

/// Prints what is to be added to which files.
pub(crate) fn print_snippets(output: &Output, snippets: &[Snippet]) {
    for snippet in snippets {
        output.say(format_args!("\n{}:\n{}", shown(&snippet.file), snippet.text.trim_end()));
    }
}

fn install_hooks(arguments: &InstallArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let ChangeArguments { shared, force } = arguments.change;
    let options = InstallOptions { program: program()?, shared, force };
    let place = place(session);
    let installed =
        if arguments.trailers { install_with_trailers(&place, &options) } else { install(&place, &options) };
    match installed? {
        InstallOutcome::Done(hooks) => {
            for (hook, installed) in hooks {
                print_result(hook, describe_installed(installed), session)?;
            }
            Ok(Exit::Done)
        }
        InstallOutcome::Managed { manager, snippets } => {
            session.output.say(format_args!("{} manages the hooks here; add to its configuration:", manager.name()));
            print_snippets(session.output, &snippets);
            Ok(Exit::Done)
        }
        InstallOutcome::Shared { snippets } => {
            print_snippets(session.output, &snippets);
            Err(CommandError::new(
                Exit::Usage,
                format!(
                    "the hooks folder {} is outside this repository's git directory",
                    shown(session.repository.hooks_dir())
                ),
            )
            .hint("add the lines above to the hooks there, or write there with `--shared`"))
        }
    }
}

fn print_result(hook: Hook, result: &str, session: &mut Session<'_>) -> Result<(), CommandError> {
    if session.output.json {
        session.output.object(&serde_json::json!({ "hook": hook.name(), "result": result }))
    } else {
        session.output.line(format_args!("{:<17} {result}", hook.name()))
    }
}

fn describe_installed(installed: Installed) -> &'static str {
    match installed {
        Installed::New => "installed",
        Installed::Chained => "installed; the hook that was there runs first",
        Installed::Updated => "renewed",
        Installed::Unchanged => "was installed already",
    }
}

fn uninstall_hooks(arguments: &ChangeArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let options = UninstallOptions { shared: arguments.shared, force: arguments.force };
    match uninstall(&place(session), options)? {
        UninstallOutcome::Done(hooks) => {
            for (hook, uninstalled) in hooks {
                let what = match uninstalled {
                    Uninstalled::Removed => "removed",
                    Uninstalled::Restored => "removed; the hook that was there before is back",
                    Uninstalled::Missing => "was not installed",
                    Uninstalled::Foreign { kept: false } => "belongs to somebody else, and was left",
                    Uninstalled::Foreign { kept: true } => {
                        "belongs to somebody else, and was left; an earlier hook is kept beside it"
                    }
                };
                print_result(hook, what, session)?;
            }
            Ok(Exit::Done)
        }
        UninstallOutcome::Shared => Err(CommandError::new(
            Exit::Usage,
            format!(
                "the hooks folder {} is outside this repository's git directory",
                shown(session.repository.hooks_dir())
            ),
        )
        .hint("remove the hooks there with `--shared`")),
    }
}

fn print_status(session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let status = status(&place(session))?;
    if session.output.json {
        for (hook, state) in &status.hooks {
            let view = serde_json::json!({
                "hook": hook.name(), "active": state.is_active(), "state": describe_state(state),
            });
            session.output.object(&view)?;
        }
    } else {
        match status.owner {
            Owner::Repository => {}
            Owner::Manager(manager) => session.output.line(format_args!("managed by {}", manager.name()))?,
            Owner::Shared => {
                let folder = shown(session.repository.hooks_dir());
                session.output.line(format_args!("in {folder}, outside this repository's git directory"))?;
            }
        }
        for (hook, state) in &status.hooks {
            let style = if state.is_active() { Style::Good } else { Style::Warning };
            let text = session.output.styled(style, describe_state(state));
            session.output.line(format_args!("{:<17} {text}", hook.name()))?;
        }
    }
    if status.is_complete() {
        return Ok(Exit::Done);
    }
    session.output.hint("`git archive-tomb hooks install`");
    Ok(Exit::Failed)
}

fn describe_state(state: &State) -> String {
    match state {
        State::Missing => "missing".to_owned(),
        State::Installed { chained: false, .. } => "installed".to_owned(),
        State::Installed { chained: true, .. } => "installed, after the hook that was there".to_owned(),
        State::Stale { .. } => "out of date".to_owned(),
        State::Newer { version } => format!("installed by a newer git-archive-tomb (version {version})"),
        State::Edited => "edited by somebody".to_owned(),
        State::Foreign { wired: true, .. } => "another hook, which seems to call ours".to_owned(),
        State::Foreign { wired: false, .. } => "another hook".to_owned(),
        State::Managed { manager, wired: true } => format!("in the configuration of {}", manager.name()),
        State::Managed { manager, wired: false } => format!("not in the configuration of {}", manager.name()),
    }
}
