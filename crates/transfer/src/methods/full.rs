//! Full fine-tuning: everything trains.
//!
//! A factorised base stays factorised: its learngene trains, without tailors. Good values: a rate a few times below that
//! of pre-training.

use super::{Added, Fits, Method};
use crate::error::Result;
use crate::settings::Settings;
use learngene_nn::{DitConfig, cost};
use learngene_train::Trainable;

pub(super) struct Full;

impl Method for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn about(&self) -> &'static str {
        "full fine-tuning: everything trains"
    }

    fn fits(&self) -> Fits {
        Fits::Any
    }

    fn rate(&self) -> f64 {
        5e-4
    }

    fn trains(&self) -> Trainable {
        Trainable::default()
    }

    fn added(&self, config: &DitConfig, _: &Settings) -> Result<Added> {
        let labels = (config.num_classes + 1) * config.hidden;
        Ok(Added {
            trained: cost::plan(config).total.parameters - labels as u64,
            macs: 0,
        })
    }
}
