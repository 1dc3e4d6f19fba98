//! What developers do on their branches.

use super::settle::During;
use super::team::{Branch, Team, is_stub};
use crate::common::{Run, lines};

/// What a developer may do next; what is more frequent stands here more often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Archive,
    Restore,
    Edit,
    Add,
    Rename,
    RenameFolder,
    Remove,
    AmendMessage,
    AmendWithMore,
    SquashBySoftReset,
    RebaseInteractively,
    MergeMain,
    RebaseOnMain,
    RebaseOntoStart,
    CherryPick,
    RevertCarefully,
    RevertCarelessly,
    ApplyMail,
    StashAndPop,
    UndoUncommitted,
    ArchiveInWorktree,
    TakeFromOtherBranch,
}

const DEEDS: &[Deed] = &[
    Deed::Archive,
    Deed::Archive,
    Deed::Archive,
    Deed::Archive,
    Deed::Restore,
    Deed::Restore,
    Deed::Edit,
    Deed::Edit,
    Deed::Edit,
    Deed::Add,
    Deed::Rename,
    Deed::Rename,
    Deed::RenameFolder,
    Deed::Remove,
    Deed::AmendMessage,
    Deed::AmendWithMore,
    Deed::SquashBySoftReset,
    Deed::RebaseInteractively,
    Deed::RebaseInteractively,
    Deed::MergeMain,
    Deed::RebaseOnMain,
    Deed::RebaseOntoStart,
    Deed::CherryPick,
    Deed::CherryPick,
    Deed::RevertCarefully,
    Deed::RevertCarelessly,
    Deed::ApplyMail,
    Deed::StashAndPop,
    Deed::UndoUncommitted,
    Deed::ArchiveInWorktree,
    Deed::TakeFromOtherBranch,
];

/// What makes one commit of several.
const REWRITES: &[Deed] = &[
    Deed::AmendMessage,
    Deed::AmendWithMore,
    Deed::SquashBySoftReset,
    Deed::RebaseInteractively,
    Deed::RebaseOnMain,
    Deed::RebaseOntoStart,
];

impl Team<'_> {
    /// Starts a branch from the main branch, or on top of another one, and does something on it.
    pub(super) fn start(&mut self, number: usize) {
        let name = format!("branch-{number}");
        let who = self.random.usize(..self.developers.len());
        let mut as_it_is = false;
        let mut base = "origin/main".to_owned();
        if self.once_in(5) {
            let open = self.open.clone();
            if let Some(other) = self.pick(&open) {
                as_it_is = other.as_it_is;
                self.publish(&other);
                base = format!("origin/{}", other.name);
            }
        }
        self.fetch(who);
        self.git(who, &["switch", "-q", "--no-track", "-c", &name, &base]);
        self.open.push(Branch { name, developer: who, as_it_is });
        self.count("branches");
        let last = self.open.len() - 1;
        self.work(last);
    }

    /// Goes on with one of the open branches.
    pub(super) fn go_on(&mut self) {
        let index = self.random.usize(..self.open.len());
        let Branch { name, developer, .. } = self.open[index].clone();
        self.git(developer, &["switch", "-q", &name]);
        self.work(index);
    }

    fn work(&mut self, index: usize) {
        let who = self.open[index].developer;
        for _ in 0..self.random.usize(1..3) {
            let deed = self.pick(DEEDS).unwrap();
            self.transcript_heading(&format!("{deed:?}"));
            // What needs an account of each step is not put into one.
            if self.open[index].as_it_is && REWRITES.contains(&deed) {
                continue;
            }
            self.open[index].as_it_is |= self.deed(who, deed);
            let status = self.developers[who].git(&["status", "--porcelain", "--untracked-files=no"]);
            assert_eq!(status, "", "{deed:?} left something behind");
        }
    }

    /// Does something, and returns whether the branch can only be merged from now on.
    fn deed(&mut self, who: usize, deed: Deed) -> bool {
        match deed {
            Deed::Archive => {
                if self.archive(who) {
                    self.commit(who, "archive");
                }
            }
            Deed::Restore => self.bring_back(who),
            Deed::Edit => {
                self.edit(who);
                self.commit(who, "edit");
            }
            Deed::Add => {
                self.add(who);
                self.commit(who, "add");
            }
            Deed::Rename => self.rename(who),
            Deed::RenameFolder => self.rename_folder(who),
            Deed::Remove => self.remove(who),
            Deed::AmendMessage | Deed::AmendWithMore => self.amend(who, deed == Deed::AmendWithMore),
            Deed::SquashBySoftReset => self.squash_by_soft_reset(who),
            Deed::RebaseInteractively => self.rebase_interactively(who),
            Deed::MergeMain => return self.merge_main(who),
            Deed::RebaseOnMain => self.rebase_on_main(who),
            Deed::RebaseOntoStart => self.rebase_onto_start(who),
            Deed::CherryPick => self.cherry_pick(who),
            Deed::RevertCarefully | Deed::RevertCarelessly => return self.revert(who, deed == Deed::RevertCarefully),
            Deed::ApplyMail => self.apply_mail(who),
            Deed::StashAndPop => self.stash_and_pop(who),
            Deed::UndoUncommitted => self.undo_uncommitted(who),
            Deed::ArchiveInWorktree => self.archive_in_worktree(who),
            Deed::TakeFromOtherBranch => self.take_from_other_branch(who),
        }
        false
    }

    /// Archives a few files, if there are enough left. Returns whether there is something to commit.
    fn archive(&mut self, who: usize) -> bool {
        let (mut files, _) = self.files(who);
        if files.len() < 5 {
            self.add(who);
            self.commit(who, "add");
            (files, _) = self.files(who);
        }
        self.random.shuffle(&mut files);
        files.truncate(self.random.usize(1..4));
        self.store(who, &files);
        true
    }

    /// Archives these files and leaves them staged.
    fn store(&mut self, who: usize, files: &[String]) {
        let contents: Vec<Vec<u8>> = files.iter().map(|path| self.developers[who].read(path)).collect();
        let mut arguments = vec!["store", "-q"];
        arguments.extend(files.iter().map(String::as_str));
        let stored = self.tomb(who, &arguments).exits(0).json();
        self.count("stores");
        assert_eq!(stored.len(), files.len());
        for item in stored {
            let path = item["path"].as_str().unwrap();
            let tombstone = item["tombstone"].as_str().unwrap().to_owned();
            let index = files.iter().position(|file| file == path).unwrap();
            self.stored[who].insert(tombstone.clone());
            self.archived.insert(tombstone, contents[index].clone());
        }
    }

    /// Restores the stub at a path, staged. Where only a colleague's archive has the bytes, nothing happens.
    pub(super) fn restore(&mut self, who: usize, path: &str) -> bool {
        let tombstone = self.developers[who].tombstone_at(path);
        let run = self.tomb(who, &["restore", "-q", path]);
        if run.code == Some(3) {
            assert!(!self.stored[who].contains(&tombstone), "{run}");
            self.count("restores that need a colleague's archive");
            return false;
        }
        run.exits(0);
        self.count("restores");
        assert_eq!(self.developers[who].read(path), self.archived[&tombstone], "{path}");
        true
    }

    fn bring_back(&mut self, who: usize) {
        let (_, stubs) = self.files(who);
        if let Some(path) = self.pick(&stubs)
            && self.restore(who, &path)
        {
            self.commit(who, "restore");
        }
    }

    fn edit(&mut self, who: usize) {
        let (files, _) = self.files(who);
        for _ in 0..self.random.usize(1..3) {
            let Some(path) = self.pick(&files) else { return };
            let text = self.developers[who].read_text(&path);
            let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
            let line = self.random.usize(..lines.len());
            lines[line] = format!("edited_{} = {}", self.random.u32(..100), self.random.u32(..));
            self.developers[who].write(&path, lines.join("\n") + "\n");
            self.git(who, &["add", "--", &path]);
        }
        self.count("edits");
    }

    fn add(&mut self, who: usize) {
        for _ in 0..3 {
            let number = self.random.u32(..);
            let folder = self.pick(&["docs", "src", "src/legacy"]).unwrap();
            let path = format!("{folder}/new{number}.py");
            self.developers[who].write(&path, lines(&format!("new {number}")));
            self.git(who, &["add", "--", &path]);
        }
    }

    fn rename(&mut self, who: usize) {
        let (files, stubs) = self.files(who);
        let all = if self.random.bool() && !stubs.is_empty() { stubs } else { files };
        let Some(path) = self.pick(&all) else { return };
        let to = format!("{}_moved{}.py", path.trim_end_matches(".py"), self.random.u16(..));
        self.git(who, &["mv", &path, &to]);
        self.count("renames");
        self.commit(who, "rename");
    }

    fn rename_folder(&mut self, who: usize) {
        let (files, stubs) = self.files(who);
        let all = [files, stubs].concat();
        let mut folders: Vec<String> = all
            .iter()
            .filter_map(|path| Some(path.rsplit_once('/')?.0.to_owned()))
            .filter(|folder| folder != "src")
            .collect();
        folders.dedup();
        let Some(folder) = self.pick(&folders) else { return };
        let to = format!("{}_{}", folder.split('_').next().unwrap(), self.random.u16(..));
        self.git(who, &["mv", &folder, &to]);
        self.count("renames");
        self.commit(who, "rename folder");
    }

    fn remove(&mut self, who: usize) {
        let (files, stubs) = self.files(who);
        let all = if self.random.bool() && !stubs.is_empty() { stubs } else { files };
        let Some(path) = self.pick(&all) else { return };
        self.git(who, &["rm", "-q", "--", &path]);
        self.commit(who, "remove");
    }

    /// Commits what is staged, in one of the ways in which people do.
    pub(super) fn commit(&mut self, who: usize, message: &str) {
        let staged = self.developers[who].git(&["diff", "--cached", "--name-only", "--no-renames"]);
        let outside: Vec<&str> = staged.lines().filter(|path| !path.starts_with(".codex")).collect();
        let path = outside.first().copied();
        let run = match (self.random.u8(..6), path) {
            (0, _) => self.try_git(who, &["commit", "-q", "-a", "-m", message]),
            (1, Some(path)) if staged.contains(".codex/evidence") => {
                self.try_git(who, &["commit", "-q", "-m", message, "--", path])
            }
            _ => self.try_git(who, &["commit", "-q", "-m", message]),
        };
        if run.code == Some(0) {
            self.count("commits");
        } else {
            let printed = run.all_text();
            if !printed.contains("error[") {
                assert!(printed.contains("nothing"), "{run}");
                return;
            }
            // A part without the record of a restore: all of it, then.
            if printed.contains("error[stub-removed]") {
                self.git(who, &["commit", "-q", "-m", message]);
                return;
            }
            assert!(printed.contains("error[evidence-missing]"), "a false alarm: {run}");
            let hint = printed.lines().find_map(|line| line.trim().strip_prefix("hint: git commit --")).unwrap();
            self.follow(who, &format!("git commit -q -m '{message}' -- {hint}"));
        }
        // What a partial commit left behind.
        if self.developers[who].try_git(&["diff", "--cached", "--quiet"]).code != Some(0) {
            self.git(who, &["commit", "-q", "-m", "the rest"]);
        }
    }

    /// Returns how many commits this branch has of its own, along its first parents, if no merge is among them.
    fn own_commits(&self, who: usize) -> usize {
        let repo = &self.developers[who];
        if !repo.git(&["rev-list", "--merges", "origin/main..HEAD"]).is_empty() {
            return 0;
        }
        repo.git(&["rev-list", "--count", "origin/main..HEAD"]).parse().unwrap()
    }

    fn amend(&mut self, who: usize, with_more: bool) {
        if self.own_commits(who) == 0 {
            return;
        }
        let before = self.developers[who].git(&["rev-parse", "HEAD"]);
        if with_more {
            self.archive(who);
        }
        let run = self.try_git(who, &["commit", "-q", "--amend", "-m", "amended"]);
        // What undoes the commit that it amends leaves nothing.
        if run.code != Some(0) {
            assert!(run.all_text().contains("empty"), "{run}");
            self.git(who, &["reset", "-q", "--hard"]);
        }
        self.count("amends");
        self.keep_apart(who, &before);
    }

    fn squash_by_soft_reset(&mut self, who: usize) {
        let own = self.own_commits(who);
        if own < 2 {
            return;
        }
        let back = self.random.usize(1..own);
        let before = self.developers[who].git(&["rev-parse", "HEAD"]);
        self.git(who, &["reset", "-q", "--soft", &format!("HEAD~{back}")]);
        self.count("squashes");
        // The hook refuses a commit that takes in an edit and the archive of the edited file, or an undone archive and an edit.
        let taken_back =
            |error: &serde_json::Value| error["rule"] == "stub-mismatch" || error["rule"] == "stub-removed";
        if self.staged_errors(who).iter().any(taken_back) {
            self.git(who, &["reset", "-q", "--hard", &before]);
            self.count("squashes taken back");
            return;
        }
        self.commit(who, "squashed by hand");
        self.keep_apart(who, &before);
    }

    /// Goes back to `before` where an edit and the archive of the edited file became one commit.
    fn keep_apart(&mut self, who: usize, before: &str) {
        let base = self.developers[who].git(&["merge-base", "HEAD", "origin/main"]);
        if !self.lacks_evidence(who, &base, false).is_empty() {
            self.git(who, &["reset", "-q", "--hard", before]);
            self.count("squashes taken back");
        }
    }

    fn rebase_interactively(&mut self, who: usize) {
        let own = self.own_commits(who);
        if own < 2 {
            return;
        }
        let program = self
            .pick(&[
                "2,$s/^pick/squash/",
                "2,$s/^pick/fixup/",
                "2s/^pick/fixup/",
                "s/^pick/reword/",
                "1s/^pick/drop/",
                "2s/^pick/drop/",
                "1{h;d};2{G}",
            ])
            .unwrap();
        let editor = format!("sequence.editor=sed -i -e '{program}'");
        let base = format!("HEAD~{own}");
        let base_id = self.developers[who].git(&["rev-parse", &base]);
        let run = self.try_git(who, &["-c", &editor, "rebase", "-q", "-i", &base]);
        self.settle(who, During::Rebase, &run);
        self.count("rebases");
        // A stub may have been in another commit than its evidence.
        if !self.lacks_evidence(who, &base_id, false).is_empty() {
            self.git(who, &["reset", "-q", "--hard", "ORIG_HEAD"]);
            self.count("reverts and rebases taken back");
        }
    }

    /// Returns the commits since `base` in which a stub stands without its evidence, as git leaves them where somebody takes
    /// over one of two commits that belong together. Nothing else may be wrong.
    fn lacks_evidence(&mut self, who: usize, base: &str, is_picked: bool) -> Vec<String> {
        let run = self.tomb(who, &["verify", "--json", "--range", &format!("{base}..HEAD")]);
        let mut errors = self.sort_findings(&run);
        // Wherever a revert was careless, the pull request's check is still to come.
        errors.retain(|error| error["rule"] != "evidence-rewritten");
        let commits = errors.iter().map(|error| {
            // A restore that is picked twice has no second record; in place of other bytes it would need one.
            let rule = error["rule"].as_str().unwrap();
            // An edit and the archive of the edited file, made one commit: what stood there before was never archived.
            let is_mixed = rule == "stub-mismatch";
            assert!(
                rule == "stub-unknown" || is_mixed || is_picked && rule == "stub-removed",
                "a false alarm: {error}"
            );
            error["commit"].as_str().unwrap().to_owned()
        });
        commits.collect()
    }

    /// Gives the last commit the evidence of its stubs, from where they came.
    fn take_evidence_along(&mut self, who: usize, base: &str, from: &str) {
        let lacking = self.lacks_evidence(who, base, true);
        if lacking.is_empty() {
            return;
        }
        let head = self.developers[who].git(&["rev-parse", "HEAD"]);
        if lacking.iter().all(|commit| *commit == head) {
            self.take_evidence_from(who, from);
            self.git(who, &["commit", "-q", "--amend", "--no-edit"]);
            if self.lacks_evidence(who, base, true).is_empty() {
                return;
            }
        }
        self.git(who, &["reset", "-q", "--hard", base]);
        self.count("picks taken back");
    }

    /// Takes over what is new on the main branch. Returns whether a stub was kept over an edit.
    pub(super) fn merge_main(&mut self, who: usize) -> bool {
        self.fetch(who);
        let run = self.try_git(who, &["merge", "-q", "--no-edit", "origin/main"]);
        let kept_over_edit = self.settle(who, During::Merge, &run);
        self.count("merges");
        kept_over_edit
    }

    pub(super) fn rebase_on_main(&mut self, who: usize) {
        self.fetch(who);
        let merges = self.random.bool();
        let arguments = ["rebase", "-q", "--rebase-merges", "origin/main"];
        let run =
            if merges { self.try_git(who, &arguments) } else { self.try_git(who, &["rebase", "-q", "origin/main"]) };
        self.settle(who, During::Rebase, &run);
        self.count("rebases");
    }

    /// Moves the branch's own commits to where the project started, and back onto the main branch.
    fn rebase_onto_start(&mut self, who: usize) {
        if self.own_commits(who) == 0 {
            return;
        }
        let fork = self.developers[who].git(&["merge-base", "HEAD", "origin/main"]);
        let earlier = self.developers[who].git(&["rev-list", "--max-count=1", "--skip=3", "--first-parent", &fork]);
        if earlier.is_empty() {
            return;
        }
        let before = self.developers[who].git(&["rev-parse", "HEAD"]);
        let run = self.try_git(who, &["rebase", "-q", "--onto", &earlier, &fork]);
        self.settle(who, During::Rebase, &run);
        self.count("rebases");
        if !self.lacks_evidence(who, &earlier, false).is_empty() {
            self.git(who, &["reset", "-q", "--hard", &before]);
            self.count("reverts and rebases taken back");
        }
    }

    /// Returns another open branch, as the server has it.
    fn other_branch(&mut self, who: usize) -> Option<String> {
        let here = self.developers[who].git(&["branch", "--show-current"]);
        let others: Vec<Branch> = self.open.iter().filter(|branch| branch.name != here).cloned().collect();
        let other = self.pick(&others)?;
        self.publish(&other);
        self.fetch(who);
        Some(format!("origin/{}", other.name))
    }

    fn cherry_pick(&mut self, who: usize) {
        let Some(other) = self.other_branch(who) else { return };
        let repo = &self.developers[who];
        let base = repo.git(&["rev-parse", "HEAD"]);
        let range = format!("HEAD..{other}");
        let commits: Vec<String> =
            repo.git(&["rev-list", "--no-merges", &range]).lines().map(ToOwned::to_owned).collect();
        let mut merges: Vec<String> =
            repo.git(&["rev-list", "--merges", &range]).lines().map(ToOwned::to_owned).collect();
        merges.retain(|merge| self.squashable.contains(merge));
        let run = match self.random.u8(..4) {
            0 if !commits.is_empty() => self.try_git(who, &["cherry-pick", "--no-merges", &range]),
            1 if !merges.is_empty() => {
                let merge = self.pick(&merges).unwrap();
                self.try_git(who, &["cherry-pick", "-m", "1", &merge])
            }
            _ => {
                let Some(commit) = self.pick(&commits) else { return };
                self.try_git(who, &["cherry-pick", &commit])
            }
        };
        self.settle_with(who, During::CherryPick, &run, Some(&other));
        self.take_evidence_along(who, &base, &other);
        self.count("cherry-picks");
    }

    /// Reverts a commit. With care, all evidence is kept; without, the pull request's check says how to mend it. Bytes that
    /// come back so are on no record, which a squash with a later edit would need.
    fn revert(&mut self, who: usize, with_care: bool) -> bool {
        let repo = &self.developers[who];
        let before = repo.git(&["rev-parse", "HEAD"]);
        let listed = repo.git(&["rev-list", "--max-count=8", "--parents", "HEAD"]);
        let commits: Vec<String> = listed.lines().filter(|line| line.contains(' ')).map(ToOwned::to_owned).collect();
        let Some(commit) = self.pick(&commits) else { return false };
        let ids: Vec<&str> = commit.split(' ').collect();
        let mainline: &[&str] = if ids.len() > 2 { &["-m", "1"] } else { &[] };
        let how = if with_care { "--no-commit" } else { "--no-edit" };
        let run = self.try_git(who, &[&["revert", how], mainline, &ids[..1]].concat());
        self.count("reverts");
        if !with_care {
            self.settle(who, During::Revert, &run);
            // What has no account cannot be mended by a commit on top.
            let run = self.tomb(who, &["verify", "--json", "--range", &format!("{before}..HEAD")]);
            let errors = self.sort_findings(&run);
            if errors.iter().any(|error| error["rule"] != "evidence-rewritten") {
                self.git(who, &["reset", "-q", "--hard", &before]);
                self.count("reverts and rebases taken back");
                return false;
            }
            return true;
        }
        self.git(who, &["checkout", "-q", "HEAD", "--", ".codex"]);
        self.settle_reverted(who, &run);
        self.commit(who, "revert with care");
        // Where nothing was left to revert, git still waits.
        self.developers[who].try_git(&["revert", "--quit"]);
        true
    }

    /// Settles what a revert that is not yet committed leaves.
    fn settle_reverted(&mut self, who: usize, run: &Run) {
        if run.code != Some(0) {
            self.settle_paths(who, During::Apply);
        }
        for error in self.staged_errors(who) {
            let path = error["path"].as_str().unwrap();
            match error["rule"].as_str().unwrap() {
                // The stub would hide an edit.
                "stub-mismatch" => drop(self.git(who, &["checkout", "-q", "HEAD", "--", path])),
                // What stood there before the archive is not what was archived: on the record, then.
                "stub-removed" => self.put_on_record(who, path),
                _ => panic!("a false alarm: {error}"),
            }
        }
        assert_eq!(self.staged_errors(who), Vec::<serde_json::Value>::new(), "after following the advice");
    }

    /// Keeps the bytes that are staged in a stub's place, after its item was restored on the record. Where only a colleague
    /// has the item, the stub stays.
    pub(super) fn put_on_record(&mut self, who: usize, path: &str) {
        let wanted = self.developers[who].read(path);
        self.git(who, &["checkout", "-q", "HEAD", "--", path]);
        if self.restore(who, path) {
            self.developers[who].write(path, wanted);
            self.git(who, &["add", "--", path]);
            self.count("stubs restored to be replaced");
        }
    }

    fn apply_mail(&mut self, who: usize) {
        let Some(other) = self.other_branch(who) else { return };
        let base = self.developers[who].git(&["rev-parse", "HEAD"]);
        let range = format!("HEAD..{other}");
        let patches = self.developers[who].try_git(&["format-patch", "-q", "--stdout", &range]).exits(0).stdout;
        if patches.is_empty() {
            return;
        }
        let file = self.developers[who].path.join("../mail");
        let file = format!("{}-{who}", file.display());
        std::fs::write(&file, patches).unwrap();
        let run = self.try_git(who, &["am", "-q", "-3", &file]);
        if run.code != Some(0) {
            self.git(who, &["am", "--abort"]);
        }
        self.take_evidence_along(who, &base, &other);
        self.count("mails");
    }

    fn stash_and_pop(&mut self, who: usize) {
        self.archive(who);
        self.git(who, &["stash", "-q"]);
        if self.random.bool() {
            self.git(who, &["stash", "pop", "-q", "--index"]);
        } else {
            self.git(who, &["stash", "pop", "-q"]);
            self.git(who, &["commit", "-q", "-a", "-m", "from the stash"]);
            return;
        }
        self.commit(who, "from the stash");
    }

    fn undo_uncommitted(&mut self, who: usize) {
        let (_, stubs) = self.files(who);
        match self.pick(&stubs) {
            Some(path) if self.random.bool() => {
                if !self.restore(who, &path) {
                    return;
                }
            }
            _ => drop(self.archive(who)),
        }
        self.git(who, &["reset", "-q", "--hard"]);
    }

    fn archive_in_worktree(&mut self, who: usize) {
        let branch = self.developers[who].git(&["branch", "--show-current"]);
        self.git(who, &["switch", "-q", "--detach"]);
        let folder = format!("../worktree-{who}");
        self.git(who, &["worktree", "add", "-q", &folder, &branch]);
        let main = std::mem::replace(&mut self.developers[who].path, self.host.path.join(&folder));
        self.archive(who);
        self.commit(who, "archive in a linked worktree");
        self.developers[who].path = main;
        self.git(who, &["worktree", "remove", &folder]);
        self.git(who, &["switch", "-q", &branch]);
        self.count("worktrees");
    }

    /// Takes a stub from another branch with `git checkout`, and its evidence along with it.
    fn take_from_other_branch(&mut self, who: usize) {
        let Some(other) = self.other_branch(who) else { return };
        let repo = &self.developers[who];
        let changed = repo.git(&[
            "diff",
            "--name-only",
            "--no-renames",
            "--diff-filter=AM",
            "HEAD",
            &other,
            "--",
            ":(exclude).codex",
        ]);
        let paths: Vec<String> = changed.lines().map(ToOwned::to_owned).collect();
        let Some(path) = self.pick(&paths) else { return };
        let repo = &self.developers[who];
        // Only a stub that takes the place of the bytes it stands for.
        let theirs = repo.try_git(&["cat-file", "blob", &format!("{other}:{path}")]).exits(0).stdout;
        if !is_stub(&theirs) || !repo.exists(&path) || is_stub(&repo.read(&path)) {
            return;
        }
        let text = String::from_utf8(theirs).unwrap();
        let tombstone = text.lines().find_map(|line| Some(line.split_once("tombstone: ")?.1)).unwrap();
        if self.archived.get(tombstone.trim()) != Some(&repo.read(&path)) {
            return;
        }
        self.git(who, &["checkout", "-q", &other, "--", &path, ".codex/evidence"]);
        self.commit(who, "take from another branch");
        self.count("stubs taken from other branches");
    }
}
