//! Decides what a store would do, and changes nothing.

use std::collections::HashMap;

use bstr::{BString, ByteSlice};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::row::requests;
use super::select::{Request, select};
use super::written::WrittenPlan;
use super::{Label, Refusal, RefusalReason, StoreOptions, StoreRow, records};
use crate::causes::in_one_line;
use crate::change::{Before, Expected, FileChange, Standing, Versions, index_entries_of, standings};
use crate::clock::Timestamp;
use crate::git::{
    AttributeSource, AttributeValue, FileKind, GitError, ObjectKind, Repository, Root, TreeEntry, attribute_pattern,
};
use crate::id::{ObjectId, OperationId, Tombstone};
use crate::item::{Date, FileMode, Kind, Referent, RepoPath};
use crate::manifest::{Mistakes, Row};
use crate::operation::Facts;
use crate::restore::Wanted;
use crate::stub::{self, FileType, Parsed, Style, classify};
use crate::survey::{StubContent, stubs_among, stubs_in_conflict};

/// Attributes under which a stub would not reach the working tree, or the index, as it is.
const ALTERING_ATTRIBUTES: [&str; 2] = ["filter", "working-tree-encoding"];

/// How every Git LFS pointer begins (its specification calls for this key first).
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// What a store is going to do: enough to do it, and to do it again after a stop.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "WrittenPlan")]
pub struct StorePlan {
    /// The operation: who archives from which repository, and since when.
    pub facts: Facts,
    /// The commit whose tree is read.
    pub commit: ObjectId,
    /// What items are archived as: those of one request share one.
    pub labels: Vec<Label>,
    /// Pointers elsewhere.
    pub refs: Vec<Referent>,
    /// The day before which the bytes should not be destroyed.
    pub delete_after: Option<Date>,
    /// Whether the items are put under a legal hold.
    pub legal_hold: bool,
    /// Whether bytes come back that were destroyed on purpose.
    pub allow_purged: bool,
    /// Whether only to archive, and leave the paths as they are.
    pub keep: bool,
    /// What the stubs are like.
    pub style: Style,
    /// What is archived, in the order of the bytes of the paths.
    pub items: Vec<PlannedItem>,
    /// Paths that are stubs already.
    pub skipped: Vec<SkippedPath>,
    /// Items whose stubs the new ones replace: their files came back, changed.
    #[serde(default)]
    pub replaced: Vec<Wanted>,
    /// Changes of other paths that belong to it.
    #[serde(default)]
    pub also: Vec<FileChange>,
}

impl StorePlan {
    /// Returns what an item is archived as.
    pub fn label(&self, item: &PlannedItem) -> &Label {
        &self.labels[item.label]
    }
}

/// A plan, and what does not belong to it.
#[derive(Debug)]
pub struct Planned {
    /// What can be archived.
    pub plan: StorePlan,
    /// What cannot, in the order of the paths.
    pub refusals: Vec<Refusal>,
}

impl Planned {
    /// Returns the plan, if nothing is refused.
    pub fn whole(self) -> Result<StorePlan, PlanError> {
        if self.refusals.is_empty() { Ok(self.plan) } else { Err(PlanError::Refused { refusals: self.refusals }) }
    }
}

/// One path that is going to be archived.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlannedItem {
    /// Where it stands.
    pub path: RepoPath,
    /// The blob that is archived.
    pub object: ObjectId,
    /// Its mode.
    pub mode: FileMode,
    /// What the index holds: the archived blob and mode, unless the file has local changes.
    pub staged: TreeEntry,
    /// The length of the archived blob in bytes.
    pub size: u64,
    /// What sort of file it is, as recorded.
    pub kind: Kind,
    /// Its language, where known, as recorded.
    pub language: Option<String>,
    /// Its media type, where known, as recorded.
    pub mime: Option<String>,
    /// What it is archived as: its place among the plan's labels.
    #[serde(default)]
    pub label: usize,
    /// The conflict that its stub ends, if it is in one.
    #[serde(default)]
    pub conflict: Option<Box<Versions>>,
    /// What its name and bytes say of it; looked up again after a stop.
    #[serde(skip)]
    pub file_type: Option<FileType>,
}

impl PlannedItem {
    /// Returns whether the archived bytes are a locally modified file's.
    pub fn is_dirty(&self) -> bool {
        self.archived() != self.staged
    }

    /// Returns how index and working tree have to stand for a stub to take the file's place.
    pub fn expected(&self) -> Expected {
        Expected { path: self.path.clone(), staged: self.staged, working: self.archived() }
    }

    /// Returns the same for a change of the tree.
    pub fn before(&self) -> Before {
        match &self.conflict {
            Some(versions) => Before::Conflict(versions.clone()),
            None => Before::Exactly { staged: self.staged, working: self.archived() },
        }
    }

    fn archived(&self) -> TreeEntry {
        TreeEntry { mode: self.mode.bits(), id: self.object }
    }
}

/// A path that is not archived because it is a stub already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SkippedPath {
    /// Where it stands.
    pub path: RepoPath,
    /// The item that its stub names.
    pub tombstone: Tombstone,
    /// What it would have been archived as.
    #[serde(default)]
    pub label: usize,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Some paths are refused, so nothing is archived.
    #[error("{} cannot be archived", if refusals.len() == 1 { "1 path".to_owned() } else { format!("{} paths", refusals.len()) })]
    Refused {
        /// All of them, in the order of their paths.
        refusals: Vec<Refusal>,
    },
    /// Rows of a manifest contradict each other.
    #[error("rows of the manifest contradict each other")]
    Contradictions(Mistakes),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// A path under consideration.
pub(super) struct Candidate {
    pub(super) path: RepoPath,
    pub(super) mode: FileMode,
    pub(super) object: ObjectId,
    pub(super) dirty: bool,
    pub(super) label: usize,
    pub(super) row: Option<usize>,
}

impl Candidate {
    fn entry(&self) -> TreeEntry {
        TreeEntry { mode: self.mode.bits(), id: self.object }
    }

    fn refused(&self, reason: RefusalReason) -> Refusal {
        Refusal::new(self.path.as_bytes(), reason, self.row)
    }
}

/// What the blob of a candidate is.
enum Content {
    /// With the row that names it.
    Ordinary(Box<PlannedItem>, Option<usize>),
    Stub(SkippedPath),
    Refused(Refusal),
}

/// Plans to archive what `pathspecs` (git's, relative to where the caller stands) match, all of it as the options say.
pub fn plan(repository: &Repository, pathspecs: &[BString], options: &StoreOptions) -> Result<StorePlan, PlanError> {
    let requests: Vec<_> = pathspecs.iter().map(|pathspec| Request::new(pathspec.clone())).collect();
    plan_requests(repository, &requests, vec![common_label(options)], options)?.whole()
}

/// Plans to archive what the rows of a manifest name, each as it says.
///
/// A row's reason counts for its paths in place of the options'; tags are those of both; a fact that both give is the row's.
pub fn plan_rows(
    repository: &Repository,
    rows: Vec<Row<StoreRow>>,
    options: &StoreOptions,
) -> Result<Planned, PlanError> {
    let (requests, labels) = requests(rows, &common_label(options));
    plan_requests(repository, &requests, labels, options)
}

fn common_label(options: &StoreOptions) -> Label {
    Label::new(options.reason, options.tags.clone(), options.metadata.clone())
}

fn plan_requests(
    repository: &Repository,
    requests: &[Request],
    labels: Vec<Label>,
    options: &StoreOptions,
) -> Result<Planned, PlanError> {
    let commit = repository.resolve_commit(&options.commit)?;
    let mut refusals = Vec::new();
    let mut candidates = select(repository, &commit, requests, &labels, &mut refusals)?;
    let mut skipped = Vec::new();
    // Whatever the tree looks like, what is in the commit can be archived; what stands in the tree has to be known.
    if !options.keep || options.allow_dirty {
        candidates = without_altering_attributes(repository, candidates, &mut refusals)?;
        candidates = standing_as_committed(repository, candidates, options, &mut skipped, &mut refusals)?;
    }
    // Reading is most of the work here, so it uses all cores.
    let contents = candidates
        .into_par_iter()
        .map(|candidate| look_at(repository, candidate, options))
        .collect::<Result<Vec<_>, GitError>>()?;
    let mut items = Vec::new();
    for content in contents {
        match content {
            Content::Ordinary(item, row) => items.push((*item, row)),
            Content::Stub(path) => skipped.push(path),
            Content::Refused(refusal) => refusals.push(refusal),
        }
    }
    let mut plan = StorePlan {
        facts: Facts {
            op: OperationId::generate(),
            started: Timestamp::now(),
            actor: options.actor.clone(),
            repo: options.repo.clone(),
        },
        commit,
        labels,
        refs: options.refs.clone(),
        delete_after: options.delete_after,
        legal_hold: options.legal_hold,
        allow_purged: options.allow_purged,
        keep: options.keep,
        style: options.style,
        items: Vec::with_capacity(items.len()),
        skipped,
        replaced: Vec::new(),
        also: Vec::new(),
    };
    for (item, row) in items {
        match records::longest(&plan, &item).to_line() {
            Ok(_) => plan.items.push(item),
            Err(error) => {
                let reason = RefusalReason::Record { detail: in_one_line(&error) };
                refusals.push(Refusal::new(item.path.as_bytes(), reason, row));
            }
        }
    }
    refusals.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Planned { plan, refusals })
}

/// Keeps the candidates whose attributes leave a stub alone, and refuses the others.
fn without_altering_attributes(
    repository: &Repository,
    candidates: Vec<Candidate>,
    refusals: &mut Vec<Refusal>,
) -> Result<Vec<Candidate>, GitError> {
    let paths: Vec<_> = candidates.iter().map(|candidate| &candidate.path).collect();
    let attributes = repository.attributes(AttributeSource::WorkTree, &paths, &ALTERING_ATTRIBUTES)?;
    let mut kept = Vec::with_capacity(candidates.len());
    for (candidate, values) in candidates.into_iter().zip(attributes) {
        let altering = ALTERING_ATTRIBUTES.iter().zip(values).find_map(|(name, value)| match value {
            AttributeValue::Value(value) => Some((*name, value.to_string())),
            AttributeValue::Set => Some((*name, "true".to_owned())),
            AttributeValue::Unset | AttributeValue::Unspecified => None,
        });
        match altering {
            None => kept.push(candidate),
            Some((name, value)) => {
                let pattern = attribute_pattern(&candidate.path);
                let reason = RefusalReason::Attribute { name: name.to_owned(), value, pattern };
                refusals.push(candidate.refused(reason));
            }
        }
    }
    Ok(kept)
}

/// Keeps the candidates that stand in index and working tree just as in the commit, the locally modified ones where
/// those are allowed, and the others where the tree is left alone; skips those that are staged as stubs, and refuses
/// what is left.
fn standing_as_committed(
    repository: &Repository,
    candidates: Vec<Candidate>,
    options: &StoreOptions,
    skipped: &mut Vec<SkippedPath>,
    refusals: &mut Vec<Refusal>,
) -> Result<Vec<Candidate>, GitError> {
    let expected: Vec<_> = candidates
        .iter()
        .map(|candidate| Expected {
            path: candidate.path.clone(),
            staged: candidate.entry(),
            working: candidate.entry(),
        })
        .collect();
    let standings = standings(repository, &expected)?;
    let staged: Vec<_> = candidates
        .iter()
        .zip(&standings)
        .filter(|(_, standing)| **standing == Standing::Staged)
        .map(|(candidate, _)| &candidate.path)
        .collect();
    let entries = index_entries_of(repository, &staged)?.into_iter().flatten().collect();
    let in_conflict: Vec<_> = candidates
        .iter()
        .zip(&standings)
        .filter(|(_, standing)| **standing == Standing::Conflicted)
        .map(|(candidate, _)| &candidate.path)
        .collect();
    let versions: Vec<_> = index_entries_of(repository, &in_conflict)?.into_iter().flatten().collect();
    let with_stub = stubs_in_conflict(repository, &versions)?;
    let mut stubs: HashMap<RepoPath, Tombstone> = stubs_among(repository, entries)?
        .into_iter()
        .filter_map(|found| match found.content {
            StubContent::Stub(parsed) => Some((found.entry.path, parsed.stub.tombstone)),
            StubContent::Newer | StubContent::Malformed(_) => None,
        })
        .collect();
    let mut kept = Vec::with_capacity(candidates.len());
    for (candidate, standing) in candidates.into_iter().zip(standings) {
        if let Some(tombstone) = stubs.remove(&candidate.path) {
            skipped.push(SkippedPath { path: candidate.path, tombstone, label: candidate.label });
            continue;
        }
        let reason = match standing {
            Standing::Exact => {
                kept.push(candidate);
                continue;
            }
            Standing::Modified if options.allow_dirty => {
                kept.push(Candidate { dirty: true, ..candidate });
                continue;
            }
            Standing::Conflicted if options.in_conflict => {
                kept.push(candidate);
                continue;
            }
            _ if options.keep => {
                kept.push(candidate);
                continue;
            }
            Standing::Modified => RefusalReason::Modified,
            Standing::Missing => RefusalReason::Missing,
            Standing::Staged => RefusalReason::Staged,
            Standing::Conflicted => RefusalReason::Conflicted { with_stub: with_stub.contains(&candidate.path) },
            Standing::Sparse => RefusalReason::Sparse,
            Standing::NotInIndex => RefusalReason::NotInIndex,
        };
        refusals.push(candidate.refused(reason));
    }
    Ok(kept)
}

/// Finds out what a candidate's blob is. A locally modified file's bytes become a blob first, unless nothing is to change.
fn look_at(repository: &Repository, candidate: Candidate, options: &StoreOptions) -> Result<Content, GitError> {
    if !candidate.dirty {
        let (size, head) = head_of(repository, &candidate.object)?;
        let found = candidate.entry();
        return Ok(judge(candidate, found, size, &head, options));
    }
    let found = if options.dry_run {
        repository.hash_work_file(&candidate.path, candidate.mode)?
    } else {
        repository.write_work_file(&candidate.path, candidate.mode)?
    };
    let Some(found) = found else { return Ok(Content::Refused(candidate.refused(RefusalReason::Missing))) };
    let (size, head) =
        if options.dry_run { head_of_file(repository, &candidate.path)? } else { head_of(repository, &found.id)? };
    Ok(judge(candidate, found, size, &head, options))
}

/// Says what becomes of a candidate whose bytes are found in a blob, given its size and, if it is short, its bytes.
fn judge(candidate: Candidate, found: TreeEntry, size: u64, head: &[u8], options: &StoreOptions) -> Content {
    let Some(mode) = found.file_mode() else { return Content::Refused(candidate.refused(RefusalReason::Missing)) };
    if mode != FileMode::Symlink {
        if let Parsed::Stub(parsed) = stub::parse(head) {
            let (tombstone, label) = (parsed.stub.tombstone, candidate.label);
            return Content::Stub(SkippedPath { path: candidate.path, tombstone, label });
        }
        if head.starts_with_str(LFS_POINTER) {
            return Content::Refused(candidate.refused(RefusalReason::LfsPointer));
        }
    }
    let file_type = classify(&candidate.path, head);
    let item = PlannedItem {
        staged: candidate.entry(),
        path: candidate.path,
        object: found.id,
        mode,
        size,
        kind: options.kind.unwrap_or(file_type.kind),
        language: options.language.clone().or_else(|| file_type.language.map(str::to_owned)),
        mime: options.mime.clone().or_else(|| file_type.mime.map(str::to_owned)),
        label: candidate.label,
        conflict: None,
        file_type: Some(file_type),
    };
    Content::Ordinary(Box::new(item), candidate.row)
}

/// Returns what a blob's name and bytes say of it.
pub(super) fn type_of(repository: &Repository, path: &RepoPath, object: &ObjectId) -> Result<FileType, GitError> {
    Ok(classify(path, &head_of(repository, object)?.1))
}

/// The longest blob whose bytes are looked at: no stub is longer.
const MAX_HEAD: u64 = stub::MAX_RAW_LENGTH as u64;

/// Returns the size of a blob and, unless it is larger than any stub, its bytes.
fn head_of(repository: &Repository, object: &ObjectId) -> Result<(u64, Vec<u8>), GitError> {
    let objects = repository.fetching_objects();
    let (_, size) = objects.header(object)?;
    let head = if size <= MAX_HEAD { objects.read_kind(object, ObjectKind::Blob, MAX_HEAD)? } else { Vec::new() };
    Ok((size, head))
}

/// Returns the same of a working file, as it stands.
fn head_of_file(repository: &Repository, path: &RepoPath) -> Result<(u64, Vec<u8>), GitError> {
    let root = Root::open(repository.require_work_tree()?)?;
    match root.kind(path)? {
        Some(FileKind::File { size, .. }) if size > MAX_HEAD => Ok((size, Vec::new())),
        _ => {
            let head = root.read(path, MAX_HEAD)?.unwrap_or_default();
            Ok((head.len() as u64, head))
        }
    }
}
