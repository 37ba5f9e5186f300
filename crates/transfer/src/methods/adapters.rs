//! Bottleneck adapters: a narrow perceptron added behind every block (Houlsby et al., arXiv 1902.00751, with one per block
//! as Pfeiffer et al., arXiv 2005.00247).
//!
//! `h + U gelu(D h)` with h the output of the block, U zero to start with.
//!
//! No weight of the base can hold it, so it is not merged. Good values: a width of 8 to 64.

use super::{Added, Fits, Method};
use crate::error::Result;
use crate::settings::{Setting, Settings};
use learngene_nn::DitConfig;

pub(super) struct Adapters;

const SETTINGS: &[Setting] = &[Setting {
    name: "width",
    default: "16",
    about: "hidden units of a bottleneck",
}];

impl Method for Adapters {
    fn name(&self) -> &'static str {
        "adapters"
    }

    fn about(&self) -> &'static str {
        "a bottleneck behind every block"
    }

    fn settings(&self) -> &'static [Setting] {
        SETTINGS
    }

    fn fits(&self) -> Fits {
        Fits::Any
    }

    fn rate(&self) -> f64 {
        3e-3
    }

    fn shape(&self, mut config: DitConfig, settings: &Settings, _: u64) -> Result<DitConfig> {
        config.bottleneck = settings.count("width")?;
        Ok(config)
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        let (d, k) = (config.hidden, settings.count("width")?);
        Ok(Added {
            trained: (config.depth * (2 * d * k + k + d)) as u64,
            macs: (config.depth * config.tokens() * 2 * d * k) as u64,
        })
    }
}
