//! `grep`: searches archived contents.

use std::ffi::OsString;
use std::io::{self, Write};
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use git_archive_tomb::id::Tombstone;
use git_archive_tomb::item::JsonPath;
use git_archive_tomb::search::{Detail, Found, Lines, Outcome, Pattern, PatternOptions, Searched, search};
use serde::Serialize;

use crate::cli::convert::from_history;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::filter::FilterArguments;
use crate::cli::output::{Output, counted, output_error};
use crate::cli::session::Session;
use crate::cli::view::PathView;

/// Search archived contents for a pattern
///
/// Prints the lines that match as `git grep PATTERN REVISION` does; in the place of the revision stands the beginning of
/// the item's tombstone, which `cat` and `restore` take. Newest items first, as `list` has them.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct GrepArguments {
    /// What to look for: a regular expression as Rust's `regex` crate has them, much like those of `git grep -E`
    #[arg(required_unless_present = "patterns", conflicts_with = "patterns")]
    pattern: Option<OsString>,
    /// One of several patterns; may be repeated
    #[arg(short = 'e', value_name = "PATTERN", allow_hyphen_values = true)]
    patterns: Vec<OsString>,
    /// Print only names of items
    #[arg(short = 'l', long, alias = "name-only")]
    files_with_matches: bool,
    /// Print how many lines match in each item
    #[arg(short, long)]
    count: bool,
    /// Print line numbers
    #[arg(short = 'n', long)]
    line_number: bool,
    /// Take capital and small letters for the same
    #[arg(short, long)]
    ignore_case: bool,
    /// The pattern is a text, not a regular expression
    #[arg(short = 'F', long)]
    fixed_strings: bool,
    /// The pattern is a regular expression; it always is one without `-F`
    #[arg(short = 'E', long, hide = true, conflicts_with = "fixed_strings")]
    extended_regexp: bool,
    /// Match whole words only
    #[arg(short, long)]
    word_regexp: bool,
    /// Put NUL behind names, and quote nothing
    #[arg(short = 'z', long)]
    null: bool,
    #[command(flatten)]
    filter: FilterArguments,
}

impl GrepArguments {
    fn pattern(&self) -> Result<Pattern, CommandError> {
        let text = |pattern: &OsString| {
            pattern.to_str().map(str::to_owned).ok_or_else(|| {
                CommandError::new(Exit::Usage, format!("`{}` is not UTF-8", pattern.to_string_lossy()))
                    .hint(r"write other bytes as in `(?-u:\xE9)`")
            })
        };
        let patterns = self.pattern.iter().chain(&self.patterns).map(text).collect::<Result<Vec<_>, _>>()?;
        let options =
            PatternOptions { ignore_case: self.ignore_case, fixed: self.fixed_strings, word: self.word_regexp };
        Pattern::new(&patterns, options).map_err(|error| {
            let shown = CommandError::from_error(Exit::Usage, &error);
            if self.fixed_strings { shown } else { shown.hint("`-F` looks for the text as it is") }
        })
    }

    fn detail(&self) -> Detail {
        match (self.files_with_matches, self.count) {
            (true, _) => Detail::Name,
            (false, true) => Detail::Count,
            (false, false) => Detail::Lines,
        }
    }
}

/// What was found in an item, in JSON.
#[derive(Serialize)]
struct FoundView<'a> {
    tombstone: Tombstone,
    repo: &'a str,
    #[serde(flatten)]
    path: PathView,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line_number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_b64: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    binary: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: GrepArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let (pattern, detail) = (arguments.pattern()?, arguments.detail());
    let (line_number, nul) = (arguments.line_number, arguments.null);
    let query = arguments.filter.into_query(session)?;
    let pool = session.pool()?;
    session.clear_listed(&mut *pool.lend()?, &query, "grep", None)?;
    let mut printer = Printer { output: &mut *session.output, pattern: &pattern, detail, line_number, nul };
    let (mut result, mut matched, mut damaged, mut first) = (Ok(()), false, 0, None);
    search(&pool, &query, &pattern, detail, &mut |item, outcome| {
        result = match outcome {
            Outcome::Found(found, lines) => {
                matched = true;
                printer.print(item, found, lines)
            }
            Outcome::Purged(at) => {
                printer.output.say(format_args!("{}:{} was purged at {at}: not searched", item.name, item.path));
                Ok(())
            }
            Outcome::Damaged(error) => {
                damaged += 1;
                first.get_or_insert_with(|| (item.tombstone, item.path.clone()));
                let summary = CommandError::from_error(Exit::Integrity, error).summary();
                printer.output.warn(format_args!("{}:{}: {summary}", item.name, item.path));
                Ok(())
            }
        };
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result?;
    if let Some((tombstone, path)) = first {
        let what = counted(damaged, "item");
        return Err(CommandError::new(
            Exit::Integrity,
            format!("{what} could not be searched: the bytes do not come out of the archive as they went in"),
        )
        .hint(from_history(&tombstone, &path, damaged)));
    }
    Ok(if matched { Exit::Done } else { Exit::Failed })
}

/// Prints as git does, colours included.
struct Printer<'a> {
    output: &'a mut Output,
    pattern: &'a Pattern,
    detail: Detail,
    line_number: bool,
    nul: bool,
}

impl Printer<'_> {
    /// Prints what was found in an item, at once: whoever reads it may have waited long.
    fn print(&mut self, item: &Searched, found: Found, mut lines: Lines<'_>) -> Result<(), CommandError> {
        if self.output.json {
            self.print_json(item, found, &mut lines)?;
        } else {
            self.print_text(item, found, &mut lines).map_err(|error| output_error(&error))?;
        }
        self.output.finish()
    }

    fn print_text(&mut self, item: &Searched, found: Found, lines: &mut Lines<'_>) -> io::Result<()> {
        let name = self.name(item);
        match self.detail {
            Detail::Name => self.raw(&[&name, if self.nul { b"\0" } else { b"\n" }]),
            Detail::Count => self.raw(&[&name, &self.separator(), format!("{}\n", found.count).as_bytes()]),
            Detail::Lines if !found.is_text => self.raw(&[b"Binary file ", &name, b" matches\n"]),
            Detail::Lines => {
                while let Some((number, line)) = lines.next_line()? {
                    self.raw(&[&name, &self.separator()])?;
                    if self.line_number {
                        self.raw(&[&self.colored("32", number.to_string().into_bytes()), &self.separator()])?;
                    }
                    self.line(line)?;
                }
                Ok(())
            }
        }
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let mut done = 0;
        if self.output.is_colored() {
            for found in self.pattern.matches_in(line) {
                let before = self.output.visible(&line[done..found.start]);
                let matched = self.colored("1;31", self.output.visible(&line[found.clone()]));
                self.raw(&[&before, &matched])?;
                done = found.end;
            }
        }
        // Together with the line's end: before that, a carriage return does no harm.
        let mut content = self.output.content();
        content.write_all(&line[done..])?;
        content.write_all(b"\n")?;
        content.finish()
    }

    /// Returns what stands before each line of an item, or alone.
    fn name(&self, item: &Searched) -> Vec<u8> {
        let path =
            if self.nul { self.output.visible(item.path.as_bytes()) } else { item.path.to_string().into_bytes() };
        self.colored("35", [item.name.as_bytes(), b":", &path].concat())
    }

    fn separator(&self) -> Vec<u8> {
        if self.nul { vec![0] } else { self.colored("36", vec![b':']) }
    }

    fn colored(&self, color: &str, bytes: Vec<u8>) -> Vec<u8> {
        if !self.output.is_colored() {
            return bytes;
        }
        [format!("\u{1b}[{color}m").as_bytes(), &bytes, b"\x1b[m"].concat()
    }

    fn raw(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        parts.iter().try_for_each(|part| self.output.raw().write_all(part))
    }

    fn print_json(&mut self, item: &Searched, found: Found, lines: &mut Lines<'_>) -> Result<(), CommandError> {
        let view = FoundView {
            tombstone: item.tombstone,
            repo: &item.repo,
            path: JsonPath::from(&item.path).into(),
            count: (self.detail == Detail::Count).then_some(found.count),
            line_number: None,
            text: None,
            text_b64: None,
            binary: !found.is_text,
        };
        if self.detail != Detail::Lines || !found.is_text {
            return self.output.object(&view);
        }
        while let Some((number, line)) = lines.next_line().map_err(|error| output_error(&error))? {
            let text = std::str::from_utf8(line).ok();
            self.output.object(&FoundView {
                path: JsonPath::from(&item.path).into(),
                line_number: Some(number),
                text,
                text_b64: text.is_none().then(|| BASE64.encode(line)),
                ..view
            })?;
        }
        Ok(())
    }
}
