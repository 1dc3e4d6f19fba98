//! What goes in comes out: random small trees are archived whole and restored whole.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::common::{World, path_of};

/// A file of a random tree.
#[derive(Debug, Clone)]
enum File {
    Plain(Vec<u8>),
    Executable(Vec<u8>),
    Link(Vec<u8>),
}

fn files() -> impl Strategy<Value = BTreeMap<Vec<u8>, File>> {
    // Any byte but `/` and NUL, and what languages and line ends care about.
    let letter = prop_oneof![4 => b'a'..=b'e', 1 => (1u8..=255).prop_filter("a slash", |byte| *byte != b'/')];
    let extension = prop::sample::select(&[".py", ".json", ".md", ".sh", ".html", ".bin", ".toml", ""][..]);
    let name = (prop::collection::vec(letter, 1..8), extension)
        .prop_map(|(name, extension)| [&name[..], extension.as_bytes()].concat());
    let path = prop::collection::vec(name, 1..3).prop_map(|parts| parts.join(&b'/'));
    let piece = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"{}".to_vec()),
        Just(b"#!/bin/sh\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..64),
    ];
    let bytes = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    let target = prop::collection::vec((1u8..=255).prop_filter("NUL", |byte| *byte != 0), 1..40);
    let file = prop_oneof![
        6 => bytes.clone().prop_map(File::Plain),
        2 => bytes.prop_map(File::Executable),
        1 => target.prop_map(File::Link),
    ];
    prop::collection::btree_map(path, file, 1..8)
}

#[test]
fn what_is_archived_and_restored_is_the_same_in_bytes_mode_and_object() {
    let config = Config { cases: 8, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    TestRunner::new(config)
        .run(&files(), |files| {
            let world = World::new();
            let repo = world.init("random");
            let mut made = 0;
            for (path, file) in &files {
                let place = repo.path.join(path_of(path));
                // Some names are taken: a file where a folder should be, `.`, `..` or git's own.
                let taken = path.split(|byte| *byte == b'/').any(|name| {
                    name == b"."
                        || name == b".."
                        || [&b".git"[..], b".codex"].iter().any(|own| name.eq_ignore_ascii_case(own))
                });
                if taken || std::fs::create_dir_all(place.parent().unwrap()).is_err() || place.exists() {
                    continue;
                }
                match file {
                    File::Plain(bytes) => std::fs::write(&place, bytes).unwrap(),
                    File::Executable(bytes) => {
                        std::fs::write(&place, bytes).unwrap();
                        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
                    }
                    File::Link(target) => symlink(path_of(target), &place).unwrap(),
                }
                made += 1;
            }
            prop_assume!(made > 0);
            let original = repo.commit_all("original");
            let before = repo.look();
            repo.tomb_ok(&["store", "."]);
            repo.commit("archive");
            repo.assert_sound();
            repo.tomb_ok(&["restore", "."]);
            repo.commit("restore");
            repo.assert_sound();
            repo.look().assert_changed_only(&before, &[]);
            prop_assert_eq!(repo.git(&["diff", &original, "HEAD", "--", ".", ":(exclude).codex"]), "");
            Ok(())
        })
        .unwrap();
}
