//! Features of images: from the cache, or from a network with what shows how far it is.

use crate::failure::{Failure, Result};
use crate::output;
use crate::progress::Progress;
use learngene_data::Image;
use learngene_eval::metrics::{Extraction, Features, Layer, Origin};
use learngene_eval::{ImageView, Inception, Lite0, RowMatrix};
use std::fs;
use std::path::{Path, PathBuf};

/// Says what a cached file is, and in which version.
const MAGIC: &[u8; 8] = b"lgfeat01";
/// Bytes of its head: the magic and the number of columns.
const HEAD: usize = 16;

/// A network that turns images into features.
pub enum Extractor {
    Lite0(Lite0),
    Inception(Inception),
}

/// The most bytes of a network's weights, five times those of InceptionV3.
const MOST_WEIGHTS: u64 = 512 << 20;

/// The bytes of a file of weights.
fn weights(path: &Path) -> std::io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    match about.is_file() && about.len() <= MOST_WEIGHTS {
        true => fs::read(path),
        false => Err(std::io::Error::other(format!(
            "it is no regular file of at most {MOST_WEIGHTS} bytes"
        ))),
    }
}

impl Extractor {
    /// InceptionV3 with the weights in a file, or the built-in network.
    pub fn load(inception: Option<&Path>) -> Result<Self> {
        let Some(path) = inception else {
            return Ok(Self::Lite0(Lite0::load()?));
        };
        let name = path.display().to_string();
        let bytes = weights(path).map_err(|source| Failure::Read {
            path: name.clone(),
            source,
        })?;
        let loaded = Inception::from_safetensors(&bytes);
        Ok(Self::Inception(loaded.map_err(|source| {
            Failure::Extractor { path: name, source }
        })?))
    }

    /// What made its pooled features.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Lite0(lite0) => lite0.origin(Lite0::INPUT),
            Self::Inception(inception) => inception.origin(Layer::Pooled),
        }
    }

    /// Features of all images; `what` stands before the progress bar.
    pub fn extract(
        &self,
        images: &[ImageView<'_>],
        what: &str,
        cache: Option<&Cache>,
    ) -> Result<Extraction> {
        let shown = Progress::new(&format!("looking at {what}"), images.len() as u64, "images");
        let progress = |_: usize, _: usize| shown.add();
        Ok(match self {
            Self::Lite0(lite0) => {
                let origin = lite0.origin(Lite0::INPUT);
                let [rows] = cached(cache, [origin.key(images)], || {
                    Ok([lite0.features(images, Lite0::INPUT, progress)?])
                })?;
                Extraction {
                    pooled: Features::new(origin, rows)?,
                    spatial: None,
                    logits: None,
                }
            }
            Self::Inception(inception) => {
                let origins = [Layer::Pooled, Layer::Spatial].map(|layer| inception.origin(layer));
                let keys = origins.each_ref().map(|origin| origin.key(images));
                let [pooled, spatial] = cached(cache, keys, || {
                    let found = inception.features(images, progress)?;
                    Ok([found.pooled, found.spatial])
                })?;
                let logits = inception.logits(&pooled)?;
                let [of_pooled, of_spatial] = origins;
                Extraction {
                    pooled: Features::new(of_pooled, pooled)?,
                    spatial: Some(Features::new(of_spatial, spatial)?),
                    logits: Some(Features::new(inception.origin(Layer::Logits), logits)?),
                }
            }
        })
    }
}

/// Images as the networks see them.
pub fn views(images: &[Image]) -> Vec<ImageView<'_>> {
    let views = images.iter().map(|image| ImageView {
        width: image.width as usize,
        height: image.height as usize,
        channels: image.channels as usize,
        pixels: &image.pixels,
    });
    views.collect()
}

/// A folder of features, each file named by a hash of the images and of what made them. It stands here and in no library:
/// `eval` knows no file, and `formats` no feature.
#[derive(Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.features"))
    }

    /// Nothing if there is no such file. A damaged one is made anew.
    fn get(&self, key: &str) -> Option<RowMatrix> {
        let path = self.path(key);
        let bytes = (path.is_file()).then(|| fs::read(&path).ok())??;
        let found = decode(&bytes);
        if found.is_none() {
            let path = path.display();
            output::note(&format!("warning: {path} is damaged and is written again"));
        }
        found
    }

    fn put(&self, key: &str, rows: &RowMatrix) -> Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((rows.columns() as u64).to_le_bytes());
        bytes.extend(rows.values().iter().flat_map(|v| v.to_le_bytes()));
        let hash = blake3::hash(&bytes);
        bytes.extend(hash.as_bytes());
        output::write(&self.path(key), &bytes)
    }
}

fn decode(bytes: &[u8]) -> Option<RowMatrix> {
    let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(blake3::OUT_LEN)?)?;
    if blake3::hash(content).as_bytes() != hash || !content.starts_with(MAGIC) {
        return None;
    }
    let columns = u64::from_le_bytes(content.get(MAGIC.len()..HEAD)?.try_into().ok()?);
    let values = content.get(HEAD..)?.as_chunks().0.iter();
    let values = values.map(|&b| f32::from_le_bytes(b)).collect();
    RowMatrix::new(usize::try_from(columns).ok()?, values).ok()
}

/// What the cache has under all keys, or else what `make` makes, which is kept.
fn cached<const N: usize>(
    cache: Option<&Cache>,
    keys: [String; N],
    make: impl FnOnce() -> Result<[RowMatrix; N]>,
) -> Result<[RowMatrix; N]> {
    let Some(cache) = cache else {
        return make();
    };
    let kept: Option<Vec<RowMatrix>> = keys.iter().map(|key| cache.get(key)).collect();
    if let Some(Ok(kept)) = kept.map(<[RowMatrix; N]>::try_from) {
        return Ok(kept);
    }
    let made = make()?;
    for (key, rows) in keys.iter().zip(&made) {
        cache.put(key, rows)?;
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_kept_and_damaged_ones_are_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(&folder.path().join("new"));
        let rows = || RowMatrix::new(2, vec![1.0, -0.5, 3.0, f32::MIN_POSITIVE]).unwrap();
        let other = || RowMatrix::new(2, vec![9.0; 2]).unwrap();
        let get = |make: fn() -> Result<[RowMatrix; 1]>| {
            cached(Some(&cache), ["key".to_owned()], make).unwrap()
        };
        assert_eq!(
            cached(Some(&cache), ["key".to_owned()], || Ok([rows()])).unwrap(),
            [rows()]
        );
        assert_eq!(get(|| Err(Failure::Stopped)), [rows()], "from the file");
        let path = cache.path("key");
        let mut bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(decode(&bytes).is_none(), "byte {at}");
            assert!(decode(&bytes[..at]).is_none(), "cut at {at}");
            bytes[at] ^= 1;
        }
        bytes.pop();
        fs::write(&path, bytes).unwrap();
        assert_eq!(
            cached(Some(&cache), ["key".to_owned()], || Ok([other()])).unwrap(),
            [other()]
        );
        assert_eq!(get(|| Err(Failure::Stopped)), [other()], "written again");
    }
}
