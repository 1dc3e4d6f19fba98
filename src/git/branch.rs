//! A commit on a new branch, made past working tree, index and `HEAD`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bstr::{BStr, BString, ByteSlice};

use super::pathspec::ScratchIndex;
use super::repository::{parse_id, to_path};
use super::{ConfigEntry, GitError, IndexUpdate, Repository, command};
use crate::id::{ObjectId, ParseIdError, serialize_as_text};
use crate::quote;

/// Where references to branches are.
const BRANCHES: &str = "refs/heads/";

/// A name that git takes for a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchName(BString);

impl BranchName {
    /// Returns the full name, such as `refs/heads/main`.
    pub fn reference(&self) -> &BStr {
        self.0.as_bstr()
    }

    /// Returns the name as people use it, such as `main`.
    pub fn short(&self) -> &BStr {
        self.0[BRANCHES.len()..].as_bstr()
    }
}

impl fmt::Display for BranchName {
    /// Writes the short name, quoted as git quotes paths, safe for a terminal.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&quote::quote(self.short()))
    }
}

impl FromStr for BranchName {
    type Err = ParseIdError;

    /// Parses the quoted form that [`fmt::Display`] writes. Whether git takes it for a name is not asked again.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let short = quote::unquote(text).filter(|short| !short.is_empty() && !short.contains(&0));
        let short = short.ok_or_else(|| ParseIdError::new("the name of a branch, quoted as git quotes it", text))?;
        Ok(Self([BRANCHES.as_bytes(), &short].concat().into()))
    }
}

serialize_as_text!(BranchName);

impl Repository {
    /// Returns `name` as the name of a branch (git's short forms, such as `@{-1}`, too); `None` if it can be none.
    pub fn branch_name(&self, name: &BStr) -> Result<Option<BranchName>, GitError> {
        if name.contains(&0) {
            return Ok(None);
        }
        let mut command = self.git().read_command(&["check-ref-format", "--branch"]);
        let output = command::run("check-ref-format", command.arg(to_path(name)?), b"")?;
        let short = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
        let named = || BranchName([BRANCHES.as_bytes(), short].concat().into());
        Ok((output.success && !short.is_empty()).then(named))
    }

    /// Returns the reference that keeps a branch `name` from being made: that branch, or one whose name is a folder of the
    /// other's.
    pub fn reference_in_the_way(&self, name: &BranchName) -> Result<Option<BString>, GitError> {
        let wanted = name.reference().as_bytes();
        let folders = wanted.char_indices().filter(|(_, _, character)| *character == '/').map(|(start, ..)| start);
        let above = folders.filter(|end| *end >= BRANCHES.len()).map(|end| &wanted[..end]);
        let mut command = self.git().read_command(&["for-each-ref", "--format=%(refname)", "--"]);
        for pattern in above.chain([wanted]) {
            command.arg(to_path(pattern)?);
        }
        let listing = command::run("for-each-ref", &mut command, b"")?.ok("for-each-ref")?;
        let is_within =
            |inner: &[u8], outer: &[u8]| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with(b"/"));
        let blocks = |found: &&[u8]| *found == wanted || is_within(found, wanted) || is_within(wanted, found);
        Ok(listing.lines().find(blocks).map(BString::from))
    }

    /// Returns the working tree in which branch `name` is checked out. It may be so before it has a commit.
    pub fn checked_out_at(&self, name: &BranchName) -> Result<Option<PathBuf>, GitError> {
        let mut command = self.git().read_command(&["worktree", "list", "--porcelain", "-z"]);
        let listing = command::run("worktree", &mut command, b"")?.ok("worktree")?;
        let mut place = None;
        for field in listing.split(|byte| *byte == 0) {
            if let Some(path) = field.strip_prefix(b"worktree ") {
                place = Some(path);
            } else if field.strip_prefix(b"branch ") == Some(name.reference().as_bytes()) {
                return place.map(to_path).transpose();
            }
        }
        Ok(None)
    }

    /// Returns a tree that is `tree` but for `updates`, durably, as far as their blobs are. Git makes it, on an index of its
    /// own in the folder `scratch`.
    pub fn changed_tree(&self, tree: &ObjectId, updates: &[IndexUpdate], scratch: &Path) -> Result<ObjectId, GitError> {
        if updates.is_empty() {
            return Ok(*tree);
        }
        let index = ScratchIndex::of_tree_in(self, tree, scratch)?;
        index.update(updates)?;
        index.write_tree()
    }

    /// Makes a commit of `tree` on top of `parent`, durably, as `git commit` would: author, committer and encoding are those
    /// of git's configuration and environment, and `commit.gpgSign` says whether it is signed. No hook is run.
    pub fn commit_tree(&self, tree: &ObjectId, parent: &ObjectId, message: &[u8]) -> Result<ObjectId, GitError> {
        let (tree, parent) = (tree.to_string(), parent.to_string());
        let mut arguments = vec!["commit-tree", &tree, "-p", &parent, "-F", "-"];
        // `git commit-tree` leaves that setting to its callers. One that says neither yes nor no is rather obeyed.
        let config = self.config()?;
        if config.get("commit.gpgSign").is_some_and(|sign| ConfigEntry::as_bool(sign) != Some(false)) {
            arguments.push("-S");
        }
        let mut command = self.git().command(&["core.fsync=all"], &arguments);
        let answer = command::run("commit-tree", &mut command, message)?.ok("commit-tree")?;
        let commit = parse_id(answer.trim_end()).ok_or(GitError::UnexpectedAnswer { command: "commit-tree" })?;
        self.objects().sync_folders(&[commit])?;
        Ok(commit)
    }

    /// Makes the branch `name` with `commit`, durably, with `reason` in its reflog; returns whether it is there with just
    /// that commit. Where something else has the name, or is in its way, nothing happens.
    pub fn create_branch(&self, name: &BranchName, commit: &ObjectId, reason: &str) -> Result<bool, GitError> {
        let short = name.reference().to_str_lossy();
        let is_made = || -> Result<bool, GitError> {
            let found = self.references(&short)?;
            Ok(found.iter().any(|found| found.name == name.reference() && found.id == *commit))
        };
        if is_made()? {
            return Ok(true);
        }
        let input = [b"create ", name.reference().as_bytes(), b"\0", commit.to_string().as_bytes(), b"\0"].concat();
        let mut command = self.git().command(&["core.fsync=all"], &["update-ref", "--stdin", "-z", "-m", reason]);
        // An interruption at the terminal reaches every program there, and is not git's to answer half-way.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let output = command::run("update-ref", &mut command, &input)?;
        if !output.success {
            // Somebody else may have been faster.
            return match (is_made()?, self.reference_in_the_way(name)?) {
                (true, _) => Ok(true),
                (false, Some(_)) => Ok(false),
                (false, None) => output.ok("update-ref").map(|_| false),
            };
        }
        let file = to_path(name.reference()).map(|path| self.common_dir().join(path))?;
        let folder = crate::fs::parent_of(&file);
        // Other kinds of references than files have none.
        if folder.is_dir() {
            crate::fs::sync_dir(folder).map_err(|source| GitError::Io {
                action: "sync",
                path: folder.into(),
                source,
            })?;
        }
        Ok(true)
    }
}
