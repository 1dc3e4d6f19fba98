//! The destruction of a content's bytes. `docs/governance.md` has its order of writes.

use serde::{Deserialize, Serialize};

use crate::archive::{AnyArchive, ArchiveError, Destroyed, Event, Purge, StoredItem};
use crate::change::FileChange;
use crate::evidence::record::{Action, Record};
use crate::fault;
use crate::git::GitError;
use crate::governance::Obstacle;
use crate::governance::evidence;
use crate::governance::record::{self, RequestKey, Subject};
use crate::governance::rules::{Grant, Judge, PurgeQuestion, judge_purge};
use crate::id::{Sha256, Tombstone};
use crate::operation::{Facts, Operation, OperationContext};
use crate::signature::SignatureError;

/// What is going to be destroyed, and who approved it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PurgePlan {
    /// The operation.
    pub facts: Facts,
    /// What the archive is told of it.
    pub purge: Purge,
    /// The items whose bytes go, the target first. They stay these, whatever becomes of the content later.
    pub items: Vec<Subject>,
    /// The request, as its approvals name it.
    pub request: RequestKey,
    /// Those who are said to approve with the command.
    pub proposed: Vec<String>,
    /// The approvals that come with it.
    pub approvals: Vec<Record>,
    /// Whether it may be before an item's day.
    pub early: bool,
    /// Whether other items may lose their bytes.
    pub all_references: bool,
}

/// How the bytes go.
#[derive(Debug, Clone, Copy, Default)]
pub struct PurgeOptions<'a> {
    /// Why.
    pub reason: &'a str,
    /// Those who are said to approve with the command.
    pub proposed: &'a [&'a str],
    /// Whether it may be before an item's day.
    pub early: bool,
    /// Whether other items may lose their bytes.
    pub all_references: bool,
}

impl PurgePlan {
    /// Returns the plan of what was granted. `origin` is the id of this clone.
    pub fn new(facts: Facts, origin: &str, target: &Subject, grant: &Grant, options: &PurgeOptions<'_>) -> Self {
        let approval = |by: &String| record::purge_approval(&facts, by, &grant.request, target, Some(options.reason));
        let approvals = grant.fresh.iter().map(approval).collect();
        let purge = Purge {
            op: facts.op,
            origin: origin.to_owned(),
            tombstone: target.tombstone,
            sha256: target.sha256,
            request: grant.request.id.clone(),
            by: grant.by.clone(),
            second: grant.second.clone(),
            reason: options.reason.to_owned(),
            begun_at: facts.started,
        };
        let proposed = options.proposed.iter().map(|&by| by.to_owned()).collect();
        let PurgeOptions { early, all_references, .. } = *options;
        let (items, request) = (grant.items.clone(), grant.request.clone());
        Self { facts, purge, items, request, proposed, approvals, early, all_references }
    }

    /// Returns the plan of a purge that has begun in `archive`, has not ended, and of which there is no journal here: what it takes
    /// to end it.
    pub fn of_begun(purge: Purge, archive: &mut AnyArchive, repo: &str) -> Result<Self, ArchiveError> {
        let facts = Facts { op: purge.op, started: purge.begun_at, actor: purge.by.clone(), repo: repo.to_owned() };
        let request = RequestKey { id: purge.request.clone(), archive: archive.id().to_owned(), items: String::new() };
        let known = archive.content_facts(&purge.sha256)?.map(|facts| facts.items).unwrap_or_default();
        // The others lost theirs by an earlier one, and do not lose them again.
        let gone = known.iter().filter(|stored| stored.purged_at == Some(purge.begun_at));
        let mut items: Vec<Subject> = gone.map(|stored| Subject::from(&stored.item)).collect();
        items.sort_by_key(|item| item.tombstone != purge.tombstone);
        let (proposed, approvals) = (Vec::new(), Vec::new());
        Ok(Self { facts, purge, items, request, proposed, approvals, early: false, all_references: false })
    }

    /// Returns the records of it, one for each item.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let Self { facts, purge, request, .. } = self;
        self.items.iter().map(|item| record::purge(facts, request, item, &purge.by, &purge.second, &purge.reason))
    }

    fn agrees(&self, grant: &Grant) -> bool {
        let fresh = self.approvals.iter().filter_map(|record| record.actor.as_ref());
        (&grant.request, &grant.items) == (&self.request, &self.items)
            && (&grant.by, &grant.second) == (&self.purge.by, &self.purge.second)
            && grant.fresh.iter().eq(fresh)
    }
}

/// What was destroyed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Purged {
    /// The items whose bytes are gone, the target first.
    pub items: Vec<StoredItem>,
    /// What that did to the archive; nothing where another run, or another clone, had done it.
    pub destroyed: Destroyed,
}

/// A purge that is carried out or finished.
pub struct Purging<'a> {
    /// What is to be done.
    pub plan: PurgePlan,
    /// What it is judged by.
    pub judge: Judge<'a>,
    /// What was done, once it is.
    pub purged: Purged,
}

/// Why a purge failed.
#[derive(Debug, thiserror::Error)]
pub enum PurgingError {
    /// Something is in the way.
    #[error("the bytes of item {tombstone} stay")]
    Refused {
        /// The item.
        tombstone: Tombstone,
        /// All of it.
        obstacles: Vec<Obstacle>,
    },
    /// It would rest on other approvals, or another request, than were looked at before.
    #[error("its request or approvals changed in the meantime")]
    Changed,
    /// There is no archive to destroy anything in.
    #[error("there is no archive to destroy anything in")]
    NoArchive,
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Signatures could not be looked at.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl<'a> Purging<'a> {
    /// What the journal calls it.
    pub const COMMAND: &'static str = "purge";

    /// Returns the purge that carries `plan` out if `judge` says so.
    pub fn new(plan: PurgePlan, judge: Judge<'a>) -> Self {
        Self { plan, judge, purged: Purged::default() }
    }

    /// Begins the purge in the archive. Changes nothing where something is in the way.
    fn begin(&self, context: &mut OperationContext<'_>) -> Result<(), PurgingError> {
        let Self { plan, judge, .. } = self;
        // Just before: what others do in this repository meanwhile they do to the archive first.
        let found = evidence::about(context.repository, &plan.purge.sha256)?;
        let proposed: Vec<&str> = plan.proposed.iter().map(String::as_str).collect();
        let mut verdict = Ok(());
        let begun = archive(context)?.begin_purge(&plan.purge, &mut |facts| {
            let question = PurgeQuestion {
                target: plan.purge.tombstone,
                facts,
                evidence: &found.records,
                unreadable: &found.unreadable,
                proposed: &proposed,
                early: plan.early,
                all_references: plan.all_references,
            };
            verdict = match judge_purge(judge, &question) {
                Ok(Ok(grant)) if plan.agrees(&grant) => Ok(()),
                Ok(Ok(_)) => Err(PurgingError::Changed),
                Ok(Err(obstacles)) => Err(PurgingError::Refused { tombstone: plan.purge.tombstone, obstacles }),
                Err(error) => Err(error.into()),
            };
            verdict.is_ok()
        })?;
        if begun { Ok(()) } else { verdict.and(Err(PurgingError::Changed)) }
    }

    /// Returns the items as the archive has them, the target first.
    fn items(&self, archive: &mut AnyArchive) -> Result<Vec<StoredItem>, ArchiveError> {
        let facts = archive.content_facts(&self.plan.purge.sha256)?;
        let mut known = facts.map(|facts| facts.items).unwrap_or_default();
        let position =
            |stored: &StoredItem| self.plan.items.iter().position(|item| item.tombstone == stored.item.tombstone);
        known.retain(|stored| position(stored).is_some());
        known.sort_by_key(position);
        Ok(known)
    }
}

impl Operation for Purging<'_> {
    type Error = PurgingError;
    type Plan = PurgePlan;

    fn action(&self) -> Action {
        Action::Purge
    }

    fn failure(&self) -> Action {
        Action::Purge
    }

    fn command(&self) -> &'static str {
        Self::COMMAND
    }

    fn facts(&self) -> &Facts {
        &self.plan.facts
    }

    fn plan(&self) -> &PurgePlan {
        &self.plan
    }

    fn paths(&self) -> usize {
        1
    }

    fn produce(&mut self, context: &mut OperationContext<'_>, _resumed: bool) -> Result<Vec<Record>, PurgingError> {
        if !self.is_final(context)? {
            self.begin(context)?;
        }
        let archive = archive(context)?;
        let purge = &self.plan.purge;
        // Another clone may have brought it to its end, and what came after that is not this purge's to destroy.
        if archive.purge_by(purge.op)?.is_some_and(|known| known.destroyed_at.is_none()) {
            self.purged.destroyed = archive.destroy(&purge.sha256)?;
        }
        fault::point("bytes");
        self.purged.items = self.items(archive)?;
        Ok(self.plan.approvals.iter().cloned().chain(self.plan.records()).collect())
    }

    fn changes(
        &mut self,
        _context: &mut OperationContext<'_>,
        _records: &[Record],
        _evidence: &Sha256,
    ) -> Result<Vec<FileChange>, PurgingError> {
        Ok(Vec::new())
    }

    fn settle(
        &mut self,
        context: &mut OperationContext<'_>,
        _records: &[Record],
        events: &[Event],
    ) -> Result<(), PurgingError> {
        Ok(archive(context)?.end_purge(self.plan.purge.op, events)?)
    }

    fn is_final(&mut self, context: &mut OperationContext<'_>) -> Result<bool, PurgingError> {
        let Some(archive) = context.archive.as_deref_mut() else { return Ok(false) };
        Ok(archive.purge_by(self.plan.purge.op)?.is_some())
    }

    fn withdraw(&mut self, context: &mut OperationContext<'_>, event: &Event) -> Result<(), PurgingError> {
        if let Some(archive) = context.archive.as_deref_mut() {
            archive.append_events(std::slice::from_ref(event))?;
        }
        Ok(())
    }
}

fn archive<'c>(context: &'c mut OperationContext<'_>) -> Result<&'c mut AnyArchive, PurgingError> {
    context.archive.as_deref_mut().ok_or(PurgingError::NoArchive)
}
