//! What is signed of a record: all of it but the signature itself.

use crate::evidence::record::{Action, Record};

/// The first line of a statement, which keeps it apart from whatever else is signed in the same namespace.
const HEADER: &str = "git-archive-tomb governance v1\n";

/// Returns the text that the signature of `record` is over; `None` for a record that is none of those that are signed.
///
/// It is the record's own line as it was before the signature and the evidence file's place in the graph came in, so nothing
/// that the record says can be changed or carried elsewhere.
///
/// Frozen: signatures are over its bytes.
pub fn statement(record: &Record) -> Option<String> {
    let signed = is_signed(record.action);
    let bare = Record { signature: None, count: None, prev: Vec::new(), ..record.clone() };
    let line = signed.then(|| bare.to_line().ok()).flatten()?;
    Some(format!("{HEADER}{line}"))
}

/// Returns whether records of `action` carry signatures.
pub(super) fn is_signed(action: Action) -> bool {
    // A purge is not consent but what came of it.
    action.is_governance() && action != Action::Purge
}
