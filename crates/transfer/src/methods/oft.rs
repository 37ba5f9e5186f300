//! OFT: inputs of a matrix rotated block by block (Qiu et al., arXiv 2306.07280).
//!
//! `W R`, R with blocks `(I + Q)(I - Q)^-1` along its diagonal (Cayley), Q skew-symmetric and zero to start with.
//!
//! Angles between the rows of W stay what they are. R turns the inputs, as in the paper and in PEFT, whose exact form
//! (without the Neumann series) this is. Good values: blocks of 4 to 32.

use super::{Added, Fits, Method, SITES_SETTING, over_terms, with_formula};
use crate::error::Result;
use crate::settings::{Setting, Settings};
use learngene_nn::{DitConfig, term::Formula};

pub(super) struct Oft;

const SETTINGS: &[Setting] = &[
    Setting {
        name: "block",
        default: "8",
        about: "rows and columns of a block; divides the inputs of the matrices",
    },
    SITES_SETTING,
];

impl Method for Oft {
    fn name(&self) -> &'static str {
        "oft"
    }

    fn about(&self) -> &'static str {
        "inputs rotated block by block"
    }

    fn settings(&self) -> &'static [Setting] {
        SETTINGS
    }

    fn fits(&self) -> Fits {
        Fits::Weights
    }

    fn rate(&self) -> f64 {
        3e-3
    }

    fn shape(&self, config: DitConfig, settings: &Settings, _: u64) -> Result<DitConfig> {
        let block = settings.count("block")?;
        Ok(with_formula(config, settings, Formula::Rotation { block }))
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        let b = settings.count("block")?;
        Ok(Added {
            trained: over_terms(config, |_, n| n * (b - 1) / 2),
            macs: over_terms(config, |m, n| m * n * b + 3 * n * b * b),
        })
    }
}
