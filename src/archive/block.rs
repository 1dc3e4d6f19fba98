//! Blocks: the unit in which bytes are compressed, stored and read back.

use super::model::BlockInfo;
use crate::id::Sha256;
use crate::item::text_enum;

/// How many raw bytes a block holds at most: 1 MiB.
pub const BLOCK_SIZE: usize = 1024 * 1024;

text_enum! {
    /// How a block's raw bytes became its stored bytes.
    Codec, "a codec (zstd or none)" {
        /// One zstd frame (RFC 8878).
        Zstd = "zstd",
        /// As they are, because they do not compress.
        None = "none",
    }
}

/// At most [`BLOCK_SIZE`] raw bytes as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The digest of the raw bytes, which names the block.
    pub raw_sha256: Sha256,
    /// The length of the raw bytes.
    pub raw_size: u32,
    /// The digest of the stored bytes.
    pub stored_sha256: Sha256,
    /// How the stored bytes were made.
    pub codec: Codec,
    /// The stored bytes.
    pub stored: Vec<u8>,
}

/// Why a block's raw bytes could not be made from its stored bytes, or the reverse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The block is not in the archive.
    #[error("block `{block}` is not in the archive")]
    Missing {
        /// The block.
        block: Sha256,
    },
    /// The stored bytes are not those that were stored.
    #[error("the stored bytes of block `{block}` do not match their digest")]
    StoredDigest {
        /// The block.
        block: Sha256,
    },
    /// The stored bytes do not decompress to the recorded length.
    #[error("the stored bytes of block `{block}` do not decompress to {raw_size} bytes")]
    Decompression {
        /// The block.
        block: Sha256,
        /// The recorded length.
        raw_size: u32,
    },
    /// The stored bytes decompress to bytes other than those that were stored.
    #[error("the decompressed bytes of block `{block}` do not match their digest")]
    RawDigest {
        /// The block.
        block: Sha256,
    },
    /// The compressor failed, or what it made does not decompress to what went in.
    #[error("cannot compress block `{block}` so that it decompresses again")]
    Compression {
        /// The block.
        block: Sha256,
    },
}

impl Block {
    /// Compresses `raw`, whose digest is `raw_sha256`, and makes sure that it decompresses to the same bytes.
    ///
    /// `raw` has at least 1 and at most [`BLOCK_SIZE`] bytes; `level` is zstd's. Where zstd saves nothing, the bytes
    /// are stored as they are.
    pub fn encode(raw: &[u8], raw_sha256: Sha256, level: i32) -> Result<Self, BlockError> {
        let failed = BlockError::Compression { block: raw_sha256 };
        let raw_size = u32::try_from(raw.len()).ok().filter(|_| (1..=BLOCK_SIZE).contains(&raw.len()));
        let raw_size = raw_size.ok_or_else(|| failed.clone())?;
        let mut compressed = zstd::bulk::compress(raw, level).map_err(|_| failed.clone())?;
        // The compressor leaves room for the worst case, which a group of blocks would add up.
        compressed.shrink_to_fit();
        if compressed.len() >= raw.len() {
            let stored = raw.to_vec();
            return Ok(Self { raw_sha256, raw_size, stored_sha256: raw_sha256, codec: Codec::None, stored });
        }
        if decompress(&compressed, raw.len()).as_deref() != Some(raw) {
            return Err(failed);
        }
        let stored_sha256 = Sha256::of(&compressed);
        Ok(Self { raw_sha256, raw_size, stored_sha256, codec: Codec::Zstd, stored: compressed })
    }

    /// Returns the raw bytes, after checking both digests. Never produces more than the recorded length.
    pub fn decode(&self) -> Result<Vec<u8>, BlockError> {
        let block = self.raw_sha256;
        if Sha256::of(&self.stored) != self.stored_sha256 {
            return Err(BlockError::StoredDigest { block });
        }
        let size = usize::try_from(self.raw_size).unwrap_or(usize::MAX);
        let raw = match self.codec {
            Codec::None => Some(self.stored.clone()),
            Codec::Zstd if size <= BLOCK_SIZE => decompress(&self.stored, size),
            Codec::Zstd => None,
        };
        let raw = raw.filter(|raw| raw.len() == size);
        let raw = raw.ok_or(BlockError::Decompression { block, raw_size: self.raw_size })?;
        if Sha256::of(&raw) == block { Ok(raw) } else { Err(BlockError::RawDigest { block }) }
    }

    /// Returns the block's sizes.
    pub fn info(&self) -> BlockInfo {
        let stored_size = u32::try_from(self.stored.len()).unwrap_or(u32::MAX);
        BlockInfo { raw_size: self.raw_size, stored_size }
    }
}

/// Returns what `frame` decompresses to, if that is at most `limit` bytes.
/// Returns the raw bytes of what a block stores, where no row says what they are; `None` where that cannot be a block.
pub(super) fn unpack(codec: Codec, stored: Vec<u8>) -> Option<Vec<u8>> {
    match codec {
        Codec::None => Some(stored),
        Codec::Zstd => decompress(&stored, BLOCK_SIZE),
    }
}

fn decompress(frame: &[u8], limit: usize) -> Option<Vec<u8>> {
    zstd::bulk::decompress(frame, limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::contract::noise;

    fn encode(raw: &[u8]) -> Block {
        Block::encode(raw, Sha256::of(raw), 3).expect("compresses")
    }

    #[test]
    fn what_does_not_compress_is_stored_as_it_is() {
        let (noise, text) = (noise(0, 5_000), b"the same again, ".repeat(500));
        assert_eq!((encode(&noise).codec, encode(&noise).stored), (Codec::None, noise));
        let block = encode(&text);
        assert_eq!((block.codec, block.decode()), (Codec::Zstd, Ok(text)));
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        for raw in [b"the same again, ".repeat(20), noise(0, 100)] {
            let block = encode(&raw);
            for position in 0..block.stored.len() {
                let mut changed = block.clone();
                changed.stored[position] ^= 1;
                assert!(matches!(changed.decode(), Err(BlockError::StoredDigest { .. })));
                // Not even with a digest to match.
                changed.stored_sha256 = Sha256::of(&changed.stored);
                assert!(changed.decode().is_err());
            }
        }
    }

    #[test]
    fn decompression_stops_at_the_recorded_length() {
        let mut bomb = encode(&vec![0; BLOCK_SIZE]);
        assert!(bomb.stored.len() < 1_000);
        for raw_size in [1, 1_000, u32::MAX] {
            bomb.raw_size = raw_size;
            assert!(matches!(bomb.decode(), Err(BlockError::Decompression { .. })));
        }
    }

    #[test]
    fn only_what_fits_is_a_block() {
        for length in [0, BLOCK_SIZE + 1] {
            assert!(Block::encode(&vec![0; length], Sha256::ZERO, 3).is_err());
        }
    }
}
