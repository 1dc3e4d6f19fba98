//! Passwords of real logins, right and wrong: no form of one is ever told.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use git_archive_tomb::fault::VARIABLE;

use super::faults::Stopped;
use super::{Database, KINDS, Kind, Login};
use crate::common::{Repo, World};

/// Passwords with what has a meaning in URLs, SQL, JSON, TOML, shells and terminals.
const PASSWORDS: [&str; 8] = [
    "Canary1",
    "Canary@2:/?#[]",
    "Canary%41%zz",
    "Canary'\"`\\3",
    "Canary {4} $HOME ${X}",
    "Canary&sslmode=disable;=5+",
    "Canaryé字6",
    "!Canary<7>|*~^,.()-_",
];

/// Returns the text percent-encoded, each byte of it.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").unwrap();
        encoded
    })
}

/// Returns the forms in which a password could be told.
fn forms(password: &str) -> Vec<String> {
    let mut forms = vec![
        password.to_owned(),
        "anary".to_owned(),
        encoded(password),
        encoded(password).to_lowercase(),
        serde_json::Value::from(password).to_string().trim_matches('"').to_owned(),
        format!("{:?}", password.as_bytes()),
        password.bytes().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        }),
    ];
    // Whatever stands before it, the bytes begin at one of three places of a group, and only whole groups are the same.
    for padding in 0..3 {
        let text = format!("{}{password}", "x".repeat(padding));
        for engine in [BASE64_STANDARD, BASE64_URL_SAFE] {
            let whole = engine.encode(&text);
            let inner = &whole[if padding == 0 { 0 } else { 4 }..whole.len() / 4 * 4 - 4];
            if inner.len() >= 8 {
                forms.push(inner.to_owned());
            }
        }
    }
    forms
}

#[track_caller]
fn assert_untold(text: &str, password: &str, what: &str) {
    for form in forms(password) {
        assert!(!text.contains(&form), "{what}: {form:?} in {text}");
    }
}

/// Asserts that no file below `folder` has a form of the password, but for those that `is_allowed`.
fn assert_no_file_tells(folder: &Path, password: &str, is_allowed: &dyn Fn(&Path) -> bool) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            assert_no_file_tells(&path, password, is_allowed);
        } else if let (false, Ok(bytes)) = (is_allowed(&path), std::fs::read(&path)) {
            assert_untold(&String::from_utf8_lossy(&bytes), password, &path.display().to_string());
        }
    }
}

/// Returns the command lines of a process and of those that it started.
fn command_lines(process: u32) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir("/proc").unwrap().map_while(Result::ok) {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        if parent == Some(process) || entry.file_name().to_str() == Some(&process.to_string()) {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            writeln!(text, "{}", String::from_utf8_lossy(&line)).unwrap();
        }
    }
    text
}

/// Gives the program the URL by one of the ways that there are; returns where it runs and what comes before a command.
fn given<'a>(repo: &Repo<'a>, url: &str, way: usize) -> (Repo<'a>, Vec<String>) {
    match way % 3 {
        0 => (repo.with("CODEX_ARCHIVE_URL", url), Vec::new()),
        1 => {
            repo.git(&["config", "archivetomb.backend.url", url]);
            (repo.clone(), Vec::new())
        }
        _ => {
            let file = repo.path.join(".git/secret.toml");
            // In TOML `${` asks for a variable; in a URL it is percent-encoded anyway.
            std::fs::write(&file, format!("[backend]\nurl = {}\n", serde_json::Value::from(url))).unwrap();
            (repo.clone(), vec!["--config-file".to_owned(), file.to_str().unwrap().to_owned()])
        }
    }
}

#[test]
fn no_form_of_a_password_is_told_whether_it_is_right_or_wrong() {
    for kind in KINDS {
        let database = Database::new(kind);
        let user = format!("u_{}", database.login.database);
        match kind {
            Kind::Postgres => {
                database.login.sql(&format!("CREATE ROLE {user} LOGIN SUPERUSER"));
            }
            Kind::Mariadb => {
                database.login.sql(&format!("CREATE USER {user}@'127.0.0.1'"));
                database.login.sql(&format!("GRANT ALL ON {}.* TO {user}@'127.0.0.1'", database.login.database));
            }
        }
        for (number, password) in PASSWORDS.into_iter().enumerate() {
            let quoted = match kind {
                Kind::Postgres => password.replace('\'', "''"),
                Kind::Mariadb => password.replace('\\', "\\\\").replace('\'', "\\'"),
            };
            database.login.sql(&match kind {
                Kind::Postgres => format!("ALTER ROLE {user} PASSWORD '{quoted}'"),
                Kind::Mariadb => format!("ALTER USER {user}@'127.0.0.1' IDENTIFIED BY '{quoted}'"),
            });
            let world = World::new();
            let repo = world.sample("project");
            let repo = repo.with("CODEX_ARCHIVE_LOGGING_FILE", "run.log").with("CODEX_ARCHIVE_LOG_LEVEL", "trace");
            let login = Login { user: user.clone(), password: encoded(password), ..database.login.clone() };
            // Half of them as a parameter.
            let url = if number % 2 == 0 {
                login.url()
            } else {
                login.url().replace(&format!(":{}@", login.password), "@") + "?password=" + &login.password
            };
            let (acting, before) = given(&repo, &url, number);
            let run = |repo: &Repo<'_>, arguments: &[&str], code: i32| {
                let before: Vec<&str> = before.iter().map(String::as_str).collect();
                let run = repo.tomb(&[&before[..], arguments].concat());
                let what = format!("{kind:?} {password} {arguments:?}: {run}");
                assert_eq!(run.code, Some(code), "{what}");
                assert_untold(&run.all_text(), password, &what);
            };
            run(&acting, &["-vv", "init", "--no-hooks"], 0);
            run(&acting, &["-vv", "store", "docs"], 0);
            repo.write("rows.csv", format!("tombstone,output\n{},back.md\n", repo.tombstone_at("docs/old.md")));
            run(&acting, &["-vv", "batch-restore", "rows.csv", "--results", "results.json"], 0);
            run(&acting, &["config-show"], 0);
            run(&acting.with(VARIABLE, "panic"), &["list"], 1);
            if number == 0 {
                let stopped = Stopped::at("bytes", &acting, &["store", "src"]);
                assert_untold(&command_lines(stopped.id()), password, "a command line");
                assert!(stopped.finish().code == Some(0));
            }
            // The same URL, and the server has another password.
            database.login.sql(&match kind {
                Kind::Postgres => format!("ALTER ROLE {user} PASSWORD 'another'"),
                Kind::Mariadb => format!("ALTER USER {user}@'127.0.0.1' IDENTIFIED BY 'another'"),
            });
            run(&acting, &["-vv", "health-check"], 6);
            run(&acting, &["--json", "health-check"], 6);
            run(&acting, &["store", "README.md"], 6);
            run(&acting, &["batch-restore", "rows.csv", "--results", "results.json"], 6);
            let configuration = [repo.path.join(".git/config"), repo.path.join(".git/secret.toml")];
            assert_no_file_tells(&repo.world.at("").path, password, &|path| {
                configuration.iter().any(|ours| ours == path)
            });
        }
        match kind {
            Kind::Postgres => {
                database.login.sql(&format!("REASSIGN OWNED BY {user} TO CURRENT_USER; DROP OWNED BY {user}"));
                database.login.sql(&format!("DROP ROLE {user}"))
            }
            Kind::Mariadb => database.login.sql(&format!("DROP USER {user}@'127.0.0.1'")),
        };
    }
}
