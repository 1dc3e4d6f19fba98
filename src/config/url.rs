//! The URL of an archive: which backend, and where.

use std::path::PathBuf;

use crate::item::Backend;
use crate::redact::{Parts, SecretUrl, UrlFault, is_sqlite_path};

/// Where a file of this program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the git common directory, where no checkout or clean reaches it; the Python tool's place is a link to it.
    Default,
    /// At a path that someone chose; a relative one starts at the top of the working tree.
    Path(PathBuf),
}

impl Place {
    /// Takes `path` for the default place if it is `default`, with or without `./` in front.
    pub(super) fn new(path: &str, default: &str) -> Self {
        let mut plain = path;
        while let Some(rest) = plain.strip_prefix("./") {
            plain = rest;
        }
        if plain == default { Self::Default } else { Self::Path(path.into()) }
    }
}

/// The Python tool's place of the embedded archive, relative to the top of the working tree.
pub const DEFAULT_ARCHIVE: &str = ".codex/archive.sqlite";

/// The Python tool's place of the operations log, relative to the top of the working tree.
pub const DEFAULT_OPERATIONS_LOG: &str = ".codex/evidence/archive_ops.jsonl";

/// The file name of the operations log, wherever its folder is.
pub(super) const OPERATIONS_LOG_NAME: &str = "archive_ops.jsonl";

/// A URL that leads to an archive. It prints, also for debugging, without its secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchiveUrl {
    url: SecretUrl,
    backend: Backend,
    place: Option<Place>,
}

/// Why a text is no URL of an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It does not have the form of one.
    #[error("`{url}` is no URL of an archive: {reason}")]
    Malformed {
        /// The URL without its secrets.
        url: String,
        /// What is wrong, as a fragment.
        reason: &'static str,
    },
    /// It does not have the form of an object store's.
    #[error("`{url}` is no URL of an object store: {reason}")]
    Store {
        /// The URL without its secrets.
        url: String,
        /// What is wrong, as a fragment.
        reason: &'static str,
    },
    /// Its scheme is none of a known backend.
    #[error("unsupported archive backend `{scheme}`, expected sqlite, postgres or mariadb")]
    Unsupported {
        /// The scheme.
        scheme: String,
    },
}

impl ArchiveUrl {
    /// Parses a URL such as `sqlite:///./.codex/archive.sqlite` or `postgres://user:password@host/database`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = SecretUrl::new(text);
        let malformed = |reason| UrlError::Malformed { url: url.redacted().to_owned(), reason };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| malformed("it has no scheme and `://`"))?;
        let base = scheme.split('+').next().unwrap_or_default();
        let (backend, place) = match base {
            "sqlite" => (Backend::Sqlite, Some(sqlite_place(rest).map_err(malformed)?)),
            "postgres" | "postgresql" => (Backend::Postgres, None),
            "mysql" | "mariadb" => (Backend::Mariadb, None),
            // Anything but a word could be a login: `user:password@…`.
            _ if base.len() > 16 || !base.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                return Err(malformed("it does not begin with a scheme"));
            }
            _ => return Err(UrlError::Unsupported { scheme: base.to_owned() }),
        };
        if backend != Backend::Sqlite {
            Parts::parse(text).map_err(malformed)?;
        }
        Ok(Self { url, backend, place })
    }

    /// Returns which kind of database it leads to.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Returns where the file of an embedded archive is; `None` for a server.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Returns the URL as a text that hides its secrets, for the redactor and for showing.
    pub fn as_secret(&self) -> &SecretUrl {
        &self.url
    }

    /// Returns the whole URL, secrets included: for connecting, and for `--debug`.
    pub fn expose(&self) -> &str {
        self.url.expose()
    }
}

impl std::fmt::Display for ArchiveUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(formatter)
    }
}

/// A URL that leads to an object store. It has no secrets: those come from elsewhere, and a URL with a login is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl {
    text: String,
    place: StorePlace,
}

/// Where objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// In a bucket of S3, or of what speaks its protocol.
    Bucket {
        /// Its name.
        name: String,
        /// What the names of all objects begin with, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// In a folder.
    Folder(PathBuf),
}

impl StoreUrl {
    /// Parses a URL such as `s3://bucket/prefix` or `file:///srv/tomb`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let refused = |reason| UrlError::Store { url: SecretUrl::new(text).redacted().to_owned(), reason };
        let place = store_place(text).map_err(refused)?;
        Ok(Self { text: text.to_owned(), place })
    }

    /// Returns where it leads.
    pub fn place(&self) -> &StorePlace {
        &self.place
    }
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn store_place(text: &str) -> Result<StorePlace, UrlFault> {
    if let Some(path) = text.strip_prefix("file://") {
        if !path.starts_with('/') {
            return Err("an absolute path follows `file://`");
        }
        if !is_sqlite_path(path) || path.contains(char::is_control) {
            return Err("its path has a control character, `?`, `#`, `;`, `=`, `&` or `%`");
        }
        return Ok(StorePlace::Folder(path.into()));
    }
    let Some(rest) = text.strip_prefix("s3://") else { return Err("it begins with neither `s3://` nor `file://`") };
    if rest.contains('@') {
        return Err("it has a login, which belongs into `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`");
    }
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if !(3..=63).contains(&name.len()) || !plain(name) || name.starts_with('.') {
        return Err("the name of a bucket follows `s3://`: 3 to 63 letters, digits, `-`, `_` and `.`");
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if prefix.len() > 512 {
        return Err("its path is longer than 512 bytes");
    }
    if !prefix.is_empty() && !prefix.split('/').all(|part| plain(part) && !matches!(part, "" | "." | "..")) {
        return Err("its path has an empty part, `.`, `..`, or other than letters, digits, `-`, `_` and `.`");
    }
    Ok(StorePlace::Bucket { name: name.to_owned(), prefix: prefix.to_owned() })
}

/// Returns the place that `rest`, what follows `sqlite://`, leads to.
fn sqlite_place(rest: &str) -> Result<Place, UrlFault> {
    let path = match rest.strip_prefix('/') {
        Some(path) => path,
        None if rest.is_empty() || rest == ":memory:" => {
            return Err("an archive in memory would forget what it is given");
        }
        None => return Err("a path follows `sqlite:///`, and an absolute one `sqlite:////`"),
    };
    if path.is_empty() || path.starts_with(":memory:") {
        return Err("an archive in memory would forget what it is given");
    }
    if !is_sqlite_path(path) {
        return Err("a SQLite URL has no login and no parameters, and its path no `?`, `#`, `;`, `=`, `&` or `%`");
    }
    if path.contains(char::is_control) {
        return Err("it has control characters");
    }
    if path.ends_with('/') {
        return Err("it names a folder");
    }
    Ok(Place::new(path, DEFAULT_ARCHIVE))
}
