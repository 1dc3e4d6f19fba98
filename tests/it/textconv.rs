//! Diffs, logs and blame that see through stubs.

use crate::common::{Repo, World};

const OLD: &str = "src/legacy/old.py";

/// Returns a repository with a small history, in which git sees through stubs, and some files were archived.
fn archived(world: &World) -> Repo<'_> {
    let repo = world.sample("project");
    repo.write(OLD, "import os\n\n\ndef old():\n    return os.getcwdb()\n");
    repo.write("logo.bin", b"a\0b");
    repo.commit_all("second");
    repo.tomb_ok(&["init", "--no-hooks", "--textconv"]);
    repo.tomb_ok(&["store", "docs", OLD, "logo.bin"]);
    repo.commit("archive");
    repo
}

/// Returns the lines of a diff that add and remove.
fn changes(diff: &str) -> Vec<&str> {
    let is_change = |line: &&str| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---");
    diff.lines().filter(is_change).collect()
}

/// Returns the note above a stub that is shown itself, as the diff that adds it shows it.
#[track_caller]
fn note(repo: &Repo<'_>, path: &str) -> String {
    let shown = repo.tomb_ok(&["textconv", path]).stdout_text();
    let (note, stub) = shown.split_once('\n').unwrap();
    assert_eq!(stub, repo.read_text(path));
    note.split_once("; item ").unwrap().0.to_owned()
}

#[test]
fn an_archival_is_no_change() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["init", "--no-hooks", "--textconv"]);
    repo.commit("init");
    repo.tomb_ok(&["store", "docs", OLD]);
    let paths = ["docs", "src"];
    let ask = |arguments: &[&str]| repo.git(&[arguments, &["--"], &paths].concat());
    assert_eq!(ask(&["diff", "--cached"]), "");
    assert!(!changes(&ask(&["diff", "--cached", "--no-textconv"])).is_empty());
    repo.commit("archive");
    assert_eq!(ask(&["show", "--format="]), "");
    assert!(ask(&["show", "--format=", "--no-textconv"]).contains("+# git-archive-tomb stub v1"));
    assert_eq!(ask(&["log", "-p", "--format=%s", "HEAD~1.."]), "archive");

    repo.write(OLD, repo.git(&["show", &format!("HEAD~2:{OLD}")]) + "\n# more\n");
    assert_eq!(changes(&ask(&["diff"])), ["+# more"]);
    repo.git(&["checkout", "-q", "HEAD", OLD]);
    let blame = repo.git(&["blame", "-s", OLD]);
    let first = repo.git(&["rev-parse", "--short=7", "HEAD~2"]);
    assert_eq!(blame.lines().count(), 5, "{blame}");
    assert!(blame.lines().all(|line| line.starts_with(&format!("^{first}"))), "{blame}");
    assert_eq!(repo.git(&["grep", "--textconv", "-c", "getcwd"]), format!("{OLD}:1"));
    // What other programs read is the stub.
    assert!(repo.git(&["format-patch", "--stdout", "HEAD~1"]).contains("+# git-archive-tomb stub v1"));
    assert!(repo.read_text(OLD).starts_with("# git-archive-tomb stub v1\n"));
}

#[test]
fn a_fresh_clone_sees_through_stubs_without_an_archive() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");
    clone.tomb_ok(&["init", "--no-hooks", "--textconv"]);
    std::fs::remove_dir_all(clone.path.join(".git/archive-tomb")).unwrap();
    let log = clone.git(&["log", "-p", "--format=%s", "--", OLD]);
    assert_eq!(changes(&log).len(), 2 + 5, "{log}");
    assert!(!clone.exists(".git/archive-tomb"), "a diff makes no archive");

    // Git takes the attributes of a bare repository from the same place.
    repo.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    let bare = world.at("bare.git");
    bare.git(&["config", "diff.archive-tomb.textconv", &repo.git(&["config", "diff.archive-tomb.textconv"])]);
    bare.write("info/attributes", repo.read(".git/info/attributes"));
    assert_eq!(bare.git(&["show", "--format=", "HEAD", "--", OLD]), "");
}

#[test]
fn a_stub_whose_bytes_are_not_to_be_shown_is_shown_itself() {
    let world = World::new();
    let repo = archived(&world);
    // Of a shallow clone the files are not there.
    let url = format!("file://{}", repo.path.display());
    repo.git(&["clone", "-q", "--depth", "1", &url, "../shallow"]);
    let shallow = world.at("shallow");
    assert_eq!(note(&shallow, OLD), "[git-archive-tomb: the bytes of this stub are not in this clone");
    shallow.tomb_ok(&["init", "--no-hooks", "--textconv"]);
    let shown = shallow.git(&["show", "--format=", "HEAD", "--", OLD]);
    assert!(shown.contains("+[git-archive-tomb: the bytes of this stub are not in this clone"), "{shown}");
    // A blobless clone would have to fetch, which a diff does not.
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    repo.git(&["clone", "-q", "--filter=blob:none", &url, "../partial"]);
    assert_eq!(note(&world.at("partial"), OLD), "[git-archive-tomb: the bytes of this stub are not in this clone");

    repo.git(&["config", "archivetomb.governance.restoreApprovals", "1"]);
    assert_eq!(note(&repo, OLD), "[git-archive-tomb: the bytes of this stub are shown with approvals only");
    repo.git(&["config", "archivetomb.governance.restoreApprovals", "mistyped"]);
    assert_eq!(note(&repo, OLD), "[git-archive-tomb: the bytes of this stub are in an archive that cannot be read");
    repo.git(&["config", "--unset", "archivetomb.governance.restoreApprovals"]);
    assert_eq!(repo.tomb_ok(&["textconv", OLD]).stdout_text().lines().count(), 5);

    let archive = repo.path.join(".git/archive-tomb/archive.sqlite");
    repo.purge(OLD);
    assert_eq!(note(&repo, OLD), "[git-archive-tomb: the bytes of this stub were purged");
    std::fs::write(&archive, "no archive").unwrap();
    assert_eq!(note(&repo, OLD), "[git-archive-tomb: the bytes of this stub are in an archive that cannot be read");
}

#[test]
fn what_is_no_text_is_one_line() {
    let world = World::new();
    let repo = archived(&world);
    assert_eq!(repo.git(&["show", "--format=", "HEAD", "--", "logo.bin"]), "");
    repo.write("logo.bin", b"a\0c");
    let diff = repo.git(&["diff", "--", "logo.bin"]);
    assert_eq!(changes(&diff).len(), 2, "{diff}");
    assert!(changes(&diff)[0].starts_with("-[git-archive-tomb: binary, 3 bytes, sha256 "), "{diff}");
    // A file that only looks like a stub is a file.
    let malformed = "# git-archive-tomb stub v1\n# path: nothing\n";
    repo.write("broken.py", malformed);
    assert_eq!(repo.tomb_ok(&["textconv", "broken.py"]).stdout_text(), malformed);
    repo.tomb(&["textconv", "nothing"]).exits(1);
}

#[test]
fn line_ends_of_the_checkout_are_no_change() {
    let world = World::new();
    let repo = world.sample("project");
    repo.write(".gitattributes", "*.py text eol=crlf\n");
    repo.commit_all("crlf");
    repo.git(&["rm", "-q", "--cached", OLD]);
    repo.git(&["reset", "-q", "--hard"]);
    repo.tomb_ok(&["init", "--no-hooks", "--textconv"]);
    repo.tomb_ok(&["store", OLD]);
    repo.commit("archive");
    assert!(repo.read_text(OLD).contains("\r\n"));
    assert_eq!(repo.git(&["show", "--format=", "--", OLD]), "");
    assert_eq!(changes(&repo.git(&["diff", "HEAD~2", "--", OLD])), Vec::<&str>::new());
}

#[test]
fn only_stubs_get_the_driver_and_all_of_it_can_be_taken_back() {
    let world = World::new();
    let repo = world.sample("project");
    let own = "# mine\n*.py diff=python\ndocs/* -diff\n";
    repo.write(".git/info/attributes", own);
    repo.write("a b*\"c", "x\n");
    repo.commit_all("awkward");
    let config = repo.read(".git/config");
    repo.tomb_ok(&["store", "docs"]);
    repo.tomb_ok(&["init", "--no-hooks", "--textconv"]);
    repo.tomb_ok(&["store", "a b*\"c", "src/legacy/run.sh"]);
    repo.tomb_ok(&["store", "--keep", OLD]);
    let diff_of = |path: &str| repo.git(&["check-attr", "diff", "--", path]).rsplit_once(": ").unwrap().1.to_owned();
    assert_eq!(diff_of("a b*\"c"), "archive-tomb");
    assert_eq!(diff_of("src/legacy/run.sh"), "archive-tomb");
    assert_eq!(diff_of("README.md"), "unspecified");
    assert_eq!(diff_of(OLD), "python");
    assert_eq!(diff_of("docs/old.md"), "unset", "what the user says himself counts");

    let attributes = repo.read_text(".git/info/attributes");
    repo.commit("archive");
    repo.tomb_ok(&["init", "--no-hooks", "--textconv"]);
    assert_eq!(
        repo.read_text(".git/info/attributes").lines().collect::<std::collections::BTreeSet<_>>(),
        attributes.lines().chain([&*format!("/{OLD} diff=archive-tomb")]).collect()
    );
    repo.tomb_ok(&["init", "--no-hooks", "--no-textconv"]);
    assert_eq!(repo.read_text(".git/info/attributes"), own);
    let without_trust = |config: &[u8]| {
        let text = String::from_utf8(config.to_vec()).unwrap();
        text.split_once("[archivetomb]").map_or(text.clone(), |(before, _)| before.to_owned())
    };
    assert_eq!(without_trust(&repo.read(".git/config")), without_trust(&config));
    repo.tomb_ok(&["init", "--no-hooks", "--no-textconv"]);
    repo.tomb(&["init", "--textconv", "--no-textconv"]).exits(2);
}

#[test]
fn git_does_not_fail_when_the_program_is_gone() {
    let world = World::new();
    let repo = archived(&world);
    let command = repo.git(&["config", "diff.archive-tomb.textconv"]);
    let program = env!("CARGO_BIN_EXE_git-archive-tomb");
    assert!(command.contains(program), "{command}");
    repo.git(&["config", "diff.archive-tomb.textconv", &command.replace(program, "/nowhere/git-archive-tomb")]);
    let bare = repo.with("PATH", "/usr/local/bin:/usr/bin:/bin");
    let shown = bare.git(&["show", "--format=", "--", OLD]);
    assert!(shown.contains("+# git-archive-tomb stub v1"), "{shown}");
    // With the recorded place alone, as graphical clients have it.
    repo.git(&["config", "diff.archive-tomb.textconv", &command]);
    assert_eq!(bare.git(&["show", "--format=", "--", OLD]), "");
}

#[test]
fn many_stubs_are_covered_by_their_folders() {
    let world = World::new();
    let repo = world.sample("project");
    for number in 0..300 {
        repo.write(format!("many/{}/{number}.txt", number % 3), format!("{number}\n"));
    }
    repo.commit_all("many");
    repo.tomb_ok(&["init", "--no-hooks", "--textconv"]);
    repo.tomb_ok(&["store", "many"]);
    let attributes = repo.read_text(".git/info/attributes");
    let lines: Vec<&str> = attributes.lines().filter(|line| !line.starts_with('#')).collect();
    let folders = ["/many/0/**", "/many/1/**", "/many/2/**"].map(|folder| format!("{folder} diff=archive-tomb"));
    assert_eq!(lines, folders);
    assert_eq!(repo.git(&["check-attr", "diff", "--", "many/1/100.txt"]), "many/1/100.txt: diff: archive-tomb");
    repo.tomb_ok(&["store", "docs"]);
    assert_eq!(repo.git(&["check-attr", "diff", "--", "docs/old.md"]), "docs/old.md: diff: archive-tomb");
}

#[test]
fn a_linked_working_tree_sees_through_stubs_too() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["worktree", "add", "-q", "../linked", "HEAD"]);
    let linked = world.at("linked");
    assert_eq!(linked.git(&["show", "--format=", "--", OLD]), "");
    linked.tomb_ok(&["store", "src/keep.py"]);
    assert_eq!(linked.git(&["diff", "--cached", "--", "src"]), "");
    assert_eq!(linked.below("src").git(&["diff", "--cached", "--", "keep.py"]), "");
}

#[test]
fn attributes_behind_a_link_are_left_alone() {
    let world = World::new();
    let repo = world.sample("project");
    repo.write("../shared", "# shared\n");
    std::fs::create_dir_all(repo.path.join(".git/info")).unwrap();
    std::os::unix::fs::symlink("../../../shared", repo.path.join(".git/info/attributes")).unwrap();
    let told = repo.tomb(&["init", "--no-hooks", "--textconv"]).exits(1);
    assert!(told.stderr_text().contains("info/attributes"), "{told}");
    assert_eq!(repo.read_text("../shared"), "# shared\n");
    // Where it became a link later, an archival is done all the same.
    repo.git(&["config", "diff.archive-tomb.textconv", "cat"]);
    let told = repo.tomb_ok(&["store", "docs"]);
    assert!(told.stderr_text().contains("hint: `git archive-tomb init --textconv` makes them do so"), "{told}");
}
