//! Puts contents into an archive: reads, hashes, cuts, compresses and stores them, in bounded memory, on all cores.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rayon::prelude::*;

use super::chunk::pieces;
use super::objects::is_object_damaged;
use super::{
    Archive, ArchiveError, ArtifactInfo, BLOCK_SIZE, Block, BlockError, BlockInfo, ContentReader, NewArtifact,
    ReadError, Segment,
};
use crate::id::{Sha256, Sha256Hasher};

/// How many stored bytes are gathered before they are committed together. It bounds memory and the write-ahead log,
/// and makes the cost of a commit's syncs small beside that of compressing.
const GROUP_BYTES: usize = 16 * BLOCK_SIZE;

/// How many contents are gathered at most, whatever their size, for the same reason.
const GROUP_CONTENTS: usize = 4096;

/// How often contents are stored anew where their blocks are gone before an artifact uses them: a purge deletes all that nobody
/// uses, as it cannot tell whose they are.
const ATTEMPTS: u32 = 3;

/// Where contents come from, numbered from 0 in the order in which they should lie beside each other (the caller's path
/// order).
pub trait ContentSource: Sync {
    /// Returns how many contents there are.
    fn len(&self) -> usize;

    /// Returns whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the length of content `index` in bytes.
    fn size(&self, index: usize) -> u64;

    /// Opens content `index` at its start. Large contents are opened twice, small ones once; several threads open at
    /// once.
    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send + '_>>;
}

/// How contents are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreContentsOptions {
    /// The zstd level.
    pub level: i32,
    /// Whether content comes back that was purged.
    pub allow_purged: bool,
}

impl Default for StoreContentsOptions {
    fn default() -> Self {
        Self { level: 3, allow_purged: false }
    }
}

/// How far the work has come. Contents that the archive has already count when that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many contents are done.
    pub contents: usize,
    /// How many of the source's bytes are done.
    pub bytes: u64,
}

/// What became of one content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredContent {
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
    /// Its share of its blocks' stored bytes, rounded up for each segment.
    pub compressed_size: u64,
    /// Whether this call brought it into the archive; of equal contents in one call, the first did.
    pub new: bool,
}

/// Why contents could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreContentsError {
    /// A content could not be read.
    #[error("cannot read content number {index}")]
    Source {
        /// Its number.
        index: usize,
        /// What went wrong.
        source: io::Error,
    },
    /// A content is longer or shorter than its source said, or changed while it was read.
    #[error("content number {index} is not the {expected} bytes it was said to be, or changed while it was read")]
    Changed {
        /// Its number.
        index: usize,
        /// The length its source said.
        expected: u64,
    },
    /// The bytes did not survive compression, or were not read back from the archive as they were written.
    #[error("the archive does not give back what was written")]
    Block(#[from] BlockError),
    /// The archive has the content already, but does not give it back.
    #[error("a content that is in the archive already cannot be relied on")]
    Known(#[from] ReadError),
    /// The archive failed, or refused a purged content.
    #[error("cannot store contents")]
    Archive(#[from] ArchiveError),
}

impl StoreContentsError {
    /// Returns whether the archive gave back something else than it was given.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Block(_) => true,
            Self::Known(error) => error.is_integrity(),
            Self::Source { .. } | Self::Changed { .. } | Self::Archive(_) => false,
        }
    }

    fn is_for_want_of_a_block(&self) -> bool {
        matches!(self, Self::Archive(ArchiveError::MissingBlock { .. }) | Self::Block(BlockError::Missing { .. }))
    }

    fn is_for_want_of_an_object(&self) -> bool {
        matches!(self, Self::Archive(error) if is_object_damaged(error))
    }
}

/// Stores everything `source` has and returns what became of each content, in the source's order.
///
/// On return everything is durable and has been read back, what the archive had before included: the caller may remove
/// the originals. After an error or a crash a part may be in the archive; the next call with the same contents finds it
/// and adds the rest.
///
/// Two threads share the work, and both spread it over all cores: one reads, hashes and fills blocks, the other
/// compresses and stores them. What is between them is measured in bytes, so memory is a few dozen blocks whatever the
/// sizes and numbers of the contents.
///
/// Must not be called from within rayon's thread pool, whose threads it waits for.
pub fn store_contents(
    archive: &mut dyn Archive,
    source: &dyn ContentSource,
    options: StoreContentsOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<StoredContent>, StoreContentsError> {
    let (mut attempts, mut anew) = (ATTEMPTS, false);
    loop {
        match store_once(archive, source, options, anew, progress) {
            Err(error) if attempts > 1 && error.is_for_want_of_a_block() => attempts -= 1,
            // A row is there, and not what it names.
            Err(error) if !anew && error.is_for_want_of_an_object() => anew = true,
            done => return done,
        }
    }
}

fn store_once(
    archive: &mut dyn Archive,
    source: &dyn ContentSource,
    options: StoreContentsOptions,
    anew: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<StoredContent>, StoreContentsError> {
    let archive = Mutex::new(archive);
    let mut store = Store { anew, ..Store::new(&archive, source, options, progress) };
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(0);
        let packing = scope.spawn(|| Packer::new(&archive, source, options, sender).run());
        // The receiver is dropped at the end of `run`, whatever comes of it, which stops the packer.
        let stored = store.run(receiver);
        stored.and(packing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let (contents, known) = store.finish();
    let archive = archive.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut reader = ContentReader::new(archive);
    reader.expect(known.iter().map(|(sha256, _)| *sha256));
    for (sha256, size) in known {
        reader.read(&sha256, size, &mut io::sink())?;
    }
    Ok(contents)
}

/// The archive as both threads use it. The lock is never held while waiting for other threads' work.
type SharedArchive<'a> = Mutex<&'a mut dyn Archive>;

fn lock<'a, 'b>(archive: &'b SharedArchive<'a>) -> MutexGuard<'b, &'a mut dyn Archive> {
    archive.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns how many raw bytes are worked on at a time: two blocks for each core, within bounds. Up to five batches are
/// in memory at once (read, packed, compressed before and after, in the group), so the upper bound is what keeps the
/// whole below 128 MiB on any machine.
fn batch_bytes() -> usize {
    (2 * rayon::current_num_threads()).clamp(8, 16) * BLOCK_SIZE
}

/// What the packer hands over.
enum Message {
    /// What the next contents turned out to be.
    Identified(Vec<(Sha256, Identity)>),
    /// Blocks to store.
    Blocks(Vec<RawBlock>),
}

/// What is known of a content once its digest is.
enum Identity {
    /// Its bytes will follow.
    New,
    /// It equals an earlier content of this call.
    Repeated,
    /// The archive has it, with this share of stored bytes.
    Known(u64),
}

/// At most [`BLOCK_SIZE`] raw bytes, and whose they are.
#[derive(Default)]
struct RawBlock {
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

/// A run of a block's bytes.
struct Part {
    content: usize,
    offset: u32,
    length: u32,
    /// Whether the content ends here.
    last: bool,
}

impl RawBlock {
    /// Appends `bytes`, the whole of content number `content`.
    fn push(&mut self, content: usize, bytes: &[u8]) {
        let small = |length: usize| u32::try_from(length).expect("a block is shorter than 4 GiB");
        let (offset, length) = (small(self.bytes.len()), small(bytes.len()));
        self.bytes.extend_from_slice(bytes);
        self.parts.push(Part { content, offset, length, last: true });
    }
}

/// Reads, hashes and fills blocks.
struct Packer<'a, 'b> {
    archive: &'b SharedArchive<'a>,
    source: &'b dyn ContentSource,
    options: StoreContentsOptions,
    sender: SyncSender<Message>,
    /// The contents of this call so far.
    seen: HashSet<Sha256>,
    /// The block that small contents go into, side by side.
    open: RawBlock,
    /// Full blocks that have not been handed over.
    full: Vec<RawBlock>,
    full_bytes: usize,
}

/// Why the packer ended early.
enum Halt {
    /// The other thread has stopped, for a reason of its own.
    Stopped,
    Failed(StoreContentsError),
}

impl From<StoreContentsError> for Halt {
    fn from(error: StoreContentsError) -> Self {
        Self::Failed(error)
    }
}

impl<'a, 'b> Packer<'a, 'b> {
    fn new(
        archive: &'b SharedArchive<'a>,
        source: &'b dyn ContentSource,
        options: StoreContentsOptions,
        sender: SyncSender<Message>,
    ) -> Self {
        let (seen, open, full) = (HashSet::new(), RawBlock::default(), Vec::new());
        Self { archive, source, options, sender, seen, open, full, full_bytes: 0 }
    }

    fn run(mut self) -> Result<(), StoreContentsError> {
        match self.pack() {
            Ok(()) | Err(Halt::Stopped) => Ok(()),
            Err(Halt::Failed(error)) => Err(error),
        }
    }

    fn pack(&mut self) -> Result<(), Halt> {
        let mut next = 0;
        while next < self.source.len() {
            let end = self.window_end(next);
            let window: Result<Vec<_>, _> =
                (next..end).into_par_iter().map(|content| identify(self.source, content)).collect();
            self.pack_window(next, window?)?;
            next = end;
        }
        let open = std::mem::take(&mut self.open);
        self.close(open)?;
        self.hand_over()
    }

    /// Returns the end of the run of contents from `start` that are read together: some blocks' worth of small ones.
    fn window_end(&self, start: usize) -> usize {
        let (mut end, mut bytes) = (start, 0);
        while end < self.source.len() && end - start < GROUP_CONTENTS {
            bytes += small_size(self.source.size(end)).unwrap_or_default();
            if bytes > batch_bytes() && end > start {
                break;
            }
            end += 1;
        }
        end
    }

    /// Packs contents from number `start`, which have been identified, and read where they are small.
    fn pack_window(&mut self, start: usize, window: Vec<(Sha256, Option<Vec<u8>>)>) -> Result<(), Halt> {
        let digests: Vec<Sha256> = window.iter().map(|(sha256, _)| *sha256).collect();
        let known = lock(self.archive).find_artifacts(&digests).map_err(StoreContentsError::from)?;
        let mut identities = Vec::with_capacity(window.len());
        for sha256 in digests {
            let identity = match known.get(&sha256) {
                Some(ArtifactInfo { purged_at: Some(purged_at), .. }) if !self.options.allow_purged => {
                    let purged_at = *purged_at;
                    return Err(StoreContentsError::from(ArchiveError::Purged { sha256, purged_at }).into());
                }
                Some(info) if info.purged_at.is_none() => Identity::Known(info.compressed_size),
                _ if self.seen.insert(sha256) => Identity::New,
                _ => Identity::Repeated,
            };
            identities.push((sha256, identity));
        }
        let fresh: Vec<bool> = identities.iter().map(|(_, identity)| matches!(identity, Identity::New)).collect();
        self.send(Message::Identified(identities))?;
        for ((content, (sha256, bytes)), fresh) in (start..).zip(window).zip(fresh) {
            match bytes {
                _ if !fresh => {}
                Some(bytes) => self.pack_small(content, &bytes)?,
                None => self.pack_large(content, sha256)?,
            }
        }
        Ok(())
    }

    /// Puts a small content beside its neighbours; it is never split.
    fn pack_small(&mut self, content: usize, bytes: &[u8]) -> Result<(), Halt> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.open.bytes.len() + bytes.len() > BLOCK_SIZE {
            let full = std::mem::take(&mut self.open);
            self.close(full)?;
        }
        self.open.push(content, bytes);
        Ok(())
    }

    /// Cuts a large content into pieces, each a block of its own, and makes sure that it is still the same.
    fn pack_large(&mut self, content: usize, sha256: Sha256) -> Result<(), Halt> {
        let expected = self.source.size(content);
        let changed = || StoreContentsError::Changed { index: content, expected };
        let unreadable = |source| StoreContentsError::Source { index: content, source };
        let reader = self.source.open(content).map_err(unreadable)?;
        let (mut left, mut hasher) = (expected, Sha256Hasher::new());
        for piece in pieces(reader.take(expected.saturating_add(1))) {
            let piece = piece.map_err(unreadable)?;
            hasher.update(&piece);
            left = left.checked_sub(piece.len() as u64).ok_or_else(changed)?;
            let last = left == 0;
            // Before the last piece goes out: with it the content would be complete.
            if last && hasher.clone().finish() != sha256 {
                return Err(changed().into());
            }
            let length = u32::try_from(piece.len()).expect("a piece fits a block");
            self.close(RawBlock { bytes: piece, parts: vec![Part { content, offset: 0, length, last }] })?;
        }
        if left == 0 { Ok(()) } else { Err(changed().into()) }
    }

    /// Takes a block that is full, and hands over what has gathered if that is enough.
    fn close(&mut self, block: RawBlock) -> Result<(), Halt> {
        if block.bytes.is_empty() {
            return Ok(());
        }
        self.full_bytes += block.bytes.len();
        self.full.push(block);
        if self.full_bytes < batch_bytes() { Ok(()) } else { self.hand_over() }
    }

    fn hand_over(&mut self) -> Result<(), Halt> {
        self.full_bytes = 0;
        let full = std::mem::take(&mut self.full);
        self.send(Message::Blocks(full))
    }

    fn send(&self, message: Message) -> Result<(), Halt> {
        self.sender.send(message).map_err(|_| Halt::Stopped)
    }
}

/// Returns the size of a content that is small: one that fits a block.
fn small_size(size: u64) -> Option<usize> {
    usize::try_from(size).ok().filter(|size| *size <= BLOCK_SIZE)
}

/// Returns the digest of a content, and its bytes if it is small.
fn identify(source: &dyn ContentSource, content: usize) -> Result<(Sha256, Option<Vec<u8>>), StoreContentsError> {
    let expected = source.size(content);
    let unreadable = |source| StoreContentsError::Source { index: content, source };
    let mut reader = source.open(content).map_err(unreadable)?.take(expected.saturating_add(1));
    let (sha256, length, bytes) = if let Some(size) = small_size(expected) {
        let mut bytes = Vec::with_capacity(size + 1);
        reader.read_to_end(&mut bytes).map_err(unreadable)?;
        (Sha256::of(&bytes), bytes.len() as u64, Some(bytes))
    } else {
        let (sha256, length) = Sha256::of_reader(reader).map_err(unreadable)?;
        (sha256, length, None)
    };
    if length == expected { Ok((sha256, bytes)) } else { Err(StoreContentsError::Changed { index: content, expected }) }
}

/// Compresses and stores what the packer hands over, in its order.
struct Store<'a, 'b> {
    archive: &'b SharedArchive<'a>,
    source: &'b dyn ContentSource,
    options: StoreContentsOptions,
    /// Whether blocks are put that the archive says it has: their objects may be missing.
    anew: bool,
    progress: &'b mut dyn FnMut(Progress),
    done: Progress,
    /// What became of the contents so far, in order.
    contents: Vec<StoredContent>,
    /// The shares of stored bytes of the distinct contents.
    shares: HashMap<Sha256, u64>,
    /// What the archive had without this call, with its length, in order.
    known: Vec<(Sha256, u64)>,
    /// The segments of contents that are not complete.
    unfinished: HashMap<usize, Vec<Segment>>,
    group: Group,
}

/// What is committed together.
#[derive(Default)]
struct Group {
    blocks: Vec<Block>,
    /// The sizes of `blocks`, by the digest of the raw bytes.
    sizes: HashMap<Sha256, BlockInfo>,
    bytes: usize,
    /// Blocks of the archive that the artifacts rely on.
    reused: HashSet<Sha256>,
    artifacts: Vec<NewArtifact>,
    /// The number of the content that each of `artifacts` is.
    contents: Vec<usize>,
}

impl<'a, 'b> Store<'a, 'b> {
    fn new(
        archive: &'b SharedArchive<'a>,
        source: &'b dyn ContentSource,
        options: StoreContentsOptions,
        progress: &'b mut dyn FnMut(Progress),
    ) -> Self {
        Self {
            archive,
            source,
            options,
            anew: false,
            progress,
            done: Progress::default(),
            contents: Vec::with_capacity(source.len()),
            shares: HashMap::new(),
            known: Vec::new(),
            unfinished: HashMap::new(),
            group: Group::default(),
        }
    }

    fn run(&mut self, receiver: Receiver<Message>) -> Result<(), StoreContentsError> {
        for message in receiver {
            match message {
                Message::Identified(contents) => self.identified(contents),
                Message::Blocks(blocks) => self.store_blocks(&blocks)?,
            }
            if self.group.bytes >= GROUP_BYTES || self.group.artifacts.len() >= GROUP_CONTENTS {
                self.commit()?;
            }
            (self.progress)(self.done);
        }
        self.commit()
    }

    /// Returns what became of the contents, and those that the archive had without this call.
    fn finish(self) -> (Vec<StoredContent>, Vec<(Sha256, u64)>) {
        let mut contents = self.contents;
        for content in &mut contents {
            content.compressed_size = self.shares.get(&content.sha256).copied().unwrap_or_default();
        }
        (contents, self.known)
    }

    /// Takes in what the next contents are.
    fn identified(&mut self, contents: Vec<(Sha256, Identity)>) {
        for (sha256, identity) in contents {
            let content = self.contents.len();
            let size = self.source.size(content);
            self.contents.push(StoredContent { sha256, size, compressed_size: 0, new: false });
            match identity {
                Identity::New if size == 0 => self.complete(content),
                Identity::New => {}
                Identity::Known(share) => {
                    if self.shares.insert(sha256, share).is_none() {
                        self.known.push((sha256, size));
                    }
                    self.count(size);
                }
                Identity::Repeated => self.count(size),
            }
        }
    }

    /// Counts a content of which no more is to be done.
    fn count(&mut self, size: u64) {
        self.done.contents += 1;
        self.done.bytes += size;
    }

    /// Compresses those of `blocks` that the archive does not have, and adds them all to the group.
    fn store_blocks(&mut self, blocks: &[RawBlock]) -> Result<(), StoreContentsError> {
        let digests: Vec<Sha256> = blocks.par_iter().map(|block| Sha256::of(&block.bytes)).collect();
        let known = if self.anew { HashMap::new() } else { lock(self.archive).find_blocks(&digests)? };
        let mut sizes = known.clone();
        sizes.extend(&self.group.sizes);
        let mut claimed = HashSet::new();
        let missing: Vec<_> = blocks
            .iter()
            .zip(&digests)
            .filter(|(_, digest)| !sizes.contains_key(digest) && claimed.insert(**digest))
            .collect();
        let level = self.options.level;
        let encoded: Result<Vec<Block>, BlockError> =
            missing.into_par_iter().map(|(block, digest)| Block::encode(&block.bytes, *digest, level)).collect();
        for block in encoded? {
            sizes.insert(block.raw_sha256, block.info());
            self.group.add(block);
        }
        self.group.reused.extend(known.keys());
        for (block, digest) in blocks.iter().zip(digests) {
            self.done.bytes += block.bytes.len() as u64;
            for part in &block.parts {
                let segment = Segment { block: digest, offset: part.offset, length: part.length };
                self.unfinished.entry(part.content).or_default().push(segment);
                let share = self.shares.entry(self.contents[part.content].sha256).or_default();
                *share += sizes.get(&digest).map_or(0, |info| info.share(part.length));
                if part.last {
                    self.complete(part.content);
                }
            }
        }
        Ok(())
    }

    /// Adds a content all of whose segments are there to the group.
    fn complete(&mut self, content: usize) {
        let StoredContent { sha256, size, .. } = self.contents[content];
        let segments = self.unfinished.remove(&content).unwrap_or_default();
        self.group.artifacts.push(NewArtifact { sha256, size, segments, readmit: self.options.allow_purged });
        self.group.contents.push(content);
        self.done.contents += 1;
    }

    /// Makes the group durable and reads back what it relies on.
    fn commit(&mut self) -> Result<(), StoreContentsError> {
        let group = std::mem::take(&mut self.group);
        if group.blocks.is_empty() && group.artifacts.is_empty() {
            return Ok(());
        }
        // Before an artifact relies on them. Those that a purge takes from here on are missed when it does.
        let reused: Vec<Sha256> = group.reused.into_iter().collect();
        for some in reused.chunks(rayon::current_num_threads()) {
            let blocks: Result<Vec<Block>, _> = some.iter().map(|block| read_back(self.archive, *block)).collect();
            blocks?.par_iter().try_for_each(|block| block.decode().map(drop))?;
        }
        let fresh = lock(self.archive).put(&group.blocks, &group.artifacts)?;
        for (artifact, content) in group.artifacts.iter().zip(&group.contents) {
            self.contents[*content].new = fresh.contains(&artifact.sha256);
            if !self.contents[*content].new {
                // Another program was faster: the artifact is made of its blocks, not of ours.
                self.known.push((artifact.sha256, artifact.size));
            }
        }
        for block in &group.blocks {
            // Another program may have stored the same raw bytes first, compressed in another way.
            let back = match read_back(self.archive, block.raw_sha256) {
                // A purge took its object for what a stopped store had left.
                Err(error) if error.is_for_want_of_an_object() => {
                    lock(self.archive).put(std::slice::from_ref(block), &[])?;
                    read_back(self.archive, block.raw_sha256)?
                }
                back => back?,
            };
            if back != *block {
                back.decode()?;
            }
        }
        Ok(())
    }
}

impl Group {
    fn add(&mut self, block: Block) {
        self.bytes += block.stored.len();
        self.sizes.insert(block.raw_sha256, block.info());
        self.blocks.push(block);
    }
}

/// Reads a block that was just stored or relied on.
fn read_back(archive: &SharedArchive<'_>, block: Sha256) -> Result<Block, StoreContentsError> {
    let back = lock(archive).block(&block)?;
    back.ok_or(StoreContentsError::Block(BlockError::Missing { block }))
}
