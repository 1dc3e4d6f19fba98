//! Rendering and reading agree, and nothing passes unnoticed.

use std::sync::LazyLock;

use proptest::prelude::*;
use rayon::prelude::*;

use super::*;

/// Every built-in template by name.
static ALL: LazyLock<Vec<(&str, Template)>> =
    LazyLock::new(|| Templates::built_in().into_built_in().into_iter().collect());

fn text(name: &str, stub: &Stub) -> String {
    let (_, template) = ALL.iter().find(|(found, _)| *found == name).expect("the template exists");
    template.render(stub).expect("the stub is short").text
}

#[test]
fn the_text_form_is_as_documented() {
    let text = text("python.loud", &usual());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["# git-archive-tomb stub v1", "# path: src/old/client.py"]);
    let keys: Vec<_> = lines[1..14].iter().map(|line| line[2..].split(": ").next().expect("has a key")).collect();
    assert_eq!(keys, KEYS);
    let restore = format!("git archive-tomb restore {}", usual().tombstone);
    assert_eq!(lines[13], format!("# restore: {restore}"));
    assert_eq!(
        lines[15..],
        [format!("_message = \"archived: run {restore}\""), "raise ImportError(_message)".to_owned()]
    );
}

#[test]
fn every_template_is_read_back_whatever_the_values() {
    for (name, template) in ALL.iter() {
        for stub in hostile().into_iter().chain([usual()]) {
            let rendered = template.render(&stub).expect("the stub is short");
            let found = read(rendered.text.as_bytes());
            assert_eq!((&found.stub, found.digest), (&stub, rendered.digest), "{name}:\n{}", rendered.text);
            assert_eq!(found.restore, restore_command(&stub.tombstone));
        }
    }
}

#[test]
fn what_editors_and_git_change_in_passing_changes_nothing() {
    for (name, template) in ALL.iter() {
        let rendered = template.render(&usual()).expect("the stub is short");
        let text = &rendered.text;
        for changed in [
            text.replace('\n', "\r\n"),
            format!("\u{feff}{text}"),
            text.replace('\n', " \t\n"),
            text.trim_end().to_owned(),
            format!("{text}\n\n"),
            format!("\u{feff}{}", text.trim_end().replace('\n', " \r\n")),
        ] {
            let found = read(changed.as_bytes());
            assert_eq!((found.stub, found.digest), (usual(), rendered.digest), "{name}");
        }
    }
}

#[test]
fn no_template_is_touched_by_normalisation() {
    for (name, template) in ALL.iter() {
        let text = template.render(&usual()).expect("the stub is short").text;
        assert_eq!(read::normalise(text.as_bytes()), text.as_bytes(), "{name}");
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    ALL.par_iter().for_each(|(name, template)| {
        let rendered = template.render(&usual()).expect("the stub is short");
        let text = rendered.text.as_bytes();
        for position in 0..text.len() {
            for byte in [b' ', b'\n', 0, text[position] ^ 1, text[position] ^ 0x20] {
                let mut changed = text.to_vec();
                changed[position] = byte;
                let Parsed::Stub(found) = parse(&changed) else { continue };
                let is_equivalent = read::normalise(&changed) == text;
                // The digest is made to leave `evidence` out; that value is looked up.
                let is_noticed = found.digest != rendered.digest || found.stub.evidence != usual().evidence;
                assert!(is_equivalent || is_noticed, "{name}: byte {position} as {byte}");
            }
        }
    });
}

#[test]
fn the_digest_leaves_the_evidence_out_and_nothing_else() {
    let one = text("hash.comment", &usual());
    let other = text("hash.comment", &Stub { evidence: Sha256::of(b"other"), ..usual() });
    assert_ne!(one, other);
    assert_eq!(read(one.as_bytes()).digest, read(other.as_bytes()).digest);
    let zeroed = text("hash.comment", &Stub { evidence: Sha256::ZERO, ..usual() });
    assert_eq!(read(one.as_bytes()).digest, Sha256::of(zeroed.as_bytes()));
}

#[test]
fn the_longest_path_fits_and_more_than_32_kib_is_refused() {
    let worst = stub(&[0xff; 4096], "x");
    for (name, template) in ALL.iter() {
        let rendered = template.render(&worst).expect("the longest path fits");
        assert_eq!(read(rendered.text.as_bytes()).stub, worst, "{name}");
        let refused = template.render(&stub(b"a", &"x".repeat(MAX_LENGTH)));
        assert!(matches!(refused, Err(RenderError::TooLong { .. })), "{name}");
    }
}

#[test]
fn mentioning_the_marker_makes_no_stub() {
    let whole = text("hash.comment", &usual());
    for mention in [
        "",
        "\n",
        "about git-archive-tomb stub v1",
        "# about git-archive-tomb stub v1\n",
        "# git-archive-tomb stub v1 is the marker\n",
        "# git-archive-tomb stub v1.\n",
        "\"git-archive-tomb stub v1\"\n",
        "`git-archive-tomb stub v1`\n",
        "#git-archive-tomb stub v1\n",
        "# git-archive-tomb stub v01\n",
        "# git-archive-tomb stub v0\n",
        "# git-archive-tomb stub v\n",
        "# git-archive-tomb stub v99999999999999999999\n",
        "# git-archive-tomb stub v1 */\n",
        "{\"git-archive-tomb\": {\"name\": \"git-archive-tomb stub v1\"}}",
        "{\"git-archive-tomb\": {\"marker\": \"git-archive-tomb stub v1 is a marker\"}}",
        &format!("\n{whole}"),
        &format!("import os\n{whole}"),
        &format!("{}\n{whole}", "#!".repeat(64)),
        &format!("```\n{whole}```\n"),
        &format!("# git-archive-tomb stub v1{}and more\n", " ".repeat(300)),
    ] {
        assert!(matches!(parse(mention.as_bytes()), Parsed::NotAStub), "{mention}");
    }
}

#[test]
fn the_marker_may_follow_what_the_language_wants_first() {
    let whole = text("hash.comment", &usual());
    for first in ["#!/bin/sh", "<?xml version=\"1.0\"?>", "<?php"] {
        assert_eq!(read(format!("{first}\n{whole}").as_bytes()).stub, usual());
        assert!(matches!(parse(format!("{first}\n\n{whole}").as_bytes()), Parsed::NotAStub));
    }
}

#[test]
fn a_newer_version_is_not_broken() {
    for text in [
        "# git-archive-tomb stub v2\nwhatever",
        "/* git-archive-tomb stub v2 */",
        "{ \"git-archive-tomb\" : {\"marker\":\"git-archive-tomb stub v2\", \"x\": 1}}",
    ] {
        assert!(matches!(parse(text.as_bytes()), Parsed::Newer { version: 2 }), "{text}");
    }
}

#[test]
fn what_claims_to_be_a_stub_and_is_none_is_malformed() {
    let good = text("hash.comment", &usual());
    let json = text("json.comment", &usual());
    let swapped = good.replace("# repo: A Maintainer\n", "").replace("# commit:", "# repo: A Maintainer\n# repo2:");
    let size = |value: &str| good.replace("size: 12345", &format!("size: {value}"));
    for bad in [
        "# git-archive-tomb stub v1\n".to_owned(),
        "# git-archive-tomb stub v1\n\nA page.\n".to_owned(),
        good.lines().take(13).collect::<Vec<_>>().join("\n"),
        swapped,
        good.replace("# repo:", "## repo:"),
        good.replace("# repo:", "// repo:"),
        good.replace("# repo: ", "# repo:"),
        good.replace("# path: ", "# path: \n# path: "),
        good.replace("# size: 12345\n", ""),
        good.replace("# size: 12345\n", "# size: 12345\n# size: 12345\n"),
        good.replace("path: src", "path: ../src"),
        good.replace("path: src", "path: .git/src"),
        good.replace("path: src", "path: \"src"),
        good.replace("path: src", "path: s\u{1b}rc"),
        good.replace("path: src", "path: s\rrc"),
        good.replace("reason: replaced", "reason: because"),
        good.replace("mode: 100755", "mode: 100600"),
        size("012345"),
        size("+1"),
        size("-1"),
        size("18446744073709551616"),
        size("\"12345\""),
        format!("{good}=======\n"),
        format!("{good}>>>>>>> theirs\n"),
        good.replace("# size", "<<<<<<< ours\n# size"),
        good.clone() + &"#\n".repeat(MAX_LENGTH),
        json.replace("\"size\": \"12345\"", "\"size\": 12345"),
        json.replace("  }\n}", "  },\n  \"other\": 1\n}"),
        json.replace("\"size\"", "\"Size\""),
        json.replace("    \"size\": \"12345\",\n", ""),
        json.replace("    \"size\": \"12345\",\n", "    \"size\": \"12345\",\n    \"size\": \"12345\",\n"),
        json.replace("5b", "5\\u0062").replace("\"evidence\": \"", "\"evidence\": \"\\u0030"),
        json.trim_end().trim_end_matches('}').to_owned(),
        format!("{json}{json}"),
    ] {
        assert!(matches!(parse(bad.as_bytes()), Parsed::Malformed(_)), "{bad}");
    }
    let Parsed::Malformed(malformed) = parse(json.replace("\"path\"", "\"\\u001b[31m\"").as_bytes()) else {
        panic!("a wrong key is malformed")
    };
    assert_eq!(malformed.to_string(), "line 4 does not go on as a stub's JSON object does");
    let not_utf8 = [good.as_bytes(), b"\xff\n"].concat();
    assert!(matches!(parse(&not_utf8), Parsed::Malformed(Malformed::NotUtf8)));
}

#[test]
fn a_merge_conflict_with_a_stub_is_malformed_and_any_other_is_no_stub() {
    for name in ["hash.comment", "json.comment", "jsonl.comment", "xml.comment", "block.comment"] {
        let stub = text(name, &usual());
        for conflict in [
            format!("<<<<<<< HEAD\nx = 1\n=======\n{stub}>>>>>>> tomb\n"),
            format!("<<<<<<< HEAD\n{stub}=======\nx = 1\n>>>>>>> tomb\n"),
            format!("<<<<<<< HEAD\n{}=======\n{stub}>>>>>>> tomb\n", "x = 1\n".repeat(50_000)),
            format!("#!/bin/sh\n<<<<<<< HEAD\nx = 1\n=======\n{stub}>>>>>>> tomb\n"),
            format!("{{\n<<<<<<< HEAD\n\"a\": 1\n=======\n{stub}>>>>>>> tomb\n"),
        ] {
            assert!(matches!(parse(conflict.as_bytes()), Parsed::Malformed(Malformed::Conflict { .. })), "{conflict}");
        }
    }
    let other = "<<<<<<< HEAD\nx = 1\n=======\nabout git-archive-tomb stub v1\n>>>>>>> tomb\n";
    assert!(matches!(parse(other.as_bytes()), Parsed::NotAStub));
}

#[test]
fn a_repository_may_bring_its_own_templates() {
    let own = "{{!-- git-archive-tomb stub v1\n  @fields@\n--}}\n<p>@restore@ @tombstone@</p>\n";
    let files = |name: &str, text: &str| Templates::with_overrides([(name.to_owned(), text.to_owned())]);
    let templates = files("ext-tpl.comment", own).expect("the template is good");
    let path = RepoPath::try_new("views/main.tpl").expect("is a path");
    let file = classify(&path, b"");
    let text = templates.choose(&path, &file, Style::Loud).render(&usual()).expect("is short").text;
    assert!(text.starts_with("{{!-- git-archive-tomb stub v1\n  path: src/old/client.py\n"), "{text}");
    assert!(text.ends_with(&format!("restore {0} {0}</p>\n", usual().tombstone)), "{text}");
    assert_eq!(read(text.as_bytes()).stub, usual());
    let path = RepoPath::try_new("main.py").expect("is a path");
    let loud =
        files("python.loud", "# git-archive-tomb stub v1\r\n# @fields@\r\n1 / 0\r\n").expect("the template is good");
    let text = loud.choose(&path, &classify(&path, b""), Style::Auto).render(&usual()).expect("is short").text;
    assert!(text.ends_with("\n1 / 0\n"), "{text}");
    let file = files("file-main.py.loud", own).expect("the template is good");
    let text = file.choose(&path, &classify(&path, b""), Style::Auto).render(&usual()).expect("is short").text;
    assert!(text.starts_with("{{!--"), "{text}");
}

#[test]
fn bad_templates_are_refused_by_name() {
    let refusal = |name: &str, text: &str| {
        let error = Templates::with_overrides([(name.to_owned(), text.to_owned())]).expect_err(text);
        assert!(error.to_string().contains(name), "{error}");
        error
    };
    let good = "# git-archive-tomb stub v1\n# @fields@\n";
    for name in ["README", "python", "pithon.loud", "ext-PY.loud", "ext-.loud", "file-.comment", ".loud"] {
        assert!(matches!(refusal(name, good), TemplateError::Name { .. }), "{name}");
    }
    for text in ["", "# git-archive-tomb stub v1\n", "# git-archive-tomb stub v1\n# @fields@\n# @fields@\n"] {
        assert!(matches!(refusal("python.loud", text), TemplateError::Fields { .. }), "{text}");
    }
    for text in [
        "# @fields@",
        "#\n# @fields@",
        "= git-archive-tomb stub v1\n= @fields@\n",
        "# git-archive-tomb stub v1\n\n# @fields@",
    ] {
        assert!(matches!(refusal("python.loud", text), TemplateError::Marker { .. }), "{text}");
    }
    for text in [
        "\n# git-archive-tomb stub v1\n# @fields@\n",
        "import os\n# git-archive-tomb stub v1\n# @fields@\n",
        "# git-archive-tomb stub v2\n# @fields@\n",
        "# git-archive-tomb stub v1\n@fields@\n",
        "# git-archive-tomb stub v1\n// @fields@\n",
        "/* git-archive-tomb stub v1 */\n@fields@\n",
        "/* git-archive-tomb stub v1\nprint('@fields@')\n",
        "# git-archive-tomb stub v1\n# @fields@ #\n",
        "# git-archive-tomb stub v1\n# @fields@\n=======\n",
        "# git-archive-tomb stub v1\n# @fields@\n<<<<<<< x\n",
        "{\"git-archive-tomb\":{\"marker\":\"git-archive-tomb stub v1\",@fields@},\"x\":1}",
        "{\"git-archive-tomb\":{\"marker\":\"git-archive-tomb stub v1\",\"x\":\"@fields@\"}}",
    ] {
        assert!(matches!(refusal("python.loud", text), TemplateError::Unreadable { .. }), "{text}");
    }
    assert!(matches!(refusal("python.loud", &"#\n".repeat(5000)), TemplateError::TooLong { .. }));
}

fn any_stub() -> impl Strategy<Value = Stub> {
    let path =
        prop::collection::vec(any::<u8>(), 1..60).prop_filter_map("not a path", |bytes| RepoPath::try_new(bytes).ok());
    let mode = prop::sample::select(FileMode::ALL);
    let reason = prop::sample::select(Reason::ALL);
    let object = prop_oneof![prop::collection::vec(any::<u8>(), 20), prop::collection::vec(any::<u8>(), 32)];
    let object = object.prop_map(|bytes| ObjectId::from_bytes(&bytes).expect("has the length of an id"));
    let time = -60_000_000_000_000_i64..250_000_000_000_000;
    (path, any::<[u8; 3]>(), any::<u64>(), mode, object, any::<String>(), reason, any::<String>(), time).prop_map(
        |(path, seed, size, mode, object, repo, reason, archived_by, time)| Stub {
            tombstone: Tombstone::derive(&repo, path.as_bytes(), &object, &Sha256::of(&seed)),
            sha256: Sha256::of(&seed),
            archived_at: Timestamp::from_millisecond(time).expect("is in range"),
            evidence: Sha256::of(path.as_bytes()),
            path,
            size,
            mode,
            object,
            repo,
            commit: object,
            reason,
            archived_by,
        },
    )
}

proptest! {
    #[test]
    fn reading_undoes_rendering(
        stub in any_stub(),
        ending in prop::sample::select(&["\n", "\r\n", " \n", "\t \r\n"][..]),
        bom: bool,
        template: prop::sample::Index,
    ) {
        let (name, template) = template.get(&ALL);
        let rendered = template.render(&stub).expect("the stub is short");
        let bom = if bom { "\u{feff}" } else { "" };
        let found = read(format!("{bom}{}", rendered.text.replace('\n', ending)).as_bytes());
        prop_assert_eq!((&found.stub, found.digest), (&stub, rendered.digest), "{}", name);
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, cut in 0_usize..1000, position in 0_usize..1000) {
        parse(&bytes);
        classify(&RepoPath::try_new("x").expect("is a path"), &bytes);
        for name in ["hash.comment", "json.comment", "xml.comment", "jinja.comment"] {
            let mut text = text(name, &usual()).into_bytes();
            let position = position.min(text.len());
            text.splice(position..(position + cut % 7).min(text.len()), bytes.iter().copied());
            parse(&text);
            text.truncate(cut);
            parse(&text);
        }
    }
}
