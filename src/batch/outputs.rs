//! Where the rows of a batch may go: checked before anything is asked of the archive, or written.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

use bstr::ByteVec;
use unicode_normalization::UnicodeNormalization as _;

use super::RestoreRow;
use crate::item::{MAX_PATH_LENGTH, is_dot_git};
use crate::manifest::{Mistakes, Row};
use crate::places::{CODEX, is_taken_for};

/// Where outputs may be.
#[derive(Debug, Clone)]
pub struct Ground<'a> {
    /// The folder that relative outputs start from and do not leave. Absolute; it need not exist.
    pub root: &'a Path,
    /// Folders that nothing is restored into, and what they are.
    pub closed: &'a [(PathBuf, &'static str)],
    /// Files that are used for something else, and what for.
    pub taken: &'a [(PathBuf, &'static str)],
}

/// Returns the path of each row's output, and adds everything that is wrong with them to `mistakes`: outputs that are missing
/// or no paths, that leave the root, lead into git's or the program's own places, or that two rows share, however they spell
/// it. The paths count only where nothing is wrong.
///
/// Looks at the file system, and changes nothing there.
pub fn check_outputs(rows: &[Row<RestoreRow>], ground: &Ground<'_>, mistakes: &mut Mistakes) -> Vec<PathBuf> {
    let mut resolver = Resolver::default();
    let root = resolver.resolve(ground.root);
    let closed: Vec<_> = ground.closed.iter().map(|(folder, what)| (resolver.resolve(folder), *what)).collect();
    let taken: Vec<_> = ground.taken.iter().map(|(path, what)| (resolver.place_of(path), *what)).collect();
    let (mut paths, mut places) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in rows {
        match path_of(row.value.output.as_deref(), ground.root) {
            Err(what) => mistakes.add(row.mistake(what)),
            Ok(path) => {
                let place = resolver.place_of(&path);
                let is_relative = row.value.output.as_deref().is_some_and(|output| !Path::new(output).is_absolute());
                if is_relative && !place.starts_with(&root) {
                    mistakes.add(row.mistake("the output leaves its folder through a symbolic link"));
                } else if let Some((_, what)) = closed.iter().find(|(folder, _)| place.starts_with(folder)) {
                    mistakes.add(row.mistake(format!("the output is in {what}")));
                } else if let Some((_, what)) = taken.iter().find(|(taken, _)| *taken == place) {
                    mistakes.add(row.mistake(format!("the output is {what}")));
                }
                paths.push(path);
                places.push((row, place));
            }
        }
    }
    check_against_each_other(&places, mistakes);
    paths
}

/// Returns the path that an output means, its `.` and `..` resolved.
fn path_of(output: Option<&str>, root: &Path) -> Result<PathBuf, String> {
    let output = output.ok_or("`output` is missing")?;
    if output.contains('\0') {
        return Err("the output holds a NUL byte".to_owned());
    }
    if output == "-" {
        return Err("the output is standard output, which several items cannot share".to_owned());
    }
    if output.len() > MAX_PATH_LENGTH {
        return Err("the output is longer than 4096 bytes".to_owned());
    }
    let named = Path::new(output);
    let mut path = if named.is_absolute() { PathBuf::new() } else { root.to_owned() };
    let mut depth = 0_usize;
    for component in named.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if named.is_absolute() => drop(path.pop()),
            Component::ParentDir => {
                depth = depth.checked_sub(1).ok_or("the output leaves its folder")?;
                path.pop();
            }
            Component::Normal(name) => {
                check_name(name, named.is_absolute())?;
                depth += 1;
                path.push(name);
            }
            Component::RootDir | Component::Prefix(_) => path.push(component),
        }
    }
    let is_folder = output.ends_with(std::path::is_separator) || output.ends_with("/.") || output.ends_with("/..");
    if depth == 0 || is_folder || path.file_name().is_none() {
        return Err("the output is a folder, not a file".to_owned());
    }
    Ok(path)
}

/// Refuses what some file system takes for git's folder, or for ours. An absolute path may lead through a folder of somebody
/// else that is called so too.
fn check_name(name: &OsStr, is_absolute: bool) -> Result<(), String> {
    let bytes = Vec::from_os_str_lossy(name);
    if is_dot_git(&bytes) {
        return Err("the output leads into `.git`".to_owned());
    }
    if !is_absolute && is_taken_for(&bytes, CODEX) {
        return Err("the output leads into `.codex`".to_owned());
    }
    Ok(())
}

/// Finds outputs that are the same place, or below one another.
fn check_against_each_other(places: &[(&Row<RestoreRow>, PathBuf)], mistakes: &mut Mistakes) {
    let (mut exact, mut folded) = (HashMap::new(), HashMap::new());
    let mut probe = Probe::default();
    for (row, place) in places {
        match exact.entry(place.as_path()) {
            Entry::Occupied(first) => {
                mistakes.add(row.mistake(format!("the output is that of row {} too", first.get())));
                continue;
            }
            Entry::Vacant(free) => drop(free.insert(row.number)),
        }
        match folded.entry(fold(place)) {
            Entry::Occupied(first) if probe.folds(place) => mistakes.add(
                row.mistake(format!("the output is that of row {} too, where names differ in case only", first.get())),
            ),
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => drop(free.insert(row.number)),
        }
    }
    for (row, place) in places {
        let above = place.ancestors().skip(1).find_map(|folder| {
            let exactly = exact.get(folder).copied();
            exactly.or_else(|| folded.get(&fold(folder)).copied().filter(|_| probe.folds(place)))
        });
        if let Some(above) = above {
            mistakes.add(row.mistake(format!("the output is below that of row {above}, which is a file")));
        }
    }
}

/// Returns a path as a file system that does not tell cases apart takes it.
fn fold(path: &Path) -> String {
    path.to_string_lossy().nfkd().flat_map(char::to_lowercase).nfc().collect()
}

/// Finds out which folders do not tell cases apart, by asking for what is there in another case.
#[derive(Default)]
struct Probe(HashMap<PathBuf, bool>);

impl Probe {
    fn folds(&mut self, path: &Path) -> bool {
        let Some(folder) = path.ancestors().skip(1).find(|folder| folder.is_dir()) else { return false };
        if let Some(known) = self.0.get(folder) {
            return *known;
        }
        let folds = folds(folder);
        self.0.insert(folder.to_owned(), folds);
        folds
    }
}

/// Returns whether `folder`, spelled in the other case, is found all the same: what can be known without writing there.
fn folds(folder: &Path) -> bool {
    let swap = |character: char| -> String {
        if character.is_uppercase() { character.to_lowercase().collect() } else { character.to_uppercase().collect() }
    };
    let Some(swapped) = folder.to_str().map(|text| text.chars().map(swap).collect::<String>()) else { return false };
    match (Path::new(&swapped).canonicalize(), folder.canonicalize()) {
        (Ok(swapped_path), Ok(path)) => Path::new(&swapped) != folder && same_place(&swapped_path, &path),
        _ => false,
    }
}

fn same_place(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let of = |path: &Path| path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
        of(one).is_some_and(|one| of(other) == Some(one))
    }
    #[cfg(not(unix))]
    {
        one == other
    }
}

/// Resolves symbolic links in folders, each once.
#[derive(Default)]
struct Resolver(HashMap<PathBuf, PathBuf>);

impl Resolver {
    /// Returns where a file really is: in its folder, links resolved. A link that is the file itself will be replaced.
    fn place_of(&mut self, file: &Path) -> PathBuf {
        match (file.parent(), file.file_name()) {
            (Some(folder), Some(name)) => self.resolve(folder).join(name),
            _ => file.to_owned(),
        }
    }

    /// Returns where a folder really is, as far as it is there.
    fn resolve(&mut self, folder: &Path) -> PathBuf {
        if let Some(known) = self.0.get(folder) {
            return known.clone();
        }
        let resolved = match folder.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.place_of(folder),
            // What cannot be looked at cannot be written to either, and is told then.
            other => other.unwrap_or_else(|_| folder.to_owned()),
        };
        self.0.insert(folder.to_owned(), resolved.clone());
        resolved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn check(root: &Path, outputs: &[&str]) -> Vec<String> {
        let row =
            |output: &&str| serde_json::json!({"tombstone": "8e3531b9-c839-5a07-9dec-507c36136eb1", "output": output});
        let lines = serde_json::Value::from(outputs.iter().map(row).collect::<Vec<_>>()).to_string();
        let rows = manifest::read::<RestoreRow>(lines.as_bytes()).expect("are rows").rows;
        let closed = [(root.join("git"), "the repository's git directory")];
        let taken = [(root.join("results.json"), "the results file")];
        let ground = Ground { root, closed: &closed, taken: &taken };
        let mut mistakes = Mistakes::default();
        let paths = check_outputs(&rows, &ground, &mut mistakes);
        if mistakes.is_empty() {
            let shown = |path: &PathBuf| path.strip_prefix(root).unwrap_or(path).display().to_string();
            paths.iter().map(shown).collect()
        } else {
            mistakes.told().map(|mistake| format!("{}: {}", mistake.row, mistake.what)).collect()
        }
    }

    #[test]
    fn outputs_are_below_the_root_or_absolute() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let root = folder.path().canonicalize().expect("is there");
        assert_eq!(
            check(&root, &["a", "./b/c", "d/../e", "/elsewhere/f", "B/c", "g h", "-x", "..x"]),
            ["a", "b/c", "e", "/elsewhere/f", "B/c", "g h", "-x", "..x"]
        );
        assert_eq!(
            check(&root, &["../a", "a/../../b", "a/..", ".", "b/", "-", "", "/", "c/.", "x\0y"]),
            [
                "1: the output leaves its folder",
                "2: the output leaves its folder",
                "3: the output is a folder, not a file",
                "4: the output is a folder, not a file",
                "5: the output is a folder, not a file",
                "6: the output is standard output, which several items cannot share",
                "7: `output` is missing",
                "8: the output is a folder, not a file",
                "9: the output is a folder, not a file",
                "10: the output holds a NUL byte",
            ]
        );
    }

    #[test]
    fn places_that_others_rely_on_are_closed() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let root = folder.path().canonicalize().expect("is there");
        for output in [".git/hooks/pre-commit", "a/.GIT/x", "git~1/x", "a/.git", "/x/.git/config"] {
            assert_eq!(check(&root, &[output]), ["1: the output leads into `.git`"], "{output}");
        }
        assert_eq!(check(&root, &[".Codex/archive.toml"]), ["1: the output leads into `.codex`"]);
        assert_eq!(check(&root, &["/home/.codex/x"]), ["/home/.codex/x"]);
        assert_eq!(check(&root, &["git/hooks/x"]), ["1: the output is in the repository's git directory"]);
        assert_eq!(check(&root, &["./results.json"]), ["1: the output is the results file"]);
    }

    #[test]
    fn no_two_rows_share_a_place_however_they_spell_it() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let root = folder.path().canonicalize().expect("is there");
        let absolute = root.join("a/b").display().to_string();
        assert_eq!(
            check(&root, &["a/b", "./a//b", "a/x/../b", &absolute, "a/b/c", "d/e", "d"]),
            [
                "2: the output is that of row 1 too",
                "3: the output is that of row 1 too",
                "4: the output is that of row 1 too",
                "5: the output is below that of row 1, which is a file",
                "6: the output is below that of row 7, which is a file",
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_seen_through() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let root = folder.path().canonicalize().expect("is there").join("root");
        std::fs::create_dir_all(root.join("real")).expect("makes a folder");
        std::os::unix::fs::symlink("real", root.join("link")).expect("links");
        std::os::unix::fs::symlink(folder.path(), root.join("out")).expect("links");
        assert_eq!(
            check(&root, &["real/a", "link/a", "out/b", "out/new/c"]),
            [
                "2: the output is that of row 1 too",
                "3: the output leaves its folder through a symbolic link",
                "4: the output leaves its folder through a symbolic link",
            ]
        );
    }
}
