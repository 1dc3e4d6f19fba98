//! A commit on a new branch, made past working tree, index and `HEAD`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bstr::{BStr, BString, ByteSlice};

use super::pathspec::ScratchIndex;
use super::repository::{parse_id, to_path};
use super::{ConfigEntry, GitError, IndexUpdate, Repository, command};
use crate::id::{ObjectId, ParseIdError, serialize_as_text};
use crate::item::RepoPath;
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

    /// Returns where the folders end that the reference is in, from that of all branches down.
    fn folders(&self) -> impl Iterator<Item = usize> {
        self.0.find_iter(b"/").filter(|end| *end + 1 >= BRANCHES.len())
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
        // Git makes a branch `@`, and takes that for `HEAD` ever after.
        Ok((output.success && !short.is_empty() && short != b"@").then(named))
    }

    /// Returns the reference that keeps a branch `name` from being made: that branch, or one whose name is a folder of the
    /// other's. A symbolic one counts also where it leads nowhere: whoever writes to it writes elsewhere.
    pub fn reference_in_the_way(&self, name: &BranchName) -> Result<Option<BString>, GitError> {
        let wanted = name.reference().as_bytes();
        let above: Vec<&[u8]> = name.folders().skip(1).map(|end| &wanted[..end]).collect();
        let mut command = self.git().read_command(&["for-each-ref", "--format=%(refname)", "--"]);
        for pattern in above.iter().copied().chain([wanted]) {
            command.arg(to_path(pattern)?);
        }
        let listing = command::run("for-each-ref", &mut command, b"")?.ok("for-each-ref")?;
        let is_within =
            |inner: &[u8], outer: &[u8]| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with(b"/"));
        let blocks = |found: &&[u8]| *found == wanted || is_within(found, wanted) || is_within(wanted, found);
        if let Some(found) = listing.lines().find(blocks) {
            return Ok(Some(found.into()));
        }
        // Git lists no symbolic reference that leads nowhere.
        for name in above.into_iter().chain([wanted]) {
            let mut command = self.git().read_command(&["symbolic-ref", "-q"]);
            if command::run("symbolic-ref", command.arg(to_path(name)?), b"")?.success {
                return Ok(Some(name.into()));
            }
        }
        Ok(None)
    }

    /// Returns the shortest name of a branch that is there that means nothing else, wherever a reference can be named.
    pub fn unambiguous(&self, name: &BranchName) -> Result<BString, GitError> {
        let arguments = ["-c", "core.warnAmbiguousRefs=true", "for-each-ref", "--format=%(refname:short)", "--"];
        let mut command = self.git().read_command(&arguments);
        let listing = command::run("for-each-ref", command.arg(to_path(name.reference())?), b"")?;
        let is_short = listing.ok("for-each-ref")?.trim_end() == name.short().as_bytes();
        Ok(if is_short { name.short() } else { name.reference() }.to_owned())
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
    /// own in the folder `scratch`. A folder that is in the way of a file, or the other way round, is an error.
    pub fn changed_tree(&self, tree: &ObjectId, updates: &[IndexUpdate], scratch: &Path) -> Result<ObjectId, GitError> {
        if updates.is_empty() {
            return Ok(*tree);
        }
        // Git would replace what is there, and all below it.
        for update in updates {
            self.check_place(tree, &update.path)?;
        }
        let index = ScratchIndex::of_tree_in(self, tree, scratch)?;
        index.update(updates)?;
        let changed = index.write_tree()?;
        let mut folders = BTreeSet::new();
        for update in updates {
            let path = update.path.as_bytes();
            folders.extend(path.find_iter(b"/").map(|end| &path[..end]));
        }
        let mut trees = vec![changed];
        for folder in folders {
            trees.extend(self.objects().entry(&changed, &RepoPath::try_new(folder)?)?.map(|entry| entry.id));
        }
        self.objects().sync_folders(&trees)?;
        Ok(changed)
    }

    /// Returns whether git knows who commits here, and who is the author.
    pub fn knows_committer(&self) -> Result<bool, GitError> {
        for variable in ["GIT_COMMITTER_IDENT", "GIT_AUTHOR_IDENT"] {
            if !command::run("var", &mut self.git().read_command(&["var", variable]), b"")?.success {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks that a file can stand at `path` in `tree`: in folders, and in place of no folder.
    fn check_place(&self, tree: &ObjectId, path: &RepoPath) -> Result<(), GitError> {
        let objects = self.fetching_objects();
        let blocked = |parent| GitError::BlockedPath { path: path.clone(), parent };
        if objects.entry(tree, path)?.is_some_and(|entry| entry.is_folder()) {
            return Err(blocked(path.clone()));
        }
        for end in path.as_bytes().find_iter(b"/") {
            let parent = RepoPath::try_new(&path.as_bytes()[..end])?;
            match objects.entry(tree, &parent)? {
                None => break,
                Some(entry) if entry.is_folder() => {}
                Some(_) => return Err(blocked(parent)),
            }
        }
        Ok(())
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
        let full = name.reference().to_str_lossy();
        // Somebody else may be faster.
        let taken = || -> Result<Option<bool>, GitError> {
            let found = self.references(&full)?;
            if found.iter().any(|found| found.name == name.reference() && found.id == *commit) {
                return Ok(Some(true));
            }
            Ok(self.reference_in_the_way(name)?.map(|_| false))
        };
        if let Some(is_ours) = taken()? {
            return Ok(is_ours);
        }
        let input = [b"create ", name.reference().as_bytes(), b"\0", commit.to_string().as_bytes(), b"\0"].concat();
        let mut command =
            self.git().command(&["core.fsync=all"], &["update-ref", "--no-deref", "--stdin", "-z", "-m", reason]);
        // An interruption at the terminal reaches every program there, and is not git's to answer half-way.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let output = command::run("update-ref", &mut command, &input)?;
        if !output.success {
            return match taken()? {
                Some(is_ours) => Ok(is_ours),
                None => output.ok("update-ref").map(|_| false),
            };
        }
        // Git may have made each of them, and syncs none. Other kinds of references than files have none.
        for end in name.folders() {
            let folder = self.common_dir().join(to_path(&name.reference()[..end])?);
            if folder.is_dir() {
                crate::fs::sync_dir(&folder).map_err(|source| GitError::Io { action: "sync", path: folder, source })?;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::TreeEntry;
    use crate::git::testing::Fixture;
    use crate::item::FileMode;

    fn named(repository: &Repository, name: &str) -> Option<BranchName> {
        repository.branch_name(name.into()).expect("asks git")
    }

    #[test]
    fn git_decides_what_is_the_name_of_a_branch() {
        let fixture = Fixture::new("sha1");
        fixture.commit_files(&[("a", "1")]);
        fixture.git(&["checkout", "-q", "-b", "second"]);
        let repository = fixture.repository();
        for name in ["x", "a/b", "ä", "refs/heads/x", "@{-1}"] {
            let found = named(&repository, name).unwrap_or_else(|| panic!("{name} is one"));
            let expected = if name == "@{-1}" { "main" } else { name };
            assert_eq!((found.short().to_string(), found.to_string().parse().ok()), (expected.to_owned(), Some(found)));
        }
        for name in ["", "-x", "a..b", "a b", "HEAD", "@", "x.lock", "/x", "x/", "a\0b", "x\n", "--branch"] {
            assert_eq!(named(&repository, name), None, "{name:?}");
        }
        let folders = |name: &str| -> Vec<String> {
            let name = named(&repository, name).expect("is a name");
            name.folders().map(|end| name.reference()[..end].as_bstr().to_string()).collect()
        };
        assert_eq!(folders("x"), ["refs/heads"]);
        assert_eq!(folders("a/b/c"), ["refs/heads", "refs/heads/a", "refs/heads/a/b"]);
        let odd = BranchName(b"refs/heads/\xff\"".into());
        assert_eq!(odd.to_string().parse().ok(), Some(odd));
        assert!("".parse::<BranchName>().is_err());
    }

    #[test]
    fn what_is_in_the_way_of_a_branch_is_found() {
        let fixture = Fixture::new("sha1");
        let commit = fixture.commit_files(&[("a", "1")]);
        for name in ["team/topic", "teams", "x"] {
            fixture.git(&["branch", name]);
        }
        fixture.git(&["tag", "tag"]);
        fixture.git(&["symbolic-ref", "refs/heads/alias", "refs/heads/nowhere"]);
        let repository = fixture.repository();
        for (name, there) in [
            ("main", Some("refs/heads/main")),
            ("team", Some("refs/heads/team/topic")),
            ("team/topic/more", Some("refs/heads/team/topic")),
            ("x/y/z", Some("refs/heads/x")),
            ("alias", Some("refs/heads/alias")),
            ("alias/more", Some("refs/heads/alias")),
            ("tag", None),
            ("team/other", None),
            ("tea", None),
            ("heads", None),
        ] {
            let name = named(&repository, name).expect("is a name");
            let found = repository.reference_in_the_way(&name).expect("asks");
            assert_eq!(found.as_ref().map(ToString::to_string).as_deref(), there, "{name}");
            let made = repository.create_branch(&name, &commit, "test").expect("tries");
            assert_eq!(made, there.is_none() || name.short() == "main", "{name}: the very same commit is no conflict");
        }
        assert!(repository.references("refs/heads/nowhere").expect("lists").is_empty());
    }

    #[test]
    fn a_name_that_means_something_else_too_is_written_in_full() {
        let fixture = Fixture::new("sha1");
        fixture.commit_files(&[("a", "1")]);
        fixture.git(&["config", "core.warnAmbiguousRefs", "false"]);
        for name in ["plain", "tagged", "a/remote"] {
            fixture.git(&["branch", name]);
        }
        fixture.git(&["tag", "tagged"]);
        fixture.git(&["update-ref", "refs/remotes/a/remote", "HEAD"]);
        let repository = fixture.repository();
        for (name, expected) in
            [("plain", "plain"), ("tagged", "refs/heads/tagged"), ("a/remote", "refs/heads/a/remote")]
        {
            let name = named(&repository, name).expect("is a name");
            assert_eq!(repository.unambiguous(&name).expect("asks"), expected);
        }
    }

    #[test]
    fn a_branch_is_made_once_and_never_moved() {
        let fixture = Fixture::new("sha256");
        let first = fixture.commit_files(&[("a", "1")]);
        let second = fixture.commit_files(&[("a", "2")]);
        let repository = fixture.repository();
        let name = named(&repository, "back").expect("is a name");
        assert!(repository.create_branch(&name, &first, "why").expect("makes it"));
        assert!(repository.create_branch(&name, &first, "why").expect("is there"));
        assert!(!repository.create_branch(&name, &second, "why").expect("stays"));
        assert_eq!(repository.resolve_commit("back").expect("resolves"), first);
        assert_eq!(fixture.git(&["reflog", "show", "--format=%gs", "back"]), "why");
        let missing = ObjectId::from_bytes(&[7; 32]).expect("has 32 bytes");
        let other = named(&repository, "other").expect("is a name");
        assert!(repository.create_branch(&other, &missing, "why").is_err(), "no commit");
    }

    #[test]
    fn a_tree_is_changed_past_every_index() {
        let fixture = Fixture::new("sha1");
        let commit = fixture.commit_files(&[("a", "1"), ("d/b", "2"), ("d/c", "3")]);
        let repository = fixture.repository();
        let tree = repository.objects().commit(&commit).expect("reads").tree;
        let index = std::fs::read(repository.index_path()).expect("reads");
        let blobs = repository.objects().write_blobs(&[b"new"]).expect("writes");
        let update = |path: &str, mode: FileMode| IndexUpdate {
            path: RepoPath::try_new(path).expect("is a path"),
            entry: Some(TreeEntry { mode: mode.bits(), id: blobs[0] }),
            skip_worktree: false,
        };
        let updates = [update("d/b", FileMode::Executable), update("e/f", FileMode::Symlink)];
        let scratch = fixture.home().join("scratch");
        let changed = repository.changed_tree(&tree, &updates, &scratch).expect("makes it");
        let listed = fixture.git(&["diff-tree", "-r", "--name-status", &tree.to_string(), &changed.to_string()]);
        assert_eq!(listed, "M\td/b\nA\te/f");
        assert_eq!(repository.changed_tree(&tree, &[], &scratch).expect("is that"), tree);
        assert_eq!(std::fs::read(repository.index_path()).expect("reads"), index);
        assert_eq!(std::fs::read_dir(&scratch).expect("lists").count(), 0);
        for path in ["a/below", "a/b/c", "d"] {
            let blocked = repository.changed_tree(&tree, &[update(path, FileMode::Regular)], &scratch);
            assert!(matches!(blocked, Err(GitError::BlockedPath { .. })), "{path}: {blocked:?}");
        }
    }
}
