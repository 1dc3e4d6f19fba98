//! The destruction of bytes in SQLite: rows, then what the file keeps of them.

use std::time::Duration;

use rusqlite::{Connection, Params, Row as SqlRow, Transaction, params};

use super::bytes::{self, put_block};
use super::items::{column, parsed};
use super::{BUSY_TIMEOUT, SqliteArchive, engine_error};
use crate::archive::objects::Blocks;
use crate::archive::purging::{self, Bench, Move, Row, Run, delete_strays, sweep, take_out};
use crate::archive::{ArchiveError, Block, Destroyed};
use crate::fault;
use crate::id::Sha256;

/// How long a reader is waited for that keeps old pages from going: those that are about to end.
const READERS_TIMEOUT: Duration = Duration::from_secs(2);

/// Destroys the bytes of a content whose purge has begun and not ended.
pub(super) fn destroy(archive: &mut SqliteArchive, sha256: &Sha256) -> Result<Destroyed, ArchiveError> {
    let mut done = Destroyed::default();
    if !is_begun(archive, sha256)? {
        return Ok(done);
    }
    let store = archive.blocks.clone();
    // What is deleted from here on is overwritten where it stood.
    archive.connection.pragma_update(None, "secure_delete", true).map_err(engine_error("destroy bytes"))?;
    let destroyed = remove(archive, &store, sha256, &mut done).and_then(|()| scrub(archive));
    let ended = archive.connection.pragma_update(None, "secure_delete", false).map_err(engine_error("destroy bytes"));
    destroyed.and(ended).map(|()| done)
}

/// Deletes those of `blocks` that nobody uses.
pub(super) fn discard(archive: &mut SqliteArchive, blocks: &[Block]) -> Result<(), ArchiveError> {
    let store = archive.blocks.clone();
    let transaction = archive.write()?;
    purging::discard(&mut OnFile { connection: &transaction, store: &store }, &store, blocks)?;
    transaction.commit().map_err(engine_error("take bytes back"))
}

/// Returns whether the purge has yet to be ended; fails where none has ever begun.
fn is_begun(archive: &mut SqliteArchive, sha256: &Sha256) -> Result<bool, ArchiveError> {
    let transaction = archive.write()?;
    let begun = purged_artifact(&transaction, sha256)?.is_some();
    let sql = "SELECT 1 FROM purged p JOIN artifact a ON a.id = p.artifact_id WHERE a.content_sha256 = ?1";
    let known = transaction.prepare_cached(sql).and_then(|mut statement| statement.exists([sha256.to_string()]));
    if known.map_err(engine_error("look for the purge"))? {
        Ok(begun)
    } else {
        Err(ArchiveError::MissingArtifact { sha256: *sha256 })
    }
}

/// Returns the row of a content whose purge has begun and not ended.
fn purged_artifact(transaction: &Transaction<'_>, sha256: &Sha256) -> Result<Option<i64>, ArchiveError> {
    let mut statement = transaction
        .prepare_cached(
            "SELECT a.id FROM artifact a JOIN purged p ON p.artifact_id = a.id
             WHERE a.content_sha256 = ?1 AND p.destroyed_at IS NULL",
        )
        .map_err(engine_error("look for the purge"))?;
    bytes::row_id(&mut statement, &sha256.to_string())
}

/// Removes every row that has bytes of the content.
fn remove(
    archive: &mut SqliteArchive,
    store: &Blocks,
    sha256: &Sha256,
    done: &mut Destroyed,
) -> Result<(), ArchiveError> {
    let failed = engine_error("destroy bytes");
    if let Some(objects) = store {
        let transaction = archive.write()?;
        let Some(artifact) = purged_artifact(&transaction, sha256)? else { return Ok(()) };
        let traces = purging::traces(&mut OnFile { connection: &transaction, store }, artifact)?;
        drop(transaction);
        for first in 0..16 {
            let names = objects.names(first)?;
            let transaction = archive.write()?;
            let bench = &mut OnFile { connection: &transaction, store };
            done.blocks += delete_strays(bench, store, &traces, first, &names)?;
        }
    }
    loop {
        let transaction = archive.write()?;
        let Some(artifact) = purged_artifact(&transaction, sha256)? else { return Ok(()) };
        let Some(step) = take_out(&mut OnFile { connection: &transaction, store }, store, artifact)? else { break };
        transaction.commit().map_err(failed)?;
        done.blocks += step.blocks;
        done.moved += step.moved;
        fault::point("purge-block");
    }
    let mut newest = None;
    loop {
        let transaction = archive.write()?;
        let swept = sweep(&mut OnFile { connection: &transaction, store }, store, &mut newest)?;
        transaction.commit().map_err(failed)?;
        if swept == 0 {
            break;
        }
        done.blocks += swept;
    }
    fault::point("purge-swept");
    Ok(())
}

/// Makes the file, and the log beside it, such that they have nothing but rows.
///
/// Pages that rows have left, and the rest of pages that others still use, may have bytes that were written before anybody
/// thought of destroying them. So the file is written anew. The log is emptied before, lest that be done in vain where a
/// reader is in the way, and after.
fn scrub(archive: &SqliteArchive) -> Result<(), ArchiveError> {
    let failed = engine_error("write the file anew");
    empty_log(&archive.connection)?;
    archive.connection.execute_batch("VACUUM").map_err(failed)?;
    fault::point("purge-scrubbed");
    empty_log(&archive.connection)
}

/// Brings the whole write-ahead log into the file and cuts it to nothing.
fn empty_log(connection: &Connection) -> Result<(), ArchiveError> {
    let failed = engine_error("empty its write-ahead log");
    connection.busy_timeout(READERS_TIMEOUT).map_err(failed)?;
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    match busy {
        Ok(false) => Ok(()),
        Ok(true) => Err(ArchiveError::InUse),
        Err(error) => Err(match failed(error) {
            ArchiveError::Busy { .. } => ArchiveError::InUse,
            error => error,
        }),
    }
}

/// The tables of the file, in a transaction.
struct OnFile<'a> {
    connection: &'a Connection,
    store: &'a Blocks,
}

const ROW: &str = "SELECT b.id, b.raw_sha256, b.stored_sha256, b.codec, b.bytes IS NOT NULL AS inside FROM block b";

fn read_row(row: &SqlRow<'_>) -> Result<Row, ArchiveError> {
    Ok(Row {
        id: column(row, "id")?,
        raw_sha256: parsed(row, "raw_sha256")?,
        stored_sha256: parsed(row, "stored_sha256")?,
        codec: parsed(row, "codec")?,
        inside: column(row, "inside")?,
    })
}

impl OnFile<'_> {
    fn rows(&self, tail: &str, values: impl Params) -> Result<Vec<Row>, ArchiveError> {
        let failed = engine_error("look for blocks");
        let mut statement = self.connection.prepare_cached(&format!("{ROW} {tail}")).map_err(failed)?;
        let mut rows = statement.query(values).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.push(read_row(row)?);
        }
        Ok(found)
    }

    fn execute(&self, sql: &str, values: impl Params) -> Result<u64, ArchiveError> {
        let failed = engine_error("destroy bytes");
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.execute(values).map(|count| count as u64).map_err(failed)
    }
}

impl Bench for OnFile<'_> {
    fn blocks_of(&mut self, artifact: i64, limit: usize) -> Result<Vec<Row>, ArchiveError> {
        let tail =
            format!("WHERE b.id IN (SELECT block_id FROM segment WHERE artifact_id = ?1) ORDER BY b.id LIMIT {limit}");
        self.rows(&tail, [artifact])
    }

    fn newest(&mut self) -> Result<i64, ArchiveError> {
        let newest = self.connection.query_row("SELECT coalesce(max(id), 0) FROM block", [], |row| row.get(0));
        newest.map_err(engine_error("look for blocks"))
    }

    fn unused(&mut self, newest: i64, limit: usize) -> Result<Vec<Row>, ArchiveError> {
        let unused = "b.id <= ?1 AND NOT EXISTS (SELECT 1 FROM segment WHERE block_id = b.id)";
        self.rows(&format!("WHERE {unused} LIMIT {limit}"), [newest])
    }

    fn stored(&mut self, first: u32) -> Result<Vec<Row>, ArchiveError> {
        self.rows(&format!("WHERE b.stored_sha256 LIKE '{first:x}%'"), [])
    }

    fn runs(&mut self, block: i64) -> Result<Vec<Run>, ArchiveError> {
        let failed = engine_error("look for what uses a block");
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT artifact_id, \"offset\", length, artifact_id IN (SELECT artifact_id FROM held_artifact)
                 FROM segment WHERE block_id = ?1",
            )
            .map_err(failed)?;
        let runs = statement.query_map([block], |row| {
            Ok(Run { artifact: row.get(0)?, offset: row.get(1)?, length: row.get(2)?, held: row.get(3)? })
        });
        runs.and_then(Iterator::collect).map_err(failed)
    }

    fn find(&mut self, raw: &Sha256) -> Result<Option<Row>, ArchiveError> {
        Ok(self.rows("WHERE b.raw_sha256 = ?1", [raw.to_string()])?.pop())
    }

    fn block(&mut self, raw: &Sha256) -> Result<Option<Block>, ArchiveError> {
        bytes::block(self.connection, self.store, raw)
    }

    fn add(&mut self, block: &Block, inside: bool) -> Result<i64, ArchiveError> {
        put_block(self.connection, block, inside.then_some(&block.stored[..]))
    }

    fn move_runs(&mut self, runs: &Move<'_>) -> Result<u64, ArchiveError> {
        let which = if runs.held { "IN" } else { "NOT IN" };
        let sql = format!(
            "UPDATE segment SET block_id = ?1, \"offset\" = \"offset\" - ?2 + ?3
             WHERE block_id = ?4 AND artifact_id <> ?5 AND \"offset\" >= ?2 AND \"offset\" + length <= ?6
               AND artifact_id {which} (SELECT artifact_id FROM held_artifact)"
        );
        let Move { without, from, within, to, start, .. } = runs;
        self.execute(&sql, params![to, within.start, start, from, without, within.end])
    }

    fn cut(&mut self, artifact: i64, block: i64) -> Result<(), ArchiveError> {
        self.execute("DELETE FROM segment WHERE artifact_id = ?1 AND block_id = ?2", [artifact, block]).map(|_| ())
    }

    fn delete(&mut self, block: i64) -> Result<(), ArchiveError> {
        self.execute("DELETE FROM block WHERE id = ?1", [block]).map(|_| ())
    }
}
