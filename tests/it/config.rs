//! Configuration, trust, the log and secrets, as the program sees them: every layer, every key, every way a URL can hide
//! a password.

use std::fmt::Write as _;
use std::path::Path;

use git_archive_tomb::config::{KEYS, Key, Kind};

use crate::common::{Repo, Run, World};

/// Returns a value that is not the key's default, as TOML writes it and as the environment does.
fn another_value(key: &Key) -> (String, String) {
    let quoted = |text: &str| (format!("\"{text}\""), text.to_owned());
    match (key.name, &key.kind) {
        ("backend.type", _) => quoted("sqlite"),
        ("backend.url", _) => quoted("sqlite:///elsewhere.sqlite"),
        ("storage.driver", _) => quoted("db"),
        (_, Kind::Boolean) => {
            let other = if key.default == Some("true") { "false" } else { "true" };
            (other.to_owned(), other.to_owned())
        }
        (_, Kind::Integer(least, _)) => ((least + 1).to_string(), (least + 1).to_string()),
        (_, Kind::Seconds(..) | Kind::Number(..)) => ("7.5".to_owned(), "7.5".to_owned()),
        (_, Kind::Duration) => quoted("45d"),
        (_, Kind::Choice(words, _)) => quoted(words.last().unwrap()),
        (_, Kind::Path) => quoted("place"),
        (_, Kind::ArchiveUrl | Kind::StoreUrl) => quoted("s3://bucket/prefix"),
    }
}

/// Returns how `config-show` says a key is set, and from which layer.
fn shown(repo: &Repo<'_>, key: &Key, arguments: &[&str]) -> (serde_json::Value, String) {
    let run = repo.tomb_ok(&[&["--json", "config-show"], arguments].concat());
    let entry = run.json().into_iter().find(|entry| entry["key"] == key.name).unwrap();
    (entry["value"].clone(), entry["origin"]["layer"].as_str().unwrap().to_owned())
}

/// Returns the key as git config spells it.
fn camel(section: &str, key: &str) -> String {
    let mut camel = format!("archivetomb.{section}.");
    for (number, word) in key.split('_').enumerate() {
        let (first, rest) = word.split_at(usize::from(number > 0));
        let _ = write!(camel, "{}{rest}", first.to_uppercase());
    }
    camel
}

#[test]
fn every_key_can_be_set_in_every_layer_and_says_where_it_is_from() {
    let world = World::new();
    let repo = world.init("project");
    for key in KEYS {
        let (section, name) = key.name.split_once('.').unwrap();
        let (toml, text) = another_value(key);
        let expected = |(value, layer): (serde_json::Value, String), wanted: &str| {
            assert_eq!(layer, wanted, "{}", key.name);
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(value, text, "{} from {wanted}", key.name);
        };
        for variable in git_archive_tomb::config::environment::variables_of(key) {
            if variable != "CODEX_EVIDENCE_DIR" {
                expected(shown(&repo.with(&variable, &text), key, &[]), "environment");
            }
        }
        for name in std::iter::once(name).chain(key.alias) {
            repo.write("named.toml", format!("[{section}]\n{name} = {toml}\n"));
            expected(shown(&repo, key, &["--config-file", "named.toml"]), "file");
            let git = format!("{}={text}", camel(section, name));
            let run = Run::from(
                repo.command("git").args(["-c", &git, "archive-tomb", "--json", "config-show"]).output().unwrap(),
            );
            let entry = run.exits(0).json().into_iter().find(|entry| entry["key"] == key.name).unwrap();
            expected((entry["value"].clone(), entry["origin"]["layer"].as_str().unwrap().to_owned()), "git-config");
        }
    }
}

#[test]
fn the_higher_layer_wins() {
    let world = World::new();
    let repo = world.init("project");
    let shown = |repo: &Repo<'_>, option: &[&str]| {
        let text = repo.tomb_ok(&[option, &["config-show"]].concat()).stdout_text();
        text.lines().find(|line| line.starts_with("batch.max_concurrent = ")).unwrap().to_owned()
    };
    assert_eq!(shown(&repo, &[]), "batch.max_concurrent = 5  # default");
    repo.git(&["config", "--global", "archivetomb.batch.maxConcurrent", "6"]);
    assert!(shown(&repo, &[]).starts_with("batch.max_concurrent = 6  # git config `archivetomb.batch.maxconcurrent`"));
    repo.git(&["config", "archivetomb.batch.maxConcurrent", "7"]);
    assert!(shown(&repo, &[]).starts_with("batch.max_concurrent = 7  # git config"));
    repo.write(".codex/archive.toml", "# a file\n[batch]\nmax_concurrent = 8\n");
    assert_eq!(shown(&repo, &[]), "batch.max_concurrent = 8  # `.codex/archive.toml:3:1`");
    repo.write("other.toml", "[batch]\nconcurrent = 9\n");
    assert!(shown(&repo, &["--config-file", "other.toml"]).starts_with("batch.max_concurrent = 9  # "));
    let environment = repo.with("CODEX_ARCHIVE_BATCH_CONCURRENT", "10");
    let expected = "batch.max_concurrent = 10  # variable `CODEX_ARCHIVE_BATCH_CONCURRENT`";
    assert_eq!(shown(&environment, &["--config-file", "other.toml"]), expected);
    assert_eq!(shown(&environment.below(".codex"), &[]), expected);
    assert_eq!(
        shown(&repo.with("CODEX_ARCHIVE_BATCH_CONCURRENT", ""), &[]),
        "batch.max_concurrent = 8  # `.codex/archive.toml:3:1`"
    );
}

#[test]
fn mistakes_name_file_line_and_key_and_nothing_runs() {
    let world = World::new();
    let repo = world.sample("project");
    for (text, expected) in [
        ("[retry]\nmax_atempts = 3\n", &[".codex/archive.toml:2:1", "retry.max_atempts", "max_attempts"][..]),
        ("[rety]\nenabled = true\n", &[".codex/archive.toml:", "rety", "retry"]),
        ("[retry]\nmax_attempts = \"3\"\n", &[".codex/archive.toml:2:", "retry.max_attempts"]),
        ("[retry]\nmax_attempts = 11\n", &[".codex/archive.toml:2:", "retry.max_attempts", "10"]),
        (
            "[batch]\nmax_concurrent = 3\nconcurrent = 3\n",
            &[".codex/archive.toml:3:1", "batch.max_concurrent", "other name"],
        ),
        ("[backend]\ntype = \"oracle\"\n", &["oracle", "sqlite, postgres or mariadb"]),
        ("[backend]\ntype = \"mariadb\"\nurl = \"sqlite:///x\"\n", &["backend.type", "backend.url"]),
        ("[backend]\nurl = \"${MISSING}\"\n", &["MISSING"]),
        ("[backend\n", &[".codex/archive.toml:1:"]),
    ] {
        repo.write(".codex/archive.toml", text);
        let run = repo.tomb(&["store", "docs"]).exits(2);
        for part in expected {
            assert!(run.stderr_text().contains(part), "{text}{part}: {run}");
        }
        assert!(run.stdout.is_empty());
        assert!(!repo.exists(".git/archive-tomb/archive.sqlite"), "{text}");
    }
    repo.write(".codex/archive.toml", "");
    let run = repo.with("CODEX_ARCHIVE_RETRY_MAXX", "3").tomb_ok(&["config-show"]);
    assert!(run.stderr_text().contains("warning:") && run.stderr_text().contains("CODEX_ARCHIVE_RETRY_MAXX"), "{run}");
}

#[test]
fn a_tracked_file_is_used_only_after_trust_in_its_very_bytes() {
    let world = World::new();
    for text in [
        "[backend]\nurl = \"postgres://host/db\"\n",
        "[logging]\nfile = \"${HOME}/x\"\n",
        "[logging]\nfile = \"/tmp/outside.log\"\n",
        "[logging]\nfile = \"../outside.log\"\n",
        "[logging]\nfile = \".git/hooks/pre-commit\"\n",
        "[logging]\nevidence_file = \"/tmp/outside.jsonl\"\n",
        "[backend]\nurl = \"sqlite:////tmp/outside.sqlite\"\n",
        "[governance]\nrestore_approvals = 1\n",
        "[hooks]\nrequire_copies = 1\n",
        "[storage]\nlevel = 4\n",
    ] {
        let repo = world.init(&format!("r{}", git_archive_tomb::id::Sha256::of(text.as_bytes())));
        repo.write(".codex/archive.toml", text);
        repo.tomb_ok(&["config-show"]);
        repo.git(&["add", "-f", ".codex/archive.toml"]);
        let refused = repo.tomb(&["config-show"]).exits(2);
        assert!(refused.stderr_text().contains("git archive-tomb trust"), "{text}{refused}");
        repo.tomb(&["store", "."]).exits(2);
        repo.tomb_ok(&["trust"]);
        repo.tomb_ok(&["config-show"]);
        repo.write(".codex/archive.toml", format!("{text}\n"));
        repo.tomb(&["config-show"]).exits(2);
        repo.write(".codex/archive.toml", text);
        repo.tomb_ok(&["config-show"]);
    }
}

#[test]
fn trust_needs_git_to_track_the_file_in_index_or_head_in_any_case() {
    let world = World::new();
    let repo = world.init("project");
    let rule = "[hooks]\nrequire_copies = 1\n";
    repo.write(".codex/archive.toml", rule);
    repo.tomb_ok(&["config-show"]);
    repo.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("100644,{},.Codex/Archive.TOML", repo.git(&["hash-object", "-w", ".codex/archive.toml"])),
    ]);
    repo.tomb(&["config-show"]).exits(2);
    repo.commit("first");
    repo.git(&["rm", "-q", "--cached", ".Codex/Archive.TOML"]);
    let refused = repo.tomb(&["config-show"]).exits(2);
    assert!(refused.stderr_text().contains("hooks.require_copies"), "still in HEAD: {refused}");
    // What a higher layer sets is not asked about.
    repo.with("CODEX_ARCHIVE_HOOKS_REQUIRE_COPIES", "0").tomb_ok(&["config-show"]);
    // Only this clone's own trust counts.
    let digest = git_archive_tomb::config::trust_digest(rule.as_bytes()).to_string();
    repo.git(&["config", "--global", "--add", "archivetomb.trusted", &digest]);
    repo.tomb(&["config-show"]).exits(2);
    repo.git(&["config", "--add", "archivetomb.trusted", &digest]);
    repo.tomb_ok(&["config-show"]);
}

#[test]
fn the_file_that_init_writes_is_trusted() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["init"]);
    repo.git(&["add", ".codex/archive.toml"]);
    let run = repo.tomb_ok(&["trust"]);
    assert_eq!(repo.git(&["config", "--get-all", "archivetomb.trusted"]).lines().count(), 1, "{run}");
    repo.tomb_ok(&["config-show"]);
}

#[test]
fn the_operations_log_goes_where_it_is_told() {
    let world = World::new();
    let repo = world.sample("project");
    repo.with("CODEX_EVIDENCE_DIR", "new/logs").tomb_ok(&["store", "docs"]);
    assert!(repo.read_text("new/logs/archive_ops.jsonl").contains("\"action\":\"ARCHIVE\""));
    repo.write("c.toml", "[logging]\nevidence_file = \"own.jsonl\"\n");
    repo.tomb_ok(&["--config-file", "c.toml", "restore", "docs/old.md", "x"]);
    assert!(repo.read_text("own.jsonl").contains("\"action\":\"RESTORE\""));
    let log = repo.tomb_ok(&["--config-file", "c.toml", "evidence", "log"]).stdout_text();
    assert_eq!(log.lines().count(), 1);
}

#[test]
fn the_log_has_level_format_and_file() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "docs"]);
    repo.commit("archive");
    let restore = |repo: &Repo<'_>, options: &[&str]| {
        repo.tomb_ok(&[&["restore", "docs/old.md", "copy.md", "--force"], options].concat()).stderr_text()
    };
    let json: Vec<serde_json::Value> =
        restore(&repo, &[]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<_> = json.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert!(messages[0] == "Restore started" && messages[1].starts_with("Decompression completed in "), "{messages:?}");
    assert!(messages[2].starts_with("File written in ") && messages[3].starts_with("Restore completed in "));
    for line in &json {
        assert_eq!(
            (&line["level"], &line["action"], &line["backend"]),
            (&"info".into(), &"RESTORE".into(), &"sqlite".into())
        );
        assert_eq!(line["actor"], "A Maintainer <maintainer@example.org>");
        assert!(line["tombstone"].is_string());
    }
    std::fs::remove_file(repo.path.join("copy.md")).unwrap();
    let text = restore(&repo.with("CODEX_ARCHIVE_LOG_FORMAT", "text"), &[]);
    assert!(text.lines().next().unwrap().ends_with("Z] INFO   Restore started"), "{text}");
    for (level, options, lines) in
        [("warn", &[][..], 0), ("warning", &["-v"], 6), ("info", &["-q"], 0), ("debug", &[], 6)]
    {
        std::fs::remove_file(repo.path.join("copy.md")).unwrap();
        let log = restore(&repo.with("CODEX_ARCHIVE_LOG_LEVEL", level), options);
        assert_eq!(log.lines().count(), lines, "{level} {options:?}: {log}");
    }
    std::fs::remove_file(repo.path.join("copy.md")).unwrap();
    restore(&repo.with("CODEX_ARCHIVE_LOGGING_FILE", "restore.log"), &["-q"]);
    assert_eq!(repo.read_text("restore.log").lines().count(), 4, "the file keeps to the configured level");
    repo.with("CODEX_ARCHIVE_LOGGING_FILE", "missing/folder.log").tomb(&["list"]).exits(2);
}

#[test]
fn metrics_switches_decide_on_measurements_and_never_on_records() {
    const MEASUREMENTS: [&str; 3] = ["duration_ms", "decompression_ms", "write_ms"];
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "docs", "src/legacy"]);
    repo.commit("archive");
    let mut records = 0;
    // Which measurements records have, and which the log tells.
    for (switch, recorded, logged) in [
        ("", [true, true, true], [true, true, true]),
        ("enabled = false", [false; 3], [false; 3]),
        ("enable_metrics = false", [false; 3], [false; 3]),
        ("emit_to_evidence = false", [false; 3], [true; 3]),
        ("track_decompression = false", [true, false, false], [true, false, false]),
    ] {
        repo.write("c.toml", format!("[performance]\n{switch}\n"));
        let options = ["--config-file", "c.toml", "restore", "--force", "docs/old.md"];
        for output in [&["elsewhere.md"][..], &[]] {
            let _ = std::fs::remove_file(repo.path.join("elsewhere.md"));
            let run = repo.tomb_ok(&[&options, output].concat());
            let log = run.stderr_text();
            let told = ["Restore completed in ", "Decompression completed in ", "File written in "];
            assert_eq!(told.map(|words| log.contains(words)), logged, "{switch}: {log}");
            assert!(log.contains("Restore completed"));
            let log = repo.tomb_ok(&["evidence", "log", "--action", "RESTORE", "--json"]).json();
            let last = log.iter().rfind(|record| record["status"] != "intent").unwrap();
            assert_eq!(MEASUREMENTS.map(|name| last.get(name).is_some()), recorded, "{switch}: {last}");
            let finished = log.iter().filter(|record| record["status"] != "intent").count();
            assert_eq!(finished, records + 1, "{switch}");
            records = finished;
        }
        repo.git(&["reset", "-q", "--hard"]);
        repo.git(&["clean", "-qfd", ".codex"]);
    }
    let failed = repo.with("CODEX_ARCHIVE_PERFORMANCE_ENABLED", "false");
    failed.tomb(&["restore", "docs/missing.md"]).exits(3);
    failed.tomb_ok(&["health-check"]);
    let log = repo.tomb_ok(&["evidence", "log", "--json"]).json();
    let [.., restore, health] = &log[..] else { panic!("two records") };
    assert_eq!((&restore["action"], &health["action"]), (&"RESTORE_FAIL".into(), &"HEALTH_CHECK".into()));
    assert!(restore.get("duration_ms").is_none() && health.get("duration_ms").is_none());
}

#[test]
fn stub_style_and_storage_level_are_honoured() {
    let world = World::new();
    let repo = world.sample("project");
    let text: String = (0..20_000).fold(String::new(), |mut text, number: u32| {
        let _ = writeln!(text, "{} {}", number.wrapping_mul(2_654_435_761) % 977, number % 31);
        text
    });
    repo.write("numbers.txt", text);
    repo.commit_all("numbers");
    repo.with("CODEX_ARCHIVE_STUB_STYLE", "comment").tomb_ok(&["store", "src/legacy/old.py"]);
    assert!(!repo.read_text("src/legacy/old.py").contains("raise"));
    repo.with("CODEX_ARCHIVE_STUB_STYLE", "comment").tomb_ok(&["store", "src/keep.py", "--stub", "loud"]);
    assert!(repo.read_text("src/keep.py").contains("raise"));
    let size = |level: &str| {
        let clone = format!("level-{level}");
        repo.git(&["clone", "-q", ".", &format!("../{clone}")]);
        let stored =
            world.at(&clone).with("CODEX_ARCHIVE_STORAGE_LEVEL", level).tomb_ok(&["store", "numbers.txt"]).json();
        stored[0]["compressed_size"].as_u64().unwrap()
    };
    assert!(size("1") > size("19"));
}

#[test]
fn a_busy_archive_is_tried_again_and_each_retry_is_recorded() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["init"]);
    let archive = repo.path.join(".git/archive-tomb/archive.sqlite");
    let lock = rusqlite::Connection::open(archive).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut child = repo
        .with("CODEX_ARCHIVE_RETRY_ENABLED", "true")
        .with("CODEX_ARCHIVE_RETRY_INITIAL_DELAY", "0.1")
        .command(env!("CARGO_BIN_EXE_git-archive-tomb"))
        .args(["store", "docs"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // It gives up waiting after the busy timeout, says so, and waits again.
    let log = repo.path.join(".git/archive-tomb/archive_ops.jsonl");
    let retried = || std::fs::read_to_string(&log).unwrap_or_default().contains("\"status\":\"retrying\"");
    let start = std::time::Instant::now();
    while !retried() && start.elapsed().as_secs() < 60 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    lock.execute_batch("ROLLBACK").unwrap();
    assert!(child.wait().unwrap().success());
    let records = repo.tomb_ok(&["evidence", "log", "--json"]).json();
    let retry = records.iter().find(|record| record["status"] == "retrying").unwrap();
    assert_eq!((&retry["action"], &retry["attempt"], &retry["level"]), (&"ARCHIVE".into(), &1.into(), &"warn".into()));
    assert!(retry["error"].as_str().unwrap().contains("the archive is busy"), "{retry}");
    let done = records.iter().find(|record| record["status"] == "stored").unwrap();
    assert_eq!(done["op"], retry["op"]);
}

/// The parts of a secret that no output may show.
const CANARY: &str = "Canary";

/// URLs with secrets in every place that a URL has one, well-formed and not.
fn secret_urls() -> Vec<String> {
    let schemes = [
        "postgres",
        "postgresql",
        "postgresql+psycopg2",
        "mysql",
        "mariadb",
        "mysql+pymysql",
        "MARIADB",
        "sqlite",
        "oracle",
        "http",
    ];
    let mut urls = Vec::new();
    for scheme in schemes {
        urls.push(format!("{scheme}://user:Canary1@host/db"));
        urls.push(format!("{scheme}://user:Canary1@host:5432/db?sslmode=require&password=Canary2"));
    }
    for rest in [
        ":Canary1@host/db",
        "user:Canary1@",
        "user:Canary1@host:notaport/db",
        "user:Canary%31@host/db",
        "user:Canary 1@host/db",
        "user:Canary@1@host/db",
        "user:Canary:1@host/db",
        "user:Canary/1@host/db",
        "user:Canary?1@host/db",
        "user:Canary#1@host/db",
        "user:%43anary1@host/db",
        "user:Canary\u{e9}@host/db",
        "user:Canary'\"1@host/db",
        "user:Canary\\1@host/db",
        "user:Canary\u{1b}1@host/db",
        "user:Canary1@[::1]:5432/db",
        "user:Canary1@host1,host2/db",
        "host/db?password=Canary1",
        "host/db?user=u&PASSWORD=Canary1",
        "host/db?sslpassword=Canary1&sslkey=Canary2",
        "host/db?passfile=Canary1",
        "host/db?unknown=Canary1",
        "host/db?options=-c%20password%3DCanary1",
        "host/db#Canary1",
        "user:Canary1@host/db?sslcert=Canary2",
        "user:Canary1@host/db;password=Canary2",
    ] {
        urls.push(format!("postgres://{rest}"));
    }
    for rest in ["/x?key=Canary1", "/x.sqlite;password=Canary1", "user:Canary1@/x"] {
        urls.push(format!("sqlite:///{rest}"));
    }
    urls.push("postgres:user:Canary1@host/db".to_owned());
    urls.push("postgres:/user:Canary1@host/db".to_owned());
    urls.push("user:Canary1@host/db".to_owned());
    urls.push(" postgres://user:Canary1@host/db".to_owned());
    assert!(urls.len() >= 40);
    urls
}

/// Asserts that no secret is in what was printed.
#[track_caller]
fn assert_kept(run: &Run, what: &str) {
    let text = run.all_text();
    assert!(!text.contains(CANARY) && !text.contains("%43anary"), "{what}: {text}");
    assert!(run.code.is_some_and(|code| code <= 6), "{what}: {run}");
}

/// Asserts that no file below `folder` has a secret.
fn assert_no_file_tells(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            assert_no_file_tells(&path);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

#[test]
fn no_secret_of_the_environment_is_ever_told() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "docs"]);
    // A git that writes down how it was called.
    repo.write("bin/git", "#!/bin/sh\nprintf '%s\\n' \"$*\" >>\"$CALLS\"\nPATH=${PATH#*:} exec git \"$@\"\n");
    repo.set_executable("bin/git");
    let path = repo.command("sh").args(["-c", "printf %s \"$PATH\""]).output().unwrap().stdout;
    let path = format!("{}:{}", repo.path.join("bin").display(), String::from_utf8(path).unwrap());
    let repo = repo.with("PATH", path).with("CALLS", repo.path.join("calls.txt"));
    for url in secret_urls() {
        let secret = repo.with("CODEX_ARCHIVE_URL", &url);
        for command in [&["-v", "config-show"][..], &["-vv", "health-check"], &["restore", "docs/old.md", "-"]] {
            assert_kept(&secret.tomb(command), &format!("{url} {command:?}"));
        }
        let other = secret.with("CODEX_ARCHIVE_RETRY_MAX", &url).with("CODEX_ARCHIVE_LOG_LEVEL", &url);
        assert_kept(&other.tomb(&["list"]), &url);
        if url.contains("://") {
            assert_kept(&repo.tomb(&["list", &url]), &url);
        }
    }
    assert!(repo.read_text("calls.txt").lines().count() > 100);
    assert_no_file_tells(&world.at("").path);
}

#[test]
fn no_secret_of_a_file_or_of_git_config_is_ever_told() {
    let world = World::new();
    let repo = world.sample("project");
    for (number, url) in secret_urls().iter().enumerate() {
        let mut text = String::from("[backend]\nurl = ");
        let _ = writeln!(text, "{}", serde_json::Value::from(url.as_str()));
        // A mistake beside it, whose message may want to show the line.
        if number % 2 == 1 {
            text.push_str("tipe = \"sqlite\"\n");
        }
        repo.write("secret.toml", text);
        let run = repo.tomb(&["-v", "--config-file", "secret.toml", "config-show"]);
        assert_kept(&run, url);
        let git = format!("archivetomb.backend.url={url}");
        let run = repo.command("git").args(["-c", &git, "archive-tomb", "-v", "health-check"]).output().unwrap();
        assert_kept(&Run::from(run), url);
    }
    repo.write("secret.toml", "[backend]\nurl = \"postgres://user:Canary1@host/db\ntype = 3\n");
    assert_kept(&repo.tomb(&["--config-file", "secret.toml", "config-show"]).exits(2), "broken TOML");
    std::fs::remove_file(repo.path.join("secret.toml")).unwrap();
    assert_no_file_tells(&world.at("").path);
}

#[test]
fn debug_shows_the_url_whole_and_a_readable_file_with_a_password_is_warned_about() {
    let world = World::new();
    let repo = world.init("project");
    repo.write(".codex/archive.toml", "[backend]\nurl = \"postgres://user:Canary1@host/db\"\n");
    let run = repo.tomb_ok(&["config-show", "--debug"]);
    assert!(run.stdout_text().contains("URL: postgres://user:Canary1@host/db\n"), "{run}");
    assert!(run.stderr_text().contains("warning:"), "{run}");
    let hidden = repo.tomb_ok(&["config-show"]);
    assert!(hidden.stdout_text().contains("URL: postgres://user:***@host/db (credentials redacted)\n"), "{hidden}");
}

#[cfg(not(feature = "net"))]
#[test]
fn a_build_without_servers_and_object_stores_says_so() {
    let world = World::new();
    let repo = world.init("project");
    let store =
        repo.with("CODEX_ARCHIVE_STORAGE_DRIVER", "object").with("CODEX_ARCHIVE_STORAGE_URL", "file:///nowhere");
    let server = repo.with("CODEX_ARCHIVE_URL", "postgres://somebody:secret@localhost/archive");
    for (repo, place) in [(store, "file:///nowhere"), (server, "postgres://somebody:***@localhost/archive")] {
        let refused = repo.tomb(&["init", "--no-hooks"]).exits(2).stderr_text();
        let expected = format!("error: cannot use `{place}`: this program was built without the feature `net`");
        assert!(refused.contains(&expected), "{refused}");
    }
}
