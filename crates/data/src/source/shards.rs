//! WebDataset shards: tar files in which the files of a sample stand together and share their name up to the first dot,
//! `0001.jpg`, `0001.cls`. Shards are listed, not unpacked: images are read from their places in them.

mod members;

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::folder::MAX_FILE_BYTES;
use super::notes::{Note, Notes, SEVERAL};
use super::{Indexed, Sample, Source, files, in_order, numbered, text};
use crate::Split;
use crate::error::{Error, Result};
use crate::image::decode_first;
use crate::latents::{Content, Entry};
use members::{KEYS, Label, Span};

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
    notes: Notes,
}

impl Shards {
    /// Lists a tar, a folder of tars, or `train/`, `val/` and `test/` folders of tars, in the order of their names;
    /// `None` if the path is none of these. A split stands in the name of its folder or in that of a shard,
    /// `imagenet-train-0000.tar`. The class of a sample is a name or a number, in its `.cls` or its `.json`; a sample
    /// without an image is noted as skipped, and so are those whose class is -1 or null.
    ///
    /// # Errors
    /// A damaged shard, a path in it that leads out of it, a sample without a class.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let shards = files(path, is_tar)?;
        if shards.is_empty() {
            return Ok(None);
        }
        let (mut found, mut skipped, notes) = (Vec::new(), Vec::new(), Notes::default());
        for (number, (shard, _)) in shards.iter().enumerate() {
            let (mut without, mut keys) = (0, HashSet::new());
            for sample in members::list(shard, &notes)? {
                let key = shard.join(&sample.key);
                if !keys.insert(sample.key.clone()) {
                    notes.add("samples whose name stands twice in a shard", text(&key));
                }
                match (sample.image(), sample.label()) {
                    (None, _) => skipped.push(key),
                    (Some(_), Label::Missing) => {
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
                    (Some(_), Label::None) => without += 1,
                    (Some(image), Label::Of(label)) => {
                        found.push((number, image, label, sample.key));
                    }
                }
            }
            if without > 0 {
                skipped.push(shard.join(format!("{without} samples without a class")));
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
            notes,
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

    fn notes(&self) -> Vec<Note> {
        self.notes.all()
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
        let place = path.join(&packed.key);
        let decoded = decode_first(&bytes, &place)?;
        if decoded.several {
            self.notes.add(SEVERAL, text(&place));
        }
        Ok(decoded.image.into())
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

fn is_tar(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("tar"))
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
