//! Identifiers: SHA-256 digests, git object ids, tombstones and operation ids.
//!
//! All of them print as lower-case hexadecimal and parse strictly: what is not exactly the printed form is refused,
//! because these values are compared byte for byte in stubs, evidence and the archive.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use uuid::Uuid;

/// The namespace of every tombstone, for `UUIDv5` (RFC 9562, section 5.5): itself the `UUIDv5` of the name
/// `urn:git-archive-tomb:tombstone` in the RFC's URL namespace.
///
/// Frozen: changing it would give every archived path another tombstone. Documented in `docs/archive.md`.
pub const TOMBSTONE_NAMESPACE: Uuid = Uuid::from_u128(0x7070_08a2_dc23_5cb4_890c_c072_2427_76c7);

/// An identifier that was not in its one printed form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {expected}")]
pub struct ParseIdError {
    /// What the text should have been, as a noun phrase.
    pub expected: &'static str,
    /// The offending text, shortened and with control characters escaped.
    pub found: String,
}

impl ParseIdError {
    pub(crate) fn new(expected: &'static str, found: &str) -> Self {
        let shown: String = found.chars().take(80).flat_map(char::escape_debug).collect();
        Self { expected, found: shown }
    }
}

/// A SHA-256 digest (FIPS 180-4): 32 bytes, printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest whose bytes are all zero: the placeholder for `evidence` when a stub is hashed.
    pub const ZERO: Self = Self([0; 32]);

    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Sha256Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns the digest and the length in bytes of everything `reader` yields, in bounded memory.
    pub fn of_reader(mut reader: impl Read) -> io::Result<(Self, u64)> {
        let mut hasher = Sha256Hasher::new();
        // Small, because most of what is read is: a larger one would take longer to clear than to fill.
        let mut buffer = [0; 8 * 1024];
        let mut length = 0;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok((hasher.finish(), length)),
                Ok(read) => {
                    hasher.update(&buffer[..read]);
                    length += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the digest that these bytes are.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 16 hexadecimal digits, as evidence file names carry them.
    pub fn short(&self) -> String {
        hex(&self.0[..8])
    }
}

/// Computes a [`Sha256`] piece by piece.
#[derive(Clone)]
pub struct Sha256Hasher(ring::digest::Context);

impl Sha256Hasher {
    /// Returns a hasher that has seen no bytes.
    pub fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    /// Appends `bytes` to what is hashed.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of everything seen.
    pub fn finish(self) -> Sha256 {
        let digest = self.0.finish();
        Sha256(digest.as_ref().try_into().expect("SHA-256 digests are 32 bytes long"))
    }
}

impl Default for Sha256Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sha256Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sha256Hasher")
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sha256({self})")
    }
}

impl FromStr for Sha256 {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = unhex(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| ParseIdError::new("a SHA-256 of 64 lower-case hexadecimal digits", text))
    }
}

/// The id of a git object, in the repository's own hash: SHA-1 (20 bytes) or SHA-256 (32 bytes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    bytes: [u8; 32],
    length: u8,
}

impl ObjectId {
    /// Returns the id with these raw bytes; `None` unless there are 20 or 32 of them.
    pub fn from_bytes(raw: &[u8]) -> Option<Self> {
        if raw.len() != 20 && raw.len() != 32 {
            return None;
        }
        let mut bytes = [0; 32];
        bytes[..raw.len()].copy_from_slice(raw);
        let length = u8::try_from(raw.len()).ok()?;
        Some(Self { bytes, length })
    }

    /// Returns the raw bytes: 20 for SHA-1, 32 for SHA-256.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Returns whether this is git's null id, which stands for "no object".
    pub fn is_null(&self) -> bool {
        self.bytes == [0; 32]
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(self.as_bytes()))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ObjectId({self})")
    }
}

impl FromStr for ObjectId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        unhex(text)
            .and_then(|bytes| Self::from_bytes(&bytes))
            .ok_or_else(|| ParseIdError::new("a git object id of 40 or 64 lower-case hexadecimal digits", text))
    }
}

/// The id of one archived item: a version 5 UUID that follows from what was archived.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tombstone(Uuid);

impl Tombstone {
    /// Returns the tombstone of `path` in `repo` at `commit` with content `sha256`.
    ///
    /// It is the `UUIDv5` in [`TOMBSTONE_NAMESPACE`] over repo, path, commit id and hexadecimal SHA-256 joined by NUL,
    /// so the same store on two machines names the same tombstone.
    pub fn derive(repo: &str, path: &[u8], commit: &ObjectId, sha256: &Sha256) -> Self {
        let commit = commit.to_string();
        let sha256 = sha256.to_string();
        let name = [repo.as_bytes(), path, commit.as_bytes(), sha256.as_bytes()].join(&0);
        Self(Uuid::new_v5(&TOMBSTONE_NAMESPACE, &name))
    }
}

impl fmt::Display for Tombstone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

impl fmt::Debug for Tombstone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tombstone({self})")
    }
}

impl FromStr for Tombstone {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse_uuid(text).map(Self).ok_or_else(|| ParseIdError::new("a tombstone (a lower-case UUID)", text))
    }
}

/// The id of one operation: every record an operation makes carries it. A version 7 UUID, so ids sort by start time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(Uuid);

impl OperationId {
    /// Returns an id no other operation has.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OperationId({self})")
    }
}

impl FromStr for OperationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse_uuid(text).map(Self).ok_or_else(|| ParseIdError::new("an operation id (a lower-case UUID)", text))
    }
}

/// Parses the hyphenated lower-case form only; the `uuid` crate would also take braces, URNs and capitals.
fn parse_uuid(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    (uuid.as_hyphenated().to_string() == text).then_some(uuid)
}

/// Lets types serialize as what they print and deserialize as what they parse.
macro_rules! serialize_as_text {
    ($($type:ty),+) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use serialize_as_text;

serialize_as_text!(Sha256, ObjectId, Tombstone, OperationId);

/// Returns `bytes` as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Returns the bytes of lower-case hexadecimal `text`; `None` for anything else.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_agrees_with_the_published_vector() {
        // FIPS 180-4, example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").to_string(), expected);
        assert_eq!(Sha256::of_reader(&b"abc"[..]).expect("reads memory"), (Sha256::of(b"abc"), 3));
        assert_eq!(expected.parse(), Ok(Sha256::of(b"abc")));
    }

    #[test]
    fn only_the_printed_form_parses() {
        assert!("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD".parse::<Sha256>().is_err());
        assert!("ba78".parse::<Sha256>().is_err());
        assert!("{8e3531b9-c839-5a07-9dec-507c36136eb1}".parse::<Tombstone>().is_err());
        assert!("8e3531b9c8395a079dec507c36136eb1".parse::<Tombstone>().is_err());
        assert!("8E3531B9-c839-5a07-9dec-507c36136eb1".parse::<Tombstone>().is_err());
        assert!("0123456789012345678901234567890123456789".parse::<ObjectId>().is_ok());
        assert!("012345678901234567890123456789012345678".parse::<ObjectId>().is_err());
    }

    #[test]
    fn a_tombstone_follows_from_what_was_archived() {
        let commit: ObjectId = "0123456789012345678901234567890123456789".parse().expect("is an object id");
        let tombstone = Tombstone::derive("repo", b"src/a.py", &commit, &Sha256::of(b"abc"));
        // Frozen: this value must never change.
        assert_eq!(tombstone.to_string(), "16bd3d4a-ba15-592c-ad02-cf17c8d16883");
        assert_ne!(tombstone, Tombstone::derive("repo", b"src/b.py", &commit, &Sha256::of(b"abc")));
    }
}
