//! Attributes and conversions: what stands in the index, what stands in the tree, and that evidence is never altered.

use crate::common::{Repo, World};

/// Returns the bytes of `path` in the index.
fn staged(repo: &Repo<'_>, path: &str) -> Vec<u8> {
    repo.try_git(&["cat-file", "blob", &format!(":{path}")]).exits(0).stdout
}

/// Returns the path of the only evidence file.
fn evidence(repo: &Repo<'_>) -> String {
    let listed = repo.git(&["ls-files", "--", ".codex/evidence/ops"]);
    assert_eq!(listed.lines().count(), 1, "{listed}");
    listed
}

/// Asserts that evidence stands in the tree just as in the index, in a fresh checkout too.
#[track_caller]
fn assert_evidence_unaltered(repo: &Repo<'_>) {
    for path in repo.git(&["ls-files", "--", ".codex/evidence/ops"]).lines() {
        assert_eq!(repo.read(path), staged(repo, path), "{path}");
        std::fs::remove_file(repo.path.join(path)).unwrap();
        repo.git(&["checkout", "-q", "--", path]);
        assert_eq!(repo.read(path), staged(repo, path), "{path}, checked out");
        let archived =
            repo.command("sh").args(["-c", &format!("git archive HEAD '{path}' | tar -xO")]).output().unwrap();
        assert_eq!(archived.stdout, staged(repo, path), "{path}, exported");
    }
}

#[test]
fn line_endings_are_converted_in_the_tree_only() {
    for (key, value, attributes) in [
        ("core.autocrlf", "true", ""),
        ("core.eol", "crlf", "* text=auto\n"),
        ("core.autocrlf", "false", "*.md text eol=crlf\n"),
    ] {
        let world = World::new();
        let repo = world.init("app");
        repo.git(&["config", key, value]);
        repo.git(&["config", "core.safecrlf", "false"]);
        repo.write(".gitattributes", attributes);
        repo.write("a.md", "one\r\ntwo\r\n");
        repo.write("b.md", "b\r\n");
        let original = repo.commit_all("first");
        assert_eq!(staged(&repo, "a.md"), b"one\ntwo\n", "git converts");
        let entry = repo.git(&["ls-files", "-s", "a.md"]);

        repo.store(&["a.md"], &["a.md"]);
        let (stub, in_tree) = (staged(&repo, "a.md"), repo.read("a.md"));
        assert!(!stub.contains(&b'\r'), "the index holds the exact bytes");
        assert_eq!(
            in_tree,
            String::from_utf8(stub).unwrap().replace('\n', "\r\n").into_bytes(),
            "as a checkout writes it"
        );
        assert_evidence_unaltered(&repo);
        assert!(!repo.read(evidence(&repo)).contains(&b'\r'));
        // Git looks at every file again and still sees no change.
        std::fs::remove_file(repo.path.join(".git/index")).unwrap();
        repo.git(&["read-tree", "HEAD"]);
        assert_eq!(repo.git(&["diff", "--stat"]), "");
        repo.git(&["update-index", "-q", "--refresh"]);
        // The stub is read from the tree's side too.
        assert_eq!(repo.tomb_ok(&["cat", "a.md"]).stdout, b"one\ntwo\n", "as archived: the blob");

        repo.restore(&["a.md"], &["a.md"]);
        assert_eq!(repo.read("a.md"), b"one\r\ntwo\r\n");
        assert_eq!(repo.git(&["ls-files", "-s", "a.md"]), entry);
        assert_eq!(repo.git(&["diff", &original, "--", ".", ":(exclude).codex"]), "");
    }
}

#[test]
fn a_file_committed_with_crlf_comes_back_with_its_own_blob() {
    let world = World::new();
    let repo = world.init("app");
    repo.write("dos.txt", "one\r\ntwo\r\n");
    repo.write("mixed.txt", "one\r\ntwo\n");
    let original = repo.commit_all("first");
    // Only now does git begin to convert: what is committed is no longer what adding the file would make.
    repo.git(&["config", "core.autocrlf", "true"]);
    repo.git(&["config", "core.safecrlf", "false"]);
    repo.store(&["dos.txt", "mixed.txt"], &["dos.txt", "mixed.txt"]);
    repo.restore(&["."], &["dos.txt", "mixed.txt"]);
    assert_eq!(repo.read("dos.txt"), b"one\r\ntwo\r\n");
    assert_eq!(repo.read("mixed.txt"), b"one\r\ntwo\n");
    assert_eq!(repo.git(&["diff", "--name-only", &original, "HEAD", "--", ".", ":(exclude).codex"]), "");
}

#[test]
fn a_hint_s_attribute_line_allows_the_stub() {
    let world = World::new();
    let repo = world.init("app");
    repo.git(&["config", "filter.rot.clean", "tr a-z n-za-m"]);
    repo.git(&["config", "filter.rot.smudge", "tr a-z n-za-m"]);
    repo.write(".gitattributes", "*.psd filter=rot\n*.txt working-tree-encoding=UTF-16LE\n");
    repo.write("art/a picture.psd", "pixels\n");
    repo.write("wide.txt", "w\0i\0d\0e\0\n\0");
    repo.commit_all("first");
    let before = repo.look();
    let said = repo.tomb(&["store", "art", "wide.txt"]).exits(1).stderr_text();
    assert_eq!(repo.look(), before);
    assert!(said.contains("has the attribute `filter=rot`, which would change a stub"), "{said}");
    let lines: Vec<_> = said
        .lines()
        .filter_map(|line| {
            line.strip_prefix("hint: allow a stub there with this line in `.gitattributes` at the top: `")
        })
        .map(|line| line.trim_end_matches('`'))
        .collect();
    assert_eq!(lines.len(), 2, "{said}");
    repo.write(".gitattributes", format!("{}{}\n", repo.read_text(".gitattributes"), lines.join("\n")));
    // Now the files as they stand in the tree are no longer what is committed: they have to be checked out again.
    std::fs::remove_dir_all(repo.path.join("art")).unwrap();
    std::fs::remove_file(repo.path.join("wide.txt")).unwrap();
    repo.git(&["checkout", "-q", "--", "art", "wide.txt"]);
    repo.commit_all("allow stubs");
    let paths = ["art/a picture.psd", "wide.txt"];
    repo.store(&["art", "wide.txt"], &paths);
    for path in paths {
        assert_eq!(repo.read(path), staged(&repo, path), "{path}");
    }
    repo.restore(&["."], &paths);
    assert_eq!(staged(&repo, "wide.txt"), b"wide\n", "the identical blob, which git keeps in UTF-8");
}

#[test]
fn expanded_identifiers_are_no_local_changes_and_no_part_of_a_stub() {
    let world = World::new();
    let repo = world.init("app");
    repo.write(".gitattributes", "* ident\n");
    repo.write("a.c", "/* $Id$ */\n");
    let original = repo.commit_all("first");
    std::fs::remove_file(repo.path.join("a.c")).unwrap();
    repo.git(&["checkout", "-q", "--", "a.c"]);
    assert!(repo.read_text("a.c").contains("$Id: "), "git expands");
    repo.store(&["a.c"], &["a.c"]);
    assert_eq!(staged(&repo, "a.c"), repo.read("a.c"));
    assert_evidence_unaltered(&repo);
    assert_eq!(repo.tomb_ok(&["cat", "a.c"]).stdout, b"/* $Id$ */\n");
    repo.restore(&["a.c"], &["a.c"]);
    assert!(repo.read_text("a.c").contains("$Id: "));
    assert_eq!(repo.git(&["diff", &original, "--", ".", ":(exclude).codex"]), "");
}

/// Attributes that would alter evidence if they counted, and where they can stand.
const HOSTILE: &str = "*.jsonl text eol=crlf ident filter=shout working-tree-encoding=UTF-16 export-subst\n";

/// A repository with a filter that would change evidence.
fn with_filter(world: &World) -> Repo<'_> {
    let repo = world.sample("app");
    repo.git(&["config", "filter.shout.clean", "tr a-z A-Z"]);
    repo.git(&["config", "filter.shout.smudge", "tr a-z A-Z"]);
    repo
}

#[test]
fn attributes_of_less_weight_than_our_own_are_harmless() {
    for place in [".gitattributes", "core.attributesFile", ".codex/.gitattributes", "macro"] {
        let world = World::new();
        let repo = with_filter(&world);
        match place {
            "core.attributesFile" => {
                repo.write("../attributes", HOSTILE);
                repo.git(&["config", "core.attributesFile", world.at("attributes").path.to_str().unwrap()]);
            }
            "macro" => repo.write(".gitattributes", format!("[attr]evil {}*.jsonl evil\n", &HOSTILE[8..])),
            // Its own line comes last there, and the last one counts.
            place => repo.write(place, HOSTILE),
        }
        repo.git(&["add", "-A"]);
        repo.git(&["commit", "-q", "--allow-empty", "-m", "hostile"]);
        repo.store(&["docs"], &["docs/old.md"]);
        assert_evidence_unaltered(&repo);
        repo.restore(&["docs"], &["docs/old.md"]);
        assert_evidence_unaltered(&repo);
    }
}

#[test]
fn attributes_of_more_weight_than_our_own_are_refused_by_name() {
    for (place, hostile) in [
        (".git/info/attributes", HOSTILE),
        (".git/info/attributes", "*.jsonl text\n"),
        (".git/info/attributes", "*.jsonl !text\n"),
        (".git/info/attributes", "[attr]evil filter=shout\n*.jsonl evil\n"),
        (".codex/evidence/.gitattributes", "*.jsonl ident\n"),
        (".codex/evidence/ops/.gitattributes", "* export-subst\n"),
        (".codex/evidence/ops/.gitattributes", "*-archive-*.jsonl filter=shout\n"),
        (".codex/evidence/ops/2026/.gitattributes", "* eol=crlf\n"),
        (
            ".codex/.gitattributes",
            "evidence/** -text -ident -filter -working-tree-encoding -eol -export-subst linguist-generated\n*.jsonl ident\n",
        ),
    ] {
        let world = World::new();
        let repo = with_filter(&world);
        repo.write(place, hostile);
        repo.git(&["add", "-A"]);
        repo.try_git(&["commit", "-q", "-m", "hostile"]);
        let before = repo.look();
        let run = repo.tomb(&["store", "docs"]);
        let said = run.exits(2).stderr_text();
        assert!(said.contains("git would alter evidence: attribute"), "{said}");
        assert!(said.contains(place), "{place}: {said}");
        let after = repo.look();
        after.assert_changed_only(&before, &[]);
        assert_eq!(after.index, before.index, "{place}");
        assert!(!repo.tomb_ok(&["status"]).stderr_text().contains("stopped half-way"), "{place}");
    }
}

#[test]
fn attributes_that_come_back_and_would_alter_evidence_are_refused_by_line() {
    let world = World::new();
    let repo = with_filter(&world);
    // Below the top git takes it for nothing.
    repo.write("sub/.gitattributes", "[attr]linguist-generated text eol=crlf\n");
    repo.commit_all("attributes");
    repo.tomb_ok(&["store", "sub"]);
    repo.git(&["mv", "sub/.gitattributes", ".gitattributes"]);
    repo.commit("archive them, and move the stub");
    let before = repo.look();
    let said = repo.tomb(&["restore", ".gitattributes"]).exits(2).stderr_text();
    assert!(said.contains("line 1 of `.gitattributes`: [attr]linguist-generated text eol=crlf"), "{said}");
    assert!(said.contains("restore <target> <output>"), "{said}");
    let after = repo.look();
    after.assert_changed_only(&before, &[]);
    assert_eq!(after.index, before.index);
    repo.tomb_ok(&["doctor"]);
    repo.tomb_ok(&["verify", "--all", "--strict"]);

    // Where they stand already, the next operation names them.
    repo.tomb_ok(&["restore", ".gitattributes", "copy"]);
    std::fs::rename(repo.path.join("copy"), repo.path.join(".gitattributes")).unwrap();
    let said = repo.tomb(&["store", "docs"]).exits(2).stderr_text();
    assert!(said.contains("line 1 of `.gitattributes`: [attr]linguist-generated text eol=crlf"), "{said}");
}
