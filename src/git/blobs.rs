//! Writing blobs, durably and in as few processes as possible.

use std::path::{Path, PathBuf};

use super::{GitError, Objects, command, repository::parse_id};
use crate::id::ObjectId;

/// Up to so many blobs, git syncs file by file. More are synced in one call, which everybody else's unwritten data
/// makes wait, where the system can do that (Linux).
const FEW: usize = 16;

impl Objects {
    /// Writes blobs and returns their ids, in order. They are durable when this returns.
    ///
    /// One `git fast-import` takes them all, into loose objects or a pack as git sees fit. Their ids are computed here
    /// and asked for afterwards, so what git stored is what was meant.
    pub fn write_blobs(&self, blobs: &[&[u8]]) -> Result<Vec<ObjectId>, GitError> {
        let ids: Vec<ObjectId> = blobs.iter().map(|bytes| self.hash_blob(bytes)).collect();
        if blobs.is_empty() {
            return Ok(ids);
        }
        let together = cfg!(target_os = "linux") && blobs.len() > FEW;
        let sync = if together { "core.fsync=none" } else { "core.fsync=all" };
        let mut command = self.git().command(&[sync], &["fast-import", "--quiet", "--done"]);
        let output = command::stream(
            "fast-import",
            &mut command,
            |pipe| {
                for bytes in blobs {
                    write!(pipe, "blob\ndata {}\n", bytes.len())?;
                    pipe.write_all(bytes)?;
                    pipe.write_all(b"\n")?;
                }
                pipe.write_all(b"done\n")
            },
            |_| Ok(()),
        )?;
        output.ok("fast-import")?;
        if together {
            crate::fs::sync_filesystem(self.folder()).map_err(not_synced(self.folder()))?;
        } else {
            self.sync_folders(&ids)?;
        }
        let here = self.contains(&ids)?;
        match ids.iter().zip(here).find(|(_, here)| !here) {
            None => Ok(ids),
            Some((id, _)) => Err(self.missing(id)),
        }
    }

    /// Writes the bytes of a file of any size as a blob and returns its id, in bounded memory. Durable on return.
    ///
    /// Where the object is here already nothing is written: hashing takes a fraction of the time of deflating.
    pub fn write_blob_file(&self, path: &Path) -> Result<ObjectId, GitError> {
        let id = self.hash_file(path, false)?;
        if self.contains(&[id])? == [true] {
            return Ok(id);
        }
        let written = self.hash_file(path, true)?;
        self.sync_folders(&[written])?;
        Ok(written)
    }

    fn hash_file(&self, path: &Path, write: bool) -> Result<ObjectId, GitError> {
        let absolute = |source| GitError::Io { action: "find", path: path.to_owned(), source };
        // The child runs elsewhere.
        let path = std::path::absolute(path).map_err(absolute)?;
        // Above the threshold git hashes piece by piece, and deflates straight into a pack: also where it writes none.
        let (mut configuration, mut arguments) =
            (vec!["core.fsync=all", "core.bigFileThreshold=1m"], vec!["hash-object"]);
        if write {
            arguments.push("-w");
        } else {
            configuration.push("pack.compression=0");
        }
        arguments.extend(["--no-filters", "--"]);
        let mut command = self.git().command(&configuration, &arguments);
        let answer = command::run("hash-object", command.arg(path), b"")?.ok("hash-object")?;
        parse_id(answer.trim_ascii_end()).ok_or(GitError::UnexpectedAnswer { command: "hash-object" })
    }

    /// Syncs the folders that name what git wrote and synced.
    pub(super) fn sync_folders(&self, ids: &[ObjectId]) -> Result<(), GitError> {
        let loose = ids.iter().map(|id| self.folder().join(&id.to_string()[..2]));
        let mut folders: Vec<PathBuf> = loose.chain([self.folder().join("pack"), self.folder().to_owned()]).collect();
        folders.sort();
        folders.dedup();
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            crate::fs::sync_dir(folder).map_err(not_synced(folder))?;
        }
        Ok(())
    }
}

fn not_synced(path: &Path) -> impl FnOnce(std::io::Error) -> GitError + use<> {
    let path = path.to_owned();
    move |source| GitError::Io { action: "sync", path, source }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use crate::git::ObjectKind;
    use crate::git::testing::Fixture;

    #[test]
    fn blobs_are_written_and_read_back_in_both_formats() {
        for format in ["sha1", "sha256"] {
            let fixture = Fixture::new(format);
            let repository = fixture.repository();
            let objects = repository.objects();
            let contents: Vec<Vec<u8>> = (0..200u32).map(|number| format!("{number}\0\n").into_bytes()).collect();
            let borrowed: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
            // Few become loose objects, many a pack.
            for count in [0, 1, 3, 200] {
                let ids = objects.write_blobs(&borrowed[..count]).expect("writes");
                for (id, bytes) in ids.iter().zip(&borrowed) {
                    assert_eq!(objects.read_kind(id, ObjectKind::Blob, 100).expect("reads"), *bytes);
                }
            }
            let empty = objects.write_blobs(&[b""]).expect("writes");
            assert_eq!(objects.contains(&empty).expect("asks"), [true]);
            assert_eq!(
                fixture.git_input(&["hash-object", "--stdin"], b"1\0\n"),
                objects.hash_blob(b"1\0\n").to_string()
            );
        }
    }

    #[test]
    fn large_blobs_stream_both_ways() {
        for format in ["sha1", "sha256"] {
            let fixture = Fixture::new(format);
            let path = fixture.home().join("large");
            let bytes: Vec<u8> =
                (0..20u32 << 18).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
            std::fs::write(&path, &bytes).expect("writes");
            let repository = fixture.repository();
            let objects = repository.objects();
            let id = objects.write_blob_file(&path).expect("writes");
            assert_eq!(id, objects.hash_blob(&bytes));
            assert_eq!(objects.header(&id).expect("asks"), (ObjectKind::Blob, 20 << 20));
            assert!(objects.read(&id, 1 << 20).is_err(), "larger than the limit");
            let mut read = Vec::new();
            objects.open_blob(&id).expect("opens").read_to_end(&mut read).expect("streams");
            assert!(read == bytes);
            // A reader may stop early.
            objects.open_blob(&id).expect("opens").read_exact(&mut [0; 10]).expect("streams");
        }
    }
}
