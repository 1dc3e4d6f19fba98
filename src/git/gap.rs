//! What a clone leaves out of the history, and the command that fetches it.

use bstr::ByteSlice;

use super::{GitError, Repository};

/// What a clone leaves out, for good until somebody fetches it. What a filter leaves out is not among it: git fetches that
/// when it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// Commits beyond some depth.
    Depth,
    /// Branches of the remote: it was cloned for one of them.
    Branches {
        /// The remote.
        remote: String,
    },
}

impl Gap {
    /// Returns the command that fetches it.
    pub fn fetch_command(&self) -> String {
        match self {
            Self::Depth => "git fetch --unshallow".to_owned(),
            Self::Branches { remote } => {
                let refspec = format!("+refs/heads/*:refs/remotes/{remote}/*");
                let [remote, refspec] = [remote, &refspec].map(|word| crate::quote::shell(word.as_bytes()));
                format!("git fetch {remote} {refspec}")
            }
        }
    }
}

impl Repository {
    /// Returns what this clone leaves out of the history, the first that is to be fetched; `None` if nothing is known.
    pub fn gap(&self) -> Result<Option<Gap>, GitError> {
        if self.is_shallow() {
            return Ok(Some(Gap::Depth));
        }
        let config = self.config()?;
        let fetches =
            |key: &[u8]| Some(key.strip_prefix(b"remote.")?.strip_suffix(b".fetch")?.to_str().ok()?.to_owned());
        let mut remotes: Vec<String> = config.entries().iter().filter_map(|entry| fetches(&entry.key)).collect();
        remotes.dedup();
        let follows_all = |remote: &String| {
            let key = format!("remote.{remote}.fetch");
            let mut values = config.all(&key).filter_map(|entry| entry.value.as_ref());
            values.any(|value| value.contains_str("refs/heads/*") || value.contains_str("refs/*"))
        };
        // Git's own choice where there are several.
        remotes.sort_by_key(|remote| remote != "origin");
        Ok(remotes.into_iter().find(|remote| !follows_all(remote)).map(|remote| Gap::Branches { remote }))
    }
}
