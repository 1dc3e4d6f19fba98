//! Git's configuration, as git reads it: every file, include, `git -c` and `GIT_CONFIG_*` variable.

use std::path::PathBuf;

use bstr::{BStr, BString, ByteSlice};

use super::{GitError, Repository, command};

/// One setting, where it comes from included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key: section and last part in lower case, what is between as it was written.
    pub key: BString,
    /// The value; `None` where only the key stands, which means true.
    pub value: Option<BString>,
    /// Git's name for where it stands: `file:/home/a/.gitconfig`, `command line:`, …
    pub origin: BString,
    /// Git's name for how far it reaches: `system`, `global`, `local`, `worktree` or `command`.
    pub scope: BString,
}

/// The whole configuration, lowest precedence first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitConfig {
    entries: Vec<ConfigEntry>,
}

impl Repository {
    /// Reads the configuration, with one `git config`.
    pub fn config(&self) -> Result<GitConfig, GitError> {
        let mut command = self.git().read_command(&["config", "--null", "--list", "--show-origin", "--show-scope"]);
        let listing = command::run("config", &mut command, b"")?.ok("config")?;
        GitConfig::parse(&listing).ok_or(GitError::UnexpectedAnswer { command: "config" })
    }

    /// Returns the value of `key` as a path, `~` and the like expanded as git does; relative ones are as seen from where git
    /// runs, the top of the working tree or else the git directory.
    pub fn config_path(&self, key: &str) -> Result<Option<PathBuf>, GitError> {
        let mut command = self.git().read_command(&["config", "--null", "--type=path", "--get", key]);
        let output = command::run("config", &mut command, b"")?;
        // Git's code for a key that is not there.
        if output.code == Some(1) {
            return Ok(None);
        }
        let value = output.ok("config")?;
        let value = value.strip_suffix(b"\0").unwrap_or(&value);
        let path = value.to_path().map_err(|_| GitError::UnexpectedAnswer { command: "config" })?;
        Ok(Some(path.to_owned()))
    }

    /// Sets `key` in the repository's own configuration, in place of all values that it has there.
    pub fn set_local_config(&self, key: &str, value: &str) -> Result<(), GitError> {
        let mut command = self.git().command(&[], &["config", "--local", "--replace-all", key, value]);
        command::run("config", &mut command, b"")?.ok("config").map(drop)
    }

    /// Adds a value of `key` to the repository's own configuration, beside those that are there.
    pub fn add_local_config(&self, key: &str, value: &str) -> Result<(), GitError> {
        let mut command = self.git().command(&[], &["config", "--local", "--add", key, value]);
        command::run("config", &mut command, b"")?.ok("config").map(drop)
    }

    /// Removes every value of `key` from the repository's own configuration; there need not be any.
    pub fn unset_local_config(&self, key: &str) -> Result<(), GitError> {
        let mut command = self.git().command(&[], &["config", "--local", "--unset-all", key]);
        let output = command::run("config", &mut command, b"")?;
        // Git's code for a key that is not there.
        if output.code == Some(5) { Ok(()) } else { output.ok("config").map(drop) }
    }
}

impl GitConfig {
    /// Parses the listing: scope, origin, and key with value after a newline, each ended by NUL.
    fn parse(listing: &[u8]) -> Option<Self> {
        let mut fields = listing.split(|byte| *byte == 0);
        let mut entries = Vec::new();
        loop {
            let (scope, origin, setting) = match (fields.next()?, fields.next(), fields.next()) {
                (b"", None, None) => return Some(Self { entries }),
                (scope, Some(origin), Some(setting)) => (scope, origin, setting),
                _ => return None,
            };
            let (key, value) = match setting.split_once_str("\n") {
                Some((key, value)) => (key, Some(value.into())),
                None => (setting, None),
            };
            entries.push(ConfigEntry { key: key.into(), value, origin: origin.into(), scope: scope.into() });
        }
    }

    /// Returns all settings, lowest precedence first.
    pub fn entries(&self) -> &[ConfigEntry] {
        &self.entries
    }

    /// Returns every setting of `key`, lowest precedence first. Section and last part match in any case.
    pub fn all(&self, key: &str) -> impl DoubleEndedIterator<Item = &ConfigEntry> {
        let key = normalize(key);
        self.entries.iter().filter(move |entry| entry.key == key)
    }

    /// Returns the setting of `key` that counts: the last.
    pub fn get(&self, key: &str) -> Option<&ConfigEntry> {
        self.all(key).next_back()
    }

    /// Returns the value of `key` as text; `None` where there is none or it is not UTF-8.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key)?.value.as_ref()?.to_str().ok()
    }

    /// Returns `user.name <user.email>`, if git was told both.
    pub fn identity(&self) -> Option<String> {
        let part = |key| self.get_str(key).map(str::trim).filter(|text| !text.is_empty());
        Some(format!("{} <{}>", part("user.name")?, part("user.email")?))
    }
}

impl ConfigEntry {
    /// Returns the value as a boolean, as git reads one; `None` if it is none.
    pub fn as_bool(&self) -> Option<bool> {
        let Some(value) = &self.value else { return Some(true) };
        match value.to_ascii_lowercase().as_slice() {
            b"true" | b"yes" | b"on" => Some(true),
            b"false" | b"no" | b"off" | b"" => Some(false),
            _ => parse_int(value.as_bstr()).map(|number| number != 0),
        }
    }

    /// Returns the value as a whole number, as git reads one: `k`, `m` and `g` multiply by powers of 1024.
    pub fn as_int(&self) -> Option<i64> {
        parse_int(self.value.as_ref()?.as_bstr())
    }
}

fn parse_int(value: &BStr) -> Option<i64> {
    let text = value.to_str().ok()?.trim_start();
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

/// Returns `key` as git lists it.
fn normalize(key: &str) -> BString {
    let (Some(first), Some(last)) = (key.find('.'), key.rfind('.')) else { return key.to_ascii_lowercase().into() };
    [&key[..first].to_ascii_lowercase(), &key[first..last], &key[last..].to_ascii_lowercase()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn settings_come_with_their_origin_and_the_last_counts() {
        let fixture = Fixture::new("sha1");
        std::fs::write(fixture.home().join(".gitconfig"), "[user]\n\tname = A\n\temail = a@example.org\n[core]\n\tX\n")
            .expect("writes");
        fixture.git(&["config", "remote.Origin.URL", "line\nbreak"]);
        let more = [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "user.name"), ("GIT_CONFIG_VALUE_0", "B")];
        let repository = fixture.discover_with(&fixture.top(), &more).expect("finds the repository");
        let config = repository.config().expect("reads");
        assert_eq!(config.identity().as_deref(), Some("B <a@example.org>"));
        assert_eq!(config.all("User.Name").count(), 2);
        assert_eq!(config.get("user.name").expect("is set").scope, "command");
        assert_eq!(config.get("user.email").expect("is set").scope, "global");
        assert_eq!(config.get("core.x").expect("is set").as_bool(), Some(true));
        assert_eq!(config.get_str("remote.Origin.url"), Some("line\nbreak"));
        assert_eq!(config.get("remote.origin.url"), None);

        repository.set_local_config("archivetomb.trusted", "-x").expect("sets");
        repository.set_local_config("archivetomb.trusted", "y").expect("sets");
        assert_eq!(repository.config().expect("reads").get_str("archiveTomb.Trusted"), Some("y"));
        repository.unset_local_config("archivetomb.trusted").expect("unsets");
        repository.unset_local_config("archivetomb.trusted").expect("unsets again");
        assert_eq!(repository.config().expect("reads").get("archivetomb.trusted"), None);
    }

    #[test]
    fn values_are_read_as_git_reads_them() {
        let entry = |value: &str| ConfigEntry {
            key: "a.b".into(),
            value: Some(value.into()),
            origin: BString::default(),
            scope: BString::default(),
        };
        assert_eq!(
            ["Yes", "1", "2k", "off", "0", ""].map(|text| entry(text).as_bool().expect("is one")),
            [true, true, true, false, false, false]
        );
        assert_eq!(entry("maybe").as_bool(), None);
        assert_eq!(entry("2k").as_int(), Some(2048));
        assert_eq!(entry("-3").as_int(), Some(-3));
        assert_eq!(entry("99999999999g").as_int(), None);
        assert_eq!(entry("k").as_int(), None);
    }

    #[test]
    fn a_cut_listing_is_refused() {
        assert!(GitConfig::parse(b"").is_some());
        assert!(GitConfig::parse(b"local\0file:x\0a.b\nc\0").is_some());
        assert!(GitConfig::parse(b"local\0file:x\0").is_none());
        assert!(GitConfig::parse(b"local").is_none());
    }
}
