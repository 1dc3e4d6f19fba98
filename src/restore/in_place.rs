//! Gives items back into the tree with their evidence: staged where their stubs stand, or committed on a new branch.

use std::collections::HashMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Delivered, Located, PlannedCommit, SourceError, Sources, Wanted};
use crate::archive::{ArchiveError, Event, StoredItem};
use crate::change::{After, Before, Expected, FileChange, Standing, standings};
use crate::clock::{Stopwatch, Timestamp};
use crate::config::Performance;
use crate::evidence::record::{Action, Record, Source};
use crate::fault;
use crate::git::{FileKind, GitError, Repository, Root, TreeEntry, WorkState};
use crate::id::{ObjectId, OperationId, Sha256};
use crate::item::{Referent, RepoPath};
use crate::operation::{Facts, NewBranch, Operation, OperationContext};
use crate::places::is_own;
use crate::review::Trailers;

/// Up to so many bytes, restored bytes are kept in memory on their way.
const IN_MEMORY: usize = 8 << 20;

/// What a restore into the tree is going to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestorePlan {
    /// The operation.
    pub facts: Facts,
    /// Where bytes may come from; anywhere if not set.
    pub only: Option<Source>,
    /// Whether files get the archived bytes as they are, past git's checkout filters.
    pub raw: bool,
    /// What comes back, in the order of the paths.
    pub items: Vec<PlannedRestore>,
    /// Further items whose stubs give way to the same files.
    #[serde(default)]
    pub along: Vec<Wanted>,
    /// Changes of other paths that belong to it.
    #[serde(default)]
    pub also: Vec<FileChange>,
    /// The commit that it becomes; without one it is a change of the working tree and its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<PlannedCommit>,
}

/// One item that is going to come back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlannedRestore {
    /// Where it comes back.
    pub path: RepoPath,
    /// What it is.
    pub wanted: Wanted,
    /// What has to stand there.
    pub before: Before,
    /// Who wants it back, if not whoever acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What comes to stand there; the item's own bytes, if not set.
    #[serde(default)]
    pub instead: Option<Instead>,
}

/// What comes to stand at an item's path in place of its bytes: something that continues them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Instead {
    /// What it is.
    pub after: After,
    /// Where the item's bytes came from, if they were looked at.
    pub source: Option<Source>,
    /// The commit that has the other changes.
    pub from: Option<ObjectId>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Something else than the item's own stub stands at a path.
    #[error("`{path}` is in the way: it is not the stub of item {tombstone}")]
    InTheWay {
        /// The path.
        path: RepoPath,
        /// The item.
        tombstone: crate::id::Tombstone,
    },
    /// A folder stands at a path, or a file above it: not even force replaces that.
    #[error("`{path}` cannot be put back: {what} is in the way")]
    Blocked {
        /// The path.
        path: RepoPath,
        /// What is there.
        what: &'static str,
    },
    /// A folder above the path is a symbolic link, which may lead anywhere: a path that came from an archive follows none.
    #[error("`{path}` leads through the symbolic link `{link}`, which is never followed")]
    ThroughLink {
        /// The path.
        path: RepoPath,
        /// The link.
        link: RepoPath,
    },
    /// Two items would come back at one path.
    #[error("`{path}` is named for two items")]
    Twice {
        /// The path.
        path: RepoPath,
    },
    /// The path is the program's own.
    #[error("`{path}` is in `.codex`, where nothing is restored")]
    Own {
        /// The path.
        path: RepoPath,
    },
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// What is asked of a restore in place.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The operation.
    pub op: OperationId,
    /// Who acts.
    pub actor: String,
    /// The repository's name.
    pub repo: String,
    /// Where bytes may come from; anywhere if not set.
    pub only: Option<Source>,
    /// Whether anything that stands in the way may go.
    pub force: bool,
    /// Whether files get the archived bytes as they are, past git's checkout filters.
    pub raw: bool,
}

/// Plans to put `located` back into the tree.
pub fn plan(repository: &Repository, located: &[Located], options: &RestoreOptions) -> Result<RestorePlan, PlanError> {
    let root = Root::open(repository.require_work_tree()?)?;
    let stubs: Vec<_> = located
        .iter()
        .filter_map(|located| located.stub.as_ref().map(|stub| (stub.path.clone(), stub.entry.entry)))
        .collect();
    let mut states = repository.work_states(&stubs)?.into_iter();
    let mut items = Vec::with_capacity(located.len());
    for Located { wanted, stub, .. } in located {
        let path = stub.as_ref().map_or(&wanted.path, |stub| &stub.path).clone();
        let untouched = stub.is_some().then(|| states.next()).flatten();
        if is_own(&path) {
            return Err(PlanError::Own { path });
        }
        let kind = match root.kind(&path) {
            Err(GitError::BlockedPath { parent, .. }) => {
                return Err(match root.kind(&parent)? {
                    Some(FileKind::Symlink) => PlanError::ThroughLink { path, link: parent },
                    _ => PlanError::Blocked { path, what: "a file above it" },
                });
            }
            Ok(Some(FileKind::Folder)) => return Err(PlanError::Blocked { path, what: "a folder" }),
            kind => kind?,
        };
        let before = match (stub, untouched) {
            (Some(stub), Some(WorkState::Unmodified)) => {
                Before::Exactly { staged: stub.entry.entry, working: stub.entry.entry }
            }
            _ if options.force => Before::Anything,
            // The stub's file is gone, but the index still says what belongs there.
            (Some(_), Some(WorkState::Missing)) => Before::Nothing,
            (None, _) if kind.is_none() => Before::Nothing,
            _ => {
                let original = TreeEntry { mode: wanted.mode.bits(), id: wanted.object };
                let there = Expected { path: path.clone(), staged: original, working: original };
                match standings(repository, &[there])?[..] {
                    [Standing::Exact] => continue,
                    // The bytes are there, and only have to be staged.
                    [Standing::Staged | Standing::NotInIndex]
                        if repository.work_states(&[(path.clone(), original)])? == [WorkState::Unmodified] =>
                    {
                        Before::Exactly { staged: original, working: original }
                    }
                    _ => return Err(PlanError::InTheWay { path, tombstone: wanted.tombstone }),
                }
            }
        };
        items.push(PlannedRestore { path, wanted: wanted.clone(), before, actor: None, instead: None });
    }
    items.sort_by(|a, b| a.path.cmp(&b.path));
    let facts =
        Facts { op: options.op, started: Timestamp::now(), actor: options.actor.clone(), repo: options.repo.clone() };
    let (along, also, commit) = (Vec::new(), Vec::new(), None);
    Ok(RestorePlan { facts, only: options.only, raw: options.raw, items, along, also, commit })
}

/// A restore into the tree that is carried out, finished or undone.
pub struct InPlace<'a> {
    /// What is to be done.
    pub plan: RestorePlan,
    /// A folder for bytes that are too many to be kept in memory.
    pub scratch: PathBuf,
    /// Which measurements the records carry.
    pub metrics: Performance,
    /// Told of each item whose bytes have been read.
    pub progress: &'a mut dyn FnMut(&Delivered),
}

/// Why a restore in place failed.
#[derive(Debug, thiserror::Error)]
pub enum InPlaceError {
    /// The bytes could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The bytes could not be kept on their way.
    #[error("cannot write to `{}`", path.display())]
    Scratch {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// A record of the operation lacks what it must have.
    #[error("the record of `{path}` is incomplete")]
    IncompleteRecord {
        /// The path.
        path: RepoPath,
    },
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl InPlace<'_> {
    /// What the journal calls a restore into the working tree.
    pub const COMMAND: &'static str = "restore";
    /// What the journal calls a restore on a new branch.
    pub const ON_BRANCH: &'static str = "restore --branch";
}

impl Operation for InPlace<'_> {
    type Error = InPlaceError;
    type Plan = RestorePlan;

    fn action(&self) -> Action {
        Action::Restore
    }

    fn failure(&self) -> Action {
        Action::RestoreFail
    }

    fn command(&self) -> &'static str {
        if self.plan.commit.is_some() { Self::ON_BRANCH } else { Self::COMMAND }
    }

    fn branch(&self) -> Option<&NewBranch> {
        self.plan.commit.as_ref().map(|commit| &commit.branch)
    }

    fn facts(&self) -> &Facts {
        &self.plan.facts
    }

    fn plan(&self) -> &RestorePlan {
        &self.plan
    }

    fn paths(&self) -> usize {
        self.plan.items.len()
    }

    fn produce(&mut self, context: &mut OperationContext<'_>, _resumed: bool) -> Result<Vec<Record>, InPlaceError> {
        let backend = context.archive.as_deref().map(|archive| archive.backend().to_owned());
        let stored = match context.archive.as_deref_mut() {
            Some(archive) => {
                let tombstones: Vec<_> = self.plan.items.iter().map(|item| item.wanted.tombstone).collect();
                archive.items(&tombstones)?
            }
            None => HashMap::new(),
        };
        let mut sources = Sources::new(context.repository, context.archive.as_deref_mut(), self.plan.only);
        let visible = |item: &&PlannedRestore| {
            let is_visible = |stored: &StoredItem| stored.is_visible_to(context.origin);
            item.instead.is_none() && stored.get(&item.wanted.tombstone).is_some_and(is_visible)
        };
        sources.expect(self.plan.items.iter().filter(visible).map(|item| item.wanted.sha256));
        let mut blobs = BlobWriter::new(context.repository, &self.scratch);
        let mut made = Vec::with_capacity(self.plan.items.len());
        for item in &self.plan.items {
            if context.interrupted.load(Ordering::Relaxed) {
                return Err(InPlaceError::Interrupted);
            }
            if let Some(instead) = &item.instead {
                let mut record = record(&self.plan.facts, &item.path, &item.wanted, instead.source);
                record.backend = backend.clone().filter(|_| instead.source == Some(Source::Archive));
                record.refs = instead.from.map(|commit| merged_with(&commit)).into_iter().collect();
                made.push((record, None));
                continue;
            }
            let watch = Stopwatch::start();
            let stored = stored.get(&item.wanted.tombstone).filter(|stored| stored.is_visible_to(context.origin));
            let (delivered, blob) = blobs.fetch(&mut sources, &item.wanted, stored)?;
            let mut record = record(&self.plan.facts, &item.path, &item.wanted, Some(delivered.source));
            if let Some(actor) = &item.actor {
                record.actor = Some(actor.clone());
            }
            record.backend = backend.clone().filter(|_| delivered.source == Source::Archive);
            delivered.measure(&mut record, watch.elapsed_ms(), self.metrics);
            made.push((record, Some(blob)));
            (self.progress)(&delivered);
        }
        let ids = blobs.finish()?;
        fault::point("bytes");
        let with_blob = |(mut record, blob): (Record, Option<Blob>)| {
            record.object = blob.map(|blob| blob.id(&ids)).or(record.object);
            record
        };
        let along = self.plan.along.iter().map(|wanted| record(&self.plan.facts, &wanted.path, wanted, None));
        Ok(made.into_iter().map(with_blob).chain(along).collect())
    }

    fn changes(
        &mut self,
        _context: &mut OperationContext<'_>,
        records: &[Record],
        _evidence: &Sha256,
    ) -> Result<Vec<FileChange>, InPlaceError> {
        let change = |(item, record): (&PlannedRestore, &Record)| {
            let incomplete = || InPlaceError::IncompleteRecord { path: item.path.clone() };
            let after = if let Some(instead) = &item.instead {
                instead.after.clone()
            } else {
                let id = record.object.ok_or_else(incomplete)?;
                After::File(TreeEntry { mode: item.wanted.mode.bits(), id })
            };
            Ok(FileChange { path: item.path.clone(), before: item.before.clone(), after, raw: self.plan.raw })
        };
        let also = self.plan.also.iter().cloned().map(Ok);
        self.plan.items.iter().zip(records).map(change).chain(also).collect()
    }

    fn message(
        &mut self,
        context: &mut OperationContext<'_>,
        records: &[Record],
        evidence: &Sha256,
    ) -> Result<Vec<u8>, InPlaceError> {
        let Some(commit) = &self.plan.commit else { return Ok(Vec::new()) };
        let trailers = Trailers::of_operation(records.iter().filter_map(|record| record.tombstone), *evidence);
        Ok(context.repository.finished_message(&commit.message, &trailers.lines())?)
    }

    fn settle(
        &mut self,
        context: &mut OperationContext<'_>,
        _records: &[Record],
        events: &[Event],
    ) -> Result<(), InPlaceError> {
        if let Some(archive) = context.archive.as_deref_mut() {
            let wanted = self.plan.items.iter().map(|item| &item.wanted).chain(&self.plan.along);
            let tombstones: Vec<_> = wanted.map(|wanted| wanted.tombstone).collect();
            archive.mark_restored(&tombstones, self.plan.facts.started, events)?;
        }
        Ok(())
    }

    fn withdraw(&mut self, context: &mut OperationContext<'_>, event: &Event) -> Result<(), InPlaceError> {
        if let Some(archive) = context.archive.as_deref_mut() {
            archive.append_events(std::slice::from_ref(event))?;
        }
        Ok(())
    }
}

/// Returns the record of an item that comes back at `path`. The blob in it is the recorded one.
pub(crate) fn record(facts: &Facts, path: &RepoPath, wanted: &Wanted, source: Option<Source>) -> Record {
    let mut record = facts.record(Action::Restore);
    record.repo = Some(wanted.repo.clone());
    record.set_path(path);
    record.tombstone = Some(wanted.tombstone);
    record.sha256 = Some(wanted.sha256);
    record.size = Some(wanted.size);
    record.mode = Some(wanted.mode);
    record.object = Some(wanted.object);
    record.commit = Some(wanted.commit);
    record.source = source;
    record
}

/// Returns the pointer to the commit whose changes stand in a restored file as well.
fn merged_with(commit: &ObjectId) -> Referent {
    Referent { kind: "merged-with".to_owned(), value: commit.to_string() }
}

/// A blob that is written, or will be with the others.
#[derive(Debug, Clone, Copy)]
enum Blob {
    Written(ObjectId),
    Gathered(usize),
}

impl Blob {
    fn id(self, gathered: &[ObjectId]) -> ObjectId {
        match self {
            Self::Written(id) => id,
            Self::Gathered(index) => gathered[index],
        }
    }
}

/// Makes git blobs of restored bytes, many small ones at a time.
struct BlobWriter<'a> {
    repository: &'a Repository,
    scratch: &'a Path,
    gathered: Vec<Vec<u8>>,
    bytes: usize,
    written: Vec<ObjectId>,
}

impl<'a> BlobWriter<'a> {
    fn new(repository: &'a Repository, scratch: &'a Path) -> Self {
        Self { repository, scratch, gathered: Vec::new(), bytes: 0, written: Vec::new() }
    }

    /// Reads the bytes of `wanted`, which are checked, and makes a blob of them.
    fn fetch(
        &mut self,
        sources: &mut Sources<'_>,
        wanted: &Wanted,
        stored: Option<&StoredItem>,
    ) -> Result<(Delivered, Blob), InPlaceError> {
        if wanted.size <= IN_MEMORY as u64 {
            let mut bytes = Vec::with_capacity(usize::try_from(wanted.size).unwrap_or_default());
            let delivered = sources.write(wanted, stored, &mut bytes)?;
            self.bytes += bytes.len();
            self.gathered.push(bytes);
            let blob = Blob::Gathered(self.written.len() + self.gathered.len() - 1);
            if self.bytes > IN_MEMORY {
                self.flush()?;
            }
            return Ok((delivered, blob));
        }
        let failed = |source| InPlaceError::Scratch { path: self.scratch.to_path_buf(), source };
        std::fs::create_dir_all(self.scratch).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(self.scratch).map_err(failed)?;
        let delivered = sources.write(wanted, stored, file.as_file_mut())?;
        file.flush().and_then(|()| file.seek(SeekFrom::Start(0))).map_err(failed)?;
        Ok((delivered, Blob::Written(self.repository.objects().write_blob_file(file.path())?)))
    }

    fn flush(&mut self) -> Result<(), InPlaceError> {
        let objects = self.repository.objects();
        let ids: Vec<ObjectId> = self.gathered.par_iter().map(|bytes| objects.hash_blob(bytes)).collect();
        // Nearly always git has them still, in its history.
        let here = objects.contains(&ids)?;
        let missing: Vec<&[u8]> =
            self.gathered.iter().zip(here).filter(|(_, here)| !here).map(|(bytes, _)| bytes.as_slice()).collect();
        if !missing.is_empty() {
            objects.write_blobs(&missing)?;
        }
        self.written.extend(ids);
        self.gathered.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Writes what is left and returns the ids of all gathered blobs.
    fn finish(mut self) -> Result<Vec<ObjectId>, InPlaceError> {
        self.flush()?;
        Ok(self.written)
    }
}
