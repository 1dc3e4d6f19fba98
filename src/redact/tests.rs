use proptest::prelude::*;

use super::*;
use crate::config::ArchiveUrl;

const CANARY: &str = "hunter2-canary";

/// URL shapes with `CANARY` where a secret can stand, well-formed and not.
const SHAPES: &[&str] = &[
    "postgres://user:CANARY@host/db",
    "postgresql://user:CANARY@host:5432/db",
    "postgresql+psycopg2://user:CANARY@host/db",
    "mysql://user:CANARY@host:3306/db",
    "mysql+pymysql://user:CANARY@host/db?charset=utf8mb4",
    "mariadb://user:CANARY@host/db",
    "mariadb+mariadbconnector://user:CANARY@127.0.0.1/db",
    "postgres://:CANARY@host/db",
    "postgres://user:CANARY@/db",
    "postgres://user:CANARY@host",
    "postgres://user:CANARY@[::1]:5432/db",
    "postgres://user:CANARY@h1:5432,h2:5433/db",
    "postgres://user:CANARY@%2Fvar%2Frun%2Fpostgresql/db",
    "postgres://us%40er:CANARY%40@host/db",
    "postgres://host/db?password=CANARY",
    "postgres://host/db?user=u&password=CANARY&sslmode=require",
    "postgres://host/db?sslpassword=CANARY",
    "postgres://host/db?sslkey=/CANARY",
    "postgres://host/db?passfile=/CANARY",
    "postgres://host/db?PASSWORD=CANARY",
    "postgres://host/db?%70assword=CANARY",
    "postgres://host/db?token=CANARY",
    "postgres://host/db?access_token=CANARY",
    "postgres://host/db?options=-c%20x%3DCANARY",
    "postgres://host/db?CANARY",
    "postgres://host/db?=CANARY",
    "postgres://host/db?CANARY=1",
    "postgres://host/db?sslmode=require;password=CANARY",
    "postgres://host/db?sslmode=%43CANARY",
    "postgres://host/db?application_name=a&application_name=b%26password%3DCANARY",
    "postgres://host/db;password=CANARY",
    "postgres://host/db#CANARY",
    "postgres://host/db?password=a#CANARY",
    "postgres://user:pa/CANARY@host/db",
    "postgres://user:12/CANARY@host/db",
    "postgres://user:12?CANARY@host/db",
    "postgres://user:12#CANARY@host/db",
    "postgres://user:a@CANARY@host/db",
    "postgres://user:CANARY@b@host/db",
    "postgres://user:CANARY:more@host/db",
    "postgres://user:CANARY",
    "postgres://user:CANARY/db",
    "postgres://user%3ACANARY%40host/db",
    "postgres://user:CANARY@ho st/db",
    "postgres://user:CANARY @host/db",
    "postgres://user:CANARY\n@host/db",
    "postgres://user:CANARY\u{1b}[31m@host/db",
    "postgres://user:CANARY@host:99999/db",
    "postgres://user:CANARY@host:port/db",
    "postgres://user:CANARY@[::1/db",
    "postgres:/user:CANARY@host/db",
    "postgres:user:CANARY@host/db",
    "user:CANARY@host/db",
    "//user:CANARY@host/db",
    "://user:CANARY@host/db",
    "CANARY",
    "host=h password=CANARY",
    "POSTGRES://user:CANARY@host/db",
    " postgres://user:CANARY@host/db",
    "'postgres://user:CANARY@host/db'",
    "user:CANARY@x://host/db",
    "mongodb://user:CANARY@host/db",
    "jdbc:postgresql://host/db?password=CANARY",
    "s3://key:CANARY@bucket/folder",
    "sqlite://user:CANARY@host/x.sqlite",
    "sqlite:///user:CANARY@host/x.sqlite",
    "sqlite:///x.sqlite?key=CANARY",
    "sqlite:///x.sqlite;key=CANARY",
    "sqlite:///x.sqlite#CANARY",
    "sqlite:///x.sqlite%3Fkey=CANARY",
    "sqlite+pysqlcipher://:CANARY@/x.sqlite?cipher=aes-256-cfb",
];

fn shapes() -> impl Iterator<Item = String> {
    SHAPES.iter().map(|shape| shape.replace("CANARY", CANARY))
}

#[test]
fn no_shape_shows_its_secret() {
    for text in shapes() {
        let url = SecretUrl::new(&text);
        for shown in [url.to_string(), format!("{url:?}"), format!("{url:#?}"), url.redacted().to_owned()] {
            assert!(!shown.contains("canary"), "{text} is shown as {shown}");
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
        assert_eq!(url.expose(), text);
    }
}

#[test]
fn no_shape_shows_its_secret_in_an_error_or_when_parsed() {
    for text in shapes() {
        let shown = match ArchiveUrl::parse(&text) {
            Ok(url) => format!("{url} {url:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains("canary"), "{text} is shown as {shown}");
    }
}

#[test]
fn where_the_password_ends_is_not_guessed() {
    for text in [
        "postgres://user:12345/rest@host/db",
        "postgres://user:12345?rest@host/db",
        "postgres://user:12345#rest@host/db",
        "postgres://user:12345/db#rest",
        "postgres://user:12345@rest@host/db",
        "postgres://us@er:12345@host/db",
    ] {
        assert_eq!(SecretUrl::new(text).redacted(), "postgres://***", "{text}");
        assert!(ArchiveUrl::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_redactor_that_knows_a_shape_hides_it_in_any_text() {
    for text in shapes().filter(|text| text.contains(['@', '='])) {
        let url = SecretUrl::new(&text);
        // What is no URL at all has no secret that can be told from its text; it is replaced as a whole.
        let mut redactor = Redactor::new();
        redactor.add_url(&url);
        for message in [format!("cannot reach {text}: refused"), format!("({text})"), format!("{text:?}")] {
            let shown = redactor.redact(&message);
            assert!(!shown.contains("canary"), "{message} is shown as {shown}");
        }
    }
}

#[test]
fn urls_in_text_are_hidden_by_those_who_do_not_know_them() {
    let redactor = Redactor::new();
    for (text, shown) in [
        ("at postgres://u:pw@h/db, again", "at postgres://u:***@h/db, again"),
        ("(mysql://u:pw@h:1/db)", "(mysql://u:***@h:1/db)"),
        (
            "a `postgres://h/db?password=x`; b https://u:t@h/p.",
            "a `postgres://h/db?password=***`; b https://u:***@h/p.",
        ),
        ("see https://example.org/a?b=c", "see https://example.org/a?b=c"),
        ("see https://example.org/@scope/name", "see https://example.org/@scope/name"),
        (
            "sqlite:///./.codex/archive.sqlite (credentials redacted)",
            "sqlite:///./.codex/archive.sqlite (credentials redacted)",
        ),
        ("postgres://user:***@host/db?password=***", "postgres://user:***@host/db?password=***"),
        ("postgres://***", "postgres://***"),
        ("a :// b", "a :// b"),
        ("no url", "no url"),
        ("é://u:p@h é", "é***"),
    ] {
        if text.starts_with('é') {
            assert!(!redactor.redact(text).contains("u:p"), "{text}");
        } else {
            assert_eq!(redactor.redact(text), shown);
        }
    }
}

#[test]
fn what_is_no_secret_is_shown() {
    for (text, shown) in [
        ("sqlite:///./.codex/archive.sqlite", "sqlite:///./.codex/archive.sqlite"),
        ("sqlite:////srv/archives/@team/a b.sqlite", "sqlite:////srv/archives/@team/a b.sqlite"),
        ("postgres://user@localhost/archive", "postgres://user@localhost/archive"),
        ("postgres://user:pw@localhost:5432/archive", "postgres://user:***@localhost:5432/archive"),
        ("postgres://h/db?sslmode=verify-full&x=1", "postgres://h/db?sslmode=verify-full&***"),
        ("mysql://h", "mysql://h"),
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("nonsense", "***"),
        ("postgres://a b", "postgres://***"),
    ] {
        assert_eq!(SecretUrl::new(text).redacted(), shown);
    }
}

#[test]
fn secrets_are_hidden_in_every_form() {
    let mut redactor = Redactor::new();
    redactor.add_secret("p%40ss\"w/rd");
    for form in ["p%40ss\"w/rd", "p@ss\"w/rd", "p%40ss%22w%2Frd", "p%40ss%22w%2frd", "p@ss\\\"w/rd"] {
        assert_eq!(redactor.redact(&format!("<{form}>")), "<***>", "{form}");
    }
}

#[test]
fn a_longer_secret_is_hidden_before_a_shorter_one_in_it() {
    let mut redactor = Redactor::new();
    redactor.add_secret("abcd");
    redactor.add_secret("abcdef");
    assert_eq!(redactor.redact("abcdef abcd abc"), "*** *** abc");
}

#[test]
fn short_secrets_are_hidden_in_their_place_only() {
    let mut redactor = Redactor::new();
    redactor.add_url(&SecretUrl::new("postgres://u:a@h/db"));
    assert_eq!(redactor.redact("a bad day at u:a@h"), "a bad day at u:***@h");
    redactor.add_secret("");
    assert_eq!(redactor.redact("as it was"), "as it was");
}

proptest! {
    #[test]
    fn redaction_never_leaks_a_password(password in "[ -~é\u{1b}\n]{6,20}", user in "[a-z@:/]{0,6}", tail in "[a-z/?#@:&=;]{0,12}") {
        let password = format!("{password}-canary");
        for text in [
            format!("postgres://{user}:{password}@host/{tail}"),
            format!("mysql://host/{tail}?password={password}"),
            format!("postgres://{user}:{}@host/{tail}", url::percent_encode(&password)),
        ] {
            let shown = SecretUrl::new(&text).to_string();
            prop_assert!(!shown.contains("canary"), "{} is shown as {}", text, shown);
            let error = ArchiveUrl::parse(&text).map_or_else(|error| error.to_string(), |url| url.to_string());
            prop_assert!(!error.contains("canary"), "{}", error);
        }
    }

    #[test]
    fn redaction_takes_any_text(text: String, secret in ".{0,8}") {
        let mut redactor = Redactor::new();
        redactor.add_url(&SecretUrl::new(&secret));
        redactor.add_secret(&secret);
        let once = redactor.redact(&text).into_owned();
        prop_assert!(secret.len() < MIN_LENGTH || MASK.contains(&secret) || once.contains(MASK) || !once.contains(&secret));
    }
}
