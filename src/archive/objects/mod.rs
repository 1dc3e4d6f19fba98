//! Where the bytes of blocks are, if not in the database: an object store.
//!
//! The engines ask three things of a [`BlockStore`], and [`attach`] sees to it that an archive and its objects belong
//! together. `docs/archive.md`, section "Objects", says what holds and in which order things are written.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use super::{Archive, ArchiveError, Block, Codec, OpenMode};
use crate::id::Sha256;

mod error;
#[cfg(feature = "net")]
mod line;
#[cfg(feature = "net")]
mod store;
#[cfg(all(test, feature = "net"))]
pub(in crate::archive) mod tests;

pub use error::ObjectsError;
#[cfg(feature = "net")]
use store::ObjectBlocks;

/// Keeps the stored bytes of blocks.
///
/// Each method first sees that the objects are this archive's, once; what needs no bytes does not need the store.
pub(super) trait BlockStore: fmt::Debug + Send + Sync {
    /// Sees that the store can be reached, and has this archive's objects.
    fn ping(&self) -> Result<(), ArchiveError>;

    /// Makes the stored bytes of `blocks` durable and reads them back.
    fn put(&self, blocks: &[&Block]) -> Result<(), ArchiveError>;

    /// Returns the bytes with digest `stored_sha256` of a block with this codec: at most
    /// [`BLOCK_SIZE`](super::BLOCK_SIZE), not checked otherwise.
    fn get(&self, codec: Codec, stored_sha256: &Sha256) -> Result<Vec<u8>, ArchiveError>;

    /// Returns the codecs and digests of all that is kept whose digest begins with hexadecimal digit `first`.
    fn names(&self, first: u32) -> Result<Vec<(Codec, Sha256)>, ArchiveError>;

    /// Destroys these bytes, if they are there.
    fn delete(&self, codec: Codec, stored_sha256: &Sha256) -> Result<(), ArchiveError>;
}

/// The store of an archive's blocks; `None` where the database has their bytes.
pub(super) type Blocks = Option<Arc<dyn BlockStore>>;

/// Where objects are. It prints without secrets.
#[derive(Debug, Clone)]
pub struct ObjectPlace {
    /// The URL, which has no secrets.
    pub url: String,
    /// What it means.
    pub kind: ObjectPlaceKind,
    /// Variables of the environment that begin with `AWS_`: credentials, region, endpoint.
    pub settings: Vec<(String, SecretString)>,
}

/// What the URL of an object store means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectPlaceKind {
    /// A bucket of S3, or of what speaks its protocol.
    Bucket {
        /// Its name.
        name: String,
        /// What the names of all objects begin with, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// A folder.
    Folder(PathBuf),
}

/// What an engine tells of the bytes in its archive, and is told.
pub(super) trait Keeper: Archive {
    /// Returns whether the archive keeps bytes in objects.
    fn keeps_objects(&mut self) -> Result<bool, ArchiveError>;

    /// Returns whether the archive has a block.
    fn has_blocks(&mut self) -> Result<bool, ArchiveError>;

    /// Makes an archive without blocks one that keeps bytes in objects; does nothing to one that has blocks.
    #[cfg_attr(not(feature = "net"), expect(dead_code, reason = "only that feature has objects"))]
    fn keep_objects(&mut self) -> Result<(), ArchiveError>;
}

/// Returns the store of `archive`'s blocks, if `place` is where they are. An archive without blocks may become one that
/// keeps them there, where opening may make an archive.
pub(super) fn attach(
    archive: &mut dyn Keeper,
    place: Option<&ObjectPlace>,
    mode: OpenMode,
) -> Result<Blocks, ArchiveError> {
    let kept = archive.keeps_objects()?;
    match place {
        None if kept => Err(ObjectsError::NotConfigured.into()),
        None => Ok(None),
        Some(place) if !kept && archive.has_blocks()? => {
            Err(ObjectsError::InDatabase { store: place.url.clone() }.into())
        }
        Some(place) if !kept && mode == OpenMode::Existing => {
            Err(ObjectsError::Unprepared { store: place.url.clone() }.into())
        }
        Some(place) => attach_place(archive, place, kept, mode),
    }
}

#[cfg(feature = "net")]
fn attach_place(
    archive: &mut dyn Keeper,
    place: &ObjectPlace,
    kept: bool,
    mode: OpenMode,
) -> Result<Blocks, ArchiveError> {
    let store = ObjectBlocks::new(place, archive.id())?;
    if kept && mode != OpenMode::Existing {
        store.ping()?;
    } else if !kept {
        // First the mark: with the row first, a stop would leave an archive whose objects are nowhere to be found.
        store.mark()?;
        archive.keep_objects()?;
        if !archive.keeps_objects()? {
            return Err(ObjectsError::InDatabase { store: place.url.clone() }.into());
        }
    }
    Ok(Some(Arc::new(store)))
}

#[cfg(not(feature = "net"))]
fn attach_place(_: &mut dyn Keeper, place: &ObjectPlace, _: bool, _: OpenMode) -> Result<Blocks, ArchiveError> {
    Err(ArchiveError::NotBuiltIn { place: place.url.clone() })
}

/// Puts the bytes of those of `blocks` that `archive` does not have where `store` keeps them, and returns what is to become
/// rows: only these blocks, since the bytes of another one, whose row vanished meanwhile, may be gone too.
///
/// A row is no proof of its object: a purge deletes the object first, and may have been stopped before it deleted the row. Such
/// an object is put again.
pub(super) fn put_first<'b>(
    archive: &mut dyn Archive,
    store: &Blocks,
    blocks: &'b [Block],
) -> Result<NewBlocks<'b>, ArchiveError> {
    let Some(store) = store else { return Ok(NewBlocks { blocks: blocks.iter().collect(), outside: false }) };
    let digests: Vec<Sha256> = blocks.iter().map(|block| block.raw_sha256).collect();
    let known = archive.find_blocks(&digests)?;
    let fresh: Vec<&Block> = blocks.iter().filter(|block| !known.contains_key(&block.raw_sha256)).collect();
    if !fresh.is_empty() {
        store.put(&fresh)?;
    }
    for block in blocks.iter().filter(|block| known.contains_key(&block.raw_sha256)) {
        let damage = |archive: &mut dyn Archive| archive.block(&block.raw_sha256).err().filter(is_object_damaged);
        if damage(archive).is_some() {
            store.put(&[block])?;
            if let Some(error) = damage(archive) {
                // Its row names bytes that were compressed in another way.
                store.delete(block.codec, &block.stored_sha256)?;
                return Err(error);
            }
        }
    }
    Ok(NewBlocks { blocks: fresh, outside: true })
}

/// Returns whether what is wrong is that an object is missing, or is none of ours.
pub(super) fn is_object_damaged(error: &ArchiveError) -> bool {
    matches!(error, ArchiveError::Objects(error) if error.is_damage())
}

/// Blocks that become rows.
pub(super) struct NewBlocks<'b> {
    blocks: Vec<&'b Block>,
    outside: bool,
}

impl<'b> NewBlocks<'b> {
    /// Fails where the archive keeps bytes in objects by now, and these are not there: `init` may have decided so since this
    /// program opened it. To be asked under the lock of those who write.
    pub(super) fn check(&self, kept: bool) -> Result<(), ArchiveError> {
        if kept && !self.outside { Err(ObjectsError::NotConfigured.into()) } else { Ok(()) }
    }

    /// Returns the driver of an archive that these rows are for.
    #[cfg(feature = "net")]
    pub(super) fn driver(&self) -> &'static str {
        if self.outside { "object" } else { "db" }
    }

    /// Returns each block with the bytes that its row holds: all of them, or none.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&'b Block, Option<&'b [u8]>)> {
        self.blocks.iter().map(|block| (*block, (!self.outside).then_some(&block.stored[..])))
    }
}

/// Sees that `store` can be reached, if there is one.
pub(super) fn ping(store: &Blocks) -> Result<(), ArchiveError> {
    store.as_ref().map_or(Ok(()), |store| store.ping())
}

/// Returns the stored bytes of a block that is in `store`.
pub(super) fn get(store: &Blocks, codec: Codec, stored_sha256: &Sha256) -> Result<Vec<u8>, ArchiveError> {
    store.as_ref().ok_or(ObjectsError::NotConfigured)?.get(codec, stored_sha256)
}
