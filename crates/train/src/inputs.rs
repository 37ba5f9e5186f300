//! What a run was started with that its configuration does not hold: the content of its images, and the model it was
//! started from. Kept in its folder, so that whoever goes on with it learns when they are others.

use crate::checkpoint::find_model;
use crate::error::{Error, Result};
use learngene_data::{Dataset, Split};
use learngene_formats::{Header, write_atomically};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file in a run folder.
const FILE: &str = "inputs.json";

/// What a run was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// [`Dataset::fingerprint`]: of pixels or latents, labels, splits and class names; of a data set that streams, of the
    /// names of its images instead of their pixels.
    pub data: String,
    /// Images to train on, to validate on and to test on.
    pub images: [usize; 3],
    /// Bytes they take where they are stored, of a data set that streams from files or tars: what stands for their pixels.
    /// Of Parquet files and latents that stream, names alone are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<[u64; 3]>,
    /// The model that it was started from, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Origin>,
}

/// A model that a run was started from. The run holds a copy of what it needs of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// What was typed, made absolute.
    pub path: PathBuf,
    /// BLAKE3 of its learngene ([`crate::weights::learngene_hash`]), as its file says.
    pub learngene: Option<String>,
}

impl Origin {
    /// The model a user means by MODEL.
    ///
    /// # Errors
    /// A path that is no model.
    pub fn at(path: &Path) -> Result<Self> {
        let header = Header::read(find_model(path)?.0)?;
        Ok(Self {
            path: std::path::absolute(path).map_err(Error::io("find", path))?,
            learngene: header.learngene,
        })
    }
}

impl Inputs {
    /// Those of a run on that data set, started from that model.
    pub fn of(dataset: &Dataset, start: Option<Origin>) -> Self {
        let splits = [Split::Train, Split::Val, Split::Test];
        let bytes: Vec<u64> = (splits
            .iter()
            .filter_map(|split| dataset.stored_bytes(*split)))
        .collect();
        Self {
            data: dataset.fingerprint().into(),
            images: splits.map(|split| dataset.len(split)),
            bytes: bytes.try_into().ok(),
            start,
        }
    }

    /// What the run in that folder was started with; none if it is older than this file.
    ///
    /// # Errors
    /// A file that cannot be read, or is not what [`Inputs::write`] writes.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let read = serde_json::from_slice(&text);
        read.map(Some).map_err(|error| Error::Folder {
            path,
            message: format!("{error}; remove it to go on without comparing images"),
        })
    }

    /// Notes them in a run folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        Ok(write_atomically(folder.join(FILE), |out| {
            out.write_all(&text)
        })?)
    }

    /// What differs on a data set of today, in words; nothing if all is as it was. The model is looked at where it was: if
    /// it is gone, nothing is said of it, since the run does not read it again.
    pub fn changes(&self, dataset: &Dataset) -> Vec<String> {
        let now = Self::of(dataset, None);
        let mut changes = Vec::new();
        if now.images != self.images {
            let [train, val, test] = self.images;
            let [train_now, val_now, test_now] = now.images;
            changes.push(format!(
                "it was started with {train} images to train on, {val} to validate on and {test} to test on, now there are \
                 {train_now}, {val_now} and {test_now}"
            ));
        } else if now.data != self.data || (self.bytes.is_some() && now.bytes != self.bytes) {
            changes.push(
                "there are as many images as at its start, but their pixels, classes or splits are others".into(),
            );
        }
        if let Some(start) = &self.start {
            let found = Origin::at(&start.path);
            if found.is_ok_and(|found| found.learngene != start.learngene) {
                changes.push(format!(
                    "the model it was started from, {}, is another one now (the run goes on from its own weights)",
                    start.path.display()
                ));
            }
        }
        changes
    }
}
