//! Weights of other programs in a folder: one file, or several and the index that says which tensor lies in which.
//!
//! An index may come from anyone: it can only name files that lie beside it, by a bare name, and must tell the truth about
//! every tensor of every one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::container::{self, MAX_HEADER_BYTES, TensorEntry};
use crate::error::{FormatError, Result};
use crate::json_header::{UniqueStrings, require_light};
use crate::python_json::with_constants_as_texts;
use crate::torch;

#[derive(Deserialize)]
struct Index {
    weight_map: UniqueStrings,
}

/// The weights of one model in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    /// The file, or the index of several.
    path: PathBuf,
    is_index: bool,
    /// The word in the middle of its name, such as `fp16`, if there are none without.
    pub variant: Option<String>,
}

/// Entries of a folder that are looked through for variants.
const MOST_ENTRIES: usize = 10_000;

impl Weights {
    /// Those called `stem` in `folder`, if there are any: an index before a single file, as diffusers takes them, unless the
    /// index names files that are gone; safetensors before what `torch.save` wrote; and only if there are none of these the
    /// files of a variant.
    ///
    /// # Errors
    /// [`FormatError::Foreign`] for several variants, [`FormatError::Io`].
    pub fn find(folder: &Path, stem: &str) -> Result<Option<Self>> {
        for end in ["safetensors", "bin"] {
            for (name, is_index) in [
                (format!("{stem}.{end}.index.json"), true),
                (format!("{stem}.{end}"), false),
            ] {
                let path = folder.join(name);
                let single = folder.join(format!("{stem}.{end}"));
                let is_left_behind = is_index && single.exists() && is_left_behind(&path);
                if path.exists() && !is_left_behind {
                    return Ok(Some(Self {
                        path,
                        is_index,
                        variant: None,
                    }));
                }
            }
        }
        let mut found = Vec::new();
        let entries = fs::read_dir(folder).map(|entries| entries.take(MOST_ENTRIES));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            if let Some((variant, is_index)) = name.to_str().and_then(|n| variant_of(n, stem)) {
                found.push((variant.to_owned(), !is_index, entry.path()));
            }
        }
        found.sort();
        let variants: BTreeSet<&str> = found.iter().map(|(variant, ..)| variant.as_str()).collect();
        if variants.len() > 1 {
            let names: Vec<&str> = variants.into_iter().collect();
            let reason = format!(
                "it has {stem} in the variants {} and in none without a name: give the file that is meant",
                names.join(", ")
            );
            return Err(FormatError::foreign(folder, reason));
        }
        let first = found.into_iter().next();
        Ok(first.map(|(variant, is_single, path)| Self {
            path,
            is_index: !is_single,
            variant: Some(variant),
        }))
    }

    /// One file, or the index of several.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            is_index: path.extension().is_some_and(|end| end == "json"),
            variant: None,
        }
    }

    /// Where the file or the index lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All tensors.
    ///
    /// # Errors
    /// [`FormatError::Foreign`] for an index that is not true; those of [`container::read`] and [`torch::read`].
    pub fn read(&self) -> Result<BTreeMap<String, TensorEntry>> {
        match self.is_index {
            true => sharded(&self.path),
            false => read_file(&self.path),
        }
    }
}

/// Whether an index names a file that is not there: diffusers takes shards away, and leaves their index, when it saves the
/// model again in one file.
fn is_left_behind(index: &Path) -> bool {
    let map = read_json::<Index>(index).map(|index| index.weight_map.0);
    let mut files = map.into_iter().flat_map(BTreeMap::into_values);
    files.any(|file| !index.with_file_name(file).exists())
}

/// The variant that is called so, and whether the file is an index.
fn variant_of<'a>(name: &'a str, stem: &str) -> Option<(&'a str, bool)> {
    let rest = name.strip_prefix(stem)?.strip_prefix('.')?;
    let parts: Vec<&str> = rest.split('.').collect();
    let (variant, is_index) = match parts[..] {
        [variant, "safetensors" | "bin"] => (variant, false),
        ["safetensors" | "bin", "index", variant, "json"]
        | ["safetensors" | "bin", variant, "index", "json"] => (variant, true),
        _ => return None,
    };
    (!variant.contains("-of-")).then_some((variant, is_index))
}

/// The tensors of `STEM.safetensors` in `folder`, of all files that `STEM.safetensors.index.json` names, or of the same
/// with `.bin`, which older versions write with `torch.save`: see [`Weights::find`].
///
/// # Errors
/// [`FormatError::Foreign`] if there is none of them, or an index that is not true; those of [`container::read`].
pub fn read(folder: &Path, stem: &str) -> Result<BTreeMap<String, TensorEntry>> {
    required(folder, stem)?.read()
}

/// The weights called `stem` in `folder`.
///
/// # Errors
/// [`FormatError::Foreign`] if there are none or several; [`FormatError::Io`].
pub fn required(folder: &Path, stem: &str) -> Result<Weights> {
    Weights::find(folder, stem)?.ok_or_else(|| {
        let reason = format!(
            "expected {stem}.safetensors, {stem}.safetensors.index.json or {stem}.bin in it"
        );
        FormatError::foreign(folder, reason)
    })
}

fn read_file(path: &Path) -> Result<BTreeMap<String, TensorEntry>> {
    match torch::is_one(path)? {
        true => torch::read(path, None),
        false => Ok(container::read(path)?.tensors),
    }
}

/// A JSON file of another program, no larger than a header may be. Numbers that are not finite, as Python writes them, are
/// texts.
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
    let bytes = with_constants_as_texts(bytes);
    require_light(&bytes).map_err(|reason| FormatError::foreign(path, reason))?;
    serde_json::from_slice(&bytes).map_err(|e| FormatError::foreign(path, e.to_string()))
}

fn sharded(index: &Path) -> Result<BTreeMap<String, TensorEntry>> {
    let map = read_json::<Index>(index)?.weight_map.0;
    let files: BTreeSet<&String> = map.values().collect();
    let mut tensors = BTreeMap::new();
    for file in files {
        if Path::new(file).file_name() != Some(file.as_ref()) {
            let reason = format!("it names `{file}`, expected a file beside it by its bare name");
            return Err(FormatError::foreign(index, reason));
        }
        for (name, tensor) in read_file(&index.with_file_name(file))? {
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

    #[test]
    fn of_several_that_are_there_the_one_that_diffusers_takes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let names = || -> Vec<String> { read(folder, "w").unwrap().into_keys().collect() };
        // Names as `save_pretrained(..., variant="fp16")` of diffusers 0.42.1 gives them.
        shard(folder, "w.fp16.safetensors", &["variant"]);
        assert_eq!(names(), ["variant"]);
        let found = Weights::find(folder, "w").unwrap().unwrap();
        assert_eq!(found.variant.as_deref(), Some("fp16"));
        shard(folder, "w.fp16-00001-of-00001.safetensors", &["sharded"]);
        let index = r#"{"weight_map": {"sharded": "w.fp16-00001-of-00001.safetensors"}}"#;
        fs::write(folder.join("w.safetensors.index.fp16.json"), index).unwrap();
        assert_eq!(names(), ["sharded"]);
        shard(folder, "w.ema.safetensors", &["variant"]);
        let several = read(folder, "w").unwrap_err().to_string();
        assert!(several.contains("in the variants ema, fp16"), "{several}");
        let state = [(
            "pickled".to_owned(),
            TensorEntry {
                shape: vec![],
                values: vec![1.0],
            },
        )];
        torch::write(folder.join("w.bin"), &state.into()).unwrap();
        assert_eq!(names(), ["pickled"]);
        let state = [(
            "part".to_owned(),
            TensorEntry {
                shape: vec![],
                values: vec![1.0],
            },
        )];
        torch::write(folder.join("w-00001-of-00001.bin"), &state.into()).unwrap();
        let index = r#"{"weight_map": {"part": "w-00001-of-00001.bin"}}"#;
        fs::write(folder.join("w.bin.index.json"), index).unwrap();
        assert_eq!(names(), ["part"]);
        shard(folder, "w.safetensors", &["whole"]);
        assert_eq!(names(), ["whole"]);
        shard(folder, "w-00001-of-00001.safetensors", &["shards"]);
        let index = r#"{"weight_map": {"shards": "w-00001-of-00001.safetensors"}}"#;
        fs::write(folder.join("w.safetensors.index.json"), index).unwrap();
        assert_eq!(names(), ["shards"]);
        // What is left when diffusers 0.42.1 saves in shards and then in one file.
        fs::remove_file(folder.join("w-00001-of-00001.safetensors")).unwrap();
        assert_eq!(names(), ["whole"]);
    }
}
