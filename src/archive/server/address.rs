//! Where a server is and how to log in: the URL, read by us and strictly, so that the driver gets plain options and
//! never a text in which it could find, or print, anything else.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::Kind;
use crate::archive::ArchiveError;
use crate::redact::{SecretUrl, UrlParts};

/// How many bytes a file of certificates may have.
const LONGEST_CERTIFICATES: u64 = 4 << 20;

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// By a name or an address.
    Name(String),
    /// By a socket: PostgreSQL's folder, MariaDB's file.
    Socket(PathBuf),
}

/// What is asked of the connection's encryption, in PostgreSQL's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    Disable,
    /// Where the server offers it.
    Prefer,
    Require,
    /// And a certificate from an authority that is trusted.
    VerifyCa,
    /// And for this very host.
    VerifyFull,
}

/// What is needed to connect.
#[derive(Debug)]
pub(super) struct Address {
    pub kind: Kind,
    pub host: Host,
    pub port: u16,
    pub user: String,
    password: Option<SecretString>,
    pub database: String,
    pub tls: Tls,
    pub root_certificate: Option<PathBuf>,
    /// Certificate and key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// The URL without secrets.
    pub shown: String,
}

impl Address {
    /// Reads the URL of a server.
    ///
    /// Parameters: `sslmode` (or `ssl-mode`), `sslrootcert` (or `ssl-ca`), `sslcert` and `sslkey` (or `ssl-cert` and
    /// `ssl-key`), `host` (PostgreSQL: also the folder of its socket), `port`, `user`, `password`, `dbname`, and `socket`
    /// (MariaDB). Whatever else there is, is refused: a mistyped `sslmode` must not leave a connection in the clear.
    pub(super) fn parse(kind: Kind, url: &SecretUrl) -> Result<Self, ArchiveError> {
        let fault = |reason: String| ArchiveError::Address { archive: url.redacted().to_owned(), reason };
        let parts = UrlParts::parse(url.expose()).map_err(|reason| fault(reason.to_owned()))?;
        let mut read = Parameters::default();
        for (index, (name, value)) in parts.parameters.into_iter().enumerate() {
            let value = value.ok_or_else(|| fault(format!("parameter {} is not percent-encoded UTF-8", index + 1)))?;
            // The name is not repeated: it might be a piece of a password.
            read.take(kind, &name, value).map_err(|reason| fault(format!("parameter {} {reason}", index + 1)))?;
        }
        let Some(database) = read.database.or(parts.path).filter(|name| !name.is_empty()) else {
            return Err(fault("it names no database".to_owned()));
        };
        let Some(user) = read.user.or(parts.user).filter(|user| !user.is_empty()) else {
            return Err(fault("it names no user".to_owned()));
        };
        let (host, port) = match parts.hosts.as_slice() {
            [] => (None, None),
            [(host, port)] => (Some(host.clone()), *port),
            _ => return Err(fault("it names more than one host".to_owned())),
        };
        let host = match (read.socket, read.host.or(host)) {
            (Some(socket), _) => Host::Socket(socket),
            (None, Some(host)) if host.starts_with('/') => Host::Socket(host.into()),
            (None, Some(host)) => Host::Name(host),
            (None, None) => return Err(fault("it names no host".to_owned())),
        };
        let client_certificate = match (read.certificate, read.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(fault("a client's certificate and its key belong together".to_owned())),
        };
        Ok(Self {
            kind,
            host,
            port: read.port.or(port).unwrap_or(match kind {
                Kind::Postgres => 5432,
                Kind::Mariadb => 3306,
            }),
            user,
            password: read.password.or(parts.password).map(SecretString::from),
            database,
            tls: read.tls.unwrap_or(Tls::Prefer),
            root_certificate: read.root_certificate,
            client_certificate,
            shown: url.redacted().to_owned(),
        })
    }

    /// Sees that the certificates can be read, since for a driver a file that is missing is as good as a server that is.
    pub(super) fn check_certificates(&self) -> Result<(), ArchiveError> {
        let client = self.client_certificate.iter().flat_map(|(certificate, key)| {
            [("the client's certificate", certificate), ("the key of the client's certificate", key)]
        });
        for (what, path) in self.root_certificate.iter().map(|path| ("the root certificate", path)).chain(client) {
            let opened = std::fs::File::open(path).and_then(|file| file.metadata());
            let reason = match opened {
                Ok(metadata) if metadata.is_file() && metadata.len() <= LONGEST_CERTIFICATES => continue,
                Ok(_) => "it is no file of certificates".to_owned(),
                Err(error) => error.to_string(),
            };
            let source = format!("cannot read {what}: {reason}").into();
            return Err(ArchiveError::Insecure { archive: self.shown.clone(), source });
        }
        Ok(())
    }

    /// Returns the password, if there is one, for the driver.
    pub(super) fn password(&self) -> Option<&str> {
        self.password.as_ref().map(ExposeSecret::expose_secret)
    }
}

/// What the parameters say.
#[derive(Default)]
struct Parameters {
    user: Option<String>,
    password: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    socket: Option<PathBuf>,
    tls: Option<Tls>,
    root_certificate: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Parameters {
    fn take(&mut self, kind: Kind, name: &str, value: String) -> Result<(), &'static str> {
        match (name, kind) {
            ("user", _) => self.user = Some(value),
            ("password", _) => self.password = Some(value),
            ("host", _) => self.host = Some(value),
            ("port", _) => self.port = Some(value.parse().map_err(|_| "is no port")?),
            ("dbname", Kind::Postgres) => self.database = Some(value),
            ("socket", Kind::Mariadb) => self.socket = Some(value.into()),
            ("sslmode" | "ssl-mode" | "ssl_mode", _) => {
                self.tls = Some(match &*value.to_ascii_lowercase().replace('_', "-") {
                    "disable" | "disabled" => Tls::Disable,
                    "prefer" | "preferred" => Tls::Prefer,
                    "require" | "required" => Tls::Require,
                    "verify-ca" => Tls::VerifyCa,
                    "verify-full" | "verify-identity" => Tls::VerifyFull,
                    _ => return Err("is none of disable, prefer, require, verify-ca, verify-full"),
                });
            }
            ("sslrootcert" | "ssl-ca" | "ssl_ca", _) => self.root_certificate = Some(value.into()),
            ("sslcert" | "ssl-cert" | "ssl_cert", _) => self.certificate = Some(value.into()),
            ("sslkey" | "ssl-key" | "ssl_key", _) => self.key = Some(value.into()),
            _ => return Err("is none that this program knows"),
        }
        Ok(())
    }
}
