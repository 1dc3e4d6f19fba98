//! The three forms in JSON: a list, an object with `items`, and lines.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::unknown;
use super::{Fields, FromRow, Lines, MAX_ROW_LENGTH, MAX_ROWS, ManifestError, Rows};
use crate::evidence::record::JsonError;

/// The one field of an object that holds the rows.
const ITEMS: &str = "items";

/// Reads a list of rows.
pub(super) fn list<T: FromRow>(text: &str, rows: &mut Rows<T>) -> Result<(), ManifestError> {
    take_rows(text, text, rows)
}

/// Reads an object with rows, or one row in each line: an object that has `items`, or more than a line, is no row.
pub(super) fn object_or_lines<T: FromRow>(text: &str, rows: &mut Rows<T>) -> Result<(), ManifestError> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Object<'_>>();
    let first = values.next();
    let end = values.byte_offset();
    let first_line = text.trim_start().lines().next().unwrap_or_default().trim_end();
    let is_object = match &first {
        Some(Ok(object)) => object.items.is_some() || text[..end].trim_start().contains('\n'),
        // Broken somewhere: a line that ends like a row is one.
        _ => !first_line.ends_with('}'),
    };
    if !is_object {
        return lines(text, rows);
    }
    let object: Object<'_> = serde_json::from_str(text).map_err(|error| broken(0, error))?;
    let unfit = |reason| ManifestError::Broken { line: line_of_start(text), reason };
    if let Some(reason) = object.wrong {
        return Err(unfit(reason));
    }
    let items = object.items.ok_or_else(|| unfit(format!("the object has no `{ITEMS}`")))?;
    take_rows(text, items.get(), rows)
}

/// Reads one row from each line that is not blank.
fn lines<T: FromRow>(text: &str, rows: &mut Rows<T>) -> Result<(), ManifestError> {
    let filled = text.split('\n').zip(1..).filter(|(line, _)| !line.trim().is_empty());
    for ((text, line), number) in filled.zip(1..) {
        if number > MAX_ROWS {
            return Err(ManifestError::TooManyRows);
        }
        take_row(text, number, line, rows);
    }
    Ok(())
}

/// Reads the rows of `list`, which is a part of `text`.
fn take_rows<T: FromRow>(text: &str, list: &str, rows: &mut Rows<T>) -> Result<(), ManifestError> {
    let mut lines = Lines::of(text.as_bytes());
    let before = lines.line_at(place(list, text)) - 1;
    let List(list) = serde_json::from_str(list).map_err(|error| broken(before, error))?;
    if list.len() > MAX_ROWS {
        return Err(ManifestError::TooManyRows);
    }
    for (row, number) in list.iter().zip(1..) {
        take_row(row.get(), number, lines.line_at(place(row.get(), text)), rows);
    }
    Ok(())
}

/// Returns where `part`, which is borrowed from `text`, begins in it.
fn place(part: &str, text: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len())
}

fn take_row<T: FromRow>(text: &str, number: usize, line: usize, rows: &mut Rows<T>) {
    if text.len() > MAX_ROW_LENGTH {
        rows.refuse(number, line, format!("the row is longer than {} KiB", MAX_ROW_LENGTH >> 10));
        return;
    }
    match serde_json::from_str::<Fields>(text) {
        Ok(fields) => rows.take(number, line, fields),
        Err(error) => rows.refuse(number, line, JsonError::from(error).reason),
    }
}

/// Returns the error of a parser that read text with so many lines before it.
fn broken(lines_before: usize, error: serde_json::Error) -> ManifestError {
    ManifestError::Broken { line: lines_before + error.line(), reason: JsonError::from(error).reason }
}

/// Returns the line in which the text begins that is not blank.
fn line_of_start(text: &str) -> usize {
    Lines::of(text.as_bytes()).line_at(text.len() - text.trim_start().len())
}

/// A list of rows, not parsed yet. One row more than there may be ends the reading.
struct List<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = List<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<List<'de>, A::Error> {
                let mut list = Vec::new();
                while let Some(row) = elements.next_element()? {
                    if list.len() <= MAX_ROWS {
                        list.push(row);
                    }
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}

/// An object that may hold rows.
struct Object<'a> {
    items: Option<&'a RawValue>,
    /// What is wrong with its members.
    wrong: Option<String>,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object { items: None, wrong: None };
                while let Some(name) = map.next_key::<String>()? {
                    if name != ITEMS {
                        map.next_value::<IgnoredAny>()?;
                        object.wrong = unknown(&name, &[ITEMS]);
                    } else if object.items.replace(map.next_value()?).is_some() {
                        object.wrong = Some(format!("`{ITEMS}` is there twice"));
                    }
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(Members)
    }
}
