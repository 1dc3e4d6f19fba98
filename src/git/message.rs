//! Messages of commits, and what git takes for trailers in them.

use bstr::{BString, ByteSlice};

use super::commit::MAX_COMMIT_SIZE;
use super::{GitError, ObjectKind, Objects, Repository, command};
use crate::id::ObjectId;

/// What git writes into a message to say that all below is no part of it, without the comment character before it.
const SCISSORS: &[u8] = b"------------------------ >8 ------------------------";

impl Objects {
    /// Returns the message of a commit, as it is.
    pub fn message(&self, id: &ObjectId) -> Result<BString, GitError> {
        let bytes = self.read_kind(id, ObjectKind::Commit, MAX_COMMIT_SIZE)?;
        Ok(bytes.split_once_str("\n\n").map(|(_, message)| message.into()).unwrap_or_default())
    }
}

impl Repository {
    /// Returns the trailers of a message that is being written, each on its line as it stands there.
    pub fn trailers_of(&self, message: &[u8]) -> Result<Vec<BString>, GitError> {
        let options = ["interpret-trailers", "--only-trailers", "--only-input", "--no-divider"];
        let listed = command::run("interpret-trailers", &mut self.git().read_command(&options), message)?;
        Ok(listed.ok("interpret-trailers")?.lines().map(BString::from).collect())
    }

    /// Returns the message with `trailers` (each `Key: value`) behind those that it has, but for those that it has. They
    /// stand above comments and scissors, as `git interpret-trailers` would put them; that itself would also add what the
    /// user's `trailer.*.command` says, which nobody asked for.
    pub fn add_trailers(&self, message: &[u8], trailers: &[String]) -> Result<Vec<u8>, GitError> {
        let present = self.trailers_of(message)?;
        let is_new = |trailer: &&String| !present.iter().any(|line| line.trim() == trailer.as_bytes());
        let new: Vec<&String> = trailers.iter().filter(is_new).collect();
        if new.is_empty() {
            return Ok(message.to_vec());
        }
        let config = self.config()?;
        let comment = ["core.commentString", "core.commentChar"].into_iter().find_map(|key| config.get_str(key));
        let comment = comment.filter(|comment| *comment != "auto").unwrap_or("#").as_bytes();
        let (mut end, mut position) = (0, 0);
        for line in before_scissors(message).lines_with_terminator() {
            position += line.len();
            if !line.trim().is_empty() && !line.starts_with(comment) {
                end = position;
            }
        }
        let (text, rest) = message.split_at(end);
        Ok([with_trailers(text, !present.is_empty(), new).as_slice(), rest].concat())
    }

    /// Returns a message that nobody edits with `trailers` at its end, but for those that it has. No line of it is a comment,
    /// as none is to `git commit -m`, and blanks are where git would leave them.
    pub fn finished_message(&self, message: &[u8], trailers: &[String]) -> Result<Vec<u8>, GitError> {
        let mut command = self.git().read_command(&["stripspace"]);
        let text = command::run("stripspace", &mut command, message)?.ok("stripspace")?;
        let present = self.trailers_of(&text)?;
        let is_new = |trailer: &&String| !present.iter().any(|line| line.trim() == trailer.as_bytes());
        Ok(with_trailers(&text, !present.is_empty(), trailers.iter().filter(is_new).collect()))
    }

    /// Returns whether git will take the message for none, and not commit: there is nothing but comments, or nothing but
    /// the user's template.
    pub fn is_no_message(&self, message: &[u8]) -> Result<bool, GitError> {
        let written = self.without_comments(message)?;
        if written.is_empty() {
            return Ok(true);
        }
        let mut command = self.git().read_command(&["config", "--type=path", "--get", "commit.template"]);
        let template = command::run("config", &mut command, b"")?.stdout;
        let Ok(path) = template.trim_end_with(|end| end == '\n').to_path() else { return Ok(false) };
        if path.as_os_str().is_empty() {
            return Ok(false);
        }
        let Ok(template) = std::fs::read(self.git().dir.join(path)) else { return Ok(false) };
        Ok(self.without_comments(&template)? == written)
    }

    fn without_comments(&self, message: &[u8]) -> Result<Vec<u8>, GitError> {
        let mut command = self.git().read_command(&["stripspace", "--strip-comments"]);
        command::run("stripspace", &mut command, before_scissors(message))?.ok("stripspace")
    }
}

/// Returns `text` with new trailers at its end: with those that it has, or as a paragraph of their own.
fn with_trailers(text: &[u8], has_trailers: bool, new: Vec<&String>) -> Vec<u8> {
    let mut completed = text.to_vec();
    if !text.ends_with(b"\n") {
        completed.push(b'\n');
    }
    if !has_trailers {
        completed.push(b'\n');
    }
    for trailer in new {
        completed.extend_from_slice(trailer.as_bytes());
        completed.push(b'\n');
    }
    completed
}

/// Returns the part of a message that is one.
fn before_scissors(message: &[u8]) -> &[u8] {
    let lines = message.lines_with_terminator().take_while(|line| !line.trim_end().ends_with(SCISSORS));
    &message[..lines.map(<[u8]>::len).sum()]
}
