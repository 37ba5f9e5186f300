//! Which files of a folder are images, and of which class and split.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::is_clutter;
use crate::Split;
use crate::error::{Error, Result};
use crate::image::format::{is_image, unread_format};

/// Folders below one another that are gone through; more are a circle of links.
const MAX_DEPTH: usize = 32;

const IN_NO_CLASS: &str =
    "left out, images that lie in no class folder (each class has a folder of its own)";
const OTHER_CLASSES: &str =
    "left out, images of a validation or test folder none of whose folders is a class of train";
const ONE_CLASS: &str =
    "one class of all folders below a single one: give that one where they are the classes";

/// The images of a class in a split.
#[derive(Debug)]
pub(super) struct ClassFolder {
    pub name: String,
    pub split: Option<Split>,
    pub images: Vec<PathBuf>,
}

/// What was found besides images.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files that are called like no image.
    pub skipped: Vec<PathBuf>,
    /// Pictures in formats that are not read.
    pub unread: Vec<(&'static str, PathBuf)>,
    /// What happened to which files.
    pub notes: Vec<(&'static str, Vec<PathBuf>)>,
}

/// What lies in one folder itself, by name, without what is hidden or clutter.
pub(super) struct Here {
    pub folders: Vec<PathBuf>,
    pub images: Vec<PathBuf>,
}

impl Here {
    pub(super) fn read(folder: &Path, listing: &mut Listing) -> Result<Self> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
            paths.push(entry.map_err(Error::io(folder))?.path());
        }
        paths.sort();
        let (mut folders, mut images) = (Vec::new(), Vec::new());
        for path in paths.into_iter().filter(|path| !is_clutter(path)) {
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() && is_image(&path) {
                images.push(path);
            } else if let Some(format) = unread_format(&path) {
                listing.unread.push((format, path));
            } else {
                listing.skipped.push(path);
            }
        }
        Ok(Self { folders, images })
    }
}

impl Listing {
    /// The class folders below `root`, in the order of their names, those of splits one split after another.
    pub(super) fn class_folders(&mut self, root: &Path) -> Result<Vec<ClassFolder>> {
        let top = Here::read(root, self)?;
        if let Some(splits) = splits(&top.folders)? {
            return self.below_splits(root, top, splits);
        }
        // Around a folder with splits there may be one more, as archives have it.
        if let ([only], []) = (&top.folders[..], &top.images[..]) {
            let inner = Here::read(only, &mut Self::default())?;
            if splits(&inner.folders)?.is_some() {
                return self.class_folders(only);
            }
        }
        let folders = self.classes(top.folders, None)?;
        let none = folders.iter().all(|folder| folder.images.is_empty());
        if none && !top.images.is_empty() {
            return Ok(vec![one_class(root, None, top.images)]);
        }
        self.note(IN_NO_CLASS, top.images);
        if let [only] = &folders[..] {
            let below = |image: &PathBuf| image.parent().and_then(Path::parent) != Some(root);
            if !only.images.is_empty() && only.images.iter().all(below) {
                self.note(ONE_CLASS, vec![root.join(&only.name)]);
            }
        }
        Ok(folders)
    }

    /// The class folders in folders of splits; `splits` are those with images among the folders of `top`.
    fn below_splits(
        &mut self,
        root: &Path,
        top: Here,
        splits: Vec<(PathBuf, Split)>,
    ) -> Result<Vec<ClassFolder>> {
        self.note(IN_NO_CLASS, top.images);
        let mut others = top.folders;
        others.retain(|folder| splits.iter().all(|(split, _)| split != folder));
        self.skipped.extend(others);
        let (mut all, mut loose) = (Vec::new(), Vec::new());
        for (folder, split) in splits {
            let here = Here::read(&folder, self)?;
            all.extend(self.classes(here.folders, Some(split))?);
            loose.push((split, here.images));
        }
        if all.iter().all(|folder| folder.images.is_empty()) {
            let flat = loose.into_iter();
            return Ok(flat
                .map(|(split, images)| one_class(root, Some(split), images))
                .collect());
        }
        loose
            .into_iter()
            .for_each(|(_, images)| self.note(IN_NO_CLASS, images));
        self.without_strangers(all)
    }

    /// Leaves out the validation or test part if none of its folders is a class of train, as where all its images lie in
    /// one folder `images` (Tiny ImageNet).
    fn without_strangers(&mut self, all: Vec<ClassFolder>) -> Result<Vec<ClassFolder>> {
        let of = |wanted: Split| {
            let of_split = all
                .iter()
                .filter(move |folder| folder.split == Some(wanted));
            let names = of_split.filter(|folder| !folder.images.is_empty());
            names
                .map(|folder| folder.name.clone())
                .collect::<BTreeSet<_>>()
        };
        let trained = of(Split::Train);
        let strange = [Split::Val, Split::Test].map(|split| {
            let names = of(split);
            !trained.is_empty() && !names.is_empty() && names.is_disjoint(&trained)
        });
        let is_strange = |folder: &ClassFolder| match folder.split {
            Some(Split::Val) => strange[0],
            Some(Split::Test) => strange[1],
            _ => false,
        };
        let (left_out, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(is_strange);
        for folder in left_out {
            self.note(OTHER_CLASSES, folder.images);
        }
        Ok(kept)
    }

    fn classes(&mut self, folders: Vec<PathBuf>, split: Option<Split>) -> Result<Vec<ClassFolder>> {
        let mut classes = Vec::new();
        for folder in folders {
            let mut images = Vec::new();
            self.gather(&folder, 0, &mut images)?;
            classes.push(ClassFolder {
                name: file_name(&folder),
                split,
                images,
            });
        }
        Ok(classes)
    }

    /// The images in a folder and in all folders below it, as torchvision's `ImageFolder` takes them.
    fn gather(&mut self, folder: &Path, depth: usize, images: &mut Vec<PathBuf>) -> Result<()> {
        if depth == MAX_DEPTH {
            let expected = format!("at most {MAX_DEPTH} folders below one another");
            return Err(Error::format(
                folder,
                expected,
                "more, or links in a circle",
            ));
        }
        let here = Here::read(folder, self)?;
        images.extend(here.images);
        here.folders
            .iter()
            .try_for_each(|below| self.gather(below, depth + 1, images))
    }

    fn note(&mut self, what: &'static str, paths: Vec<PathBuf>) {
        if !paths.is_empty() {
            self.notes.push((what, paths));
        }
    }
}

/// See [`super::is_flat`].
pub(super) fn is_flat(folder: &Path) -> Result<bool> {
    let here = Here::read(folder, &mut Listing::default())?;
    if here.images.is_empty() {
        return Ok(false);
    }
    for below in &here.folders {
        if holds_images(below, 0)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The folders named after splits, if all that hold images are.
fn splits(folders: &[PathBuf]) -> Result<Option<Vec<(PathBuf, Split)>>> {
    let named = |folder: &PathBuf| Some((folder.clone(), Split::from_name(&file_name(folder))?));
    let splits: Vec<_> = folders.iter().filter_map(named).collect();
    if splits.is_empty() {
        return Ok(None);
    }
    for folder in folders {
        if named(folder).is_none() && holds_images(folder, 0)? {
            return Ok(None);
        }
    }
    Ok(Some(splits))
}

/// Whether an image lies in a folder or below it.
fn holds_images(folder: &Path, depth: usize) -> Result<bool> {
    let here = Here::read(folder, &mut Listing::default())?;
    if !here.images.is_empty() || depth == MAX_DEPTH {
        return Ok(true);
    }
    for below in &here.folders {
        if holds_images(below, depth + 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All images as one class that is called like the folder they lie in.
fn one_class(root: &Path, split: Option<Split>, images: Vec<PathBuf>) -> ClassFolder {
    let whole = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let name = match file_name(&whole) {
        name if name.is_empty() => "images".to_owned(),
        name => name,
    };
    ClassFolder {
        name,
        split,
        images,
    }
}

pub(super) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
