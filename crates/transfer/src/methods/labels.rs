//! Label rows alone: the least a model can be adapted, and the bar for everything else.
//!
//! It is textual inversion's idea (Gal et al., arXiv 2208.01618) for a model of classes: only what a class is called
//! trains. Images without a label would train the null row alone, so batches have none.

use super::{Added, Fits, Method};
use crate::error::Result;
use crate::settings::Settings;
use learngene_nn::DitConfig;

pub(super) struct Labels;

impl Method for Labels {
    fn name(&self) -> &'static str {
        "labels"
    }

    fn about(&self) -> &'static str {
        "label rows alone"
    }

    fn fits(&self) -> Fits {
        Fits::Any
    }

    fn rate(&self) -> f64 {
        1e-2
    }

    fn reached_without_label(&self, _: &Settings) -> Result<bool> {
        Ok(false)
    }

    fn added(&self, _: &DitConfig, _: &Settings) -> Result<Added> {
        Ok(Added {
            trained: 0,
            macs: 0,
        })
    }
}
