//! (IA)^3: keys, values and hidden units scaled one by one (Liu et al., arXiv 2205.05638).
//!
//! `softmax(Q (l_k K)^T) (l_v V)` and `W2 (l_ff gelu(W1 x))`, all l ones to start with.
//!
//! Values and hidden units are scaled where they are read: `l_v` scales the columns of the attention's output matrix and
//! `l_ff` those of the MLP's, which is the same (the weights of attention add up to one). `l_k` scales the rows of the
//! matrix of keys; the bias of keys, which changes nothing, stays out. Good values: rates some times above LoRA's.

use super::{Added, Fits, Method};
use crate::error::Result;
use crate::settings::Settings;
use learngene_nn::{
    DitConfig,
    term::{Formula, TermConfig},
};

pub(super) struct Ia3;

impl Method for Ia3 {
    fn name(&self) -> &'static str {
        "ia3"
    }

    fn about(&self) -> &'static str {
        "keys, values and hidden units scaled one by one"
    }

    fn fits(&self) -> Fits {
        Fits::Weights
    }

    fn rate(&self) -> f64 {
        1e-2
    }

    fn shape(&self, mut config: DitConfig, _: &Settings, _: u64) -> Result<DitConfig> {
        let term = |sites: &[&str], formula| TermConfig {
            sites: sites.iter().map(|site| (*site).into()).collect(),
            formula,
        };
        config.terms = vec![
            term(&["attention.k"], Formula::Rows),
            term(&["attention.o", "mlp.output"], Formula::Columns),
        ];
        Ok(config)
    }

    fn added(&self, config: &DitConfig, _: &Settings) -> Result<Added> {
        let block = 2 * config.hidden + config.mlp_hidden();
        Ok(Added {
            trained: (config.depth * block) as u64,
            macs: 0,
        })
    }
}
