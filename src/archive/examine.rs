//! Reads contents for the sake of it: whether what the archive holds still comes out of it.

use std::collections::HashSet;
use std::io;
use std::ops::{ControlFlow, Range};

use super::{AnyArchive, ArchiveError, Content, ContentReader, Pool, Query, ReadError, StoredItem, read_in_runs};
use crate::id::Tombstone;
use crate::item::RepoPath;

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
    content: Content,
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
    let mut chosen = contents(&mut *pool.lend()?, origin)?;
    if let Some(sample) = sample {
        chosen = fastrand::choose_multiple(chosen, sample);
    }
    // Neighbours share blocks, and a reader keeps the last ones.
    chosen.sort_by(|a, b| a.path.cmp(&b.path));
    let contents: Vec<Content> = chosen.iter().map(|chosen| chosen.content).collect();
    let mut examination = Examination::default();
    let read = |reader: &mut ContentReader<'_>, run: Range<usize>| {
        let mut damaged = Vec::new();
        for Chosen { content, tombstone, path } in &chosen[run] {
            if let Err(error) = reader.read(&content.sha256, content.size, &mut io::sink()) {
                damaged.push(Damage { tombstone: *tombstone, path: path.clone(), error: error.of_content()? });
            }
        }
        Ok(damaged)
    };
    read_in_runs(pool, &contents, read, &mut |run, damaged| {
        examination.damaged.extend(damaged);
        examination.read = run.end;
        progress(run.end, contents.len());
        Ok::<_, ArchiveError>(ControlFlow::Continue(()))
    })?;
    Ok(examination)
}

/// Returns the contents that clone `origin` sees and that were not purged, each once.
fn contents(archive: &mut AnyArchive, origin: &str) -> Result<Vec<Chosen>, ArchiveError> {
    let query = Query { origin: Some(origin.to_owned()), ..Query::default() };
    let mut contents = Vec::new();
    let mut seen = HashSet::new();
    archive.list(&query, &mut |StoredItem { item, purged_at, .. }| {
        if purged_at.is_none() && seen.insert(item.sha256) {
            let content = Content { sha256: item.sha256, size: item.size };
            contents.push(Chosen { content, tombstone: item.tombstone, path: item.path });
        }
        ControlFlow::Continue(())
    })?;
    Ok(contents)
}
