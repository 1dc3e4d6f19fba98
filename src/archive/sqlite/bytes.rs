//! Blocks, artifacts and segments in SQLite.

use std::collections::{HashMap, HashSet};

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Transaction, params};

use super::{damaged, engine_error, parse};
use crate::archive::objects::{self, Blocks, NewBlocks};
use crate::archive::{ArchiveError, ArtifactInfo, BLOCK_SIZE, Block, BlockInfo, NewArtifact, SEGMENT_PAGE, Segment};
use crate::clock::Timestamp;
use crate::id::Sha256;

/// An artifact's share of its blocks' stored bytes, as [`BlockInfo::share`] counts it; `a` is the artifact.
pub(super) const COMPRESSED_SIZE: &str =
    "(SELECT coalesce(sum((s.length * b.stored_size + b.raw_size - 1) / b.raw_size), 0)
  FROM segment s JOIN block b ON b.id = s.block_id WHERE s.artifact_id = a.id)";

pub(super) fn find_artifacts(
    connection: &Connection,
    contents: &[Sha256],
) -> Result<HashMap<Sha256, ArtifactInfo>, ArchiveError> {
    let failed = engine_error("look for contents");
    let sql = format!(
        "SELECT size_bytes, {COMPRESSED_SIZE}, purged_at, b.raw_sha256, s.\"offset\", s.length
         FROM artifact a LEFT JOIN segment s ON s.artifact_id = a.id AND s.position = 0 LEFT JOIN block b ON b.id = s.block_id
         WHERE content_sha256 = ?1"
    );
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let mut statement = transaction.prepare_cached(&sql).map_err(failed)?;
    let mut found = HashMap::new();
    for sha256 in contents {
        let row = statement.query_row([sha256.to_string()], |row| {
            let first = match row.get::<_, Option<String>>(3)? {
                Some(block) => Some((block, row.get(4)?, row.get(5)?)),
                None => None,
            };
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?, first))
        });
        if let Some((size, compressed_size, purged_at, first)) = row.optional().map_err(failed)? {
            let purged_at = purged_at.map(|text| parse(&text, "artifact.purged_at")).transpose()?;
            let size = length(size, "artifact.size_bytes")?;
            let compressed_size = length(compressed_size, "segment.length")?;
            let first = match first {
                Some((block, offset, length)) => {
                    Some(Segment { block: parse(&block, "block.raw_sha256")?, offset, length })
                }
                None => None,
            };
            found.insert(*sha256, ArtifactInfo { size, compressed_size, purged_at, first });
        }
    }
    Ok(found)
}

pub(super) fn find_blocks(connection: &Connection, raw: &[Sha256]) -> Result<HashMap<Sha256, BlockInfo>, ArchiveError> {
    let failed = engine_error("look for blocks");
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let mut statement =
        transaction.prepare_cached("SELECT raw_size, stored_size FROM block WHERE raw_sha256 = ?1").map_err(failed)?;
    let mut found = HashMap::new();
    for sha256 in raw {
        let row = statement
            .query_row([sha256.to_string()], |row| Ok(BlockInfo { raw_size: row.get(0)?, stored_size: row.get(1)? }));
        if let Some(info) = row.optional().map_err(failed)? {
            found.insert(*sha256, info);
        }
    }
    Ok(found)
}

/// Returns whether the archive keeps bytes in objects.
pub(super) fn keeps_objects(connection: &Connection) -> Result<bool, ArchiveError> {
    let failed = engine_error("say where its bytes are");
    let mut statement = connection.prepare_cached("SELECT driver = 'object' FROM archive").map_err(failed)?;
    statement.query_row([], |row| row.get(0)).map_err(failed)
}

pub(super) fn put(
    transaction: Transaction<'_>,
    blocks: &NewBlocks<'_>,
    artifacts: &[NewArtifact],
) -> Result<HashSet<Sha256>, ArchiveError> {
    let failed = engine_error("store contents");
    let mut fresh = HashSet::new();
    put_blocks(&transaction, blocks)?;
    {
        let now = Timestamp::now().to_string();
        let mut find_artifact = transaction
            .prepare_cached(
                "SELECT id, purged_at, EXISTS (SELECT 1 FROM purged WHERE artifact_id = artifact.id AND destroyed_at IS NULL)
                 FROM artifact WHERE content_sha256 = ?1",
            )
            .map_err(failed)?;
        let mut add_artifact = transaction
            .prepare_cached("INSERT INTO artifact (content_sha256, size_bytes, created_at) VALUES (?1, ?2, ?3)")
            .map_err(failed)?;
        for artifact in artifacts {
            let sha256 = artifact.sha256;
            let text = sha256.to_string();
            let known = find_artifact.query_row([&text], |row| row.try_into());
            let known: Option<(i64, Option<String>, bool)> = known.optional().map_err(failed)?;
            match known {
                Some((_, None, _)) => continue,
                Some((id, Some(_), false)) if artifact.readmit => {
                    readmit(&transaction, id, &sha256, &artifact.segments)?;
                }
                Some((_, Some(purged_at), _)) => {
                    return Err(ArchiveError::Purged { sha256, purged_at: parse(&purged_at, "artifact.purged_at")? });
                }
                None => {
                    let size = i64::try_from(artifact.size).map_err(|_| damaged("a content longer than 2^63 bytes"))?;
                    let id = add_artifact.insert(params![text, size, now]).map_err(failed)?;
                    put_segments(&transaction, id, &sha256, &artifact.segments)?;
                }
            }
            fresh.insert(sha256);
        }
    }
    transaction.commit().map_err(failed)?;
    Ok(fresh)
}

/// Gives a purged content its bytes again. Items that were purged stay so.
pub(super) fn readmit(
    transaction: &Transaction<'_>,
    artifact: i64,
    sha256: &Sha256,
    segments: &[Segment],
) -> Result<(), ArchiveError> {
    let failed = engine_error("let purged content in again");
    // There are some only where somebody put them there.
    transaction.execute("DELETE FROM segment WHERE artifact_id = ?1", [artifact]).map_err(failed)?;
    put_segments(transaction, artifact, sha256, segments)?;
    transaction.execute("UPDATE artifact SET purged_at = NULL WHERE id = ?1", [artifact]).map_err(failed)?;
    Ok(())
}

/// Adds those blocks that are not there.
pub(super) fn put_blocks(transaction: &Transaction<'_>, blocks: &NewBlocks<'_>) -> Result<(), ArchiveError> {
    let failed = engine_error("store blocks");
    blocks.check(keeps_objects(transaction)?)?;
    let mut find = transaction.prepare_cached(FIND_BLOCK).map_err(failed)?;
    for (block, bytes) in blocks.rows() {
        if row_id(&mut find, &block.raw_sha256.to_string())?.is_none() {
            put_block(transaction, block, bytes)?;
        }
    }
    Ok(())
}

/// Adds a block that is not there, and returns the id of its row.
pub(super) fn put_block(connection: &Connection, block: &Block, bytes: Option<&[u8]>) -> Result<i64, ArchiveError> {
    let Block { raw_sha256, raw_size, stored_sha256, codec, .. } = block;
    let (raw_sha256, stored_sha256) = (raw_sha256.to_string(), stored_sha256.to_string());
    let values = params![raw_sha256, raw_size, stored_sha256, block.info().stored_size, codec.as_str(), bytes];
    connection
        .prepare_cached(
            "INSERT INTO block (raw_sha256, raw_size, stored_sha256, stored_size, codec, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .and_then(|mut statement| statement.insert(values))
        .map_err(engine_error("store blocks"))
}

/// Adds the segments of content `sha256`, whose row has the id `artifact` and no segments yet.
pub(super) fn put_segments(
    transaction: &Transaction<'_>,
    artifact: i64,
    sha256: &Sha256,
    segments: &[Segment],
) -> Result<(), ArchiveError> {
    let failed = engine_error("store contents");
    let mut find = transaction.prepare_cached(FIND_BLOCK).map_err(failed)?;
    let mut add = transaction
        .prepare_cached(
            "INSERT INTO segment (artifact_id, position, block_id, offset, length) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .map_err(failed)?;
    for (position, segment) in (0_i64..).zip(segments) {
        let block = row_id(&mut find, &segment.block.to_string())?;
        let block = block.ok_or(ArchiveError::MissingBlock { sha256: *sha256 })?;
        add.execute(params![artifact, position, block, segment.offset, segment.length]).map_err(failed)?;
    }
    Ok(())
}

const FIND_BLOCK: &str = "SELECT id FROM block WHERE raw_sha256 = ?1";

pub(super) fn segments(connection: &Connection, content: &Sha256, from: u64) -> Result<Vec<Segment>, ArchiveError> {
    let failed = engine_error("list the segments of a content");
    let mut statement = connection
        .prepare_cached(
            "SELECT b.raw_sha256, s.offset, s.length
             FROM artifact a JOIN segment s ON s.artifact_id = a.id LEFT JOIN block b ON b.id = s.block_id
             WHERE a.content_sha256 = ?1 AND a.purged_at IS NULL AND s.position >= ?2 ORDER BY s.position LIMIT ?3",
        )
        .map_err(failed)?;
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let page = i64::try_from(SEGMENT_PAGE).expect("a page is short");
    let mut rows = statement.query(params![content.to_string(), from, page]).map_err(failed)?;
    let mut segments = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let block: Option<String> = row.get(0).map_err(failed)?;
        let block = block.ok_or(ArchiveError::MissingBlock { sha256: *content })?;
        segments.push(Segment {
            block: parse(&block, "block.raw_sha256")?,
            offset: row.get(1).map_err(failed)?,
            length: row.get(2).map_err(failed)?,
        });
    }
    Ok(segments)
}

pub(super) fn block(connection: &Connection, store: &Blocks, raw: &Sha256) -> Result<Option<Block>, ArchiveError> {
    let failed = engine_error("read a block");
    let mut statement = connection
        .prepare_cached(
            "SELECT raw_size, stored_sha256, codec, CASE WHEN length(bytes) <= ?2 AND raw_size <= ?2 THEN bytes END,
               bytes IS NULL
             FROM block WHERE raw_sha256 = ?1",
        )
        .map_err(failed)?;
    let limit = i64::try_from(BLOCK_SIZE).expect("a block is short");
    let row = statement.query_row(params![raw.to_string(), limit], |row| {
        let (stored_sha256, codec): (String, String) = (row.get(1)?, row.get(2)?);
        Ok((row.get::<_, u32>(0)?, stored_sha256, codec, row.get::<_, Option<Vec<u8>>>(3)?, row.get::<_, bool>(4)?))
    });
    let Some((raw_size, stored_sha256, codec, stored, outside)) = row.optional().map_err(failed)? else {
        return Ok(None);
    };
    let (stored_sha256, codec) = (parse(&stored_sha256, "block.stored_sha256")?, parse(&codec, "block.codec")?);
    let stored = match stored {
        Some(stored) => stored,
        None if outside => objects::get(store, codec, &stored_sha256)?,
        None => return Err(damaged(format!("block `{raw}` is longer than 1 MiB"))),
    };
    Ok(Some(Block { raw_sha256: *raw, raw_size, stored_sha256, codec, stored }))
}

/// Returns the id of the row that `statement` finds by `digest`.
pub(super) fn row_id(statement: &mut CachedStatement<'_>, digest: &str) -> Result<Option<i64>, ArchiveError> {
    statement.query_row([digest], |row| row.get(0)).optional().map_err(engine_error("look for a row"))
}

/// Returns a stored length or count, which is never negative.
pub(super) fn length(value: i64, column: &str) -> Result<u64, ArchiveError> {
    u64::try_from(value).map_err(|_| damaged(format!("`{value}` in column `{column}`")))
}
