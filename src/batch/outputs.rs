//! Where the rows of a batch may go: checked before anything is asked of the archive, or written.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use bstr::ByteVec;
use unicode_normalization::UnicodeNormalization as _;

use super::RestoreRow;
use crate::fs;
use crate::item::{MAX_PATH_LENGTH, RepoPath, is_dot_git};
use crate::manifest::{Mistakes, Row};
use crate::places::{CODEX, is_taken_for};
use crate::restore::{Closed, Way, Ways};

/// The most names in an output's path.
const MAX_DEPTH: usize = 256;

/// Where outputs may be.
#[derive(Debug, Clone)]
pub struct Ground<'a> {
    /// The folder that relative outputs start from and do not leave. Absolute; it need not exist.
    pub root: &'a Path,
    /// What nothing is restored to.
    pub closed: &'a Closed,
    /// Files that are used for something else, and what for.
    pub taken: &'a [(PathBuf, &'static str)],
}

/// Returns the path of each row's output, and adds everything that is wrong with them to `mistakes`: outputs that are missing
/// or no paths, that leave the root, lead into git's or the program's own places, or that two rows share, however they spell
/// it. The paths count only where nothing is wrong.
///
/// Looks at the file system, and changes nothing there.
pub fn check_outputs(rows: &[Row<RestoreRow>], ground: &Ground<'_>, mistakes: &mut Mistakes) -> Vec<PathBuf> {
    let mut ways = Ways::default();
    let root = ways.to(ground.root);
    let taken: Vec<_> = ground.taken.iter().map(|(path, what)| (ways.place_of(path), *what)).collect();
    let (mut paths, mut outputs) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in rows {
        match path_of(row.value.output.as_deref(), ground.root) {
            Err(what) => mistakes.add(row.mistake(what)),
            Ok(path) => {
                let (place, way) = (ways.place_of(&path), ways.to(fs::parent_of(&path)));
                let is_relative = row.value.output.as_deref().is_some_and(|output| !Path::new(output).is_absolute());
                if is_relative && !place.starts_with(&root.end) {
                    mistakes.add(row.mistake("the output leaves its folder through a symbolic link"));
                } else if let Some(what) = ground.closed.holding(&place) {
                    mistakes.add(row.mistake(format!("the output is {what}, or in it")));
                } else if let Some((_, what)) = taken.iter().find(|(taken, _)| *taken == place) {
                    mistakes.add(row.mistake(format!("the output is {what}")));
                }
                paths.push(path);
                outputs.push(Checked { row, place, way });
            }
        }
    }
    check_against_each_other(&outputs, mistakes);
    paths
}

/// An output by itself.
struct Checked<'a> {
    row: &'a Row<RestoreRow>,
    /// Where it really is.
    place: PathBuf,
    /// How its folder is got to.
    way: Rc<Way>,
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
    if named.components().count() > MAX_DEPTH {
        return Err(format!("the output has more than {MAX_DEPTH} folders"));
    }
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

/// Finds outputs that are the same place, below one another, or that lead through a symbolic link that another row may
/// replace by one that leads elsewhere.
fn check_against_each_other(outputs: &[Checked<'_>], mistakes: &mut Mistakes) {
    let mut probe = Probe::default();
    let told = check_keys(outputs.iter().map(|output| (output.row, key(&output.place, false))), |_| true, "", mistakes);
    let folded = outputs.iter().enumerate().filter(|(number, _)| !told.contains(number));
    let (numbers, folded): (Vec<_>, Vec<_>) =
        folded.map(|(number, output)| (number, (output.row, key(&output.place, true)))).unzip();
    let folds = |number: usize| probe.folds(&outputs[numbers[number]].place);
    check_keys(folded.into_iter(), folds, ", where names differ in case only", mistakes);

    let rows: HashMap<&Path, usize> =
        outputs.iter().rev().map(|output| (output.place.as_path(), output.row.number)).collect();
    for output in outputs {
        if let Some(above) = output.way.links.iter().find_map(|link| rows.get(link.as_path())) {
            mistakes.add(output.row.mistake(below(*above, "")));
        }
    }
}

/// Checks the paths in a repository that rows name: no two are the same, none is below another.
pub fn check_repo_paths<'a>(paths: impl Iterator<Item = (&'a Row<RestoreRow>, &'a RepoPath)>, mistakes: &mut Mistakes) {
    let keys = paths
        .map(|(row, path)| (row, path.as_bytes().iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect()));
    check_keys(keys, |_| true, "", mistakes);
}

/// Finds keys that are the same or below one another: parts with a NUL after each but the last. What is found of number `n`
/// counts if `counts(n)`; returns the numbers of those.
fn check_keys<'a>(
    keys: impl Iterator<Item = (&'a Row<RestoreRow>, Vec<u8>)>,
    mut counts: impl FnMut(usize) -> bool,
    how: &str,
    mistakes: &mut Mistakes,
) -> HashSet<usize> {
    let mut keys: Vec<_> = keys.enumerate().map(|(number, (row, key))| (key, number, row)).collect();
    // What is below something comes right after it: NUL is before all that names hold.
    keys.sort_unstable_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    let (mut above, mut told): (Vec<(&[u8], usize)>, _) = (Vec::new(), HashSet::new());
    for (key, number, row) in &keys {
        let rest = |(folder, _): &(&[u8], usize)| key.strip_prefix(*folder);
        while above.last().is_some_and(|last| !rest(last).is_some_and(|rest| rest.is_empty() || rest[0] == 0)) {
            above.pop();
        }
        let what = above.last().map(|last| match last {
            (folder, first) if *folder == key => format!("the output is that of row {first} too{how}"),
            (_, first) => below(*first, how),
        });
        if above.last().is_none_or(|(folder, _)| *folder != key) {
            above.push((key, row.number));
        }
        if let Some(what) = what
            && counts(*number)
        {
            told.insert(*number);
            mistakes.add(row.mistake(what));
        }
    }
    told
}

fn below(row: usize, how: &str) -> String {
    format!("the output is below that of row {row}, which is a file{how}")
}

/// Returns the parts of a path, with a NUL after each but the last; if `folded`, as a file system that does not tell cases
/// apart takes them.
fn key(path: &Path, folded: bool) -> Vec<u8> {
    let parts = path.components().filter(|part| *part != Component::RootDir).map(|part| {
        let name = Vec::from_os_str_lossy(part.as_os_str()).into_owned();
        if folded { fold(&String::from_utf8_lossy(&name)).into_bytes() } else { name }
    });
    bstr::join("\0", parts)
}

fn fold(name: &str) -> String {
    name.nfkd().flat_map(char::to_lowercase).nfc().collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn check(root: &Path, outputs: &[&str]) -> Vec<String> {
        let row =
            |output: &&str| serde_json::json!({"tombstone": "8e3531b9-c839-5a07-9dec-507c36136eb1", "output": output});
        let lines = serde_json::Value::from(outputs.iter().map(row).collect::<Vec<_>>()).to_string();
        let rows = manifest::read::<RestoreRow>(lines.as_bytes()).expect("are rows").rows;
        let closed = Closed::new([(root.join("git"), "the repository's git directory")]);
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
        assert_eq!(check(&root, &["git/hooks/x"]), ["1: the output is the repository's git directory, or in it"]);
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
    #[cfg(unix)]
    #[test]
    fn no_row_leads_through_a_link_that_another_one_replaces() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let root = folder.path().canonicalize().expect("is there").join("root");
        std::fs::create_dir_all(root.join("real")).expect("makes a folder");
        std::os::unix::fs::symlink("real", root.join("link")).expect("links");
        std::os::unix::fs::symlink("link", root.join("far")).expect("links");
        assert_eq!(check(&root, &["link/x", "far/y", "real/z"]), ["link/x", "far/y", "real/z"]);
        assert_eq!(
            check(&root, &["link", "link/x", "far/y", "real/z"]),
            [
                "2: the output is below that of row 1, which is a file",
                "3: the output is below that of row 1, which is a file",
            ]
        );
    }

    #[test]
    fn deep_outputs_are_refused_and_many_folders_are_no_burden() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let root = folder.path().canonicalize().expect("is there");
        let deep = |number: usize, depth| format!("a{number}/{}x", "a/".repeat(depth));
        assert_eq!(check(&root, &[&deep(0, 300)]), ["1: the output has more than 256 folders"]);
        let many: Vec<String> = (0..2_000).map(|number| deep(number, 250)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(check(&root, &many), many);
    }
}
