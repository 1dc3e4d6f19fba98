//! Hook managers: the real programs where they are cheap to have, husky's files as it makes them.

use super::*;

/// Installs a manager's hooks, as its users do.
fn install(repo: &Repo<'_>, manager: &str, arguments: &[&str]) {
    Run::from(repo.command(tool(manager).unwrap()).args(arguments).output().unwrap()).exits(0);
}

const HOOK_TYPES: [&str; 7] =
    ["install", "--hook-type", "pre-commit", "--hook-type", "pre-merge-commit", "--hook-type", "pre-push"];

/// Holds `manager` to what plain hooks do, with the hooks that we publish for the framework. That the lines which `hooks
/// install` prints do the same has a test of its own.
fn assert_framework_guards(manager: &str) {
    let world = World::new();
    if tool(manager).is_none() {
        return;
    }
    // As managers fetch it, by URL and revision.
    let published = world.init("published");
    published.write(".pre-commit-hooks.yaml", std::fs::read(Path::new(ROOT).join(".pre-commit-hooks.yaml")).unwrap());
    let revision = published.commit_all("hooks");
    let repo = archived(&world, "project", &["--no-hooks"]);
    let configuration = format!(
        "repos:\n  - repo: {}\n    rev: {revision}\n    hooks:\n      - id: archive-tomb\n      - id: archive-tomb-push\n",
        published.path.display()
    );
    repo.write(".pre-commit-config.yaml", configuration);
    repo.git(&["add", ".pre-commit-config.yaml"]);
    repo.commit("configure");
    install(&repo, manager, &HOOK_TYPES);
    repo.tomb_ok(&["hooks", "status"]);

    // It sets aside what is not staged while hooks run, and ours must not see, or lose, any of it.
    repo.write("src/keep.py", "VALUE = 2\n");
    repo.git(&["add", "src/keep.py"]);
    repo.write("src/keep.py", "VALUE = 3\n");
    let stub = repo.read("docs/old.md");
    repo.write("docs/old.md", "not staged\n");
    repo.write("untracked", "x\n");
    let tree = repo.look().tree;
    let honest = repo.try_git(&["commit", "-q", "-m", "one of two changes"]).exits(0);
    assert!(honest.all_text().contains("archived files and their evidence"), "{honest}");
    assert_eq!(repo.git(&["show", "HEAD:src/keep.py"]), "VALUE = 2");
    assert_eq!(repo.look().tree, tree);
    repo.write("docs/old.md", stub);
    tamper(&repo);
    repo.write("src/keep.py", "VALUE = 4\n");
    let before = repo.look();
    let refused = repo.try_git(&["commit", "-q", "-m", "tamper"]).exits(1);
    assert!(refused.all_text().contains("error[stub-mismatch]"), "{refused}");
    assert_eq!(repo.look(), before);
    repo.git(&["reset", "-q", "--hard"]);

    // A merge that loses evidence.
    repo.git(&["switch", "-q", "-c", "topic", "HEAD~3"]);
    repo.git(&["checkout", "-q", "main", "--", ".pre-commit-config.yaml"]);
    repo.commit("configure");
    let merge = repo.try_git(&["merge", "-q", "--no-edit", "-s", "ours", "main"]);
    assert_ne!(merge.code, Some(0), "{merge}");
    assert!(merge.all_text().contains("evidence-rewritten"), "{merge}");
    repo.git(&["merge", "--abort"]);

    // Pushes of stubs whose files stay here: of a new history, and of what is added to one that is there.
    let remote = world.init_with("remote.git", &["--bare"]);
    repo.git(&["remote", "add", "origin", "../remote.git"]);
    repo.git(&["switch", "-q", "--orphan", "fresh"]);
    repo.git(&["checkout", "-q", "main", "--", "README.md", ".pre-commit-config.yaml"]);
    repo.commit("start anew");
    repo.git(&["checkout", "-q", "main", "--", "."]);
    repo.commit("with stubs");
    repo.git(&["config", "archivetomb.hooks.requireCopies", "2"]);
    for already in ["", "fresh~1:refs/heads/fresh"] {
        if !already.is_empty() {
            repo.git(&["push", "-q", "--no-verify", "origin", already]);
        }
        let (there, push) = (remote.git(&["for-each-ref"]), repo.try_git(&["push", "-q", "origin", "fresh"]));
        assert_eq!(push.code, Some(1), "{push}");
        assert!(push.all_text().contains("3 stubs are in fewer than 2 places"), "{push}");
        assert_eq!(remote.git(&["for-each-ref"]), there);
    }
}

#[test]
fn the_real_pre_commit_runs_our_hooks() {
    assert_framework_guards("pre-commit");
}

#[test]
fn the_real_prek_runs_our_hooks() {
    assert_framework_guards("prek");
}

#[test]
fn what_is_published_for_the_framework_is_valid() {
    let Some(program) = tool("pre-commit") else { return };
    let world = World::new();
    let manifest = Path::new(ROOT).join(".pre-commit-hooks.yaml");
    Run::from(world.at("").command(program).arg("validate-manifest").arg(manifest).output().unwrap()).exits(0);
}

#[test]
fn what_a_manager_owns_is_left_to_it_and_its_lines_are_enough() {
    let world = World::new();
    for (manager, file, content, arguments) in [
        ("pre-commit", ".pre-commit-config.yaml", "repos: []\n", &HOOK_TYPES[..]),
        ("prek", "prek.toml", "repos = []\n", &HOOK_TYPES),
        ("lefthook", "lefthook.yml", "pre-commit:\n  commands:\n    own:\n      run: 'true'\n", &["install", "-f"]),
    ] {
        if tool(manager).is_none() {
            return;
        }
        let repo = world.sample(manager);
        repo.write(file, content);
        repo.git(&["add", file]);
        repo.commit("configure");
        install(&repo, manager, arguments);
        let hooks = repo.path.join(".git/hooks");
        let before = listing(&hooks);
        assert!(before.keys().any(|path| path.ends_with("pre-commit")), "{manager}: {before:?}");
        let told = repo.tomb_ok(&["hooks", "install"]);
        assert!(told.stderr_text().starts_with(&format!("{manager} manages the hooks here")), "{told}");
        assert!(told.stderr_text().contains(&format!("\n{file}:\n")), "{told}");
        repo.tomb_ok(&["init"]);
        repo.tomb_ok(&["hooks", "uninstall"]);
        assert_eq!(listing(&hooks), before);
        let status = repo.tomb(&["hooks", "status"]).exits(1).stdout_text();
        assert!(status.contains(&format!("managed by {manager}\n")), "{status}");

        // What was printed, put where it says.
        let (name, lines) = snippets(&told).remove(0);
        assert_eq!(name, file);
        let start = match manager {
            "pre-commit" => "repos:\n",
            _ => "",
        };
        repo.write(&name, format!("{start}{lines}"));
        repo.git(&["add", "-A"]);
        repo.commit("wire");
        install(&repo, manager, arguments);
        repo.tomb_ok(&["hooks", "status"]);
        repo.tomb_ok(&["store", "docs", "src/legacy"]);
        repo.commit("archive");
        assert_guarded(&repo);
    }
}

#[test]
fn lefthook_hands_over_what_is_pushed() {
    let Some(lefthook) = tool("lefthook") else { return };
    let world = World::new();
    world.init_with("remote.git", &["--bare"]);
    let repo = archived(&world, "project", &["--no-hooks"]);
    repo.write("lefthook.yml", std::fs::read(Path::new(ROOT).join("hooks/lefthook.yml")).unwrap());
    repo.git(&["add", "lefthook.yml"]);
    repo.commit("configure");
    Run::from(repo.command(lefthook).args(["install", "-f"]).output().unwrap()).exits(0);
    repo.git(&["config", "archivetomb.hooks.requireCopies", "9"]);
    let push = repo.try_git(&["push", "-q", "../remote.git", "main"]);
    assert!(push.all_text().contains("fewer than 9 places"), "{push}");
}

#[test]
fn husky_is_left_to_its_own_folder() {
    let world = World::new();
    let repo = archived(&world, "project", &["--no-hooks"]);
    // What version 9 makes of `husky init`: generated hooks that call the user's of the same name.
    repo.git(&["config", "core.hooksPath", ".husky/_"]);
    repo.write(".husky/_/.gitignore", "*");
    let runner = "#!/usr/bin/env sh\nn=$(basename \"$0\")\ns=$(dirname \"$(dirname \"$0\")\")/$n\n\
                  [ ! -f \"$s\" ] && exit 0\nsh -e \"$s\" \"$@\"\n";
    write_hook(&repo.path.join(".husky/_/h"), runner, 0o644);
    for hook in ["pre-commit", "pre-merge-commit", "pre-push"] {
        write_hook(&repo.path.join(".husky/_").join(hook), "#!/usr/bin/env sh\n. \"$(dirname \"$0\")/h\"", 0o755);
    }
    let before = repo.look();
    let told = repo.tomb_ok(&["hooks", "install"]);
    assert!(told.stderr_text().starts_with("husky manages the hooks here"), "{told}");
    assert_eq!(repo.look(), before);
    for (file, text) in snippets(&told) {
        repo.write(file, text);
    }
    repo.git(&["add", ".husky"]);
    repo.commit("hooks");
    repo.tomb_ok(&["hooks", "status"]);
    assert_guarded(&repo);
    repo.git(&["config", "archivetomb.hooks.requireCopies", "9"]);
    world.init_with("remote.git", &["--bare"]);
    let push = repo.try_git(&["push", "-q", "../remote.git", "main"]);
    assert!(push.stderr_text().contains("fewer than 9 places"), "{push}");
}
