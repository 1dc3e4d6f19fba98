//! Reads contents for the sake of it: whether what the archive holds still comes out of it.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::vec::IntoIter;

use super::reader::LOOK_AHEAD;
use super::{AnyArchive, ArchiveError, ContentReader, Pool, Query, ReadError, StoredItem};
use crate::id::{Sha256, Tombstone};
use crate::item::RepoPath;

/// How many bytes a thread reads before it asks what to read next: the fewer, the more often neighbours are parted; the
/// more, the longer the last ones keep one thread busy alone.
const RUN_BYTES: u64 = 8 << 20;

/// What an examination came to.
#[derive(Debug, Default)]
pub struct Examination {
    /// How many distinct contents were read and hashed.
    pub read: usize,
    /// Those that did not come out as they went in, each by one of its items.
    pub damaged: Vec<Damage>,
}

/// A content that is to be read, and an item that has it.
#[derive(Clone)]
struct Chosen {
    sha256: Sha256,
    size: u64,
    tombstone: Tombstone,
    path: RepoPath,
}

/// A content that did not come out as it went in.
#[derive(Debug)]
pub struct Damage {
    /// An item that has it.
    pub tombstone: Tombstone,
    /// Where that item stood.
    pub path: RepoPath,
    /// What went wrong.
    pub error: ReadError,
}

/// Reads and hashes every content that clone `origin` sees and that was not purged, or `sample` of them, chosen at random,
/// with as many threads as `pool` has handles to lend. `progress` is told the number that are done and the number that are
/// chosen.
///
/// Memory grows with the number of contents, not with their sizes.
pub fn examine(
    pool: &Pool<'_>,
    origin: &str,
    sample: Option<usize>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Examination, ArchiveError> {
    let mut contents = contents(&mut *pool.lend()?, origin)?;
    if let Some(sample) = sample {
        contents = fastrand::choose_multiple(contents, sample);
    }
    // Neighbours share blocks, and a reader keeps the last ones.
    contents.sort_by(|a, b| a.path.cmp(&b.path));
    let total = contents.len();
    let runs = runs(&contents);
    let threads = pool.limit().min(runs.len());
    let runs = Mutex::new(runs.into_iter());
    let mut examination = Examination::default();
    thread::scope(|scope| {
        let (sender, outcomes) = sync_channel(LOOK_AHEAD);
        for _ in 0..threads {
            let (sender, runs) = (sender.clone(), &runs);
            scope.spawn(move || {
                if let Err(error) = read_runs(pool, runs, &sender) {
                    // Nobody listens any more where another one failed before.
                    let _ = sender.send(Err(error));
                }
            });
        }
        drop(sender);
        // Where it ends early the channel closes, and the threads stop.
        for outcome in outcomes {
            examination.damaged.extend(outcome?);
            examination.read += 1;
            progress(examination.read, total);
        }
        Ok::<(), ArchiveError>(())
    })?;
    examination.damaged.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(examination)
}

/// Divides contents into runs of neighbours that one thread reads: as many as are looked up at a time, or until they are
/// long enough.
fn runs(contents: &[Chosen]) -> Vec<&[Chosen]> {
    let (mut runs, mut rest) = (Vec::new(), contents);
    while !rest.is_empty() {
        let mut bytes = 0;
        let is_room = |chosen: &&Chosen| {
            let is_room = bytes < RUN_BYTES;
            bytes = bytes.saturating_add(chosen.size);
            is_room
        };
        let (run, after) = rest.split_at(rest.iter().take(LOOK_AHEAD).take_while(is_room).count());
        runs.push(run);
        rest = after;
    }
    runs
}

/// Reads runs of contents until there are none, and sends what became of each content.
fn read_runs(
    pool: &Pool<'_>,
    runs: &Mutex<IntoIter<&[Chosen]>>,
    sender: &SyncSender<Result<Option<Damage>, ArchiveError>>,
) -> Result<(), ArchiveError> {
    let mut archive = pool.lend()?;
    let mut reader = ContentReader::new(&mut *archive);
    loop {
        let next = runs.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(run) = next else { return Ok(()) };
        reader.expect(run.iter().map(|chosen| chosen.sha256));
        for Chosen { sha256, size, tombstone, path } in run {
            let damage = match reader.read(sha256, *size, &mut io::sink()) {
                Ok(_) => None,
                Err(error) => Some(Damage { tombstone: *tombstone, path: path.clone(), error: error.of_content()? }),
            };
            if sender.send(Ok(damage)).is_err() {
                return Ok(());
            }
        }
    }
}

/// Returns the contents that clone `origin` sees and that were not purged, each once.
fn contents(archive: &mut AnyArchive, origin: &str) -> Result<Vec<Chosen>, ArchiveError> {
    let query = Query { origin: Some(origin.to_owned()), ..Query::default() };
    let mut contents = Vec::new();
    let mut seen = HashSet::new();
    archive.list(&query, &mut |StoredItem { item, purged_at, .. }| {
        if purged_at.is_none() && seen.insert(item.sha256) {
            contents.push(Chosen { sha256: item.sha256, size: item.size, tombstone: item.tombstone, path: item.path });
        }
        ControlFlow::Continue(())
    })?;
    Ok(contents)
}
