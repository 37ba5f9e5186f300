//! The safetensors container: 8 bytes of header length, a JSON header, the tensors' bytes end to end.
//!
//! # Threat model
//! A file may come from anyone. Reading one never panics, never runs code, never allocates more than a small multiple
//! of the file's own size, and gives an error that names the file. In particular:
//!
//! * a header length beyond the file or beyond [`MAX_HEADER_BYTES`] is refused before anything is allocated;
//! * a name that stands twice, in the header or in `__metadata__`, is refused (a plain map would keep the last one, so
//!   two readers could see two different models in one file);
//! * offsets that overlap, leave gaps or do not end with the file, and shapes whose product overflows, are refused;
//!   all but the last of these checks are the `safetensors` crate's;
//! * only regular files are opened, so a pipe cannot stall the reader and a device cannot feed it forever.
//!
//! Values are not judged: a file full of NaN reads as such. Nothing protects against a well-formed file whose weights
//! were chosen to make the model misbehave.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Serialize;

use crate::atomic::write_atomically;
use crate::decode::{self, Take};
use crate::error::{FormatError, Result};
use crate::json_header::{HeaderIn, METADATA_KEY, require_light};

/// Largest header read or written, the limit of the `safetensors` library.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;
const LENGTH_BYTES: u64 = 8;
/// Values encoded between two writes.
const CHUNK_VALUES: usize = 1 << 14;

/// One tensor on its way to or from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorEntry {
    /// Sizes, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Values in row-major order, as many as the product of `shape`.
    pub values: Vec<f32>,
}

/// A tensor on its way to a file: its shape, and its values, which are asked for when their turn comes, so that a file may be
/// larger than the memory that is left.
pub struct TensorSource<'a> {
    /// Sizes, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    values: Box<dyn Fn() -> Cow<'a, [f32]> + 'a>,
}

impl<'a> TensorSource<'a> {
    /// A tensor whose values the function makes: in row-major order, as many as the product of `shape`, the same each time.
    pub fn new(shape: Vec<usize>, values: impl Fn() -> Cow<'a, [f32]> + 'a) -> Self {
        Self {
            shape,
            values: Box::new(values),
        }
    }

    /// A tensor of values that are lent.
    pub fn lent(shape: Vec<usize>, values: &'a [f32]) -> Self {
        Self::new(shape, move || Cow::Borrowed(values))
    }

    /// The values.
    pub fn values(&self) -> Cow<'a, [f32]> {
        (self.values)()
    }
}

/// Those of a file in memory.
pub(crate) fn lent(tensors: &BTreeMap<String, TensorEntry>) -> BTreeMap<String, TensorSource<'_>> {
    let mut sources = BTreeMap::new();
    for (name, TensorEntry { shape, values }) in tensors {
        sources.insert(name.clone(), TensorSource::lent(shape.clone(), values));
    }
    sources
}

/// What a safetensors file holds: its string metadata and its tensors by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contents {
    /// The `__metadata__` entries; empty when the file has none.
    pub metadata: BTreeMap<String, String>,
    /// The tensors.
    pub tensors: BTreeMap<String, TensorEntry>,
}

/// Reads any safetensors file of float tensors, also one of another program.
///
/// # Errors
/// [`FormatError::Malformed`], [`FormatError::Dtype`], [`FormatError::NotAFile`] or [`FormatError::Io`].
pub fn read(path: impl AsRef<Path>) -> Result<Contents> {
    read_taking(path, |_| Take::Floats)
}

/// Reads the tensors as `take` says by their names.
///
/// # Errors
/// As [`read`].
pub fn read_taking(path: impl AsRef<Path>, take: impl Fn(&str) -> Take) -> Result<Contents> {
    let path = path.as_ref();
    let (file, length) = open(path)?;
    read_some(&mut io::BufReader::new(file), length, path, &take)
}

/// Reads the metadata alone. The header is checked as a whole, against the length of the file too.
///
/// # Errors
/// As [`read`].
pub fn read_metadata(path: impl AsRef<Path>) -> Result<BTreeMap<String, String>> {
    let path = path.as_ref();
    let (mut file, length) = open(path)?;
    Ok(read_layout(&mut file, length, path)?.metadata)
}

/// Reads the shapes of the tensors by name, and the metadata. The header is checked as in [`read_metadata`].
///
/// # Errors
/// As [`read`].
pub fn read_shapes(path: impl AsRef<Path>) -> Result<BTreeMap<String, Vec<usize>>> {
    let path = path.as_ref();
    let (mut file, length) = open(path)?;
    let layout = read_layout(&mut file, length, path)?;
    let shape = |(name, info): (String, &TensorInfo)| (name, info.shape.clone());
    Ok(layout.tensors.tensors().into_iter().map(shape).collect())
}

/// Writes a plain safetensors file, as other programs read it, whole or not at all.
///
/// # Errors
/// [`FormatError::ValueCount`] or [`FormatError::Name`] for contents that cannot be stored; those of
/// [`write_atomically`].
pub fn write(path: impl AsRef<Path>, contents: &Contents) -> Result<()> {
    require_counts(&contents.tensors)?;
    let tensors = lent(&contents.tensors);
    let header = encode_header(&contents.metadata, &tensors)?;
    write_atomically(path, |file| {
        file.write_all(&header)?;
        write_values(&tensors, file)
    })
}

/// Reads from `source`, which holds `length` bytes and is called `path` in errors.
pub(crate) fn read_from(source: &mut dyn Read, length: u64, path: &Path) -> Result<Contents> {
    read_some(source, length, path, &|_| Take::Floats)
}

fn read_some(
    source: &mut dyn Read,
    length: u64,
    path: &Path,
    take: &dyn Fn(&str) -> Take,
) -> Result<Contents> {
    let layout = read_layout(source, length, path)?;
    let mut tensors = BTreeMap::new();
    let mut bytes = Vec::new();
    for name in layout.tensors.offset_keys() {
        let Some(info) = layout.tensors.info(&name) else {
            continue;
        };
        let (start, end) = info.data_offsets;
        let taken = take(&name);
        if taken == Take::Nothing {
            let passed = io::copy(&mut source.take((end - start) as u64), &mut io::sink());
            passed.map_err(|source| FormatError::io("read", path, source))?;
            continue;
        }
        bytes.resize(end - start, 0);
        source
            .read_exact(&mut bytes)
            .map_err(|source| FormatError::io("read", path, source))?;
        let values = match taken {
            Take::Numbers => decode::numbers(info.dtype, &bytes, &name, path)?,
            _ => decode::values(info.dtype, &bytes, &name, path)?,
        };
        let shape = info.shape.clone();
        tensors.insert(name, TensorEntry { shape, values });
    }
    Ok(Contents {
        metadata: layout.metadata,
        tensors,
    })
}

/// Refuses tensors that have not as many values as their shape says.
pub(crate) fn require_counts(tensors: &BTreeMap<String, TensorEntry>) -> Result<()> {
    let wrong =
        |(_, tensor): &(&String, &TensorEntry)| count(&tensor.shape) != Some(tensor.values.len());
    match tensors.iter().find(wrong) {
        None => Ok(()),
        Some((name, tensor)) => Err(miscounted(name, &tensor.shape, tensor.values.len())),
    }
}

fn count(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1usize, |n, &size| n.checked_mul(size))
}

fn miscounted(name: &str, shape: &[usize], found: usize) -> FormatError {
    FormatError::ValueCount {
        tensor: name.to_owned(),
        shape: shape.to_owned(),
        found,
    }
}

/// The bytes in front of the tensors: the same for the same arguments, names in sorted order, padded to 8 bytes.
pub(crate) fn encode_header(
    metadata: &BTreeMap<String, String>,
    tensors: &BTreeMap<String, TensorSource<'_>>,
) -> Result<Vec<u8>> {
    let mut infos = BTreeMap::new();
    let mut offset = 0usize;
    for (name, tensor) in tensors {
        if name == METADATA_KEY {
            return Err(unstorable(
                name,
                "a tensor cannot have the name of the metadata",
            ));
        }
        let bytes = count(&tensor.shape).and_then(|n| n.checked_mul(size_of::<f32>()));
        let end = bytes.and_then(|bytes| offset.checked_add(bytes));
        let end = end.ok_or_else(|| unstorable(name, "it has more values than a file can hold"))?;
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: tensor.shape.clone(),
            data_offsets: (offset, end),
        };
        infos.insert(name.as_str(), info);
        offset = end;
    }
    let mut json = serde_json::to_vec(&HeaderOut {
        metadata,
        tensors: infos,
    })
    .map_err(|_| unstorable("header", "it is not representable as JSON"))?;
    json.resize(json.len().next_multiple_of(LENGTH_BYTES as usize), b' ');
    let length = json.len() as u64;
    if length > MAX_HEADER_BYTES {
        return Err(unstorable(
            "header",
            "config, class names and tensor names exceed 100 MB",
        ));
    }
    Ok([&length.to_le_bytes()[..], &json].concat())
}

/// The tensors' bytes, in the order of [`encode_header`], each asked for when its turn comes.
pub(crate) fn write_values(
    tensors: &BTreeMap<String, TensorSource<'_>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (name, tensor) in tensors {
        let values = tensor.values();
        if count(&tensor.shape) != Some(values.len()) {
            return Err(io::Error::other(miscounted(
                name,
                &tensor.shape,
                values.len(),
            )));
        }
        write_floats(&values, out)?;
    }
    Ok(())
}

/// Little-endian f32.
pub(crate) fn write_floats(values: &[f32], out: &mut dyn Write) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(CHUNK_VALUES.min(values.len()) * size_of::<f32>());
    for chunk in values.chunks(CHUNK_VALUES) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    Ok(())
}

pub(crate) fn unstorable(name: &str, reason: &'static str) -> FormatError {
    FormatError::Name {
        name: name.to_owned(),
        reason,
    }
}

/// A regular file and its length in bytes.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    let failed = |source| FormatError::io("read", path, source);
    // Asked before opening, because opening a pipe waits for its other end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(FormatError::NotAFile {
            path: path.to_path_buf(),
        });
    }
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    Ok((file, length))
}

/// A header that was checked against the length of its file.
pub(crate) struct Layout {
    pub metadata: BTreeMap<String, String>,
    pub tensors: Metadata,
}

pub(crate) fn read_layout(source: &mut dyn Read, length: u64, path: &Path) -> Result<Layout> {
    let failed = |source| FormatError::io("read", path, source);
    let malformed = |reason: String| FormatError::malformed(path, reason);
    let Some(after_length) = length.checked_sub(LENGTH_BYTES) else {
        return Err(malformed(format!(
            "{length} bytes are too few to hold a header"
        )));
    };
    let mut header_length = [0; LENGTH_BYTES as usize];
    source.read_exact(&mut header_length).map_err(failed)?;
    let header_length = u64::from_le_bytes(header_length);
    if header_length > MAX_HEADER_BYTES {
        return Err(malformed(format!(
            "its header claims {header_length} bytes, more than the allowed {MAX_HEADER_BYTES}"
        )));
    }
    let Some(data_length) = after_length.checked_sub(header_length) else {
        return Err(malformed(format!(
            "its header claims {header_length} bytes, the file has {after_length} left"
        )));
    };
    let mut json = vec![0; header_length as usize];
    source.read_exact(&mut json).map_err(failed)?;
    require_light(&json).map_err(|reason| malformed(format!("header: {reason}")))?;
    let header: HeaderIn =
        serde_json::from_slice(&json).map_err(|error| malformed(format!("header: {error}")))?;
    let mut tensors = header.tensors;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let tensors = Metadata::new(None, tensors).map_err(|error| malformed(error.to_string()))?;
    let claimed = tensors.data_len();
    if claimed as u64 != data_length {
        return Err(malformed(format!(
            "its tensors take {claimed} bytes, the file has {data_length}"
        )));
    }
    Ok(Layout {
        metadata: header.metadata,
        tensors,
    })
}

#[derive(Serialize)]
struct HeaderOut<'a> {
    #[serde(rename = "__metadata__")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}
