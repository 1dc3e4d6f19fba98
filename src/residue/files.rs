//! Files in working trees that hold exactly a content's bytes, tracked or not.

use std::fs::File;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;

use crate::id::Sha256;

/// Returns the files below `top` that hold the content, without what is below any of `others`, and how many files and
/// folders could not be read. Only files of the right size are read.
pub(super) fn with_content(top: &Path, others: &[&Path], sha256: &Sha256, size: u64) -> (Vec<PathBuf>, u64) {
    let (mut found, mut unread) = (Vec::new(), 0);
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            unread += 1;
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            // The type is the entry's own: links are not followed.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    if entry.file_name() != ".git" && !others.contains(&path.as_path()) {
                        folders.push(path);
                    }
                }
                Ok(_) => match holds(&path, sha256, size) {
                    Ok(true) => found.push(path),
                    Ok(false) => {}
                    Err(_) => unread += 1,
                },
                Err(_) => unread += 1,
            }
        }
    }
    found.sort();
    (found, unread)
}

fn holds(path: &Path, sha256: &Sha256, size: u64) -> std::io::Result<bool> {
    let metadata = path.symlink_metadata()?;
    if metadata.len() != size {
        return Ok(false);
    }
    if metadata.is_symlink() {
        let target = std::fs::read_link(path)?;
        return Ok(Sha256::of(<[u8]>::from_path(&target).unwrap_or_default()) == *sha256);
    }
    Ok(metadata.is_file() && Sha256::of_reader(File::open(path)?)?.0 == *sha256)
}
