//! The file system, as safely as it can be used: whole files or none, synced before they count, links not followed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

/// Writes `bytes` to `path` so that a reader sees the old file or the whole new one, also after a power cut.
///
/// The bytes go to a file beside it, which is synced, renamed and made durable with its folder. A symbolic link at
/// `path` is replaced, not followed. Fails if the folder does not exist.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, false)
}

/// Writes a script or program as [`replace`] does, with leave for everybody to execute it.
pub fn replace_executable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, bytes, true)
}

fn replace_with(path: &Path, bytes: &[u8], executable: bool) -> io::Result<()> {
    let parent = parent_of(path);
    let mut file = temporary_in(parent, executable)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_dir(parent)
}

/// Writes a file to `path` like [`replace`], but only if nothing is there; fails with [`io::ErrorKind::AlreadyExists`] else.
pub fn create_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = parent_of(path);
    let mut file = temporary_in(parent, false)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    sync_dir(parent)
}

/// What the names of files begin with that will be renamed into place, or are left over.
const TEMPORARY: &str = ".archive-tomb-";

/// Makes a file in `folder` that will be renamed into place. It gets the permissions that any new file, or program, gets
/// here (temporary files usually are private, and a fixed mode would pass over the user's umask).
pub fn temporary_in(folder: &Path, executable: bool) -> io::Result<NamedTempFile> {
    temporary_named(folder, None, executable)
}

/// Makes a file as [`temporary_in`] does, with a name that the caller knows again (see [`temporary_path`]): so a left-over of
/// that name, which is replaced, is known too.
pub fn temporary_named(folder: &Path, name: Option<&str>, executable: bool) -> io::Result<NamedTempFile> {
    let name = prepare_name(folder, name)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(if executable { 0o777 } else { 0o666 }));
    }
    #[cfg(not(unix))]
    let _ = executable;
    match &name {
        Some(name) => builder.prefix(name).rand_bytes(0).tempfile_in(folder),
        None => builder.prefix(TEMPORARY).tempfile_in(folder),
    }
}

/// Makes a symbolic link to `target` in `folder` that will be renamed into place, with a name as [`temporary_named`] has it.
pub fn temporary_link_in(folder: &Path, name: Option<&str>, target: &[u8]) -> io::Result<TempPath> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = prepare_name(folder, name)?;
        let mut builder = tempfile::Builder::new();
        let link = |beside: &Path| std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), beside);
        let made = match &name {
            Some(name) => builder.prefix(name).rand_bytes(0).make_in(folder, link),
            None => builder.prefix(TEMPORARY).make_in(folder, link),
        };
        Ok(made?.into_temp_path())
    }
    #[cfg(not(unix))]
    {
        let _ = (folder, name, target);
        Err(io::Error::new(io::ErrorKind::Unsupported, "symbolic links are not restored to files on this system"))
    }
}

/// Returns where in `folder` a temporary file called `name` is.
pub fn temporary_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{TEMPORARY}{name}"))
}

/// Returns the name of a temporary file, none of which is there any more.
fn prepare_name(folder: &Path, name: Option<&str>) -> io::Result<Option<String>> {
    let Some(name) = name else { return Ok(None) };
    remove_if_there(&temporary_path(folder, name))?;
    Ok(Some(format!("{TEMPORARY}{name}")))
}

/// Removes a file that need not be there.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Err(error),
        _ => Ok(()),
    }
}

/// Returns whether the file's owner may execute it; `None` on systems that do not know.
pub fn is_executable(metadata: &std::fs::Metadata) -> Option<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        Some(metadata.permissions().mode() & 0o100 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
}

/// Returns the folder that holds `path`.
pub fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes the bytes of the file at `path` durable; does nothing to what is no file.
pub fn sync_file(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_file() { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Makes the names in folder `path` durable. On systems that cannot sync a folder (Windows) this does nothing.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Makes the folder `path`, durably, in a folder that is there; it may exist already.
pub fn create_dir(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result.and_then(|()| sync_dir(parent_of(path))),
    }
}

/// Makes the folder `path` and those above it that are missing, each durably.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir_all(parent)?;
    }
    create_dir(path)
}

/// Makes everything written so far to the file system that holds `path` durable, in one call.
///
/// Returns whether the system can do that (Linux); where it returns `false`, the caller syncs file by file.
pub fn sync_filesystem(path: &Path) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        rustix::fs::syncfs(File::open(path)?)?;
        Ok(true)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        Ok(false)
    }
}

/// Opens `path` with `options`, failing if its last component is a symbolic link.
pub fn open_no_follow(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    #[cfg(not(unix))]
    if path.is_symlink() {
        return Err(io::Error::other("it is a symbolic link"));
    }
    options.open(path)
}

/// Returns the name of the network file system that holds `path`, if it is on one that is known not to lock reliably.
pub fn network_filesystem(path: &Path) -> io::Result<Option<&'static str>> {
    #[cfg(target_os = "linux")]
    {
        // Magic numbers of statfs(2).
        const NETWORK: &[(u64, &str)] = &[
            (0x6969, "NFS"),
            (0x517b, "SMB"),
            (0xff53_4d42, "CIFS"),
            (0xfe53_4d42, "SMB2"),
            (0x0102_1997, "9P"),
            (0x00c3_6400, "CephFS"),
            (0x5346_414f, "AFS"),
            (0x0bd0_0bd0, "Lustre"),
            (0x0116_1970, "GFS2"),
            (0x564c, "NCP"),
        ];
        let kind = rustix::fs::statfs(path)?.f_type;
        // The field's width and sign differ between architectures; the magic numbers have 32 bits.
        let kind = u64::from(u32::try_from(i128::from(kind) & 0xffff_ffff).unwrap_or_default());
        Ok(NETWORK.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replace_puts_a_whole_file_in_place_of_a_link() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let (path, other) = (folder.path().join("file"), folder.path().join("other"));
        std::fs::write(&other, "kept").expect("writes");
        #[cfg(unix)]
        std::os::unix::fs::symlink(&other, &path).expect("links");
        replace(&path, b"new").expect("replaces");
        assert_eq!(std::fs::read(&path).expect("reads"), b"new");
        assert_eq!(std::fs::read(&other).expect("reads"), b"kept");
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("elsewhere", &link).expect("links");
        assert!(open_no_follow(OpenOptions::new().write(true).create(true), &link).is_err());
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn a_temporary_folder_is_local() {
        assert_eq!(network_filesystem(&std::env::temp_dir()).expect("asks the system"), None);
    }
}
