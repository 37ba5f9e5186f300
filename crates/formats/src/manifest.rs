//! `manifest.json`: what a checkpoint folder must contain, to the bit.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::container;
use crate::error::{FormatError, Result};

/// The manifest's name in its folder.
pub const MANIFEST_NAME: &str = "manifest.json";
/// The version written, and the only one read.
const MANIFEST_VERSION: u32 = 1;
/// A manifest is a few lines; a longer file is not one.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Size and checksum of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Length in bytes.
    pub bytes: u64,
    /// BLAKE3 of the contents, 64 hex digits.
    pub blake3: String,
}

/// The contents of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    version: u32,
    /// Optimiser steps done.
    pub step: u64,
    /// What [`crate::Retention::best`] compares, lower being better.
    pub metric: Option<f64>,
    /// The files by name.
    pub files: BTreeMap<String, FileRecord>,
}

/// The manifest with a checksum of its own, so that a flipped bit in a step or metric shows as well.
#[derive(Serialize, Deserialize)]
struct Sealed {
    manifest: Manifest,
    blake3: String,
}

impl Manifest {
    /// A metric that is not finite cannot be ranked and is recorded as none.
    pub(crate) fn new(step: u64, metric: Option<f64>, files: BTreeMap<String, FileRecord>) -> Self {
        Self {
            version: MANIFEST_VERSION,
            step,
            metric: metric.filter(|value| value.is_finite()),
            files,
        }
    }

    /// The bytes of the file, the same for equal manifests.
    pub(crate) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let sealed = Sealed {
            manifest: self.clone(),
            blake3: blake3::hash(&serde_json::to_vec(self)?)
                .to_hex()
                .to_string(),
        };
        let mut bytes = serde_json::to_vec_pretty(&sealed)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads the manifest of `folder` and checks it against itself.
    pub fn read(folder: &Path) -> Result<Self> {
        let damaged = |reason: String| FormatError::Damaged {
            path: folder.to_path_buf(),
            reason: format!("{MANIFEST_NAME}: {reason}"),
        };
        let path = folder.join(MANIFEST_NAME);
        let (file, length) = container::open(&path).map_err(|error| damaged(error.to_string()))?;
        if length > MAX_MANIFEST_BYTES {
            return Err(damaged(format!("{length} bytes are too many")));
        }
        let mut bytes = Vec::new();
        file.take(MAX_MANIFEST_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|source| FormatError::io("read", &path, source))?;
        let sealed: Sealed =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let manifest = sealed.manifest;
        if manifest.version != MANIFEST_VERSION {
            let found = manifest.version;
            return Err(damaged(format!(
                "version {found}, expected {MANIFEST_VERSION}"
            )));
        }
        // Comparing the bytes finds what parsing forgives: unknown fields, white space, fields that stand twice.
        if !manifest.encode().is_ok_and(|expected| expected == bytes) {
            return Err(damaged("its checksum does not hold".into()));
        }
        if let Some(name) = manifest.files.keys().find(|name| !is_plain_name(name)) {
            return Err(damaged(format!("`{name}` is no file name")));
        }
        Ok(manifest)
    }

    /// Checks that every file is there with its length; reads no contents.
    pub(crate) fn check_lengths(&self, folder: &Path) -> Result<()> {
        self.files.iter().try_for_each(|(name, record)| {
            let path = folder.join(name);
            let found = match fs::metadata(&path) {
                Ok(found) if found.is_file() => found.len(),
                Ok(_) => return Err(damaged(folder, name, "it is not a regular file".into())),
                Err(error) => return Err(damaged(folder, name, error.to_string())),
            };
            if found == record.bytes {
                return Ok(());
            }
            Err(damaged(
                folder,
                name,
                format!("{found} bytes, expected {}", record.bytes),
            ))
        })
    }

    /// Checks length and checksum of every file.
    pub(crate) fn check_contents(&self, folder: &Path) -> Result<()> {
        self.check_lengths(folder)?;
        self.files.iter().try_for_each(|(name, record)| {
            let path: PathBuf = folder.join(name);
            let mut hasher = blake3::Hasher::new();
            container::open(&path)
                .map_err(|error| error.to_string())
                .and_then(|(file, _)| {
                    hasher
                        .update_reader(file)
                        .map_err(|error| error.to_string())
                })
                .map_err(|reason| damaged(folder, name, reason))?;
            if hasher.finalize().to_hex().as_str() == record.blake3 {
                return Ok(());
            }
            Err(damaged(folder, name, "its checksum does not hold".into()))
        })
    }
}

/// True for a name that stays inside its folder.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(only)), None) if only == name
    )
}

fn damaged(folder: &Path, name: &str, reason: String) -> FormatError {
    FormatError::Damaged {
        path: folder.to_path_buf(),
        reason: format!("{name}: {reason}"),
    }
}
