//! Histories in memory, as the rules see them: blobs, commits and the edges between trees.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Cursor, Read};

use super::writer::{Written, path};
use crate::evidence::writer::NewEvidenceFile;
use crate::git::{Change, GitError, TreeEntry};
use crate::id::{ObjectId, Sha256};
use crate::item::RepoPath;
use crate::verify::names;
use crate::verify::report::{Finding, Rule};
use crate::verify::snapshot::{Objects, Snapshot, Visit, short_in_name};
use crate::verify::step::{Checker, Edge, Gaps, Outcome, OwnIndex, Step};

/// Blobs and commits in memory.
#[derive(Default)]
pub(super) struct World {
    pub(super) blobs: HashMap<ObjectId, Vec<u8>>,
    pub(super) commits: HashMap<ObjectId, Tree>,
}

impl Objects for World {
    fn read(&self, id: &ObjectId, limit: u64) -> Result<Option<Vec<u8>>, GitError> {
        let bytes = self.blobs.get(id).ok_or_else(|| missing(id))?;
        Ok((bytes.len() as u64 <= limit).then(|| bytes.clone()))
    }

    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, GitError> {
        Ok(Box::new(Cursor::new(self.blobs.get(id).ok_or_else(|| missing(id))?.clone())))
    }

    fn entry_in_commit(&self, commit: &ObjectId, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        Ok(self.commits.get(commit).ok_or_else(|| missing(commit))?.files.get(path).copied())
    }

    // Commits here have no parents: what follows from history has tests with the real git.
    fn forks(&self, _: &ObjectId, _: &ObjectId) -> Result<Vec<ObjectId>, GitError> {
        Ok(Vec::new())
    }
}

pub(super) fn missing(id: &ObjectId) -> GitError {
    GitError::MissingObject { id: *id, shallow: true, partial: false }
}

pub(super) fn id(bytes: &[u8]) -> ObjectId {
    ObjectId::from_bytes(&Sha256::of(bytes).as_bytes()[..20]).expect("is long enough")
}

/// The files of one commit.
#[derive(Default, Clone)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<RepoPath, TreeEntry>,
    pub(super) exempt: BTreeSet<RepoPath>,
}

impl Tree {
    /// Returns what differs from `parent`.
    pub(super) fn changes_since(&self, parent: &Self) -> Vec<Change> {
        let paths: BTreeSet<&RepoPath> = parent.files.keys().chain(self.files.keys()).collect();
        let changes = paths.into_iter().map(|path| Change {
            path: path.clone(),
            old: parent.files.get(path).copied(),
            new: self.files.get(path).copied(),
        });
        changes.filter(|change| change.old != change.new).collect()
    }
}

impl Snapshot for Tree {
    fn entry(&self, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        Ok(self.files.get(path).copied())
    }

    fn evidence(&self, top: &[u8], short: &str) -> Result<Vec<(RepoPath, TreeEntry)>, GitError> {
        let folder = names::join(top, names::EVIDENCE_FOLDER.as_bytes());
        let within = self.files.iter().filter(|(path, _)| path.is_within(&folder));
        let found = within.filter(|(path, _)| {
            short_in_name(path.file_name()) == Some(short) && names::evidence_top(path.as_bytes()) == Some(top)
        });
        Ok(found.map(|(path, entry)| (path.clone(), *entry)).collect())
    }

    fn walk(&self, folder: &[u8], visit: &mut Visit<'_>) -> Result<(), GitError> {
        for (path, entry) in self.files.iter().filter(|(path, _)| path.is_within(folder)) {
            visit(path.clone(), *entry);
        }
        Ok(())
    }

    fn exempt(&self, paths: &[RepoPath]) -> Result<Vec<bool>, GitError> {
        Ok(paths.iter().map(|path| self.exempt.contains(path)).collect())
    }
}

impl World {
    pub(super) fn put(&mut self, tree: &mut Tree, at: &str, bytes: &[u8]) {
        self.put_mode(tree, at, bytes, 0o100_644);
    }

    pub(super) fn put_mode(&mut self, tree: &mut Tree, at: &str, bytes: &[u8], mode: u32) {
        self.blobs.insert(id(bytes), bytes.to_vec());
        tree.files.insert(path(at), TreeEntry { mode, id: id(bytes) });
    }

    /// Makes a commit of `tree`, so that records can name it.
    pub(super) fn commit(&mut self, tree: &Tree) -> ObjectId {
        let commit = id(format!("commit {}", self.commits.len()).as_bytes());
        self.commits.insert(commit, tree.clone());
        commit
    }

    pub(super) fn put_evidence(&mut self, tree: &mut Tree, top: &str, evidence: &NewEvidenceFile) -> String {
        let at = format!("{top}{}", evidence.path());
        self.put(tree, &at, evidence.bytes());
        at
    }

    /// Puts stubs and evidence of an operation into `tree`.
    pub(super) fn put_all(&mut self, tree: &mut Tree, written: &Written) {
        self.put_evidence(tree, "", &written.evidence);
        for (at, text) in &written.stubs {
            self.put(tree, std::str::from_utf8(at.as_bytes()).expect("is text"), text.as_bytes());
        }
    }

    pub(super) fn outcome(&self, parents: &[&Tree], child: &Tree, own_index: Option<&Tree>, strict: bool) -> Outcome {
        let checker = Checker::new(self, strict);
        let mut gaps = Gaps::default();
        let nothing = Tree::default();
        let parents = if parents.is_empty() { vec![&nothing] } else { parents.to_vec() };
        let edges = parents
            .iter()
            .map(|parent| {
                let changes = child.changes_since(parent);
                let touched = checker.touch_all(changes, &mut gaps).expect("reads memory");
                let parent: &Tree = parent;
                Edge { parent: None, snapshot: parent, touched }
            })
            .collect();
        let own_index = own_index.map(|snapshot| OwnIndex { snapshot, command: "git commit both".to_owned() });
        checker.check(&Step { commit: None, child, edges, own_index }, gaps).expect("reads memory")
    }

    pub(super) fn check(&self, parents: &[&Tree], child: &Tree) -> Vec<Finding> {
        let outcome = self.outcome(parents, child, None, false);
        let lost = outcome.lost.iter().map(|lost| Finding::error(Rule::EvidenceRewritten, lost.path.as_bytes(), ""));
        let mut findings: Vec<Finding> = outcome.findings.into_iter().chain(lost).collect();
        findings.extend(outcome.gaps.into_finding(None));
        findings
    }
}

/// Asserts that `findings` are these, as `severity rule path`.
#[track_caller]
pub(super) fn assert_found(findings: &[Finding], expected: &[&str]) {
    let found: BTreeSet<String> = findings
        .iter()
        .map(|finding| {
            let path = finding.path().map(ToString::to_string).unwrap_or_default();
            format!("{} {} {path}", finding.severity, finding.rule)
        })
        .collect();
    assert_eq!(found, expected.iter().map(ToString::to_string).collect(), "{findings:#?}");
}
