//! Signatures by the real `ssh-keygen`: what counts, and what forgers try.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use crate::evidence::record::Level;
use crate::governance::{SigningError, Verdicts, sign, statement};
use crate::signature::{AllowedSigners, Key, Signature, Signer};

use super::*;

/// People with keys, and a file that allows some of them.
pub(super) struct Keys {
    folder: tempfile::TempDir,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("tomb-keys-").tempdir().expect("makes a folder") }
    }

    fn key(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        if !path.exists() {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path);
            assert!(command.status().expect("ssh-keygen starts").success());
        }
        path
    }

    fn public(&self, name: &str) -> String {
        std::fs::read_to_string(self.key(name).with_extension("pub")).expect("is there").trim().to_owned()
    }

    pub(super) fn signer(&self, name: &str) -> Signer {
        Signer { program: "ssh-keygen".into(), key: Key::File(self.key(name)) }
    }

    /// Returns whom to believe: the people of these names, each with options and a key.
    pub(super) fn allow(&self, people: &[(&str, &str, &str)]) -> AllowedSigners {
        let line = |(name, options, key): &(&str, &str, &str)| format!("{name} {options} {}\n", self.public(key));
        let file = tempfile::Builder::new().prefix("allowed").tempfile_in(&self.folder).expect("makes a file");
        let (_, file) = file.keep().expect("stays");
        std::fs::write(&file, people.iter().map(line).collect::<String>()).expect("writes");
        AllowedSigners { program: "ssh-keygen".into(), file, revoked: None }
    }

    fn everybody(&self) -> AllowedSigners {
        self.allow(&[("ada@x", "", "ada"), ("bob@x", "", "bob")])
    }

    /// Signs as a forger who is not held to anything.
    fn forge(&self, name: &str, namespace: &str, message: &str) -> String {
        let path = self.folder.path().join(format!("forged-{name}"));
        std::fs::write(&path, message).expect("writes");
        let signature = path.with_extension("sig");
        let _ = std::fs::remove_file(&signature);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(self.key(name)).arg(&path);
        assert!(command.stderr(Stdio::null()).status().expect("starts").success());
        let armored = std::fs::read(format!("{}.sig", path.display())).expect("is there");
        std::fs::remove_file(format!("{}.sig", path.display())).expect("is there");
        Signature::from_output(&armored).expect("is one").to_string()
    }
}

pub(super) fn signed_by(keys: &Keys, signers: &AllowedSigners, name: &str, record: &Record) -> Record {
    let mut record = record.clone();
    sign(&mut record, &keys.signer(name), signers, true).expect("signs");
    record
}

fn standing(verdicts: &Verdicts, record: &Record) -> Standing {
    verdicts.standing(record, record.ts).expect("judges")
}

fn why(verdicts: &Verdicts, record: &Record) -> String {
    match standing(verdicts, record) {
        Standing::Rejected { why } => why,
        other => panic!("{other:?}"),
    }
}

/// Returns the record of somebody's approval, yesterday.
fn sample(by: &str) -> Record {
    approval(2, &request(1, &[subject("src/a.py")]).0, by, days(-1))
}

#[test]
fn a_statement_is_the_record_below_a_line_that_says_what_it_is() {
    let mut record = sample("Ada <ada@x>");
    record.reason = Some("Contains \"PII\"\nand é".to_owned());
    let expected = concat!(
        "git-archive-tomb governance v1\n",
        r#"{"schema":"archive-evidence/1","ts":"2026-10-31T12:08:56.123Z","level":"info","action":"DELETE_APPROVED","#,
        r#""op":"0199f1a2-0000-7000-8000-000000000002","actor":"Ada <ada@x>","repo":"repo","path":"src/a.py","#,
        r#""tombstone":"3c152187-1d6b-59a3-ad5d-1b1d94df04bc","#,
        r#""sha256":"ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73","#,
        r#""reason":"Contains \"PII\"\nand é","#,
        r#""metadata":{"archive":"3c7a4f0e-8f0e-4d57-9d0e-3f6f1f0f8a11","items":"1 LIST"},"#,
        r#""status":"done","request":"0f0f6f6c-52a5-4b52-8f5a-000000000001"}"#,
        "\n"
    );
    let items = record::list([subject("src/a.py").tombstone]);
    assert_eq!(statement(&record).expect("is signed"), expected.replace("1 LIST", &items));
    // Where it stands in its file says nothing of it.
    let placed = Record { count: Some(3), prev: vec![Sha256::ZERO], signature: Some("x".to_owned()), ..record.clone() };
    assert_eq!(statement(&placed), statement(&record));
    for action in Action::ALL {
        let other = Record { action: *action, ..record.clone() };
        assert_eq!(statement(&other).is_some(), action.is_governance() && *action != Action::Purge);
    }
}

#[test]
fn a_sample_of_the_format_counts_for_ever() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/governance"));
    let name = "20261031T120856Z-delete-approved-f243a8dad936f18d.jsonl";
    let line = std::fs::read(folder.join(name)).expect("is there");
    let mut records = Vec::new();
    let name = EvidenceFileName::parse(name.as_bytes()).expect("is a name");
    crate::evidence::format::read(&name, &line[..], |entry| records.push(entry.record)).expect("is intact");
    let file = folder.join("allowed_signers");
    let verdicts = Verdicts::new(Some(AllowedSigners { program: "ssh-keygen".into(), file, revoked: None }));
    assert!(matches!(standing(&verdicts, &records[0]), Standing::Signed { .. }));
}

#[test]
fn whoever_is_allowed_signs_in_his_own_name() {
    let keys = Keys::new();
    let signers = keys.everybody();
    let verdicts = Verdicts::new(Some(signers.clone()));
    let mut record = sample("Ada Lovelace <ADA@x>");
    let (principal, key) = sign(&mut record, &keys.signer("ada"), &signers, false).expect("signs");
    assert_eq!((principal.as_str(), record.actor.as_deref()), ("ada@x", Some("Ada Lovelace <ADA@x>")));
    assert_eq!(standing(&verdicts, &record), Standing::Signed { principal, key });
    // Whoever is assumed to act makes room for whose key it is; whoever is named does not.
    let mut record = sample("laptop <root@localhost>");
    sign(&mut record, &keys.signer("ada"), &signers, true).expect("signs");
    assert_eq!(record.actor.as_deref(), Some("ada@x"));
    assert!(matches!(standing(&verdicts, &record), Standing::Signed { .. }));
    let error = sign(&mut sample("Bob <bob@x>"), &keys.signer("ada"), &signers, false).expect_err("is refused");
    assert_eq!(error.to_string(), "the key is `ada@x`'s, not `Bob <bob@x>`'s");
    let error = sign(&mut sample("Eve"), &keys.signer("eve"), &signers, true).expect_err("is refused");
    assert!(matches!(error, SigningError::NotAllowed { .. }), "{error}");
    let purge = Record { action: Action::Purge, ..sample("Ada") };
    assert!(matches!(sign(&mut purge.clone(), &keys.signer("ada"), &signers, true), Err(SigningError::NotSigned)));
    assert_eq!(standing(&verdicts, &purge), Standing::Unsigned);
    assert_eq!(why(&verdicts, &Record { signature: Some("x".to_owned()), ..purge }), "such a record is not signed");
}

type Forgery = fn(&mut Record);

#[test]
fn no_change_to_a_signed_record_goes_unnoticed() {
    let keys = Keys::new();
    let signers = keys.everybody();
    let verdicts = Verdicts::new(Some(signers.clone()));
    let record = signed_by(&keys, &signers, "ada", &sample("Ada <ada@x>"));
    let forgeries: [(&str, Forgery); 14] = [
        ("ts", |record| record.ts = days(-2)),
        ("level", |record| record.level = Level::Warn),
        ("action", |record| record.action = Action::RestoreApproved),
        ("op", |record| record.op = op(77)),
        ("actor", |record| record.actor = Some("Augusta Ada <ada@x>".to_owned())),
        ("repo", |record| record.repo = Some("other".to_owned())),
        ("path", |record| record.path = Some("src/b.py".to_owned())),
        ("tombstone", |record| record.tombstone = Some(subject("src/b.py").tombstone)),
        ("sha256", |record| record.sha256 = Some(Sha256::of(b"other"))),
        ("reason", |record| record.reason = Some("other".to_owned())),
        ("archive", |record| {
            record.metadata.insert(record::ARCHIVE.to_owned(), OTHER_ARCHIVE.to_owned());
        }),
        ("items", |record| {
            let items = ["src/a.py", "src/b.py"].map(|path| subject(path).tombstone);
            record.metadata.insert(record::ITEMS.to_owned(), record::list(items));
        }),
        ("request", |record| record.request = Some(request(2, &[subject("src/a.py")]).0.id)),
        ("name", |record| record.name = Some("CASE-7".to_owned())),
    ];
    for (what, change) in forgeries {
        let mut changed = record.clone();
        change(&mut changed);
        assert_eq!(why(&verdicts, &changed), "it is not a signature over this record", "{what}");
    }
    let text = record.signature.clone().expect("is signed");
    for damaged in ["", "x", &text[1..], &text.replace('\n', "\r\n"), &text.to_lowercase()] {
        assert_eq!(why(&verdicts, &claimed(&record, damaged)), "it is not an SSH signature");
    }
    assert!(matches!(standing(&verdicts, &record), Standing::Signed { .. }));
}

#[test]
fn only_an_allowed_key_in_the_right_namespace_counts() {
    let keys = Keys::new();
    let verdicts = Verdicts::new(Some(keys.everybody()));
    let record = sample("Ada <ada@x>");
    let message = statement(&record).expect("is signed");
    let forged = |name, namespace| claimed(&record, &keys.forge(name, namespace, &message));
    assert!(matches!(standing(&verdicts, &forged("ada", "git-archive-tomb")), Standing::Signed { .. }));
    assert_eq!(why(&verdicts, &forged("ada", "git")), "it is not a signature over this record");
    assert_eq!(why(&verdicts, &forged("ada", "file")), "it is not a signature over this record");
    assert_eq!(why(&verdicts, &forged("bob", "git-archive-tomb")), "it is `bob@x`'s, who is not the actor");
    assert!(!why(&verdicts, &forged("eve", "git-archive-tomb")).is_empty());
    let other = claimed(&record, &keys.forge("ada", "git-archive-tomb", message.trim_end()));
    assert_eq!(why(&verdicts, &other), "it is not a signature over this record");
    assert_eq!(standing(&verdicts, &record), Standing::Unsigned);
    let nobody = Verdicts::new(None);
    assert_eq!(why(&nobody, &forged("ada", "git-archive-tomb")), "nobody is named whose signatures count");
}

#[test]
fn a_key_has_to_be_valid_when_it_signs_and_when_that_is_used() {
    let keys = Keys::new();
    let record = sample("Ada <ada@x>");
    let signed = claimed(&record, &keys.forge("ada", "git-archive-tomb", &statement(&record).expect("is signed")));
    // It was signed on 2026-10-31, and it is 2026-11-01.
    for (options, then, now) in [
        ("", true, true),
        ("valid-before=\"20261101\"", true, false),
        ("valid-before=\"20261031\"", false, false),
        ("valid-before=\"20261102\"", true, true),
        ("valid-after=\"20261031\"", true, true),
        ("valid-after=\"20261101\"", false, true),
        ("namespaces=\"git\"", false, false),
        ("namespaces=\"git,git-archive-tomb\"", true, true),
    ] {
        let verdicts = Verdicts::new(Some(keys.allow(&[("ada@x", options, "ada")])));
        let good = |at| matches!(verdicts.standing(&signed, at).expect("judges"), Standing::Signed { .. });
        assert_eq!((good(signed.ts), good(days(0))), (then, now), "{options}");
    }
    let revoked = keys.folder.path().join("revoked");
    std::fs::write(&revoked, keys.public("ada")).expect("writes");
    let verdicts = Verdicts::new(Some(AllowedSigners { revoked: Some(revoked), ..keys.everybody() }));
    assert_eq!(why(&verdicts, &signed), "its key is revoked");
}

#[test]
fn purges_are_granted_by_two_keys_that_are_valid_now() {
    let keys = Keys::new();
    let (key, records) = request(1, &[subject("src/a.py")]);
    let people = |bob: &str| keys.allow(&[("ada@x", "", "ada"), ("bob@x", bob, "bob")]);
    let signers = people("");
    let mut world = World::new();
    world.policy.signed = true;
    world.event(&signed_by(&keys, &signers, "ada", &records[0]));
    world.event(&signed_by(&keys, &signers, "ada", &approval(2, &key, "Ada <ada@x>", days(-2))));
    assert_eq!(world.judge_with(&Verdicts::new(Some(signers.clone()))).expect_err("is refused").len(), 1);
    let bob = signed_by(&keys, &signers, "bob", &approval(3, &key, "Bob <bob@x>", days(-1)));
    world.evidence.push(evidence(&bob));
    assert!(world.judge_with(&Verdicts::new(Some(signers))).is_ok());
    let expired = Verdicts::new(Some(people("valid-before=\"20261101\"")));
    let obstacles = world.judge_with(&expired).expect_err("is refused");
    let [Obstacle::Approvals { given, void, .. }] = &obstacles[..] else { panic!("{obstacles:?}") };
    assert_eq!((given.len(), void.len(), void[0].by.as_str()), (1, 1, "Bob <bob@x>"));
    // The same approvals where nothing has to be signed: Bob's counts by its signature, Ada's as the archive has it.
    world.policy.signed = false;
    assert!(world.judge_with(&Verdicts::new(Some(people("")))).is_ok());
    assert!(world.judge_with(&Verdicts::new(None)).is_err());
}

#[test]
fn each_signature_is_judged_once() {
    let keys = Keys::new();
    let called = keys.folder.path().join("called");
    let program = keys.folder.path().join("counting");
    std::fs::write(&program, format!("#!/bin/sh\necho >> {}\nexec ssh-keygen \"$@\"\n", called.display()))
        .expect("writes");
    let mut mode = std::fs::metadata(&program).expect("is there").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(&program, mode).expect("sets the mode");
    let signers = keys.everybody();
    let record = signed_by(&keys, &signers, "ada", &sample("Ada <ada@x>"));
    let verdicts = Verdicts::new(Some(AllowedSigners { program: program.into_os_string(), ..signers }));
    let runs = || std::fs::read(&called).map_or(0, |lines| lines.len());
    for expected in [3, 3] {
        standing(&verdicts, &record);
        assert_eq!(runs(), expected);
    }
    verdicts.standing(&record, days(0)).expect("judges");
    assert_eq!(runs(), 6);
}

#[test]
fn a_flood_of_signatures_is_not_looked_at_for_ever() {
    let verdicts = Verdicts::new(None);
    let last = (0..5000).map(|number| why(&verdicts, &claimed(&sample(&format!("Eve {number}")), "x"))).last();
    assert_eq!(last.as_deref(), Some("more signatures are there than are looked at"));
    // What is about something else is looked at all the same.
    let other = Record { request: Some("another".to_owned()), ..sample("Eve") };
    assert_eq!(why(&verdicts, &claimed(&other, "x")), "nobody is named whose signatures count");
}

proptest! {
    #[test]
    fn records_that_differ_have_different_statements(
        texts in prop::collection::vec(prop::sample::select(vec!["", "a", "b", "a\"", "a\nb", "\\"]), 6),
        others in prop::collection::vec(prop::sample::select(vec!["", "a", "b", "a\"", "a\nb", "\\"]), 6),
    ) {
        let with = |texts: &[&str]| {
            let mut record = sample(texts[0]);
            record.repo = Some(texts[1].to_owned()).filter(|text| !text.is_empty());
            record.reason = Some(texts[2].to_owned());
            record.request = Some(texts[3].to_owned());
            record.name = Some(texts[4].to_owned());
            record.metadata.insert(record::ITEMS.to_owned(), texts[5].to_owned());
            record
        };
        let (one, other) = (with(&texts), with(&others));
        prop_assert_eq!(statement(&one) == statement(&other), one == other);
    }
}
