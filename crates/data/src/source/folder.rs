//! Image folders: one sub-folder of PNG, JPEG or WebP files for each class, with or without `train/`, `val/` and
//! `test/` folders above them.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Indexed, Sample, Source, in_order, text};
use crate::error::{Error, Result};
use crate::image::decode;
use crate::latents::{Content, Entry};
use crate::{Image, Split};

pub(super) const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// The largest image file that is read, bytes.
pub(super) const MAX_FILE_BYTES: u64 = 256 << 20;

/// One image file.
#[derive(Debug)]
struct File {
    path: PathBuf,
    class: usize,
    split: Option<Split>,
    id: String,
}

/// An image folder whose files have been listed but not read.
#[derive(Debug)]
pub(super) struct ImageFolder {
    name: String,
    classes: Vec<String>,
    files: Vec<File>,
    skipped: Vec<PathBuf>,
}

impl ImageFolder {
    /// Lists a folder. Classes are numbered in alphabetical order; hidden files and folders are passed over, files of
    /// other kinds are noted as skipped. A class folder without images stays a class, so that it is missed by name.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let name = text(root);
        let top = Listing::read(root)?;
        let mut skipped = top.others;
        skipped.extend(top.images);
        let split_of = |folder: &PathBuf| Split::from_name(&file_name(folder));
        let is_split_root =
            !top.folders.is_empty() && top.folders.iter().all(|folder| split_of(folder).is_some());
        let mut class_folders = Vec::new();
        for folder in top.folders {
            if is_split_root {
                let listing = Listing::read(&folder)?;
                skipped.extend(listing.others);
                skipped.extend(listing.images);
                class_folders.extend(
                    listing
                        .folders
                        .into_iter()
                        .map(|class| (class, split_of(&folder))),
                );
            } else {
                class_folders.push((folder, None));
            }
        }
        let mut classes: Vec<String> = class_folders
            .iter()
            .map(|(folder, _)| file_name(folder))
            .collect();
        classes.sort();
        classes.dedup();
        let mut files = Vec::new();
        for (folder, split) in class_folders {
            let class_name = file_name(&folder);
            let class = classes.partition_point(|other| *other < class_name);
            let listing = Listing::read(&folder)?;
            skipped.extend(listing.others);
            skipped.extend(listing.folders);
            files.extend(listing.images.into_iter().map(|path| {
                let id = text(path.strip_prefix(root).unwrap_or(&path));
                File {
                    path,
                    class,
                    split,
                    id,
                }
            }));
        }
        skipped.sort();
        if files.is_empty() {
            return Err(Error::EmptySource {
                origin: name,
                hint: "an image folder has one sub-folder for each class with PNG, JPEG or WebP files in it",
            });
        }
        Ok(Self {
            name,
            classes,
            files,
            skipped,
        })
    }
}

/// The images that lie in a folder itself, by name; none if it has sub-folders alone.
///
/// # Errors
/// A folder that cannot be listed, or a broken image.
pub fn images_in(folder: &Path) -> Result<Vec<Image>> {
    let listing = Listing::read(folder)?;
    listing.images.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Image> {
    let size = fs::metadata(path).map_err(Error::io(path))?.len();
    if size > MAX_FILE_BYTES {
        return Err(Error::Decode {
            path: path.to_path_buf(),
            reason: format!("{size} bytes, above the limit of {MAX_FILE_BYTES} for one image"),
        });
    }
    let bytes = fs::read(path).map_err(Error::io(path))?;
    decode(&bytes, path)
}

impl Source for ImageFolder {
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

impl Indexed for ImageFolder {
    fn count(&self) -> usize {
        self.files.len()
    }

    fn entry(&self, i: usize) -> Entry {
        let file = &self.files[i];
        Entry {
            id: file.id.clone(),
            class: file.class,
            split: file.split,
        }
    }

    fn content(&self, i: usize) -> Result<Content> {
        Ok(read(&self.files[i].path)?.into())
    }

    fn block(&self, i: usize) -> usize {
        i
    }

    fn stored_bytes(&self, i: usize) -> Option<u64> {
        fs::metadata(&self.files[i].path)
            .ok()
            .map(|about| about.len())
    }
}

/// What lies in one folder, sorted by name, hidden entries left out.
#[derive(Default)]
struct Listing {
    folders: Vec<PathBuf>,
    images: Vec<PathBuf>,
    others: Vec<PathBuf>,
}

impl Listing {
    fn read(folder: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
            paths.push(entry.map_err(Error::io(folder))?.path());
        }
        paths.sort();
        let mut listing = Self::default();
        for path in paths
            .into_iter()
            .filter(|path| !file_name(path).starts_with('.'))
        {
            let extension = path
                .extension()
                .map(|extension| extension.to_string_lossy().to_lowercase());
            if path.is_dir() {
                listing.folders.push(path);
            } else if path.is_file()
                && extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
            {
                listing.images.push(path);
            } else {
                listing.others.push(path);
            }
        }
        Ok(listing)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
