//! Many contents, read by several threads, and handed on in order.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::reader::LOOK_AHEAD;
use super::{ArchiveError, ContentReader, Pool};
use crate::id::Sha256;

/// How many bytes a thread reads before it asks what to read next: the fewer, the more often neighbours are parted; the
/// more, the longer the last ones keep one thread busy alone.
pub(crate) const RUN_BYTES: u64 = 8 << 20;

/// How many runs may be done, beside those in the hands of the threads, before their turn comes.
const AHEAD: usize = 2;

/// A content that is to be read.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    /// Its digest.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
}

/// Reads `contents` in runs of neighbours, with as many threads as `pool` has handles to lend.
///
/// `read` is given a reader and the places in `contents` of a run, which the reader expects; what it returns is handed to
/// `take`, in the order of `contents`, until that breaks off or something fails. Few runs are done ahead of the one whose
/// turn it is, so memory is bounded by what `read` returns for one run.
///
/// Contents share blocks with those that were stored beside them, so they are best given in such an order.
pub fn read_in_runs<R: Send, E: From<ArchiveError> + Send>(
    pool: &Pool<'_>,
    contents: &[Content],
    read: impl Fn(&mut ContentReader<'_>, Range<usize>) -> Result<R, E> + Sync,
    take: &mut dyn FnMut(Range<usize>, R) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let runs = runs(contents);
    let threads = pool.limit().min(runs.len());
    let gate = Gate { runs: runs.len(), ahead: threads + AHEAD, state: Mutex::default(), opened: Condvar::new() };
    thread::scope(|scope| {
        // However it ends, the threads do not wait for a turn that never comes.
        let _closing = Closing(&gate);
        let (sender, outcomes) = channel();
        for _ in 0..threads {
            let (sender, gate, runs, read) = (sender.clone(), &gate, &runs, &read);
            scope.spawn(move || {
                if let Err(error) = work(pool, contents, runs, gate, read, &sender) {
                    // Nobody listens any more where another one failed before.
                    let _ = sender.send(Err(error));
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut turn = 0;
        for outcome in outcomes {
            let (number, result) = outcome?;
            early.insert(number, result);
            while let Some(result) = early.remove(&turn) {
                if take(runs[turn].clone(), result)?.is_break() {
                    return Ok(());
                }
                turn += 1;
                gate.advance(turn);
            }
        }
        Ok(())
    })
}

/// Reads runs until there are none, and sends what `read` made of each, with its number.
fn work<R, E: From<ArchiveError>>(
    pool: &Pool<'_>,
    contents: &[Content],
    runs: &[Range<usize>],
    gate: &Gate,
    read: &impl Fn(&mut ContentReader<'_>, Range<usize>) -> Result<R, E>,
    sender: &Sender<Result<(usize, R), E>>,
) -> Result<(), E> {
    let mut archive = pool.lend()?;
    let mut reader = ContentReader::new(&mut *archive);
    while let Some(number) = gate.enter() {
        let run = runs[number].clone();
        reader.expect(contents[run.clone()].iter().map(|content| content.sha256));
        if sender.send(Ok((number, read(&mut reader, run)?))).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Divides contents into runs that one thread reads: as many as are looked up at a time, or until they are long enough.
fn runs(contents: &[Content]) -> Vec<Range<usize>> {
    let (mut runs, mut start) = (Vec::new(), 0);
    while start < contents.len() {
        let mut bytes = 0;
        let is_room = |content: &&Content| {
            let is_room = bytes < RUN_BYTES;
            bytes = bytes.saturating_add(content.size);
            is_room
        };
        let end = start + contents[start..].iter().take(LOOK_AHEAD).take_while(is_room).count();
        runs.push(start..end);
        start = end;
    }
    runs
}

/// Gives out the numbers of runs in order, and none too far ahead of the one whose turn it is.
struct Gate {
    runs: usize,
    ahead: usize,
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    next: usize,
    turn: usize,
    closed: bool,
}

impl Gate {
    /// Returns the number of the next run; `None` if there is no more to do.
    fn enter(&self) -> Option<usize> {
        let mut state = self.state();
        while !state.closed && state.next < self.runs && state.next >= state.turn + self.ahead {
            state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed || state.next == self.runs {
            return None;
        }
        state.next += 1;
        Some(state.next - 1)
    }

    fn advance(&self, turn: usize) {
        self.state().turn = turn;
        self.opened.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the gate when it is dropped.
struct Closing<'a>(&'a Gate);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.opened.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::archive::{OpenMode, SqliteArchive};

    fn contents(count: usize) -> Vec<Content> {
        vec![Content { sha256: Sha256::ZERO, size: RUN_BYTES }; count]
    }

    fn with_pool(test: impl FnOnce(&Pool<'_>)) {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("archive.sqlite");
        SqliteArchive::open(&path, OpenMode::CreateOrMigrate).expect("makes an archive");
        test(&Pool::new(3, || Ok(Box::new(SqliteArchive::open(&path, OpenMode::Existing)?))));
    }

    #[test]
    fn runs_are_as_long_as_a_look_up_or_as_many_bytes() {
        let sizes = [1, RUN_BYTES, 1, RUN_BYTES * 3, 0];
        let few: Vec<_> = sizes.iter().map(|size| Content { sha256: Sha256::ZERO, size: *size }).collect();
        assert_eq!(runs(&few), vec![0..2, 2..4, 4..5]);
        let many = vec![Content { sha256: Sha256::ZERO, size: 0 }; LOOK_AHEAD + 1];
        assert_eq!(runs(&many), vec![0..LOOK_AHEAD, LOOK_AHEAD..LOOK_AHEAD + 1]);
        assert!(runs(&[]).is_empty());
    }

    #[test]
    fn results_come_in_order_and_not_far_ahead_of_their_turn() {
        with_pool(|pool| {
            let (done, mut taken) = (AtomicUsize::new(0), 0);
            let read = |_: &mut ContentReader<'_>, run: Range<usize>| {
                // The first one of a few is the last to be done.
                thread::sleep(std::time::Duration::from_millis(if run.start.is_multiple_of(4) { 5 } else { 0 }));
                done.fetch_add(1, Ordering::SeqCst);
                Ok::<_, ArchiveError>(run.start)
            };
            read_in_runs(pool, &contents(40), read, &mut |run, start| {
                assert_eq!((run.start, start), (taken, taken));
                // Those that are being read, and those that wait.
                assert!(done.load(Ordering::SeqCst) <= taken + 3 + AHEAD);
                taken += 1;
                Ok(ControlFlow::Continue(()))
            })
            .expect("reads");
            assert_eq!(taken, 40);
        });
    }

    #[test]
    fn it_ends_early_where_nobody_wants_more_and_where_something_fails() {
        with_pool(|pool| {
            let mut taken = 0;
            let read = |_: &mut ContentReader<'_>, run: Range<usize>| Ok::<_, ArchiveError>(run.start);
            read_in_runs(pool, &contents(40), read, &mut |_, _| {
                taken += 1;
                Ok(if taken == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
            .expect("ends");
            assert_eq!(taken, 3);
            let failing = |_: &mut ContentReader<'_>, run: Range<usize>| match run.start {
                7 => Err(ArchiveError::Missing { archive: "nowhere".to_owned() }),
                start => Ok(start),
            };
            let result = read_in_runs(pool, &contents(40), failing, &mut |_, _| Ok(ControlFlow::Continue(())));
            assert!(matches!(result, Err(ArchiveError::Missing { .. })));
        });
    }
}
