//! Stops the program between two effects, so that tests can show that nothing is lost there.
//!
//! Only debug builds have these points; in a release build [`point`] and [`panic_point`] are empty. `docs/design.md` says
//! where they are.

/// The environment variable that names the point at which a debug build kills itself: `name`, or `name:n` for the n-th
/// time that the point is passed. With `@INT`, `@TERM` or `@STOP` behind it the program gets that signal there instead.
pub const VARIABLE: &str = "GIT_ARCHIVE_TOMB_FAULT";

/// The points, in the order in which an operation passes them; those of recovery come last.
pub const POINTS: &[&str] = &[
    // The journal is written whole, under a name that means nothing yet.
    "journal-written",
    // The journal is in place.
    "journal",
    // The intent is in the operations log.
    "intent",
    // The lock's note is written, beside the lock.
    "lock-written",
    // The lock is there, the copy of the index is not.
    "lock-bare",
    // Lock and copy are there.
    "lock",
    // A file of the program's own (attributes, evidence) is written beside its place; passed for each.
    "own-written",
    // The program's own files are in the working tree and in git.
    "own",
    // The bytes are in the archive, or on their way back in git.
    "bytes",
    // The item rows are pending.
    "rows",
    // Archived blobs that no commit holds are kept by references.
    "references",
    // The evidence is in the journal.
    "evidence",
    // The evidence is a file in the working tree.
    "evidence-file",
    // Its records are in the operations log.
    "log",
    // The blobs that come into the tree are in git.
    "blobs",
    // The commit is made; only for a branch.
    "commit-made",
    // Its id is in the journal; only for a branch.
    "commit",
    // The branch leads to it; only for a branch.
    "branch",
    // The copy of the index holds the change.
    "copy",
    // The files are in the staging folder.
    "staged",
    // A file is in place; passed for each.
    "file",
    // All files are in place and durable.
    "files",
    // The copy of the index is complete and durable.
    "index-written",
    // The copy is the index, the lock is still there.
    "index-renamed",
    // The lock is gone.
    "index",
    // The rows are sealed, the events inserted.
    "settled",
    // The RECOVER record is in the archive's events; only in recovery.
    "recovery-event",
    // The RECOVER record is in the operations log; only in recovery.
    "recovery",
    // The journal has got a name that means nothing.
    "journal-renamed",
    // The journal is gone.
    "closed",
    // The operation's evidence is out of the working tree; only when undoing.
    "withdrawn",
];

/// The points of what goes past all operations: an archive that is copied, or exported.
pub const COPYING_POINTS: &[&str] = &[
    // The target is there and marked as a copy.
    "copy-marked",
    // Blocks are in the target; passed for each group.
    "copy-blocks",
    // Contents are in the target; passed for each group.
    "copy-contents",
    // Items are in the target; passed for each page.
    "copy-items",
    // Events are in the target; passed for each page.
    "copy-events",
    // Holds are in the target; passed for each page.
    "copy-holds",
    // Purges are in the target; passed for each page.
    "copy-purges",
    // Both hold the same; the source is still locked.
    "copy-compared",
    // The source is superseded, the copy is not complete.
    "source-superseded",
    // The copy is complete, the log does not say so yet.
    "copy-complete",
    // A content of an export is written; passed for each.
    "export-content",
    // The export is whole, beside its place.
    "export-written",
    // The export is in its place.
    "export-renamed",
];

/// The points of a batch that brings items back.
pub const BATCH_POINTS: &[&str] = &[
    // The results file is there, and says that nothing is done.
    "batch-results",
    // The intent is in the operations log.
    "batch-intent",
    // An item is whole beside its place; passed for each.
    "batch-beside",
    // An item is in its place; passed for each.
    "batch-put",
    // The folders of some items are durable; passed for each group.
    "batch-synced",
    // Their records are in the operations log; passed for each group.
    "batch-log",
    // The results file says so; passed each time that it is written.
    "batch-told",
    // The end is in the operations log.
    "batch-end",
    // All events are in the archive.
    "batch-events",
];

/// The points of a purge, past those of its operation.
pub const PURGE_POINTS: &[&str] = &[
    // The purge has begun in the archive: from here on it is only ever finished.
    "purge-begun",
    // Some blocks are rewritten or gone; passed for each group.
    "purge-block",
    // No row and no object has the bytes.
    "purge-swept",
    // The database's file is written anew, its log is not empty; only for SQLite.
    "purge-scrubbed",
];

/// Kills the process, as `kill -9` would, if the environment asks for a stop at `name`.
#[inline]
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::atomic::{AtomicU64, Ordering};

        static PASSED: AtomicU64 = AtomicU64::new(0);
        debug_assert!(
            POINTS.iter().chain(COPYING_POINTS).chain(BATCH_POINTS).chain(PURGE_POINTS).any(|known| *known == name),
            "`{name}` is not in the list"
        );
        let Some(wanted) = std::env::var_os(VARIABLE) else { return };
        let wanted = wanted.to_string_lossy();
        let (wanted, signal) = wanted.split_once('@').unwrap_or((&wanted, "KILL"));
        let (wanted, count) = wanted.split_once(':').unwrap_or((wanted, "1"));
        if wanted == name && count.parse() == Ok(PASSED.fetch_add(1, Ordering::Relaxed) + 1) {
            stop(signal);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
fn stop(signal: &str) {
    #[cfg(unix)]
    {
        const KILL: i32 = 9;
        let signal = match signal {
            "INT" => signal_hook::consts::SIGINT,
            "TERM" => signal_hook::consts::SIGTERM,
            "STOP" => signal_hook::consts::SIGSTOP,
            // No destructors run: locks, temporary files and journals stay behind as after a power cut.
            _ => KILL,
        };
        let _ = signal_hook::low_level::raise(signal);
    }
    #[cfg(not(unix))]
    if signal == "KILL" {
        std::process::abort();
    }
}

/// Panics with `text`, a secret for once, if the environment asks for a panic: its message must not show it.
#[inline]
pub fn panic_point(text: &str) {
    #[cfg(debug_assertions)]
    assert!(std::env::var_os(VARIABLE).is_none_or(|wanted| wanted != "panic"), "asked to panic over {text}");
    #[cfg(not(debug_assertions))]
    let _ = text;
}
