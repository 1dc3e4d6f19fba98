//! `export`: an archive as plain files, got out again with plain tools.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use git_archive_tomb::fault::VARIABLE;

use crate::common::{Repo, Run, World};

/// Runs the export's own script with nothing but a shell, `zstd`, `sha256sum` and what a shell cannot do without.
fn restore_by_hand(world: &World, export: &Path, output: &Path) {
    let tools = world.at("tools").path;
    if !tools.exists() {
        fs::create_dir(&tools).unwrap();
        let path = std::env::var_os("PATH").unwrap();
        for tool in ["zstd", "sha256sum", "mkdir", "chmod", "cat", "ln"] {
            let mut found = std::env::split_paths(&path).map(|folder| folder.join(tool));
            std::os::unix::fs::symlink(found.find(|path| path.exists()).expect(tool), tools.join(tool)).unwrap();
        }
    }
    let mut command = Command::new("/bin/sh");
    command.arg(export.join("restore.sh")).args([export, output]).env_clear().env("PATH", &tools);
    Run::from(command.output().unwrap()).exits(0);
}

/// Returns every file below `folder` by its path: what it is, and its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, (String, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt as _;
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let what = if metadata.is_symlink() {
                ("link".to_owned(), fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec())
            } else if metadata.is_dir() {
                folders.push(path);
                continue;
            } else {
                let executable = metadata.permissions().mode() & 0o100 != 0;
                (format!("file {executable}"), fs::read(&path).unwrap())
            };
            found.insert(path.strip_prefix(folder).unwrap().to_owned(), what);
        }
    }
    found
}

/// The size of a block.
const BLOCK: usize = 1 << 20;

/// Makes 200 files of every size class, with names that shells and JSON dislike.
fn awkward(repo: &Repo<'_>) {
    let noise = |length: usize| crate::migrate::noise(length as u64, length);
    for size in [0, 1, 2, 4095, 65_536, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17] {
        repo.write(format!("sizes/{size}.bin"), noise(size));
        repo.write(
            format!("sizes/{size}.txt"),
            b"again and again\n".iter().copied().cycle().take(size).collect::<Vec<_>>(),
        );
    }
    for name in [
        &b"blank s"[..],
        b" leading",
        b"trailing ",
        b"new\nline",
        b"new\n",
        b"caf\xc3\xa9",
        b"caf\xe9",
        b"\\0101 \\n %s",
        b"quo'te\"",
        b"-dash",
        b"*?[a]",
        b"$(exit 3)`exit 3`;",
        b"\t\x01",
    ] {
        repo.write(crate::common::path_of(&[b"names/", name].concat()), name);
    }
    for number in 0..165 {
        repo.write(format!("many/{}/{number}.py", number % 7), format!("value = {number}\n").repeat(number));
    }
    repo.write("run.sh", "#!/bin/sh\n");
    repo.set_executable("run.sh");
    for (link, target) in [("links/a", "../run.sh"), ("links/b", "-x \n\n"), ("links/c", "gone")] {
        fs::create_dir_all(repo.path.join("links")).unwrap();
        std::os::unix::fs::symlink(target, repo.path.join(link)).unwrap();
    }
    repo.commit_all("awkward");
}

#[test]
fn a_shell_restores_files_of_every_size_and_name() {
    let world = World::new();
    let repo = world.init("project");
    awkward(&repo);
    let originals: BTreeMap<_, _> =
        files(&repo.path).into_iter().filter(|(path, _)| !path.starts_with(".git")).collect();
    assert_eq!(originals.len(), 200);
    repo.tomb_ok(&["store", "."]);
    let run = repo.tomb_ok(&["export", "../out", "--json"]);
    let said = &run.json()[0];
    assert_eq!((said["items"].as_u64(), said["events"].as_u64()), (Some(200), Some(200)));

    let (export, output) = (world.at("out").path, world.at("back").path);
    restore_by_hand(&world, &export, &output);
    let restored: BTreeMap<PathBuf, _> =
        files(&output).into_iter().map(|(path, what)| (path.components().skip(1).collect(), what)).collect();
    assert_eq!(restored.keys().collect::<Vec<_>>(), originals.keys().collect::<Vec<_>>());
    for (path, what) in &originals {
        assert!(restored[path] == *what, "{path:?}");
    }

    // The digest is that of a file, and the same without writing anything.
    let digest = Run::from(repo.command("sha256sum").arg(export.join("manifest.json")).output().unwrap()).stdout_text();
    assert_eq!(said["digest"].as_str().unwrap(), &digest[..64]);
    assert_eq!(repo.tomb_ok(&["export", "--digest"]).stdout_text().trim(), &digest[..64]);
    // An export is no change: the next one is the same.
    assert!(repo.tomb_ok(&["export", "../again"]).stdout_text().starts_with(&digest[..64]));
    let logged = repo.tomb_ok(&["evidence", "log", "--json", "--action", "EXPORT"]).json();
    assert_eq!(logged.len(), 2);
    assert_eq!(logged[0]["sha256"].as_str(), Some(&digest[..64]));
    let (first, again) = (files(&export), files(&world.at("again").path));
    for (path, what) in &first {
        assert!(again[path] == *what || path.ends_with("about.json") || path.ends_with("SHA256SUMS"), "{path:?}");
    }
}

#[test]
fn a_changed_byte_of_an_export_is_found() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "src", "docs"]);
    repo.tomb_ok(&["export", "../out"]);
    let export = world.at("out").path;
    for path in files(&export).keys().filter(|path| !path.ends_with("SHA256SUMS")) {
        let path = export.join(path);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        fs::write(&path, &changed).unwrap();
        let mut check = Command::new("sha256sum");
        check.args(["-c", "--quiet", "SHA256SUMS"]).current_dir(&export);
        assert!(!check.output().unwrap().status.success(), "{path:?}");
        fs::write(&path, whole).unwrap();
        assert!(check.output().unwrap().status.success(), "{path:?}");
    }
}

#[test]
fn what_stands_there_is_left_alone_and_a_killed_export_leaves_nothing() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "src", "docs"]);
    for (name, make) in [("file", true), ("folder", false)] {
        let path = world.at(name).path;
        if make {
            fs::write(&path, "mine").unwrap();
        } else {
            fs::create_dir(&path).unwrap();
        }
        let refused = repo.tomb(&["export", &format!("../{name}")]).exits(1).stderr_text();
        assert!(refused.contains("exists") && refused.contains("hint: choose another place"), "{refused}");
    }
    assert_eq!(fs::read(world.at("file").path).unwrap(), b"mine");

    for point in ["export-content", "export-content:2", "export-written"] {
        assert_eq!(repo.with(VARIABLE, point).tomb(&["export", "../out"]).code, None, "{point}");
        assert!(!world.at("out").path.exists(), "{point}");
        assert!(world.at(".out.archive-tomb-export").path.exists(), "{point}");
    }
    repo.tomb_ok(&["export", "../out"]);
    assert!(!world.at(".out.archive-tomb-export").path.exists());
    assert!(!world.at("out/lock").path.exists());
    restore_by_hand(&world, &world.at("out").path, &world.at("back").path);

    // After the renaming it is whole.
    assert_eq!(repo.with(VARIABLE, "export-renamed").tomb(&["export", "../late"]).code, None);
    restore_by_hand(&world, &world.at("late").path, &world.at("late-back").path);
    assert_eq!(files(&world.at("back").path), files(&world.at("late-back").path));
}

#[test]
fn two_exports_to_one_place_never_share_it() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "src", "docs"]);
    let mut first = repo.with(VARIABLE, "export-content@STOP").command(env!("CARGO_BIN_EXE_git-archive-tomb"));
    let mut first = first.args(["export", "../out"]).spawn().unwrap();
    crate::migrate::wait_until_stopped(first.id());
    let refused = repo.tomb(&["export", "../out"]).exits(1).stderr_text();
    assert!(refused.contains("another export to"), "{refused}");
    crate::migrate::signal(first.id(), "-CONT");
    assert!(first.wait().unwrap().success());
    restore_by_hand(&world, &world.at("out").path, &world.at("back").path);
}

#[test]
fn a_damaged_content_is_named_and_nothing_is_left() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "src", "docs"]);
    crate::migrate::damage(&repo);
    let run = repo.tomb(&["export", "../out"]).exits(5);
    let said = run.stderr_text();
    assert!(said.contains("error: cannot export content `") && said.contains("do not match"), "{said}");
    assert!(["old.py", "run.sh", "old.md", "keep.py"].iter().any(|name| said.contains(name)), "{said}");
    assert!(!crate::migrate::recovered(&repo, &run).contains("stub v1"));
    assert!(!world.at("out").path.exists() && !world.at(".out.archive-tomb-export").path.exists());
    let logged = repo.tomb_ok(&["evidence", "log", "--json", "--action", "EXPORT"]).json();
    assert_eq!(logged[0]["status"], "failed");
}

#[test]
fn what_needs_approvals_is_not_exported() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "src", "docs"]);
    let digest = repo.tomb_ok(&["export", "--digest"]).stdout_text();
    repo.git(&["config", "archivetomb.governance.restoreApprovals", "1"]);
    let refused = repo.tomb(&["export", "../out"]).exits(4);
    assert!(refused.stderr_text().contains("4 items are not handed out"), "{refused}");
    assert!(refused.stderr_text().contains("--for restore"), "{refused}");
    assert!(!world.at("out").path.exists() && !world.at(".out.archive-tomb-export").path.exists());
    let logged = repo.tomb_ok(&["evidence", "log", "--json", "--action", "EXPORT"]).json();
    assert_eq!(logged[0]["status"], "failed");
    // A digest gives no bytes out.
    assert_eq!(repo.tomb_ok(&["export", "--digest"]).stdout_text(), digest);
}

#[test]
fn the_script_on_its_page_is_the_one_that_is_exported() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/export.md")).unwrap();
    let (_, rest) = page.split_once("```sh\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/export/restore.sh")).unwrap();
    assert_eq!(shown, script);
}
