//! What git's configuration says about signing with SSH keys, read as git reads it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bstr::ByteSlice;

use super::keygen::said;
use super::{Key, SignatureError, Signer};
use crate::git::{GitConfig, Repository};

impl Signer {
    /// Returns the signer with the key that is named, else with git's.
    ///
    /// `key` is a file, or a public key as in `key::ssh-ed25519 AAAA…`.
    pub fn find(repository: &Repository, config: &GitConfig, key: Option<Key>) -> Result<Self, SignatureError> {
        let key = match key {
            Some(key) => key,
            None => key_of_git(repository, config)?,
        };
        Ok(Self { program: program_of_git(repository)?, key })
    }
}

impl Key {
    /// Returns the public key that `text` is, if it is one and not a file.
    pub fn literal(text: &str) -> Option<Self> {
        let key = text.strip_prefix("key::").or_else(|| text.starts_with("ssh-").then_some(text))?;
        Some(Self::Literal(key.trim().to_owned()))
    }
}

/// Returns the program that makes and checks signatures.
pub fn program_of_git(repository: &Repository) -> Result<OsString, SignatureError> {
    Ok(repository.config_path("gpg.ssh.program")?.map_or_else(|| "ssh-keygen".into(), PathBuf::into_os_string))
}

/// Returns git's file of allowed signers, if it has one.
pub fn allowed_signers_of_git(repository: &Repository) -> Result<Option<PathBuf>, SignatureError> {
    located(repository, "gpg.ssh.allowedSignersFile")
}

/// Returns git's file of revoked keys, if it has one.
pub fn revocations_of_git(repository: &Repository) -> Result<Option<PathBuf>, SignatureError> {
    located(repository, "gpg.ssh.revocationFile")
}

fn key_of_git(repository: &Repository, config: &GitConfig) -> Result<Key, SignatureError> {
    match config.get_str("gpg.format") {
        Some("ssh") => {}
        Some(format) => return Err(SignatureError::OtherFormat { format: format.to_owned() }),
        // The key, if there is one, is a key of GnuPG.
        None if config.get("user.signingKey").is_some() => {
            return Err(SignatureError::OtherFormat { format: "openpgp".to_owned() });
        }
        None => return Err(SignatureError::NoKey),
    }
    if let Some(key) = config.get_str("user.signingKey").filter(|key| !key.is_empty()) {
        if let Some(key) = Key::literal(key) {
            return Ok(key);
        }
        return located(repository, "user.signingKey")?.map(Key::File).ok_or(SignatureError::NoKey);
    }
    let command = config.get_str("gpg.ssh.defaultKeyCommand").ok_or(SignatureError::NoKey)?;
    first_key_of(repository, command)
}

/// Returns the first key that `command` prints.
fn first_key_of(repository: &Repository, command: &str) -> Result<Key, SignatureError> {
    let words = split_command(command).filter(|words| !words.is_empty());
    let Some((program, arguments)) = words.as_deref().and_then(<[String]>::split_first) else {
        return Err(SignatureError::KeyCommand { said: "its quoting is broken".to_owned() });
    };
    let output = Command::new(program)
        .args(arguments)
        .current_dir(repository.work_tree().unwrap_or(repository.git_dir()))
        .stdin(Stdio::null())
        .output()
        .map_err(|source| SignatureError::Program { program: program.into(), source })?;
    let key = output.stdout.lines().next().unwrap_or_default().to_str_lossy();
    let key = key.strip_prefix("key::").unwrap_or(&key).trim();
    if !output.status.success() || key.is_empty() {
        return Err(SignatureError::KeyCommand { said: said(&output.stderr) });
    }
    Ok(Key::Literal(key.to_owned()))
}

/// Returns the path that `key` configures, as seen from where git runs.
fn located(repository: &Repository, key: &str) -> Result<Option<PathBuf>, SignatureError> {
    let path = repository.config_path(key)?.filter(|path| !path.as_os_str().is_empty());
    Ok(path.map(|path| repository.work_tree().unwrap_or(repository.git_dir()).join(path)))
}

/// Splits a command line into words as git does where it asks no shell: blanks separate, quotes and backslashes join.
fn split_command(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().push(characters.next()?),
            (None, blank) if blank.is_ascii_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_split_into_words() {
        let split = |text| split_command(text).map(|words| words.join("|"));
        assert_eq!(split("ssh-add  -L ").as_deref(), Some("ssh-add|-L"));
        assert_eq!(split(r#"sh -c "echo \"a b\" 'c'" '\x' a\ b"#).as_deref(), Some(r#"sh|-c|echo "a b" 'c'|\x|a b"#));
        assert_eq!(split("''").as_deref(), Some(""));
        assert_eq!(split("'open"), None);
        assert_eq!(split("open\\"), None);
    }
}
