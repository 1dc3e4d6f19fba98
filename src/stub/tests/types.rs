//! Names lead to types, and types to templates.

use super::*;
use crate::item::Kind;
use crate::stub::table::{ALL, Loud};
use crate::stub::types::LISTS;

fn file(path: &str, first_bytes: &[u8]) -> FileType {
    classify(&RepoPath::try_new(path).expect("is a path"), first_bytes)
}

#[test]
fn names_extensions_and_first_lines_tell_the_type() {
    for (path, first_bytes, language) in [
        ("a/b.py", &b""[..], Some("python")),
        ("a/b.PY", b"", Some("python")),
        ("a/b.pyi", b"", Some("python")),
        ("a.d.ts", b"", Some("typescript")),
        ("a.min.js", b"", Some("javascript")),
        ("Makefile", b"", Some("make")),
        ("CMakeLists.txt", b"", Some("cmake")),
        ("Dockerfile.dev", b"", Some("dockerfile")),
        (".env.local", b"", Some("conf")),
        (".gitignore", b"", Some("conf")),
        ("views/x.html.erb", b"", Some("erb")),
        ("views/x.blade.php", b"", Some("blade")),
        ("run", b"#!/usr/bin/env -S A=1 python3.11 -u\n", Some("python")),
        ("run", b"#!/bin/sh\n", Some("shell")),
        ("run", b"#!\n", None),
        ("run", b"#! /usr/bin/env\n", None),
        ("run", b"text", None),
        ("x.m", b"#import <a.h>", Some("objective-c")),
        ("x.m", b"function y = f(x)", Some("matlab")),
        ("README", b"", None),
        ("x.unknown", b"", None),
        ("video.ts", b"G\0\0", None),
        (".py", b"", None),
        ("py", b"", None),
    ] {
        assert_eq!(file(path, first_bytes).language, language, "{path}");
    }
    assert_eq!(file("a.py", b"").kind, Kind::Code);
    assert_eq!(file("a.md", b"").kind, Kind::Doc);
    assert_eq!(file("a.png", b"").kind, Kind::Asset);
    assert_eq!((file("a", b"\0").kind, file("a", b"\0").mime), (Kind::Asset, Some("application/octet-stream")));
    assert_eq!(file("a.json", b"{}").mime, Some("application/json"));
    let odd = classify(&RepoPath::try_new(&b"caf\xe9.py"[..]).expect("is a path"), b"");
    assert_eq!(odd.language, Some("python"));
}

#[test]
fn tests_are_told_by_their_path() {
    for path in [
        "tests/x.py",
        "a/Test/b.c",
        "src/__tests__/x.js",
        "test_x.py",
        "x_test.go",
        "a/x.spec.ts",
        "x.test.tsx",
        "x_spec.rb",
        "conftest.py",
        "FooTest.java",
        "FooTests.cs",
        "t/a.t",
        "testdata/x.json",
    ] {
        assert!(file(path, b"").is_test, "{path}");
    }
    for path in [
        "src/contest.py",
        "latest.py",
        "testing/x.py",
        "attest.c",
        "test.py",
        "Contest.java",
        "spectrum/x.py",
        "test_data",
    ] {
        assert!(!file(path, b"").is_test, "{path}");
    }
}

#[test]
fn auto_is_loud_only_for_what_runs_and_is_no_test() {
    let templates = Templates::built_in();
    let is_loud = |path: &str, style| {
        let path = RepoPath::try_new(path).expect("is a path");
        let template = templates.choose(&path, &classify(&path, b""), style);
        template.render(&usual()).expect("is short").text.matches("git archive-tomb restore").count() > 1
    };
    for path in ["a.py", "a.sh", "a.js", "a.mjs", "a.ts", "a.rb", "a.php", "a.pl", "a.lua", "Makefile", "a.ps1", "a.R"]
    {
        assert!(is_loud(path, Style::Auto) && is_loud(path, Style::Loud) && !is_loud(path, Style::Comment), "{path}");
    }
    for path in ["tests/a.py", "a.test.js", "a.t"] {
        assert!(!is_loud(path, Style::Auto) && is_loud(path, Style::Loud), "{path}");
    }
    for path in ["a.c", "a.rs", "a.swift", "a.cs"] {
        assert!(!is_loud(path, Style::Auto) && is_loud(path, Style::Loud), "{path}");
    }
    for path in ["a.md", "a.json", "a.yaml", "a.csv", "a.go", "a.java", "a", "a.png", "a.pyi", "a.d.ts"] {
        assert!(!is_loud(path, Style::Auto) && !is_loud(path, Style::Loud), "{path}");
    }
}

#[test]
fn the_table_names_each_thing_once_and_every_template_is_used() {
    let mut used = std::collections::BTreeSet::from(["text.comment".to_owned()]);
    for (position, entry) in ALL.iter().enumerate() {
        used.insert(format!("{}.comment", entry.comment));
        if let Loud::Auto(name) | Loud::Asked(name) = entry.loud {
            used.insert(format!("{name}.loud"));
        }
        assert!(ALL[..position].iter().all(|other| other.id != entry.id), "{}", entry.id);
    }
    assert_eq!(used, Templates::built_in().into_built_in().into_keys().map(str::to_owned).collect());
    for list in LISTS {
        let mut all: Vec<_> = ALL.iter().flat_map(|entry| list(entry).split_ascii_whitespace()).collect();
        all.sort_unstable();
        let repeated: Vec<_> = all.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(repeated.is_empty(), "{repeated:?}");
    }
    assert!(ALL.len() >= 40);
}
