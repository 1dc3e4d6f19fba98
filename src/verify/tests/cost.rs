//! What is read: counted, never timed.

use std::io::Read;
use std::sync::Mutex;

use super::project::{Project, assert_report};
use crate::git::{GitError, Repository, TreeEntry};
use crate::id::ObjectId;
use crate::item::RepoPath;
use crate::stub::MAX_RAW_LENGTH;
use crate::verify::scope::Run;
use crate::verify::snapshot::Objects;
use crate::verify::{Options, Report, Scope};

const STAGED: Scope = Scope::Staged { merge_heads: Vec::new() };

/// Writes down what is asked for.
struct Counting<'a> {
    objects: &'a dyn Objects,
    asked: Mutex<Vec<String>>,
}

impl<'a> Counting<'a> {
    fn new(repository: &'a Repository) -> Self {
        Self { objects: repository.objects(), asked: Mutex::default() }
    }

    fn note(&self, what: String) {
        self.asked.lock().expect("no thread panicked").push(what);
    }

    /// Verifies, and returns with the report what was read, sorted.
    fn verify(&self, repository: &Repository, scope: &Scope) -> (Report, Vec<String>) {
        let report = Run::new(repository, self, Options::default()).report(scope).expect("verifies");
        (report, self.take())
    }

    fn take(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().expect("no thread panicked"));
        asked.sort();
        asked
    }
}

impl Objects for Counting<'_> {
    fn read(&self, id: &ObjectId, limit: u64) -> Result<Option<Vec<u8>>, GitError> {
        assert!(limit <= MAX_RAW_LENGTH as u64, "nothing that is larger than a stub is read to see whether it is one");
        self.note(format!("read {id}"));
        self.objects.read(id, limit)
    }

    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, GitError> {
        self.note(format!("open {id}"));
        self.objects.open(id)
    }

    fn entry_in_commit(&self, commit: &ObjectId, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        self.note(format!("look at {path} in {commit}"));
        self.objects.entry_in_commit(commit, path)
    }

    fn forks(&self, one: &ObjectId, other: &ObjectId) -> Result<Vec<ObjectId>, GitError> {
        self.note(format!("look where {one} left {other}"));
        self.objects.forks(one, other)
    }
}

/// Verifies what is staged, which must be in order, and returns what was read.
#[track_caller]
fn staged(project: &Project) -> Vec<String> {
    let repository = project.repository();
    let (report, asked) = Counting::new(&repository).verify(&repository, &STAGED);
    assert_report(&report, &[]);
    asked
}

/// Returns the lines that tell of these revisions, each read in one way.
fn lines(project: &Project, read: &[&str], opened: &[&str]) -> Vec<String> {
    let line = |way, revision: &&str| format!("{way} {}", project.id(revision));
    let mut lines: Vec<String> = read.iter().map(|revision| line("read", revision)).collect();
    lines.extend(opened.iter().map(|revision| line("open", revision)));
    lines.sort();
    lines
}

#[test]
fn a_commit_without_stubs_reads_both_sides_of_what_changes_and_nothing_else() {
    let project = Project::new();
    project.archive(&["a.py", "b.py"]);
    project.commit("archive");
    assert_eq!(staged(&project), [""; 0]);
    project.write("c.py", "changed\n");
    project.write("new.py", "new\n");
    project.git(&["rm", "-q", "d.py"]);
    project.git(&["add", "-A"]);
    assert_eq!(staged(&project), lines(&project, &["HEAD:c.py", ":c.py", ":new.py", "HEAD:d.py"], &[]));
}

#[test]
fn a_commit_of_stubs_reads_them_their_files_and_one_evidence_file() {
    let project = Project::new();
    project.archive(&["a.py", "b.py"]);
    project.commit("archive");
    let before = project.evidence_files();
    project.archive(&["c.py", "d.py"]);
    let evidence = project.evidence_files().into_iter().find(|file| !before.contains(file)).expect("is new");
    let read = ["HEAD:c.py", ":c.py", "HEAD:d.py", ":d.py"];
    // The files are read again for their digests, in pieces, because they may have any size.
    let opened = ["HEAD:c.py", "HEAD:d.py", &format!(":{evidence}")];
    assert_eq!(staged(&project), lines(&project, &read, &opened));
}

#[test]
fn an_audit_reads_each_evidence_file_once() {
    let project = Project::new();
    for path in ["a.py", "b.py", "c.py", "d.py"] {
        project.archive(&[path]);
        project.commit("archive");
    }
    let repository = project.repository();
    let (report, asked) = Counting::new(&repository).verify(&repository, &Scope::All);
    assert_report(&report, &[]);
    let evidence: Vec<String> = project.evidence_files().iter().map(|file| format!(":{file}")).collect();
    let evidence = lines(&project, &[], &evidence.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(asked.iter().filter(|line| evidence.contains(line)).count(), evidence.len());
    assert_eq!(report.checked.evidence_files, 4);
}

#[test]
fn evidence_that_is_larger_than_the_cache_is_not_read_once_per_stub() {
    let project = Project::new();
    for path in ["e.py", "f.py", "g.py"] {
        project.write(path, format!("print('{path}')\n"));
    }
    project.commit("more");
    project.archive(&["a.py", "c.py", "e.py", "g.py"]);
    project.archive(&["b.py", "d.py", "f.py"]);
    let repository = project.repository();
    let mut run = Run::new(&repository, repository.objects(), Options::default());
    run.checker.evidence.most_records = 1;
    let report = run.report(&STAGED).expect("verifies");
    assert_report(&report, &[]);
    // Each is read ahead, looked at, and there for its stubs, and the first one as the second's predecessor.
    assert!(report.checked.evidence_files <= 7, "{} files were read", report.checked.evidence_files);
}
