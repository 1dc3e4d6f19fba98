//! What a server and a CI system run: the `pre-receive` hook in a real bare repository with real pushes, and the recipes of
//! `docs/ci`, as their systems would run them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{Repo, Run, World, tool};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Makes a server with our hook, and a clone with `docs/old.md` archived and pushed there.
fn served<'a>(world: &'a World, options: &[&str]) -> (Repo<'a>, Repo<'a>) {
    let server = world.init_with("server.git", &[&["--bare"], options].concat());
    std::fs::copy(Path::new(ROOT).join("hooks/pre-receive.sh"), server.path.join("hooks/pre-receive")).unwrap();
    let repo = world.init_with("project", options);
    repo.write("README.md", "# sample\n");
    repo.write("docs/old.md", "# Old\n");
    repo.write("docs/older.md", "# Older\n");
    repo.commit_all("first");
    repo.git(&["remote", "add", "origin", "../server.git"]);
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo.tomb_ok(&["store", "docs/old.md"]);
    repo.commit("archive");
    repo.git(&["push", "-q", "origin", "main"]);
    (server, repo)
}

/// Pushes what the server must refuse with this finding, shown to whoever pushes, and without any change.
#[track_caller]
fn assert_refused(repo: &Repo<'_>, arguments: &[&str], finding: &str) {
    let server = repo.world.at("server.git");
    let before = server.git(&["for-each-ref"]);
    let run = repo.try_git(&[&["push", "-q", "origin"], arguments].concat());
    assert_eq!(run.code, Some(1), "{run}");
    let told = run.stderr_text();
    assert!(told.contains("pre-receive hook declined"), "{told}");
    let shown = told.lines().any(|line| line.starts_with("remote: ") && line.contains(finding));
    assert!(shown, "`{finding}` is not in: {told}");
    assert_eq!(server.git(&["for-each-ref"]), before);
}

#[test]
fn honest_pushes_are_accepted() {
    for format in ["sha1", "sha256"] {
        let world = World::new();
        let (server, repo) = served(&world, &["--object-format", format]);
        // A new branch, two references and a tag at once, a fast-forward, a merge.
        repo.git(&["switch", "-q", "-c", "topic"]);
        repo.tomb_ok(&["store", "docs/older.md"]);
        repo.commit("archive another");
        repo.git(&["tag", "-a", "-m", "tag", "v1"]);
        repo.git(&["push", "-q", "origin", "topic", "v1"]);
        repo.git(&["switch", "-q", "main"]);
        repo.write("notes", "more\n");
        repo.commit_all("more");
        repo.git(&["merge", "-q", "--no-edit", "topic"]);
        repo.git(&["tag", "v2"]);
        repo.git(&["push", "-q", "origin", "main", "main:refs/heads/copy", "v2"]);
        repo.tomb_ok(&["restore", "docs/old.md"]);
        repo.commit("restore");
        repo.git(&["push", "-q", "origin", "main"]);
        // An orphan has nothing in common with what is there.
        repo.git(&["switch", "-q", "--orphan", "orphan"]);
        repo.write("page", "x\n");
        repo.commit_all("page");
        repo.git(&["push", "-q", "origin", "orphan"]);
        // A blob can be tagged, too, and the tag moved to a commit.
        repo.git(&["tag", "blob", "HEAD:page"]);
        repo.git(&["push", "-q", "origin", "blob"]);
        repo.git(&["tag", "-f", "blob", "HEAD"]);
        repo.git(&["push", "-q", "-f", "origin", "blob"]);
        repo.git(&["push", "-q", "origin", ":topic", ":v1"]);
        let left = server.git(&["for-each-ref", "--format=%(refname)"]);
        let expected = ["heads/copy", "heads/main", "heads/orphan", "tags/blob", "tags/v2"];
        assert_eq!(left, expected.map(|name| format!("refs/{name}")).join("\n"));
        // What git unpacked or kept is what it would be without the hook.
        server.git(&["fsck", "--strict"]);
        server.tomb_ok(&["verify", "--all", "--strict"]);
    }
}

/// A way of damaging a repository: its name, what does it, and the rule that finds it.
type Damage = (&'static str, fn(&Repo<'_>), &'static str);

const DAMAGES: &[Damage] = &[
    ("a stub is edited", |repo| repo.write("docs/old.md", repo.read_text("docs/old.md") + "\nmore\n"), "stub-mismatch"),
    ("a stub is overwritten", |repo| repo.write("docs/old.md", "new\n"), "stub-removed"),
    (
        "evidence is dropped",
        |repo| std::fs::remove_dir_all(repo.path.join(".codex/evidence/ops")).unwrap(),
        "evidence-rewritten",
    ),
    (
        "evidence is edited",
        |repo| {
            let file = repo.git(&["ls-files", ".codex/evidence"]);
            repo.write(&file, repo.read_text(&file).replace("dead", "gone"));
        },
        "evidence-rewritten",
    ),
    (
        "a stub is made up",
        |repo| {
            let other = repo.read_text("docs/old.md").replace("docs/old.md", "docs/older.md");
            repo.write("docs/older.md", other);
        },
        "stub-mismatch",
    ),
    (
        "an archived file was not that file",
        |repo| {
            repo.tomb_ok(&["store", "docs/older.md"]);
            let stub = repo.read("docs/older.md");
            repo.git(&["checkout", "-q", "HEAD", "--", "docs/older.md"]);
            repo.write("docs/older.md", "changed first\n");
            repo.git(&["commit", "-q", "-m", "slip in", "docs/older.md"]);
            repo.write("docs/older.md", stub);
        },
        "stub-mismatch",
    ),
];

#[test]
fn every_damage_is_refused_and_shown_to_whoever_pushes() {
    let world = World::new();
    let (server, repo) = served(&world, &[]);
    for (number, (name, damage, finding)) in DAMAGES.iter().enumerate() {
        let repo = repo.sibling(&number.to_string());
        damage(&repo);
        repo.commit_all(name);
        assert_refused(&repo, &["main"], finding);
        // Nor on another branch, as a tag, among honest ones, or hidden under a later commit that mends the tip.
        assert_refused(&repo, &["main:refs/heads/new"], finding);
        repo.git(&["tag", "-a", "-m", "tag", "damaged"]);
        assert_refused(&repo, &["main~1:refs/heads/honest", "damaged"], finding);
        if !name.starts_with("evidence") {
            repo.git(&["checkout", "-q", "origin/main", "--", "."]);
            repo.commit_all("as it was");
            assert_refused(&repo, &["main"], finding);
        }
    }
    // Objects of refused pushes stay in their quarantine, and are gone.
    server.git(&["fsck", "--strict", "--no-dangling"]);
    assert!(!server.git(&["count-objects", "-v"]).contains("garbage: 1"));
}

#[test]
fn a_forced_push_may_rewrite_commits_and_not_drop_evidence() {
    let world = World::new();
    let (server, repo) = served(&world, &[]);
    // A rebase: other commits with the same stubs and evidence.
    repo.git(&["commit", "-q", "--no-verify", "--amend", "-m", "archive, in other words"]);
    repo.git(&["push", "-q", "-f", "origin", "main"]);
    let evidence = repo.git(&["ls-files", ".codex/evidence"]);

    repo.git(&["switch", "-q", "-C", "rewound", "main~1"]);
    assert_refused(&repo, &["+rewound:main"], "evidence-rewritten");
    assert_refused(&repo, &["+rewound:main"], &evidence);
    repo.write("docs/old.md", "changed instead\n");
    repo.commit_all("change");
    assert_refused(&repo, &["+rewound:main"], "stub-removed");

    // Where the server says so, a branch is its author's own.
    server.git(&["config", "--add", "hooks.archiveTombMayRewrite", "refs/heads/wip/*"]);
    server.git(&["config", "--add", "hooks.archiveTombMayRewrite", "refs/heads/try-*"]);
    for name in ["wip/mine", "try-this"] {
        repo.git(&["push", "-q", "origin", &format!("main:refs/heads/{name}")]);
        repo.git(&["push", "-q", "origin", &format!("+rewound:refs/heads/{name}")]);
    }
    assert_refused(&repo, &["+rewound:main"], "evidence-rewritten");
}

#[test]
fn a_server_without_the_program_refuses_and_says_so() {
    let world = World::new();
    let (server, repo) = served(&world, &[]);
    let hook = server.read_text("hooks/pre-receive").replace("git-archive-tomb", "git-archive-tomb-nowhere");
    server.write("hooks/pre-receive", hook);
    repo.write("notes", "more\n");
    repo.commit_all("more");
    assert_refused(&repo, &["main"], "which its hooks do not find");
}

/// Returns a recipe as data.
fn recipe(world: &World, name: &str) -> Option<serde_json::Value> {
    let python = tool("python")?;
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let path = Path::new(ROOT).join(name);
    let run = Run::from(world.at("").command(python).args(["-c", script]).arg(path).output().unwrap()).exits(0);
    Some(serde_json::from_slice(&run.stdout).unwrap())
}

/// Runs the lines of a recipe's step as its system does, with these variables.
fn run_step(repo: &Repo<'_>, script: &str, variables: &BTreeMap<&str, String>) -> Run {
    let mut command = repo.command("bash");
    command.args(["-e", "-o", "pipefail", "-c", script]).envs(variables);
    Run::from(command.output().unwrap())
}

/// What happens on a host, and which commits its variables then name.
struct Host<'a> {
    /// What the host checked out: a clone with the history of the branch that was pushed, or of the merge to be.
    checkout: Repo<'a>,
    base: String,
    before: String,
    pushed: bool,
}

/// Makes the events that recipes have to tell apart; each with what must be found, `None` for an honest one.
fn events(world: &World) -> Vec<(&'static str, Host<'_>, Option<&'static str>)> {
    let server = world.init_with("host.git", &["--bare"]);
    // As hosts do, so that a commit that no branch has any more can be asked for.
    server.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let repo = world.sample("author");
    let start = repo.git(&["rev-parse", "HEAD"]);
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo.tomb_ok(&["store", "docs"]);
    let archived = repo.commit("archive");
    repo.git(&["remote", "add", "origin", "../host.git"]);
    repo.git(&["push", "-q", "origin", "main"]);
    let null = "0".repeat(40);
    let mut events = Vec::new();
    let mut event = |name: &'static str, base: &str, before: &str, pushed, finding: Option<&'static str>| {
        // What is at HEAD is what the host would check out.
        repo.git(&["push", "-q", "-f", "origin", "HEAD:refs/heads/checkout"]);
        let folder = format!("checkout-{}", events.len());
        world.at("").git(&["clone", "-q", "--no-local", "--single-branch", "-b", "checkout", "host.git", &folder]);
        let host = Host { checkout: world.at(&folder), base: base.into(), before: before.into(), pushed };
        events.push((name, host, finding));
    };
    event("a new branch", "", &null, true, None);
    event("a push", "", &start, true, None);
    repo.git(&["switch", "-q", "-c", "topic"]);
    repo.tomb_ok(&["store", "src/legacy"]);
    repo.commit("archive more");
    repo.git(&["switch", "-q", "main"]);
    repo.write("notes", "more\n");
    repo.commit_all("more");
    repo.git(&["switch", "-q", "-c", "merge", "main"]);
    repo.git(&["merge", "-q", "--no-edit", "topic"]);
    event("a merge request", &archived, "", false, None);
    repo.write("src/legacy/old.py", "edited\n");
    repo.commit_all("edit what is archived");
    event("a merge request that overwrites a stub", &archived, "", false, Some("stub-removed"));
    event("a push that overwrites a stub", "", &archived, true, Some("stub-removed"));
    repo.git(&["switch", "-q", "--detach", &start]);
    repo.write("notes", "other\n");
    repo.commit_all("without the archive");
    event("a forced push that drops evidence", "", &archived, true, Some("evidence-rewritten"));
    events
}

#[test]
fn the_recipe_for_github_passes_honest_changes_and_annotates_others() {
    let world = World::new();
    let Some(recipe) = recipe(&world, "docs/ci/github.yml") else { return };
    let job = &recipe["jobs"]["verify"];
    assert_eq!(recipe["permissions"], serde_json::json!({ "contents": "read" }));
    let steps = job["steps"].as_array().unwrap();
    assert_eq!(steps[0]["with"]["fetch-depth"], 0);
    let step = steps.iter().find(|step| step["name"] == "verify").unwrap();
    for (name, host, finding) in events(&world) {
        let context = |expression: &str| match expression {
            "github.event_name" if host.pushed => "push".to_owned(),
            "github.event_name" => "pull_request".to_owned(),
            "github.event.pull_request.base.sha || github.event.merge_group.base_sha" => host.base.clone(),
            "github.event.before" => host.before.clone(),
            other => panic!("{other} is no part of a context that this test knows"),
        };
        let mut variables = BTreeMap::new();
        for (key, value) in step["env"].as_object().unwrap() {
            let expression = value.as_str().unwrap().trim_start_matches("${{ ").trim_end_matches(" }}");
            variables.insert(key.as_str(), context(expression));
        }
        let script = step["run"].as_str().unwrap();
        assert!(!script.contains("${{"), "what others name is no part of a script");
        let run = run_step(&host.checkout, script, &variables);
        assert_eq!(run.code, Some(i32::from(finding.is_some())), "{name}: {run}");
        if let Some(finding) = finding {
            assert!(run.stdout_text().contains(&format!("title={finding}")), "{name}: {run}");
        }
    }
}

#[test]
fn the_recipe_for_gitlab_passes_honest_changes_and_no_others() {
    let world = World::new();
    let Some(recipe) = recipe(&world, "docs/ci/gitlab.yml") else { return };
    let job = &recipe["archive-tomb"];
    assert_eq!(job["variables"]["GIT_DEPTH"], 0);
    let script = job["script"][0].as_str().unwrap();
    for (name, host, finding) in events(&world) {
        let source = if host.pushed { "push" } else { "merge_request_event" };
        let null = "0".repeat(40);
        let before = if host.pushed { host.before.clone() } else { null };
        let mut variables =
            BTreeMap::from([("CI_PIPELINE_SOURCE", source.to_owned()), ("CI_COMMIT_BEFORE_SHA", before)]);
        if !host.pushed {
            variables.insert("CI_MERGE_REQUEST_DIFF_BASE_SHA", host.base);
        }
        let run = run_step(&host.checkout, script, &variables);
        assert_eq!(run.code, Some(i32::from(finding.is_some())), "{name}: {run}");
        assert!(finding.is_none_or(|finding| run.stdout_text().contains(finding)), "{name}: {run}");
    }
}

#[test]
fn our_own_workflow_runs_what_everybody_runs() {
    let world = World::new();
    let Some(workflow) = recipe(&world, ".github/workflows/ci.yml") else { return };
    let steps = workflow["jobs"]["run"]["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["run"] == ".ci/run"), "{workflow}");
}

#[test]
fn a_checkout_without_its_history_is_no_pass_and_names_the_fetch_that_helps() {
    let world = World::new();
    let repo = world.sample("author");
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo.tomb_ok(&["store", "docs"]);
    repo.commit("archive");
    repo.git(&["commit", "-q", "--allow-empty", "-m", "more"]);
    repo.git(&["clone", "-q", "--depth=1", &format!("file://{}", repo.path.display()), "../shallow"]);
    let shallow = world.at("shallow");
    let unknown = repo.git(&["rev-parse", "HEAD~1"]);
    let range = format!("{unknown}..HEAD");
    let told = shallow.tomb(&["verify", "--range", &range]).exits(2).stderr_text();
    assert!(told.contains(&format!("git fetch origin {unknown}")), "{told}");
    let all = shallow.tomb(&["verify", "--all"]).exits(1).stdout_text();
    assert!(all.contains("history-incomplete") && all.contains("git fetch --unshallow"), "{all}");
    shallow.git(&["fetch", "-q", "--unshallow"]);
    shallow.tomb_ok(&["verify", "--range", &range]);
}

#[test]
fn the_lines_for_code_scanning_upload_what_is_found_and_what_is_not() {
    let world = World::new();
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/ci.md")).unwrap();
    let line = page.lines().find_map(|line| line.trim().strip_prefix("run: ")).unwrap();
    for (name, host, finding) in events(&world).into_iter().filter(|(_, host, _)| host.pushed) {
        // The step before has fetched it.
        host.checkout.git(&["fetch", "-q", "../author", "main"]);
        run_step(&host.checkout, line, &BTreeMap::from([("BEFORE", host.before.clone())])).exits(0);
        let sarif: serde_json::Value = serde_json::from_slice(&host.checkout.read("archive-tomb.sarif")).unwrap();
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        assert_eq!(
            results.iter().any(|result| Some(result["ruleId"].as_str().unwrap()) == finding),
            finding.is_some(),
            "{name}"
        );
        assert!(finding.is_some() || results.is_empty(), "{name}: {sarif}");
    }
}
