//! Values: from what was written to what is meant.

use std::fmt;
use std::time::Duration;

use super::schema::Kind;
use super::url::{ArchiveUrl, StoreUrl, UrlError};
use crate::redact::{MASK, Redactor};

/// A value as its layer wrote it.
#[derive(Clone)]
pub(super) enum Raw {
    /// TOML knows types.
    Boolean(bool),
    /// An integer of TOML, or why it is too large for one.
    Integer(Option<i64>),
    /// A float of TOML.
    Float(f64),
    /// A string of TOML.
    Text(String),
    /// Something else of TOML: its name.
    Other(&'static str),
    /// Text from an environment variable or a flag, where everything is text.
    Written(String),
    /// Text from git config; `None` for a key without `=`.
    Git(Option<String>),
}

/// A value as it is meant.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(u64),
    /// A number, with or without a unit of seconds.
    Number(f64),
    /// A time span.
    Duration(Duration),
    /// One of the words that its key allows.
    Word(&'static str),
    /// A path; empty for none.
    Path(String),
    /// The URL of an archive.
    ArchiveUrl(ArchiveUrl),
    /// The URL of an object store; empty for none.
    StoreUrl(Option<StoreUrl>),
    /// A key without a value and without a default.
    Unset,
}

/// Why a value is not what its key takes.
#[derive(Debug)]
pub(super) enum Mistake {
    Type { expected: String, found: &'static str },
    Value { expected: String, shown: String },
    Url(UrlError),
}

impl Value {
    /// Returns the value that `raw` means for a key of `kind`.
    pub(super) fn parse(kind: &Kind, raw: &Raw) -> Result<Self, Mistake> {
        let wrong_type = || Mistake::Type { expected: expected(kind), found: raw.type_name() };
        let wrong_value = |shown: &str| Mistake::Value { expected: expected(kind), shown: shown_value(shown) };
        match kind {
            Kind::Boolean => match raw {
                Raw::Boolean(boolean) => Ok(Self::Boolean(*boolean)),
                Raw::Git(None) => Ok(Self::Boolean(true)),
                Raw::Git(Some(text)) if text.is_empty() => Ok(Self::Boolean(false)),
                _ => {
                    let text = raw.untyped().ok_or_else(wrong_type)?;
                    parse_boolean(text).map(Self::Boolean).ok_or_else(|| wrong_value(text))
                }
            },
            Kind::Integer(least, most) => {
                let (integer, shown) = if let Raw::Integer(integer) = raw {
                    (*integer, integer.map_or("too large".to_owned(), |n| n.to_string()))
                } else {
                    let text = raw.untyped().ok_or_else(wrong_type)?;
                    (parse_integer(text, matches!(raw, Raw::Git(_))), text.to_owned())
                };
                let integer = integer.and_then(|integer| u64::try_from(integer).ok());
                let within = integer.filter(|integer| (least..=most).contains(&integer));
                within.map(Self::Integer).ok_or_else(|| wrong_value(&shown))
            }
            Kind::Seconds(least, most) | Kind::Number(least, most) => {
                let (number, shown) = match raw {
                    #[expect(clippy::cast_precision_loss, reason = "the ranges end far below 2^53")]
                    Raw::Integer(Some(integer)) => (Some(*integer as f64), integer.to_string()),
                    Raw::Integer(None) => (None, "too large".to_owned()),
                    Raw::Float(float) => (Some(*float), float.to_string()),
                    _ => {
                        let text = raw.untyped().ok_or_else(wrong_type)?;
                        (text.parse().ok(), text.to_owned())
                    }
                };
                // Neither infinity nor what is not a number is in any range.
                let within = number.filter(|number| (least..=most).contains(&number));
                within.map(Self::Number).ok_or_else(|| wrong_value(&shown))
            }
            Kind::Duration => {
                let text = raw.text().ok_or_else(wrong_type)?;
                parse_duration(text).map(Self::Duration).ok_or_else(|| wrong_value(text))
            }
            Kind::Choice(words, spellings) => {
                let text = raw.text().ok_or_else(wrong_type)?;
                let word = spellings.iter().find(|(spelling, _)| *spelling == text).map_or(text, |(_, word)| word);
                words.iter().find(|known| **known == word).map(|word| Self::Word(word)).ok_or_else(|| wrong_value(text))
            }
            Kind::Path => {
                let text = raw.text().ok_or_else(wrong_type)?;
                if text.contains('\0') { Err(wrong_value(text)) } else { Ok(Self::Path(text.to_owned())) }
            }
            Kind::ArchiveUrl => {
                let text = raw.text().ok_or_else(wrong_type)?;
                ArchiveUrl::parse(text).map(Self::ArchiveUrl).map_err(Mistake::Url)
            }
            Kind::StoreUrl => {
                let text = raw.text().ok_or_else(wrong_type)?;
                let url = if text.is_empty() { Ok(None) } else { StoreUrl::parse(text).map(Some) };
                url.map(Self::StoreUrl).map_err(Mistake::Url)
            }
        }
    }
}

impl Raw {
    /// Returns the text where text is meant.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Written(text) | Self::Git(Some(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the text of a layer that knows no types.
    fn untyped(&self) -> Option<&str> {
        match self {
            Self::Written(text) | Self::Git(Some(text)) => Some(text),
            _ => None,
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) | Self::Written(_) | Self::Git(Some(_)) => "a string",
            Self::Git(None) => "no value",
            Self::Other(name) => name,
        }
    }
}

/// Returns what a key of `kind` takes, as a noun phrase.
fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer(least, most) => format!("an integer from {least} to {most}"),
        Kind::Seconds(least, most) => format!("seconds from {least} to {most}"),
        Kind::Number(least, most) => format!("a number from {least} to {most}"),
        Kind::Duration => "a duration such as `30d` (units s, m, h, d, w; at most 3650 days)".to_owned(),
        Kind::Choice(words, _) => format!("one of {}", words.join(", ")),
        Kind::Path => "a path".to_owned(),
        Kind::ArchiveUrl => "the URL of an archive".to_owned(),
        Kind::StoreUrl => "the URL of an object store".to_owned(),
    }
}

/// Returns `text` as a message may carry it: short, printable, and without a secret that strayed into the wrong place.
pub(super) fn shown_value(text: &str) -> String {
    // No word and no number has these signs, but a login without a scheme has.
    if text.contains(['@', '=']) && !text.contains("://") {
        return MASK.to_owned();
    }
    let redacted = Redactor::new().redact(text).into_owned();
    redacted.chars().take(80).flat_map(char::escape_debug).collect()
}

/// Returns the boolean that git would read from `text`, empty text aside.
fn parse_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Returns the integer in `text`, with git's suffixes if `suffixes`.
fn parse_integer(text: &str, suffixes: bool) -> Option<i64> {
    let (digits, factor) = match text.bytes().last().filter(|_| suffixes).map(|last| last.to_ascii_lowercase()) {
        Some(b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

const UNITS: &[(char, u64)] = &[('w', 7 * 86_400), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// The longest time span that is taken, in seconds.
const MAX_DURATION: u64 = 3650 * 86_400;

/// Returns the time span in `text`: an integer and one of the units `s`, `m`, `h`, `d`, `w`.
///
/// `None` if it is anything else, nothing at all, or more than 3650 days.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit = UNITS.iter().find(|(unit, _)| text.ends_with(*unit))?;
    let digits = &text[..text.len() - 1];
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(unit.1)?;
    (1..=MAX_DURATION).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// Returns `duration` as [`parse_duration`] takes it, in the largest unit that divides it (weeks aside).
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let unit = UNITS[1..].iter().find(|(_, length)| seconds.is_multiple_of(*length)).unwrap_or(&('s', 1));
    format!("{}{}", seconds / unit.1, unit.0)
}

impl fmt::Display for Value {
    /// Writes the value as TOML would have it, on one line, secrets hidden.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(boolean) => write!(formatter, "{boolean}"),
            Self::Integer(integer) => write!(formatter, "{integer}"),
            Self::Number(number) => write!(formatter, "{number:?}"),
            Self::Duration(duration) => write!(formatter, "\"{}\"", format_duration(*duration)),
            Self::Word(word) => write!(formatter, "\"{word}\""),
            Self::Path(path) => write!(formatter, "{path:?}"),
            Self::ArchiveUrl(url) => write!(formatter, "\"{url}\""),
            Self::StoreUrl(None) => formatter.write_str("\"\""),
            Self::StoreUrl(Some(url)) => write!(formatter, "\"{url}\""),
            Self::Unset => formatter.write_str("(not set)"),
        }
    }
}
