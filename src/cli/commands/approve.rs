//! `approve`: consents to a purge that was requested, or to a restore.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use git_archive_tomb::archive::AnyArchive;
use git_archive_tomb::evidence::record::Action;
use git_archive_tomb::governance::record::{purge_approval, restore_approval};
use git_archive_tomb::governance::rules::judge_approval;
use git_archive_tomb::operation::Facts;

use super::store::prepare;
use crate::cli::acting::{ActingArguments, Matter, refused, text};
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::session::Session;

/// Approve the purge that was requested of an item, or its restore
///
/// Approvals may be given one at a time, from several machines. A signed one counts from its evidence too, as soon as
/// that is in any branch here; it names what it approves, so it counts for nothing else.
#[derive(Debug, Args)]
pub(crate) struct ApproveArguments {
    /// A tombstone, at least 8 characters of one, or the path of a stub
    target: OsString,
    /// What is approved
    #[arg(long = "for", value_enum, value_name = "WHAT", default_value = "purge")]
    purpose: ApprovalFor,
    #[command(flatten)]
    acting: ActingArguments,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What an approval is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ApprovalFor {
    /// That the bytes are destroyed, as the open request asks
    Purge,
    /// That the bytes are handed out
    Restore,
}

/// Runs the command.
pub(crate) fn run(arguments: &ApproveArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    prepare(session)?;
    let reason = arguments.reason.as_deref().map(|reason| text("--reason", reason)).transpose()?;
    let mut facts = session.begin_act(&arguments.acting)?;
    let is_purge = arguments.purpose == ApprovalFor::Purge;
    let action = if is_purge { Action::DeleteApproved } else { Action::RestoreApproved };
    let mut archive = archive(&facts, action, arguments, session)?;
    let mut matter = session.matter(archive.as_deref_mut(), &arguments.target)?;
    let is_elsewhere = matter.stored.is_none() || (is_purge && !has_request(&matter));
    if archive.is_some() && is_elsewhere && signs(arguments, session)? {
        // The archive here is another one than that of the request: that one's evidence is to go by.
        archive = None;
        matter = session.matter(None, &arguments.target)?;
    }
    let id = archive.as_deref().map(|archive| archive.id().to_owned());
    let subject = &matter.subject;
    let mut records = if is_purge {
        let verdicts = session.verdicts()?;
        let judge = session.judge(&verdicts, id.as_deref())?;
        let request = judge_approval(&judge, &matter.ledger, &subject.tombstone, &facts.actor)?;
        let request = request.map_err(|obstacles| {
            let what = format!("the purge of item {} cannot be approved", subject.tombstone);
            refused(&what, &obstacles, &subject.tombstone)
        })?;
        vec![purge_approval(&facts, &facts.actor, &request.key, subject, reason.as_deref())]
    } else {
        vec![restore_approval(&facts, id.as_deref(), subject, reason.as_deref())]
    };
    session.sign_act(&arguments.acting, &mut facts, &mut records)?;
    let outcome = session.carry_out_act(facts, records, archive.as_deref_mut())?;
    session.print_act(&outcome, "approved")?;
    if archive.is_none() {
        session.output.say("there is no archive here: the approval counts from its evidence, where that is fetched");
    }
    session.output.say("its evidence is staged; commit it with `git commit`");
    Ok(Exit::Done)
}

/// Returns whether the approval will be signed.
fn signs(arguments: &ApproveArguments, session: &Session<'_>) -> Result<bool, CommandError> {
    Ok(session.config()?.governance.signed || arguments.acting.key.is_some())
}

/// Returns whether the archive has a request for the purge of the item, open or not.
fn has_request(matter: &Matter) -> bool {
    let mut requests = matter.ledger.requests.iter();
    requests.any(|request| request.told.in_archive && request.target == matter.subject.tombstone)
}

/// Opens the archive. Where none is at hand, a signed approval counts from its evidence alone.
fn archive(
    facts: &Facts,
    action: Action,
    arguments: &ApproveArguments,
    session: &Session<'_>,
) -> Result<Option<Box<AnyArchive>>, CommandError> {
    if !signs(arguments, session)? {
        return session.archive_to_change(facts, action).map(Some);
    }
    session.archive_to_change_if_any(facts, action).or_else(|error| {
        if error.exit != Exit::Unreachable {
            return Err(error);
        }
        session.output.warn(format_args!("the archive is out of reach: {}", error.summary()));
        Ok(None)
    })
}
