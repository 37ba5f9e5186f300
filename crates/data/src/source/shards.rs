//! WebDataset shards: tar files in which the files of a sample stand together and share their name up to the first dot,
//! `0001.jpg`, `0001.cls`. Shards are listed, not unpacked: images are read from their places in them.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::folder::{EXTENSIONS, MAX_FILE_BYTES};
use super::{Indexed, Sample, Source, in_order, listed, numbered, text};
use crate::Split;
use crate::error::{Error, Result};
use crate::image::decode;
use crate::latents::{Content, Entry};

/// The largest label that is read, bytes.
const MAX_LABEL_BYTES: u64 = 1 << 20;
/// Keys of a sample's JSON that hold its class, the first that is there.
const KEYS: [&str; 4] = ["class_name", "cls", "label", "class"];

/// A file of a tar.
#[derive(Clone, Copy, Debug)]
struct Span {
    at: u64,
    length: u64,
}

/// One labelled image in a shard.
#[derive(Debug)]
struct Packed {
    shard: usize,
    image: Span,
    class: usize,
    key: String,
}

/// Shards that have been listed.
#[derive(Debug)]
pub(super) struct Shards {
    name: String,
    classes: Vec<String>,
    shards: Vec<(PathBuf, Option<Split>)>,
    entries: Vec<Packed>,
    skipped: Vec<PathBuf>,
}

impl Shards {
    /// Lists a tar, a folder of tars, or `train/`, `val/` and `test/` folders of tars, in the order of their names;
    /// `None` if the path is none of these. The class of a sample is a name or a number, in its `.cls` or its `.json`; a
    /// sample without an image is noted as skipped.
    ///
    /// # Errors
    /// A damaged shard, a path in it that leads out of it, a sample without a class.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let shards = find(path)?;
        if shards.is_empty() {
            return Ok(None);
        }
        let (mut found, mut skipped) = (Vec::new(), Vec::new());
        for (number, (shard, _)) in shards.iter().enumerate() {
            for sample in list(shard)? {
                let key = shard.join(&sample.key);
                match (sample.image, sample.label) {
                    (None, _) => skipped.push(key),
                    (Some(_), None) => {
                        return Err(Error::format(
                            shard,
                            format!(
                                "a class for `{}` (a .cls file, or one of {} in its .json)",
                                sample.key,
                                KEYS.join(", ")
                            ),
                            "none",
                        ));
                    }
                    (Some(image), Some(label)) => found.push((number, image, label, sample.key)),
                }
            }
        }
        if found.is_empty() {
            return Err(Error::EmptySource {
                origin: text(path),
                hint: "a shard is a tar with images and, of the same name, their classes: 0001.jpg, 0001.cls",
            });
        }
        let (classes, places) = numbered(found.iter().map(|(_, _, label, _)| label), path)?;
        let entries = found.into_iter().map(|(shard, image, label, key)| Packed {
            class: places[&label],
            shard,
            image,
            key,
        });
        Ok(Some(Self {
            name: text(path),
            entries: entries.collect(),
            classes,
            shards,
            skipped,
        }))
    }
}

impl Source for Shards {
    fn name(&self) -> &str {
        &self.name
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    fn indexed(&self) -> Option<&dyn Indexed> {
        Some(self)
    }

    fn samples(&self) -> Box<dyn Iterator<Item = Result<Sample>> + '_> {
        in_order(self)
    }
}

impl Indexed for Shards {
    fn count(&self) -> usize {
        self.entries.len()
    }

    fn entry(&self, i: usize) -> Entry {
        let packed = &self.entries[i];
        let (path, split) = &self.shards[packed.shard];
        Entry {
            id: format!("{}/{}", self.inside(path), packed.key),
            class: packed.class,
            split: *split,
        }
    }

    fn content(&self, i: usize) -> Result<Content> {
        let packed = &self.entries[i];
        let (path, _) = &self.shards[packed.shard];
        let mut file = File::open(path).map_err(Error::io(path))?;
        let bytes = read(&mut file, packed.image, path)?;
        Ok(decode(&bytes, &path.join(&packed.key))?.into())
    }

    fn block(&self, i: usize) -> usize {
        self.entries[i].shard
    }

    fn stored_bytes(&self, i: usize) -> Option<u64> {
        Some(self.entries[i].image.length)
    }
}

impl Shards {
    /// A shard's path in the source, which stays the same where the source is moved.
    fn inside(&self, shard: &Path) -> String {
        let inside = shard.strip_prefix(&self.name).unwrap_or(shard);
        match inside.as_os_str().is_empty() || inside.is_absolute() {
            true => shard
                .file_name()
                .map_or(String::new(), |name| text(Path::new(name))),
            false => text(inside),
        }
    }
}

/// The shards of a path with the split their folder names.
fn find(path: &Path) -> Result<Vec<(PathBuf, Option<Split>)>> {
    if path.is_file() {
        return Ok(match is_tar(path) {
            true => vec![(path.to_owned(), None)],
            false => Vec::new(),
        });
    }
    let mut shards: Vec<_> = listed(path, is_tar)?
        .into_iter()
        .map(|tar| (tar, None))
        .collect();
    for split in Split::ALL {
        let folder = path.join(split.name());
        if folder.is_dir() {
            shards.extend(
                listed(&folder, is_tar)?
                    .into_iter()
                    .map(|tar| (tar, Some(split))),
            );
        }
    }
    Ok(shards)
}

fn is_tar(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("tar"))
}

/// The files of one sample.
#[derive(Debug, Default)]
struct Group {
    key: String,
    image: Option<Span>,
    label: Option<String>,
}

/// The samples of a shard. Of files that are neither an image nor a class nothing is read.
fn list(shard: &Path) -> Result<Vec<Group>> {
    let file = File::open(shard).map_err(Error::io(shard))?;
    let size = file.metadata().map_err(Error::io(shard))?.len();
    let mut archive = tar::Archive::new(BufReader::new(file));
    let damaged = |error: std::io::Error| Error::format(shard, "a whole tar", error.to_string());
    let mut groups: Vec<Group> = Vec::new();
    for entry in archive.entries_with_seek().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().map_err(damaged)?.into_owned();
        let (key, extension) = parts(&path, shard)?;
        let span = Span {
            at: entry.raw_file_position(),
            length: entry.size(),
        };
        if span
            .at
            .checked_add(span.length)
            .is_none_or(|end| end > size)
        {
            return Err(Error::format(
                shard,
                format!("{} bytes of `{}`", span.length, path.display()),
                "the end of the file",
            ));
        }
        if groups.last().is_none_or(|group| group.key != key) {
            groups.push(Group {
                key: key.clone(),
                ..Group::default()
            });
        }
        let Some(group) = groups.last_mut() else {
            continue;
        };
        match extension.as_str() {
            image if EXTENSIONS.contains(&image) => group.image = Some(span),
            "cls" | "json" => {
                let mut bytes = Vec::new();
                let mut label = (&mut entry).take(MAX_LABEL_BYTES + 1);
                label.read_to_end(&mut bytes).map_err(damaged)?;
                let found = label_in(&bytes, &extension).map_err(|found| {
                    Error::format(shard, format!("a class in `{}`", path.display()), found)
                })?;
                // Where both are there, the .cls is meant.
                group.label = match extension.as_str() {
                    "cls" => found,
                    _ => group.label.take().or(found),
                };
            }
            _ => {}
        }
    }
    Ok(groups)
}

/// The name of a sample, and what kind of file this is.
fn parts(path: &Path, shard: &Path) -> Result<(String, String)> {
    let inside = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(Error::format(
            shard,
            "paths that stay inside it",
            format!("`{}`", path.display()),
        ));
    }
    let whole = text(path);
    let whole = whole.strip_prefix("./").unwrap_or(&whole);
    let name = whole.rfind('/').map_or(0, |slash| slash + 1);
    Ok(match whole[name..].find('.') {
        Some(dot) => (
            whole[..name + dot].to_owned(),
            whole[name + dot + 1..].to_lowercase(),
        ),
        None => (whole.to_owned(), String::new()),
    })
}

/// The class in a `.cls` file; in a `.json` file that names one.
fn label_in(bytes: &[u8], extension: &str) -> std::result::Result<Option<String>, String> {
    if bytes.len() as u64 > MAX_LABEL_BYTES {
        return Err(format!("more than {MAX_LABEL_BYTES} bytes"));
    }
    let whole = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    if extension == "cls" {
        return match whole.trim() {
            "" => Err("nothing".into()),
            label => Ok(Some(label.into())),
        };
    }
    let json: serde_json::Value = serde_json::from_str(whole).map_err(|error| error.to_string())?;
    let named = KEYS.iter().filter_map(|key| json.get(key));
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(label) => Some(label.clone()),
        serde_json::Value::Number(label) => Some(label.to_string()),
        _ => None,
    };
    Ok(named.filter_map(text).next())
}

fn read(file: &mut File, span: Span, path: &Path) -> Result<Vec<u8>> {
    if span.length > MAX_FILE_BYTES {
        return Err(Error::format(
            path,
            format!("images of at most {MAX_FILE_BYTES} bytes"),
            format!("one of {}", span.length),
        ));
    }
    let mut bytes = vec![0; span.length as usize];
    file.seek(SeekFrom::Start(span.at))
        .map_err(Error::io(path))?;
    file.read_exact(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}
