//! The results file: what became of every row, valid JSON at every moment.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RestoreRow;
use crate::clock::Timestamp;
use crate::evidence::record::JsonError;
use crate::fs;
use crate::id::{OperationId, Sha256, Tombstone};
use crate::item::text_enum;
use crate::manifest::{MAX_ROWS, Row};

/// The format that this program writes, and the newest that it reads.
const SCHEMA: &str = "archive-batch-restore/1";

/// What a later version of the format begins with too.
const FAMILY: &str = "archive-batch-restore/";

/// The longest time that results tell, in milliseconds: some thousand years.
const MAX_DURATION: f64 = 1e14;

/// The longest results file that is read, in bytes.
const MAX_LENGTH: u64 = 1 << 30;

text_enum! {
    /// What became of a row.
    RowStatus, "what became of a row (success, failed or skipped)" {
        /// The item is at its output.
        Success = "success",
        /// It could not be put there.
        Failed = "failed",
        /// It was not tried, or not to its end.
        Skipped = "skipped",
    }
}

/// What became of one row. Times are in milliseconds, where they are measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemResult {
    /// The row as the manifest has it.
    pub item: RowEcho,
    /// What became of it.
    pub status: RowStatus,
    /// From the start of its work to the end.
    pub duration_ms: Option<f64>,
    /// Reading, decompressing and checking.
    pub decompression_ms: Option<f64>,
    /// Writing.
    pub write_ms: Option<f64>,
    /// How often it was tried.
    pub attempts: u64,
    /// Why it failed, without secrets.
    pub error: Option<String>,
}

/// A row of the manifest as results repeat it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowEcho {
    /// The item.
    pub tombstone: Tombstone,
    /// Where it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Who wants it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

impl From<&RestoreRow> for RowEcho {
    fn from(row: &RestoreRow) -> Self {
        Self { tombstone: row.tombstone, output: row.output.clone(), actor: row.actor.clone() }
    }
}

impl ItemResult {
    /// Returns the result of a row that was not tried yet.
    fn untried(row: &RestoreRow) -> Self {
        Self {
            item: row.into(),
            status: RowStatus::Skipped,
            duration_ms: None,
            decompression_ms: None,
            write_ms: None,
            attempts: 0,
            error: None,
        }
    }
}

/// How many rows came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// All rows.
    pub total: usize,
    /// Those whose item is at its output.
    pub succeeded: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that were not tried.
    pub skipped: usize,
    /// How long the batch took, in milliseconds; of one that was resumed, all its runs together.
    pub total_duration_ms: f64,
}

/// The results of a batch: every row in the order of the manifest, those not tried yet as skipped.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The batch's operation, which a run that resumes it goes on with.
    pub op: OperationId,
    /// The manifest's digest.
    pub manifest_sha256: Sha256,
    /// The folder that relative outputs start from, quoted as git quotes paths; `None` for a batch onto a branch.
    pub output_root: Option<String>,
    /// The branch that the items are on, or, as long as the batch is not at its end, are to be on.
    pub branch: Option<String>,
    /// The first row that is wanted.
    pub first_row: usize,
    /// When the batch was begun.
    pub started_at: Timestamp,
    /// When the last run of it ended; `None` while one is under way, or was killed.
    pub finished_at: Option<Timestamp>,
    /// What became of the rows.
    pub items: Vec<ItemResult>,
    /// How long its runs took together, in milliseconds.
    pub duration_ms: f64,
}

impl Results {
    /// Returns the results of a batch that begins now.
    pub fn begin(op: OperationId, manifest_sha256: Sha256, rows: &[Row<RestoreRow>]) -> Self {
        Self {
            op,
            manifest_sha256,
            output_root: None,
            branch: None,
            first_row: 1,
            started_at: Timestamp::now(),
            finished_at: None,
            items: rows.iter().map(|row| ItemResult::untried(&row.value)).collect(),
            duration_ms: 0.0,
        }
    }

    /// Counts what came of the rows.
    pub fn summary(&self) -> Summary {
        let count = |status| self.items.iter().filter(|item| item.status == status).count();
        Summary {
            total: self.items.len(),
            succeeded: count(RowStatus::Success),
            failed: count(RowStatus::Failed),
            skipped: count(RowStatus::Skipped),
            total_duration_ms: rounded(self.duration_ms),
        }
    }

    /// Returns the number of the first row that is wanted and is not done.
    pub fn first_undone(&self) -> Option<usize> {
        let from = self.first_row.saturating_sub(1);
        let undone = self.items.iter().skip(from).position(|item| item.status != RowStatus::Success)?;
        Some(from + undone + 1)
    }

    /// Returns the file's text: one row a line.
    fn to_json(&self) -> Result<String, serde_json::Error> {
        let (items, summary) = (&self.items, self.summary());
        let mut text = String::with_capacity(256 * (items.len() + 4));
        let head = Head {
            schema: SCHEMA.to_owned(),
            op: self.op,
            manifest_sha256: self.manifest_sha256,
            output_root: self.output_root.clone(),
            branch: self.branch.clone(),
            first_row: self.first_row,
            started_at: self.started_at,
            finished_at: self.finished_at,
        };
        let head = serde_json::to_string(&head)?;
        text.push_str(head.strip_suffix('}').unwrap_or(&head));
        text.push_str(",\n\"items\":[");
        for (item, number) in items.iter().zip(0..) {
            text.push_str(if number == 0 { "\n" } else { ",\n" });
            text.push_str(&serde_json::to_string(item)?);
        }
        let summary = serde_json::to_string(&summary)?;
        let _ = write!(text, "\n],\n\"summary\":{summary}}}\n");
        Ok(text)
    }

    /// Reads the results of a batch, to go on with it: they must be those of this manifest.
    pub fn read(path: &Path, manifest_sha256: &Sha256, rows: &[Row<RestoreRow>]) -> Result<Self, ResultsError> {
        let file = Whole::read(path)?.ok_or_else(|| ResultsError::Missing { path: path.to_owned() })?;
        let Whole { head, items, summary } = file;
        let same_rows = items.len() == rows.len()
            && items.iter().zip(rows).all(|(item, row)| item.item == RowEcho::from(&row.value));
        if head.manifest_sha256 != *manifest_sha256 || !same_rows {
            return Err(ResultsError::OtherManifest { path: path.to_owned() });
        }
        let is_sensible = (1..=rows.len().max(1)).contains(&head.first_row)
            && (0.0..=MAX_DURATION).contains(&summary.total_duration_ms);
        if !is_sensible {
            return Err(ResultsError::NotResults { path: path.to_owned() });
        }
        Ok(Self {
            op: head.op,
            manifest_sha256: head.manifest_sha256,
            output_root: head.output_root,
            branch: head.branch,
            first_row: head.first_row,
            started_at: head.started_at,
            finished_at: head.finished_at,
            items,
            duration_ms: summary.total_duration_ms,
        })
    }
}

/// Returns `value` with at most three decimals.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// What stands before the rows.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    schema: String,
    op: OperationId,
    manifest_sha256: Sha256,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output_root: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    first_row: usize,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
}

/// A results file as it is read.
#[derive(Debug, Deserialize)]
struct Whole {
    #[serde(flatten)]
    head: Head,
    items: Vec<ItemResult>,
    summary: Summary,
}

impl Whole {
    /// Reads the file at `path`; `None` if there is none.
    fn read(path: &Path) -> Result<Option<Self>, ResultsError> {
        #[derive(Deserialize)]
        struct Probe {
            schema: String,
        }

        let failed = |source| ResultsError::Read { path: path.to_owned(), source };
        // Asked before opening: opening a pipe would wait for its other end.
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(ResultsError::NotResults { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(MAX_LENGTH + 1).read_to_end(&mut bytes)).map_err(failed)?;
        let not_results = || ResultsError::NotResults { path: path.to_owned() };
        if bytes.len() as u64 > MAX_LENGTH {
            return Err(not_results());
        }
        let Probe { schema } = serde_json::from_slice(&bytes).map_err(|_| not_results())?;
        if schema != SCHEMA {
            let newer = schema.strip_prefix(FAMILY).is_some_and(|version| version.parse::<u32>().is_ok_and(|n| n > 1));
            return Err(if newer { ResultsError::Newer { path: path.to_owned() } } else { not_results() });
        }
        let whole: Self = serde_json::from_slice(&bytes)
            .map_err(|error| ResultsError::Malformed { path: path.to_owned(), source: error.into() })?;
        if whole.items.len() > MAX_ROWS { Err(not_results()) } else { Ok(Some(whole)) }
    }
}

/// Why results cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// There is no such file.
    #[error("there is no results file `{}`", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// What stands there is something else.
    #[error("`{}` is not a results file", path.display())]
    NotResults {
        /// The path.
        path: PathBuf,
    },
    /// It says what it is and is none all the same.
    #[error("the results file `{}` is malformed", path.display())]
    Malformed {
        /// The path.
        path: PathBuf,
        /// Where.
        source: JsonError,
    },
    /// It is of a later version.
    #[error("the results file `{}` needs a newer git-archive-tomb", path.display())]
    Newer {
        /// The path.
        path: PathBuf,
    },
    /// It is about other rows.
    #[error("the results file `{}` does not belong to this manifest", path.display())]
    OtherManifest {
        /// The path.
        path: PathBuf,
    },
    /// It is that of a batch that was stopped, and the only thing that knows how far that came.
    #[error("the results file `{}` is that of a batch that was stopped", path.display())]
    Unfinished {
        /// The path.
        path: PathBuf,
    },
    /// The system does not give it.
    #[error("cannot read the results file `{}`", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The system does not take it.
    #[error("cannot write the results file `{}`", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The file that results are kept in.
#[derive(Debug, Clone)]
pub struct ResultsFile {
    path: PathBuf,
    /// Whether nothing was there.
    is_new: bool,
}

impl ResultsFile {
    /// Takes the file at `path`, which is not there, or holds the results of a batch that came to its end. Nothing is written.
    pub fn at(path: &Path) -> Result<Self, ResultsError> {
        let found = Whole::read(path)?.map(|whole| whole.head);
        match &found {
            // What is to be on a branch is there or not, whatever its results say.
            Some(head) if head.finished_at.is_none() && head.branch.is_none() => {
                Err(ResultsError::Unfinished { path: path.to_owned() })
            }
            _ => Ok(Self { path: path.to_owned(), is_new: found.is_none() }),
        }
    }

    /// Writes the first results of a batch, which replace nothing that came since the file was taken.
    pub fn begin(&self, results: &Results) -> Result<(), ResultsError> {
        if self.is_new {
            let json = json_of(results, &self.path)?;
            return fs::create_new(&self.path, json.as_bytes())
                .map_err(|source| ResultsError::Write { path: self.path.clone(), source });
        }
        Self::at(&self.path)?;
        self.write(results)
    }

    /// Takes the file at `path`, whose results are resumed.
    pub fn resumed(path: &Path) -> Self {
        Self { path: path.to_owned(), is_new: false }
    }

    /// Makes a file in `folder` that is named by the time, and holds `results`.
    pub fn create_in(folder: &Path, results: &Results) -> Result<Self, ResultsError> {
        let time = results.started_at.compact().replace('T', "_");
        let time = time.trim_end_matches('Z');
        for number in 1.. {
            let more = if number == 1 { String::new() } else { format!("_{number}") };
            let path = folder.join(format!("batch_restore_{time}{more}.json"));
            let json = json_of(results, &path)?;
            match fs::create_new(&path, json.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(ResultsError::Write { path, source }),
                Ok(()) => return Ok(Self { path, is_new: false }),
            }
        }
        unreachable!("some number is free")
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `results` in place of what the file held: whoever reads sees the one or the other.
    pub fn write(&self, results: &Results) -> Result<(), ResultsError> {
        let json = json_of(results, &self.path)?;
        fs::replace(&self.path, json.as_bytes())
            .map_err(|source| ResultsError::Write { path: self.path.clone(), source })
    }
}

fn json_of(results: &Results, path: &Path) -> Result<String, ResultsError> {
    results.to_json().map_err(|error| ResultsError::Write { path: path.to_owned(), source: error.into() })
}
