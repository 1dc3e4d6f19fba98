//! What the user's path arguments mean: git's pathspecs, matched by git against the tree of a commit.

use std::ffi::OsString;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};

use super::index::LIST_INDEX;
use super::lock::index_info;
use super::repository::parse_id;
use super::{GitError, IndexEntry, IndexUpdate, Repository, TreeEntry, command};
use crate::id::ObjectId;
use crate::item::RepoPath;

/// How many bytes of arguments one child gets: well below what the system allows.
const MAX_ARGUMENTS: usize = if cfg!(windows) { 16 * 1024 } else { 128 * 1024 };

/// What path arguments match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The files, links and submodules of the tree, sorted by the bytes of their paths, each once.
    pub entries: Vec<(RepoPath, TreeEntry)>,
    /// The positions of the arguments that match nothing in the tree.
    pub unmatched: Vec<usize>,
    /// For each entry the position of the first argument that matches it; empty where nobody asked.
    pub owners: Vec<usize>,
    /// The positions of arguments that git does not take, and what it says of them. Where nobody asked, one of them fails all.
    pub refused: Vec<(usize, String)>,
}

/// A path that two arguments match.
#[derive(Debug, Clone, Copy)]
pub struct Overlap<'a> {
    /// The position of the first argument that matches it.
    pub first: usize,
    /// The position of another one.
    pub second: usize,
    /// The path.
    pub path: &'a RepoPath,
}

/// Why a path argument matches nothing that is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untracked {
    /// It is in the index, but not in the commit.
    Staged,
    /// Files are there that git does not track.
    Untracked,
    /// Files are there that git is told to ignore.
    Ignored,
    /// Nothing is there.
    Nothing,
}

impl Repository {
    /// Returns what `pathspecs`, given where the caller stands ([`Repository::prefix`]), match in `tree` (a tree or a
    /// commit). Git does the matching, on an index made from the tree, so all its magic works the same everywhere.
    pub fn expand(&self, tree: &ObjectId, pathspecs: &[BString]) -> Result<Expansion, GitError> {
        let index = ScratchIndex::of_tree(self, tree)?;
        let mut expansion = Expansion::default();
        let mut paths: Vec<RepoPath> = Vec::new();
        let (excluding, including): (Vec<usize>, Vec<usize>) =
            (0..pathspecs.len()).partition(|position| excludes(&pathspecs[*position]));
        for chunk in chunks(pathspecs, &including, &excluding) {
            let chosen: Vec<BString> =
                chunk.iter().chain(&excluding).map(|position| pathspecs[*position].clone()).collect();
            let entries = index.list(&chosen)?;
            paths.extend(entries.iter().map(|entry| entry.path.clone()));
            expansion.entries.extend(entries.into_iter().map(|entry| (entry.path, entry.entry)));
        }
        expansion.entries.sort_by(|left, right| left.0.cmp(&right.0));
        expansion.entries.dedup();
        paths.sort();
        for position in including {
            // A child for each argument would be slow for thousands; nearly all are plain names of what was found.
            if self.named(&pathspecs[position], &paths).is_empty()
                && index.list(&pathspecs[position..=position])?.is_empty()
            {
                expansion.unmatched.push(position);
            }
        }
        Ok(expansion)
    }

    /// Returns the same, and which of `pathspecs` matches what; none of them may exclude anything. What an earlier one matches
    /// already is told to `overlap`, which may have seen enough of the later one.
    ///
    /// Memory grows with the tree and with the number of arguments, not with their product.
    pub fn expand_each(
        &self,
        tree: &ObjectId,
        pathspecs: &[BString],
        overlap: &mut dyn FnMut(Overlap<'_>) -> ControlFlow<()>,
    ) -> Result<Expansion, GitError> {
        let index = ScratchIndex::of_tree(self, tree)?;
        let everything = index.list(&[":/".into()])?;
        let paths: Vec<RepoPath> = everything.iter().map(|entry| entry.path.clone()).collect();
        let mut owners: Vec<Option<usize>> = vec![None; paths.len()];
        let mut take = |second: usize, entry: usize| match owners[entry] {
            None => {
                owners[entry] = Some(second);
                ControlFlow::Continue(())
            }
            Some(first) => overlap(Overlap { first, second, path: &paths[entry] }),
        };
        let mut expansion = Expansion::default();
        for (position, pathspec) in pathspecs.iter().enumerate() {
            let mut named = self.named(pathspec, &paths);
            if !named.is_empty() {
                // Broken off or not, the next argument has its turn.
                let _ = named.try_for_each(|entry| take(position, entry));
                continue;
            }
            match index.list(std::slice::from_ref(pathspec)) {
                Ok(entries) if entries.is_empty() => expansion.unmatched.push(position),
                Ok(entries) => {
                    let mut found = entries.iter().filter_map(|entry| paths.binary_search(&entry.path).ok());
                    let _ = found.try_for_each(|entry| take(position, entry));
                }
                // It leads out of the repository, or its magic is unknown.
                Err(GitError::Failed { detail, .. }) => expansion.refused.push((position, detail)),
                Err(error) => return Err(error),
            }
        }
        for (entry, owner) in everything.into_iter().zip(owners) {
            if let Some(owner) = owner {
                expansion.entries.push((entry.path, entry.entry));
                expansion.owners.push(owner);
            }
        }
        Ok(expansion)
    }

    /// Returns why a path argument that [`Repository::expand`] could not match is not committed.
    pub fn why_unmatched(&self, pathspec: &BString) -> Result<Untracked, GitError> {
        self.require_work_tree()?;
        let finds = |options: &[&str]| -> Result<bool, GitError> {
            let mut command = self.standing_command(&[&["ls-files", "-z"], options].concat());
            command.arg("--").args(arguments(std::slice::from_ref(pathspec))?);
            Ok(!command::run("ls-files", &mut command, b"")?.ok("ls-files")?.is_empty())
        };
        Ok(if finds(&["--cached"])? {
            Untracked::Staged
        } else if finds(&["--others", "--exclude-standard", "--directory", "--no-empty-directory"])? {
            Untracked::Untracked
        } else if finds(&["--others", "--ignored", "--exclude-standard", "--directory"])? {
            Untracked::Ignored
        } else {
            Untracked::Nothing
        })
    }

    /// Returns the positions of that of the sorted `paths` whose plain name `pathspec` is, or of those below it; none where it
    /// is no plain name.
    fn named(&self, pathspec: &[u8], paths: &[RepoPath]) -> Range<usize> {
        if pathspec.is_empty() || pathspec[0] == b':' || pathspec.find_byteset(b"*?[\\").is_some() {
            return 0..0;
        }
        let name = [self.prefix().as_bytes(), without_here(pathspec)].concat();
        let name = name.strip_suffix(b"/").unwrap_or(&name);
        let start = paths.partition_point(|path| path.as_bytes() < name);
        if paths.get(start).is_some_and(|path| path.as_bytes() == name) {
            return start..start + 1;
        }
        // What is below a folder follows its name, after siblings such as `name-2`, and before those such as `name0`.
        let with = |end: u8| [name, &[end]].concat();
        let below = |end: &[u8]| paths.partition_point(|path| path.as_bytes() < end);
        below(&with(b'/'))..below(&with(b'/' + 1))
    }

    /// Returns a reading command that runs where the caller stands.
    fn standing_command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.git().read_command(arguments);
        if let (Some(top), Ok(prefix)) = (self.work_tree(), self.prefix().to_path()) {
            command.current_dir(top.join(prefix));
        }
        command
    }
}

/// An index of our own, made from a tree and gone when dropped.
///
/// What only reads (a hook above all) has it outside the repository, and leaves nothing in there, killed at whatever moment.
pub(crate) struct ScratchIndex<'a> {
    repository: &'a Repository,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl<'a> ScratchIndex<'a> {
    pub(crate) fn of_tree(repository: &'a Repository, tree: &ObjectId) -> Result<Self, GitError> {
        Self::of_tree_in(repository, tree, &std::env::temp_dir())
    }

    /// Makes one in `folder`, which is made where it is missing.
    pub(crate) fn of_tree_in(repository: &'a Repository, tree: &ObjectId, folder: &Path) -> Result<Self, GitError> {
        let failed = |source| GitError::Io { action: "make a temporary index in", path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let folder = tempfile::Builder::new().prefix("archive-tomb-index-").tempdir_in(folder).map_err(failed)?;
        let index = Self { repository, path: folder.path().join("index"), _folder: folder };
        let plain = ["core.splitIndex=false", "index.sparse=false", "core.fsync=none"];
        let mut command = repository.git().command(&plain, &["read-tree", &tree.to_string()]);
        command.env("GIT_INDEX_FILE", index.path());
        command::run("read-tree", &mut command, b"")?.ok("read-tree")?;
        Ok(index)
    }

    /// Makes changes.
    pub(crate) fn update(&self, updates: &[IndexUpdate]) -> Result<(), GitError> {
        let lines = index_info(updates, self.repository.object_format());
        let mut command = self.command(&["update-index", "-z", "--index-info"]);
        command::run("update-index", &mut command, &lines)?.ok("update-index").map(drop)
    }

    /// Writes the index as a tree and returns its id. Git syncs the trees that it makes, not the folders that name them.
    pub(crate) fn write_tree(&self) -> Result<ObjectId, GitError> {
        // A clone with a filter lacks blobs that stay as they are; whoever adds one has seen that it is here.
        let mut command = self.command(&["write-tree", "--missing-ok"]);
        let answer = command::run("write-tree", &mut command, b"")?.ok("write-tree")?;
        parse_id(answer.trim_end()).ok_or(GitError::UnexpectedAnswer { command: "write-tree" })
    }

    /// Returns a command that works on this index.
    fn command(&self, arguments: &[&str]) -> std::process::Command {
        // What serves the next look at a working tree is of no use here.
        let plain = ["core.fsync=all", "core.splitIndex=false", "core.untrackedCache=false", "core.fsmonitor=false"];
        let mut command = self.repository.git().command(&plain, arguments);
        command.env("GIT_INDEX_FILE", self.path());
        command
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self, pathspecs: &[BString]) -> Result<Vec<IndexEntry>, GitError> {
        let mut command = self.repository.standing_command(LIST_INDEX);
        command.env("GIT_INDEX_FILE", self.path());
        self.repository.list_index(command, pathspecs)
    }
}

/// Returns whether a pathspec takes away from the others.
pub(crate) fn excludes(pathspec: &[u8]) -> bool {
    let long = pathspec.strip_prefix(b":(").and_then(|magic| magic.split_once_str(")"));
    pathspec.starts_with(b":!")
        || pathspec.starts_with(b":^")
        || long.is_some_and(|(magic, _)| magic.split(|byte| *byte == b',').any(|word| word == b"exclude"))
}

/// Returns a path argument without the `./` that it begins with, as `find .` prints paths.
pub(crate) fn without_here(mut pathspec: &[u8]) -> &[u8] {
    while let Some(rest) = pathspec.strip_prefix(b"./") {
        pathspec = rest;
    }
    pathspec
}

/// Splits the positions of including pathspecs so that each part, with all excluding ones, fits a command line.
fn chunks(pathspecs: &[BString], including: &[usize], excluding: &[usize]) -> Vec<Vec<usize>> {
    let room = MAX_ARGUMENTS.saturating_sub(excluding.iter().map(|position| pathspecs[*position].len() + 1).sum());
    let mut chunks = vec![Vec::new()];
    let mut used = 0;
    for position in including {
        let length = pathspecs[*position].len() + 1;
        if used + length > room && used > 0 {
            chunks.push(Vec::new());
            used = 0;
        }
        used += length;
        chunks.last_mut().expect("there is always one").push(*position);
    }
    chunks
}

/// Returns bytes as arguments of a child.
pub(crate) fn arguments(pathspecs: &[BString]) -> Result<Vec<OsString>, GitError> {
    let convert = |bytes: &BString| -> Result<OsString, GitError> {
        if bytes.contains(&0) {
            return Err(RepoPath::try_new(bytes.to_vec()).expect_err("NUL is in no path").into());
        }
        super::repository::to_path(bytes).map(PathBuf::into_os_string)
    };
    pathspecs.iter().map(convert).collect()
}
