//! What is wrong with a manifest.

use std::fmt;
use std::io;

use super::{MAX_LENGTH, MAX_ROWS};

/// How many mistakes are kept to be told; of the rest only the number.
const TOLD: usize = 100;

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("the manifest cannot be read")]
    Read(#[source] io::Error),
    /// It is too long.
    #[error("the manifest is longer than {} MiB", MAX_LENGTH >> 20)]
    TooLong,
    /// It has too many rows.
    #[error("the manifest has more than {MAX_ROWS} rows")]
    TooManyRows,
    /// There is nothing in it.
    #[error("the manifest is empty")]
    Empty,
    /// It is not text.
    #[error("the manifest is not UTF-8 in line {line}")]
    NotUtf8 {
        /// The line, from 1.
        line: usize,
    },
    /// It cannot be divided into rows.
    #[error("the manifest is broken in line {line}: {reason}")]
    Broken {
        /// The line, from 1.
        line: usize,
        /// Why, as a clause that is safe to print.
        reason: String,
    },
    /// Rows are not as they should be.
    #[error("the manifest has {}", .0.counted())]
    Mistakes(Mistakes),
}

/// Something that is wrong with one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The row's number, from 1.
    pub row: usize,
    /// The line that it begins in, from 1.
    pub line: usize,
    /// What is wrong, as a clause that is safe to print.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "row {} (line {}): {}", self.row, self.line, self.what)
    }
}

/// All that is wrong with rows: the first mistakes, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mistakes {
    told: Vec<Mistake>,
    total: usize,
}

impl Mistakes {
    /// Adds one.
    pub fn add(&mut self, mistake: Mistake) {
        if self.told.len() < TOLD {
            self.told.push(mistake);
        }
        self.total += 1;
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Returns the first hundred, in the order of their rows.
    pub fn told(&self) -> impl Iterator<Item = &Mistake> {
        let mut told: Vec<_> = self.told.iter().collect();
        told.sort_by_key(|mistake| mistake.row);
        told.into_iter()
    }

    /// Returns how many there are, for a sentence.
    fn counted(&self) -> String {
        if self.total == 1 { "a mistake".to_owned() } else { format!("{} mistakes", self.total) }
    }

    /// Returns how many there are.
    pub fn total(&self) -> usize {
        self.total
    }
}
