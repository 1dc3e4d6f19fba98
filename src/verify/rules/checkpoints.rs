use std::collections::{BTreeMap, HashSet};

use crate::evidence::checkpoint::format::{Checkpoint, CheckpointError, MAX_LENGTH, is_in_folder};
use crate::git::{GitError, TreeEntry};
use crate::id::ObjectId;
use crate::item::RepoPath;
use crate::verify::report::{Finding, Rule};
use crate::verify::step::{Checker, Edge, Gaps, Lost, Outcome, Side, Step, is_regular};

/// Looks for checkpoints that an edge loses.
pub(in crate::verify) fn check_edges(
    checker: &Checker<'_>,
    step: &Step<'_>,
    outcome: &mut Outcome,
) -> Result<(), GitError> {
    for edge in &step.edges {
        let touched = edge.touched.iter().filter(|touched| is_in_folder(touched.path.as_bytes()));
        let mut moved = None;
        for (touched, old) in touched.filter_map(|touched| Some((touched, touched.old.as_ref()?))) {
            let gone = touched.new.is_none();
            if gone && moved.get_or_insert_with(|| added(edge)).contains(&(touched.path.file_name(), old.entry.id)) {
                continue;
            }
            // What never was one may go.
            let checkpoint = read(checker, &touched.path, &old.entry, &mut outcome.gaps)?;
            if checkpoint.is_some_and(|checkpoint| matches!(checkpoint, Ok(_) | Err(CheckpointError::Newer { .. }))) {
                let (path, entry) = (touched.path.clone(), old.entry);
                let bring_back = step.undo(&path);
                outcome.lost.push(Lost { path, entry, gone, bring_back, line: None, record: None });
            }
        }
    }
    Ok(())
}

/// Returns name and id of the files that the edge adds to folders of checkpoints, as where a folder was renamed.
fn added<'e>(edge: &'e Edge<'_>) -> HashSet<(&'e [u8], ObjectId)> {
    let new = edge.touched.iter().filter(|touched| touched.old.is_none() && is_in_folder(touched.path.as_bytes()));
    new.filter_map(|touched| Some((touched.path.file_name(), touched.new.as_ref()?.entry.id))).collect()
}

/// Checks the form of the checkpoints that a commit brings in. Whose they are, and whether they hold, is asked elsewhere.
pub(in crate::verify) fn check_entries(
    checker: &Checker<'_>,
    step: &Step<'_>,
    brought_in: &BTreeMap<&RepoPath, &Side>,
    outcome: &mut Outcome,
) -> Result<(), GitError> {
    for (path, side) in brought_in.iter().filter(|(path, _)| is_in_folder(path.as_bytes())) {
        let Some(Err(error)) = read(checker, path, &side.entry, &mut outcome.gaps)? else { continue };
        let at = path.as_bytes();
        outcome.findings.push(match error {
            CheckpointError::Newer { .. } => {
                Finding::needs_newer(at, format!("this checkpoint cannot be judged: {error}"))
            }
            _ => Finding::error(Rule::EvidenceBroken, at, format!("this is no intact checkpoint: {error}"))
                .hint(step.undo(path)),
        });
    }
    Ok(())
}

/// Reads a checkpoint; a missing object is noted and becomes `None`.
fn read(
    checker: &Checker<'_>,
    path: &RepoPath,
    entry: &TreeEntry,
    gaps: &mut Gaps,
) -> Result<Option<Result<Checkpoint, CheckpointError>>, GitError> {
    if !is_regular(entry) || entry.mode & 0o111 != 0 {
        return Ok(Some(Err(CheckpointError::NotAFile)));
    }
    let bytes = gaps.note(Some(path), checker.objects.read(&entry.id, MAX_LENGTH))?;
    Ok(bytes.map(|bytes| match bytes {
        Some(bytes) => Checkpoint::parse_at(path, &bytes),
        None => Err(CheckpointError::TooLong),
    }))
}
