//! git-archive-tomb takes files out of a git repository without losing them.
//!
//! This is the library behind the program: it takes plain values and returns plain values. It never prints, reads the
//! user's environment or picks an exit code; the command line, which does, belongs to the program and calls in here.
//! `docs/design.md` says what holds at any time and in which order things are written.
//!
//! Dependencies point downwards only:
//!
//! | what for | modules |
//! | --- | --- |
//! | use cases | [`store`], [`restore`], [`batch`], [`resolve`], [`search`], [`mod@verify`], [`survey`], [`review`], [`textconv`], [`hooks`], [`export`], [`migrate`], [`governance`], [`residue`], [`proof`] |
//! | how a change is made, finished or undone | [`operation`], [`change`], [`journal`] |
//! | what is kept, and in which form | [`archive`], [`evidence`], [`stub`] |
//! | who vouches for it | [`signature`] |
//! | lists that people write | [`manifest`] |
//! | where it is kept | [`git`], [`places`] |
//! | settings and talk | [`config`], [`log`], [`redact`], [`retry`] |
//! | leaves | [`id`], [`item`], [`quote`], [`clock`], [`mod@fs`], [`fault`], [`causes`], `nearest` |

pub mod archive;
pub mod batch;
pub mod causes;
pub mod change;
pub mod clock;
pub mod config;
pub mod evidence;
pub mod export;
pub mod fault;
pub mod fs;
pub mod git;
pub mod governance;
pub mod hooks;
pub mod id;
pub mod item;
pub mod journal;
pub mod log;
pub mod manifest;
pub mod migrate;
mod nearest;
pub mod operation;
pub mod places;
pub mod proof;
pub mod quote;
pub mod redact;
pub mod residue;
pub mod resolve;
pub mod restore;
pub mod retry;
pub mod review;
pub mod search;
pub mod signature;
pub mod store;
pub mod stub;
pub mod survey;
pub mod textconv;
pub mod verify;
