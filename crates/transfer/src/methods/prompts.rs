//! Prompts: a vector for each token, added at the input of every frozen block (DMP, Ham et al., arXiv 2405.17825).
//!
//! `x + w P` at each block, P of `t x d` numbers and zero to start with, `t` the tokens of an image.
//!
//! With `gate=no` w is one. With `gate=yes` it is the softmax over tokens of a linear map of the condition vector (time
//! and label) with the number of the block appended; the map is shared by all blocks and zero to start with, so that all
//! weights are `1 / t`. The paper's gate also gets noise while it trains and a loss that keeps its weights even (importance
//! and load); neither is built, and nor are the paper's rate for the gate, ten times that of the prompts, and its choice of
//! the largest weights only, which its released settings leave off.
//!
//! No weight of the base can hold prompts, so they are not merged, and they belong to images of one size.
//!
//! Good values: a rate of 3e-3 with `gate=no`, of 3e-2 with `gate=yes`, whose weights make a prompt about `t` times smaller.

use super::{Added, Fits, Method};
use crate::error::Result;
use crate::settings::{Setting, Settings};
use learngene_nn::{DitConfig, Prompts as Shape};

pub(super) struct Prompts;

const SETTINGS: &[Setting] = &[Setting {
    name: "gate",
    default: "no",
    about: "whether weights by time, label and block stand before prompts: no or yes (with ten times the rate)",
}];

impl Method for Prompts {
    fn name(&self) -> &'static str {
        "prompts"
    }

    fn about(&self) -> &'static str {
        "a vector for each token, added before every block"
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
        config.prompts = shape(settings)?;
        Ok(config)
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        let (t, d) = (config.tokens(), config.hidden);
        let prompts = config.depth * t * d;
        Ok(match shape(settings)? {
            Shape::Gated => Added {
                trained: (prompts + t * (d + 1) + t) as u64,
                macs: (t * d) as u64,
            },
            _ => Added {
                trained: prompts as u64,
                macs: 0,
            },
        })
    }
}

fn shape(settings: &Settings) -> Result<Shape> {
    let choice = settings.choice("gate", &["no", "yes"])?;
    Ok([Shape::Plain, Shape::Gated][choice])
}
