//! How branches reach the main branch: checked as pull requests, then merged by the host in one of its ways.

use std::collections::BTreeSet;

use super::team::{Branch, Team};
use crate::common::Repo;

/// How often a pull request may be mended before something is wrong.
const ROUNDS: usize = 8;

impl Team<'_> {
    pub(super) fn transcript_heading(&mut self, text: &str) {
        self.transcript.heading(text);
    }

    /// Pushes a branch as its developer has it.
    pub(super) fn publish(&mut self, branch: &Branch) {
        let tip = |repo: &Repo<'_>| repo.try_git(&["rev-parse", "-q", "--verify", &branch.name]).stdout;
        if tip(&self.developers[branch.developer]) != tip(&self.host) {
            self.git(branch.developer, &["push", "-q", "-f", "origin", &branch.name]);
            self.state += 1;
        }
    }

    /// Merges one of the open branches, or several at once.
    pub(super) fn land_some(&mut self) {
        if self.open.len() > 2 && self.once_in(8) {
            self.land_octopus();
        } else {
            let index = self.random.usize(..self.open.len());
            let branch = self.open.remove(index);
            self.land(branch);
        }
    }

    /// Publishes a branch, and mends what its check names as hints say.
    fn propose(&mut self, branch: &Branch) {
        for _ in 0..ROUNDS {
            self.publish(branch);
            let errors = self.errors_in("main", &branch.name);
            if errors.is_empty() {
                return;
            }
            let who = branch.developer;
            self.git(who, &["switch", "-q", &branch.name]);
            for error in errors {
                // A revert takes evidence away. Nothing else of all this is wrong.
                assert_eq!(error["rule"], "evidence-rewritten", "a false alarm: {error}");
                self.follow(who, error["hint"].as_str().unwrap());
            }
            self.git(who, &["commit", "-q", "-m", "keep the evidence"]);
        }
        panic!("{} cannot be mended", branch.name);
    }

    fn land(&mut self, mut branch: Branch) {
        self.transcript_heading(&format!("land {}", branch.name));
        for _ in 0..ROUNDS {
            self.propose(&branch);
            let before = self.host.git(&["rev-parse", "main"]);
            let way = if branch.as_it_is { self.random.u8(2..6) } else { self.random.u8(..6) };
            let name = branch.name.as_str();
            let done = match way {
                0 => {
                    let merged = self.try_host(&["merge", "-q", "--squash", name]).code == Some(0);
                    let commit = ["commit", "-q", "--allow-empty", "-m", name];
                    self.count("squashes");
                    let squashed = merged && self.try_host(&commit).code == Some(0);
                    if squashed && self.mixes_edit_and_archive(&before) {
                        self.host_git(&["reset", "-q", "--hard", &before]);
                        self.count("squashes taken back");
                        branch.as_it_is = true;
                        continue;
                    }
                    squashed
                }
                1 => {
                    self.count("rebases");
                    self.try_host(&["switch", "-q", "--detach", name]).exits(0);
                    let rebased = self.try_host(&["rebase", "-q", "main"]).code == Some(0);
                    if rebased {
                        let tip = self.host.git(&["rev-parse", "HEAD"]);
                        self.host_git(&["switch", "-q", "main"]);
                        self.host_git(&["merge", "-q", "--ff-only", &tip]);
                    } else {
                        self.host_git(&["rebase", "--abort"]);
                        self.host_git(&["switch", "-q", "main"]);
                    }
                    rebased
                }
                2 => self.try_host(&["merge", "-q", "--ff-only", name]).code == Some(0),
                _ => {
                    self.count("merges");
                    self.try_host(&["merge", "-q", "--no-ff", "--no-edit", name]).code == Some(0)
                }
            };
            if done {
                if way > 2 && !branch.as_it_is {
                    let merge = self.host.git(&["rev-parse", "main"]);
                    self.squashable.insert(merge);
                }
                self.check_landed(&before, &[branch]);
                return;
            }
            self.host_git(&["reset", "-q", "--hard", &before]);
            self.git(branch.developer, &["switch", "-q", &branch.name]);
            branch.as_it_is |= self.merge_main(branch.developer);
        }
        panic!("{} cannot be merged", branch.name);
    }

    /// Returns whether a squash put a stub in the place of a file that was never archived as it stood there: the branch had
    /// edited it before. The host's check says so, and the branch is merged in another way.
    fn mixes_edit_and_archive(&mut self, before: &str) -> bool {
        let errors = self.errors_in(before, "main");
        assert!(errors.iter().all(|error| error["rule"] == "stub-mismatch"), "a false alarm: {errors:?}");
        !errors.is_empty()
    }

    /// Returns whether an octopus kept one branch's edit over another's stub, for which two branches would have had a conflict.
    fn keeps_an_edit(&mut self, before: &str) -> bool {
        self.errors_in(before, "main").iter().any(|error| error["rule"] == "stub-removed")
    }

    /// Merges all open branches at once, or none.
    fn land_octopus(&mut self) {
        self.transcript_heading("octopus");
        let branches: Vec<Branch> = self.open.iter().take(3).cloned().collect();
        for branch in &branches {
            self.propose(branch);
        }
        let before = self.host.git(&["rev-parse", "main"]);
        let mut arguments = vec!["merge", "-q", "--no-edit"];
        arguments.extend(branches.iter().map(|branch| branch.name.as_str()));
        if self.try_host(&arguments).code == Some(0) && !self.keeps_an_edit(&before) {
            self.count("octopus merges");
            self.open.drain(..branches.len());
            self.check_landed(&before, &branches);
        } else {
            self.host_git(&["reset", "-q", "--hard", &before]);
        }
    }

    /// Checks what a merge made of the main branch, and that it kept every record of what it merged.
    fn check_landed(&mut self, before: &str, branches: &[Branch]) {
        self.state += 1;
        let errors = self.errors_in(before, "main");
        assert_eq!(errors, Vec::<serde_json::Value>::new(), "a false alarm on the main branch");
        let files = |printed: String| printed.lines().map(ToOwned::to_owned).collect::<BTreeSet<String>>();
        let kept = files(self.host.git(&["ls-files", ".codex/evidence"]));
        for branch in branches {
            let range = format!("{before}..{}", branch.name);
            let added = files(self.host.git(&[
                "log",
                "-m",
                "--format=",
                "--name-only",
                "--diff-filter=A",
                &range,
                "--",
                ".codex/evidence",
            ]));
            let lost: Vec<_> = added.difference(&kept).filter(|path| !path.is_empty()).collect();
            assert!(lost.is_empty(), "{} had {lost:?}", branch.name);
            self.host_git(&["branch", "-q", "-D", &branch.name]);
            let who = branch.developer;
            self.git(who, &["switch", "-q", "--detach"]);
            self.git(who, &["branch", "-q", "-D", &branch.name]);
            self.count("branches merged");
        }
        for path in &kept {
            assert!(path.starts_with(".codex/evidence/ops/"), "{path} was committed");
        }
    }
}
