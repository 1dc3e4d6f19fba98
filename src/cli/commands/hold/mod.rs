//! `hold`: keeps bytes from being destroyed, and lets them go again.

mod list;

use std::ffi::OsString;

use clap::{Args, Subcommand};
use git_archive_tomb::evidence::record::Action;
use git_archive_tomb::governance::record::{hold_released, hold_set};
use git_archive_tomb::governance::rules::{OpenHold, open_holds};
use git_archive_tomb::quote::{quote, shell};

use crate::cli::acting::{ActingArguments, Matter, refuse_purged, text};
use crate::cli::commands::store::prepare;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::session::Session;

/// Keep an item's bytes from being destroyed, or let them go again
///
/// A hold keeps the bytes, and so those of every item that has the same. Holds are independent: each is released by itself,
/// and as long as one is there, in the archive or in the evidence of any branch here, no purge is possible.
#[derive(Debug, Args)]
pub(crate) struct HoldArguments {
    #[command(subcommand)]
    command: HoldCommand,
}

#[derive(Debug, Subcommand)]
enum HoldCommand {
    /// Put an item under a hold
    Set(SetArguments),
    /// Release holds of an item
    Release(ReleaseArguments),
    /// List the holds that are not released
    List(list::ListArguments),
}

#[derive(Debug, Args)]
struct SetArguments {
    /// A tombstone, at least 8 characters of one, or the path of a stub
    target: OsString,
    #[command(flatten)]
    acting: ActingArguments,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The name of the case that it is for
    #[arg(long, value_name = "CASE")]
    name: Option<String>,
}

#[derive(Debug, Args)]
struct ReleaseArguments {
    /// A tombstone, at least 8 characters of one, or the path of a stub
    target: OsString,
    #[command(flatten)]
    acting: ActingArguments,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The name of the case whose holds are released, or nothing (`--name ""`) for those without one; not needed where there
    /// is one hold only
    #[arg(long, value_name = "CASE")]
    name: Option<String>,
}

impl HoldArguments {
    /// Returns whether it is to do something, and not only to tell.
    pub(crate) fn changes(&self) -> bool {
        !matches!(self.command, HoldCommand::List(_))
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &HoldArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    match &arguments.command {
        HoldCommand::Set(arguments) => set(arguments, session),
        HoldCommand::Release(arguments) => release(arguments, session),
        HoldCommand::List(arguments) => list::run(arguments, session),
    }
}

fn set(arguments: &SetArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    prepare(session)?;
    let reason = text("--reason", &arguments.reason)?;
    let name = arguments.name.as_deref().map(|name| text("--name", name)).transpose()?;
    let mut facts = session.begin_act(&arguments.acting)?;
    let mut archive = session.archive_to_change_if_any(&facts, Action::HoldSet)?;
    let matter = session.matter(archive.as_deref_mut(), &arguments.target)?;
    if let Some(archive) = archive.as_deref_mut() {
        refuse_purged(&matter, archive)?;
    }
    let id = archive.as_deref().map(|archive| archive.id().to_owned());
    let mut records = vec![hold_set(&facts, id.as_deref(), &matter.subject, name.as_deref(), &reason)];
    session.sign_act(&arguments.acting, &mut facts, &mut records)?;
    let outcome = session.carry_out_act(facts, records, archive.as_deref_mut())?;
    session.print_act(&outcome, "held")?;
    if archive.is_none() {
        session
            .output
            .warn("there is no archive here: the hold counts from its evidence, where that is fetched; push it soon");
    }
    session.output.say("its evidence is staged; commit it with `git commit`");
    Ok(Exit::Done)
}

fn release(arguments: &ReleaseArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    prepare(session)?;
    let reason = text("--reason", &arguments.reason)?;
    let mut facts = session.begin_act(&arguments.acting)?;
    let mut archive = session.archive_to_change_if_any(&facts, Action::HoldReleased)?;
    let matter = session.matter(archive.as_deref_mut(), &arguments.target)?;
    let id = archive.as_deref().map(|archive| archive.id().to_owned());
    let verdicts = session.verdicts()?;
    let judge = session.judge(&verdicts, id.as_deref())?;
    let open = chosen(open_holds(&judge, &matter.ledger)?, arguments.name.as_deref(), &matter)?;
    let released =
        |hold: &OpenHold| hold_released(&facts, id.as_deref(), &matter.subject, hold.id, hold.name.as_deref(), &reason);
    let mut records: Vec<_> = open.iter().map(released).collect();
    session.sign_act(&arguments.acting, &mut facts, &mut records)?;
    let outcome = session.carry_out_act(facts, records, archive.as_deref_mut())?;
    session.print_act(&outcome, "released")?;
    session.output.say("its evidence is staged; commit it with `git commit`");
    Ok(Exit::Done)
}

/// Returns those of the open holds that are to be released.
fn chosen(open: Vec<OpenHold>, name: Option<&str>, matter: &Matter) -> Result<Vec<OpenHold>, CommandError> {
    let tombstone = matter.subject.tombstone;
    let (here, elsewhere): (Vec<_>, Vec<_>) = open.into_iter().partition(|hold| hold.tombstone == tombstone);
    if here.is_empty() {
        let error = CommandError::new(Exit::Failed, format!("item {tombstone} is under no hold"));
        return Err(match elsewhere.first() {
            Some(other) => error.caused_by(other.to_string()).hint(format!(
                "that one is of another item with the same bytes: `git archive-tomb hold release {} --reason \"<why>\"`",
                other.tombstone
            )),
            None => error,
        });
    }
    let several = || {
        let error = CommandError::new(Exit::Usage, format!("item {tombstone} is under several holds"));
        let error = here.iter().fold(error, |error, hold| error.caused_by(hold.to_string()));
        let first = here.iter().find_map(|hold| hold.name.as_deref()).unwrap_or_default();
        error.hint(format!("name the case: `--name {}`", shell(first.as_bytes())))
    };
    match name {
        None if here.len() > 1 => Err(several()),
        None => Ok(here),
        Some(name) => {
            let wanted = Some(name.trim()).filter(|name| !name.is_empty());
            let chosen: Vec<_> = here.iter().filter(|hold| hold.name.as_deref() == wanted).cloned().collect();
            if chosen.is_empty() {
                let text = match wanted {
                    Some(name) => format!("item {tombstone} is under no hold {}", quote(name.as_bytes())),
                    None => format!("item {tombstone} is under no hold without a name"),
                };
                let error = CommandError::new(Exit::Failed, text);
                return Err(here.iter().fold(error, |error, hold| error.caused_by(hold.to_string())));
            }
            Ok(chosen)
        }
    }
}
