//! What was purged, as far as the evidence of a repository tells: an archive that still has such bytes was brought back
//! from an older state, or has missed the purge.

use std::collections::BTreeMap;

use crate::archive::{AnyArchive, Event};
use crate::clock::Timestamp;
use crate::evidence::record::{Action, Record, Status};
use crate::git::{GitError, Repository};
use crate::id::Sha256;
use crate::review::{self, ReviewError};

use super::MigrateError;

/// The contents that evidence says were purged, with the time of the record and the evidence file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purges {
    contents: BTreeMap<Sha256, (Timestamp, String)>,
    /// Evidence files that are not intact, and tell nothing.
    pub broken: Vec<String>,
}

impl Purges {
    /// Reads the evidence of the index and of every reference.
    pub fn of(repository: &Repository) -> Result<Self, GitError> {
        let mut found = Self::default();
        for evidence in review::everywhere(repository)? {
            let mut purges = Vec::new();
            let read = evidence.read(repository, |entry| purges.extend(purged(&entry.record)));
            match read {
                Ok(_) => {
                    for (sha256, at) in purges {
                        found.contents.entry(sha256).or_insert_with(|| (at, evidence.name.to_string()));
                    }
                }
                Err(ReviewError::Git(error)) => return Err(error),
                Err(ReviewError::Evidence(_)) => found.broken.push(evidence.name.to_string()),
            }
        }
        Ok(found)
    }

    /// Returns what events tell.
    pub(super) fn in_events(events: &[Event]) -> Self {
        let records = events.iter().filter(|event| event.action == Action::Purge);
        let records = records.filter_map(|event| Record::parse_line(event.line.as_bytes()).ok());
        let purged = records.filter_map(|record| purged(&record));
        let contents = purged.map(|(sha256, at)| (sha256, (at, "an event of the archive".to_owned()))).collect();
        Self { contents, broken: Vec::new() }
    }

    /// Returns whether nothing was purged.
    pub(super) fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    /// Fails where `source` still has the bytes of a content that was purged.
    pub(super) fn refuse(&self, source: &mut AnyArchive) -> Result<(), MigrateError> {
        let contents: Vec<Sha256> = self.contents.keys().copied().collect();
        let known = source.find_artifacts(&contents).map_err(MigrateError::Source)?;
        let kept =
            self.contents.iter().find(|(sha256, _)| known.get(sha256).is_some_and(|info| info.purged_at.is_none()));
        let Some((sha256, (purged_at, evidence))) = kept else { return Ok(()) };
        Err(MigrateError::Kept { sha256: *sha256, purged_at: *purged_at, evidence: evidence.clone() })
    }
}

/// Returns the content that a record says was purged, and when. A purge that has begun counts: it is only ever finished.
fn purged(record: &Record) -> Option<(Sha256, Timestamp)> {
    let is_one = record.action == Action::Purge && record.status != Some(Status::Failed);
    record.sha256.filter(|_| is_one).map(|sha256| (sha256, record.ts))
}
