//! Keys, and signatures of every kind, by the real `ssh-keygen`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::Record;
use git_archive_tomb::signature::{AllowedSigners, Signature};

/// How a record is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Signing {
    /// Not at all.
    None,
    /// By its actor.
    Good,
    /// By its actor, over another text.
    Forged,
    /// By somebody who may not sign.
    WrongKey,
    /// By its actor, for something else.
    WrongNamespace,
    /// With a key of its actor that was no longer valid.
    ExpiredKey,
    /// With a key of its actor that was valid then and is no longer.
    KeyExpiredSince,
}

impl Signing {
    pub(crate) const BAD: [Self; 5] =
        [Self::Forged, Self::WrongKey, Self::WrongNamespace, Self::ExpiredKey, Self::KeyExpiredSince];

    /// Returns the name of the key, before the actor's.
    fn key(self) -> &'static str {
        match self {
            Self::ExpiredKey => "old-",
            Self::KeyExpiredSince => "late-",
            Self::WrongKey => "stranger-",
            _ => "",
        }
    }
}

/// The people who have keys, by what their addresses begin with.
const PEOPLE: [&str; 3] = ["rae", "ada", "grace"];

/// Everybody's keys, and the file of those that are allowed.
pub(crate) struct Keyring {
    folder: tempfile::TempDir,
}

impl Keyring {
    /// Makes keys. Some stopped to be valid long before `now`, and some the day before.
    pub(crate) fn new(now: Timestamp) -> Self {
        let keyring = Self { folder: tempfile::tempdir().unwrap() };
        let day = |before: i64| {
            let day = Timestamp::from_millisecond(now.as_millisecond() - before * 86_400_000).unwrap();
            day.compact()[..8].to_owned()
        };
        let mut allowed = String::new();
        for person in PEOPLE {
            for (kind, options) in [
                ("", String::new()),
                ("old-", format!("valid-before=\"{}\" ", day(60))),
                ("late-", format!("valid-before=\"{}\" ", day(1))),
                ("stranger-", String::new()),
            ] {
                let file = keyring.file(&format!("{kind}{person}"));
                let mut keygen = Command::new("ssh-keygen");
                keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&file);
                assert!(keygen.stdin(Stdio::null()).status().unwrap().success());
                let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
                if kind != "stranger-" {
                    write!(allowed, "{person}@example.org {options}{public}").unwrap();
                }
            }
        }
        std::fs::write(keyring.file("allowed"), allowed).unwrap();
        keyring
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns whom to believe.
    pub(crate) fn allowed_signers(&self) -> AllowedSigners {
        AllowedSigners { program: "ssh-keygen".into(), file: self.file("allowed"), revoked: None }
    }

    /// Signs each record as it is to be. `statement` says what is signed of one. One run of `ssh-keygen` signs for each key.
    pub(crate) fn sign(&self, records: Vec<(Record, Signing)>, statement: impl Fn(&Record) -> String) -> Vec<Record> {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let mut runs: BTreeMap<(String, &str), Vec<usize>> = BTreeMap::new();
        let file = |number: usize| folder.path().join(number.to_string());
        for (number, (record, signing)) in records.iter().enumerate().filter(|(_, one)| one.1 != Signing::None) {
            let mut signed = record.clone();
            if *signing == Signing::Forged {
                signed.reason = Some("Something else".to_owned());
            }
            std::fs::write(file(number), statement(&signed)).unwrap();
            let actor = record.actor.as_deref().unwrap_or_default().to_lowercase();
            let person = PEOPLE.into_iter().find(|person| actor.contains(person)).unwrap();
            let namespace = if *signing == Signing::WrongNamespace { "file" } else { "git-archive-tomb" };
            runs.entry((format!("{}{person}", signing.key()), namespace)).or_default().push(number);
        }
        for ((key, namespace), numbers) in runs {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(self.file(&key));
            let done = keygen.args(numbers.iter().map(|number| file(*number))).stdin(Stdio::null()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        let signed = records.into_iter().enumerate().map(|(number, (mut record, signing))| {
            if signing != Signing::None {
                let output = std::fs::read(file(number).with_extension("sig")).unwrap();
                record.signature = Some(Signature::from_output(&output).unwrap().to_string());
            }
            record
        });
        signed.collect()
    }
}
