-- Governance on MariaDB: holds one by one, and purges. What must hold, and in which order it is done: docs/governance.md.
-- MariaDB commits at every statement that changes the schema, so each one here may be repeated after a stop.

CREATE TABLE IF NOT EXISTS hold (
  id          BIGINT AUTO_INCREMENT PRIMARY KEY,
  item_id     BIGINT NOT NULL,
  op          VARCHAR(36),            -- the operation that set it, which is its id; NULL where somebody did by SQL
  name        MEDIUMTEXT,
  set_by      MEDIUMTEXT,
  reason      MEDIUMTEXT,
  set_at      VARCHAR(32) NOT NULL,
  released_at VARCHAR(32),
  released_by VARCHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin, -- the digest of the event that says so
  CHECK ((released_at IS NULL) = (released_by IS NULL)),
  CHECK (op REGEXP '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
  CHECK (set_at REGEXP '^[0-9]{4}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}[.][0-9]{3}Z$'),
  CHECK (released_at REGEXP '^[0-9]{4}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}[.][0-9]{3}Z$'),
  UNIQUE KEY hold_op (item_id, op),
  UNIQUE KEY hold_release (item_id, released_by),
  CONSTRAINT hold_of_item FOREIGN KEY (item_id) REFERENCES item (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS purged (
  id           BIGINT AUTO_INCREMENT PRIMARY KEY,
  artifact_id  BIGINT NOT NULL,
  op           VARCHAR(36) NOT NULL UNIQUE,
  origin       VARCHAR(64) NOT NULL,  -- the clone that began it
  tombstone_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL, -- of the item that was requested
  request_id   VARCHAR(64) NOT NULL,
  purged_by    MEDIUMTEXT NOT NULL,
  second       MEDIUMTEXT NOT NULL,
  reason       MEDIUMTEXT NOT NULL,
  begun_at     VARCHAR(32) NOT NULL,
  destroyed_at VARCHAR(32),
  KEY purge_artifact (artifact_id),
  CONSTRAINT purge_of_artifact FOREIGN KEY (artifact_id) REFERENCES artifact (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

ALTER TABLE item ADD COLUMN IF NOT EXISTS purged_at VARCHAR(32);

CREATE INDEX IF NOT EXISTS event_action ON event (action, id);

-- Holds. An item's column legal_hold is true exactly while it has an open hold, whoever changes which of the two. One is
-- released by an event of its item that names it and released no other one; or with an operation that was taken back. What the
-- event is stands in its line, which is the one that its digest is of. One that is released already comes only with a copy of
-- another archive. A trigger may not change the table whose change it follows; so each changes the other only where that is
-- still to be done. A trigger sees what its statement saw when it began to look, and may have waited since: so whatever one
-- asks here, it asks with a lock. A session may turn off checks of columns: so one is repeated.

DELIMITER //

CREATE OR REPLACE TRIGGER hold_insert BEFORE INSERT ON hold FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  DECLARE original VARCHAR(36);
  SELECT singleton, superseded_by INTO locked, original FROM archive WHERE singleton = 1 FOR UPDATE;
  IF NEW.op NOT REGEXP '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
    OR NOT COALESCE(NEW.set_at REGEXP '^[0-9]{4}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}[.][0-9]{3}Z$', FALSE) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a hold has an id and a time';
  END IF;
  IF NEW.released_at IS NULL THEN
    IF EXISTS (SELECT 1 FROM item i JOIN artifact a ON a.id = i.artifact_id
      WHERE i.id = NEW.item_id AND i.state <> 'undone' AND a.purged_at IS NOT NULL LOCK IN SHARE MODE) THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is purged';
    END IF;
    IF NEW.op IS NULL
      AND EXISTS (SELECT 1 FROM hold WHERE item_id = NEW.item_id AND op IS NULL AND released_at IS NULL
        LOCK IN SHARE MODE) THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'holds never change';
    END IF;
  ELSEIF original IS NULL THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'holds never change';
  END IF;
END//

CREATE OR REPLACE TRIGGER hold_set AFTER INSERT ON hold FOR EACH ROW
BEGIN
  IF NEW.released_at IS NULL AND EXISTS (SELECT 1 FROM item WHERE id = NEW.item_id AND NOT legal_hold LOCK IN SHARE MODE) THEN
    UPDATE item SET legal_hold = TRUE WHERE id = NEW.item_id;
  END IF;
END//

CREATE OR REPLACE TRIGGER hold_update BEFORE UPDATE ON hold FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  SELECT singleton INTO locked FROM archive WHERE singleton = 1 FOR UPDATE;
  IF NOT (NEW.id <=> OLD.id AND NEW.item_id <=> OLD.item_id AND NEW.op <=> OLD.op AND NEW.name <=> OLD.name
      AND NEW.set_by <=> OLD.set_by AND NEW.reason <=> OLD.reason AND NEW.set_at <=> OLD.set_at
      AND OLD.released_at IS NULL AND NEW.released_at IS NOT NULL)
    OR NOT NEW.released_at REGEXP '^[0-9]{4}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}[.][0-9]{3}Z$'
    OR EXISTS (SELECT 1 FROM hold WHERE item_id = OLD.item_id AND released_by = NEW.released_by LOCK IN SHARE MODE)
    OR NOT EXISTS (SELECT 1 FROM event e JOIN item i ON i.id = OLD.item_id WHERE e.digest = NEW.released_by
      AND e.digest = CONVERT(SHA2(e.line, 256) USING ascii) COLLATE ascii_nopad_bin
      AND (i.state = 'undone' OR (e.action = 'HOLD_RELEASED' AND e.item_id = OLD.item_id
        AND JSON_VALUE(e.line, '$.action') = 'HOLD_RELEASED' AND JSON_VALUE(e.line, '$.status') = 'done'
        AND JSON_VALUE(e.line, '$.tombstone') = CONVERT(i.tombstone_id USING utf8mb4)
        AND IF(OLD.op IS NULL, NOT JSON_EXISTS(e.line, '$.request'), JSON_VALUE(e.line, '$.request') = OLD.op)))
      LOCK IN SHARE MODE) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'holds never change';
  END IF;
END//

CREATE OR REPLACE TRIGGER hold_released AFTER UPDATE ON hold FOR EACH ROW
BEGIN
  IF NOT EXISTS (SELECT 1 FROM hold WHERE item_id = NEW.item_id AND released_at IS NULL LOCK IN SHARE MODE) THEN
    UPDATE item SET legal_hold = FALSE WHERE id = NEW.item_id;
  END IF;
END//

CREATE OR REPLACE TRIGGER hold_delete BEFORE DELETE ON hold FOR EACH ROW
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'holds are never deleted'//

CREATE OR REPLACE TRIGGER item_hold_insert AFTER INSERT ON item FOR EACH ROW
BEGIN
  IF NEW.legal_hold THEN
    INSERT INTO hold (item_id, set_at)
      VALUES (NEW.id, CONCAT(LEFT(DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z'));
  END IF;
END//

CREATE OR REPLACE TRIGGER item_hold_update AFTER UPDATE ON item FOR EACH ROW
BEGIN
  IF NEW.legal_hold AND NOT OLD.legal_hold THEN
    IF NOT EXISTS (SELECT 1 FROM hold WHERE item_id = NEW.id AND released_at IS NULL LOCK IN SHARE MODE) THEN
      INSERT INTO hold (item_id, set_at)
        VALUES (NEW.id, CONCAT(LEFT(DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z'));
    END IF;
  END IF;
END//

CREATE OR REPLACE TRIGGER item_update BEFORE UPDATE ON item FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  IF NOT NEW.legal_hold <=> OLD.legal_hold THEN
    SELECT singleton INTO locked FROM archive WHERE singleton = 1 FOR UPDATE;
  END IF;
  IF NOT (NEW.id <=> OLD.id AND NEW.tombstone_id <=> OLD.tombstone_id AND NEW.artifact_id <=> OLD.artifact_id
    AND NEW.repo <=> OLD.repo AND NEW.path_bytes <=> OLD.path_bytes AND NEW.commit_sha <=> OLD.commit_sha) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'what a tombstone stands for never changes';
  END IF;
  IF OLD.state = 'sealed' AND NOT NEW.state <=> 'sealed' THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a sealed item stays sealed';
  END IF;
  IF OLD.legal_hold AND NOT COALESCE(NEW.legal_hold, FALSE) THEN
    IF EXISTS (SELECT 1 FROM hold WHERE item_id = OLD.id AND released_at IS NULL LOCK IN SHARE MODE) THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the item is under a legal hold';
    END IF;
  END IF;
  IF (NOT NEW.purged_at <=> OLD.purged_at
      AND NOT NEW.purged_at <=> (SELECT purged_at FROM artifact WHERE id = OLD.artifact_id LOCK IN SHARE MODE))
    OR (OLD.state = 'undone' AND NOT NEW.state <=> 'undone' AND NEW.legal_hold
      AND EXISTS (SELECT 1 FROM artifact WHERE id = OLD.artifact_id AND purged_at IS NOT NULL LOCK IN SHARE MODE)) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'an item is purged with its content';
  END IF;
END//

DELIMITER ;

-- What was held before: by each store that asked for it, and otherwise by nobody knows whom. What was undone holds nothing.

UPDATE item SET legal_hold = FALSE
  WHERE legal_hold AND state = 'undone' AND NOT EXISTS (SELECT 1 FROM hold WHERE item_id = item.id);

INSERT INTO hold (item_id, op, set_by, set_at)
  SELECT i.id, e.op, MIN(e.actor), MIN(e.created_at) FROM item i JOIN event e ON e.tombstone_id = i.tombstone_id
  WHERE i.legal_hold AND e.action = 'ARCHIVE' AND LOCATE('"legal_hold":true', e.line) > 0
    AND NOT EXISTS (SELECT 1 FROM hold WHERE item_id = i.id) GROUP BY i.id, e.op;

INSERT INTO hold (item_id, op, set_by, set_at)
  SELECT id, IF(state = 'pending', op, NULL), IF(state = 'pending', archived_by, NULL), archived_at FROM item
  WHERE legal_hold AND NOT EXISTS (SELECT 1 FROM hold WHERE item_id = item.id);

-- Purges. A content is purged by a row here and by nothing else, and comes back only after that purge has ended, whole. A row
-- for one that has ended already comes only with a copy of another archive.
-- Segments. What an item uses is complete, until it is purged; what is being purged gets nothing. A run moves to where the
-- block shows its bytes, or anywhere within a block when it has to leave one with bytes of what is being purged: then only
-- what is held must show its bytes. The guards of deletions are those of before, but that they ask with a lock.

DELIMITER //

CREATE OR REPLACE TRIGGER purge_insert BEFORE INSERT ON purged FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  DECLARE original VARCHAR(36);
  SELECT singleton, superseded_by INTO locked, original FROM archive WHERE singleton = 1 FOR UPDATE;
  IF NEW.destroyed_at IS NULL THEN
    IF EXISTS (SELECT 1 FROM artifact WHERE id = NEW.artifact_id AND purged_at IS NOT NULL LOCK IN SHARE MODE) THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is purged';
    END IF;
    IF EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = NEW.artifact_id LOCK IN SHARE MODE) THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is under a legal hold';
    END IF;
  ELSEIF original IS NULL THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a purge begins before it ends';
  END IF;
END//

CREATE OR REPLACE TRIGGER purge_begun AFTER INSERT ON purged FOR EACH ROW
BEGIN
  IF NEW.destroyed_at IS NULL THEN
    UPDATE artifact SET purged_at = NEW.begun_at WHERE id = NEW.artifact_id;
    UPDATE item SET purged_at = NEW.begun_at
      WHERE artifact_id = NEW.artifact_id AND state <> 'undone' AND purged_at IS NULL;
  END IF;
END//

CREATE OR REPLACE TRIGGER purge_update BEFORE UPDATE ON purged FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  SELECT singleton INTO locked FROM archive WHERE singleton = 1 FOR UPDATE;
  IF NOT (NEW.id <=> OLD.id AND NEW.artifact_id <=> OLD.artifact_id AND NEW.op <=> OLD.op AND NEW.origin <=> OLD.origin
    AND NEW.tombstone_id <=> OLD.tombstone_id AND NEW.request_id <=> OLD.request_id AND NEW.purged_by <=> OLD.purged_by
    AND NEW.second <=> OLD.second AND NEW.reason <=> OLD.reason AND NEW.begun_at <=> OLD.begun_at
    AND OLD.destroyed_at IS NULL AND NEW.destroyed_at IS NOT NULL) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'purges never change';
  END IF;
  IF EXISTS (SELECT 1 FROM segment WHERE artifact_id = OLD.artifact_id LOCK IN SHARE MODE) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content has bytes';
  END IF;
END//

CREATE OR REPLACE TRIGGER purge_delete BEFORE DELETE ON purged FOR EACH ROW
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'purges never change'//

CREATE OR REPLACE TRIGGER artifact_update BEFORE UPDATE ON artifact FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  SELECT singleton INTO locked FROM archive WHERE singleton = 1 FOR UPDATE;
  IF NOT (NEW.id <=> OLD.id AND NEW.content_sha256 <=> OLD.content_sha256 AND NEW.size_bytes <=> OLD.size_bytes
      AND NEW.created_at <=> OLD.created_at)
    OR (NOT NEW.purged_at <=> OLD.purged_at AND IF(OLD.purged_at IS NULL,
      NOT EXISTS (SELECT 1 FROM purged
        WHERE artifact_id = OLD.id AND destroyed_at IS NULL AND begun_at = NEW.purged_at LOCK IN SHARE MODE),
      NEW.purged_at IS NOT NULL
        OR EXISTS (SELECT 1 FROM purged WHERE artifact_id = OLD.id AND destroyed_at IS NULL LOCK IN SHARE MODE)
        OR OLD.size_bytes
          <> (SELECT COALESCE(SUM(length), 0) FROM segment WHERE artifact_id = OLD.id LOCK IN SHARE MODE))) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'artifacts never change';
  END IF;
  IF NEW.purged_at IS NOT NULL
    AND EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.id LOCK IN SHARE MODE) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is under a legal hold';
  END IF;
END//

CREATE OR REPLACE TRIGGER segment_insert BEFORE INSERT ON segment FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  SELECT singleton INTO locked FROM archive WHERE singleton = 1 FOR UPDATE;
  IF EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = NEW.artifact_id LOCK IN SHARE MODE) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'segments never change';
  END IF;
  IF EXISTS (SELECT 1 FROM item WHERE artifact_id = NEW.artifact_id LOCK IN SHARE MODE) THEN
    IF EXISTS (SELECT 1 FROM artifact WHERE id = NEW.artifact_id AND (size_bytes < NEW.length
        + (SELECT COALESCE(SUM(length), 0) FROM segment WHERE artifact_id = NEW.artifact_id LOCK IN SHARE MODE)
      OR (purged_at IS NOT NULL
        AND EXISTS (SELECT 1 FROM purged WHERE artifact_id = NEW.artifact_id AND destroyed_at IS NULL
          LOCK IN SHARE MODE))) LOCK IN SHARE MODE) THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is complete';
    END IF;
  END IF;
END//

CREATE OR REPLACE TRIGGER segment_update BEFORE UPDATE ON segment FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  SELECT singleton INTO locked FROM archive WHERE singleton = 1 FOR UPDATE;
  IF NOT (NEW.artifact_id <=> OLD.artifact_id AND NEW.position <=> OLD.position AND NEW.length <=> OLD.length) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'segments never change';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM block b
    WHERE b.id = NEW.block_id AND NEW.`offset` >= 0 AND NEW.`offset` + OLD.length <= b.raw_size
    LOCK IN SHARE MODE) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a content moves only to where its bytes are seen';
  END IF;
  IF EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.artifact_id LOCK IN SHARE MODE)
    OR NOT EXISTS (SELECT 1 FROM segment s JOIN purged p ON p.artifact_id = s.artifact_id
      WHERE s.block_id = OLD.block_id AND p.destroyed_at IS NULL LOCK IN SHARE MODE) THEN
    IF NOT EXISTS (SELECT 1 FROM block b JOIN artifact a ON a.id = OLD.artifact_id
      WHERE b.id = NEW.block_id AND OLD.position = 0 AND OLD.length = a.size_bytes AND b.codec = 'none'
        AND b.raw_size <= 1048576 AND b.stored_size = b.raw_size AND OCTET_LENGTH(b.bytes) = b.raw_size
        AND b.stored_sha256 = b.raw_sha256
        AND b.raw_sha256 = CONVERT(SHA2(b.bytes, 256) USING ascii) COLLATE ascii_nopad_bin
        AND a.content_sha256 = CONVERT(SHA2(SUBSTRING(b.bytes, NEW.`offset` + 1, OLD.length), 256) USING ascii)
          COLLATE ascii_nopad_bin LOCK IN SHARE MODE) THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a content moves only to where its bytes are seen';
    END IF;
  END IF;
END//

CREATE OR REPLACE TRIGGER segment_delete BEFORE DELETE ON segment FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  SELECT singleton INTO locked FROM archive WHERE singleton = 1 FOR UPDATE;
  IF EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.artifact_id LOCK IN SHARE MODE) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is under a legal hold';
  END IF;
  IF EXISTS (SELECT 1 FROM item i JOIN artifact a ON a.id = i.artifact_id
    WHERE a.id = OLD.artifact_id AND i.state <> 'undone' AND a.purged_at IS NULL LOCK IN SHARE MODE) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is in use';
  END IF;
END//

CREATE OR REPLACE TRIGGER block_delete BEFORE DELETE ON block FOR EACH ROW
BEGIN
  IF EXISTS (SELECT 1 FROM segment WHERE block_id = OLD.id LOCK IN SHARE MODE) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the block is in use';
  END IF;
END//

CREATE OR REPLACE TRIGGER artifact_delete BEFORE DELETE ON artifact FOR EACH ROW
BEGIN
  IF EXISTS (SELECT 1 FROM item WHERE artifact_id = OLD.id LOCK IN SHARE MODE)
    OR EXISTS (SELECT 1 FROM segment WHERE artifact_id = OLD.id LOCK IN SHARE MODE) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is in use';
  END IF;
END//

DELIMITER ;
