//! Carries a store out: its own part of an [`Operation`].

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::plan::{PlannedItem, StorePlan, type_of};
use super::records;
use crate::archive::{
    AnyArchive, ArchiveError, ContentSource, Event, Progress, StoreContentsError, StoreContentsOptions, store_contents,
};
use crate::change::{After, ConflictStanding, FileChange, Standing, conflict_standings, standings};
use crate::evidence::record::{Action, Level, Record};
use crate::fault;
use crate::git::{GitError, Objects, Repository, TreeEntry};
use crate::governance::Obstacle;
use crate::governance::clearance::purge_at;
use crate::id::Sha256;
use crate::item::{FileMode, Item, RepoPath};
use crate::operation::{Facts, Operation, OperationContext};
use crate::restore;
use crate::stub::{RenderError, Rendered, Templates};

/// Where references keep the blobs of locally modified files alive, each under its item's tombstone.
const DIRTY_REFERENCES: &str = "refs/archive-tomb/dirty/";

/// How many paths are looked at together for what was purged.
const GROUP: usize = 1024;

/// A store that is carried out, finished or undone.
pub struct Store<'a> {
    /// What is to be done.
    pub plan: StorePlan,
    /// The stub templates.
    pub templates: &'a Templates,
    /// How bytes are stored.
    pub storage: StoreContentsOptions,
    /// Told how far the bytes have come.
    pub progress: &'a mut dyn FnMut(Progress),
}

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Paths changed between planning and taking the lock.
    #[error("`{path}` changed while it was being archived")]
    Changed {
        /// The first such path.
        path: RepoPath,
    },
    /// There is no archive to store into.
    #[error("there is no archive to store into")]
    NoArchive,
    /// The bytes of some paths were destroyed on purpose, and are not to come back in passing.
    #[error("{} bytes that were destroyed on purpose", holders(paths))]
    Purged {
        /// All such paths.
        paths: Vec<PurgedPath>,
    },
    /// A record of the operation lacks what a stub tells.
    #[error("the record of `{path}` is incomplete")]
    IncompleteRecord {
        /// The path.
        path: RepoPath,
    },
    /// A stub could not be written.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The bytes could not be stored.
    #[error("cannot store the bytes{}", path.as_ref().map_or_else(String::new, |path| format!(" of `{path}`")))]
    Contents {
        /// The path, if it is one path's fault.
        path: Option<RepoPath>,
        /// Why not.
        source: StoreContentsError,
    },
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Git, or the working tree, failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// A path whose bytes were destroyed on purpose.
#[derive(Debug, Clone, PartialEq)]
pub struct PurgedPath {
    /// The path.
    pub path: RepoPath,
    /// The digest of the bytes.
    pub sha256: Sha256,
    /// When, by whom and why they were destroyed.
    pub obstacle: Obstacle,
}

/// Says who has bytes that were destroyed.
fn holders(paths: &[PurgedPath]) -> String {
    match paths {
        [only] => format!("`{}` holds", only.path),
        several => format!("{} paths hold", several.len()),
    }
}

impl Operation for Store<'_> {
    type Error = StoreError;
    type Plan = StorePlan;

    fn action(&self) -> Action {
        Action::Archive
    }

    fn failure(&self) -> Action {
        Action::ArchiveFail
    }

    fn command(&self) -> &'static str {
        Self::COMMAND
    }

    fn facts(&self) -> &Facts {
        &self.plan.facts
    }

    fn plan(&self) -> &StorePlan {
        &self.plan
    }

    fn paths(&self) -> usize {
        self.plan.items.len()
    }

    fn produce(&mut self, context: &mut OperationContext<'_>, resumed: bool) -> Result<Vec<Record>, StoreError> {
        let plan = &self.plan;
        // An operation that is finished later goes on where it can, and names what changed in the meantime.
        if !resumed && !plan.keep {
            check_unchanged(context.repository, &plan.items)?;
        }
        let archive = context.archive.as_deref_mut().ok_or(StoreError::NoArchive)?;
        let interrupted = context.interrupted;
        let source = Blobs { objects: context.repository.fetching_objects(), items: &plan.items, interrupted };
        let storage = StoreContentsOptions { allow_purged: plan.allow_purged, ..self.storage };
        let stored = store_contents(archive, &source, storage, self.progress);
        if let Err(StoreContentsError::Archive(ArchiveError::Purged { .. })) = &stored {
            let paths = purged_paths(archive, &source)?;
            if !paths.is_empty() {
                return Err(StoreError::Purged { paths });
            }
        }
        let contents = stored.map_err(|source| {
            let index = match &source {
                StoreContentsError::Source { index, .. } | StoreContentsError::Changed { index, .. } => Some(*index),
                StoreContentsError::Block(_) | StoreContentsError::Known(_) | StoreContentsError::Archive(_) => None,
            };
            let path = index.and_then(|index| plan.items.get(index)).map(|item| item.path.clone());
            StoreError::Contents { path, source }
        })?;
        fault::point("bytes");
        let items: Vec<_> = plan
            .items
            .iter()
            .zip(&contents)
            .map(|(planned, content)| records::item(plan, planned, content.sha256))
            .collect();
        let statuses = archive.begin(plan.facts.op, context.origin, &items)?;
        fault::point("rows");
        let mut made = Vec::with_capacity(items.len());
        for (((item, content), status), planned) in items.iter().zip(&contents).zip(statuses).zip(&plan.items) {
            let mut record = records::record(plan, item, content.compressed_size, status, archive.backend());
            if plan.allow_purged
                && let Some(purge) = archive.purge_of(&content.sha256)?
            {
                record.level = Level::Warn;
                record.request = Some(purge.request);
            }
            if !plan.keep {
                record.stub = Some(self.render(context.repository, planned, &record, Sha256::ZERO)?.digest);
            }
            made.push(record);
        }
        keep_alive(context.repository, &items)?;
        fault::point("references");
        made.extend(plan.replaced.iter().map(|wanted| restore::record(&plan.facts, &wanted.path, wanted, None)));
        Ok(made)
    }

    fn changes(
        &mut self,
        context: &mut OperationContext<'_>,
        records: &[Record],
        evidence: &Sha256,
    ) -> Result<Vec<FileChange>, StoreError> {
        if self.plan.keep {
            return Ok(Vec::new());
        }
        let mut texts = Vec::with_capacity(records.len());
        for (planned, record) in self.plan.items.iter().zip(records) {
            texts.push(self.render(context.repository, planned, record, *evidence)?.text);
        }
        let blobs: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let ids = context.repository.objects().write_blobs(&blobs)?;
        let change = |(planned, id): (&PlannedItem, _)| FileChange {
            path: planned.path.clone(),
            before: planned.before(),
            after: After::File(TreeEntry { mode: FileMode::Regular.bits(), id }),
            raw: false,
        };
        Ok(self.plan.items.iter().zip(ids).map(change).chain(self.plan.also.iter().cloned()).collect())
    }

    fn settle(
        &mut self,
        context: &mut OperationContext<'_>,
        _records: &[Record],
        events: &[Event],
    ) -> Result<(), StoreError> {
        let archive = context.archive.as_deref_mut().ok_or(StoreError::NoArchive)?;
        archive.seal(self.plan.facts.op, events)?;
        let replaced: Vec<_> = self.plan.replaced.iter().map(|wanted| wanted.tombstone).collect();
        if !replaced.is_empty() {
            archive.mark_restored(&replaced, self.plan.facts.started, &[])?;
        }
        Ok(())
    }

    fn withdraw(&mut self, context: &mut OperationContext<'_>, event: &Event) -> Result<(), StoreError> {
        // Where there is no archive there are no rows.
        if let Some(archive) = context.archive.as_deref_mut() {
            archive.undo(self.plan.facts.op, context.origin, event)?;
        }
        Ok(())
    }
}

impl Store<'_> {
    /// What the journal calls the command.
    pub const COMMAND: &'static str = "store";

    /// Renders the stub of a record.
    fn render(
        &self,
        repository: &Repository,
        planned: &PlannedItem,
        record: &Record,
        evidence: Sha256,
    ) -> Result<Rendered, StoreError> {
        let stub = records::stub(record, evidence)
            .ok_or_else(|| StoreError::IncompleteRecord { path: planned.path.clone() })?;
        let file_type = match planned.file_type {
            Some(file_type) => file_type,
            None => type_of(repository, &planned.path, &planned.object)?,
        };
        Ok(self.templates.choose(&planned.path, &file_type, self.plan.style).render(&stub)?)
    }
}

/// Makes a reference for the blob of every item that no commit holds: before its file goes, so that git never drops it.
fn keep_alive(repository: &Repository, items: &[Item]) -> Result<(), GitError> {
    for item in items.iter().filter(|item| item.dirty) {
        repository.create_reference(&format!("{DIRTY_REFERENCES}{}", item.tombstone), &item.object)?;
    }
    Ok(())
}

/// Fails if bytes of the plan were destroyed on purpose, as storing them would.
pub fn check_purged(repository: &Repository, archive: &mut AnyArchive, plan: &StorePlan) -> Result<(), StoreError> {
    // Where nothing was, no byte has to be read.
    if plan.allow_purged || archive.counts()?.purged == 0 {
        return Ok(());
    }
    let interrupted = AtomicBool::new(false);
    let source = Blobs { objects: repository.fetching_objects(), items: &plan.items, interrupted: &interrupted };
    let paths = purged_paths(archive, &source)?;
    if paths.is_empty() { Ok(()) } else { Err(StoreError::Purged { paths }) }
}

/// Returns the paths whose bytes were destroyed on purpose: all of them, so that nobody has to find them one by one.
fn purged_paths(archive: &mut AnyArchive, source: &Blobs<'_>) -> Result<Vec<PurgedPath>, StoreError> {
    let mut paths = Vec::new();
    for (number, items) in (0..).zip(source.items.chunks(GROUP)) {
        let first = number * GROUP;
        let digest = |index: usize| Sha256::of_reader(source.open(index)?).map(|(sha256, _)| sha256);
        let digests: io::Result<Vec<Sha256>> = (first..first + items.len()).into_par_iter().map(digest).collect();
        // What cannot be read any more is said otherwise.
        let Ok(digests) = digests else { return Ok(Vec::new()) };
        let known = archive.find_artifacts(&digests)?;
        for (item, sha256) in items.iter().zip(digests) {
            if let Some(at) = known.get(&sha256).and_then(|info| info.purged_at) {
                let obstacle = purge_at(Some(&mut *archive), &sha256, None, at)?;
                paths.push(PurgedPath { path: item.path.clone(), sha256, obstacle });
            }
        }
    }
    Ok(paths)
}

/// Fails if a path is no longer as it was planned: only now, under the lock, does the answer hold.
fn check_unchanged(repository: &Repository, items: &[PlannedItem]) -> Result<(), StoreError> {
    let changed = |path: &RepoPath| Err(StoreError::Changed { path: path.clone() });
    let expected: Vec<_> = items.iter().filter(|item| item.conflict.is_none()).map(PlannedItem::expected).collect();
    let standings = standings(repository, &expected)?;
    if let Some((item, _)) = expected.iter().zip(standings).find(|(_, standing)| *standing != Standing::Exact) {
        return changed(&item.path);
    }
    let conflicts: Vec<_> = items.iter().filter_map(|item| Some((&item.path, **item.conflict.as_ref()?))).collect();
    let standings = conflict_standings(repository, &conflicts)?;
    match conflicts.iter().zip(standings).find(|(_, standing)| *standing != ConflictStanding::Exact) {
        Some(((path, _), _)) => changed(path),
        None => Ok(()),
    }
}

/// The blobs of a plan as the archive reads them.
struct Blobs<'a> {
    objects: &'a Objects,
    items: &'a [PlannedItem],
    interrupted: &'a AtomicBool,
}

impl ContentSource for Blobs<'_> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn size(&self, index: usize) -> u64 {
        self.items[index].size
    }

    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send + '_>> {
        match self.objects.open_blob(&self.items[index].object) {
            Ok(blob) => Ok(Box::new(Interruptible { inner: blob, interrupted: self.interrupted })),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// Fails to read on once the operation is to stop.
struct Interruptible<'a, R> {
    inner: R,
    interrupted: &'a AtomicBool,
}

impl<R: Read> Read for Interruptible<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.interrupted.load(Ordering::Relaxed) {
            // Not the kind `Interrupted`, after which readers try again.
            return Err(io::Error::other("interrupted"));
        }
        self.inner.read(buffer)
    }
}
