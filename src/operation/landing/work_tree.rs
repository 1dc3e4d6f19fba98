//! The working tree and its index, under git's own lock.

use std::path::PathBuf;

use bstr::ByteSlice as _;

use super::{Landed, Landing, LandingChange};
use crate::change::{
    ChangeError, FileChange, OwnFilesError, TreeChange, check_unaltered, index_entries_of, place_evidence,
    prepare_own_files, regular, remove_unfinished, revert, update, update_to, withdraw_evidence, withdraw_own_files,
};
use crate::evidence::writer::NewEvidenceFile;
use crate::fault;
use crate::git::{AttributeSource, GitError, IndexLock, Repository, Tracked};
use crate::id::{ObjectId, OperationId};
use crate::item::RepoPath;
use crate::operation::OperationContext;
use crate::places::{OWN_FILES, Places};

/// The name of an attributes file.
const ATTRIBUTES: &[u8] = b".gitattributes";

pub(super) struct InWorkTree<'a> {
    repository: &'a Repository,
    places: &'a Places,
    lock: IndexLock<'a>,
    own: Vec<(RepoPath, ObjectId)>,
    scratch: PathBuf,
    resumed: bool,
}

impl<'a> InWorkTree<'a> {
    pub(super) fn open(context: &OperationContext<'a>, op: OperationId, resumed: bool) -> Result<Self, GitError> {
        let lock = IndexLock::acquire(context.repository, &lock_note(op))?;
        fault::point("lock");
        let scratch = context.places.scratch(op);
        Ok(Self { repository: context.repository, places: context.places, lock, own: Vec::new(), scratch, resumed })
    }
}

impl InWorkTree<'_> {
    /// Checks that git leaves evidence alone once the files are there, one of which may be attributes itself. Below the top
    /// there is no place for them where they count for evidence.
    fn check_attributes(&self, change: &LandingChange<'_>) -> Result<(), ChangeError> {
        let evidence = change.evidence.path();
        let top = RepoPath::try_new(ATTRIBUTES).map_err(GitError::from)?;
        let Some(file) = change.files.iter().find(|file| file.path == top) else { return Ok(()) };
        let folders =
            evidence.as_bytes().find_iter(b"/").map(|end| [&evidence.as_bytes()[..=end], ATTRIBUTES].concat());
        let folders = folders.map(RepoPath::try_new).collect::<Result<Vec<_>, _>>().map_err(GitError::from)?;
        let staged = index_entries_of(self.repository, &folders.iter().collect::<Vec<_>>())?;
        let mut updates: Vec<_> = staged.iter().flatten().map(|entry| update(&entry.path, entry.entry)).collect();
        updates.extend(self.own.iter().map(|(path, id)| update(path, regular(*id))));
        updates.push(update_to(&top, file.after.working()));
        // The index itself may be in the middle of a merge, and would be no tree.
        let nothing = self.repository.object_format().empty_tree();
        let tree = self.repository.changed_tree(&nothing, &updates, &self.scratch)?;
        Ok(check_unaltered(self.repository, AttributeSource::Tree(tree), &evidence)?)
    }
}

impl Landing for InWorkTree<'_> {
    fn prepare(&mut self, evidence: Option<&NewEvidenceFile>) -> Result<(), OwnFilesError> {
        if self.resumed {
            let evidence = evidence.map(NewEvidenceFile::path);
            let own = OWN_FILES.map(|file| file.repo_path());
            remove_unfinished(self.repository, own.iter().chain(&evidence))?;
        }
        self.own = prepare_own_files(self.repository)?;
        Ok(())
    }

    fn tracked(&self) -> Tracked {
        Tracked::Index
    }

    fn check_unaltered(&self, path: &RepoPath) -> Result<(), OwnFilesError> {
        check_unaltered(self.repository, AttributeSource::WorkTree, path)
    }

    fn publish(&self, evidence: &NewEvidenceFile) -> Result<(), GitError> {
        place_evidence(self.repository, evidence)
    }

    fn apply(self: Box<Self>, change: LandingChange<'_>) -> Result<Landed, ChangeError> {
        if self.resumed {
            remove_unfinished(self.repository, change.files.iter().map(|file| &file.path))?;
        }
        self.check_attributes(&change)?;
        let LandingChange { evidence, files, interrupted, touching, .. } = change;
        let tree = TreeChange { repository: self.repository, lock: self.lock, evidence, interrupted, touching };
        Ok(Landed { left: tree.apply(files, &self.own)?, commit: None })
    }

    fn revert(&self, evidence: &NewEvidenceFile, files: &[FileChange]) -> Result<Vec<RepoPath>, ChangeError> {
        let path = evidence.path();
        remove_unfinished(self.repository, files.iter().map(|file| &file.path).chain([&path]))?;
        revert(self.repository, &self.lock, files)
    }

    fn withdraw(&self, evidence: Option<&NewEvidenceFile>) -> Result<(), OwnFilesError> {
        if self.resumed {
            remove_unfinished(self.repository, &OWN_FILES.map(|file| file.repo_path()))?;
        }
        if let Some(evidence) = evidence {
            withdraw_evidence(self.repository, evidence)?;
            fault::point("withdrawn");
        }
        withdraw_own_files(self.repository, self.places)
    }
}

/// Returns the note in `index.lock` while operation `op` has it: so a left-over one is known to be ours.
pub(in crate::operation) fn lock_note(op: OperationId) -> String {
    format!("operation {op}")
}
