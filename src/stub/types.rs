//! Types of files: what a path's name, or a script's first line, says about its language, and which templates it gets.

use bstr::ByteSlice;

use super::table::{ALL, BINARY, Entry, TEXT};
use crate::item::{Kind, RepoPath};

/// How many bytes from the start are looked at to tell text from binary: as many as git looks at.
const PROBE_LENGTH: usize = 8000;

/// What is known of a file from its path and first bytes.
#[derive(Debug, Clone, Copy)]
pub struct FileType {
    /// The programming or markup language in lower case, such as `python` or `cpp`.
    pub language: Option<&'static str>,
    /// What sort of file it is.
    pub kind: Kind,
    /// The media type.
    pub mime: Option<&'static str>,
    /// Whether it is a test or belongs to tests, by its path.
    pub is_test: bool,
    entry: &'static Entry,
}

impl FileType {
    pub(super) fn entry(&self) -> &'static Entry {
        self.entry
    }
}

/// Returns what `path` is, going by its name and, where that says nothing, by `first_bytes`.
///
/// A few hundred bytes tell a script, 8,000 a binary file; none at all are fine too.
pub fn classify(path: &RepoPath, first_bytes: &[u8]) -> FileType {
    let first_bytes = &first_bytes[..first_bytes.len().min(PROBE_LENGTH)];
    let is_binary = first_bytes.contains(&0);
    let name = path.file_name();
    let named = by_name(name).or_else(|| by_extension(name)).or_else(|| by_stem(name));
    let named = named.map(|entry| tell_apart(entry, first_bytes));
    let entry = match named {
        // A known name on foreign bytes, such as a video called `.ts`.
        Some(entry) if is_binary && entry.comment != "text" => &BINARY,
        Some(entry) => entry,
        None if is_binary => &BINARY,
        None => by_interpreter(first_bytes).unwrap_or(&TEXT),
    };
    FileType {
        // `python.types` is the type of a Python file that is not run.
        language: entry.id.split('.').next().filter(|_| entry.comment != "text"),
        kind: entry.kind,
        mime: (!entry.mime.is_empty()).then_some(entry.mime),
        is_test: is_test(path),
        entry,
    }
}

/// Returns what a repository may call its own template for `path`, most telling first.
pub(super) fn keys(path: &RepoPath, entry: &Entry) -> Vec<String> {
    let name = path.file_name();
    let file = name.to_str().map(|name| format!("file-{name}"));
    let extensions = extensions(name).map(|extension| format!("ext-{extension}"));
    file.into_iter().chain(extensions).chain([entry.id.to_owned()]).collect()
}

/// Returns the extensions of a file name in lower case, longest first: `d.ts`, then `ts`.
fn extensions(name: &[u8]) -> impl Iterator<Item = String> {
    let dots = name.find_iter(b".").filter(|position| *position > 0);
    dots.filter_map(|position| Some(name[position + 1..].to_str().ok()?.to_ascii_lowercase()))
}

/// The lists of an entry, for the tests.
#[cfg(test)]
pub(super) const LISTS: [fn(&Entry) -> &'static str; 3] =
    [|entry| entry.extensions, |entry| entry.names, |entry| entry.interpreters];

fn find(list: fn(&Entry) -> &'static str, wanted: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| list(entry).split_ascii_whitespace().any(|part| part == wanted))
}

fn by_name(name: &[u8]) -> Option<&'static Entry> {
    find(|entry| entry.names, name.to_str().ok()?)
}

fn by_extension(name: &[u8]) -> Option<&'static Entry> {
    extensions(name).find_map(|extension| find(|entry| entry.extensions, &extension))
}

/// Finds `Dockerfile.dev` and `.env.local` by what stands before the dot.
fn by_stem(name: &[u8]) -> Option<&'static Entry> {
    by_name(&name[..=name.iter().skip(1).position(|byte| *byte == b'.')?])
}

/// Finds a script by its `#!` line: `#!/usr/bin/env -S python3 -u`.
fn by_interpreter(first_bytes: &[u8]) -> Option<&'static Entry> {
    let line = first_bytes.strip_prefix(b"#!")?.lines().next()?.to_str().ok()?;
    let mut words = line.split_ascii_whitespace().map(|word| word.rsplit('/').next().unwrap_or_default());
    let mut program = words.next()?;
    if program == "env" {
        program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    }
    let program = program.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.');
    find(|entry| entry.interpreters, program)
}

/// Corrects the type where two languages share an extension.
fn tell_apart(entry: &'static Entry, first_bytes: &[u8]) -> &'static Entry {
    let holds = |words: &[&str]| words.iter().any(|word| first_bytes.contains_str(word));
    let other = match entry.id {
        "matlab" if holds(&["#import", "#include", "@interface", "@implementation", "//", "/*"]) => "objective-c",
        "perl" if holds(&[":-"]) && !holds(&["use ", "my ", "sub "]) => "prolog",
        _ => return entry,
    };
    find(|entry| entry.id, other).unwrap_or(entry)
}

/// Returns whether `path` belongs to tests, as test runners find them.
fn is_test(path: &RepoPath) -> bool {
    const FOLDERS: [&str; 7] = ["test", "tests", "__tests__", "spec", "specs", "testdata", "fixtures"];
    let folder = path.parent().to_ascii_lowercase();
    if folder.split_str("/").any(|part| FOLDERS.iter().any(|name| part == name.as_bytes())) {
        return true;
    }
    let name = path.file_name();
    let stem = &name[..name.rfind_byte(b'.').unwrap_or(name.len())];
    let lower = stem.to_ascii_lowercase();
    let has_extension = stem.len() < name.len();
    name == b"conftest.py"
        || name.ends_with(b".t")
        || name.ends_with(b".bats")
        || has_extension && (lower.starts_with(b"test_") || ["_test", ".test", "_spec", ".spec"].iter().any(|end| lower.ends_with_str(end)))
        // JUnit, NUnit and XCTest.
        || [".java", ".kt", ".cs", ".scala", ".swift", ".groovy"].iter().any(|end| name.ends_with_str(end))
            && ["Test", "Tests", "TestCase"].iter().any(|end| stem.ends_with_str(end))
}
