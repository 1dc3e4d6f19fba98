//! Where blobs are in a repository: the commits that bring them in, and all that leads to those.
//!
//! Nothing is fetched and nothing is written. What it costs is one look at each commit's difference from its parents, in
//! git itself: about a second for thirty thousand commits.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};

use super::index::{IndexEntry, LIST_INDEX, next_record};
use super::objects::forbid_fetching;
use super::repository::{parse_id, to_path};
use super::{GitError, ObjectKind, Repository, command};
use crate::id::ObjectId;
use crate::quote::unquote;

/// The most bytes of a file of git's own that are looked at.
const MAX_STATE: u64 = 1 << 20;

/// A commit that has a blob where one of its parents has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The commit.
    pub commit: ObjectId,
    /// Where it has the blob.
    pub path: BString,
    /// The blob.
    pub blob: ObjectId,
}

/// The commits of a repository that have certain blobs, themselves or in their past.
#[derive(Debug, Default)]
pub struct Occurrences {
    /// Those that brought them in, the earliest first.
    pub added: Vec<Added>,
    /// These, and all that descend from them.
    leading: HashSet<ObjectId>,
}

impl Occurrences {
    /// Returns whether a commit leads to one of the blobs.
    pub fn are_in(&self, commit: &ObjectId) -> bool {
        self.leading.contains(commit)
    }
}

/// Something that has a name here, and the object it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// A reference, an entry of a reflog such as `refs/stash@{0}`, or a file of a git directory.
    pub name: BString,
    /// The object, all tags peeled.
    pub id: ObjectId,
    /// What it is.
    pub kind: ObjectKind,
}

/// A working tree of a repository, or a bare repository itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkTree {
    /// What linked ones are called in the names of their references (`worktrees/<name>/HEAD`); `None` for the main one.
    pub name: Option<BString>,
    /// Its git directory.
    pub git_dir: PathBuf,
    /// Its top; `None` where it has none.
    pub top: Option<PathBuf>,
}

/// An entry of an index that stands for one of the blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Its path.
    pub path: BString,
    /// Whether the index only remembers it of a conflict that was resolved.
    pub resolved: bool,
}

impl Repository {
    /// Finds `blobs` in all that references, the `HEAD`s of working trees, reflogs and the commits `roots` lead to.
    ///
    /// Where a filter left out trees of that history, they are not fetched, and it fails.
    pub fn occurrences(&self, blobs: &[ObjectId], roots: &[ObjectId]) -> Result<Occurrences, GitError> {
        let mut walk = self.git().read_command(&[
            "rev-list",
            "--all",
            "--reflog",
            "--ignore-missing",
            "--topo-order",
            "--reverse",
            "--parents",
            "--stdin",
        ]);
        forbid_fetching(&mut walk);
        let mut lines = Vec::new();
        let listing = command::stream(
            "rev-list",
            &mut walk,
            |pipe| roots.iter().try_for_each(|root| writeln!(pipe, "{root}")),
            |pipe| {
                pipe.read_to_end(&mut lines).map(drop).map_err(|source| GitError::Pipe { command: "rev-list", source })
            },
        )?;
        listing.ok("rev-list")?;

        let added = self.added(blobs, &lines)?;
        let mut leading: HashSet<ObjectId> = added.iter().map(|added| added.commit).collect();
        for line in lines.lines() {
            // Parents come before their children.
            let mut ids = line.split(|byte| *byte == b' ').map(parse_id);
            let commit = ids.next().flatten().ok_or(GitError::UnexpectedAnswer { command: "rev-list" })?;
            if ids.flatten().any(|parent| leading.contains(&parent)) {
                leading.insert(commit);
            }
        }
        Ok(Occurrences { added, leading })
    }

    /// Returns which of the commits in `lines`, each with its parents, have one of `blobs` where a parent has not.
    fn added(&self, blobs: &[ObjectId], lines: &[u8]) -> Result<Vec<Added>, GitError> {
        const COMMAND: &str = "diff-tree";
        let wanted: Vec<String> = blobs.iter().map(|blob| format!("--find-object={blob}")).collect();
        let mut arguments = vec![
            COMMAND,
            "--stdin",
            "-r",
            "-m",
            "--root",
            "--raw",
            "--no-abbrev",
            "-z",
            "--no-renames",
            "--no-ext-diff",
        ];
        // Git would first fetch all that a filter left out. Without it, all differences are read here: half as fast.
        if !self.is_partial() {
            arguments.extend(wanted.iter().map(String::as_str));
        }
        let mut compare = self.git().read_command(&arguments);
        forbid_fetching(&mut compare);
        let mut found: Vec<Added> = Vec::new();
        let done = command::stream(
            COMMAND,
            &mut compare,
            |pipe| pipe.write_all(lines),
            |pipe| {
                let mut current = None;
                while let Some(record) = next_record(pipe, COMMAND)? {
                    let unexpected = GitError::UnexpectedAnswer { command: COMMAND };
                    let Some(facts) = record.strip_prefix(b":") else {
                        current = Some(parse_id(record.trim()).ok_or(unexpected)?);
                        continue;
                    };
                    let path = BString::from(next_record(pipe, COMMAND)?.unwrap_or_default());
                    let fields: Vec<&[u8]> = facts.split(|byte| *byte == b' ').collect();
                    let ([_, _, _, new, _], Some(commit)) = (&fields[..], current) else { return Err(unexpected) };
                    let blob = parse_id(new).ok_or(unexpected)?;
                    let here = Added { commit, path, blob };
                    // A merge is compared with each of its parents.
                    if blobs.contains(&blob) && !found.iter().rev().take(8).any(|added| *added == here) {
                        found.push(here);
                    }
                }
                Ok(())
            },
        )?;
        done.ok(COMMAND)?;
        Ok(found)
    }

    /// Returns whether one of `blobs` is anywhere in a tree.
    pub fn tree_has(&self, tree: &ObjectId, blobs: &[ObjectId]) -> Result<bool, GitError> {
        const COMMAND: &str = "ls-tree";
        let mut command = self.git().read_command(&[COMMAND, "-r", "-z", "--full-tree", &tree.to_string()]);
        forbid_fetching(&mut command);
        let mut has = false;
        let output = command::listen(COMMAND, &mut command, |pipe| {
            while let Some(record) = next_record(pipe, COMMAND)? {
                let facts = record.split(|byte| *byte == b'\t').next().unwrap_or_default();
                let id = facts.split(|byte| *byte == b' ').nth(2).and_then(parse_id);
                has |= id.is_some_and(|id| blobs.contains(&id));
            }
            Ok(())
        })?;
        output.ok(COMMAND)?;
        Ok(has)
    }

    /// Returns all references and what they stand for, tags peeled; not those that are only other names.
    pub fn named_references(&self) -> Result<Vec<Named>, GitError> {
        let format = "--format=%(objectname)%00%(symref)%00%(refname)";
        let listing = command::run("for-each-ref", &mut self.git().read_command(&["for-each-ref", format]), b"")?;
        let mut names = Vec::new();
        for line in listing.ok("for-each-ref")?.lines() {
            let fields: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            let [id, symbolic, name] = fields[..] else {
                return Err(GitError::UnexpectedAnswer { command: "for-each-ref" });
            };
            if symbolic.is_empty() {
                names.push((BString::from(name), BString::from(id)));
            }
        }
        self.peeled(names)
    }

    /// Returns every entry of every reflog.
    pub fn reflog_entries(&self) -> Result<Vec<Named>, GitError> {
        let arguments = ["log", "--walk-reflogs", "--all", "--no-show-signature", "--no-notes", "--format=%H%x00%gD"];
        let mut command = self.git().command(&["log.showSignature=false"], &arguments);
        forbid_fetching(&mut command);
        let mut entries = Vec::new();
        let output = command::run("log", command.env("GIT_OPTIONAL_LOCKS", "0"), b"")?.ok("log")?;
        for line in output.lines() {
            let (id, name) = line.split_once_str("\0").ok_or(GitError::UnexpectedAnswer { command: "log" })?;
            let id = parse_id(id).ok_or(GitError::UnexpectedAnswer { command: "log" })?;
            entries.push(Named { name: name.into(), id, kind: ObjectKind::Commit });
        }
        Ok(entries)
    }

    /// Returns the working trees: the main one, or the bare repository, and the linked ones.
    pub fn work_trees(&self) -> Result<Vec<WorkTree>, GitError> {
        let common = self.common_dir();
        let main = WorkTree { name: None, git_dir: common.to_owned(), top: self.main_work_tree()? };
        let mut found = vec![main];
        let folder = common.join("worktrees");
        let failed = |source| GitError::Io { action: "list", path: folder.clone(), source };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let git_dir = entry.path();
            let file = read_state(&git_dir.join("gitdir"));
            let top = (!file.is_empty()).then(|| to_path(file.trim_end())).transpose()?;
            // Since 2.48 the path may be relative.
            let top = top.and_then(|file| git_dir.join(file).parent().map(Path::to_owned));
            let name = <[u8]>::from_os_str(&entry.file_name()).unwrap_or_default().into();
            found.push(WorkTree { name: Some(name), git_dir, top: top.filter(|top| top.is_dir()) });
        }
        found[1..].sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn main_work_tree(&self) -> Result<Option<PathBuf>, GitError> {
        if self.git_dir() == self.common_dir() {
            return Ok(self.work_tree().map(Path::to_owned));
        }
        let mut command = self.git().read_command(&["worktree", "list", "--porcelain", "-z"]);
        let output = command::run("worktree", &mut command, b"")?.ok("worktree")?;
        // The main one stands first, and ends with an empty line.
        let main: Vec<&[u8]> = output.split(|byte| *byte == 0).take_while(|line| !line.is_empty()).collect();
        match main.first().and_then(|line| line.strip_prefix(b"worktree ")) {
            Some(top) if !main.contains(&&b"bare"[..]) => to_path(top).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns what the files of a working tree's git directory name that tell of unfinished work and of earlier tips:
    /// `HEAD` where it is no branch, `MERGE_HEAD`, `ORIG_HEAD`, the state of a rebase and the like.
    pub fn state_of(&self, work_tree: &WorkTree) -> Result<Vec<Named>, GitError> {
        let mut names = Vec::new();
        let mut note = |name: &BStr, content: &[u8]| {
            let length = self.object_format().id_length() * 2;
            let words = content.split(|byte| !byte.is_ascii_alphanumeric());
            let ids = words.filter(|word| word.len() == length).filter_map(parse_id);
            names.extend(ids.map(|id| (name.to_owned(), BString::from(id.to_string()))));
        };
        for entry in files_in(&work_tree.git_dir) {
            let name = <[u8]>::from_os_str(&entry).unwrap_or_default().as_bstr();
            let path = work_tree.git_dir.join(&entry);
            if matches!(name.as_bytes(), b"rebase-merge" | b"rebase-apply" | b"sequencer") {
                for file in files_in(&path) {
                    note(name, &read_state(&path.join(file)));
                }
            } else if name.ends_with(b"HEAD") || name == "AUTO_MERGE" || name.starts_with(b"BISECT_") {
                note(name, &read_state(&path));
            }
        }
        // Where references are no files, these are none either.
        for name in ["HEAD", "ORIG_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD"] {
            if self.is_reftable() {
                names.push((name.into(), scoped(work_tree, name)));
            }
        }
        names.sort();
        names.dedup();
        self.peeled(names)
    }

    fn is_reftable(&self) -> bool {
        self.common_dir().join("reftable").is_dir()
    }

    /// Returns what each of the objects called by the second of a pair is, all tags peeled; not those that are not here.
    fn peeled(&self, names: Vec<(BString, BString)>) -> Result<Vec<Named>, GitError> {
        const COMMAND: &str = "cat-file";
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.git().read_command(&[COMMAND, "--batch-check", "--buffer"]);
        forbid_fetching(&mut command);
        let mut answers = Vec::new();
        let output = command::stream(
            COMMAND,
            &mut command,
            |pipe| names.iter().try_for_each(|(_, called)| writeln!(pipe, "{called}^{{}}")),
            |pipe| {
                pipe.read_to_end(&mut answers).map(drop).map_err(|source| GitError::Pipe { command: COMMAND, source })
            },
        )?;
        output.ok(COMMAND)?;
        let mut lines = answers.lines();
        let mut found = Vec::new();
        for (name, _) in names {
            let line = lines.next().ok_or(GitError::UnexpectedAnswer { command: COMMAND })?;
            let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            if let [id, kind, _] = fields[..]
                && let (Some(id), Some(kind)) = (parse_id(id), ObjectKind::parse(kind))
            {
                found.push(Named { name, id, kind });
            }
        }
        Ok(found)
    }

    /// Returns what `pathspecs` (from the top) match in a working tree's index, as [`Repository::index_entries`] does.
    pub fn entries_in(&self, work_tree: &WorkTree, pathspecs: &[BString]) -> Result<Vec<IndexEntry>, GitError> {
        let index = self.index_of(work_tree);
        if !index.exists() {
            return Ok(Vec::new());
        }
        let mut command = self.git().read_command(LIST_INDEX);
        command.env("GIT_INDEX_FILE", &index).env("GIT_DIR", &work_tree.git_dir);
        self.list_index(command, pathspecs)
    }

    fn index_of(&self, work_tree: &WorkTree) -> PathBuf {
        let own = work_tree.git_dir == self.git_dir();
        if own { self.index_path().to_owned() } else { work_tree.git_dir.join("index") }
    }

    /// Returns the entries of a working tree's index that stand for one of `blobs`.
    pub fn staged_in(&self, work_tree: &WorkTree, blobs: &[ObjectId]) -> Result<Vec<Staged>, GitError> {
        const COMMAND: &str = "ls-files";
        let index = self.index_of(work_tree);
        let mut found = Vec::new();
        if !index.exists() {
            return Ok(found);
        }
        for (option, resolved) in [("--stage", false), ("--resolve-undo", true)] {
            let mut command = self.git().read_command(&[COMMAND, "-z", "--full-name", option]);
            command.env("GIT_INDEX_FILE", &index).env("GIT_DIR", &work_tree.git_dir);
            if self.work_tree().is_none() {
                // Git wants a working tree before it lists an index, and never looks at it.
                command.env("GIT_WORK_TREE", self.git_dir());
            }
            let output = command::listen(COMMAND, &mut command, |pipe| {
                while let Some(record) = next_record(pipe, COMMAND)? {
                    let unexpected = GitError::UnexpectedAnswer { command: COMMAND };
                    let (facts, path) = record.split_once_str("\t").ok_or(unexpected)?;
                    let id = facts.split(|byte| *byte == b' ').nth(1).and_then(parse_id);
                    if id.is_some_and(|id| blobs.contains(&id)) {
                        found.push(Staged { path: path.into(), resolved });
                    }
                }
                Ok(())
            })?;
            output.ok(COMMAND)?;
        }
        // A conflict has several entries for a path.
        found.dedup();
        Ok(found)
    }

    /// Returns the object folders of other repositories that this one borrows from.
    pub fn alternates(&self) -> Result<Vec<PathBuf>, GitError> {
        let mut command = self.git().read_command(&["count-objects", "-v"]);
        let output = command::run("count-objects", &mut command, b"")?.ok("count-objects")?;
        let folders = output.lines().filter_map(|line| line.strip_prefix(b"alternate: "));
        let unquoted = folders.filter_map(|folder| Some(unquote(folder.to_str().ok()?)?.into_owned()));
        unquoted.map(|folder| to_path(folder.as_slice())).collect()
    }

    /// Returns which of `blobs` an object folder has, with all that it borrows from itself.
    pub fn folder_has(&self, folder: &Path, blobs: &[ObjectId]) -> Result<Vec<ObjectId>, GitError> {
        let mut command = self.git().read_command(&["cat-file", "--batch-check"]);
        forbid_fetching(&mut command);
        command.env("GIT_OBJECT_DIRECTORY", folder).env("GIT_ALTERNATE_OBJECT_DIRECTORIES", OsString::new());
        let input: Vec<String> = blobs.iter().map(ToString::to_string).collect();
        let output = command::run("cat-file", &mut command, (input.join("\n") + "\n").as_bytes())?.ok("cat-file")?;
        let here = output.lines().filter(|line| !line.ends_with(b" missing"));
        Ok(here.filter_map(|line| parse_id(line.split(|byte| *byte == b' ').next()?)).collect())
    }

    /// Returns whether an object lies in a file of its own, and not in a pack.
    pub fn is_loose(&self, id: &ObjectId) -> bool {
        let name = id.to_string();
        self.objects().folder().join(&name[..2]).join(&name[2..]).exists()
    }
}

/// Returns what git calls a reference of a working tree's own from any of them.
fn scoped(work_tree: &WorkTree, name: &str) -> BString {
    match &work_tree.name {
        None => format!("main-worktree/{name}").into(),
        Some(tree) => [b"worktrees/", tree.as_slice(), b"/", name.as_bytes()].concat().into(),
    }
}

/// Returns the names of what is in a folder; none if it cannot be listed.
fn files_in(folder: &Path) -> Vec<OsString> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    names
}

/// Returns what a small file of git's holds; nothing if it cannot be read.
fn read_state(path: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    if path.is_file()
        && let Ok(file) = std::fs::File::open(path)
        && std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_STATE), &mut content).is_err()
    {
        content.clear();
    }
    content
}
