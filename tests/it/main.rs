//! Black-box tests: the real program in real repositories with the real git. One binary, a module per topic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod awkward_attributes;
mod awkward_codex;
mod awkward_commits;
mod awkward_files;
mod awkward_layouts;
mod awkward_names;
mod awkward_property;
mod awkward_restore;
mod batch_restore;
mod batch_store;
mod branch;
mod checkpoints;
mod ci;
mod cli;
mod common;
mod config;
mod databases;
#[cfg(feature = "net")]
mod deployment;
mod differential;
mod docs;
mod export;
mod faults;
mod from_history;
mod governance;
mod grep;
mod hammer;
mod histories;
mod hooks;
mod hostile;
mod hostile_archive;
mod listing;
mod main_job;
mod messages;
mod migrate;
#[cfg(feature = "net")]
mod objects;
mod resolve;
mod restore_merge;
mod review;
mod scale;
#[cfg(feature = "net")]
mod servers;
mod sizes;
mod storm;
mod textconv;
mod threats;
mod trailers;
mod verify;
