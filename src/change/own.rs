//! The program's own files in the working tree, which keep git from altering evidence.

use super::{index_entries_of, literal};
use crate::git::{AttributeLine, AttributeSource, AttributeValue, FileKind, GitError, ObjectKind, Repository, Root};
use crate::id::ObjectId;
use crate::item::RepoPath;
use crate::places::{CODEX, EVIDENCE, OWN_FILES, Places, PlacesError};

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
    let sample = RepoPath::try_new(format!("{EVIDENCE}/sample.jsonl")).expect("the program's own paths are valid");
    check_unaltered(repository, &sample)?;
    let blobs: Vec<&[u8]> = staged.iter().map(|(_, content)| content.as_slice()).collect();
    let ids = if blobs.is_empty() { Vec::new() } else { repository.objects().write_blobs(&blobs)? };
    Ok(staged.into_iter().map(|(path, _)| path).zip(ids).collect())
}

/// Checks that git leaves the evidence file at `path` alone, on its way into the working tree, back, and into exports.
pub fn check_unaltered(repository: &Repository, path: &RepoPath) -> Result<(), OwnFilesError> {
    let names = ALTERING.map(|(name, _)| name);
    let values = repository.attributes(AttributeSource::WorkTree, &[path], &names)?;
    for ((name, harmless), value) in ALTERING.iter().zip(values.into_iter().flatten()) {
        let value = match value {
            AttributeValue::Unset => continue,
            AttributeValue::Unspecified if *harmless == Harmless::Unspecified => continue,
            AttributeValue::Unspecified => "unspecified".to_owned(),
            AttributeValue::Set => "set".to_owned(),
            AttributeValue::Value(value) => value.to_string(),
        };
        let line = repository.attribute_line(path, name)?;
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
