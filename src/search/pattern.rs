//! What is looked for.

use std::ops::Range;

use bstr::ByteSlice;
use grep_matcher::{LineMatchKind, Matcher, NoError};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};

/// The most memory that a compiled pattern may take, in bytes, and each thread's tables for it.
const MAX_MEMORY: usize = 16 << 20;

/// How patterns are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PatternOptions {
    /// Capital and small letters are the same.
    pub ignore_case: bool,
    /// Patterns are texts, not regular expressions.
    pub fixed: bool,
    /// A match begins and ends where a word does.
    pub word: bool,
}

/// Why something cannot be looked for.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// A pattern is no regular expression.
    #[error("`{}` is no regular expression: {}", pattern.escape_debug(), reason)]
    Syntax {
        /// The pattern.
        pattern: String,
        /// Why not, as a clause.
        reason: String,
    },
    /// The patterns together are too much.
    #[error("the pattern takes more than {} MiB of memory", MAX_MEMORY >> 20)]
    TooLarge,
}

/// What is looked for: lines that hold a match of one of several patterns.
#[derive(Debug, Clone)]
pub struct Pattern {
    matcher: RegexMatcher,
    /// Whether no match holds a line's end, so that many lines may be looked at together.
    in_one_line: bool,
}

impl Pattern {
    /// Returns what matches any of `patterns`, in the syntax of the `regex` crate. A line's end in a pattern parts two patterns.
    pub fn new(patterns: &[String], options: PatternOptions) -> Result<Self, PatternError> {
        let patterns: Vec<&str> = patterns.iter().flat_map(|pattern| pattern.split('\n')).collect();
        let mut builder = RegexMatcherBuilder::new();
        builder
            .multi_line(true)
            .case_insensitive(options.ignore_case)
            .fixed_strings(options.fixed)
            .word(options.word)
            .line_terminator(Some(b'\n'))
            .size_limit(MAX_MEMORY)
            .dfa_size_limit(MAX_MEMORY);
        let matcher = builder.build_many(&patterns).map_err(|_| {
            // Each by itself, to say which one it is.
            let refused = patterns.iter().find_map(|pattern| Some((pattern, builder.build(pattern).err()?)));
            match refused {
                Some((pattern, error)) if !is_too_large(&error) => {
                    PatternError::Syntax { pattern: (*pattern).to_owned(), reason: reason(&error) }
                }
                _ => PatternError::TooLarge,
            }
        })?;
        let in_one_line = matcher.line_terminator().is_some();
        Ok(Self { matcher, in_one_line })
    }

    /// Returns whether `line`, without its end, holds a match.
    pub fn is_match(&self, line: &[u8]) -> bool {
        certain(self.matcher.is_match(line))
    }

    /// Returns where in `line` its matches are, but for empty ones.
    pub fn matches_in(&self, line: &[u8]) -> Vec<Range<usize>> {
        let mut matches = Vec::new();
        certain(self.matcher.find_iter(line, |found| {
            if !found.is_empty() {
                matches.push(found.start()..found.end());
            }
            true
        }));
        matches
    }

    /// Returns the first line, with its end, that holds a match, of those in `text` that begin at `from` or later. `text`
    /// consists of whole lines.
    pub(super) fn next_line(&self, text: &[u8], mut from: usize) -> Option<Range<usize>> {
        while from < text.len() {
            let (line, certain) = if self.in_one_line {
                match certain(self.matcher.find_candidate_line(&text[from..]))? {
                    LineMatchKind::Confirmed(at) => (line_at(text, from + at), true),
                    LineMatchKind::Candidate(at) => (line_at(text, from + at), false),
                }
            } else {
                (line_at(text, from), false)
            };
            // An empty match behind the last line is in none.
            if line.is_empty() {
                return None;
            }
            if certain || self.is_match(without_end(&text[line.clone()])) {
                return Some(line);
            }
            from = line.end;
        }
        None
    }
}

fn certain<T>(result: Result<T, NoError>) -> T {
    result.expect("this matcher has no errors")
}

/// Returns `line` without its end.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// Returns the line, with its end, that position `at` is in.
fn line_at(text: &[u8], at: usize) -> Range<usize> {
    let start = text[..at].rfind_byte(b'\n').map_or(0, |end| end + 1);
    let end = text[at..].find_byte(b'\n').map_or(text.len(), |end| at + end + 1);
    start..end
}

fn is_too_large(error: &grep_regex::Error) -> bool {
    error.to_string().contains("size limit")
}

/// Returns the last line of an error, which is what is wrong; those before it show where, in a drawing.
fn reason(error: &grep_regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str, options: PatternOptions) -> Pattern {
        Pattern::new(&[text.to_owned()], options).expect("is a pattern")
    }

    fn lines(pattern: &Pattern, text: &str) -> Vec<String> {
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some(line) = pattern.next_line(text.as_bytes(), from) {
            found.push(text[line.clone()].to_owned());
            from = line.end;
        }
        found
    }

    #[test]
    fn lines_are_found_one_by_one() {
        let plain = PatternOptions::default();
        let text = "one\ntwo three\n\nfour\n";
        for (wanted, expected) in [
            ("o", &["one\n", "two three\n", "four\n"][..]),
            ("^t", &["two three\n"]),
            ("e$", &["one\n", "two three\n"]),
            ("^$", &["\n"]),
            ("", &["one\n", "two three\n", "\n", "four\n"]),
            (r"\s", &["two three\n"]),
            (r"[^x]{9}", &["two three\n"]),
            (r"(?-m)^f", &["four\n"]),
            (r"\Af", &["four\n"]),
            (r"r\z", &["four\n"]),
            ("x", &[]),
            ("two\nfour", &["two three\n", "four\n"]),
        ] {
            assert_eq!(lines(&pattern(wanted, plain), text), expected, "{wanted}");
        }
        assert_eq!(lines(&pattern("", plain), ""), [""; 0]);
        let words = PatternOptions { word: true, fixed: true, ignore_case: true };
        assert_eq!(lines(&pattern("TWO", words), "two\ntwofold\na.two\n"), ["two\n", "a.two\n"]);
    }

    #[test]
    fn what_cannot_be_looked_for_is_named() {
        let refused = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
            Pattern::new(&texts, PatternOptions::default()).expect_err("is refused").to_string()
        };
        assert_eq!(refused(&["fine", "a(b"]), "`a(b` is no regular expression: unclosed group");
        assert!(refused(&["\\n"]).starts_with("`\\\\n` is no regular expression: "));
        assert_eq!(refused(&["(?:(?:\\w{100}){100}){100}"]), "the pattern takes more than 16 MiB of memory");
    }
}
