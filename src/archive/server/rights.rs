//! Whether an account may do what is about to be done.

use super::connection::Connection;
use super::failed;
use crate::archive::{ArchiveError, Change};

/// Makes `change` to no rows at all: the server refuses what it would refuse, in one round trip and without a lock.
///
/// The rights are those that `docs/deployment.md` grants: the tables that the role inserts into, and what else it does.
pub(super) fn check(connection: &mut dyn Connection, change: Change) -> Result<(), ArchiveError> {
    let (inserts, others): (&[&str], &[&str]) = match change {
        Change::Store => (
            &["event", "artifact", "block", "segment", "item", "tag", "referent", "hold"],
            &[
                "UPDATE item SET state = state",
                "UPDATE hold SET released_at = released_at, released_by = released_by",
                "DELETE FROM tag",
                "DELETE FROM referent",
            ],
        ),
        Change::Restore => (&["event"], &["UPDATE item SET restored_at = restored_at"]),
        Change::Govern => (
            &["event", "hold", "approval"],
            &[
                "UPDATE item SET legal_hold = legal_hold",
                "UPDATE hold SET released_at = released_at, released_by = released_by",
            ],
        ),
        Change::Purge => (
            &["event", "block", "purged", "approval"],
            &[
                "UPDATE item SET purged_at = purged_at",
                "UPDATE artifact SET purged_at = purged_at",
                "UPDATE purged SET destroyed_at = destroyed_at",
                "UPDATE approval SET consumed_at = consumed_at",
                "UPDATE segment SET block_id = block_id",
                "DELETE FROM segment",
                "DELETE FROM block",
            ],
        ),
        Change::Supersede => (&["event"], &["UPDATE archive SET superseded_by = superseded_by"]),
    };
    let own_numbers = connection.dialect().own_numbers;
    let mut statements = vec!["SELECT id FROM archive WHERE 1 = 0 FOR UPDATE".to_owned()];
    let insert = |table| format!("INSERT INTO {table} {own_numbers} SELECT * FROM {table} WHERE 1 = 0");
    statements.extend(inserts.iter().map(insert));
    statements.extend(others.iter().map(|statement| format!("{statement} WHERE 1 = 0")));
    // In one line, so that it goes to the server whole.
    connection.run(&statements.join("; ")).map_err(failed(change.describe()))
}
