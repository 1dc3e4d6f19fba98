//! Gives items back on a new branch: a commit on top of a base, made past working tree, index and `HEAD`.
//!
//! What stands where is read from the base's tree, which never changes: so what is planned holds until it is done.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use bstr::{BString, ByteSlice};
use serde::{Deserialize, Serialize};

use super::in_place::{PlanError, PlannedRestore, RestorePlan};
use super::source::is_wanted;
use super::{Located, StubPlace, Wanted};
use crate::change::{Before, OwnFilesError, check_own_places};
use crate::clock::Timestamp;
use crate::evidence::record::Source;
use crate::git::{BranchName, GitError, Repository, TreeEntry};
use crate::id::{ObjectId, OperationId};
use crate::item::{FileMode, RepoPath};
use crate::operation::{Facts, NewBranch};
use crate::places;
use crate::quote::{quote, quoted_bytes};
use crate::survey::{StubContent, blob_stub};

/// The most paths that the message of a commit lists.
const MAX_LISTED: usize = 20;

/// The longest first line of a message that is made here, in characters.
const MAX_SUBJECT: usize = 72;

/// The commit that a branch begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The commit.
    pub commit: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
}

impl Base {
    /// Returns the commit that `revision` names.
    pub fn resolve(repository: &Repository, revision: &str) -> Result<Self, GitError> {
        let commit = repository.resolve_commit(revision)?;
        Ok(Self { commit, tree: repository.fetching_objects().commit(&commit)?.tree })
    }
}

/// An item that comes back on a branch.
#[derive(Debug, Clone)]
pub struct BranchItem {
    /// What it is.
    pub wanted: Wanted,
    /// Where it comes back.
    pub path: RepoPath,
    /// Its stub in the base, if that is known already.
    pub stub: Option<StubPlace>,
    /// Who wants it back, if not whoever acts.
    pub actor: Option<String>,
}

impl BranchItem {
    /// Returns the item back at `output`, else where its stub stands, else where it came from.
    pub fn new(located: Located, output: Option<RepoPath>) -> Self {
        let Located { wanted, stub, .. } = located;
        let own_path = || stub.as_ref().map_or(&wanted.path, |stub| &stub.path).clone();
        let path = output.unwrap_or_else(own_path);
        Self { wanted, path, stub, actor: None }
    }
}

/// What is asked of a restore on a branch.
#[derive(Debug, Clone)]
pub struct BranchOptions {
    /// The operation.
    pub op: OperationId,
    /// Who acts.
    pub actor: String,
    /// The repository's name.
    pub repo: String,
    /// Where bytes may come from; anywhere if not set.
    pub only: Option<Source>,
    /// Whether any file that stands in the way may go.
    pub force: bool,
    /// The branch's name, as the user gave it.
    pub name: BString,
    /// Where the branch begins.
    pub base: Base,
    /// The commit's message, without our trailers; one is made up where there is none.
    pub message: Option<Vec<u8>>,
}

/// The commit of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCommit {
    /// The branch that it is on.
    #[serde(flatten)]
    pub branch: NewBranch,
    /// Its message, without our trailers.
    #[serde(with = "quoted_bytes")]
    pub message: Vec<u8>,
}

/// Why nothing can be given back on a branch.
#[derive(Debug, thiserror::Error)]
pub enum BranchPlanError {
    /// Git takes the name for no branch.
    #[error("`{}` is not a name for a branch", quote(.name))]
    InvalidName {
        /// The name.
        name: BString,
    },
    /// There is such a branch, or one in whose way it would be.
    #[error("branch `{name}` cannot be made: `{}` exists", quote(.existing))]
    Exists {
        /// The name.
        name: BranchName,
        /// What is there: a full reference.
        existing: BString,
    },
    /// The branch has no commit yet, but a working tree is on it: making it would change what that is compared with.
    #[error("branch `{name}` cannot be made: `{}` is on it, without a commit yet", place.display())]
    CheckedOut {
        /// The name.
        name: BranchName,
        /// The working tree.
        place: PathBuf,
    },
    /// Git does not know who commits.
    #[error("git does not know whose commit it is to be")]
    NoIdentity,
    /// The message says nothing.
    #[error("the message is empty")]
    NoMessage,
    /// Items cannot come back where they should.
    #[error("{} of the paths cannot be put back", refusals.len())]
    Refused {
        /// Why not, in the order of the items. There is one at least.
        refusals: Vec<PlanError>,
    },
    /// The base does not leave the program its own places.
    #[error(transparent)]
    Own(#[from] OwnFilesError),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Plans to put `items` back on a new branch. What is there already is left out of the plan.
pub fn plan_branch(
    repository: &Repository,
    items: Vec<BranchItem>,
    options: &BranchOptions,
) -> Result<RestorePlan, BranchPlanError> {
    let name = check_branch_name(repository, &options.name)?;
    if !repository.knows_committer()? {
        return Err(BranchPlanError::NoIdentity);
    }
    check_own_places(repository, &options.base.tree)?;
    let refusals = clashes(&items);
    let mut planned = Vec::with_capacity(items.len());
    let mut refused = Vec::new();
    for (item, clash) in items.into_iter().zip(refusals) {
        let judged = match clash {
            Some(clash) => Err(clash),
            None => judge(repository, &item, options),
        };
        match judged {
            Ok(true) => planned.push(PlannedRestore {
                path: item.path,
                wanted: item.wanted,
                before: Before::Anything,
                actor: item.actor,
                instead: None,
            }),
            Ok(false) => {}
            Err(PlanError::Git(error)) => return Err(error.into()),
            Err(refusal) => refused.push(refusal),
        }
    }
    if !refused.is_empty() {
        return Err(BranchPlanError::Refused { refusals: refused });
    }
    planned.sort_by(|a, b| a.path.cmp(&b.path));
    let message = match &options.message {
        Some(message) if message.trim().is_empty() => return Err(BranchPlanError::NoMessage),
        Some(message) => message.clone(),
        None => message_for(&planned).into_bytes(),
    };
    let facts =
        Facts { op: options.op, started: Timestamp::now(), actor: options.actor.clone(), repo: options.repo.clone() };
    let branch = NewBranch { name, base: options.base.commit };
    let commit = Some(PlannedCommit { branch, message });
    let (along, also) = (Vec::new(), Vec::new());
    Ok(RestorePlan { facts, only: options.only, raw: false, items: planned, along, also, commit })
}

/// Returns the name of the branch, which must be one that nothing has.
pub fn check_branch_name(repository: &Repository, name: &[u8]) -> Result<BranchName, BranchPlanError> {
    let invalid = || BranchPlanError::InvalidName { name: name.into() };
    let name = repository.branch_name(name.as_bstr())?.ok_or_else(invalid)?;
    if let Some(existing) = repository.reference_in_the_way(&name)? {
        return Err(BranchPlanError::Exists { name, existing });
    }
    match repository.checked_out_at(&name)? {
        Some(place) => Err(BranchPlanError::CheckedOut { name, place }),
        None => Ok(name),
    }
}

/// Returns for each item why another one keeps it from its place, if one does.
fn clashes(items: &[BranchItem]) -> Vec<Option<PlanError>> {
    let mut seen = HashSet::new();
    let twice: Vec<bool> = items.iter().map(|item| !seen.insert(item.path.as_bytes())).collect();
    let clash = |(item, twice): (&BranchItem, bool)| {
        let path = || item.path.clone();
        let is_below_another = folders_of(&item.path).any(|folder| seen.contains(folder));
        let below = || PlanError::Blocked { path: path(), what: "another item that comes back above it" };
        if twice { Some(PlanError::Twice { path: path() }) } else { is_below_another.then(below) }
    };
    items.iter().zip(twice).map(clash).collect()
}

/// Returns the folders above `path`, the nearest first.
fn folders_of(path: &RepoPath) -> impl Iterator<Item = &[u8]> {
    let parent = |path: &[u8]| path.rfind_byte(b'/');
    let bytes = path.as_bytes();
    std::iter::successors(parent(bytes), move |end| parent(&bytes[..*end])).map(move |end| &bytes[..end])
}

/// Returns whether the item has to come back, or is there already.
fn judge(repository: &Repository, item: &BranchItem, options: &BranchOptions) -> Result<bool, PlanError> {
    let BranchItem { wanted, path, stub, .. } = item;
    let objects = repository.fetching_objects();
    let blocked = |what| PlanError::Blocked { path: path.clone(), what };
    if places::is_own(path) {
        return Err(PlanError::Own { path: path.clone() });
    }
    let Some(entry) = objects.entry(&options.base.tree, path)? else {
        for folder in folders_of(path) {
            let folder = RepoPath::try_new(folder).map_err(GitError::from)?;
            match objects.entry(&options.base.tree, &folder)? {
                Some(entry) if entry.file_mode() == Some(FileMode::Symlink) => {
                    return Err(PlanError::ThroughLink { path: path.clone(), link: folder });
                }
                Some(entry) if !entry.is_folder() => return Err(blocked("a file above it")),
                _ => {}
            }
        }
        return Ok(true);
    };
    if entry.is_folder() {
        return Err(blocked("a folder"));
    }
    if entry.is_submodule() {
        return Err(blocked("a submodule"));
    }
    if stub.as_ref().is_some_and(|stub| stub.path == *path && stub.entry.entry == entry) {
        return Ok(true);
    }
    if is_wanted(objects, wanted, &entry.id)? {
        return Ok(entry.file_mode() != Some(wanted.mode));
    }
    if options.force || is_stub_of(repository, wanted, &entry)? {
        return Ok(true);
    }
    Err(PlanError::InTheWay { path: path.clone(), tombstone: wanted.tombstone })
}

/// Returns whether `entry` is the item's own stub.
fn is_stub_of(repository: &Repository, wanted: &Wanted, entry: &TreeEntry) -> Result<bool, GitError> {
    let content = blob_stub(repository, entry)?;
    Ok(matches!(content, Some(StubContent::Stub(parsed)) if parsed.stub.tombstone == wanted.tombstone))
}

/// Returns a message that says what comes back.
fn message_for(items: &[PlannedRestore]) -> String {
    if let [only] = items {
        let subject = format!("Restore {}", only.path);
        if subject.chars().count() <= MAX_SUBJECT {
            return subject + "\n";
        }
    }
    let plural = if items.len() == 1 { "" } else { "s" };
    let mut message = format!("Restore {} file{plural}\n\n", items.len());
    for item in items.iter().take(MAX_LISTED) {
        let _ = writeln!(message, "- {}", item.path);
    }
    if items.len() > MAX_LISTED {
        let _ = writeln!(message, "- and {} more", items.len() - MAX_LISTED);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;
    use crate::id::{Sha256, Tombstone};
    use crate::item::FileMode;

    fn path(text: &str) -> RepoPath {
        RepoPath::try_new(text).expect("is a path")
    }

    /// Returns an item with this content, back at `at`.
    fn item(content: &str, at: &str) -> BranchItem {
        let id = ObjectId::from_bytes(&[1; 20]).expect("has 20 bytes");
        let wanted = Wanted {
            tombstone: "8e3531b9-c839-5a07-9dec-507c36136eb1".parse::<Tombstone>().expect("is one"),
            repo: "project".to_owned(),
            path: path(at),
            commit: id,
            object: id,
            mode: FileMode::Regular,
            sha256: Sha256::of(content.as_bytes()),
            size: content.len() as u64,
        };
        BranchItem { path: wanted.path.clone(), wanted, stub: None, actor: None }
    }

    fn planned(fixture: &Fixture, items: Vec<BranchItem>, force: bool) -> Result<RestorePlan, BranchPlanError> {
        let person = ["user.name", "user.email"].map(|key| fixture.git(&["config", key, "somebody"]));
        assert!(person.iter().all(String::is_empty));
        let repository = fixture.repository();
        let options = BranchOptions {
            op: OperationId::generate(),
            actor: "A <a@example.org>".to_owned(),
            repo: "project".to_owned(),
            only: None,
            force,
            name: "back".into(),
            base: Base::resolve(&repository, "main").expect("is there"),
            message: None,
        };
        plan_branch(&repository, items, &options)
    }

    #[test]
    fn all_that_cannot_come_back_is_told_in_order() {
        let fixture = Fixture::new("sha1");
        fixture.commit_files(&[("a", "other"), ("folder/file", "x"), ("same", "content")]);
        let outputs =
            ["a", "folder", "a/b", ".CoDeX/x", "new", "new", "new/below", "same", "fine", "folder/more", "same/x/y"];
        let items = || outputs.iter().map(|output| item("content", output)).collect();
        let told = |force| match planned(&fixture, items(), force) {
            Err(BranchPlanError::Refused { refusals }) => {
                refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            }
            other => panic!("{other:?}"),
        };
        let tombstone = "8e3531b9-c839-5a07-9dec-507c36136eb1";
        let in_the_way = format!("`a` is in the way: it is not the stub of item {tombstone}\n");
        let always = "`folder` cannot be put back: a folder is in the way
`a/b` cannot be put back: another item that comes back above it is in the way
`.CoDeX/x` is in `.codex`, where nothing is restored
`new` is named for two items
`new/below` cannot be put back: another item that comes back above it is in the way
`folder/more` cannot be put back: another item that comes back above it is in the way
`same/x/y` cannot be put back: another item that comes back above it is in the way";
        assert_eq!(told(false), in_the_way + always);
        assert_eq!(told(true), always);

        let items = vec![item("content", "z"), item("content", "same"), item("content", "b")];
        let plan = planned(&fixture, items, false).expect("is planned");
        let paths: Vec<_> = plan.items.iter().map(|item| item.path.to_string()).collect();
        assert_eq!(paths, ["b", "z"], "what is there is left out, and the rest is in order");
        let json = serde_json::to_string(&plan).expect("is JSON");
        let again: RestorePlan = serde_json::from_str(&json).expect("is read back");
        assert_eq!((again.items.len(), again.commit), (2, plan.commit));
    }

    #[test]
    fn a_message_names_what_comes_back_and_stays_short() {
        let message = |outputs: &[String]| {
            let planned = |output: &String| PlannedRestore {
                path: path(output),
                wanted: item("", output).wanted,
                before: Before::Anything,
                actor: None,
                instead: None,
            };
            message_for(&outputs.iter().map(planned).collect::<Vec<_>>())
        };
        assert_eq!(message(&["a".to_owned()]), "Restore a\n");
        let long = "x".repeat(80);
        assert_eq!(message(std::slice::from_ref(&long)), format!("Restore 1 file\n\n- {long}\n"));
        assert_eq!(message(&["new\nline".to_owned()]), "Restore \"new\\nline\"\n");
        let many: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let text = message(&many);
        assert!(text.starts_with("Restore 1000 files\n\n- 0\n") && text.ends_with("- 19\n- and 980 more\n"));
    }
}
