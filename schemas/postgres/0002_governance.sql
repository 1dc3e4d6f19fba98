-- Governance on PostgreSQL: holds one by one, and purges. What must hold, and in which order it is done: docs/governance.md.
-- Runs in one transaction, in the first schema of the search path.

CREATE TABLE hold (
  id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  item_id     BIGINT NOT NULL REFERENCES item (id),
  op          TEXT COLLATE "C",      -- the operation that set it, which is its id; NULL where somebody did by SQL
  name        TEXT,
  set_by      TEXT,
  reason      TEXT,
  set_at      TEXT COLLATE "C" NOT NULL,
  released_at TEXT COLLATE "C",
  released_by TEXT COLLATE "C",      -- the digest of the event that says so
  CHECK ((released_at IS NULL) = (released_by IS NULL)),
  CHECK (op ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
  CHECK (set_at ~ '^[0-9]{4}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}[.][0-9]{3}Z$'),
  CHECK (released_at ~ '^[0-9]{4}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}[.][0-9]{3}Z$')
);

CREATE UNIQUE INDEX hold_op ON hold (item_id, op);
CREATE UNIQUE INDEX hold_release ON hold (item_id, released_by);
CREATE UNIQUE INDEX hold_by_nobody ON hold (item_id) WHERE op IS NULL AND released_at IS NULL;

CREATE TABLE purged (
  id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  artifact_id  BIGINT NOT NULL REFERENCES artifact (id),
  op           TEXT COLLATE "C" NOT NULL UNIQUE,
  origin       TEXT COLLATE "C" NOT NULL,        -- the clone that began it
  tombstone_id TEXT COLLATE "C" NOT NULL,        -- of the item that was requested
  request_id   TEXT COLLATE "C" NOT NULL,
  purged_by    TEXT NOT NULL,
  second       TEXT NOT NULL,
  reason       TEXT NOT NULL,
  begun_at     TEXT COLLATE "C" NOT NULL,
  destroyed_at TEXT COLLATE "C"
);

CREATE INDEX purge_artifact ON purged (artifact_id);

ALTER TABLE item ADD COLUMN purged_at TEXT COLLATE "C";

CREATE INDEX event_governance ON event (id) WHERE action IN ('RESTORE_APPROVED', 'PRUNE_REQUEST', 'REQUEST_WITHDRAWN',
  'DELETE_APPROVED', 'PURGE', 'HOLD_SET', 'HOLD_RELEASED');

-- What was held before: by each store that asked for it, and otherwise by nobody knows whom. What was undone holds nothing.

UPDATE item SET legal_hold = FALSE WHERE legal_hold AND state = 'undone';

INSERT INTO hold (item_id, op, set_by, set_at)
  SELECT i.id, e.op, min(e.actor), min(e.created_at) FROM item i JOIN event e ON e.tombstone_id = i.tombstone_id
  WHERE i.legal_hold AND e.action = 'ARCHIVE' AND strpos(e.line, '"legal_hold":true') > 0 GROUP BY i.id, e.op;

INSERT INTO hold (item_id, op, set_by, set_at)
  SELECT id, CASE state WHEN 'pending' THEN op END, CASE state WHEN 'pending' THEN archived_by END, archived_at FROM item
  WHERE legal_hold AND NOT EXISTS (SELECT 1 FROM hold WHERE item_id = item.id);

-- The functions look names up in this schema only, as those before.

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Holds. An item's column legal_hold is true exactly while it has an open hold, whoever changes which of the two. One is
-- released by an event of its item that names it and released no other one; or with an operation that was taken back. What the
-- event is stands in its line, which is the one that its digest is of. One that is released already comes only with a copy of
-- another archive.

CREATE FUNCTION archive_guard_hold() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.released_at IS NULL THEN
      PERFORM archive_see_newest();
      IF EXISTS (SELECT 1 FROM item i JOIN artifact a ON a.id = i.artifact_id
        WHERE i.id = NEW.item_id AND i.state <> 'undone' AND a.purged_at IS NOT NULL) THEN
        RAISE EXCEPTION USING MESSAGE = 'the content is purged', ERRCODE = 'restrict_violation';
      END IF;
    ELSIF NOT EXISTS (SELECT 1 FROM archive WHERE superseded_by IS NOT NULL) THEN
      RAISE EXCEPTION USING MESSAGE = 'holds never change', ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
  END IF;
  PERFORM archive_see_newest();
  IF NEW.id IS DISTINCT FROM OLD.id OR NEW.item_id IS DISTINCT FROM OLD.item_id OR NEW.op IS DISTINCT FROM OLD.op
    OR NEW.name IS DISTINCT FROM OLD.name OR NEW.set_by IS DISTINCT FROM OLD.set_by
    OR NEW.reason IS DISTINCT FROM OLD.reason OR NEW.set_at IS DISTINCT FROM OLD.set_at
    OR OLD.released_at IS NOT NULL OR NEW.released_at IS NULL
    OR EXISTS (SELECT 1 FROM hold WHERE item_id = OLD.item_id AND released_by = NEW.released_by)
    OR NOT EXISTS (SELECT 1 FROM event e JOIN item i ON i.id = OLD.item_id WHERE e.digest = NEW.released_by
      AND CASE WHEN e.digest <> encode(sha256(convert_to(e.line, 'UTF8')), 'hex') THEN FALSE
            ELSE i.state = 'undone' OR (e.action = 'HOLD_RELEASED' AND e.item_id = OLD.item_id
              AND e.line::json ->> 'action' = 'HOLD_RELEASED' AND e.line::json ->> 'status' = 'done'
              AND e.line::json ->> 'tombstone' = i.tombstone_id
              AND e.line::json ->> 'request' IS NOT DISTINCT FROM OLD.op) END) THEN
    RAISE EXCEPTION USING MESSAGE = 'holds never change', ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION archive_follow_hold() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    UPDATE item SET legal_hold = TRUE WHERE id = NEW.item_id AND NOT legal_hold;
  ELSE
    UPDATE item SET legal_hold = FALSE WHERE id = NEW.item_id AND legal_hold
      AND NOT EXISTS (SELECT 1 FROM hold WHERE item_id = NEW.item_id AND released_at IS NULL);
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION archive_hold_item() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM hold WHERE item_id = NEW.id AND released_at IS NULL) THEN
    INSERT INTO hold (item_id, set_at)
      VALUES (NEW.id, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'));
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER hold_change BEFORE INSERT OR UPDATE ON hold FOR EACH ROW EXECUTE FUNCTION archive_guard_hold();
CREATE TRIGGER hold_set AFTER INSERT ON hold FOR EACH ROW WHEN (NEW.released_at IS NULL)
  EXECUTE FUNCTION archive_follow_hold();
CREATE TRIGGER hold_released AFTER UPDATE ON hold FOR EACH ROW EXECUTE FUNCTION archive_follow_hold();
CREATE TRIGGER hold_delete BEFORE DELETE ON hold FOR EACH ROW EXECUTE FUNCTION archive_refuse('holds are never deleted');
CREATE TRIGGER hold_truncate BEFORE TRUNCATE ON hold
  FOR EACH STATEMENT EXECUTE FUNCTION archive_refuse('holds are never deleted');
CREATE TRIGGER item_hold AFTER INSERT OR UPDATE ON item FOR EACH ROW WHEN (NEW.legal_hold)
  EXECUTE FUNCTION archive_hold_item();

CREATE OR REPLACE FUNCTION archive_guard_item() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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
  IF OLD.legal_hold AND NEW.legal_hold IS NOT TRUE THEN
    PERFORM archive_see_newest();
    IF EXISTS (SELECT 1 FROM hold WHERE item_id = OLD.id AND released_at IS NULL) THEN
      RAISE EXCEPTION USING MESSAGE = 'the item is under a legal hold', ERRCODE = 'restrict_violation';
    END IF;
  END IF;
  IF (NEW.purged_at IS DISTINCT FROM OLD.purged_at
      AND NEW.purged_at IS DISTINCT FROM (SELECT purged_at FROM artifact WHERE id = OLD.artifact_id))
    OR (OLD.state = 'undone' AND NEW.state <> 'undone' AND NEW.legal_hold
      AND EXISTS (SELECT 1 FROM artifact WHERE id = OLD.artifact_id AND purged_at IS NOT NULL)) THEN
    RAISE EXCEPTION USING MESSAGE = 'an item is purged with its content', ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

-- Purges. A content is purged by a row here and by nothing else, and comes back only after that purge has ended, whole. A row
-- for one that has ended already comes only with a copy of another archive.

CREATE FUNCTION archive_guard_purge() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM archive_see_newest();
  IF TG_OP = 'INSERT' THEN
    IF NEW.destroyed_at IS NULL THEN
      IF EXISTS (SELECT 1 FROM artifact WHERE id = NEW.artifact_id AND purged_at IS NOT NULL) THEN
        RAISE EXCEPTION USING MESSAGE = 'the content is purged', ERRCODE = 'restrict_violation';
      END IF;
      IF EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = NEW.artifact_id) THEN
        RAISE EXCEPTION USING MESSAGE = 'the content is under a legal hold', ERRCODE = 'restrict_violation';
      END IF;
    ELSIF NOT EXISTS (SELECT 1 FROM archive WHERE superseded_by IS NOT NULL) THEN
      RAISE EXCEPTION USING MESSAGE = 'a purge begins before it ends', ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
  END IF;
  IF NEW.id IS DISTINCT FROM OLD.id OR NEW.artifact_id IS DISTINCT FROM OLD.artifact_id OR NEW.op IS DISTINCT FROM OLD.op
    OR NEW.origin IS DISTINCT FROM OLD.origin OR NEW.tombstone_id IS DISTINCT FROM OLD.tombstone_id
    OR NEW.request_id IS DISTINCT FROM OLD.request_id OR NEW.purged_by IS DISTINCT FROM OLD.purged_by
    OR NEW.second IS DISTINCT FROM OLD.second OR NEW.reason IS DISTINCT FROM OLD.reason
    OR NEW.begun_at IS DISTINCT FROM OLD.begun_at OR OLD.destroyed_at IS NOT NULL OR NEW.destroyed_at IS NULL THEN
    RAISE EXCEPTION USING MESSAGE = 'purges never change', ERRCODE = 'restrict_violation';
  END IF;
  IF EXISTS (SELECT 1 FROM segment WHERE artifact_id = OLD.artifact_id) THEN
    RAISE EXCEPTION USING MESSAGE = 'the content has bytes', ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION archive_follow_purge() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE artifact SET purged_at = NEW.begun_at WHERE id = NEW.artifact_id;
  UPDATE item SET purged_at = NEW.begun_at
    WHERE artifact_id = NEW.artifact_id AND state <> 'undone' AND purged_at IS NULL;
  RETURN NULL;
END $$;

CREATE TRIGGER purge_change BEFORE INSERT OR UPDATE ON purged FOR EACH ROW EXECUTE FUNCTION archive_guard_purge();
CREATE TRIGGER purge_begun AFTER INSERT ON purged FOR EACH ROW WHEN (NEW.destroyed_at IS NULL)
  EXECUTE FUNCTION archive_follow_purge();
CREATE TRIGGER purge_delete BEFORE DELETE ON purged FOR EACH ROW EXECUTE FUNCTION archive_refuse('purges never change');
CREATE TRIGGER purge_truncate BEFORE TRUNCATE ON purged
  FOR EACH STATEMENT EXECUTE FUNCTION archive_refuse('purges never change');

CREATE OR REPLACE FUNCTION archive_guard_artifact() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF EXISTS (SELECT 1 FROM item WHERE artifact_id = OLD.id) OR EXISTS (SELECT 1 FROM segment WHERE artifact_id = OLD.id)
    THEN
      RAISE EXCEPTION USING MESSAGE = 'the content is in use', ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
  END IF;
  PERFORM archive_see_newest();
  IF NEW.id IS DISTINCT FROM OLD.id OR NEW.content_sha256 IS DISTINCT FROM OLD.content_sha256
    OR NEW.size_bytes IS DISTINCT FROM OLD.size_bytes OR NEW.created_at IS DISTINCT FROM OLD.created_at
    OR (NEW.purged_at IS DISTINCT FROM OLD.purged_at
      AND CASE WHEN OLD.purged_at IS NULL THEN NOT EXISTS (SELECT 1 FROM purged
            WHERE artifact_id = OLD.id AND destroyed_at IS NULL AND begun_at = NEW.purged_at)
          ELSE NEW.purged_at IS NOT NULL
            OR EXISTS (SELECT 1 FROM purged WHERE artifact_id = OLD.id AND destroyed_at IS NULL)
            OR OLD.size_bytes <> (SELECT COALESCE(SUM(length), 0) FROM segment WHERE artifact_id = OLD.id) END) THEN
    RAISE EXCEPTION USING MESSAGE = 'artifacts never change', ERRCODE = 'restrict_violation';
  END IF;
  IF NEW.purged_at IS NOT NULL AND EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.id) THEN
    RAISE EXCEPTION USING MESSAGE = 'the content is under a legal hold', ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$;

-- Segments. What an item uses is complete, until it is purged; what is being purged gets nothing. A run moves to where the
-- block shows its bytes, or anywhere within a block when it has to leave one with bytes of what is being purged: then only
-- what is held must show its bytes.

CREATE OR REPLACE FUNCTION archive_guard_segment() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  PERFORM archive_see_newest();
  IF TG_OP = 'DELETE' THEN
    IF EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.artifact_id) THEN
      RAISE EXCEPTION USING MESSAGE = 'the content is under a legal hold', ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (SELECT 1 FROM item i JOIN artifact a ON a.id = i.artifact_id
      WHERE a.id = OLD.artifact_id AND i.state <> 'undone' AND a.purged_at IS NULL) THEN
      RAISE EXCEPTION USING MESSAGE = 'the content is in use', ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    IF NEW.artifact_id IS DISTINCT FROM OLD.artifact_id OR NEW.position IS DISTINCT FROM OLD.position
      OR NEW.length IS DISTINCT FROM OLD.length THEN
      RAISE EXCEPTION USING MESSAGE = 'segments never change', ERRCODE = 'restrict_violation';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM block b JOIN artifact a ON a.id = OLD.artifact_id
      WHERE b.id = NEW.block_id AND NEW."offset" >= 0 AND NEW."offset" + OLD.length <= b.raw_size
        AND CASE WHEN EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = a.id)
            OR NOT EXISTS (SELECT 1 FROM segment s JOIN purged p ON p.artifact_id = s.artifact_id
              WHERE s.block_id = OLD.block_id AND p.destroyed_at IS NULL)
          THEN OLD.position = 0 AND OLD.length = a.size_bytes AND b.codec = 'none' AND b.raw_size <= 1048576
            AND b.stored_size = b.raw_size AND octet_length(b.bytes) = b.raw_size
            AND b.stored_sha256 = b.raw_sha256 AND b.raw_sha256 = encode(sha256(b.bytes), 'hex')
            AND a.content_sha256
              = encode(sha256(substring(b.bytes FROM NEW."offset"::integer + 1 FOR OLD.length::integer)), 'hex')
          ELSE TRUE END) THEN
      RAISE EXCEPTION USING MESSAGE = 'a content moves only to where its bytes are seen',
        ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
  END IF;
  IF EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = NEW.artifact_id) THEN
    RAISE EXCEPTION USING MESSAGE = 'segments never change', ERRCODE = 'restrict_violation';
  END IF;
  IF EXISTS (SELECT 1 FROM item WHERE artifact_id = NEW.artifact_id) THEN
    IF EXISTS (SELECT 1 FROM artifact WHERE id = NEW.artifact_id AND (size_bytes < NEW.length
        + (SELECT COALESCE(SUM(length), 0) FROM segment WHERE artifact_id = NEW.artifact_id)
      OR (purged_at IS NOT NULL
        AND EXISTS (SELECT 1 FROM purged WHERE artifact_id = NEW.artifact_id AND destroyed_at IS NULL)))) THEN
      RAISE EXCEPTION USING MESSAGE = 'the content is complete', ERRCODE = 'restrict_violation';
    END IF;
  END IF;
  RETURN NEW;
END $$;

DROP TRIGGER segment_update ON segment;
DROP TRIGGER segment_change ON segment;
CREATE TRIGGER segment_change BEFORE INSERT OR UPDATE OR DELETE ON segment
  FOR EACH ROW EXECUTE FUNCTION archive_guard_segment();
