//! What a file that others wrote may do, and how files are read.

use proptest::prelude::*;

use super::*;

const NEEDS_TRUST: &[(&str, &str, TrustCause)] = &[
    ("[backend]\nurl = \"postgres://h/db\"", "backend.url", TrustCause::RemoteUrl),
    ("[backend]\nurl = \"nonsense\"", "backend.url", TrustCause::RemoteUrl),
    ("[backend]\nurl = \"SQLITE:///a\"", "backend.url", TrustCause::RemoteUrl),
    ("[backend]\nurl = \"sqlite:////etc/a\"", "backend.url", TrustCause::OutsidePath),
    ("[backend]\nurl = \"sqlite:///../a\"", "backend.url", TrustCause::OutsidePath),
    ("[backend]\nurl = \"sqlite:///.git/a\"", "backend.url", TrustCause::OutsidePath),
    ("[backend]\nurl = \"sqlite:///${A}\"", "backend.url", TrustCause::Variable),
    ("[logging]\nfile = \"${HOME}/a\"", "logging.file", TrustCause::Variable),
    ("[logging]\nlevel = \"${A}\"", "logging.level", TrustCause::Variable),
    ("[logging]\nfile = \"$${A}${A}\"", "logging.file", TrustCause::Variable),
    ("[logging]\nfile = \"/dev/null\"", "logging.file", TrustCause::OutsidePath),
    ("[logging]\nfile = \"a/../../b\"", "logging.file", TrustCause::OutsidePath),
    ("[logging]\nfile = \"./.GIT/config\"", "logging.file", TrustCause::OutsidePath),
    ("[logging]\nfile = \"sub/.git/hooks/x\"", "logging.file", TrustCause::OutsidePath),
    ("[logging]\nfile = 'C:\\a'", "logging.file", TrustCause::OutsidePath),
    ("[logging]\nevidence_file = \"/a\"", "logging.evidence_file", TrustCause::OutsidePath),
    ("[batch]\nresults_path = \"../a\"", "batch.results_path", TrustCause::OutsidePath),
    ("[governance]\nsigned = false", "governance.signed", TrustCause::Rule),
    ("[hooks]\nrequire_copies = 0", "hooks.require_copies", TrustCause::Rule),
    ("[storage]\nlevel = 1", "storage.level", TrustCause::Rule),
    ("[storage]\nurl = \"s3://bucket\"", "storage.url", TrustCause::Rule),
];

#[test]
fn a_tracked_file_does_these_things_only_when_trusted() {
    for (text, key, cause) in NEEDS_TRUST {
        let reason = TrustReason { key, line: 2, cause: *cause };
        assert_eq!(needs_trust(text, None), std::slice::from_ref(&reason), "{text}");
        let errors = Config::load(&sources().tracked_file(text, false)).map(|_| ()).expect_err("needs trust");
        match errors.as_slice() {
            [error @ ConfigError::Untrusted { reasons, .. }] => {
                assert_eq!(reasons, std::slice::from_ref(&reason));
                assert!(error.hint().is_some_and(|hint| hint.contains("git archive-tomb trust")));
                assert!(error.to_string().contains(key));
            }
            _ => panic!("{text}: {:?}", messages(&errors)),
        }
        // The variable is not even looked up before: trust comes first, then what is wrong with the value.
        let trusted = Config::load(&sources().tracked_file(text, true));
        let untracked = Config::load(&sources().file(text));
        assert_eq!(trusted.is_ok(), untracked.is_ok(), "{text}");
        for outcome in [trusted, untracked] {
            let untrusted = |errors: &ConfigErrors| {
                errors.as_slice().iter().any(|error| matches!(error, ConfigError::Untrusted { .. }))
            };
            assert!(!outcome.err().as_ref().is_some_and(untrusted), "{text}");
        }
    }
}

#[test]
fn a_tracked_file_does_the_rest_without_trust() {
    let text = "[backend]\ntype = \"sqlite\"\nurl = \"sqlite:///./a/b.sqlite\"\n[logging]\nfile = \"./.codex/log\"\nlevel = \"debug\"\n\
                evidence_file = \".codex/evidence/archive_ops.jsonl\"\n[retry]\nenabled = true\n[batch]\nmax_concurrent = 2\n[stub]\nstyle = \"loud\"";
    assert!(needs_trust(text, None).is_empty());
    assert_eq!(sources().tracked_file(text, false).load().stub.style, Style::Loud);
}

#[test]
fn no_trust_is_asked_for_what_a_higher_layer_hides() {
    let hidden = sources()
        .variable("CODEX_ARCHIVE_URL", "sqlite:///a")
        .tracked_file("[backend]\nurl = \"mysql://u:${PW}@h/d\"", false);
    assert_eq!(hidden.load().url.backend(), Backend::Sqlite);
}

#[cfg(unix)]
#[test]
fn a_path_through_a_link_leaves_the_tree() {
    let top = tempfile::tempdir().expect("makes a folder");
    let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, top.path().join(name)).expect("links");
    std::fs::create_dir_all(top.path().join(".codex/evidence")).expect("makes folders");
    link("/etc", "link");
    link("../../x", ".codex/evidence/archive_ops.jsonl");
    for (path, needed) in [("link/a", true), ("link", true), (".codex/a", false), ("new/a", false)] {
        let text = format!("[logging]\nfile = \"{path}\"");
        assert_eq!(!needs_trust(&text, Some(top.path())).is_empty(), needed, "{path}");
        let mut sources = sources().tracked_file(&text, false);
        sources.file.as_mut().expect("is there").top = Some(top.path().to_owned());
        assert_eq!(Config::load(&sources).is_err(), needed, "{path}");
    }
    let default = "[logging]\nevidence_file = \"./.codex/evidence/archive_ops.jsonl\"";
    assert!(needs_trust(default, Some(top.path())).is_empty());
}

#[test]
fn trust_is_for_bytes() {
    let file = sources().file("a").file.expect("is there");
    assert_eq!(file.digest(), trust_digest(b"a"));
    assert_ne!(file.digest(), trust_digest(b"a\n"));
}

#[test]
fn a_password_in_an_exposed_file_is_warned_about() {
    let text = "[backend]\nurl = \"postgres://u:canary@h/db\"";
    assert!(sources().file(text).warnings().is_empty());
    assert_eq!(
        sources().tracked_file(text, true).warnings(),
        ["`.codex/archive.toml` holds a password and is tracked by git; use `${VAR}` instead"]
    );
    let mut readable = sources().file(text);
    readable.file.as_mut().expect("is there").readable_by_others = true;
    assert_eq!(
        readable.warnings(),
        ["`.codex/archive.toml` holds a password and can be read by others; use `${VAR}` instead"]
    );
    let from_variable = sources()
        .variable("PW", "canary")
        .tracked_file("[backend]\nurl = \"postgres://u:${PW}@h/db?password=${PW}\"", true);
    assert!(from_variable.warnings().is_empty());
}

#[test]
fn files_are_read_safely() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let path = |name: &str| folder.path().join(name);
    assert!(ConfigFile::read_default(&path("missing")).expect("is no error").is_none());
    assert!(matches!(ConfigFile::read_named(&path("missing")), Err(ConfigError::Missing { .. })));
    assert!(matches!(ConfigFile::read_default(folder.path()), Err(ConfigError::Unreadable { .. })));
    assert!(matches!(ConfigFile::read_named(folder.path()), Err(ConfigError::Unreadable { .. })));
    std::fs::write(path("binary"), b"\xff").expect("writes");
    assert!(matches!(ConfigFile::read_default(&path("binary")), Err(ConfigError::Unreadable { .. })));
    std::fs::write(path("large"), vec![b'#'; 64 * 1024 + 1]).expect("writes");
    assert!(matches!(ConfigFile::read_named(&path("large")), Err(ConfigError::TooLarge { .. })));
    std::fs::write(path("good"), template()).expect("writes");
    let file = ConfigFile::read_default(&path("good")).expect("reads").expect("is there");
    assert!(!file.tracked && file.text == template());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::os::unix::fs::symlink("good", path("link")).expect("links");
        assert!(matches!(ConfigFile::read_default(&path("link")), Err(ConfigError::Unreadable { .. })));
        assert!(ConfigFile::read_named(&path("link")).is_ok());
        for (mode, readable) in [(0o600, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(path("good"), std::fs::Permissions::from_mode(mode)).expect("sets the mode");
            assert_eq!(ConfigFile::read_named(&path("good")).expect("reads").readable_by_others, readable);
        }
    }
}

proptest! {
    #[test]
    fn any_file_loads_or_is_refused(text in "(\\[(backend|retry|logging|storage|x)\\]\n|(url|level|file|seed|jitter|type|x) ?= ?([0-9.e-]{0,6}|\"[ -~]{0,20}\"|true|\\[|\\{)\n|[ -~é]{0,9}\n){0,8}") {
        let _ = Config::load(&sources().tracked_file(&text, false));
        let _ = Config::load(&sources().file(&text));
        let _ = needs_trust(&text, None);
    }

    #[test]
    fn nothing_untrusted_comes_from_a_tracked_file(text in "(\\[(backend|logging|governance|batch)\\]\n|(url|file|signed|results_path) = (\"(sqlite://|postgres://)?[./$\\{\\}A-Zgit:@]{0,9}\"|true)\n){0,6}") {
        if let Ok((config, _)) = Config::load(&sources().variable("A", "canary").tracked_file(&text, false)) {
            prop_assert_eq!(config.url.backend(), Backend::Sqlite);
            let shown = format!("{config:?}");
            prop_assert!(!shown.contains("canary"));
            for path in [&config.logging.file, &config.batch.results_path].into_iter().flatten() {
                prop_assert!(path.is_relative() && !path.components().any(|part| part.as_os_str() == ".." || part.as_os_str() == ".git"));
            }
            prop_assert!(config.origin("governance.signed") == Some(&Origin::Default));
        }
    }
}
