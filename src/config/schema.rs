//! The list of all keys: type, range, default and meaning. Everything else about configuration follows from it.

use super::environment;
use crate::nearest::most_alike;

/// One key of the configuration.
#[derive(Debug, PartialEq)]
pub struct Key {
    /// The full name, `<section>.<key>`.
    pub name: &'static str,
    /// The other name that the key may go by, in the same section.
    pub alias: Option<&'static str>,
    /// What its value may be.
    pub kind: Kind,
    /// The default as it stands in TOML; `None` for a key that has none.
    pub default: Option<&'static str>,
    /// What it means, in a line.
    pub help: &'static str,
}

/// What values a key may have.
#[derive(Debug, PartialEq)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// A whole number in this range, ends included.
    Integer(u64, u64),
    /// A number of seconds in this range, ends included.
    Seconds(f64, f64),
    /// A number without unit in this range, ends included.
    Number(f64, f64),
    /// A time span such as `30d`, of more than nothing and at most 3650 days.
    Duration,
    /// One of these words; then other spellings, each with the word that it stands for.
    Choice(&'static [&'static str], &'static [(&'static str, &'static str)]),
    /// A path; empty for none.
    Path,
    /// The URL of an archive.
    ArchiveUrl,
    /// The URL of an object store; empty for none.
    StoreUrl,
}

const fn key(
    name: &'static str,
    alias: Option<&'static str>,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Key {
    Key { name, alias, kind, default: Some(default), help }
}

use Kind::{ArchiveUrl, Boolean, Choice, Duration, Integer, Number, Path, Seconds, StoreUrl};

/// The greatest integer that TOML promises to carry.
const MAX_INTEGER: u64 = i64::MAX.cast_unsigned();

/// Every key, by section, in the order of the documentation.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("backend.type", Some("backend"),
        Choice(&["sqlite", "postgres", "mariadb"], &[("postgresql", "postgres"), ("mysql", "mariadb")]),
        r#""sqlite""#, "kind of database: sqlite, postgres or mariadb; follows from the url"),
    key("backend.url", None, ArchiveUrl, r#""sqlite:///./.codex/archive.sqlite""#, "where the archive is"),

    key("logging.level", None, Choice(&["trace", "debug", "info", "warn", "error"], &[("warning", "warn")]),
        r#""info""#, "least serious level that is logged: trace, debug, info, warn or error"),
    key("logging.format", None, Choice(&["auto", "json", "text"], &[]),
        r#""auto""#, "json, text, or auto: text on a terminal, json elsewhere"),
    key("logging.file", None, Path, r#""""#, "file that the log is also appended to"),
    key("logging.evidence_file", None, Path, r#"".codex/evidence/archive_ops.jsonl""#, "place of the operations log"),

    key("retry.enabled", None, Boolean, "false", "try again after a failure that may pass"),
    key("retry.max_attempts", None, Integer(1, 10), "3", "attempts in all, 1 to 10"),
    key("retry.initial_delay", None, Seconds(0.0, 3600.0), "1.0", "seconds before the second attempt"),
    key("retry.max_delay", None, Seconds(0.0, 3600.0), "32.0", "longest delay in seconds"),
    key("retry.backoff_factor", Some("multiplier"), Number(1.0, 100.0), "2.0", "growth of the delay from attempt to attempt"),
    key("retry.jitter", None, Boolean, "true", "vary each delay by up to 10 %, never above the longest"),
    Key { name: "retry.seed", alias: None, kind: Integer(0, MAX_INTEGER), default: None,
        help: "where set, the delays are the same every time" },

    key("batch.max_concurrent", Some("concurrent"), Integer(1, 32), "5", "items worked on at the same time, 1 to 32"),
    key("batch.timeout_per_item", None, Seconds(1.0, 86400.0), "300", "seconds that one item may take"),
    key("batch.continue_on_error", None, Boolean, "false", "carry on after an item that failed"),
    key("batch.results_path", None, Path, r#""""#, "file for the results; empty: named by the time, in the current folder"),
    key("batch.progress_interval", None, Integer(1, 1_000_000), "10", "items between two lines of progress"),

    key("performance.enabled", Some("enable_metrics"), Boolean, "true", "measure how long things take"),
    key("performance.emit_to_evidence", None, Boolean, "true", "write the measurements into records"),
    key("performance.track_decompression", None, Boolean, "true", "measure decompression and writing apart"),

    key("governance.restore_approvals", None, Integer(0, 100), "0", "approvals that a restore needs"),
    key("governance.signed", None, Boolean, "false", "only signed requests and approvals count"),
    key("governance.allowed_signers", None, Path, r#""""#, "file of allowed signers; empty: git's gpg.ssh.allowedSignersFile"),
    key("governance.requester_may_approve", None, Boolean, "true", "whoever asks may be one of those who approve"),
    key("governance.approval_ttl", None, Duration, r#""30d""#, "how long an approval counts"),
    key("governance.request_ttl", None, Duration, r#""30d""#, "how long a request stands"),

    key("hooks.require_copies", None, Integer(0, 100), "0", "places that must hold a stub's bytes before a push"),

    key("stub.style", None, Choice(&["auto", "loud", "comment"], &[]),
        r#""auto""#, "what a stub does when it is used: auto, loud or comment"),

    key("storage.level", None, Integer(1, 22), "3", "zstd level for new bytes, 1 to 22"),
    key("storage.repack_level", None, Integer(1, 22), "19", "zstd level of `doctor --repack`, 1 to 22"),
    key("storage.driver", None, Choice(&["db", "object"], &[]), r#""db""#, "where bytes are kept: db, or object for an object store"),
    key("storage.url", None, StoreUrl, r#""""#, "the object store, where the driver is object"),
];

impl Key {
    /// Returns the part before the dot.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }

    /// Returns the part after the dot.
    pub fn last(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, last)| last)
    }

    /// Returns the key as git config spells it: `archivetomb.retry.maxAttempts`.
    pub fn git_key(&self) -> String {
        format!("{GIT_SECTION}.{}.{}", self.section(), camel_case(self.last()))
    }

    /// Returns the variables that give it a value; the first is the usual one.
    pub fn variables(&self) -> Vec<String> {
        environment::variables_of(self)
    }

    /// Returns the names that it goes by in its section.
    pub(super) fn spellings(&self) -> impl Iterator<Item = &'static str> {
        [self.last()].into_iter().chain(self.alias)
    }
}

/// The section of git config that is ours.
pub const GIT_SECTION: &str = "archivetomb";

/// Returns the key that `spelling`, its name or its alias, means in `section`.
pub(super) fn find(section: &str, spelling: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section() == section && key.spellings().any(|known| known == spelling))
}

/// Returns the key that git config's `name` means; git keeps the case of the middle part only.
pub(super) fn find_in_git(name: &str) -> Option<(&'static Key, &'static str)> {
    let (section, last) = name.split_once('.')?.1.rsplit_once('.')?;
    let keys = KEYS.iter().filter(|key| key.section() == section);
    keys.flat_map(|key| key.spellings().map(move |spelling| (key, spelling)))
        .find(|(_, spelling)| camel_case(spelling).eq_ignore_ascii_case(last))
}

/// Returns whether there is such a section.
pub(super) fn is_section(section: &str) -> bool {
    KEYS.iter().any(|key| key.section() == section)
}

/// Returns the known full name that looks most like `section.spelling`, if one looks like it.
pub(super) fn nearest(section: &str, spelling: &str) -> Option<String> {
    let names = KEYS.iter().flat_map(|key| key.spellings().map(|last| format!("{}.{last}", key.section())));
    // Else perhaps it is the right word in the wrong section.
    let elsewhere = || KEYS.iter().find(|key| key.spellings().any(|known| known == spelling));
    most_alike(&format!("{section}.{spelling}"), names).or_else(|| elsewhere().map(|key| key.name.to_owned()))
}

/// Returns `snake_case` as `snakeCase`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut camel, word| {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
        camel
    })
}

/// Returns the known section that looks most like `section`; or, for a key outside of any section, the key.
pub(super) fn nearest_section(section: &str) -> Option<String> {
    let sections = KEYS.iter().map(|key| key.section().to_owned());
    let key = || KEYS.iter().find(|key| key.spellings().any(|known| known == section));
    most_alike(section, sections).filter(|known| known != section).or_else(|| key().map(|key| key.name.to_owned()))
}

/// Returns the known key of git config that looks most like `name`.
pub(super) fn nearest_in_git(name: &str) -> Option<String> {
    most_alike(name, KEYS.iter().map(Key::git_key))
}
