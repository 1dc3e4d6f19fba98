//! URLs with secrets: what may be shown of them.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use super::MASK;

/// Parameters whose values are no secret, as the drivers of PostgreSQL and MariaDB name them.
const PUBLIC_PARAMETERS: &[&str] = &[
    "application_name",
    "channel_binding",
    "charset",
    "client_encoding",
    "collation",
    "connect_timeout",
    "gssencmode",
    "keepalives",
    "keepalives_idle",
    "region",
    "ssl-mode",
    "ssl_mode",
    "sslmode",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "timezone",
];

/// Parameters whose names tell nothing, so that the reader sees what was hidden.
const SECRET_PARAMETERS: &[&str] = &[
    "access_key",
    "auth",
    "dbname",
    "host",
    "options",
    "passfile",
    "passwd",
    "password",
    "port",
    "pwd",
    "secret",
    "socket",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl_ca",
    "ssl_cert",
    "ssl_key",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "token",
    "user",
];

/// Schemes of databases: a URL with one of these is shown by the allow-list wherever it turns up.
const DATABASE_SCHEMES: &[&str] = &["sqlite", "postgres", "postgresql", "mysql", "mariadb"];

/// A URL of which only [`SecretUrl::expose`] tells everything; it prints, also for debugging, in its redacted form.
#[derive(Clone)]
pub struct SecretUrl {
    whole: SecretString,
    redacted: String,
}

impl SecretUrl {
    /// Takes any text, also such that is no URL.
    pub fn new(text: &str) -> Self {
        Self { whole: text.into(), redacted: redact_url(text) }
    }

    /// Returns the whole text, secrets included: for connecting, and for `--debug`.
    pub fn expose(&self) -> &str {
        self.whole.expose_secret()
    }

    /// Returns what may be shown.
    pub fn redacted(&self) -> &str {
        &self.redacted
    }

    /// Returns what must not be shown: password and hidden parameters, as they are written in the URL.
    pub(crate) fn secrets(&self) -> Vec<&str> {
        let whole = self.expose();
        let found: Vec<&str> = if let Ok(parts) = Parts::parse(whole) {
            let hidden = parts.parameters.iter().filter(|(name, value)| shown_value(name, value).is_none());
            parts.password.into_iter().chain(hidden.map(|(_, value)| *value)).collect()
        } else {
            // Nobody knows where the password ends, so take the longest text that could be one.
            let rest = whole.split_once("://").map_or(whole, |(_, rest)| rest);
            let login = rest.rsplit_once('@').map(|(login, _)| login);
            let password = login.and_then(|login| login.split_once(':')).map(|(_, password)| password);
            let values = rest.split(['?', '&', ';']).skip(1).filter_map(|pair| pair.split_once('='));
            password.into_iter().chain(values.map(|(_, value)| value)).collect()
        };
        found.into_iter().filter(|secret| !secret.is_empty() && *secret != MASK).collect()
    }

    /// Returns whether there is something in it that must not be shown.
    pub fn has_secrets(&self) -> bool {
        !self.secrets().is_empty()
    }
}

impl PartialEq for SecretUrl {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.redacted)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretUrl({})", self.redacted)
    }
}

/// What is wrong with a URL, as a fragment that holds nothing of it.
pub(crate) type UrlFault = &'static str;

/// The parts of `scheme://[user[:password]@]hosts[/path][?parameters]` after the scheme, as they are written.
pub(crate) struct Parts<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
    hosts: &'a str,
    /// Without the leading slash; `None` if the slash is missing too.
    path: Option<&'a str>,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    /// Splits a URL strictly: where a special character could belong to a password, it is a fault and no guess is made.
    pub(crate) fn parse(text: &'a str) -> Result<Self, UrlFault> {
        let (_, rest) = split_scheme(text).ok_or("it does not begin with a scheme and `://`")?;
        if rest.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return Err("it has blanks or control characters");
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if tail.contains(['@', '#']) {
            return Err("it has `@` or `#` after the host: percent-encode special characters in the password");
        }
        let (login, hosts) =
            authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
        if login.is_some_and(|login| login.contains('@')) {
            return Err("it has more than one `@`: percent-encode special characters in the password");
        }
        let (user, password) = match login.map(|login| login.split_once(':').ok_or(login)) {
            None => (None, None),
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
        };
        if !hosts.is_empty() && !hosts.split(',').all(is_host) {
            return Err("its host or port is not valid");
        }
        let (path, query) = tail.split_once('?').map_or((tail, None), |(path, query)| (path, Some(query)));
        let pairs = query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty());
        let parameters = pairs.map(|pair| pair.split_once('=').unwrap_or(("", pair))).collect();
        Ok(Self { user, password, hosts, path: path.strip_prefix('/'), parameters })
    }
}

/// The parts of a server's URL as they are meant: percent-decoded. They are secrets until their user says otherwise.
#[cfg(feature = "net")]
pub(crate) struct UrlParts {
    /// Who logs in.
    pub user: Option<String>,
    /// With which password.
    pub password: Option<String>,
    /// The hosts, each with its port.
    pub hosts: Vec<(String, Option<u16>)>,
    /// What follows the slash after the hosts.
    pub path: Option<String>,
    /// The parameters; without a value where that is badly encoded.
    pub parameters: Vec<(String, Option<String>)>,
}

#[cfg(feature = "net")]
impl UrlParts {
    /// Splits and decodes a URL.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlFault> {
        let parts = Parts::parse(text)?;
        let decode = |text: &str| percent_decode(text).ok_or("it is not percent-encoded UTF-8");
        let host = |host: &str| {
            let bracketed = host.strip_prefix('[').and_then(|host| host.split_once(']'));
            let (name, port) = match bracketed {
                Some((name, port)) => (name, port.strip_prefix(':')),
                None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
            };
            Ok::<_, UrlFault>((decode(name)?, port.and_then(|port| port.parse().ok())))
        };
        Ok(Self {
            user: parts.user.map(decode).transpose()?,
            password: parts.password.map(decode).transpose()?,
            hosts: parts.hosts.split(',').filter(|name| !name.is_empty()).map(host).collect::<Result<_, _>>()?,
            path: parts.path.map(decode).transpose()?,
            parameters: parts
                .parameters
                .into_iter()
                .map(|(name, value)| (name.to_owned(), percent_decode(value)))
                .collect(),
        })
    }
}

/// Returns what may be shown of the URL `text`; for what is not one, only the mask, with the scheme where there is one.
fn redact_url(text: &str) -> String {
    let Some((scheme, rest)) = split_scheme(text) else { return MASK.to_owned() };
    if base_scheme(scheme) == "sqlite" {
        let path = rest.strip_prefix('/').filter(|path| is_sqlite_path(path));
        return format!("{scheme}://{}", path.map_or(MASK.to_owned(), |path| format!("/{}", path.escape_debug())));
    }
    let Ok(parts) = Parts::parse(text) else { return format!("{scheme}://{MASK}") };
    let mut shown = format!("{scheme}://");
    if let Some(user) = parts.user {
        shown.push_str(plain_or_mask(user));
        if parts.password.is_some() {
            shown.push(':');
            shown.push_str(MASK);
        }
        shown.push('@');
    }
    shown.push_str(parts.hosts);
    if let Some(path) = parts.path {
        shown.push('/');
        shown.push_str(plain_or_mask(path));
    }
    for (index, (name, value)) in parts.parameters.iter().enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        let known = PUBLIC_PARAMETERS.contains(name) || SECRET_PARAMETERS.contains(name);
        match (known, shown_value(name, value)) {
            (true, value) => shown.extend([*name, "=", value.unwrap_or(MASK)]),
            (false, _) => shown.push_str(MASK),
        }
    }
    shown
}

/// Returns `text` with every URL of a database, and every URL with a login, in redacted form.
pub(super) fn redact_urls_in(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(middle) = rest.find("://") {
        let is_scheme = |character: char| character.is_ascii_alphanumeric() || "+.-".contains(character);
        let start = rest[..middle].trim_end_matches(is_scheme).len();
        let after = middle + "://".len();
        let ends =
            |character: char| character.is_whitespace() || character.is_control() || "\"'`<>".contains(character);
        let tail = rest[after..].split(ends).next().unwrap_or_default();
        // What ends a sentence or closes a bracket is not the URL's.
        let tail = tail.trim_end_matches([',', '.', ';', ':', ')', '}']);
        let end = after + tail.len();
        let database = DATABASE_SCHEMES.contains(&base_scheme(&rest[start..middle]).to_ascii_lowercase().as_str());
        let login = tail.split('/').next().unwrap_or_default().contains('@');
        redacted.push_str(&rest[..start]);
        if database || login {
            redacted.push_str(&redact_url(&rest[start..end]));
        } else {
            redacted.push_str(&rest[start..end]);
        }
        rest = &rest[end..];
    }
    redacted.push_str(rest);
    redacted
}

/// Returns the scheme, with its driver, and what follows `://`.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let valid = scheme.len() <= 32 && scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    (valid && scheme.bytes().all(plain)).then_some((scheme, rest))
}

fn base_scheme(scheme: &str) -> &str {
    scheme.split('+').next().unwrap_or_default()
}

/// Returns the value of a parameter if it may be shown.
fn shown_value<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    (PUBLIC_PARAMETERS.contains(&name) && is_plain(value)).then_some(value)
}

/// Returns whether `text` has plain characters only, so that nothing can be hidden in it by encoding.
fn is_plain(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn plain_or_mask(text: &str) -> &str {
    if is_plain(text) { text } else { MASK }
}

/// Returns whether `path`, of a SQLite URL, is free of everything that could set off a login or a parameter.
///
/// What is not is neither shown nor used: paths turn up in messages, so no secret may come along in one.
pub(crate) fn is_sqlite_path(path: &str) -> bool {
    let login = path.split_once('@').is_some_and(|(before, _)| before.contains(':'));
    !login && !path.contains(['?', '#', ';', '=', '&', '%'])
}

/// Returns whether `host` is a name or an address, with or without port, or an encoded path of a socket.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, port)) if address.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)) => {
            (address, if port.is_empty() { None } else { port.strip_prefix(':').or(Some("")) })
        }
        Some(_) => return false,
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let is_name = |name: &str| is_plain(&name.replace(['/', ':'], ""));
    let socket =
        || name.contains('%') && percent_decode(name).is_some_and(|path| path.starts_with('/') && is_name(&path));
    let port_is_valid =
        port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+'));
    !name.is_empty() && name.len() <= 255 && port_is_valid && (is_host_name(name) || socket())
}

/// Returns whether `name` has only the characters of host names and addresses.
fn is_host_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte))
}

/// Returns the text that the percent-encoded `text` stands for; `None` if that is broken or not UTF-8.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let [high, low, tail @ ..] = rest else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16);
            decoded.push(u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?);
            rest = tail;
        } else {
            decoded.push(*first);
        }
    }
    String::from_utf8(decoded).ok()
}

/// Returns `text` with everything but RFC 3986's unreserved characters percent-encoded.
pub(super) fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
