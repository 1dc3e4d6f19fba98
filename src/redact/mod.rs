//! Keeps secrets out of everything that is shown, logged or recorded.
//!
//! Two guards stand one behind the other. Secrets live in types that do not print ([`SecretUrl`]), and what is shown of them
//! is what an allow-list names. Text from elsewhere (a driver's error, a server's message) passes a [`Redactor`], which
//! knows this run's secrets in every form they are likely to take, and hides what looks like a URL with a password.

mod url;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};

pub use url::SecretUrl;
#[cfg(feature = "net")]
pub(crate) use url::UrlParts;
pub(crate) use url::{Parts, UrlFault, is_sqlite_path};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// The shortest secret in bytes that is hidden wherever it occurs; a shorter one would hide half of every message, so
/// it is hidden only where it stands as in its URL.
const MIN_LENGTH: usize = 4;

/// Hides known secrets, and URLs with passwords, in text.
///
/// For talk only: errors, logs, free text in records. Data such as a path must not pass here, since a password that
/// happens to be an ordinary word would change it.
#[derive(Clone, Default)]
pub struct Redactor {
    /// What to look for and what to put there, longest first so that no secret is cut by a shorter one.
    patterns: Vec<(SecretString, String)>,
}

impl Redactor {
    /// Returns a redactor that knows no secret, and still hides URLs with passwords.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hides `secret` from now on: as it is, percent-decoded, percent-encoded and escaped as in JSON.
    ///
    /// Does nothing for a secret shorter than four bytes.
    pub fn add_secret(&mut self, secret: &str) {
        let decoded = url::percent_decode(secret).unwrap_or_else(|| secret.to_owned());
        let mut forms = BTreeSet::new();
        for plain in [secret, &decoded] {
            let encoded = url::percent_encode(plain);
            forms.insert(encoded.to_lowercase());
            forms.insert(encoded.replace("%20", "+"));
            forms.insert(encoded);
            forms.insert(plain.escape_debug().to_string());
            forms.insert(serde_json::Value::from(plain).to_string().trim_matches('"').to_owned());
            forms.insert(plain.to_owned());
        }
        for form in forms.into_iter().filter(|form| form.len() >= MIN_LENGTH) {
            self.add_pattern(form, MASK.to_owned());
        }
    }

    /// Hides every secret in `url` from now on, and shows the whole of it in its redacted form.
    pub fn add_url(&mut self, url: &SecretUrl) {
        for secret in url.secrets() {
            // In its context even a short password can be told from ordinary text.
            self.add_pattern(format!(":{secret}@"), format!(":{MASK}@"));
            self.add_secret(secret);
        }
        if url.expose() != url.redacted() {
            self.add_pattern(url.expose().to_owned(), url.redacted().to_owned());
        }
    }

    /// Returns `text` with every known secret, and every URL with a password, in redacted form.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for (secret, shown) in &self.patterns {
            if text.contains(secret.expose_secret()) {
                text = Cow::Owned(text.replace(secret.expose_secret(), shown));
            }
        }
        if text.contains("://") { Cow::Owned(url::redact_urls_in(&text)) } else { text }
    }

    fn add_pattern(&mut self, secret: String, shown: String) {
        if self.patterns.iter().any(|(known, _)| known.expose_secret() == secret) {
            return;
        }
        let place = self.patterns.partition_point(|(known, _)| known.expose_secret().len() >= secret.len());
        self.patterns.insert(place, (secret.into(), shown));
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Redactor({} patterns)", self.patterns.len())
    }
}

#[cfg(test)]
mod tests;
