//! Finding a repository and the places that belong to it.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};

use super::command::{self, Git};
use super::{GitError, Objects};
use crate::id::ObjectId;

/// The oldest git that this program works with.
const OLDEST_GIT: (u32, u32) = (2, 39);

/// Separates the answers of `git rev-parse`, which has no `-z`: it repeats flags that it does not know.
const MARKER: &str = "--archive-tomb-next";

/// The hash a repository names its objects by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectFormat {
    /// SHA-1: ids of 20 bytes.
    Sha1,
    /// SHA-256: ids of 32 bytes.
    Sha256,
}

impl ObjectFormat {
    /// Returns the length of an id in bytes.
    pub fn id_length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Returns the id of the tree that holds nothing.
    pub fn empty_tree(self) -> ObjectId {
        let hex = match self {
            Self::Sha1 => "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            Self::Sha256 => "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
        };
        hex.parse().expect("the ids of the empty tree are well-formed")
    }

    /// Returns git's null id, which stands for "no object".
    pub fn null_id(self) -> ObjectId {
        ObjectId::from_bytes(&[0; 32][..self.id_length()]).expect("ids have 20 or 32 bytes")
    }
}

impl fmt::Display for ObjectFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        })
    }
}

/// What `HEAD` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// A branch with commits.
    Branch {
        /// The full name, such as `refs/heads/main`.
        name: BString,
        /// Its commit.
        commit: ObjectId,
    },
    /// A commit, no branch.
    Detached {
        /// The commit.
        commit: ObjectId,
    },
    /// A branch without commits yet.
    Unborn {
        /// The full name, such as `refs/heads/main`.
        name: BString,
    },
}

impl Head {
    /// Returns the commit, unless there is none yet.
    pub fn commit(&self) -> Option<ObjectId> {
        match self {
            Self::Branch { commit, .. } | Self::Detached { commit } => Some(*commit),
            Self::Unborn { .. } => None,
        }
    }
}

/// A reference of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The full name, such as `refs/heads/main`.
    pub name: BString,
    /// What it names: a commit, or with an annotated tag what that tag (all tags peeled) names.
    pub id: ObjectId,
}

/// A repository as seen from one folder: all its places, found by one `git rev-parse`, which is all that opening one costs.
#[derive(Debug)]
pub struct Repository {
    git: Git,
    git_dir: PathBuf,
    common_dir: PathBuf,
    index_path: PathBuf,
    hooks_dir: PathBuf,
    work_tree: Option<PathBuf>,
    prefix: BString,
    is_bare: bool,
    is_shallow: bool,
    object_format: ObjectFormat,
    head: Option<ObjectId>,
    objects: Objects,
    /// The same, fetching what a filter left out. Made once, because handles are opened only when one is used and kept.
    fetching: Objects,
}

impl Repository {
    /// Finds the repository of `dir` as git does, its environment (`GIT_DIR`, `GIT_INDEX_FILE`, …) included.
    pub fn discover(dir: &Path) -> Result<Self, GitError> {
        Self::discover_with(dir, &[])
    }

    /// Finds the repository of `dir` with a changed environment: here, and in every child started for it, each named
    /// variable has that value, or is not set.
    pub fn discover_with(dir: &Path, environment: &[(&str, Option<&OsStr>)]) -> Result<Self, GitError> {
        let owned = |(name, value): &(&str, Option<&OsStr>)| ((*name).to_owned(), value.map(OsStr::to_owned));
        let git = Git { dir: dir.to_owned(), env: environment.iter().map(owned).collect() };
        if !dir.is_dir() {
            return Err(GitError::NoSuchFolder { dir: dir.to_owned() });
        }
        let found = Self::ask(git.clone(), dir);
        if let Err(GitError::UnexpectedAnswer { .. } | GitError::UnreadableRepository { .. }) = &found {
            check_version(&git)?;
        }
        found
    }

    /// Refuses a git that is too old to be relied on. Discovery does not ask, unless it fails: what checks a commit would
    /// pay for it at every commit.
    pub fn check_git_version(&self) -> Result<(), GitError> {
        check_version(&self.git)
    }

    fn ask(mut git: Git, dir: &Path) -> Result<Self, GitError> {
        let mut ask = git.discovering_command(&["rev-parse", "--path-format=absolute"]);
        let questions: [&[&str]; 10] = [
            &["--git-dir"],
            &["--git-common-dir"],
            &["--git-path", "index"],
            &["--git-path", "hooks"],
            &["--git-path", "objects"],
            &["--is-bare-repository"],
            &["--is-shallow-repository"],
            &["--show-object-format"],
            &["--show-prefix"],
            // Fails, and ends the answers, where there is no working tree.
            &["--show-toplevel"],
        ];
        for question in questions {
            ask.args(question).arg(MARKER);
        }
        // Unlike a plain `HEAD`, no failure where that names no commit: the answer is empty then.
        ask.args(["--default", "HEAD"]);
        let output = command::run("rev-parse", &mut ask, b"")?;

        let unexpected = || GitError::UnexpectedAnswer { command: "rev-parse" };
        let separator = format!("\n{MARKER}\n");
        let answers: Vec<&[u8]> = output.stdout.split_str(&separator).collect();
        let [git_dir, common_dir, index, hooks, objects, bare, shallow, format, prefix, rest @ ..] = &answers[..]
        else {
            return Err(if output.success { unexpected() } else { refusal(dir, output.stderr) });
        };
        let (work_tree, head) = match rest {
            [top, head] if output.success => (Some(to_path(top)?), parse_id(head.trim_end())),
            [b""] if !output.success => (None, None),
            _ => return Err(unexpected()),
        };
        let object_format = match *format {
            b"sha1" => ObjectFormat::Sha1,
            b"sha256" => ObjectFormat::Sha256,
            other => {
                let detail = format!("its object format `{}` is unknown", other.escape_ascii());
                return Err(GitError::UnreadableRepository { dir: dir.to_owned(), detail });
            }
        };
        let (git_dir, common_dir, index_path) = (to_path(git_dir)?, to_path(common_dir)?, to_path(index)?);
        // An old git repeats the options that it does not know.
        if !git_dir.is_absolute() {
            return Err(unexpected());
        }
        git.pin("GIT_DIR", &git_dir);
        git.pin("GIT_INDEX_FILE", &index_path);
        match &work_tree {
            Some(top) => git.pin("GIT_WORK_TREE", top),
            // Else git takes the folder that it runs in for a working tree.
            None => git.pin("GIT_IMPLICIT_WORK_TREE", "0"),
        }
        git.dir.clone_from(work_tree.as_ref().unwrap_or(&git_dir));
        let is_shallow = *shallow == b"true";
        let objects = Objects::new(git.clone(), object_format, to_path(objects)?, &common_dir, is_shallow);
        Ok(Self {
            git,
            git_dir,
            common_dir,
            index_path,
            hooks_dir: to_path(hooks)?,
            work_tree,
            prefix: prefix.as_bstr().to_owned(),
            is_bare: *bare == b"true",
            is_shallow,
            object_format,
            head,
            fetching: objects.reopen(true),
            objects,
        })
    }

    /// Returns the same repository with handles of its own, for threads that may outlive this one. Git is not asked again.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self {
            git: self.git.clone(),
            git_dir: self.git_dir.clone(),
            common_dir: self.common_dir.clone(),
            index_path: self.index_path.clone(),
            hooks_dir: self.hooks_dir.clone(),
            work_tree: self.work_tree.clone(),
            prefix: self.prefix.clone(),
            is_bare: self.is_bare,
            is_shallow: self.is_shallow,
            object_format: self.object_format,
            head: self.head,
            objects: self.objects.reopen(false),
            fetching: self.objects.reopen(true),
        }
    }

    /// Returns the top of the working tree, absolute; `None` in a bare repository and inside `.git`.
    pub fn work_tree(&self) -> Option<&Path> {
        self.work_tree.as_deref()
    }

    /// Returns the top of the working tree, or the error that says there is none.
    pub fn require_work_tree(&self) -> Result<&Path, GitError> {
        self.work_tree().ok_or_else(|| GitError::NoWorkTree { git_dir: self.git_dir.clone() })
    }

    /// Returns the git directory of this working tree, absolute.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Returns the git directory that all working trees share, absolute.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Returns the index that git uses now: `GIT_INDEX_FILE` where that is set. Absolute; it need not exist yet.
    pub fn index_path(&self) -> &Path {
        &self.index_path
    }

    /// Returns where git looks for hooks (`core.hooksPath`, else the shared `hooks`). Absolute; it need not exist.
    pub fn hooks_dir(&self) -> &Path {
        &self.hooks_dir
    }

    /// Returns where the caller stands below the top: empty, or bytes that end with `/`.
    pub fn prefix(&self) -> &BStr {
        self.prefix.as_bstr()
    }

    /// Returns whether the repository is bare (its linked worktrees are not).
    pub fn is_bare(&self) -> bool {
        self.is_bare
    }

    /// Returns whether commits are missing because the repository was cloned with a depth.
    pub fn is_shallow(&self) -> bool {
        self.is_shallow
    }

    /// Returns whether objects may be missing because the repository was cloned with a filter.
    pub fn is_partial(&self) -> bool {
        self.objects.is_partial()
    }

    /// Returns the hash that names objects.
    pub fn object_format(&self) -> ObjectFormat {
        self.object_format
    }

    /// Returns the object database; it never fetches: what a filter left out is [`GitError::MissingObject`].
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Returns the object database in a form that fetches objects a filter left out, as git itself does.
    pub fn fetching_objects(&self) -> &Objects {
        &self.fetching
    }

    /// Returns the commit that `revision` names, annotated tags peeled.
    pub fn resolve_commit(&self, revision: &str) -> Result<ObjectId, GitError> {
        let peeled = format!("{revision}^{{commit}}");
        let mut command = self.git.read_command(&["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled]);
        let unknown = || {
            let revision = revision.chars().take(80).flat_map(char::escape_debug).collect();
            Err(GitError::UnknownRevision { revision })
        };
        // An argument cannot hold NUL.
        if revision.contains('\0') {
            return unknown();
        }
        let output = command::run("rev-parse", &mut command, b"")?;
        if !output.success {
            return unknown();
        }
        let line = output.stdout.trim_end();
        parse_id(line).ok_or(GitError::UnexpectedAnswer { command: "rev-parse" })
    }

    /// Returns what `HEAD` is.
    pub fn head(&self) -> Result<Head, GitError> {
        let output = command::run("symbolic-ref", &mut self.git.read_command(&["symbolic-ref", "-q", "HEAD"]), b"")?;
        let commit = match self.resolve_commit("HEAD") {
            Ok(commit) => Some(commit),
            Err(GitError::UnknownRevision { .. }) => None,
            Err(error) => return Err(error),
        };
        match (output.code, commit) {
            (Some(0), commit) => {
                let name = output.stdout.trim_end_with(|end| end == '\n').as_bstr().to_owned();
                Ok(commit.map_or_else(
                    || Head::Unborn { name: name.clone() },
                    |commit| Head::Branch { name: name.clone(), commit },
                ))
            }
            (Some(1), Some(commit)) => Ok(Head::Detached { commit }),
            _ => Err(GitError::Failed { command: "symbolic-ref", detail: output.stderr }),
        }
    }

    /// Returns the commit that was at `HEAD` when the repository was found, for whoever takes one look at it; `None` on a
    /// branch without commits.
    pub fn head_when_found(&self) -> Result<Option<ObjectId>, GitError> {
        match self.head {
            Some(commit) => Ok(Some(commit)),
            // Or there was no answer, as in a bare repository.
            None => Ok(self.head()?.commit()),
        }
    }

    /// Returns the other parents of the merge that is going on (`MERGE_HEAD`); empty if there is none.
    pub fn merge_heads(&self) -> Result<Vec<ObjectId>, GitError> {
        let path = self.git_dir.join("MERGE_HEAD");
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(GitError::Io { action: "read", path, source }),
        };
        content
            .lines()
            .map(|line| {
                parse_id(line).ok_or_else(|| {
                    let source = std::io::Error::new(std::io::ErrorKind::InvalidData, "it holds no object id");
                    GitError::Io { action: "read", path: path.clone(), source }
                })
            })
            .collect()
    }

    /// Returns all references below `prefix` (such as `refs/`), sorted by name, tags peeled.
    pub fn references(&self, prefix: &str) -> Result<Vec<Reference>, GitError> {
        self.list_references(&["--", prefix])
    }

    /// Returns the references below `prefix` with commits that `HEAD` does not reach, as [`Repository::references`] does.
    pub fn references_not_in_head(&self, prefix: &str) -> Result<Vec<Reference>, GitError> {
        match self.head()? {
            Head::Unborn { .. } => self.references(prefix),
            _ => self.list_references(&["--no-merged=HEAD", "--", prefix]),
        }
    }

    /// Returns whether a reference is only another name for one.
    pub fn is_symbolic(&self, name: &BString) -> Result<bool, GitError> {
        let mut command = self.git.read_command(&["symbolic-ref", "-q", &name.to_str_lossy()]);
        Ok(command::run("symbolic-ref", &mut command, b"")?.success)
    }

    fn list_references(&self, arguments: &[&str]) -> Result<Vec<Reference>, GitError> {
        let format = "--format=%(objectname)%00%(*objectname)%00%(refname)";
        let mut command = self.git.read_command(&[&["for-each-ref", format], arguments].concat());
        let listing = command::run("for-each-ref", &mut command, b"")?.ok("for-each-ref")?;
        let parsed = listing.lines().map(|line| {
            let mut fields = line.splitn(3, |byte| *byte == 0);
            let (id, peeled, name) = (fields.next()?, fields.next()?, fields.next()?);
            let id = parse_id(if peeled.is_empty() { id } else { peeled })?;
            Some(Reference { name: name.as_bstr().to_owned(), id })
        });
        parsed.collect::<Option<_>>().ok_or(GitError::UnexpectedAnswer { command: "for-each-ref" })
    }

    /// Makes the reference `name` for object `id`, durably. It is no error if it is there with that value; another
    /// value stays and is an error.
    pub fn create_reference(&self, name: &str, id: &ObjectId) -> Result<(), GitError> {
        if self.references(name)?.iter().any(|existing| existing.name == name && existing.id == *id) {
            return Ok(());
        }
        let input = format!("create {name}\0{id}\0");
        let mut command = self.git.command(&["core.fsync=all"], &["update-ref", "--stdin", "-z"]);
        command::run("update-ref", &mut command, input.as_bytes())?.ok("update-ref").map(drop)
    }

    /// Returns how to start git here.
    pub(crate) fn git(&self) -> &Git {
        &self.git
    }
}

/// Parses a hexadecimal id.
pub(crate) fn parse_id(hex: &[u8]) -> Option<ObjectId> {
    hex.to_str().ok()?.parse().ok()
}

/// Returns git's bytes as a path of this system.
pub(crate) fn to_path(bytes: &[u8]) -> Result<PathBuf, GitError> {
    bytes.to_path().map(Path::to_owned).map_err(|_| GitError::UnexpectedAnswer { command: "rev-parse" })
}

/// Turns git's refusal to open a repository into ours.
fn refusal(dir: &Path, detail: String) -> GitError {
    let dir = dir.to_owned();
    if detail.contains("not a git repository") {
        GitError::NotARepository { dir }
    } else if detail.contains("dubious ownership") || detail.contains("unsafe repository") {
        let detail = detail.split("; ").next().unwrap_or_default().to_owned();
        GitError::UnsafeOwnership { dir, detail }
    } else {
        GitError::UnreadableRepository { dir, detail }
    }
}

/// Reads the answer of `git version` and refuses one that is too old.
fn check_version(git: &Git) -> Result<(), GitError> {
    let output = command::run("version", &mut git.discovering_command(&["version"]), b"")?;
    let text = output.stdout.to_str_lossy();
    let number = text.trim().strip_prefix("git version ").unwrap_or(text.trim());
    let mut parts = number.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST_GIT => Ok(()),
        _ => Err(GitError::GitTooOld { found: number.chars().take(40).flat_map(char::escape_debug).collect() }),
    }
}
