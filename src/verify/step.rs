//! One step of history: a commit (or what is staged) with all its edges, and the checker that applies the rules to it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::evidence::{EvidenceReader, Reading};
use super::names;
use super::report::{Checked, Finding, Rule, Severity};
use super::rules;
use super::snapshot::{Objects, Snapshot};
use crate::evidence::checkpoint::format::is_in_folder;
use crate::git::{Change, GitError, TreeEntry};
use crate::id::{ObjectId, Sha256, Tombstone};
use crate::item::RepoPath;
use crate::stub::{self, Malformed, Parsed, ParsedStub};

/// How many differences are held and read at a time.
const BATCH: usize = 4096;

/// Fewer things than this are looked at one after another: waking other threads would take longer.
const FEW: usize = 8;

/// How many blobs are remembered as stubs or not, for searches through whole trees.
const MAX_REMEMBERED_BLOBS: usize = 500_000;

/// A commit with its edges.
pub(super) struct Step<'a> {
    /// The commit; `None` is the index.
    pub(super) commit: Option<ObjectId>,
    /// Its snapshot.
    pub(super) child: &'a dyn Snapshot,
    /// One per parent; a root has one from [`super::snapshot::Nothing`].
    pub(super) edges: Vec<Edge<'a>>,
    /// The repository's own index where `child` is a temporary one, which may lack what the own one has.
    pub(super) own_index: Option<OwnIndex<'a>>,
}

impl Step<'_> {
    /// Returns the command that brings back what stood at `path` before this step, or takes away what did not.
    pub(super) fn undo(&self, path: &RepoPath) -> String {
        let old = |edge: &Edge<'_>, wanted: fn(&Side) -> bool| {
            let index = edge.touched.binary_search_by(|touched| touched.path.cmp(path)).ok()?;
            edge.parent.filter(|_| edge.touched[index].old.as_ref().is_some_and(wanted))
        };
        // A stub rather than a file that another parent has: whoever wants the file back wants that on the record.
        let stub = self.edges.iter().find_map(|edge| old(edge, |side| side.stub().is_some()));
        let parent = stub.or_else(|| self.edges.iter().find_map(|edge| old(edge, |_| true)));
        match parent {
            Some(parent) => format!("git checkout {} -- {}", self.name_of(parent), path.to_pathspec()),
            None if self.is_audit() => {
                format!(
                    "find the commit where it was right, to check it out from there: git log -- {}",
                    path.to_pathspec()
                )
            }
            None => format!("git rm --cached -- {}", path.to_pathspec()),
        }
    }

    /// Returns whether everything is looked at as if it had just come.
    pub(super) fn is_audit(&self) -> bool {
        self.commit.is_none() && self.edges.iter().all(|edge| edge.parent.is_none())
    }

    /// Returns how commands call a parent.
    pub(super) fn name_of(&self, parent: ObjectId) -> String {
        // What is staged stands on HEAD; its other parents are those of a merge.
        let is_head = self.commit.is_none() && self.edges.first().is_some_and(|edge| edge.parent == Some(parent));
        if is_head { "HEAD".to_owned() } else { parent.to_string() }
    }
}

/// The repository's own index while git commits from a temporary one.
pub(super) struct OwnIndex<'a> {
    /// What it holds.
    pub(super) snapshot: &'a dyn Snapshot,
    /// The `git commit` line that the user seems to have typed, to which paths can be added.
    pub(super) command: String,
}

/// A commit and one of its parents.
pub(super) struct Edge<'a> {
    /// The parent; `None` where there is none.
    pub(super) parent: Option<ObjectId>,
    /// The parent's snapshot.
    pub(super) snapshot: &'a dyn Snapshot,
    /// The differences that concern stubs or evidence, in the order of the paths.
    pub(super) touched: Vec<Touched>,
}

/// A path on an edge that is or was a stub, evidence, or posing as such.
pub(super) struct Touched {
    pub(super) path: RepoPath,
    pub(super) old: Option<Side>,
    pub(super) new: Option<Side>,
}

/// What stands at a path on one side of an edge.
pub(super) struct Side {
    pub(super) entry: TreeEntry,
    /// `None` for what is no stub.
    pub(super) stub: Option<StubState>,
}

/// A file that has a stub's marker.
pub(super) enum StubState {
    WellFormed(Box<ParsedStub>),
    Newer(u32),
    Malformed(Malformed),
}

impl Side {
    /// Returns the stub, if it is a well-formed one.
    pub(super) fn stub(&self) -> Option<&ParsedStub> {
        match &self.stub {
            Some(StubState::WellFormed(stub)) => Some(stub),
            _ => None,
        }
    }
}

impl Touched {
    /// Returns whether a stub came here.
    pub(super) fn is_new_stub(&self) -> bool {
        self.new.as_ref().is_some_and(|new| new.stub.is_some())
    }
}

/// What a step has to say.
#[derive(Default)]
pub(super) struct Outcome {
    /// The commit; `None` is the index.
    pub(super) commit: Option<ObjectId>,
    pub(super) findings: Vec<Finding>,
    /// Evidence files that an edge lost. The scope decides how much that weighs: it may be mended later.
    pub(super) lost: Vec<Lost>,
    pub(super) checked: Checked,
    /// Objects that were needed and are missing.
    pub(super) gaps: Gaps,
}

/// An evidence file of a parent that is missing or changed.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    pub(super) path: RepoPath,
    pub(super) entry: TreeEntry,
    /// Whether nothing is left at its path; otherwise something else stands there.
    pub(super) gone: bool,
    /// The command that brings it back.
    pub(super) bring_back: String,
    /// The first line that is not as it was, where something else stands there.
    pub(super) line: Option<u64>,
    /// The digest of that line as it was.
    pub(super) record: Option<Sha256>,
}

/// Objects that are needed and missing.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    count: u64,
    first: Option<Gap>,
}

#[derive(Debug)]
struct Gap {
    id: ObjectId,
    path: Option<RepoPath>,
    shallow: bool,
    partial: bool,
}

impl Gaps {
    /// Passes a result on; a missing object is noted and becomes `None`.
    pub(super) fn note<T>(
        &mut self,
        path: Option<&RepoPath>,
        result: Result<T, GitError>,
    ) -> Result<Option<T>, GitError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(GitError::MissingObject { id, shallow, partial }) => {
                self.count += 1;
                self.first.get_or_insert_with(|| Gap { id, path: path.cloned(), shallow, partial });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Adds what another part of the work missed.
    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        if self.first.is_none() {
            self.first = other.first;
        }
    }

    /// Returns the finding, if anything is missing.
    pub(super) fn into_finding(self, commit: Option<ObjectId>) -> Option<Finding> {
        let Gap { id, path, shallow, partial } = self.first?;
        let reason = match self.count {
            1 => format!("object `{id}` is needed and not in this clone"),
            count => format!("{count} objects are needed and not in this clone, the first is `{id}`"),
        };
        let hint = fetch_command(shallow, partial)
            .unwrap_or("find out what is damaged with `git fsck`, then fetch it again: git fetch --refetch");
        let mut finding = Finding::error(Rule::HistoryIncomplete, b"", reason).hint(hint).commit(commit);
        finding.path = path.map(|path| path.as_bytes().into());
        Some(finding)
    }
}

/// Returns the command that fetches what this clone left out.
pub(super) fn fetch_command(shallow: bool, partial: bool) -> Option<&'static str> {
    match (shallow, partial) {
        (true, _) => Some("git fetch --unshallow"),
        (_, true) => Some("git fetch --refetch --no-filter"),
        _ => None,
    }
}

impl Outcome {
    fn of(step: &Step<'_>, gaps: Gaps) -> Self {
        let checked = Checked { commits: 1, edges: step.edges.len() as u64, ..Checked::default() };
        Self { commit: step.commit, gaps, checked, ..Self::default() }
    }
}

impl From<Gaps> for Outcome {
    fn from(gaps: Gaps) -> Self {
        Self { gaps, ..Self::default() }
    }
}

/// By two commits, where their histories part.
type Forks = HashMap<(ObjectId, ObjectId), Arc<[ObjectId]>>;

/// Applies the rules, reading through `objects`.
pub(super) struct Checker<'a> {
    pub(super) objects: &'a dyn Objects,
    pub(super) evidence: EvidenceReader<'a>,
    /// Whether a `prev` that names nothing is an error.
    pub(super) strict: bool,
    /// For blobs met in searches through whole trees: the tombstone, if it is a well-formed stub.
    seen: Mutex<HashMap<ObjectId, Option<Tombstone>>>,
    /// Asked for one path after the other.
    forks: Mutex<Forks>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(objects: &'a dyn Objects, strict: bool) -> Self {
        Self {
            objects,
            evidence: EvidenceReader::new(objects),
            strict,
            seen: Mutex::default(),
            forks: Mutex::default(),
        }
    }

    /// Returns the difference as the rules need it; `None` if it concerns neither stubs nor evidence.
    pub(super) fn touch(&self, change: Change, gaps: &mut Gaps) -> Result<Option<Touched>, GitError> {
        let Change { path, old, new } = change;
        if concerns_evidence(&path) {
            let side = |entry: Option<TreeEntry>| entry.map(|entry| Side { entry, stub: None });
            return Ok(Some(Touched { path, old: side(old), new: side(new) }));
        }
        let mut side = |entry: Option<TreeEntry>| -> Result<Option<Side>, GitError> {
            let Some(entry) = entry else { return Ok(None) };
            let stub = gaps.note(Some(&path), self.stub_at(&entry))?.flatten();
            Ok(Some(Side { entry, stub }))
        };
        let (old, new) = (side(old)?, side(new)?);
        let concerns_stubs = [&old, &new].into_iter().flatten().any(|side| side.stub.is_some());
        Ok(concerns_stubs.then_some(Touched { path, old, new }))
    }

    /// Touches many differences, in parallel and in their order. Of all others nothing is kept, so that memory grows with
    /// the stubs and evidence among them.
    pub(super) fn touch_all(
        &self,
        changes: impl IntoIterator<Item = Change>,
        gaps: &mut Gaps,
    ) -> Result<Vec<Touched>, GitError> {
        let mut changes = changes.into_iter();
        let mut all = Vec::new();
        loop {
            let batch: Vec<Change> = changes.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(all);
            }
            let touched = map_in_order(batch, |change| {
                let mut gaps = Gaps::default();
                Ok((self.touch(change, &mut gaps)?, gaps))
            })?;
            for (touched, missed) in touched {
                all.extend(touched);
                gaps.add(missed);
            }
        }
    }

    /// Returns the state of the stub that an entry is; `None` if it is none.
    fn stub_at(&self, entry: &TreeEntry) -> Result<Option<StubState>, GitError> {
        if !is_regular(entry) {
            return Ok(None);
        }
        let Some(bytes) = self.objects.read(&entry.id, stub::MAX_RAW_LENGTH as u64)? else { return Ok(None) };
        Ok(match stub::parse(&bytes) {
            Parsed::NotAStub => None,
            Parsed::Stub(stub) => Some(StubState::WellFormed(stub)),
            Parsed::Newer { version } => Some(StubState::Newer(version)),
            Parsed::Malformed(reason) => Some(StubState::Malformed(reason)),
        })
    }

    /// Returns the tombstone of the stub that an entry is; remembered, for searches through many similar trees.
    pub(super) fn tombstone_at(&self, entry: &TreeEntry) -> Result<Option<Tombstone>, GitError> {
        let seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen().get(&entry.id) {
            return Ok(*known);
        }
        let found = match self.stub_at(entry)? {
            Some(StubState::WellFormed(stub)) => Some(stub.stub.tombstone),
            _ => None,
        };
        let mut seen = seen();
        if seen.len() >= MAX_REMEMBERED_BLOBS {
            seen.clear();
        }
        seen.insert(entry.id, found);
        Ok(found)
    }

    /// Returns whether `entry` stood at `path` where the history of `one` left that of `other`: so what became of it
    /// since is in commits that only `one` has.
    pub(super) fn stood_at_fork(
        &self,
        one: &ObjectId,
        other: &ObjectId,
        path: &RepoPath,
        entry: &TreeEntry,
    ) -> Result<bool, GitError> {
        let mut known = self.forks.lock().unwrap_or_else(PoisonError::into_inner);
        let forks = if let Some(forks) = known.get(&(*one, *other)) {
            Arc::clone(forks)
        } else {
            let forks: Arc<[ObjectId]> = self.objects.forks(one, other)?.into();
            known.insert((*one, *other), Arc::clone(&forks));
            forks
        };
        drop(known);
        for fork in forks.iter() {
            match self.objects.entry_in_commit(fork, path) {
                Ok(Some(found)) if found == *entry => return Ok(true),
                // What is not here proves nothing.
                Ok(_) | Err(GitError::MissingObject { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Returns the digest of a blob, and its length.
    pub(super) fn measure(&self, id: &ObjectId) -> Result<(Sha256, u64), GitError> {
        let reader = self.objects.open(id)?;
        Sha256::of_reader(reader).map_err(|source| GitError::Pipe { command: "cat-file", source })
    }

    /// Looks only for evidence that the edges of a step lose.
    pub(super) fn check_evidence_lost(&self, step: &Step<'_>, gaps: Gaps) -> Result<Outcome, GitError> {
        let mut outcome = Outcome::of(step, gaps);
        rules::checkpoints::check_edges(self, step, &mut outcome)?;
        rules::ledger::check_edges(self, step, &mut outcome)?;
        Ok(outcome)
    }

    /// Looks only for what the edges of a step take away: evidence, and stubs.
    pub(super) fn check_losses(&self, step: &Step<'_>, gaps: Gaps) -> Result<Outcome, GitError> {
        let mut outcome = self.check_evidence_lost(step, gaps)?;
        let fixtures = remove_exempt(step.child, &mut outcome)?;
        rules::removal::check(self, step, &fixtures, &mut outcome)?;
        for finding in &mut outcome.findings {
            finding.commit = step.commit;
        }
        Ok(outcome)
    }

    /// Applies every rule to a step.
    pub(super) fn check(&self, step: &Step<'_>, gaps: Gaps) -> Result<Outcome, GitError> {
        let mut outcome = Outcome::of(step, gaps);
        rules::checkpoints::check_edges(self, step, &mut outcome)?;
        let moved = rules::ledger::check_edges(self, step, &mut outcome)?;
        let brought_in = brought_in(step);
        rules::ledger::check_entries(self, step, &brought_in, &mut outcome)?;
        rules::checkpoints::check_entries(self, step, &brought_in, &mut outcome)?;
        rules::stubs::check(self, step, &brought_in, &moved, &mut outcome)?;
        let fixtures = remove_exempt(step.child, &mut outcome)?;
        rules::removal::check(self, step, &fixtures, &mut outcome)?;
        for finding in &mut outcome.findings {
            finding.commit = step.commit;
        }
        Ok(outcome)
    }

    /// Reads evidence on all cores, so that it is at hand when it is asked for.
    pub(super) fn read_ahead(&self, files: Vec<(&RepoPath, &TreeEntry)>) -> Result<(), GitError> {
        // What is missing is noted by whoever asks for it.
        let read = |(path, entry)| self.read_evidence(path, entry, &mut Gaps::default()).map(drop);
        map_in_order(files, read).map(drop)
    }

    /// Reads evidence; a missing object is noted and becomes `None`.
    pub(super) fn read_evidence(
        &self,
        path: &RepoPath,
        entry: &TreeEntry,
        gaps: &mut Gaps,
    ) -> Result<Option<Reading>, GitError> {
        gaps.note(Some(path), self.evidence.read(path, entry))
    }
}

/// Maps all of `items`, on all cores where there are enough of them.
pub(super) fn map_in_order<T: Send, U: Send>(
    items: Vec<T>,
    map: impl Fn(T) -> Result<U, GitError> + Sync + Send,
) -> Result<Vec<U>, GitError> {
    if items.len() < FEW { items.into_iter().map(map).collect() } else { items.into_par_iter().map(map).collect() }
}

/// Returns what the commit brings in: what differs from every parent. By path.
fn brought_in<'s>(step: &'s Step<'_>) -> BTreeMap<&'s RepoPath, &'s Side> {
    let mut found: BTreeMap<&RepoPath, (&Side, usize)> = BTreeMap::new();
    for edge in &step.edges {
        for touched in &edge.touched {
            if let Some(new) = &touched.new {
                found.entry(&touched.path).or_insert((new, 0)).1 += 1;
            }
        }
    }
    let everywhere = found.into_iter().filter(|(_, (_, edges))| *edges == step.edges.len());
    everywhere.map(|(path, (side, _))| (path, side)).collect()
}

/// Returns whether the path is evidence, or stands where evidence or its folders belong, or poses as such.
pub(super) fn concerns_evidence(path: &RepoPath) -> bool {
    let path = path.as_bytes();
    let is_kept = names::evidence_top(path).is_some() || is_in_folder(path);
    is_kept || path == b".codex" || path == b".codex/evidence" || names::is_imposter(path)
}

/// Returns whether an entry is a file in the narrow sense.
pub(super) fn is_regular(entry: &TreeEntry) -> bool {
    entry.mode & 0o170_000 == 0o100_000
}

/// Takes out what is said about new stubs at exempt paths. Git is asked about attributes only here, when there is something
/// to take out. Returns the paths at which an error was taken out: what stands there is no stub.
fn remove_exempt(child: &dyn Snapshot, outcome: &mut Outcome) -> Result<HashSet<RepoPath>, GitError> {
    let about_stub = |finding: &Finding| {
        if finding.path().is_some_and(|path| is_in_folder(path)) {
            return false;
        }
        match finding.rule {
            // Evidence is never exempt.
            Rule::EvidenceBroken | Rule::EvidenceRewritten | Rule::HistoryIncomplete => false,
            _ => finding.path().is_some_and(|path| names::evidence_top(path).is_none()),
        }
    };
    let mut paths: Vec<RepoPath> = outcome
        .findings
        .iter()
        .filter(|finding| about_stub(finding))
        .filter_map(|finding| RepoPath::try_new(finding.path()?.to_vec()).ok())
        .collect();
    paths.sort();
    paths.dedup();
    let mut fixtures = HashSet::new();
    if paths.is_empty() {
        return Ok(fixtures);
    }
    let exempt = child.exempt(&paths)?;
    let exempt: Vec<RepoPath> =
        paths.into_iter().zip(exempt).filter_map(|(path, exempt)| exempt.then_some(path)).collect();
    outcome.findings.retain(|finding| {
        let path = finding.path().unwrap_or_default();
        let found = exempt.binary_search_by(|exempt| exempt.as_bytes().cmp(path)).ok().filter(|_| about_stub(finding));
        if let Some(found) = found.filter(|_| finding.severity == Severity::Error) {
            fixtures.insert(exempt[found].clone());
        }
        found.is_none()
    });
    Ok(fixtures)
}
