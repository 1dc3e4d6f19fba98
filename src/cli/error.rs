//! Errors as people see them: what failed, why, and what to do next.

use std::error::Error;
use std::fmt;

use git_archive_tomb::manifest::Mistakes;
use git_archive_tomb::quote::printable;

use super::exit::Exit;

/// An error ready to be shown: every library error becomes one, with an exit code and, where one helps, a hint.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// What failed, a lower-case fragment without a full stop.
    pub(super) message: String,
    /// Why, outermost cause first.
    pub(super) causes: Vec<String>,
    /// What to do next: commands or concrete choices.
    pub(super) hints: Vec<String>,
    /// How the program ends.
    pub(crate) exit: Exit,
}

impl CommandError {
    /// Returns an error without a cause or hint.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hints: Vec::new(), exit }
    }

    /// Returns an error that shows `error` and its chain of sources.
    pub(crate) fn from_error(exit: Exit, error: &dyn Error) -> Self {
        let mut shown = Self::new(exit, error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some libraries repeat their source in their own text.
            if shown.causes.last().unwrap_or(&shown.message) != &text {
                shown.causes.push(text);
            }
            source = cause.source();
        }
        shown
    }

    /// Returns the cause that lies deepest, or the message if there is none.
    pub(crate) fn deepest(&self) -> &str {
        self.causes.last().unwrap_or(&self.message)
    }

    /// Returns message and causes in a line, for a record.
    pub(crate) fn summary(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).cloned().collect::<Vec<_>>().join(": ")
    }

    /// Adds a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Lists what is wrong with the rows of a manifest, each as a cause.
    pub(crate) fn listing(self, mistakes: &Mistakes) -> Self {
        const LISTED: usize = 20;
        let error = mistakes.told().take(LISTED).fold(self, |error, mistake| error.caused_by(mistake.to_string()));
        match mistakes.total().checked_sub(LISTED) {
            Some(more @ 1..) => error.caused_by(format!("and {more} more")),
            _ => error,
        }
    }

    /// Adds a cause below those that are there.
    pub(crate) fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Systems, libraries and paths that nobody quoted put any text into errors.
        write!(formatter, "error: {}", printable(&self.message))?;
        for cause in &self.causes {
            write!(formatter, "\n  caused by: {}", printable(cause))?;
        }
        for hint in &self.hints {
            write!(formatter, "\nhint: {}", printable(hint))?;
        }
        Ok(())
    }
}
