//! Latents in a folder, as `learngene encode` leaves them.

use std::path::{Path, PathBuf};

use super::{Partition, Sample, Source, text};
use crate::error::{Error, Result};
use crate::latents::{Content, LatentSpace, MANIFEST, Manifest, read_shard, shard_path};

/// A whole cache whose shards have not been read.
#[derive(Debug)]
pub(super) struct LatentCache {
    name: String,
    folder: PathBuf,
    manifest: Manifest,
    partition: Option<Partition>,
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
        Ok(Some(Self {
            name: text(folder),
            folder: folder.to_owned(),
            manifest,
            partition: (partition != Partition::default()).then_some(partition),
        }))
    }
}

impl Source for LatentCache {
    fn name(&self) -> &str {
        &self.name
    }

    fn class_names(&self) -> &[String] {
        &self.manifest.recipe.classes
    }

    fn partition(&self) -> Option<&Partition> {
        self.partition.as_ref()
    }

    fn known_len(&self) -> Option<usize> {
        Some(self.manifest.shards.iter().sum())
    }

    fn latent_space(&self) -> Option<&LatentSpace> {
        Some(&self.manifest.recipe.space)
    }

    fn samples(&self) -> Box<dyn Iterator<Item = Result<Sample>> + '_> {
        let shard = |number: usize| {
            let (read, error) = match read_shard(&self.folder, &self.manifest, number) {
                Ok(read) => (read, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            let sample = |(entry, latent): (crate::latents::Entry, _)| {
                Ok(Sample {
                    content: Content::Latent(latent),
                    class: entry.class,
                    split: entry.split,
                    id: entry.id,
                })
            };
            error.into_iter().chain(read.into_iter().map(sample))
        };
        Box::new((0..self.manifest.shards.len()).flat_map(shard))
    }
}
