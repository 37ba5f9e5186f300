//! The control of KIND: the same class-gated tailors on a plain dense model, which has no learngene.
//!
//! `y = W x + b + sum over i in the tailor of the class of  s_i (x . v_i) u_i`
//!
//! If this does as well as [`super::kind`], it is the gate that helps and not the learngene. Settings and good values are
//! KIND's.

use super::{Added, Fits, Method, Start, kind};
use crate::error::Result;
use crate::settings::{Setting, Settings};
use learngene_nn::DitConfig;

pub(super) struct GatedTailors;

impl Method for GatedTailors {
    fn name(&self) -> &'static str {
        "gated-tailors"
    }

    fn about(&self) -> &'static str {
        "KIND's control: a tailor per class on a frozen dense model"
    }

    fn settings(&self) -> &'static [Setting] {
        kind::SETTINGS
    }

    fn defaults(&self, base: &DitConfig) -> Vec<(&'static str, String)> {
        kind::rank_of(base)
    }

    fn fits(&self) -> Fits {
        Fits::Dense
    }

    fn rate(&self) -> f64 {
        kind::RATE
    }

    fn reached_without_label(&self, _: &Settings) -> Result<bool> {
        Ok(false)
    }

    fn shape(&self, config: DitConfig, settings: &Settings, _: u64) -> Result<DitConfig> {
        kind::shape(config, settings)
    }

    fn start(&self, start: &mut Start<'_>) -> Result<()> {
        kind::warm(start)
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        kind::added(config, settings.count("rank")?)
    }
}
