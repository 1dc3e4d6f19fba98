//! Takes the bytes of a content out of the blocks that it shares with others, the same for every engine.
//!
//! `docs/governance.md` says what holds meanwhile. Each step is one transaction under the writers' lock and may be repeated:
//! first the others move to blocks without the content's bytes, then, with another step, the block goes that nobody uses.

use std::collections::HashSet;
use std::ops::Range;

use super::block::unpack;
use super::error::damaged;
use super::objects::Blocks;
use super::{ArchiveError, BLOCK_SIZE, Block, BlockError, Codec, Destroyed};
use crate::id::Sha256;

/// How many blocks one transaction looks at.
const BATCH: usize = 16;

/// The zstd level of blocks that are written anew.
const LEVEL: i32 = 3;

/// A run of a block's raw bytes, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// The row of the content.
    pub artifact: i64,
    /// Where it starts.
    pub offset: u32,
    /// How many bytes it has.
    pub length: u32,
    /// Whether the content is under a hold.
    pub held: bool,
}

/// What is known of a block without its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Its row.
    pub id: i64,
    /// The digest of its raw bytes.
    pub raw_sha256: Sha256,
    /// The digest of its stored bytes.
    pub stored_sha256: Sha256,
    /// How these were made.
    pub codec: Codec,
    /// Whether they are in the row.
    pub inside: bool,
}

/// Runs that move together to another block.
#[derive(Debug)]
pub(super) struct Move<'a> {
    /// The content that stays behind.
    pub without: i64,
    /// Whether those that are held move, or the others.
    pub held: bool,
    /// The block that they leave.
    pub from: i64,
    /// Where they are in it.
    pub within: &'a Range<u32>,
    /// The block that they come to.
    pub to: i64,
    /// Where the first byte comes to be.
    pub start: u32,
}

/// What an engine does in a transaction under the writers' lock.
pub(super) trait Bench {
    /// Returns up to `limit` blocks that content `artifact` uses.
    fn blocks_of(&mut self, artifact: i64, limit: usize) -> Result<Vec<Row>, ArchiveError>;

    /// Returns the row of the newest block; 0 where there is none.
    fn newest(&mut self) -> Result<i64, ArchiveError>;

    /// Returns up to `limit` blocks that nobody uses, up to row `newest`.
    fn unused(&mut self, newest: i64, limit: usize) -> Result<Vec<Row>, ArchiveError>;

    /// Returns the blocks whose stored bytes have a digest that begins with hexadecimal digit `first`.
    fn stored(&mut self, first: u32) -> Result<Vec<Row>, ArchiveError>;

    /// Returns the runs of a block.
    fn runs(&mut self, block: i64) -> Result<Vec<Run>, ArchiveError>;

    /// Returns the block whose raw bytes have digest `raw`.
    fn find(&mut self, raw: &Sha256) -> Result<Option<Row>, ArchiveError>;

    /// Returns that block with its bytes, wherever they are.
    fn block(&mut self, raw: &Sha256) -> Result<Option<Block>, ArchiveError>;

    /// Adds a block, with its bytes or without, and returns its row.
    fn add(&mut self, block: &Block, inside: bool) -> Result<i64, ArchiveError>;

    /// Moves runs, and returns how many.
    fn move_runs(&mut self, runs: &Move<'_>) -> Result<u64, ArchiveError>;

    /// Takes from content `artifact` its runs of `block`.
    fn cut(&mut self, artifact: i64, block: i64) -> Result<(), ArchiveError>;

    /// Deletes a block that nobody uses.
    fn delete(&mut self, block: i64) -> Result<(), ArchiveError>;
}

/// What tells that an object has bytes of a content.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// The blocks of which it is the only content, or which are pieces of it, however they are compressed.
    blocks: HashSet<Sha256>,
    /// Its bytes, where it lies among others in a block.
    bytes: Option<Vec<u8>>,
}

impl Traces {
    fn are_in(&self, raw: &[u8]) -> bool {
        self.bytes.as_ref().is_some_and(|bytes| memchr::memmem::find(raw, bytes).is_some())
            || self.blocks.contains(&Sha256::of(raw))
    }
}

/// Returns what tells objects with bytes of content `artifact` that no row names, while the content can still be read.
pub(super) fn traces(bench: &mut dyn Bench, artifact: i64) -> Result<Traces, ArchiveError> {
    let rows = bench.blocks_of(artifact, usize::from(u16::MAX) << 8)?;
    let mut traces = Traces { blocks: rows.iter().map(|row| row.raw_sha256).collect(), bytes: None };
    if let [row] = &rows[..] {
        let runs: Vec<Run> = bench.runs(row.id)?.into_iter().filter(|run| run.artifact == artifact).collect();
        let raw = match read(bench, &row.raw_sha256) {
            Ok(raw) => raw,
            // What is damaged can be destroyed all the same, and tells of nothing else.
            Err(error) if error.is_damage() => return Ok(traces),
            Err(error) => return Err(error),
        };
        traces.bytes = runs.first().and_then(|run| raw.get(run.offset as usize..end(run) as usize)).map(<[u8]>::to_vec);
    }
    Ok(traces)
}

/// Deletes those of the objects `names`, listed before and all with digests that begin with `first`, that no row names and that
/// have these bytes: a store that was stopped between its objects and its rows left them. Returns how many.
///
/// One that goes on with the content is refused; one that has the same bytes in another content puts its objects again.
pub(super) fn delete_strays(
    bench: &mut dyn Bench,
    store: &Blocks,
    traces: &Traces,
    first: u32,
    names: &[(Codec, Sha256)],
) -> Result<u64, ArchiveError> {
    let Some(store) = store else { return Ok(0) };
    let known = bench.stored(first)?;
    let known: HashSet<(&str, Sha256)> = known.iter().map(|row| (row.codec.as_str(), row.stored_sha256)).collect();
    let mut deleted = 0;
    for (codec, digest) in names.iter().filter(|(codec, digest)| !known.contains(&(codec.as_str(), *digest))) {
        let stored = match store.get(*codec, digest) {
            Ok(stored) => stored,
            // Gone meanwhile, or longer than any block.
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        if unpack(*codec, stored).is_some_and(|raw| traces.are_in(&raw)) {
            store.delete(*codec, digest)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Takes content `artifact` out of some of its blocks; returns what was done, and `None` if no block has it any more.
pub(super) fn take_out(
    bench: &mut dyn Bench,
    store: &Blocks,
    artifact: i64,
) -> Result<Option<Destroyed>, ArchiveError> {
    let blocks = bench.blocks_of(artifact, BATCH)?;
    if blocks.is_empty() {
        return Ok(None);
    }
    let mut done = Destroyed::default();
    for block in blocks {
        let (own, others): (Vec<Run>, Vec<Run>) =
            bench.runs(block.id)?.into_iter().partition(|run| run.artifact == artifact);
        let shared = union(&others);
        if others.is_empty() {
            bench.cut(artifact, block.id)?;
            delete(bench, store, &block)?;
            done.blocks += 1;
        } else if own.iter().all(|run| shared.iter().any(|other| other.start <= run.offset && end(run) <= other.end)) {
            // Every byte is another content's too.
            bench.cut(artifact, block.id)?;
        } else {
            done.moved += move_others(bench, store, artifact, &block, &others)?;
        }
    }
    Ok(Some(done))
}

/// Deletes some blocks that nobody uses: what a store that was stopped has left may be the content's, and nothing tells.
/// Returns how many.
///
/// `newest` is the newest block when the sweeping began. What came later is of a store that goes on and may yet use it: one that
/// writes its blocks again, as this took them away, does so once and not for as long as this lasts.
pub(super) fn sweep(bench: &mut dyn Bench, store: &Blocks, newest: &mut Option<i64>) -> Result<u64, ArchiveError> {
    let newest = match *newest {
        Some(newest) => newest,
        None => *newest.insert(bench.newest()?),
    };
    let blocks = bench.unused(newest, BATCH)?;
    for block in &blocks {
        delete(bench, store, block)?;
    }
    Ok(blocks.len() as u64)
}

/// Deletes those of `blocks`, which were just written, that nobody uses: a store wrote them for a content whose purge began
/// meanwhile.
pub(super) fn discard(bench: &mut dyn Bench, store: &Blocks, blocks: &[Block]) -> Result<(), ArchiveError> {
    for block in blocks {
        match bench.find(&block.raw_sha256)? {
            Some(row) if bench.runs(row.id)?.is_empty() => delete(bench, store, &row)?,
            Some(_) => {}
            None => {
                if let Some(store) = store {
                    store.delete(block.codec, &block.stored_sha256)?;
                }
            }
        }
    }
    Ok(())
}

/// The object goes before the row that names it: the other way round, a stop would leave bytes that nothing tells of.
fn delete(bench: &mut dyn Bench, store: &Blocks, block: &Row) -> Result<(), ArchiveError> {
    if let Some(store) = store {
        store.delete(block.codec, &block.stored_sha256)?;
    }
    bench.delete(block.id)
}

/// Moves the contents that use `block` besides `artifact` to blocks that have their bytes only: those under a hold to one
/// that shows them to the database's guard.
fn move_others(
    bench: &mut dyn Bench,
    store: &Blocks,
    artifact: i64,
    block: &Row,
    others: &[Run],
) -> Result<u64, ArchiveError> {
    let raw = read(bench, &block.raw_sha256)?;
    let mut moved = 0;
    for held in [false, true] {
        let runs: Vec<Run> = others.iter().filter(|run| run.held == held).copied().collect();
        let parts = union(&runs);
        if parts.is_empty() {
            continue;
        }
        let mut bytes = Vec::with_capacity(raw.len());
        for part in &parts {
            let range = part.start as usize..part.end as usize;
            let outside = || damaged(format!("a segment is not within block `{}`", block.raw_sha256));
            bytes.extend_from_slice(raw.get(range).ok_or_else(outside)?);
        }
        let (to, mut start) = if held { shown(bench, &bytes, raw.len())? } else { (packed(bench, store, &bytes)?, 0) };
        let mut count = 0;
        for within in &parts {
            count += bench.move_runs(&Move { without: artifact, held, from: block.id, within, to, start })?;
            start += within.end - within.start;
        }
        if count != runs.len() as u64 {
            return Err(damaged(format!("the contents of block `{}` did not all move", block.raw_sha256)));
        }
        moved += count;
    }
    Ok(moved)
}

/// Returns the raw bytes of a block.
fn read(bench: &mut dyn Bench, raw: &Sha256) -> Result<Vec<u8>, ArchiveError> {
    let block = bench.block(raw)?.ok_or(BlockError::Missing { block: *raw });
    block.and_then(|block| block.decode()).map_err(|error| damaged(error.to_string()))
}

/// Returns a block of these raw bytes, compressed.
fn packed(bench: &mut dyn Bench, store: &Blocks, bytes: &[u8]) -> Result<i64, ArchiveError> {
    let raw = Sha256::of(bytes);
    if let Some(known) = bench.find(&raw)? {
        read(bench, &raw)?;
        return Ok(known.id);
    }
    let block = Block::encode(bytes, raw, LEVEL).map_err(|error| damaged(error.to_string()))?;
    if let Some(store) = store {
        store.put(&[&block])?;
    }
    add(bench, &block, store.is_none())
}

/// Returns a block whose row shows these raw bytes, and where they start in it. Where one with these bytes is there and does
/// not show them, a byte before them makes it another block; there is room for that in place of what is destroyed.
fn shown(bench: &mut dyn Bench, bytes: &[u8], room: usize) -> Result<(i64, u32), ArchiveError> {
    let padded = (0..=u8::MAX).filter(|_| bytes.len() < room.min(BLOCK_SIZE)).map(|byte| {
        let mut padded = vec![byte];
        padded.extend_from_slice(bytes);
        (padded, 1)
    });
    for (raw, start) in std::iter::once((bytes.to_vec(), 0)).chain(padded) {
        let raw_sha256 = Sha256::of(&raw);
        match bench.find(&raw_sha256)? {
            Some(Row { id, codec: Codec::None, inside: true, .. }) => {
                read(bench, &raw_sha256)?;
                return Ok((id, start));
            }
            Some(_) => {}
            None => {
                let raw_size = u32::try_from(raw.len()).expect("a block is short");
                let codec = Codec::None;
                let block = Block { raw_sha256, raw_size, stored_sha256: raw_sha256, codec, stored: raw };
                return Ok((add(bench, &block, true)?, start));
            }
        }
    }
    Err(damaged("no block takes what is held"))
}

/// Adds a block and reads it back.
fn add(bench: &mut dyn Bench, block: &Block, inside: bool) -> Result<i64, ArchiveError> {
    let id = bench.add(block, inside)?;
    if bench.block(&block.raw_sha256)?.as_ref() != Some(block) {
        return Err(damaged(format!("block `{}` is not read back as it was written", block.raw_sha256)));
    }
    Ok(id)
}

fn end(run: &Run) -> u32 {
    run.offset.saturating_add(run.length)
}

/// Returns the bytes that runs have, as few ranges in order.
fn union(runs: &[Run]) -> Vec<Range<u32>> {
    let mut ranges: Vec<Range<u32>> = runs.iter().map(|run| run.offset..end(run)).collect();
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u32>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_touch_or_overlap_are_one() {
        let run = |offset, length| Run { artifact: 1, offset, length, held: false };
        let runs = [run(20, 5), run(0, 10), run(10, 2), run(4, 3), run(22, 10), run(40, 1)];
        assert_eq!(union(&runs), [0..12, 20..32, 40..41]);
        assert!(union(&[]).is_empty());
    }
}
