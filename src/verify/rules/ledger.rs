use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead, BufReader, Read};

use bstr::ByteSlice;

use crate::evidence::format::{EvidenceFileName, MAX_FILE_LENGTH};
use crate::evidence::record::MAX_LINE_LENGTH;
use crate::git::{GitError, TreeEntry};
use crate::id::{ObjectId, Sha256};
use crate::item::RepoPath;
use crate::verify::evidence::{Evidence, Reading};
use crate::verify::names;
use crate::verify::report::{Finding, Rule, Severity};
use crate::verify::step::{Checker, Edge, Gaps, Lost, Outcome, Side, Step, is_regular};

/// How many evidence files are read at the same time, before they are looked at one by one.
const READ_AHEAD: usize = 64;

/// Looks for evidence that an edge loses. Returns the tops of evidence folders from which evidence moved elsewhere.
pub(in crate::verify) fn check_edges(
    checker: &Checker<'_>,
    step: &Step<'_>,
    outcome: &mut Outcome,
) -> Result<Vec<Vec<u8>>, GitError> {
    let mut moved = Vec::new();
    for edge in &step.edges {
        let mut added = None;
        for touched in &edge.touched {
            let (Some(top), Some(old)) = (names::evidence_top(touched.path.as_bytes()), &touched.old) else { continue };
            let added = added.get_or_insert_with(|| intact_places(edge));
            if touched.new.is_none() && added.contains(&(touched.path.file_name(), old.entry.mode, old.entry.id)) {
                moved.push(top.to_vec());
                continue;
            }
            // What never was intact is no evidence, and taking it away mends the tree.
            let reading = checker.read_evidence(&touched.path, &old.entry, &mut outcome.gaps)?;
            if matches!(reading, Some(Reading::Broken { .. })) {
                continue;
            }
            let mut lost = Lost {
                path: touched.path.clone(),
                entry: old.entry,
                gone: touched.new.is_none(),
                bring_back: step.undo(&touched.path),
                line: None,
                record: None,
            };
            if let Some(new) = touched.new.as_ref().filter(|new| is_regular(&new.entry) && new.entry.id != old.entry.id)
            {
                locate(checker, &mut lost, &new.entry, &mut outcome.gaps)?;
            }
            outcome.lost.push(lost);
        }
    }
    // A file that several edges lost is one loss.
    outcome.lost.sort_by(|a, b| a.path.cmp(&b.path));
    outcome.lost.dedup_by(|a, b| a.path == b.path && a.entry == b.entry);
    moved.sort();
    moved.dedup();
    Ok(moved)
}

/// Finds the first line of an evidence file that is not as it was, and the record that stood there.
fn locate(checker: &Checker<'_>, lost: &mut Lost, new: &TreeEntry, gaps: &mut Gaps) -> Result<(), GitError> {
    let open = |entry: &TreeEntry| {
        let source = checker.objects.open(&entry.id)?.take(MAX_FILE_LENGTH);
        Ok::<_, GitError>(BufReader::new(source))
    };
    let all = open(&lost.entry).and_then(|old| Ok((old, open(new)?, open(&lost.entry)?)));
    let Some((old, new, again)) = gaps.note(Some(&lost.path), all)? else { return Ok(()) };
    let failed = |source| GitError::Pipe { command: "cat-file", source };
    let line = first_other_line(old, new).map_err(failed)?;
    lost.line = Some(line);
    lost.record = digest_of_line(again, line).map_err(failed)?;
    Ok(())
}

/// Returns the number of the first line in which `old` and `new` differ.
fn first_other_line(mut old: impl BufRead, mut new: impl BufRead) -> io::Result<u64> {
    let newlines = |bytes: &[u8]| bytes.find_iter("\n").count() as u64;
    let mut line = 1;
    loop {
        let (left, right) = (old.fill_buf()?, new.fill_buf()?);
        let length = left.len().min(right.len());
        let (left, right) = (&left[..length], &right[..length]);
        if length == 0 || left != right {
            let same = left.iter().zip(right).take_while(|(left, right)| left == right).count();
            return Ok(line + newlines(&left[..same]));
        }
        line += newlines(left);
        old.consume(length);
        new.consume(length);
    }
}

/// Returns the digest of a whole line, which is that of its record.
fn digest_of_line(mut source: impl BufRead, number: u64) -> io::Result<Option<Sha256>> {
    for _ in 1..number {
        source.skip_until(b'\n')?;
    }
    let mut line = Vec::new();
    source.take(MAX_LINE_LENGTH as u64).read_until(b'\n', &mut line)?;
    Ok(line.ends_with(b"\n").then(|| Sha256::of(&line)))
}

/// Returns name, mode and id of the files that the edge adds where evidence may stand. Elsewhere they would count as broken
/// and could be taken away on the next edge.
fn intact_places<'e>(edge: &'e Edge<'_>) -> HashSet<(&'e [u8], u32, ObjectId)> {
    let added = edge.touched.iter().filter(|touched| touched.old.is_none());
    added
        .filter(|touched| EvidenceFileName::parse_path(&touched.path).is_ok())
        .filter_map(|touched| {
            let entry = touched.new.as_ref()?.entry;
            Some((touched.path.file_name(), entry.mode, entry.id))
        })
        .collect()
}

/// Checks the evidence that a commit brings in, and what poses as evidence.
pub(in crate::verify) fn check_entries(
    checker: &Checker<'_>,
    step: &Step<'_>,
    brought_in: &BTreeMap<&RepoPath, &Side>,
    outcome: &mut Outcome,
) -> Result<(), GitError> {
    let mut evidence = Vec::new();
    for (path, side) in brought_in {
        let bytes = path.as_bytes();
        if names::is_imposter(bytes) {
            let reason = "some file systems take this path for one in `.codex`, where evidence stands";
            outcome.findings.push(broken(bytes, reason).hint(step.undo(path)));
        } else if bytes == b".codex" || bytes == b".codex/evidence" {
            let reason = "a folder for evidence belongs here, and this is none";
            outcome.findings.push(broken(bytes, reason).hint(step.undo(path)));
        } else if let Some(top) = names::evidence_top(bytes) {
            evidence.push((*path, &side.entry, top));
        }
    }
    for files in evidence.chunks(READ_AHEAD) {
        checker.read_ahead(files.iter().map(|(path, entry, _)| (*path, *entry)).collect())?;
        for (path, entry, top) in files {
            let bytes = path.as_bytes();
            let Some(reading) = checker.read_evidence(path, entry, &mut outcome.gaps)? else { continue };
            match reading {
                Reading::Intact(evidence) => check_prev(checker, step, path, top, &evidence, brought_in, outcome)?,
                Reading::Newer(schema) => {
                    let reason = format!("this evidence file needs a newer git-archive-tomb (schema `{schema}`)");
                    outcome.findings.push(Finding::needs_newer(bytes, reason));
                }
                Reading::Broken { line, reason } => {
                    let finding = broken(bytes, &format!("this is no intact evidence file: {reason}"));
                    let finding = finding.hint(step.undo(path));
                    outcome.findings.push(match line {
                        Some(line) => finding.line(line),
                        None => finding,
                    });
                }
            }
        }
    }
    Ok(())
}

fn broken(path: &[u8], reason: &str) -> Finding {
    Finding::error(Rule::EvidenceBroken, path, reason)
}

/// Looks for the files that an evidence file names as its predecessors.
fn check_prev(
    checker: &Checker<'_>,
    step: &Step<'_>,
    path: &RepoPath,
    top: &[u8],
    evidence: &Evidence,
    brought_in: &BTreeMap<&RepoPath, &Side>,
    outcome: &mut Outcome,
) -> Result<(), GitError> {
    let mut unresolved: Vec<&Sha256> = Vec::new();
    for digest in &evidence.prev {
        if !is_there(checker, step, top, digest, brought_in, outcome)? {
            unresolved.push(digest);
        }
    }
    let Some(first) = unresolved.first() else { return Ok(()) };
    let reason = format!(
        "{} of the {} evidence files named in `prev` are nowhere in the tree, the first is `{first}`",
        unresolved.len(),
        evidence.prev.len()
    );
    // Where it was cherry-picked from, if this clone has that branch.
    let hint = format!("git log --oneline --all -- ':(top,glob)**/*-{}.jsonl'", first.short());
    let mut finding = broken(path.as_bytes(), &reason).line(1).hint(hint);
    if !checker.strict {
        finding.severity = Severity::Warning;
    }
    outcome.findings.push(finding);
    Ok(())
}

/// Returns whether the evidence folder of `top` holds the file with this digest.
///
/// A file that stood there before is read again only for `strict`, else its name is enough: that its bytes agree with it was
/// shown when it came, and no commit is to pay for the size of an earlier operation.
fn is_there(
    checker: &Checker<'_>,
    step: &Step<'_>,
    top: &[u8],
    digest: &Sha256,
    brought_in: &BTreeMap<&RepoPath, &Side>,
    outcome: &mut Outcome,
) -> Result<bool, GitError> {
    let candidates = outcome.gaps.note(None, step.child.evidence(top, &digest.short()))?.unwrap_or_default();
    for (path, entry) in candidates {
        if !checker.strict && !brought_in.contains_key(&path) {
            return Ok(true);
        }
        match checker.read_evidence(&path, &entry, &mut outcome.gaps)? {
            Some(Reading::Intact(found)) if found.sha256 == *digest => return Ok(true),
            // Intact too, though its whole digest is not at hand.
            Some(Reading::Newer(_)) => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}
