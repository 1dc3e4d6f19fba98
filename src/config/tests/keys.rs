//! The list of keys against the page, the template and the Python tool's handbook.

use super::*;

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = Config::default();
    assert_eq!(config.url.place(), Some(&Place::Default));
    assert_eq!(config.logging.evidence_file, Place::Default);
    assert_eq!(
        (config.logging.level, config.logging.format, config.logging.file.as_deref()),
        (log::Level::Info, log::Format::Auto, None)
    );
    assert_eq!(config.retry.policy(), Policy::once());
    assert_eq!((config.batch.max_concurrent, config.batch.timeout_per_item.as_secs()), (5, 300));
    assert_eq!(config.governance.approval_ttl.as_secs(), 30 * 86_400);
    assert_eq!((config.storage.level, config.storage.repack_level), (3, 19));
    assert_eq!(config.settings().count(), KEYS.len());
    assert!(config.settings().all(|setting| setting.origin == Origin::Default));
}

#[test]
fn the_template_says_what_is_in_force_anyway() {
    let template = template();
    assert!(sources().file(&template).load().settings().all(|setting| setting.origin == Origin::Default));
    let uncommented: String =
        template.lines().flat_map(|line| [line.strip_prefix("# ").unwrap_or(line), "\n"]).collect();
    let config = sources().file(&uncommented).load();
    for (setting, default) in config.settings().zip(Config::default().settings()) {
        assert_eq!(setting.value, default.value);
        assert_eq!(
            matches!(setting.origin, Origin::File { .. }),
            setting.key.default.is_some(),
            "{}",
            setting.key.name
        );
    }
    for key in KEYS {
        assert!(template.lines().any(|line| line.starts_with('#')
            && line.contains(&format!(" {} = ", key.last()))
            && line.ends_with(key.help)));
    }
    assert!(needs_trust(&template, None).is_empty());
}

#[test]
fn the_page_lists_every_key() {
    let page = include_str!("../../../docs/configuration.md");
    for key in KEYS {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}`", key.name)));
        let row = row.unwrap_or_else(|| panic!("`{}` is not in docs/configuration.md", key.name));
        let default = key.default.map_or("| not set |".to_owned(), |default| format!("| `{default}` |"));
        assert!(row.contains(&default), "{row}");
        assert!(key.variables().iter().all(|variable| row.contains(&format!("`{variable}`"))), "{row}");
        assert!(key.alias.is_none_or(|alias| row.contains(&format!("(alias `{}.{alias}`)", key.section()))), "{row}");
        if let Kind::Choice(words, spellings) = key.kind {
            assert!(
                words
                    .iter()
                    .chain(spellings.iter().map(|(spelling, _)| spelling))
                    .all(|word| row.contains(&format!("`{word}`"))),
                "{row}"
            );
        }
        if let Kind::Integer(least, most) = key.kind
            && key.default.is_some()
        {
            assert!(row.contains(&format!("{least} to {most}")), "{row}");
        }
    }
    assert_eq!(page.lines().filter(|line| line.starts_with("| `") && line.contains("CODEX_")).count(), KEYS.len());
}

#[test]
fn the_python_tools_examples_load() {
    let config = sources()
        .file(concat!(
            "[backend]\nbackend = \"postgres\"\nurl = \"postgresql://codex:***@db/archive\"\n",
            "[logging]\nlevel = \"info\"\nformat = \"json\"\n[retry]\nmax_attempts = 4\ninitial_delay = 1.0\n",
            "[batch]\nresults_path = \"./.codex/archive/batch_results.json\"\nprogress_interval = 5\n",
            "[performance]\nenabled = true\nemit_to_evidence = true\n"
        ))
        .variable("CODEX_ARCHIVE_URL", "sqlite:///./.codex/test.sqlite")
        .variable("CODEX_ARCHIVE_RETRY_ATTEMPTS", "2")
        .load();
    assert_eq!(config.url.place(), Some(&Place::Path("./.codex/test.sqlite".into())));
    assert_eq!(
        config.origin("retry.max_attempts"),
        Some(&Origin::Environment { name: "CODEX_ARCHIVE_RETRY_ATTEMPTS".into() })
    );
    let config = sources()
        .file("[backend]\ntype = \"postgres\"\nurl = \"postgres://archive_user:${DB_PASSWORD}@db.prod.example.com/archive_db\"\n[performance]\nenable_metrics = true")
        .variable("DB_PASSWORD", "canary")
        .load();
    assert_eq!(config.url.expose(), "postgres://archive_user:canary@db.prod.example.com/archive_db");
    assert_eq!(config.url.to_string(), "postgres://archive_user:***@db.prod.example.com/archive_db");
}
