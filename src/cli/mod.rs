//! The command line: the only place that prints, reads the user's environment, or picks an exit code.

mod acting;
mod arguments;
mod clearing;
mod commands;
mod convert;
mod error;
mod exit;
mod filter;
mod manifest;
mod output;
mod progress;
mod residue;
mod session;
mod signing;
mod story;
mod talk;
mod view;
mod visible;
mod when;
mod wrap;

use std::process::ExitCode;
use std::sync::atomic::Ordering;

use clap::Parser as _;
use clap::error::ErrorKind;
use git_archive_tomb::config::environment;
use git_archive_tomb::quote::printable;

use arguments::{Arguments, Command};
use error::CommandError;
use exit::Exit;
use output::Output;
use session::Session;

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    talk::install_panic_hook();
    // A panic has said what it has to say; what is left is an exit code that scripts know.
    std::panic::catch_unwind(start).unwrap_or(Exit::Failed).into()
}

fn start() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let no_color = std::env::var_os(environment::NO_COLOR).is_some_and(|value| !value.is_empty());
    let mut output = Output::new(&arguments.global, no_color);
    match run(arguments, &mut output).and_then(|exit| output.finish().map(|()| exit)) {
        Ok(exit) => exit,
        // A reader that has seen enough is no failure.
        Err(error) if error.exit == Exit::Done => Exit::Done,
        Err(error) => {
            let _ = output.finish();
            output.error(&error);
            error.exit
        }
    }
}

/// Prints what was asked for instead of a command, or what is wrong with the command line.
fn refuse(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // Help and version go to standard output and are no errors.
        let _ = error.print();
        return Exit::Done;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
    } else {
        // The message repeats arguments, which may be anything: it is taken from a parse of harmless ones.
        let arguments = std::env::args_os().map(|argument| printable(&argument.to_string_lossy()).into_owned());
        let message = match Arguments::try_parse_from(arguments) {
            Err(harmless) => harmless.render(),
            Ok(_) => error.render(),
        };
        // Git answers `git archive-tomb --help` with a man page.
        let text = message.to_string().replace("try '--help'", "try '-h'");
        talk::print(talk::harmless(text).trim_end());
    }
    Exit::Usage
}

fn run(arguments: Arguments, output: &mut Output) -> Result<Exit, CommandError> {
    let Arguments { global, command } = arguments;
    if let Command::Schema(arguments) = &command {
        return commands::schema::run(arguments, output);
    }
    if let Command::Textconv(arguments) = &command {
        return commands::textconv::run(arguments, global, output);
    }
    let mut session = Session::open(global, output)?;
    // A check of a commit is to cost next to nothing; see below for one that fails.
    let asks_first = !matches!(command, Command::Verify(_) | Command::Hooks(_));
    if asks_first {
        session.repository.check_git_version()?;
    }
    match &command {
        // These refuse to begin before it is brought to an end, or are what does that.
        Command::Init(_)
        | Command::Store(_)
        | Command::BatchStore(_)
        | Command::Restore(_)
        | Command::Resolve(_)
        | Command::PruneRequest(_)
        | Command::Approve(_)
        | Command::Purge(_)
        | Command::Doctor(_) => {}
        Command::Hold(arguments) if arguments.changes() => {}
        _ => session.report_unfinished()?,
    }
    let result = match command {
        Command::Init(arguments) => commands::init::run(&arguments, &mut session),
        Command::Store(arguments) => commands::store::run(&arguments, &mut session),
        Command::BatchStore(arguments) => commands::batch_store::run(&arguments, &mut session),
        Command::Restore(arguments) => commands::restore::run(&arguments, &mut session),
        Command::Resolve(arguments) => commands::resolve::run(&arguments, &mut session),
        Command::BatchRestore(arguments) => commands::batch_restore::run(&arguments, &mut session),
        Command::Status(arguments) => commands::status::run(&arguments, &mut session),
        Command::List(arguments) => commands::list::run(arguments, &mut session),
        Command::Show(arguments) => commands::show::run(&arguments, &mut session),
        Command::Cat(arguments) => commands::cat::run(&arguments, &mut session),
        Command::Diff(arguments) => commands::diff::run(&arguments, &mut session),
        Command::Grep(arguments) => commands::grep::run(arguments, &mut session),
        Command::Verify(arguments) => commands::verify::run(&arguments, &mut session),
        Command::Evidence(arguments) => commands::evidence::run(&arguments, &mut session),
        Command::PrBody(arguments) => commands::pr_body::run(&arguments, &mut session),
        Command::Hooks(arguments) => commands::hooks::run(&arguments, &mut session),
        Command::PruneRequest(arguments) => commands::prune_request::run(&arguments, &mut session),
        Command::Approve(arguments) => commands::approve::run(&arguments, &mut session),
        Command::Purge(arguments) => commands::purge::run(&arguments, &mut session),
        Command::Hold(arguments) => commands::hold::run(&arguments, &mut session),
        Command::Retention(arguments) => commands::retention::run(&arguments, &mut session),
        Command::Doctor(arguments) => commands::doctor::run(&arguments, &mut session),
        Command::HealthCheck(arguments) => commands::health_check::run(&arguments, &mut session),
        Command::Export(arguments) => commands::export::run(&arguments, &mut session),
        Command::Report(arguments) => commands::report::run(&arguments, &mut session),
        Command::Migrate(arguments) => commands::migrate::run(&arguments, &mut session),
        Command::ConfigShow(arguments) => commands::config_show::run(&arguments, &mut session),
        Command::Trust(arguments) => commands::trust::run(&arguments, &mut session),
        Command::Schema(_) | Command::Textconv(_) => Err(CommandError::new(Exit::Usage, "this needs no repository")),
    };
    // Whatever failed then failed because of that: the signal reaches the `git` processes too.
    result.map_err(|mut error| {
        if session.interrupted.load(Ordering::Relaxed) {
            error.exit = Exit::Interrupted;
        } else if let Some(Err(too_old)) = (!asks_first).then(|| session.repository.check_git_version()) {
            error = too_old.into();
        }
        error
    })
}
