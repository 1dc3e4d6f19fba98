//! How long the program's statements are: a server that takes little at a time is enough.

use super::machine::Machine;
use super::{Database, Kind};
use crate::common::World;

/// Facts that fill a record, on more items than fit a statement, on a server that takes little more than a block.
#[test]
fn no_statement_is_longer_than_what_a_server_takes() {
    let machine = Machine::start(Kind::Mariadb, &["--max-allowed-packet=2M".to_owned()]);
    let database = Database::on(&machine.login());
    let world = World::new();
    let repo = world.sample("project");
    for number in 0..80 {
        repo.write(format!("many/{number}.txt"), format!("number {number}\n"));
    }
    repo.commit_all("many");
    let repo = database.used_by(&repo);
    repo.tomb_ok(&["init", "--no-hooks"]);
    let notes = format!("notes={}", "x".repeat(60_000));
    repo.tomb_ok(&["store", "-q", "many", "--metadata", &notes]);
    repo.commit("archive");
    // Labels are rows of their own.
    let references: Vec<String> = (0..30).map(|number| format!("--ref=doc={number}{}", "y".repeat(1_900))).collect();
    let mut arguments = vec!["store", "-q", "src", "docs"];
    arguments.extend(references.iter().map(String::as_str));
    repo.tomb_ok(&arguments);
    repo.commit("more");
    assert_eq!(repo.tomb_ok(&["list", "--json"]).json().len(), 84);
    for folder in ["many", "src", "docs"] {
        repo.tomb_ok(&["restore", "-q", folder]);
    }
    repo.tomb_ok(&["health-check", "--deep"]);
}
