use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::causes::in_one_line;
use crate::evidence::record::Action;
use crate::git::{Change, GitError, TreeEntry};
use crate::id::{ObjectId, Sha256, Tombstone};
use crate::item::RepoPath;
use crate::quote::quote;
use crate::stub::{self, MAX_RAW_LENGTH, Malformed, ParsedStub, Stub};
use crate::verify::evidence::{Archived, Evidence, Reading};
use crate::verify::names::{self, EVIDENCE_FOLDER};
use crate::verify::report::{Finding, Rule, Severity};
use crate::verify::snapshot::Snapshot;
use crate::verify::step::{Checker, Gaps, Outcome, Side, Step, StubState, Touched, fetch_command, map_in_order};

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
    let proven = Proven::before(step, &stubs)?;
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
            let bytes = outcome.gaps.note(Some(path), text_of(checker, side))?.unwrap_or_default();
            let mut finding =
                Finding::error(Rule::StubMalformed, at, format!("this stub does not parse: {}", in_one_line(reason)));
            finding.line = reason.line(&bytes);
            let hint = match reason {
                Malformed::Conflict { .. } if step.commit.is_none() && !step.is_audit() => end_conflict(step, path),
                _ => step.undo(path),
            };
            outcome.findings.push(finding.hint(hint));
            return Ok(None);
        }
        Some(StubState::Newer(version)) => {
            let reason = format!("this stub needs a newer git-archive-tomb (format v{version})");
            outcome.findings.push(Finding::needs_newer(at, reason));
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
            outcome.findings.push(Finding::needs_newer(at, reason).tombstone(stub.tombstone));
            return Ok(None);
        }
        Search::Broken { file } => {
            let reason = format!("its evidence file `{}` is broken", quote(file.as_bytes()));
            outcome.findings.push(unknown(step, path, parsed, reason));
            return Ok(None);
        }
        // Reported as missing history.
        Search::Unreadable => return Ok(None),
        Search::Nothing => {
            outcome.findings.push(without_evidence(checker, step, path, parsed, &mut outcome.gaps)?);
            return Ok(None);
        }
    };
    let Some(record) = choose(&evidence, parsed) else {
        let reason = "its evidence file holds no record that archives this tombstone";
        outcome.findings.push(unknown(step, path, parsed, reason));
        return Ok(None);
    };
    if let Some(unlike) = difference(parsed, record, &side.entry) {
        let mut finding = Finding::error(Rule::StubMismatch, at, unlike.to_string());
        finding.line = outcome.gaps.note(Some(path), line_of(checker, step, path, side, unlike))?.flatten();
        finding = finding.tombstone(stub.tombstone).record(record.digest);
        outcome.findings.push(finding.hint(step.undo(path)));
        return Ok(None);
    }
    let recorded = record.path.as_ref().map(RepoPath::as_bytes);
    if recorded != Some(names::relative_to(at, top)) && recorded != Some(at) {
        let reason = format!("this stub was recorded at `{}`", quote(recorded.unwrap_or_default()));
        let mut finding = Finding::warning(Rule::StubMoved, at, reason).tombstone(stub.tombstone).record(record.digest);
        finding.hint = move_back(step, path, stub.tombstone);
        outcome.findings.push(finding);
    }
    Ok(Some((parsed, record.clone())))
}

/// Returns the command that ends a conflict which is about to be committed with its markers.
fn end_conflict(step: &Step<'_>, path: &RepoPath) -> String {
    let path = path.to_pathspec();
    let resolve = format!("git archive-tomb resolve {path} --keep-tomb # or --restore, or --re-archive");
    // With a temporary index (`git commit -a`), the repository's own has the conflict still.
    if step.own_index.is_some() { resolve } else { format!("git checkout -m -- {path} && {resolve}") }
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
    parsed: &ParsedStub,
    gaps: &mut Gaps,
) -> Result<Finding, GitError> {
    let stub = &parsed.stub;
    if let Some(own) = &step.own_index
        && let Search::Found { .. } = find_evidence(checker, own.snapshot, path, stub, gaps)?
    {
        let reason = "this commit takes the stub and leaves its evidence, which is staged, behind";
        let finding = Finding::error(Rule::EvidenceMissing, path.as_bytes(), reason).hint(own.command.clone());
        return Ok(finding.tombstone(stub.tombstone));
    }
    let reason = format!("its evidence file `…-{}.jsonl` is not in the same tree", stub.evidence.short());
    let folder = RepoPath::try_new(EVIDENCE_FOLDER).expect("is a path").to_pathspec();
    Ok(unknown(step, path, parsed, reason).hint(format!(
        "take its evidence along: `git add -- {folder}`, or from the branch that it came from: `git checkout <branch> -- {folder}`"
    )))
}

/// Returns the finding for a stub that nothing in its tree vouches for.
fn unknown(step: &Step<'_>, path: &RepoPath, parsed: &ParsedStub, reason: impl Into<String>) -> Finding {
    let finding = Finding::error(Rule::StubUnknown, path.as_bytes(), reason).hint(step.undo(path));
    finding.tombstone(parsed.stub.tombstone)
}

/// Returns the command that puts a stub back where it stood before this step, or takes away what did not stand anywhere.
fn move_back(step: &Step<'_>, path: &RepoPath, tombstone: Tombstone) -> Option<String> {
    let stood = step.edges.iter().find_map(|edge| {
        let is_it = |side: &Side| side.stub().is_some_and(|old| old.stub.tombstone == tombstone);
        let left = |touched: &&Touched| touched.new.is_none() && touched.old.as_ref().is_some_and(is_it);
        Some((edge.touched.iter().find(left)?, edge.parent?))
    });
    if let Some((stood, parent)) = stood {
        let (parent, old, new) = (step.name_of(parent), stood.path.to_pathspec(), path.to_pathspec());
        return Some(format!(
            "if it should not have moved: git restore --source={parent} --staged --worktree -- {old} {new}"
        ));
    }
    (!step.is_audit()).then(|| format!("if it should not be here: {}", step.undo(path)))
}

/// Returns the text of a stub.
fn text_of(checker: &Checker<'_>, side: &Side) -> Result<Vec<u8>, GitError> {
    Ok(checker.objects.read(&side.entry.id, MAX_RAW_LENGTH as u64)?.unwrap_or_default())
}

/// Returns the line of a stub in which it is not what was recorded.
fn line_of(
    checker: &Checker<'_>,
    step: &Step<'_>,
    path: &RepoPath,
    side: &Side,
    unlike: Unlike,
) -> Result<Option<u64>, GitError> {
    match unlike {
        Unlike::Field(key) => Ok(stub::line_of(&text_of(checker, side)?, key)),
        Unlike::Tombstone => Ok(stub::line_of(&text_of(checker, side)?, "tombstone")),
        Unlike::Text { recorded } => {
            // A digest does not tell where; the text as it was does, if it stood here before.
            let before = step.edges.iter().find_map(|edge| {
                let index = edge.touched.binary_search_by(|touched| touched.path.cmp(path)).ok()?;
                edge.touched[index].old.as_ref().filter(|old| old.stub().is_some_and(|old| old.digest == recorded))
            });
            let Some(before) = before else { return Ok(None) };
            Ok(Some(stub::first_other_line(&text_of(checker, before)?, &text_of(checker, side)?)))
        }
        Unlike::NoDigest | Unlike::Mode(_) => Ok(None),
    }
}

/// Returns the record of the stub's tombstone; the one that is for these very bytes, where there are several.
fn choose<'e>(evidence: &'e Evidence, parsed: &ParsedStub) -> Option<&'e Archived> {
    let records = evidence.archived.get(&parsed.stub.tombstone)?;
    records.iter().find(|record| record.stub == Some(parsed.digest)).or_else(|| records.first())
}

/// Returns the record that proves a stub where it was recorded.
pub(super) fn proof(
    checker: &Checker<'_>,
    snapshot: &dyn Snapshot,
    path: &RepoPath,
    side: &Side,
    gaps: &mut Gaps,
) -> Result<Option<Sha256>, GitError> {
    let Some(parsed) = side.stub() else { return Ok(None) };
    let Search::Found { evidence, top } = find_evidence(checker, snapshot, path, &parsed.stub, gaps)? else {
        return Ok(None);
    };
    let record = choose(&evidence, parsed).filter(|record| {
        let recorded = record.path.as_ref().map(RepoPath::as_bytes);
        recorded == Some(names::relative_to(path.as_bytes(), top)) && difference(parsed, record, &side.entry).is_none()
    });
    Ok(record.map(|record| record.digest))
}

/// How a stub is not what was recorded.
#[derive(Clone, Copy)]
enum Unlike {
    Field(&'static str),
    NoDigest,
    Text { recorded: Sha256 },
    Mode(u32),
    Tombstone,
}

impl fmt::Display for Unlike {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(key) => write!(formatter, "its `{key}` is not the record's"),
            Self::NoDigest => formatter.write_str("the record does not carry the digest of a stub"),
            Self::Text { .. } => {
                formatter.write_str("some of its text is not what was recorded (code, comments or restore line)")
            }
            Self::Mode(mode) => write!(formatter, "its mode is {mode:06o}, and a stub has mode 100644"),
            Self::Tombstone => formatter.write_str("the tombstone does not follow from repo, path, commit and sha256"),
        }
    }
}

/// Returns what differs between a stub and its record.
fn difference(parsed: &ParsedStub, record: &Archived, entry: &TreeEntry) -> Option<Unlike> {
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
        ("path", record.path.as_ref() == Some(&stub.path)),
    ];
    if let Some((field, _)) = fields.into_iter().find(|(_, same)| !same) {
        return Some(Unlike::Field(field));
    }
    match record.stub {
        None => return Some(Unlike::NoDigest),
        Some(recorded) if recorded != parsed.digest => return Some(Unlike::Text { recorded }),
        Some(_) => {}
    }
    if entry.mode != 0o100_644 {
        return Some(Unlike::Mode(entry.mode));
    }
    // Imported items keep the ids they came with.
    let derived = || Tombstone::derive(&stub.repo, stub.path.as_bytes(), &stub.commit, &stub.sha256);
    (record.action == Action::Archive && derived() != stub.tombstone).then_some(Unlike::Tombstone)
}

/// The parents' stubs on a step's edges that a new stub can go by: they were proven when they came.
struct Proven {
    tombstones: HashSet<Tombstone>,
    places: HashSet<(RepoPath, Sha256)>,
}

impl Proven {
    /// Looks for what `stubs` can go by. What is exempt was not proven; git is asked for the few paths that matter.
    fn before(step: &Step<'_>, stubs: &[(&RepoPath, &Side)]) -> Result<Self, GitError> {
        let new = || stubs.iter().filter_map(|(path, side)| Some((*path, &side.stub()?.stub)));
        let tombstones: HashSet<Tombstone> = new().map(|(_, stub)| stub.tombstone).collect();
        let places: HashSet<(&RepoPath, Sha256)> = new().map(|(path, stub)| (path, stub.sha256)).collect();
        let mut proven = Self { tombstones: HashSet::new(), places: HashSet::new() };
        for edge in &step.edges {
            let old =
                edge.touched.iter().filter_map(|touched| Some((&touched.path, &touched.old.as_ref()?.stub()?.stub)));
            let (paths, old): (Vec<RepoPath>, Vec<_>) = old
                .filter(|(path, old)| tombstones.contains(&old.tombstone) || places.contains(&(*path, old.sha256)))
                .map(|(path, old)| (path.clone(), (old.tombstone, (path.clone(), old.sha256))))
                .unzip();
            if paths.is_empty() {
                continue;
            }
            let exempt = edge.snapshot.exempt(&paths)?;
            for ((tombstone, place), _) in old.into_iter().zip(exempt).filter(|(_, is_exempt)| !is_exempt) {
                proven.tombstones.insert(tombstone);
                proven.places.insert(place);
            }
        }
        Ok(proven)
    }

    fn holds(&self, path: &RepoPath, stub: &Stub) -> bool {
        self.tombstones.contains(&stub.tombstone) || self.places.contains(&(path.clone(), stub.sha256))
    }
}

/// Compares what a record says was archived with the bytes that stood there before.
fn compare_bytes(
    checker: &Checker<'_>,
    step: &Step<'_>,
    proven: &Proven,
    path: &RepoPath,
    parsed: &ParsedStub,
    record: &Archived,
    outcome: &mut Outcome,
) -> Result<(), GitError> {
    let stub = &parsed.stub;
    let finding_for = |rule: Rule, severity: Severity, reason: String| {
        let finding = Finding { severity, ..Finding::error(rule, path.as_bytes(), reason) };
        finding.tombstone(stub.tombstone).record(record.digest)
    };
    let unlike = |reason: String, parent: Option<ObjectId>| {
        // Bytes that were never committed are compared by the archive alone.
        let severity = if record.dirty { Severity::Warning } else { Severity::Error };
        let hint = match parent {
            _ if record.dirty => DEEP_HINT.to_owned(),
            Some(parent) => format!(
                "bring the file back with `git checkout {} -- {}`, then archive it again",
                step.name_of(parent),
                path.to_pathspec()
            ),
            None => step.undo(path),
        };
        finding_for(Rule::StubMismatch, severity, reason).hint(hint)
    };
    let files = step.edges.iter().filter_map(|edge| {
        let index = edge.touched.binary_search_by(|touched| touched.path.cmp(path)).ok()?;
        let old = edge.touched[index].old.as_ref().filter(|old| old.stub.is_none())?;
        Some((edge.parent, old))
    });
    let mut first_unlike = None;
    for (parent, file) in files {
        // What is missing is reported as such; to call it other bytes too would be a guess.
        match outcome.gaps.note(Some(path), unlike_original(checker, &file.entry, stub))? {
            None | Some(None) => return Ok(()),
            Some(Some(what)) => {
                first_unlike.get_or_insert((parent, what));
            }
        }
    }
    if let Some((parent, what)) = first_unlike {
        if !proven.holds(path, stub) || !follows_rename(step, path, stub)? {
            let reason = format!("the file that it replaced was not the archived one: its {what} is another");
            outcome.findings.push(unlike(reason, parent));
        }
        return Ok(());
    }
    if proven.holds(path, stub) {
        return Ok(());
    }
    // The commit is only named, not part of what is checked: whatever of it is missing leaves the stub unproven.
    let found = checker.objects.entry_in_commit(&stub.commit, &stub.path);
    let compared = found.and_then(|found| match found {
        Some(entry) => {
            unlike_original(checker, &entry, stub).map(|what| what.map(|what| format!("has another {what}")))
        }
        None => Ok(Some("has no such path".to_owned())),
    });
    match compared {
        Ok(None) => {}
        Ok(Some(what)) => {
            let reason = format!("what was archived is not in commit `{}`, which {what} there", stub.commit);
            outcome.findings.push(unlike(reason, None));
        }
        Err(GitError::MissingObject { shallow, partial, .. }) => {
            let reason = format!("git lacks commit `{}` or the file in it, so the bytes are not compared", stub.commit);
            let hint = fetch_command(shallow, partial).unwrap_or(DEEP_HINT);
            outcome.findings.push(finding_for(Rule::Unproven, Severity::Warning, reason).hint(hint));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Returns whether a merge brings two things together: one parent has the stub, at a path that it was proven at, and
/// the other has renamed the file that was there to where the stub stands now.
fn follows_rename(step: &Step<'_>, path: &RepoPath, stub: &Stub) -> Result<bool, GitError> {
    for edge in &step.edges {
        let at_path = edge.touched.iter().find(|touched| touched.path == *path);
        if at_path.is_none_or(|touched| touched.old.is_some()) {
            continue;
        }
        let is_stub = |old: &Side| old.stub().is_some_and(|old| old.stub.tombstone == stub.tombstone);
        let was_here = edge.touched.iter().filter(|touched| touched.old.as_ref().is_some_and(is_stub));
        for from in was_here {
            for other in &step.edges {
                let renamed = other.snapshot.entry(path)?.is_some() && other.snapshot.entry(&from.path)?.is_none();
                if renamed {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// What settles a stub whose bytes git does not have.
const DEEP_HINT: &str = "compare with the archive: git archive-tomb verify --deep";

/// Returns in what an entry is not what a stub stands for.
fn unlike_original(checker: &Checker<'_>, entry: &TreeEntry, stub: &Stub) -> Result<Option<&'static str>, GitError> {
    let mode = match entry.mode {
        0o120_000 => "120000",
        mode if mode & 0o170_000 != 0o100_000 => return Ok(Some("kind")),
        // As git itself reads the modes of old trees.
        mode if mode & 0o100 != 0 => "100755",
        _ => "100644",
    };
    if mode != stub.mode.as_str() {
        return Ok(Some("mode"));
    }
    let (sha256, size) = checker.measure(&entry.id)?;
    // A repository that was converted to another hash has other ids for the same bytes.
    let other_id = entry.id != stub.object && entry.id.as_bytes().len() == stub.object.as_bytes().len();
    let fields = [("sha256", sha256 != stub.sha256), ("size", size != stub.size), ("object", other_id)];
    Ok(fields.into_iter().find_map(|(field, differs)| differs.then_some(field)))
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
            let hint = format!("keep one of them: git rm --cached -- {}", path.to_pathspec());
            let finding = Finding::warning(Rule::StubDuplicate, path.as_bytes(), reason).hint(hint);
            outcome.findings.push(finding.tombstone(stub.tombstone));
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
