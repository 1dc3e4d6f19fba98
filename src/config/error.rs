//! What can be wrong with a configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::expand::ExpandError;
use super::origin::{Origin, show_path};
use super::trust::TrustReason;
use super::url::UrlError;
use crate::item::Backend;

/// One mistake in a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was asked for is not there.
    #[error("configuration file `{}` does not exist", show_path(path))]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read configuration file `{}`", show_path(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("configuration file `{}` is larger than {} bytes", show_path(path), super::file::MAX_FILE_LENGTH)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is no TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// The place.
        origin: Origin,
        /// What the parser says; it holds nothing of the file.
        message: String,
    },
    /// There is no such key.
    #[error("{origin}: unknown key `{key}`{}", nearest_known(nearest.as_deref()))]
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// The key, or section, as it is written; control characters escaped.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A key stands twice under its two names.
    #[error("{second}: `{key}` is given by {first} already, under its other name")]
    Alias {
        /// The key's name in the schema.
        key: &'static str,
        /// One place.
        first: Origin,
        /// The other place.
        second: Origin,
    },
    /// A value has the wrong type.
    #[error("{origin}: `{key}` takes {expected}, found {found}")]
    WrongType {
        /// Where it stands.
        origin: Origin,
        /// The key's name in the schema.
        key: &'static str,
        /// What it takes, as a noun phrase.
        expected: String,
        /// The type that is there, as a noun phrase.
        found: &'static str,
    },
    /// A value is out of range, or none of the words that are allowed.
    #[error("{origin}: `{key}` takes {expected}, found `{found}`")]
    InvalidValue {
        /// Where it stands.
        origin: Origin,
        /// The key's name in the schema.
        key: &'static str,
        /// What it takes, as a noun phrase.
        expected: String,
        /// The value, shortened, secrets hidden.
        found: String,
    },
    /// The backend is none of those that there are.
    #[error("{origin}: unsupported archive backend `{found}`, expected sqlite, postgres or mariadb")]
    UnsupportedBackend {
        /// Where it stands.
        origin: Origin,
        /// The name, shortened, secrets hidden.
        found: String,
    },
    /// A URL is none.
    #[error("{origin}: `{key}` cannot be used")]
    Url {
        /// Where it stands.
        origin: Origin,
        /// The key's name in the schema.
        key: &'static str,
        /// Why.
        source: UrlError,
    },
    /// A `${VAR}` has no value.
    #[error("{origin}: `{key}` cannot be expanded")]
    Variable {
        /// Where it stands.
        origin: Origin,
        /// The key's name in the schema.
        key: &'static str,
        /// Why.
        source: ExpandError,
    },
    /// Type and URL of one layer name two backends.
    #[error("{origin}: `backend.type` is {kind}, but `backend.url` in {url_origin} leads to {url_kind}")]
    BackendsDisagree {
        /// Where the type stands.
        origin: Origin,
        /// What the type says.
        kind: Backend,
        /// Where the URL stands.
        url_origin: Origin,
        /// What the URL says.
        url_kind: Backend,
    },
    /// A server was chosen, and no layer says where it is.
    #[error("{origin}: backend {kind} needs a `backend.url`")]
    UrlMissing {
        /// Where the type stands.
        origin: Origin,
        /// The backend.
        kind: Backend,
    },
    /// An object store was chosen, and no layer says where it is.
    #[error("{origin}: `storage.driver` is object, which needs a `storage.url`")]
    StoreUrlMissing {
        /// Where the driver is from.
        origin: Origin,
    },
    /// A tracked file that nobody trusted says something that needs trust.
    #[error(
        "tracked configuration file `{}` is not trusted in this clone, and uses {}",
        show_path(path),
        list(reasons)
    )]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// What it uses; at least one.
        reasons: Vec<TrustReason>,
    },
}

impl ConfigError {
    /// Returns the command that helps, where there is one.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Untrusted { .. } => Some("read the file, then run `git archive-tomb trust`"),
            _ => None,
        }
    }
}

/// Everything that is wrong with a configuration, at least one mistake.
#[derive(Debug)]
pub struct ConfigErrors(pub(super) Vec<ConfigError>);

impl ConfigErrors {
    /// Returns the mistakes, file errors first, then from the highest layer to the lowest.
    pub fn as_slice(&self) -> &[ConfigError] {
        &self.0
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => only.fmt(formatter),
            all => write!(formatter, "{} mistakes in the configuration", all.len()),
        }
    }
}

impl std::error::Error for ConfigErrors {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.0.as_slice() {
            [only] => only.source(),
            [first, ..] => Some(first),
            [] => None,
        }
    }
}

/// Something about a configuration that its author should know; nothing stops for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// A variable has our prefix and no meaning.
    UnknownVariable {
        /// The variable.
        name: String,
        /// The known variable that looks most like it.
        nearest: Option<String>,
    },
    /// A type above the deciding URL has no effect.
    UnusedType {
        /// Where the type stands.
        origin: Origin,
        /// What the type says.
        kind: Backend,
        /// Where the deciding URL stands.
        url_origin: Origin,
        /// What the URL says.
        url_kind: Backend,
    },
    /// A file with a password is tracked by git or readable by others.
    ExposedPassword {
        /// The file.
        path: PathBuf,
        /// Whether git tracks it; else others on the machine may read it.
        tracked: bool,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVariable { name, nearest } => {
                let name = crate::quote::quote(name.as_bytes());
                write!(formatter, "unknown variable `{name}` is ignored{}", nearest_known(nearest.as_deref()))
            }
            Self::UnusedType { origin, kind, url_origin, url_kind } => write!(
                formatter,
                "{origin}: backend {kind} is not used, because the url in {url_origin} leads to {url_kind}"
            ),
            Self::ExposedPassword { path, tracked } => {
                let exposed = if *tracked { "is tracked by git" } else { "can be read by others" };
                write!(formatter, "`{}` holds a password and {exposed}; use `${{VAR}}` instead", show_path(path))
            }
        }
    }
}

fn nearest_known(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |nearest| format!(", the nearest known is `{nearest}`"))
}

fn list(reasons: &[TrustReason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
