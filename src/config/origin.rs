//! Where a value is from.

use std::fmt;
use std::path::PathBuf;

use bstr::ByteSlice as _;
use serde::Serialize;

use crate::quote;

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "layer", rename_all = "kebab-case")]
pub enum Origin {
    /// A flag of the command line.
    Flag {
        /// The flag, with its dashes.
        name: String,
    },
    /// An environment variable.
    Environment {
        /// The variable.
        name: String,
    },
    /// A configuration file.
    File {
        /// The file.
        #[serde(serialize_with = "serialize_path")]
        path: PathBuf,
        /// The line of the key, from 1.
        line: usize,
        /// The column of the key in characters, from 1.
        column: usize,
    },
    /// Git's configuration.
    GitConfig {
        /// The key as git spells it.
        key: String,
        /// Where git found it, in git's words: `file:.git/config`.
        origin: String,
    },
    /// This program.
    Default,
}

fn serialize_path<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Returns `path` as messages show it.
pub(super) fn show_path(path: &std::path::Path) -> String {
    quote::quote(<[u8]>::from_path(path).unwrap_or(b"(path is not Unicode)")).into_owned()
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag { name } => write!(formatter, "flag `{name}`"),
            Self::Environment { name } => write!(formatter, "variable `{}`", quote::quote(name.as_bytes())),
            Self::File { path, line, column } => write!(formatter, "`{}:{line}:{column}`", show_path(path)),
            Self::GitConfig { key, origin } => {
                let (key, origin) = (quote::quote(key.as_bytes()), quote::quote(origin.as_bytes()));
                write!(formatter, "git config `{key}` ({origin})")
            }
            Self::Default => formatter.write_str("default"),
        }
    }
}
