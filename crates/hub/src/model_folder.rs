//! What of a folder is uploaded, and whether it is a model at all.

use crate::error::{Error, Result};
use learngene_formats::{FormatError, Header, Kind};
use std::fs;
use std::path::{Path, PathBuf};

const CARD: &str = "README.md";
const CONFIG: &str = "config.json";
const WEIGHTS: &str = ".safetensors";
/// Files that may be uploaded, by their whole name.
const NAMES: [&str; 10] = [
    CARD,
    CONFIG,
    "LICENSE",
    "LICENSE.md",
    "LICENSE.txt",
    "NOTICE",
    "adapter_config.json",
    "model_index.json",
    "preprocessor_config.json",
    "scheduler_config.json",
];
/// And by how it ends: weights, the list of their shards, pictures.
const ENDINGS: [&str; 6] = [
    WEIGHTS,
    ".safetensors.index.json",
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
];
/// Folders of a run, which are never looked into.
const CLOSED: [&str; 2] = ["checkpoints", "tb"];
/// The front matter is looked for in so many bytes of the card.
const MOST_CARD: u64 = 1 << 20;

/// A file to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its name in the folder and in the repository, with `/`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// A folder that can be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    path: PathBuf,
    files: Vec<Upload>,
    left_out: Vec<String>,
}

impl ModelFolder {
    /// Looks through a folder; of the weights only heads are read.
    ///
    /// # Errors
    /// [`Error::NotAModelFolder`] when it lacks a card with front matter, a configuration or weights;
    /// [`Error::Weights`] for weights that are damaged; [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let mut folder = Self {
            path: path.to_path_buf(),
            files: Vec::new(),
            left_out: Vec::new(),
        };
        folder.collect("")?;
        folder.files.sort_by(|a, b| a.name.cmp(&b.name));
        folder.left_out.sort();
        folder.require()?;
        Ok(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is uploaded, by name.
    pub fn files(&self) -> &[Upload] {
        &self.files
    }

    /// All bytes of it.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// What is not: files and folders (with a `/`) that are hidden, links, of a run, or of no kind that is published.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Adds what lies in the folder `below`, which is empty or ends with `/`.
    fn collect(&mut self, below: &str) -> Result<()> {
        let at = self.path.join(below);
        let failed = |error| Error::io("read the folder", &at, error);
        for entry in fs::read_dir(&at).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name();
            let Some(last) = name.to_str() else {
                self.left_out
                    .push(format!("{below}{}", name.to_string_lossy()));
                continue;
            };
            let name = format!("{below}{last}");
            let hidden = last.starts_with('.');
            if kind.is_dir() {
                match hidden || CLOSED.contains(&last) {
                    true => self.left_out.push(name + "/"),
                    false => self.collect(&(name + "/"))?,
                }
            } else if kind.is_file() && !hidden && published(last) && !self.holds_state(&name)? {
                let bytes = entry.metadata().map_err(failed)?.len();
                self.files.push(Upload { name, bytes });
            } else {
                self.left_out.push(name);
            }
        }
        Ok(())
    }

    /// Whether a file holds what only training needs.
    fn holds_state(&self, name: &str) -> Result<bool> {
        if !name.ends_with(WEIGHTS) {
            return Ok(false);
        }
        match Header::read(self.path.join(name)) {
            Ok(header) => Ok(header.kind == Kind::Optimiser),
            Err(FormatError::NotLearngene { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn require(&self) -> Result<()> {
        let has = |name: &str| self.files.iter().any(|file| file.name == name);
        let weights = |file: &Upload| file.name.ends_with(WEIGHTS) && !file.name.contains('/');
        let reason = if let Some(name) = [CARD, CONFIG].into_iter().find(|name| !has(name)) {
            format!("it has no {name}")
        } else if !self.files.iter().any(weights) {
            format!("it has no weights (*{WEIGHTS})")
        } else if !has_front_matter(&self.text(CARD)?) {
            format!("its {CARD} does not begin with front matter, lines between two `---`")
        } else if serde_json::from_str::<serde_json::Map<_, _>>(&self.text(CONFIG)?).is_err() {
            format!("its {CONFIG} is no JSON object")
        } else {
            return Ok(());
        };
        Err(Error::NotAModelFolder {
            folder: self.path.clone(),
            reason,
        })
    }

    fn text(&self, name: &str) -> Result<String> {
        let path = self.path.join(name);
        let bytes = fs::metadata(&path).map_or(0, |found| found.len());
        if bytes > MOST_CARD {
            return Err(Error::NotAModelFolder {
                folder: self.path.clone(),
                reason: format!("its {name} has {bytes} bytes, more than {MOST_CARD}"),
            });
        }
        fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))
    }
}

fn published(name: &str) -> bool {
    NAMES.contains(&name) || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether a page begins with lines of metadata as the Hub reads them.
fn has_front_matter(text: &str) -> bool {
    let mut lines = text.lines();
    let first = lines.next().map(str::trim_end);
    let mut between = 0;
    let closed = lines.any(|line| {
        between += 1;
        line.trim_end() == "---"
    });
    first == Some("---") && closed && between > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use learngene_formats::{TensorEntry, WeightFile};

    const FRONT: &str = "---\nlibrary_name: learngene\n---\n# x\n";

    fn weights(path: &Path, kind: Kind) {
        let tensor = TensorEntry {
            shape: vec![2],
            values: vec![0.0; 2],
        };
        let header = Header::new(kind, serde_json::json!({}));
        let file = WeightFile::new(header, [("x".to_owned(), tensor)].into());
        file.write(path).unwrap();
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at(CARD), FRONT).unwrap();
        fs::write(at(CONFIG), "{}").unwrap();
        fs::write(at("samples.png"), "png").unwrap();
        weights(&at("model.safetensors"), Kind::Model);
        folder
    }

    fn names(folder: &ModelFolder) -> Vec<&str> {
        folder.files().iter().map(|f| f.name.as_str()).collect()
    }

    #[test]
    fn only_what_is_published_is_uploaded() {
        let folder = folder();
        let path = folder.path();
        let write = |name: &str, text: &str| {
            let path = path.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(".env", "HF_TOKEN=secret");
        write(".git/config", "x");
        write("checkpoints/step-1/config.json", "{}");
        write("checkpoints/step-1/model.safetensors", "x");
        write("tailors/face/adapter_config.json", "{}");
        write("tailors/face/.hidden.png", "x");
        write("notes.txt", "x");
        write("config.toml", "x");
        write("events.jsonl", "x");
        write("model.pt", "x");
        weights(&path.join("state.safetensors"), Kind::Optimiser);
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/hostname", path.join("link.png")).unwrap();
        let found = ModelFolder::read(path).unwrap();
        assert_eq!(
            names(&found),
            [
                "README.md",
                "config.json",
                "model.safetensors",
                "samples.png",
                "tailors/face/adapter_config.json"
            ]
        );
        let left_out = found.left_out().join(" ");
        for name in [
            ".env",
            ".git/",
            "checkpoints/",
            "config.toml",
            "model.pt",
            "notes.txt",
            "state.safetensors",
            "tailors/face/.hidden.png",
        ] {
            assert!(left_out.contains(name), "{name} is not in {left_out}");
        }
        let size = |name: &str| fs::metadata(path.join(name)).unwrap().len();
        let total: u64 = names(&found).iter().map(|name| size(name)).sum();
        assert_eq!(found.bytes(), total);
    }

    #[test]
    fn a_folder_that_lacks_something_says_what() {
        for (name, text, expected) in [
            (CARD, None, "has no README.md"),
            (CONFIG, None, "has no config.json"),
            ("model.safetensors", None, "has no weights"),
            (CARD, Some("# x\n"), "front matter"),
            (CARD, Some("---\nlicense: mit\n"), "front matter"),
            (CARD, Some("---\n---\n"), "front matter"),
            (CONFIG, Some("[1]"), "no JSON object"),
        ] {
            let folder = folder();
            match text {
                None => fs::remove_file(folder.path().join(name)).unwrap(),
                Some(text) => fs::write(folder.path().join(name), text).unwrap(),
            }
            let error = ModelFolder::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("learngene card"), "{error}");
        }
    }

    #[test]
    fn damaged_weights_are_not_published() {
        let folder = folder();
        let path = folder.path().join("model.safetensors");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let error = ModelFolder::read(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Weights(_)), "{error}");
        let error = ModelFolder::read(&folder.path().join("missing")).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
    }
}
