//! A result and all that belongs to it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rates::Rate;

/// One number about generated images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// What it is, and of which features: `FD-Lite0`, `FID`, `KID-Lite0`, `precision-Lite0`, ...
    pub name: String,
    /// The estimate.
    pub value: f64,
    /// Real images it is based on; 0 for a score that needs none.
    pub real: usize,
    /// Generated images it is based on.
    pub generated: usize,
    /// Its uncertainty; none if no resamples were asked for.
    pub interval: Option<Interval>,
    /// What makes the value say less than it seems to.
    pub caveats: Vec<Caveat>,
}

impl Measure {
    /// A share, and how many images of each kind it rests on; nothing if nothing was counted.
    pub fn of_rate(name: String, rate: &Rate, real: usize, generated: usize) -> Option<Self> {
        Some(Self {
            name,
            value: rate.rate?,
            real,
            generated,
            interval: Some(Interval {
                low: rate.low,
                high: rate.high,
            }),
            caveats: Vec::new(),
        })
    }
}

/// A 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Why a value is not what its name promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Caveat {
    /// Fewer images than features: the covariance is singular, and the Frechet distance far above that of many
    /// images. It can be compared at equal numbers of images only.
    FewerImagesThanFeatures {
        /// Images of the smaller set.
        images: usize,
        /// Length of a feature vector.
        features: usize,
    },
    /// Too few images to fill the usual splits of the inception score.
    FewerSplits {
        /// Splits in use.
        splits: usize,
    },
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewerImagesThanFeatures { images, features } => write!(
                f,
                "{images} images for {features} features: biased upwards, compare at equal numbers of images only"
            ),
            Self::FewerSplits { splits } => write!(
                f,
                "{splits} of the usual {} splits, for want of images",
                super::SPLITS
            ),
        }
    }
}
