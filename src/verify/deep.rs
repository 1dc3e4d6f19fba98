//! `--deep`: whether the archive really holds what stubs and evidence in the index say.

use std::collections::HashSet;
use std::io;

use super::report::{Finding, Report, Rule};
use crate::archive::{AnyArchive, Archive, ArchiveError, ContentReader, StoredItem};
use crate::evidence::format::{OPS_FOLDER, read_path};
use crate::git::{GitError, IndexEntry, Repository};
use crate::id::{Sha256, Tombstone};
use crate::stub::Stub;
use crate::survey::{StubContent, stubs_among};

/// How many digests one question to the archive holds.
const BATCH: usize = 1000;

/// Why the archive could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum DeepError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Compares `archive` with the stubs and the evidence in the index, reads and hashes the bytes of every stub, and adds
/// what it finds to `report`. A finding that only lacked this proof goes.
pub fn deepen(
    report: &mut Report,
    repository: &Repository,
    archive: &mut AnyArchive,
    origin: &str,
) -> Result<(), DeepError> {
    let entries = repository.tracked_entries(&[])?;
    let evidence: Vec<_> = entries.iter().filter(|entry| is_evidence(entry)).cloned().collect();
    let mut proven = HashSet::new();
    // One for all stubs, because neighbours share blocks.
    let mut reader = ContentReader::new(archive);
    // What is no valid stub has been reported for what it is.
    let mut stubs = stubs_among(repository, entries)?.into_iter().filter_map(|found| match found.content {
        StubContent::Stub(parsed) => Some((found.entry.path, parsed.stub)),
        _ => None,
    });
    loop {
        let batch: Vec<_> = stubs.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        let tombstones: Vec<Tombstone> = batch.iter().map(|(_, stub)| stub.tombstone).collect();
        let stored = reader.archive().items(&tombstones)?;
        reader.expect(batch.iter().map(|(_, stub)| stub.sha256));
        for (path, stub) in &batch {
            let tombstone = stub.tombstone;
            let stored = stored.get(&tombstone).filter(|stored| stored.is_visible_to(origin));
            match check_stub(stub, stored, &mut reader)? {
                None => drop(proven.insert(tombstone)),
                Some((rule, reason)) => {
                    let hint = format!(
                        "bring it back from git's history with `git archive-tomb restore {tombstone} --from history`, then archive it again"
                    );
                    let finding = Finding::error(rule, path.as_bytes(), reason).tombstone(tombstone).hint(hint);
                    report.findings.push(finding);
                }
            }
        }
    }
    report
        .findings
        .retain(|finding| finding.rule != Rule::Unproven || !finding.tombstone.is_some_and(|of| proven.contains(&of)));
    for entry in evidence {
        check_events(&entry, repository, reader.archive(), report)?;
    }
    Ok(())
}

/// Returns what is wrong with the archive's part of a stub.
fn check_stub(
    stub: &Stub,
    stored: Option<&StoredItem>,
    reader: &mut ContentReader<'_>,
) -> Result<Option<(Rule, String)>, ArchiveError> {
    let Some(stored) = stored else {
        return Ok(Some((Rule::ArchiveMissing, "the archive has no such item".to_owned())));
    };
    if stored.purged_at.is_some() {
        // The bytes are gone on purpose, and the events say why.
        return Ok(None);
    }
    if let Some(field) = differing_field(stub, stored) {
        return Ok(Some((Rule::ArchiveDrift, format!("the archive has another {field} for the item"))));
    }
    let Err(error) = reader.read(&stub.sha256, stub.size, &mut io::sink()) else { return Ok(None) };
    let error = error.of_content()?;
    Ok(Some(if error.is_integrity() {
        (Rule::ArchiveDrift, format!("the archive's bytes do not match: {error}"))
    } else {
        (Rule::ArchiveMissing, format!("the archive does not give the bytes: {error}"))
    }))
}

fn differing_field(stub: &Stub, stored: &StoredItem) -> Option<&'static str> {
    let item = &stored.item;
    [
        ("sha256", item.sha256 != stub.sha256),
        ("size", item.size != stub.size),
        ("mode", item.mode != stub.mode),
        ("object", item.object != stub.object),
        ("commit", item.commit != stub.commit),
        ("repo", item.repo != stub.repo),
        ("path", item.path != stub.path),
    ]
    .into_iter()
    .find_map(|(field, differs)| differs.then_some(field))
}

fn is_evidence(entry: &IndexEntry) -> bool {
    entry.stage == 0 && entry.path.is_within(OPS_FOLDER.as_bytes())
}

/// Reports the records of an evidence file that the archive has no event for.
fn check_events(
    entry: &IndexEntry,
    repository: &Repository,
    archive: &mut dyn Archive,
    report: &mut Report,
) -> Result<(), DeepError> {
    let mut lines: Vec<(u64, Sha256, Option<Tombstone>)> = Vec::new();
    let read = read_path(&entry.path, repository.objects().open_blob(&entry.entry.id)?, |line| {
        lines.push((line.number, line.digest, line.record.tombstone));
    });
    if read.is_err() {
        // Broken evidence has been reported for what it is.
        return Ok(());
    }
    for batch in lines.chunks(BATCH) {
        let digests: Vec<_> = batch.iter().map(|(_, digest, _)| *digest).collect();
        let known = archive.find_events(&digests)?;
        for (number, digest, tombstone) in batch.iter().filter(|(_, digest, _)| !known.contains(digest)) {
            let reason = "the archive has no event for this record";
            let finding =
                Finding::error(Rule::ArchiveDrift, entry.path.as_bytes(), reason).line(*number).record(*digest);
            let finding = finding.hint("nothing adds events later: take the archive from a copy that has them");
            report.findings.push(match tombstone {
                Some(tombstone) => finding.tombstone(*tombstone),
                None => finding,
            });
        }
    }
    Ok(())
}
