//! The writing side of [`crate::checkpoint`], whose documentation shows the folder and the order of a save.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::atomic::{fill_and_sync, sync_folder};
use crate::checkpoint::{Checkpoint, Checkpoints, entry_names, folder_name, step_and_metric};
use crate::container::unstorable;
use crate::error::{FormatError, Result};
use crate::manifest::{FileRecord, MANIFEST_NAME, Manifest, is_plain_name};
use crate::retention::Retention;

const TEMPORARY_PREFIX: &str = ".tmp-";
const REPLACED_PREFIX: &str = ".old-";
const LOCK_NAME: &str = ".lock";

/// What one file of a checkpoint is filled with.
#[derive(Clone, Copy)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// What the function writes.
    Stream(&'a dyn Fn(&mut dyn Write) -> io::Result<()>),
}

/// The outcome of a save.
#[derive(Debug)]
pub struct Saved {
    /// The new checkpoint.
    pub checkpoint: Checkpoint,
    /// Steps of the older ones that were removed.
    pub removed: Vec<u64>,
    /// Why older ones could not be removed. The save itself is complete.
    pub not_removed: Vec<FormatError>,
}

/// The one writer of a checkpoint folder.
#[derive(Debug)]
pub struct CheckpointWriter {
    checkpoints: Checkpoints,
    retention: Retention,
    /// Held until the writer goes; the system lets go of it when the process dies.
    _lock: File,
}

impl CheckpointWriter {
    /// Creates `folder` where needed, keeps other writers out, and removes what a killed save left there.
    ///
    /// # Errors
    /// [`FormatError::InUse`] when another writer has the folder open, [`FormatError::Io`].
    pub fn open(folder: impl Into<PathBuf>, retention: Retention) -> Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)
            .map_err(|source| FormatError::io("create the folder", &folder, source))?;
        let lock = lock(&folder)?;
        for name in entry_names(&folder)? {
            let path = folder.join(&name);
            if name.starts_with(TEMPORARY_PREFIX) {
                remove(&path)?;
            } else if let Some(original) = name.strip_prefix(REPLACED_PREFIX) {
                let original = folder.join(original);
                if original.exists() {
                    remove(&path)?;
                } else {
                    // The process died between the two renames of a replacement.
                    rename(&path, &original)?;
                }
            }
        }
        Ok(Self {
            checkpoints: Checkpoints::at(folder),
            retention,
            _lock: lock,
        })
    }

    /// The checkpoints of this folder.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Saves `files` (name and content) as the checkpoint of `step`, then removes the ones that the retention no
    /// longer keeps. Saving a step again replaces it. `metric`: lower is better; a value that is not finite counts as
    /// none.
    ///
    /// # Errors
    /// [`FormatError::StorageFull`], [`FormatError::Io`], [`FormatError::Name`]: nothing was saved, every earlier
    /// checkpoint is as it was.
    pub fn save(
        &self,
        step: u64,
        metric: Option<f64>,
        files: &[(&str, Content<'_>)],
    ) -> Result<Saved> {
        let folder = self.checkpoints.folder();
        let name = folder_name(step);
        let temporary = folder.join(format!("{TEMPORARY_PREFIX}{name}"));
        let path = folder.join(&name);
        let manifest = match write_folder(&temporary, step, metric, files) {
            Ok(manifest) => manifest,
            Err(error) => {
                // A failure to clean up must not hide its cause; the next writer cleans up as well.
                let _ignored = remove(&temporary);
                return Err(error);
            }
        };
        let replaced = folder.join(format!("{REPLACED_PREFIX}{name}"));
        if path.exists() {
            rename(&path, &replaced)?;
        }
        if let Err(error) = rename(&temporary, &path) {
            let _ignored = remove(&temporary);
            if replaced.exists() {
                rename(&replaced, &path)?;
            }
            return Err(error);
        }
        sync_folder(folder)?;

        let mut saved = Saved {
            checkpoint: Checkpoint { path, manifest },
            removed: Vec::new(),
            not_removed: Vec::new(),
        };
        if replaced.exists() {
            saved.not_removed.extend(remove(&replaced).err());
        }
        self.remove_superseded(&mut saved);
        Ok(saved)
    }

    fn remove_superseded(&self, saved: &mut Saved) {
        let checkpoints = match self.checkpoints.list() {
            Ok((checkpoints, _)) => checkpoints,
            Err(error) => return saved.not_removed.push(error),
        };
        let all: Vec<_> = checkpoints.iter().map(step_and_metric).collect();
        for step in self.retention.superseded(saved.checkpoint.step(), &all) {
            let name = folder_name(step);
            let doomed = self
                .checkpoints
                .folder()
                .join(format!("{TEMPORARY_PREFIX}removed-{name}"));
            // Renamed first, so that a half removed folder is never taken for a checkpoint.
            match rename(&self.checkpoints.folder().join(&name), &doomed)
                .and_then(|()| remove(&doomed))
            {
                Ok(()) => saved.removed.push(step),
                Err(error) => saved.not_removed.push(error),
            }
        }
    }
}

fn write_folder(
    folder: &Path,
    step: u64,
    metric: Option<f64>,
    files: &[(&str, Content<'_>)],
) -> Result<Manifest> {
    if folder.exists() {
        remove(folder)?;
    }
    fs::create_dir(folder)
        .map_err(|source| FormatError::io("create the folder", folder, source))?;
    let mut records = BTreeMap::new();
    for (name, content) in files {
        if !is_plain_name(name) || *name == MANIFEST_NAME {
            return Err(unstorable(
                name,
                "a checkpoint's file needs a plain name of its own",
            ));
        }
        let record = write_file(&folder.join(name), content)?;
        if records.insert((*name).to_owned(), record).is_some() {
            return Err(unstorable(
                name,
                "a checkpoint cannot have two files of one name",
            ));
        }
    }
    let manifest = Manifest::new(step, metric, records);
    let encoded = manifest
        .encode()
        .map_err(|_| unstorable(MANIFEST_NAME, "it is not representable as JSON"))?;
    write_file(&folder.join(MANIFEST_NAME), &Content::Bytes(&encoded))?;
    sync_folder(folder)?;
    Ok(manifest)
}

fn write_file(path: &Path, content: &Content<'_>) -> Result<FileRecord> {
    let failed = |source| FormatError::io("write", path, source);
    let mut file = File::create(path).map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    fill_and_sync(&mut file, |out| {
        let mut out = Hashing {
            out,
            hasher: &mut hasher,
            bytes: &mut bytes,
        };
        match content {
            Content::Bytes(bytes) => out.write_all(bytes),
            Content::Stream(fill) => fill(&mut out),
        }
    })
    .map_err(failed)?;
    Ok(FileRecord {
        bytes,
        blake3: hasher.finalize().to_hex().to_string(),
    })
}

/// Hashes and counts what passes through.
struct Hashing<'a> {
    out: &'a mut dyn Write,
    hasher: &'a mut blake3::Hasher,
    bytes: &'a mut u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.out.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        *self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK_NAME);
    let file = File::create(&path).map_err(|source| FormatError::io("create", &path, source))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(FormatError::InUse {
            path: folder.to_path_buf(),
        }),
        // Some network file systems have no locks; there one run per folder is up to the user.
        Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
            Err(FormatError::io("lock", &path, error))
        }
        _ => Ok(file),
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|source| FormatError::io("rename", from, source))
}

fn remove(path: &Path) -> Result<()> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let removed = if is_folder {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(|source| FormatError::io("remove", path, source))
}
