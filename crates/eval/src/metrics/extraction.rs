//! Everything a network says of a set of images, and everything that can be measured on it.

use super::{
    Bootstrap, Features, Measure, Pair, frechet_distance, inception_score, kernel_distance,
    manifold,
};
use crate::error::EvalError;

/// What a network says of a set of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Extraction {
    /// Averages after the last convolution.
    pub pooled: Features,
    /// Positions of an inner layer, for sFID: InceptionV3's alone.
    pub spatial: Option<Features>,
    /// What goes into the softmax, for the inception score: InceptionV3's alone.
    pub logits: Option<Features>,
}

/// What is measured of generated images beside real ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// [`frechet_distance`] of the pooled features: FID of InceptionV3's, FD-Lite0 otherwise.
    Frechet,
    /// [`frechet_distance`] of the spatial features: sFID.
    Spatial,
    /// [`kernel_distance`] of the pooled features.
    Kernel,
    /// [`inception_score`].
    Score,
    /// [`manifold`]: precision, recall, density and coverage.
    Manifold,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Frechet,
        Self::Spatial,
        Self::Kernel,
        Self::Score,
        Self::Manifold,
    ];

    /// What its measures are called.
    pub fn names(self) -> &'static str {
        match self {
            Self::Frechet => "Frechet distance",
            Self::Spatial => "sFID",
            Self::Kernel => "kernel distance",
            Self::Score => "inception score",
            Self::Manifold => "precision, recall, density and coverage",
        }
    }

    /// Measures; none where the network has no such features. `progress` is called after every resample of a Frechet
    /// distance, from any thread.
    ///
    /// # Errors
    /// Features of different origin, too few images, eigenvalues that are not found.
    pub fn of(
        self,
        real: &Extraction,
        generated: &Extraction,
        bootstrap: &Bootstrap,
        progress: impl Fn() + Sync,
    ) -> Result<Vec<Measure>, EvalError> {
        let pooled = || Pair::new(&real.pooled, &generated.pooled);
        match self {
            Self::Frechet => Ok(vec![frechet_distance(&pooled()?, bootstrap, progress)?]),
            Self::Kernel => Ok(vec![kernel_distance(&pooled()?, bootstrap)?]),
            Self::Manifold => {
                let found = manifold(&pooled()?, bootstrap)?;
                Ok(vec![
                    found.precision,
                    found.recall,
                    found.density,
                    found.coverage,
                ])
            }
            Self::Spatial => match (&real.spatial, &generated.spatial) {
                (Some(real), Some(generated)) => {
                    let pair = Pair::new(real, generated)?;
                    Ok(vec![frechet_distance(&pair, bootstrap, progress)?])
                }
                _ => Ok(Vec::new()),
            },
            Self::Score => match &generated.logits {
                Some(logits) => Ok(vec![inception_score(logits, bootstrap)?]),
                None => Ok(Vec::new()),
            },
        }
    }
}
