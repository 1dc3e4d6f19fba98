//! Where the program's own files are: in the git common directory, with links and attributes in the working tree.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use unicode_normalization::UnicodeNormalization;

use crate::fs;
use crate::id::OperationId;
use crate::item::RepoPath;

/// The folder in the working tree that belongs to the program.
pub const CODEX: &str = ".codex";
/// The folder that holds the evidence files, relative to the top.
pub const EVIDENCE: &str = ".codex/evidence/ops";
/// The configuration file, relative to the top.
pub const CONFIGURATION: &str = ".codex/archive.toml";
/// The folder with a repository's own stub templates, relative to the top.
pub const STUB_TEMPLATES: &str = ".codex/stubs";
/// The links to the embedded archive and the operations log, relative to the top.
pub const LINKS: [&str; 2] = [".codex/archive.sqlite", ".codex/evidence/archive_ops.jsonl"];

/// What keeps git from altering evidence on its way in or out.
const ATTRIBUTES: OwnFile = OwnFile {
    path: ".codex/.gitattributes",
    lines: &["evidence/** -text -ident -filter -working-tree-encoding -eol -export-subst linguist-generated"],
};

/// What keeps the links and local files out of commits.
const IGNORED: OwnFile = OwnFile {
    path: ".codex/.gitignore",
    lines: &["/archive.sqlite", "/archive.sqlite-*", "/evidence/archive_ops.jsonl"],
};

/// The same where a branch has no such file (yet): else the next `git add` there takes the links for new files.
const EXCLUDED: OwnFile = OwnFile {
    path: "info/exclude",
    lines: &["/.codex/archive.sqlite", "/.codex/archive.sqlite-*", "/.codex/evidence/archive_ops.jsonl"],
};

/// A file of which some lines are the program's and the rest the user's.
#[derive(Debug, Clone, Copy)]
pub struct OwnFile {
    /// Where it is, relative to the top.
    pub path: &'static str,
    lines: &'static [&'static str],
}

/// The files that every change of the tree makes sure of, and stages.
pub const OWN_FILES: [OwnFile; 2] = [ATTRIBUTES, IGNORED];

impl OwnFile {
    /// Returns what the file should hold, given what it holds now; `None` if that is enough.
    pub fn completed(&self, current: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut content = current.unwrap_or_default().to_vec();
        let missing: Vec<_> = {
            let present: Vec<_> = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
            self.lines.iter().filter(|line| !present.contains(&line.as_bytes())).collect()
        };
        if missing.is_empty() {
            return None;
        }
        if !content.is_empty() && !content.ends_with(b"\n") {
            content.push(b'\n');
        }
        for line in missing {
            content.extend_from_slice(line.as_bytes());
            content.push(b'\n');
        }
        Some(content)
    }

    /// Returns the path.
    pub fn repo_path(&self) -> RepoPath {
        RepoPath::try_new(self.path).expect("the program's own paths are valid")
    }
}

/// Returns whether some file system may take `path` for one in the folder that belongs to the program.
pub fn is_own(path: &RepoPath) -> bool {
    path.as_bytes().split(|byte| *byte == b'/').next().is_some_and(|first| is_taken_for(first, CODEX))
}

/// Returns whether some file system takes `component` for `name` (lower-case ASCII), or it is that.
///
/// File systems fold case and Unicode forms, HFS+ skips code points that are not shown, NTFS drops trailing dots and
/// blanks and what follows a colon, and gives names that begin with a dot a short form.
pub(crate) fn is_taken_for(component: &[u8], name: &str) -> bool {
    let stem = component.split(|byte| *byte == b':').next().unwrap_or_default();
    if stem.is_ascii() {
        let stem = stem.trim_end_with(|character| matches!(character, '.' | ' '));
        return stem.eq_ignore_ascii_case(name.as_bytes())
            || name.strip_prefix('.').is_some_and(|rest| {
                stem.strip_suffix(b"~1").is_some_and(|short| short.eq_ignore_ascii_case(rest.as_bytes()))
            });
    }
    let Ok(stem) = std::str::from_utf8(stem) else { return false };
    let visible = stem.chars().filter(|character| !is_ignorable(*character));
    let folded: String =
        visible.nfkc().flat_map(char::to_lowercase).filter(|character| !is_ignorable(*character)).collect();
    folded.trim_end_matches(['.', ' ']) == name
}

/// Returns whether Unicode calls `character` default-ignorable (`DerivedCoreProperties.txt`, Unicode 16).
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Why the program's places cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    /// `.codex` is something else than a plain folder with just this name.
    #[error("`{}` is {what}, and git-archive-tomb needs a place of its own there", path.display())]
    Codex {
        /// What is there.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Git tracks a file where the link to the archive or the operations log belongs.
    #[error("`{path}` is tracked by git, but belongs to git-archive-tomb")]
    Tracked {
        /// The path, relative to the top.
        path: &'static str,
    },
    /// Git tracks something else than a plain folder `.codex`, or that name in another case.
    #[error("git tracks `{path}`, and git-archive-tomb needs a folder `{CODEX}` of its own")]
    NotOurs {
        /// The entry's path.
        path: RepoPath,
    },
    /// A file that is not ours stands where a link belongs.
    #[error("`{}` is in the way of a link to git-archive-tomb's own file", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The places of one repository.
#[derive(Debug, Clone)]
pub struct Places {
    folder: PathBuf,
    work_tree: Option<PathBuf>,
}

impl Places {
    /// Returns the places of the repository with this common directory and, unless it is bare, working tree.
    pub fn new(common_dir: &Path, work_tree: Option<&Path>) -> Self {
        Self { folder: common_dir.join("archive-tomb"), work_tree: work_tree.map(Path::to_owned) }
    }

    /// Returns the folder in the git common directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns where the embedded archive is.
    pub fn archive(&self) -> PathBuf {
        self.folder.join("archive.sqlite")
    }

    /// Returns where the operations log is, unless configured otherwise.
    pub fn operations_log(&self) -> PathBuf {
        self.folder.join("archive_ops.jsonl")
    }

    /// Returns the folder of the journals.
    pub fn journal(&self) -> PathBuf {
        self.folder.join("operations")
    }

    /// Returns the folder in which operation `op` gathers restored bytes before they become git objects: in its journal,
    /// so that it goes with it.
    pub fn scratch(&self, op: OperationId) -> PathBuf {
        self.journal().join(op.to_string()).join("scratch")
    }

    /// Returns where the evidence graph's heads are cached.
    pub fn evidence_heads(&self) -> PathBuf {
        self.folder.join("evidence-heads")
    }

    /// Makes the folder in the git common directory.
    pub fn create(&self) -> Result<(), PlacesError> {
        fs::create_dir(&self.folder).map_err(io_error("create", &self.folder))
    }

    /// Returns this clone's random id; empty where none was needed yet. Nothing is written, so readers use this.
    pub fn known_origin(&self) -> Result<String, PlacesError> {
        let path = self.folder.join("origin");
        let mut text = String::new();
        match fs::open_no_follow(OpenOptions::new().read(true), &path)
            .and_then(|file| file.take(1024).read_to_string(&mut text))
        {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {}
            Err(source) => return Err(PlacesError::Io { action: "read", path, source }),
        }
        Ok(text.trim().parse::<uuid::Uuid>().map(|origin| origin.to_string()).unwrap_or_default())
    }

    /// Returns this clone's random id, made when it is first asked for.
    pub fn origin(&self) -> Result<String, PlacesError> {
        self.create()?;
        let path = self.folder.join("origin");
        loop {
            let known = self.known_origin()?;
            if !known.is_empty() {
                return Ok(known);
            }
            let made = uuid::Uuid::new_v4().to_string();
            // Two commands may come here at once: the file is whole when it appears, and the first one counts.
            let mut file = fs::temporary_in(&self.folder, false).map_err(io_error("write", &path))?;
            writeln!(file, "{made}").and_then(|()| file.as_file().sync_all()).map_err(io_error("write", &path))?;
            match file.persist_noclobber(&path) {
                Ok(_) => fs::sync_dir(&self.folder).map_err(io_error("sync", &self.folder))?,
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    if self.known_origin()?.is_empty() {
                        fs::replace(&path, format!("{made}\n").as_bytes()).map_err(io_error("write", &path))?;
                    }
                }
                Err(error) => return Err(PlacesError::Io { action: "write", path, source: error.error }),
            }
        }
    }

    /// Checks that `.codex` is, or can become, a plain folder of the working tree.
    pub fn check_codex(&self) -> Result<(), PlacesError> {
        let Some(work_tree) = &self.work_tree else { return Ok(()) };
        let path = work_tree.join(CODEX);
        let refuse = |path: PathBuf, what| Err(PlacesError::Codex { path, what });
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => return refuse(path, "a symbolic link"),
            Ok(metadata) if !metadata.is_dir() => return refuse(path, "a file"),
            Ok(_) if path.join(".git").symlink_metadata().is_ok() => return refuse(path, "a repository of its own"),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(PlacesError::Io { action: "look at", path, source }),
        }
        let own = OWN_FILES.map(|file| work_tree.join(file.path));
        if let Some(link) = own.into_iter().chain([path.join("evidence")]).find(|place| place.is_symlink()) {
            return refuse(link, "a symbolic link");
        }
        for entry in std::fs::read_dir(work_tree).map_err(io_error("list", work_tree))? {
            let name = entry.map_err(io_error("list", work_tree))?.file_name();
            if name != CODEX && name.eq_ignore_ascii_case(CODEX) {
                return refuse(work_tree.join(name), "named like `.codex` in another case");
            }
        }
        Ok(())
    }

    /// Makes the links in the working tree that are missing, and returns them. Elsewhere than on Unix there are none.
    ///
    /// Unless the archive is at the default place (`with_archive`), there is no link to it: one that leads nowhere would
    /// let `sqlite3` make an empty database there.
    pub fn link(&self, with_archive: bool) -> Result<Vec<PathBuf>, PlacesError> {
        let Some(work_tree) = &self.work_tree else { return Ok(Vec::new()) };
        self.check_codex()?;
        self.exclude_links()?;
        let mut made = Vec::new();
        for (link, target) in LINKS.iter().zip([self.archive(), self.operations_log()]) {
            if target == self.archive() && !with_archive {
                continue;
            }
            let link = work_tree.join(link);
            let parent = fs::parent_of(&link);
            std::fs::create_dir_all(parent).map_err(io_error("create", parent))?;
            let target = relative_to(&target, parent);
            match std::fs::read_link(&link) {
                Ok(found) if found == target => continue,
                Ok(_) => std::fs::remove_file(&link).map_err(io_error("replace", &link))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => return Err(PlacesError::InTheWay { path: link }),
            }
            if make_link(&target, &link).map_err(io_error("link", &link))? {
                made.push(link);
            }
        }
        Ok(made)
    }

    /// Removes the links in the working tree that lead to the program's files, and folders that are empty without them.
    pub fn unlink(&self) -> Result<(), PlacesError> {
        let Some(work_tree) = &self.work_tree else { return Ok(()) };
        for (link, target) in LINKS.iter().zip([self.archive(), self.operations_log()]) {
            let link = work_tree.join(link);
            let parent = fs::parent_of(&link);
            if std::fs::read_link(&link).is_ok_and(|found| found == relative_to(&target, parent)) {
                std::fs::remove_file(&link).map_err(io_error("remove", &link))?;
                // Whoever put something else there keeps it.
                let _ = std::fs::remove_dir(parent);
            }
        }
        Ok(())
    }

    /// Completes what git ignores in this clone, whatever is checked out.
    fn exclude_links(&self) -> Result<(), PlacesError> {
        let path = fs::parent_of(&self.folder).join(EXCLUDED.path);
        let current = match std::fs::read(&path) {
            Ok(current) => Some(current),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(PlacesError::Io { action: "read", path, source }),
        };
        let Some(completed) = EXCLUDED.completed(current.as_deref()) else { return Ok(()) };
        let added = &completed[current.unwrap_or_default().len()..];
        let parent = fs::parent_of(&path);
        std::fs::create_dir_all(parent).map_err(io_error("create", parent))?;
        // Added to and not replaced: it is the user's file, and may be a link of his.
        let mut file = OpenOptions::new().append(true).create(true).open(&path).map_err(io_error("open", &path))?;
        file.write_all(added).map_err(io_error("write", &path))
    }
}

/// Returns the repository's own stub templates: the names and texts of the plain files in `.codex/stubs`.
pub fn template_overrides(work_tree: &Path) -> Result<Vec<(String, String)>, PlacesError> {
    /// Many times what any template needs; a longer one is cut, and then refused for what it is.
    const MAX_LENGTH: u64 = 64 * 1024;
    let folder = work_tree.join(STUB_TEMPLATES);
    match folder.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(PlacesError::Codex { path: folder, what: "no folder" }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("read", &folder)(error)),
    }
    let mut templates = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(io_error("read", &folder))? {
        let path = entry.map_err(io_error("read", &folder))?.path();
        if !path.symlink_metadata().map_err(io_error("read", &path))?.is_file() {
            continue;
        }
        let mut text = String::new();
        fs::open_no_follow(OpenOptions::new().read(true), &path)
            .and_then(|file| file.take(MAX_LENGTH).read_to_string(&mut text))
            .map_err(io_error("read", &path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        templates.push((name, text));
    }
    Ok(templates)
}

/// Returns `target` as seen from `folder` where it is not far (a repository may be moved as a whole), else as it is.
fn relative_to(target: &Path, folder: &Path) -> PathBuf {
    let mut up = PathBuf::new();
    for ancestor in folder.ancestors().take(4) {
        if let Ok(rest) = target.strip_prefix(ancestor) {
            return up.join(rest);
        }
        up.push("..");
    }
    target.to_path_buf()
}

/// Makes a symbolic link where the system has them for everybody; returns whether it does.
fn make_link(target: &Path, link: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(target, link)?;
        Ok(true)
    }
    #[cfg(not(unix))]
    {
        let _ = (target, link);
        Ok(false)
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlacesError + use<> {
    let path = path.to_path_buf();
    move |source| PlacesError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work_tree() -> (tempfile::TempDir, Places) {
        let folder = tempfile::tempdir().expect("makes a folder");
        std::fs::create_dir(folder.path().join(".git")).expect("makes a folder");
        let places = Places::new(&folder.path().join(".git"), Some(folder.path()));
        (folder, places)
    }

    #[test]
    fn own_lines_are_added_once_and_the_rest_is_kept() {
        let first = ATTRIBUTES.completed(None).expect("is incomplete");
        assert_eq!(ATTRIBUTES.completed(Some(&first)), None);
        let mixed = ATTRIBUTES.completed(Some(b"*.x binary")).expect("is incomplete");
        assert!(mixed.starts_with(b"*.x binary\nevidence/** -text"));
        assert_eq!(ATTRIBUTES.completed(Some(&mixed)), None);
    }

    #[test]
    fn the_origin_stays_the_same() {
        let (_folder, places) = work_tree();
        let origin = places.origin().expect("makes it");
        assert_eq!(places.origin().expect("reads it"), origin);
        std::fs::write(places.folder().join("origin"), "damaged").expect("writes");
        assert_ne!(places.origin().expect("makes another"), "damaged");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_relative_and_made_again() {
        let (folder, places) = work_tree();
        assert_eq!(places.link(true).expect("links").len(), 2);
        assert_eq!(places.link(true).expect("links").len(), 0);
        let link = folder.path().join(LINKS[0]);
        assert_eq!(std::fs::read_link(&link).expect("is a link"), Path::new("../.git/archive-tomb/archive.sqlite"));
        std::fs::remove_file(&link).expect("removes");
        assert_eq!(places.link(true).expect("links"), vec![link.clone()]);
        std::fs::remove_file(&link).expect("removes");
        assert_eq!(places.link(false).expect("links"), Vec::<PathBuf>::new());
        std::fs::write(&link, "mine").expect("writes");
        assert!(matches!(places.link(true), Err(PlacesError::InTheWay { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_codex_that_is_no_plain_folder_is_refused() {
        let (folder, places) = work_tree();
        std::fs::create_dir(folder.path().join(".Codex")).expect("makes it");
        assert!(matches!(places.link(true), Err(PlacesError::Codex { .. })));
        std::fs::remove_dir(folder.path().join(".Codex")).expect("removes it");
        std::os::unix::fs::symlink("elsewhere", folder.path().join(CODEX)).expect("links");
        assert!(matches!(places.link(true), Err(PlacesError::Codex { .. })));
    }
}
