//! Whether bytes may be handed out here, and the records of what was, where the settings ask for approvals.

use std::ops::ControlFlow;

use git_archive_tomb::archive::{AnyArchive, Query, StoredItem};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record, Source, Status};
use git_archive_tomb::governance::clearance::{Demand, Withheld, withheld};
use git_archive_tomb::governance::record::Subject;
use git_archive_tomb::governance::{Obstacle, Verdicts};
use git_archive_tomb::id::OperationId;
use git_archive_tomb::restore::Located;

use super::acting::subject_of;
use super::error::CommandError;
use super::exit::Exit;
use super::output::counted;
use super::session::Session;

/// How many items a refusal names.
const LISTED: usize = 20;

impl Session<'_> {
    /// Returns whether bytes are handed out with approvals only.
    pub(crate) fn needs_approvals(&self) -> Result<bool, CommandError> {
        Ok(self.config()?.governance.restore_approvals > 0)
    }

    /// Refuses to hand out what is purged, or lacks approvals. `only` is where the bytes are to come from.
    pub(crate) fn clear<'l>(
        &self,
        located: impl IntoIterator<Item = &'l Located>,
        archive: Option<&mut AnyArchive>,
        by: Option<&str>,
        only: Option<Source>,
    ) -> Result<(), CommandError> {
        let items: Vec<_> =
            located.into_iter().map(|located| (subject_of(&located.wanted), located.stored.as_ref())).collect();
        refusal(&self.withheld(&items, archive, by, only)?).map_or(Ok(()), Err)
    }

    /// Refuses to hand out what a query selects unless all of it has its approvals, and records that `command` hands it out. What is
    /// purged has no bytes to hand out.
    pub(crate) fn clear_listed(
        &self,
        archive: &mut AnyArchive,
        query: &Query,
        command: &str,
        by: Option<&str>,
    ) -> Result<(), CommandError> {
        if !self.needs_approvals()? {
            return Ok(());
        }
        let mut listed = Vec::new();
        archive.list(query, &mut |stored| {
            if stored.purged_at.is_none() {
                listed.push(stored);
            }
            ControlFlow::Continue(())
        })?;
        let items: Vec<_> = listed.iter().map(|stored| (Subject::from(&stored.item), Some(stored))).collect();
        refusal(&self.withheld(&items, Some(archive), by, None)?).map_or(Ok(()), Err)?;
        self.record_handing_out(items.iter().map(|(subject, _)| subject), command, by, Some(archive))
    }

    /// Returns those of the items, each with its row in the archive, that are not handed out.
    pub(crate) fn withheld(
        &self,
        items: &[(Subject, Option<&StoredItem>)],
        archive: Option<&mut AnyArchive>,
        by: Option<&str>,
        only: Option<Source>,
    ) -> Result<Vec<Withheld>, CommandError> {
        let needs_approvals = self.needs_approvals()?;
        let is_there = |(_, stored): &(Subject, Option<&StoredItem>)| {
            stored.is_some_and(|stored| stored.purged_at.is_none()) || only == Some(Source::History)
        };
        // Nearly always, and nothing has to be asked for it.
        if !needs_approvals && items.iter().all(is_there) {
            return Ok(Vec::new());
        }
        let (by, verdicts) =
            if needs_approvals { (self.actor(by)?, self.verdicts()?) } else { (String::new(), Verdicts::new(None)) };
        // Also for bytes that do not come from it: approvals do.
        let mut asked = if archive.is_none() && needs_approvals { self.archive_of_approvals() } else { None };
        let archive = archive.or(asked.as_deref_mut());
        let id = archive.as_deref().map(|archive| archive.id().to_owned());
        let judge = self.judge(&verdicts, id.as_deref())?;
        Ok(withheld(&self.repository, archive, &Demand { judge, by: &by, only }, items)?)
    }

    /// Opens the archive for the approvals in it. Where it is out of reach, those that are signed count from evidence.
    fn archive_of_approvals(&self) -> Option<Box<AnyArchive>> {
        self.archive_if_any().unwrap_or_else(|error| {
            self.output.warn(format_args!("approvals in the archive do not count: {}", error.summary()));
            None
        })
    }

    /// Records that items are handed out by `command`, where that takes approvals: before any byte of them is.
    pub(crate) fn record_handing_out<'s>(
        &self,
        items: impl IntoIterator<Item = &'s Subject>,
        command: &str,
        by: Option<&str>,
        mut archive: Option<&mut AnyArchive>,
    ) -> Result<(), CommandError> {
        if !self.needs_approvals()? {
            return Ok(());
        }
        let (op, actor) = (OperationId::generate(), self.actor(by)?);
        for subject in items {
            let mut record = Record::new(Action::Restore, op, Timestamp::now());
            record.actor = Some(actor.clone());
            record.repo = Some(subject.repo.clone());
            record.set_path(&subject.path);
            record.tombstone = Some(subject.tombstone);
            record.sha256 = Some(subject.sha256);
            record.status = Some(Status::Done);
            // Not as an output: that is a place, and these bytes go to none.
            record.name = Some(command.to_owned());
            self.record(&record, archive.as_deref_mut())?;
        }
        Ok(())
    }
}

/// Returns the error of items that are not handed out, if there are any.
pub(crate) fn refusal(withheld: &[Withheld]) -> Option<CommandError> {
    let (first, others) = withheld.split_first()?;
    if others.is_empty() {
        let error = CommandError::new(Exit::Governance, format!("item {} {}", first.tombstone, why(first)));
        return Some(way_out(first).into_iter().fold(error.caused_by(first.obstacle.to_string()), CommandError::hint));
    }
    let text = format!("{} are not handed out", counted(withheld.len(), "item"));
    let mut error = CommandError::new(Exit::Governance, text);
    for one in withheld.iter().take(LISTED) {
        error = error.caused_by(format!("{} ({}): {}", one.path, one.tombstone, one.obstacle));
    }
    if let Some(more @ 1..) = withheld.len().checked_sub(LISTED) {
        error = error.caused_by(format!("and {more} more"));
    }
    let hint = withheld.iter().find_map(way_out);
    Some(hint.into_iter().fold(error, CommandError::hint))
}

fn why(withheld: &Withheld) -> &'static str {
    match withheld.obstacle {
        Obstacle::Purged { .. } => "is purged",
        _ => "is handed out with approvals only",
    }
}

fn way_out(withheld: &Withheld) -> Option<String> {
    let Withheld { tombstone, obstacle, .. } = withheld;
    matches!(obstacle, Obstacle::Approvals { .. })
        .then(|| format!("whoever is to approve runs `git archive-tomb approve {tombstone} --for restore`"))
}
