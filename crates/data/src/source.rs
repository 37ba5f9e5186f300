//! Where images come from: one trait, one file for each kind, and [`open`], which tells the kinds apart by looking.

mod cache;
mod cifar;
mod emoji;
mod folder;
mod idx;
mod notes;
mod parquet;
mod shards;
mod sheet;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub use folder::{images_in, is_flat};
use learngene_formats::read_text;
pub use notes::Note;

use crate::Split;
use crate::class_map::ClassMap;
use crate::error::{Error, Hint, Result};
use crate::latents::{Content, Entry, LatentSpace};

/// What [`open`] takes, for error texts and help pages.
pub const ACCEPTED: &str = "builtin:emoji, builtin:emoji-fluent3d, a folder with one sub-folder of PNG, JPEG, \
     WebP, TIFF, GIF or BMP images for each class (or train/ and test/ folders of such), a folder of images that are one \
     class, a folder of MNIST idx files (.gz or not) or an idx \
     images file with its labels beside it, a folder of CIFAR-10 binary batches, a folder of CIFAR-10 PNG sheets with \
     their label files, a WebDataset shard (.tar), a Parquet file with encoded images, or a folder of either, a folder of \
     latents that `learngene encode` wrote";

/// One labelled image, or the latent of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The image, in the size the source has it, or its latent.
    pub content: Content,
    /// The class, a position in [`Source::class_names`].
    pub class: usize,
    /// The split the source itself puts the image in, if it has any.
    pub split: Option<Split>,
    /// A name that is unique in the source and stays the same from run to run.
    pub id: String,
}

/// Which classes are seen in pre-training and which only in transfer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partition {
    /// Names of the classes of pre-training.
    pub base: Vec<String>,
    /// Names of the classes of transfer.
    pub novel: Vec<String>,
}

/// Labelled images, one after another; how many there are need not be known beforehand.
pub trait Source: std::fmt::Debug + Send + Sync {
    /// What to call it in texts: the built-in name or the path.
    fn name(&self) -> &str;

    /// The classes, in the order of their numbers.
    fn class_names(&self) -> &[String];

    /// The base and novel classes, if the source says which those are.
    fn partition(&self) -> Option<&Partition> {
        None
    }

    /// The number of samples, or `None` for a stream of unknown length.
    fn known_len(&self) -> Option<usize> {
        self.indexed().map(Indexed::count)
    }

    /// What the samples mean if they are latents; `None` if they are images.
    fn latent_space(&self) -> Option<&LatentSpace> {
        None
    }

    /// Files that look like no image and were left out.
    fn skipped(&self) -> &[PathBuf] {
        &[]
    }

    /// What was left out or taken otherwise than a person may expect, as far as it was read.
    fn notes(&self) -> Vec<Note> {
        Vec::new()
    }

    /// The same samples to be had one by one, from a source that can do so without reading the others.
    fn indexed(&self) -> Option<&dyn Indexed> {
        None
    }

    /// Reads all samples from the first, in an order that never changes. After an error that
    /// [concerns one image alone](Error::is_of_one_image) the others follow; after any other the rest is not worth
    /// reading.
    fn samples(&self) -> Box<dyn Iterator<Item = Result<Sample>> + '_>;
}

/// The default of [`Indexed::window`].
const WINDOW: usize = 4096;

/// The samples of a [`Source`], of which each can be read alone. What is known of all of them before is kept in memory;
/// their contents are not.
pub trait Indexed: Send + Sync {
    /// The number of samples.
    fn count(&self) -> usize;

    /// What is known of sample `i` before it is read.
    ///
    /// # Panics
    /// If `i` is not below [`Indexed::count`], as in every method that takes a number.
    fn entry(&self, i: usize) -> Entry;

    /// The image of sample `i`, or its latent.
    ///
    /// # Errors
    /// A broken image, a file that cannot be read.
    fn content(&self, i: usize) -> Result<Content>;

    /// A number that neighbours share with sample `i` if they are best read together: that of a file with many samples,
    /// or of a part of one. All samples with it follow one another.
    fn block(&self, i: usize) -> usize;

    /// Bytes that sample `i` takes where it is stored, if they are known without reading it: files of a folder and entries
    /// of a tar, not rows of a Parquet file or latents.
    fn stored_bytes(&self, _i: usize) -> Option<u64> {
        None
    }

    /// Samples that are shuffled together at most, whole blocks of them: where blocks are kept when they have been read,
    /// half as many as are kept.
    fn window(&self) -> usize {
        WINDOW
    }
}

/// Sample after sample of an indexed source.
fn in_order(samples: &dyn Indexed) -> Box<dyn Iterator<Item = Result<Sample>> + '_> {
    Box::new((0..samples.count()).map(|i| {
        let content = samples.content(i)?;
        let Entry { id, class, split } = samples.entry(i);
        Ok(Sample {
            content,
            class,
            split,
            id,
        })
    }))
}

/// The samples of a source that are whole. Of a broken image `broken` gets its place among the samples, and the error;
/// where it is to be `strict`, the error stays where it is.
pub fn whole<'a>(
    source: &'a dyn Source,
    strict: bool,
    mut broken: impl FnMut(usize, Error) + 'a,
) -> impl Iterator<Item = Result<Sample>> + 'a {
    let numbered = source.samples().enumerate();
    numbered.filter_map(move |(number, sample)| match sample {
        Err(error) if error.is_of_one_image() && !strict => {
            broken(number, error);
            None
        }
        other => Some(other),
    })
}

/// Opens `spec`: a built-in name or a path whose kind is found by looking. A class map, if given, is laid over it.
///
/// # Errors
/// [`Error::UnknownSource`] lists what is accepted; readers report damaged files.
pub fn open(spec: &str, class_map: Option<&Path>) -> Result<Box<dyn Source>> {
    let source = open_plain(spec)?;
    match class_map {
        Some(path) => Ok(Box::new(ClassMap::read(path)?.apply(source)?)),
        None => Ok(source),
    }
}

fn open_plain(spec: &str) -> Result<Box<dyn Source>> {
    let unknown = |reason: String| Error::UnknownSource {
        spec: spec.to_owned(),
        reason,
        accepted: ACCEPTED,
    };
    if let Some(name) = spec.strip_prefix("builtin:") {
        return match emoji::Emoji::open(name)? {
            Some(pack) => Ok(Box::new(pack)),
            None => Err(unknown(format!(
                "there is no such built-in pack{}",
                Hint::nearest(name, &emoji::NAMES)
            ))),
        };
    }
    let path = Path::new(spec);
    if !path.exists() {
        return Err(unknown("no such file or folder".to_owned()));
    }
    if let Some(latents) = cache::LatentCache::open(path)? {
        return Ok(Box::new(latents));
    }
    if let Some(idx) = idx::Idx::open(path)? {
        return Ok(Box::new(idx));
    }
    if let Some(cifar) = cifar::CifarBinary::open(path)? {
        return Ok(Box::new(cifar));
    }
    if let Some(sheets) = sheet::CifarSheets::open(path)? {
        return Ok(Box::new(sheets));
    }
    if let Some(parquet) = parquet::Parquet::open(path)? {
        return Ok(Box::new(parquet));
    }
    if let Some(shards) = shards::Shards::open(path)? {
        return Ok(Box::new(shards));
    }
    if path.is_dir() {
        return Ok(Box::new(folder::ImageFolder::open(path)?));
    }
    Err(unknown("the file is of no known kind".to_owned()))
}

/// The CIFAR-10 classes in label order (Krizhevsky 2009), for files that come without their names.
const CIFAR10_CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The path as text with forward slashes on every platform.
fn text(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

/// Whether a file or folder is one that systems leave lying about, or is hidden.
fn is_clutter(path: &Path) -> bool {
    const NAMES: [&str; 5] = [
        "__MACOSX",
        "Thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "@eaDir",
    ];
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.')
        || NAMES
            .iter()
            .any(|clutter| name.eq_ignore_ascii_case(clutter))
}

/// The files of a folder that are of a kind, by name.
fn listed(folder: &Path, of_kind: fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    let paths = entries.map(|entry| Ok(entry.map_err(Error::io(folder))?.path()));
    let mut files: Vec<PathBuf> = paths.collect::<Result<_>>()?;
    files.retain(|path| path.is_file() && of_kind(path) && !is_clutter(path));
    files.sort();
    Ok(files)
}

/// Puts names of classes into the order of their numbers: that of the numbers where all of them are some, else of the
/// alphabet.
fn order(names: &mut Vec<String>) {
    names.sort();
    names.dedup();
    if names.iter().all(|name| number(name).is_some()) {
        names.sort_by_key(|name| number(name));
    }
}

/// The number that a name is, of digits alone.
fn number(name: &str) -> Option<u64> {
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|_| digits)
}

/// Files of a kind in a folder or in its folders `data`, `train`, `val` and so on, with the split that the name of the
/// folder says, or that of the file. A file of the kind is itself.
fn files(path: &Path, of_kind: fn(&Path) -> bool) -> Result<Vec<(PathBuf, Option<Split>)>> {
    let named = |file: PathBuf, split: Option<Split>| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let split = split.or_else(|| Split::in_name(&name));
        (file, split)
    };
    if path.is_file() {
        let file = of_kind(path).then(|| named(path.to_owned(), None));
        return Ok(file.into_iter().collect());
    }
    let mut folders = vec![(path.to_owned(), None), (path.join("data"), None)];
    for entry in fs::read_dir(path).map_err(Error::io(path))? {
        let entry = entry.map_err(Error::io(path))?;
        let split = Split::from_name(&entry.file_name().to_string_lossy());
        folders.extend(split.map(|split| (entry.path(), Some(split))));
    }
    folders[2..].sort_by(|(a, s), (b, t)| (s, a).cmp(&(t, b)));
    let mut files = Vec::new();
    for (folder, split) in folders {
        if folder.is_dir() {
            let found = listed(&folder, of_kind)?.into_iter();
            files.extend(found.map(|file| named(file, split)));
        }
    }
    Ok(files)
}

/// Names of the classes, a line each, beside samples whose labels are numbers.
const CLASS_NAMES: [&str; 2] = ["classnames.txt", "classes.txt"];

/// Class names, and the class of each label that stands in a source. Numbers are lines of a file beside the samples, or
/// their own names where there is none.
fn numbered<'a>(
    labels: impl Iterator<Item = &'a String>,
    path: &Path,
) -> Result<(Vec<String>, BTreeMap<String, usize>)> {
    let labels: BTreeSet<&String> = labels.collect();
    let numbers: Option<Vec<(&String, u64)>> = (labels.iter())
        .map(|label| Some((*label, label.parse().ok()?)))
        .collect();
    let Some(numbers) = numbers else {
        let names: Vec<String> = labels.into_iter().cloned().collect();
        let places = names.iter().cloned().zip(0..).collect();
        return Ok((names, places));
    };
    let folder = if path.is_dir() {
        Some(path)
    } else {
        path.parent()
    };
    let mut lists = CLASS_NAMES
        .iter()
        .filter_map(|name| Some(folder?.join(name)));
    let Some(list) = lists.find(|list| list.is_file()) else {
        let distinct: BTreeSet<u64> = numbers.iter().map(|(_, n)| *n).collect();
        let names = distinct.iter().map(u64::to_string).collect();
        let place: BTreeMap<u64, usize> = distinct.into_iter().zip(0..).collect();
        let places = numbers
            .iter()
            .map(|(label, n)| ((*label).clone(), place[n]));
        return Ok((names, places.collect()));
    };
    let lines = read_text(&list).map_err(Error::io(&list))?;
    let names: Vec<String> = lines.lines().map(|line| line.trim().to_owned()).collect();
    let mut seen = BTreeSet::new();
    if let Some(name) = names
        .iter()
        .find(|name| name.is_empty() || !seen.insert(*name))
    {
        return Err(Error::format(
            list,
            "a class in each line, each once",
            format!("`{name}`"),
        ));
    }
    let place = |(label, n): &(&String, u64)| match usize::try_from(*n) {
        Ok(place) if place < names.len() => Ok(((*label).clone(), place)),
        _ => Err(Error::format(
            &list,
            format!("a line for every class up to {n}, counted from 0"),
            format!("{} lines", names.len()),
        )),
    };
    let places = numbers.iter().map(place).collect::<Result<_>>()?;
    Ok((names, places))
}
