//! LoKr: a Kronecker product as the change (Edalati et al., KronA, arXiv 2212.10650; as in LyCORIS, arXiv 2309.14859).
//!
//! `W + (alpha / r) C (x) (B A)`, C square with `factor` rows and zero to start with.
//!
//! Its rank reaches that of C times r, for very few numbers. Good values: a factor of 4 to 16.

use super::{Added, Fits, Method, RANK, SITES_SETTING, lora, over_terms, with_formula};
use crate::error::Result;
use crate::settings::{Setting, Settings};
use learngene_nn::{DitConfig, term::Formula};

pub(super) struct Lokr;

const SETTINGS: &[Setting] = &[
    RANK,
    lora::ALPHA,
    Setting {
        name: "factor",
        default: "8",
        about: "rows and columns of C; divides those of the matrices",
    },
    SITES_SETTING,
];

impl Method for Lokr {
    fn name(&self) -> &'static str {
        "lokr"
    }

    fn about(&self) -> &'static str {
        "a Kronecker product as the change"
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
        let (factor, rank) = (settings.count("factor")?, settings.count("rank")?);
        let scale = settings.positive("alpha")? / rank as f64;
        let formula = Formula::Kronecker {
            factor,
            rank,
            scale,
        };
        Ok(with_formula(config, settings, formula))
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        let (f, rank) = (settings.count("factor")?, settings.count("rank")?);
        Ok(Added {
            trained: over_terms(config, |m, n| f * f + rank * (m + n) / f),
            macs: over_terms(config, |m, n| rank * m * n / (f * f)),
        })
    }
}
