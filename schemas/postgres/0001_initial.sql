-- The archive on PostgreSQL (13 or newer). What the tables mean and what holds at any time: docs/archive.md.
-- Hashes and ids are lower-case hexadecimal text, times are UTC text such as 2025-10-17T13:22:36.123Z. Text compares
-- by its bytes (COLLATE "C"), whatever the database's collation. Runs in one transaction, in the first schema of the
-- search path.

CREATE TABLE migration (
  version    BIGINT PRIMARY KEY,
  name       TEXT NOT NULL,
  sha256     TEXT NOT NULL,          -- of this file's text with LF line ends
  program    TEXT NOT NULL,          -- the first version of git-archive-tomb that knows it
  applied_at TEXT NOT NULL
);

CREATE TABLE archive (
  singleton     BIGINT PRIMARY KEY CHECK (singleton = 1),
  id            TEXT NOT NULL,       -- a random (version 4) UUID
  created_at    TEXT NOT NULL,
  driver        TEXT NOT NULL DEFAULT 'db' CHECK (driver IN ('db', 'object')), -- where the bytes of blocks are
  superseded_by TEXT                 -- the id of the archive that this one was migrated to
);

INSERT INTO archive (singleton, id, created_at) VALUES (
  1, gen_random_uuid()::text, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
);

-- Bytes: a content (artifact) is a list of runs (segment) of the raw bytes of blocks.

CREATE TABLE artifact (
  id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  content_sha256 TEXT COLLATE "C" NOT NULL UNIQUE CHECK (content_sha256 ~ '^[0-9a-f]{64}$'),
  size_bytes     BIGINT NOT NULL CHECK (size_bytes >= 0),
  created_at     TEXT COLLATE "C" NOT NULL,
  purged_at      TEXT COLLATE "C"
);

CREATE TABLE block (
  id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  raw_sha256    TEXT COLLATE "C" NOT NULL UNIQUE CHECK (raw_sha256 ~ '^[0-9a-f]{64}$'),
  raw_size      BIGINT NOT NULL CHECK (raw_size BETWEEN 1 AND 1048576),
  stored_sha256 TEXT COLLATE "C" NOT NULL CHECK (stored_sha256 ~ '^[0-9a-f]{64}$'),
  stored_size   BIGINT NOT NULL CHECK (stored_size BETWEEN 1 AND raw_size),
  codec         TEXT NOT NULL CHECK (codec IN ('zstd', 'none')),
  bytes         BYTEA CHECK (bytes IS NULL OR octet_length(bytes) = stored_size) -- NULL: in the object store
);

-- The bytes do not compress any further: keep them out of line and leave them alone.
ALTER TABLE block ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE segment (
  artifact_id BIGINT NOT NULL REFERENCES artifact (id),
  position    BIGINT NOT NULL CHECK (position >= 0),   -- 0, 1, 2 … in the order of the content
  block_id    BIGINT NOT NULL REFERENCES block (id),
  "offset"    BIGINT NOT NULL CHECK ("offset" >= 0),   -- in the block's raw bytes
  length      BIGINT NOT NULL CHECK (length > 0),
  PRIMARY KEY (artifact_id, position)
);

CREATE INDEX segment_block ON segment (block_id);

-- Facts.

CREATE TABLE item (
  id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tombstone_id TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(tombstone_id) = 36),
  artifact_id  BIGINT NOT NULL REFERENCES artifact (id),
  repo         TEXT COLLATE "C" NOT NULL,
  path         TEXT COLLATE "C" NOT NULL,   -- for people: quoted as git quotes it where it is not UTF-8
  path_bytes   BYTEA NOT NULL,              -- exactly
  commit_sha   TEXT COLLATE "C" NOT NULL CHECK (length(commit_sha) IN (40, 64)),
  object_id    TEXT COLLATE "C" NOT NULL CHECK (length(object_id) IN (40, 64)),
  mode         TEXT NOT NULL CHECK (mode IN ('100644', '100755', '120000')),
  kind         TEXT NOT NULL,
  language     TEXT,
  mime_type    TEXT,
  reason       TEXT COLLATE "C" NOT NULL,
  metadata     TEXT NOT NULL DEFAULT '{}' CHECK (json_typeof(metadata::json) = 'object'),
  dirty        BOOLEAN NOT NULL DEFAULT FALSE,
  legal_hold   BOOLEAN NOT NULL DEFAULT FALSE,
  delete_after TEXT,
  archived_by  TEXT COLLATE "C" NOT NULL,
  archived_at  TEXT COLLATE "C" NOT NULL,
  restored_at  TEXT COLLATE "C",
  state        TEXT NOT NULL CHECK (state IN ('pending', 'sealed', 'undone')),
  op           TEXT COLLATE "C" NOT NULL,   -- the operation that made the row
  origin       TEXT COLLATE "C" NOT NULL    -- the clone that began it
);

CREATE INDEX item_newest ON item (archived_at DESC);
-- A path may be longer than what a B-tree takes.
CREATE INDEX item_place ON item USING hash (path_bytes);
CREATE INDEX item_artifact ON item (artifact_id);
CREATE INDEX item_op ON item (op);
CREATE INDEX item_pending ON item (origin, op) WHERE state = 'pending';

CREATE TABLE tag (
  item_id  BIGINT NOT NULL REFERENCES item (id),
  position BIGINT NOT NULL,
  tag      TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (item_id, position)
);

CREATE TABLE referent (
  item_id   BIGINT NOT NULL REFERENCES item (id),
  position  BIGINT NOT NULL,
  ref_type  TEXT NOT NULL,
  ref_value TEXT NOT NULL,
  PRIMARY KEY (item_id, position)
);

CREATE TABLE approval (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  item_id     BIGINT NOT NULL REFERENCES item (id),
  purpose     TEXT NOT NULL CHECK (purpose IN ('purge', 'restore')),
  request_id  TEXT,
  approver    TEXT NOT NULL,
  approved_at TEXT NOT NULL,
  consumed_at TEXT
);

CREATE INDEX approval_item ON approval (item_id);

-- Events: every record about an item, as the exact line that stands in evidence and log.

CREATE TABLE event (
  id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  digest       TEXT COLLATE "C" NOT NULL UNIQUE CHECK (digest ~ '^[0-9a-f]{64}$'),
  op           TEXT NOT NULL,
  action       TEXT NOT NULL,
  actor        TEXT,
  item_id      BIGINT REFERENCES item (id),
  tombstone_id TEXT COLLATE "C",
  created_at   TEXT COLLATE "C" NOT NULL,
  line         TEXT NOT NULL             -- with its newline; its SHA-256 is the digest
);

CREATE INDEX event_tombstone ON event (tombstone_id, id);

-- What a client without schema privileges may not do, whatever order of statements it tries. The functions look names
-- up in this schema only: a temporary table of the same name would otherwise hide a table, and an operator in another
-- schema of the client's search path the one that compares.

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

CREATE VIEW held_artifact AS SELECT artifact_id FROM item WHERE legal_hold AND state <> 'undone';

CREATE FUNCTION archive_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'restrict_violation';
END $$;

-- Called before it is asked what is held. A transaction that looks at the archive as of its beginning would not see a
-- hold that was set since; and a hold that another transaction is setting is waited for.
CREATE FUNCTION archive_see_newest() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION USING MESSAGE = 'contents change in READ COMMITTED transactions only', ERRCODE = 'restrict_violation';
  END IF;
  PERFORM 1 FROM archive FOR UPDATE;
END $$;

CREATE FUNCTION archive_guard_block() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM segment WHERE block_id = OLD.id) THEN
    RAISE EXCEPTION USING MESSAGE = 'the block is in use', ERRCODE = 'restrict_violation';
  END IF;
  RETURN OLD;
END $$;

CREATE FUNCTION archive_guard_segment() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM archive_see_newest();
  IF TG_OP = 'DELETE' THEN
    IF EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.artifact_id) THEN
      RAISE EXCEPTION USING MESSAGE = 'the content is under a legal hold', ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
  END IF;
  IF EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = NEW.artifact_id) THEN
    RAISE EXCEPTION USING MESSAGE = 'segments never change', ERRCODE = 'restrict_violation';
  END IF;
  -- What an item uses is complete, or purged. Asked in this order, so that adding a content costs no sum.
  IF EXISTS (SELECT 1 FROM item WHERE artifact_id = NEW.artifact_id) THEN
    IF EXISTS (SELECT 1 FROM artifact WHERE id = NEW.artifact_id AND (purged_at IS NOT NULL OR size_bytes < NEW.length
      + (SELECT COALESCE(SUM(length), 0) FROM segment WHERE artifact_id = NEW.artifact_id))) THEN
      RAISE EXCEPTION USING MESSAGE = 'the content is complete', ERRCODE = 'restrict_violation';
    END IF;
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION archive_guard_artifact() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF EXISTS (SELECT 1 FROM item WHERE artifact_id = OLD.id) OR EXISTS (SELECT 1 FROM segment WHERE artifact_id = OLD.id)
    THEN
      RAISE EXCEPTION USING MESSAGE = 'the content is in use', ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
  END IF;
  IF NEW.id IS DISTINCT FROM OLD.id OR NEW.content_sha256 IS DISTINCT FROM OLD.content_sha256
    OR NEW.size_bytes IS DISTINCT FROM OLD.size_bytes OR NEW.created_at IS DISTINCT FROM OLD.created_at
    OR OLD.purged_at IS NOT NULL THEN
    RAISE EXCEPTION USING MESSAGE = 'artifacts never change', ERRCODE = 'restrict_violation';
  END IF;
  PERFORM archive_see_newest();
  IF NEW.purged_at IS NOT NULL AND EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.id) THEN
    RAISE EXCEPTION USING MESSAGE = 'the content is under a legal hold', ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION archive_guard_item() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF NEW.legal_hold AND NOT OLD.legal_hold THEN
    PERFORM 1 FROM archive FOR UPDATE;  -- after whoever is deleting contents
  END IF;
  IF NEW.id IS DISTINCT FROM OLD.id OR NEW.tombstone_id IS DISTINCT FROM OLD.tombstone_id
    OR NEW.artifact_id IS DISTINCT FROM OLD.artifact_id OR NEW.repo IS DISTINCT FROM OLD.repo
    OR NEW.path_bytes IS DISTINCT FROM OLD.path_bytes OR NEW.commit_sha IS DISTINCT FROM OLD.commit_sha THEN
    RAISE EXCEPTION USING MESSAGE = 'what a tombstone stands for never changes', ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.state = 'sealed' AND NEW.state IS DISTINCT FROM 'sealed' THEN
    RAISE EXCEPTION USING MESSAGE = 'a sealed item stays sealed', ERRCODE = 'restrict_violation';
  END IF;
  IF OLD.legal_hold AND OLD.state <> 'undone' AND NEW.legal_hold IS NOT TRUE THEN
    RAISE EXCEPTION USING MESSAGE = 'the item is under a legal hold', ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER event_change BEFORE UPDATE OR DELETE ON event
  FOR EACH ROW EXECUTE FUNCTION archive_refuse('events are append-only');
CREATE TRIGGER event_truncate BEFORE TRUNCATE ON event
  FOR EACH STATEMENT EXECUTE FUNCTION archive_refuse('events are append-only');

CREATE TRIGGER block_update BEFORE UPDATE ON block
  FOR EACH ROW EXECUTE FUNCTION archive_refuse('blocks never change');
CREATE TRIGGER block_delete BEFORE DELETE ON block FOR EACH ROW EXECUTE FUNCTION archive_guard_block();
CREATE TRIGGER block_truncate BEFORE TRUNCATE ON block
  FOR EACH STATEMENT EXECUTE FUNCTION archive_refuse('blocks are not truncated');

CREATE TRIGGER segment_update BEFORE UPDATE ON segment
  FOR EACH ROW EXECUTE FUNCTION archive_refuse('segments never change');
CREATE TRIGGER segment_change BEFORE INSERT OR DELETE ON segment FOR EACH ROW EXECUTE FUNCTION archive_guard_segment();
CREATE TRIGGER segment_truncate BEFORE TRUNCATE ON segment
  FOR EACH STATEMENT EXECUTE FUNCTION archive_refuse('segments are not truncated');

CREATE TRIGGER artifact_change BEFORE UPDATE OR DELETE ON artifact
  FOR EACH ROW EXECUTE FUNCTION archive_guard_artifact();
CREATE TRIGGER artifact_truncate BEFORE TRUNCATE ON artifact
  FOR EACH STATEMENT EXECUTE FUNCTION archive_refuse('artifacts are not truncated');

CREATE TRIGGER item_update BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION archive_guard_item();
CREATE TRIGGER item_delete BEFORE DELETE ON item
  FOR EACH ROW EXECUTE FUNCTION archive_refuse('items are never deleted');
CREATE TRIGGER item_truncate BEFORE TRUNCATE ON item
  FOR EACH STATEMENT EXECUTE FUNCTION archive_refuse('items are never deleted');
