//! Names that look alike are different names, and their order is that of their bytes.

use std::ops::ControlFlow;

use super::{Engine, event, item};
use crate::archive::Query;
use crate::evidence::record::Action;
use crate::id::{OperationId, Tombstone};
use crate::item::{Item, Referent, RepoPath};

/// Texts that some collation takes for the same, or that some client cuts short.
const ALIKE: &[&str] = &[
    "name",
    "Name",
    "NAME",
    "name ",
    "name  ",
    " name",
    "name\t",
    "name\n",
    "name\u{a0}",
    "name\u{200b}",
    "name\u{ad}",
    "n\u{e4}me",
    "na\u{308}me",
    "nAme",
    "n\u{430}me",
    "\u{ff4e}ame",
    "name\u{feff}",
    "name\\0",
    "name%00",
    "name\\u0000",
    "name\u{2400}",
    "name\u{1}",
    "name\u{7f}",
    "nam\u{e9}",
    "name\u{301}",
    "strasse",
    "stra\u{df}e",
    "stra\u{1e9e}e",
    "I",
    "i",
    "\u{130}",
    "\u{131}",
    "\u{fb01}le",
    "file",
    "\u{212b}",
    "\u{c5}",
    "A\u{30a}",
    "\u{3c3}",
    "\u{3c2}",
    "\u{3a3}",
    "\u{1f600}",
    "\u{1f601}",
    "%",
    "_",
    "nam_",
    "nam%",
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\\\",
    "/*",
    "--",
    ";",
    "?",
    "$1",
    ":a",
];

/// Paths that are not UTF-8, around some that are.
const BYTES: &[&[u8]] = &[
    b"nam\xe9",
    b"nam\xc3",
    b"nam\xff",
    b"nam\xfe",
    b"\xff",
    b"\x80",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xf4\x90\x80\x80",
    b"\"nam\\351\"",
    b"nam\\351",
    b"nam\xe9 ",
];

fn paths() -> Vec<RepoPath> {
    let texts = ALIKE.iter().map(|text| text.as_bytes()).filter(|text| !text.contains(&b'/'));
    texts.chain(BYTES.iter().copied()).map(|path| RepoPath::try_new(path).expect("is a path")).collect()
}

fn listed<E: Engine>(engine: &E, query: &Query) -> Vec<RepoPath> {
    let mut paths = Vec::new();
    engine
        .open()
        .list(query, &mut |stored| {
            paths.push(stored.item.path);
            ControlFlow::Continue(())
        })
        .expect("lists");
    paths
}

pub(in crate::archive) fn paths_that_look_alike_stay_apart<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let first = item(&mut *archive, b"first", b"shared");
    let items: Vec<Item> = paths()
        .into_iter()
        .map(|path| {
            let tombstone = Tombstone::derive("repo", path.as_bytes(), &first.commit, &first.sha256);
            Item { tombstone, path, ..first.clone() }
        })
        .collect();
    let op = OperationId::generate();
    archive.begin(op, "here", &items).expect("begins");
    let events: Vec<_> = items.iter().map(|item| event(op, Action::Archive, Some(item))).collect();
    archive.seal(op, &events).expect("seals");
    for item in &items {
        let found = archive.items_by_path("repo", &item.path).expect("looks");
        assert_eq!(found.iter().map(|stored| &stored.item).collect::<Vec<_>>(), [item]);
    }
    let mut in_order = paths();
    in_order.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assert_eq!(listed(&engine, &Query::default()), in_order, "all were archived at the same time");
    let of_operation = archive.operation_items(op).expect("looks");
    assert_eq!(of_operation.into_iter().map(|stored| stored.item.path).collect::<Vec<_>>(), in_order);
}

pub(in crate::archive) fn texts_that_look_alike_stay_apart<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let first = item(&mut *archive, b"first", b"shared");
    let mut items = Vec::new();
    for (number, text) in ALIKE.iter().enumerate() {
        let path = RepoPath::try_new(format!("{number:03}")).expect("is a path");
        items.push(Item {
            tombstone: Tombstone::derive(text, path.as_bytes(), &first.commit, &first.sha256),
            repo: (*text).to_owned(),
            path,
            language: Some((*text).to_owned()),
            mime: Some((*text).to_owned()),
            tags: vec![(*text).to_owned()],
            metadata: [((*text).to_owned(), (*text).to_owned())].into(),
            refs: vec![Referent { kind: (*text).to_owned(), value: (*text).to_owned() }],
            archived_by: (*text).to_owned(),
            ..first.clone()
        });
    }
    let mut tags: Vec<String> = ALIKE.iter().map(|text| (*text).to_owned()).collect();
    tags.sort();
    let path = RepoPath::try_new("all").expect("is a path");
    let tombstone = Tombstone::derive("repo", b"all", &first.commit, &first.sha256);
    items.push(Item { tombstone, path, tags, ..first });
    let op = OperationId::generate();
    archive.begin(op, "here", &items).expect("begins");
    archive.seal(op, &[]).expect("seals");
    for item in &items {
        assert_eq!(archive.item(&item.tombstone).expect("looks").expect("is there").item, *item);
    }
    let all = RepoPath::try_new("all").expect("is a path");
    for (text, item) in ALIKE.iter().map(|text| (*text).to_owned()).zip(&items) {
        let own = std::slice::from_ref(&item.path);
        assert_eq!(listed(&engine, &Query { repo: Some(text.clone()), ..Query::default() }), own, "{text:?}");
        assert_eq!(listed(&engine, &Query { archived_by: Some(text.clone()), ..Query::default() }), own, "{text:?}");
        let tagged = listed(&engine, &Query { tag: Some(text.clone()), ..Query::default() });
        assert_eq!(tagged, [item.path.clone(), all.clone()], "{text:?}");
    }
}
