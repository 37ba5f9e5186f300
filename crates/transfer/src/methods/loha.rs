//! LoHa: the product, entry by entry, of two changes of low rank (Hyeon-Woo et al., FedPara, arXiv 2108.06098; as in
//! LyCORIS, arXiv 2309.14859).
//!
//! `W + (alpha / r) (B1 A1) * (B2 A2)`, B2 zero to start with.
//!
//! Its rank reaches the square of r, for twice LoRA's numbers. Good values: half of LoRA's rank.

use super::{Added, Fits, Method, RANK, SITES_SETTING, lora, over_terms, with_formula};
use crate::error::Result;
use crate::settings::{Setting, Settings};
use learngene_nn::{DitConfig, term::Formula};

pub(super) struct Loha;

impl Method for Loha {
    fn name(&self) -> &'static str {
        "loha"
    }

    fn about(&self) -> &'static str {
        "the entry-wise product of two changes of low rank"
    }

    fn settings(&self) -> &'static [Setting] {
        &[RANK, lora::ALPHA, SITES_SETTING]
    }

    fn fits(&self) -> Fits {
        Fits::Weights
    }

    fn rate(&self) -> f64 {
        3e-3
    }

    fn shape(&self, config: DitConfig, settings: &Settings, _: u64) -> Result<DitConfig> {
        let rank = settings.count("rank")?;
        let scale = settings.positive("alpha")? / rank as f64;
        Ok(with_formula(
            config,
            settings,
            Formula::Hadamard { rank, scale },
        ))
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        let rank = settings.count("rank")?;
        Ok(Added {
            trained: over_terms(config, |m, n| 2 * rank * (m + n)),
            macs: over_terms(config, |m, n| 2 * rank * m * n),
        })
    }
}
