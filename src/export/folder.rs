//! The folder that an export is.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::facts::{Facts, FactsError, facts};
use crate::archive::{Archive, ArchiveError, ContentReader, KnownItem, ReadError, item_with};
use crate::clock::Timestamp;
use crate::fault;
use crate::fs::{parent_of, sync_dir, sync_filesystem};
use crate::id::{Sha256, Sha256Hasher, Tombstone};
use crate::item::RepoPath;

const README: &str = "\
This is an archive of git-archive-tomb as plain files, in the format `archive-export/1`.

Check it:                sha256sum -c SHA256SUMS
Get all files out:       sh restore.sh . OUTPUT
One content:             zstd -d -c contents/ab/abcd….zst (its name is the SHA-256 of what comes out)
Which item has it:       files.txt (tombstone, SHA-256, mode, path) and items.jsonl
What happened to it:     grep TOMBSTONE events.jsonl
The export's digest:     sha256sum manifest.json
";

const RESTORE: &str = include_str!("restore.sh");

/// The file whose lock says that a process is at work in the folder.
const LOCK: &str = "lock";

/// Why an archive was not exported. Nothing stands at the place then.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Something stands there.
    #[error("`{}` exists", path.display())]
    Exists {
        /// The place.
        path: PathBuf,
    },
    /// Another process exports to the same place.
    #[error("another export to `{}` is at work", path.display())]
    InUse {
        /// The place.
        path: PathBuf,
    },
    /// The archive failed, or is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A content did not come out of the archive as it went in.
    #[error("cannot export {}", described(*sha256, item.as_ref()))]
    Content {
        /// The content.
        sha256: Sha256,
        /// An item that has it.
        item: Option<(Tombstone, RepoPath)>,
        /// What is wrong.
        source: Box<ReadError>,
    },
    /// The files could not be written.
    #[error("cannot write the export to `{}`", path.display())]
    Io {
        /// The place.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Returns what people call a content: by an item that has it, where there is one.
pub(crate) fn described(sha256: Sha256, item: Option<&(Tombstone, RepoPath)>) -> String {
    match item {
        Some((tombstone, path)) => format!("content `{sha256}` of item `{tombstone}` (`{path}`)"),
        None => format!("content `{sha256}`, which no item has"),
    }
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// The facts, which have the digest.
    pub facts: Facts,
    /// How many contents there are, without the purged.
    pub contents: u64,
    /// The sum of their sizes.
    pub bytes: u64,
}

/// Which archive it was, and when: `about.json`.
#[derive(Serialize)]
struct About<'a> {
    archive: &'a str,
    backend: &'a str,
    exported_at: Timestamp,
    program: &'a str,
    contents: u64,
    purged: u64,
}

/// Writes all that `archive` holds to the folder `place`, which must not exist; its parent must. Contents are compressed
/// at zstd's `level`; `progress` is told how many bytes of contents are done.
///
/// The folder is there whole or not at all. Memory is bounded.
pub fn export(
    archive: &mut dyn Archive,
    place: &Path,
    level: i32,
    progress: &mut dyn FnMut(u64),
) -> Result<Exported, ExportError> {
    let failed = |error| match error {
        ExportError::Io { source, .. } => ExportError::Io { path: place.to_owned(), source },
        error => error,
    };
    let mut fill = |folder: &Path| Folder::new(folder).map_err(io_failed)?.fill(archive, level, progress);
    build(place, |folder| fill(folder).map_err(failed))
}

/// Makes the folder `place`, which must not exist, with what `fill` writes into the one beside it that takes its place in the
/// end. It is there whole or not at all.
pub(crate) fn build<T, E: From<ExportError>>(place: &Path, fill: impl FnOnce(&Path) -> Result<T, E>) -> Result<T, E> {
    if place.symlink_metadata().is_ok() {
        return Err(ExportError::Exists { path: place.to_owned() }.into());
    }
    let (folder, lock) = prepare(place)?;
    let filled = match fill(&folder) {
        Ok(filled) => filled,
        Err(error) => {
            // What cannot be removed now is removed by the next export to this place.
            let _ = fs::remove_dir_all(&folder);
            return Err(error);
        }
    };
    fault::point("export-written");
    let finish = || -> io::Result<()> {
        sync_filesystem(&folder)?;
        sync_dir(&folder)?;
        // It would take the place of an empty folder that came meanwhile, and of nothing else.
        fs::rename(&folder, place)?;
        fault::point("export-renamed");
        // Not before: without it, another export would take the folder for what a killed one left.
        fs::remove_file(place.join(LOCK))?;
        sync_dir(parent_of(place))
    };
    finish().map_err(|source| ExportError::Io { path: place.to_owned(), source })?;
    drop(lock);
    Ok(filled)
}

/// Makes the folder beside `place` in which the export is written, without what a killed one left there, and locks it.
fn prepare(place: &Path) -> Result<(PathBuf, File), ExportError> {
    let failed = |source| ExportError::Io { path: place.to_owned(), source };
    let name = place.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".archive-tomb-export");
    let folder = parent_of(place).join(hidden);
    let locked = || -> io::Result<Option<File>> {
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.symlink_metadata()?.is_dir() => {}
            made => made?,
        }
        let path = folder.join(LOCK);
        let lock = crate::fs::open_no_follow(OpenOptions::new().create(true).write(true), &path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if entry.path() != path {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Some(lock))
    };
    let lock = locked().map_err(failed)?.ok_or_else(|| ExportError::InUse { path: place.to_owned() })?;
    Ok((folder, lock))
}

/// The folder while it is written.
struct Folder<'a> {
    path: &'a Path,
    sums: BufWriter<File>,
}

impl<'a> Folder<'a> {
    fn new(path: &'a Path) -> io::Result<Self> {
        fs::create_dir(path.join("contents"))?;
        let sums = BufWriter::new(File::create_new(path.join("SHA256SUMS"))?);
        Ok(Self { path, sums })
    }

    fn fill(
        mut self,
        archive: &mut dyn Archive,
        level: i32,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Exported, ExportError> {
        let facts = self.write_facts(archive)?;
        let (contents, purged, bytes) = self.write_contents(archive, level, progress)?;
        let about = About {
            archive: archive.id(),
            backend: archive.backend(),
            exported_at: Timestamp::now(),
            program: env!("CARGO_PKG_VERSION"),
            contents,
            purged,
        };
        let mut about = serde_json::to_string(&about).expect("texts and numbers are JSON");
        about.push('\n');
        let texts = [
            ("README.txt", README),
            ("restore.sh", RESTORE),
            ("about.json", &about),
            ("manifest.json", &facts.manifest()),
        ];
        for (name, text) in texts {
            self.write(name, |file| file.write_all(text.as_bytes())).map_err(io_failed)?;
        }
        self.sums
            .into_inner()
            .map_err(|error| io_failed(error.into_error()))
            .and_then(|file| synced(&file).map_err(io_failed))?;
        Ok(Exported { facts, contents, bytes })
    }

    fn write_facts(&mut self, archive: &mut dyn Archive) -> Result<Facts, ExportError> {
        let create = |name: &str| Summed::create(&self.path.join(name)).map_err(io_failed);
        let (mut items, mut events) = (create("items.jsonl")?, create("events.jsonl")?);
        let mut files = create("files.txt")?;
        let mut visit = |known: &KnownItem| {
            let item = &known.stored.item;
            if known.stored.purged_at.is_some() {
                return Ok(());
            }
            let path = escaped(item.path.as_bytes());
            writeln!(files, "{} {} {} {path}", item.tombstone, item.sha256, item.mode)
        };
        let facts = facts(archive, &mut items, &mut events, &mut visit).map_err(|error| match error {
            FactsError::Archive(error) => error.into(),
            FactsError::Write(error) => io_failed(error),
        })?;
        for (name, file) in [("items.jsonl", items), ("events.jsonl", events), ("files.txt", files)] {
            let sum = file.finish().map_err(io_failed)?;
            writeln!(self.sums, "{sum}  {name}").map_err(io_failed)?;
        }
        Ok(facts)
    }

    /// Writes every content; returns how many there are, how many were purged, and the sum of the sizes.
    fn write_contents(
        &mut self,
        archive: &mut dyn Archive,
        level: i32,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(u64, u64, u64), ExportError> {
        let (mut contents, mut purged, mut bytes, mut last) = (0, 0, 0, 0);
        let mut reader = ContentReader::new(archive);
        loop {
            let page = reader.archive().contents_page(last)?;
            let Some(end) = page.last() else { return Ok((contents, purged, bytes)) };
            last = end.number;
            reader.expect(page.iter().filter(|content| content.purged_at.is_none()).map(|content| content.sha256));
            for content in &page {
                if content.purged_at.is_some() {
                    purged += 1;
                    continue;
                }
                let sha256 = content.sha256;
                let name = sha256.to_string();
                let name = format!("contents/{}/{name}.zst", &name[..2]);
                crate::fs::create_dir(parent_of(&self.path.join(&name))).map_err(io_failed)?;
                let mut damage = None;
                let written = self.write(&name, |file| {
                    let mut encoder = zstd::stream::Encoder::new(file, level)?;
                    encoder.set_pledged_src_size(Some(content.size))?;
                    match reader.read(&sha256, content.size, &mut encoder) {
                        Ok(_) => encoder.finish().map(|_| ()),
                        Err(ReadError::Write { source, .. }) => Err(source),
                        Err(error) => {
                            damage = Some(error);
                            Ok(())
                        }
                    }
                });
                if let Some(error) = damage {
                    let source = error.of_content()?;
                    let item = item_with(reader.archive(), &sha256)?;
                    let item = item.map(|stored| (stored.item.tombstone, stored.item.path));
                    return Err(ExportError::Content { sha256, item, source: source.into() });
                }
                written.map_err(io_failed)?;
                fault::point("export-content");
                contents += 1;
                bytes += content.size;
                progress(bytes);
            }
        }
    }

    /// Writes the file `name`, and its sum.
    fn write(&mut self, name: &str, content: impl FnOnce(&mut Summed) -> io::Result<()>) -> io::Result<()> {
        let mut file = Summed::create(&self.path.join(name))?;
        content(&mut file)?;
        let sum = file.finish()?;
        writeln!(self.sums, "{sum}  {name}")
    }
}

/// The place is put in where it is known.
fn io_failed(source: io::Error) -> ExportError {
    ExportError::Io { path: PathBuf::new(), source }
}

/// Makes a file durable, where that is not done for the whole file system at the end.
pub(crate) fn synced(file: &File) -> io::Result<()> {
    if cfg!(target_os = "linux") { Ok(()) } else { file.sync_all() }
}

/// A file that is hashed while it is written.
struct Summed {
    file: BufWriter<File>,
    hasher: Sha256Hasher,
}

impl Summed {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create_new(path)?), hasher: Sha256Hasher::new() })
    }

    fn finish(self) -> io::Result<Sha256> {
        synced(&self.file.into_inner().map_err(io::IntoInnerError::into_error)?)?;
        Ok(self.hasher.finish())
    }
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Returns a path as `printf %b` reads it, in one word of harmless characters.
fn escaped(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"._/-".contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "\\0{byte:03o}").expect("a text takes everything");
        }
    }
    text
}
