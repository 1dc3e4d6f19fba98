//! Copies an archive to another database: whole, compared and read back, or not at all.
//!
//! `docs/migrate.md` says what holds meanwhile and in which order things are written. Everything here may be stopped at
//! any point and run again.

mod contents;
mod error;
mod purges;

use std::collections::HashMap;
use std::io;

use crate::archive::{AnyArchive, ArchiveError, Batch, Event, KnownItem, Purge};
use crate::evidence::record::Action;
use crate::export::{Facts, FactsError, facts};
use crate::fault;
use crate::id::Tombstone;

pub use error::MigrateError;
pub use purges::Purges;

/// How far a migration has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes of contents are in the copy and were read back.
    Contents(u64),
    /// So many items are in the copy.
    Items(u64),
    /// So many events are in the copy.
    Events(u64),
    /// The source is locked and both are compared.
    Comparing,
}

/// What a migration came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The facts that both archives hold, the record of the migration included.
    pub facts: Facts,
    /// The record of it, as both archives have it; `None` where it had been done before.
    pub event: Option<Event>,
}

/// The archives that take part.
pub struct Archives<'a> {
    /// What is to be copied.
    pub source: &'a mut AnyArchive,
    /// The same archive by another connection, which locks it while the end is copied.
    pub lock: &'a mut AnyArchive,
    /// What is to become the copy: empty, or what an earlier run left.
    pub target: &'a mut AnyArchive,
}

/// Copies `archives.source` to `archives.target`, and marks the source as superseded. `record` makes the event that both
/// get, of the facts that both hold before it.
///
/// What `purges` knows as purged is not copied: a source that still has the bytes is refused.
pub fn migrate(
    archives: Archives<'_>,
    purges: &Purges,
    record: &mut dyn FnMut(&Facts) -> Event,
    progress: &mut dyn FnMut(Progress),
) -> Result<Migrated, MigrateError> {
    let Archives { source, lock, target } = archives;
    let (of, by) = (source.id().to_owned(), target.id().to_owned());
    if of == by {
        return Err(MigrateError::Same);
    }
    let mark = source.superseded_by().map_err(MigrateError::Source)?;
    if let Some(other) = mark.as_ref().filter(|mark| **mark != by) {
        return Err(MigrateError::Superseded { by: other.clone() });
    }
    if mark.is_some() && target.superseded_by().map_err(MigrateError::Target)?.is_none() {
        return Ok(Migrated { facts: facts_of(target).map_err(MigrateError::Target)?, event: None });
    }
    purges.refuse(source)?;
    refuse_unfinished(source)?;
    target.begin_copy(&of).map_err(MigrateError::Target)?;
    fault::point("copy-marked");
    let mut copy = Copy { source, target, of, verified: 0, bytes: 0, events: 0, migrated: None, progress };
    copy.run()?;

    let (mut looked, mut appended) = (None, None);
    let mut last_look = || {
        // Somebody may have stored it again meanwhile, here as before.
        let copied = refuse_unfinished(copy.source).and_then(|()| copy.run());
        let compared = copied.and_then(|()| purges.refuse(copy.source)).and_then(|()| copy.compare());
        let event = compared.as_ref().ok().map(&mut *record);
        (looked, appended) = (Some(compared), event.clone());
        event
    };
    lock.supersede(&by, &mut last_look).map_err(MigrateError::Source)?;
    match looked {
        Some(compared) => compared?,
        // An earlier run was stopped between the source's mark and the copy's completion: nobody changed either since.
        None => copy.run().and_then(|()| copy.compare())?,
    };
    fault::point("source-superseded");
    let Copy { target, of, migrated, .. } = copy;
    target.complete_copy(&of, appended.as_slice()).map_err(MigrateError::Target)?;
    fault::point("copy-complete");
    let facts = facts_of(target).map_err(MigrateError::Target)?;
    Ok(Migrated { facts, event: appended.or(migrated) })
}

/// Says what `archive` holds, without writing it down.
fn facts_of(archive: &mut AnyArchive) -> Result<Facts, ArchiveError> {
    facts(archive, &mut io::sink(), &mut io::sink(), &mut |_| Ok(())).map_err(|error| match error {
        FactsError::Archive(error) => error,
        FactsError::Write(_) => unreachable!("nothing keeps a sink from being written to"),
    })
}

fn without_numbers<T>(page: Vec<(u64, T)>) -> Vec<T> {
    page.into_iter().map(|(_, row)| row).collect()
}

/// Returns whether two pages have the same rows, whatever their numbers.
fn is_alike<T: PartialEq>(left: &[(u64, T)], right: &[(u64, T)]) -> bool {
    left.iter().map(|(_, row)| row).eq(right.iter().map(|(_, row)| row))
}

/// Returns whether two tables that are read in pages have the same rows.
fn have_the_same<T: PartialEq>(
    mut source: impl FnMut(u64) -> Result<Vec<(u64, T)>, ArchiveError>,
    mut target: impl FnMut(u64) -> Result<Vec<(u64, T)>, ArchiveError>,
) -> Result<bool, MigrateError> {
    let (mut last, mut last_there) = (0, 0);
    loop {
        let page = source(last).map_err(MigrateError::Source)?;
        let there = target(last_there).map_err(MigrateError::Target)?;
        if !is_alike(&page, &there) {
            return Ok(false);
        }
        match (page.last(), there.last()) {
            (Some((end, _)), Some((end_there, _))) => (last, last_there) = (*end, *end_there),
            _ => return Ok(true),
        }
    }
}

/// Fails where the source has begun to destroy bytes and has not ended.
fn refuse_unfinished(source: &mut AnyArchive) -> Result<(), MigrateError> {
    match source.unfinished_purges().map_err(MigrateError::Source)?.first() {
        Some(Purge { sha256, begun_at, .. }) => Err(MigrateError::Unfinished { sha256: *sha256, begun_at: *begun_at }),
        None => Ok(()),
    }
}

/// A copy that is being made.
struct Copy<'a> {
    source: &'a mut AnyArchive,
    target: &'a mut AnyArchive,
    /// The source's id.
    of: String,
    /// Contents up to this number of the source are whole in the target: this run has seen it.
    verified: u64,
    /// The sum of their sizes.
    bytes: u64,
    /// Events up to this number of the source are in the target.
    events: u64,
    /// The newest record of a migration among them.
    migrated: Option<Event>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Copy<'_> {
    /// Brings everything over that the source has by now and the target lacks.
    fn run(&mut self) -> Result<(), MigrateError> {
        // An event that comes while items are copied may be about one that was passed: it waits for the next round.
        let newest = self.source.newest_event().map_err(MigrateError::Source)?;
        self.copy_contents()?;
        self.copy_items()?;
        self.copy_events(newest)?;
        self.copy_holds()?;
        self.copy_purges()
    }

    fn copy_items(&mut self) -> Result<(), MigrateError> {
        let (mut last, mut count) = (None, 0);
        loop {
            let page = self.source.items_page(last.as_ref()).map_err(MigrateError::Source)?;
            let Some(end) = page.last() else { return Ok(()) };
            // The copy has no other items than the source, so its page ends no earlier.
            let there = self.target.items_page(last.as_ref()).map_err(MigrateError::Target)?;
            last = Some(end.stored.item.tombstone);
            count += page.len() as u64;
            let there: HashMap<Tombstone, KnownItem> =
                there.into_iter().map(|known| (known.stored.item.tombstone, known)).collect();
            let was_purged = page.iter().find_map(|known| {
                let there = there.get(&known.stored.item.tombstone)?;
                let purged_at = known.stored.purged_at.filter(|_| there.stored.purged_at.is_none())?;
                Some(MigrateError::Purged { sha256: known.stored.item.sha256, purged_at })
            });
            if let Some(error) = was_purged {
                return Err(error);
            }
            let items: Vec<KnownItem> =
                page.into_iter().filter(|known| there.get(&known.stored.item.tombstone) != Some(known)).collect();
            self.take_in(&Batch { items, ..Batch::default() })?;
            fault::point("copy-items");
            (self.progress)(Progress::Items(count));
        }
    }

    /// Copies the events up to number `newest`.
    fn copy_events(&mut self, newest: u64) -> Result<(), MigrateError> {
        loop {
            let page = self.source.events_page(self.events).map_err(MigrateError::Source)?;
            let events: Vec<Event> =
                page.iter().filter(|(number, _)| *number <= newest).map(|(_, event)| event.clone()).collect();
            let Some((last, _)) = page.into_iter().rfind(|(number, _)| *number <= newest) else { return Ok(()) };
            if let Some(event) = events.iter().rfind(|event| event.action == Action::Migrate) {
                self.migrated = Some(event.clone());
            }
            self.refuse_purged(&events)?;
            self.take_in(&Batch { events, ..Batch::default() })?;
            fault::point("copy-events");
            self.events = last;
            (self.progress)(Progress::Events(last));
        }
    }

    /// Copies the holds. Those of the copy are the first ones of the source, in the same order, so that the pages of both have
    /// the same holds.
    fn copy_holds(&mut self) -> Result<(), MigrateError> {
        let (mut last, mut last_there) = (0, 0);
        loop {
            let page = self.source.holds_page(last).map_err(MigrateError::Source)?;
            let Some((end, _)) = page.last() else { return Ok(()) };
            last = *end;
            let mut there = self.target.holds_page(last_there).map_err(MigrateError::Target)?;
            if !is_alike(&page, &there) {
                self.take_in(&Batch { holds: without_numbers(page), ..Batch::default() })?;
                there = self.target.holds_page(last_there).map_err(MigrateError::Target)?;
            }
            last_there = there.last().map_or(last_there, |(end, _)| *end);
            fault::point("copy-holds");
        }
    }

    /// Copies the purges, likewise.
    fn copy_purges(&mut self) -> Result<(), MigrateError> {
        let mut last = 0;
        loop {
            let page = self.source.purges_page(last).map_err(MigrateError::Source)?;
            let Some((end, _)) = page.last() else { return Ok(()) };
            last = *end;
            // One that has begun since waits for the next round, which is refused if it has not ended by then.
            let ended = without_numbers(page).into_iter().filter(|known| known.destroyed_at.is_some());
            self.take_in(&Batch { purges: ended.collect(), ..Batch::default() })?;
            fault::point("copy-purges");
        }
    }

    /// Fails where an event tells of a purge and the source has the bytes.
    fn refuse_purged(&mut self, events: &[Event]) -> Result<(), MigrateError> {
        let purges = Purges::in_events(events);
        if purges.is_empty() { Ok(()) } else { purges.refuse(self.source) }
    }

    fn take_in(&mut self, batch: &Batch) -> Result<(), MigrateError> {
        let Batch { blocks, contents, items, events, holds, purges } = batch;
        let nothing = blocks.is_empty() && contents.is_empty() && items.is_empty() && events.is_empty();
        if nothing && holds.is_empty() && purges.is_empty() {
            return Ok(());
        }
        self.target.take_in(&self.of, batch).map_err(MigrateError::Target)
    }

    /// Checks that both hold the same.
    fn compare(&mut self) -> Result<Facts, MigrateError> {
        (self.progress)(Progress::Comparing);
        let source = facts_of(self.source).map_err(MigrateError::Source)?;
        let target = facts_of(self.target).map_err(MigrateError::Target)?;
        let contents = self.source.counts().map_err(MigrateError::Source)?.artifacts;
        let copied = self.target.counts().map_err(MigrateError::Target)?.artifacts;
        let alike = self.has_all_holds_and_purges()?;
        if source != target || contents != copied || !alike {
            return Err(MigrateError::Differ { source_digest: source.digest(), target_digest: target.digest() });
        }
        fault::point("copy-compared");
        Ok(source)
    }

    fn has_all_holds_and_purges(&mut self) -> Result<bool, MigrateError> {
        let Self { source, target, .. } = self;
        Ok(have_the_same(|after| source.holds_page(after), |after| target.holds_page(after))?
            && have_the_same(|after| source.purges_page(after), |after| target.purges_page(after))?)
    }
}
