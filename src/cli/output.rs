//! What is printed: results on standard output, talk on standard error, colours where they are wanted.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use git_archive_tomb::quote::printable;
use serde::Serialize;

use super::arguments::{ColorChoice, GlobalArguments};
use super::error::CommandError;
use super::exit::Exit;
use super::talk;
use super::visible::{Visible, misleads};

/// Where a command's results and messages go.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four independent choices of the user")]
pub(crate) struct Output {
    stdout: io::BufWriter<io::Stdout>,
    /// Whether results are wanted as JSON.
    pub(crate) json: bool,
    /// Whether only errors are wanted on standard error.
    pub(crate) quiet: bool,
    interactive: bool,
    colored_stdout: bool,
    colored_stderr: bool,
}

/// How a piece of text is emphasised.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Style {
    /// Something to be careful with.
    Warning,
    /// Something that went wrong.
    Error,
    /// Something that is as it should be.
    Good,
    /// A heading.
    Bold,
    /// A place in a text.
    Place,
    /// Less important.
    Dim,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Warning => "33",
            Self::Error => "31",
            Self::Good => "32",
            Self::Bold => "1",
            Self::Place => "36",
            Self::Dim => "2",
        }
    }
}

impl Output {
    /// Returns the output that the global options ask for; `no_color` tells whether `NO_COLOR` is set.
    pub(crate) fn new(global: &GlobalArguments, no_color: bool) -> Self {
        let colored = |terminal: bool| match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !no_color,
        };
        Self {
            stdout: io::BufWriter::new(io::stdout()),
            json: global.json,
            quiet: global.quiet,
            interactive: io::stdout().is_terminal(),
            colored_stdout: colored(io::stdout().is_terminal()),
            colored_stderr: colored(io::stderr().is_terminal()),
        }
    }

    /// Writes bytes to standard output as they are.
    pub(crate) fn raw(&mut self) -> &mut (impl Write + use<>) {
        &mut self.stdout
    }

    /// Returns a writer of archived bytes: exactly these, but on a terminal nothing that it would obey.
    pub(crate) fn content(&mut self) -> Visible<impl Write + use<'_>> {
        Visible::new(&mut self.stdout, self.interactive)
    }

    /// Returns archived bytes as [`content`](Self::content) writes them.
    pub(crate) fn visible(&self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::new();
        let mut visible = Visible::new(&mut shown, self.interactive);
        let written = visible.write_all(bytes).and_then(|()| visible.finish());
        written.expect("memory takes what is written");
        shown
    }

    /// Prints a line of results.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), CommandError> {
        writeln!(self.stdout, "{text}").map_err(|error| output_error(&error))?;
        // Where people read, results and talk come in the order in which they were said.
        if self.interactive { self.finish() } else { Ok(()) }
    }

    /// Prints `value` as one line of JSON.
    pub(crate) fn object(&mut self, value: &impl Serialize) -> Result<(), CommandError> {
        let text = serde_json::to_string(value).map_err(|error| CommandError::from_error(Exit::Failed, &error))?;
        if !text.chars().any(misleads) {
            return self.line(text);
        }
        // JSON leaves these as they are; they stand in strings only, where an escape means the same.
        let escape = |character: char| {
            if misleads(character) { format!("\\u{:04x}", u32::from(character)) } else { character.to_string() }
        };
        self.line(text.chars().map(escape).collect::<String>())
    }

    /// Returns `text` in `style`, if standard output is coloured.
    pub(crate) fn styled(&self, style: Style, text: impl Display) -> String {
        styled(self.colored_stdout, style, text)
    }

    /// Returns whether standard output is coloured.
    pub(crate) fn is_colored(&self) -> bool {
        self.colored_stdout
    }

    /// Says something on standard error, unless quiet.
    pub(crate) fn say(&self, text: impl Display) {
        if !self.quiet {
            talk::print(&talk::harmless(text));
        }
    }

    /// Says on standard error that a part of what was asked for failed.
    pub(crate) fn say_error(&self, text: impl Display) {
        self.prefixed(Style::Error, "[ERROR]", text);
    }

    /// Warns on standard error.
    pub(crate) fn warn(&self, text: impl Display) {
        self.prefixed(Style::Warning, "warning:", text);
    }

    /// Prints a hint on standard error, unless quiet.
    pub(crate) fn hint(&self, text: impl Display) {
        if !self.quiet {
            self.prefixed(Style::Dim, "hint:", text);
        }
    }

    /// Prints an error on standard error.
    pub(crate) fn error(&self, error: &CommandError) {
        self.prefixed(Style::Error, "error:", &error.message);
        for cause in &error.causes {
            self.prefixed(Style::Dim, "  caused by:", cause);
        }
        for hint in &error.hints {
            self.prefixed(Style::Dim, "hint:", hint);
        }
    }

    fn prefixed(&self, style: Style, prefix: &str, text: impl Display) {
        let text = talk::redacted(&text.to_string());
        talk::print(&format!("{} {}", styled(self.colored_stderr, style, prefix), printable(&text)));
    }

    /// Makes sure that everything printed has left the program.
    pub(crate) fn finish(&mut self) -> Result<(), CommandError> {
        self.stdout.flush().map_err(|error| output_error(&error))
    }
}

/// Turns a failure to print into an error; a closed pipe ends the program quietly and successfully.
pub(crate) fn output_error(error: &io::Error) -> CommandError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        CommandError::new(Exit::Done, "")
    } else {
        CommandError::from_error(Exit::Failed, error)
    }
}

fn styled(colored: bool, style: Style, text: impl Display) -> String {
    if colored { format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()) } else { text.to_string() }
}

/// Returns `count` with the noun in the number it needs: `1 file`, `2 files`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Returns a command with the number of paths it is about: `store of 3 paths`.
pub(crate) fn counted_of(command: &str, paths: usize) -> String {
    format!("{command} of {}", counted(paths, "path"))
}

/// Returns a number of bytes for people: `512 bytes`, `1.5 KiB`, `3.0 GiB`.
pub(crate) fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return counted(usize::try_from(bytes).unwrap_or_default(), "byte");
    }
    let mut exponent = 1;
    while exponent < UNITS.len() && bytes >> (10 * (exponent + 1)) > 0 {
        exponent += 1;
    }
    // Tenths in integers: exact for every size that exists.
    let tenths = (u128::from(bytes) * 10) >> (10 * exponent);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[exponent - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (3 << 30, "3.0 GiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }
}
