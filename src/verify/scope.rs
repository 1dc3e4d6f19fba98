//! What is verified: what is staged, a range of commits, or everything.

use std::path::PathBuf;

use rayon::prelude::*;

use super::git::{CommitTree, EvidenceNames, OwnEvidence};
use super::report::{Finding, Report, Rule};
use super::snapshot::{Nothing, Objects, Overlay, Snapshot};
use super::step::{Checker, Edge, Gaps, Lost, Outcome, OwnIndex, Step, Touched, concerns_evidence};
use crate::git::{AttributeSource, Change, Commit, ConflictState, GitError, IndexEntry, Repository};
use crate::id::ObjectId;
use crate::item::RepoPath;
use crate::survey::exempt;

/// The most paths that a hint spells out.
const MAX_PATHS_IN_HINT: usize = 20;

/// What to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The index that git is about to commit.
    Staged {
        /// Further parents of the commit to be, as git names them in `GITHEAD_*`; those in `MERGE_HEAD` are known.
        merge_heads: Vec<ObjectId>,
    },
    /// The commits reachable from `to` and not from `from`, with all their edges.
    Range {
        /// The commit that is taken for verified, with its ancestors; git's null id excludes nothing.
        from: ObjectId,
        /// The last commit.
        to: ObjectId,
    },
    /// A branch that moves from one commit to another: the range, and, as on an edge, that nothing is lost where the new
    /// commit does not come from the old one.
    Update {
        /// The branch's commit until now, as in [`Scope::Range`].
        from: ObjectId,
        /// The branch's commit from now on.
        to: ObjectId,
    },
    /// The stubs and the evidence in the index, and the evidence along every edge reachable from `HEAD`.
    All,
}

/// How to verify.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Makes a `prev` that names no evidence file an error.
    pub strict: bool,
}

/// Why verification could not come to a result.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Git could not be asked, or holds something that cannot be read.
    #[error("cannot verify {scope}")]
    Git {
        /// What was to be verified.
        scope: &'static str,
        /// The cause.
        source: GitError,
    },
}

/// Verifies a repository. Missing objects are findings, not errors.
pub fn verify(repository: &Repository, scope: &Scope, options: Options) -> Result<Report, VerifyError> {
    Run::new(repository, repository.objects(), options).report(scope)
}

/// One verification.
pub(super) struct Run<'a> {
    repository: &'a Repository,
    names: EvidenceNames,
    pub(super) checker: Checker<'a>,
}

impl<'a> Run<'a> {
    /// Returns a verification of `repository` that reads what the rules look at through `objects`.
    pub(super) fn new(repository: &'a Repository, objects: &'a dyn Objects, options: Options) -> Self {
        Self { repository, names: EvidenceNames::default(), checker: Checker::new(objects, options.strict) }
    }

    pub(super) fn report(&self, scope: &Scope) -> Result<Report, VerifyError> {
        let (name, outcome) = match scope {
            Scope::Staged { merge_heads } => ("what is staged", self.staged(merge_heads)),
            Scope::Range { from, to } => ("the range", self.range(from, to)),
            Scope::Update { from, to } => ("the update", self.update(from, to)),
            Scope::All => ("the repository", self.all()),
        };
        let mut report = outcome.map_err(|source| VerifyError::Git { scope: name, source })?;
        report.checked.evidence_files = self.checker.evidence.files_read();
        Ok(report)
    }

    fn staged(&self, merge_heads: &[ObjectId]) -> Result<Report, GitError> {
        let head = self.repository.head_when_found()?;
        let mut parents: Vec<ObjectId> = head.into_iter().collect();
        for id in self.repository.merge_heads()?.iter().chain(merge_heads) {
            if !parents.contains(id) {
                parents.push(*id);
            }
        }
        let mut gaps = Gaps::default();
        let (sides, changes) = self.compare_index(&parents, &mut gaps)?;
        let (Some(base), Some(since_base)) = (sides.first(), changes.first().cloned()) else {
            return settle(vec![gaps.into()], |_| Ok(Weight::Error));
        };
        let attributes = |paths: &[RepoPath]| exempt(self.repository, AttributeSource::Index, paths);
        let child = Overlay::new(&*base.snapshot, since_base.iter().cloned(), &attributes);
        let mut edges = Vec::new();
        for (side, changes) in sides.iter().zip(changes) {
            let touched = self.checker.touch_all(changes, &mut gaps)?;
            edges.push(Edge { parent: side.id, snapshot: &*side.snapshot, touched });
        }
        let own_index = self.own_index_file().map(|file| OwnEvidence::new(self.repository, file));
        let own_index = own_index.as_ref().map(|snapshot| OwnIndex {
            snapshot,
            command: commit_command(since_base.iter().map(|change| &change.path)),
        });
        let mut outcome = self.checker.check(&Step { commit: None, child: &child, edges, own_index }, gaps)?;
        for finding in outcome.findings.iter_mut().filter(|finding| finding.rule == Rule::StubMalformed) {
            let path = finding.path().and_then(|path| RepoPath::try_new(path.to_vec()).ok());
            let command = path.map(|path| self.end_of_conflict(&path)).transpose()?.flatten();
            finding.hint = command.or(finding.hint.take());
        }

        // Git amends nothing while it merges.
        let amended = head.filter(|_| parents.len() == 1 && outcome.lost.iter().any(|lost| lost.gone));
        let before_head = amended.map(|head| self.before(&head)).transpose()?.flatten();
        settle(vec![outcome], |lost| {
            let Some(before_head) = before_head.as_ref().filter(|_| lost.gone) else { return Ok(Weight::Error) };
            for parent in before_head {
                if parent.snapshot.entry(&lost.path)?.is_some() {
                    return Ok(Weight::Error);
                }
            }
            Ok(Weight::MaybeAmended)
        })
    }

    /// Returns the parents that are here, each with what the index has other than it. Git compares them all at the same time,
    /// while their trees are looked up.
    fn compare_index(
        &self,
        ids: &[ObjectId],
        gaps: &mut Gaps,
    ) -> Result<(Vec<Parent<'_>>, Vec<Vec<Change>>), GitError> {
        let trees: Vec<Option<&ObjectId>> = if ids.is_empty() { vec![None] } else { ids.iter().map(Some).collect() };
        std::thread::scope(|scope| {
            let comparing: Vec<_> =
                trees.iter().map(|tree| scope.spawn(|| self.repository.index_changes(*tree))).collect();
            let sides = self.parents(ids, gaps)?;
            let mut changes = Vec::new();
            for (tree, comparison) in trees.iter().zip(comparing) {
                let compared = comparison.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                // With a parent that is missing there is nothing to compare; that it is missing is noted.
                if sides.iter().any(|side| side.id.as_ref() == *tree) {
                    changes.push(compared?.changes);
                }
            }
            Ok((sides, changes))
        })
    }

    /// Returns the parents of a commit; `None` where some are missing, and with them what the commit added.
    fn before(&self, commit: &ObjectId) -> Result<Option<Vec<Parent<'_>>>, GitError> {
        let ids = self.repository.objects().commit(commit)?.parents;
        let found = self.parents(&ids, &mut Gaps::default())?;
        Ok(Some(found).filter(|found| found.len() == ids.len().max(1)))
    }

    fn range(&self, from: &ObjectId, to: &ObjectId) -> Result<Report, GitError> {
        let outcomes = self.walk(to, &[*from], Depth::Everything)?;
        self.settle_history(outcomes, to)
    }

    fn update(&self, from: &ObjectId, to: &ObjectId) -> Result<Report, GitError> {
        let mut outcomes = self.walk(to, &[*from], Depth::Everything)?;
        let objects = self.repository.objects();
        // In a fast-forward, the edges between the two say it all.
        let is_ahead = |commit: &Commit| commit.id == *from;
        if !from.is_null() && objects.history(&[*from], &[*to])?.commits.iter().any(is_ahead) {
            outcomes.push(self.replacement(&objects.commit(from)?, &objects.commit(to)?)?);
        }
        self.settle_history(outcomes, to)
    }

    /// Checks that a commit which takes another's place, and does not come from it, takes nothing away.
    fn replacement(&self, old: &Commit, new: &Commit) -> Result<Outcome, GitError> {
        let mut gaps = Gaps::default();
        let touched = self.differences(Some(&old.tree), &new.tree, Depth::Everything, &mut gaps)?;
        let (before, after) = (self.tree(old), self.tree(new));
        let edges = vec![Edge { parent: Some(old.id), snapshot: &before, touched }];
        let step = Step { commit: Some(new.id), child: &after, edges, own_index: None };
        self.checker.check_losses(&step, gaps)
    }

    fn all(&self) -> Result<Report, GitError> {
        let mut gaps = Gaps::default();
        let head = self.repository.head_when_found()?;
        let entries = self.repository.tracked_entries(&[])?.into_iter().filter(|entry| entry.stage == 0);
        let source = match head {
            Some(head) if self.repository.is_bare() => AttributeSource::Tree(head),
            _ => AttributeSource::Index,
        };
        let attributes = |paths: &[RepoPath]| exempt(self.repository, source, paths);
        let index = Overlay::new(&Nothing, entries.map(added), &attributes);
        let changes = index.added().map(|(path, entry)| Change { path: path.clone(), old: None, new: Some(*entry) });
        let touched = self.checker.touch_all(changes, &mut gaps)?;
        let edges = vec![Edge { parent: None, snapshot: &Nothing, touched }];
        let mut outcomes =
            vec![self.checker.check(&Step { commit: None, child: &index, edges, own_index: None }, gaps)?];
        // The index is no edge of the history.
        outcomes[0].checked.edges = 0;
        let Some(head) = head else { return settle(outcomes, |_| Ok(Weight::Error)) };
        outcomes.extend(self.walk(&head, &[], Depth::EvidenceLost)?);
        self.settle_history(outcomes, &head)
    }

    /// Checks every commit reachable from `last` and not from `exclude`. Oldest first.
    fn walk(&self, last: &ObjectId, exclude: &[ObjectId], depth: Depth) -> Result<Vec<Outcome>, GitError> {
        let objects = self.repository.objects();
        let exclude: Vec<ObjectId> = exclude.iter().copied().filter(|id| !id.is_null()).collect();
        let history = objects.history(&[*last], &exclude)?;
        let mut outcomes: Vec<Outcome> =
            history.commits.par_iter().rev().map(|commit| self.commit(commit, depth)).collect::<Result<_, _>>()?;
        if history.missing.contains(last) {
            let mut gaps = Gaps::default();
            gaps.note(None, objects.commit(last))?;
            outcomes.push(gaps.into());
        }
        Ok(outcomes)
    }

    fn commit(&self, commit: &Commit, depth: Depth) -> Result<Outcome, GitError> {
        let mut gaps = Gaps::default();
        let parents = self.parents(&commit.parents, &mut gaps)?;
        let mut edges = Vec::new();
        for Parent { id, tree, snapshot } in &parents {
            let touched = self.differences(tree.as_ref(), &commit.tree, depth, &mut gaps)?;
            edges.push(Edge { parent: *id, snapshot: &**snapshot, touched });
        }
        let child = self.tree(commit);
        let step = Step { commit: Some(commit.id), child: &child, edges, own_index: None };
        match depth {
            Depth::Everything => self.checker.check(&step, gaps),
            Depth::EvidenceLost => self.checker.check_evidence_lost(&step, gaps),
        }
    }

    /// Returns what of the differences between two trees concerns stubs and evidence.
    fn differences(
        &self,
        old: Option<&ObjectId>,
        new: &ObjectId,
        depth: Depth,
        gaps: &mut Gaps,
    ) -> Result<Vec<Touched>, GitError> {
        let mut failed = None;
        let mut missed = Gaps::default();
        let differences = self.repository.objects().diff_trees(old, Some(new)).filter_map(|change| match change {
            // Git refuses to check such a path out, so nothing can stand there.
            Err(GitError::InvalidPath(_)) => None,
            change => missed.note(None, change).unwrap_or_else(|error| {
                failed = Some(error);
                None
            }),
        });
        let touched = self.checker.touch_all(differences.filter(|change| depth.wants(change)), gaps)?;
        gaps.add(missed);
        failed.map_or(Ok(touched), Err)
    }

    /// Puts a walk through history together: evidence that `last` holds again was mended.
    fn settle_history(&self, outcomes: Vec<Outcome>, last: &ObjectId) -> Result<Report, GitError> {
        let last = match self.repository.objects().commit(last) {
            Ok(commit) => self.tree(&commit),
            Err(GitError::MissingObject { .. }) => return settle(outcomes, |_| Ok(Weight::Error)),
            Err(error) => return Err(error),
        };
        settle(outcomes, |lost| {
            let is_mended = last.entry(&lost.path)? == Some(lost.entry);
            Ok(if is_mended { Weight::Mended } else { Weight::Error })
        })
    }

    /// Returns the command that ends the conflict at `path`, if it is in one that is about to be committed with its markers.
    fn end_of_conflict(&self, path: &RepoPath) -> Result<Option<String>, GitError> {
        let index = self.own_index_file().unwrap_or_else(|| self.repository.index_path().to_owned());
        let path_in_command = path.to_pathspec();
        let resolve = format!("git archive-tomb resolve {path_in_command} --keep-tomb # or --restore, or --re-archive");
        Ok(match self.repository.conflict_in(&index, path)? {
            // `git commit -a` stages the markers in an index of its own.
            Some(ConflictState::Open) => Some(resolve),
            Some(ConflictState::Staged) => Some(format!("git checkout -m -- {path_in_command} && {resolve}")),
            None => None,
        })
    }

    /// Returns the repository's own index, if git now uses another one.
    fn own_index_file(&self) -> Option<PathBuf> {
        let own = self.repository.git_dir().join("index");
        (own != self.repository.index_path() && own.exists()).then_some(own)
    }

    fn tree(&self, commit: &Commit) -> CommitTree<'_> {
        CommitTree::new(self.repository, &self.names, commit.tree)
    }

    /// Returns the parents of a commit, or for a root the nothing before it; those that are not here are noted.
    fn parents(&self, ids: &[ObjectId], gaps: &mut Gaps) -> Result<Vec<Parent<'_>>, GitError> {
        let mut parents = Vec::new();
        for id in ids {
            if let Some(commit) = gaps.note(None, self.repository.objects().commit(id))? {
                let snapshot = Box::new(self.tree(&commit));
                parents.push(Parent { id: Some(*id), tree: Some(commit.tree), snapshot });
            }
        }
        if ids.is_empty() {
            parents.push(Parent { id: None, tree: None, snapshot: Box::new(Nothing) });
        }
        Ok(parents)
    }
}

/// A parent of a commit, or the nothing before a root.
struct Parent<'a> {
    id: Option<ObjectId>,
    tree: Option<ObjectId>,
    snapshot: Box<dyn Snapshot + 'a>,
}

/// How much of a commit is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// All rules.
    Everything,
    /// Only that evidence grows.
    EvidenceLost,
}

impl Depth {
    fn wants(self, change: &Change) -> bool {
        self == Self::Everything || concerns_evidence(&change.path)
    }
}

/// Returns an entry of the index as a difference from nothing.
fn added(entry: IndexEntry) -> Change {
    Change { path: entry.path, old: None, new: Some(entry.entry) }
}

/// How much it weighs that an edge lost an evidence file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Error,
    /// The last commit holds it again.
    Mended,
    /// Only the commit that is perhaps being amended had it.
    MaybeAmended,
}

/// Makes the report: weighs the losses, orders the findings.
fn settle(outcomes: Vec<Outcome>, weigh: impl Fn(&Lost) -> Result<Weight, GitError>) -> Result<Report, GitError> {
    let mut report = Report::default();
    for outcome in outcomes {
        let commit = outcome.commit;
        let mut findings = outcome.findings;
        for lost in &outcome.lost {
            findings.push(rewritten(lost, weigh(lost)?).commit(commit));
        }
        findings.extend(outcome.gaps.into_finding(commit));
        findings.sort_by(|a, b| (&a.path, a.rule, a.line).cmp(&(&b.path, b.rule, b.line)));
        report.findings.extend(findings);
        report.checked.add(outcome.checked);
    }
    Ok(report)
}

fn rewritten(lost: &Lost, weight: Weight) -> Finding {
    let what =
        if lost.gone { "an evidence file that a parent holds is missing" } else { "an evidence file was changed" };
    let path = lost.path.as_bytes();
    let bring_back = lost.bring_back.clone();
    let mut finding = match weight {
        Weight::Error => Finding::error(Rule::EvidenceRewritten, path, what).hint(bring_back),
        // Nothing is left to be done.
        Weight::Mended => {
            Finding::warning(Rule::EvidenceRewritten, path, format!("{what} here, and back in the last commit"))
        }
        Weight::MaybeAmended => Finding::warning(
            Rule::EvidenceRewritten,
            path,
            format!("{what}; only the last commit has it, so amending that commit drops it"),
        )
        .hint(format!("if this is no amend: {bring_back}")),
    };
    (finding.line, finding.record) = (lost.line, lost.record);
    finding
}

/// Returns the `git commit` line that takes these paths and all evidence.
fn commit_command<'p>(paths: impl ExactSizeIterator<Item = &'p RepoPath>) -> String {
    if paths.len() > MAX_PATHS_IN_HINT {
        return "commit all that is staged: git commit".to_owned();
    }
    let words: Vec<String> = paths.map(RepoPath::to_pathspec).collect();
    format!("git commit -- {} :/.codex/evidence", words.join(" "))
}
