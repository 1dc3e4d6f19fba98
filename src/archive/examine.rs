//! Reads contents for the sake of it: whether what the archive holds still comes out of it.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;

use super::{Archive, ArchiveError, ContentReader, Query, ReadError};
use crate::id::{Sha256, Tombstone};
use crate::item::RepoPath;

/// What an examination came to.
#[derive(Debug, Default)]
pub struct Examination {
    /// How many distinct contents were read and hashed.
    pub read: usize,
    /// Those that did not come out as they went in, each by one of its items.
    pub damaged: Vec<Damage>,
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

/// Reads and hashes every content that clone `origin` sees and that was not purged, or `sample` of them, chosen at random.
/// `progress` is told the number that are done and the number that are chosen.
///
/// Memory grows with the number of contents, not with their sizes.
pub fn examine(
    archive: &mut dyn Archive,
    origin: &str,
    sample: Option<usize>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Examination, ArchiveError> {
    let query = Query { origin: Some(origin.to_owned()), ..Query::default() };
    let mut contents: Vec<(Sha256, u64, Tombstone, RepoPath)> = Vec::new();
    let mut seen = HashSet::new();
    archive.list(&query, &mut |stored| {
        let item = stored.item;
        if stored.purged_at.is_none() && seen.insert(item.sha256) {
            contents.push((item.sha256, item.size, item.tombstone, item.path));
        }
        ControlFlow::Continue(())
    })?;
    if let Some(sample) = sample {
        contents = fastrand::choose_multiple(contents, sample);
    }
    // Neighbours share blocks, and the reader keeps the last ones.
    contents.sort_by(|a, b| a.3.cmp(&b.3));
    let total = contents.len();
    let mut reader = ContentReader::new(archive);
    reader.expect(contents.iter().map(|(sha256, ..)| *sha256));
    let mut examination = Examination::default();
    for (sha256, size, tombstone, path) in contents {
        if let Err(error) = reader.read(&sha256, size, &mut io::sink()) {
            examination.damaged.push(Damage { tombstone, path, error });
        }
        examination.read += 1;
        progress(examination.read, total);
    }
    Ok(examination)
}
