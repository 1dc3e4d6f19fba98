//! MariaDB with a binary log, as every primary with replicas has one.

use super::machine::Machine;
use super::{Kind, Login};
use crate::common::World;

#[test]
fn a_binary_log_takes_a_setting_while_init_runs() {
    let world = World::new();
    let repo = world.sample("project");
    let machine = Machine::start(Kind::Mariadb, &["--log-bin=log".to_owned(), "--server-id=1".to_owned()]);
    let administrator = machine.login();
    for sql in [
        "CREATE DATABASE tombs",
        "CREATE USER anna@'127.0.0.1' IDENTIFIED BY 'secret-of-the-machine'",
        "GRANT ALL ON tombs.* TO anna@'127.0.0.1'",
    ] {
        administrator.sql(sql);
    }
    let login = Login { database: "tombs".to_owned(), user: "anna".to_owned(), ..administrator.clone() };
    let repo = repo.with("CODEX_ARCHIVE_URL", login.url());
    for _ in 0..2 {
        let error = repo.tomb(&["init", "--no-hooks"]).exits(6).stderr_text();
        assert!(
            error.contains("error: the server is not set up for an archive: it could not make the schema"),
            "{error}"
        );
        assert!(
            error.contains(
                "hint: have the server's administrator run `SET GLOBAL log_bin_trust_function_creators = ON`"
            )
        );
    }
    assert!(repo.tomb(&["store", "docs"]).exits(6).stderr_text().contains("there is no archive at"));
    administrator.sql("SET GLOBAL log_bin_trust_function_creators = ON");
    repo.tomb_ok(&["init", "--no-hooks"]);
    administrator.sql("SET GLOBAL log_bin_trust_function_creators = OFF");
    repo.tomb_ok(&["store", "docs"]);
    repo.tomb_ok(&["health-check", "--deep"]);

    // What statements alone cannot repeat on a replica, the server refuses: before anything has begun.
    administrator.sql("SET GLOBAL binlog_format = 'STATEMENT'");
    let before = repo.look();
    let error = repo.tomb(&["store", "src/legacy"]).exits(6).stderr_text();
    assert!(error.contains("hint: have the server's administrator set `binlog_format` to `MIXED`"), "{error}");
    assert_eq!(repo.look(), before);
    repo.tomb_ok(&["doctor"]);
    administrator.sql("SET GLOBAL binlog_format = 'ROW'");
    repo.tomb_ok(&["store", "src/legacy"]);
}
