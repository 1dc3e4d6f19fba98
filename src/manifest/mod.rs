//! Manifests: lists of rows that people and scripts write for batches, in JSON, JSON lines or CSV.
//!
//! Which fields a row has is for who reads it to say ([`FromRow`]); what all manifests have in common is here: the forms, told
//! apart by their content, the limits, and errors that name row and line, all at once. Specified in `docs/batch.md`.

mod csv;
mod error;
mod fields;
mod json;
#[cfg(test)]
mod tests;

use std::io::Read;

use bstr::ByteSlice;

pub use error::{ManifestError, Mistake, Mistakes};
pub use fields::{Fields, FromRow};

use crate::id::Sha256;

/// The longest manifest in bytes.
pub const MAX_LENGTH: u64 = 64 << 20;

/// The longest row in bytes, as the manifest has it.
pub const MAX_ROW_LENGTH: usize = 64 * 1024;

/// The most rows.
pub const MAX_ROWS: usize = 1_000_000;

/// A manifest's well-formed rows.
#[derive(Debug)]
pub struct Manifest<T> {
    /// The rows, in order.
    pub rows: Vec<Row<T>>,
    /// The SHA-256 of the manifest's bytes.
    pub sha256: Sha256,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T> {
    /// Its number, from 1; a header is no row.
    pub number: usize,
    /// The line that it begins in, from 1.
    pub line: usize,
    /// What it says.
    pub value: T,
}

impl<T> Row<T> {
    /// Returns the mistake that something about this row is.
    pub fn mistake(&self, what: impl Into<String>) -> Mistake {
        Mistake { row: self.number, line: self.line, what: what.into() }
    }
}

/// Reads a manifest to its end, all of whose rows must be well-formed.
pub fn read<T: FromRow>(input: impl Read) -> Result<Manifest<T>, ManifestError> {
    let (manifest, mistakes) = read_all(input)?;
    if mistakes.is_empty() { Ok(manifest) } else { Err(ManifestError::Mistakes(mistakes)) }
}

/// Reads a manifest to its end: the rows that are well-formed, and what is wrong with the others, for who has more to find
/// wrong with them.
///
/// Holds at most a small multiple of the manifest's length, which is bounded, in memory.
pub fn read_all<T: FromRow>(input: impl Read) -> Result<(Manifest<T>, Mistakes), ManifestError> {
    let mut bytes = Vec::new();
    input.take(MAX_LENGTH + 1).read_to_end(&mut bytes).map_err(ManifestError::Read)?;
    if bytes.len() as u64 > MAX_LENGTH {
        return Err(ManifestError::TooLong);
    }
    let Rows { taken, mistakes } = parse(&bytes)?;
    Ok((Manifest { rows: taken, sha256: Sha256::of(&bytes) }, mistakes))
}

/// Parses a manifest: the first character tells JSON from CSV.
fn parse<T: FromRow>(bytes: &[u8]) -> Result<Rows<T>, ManifestError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = Lines::of(bytes).line_at(error.valid_up_to());
        ManifestError::NotUtf8 { line }
    })?;
    // What some editors begin UTF-8 files with.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows = Rows { taken: Vec::new(), mistakes: Mistakes::default() };
    match text.trim_start().chars().next() {
        None => return Err(ManifestError::Empty),
        Some('[') => json::list(text, &mut rows)?,
        Some('{') => json::object_or_lines(text, &mut rows)?,
        Some(_) => csv::table(text, &mut rows)?,
    }
    Ok(rows)
}

/// The rows read so far, and what is wrong with others.
struct Rows<T> {
    taken: Vec<Row<T>>,
    mistakes: Mistakes,
}

impl<T: FromRow> Rows<T> {
    /// Takes in what one row says.
    fn take(&mut self, number: usize, line: usize, fields: Fields) {
        let (value, wrong) = fields.into_row::<T>();
        let is_right = wrong.is_empty();
        for what in wrong {
            self.mistakes.add(Mistake { row: number, line, what });
        }
        if let Some(value) = value.filter(|_| is_right) {
            self.taken.push(Row { number, line, value });
        }
    }

    /// Notes that a row cannot be read.
    fn refuse(&mut self, row: usize, line: usize, what: impl Into<String>) {
        self.mistakes.add(Mistake { row, line, what: what.into() });
    }
}

/// Counts lines on the way through a text.
struct Lines<'a> {
    text: &'a [u8],
    offset: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self { text, offset: 0, line: 1 }
    }

    /// Returns the number of the line that `offset` lies in; it may not be less than the last one.
    fn line_at(&mut self, offset: usize) -> usize {
        self.line += self.text[self.offset..offset].find_iter(b"\n").count();
        self.offset = offset;
        self.line
    }
}
