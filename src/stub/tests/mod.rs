//! What every template, reader and line of the table of types has to keep.

mod format;
mod languages;
mod types;

use bstr::ByteSlice as _;

use super::*;

/// Values that try to end comments, start code, or mean something to a parser, a template engine or an editor.
const HOSTILE: &[&[u8]] = &[
    b"*/ int x; /*",
    b"--> <script>alert(1)</script> <!-- --!>",
    b"?> <?php system('id'); ?>",
    b"%> <% x %> --%> #} }} --}} *} *@ *)",
    b"\" \"\"\" ''' ` ``` '\"'",
    b"$(touch /tmp/x) `id` ${HOME} #{1/0} {{7*7}} {% x %}",
    b"a\nb\r\nc\rraise SystemExit(0)",
    "a\u{2028}b\u{2029}c\u{85}d\u{202e}e\u{feff}f\u{fffe}".as_bytes(),
    b"caf\xe9 \xff\xfe\xc0\x80 \x1b[31m",
    b"coding: utf-7",
    b"coding=rot13",
    b"vim: set ft=c : -*- mode: c -*- Local Variables:",
    b"back\\slash\\",
    b"u\\u000a\\u002a\\u002f",
    b"trigraph ??/",
    b"{| |} [[ ]] -} {- =end =begin =cut |# #| #> <#",
    b"%PATH% ^ & | < > ! %~ /?",
    b"<<<<<<< HEAD",
    b"sourceMappingURL=x //# sourceMappingURL=y",
    b"a,b;c\td|e",
    b" leading and trailing ",
    "r\u{e9}sum\u{e9} \u{65e5}\u{672c} \u{1f600}".as_bytes(),
    b"'; DROP TABLE x; -- &y",
    b"path: x",
    b"git-archive-tomb stub v1",
    b"]]> <![CDATA[ &amp; &x;",
    b"^^M \\end{comment} \\input{x}",
    b"!",
];

fn stub(path: &[u8], name: &str) -> Stub {
    let object: ObjectId = "0123456789abcdef0123456789abcdef01234567".parse().expect("is an id");
    Stub {
        path: RepoPath::try_new(path).expect("is a path"),
        tombstone: Tombstone::derive("widgets", path, &object, &Sha256::of(path)),
        sha256: Sha256::of(path),
        size: 12_345,
        mode: FileMode::Executable,
        object,
        repo: name.to_owned(),
        commit: object,
        reason: Reason::Replaced,
        archived_by: format!("{name} <maintainer@example.org>"),
        archived_at: Timestamp::from_millisecond(1_760_707_356_120).expect("is in range"),
        evidence: Sha256::of(b"evidence"),
    }
}

fn usual() -> Stub {
    stub(b"src/old/client.py", "A Maintainer")
}

/// Returns a stub for each hostile value, as path where it may be one, as repository and as actor.
fn hostile() -> Vec<Stub> {
    HOSTILE
        .iter()
        .map(|value| {
            let text = String::from_utf8_lossy(value);
            stub(if RepoPath::try_new(*value).is_ok() { value } else { b"x" }, &text)
        })
        .chain(HOSTILE.iter().map(|value| stub(&[b"a", *value].concat().replace("/", "\\"), "x")))
        .collect()
}

fn read(text: &[u8]) -> ParsedStub {
    match parse(text) {
        Parsed::Stub(stub) => *stub,
        other => panic!("{other:?}: {}", text.as_bstr()),
    }
}
