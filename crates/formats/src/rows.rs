//! Safetensors files of which a sample at a time is wanted: tensors whose outermost size counts samples, read row by row
//! from their places.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorInfo;

use crate::error::{FormatError, Result};
use crate::{container, decode};

/// A file whose header was read and whose values are still where they are.
#[derive(Debug)]
pub struct Rows {
    path: PathBuf,
    tensors: BTreeMap<String, Place>,
}

/// Where the values of a tensor are.
#[derive(Debug)]
struct Place {
    info: TensorInfo,
    /// The first byte of the file that is theirs.
    at: u64,
}

impl Rows {
    /// Reads the header, which is checked as in [`container::read`], and its metadata.
    ///
    /// # Errors
    /// As [`container::read`].
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, BTreeMap<String, String>)> {
        let path = path.as_ref();
        let (mut file, length) = container::open(path)?;
        let layout = container::read_layout(&mut file, length, path)?;
        let first = length - layout.tensors.data_len() as u64;
        let place = |name: String| {
            let info = layout.tensors.info(&name)?.clone();
            let at = first + info.data_offsets.0 as u64;
            Some((name, Place { info, at }))
        };
        let rows = Self {
            path: path.to_path_buf(),
            tensors: (layout.tensors.offset_keys().into_iter())
                .filter_map(place)
                .collect(),
        };
        Ok((rows, layout.metadata))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sizes of a tensor, outermost first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.tensors.get(name)?.info.shape)
    }

    /// Row `row` of each of these tensors, one after another.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] for a tensor or a row that the file does not have; [`FormatError::Dtype`],
    /// [`FormatError::Io`].
    pub fn read(&self, names: &[&str], row: usize) -> Result<Vec<f32>> {
        let failed = |source| FormatError::io("read", &self.path, source);
        let mut file = File::open(&self.path).map_err(failed)?;
        let mut values = Vec::new();
        let mut bytes = Vec::new();
        for name in names {
            let found = self.tensors.get(*name);
            let Some((place, count)) = found
                .and_then(|place| Some((place, *place.info.shape.first()?)))
                .filter(|(_, count)| row < *count)
            else {
                let reason = format!("expected row {row} of a tensor `{name}`");
                return Err(FormatError::malformed(&self.path, reason));
            };
            let (start, end) = place.info.data_offsets;
            let length = (end - start) / count;
            bytes.resize(length, 0);
            let at = place.at + (row * length) as u64;
            file.seek(SeekFrom::Start(at)).map_err(failed)?;
            file.read_exact(&mut bytes).map_err(failed)?;
            let row = decode::values(place.info.dtype, &bytes, name, &self.path)?;
            values.extend(row);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::{Contents, TensorEntry};

    #[test]
    fn a_row_is_that_of_the_whole_tensor_and_what_is_not_there_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let entry = |shape: [usize; 2], from: usize| TensorEntry {
            shape: shape.to_vec(),
            values: (from..from + shape[0] * shape[1])
                .map(|n| n as f32)
                .collect(),
        };
        let tensors = [("a", entry([3, 2], 0)), ("b", entry([2, 5], 100))];
        let scalar = TensorEntry {
            shape: Vec::new(),
            values: vec![7.0],
        };
        let tensors = tensors.into_iter().chain([("c", scalar)]);
        let contents = Contents {
            metadata: [("key".to_owned(), "value".to_owned())].into(),
            tensors: (tensors.map(|(name, one)| (name.to_owned(), one))).collect(),
        };
        container::write(&path, &contents).unwrap();
        let (rows, metadata) = Rows::open(&path).unwrap();
        assert_eq!(metadata, contents.metadata);
        assert_eq!(rows.shape("b"), Some(&[2, 5][..]));
        assert_eq!(rows.read(&["a"], 2).unwrap(), [4.0, 5.0]);
        assert_eq!(
            rows.read(&["b", "a"], 1).unwrap(),
            [105.0, 106.0, 107.0, 108.0, 109.0, 2.0, 3.0]
        );
        for (names, row) in [(["a", "b"], 2), (["d", "a"], 0), (["a", "c"], 0)] {
            let error = rows.read(&names, row).unwrap_err().to_string();
            assert!(error.contains("expected row"), "{error}");
        }
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 20]).unwrap();
        assert!(rows.read(&["b"], 1).is_err());
        assert!(Rows::open(&path).is_err());
    }
}
