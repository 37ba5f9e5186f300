//! Latents: what an autoencoder made of images, so that a diffusion model is trained without it.
//!
//! A cache is a folder of shards, safetensors files of up to [`SHARD`] images in the order of the source, and of
//! `latents.json`, which is written last. A shard holds means and log-variances of the images and of their mirror images,
//! and says in its metadata which they are, what made them, and a hash of the values of each. So writing can be cut off at any moment: the same images
//! and the same recipe go on with the first shard that is not there, and the files are those of one that was not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use learngene_formats::Rows;
use learngene_formats::atomic::write_bytes_atomically;
use learngene_formats::container::{self, Contents, TensorEntry};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::{Fit, Image, Split};

/// Images of a full shard.
pub const SHARD: usize = 256;
/// The file that says that a cache is whole.
pub const MANIFEST: &str = "latents.json";
/// The version written, and the only one read.
const VERSION: u32 = 1;
/// The entry of a shard's metadata with a BLAKE3 (hex) of each latent's values; files of older versions have none.
const HASHES: &str = "hashes";
/// The tensors of a shard, `[n, c, h, w]` each.
const TENSORS: [&str; 4] = [
    "mean",
    "log_variance",
    "mirrored.mean",
    "mirrored.log_variance",
];

/// What latents mean: those of different spaces have nothing to do with each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentSpace {
    /// BLAKE3 of the weights of the encoder and of both factors.
    pub encoder: String,
    /// What latents are multiplied with, after the shift, for a diffusion model.
    pub scaling_factor: f64,
    /// What is subtracted from them before.
    pub shift_factor: f64,
}

/// The distribution of one image's latent and that of its mirror image, neither shifted nor scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct Latent {
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Means and log-variances of the image, then of its mirror image: four times the values of `shape`.
    pub values: Vec<f32>,
}

/// What a sample of a source is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An image.
    Image(Image),
    /// A latent.
    Latent(Latent),
}

impl From<Image> for Content {
    fn from(image: Image) -> Self {
        Self::Image(image)
    }
}

impl Content {
    /// The image, if it is one.
    pub fn image(&self) -> Option<&Image> {
        match self {
            Self::Image(image) => Some(image),
            Self::Latent(_) => None,
        }
    }

    /// Channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        match self {
            Self::Image(image) => [image.channels, image.height, image.width].map(|n| n as usize),
            Self::Latent(latent) => latent.shape,
        }
    }
}

/// What a cache is made of, apart from the images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The source of the images.
    pub source: String,
    /// Its classes in the order of their numbers.
    pub classes: Vec<String>,
    /// Those of pre-training, if the source says which.
    pub base: Vec<String>,
    /// Those of transfer.
    pub novel: Vec<String>,
    /// Side of the square that images were brought to; their own if absent.
    pub image_size: Option<usize>,
    /// How they were.
    #[serde(default, skip_serializing_if = "Fit::is_crop")]
    pub fit: Fit,
    /// Channels of the images that were encoded.
    pub channels: usize,
    /// The autoencoder.
    pub space: LatentSpace,
}

impl Recipe {
    /// BLAKE3 (hex) of all of it: what a shard must have been made by.
    pub fn hash(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        blake3::hash(&text).to_hex().to_string()
    }
}

/// `latents.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    version: u32,
    pub recipe: Recipe,
    recipe_hash: String,
    /// Channels, height, width of every latent.
    pub shape: [usize; 3],
    /// Images of each shard.
    pub shards: Vec<usize>,
}

impl Manifest {
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::latents(path, reason);
        let found: Self =
            learngene_formats::shards::read_json(path).map_err(|error| wrong(error.to_string()))?;
        if found.version != VERSION {
            let version = found.version;
            return Err(wrong(format!(
                "it has version {version}, expected {VERSION}"
            )));
        }
        if found.recipe.hash() != found.recipe_hash {
            return Err(wrong(
                "its checksum does not hold: encode the images again".into(),
            ));
        }
        // The checksum is of the recipe alone.
        let mut sides = found.shape.iter();
        let values = sides.try_fold(TENSORS.len(), |n, &side| n.checked_mul(side));
        let mut counts = found.shards.iter();
        let images = counts.try_fold(0usize, |n, &count| n.checked_add(count));
        if values
            .zip(images)
            .is_none_or(|(n, of)| n.checked_mul(of).is_none())
        {
            let (count, shape) = (found.shards.len(), found.shape);
            return Err(wrong(format!(
                "it says more than there can be, in {count} shards of latents of shape {shape:?}: encode the images again"
            )));
        }
        Ok(found)
    }
}

/// What is known of an image beside its latent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, unique in the source.
    pub id: String,
    /// The number of its class.
    pub class: usize,
    /// The split the source puts it in, if it has any.
    pub split: Option<Split>,
}

/// The images of one shard, as a writer is told of them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// One entry an image.
    pub entries: Vec<Entry>,
    /// The images as they are encoded, of one size.
    pub images: Vec<Image>,
}

impl Batch {
    /// The metadata of its shard.
    fn metadata(&self, recipe: &str) -> BTreeMap<String, String> {
        let mut pixels = blake3::Hasher::new();
        self.images.iter().for_each(|image| {
            pixels
                .update(&image.width.to_le_bytes())
                .update(&image.pixels);
        });
        let entries = serde_json::to_string(&self.entries).unwrap_or_default();
        [
            ("recipe", recipe.to_owned()),
            ("pixels", pixels.finalize().to_hex().to_string()),
            ("entries", entries),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

pub(crate) fn shard_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("latents-{number:05}.safetensors"))
}

/// Writes a cache, shard by shard.
#[derive(Debug)]
pub struct LatentWriter {
    folder: PathBuf,
    recipe: Recipe,
    hash: String,
    shape: [usize; 3],
    shards: Vec<usize>,
}

impl LatentWriter {
    /// A cache of latents of that shape in `folder`, which is made or holds the beginning of the same one.
    ///
    /// # Errors
    /// A folder that cannot be made, or that holds anything but a cache: beside one, it would be read as one.
    pub fn open(folder: &Path, recipe: Recipe, shape: [usize; 3]) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
            let name = entry.map_err(Error::io(folder))?.file_name();
            let name = name.to_string_lossy();
            if !name.starts_with("latents") && !name.ends_with(".tmp") {
                let reason = format!(
                    "it holds `{name}`, which is no part of a cache: choose another folder"
                );
                return Err(Error::latents(folder, reason));
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            hash: recipe.hash(),
            recipe,
            shape,
            shards: Vec::new(),
        })
    }

    /// Whether the next shard is there, of just these images; it then counts as written.
    ///
    /// # Errors
    /// A shard of other images or another recipe, or a damaged one.
    pub fn holds(&mut self, batch: &Batch) -> Result<bool> {
        let path = shard_path(&self.folder, self.shards.len());
        if !path.exists() {
            return Ok(false);
        }
        let refuse = |reason: String| Error::latents(&path, reason);
        let mut metadata = container::read_metadata(&path).map_err(|e| refuse(e.to_string()))?;
        metadata.remove(HASHES);
        if metadata != batch.metadata(&self.hash) {
            return Err(refuse(
                "it is of other images, or of another autoencoder or image size, than what is to be encoded: choose \
                 another folder"
                    .into(),
            ));
        }
        self.shards.push(batch.entries.len());
        Ok(true)
    }

    /// Writes the next shard.
    ///
    /// - latents: one an image
    ///
    /// # Errors
    /// A file that cannot be written; latents of another shape, or that are not finite.
    pub fn write(&mut self, batch: &Batch, latents: &[Latent]) -> Result<()> {
        let path = shard_path(&self.folder, self.shards.len());
        let size: usize = self.shape.iter().product();
        for (entry, latent) in batch.entries.iter().zip(latents) {
            let whole = latent.shape == self.shape && latent.values.len() == TENSORS.len() * size;
            if !whole || latent.values.iter().any(|v| !v.is_finite()) {
                let (id, shape) = (&entry.id, self.shape);
                let reason =
                    format!("the latent of `{id}` is not finite or not of shape {shape:?}");
                return Err(Error::latents(&path, reason));
            }
        }
        let [c, h, w] = self.shape;
        let tensor = |part: usize| TensorEntry {
            shape: vec![latents.len(), c, h, w],
            values: (latents.iter())
                .flat_map(|latent| &latent.values[part * size..][..size])
                .copied()
                .collect(),
        };
        let parts = TENSORS.iter().enumerate();
        let hashes: Vec<String> = latents
            .iter()
            .map(|latent| hash_of(&latent.values))
            .collect();
        let mut metadata = batch.metadata(&self.hash);
        metadata.insert(HASHES.to_owned(), hashes.join(" "));
        let contents = Contents {
            metadata,
            tensors: parts
                .map(|(i, name)| ((*name).to_owned(), tensor(i)))
                .collect(),
        };
        container::write(&path, &contents).map_err(|e| Error::latents(&path, e.to_string()))?;
        self.shards.push(latents.len());
        Ok(())
    }

    /// Writes `latents.json`, after which the cache is whole.
    ///
    /// # Errors
    /// A shard beyond the last image; a file that cannot be written.
    pub fn finish(self) -> Result<()> {
        let surplus = shard_path(&self.folder, self.shards.len());
        if surplus.exists() {
            let reason = "there are no more images for it: choose another folder";
            return Err(Error::latents(&surplus, reason));
        }
        let path = self.folder.join(MANIFEST);
        let manifest = Manifest {
            version: VERSION,
            recipe: self.recipe,
            recipe_hash: self.hash,
            shape: self.shape,
            shards: self.shards,
        };
        let text = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
        write_bytes_atomically(&path, text.as_bytes())
            .map_err(|e| Error::latents(&path, e.to_string()))
    }
}

/// A shard of a cache: its images, and where their latents are.
#[derive(Debug)]
pub(crate) struct Shard {
    rows: Rows,
    shape: [usize; 3],
    /// Of each latent's values, if the file has them.
    hashes: Option<Vec<String>>,
}

/// BLAKE3 (hex) of the values of a latent.
fn hash_of(values: &[f32]) -> String {
    let mut hasher = blake3::Hasher::new();
    values.iter().for_each(|value| {
        hasher.update(&value.to_le_bytes());
    });
    hasher.finalize().to_hex().to_string()
}

impl Shard {
    /// Reads what stands in front of the latents.
    ///
    /// # Errors
    /// A shard of another recipe, shape or number of images.
    pub fn open(folder: &Path, manifest: &Manifest, number: usize) -> Result<(Self, Vec<Entry>)> {
        let path = shard_path(folder, number);
        let wrong = |reason: String| Error::latents(&path, reason);
        let (rows, metadata) = Rows::open(&path).map_err(|e| wrong(e.to_string()))?;
        if metadata.get("recipe") != Some(&manifest.recipe_hash) {
            return Err(wrong(
                "it belongs to another cache: encode the images again".into(),
            ));
        }
        let entries = metadata.get("entries").map_or("", String::as_str);
        let entries: Vec<Entry> =
            serde_json::from_str(entries).map_err(|e| wrong(format!("its list of images: {e}")))?;
        let (count, classes) = (manifest.shards[number], manifest.recipe.classes.len());
        if entries.len() != count || entries.iter().any(|entry| entry.class >= classes) {
            return Err(wrong(format!(
                "expected {count} images of {classes} classes"
            )));
        }
        let [c, h, w] = manifest.shape;
        let shape = [count, c, h, w];
        if let Some(name) = (TENSORS.iter()).find(|name| rows.shape(name) != Some(&shape)) {
            return Err(wrong(format!("expected `{name}` of shape {shape:?}")));
        }
        let hashes = metadata.get(HASHES);
        let hashes = hashes.map(|hashes| hashes.split(' ').map(str::to_owned).collect::<Vec<_>>());
        if hashes.as_ref().is_some_and(|hashes| hashes.len() != count) {
            return Err(wrong(format!("expected {count} hashes of latents")));
        }
        let shard = Self {
            rows,
            shape: manifest.shape,
            hashes,
        };
        Ok((shard, entries))
    }

    /// The latent of its image `i`.
    ///
    /// # Errors
    /// A file that cannot be read, or is not what it was; values that are not finite.
    pub fn latent(&self, i: usize) -> Result<Latent> {
        let wrong = |reason: String| Error::latents(self.rows.path(), reason);
        let values = self.rows.read(&TENSORS, i);
        let values = values.map_err(|e| wrong(e.to_string()))?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(wrong("it holds NaN or infinite values".into()));
        }
        let expected = self.hashes.as_ref().and_then(|hashes| hashes.get(i));
        if expected.is_some_and(|expected| *expected != hash_of(&values)) {
            return Err(wrong(format!(
                "the values of its latent {i} are not those that were written: encode the images again"
            )));
        }
        Ok(Latent {
            shape: self.shape,
            values,
        })
    }
}
