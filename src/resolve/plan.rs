//! From conflicts and a choice to the changes that end them. Nothing is changed here but for blobs that git gets.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use bstr::BString;

use super::{Conflict, Conflicts, Edited, Home, Named, ResolveError, Side, Tomb, marked};
use crate::archive::AnyArchive;
use crate::change::{After, Before, FileChange, Versions};
use crate::clock::Timestamp;
use crate::evidence::format::EvidenceFileName;
use crate::git::{FileKind, GitError, Repository, Root, Stages, TreeEntry, literal};
use crate::id::ObjectId;
use crate::item::{FileMode, Reason, RepoPath};
use crate::operation::Facts;
use crate::places::{CODEX, EVIDENCE};
use crate::restore::{Instead, PlannedRestore, RestoreOptions, RestorePlan, confirm};
use crate::store::{self, StoreOptions, StorePlan};

/// Where references keep files alive whose commits are left behind, each under its object id.
const EDITED_REFERENCES: &str = "refs/archive-tomb/edited/";

/// Returns the changes that end conflicts with a stub that each has: the one that was named, else ours. Stubs have their
/// evidence, so these leave none.
pub fn keep(
    repository: &Repository,
    conflicts: &Conflicts<'_>,
    named: &[Named],
) -> Result<Vec<FileChange>, ResolveError> {
    let mut files = Vec::new();
    let mut tombs = Vec::new();
    for (conflict, wanted) in named {
        let tomb = conflict.chosen(*wanted).ok_or_else(|| ordinary(conflict))?;
        if let Some(file) = &conflict.file {
            check_kept(conflicts, tomb, file, &conflict.path)?;
        }
        tombs.push(tomb);
        let mut changes = Changes::of(conflicts, conflict)?;
        let place = conflict.place(&tomb.stands);
        let before = changes.take(place).unwrap_or_else(|| exactly(tomb.entry));
        files.push(FileChange { path: place.clone(), before, after: After::File(tomb.entry), raw: false });
        files.extend(changes.rest());
    }
    files.extend(evidence(repository, conflicts, &tombs)?);
    Ok(files)
}

/// Refuses to keep a stub over a file that would be lost, or that the commit to come would hide.
fn check_kept(conflicts: &Conflicts<'_>, tomb: &Tomb, file: &Edited, path: &RepoPath) -> Result<(), ResolveError> {
    let Some(home) = &file.home else { return Err(ResolveError::Uncommitted { path: path.clone() }) };
    let is_archived = file.entry.id == tomb.stub.object && file.entry.file_mode() == Some(tomb.stub.mode);
    // Its only parent has the file, which would seem to be what was archived.
    if file.side == Side::Ours && !conflicts.unfinished().keeps_both() && !is_archived {
        return Err(ResolveError::Hides { path: path.clone(), commit: home.commit });
    }
    Ok(())
}

/// A file whose commit is left behind when git goes on.
#[derive(Debug)]
pub struct LeftBehind<'c> {
    /// The file.
    pub file: &'c Edited,
    /// Where it is now.
    pub home: &'c Home,
    /// The reference that keeps its bytes.
    pub reference: String,
}

/// Makes a reference for each file that is not going to be in the tree, and whose commit no branch keeps: a rebase drops it, a
/// stash goes. Otherwise git would drop the bytes in the end. It does no harm if nothing comes of the rest.
pub fn keep_left_behind<'c>(
    repository: &Repository,
    conflicts: &Conflicts<'_>,
    named: &'c [Named],
) -> Result<Vec<LeftBehind<'c>>, GitError> {
    let mut left = Vec::new();
    let mut outlasting: HashMap<ObjectId, bool> = HashMap::new();
    for file in named.iter().filter_map(|(conflict, _)| conflict.file.as_ref()) {
        let Some(home) = file.home.as_ref().filter(|_| !conflicts.unfinished().keeps_both()) else { continue };
        let outlasts = match outlasting.entry(home.commit) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => *unknown.insert(repository.outlasts_rebase(&home.commit)?),
        };
        if !outlasts {
            let reference = format!("{EDITED_REFERENCES}{}", file.entry.id);
            repository.create_reference(&reference, &file.entry.id)?;
            left.push(LeftBehind { file, home, reference });
        }
    }
    Ok(left)
}

/// Plans to end conflicts with the files that they have; where there is none, with the archived one.
pub fn restore(
    repository: &Repository,
    conflicts: &Conflicts<'_>,
    mut archive: Option<&mut AnyArchive>,
    origin: &str,
    named: &[Named],
    options: &RestoreOptions,
) -> Result<RestorePlan, ResolveError> {
    let facts =
        Facts { op: options.op, started: Timestamp::now(), actor: options.actor.clone(), repo: options.repo.clone() };
    let (items, along, also) = (Vec::new(), Vec::new(), Vec::new());
    let mut plan = RestorePlan { facts, only: options.only, raw: options.raw, commit: None, items, along, also };
    let mut tombs = Vec::new();
    for (conflict, wanted) in named {
        let tomb = match &conflict.tombs[..] {
            [ours, theirs] if ours.stub.sha256 != theirs.stub.sha256 && wanted.is_none() => {
                let tombstones = [ours.stub.tombstone, theirs.stub.tombstone];
                return Err(ResolveError::Ambiguous { path: conflict.path.clone(), tombstones });
            }
            _ => conflict.chosen(*wanted).ok_or_else(|| ordinary(conflict))?,
        };
        tombs.extend(&conflict.tombs);
        for other in conflict.tombs.iter().filter(|other| other.stub.tombstone != tomb.stub.tombstone) {
            plan.along.push(confirm(repository, archive.as_deref_mut(), origin, &other.stands, &other.stub)?);
        }
        let mut changes = Changes::of(conflicts, conflict)?;
        let (stands, instead) = match &conflict.file {
            Some(file) => {
                let from = file.home.as_ref().map(|home| home.commit);
                (&file.stands, Some(Instead { after: After::File(file.entry), source: None, from }))
            }
            None => (&tomb.stands, None),
        };
        let path = conflict.place(stands).clone();
        let staged = conflict.file.as_ref().map_or(tomb.entry, |file| file.entry);
        let before = changes.take(&path).unwrap_or_else(|| exactly(staged));
        let wanted = confirm(repository, archive.as_deref_mut(), origin, &tomb.stands, &tomb.stub)?;
        plan.items.push(PlannedRestore { path, wanted, before, instead, actor: None });
        plan.also.extend(changes.rest());
    }
    plan.also.extend(evidence(repository, conflicts, &tombs)?);
    plan.items.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(plan)
}

/// Plans to end conflicts by archiving the files that they have, with what `options` say; a reason that is not given is
/// that of the stub which gives way. One plan for each commit and reason.
pub fn re_archive(
    repository: &Repository,
    conflicts: &Conflicts<'_>,
    mut archive: Option<&mut AnyArchive>,
    origin: &str,
    named: &[Named],
    reason: Option<Reason>,
    options: &StoreOptions,
) -> Result<Vec<StorePlan>, ResolveError> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut tombs = Vec::new();
    for (conflict, _) in named {
        let path = conflict.path.clone();
        let twice = conflict.tombs.len() > 1;
        let file = conflict.file.as_ref().ok_or_else(|| ResolveError::NothingEdited { path: path.clone(), twice })?;
        let home = file.home.as_ref().filter(|home| home.path == *conflict.place(&file.stands));
        let commit = home.ok_or(ResolveError::Uncommitted { path })?.commit;
        let reason = reason.or(conflict.tombs.first().map(|tomb| tomb.stub.reason)).unwrap_or(options.reason);
        match groups.iter_mut().find(|group| (group.commit, group.reason) == (commit, reason)) {
            Some(group) => group.files.push((conflict, file)),
            None => groups.push(Group { commit, reason, files: vec![(conflict, file)] }),
        }
        tombs.extend(&conflict.tombs);
    }
    let mut plans = Vec::new();
    for Group { commit, reason, files } in groups {
        let options = StoreOptions { commit: commit.to_string(), reason, in_conflict: true, ..options.clone() };
        let pathspecs: Vec<BString> =
            files.iter().map(|(conflict, file)| literal(conflict.place(&file.stands))).collect();
        let mut plan = store::plan(repository, &pathspecs, &options)?;
        for (conflict, file) in files {
            let place = conflict.place(&file.stands);
            let mut changes = Changes::of(conflicts, conflict)?;
            let item = plan.items.iter_mut().find(|item| item.path == *place && item.object == file.entry.id);
            let item = item.ok_or_else(|| ResolveError::Changed { path: place.clone() })?;
            if let Some(Before::Conflict(versions)) = changes.take(place) {
                item.conflict = Some(versions);
            }
            plan.also.extend(changes.rest());
            for tomb in &conflict.tombs {
                plan.replaced.push(confirm(repository, archive.as_deref_mut(), origin, &tomb.stands, &tomb.stub)?);
            }
        }
        plans.push(plan);
    }
    if let Some(first) = plans.first_mut() {
        first.also.extend(evidence(repository, conflicts, &tombs)?);
    }
    Ok(plans)
}

/// Conflicts whose files are archived together.
struct Group<'c> {
    commit: ObjectId,
    reason: Reason,
    files: Vec<(&'c Conflict, &'c Edited)>,
}

fn ordinary(conflict: &Conflict) -> ResolveError {
    ResolveError::Ordinary { path: conflict.path.clone() }
}

fn exactly(entry: TreeEntry) -> Before {
    Before::Exactly { staged: entry, working: entry }
}

/// The paths of a conflict, with what has to stand there: one of them gets a file, the others go.
struct Changes(BTreeMap<RepoPath, Before>);

impl Changes {
    fn of(conflicts: &Conflicts<'_>, conflict: &Conflict) -> Result<Self, ResolveError> {
        let mut paths = BTreeMap::new();
        for (path, stages) in &conflict.unmerged {
            paths.insert(path.clone(), Before::Conflict(Box::new(versions(conflicts, path, *stages)?)));
        }
        let tombs = conflict.tombs.iter().map(|tomb| (&tomb.stands, tomb.entry));
        let sides = tombs.chain(conflict.file.iter().map(|file| (&file.stands, file.entry)));
        for (path, entry) in sides.filter(|(path, _)| !conflict.unmerged.contains_key(*path)) {
            paths.insert(path.clone(), exactly(entry));
        }
        Ok(Self(paths))
    }

    fn take(&mut self, path: &RepoPath) -> Option<Before> {
        self.0.remove(path)
    }

    fn rest(self) -> impl Iterator<Item = FileChange> {
        let gone = |(path, before)| FileChange { path, before, after: After::Nothing, raw: false };
        self.0.into_iter().map(gone)
    }
}

/// Returns the versions of a path in conflict with the file that stands there, which has to be one of them, or what git
/// made of them.
fn versions(conflicts: &Conflicts<'_>, path: &RepoPath, stages: Stages) -> Result<Versions, ResolveError> {
    let repository = conflicts.repository();
    let entries = || stages.iter().rev().flatten();
    let mode = entries().find_map(TreeEntry::file_mode).unwrap_or(FileMode::Regular);
    let Some(working) = repository.write_work_file(path, mode)? else {
        let kind = match Root::open(repository.require_work_tree()?)?.kind(path) {
            Err(GitError::BlockedPath { .. }) => None,
            kind => kind?,
        };
        return match kind {
            Some(FileKind::Folder) => Err(ResolveError::Blocked { path: path.clone() }),
            _ => Ok(Versions { stages, working: None }),
        };
    };
    let is_version = entries().any(|entry| entry.id == working.id);
    if !is_version && !marked::is_gits_own(conflicts, path, &stages, &working)? {
        return Err(ResolveError::Changed { path: path.clone() });
    }
    Ok(Versions { stages, working: Some(working) })
}

/// Returns the evidence files that are missing in the index, as changes that bring them: those of `HEAD`, which a revert takes
/// away, and those of stubs, which come with their side.
fn evidence(
    repository: &Repository,
    conflicts: &Conflicts<'_>,
    tombs: &[&Tomb],
) -> Result<Vec<FileChange>, ResolveError> {
    let folder = RepoPath::try_new(EVIDENCE).expect("the program's own paths are valid");
    let mut wanted: HashMap<RepoPath, TreeEntry> = HashMap::new();
    let unfinished = conflicts.unfinished();
    for (commit, is_ours) in [(unfinished.ours, true), (unfinished.theirs, false), (unfinished.base, false)] {
        let Some(commit) = commit else { continue };
        let objects = repository.objects();
        for found in objects.walk_folder(&objects.commit(&commit)?.tree, &folder)? {
            let (path, entry) = found?;
            let names = |name: &EvidenceFileName| tombs.iter().any(|tomb| name.matches(&tomb.stub.evidence));
            let is_named = EvidenceFileName::parse_path(&path).is_ok_and(|name| names(&name));
            if (is_ours || is_named) && entry.file_mode() == Some(FileMode::Regular) {
                wanted.insert(path, entry);
            }
        }
    }
    for staged in repository.index_entries(&[literal(&folder)])? {
        wanted.remove(&staged.path);
    }
    let change = |(path, entry)| FileChange { path, before: Before::Nothing, after: After::File(entry), raw: false };
    Ok(wanted.into_iter().map(change).collect())
}

/// Refuses while the program's own files are in conflict.
pub fn check_own(conflicts: &Conflicts<'_>) -> Result<(), ResolveError> {
    match conflicts.paths().find(|path| path.is_within(CODEX.as_bytes())) {
        Some(path) => Err(ResolveError::Own { path: path.clone() }),
        None => Ok(()),
    }
}
