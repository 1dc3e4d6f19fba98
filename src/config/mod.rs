//! Configuration: every setting has one value in force and one origin, and a mistake stops everything.
//!
//! The caller gathers the [`Sources`] (flags, environment, file, git config) and [`Config::load`] makes one [`Config`] of
//! them; nothing else is read. `docs/configuration.md` is the contract; `schema` is the one list of keys from which
//! parsing, `config-show`, the template and the checks of the documentation follow.

pub mod environment;
mod error;
mod expand;
mod file;
mod load;
mod origin;
mod schema;
pub mod show;
mod template;
mod trust;
mod url;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::item::Backend;
pub use error::{ConfigError, ConfigErrors, Warning};
pub use expand::{ExpandError, expand};
pub use file::{ConfigFile, MAX_FILE_LENGTH};
pub use load::{FlagValue, GitConfigEntry, Sources};
pub use origin::Origin;
pub use schema::{GIT_SECTION, KEYS, Key, Kind};
pub use template::template;
pub use trust::{TRUST_KEY, TrustCause, TrustReason, needs_trust, trust_digest};
pub use url::{ArchiveUrl, DEFAULT_ARCHIVE, DEFAULT_OPERATIONS_LOG, Place, StorePlace, StoreUrl, UrlError};
pub use value::{Value, format_duration, parse_duration};

use crate::log;
use crate::redact::Redactor;
use crate::retry::Policy;
use crate::stub::Style;

/// The configuration file's default place, relative to the top of the working tree.
pub const DEFAULT_FILE: &str = ".codex/archive.toml";

/// The configuration in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which archive: `[backend]`.
    pub url: ArchiveUrl,
    /// What is told, and where.
    pub logging: Logging,
    /// Trying again after passing failures.
    pub retry: Retry,
    /// Many items at once.
    pub batch: Batch,
    /// Measurements.
    pub performance: Performance,
    /// Who must agree.
    pub governance: Governance,
    /// What hooks ask for.
    pub hooks: Hooks,
    /// What stays at the path.
    pub stub: Stub,
    /// How bytes are kept.
    pub storage: Storage,
    settings: BTreeMap<&'static str, Setting>,
}

/// One key with its value in force, and where that is from.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The key.
    pub key: &'static Key,
    /// Its value; prints without secrets.
    pub value: Value,
    /// Where the value is from.
    pub origin: Origin,
}

/// `[logging]`. Relative paths start at the top of the working tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// The least serious level that is logged.
    pub level: log::Level,
    /// The form of the log.
    pub format: log::Format,
    /// A file that the log is also appended to.
    pub file: Option<PathBuf>,
    /// The place of the operations log.
    pub evidence_file: Place,
}

/// `[retry]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// Whether there is more than one attempt.
    pub enabled: bool,
    /// How often and after which delays, where `enabled`.
    policy: Policy,
}

impl Retry {
    /// Returns the policy in force: that of the keys, or a single attempt.
    pub fn policy(&self) -> Policy {
        if self.enabled { self.policy } else { Policy::once() }
    }
}

/// `[batch]`. Relative paths start at the top of the working tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Items worked on at the same time, 1 to 32.
    pub max_concurrent: usize,
    /// The time that one item may take.
    pub timeout_per_item: Duration,
    /// Whether to carry on after an item that failed.
    pub continue_on_error: bool,
    /// The file for the results; `None`: named by the time, in the current folder.
    pub results_path: Option<PathBuf>,
    /// Items between two lines of progress.
    pub progress_interval: u64,
}

/// `[performance]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Performance {
    /// Whether to measure.
    pub enabled: bool,
    /// Whether records carry the measurements.
    pub emit_to_evidence: bool,
    /// Whether decompression and writing are measured apart.
    pub track_decompression: bool,
}

impl Performance {
    /// Returns the total duration as a record carries it, if it does.
    pub fn total(self, duration_ms: f64) -> Option<f64> {
        Some(duration_ms).filter(|_| self.enabled && self.emit_to_evidence)
    }

    /// Returns the duration of a part (decompression, writing) as a record carries it, if it does.
    pub fn part(self, duration_ms: f64) -> Option<f64> {
        self.total(duration_ms).filter(|_| self.track_decompression)
    }
}

/// `[governance]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Governance {
    /// Approvals that a restore needs.
    pub restore_approvals: u32,
    /// Whether only signed requests and approvals count.
    pub signed: bool,
    /// The file of allowed signers; `None`: git's `gpg.ssh.allowedSignersFile`.
    pub allowed_signers: Option<PathBuf>,
    /// Whether whoever asks may be one of those who approve.
    pub requester_may_approve: bool,
    /// How long an approval counts.
    pub approval_ttl: Duration,
    /// How long a request stands.
    pub request_ttl: Duration,
}

/// `[hooks]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hooks {
    /// Places that must hold a stub's bytes before a push.
    pub require_copies: u32,
}

/// `[stub]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stub {
    /// What a stub does when it is used.
    pub style: Style,
}

/// `[storage]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// The zstd level for new bytes, 1 to 22.
    pub level: i32,
    /// The zstd level of `doctor --repack`, 1 to 22.
    pub repack_level: i32,
    /// The object store that keeps the bytes; `None`: the database does.
    pub object_store: Option<StoreUrl>,
}

impl Config {
    /// Returns all settings, in the order of the schema.
    pub fn settings(&self) -> impl Iterator<Item = &Setting> {
        KEYS.iter().map(|key| &self.settings[key.name])
    }

    /// Returns where the value of the key named `name` is from; `None` if there is no such key.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.settings.get(name).map(|setting| &setting.origin)
    }

    /// Returns a redactor that knows every secret of this configuration.
    pub fn redactor(&self) -> Redactor {
        let mut redactor = Redactor::new();
        redactor.add_url(self.url.as_secret());
        redactor
    }

    /// Gives every setting its place and its type; `settings` holds a value of the right kind for each key.
    fn from_settings(settings: BTreeMap<&'static str, Setting>) -> Self {
        let values = Values(&settings);
        let Value::ArchiveUrl(url) = values.get("backend.url") else { unreachable!("the schema says so") };
        let Value::StoreUrl(store) = values.get("storage.url") else { unreachable!("the schema says so") };
        let Value::Path(evidence_file) = values.get("logging.evidence_file") else {
            unreachable!("the schema says so")
        };
        Self {
            url: url.clone(),
            logging: Logging {
                level: values.word("logging.level"),
                format: values.word("logging.format"),
                file: values.path("logging.file"),
                evidence_file: match evidence_file.as_str() {
                    "" => Place::Default,
                    path => Place::new(path, DEFAULT_OPERATIONS_LOG),
                },
            },
            retry: Retry {
                enabled: values.boolean("retry.enabled"),
                policy: Policy {
                    max_attempts: values.integer("retry.max_attempts"),
                    initial_delay: values.seconds("retry.initial_delay"),
                    max_delay: values.seconds("retry.max_delay"),
                    backoff_factor: values.number("retry.backoff_factor"),
                    jitter: values.boolean("retry.jitter"),
                    seed: match values.get("retry.seed") {
                        Value::Integer(seed) => Some(*seed),
                        _ => None,
                    },
                },
            },
            batch: Batch {
                max_concurrent: values.integer("batch.max_concurrent"),
                timeout_per_item: values.seconds("batch.timeout_per_item"),
                continue_on_error: values.boolean("batch.continue_on_error"),
                results_path: values.path("batch.results_path"),
                progress_interval: values.integer("batch.progress_interval"),
            },
            performance: Performance {
                enabled: values.boolean("performance.enabled"),
                emit_to_evidence: values.boolean("performance.emit_to_evidence"),
                track_decompression: values.boolean("performance.track_decompression"),
            },
            governance: Governance {
                restore_approvals: values.integer("governance.restore_approvals"),
                signed: values.boolean("governance.signed"),
                allowed_signers: values.path("governance.allowed_signers"),
                requester_may_approve: values.boolean("governance.requester_may_approve"),
                approval_ttl: values.duration("governance.approval_ttl"),
                request_ttl: values.duration("governance.request_ttl"),
            },
            hooks: Hooks { require_copies: values.integer("hooks.require_copies") },
            stub: Stub { style: values.word("stub.style") },
            storage: Storage {
                level: values.integer("storage.level"),
                repack_level: values.integer("storage.repack_level"),
                object_store: store.clone().filter(|_| *values.get("storage.driver") == Value::Word("object")),
            },
            settings,
        }
    }
}

impl Default for Config {
    /// Returns the configuration of someone who has set nothing.
    fn default() -> Self {
        Self::load(&Sources::default()).expect("the defaults are valid").0
    }
}

/// Takes typed values out of the settings. A wrong kind is a slip in the schema, which the first use of the defaults
/// would show.
struct Values<'a>(&'a BTreeMap<&'static str, Setting>);

impl Values<'_> {
    fn get(&self, name: &str) -> &Value {
        &self.0[name].value
    }

    fn boolean(&self, name: &str) -> bool {
        *self.get(name) == Value::Boolean(true)
    }

    fn integer<T: TryFrom<u64>>(&self, name: &str) -> T {
        match self.get(name) {
            Value::Integer(integer) => T::try_from(*integer).ok().expect("the range of the key fits the type"),
            _ => unreachable!("`{name}` is an integer in the schema"),
        }
    }

    fn number(&self, name: &str) -> f64 {
        match self.get(name) {
            Value::Number(number) => *number,
            _ => unreachable!("`{name}` is a number in the schema"),
        }
    }

    fn seconds(&self, name: &str) -> Duration {
        Duration::from_secs_f64(self.number(name))
    }

    fn duration(&self, name: &str) -> Duration {
        match self.get(name) {
            Value::Duration(duration) => *duration,
            _ => unreachable!("`{name}` is a duration in the schema"),
        }
    }

    fn word<T: std::str::FromStr>(&self, name: &str) -> T {
        match self.get(name) {
            Value::Word(word) => word.parse().ok().expect("the schema and the type know the same words"),
            _ => unreachable!("`{name}` is a choice in the schema"),
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        match self.get(name) {
            Value::Path(path) if path.is_empty() => None,
            Value::Path(path) => Some(path.into()),
            _ => unreachable!("`{name}` is a path in the schema"),
        }
    }
}

#[cfg(test)]
mod tests;
