//! The one error type of this crate. Every text names the file and says what to do next.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};

use crate::container::TensorEntry;

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, FormatError>;

/// Why a weight file or a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb: `read`, `write`, `rename`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The disk or the quota is full.
    #[error(
        "no space left to write {}: free some disk space or choose another folder, then resume; \
         earlier files are unchanged ({source})", path.display()
    )]
    StorageFull {
        /// The file that could not be written.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A folder, device or pipe stands where a file belongs.
    #[error("{} is not a regular file: give the path of a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A folder that is to be made and holds something.
    #[error("{} holds something; choose another folder", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The bytes are no valid safetensors file.
    #[error("{} is not a valid safetensors file: {reason}; it may be cut short or damaged, fetch or write it again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that should hold images as ADM's evaluation reads them.
    #[error("{} is not usable as an image archive (.npz): {reason}; expected are `arr_0`, uint8 [n, height, width, channels], and perhaps `arr_1`, a class number for each", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights of another program that cannot be read.
    #[error("cannot read weights from {}: {reason}", path.display())]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// Why not, and what would be read.
        reason: String,
    },
    /// A valid safetensors file that this project did not write.
    #[error("{} is a safetensors file without learngene metadata: it was written by another program and has to be imported first (`learngene import`)", path.display())]
    NotLearngene {
        /// The file.
        path: PathBuf,
    },
    /// The file comes from a later version of this program.
    #[error("{} has format version {found}, this program reads up to {supported}: upgrade learngene to read it", path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// The version it names.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },
    /// A metadata entry is missing or makes no sense.
    #[error("{} has unusable metadata `{key}`: {reason}; write the file again", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The metadata key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor is stored in a type that is not a float.
    #[error("{}: tensor `{tensor}` has type {dtype}, expected F32, F16, BF16 or F64: convert it first", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type by safetensors' name.
        dtype: String,
    },
    /// A tensor handed over for writing holds more or fewer values than its shape says.
    #[error(
        "tensor `{tensor}` of shape {shape:?} was given {found} values: this is a mistake in the calling code"
    )]
    ValueCount {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// How many values came with it.
        found: usize,
    },
    /// A header or tensor cannot be stored under the given name.
    #[error("`{name}` cannot be stored: {reason}")]
    Name {
        /// The offending name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The tensors in the file are not those of the model that is to hold them.
    #[error("{} does not fit the model: {mismatch}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Everything that differs.
        mismatch: Mismatch,
    },
    /// The file holds something else than was asked for.
    #[error("{} holds {found}, expected {expected}: give a file of that kind", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The kind asked for.
        expected: String,
        /// The kind found.
        found: String,
    },
    /// A tailor or adapter that was trained on another learngene.
    #[error(
        "{} belongs to learngene {found}, but this is learngene {expected}: use the learngene it was trained with, or train it again on this one",
        path.display()
    )]
    Learngene {
        /// The file.
        path: PathBuf,
        /// The fingerprint of the learngene at hand.
        expected: String,
        /// The fingerprint in the file, or `none`.
        found: String,
    },
    /// Another process writes into the same folder.
    #[error("{} is in use by another run: wait for it to end or choose another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A checkpoint is incomplete or its checksums do not hold.
    #[error("checkpoint {} is damaged: {reason}; use an earlier one", path.display())]
    Damaged {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl FormatError {
    /// Wraps an I/O error; a full disk or quota becomes [`FormatError::StorageFull`].
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::StorageFull { path, source }
            }
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }

    pub(crate) fn foreign(path: &Path, reason: impl Into<String>) -> Self {
        Self::Foreign {
            path: path.to_path_buf(),
            reason: reason.into(),
        }
    }

    pub(crate) fn malformed(path: &Path, reason: impl Display) -> Self {
        Self::Malformed {
            path: path.to_path_buf(),
            reason: reason.to_string(),
        }
    }
}

/// How the tensors of a file differ from those expected; every difference is listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Expected and not there.
    pub missing: Vec<String>,
    /// There and not expected.
    pub unexpected: Vec<String>,
    /// `(name, expected shape, found shape)`.
    pub misshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    /// How the tensors differ from those of the expected names and shapes.
    pub fn between(
        tensors: &BTreeMap<String, TensorEntry>,
        expected: &BTreeMap<String, Vec<usize>>,
    ) -> Self {
        let shape = |(name, tensor): (&String, &TensorEntry)| (name.clone(), tensor.shape.clone());
        Self::between_shapes(&tensors.iter().map(shape).collect(), expected)
    }

    /// How shapes differ from those expected.
    pub fn between_shapes(
        tensors: &BTreeMap<String, Vec<usize>>,
        expected: &BTreeMap<String, Vec<usize>>,
    ) -> Self {
        let mut mismatch = Self::default();
        for (name, shape) in expected {
            match tensors.get(name) {
                None => mismatch.missing.push(name.clone()),
                Some(found) if found != shape => {
                    let difference = (name.clone(), shape.clone(), found.clone());
                    mismatch.misshaped.push(difference);
                }
                Some(_) => {}
            }
        }
        let extra = tensors.keys().filter(|name| !expected.contains_key(*name));
        mismatch.unexpected.extend(extra.cloned());
        mismatch
    }

    /// An error about the file at `path` if anything differs.
    ///
    /// # Errors
    /// [`FormatError::Tensors`].
    pub fn refuse(self, path: &Path) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        Err(FormatError::Tensors {
            path: path.to_path_buf(),
            mismatch: self,
        })
    }

    /// True when nothing differs.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misshaped.is_empty()
    }
}

impl Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if !self.missing.is_empty() {
            write!(
                f,
                "missing {}: {}",
                self.missing.len(),
                self.missing.join(", ")
            )?;
            separator = "; ";
        }
        if !self.unexpected.is_empty() {
            let names = self.unexpected.join(", ");
            write!(
                f,
                "{separator}unexpected {}: {names}",
                self.unexpected.len()
            )?;
            separator = "; ";
        }
        if !self.misshaped.is_empty() {
            write!(f, "{separator}wrong shape {}: ", self.misshaped.len())?;
            for (index, (name, expected, found)) in self.misshaped.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{name} expected {expected:?} found {found:?}")?;
            }
        }
        Ok(())
    }
}
