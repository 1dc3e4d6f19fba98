//! The files of a proof.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::{About, CHECK, ItemLine, Proof, ProofError, Proved};
use crate::archive::{AnyArchive, Event};
use crate::clock::Timestamp;
use crate::evidence::check::{Checker, Integrity};
use crate::evidence::checkpoint::format::MAX_LENGTH;
use crate::evidence::checkpoint::judge::{Candidate, Judge, Place, good};
use crate::evidence::checkpoint::set::EvidenceSet;
use crate::evidence::format::Entry;
use crate::evidence::record::Record;
use crate::export::{ExportError, synced};
use crate::fs::{create_dir_all, parent_of};
use crate::git::{ObjectKind, Repository};
use crate::governance::ledger::{Told, merged};
use crate::governance::{Standing, Verdicts, Verifier};
use crate::id::{ObjectId, Sha256, Sha256Hasher};
use crate::quote::quote;
use crate::review::everywhere;

const README: &str = include_str!("README.txt");

/// Writes everything into `folder`, which is to be at `place`.
pub(super) fn fill(
    folder: &Path,
    place: &Path,
    proof: &mut Proof<'_>,
    verdicts: &Verdicts,
) -> Result<Proved, ProofError> {
    let mut writer = Writer { folder, place, sums: Vec::new() };
    let repository = proof.repository;
    let (integrity, told, mut blobs) = copy_evidence(&mut writer, proof)?;
    if told.is_empty() {
        return Err(ProofError::NoEvidence { tombstone: proof.item.tombstone });
    }
    let left_out: Vec<String> =
        integrity.files.iter().filter(|file| file.outcome.is_err()).map(|file| file.path.to_string()).collect();
    let absent: BTreeSet<Sha256> = named_and_not_here(&integrity);
    writer.lines("absent.txt", &absent)?;
    writer.lines("heads.txt", &integrity.heads)?;

    let (alone, records_left_out) = archive_alone(&told, proof)?;
    let told = merged(told);
    writer.lines("records.jsonl", lines_of(&told)?)?;
    writer.lines("archive-only.jsonl", lines_of(&alone)?)?;
    let (signed, rejected) = signatures(&told, verdicts)?;
    let checkpoints = checkpoints(&mut writer, proof, &integrity, &mut blobs)?;
    writer.lines("commits.txt", commits(repository, &blobs)?)?;

    if let Some(signers) = &proof.signers {
        writer.copy("allowed_signers", &signers.file)?;
        if let Some(revoked) = &signers.revoked {
            writer.copy("revoked", revoked)?;
        }
    }
    if let Some(stub) = &proof.stub {
        writer.file("stub.txt", stub)?;
    }
    writer.json("item.json", &ItemLine::from(&proof.item))?;
    let about = About {
        made_at: Timestamp::now(),
        program: env!("CARGO_PKG_VERSION"),
        archive: proof.archive.as_deref().map(AnyArchive::id),
        signers: proof.signers.is_some(),
        records_left_out,
        evidence_left_out: &left_out,
    };
    writer.json("about.json", &about)?;
    writer.file("README.txt", README.as_bytes())?;
    writer.file("check.sh", CHECK.as_bytes())?;
    let evidence = (integrity.files.len() - left_out.len()) as u64;
    let (digest, records) = (writer.manifest()?, told.len() as u64);
    Ok(Proved { digest, evidence, records, signed, rejected, checkpoints, left_out })
}

/// Copies all evidence that is intact, and returns what it says of itself, its records of the item, and the blobs of the files
/// with any.
fn copy_evidence(
    writer: &mut Writer<'_>,
    proof: &Proof<'_>,
) -> Result<(Integrity, Vec<Told>, Vec<ObjectId>), ProofError> {
    let mut checker = Checker::default();
    let (mut told, mut blobs) = (Vec::new(), Vec::new());
    // As the script looks for them, by what stands in the line: what only looks like a record of the item is shown, too.
    let wanted = format!("\"tombstone\":\"{}\"", proof.item.tombstone);
    for evidence in everywhere(proof.repository)? {
        let (path, before) = (evidence.name.path(), told.len());
        let mut each = |entry: Entry| {
            if entry.record.to_line().is_ok_and(|line| line.contains(&wanted)) {
                let file = Some(evidence.name.clone());
                told.push(Told { record: entry.record, digest: entry.digest, in_archive: false, file });
            }
        };
        let mut copy = Copy::new(evidence.open(proof.repository)?, writer.create(&path.to_string())?);
        let intact = checker.file(&path, &mut copy, &mut each).outcome.is_ok();
        let sum = copy.finish().map_err(|source| writer.failed(source))?;
        if intact {
            blobs.extend((told.len() > before).then(|| evidence.blob()));
            writer.note(&path.to_string(), sum);
        } else {
            told.truncate(before);
            writer.remove(&path.to_string())?;
        }
    }
    Ok((checker.finish(), told, blobs))
}

fn named_and_not_here(integrity: &Integrity) -> BTreeSet<Sha256> {
    let facts = || integrity.files.iter().filter_map(|file| file.outcome.as_ref().ok());
    let here: BTreeSet<Sha256> = facts().map(|facts| facts.sha256).collect();
    facts().flat_map(|facts| facts.prev.iter().copied()).filter(|digest| !here.contains(digest)).collect()
}

/// Returns the records that only the archive has, and how many of them were left out because they tell of places on somebody's
/// machine.
fn archive_alone(told: &[Told], proof: &mut Proof<'_>) -> Result<(Vec<Told>, u64), ProofError> {
    let known: BTreeSet<Sha256> = told.iter().map(|told| told.digest).collect();
    let (mut alone, mut left_out) = (Vec::new(), 0);
    let Some(archive) = &mut proof.archive else { return Ok((alone, left_out)) };
    archive.events(&proof.item.tombstone, &mut |event: Event| {
        if let Ok(record) = Record::parse_line(event.line.as_bytes())
            && !known.contains(&event.digest)
        {
            if record.output.is_some() {
                left_out += 1;
            } else {
                alone.push(Told { record, digest: event.digest, in_archive: true, file: None });
            }
        }
        std::ops::ControlFlow::Continue(())
    })?;
    Ok((merged(alone), left_out))
}

fn lines_of(told: &[Told]) -> Result<Vec<String>, ProofError> {
    told.iter().map(|told| Ok(told.record.to_line()?.trim_end_matches('\n').to_owned())).collect()
}

/// Returns how many signatures count, and how many do not.
fn signatures(told: &[Told], verdicts: &Verdicts) -> Result<(u64, u64), ProofError> {
    let (mut signed, mut rejected) = (0, 0);
    for Told { record, .. } in told {
        match verdicts.standing(record, record.ts)? {
            Standing::Signed { .. } => signed += 1,
            Standing::Rejected { .. } => rejected += 1,
            Standing::Unsigned => {}
        }
    }
    Ok((signed, rejected))
}

/// Writes the checkpoints that hold, each with the list of the evidence that it vouches for, and adds their blobs to `blobs`.
fn checkpoints(
    writer: &mut Writer<'_>,
    proof: &Proof<'_>,
    integrity: &Integrity,
    blobs: &mut Vec<ObjectId>,
) -> Result<u64, ProofError> {
    let (Some(signers), false) = (&proof.signers, proof.repository.is_bare()) else { return Ok(0) };
    let evidence = EvidenceSet::new(integrity);
    let candidates = Candidate::in_index(proof.repository)?;
    let (repository, repos, now) = (proof.repository, &proof.repos[..], Timestamp::now());
    let judgement = Judge { repository, evidence: &evidence, signers, repos, now }.judge(&candidates)?;
    let places: HashMap<&str, &Place> = candidates.iter().map(|one| (one.name.as_str(), &one.place)).collect();
    let mut written = 0;
    for (judged, good) in good(&judgement.judged) {
        let Some(Place::Index { path, entry }) = places.get(judged.name.as_str()) else { continue };
        let Ok(extent) = evidence.extent(&good.checkpoint.statement) else { continue };
        let bytes = repository.fetching_objects().read_kind(&entry.id, ObjectKind::Blob, MAX_LENGTH)?;
        writer.file(&path.to_string(), &bytes)?;
        let name = String::from_utf8_lossy(path.file_name()).into_owned();
        writer.lines(&format!("lists/{name}"), extent.into_iter().collect::<BTreeSet<_>>())?;
        blobs.push(entry.id);
        written += 1;
    }
    Ok(written)
}

/// Returns which commits brought the blobs in, each with the path.
fn commits(repository: &Repository, blobs: &[ObjectId]) -> Result<Vec<String>, ProofError> {
    if blobs.is_empty() {
        return Ok(Vec::new());
    }
    let added = repository.occurrences(blobs, &[])?.added;
    Ok(added.iter().map(|added| format!("{} {}", added.commit, quote(&added.path))).collect())
}

/// Writes files, and remembers their digests.
struct Writer<'a> {
    folder: &'a Path,
    /// Where the folder is going to be, as messages name it.
    place: &'a Path,
    sums: Vec<(String, Sha256)>,
}

impl Writer<'_> {
    fn failed(&self, source: io::Error) -> ProofError {
        ExportError::Io { path: self.place.to_owned(), source }.into()
    }

    fn create(&self, name: &str) -> Result<File, ProofError> {
        let path = self.folder.join(name);
        let created = create_dir_all(parent_of(&path)).and_then(|()| File::create_new(&path));
        created.map_err(|source| self.failed(source))
    }

    fn note(&mut self, name: &str, sum: Sha256) {
        self.sums.push((format!("./{name}"), sum));
    }

    fn remove(&self, name: &str) -> Result<(), ProofError> {
        std::fs::remove_file(self.folder.join(name)).map_err(|source| self.failed(source))
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), ProofError> {
        let mut file = self.create(name)?;
        file.write_all(bytes).and_then(|()| synced(&file)).map_err(|source| self.failed(source))?;
        self.note(name, Sha256::of(bytes));
        Ok(())
    }

    fn lines(&mut self, name: &str, lines: impl IntoIterator<Item = impl ToString>) -> Result<(), ProofError> {
        let text: String = lines.into_iter().map(|line| line.to_string() + "\n").collect();
        self.file(name, text.as_bytes())
    }

    fn json(&mut self, name: &str, value: &impl serde::Serialize) -> Result<(), ProofError> {
        self.lines(name, [serde_json::to_string(value).expect("texts and numbers are JSON")])
    }

    fn copy(&mut self, name: &str, from: &Path) -> Result<(), ProofError> {
        let bytes = std::fs::read(from).map_err(|source| ExportError::Io { path: from.to_owned(), source })?;
        self.file(name, &bytes)
    }

    /// Writes the manifest in the order of the script, and returns its digest.
    fn manifest(mut self) -> Result<Sha256, ProofError> {
        self.sums.sort();
        let lines: Vec<String> = self.sums.iter().map(|(name, sum)| format!("{sum}  {name}")).collect();
        let text = lines.join("\n") + "\n";
        self.file("SHA256SUMS", text.as_bytes())?;
        Ok(Sha256::of(text.as_bytes()))
    }
}

/// Writes what is read from it.
struct Copy<R> {
    source: R,
    file: io::BufWriter<File>,
    hasher: Sha256Hasher,
}

impl<R: Read> Copy<R> {
    fn new(source: R, file: File) -> Self {
        Self { source, file: io::BufWriter::new(file), hasher: Sha256Hasher::new() }
    }

    fn finish(self) -> io::Result<Sha256> {
        synced(&self.file.into_inner().map_err(io::IntoInnerError::into_error)?)?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for Copy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.file.write_all(&buffer[..read])?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
