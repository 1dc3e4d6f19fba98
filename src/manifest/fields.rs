//! The fields of one row, whatever form the manifest has.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::nearest::most_alike;
use crate::quote::quote;

/// The most fields that are looked at: far more than any row has.
const MAX_FIELDS: usize = 64;

/// Of how many unknown fields of a row it is said which they are.
const MAX_UNKNOWN: usize = 3;

/// A kind of row.
pub trait FromRow: Sized {
    /// The names of its fields.
    const FIELDS: &'static [&'static str];

    /// Takes the fields out of a row. What is wrong with them is told to `fields`; a row of which anything is wrong counts for
    /// nothing, whatever this returns.
    fn from_row(fields: &mut Fields) -> Option<Self>;
}

/// What one row says, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Fields {
    values: Vec<(String, Value)>,
    wrong: Vec<String>,
    /// Whether there are more than may be, which are not looked at.
    too_many: bool,
}

/// What a row says of one field. What it means depends on the field.
#[derive(Debug)]
pub(super) enum Value {
    /// Any JSON.
    Json(Box<RawValue>),
    /// A cell of CSV.
    Cell(String),
}

impl Fields {
    pub(super) fn add(&mut self, name: String, value: Value) {
        if self.values.iter().any(|(known, _)| *known == name) {
            self.refuse(format!("{} is there twice", shown(&name)));
        } else if self.values.len() == MAX_FIELDS {
            self.too_many = true;
        } else {
            self.values.push((name, value));
        }
    }

    /// Notes something that is wrong with the row, as a clause that is safe to print.
    pub fn refuse(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    /// Takes a text out, if the row has it.
    pub fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::Cell(text) => Some(text),
            Value::Json(json) => self.parse(name, json.get(), "is not text"),
        }
    }

    /// Takes a text out that the row must have.
    pub fn required(&mut self, name: &str) -> Option<String> {
        if !self.has(name) {
            self.refuse(format!("`{name}` is missing"));
        }
        self.text(name)
    }

    /// Takes a list of texts out; empty if the row has none. A cell of CSV is split at `;`, unless it is a list in JSON.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let texts = match self.take(name) {
            None => None,
            Some(Value::Json(json)) => self.parse(name, json.get(), "is not a list of texts"),
            Some(Value::Cell(cell)) if cell.starts_with('[') => {
                self.parse(name, &cell, "begins with `[` and is not a list of texts in JSON")
            }
            Some(Value::Cell(cell)) => Some(parts(&cell).map(str::to_owned).collect()),
        };
        texts.unwrap_or_default()
    }

    /// Takes pairs of texts out; empty if the row has none. A cell of CSV is `key=value`, several separated by `;`, unless it
    /// is an object in JSON.
    pub fn pairs(&mut self, name: &str) -> BTreeMap<String, String> {
        let pairs = match self.take(name) {
            None => None,
            Some(Value::Json(json)) => self.parse(name, json.get(), "is not an object of texts, each key once"),
            Some(Value::Cell(cell)) if cell.starts_with('{') => {
                self.parse(name, &cell, "begins with `{` and is not an object of texts in JSON, each key once")
            }
            Some(Value::Cell(cell)) => {
                let pairs = split_pairs(&cell);
                if pairs.is_none() {
                    self.refuse(format!("`{name}` is not `key=value`, several separated by `;`, each key once"));
                }
                pairs.map(Pairs)
            }
        };
        pairs.unwrap_or_default().0
    }

    /// Takes all fields out as a row has them, and returns what is wrong with them.
    pub(super) fn into_row<T: FromRow>(mut self) -> (Option<T>, Vec<String>) {
        if self.too_many {
            return (None, vec![format!("the row has more than {MAX_FIELDS} fields")]);
        }
        let foreign: Vec<_> = self.values.iter().map(|(name, _)| name).filter(|name| !is_known::<T>(name)).collect();
        self.wrong.extend(foreign.iter().take(MAX_UNKNOWN).filter_map(|name| unknown(name, T::FIELDS)));
        match foreign.len().saturating_sub(MAX_UNKNOWN) {
            0 => {}
            1 => self.wrong.push("there is 1 more unknown field".to_owned()),
            more => self.wrong.push(format!("there are {more} more unknown fields")),
        }
        let row = T::from_row(&mut self);
        (row, self.wrong)
    }

    fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(known, value)| known == name && !value.is_absent())
    }

    /// Takes the value out; `None` if there is none.
    fn take(&mut self, name: &str) -> Option<Value> {
        let position = self.values.iter().position(|(known, _)| known == name)?;
        Some(self.values.swap_remove(position).1).filter(|value| !value.is_absent())
    }

    fn parse<T: DeserializeOwned>(&mut self, name: &str, json: &str, otherwise: &str) -> Option<T> {
        let parsed = serde_json::from_str(json).ok();
        if parsed.is_none() {
            self.refuse(format!("`{name}` {otherwise}"));
        }
        parsed
    }
}

impl Value {
    /// Returns whether it says nothing: an empty cell, empty text, or JSON's `null`.
    fn is_absent(&self) -> bool {
        match self {
            Self::Json(json) => matches!(json.get(), "null" | "\"\""),
            Self::Cell(cell) => cell.is_empty(),
        }
    }
}

fn is_known<T: FromRow>(name: &str) -> bool {
    T::FIELDS.contains(&name)
}

/// Says that there is no field `name`, and which one may be meant; `None` if there is one.
pub(super) fn unknown(name: &str, known: &[&str]) -> Option<String> {
    if known.contains(&name) {
        return None;
    }
    let told = shown(name);
    let Some(nearest) = most_alike(name, known.iter().map(|known| (*known).to_owned())) else {
        let known: Vec<_> = known.iter().map(|known| format!("`{known}`")).collect();
        return Some(format!("unknown field {told}; there are {}", known.join(", ")));
    };
    Some(format!("unknown field {told}; did you mean `{nearest}`?"))
}

/// Returns foreign text as a message may show it: quoted, and not much of it.
fn shown(text: &str) -> String {
    const SHOWN: usize = 60;
    let start: String = text.chars().take(SHOWN).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", quote(start.as_bytes()))
}

/// Returns the parts of a cell that stand between `;`, without blanks around them.
fn parts(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(';').map(str::trim).filter(|part| !part.is_empty())
}

fn split_pairs(cell: &str) -> Option<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    for part in parts(cell) {
        let (key, value) = part.split_once('=')?;
        let (key, value) = (key.trim_end().to_owned(), value.trim_start().to_owned());
        if key.is_empty() || pairs.insert(key, value).is_some() {
            return None;
        }
    }
    Some(pairs)
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row;

        impl<'de> Visitor<'de> for Row {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object with the row's fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some((name, value)) = map.next_entry()? {
                    fields.add(name, Value::Json(value));
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Row)
    }
}

/// Texts by keys, each key once.
#[derive(Debug, Default)]
struct Pairs(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;

        impl<'de> Visitor<'de> for Map {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    if pairs.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key is there twice"));
                    }
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Map)
    }
}
