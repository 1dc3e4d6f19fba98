//! Who holds a path for good: the index of any working tree, or any commit that a reference reaches.

use std::fmt;
use std::path::PathBuf;

use bstr::{BString, ByteSlice};

use super::index::LIST_INDEX;
use super::repository::parse_id;
use super::{GitError, Repository, command};
use crate::id::ObjectId;
use crate::item::RepoPath;

/// A path that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who holds it.
    pub holder: Holder,
    /// The path.
    pub path: RepoPath,
    /// Its blob.
    pub blob: ObjectId,
}

/// Who holds a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The index that git uses here.
    Index,
    /// Another working tree's index, or one that a hook was given.
    OtherIndex(PathBuf),
    /// A commit.
    Commit(ObjectId),
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index => formatter.write_str("the index"),
            Self::OtherIndex(path) => write!(formatter, "the index `{}`", path.display()),
            Self::Commit(id) => write!(formatter, "commit `{id}`"),
        }
    }
}

impl Repository {
    /// Returns what `pathspec` (from the top) matches in any index and in any commit that a reference or a working tree's
    /// `HEAD` reaches. A commit counts also if a later one removed the path.
    pub fn holders(&self, pathspec: &BString) -> Result<Vec<Held>, GitError> {
        let pathspecs = std::slice::from_ref(pathspec);
        let mut found = Vec::new();
        for index in self.indexes()? {
            let mut command = self.git().read_command(LIST_INDEX);
            command.env("GIT_INDEX_FILE", &index);
            let holder = if index == self.index_path() { Holder::Index } else { Holder::OtherIndex(index) };
            for entry in self.list_index(command, pathspecs)? {
                found.push(Held { holder: holder.clone(), path: entry.path, blob: entry.entry.id });
            }
        }
        // Without `--full-history` git passes over what one side of a merge removed.
        let mut command = self.git().read_command(&["rev-list", "--all", "--full-history", "--"]);
        command.args(super::pathspec::arguments(pathspecs)?);
        for line in command::run("rev-list", &mut command, b"")?.ok("rev-list")?.lines() {
            let commit = parse_id(line).ok_or(GitError::UnexpectedAnswer { command: "rev-list" })?;
            // The commit that removed it is listed too, and does not have it.
            for (path, entry) in self.expand(&commit, pathspecs)?.entries {
                found.push(Held { holder: Holder::Commit(commit), path, blob: entry.id });
            }
        }
        Ok(found)
    }

    /// Returns the indexes of all working trees, and the one that git uses here first.
    fn indexes(&self) -> Result<Vec<PathBuf>, GitError> {
        let mut indexes = vec![self.index_path().to_owned(), self.common_dir().join("index")];
        let folder = self.common_dir().join("worktrees");
        match std::fs::read_dir(&folder) {
            Ok(entries) => {
                for entry in entries {
                    let entry =
                        entry.map_err(|source| GitError::Io { action: "list", path: folder.clone(), source })?;
                    indexes.push(entry.path().join("index"));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(GitError::Io { action: "list", path: folder, source }),
        }
        indexes[1..].sort();
        indexes.dedup();
        indexes.retain(|index| index.exists());
        Ok(indexes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn every_index_and_every_commit_counts() {
        let fixture = Fixture::new("sha1");
        let first = fixture.commit_files(&[("a", "1")]);
        let repository = fixture.repository();
        let pathspec = BString::from(":(top,glob)d/wanted-*");
        let holders = || -> Vec<Holder> {
            let held = repository.holders(&pathspec).expect("asks");
            assert!(held.iter().all(|held| held.path.as_bytes() == b"d/wanted-1"));
            held.into_iter().map(|held| held.holder).collect()
        };
        assert_eq!(holders(), []);

        fixture.git(&["worktree", "add", "-q", "--detach", "../linked"]);
        let linked = fixture.top().join("../linked");
        std::fs::create_dir_all(linked.join("d")).expect("makes");
        std::fs::write(linked.join("d/wanted-1"), "x").expect("writes");
        let linked = linked.to_str().expect("is text").to_owned();
        fixture.git(&["-C", &linked, "add", "d"]);
        assert!(matches!(&holders()[..], [Holder::OtherIndex(path)] if path.ends_with("linked/index")));
        fixture.git(&["-C", &linked, "commit", "-q", "-m", "second"]);
        assert!(holders().iter().any(|holder| matches!(holder, Holder::Commit(_))), "a detached head holds it");
        fixture.git(&["-C", &linked, "rm", "-q", "d/wanted-1"]);
        fixture.git(&["-C", &linked, "commit", "-q", "-m", "third"]);
        assert!(matches!(&holders()[..], [Holder::Commit(_)]), "so does the history");
        fixture.git(&["-C", &linked, "checkout", "-q", "--detach", &first.to_string()]);
        assert_eq!(holders(), []);

        fixture.write("d/wanted-1", "x");
        fixture.git(&["add", "d"]);
        assert_eq!(holders(), [Holder::Index]);
        fixture.git(&["stash", "-q"]);
        assert!(holders().iter().any(|holder| matches!(holder, Holder::Commit(_))), "a stash is a commit");
    }
}
