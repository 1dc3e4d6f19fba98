use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::git::{GitError, TreeEntry};
use crate::id::{Sha256, Tombstone};
use crate::item::RepoPath;
use crate::stub::Stub;
use crate::verify::evidence::Reading;
use crate::verify::names;
use crate::verify::report::{Finding, Rule};
use crate::verify::step::{Checker, Edge, Outcome, Step, StubState, is_regular};

/// A stub that an edge removes.
#[derive(Clone, Copy)]
struct Gone<'s> {
    path: &'s RepoPath,
    entry: TreeEntry,
    stub: &'s Stub,
    /// Whether something else stands in its place.
    is_replaced: bool,
}

/// Looks for stubs that disappear on an edge without an account of where their bytes are.
///
/// What costs little is asked first, and attributes for many paths at a time: whole folders of stubs may move.
pub(in crate::verify) fn check(checker: &Checker<'_>, step: &Step<'_>, outcome: &mut Outcome) -> Result<(), GitError> {
    let mut in_tree = None;
    let mut reported: HashSet<(&RepoPath, Tombstone)> = HashSet::new();
    for edge in &step.edges {
        let mut gone = unaccounted(checker, edge, outcome)?;
        if step.edges.len() > 1 {
            gone = not_gone_before(checker, step, edge, gone)?;
        }
        if gone.is_empty() {
            continue;
        }
        let gone = not_elsewhere(step, gone, &stubs_on(edge))?;
        let (replaced, mut gone): (Vec<Gone<'_>>, Vec<_>) = gone.into_iter().partition(|gone| gone.is_replaced);
        // Whole trees are read for what would be an error, not for what is a warning.
        if !replaced.is_empty() {
            if in_tree.is_none() {
                in_tree = Some(stubs_in_tree(checker, step, outcome)?);
            }
            gone.extend(not_elsewhere(step, replaced, in_tree.as_ref().unwrap_or(&HashMap::new()))?);
        }
        // The attributes of the parent: a change cannot exempt the stub that it overwrites.
        let paths: Vec<RepoPath> = gone.iter().map(|gone| gone.path.clone()).collect();
        let exempt = if paths.is_empty() { Vec::new() } else { edge.snapshot.exempt(&paths)? };
        for (gone, is_exempt) in gone.into_iter().zip(exempt) {
            if !is_exempt && reported.insert((gone.path, gone.stub.tombstone)) {
                outcome.findings.push(finding(&gone));
            }
        }
    }
    Ok(())
}

/// Returns the stubs that an edge removes, but for those whose bytes are back and those that its evidence accounts for.
fn unaccounted<'s>(
    checker: &Checker<'_>,
    edge: &'s Edge<'_>,
    outcome: &mut Outcome,
) -> Result<Vec<Gone<'s>>, GitError> {
    let mut all = Vec::new();
    for touched in &edge.touched {
        // Whatever is wrong with a new stub, the rules for stubs say it.
        if touched.is_new_stub() {
            continue;
        }
        let path = &touched.path;
        let Some(old) = &touched.old else { continue };
        let stub = match &old.stub {
            Some(StubState::WellFormed(parsed)) => &parsed.stub,
            Some(StubState::Newer(version)) => {
                let reason = format!("the stub that stood here needs a newer git-archive-tomb (format v{version})");
                outcome.findings.push(Finding::error(Rule::NeedsNewer, path.as_bytes(), reason));
                continue;
            }
            // What did not parse is no loss; it was an error where it came.
            Some(StubState::Malformed(_)) | None => continue,
        };
        let is_back = match &touched.new {
            Some(new) => are_the_archived_bytes(checker, path, &new.entry, stub, outcome)?,
            None => false,
        };
        if !is_back {
            all.push(Gone { path, entry: old.entry, stub, is_replaced: touched.new.is_some() });
        }
    }
    if !all.is_empty() {
        let returned = returned_on(checker, edge, outcome)?;
        all.retain(|gone| !returned.contains(&gone.stub.tombstone));
    }
    Ok(all)
}

/// Takes out what a merge takes over from another parent, in whose own history the stub disappeared: the edges there
/// account for it, one by one, and their accounts need not add up to one of this whole edge.
fn not_gone_before<'s>(
    checker: &Checker<'_>,
    step: &Step<'_>,
    edge: &Edge<'_>,
    gone: Vec<Gone<'s>>,
) -> Result<Vec<Gone<'s>>, GitError> {
    let Some(parent) = edge.parent else { return Ok(gone) };
    let mut left = Vec::new();
    'gone: for gone in gone {
        let now = step.child.entry(gone.path)?;
        for other in &step.edges {
            let Some(id) = other.parent.filter(|id| *id != parent) else { continue };
            if other.snapshot.entry(gone.path)? == now && checker.stood_at_fork(&id, &parent, gone.path, &gone.entry)? {
                continue 'gone;
            }
        }
        left.push(gone);
    }
    Ok(left)
}

/// Returns where on an edge stubs come to stand.
fn stubs_on(edge: &Edge<'_>) -> HashMap<Tombstone, Vec<RepoPath>> {
    let mut stubs: HashMap<Tombstone, Vec<RepoPath>> = HashMap::new();
    for touched in &edge.touched {
        if let Some(new) = touched.new.as_ref().and_then(|new| new.stub()) {
            stubs.entry(new.stub.tombstone).or_default().push(touched.path.clone());
        }
    }
    stubs
}

/// Takes out what stands elsewhere, going by `stubs`; a copy at an exempt path is no stub.
fn not_elsewhere<'s>(
    step: &Step<'_>,
    mut gone: Vec<Gone<'s>>,
    stubs: &HashMap<Tombstone, Vec<RepoPath>>,
) -> Result<Vec<Gone<'s>>, GitError> {
    let others = |gone: &Gone<'_>| stubs.get(&gone.stub.tombstone).map_or(&[][..], Vec::as_slice);
    let mut paths: Vec<RepoPath> = gone.iter().flat_map(|gone| others(gone).iter().cloned()).collect();
    paths.sort();
    paths.dedup();
    if paths.is_empty() {
        return Ok(gone);
    }
    let exempt = step.child.exempt(&paths)?;
    let counted: HashSet<&RepoPath> =
        paths.iter().zip(exempt).filter_map(|(path, is_exempt)| (!is_exempt).then_some(path)).collect();
    gone.retain(|gone| !others(gone).iter().any(|path| counted.contains(path)));
    Ok(gone)
}

fn finding(gone: &Gone<'_>) -> Finding {
    let Gone { path, stub, is_replaced, .. } = gone;
    let finding = if *is_replaced {
        let reason = "other bytes stand where a stub stood, and no evidence says that its item was restored or purged";
        Finding::error(Rule::StubRemoved, path.as_bytes(), reason).hint(format!(
            "keep the stub, or bring the item back on the record with `git archive-tomb restore {}`",
            stub.tombstone
        ))
    } else {
        let reason = "a stub was deleted; its evidence stays, and the item can still be restored";
        Finding::warning(Rule::StubRemoved, path.as_bytes(), reason)
            .hint(format!("git archive-tomb restore {} <output>", stub.tombstone))
    };
    finding.tombstone(stub.tombstone)
}

/// Returns whether the blob that took the stub's place is what the stub stands for.
fn are_the_archived_bytes(
    checker: &Checker<'_>,
    path: &RepoPath,
    entry: &TreeEntry,
    stub: &Stub,
    outcome: &mut Outcome,
) -> Result<bool, GitError> {
    if entry.is_submodule() {
        return Ok(false);
    }
    let digest = outcome.gaps.note(Some(path), checker.digest(&entry.id))?;
    // What is missing is reported as such; to call it other bytes too would be a guess.
    Ok(digest.is_none_or(|digest: Sha256| digest == stub.sha256))
}

/// Returns what the evidence that this edge adds says was restored or purged.
fn returned_on(checker: &Checker<'_>, edge: &Edge<'_>, outcome: &mut Outcome) -> Result<HashSet<Tombstone>, GitError> {
    let mut returned = HashSet::new();
    for touched in &edge.touched {
        let (None, Some(new)) = (&touched.old, &touched.new) else { continue };
        if names::evidence_top(touched.path.as_bytes()).is_none() {
            continue;
        }
        let reading = checker.read_evidence(&touched.path, &new.entry, &mut outcome.gaps)?;
        if let Some(Reading::Intact(evidence)) = reading {
            returned.extend(&evidence.returned);
        }
    }
    Ok(returned)
}

/// Returns where the well-formed stubs of the commit's whole tree are.
fn stubs_in_tree(
    checker: &Checker<'_>,
    step: &Step<'_>,
    outcome: &mut Outcome,
) -> Result<HashMap<Tombstone, Vec<RepoPath>>, GitError> {
    let mut files = Vec::new();
    let walked = step.child.walk(b"", &mut |path, entry| {
        if is_regular(&entry) {
            files.push((path, entry));
        }
    });
    outcome.gaps.note(None, walked)?;
    let found: Vec<_> = files.par_iter().map(|(path, entry)| (path, checker.tombstone_at(entry))).collect();
    let mut stubs: HashMap<Tombstone, Vec<RepoPath>> = HashMap::new();
    for (path, tombstone) in found {
        if let Some(tombstone) = outcome.gaps.note(Some(path), tombstone)?.flatten() {
            stubs.entry(tombstone).or_default().push(path.clone());
        }
    }
    Ok(stubs)
}
