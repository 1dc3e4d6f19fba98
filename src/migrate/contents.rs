//! The bytes of a copy.

use std::collections::HashSet;
use std::io;

use super::{Copy, MigrateError, Progress};
use crate::archive::{
    ArchiveError, BLOCK_SIZE, Batch, BlockError, ContentReader, KnownContent, ReadError, SEGMENT_PAGE, Segment,
    item_with,
};
use crate::fault;
use crate::id::Sha256;
use crate::retry::Class;

/// How many raw bytes of contents are brought over together. Neighbours share blocks.
const GROUP_BYTES: u64 = 16 * BLOCK_SIZE as u64;

/// How many stored bytes of blocks one transaction takes in.
const BATCH_BYTES: usize = 8 * BLOCK_SIZE;

/// How many blocks are asked for at once.
const LOOKUP: usize = 512;

impl Copy<'_> {
    /// Brings every content over, and reads it back.
    pub(super) fn copy_contents(&mut self) -> Result<(), MigrateError> {
        let mut last = 0;
        loop {
            let page = self.source.contents_page(last).map_err(MigrateError::Source)?;
            let Some(end) = page.last() else { return Ok(()) };
            last = end.number;
            let mut group = Vec::new();
            let mut bytes = 0;
            for content in self.missing(&page)? {
                bytes += content.size;
                group.push(content);
                if bytes >= GROUP_BYTES {
                    self.copy_group(std::mem::take(&mut group))?;
                    bytes = 0;
                }
            }
            self.copy_group(group)?;
            self.verified = self.verified.max(last);
        }
    }

    /// Returns those of `page` that the target lacks; reads back those that it got from an earlier run, and sees to it that
    /// what was purged has no bytes there.
    fn missing(&mut self, page: &[KnownContent]) -> Result<Vec<KnownContent>, MigrateError> {
        let digests: Vec<Sha256> = page.iter().map(|content| content.sha256).collect();
        let known = self.target.find_artifacts(&digests).map_err(MigrateError::Target)?;
        let (mut missing, mut there) = (Vec::new(), Vec::new());
        for content in page {
            let KnownContent { sha256, .. } = *content;
            match (known.get(&sha256), content.purged_at) {
                (None, _) => missing.push(*content),
                (Some(copied), Some(purged_at)) if copied.purged_at.is_none() => {
                    return Err(MigrateError::Purged { sha256, purged_at });
                }
                // Purged, and let in again: both since it was copied.
                (Some(copied), None) if copied.purged_at.is_some() => missing.push(*content),
                (Some(_), None) if content.number > self.verified => there.push(*content),
                (Some(_), _) => {}
            }
        }
        let mut reader = ContentReader::new(&mut *self.target);
        reader.expect(there.iter().map(|content| content.sha256));
        let failed = there.iter().find_map(|content| {
            let read = reader.read(&content.sha256, content.size, &mut io::sink());
            read.err().map(|error| (*content, error))
        });
        if let Some((content, error)) = failed {
            return Err(self.not_whole(&content, error));
        }
        for content in &there {
            self.arrived(content);
        }
        Ok(missing)
    }

    fn arrived(&mut self, content: &KnownContent) {
        self.bytes += content.size;
        (self.progress)(Progress::Contents(self.bytes));
    }

    /// Brings contents over: their blocks, then, where the blocks in the target make the contents, their rows.
    fn copy_group(&mut self, group: Vec<KnownContent>) -> Result<(), MigrateError> {
        if group.is_empty() {
            return Ok(());
        }
        let mut contents = Vec::with_capacity(group.len());
        for content in group {
            let segments = self.segments(&content)?;
            contents.push((content, segments));
        }
        self.copy_blocks(&contents)?;
        // One reader for the group: neighbours share blocks, and it keeps the last ones.
        let mut reader = ContentReader::new(&mut *self.target);
        let failed =
            contents.iter().filter(|(content, _)| content.purged_at.is_none()).find_map(|(content, segments)| {
                let checked = reader.check(&content.sha256, content.size, segments);
                checked.err().map(|error| (*content, error))
            });
        if let Some((content, error)) = failed {
            return Err(self.not_whole(&content, error));
        }
        let arrived: Vec<KnownContent> = contents.iter().map(|(content, _)| *content).collect();
        self.take_in(&Batch { contents, ..Batch::default() })?;
        fault::point("copy-contents");
        for content in &arrived {
            self.arrived(content);
        }
        Ok(())
    }

    /// Returns the segments of a content; a purged one has none.
    fn segments(&mut self, content: &KnownContent) -> Result<Vec<Segment>, MigrateError> {
        let mut segments = Vec::new();
        loop {
            let page = match self.source.segments(&content.sha256, segments.len() as u64) {
                Ok(page) => page,
                Err(source @ ArchiveError::MissingBlock { sha256 }) => {
                    return Err(self.damaged(sha256, ReadError::Archive { sha256, source }));
                }
                Err(error) => return Err(MigrateError::Source(error)),
            };
            let ended = page.len() < SEGMENT_PAGE;
            segments.extend(page);
            if ended {
                return Ok(segments);
            }
        }
    }

    /// Brings the blocks over that `contents` are made of and the target lacks, each checked against its digests.
    fn copy_blocks(&mut self, contents: &[(KnownContent, Vec<Segment>)]) -> Result<(), MigrateError> {
        let mut seen = HashSet::new();
        let used = contents
            .iter()
            .flat_map(|(content, segments)| segments.iter().map(move |segment| (content.sha256, segment.block)));
        let used: Vec<(Sha256, Sha256)> = used.filter(|(_, block)| seen.insert(*block)).collect();
        let (mut blocks, mut bytes) = (Vec::new(), 0);
        for group in used.chunks(LOOKUP) {
            let digests: Vec<Sha256> = group.iter().map(|(_, block)| *block).collect();
            let known = self.target.find_blocks(&digests).map_err(MigrateError::Target)?;
            for (sha256, digest) in group.iter().filter(|(_, block)| !known.contains_key(block)) {
                let (sha256, digest) = (*sha256, *digest);
                let block = match self.source.block(&digest) {
                    Err(source) if source.is_damage() => {
                        return Err(self.damaged(sha256, ReadError::Archive { sha256, source }));
                    }
                    block => block.map_err(MigrateError::Source)?,
                };
                let checked = block.ok_or(BlockError::Missing { block: digest }).and_then(|block| {
                    block.decode()?;
                    Ok(block)
                });
                match checked {
                    Ok(block) => {
                        bytes += block.stored.len();
                        blocks.push(block);
                    }
                    Err(source) => return Err(self.damaged(sha256, ReadError::Block { sha256, source })),
                }
                if bytes >= BATCH_BYTES {
                    self.take_in(&Batch { blocks: std::mem::take(&mut blocks), ..Batch::default() })?;
                    fault::point("copy-blocks");
                    bytes = 0;
                }
            }
        }
        self.take_in(&Batch { blocks, ..Batch::default() })?;
        fault::point("copy-blocks");
        Ok(())
    }

    /// Returns the error for a content that is damaged in the source.
    fn damaged(&mut self, sha256: Sha256, source: ReadError) -> MigrateError {
        match item_with(&mut *self.source, &sha256) {
            Ok(item) => MigrateError::Damaged {
                sha256,
                item: item.map(|it| (it.item.tombstone, it.item.path)),
                source: source.into(),
            },
            Err(error) => MigrateError::Source(error),
        }
    }

    /// Returns the error for a content that does not come out of the target: the source's fault, if it does not come out of
    /// that one either.
    fn not_whole(&mut self, content: &KnownContent, error: ReadError) -> MigrateError {
        let sha256 = content.sha256;
        let error = match error {
            ReadError::Archive { source, .. } if source.class() == Class::Transient => {
                return MigrateError::Target(source);
            }
            error => error,
        };
        if let Err(source) = ContentReader::new(&mut *self.source).read(&sha256, content.size, &mut io::sink()) {
            return self.damaged(sha256, source);
        }
        let item = item_with(&mut *self.source, &sha256);
        let item = item.map(|found| found.map(|stored| (stored.item.tombstone, stored.item.path)));
        match item {
            Ok(item) => MigrateError::NotWhole { sha256, item, source: error.into() },
            Err(error) => MigrateError::Source(error),
        }
    }
}
