use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::git::{GitError, TreeEntry};
use crate::id::Tombstone;
use crate::item::RepoPath;
use crate::stub::Stub;
use crate::verify::evidence::Reading;
use crate::verify::names;
use crate::verify::report::{Finding, Rule};
use crate::verify::rules::stubs;
use crate::verify::step::{Checker, Edge, Outcome, Side, Step, StubState, Touched, is_regular};

/// A stub that an edge removes.
#[derive(Clone, Copy)]
struct Gone<'s> {
    path: &'s RepoPath,
    old: &'s Side,
    stub: &'s Stub,
    /// Whether something else stands in its place.
    is_replaced: bool,
}

/// Looks for stubs that disappear on an edge without an account of where their bytes are. At `fixtures`, exempt paths, the
/// commit has something that looks like a stub and is none.
///
/// What costs little is asked first, and attributes for many paths at a time: whole folders of stubs may move.
pub(in crate::verify) fn check(
    checker: &Checker<'_>,
    step: &Step<'_>,
    fixtures: &HashSet<RepoPath>,
    outcome: &mut Outcome,
) -> Result<(), GitError> {
    let (mut in_tree, mut left_out) = (None, None);
    let mut reported: HashSet<(&RepoPath, Tombstone)> = HashSet::new();
    for edge in &step.edges {
        check_newer(step, edge, fixtures, outcome)?;
        let mut gone = unaccounted(checker, edge, fixtures, outcome)?;
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
        let paths: Vec<RepoPath> = gone.iter().map(|gone| gone.path.clone()).collect();
        for (gone, is_exempt) in gone.into_iter().zip(exempt_before(edge, &paths)?) {
            // An attribute makes no fixture of a stub that is proven where it stands, however early it came.
            let record = stubs::proof(checker, edge.snapshot, gone.path, gone.old, &mut outcome.gaps)?;
            if (!is_exempt || record.is_some()) && reported.insert((gone.path, gone.stub.tombstone)) {
                if gone.is_replaced && left_out.is_none() {
                    left_out = Some(returned_in_own_index(checker, step, outcome)?);
                }
                let evidence = left_out.as_ref().and_then(|left_out| left_out.get(&gone.stub.tombstone));
                outcome.findings.push(Finding { record, ..finding(step, &gone, evidence) });
            }
        }
    }
    Ok(())
}

/// Returns which of `paths` the parent's attributes exempt: a change cannot exempt the stub that it overwrites.
fn exempt_before(edge: &Edge<'_>, paths: &[RepoPath]) -> Result<Vec<bool>, GitError> {
    if paths.is_empty() { Ok(Vec::new()) } else { edge.snapshot.exempt(paths) }
}

/// Returns whether a stub stands there now. Whatever is wrong with it, the rules for stubs say it.
fn is_still_a_stub(touched: &Touched, fixtures: &HashSet<RepoPath>) -> bool {
    touched.is_new_stub() && !fixtures.contains(&touched.path)
}

/// Reports stubs of a later format that an edge removes: nobody here knows what they stood for.
fn check_newer(
    step: &Step<'_>,
    edge: &Edge<'_>,
    fixtures: &HashSet<RepoPath>,
    outcome: &mut Outcome,
) -> Result<(), GitError> {
    let version = |touched: &Touched| match touched.old.as_ref()?.stub.as_ref()? {
        StubState::Newer(version) if !is_still_a_stub(touched, fixtures) => Some((touched.path.clone(), *version)),
        _ => None,
    };
    let (paths, versions): (Vec<RepoPath>, Vec<u32>) = edge.touched.iter().filter_map(version).unzip();
    let exempt = exempt_before(edge, &paths)?;
    for ((path, version), _) in paths.iter().zip(versions).zip(exempt).filter(|(_, is_exempt)| !is_exempt) {
        let reason = format!("the stub that stood here needs a newer git-archive-tomb (format v{version})");
        outcome.findings.push(Finding::needs_newer(path.as_bytes(), reason).hint(step.undo(path)));
    }
    Ok(())
}

/// Returns the stubs that an edge removes, but for those whose bytes are back and those that its evidence accounts for.
fn unaccounted<'s>(
    checker: &Checker<'_>,
    edge: &'s Edge<'_>,
    fixtures: &HashSet<RepoPath>,
    outcome: &mut Outcome,
) -> Result<Vec<Gone<'s>>, GitError> {
    let mut all = Vec::new();
    for touched in &edge.touched {
        // What did not parse is no loss; it was an error where it came.
        let Some(old) = &touched.old else { continue };
        let Some(parsed) = old.stub().filter(|_| !is_still_a_stub(touched, fixtures)) else { continue };
        let (path, stub) = (&touched.path, &parsed.stub);
        let is_back = match &touched.new {
            Some(new) => are_the_archived_bytes(checker, path, &new.entry, stub, outcome)?,
            None => false,
        };
        if !is_back {
            all.push(Gone { path, old, stub, is_replaced: touched.new.is_some() });
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
    mut gone: Vec<Gone<'s>>,
) -> Result<Vec<Gone<'s>>, GitError> {
    for other in &step.edges {
        let (Some(parent), Some(id)) = (edge.parent, other.parent) else { continue };
        if gone.is_empty() || id == parent {
            continue;
        }
        let places = places_there(step, other, &gone)?;
        let mut left = Vec::new();
        for gone in gone {
            let mut is_accounted = false;
            for place in places.get(gone.path).into_iter().flatten() {
                is_accounted |= checker.stood_at_fork(&id, &parent, place, &gone.old.entry)?;
            }
            if !is_accounted {
                left.push(gone);
            }
        }
        gone = left;
    }
    Ok(gone)
}

/// Returns for each stub that is gone where the parent of an edge has just what the commit has in its place: there, or
/// at a path from which the merge moved it, following a rename on the stub's side.
fn places_there<'s>(
    step: &Step<'_>,
    other: &Edge<'_>,
    gone: &[Gone<'s>],
) -> Result<HashMap<&'s RepoPath, Vec<RepoPath>>, GitError> {
    let mut places: HashMap<&RepoPath, Vec<RepoPath>> = HashMap::new();
    let mut elsewhere: HashMap<TreeEntry, Vec<&RepoPath>> = HashMap::new();
    for Gone { path, .. } in gone {
        let now = step.child.entry(path)?;
        let there = other.snapshot.entry(path)?;
        match now {
            _ if there == now => places.entry(path).or_default().push((*path).clone()),
            Some(now) if there.is_none() => elsewhere.entry(now).or_default().push(path),
            _ => {}
        }
    }
    if !elsewhere.is_empty() {
        let mut moved = Vec::new();
        other.snapshot.walk(b"", &mut |from, entry| {
            for path in elsewhere.get(&entry).into_iter().flatten() {
                moved.push((*path, from.clone()));
            }
        })?;
        for (path, from) in moved {
            if step.child.entry(&from)?.is_none() {
                places.entry(path).or_default().push(from);
            }
        }
    }
    Ok(places)
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

/// Returns the finding for a stub that is gone; `left_out` is the evidence of its restore that the commit leaves behind.
fn finding(step: &Step<'_>, gone: &Gone<'_>, left_out: Option<&RepoPath>) -> Finding {
    let Gone { path, stub, is_replaced, .. } = gone;
    let undo = step.undo(path);
    let finding = if let (Some(own), Some(evidence), true) = (&step.own_index, left_out, is_replaced) {
        let reason = format!(
            "other bytes stand where a stub stood, and this commit leaves the evidence that its item was restored, which \
             is staged, behind: {evidence}"
        );
        Finding::error(Rule::StubRemoved, path.as_bytes(), reason).hint(own.command.clone())
    } else if *is_replaced {
        let reason = "other bytes stand where a stub stood, and no evidence says that its item was restored or purged";
        Finding::error(Rule::StubRemoved, path.as_bytes(), reason).hint(format!(
            "bring the stub back with `{undo}`; to edit the file, first `git archive-tomb restore {}`",
            stub.tombstone
        ))
    } else {
        let reason = "a stub was deleted; its evidence stays, and the item can still be restored";
        Finding::warning(Rule::StubRemoved, path.as_bytes(), reason).hint(undo)
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
    let measured = outcome.gaps.note(Some(path), checker.measure(&entry.id))?;
    // What is missing is reported as such; to call it other bytes too would be a guess.
    Ok(measured.is_none_or(|(sha256, _)| sha256 == stub.sha256))
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

/// Returns what the evidence says was restored or purged that the repository's own index has and the commit lacks.
fn returned_in_own_index(
    checker: &Checker<'_>,
    step: &Step<'_>,
    outcome: &mut Outcome,
) -> Result<HashMap<Tombstone, RepoPath>, GitError> {
    let mut returned = HashMap::new();
    let Some(own) = &step.own_index else { return Ok(returned) };
    let mut evidence = Vec::new();
    own.snapshot.walk(b"", &mut |path, entry| {
        if names::evidence_top(path.as_bytes()).is_some() {
            evidence.push((path, entry));
        }
    })?;
    for (path, entry) in evidence {
        if step.child.entry(&path)? == Some(entry) {
            continue;
        }
        if let Some(Reading::Intact(read)) = checker.read_evidence(&path, &entry, &mut outcome.gaps)? {
            returned.extend(read.returned.iter().map(|tombstone| (*tombstone, path.clone())));
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
