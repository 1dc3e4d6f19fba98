//! Everything that is known of one item, in the order of time.

use std::ops::ControlFlow;

use crate::archive::{AnyArchive, ArchiveError, Event};
use crate::evidence::record::{Action, Record};
use crate::git::{GitError, Repository};
use crate::id::Tombstone;

use super::evidence::{Unreadable, about_item};
use super::ledger::{Told, merged};

/// The records of an item.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Story {
    /// Each once, with all places where it stands; what is of one moment as it stands there.
    pub told: Vec<Told>,
    /// The evidence files that cannot be read: what they say is not known.
    pub unreadable: Vec<Unreadable>,
}

/// Why an item's story could not be told.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// The archive failed, or is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Story {
    /// Returns what is known of an item: from the events of `archive`, from evidence in the index, `HEAD` and every reference, and
    /// from `more`, such as the operations log.
    pub fn of(
        repository: &Repository,
        tombstone: &Tombstone,
        archive: Option<&mut AnyArchive>,
        more: impl IntoIterator<Item = Told>,
    ) -> Result<Self, StoryError> {
        let mut told = Vec::new();
        if let Some(archive) = archive {
            archive.events(tombstone, &mut |event: Event| {
                // A line that is no record any more cannot be shown as one; `evidence verify` and `verify --deep` tell of it.
                if let Ok(record) = Record::parse_line(event.line.as_bytes()) {
                    told.push(Told { record, digest: event.digest, in_archive: true, file: None });
                }
                ControlFlow::Continue(())
            })?;
        }
        let found = about_item(repository, tombstone)?;
        told.extend(found.records);
        told.extend(more);
        Ok(Self { told: merged(told), unreadable: found.unreadable })
    }

    /// Returns the record of the newest purge.
    pub fn purge(&self) -> Option<&Record> {
        let mut records = self.told.iter().rev().map(|told| &told.record);
        records.find(|record| record.action == Action::Purge && super::record::took_place(record))
    }
}
