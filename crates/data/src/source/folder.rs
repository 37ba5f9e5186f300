//! Image folders: one sub-folder for each class, whose images lie in it or in folders below it, with or without `train/`,
//! `val/` and `test/` folders above them; or a folder of images alone, which is one class.

mod listing;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::notes::{Note, Notes, SEVERAL};
use super::{Indexed, Sample, Source, in_order, order, text};
use crate::error::{Error, Result};
use crate::image::{decode, decode_first};
use crate::latents::{Content, Entry};
use crate::{Image, Split};
use listing::{ClassFolder, Listing};

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
    notes: Notes,
}

impl ImageFolder {
    /// Lists a folder. Classes that are all numbers are in the order of numbers, others in alphabetical order; hidden
    /// files, and what systems leave lying about, are passed over, files of other kinds are noted as skipped. A class
    /// folder without images stays a class, so that it is missed by name.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let name = text(root);
        let mut listing = Listing::default();
        let folders = listing.class_folders(root)?;
        let mut classes: Vec<String> = folders.iter().map(|folder| folder.name.clone()).collect();
        order(&mut classes);
        let places = crate::class_map::places(&classes);
        let mut files = Vec::new();
        for ClassFolder {
            name,
            split,
            images,
        } in folders
        {
            let Some(class) = places.get(name.as_str()).copied() else {
                continue;
            };
            files.extend(images.into_iter().map(|path| {
                let id = text(path.strip_prefix(root).unwrap_or(&path));
                File {
                    path,
                    class,
                    split,
                    id,
                }
            }));
        }
        if files.is_empty() && !listing.unread.is_empty() {
            let formats: BTreeSet<&str> =
                listing.unread.iter().map(|(format, _)| *format).collect();
            return Err(Error::UnreadFormats {
                origin: name,
                count: listing.unread.len(),
                formats: formats.into_iter().collect::<Vec<_>>().join(", "),
            });
        }
        if files.is_empty() {
            return Err(Error::EmptySource {
                origin: name,
                hint: "an image folder has one sub-folder for each class with PNG, JPEG, WebP, TIFF, GIF or BMP files in it",
            });
        }
        let notes = Notes::default();
        for (what, paths) in listing.notes {
            paths.iter().for_each(|path| notes.add(what, text(path)));
        }
        for (format, path) in listing.unread {
            let what = format!("left out, pictures in a format that is not read ({format})");
            notes.add(what, text(&path));
        }
        listing.skipped.sort();
        Ok(Self {
            name,
            classes,
            files,
            skipped: listing.skipped,
            notes,
        })
    }
}

/// The images that lie in a folder itself, by name; none if it has sub-folders alone.
///
/// # Errors
/// A folder that cannot be listed, or a broken image.
pub fn images_in(folder: &Path) -> Result<Vec<Image>> {
    let here = listing::Here::read(folder, &mut Listing::default())?;
    (here.images.iter())
        .map(|path| decode(&read(path)?, path))
        .collect()
}

/// Whether a folder holds images itself and no class folder that does, so that nothing says of which class they are.
///
/// # Errors
/// A folder that cannot be listed.
pub fn is_flat(folder: &Path) -> Result<bool> {
    listing::is_flat(folder)
}

/// The bytes of an image file.
fn read(path: &Path) -> Result<Vec<u8>> {
    let size = fs::metadata(path).map_err(Error::io(path))?.len();
    if size > MAX_FILE_BYTES {
        return Err(Error::Decode {
            path: path.to_path_buf(),
            reason: format!("{size} bytes, above the limit of {MAX_FILE_BYTES} for one image"),
        });
    }
    fs::read(path).map_err(Error::io(path))
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
        let file = &self.files[i];
        let decoded = decode_first(&read(&file.path)?, &file.path)?;
        if decoded.several {
            self.notes.add(SEVERAL, &file.id);
        }
        Ok(decoded.image.into())
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
