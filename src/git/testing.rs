//! A throw-away repository for the tests of this module: the real git, nothing of the user's.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};

use super::{GitError, Repository};
use crate::id::ObjectId;

/// Set where the tests run in a hook.
const UNSET: [&str; 4] = ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"];

pub(crate) struct Fixture {
    folder: tempfile::TempDir,
    clock: AtomicI64,
}

impl Fixture {
    /// Makes an empty repository with the branch `main`.
    pub(crate) fn new(format: &str) -> Self {
        let fixture = Self::empty();
        fixture.git_in(fixture.home(), &["init", "-q", "-b", "main", "--object-format", format, "top"]);
        fixture
    }

    /// Makes a folder without a repository.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::Builder::new().prefix("tomb-git-").tempdir().expect("makes a folder");
        Self { folder, clock: AtomicI64::new(1_700_000_000) }
    }

    /// Returns the folder that holds the repository.
    pub(crate) fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the top of the working tree.
    pub(crate) fn top(&self) -> PathBuf {
        self.home().join("top")
    }

    pub(crate) fn repository(&self) -> Repository {
        self.discover(&self.top()).expect("finds the repository")
    }

    pub(crate) fn discover(&self, dir: &Path) -> Result<Repository, GitError> {
        self.discover_with(dir, &[])
    }

    /// Discovers with nothing of the user's and these variables.
    pub(crate) fn discover_with(&self, dir: &Path, more: &[(&str, &str)]) -> Result<Repository, GitError> {
        let mut environment =
            vec![("HOME", Some(self.home().as_os_str())), ("GIT_CONFIG_NOSYSTEM", Some("1".as_ref()))];
        environment.extend(UNSET.map(|name| (name, None)));
        environment.extend(more.iter().map(|(name, value)| (*name, Some(value.as_ref()))));
        Repository::discover_with(dir, &environment)
    }

    /// Runs git at the top and returns what it prints, trimmed.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.top(), arguments)
    }

    pub(crate) fn git_in(&self, dir: &Path, arguments: &[&str]) -> String {
        self.run(dir, arguments, b"")
    }

    pub(crate) fn git_input(&self, arguments: &[&str], input: &[u8]) -> String {
        self.run(&self.top(), arguments, input)
    }

    fn run(&self, dir: &Path, arguments: &[&str], input: &[u8]) -> String {
        let mut command = Command::new("git");
        let date = format!("{} +0000", self.clock.fetch_add(60, Ordering::Relaxed));
        command.args(arguments).current_dir(dir).env("HOME", self.home()).env("GIT_CONFIG_NOSYSTEM", "1");
        for name in UNSET {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").env("GIT_AUTHOR_NAME", "A").env("GIT_AUTHOR_EMAIL", "a@example.org");
        command.env("GIT_COMMITTER_NAME", "C").env("GIT_COMMITTER_EMAIL", "c@example.org");
        command.env("GIT_AUTHOR_DATE", &date).env("GIT_COMMITTER_DATE", &date);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("git starts");
        child.stdin.take().expect("has a pipe").write_all(input).expect("git reads");
        let output = child.wait_with_output().expect("git ends");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.top().join(path);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("makes folders");
        std::fs::write(path, content).expect("writes");
    }

    /// Commits exactly these files.
    pub(crate) fn commit_files(&self, files: &[(&str, &str)]) -> ObjectId {
        self.git(&["rm", "-r", "-q", "--ignore-unmatch", "."]);
        for (path, content) in files {
            self.write(path, content);
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "files"]);
        self.git(&["rev-parse", "HEAD"]).parse().expect("is an id")
    }

    pub(crate) fn commit_files_at(&self, files: &[(&str, &str)], seconds: i64) -> ObjectId {
        let now = self.clock.swap(seconds, Ordering::Relaxed);
        let id = self.commit_files(files);
        self.clock.store(now, Ordering::Relaxed);
        id
    }
}
