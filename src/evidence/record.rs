//! One record: a line of compact JSON that says who did what to which item, and when.
//!
//! The line is canonical: there is exactly one way to write a record, and a line written any other way is invalid.
//! So a line's digest stands for the record, and no byte of it can change unnoticed. Specified in `docs/evidence.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Timestamp;
use crate::id::{ObjectId, OperationId, Sha256, Tombstone};
use crate::item::{Date, FileMode, JsonPath, Kind, Referent, RepoPath, text_enum};

/// The longest line in bytes, its newline included.
pub const MAX_LINE_LENGTH: usize = 64 * 1024;

/// What a measured time in milliseconds stays below: some 32 years.
const MAX_MILLISECONDS: f64 = 1e12;

/// The version of the record format that this program writes, and the newest that it reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchemaVersion;

impl SchemaVersion {
    /// The text of the `schema` key.
    pub const TEXT: &str = "archive-evidence/1";
    pub(super) const FAMILY: &str = "archive-evidence/";
}

impl Serialize for SchemaVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Self::TEXT)
    }
}

impl<'de> Deserialize<'de> for SchemaVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == Self::TEXT { Ok(Self) } else { Err(serde::de::Error::custom("unknown schema")) }
    }
}

text_enum! {
    /// How serious what a record tells is.
    Level, "a level (info, warn or error)" {
        /// It went as asked.
        Info = "info",
        /// It went, with something to know.
        Warn = "warn",
        /// It failed.
        Error = "error",
    }
}

text_enum! {
    /// What a record tells of.
    Action, "an action" {
        /// A path was archived.
        Archive = "ARCHIVE",
        /// Archiving failed.
        ArchiveFail = "ARCHIVE_FAIL",
        /// An item was given back.
        Restore = "RESTORE",
        /// Giving back failed.
        RestoreFail = "RESTORE_FAIL",
        /// Someone approved that an item be given back.
        RestoreApproved = "RESTORE_APPROVED",
        /// A batch of items was given back.
        BatchRestore = "BATCH_RESTORE",
        /// Someone asked that an item's bytes be destroyed.
        PruneRequest = "PRUNE_REQUEST",
        /// The asking was taken back.
        RequestWithdrawn = "REQUEST_WITHDRAWN",
        /// Someone approved that an item's bytes be destroyed.
        DeleteApproved = "DELETE_APPROVED",
        /// The bytes were destroyed.
        Purge = "PURGE",
        /// A legal hold was set.
        HoldSet = "HOLD_SET",
        /// A legal hold was released.
        HoldReleased = "HOLD_RELEASED",
        /// The archive was reached, or not.
        HealthCheck = "HEALTH_CHECK",
        /// An archive was copied to another backend.
        Migrate = "MIGRATE",
        /// An archive of the Python tool was taken over.
        Import = "IMPORT",
        /// Items left the archive as plain files.
        Export = "EXPORT",
        /// An unfinished operation was finished or undone.
        Recover = "RECOVER",
    }
}

impl Action {
    /// The actions of holds, requests, approvals and purges.
    pub const GOVERNANCE: [Self; 7] = [
        Self::RestoreApproved,
        Self::PruneRequest,
        Self::RequestWithdrawn,
        Self::DeleteApproved,
        Self::Purge,
        Self::HoldSet,
        Self::HoldReleased,
    ];

    /// Returns whether it is one of [`Action::GOVERNANCE`].
    pub fn is_governance(self) -> bool {
        Self::GOVERNANCE.contains(&self)
    }
}

text_enum! {
    /// How what a record tells of stands.
    Status, "a status" {
        /// An operation is about to begin; its effects may or may not be there.
        Intent = "intent",
        /// The item's row is new.
        Stored = "stored",
        /// The item's row was there before.
        AlreadyStored = "already-stored",
        /// It is done.
        Done = "done",
        /// It failed.
        Failed = "failed",
        /// It failed for now and is tried again.
        Retrying = "retrying",
        /// An unfinished operation was finished.
        Finished = "finished",
        /// An unfinished operation was undone.
        Undone = "undone",
    }
}

text_enum! {
    /// Where restored bytes came from.
    Source, "a source (archive or history)" {
        /// The archive.
        Archive = "archive",
        /// Git's own history.
        History = "history",
    }
}

/// A record. The order of the fields is the order of the keys on the line; an absent field has no key.
#[expect(missing_docs, reason = "the keys are specified one by one in docs/evidence.md")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub schema: SchemaVersion,
    pub ts: Timestamp,
    pub level: Level,
    pub action: Action,
    pub op: OperationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_b64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<Tombstone>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<ObjectId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<Referent>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub dirty: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after: Option<Date>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub legal_hold: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stub: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "milliseconds")]
    pub duration_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "milliseconds")]
    pub decompression_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "milliseconds")]
    pub write_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prev: Vec<Sha256>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Returns `value` with at most three decimals. So the text of a number does not depend on how a library prints extreme
/// ones, and reads back as the same number.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn milliseconds<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(rounded).serialize(serializer)
}

/// What the JSON parser says of a line, short and safe to print: its own words quote the line, which may be hostile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (byte {column} of the line)")]
pub struct JsonError {
    /// What is wrong, at most 200 characters of it, with control characters escaped.
    pub reason: String,
    /// The byte of the line where the parser stopped; the first is 1.
    pub column: usize,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        // The parser sees a single line; its number there says nothing and looks like the file's.
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        let reason = text.strip_suffix(&place).unwrap_or(&text);
        let reason = reason.chars().take(200).fold(String::new(), |mut shown, character| {
            match character {
                ' '..='~' => shown.push(character),
                _ => shown.extend(character.escape_debug()),
            }
            shown
        });
        Self { reason, column: error.column() }
    }
}

/// Why a line is not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The line is longer than [`MAX_LINE_LENGTH`].
    #[error("the line is longer than 64 KiB")]
    TooLong,
    /// The line is not a record in JSON.
    #[error("the line is not a record")]
    Malformed(#[source] JsonError),
    /// The record is of a later version; it is not broken.
    #[error("the record has schema `{schema}` and needs a newer git-archive-tomb")]
    Newer {
        /// The `schema` key's text, at most 64 characters.
        schema: String,
    },
    /// The line means a record, but is not the one way to write it.
    #[error("the line is not written as git-archive-tomb writes it (order of keys, escapes or repeated keys)")]
    NotCanonical,
    /// A value is of the right type and breaks a rule all the same.
    #[error("`{key}` {reason}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// The rule that its value breaks, as a verb phrase.
        reason: &'static str,
    },
}

impl Record {
    /// Returns a record with only what every record has.
    pub fn new(action: Action, op: OperationId, ts: Timestamp) -> Self {
        Self {
            schema: SchemaVersion,
            ts,
            level: Level::Info,
            action,
            op,
            actor: None,
            repo: None,
            path: None,
            path_b64: None,
            tombstone: None,
            sha256: None,
            size: None,
            compressed_size: None,
            object: None,
            mode: None,
            commit: None,
            kind: None,
            language: None,
            mime: None,
            reason: None,
            tags: Vec::new(),
            metadata: BTreeMap::new(),
            refs: Vec::new(),
            dirty: false,
            delete_after: None,
            legal_hold: false,
            stub: None,
            backend: None,
            status: None,
            source: None,
            output: None,
            request: None,
            second: None,
            name: None,
            signature: None,
            attempt: None,
            error: None,
            duration_ms: None,
            decompression_ms: None,
            write_ms: None,
            count: None,
            prev: Vec::new(),
        }
    }

    /// Sets `path`, or `path_b64` where the path is not UTF-8.
    pub fn set_path(&mut self, path: &RepoPath) {
        let json = JsonPath::from(path);
        self.path = json.path;
        self.path_b64 = json.path_b64;
    }

    /// Returns the path; `None` if there is none or it does not stay inside a repository.
    pub fn repo_path(&self) -> Option<RepoPath> {
        let json = JsonPath { path: self.path.clone(), path_b64: self.path_b64.clone() };
        RepoPath::try_new(json.to_bytes()?).ok()
    }

    /// Returns the line with its newline.
    ///
    /// A record that could not be read back is refused here, before anything is written.
    pub fn to_line(&self) -> Result<String, RecordError> {
        self.check()?;
        let mut line = serde_json::to_string(self).map_err(|error| RecordError::Malformed(error.into()))?;
        line.push('\n');
        if line.len() > MAX_LINE_LENGTH { Err(RecordError::TooLong) } else { Ok(line) }
    }

    /// Checks the rules that the types do not express.
    fn check(&self) -> Result<(), RecordError> {
        let path = JsonPath { path: self.path.clone(), path_b64: self.path_b64.clone() };
        if path != JsonPath::default() {
            let key = if path.path.is_some() { "path" } else { "path_b64" };
            let stays_inside = self.repo_path().ok_or(RecordError::Invalid {
                key,
                reason: "is not one path inside a repository (or stands beside its other form)",
            })?;
            if JsonPath::from(&stays_inside) != path {
                return Err(RecordError::Invalid { key, reason: "carries a UTF-8 path, which belongs in `path`" });
            }
        }
        for (key, milliseconds) in [
            ("duration_ms", self.duration_ms),
            ("decompression_ms", self.decompression_ms),
            ("write_ms", self.write_ms),
        ] {
            if milliseconds
                .is_some_and(|value| value.is_sign_negative() || !(0.0..MAX_MILLISECONDS).contains(&rounded(value)))
            {
                return Err(RecordError::Invalid { key, reason: "is not a number from 0 to below 10¹²" });
            }
        }
        if !self.prev.is_sorted_by(|left, right| left < right) {
            return Err(RecordError::Invalid { key: "prev", reason: "is not sorted or repeats a digest" });
        }
        Ok(())
    }

    /// Parses one line, with its newline.
    pub fn parse_line(line: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Probe {
            schema: String,
        }

        if line.len() > MAX_LINE_LENGTH {
            return Err(RecordError::TooLong);
        }
        let record: Self = match serde_json::from_slice(line) {
            Ok(record) => record,
            Err(error) => {
                return Err(match serde_json::from_slice::<Probe>(line) {
                    Ok(Probe { schema }) if is_newer(&schema) => {
                        RecordError::Newer { schema: schema.chars().take(64).collect() }
                    }
                    _ => RecordError::Malformed(error.into()),
                });
            }
        };
        if record.to_line()?.as_bytes() == line { Ok(record) } else { Err(RecordError::NotCanonical) }
    }

    /// Returns the digest of the line: the SHA-256 of its bytes with the newline.
    pub fn digest(line: &str) -> Sha256 {
        debug_assert!(line.ends_with('\n'), "a line's digest covers its newline");
        Sha256::of(line.as_bytes())
    }
}

/// Returns whether `schema` is a later version of ours.
fn is_newer(schema: &str) -> bool {
    let version = schema.strip_prefix(SchemaVersion::FAMILY).unwrap_or_default();
    // Only as it would be printed: `parse` would also take `+2` and `02`.
    version.parse::<u32>().is_ok_and(|number| number > 1 && number.to_string() == version)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        let op = "0199f1a2-0000-7000-8000-000000000000".parse().expect("is an id");
        let ts = "2025-10-17T13:22:36.123Z".parse().expect("is a time");
        let mut record = Record::new(Action::Archive, op, ts);
        record.actor = Some("A <a@example.org>".to_owned());
        record.set_path(&RepoPath::try_new("src/a.py").expect("is a path"));
        record.metadata.insert("ticket".to_owned(), "OPS-1234".to_owned());
        record.duration_ms = Some(245.0);
        record
    }

    #[test]
    fn a_record_is_one_line() {
        let line = record().to_line().expect("is short");
        assert_eq!(
            line,
            "{\"schema\":\"archive-evidence/1\",\"ts\":\"2025-10-17T13:22:36.123Z\",\"level\":\"info\",\
             \"action\":\"ARCHIVE\",\"op\":\"0199f1a2-0000-7000-8000-000000000000\",\"actor\":\"A <a@example.org>\",\
             \"path\":\"src/a.py\",\"metadata\":{\"ticket\":\"OPS-1234\"},\"duration_ms\":245.0}\n"
        );
        assert_eq!(Record::parse_line(line.as_bytes()).expect("is a record"), record());
    }

    #[test]
    fn only_the_one_way_to_write_it_is_valid() {
        let line = record().to_line().expect("is short");
        let variants = [
            line.trim_end().to_owned(),
            format!(" {line}"),
            line.replace("\"level\"", " \"level\""),
            line.replace("ARCHIVE", "\\u0041RCHIVE"),
            line.replace("245.0", "245"),
            line.replace("245.0", "2.45e2"),
            line.replace("\"level\":\"info\",", ""),
            line.replace("\"level\":\"info\",", "\"level\":\"info\",\"level\":\"info\","),
            line.replace("{\"ticket\":", "{\"ticket\":\"x\",\"ticket\":"),
            line.replace("\"path\":\"src/a.py\"", "\"path\":\"src/a.py\",\"path_b64\":null"),
            line.replace("\"duration_ms\"", "\"unknown\":1,\"duration_ms\""),
            line.replace(SchemaVersion::TEXT, "something-else/1"),
        ];
        for variant in variants {
            assert!(Record::parse_line(variant.as_bytes()).is_err(), "{variant}");
        }
    }

    #[test]
    fn a_newer_record_is_not_called_broken() {
        let line = record().to_line().expect("is short").replace(SchemaVersion::TEXT, "archive-evidence/2");
        assert!(matches!(Record::parse_line(line.as_bytes()), Err(RecordError::Newer { .. })));
        for version in ["0", "01", "02", "+2", "-2", " 2", "2 ", "99999999999", ""] {
            let line = record().to_line().expect("is short").replace("evidence/1", &format!("evidence/{version}"));
            assert!(matches!(Record::parse_line(line.as_bytes()), Err(RecordError::Malformed(_))), "{version}");
        }
    }

    #[test]
    fn hostile_text_does_not_reach_the_message() {
        let key = format!("\u{1b}[31m\u{202e}{}", "x".repeat(10_000));
        let line = format!("{}\n", serde_json::json!({ key: 1 }));
        let Err(RecordError::Malformed(error)) = Record::parse_line(line.as_bytes()) else { panic!("is no record") };
        let told = error.to_string();
        assert!(told.starts_with("unknown field `\\u{1b}[31m\\u{202e}xxx") && told.len() < 300, "{told}");
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let refused = |change: fn(&mut Record)| {
            let mut record = record();
            change(&mut record);
            matches!(record.to_line(), Err(RecordError::Invalid { .. }))
        };
        assert!(!refused(|_| ()));
        assert!(refused(|record| record.path = Some("../x".to_owned())));
        assert!(refused(|record| record.path_b64 = Some("Y2Fm6Q==".to_owned())));
        assert!(refused(|record| (record.path, record.path_b64) = (None, Some("YQ==".to_owned()))));
        assert!(refused(|record| (record.path, record.path_b64) = (None, Some("Y2Fm6Q".to_owned()))));
        assert!(refused(|record| record.duration_ms = Some(f64::NAN)));
        assert!(refused(|record| record.write_ms = Some(-1.0)));
        assert!(refused(|record| record.decompression_ms = Some(1e12)));
        assert!(refused(|record| record.duration_ms = Some(999_999_999_999.999_9)));
        assert!(refused(|record| record.prev = vec![Sha256::ZERO, Sha256::ZERO]));
    }

    #[test]
    fn times_have_at_most_three_decimals() {
        for (number, text) in [
            (0.0, "0.0"),
            (0.000_4, "0.0"),
            (0.001, "0.001"),
            (0.125, "0.125"),
            (245.000_6, "245.001"),
            (999_999_999_999.125, "999999999999.125"),
        ] {
            let line = Record { duration_ms: Some(number), ..record() }.to_line().expect("is short");
            assert!(line.ends_with(&format!(",\"duration_ms\":{text}}}\n")), "{line}");
            Record::parse_line(line.as_bytes()).expect("is a record");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            path in proptest::collection::vec(1_u8..=255, 1..60),
            texts in proptest::collection::vec(any::<Option<String>>(), 6),
            metadata in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4),
            refs in proptest::collection::vec(any::<(String, String)>(), 0..3),
            tags: Vec<String>,
            size: Option<u64>,
            flags: (bool, bool),
            duration in proptest::option::of(0_u64..1_000_000_000_000_000),
            digests in proptest::collection::btree_set(any::<[u8; 32]>(), 0..4),
        ) {
            let mut record = record();
            if let Ok(path) = RepoPath::try_new(path) {
                record.set_path(&path);
                prop_assert_eq!(record.repo_path(), Some(path));
            }
            let mut texts = texts.into_iter();
            for field in [&mut record.actor, &mut record.repo, &mut record.reason, &mut record.error, &mut record.name] {
                *field = texts.next().flatten();
            }
            record.metadata = metadata;
            record.refs = refs.into_iter().map(|(kind, value)| Referent { kind, value }).collect();
            record.tags = tags;
            record.size = size;
            (record.dirty, record.legal_hold) = flags;
            #[expect(clippy::cast_precision_loss, reason = "is below 2^53")]
            let milliseconds = duration.map(|microseconds| microseconds as f64 / 1_000.0);
            record.duration_ms = milliseconds;
            record.prev = digests.into_iter().map(Sha256::from_bytes).collect();
            let line = record.to_line().expect("is short");
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
            prop_assert_eq!(Record::parse_line(line.as_bytes()).expect("is a record"), record);
        }
    }
}
