//! Checkpoints: one folder per saved step, complete or not there at all.
//!
//! ```text
//! checkpoints/
//!     step-00000100/   manifest.json (step, metric, length and BLAKE3 of every file) and the files
//!     step-00000200/
//!     .tmp-...         a save in progress, or what a killed one left; removed by the next writer
//!     .old-step-...    an earlier save of a step that is being saved again
//!     .lock            held by the writer
//! ```
//!
//! A save writes every file into `.tmp-step-N` and syncs it, the manifest last; then the folder takes its final name
//! and the parent is synced; only then do older checkpoints go. So at any moment, and after a power cut at any moment,
//! the newest checkpoint that was reported as saved is there and verifies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{FormatError, Result};
use crate::manifest::{MANIFEST_NAME, Manifest};
use crate::retention::best_first;

const STEP_PREFIX: &str = "step-";

/// One checkpoint whose manifest and file lengths are in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// Step, metric and files.
    pub manifest: Manifest,
}

impl Checkpoint {
    fn read(path: PathBuf, step: u64) -> Result<Self> {
        let manifest = Manifest::read(&path)?;
        if manifest.step != step {
            let reason = format!("{MANIFEST_NAME} is of step {}", manifest.step);
            return Err(FormatError::Damaged { path, reason });
        }
        manifest.check_lengths(&path)?;
        Ok(Self { path, manifest })
    }

    /// Optimiser steps done.
    pub fn step(&self) -> u64 {
        self.manifest.step
    }

    /// The path of one of its files.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] when the manifest has no such file.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        if self.manifest.files.contains_key(name) {
            return Ok(self.path.join(name));
        }
        Err(FormatError::Damaged {
            path: self.path.clone(),
            reason: format!("it has no file {name}"),
        })
    }

    /// Reads every file and compares its checksum.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] naming the first file that differs.
    pub fn verify(&self) -> Result<()> {
        self.manifest.check_contents(&self.path)
    }
}

/// The checkpoint that was looked for, and what had to be passed over.
#[derive(Debug, Default)]
pub struct Found {
    /// The checkpoint, every checksum verified.
    pub checkpoint: Option<Checkpoint>,
    /// Why each better candidate was rejected; worth a warning.
    pub rejected: Vec<FormatError>,
}

/// The checkpoints of a folder, for reading: changes nothing, and may be used while a run writes there.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Looks at `folder`, which is read on each call.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All checkpoints from the oldest to the newest, and why others are none. Checks manifests and file lengths, not
    /// contents.
    ///
    /// # Errors
    /// [`FormatError::Io`] when the folder cannot be listed.
    pub fn list(&self) -> Result<(Vec<Checkpoint>, Vec<FormatError>)> {
        let mut checkpoints = Vec::new();
        let mut rejected = Vec::new();
        for (step, path) in self.step_folders()? {
            match Checkpoint::read(path, step) {
                Ok(checkpoint) => checkpoints.push(checkpoint),
                Err(error) => rejected.push(error),
            }
        }
        Ok((checkpoints, rejected))
    }

    /// The newest checkpoint whose checksums hold, and why newer ones do not.
    ///
    /// # Errors
    /// [`FormatError::Io`] when the folder cannot be listed. A damaged checkpoint is no error but listed in
    /// [`Found::rejected`].
    pub fn latest(&self) -> Result<Found> {
        let mut found = Found::default();
        for (step, path) in self.step_folders()?.into_iter().rev() {
            match Checkpoint::read(path, step).and_then(verified) {
                Ok(checkpoint) => {
                    found.checkpoint = Some(checkpoint);
                    break;
                }
                Err(error) => found.rejected.push(error),
            }
        }
        Ok(found)
    }

    /// The checkpoint of the lowest metric whose checksums hold; of equal ones the newest. None when no checkpoint
    /// has a metric.
    ///
    /// # Errors
    /// As [`Checkpoints::latest`].
    pub fn best(&self) -> Result<Found> {
        let (checkpoints, rejected) = self.list()?;
        let mut found = Found {
            checkpoint: None,
            rejected,
        };
        let metrics: Vec<_> = checkpoints.iter().map(step_and_metric).collect();
        for step in best_first(&metrics.iter().collect::<Vec<_>>()) {
            let Some(candidate) = checkpoints.iter().find(|one| one.step() == step) else {
                continue;
            };
            match verified(candidate.clone()) {
                Ok(checkpoint) => {
                    found.checkpoint = Some(checkpoint);
                    break;
                }
                Err(error) => found.rejected.push(error),
            }
        }
        Ok(found)
    }

    /// Step and metric of the checkpoint of the lowest metric; of equal ones the newest. Contents are not verified.
    ///
    /// # Errors
    /// As [`Checkpoints::latest`].
    pub fn best_metric(&self) -> Result<Option<(u64, f64)>> {
        let metrics: Vec<_> = self.list()?.0.iter().map(step_and_metric).collect();
        let best = best_first(&metrics.iter().collect::<Vec<_>>())
            .first()
            .copied();
        let found = metrics.into_iter().find(|(step, _)| Some(*step) == best);
        Ok(found.and_then(|(step, metric)| Some((step, metric?))))
    }

    /// Every entry named like a checkpoint, by step.
    fn step_folders(&self) -> Result<BTreeMap<u64, PathBuf>> {
        let mut folders = BTreeMap::new();
        for name in entry_names(&self.folder)? {
            if let Some(step) = step_of(&name) {
                folders.insert(step, self.folder.join(name));
            }
        }
        Ok(folders)
    }
}

fn verified(checkpoint: Checkpoint) -> Result<Checkpoint> {
    checkpoint.verify().map(|()| checkpoint)
}

pub(crate) fn step_and_metric(checkpoint: &Checkpoint) -> (u64, Option<f64>) {
    (checkpoint.step(), checkpoint.manifest.metric)
}

pub(crate) fn folder_name(step: u64) -> String {
    format!("{STEP_PREFIX}{step:08}")
}

/// The step of a folder name, if it is exactly the name a save would give.
fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix(STEP_PREFIX)?.parse().ok()?;
    (folder_name(step) == name).then_some(step)
}

/// Entries whose names are text; others are not ours.
pub(crate) fn entry_names(folder: &Path) -> Result<Vec<String>> {
    let failed = |source| FormatError::io("list", folder, source);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let names = entries.map(|entry| Ok(entry.map_err(failed)?.file_name().into_string().ok()));
    Ok(names
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}
