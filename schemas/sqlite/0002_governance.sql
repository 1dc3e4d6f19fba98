-- Governance on SQLite: holds one by one, and purges. What must hold, and in which order it is done: docs/governance.md.

CREATE TABLE hold (
  id          INTEGER PRIMARY KEY CHECK (id > 0),
  item_id     INTEGER NOT NULL REFERENCES item (id),
  op          TEXT,                  -- the operation that set it, which is its id; NULL where somebody did by SQL
  name        TEXT,
  set_by      TEXT,
  reason      TEXT,
  set_at      TEXT NOT NULL,
  released_at TEXT,
  released_by TEXT,                  -- the digest of the event that says so
  CHECK ((released_at IS NULL) = (released_by IS NULL)),
  CHECK (op IS NULL OR (op GLOB '????????-????-????-????-????????????' AND op NOT GLOB '*[^0-9a-f-]*')),
  CHECK (set_at GLOB '????-??-??T??:??:??.???Z' AND set_at NOT GLOB '*[^0-9TZ:.-]*'),
  CHECK (released_at IS NULL OR (released_at GLOB '????-??-??T??:??:??.???Z' AND released_at NOT GLOB '*[^0-9TZ:.-]*'))
) STRICT;

CREATE UNIQUE INDEX hold_op ON hold (item_id, op);
CREATE UNIQUE INDEX hold_release ON hold (item_id, released_by);
CREATE INDEX hold_open ON hold (item_id) WHERE released_at IS NULL;

CREATE TABLE purged (
  id           INTEGER PRIMARY KEY CHECK (id > 0),
  artifact_id  INTEGER NOT NULL REFERENCES artifact (id),
  op           TEXT NOT NULL UNIQUE,
  origin       TEXT NOT NULL,        -- the clone that began it
  tombstone_id TEXT NOT NULL,        -- of the item that was requested
  request_id   TEXT NOT NULL,
  purged_by    TEXT NOT NULL,
  second       TEXT NOT NULL,
  reason       TEXT NOT NULL,
  begun_at     TEXT NOT NULL,
  destroyed_at TEXT
) STRICT;

CREATE INDEX purge_artifact ON purged (artifact_id);

ALTER TABLE item ADD COLUMN purged_at TEXT;

CREATE INDEX event_governance ON event (id) WHERE action IN ('RESTORE_APPROVED', 'PRUNE_REQUEST', 'REQUEST_WITHDRAWN',
  'DELETE_APPROVED', 'PURGE', 'HOLD_SET', 'HOLD_RELEASED');

-- What was held before: by each store that asked for it, and otherwise by nobody knows whom. What was undone holds nothing.

UPDATE item SET legal_hold = 0 WHERE legal_hold = 1 AND state = 'undone';

INSERT INTO hold (item_id, op, set_by, set_at)
  SELECT i.id, e.op, min(e.actor), min(e.created_at) FROM item i JOIN event e ON e.tombstone_id = i.tombstone_id
  WHERE i.legal_hold = 1 AND e.action = 'ARCHIVE' AND instr(e.line, '"legal_hold":true') > 0 GROUP BY i.id, e.op;

INSERT INTO hold (item_id, op, set_by, set_at)
  SELECT id, CASE state WHEN 'pending' THEN op END, CASE state WHEN 'pending' THEN archived_by END, archived_at FROM item
  WHERE legal_hold = 1 AND NOT EXISTS (SELECT 1 FROM hold WHERE item_id = item.id);

-- Holds. An item's column legal_hold is 1 exactly while it has an open hold, whoever changes which of the two. One that is
-- released already comes only with a copy of another archive.

CREATE TRIGGER hold_replace BEFORE INSERT ON hold
WHEN EXISTS (SELECT 1 FROM hold WHERE id = NEW.id OR (item_id = NEW.item_id
  AND (op = NEW.op OR released_by = NEW.released_by OR (op IS NULL AND NEW.op IS NULL AND released_at IS NULL))))
BEGIN SELECT RAISE(ABORT, 'holds never change'); END;

CREATE TRIGGER hold_copied BEFORE INSERT ON hold
WHEN NEW.released_at IS NOT NULL AND (SELECT superseded_by FROM archive) IS NULL
BEGIN SELECT RAISE(ABORT, 'holds never change'); END;

CREATE TRIGGER hold_purged BEFORE INSERT ON hold
WHEN NEW.released_at IS NULL AND EXISTS (SELECT 1 FROM item i JOIN artifact a ON a.id = i.artifact_id
  WHERE i.id = NEW.item_id AND i.state <> 'undone' AND a.purged_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'the content is purged'); END;

CREATE TRIGGER hold_set AFTER INSERT ON hold WHEN NEW.released_at IS NULL
BEGIN UPDATE item SET legal_hold = 1 WHERE id = NEW.item_id AND legal_hold <> 1; END;

-- By an event of this item that names this hold and released no other one; or with an operation that was taken back. What the
-- event is stands in its line, which is the one that its digest is of. The function sha256 is the program's own: SQLite has
-- none, and refuses a client without it. One with a function that lies is not stopped: whoever can write the file can do
-- anything.
CREATE TRIGGER hold_update BEFORE UPDATE ON hold
WHEN NEW.id IS NOT OLD.id OR NEW.item_id IS NOT OLD.item_id OR NEW.op IS NOT OLD.op OR NEW.name IS NOT OLD.name
  OR NEW.set_by IS NOT OLD.set_by OR NEW.reason IS NOT OLD.reason OR NEW.set_at IS NOT OLD.set_at
  OR OLD.released_at IS NOT NULL OR NEW.released_at IS NULL
  OR EXISTS (SELECT 1 FROM hold WHERE item_id = OLD.item_id AND released_by = NEW.released_by)
  OR NOT EXISTS (SELECT 1 FROM event e JOIN item i ON i.id = OLD.item_id WHERE e.digest = NEW.released_by
    AND CASE WHEN sha256(CAST(e.line AS BLOB)) IS NOT e.digest THEN 0
          ELSE i.state = 'undone' OR (e.action = 'HOLD_RELEASED' AND e.item_id = OLD.item_id
            AND json_extract(e.line, '$.action') = 'HOLD_RELEASED' AND json_extract(e.line, '$.status') = 'done'
            AND json_extract(e.line, '$.tombstone') = i.tombstone_id AND json_extract(e.line, '$.request') IS OLD.op) END)
BEGIN SELECT RAISE(ABORT, 'holds never change'); END;

CREATE TRIGGER hold_released AFTER UPDATE ON hold
BEGIN
  UPDATE item SET legal_hold = 0 WHERE id = NEW.item_id AND legal_hold = 1
    AND NOT EXISTS (SELECT 1 FROM hold WHERE item_id = NEW.item_id AND released_at IS NULL);
END;

CREATE TRIGGER hold_delete BEFORE DELETE ON hold
BEGIN SELECT RAISE(ABORT, 'holds are never deleted'); END;

DROP TRIGGER item_release;

CREATE TRIGGER item_release BEFORE UPDATE ON item
WHEN OLD.legal_hold = 1 AND NEW.legal_hold IS NOT 1
  AND EXISTS (SELECT 1 FROM hold WHERE item_id = OLD.id AND released_at IS NULL)
BEGIN SELECT RAISE(ABORT, 'the item is under a legal hold'); END;

CREATE TRIGGER item_hold_insert AFTER INSERT ON item WHEN NEW.legal_hold = 1
BEGIN INSERT INTO hold (item_id, set_at) VALUES (NEW.id, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')); END;

CREATE TRIGGER item_hold_update AFTER UPDATE ON item
WHEN NEW.legal_hold = 1 AND NOT EXISTS (SELECT 1 FROM hold WHERE item_id = NEW.id AND released_at IS NULL)
BEGIN INSERT INTO hold (item_id, set_at) VALUES (NEW.id, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')); END;

CREATE TRIGGER item_purged BEFORE UPDATE ON item
WHEN (NEW.purged_at IS NOT OLD.purged_at AND NEW.purged_at IS NOT (SELECT purged_at FROM artifact WHERE id = OLD.artifact_id))
  OR (OLD.state = 'undone' AND NEW.state <> 'undone' AND NEW.legal_hold = 1
    AND EXISTS (SELECT 1 FROM artifact WHERE id = OLD.artifact_id AND purged_at IS NOT NULL))
BEGIN SELECT RAISE(ABORT, 'an item is purged with its content'); END;

-- Purges. A content is purged by a row here and by nothing else, and comes back only after that purge has ended, whole. A row
-- for one that has ended already comes only with a copy of another archive.

CREATE TRIGGER purge_replace BEFORE INSERT ON purged
WHEN EXISTS (SELECT 1 FROM purged WHERE id = NEW.id OR op = NEW.op)
BEGIN SELECT RAISE(ABORT, 'purges never change'); END;

CREATE TRIGGER purge_copied BEFORE INSERT ON purged
WHEN NEW.destroyed_at IS NOT NULL AND (SELECT superseded_by FROM archive) IS NULL
BEGIN SELECT RAISE(ABORT, 'a purge begins before it ends'); END;

CREATE TRIGGER purge_refused BEFORE INSERT ON purged
WHEN NEW.destroyed_at IS NULL AND EXISTS (SELECT 1 FROM artifact WHERE id = NEW.artifact_id AND purged_at IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'the content is purged'); END;

CREATE TRIGGER purge_held BEFORE INSERT ON purged
WHEN NEW.destroyed_at IS NULL AND EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = NEW.artifact_id)
BEGIN SELECT RAISE(ABORT, 'the content is under a legal hold'); END;

CREATE TRIGGER purge_begun AFTER INSERT ON purged WHEN NEW.destroyed_at IS NULL
BEGIN
  UPDATE artifact SET purged_at = NEW.begun_at WHERE id = NEW.artifact_id;
  UPDATE item SET purged_at = NEW.begun_at
    WHERE artifact_id = NEW.artifact_id AND state <> 'undone' AND purged_at IS NULL;
END;

CREATE TRIGGER purge_ended BEFORE UPDATE ON purged WHEN EXISTS (SELECT 1 FROM segment WHERE artifact_id = OLD.artifact_id)
BEGIN SELECT RAISE(ABORT, 'the content has bytes'); END;

CREATE TRIGGER purge_update BEFORE UPDATE ON purged
WHEN NEW.id IS NOT OLD.id OR NEW.artifact_id IS NOT OLD.artifact_id OR NEW.op IS NOT OLD.op
  OR NEW.origin IS NOT OLD.origin OR NEW.tombstone_id IS NOT OLD.tombstone_id OR NEW.request_id IS NOT OLD.request_id
  OR NEW.purged_by IS NOT OLD.purged_by OR NEW.second IS NOT OLD.second OR NEW.reason IS NOT OLD.reason
  OR NEW.begun_at IS NOT OLD.begun_at OR OLD.destroyed_at IS NOT NULL OR NEW.destroyed_at IS NULL
BEGIN SELECT RAISE(ABORT, 'purges never change'); END;

CREATE TRIGGER purge_delete BEFORE DELETE ON purged
BEGIN SELECT RAISE(ABORT, 'purges never change'); END;

DROP TRIGGER artifact_update;

CREATE TRIGGER artifact_update BEFORE UPDATE ON artifact
WHEN NEW.id IS NOT OLD.id OR NEW.content_sha256 IS NOT OLD.content_sha256 OR NEW.size_bytes IS NOT OLD.size_bytes
  OR NEW.created_at IS NOT OLD.created_at OR (NEW.purged_at IS NOT OLD.purged_at
    AND CASE WHEN OLD.purged_at IS NULL THEN NOT EXISTS (SELECT 1 FROM purged
          WHERE artifact_id = OLD.id AND destroyed_at IS NULL AND begun_at = NEW.purged_at)
        ELSE NEW.purged_at IS NOT NULL
          OR EXISTS (SELECT 1 FROM purged WHERE artifact_id = OLD.id AND destroyed_at IS NULL)
          OR OLD.size_bytes <> (SELECT COALESCE(SUM(length), 0) FROM segment WHERE artifact_id = OLD.id) END)
BEGIN SELECT RAISE(ABORT, 'artifacts never change'); END;

-- Segments. What an item uses is complete, until it is purged; what is being purged gets nothing. A run moves to where the
-- block shows its bytes, or anywhere within a block when it has to leave one with bytes of what is being purged: then only
-- what is held must show its bytes. The function sha256 is the program's own, as above.

DROP TRIGGER segment_surplus;

CREATE TRIGGER segment_surplus BEFORE INSERT ON segment
WHEN EXISTS (SELECT 1 FROM item WHERE artifact_id = NEW.artifact_id)
  AND EXISTS (SELECT 1 FROM artifact WHERE id = NEW.artifact_id AND (size_bytes < NEW.length
      + (SELECT COALESCE(SUM(length), 0) FROM segment WHERE artifact_id = NEW.artifact_id)
    OR (purged_at IS NOT NULL AND EXISTS (SELECT 1 FROM purged WHERE artifact_id = NEW.artifact_id AND destroyed_at IS NULL))))
BEGIN SELECT RAISE(ABORT, 'the content is complete'); END;

-- Once more, so that what is held is refused for that.
DROP TRIGGER segment_replace;

CREATE TRIGGER segment_replace BEFORE INSERT ON segment
WHEN EXISTS (SELECT 1 FROM segment WHERE artifact_id = NEW.artifact_id AND position = NEW.position)
  OR EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = NEW.artifact_id)
BEGIN SELECT RAISE(ABORT, 'segments never change'); END;

CREATE TRIGGER segment_used BEFORE DELETE ON segment
WHEN EXISTS (SELECT 1 FROM item WHERE artifact_id = OLD.artifact_id AND state <> 'undone')
  AND NOT EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.artifact_id)
  AND EXISTS (SELECT 1 FROM artifact WHERE id = OLD.artifact_id AND purged_at IS NULL)
BEGIN SELECT RAISE(ABORT, 'the content is in use'); END;

DROP TRIGGER segment_update;

CREATE TRIGGER segment_update BEFORE UPDATE ON segment
WHEN NEW.artifact_id IS NOT OLD.artifact_id OR NEW.position IS NOT OLD.position OR NEW.length IS NOT OLD.length
BEGIN SELECT RAISE(ABORT, 'segments never change'); END;

CREATE TRIGGER segment_move BEFORE UPDATE OF block_id, offset ON segment
WHEN NOT EXISTS (SELECT 1 FROM block b JOIN artifact a ON a.id = OLD.artifact_id
  WHERE b.id = NEW.block_id AND NEW.offset >= 0 AND NEW.offset + OLD.length <= b.raw_size
    AND ((NOT EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = a.id)
        AND EXISTS (SELECT 1 FROM segment s JOIN purged p ON p.artifact_id = s.artifact_id
          WHERE s.block_id = OLD.block_id AND p.destroyed_at IS NULL))
      OR (OLD.position = 0 AND OLD.length = a.size_bytes AND b.codec = 'none' AND b.raw_size <= 1048576
        AND b.stored_size = b.raw_size AND length(b.bytes) = b.raw_size
        AND b.stored_sha256 = b.raw_sha256 AND b.raw_sha256 = sha256(b.bytes)
        AND a.content_sha256 = sha256(substr(b.bytes, NEW.offset + 1, OLD.length)))))
BEGIN SELECT RAISE(ABORT, 'a content moves only to where its bytes are seen'); END;
