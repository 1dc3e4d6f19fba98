//! Every form says the same, and what is wrong with any of them is said by row and line.

use std::collections::BTreeMap;
use std::io::{self, Read};

use proptest::prelude::*;

use super::*;

/// A row with a field of every kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sample {
    path: String,
    reason: Option<String>,
    tags: Vec<String>,
    metadata: BTreeMap<String, String>,
}

impl FromRow for Sample {
    const FIELDS: &'static [&'static str] = &["path", "reason", "tags", "metadata"];

    fn from_row(fields: &mut Fields) -> Option<Self> {
        let (path, reason) = (fields.required("path"), fields.text("reason"));
        let (tags, metadata) = (fields.texts("tags"), fields.pairs("metadata"));
        Some(Self { path: path?, reason, tags, metadata })
    }
}

fn parse(text: &str) -> Result<Manifest<Sample>, ManifestError> {
    read(text.as_bytes())
}

fn rows(text: &str) -> Vec<Row<Sample>> {
    parse(text).unwrap_or_else(|error| panic!("{error:?}")).rows
}

/// Returns what is said to be wrong, a line each.
fn wrong(text: &str) -> String {
    let error = parse(text).map(|manifest| panic!("{manifest:?}")).expect_err("is wrong");
    match &error {
        ManifestError::Mistakes(mistakes) => {
            let told: Vec<_> = mistakes.told().map(ToString::to_string).collect();
            assert_eq!(told.len(), mistakes.total().min(100));
            told.join("\n")
        }
        _ => error.to_string(),
    }
}

const LIST: &str = r#"[
  {"path": "a", "reason": "dead", "tags": ["x", "y z"], "metadata": {"ticket": "OPS-1"}},
  {"path": "b;\"", "reason": null}
]"#;
const OBJECT: &str = r#"{"items": [
  {"path": "a", "reason": "dead", "tags": ["x", "y z"], "metadata": {"ticket": "OPS-1"}},
  {"path": "b;\""}]}"#;
const LINES: &str = r#"{"path": "a", "reason": "dead", "tags": ["x", "y z"], "metadata": {"ticket": "OPS-1"}}

{"path": "b;\"", "tags": []}
"#;
const TABLE: &str = "path,tags,metadata,reason\na,x; y z,ticket=OPS-1,dead\n\n\"b;\"\"\",,,\n";

#[test]
fn the_four_forms_say_the_same() {
    let lines = [[2, 3], [2, 3], [1, 3], [2, 4]];
    for (text, lines) in [LIST, OBJECT, LINES, TABLE].into_iter().zip(lines) {
        for text in [text.to_owned(), text.replace('\n', "\r\n"), format!("\u{feff}{text}"), format!("\n\n{text}")] {
            let ahead = if text.starts_with("\n\n") { 2 } else { 0 };
            let rows = rows(&text);
            let values: Vec<_> = rows.iter().map(|row| row.value.clone()).collect();
            let plain = Sample { path: "b;\"".to_owned(), reason: None, tags: vec![], metadata: BTreeMap::new() };
            let full = Sample {
                path: "a".to_owned(),
                reason: Some("dead".to_owned()),
                tags: vec!["x".to_owned(), "y z".to_owned()],
                metadata: BTreeMap::from([("ticket".to_owned(), "OPS-1".to_owned())]),
            };
            assert_eq!(values, [full, plain], "{text}");
            assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2], "{text}");
            assert_eq!(rows.iter().map(|row| row.line - ahead).collect::<Vec<_>>(), lines, "{text}");
        }
    }
}

#[test]
fn a_cell_may_be_json() {
    let text = "path,tags,metadata\na,\"[\"\"x;y\"\"]\",\"{\"\"k=\"\": \"\"v;w\"\"}\"\n";
    let [row] = &rows(text)[..] else { panic!("one row") };
    assert_eq!(row.value.tags, ["x;y"]);
    assert_eq!(row.value.metadata, BTreeMap::from([("k=".to_owned(), "v;w".to_owned())]));
}

#[test]
fn no_rows_are_none_and_nothing_is_no_manifest() {
    for text in ["[]", r#"{"items": []}"#, "path\n", "path,reason"] {
        assert!(rows(text).is_empty(), "{text}");
    }
    for text in ["", " \r\n\t", "\u{feff}"] {
        assert!(matches!(parse(text), Err(ManifestError::Empty)), "{text:?}");
    }
}

#[test]
fn a_row_of_foreign_fields_costs_little_and_is_told_in_short() {
    let row = |fields: usize| {
        let fields: Vec<_> = (0..fields).map(|number| format!("\"f{number}\": 1")).collect();
        format!("[{{\"path\": \"a\", {}}}]", fields.join(", "))
    };
    insta::assert_snapshot!(wrong(&row(63)), @"
    row 1 (line 1): unknown field `f0`; there are `path`, `reason`, `tags`, `metadata`
    row 1 (line 1): unknown field `f1`; there are `path`, `reason`, `tags`, `metadata`
    row 1 (line 1): unknown field `f2`; there are `path`, `reason`, `tags`, `metadata`
    row 1 (line 1): there are 60 more unknown fields
    ");
    for fields in [64, 5000] {
        assert_eq!(wrong(&row(fields)), "row 1 (line 1): the row has more than 64 fields");
    }
}

#[test]
fn all_mistakes_are_told_by_row_and_line() {
    let list = "[\n{\"path\": \"a\", \"resaon\": \"x\", \"path\": 1},\n{\"colour\": 1},\n{\"path\": 7}, 5,\n\
        {\"path\": \"a\", \"tags\": [1], \"metadata\": {\"a\": \"1\", \"a\": \"2\"}}]";
    insta::assert_snapshot!(wrong(list), @"
    row 1 (line 2): `path` is there twice
    row 1 (line 2): unknown field `resaon`; did you mean `reason`?
    row 2 (line 3): unknown field `colour`; there are `path`, `reason`, `tags`, `metadata`
    row 2 (line 3): `path` is missing
    row 3 (line 4): `path` is not text
    row 4 (line 4): invalid type: integer `5`, expected an object with the row's fields
    row 5 (line 5): `tags` is not a list of texts
    row 5 (line 5): `metadata` is not an object of texts, each key once
    ");
    let lines = "{\"path\": \"a\"}\n\n{\"path\": \"b\"\n[1]\n{\"path\": \"\\ud800\"}\n";
    insta::assert_snapshot!(wrong(lines), @"
    row 2 (line 3): EOF while parsing an object
    row 3 (line 4): invalid type: sequence, expected an object with the row's fields
    row 4 (line 5): `path` is not text
    ");
    let table = "path,tags,metadata\na\n,x,\nb,[x],k\nc,,k=1;k=2\n\"d\ne\",,,\nf,\"x,\n";
    insta::assert_snapshot!(wrong(table), @r#"
    row 1 (line 2): the row has 1 cells, the header 3
    row 2 (line 3): `path` is missing
    row 3 (line 4): `tags` begins with `[` and is not a list of texts in JSON
    row 3 (line 4): `metadata` is not `key=value`, several separated by `;`, each key once
    row 4 (line 5): `metadata` is not `key=value`, several separated by `;`, each key once
    row 5 (line 6): the row has 4 cells, the header 3
    row 6 (line 8): a quote (`"`) is opened and not closed
    "#);
}

#[test]
fn what_cannot_be_divided_into_rows_is_told_by_its_line() {
    for (text, told) in [
        ("[\n{\"path\": \"a\"},\n", "line 3: EOF while parsing a value"),
        ("[] x", "line 1: trailing characters"),
        ("{\n \"items\": [\n}\n", "line 3: expected value"),
        ("{\"items\": {}}", "line 1: invalid type: map, expected a list of rows"),
        ("{\"items\": [], \"items\": []}", "line 1: `items` is there twice"),
        ("\n{\n\"item\": []}", "line 2: unknown field `item`; did you mean `items`?"),
        ("{\n}", "line 1: the object has no `items`"),
        (
            "path;reason\na;dead\n",
            "line 1: unknown field `path;reason`; there are `path`, `reason`, `tags`, `metadata`",
        ),
        ("path,reason,path\n", "line 1: the header has `path` twice"),
        ("\n\"path\na\n", "line 2: a quote (`\"`) is opened and not closed"),
    ] {
        assert_eq!(wrong(text), format!("the manifest is broken in {told}"));
    }
    let utf_16: Vec<u8> = "\u{feff}[]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(matches!(read::<Sample>(&utf_16[..]), Err(ManifestError::NotUtf8 { line: 1 })));
    assert!(matches!(read::<Sample>(&b"path\na\n\xe9\n"[..]), Err(ManifestError::NotUtf8 { line: 3 })));
}

#[test]
fn hostile_manifests_are_refused_in_bounded_memory() {
    assert!(matches!(read::<Sample>(io::repeat(b' ')), Err(ManifestError::TooLong)));
    let many = format!("[{}1]", "1,".repeat(MAX_ROWS));
    assert!(matches!(parse(&many), Err(ManifestError::TooManyRows)));
    assert!(matches!(parse(&format!("path\n{}", "a\n".repeat(MAX_ROWS + 1))), Err(ManifestError::TooManyRows)));

    let long = "x".repeat(MAX_ROW_LENGTH);
    for text in [
        format!("[{{\"path\": \"{long}\"}}]"),
        format!("{{\"path\": \"{long}\"}}"),
        format!("path\n{long}y\n"),
        format!("path\n\"{long}\"\n"),
    ] {
        assert!(wrong(&text).ends_with(": the row is longer than 64 KiB"));
    }
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(wrong(&format!("[{{\"path\": {deep}}}]")), "row 1 (line 1): `path` is not text");
    assert!(wrong(&deep).starts_with("row 1 (line 1): invalid type: sequence"));

    let told = wrong(&format!("[{{\"\\u001b[31m\u{202e}{}\": 1, \"path\": \"a\"}}]", "x".repeat(500)));
    assert!(told.chars().all(|character| !character.is_control() && character != '\u{202e}'), "{told:?}");
    assert!(told.len() < 250, "{told}");
    let many = wrong(&format!("[{}1]", "1,".repeat(200)));
    assert_eq!(many.lines().count(), 100);
}

/// Fails when it is read.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::TimedOut.into())
    }
}

#[test]
fn the_digest_is_that_of_the_bytes() {
    assert_eq!(parse(LIST).expect("is right").sha256, Sha256::of(LIST.as_bytes()));
    assert!(matches!(read::<Sample>(Broken), Err(ManifestError::Read(_))));
}

proptest! {
    #[test]
    fn any_text_is_rows_or_refused(text in "([\\[\\]{}\",:;=\r\n ]|path|tags|items|null|1|\u{feff}|a){0,24}") {
        let _ = parse(&text);
    }

    #[test]
    fn what_a_table_is_given_it_gives_back(cells in proptest::collection::vec("[ -~\n\r\u{e9}]{1,12}", 1..6)) {
        let quoted = |cell: &String| format!("\"{}\"\n", cell.replace('"', "\"\""));
        let text = format!("path\n{}", cells.iter().map(quoted).collect::<String>());
        let read: Vec<_> = rows(&text).into_iter().map(|row| row.value.path).collect();
        prop_assert_eq!(read, cells);
    }
}

#[test]
fn a_quote_opens_a_cell_and_closes_it_and_stands_nowhere_else() {
    insta::assert_snapshot!(wrong("path,reason\na,\"o1\nb,\"o2\n"), @r#"row 1 (line 2): a quote (`"`) closes before the end of its cell"#);
    insta::assert_snapshot!(wrong("path,reason\na,\"o1\"zz\nb,o\"2\nc, \"o3\"\n"), @r#"
    row 1 (line 2): a quote (`"`) closes before the end of its cell
    row 2 (line 3): a quote (`"`) opens in the middle of a cell
    row 3 (line 4): a quote (`"`) opens in the middle of a cell
    "#);
    insta::assert_snapshot!(wrong("path,reason\na,\"o1\nb,o2\n"), @r#"row 1 (line 2): a quote (`"`) is opened and not closed"#);
    insta::assert_snapshot!(wrong("path,\"reason\"s\na,b\n"), @r#"the manifest is broken in line 1: a quote (`"`) closes before the end of its cell"#);
    for text in
        ["path,reason\r\n\"a\"\"\",\"b,\r\nc\"\r\n\"d\",\"\"\r\n", "path,reason\n\"a\"\"\",\"b,\nc\"\n\"d\",\"\""]
    {
        let paths: Vec<_> = rows(text).into_iter().map(|row| row.value.path).collect();
        assert_eq!(paths, ["a\"", "d"], "{text}");
    }
}
