//! A throw-away repository in which things are archived and verified: the real git, nothing of the user's.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::writer::{self, Original};
use crate::evidence::format::{self, EvidenceFileName};
use crate::evidence::record::{Action, Record};
use crate::evidence::writer::NewEvidenceFile;
use crate::git::Repository;
use crate::id::{ObjectId, Sha256, Tombstone};
use crate::item::RepoPath;
use crate::verify::{Options, Report, Scope, verify};

/// Variables that a hook around the tests may have set.
const UNSET: [&str; 4] = ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX"];

pub(super) struct Project {
    folder: tempfile::TempDir,
    seconds: Cell<u32>,
}

impl Project {
    /// Makes a repository with the commit `start` of four files on the branch `main`.
    pub(super) fn new() -> Self {
        let project = Self::empty("sha1");
        for name in ["a.py", "b.py", "c.py", "d.py"] {
            project.write(name, format!("print('{name}')\n"));
        }
        project.commit("start");
        project.git(&["tag", "start"]);
        project
    }

    pub(super) fn empty(format: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("tomb-verify-").tempdir().expect("makes a folder");
        let project = Self { folder, seconds: Cell::new(0) };
        project.git_in(project.home(), &["init", "-q", "-b", "main", "--object-format", format, "top"]);
        project.write(".gitattributes", ".codex/evidence/** -text\n");
        project
    }

    pub(super) fn home(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn top(&self) -> PathBuf {
        self.home().join("top")
    }

    fn tick(&self) -> u32 {
        self.seconds.set(self.seconds.get() + 1);
        self.seconds.get()
    }

    /// Runs git at the top and returns what it prints, trimmed.
    pub(super) fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.top(), arguments)
    }

    #[track_caller]
    pub(super) fn git_in(&self, dir: &Path, arguments: &[&str]) -> String {
        let (success, output) = self.try_git(dir, arguments);
        assert!(success, "git {arguments:?}: {output}");
        output
    }

    pub(super) fn try_git(&self, dir: &Path, arguments: &[&str]) -> (bool, String) {
        self.try_program("git", dir, arguments)
    }

    /// Runs a line in a shell.
    pub(super) fn try_shell(&self, dir: &Path, line: &str) -> (bool, String) {
        self.try_program("sh", dir, &["-c", line])
    }

    fn try_program(&self, program: &str, dir: &Path, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(program);
        let date = format!("{} +0000", 1_700_000_000 + self.tick());
        command.args(arguments).current_dir(dir).env("HOME", self.home()).env("GIT_CONFIG_NOSYSTEM", "1");
        for name in UNSET {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").env("GIT_AUTHOR_NAME", "A").env("GIT_AUTHOR_EMAIL", "a@example.org");
        command.env("GIT_COMMITTER_NAME", "C").env("GIT_COMMITTER_EMAIL", "c@example.org");
        command.env("GIT_AUTHOR_DATE", &date).env("GIT_COMMITTER_DATE", &date).env("GIT_EDITOR", "true");
        let output = command.output().expect("git starts");
        let text = if output.status.success() { output.stdout } else { [output.stdout, output.stderr].concat() };
        (output.status.success(), String::from_utf8_lossy(&text).trim_end().to_owned())
    }

    pub(super) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.top().join(path);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("makes folders");
        std::fs::write(path, content).expect("writes");
    }

    pub(super) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.top().join(path)).expect("reads")
    }

    pub(super) fn id(&self, revision: &str) -> ObjectId {
        self.git(&["rev-parse", revision]).parse().expect("is an id")
    }

    /// Commits everything.
    pub(super) fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
    }

    /// Stages stubs and evidence for files as they are in `HEAD`.
    pub(super) fn archive(&self, paths: &[&'static str]) -> Vec<Tombstone> {
        self.archive_with(paths, |_| ())
    }

    pub(super) fn archive_with(&self, paths: &[&'static str], change: impl Fn(&mut Record)) -> Vec<Tombstone> {
        let originals: Vec<Original> = paths.iter().map(|path| self.original(path)).collect();
        let written = writer::archive_with(self.tick(), &originals, &self.heads(), change);
        self.stage_evidence(&written.evidence);
        for (path, text) in &written.stubs {
            let path = std::str::from_utf8(path.as_bytes()).expect("is text");
            self.write(path, text);
            self.git(&["add", path]);
        }
        written.tombstones
    }

    /// Archives a file with a stub and a record that agree on something false.
    pub(super) fn archive_forged(&self, path: &'static str, forge: impl Fn(&mut Original)) {
        let mut original = self.original(path);
        forge(&mut original);
        let written = writer::archive(self.tick(), &[original], &self.heads());
        self.stage_evidence(&written.evidence);
        self.write(path, &written.stubs[0].1);
        self.git(&["add", path]);
    }

    /// Returns the tombstone of the stub at `path` in the working tree.
    pub(super) fn tombstone_of(&self, path: &str) -> Tombstone {
        tombstone_in(&self.read(path))
    }

    /// Returns the tombstone of the stub at `path` in a commit.
    pub(super) fn tombstone_at(&self, revision: &str, path: &str) -> Tombstone {
        tombstone_in(&self.git(&["cat-file", "blob", &format!("{revision}:{path}")]))
    }

    fn original(&self, path: &'static str) -> Original {
        let revision = format!("HEAD:{path}");
        let mut bytes = self.git(&["cat-file", "blob", &revision]).into_bytes();
        bytes.push(b'\n');
        Original::new(path, &bytes, self.id(&revision), self.id("HEAD"))
    }

    /// Stages evidence that something happened to an item.
    pub(super) fn account(&self, action: Action, tombstone: Tombstone) {
        self.stage_evidence(&writer::account(action, self.tick(), tombstone));
    }

    fn stage_evidence(&self, evidence: &NewEvidenceFile) {
        let path = evidence.path().to_string();
        self.write(&path, evidence.bytes());
        self.git(&["add", "-f", &path]);
    }

    /// Returns the evidence files in the index that no other one there names.
    fn heads(&self) -> Vec<Sha256> {
        let mut heads = BTreeSet::new();
        let mut named = BTreeSet::new();
        for file in self.evidence_files() {
            let path = RepoPath::try_new(file.clone()).expect("is a path");
            let name = EvidenceFileName::parse_path(&path).expect("is a name");
            let facts = format::read(&name, self.read(&file).as_bytes(), |_| ()).expect("is intact");
            heads.insert(facts.sha256);
            named.extend(facts.prev);
        }
        heads.difference(&named).copied().collect()
    }

    pub(super) fn evidence_files(&self) -> Vec<String> {
        self.git(&["ls-files", ".codex/evidence"]).lines().map(ToOwned::to_owned).collect()
    }

    pub(super) fn repository(&self) -> Repository {
        self.discover(&self.top(), &[])
    }

    pub(super) fn discover(&self, dir: &Path, more: &[(&str, &str)]) -> Repository {
        let mut environment =
            vec![("HOME", Some(self.home().as_os_str())), ("GIT_CONFIG_NOSYSTEM", Some("1".as_ref()))];
        environment.extend(UNSET.map(|name| (name, None)));
        environment.extend(more.iter().map(|(name, value)| (*name, Some(value.as_ref()))));
        Repository::discover_with(dir, &environment).expect("finds the repository")
    }

    pub(super) fn staged(&self) -> Report {
        run(&self.repository(), &Scope::Staged { merge_heads: Vec::new() })
    }

    pub(super) fn range(&self, from: &str, to: &str) -> Report {
        run(&self.repository(), &Scope::Range { from: self.id(from), to: self.id(to) })
    }

    pub(super) fn all(&self) -> Report {
        run(&self.repository(), &Scope::All)
    }
}

fn tombstone_in(stub: &str) -> Tombstone {
    let value = stub.lines().find_map(|line| line.strip_prefix("# tombstone: ")).expect("is a stub");
    value.parse().expect("is a tombstone")
}

pub(super) fn run(repository: &Repository, scope: &Scope) -> Report {
    verify(repository, scope, Options::default()).expect("verifies")
}

/// Asserts that the report has these findings, as `severity rule path`, where evidence files are called `EVIDENCE`.
#[track_caller]
pub(super) fn assert_report(report: &Report, expected: &[&str]) {
    let mut found: Vec<String> = report
        .findings
        .iter()
        .map(|finding| {
            let path = finding.path().map(ToString::to_string).unwrap_or_default();
            let path = if path.contains(".codex/evidence/ops/20") { "EVIDENCE".to_owned() } else { path };
            format!("{} {} {path}", finding.severity, finding.rule).trim_end().to_owned()
        })
        .collect();
    found.sort();
    let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(found, expected, "{:#?}", report.findings);
}
