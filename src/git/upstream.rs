//! What the work on a branch is to be compared with.

use bstr::{BString, ByteSlice};

use super::{GitError, Head, Repository, command};

impl Repository {
    /// Returns the reference that a pull request of the current branch would most likely go to; `None` where nothing
    /// tells: the branch's upstream, unless that is only its own copy on the remote (as after `git push -u`), then the
    /// remote's default branch, then that copy.
    pub fn base_reference(&self) -> Result<Option<BString>, GitError> {
        let mut upstream = BString::default();
        let mut remote = BString::default();
        let mut is_own_copy = false;
        if let Head::Branch { name, .. } = self.head()? {
            let format = "--format=%(upstream)%00%(upstream:remotename)%00%(upstream:remoteref)";
            let mut command = self.git().read_command(&["for-each-ref", format, "--", &name.to_str_lossy()]);
            let answer = command::run("for-each-ref", &mut command, b"")?.ok("for-each-ref")?;
            let mut fields = answer.trim_end().splitn(3, |byte| *byte == 0).map(BString::from);
            upstream = fields.next().unwrap_or_default();
            remote = fields.next().unwrap_or_default();
            is_own_copy = fields.next().is_some_and(|there| there == name);
        }
        let remotes = self.references("refs/remotes/")?;
        let known = |wanted: &[u8]| remotes.iter().find(|found| found.name == wanted).map(|found| found.name.clone());
        // An upstream need not be below `refs/remotes/`: another branch of this repository may be one.
        let upstream = match (upstream.is_empty(), upstream.to_str()) {
            (false, Ok(name)) => self.resolve_commit(name).ok().map(|_| upstream.clone()),
            _ => None,
        };
        if upstream.is_some() && !is_own_copy {
            return Ok(upstream);
        }
        let mut defaults = remotes.iter().filter(|found| found.name.ends_with(b"/HEAD"));
        let default = if remote.is_empty() {
            known(b"refs/remotes/origin/HEAD").or_else(|| match (defaults.next(), defaults.next()) {
                (Some(only), None) => Some(only.name.clone()),
                _ => None,
            })
        } else {
            known(&[b"refs/remotes/", remote.as_bytes(), b"/HEAD"].concat())
        };
        Ok(default.or(upstream))
    }
}
