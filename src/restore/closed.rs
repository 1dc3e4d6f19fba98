//! Places that nothing is restored to, whatever is asked: git's own, and those that archive and records rely on.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// How many symbolic links a path may lead through, as systems have it.
const MAX_LINKS: usize = 40;

/// Files and folders that nothing is put in the place of, or below, and what they are.
#[derive(Debug, Clone, Default)]
pub struct Closed {
    places: Vec<(PathBuf, &'static str)>,
}

impl Closed {
    /// Closes these, and what they lead to where they are symbolic links.
    pub fn new(places: impl IntoIterator<Item = (PathBuf, &'static str)>) -> Self {
        let mut ways = Ways::default();
        let both = |(path, what): (PathBuf, _)| [(ways.place_of(&path), what), (ways.to(&path).end.clone(), what)];
        Self { places: places.into_iter().flat_map(both).collect() }
    }

    /// Says what a file at `path` would be, or be in, if that is closed.
    pub fn at(&self, path: &Path) -> Option<&'static str> {
        self.holding(&Ways::default().place_of(path))
    }

    /// The same for a place that is known already.
    pub(crate) fn holding(&self, place: &Path) -> Option<&'static str> {
        self.places.iter().find(|(closed, _)| place.starts_with(closed)).map(|(_, what)| *what)
    }
}

/// Where a path leads to.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// The place, free of symbolic links as far as it is there.
    pub(crate) end: PathBuf,
    /// The places of the symbolic links on the way.
    pub(crate) links: Vec<PathBuf>,
}

/// Finds out where folders are, each once.
#[derive(Default)]
pub(crate) struct Ways(HashMap<PathBuf, Rc<Way>>);

impl Ways {
    /// Returns where a file is: in its folder, links resolved. A link that is the file itself is the place.
    pub(crate) fn place_of(&mut self, file: &Path) -> PathBuf {
        match (file.parent(), file.file_name()) {
            (Some(folder), Some(name)) => self.to(folder).end.join(name),
            _ => file.to_owned(),
        }
    }

    /// Returns where an absolute path leads to.
    pub(crate) fn to(&mut self, folder: &Path) -> Rc<Way> {
        if let Some(known) = self.0.get(folder) {
            return Rc::clone(known);
        }
        let way = Rc::new(walk(folder));
        self.0.insert(folder.to_owned(), Rc::clone(&way));
        way
    }
}

/// Walks a path as the system does: each name in the folder that the names before it led to.
fn walk(path: &Path) -> Way {
    let mut way = Way::default();
    let mut left = names(path);
    // Below what is not there is nothing.
    let mut is_there = true;
    while let Some(name) = left.pop() {
        if name == ".." {
            way.end.pop();
            continue;
        }
        way.end.push(&name);
        if !is_there || way.links.len() > MAX_LINKS {
            continue;
        }
        match way.end.symlink_metadata() {
            Ok(metadata) if metadata.is_symlink() => {
                let Ok(target) = way.end.read_link() else { continue };
                way.links.push(way.end.clone());
                way.end.pop();
                // An absolute target begins anew when its root is pushed.
                left.extend(names(&target));
            }
            Ok(_) => {}
            // What cannot be looked at cannot be written to either, and is told then.
            Err(_) => is_there = false,
        }
    }
    way
}

/// Returns the parts of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.map(|part| part.as_os_str().to_owned()).rev().collect()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn ways_are_those_of_the_system_and_tell_their_links() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let root = folder.path().canonicalize().expect("is there");
        std::fs::create_dir_all(root.join("real/deep")).expect("makes folders");
        symlink("real/deep", root.join("relative")).expect("links");
        symlink(root.join("relative"), root.join("absolute")).expect("links");
        symlink("absolute/..", root.join("up")).expect("links");
        symlink("loop", root.join("loop")).expect("links");
        symlink("nowhere/x", root.join("dangling")).expect("links");
        for name in ["real", "relative", "absolute", "up", "up/deep", "relative/../deep"] {
            let path = root.join(name);
            assert_eq!(walk(&path).end, path.canonicalize().expect("is there"), "{name}");
        }
        assert_eq!(walk(&root.join("up/x")).links, ["up", "absolute", "relative"].map(|name| root.join(name)));
        assert_eq!(walk(&root.join("dangling/y")).end, root.join("nowhere/x/y"));
        assert!(walk(&root.join("loop/x")).links.len() > MAX_LINKS);
    }

    #[test]
    fn a_closed_place_is_closed_however_it_is_named() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let root = folder.path().canonicalize().expect("is there");
        std::fs::create_dir(root.join("far")).expect("makes a folder");
        std::fs::write(root.join("far/archive.sqlite"), "").expect("writes");
        symlink("far/archive.sqlite", root.join("archive.sqlite")).expect("links");
        symlink("far", root.join("near")).expect("links");
        let closed = Closed::new([(root.join("archive.sqlite"), "the archive")]);
        for name in ["archive.sqlite", "far/archive.sqlite", "near/archive.sqlite", "near/../archive.sqlite"] {
            assert_eq!(closed.at(&root.join(name)), Some("the archive"), "{name}");
        }
        assert_eq!(closed.at(&root.join("far/archive.sqlite2")), None);
    }
}
