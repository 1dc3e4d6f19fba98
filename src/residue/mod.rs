//! Where the bytes of a content still are once the archive has destroyed them: in this repository, and elsewhere as far as
//! records tell.
//!
//! Git keeps what it was given. [`of`] looks into everything here that git, or its user, keeps bytes in, and says which
//! commands take them out of it. It only reads, and fetches nothing. `docs/governance.md` has the list.

mod copies;
mod files;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use serde::Serialize;

use crate::archive::{AnyArchive, ArchiveError, StoredItem};
use crate::evidence::log::LogError;
use crate::git::{Gap, GitError, Named, ObjectKind, Occurrences, Repository, WorkTree};
use crate::id::{ObjectId, Sha256, Tombstone};
use crate::item::text_enum;
use crate::quote::quote;

pub use copies::Copy;
pub use steps::Step;

/// How many of the places of a kind are named.
pub const MAX_NAMED: usize = 5;

text_enum! {
    /// What the bytes are in, or what leads to them.
    Kind, "a kind of place" {
        /// A commit that brought the content in.
        Commit = "commit",
        /// A branch.
        Branch = "branch",
        /// A tag.
        Tag = "tag",
        /// What a remote's branch was when it was fetched.
        RemoteBranch = "remote-branch",
        /// Another reference: notes, replaced objects, what this program or another one keeps.
        Reference = "reference",
        /// An entry of the stash.
        Stash = "stash",
        /// An entry of a reflog.
        Reflog = "reflog",
        /// A file of the git directory: a detached `HEAD`, an unfinished merge or rebase, an earlier tip.
        State = "state",
        /// An entry of an index.
        Index = "index",
        /// A file in a working tree.
        File = "file",
        /// The blob in the object database.
        Object = "object",
        /// The object database of another repository, from which this one borrows.
        Alternate = "alternate",
        /// A file of Git LFS.
        LfsObject = "lfs-object",
    }
}

/// A content whose bytes are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its digest.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
    /// The blob that git keeps it as in repositories of this one's object format; `None` where that is not known.
    pub blob: Option<ObjectId>,
    /// The items that have or had it.
    pub tombstones: BTreeSet<Tombstone>,
}

impl Content {
    /// Returns the content of these items, each with the blob that it was where it was archived.
    pub fn new(
        sha256: Sha256,
        size: u64,
        items: impl IntoIterator<Item = (Tombstone, ObjectId)>,
        repository: &Repository,
    ) -> Self {
        let length = repository.object_format().id_length();
        let (tombstones, objects): (BTreeSet<Tombstone>, Vec<ObjectId>) = items.into_iter().unzip();
        Self { sha256, size, blob: objects.into_iter().find(|object| object.as_bytes().len() == length), tombstones }
    }

    /// Returns the content of `items`, which all have the same one; `None` if there are none.
    pub fn of(items: &[StoredItem], repository: &Repository) -> Option<Self> {
        let first = &items.first()?.item;
        let all = items.iter().map(|stored| (stored.item.tombstone, stored.item.object));
        Some(Self::new(first.sha256, first.size, all, repository))
    }

    /// Returns the text that Git LFS leaves in place of the content.
    fn lfs_pointer(&self) -> String {
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n", self.sha256, self.size)
    }
}

/// Where a content still is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Residue {
    /// The content.
    pub sha256: Sha256,
    /// The blob that git keeps it as here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<ObjectId>,
    /// Where it is in this repository, a line per kind of place.
    pub places: Vec<Place>,
    /// Where it went by the records of this clone and its archive. Whether it is still there nobody can say.
    pub copies: Vec<Copy>,
    /// What could not be looked into.
    pub unknown: Vec<String>,
    /// The commands that take it out of this repository, in this order, to be run at its top.
    pub steps: Vec<Step>,
}

/// Places of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Of which kind.
    pub kind: Kind,
    /// How many there are.
    pub count: usize,
    /// The first [`MAX_NAMED`] of them.
    pub first: Vec<String>,
}

impl Residue {
    /// Returns whether nothing of it was found in this repository.
    pub fn is_clean(&self) -> bool {
        self.places.is_empty()
    }

    /// Returns the places of a kind.
    pub fn of_kind(&self, kind: Kind) -> Option<&Place> {
        self.places.iter().find(|place| place.kind == kind)
    }
}

/// Why it could not be said where a content still is.
#[derive(Debug, thiserror::Error)]
pub enum ResidueError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The archive failed, or is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The operations log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Says where `content` still is: in `repository`, and by the records of the operations log at `log` and of `archive`.
pub fn of(
    repository: &Repository,
    content: &Content,
    log: &Path,
    archive: Option<&mut AnyArchive>,
) -> Result<Residue, ResidueError> {
    let mut search = Search::new(repository, content)?;
    if content.size > 0 {
        search.everything()?;
    } else {
        search.unknown.push("empty content is nowhere and everywhere: there is nothing to look for".to_owned());
    }
    let steps = steps::steps(&search);
    Ok(Residue {
        sha256: content.sha256,
        blob: content.blob,
        places: search.places(),
        copies: copies::copies(content, log, archive)?,
        unknown: search.unknown,
        steps,
    })
}

/// What was found so far.
struct Search<'a> {
    repository: &'a Repository,
    content: &'a Content,
    /// The content's blob, and that of its LFS pointer.
    blobs: Vec<ObjectId>,
    work_trees: Vec<WorkTree>,
    found: BTreeMap<Kind, Found>,
    /// The blobs in commits, or which references name.
    in_history: BTreeSet<ObjectId>,
    /// References that no rewriting of commits touches.
    direct: Vec<BString>,
    /// Files of the git directory of the main working tree that lead to the content.
    states: BTreeSet<String>,
    /// Paths that are only staged, and files, from the top of the working tree where they are below it.
    staged: Vec<Vec<u8>>,
    files: Vec<PathBuf>,
    lfs: Option<PathBuf>,
    /// The linked working trees that have it.
    linked: BTreeSet<PathBuf>,
    alternates: Vec<PathBuf>,
    unknown: Vec<String>,
}

#[derive(Default)]
struct Found {
    count: usize,
    first: Vec<String>,
}

impl<'a> Search<'a> {
    fn new(repository: &'a Repository, content: &'a Content) -> Result<Self, GitError> {
        let pointer = repository.objects().hash_blob(content.lfs_pointer().as_bytes());
        Ok(Self {
            repository,
            content,
            blobs: content.blob.into_iter().chain([pointer]).collect(),
            work_trees: repository.work_trees()?,
            found: BTreeMap::new(),
            in_history: BTreeSet::new(),
            direct: Vec::new(),
            states: BTreeSet::new(),
            staged: Vec::new(),
            files: Vec::new(),
            lfs: None,
            linked: BTreeSet::new(),
            alternates: Vec::new(),
            unknown: Vec::new(),
        })
    }

    fn everything(&mut self) -> Result<(), GitError> {
        let states = self.states()?;
        let occurrences = self.occurrences(&states)?;
        self.commits(&occurrences);
        self.references(&occurrences)?;
        let mut noted = BTreeSet::new();
        for (tree, named) in &states {
            // A file may name several, such as `FETCH_HEAD`.
            if self.leads(named, &occurrences)? && noted.insert((*tree, &named.name)) {
                self.note_state(*tree, named);
            }
        }
        for number in 0..self.work_trees.len() {
            self.index(number)?;
            self.work_files(number);
        }
        self.objects()?;
        self.lfs();
        self.gaps()
    }

    fn note(&mut self, kind: Kind, name: impl FnOnce() -> String) {
        let found = self.found.entry(kind).or_default();
        found.count += 1;
        if found.first.len() < MAX_NAMED {
            found.first.push(name());
        }
    }

    fn places(&mut self) -> Vec<Place> {
        let found = std::mem::take(&mut self.found);
        found.into_iter().map(|(kind, Found { count, first })| Place { kind, count, first }).collect()
    }

    /// Returns what the files of each working tree's git directory name.
    fn states(&self) -> Result<Vec<(usize, Named)>, GitError> {
        let mut states = Vec::new();
        for (number, tree) in self.work_trees.iter().enumerate() {
            states.extend(self.repository.state_of(tree)?.into_iter().map(|named| (number, named)));
        }
        Ok(states)
    }

    fn occurrences(&mut self, states: &[(usize, Named)]) -> Result<Occurrences, GitError> {
        let commits = states.iter().filter(|(_, named)| named.kind == ObjectKind::Commit);
        let roots: Vec<ObjectId> = commits.map(|(_, named)| named.id).collect();
        match self.repository.occurrences(&self.blobs, &roots) {
            // Folders that a filter left out are not fetched only to be looked into.
            Err(GitError::Failed { .. }) if self.repository.is_partial() => {
                self.unknown.push("folders that this partial clone has left out were not looked into".to_owned());
                Ok(Occurrences::default())
            }
            found => found,
        }
    }

    fn commits(&mut self, occurrences: &Occurrences) {
        for added in &occurrences.added {
            let pointer = if Some(added.blob) == self.content.blob { "" } else { " (pointer of Git LFS)" };
            self.note(Kind::Commit, || format!("{} {}{pointer}", added.commit, quote(&added.path)));
            self.in_history.insert(added.blob);
        }
    }

    fn references(&mut self, occurrences: &Occurrences) -> Result<(), GitError> {
        for named in self.repository.named_references()? {
            // Its entries are in its reflog, this one with them.
            if named.name == "refs/stash" || !self.leads(&named, occurrences)? {
                continue;
            }
            if named.kind != ObjectKind::Commit || named.name.starts_with(b"refs/notes/") {
                self.direct.push(named.name.clone());
            }
            let (kind, name) = kind_of(&named.name);
            self.note(kind, || quote(name).into_owned());
        }
        for named in self.repository.reflog_entries()? {
            if !occurrences.are_in(&named.id) {
                continue;
            }
            match named.name.strip_prefix(b"refs/stash@") {
                Some(entry) => self.note(Kind::Stash, || format!("stash@{}", quote(entry))),
                None => self.note(Kind::Reflog, || quote(&named.name).into_owned()),
            }
            let own = self.work_trees.iter().find(|tree| is_of(tree, &named, self.repository));
            self.linked.extend(own.and_then(|tree| tree.top.clone()));
        }
        Ok(())
    }

    /// Returns whether an object is the content or leads to it.
    fn leads(&self, named: &Named, occurrences: &Occurrences) -> Result<bool, GitError> {
        match named.kind {
            ObjectKind::Commit => Ok(occurrences.are_in(&named.id)),
            ObjectKind::Blob => Ok(self.blobs.contains(&named.id)),
            ObjectKind::Tree => self.repository.tree_has(&named.id, &self.blobs),
            // All are peeled.
            ObjectKind::Tag => Ok(false),
        }
    }

    fn note_state(&mut self, number: usize, named: &Named) {
        let tree = &self.work_trees[number];
        let name = match &tree.name {
            None => quote(&named.name).into_owned(),
            Some(linked) => format!("{} of working tree {}", quote(&named.name), quote(linked)),
        };
        match (&tree.name, &tree.top) {
            (None, _) => drop(self.states.insert(named.name.to_string())),
            (Some(_), top) => self.linked.extend(top.clone()),
        }
        self.note(Kind::State, || name);
    }

    fn index(&mut self, number: usize) -> Result<(), GitError> {
        let tree = &self.work_trees[number];
        let staged = self.repository.staged_in(tree, &self.blobs)?;
        let (linked, top) = (tree.name.clone(), tree.top.clone());
        for entry in staged {
            let of = linked.as_ref().map(|name| format!(" of working tree {}", quote(name))).unwrap_or_default();
            let resolved = if entry.resolved { " (a conflict that was resolved)" } else { "" };
            self.note(Kind::Index, || format!("{}{of}{resolved}", quote(&entry.path)));
            match (&linked, &top) {
                (None, _) => self.staged.push(entry.path.into()),
                (Some(_), top) => self.linked.extend(top.clone()),
            }
        }
        Ok(())
    }

    fn work_files(&mut self, number: usize) {
        let Some(top) = self.work_trees[number].top.clone() else { return };
        let is_main = self.work_trees[number].name.is_none();
        let others: Vec<&Path> = self.work_trees.iter().filter_map(|tree| tree.top.as_deref()).collect();
        let (files, unread) = files::with_content(&top, &others, &self.content.sha256, self.content.size);
        for path in files {
            self.note(Kind::File, || shown(if is_main { path.strip_prefix(&top).unwrap_or(&path) } else { &path }));
            if is_main {
                self.files.push(path);
            } else {
                self.linked.insert(top.clone());
            }
        }
        if unread > 0 {
            self.unknown.push(format!("{unread} files or folders below {} that could not be read", shown(&top)));
        }
    }

    fn objects(&mut self) -> Result<(), GitError> {
        let Some(blob) = self.content.blob else {
            self.unknown.push("as which object git would keep it here: it was archived elsewhere".to_owned());
            return Ok(());
        };
        for folder in self.repository.alternates()? {
            if !self.repository.folder_has(&folder, &[blob])?.is_empty() {
                self.note(Kind::Alternate, || shown(&folder));
                self.alternates.push(folder);
            }
        }
        if self.repository.is_loose(&blob) {
            self.note(Kind::Object, || format!("{blob}, in a file of its own"));
        } else if self.repository.objects().contains(&[blob])? == [true] && self.alternates.is_empty() {
            self.note(Kind::Object, || format!("{blob}, in a pack"));
        }
        Ok(())
    }

    fn lfs(&mut self) {
        let name = self.content.sha256.to_string();
        let file = self.repository.common_dir().join("lfs/objects").join(&name[..2]).join(&name[2..4]).join(&name);
        if file.exists() {
            self.note(Kind::LfsObject, || name);
            self.lfs = Some(file);
        }
    }

    fn gaps(&mut self) -> Result<(), GitError> {
        match self.repository.gap()? {
            Some(Gap::Depth) => {
                self.unknown.push("the history beyond the depth of this clone: `git fetch --unshallow`".to_owned());
            }
            Some(gap @ Gap::Branches { .. }) => {
                self.unknown.push(format!("branches of the remote that are not here: `{}`", gap.fetch_command()));
            }
            None => {}
        }
        Ok(())
    }
}

/// Returns a path of this system, quoted as git quotes paths.
fn shown(path: &Path) -> String {
    quote(<[u8]>::from_path(path).unwrap_or_default()).into_owned()
}

/// Returns whether an entry of a reflog is a linked working tree's own. Seen from there, its name is that of none.
fn is_of(tree: &WorkTree, named: &Named, repository: &Repository) -> bool {
    let Some(name) = &tree.name else { return false };
    let there = named.name.strip_prefix(b"worktrees/").and_then(|rest| rest.strip_prefix(name.as_slice()));
    there.is_some_and(|rest| rest.starts_with(b"/"))
        || (tree.git_dir == repository.git_dir() && named.name.starts_with(b"HEAD@"))
}

/// Returns what kind of reference a full name is one of, and how people call it.
fn kind_of(name: &[u8]) -> (Kind, &[u8]) {
    let kinds = [("refs/heads/", Kind::Branch), ("refs/tags/", Kind::Tag), ("refs/remotes/", Kind::RemoteBranch)];
    let of = |(prefix, kind): (&str, Kind)| Some((kind, name.strip_prefix(prefix.as_bytes())?));
    kinds.into_iter().find_map(of).unwrap_or((Kind::Reference, name))
}
