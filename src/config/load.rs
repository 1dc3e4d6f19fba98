//! From the layers to one configuration.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{ConfigError, ConfigErrors, Warning};
use super::expand::{expand, without_variables};
use super::file::{self, ConfigFile};
use super::origin::Origin;
use super::schema::{self, KEYS, Key, Kind};
use super::trust::{TRUST_KEY, TrustReason};
use super::url::OPERATIONS_LOG_NAME;
use super::value::{Mistake, Raw, Value, shown_value};
use super::{Config, Setting, environment};
use crate::item::Backend;
use crate::nearest::most_alike;
use crate::redact::SecretUrl;

/// A key's value from the command line.
#[derive(Clone)]
pub struct FlagValue {
    /// The flag, with its dashes, as messages name it.
    pub flag: String,
    /// The key's name in the schema, such as `backend.url`.
    pub key: String,
    /// The value as it was typed.
    pub value: String,
}

/// One entry of git's configuration.
#[derive(Clone)]
pub struct GitConfigEntry {
    /// The key as git lists it: section and last part in lower case.
    pub key: String,
    /// The value; `None` for a key without `=`.
    pub value: Option<String>,
    /// Where git found it, in git's words: `file:.git/config`.
    pub origin: String,
}

/// Everything a configuration is made of. The caller gathers it; nothing else is read.
#[derive(Clone, Default)]
pub struct Sources {
    /// What the command line says.
    pub flags: Vec<FlagValue>,
    /// The whole environment, as far as it is Unicode.
    pub environment: Vec<(String, String)>,
    /// The configuration file, if there is one.
    pub file: Option<ConfigFile>,
    /// Git's configuration, in git's order; keys of other programs are passed over.
    pub git: Vec<GitConfigEntry>,
}

/// One key's value in one layer.
struct Given {
    key: &'static Key,
    /// The name that was used, so that two names for one key are found.
    spelling: String,
    origin: Origin,
    /// `None` where the value cannot be known: it is wrong, or needs trust to be looked at.
    value: Option<Value>,
    /// Why the value needs trust that its file does not have.
    untrusted: Option<TrustReason>,
}

/// What is found on the way.
#[derive(Default)]
struct Findings {
    errors: Vec<ConfigError>,
    warnings: Vec<Warning>,
}

impl Config {
    /// Returns the configuration in force, with what its author should know; or all that is wrong with it.
    pub fn load(sources: &Sources) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let mut findings = Findings::default();
        let lookup =
            |name: &str| sources.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let layers = [
            findings.flags(&sources.flags, &lookup),
            findings.environment(&sources.environment),
            sources.file.as_ref().map_or_else(Vec::new, |file| findings.file(file, &lookup)),
            findings.git(&sources.git),
        ];
        for layer in &layers {
            findings.check_layer(layer);
        }
        let chosen = findings.choose(&layers);
        if let Some(file) = &sources.file {
            findings.check_trust(&file.path, &chosen);
        }
        if findings.errors.is_empty() {
            let settings = settings(&chosen);
            findings.check_store(&settings);
            if findings.errors.is_empty() {
                return Ok((Self::from_settings(settings), findings.warnings));
            }
        }
        Err(ConfigErrors(findings.errors))
    }
}

impl Findings {
    fn flags(&mut self, flags: &[FlagValue], lookup: &dyn Fn(&str) -> Option<String>) -> Vec<Given> {
        let mut layer = Vec::new();
        for flag in flags {
            let origin = Origin::Flag { name: flag.flag.clone() };
            let found = flag.key.split_once('.').and_then(|(section, last)| schema::find(section, last));
            let Some(key) = found else {
                self.unknown(origin, &flag.key);
                continue;
            };
            let is_url = matches!(key.kind, Kind::ArchiveUrl | Kind::StoreUrl);
            let raw = Raw::Written(flag.value.clone());
            let expanded = if is_url { self.expanded(key, &raw, &origin, lookup) } else { Some(raw.clone()) };
            let value = expanded.and_then(|expanded| self.value(key, &expanded, &raw, &origin));
            layer.push(Given { key, spelling: flag.key.clone(), origin, value, untrusted: None });
        }
        layer
    }

    fn environment(&mut self, variables: &[(String, String)]) -> Vec<Given> {
        let mut layer = Vec::new();
        for (name, value) in variables {
            match environment::key_of(name) {
                Some(_) if value.is_empty() => {}
                Some(key) => {
                    let folder = name == environment::EVIDENCE_DIR;
                    let separator = if value.ends_with('/') { "" } else { "/" };
                    let value = if folder { format!("{value}{separator}{OPERATIONS_LOG_NAME}") } else { value.clone() };
                    let origin = Origin::Environment { name: name.clone() };
                    let raw = Raw::Written(value);
                    let value = self.value(key, &raw, &raw, &origin);
                    layer.push(Given { key, spelling: name.clone(), origin, value, untrusted: None });
                }
                None if name.starts_with(environment::PREFIX) => {
                    let nearest = most_alike(name, KEYS.iter().flat_map(Key::variables));
                    self.warnings.push(Warning::UnknownVariable { name: name.clone(), nearest });
                }
                None => {}
            }
        }
        layer
    }

    fn file(&mut self, file: &ConfigFile, lookup: &dyn Fn(&str) -> Option<String>) -> Vec<Given> {
        let (entries, errors) = file::entries(&file.path, &file.text);
        self.errors.extend(errors);
        let mut layer = Vec::new();
        for entry in entries {
            let origin = Origin::File { path: file.path.clone(), line: entry.line, column: entry.column };
            self.warn_of_password(file, entry.key, &entry.raw);
            let untrusted = entry.trust_reason(file.top.as_deref()).filter(|_| !file.is_trusted());
            // What needs trust is not even looked at: a variable must not be read to find out whether it fits.
            let expanded = match untrusted {
                Some(_) => None,
                None => self.expanded(entry.key, &entry.raw, &origin, lookup),
            };
            let value = expanded.and_then(|expanded| self.value(entry.key, &expanded, &entry.raw, &origin));
            layer.push(Given { key: entry.key, spelling: entry.spelling, origin, value, untrusted });
        }
        layer
    }

    fn git(&mut self, entries: &[GitConfigEntry]) -> Vec<Given> {
        let mut layer: Vec<Given> = Vec::new();
        for entry in entries {
            let section = entry.key.split('.').next().unwrap_or_default();
            if !section.eq_ignore_ascii_case(schema::GIT_SECTION) || entry.key.eq_ignore_ascii_case(TRUST_KEY) {
                continue;
            }
            let origin = Origin::GitConfig { key: entry.key.clone(), origin: entry.origin.clone() };
            let Some((key, spelling)) = schema::find_in_git(&entry.key) else {
                let nearest = schema::nearest_in_git(&entry.key);
                let key = entry.key.chars().take(80).flat_map(char::escape_debug).collect();
                self.errors.push(ConfigError::UnknownKey { origin, key, nearest });
                continue;
            };
            let raw = Raw::Git(entry.value.clone());
            let value = self.value(key, &raw, &raw, &origin);
            let given = Given { key, spelling: spelling.to_owned(), origin, value, untrusted: None };
            // Of several values under one name git uses the last.
            match layer.iter_mut().find(|known| known.key.name == key.name && known.spelling == spelling) {
                Some(known) => *known = given,
                None => layer.push(given),
            }
        }
        layer
    }

    /// Returns `raw` with its variables replaced; `None`, and an error, if that fails.
    fn expanded(
        &mut self,
        key: &'static Key,
        raw: &Raw,
        origin: &Origin,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Raw> {
        let (text, wrap): (_, fn(String) -> Raw) = match raw {
            Raw::Text(text) => (text, Raw::Text),
            Raw::Written(text) => (text, Raw::Written),
            _ => return Some(raw.clone()),
        };
        let expanded = expand(text, lookup);
        let error = |source| ConfigError::Variable { origin: origin.clone(), key: key.name, source };
        expanded.map(wrap).map_err(|source| self.errors.push(error(source))).ok()
    }

    /// Returns what `raw` means; `None`, and an error, if that is nothing.
    ///
    /// The error shows the value as it was `written`: what a variable holds may be a secret.
    fn value(&mut self, key: &'static Key, raw: &Raw, written: &Raw, origin: &Origin) -> Option<Value> {
        let mistake = match Value::parse(&key.kind, raw) {
            Ok(value) => return Some(value),
            Err(mistake) => mistake,
        };
        let (origin, key) = (origin.clone(), key.name);
        self.errors.push(match mistake {
            Mistake::Type { expected, found } => ConfigError::WrongType { origin, key, expected, found },
            Mistake::Value { expected, shown } => {
                let has_variables = written.text().filter(|text| raw.text() != Some(text));
                let found = has_variables.map_or(shown, shown_value);
                match key {
                    "backend.type" => ConfigError::UnsupportedBackend { origin, found },
                    _ => ConfigError::InvalidValue { origin, key, expected, found },
                }
            }
            Mistake::Url(source) => ConfigError::Url { origin, key, source },
        });
        None
    }

    fn unknown(&mut self, origin: Origin, name: &str) {
        let nearest = name.split_once('.').and_then(|(section, last)| schema::nearest(section, last));
        self.errors.push(ConfigError::UnknownKey { origin, key: shown_value(name), nearest });
    }

    fn warn_of_password(&mut self, file: &ConfigFile, key: &Key, raw: &Raw) {
        let text = raw.text().filter(|_| matches!(key.kind, Kind::ArchiveUrl | Kind::StoreUrl));
        let has_password = text.is_some_and(|text| SecretUrl::new(&without_variables(text)).has_secrets());
        if has_password && (file.tracked || file.readable_by_others) {
            let warning = Warning::ExposedPassword { path: file.path.clone(), tracked: file.tracked };
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// Checks what must hold within one layer: one name for a key, and type and URL that agree.
    fn check_layer(&mut self, layer: &[Given]) {
        for (index, given) in layer.iter().enumerate() {
            let same_key = |other: &&Given| other.key.name == given.key.name && other.spelling != given.spelling;
            if let Some(first) = layer[..index].iter().find(same_key) {
                let (first, second) = (first.origin.clone(), given.origin.clone());
                self.errors.push(ConfigError::Alias { key: given.key.name, first, second });
            }
        }
        if let (Some((kind, origin)), Some((url_kind, url_origin))) = (kind_in(layer), url_in(layer))
            && let Some(url_kind) = url_kind
            && kind != url_kind
        {
            let (origin, url_origin) = (origin.clone(), url_origin.clone());
            self.errors.push(ConfigError::BackendsDisagree { origin, kind, url_origin, url_kind });
        }
    }

    /// Returns for each key the highest layer's value; type and URL are one setting.
    fn choose<'a>(&mut self, layers: &'a [Vec<Given>]) -> BTreeMap<&'static str, &'a Given> {
        let mut chosen = BTreeMap::new();
        for given in layers.iter().flatten() {
            chosen.entry(given.key.name).or_insert(given);
        }
        match layers.iter().position(|layer| url_in(layer).is_some()) {
            // The URL says it all: a type beside it agrees, one below is hidden, and one above it has no effect.
            Some(deciding) => {
                let url = url_in(&layers[deciding]);
                for (kind, origin) in layers[..deciding].iter().filter_map(|layer| kind_in(layer)) {
                    if let Some((Some(url_kind), url_origin)) = url
                        && url_kind != kind
                    {
                        let (origin, url_origin) = (origin.clone(), url_origin.clone());
                        self.warnings.push(Warning::UnusedType { origin, kind, url_origin, url_kind });
                    }
                }
            }
            None => {
                if let Some((kind, origin)) = layers.iter().find_map(|layer| kind_in(layer))
                    && kind != Backend::Sqlite
                {
                    self.errors.push(ConfigError::UrlMissing { origin: origin.clone(), kind });
                }
            }
        }
        chosen
    }

    /// Refuses a configuration in which a value would be in force that its file has no trust for.
    fn check_trust(&mut self, path: &Path, chosen: &BTreeMap<&'static str, &Given>) {
        let mut reasons: Vec<_> = chosen.values().filter_map(|given| given.untrusted.clone()).collect();
        reasons.sort_by_key(|reason| reason.line);
        if !reasons.is_empty() {
            self.errors.push(ConfigError::Untrusted { path: path.to_owned(), reasons });
        }
    }

    /// Refuses an object store that is nowhere. A URL without use is none of our business.
    fn check_store(&mut self, settings: &BTreeMap<&'static str, Setting>) {
        let (driver, url) = (&settings["storage.driver"], &settings["storage.url"]);
        if driver.value == Value::Word("object") && url.value == Value::StoreUrl(None) {
            self.errors.push(ConfigError::StoreUrlMissing { origin: driver.origin.clone() });
        }
    }
}

/// Returns the backend that the type in `layer` names, and where.
fn kind_in(layer: &[Given]) -> Option<(Backend, &Origin)> {
    let given = layer.iter().find(|given| given.key.name == "backend.type")?;
    match given.value {
        Some(Value::Word(word)) => Some((word.parse().ok()?, &given.origin)),
        _ => None,
    }
}

/// Returns the backend that the URL in `layer` leads to, where that may be known, and where it stands.
fn url_in(layer: &[Given]) -> Option<(Option<Backend>, &Origin)> {
    let given = layer.iter().find(|given| given.key.name == "backend.url")?;
    let kind = match &given.value {
        Some(Value::ArchiveUrl(url)) => Some(url.backend()),
        _ => None,
    };
    Some((kind, &given.origin))
}

/// Returns every key's setting: what was chosen, or the default.
fn settings(chosen: &BTreeMap<&'static str, &Given>) -> BTreeMap<&'static str, Setting> {
    let mut settings: BTreeMap<_, _> = KEYS
        .iter()
        .map(|key| {
            let given = chosen.get(key.name).and_then(|given| Some((given.value.clone()?, given.origin.clone())));
            let (value, origin) = given.unwrap_or_else(|| (default_value(key), Origin::Default));
            (key.name, Setting { key, value, origin })
        })
        .collect();
    // They are one setting: where there is a URL, the type follows from it. The default URL goes with the one type
    // that needs none.
    let url = &settings["backend.url"];
    if let (Value::ArchiveUrl(archive), false) = (&url.value, url.origin == Origin::Default) {
        let kind = Setting {
            key: settings["backend.type"].key,
            value: Value::Word(archive.backend().as_str()),
            origin: url.origin.clone(),
        };
        settings.insert("backend.type", kind);
    }
    settings
}

/// Returns the default of `key`.
pub(super) fn default_value(key: &Key) -> Value {
    let Some(written) = key.default else { return Value::Unset };
    let raw = Raw::Written(written.trim_matches('"').to_owned());
    Value::parse(&key.kind, &raw).unwrap_or_else(|_| unreachable!("the default of `{}` is valid", key.name))
}
