//! What a large operation costs: memory that does not grow with bytes, and git processes, evidence files and index
//! updates that do not grow with files. How long it takes is measured elsewhere (`docs/performance.md`), never here.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use crate::common::{Repo, World};

/// How many files are few: more than git unpacks into loose objects, so that few and many go the same ways.
const FEW: usize = 150;
/// How many are many.
const MANY: usize = 2_000;

/// How much memory our process may use, whatever it moves.
const MEMORY: u64 = 128 << 20;
/// A file that does not fit there.
const LARGE: u64 = 192 << 20;

/// Makes a repository with `count` committed files below `old`.
fn with_files<'w>(world: &'w World, name: &str, options: &[&str], count: usize) -> Repo<'w> {
    let repo = world.init_with(name, options);
    repo.write("keep.txt", "kept\n");
    for number in 0..count {
        let text = format!("# {number}\n\n{}", "def old(value):\n    return value\n".repeat(number % 50));
        repo.write(format!("old/{:02}/file{number:04}.py", number / 100), text);
    }
    repo.commit_all("first");
    repo
}

/// Returns the names of the git commands among `processes`, sorted.
fn commands(processes: &[Vec<String>]) -> Vec<String> {
    let is_option = |word: &&String| word.starts_with('-') || word.contains('=');
    let name = |process: &Vec<String>| process.iter().skip(1).find(|word| !is_option(word)).cloned();
    let mut names: Vec<_> = processes.iter().filter_map(name).collect();
    names.sort();
    names
}

/// Runs the same command on few and on many files, asserts that git was started as often, and returns the commands.
#[track_caller]
fn same_processes(repos: &[Repo<'_>; 2], arguments: &[&str]) -> Vec<String> {
    let [few, many] = repos.each_ref().map(|repo| commands(&repo.git_processes_of(arguments)));
    assert_eq!(few, many, "git processes of {arguments:?}, for {FEW} and for {MANY} files");
    many
}

fn count(commands: &[String], name: &str) -> usize {
    commands.iter().filter(|command| *command == name).count()
}

#[test]
fn the_number_of_git_processes_does_not_grow_with_the_files() {
    let world = World::new();
    let repos = [with_files(&world, "few", &[], FEW), with_files(&world, "many", &[], MANY)];
    let stored = same_processes(&repos, &["store", "-q", "old"]);
    assert_eq!(count(&stored, "checkout-index"), 1);
    // One changes entries, the other only looks at the files just written.
    assert_eq!(count(&stored, "update-index"), 2);
    for repo in &repos {
        assert_eq!(repo.git(&["ls-files", ".codex/evidence/ops"]).lines().count(), 1, "one evidence file");
        repo.commit("archived");
    }
    for arguments in [&["status"][..], &["list"], &["evidence", "verify"]] {
        same_processes(&repos, arguments);
    }

    let clones = ["few", "many"].map(|name| {
        world.at(".").git(&["clone", "-q", name, &format!("{name}-clone")]);
        world.at(&format!("{name}-clone"))
    });
    for repos in [&repos, &clones] {
        same_processes(repos, &["status"]);
        let branched = same_processes(repos, &["restore", "-q", "old", "--branch", "back"]);
        assert_eq!((count(&branched, "update-index"), count(&branched, "commit-tree")), (1, 1));
        let restored = same_processes(repos, &["restore", "-q", "old"]);
        assert_eq!(count(&restored, "update-index"), 2);
        for repo in repos {
            assert_eq!(repo.git(&["diff", "--cached", "HEAD~1", "--", "old"]), "", "every file is back");
            assert_eq!(repo.git(&["ls-files", ".codex/evidence/ops"]).lines().count(), 2, "one more evidence file");
            assert_eq!(repo.git(&["diff", "--stat"]), "");
        }
    }
}

#[test]
fn a_check_before_a_commit_starts_two_git_processes_whatever_is_staged() {
    let world = World::new();
    let repo = with_files(&world, "staged", &[], FEW);
    repo.tomb_ok(&["store", "-q", "old/00/file0000.py"]);
    repo.commit("archived");
    repo.git(&["worktree", "add", "-q", "../linked"]);
    let linked = world.at("linked");
    let other_index = repo.with("GIT_INDEX_FILE", repo.path.join(".git/other-index"));
    other_index.git(&["read-tree", "HEAD"]);
    let check = |repo: &Repo<'_>| {
        for arguments in [&["verify", "--staged"][..], &["hooks", "run", "pre-commit"]] {
            assert_eq!(commands(&repo.git_processes_of(arguments)), ["diff-index", "rev-parse"], "{arguments:?}");
        }
    };
    for repo in [&repo, &linked, &repo.below("old"), &other_index] {
        check(repo);
    }
    repo.write("keep.txt", "changed\n");
    repo.git(&["add", "keep.txt"]);
    check(&repo);
    repo.tomb_ok(&["store", "-q", "old/00"]);
    check(&repo);
}

#[test]
fn the_number_of_git_processes_does_not_grow_where_git_itself_has_to_read() {
    let world = World::new();
    let repo = with_files(&world, "sha256", &["--object-format=sha256"], FEW);
    // Each thread that reads may have a child of its own, so the number depends on the machine; not on the files.
    let at_most = FEW / 2;
    assert!(repo.git_processes_of(&["store", "-q", "old"]).len() < at_most);
    repo.commit("archived");
    repo.git(&["clone", "-q", ".", "../clone"]);
    for repo in [&repo, &world.at("clone")] {
        for arguments in [&["status"][..], &["restore", "-q", "old"]] {
            let processes = repo.git_processes_of(arguments);
            assert!(processes.len() < at_most, "{arguments:?} started {}", processes.len());
        }
        assert_eq!(repo.git(&["diff", "--cached", "HEAD~1", "--", "old"]), "", "every file is back");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_larger_than_memory_goes_in_and_comes_out_by_every_way() {
    let world = World::new();
    let repo = world.init("large");
    // What is measured is this program; git should not spend a minute on deflating noise.
    repo.git(&["config", "--global", "core.compression", "0"]);
    write_noise(&repo.path.join("large.bin"), LARGE);
    repo.commit_all("first");
    let original = world.at("original.bin").path;
    std::fs::copy(repo.path.join("large.bin"), &original).unwrap();
    let stored = repo.peak_memory_of(&["store", "-q", "large.bin"], None);
    repo.commit("archived");
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");

    let out = world.at("out.bin").path;
    let mut peaks = vec![("store", stored), ("grep", repo.peak_memory_of(&["grep", "-c", "^"], None))];
    for (from, repo) in [("archive", &repo), ("history", &clone)] {
        for (name, arguments, stdout) in [
            ("restore to a file", &["restore", "-q", "large.bin", "../out.bin"][..], None),
            ("restore to standard output", &["restore", "-q", "large.bin", "-"], Some(&out)),
            ("cat", &["cat", "large.bin"], Some(&out)),
        ] {
            peaks.push((name, repo.peak_memory_of(arguments, stdout.map(std::path::PathBuf::as_path))));
            assert!(same_content(&out, &original), "{name} from {from}");
            std::fs::remove_file(&out).unwrap();
        }
        let on_branch = ["restore", "-q", "large.bin", "--branch", "back"];
        peaks.push(("restore on a branch", repo.peak_memory_of(&on_branch, None)));
        assert_eq!(
            repo.git(&["rev-parse", "back:large.bin"]),
            repo.git(&["hash-object", "--no-filters", "../original.bin"])
        );
        peaks.push(("restore in place", repo.peak_memory_of(&["restore", "-q", "large.bin"], None)));
        assert!(same_content(&repo.path.join("large.bin"), &original), "restore in place from {from}");
    }
    for (name, peak) in peaks {
        assert!(peak <= MEMORY, "{name} used {} MiB", peak >> 20);
    }
}

/// Writes bytes that do not compress, and are the same in every run.
fn write_noise(path: &Path, length: u64) {
    let mut file = std::io::BufWriter::new(File::create(path).unwrap());
    let mut state = 1u64;
    for _ in 0..length / 8 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        file.write_all(&(state ^ (state >> 29)).to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
}

/// Compares two files without holding them in memory.
fn same_content(left: &Path, right: &Path) -> bool {
    let open = |path: &Path| BufReader::with_capacity(1 << 20, File::open(path).unwrap());
    let (mut left, mut right) = (open(left), open(right));
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let (first, second) = (fill(&mut left, &mut one), fill(&mut right, &mut other));
        if one[..first] != other[..second] {
            return false;
        }
        if first == 0 {
            return true;
        }
    }
}

/// Reads until `buffer` is full or the file ends, and returns how much was read.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]).unwrap() {
            0 => break,
            more => filled += more,
        }
    }
    filled
}
