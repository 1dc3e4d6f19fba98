//! The commands, one file each: arguments, the call into the library, and what is printed.

pub(crate) mod batch_restore;
pub(crate) mod batch_store;
pub(crate) mod cat;
pub(crate) mod config_show;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod evidence;
pub(crate) mod export;
pub(crate) mod grep;
pub(crate) mod health_check;
pub(crate) mod hooks;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod migrate;
pub(crate) mod pr_body;
pub(crate) mod report;
pub(crate) mod resolve;
pub(crate) mod restore;
pub(crate) mod schema;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod textconv;
pub(crate) mod trust;
pub(crate) mod verify;
