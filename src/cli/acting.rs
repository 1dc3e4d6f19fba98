//! What commands of governance share: who acts and why, on which item, what is known of it, and how it is carried out.

use std::ffi::OsStr;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use git_archive_tomb::archive::{AnyArchive, ArchiveError, Change, ContentFacts, OpenMode, StoredItem};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record};
use git_archive_tomb::governance::acts::{Act, ActPlan};
use git_archive_tomb::governance::clearance::purge_at;
use git_archive_tomb::governance::evidence::{Found, about};
use git_archive_tomb::governance::ledger::Ledger;
use git_archive_tomb::governance::record::Subject;
use git_archive_tomb::governance::rules::{Judge, Policy};
use git_archive_tomb::governance::{Obstacle, Verdicts, Verifier, sign};
use git_archive_tomb::id::{OperationId, Sha256, Tombstone};
use git_archive_tomb::item::JsonPath;
use git_archive_tomb::operation::{Facts, Outcome, execute};
use git_archive_tomb::quote::{quote, shell};
use git_archive_tomb::restore::Wanted;
use serde::Serialize;

use super::arguments::ActorArguments;
use super::commands::doctor::with_context;
use super::error::CommandError;
use super::exit::Exit;
use super::session::Session;
use super::signing::{allowed_signers, known_signers, signer};
use super::view::PathView;

/// The longest reason and the longest name of a hold, in bytes: so that a record always fits.
const MAX_TEXT: usize = 4096;

/// Who acts, and with which key.
#[derive(Debug, Args)]
pub(crate) struct ActingArguments {
    #[command(flatten)]
    pub(crate) actor: ActorArguments,
    /// Sign with this key: a file, or a public key that the agent holds (`key::ssh-ed25519 …`); default, with
    /// `governance.signed`: git's
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) key: Option<String>,
}

impl ActingArguments {
    fn by(&self) -> Option<&str> {
        self.actor.by.as_deref()
    }
}

/// Returns a text that a record is to carry, once it is checked.
pub(crate) fn text(option: &str, text: &str) -> Result<String, CommandError> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_TEXT {
        let wrong = format!("`{option}` takes a text of 1 to {MAX_TEXT} bytes");
        return Err(CommandError::new(Exit::Usage, wrong));
    }
    Ok(text.to_owned())
}

/// An item, and all that is known of its content.
pub(crate) struct Matter {
    /// The item.
    pub(crate) subject: Subject,
    /// The item's row, if there is an archive that has it.
    pub(crate) stored: Option<StoredItem>,
    /// What the archive knows of the content.
    pub(crate) facts: Option<ContentFacts>,
    /// What evidence says of it.
    pub(crate) found: Found,
    /// What both add up to.
    pub(crate) ledger: Ledger,
}

impl Matter {
    /// Returns the other items that have the content.
    pub(crate) fn others(&self) -> impl Iterator<Item = &StoredItem> {
        let items = self.facts.iter().flat_map(|facts| &facts.items);
        items.filter(|stored| stored.purged_at.is_none() && stored.item.tombstone != self.subject.tombstone)
    }
}

/// Returns an item as governance names it.
pub(crate) fn subject_of(wanted: &Wanted) -> Subject {
    Subject { repo: wanted.repo.clone(), path: wanted.path.clone(), tombstone: wanted.tombstone, sha256: wanted.sha256 }
}

impl Session<'_> {
    /// Returns the facts of an operation that begins now.
    pub(crate) fn begin_act(&self, actor: &ActorArguments) -> Result<Facts, CommandError> {
        let actor = self.person(actor.by.as_deref())?;
        Ok(Facts { op: OperationId::generate(), started: Timestamp::now(), actor, repo: self.repo_name()? })
    }

    /// Opens the archive in which something is to be done.
    pub(crate) fn archive_to_change(&self, facts: &Facts, action: Action) -> Result<Box<AnyArchive>, CommandError> {
        self.act(facts.record(action));
        let mut archive = self.open_archive(OpenMode::Existing)?;
        archive.check_change(if action == Action::Purge { Change::Purge } else { Change::Govern })?;
        Ok(archive)
    }

    /// Opens the archive in which something is to be done that counts from its evidence as well; `None` if there is none here.
    pub(crate) fn archive_to_change_if_any(
        &self,
        facts: &Facts,
        action: Action,
    ) -> Result<Option<Box<AnyArchive>>, CommandError> {
        self.act(facts.record(action));
        match self.try_open_archive(OpenMode::Existing)? {
            Ok(mut archive) => {
                archive.check_change(Change::Govern)?;
                Ok(Some(archive))
            }
            Err(ArchiveError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the item that a target means, with all that is known of its content.
    pub(crate) fn matter(&self, mut archive: Option<&mut AnyArchive>, target: &OsStr) -> Result<Matter, CommandError> {
        let located = self.locate_one(archive.as_deref_mut(), target)?;
        let subject = subject_of(&located.wanted);
        let facts = match archive {
            Some(archive) => archive.content_facts(&subject.sha256)?,
            None => None,
        };
        let found = about(&self.repository, &subject.sha256)?;
        let ledger = match &facts {
            Some(facts) => Ledger::of(facts, &found.records),
            None => Ledger::of_records(&subject.sha256, found.records.iter().cloned()),
        };
        Ok(Matter { subject, stored: located.stored, facts, found, ledger })
    }

    /// Returns the item that a target means as the archive has it, with all that is known of its content.
    pub(crate) fn matter_in(&self, archive: &mut AnyArchive, target: &OsStr) -> Result<Matter, CommandError> {
        let matter = self.matter(Some(archive), target)?;
        if matter.stored.is_none() || matter.facts.is_none() {
            let text = format!("item {} is not in the archive", matter.subject.tombstone);
            return Err(CommandError::new(Exit::NotFound, text));
        }
        Ok(matter)
    }

    /// Returns what says whose signatures are.
    pub(crate) fn verdicts(&self) -> Result<Verdicts, CommandError> {
        let signers =
            if self.config()?.governance.signed { Some(allowed_signers(None, self)?) } else { known_signers(self)? };
        Ok(Verdicts::new(signers))
    }

    /// Returns what decides by the settings, as of now.
    pub(crate) fn judge<'j>(
        &self,
        verifier: &'j dyn Verifier,
        archive: Option<&'j str>,
    ) -> Result<Judge<'j>, CommandError> {
        let policy = Policy::from(&self.config()?.governance);
        Ok(Judge { policy, verifier, archive, now: Timestamp::now() })
    }

    /// Signs `records` where that is needed or asked for, and names whoever signed as the one who acts.
    pub(crate) fn sign_act(
        &self,
        acting: &ActingArguments,
        facts: &mut Facts,
        records: &mut [Record],
    ) -> Result<(), CommandError> {
        let Some(action) = records.first().map(|record| record.action) else { return Ok(()) };
        if !self.config()?.governance.signed && acting.key.is_none() {
            return Ok(());
        }
        let (hand, allowed) = (signer(acting.key.as_deref(), self)?, allowed_signers(None, self)?);
        // The first record of a request has the list of what the others name.
        let signed = if action == Action::PruneRequest { 1 } else { records.len() };
        for record in &mut records[..signed] {
            sign(record, &hand, &allowed, acting.by().is_none())?;
            facts.actor = record.actor.clone().unwrap_or_default();
        }
        for record in records {
            record.actor = Some(facts.actor.clone());
        }
        Ok(())
    }

    /// Does what `records` say.
    pub(crate) fn carry_out_act(
        &self,
        facts: Facts,
        records: Vec<Record>,
        archive: Option<&mut AnyArchive>,
    ) -> Result<Outcome, CommandError> {
        self.places.create()?;
        self.places.link(self.is_default_archive()?)?;
        self.catch_signals()?;
        let id = archive.as_deref().map(|archive| archive.id().to_owned());
        let mut act = Act { plan: ActPlan { facts, archive: id, records } };
        with_context(self, archive, |context| Ok(execute(context, &mut act)?))
    }

    /// Prints what was done, one line for each record.
    pub(crate) fn print_act(&mut self, outcome: &Outcome, said: &str) -> Result<(), CommandError> {
        for record in &outcome.records {
            let (Some(tombstone), Some(path)) = (record.tombstone, record.repo_path()) else { continue };
            if self.output.json {
                self.output.object(&ActView {
                    action: record.action,
                    op: record.op,
                    tombstone,
                    sha256: record.sha256,
                    repo: record.repo.as_deref(),
                    path: JsonPath::from(&path).into(),
                    by: record.actor.as_deref(),
                    second: record.second.as_deref(),
                    request: record.request.as_deref(),
                    name: record.name.as_deref(),
                    signed: record.signature.is_some(),
                    evidence: outcome.evidence,
                })?;
            } else {
                let repo = quote(record.repo.as_deref().unwrap_or_default().as_bytes()).into_owned();
                self.output.line(format_args!("{said}  {tombstone}  {repo}:{path}"))?;
            }
        }
        Ok(())
    }
}

/// One line of what was done.
#[derive(Serialize)]
struct ActView<'a> {
    action: Action,
    op: OperationId,
    tombstone: Tombstone,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repo: Option<&'a str>,
    #[serde(flatten)]
    path: PathView,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    second: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    signed: bool,
    evidence: Sha256,
}

/// Returns the error of what was refused: everything that is in the way, and what to do about each kind of it.
pub(crate) fn refused(what: &str, obstacles: &[Obstacle], target: &Tombstone) -> CommandError {
    let mut error = CommandError::new(Exit::Governance, what);
    for obstacle in obstacles {
        error = error.caused_by(obstacle.to_string());
    }
    let mut hints: Vec<String> = Vec::new();
    for hint in obstacles.iter().map(|obstacle| way_out(obstacle, target)) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints.into_iter().fold(error, CommandError::hint)
}

/// Returns what to do about an obstacle of the purge of an item.
fn way_out(obstacle: &Obstacle, target: &Tombstone) -> String {
    match obstacle {
        Obstacle::Unknown { .. } => "`git archive-tomb list` shows what there is".to_owned(),
        Obstacle::Purged { .. } => format!("`git archive-tomb show {target}` tells the whole story"),
        Obstacle::NoRequest | Obstacle::RequestVoid { .. } => {
            format!("request it first: `git archive-tomb prune-request {target} --reason \"<why>\"`")
        }
        Obstacle::Approvals { .. } | Obstacle::NotApproved { .. } => {
            format!("whoever is to approve runs `git archive-tomb approve {target}`")
        }
        Obstacle::Hold { hold } => {
            let name = hold.name.as_ref().map(|name| format!(" --name {}", shell(name.as_bytes()))).unwrap_or_default();
            let item = hold.tombstone;
            format!("whoever may release it runs `git archive-tomb hold release {item}{name} --reason \"<why>\"`")
        }
        Obstacle::Unreadable { .. } => "see what is wrong: `git archive-tomb evidence verify`".to_owned(),
        Obstacle::Retention { .. } => "wait until then, or add `--early`".to_owned(),
        Obstacle::Shared { .. } => "add `--all-references` if these items are to lose their bytes as well".to_owned(),
        Obstacle::Unnamed { .. } => format!(
            "request it anew, for all items that have the bytes by now: \
             `git archive-tomb prune-request {target} --withdraw`, then without `--withdraw`"
        ),
    }
}

/// Refuses what takes bytes where the item has none any more.
pub(crate) fn refuse_purged(matter: &Matter, archive: &mut AnyArchive) -> Result<(), CommandError> {
    let subject = &matter.subject;
    let Some(at) = matter.stored.as_ref().and_then(|stored| stored.purged_at) else { return Ok(()) };
    let obstacle = purge_at(Some(archive), &subject.sha256, Some(&subject.tombstone), at)?;
    Err(refused(&format!("item {} is purged", subject.tombstone), &[obstacle], &subject.tombstone))
}
