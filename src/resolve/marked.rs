//! Tells a file as git leaves it in a conflict from one that somebody has worked on.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use super::{Conflicts, ResolveError};
use crate::git::{Merged, Stages, TreeEntry};
use crate::item::RepoPath;

/// How many characters git's conflict markers have at least.
const MARKER: usize = 7;

/// How much of a line is looked at together, in bytes.
const PIECE: u64 = 64 << 10;

/// The largest version that is merged to see what that gives, in bytes, where the commits do not tell.
const MAX_MERGED: u64 = 64 << 20;

/// How git may have brought a conflict back, as options of `git merge-file`: as it is configured, and in each style.
const OPTIONS: [&[&str]; 3] = [&[], &["--diff3"], &["--zdiff3"]];

/// Returns whether a working file is what git makes of the versions, whatever it calls the sides: as the merge left it, or as
/// `git checkout -m` brings it back.
pub(super) fn is_gits_own(
    conflicts: &Conflicts<'_>,
    path: &RepoPath,
    stages: &Stages,
    working: &TreeEntry,
) -> Result<bool, ResolveError> {
    let objects = conflicts.repository().objects();
    let open = |entry: TreeEntry| objects.open_blob(&entry.id).map(BufReader::new);
    let failed = |source| ResolveError::Compare { path: path.clone(), source };
    if let Some(made) = conflicts.merged(path)?.filter(|made| made.file_mode().is_some())
        && is_same(open(made)?, open(*working)?).map_err(failed)?
    {
        return Ok(true);
    }
    let scratch = conflicts.scratch()?;
    let paths = ["ours", "base", "theirs"].map(|name| scratch.path().join(name));
    for (path, version) in paths.iter().zip([stages[1], stages[0], stages[2]]) {
        let mut file = File::create(path).map_err(failed)?;
        let Some(version) = version else { continue };
        if objects.header(&version.id)?.1 > MAX_MERGED {
            return Ok(false);
        }
        io::copy(&mut open(version)?, &mut file).map_err(failed)?;
    }
    // What merges compares lines in another way than what brings conflicts back.
    let merged = conflicts.repository().merge_versions(path, stages, scratch.path())?;
    if let Some(made) = objects.entry(&merged, path)?.filter(|made| made.file_mode().is_some())
        && is_same(open(made)?, open(*working)?).map_err(failed)?
    {
        return Ok(true);
    }
    for options in OPTIONS {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let paths = [&*paths[0], &*paths[1], &*paths[2]];
        let merged = conflicts.repository().merge_file(paths, ["ours", "base", "theirs"], &options);
        let Ok(Merged::Marked(bytes)) = merged else { continue };
        if is_same(&*bytes, open(*working)?).map_err(failed)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether both are the same but for what follows the markers.
fn is_same(mut one: impl BufRead, mut other: impl BufRead) -> io::Result<bool> {
    let (mut here, mut there) = (Vec::new(), Vec::new());
    let mut starts_line = true;
    loop {
        for (reader, piece) in [(&mut one as &mut dyn BufRead, &mut here), (&mut other, &mut there)] {
            piece.clear();
            reader.take(PIECE).read_until(b'\n', piece)?;
        }
        let is_same = here == there || starts_line && marker(&here).is_some() && marker(&here) == marker(&there);
        if !is_same || here.is_empty() {
            return Ok(is_same);
        }
        starts_line = here.ends_with(b"\n");
    }
}

/// Returns the marker that a line begins with, if it is one.
fn marker(line: &[u8]) -> Option<&[u8]> {
    let first = line.first().filter(|byte| b"<|=>".contains(byte))?;
    let length = line.iter().take_while(|byte| *byte == first).count();
    let ends = matches!(line.get(length), Some(b' ' | b'\n' | b'\r'));
    (length >= MARKER && ends && line.ends_with(b"\n")).then(|| &line[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_sides_are_called_may_differ() {
        let is = |one: &str, other: &str| is_same(one.as_bytes(), other.as_bytes()).expect("reads");
        let marked = "a\n<<<<<<< HEAD\n1\n||||||| base\n0\n=======\n2\n>>>>>>> b\nz\n";
        assert!(is(marked, &marked.replace(" base", "").replace(" b\n", " 1234567 (a commit)\n")));
        for (from, to) in
            [("z\n", "z\nmine\n"), ("1\n", "mine\n"), ("2\n", ""), (">>>>>>> b\n", ""), ("z\n", ""), ("=\n", "==\n")]
        {
            assert!(!is(marked, &marked.replace(from, to)), "{to}");
        }
        // In the middle of a line there are no markers, however long it is.
        let long = "x".repeat(64 << 10);
        assert!(!is(&format!("{long}<<<<<<< a\n"), &format!("{long}<<<<<<< b\n")));
        assert!(is(&format!("{long}<<<<<<< a\n"), &format!("{long}<<<<<<< a\n")));
    }
}
