//! Latents in a folder, as `learngene encode` leaves them.

use std::path::Path;

use super::{Indexed, Partition, Sample, Source, in_order, text};
use crate::error::{Error, Result};
use crate::latents::{Content, Entry, LatentSpace, MANIFEST, Manifest, Recipe, Shard, shard_path};

/// A whole cache whose latents have not been read.
#[derive(Debug)]
pub(super) struct LatentCache {
    name: String,
    recipe: Recipe,
    partition: Option<Partition>,
    shards: Vec<Shard>,
    /// The number of each shard's first image.
    firsts: Vec<usize>,
    entries: Vec<Entry>,
}

impl LatentCache {
    /// Opens a folder with shards or `latents.json` in it; `None` for any other path.
    pub(super) fn open(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(MANIFEST);
        if !path.is_file() {
            return match shard_path(folder, 0).is_file() {
                true => Err(Error::latents(
                    folder,
                    "it was not encoded to the end: the same `learngene encode` goes on where it was",
                )),
                false => Ok(None),
            };
        }
        let manifest = Manifest::read(&path)?;
        if manifest.shards.is_empty() {
            return Err(Error::EmptySource {
                origin: text(folder),
                hint: "encode a source that has images",
            });
        }
        let partition = Partition {
            base: manifest.recipe.base.clone(),
            novel: manifest.recipe.novel.clone(),
        };
        let (mut shards, mut firsts, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..manifest.shards.len() {
            let (shard, listed) = Shard::open(folder, &manifest, number)?;
            shards.push(shard);
            firsts.push(entries.len());
            entries.extend(listed);
        }
        Ok(Some(Self {
            name: text(folder),
            recipe: manifest.recipe,
            partition: (partition != Partition::default()).then_some(partition),
            shards,
            firsts,
            entries,
        }))
    }
}

impl Source for LatentCache {
    fn name(&self) -> &str {
        &self.name
    }

    fn class_names(&self) -> &[String] {
        &self.recipe.classes
    }

    fn partition(&self) -> Option<&Partition> {
        self.partition.as_ref()
    }

    fn latent_space(&self) -> Option<&LatentSpace> {
        Some(&self.recipe.space)
    }

    fn indexed(&self) -> Option<&dyn Indexed> {
        Some(self)
    }

    fn samples(&self) -> Box<dyn Iterator<Item = Result<Sample>> + '_> {
        in_order(self)
    }
}

impl Indexed for LatentCache {
    fn count(&self) -> usize {
        self.entries.len()
    }

    fn entry(&self, i: usize) -> Entry {
        self.entries[i].clone()
    }

    fn content(&self, i: usize) -> Result<Content> {
        let number = self.firsts.partition_point(|first| *first <= i) - 1;
        let latent = self.shards[number].latent(i - self.firsts[number])?;
        Ok(Content::Latent(latent))
    }

    /// A latent is read from its place alone, and shards are often of one class: all are shuffled together.
    fn block(&self, i: usize) -> usize {
        i
    }
}
