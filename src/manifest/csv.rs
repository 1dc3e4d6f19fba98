//! CSV with a header, as RFC 4180 has it.

use bstr::ByteSlice;
use csv::{ByteRecord, ReaderBuilder};

use super::fields::{Value, unknown};
use super::{Fields, FromRow, Lines, MAX_ROW_LENGTH, MAX_ROWS, ManifestError, Rows};

/// Reads a row from each record after the header, which names the fields.
pub(super) fn table<T: FromRow>(text: &str, rows: &mut Rows<T>) -> Result<(), ManifestError> {
    // All that the parser lets pass is looked at here, where the error can say more.
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let (mut record, mut lines) = (ByteRecord::new(), Lines::of(text.as_bytes()));
    let (mut header, mut number) = (None, 0);
    loop {
        let start = offset(reader.position(), text);
        let is_there = reader
            .read_byte_record(&mut record)
            .map_err(|error| ManifestError::Broken { line: lines.line_at(start), reason: error.to_string() })?;
        if !is_there {
            return Ok(());
        }
        let raw = &text.as_bytes()[start..offset(reader.position(), text)];
        // What stands between two records are blank lines, which belong to none.
        let blank = raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (raw, line) = (&raw[blank..], lines.line_at(start + blank));
        let what = unfit(raw, &record, header.as_ref().map(Vec::len));
        match (&header, what) {
            (None, Some(reason)) => return Err(ManifestError::Broken { line, reason }),
            (None, None) => header = Some(names::<T>(&record, line)?),
            (Some(names), what) => {
                number += 1;
                if number > MAX_ROWS {
                    return Err(ManifestError::TooManyRows);
                }
                match what {
                    Some(what) => rows.refuse(number, line, what),
                    None => rows.take(number, line, fields(names, &record)),
                }
            }
        }
    }
}

/// Says what is wrong with a record that should have `columns` cells.
fn unfit(raw: &[u8], record: &ByteRecord, columns: Option<usize>) -> Option<String> {
    if let Some(what) = misquoted(raw) {
        // Else rows that follow would silently be in one cell.
        return Some(what.to_owned());
    }
    if raw.len() > MAX_ROW_LENGTH {
        return Some(format!("the row is longer than {} KiB", MAX_ROW_LENGTH >> 10));
    }
    columns
        .filter(|columns| *columns != record.len())
        .map(|columns| format!("the row has {} cells, the header {columns}", record.len()))
}

/// Says what is wrong with the quotes in a record: one opens a cell, and the one that closes it ends that cell.
fn misquoted(raw: &[u8]) -> Option<&'static str> {
    let mut rest = raw;
    loop {
        if let Some(quoted) = rest.strip_prefix(b"\"") {
            let Some(after) = after_quoted(quoted) else { return Some("a quote (`\"`) is opened and not closed") };
            rest = after;
            if !matches!(rest.first(), None | Some(b',' | b'\r' | b'\n')) {
                return Some("a quote (`\"`) closes before the end of its cell");
            }
        }
        let end = rest.find_byteset(b",\r\n\"").unwrap_or(rest.len());
        match rest.get(end) {
            Some(b',') => rest = &rest[end + 1..],
            Some(b'"') => return Some("a quote (`\"`) opens in the middle of a cell"),
            _ => return None,
        }
    }
}

/// Returns what follows the quote that closes a cell; two of them are one in the cell.
fn after_quoted(mut cell: &[u8]) -> Option<&[u8]> {
    loop {
        let after = &cell[cell.find_byte(b'"')? + 1..];
        match after.strip_prefix(b"\"") {
            Some(more) => cell = more,
            None => return Some(after),
        }
    }
}

/// Returns the names of the columns.
fn names<T: FromRow>(record: &ByteRecord, line: usize) -> Result<Vec<String>, ManifestError> {
    let names: Vec<String> = record.iter().map(|cell| text_of(cell).trim().to_owned()).collect();
    let twice = |(number, name): (usize, &String)| {
        names[..number].contains(name).then(|| format!("the header has `{name}` twice"))
    };
    let wrong = names.iter().find_map(|name| unknown(name, T::FIELDS));
    match wrong.or_else(|| names.iter().enumerate().find_map(twice)) {
        Some(reason) => Err(ManifestError::Broken { line, reason }),
        None => Ok(names),
    }
}

fn fields(names: &[String], record: &ByteRecord) -> Fields {
    let mut fields = Fields::default();
    for (name, cell) in names.iter().zip(record) {
        fields.add(name.clone(), Value::Cell(text_of(cell)));
    }
    fields
}

/// Returns a cell as text, which it is, as the manifest is.
fn text_of(cell: &[u8]) -> String {
    String::from_utf8_lossy(cell).into_owned()
}

fn offset(position: &csv::Position, text: &str) -> usize {
    usize::try_from(position.byte()).map_or(text.len(), |byte| byte.min(text.len()))
}
