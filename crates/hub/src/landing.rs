//! Where downloads land: a file takes its name only when it is whole, and a pull that was interrupted goes on.
//!
//! While a pull goes on, the folder has a `.learngene-pull/` with `pull.json`, which says what is pulled, a lock, and the
//! unfinished file. What lies outside of it is finished. In the end it is removed.

use crate::error::{Error, Result};
use crate::names::STAGING;
use learngene_formats::atomic::write_bytes_atomically;
use learngene_formats::read_text;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const MARK: &str = "pull.json";
const LOCK: &str = "lock";
const UNFINISHED: &str = "unfinished";

/// What is pulled, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Address of the Hub.
    pub endpoint: String,
    /// `OWNER/NAME`.
    pub repo: String,
    /// The commit that the revision stood for.
    pub commit: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} of {}", self.repo, self.commit, self.endpoint)
    }
}

/// A folder that a pull goes into, and nobody else's pull at the same time.
#[derive(Debug)]
pub struct Landing {
    folder: PathBuf,
    _lock: File,
}

impl Landing {
    /// Whether a pull into the folder can begin or go on; writes nothing.
    ///
    /// # Errors
    /// [`Error::Occupied`] for a folder with anything in it that no pull left there, [`Error::Io`].
    pub fn check(folder: &Path) -> Result<()> {
        let mut entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("read the folder", folder, error)),
        };
        match entries.next().is_none() || folder.join(STAGING).is_dir() {
            true => Ok(()),
            false => Err(Error::Occupied {
                folder: folder.to_path_buf(),
            }),
        }
    }

    /// Makes the folder, or goes on in it.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::OtherPull`] when the folder holds a part of anything but `origin`,
    /// [`Error::Busy`] while another process pulls into it.
    pub fn open(folder: &Path, origin: &Origin) -> Result<Self> {
        Self::check(folder)?;
        let staging = folder.join(STAGING);
        fs::create_dir_all(&staging).map_err(|e| Error::io("make the folder", &staging, e))?;
        let path = staging.join(LOCK);
        let lock = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|e| Error::io("write", &path, e))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Busy {
                folder: folder.to_path_buf(),
            },
            TryLockError::Error(error) => Error::io("lock", &path, error),
        })?;
        mark(folder, &staging.join(MARK), origin)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            _lock: lock,
        })
    }

    /// Where a file of the repository lies when it is finished.
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder in which the unfinished file is written, under its name in the repository.
    pub fn unfinished(&self) -> PathBuf {
        self.folder.join(STAGING).join(UNFINISHED)
    }

    /// Gives a file that was written into [`unfinished`](Self::unfinished) its place, once its contents are on the disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn land(&self, name: &str) -> Result<()> {
        let (from, to) = (self.unfinished().join(name), self.place(name));
        File::options()
            .append(true)
            .open(&from)
            .and_then(|file| file.sync_all())
            .map_err(|e| Error::io("write", &from, e))?;
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|e| Error::io("make the folder", parent, e))?;
        }
        fs::rename(&from, &to).map_err(|e| Error::io("rename the finished file to", &to, e))
    }

    /// Everything is at its place: nothing of the pull is left but its files.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(self) -> Result<()> {
        let staging = self.folder.join(STAGING);
        drop(self);
        fs::remove_dir_all(&staging).map_err(|e| Error::io("remove", &staging, e))
    }
}

/// Compares what the folder is for with what it was for, or says so for the first time.
fn mark(folder: &Path, path: &Path, origin: &Origin) -> Result<()> {
    let expected =
        serde_json::to_vec_pretty(origin).map_err(|e| Error::io("write", path, e.into()))?;
    let found = match read_text(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(write_bytes_atomically(path, &expected)?);
        }
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let found: Option<Origin> = serde_json::from_str(&found).ok();
    match found {
        Some(found) if found == *origin => Ok(()),
        found => Err(Error::OtherPull {
            folder: folder.to_path_buf(),
            found: found.map_or_else(|| "something unknown".into(), |found| found.to_string()),
            expected: origin.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(commit: &str) -> Origin {
        Origin {
            endpoint: "http://hub".into(),
            repo: "a/b".into(),
            commit: commit.into(),
        }
    }

    fn arrive(landing: &Landing, name: &str, text: &str) {
        let path = landing.unfinished().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_file_has_its_name_only_when_it_landed_and_in_the_end_nothing_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new/model");
        Landing::check(&out).unwrap();
        assert!(!out.exists());
        let landing = Landing::open(&out, &origin("1")).unwrap();
        arrive(&landing, "part/x", "whole");
        assert!(!out.join("part").exists());
        landing.land("part/x").unwrap();
        assert_eq!(fs::read(out.join("part/x")).unwrap(), b"whole");
        landing.finish().unwrap();
        let left: Vec<_> = fs::read_dir(&out).unwrap().collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn only_the_same_pull_goes_on_in_a_folder_and_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let landing = Landing::open(out, &origin("1")).unwrap();
        arrive(&landing, "x", "half");
        let error = Landing::open(out, &origin("1")).unwrap_err();
        assert!(matches!(error, Error::Busy { .. }), "{error}");
        drop(landing);
        let error = Landing::open(out, &origin("2")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("a part of a/b at 1 of http://hub, and asked for is a/b at 2"),
            "{error}"
        );
        Landing::open(out, &origin("1")).unwrap().finish().unwrap();
        assert_eq!(fs::read_dir(out).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_with_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "x").unwrap();
        let error = Landing::open(folder.path(), &origin("1")).unwrap_err();
        assert!(matches!(error, Error::Occupied { .. }), "{error}");
        let error = Landing::check(&folder.path().join("mine")).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
