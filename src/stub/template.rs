//! Templates: files that look like the stub that they make.

use std::borrow::Cow;

use super::comment::{self, Comment};
use super::read::{MarkerLine, Parsed, json_version, normalise, parse};
use super::{EVIDENCE, KEYS, MARKER, MAX_LENGTH, Stub, VERSION, restore_command};
use crate::clock::Timestamp;
use crate::id::{ObjectId, Sha256, Tombstone};
use crate::item::{FileMode, Reason, RepoPath, RepoPathError};

/// The longest template in bytes.
const MAX_TEMPLATE_LENGTH: usize = 8 * 1024;

/// What stands for the field lines.
const FIELDS: &str = "@fields@";

/// How one kind of file says what a stub says.
#[derive(Debug)]
pub struct Template {
    /// Everything before the first field.
    before: String,
    /// Everything after the last field.
    after: String,
    form: Form,
}

/// How the fields are written.
#[derive(Debug)]
enum Form {
    /// As lines between a prefix and a suffix, in this comment.
    Text { comment: &'static Comment, prefix: String, suffix: String },
    /// As members of a JSON object, with this between a key and its value, and between members.
    Json { colon: &'static str, comma: String },
}

/// A stub's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The bytes to write.
    pub text: String,
    /// The record's `stub`: the SHA-256 of the text with zeros for `evidence`. It does not depend on [`Stub::evidence`].
    pub digest: Sha256,
}

/// Why a stub cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// It would be longer than [`MAX_LENGTH`].
    #[error("the stub for `{path}` would have {length} bytes, more than 32 KiB")]
    TooLong {
        /// The path to be archived.
        path: RepoPath,
        /// The stub's length in bytes.
        length: usize,
    },
}

/// Why a template is refused.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Its name does not say what it is for.
    #[error("stub template `{name}`: the name is not a type, `ext-` or `file-`, and `.comment` or `.loud`")]
    Name {
        /// The template's file name.
        name: String,
    },
    /// It is too long.
    #[error("stub template `{name}` is longer than 8 KiB")]
    TooLong {
        /// The template's file name.
        name: String,
    },
    /// The fields have no place, or several.
    #[error("stub template `{name}` does not hold `@fields@` exactly once")]
    Fields {
        /// The template's file name.
        name: String,
    },
    /// The line before the fields is no marker line.
    #[error("stub template `{name}`: the line before `@fields@` is not `{MARKER}{VERSION}` in a known comment")]
    Marker {
        /// The template's file name.
        name: String,
    },
    /// Its stubs would not be read back as they were written.
    #[error("stub template `{name}` makes stubs that cannot be read: {reason}")]
    Unreadable {
        /// The template's file name.
        name: String,
        /// What the reader says.
        reason: String,
    },
}

impl Template {
    /// Returns the template that `text` is; `name` is its file name, for errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        let name = || name.to_owned();
        if text.len() > MAX_TEMPLATE_LENGTH {
            return Err(TemplateError::TooLong { name: name() });
        }
        let normalised = normalise(text.as_bytes());
        let text = std::str::from_utf8(&normalised).expect("normalising takes off whole characters");
        let (before, after) = text.split_once(FIELDS).ok_or_else(|| TemplateError::Fields { name: name() })?;
        if after.contains(FIELDS) {
            return Err(TemplateError::Fields { name: name() });
        }
        let template = if json_version(before.as_bytes()).is_some() {
            Self::json(before, after)
        } else {
            Self::text(before, after).ok_or_else(|| TemplateError::Marker { name: name() })?
        };
        template.check().map_err(|reason| TemplateError::Unreadable { name: name(), reason })?;
        Ok(template)
    }

    /// Returns a template of field lines, if a marker line stands before them.
    fn text(before: &str, after: &str) -> Option<Self> {
        let (before, prefix) = before.split_at(before.rfind('\n')? + 1);
        let (suffix, after) = after.split_at(after.find('\n')?);
        let (marker, _) = MarkerLine::of(before.lines().next_back()?.as_bytes())?;
        let form = Form::Text { comment: marker.comment, prefix: prefix.to_owned(), suffix: suffix.to_owned() };
        Some(Self { before: before.to_owned(), after: after.strip_prefix('\n')?.to_owned(), form })
    }

    /// Returns a template of JSON members: on lines of their own if the fields had one, else without white space.
    fn json(before: &str, after: &str) -> Self {
        let indentation = &before[before.rfind('\n').map_or(0, |newline| newline + 1)..];
        let form = if indentation.trim().is_empty() {
            Form::Json { colon: ": ", comma: format!(",\n{indentation}") }
        } else {
            Form::Json { colon: ":", comma: ",".to_owned() }
        };
        Self { before: before.to_owned(), after: after.to_owned(), form }
    }

    /// Renders a stub whose values are as bad as values can be and reads it back.
    fn check(&self) -> Result<(), String> {
        let sample = sample().expect("the sample's values are valid");
        let rendered = self.render(&sample).map_err(|error| error.to_string())?;
        match parse(rendered.text.as_bytes()) {
            Parsed::Stub(read) if read.stub == sample && read.digest == rendered.digest => Ok(()),
            Parsed::Stub(_) => Err("the values come back changed".to_owned()),
            Parsed::Malformed(malformed) => Err(malformed.to_string()),
            Parsed::Newer { version } => Err(format!("version {version} is not the one written")),
            Parsed::NotAStub => Err("the marker does not stand on line 1, or on line 2 where it may".to_owned()),
        }
    }

    /// Returns the text of `stub` and the digest for its record.
    pub fn render(&self, stub: &Stub) -> Result<Rendered, RenderError> {
        let forbidden = match &self.form {
            Form::Text { comment, .. } => comment.forbidden(),
            Form::Json { .. } => comment::FORBIDDEN.to_vec(),
        };
        let mut values = stub.values(&forbidden);
        let restore = restore_command(&stub.tombstone);
        let tombstone = stub.tombstone.to_string();
        let code = |text: &str| text.replace("@restore@", &restore).replace("@tombstone@", &tombstone);
        let (before, after) = (code(&self.before), code(&self.after));
        let text = [&before, &*self.fields(&values), &after].concat();
        if text.len() > MAX_LENGTH {
            return Err(RenderError::TooLong { path: stub.path.clone(), length: text.len() });
        }
        values[EVIDENCE] = Sha256::ZERO.to_string().into();
        let unsealed = [&before, &*self.fields(&values), &after].concat();
        Ok(Rendered { text, digest: Sha256::of(unsealed.as_bytes()) })
    }

    /// Returns what stands in the place of `@fields@` and its line.
    fn fields(&self, values: &[Cow<'_, str>; KEYS.len()]) -> String {
        let fields = KEYS.iter().zip(values);
        match &self.form {
            Form::Text { prefix, suffix, .. } => {
                fields.fold(String::new(), |text, (key, value)| text + prefix + key + ": " + value + suffix + "\n")
            }
            Form::Json { colon, comma } => {
                let member = |(key, value): (_, &Cow<'_, str>)| format!("\"{key}\"{colon}{}", json_string(value));
                fields.map(member).collect::<Vec<_>>().join(comma)
            }
        }
    }
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("every string is JSON")
}

/// Returns a stub with much to quote, for trying templates.
fn sample() -> Result<Stub, RepoPathError> {
    let zero = ObjectId::from_bytes(&[0; 20]).expect("20 bytes are an object id");
    let repo = "%>*/-->#}}*@*)".to_owned();
    let path = RepoPath::try_new("a\nb */ --> ?> \" \\ #} *) %> */ |'")?;
    Ok(Stub {
        tombstone: Tombstone::derive(&repo, path.as_bytes(), &zero, &Sha256::ZERO),
        path,
        sha256: Sha256::ZERO,
        size: u64::MAX,
        mode: FileMode::Regular,
        object: zero,
        repo,
        commit: zero,
        reason: Reason::Dead,
        archived_by: String::new(),
        archived_at: Timestamp::from_millisecond(0).expect("1970 is in range"),
        evidence: Sha256::of(b""),
    })
}
