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

    /// Returns the message with `trailers` (each `Key: value`) behind those that it has, but for those that it has.
    /// Comments and what is below the scissors stay at the end.
    pub fn add_trailers(&self, message: &[u8], trailers: &[String]) -> Result<Vec<u8>, GitError> {
        // The user's own `trailer.*` is about trailers that are written by hand.
        let options = ["--no-divider", "--where=end", "--if-exists=addIfDifferent", "--if-missing=add"];
        let mut command = self.git().read_command(&["interpret-trailers"]);
        command.args(options);
        for trailer in trailers {
            command.arg("--trailer").arg(trailer);
        }
        command::run("interpret-trailers", &mut command, message)?.ok("interpret-trailers")
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
        let mut kept = 0;
        for line in message.lines_with_terminator() {
            if line.trim_end().ends_with(SCISSORS) {
                break;
            }
            kept += line.len();
        }
        let mut command = self.git().read_command(&["stripspace", "--strip-comments"]);
        command::run("stripspace", &mut command, &message[..kept])?.ok("stripspace")
    }
}
