//! Weights of other programs in a folder: one file, or several and the index that says which tensor lies in which.
//!
//! An index may come from anyone: it can only name files that lie beside it, by a bare name, and must tell the truth about
//! every tensor of every one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use crate::container::{self, MAX_HEADER_BYTES, TensorEntry};
use crate::error::{FormatError, Result};
use crate::json_header::{UniqueStrings, require_light};
use crate::torch;

#[derive(Deserialize)]
struct Index {
    weight_map: UniqueStrings,
}

/// The tensors of `STEM.safetensors` in `folder`, of all files that `STEM.safetensors.index.json` names, or of `STEM.bin`,
/// which older versions write with `torch.save`.
///
/// # Errors
/// [`FormatError::Foreign`] if there is none of them, or an index that is not true; those of [`container::read`].
pub fn read(folder: &Path, stem: &str) -> Result<BTreeMap<String, TensorEntry>> {
    let single = folder.join(format!("{stem}.safetensors"));
    let index = folder.join(format!("{stem}.safetensors.index.json"));
    if single.exists() {
        return Ok(container::read(single)?.tensors);
    }
    if index.exists() {
        return sharded(folder, &index);
    }
    let pickled = folder.join(format!("{stem}.bin"));
    if pickled.exists() {
        return torch::read(&pickled, None);
    }
    let reason =
        format!("expected {stem}.safetensors, {stem}.safetensors.index.json or {stem}.bin in it");
    Err(FormatError::foreign(folder, reason))
}

/// A JSON file of another program, no larger than a header may be.
///
/// # Errors
/// [`FormatError::Foreign`] if it is no such JSON, [`FormatError::NotAFile`] or [`FormatError::Io`].
pub fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let (file, length) = container::open(path)?;
    if length > MAX_HEADER_BYTES {
        let reason = format!("{length} bytes are too many for a description of weights");
        return Err(FormatError::foreign(path, reason));
    }
    let mut bytes = Vec::new();
    file.take(length)
        .read_to_end(&mut bytes)
        .map_err(|source| FormatError::io("read", path, source))?;
    require_light(&bytes).map_err(|reason| FormatError::foreign(path, reason))?;
    serde_json::from_slice(&bytes).map_err(|e| FormatError::foreign(path, e.to_string()))
}

fn sharded(folder: &Path, index: &Path) -> Result<BTreeMap<String, TensorEntry>> {
    let map = read_json::<Index>(index)?.weight_map.0;
    let files: BTreeSet<&String> = map.values().collect();
    let mut tensors = BTreeMap::new();
    for file in files {
        if Path::new(file).file_name() != Some(file.as_ref()) {
            let reason = format!("it names `{file}`, expected a file beside it by its bare name");
            return Err(FormatError::foreign(index, reason));
        }
        for (name, tensor) in container::read(folder.join(file))?.tensors {
            if map.get(&name) != Some(file) {
                let reason = format!("tensor `{name}` lies in {file}, of which it does not say so");
                return Err(FormatError::foreign(index, reason));
            }
            tensors.insert(name, tensor);
        }
    }
    if let Some((name, file)) = map.iter().find(|(name, _)| !tensors.contains_key(*name)) {
        let reason = format!("tensor `{name}` does not lie in {file}, as it says");
        return Err(FormatError::foreign(index, reason));
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Contents;
    use std::fs;

    fn shard(folder: &Path, file: &str, names: &[&str]) {
        let entry = |name: &&str| {
            let tensor = TensorEntry {
                shape: vec![1],
                values: vec![name.len() as f32],
            };
            ((*name).to_owned(), tensor)
        };
        let contents = Contents {
            tensors: names.iter().map(entry).collect(),
            ..Contents::default()
        };
        container::write(folder.join(file), &contents).unwrap();
    }

    fn refused(folder: &Path, index: &str, part: &str) {
        fs::write(folder.join("w.safetensors.index.json"), index).unwrap();
        let error = read(folder, "w").unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn shards_are_read_as_one_and_an_index_must_be_true() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let nothing = read(folder, "w").unwrap_err().to_string();
        assert!(nothing.contains("expected w.safetensors, w"), "{nothing}");
        shard(folder, "1.safetensors", &["a", "bb"]);
        shard(folder, "2.safetensors", &["ccc"]);
        let index = r#"{"metadata": {"total_size": 12}, "weight_map":
            {"a": "1.safetensors", "bb": "1.safetensors", "ccc": "2.safetensors"}}"#;
        fs::write(folder.join("w.safetensors.index.json"), index).unwrap();
        let tensors = read(folder, "w").unwrap();
        assert_eq!(tensors.len(), 3);
        assert_eq!(tensors["ccc"].values, [3.0]);

        refused(folder, &index.replace("\"bb\"", "\"b\""), "does not say so");
        refused(
            folder,
            &index.replace("ccc\": \"2", "ccc\": \"1"),
            "`ccc` does not lie in",
        );
        refused(
            folder,
            &index.replace("\"bb\"", "\"a\""),
            "stands there twice",
        );
        for path in ["../1.safetensors", "/etc/passwd", "", ".."] {
            refused(
                folder,
                &index.replace("2.safetensors", path),
                "by its bare name",
            );
        }
    }
}
