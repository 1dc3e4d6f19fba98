//! What git was doing when it stopped in a conflict, which commits the sides are, and git's own merge of a file.

use std::collections::BTreeMap;
use std::path::Path;

use bstr::{BString, ByteSlice};

use super::index::next_record;
use super::repository::parse_id;
use super::{ConfigEntry, GitError, IndexUpdate, Repository, Stages, TreeEntry, command};
use crate::id::ObjectId;
use crate::item::RepoPath;

/// How `git merge-file` ends when it did not merge: beyond this many conflicts it does not count.
const MERGE_FILE_FAILED: i32 = 128;

/// How many files git's merges compare with each other to find renames, unless `merge.renameLimit` says otherwise.
const RENAME_LIMIT: i64 = 7000;

/// What git was stopped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnfinishedKind {
    /// `git merge`; the commit to come has both sides as parents.
    Merge,
    /// `git rebase`; `merge` is set where it makes a merge anew.
    Rebase {
        /// Whether the commit to come has both sides as parents.
        merge: bool,
    },
    /// `git am`.
    Apply,
    /// `git cherry-pick`.
    CherryPick,
    /// `git revert`.
    Revert,
    /// Something else that leaves conflicts: `git stash pop`, `git merge --squash`, `git checkout -m`.
    Other,
}

/// A merge of any kind that waits for its conflicts to be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// What it is.
    pub kind: UnfinishedKind,
    /// `HEAD`: what conflicts call ours; `None` on a branch without commits.
    pub ours: Option<ObjectId>,
    /// What conflicts call theirs, as far as git tells.
    pub theirs: Option<ObjectId>,
    /// What both are compared with, where there is one such commit.
    pub base: Option<ObjectId>,
}

impl Unfinished {
    /// Returns whether the commit to come has both sides as parents.
    pub fn keeps_both(&self) -> bool {
        matches!(self.kind, UnfinishedKind::Merge | UnfinishedKind::Rebase { merge: true })
    }
}

/// What came of merging a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// The changes of both sides.
    Clean(Vec<u8>),
    /// The same with conflicts marked.
    Marked(Vec<u8>),
    /// The files are no text.
    Binary,
}

impl Repository {
    /// Returns what git was stopped in.
    pub fn unfinished_merge(&self) -> Result<Unfinished, GitError> {
        let ours = self.head()?.commit();
        let rebases = ["rebase-merge", "rebase-apply"].iter().any(|name| self.git_dir().join(name).is_dir());
        let named = |name: &str| match self.resolve_commit(name) {
            Ok(commit) => Ok(Some(commit)),
            Err(GitError::UnknownRevision { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        let parent = |commit: &Option<ObjectId>| match commit.as_ref().map(|commit| self.objects().commit(commit)) {
            Some(Ok(commit)) => Ok(commit.parents.first().copied()),
            None | Some(Err(GitError::MissingObject { .. })) => Ok(None),
            Some(Err(error)) => Err(error),
        };
        let picked = |kind, theirs: Option<ObjectId>| Ok(Unfinished { kind, ours, base: parent(&theirs)?, theirs });
        if let Some(theirs) = self.merge_heads()?.first().copied() {
            let base = match ours {
                Some(ours) => self.merge_base(&ours, &theirs)?,
                None => None,
            };
            let kind = if rebases { UnfinishedKind::Rebase { merge: true } } else { UnfinishedKind::Merge };
            return Ok(Unfinished { kind, ours, theirs: Some(theirs), base });
        }
        if self.git_dir().join("rebase-apply/applying").symlink_metadata().is_ok() {
            return picked(UnfinishedKind::Apply, None);
        }
        if rebases {
            return picked(UnfinishedKind::Rebase { merge: false }, named("REBASE_HEAD")?);
        }
        if let Some(theirs) = named("CHERRY_PICK_HEAD")? {
            return picked(UnfinishedKind::CherryPick, Some(theirs));
        }
        if let Some(base) = named("REVERT_HEAD")? {
            let theirs = parent(&Some(base))?;
            return Ok(Unfinished { kind: UnfinishedKind::Revert, ours, theirs, base: Some(base) });
        }
        // Git does not say what it popped; a stash that did not apply is the latest still.
        picked(UnfinishedKind::Other, named("refs/stash")?)
    }

    /// Returns whether a commit stays when what was stopped goes on: `HEAD` has it, or a branch or tag that is not being rebased.
    pub fn outlasts_rebase(&self, commit: &ObjectId) -> Result<bool, GitError> {
        let rebased = self.rebased_branches();
        let contains = format!("--contains={commit}");
        let places = ["refs/heads/", "refs/remotes/", "refs/tags/"];
        let arguments = [&["for-each-ref", "--format=%(refname)", &contains, "--"], &places[..]].concat();
        let listing =
            command::run("for-each-ref", &mut self.git().read_command(&arguments), b"")?.ok("for-each-ref")?;
        if listing.lines().any(|name| !rebased.iter().any(|rebased| rebased == name)) {
            return Ok(true);
        }
        match self.head()?.commit() {
            Some(head) => Ok(self.merge_base(&head, commit)? == Some(*commit)),
            None => Ok(false),
        }
    }

    /// Returns the references that a rebase is going to move.
    fn rebased_branches(&self) -> Vec<BString> {
        let read = |name: &str| std::fs::read(self.git_dir().join(name)).unwrap_or_default();
        let notes = ["rebase-merge/head-name", "rebase-apply/head-name", "rebase-merge/update-refs"].map(read);
        let names = notes.iter().flat_map(|note| note.lines()).filter(|line| line.starts_with(b"refs/"));
        names.map(BString::from).collect()
    }

    /// Returns a commit that the histories of both have in common, the best one; `None` if there is none, or not here.
    pub fn merge_base(&self, one: &ObjectId, other: &ObjectId) -> Result<Option<ObjectId>, GitError> {
        let (one, other) = (one.to_string(), other.to_string());
        let mut command = self.git().read_command(&["merge-base", &one, &other]);
        let output = command::run("merge-base", &mut command, b"")?;
        match output.code {
            Some(0) => parse_id(output.stdout.trim_end()).map(Some).ok_or(unexpected("merge-base")),
            Some(1) => Ok(None),
            _ => Err(GitError::Failed { command: "merge-base", detail: output.stderr }),
        }
    }

    /// Returns the files that were renamed between two commits (or trees), by their old paths, as git's merges see it.
    pub fn renames(&self, old: &ObjectId, new: &ObjectId) -> Result<BTreeMap<RepoPath, RepoPath>, GitError> {
        let (old, new) = (old.to_string(), new.to_string());
        // Diffs have a lower limit of their own.
        let config = self.config()?;
        let limit = config.get("merge.renameLimit").or_else(|| config.get("diff.renameLimit"));
        let limit = limit.and_then(ConfigEntry::as_int).filter(|limit| *limit >= 0);
        let limit = format!("-l{}", limit.unwrap_or(RENAME_LIMIT));
        let arguments = [
            "diff-tree",
            "-r",
            "-z",
            "-M",
            "--no-rename-empty",
            &limit,
            "--diff-filter=R",
            "--name-status",
            "--no-ext-diff",
            &old,
            &new,
            "--",
        ];
        let mut command = self.git().read_command(&arguments);
        let mut renames = BTreeMap::new();
        let output = command::listen("diff-tree", &mut command, |pipe| {
            while next_record(pipe, "diff-tree")?.is_some() {
                let mut path =
                    || Ok(RepoPath::try_new(next_record(pipe, "diff-tree")?.ok_or(unexpected("diff-tree"))?)?);
                let (from, to): (_, Result<_, GitError>) = (path()?, path());
                renames.insert(from, to?);
            }
            Ok(())
        })?;
        output.ok("diff-tree")?;
        Ok(renames)
    }

    /// Returns the tree that git makes of what was stopped, conflicts marked; `None` if it does not know all commits.
    pub fn merge_anew(&self, unfinished: &Unfinished) -> Result<Option<ObjectId>, GitError> {
        let Unfinished { ours: Some(ours), theirs: Some(theirs), base: Some(base), .. } = unfinished else {
            return Ok(None);
        };
        let sides = if unfinished.keeps_both() {
            [*ours, *theirs]
        } else {
            // Commits of the same trees, whose histories have just that base in common; no reference leads to them.
            let tree = |commit| self.objects().commit(commit).map(|commit| commit.tree);
            [self.commit_upon(&tree(ours)?, Some(base))?, self.commit_upon(&tree(theirs)?, Some(base))?]
        };
        self.merge_commits(&sides).map(Some)
    }

    /// Returns the tree that git makes of three versions of `path` alone, conflicts marked, with files of its own in the
    /// folder `scratch`. No reference leads to any of it.
    pub fn merge_versions(&self, path: &RepoPath, versions: &Stages, scratch: &Path) -> Result<ObjectId, GitError> {
        let empty = self.object_format().empty_tree();
        let tree = |entry: Option<TreeEntry>| {
            let update =
                entry.map(|entry| IndexUpdate { path: path.clone(), entry: Some(entry), skip_worktree: false });
            self.changed_tree(&empty, update.as_slice(), scratch)
        };
        let base = self.commit_upon(&tree(versions[0])?, None)?;
        let side = |version| self.commit_upon(&tree(version)?, Some(&base));
        self.merge_commits(&[side(versions[1])?, side(versions[2])?])
    }

    fn merge_commits(&self, sides: &[ObjectId; 2]) -> Result<ObjectId, GitError> {
        let [ours, theirs] = sides.each_ref().map(ToString::to_string);
        let arguments = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", &ours, &theirs];
        let output = command::run("merge-tree", &mut self.git().command(&[], &arguments), b"")?;
        match output.code {
            Some(0 | 1) => {
                let tree = output.stdout.split(|byte| *byte == 0).next().and_then(|tree| parse_id(tree.trim_end()));
                tree.ok_or(unexpected("merge-tree"))
            }
            _ => Err(GitError::Failed { command: "merge-tree", detail: output.stderr }),
        }
    }

    fn commit_upon(&self, tree: &ObjectId, parent: Option<&ObjectId>) -> Result<ObjectId, GitError> {
        let somebody = ["user.name=git-archive-tomb", "user.email=git-archive-tomb@localhost"];
        let (tree, parent) = (tree.to_string(), parent.map(ToString::to_string));
        let mut arguments = vec!["commit-tree", &tree];
        arguments.extend(parent.iter().flat_map(|parent| ["-p", parent]));
        let output = command::run("commit-tree", &mut self.git().command(&somebody, &arguments), b"")?;
        parse_id(output.ok("commit-tree")?.trim_end()).ok_or(unexpected("commit-tree"))
    }

    /// Merges what changed from `base` to `theirs` into `ours`, all of them files, as git merges the contents of a path
    /// that has these options (`--union`, `--marker-size=…`). In conflicts the sides are called `labels`, in this order.
    pub fn merge_file(
        &self,
        [ours, base, theirs]: [&Path; 3],
        labels: [&str; 3],
        options: &[String],
    ) -> Result<Merged, GitError> {
        let mut command = self.git().command(&[], &["merge-file", "--stdout"]);
        command.args(options);
        command.args(labels.iter().flat_map(|label| ["-L", label])).arg("--").args([ours, base, theirs]);
        let output = command::run("merge-file", &mut command, b"")?;
        match output.code {
            Some(0) => Ok(Merged::Clean(output.stdout)),
            Some(conflicts) if (1..MERGE_FILE_FAILED).contains(&conflicts) => Ok(Merged::Marked(output.stdout)),
            _ if output.stderr.contains("binary") => Ok(Merged::Binary),
            _ => Err(GitError::Failed { command: "merge-file", detail: output.stderr }),
        }
    }
}

fn unexpected(command: &'static str) -> GitError {
    GitError::UnexpectedAnswer { command }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn renames_are_found_whatever_the_names_are() {
        let fixture = Fixture::new("sha1");
        let text = ["one", "two", "three", "four", "five"].join("\n").repeat(5);
        let old = fixture.commit_files(&[("a\nb", &text), ("c", "other\n")]);
        fixture.git(&["mv", "a\nb", "caf\u{e9}"]);
        fixture.git(&["commit", "-q", "-m", "rename"]);
        let new = fixture.git(&["rev-parse", "HEAD"]).parse().expect("is an id");
        let path = |text: &str| RepoPath::try_new(text).expect("is a path");
        let renames = fixture.repository().renames(&old, &new).expect("asks");
        assert_eq!(renames.into_iter().collect::<Vec<_>>(), [(path("a\nb"), path("caf\u{e9}"))]);
        assert_eq!(fixture.repository().merge_base(&old, &new).expect("asks"), Some(old));
        fixture.git(&["checkout", "-q", "--orphan", "alone"]);
        fixture.git(&["commit", "-q", "-m", "alone"]);
        let alone = fixture.git(&["rev-parse", "HEAD"]).parse().expect("is an id");
        assert_eq!(fixture.repository().merge_base(&old, &alone).expect("asks"), None);
    }

    #[test]
    fn files_are_merged_as_far_as_they_are_text() {
        let fixture = Fixture::new("sha1");
        let paths = ["ours", "base", "theirs"].map(|name| fixture.home().join(name));
        let merge = |versions: [&[u8]; 3], options: &[String]| {
            for (path, bytes) in paths.iter().zip(versions) {
                std::fs::write(path, bytes).expect("writes");
            }
            let paths = [paths[0].as_path(), &paths[1], &paths[2]];
            fixture.repository().merge_file(paths, ["-one", "base", "two"], options).expect("merges")
        };
        assert_eq!(
            merge([b"a\nb\nc\n1\n", b"a\nb\nc\nd\n", b"2\nb\nc\nd\n"], &[]),
            Merged::Clean(b"2\nb\nc\n1\n".to_vec())
        );
        let marked = Merged::Marked(b"<<<<<<< -one\n1\n=======\n2\n>>>>>>> two\n".to_vec());
        assert_eq!(merge([b"1\n", b"a\n", b"2\n"], &[]), marked);
        assert_eq!(merge([b"1\n", b"a\n", b"2\n"], &["--union".to_owned()]), Merged::Clean(b"1\n2\n".to_vec()));
        assert_eq!(merge([b"1\0\n", b"a\n", b"2\n"], &[]), Merged::Binary);
    }
}
