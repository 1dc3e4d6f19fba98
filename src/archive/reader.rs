//! Gives contents back from an archive, checked on the way.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;

use super::{Archive, ArchiveError, ArtifactInfo, BlockError, SEGMENT_PAGE, Segment};
use crate::clock::Stopwatch;
use crate::id::{Sha256, Sha256Hasher};

/// How many decoded blocks are kept: neighbours in path order share blocks, and few are open at a time.
const KEPT_BLOCKS: usize = 8;

/// How many contents are looked up at a time, where it is known which ones will be read.
pub(crate) const LOOK_AHEAD: usize = 512;

/// How often the blocks of one content may move while it is read. Each time is the purge of a neighbour.
const MOST_MOVES: u32 = 16;

/// How long giving back one content took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ReadTimings {
    /// Reading, decompressing and checking.
    pub decompression_ms: f64,
    /// Writing to the caller's writer.
    pub write_ms: f64,
}

/// Why a content could not be given back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A block is damaged.
    #[error("content `{sha256}` is damaged in the archive")]
    Block {
        /// The content.
        sha256: Sha256,
        /// The damage.
        source: BlockError,
    },
    /// The content's list of segments, or what they make, is not the content.
    #[error("content `{sha256}` is damaged in the archive: {damage}")]
    Content {
        /// The content.
        sha256: Sha256,
        /// What is wrong, as a clause.
        damage: &'static str,
    },
    /// The content is not in the archive.
    #[error("content `{sha256}` is not in the archive")]
    Missing {
        /// The content.
        sha256: Sha256,
    },
    /// The archive failed, or the content was purged.
    #[error("cannot read content `{sha256}` from the archive")]
    Archive {
        /// The content.
        sha256: Sha256,
        /// What failed.
        source: ArchiveError,
    },
    /// The caller's writer failed.
    #[error("cannot write the bytes of content `{sha256}`")]
    Write {
        /// The content.
        sha256: Sha256,
        /// What failed.
        source: io::Error,
    },
}

impl ReadError {
    /// Returns whether the archive's bytes are at fault, rather than its reach or the writer.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Block { .. } | Self::Content { .. } => true,
            Self::Archive { source, .. } => source.is_damage(),
            Self::Missing { .. } | Self::Write { .. } => false,
        }
    }

    /// Returns the error if it says something of the content; else the archive's own, which failed whatever it was asked.
    pub fn of_content(self) -> Result<Self, ArchiveError> {
        match self {
            Self::Archive { source, .. } if !source.is_damage() && !matches!(source, ArchiveError::Purged { .. }) => {
                Err(source)
            }
            error => Ok(error),
        }
    }
}

/// Reads contents from one archive, and keeps a few decoded blocks between contents: reading items in the order of
/// their paths decodes each block once. Holds at most a dozen blocks' worth of memory.
///
/// Who will read many says so with [`expect`](Self::expect): an archive may be far away, and answers many questions in the
/// time of one.
pub struct ContentReader<'a> {
    archive: &'a mut dyn Archive,
    /// What will be read, in this order, and has not been looked up.
    expected: VecDeque<Sha256>,
    /// What was looked up ahead of its time.
    ahead: HashMap<Sha256, ArtifactInfo>,
    /// The most recently used block is last.
    kept: VecDeque<(Sha256, Arc<[u8]>)>,
}

impl<'a> ContentReader<'a> {
    /// Returns a reader of `archive`.
    pub fn new(archive: &'a mut dyn Archive) -> Self {
        Self { archive, expected: VecDeque::new(), ahead: HashMap::new(), kept: VecDeque::new() }
    }

    /// Announces contents that will be read after those that were announced before, in this order. It is no mistake to leave
    /// some out, or to read others.
    pub fn expect(&mut self, contents: impl IntoIterator<Item = Sha256>) {
        self.expected.extend(contents);
    }

    /// Returns the archive, for other questions between two contents.
    pub fn archive(&mut self) -> &mut dyn Archive {
        self.archive
    }

    /// Writes the content with digest `sha256` and length `size` to `out`.
    ///
    /// Every block's stored and raw bytes, every segment's bounds, the length and the digest of the whole are checked.
    /// The last check comes when all has been written: on any error the caller discards what `out` got.
    pub fn read(&mut self, sha256: &Sha256, size: u64, out: &mut dyn Write) -> Result<ReadTimings, ReadError> {
        self.read_whole(*sha256, size, out).map_err(|error| self.or_purged(*sha256, error))
    }

    /// Returns what `error` comes of: what looks like damage may be a purge that began meanwhile.
    fn or_purged(&mut self, sha256: Sha256, error: ReadError) -> ReadError {
        let asked = if error.is_integrity() { self.archive.find_artifacts(&[sha256]).ok() } else { None };
        match asked.and_then(|known| known.get(&sha256)?.purged_at) {
            Some(purged_at) => ReadError::Archive { sha256, source: ArchiveError::Purged { sha256, purged_at } },
            None => error,
        }
    }

    fn read_whole(&mut self, sha256: Sha256, size: u64, out: &mut dyn Write) -> Result<ReadTimings, ReadError> {
        let damaged = |damage| ReadError::Content { sha256, damage };
        let archive_failed = |source| ReadError::Archive { sha256, source };
        let total = Stopwatch::start();
        let timings =
            |write_ms: f64| ReadTimings { decompression_ms: (total.elapsed_ms() - write_ms).max(0.0), write_ms };
        if let Some(segment) = self.whole(&sha256, size)? {
            let mut assembly = Assembly::new(sha256, size);
            self.append(&mut assembly, &[segment], out)?;
            return Ok(timings(assembly.finish()?));
        }

        let known = self.archive.find_artifacts(&[sha256]).map_err(archive_failed)?;
        let info = known.get(&sha256).ok_or(ReadError::Missing { sha256 })?;
        if let Some(purged_at) = info.purged_at {
            return Err(archive_failed(ArchiveError::Purged { sha256, purged_at }));
        }
        if info.size != size {
            return Err(damaged("its recorded length is not the item's"));
        }

        let mut assembly = Assembly::new(sha256, size);
        let mut moved = 0;
        loop {
            let page = self.archive.segments(&sha256, assembly.segments).map_err(archive_failed)?;
            match self.append(&mut assembly, &page, out) {
                // The purge of another content takes blocks away, once it has written others in their place.
                Err(ReadError::Block { source: BlockError::Missing { .. }, .. }) if moved < MOST_MOVES => moved += 1,
                Err(error) => return Err(error),
                Ok(()) if page.len() < SEGMENT_PAGE => break,
                Ok(()) => {}
            }
        }
        Ok(timings(assembly.finish()?))
    }

    /// Returns the one segment that makes the content, if that is known from a look ahead and its block, which is kept from
    /// here on, is still there. All else is asked when a content is read: since the look ahead it may have been purged, or
    /// its block rewritten.
    fn whole(&mut self, sha256: &Sha256, size: u64) -> Result<Option<Segment>, ReadError> {
        if !self.ahead.contains_key(sha256)
            && let Some(position) = self.expected.iter().position(|expected| expected == sha256)
        {
            self.expected.drain(..position);
            let next: Vec<Sha256> = self.expected.drain(..self.expected.len().min(LOOK_AHEAD)).collect();
            // Whatever is wrong with one of them is told when that one is read.
            self.ahead = self.archive.find_artifacts(&next).unwrap_or_default();
        }
        let first = self.ahead.get(sha256).filter(|info| info.size == size && info.purged_at.is_none());
        let Some(segment) = first.and_then(|info| info.first).filter(|first| u64::from(first.length) == size) else {
            return Ok(None);
        };
        match self.decoded(sha256, &segment) {
            Ok(_) => Ok(Some(segment)),
            Err(ReadError::Block { source: BlockError::Missing { .. }, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Checks that `segments` of blocks in this archive make the content with digest `sha256` and length `size`, which need
    /// not be in it.
    pub(crate) fn check(&mut self, sha256: &Sha256, size: u64, segments: &[Segment]) -> Result<(), ReadError> {
        let mut assembly = Assembly::new(*sha256, size);
        self.append(&mut assembly, segments, &mut io::sink())?;
        assembly.finish().map(|_| ())
    }

    /// Writes the bytes of `segments` to `out`, as the next ones of a content.
    fn append(&mut self, assembly: &mut Assembly, segments: &[Segment], out: &mut dyn Write) -> Result<(), ReadError> {
        let sha256 = assembly.sha256;
        for segment in segments {
            if segment.length == 0 || u64::from(segment.length) > assembly.left {
                return Err(assembly.damaged("its segments do not add up to its length"));
            }
            let block = self.decoded(&sha256, segment)?;
            let bytes = cut(&block, segment).ok_or_else(|| assembly.damaged("a segment is not within its block"))?;
            assembly.hasher.update(bytes);
            let writing = Stopwatch::start();
            out.write_all(bytes).map_err(|source| ReadError::Write { sha256, source })?;
            assembly.write_ms += writing.elapsed_ms();
            assembly.segments += 1;
            assembly.left -= u64::from(segment.length);
        }
        Ok(())
    }

    /// Returns the raw bytes of the block that `segment` of content `sha256` lies in.
    fn decoded(&mut self, sha256: &Sha256, segment: &Segment) -> Result<Arc<[u8]>, ReadError> {
        let sha256 = *sha256;
        if let Some(position) = self.kept.iter().position(|(block, _)| *block == segment.block) {
            let entry = self.kept.remove(position).expect("the position was just found");
            let raw = Arc::clone(&entry.1);
            self.kept.push_back(entry);
            return Ok(raw);
        }
        let block = self.archive.block(&segment.block).map_err(|source| ReadError::Archive { sha256, source })?;
        let raw = block.ok_or(BlockError::Missing { block: segment.block }).and_then(|block| block.decode());
        let raw: Arc<[u8]> = raw.map_err(|source| ReadError::Block { sha256, source })?.into();
        if self.kept.len() == KEPT_BLOCKS {
            self.kept.pop_front();
        }
        self.kept.push_back((segment.block, Arc::clone(&raw)));
        Ok(raw)
    }
}

/// A content that is being put together.
struct Assembly {
    sha256: Sha256,
    /// How many of its segments are written.
    segments: u64,
    /// How many of its bytes are still to come.
    left: u64,
    hasher: Sha256Hasher,
    write_ms: f64,
}

impl Assembly {
    fn new(sha256: Sha256, size: u64) -> Self {
        Self { sha256, segments: 0, left: size, hasher: Sha256Hasher::new(), write_ms: 0.0 }
    }

    fn damaged(&self, damage: &'static str) -> ReadError {
        ReadError::Content { sha256: self.sha256, damage }
    }

    /// Checks the whole, and returns how long writing it took.
    fn finish(self) -> Result<f64, ReadError> {
        if self.left != 0 {
            return Err(self.damaged("its segments do not add up to its length"));
        }
        let (sha256, write_ms) = (self.sha256, self.write_ms);
        if self.hasher.finish() == sha256 {
            Ok(write_ms)
        } else {
            Err(ReadError::Content { sha256, damage: "its bytes do not match its digest" })
        }
    }
}

/// Returns the bytes of `segment` in its block's raw bytes.
fn cut<'a>(block: &'a [u8], segment: &Segment) -> Option<&'a [u8]> {
    let start = usize::try_from(segment.offset).ok()?;
    let length = usize::try_from(segment.length).ok()?;
    block.get(start..start.checked_add(length)?)
}
