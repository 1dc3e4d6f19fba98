//! An archive whose passing failures are waited out.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{
    AnyArchive, Approval, Archive, ArchiveError, ArtifactInfo, Batch, Block, BlockInfo, Change, ContentFacts, Copying,
    Counts, Destroyed, Event, Governing, Hold, ItemStatus, KnownContent, KnownHold, KnownItem, KnownPurge, NewArtifact,
    PendingOperation, Purge, Query, Segment, StoredItem,
};
use crate::clock::Timestamp;
use crate::id::{OperationId, Sha256, Tombstone};
use crate::item::{Item, RepoPath};
use crate::retry::{Class, Policy};

/// What is told of a question that was not answered at once.
#[derive(Debug, Clone, Copy)]
pub enum Retry<'a> {
    /// An attempt failed, and the next one is made soon.
    Again {
        /// The attempt's number, from 1.
        attempt: u32,
        /// How long is waited before the next one.
        delay: Duration,
        /// Why it failed.
        error: &'a ArchiveError,
    },
    /// The last of several attempts has ended.
    Over {
        /// Its number.
        attempt: u32,
        /// The time from the start of the first attempt to the end of the last, delays included, in milliseconds.
        duration_ms: f64,
        /// Why that one failed too, if it did.
        error: Option<&'a ArchiveError>,
    },
}

/// Told of each attempt that failed and is made again, and of how that ended.
pub type OnRetry<'a> = dyn FnMut(Retry<'_>) + Send + 'a;

/// Opens an archive with `open`, as often as `policy` says, and returns it with the same patience in everything it does.
///
/// That every changing method of an [`Archive`] may be repeated is what makes this right.
pub fn open_retrying(
    policy: Policy,
    mut on_retry: Box<OnRetry<'static>>,
    mut open: impl FnMut() -> Result<Box<AnyArchive>, ArchiveError>,
) -> Result<Box<AnyArchive>, ArchiveError> {
    let archive = persist(policy, &mut *on_retry, ArchiveError::class, &mut open)?;
    let retries = Arc::new(AtomicU64::new(0));
    let counting = {
        let retries = Arc::clone(&retries);
        move |retry: Retry<'_>| {
            if matches!(retry, Retry::Again { .. }) {
                retries.fetch_add(1, Ordering::Relaxed);
            }
            on_retry(retry);
        }
    };
    Ok(Box::new(Retrying { archive, policy, on_retry: Box::new(counting), retries }))
}

/// Asks as often as `policy` says, and tells `on_retry` how it goes.
fn persist<T>(
    policy: Policy,
    on_retry: &mut OnRetry<'_>,
    class: impl Fn(&ArchiveError) -> Class,
    mut question: impl FnMut() -> Result<T, ArchiveError>,
) -> Result<T, ArchiveError> {
    let again = |attempt, delay, error: &ArchiveError| on_retry(Retry::Again { attempt, delay, error });
    let outcome = policy.run(std::thread::sleep, class, again, |_| question());
    if outcome.attempts > 1 {
        let (attempt, duration_ms) = (outcome.attempts, outcome.duration_ms);
        on_retry(Retry::Over { attempt, duration_ms, error: outcome.result.as_ref().err() });
    }
    outcome.result
}

/// An archive that is asked again where its answer was a failure that may pass.
struct Retrying {
    archive: Box<AnyArchive>,
    policy: Policy,
    on_retry: Box<OnRetry<'static>>,
    /// How many attempts were made again.
    retries: Arc<AtomicU64>,
}

impl Retrying {
    fn ask<T>(
        &mut self,
        mut question: impl FnMut(&mut AnyArchive) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let Self { archive, policy, on_retry, .. } = self;
        persist(*policy, &mut **on_retry, ArchiveError::class, || question(&mut **archive))
    }

    /// Asks a question whose answer comes in pieces: once the first has come, there is no asking again.
    fn ask_for_many<T>(
        &mut self,
        visit: &mut dyn FnMut(T) -> ControlFlow<()>,
        mut question: impl FnMut(&mut AnyArchive, &mut dyn FnMut(T) -> ControlFlow<()>) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let begun = Cell::new(false);
        let class = |error: &ArchiveError| if begun.get() { Class::Permanent } else { error.class() };
        let mut visit = |piece| {
            begun.set(true);
            visit(piece)
        };
        let Self { archive, policy, on_retry, .. } = self;
        persist(*policy, &mut **on_retry, class, || question(&mut **archive, &mut visit))
    }
}

/// Makes `$wrapper` an archive that passes every question to the one in `$wrapper.archive` by its `ask` and `ask_for_many`.
macro_rules! ask_through {
    ($wrapper:ty) => {
        impl Archive for $wrapper {
            fn id(&self) -> &str {
                self.archive.id()
            }

            fn backend(&self) -> &'static str {
                self.archive.backend()
            }

            fn retries(&self) -> u64 {
                self.retries.load(Ordering::Relaxed)
            }

            fn check_change(&mut self, change: Change) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.check_change(change))
            }

            fn ping(&mut self) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.ping())
            }

            fn find_artifacts(&mut self, contents: &[Sha256]) -> Result<HashMap<Sha256, ArtifactInfo>, ArchiveError> {
                self.ask(|archive| archive.find_artifacts(contents))
            }

            fn find_blocks(&mut self, raw: &[Sha256]) -> Result<HashMap<Sha256, BlockInfo>, ArchiveError> {
                self.ask(|archive| archive.find_blocks(raw))
            }

            fn put(&mut self, blocks: &[Block], artifacts: &[NewArtifact]) -> Result<HashSet<Sha256>, ArchiveError> {
                self.ask(|archive| archive.put(blocks, artifacts))
            }

            fn segments(&mut self, content: &Sha256, from: u64) -> Result<Vec<Segment>, ArchiveError> {
                self.ask(|archive| archive.segments(content, from))
            }

            fn block(&mut self, raw: &Sha256) -> Result<Option<Block>, ArchiveError> {
                self.ask(|archive| archive.block(raw))
            }

            fn begin(
                &mut self,
                op: OperationId,
                origin: &str,
                items: &[Item],
            ) -> Result<Vec<ItemStatus>, ArchiveError> {
                self.ask(|archive| archive.begin(op, origin, items))
            }

            fn seal(&mut self, op: OperationId, events: &[Event]) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.seal(op, events))
            }

            fn undo(&mut self, op: OperationId, origin: &str, event: &Event) -> Result<u64, ArchiveError> {
                self.ask(|archive| archive.undo(op, origin, event))
            }

            fn pending(&mut self, origin: &str) -> Result<Vec<PendingOperation>, ArchiveError> {
                self.ask(|archive| archive.pending(origin))
            }

            fn operation_items(&mut self, op: OperationId) -> Result<Vec<StoredItem>, ArchiveError> {
                self.ask(|archive| archive.operation_items(op))
            }

            fn append_events(&mut self, events: &[Event]) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.append_events(events))
            }

            fn mark_restored(
                &mut self,
                tombstones: &[Tombstone],
                at: Timestamp,
                events: &[Event],
            ) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.mark_restored(tombstones, at, events))
            }

            fn items(&mut self, tombstones: &[Tombstone]) -> Result<HashMap<Tombstone, StoredItem>, ArchiveError> {
                self.ask(|archive| archive.items(tombstones))
            }

            fn items_by_prefix(&mut self, prefix: &str, limit: usize) -> Result<Vec<StoredItem>, ArchiveError> {
                self.ask(|archive| archive.items_by_prefix(prefix, limit))
            }

            fn items_by_path(&mut self, repo: &str, path: &RepoPath) -> Result<Vec<StoredItem>, ArchiveError> {
                self.ask(|archive| archive.items_by_path(repo, path))
            }

            fn list(
                &mut self,
                query: &Query,
                visit: &mut dyn FnMut(StoredItem) -> ControlFlow<()>,
            ) -> Result<(), ArchiveError> {
                self.ask_for_many(visit, |archive, visit| archive.list(query, visit))
            }

            fn events(
                &mut self,
                tombstone: &Tombstone,
                visit: &mut dyn FnMut(Event) -> ControlFlow<()>,
            ) -> Result<(), ArchiveError> {
                self.ask_for_many(visit, |archive, visit| archive.events(tombstone, visit))
            }

            fn find_events(&mut self, digests: &[Sha256]) -> Result<HashSet<Sha256>, ArchiveError> {
                self.ask(|archive| archive.find_events(digests))
            }

            fn counts(&mut self) -> Result<Counts, ArchiveError> {
                self.ask(|archive| archive.counts())
            }
        }

        impl Copying for $wrapper {
            fn superseded_by(&mut self) -> Result<Option<String>, ArchiveError> {
                self.ask(|archive| archive.superseded_by())
            }

            fn contents_page(&mut self, after: u64) -> Result<Vec<KnownContent>, ArchiveError> {
                self.ask(|archive| archive.contents_page(after))
            }

            fn items_page(&mut self, after: Option<&Tombstone>) -> Result<Vec<KnownItem>, ArchiveError> {
                self.ask(|archive| archive.items_page(after))
            }

            fn events_page(&mut self, after: u64) -> Result<Vec<(u64, Event)>, ArchiveError> {
                self.ask(|archive| archive.events_page(after))
            }

            fn holds_page(&mut self, after: u64) -> Result<Vec<(u64, KnownHold)>, ArchiveError> {
                self.ask(|archive| archive.holds_page(after))
            }

            fn purges_page(&mut self, after: u64) -> Result<Vec<(u64, KnownPurge)>, ArchiveError> {
                self.ask(|archive| archive.purges_page(after))
            }

            fn newest_event(&mut self) -> Result<u64, ArchiveError> {
                self.ask(|archive| archive.newest_event())
            }

            fn begin_copy(&mut self, of: &str) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.begin_copy(of))
            }

            fn take_in(&mut self, of: &str, batch: &Batch) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.take_in(of, batch))
            }

            fn complete_copy(&mut self, of: &str, events: &[Event]) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.complete_copy(of, events))
            }

            fn supersede(
                &mut self,
                by: &str,
                last_look: &mut dyn FnMut() -> Option<Event>,
            ) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.supersede(by, last_look))
            }
        }

        impl Governing for $wrapper {
            fn content_facts(&mut self, sha256: &Sha256) -> Result<Option<ContentFacts>, ArchiveError> {
                self.ask(|archive| archive.content_facts(sha256))
            }

            fn set_holds(&mut self, holds: &[Hold]) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.set_holds(holds))
            }

            fn release_holds(&mut self, events: &[Event]) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.release_holds(events))
            }

            fn holds(&mut self) -> Result<Vec<(Hold, StoredItem)>, ArchiveError> {
                self.ask(|archive| archive.holds())
            }

            fn approve(&mut self, approvals: &[(Tombstone, Approval)], events: &[Event]) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.approve(approvals, events))
            }

            fn begin_purge(
                &mut self,
                purge: &Purge,
                judge: &mut dyn FnMut(&ContentFacts) -> bool,
            ) -> Result<bool, ArchiveError> {
                self.ask(|archive| archive.begin_purge(purge, judge))
            }

            fn destroy(&mut self, sha256: &Sha256) -> Result<Destroyed, ArchiveError> {
                self.ask(|archive| archive.destroy(sha256))
            }

            fn end_purge(&mut self, op: OperationId, events: &[Event]) -> Result<(), ArchiveError> {
                self.ask(|archive| archive.end_purge(op, events))
            }

            fn purge_by(&mut self, op: OperationId) -> Result<Option<KnownPurge>, ArchiveError> {
                self.ask(|archive| archive.purge_by(op))
            }

            fn purge_of(&mut self, sha256: &Sha256) -> Result<Option<Purge>, ArchiveError> {
                self.ask(|archive| archive.purge_of(sha256))
            }

            fn unfinished_purges(&mut self) -> Result<Vec<Purge>, ArchiveError> {
                self.ask(|archive| archive.unfinished_purges())
            }

            fn governance_page(&mut self, after: u64) -> Result<Vec<(u64, Event)>, ArchiveError> {
                self.ask(|archive| archive.governance_page(after))
            }
        }
    };
}

ask_through!(Retrying);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::contract::{self, Engine};
    use super::super::{OpenMode, SqliteArchive};
    use super::*;

    const POLICY: Policy = Policy { max_attempts: 3, ..Policy::once() };

    fn busy() -> ArchiveError {
        ArchiveError::Busy { source: "somebody else writes".into() }
    }

    /// An archive that is busy every other time it is asked.
    struct Flaky {
        archive: Box<AnyArchive>,
        questions: u32,
        retries: AtomicU64,
    }

    impl Flaky {
        fn ask<T>(
            &mut self,
            mut question: impl FnMut(&mut AnyArchive) -> Result<T, ArchiveError>,
        ) -> Result<T, ArchiveError> {
            self.questions += 1;
            if self.questions % 2 == 1 { Err(busy()) } else { question(&mut *self.archive) }
        }

        fn ask_for_many<T>(
            &mut self,
            visit: &mut dyn FnMut(T) -> ControlFlow<()>,
            mut question: impl FnMut(&mut AnyArchive, &mut dyn FnMut(T) -> ControlFlow<()>) -> Result<(), ArchiveError>,
        ) -> Result<(), ArchiveError> {
            self.questions += 1;
            if self.questions % 2 == 1 { Err(busy()) } else { question(&mut *self.archive, visit) }
        }
    }

    ask_through!(Flaky);

    /// The embedded engine behind [`Flaky`]: every behaviour holds although every question is asked twice.
    struct FlakySqlite(tempfile::TempDir);

    impl Engine for FlakySqlite {
        fn create() -> Self {
            Self(tempfile::tempdir().expect("makes a folder"))
        }

        fn open(&self) -> Box<dyn Archive> {
            let path = self.0.path().join("archive.sqlite");
            let open = || -> Result<Box<AnyArchive>, ArchiveError> {
                let archive = Box::new(SqliteArchive::open(&path, OpenMode::CreateOrMigrate)?);
                Ok(Box::new(Flaky { archive, questions: 0, retries: AtomicU64::new(0) }))
            };
            open_retrying(POLICY, Box::new(|_| {}), open).expect("opens")
        }
    }

    contract::contract_suite!(FlakySqlite);

    #[test]
    fn only_what_may_pass_is_tried_again_and_each_time_is_told() {
        for (error, attempts) in [(busy as fn() -> ArchiveError, 3), (|| ArchiveError::Damaged { what: "x".into() }, 1)]
        {
            let told = Arc::new(Mutex::new(Vec::new()));
            let on_retry = {
                let told = Arc::clone(&told);
                move |retry: Retry<'_>| {
                    told.lock().expect("nobody panicked").push(match retry {
                        Retry::Again { attempt, .. } => (attempt, false),
                        Retry::Over { attempt, error, duration_ms } => {
                            assert!(error.is_some() && duration_ms >= 0.0);
                            (attempt, true)
                        }
                    });
                }
            };
            let mut tried = 0;
            let opened = open_retrying(POLICY, Box::new(on_retry), || {
                tried += 1;
                Err(error())
            });
            assert!(opened.is_err());
            assert_eq!(tried, attempts);
            let expected: &[(u32, bool)] = if attempts == 1 { &[] } else { &[(1, false), (2, false), (3, true)] };
            assert_eq!(*told.lock().expect("nobody panicked"), expected);
        }
    }

    #[test]
    fn a_listing_that_has_begun_is_not_begun_again() {
        let archive = FlakySqlite::create().open();
        let mut retrying = Retrying { archive, policy: POLICY, on_retry: Box::new(|_| {}), retries: Arc::default() };
        let mut asked = 0;
        let mut visited = 0;
        let answer = retrying.ask_for_many(
            &mut |_: u8| {
                visited += 1;
                ControlFlow::Continue(())
            },
            |_, visit| {
                asked += 1;
                let _ = visit(1);
                Err(busy())
            },
        );
        assert!(answer.is_err());
        assert_eq!((asked, visited), (1, 1));
    }
}
