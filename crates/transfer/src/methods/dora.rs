//! DoRA: LoRA on the direction of a weight, its length apart (Liu et al., arXiv 2402.09353).
//!
//! `g (W + (alpha / r) B A) / |W + (alpha / r) B A|`, row by row; B zero and g the lengths of W's rows to start with.
//!
//! A row belongs to one output, as in PEFT; in the backward pass the length of the sum counts as a constant (section 4.3
//! of the paper). Good values: LoRA's, at half its rank.

use super::{
    Added, Fits, Method, RANK, SITES_SETTING, Start, lora, name, over_terms, shapes, with_formula,
};
use crate::error::Result;
use crate::settings::{Setting, Settings};
use burn::tensor::{Device, Tensor, TensorData};
use learngene_nn::{
    DitConfig, params,
    term::{Formula, row_norms},
};

pub(super) struct Dora;

const SETTINGS: &[Setting] = &[RANK, lora::ALPHA, SITES_SETTING];

impl Method for Dora {
    fn name(&self) -> &'static str {
        "dora"
    }

    fn about(&self) -> &'static str {
        "LoRA on the direction of weights, their lengths apart"
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
        let rank = settings.count("rank")?;
        let scale = settings.positive("alpha")? / rank as f64;
        Ok(with_formula(
            config,
            settings,
            Formula::Renorm { rank, scale },
        ))
    }

    fn start(&self, start: &mut Start<'_>) -> Result<()> {
        for l in 0..start.config.depth {
            for (site, ..) in shapes(start.config) {
                if start.config.form_at(site).is_none() {
                    continue;
                }
                let weight = start.of(&name(l, site, "weight"))?;
                let data = TensorData::new(weight.values.clone(), weight.shape.clone());
                // By the operator that the term divides by, so that the quotient is one to the bit.
                let norms = row_norms(Tensor::from_data(data, &Device::flex()));
                start.set(&name(l, site, "weight.term.g"), params::to_vec(norms))?;
            }
        }
        Ok(())
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        let rank = settings.count("rank")?;
        Ok(Added {
            trained: over_terms(config, |m, n| rank * (m + n) + m),
            macs: over_terms(config, |m, n| rank * m * n),
        })
    }
}
