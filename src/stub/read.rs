//! Reading stubs: strict about what is said, tolerant about what editors and git change in passing.
//!
//! Whatever is read here may be hostile; it is looked at in memory bounded by what the caller passes, and only files that
//! begin as stubs do are read further than [`HEAD_LENGTH`].

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use bstr::ByteSlice;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::comment::Comment;
use super::lines::line_of;
use super::{EVIDENCE, KEYS, MARKER, MAX_LENGTH, Stub, VERSION};
use crate::id::{ParseIdError, Sha256, Sha256Hasher};
use crate::item::{RepoPath, RepoPathError};
use crate::quote::unquote;

/// How many bytes from the start tell whether a file may be a stub.
pub const HEAD_LENGTH: usize = 256;

/// The longest file in bytes that can be a stub: twice [`MAX_LENGTH`], to leave room for what normalisation takes off.
pub const MAX_RAW_LENGTH: usize = 2 * MAX_LENGTH;

/// What may stand on the line before the marker, because a language wants it first.
const PROLOGUES: [&[u8]; 3] = [b"#!", b"<?xml", b"<?php"];

/// The line before the marker is shorter than this, in bytes.
const MAX_PROLOGUE: usize = 128;

/// How git marks the beginning of a conflict.
const CONFLICT_START: &[u8] = b"<<<<<<< ";

/// How a JSON stub begins, token by token, up to the text of its marker.
const JSON_BEGINNING: [&str; 7] = ["{", "\"git-archive-tomb\"", ":", "{", "\"marker\"", ":", "\""];

/// What some bytes are to a reader of stubs.
#[derive(Debug)]
pub enum Parsed {
    /// Any other file.
    NotAStub,
    /// A whole stub.
    Stub(Box<ParsedStub>),
    /// A stub of a later version of the format; it is not broken.
    Newer {
        /// The version, above the newest that this program reads.
        version: u32,
    },
    /// It claims to be a stub and is none, or is a merge conflict that involves one.
    Malformed(Malformed),
}

/// A stub as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedStub {
    /// What it says.
    pub stub: Stub,
    /// Its `restore` line: for show only, since only [`ParsedStub::digest`] tells whether it is the program's own text.
    pub restore: String,
    /// The SHA-256 of the normalised text with the value of `evidence` replaced by 64 zeros: the record's `stub`.
    pub digest: Sha256,
}

/// Why a file that claims to be a stub is none.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is longer than any stub.
    #[error("it is longer than 32 KiB")]
    TooLong,
    /// It is not text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// A merge left it unresolved.
    #[error("line {line} is a conflict marker")]
    Conflict {
        /// The line, counted from 1.
        line: usize,
    },
    /// A line is not the one that belongs there.
    #[error("line {line} does not hold the key `{key}`")]
    Key {
        /// The line, counted from 1.
        line: usize,
        /// The key that belongs there.
        key: &'static str,
    },
    /// The JSON is not the one object that a stub is.
    #[error("line {line} does not go on as a stub's JSON object does")]
    Json {
        /// The line, counted from 1.
        line: usize,
    },
    /// A value holds a control character or broken quoting.
    #[error("the value of `{key}` is not plain or quoted text")]
    Quoting {
        /// Its key.
        key: &'static str,
    },
    /// A value is none of those that its key may have.
    #[error("the value of `{key}` is not valid")]
    Value {
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        source: ParseIdError,
    },
    /// The path is none.
    #[error("the value of `path` is not valid")]
    Path(#[from] RepoPathError),
}

impl Malformed {
    /// Returns the number of the line, from 1, that is at fault in `bytes`, where one is.
    pub fn line(&self, bytes: &[u8]) -> Option<u64> {
        match self {
            Self::TooLong | Self::NotUtf8 => None,
            Self::Conflict { line } | Self::Key { line, .. } | Self::Json { line } => Some(*line as u64),
            Self::Quoting { key } | Self::Value { key, .. } => line_of(bytes, key),
            Self::Path(_) => line_of(bytes, "path"),
        }
    }
}

/// Returns whether a file that begins with `head` may be anything but [`Parsed::NotAStub`].
///
/// [`HEAD_LENGTH`] bytes are enough; `false` is final, so that large files need not be read.
pub fn may_be_stub(head: &[u8]) -> bool {
    Head::of(&head[..head.len().min(HEAD_LENGTH)]).is_some()
}

/// Returns what `bytes`, a whole file, are.
///
/// A file longer than [`MAX_RAW_LENGTH`] may be passed cut somewhere after that; all that is missed then is a stub deep
/// inside a conflict.
pub fn parse(bytes: &[u8]) -> Parsed {
    if !may_be_stub(bytes) {
        return Parsed::NotAStub;
    }
    if let Some(Head::Conflict { line }) = Head::of(bytes) {
        let involves_stub = bytes.lines().any(holds_marker);
        return if involves_stub { Parsed::Malformed(Malformed::Conflict { line }) } else { Parsed::NotAStub };
    }
    let is_too_long = bytes.len() > MAX_RAW_LENGTH;
    let normalised = normalise(&bytes[..bytes.len().min(MAX_RAW_LENGTH)]);
    let result = match Head::of(&normalised) {
        // The first bytes ended inside the line: what follows shows that the marker does not stand alone.
        None | Some(Head::Conflict { .. }) => return Parsed::NotAStub,
        Some(Head::Json { version } | Head::Text { version, .. }) if version > VERSION => {
            return Parsed::Newer { version };
        }
        Some(_) if is_too_long || normalised.len() > MAX_LENGTH => Err(Malformed::TooLong),
        Some(head) => parse_normalised(&normalised, &head),
    };
    match result {
        Ok(stub) => Parsed::Stub(Box::new(stub)),
        Err(malformed) => Parsed::Malformed(malformed),
    }
}

fn parse_normalised(bytes: &[u8], head: &Head) -> Result<ParsedStub, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
    if let Some(index) = text.lines().position(|line| is_conflict_marker(line.as_bytes())) {
        return Err(Malformed::Conflict { line: index + 1 });
    }
    let (stub, restore, evidence) = if let Head::Text { line, marker, .. } = head {
        let ranges = find_fields(text, *line, marker)?;
        let (stub, restore) = read_values(&ranges.each_ref().map(|range| &text[range.clone()]))?;
        (stub, restore, ranges[EVIDENCE].clone())
    } else {
        let envelope: Envelope = serde_json::from_str(text)
            // The error's own words may quote the file, control characters included.
            .map_err(|error| Malformed::Json { line: error.line() })?;
        let (stub, restore) = read_values(&envelope.stub.0.each_ref().map(String::as_str))?;
        // Spelled with escapes it would not be found, and is nothing that this program writes.
        let plain = format!("\"{}\"", stub.evidence);
        let start = text.rfind(&plain).ok_or(Malformed::Quoting { key: KEYS[EVIDENCE] })? + 1;
        (stub, restore, start..start + plain.len() - 2)
    };
    let mut hasher = Sha256Hasher::new();
    hasher.update(&bytes[..evidence.start]);
    hasher.update(Sha256::ZERO.to_string().as_bytes());
    hasher.update(&bytes[evidence.end..]);
    Ok(ParsedStub { stub, restore, digest: hasher.finish() })
}

/// Takes off what editors and git change in passing: a byte order mark, blanks and carriage returns at the end of lines,
/// empty lines at the end, and a missing last newline.
pub(super) fn normalise(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut normalised = Vec::with_capacity(bytes.len() + 1);
    for line in bytes.split(|byte| *byte == b'\n') {
        normalised.extend_from_slice(trim_end(line));
        normalised.push(b'\n');
    }
    while normalised.ends_with(b"\n\n") {
        normalised.pop();
    }
    normalised
}

fn trim_end(line: &[u8]) -> &[u8] {
    line.trim_end_with(|character| matches!(character, ' ' | '\t' | '\r'))
}

/// How a file begins that may be a stub.
pub(super) enum Head {
    /// With a marker line.
    Text { line: usize, marker: MarkerLine, version: u32 },
    /// With the beginning of a JSON stub.
    Json { version: u32 },
    /// With a conflict marker, on this line counted from 1.
    Conflict { line: usize },
}

impl Head {
    /// Returns how `bytes` begin.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if let Some(version) = json_version(bytes) {
            return Some(Self::Json { version });
        }
        let mut may_be_marker = true;
        for (index, line) in bytes.lines().take(2).enumerate() {
            if line.starts_with(CONFLICT_START) {
                return Some(Self::Conflict { line: index + 1 });
            }
            if may_be_marker && let Some((marker, version)) = MarkerLine::of(line) {
                return Some(Self::Text { line: index, marker, version });
            }
            may_be_marker = PROLOGUES.iter().any(|prologue| line.starts_with(prologue)) && line.len() < MAX_PROLOGUE;
            if !may_be_marker && trim_end(line) != b"{" {
                break;
            }
        }
        None
    }
}

fn is_conflict_marker(line: &[u8]) -> bool {
    line == b"=======" || line.starts_with(CONFLICT_START) || line.starts_with(b">>>>>>> ")
}

/// Returns whether `line` holds a marker, in text or JSON, wherever in a conflict it came to stand.
fn holds_marker(line: &[u8]) -> bool {
    let json = || line.find(MARKER).is_some_and(|start| line[..start].contains_str("\"marker\""));
    MarkerLine::of(line).is_some() || json()
}

/// The comment syntax of a line on which the marker stands alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct MarkerLine {
    /// The comment it opens.
    pub(super) comment: &'static Comment,
    /// Whether the same line closes the comment.
    is_closed: bool,
}

impl MarkerLine {
    /// Returns the syntax and the version of a marker line; `None` for any other line.
    pub(super) fn of(line: &[u8]) -> Option<(Self, u32)> {
        let line = trim_end(line);
        let start = line.find(MARKER)?;
        let comment = match &line[..start] {
            [] => Comment::find(b""),
            [leader @ .., b' '] if !leader.is_empty() => Comment::find(leader),
            _ => None,
        }?;
        let rest = &line[start + MARKER.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let version = parse_version(&rest[..digits])?;
        let is_closed = match &rest[digits..] {
            [] => false,
            [b' ', closer @ ..] if !closer.is_empty() && closer == comment.closer.as_bytes() => true,
            _ => return None,
        };
        Some((Self { comment, is_closed }, version))
    }

    /// Returns whether field lines may begin with `prefix`.
    fn allows(&self, prefix: &str) -> bool {
        let is_own = match self.comment.leader {
            "" => prefix.is_empty(),
            leader => prefix.strip_suffix(' ') == Some(leader),
        };
        let is_inside = prefix.len() <= 8 && prefix.bytes().all(|byte| matches!(byte, b' ' | b'*'));
        if self.comment.block && !self.is_closed { is_inside } else { is_own }
    }
}

/// Returns a version: decimal digits, at most 9, the first not `0`.
fn parse_version(digits: &[u8]) -> Option<u32> {
    if digits.len() > 9 || digits.first() == Some(&b'0') {
        return None;
    }
    digits.to_str().ok()?.parse().ok()
}

/// Returns the version that a JSON stub's beginning names; `None` for any other beginning.
pub(super) fn json_version(bytes: &[u8]) -> Option<u32> {
    let mut rest = bytes;
    for token in JSON_BEGINNING {
        rest = rest.trim_start_with(|character| matches!(character, ' ' | '\t' | '\r' | '\n'));
        rest = rest.strip_prefix(token.as_bytes())?;
    }
    let rest = rest.strip_prefix(MARKER.as_bytes())?;
    parse_version(&rest[..rest.find_byte(b'"')?])
}

/// Returns where in `text` the values of [`KEYS`] stand; the marker is on line number `line`, counted from 0.
fn find_fields(text: &str, line: usize, marker: &MarkerLine) -> Result<[Range<usize>; KEYS.len()], Malformed> {
    let suffix = if marker.is_closed { format!(" {}", marker.comment.closer) } else { String::new() };
    let start: usize = text.split_inclusive('\n').take(line + 1).map(str::len).sum();
    let mut rest = &text[start..];
    let error = |index: usize| Malformed::Key { line: line + 2 + index, key: KEYS[index] };
    let prefix = rest.split(KEYS[0]).next().filter(|prefix| marker.allows(prefix)).ok_or_else(|| error(0))?;
    let mut ranges = [const { 0..0 }; KEYS.len()];
    for (index, key) in KEYS.iter().enumerate() {
        let value = rest.split_once('\n').and_then(|(whole, after)| {
            let content = whole.strip_suffix(suffix.as_str())?;
            let value = content.strip_prefix(prefix)?.strip_prefix(key)?.strip_prefix(": ")?;
            let end = text.len() - rest.len() + content.len();
            rest = after;
            Some(end - value.len()..end)
        });
        ranges[index] = value.ok_or_else(|| error(index))?;
    }
    Ok(ranges)
}

/// Returns what the values of [`KEYS`] say, and the `restore` line.
fn read_values(values: &[&str; KEYS.len()]) -> Result<(Stub, String), Malformed> {
    if let Some(index) = values.iter().position(|value| value.is_empty() || value.chars().any(char::is_control)) {
        return Err(Malformed::Quoting { key: KEYS[index] });
    }
    let text = |index: usize| unquote(values[index]).ok_or(Malformed::Quoting { key: KEYS[index] });
    let string = |index: usize| {
        let bytes = text(index)?.into_owned();
        String::from_utf8(bytes).map_err(|_| Malformed::Quoting { key: KEYS[index] })
    };
    let stub = Stub {
        path: RepoPath::try_new(text(0)?)?,
        tombstone: read_value(values, 1)?,
        sha256: read_value(values, 2)?,
        size: read_value::<Size>(values, 3)?.0,
        mode: read_value(values, 4)?,
        object: read_value(values, 5)?,
        repo: string(6)?,
        commit: read_value(values, 7)?,
        reason: read_value(values, 8)?,
        archived_by: string(9)?,
        archived_at: read_value(values, 10)?,
        evidence: read_value(values, EVIDENCE)?,
    };
    Ok((stub, values[12].to_owned()))
}

fn read_value<T: FromStr<Err = ParseIdError>>(values: &[&str; KEYS.len()], index: usize) -> Result<T, Malformed> {
    values[index].parse().map_err(|source| Malformed::Value { key: KEYS[index], source })
}

/// A number of bytes in its one printed form: `u64` alone would also take `+1` and `01`.
struct Size(u64);

impl FromStr for Size {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let size = text.parse().ok().filter(|size: &u64| size.to_string() == text);
        size.map(Self).ok_or_else(|| ParseIdError::new("a number of bytes", text))
    }
}

/// A JSON stub.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(rename = "git-archive-tomb")]
    stub: Members,
}

/// The values of a JSON stub's members; which members and in which order is checked while reading.
struct Members([String; KEYS.len()]);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the members of a stub, in their order")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        // `may_be_stub` has seen the marker's text; here it is only stepped over.
        if map.next_entry::<String, String>()?.is_none_or(|(key, _)| key != "marker") {
            return Err(A::Error::custom("the first member is not `marker`"));
        }
        let mut values = [const { String::new() }; KEYS.len()];
        for (key, value) in KEYS.iter().zip(&mut values) {
            match map.next_entry::<String, String>()? {
                Some((found, text)) if found == *key => *value = text,
                _ => return Err(A::Error::custom(format_args!("the next member is not `{key}`"))),
            }
        }
        match map.next_key::<String>()? {
            None => Ok(Members(values)),
            Some(_) => Err(A::Error::custom("there are more members than keys")),
        }
    }
}
