//! Names that are bytes, and names that mean something to somebody on the way.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use base64::Engine as _;

use crate::common::{Repo, Run, World, path_of};

/// Names that one file system holds side by side.
const NAMES: [&[u8]; 22] = [
    b"caf\xe9.txt",
    b"\xff\xfe",
    b"new\nline.py",
    b"tab\tand \"quotes\" and \\backslash.js",
    b"-rf",
    b"--help",
    b":(glob)weird.md",
    b":!not",
    b"*.py",
    b"[ab].c",
    b" leading and trailing ",
    b"\x1b[31mred\x07.sh",
    b"nfc-\xc3\xa9.md",
    b"nfc-e\xcc\x81.md",
    b"Twin.txt",
    b"twin.TXT",
    b"--> <!-- */ -->.html",
    b"*/ /* end.css",
    b"?> ''' \"\"\".php",
    b"{{path}} {{tombstone}}.rs",
    b"'; rm -rf $HOME `id`.sh",
    b"12345678",
];

/// Runs the program with arguments that need not be text.
fn tomb_bytes(repo: &Repo<'_>, arguments: &[&[u8]]) -> Run {
    let arguments: Vec<OsString> = arguments.iter().map(|bytes| OsString::from_vec(bytes.to_vec())).collect();
    repo.tomb(&arguments)
}

/// Returns the path of a JSON line as bytes.
fn json_path(line: &serde_json::Value) -> Vec<u8> {
    match (line["path"].as_str(), line["path_b64"].as_str()) {
        (Some(path), None) => path.as_bytes().to_vec(),
        (None, Some(encoded)) => base64::engine::general_purpose::STANDARD.decode(encoded).unwrap(),
        other => panic!("one of both: {other:?}"),
    }
}

fn with_names(world: &World) -> Repo<'_> {
    let repo = world.init("names");
    for (number, name) in NAMES.iter().enumerate() {
        repo.write(path_of(name), format!("content {number}\n"));
    }
    repo.commit_all("first");
    repo
}

#[test]
fn every_name_is_stored_listed_and_restored() {
    let world = World::new();
    let repo = with_names(&world);
    let original = repo.git(&["rev-parse", "HEAD"]);
    let stored = repo.tomb_ok(&["store", "."]).json();
    let mut sorted = NAMES.to_vec();
    sorted.sort_unstable();
    assert_eq!(stored.iter().map(json_path).collect::<Vec<_>>(), sorted, "in the order of their bytes");
    repo.commit("archive");
    repo.assert_sound();

    // For people, nothing raw; for scripts with `-z`, nothing but raw.
    for command in [&["list"][..], &["status", "--all"], &["evidence", "log"], &["evidence", "digest"]] {
        let shown = repo.tomb_ok(command).stdout;
        assert!(!shown.iter().any(|byte| *byte < b' ' && *byte != b'\n'), "{command:?}");
        assert!(std::str::from_utf8(&shown).is_ok(), "{command:?}");
    }
    let listed = repo.tomb_ok(&["list", "-z"]).stdout;
    let mut paths: Vec<&[u8]> = listed
        .split(|byte| *byte == 0)
        .filter(|record| !record.is_empty())
        .map(|record| record.splitn(6, |byte| *byte == b'\t').nth(5).unwrap())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, sorted);
    let mut paths: Vec<_> = repo.tomb_ok(&["list", "--json"]).json().iter().map(json_path).collect();
    paths.sort();
    assert_eq!(paths, sorted);

    // Each by its name, from elsewhere in history and from the archive, and all of them in place.
    for (number, name) in NAMES.iter().enumerate() {
        let run = tomb_bytes(&repo, &[b"cat", b"--", name]).exits(0);
        assert_eq!(run.stdout, format!("content {number}\n").as_bytes());
    }
    repo.tomb_ok(&["restore", "."]);
    repo.commit("restore");
    repo.assert_sound();
    assert_eq!(repo.git(&["diff", &original, "--", ".", ":(exclude).codex"]), "");
}

#[test]
fn every_name_is_taken_by_itself() {
    let world = World::new();
    let repo = with_names(&world);
    for name in NAMES {
        // A name that git would take for a pattern is named literally, as for git.
        let literal = [b":(literal)", name].concat();
        let stored = tomb_bytes(&repo, &[b"store", b"--dry-run", b"--", &literal]).exits(0).json();
        assert_eq!(stored.iter().map(json_path).collect::<Vec<_>>(), [name]);
    }
    let twin = tomb_bytes(&repo, &[b"store", b"Twin.txt"]).exits(0).json();
    assert_eq!(twin.len(), 1);
    assert_eq!(repo.read("twin.TXT"), b"content 15\n", "the other twin is as it was");
    let composed = tomb_bytes(&repo, &[b"store", NAMES[12]]).exits(0).json();
    assert_eq!(composed.len(), 1);
    assert_eq!(repo.read(path_of(NAMES[13])), b"content 13\n");
    repo.commit("archive");
    repo.assert_sound();
}

#[test]
fn the_restore_line_of_a_stub_works_as_printed() {
    let world = World::new();
    let repo = with_names(&world);
    let original = repo.git(&["rev-parse", "HEAD"]);
    repo.tomb_ok(&["store", "."]);
    repo.commit("archive");
    for name in NAMES {
        let text = repo.read_text(path_of(name));
        let line = text.lines().find_map(|line| line.split_once("restore: ")).unwrap().1;
        let line = line.trim_end_matches(['-', '>', '*', '/', ' ', '"', ',']);
        let run = Run::from(repo.command("sh").args(["-c", line]).output().unwrap());
        run.exits(0);
    }
    repo.commit("restore");
    repo.assert_sound();
    assert_eq!(repo.git(&["diff", &original, "--", ".", ":(exclude).codex"]), "");
}

#[test]
fn the_longest_paths_are_archived_and_restored() {
    let world = World::new();
    let repo = world.sample("long");
    let folder = vec!["d".repeat(199); 19].join("/");
    let name = format!("{folder}/{}.txt", "f".repeat(190));
    assert!(name.len() > 3990 && name.len() < 4096, "{}", name.len());
    // No single call of the system takes a path like that with the repository's own before it; git can.
    let blob = {
        repo.write("content", "deep\n");
        repo.git(&["hash-object", "-w", "content"])
    };
    std::fs::remove_file(repo.path.join("content")).unwrap();
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{name}")]);
    repo.commit("deep");
    repo.git(&["checkout", "--", &folder[..199]]);
    let original = repo.git(&["ls-files", "-s"]);
    let stored = repo.tomb_ok(&["store", &folder[..199]]).json();
    assert_eq!(stored[0]["path"], name.as_str());
    repo.commit("archive");
    repo.assert_sound();
    repo.tomb_ok(&["restore", &name]);
    repo.commit("restore");
    repo.assert_sound();
    let entries = repo.git(&["ls-files", "-s", "--", ".", ":(exclude).codex"]);
    assert_eq!(entries, original);
}

#[test]
fn a_stub_of_any_name_parses_where_its_comment_ends_early() {
    let world = World::new();
    let repo = world.init("names");
    // In the folder `a*` a path holds the end of a C comment.
    let names = [
        "a-->b.html",
        "a*/b.css",
        "a*/b.c",
        "a?>b.php",
        "a]]>b.xml",
        "a\"\"\"b.py",
        "a#}b.jinja",
        "a--]]b.lua",
        "a%>b.erb",
    ];
    for name in names {
        repo.write(name, "x\n");
    }
    repo.commit_all("first");
    repo.tomb_ok(&["store", "."]);
    for (name, end) in names.iter().zip(["-->", "*/", "*/", "?>", "-->", "\"\"\"", "#}", "--]]", "%>"]) {
        let text = repo.read_text(name);
        let facts: Vec<_> = text.lines().filter(|line| line.contains("path: ") || line.contains("restore: ")).collect();
        assert_eq!(facts.len(), 2, "{text}");
        assert!(facts.iter().all(|line| line.matches(end).count() <= 1), "{text}");
    }
    assert!(repo.tomb_ok(&["status"]).stdout_text().starts_with("9 stubs "));
    repo.commit("archive");
    repo.assert_sound();
    repo.tomb_ok(&["restore", "."]);
    for name in names {
        assert_eq!(repo.read(name), b"x\n");
    }
}

#[test]
fn control_characters_of_names_never_reach_the_terminal() {
    let world = World::new();
    let repo = with_names(&world);
    let name = Path::new(std::ffi::OsStr::from_bytes(NAMES[11]));
    repo.write(name, "changed\n");
    for arguments in [&[&b"store"[..], b"."][..], &[b"restore", NAMES[11]], &[b"cat", b"--", b"\x1b]0;title\x07"]] {
        let run = tomb_bytes(&repo, arguments);
        assert_ne!(run.code, Some(0));
        assert!(!run.stderr.contains(&0x1b) && !run.stderr.contains(&0x07), "{run}");
    }
}
