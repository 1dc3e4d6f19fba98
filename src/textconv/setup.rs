//! Tells git of the driver: a command in the repository's own configuration, and lines in `info/attributes` for the
//! paths that are or were stubs. Nothing of it is tracked; both are removed again.
//!
//! A line for every file (`*`) would be simpler, start two programs for each file of a diff, and take the language's
//! own driver away from all of them, since `info/attributes` outweighs every `.gitattributes`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;

use crate::evidence::record::Action;
use crate::fs;
use crate::git::{GitConfig, GitError, Repository, attribute_pattern, attribute_pattern_below};
use crate::item::RepoPath;
use crate::quote::{quote, shell};
use crate::review::{ReviewError, tracked};
use crate::survey::stubs_among;

/// The driver's name: the value of the attribute `diff`.
pub const DRIVER: &str = "archive-tomb";

const COMMAND_KEY: &str = "diff.archive-tomb.textconv";

const BEGIN: &str =
    "# git-archive-tomb textconv: made by `git archive-tomb init --textconv`, removed by `--no-textconv`";
const END: &str = "# git-archive-tomb textconv: end";

/// The most lines. Git compares each with every path whose attributes it looks up, so folders stand for many paths.
const MAX_LINES: usize = 256;

/// The longest `info/attributes` that is read, as git does.
const MAX_LENGTH: u64 = 100 << 20;

/// Why git could not be told.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The file could not be read or written.
    #[error("cannot {action} `{}`", quote(.path.as_os_str().as_encoded_bytes()))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Returns whether git runs the driver in this repository.
pub fn is_enabled(config: &GitConfig) -> bool {
    config.get(COMMAND_KEY).is_some()
}

/// Makes git run `program` for every path that is or was a stub. Returns how many lines that took.
pub fn enable(repository: &Repository, program: &Path) -> Result<usize, SetupError> {
    let lines = refresh(repository)?;
    // Where the program is gone a diff shows the stub, and does not fail.
    let recorded = shell(program.as_os_str().as_encoded_bytes());
    let run = |program: &str| format!("{program} textconv -- \"$1\" 2>/dev/null");
    let command = format!("f() {{ {} || {} || cat -- \"$1\"; }}; f", run("git-archive-tomb"), run(&recorded));
    repository.set_local_config(COMMAND_KEY, &command)?;
    Ok(lines)
}

/// Takes all of it back; what else is in the file stays as it is.
pub fn disable(repository: &Repository) -> Result<(), SetupError> {
    let file = AttributesFile::of(repository);
    let content = file.read()?;
    file.write(&content, &without_block(&content))?;
    Ok(repository.unset_local_config(COMMAND_KEY)?)
}

/// Adds the paths of stubs that were just made. Its cost does not grow with the number of earlier ones.
pub fn cover(repository: &Repository, paths: &[&RepoPath]) -> Result<(), SetupError> {
    let file = AttributesFile::of(repository);
    let content = file.read()?;
    let mut lines: Vec<Vec<u8>> = block_of(&content).map(<[u8]>::to_vec).collect();
    let is_folded = lines.iter().any(|line| is_folder_line(line));
    for path in paths {
        let line = attribute_line(&attribute_pattern(path));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if is_folded || lines.len() > MAX_LINES {
        return refresh(repository).map(drop);
    }
    file.write(&content, &with_block(&content, &lines))
}

/// Makes the lines anew: for the stubs in the index, and for all that the evidence says was one.
fn refresh(repository: &Repository) -> Result<usize, SetupError> {
    let stubs = stubs_among(repository, repository.tracked_entries(&[])?)?;
    let mut paths: BTreeSet<RepoPath> = stubs.into_iter().map(|found| found.entry.path).collect();
    for evidence in tracked(repository)? {
        let read = evidence.read(repository, |entry| {
            if matches!(entry.record.action, Action::Archive | Action::Import) {
                paths.extend(entry.record.repo_path());
            }
        });
        match read {
            // Broken evidence is for `verify` to tell.
            Ok(_) | Err(ReviewError::Evidence(_)) => {}
            Err(ReviewError::Git(error)) => return Err(error.into()),
        }
    }
    let lines: Vec<Vec<u8>> = patterns(&paths, MAX_LINES).iter().map(|pattern| attribute_line(pattern)).collect();
    let file = AttributesFile::of(repository);
    let content = file.read()?;
    file.write(&content, &with_block(&content, &lines))?;
    Ok(lines.len())
}

/// Returns at most `limit` patterns that cover `paths`: each by itself, or where those are too many by their folders.
fn patterns(paths: &BTreeSet<RepoPath>, limit: usize) -> BTreeSet<String> {
    if paths.len() <= limit {
        return paths.iter().map(attribute_pattern).collect();
    }
    let depth = |path: &RepoPath| path.as_bytes().find_iter("/").count();
    let deepest = paths.iter().map(depth).max().unwrap_or_default();
    for kept in (1..=deepest).rev() {
        let folded: BTreeSet<String> = paths
            .iter()
            .map(|path| match path.as_bytes().find_iter("/").nth(kept - 1) {
                Some(end) => attribute_pattern_below(&path.as_bytes()[..end]),
                None => attribute_pattern(path),
            })
            .collect();
        if folded.len() <= limit {
            return folded;
        }
    }
    BTreeSet::from(["*".to_owned()])
}

fn attribute_line(pattern: &str) -> Vec<u8> {
    format!("{pattern} diff={DRIVER}").into_bytes()
}

fn is_folder_line(line: &[u8]) -> bool {
    let pattern = line.strip_suffix(format!(" diff={DRIVER}").as_bytes()).unwrap_or(line);
    pattern == b"*" || pattern.trim_end_with(|end| end == '"').ends_with(b"/**")
}

/// Returns the file with our lines at its beginning, where all others outweigh them.
fn with_block(content: &[u8], lines: &[Vec<u8>]) -> Vec<u8> {
    let block = [&[BEGIN.as_bytes().to_vec()], lines, &[END.as_bytes().to_vec(), Vec::new()]].concat().join(&b'\n');
    [block, without_block(content)].concat()
}

/// Returns the file without our lines.
fn without_block(content: &[u8]) -> Vec<u8> {
    let mut inside = false;
    let kept = content.lines_with_terminator().filter(|line| {
        inside |= line.trim_end() == BEGIN.as_bytes();
        let keep = !inside;
        inside &= line.trim_end() != END.as_bytes();
        keep
    });
    kept.collect::<Vec<_>>().concat()
}

/// Returns our lines, without the first and the last.
fn block_of(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let inside = content.lines().skip_while(|line| *line != BEGIN.as_bytes()).skip(1);
    inside.take_while(|line| *line != END.as_bytes())
}

/// `info/attributes`, which all working trees of a repository share.
struct AttributesFile {
    path: PathBuf,
}

impl AttributesFile {
    fn of(repository: &Repository) -> Self {
        Self { path: repository.common_dir().join("info/attributes") }
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> SetupError {
        let path = self.path.clone();
        move |source| SetupError::Io { action, path, source }
    }

    fn read(&self) -> Result<Vec<u8>, SetupError> {
        match std::fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed("read")(error)),
            // What a link leads to is somebody's, and may serve other repositories.
            Ok(metadata) if !metadata.is_file() || metadata.len() > MAX_LENGTH => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file of up to 100 MiB");
                return Err(self.failed("change")(error));
            }
            Ok(_) => {}
        }
        std::fs::read(&self.path).map_err(self.failed("read"))
    }

    /// Writes the file where it changes; one that would be empty was none before.
    fn write(&self, before: &[u8], after: &[u8]) -> Result<(), SetupError> {
        if before == after {
            return Ok(());
        }
        if after.is_empty() {
            return std::fs::remove_file(&self.path).map_err(self.failed("remove"));
        }
        std::fs::create_dir_all(fs::parent_of(&self.path)).map_err(self.failed("write"))?;
        fs::replace(&self.path, after).map_err(self.failed("write"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> BTreeSet<RepoPath> {
        names.iter().map(|name| RepoPath::try_new(*name).expect("is a path")).collect()
    }

    #[test]
    fn the_lines_of_others_stay_as_they_are() {
        for before in [&b""[..], b"*.x -diff", b"# mine\r\n*.x -diff\n"] {
            let lines = [attribute_line("/a"), attribute_line("\"/b c\"")];
            let after = with_block(before, &lines);
            assert_eq!(
                block_of(&after).collect::<Vec<_>>(),
                [&b"/a diff=archive-tomb"[..], b"\"/b c\" diff=archive-tomb"]
            );
            assert!(after.ends_with(before));
            assert_eq!(with_block(&after, &lines), after);
            assert_eq!(without_block(&after), before);
        }
    }

    #[test]
    fn many_paths_are_covered_by_their_folders() {
        let few = paths(&["a/b/c", "a/b/d", "e f"]);
        assert_eq!(Vec::from_iter(patterns(&few, 3)), ["\"/e\\040f\"", "/a/b/c", "/a/b/d"]);
        assert_eq!(Vec::from_iter(patterns(&few, 2)), ["\"/e\\040f\"", "/a/b/**"]);
        assert_eq!(Vec::from_iter(patterns(&paths(&["a/b/c", "a/d/e", "f"]), 2)), ["/a/**", "/f"]);
        assert_eq!(Vec::from_iter(patterns(&paths(&["a", "b", "c"]), 2)), ["*"]);
        assert_eq!(Vec::from_iter(patterns(&paths(&["a b/c", "a b/d"]), 1)), ["\"/a\\040b/**\""]);
        for line in ["/a/**", "*", "\"/a\\040b/**\""] {
            assert!(is_folder_line(&attribute_line(line)), "{line}");
        }
        assert!(!is_folder_line(&attribute_line("/a/b")));
    }
}
