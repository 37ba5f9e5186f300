//! BOFT: inputs of a matrix rotated by few factors that mix all of them (Liu et al., arXiv 2311.06243).
//!
//! `diag(l) W R_1 R_2 ...`, each R as in [`super::oft`], but with blocks of inputs that lie twice as far apart as in the
//! factor before.
//!
//! One factor and `l` of one is OFT; log2(2 n / block) factors reach every input from every other. PEFT has the same for
//! one and two factors; from the third on it pairs inputs in another way, and does not reach all. Good values: blocks of 4
//! to 8, two to four factors.

use super::{Added, Fits, Method, SITES_SETTING, over_terms, with_formula};
use crate::error::Result;
use crate::settings::{Setting, Settings};
use learngene_nn::{DitConfig, term::Formula};

pub(super) struct Boft;

const SETTINGS: &[Setting] = &[
    Setting {
        name: "block",
        default: "8",
        about: "inputs that a block rotates; even",
    },
    Setting {
        name: "factors",
        default: "2",
        about: "how many; block 2^(factors - 1) divides the inputs of the matrices",
    },
    SITES_SETTING,
];

impl Method for Boft {
    fn name(&self) -> &'static str {
        "boft"
    }

    fn about(&self) -> &'static str {
        "inputs rotated by interleaved blocks, outputs scaled"
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
        let (block, factors) = (settings.count("block")?, settings.count("factors")?);
        let formula = Formula::Butterfly { block, factors };
        Ok(with_formula(config, settings, formula))
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        let (b, f) = (settings.count("block")?, settings.count("factors")?);
        Ok(Added {
            trained: over_terms(config, |m, n| f * n * (b - 1) / 2 + m),
            macs: over_terms(config, |m, n| f * (m * n * b + 3 * n * b * b)),
        })
    }
}
