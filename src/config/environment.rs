//! Every environment variable that this program reads, by name.
//!
//! Only the command line reads the environment; it hands the values on as plain text.

use super::schema::{KEYS, Key};

/// What the names of all variables for keys begin with; an unknown one is warned about.
pub const PREFIX: &str = "CODEX_ARCHIVE_";

/// Who acts, where `--by` does not say it.
pub const ACTOR: &str = "CODEX_ACTOR";

/// The folder of the operations log; beats `logging.evidence_file` of lower layers.
pub const EVIDENCE_DIR: &str = "CODEX_EVIDENCE_DIR";

/// Any value forbids colour (<https://no-color.org>).
pub const NO_COLOR: &str = "NO_COLOR";

/// The keys whose variables are not named by the rule.
const HISTORICAL: &[(&str, &[&str])] = &[
    ("backend.type", &["CODEX_ARCHIVE_BACKEND"]),
    ("backend.url", &["CODEX_ARCHIVE_URL"]),
    ("logging.level", &["CODEX_ARCHIVE_LOG_LEVEL"]),
    ("logging.format", &["CODEX_ARCHIVE_LOG_FORMAT"]),
    ("logging.evidence_file", &["CODEX_ARCHIVE_LOGGING_EVIDENCE_FILE", EVIDENCE_DIR]),
    ("retry.max_attempts", &["CODEX_ARCHIVE_RETRY_MAX", "CODEX_ARCHIVE_RETRY_ATTEMPTS"]),
    ("batch.max_concurrent", &["CODEX_ARCHIVE_BATCH_CONCURRENT"]),
];

/// Returns the variables that give `key` a value: `CODEX_ARCHIVE_<SECTION>_<KEY>`, or its historical names.
pub fn variables_of(key: &Key) -> Vec<String> {
    match HISTORICAL.iter().find(|(name, _)| *name == key.name) {
        Some((_, variables)) => variables.iter().map(|variable| (*variable).to_owned()).collect(),
        None => vec![format!("{PREFIX}{}", key.name.replace('.', "_").to_uppercase())],
    }
}

/// Returns the key that `variable` gives a value.
pub(super) fn key_of(variable: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| variables_of(key).iter().any(|name| name == variable))
}
