//! Conflicts, settled in the ways that `docs/verification.md` names.

use std::collections::BTreeMap;

use super::team::{Team, is_stub};
use crate::common::Run;

/// In the middle of what a conflict came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum During {
    Merge,
    Rebase,
    CherryPick,
    Revert,
    /// A patch, a stash: there is nothing to continue.
    Apply,
}

/// What one side of a conflict has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    Nothing,
    File,
    Stub,
}

/// Which side of a conflict is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Take {
    Ours,
    Theirs,
    /// The file, after its stub was restored on the record.
    FileOnRecord,
}

impl Team<'_> {
    /// Goes on until what `run` began is done. Returns whether somebody kept a stub of theirs over the other side's edit.
    pub(super) fn settle(&mut self, who: usize, during: During, run: &Run) -> bool {
        self.settle_with(who, during, run, None)
    }

    /// As [`Team::settle`], for commits that come from elsewhere, with their evidence if it was left behind there.
    pub(super) fn settle_with(&mut self, who: usize, during: During, run: &Run, from: Option<&str>) -> bool {
        let mut kept_over_edit = false;
        if run.code == Some(0) {
            return kept_over_edit;
        }
        // A rebase stops as often as it has commits, at most.
        for _ in 0..100 {
            kept_over_edit |= self.settle_paths(who, during);
            if self.is_taken_back(who, during) {
                return kept_over_edit;
            }
            self.verify_staged(who, from);
            if !self.go_on_with(who, during) {
                return kept_over_edit;
            }
        }
        panic!("{during:?} never ends: {run}");
    }

    /// Takes a revert back that would hide an edit or leave a stub's bytes without an account, and a rebase that drops evidence
    /// of stubs which it keeps.
    fn is_taken_back(&mut self, who: usize, during: During) -> bool {
        let (word, harmless) = match during {
            During::Revert => ("revert", (|rule| rule == "evidence-rewritten") as fn(&str) -> bool),
            During::Rebase => {
                ("rebase", (|rule| !matches!(rule, "stub-unknown" | "stub-mismatch")) as fn(&str) -> bool)
            }
            _ => return false,
        };
        if self.staged_errors(who).iter().all(|error| harmless(error["rule"].as_str().unwrap())) {
            return false;
        }
        self.git(who, &[word, "--abort"]);
        self.count("reverts and rebases taken back");
        true
    }

    /// Asserts that what is staged is fit to be committed, and does what hints say where it cannot be.
    fn verify_staged(&mut self, who: usize, from: Option<&str>) {
        let errors = self.staged_errors(who);
        for error in &errors {
            let hint = error["hint"].as_str().unwrap();
            match (error["rule"].as_str().unwrap(), from) {
                // Somebody reverted an archive: here, where it was picked from, or on the branch that is merged.
                ("evidence-rewritten", _) => self.follow(who, hint),
                ("stub-unknown", Some(from)) => self.take_evidence_from(who, from),
                // A restore that is picked twice: its record is here already, and says nothing of this stub.
                ("stub-removed", Some(_)) => self.put_on_record(who, error["path"].as_str().unwrap()),
                // A stub that would hide what stands here: an edit in the merge that is picked, a file that has its name.
                ("stub-mismatch", _) => self.follow(who, hint.split('`').nth(1).unwrap()),
                ("stub-removed", None) if self.is_overwritten_by_merge(who, error["path"].as_str().unwrap()) => {
                    self.git(who, &["checkout", "-q", "HEAD", "--", error["path"].as_str().unwrap()]);
                    self.count("stubs brought back that git's merge put a file over");
                }
                _ => panic!("a false alarm: {error}"),
            }
        }
        if !errors.is_empty() {
            assert_eq!(self.staged_errors(who), Vec::<serde_json::Value>::new(), "after following the hints");
        }
    }

    /// Returns whether both sides of a merge have the very stub at `path` that is missing from its result: one side renamed
    /// the stub to there, the other has a copy there and restored and edited the first one, and git took the edit along.
    fn is_overwritten_by_merge(&self, who: usize, path: &str) -> bool {
        let repo = &self.developers[who];
        let at = |commit: &str| repo.try_git(&["rev-parse", "--quiet", "--verify", &format!("{commit}:{path}")]);
        let (ours, theirs) = (at("HEAD"), at("MERGE_HEAD"));
        ours.code == Some(0) && ours.stdout == theirs.stdout
    }

    /// Brings evidence along from where its stubs came.
    pub(super) fn take_evidence_from(&mut self, who: usize, from: &str) {
        self.git(who, &["checkout", "-q", from, "--", ":/.codex/evidence"]);
        self.count("evidence taken along");
    }

    /// Verifies what is staged, and returns the errors.
    pub(super) fn staged_errors(&mut self, who: usize) -> Vec<serde_json::Value> {
        let run = self.tomb(who, &["verify", "--staged", "--json"]);
        self.sort_findings(&run)
    }

    /// Continues. Returns whether there is more to settle.
    fn go_on_with(&mut self, who: usize, during: During) -> bool {
        let nothing_staged = || self.developers[who].try_git(&["diff", "--cached", "--quiet"]).code == Some(0);
        let word = match during {
            During::Apply => return false,
            During::Merge => {
                self.git(who, &["commit", "-q", "--no-edit"]);
                return false;
            }
            During::Rebase => "rebase",
            During::CherryPick => "cherry-pick",
            During::Revert => "revert",
        };
        let how = if nothing_staged() { "--skip" } else { "--continue" };
        let run = self.try_git(who, &[word, how]);
        // A single commit of which nothing is left is over before anybody skips it. Where git crashed, nothing is left either.
        if matches!(run.code, Some(0) | None) || run.all_text().contains("in progress") {
            return false;
        }
        assert!(run.all_text().contains("onflict"), "{run}");
        true
    }

    /// Settles the paths in conflict.
    pub(super) fn settle_paths(&mut self, who: usize, during: During) -> bool {
        let mut kept_over_edit = false;
        let listed = self.developers[who].git(&["ls-files", "-u", "-z", "--", ":/"]);
        let mut paths: BTreeMap<String, [Option<String>; 4]> = BTreeMap::new();
        for entry in listed.split('\0').filter(|entry| !entry.is_empty()) {
            let (head, path) = entry.split_once('\t').unwrap();
            let words: Vec<&str> = head.split(' ').collect();
            let stage: usize = words[2].parse().unwrap();
            paths.entry(path.to_owned()).or_default()[stage] = Some(words[1].to_owned());
        }
        for (path, stages) in paths {
            assert!(!path.contains(".codex"), "a conflict in {path}");
            self.count("conflicts");
            let (ours, theirs) = (self.side(who, stages[2].as_deref()), self.side(who, stages[3].as_deref()));
            let take = self.choose(during, ours, theirs);
            let is_stub_over_file = (take == Take::Ours && (ours, theirs) == (Has::Stub, Has::File))
                || (take == Take::Theirs && (ours, theirs) == (Has::File, Has::Stub));
            // A squash would show the one stub in place of what the other side has, without its account.
            let is_other_stub = (take, ours, theirs) == (Take::Ours, Has::Stub, Has::Stub);
            // And what the merge commit itself restores is in no commit that a rebase takes along.
            let is_in_merge_alone = is_stub_over_file || is_other_stub || take == Take::FileOnRecord;
            kept_over_edit |= during == During::Merge && is_in_merge_alone;
            match take {
                Take::Ours => self.take(who, &path, "--ours", ours),
                Take::Theirs => self.take(who, &path, "--theirs", theirs),
                Take::FileOnRecord => {
                    let (stub, blob) =
                        if ours == Has::Stub { ("--ours", &stages[3]) } else { ("--theirs", &stages[2]) };
                    self.take(who, &path, stub, Has::Stub);
                    if self.restore(who, &path) {
                        let repo = &self.developers[who];
                        let edited = repo.try_git(&["cat-file", "blob", blob.as_ref().unwrap()]).exits(0).stdout;
                        repo.write(&path, edited);
                        self.git(who, &["add", "--", &path]);
                        self.count("conflicts settled by a restore");
                    }
                }
            }
        }
        kept_over_edit
    }

    fn side(&self, who: usize, blob: Option<&str>) -> Has {
        let Some(blob) = blob else { return Has::Nothing };
        let bytes = self.developers[who].try_git(&["cat-file", "blob", blob]).exits(0).stdout;
        if is_stub(&bytes) { Has::Stub } else { Has::File }
    }

    fn choose(&mut self, during: During, ours: Has, theirs: Has) -> Take {
        let choices: &[Take] = match (ours, theirs) {
            (Has::Stub, Has::File) => &[Take::Ours, Take::FileOnRecord, Take::FileOnRecord],
            (Has::File, Has::Stub) if during == During::Merge => {
                &[Take::Theirs, Take::FileOnRecord, Take::FileOnRecord]
            }
            // The archived bytes are not the ones that stand here: whoever wants these archived does it afterwards.
            (Has::File, Has::Stub) => &[Take::Ours],
            _ => &[Take::Ours, Take::Theirs],
        };
        self.pick(choices).unwrap()
    }

    fn take(&mut self, who: usize, path: &str, side: &str, has: Has) {
        if has == Has::Nothing {
            self.git(who, &["rm", "-q", "-f", "--", path]);
        } else {
            self.git(who, &["checkout", "-q", side, "--", path]);
            self.git(who, &["add", "--", path]);
        }
    }
}
