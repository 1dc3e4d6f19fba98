//! Finds the sides of a conflict.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use crate::change::index_entries_of;
use crate::git::{AttributeSource, Change, GitError, Repository, Stages, TreeEntry, Unfinished};
use crate::id::{ObjectId, Tombstone};
use crate::item::{FileMode, RepoPath};
use crate::journal::{Journal, JournalError, Scratch};
use crate::restore::Target;
use crate::stub::Stub;
use crate::survey::{StubContent, blob_stub, exempt};

use super::ResolveError;

/// A side of a conflict, as git names them in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `HEAD`'s.
    Ours,
    /// That of the commit that is merged, picked, or taken back.
    Theirs,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Ours, Self::Theirs];

    fn other(self) -> Self {
        match self {
            Self::Ours => Self::Theirs,
            Self::Theirs => Self::Ours,
        }
    }

    /// Returns this side's version of a path.
    fn of(self, stages: &Stages) -> Option<TreeEntry> {
        match self {
            Self::Ours => stages[1],
            Self::Theirs => stages[2],
        }
    }
}

/// A stub that is one side of a conflict.
#[derive(Debug, Clone, PartialEq)]
pub struct Tomb {
    /// Whose it is.
    pub side: Side,
    /// Where the index has it.
    pub stands: RepoPath,
    /// What the index has there.
    pub entry: TreeEntry,
    /// What it says.
    pub stub: Stub,
}

/// A file that is one side of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// Whose it is.
    pub side: Side,
    /// Where the index has it.
    pub stands: RepoPath,
    /// What the index has there.
    pub entry: TreeEntry,
    /// A commit that has it; `None` if none is known.
    pub home: Option<Home>,
}

/// Where in history a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The commit.
    pub commit: ObjectId,
    /// The path in its tree.
    pub path: RepoPath,
}

/// A conflict in which a stub takes part.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The path in conflict.
    pub path: RepoPath,
    /// Its stubs, ours first: one, or two where both sides archived it.
    pub tombs: Vec<Tomb>,
    /// The file of the side that has no stub; `None` if it deleted the file, or both have stubs.
    pub file: Option<Edited>,
    /// The paths that leave the conflict together, with their versions.
    pub unmerged: BTreeMap<RepoPath, Stages>,
}

impl Conflict {
    /// Returns where something that the index has at `stands` belongs: git puts sides of different kinds, such as a
    /// link and a stub, beside each other.
    pub fn place<'p>(&'p self, stands: &'p RepoPath) -> &'p RepoPath {
        if self.unmerged.contains_key(stands) { &self.path } else { stands }
    }

    /// Returns whether somebody who names `path` may mean this conflict.
    fn is_called(&self, path: &RepoPath) -> bool {
        let is_file = |file: &Edited| file.stands == *path || file.home.as_ref().is_some_and(|home| home.path == *path);
        self.unmerged.contains_key(path)
            || self.tombs.iter().any(|tomb| tomb.stands == *path || tomb.stub.path == *path)
            || self.file.as_ref().is_some_and(is_file)
    }

    /// Returns the stub that was named, else the first: ours where both sides have one.
    pub fn chosen(&self, wanted: Option<Tombstone>) -> Option<&Tomb> {
        let named = self.tombs.iter().find(|tomb| Some(tomb.stub.tombstone) == wanted);
        named.or_else(|| self.tombs.first())
    }

    fn holds(&self, wanted: &dyn Fn(&Tombstone) -> bool) -> Option<Tombstone> {
        self.tombs.iter().map(|tomb| tomb.stub.tombstone).find(wanted)
    }
}

/// A conflict with the stub that was named, if one was.
pub type Named = (Conflict, Option<Tombstone>);

/// All that is in conflict.
#[derive(Debug)]
pub struct Conflicts<'a> {
    repository: &'a Repository,
    journal: Journal,
    unfinished: Unfinished,
    unmerged: BTreeMap<RepoPath, Stages>,
    /// The stubs that each side has where their common ancestor had nothing, once they were looked for.
    arrivals: [OnceCell<Vec<Arrival>>; 2],
    /// The files that were renamed between two commits, once they were looked for; `None` where one is not here.
    renames: RefCell<HashMap<[ObjectId; 2], Option<Rc<Renames>>>>,
    /// What git makes of the merge, once it was asked.
    merged: OnceCell<Option<ObjectId>>,
}

/// The new paths of renamed files by their old ones.
type Renames = BTreeMap<RepoPath, RepoPath>;

/// A stub at a path where nothing stood.
#[derive(Debug)]
struct Arrival {
    stands: RepoPath,
    entry: TreeEntry,
    stub: Stub,
}

/// What one side has.
enum Version {
    Stub(Box<Stub>),
    File,
}

impl<'a> Conflicts<'a> {
    /// Looks at the index of `repository`, whose operations `journal` has.
    pub fn of(repository: &'a Repository, journal: Journal) -> Result<Self, GitError> {
        let (unfinished, unmerged) = (repository.unfinished_merge()?, repository.conflicts()?);
        let (arrivals, renames, merged) = (Default::default(), RefCell::default(), OnceCell::new());
        Ok(Self { repository, journal, unfinished, unmerged, arrivals, renames, merged })
    }

    pub(super) fn repository(&self) -> &'a Repository {
        self.repository
    }

    pub(super) fn scratch(&self) -> Result<Scratch, JournalError> {
        self.journal.scratch()
    }

    /// Returns what git puts at a path when it merges the commits anew, markers and all; `None` where it does not tell.
    pub(super) fn merged(&self, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        let tree = *self.merged.get_or_init(|| self.repository.merge_anew(&self.unfinished).ok().flatten());
        tree.map_or(Ok(None), |tree| self.repository.objects().entry(&tree, path))
    }

    /// Returns what git was stopped in.
    pub fn unfinished(&self) -> &Unfinished {
        &self.unfinished
    }

    /// Returns all paths in conflict.
    pub fn paths(&self) -> impl Iterator<Item = &RepoPath> {
        self.unmerged.keys()
    }

    /// Returns the conflicts that a user's `target` (shown as `named`) means, each with the stub that was named, if it was
    /// its tombstone: a path in conflict, any other path that one of its sides has or had, or a folder.
    pub fn named(&self, target: &Target, named: &str) -> Result<Vec<Named>, ResolveError> {
        let found = match target {
            Target::Tombstone(tombstone) => self.with_stub(&|known| known == tombstone)?,
            Target::Prefix(prefix, path) => {
                let found = self.with_stub(&|known: &Tombstone| known.to_string().starts_with(prefix))?;
                if found.is_empty() { self.at_or_below(Some(path))? } else { found }
            }
            Target::Path(path) => self.at_or_below(path.as_ref())?,
        };
        if found.is_empty() { Err(ResolveError::NoConflict { named: named.to_owned() }) } else { Ok(found) }
    }

    /// Returns the conflicts with a stub of a tombstone that is wanted.
    fn with_stub(&self, wanted: &dyn Fn(&Tombstone) -> bool) -> Result<Vec<Named>, ResolveError> {
        let all = self.among(&mut self.unmerged.keys())?.into_iter();
        Ok(all
            .filter_map(|conflict| {
                let tombstone = conflict.holds(wanted)?;
                Some((conflict, Some(tombstone)))
            })
            .collect())
    }

    fn at_or_below(&self, path: Option<&RepoPath>) -> Result<Vec<Named>, ResolveError> {
        let unnamed = |conflicts: Vec<Conflict>| conflicts.into_iter().map(|conflict| (conflict, None)).collect();
        if let Some(path) = path.filter(|path| self.unmerged.contains_key(*path)) {
            let conflict = self.at(path)?.ok_or_else(|| ResolveError::Ordinary { path: path.clone() })?;
            return Ok(unnamed(vec![conflict]));
        }
        let is_below = |found: &&RepoPath| path.is_none_or(|path| found.is_within(path.as_bytes()));
        let below = self.among(&mut self.unmerged.keys().filter(is_below))?;
        if !below.is_empty() {
            return Ok(unnamed(below));
        }
        if let Some(ordinary) = self.unmerged.keys().find(is_below) {
            return Err(ResolveError::Ordinary { path: ordinary.clone() });
        }
        let Some(path) = path else { return Ok(Vec::new()) };
        let mut called = self.among(&mut self.unmerged.keys())?;
        called.retain(|conflict| conflict.is_called(path));
        Ok(unnamed(called))
    }

    /// Returns the conflicts with stubs at some of the paths in conflict, each once.
    fn among(&self, paths: &mut dyn Iterator<Item = &RepoPath>) -> Result<Vec<Conflict>, ResolveError> {
        let mut seen: HashSet<RepoPath> = HashSet::new();
        let mut found = Vec::new();
        for path in paths {
            if seen.contains(path) {
                continue;
            }
            if let Some(conflict) = self.at(path)? {
                seen.extend(conflict.unmerged.keys().cloned());
                found.push(conflict);
            }
        }
        Ok(found)
    }

    /// Returns the conflict at a path that is in one; `None` if no stub takes part.
    fn at(&self, path: &RepoPath) -> Result<Option<Conflict>, ResolveError> {
        let unmerged = self.together(path)?;
        let Some(path) = unmerged.keys().next().cloned() else { return Ok(None) };
        let (mut tombs, mut files) = (Vec::new(), Vec::new());
        for side in Side::BOTH {
            for (stands, stages) in &unmerged {
                let Some(entry) = side.of(stages) else { continue };
                let stands = stands.clone();
                match self.version(&stands, &entry)? {
                    Version::Stub(stub) => tombs.push(Tomb { side, stands, entry, stub: *stub }),
                    Version::File => files.push(Edited { side, stands, entry, home: None }),
                }
            }
        }
        let mut file = files.pop();
        match (&tombs[..], &file) {
            ([tomb], None) => file = self.renamed(&path, tomb.side.other())?,
            ([], Some(edited)) if files.is_empty() => {
                tombs.extend(self.moved(&path, edited.side.other())?);
            }
            _ => {}
        }
        if tombs.is_empty() {
            return Ok(None);
        }
        if let Some(file) = file.as_ref().filter(|file| file.entry.file_mode().is_none()) {
            return Err(ResolveError::Submodule { path: file.stands.clone() });
        }
        if let Some(file) = &mut file {
            file.home = self.home(file, &path)?;
        }
        Ok(Some(Conflict { path, tombs, file, unmerged }))
    }

    /// Returns the paths that are in one conflict with `path`. Where the sides are of different kinds, git puts one of them
    /// beside the other, as `path~branch`; the path itself comes first.
    fn together(&self, path: &RepoPath) -> Result<BTreeMap<RepoPath, Stages>, GitError> {
        let mut found = BTreeMap::new();
        let Some(stages) = self.unmerged.get(path) else { return Ok(found) };
        found.insert(path.clone(), *stages);
        for (other, versions) in &self.unmerged {
            let (inner, outer) = if path < other { (path, other) } else { (other, path) };
            if is_beside(inner, outer) && are_apart(stages, versions) && self.is_made_up(outer)? {
                found.insert(other.clone(), *versions);
                break;
            }
        }
        Ok(found)
    }

    /// Returns whether git made up a path to put a file beside what has its place: none of the sides has it.
    pub fn is_made_up(&self, path: &RepoPath) -> Result<bool, GitError> {
        let is_named_so = path.as_bytes().contains(&b'~') && self.unfinished.theirs.is_some();
        for side in Side::BOTH {
            if !is_named_so || self.entry_of(side, path)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns what a side's version of a path is.
    fn version(&self, path: &RepoPath, entry: &TreeEntry) -> Result<Version, ResolveError> {
        let newer = match blob_stub(self.repository, entry)? {
            None => return Ok(Version::File),
            Some(_) if exempt(self.repository, AttributeSource::Index, std::slice::from_ref(path))? == [true] => {
                return Ok(Version::File);
            }
            Some(StubContent::Stub(parsed)) => return Ok(Version::Stub(Box::new(parsed.stub))),
            Some(StubContent::Newer) => true,
            Some(StubContent::Malformed(_)) => false,
        };
        Err(ResolveError::Unreadable { path: path.clone(), newer })
    }

    fn commit(&self, side: Side) -> Option<ObjectId> {
        match side {
            Side::Ours => self.unfinished.ours,
            Side::Theirs => self.unfinished.theirs,
        }
    }

    /// Returns what a side has at `path` in its commit; `None` too if that is not here.
    fn entry_of(&self, side: Side, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        let Some(commit) = self.commit(side) else { return Ok(None) };
        let objects = self.repository.objects();
        let found = objects.commit(&commit).and_then(|commit| objects.entry(&commit.tree, path));
        unless_missing(found).map(Option::flatten)
    }

    /// Returns what the index has at `path` if that is in no conflict and just what the side has.
    fn staged_of(&self, side: Side, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        let entries = index_entries_of(self.repository, &[path])?.pop().unwrap_or_default();
        let staged = entries.first().filter(|entry| entry.stage == 0).map(|entry| entry.entry);
        Ok(staged.filter(|_| self.entry_of(side, path).is_ok_and(|entry| entry == staged)))
    }

    /// Returns the file that `side` made of the one at `path` by renaming it, which git's merge has not found out.
    fn renamed(&self, path: &RepoPath, side: Side) -> Result<Option<Edited>, GitError> {
        let (Some(base), Some(commit)) = (self.unfinished.base, self.commit(side)) else { return Ok(None) };
        let Some(stands) = self.renames(base, commit)?.and_then(|all| all.get(path).cloned()) else { return Ok(None) };
        let staged = self.staged_of(side, &stands)?;
        Ok(staged.map(|entry| Edited { side, stands, entry, home: None }))
    }

    /// Returns the stub that `side` has in place of the file at `path`, at another path: it moved the file before it archived
    /// it, or the stub after that. That both have the same bytes says nothing: many files are empty.
    fn moved(&self, path: &RepoPath, side: Side) -> Result<Option<Tomb>, ResolveError> {
        let Some(base) = self.unfinished.base else { return Ok(None) };
        let arrivals = self.arrivals(side)?;
        let mut found = arrivals.iter().find(|arrival| arrival.stub.path == *path);
        let mut commits: Vec<ObjectId> = arrivals.iter().map(|arrival| arrival.stub.commit).collect();
        commits.sort_unstable();
        commits.dedup();
        for commit in commits {
            if found.is_some() {
                break;
            }
            let Some(renames) = self.renames(base, commit)? else { continue };
            let Some(to) = renames.get(path) else { continue };
            found = arrivals.iter().find(|arrival| arrival.stub.commit == commit && arrival.stub.path == *to);
        }
        let Some(Arrival { stands, entry, stub }) = found else { return Ok(None) };
        let staged = self.staged_of(side, stands)?.filter(|staged| staged == entry);
        Ok(staged.map(|entry| Tomb { side, stands: stands.clone(), entry, stub: stub.clone() }))
    }

    /// Returns the stubs that `side` has where the common ancestor had nothing.
    fn arrivals(&self, side: Side) -> Result<&[Arrival], GitError> {
        let known = match side {
            Side::Ours => &self.arrivals[0],
            Side::Theirs => &self.arrivals[1],
        };
        if let Some(known) = known.get() {
            return Ok(known);
        }
        let mut found = Vec::new();
        if let (Some(from), Some(commit)) = (self.unfinished.base, self.commit(side)) {
            let objects = self.repository.objects();
            let (old, new) = (objects.commit(&from)?.tree, objects.commit(&commit)?.tree);
            for change in objects.diff_trees(Some(&old), Some(&new)) {
                let Change { path: stands, old: None, new: Some(entry) } = change? else { continue };
                if let Some(StubContent::Stub(parsed)) = blob_stub(self.repository, &entry)? {
                    found.push(Arrival { stands, entry, stub: parsed.stub });
                }
            }
        }
        Ok(known.get_or_init(|| found))
    }

    /// Returns the files that were renamed between two commits; `None` if one is not here, so that nothing tells.
    fn renames(&self, old: ObjectId, new: ObjectId) -> Result<Option<Rc<Renames>>, GitError> {
        if let Some(known) = self.renames.borrow().get(&[old, new]) {
            return Ok(known.clone());
        }
        let objects = self.repository.objects();
        let found = match unless_missing(objects.commit(&old).and_then(|_| objects.commit(&new)))? {
            Some(_) => unless_missing(self.repository.renames(&old, &new))?.map(Rc::new),
            None => None,
        };
        self.renames.borrow_mut().insert([old, new], found.clone());
        Ok(found)
    }

    /// Returns where in history a file is: in its side's commit, else in any that a reference reaches.
    fn home(&self, file: &Edited, path: &RepoPath) -> Result<Option<Home>, GitError> {
        let objects = self.repository.objects();
        if let Some(commit) = self.commit(file.side) {
            for path in [path, &file.stands] {
                if self.entry_of(file.side, path)? == Some(file.entry) {
                    return Ok(Some(Home { commit, path: path.clone() }));
                }
            }
            // The other side may have renamed it, or its folder.
            let tree = unless_missing(objects.commit(&commit))?.map(|commit| commit.tree);
            let found = tree.and_then(|tree| {
                let mut entries = objects.walk_tree(&tree).filter_map(Result::ok);
                entries.find_map(|(path, entry)| (entry == file.entry).then_some(path))
            });
            if let Some(path) = found {
                return Ok(Some(Home { commit, path }));
            }
        }
        let mut starts: Vec<ObjectId> = Vec::new();
        for reference in self.repository.references("refs/")? {
            // References may name blobs and trees as well, which have no history.
            starts.extend(objects.peel_to_commit(&reference.id)?.map(|commit| commit.id));
        }
        let history = unless_missing(objects.path_history(&starts, path))?.unwrap_or_default();
        let found = history.into_iter().find(|(_, entry)| *entry == file.entry);
        Ok(found.map(|(commit, _)| Home { commit, path: path.clone() }))
    }
}

/// Returns whether `beside` is `path` with the name of a branch.
fn is_beside(path: &RepoPath, beside: &RepoPath) -> bool {
    let label = beside.as_bytes().strip_prefix(path.as_bytes()).and_then(|rest| rest.strip_prefix(b"~"));
    label.is_some_and(|label| !label.is_empty() && !label.contains(&b'/'))
}

/// Returns whether one has our version and the other theirs, of kinds that no path can have both of.
fn are_apart(one: &Stages, other: &Stages) -> bool {
    let kind = |entry: TreeEntry| entry.file_mode().map(|mode| mode == FileMode::Symlink);
    match ([one[1], one[2]], [other[1], other[2]]) {
        ([Some(ours), None], [None, Some(theirs)]) | ([None, Some(theirs)], [Some(ours), None]) => {
            kind(ours) != kind(theirs)
        }
        _ => false,
    }
}

/// Returns `None` in place of the error that an object is not here.
fn unless_missing<T>(result: Result<T, GitError>) -> Result<Option<T>, GitError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(GitError::MissingObject { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
