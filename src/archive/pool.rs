//! Several handles of one archive, for as many threads.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{AnyArchive, ArchiveError};

/// What opens one more handle.
type Open<'a> = dyn Fn() -> Result<Box<AnyArchive>, ArchiveError> + Send + Sync + 'a;

/// Lends out handles of one archive: never more than its limit at once, which are as many connections where the archive is
/// on a server. A handle is opened when it is first needed, and kept for the next who asks.
pub struct Pool<'a> {
    open: Box<Open<'a>>,
    limit: usize,
    handles: Mutex<Handles>,
    returned: Condvar,
}

#[derive(Default)]
struct Handles {
    idle: Vec<Box<AnyArchive>>,
    lent: usize,
    /// How many of those that were lent and not given back nobody waits for any more.
    written_off: usize,
}

impl<'a> Pool<'a> {
    /// Returns a pool of at most `limit` handles (at least one), each opened with `open`.
    pub fn new(limit: usize, open: impl Fn() -> Result<Box<AnyArchive>, ArchiveError> + Send + Sync + 'a) -> Self {
        Self { open: Box::new(open), limit: limit.max(1), handles: Mutex::default(), returned: Condvar::new() }
    }

    /// Adds a handle that is open already.
    #[must_use]
    pub fn with(self, archive: Box<AnyArchive>) -> Self {
        self.handles().idle.push(archive);
        self
    }

    /// Returns how many handles it lends at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Lends a handle; waits while all are lent. A thread that has one must not ask for another.
    pub fn lend(&self) -> Result<Lent<'_, 'a>, ArchiveError> {
        let mut handles = self.handles();
        while handles.lent == self.limit {
            handles = self.returned.wait(handles).unwrap_or_else(PoisonError::into_inner);
        }
        handles.lent += 1;
        let idle = handles.idle.pop();
        drop(handles);
        // From here on the place is given back whatever happens; opening may take long, so others go on.
        let mut lent = Lent { pool: self, archive: idle };
        if lent.archive.is_none() {
            lent.archive = Some((self.open)()?);
        }
        Ok(lent)
    }

    /// Gives up waiting for one handle that is lent: its place is free for another. If it comes back all the same, it, or
    /// the one that comes back before it, is closed.
    pub fn write_off(&self) {
        let mut handles = self.handles();
        debug_assert!(handles.lent > 0, "only what is lent can be written off");
        handles.lent -= 1;
        handles.written_off += 1;
        drop(handles);
        self.returned.notify_one();
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle that is lent, and goes back when it is dropped.
pub struct Lent<'p, 'a> {
    pool: &'p Pool<'a>,
    /// `None` only while it is opened, or dropped.
    archive: Option<Box<AnyArchive>>,
}

impl Deref for Lent<'_, '_> {
    type Target = AnyArchive;

    fn deref(&self) -> &AnyArchive {
        self.archive.as_deref().expect("a handle is there until it goes back")
    }
}

impl DerefMut for Lent<'_, '_> {
    fn deref_mut(&mut self) -> &mut AnyArchive {
        self.archive.as_deref_mut().expect("a handle is there until it goes back")
    }
}

impl Drop for Lent<'_, '_> {
    fn drop(&mut self) {
        let mut handles = self.pool.handles();
        if handles.written_off > 0 {
            handles.written_off -= 1;
            // Closed only now, by the end of this: that may take a while.
            drop(handles);
            return;
        }
        handles.lent -= 1;
        handles.idle.extend(self.archive.take());
        drop(handles);
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::archive::{OpenMode, SqliteArchive};

    #[test]
    fn no_more_handles_than_the_limit_and_all_of_them_at_once() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("archive.sqlite");
        SqliteArchive::open(&path, OpenMode::CreateOrMigrate).expect("makes an archive");
        let (opened, out) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let pool = Pool::new(3, || {
            opened.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(SqliteArchive::open(&path, OpenMode::Existing)?))
        });
        let together = Barrier::new(3);
        thread::scope(|scope| {
            // Nine threads, three at a time: no barrier opens before three handles are out together.
            for _ in 0..9 {
                scope.spawn(|| {
                    let mut archive = pool.lend().expect("opens");
                    assert!(out.fetch_add(1, Ordering::SeqCst) < 3);
                    together.wait();
                    archive.ping().expect("answers");
                    out.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(opened.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn the_place_of_a_handle_that_is_written_off_is_free_and_stays_one() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("archive.sqlite");
        SqliteArchive::open(&path, OpenMode::CreateOrMigrate).expect("makes an archive");
        let opened = AtomicUsize::new(0);
        let pool = Pool::new(1, || {
            opened.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(SqliteArchive::open(&path, OpenMode::Existing)?))
        });
        let late = pool.lend().expect("opens");
        pool.write_off();
        let next = pool.lend().expect("opens another one");
        drop(late);
        drop(next);
        let counts = |handles: MutexGuard<'_, Handles>| (handles.idle.len(), handles.lent, handles.written_off);
        assert_eq!((counts(pool.handles()), opened.load(Ordering::Relaxed)), ((1, 0, 0), 2));
    }

    #[test]
    fn a_handle_that_does_not_open_leaves_its_place_to_others() {
        let pool = Pool::new(1, || Err(ArchiveError::Missing { archive: "nowhere".to_owned() }));
        for _ in 0..2 {
            assert!(matches!(pool.lend().map(|_| ()), Err(ArchiveError::Missing { .. })));
        }
    }
}
