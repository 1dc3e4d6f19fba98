use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::causes::in_one_line;
use crate::evidence::record::Action;
use crate::git::{Change, GitError, TreeEntry};
use crate::id::Tombstone;
use crate::item::RepoPath;
use crate::quote::quote;
use crate::stub::{ParsedStub, Stub};
use crate::verify::evidence::{Archived, Evidence, Reading};
use crate::verify::names;
use crate::verify::report::{Finding, Rule};
use crate::verify::snapshot::Snapshot;
use crate::verify::step::{Checker, Gaps, Outcome, Side, Step, StubState, map_in_order};

/// Checks the stubs that a commit brings in, and those below `moved`: tops of evidence folders that lost evidence.
pub(in crate::verify) fn check(
    checker: &Checker<'_>,
    step: &Step<'_>,
    brought_in: &BTreeMap<&RepoPath, &Side>,
    moved: &[Vec<u8>],
    outcome: &mut Outcome,
) -> Result<(), GitError> {
    let stubs: Vec<(&RepoPath, &Side)> =
        brought_in.iter().filter(|(_, side)| side.stub.is_some()).map(|(path, side)| (*path, *side)).collect();
    let proven = proven_before(step);
    // Stubs of one operation one after another: its evidence is then read once, however many there are.
    let mut by_evidence = stubs.clone();
    by_evidence.sort_by_key(|(_, side)| side.stub().map(|parsed| parsed.stub.evidence));
    let outcomes = map_in_order(by_evidence, |(path, side)| {
        let mut outcome = Outcome::default();
        if let Some((stub, record)) = judge(checker, step, path, side, &mut outcome)? {
            compare_bytes(checker, step, &proven, path, stub, &record, &mut outcome)?;
        }
        Ok(outcome)
    })?;
    for judged in outcomes {
        outcome.findings.extend(judged.findings);
        outcome.gaps.add(judged.gaps);
        outcome.checked.add(judged.checked);
    }
    check_duplicates(checker, step, &stubs, outcome)?;
    for top in moved {
        check_left_behind(checker, step, top, brought_in, outcome)?;
    }
    Ok(())
}

/// Checks a stub against its record. Returns both if there is nothing wrong between them.
fn judge<'s>(
    checker: &Checker<'_>,
    step: &Step<'_>,
    path: &RepoPath,
    side: &'s Side,
    outcome: &mut Outcome,
) -> Result<Option<(&'s ParsedStub, Archived)>, GitError> {
    let at = path.as_bytes();
    let parsed = match &side.stub {
        None => return Ok(None),
        Some(StubState::Malformed(reason)) => {
            let reason = format!("this stub does not parse: {}", in_one_line(reason));
            outcome.findings.push(Finding::error(Rule::StubMalformed, at, reason).hint(bring_back(step, path)));
            return Ok(None);
        }
        Some(StubState::Newer(version)) => {
            let reason = format!("this stub needs a newer git-archive-tomb (format v{version})");
            outcome.findings.push(Finding::error(Rule::NeedsNewer, at, reason));
            return Ok(None);
        }
        Some(StubState::WellFormed(parsed)) => parsed,
    };
    outcome.checked.stubs += 1;
    let stub = &parsed.stub;
    let (evidence, top) = match find_evidence(checker, step.child, path, stub, &mut outcome.gaps)? {
        Search::Found { evidence, top } => (evidence, top),
        Search::Newer { schema } => {
            let reason = format!("this stub's evidence needs a newer git-archive-tomb (schema `{schema}`)");
            outcome.findings.push(Finding::error(Rule::NeedsNewer, at, reason).tombstone(stub.tombstone));
            return Ok(None);
        }
        Search::Broken { file } => {
            let reason = format!("its evidence file `{}` is broken", quote(file.as_bytes()));
            outcome.findings.push(Finding::error(Rule::StubUnknown, at, reason).tombstone(stub.tombstone));
            return Ok(None);
        }
        // Reported as missing history.
        Search::Unreadable => return Ok(None),
        Search::Nothing => {
            outcome.findings.push(without_evidence(checker, step, path, stub, &mut outcome.gaps)?);
            return Ok(None);
        }
    };
    let Some(record) = choose(&evidence, parsed) else {
        let reason = "its evidence file holds no record that archives this tombstone";
        outcome.findings.push(Finding::error(Rule::StubUnknown, at, reason).tombstone(stub.tombstone));
        return Ok(None);
    };
    if let Some(reason) = difference(parsed, record, &side.entry) {
        let finding = Finding::error(Rule::StubMismatch, at, reason).tombstone(stub.tombstone).record(record.digest);
        outcome.findings.push(finding.hint(bring_back(step, path)));
        return Ok(None);
    }
    let recorded = record.path.as_ref().map(RepoPath::as_bytes);
    if recorded != Some(names::relative_to(at, top)) && recorded != Some(at) {
        let reason = format!("this stub was recorded at `{}`", quote(recorded.unwrap_or_default()));
        outcome
            .findings
            .push(Finding::warning(Rule::StubMoved, at, reason).tombstone(stub.tombstone).record(record.digest));
    }
    Ok(Some((parsed, record.clone())))
}

/// What came of looking for a stub's evidence file.
enum Search<'p> {
    Found { evidence: Arc<Evidence>, top: &'p [u8] },
    Newer { schema: String },
    Broken { file: RepoPath },
    Unreadable,
    Nothing,
}

/// Looks for a stub's evidence file in the evidence folders of its own folder and of each above.
fn find_evidence<'p>(
    checker: &Checker<'_>,
    snapshot: &dyn Snapshot,
    path: &'p RepoPath,
    stub: &Stub,
    gaps: &mut Gaps,
) -> Result<Search<'p>, GitError> {
    let mut next_best = Search::Nothing;
    for top in names::folders_of(path.as_bytes()) {
        let Some(candidates) = gaps.note(Some(path), snapshot.evidence(top, &stub.evidence.short()))? else {
            next_best = Search::Unreadable;
            continue;
        };
        for (file, entry) in candidates {
            let Some(reading) = checker.read_evidence(&file, &entry, gaps)? else {
                next_best = Search::Unreadable;
                continue;
            };
            match reading {
                Reading::Intact(evidence) if evidence.sha256 == stub.evidence => {
                    return Ok(Search::Found { evidence, top });
                }
                // Other bytes with the same 16 digits: not this stub's.
                Reading::Intact(_) => {}
                Reading::Newer(schema) => next_best = Search::Newer { schema },
                Reading::Broken { .. } => next_best = Search::Broken { file },
            }
        }
    }
    Ok(next_best)
}

/// Returns the finding for a stub whose evidence file is not in its tree.
fn without_evidence(
    checker: &Checker<'_>,
    step: &Step<'_>,
    path: &RepoPath,
    stub: &Stub,
    gaps: &mut Gaps,
) -> Result<Finding, GitError> {
    let at = path.as_bytes();
    if let Some(own) = &step.own_index
        && let Search::Found { .. } = find_evidence(checker, own.snapshot, path, stub, gaps)?
    {
        let reason = "this commit takes the stub and leaves its evidence, which is staged, behind";
        let finding = Finding::error(Rule::EvidenceMissing, at, reason).hint(own.command.clone());
        return Ok(finding.tombstone(stub.tombstone));
    }
    let reason = format!("its evidence file `…-{}.jsonl` is not in the same tree", stub.evidence.short());
    let finding = Finding::error(Rule::StubUnknown, at, reason).tombstone(stub.tombstone);
    Ok(finding.hint("add the evidence file that came with the stub: git add .codex/evidence"))
}

/// Returns the command that brings back the stub that stood at `path` before this step.
fn bring_back(step: &Step<'_>, path: &RepoPath) -> String {
    let stood_at = step.edges.iter().find_map(|edge| {
        let touched = edge.touched.iter().find(|touched| touched.path == *path)?;
        touched.old.as_ref()?.stub()?;
        edge.parent
    });
    let commit = match stood_at {
        // What is staged stands on HEAD; its other parents are those of a merge.
        Some(parent) if step.commit.is_none() && step.edges[0].parent == Some(parent) => "HEAD".to_owned(),
        Some(parent) => parent.to_string(),
        None => "<commit where it was right>".to_owned(),
    };
    format!("git checkout {commit} -- {}", path.to_pathspec())
}

/// Returns the record of the stub's tombstone; the one that is for these very bytes, where there are several.
fn choose<'e>(evidence: &'e Evidence, parsed: &ParsedStub) -> Option<&'e Archived> {
    let records = evidence.archived.get(&parsed.stub.tombstone)?;
    records.iter().find(|record| record.stub == Some(parsed.digest)).or_else(|| records.first())
}

/// Returns what differs between a stub and its record, but for the path.
fn difference(parsed: &ParsedStub, record: &Archived, entry: &TreeEntry) -> Option<String> {
    let stub = &parsed.stub;
    let fields = [
        ("sha256", record.sha256 == Some(stub.sha256)),
        ("size", record.size == Some(stub.size)),
        ("mode", record.mode == Some(stub.mode)),
        ("object", record.object == Some(stub.object)),
        ("repo", record.repo.as_ref() == Some(&stub.repo)),
        ("commit", record.commit == Some(stub.commit)),
        ("reason", record.reason.as_deref() == Some(stub.reason.as_str())),
        ("archived-by", record.actor.as_ref() == Some(&stub.archived_by)),
        ("archived-at", record.ts == stub.archived_at),
    ];
    if let Some((field, _)) = fields.iter().find(|(_, same)| !same) {
        return Some(format!("its `{field}` is not the record's"));
    }
    if record.path.as_ref() != Some(&stub.path) {
        return Some("its `path` is not the record's".to_owned());
    }
    match record.stub {
        None => return Some("the record does not carry the digest of a stub".to_owned()),
        Some(digest) if digest != parsed.digest => {
            return Some("some of its text is not what was recorded (code, comments or restore line)".to_owned());
        }
        Some(_) => {}
    }
    if entry.mode != 0o100_644 {
        return Some(format!("its mode is {:06o}, and a stub has mode 100644", entry.mode));
    }
    // Imported items keep the ids they came with.
    if record.action == Action::Archive
        && Tombstone::derive(&stub.repo, stub.path.as_bytes(), &stub.commit, &stub.sha256) != stub.tombstone
    {
        return Some("the tombstone does not follow from repo, path, commit and sha256".to_owned());
    }
    None
}

/// Returns the tombstones of the parents' stubs on a step's edges: they were proven when they came.
fn proven_before(step: &Step<'_>) -> BTreeSet<Tombstone> {
    let touched = step.edges.iter().flat_map(|edge| &edge.touched);
    touched.filter_map(|touched| Some(touched.old.as_ref()?.stub()?.stub.tombstone)).collect()
}

/// Compares what a record says was archived with the bytes that stood there before.
fn compare_bytes(
    checker: &Checker<'_>,
    step: &Step<'_>,
    proven: &BTreeSet<Tombstone>,
    path: &RepoPath,
    parsed: &ParsedStub,
    record: &Archived,
    outcome: &mut Outcome,
) -> Result<(), GitError> {
    let stub = &parsed.stub;
    let at_path = step.edges.iter().filter_map(|edge| {
        let index = edge.touched.binary_search_by(|touched| touched.path.cmp(path)).ok()?;
        edge.touched[index].old.as_ref()
    });
    let (files, stubs): (Vec<&Side>, Vec<&Side>) = at_path.partition(|side| side.stub.is_none());
    let unlike = |reason: String, outcome: &mut Outcome| {
        let finding = if record.dirty {
            Finding::warning(Rule::StubMismatch, path.as_bytes(), reason)
        } else {
            let hint = "bring the file back as it was (git checkout <parent> -- <path>) and archive it again";
            Finding::error(Rule::StubMismatch, path.as_bytes(), reason).hint(hint)
        };
        outcome.findings.push(finding.tombstone(stub.tombstone).record(record.digest));
    };
    if !files.is_empty() {
        for file in files {
            // What is missing is reported as such; to call it other bytes too would be a guess.
            let same = outcome.gaps.note(Some(path), is_original(checker, &file.entry, stub))?;
            if same.unwrap_or(true) {
                return Ok(());
            }
        }
        unlike("the file that it replaced was not the archived one".to_owned(), outcome);
        return Ok(());
    }
    let was_proven = proven.contains(&stub.tombstone)
        || stubs.iter().filter_map(|side| side.stub()).any(|old| old.stub.sha256 == stub.sha256);
    if was_proven {
        return Ok(());
    }
    // The commit is only named, not part of what is checked: whatever of it is missing leaves the stub unproven.
    let found = checker.objects.entry_in_commit(&stub.commit, &stub.path);
    let compared = match found {
        Ok(Some(entry)) => is_original(checker, &entry, stub).map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    match compared {
        Ok(Some(true)) => {}
        Ok(Some(false)) => {
            unlike(format!("what commit `{}` has at its path is not what was archived", stub.commit), outcome);
        }
        Ok(None) => unlike(format!("commit `{}` has no such path", stub.commit), outcome),
        Err(GitError::MissingObject { .. }) => {
            let reason = format!("git lacks commit `{}` or the file in it, so the bytes are not compared", stub.commit);
            let finding = Finding::warning(Rule::Unproven, path.as_bytes(), reason);
            outcome.findings.push(finding.tombstone(stub.tombstone).record(record.digest));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Returns whether an entry has the mode and the bytes that a stub stands for.
fn is_original(checker: &Checker<'_>, entry: &TreeEntry, stub: &Stub) -> Result<bool, GitError> {
    let mode = match entry.mode {
        0o120_000 => "120000",
        mode if mode & 0o170_000 != 0o100_000 => return Ok(false),
        // As git itself reads the modes of old trees.
        mode if mode & 0o100 != 0 => "100755",
        _ => "100644",
    };
    Ok(mode == stub.mode.as_str() && checker.digest(&entry.id)? == stub.sha256)
}

/// Looks for tombstones that stand in two stubs, at least one of which the commit brings in.
fn check_duplicates(
    checker: &Checker<'_>,
    step: &Step<'_>,
    stubs: &[(&RepoPath, &Side)],
    outcome: &mut Outcome,
) -> Result<(), GitError> {
    let mut places: BTreeMap<Tombstone, BTreeSet<RepoPath>> = BTreeMap::new();
    for touched in step.edges.iter().flat_map(|edge| &edge.touched) {
        if let Some(stub) = touched.new.as_ref().and_then(|new| new.stub()) {
            places.entry(stub.stub.tombstone).or_default().insert(touched.path.clone());
        }
    }
    for (path, stub) in stubs.iter().filter_map(|(path, side)| Some((*path, &side.stub()?.stub))) {
        let places = places.entry(stub.tombstone).or_default();
        // A copy is brought in, and the original was there: where the stub says that it belongs.
        if *path != stub.path && !places.contains(&stub.path) {
            let entry = outcome.gaps.note(Some(&stub.path), step.child.entry(&stub.path))?.flatten();
            let Some(entry) = entry else { continue };
            let there = outcome.gaps.note(Some(&stub.path), checker.tombstone_at(&entry))?.flatten();
            if there == Some(stub.tombstone) {
                places.insert(stub.path.clone());
            }
        }
    }
    for (path, stub) in stubs.iter().filter_map(|(path, side)| Some((*path, &side.stub()?.stub))) {
        let places = &places[&stub.tombstone];
        let original = if places.contains(&stub.path) { Some(&stub.path) } else { places.first() };
        if let Some(original) = original.filter(|original| *original != path) {
            let reason = format!("the stub of the same tombstone is at `{}`", quote(original.as_bytes()));
            outcome
                .findings
                .push(Finding::warning(Rule::StubDuplicate, path.as_bytes(), reason).tombstone(stub.tombstone));
        }
    }
    Ok(())
}

/// Checks the stubs below a folder whose evidence moved elsewhere, and which the commit did not bring in.
fn check_left_behind(
    checker: &Checker<'_>,
    step: &Step<'_>,
    top: &[u8],
    brought_in: &BTreeMap<&RepoPath, &Side>,
    outcome: &mut Outcome,
) -> Result<(), GitError> {
    let mut entries = Vec::new();
    let walked = step.child.walk(top, &mut |path, entry| {
        if !brought_in.contains_key(&path) {
            entries.push(Change { path, old: None, new: Some(entry) });
        }
    });
    outcome.gaps.note(None, walked)?;
    for touched in checker.touch_all(entries, &mut outcome.gaps)? {
        if let Some(side) = touched.new {
            judge(checker, step, &touched.path, &side, outcome)?;
        }
    }
    Ok(())
}
