-- The archive on MariaDB (10.6 or newer). What the tables mean and what holds at any time: docs/archive.md.
-- Hashes and ids are lower-case hexadecimal text, times are UTC text such as 2025-10-17T13:22:36.123Z. Text compares
-- by its bytes, trailing blanks included (utf8mb4_nopad_bin), whatever the database's collation. MariaDB commits at
-- every statement that changes the schema, so each one here may be repeated after a stop.

CREATE TABLE IF NOT EXISTS migration (
  version    BIGINT PRIMARY KEY,
  name       VARCHAR(64) NOT NULL,
  sha256     VARCHAR(64) NOT NULL,   -- of this file's text with LF line ends
  program    VARCHAR(64) NOT NULL,   -- the first version of git-archive-tomb that knows it
  applied_at VARCHAR(32) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS archive (
  singleton     BIGINT PRIMARY KEY CHECK (singleton = 1),
  id            VARCHAR(36) NOT NULL, -- a random (version 4) UUID
  created_at    VARCHAR(32) NOT NULL,
  driver        VARCHAR(8) NOT NULL DEFAULT 'db' CHECK (driver IN ('db', 'object')), -- where the bytes of blocks are
  superseded_by VARCHAR(36)           -- the id of the archive that this one was migrated to
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

INSERT IGNORE INTO archive (singleton, id, created_at) VALUES (
  1,
  LOWER(CONCAT(HEX(RANDOM_BYTES(4)), '-', HEX(RANDOM_BYTES(2)), '-4', SUBSTR(HEX(RANDOM_BYTES(2)), 2), '-',
    SUBSTR('89ab', 1 + (ASCII(RANDOM_BYTES(1)) & 3), 1), SUBSTR(HEX(RANDOM_BYTES(2)), 2), '-', HEX(RANDOM_BYTES(6)))),
  CONCAT(LEFT(DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z')
);

-- Bytes: a content (artifact) is a list of runs (segment) of the raw bytes of blocks.

CREATE TABLE IF NOT EXISTS artifact (
  id             BIGINT AUTO_INCREMENT PRIMARY KEY,
  content_sha256 VARCHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL UNIQUE
                 CHECK (content_sha256 REGEXP '^[0-9a-f]{64}$'),
  size_bytes     BIGINT NOT NULL CHECK (size_bytes >= 0),
  created_at     VARCHAR(32) NOT NULL,
  purged_at      VARCHAR(32)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS block (
  id            BIGINT AUTO_INCREMENT PRIMARY KEY,
  raw_sha256    VARCHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL UNIQUE
                CHECK (raw_sha256 REGEXP '^[0-9a-f]{64}$'),
  raw_size      BIGINT NOT NULL CHECK (raw_size BETWEEN 1 AND 1048576),
  stored_sha256 VARCHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL
                CHECK (stored_sha256 REGEXP '^[0-9a-f]{64}$'),
  stored_size   BIGINT NOT NULL,
  codec         VARCHAR(8) NOT NULL CHECK (codec IN ('zstd', 'none')),
  bytes         MEDIUMBLOB,           -- NULL: in the object store
  CHECK (stored_size BETWEEN 1 AND raw_size AND (bytes IS NULL OR OCTET_LENGTH(bytes) = stored_size))
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS segment (
  artifact_id BIGINT NOT NULL,
  position    BIGINT NOT NULL CHECK (position >= 0),   -- 0, 1, 2 … in the order of the content
  block_id    BIGINT NOT NULL,
  `offset`    BIGINT NOT NULL CHECK (`offset` >= 0),   -- in the block's raw bytes
  length      BIGINT NOT NULL CHECK (length > 0),
  PRIMARY KEY (artifact_id, position),
  KEY segment_block (block_id),
  CONSTRAINT segment_artifact FOREIGN KEY (artifact_id) REFERENCES artifact (id),
  CONSTRAINT segment_of_block FOREIGN KEY (block_id) REFERENCES block (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- Facts.

CREATE TABLE IF NOT EXISTS item (
  id           BIGINT AUTO_INCREMENT PRIMARY KEY,
  tombstone_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL UNIQUE
               CHECK (LENGTH(tombstone_id) = 36),
  artifact_id  BIGINT NOT NULL,
  repo         TEXT NOT NULL,
  path         TEXT NOT NULL,            -- for people: quoted as git quotes it where it is not UTF-8
  path_bytes   VARBINARY(4096) NOT NULL, -- exactly
  commit_sha   VARCHAR(64) NOT NULL CHECK (LENGTH(commit_sha) IN (40, 64)),
  object_id    VARCHAR(64) NOT NULL CHECK (LENGTH(object_id) IN (40, 64)),
  mode         VARCHAR(6) NOT NULL CHECK (mode IN ('100644', '100755', '120000')),
  kind         VARCHAR(16) NOT NULL,
  language     TEXT,
  mime_type    TEXT,
  reason       VARCHAR(32) NOT NULL,
  metadata     MEDIUMTEXT NOT NULL DEFAULT '{}' CHECK (JSON_VALID(metadata)),
  dirty        BOOLEAN NOT NULL DEFAULT FALSE,
  legal_hold   BOOLEAN NOT NULL DEFAULT FALSE,
  delete_after VARCHAR(10),
  archived_by  TEXT NOT NULL,
  archived_at  VARCHAR(32) NOT NULL,
  restored_at  VARCHAR(32),
  state        VARCHAR(8) NOT NULL CHECK (state IN ('pending', 'sealed', 'undone')),
  op           VARCHAR(36) NOT NULL,     -- the operation that made the row
  origin       VARCHAR(64) NOT NULL,     -- the clone that began it
  KEY item_newest (archived_at),
  KEY item_place (path_bytes(512)),
  KEY item_artifact (artifact_id),
  KEY item_op (op),
  KEY item_pending (state, origin, op),
  CONSTRAINT item_content FOREIGN KEY (artifact_id) REFERENCES artifact (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS tag (
  item_id  BIGINT NOT NULL,
  position BIGINT NOT NULL,
  tag      MEDIUMTEXT NOT NULL,
  PRIMARY KEY (item_id, position),
  CONSTRAINT tag_item FOREIGN KEY (item_id) REFERENCES item (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS referent (
  item_id   BIGINT NOT NULL,
  position  BIGINT NOT NULL,
  ref_type  MEDIUMTEXT NOT NULL,
  ref_value MEDIUMTEXT NOT NULL,
  PRIMARY KEY (item_id, position),
  CONSTRAINT referent_item FOREIGN KEY (item_id) REFERENCES item (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

CREATE TABLE IF NOT EXISTS approval (
  id          BIGINT AUTO_INCREMENT PRIMARY KEY,
  item_id     BIGINT NOT NULL,
  purpose     VARCHAR(8) NOT NULL CHECK (purpose IN ('purge', 'restore')),
  request_id  VARCHAR(64),
  approver    TEXT NOT NULL,
  approved_at VARCHAR(32) NOT NULL,
  consumed_at VARCHAR(32),
  KEY approval_item (item_id),
  CONSTRAINT approval_of_item FOREIGN KEY (item_id) REFERENCES item (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- Events: every record about an item, as the exact line that stands in evidence and log.

CREATE TABLE IF NOT EXISTS event (
  id           BIGINT AUTO_INCREMENT PRIMARY KEY,
  digest       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_nopad_bin NOT NULL UNIQUE
               CHECK (digest REGEXP '^[0-9a-f]{64}$'),
  op           VARCHAR(36) NOT NULL,
  action       VARCHAR(32) NOT NULL,
  actor        MEDIUMTEXT,
  item_id      BIGINT,
  tombstone_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_nopad_bin,
  created_at   VARCHAR(32) NOT NULL,
  line         MEDIUMTEXT NOT NULL,      -- with its newline; its SHA-256 is the digest
  KEY event_tombstone (tombstone_id, id),
  CONSTRAINT event_item FOREIGN KEY (item_id) REFERENCES item (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;

-- What a client without schema privileges may not do, whatever order of statements it tries. `TRUNCATE` fires no
-- trigger, and needs the privilege DROP; a temporary table hides, from triggers too, a table of its name, and needs the
-- privilege CREATE TEMPORARY TABLES. Writers are given neither (docs/deployment.md). Before it is asked what is held,
-- the archive is locked, and before something is held: so one waits for the other. Outside of strict mode a null stands
-- for false, but comes to be that only after the trigger. What an item uses is complete, or purged: asked in this order,
-- so that adding a content costs no sum. Comments stay outside of the bodies: the client strips them.

CREATE OR REPLACE VIEW held_artifact AS SELECT artifact_id FROM item WHERE legal_hold AND state <> 'undone';

DELIMITER //

CREATE OR REPLACE TRIGGER event_update BEFORE UPDATE ON event FOR EACH ROW
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'events are append-only'//

CREATE OR REPLACE TRIGGER event_delete BEFORE DELETE ON event FOR EACH ROW
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'events are append-only'//

CREATE OR REPLACE TRIGGER block_update BEFORE UPDATE ON block FOR EACH ROW
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'blocks never change'//

CREATE OR REPLACE TRIGGER block_delete BEFORE DELETE ON block FOR EACH ROW
BEGIN
  IF EXISTS (SELECT 1 FROM segment WHERE block_id = OLD.id) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the block is in use';
  END IF;
END//

CREATE OR REPLACE TRIGGER segment_insert BEFORE INSERT ON segment FOR EACH ROW
BEGIN
  IF EXISTS (SELECT 1 FROM item WHERE artifact_id = NEW.artifact_id AND legal_hold AND state <> 'undone') THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'segments never change';
  END IF;
  IF EXISTS (SELECT 1 FROM item WHERE artifact_id = NEW.artifact_id) THEN
    IF EXISTS (SELECT 1 FROM artifact WHERE id = NEW.artifact_id AND (purged_at IS NOT NULL OR size_bytes < NEW.length
      + (SELECT COALESCE(SUM(length), 0) FROM segment WHERE artifact_id = NEW.artifact_id))) THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is complete';
    END IF;
  END IF;
END//

CREATE OR REPLACE TRIGGER segment_update BEFORE UPDATE ON segment FOR EACH ROW
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'segments never change'//

CREATE OR REPLACE TRIGGER segment_delete BEFORE DELETE ON segment FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  SELECT singleton INTO locked FROM archive WHERE singleton = 1 FOR UPDATE;
  IF EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.artifact_id) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is under a legal hold';
  END IF;
END//

CREATE OR REPLACE TRIGGER artifact_update BEFORE UPDATE ON artifact FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  SELECT singleton INTO locked FROM archive WHERE singleton = 1 FOR UPDATE;
  IF NOT (NEW.id <=> OLD.id AND NEW.content_sha256 <=> OLD.content_sha256 AND NEW.size_bytes <=> OLD.size_bytes
    AND NEW.created_at <=> OLD.created_at AND OLD.purged_at IS NULL) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'artifacts never change';
  END IF;
  IF NEW.purged_at IS NOT NULL AND EXISTS (SELECT 1 FROM held_artifact WHERE artifact_id = OLD.id) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is under a legal hold';
  END IF;
END//

CREATE OR REPLACE TRIGGER artifact_delete BEFORE DELETE ON artifact FOR EACH ROW
BEGIN
  IF EXISTS (SELECT 1 FROM item WHERE artifact_id = OLD.id) OR EXISTS (SELECT 1 FROM segment WHERE artifact_id = OLD.id)
  THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the content is in use';
  END IF;
END//

CREATE OR REPLACE TRIGGER item_update BEFORE UPDATE ON item FOR EACH ROW
BEGIN
  DECLARE locked BIGINT;
  IF NEW.legal_hold AND NOT OLD.legal_hold THEN
    SELECT singleton INTO locked FROM archive WHERE singleton = 1 FOR UPDATE;
  END IF;
  IF NOT (NEW.id <=> OLD.id AND NEW.tombstone_id <=> OLD.tombstone_id AND NEW.artifact_id <=> OLD.artifact_id
    AND NEW.repo <=> OLD.repo AND NEW.path_bytes <=> OLD.path_bytes AND NEW.commit_sha <=> OLD.commit_sha) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'what a tombstone stands for never changes';
  END IF;
  IF OLD.state = 'sealed' AND NOT NEW.state <=> 'sealed' THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a sealed item stays sealed';
  END IF;
  IF OLD.legal_hold AND OLD.state <> 'undone' AND NOT COALESCE(NEW.legal_hold, FALSE) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the item is under a legal hold';
  END IF;
END//

CREATE OR REPLACE TRIGGER item_delete BEFORE DELETE ON item FOR EACH ROW
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'items are never deleted'//

DELIMITER ;
