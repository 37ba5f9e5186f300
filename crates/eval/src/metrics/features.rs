//! Feature vectors that know where they come from, so that only like is compared with like.

use serde::Serialize;

use crate::error::EvalError;
use crate::matrix::{RowMatrix, check_finite};
use crate::resize::ImageView;

/// A feature extractor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Network {
    /// EfficientNet-Lite0.
    Lite0,
    /// InceptionV3 as the Frechet inception distance is defined on.
    InceptionV3,
}

/// Where in the network the values were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Averages over the image after the last convolution.
    Pooled,
    /// Positions of an inner layer, for sFID.
    Spatial,
    /// What goes into the softmax.
    Logits,
}

/// What made feature vectors. Vectors of different origin must not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The extractor.
    pub network: Network,
    /// Where in it.
    pub layer: Layer,
    /// BLAKE3 (hex) of the bytes of its weight file.
    pub weights: String,
    /// How an image was brought to the network's size: filter and side in pixels.
    pub resize: String,
}

impl Origin {
    /// `name` for what the field calls so, `name-Lite0` for the same on the features of another network.
    pub fn named(&self, name: &str) -> String {
        match self.network {
            Network::Lite0 => format!("{name}-Lite0"),
            Network::InceptionV3 => name.to_owned(),
        }
    }

    /// BLAKE3 (hex) of this origin and of the images: features with the same key are the same, to rounding.
    pub fn key(&self, images: &[ImageView<'_>]) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(format!("{self:?}").as_bytes());
        for image in images {
            let sides = [image.width, image.height, image.channels];
            sides.iter().for_each(|side| {
                hash.update(&(*side as u64).to_le_bytes());
            });
            hash.update(image.pixels);
        }
        hash.finalize().to_hex().to_string()
    }
}

/// Feature vectors of images, one per row.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    origin: Origin,
    rows: RowMatrix,
}

impl Features {
    /// Finite rows of a known origin.
    ///
    /// # Errors
    /// [`EvalError::NotFinite`] for the first row with a NaN or an infinity.
    pub fn new(origin: Origin, rows: RowMatrix) -> Result<Self, EvalError> {
        check_finite(&rows)?;
        Ok(Self { origin, rows })
    }

    /// What made them.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// One row per image.
    pub fn rows(&self) -> &RowMatrix {
        &self.rows
    }
}

/// Features of real and of generated images that may be compared.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    real: &'a Features,
    generated: &'a Features,
}

impl<'a> Pair<'a> {
    /// Puts two sets side by side.
    ///
    /// # Errors
    /// [`EvalError::Origins`] if network, layer, weights, resizing or length of the vectors differ.
    pub fn new(real: &'a Features, generated: &'a Features) -> Result<Self, EvalError> {
        let columns = (real.rows.columns(), generated.rows.columns());
        if real.origin != generated.origin || columns.0 != columns.1 {
            let text = |origin: &Origin, columns: usize| {
                let Origin {
                    network,
                    layer,
                    weights,
                    resize,
                } = origin;
                let weights = weights.get(..12).unwrap_or(weights);
                format!("{columns} values ({network:?} {layer:?}, weights {weights}, {resize})")
            };
            return Err(EvalError::Origins {
                real: text(&real.origin, columns.0),
                generated: text(&generated.origin, columns.1),
            });
        }
        Ok(Self { real, generated })
    }

    pub(super) fn origin(&self) -> &'a Origin {
        &self.real.origin
    }

    /// The rows of the real and of the generated images, at least `least` of each.
    pub(super) fn rows(&self, least: usize) -> Result<[&'a RowMatrix; 2], EvalError> {
        let [real, generated] = [&self.real.rows, &self.generated.rows];
        at_least(least, real.rows(), "real")?;
        at_least(least, generated.rows(), "generated")?;
        Ok([real, generated])
    }
}

pub(super) fn at_least(least: usize, found: usize, set: &'static str) -> Result<(), EvalError> {
    if found < least {
        return Err(EvalError::TooFewImages { set, found, least });
    }
    Ok(())
}
