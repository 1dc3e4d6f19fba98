//! Cuts large contents where their bytes say, so that two versions of a file share most of their pieces.

use std::io::{self, Read};

use fastcdc::v2020::{Error as CutError, Normalization, StreamCDC};

use super::block::BLOCK_SIZE;

/// The shortest piece in bytes, the last one of a content aside. Frozen with its siblings: other values would cut every
/// content anew and share nothing with what is stored.
pub const MINIMUM_PIECE: usize = 256 * 1024;
/// The length in bytes that pieces tend to.
pub const AVERAGE_PIECE: usize = 512 * 1024;
/// The longest piece in bytes: a piece always fits a block.
pub const MAXIMUM_PIECE: usize = BLOCK_SIZE;

/// Returns the pieces of everything `reader` yields, in order; none is empty.
pub(super) fn pieces(reader: impl Read) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    let reader = Uninterrupted(reader);
    let cutter = StreamCDC::with_level(reader, MINIMUM_PIECE, AVERAGE_PIECE, MAXIMUM_PIECE, Normalization::Level1);
    cutter.map(|piece| match piece {
        Ok(piece) => Ok(piece.data),
        Err(CutError::IoError(error)) => Err(error),
        Err(other) => Err(io::Error::other(other)),
    })
}

/// A reader that tries again when a signal interrupts it, which the cutter does not.
struct Uninterrupted<R>(R);

impl<R: Read> Read for Uninterrupted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(bytes: &[u8]) -> Vec<usize> {
        pieces(bytes).map(|piece| piece.expect("memory can be read").len()).collect()
    }

    #[test]
    fn the_cuts_never_change() {
        // Frozen: other cuts would share no block with what is stored. The bytes are SplitMix64 from state 0.
        assert_eq!(lengths(&super::super::contract::noise(0, 4 << 20)), FROZEN);
    }

    const FROZEN: &[usize] = &[723_217, 763_529, 865_057, 388_391, 559_973, 799_125, 95_012];

    #[test]
    fn an_insertion_moves_only_the_cuts_around_it() {
        let old = super::super::contract::noise(1, 8 << 20);
        let mut new = old.clone();
        new.splice(1_000_000..1_000_000, *b"inserted");
        let old: std::collections::HashSet<_> = pieces(&old[..]).map(|piece| piece.expect("can be read")).collect();
        let kept = pieces(&new[..]).filter(|piece| old.contains(piece.as_ref().expect("can be read"))).count();
        assert!(kept + 3 >= old.len(), "{kept} of {}", old.len());
    }
}
