//! VeRA: two vectors that scale random factors, which all layers share (Kopiczko et al., arXiv 2310.11454).
//!
//! `W + diag(b) B diag(d) A`, A and B drawn once from the seed and frozen, b zero and d 0.1 to start with.
//!
//! A and B are the first columns and rows of one pair of matrices for all layers. Nothing stores them: the seed makes
//! them again. Good values: ranks far above LoRA's, because only `m + r` numbers a matrix train, and rates ten times
//! LoRA's.

use super::{Added, Fits, Method, SITES_SETTING, over_terms, with_formula};
use crate::error::Result;
use crate::settings::{Setting, Settings};
use learngene_nn::{DitConfig, term::Formula};

pub(super) struct Vera;

const SETTINGS: &[Setting] = &[
    Setting {
        name: "rank",
        default: "64",
        about: "rank of the random factors",
    },
    SITES_SETTING,
];

impl Method for Vera {
    fn name(&self) -> &'static str {
        "vera"
    }

    fn about(&self) -> &'static str {
        "two vectors that scale shared random factors"
    }

    fn settings(&self) -> &'static [Setting] {
        SETTINGS
    }

    fn fits(&self) -> Fits {
        Fits::Weights
    }

    fn rate(&self) -> f64 {
        2e-2
    }

    fn shape(&self, config: DitConfig, settings: &Settings, seed: u64) -> Result<DitConfig> {
        let rank = settings.count("rank")?;
        Ok(with_formula(
            config,
            settings,
            Formula::Frozen { rank, seed },
        ))
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        let rank = settings.count("rank")?;
        Ok(Added {
            trained: over_terms(config, |m, _| m + rank),
            macs: over_terms(config, |m, n| rank * m * n),
        })
    }
}
