-- The archive on SQLite (3.37 or newer). What the tables mean and what holds at any time: docs/archive.md.
-- Hashes and ids are lower-case hexadecimal text, times are UTC text such as 2025-10-17T13:22:36.123Z.

PRAGMA application_id = 1096052066; -- the bytes "ATmb"

CREATE TABLE migration (
  version    INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  sha256     TEXT NOT NULL,          -- of this file's text with LF line ends
  program    TEXT NOT NULL,          -- the first version of git-archive-tomb that knows it
  applied_at TEXT NOT NULL
) STRICT;

CREATE TABLE archive (
  singleton     INTEGER PRIMARY KEY CHECK (singleton = 1),
  id            TEXT NOT NULL,       -- a random (version 4) UUID
  created_at    TEXT NOT NULL,
  driver        TEXT NOT NULL DEFAULT 'db' CHECK (driver IN ('db', 'object')), -- where the bytes of blocks are
  superseded_by TEXT                 -- the id of the archive that this one was migrated to
) STRICT;

INSERT INTO archive (singleton, id, created_at) VALUES (
  1,
  lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-'
    || substr('89AB', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))),
  strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
);

-- Bytes: a content (artifact) is a list of runs (segment) of the raw bytes of blocks.

CREATE TABLE artifact (
  id             INTEGER PRIMARY KEY CHECK (id > 0),
  content_sha256 TEXT NOT NULL UNIQUE CHECK (length(content_sha256) = 64 AND content_sha256 NOT GLOB '*[^0-9a-f]*'),
  size_bytes     INTEGER NOT NULL CHECK (size_bytes >= 0),
  created_at     TEXT NOT NULL,
  purged_at      TEXT
) STRICT;

CREATE TABLE block (
  id            INTEGER PRIMARY KEY CHECK (id > 0),
  raw_sha256    TEXT NOT NULL UNIQUE CHECK (length(raw_sha256) = 64 AND raw_sha256 NOT GLOB '*[^0-9a-f]*'),
  raw_size      INTEGER NOT NULL CHECK (raw_size BETWEEN 1 AND 1048576),
  stored_sha256 TEXT NOT NULL CHECK (length(stored_sha256) = 64 AND stored_sha256 NOT GLOB '*[^0-9a-f]*'),
  stored_size   INTEGER NOT NULL CHECK (stored_size BETWEEN 1 AND raw_size),
  codec         TEXT NOT NULL CHECK (codec IN ('zstd', 'none')),
  bytes         BLOB CHECK (bytes IS NULL OR length(bytes) = stored_size) -- NULL: in the object store
) STRICT;

CREATE TABLE segment (
  artifact_id INTEGER NOT NULL REFERENCES artifact (id),
  position    INTEGER NOT NULL CHECK (position >= 0),  -- 0, 1, 2 … in the order of the content
  block_id    INTEGER NOT NULL REFERENCES block (id),
  offset      INTEGER NOT NULL CHECK (offset >= 0),    -- in the block's raw bytes
  length      INTEGER NOT NULL CHECK (length > 0),
  PRIMARY KEY (artifact_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX segment_block ON segment (block_id);

-- Facts.

CREATE TABLE item (
  id           INTEGER PRIMARY KEY CHECK (id > 0),
  tombstone_id TEXT NOT NULL UNIQUE CHECK (length(tombstone_id) = 36),
  artifact_id  INTEGER NOT NULL REFERENCES artifact (id),
  repo         TEXT NOT NULL,
  path         TEXT NOT NULL,        -- for people: quoted as git quotes it where it is not UTF-8
  path_bytes   BLOB NOT NULL,        -- exactly
  commit_sha   TEXT NOT NULL CHECK (length(commit_sha) IN (40, 64)),
  object_id    TEXT NOT NULL CHECK (length(object_id) IN (40, 64)),
  mode         TEXT NOT NULL CHECK (mode IN ('100644', '100755', '120000')),
  kind         TEXT NOT NULL,
  language     TEXT,
  mime_type    TEXT,
  reason       TEXT NOT NULL,
  metadata     TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata)),
  dirty        INTEGER NOT NULL DEFAULT 0 CHECK (dirty IN (0, 1)),
  legal_hold   INTEGER NOT NULL DEFAULT 0 CHECK (legal_hold IN (0, 1)),
  delete_after TEXT,
  archived_by  TEXT NOT NULL,
  archived_at  TEXT NOT NULL,
  restored_at  TEXT,
  state        TEXT NOT NULL CHECK (state IN ('pending', 'sealed', 'undone')),
  op           TEXT NOT NULL,        -- the operation that made the row
  origin       TEXT NOT NULL         -- the clone that began it
) STRICT;

CREATE INDEX item_newest ON item (archived_at DESC, path_bytes, tombstone_id);
CREATE INDEX item_place ON item (repo, path_bytes);
CREATE INDEX item_artifact ON item (artifact_id);
CREATE INDEX item_op ON item (op);
CREATE INDEX item_pending ON item (origin, op) WHERE state = 'pending';
CREATE INDEX item_held ON item (artifact_id) WHERE legal_hold = 1 AND state <> 'undone';

CREATE TABLE tag (
  item_id INTEGER NOT NULL REFERENCES item (id),
  tag     TEXT NOT NULL,
  PRIMARY KEY (item_id, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE referent (
  item_id   INTEGER NOT NULL REFERENCES item (id),
  position  INTEGER NOT NULL,
  ref_type  TEXT NOT NULL,
  ref_value TEXT NOT NULL,
  PRIMARY KEY (item_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE approval (
  id          INTEGER PRIMARY KEY CHECK (id > 0),
  item_id     INTEGER NOT NULL REFERENCES item (id),
  purpose     TEXT NOT NULL CHECK (purpose IN ('purge', 'restore')),
  request_id  TEXT,
  approver    TEXT NOT NULL,
  approved_at TEXT NOT NULL,
  consumed_at TEXT
) STRICT;

CREATE INDEX approval_item ON approval (item_id);

-- Events: every record about an item, as the exact line that stands in evidence and log.

CREATE TABLE event (
  id           INTEGER PRIMARY KEY CHECK (id > 0),
  digest       TEXT NOT NULL UNIQUE CHECK (length(digest) = 64 AND digest NOT GLOB '*[^0-9a-f]*'),
  op           TEXT NOT NULL,
  action       TEXT NOT NULL,
  actor        TEXT,
  item_id      INTEGER REFERENCES item (id),
  tombstone_id TEXT,
  created_at   TEXT NOT NULL,
  line         TEXT NOT NULL         -- with its newline; its SHA-256 is the digest
) STRICT;

CREATE INDEX event_tombstone ON event (tombstone_id, id);

-- What a client may not do, whatever order of statements it tries. The triggers look at values and not at the names of
-- columns (UPDATE OF id would not see SET rowid), and cover INSERT OR REPLACE and UPDATE OR REPLACE, whose deletions
-- fire no delete trigger.

CREATE VIEW held_artifact AS SELECT artifact_id FROM item WHERE legal_hold = 1 AND state <> 'undone';

CREATE TRIGGER event_update BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TRIGGER event_delete BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TRIGGER event_replace BEFORE INSERT ON event
WHEN EXISTS (SELECT 1 FROM event WHERE id = NEW.id OR digest = NEW.digest)
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TRIGGER block_update BEFORE UPDATE ON block
BEGIN SELECT RAISE(ABORT, 'blocks never change'); END;

CREATE TRIGGER block_delete BEFORE DELETE ON block
WHEN EXISTS (SELECT 1 FROM segment WHERE block_id = OLD.id)
BEGIN SELECT RAISE(ABORT, 'the block is in use'); END;

CREATE TRIGGER block_replace BEFORE INSERT ON block
WHEN EXISTS (SELECT 1 FROM block WHERE id = NEW.id OR raw_sha256 = NEW.raw_sha256)
BEGIN SELECT RAISE(ABORT, 'blocks never change'); END;

CREATE TRIGGER segment_update BEFORE UPDATE ON segment
BEGIN SELECT RAISE(ABORT, 'segments never change'); END;

CREATE TRIGGER segment_delete BEFORE DELETE ON segment
WHEN EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.artifact_id)
BEGIN SELECT RAISE(ABORT, 'the content is under a legal hold'); END;

-- What an item uses is complete, or purged. Asked in this order, so that adding a content costs no sum.
CREATE TRIGGER segment_surplus BEFORE INSERT ON segment
WHEN EXISTS (SELECT 1 FROM item WHERE artifact_id = NEW.artifact_id)
  AND EXISTS (SELECT 1 FROM artifact WHERE id = NEW.artifact_id AND (purged_at IS NOT NULL OR size_bytes < NEW.length
    + (SELECT COALESCE(SUM(length), 0) FROM segment WHERE artifact_id = NEW.artifact_id)))
BEGIN SELECT RAISE(ABORT, 'the content is complete'); END;

CREATE TRIGGER segment_replace BEFORE INSERT ON segment
WHEN EXISTS (SELECT 1 FROM segment WHERE artifact_id = NEW.artifact_id AND position = NEW.position)
  OR EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = NEW.artifact_id)
BEGIN SELECT RAISE(ABORT, 'segments never change'); END;

CREATE TRIGGER artifact_update BEFORE UPDATE ON artifact
WHEN NEW.id IS NOT OLD.id OR NEW.content_sha256 IS NOT OLD.content_sha256 OR NEW.size_bytes IS NOT OLD.size_bytes
  OR NEW.created_at IS NOT OLD.created_at OR OLD.purged_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'artifacts never change'); END;

CREATE TRIGGER artifact_purge BEFORE UPDATE ON artifact
WHEN NEW.purged_at IS NOT OLD.purged_at AND EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.id)
BEGIN SELECT RAISE(ABORT, 'the content is under a legal hold'); END;

CREATE TRIGGER artifact_delete BEFORE DELETE ON artifact
WHEN EXISTS (SELECT 1 FROM item WHERE artifact_id = OLD.id)
  OR EXISTS (SELECT 1 FROM segment WHERE artifact_id = OLD.id)
BEGIN SELECT RAISE(ABORT, 'the content is in use'); END;

CREATE TRIGGER artifact_replace BEFORE INSERT ON artifact
WHEN EXISTS (SELECT 1 FROM artifact WHERE id = NEW.id OR content_sha256 = NEW.content_sha256)
BEGIN SELECT RAISE(ABORT, 'artifacts never change'); END;

CREATE TRIGGER item_update BEFORE UPDATE ON item
WHEN NEW.id IS NOT OLD.id OR NEW.tombstone_id IS NOT OLD.tombstone_id OR NEW.artifact_id IS NOT OLD.artifact_id
  OR NEW.repo IS NOT OLD.repo OR NEW.path_bytes IS NOT OLD.path_bytes OR NEW.commit_sha IS NOT OLD.commit_sha
BEGIN SELECT RAISE(ABORT, 'what a tombstone stands for never changes'); END;

CREATE TRIGGER item_unseal BEFORE UPDATE ON item
WHEN OLD.state = 'sealed' AND NEW.state IS NOT 'sealed'
BEGIN SELECT RAISE(ABORT, 'a sealed item stays sealed'); END;

CREATE TRIGGER item_release BEFORE UPDATE ON item
WHEN OLD.legal_hold = 1 AND OLD.state <> 'undone' AND NEW.legal_hold IS NOT 1
BEGIN SELECT RAISE(ABORT, 'the item is under a legal hold'); END;

CREATE TRIGGER item_delete BEFORE DELETE ON item
BEGIN SELECT RAISE(ABORT, 'items are never deleted'); END;

CREATE TRIGGER item_replace BEFORE INSERT ON item
WHEN EXISTS (SELECT 1 FROM item WHERE id = NEW.id OR tombstone_id = NEW.tombstone_id)
BEGIN SELECT RAISE(ABORT, 'items are never deleted'); END;
