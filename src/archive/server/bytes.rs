//! Blocks, artifacts and segments on a server.

use std::collections::{HashMap, HashSet};

use super::connection::{Connection, Value, text};
use super::{damaged, failed, in_groups, insert_rows, length, parse};
use crate::archive::objects::{self, Blocks, NewBlocks};
use crate::archive::{ArchiveError, ArtifactInfo, BLOCK_SIZE, Block, BlockInfo, NewArtifact, SEGMENT_PAGE, Segment};
use crate::clock::Timestamp;
use crate::id::Sha256;

/// Returns the SQL of an artifact's share of its blocks' stored bytes, as [`BlockInfo::share`] counts it; `a` is the
/// artifact. The quotient has no remainder, so that it is the same however a server divides.
pub(super) fn compressed_size(integer: &str) -> String {
    format!(
        "(SELECT CAST(COALESCE(SUM(
           (s.length * b.stored_size + b.raw_size - 1 - MOD(s.length * b.stored_size + b.raw_size - 1, b.raw_size))
             / b.raw_size), 0) AS {integer})
         FROM segment s JOIN block b ON b.id = s.block_id WHERE s.artifact_id = a.id)"
    )
}

pub(super) fn find_artifacts(
    connection: &mut dyn Connection,
    contents: &[Sha256],
) -> Result<HashMap<Sha256, ArtifactInfo>, ArchiveError> {
    let failed = failed("look for contents");
    let sql = format!(
        "SELECT a.content_sha256, a.size_bytes, {}, {}, {}, s.offset, s.length
         FROM artifact a LEFT JOIN segment s ON s.artifact_id = a.id AND s.position = 0
         LEFT JOIN block b ON b.id = s.block_id WHERE a.content_sha256 IN (…)",
        compressed_size(connection.dialect().integer),
        text("a.purged_at"),
        text("b.raw_sha256")
    );
    let mut found = HashMap::with_capacity(contents.len());
    in_groups(contents.iter().map(|sha256| sha256.to_string().into()), &sql, |sql, values| {
        for row in connection.query(sql, values).map_err(failed)? {
            let sha256: Sha256 = parse(&row.text(0).map_err(failed)?, "artifact.content_sha256")?;
            let purged_at = row.optional_text(3).map_err(failed)?;
            let info = ArtifactInfo {
                size: length(row.integer(1).map_err(failed)?, "artifact.size_bytes")?,
                compressed_size: length(row.integer(2).map_err(failed)?, "segment.length")?,
                purged_at: purged_at.map(|text| parse(&text, "artifact.purged_at")).transpose()?,
                first: match row.optional_text(4).map_err(failed)? {
                    None => None,
                    Some(block) => Some(Segment {
                        block: parse(&block, "block.raw_sha256")?,
                        offset: length(row.integer(5).map_err(failed)?, "segment.offset")?,
                        length: length(row.integer(6).map_err(failed)?, "segment.length")?,
                    }),
                },
            };
            found.insert(sha256, info);
        }
        Ok(())
    })?;
    Ok(found)
}

pub(super) fn find_blocks(
    connection: &mut dyn Connection,
    raw: &[Sha256],
) -> Result<HashMap<Sha256, BlockInfo>, ArchiveError> {
    let failed = failed("look for blocks");
    let sql = "SELECT raw_sha256, raw_size, stored_size FROM block WHERE raw_sha256 IN (…)";
    let mut found = HashMap::with_capacity(raw.len());
    in_groups(raw.iter().map(|sha256| sha256.to_string().into()), sql, |sql, values| {
        for row in connection.query(sql, values).map_err(failed)? {
            let info = BlockInfo {
                raw_size: length(row.integer(1).map_err(failed)?, "block.raw_size")?,
                stored_size: length(row.integer(2).map_err(failed)?, "block.stored_size")?,
            };
            found.insert(parse(&row.text(0).map_err(failed)?, "block.raw_sha256")?, info);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Writes those blocks that are not there, each by itself: a block is whole or absent, and no row refers to it yet. Where
/// their bytes do not belong by now, nothing is written: under the lock [`NewBlocks::check`] says so.
pub(super) fn put_blocks(connection: &mut dyn Connection, blocks: &NewBlocks<'_>) -> Result<(), ArchiveError> {
    let digests: Vec<Sha256> = blocks.rows().map(|(block, _)| block.raw_sha256).collect();
    let known = find_blocks(connection, &digests)?;
    let dialect = connection.dialect();
    let sql = format!(
        "{} INTO block (raw_sha256, raw_size, stored_sha256, stored_size, codec, bytes)
         SELECT ?, ?, ?, ?, ?, ? FROM archive WHERE singleton = 1 AND driver = '{}' {}",
        dialect.insert_new,
        blocks.driver(),
        dialect.unless_there
    );
    for (block, bytes) in blocks.rows().filter(|(block, _)| !known.contains_key(&block.raw_sha256)) {
        put_block(connection, &sql, block, bytes)?;
    }
    Ok(())
}

/// Writes a block by `insert`, which takes the columns of its row but for the id.
pub(super) fn put_block(
    connection: &mut dyn Connection,
    insert: &str,
    block: &Block,
    bytes: Option<&[u8]>,
) -> Result<(), ArchiveError> {
    let values = [
        block.raw_sha256.to_string().into(),
        i64::from(block.raw_size).into(),
        block.stored_sha256.to_string().into(),
        i64::from(block.info().stored_size).into(),
        block.codec.as_str().into(),
        bytes.into(),
    ];
    connection.execute(insert, &values).map(|_| ()).map_err(failed("store a block"))
}

/// Writes those artifacts that are not there, with their segments, and returns them; those too that were purged and are let
/// in again. Items that were purged stay so.
pub(super) fn put_artifacts(
    connection: &mut dyn Connection,
    artifacts: &[NewArtifact],
) -> Result<HashSet<Sha256>, ArchiveError> {
    let failed = failed("store contents");
    let contents: Vec<Sha256> = artifacts.iter().map(|artifact| artifact.sha256).collect();
    let known = find_artifacts(connection, &contents)?;
    // In the order in which they came: neighbours share blocks, and are read in this order when the archive is copied.
    let (mut fresh, mut back): (Vec<&NewArtifact>, Vec<&NewArtifact>) = (Vec::new(), Vec::new());
    let mut added = HashSet::new();
    let purging = being_purged(connection, artifacts.iter().filter(|artifact| artifact.readmit))?;
    for artifact in artifacts {
        match known.get(&artifact.sha256) {
            Some(ArtifactInfo { purged_at: Some(_), .. })
                if artifact.readmit && !purging.contains(&artifact.sha256) && added.insert(artifact.sha256) =>
            {
                back.push(artifact);
            }
            // Let in by an earlier one of these.
            Some(_) if added.contains(&artifact.sha256) => {}
            Some(ArtifactInfo { purged_at: Some(purged_at), .. }) => {
                return Err(ArchiveError::Purged { sha256: artifact.sha256, purged_at: *purged_at });
            }
            None if added.insert(artifact.sha256) => fresh.push(artifact),
            _ => {}
        }
    }
    let now = Timestamp::now().to_string();
    let rows = fresh.iter().map(|artifact| {
        let size = i64::try_from(artifact.size).map_err(|_| damaged("a content longer than 2^63 bytes"))?;
        Ok([artifact.sha256.to_string().into(), size.into(), now.as_str().into()])
    });
    let rows = rows.collect::<Result<Vec<[Value<'_>; 3]>, ArchiveError>>()?;
    let sql = "INSERT INTO artifact (content_sha256, size_bytes, created_at) VALUES …";
    insert_rows(connection, sql, rows).map_err(failed)?;
    let segments: Vec<_> = fresh.iter().map(|artifact| (artifact.sha256, &artifact.segments[..])).collect();
    put_segments(connection, &segments)?;
    let segments: Vec<_> = back.iter().map(|artifact| (artifact.sha256, &artifact.segments[..])).collect();
    readmit(connection, &segments)?;
    Ok(added)
}

/// Returns those of `artifacts` whose purge has begun and not ended.
fn being_purged<'a>(
    connection: &mut dyn Connection,
    artifacts: impl Iterator<Item = &'a NewArtifact>,
) -> Result<HashSet<Sha256>, ArchiveError> {
    let failed = failed("look for purges");
    let sql = "SELECT a.content_sha256 FROM artifact a JOIN purged p ON p.artifact_id = a.id
      WHERE p.destroyed_at IS NULL AND a.content_sha256 IN (…)";
    let mut found = HashSet::new();
    in_groups(artifacts.map(|artifact| artifact.sha256.to_string().into()), sql, |sql, values| {
        for row in connection.query(sql, values).map_err(failed)? {
            found.insert(parse(&row.text(0).map_err(failed)?, "artifact.content_sha256")?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Gives purged contents their bytes again.
pub(super) fn readmit(connection: &mut dyn Connection, contents: &[(Sha256, &[Segment])]) -> Result<(), ArchiveError> {
    let failed = failed("let purged contents in again");
    let ids: Vec<i64> = artifact_ids(connection, contents.iter().map(|(sha256, _)| sha256))?.into_values().collect();
    let change = |connection: &mut dyn Connection, sql: &str| {
        in_groups(ids.iter().copied().map(Value::Integer), sql, |sql, values| {
            connection.execute(sql, values).map(|_| ()).map_err(failed)
        })
    };
    // There are some only where somebody put them there.
    change(connection, "DELETE FROM segment WHERE artifact_id IN (…)")?;
    put_segments(connection, contents)?;
    change(connection, "UPDATE artifact SET purged_at = NULL WHERE id IN (…)")
}

/// Writes the segments of contents whose rows are there and have none.
pub(super) fn put_segments(
    connection: &mut dyn Connection,
    contents: &[(Sha256, &[Segment])],
) -> Result<(), ArchiveError> {
    let artifact_ids = artifact_ids(connection, contents.iter().map(|(sha256, _)| sha256))?;
    let blocks: HashSet<Sha256> =
        contents.iter().flat_map(|(_, segments)| segments.iter().map(|segment| segment.block)).collect();
    let block_ids = ids(connection, "block", "raw_sha256", &blocks)?;
    let mut rows = Vec::new();
    for (sha256, segments) in contents {
        let id = artifact_ids.get(sha256).ok_or_else(|| damaged(format!("content `{sha256}` vanished")))?;
        for (position, segment) in (0_i64..).zip(*segments) {
            let block = block_ids.get(&segment.block).ok_or(ArchiveError::MissingBlock { sha256: *sha256 })?;
            let numbers = [*id, position, *block, i64::from(segment.offset), i64::from(segment.length)];
            rows.push(numbers.map(Value::Integer));
        }
    }
    // Without the names of the columns: `offset` is a word of the language, and quoted in different ways.
    insert_rows(connection, "INSERT INTO segment VALUES …", rows).map_err(failed("store contents"))
}

/// Returns the ids of the rows of those of `contents` that have one.
pub(super) fn artifact_ids<'d>(
    connection: &mut dyn Connection,
    contents: impl IntoIterator<Item = &'d Sha256>,
) -> Result<HashMap<Sha256, i64>, ArchiveError> {
    ids(connection, "artifact", "content_sha256", contents)
}

/// Returns the ids of the rows of `table` whose `column` is one of `digests`.
fn ids<'d>(
    connection: &mut dyn Connection,
    table: &str,
    column: &str,
    digests: impl IntoIterator<Item = &'d Sha256>,
) -> Result<HashMap<Sha256, i64>, ArchiveError> {
    let failed = failed("look for rows");
    let sql = format!("SELECT {column}, id FROM {table} WHERE {column} IN (…)");
    let mut found = HashMap::new();
    in_groups(digests.into_iter().map(|sha256| sha256.to_string().into()), &sql, |sql, values| {
        for row in connection.query(sql, values).map_err(failed)? {
            found.insert(parse(&row.text(0).map_err(failed)?, column)?, row.integer(1).map_err(failed)?);
        }
        Ok(())
    })?;
    Ok(found)
}

pub(super) fn segments(
    connection: &mut dyn Connection,
    content: &Sha256,
    from: u64,
) -> Result<Vec<Segment>, ArchiveError> {
    let failed = failed("list the segments of a content");
    let sql = format!(
        "SELECT {}, s.offset, s.length
         FROM artifact a JOIN segment s ON s.artifact_id = a.id LEFT JOIN block b ON b.id = s.block_id
         WHERE a.content_sha256 = ? AND a.purged_at IS NULL AND s.position >= ? ORDER BY s.position LIMIT {SEGMENT_PAGE}",
        text("b.raw_sha256")
    );
    let values = [content.to_string().into(), i64::try_from(from).unwrap_or(i64::MAX).into()];
    let mut segments = Vec::new();
    for row in connection.query(&sql, &values).map_err(failed)? {
        let block = row.optional_text(0).map_err(failed)?.ok_or(ArchiveError::MissingBlock { sha256: *content })?;
        segments.push(Segment {
            block: parse(&block, "block.raw_sha256")?,
            offset: length(row.integer(1).map_err(failed)?, "segment.offset")?,
            length: length(row.integer(2).map_err(failed)?, "segment.length")?,
        });
    }
    Ok(segments)
}

pub(super) fn block(
    connection: &mut dyn Connection,
    store: &Blocks,
    raw: &Sha256,
) -> Result<Option<Block>, ArchiveError> {
    let failed = failed("read a block");
    let sql = format!(
        "SELECT raw_size, {}, {},
           CASE WHEN OCTET_LENGTH(bytes) <= {BLOCK_SIZE} AND raw_size <= {BLOCK_SIZE} THEN bytes END,
           CASE WHEN bytes IS NULL THEN 'object' ELSE 'db' END
         FROM block WHERE raw_sha256 = ?",
        text("stored_sha256"),
        text("codec")
    );
    let rows = connection.query(&sql, &[raw.to_string().into()]).map_err(failed)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let raw_size = length(row.integer(0).map_err(failed)?, "block.raw_size")?;
    let stored_sha256 = parse(&row.text(1).map_err(failed)?, "block.stored_sha256")?;
    let codec = parse(&row.text(2).map_err(failed)?, "block.codec")?;
    let stored = match row.optional_bytes(3).map_err(failed)? {
        Some(stored) => stored,
        None if row.text(4).map_err(failed)? == "object" => objects::get(store, codec, &stored_sha256)?,
        None => return Err(damaged(format!("block `{raw}` is longer than 1 MiB"))),
    };
    Ok(Some(Block { raw_sha256: *raw, raw_size, stored_sha256, codec, stored }))
}
