//! The configuration file: reading it safely, and what stands where in it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::origin::Origin;
use super::schema::{self, Key};
use super::value::Raw;
use crate::fs;
use crate::id::Sha256;

/// The largest configuration file in bytes: many times what all keys need, and little work for one that is all mistakes.
pub const MAX_FILE_LENGTH: u64 = 64 * 1024;

/// A configuration file, and what its surroundings say about it.
#[derive(Clone)]
pub struct ConfigFile {
    /// Where it is, as messages show it.
    pub path: PathBuf,
    /// What stands in it.
    pub text: String,
    /// Whether git tracks it, in the index or in HEAD, in any case of letters.
    pub tracked: bool,
    /// Whether someone in this clone trusted exactly these bytes; of no matter for a file that is not tracked.
    pub trusted: bool,
    /// Whether others on this machine may read it.
    pub readable_by_others: bool,
    /// The top of the working tree, where a path in the file could leave the tree through a symbolic link; `None`
    /// looks at the text of paths alone.
    pub top: Option<PathBuf>,
}

impl ConfigFile {
    /// Reads the file that a flag named; it may be anything that can be read, and must be there.
    ///
    /// It counts as not tracked until the caller says otherwise.
    pub fn read_named(path: &Path) -> Result<Self, ConfigError> {
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ConfigError::Missing { path: path.to_owned() },
            _ => ConfigError::Unreadable { path: path.to_owned(), source },
        })?;
        Self::read_from(&file, path)
    }

    /// Reads the file at its default place; `None` if there is none. It must be a plain file and no link.
    ///
    /// It counts as not tracked until the caller says otherwise.
    pub fn read_default(path: &Path) -> Result<Option<Self>, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        match std::fs::symlink_metadata(path) {
            // Looking first keeps a pipe from blocking; the opening then does not follow a link put there since.
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(unreadable(io::Error::other("it is not a plain file"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        }
        let file = fs::open_no_follow(OpenOptions::new().read(true), path).map_err(unreadable)?;
        Self::read_from(&file, path).map(Some)
    }

    fn read_from(file: &File, path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let mut text = String::new();
        let length = file.take(MAX_FILE_LENGTH + 1).read_to_string(&mut text).map_err(unreadable)?;
        if length as u64 > MAX_FILE_LENGTH {
            return Err(ConfigError::TooLarge { path: path.to_owned() });
        }
        let readable_by_others = readable_by_others(file).map_err(unreadable)?;
        Ok(Self { path: path.to_owned(), text, tracked: false, trusted: false, readable_by_others, top: None })
    }

    /// Returns the digest that `trust` remembers: the SHA-256 of the file's bytes.
    pub fn digest(&self) -> Sha256 {
        super::trust_digest(self.text.as_bytes())
    }

    /// Returns whether what needs trust may be used.
    pub(super) fn is_trusted(&self) -> bool {
        !self.tracked || self.trusted
    }
}

/// Returns whether group or others may read `file`; systems without such permissions say no.
fn readable_by_others(file: &File) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = file.metadata()?;
        Ok(metadata.is_file() && metadata.permissions().mode() & 0o044 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(false)
    }
}

/// One key of a file with its value.
pub(super) struct Entry {
    pub(super) key: &'static Key,
    /// The name that it goes by: the key's own or its alias.
    pub(super) spelling: String,
    pub(super) raw: Raw,
    /// The line and the column of the key, from 1.
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Returns the known keys of the file `text` at `path`, and what is wrong with the others.
pub(super) fn entries(path: &Path, text: &str) -> (Vec<Entry>, Vec<ConfigError>) {
    let lines = Lines::of(text);
    let origin = |offset| {
        let (line, column) = lines.position(offset);
        Origin::File { path: path.to_owned(), line, column }
    };
    let (table, faults) = DeTable::parse_recoverable(text);
    if !faults.is_empty() {
        // Only the parser's own words: its full message would quote the line, which may hold a password.
        let syntax = |fault: &toml::de::Error| ConfigError::Syntax {
            origin: origin(fault.span().map_or(0, |span| span.start)),
            message: fault.message().chars().take(200).flat_map(char::escape_debug).collect(),
        };
        // One slip can make every later line a fault; the first few tell it all.
        return (Vec::new(), faults.iter().take(5).map(syntax).collect());
    }
    let mut entries = Vec::new();
    let mut errors = Vec::new();
    let mut unknown = |offset, key: &str, nearest| {
        let key = key.chars().take(80).flat_map(char::escape_debug).collect();
        errors.push((offset, ConfigError::UnknownKey { origin: origin(offset), key, nearest }));
    };
    for (section, value) in table.get_ref() {
        let (offset, section) = (section.span().start, section.get_ref().as_ref());
        let keys = match value.get_ref() {
            DeValue::Table(keys) if schema::is_section(section) => keys,
            // A key outside of any section; or a section that is none.
            _ => {
                unknown(offset, section, schema::nearest_section(section));
                continue;
            }
        };
        for (name, value) in keys {
            let (offset, name) = (name.span().start, name.get_ref().as_ref());
            let Some(key) = schema::find(section, name) else {
                unknown(offset, &format!("{section}.{name}"), schema::nearest(section, name));
                continue;
            };
            let (line, column) = lines.position(offset);
            entries.push(Entry { key, spelling: name.to_owned(), raw: raw(value.get_ref()), line, column });
        }
    }
    entries.sort_by_key(|entry| (entry.line, entry.column));
    errors.sort_by_key(|(offset, _)| *offset);
    (entries, errors.into_iter().map(|(_, error)| error).collect())
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::Boolean(boolean) => Raw::Boolean(*boolean),
        DeValue::Integer(integer) => Raw::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).ok()),
        DeValue::Float(float) => float.as_str().parse().map_or(Raw::Other("a float"), Raw::Float),
        DeValue::String(text) => Raw::Text(text.clone().into_owned()),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(_) => Raw::Other("an array"),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

/// The offsets at which lines begin, so that many positions in a long file cost little.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after_newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset + 1);
        Self { text, starts: [0].into_iter().chain(after_newlines).collect() }
    }

    /// Returns the line and the column, from 1, of the character at `offset`.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let before = self.text.get(start..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}
