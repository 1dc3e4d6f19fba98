//! How governance stands, in one report.

use git_archive_tomb::archive::{Event, Location, OpenMode};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::Record;
use git_archive_tomb::governance::record::{RequestKey, Subject, hold_set, prune_request, purge_approval};
use git_archive_tomb::id::OperationId;
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::operation::Facts;
use serde_json::Value;

use super::people::record;
use super::signed::two_clones;
use crate::common::{Repo, World, assert_shown};

const PATH: &str = "docs/old.md";

fn subject(repo: &Repo<'_>, path: &str) -> Subject {
    let shown = repo.tomb_ok(&["show", "--json", &repo.tombstone_at(path)]).json().remove(0);
    let text = |key: &str| shown[key].as_str().unwrap();
    Subject {
        repo: text("repo").to_owned(),
        path: RepoPath::try_new(path).unwrap(),
        tombstone: text("tombstone").parse().unwrap(),
        sha256: text("sha256").parse().unwrap(),
    }
}

fn facts(by: &str, days_ago: i64) -> Facts {
    let started = Timestamp::from_millisecond(Timestamp::now().as_millisecond() - days_ago * 86_400_000).unwrap();
    Facts { op: OperationId::generate(), started, actor: by.to_owned(), repo: "project".to_owned() }
}

/// Appends records to the archive's events.
fn append(repo: &Repo<'_>, records: &[Record]) {
    let location = Location::File(repo.path.join(".git/archive-tomb/archive.sqlite"));
    let mut archive = location.open(None, OpenMode::Existing).unwrap();
    let events: Vec<Event> = records.iter().map(|record| Event::from_record(record).unwrap()).collect();
    archive.approve(&[], &events).unwrap();
}

fn archive_id(repo: &Repo<'_>) -> String {
    let location = Location::File(repo.path.join(".git/archive-tomb/archive.sqlite"));
    location.open(None, OpenMode::Existing).unwrap().id().to_owned()
}

fn report(repo: &Repo<'_>) -> Value {
    repo.tomb_ok(&["report", "--governance", "--json"]).json().remove(0)
}

/// Makes a repository with two requests, one of them approved once, a hold of a store, one that evidence alone has, and dates.
fn governed(world: &World) -> Repo<'_> {
    let repo = world.sample("project");
    repo.store(&[PATH], &[PATH]);
    repo.store(&["src/legacy/old.py", "--legal-hold"], &["src/legacy/old.py"]);
    repo.store(&["src/legacy/run.sh", "--delete-after", "10d"], &["src/legacy/run.sh"]);
    record(&repo, "ada", "src/legacy/run.sh", |facts, item| hold_set(facts, None, item, Some("CASE-7"), "a claim"));
    let (archive, item) = (archive_id(&repo), subject(&repo, PATH));
    let key = RequestKey::generate(&archive, [item.tombstone]);
    let request = prune_request(&facts("Ada <ada@example.org>", 12), &key, &item, &[], "Contains PII");
    let approval = purge_approval(&facts("Ben", 3), "Ben", &key, &item, None);
    append(&repo, &[request, vec![approval]].concat());
    let item = subject(&repo, "src/legacy/old.py");
    let old = RequestKey::generate(&archive, [item.tombstone]);
    append(&repo, &prune_request(&facts("Ada <ada@example.org>", 40), &old, &item, &[], "expired by now"));
    let new = RequestKey::generate(&archive, [item.tombstone]);
    append(&repo, &prune_request(&facts("Ada <ada@example.org>", 0), &new, &item, &[], "again"));
    repo
}

#[test]
fn the_report_has_what_stands_and_what_is_in_the_way() {
    let world = World::new();
    let repo = governed(&world);
    let report = report(&repo);
    assert_eq!(report["archive"], archive_id(&repo).as_str());
    let requests = report["requests"].as_array().unwrap();
    let told: Vec<_> = requests.iter().map(|request| (&request["path"], &request["reason"])).collect();
    assert_eq!(told, [(&PATH.into(), &"Contains PII".into()), (&"src/legacy/old.py".into(), &"again".into())]);
    assert_eq!(requests[0]["approvals"][0]["by"], "Ben");
    let in_the_way = |request: &Value| -> Vec<String> {
        let names = request["in_the_way"].as_array().unwrap().iter();
        names.map(|obstacle| obstacle["obstacle"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(in_the_way(&requests[0]), ["approvals"]);
    assert_eq!(in_the_way(&requests[1]), ["approvals", "hold"]);
    let holds: Vec<_> =
        report["holds"].as_array().unwrap().iter().map(|hold| (&hold["name"], &hold["in_archive"])).collect();
    assert_eq!(holds, [(&Value::Null, &true.into()), (&"CASE-7".into(), &false.into())]);
    assert_eq!(report["due"]["count"], 1);
    assert_eq!(report["due"]["first"][0]["path"], "src/legacy/run.sh");
    assert_eq!(repo.tomb_ok(&["report", "--governance", "--json", "--within", "9d"]).json()[0]["due"]["count"], 0);
}

#[test]
fn a_clone_without_an_archive_reports_what_evidence_tells() {
    let world = World::new();
    let repo = governed(&world);
    repo.git(&["clone", "-q", ".", "../clone"]);
    let report = report(&world.at("clone"));
    assert_eq!((report.get("archive"), &report["due"]["count"]), (None, &0.into()));
    let holds = report["holds"].as_array().unwrap();
    assert!(holds.len() == 2 && holds.iter().all(|hold| hold["in_archive"] == false), "{report}");
}

#[test]
fn the_report_reads_well_and_goes_into_a_file() {
    let world = World::new();
    let repo = governed(&world);
    let run = repo.tomb_ok(&["report", "--governance"]);
    assert!(run.stdout_text().lines().all(|line| line.chars().count() <= 80), "{run}");
    repo.tomb_ok(&["report", "--governance", "-o", "../report.txt"]);
    let told = |text: &str| text.lines().skip(2).collect::<Vec<_>>().join("\n");
    assert_eq!(told(&world.at("").read_text("report.txt")), told(&run.stdout_text()));
    assert_shown!(&world, repo.tomb(&["report", "--governance"]), @r"
    exit: 0
    ----- stdout -----
    governance at [time]
    of archive [uuid]

    requests that stand: 2
      [uuid]  docs/old.md
        12 days ago by Ada <ada@example.org>: Contains PII
        request [uuid], expires in 18 days
        approved by Ben 3 days ago, expires in 27 days
        in the way: 1 of 2 approvals, by `Ben`
      [uuid]  src/legacy/old.py
        today by Ada <ada@example.org>: again
        request [uuid], expires in 30 days
        in the way: 0 of 2 approvals
        in the way: a hold on [uuid] src/legacy/old.py

    holds: 2
      without a name
        [uuid]  src/legacy/old.py
          since [date] by A Maintainer <maintainer@example.org>, in the archive
            and in evidence
      CASE-7
        [uuid]  src/legacy/run.sh
          since [date] by ada@example.org: a claim, in evidence

    may be destroyed by [date], by their dates: 1
      [date]  near
        [uuid]  src/legacy/run.sh

    purges that are not finished: 0

    purged: 0
    ");
    assert_shown!(&world, repo.tomb(&["report"]), @r"
    exit: 2
    ----- stderr -----
    error: there is no report but that on governance yet
    hint: `git archive-tomb report --governance`
    ");
}

#[test]
fn a_purge_by_other_rules_than_those_here_is_reported() {
    let world = World::new();
    let (ada, _bob) = two_clones(&world);
    // What others asked for and signed stays theirs; so the request is the same person's.
    let path = "src/legacy/old.py";
    let unsigned = ["-c", "archivetomb.governance.signed=false", "archive-tomb"];
    ada.git(&[&unsigned[..], &["prune-request", path, "--by", "mallory", "--reason", "x"]].concat());
    let purge = ["purge", path, "--reason", "x", "--by", "mallory", "--second", "eve", "--apply"];
    ada.git(&[&unsigned[..], &purge].concat());
    let report = report(&ada);
    assert_eq!((&report["purges"]["count"], &report["unfounded"][0]["path"]), (&1.into(), &path.into()));
    let run = ada.tomb_ok(&["report", "--governance"]);
    let text = run.stdout_text();
    assert!(text.contains("\npurges that do not count by the rules here: 1\n"), "{run}");
    assert!(text.contains("not signed"), "{run}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{run}");
    assert!(!ada.git(&[&unsigned[..], &["report", "--governance"]].concat()).contains("do not count by the rules"));
}

#[test]
fn a_signed_clone_that_names_nobody_is_told_that_nothing_counts() {
    let world = World::new();
    let (ada, bob) = two_clones(&world);
    for repo in [&ada, &bob] {
        assert_eq!(report(repo)["requests"].as_array().unwrap().len(), 1);
        repo.git(&["config", "--unset", "gpg.ssh.allowedSignersFile"]);
        let run = repo.tomb_ok(&["report", "--governance"]);
        assert!(run.stderr_text().contains("warning: nobody is named whose signatures count"), "{run}");
        assert!(run.stdout_text().contains("requests that stand: 0\n\nrequests that do not count: 1\n"), "{run}");
        let void = report(repo)["void_requests"][0].clone();
        assert_eq!(void["why"], "does not count: nobody is named whose signatures count");
        assert_eq!((&void["path"], &void["by"]), (&PATH.into(), &"ada <ada@example.org>".into()));
    }
    let request = report(&ada)["void_requests"][0]["request"].as_str().unwrap().to_owned();
    assert!(ada.tomb_ok(&["report", "--governance"]).stdout_text().contains(&request));
    // One that was taken back waits for nobody.
    let allowed = world.at("allowed_signers").path;
    ada.git(&["config", "gpg.ssh.allowedSignersFile", allowed.to_str().unwrap()]);
    ada.tomb_ok(&["prune-request", PATH, "--withdraw"]);
    ada.git(&["config", "--unset", "gpg.ssh.allowedSignersFile"]);
    assert_eq!(report(&ada)["void_requests"], serde_json::json!([]));
}
