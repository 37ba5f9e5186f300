//! Making a folder as a whole or not at all: the one way in which a verb leaves a folder.
//!
//! Beside `NAME` a folder `.NAME.learngene-partial` is made, with a lock and the `content`, which takes the name in the
//! end by one rename. A process that is killed leaves nothing under the name, and what it leaves beside it is removed by
//! the next one that writes the same folder, but not while another process is still at it.
//!
//! A folder that cannot be replaced by a rename, because it is the current one or where a disk is mounted, has its
//! `.learngene-partial` inside; the entries of the content then move one by one, and a list of them, written before, lets
//! the next process remove those that had moved.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::atomic::{folder_of, sync_folder, write_bytes_atomically};
use crate::error::{FormatError, Result};

const PARTIAL: &str = ".learngene-partial";
const LOCK: &str = "lock";
const CONTENT: &str = "content";
const MOVING: &str = "moving";

/// A folder that is being written. Without [`finish`](Self::finish) nothing of it stays.
#[derive(Debug)]
pub struct FolderWriter {
    place: PathBuf,
    partial: PathBuf,
    /// Let go of by the system when the process dies.
    _lock: File,
}

impl FolderWriter {
    /// Whether a folder can be made at `place`: it is not there yet, is empty, or holds only what a killed process
    /// left of one. Makes nothing.
    ///
    /// # Errors
    /// [`FormatError::Occupied`] for a folder that holds something, [`FormatError::Io`].
    pub fn check(place: &Path) -> Result<()> {
        let occupied = || FormatError::Occupied {
            path: place.to_path_buf(),
        };
        let names = match entry_names(place) {
            Ok(names) => names,
            // A link that leads nowhere is there, and a rename does not replace it.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match fs::symlink_metadata(place) {
                    Ok(_) => Err(occupied()),
                    Err(_) => Ok(()),
                };
            }
            Err(error) => return Err(FormatError::io("make a folder of", place, error)),
        };
        let inside = place.join(PARTIAL);
        let moved = moved(&inside);
        let is_left_over = |name: &OsString| *name == PARTIAL || moved.contains(name);
        if names.iter().all(is_left_over) {
            return Ok(());
        }
        // A process that was killed right after the rename has left an empty one.
        if let Ok(partial) = beside(place)
            && partial.is_dir()
            && lock(&partial).is_ok()
        {
            let _stays_hidden = remove_own(&partial);
        }
        Err(occupied())
    }

    /// Begins a folder that is to lie at `place`; the folders above it are made. What a killed process left is removed.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`FormatError::InUse`] while another process writes the same folder.
    pub fn begin(place: &Path) -> Result<Self> {
        Self::check(place)?;
        let made = |path: &Path, made: io::Result<()>| {
            made.map_err(|source| FormatError::io("make the folder", path, source))
        };
        let (place, partial) = if place.is_dir() {
            let place = place
                .canonicalize()
                .map_err(|source| FormatError::io("find the folder", place, source))?;
            let partial = match is_fixed(&place) {
                true => place.join(PARTIAL),
                false => beside(&place)?,
            };
            (place, partial)
        } else {
            let above = folder_of(place);
            made(above, fs::create_dir_all(above))?;
            (place.to_path_buf(), beside(place)?)
        };
        made(&partial, fs::create_dir_all(&partial))?;
        let lock = lock(&partial)?;
        for name in moved(&partial) {
            remove(&place.join(name))?;
        }
        let writer = Self {
            place,
            partial,
            _lock: lock,
        };
        remove(&writer.path())?;
        remove(&writer.partial.join(MOVING))?;
        made(&writer.path(), fs::create_dir(writer.path()))?;
        Ok(writer)
    }

    /// Where the content is to be written.
    pub fn path(&self) -> PathBuf {
        self.partial.join(CONTENT)
    }

    /// Gives the content its place. Files in it must be on the disk already, as [`crate::atomic`] leaves them.
    ///
    /// # Errors
    /// [`FormatError::Io`]; nothing is at the place then.
    pub fn finish(self) -> Result<()> {
        let content = self.path();
        sync_all(&content)?;
        let renamed = |from: &Path, to: &Path| {
            fs::rename(from, to)
                .map_err(|source| FormatError::io("rename the finished folder to", to, source))
        };
        if self.partial.parent() == Some(&self.place) {
            let names = entry_names(&content)
                .map_err(|source| FormatError::io("read the folder", &content, source))?;
            let list: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
            write_bytes_atomically(self.partial.join(MOVING), list.join("\n").as_bytes())?;
            for name in &names {
                renamed(&content.join(name), &self.place.join(name))?;
            }
            remove(&self.partial.join(MOVING))?;
            sync_folder(&self.place)
        } else {
            // Only Unix renames over an empty folder.
            if cfg!(not(unix)) && self.place.is_dir() {
                fs::remove_dir(&self.place)
                    .map_err(|source| FormatError::io("replace", &self.place, source))?;
            }
            renamed(&content, &self.place)?;
            sync_folder(folder_of(&self.place))
        }
    }
}

impl Drop for FolderWriter {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next process that writes this folder.
        for name in moved(&self.partial) {
            let _stays_for_the_next = remove(&self.place.join(name));
        }
        let _stays_for_the_next = remove_own(&self.partial);
    }
}

/// Where a folder is written that is to lie at `place`.
fn beside(place: &Path) -> Result<PathBuf> {
    let name = place.file_name().ok_or_else(|| FormatError::Occupied {
        path: place.to_path_buf(),
    })?;
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(PARTIAL);
    Ok(folder_of(place).join(partial))
}

/// Whether a folder cannot be replaced: it is the current one, a root, or of another disk than the one around it.
fn is_fixed(place: &Path) -> bool {
    let Some(above) = place.parent() else {
        return true;
    };
    let current = std::env::current_dir().and_then(|folder| folder.canonicalize());
    current.is_ok_and(|current| current == place) || !same_disk(place, above)
}

#[cfg(unix)]
fn same_disk(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let disk = |path| fs::metadata(path).map(|found| found.dev()).ok();
    disk(a) == disk(b)
}

#[cfg(not(unix))]
fn same_disk(_: &Path, _: &Path) -> bool {
    true
}

/// The lock of a partial folder, in which nothing but what is made here may lie.
fn lock(partial: &Path) -> Result<File> {
    let names = entry_names(partial)
        .map_err(|source| FormatError::io("read the folder", partial, source))?;
    let own = |name: &OsString| {
        [LOCK, CONTENT, MOVING].iter().any(|own| name == own)
            || name.to_string_lossy().starts_with(".moving.")
    };
    if !names.iter().all(own) {
        return Err(FormatError::Occupied {
            path: partial.to_path_buf(),
        });
    }
    let path = partial.join(LOCK);
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|source| FormatError::io("create", &path, source))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(FormatError::InUse {
            path: partial.to_path_buf(),
        }),
        // Some network file systems have no locks; there one process per folder is up to the user.
        Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
            Err(FormatError::io("lock", &path, error))
        }
        _ => Ok(file),
    }
}

/// Entries of the content that have moved out of a partial folder, or were about to.
fn moved(partial: &Path) -> Vec<OsString> {
    let list = fs::read(partial.join(MOVING)).unwrap_or_default();
    let list = String::from_utf8_lossy(&list);
    let names = list.lines().filter(|name| {
        let mut parts = Path::new(name).components();
        let plain = matches!(parts.next(), Some(std::path::Component::Normal(_)));
        plain && parts.next().is_none() && !partial.join(CONTENT).join(name).exists()
    });
    names.map(OsString::from).collect()
}

fn entry_names(folder: &Path) -> io::Result<Vec<OsString>> {
    let entries = fs::read_dir(folder)?;
    entries.map(|entry| Ok(entry?.file_name())).collect()
}

/// Makes the entries of a folder and of those below it durable.
fn sync_all(folder: &Path) -> Result<()> {
    let failed = |source| FormatError::io("read the folder", folder, source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            sync_all(&entry.path())?;
        }
    }
    sync_folder(folder)
}

/// Removes a partial folder, the lock last.
fn remove_own(partial: &Path) -> Result<()> {
    remove(&partial.join(CONTENT))?;
    remove(partial)
}

/// Removes a file or folder, if it is there.
fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(FormatError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names = entry_names(folder).unwrap();
        names.sort();
        names
    }

    fn fill(writer: &FolderWriter) {
        fs::create_dir(writer.path().join("part")).unwrap();
        write_bytes_atomically(writer.path().join("part/a"), b"a").unwrap();
        write_bytes_atomically(writer.path().join("b"), b"b").unwrap();
    }

    /// What a killed process leaves: its lock is gone, its files are not.
    fn kill(writer: FolderWriter) {
        let partial = writer.partial.clone();
        let kept = partial.with_extension("kept");
        fs::rename(&partial, &kept).unwrap();
        drop(writer);
        fs::rename(kept, partial).unwrap();
    }

    #[test]
    fn a_folder_has_its_name_only_when_it_is_whole_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        for place in ["new/out", "empty"].map(|name| folder.path().join(name)) {
            fs::create_dir_all(folder.path().join("empty")).unwrap();
            let writer = FolderWriter::begin(&place).unwrap();
            fill(&writer);
            assert!(!place.join("b").exists());
            writer.finish().unwrap();
            assert_eq!(names(&place), ["b", "part"]);
            assert_eq!(fs::read(place.join("part/a")).unwrap(), b"a");
        }
        assert_eq!(names(folder.path()), ["empty", "new"]);
        assert_eq!(names(&folder.path().join("new")), ["out"]);
    }

    #[test]
    fn what_was_not_finished_is_gone_and_what_was_killed_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out");
        let writer = FolderWriter::begin(&place).unwrap();
        fill(&writer);
        drop(writer);
        assert!(names(folder.path()).is_empty());
        let writer = FolderWriter::begin(&place).unwrap();
        fill(&writer);
        kill(writer);
        assert_eq!(names(folder.path()), [".out.learngene-partial"]);
        FolderWriter::check(&place).unwrap();
        let writer = FolderWriter::begin(&place).unwrap();
        assert!(names(&writer.path()).is_empty());
        fill(&writer);
        writer.finish().unwrap();
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn killed_right_after_the_rename_leaves_the_whole_and_a_trace_that_goes() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out");
        FolderWriter::begin(&place).unwrap().finish().unwrap();
        fs::write(place.join("b"), "b").unwrap();
        let partial = folder.path().join(".out.learngene-partial");
        fs::create_dir(&partial).unwrap();
        fs::write(partial.join(LOCK), "").unwrap();
        let error = FolderWriter::begin(&place).unwrap_err();
        assert!(matches!(error, FormatError::Occupied { .. }), "{error}");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn two_do_not_write_the_same_folder() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out");
        let first = FolderWriter::begin(&place).unwrap();
        let error = FolderWriter::begin(&place).unwrap_err();
        assert!(matches!(error, FormatError::InUse { .. }), "{error}");
        fill(&first);
        first.finish().unwrap();
        assert_eq!(names(&place), ["b", "part"]);
    }

    #[test]
    fn what_somebody_else_put_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("out");
        let partial = folder.path().join(".out.learngene-partial");
        for theirs in [&place, &partial] {
            fs::create_dir(theirs).unwrap();
            fs::write(theirs.join("mine"), "x").unwrap();
            let error = FolderWriter::begin(&place).unwrap_err();
            assert!(matches!(error, FormatError::Occupied { .. }), "{error}");
            assert_eq!(fs::read(theirs.join("mine")).unwrap(), b"x");
            fs::remove_dir_all(theirs).unwrap();
        }
        fs::write(&place, "a file").unwrap();
        assert!(FolderWriter::begin(&place).is_err());
        assert_eq!(fs::read(&place).unwrap(), b"a file");
    }

    /// As for the current folder, or one where a disk is mounted.
    #[test]
    fn a_folder_that_cannot_be_replaced_is_filled_and_cleared_again_after_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().canonicalize().unwrap();
        let inside = |place: &Path| {
            let partial = place.join(PARTIAL);
            fs::create_dir_all(partial.join(CONTENT)).unwrap();
            FolderWriter {
                place: place.to_path_buf(),
                _lock: lock(&partial).unwrap(),
                partial,
            }
        };
        let writer = inside(&place);
        fill(&writer);
        writer.finish().unwrap();
        assert_eq!(names(&place), ["b", "part"]);
        fs::remove_dir_all(place.join("part")).unwrap();
        // Killed after one of two had moved.
        let writer = inside(&place);
        fs::write(writer.partial.join(MOVING), "b\npart").unwrap();
        fs::create_dir(writer.path().join("part")).unwrap();
        let partial = writer.partial.clone();
        std::mem::forget(writer);
        FolderWriter::check(&place).unwrap();
        assert_eq!(moved(&partial), ["b"]);
    }
}
