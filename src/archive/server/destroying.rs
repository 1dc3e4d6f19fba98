//! The destruction of bytes on a server: rows. What its files keep of them is beyond the reach of SQL.

use super::bytes::{block, put_block};
use super::connection::{Connection, Row as SqlRow, Value, text};
use super::{ServerArchive, damaged, failed, length, parse};
use crate::archive::objects::Blocks;
use crate::archive::purging::{self, Bench, Move, Row, Run, delete_strays, sweep, take_out};
use crate::archive::{ArchiveError, Block, Destroyed};
use crate::fault;
use crate::id::Sha256;

/// Destroys the bytes of a content whose purge has begun and not ended.
pub(super) fn destroy(archive: &mut ServerArchive, sha256: &Sha256) -> Result<Destroyed, ArchiveError> {
    let action = "destroy bytes";
    let store = archive.blocks.clone();
    let mut done = Destroyed::default();
    if let Some(objects) = &store {
        let traces = archive.write(action, |connection| match purged_artifact(connection, sha256)? {
            Some(artifact) => purging::traces(&mut OnServer { connection, store: &store }, artifact).map(Some),
            None => Ok(None),
        })?;
        let Some(traces) = traces else { return Ok(done) };
        for first in 0..16 {
            let names = objects.names(first)?;
            done.blocks += archive.write(action, |connection| {
                delete_strays(&mut OnServer { connection, store: &store }, &store, &traces, first, &names)
            })?;
        }
    }
    loop {
        let step = archive.write(action, |connection| match purged_artifact(connection, sha256)? {
            Some(artifact) => take_out(&mut OnServer { connection, store: &store }, &store, artifact),
            None => Ok(None),
        })?;
        let Some(step) = step else { break };
        done.blocks += step.blocks;
        done.moved += step.moved;
        fault::point("purge-block");
    }
    let mut newest = None;
    loop {
        let swept = archive.write(action, |connection| match purged_artifact(connection, sha256)? {
            Some(_) => sweep(&mut OnServer { connection, store: &store }, &store, &mut newest),
            None => Ok(0),
        })?;
        if swept == 0 {
            break;
        }
        done.blocks += swept;
    }
    fault::point("purge-swept");
    Ok(done)
}

/// Deletes those of `blocks` that nobody uses.
pub(super) fn discard(archive: &mut ServerArchive, blocks: &[Block]) -> Result<(), ArchiveError> {
    let store = archive.blocks.clone();
    archive.write("take bytes back", |connection| {
        purging::discard(&mut OnServer { connection, store: &store }, &store, blocks)
    })
}

/// Returns the row of a content whose purge has begun, if it has not ended; fails where none has ever begun.
fn purged_artifact(connection: &mut dyn Connection, sha256: &Sha256) -> Result<Option<i64>, ArchiveError> {
    let failed = failed("look for the purge");
    let sql = "SELECT a.id, CASE WHEN p.destroyed_at IS NULL THEN 'begun' ELSE 'ended' END
      FROM artifact a JOIN purged p ON p.artifact_id = a.id WHERE a.content_sha256 = ? ORDER BY p.id DESC LIMIT 1";
    let rows = connection.query(sql, &[sha256.to_string().into()]).map_err(failed)?;
    let row = rows.first().ok_or(ArchiveError::MissingArtifact { sha256: *sha256 })?;
    let (artifact, stands) = (row.integer(0).map_err(failed)?, row.text(1).map_err(failed)?);
    Ok((stands == "begun").then_some(artifact))
}

/// The tables on a server, in a transaction.
struct OnServer<'a> {
    connection: &'a mut dyn Connection,
    store: &'a Blocks,
}

impl OnServer<'_> {
    fn rows(&mut self, tail: &str, values: &[Value<'_>]) -> Result<Vec<Row>, ArchiveError> {
        let failed = failed("look for blocks");
        let sql = format!(
            "SELECT b.id, {}, CASE WHEN b.bytes IS NULL THEN 'object' ELSE 'db' END FROM block b {tail}",
            ["b.raw_sha256", "b.stored_sha256", "b.codec"].map(text).join(", ")
        );
        let rows = self.connection.query(&sql, values).map_err(failed)?;
        let read = |row: &SqlRow| -> Result<Row, ArchiveError> {
            Ok(Row {
                id: row.integer(0).map_err(failed)?,
                raw_sha256: parse(&row.text(1).map_err(failed)?, "block.raw_sha256")?,
                stored_sha256: parse(&row.text(2).map_err(failed)?, "block.stored_sha256")?,
                codec: parse(&row.text(3).map_err(failed)?, "block.codec")?,
                inside: row.text(4).map_err(failed)? == "db",
            })
        };
        rows.iter().map(read).collect()
    }

    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, ArchiveError> {
        self.connection.execute(sql, values).map_err(failed("destroy bytes"))
    }
}

impl Bench for OnServer<'_> {
    fn blocks_of(&mut self, artifact: i64, limit: usize) -> Result<Vec<Row>, ArchiveError> {
        let tail =
            format!("WHERE b.id IN (SELECT block_id FROM segment WHERE artifact_id = ?) ORDER BY b.id LIMIT {limit}");
        self.rows(&tail, &[artifact.into()])
    }

    fn newest(&mut self) -> Result<i64, ArchiveError> {
        let failed = failed("look for blocks");
        let rows = self.connection.query("SELECT COALESCE(MAX(id), 0) FROM block", &[]).map_err(failed)?;
        rows.first().map_or(Ok(0), |row| row.integer(0).map_err(failed))
    }

    fn unused(&mut self, newest: i64, limit: usize) -> Result<Vec<Row>, ArchiveError> {
        let unused = "b.id <= ? AND NOT EXISTS (SELECT 1 FROM segment WHERE block_id = b.id)";
        self.rows(&format!("WHERE {unused} LIMIT {limit}"), &[newest.into()])
    }

    fn stored(&mut self, first: u32) -> Result<Vec<Row>, ArchiveError> {
        self.rows(&format!("WHERE b.stored_sha256 LIKE '{first:x}%'"), &[])
    }

    fn runs(&mut self, block: i64) -> Result<Vec<Run>, ArchiveError> {
        let failed = failed("look for what uses a block");
        let sql = "SELECT s.artifact_id, s.offset, s.length,
             CASE WHEN s.artifact_id IN (SELECT artifact_id FROM held_artifact) THEN 'held' ELSE 'free' END
           FROM segment s WHERE s.block_id = ?";
        let rows = self.connection.query(sql, &[block.into()]).map_err(failed)?;
        let runs = rows.iter().map(|row| {
            Ok(Run {
                artifact: row.integer(0).map_err(failed)?,
                offset: length(row.integer(1).map_err(failed)?, "segment.offset")?,
                length: length(row.integer(2).map_err(failed)?, "segment.length")?,
                held: row.text(3).map_err(failed)? == "held",
            })
        });
        runs.collect()
    }

    fn find(&mut self, raw: &Sha256) -> Result<Option<Row>, ArchiveError> {
        Ok(self.rows("WHERE b.raw_sha256 = ?", &[raw.to_string().into()])?.pop())
    }

    fn block(&mut self, raw: &Sha256) -> Result<Option<Block>, ArchiveError> {
        block(self.connection, self.store, raw)
    }

    fn add(&mut self, block: &Block, inside: bool) -> Result<i64, ArchiveError> {
        let insert = "INSERT INTO block (raw_sha256, raw_size, stored_sha256, stored_size, codec, bytes)
          VALUES (?, ?, ?, ?, ?, ?)";
        put_block(self.connection, insert, block, inside.then_some(&block.stored[..]))?;
        let row = self.find(&block.raw_sha256)?;
        row.map(|row| row.id).ok_or_else(|| damaged(format!("block `{}` vanished", block.raw_sha256)))
    }

    fn move_runs(&mut self, runs: &Move<'_>) -> Result<u64, ArchiveError> {
        let (which, offset) = (if runs.held { "IN" } else { "NOT IN" }, self.connection.dialect().offset);
        let sql = format!(
            "UPDATE segment SET block_id = ?, {offset} = {offset} - ? + ?
             WHERE block_id = ? AND artifact_id <> ? AND {offset} >= ? AND {offset} + length <= ?
               AND artifact_id {which} (SELECT artifact_id FROM held_artifact)"
        );
        let Move { without, from, within, to, start, .. } = *runs;
        let (first, last) = (i64::from(within.start), i64::from(within.end));
        let numbers = [to, first, i64::from(start), from, without, first, last];
        self.execute(&sql, &numbers.map(Value::Integer))
    }

    fn cut(&mut self, artifact: i64, block: i64) -> Result<(), ArchiveError> {
        let sql = "DELETE FROM segment WHERE artifact_id = ? AND block_id = ?";
        self.execute(sql, &[artifact.into(), block.into()]).map(|_| ())
    }

    fn delete(&mut self, block: i64) -> Result<(), ArchiveError> {
        self.execute("DELETE FROM block WHERE id = ?", &[block.into()]).map(|_| ())
    }
}
