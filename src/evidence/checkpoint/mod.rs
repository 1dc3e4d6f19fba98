//! Signed checkpoints: statements about which evidence was here, as `docs/checkpoints.md` specifies them.
//!
//! [`mod@format`] reads and writes the file, [`set`] finds out which evidence a statement is about, [`judge`] says whether
//! a repository's checkpoints hold, and [`prepare`] what a new one states.

pub mod format;
pub mod judge;
pub mod prepare;
pub mod set;

use crate::clock::Timestamp;

/// How far clocks may be apart before a time is called wrong, in milliseconds: a day.
const CLOCK_TOLERANCE: i64 = 86_400_000;

/// Returns the latest moment that may still be the same as `time` by another clock.
fn latest(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond().saturating_add(CLOCK_TOLERANCE)).unwrap_or(time)
}
