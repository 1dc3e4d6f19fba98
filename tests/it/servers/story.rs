//! One story, told by each backend: the same commands give the same results.

use crate::common::{Repo, World};

use super::{Database, KINDS};
use git_archive_tomb::fault::VARIABLE;

/// What commands printed on standard output, and how they ended.
struct Story<'a> {
    world: &'a World,
    told: Vec<String>,
}

impl Story<'_> {
    fn run(&mut self, repo: &Repo<'_>, arguments: &[&str]) -> String {
        let run = repo.tomb(arguments);
        let code = run.code.map_or("killed".to_owned(), |code| code.to_string());
        let text = run.stdout_text();
        let told = format!("{arguments:?}: {code}\n{}", comparable(&self.world.filter(&text)));
        if std::env::var_os("TELL").is_some() {
            std::io::Write::write_all(&mut std::io::stderr(), format!("{told}\n{}\n", run.stderr_text()).as_bytes())
                .unwrap();
        }
        self.told.push(told);
        text
    }
}

/// Removes what is peculiar to a run or to an engine: its name, ids, digests and times.
fn comparable(text: &str) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let engine = ["Backend:", "URL:", "backend."].iter().any(|start| line.starts_with(start));
        let line = if engine { line.split([':', '=']).next().unwrap() } else { line };
        let is_part = |character: char| character.is_ascii_hexdigit() || "TZ:.-".contains(character);
        let mut rest = line;
        while let Some(start) = rest.find(is_part) {
            let end = rest[start..].find(|character| !is_part(character)).map_or(rest.len(), |length| start + length);
            let run = &rest[start..end];
            shown.push_str(&rest[..start]);
            // Digests, tombstones, times; a word is shorter.
            shown.push_str(if run.len() >= 12 && run.contains(|c: char| c.is_ascii_digit()) { "#" } else { run });
            rest = &rest[end..];
        }
        shown.push_str(rest);
        shown.push('\n');
    }
    shown.replace("\"sqlite\"", "[backend]").replace("\"postgres\"", "[backend]").replace("\"mariadb\"", "[backend]")
}

/// Tells the story with the archive at `url`, and returns it.
fn tell(url: &str) -> Vec<String> {
    let world = World::new();
    let mut story = Story { world: &world, told: Vec::new() };
    let repo = world.sample("project");
    repo.write("src/Legacy/OLD.py", "upper = 1\n");
    repo.write("assets/logo.bin", [0_u8, 255, 7, 10, 13].repeat(60_000));
    repo.commit_all("more");
    let remote = world.init_with("remote.git", &["--bare"]);
    repo.git(&["remote", "add", "origin", remote.path.to_str().unwrap()]);
    repo.git(&["push", "-q", "origin", "main"]);
    let repo = repo.with("CODEX_ARCHIVE_URL", url);

    story.run(&repo, &["store", "docs"]);
    story.run(&repo, &["init", "--no-hooks"]);
    story.run(&repo, &["init", "--no-hooks"]);
    let labelled = ["store", "src/legacy", "--tag", "old", "--tag", "a b", "--metadata", "ticket=OPS-1 \"é\"", "--ref"];
    let more = ["pr=12", "--legal-hold", "--delete-after", "2031-01-31", "--reason", "legacy", "--json"];
    story.run(&repo, &[&labelled[..], &more].concat());
    repo.commit("archive legacy");
    story.run(&repo, &["store", "docs", "assets", "src/Legacy", "--by", "Ann <ann@example.org>"]);
    repo.commit("archive docs");
    story.run(&repo, &["store", "docs"]);
    repo.git(&["push", "-q", "origin", "main"]);

    for filter in [
        &[][..],
        &["--tag", "a b"],
        &["--reason", "legacy"],
        &["--by", "Ann <ann@example.org>"],
        &["--path", "src/legacy"],
        &["--path", "src/Legacy/*"],
        &["--path", "*.md"],
        &["--repo", "remote"],
        &["--repo", "Remote"],
        &["--since", "2020-01-01"],
        &["--until", "2020-01-01"],
        &["--limit", "2"],
        &["--limit", "1", "--tag", "old"],
        &["--json"],
        &["-z"],
    ] {
        story.run(&repo, &[&["list"], filter].concat());
    }
    let tombstone = repo.tombstone_at("src/legacy/old.py");
    for target in ["src/legacy/old.py", &tombstone, &tombstone[..8], "nothing/here", "00000000-0000"] {
        for command in ["show", "cat", "diff"] {
            story.run(&repo, &[command, target]);
        }
    }
    story.run(&repo, &["show", &tombstone, "--json"]);
    for command in [
        &["status"][..],
        &["status", "--json", "--all"],
        &["verify", "--all"],
        &["verify", "--all", "--deep"],
        &["evidence", "log"],
        &["evidence", "verify", "--strict"],
        &["doctor"],
        &["health-check"],
        &["health-check", "--deep"],
        &["health-check", "--sample", "2"],
        &["config-show"],
        &["pr-body", "--range", "HEAD~1..HEAD"],
    ] {
        story.run(&repo, command);
    }

    story.run(&repo, &["restore", "src/legacy/old.py", "-"]);
    story.run(&repo, &["restore", &tombstone[..10], "out/old.py"]);
    story.run(&repo, &["restore", &tombstone[..10], "out/old.py"]);
    story.run(&repo, &["restore", "assets/logo.bin", "out/old.py"]);
    assert_eq!(repo.read_text("out/old.py"), "import os\n\n\ndef old():\n    return os.getcwd()\n");
    std::fs::remove_dir_all(repo.path.join("out")).unwrap();
    story.run(&repo, &["restore", "src/legacy/run.sh"]);
    story.run(&repo, &["restore", "src"]);
    repo.commit("restore src");
    story.run(&repo, &["store", "src/legacy", "--dry-run"]);

    // Killed between two effects, and finished or undone.
    for (point, mend) in
        [("bytes", "--abort"), ("rows", "--continue"), ("files", "--continue"), ("settled", "--continue")]
    {
        let file = format!("gone/{point}{mend}.txt");
        repo.write(&file, format!("{file} is no more\n"));
        repo.commit_all("to be archived");
        repo.git(&["push", "-q", "origin", "main"]);
        let stopped = repo.with(VARIABLE, point);
        story.run(&stopped, &["store", "gone"]);
        story.run(&repo, &["status"]);
        story.run(&repo, &["doctor"]);
        story.run(&repo, &["doctor", mend]);
        story.run(&repo, &["list", "--path", "gone"]);
        if mend == "--continue" {
            repo.commit("archive");
        }
        story.run(&repo, &["verify", "--all", "--deep"]);
    }

    // Another clone with the same archive.
    repo.git(&["push", "-q", "origin", "main"]);
    repo.git(&["clone", "-q", remote.path.to_str().unwrap(), "../other"]);
    let other = world.at("other").with("CODEX_ARCHIVE_URL", url);
    story.run(&other, &["list"]);
    story.run(&other, &["status"]);
    story.run(&other, &["restore", "gone", "--by", "Bob <bob@example.org>"]);
    other.commit("restore");
    story.run(&other, &["show", "gone/rows--continue.txt"]);
    story.run(&other, &["verify", "--all", "--deep"]);
    story.run(&other, &["doctor"]);
    story.told
}

#[test]
fn the_same_commands_give_the_same_results_on_every_backend() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shared.sqlite");
    let sqlite = tell(&format!("sqlite:///{}", file.display()));
    assert!(sqlite.len() > 70);
    for kind in KINDS {
        let database = Database::new(kind);
        for (told, expected) in tell(&database.login.url()).into_iter().zip(&sqlite) {
            assert_eq!(told, *expected, "{kind:?}");
        }
    }
}

#[test]
fn bytes_on_a_server_are_not_only_on_this_machine() {
    for kind in KINDS {
        let world = World::new();
        let repo = world.sample("project");
        let database = Database::with_archive(kind, &repo);
        let repo = database.used_by(&repo);
        repo.write("docs/old.md", "edited\n");
        repo.tomb_ok(&["store", "docs", "src/legacy/run.sh", "--allow-dirty"]);
        let told = repo.tomb_ok(&["status"]).stdout_text();
        assert!(told.contains("     2  in the archive on a server\n"), "{told}");
        assert!(!told.contains("only on this machine"), "{told}");
        let status = &repo.tomb_ok(&["status", "--json"]).json()[0];
        assert_eq!((&status["in_archive_on_server"], &status["only_on_this_machine"]), (&2.into(), &0.into()));
    }
}
