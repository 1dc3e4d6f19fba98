//! Contents of every size, in every database, in bounded memory.
//!
//! `ARCHIVE_TOMB_SIZES=1` also moves one of 1 GiB and a byte, and prints what that cost (`--no-capture`).

#![cfg(target_os = "linux")]
#![expect(clippy::print_stderr, reason = "whoever asks for the largest wants its figures")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use git_archive_tomb::archive::{AVERAGE_PIECE, BLOCK_SIZE, MAXIMUM_PIECE, MINIMUM_PIECE};
use git_archive_tomb::id::Sha256;

use crate::common::{Repo, World};
use crate::databases::{Database, KINDS, Kind};

/// How much memory our process may use, whatever it moves.
const MEMORY: u64 = 128 << 20;

/// Writes bytes that do not compress.
fn write_noise(path: &Path, length: u64) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut random = fastrand::Rng::with_seed(length);
    let mut bytes = vec![0; 1 << 20];
    let mut left = length;
    while left > 0 {
        random.fill(&mut bytes);
        let some = usize::try_from(left.min(1 << 20)).unwrap();
        file.write_all(&bytes[..some]).unwrap();
        left -= some as u64;
    }
    file.flush().unwrap();
}

fn digest(path: &Path) -> (Sha256, u64) {
    Sha256::of_reader(File::open(path).unwrap()).unwrap()
}

/// Makes a repository with a committed file of noise for each size. What is measured is not git's deflating of it.
fn with_sizes<'w>(world: &'w World, sizes: &[u64]) -> Repo<'w> {
    let repo = world.init("project");
    repo.git(&["config", "--global", "core.compression", "0"]);
    repo.git(&["config", "--global", "core.bigFileThreshold", "1m"]);
    for size in sizes {
        write_noise(&repo.path.join(format!("{size}.bin")), *size);
    }
    repo.commit_all("first");
    repo
}

/// Returns the sizes around each boundary of blocks and pieces.
fn boundaries() -> Vec<u64> {
    let mut sizes = vec![0, 1];
    for boundary in [BLOCK_SIZE, MINIMUM_PIECE, AVERAGE_PIECE, MAXIMUM_PIECE, 2 * BLOCK_SIZE] {
        sizes.extend([boundary - 1, boundary, boundary + 1].map(|size| size as u64));
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[test]
fn files_of_sizes_around_every_boundary_come_back() {
    let sizes = boundaries();
    let world = World::new();
    let repo = with_sizes(&world, &sizes);
    let names: Vec<String> = sizes.iter().map(|size| format!("{size}.bin")).collect();
    let originals: Vec<_> = names.iter().map(|name| digest(&repo.path.join(name))).collect();
    for kind in KINDS {
        let database = Database::new(*kind);
        let repo = repo.sibling(&format!("{kind:?}").to_lowercase()).with("CODEX_ARCHIVE_URL", database.url());
        repo.tomb_ok(&["init", "--no-hooks"]);
        repo.tomb_ok(&["store", "-q", "."]);
        repo.commit("archive");
        repo.tomb_ok(&["verify", "--all", "--deep"]);
        repo.tomb_ok(&["restore", "-q", "--from", "archive", "."]);
        for (name, original) in names.iter().zip(&originals) {
            assert_eq!(digest(&repo.path.join(name)), *original, "{kind:?}: {name}");
        }
    }
}

#[test]
fn large_files_go_in_and_come_out_in_bounded_memory() {
    let all = std::env::var_os("ARCHIVE_TOMB_SIZES").is_some();
    let sizes: &[u64] = if all { &[64 << 20, (1 << 30) + 1] } else { &[64 << 20] };
    let world = World::new();
    let repo = with_sizes(&world, sizes);
    // What `scale` does in every run is not done again.
    for kind in KINDS.iter().filter(|kind| all || **kind != Kind::Sqlite) {
        let database = Database::new(*kind);
        let repo = repo.sibling(&format!("{kind:?}").to_lowercase()).with("CODEX_ARCHIVE_URL", database.url());
        repo.tomb_ok(&["init", "--no-hooks"]);
        for size in sizes {
            let name = format!("{size}.bin");
            let original = digest(&repo.path.join(&name));
            let start = Instant::now();
            let stored = repo.peak_memory_of(&["store", "-q", &name], None);
            let store_time = start.elapsed();
            repo.commit("archive");
            let start = Instant::now();
            let restored = repo.peak_memory_of(&["restore", "-q", "--from", "archive", &name], None);
            let restore_time = start.elapsed();
            assert_eq!(digest(&repo.path.join(&name)), original, "{kind:?}: {name}");
            eprintln!(
                "{kind:?}: {size} bytes: store {:.1} s, at most {} MiB; restore {:.1} s, at most {} MiB",
                store_time.as_secs_f64(),
                stored >> 20,
                restore_time.as_secs_f64(),
                restored >> 20
            );
            assert!(stored.max(restored) <= MEMORY, "{kind:?}: {stored} and {restored} bytes of memory");
        }
    }
}
