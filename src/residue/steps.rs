//! The commands that take a content out of a repository.

use std::path::Path;

use bstr::ByteSlice;
use serde::Serialize;

use super::{Kind, Search};
use crate::places::EVIDENCE;
use crate::quote::shell;

/// A command, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The command, as a shell takes it at the top of the working tree.
    pub command: String,
    /// What it does.
    pub about: &'static str,
}

/// Where the list of blobs goes, as a shell names it.
const LIST: &str = r#""$(git rev-parse --git-dir)/purged-blobs""#;

/// Commits what is staged, if anything is.
const COMMIT: &str = "git diff --cached --quiet || git commit -q -m 'Record what was destroyed'";

/// Returns the commands for what was found, in the order in which they are to be run.
pub(super) fn steps(search: &Search<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut add = |about: &'static str, command: String| steps.push(Step { command, about });
    for (state, command) in UNFINISHED {
        if search.states.contains(*state) {
            add(
                "gives up unfinished work that still has it, where no evidence is staged in it; finish that instead, if you can",
                format!("git diff --cached --quiet -- {EVIDENCE} && {command}"),
            );
        }
    }
    for top in &search.linked {
        add("removes a linked working tree that has it, if nothing in it waits to be committed", {
            format!("git worktree remove {}", word(top))
        });
    }
    for reference in &search.direct {
        add("removes a reference that is no branch of commits or has notes, which nothing rewrites", {
            format!("git update-ref -d {}", shell(reference))
        });
    }
    if search.in_history.is_empty() {
        for path in &search.staged {
            add("takes it out of the index", format!("git rm -q --cached -- {}", shell(path)));
        }
    }
    if !search.files.is_empty() {
        let top = search.repository.work_tree();
        let relative = |file| top.and_then(|top| Path::strip_prefix(file, top).ok()).unwrap_or(file);
        let words: Vec<String> = search.files.iter().map(|file| word(relative(file))).collect();
        add("removes it from the working tree", format!("rm -f -- {}", words.join(" ")));
    }
    if !search.in_history.is_empty() {
        let ids: Vec<String> = search.in_history.iter().map(ToString::to_string).collect();
        add(
            "commits what is staged, such as the evidence of a purge: what comes next would lose it",
            COMMIT.to_owned(),
        );
        add("lists the blobs", format!("printf '%s\\n' {} > {LIST}", ids.join(" ")));
        add(
            "rewrites all commits of this clone without them, if nothing is staged: what else is under way in files that git \
             tracks is lost. Stubs and evidence stay as they are, the ids of commits change, and the remote `origin` has to \
             be added again",
            format!("git diff --cached --quiet && git filter-repo --force --strip-blobs-with-ids {LIST}"),
        );
        add("removes the list", format!("rm -f {LIST}"));
    }
    if search.found.contains_key(&Kind::State) {
        add("forgets earlier tips", "rm -f \"$(git rev-parse --git-path FETCH_HEAD)\"".to_owned());
        add("forgets earlier tips", "git update-ref -d ORIG_HEAD".to_owned());
    }
    let objects = [Kind::Object, Kind::Commit, Kind::Stash, Kind::Reflog, Kind::Reference, Kind::Index];
    if objects.iter().any(|kind| search.found.contains_key(kind)) {
        add("forgets what branches were before", "git reflog expire --expire=now --all".to_owned());
        add("removes what nothing leads to any more", "git gc --quiet --prune=now".to_owned());
    }
    if let Some(file) = &search.lfs {
        add("removes the file of Git LFS here; its server has its own", format!("rm -f -- {}", word(file)));
    }
    steps
}

/// What ends unfinished work, by the file that tells of it.
const UNFINISHED: &[(&str, &str)] = &[
    ("MERGE_HEAD", "git merge --abort"),
    ("CHERRY_PICK_HEAD", "git cherry-pick --abort"),
    ("REVERT_HEAD", "git revert --abort"),
    ("rebase-merge", "git rebase --abort"),
    ("rebase-apply", "git rebase --abort"),
    ("BISECT_START", "git bisect reset"),
];

fn word(path: &Path) -> String {
    shell(<[u8]>::from_path(path).unwrap_or_default())
}
