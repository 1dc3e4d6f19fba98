//! The rules of `docs/configuration.md`, one by one.

use std::error::Error as _;

use super::*;

mod keys;
mod layers;
mod shown;
mod trust;
mod values;

/// Sources that a test builds up line by line.
impl Sources {
    fn flag(mut self, key: &str, value: &str) -> Self {
        self.flags.push(FlagValue { flag: "--flag".to_owned(), key: key.to_owned(), value: value.to_owned() });
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn file(mut self, text: &str) -> Self {
        let (path, text) = (DEFAULT_FILE.into(), text.to_owned());
        self.file =
            Some(ConfigFile { path, text, tracked: false, trusted: false, readable_by_others: false, top: None });
        self
    }

    fn tracked_file(self, text: &str, trusted: bool) -> Self {
        let mut sources = self.file(text);
        let file = sources.file.as_mut().expect("was just put there");
        (file.tracked, file.trusted) = (true, trusted);
        sources
    }

    fn git(mut self, key: &str, value: &str) -> Self {
        let (key, origin) = (key.to_owned(), "file:.git/config".to_owned());
        self.git.push(GitConfigEntry { key, value: Some(value.to_owned()), origin });
        self
    }

    fn load(&self) -> Config {
        match Config::load(self) {
            Ok((config, _)) => config,
            Err(errors) => panic!("{:?}", messages(&errors)),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let (_, warnings) = Config::load(self).expect("is valid");
        warnings.iter().map(ToString::to_string).collect()
    }

    fn errors(&self) -> Vec<String> {
        Config::load(self).map(|_| ()).map_err(|errors| messages(&errors)).expect_err("is not valid")
    }
}

fn sources() -> Sources {
    Sources::default()
}

/// Returns each mistake with its causes.
fn messages(errors: &ConfigErrors) -> Vec<String> {
    let chain = |error: &ConfigError| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    errors.as_slice().iter().map(chain).collect()
}

fn line(key: &Key, value: &str) -> String {
    format!("[{}]\n{} = {value}\n", key.section(), key.last())
}

/// Returns a valid value of `key` other than its default, as TOML and as plain text.
fn sample(key: &Key) -> (String, String) {
    let quoted = |text: &str| (format!("\"{text}\""), text.to_owned());
    let plain = |text: &str| (text.to_owned(), text.to_owned());
    match key.kind {
        Kind::Boolean => plain(if key.default == Some("true") { "false" } else { "true" }),
        Kind::Integer(_, most) => plain(&most.to_string()),
        Kind::Seconds(_, most) | Kind::Number(_, most) => plain(&format!("{most:?}")),
        Kind::Duration => quoted("36h"),
        Kind::Choice(words, _) if key.name != "backend.type" => quoted(words[words.len() - 1]),
        Kind::Choice(..) => quoted("sqlite"),
        Kind::Path => quoted("some/path"),
        Kind::ArchiveUrl => quoted("sqlite:///other.sqlite"),
        Kind::StoreUrl => quoted("s3://bucket"),
    }
}

/// Returns `sources` with what goes with `key`'s sample, in a layer that the test does not look at.
fn companion(key: &Key, sources: Sources) -> Sources {
    if key.name == "storage.driver" { sources.git("archivetomb.storage.url", "s3://bucket") } else { sources }
}
