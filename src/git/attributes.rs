//! Attributes, as git's own `check-attr` finds them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write as _;

use bstr::{BString, ByteSlice};

use super::index::next_record;
use super::pathspec::ScratchIndex;
use super::{GitError, ObjectKind, Repository, Root, command};
use crate::id::ObjectId;
use crate::item::RepoPath;
use crate::quote::quote_avoiding;

/// The longest attributes file that git reads, in bytes.
const MAX_ATTRIBUTES_LENGTH: u64 = 100 << 20;

/// Which `.gitattributes` files count. The repository's `info/attributes` and the user's own always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeSource {
    /// Those of the working tree, and of the index where it has none: what git uses when it adds files.
    WorkTree,
    /// Those of the index only.
    Index,
    /// Those of this tree or commit only; works without a working tree.
    Tree(ObjectId),
}

/// What an attribute is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// Nothing is said of it.
    Unspecified,
    /// `name`.
    Set,
    /// `-name`.
    Unset,
    /// `name=value`.
    Value(BString),
}

/// A line of an attributes file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeLine {
    /// The file, relative to the top, or in the git directory.
    pub file: String,
    /// The line's number, from 1.
    pub number: usize,
    /// The line.
    pub text: String,
}

/// Returns the pattern that means just `path` in the attributes file at the top of the working tree.
pub fn attribute_pattern(path: &RepoPath) -> String {
    pattern(path.as_bytes(), b"")
}

/// Returns the pattern that means everything below the folder at `path`, as [`attribute_pattern`] does.
pub fn attribute_pattern_below(path: &[u8]) -> String {
    pattern(path, b"/**")
}

fn pattern(path: &[u8], end: &[u8]) -> String {
    // A slash in front ties it to the top, and keeps signs and quotes from the place where they mean something.
    let mut pattern = vec![b'/'];
    for byte in path {
        if b"*?[\\".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.extend_from_slice(end);
    quote_avoiding(&pattern, &[" "]).into_owned()
}

impl Repository {
    /// Returns the line that decides on attribute `name` of `path` in the working tree, or in the tree of `source`; `None`
    /// where that is none of the attributes files of this repository.
    ///
    /// Git tells values, not where they come from: so the files are looked through from the one that counts most, each
    /// from its end, and git is asked about the pattern of each line that has the attribute, or a macro with it. Of a macro
    /// the line that defines it is returned.
    pub fn attribute_line(
        &self,
        source: AttributeSource,
        path: &RepoPath,
        name: &str,
    ) -> Result<Option<AttributeLine>, GitError> {
        let info = self.common_dir().join("info/attributes");
        let mut files = vec![(".git/info/attributes".to_owned(), path.as_bytes(), std::fs::read(info).ok())];
        let mut folder = path.parent();
        loop {
            let separator = if folder.is_empty() { "" } else { "/" };
            let file = RepoPath::try_new([folder, separator.as_bytes(), b".gitattributes"].concat())?;
            let below = &path.as_bytes()[folder.len() + separator.len()..];
            files.push((file.to_string(), below, self.attributes_file(source, &file)?));
            if folder.is_empty() {
                break;
            }
            folder = folder.rfind_byte(b'/').map_or(&[][..], |end| &folder[..end]);
        }
        let mut lines = Vec::new();
        for (file, below, content) in &files {
            lines.extend(lines_of(file, below, content.as_deref().unwrap_or_default()));
        }
        // Git knows macros at the top only, and of several with the same name the one that counts most.
        let mut macros: HashMap<_, &Line<'_>> = HashMap::new();
        for line in lines.iter().filter(|line| line.below.len() == path.as_bytes().len()) {
            if let Some(name) = line.macro_name() {
                macros.entry(name).or_insert(line);
            }
        }
        macros.retain(|_, line| line.attributes().any(|token| token == name.as_bytes()));
        for line in lines.iter().filter(|line| line.macro_name().is_none() && !line.text.starts_with(b"#")) {
            // In a line, too, the last one counts.
            let decides = |token: &&[u8]| *token == name.as_bytes() || macros.contains_key(token);
            let Some(token) = line.attributes().filter(decides).last() else { continue };
            if self.pattern_matches(split_pattern(line.text).0, line.below)? {
                let line = macros.get(token).unwrap_or(&line);
                let text = line.text.to_str_lossy().into_owned();
                return Ok(Some(AttributeLine { file: line.file.to_owned(), number: line.number, text }));
            }
        }
        Ok(None)
    }

    /// Reads an attributes file; of the working tree, unless `source` is a tree.
    fn attributes_file(&self, source: AttributeSource, file: &RepoPath) -> Result<Option<Vec<u8>>, GitError> {
        let AttributeSource::Tree(tree) = source else {
            return Root::open(self.require_work_tree()?)?.read(file, MAX_ATTRIBUTES_LENGTH);
        };
        let objects = self.fetching_objects();
        let entry = objects.entry(&tree, file)?.filter(|entry| entry.file_mode().is_some());
        entry.map(|entry| objects.read_kind(&entry.id, ObjectKind::Blob, MAX_ATTRIBUTES_LENGTH)).transpose()
    }

    /// Returns whether git takes `pattern` of an attributes file to mean `path`, seen from that file's folder.
    fn pattern_matches(&self, pattern: &[u8], path: &[u8]) -> Result<bool, GitError> {
        const PROBE: &str = "git-archive-tomb-probe";
        let folder = self.git_dir();
        let failed = |source| GitError::Io { action: "write a file in", path: folder.to_owned(), source };
        let mut file =
            tempfile::Builder::new().prefix("archive-tomb-attributes-").tempfile_in(folder).map_err(failed)?;
        file.write_all(&[pattern, b" ", PROBE.as_bytes(), b"\n"].concat()).map_err(failed)?;
        // The user's own file counts least of all, and nobody else knows this attribute.
        let mut setting = OsString::from("core.attributesFile=");
        setting.push(file.path());
        let mut command = self.git().read_command(&["-c"]);
        command.arg(setting).args(["check-attr", "-z", "--stdin", PROBE]);
        let answer = command::run("check-attr", &mut command, &[path, b"\0"].concat())?.ok("check-attr")?;
        Ok(answer.ends_with(b"\0set\0"))
    }

    /// Returns for each of `paths`, in order, the values of the attributes `names`, in order. One child, any number of
    /// paths.
    pub fn attributes(
        &self,
        source: AttributeSource,
        paths: &[&RepoPath],
        names: &[&str],
    ) -> Result<Vec<Vec<AttributeValue>>, GitError> {
        if paths.is_empty() || names.is_empty() {
            return Ok(vec![Vec::new(); paths.len()]);
        }
        let unexpected = || GitError::UnexpectedAnswer { command: "check-attr" };
        // In a sparse checkout, git before 2.43 takes what is outside of it for files without attributes.
        let (whole, options): (&[&str], &[&str]) = match source {
            AttributeSource::WorkTree => (&[], &[]),
            AttributeSource::Index | AttributeSource::Tree(_) => (&["-c", "core.sparseCheckout=false"], &["--cached"]),
        };
        let mut command = self.git().read_command(&[whole, &["check-attr", "-z", "--stdin"], options, names].concat());
        let index = match source {
            // `check-attr --source` needs git 2.40.
            AttributeSource::Tree(tree) => Some(ScratchIndex::of_tree(self, &tree)?),
            AttributeSource::WorkTree | AttributeSource::Index => None,
        };
        if let Some(index) = &index {
            command.env("GIT_INDEX_FILE", index.path());
        }
        let mut found = Vec::with_capacity(paths.len());
        let output = command::stream(
            "check-attr",
            &mut command,
            |pipe| paths.iter().try_for_each(|path| pipe.write_all(&[path.as_bytes(), b"\0"].concat())),
            |pipe| {
                for path in paths {
                    let mut values = Vec::with_capacity(names.len());
                    for name in names {
                        let mut next = || next_record(pipe, "check-attr")?.ok_or_else(unexpected);
                        if next()? != path.as_bytes() || next()? != name.as_bytes() {
                            return Err(unexpected());
                        }
                        values.push(match next()?.as_slice() {
                            b"unspecified" => AttributeValue::Unspecified,
                            b"set" => AttributeValue::Set,
                            b"unset" => AttributeValue::Unset,
                            value => AttributeValue::Value(value.into()),
                        });
                    }
                    found.push(values);
                }
                Ok(())
            },
        )?;
        output.ok("check-attr")?;
        Ok(found)
    }
}

/// A line while it is looked for the one that decides.
struct Line<'a> {
    file: &'a str,
    number: usize,
    /// The line, without blanks around it.
    text: &'a [u8],
    /// The path that is asked about, seen from the file's folder.
    below: &'a [u8],
}

impl<'a> Line<'a> {
    /// Returns the name of the macro that the line defines.
    fn macro_name(&self) -> Option<&'a [u8]> {
        self.text.strip_prefix(b"[attr]").map(|definition| split_pattern(definition).0)
    }

    /// Returns the names of the attributes that it sets, unsets or gives a value.
    fn attributes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let definition = self.text.strip_prefix(b"[attr]").unwrap_or(self.text);
        split_pattern(definition).1.fields().map(|token| {
            let token = token.trim_start_with(|sign| matches!(sign, '-' | '!'));
            token.split_once_str("=").map_or(token, |(name, _)| name)
        })
    }
}

/// Returns the lines of a file, the last first.
fn lines_of<'a>(file: &'a str, below: &'a [u8], content: &'a [u8]) -> Vec<Line<'a>> {
    let line = |(index, line): (usize, &'a [u8])| Line { file, number: index + 1, text: line.trim(), below };
    let mut lines: Vec<_> = content.lines().enumerate().map(line).collect();
    lines.reverse();
    lines
}

/// Splits a line of an attributes file into its pattern, quoted or not, and its attributes.
fn split_pattern(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_start();
    let mut escaped = false;
    let closing = |(position, byte): (usize, &u8)| {
        let closes = position > 0 && *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes.then_some(position + 1)
    };
    let end =
        if line.starts_with(b"\"") { line.iter().enumerate().find_map(closing) } else { line.find_byteset(b" \t\r\n") };
    line.split_at(end.unwrap_or(line.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn attributes_come_from_the_place_that_is_asked() {
        let fixture = Fixture::new("sha1");
        let commit = fixture.commit_files(&[(".gitattributes", "*.x filter=lfs -text ident\n"), ("a", "")]);
        fixture.write(".gitattributes", "*.x filter=other\n");
        let repository = fixture.repository();
        let paths = [&b"new\nline.x"[..], b"b"].map(|path| RepoPath::try_new(path).expect("is a path"));
        let paths = [&paths[0], &paths[1]];
        let names = ["filter", "text", "ident", "eol"];
        let ask = |source| repository.attributes(source, &paths, &names).expect("asks");
        for source in [AttributeSource::Index, AttributeSource::Tree(commit)] {
            let value = AttributeValue::Value("lfs".into());
            let (set, unset) = (AttributeValue::Set, AttributeValue::Unset);
            assert_eq!(ask(source)[0], [value, unset, set, AttributeValue::Unspecified]);
            assert_eq!(ask(source)[1], vec![AttributeValue::Unspecified; 4]);
        }
        assert_eq!(ask(AttributeSource::WorkTree)[0][0], AttributeValue::Value("other".into()));

        fixture.git_in(fixture.home(), &["clone", "-q", "--bare", "top", "bare"]);
        let bare = fixture.discover(&fixture.home().join("bare")).expect("finds it");
        let found = bare.attributes(AttributeSource::Tree(commit), &paths, &names).expect("asks");
        assert_eq!(found[0][0], AttributeValue::Value("lfs".into()));
    }
}
