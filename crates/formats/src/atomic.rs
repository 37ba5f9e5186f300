//! Replacing a file as a whole or not at all.
//!
//! The bytes go to a temporary name in the same folder, are synced, and take the final name by a rename, after which
//! the folder is synced. Whatever fails on the way, the old file is whole and the temporary one is gone. A process
//! that is killed outright leaves its `.NAME.XXXXXX.tmp` behind; nothing reads it, and whoever writes NAME next removes it,
//! unless another process holds its lock because it is still writing.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::error::{FormatError, Result};

/// Bytes gathered before each call to the operating system.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes `path` through `fill`, atomically and durably. An existing regular file is replaced (a symbolic link by the
/// file itself); its folder must exist.
///
/// # Errors
/// [`FormatError::NotAFile`] when `path` is a folder or device, [`FormatError::StorageFull`] when the disk is full,
/// [`FormatError::Io`] otherwise, also for an error that `fill` returns. The old file is unchanged in every case.
pub fn write_atomically(
    path: impl AsRef<Path>,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let not_a_file = || FormatError::NotAFile {
        path: path.to_path_buf(),
    };
    let name = path.file_name().ok_or_else(not_a_file)?;
    if fs::metadata(path).is_ok_and(|old| !old.is_file()) {
        return Err(not_a_file());
    }
    let folder = folder_of(path);

    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // By default the file would be readable by its owner alone; the umask still applies to this.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let failed = |source| FormatError::io("write", path, source);
    remove_leftovers(folder, &prefix);
    let mut temporary = loop {
        let temporary = builder.tempfile_in(folder).map_err(failed)?;
        // Another process that took the new file for a leftover has its lock, or has removed it already.
        let taken = matches!(
            temporary.as_file().try_lock(),
            Err(TryLockError::WouldBlock)
        );
        if !taken && temporary.path().exists() {
            break temporary;
        }
    };
    fill_and_sync(temporary.as_file_mut(), fill).map_err(failed)?;
    temporary
        .persist(path)
        .map_err(|refused| FormatError::io("rename the finished file to", path, refused.error))?;
    sync_folder(folder)
}

/// Removes the temporary files that killed processes left of the file whose temporary names start with `prefix`. What
/// cannot be removed stays: it is in nobody's way.
fn remove_leftovers(folder: &Path, prefix: &OsStr) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let is_one = is_temporary(&entry.file_name(), prefix)
            && entry.file_type().is_ok_and(|kind| kind.is_file());
        let file = is_one.then(|| File::options().append(true).open(entry.path()));
        if let Some(Ok(file)) = file
            && file.try_lock().is_ok()
        {
            let _in_nobodys_way = fs::remove_file(entry.path());
        }
    }
}

/// Whether `name` is `prefix`, six letters or digits, and `.tmp`.
fn is_temporary(name: &OsStr, prefix: &OsStr) -> bool {
    let rest = name.as_encoded_bytes();
    let rest = rest.strip_prefix(prefix.as_encoded_bytes());
    let random = rest.and_then(|rest| rest.strip_suffix(b".tmp"));
    random.is_some_and(|random| random.len() == 6 && random.iter().all(u8::is_ascii_alphanumeric))
}

/// [`write_atomically`] of bytes that are already at hand.
///
/// # Errors
/// Those of [`write_atomically`].
pub fn write_bytes_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_atomically(path, |file| file.write_all(bytes))
}

/// Runs `fill` over a buffer in front of `file`, then makes the contents durable.
pub(crate) fn fill_and_sync(
    file: &mut File,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, &mut *file);
    fill(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.sync_all()
}

/// Makes renames and new entries in `folder` durable. Only Unix can and needs to sync a folder.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|opened| opened.sync_all())
            .map_err(|source| FormatError::io("sync the folder", folder, source))?;
    }
    Ok(())
}

/// The folder `path` lies in; the current one for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_the_old_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_bytes_atomically(&path, b"old").unwrap();
        write_atomically(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn what_a_killed_process_left_of_the_same_file_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let others = [".a.bin.abc.tmp", ".b.bin.abc123.tmp", "a.bin.abc123.tmp"];
        for name in others
            .iter()
            .chain(&[".a.bin.abc123.tmp", ".a.bin.Xyz789.tmp"])
        {
            fs::write(at(name), "half").unwrap();
        }
        let writing = File::open(at(".a.bin.Xyz789.tmp")).unwrap();
        writing.lock().unwrap();
        write_bytes_atomically(at("a.bin"), b"whole").unwrap();
        let mut expected = [&others[..], &["a.bin", ".a.bin.Xyz789.tmp"]].concat();
        expected.sort();
        assert_eq!(names(folder.path()), expected);
    }

    #[test]
    fn a_failing_writer_keeps_the_old_file_and_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_bytes_atomically(&path, b"old").unwrap();
        let error = write_atomically(&path, |file| {
            file.write_all(b"half of the new")?;
            Err(io::Error::other("tensor went away"))
        })
        .unwrap_err();
        assert!(
            error.to_string().contains("a.bin: tensor went away"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_device_is_named_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let error = write_atomically(&path, |_| {
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")?
                .write_all(b"x")
        })
        .unwrap_err();
        assert!(matches!(error, FormatError::StorageFull { .. }), "{error}");
        assert!(
            error.to_string().contains("free some disk space"),
            "{error}"
        );
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn folders_and_devices_are_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_bytes_atomically(folder.path(), b"x").unwrap_err();
        assert!(matches!(error, FormatError::NotAFile { .. }), "{error}");
        #[cfg(unix)]
        assert!(matches!(
            write_bytes_atomically("/dev/null", b"x").unwrap_err(),
            FormatError::NotAFile { .. }
        ));
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere/a.bin");
        let error = write_bytes_atomically(&path, b"x").unwrap_err();
        assert!(
            matches!(
                error,
                FormatError::Io {
                    action: "write",
                    ..
                }
            ),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_the_umask_lets_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        fs::write(&plain, b"x").unwrap();
        let atomic = folder.path().join("atomic");
        write_bytes_atomically(&atomic, b"x").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&atomic), mode(&plain));
    }
}
