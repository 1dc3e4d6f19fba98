//! Requests, approvals, holds and their taking back: what is done is said in records, which are complete before it begins.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use crate::archive::{AnyArchive, Approval, ArchiveError, Event, Hold, Purpose};
use crate::change::FileChange;
use crate::evidence::record::{Action, Record};
use crate::fault;
use crate::id::{Sha256, Tombstone};
use crate::operation::{Facts, Operation, OperationContext};

/// What somebody is going to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActPlan {
    /// The operation.
    pub facts: Facts,
    /// The id of the archive in which it is done; `None` where it counts from its evidence alone.
    pub archive: Option<String>,
    /// What it says, signed already where that is needed; all of one action.
    pub records: Vec<Record>,
}

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The plan says nothing, or what is not done by records alone.
    #[error("the operation has no records of this kind")]
    NoRecords,
    /// The archive to do it in is not here.
    #[error("archive {wanted}, in which this is to be done, is not here{}", found.as_ref().map_or_else(String::new, |found| format!(", but archive {found}")))]
    OtherArchive {
        /// The archive's id.
        wanted: String,
        /// The id of the one that is here.
        found: Option<String>,
    },
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl From<Infallible> for ActError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A request, approval, hold, or the taking back of one, that is carried out, finished or undone.
pub struct Act {
    /// What is to be done.
    pub plan: ActPlan,
}

impl Act {
    /// What the journal calls the setting of a hold.
    pub const HOLD_SET: &'static str = "hold set";

    /// What the journal calls it, by its action.
    const COMMANDS: [(Action, &'static str); 6] = [
        (Action::PruneRequest, "prune-request"),
        (Action::RequestWithdrawn, "prune-request --withdraw"),
        (Action::DeleteApproved, "approve"),
        (Action::RestoreApproved, "approve --for restore"),
        (Action::HoldSet, Self::HOLD_SET),
        (Action::HoldReleased, "hold release"),
    ];

    /// Returns whether the journal calls one of these `command`.
    pub fn is_command(command: &str) -> bool {
        Self::COMMANDS.iter().any(|(_, known)| *known == command)
    }

    fn first_action(&self) -> Option<Action> {
        self.plan.records.first().map(|record| record.action)
    }

    /// Returns the archive in which it is done, if it is done in one.
    fn archive<'c>(&self, context: &'c mut OperationContext<'_>) -> Result<Option<&'c mut AnyArchive>, ActError> {
        let Some(wanted) = &self.plan.archive else { return Ok(None) };
        match context.archive.as_deref_mut() {
            Some(archive) if archive.id() == wanted => Ok(Some(archive)),
            other => {
                let found = other.map(|archive| archive.id().to_owned());
                Err(ActError::OtherArchive { wanted: wanted.clone(), found })
            }
        }
    }
}

impl Operation for Act {
    type Error = ActError;
    type Plan = ActPlan;

    fn action(&self) -> Action {
        self.first_action().unwrap_or(Action::PruneRequest)
    }

    fn failure(&self) -> Action {
        self.action()
    }

    fn command(&self) -> &'static str {
        let known = Self::COMMANDS.iter().find(|(action, _)| Some(*action) == self.first_action());
        known.map_or("act", |(_, command)| command)
    }

    fn facts(&self) -> &Facts {
        &self.plan.facts
    }

    fn plan(&self) -> &ActPlan {
        &self.plan
    }

    fn paths(&self) -> usize {
        self.plan.records.len()
    }

    fn produce(&mut self, context: &mut OperationContext<'_>, _resumed: bool) -> Result<Vec<Record>, ActError> {
        let action = self.first_action().ok_or(ActError::NoRecords)?;
        let is_other = |record: &Record| record.action != action || record.op != self.plan.facts.op;
        if !Self::COMMANDS.iter().any(|(known, _)| *known == action) || self.plan.records.iter().any(is_other) {
            return Err(ActError::NoRecords);
        }
        if let (Action::HoldSet, Some(archive)) = (action, self.archive(context)?) {
            // Before anybody is told of it: from here on nobody destroys what it holds.
            archive.set_holds(&holds(&self.plan.records))?;
            fault::point("rows");
        }
        Ok(self.plan.records.clone())
    }

    fn changes(
        &mut self,
        _context: &mut OperationContext<'_>,
        _records: &[Record],
        _evidence: &Sha256,
    ) -> Result<Vec<FileChange>, ActError> {
        Ok(Vec::new())
    }

    fn settle(
        &mut self,
        context: &mut OperationContext<'_>,
        records: &[Record],
        events: &[Event],
    ) -> Result<(), ActError> {
        let Some(archive) = self.archive(context)? else { return Ok(()) };
        match self.action() {
            Action::DeleteApproved => archive.approve(&approvals(records, Purpose::Purge), events)?,
            Action::RestoreApproved => archive.approve(&approvals(records, Purpose::Restore), events)?,
            // Last of all: until then the hold holds.
            Action::HoldReleased => archive.release_holds(events)?,
            _ => archive.append_events(events)?,
        }
        Ok(())
    }

    fn is_final(&mut self, context: &mut OperationContext<'_>) -> Result<bool, ActError> {
        if self.first_action() != Some(Action::HoldSet) {
            return Ok(false);
        }
        let Some(archive) = self.archive(context)? else { return Ok(false) };
        let op = Some(self.plan.facts.op);
        for record in &self.plan.records {
            let Some(sha256) = &record.sha256 else { continue };
            let facts = archive.content_facts(sha256)?;
            if facts.is_some_and(|facts| facts.holds.iter().any(|hold| hold.id == op)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn withdraw(&mut self, context: &mut OperationContext<'_>, event: &Event) -> Result<(), ActError> {
        // Where the archive is gone, or another one, nothing of this is in it.
        if let Some(archive) = self.archive(context).ok().flatten() {
            archive.append_events(std::slice::from_ref(event))?;
        }
        Ok(())
    }
}

/// Returns the holds that records set.
fn holds(records: &[Record]) -> Vec<Hold> {
    let hold = |record: &Record| {
        Some(Hold {
            tombstone: record.tombstone?,
            id: Some(record.op),
            name: record.name.clone(),
            set_by: record.actor.clone(),
            reason: record.reason.clone(),
            set_at: record.ts,
        })
    };
    records.iter().filter_map(hold).collect()
}

/// Returns the approvals that records tell of.
fn approvals(records: &[Record], purpose: Purpose) -> Vec<(Tombstone, Approval)> {
    let approval = |record: &Record| {
        let approval = Approval {
            purpose,
            request: record.request.clone(),
            approver: record.actor.clone()?,
            approved_at: record.ts,
            consumed_at: None,
        };
        Some((record.tombstone?, approval))
    };
    records.iter().filter_map(approval).collect()
}
