//! Reading the index and comparing it, with a commit and with the working tree. Git does it, so every kind of index
//! (sparse, split, watched by a monitor) is read as git means it.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use std::process::Command;

use bstr::{BString, ByteSlice};

use super::repository::parse_id;
use super::tree::parse_mode;
use super::{Change, FileKind, GitConfig, GitError, Repository, Root, TreeEntry, command};
use crate::id::ObjectId;
use crate::item::{FileMode, RepoPath};
use crate::quote;

/// The longest target of a symbolic link that is compared, in bytes; systems allow far less.
const MAX_LINK_LENGTH: u64 = 1024 * 1024;

/// What changes the meaning of every pathspec. It is meant for the user's own, never for ours.
const PATHSPEC_VARIABLES: [&str; 4] =
    ["GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"];

/// Lists an index, with ids, flags and full paths.
pub(crate) const LIST_INDEX: &[&str] = &["ls-files", "-s", "-z", "-v", "--full-name"];

/// The versions of a path in conflict: the common ancestor's, ours and theirs, as far as there are any.
pub type Stages = [Option<TreeEntry>; 3];

/// One entry of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Where.
    pub path: RepoPath,
    /// What.
    pub entry: TreeEntry,
    /// 0, or in a conflict: 1 the common ancestor's, 2 ours, 3 theirs.
    pub stage: u8,
    /// Whether sparse checkout leaves it out of the working tree.
    pub skip_worktree: bool,
    /// Whether git was told not to look at the file (`update-index --assume-unchanged`).
    pub assume_unchanged: bool,
}

/// What the index has other than a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexChanges {
    /// The differences, in the order of the bytes of the paths.
    pub changes: Vec<Change>,
    /// Paths in conflict, in the same order; they are not among the differences.
    pub unmerged: Vec<RepoPath>,
}

/// How a file of the working tree compares with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkState {
    /// It is that object: adding it would change nothing, or its bytes are the blob's.
    Unmodified,
    /// It is something else, has another mode, or cannot be reached without following a link.
    Modified,
    /// Nothing is there.
    Missing,
}

/// What the file system can be trusted to tell, by git's configuration.
struct WorkFacts {
    /// Whether a file is executable.
    modes: bool,
    /// Whether something is a symbolic link; where not, git writes their targets into files.
    links: bool,
}

impl WorkFacts {
    fn of(config: &GitConfig) -> Self {
        let is_on = |key| config.get(key).and_then(super::ConfigEntry::as_bool).unwrap_or(true);
        Self { modes: is_on("core.filemode"), links: is_on("core.symlinks") }
    }
}

impl Repository {
    /// Returns the entries of the index that `pathspecs` (relative to the top) match; all if there are none. Sorted by
    /// the bytes of the paths, then the stage.
    pub fn index_entries(&self, pathspecs: &[BString]) -> Result<Vec<IndexEntry>, GitError> {
        self.entries_of_index(self.index_path(), pathspecs)
    }

    /// Returns the versions of all paths in conflict, in the order of the bytes of the paths.
    pub fn conflicts(&self) -> Result<BTreeMap<RepoPath, Stages>, GitError> {
        let command = self.git().read_command(&[LIST_INDEX, &["--unmerged"]].concat());
        let mut conflicts: BTreeMap<RepoPath, Stages> = BTreeMap::new();
        for entry in self.list_index(command, &[])? {
            if let Some(version) = usize::from(entry.stage).checked_sub(1) {
                conflicts.entry(entry.path).or_default()[version] = Some(entry.entry);
            }
        }
        Ok(conflicts)
    }

    /// Returns the entries of another index file, as [`Repository::index_entries`] does.
    pub fn entries_of_index(&self, index: &Path, pathspecs: &[BString]) -> Result<Vec<IndexEntry>, GitError> {
        let mut command = self.git().read_command(LIST_INDEX);
        command.env("GIT_INDEX_FILE", index);
        for name in PATHSPEC_VARIABLES {
            command.env_remove(name);
        }
        self.list_index(command, pathspecs)
    }

    /// Returns what is tracked, as [`Repository::index_entries`] does; a bare repository has no index, and there it is
    /// what the commit at `HEAD` holds.
    pub fn tracked_entries(&self, pathspecs: &[BString]) -> Result<Vec<IndexEntry>, GitError> {
        if !self.is_bare() {
            return self.index_entries(pathspecs);
        }
        let Some(head) = self.head()?.commit() else { return Ok(Vec::new()) };
        let everything = [BString::from(":(top)")];
        let pathspecs = if pathspecs.is_empty() { &everything } else { pathspecs };
        let entries = self.expand(&head, pathspecs)?.entries.into_iter();
        let entry = |(path, entry)| IndexEntry { path, entry, stage: 0, skip_worktree: false, assume_unchanged: false };
        Ok(entries.map(entry).collect())
    }

    /// Runs a `git ls-files` that lists as [`LIST_INDEX`] does.
    pub(crate) fn list_index(&self, mut command: Command, pathspecs: &[BString]) -> Result<Vec<IndexEntry>, GitError> {
        if self.work_tree().is_none() {
            // Git wants a working tree before it lists an index, and never looks at it.
            command.env("GIT_WORK_TREE", self.git_dir());
        }
        command.arg("--").args(super::pathspec::arguments(pathspecs)?);
        let mut entries = Vec::new();
        let output = command::listen("ls-files", &mut command, |pipe| {
            while let Some(record) = next_record(pipe, "ls-files")? {
                entries.push(parse_listed(&record)?);
            }
            Ok(())
        })?;
        output.ok("ls-files")?;
        Ok(entries)
    }

    /// Returns what the index has other than `tree` (a tree or a commit); `None` is the empty tree, for a branch
    /// without commits. Only the index is looked at, never the working tree.
    pub fn index_changes(&self, tree: Option<&ObjectId>) -> Result<IndexChanges, GitError> {
        let tree = tree.copied().unwrap_or_else(|| self.object_format().empty_tree()).to_string();
        let arguments = [
            "diff-index",
            "--cached",
            // A sparse index has folders for entries, which are to be looked into.
            "-r",
            "--raw",
            "-z",
            "--no-abbrev",
            "--no-renames",
            "--no-ext-diff",
            "--ignore-submodules=none",
            &tree,
            "--",
        ];
        let mut command = self.git().read_command(&arguments);
        let mut found = IndexChanges::default();
        let output = command::listen("diff-index", &mut command, |pipe| {
            while let Some(facts) = next_record(pipe, "diff-index")? {
                let path = next_record(pipe, "diff-index")?.ok_or(unexpected("diff-index"))?;
                found.add(&facts, RepoPath::try_new(path)?)?;
            }
            Ok(())
        })?;
        output.ok("diff-index")?;
        Ok(found)
    }

    /// Returns how the files at `expected` compare with those entries, in order.
    ///
    /// Every file is read and hashed through git's clean conversion, whatever the index believes of it: times and
    /// sizes can deceive, and a file that will be replaced must be known exactly. Where the attributes name a `filter`,
    /// that filter runs, so ask for attributes first.
    pub fn work_states(&self, expected: &[(RepoPath, TreeEntry)]) -> Result<Vec<WorkState>, GitError> {
        let root = Root::open(self.require_work_tree()?)?;
        let trusted = WorkFacts::of(&self.config()?);
        let mut states = Vec::with_capacity(expected.len());
        let mut to_hash = Vec::new();
        for (index, (path, entry)) in expected.iter().enumerate() {
            let kind = match root.kind(path) {
                Err(GitError::BlockedPath { .. }) => Some(FileKind::Other),
                kind => kind?,
            };
            states.push(match (kind, entry.file_mode()) {
                (None, _) => WorkState::Missing,
                (Some(FileKind::Symlink), Some(FileMode::Symlink)) => {
                    let target = root.read(path, MAX_LINK_LENGTH)?.unwrap_or_default();
                    if self.objects().hash_blob(&target) == entry.id {
                        WorkState::Unmodified
                    } else {
                        WorkState::Modified
                    }
                }
                (Some(FileKind::File { executable, .. }), Some(mode)) => {
                    let fits = match mode {
                        FileMode::Regular => !trusted.modes || !executable,
                        FileMode::Executable => !trusted.modes || executable,
                        // Where the system has no links, git writes their targets into files.
                        FileMode::Symlink => !trusted.links,
                    };
                    if fits {
                        to_hash.push(index);
                    }
                    // Until its hash says otherwise.
                    WorkState::Modified
                }
                _ => WorkState::Modified,
            });
        }
        // Bytes that are the blob's own count too: git leaves them alone where a conversion would not (a CRLF blob
        // under `core.autocrlf`), and nothing is lost by replacing them.
        for filters in [&[][..], &["--no-filters"]] {
            let paths: Vec<&RepoPath> = to_hash.iter().map(|index| &expected[*index].0).collect();
            let ids = self.hash_files(&paths, filters)?;
            let mut differing = Vec::new();
            for (index, id) in to_hash.into_iter().zip(ids) {
                if id == expected[index].1.id {
                    states[index] = WorkState::Unmodified;
                } else {
                    differing.push(index);
                }
            }
            to_hash = differing;
        }
        Ok(states)
    }

    /// Writes the working file at `path`, whose entry in the index has mode `staged`, as a blob, and returns the entry
    /// that adding it would make; `None` if nothing is there that git tracks as a file. Durable on return.
    pub fn write_work_file(&self, path: &RepoPath, staged: FileMode) -> Result<Option<TreeEntry>, GitError> {
        self.add_work_file(path, staged, true)
    }

    /// Returns what [`write_work_file`](Self::write_work_file) would, and writes nothing.
    pub fn hash_work_file(&self, path: &RepoPath, staged: FileMode) -> Result<Option<TreeEntry>, GitError> {
        self.add_work_file(path, staged, false)
    }

    fn add_work_file(&self, path: &RepoPath, staged: FileMode, write: bool) -> Result<Option<TreeEntry>, GitError> {
        let root = Root::open(self.require_work_tree()?)?;
        let kind = match root.kind(path) {
            Err(GitError::BlockedPath { .. }) => None,
            kind => kind?,
        };
        let Some(found) = kind.as_ref().and_then(FileKind::mode) else { return Ok(None) };
        if found == FileMode::Symlink {
            let target = root.read(path, MAX_LINK_LENGTH)?.unwrap_or_default();
            let id = if write {
                let ids = self.objects().write_blobs(&[&target])?;
                ids.first().copied().ok_or(unexpected("fast-import"))?
            } else {
                self.objects().hash_blob(&target)
            };
            return Ok(Some(TreeEntry { mode: found.bits(), id }));
        }
        let trusted = WorkFacts::of(&self.config()?);
        let mode = match staged {
            FileMode::Symlink if !trusted.links => staged,
            FileMode::Regular | FileMode::Executable if !trusted.modes => staged,
            _ => found,
        };
        let configuration = ["core.bigFileThreshold=8m", "core.safecrlf=false", "core.fsync=all"];
        let arguments = [&["hash-object", "--stdin-paths"][..], if write { &["-w"] } else { &[] }].concat();
        let mut command = self.git().command(&configuration, &arguments);
        let line = [quote::quote(path.as_bytes()).as_bytes(), b"\n"].concat();
        let answer = command::run("hash-object", &mut command, &line)?.ok("hash-object")?;
        let id = parse_id(answer.trim_end()).ok_or(unexpected("hash-object"))?;
        Ok(Some(TreeEntry { mode: mode.bits(), id }))
    }

    /// Returns the bytes that adding the regular working file at `path` would make a blob of: those after git's conversion of line
    /// ends, encodings and filters. Nothing is written here; what is larger than `limit` bytes is an error.
    pub fn converted_work_file(&self, path: &RepoPath, limit: u64) -> Result<Vec<u8>, GitError> {
        let failed = |source| GitError::Io { action: "make a temporary folder in", path: std::env::temp_dir(), source };
        // Git converts only what it makes an object of: here one that goes with the folder.
        let objects = tempfile::Builder::new().prefix("archive-tomb-objects-").tempdir().map_err(failed)?;
        let configuration = ["core.bigFileThreshold=8m", "core.safecrlf=false", "core.fsync=none"];
        let ask = |command: &'static str, arguments: &[&str], input: &[u8]| {
            let mut child = self.git().command(&configuration, &[&[command], arguments].concat());
            child.env("GIT_OBJECT_DIRECTORY", objects.path());
            command::run(command, &mut child, input)?.ok(command)
        };
        let line = [quote::quote(path.as_bytes()).as_bytes(), b"\n"].concat();
        let answer = ask("hash-object", &["-w", "--stdin-paths"], &line)?;
        let id = parse_id(answer.trim_end()).ok_or(unexpected("hash-object"))?;
        let size = ask("cat-file", &["-s", &id.to_string()], b"")?;
        let size = size.trim_end().to_str().ok().and_then(|size| size.parse().ok()).ok_or(unexpected("cat-file"))?;
        if size > limit {
            return Err(GitError::TooLarge { id, size, limit });
        }
        ask("cat-file", &["blob", &id.to_string()], b"")
    }

    /// Returns the ids the files would have as blobs.
    fn hash_files(&self, paths: &[&RepoPath], options: &[&str]) -> Result<Vec<ObjectId>, GitError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let arguments = [&["hash-object"], options, &["--stdin-paths"]].concat();
        // What it streams it compresses, even if nothing is written.
        let configuration = ["core.bigFileThreshold=8m", "core.safecrlf=false", "pack.compression=0"];
        let mut command = self.git().command(&configuration, &arguments);
        // The option knows no `-z`, but takes names that are quoted as git quotes them.
        let lines: Vec<u8> =
            paths.iter().flat_map(|path| format!("{}\n", quote::quote(path.as_bytes())).into_bytes()).collect();
        let answer = command::run("hash-object", &mut command, &lines)?.ok("hash-object")?;
        let ids: Option<Vec<ObjectId>> = ByteSlice::lines(&answer[..]).map(parse_id).collect();
        ids.filter(|ids| ids.len() == paths.len()).ok_or(unexpected("hash-object"))
    }
}

impl IndexChanges {
    /// Adds one difference: `:100644 100644 <id> <id> M`.
    fn add(&mut self, facts: &[u8], path: RepoPath) -> Result<(), GitError> {
        let fields: Vec<&[u8]> = facts.strip_prefix(b":").unwrap_or_default().split(|byte| *byte == b' ').collect();
        let [old_mode, new_mode, old_id, new_id, status] = fields[..] else { return Err(unexpected("diff-index")) };
        if status == b"U" {
            // A conflict may also be listed as a difference of one of its sides.
            self.changes.retain(|change| change.path != path);
            self.unmerged.push(path);
            return Ok(());
        }
        let side = |mode, id| {
            let entry = TreeEntry { mode: parse_mode(mode)?, id: parse_id(id)? };
            Some(Some(entry).filter(|entry| entry.mode != 0))
        };
        let (Some(old), Some(new)) = (side(old_mode, old_id), side(new_mode, new_id)) else {
            return Err(unexpected("diff-index"));
        };
        if self.unmerged.last() != Some(&path) {
            self.changes.push(Change { path, old, new });
        }
        Ok(())
    }
}

fn unexpected(command: &'static str) -> GitError {
    GitError::UnexpectedAnswer { command }
}

/// Reads up to the next NUL; `None` at the end. A record is at most a path and a few facts.
pub(crate) fn next_record(pipe: &mut dyn BufRead, command: &'static str) -> Result<Option<Vec<u8>>, GitError> {
    let mut record = Vec::new();
    let mut limited = std::io::Read::take(pipe, 64 * 1024);
    limited.read_until(0, &mut record).map_err(|source| GitError::Pipe { command, source })?;
    match record.pop() {
        None => Ok(None),
        Some(0) => Ok(Some(record)),
        Some(_) => Err(unexpected(command)),
    }
}

/// Parses `H 100644 <id> 0<TAB>path`.
fn parse_listed(record: &[u8]) -> Result<IndexEntry, GitError> {
    let (facts, path) = record.split_once_str("\t").ok_or(unexpected("ls-files"))?;
    let fields: Vec<&[u8]> = facts.split(|byte| *byte == b' ').collect();
    let ([[tag], mode, id, [stage @ b'0'..=b'3']], path) = (&fields[..], RepoPath::try_new(path)?) else {
        return Err(unexpected("ls-files"));
    };
    let (Some(mode), Some(id)) = (parse_mode(mode), parse_id(id)) else { return Err(unexpected("ls-files")) };
    Ok(IndexEntry {
        path,
        entry: TreeEntry { mode, id },
        stage: stage - b'0',
        skip_worktree: tag.eq_ignore_ascii_case(&b'S'),
        assume_unchanged: tag.is_ascii_lowercase(),
    })
}
