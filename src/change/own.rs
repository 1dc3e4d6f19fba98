//! The program's own files in the working tree, which keep git from altering evidence.

use super::index_entries_of;
use crate::git::{
    AttributeLine, AttributeSource, AttributeValue, FileKind, GitError, ObjectKind, Repository, Root, literal,
};
use crate::id::ObjectId;
use crate::item::{FileMode, RepoPath};
use crate::places::{CODEX, EVIDENCE, LINKS, OWN_FILES, Places, PlacesError};

/// The longest attributes or ignore file that is completed, in bytes.
const MAX_LENGTH: u64 = 1 << 20;

/// What an attribute may be, besides unset, without altering evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harmless {
    /// Nothing else: unspecified lets `core.autocrlf` decide.
    OnlyUnset,
    /// Unspecified.
    Unspecified,
}

/// The attributes under which git would alter evidence.
const ALTERING: [(&str, Harmless); 6] = [
    ("text", Harmless::OnlyUnset),
    ("eol", Harmless::Unspecified),
    ("ident", Harmless::Unspecified),
    ("filter", Harmless::Unspecified),
    ("working-tree-encoding", Harmless::Unspecified),
    ("export-subst", Harmless::Unspecified),
];

/// Why the program's own files are not as they have to be.
#[derive(Debug, thiserror::Error)]
pub enum OwnFilesError {
    /// Attributes set elsewhere would make git alter evidence.
    #[error("git would alter evidence: attribute `{name}` is `{value}` for `{EVIDENCE}`")]
    Altered {
        /// The attribute.
        name: String,
        /// Its value.
        value: String,
        /// Where it is set, if that was found.
        line: Option<AttributeLine>,
    },
    /// Git, or the working tree, failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The links could not be removed.
    #[error(transparent)]
    Places(#[from] PlacesError),
}

/// Completes the program's own files in the working tree, writes what the index should hold of them as blobs, and checks
/// that git leaves evidence alone. Returns the blobs that are to be staged.
pub fn prepare_own_files(repository: &Repository) -> Result<Vec<(RepoPath, ObjectId)>, OwnFilesError> {
    let root = Root::open(repository.require_work_tree()?)?;
    let paths = OWN_FILES.map(|file| file.repo_path());
    let entries = index_entries_of(repository, &paths.iter().collect::<Vec<_>>())?;
    let mut staged = Vec::new();
    for ((file, path), entries) in OWN_FILES.iter().zip(&paths).zip(entries) {
        // Git reads no attributes or ignore file through a link, and a link's target is no content: it is replaced.
        let is_link = root.kind(path)? == Some(FileKind::Symlink);
        let working = if is_link { None } else { root.read(path, MAX_LENGTH)? };
        if let Some(content) = file.completed(working.as_deref()) {
            root.write(path, &content)?;
        }
        let current = match entries.iter().find(|entry| entry.stage == 0) {
            Some(entry) => Some(repository.objects().read_kind(&entry.entry.id, ObjectKind::Blob, MAX_LENGTH)?),
            None => None,
        };
        if let Some(content) = file.completed(current.as_deref()) {
            staged.push((path.clone(), content));
        }
    }
    check_sample(repository, AttributeSource::WorkTree)?;
    write(repository, staged)
}

/// Checks that nothing of the user's stands in `tree` where the program's own files belong.
pub fn check_own_places(repository: &Repository, tree: &ObjectId) -> Result<(), OwnFilesError> {
    let objects = repository.fetching_objects();
    for (name, entry) in objects.read_tree(tree)?.iter() {
        let is_ours = name == CODEX.as_bytes() && entry.is_folder();
        if name.eq_ignore_ascii_case(CODEX.as_bytes()) && !is_ours {
            let path = RepoPath::try_new(name).map_err(GitError::from)?;
            return Err(PlacesError::NotOurs { path }.into());
        }
    }
    for link in LINKS {
        let path = RepoPath::try_new(link).expect("the program's own paths are valid");
        if objects.entry(tree, &path)?.is_some() {
            return Err(PlacesError::Tracked { path: link }.into());
        }
    }
    Ok(())
}

/// Returns the blobs that complete the program's own files in `tree`. Nothing changes but what git has of objects.
pub fn prepare_own_files_in(
    repository: &Repository,
    tree: &ObjectId,
) -> Result<Vec<(RepoPath, ObjectId)>, OwnFilesError> {
    check_own_places(repository, tree)?;
    let objects = repository.fetching_objects();
    let mut missing = Vec::new();
    for file in OWN_FILES {
        let path = file.repo_path();
        let entry = objects.entry(tree, &path)?.filter(|entry| entry.file_mode() == Some(FileMode::Regular));
        let current = match entry {
            Some(entry) => Some(objects.read_kind(&entry.id, ObjectKind::Blob, MAX_LENGTH)?),
            None => None,
        };
        missing.extend(file.completed(current.as_deref()).map(|content| (path, content)));
    }
    write(repository, missing)
}

/// Writes the contents of own files as blobs.
fn write(
    repository: &Repository,
    contents: Vec<(RepoPath, Vec<u8>)>,
) -> Result<Vec<(RepoPath, ObjectId)>, OwnFilesError> {
    let blobs: Vec<&[u8]> = contents.iter().map(|(_, content)| content.as_slice()).collect();
    let ids = repository.objects().write_blobs(&blobs)?;
    Ok(contents.into_iter().map(|(path, _)| path).zip(ids).collect())
}

/// Checks that git leaves evidence files alone, as far as their names do not matter.
pub fn check_sample(repository: &Repository, source: AttributeSource) -> Result<(), OwnFilesError> {
    let sample = RepoPath::try_new(format!("{EVIDENCE}/sample.jsonl")).expect("the program's own paths are valid");
    check_unaltered(repository, source, &sample)
}

/// Checks that git leaves the evidence file at `path` alone, on its way into the working tree, back, and into exports.
pub fn check_unaltered(repository: &Repository, source: AttributeSource, path: &RepoPath) -> Result<(), OwnFilesError> {
    let names = ALTERING.map(|(name, _)| name);
    let values = repository.attributes(source, &[path], &names)?;
    for ((name, harmless), value) in ALTERING.iter().zip(values.into_iter().flatten()) {
        let value = match value {
            AttributeValue::Unset => continue,
            AttributeValue::Unspecified if *harmless == Harmless::Unspecified => continue,
            AttributeValue::Unspecified => "unspecified".to_owned(),
            AttributeValue::Set => "set".to_owned(),
            AttributeValue::Value(value) => value.to_string(),
        };
        let line = repository.attribute_line(source, path, name)?;
        return Err(OwnFilesError::Altered { name: (*name).to_owned(), value, line });
    }
    Ok(())
}

/// Removes the program's own files and links from the working tree if nothing of it is in the index and they hold nothing
/// of the user's: what the first change of a tree brought and then took back.
pub fn withdraw_own_files(repository: &Repository, places: &Places) -> Result<(), OwnFilesError> {
    let root = Root::open(repository.require_work_tree()?)?;
    let folder = RepoPath::try_new(CODEX).expect("the program's own paths are valid");
    if !repository.index_entries(&[literal(&folder)])?.is_empty() {
        return Ok(());
    }
    let paths = OWN_FILES.map(|file| file.repo_path());
    let mut ours = Vec::new();
    for (file, path) in OWN_FILES.iter().zip(&paths) {
        match root.read(path, MAX_LENGTH)? {
            None => {}
            Some(content) if file.completed(None).as_ref() == Some(&content) => ours.push(path),
            Some(_) => return Ok(()),
        }
    }
    places.unlink()?;
    ours.into_iter().try_for_each(|path| root.remove(path))?;
    // All are in one folder.
    Ok(paths.first().map_or(Ok(()), |path| root.remove_empty_parents(path))?)
}
