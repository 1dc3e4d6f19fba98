//! Which layer wins, and what is a mistake in one.

use super::*;

#[test]
fn the_highest_layer_wins_for_every_key_and_every_mix_of_layers() {
    for key in KEYS {
        let (toml, text) = sample(key);
        for layers in 1..16_u8 {
            let mut mixed = companion(key, sources());
            let mut expected = "";
            if layers & 1 != 0 {
                (mixed, expected) = (mixed.git(&key.git_key(), &text), "git config");
            }
            if layers & 2 != 0 {
                (mixed, expected) = (mixed.file(&line(key, &toml)), "`.codex/archive.toml:2:1`");
            }
            if layers & 4 != 0 {
                (mixed, expected) = (mixed.variable(&key.variables()[0], &text), "variable");
            }
            if layers & 8 != 0 {
                (mixed, expected) = (mixed.flag(key.name, &text), "flag");
            }
            let config = mixed.load();
            let setting = config.settings().find(|setting| setting.key.name == key.name).expect("every key is there");
            assert!(setting.origin.to_string().starts_with(expected), "{}: {}", key.name, setting.origin);
            assert_eq!(setting.value.to_string().trim_matches('"'), text.as_str(), "{}", key.name);
        }
    }
}

#[test]
fn every_alias_works_and_clashes_with_its_key() {
    for key in KEYS {
        let Some(alias) = key.alias else { continue };
        let (toml, text) = sample(key);
        let git_alias = alias.split('_').collect::<String>();
        let aliased = format!("[{}]\n{alias} = {toml}\n", key.section());
        assert_ne!(sources().file(&aliased).load().origin(key.name), Some(&Origin::Default));
        assert_ne!(
            sources().git(&format!("archivetomb.{}.{git_alias}", key.section()), &text).load().origin(key.name),
            Some(&Origin::Default)
        );
        let both = sources().file(&format!("{aliased}{} = {toml}\n", key.last())).errors();
        assert_eq!(
            both,
            [format!(
                "`.codex/archive.toml:3:1`: `{}` is given by `.codex/archive.toml:2:1` already, under its other name",
                key.name
            )]
        );
        assert_eq!(
            sources()
                .git(&key.git_key(), &text)
                .git(&format!("archivetomb.{}.{git_alias}", key.section()), &text)
                .errors()
                .len(),
            1
        );
        // Two names in two layers are no clash.
        let _ = sources().file(&aliased).git(&key.git_key(), &text).load();
    }
    let both =
        sources().variable("CODEX_ARCHIVE_RETRY_MAX", "2").variable("CODEX_ARCHIVE_RETRY_ATTEMPTS", "2").errors();
    assert_eq!(both.len(), 1);
    assert_eq!(
        sources()
            .variable("CODEX_EVIDENCE_DIR", "a")
            .variable("CODEX_ARCHIVE_LOGGING_EVIDENCE_FILE", "b")
            .errors()
            .len(),
        1
    );
}

#[test]
fn unknown_keys_are_errors_with_the_nearest_known() {
    for (text, message) in [
        (
            "[retry]\nmax_atempts = 3",
            "2:1`: unknown key `retry.max_atempts`, the nearest known is `retry.max_attempts`",
        ),
        ("[retry]\n  level = 3", "2:3`: unknown key `retry.level`, the nearest known is `logging.level`"),
        ("[retrry]\nenabled = true", "1:2`: unknown key `retrry`, the nearest known is `retry`"),
        ("url = \"x\"", "1:1`: unknown key `url`, the nearest known is `backend.url`"),
        ("backend = 1", "1:1`: unknown key `backend`, the nearest known is `backend.type`"),
        ("[backend.url]\nx = 1", "1:10`: `backend.url` takes the URL of an archive, found a table"),
        ("[zzzzzzzzzz]", "1:2`: unknown key `zzzzzzzzzz`"),
        ("[stub]\n\"a\\n\\u001b\" = 1", "2:1`: unknown key `stub.a\\n\\u{1b}`"),
        ("[[retry]]\nenabled = true", "1:3`: unknown key `retry`"),
    ] {
        assert_eq!(sources().file(text).errors(), [format!("`.codex/archive.toml:{message}")], "{text}");
    }
    let git = sources().git("archivetomb.retry.maxatempts", "3").errors();
    assert_eq!(
        git,
        [
            "git config `archivetomb.retry.maxatempts` (file:.git/config): unknown key `archivetomb.retry.maxatempts`, the nearest known is `archivetomb.retry.maxAttempts`"
        ]
    );
    assert_eq!(sources().flag("retry.max_atempts", "3").errors().len(), 1);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let errors = sources()
        .flag("retry.jitter", "x")
        .variable("CODEX_ARCHIVE_LOG_LEVEL", "x")
        .file("[retry]\nenabled = 1\nnonsense = 2\n[stub]\nstyle = \"x\"")
        .git("archivetomb.storage.level", "x");
    assert_eq!(errors.errors().len(), 6);
    let text = Config::load(&errors).err().map(|errors| errors.to_string());
    assert_eq!(text.as_deref(), Some("6 mistakes in the configuration"));
}

#[test]
fn git_values_are_read_as_git_reads_them() {
    for (text, value) in [
        ("yes", true),
        ("on", true),
        ("1", true),
        ("TRUE", true),
        ("", false),
        ("no", false),
        ("Off", false),
        ("0", false),
    ] {
        assert_eq!(sources().git("archivetomb.retry.enabled", text).load().retry.enabled, value, "{text}");
    }
    let mut bare = sources();
    bare.git.push(GitConfigEntry {
        key: "archivetomb.retry.enabled".into(),
        value: None,
        origin: "command line:".into(),
    });
    assert!(bare.load().retry.enabled);
    bare.git[0].key = "archivetomb.retry.maxattempts".into();
    assert_eq!(
        bare.errors(),
        [
            "git config `archivetomb.retry.maxattempts` (command line:): `retry.max_attempts` takes an integer from 1 to 10, found no value"
        ]
    );
    assert_eq!(sources().git("archivetomb.retry.seed", "2k").load().retry.policy().seed, None);
    let seeded = sources().git("archivetomb.retry.seed", "2k").git("archivetomb.retry.enabled", "true").load();
    assert_eq!(seeded.retry.policy().seed, Some(2048));
    assert!(!sources().git("archivetomb.retry.seed", "9223372036854775807g").errors().is_empty());
    // Git keeps the last of several values, lowers the case of the last part, and has keys of others.
    let last = sources().git("archivetomb.batch.maxConcurrent", "2").git("archivetomb.batch.maxconcurrent", "3");
    assert_eq!(last.git("user.name", "x").git("archivetomb.trusted", "00").load().batch.max_concurrent, 3);
    assert_eq!(sources().git("archivetomb.Batch.maxconcurrent", "2").errors().len(), 1);
}

#[test]
fn type_and_url_are_one_setting() {
    let backend = |sources: &Sources| sources.load().url.backend();
    // In one layer they must agree, in every spelling.
    for (kind, url, agree) in [
        ("postgres", "postgresql://h/db", true),
        ("postgresql", "postgres+psycopg2://h/db", true),
        ("mysql", "mariadb://h/db", true),
        ("mariadb", "mysql+pymysql://h/db", true),
        ("sqlite", "sqlite+pysqlite:///a", true),
        ("sqlite", "postgres://h/db", false),
        ("postgres", "mysql://h/db", false),
    ] {
        let one_layer = sources().variable("CODEX_ARCHIVE_BACKEND", kind).variable("CODEX_ARCHIVE_URL", url);
        assert_eq!(Config::load(&one_layer).is_ok(), agree, "{kind} {url}");
    }
    // The highest url decides, whatever the types above and below it say.
    let server = sources().file("[backend]\nurl = \"postgres://h/db\"");
    assert_eq!(backend(&server), Backend::Postgres);
    assert_eq!(server.load().origin("backend.type"), server.load().origin("backend.url"));
    let above = server.clone().variable("CODEX_ARCHIVE_BACKEND", "sqlite");
    assert_eq!(backend(&above), Backend::Postgres);
    assert_eq!(
        above.warnings(),
        [
            "variable `CODEX_ARCHIVE_BACKEND`: backend sqlite is not used, because the url in `.codex/archive.toml:2:1` leads to postgres"
        ]
    );
    let below = sources().variable("CODEX_ARCHIVE_URL", "sqlite:///a").file("[backend]\ntype = \"postgres\"");
    assert_eq!((backend(&below), below.warnings().len()), (Backend::Sqlite, 0));
    // A layer that another hides must agree too.
    let hidden = sources()
        .variable("CODEX_ARCHIVE_URL", "sqlite:///a")
        .file("[backend]\ntype = \"sqlite\"\nurl = \"mysql://h/d\"");
    assert_eq!(
        hidden.errors(),
        [
            "`.codex/archive.toml:2:1`: `backend.type` is sqlite, but `backend.url` in `.codex/archive.toml:3:1` leads to mariadb"
        ]
    );
    // A server without a url is nowhere.
    assert_eq!(
        sources().file("[backend]\ntype = \"mysql\"").errors(),
        ["`.codex/archive.toml:2:1`: backend mariadb needs a `backend.url`"]
    );
    assert_eq!(backend(&sources().file("[backend]\ntype = \"sqlite\"")), Backend::Sqlite);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    assert_eq!(sources().variable("CODEX_ARCHIVE_URL", "").load().origin("backend.url"), Some(&Origin::Default));
}

#[test]
fn unknown_variables_are_warned_about() {
    let warnings = sources()
        .variable("CODEX_ARCHIVE_LOGLEVEL", "x")
        .variable("CODEX_ACTOR", "x")
        .variable("CODEX_X", "x")
        .warnings();
    assert_eq!(
        warnings,
        ["unknown variable `CODEX_ARCHIVE_LOGLEVEL` is ignored, the nearest known is `CODEX_ARCHIVE_LOG_LEVEL`"]
    );
}
