//! The documents say what is so: links lead somewhere, commands exist, what is shown to run runs as printed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use git_archive_tomb::id::{Sha256, Tombstone};
use git_archive_tomb::stub::{self, Parsed, Style, Templates};

use crate::common::{Run, World};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Commands that a page names although they are still to come.
const TO_COME: &[&str] = &[];

/// Returns the documents: those at the top, and those in `docs`.
fn pages() -> Vec<PathBuf> {
    let pages: Vec<_> = [ROOT.into(), Path::new(ROOT).join("docs")]
        .iter()
        .flat_map(|folder: &PathBuf| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// Returns what stands between `start` and the next `end`, wherever `start` stands in `text`.
fn between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |rest| Some(rest.split_once(end)?.0))
}

/// Returns the text without blocks of code.
fn prose(text: &str) -> String {
    text.split("\n```").step_by(2).collect()
}

/// Returns the first block of shell commands below the heading `heading`.
fn shell_block<'a>(text: &'a str, heading: &'a str) -> &'a str {
    let section = between(text, heading, "\n## ").next().unwrap();
    between(section, "```sh\n", "```").next().unwrap()
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut dead = Vec::new();
    for page in pages() {
        let text = prose(&fs::read_to_string(&page).unwrap());
        for target in between(&text, "](", ")") {
            let (file, _) = target.split_once('#').unwrap_or((target, ""));
            let is_elsewhere = target.contains("://") || file.is_empty();
            if !is_elsewhere && !page.parent().unwrap().join(file).exists() {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn the_index_lists_every_page() {
    let index = read("docs/README.md");
    for page in fs::read_dir(Path::new(ROOT).join("docs")).unwrap() {
        let name = page.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "{name}");
    }
}

#[test]
fn every_page_that_the_sources_name_exists() {
    let mut folders = vec![Path::new(ROOT).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let is_name = |name: &&str| !name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            for page in between(&text, "`docs/", ".md`").filter(is_name).map(|name| format!("{name}.md")) {
                assert!(Path::new(ROOT).join("docs").join(&page).exists(), "{}: docs/{page}", path.display());
            }
        }
    }
}

#[test]
fn the_stub_on_its_page_is_what_the_program_writes() {
    let page = read("docs/stub.md");
    let shown = between(&page, "```text\n", "```").next().unwrap();
    let Parsed::Stub(parsed) = stub::parse(shown.as_bytes()) else { panic!("{shown}") };
    let stub = parsed.stub;
    assert_eq!(stub.sha256, Sha256::of(b"abc"));
    let tombstone = Tombstone::derive(&stub.repo, stub.path.as_bytes(), &stub.commit, &stub.sha256);
    assert_eq!(stub.tombstone, tombstone);
    assert!(read("docs/archive.md").contains(&format!("the tombstone is `{tombstone}`")));
    assert!(read("README.md").contains(&format!("# tombstone: {tombstone}\n")));
    let templates = Templates::built_in();
    let template = templates.choose(&stub.path, &stub::classify(&stub.path, b""), Style::Auto);
    assert_eq!(template.render(&stub).unwrap().text, shown);
}

#[test]
fn every_command_that_a_page_names_exists() {
    let world = World::new();
    let help = world.init("empty").tomb_ok(&["--help"]).stdout_text();
    let mut known: BTreeSet<&str> = between(&help, "\n  ", " ").filter(|word| !word.is_empty()).collect();
    known.extend(TO_COME);
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for rest in text.split("git archive-tomb ").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            let is_command = !name.is_empty() && !name.starts_with('-');
            assert!(!is_command || known.contains(&*name), "{}: git archive-tomb {name}", page.display());
        }
    }
}

#[test]
fn the_first_use_in_the_readme_runs_as_printed() {
    let world = World::new();
    let repo = world.sample("project");
    let original = repo.read("src/legacy/old.py");
    let text = read("README.md");
    let run = |commands: &str| Run::from(repo.command("sh").args(["-euc", commands]).output().unwrap()).exits(0);

    let (before, after) = shell_block(&text, "## First use").split_once("git archive-tomb restore").unwrap();
    let told = run(before);
    let stub = repo.read_text("src/legacy/old.py");
    assert!(stub.starts_with("# git-archive-tomb stub v1\n") && stub.contains("\nraise ImportError("), "{stub}");
    assert_eq!(told.to_string().matches("checked ").count(), 1, "{told}");

    run(&format!("git archive-tomb restore{after}"));
    assert_eq!(repo.read("src/legacy/old.py"), original);
    assert_eq!(repo.status(), "");
}

#[test]
fn the_page_on_dependencies_lists_those_of_the_manifest() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let page = read("docs/dependencies.md");
    let (program, tests) = page.split_once("\n## For tests").unwrap();
    for (listed, table) in [(program, "dependencies"), (tests, "dev-dependencies")] {
        let listed: BTreeSet<_> = between(listed, "\n| `", "`").collect();
        let declared: BTreeSet<_> = manifest[table].as_table().unwrap().keys().map(String::as_str).collect();
        assert_eq!(listed, declared, "{table}");
    }
}
