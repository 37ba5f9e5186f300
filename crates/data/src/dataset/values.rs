//! The numbers of a split's samples, one sample after another.

use super::stored::Stored;
use crate::latents::{Content, LatentSpace};
use crate::random::Stream;

/// Numbers that each value of a latent is kept as: mean and standard deviation, and those of the mirror image.
pub(super) const PER_VALUE: usize = 4;

/// What the samples of a split are.
#[derive(Debug, Clone)]
pub(super) enum Values {
    /// Pixels of images.
    Bytes(Vec<u8>),
    /// Images that are read as they are wanted.
    Stored(Stored),
    /// Distributions of latents as a model sees them, shifted and scaled.
    Normals {
        /// For each latent its means, standard deviations, and those of the mirror image.
        numbers: Vec<f32>,
        /// The space the latents are of.
        space: LatentSpace,
    },
}

impl Default for Values {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl Values {
    /// None yet: of latents if there is a space, else of images.
    pub fn empty(space: Option<&LatentSpace>) -> Self {
        match space {
            None => Self::default(),
            Some(space) => Self::Normals {
                numbers: Vec::new(),
                space: space.clone(),
            },
        }
    }

    /// None of the same sort yet.
    pub fn none(&self) -> Self {
        match self {
            Self::Bytes(_) => Self::default(),
            Self::Stored(stored) => Self::Stored(stored.none()),
            Self::Normals { space, .. } => Self::empty(Some(space)),
        }
    }

    /// Takes one more of the images that are read as they are wanted: its number in the source.
    pub fn list(&mut self, number: usize) {
        if let Self::Stored(stored) = self {
            stored.push(number);
        }
    }

    /// Takes one more sample, an image with so many channels. A source has samples of one sort.
    pub fn push(&mut self, content: Content, channels: u32) {
        match (self, content) {
            (Self::Bytes(bytes), Content::Image(image)) => {
                bytes.extend(image.with_channels(channels).pixels);
            }
            (Self::Normals { numbers, space }, Content::Latent(latent)) => {
                let size = latent.shape.iter().product();
                scale(&latent.values, size, space, numbers);
            }
            _ => {}
        }
    }

    /// Takes sample `i` of `other` as well; a sample has `size` values.
    pub fn copy(&mut self, other: &Self, size: usize, i: usize) {
        match (self, other) {
            (Self::Bytes(to), Self::Bytes(from)) => to.extend(&from[i * size..][..size]),
            (Self::Normals { numbers: to, .. }, Self::Normals { numbers: from, .. }) => {
                let each = PER_VALUE * size;
                to.extend(&from[i * each..][..each]);
            }
            (Self::Stored(to), Self::Stored(from)) => to.copy(from, i),
            _ => {}
        }
    }

    /// Hashes what tells these samples, of those names, from others.
    pub fn hash(&self, hasher: &mut blake3::Hasher, ids: &[String]) {
        match self {
            Self::Bytes(bytes) => {
                hasher.update(bytes);
            }
            Self::Stored(stored) => {
                hasher.update(b"by name");
                if let Some(space) = stored.latent_space() {
                    hasher.update(space.encoder.as_bytes());
                }
                for id in ids {
                    hasher.update(&(id.len() as u64).to_le_bytes());
                    hasher.update(id.as_bytes());
                }
            }
            Self::Normals { numbers, space } => {
                hasher.update(space.encoder.as_bytes());
                numbers.iter().for_each(|number| {
                    hasher.update(&number.to_le_bytes());
                });
            }
        }
    }
}

/// Appends means and standard deviations as a model sees them, of one image or of several one after another.
///
/// - values: means and log-variances, `size` each
pub(super) fn scale(values: &[f32], size: usize, space: &LatentSpace, out: &mut Vec<f32>) {
    let (scale, shift) = (space.scaling_factor, space.shift_factor);
    for (i, part) in values.chunks_exact(size.max(1)).enumerate() {
        let number = |value: &f32| {
            let value = f64::from(*value);
            let scaled = match i % 2 {
                0 => (value - shift) * scale,
                _ => libm::exp(value / 2.0) * scale,
            };
            scaled as f32
        };
        out.extend(part.iter().map(number));
    }
}

/// Draws one value from each normal distribution, or takes its mean.
///
/// - normals: means and standard deviations, as many as `out` has values each
pub(super) fn draw(normals: &[f32], posterior: Option<Stream>, out: &mut [f32]) {
    let (means, deviations) = normals.split_at(out.len());
    let Some(mut stream) = posterior else {
        out.copy_from_slice(means);
        return;
    };
    stream.fill_normal(out);
    for (out, (mean, deviation)) in out.iter_mut().zip(means.iter().zip(deviations)) {
        *out = mean + deviation * *out;
    }
}
