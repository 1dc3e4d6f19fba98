//! A commit on a new branch. Working tree, index and `HEAD` are not looked at, and nothing of theirs changes.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::{Landed, Landing, LandingChange};
use crate::change::{
    ChangeError, FileChange, OwnFilesError, check_sample, check_unaltered, prepare_own_files_in, regular, update,
    update_to,
};
use crate::evidence::writer::NewEvidenceFile;
use crate::fault;
use crate::git::{AttributeSource, BranchName, GitError, Holder, IndexUpdate, Repository, Tracked, literal};
use crate::id::ObjectId;
use crate::item::RepoPath;
use crate::journal::ActiveOperation;
use crate::operation::OperationContext;

/// Where the journal keeps the commit once it is made: from then on the operation only makes a reference to it.
const COMMIT: &str = "commit";

/// The branch that an operation makes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NewBranch {
    /// Its name, which nothing else has.
    pub name: BranchName,
    /// The commit that it begins at.
    pub base: ObjectId,
}

pub(super) struct OnBranch<'a> {
    repository: &'a Repository,
    branch: NewBranch,
    active: &'a ActiveOperation,
    scratch: PathBuf,
    resumed: bool,
    /// The tree of the base, once that was looked at: undoing works without, whatever became of it.
    base: ObjectId,
    /// The same with the program's own files.
    tree: ObjectId,
}

impl<'a> OnBranch<'a> {
    pub(super) fn open(
        context: &OperationContext<'a>,
        branch: NewBranch,
        active: &'a ActiveOperation,
        resumed: bool,
    ) -> Self {
        let scratch = context.places.scratch(active.id());
        let nothing = context.repository.object_format().empty_tree();
        Self { repository: context.repository, branch, active, scratch, resumed, base: nothing, tree: nothing }
    }

    /// Returns the commit that an earlier try made, if it is still here: nobody holds it, so git may drop it one day.
    fn made_before(&self) -> Result<Option<ObjectId>, ChangeError> {
        let saved = self.active.load(COMMIT)?.unwrap_or_default();
        let Some(commit) = std::str::from_utf8(&saved).ok().and_then(|id| id.parse::<ObjectId>().ok()) else {
            return Ok(None);
        };
        Ok((self.repository.objects().contains(&[commit])? == [true]).then_some(commit))
    }

    fn make_commit(&self, change: &LandingChange<'_>) -> Result<ObjectId, ChangeError> {
        let evidence = self.repository.objects().write_blobs(&[change.evidence.bytes()])?;
        fault::point("blobs");
        let added = evidence.first().map(|id| update(&change.evidence.path(), regular(*id)));
        let files = change.files.iter().map(|file| update_to(&file.path, file.after.working()));
        let updates: Vec<IndexUpdate> = added.into_iter().chain(files).collect();
        let tree = self.repository.changed_tree(&self.tree, &updates, &self.scratch)?;
        // What comes back may be attributes itself.
        check_unaltered(self.repository, AttributeSource::Tree(tree), &change.evidence.path())?;
        check_interrupted(change)?;
        let commit = self.repository.commit_tree(&tree, &self.branch.base, change.message)?;
        fault::point("commit-made");
        self.active.save(COMMIT, commit.to_string().as_bytes())?;
        Ok(commit)
    }

    /// Makes the branch, and says through `touching` if it is there, whatever else went wrong.
    fn make_branch(&self, commit: &ObjectId, touching: &mut dyn FnMut()) -> Result<(), ChangeError> {
        let reason = format!("archive-tomb: restored on top of {}", self.branch.base);
        match self.repository.create_branch(&self.branch.name, commit, &reason) {
            Ok(true) => touching(),
            Ok(false) => return Err(ChangeError::BranchTaken { branch: self.branch.name.clone() }),
            Err(error) => {
                if !matches!(self.repository.reference_in_the_way(&self.branch.name), Ok(None)) {
                    touching();
                }
                return Err(error.into());
            }
        }
        fault::point("branch");
        Ok(())
    }

    /// Returns whether a commit that somebody can reach has the evidence: an earlier try made the branch, whatever became of
    /// that since.
    fn is_visible(&self, evidence: &NewEvidenceFile) -> Result<bool, GitError> {
        let held = self.repository.holders(&literal(&evidence.path()))?;
        Ok(held.iter().any(|held| matches!(held.holder, Holder::Commit(_))))
    }
}

impl Landing for OnBranch<'_> {
    fn prepare(&mut self, _evidence: Option<&NewEvidenceFile>) -> Result<(), OwnFilesError> {
        self.base = self.repository.fetching_objects().commit(&self.branch.base)?.tree;
        let own = prepare_own_files_in(self.repository, &self.base)?;
        let updates: Vec<_> = own.iter().map(|(path, id)| update(path, regular(*id))).collect();
        self.tree = self.repository.changed_tree(&self.base, &updates, &self.scratch)?;
        check_sample(self.repository, AttributeSource::Tree(self.tree))
    }

    fn tracked(&self) -> Tracked {
        Tracked::Tree(self.base)
    }

    fn check_unaltered(&self, path: &RepoPath) -> Result<(), OwnFilesError> {
        check_unaltered(self.repository, AttributeSource::Tree(self.tree), path)
    }

    fn publish(&self, _evidence: &NewEvidenceFile) -> Result<(), GitError> {
        Ok(())
    }

    fn apply(self: Box<Self>, change: LandingChange<'_>) -> Result<Landed, ChangeError> {
        let is_visible = self.resumed && self.is_visible(change.evidence)?;
        let commit = match self.made_before()? {
            None if is_visible => None,
            None => Some(self.make_commit(&change)?),
            made => made,
        };
        fault::point("commit");
        if let (Some(commit), false) = (commit, is_visible) {
            check_interrupted(&change)?;
            self.make_branch(&commit, change.touching)?;
        }
        Ok(Landed { left: Vec::new(), commit })
    }

    fn revert(&self, _evidence: &NewEvidenceFile, _files: &[FileChange]) -> Result<Vec<RepoPath>, ChangeError> {
        Ok(Vec::new())
    }

    fn withdraw(&self, _evidence: Option<&NewEvidenceFile>) -> Result<(), OwnFilesError> {
        // Objects that nothing leads to are git's to drop.
        Ok(())
    }
}

fn check_interrupted(change: &LandingChange<'_>) -> Result<(), ChangeError> {
    if change.interrupted.load(Ordering::Relaxed) { Err(ChangeError::Interrupted) } else { Ok(()) }
}
