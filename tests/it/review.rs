//! What a reviewer gets and checks: the text of a pull request, and digests that `sha256sum` gives too.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record};
use git_archive_tomb::evidence::writer::NewEvidenceFile;
use git_archive_tomb::id::{OperationId, Sha256};
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::quote::unquote;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::common::{Repo, Run, World, path_of};

/// Runs the program for the text, and returns it.
fn body(repo: &Repo<'_>, arguments: &[&str]) -> String {
    repo.tomb_ok(&[&["pr-body"], arguments].concat()).stdout_text()
}

/// Asserts that the text is what `evidence verify --digests` accepts as it is, and that any changed digest is noticed.
#[track_caller]
fn assert_round_trip(repo: &Repo<'_>, text: &str) {
    repo.write("../body.md", text);
    repo.tomb_ok(&["evidence", "verify", "--digests", "../body.md"]);
    let digest = text.split('`').find(|word| word.len() == 64).unwrap();
    let changed = if digest.starts_with('0') { "1" } else { "0" };
    repo.write("../body.md", text.replace(digest, &format!("{changed}{}", &digest[1..])));
    repo.tomb(&["evidence", "verify", "--digests", "../body.md"]).exits(1);
}

/// Returns the cells of all tables as a Markdown parser sees them: each as the code and the other text in it. Markup
/// that no text of ours has is a failure.
fn cells(text: &str) -> Vec<Vec<(Vec<String>, String)>> {
    let (mut rows, mut is_in_table) = (Vec::new(), false);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Table(_)) => is_in_table = true,
            Event::End(TagEnd::Table) => is_in_table = false,
            Event::Start(Tag::TableRow) => rows.push(Vec::new()),
            Event::Start(Tag::TableCell) if !rows.is_empty() => {
                rows.last_mut().unwrap().push((Vec::new(), String::new()));
            }
            Event::Start(Tag::Link { .. } | Tag::Image { .. } | Tag::Emphasis | Tag::Strikethrough)
            | Event::InlineHtml(_) => panic!("{event:?}"),
            Event::Html(html) => {
                let is_ours = html.starts_with("<details><summary>") || html.starts_with("</details>");
                assert!(is_ours && !is_in_table, "{html}");
            }
            Event::Code(code) if is_in_table => {
                rows.last_mut().unwrap().last_mut().unwrap().0.push(code.into_string());
            }
            Event::Text(plain) if is_in_table && !rows.is_empty() => {
                rows.last_mut().unwrap().last_mut().unwrap().1.push_str(&plain);
            }
            _ => {}
        }
    }
    // A table's head is no row, but its cells come first.
    rows.retain(|row| !row.is_empty());
    rows
}

#[test]
fn the_text_is_taken_back_as_it_is_and_its_commands_give_its_digests() {
    let world = World::new();
    let repo = world.sample("project");
    let base = repo.git(&["rev-parse", "HEAD"]);
    repo.tomb_ok(&["store", "docs", "src/legacy", "--reason", "replaced"]);
    let staged = body(&repo, &[]);
    assert!(staged.contains("**3 files archived** ("), "{staged}");
    assert_round_trip(&repo, &staged);

    repo.commit("archive");
    repo.tomb_ok(&["restore", "docs/old.md"]);
    repo.commit("restore");
    let text = body(&repo, &["--range", &format!("{base}..HEAD")]);
    assert!(text.contains("**3 files archived** (") && text.contains("**1 file restored** ("), "{text}");
    assert!(text.contains("by `A Maintainer <maintainer@example.org>`, 20"), "{text}");
    assert_round_trip(&repo, &text);

    // The commands of the text, run as they are printed.
    repo.write("body.md", &text);
    let commands = text.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let told = Run::from(repo.command("sh").args(["-euc", commands]).output().unwrap()).exits(0);
    let digests: BTreeSet<String> =
        told.stdout_text().split_whitespace().filter(|word| word.len() == 64).map(str::to_owned).collect();
    assert_eq!(digests.len(), 3, "{told}");
    assert!(digests.iter().all(|digest| text.contains(&format!("`{digest}`"))), "{told}");

    // What is not in the range is not in the text, and the working tree does not matter.
    std::fs::remove_dir_all(repo.path.join(".codex")).unwrap();
    let last = body(&repo, &["--range", "HEAD~1..HEAD"]);
    assert!(last.contains("restored**") && !last.contains("archived**"), "{last}");
    assert_eq!(cells(&last).len(), 1);
    repo.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    assert_eq!(body(&world.at("bare.git"), &["--range", "HEAD~1..HEAD"]), last);
    assert_eq!(body(&repo, &["--range", "HEAD..HEAD"]), "");
}

#[test]
fn json_has_a_line_for_each_record() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "docs", "src/legacy"]);
    let lines = repo.tomb_ok(&["pr-body", "--json"]).json();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["action"], "ARCHIVE");
    assert_eq!(lines[0]["path"], "docs/old.md");
    assert_eq!(lines[0]["reason"], "dead");
    let digests = repo.tomb_ok(&["evidence", "digest", "--json"]).json();
    assert_eq!(lines[0]["line_sha256"], digests[0]["sha256"]);
    let files = repo.tomb_ok(&["evidence", "digest", "--files", "--json"]).json();
    assert_eq!((&lines[0]["file"], &lines[0]["file_sha256"]), (&files[0]["file"], &files[0]["sha256"]));
}

#[test]
fn nothing_foreign_leaves_its_cell() {
    let digest = Sha256::of(b"").to_string();
    let names: Vec<Vec<u8>> = [
        "a|b.md",
        "`code`.md",
        "``` x.md",
        "<img src=x onerror=alert(1)>.md",
        "<!-- .md",
        "</details>.md",
        "[link](https:/example.org).md",
        "![image](x).md",
        "@maintainer #123 example!1 ~label.md",
        "www.example.org and https:example",
        "me@example.org",
        "*bold* _it_ ~~no~~.md",
        "back\\slash|\\",
        "new\nline | cell |\n| row.md",
        "\u{202e}dm.txt\u{2066}",
        "\u{1b}[31mred",
        "&lt;entity&#124;.md",
        "$`math`$",
        " lead",
        "cache/",
        "8e3531b9-5a2f-5c1e-9f0a-0123456789ab.md",
    ]
    .iter()
    .map(|name| name.replace("cache/", &format!("cache/{digest}")).into_bytes())
    .chain([[b"\xe9", &digest.as_bytes()[3..]].concat()])
    .collect();
    let world = World::new();
    let repo = world.init("project");
    repo.git(&["config", "user.name", "A | `B` <script> @c"]);
    for name in &names {
        repo.write(path_of(name), name);
    }
    repo.commit_all("first");
    repo.tomb_ok(&["store", "."]);
    let text = body(&repo, &[]);
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{2066}']));
    let rows = cells(&text);
    let mut found = BTreeSet::new();
    for row in &rows {
        let [path, _, why, tombstone, digest] = &row[..] else { panic!("{row:?}") };
        for (codes, plain) in [path, why, tombstone, digest] {
            assert_eq!((codes.len(), plain.as_str()), (1, ""), "{row:?}");
        }
        found.insert(unquote(&path.0[0]).unwrap().into_owned());
        assert_eq!((tombstone.0[0].len(), digest.0[0].len()), (36, 64));
    }
    assert_eq!(found, names.iter().cloned().collect());
    let headings = text.lines().filter(|line| line.starts_with('#')).count();
    assert_eq!(headings, 2, "{text}");
    assert!(text.contains("<details><summary>22 lines, "), "{text}");
    assert_round_trip(&repo, &text);

    // What `evidence digest` prints is quoted elsewhere just as well.
    repo.write("../digests", repo.tomb_ok(&["evidence", "digest"]).stdout);
    repo.tomb_ok(&["evidence", "verify", "--digests", "../digests"]);
}

#[test]
fn a_long_list_is_cut_and_says_what_covers_the_rest() {
    let world = World::new();
    let repo = world.init("project");
    for number in 0..400 {
        repo.write(format!("some/folder/with/a/name/file-{number:03}.txt"), format!("{number}\n"));
    }
    repo.commit_all("first");
    repo.tomb_ok(&["store", "."]);
    let text = body(&repo, &[]);
    assert!((50_000..=60_000).contains(&text.len()), "{}", text.len());
    let rows = cells(&text).len();
    let left = format!("{} more lines not shown here: the digest of the whole file covers all.", 400 - rows);
    assert!(text.contains(&left), "{left}");
    assert!(text.contains("**400 files archived**"));
    assert_round_trip(&repo, &text);
}

#[test]
fn of_many_operations_the_newest_are_listed_and_cover_the_others() {
    let world = World::new();
    let repo = world.sample("project");
    let base = repo.git(&["rev-parse", "HEAD"]);
    let mut heads = Vec::new();
    for number in 0..200_u32 {
        let ts = Timestamp::from_millisecond(1_760_707_356_120 + i64::from(number) * 1000).unwrap();
        let mut record = Record::new(Action::Archive, OperationId::generate(), ts);
        record.actor = Some(format!("Somebody with a name <{number}@example.org>"));
        record.set_path(&RepoPath::try_new(format!("file-{number}")).unwrap());
        let file = NewEvidenceFile::build(vec![record], heads).unwrap();
        repo.write(path_of(file.path().as_bytes()), file.bytes());
        heads = vec![*file.sha256()];
    }
    repo.commit_all("many");
    let range = format!("{base}..HEAD");
    let text = body(&repo, &["--range", &range]);
    assert!(text.len() <= 60_000, "{}", text.len());
    let listed = text.matches("\nEvidence `").count();
    let left = format!("{} operations earlier than those below not shown here: the evidence below names", 200 - listed);
    assert!(text.contains(&left), "{text}");
    assert!(text.contains("199@example.org") && !text.contains("<0@example.org"));
    assert_round_trip(&repo, &text);

    // Evidence that nothing names is not covered, and the text does not say that it is.
    let mut record =
        Record::new(Action::Archive, OperationId::generate(), Timestamp::from_millisecond(1_600_000_000_000).unwrap());
    record.actor = Some("Nobody".to_owned());
    let file = NewEvidenceFile::build(vec![record], Vec::new()).unwrap();
    repo.write(path_of(file.path().as_bytes()), file.bytes());
    repo.commit_all("apart");
    let text = body(&repo, &["--range", &range]);
    assert!(text.contains("; 1 of them are covered by no digest below."), "{text}");
}

/// A second is long enough for many operations, and names tell no more of the time.
#[test]
fn operations_of_one_second_stand_in_the_order_in_which_they_were_made() {
    let world = World::new();
    let repo = world.sample("project");
    let mut heads = Vec::new();
    let mut made = Vec::new();
    for number in 0..8_i64 {
        // The clock is set back meanwhile, within the second.
        let ts = Timestamp::from_millisecond(1_760_707_356_900 - number).unwrap();
        let action = if number % 2 == 0 { Action::Restore } else { Action::Archive };
        let mut record = Record::new(action, OperationId::generate(), ts);
        record.actor = Some("Ann".to_owned());
        record.set_path(&RepoPath::try_new(format!("file-{number}")).unwrap());
        let file = NewEvidenceFile::build(vec![record], heads).unwrap();
        repo.write(path_of(file.path().as_bytes()), file.bytes());
        heads = vec![*file.sha256()];
        made.push(file.sha256().to_string());
    }
    repo.git(&["add", "-A"]);
    let files = |lines: Vec<serde_json::Value>| -> Vec<String> {
        lines.iter().map(|line| line["file_sha256"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(files(repo.tomb_ok(&["pr-body", "--json"]).json()), made);
    let text = body(&repo, &[]);
    let places: Vec<usize> = made.iter().map(|digest| text.find(&**digest).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
    let text = repo.tomb_ok(&["evidence", "digest", "--staged"]).stdout_text();
    let places: Vec<usize> = made.iter().filter_map(|digest| text.find(&**digest)).collect();
    assert!(places.len() == made.len() && places.is_sorted(), "{text}");
}

#[test]
fn without_a_range_the_branch_is_compared_with_where_it_goes() {
    let world = World::new();
    let upstream = world.sample("upstream");
    upstream.git(&["clone", "-q", ".", "../clone"]);
    let repo = world.at("clone");
    repo.git(&["checkout", "-q", "-b", "topic", "origin/main"]);
    assert_eq!(repo.tomb_ok(&["pr-body"]).stdout_text(), "");
    repo.tomb_ok(&["store", "docs"]);
    let told = repo.tomb_ok(&["pr-body"]);
    assert!(told.stderr_text().contains("about what is staged"), "{told}");
    repo.commit("archive");
    let told = repo.tomb_ok(&["pr-body"]);
    assert!(told.stderr_text().contains("about refs/remotes/origin/main..HEAD"), "{told}");
    assert!(told.stdout_text().contains("**1 file archived**"), "{told}");

    // Once pushed, the branch's upstream is its own copy, with which there is nothing to compare.
    repo.git(&["push", "-q", "-u", "origin", "topic"]);
    let told = repo.tomb_ok(&["pr-body"]);
    assert!(told.stderr_text().contains("about refs/remotes/origin/HEAD..HEAD"), "{told}");
    assert!(told.stdout_text().contains("**1 file archived**"), "{told}");
    repo.git(&["checkout", "-q", "--detach"]);
    assert!(repo.tomb_ok(&["pr-body"]).stdout_text().contains("**1 file archived**"));

    let alone = upstream.tomb(&["pr-body"]).exits(2).stderr_text();
    assert!(alone.contains("hint: name the commits: `git archive-tomb pr-body --range main..HEAD`"), "{alone}");
    assert_eq!(world.init("empty").tomb_ok(&["pr-body"]).stdout_text(), "");
    repo.tomb(&["pr-body", "--range", "main"]).exits(2);
}

#[test]
fn broken_evidence_is_not_quoted() {
    let world = World::new();
    let repo = world.sample("project");
    let stored = repo.tomb_ok(&["store", "docs"]);
    let file = repo.git(&["ls-files", ".codex/evidence/ops"]);
    repo.write(&file, repo.read_text(&file).replace("docs/old.md", "docs/new.md"));
    repo.git(&["add", &file]);
    for command in [&["pr-body"][..], &["pr-body", "--json"], &["evidence", "digest", "--trailers"]] {
        let told = repo.tomb(command).exits(1);
        assert!(told.stderr_text().contains("hint: `git archive-tomb evidence verify` tells more"), "{told}");
        assert_eq!(told.stdout_text(), "", "{stored}");
    }
}

#[test]
fn whole_files_are_listed_as_sha256sum_reads_them() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "docs"]);
    repo.tomb_ok(&["store", "src"]);
    let pipe = "git-archive-tomb evidence digest --files | sha256sum -c";
    let told = Run::from(repo.command("sh").args(["-euc", pipe]).output().unwrap()).exits(0);
    assert_eq!(told.stdout_text().matches(": OK").count(), 2, "{told}");
    repo.tomb(&["evidence", "digest", "--files", "-z"]).exits(2);
}

#[test]
fn names_that_are_no_text_are_quoted_as_git_does() {
    let world = World::new();
    let repo = world.init("project");
    repo.write(OsStr::from_bytes(b"caf\xe9"), "x");
    repo.commit_all("first");
    repo.tomb_ok(&["store", "."]);
    let text = body(&repo, &[]);
    assert!(text.contains(r#"| `"caf\351"` | 1 byte | `dead` |"#), "{text}");
}

#[test]
fn the_page_runs_as_printed() {
    const PAGE: &str = include_str!("../../docs/review.md");
    let blocks: Vec<&str> = PAGE.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0).collect();
    let [author, reviewer, by_hand] = blocks[..] else { panic!("{blocks:?}") };
    let world = World::new();
    let upstream = world.sample("upstream");
    upstream.git(&["clone", "-q", ".", "../author"]);
    upstream.git(&["clone", "-q", ".", "../reviewer"]);
    let run = |repo: &Repo<'_>, commands: &str| {
        Run::from(repo.command("sh").args(["-euc", commands]).output().unwrap()).exits(0)
    };
    run(&world.at("author"), author);
    let text = world.at("author").read_text("body.md");
    let repo = world.at("reviewer");
    repo.write("body.md", &text);
    let told = run(&repo, reviewer);
    assert!(told.stderr_text().contains("commit messages quote 1 evidence file"), "{told}");
    assert!(!told.stdout_text().contains("b/src/legacy/old.py"), "an archival is no difference: {told}");
    let digests = run(&repo, by_hand).stdout_text();
    let digests: Vec<&str> = digests.lines().map(|line| &line[..64]).collect();
    assert_eq!(digests.len(), 3);
    assert!(digests.iter().all(|digest| text.contains(digest)));

    // The line for those without the hook.
    let by_hand = PAGE.split_once("`git commit -m 'archive").unwrap().1.split_once('`').unwrap().0;
    repo.tomb_ok(&["store", "docs"]);
    run(&repo, &format!("git commit -q -m 'archive{by_hand}"));
    assert!(repo.git(&["log", "-1", "--format=%(trailers)"]).contains("Evidence-Digest: sha256:"));
}
