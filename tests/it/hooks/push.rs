//! The pre-push hook: where the bytes behind pushed stubs are, by all that this clone knows, and by nothing else.

use super::*;

/// Returns a repository with archived files whose history the remotes, made here, do not have yet.
fn unpushed<'w>(world: &'w World, remotes: &[&str]) -> Repo<'w> {
    let repo = archived(world, "project", &[]);
    for name in remotes {
        world.init_with(&format!("{name}.git"), &["--bare"]);
        repo.git(&["remote", "add", name, &format!("../{name}.git")]);
    }
    repo
}

/// Makes the branch `fresh`: a history that starts with the stubs, so that a push of it leaves their files behind.
fn start_anew(repo: &Repo<'_>) {
    repo.git(&["switch", "-q", "--orphan", "fresh"]);
    repo.git(&["checkout", "-q", "main", "--", "."]);
    repo.commit("start anew");
}

/// Returns what a push says.
#[track_caller]
fn pushed(repo: &Repo<'_>, arguments: &[&str]) -> String {
    repo.try_git(&[&["push", "-q"], arguments].concat()).exits(0).stderr_text()
}

#[track_caller]
fn refused(repo: &Repo<'_>, arguments: &[&str]) -> String {
    let run = repo.try_git(&[&["push", "-q"], arguments].concat());
    assert_eq!(run.code, Some(1), "{run}");
    run.stderr_text()
}

fn require(repo: &Repo<'_>, copies: usize) {
    repo.git(&["config", "archivetomb.hooks.requireCopies", &copies.to_string()]);
}

#[test]
fn bytes_that_would_be_only_on_this_machine_are_warned_about() {
    let world = World::new();
    let repo = unpushed(&world, &["origin"]);
    start_anew(&repo);
    let told = pushed(&repo, &["origin", "fresh"]);
    assert_eq!(told.matches("are only on this machine").count(), 3, "{told}");
    // What a remote has already was said once.
    repo.write("notes", "more\n");
    repo.git(&["add", "notes"]);
    repo.git(&["commit", "-q", "-m", "more"]);
    assert_eq!(pushed(&repo, &["origin", "fresh", "fresh:another"]), "");
    // Nor is there anything to say where the files go along.
    repo.git(&["push", "-q", "--delete", "origin", "fresh", "another"]);
    assert_eq!(pushed(&repo, &["origin", "main", "fresh"]), "");
}

#[test]
fn each_remote_that_has_or_gets_the_files_is_a_place() {
    let world = World::new();
    let repo = unpushed(&world, &["origin", "backup", "empty"]);
    require(&repo, 3);
    // This archive, and origin.
    let told = refused(&repo, &["origin", "main"]);
    assert!(told.contains("fewer than 3 places") && told.contains("docs/old.md is in 2 places"), "{told}");
    require(&repo, 2);
    assert_eq!(pushed(&repo, &["origin", "main"]), "");
    require(&repo, 3);
    // A second URL of the same place is not a second place.
    repo.git(&["remote", "add", "same", "../origin.git/"]);
    repo.git(&["fetch", "-q", "same"]);
    start_anew(&repo);
    assert!(refused(&repo, &["empty", "fresh"]).contains("docs/old.md is in 2 places"));
    // Nor is one that this clone has heard nothing of, or whose remote is gone; a remote's name may hold a slash.
    repo.git(&["update-ref", "refs/remotes/nobody/main", "main"]);
    assert!(refused(&repo, &["empty", "fresh"]).contains("docs/old.md is in 2 places"));
    repo.git(&["remote", "rename", "backup", "backup/far"]);
    repo.git(&["push", "-q", "--no-verify", "backup/far", "main"]);
    assert_eq!(pushed(&repo, &["empty", "fresh"]), "");
    // The same remote by its URL.
    repo.git(&["push", "-q", "--no-verify", "--delete", "empty", "fresh"]);
    require(&repo, 4);
    assert!(refused(&repo, &["../empty.git", "fresh"]).contains("docs/old.md is in 3 places"));
    assert_eq!(pushed(&repo, &["../empty.git", "main", "fresh"]), "");
}

#[test]
fn what_a_push_takes_away_is_no_place_any_more() {
    let world = World::new();
    let repo = unpushed(&world, &["origin"]);
    repo.git(&["push", "-q", "origin", "main"]);
    start_anew(&repo);
    let told = pushed(&repo, &["--force", "origin", "fresh:main"]);
    assert_eq!(told.matches("are only on this machine").count(), 3, "{told}");
    // Deleting is no reason to ask for anything.
    require(&repo, 100);
    repo.git(&["push", "-q", "origin", "main:other", "--no-verify"]);
    assert_eq!(pushed(&repo, &["--delete", "origin", "other"]), "");
}

#[test]
fn tags_and_many_references_count_what_they_bring() {
    let world = World::new();
    let repo = unpushed(&world, &["origin"]);
    require(&repo, 9);
    repo.git(&["tag", "-a", "-m", "tag", "v1"]);
    repo.git(&["tag", "-a", "-m", "tag of a tag", "v2", "v1"]);
    repo.git(&["tag", "text", "HEAD:README.md"]);
    repo.git(&["tag", "before", "HEAD~1"]);
    assert_eq!(pushed(&repo, &["origin", "text", "before"]), "");
    for name in ["v1", "v2", "HEAD:refs/heads/x", "HEAD^{/archive}:refs/heads/x", ":/archive:refs/tags/y"] {
        let told = refused(&repo, &["origin", name]);
        assert!(told.contains("3 stubs are in fewer than 9 places"), "{name}: {told}");
    }
    let many: Vec<String> = (0..40).map(|number| format!("main:refs/heads/b{number}")).collect();
    let many: Vec<&str> = std::iter::once("origin").chain(many.iter().map(String::as_str)).collect();
    let told = refused(&repo, &many);
    assert!(told.contains("3 stubs are in fewer than 9 places"), "each once: {told}");
    // Where none of them brings a stub, nothing is asked at all.
    repo.git(&["push", "-q", "--no-verify", "origin", "main"]);
    assert_eq!(pushed(&repo, &many), "");
}

#[test]
fn exempt_and_uncommitted_files_are_told_from_others() {
    let world = World::new();
    let repo = unpushed(&world, &["origin"]);
    repo.write("docs/draft.md", "draft\n");
    repo.commit_all("draft");
    repo.write("docs/draft.md", "draft, changed since\n");
    repo.tomb_ok(&["store", "--allow-dirty", "docs/draft.md"]);
    repo.commit("archive a draft");
    let told = pushed(&repo, &["origin", "main"]);
    assert_eq!(told, "warning: the bytes of docs/draft.md are only on this machine\n");
    repo.git(&["switch", "-q", "--orphan", "fixtures"]);
    repo.git(&["checkout", "-q", "main", "--", "."]);
    repo.write(".gitattributes", "docs/** -archive-tomb\n*.py -archive-tomb\n*.sh -archive-tomb\n");
    repo.commit_all("fixtures");
    world.init_with("elsewhere.git", &["--bare"]);
    assert_eq!(pushed(&repo, &["../elsewhere.git", "fixtures"]), "");
}

#[test]
fn a_server_counts_by_its_url_and_is_not_connected_to() {
    let world = World::new();
    let repo = unpushed(&world, &["origin"]);
    // Whoever connects to it is noticed.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    for scheme in ["postgres", "mariadb"] {
        let url = format!("{scheme}://user:secret@{}/archive", server.local_addr().unwrap());
        let repo = repo.with("CODEX_ARCHIVE_URL", &url);
        require(&repo, 2);
        assert_eq!(pushed(&repo, &["origin", "main:topic"]), "");
        repo.git(&["push", "-q", "--no-verify", "--delete", "origin", "topic"]);
        require(&repo, 3);
        let told = refused(&repo, &["origin", "main"]);
        assert!(told.contains("docs/old.md is in 2 places") && !told.contains("secret"), "{told}");
    }
    assert_eq!(server.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_push_without_stubs_fails_for_no_configuration_and_no_archive() {
    let world = World::new();
    let repo = unpushed(&world, &["origin"]);
    repo.git(&["push", "-q", "origin", "main"]);
    repo.write(".codex/archive.toml", "[hooks]\nrequire_copies = 2\n");
    repo.git(&["add", "-f", ".codex/archive.toml"]);
    repo.commit("ask for copies");
    assert_eq!(pushed(&repo, &["origin", "main"]), "");
    // Where there are stubs, a configuration that nobody trusted is not followed, and not passed over either.
    start_anew(&repo);
    let told = refused(&repo, &["origin", "fresh"]);
    assert!(told.contains("git archive-tomb trust"), "{told}");
}

#[test]
fn what_is_not_a_list_of_references_is_refused() {
    let world = World::new();
    let repo = unpushed(&world, &[]);
    let id = repo.git(&["rev-parse", "HEAD"]);
    for wrong in ["main", "a b c d", &format!("refs/heads/main {id} {id}"), &format!("{id} {id} x {id}z")] {
        let told = repo.tomb_with_input(&["hooks", "run", "pre-push"], wrong.as_bytes()).exits(1).stderr_text();
        assert!(told.contains("is not what git tells a pre-push hook"), "{told}");
    }
    let line = format!("refs/heads/\u{e9} \\ with blanks {id} refs/heads/\u{e9} {}\n", "0".repeat(40));
    repo.tomb_with_input(&["hooks", "run", "pre-push"], line.as_bytes()).exits(0);
    // A commit that is not here (somebody else pushed it) excludes nothing.
    let line = format!("refs/heads/main {id} refs/heads/main {}\n", "1".repeat(40));
    repo.tomb_with_input(&["hooks", "run", "pre-push"], line.as_bytes()).exits(0);
}

#[test]
fn the_cost_of_a_push_grows_with_neither_references_nor_stubs_in_processes() {
    let world = World::new();
    let repo = world.init("project");
    for number in 0..60 {
        repo.write(format!("old/{number}.md"), format!("{number}\n"));
    }
    repo.commit_all("first");
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo.tomb_ok(&["store", "old/1.md"]);
    repo.commit("archive one");
    let update = |reference: &str| {
        format!("{reference} {} refs/heads/{reference} {}\n", repo.git(&["rev-parse", reference]), "0".repeat(40))
    };
    let processes = |input: &str| {
        let trace = world.at("trace").path;
        let _ = std::fs::remove_file(&trace);
        let run = repo
            .with("GIT_TRACE2_EVENT", &trace)
            .tomb_with_input(&["hooks", "run", "pre-push", "--", "origin", "nowhere"], input.as_bytes());
        let run = run.exits(0);
        assert_eq!(run.stderr_text(), "");
        std::fs::read_to_string(&trace).unwrap().matches("\"event\":\"start\"").count()
    };
    let one = processes(&update("main"));
    repo.tomb_ok(&["store", "old"]);
    repo.commit("archive the others");
    let mut many = update("main");
    for number in 0..50 {
        repo.git(&["tag", "-a", "-m", "tag", &format!("v{number}"), "HEAD~1"]);
        many += &update(&format!("v{number}"));
    }
    assert_eq!(processes(&many), one);
}
