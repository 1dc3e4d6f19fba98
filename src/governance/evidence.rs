//! What the evidence that a clone knows of says of governance: see [`known`].

use std::io::{self, Read};

use memchr::memmem::Finder;
use rayon::prelude::*;

use crate::causes;
use crate::evidence::format::EvidenceFileName;
use crate::evidence::record::Action;
use crate::git::{GitError, Repository};
use crate::id::{Sha256, Sha256Hasher, Tombstone};
use crate::review::{Evidence, Known, ReviewError, known};

use super::ledger::{Told, matters};
use super::obstacle::Obstacle;

/// The most records about one content, or of one file, that are kept: more than people make, and little memory.
const MAX_RECORDS: usize = 100_000;

/// How many files are read before what they say is looked at.
const GROUP: usize = 4096;

/// An evidence file that may say something and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unreadable {
    /// The file's path.
    pub file: String,
    /// Why.
    pub why: String,
}

impl Unreadable {
    /// Returns it as what is in the way of a purge.
    pub fn obstacle(&self) -> Obstacle {
        Obstacle::Unreadable { file: self.file.clone(), why: self.why.clone() }
    }
}

/// What evidence says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The records, in the order of the files and in the files' own.
    pub records: Vec<Told>,
    /// The files that may set a hold and cannot be read: what they say is not known.
    pub unreadable: Vec<Unreadable>,
}

/// Returns all that evidence says about a content: holds that stores set are found as well, whatever the files are called.
///
/// A file that is not intact says nothing. Where its name tells that it may set a hold, it is named.
pub fn about(repository: &Repository, sha256: &Sha256) -> Result<Found, GitError> {
    let wanted = |told: &Told| matters(&told.record) && told.record.sha256 == Some(*sha256);
    search(repository, &sha256.to_string(), wanted, may_hold)
}

/// Returns all that evidence says about an item, be it about governance or not. A file that is not intact says nothing.
pub fn about_item(repository: &Repository, tombstone: &Tombstone) -> Result<Found, GitError> {
    search(repository, &tombstone.to_string(), |told| told.record.tombstone == Some(*tombstone), |_| true)
}

/// Returns all that evidence says about governance. A file that is not intact says nothing, and is named where that matters.
pub fn all(repository: &Repository) -> Result<Found, GitError> {
    // Holds that stores set stand in files that are not named after governance, and few of those have any.
    let by_store = |told: &Told| matters(&told.record) && !told.record.action.is_governance();
    let mut found = search(repository, "\"legal_hold\":true", by_store, may_hold)?;
    for unreadable in named(repository, &Action::GOVERNANCE, |told| found.records.push(told))? {
        if !found.unreadable.contains(&unreadable) {
            found.unreadable.push(unreadable);
        }
    }
    Ok(found)
}

/// Returns the records that are `wanted`, all of which have `needle` in their lines, and the files that `matter` and cannot be
/// read.
fn search(
    repository: &Repository,
    needle: &str,
    wanted: impl Fn(&Told) -> bool + Sync,
    matter: impl Fn(&EvidenceFileName) -> bool,
) -> Result<Found, GitError> {
    let finder = Finder::new(needle.as_bytes());
    let Known { files, strange } = known(repository)?;
    let irregular = strange.iter().filter(|name| matter(name)).map(no_file).collect();
    let mut found = Found { records: Vec::new(), unreadable: irregular };
    let files: Vec<Evidence> = files.into_iter().collect();
    for group in files.chunks(GROUP) {
        let said: Vec<_> = group.par_iter().map(|file| says(repository, file, &finder, &wanted)).collect();
        for (file, said) in group.iter().zip(said) {
            match said {
                Ok(mut records) => found.records.append(&mut records),
                Err(ReviewError::Git(error)) => return Err(error),
                Err(error) if matter(&file.name) => found.unreadable.push(unreadable(file, &error)),
                Err(_) => {}
            }
            if found.records.len() > MAX_RECORDS {
                found.unreadable.push(too_many(file));
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// Hands each record about governance to `each` that stands in an evidence file whose name begins with one of `actions`, in the
/// order of the files; a file that is not intact says nothing. Returns the files that cannot be read.
pub fn named(
    repository: &Repository,
    actions: &[Action],
    mut each: impl FnMut(Told),
) -> Result<Vec<Unreadable>, GitError> {
    let wanted = |name: &EvidenceFileName| actions.iter().any(|action| name.is_of(*action));
    let Known { files, strange } = known(repository)?;
    let mut broken: Vec<Unreadable> = strange.iter().filter(|name| wanted(name)).map(no_file).collect();
    for file in files.into_iter().filter(|file| wanted(&file.name)) {
        match records(repository, &file, |told| matters(&told.record)) {
            Ok(told) if told.len() > MAX_RECORDS => broken.push(too_many(&file)),
            Ok(told) => told.into_iter().for_each(&mut each),
            Err(ReviewError::Git(error)) => return Err(error),
            Err(error) => broken.push(unreadable(&file, &error)),
        }
    }
    Ok(broken)
}

/// Returns the records of a file that are `wanted`. Most have none, which is told from their bytes alone.
fn says(
    repository: &Repository,
    file: &Evidence,
    finder: &Finder<'_>,
    wanted: impl Fn(&Told) -> bool,
) -> Result<Vec<Told>, ReviewError> {
    let scanned = file.open(repository)?;
    let is_silent = match scan(scanned, finder) {
        Ok((found, digest)) => !found && file.name.matches(&digest),
        // Reading it again tells why not.
        Err(_) => false,
    };
    if is_silent { Ok(Vec::new()) } else { records(repository, file, wanted) }
}

fn records(repository: &Repository, file: &Evidence, wanted: impl Fn(&Told) -> bool) -> Result<Vec<Told>, ReviewError> {
    let mut records = Vec::new();
    file.read(repository, |entry| {
        let name = Some(file.name.clone());
        let told = Told { digest: entry.digest, record: entry.record, in_archive: false, file: name };
        if records.len() <= MAX_RECORDS && wanted(&told) {
            records.push(told);
        }
    })?;
    Ok(records)
}

/// Returns whether `source` has the bytes that are looked for, and the digest of all of it.
pub(super) fn scan(mut source: impl Read, finder: &Finder<'_>) -> io::Result<(bool, Sha256)> {
    let overlap = finder.needle().len() - 1;
    let mut hasher = Sha256Hasher::new();
    let (mut buffer, mut kept, mut found) = (vec![0; 8 * 1024], 0, false);
    loop {
        let read = match source.read(&mut buffer[kept..]) {
            Ok(0) => return Ok((found, hasher.finish())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = kept + read;
        hasher.update(&buffer[kept..end]);
        found = found || finder.find(&buffer[..end]).is_some();
        // What is looked for may stand across two pieces.
        let start = end.saturating_sub(overlap);
        buffer.copy_within(start..end, 0);
        kept = end - start;
    }
}

/// Returns whether a file may set a hold, by its name: what stores and holds write, and what this program does not know.
fn may_hold(name: &EvidenceFileName) -> bool {
    let known = Action::ALL.iter().copied().find(|action| name.is_of(*action));
    known.is_none_or(|action| matches!(action, Action::Archive | Action::HoldSet))
}

fn no_file(name: &EvidenceFileName) -> Unreadable {
    Unreadable { file: name.to_string(), why: "it is no regular file".to_owned() }
}

fn too_many(file: &Evidence) -> Unreadable {
    let why = format!("there are more than {MAX_RECORDS} records of the kind");
    Unreadable { file: file.name.to_string(), why }
}

fn unreadable(file: &Evidence, error: &ReviewError) -> Unreadable {
    Unreadable { file: file.name.to_string(), why: causes::in_one_line(error) }
}
