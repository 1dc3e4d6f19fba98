//! One run of a batch at a time: two that go on with the same one would both do what is left.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::fs;
use crate::id::OperationId;

/// Held while a batch runs; gone with the process, however that ends.
#[derive(Debug)]
pub struct BatchLock {
    path: PathBuf,
    _file: File,
}

impl BatchLock {
    /// Takes the lock of batch `op` in `folder`; `None` if another process has it.
    pub fn take(folder: &Path, op: OperationId) -> io::Result<Option<Self>> {
        let path = folder.join(format!("batch-{op}.lock"));
        loop {
            let file = fs::open_no_follow(OpenOptions::new().read(true).write(true).create(true), &path)?;
            match file.try_lock() {
                // Whoever had it before may have removed it between the two.
                Ok(()) if !is_at(&file, &path) => {}
                Ok(()) => return Ok(Some(Self { path, _file: file })),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

/// Returns whether `file` is what is at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let of =
            |metadata: io::Result<std::fs::Metadata>| metadata.ok().map(|metadata| (metadata.dev(), metadata.ino()));
        of(file.metadata()).is_some_and(|place| of(path.metadata()) == Some(place))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

impl Drop for BatchLock {
    fn drop(&mut self) {
        // While it is locked nobody else has it; what a killed process leaves is empty, and taken by who goes on.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn only_one_holds_it_however_often_others_let_go() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let (op, holders) = (OperationId::generate(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let Some(lock) = BatchLock::take(folder.path(), op).expect("locks") else { continue };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 0);
    }
}
