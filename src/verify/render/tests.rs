use super::{github, json, sarif, text};
use crate::id::Sha256;
use crate::verify::report::{Checked, Finding, Report, Rule};

/// A report with a file name that tries to get out of every form.
fn hostile() -> Report {
    let commit = "0123456789012345678901234567890123456789".parse().expect("is an id");
    let tombstone = "16bd3d4a-ba15-592c-ad02-cf17c8d16883".parse().expect("is a tombstone");
    let path = b"a,b:\n::error file=x::\x1b[31m% \"<b>.py";
    Report {
        findings: vec![
            Finding::error(Rule::StubMismatch, path, "its `size` is not the record's\n::warning::x\u{1b}[2J")
                .line(7)
                .tombstone(tombstone)
                .record(Sha256::of(b"record"))
                .commit(Some(commit))
                .hint("git checkout 1% -- a"),
            Finding::warning(Rule::StubRemoved, b"caf\xe9", "a stub was deleted"),
            Finding { path: None, ..Finding::error(Rule::HistoryIncomplete, b"", "an object is missing") },
        ],
        checked: Checked { commits: 1, edges: 2, stubs: 0, evidence_files: 3 },
    }
}

#[test]
fn text_is_safe_for_a_terminal() {
    let rendered = text(&hostile());
    insta::assert_snapshot!(rendered, @r##"
    error[stub-mismatch]: its `size` is not the record's\n::warning::x\u{1b}[2J
      at: "a,b:\n::error file=x::\033[31m% \"<b>.py":7
      commit: 0123456789012345678901234567890123456789
      tombstone: 16bd3d4a-ba15-592c-ad02-cf17c8d16883
      record: 70ce871f8a3d3fb449bc3c3ace6547cef02dfc74ffe48d912532a724bfdbe5b9
      hint: git checkout 1% -- a
    warning[stub-removed]: a stub was deleted
      at: "caf\351"
    error[history-incomplete]: an object is missing
    2 errors, 1 warning; checked 1 commit, 2 edges, 0 stubs, 3 evidence files
    "##);
    assert!(!rendered.contains('\u{1b}'));
}

#[test]
fn json_carries_every_byte() {
    let rendered = json(&hostile());
    insta::assert_snapshot!(rendered, @r##"
    {"rule":"stub-mismatch","severity":"error","path":"a,b:\n::error file=x::\u001b[31m% \"<b>.py","line":7,"tombstone":"16bd3d4a-ba15-592c-ad02-cf17c8d16883","record":"70ce871f8a3d3fb449bc3c3ace6547cef02dfc74ffe48d912532a724bfdbe5b9","commit":"0123456789012345678901234567890123456789","reason":"its `size` is not the record's\n::warning::x\u001b[2J","hint":"git checkout 1% -- a"}
    {"rule":"stub-removed","severity":"warning","path_b64":"Y2Fm6Q==","reason":"a stub was deleted"}
    {"rule":"history-incomplete","severity":"error","reason":"an object is missing"}
    "##);
    assert_eq!(rendered.lines().count(), 3);
}

#[test]
fn a_file_name_starts_no_workflow_command() {
    let rendered = github(&hostile());
    insta::assert_snapshot!(rendered, @r##"
    ::error file=a%2Cb%3A%0A%3A%3Aerror file=x%3A%3A%1B[31m%25 "<b>.py,line=7,title=stub-mismatch::its `size` is not the record's%0A::warning::x[2J (tombstone 16bd3d4a-ba15-592c-ad02-cf17c8d16883) (record 70ce871f8a3d3fb449bc3c3ace6547cef02dfc74ffe48d912532a724bfdbe5b9) (commit 0123456789012345678901234567890123456789)%0Ahint: git checkout 1%25 -- a
    ::warning title=stub-removed::"caf\351": a stub was deleted
    ::error title=history-incomplete::an object is missing
    "##);
    assert!(rendered.lines().all(|line| line.starts_with("::error ") || line.starts_with("::warning ")));
    assert_eq!(rendered.lines().count(), 3);
}

#[test]
fn sarif_has_the_shape_that_the_standard_asks_for() {
    let log: serde_json::Value = serde_json::from_str(&sarif(&hostile())).expect("is JSON");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("has rules");
    assert_eq!((log["version"].as_str(), rules.len()), (Some("2.1.0"), Rule::ALL.len()));
    for result in run["results"].as_array().expect("has results") {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("has an index")).expect("is small");
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning"].contains(&result["level"].as_str().expect("has a level")));
        assert!(result["message"]["text"].is_string());
    }
    let location = &run["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(
        location["artifactLocation"]["uri"],
        "a%2Cb%3A%0A%3A%3Aerror%20file%3Dx%3A%3A%1B%5B31m%25%20%22%3Cb%3E.py"
    );
    assert_eq!(location["region"]["startLine"], 7);
    assert_eq!(location["artifactLocation"]["uriBaseId"], "%SRCROOT%");
    let location = |index: usize| &run["results"][index]["locations"][0]["physicalLocation"];
    assert_eq!(location(1)["artifactLocation"]["uri"], "caf%E9");
    // Services want a place to show; what concerns no file is about the evidence.
    assert_eq!(location(2)["artifactLocation"]["uri"], ".codex");
    assert_eq!(location(2)["region"]["startLine"], 1);
}

#[test]
fn a_fingerprint_stays_when_commits_and_lines_change() {
    let fingerprints = |report: &Report| -> Vec<String> {
        let log: serde_json::Value = serde_json::from_str(&sarif(report)).expect("is JSON");
        let results = log["runs"][0]["results"].as_array().expect("has results");
        let of =
            |result: &serde_json::Value| result["partialFingerprints"]["gitArchiveTomb/v1"].as_str().map(str::to_owned);
        results.iter().map(|result| of(result).expect("is text")).collect()
    };
    let report = hostile();
    let mut rebased = hostile();
    for finding in &mut rebased.findings {
        (finding.commit, finding.line) = (None, Some(1));
    }
    assert_eq!(fingerprints(&report), fingerprints(&rebased));
    // The same thing again, in a later commit, is another result.
    let mut twice = hostile();
    twice.findings.push(report.findings[0].clone());
    let all = fingerprints(&twice);
    let distinct: std::collections::HashSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), 4, "{all:?}");
    assert!(all[3].ends_with(":2"));
}
