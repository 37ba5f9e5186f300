//! Weight files: a safetensors file that says by itself what it is.
//!
//! The metadata hold `format_version`, `kind`, `config` (the whole config as JSON), `class_names` (a JSON array), for a
//! tailor or adapter `learngene_blake3`, and any further strings under names of the caller's choice. So a model file
//! needs no side file, and any safetensors reader can still open it. What a hostile file can and cannot do is said in
//! [`crate::container`].

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::atomic::write_atomically;
use crate::container::{self, Contents};
pub use crate::container::{TensorEntry, TensorSource};
use crate::error::{FormatError, Mismatch, Result};
use crate::header::{Header, Kind};

/// A header and its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightFile {
    /// What the file says about itself.
    pub header: Header,
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorEntry>,
    /// Where it was read from, for errors.
    path: PathBuf,
}

impl WeightFile {
    /// A weight file that is not on disk yet.
    pub fn new(header: Header, tensors: BTreeMap<String, TensorEntry>) -> Self {
        Self {
            header,
            tensors,
            path: PathBuf::from("(not yet written)"),
        }
    }

    /// Reads and checks the whole file. F16, BF16 and F64 tensors are converted.
    ///
    /// # Errors
    /// [`FormatError::Malformed`], [`FormatError::Dtype`], [`FormatError::NotLearngene`],
    /// [`FormatError::NewerVersion`], [`FormatError::Metadata`], [`FormatError::NotAFile`], [`FormatError::Io`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        // The header first: a model of a newer version must say so, whatever its tensors look like.
        Header::read(path)?;
        Self::from_contents(container::read(path)?, path)
    }

    /// [`WeightFile::read`] of bytes in memory; errors call them `path`.
    ///
    /// # Errors
    /// As [`WeightFile::read`].
    pub fn from_bytes(mut bytes: &[u8], path: impl AsRef<Path>) -> Result<Self> {
        let (path, length) = (path.as_ref(), bytes.len() as u64);
        Self::from_contents(container::read_from(&mut bytes, length, path)?, path)
    }

    fn from_contents(contents: Contents, path: &Path) -> Result<Self> {
        Ok(Self {
            header: Header::from_metadata(contents.metadata, path)?,
            tensors: contents.tensors,
            path: path.to_path_buf(),
        })
    }

    /// The bytes of the file; equal contents give equal bytes.
    ///
    /// # Errors
    /// [`FormatError::ValueCount`] or [`FormatError::Name`] for contents that cannot be stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.writer()?.to_bytes()
    }

    /// Writes `path` atomically.
    ///
    /// # Errors
    /// Those of [`WeightFile::to_bytes`] and [`write_atomically`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        self.writer()?.write(path)
    }

    /// Streams the file into `out`, as the closures of [`crate::CheckpointWriter::save`] need it.
    ///
    /// # Errors
    /// That of `out`, or one wrapping those of [`WeightFile::to_bytes`].
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        self.writer().map_err(io::Error::other)?.write_to(out)
    }

    fn writer(&self) -> Result<WeightWriter<'_>> {
        container::require_counts(&self.tensors)?;
        Ok(WeightWriter::new(
            self.header.clone(),
            container::lent(&self.tensors),
        ))
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the tensors are exactly those `expected`, by name and shape.
    ///
    /// # Errors
    /// [`FormatError::Tensors`] with every missing, unexpected and mis-shaped tensor.
    pub fn check_strict(&self, expected: &BTreeMap<String, Vec<usize>>) -> Result<()> {
        Mismatch::between(&self.tensors, expected).refuse(&self.path)
    }

    /// Checks that the file is of the given kind.
    ///
    /// # Errors
    /// [`FormatError::Kind`] with both kinds.
    pub fn require_kind(&self, expected: Kind) -> Result<()> {
        if self.header.kind == expected {
            return Ok(());
        }
        Err(FormatError::Kind {
            path: self.path.clone(),
            expected: expected.to_string(),
            found: self.header.kind.to_string(),
        })
    }

    /// Checks that the file belongs to the learngene of this [`fingerprint`].
    ///
    /// # Errors
    /// [`FormatError::Learngene`] with both fingerprints.
    pub fn require_learngene(&self, expected: &str) -> Result<()> {
        let found = self.header.learngene.as_deref();
        if found == Some(expected) {
            return Ok(());
        }
        Err(FormatError::Learngene {
            path: self.path.clone(),
            expected: expected.to_owned(),
            found: found.unwrap_or("none").to_owned(),
        })
    }
}

/// A weight file that is written, of tensors that need not be in memory all at once.
pub struct WeightWriter<'a> {
    /// What the file says about itself.
    pub header: Header,
    tensors: BTreeMap<String, TensorSource<'a>>,
}

impl<'a> WeightWriter<'a> {
    /// A file of these tensors.
    pub fn new(header: Header, tensors: BTreeMap<String, TensorSource<'a>>) -> Self {
        Self { header, tensors }
    }

    /// The bytes of the file; equal contents give equal bytes.
    ///
    /// # Errors
    /// [`FormatError::Name`] for contents that cannot be stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let written = self.write_to(&mut bytes);
        written.map_err(|source| FormatError::io("write", Path::new("(memory)"), source))?;
        Ok(bytes)
    }

    /// Writes `path` atomically.
    ///
    /// # Errors
    /// Those of [`WeightWriter::to_bytes`] and [`write_atomically`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let header = self.encode_header()?;
        write_atomically(path, |file| {
            file.write_all(&header)?;
            container::write_values(&self.tensors, file)
        })
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// Those of [`WeightWriter::to_bytes`].
    pub fn size(&self) -> Result<u64> {
        // Which also finds that the products below are no larger than a file can be.
        let header = self.encode_header()?.len();
        let count = |t: &TensorSource<'_>| t.shape.iter().product::<usize>() * size_of::<f32>();
        let values: usize = self.tensors.values().map(count).sum();
        Ok((header + values) as u64)
    }

    /// Streams the file into `out`, as the closures of [`crate::CheckpointWriter::save`] need it.
    ///
    /// # Errors
    /// That of `out`, or one wrapping those of [`WeightWriter::to_bytes`].
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.encode_header().map_err(io::Error::other)?)?;
        container::write_values(&self.tensors, out)
    }

    fn encode_header(&self) -> Result<Vec<u8>> {
        container::encode_header(&self.header.to_metadata()?, &self.tensors)
    }
}

/// BLAKE3 (64 hex digits) over the tensors in the order of their names: for each the length of its name, its name, its
/// rank, its sizes (all lengths as little-endian u64) and its values as little-endian f32. Equal exactly when names,
/// shapes and bits are equal, in whatever order they are given. It names a learngene.
pub fn fingerprint<'a>(tensors: impl IntoIterator<Item = (&'a String, &'a TensorEntry)>) -> String {
    let lend = |(name, t): (&'a String, &'a TensorEntry)| {
        (name.clone(), TensorSource::lent(t.shape.clone(), &t.values))
    };
    fingerprint_of(&tensors.into_iter().map(lend).collect())
}

/// [`fingerprint`] of tensors that need not be in memory all at once.
pub fn fingerprint_of(tensors: &BTreeMap<String, TensorSource<'_>>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = Vec::new();
    for (name, tensor) in tensors {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(tensor.shape.len() as u64).to_le_bytes());
        for &size in &tensor.shape {
            hasher.update(&(size as u64).to_le_bytes());
        }
        bytes.clear();
        bytes.extend(tensor.values().iter().flat_map(|value| value.to_le_bytes()));
        hasher.update(&bytes);
    }
    hasher.finalize().to_hex().to_string()
}
