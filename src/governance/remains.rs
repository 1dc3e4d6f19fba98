//! What databases and object stores keep of bytes that a purge destroyed, where the program does not reach.
//!
//! A purge prints this, and `docs/governance.md` has the same tables: a test holds the two against each other, and
//! another one runs the statements on real servers and searches their folders for the bytes.

use serde::Serialize;

use crate::archive::ObjectPlaceKind;
use crate::item::Backend;

/// A place that may still have destroyed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Remain {
    /// The place.
    pub place: &'static str,
    /// What ends it, if nobody does anything.
    pub until: &'static str,
    /// What ends it sooner: statements for the database's own client, in this order, or commands for a shell. Where there
    /// are none, it is for whoever runs the place.
    pub statements: &'static [&'static str],
}

const SQLITE: &[Remain] = &[Remain {
    place: "what the file system, snapshots and flash memory keep of a file's earlier states, and copies of the file",
    until: "they are overwritten or deleted",
    statements: &[],
}];

const POSTGRES: &[Remain] = &[
    Remain {
        place: "pages of the table `block`, here and on replicas",
        until: "other rows take their space; `VACUUM` alone leaves the bytes",
        statements: &["VACUUM FULL block", "CHECKPOINT"],
    },
    Remain {
        place: "files of the write-ahead log, those kept for reuse among them, here and on replicas",
        until: "as much was written again; longer where a replication slot lags",
        statements: &[
            "ALTER SYSTEM SET wal_recycle = off",
            "SELECT pg_reload_conf(), pg_sleep(1)",
            "DO $$ BEGIN FOR i IN 1..(SELECT count(*) FROM pg_ls_waldir()) LOOP PERFORM pg_switch_wal(); CHECKPOINT; \
             END LOOP; END $$",
            "ALTER SYSTEM RESET wal_recycle",
            "SELECT pg_reload_conf()",
        ],
    },
    Remain {
        place: "archived write-ahead log, base backups, dumps, and the server's own log where that has statements",
        until: "their retention ends",
        statements: &[],
    },
];

const MARIADB: &[Remain] = &[
    Remain {
        place: "pages of the table `block`, here and on replicas",
        until: "other rows take their space, unless `innodb_immediate_scrub_data_uncompressed` was on",
        statements: &["ALTER TABLE block FORCE"],
    },
    Remain {
        place: "the redo log (`ib_logfile0`), here and on replicas",
        until: "its whole size was written again; before MariaDB 10.9 a restart with another size does what the statements do",
        statements: &[
            "SET GLOBAL innodb_log_file_size = @@GLOBAL.innodb_log_file_size + 4096",
            "SET GLOBAL innodb_log_file_size = @@GLOBAL.innodb_log_file_size - 4096",
        ],
    },
    Remain {
        place: "binary logs, here and on replicas",
        until: "`binlog_expire_logs_seconds` are over",
        statements: &["FLUSH BINARY LOGS", "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY"],
    },
    Remain {
        place: "the doublewrite buffer (in `ibdata1`)",
        until: "128 pages were written again, as rewriting the table does",
        statements: &[],
    },
    Remain {
        place: "relay logs, the write-set cache of a cluster, backups, dumps, and the server's own log where that has \
                statements",
        until: "their retention ends",
        statements: &[],
    },
];

const BUCKET: &[Remain] = &[Remain {
    place: "older versions of the bucket's objects, copies made by replication, what object lock retains",
    until: "a lifecycle rule expires noncurrent versions; at once where the bucket has no versions",
    statements: &[],
}];

const FOLDER: &[Remain] = &[Remain {
    place: "what the folder's file system, snapshots and flash memory keep of deleted files, and copies of them",
    until: "they are overwritten or deleted",
    statements: &[],
}];

/// Returns where bytes may still be that a purge destroyed in an archive on `backend`, with its blocks in `objects` if it
/// has any.
///
/// An archive with objects has its database on the list too: bytes under a hold may have been moved there.
pub fn remains(backend: Backend, objects: Option<&ObjectPlaceKind>) -> Vec<Remain> {
    let objects = match objects {
        None => &[],
        Some(ObjectPlaceKind::Bucket { .. }) => BUCKET,
        Some(ObjectPlaceKind::Folder(_)) => FOLDER,
    };
    let database = match backend {
        Backend::Sqlite => SQLITE,
        Backend::Postgres => POSTGRES,
        Backend::Mariadb => MARIADB,
    };
    [objects, database].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_the_same() {
        let document = include_str!("../../docs/governance.md");
        for list in [SQLITE, POSTGRES, MARIADB, BUCKET, FOLDER] {
            for Remain { place, until, statements } in list {
                let statements: Vec<String> = statements.iter().map(|statement| format!("`{statement}`")).collect();
                let row = format!("| {place} | {until} | {} |", statements.join("; "));
                assert!(document.contains(&row), "{row}");
            }
        }
    }

    #[test]
    fn an_archive_with_objects_lists_both() {
        let folder = ObjectPlaceKind::Folder("objects".into());
        let listed = remains(Backend::Sqlite, Some(&folder));
        assert_eq!(listed, [FOLDER, SQLITE].concat());
        assert_eq!(remains(Backend::Mariadb, None), MARIADB);
    }
}
