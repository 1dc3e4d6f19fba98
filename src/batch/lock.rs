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
        let file = fs::open_no_follow(OpenOptions::new().read(true).write(true).create(true), &path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path, _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for BatchLock {
    fn drop(&mut self) {
        // While it is locked nobody else has it; what a killed process leaves is empty, and taken by who goes on.
        let _ = std::fs::remove_file(&self.path);
    }
}
