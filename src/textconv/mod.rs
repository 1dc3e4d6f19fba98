//! Seeing through stubs: a driver for `git diff`, `log -p`, `show` and `blame` that shows what was archived in place of
//! the stub. Specified in `docs/review.md`.
//!
//! [`content`] is what the driver prints; [`setup`] tells git of it, for the paths that are or were stubs and no others.

pub mod content;
pub mod setup;
