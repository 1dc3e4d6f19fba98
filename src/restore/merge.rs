//! `restore --merge`: brings items back together with what was made of their files elsewhere since they were archived.
//!
//! Ours is what was archived, theirs what a branch has at the path (renames followed), and the base what stood there
//! where the two histories part. Git merges them, so its attributes and settings hold.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::{Instead, PlannedRestore, RestorePlan, SourceError, Sources, Wanted};
use crate::archive::{AnyArchive, ArchiveError};
use crate::change::{After, Versions};
use crate::git::{AttributeSource, AttributeValue, GitError, Merged, Repository, TreeEntry, UnfinishedKind};
use crate::id::ObjectId;
use crate::item::{FileMode, RepoPath};
use crate::journal::{self, Journal, JournalError};
use crate::survey::blob_stub;

/// The largest file whose contents are merged, in bytes; git's own limit is not far above.
const MAX_MERGED: u64 = 256 << 20;

/// Where the branches of remotes are.
const REMOTES: &str = "refs/remotes/";

/// The attributes that say how git merges a path.
const ATTRIBUTES: [&str; 2] = ["merge", "conflict-marker-size"];

/// What became of an item that was to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedItem {
    /// Where it comes back.
    pub path: RepoPath,
    /// The branch, or revision, whose changes it gets; `None` if it was changed nowhere.
    pub with: Option<String>,
    /// Whether they do not go together.
    pub conflict: bool,
}

/// Why items could not be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// Several branches changed a file in different ways.
    #[error("`{path}` was changed in different ways elsewhere: {}", branches.join(", "))]
    Several {
        /// The path.
        path: RepoPath,
        /// One branch for each way.
        branches: Vec<String>,
    },
    /// The archived bytes could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The versions could not be laid out for git.
    #[error("cannot write to `{}`", path.display())]
    Scratch {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no place for them.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// A commit that may have changed a file.
struct Elsewhere {
    name: String,
    commit: ObjectId,
}

/// What a commit has made of a file.
struct Edit<'e> {
    elsewhere: &'e Elsewhere,
    base: Option<TreeEntry>,
    theirs: TreeEntry,
}

/// What histories have in common, and how files were renamed along them: asked once, not for each item.
struct Histories<'r> {
    repository: &'r Repository,
    bases: HashMap<[ObjectId; 2], Option<ObjectId>>,
    renames: HashMap<[ObjectId; 2], BTreeMap<RepoPath, RepoPath>>,
}

impl Histories<'_> {
    fn merge_base(&mut self, one: ObjectId, other: ObjectId) -> Result<Option<ObjectId>, GitError> {
        Ok(match self.bases.entry([one, other]) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => *unknown.insert(self.repository.merge_base(&one, &other)?),
        })
    }

    fn renames(&mut self, old: ObjectId, new: ObjectId) -> Result<&BTreeMap<RepoPath, RepoPath>, GitError> {
        Ok(match self.renames.entry([old, new]) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(self.repository.renames(&old, &new)?),
        })
    }
}

/// Gives the items of a plan what `revision` made of their files; without one, the commit that git is merging, else the only
/// branch that changed them. Files are laid out beside the
/// journals.
pub fn merge(
    repository: &Repository,
    mut archive: Option<&mut AnyArchive>,
    origin: &str,
    plan: &mut RestorePlan,
    revision: Option<&str>,
    journal: &Journal,
) -> Result<Vec<MergedItem>, MergeError> {
    let elsewhere = elsewhere(repository, revision)?;
    let stored = match archive.as_deref_mut() {
        Some(archive) => archive.items(&plan.items.iter().map(|item| item.wanted.tombstone).collect::<Vec<_>>())?,
        None => HashMap::new(),
    };
    let mut sources = Sources::new(repository, archive, plan.only);
    let mut histories = Histories { repository, bases: HashMap::new(), renames: HashMap::new() };
    let mut done = Vec::with_capacity(plan.items.len());
    for item in &mut plan.items {
        let Some(edit) = only_edit(&mut histories, item, &elsewhere)? else {
            done.push(MergedItem { path: item.path.clone(), with: None, conflict: false });
            continue;
        };
        let scratch = Scratch::new(journal)?;
        let mut file = scratch.create("ours")?;
        let stored = stored.get(&item.wanted.tombstone).filter(|stored| stored.is_visible_to(origin));
        let delivered = sources.write(&item.wanted, stored, &mut file)?;
        drop(file);
        let id = repository.objects().write_blob_file(&scratch.path("ours"))?;
        let ours = TreeEntry { mode: item.wanted.mode.bits(), id };
        let after = merge_versions(repository, item, &edit, ours, &scratch)?;
        let with = Some(edit.elsewhere.name.clone());
        done.push(MergedItem { path: item.path.clone(), with, conflict: matches!(after, After::Conflict(_)) });
        item.instead = Some(Instead { after, source: Some(delivered.source), from: Some(edit.elsewhere.commit) });
    }
    Ok(done)
}

/// Returns where changes are looked for.
fn elsewhere(repository: &Repository, revision: Option<&str>) -> Result<Vec<Elsewhere>, GitError> {
    if let Some(revision) = revision {
        return Ok(vec![Elsewhere { name: revision.to_owned(), commit: repository.resolve_commit(revision)? }]);
    }
    let unfinished = repository.unfinished_merge()?;
    let name = match unfinished.kind {
        UnfinishedKind::Merge | UnfinishedKind::Rebase { merge: true } => "MERGE_HEAD",
        UnfinishedKind::Rebase { merge: false } => "REBASE_HEAD",
        UnfinishedKind::CherryPick => "CHERRY_PICK_HEAD",
        UnfinishedKind::Apply | UnfinishedKind::Revert | UnfinishedKind::Other => "",
    };
    if let (Some(commit), false) = (unfinished.theirs, name.is_empty()) {
        return Ok(vec![Elsewhere { name: name.to_owned(), commit }]);
    }
    let mut found: BTreeMap<ObjectId, Elsewhere> = BTreeMap::new();
    // Of the names of one commit the local one is kept, which comes first.
    for prefix in ["refs/heads/", REMOTES] {
        for reference in repository.references_not_in_head(prefix)? {
            let name = reference.name.to_string();
            let name = name.strip_prefix(prefix).unwrap_or(&name).to_owned();
            // A remote's own choice is only another name for one of the others.
            if !(prefix == REMOTES && name.ends_with("/HEAD") && repository.is_symbolic(&reference.name)?) {
                found.entry(reference.id).or_insert(Elsewhere { name, commit: reference.id });
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Returns what was made of an item's file elsewhere; an error if that is several things.
fn only_edit<'e>(
    histories: &mut Histories<'_>,
    item: &PlannedRestore,
    elsewhere: &'e [Elsewhere],
) -> Result<Option<Edit<'e>>, MergeError> {
    let mut edits: Vec<Edit<'e>> = Vec::new();
    for elsewhere in elsewhere {
        let Some((base, theirs)) = changed_in(histories, &item.wanted, &elsewhere.commit)? else { continue };
        if edits.iter().all(|edit| edit.theirs != theirs) {
            edits.push(Edit { elsewhere, base, theirs });
        }
    }
    if edits.len() > 1 {
        let mut branches: Vec<_> = edits.into_iter().map(|edit| edit.elsewhere.name.clone()).collect();
        branches.sort();
        return Err(MergeError::Several { path: item.path.clone(), branches });
    }
    Ok(edits.pop())
}

/// Returns the base and the version of an item's file in `commit`; `None` if that is not another file since.
fn changed_in(
    histories: &mut Histories<'_>,
    wanted: &Wanted,
    commit: &ObjectId,
) -> Result<Option<(Option<TreeEntry>, TreeEntry)>, GitError> {
    let repository = histories.repository;
    let objects = repository.fetching_objects();
    let at = |commit: &ObjectId, path: &RepoPath| {
        let entry = objects.entry(&objects.commit(commit)?.tree, path)?;
        Ok::<_, GitError>(entry.filter(|entry| entry.file_mode().is_some()))
    };
    let archived = TreeEntry { mode: wanted.mode.bits(), id: wanted.object };
    // What nearly all branches have is known without looking for where they part.
    if let Some(there) = at(commit, &wanted.path)?
        && (there == archived || blob_stub(repository, &there)?.is_some())
    {
        return Ok(None);
    }
    // The commit may be gone, as after a squash; what is here stands on something like it.
    let archived_from = match objects.commit(&wanted.commit) {
        Ok(_) => Some(wanted.commit),
        Err(GitError::MissingObject { .. }) => repository.head()?.commit(),
        Err(error) => return Err(error),
    };
    let fork = match &archived_from {
        Some(archived_from) => histories.merge_base(*archived_from, *commit)?,
        None => None,
    };
    let (mut path, mut base) = (wanted.path.clone(), None);
    if let (Some(fork), Some(archived_from)) = (&fork, &archived_from) {
        base = at(fork, &path)?;
        if base.is_none()
            && let Some((old, _)) = histories.renames(*fork, *archived_from)?.iter().find(|(_, new)| **new == path)
        {
            base = at(fork, old)?;
            path = old.clone();
        }
    }
    let mut theirs = at(commit, &path)?;
    if let (Some(fork), None, Some(_)) = (&fork, theirs, base)
        && let Some(new) = histories.renames(*fork, *commit)?.get(&path)
    {
        theirs = at(commit, new)?;
    }
    let Some(theirs) = theirs.filter(|theirs| Some(*theirs) != base && *theirs != archived) else { return Ok(None) };
    // Where it was archived too, there is nothing to be merged.
    Ok(blob_stub(repository, &theirs)?.is_none().then_some((base, theirs)))
}

/// Merges an item's bytes, which are in the file `ours` of the scratch folder.
fn merge_versions(
    repository: &Repository,
    item: &PlannedRestore,
    edit: &Edit<'_>,
    ours: TreeEntry,
    scratch: &Scratch,
) -> Result<After, MergeError> {
    let Edit { base, theirs, elsewhere } = edit;
    let versions = |working| {
        After::Conflict(Box::new(Versions { stages: [*base, Some(ours), Some(*theirs)], working: Some(working) }))
    };
    let sides = [Some(ours), Some(*theirs), *base];
    let mut is_text = sides.iter().flatten().all(|entry| entry.file_mode() != Some(FileMode::Symlink));
    for (name, entry) in [("base", *base), ("theirs", Some(*theirs))] {
        is_text &= scratch.lay_out(repository, name, entry)?;
    }
    is_text &= item.wanted.size <= MAX_MERGED;
    let Some(options) = options(repository, &item.path)?.filter(|_| is_text) else { return Ok(versions(ours)) };
    let mode = if base.is_none_or(|base| base.mode == ours.mode) { theirs.mode } else { ours.mode };
    let archived = format!("archived {}", &item.wanted.tombstone.to_string()[..8]);
    let paths = [scratch.path("ours"), scratch.path("base"), scratch.path("theirs")];
    let labels = [&*archived, "base", &elsewhere.name];
    let write = |bytes: &[u8]| -> Result<TreeEntry, GitError> {
        let id = repository.objects().write_blobs(&[bytes])?.pop();
        Ok(TreeEntry { mode, id: id.unwrap_or(ours.id) })
    };
    Ok(match repository.merge_file([&paths[0], &paths[1], &paths[2]], labels, &options)? {
        Merged::Clean(bytes) => After::File(write(&bytes)?),
        Merged::Marked(bytes) => versions(write(&bytes)?),
        Merged::Binary => versions(ours),
    })
}

/// Returns how the attributes want a path to be merged, as options of git's; `None` if not as text.
fn options(repository: &Repository, path: &RepoPath) -> Result<Option<Vec<String>>, GitError> {
    let values = repository.attributes(AttributeSource::WorkTree, &[path], &ATTRIBUTES)?.pop().unwrap_or_default();
    let mut options = Vec::new();
    match values.first() {
        Some(AttributeValue::Unset) => return Ok(None),
        Some(AttributeValue::Value(driver)) if *driver == "binary" => return Ok(None),
        Some(AttributeValue::Value(driver)) if *driver == "union" => options.push("--union".to_owned()),
        _ => {}
    }
    if let Some(AttributeValue::Value(size)) = values.get(1)
        && let Ok(size) = size.to_string().parse::<u8>()
    {
        options.push(format!("--marker-size={size}"));
    }
    Ok(Some(options))
}

/// A folder with the versions of a file; it goes when this is dropped.
struct Scratch(journal::Scratch);

impl Scratch {
    fn new(journal: &Journal) -> Result<Self, MergeError> {
        Ok(Self(journal.scratch()?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn create(&self, name: &str) -> Result<File, MergeError> {
        File::create(self.path(name)).map_err(|source| self.failed(source))
    }

    /// Writes a version, or an empty file for none; returns whether it is small enough to be merged.
    fn lay_out(&self, repository: &Repository, name: &str, entry: Option<TreeEntry>) -> Result<bool, MergeError> {
        let mut file = self.create(name)?;
        let Some(entry) = entry else { return Ok(true) };
        let (_, size) = repository.fetching_objects().header(&entry.id)?;
        if size <= MAX_MERGED {
            let mut bytes = repository.fetching_objects().open_blob(&entry.id)?;
            io::copy(&mut bytes, &mut file).map_err(|source| self.failed(source))?;
        }
        Ok(size <= MAX_MERGED)
    }

    fn failed(&self, source: io::Error) -> MergeError {
        MergeError::Scratch { path: self.0.path().to_owned(), source }
    }
}
