//! LoRA: a change of low rank beside every frozen matrix (Hu et al., arXiv 2106.09685).
//!
//! `W + (alpha / r) B A`, B zero to start with.
//!
//! That is one tailor for all classes, its sigmas fixed at `alpha / r`: rows of `tailors.v` are those of A, rows of
//! `tailors.u` the columns of B. It runs beside W, or beside a learngene, and neither is ever made whole. A starts with
//! orthonormal rows, scaled to the length that rows of PEFT's Kaiming-uniform start have on average. Good values: rank 4
//! to 64, alpha of one to two times the rank. With `null=base`, samples without a label run on the base alone, so that
//! guidance pushes away from it, as it does from KIND's learngene.

use super::{Added, Fits, Method, RANK, Start, name, over_matrices, shapes};
use crate::error::Result;
use crate::settings::{Setting, Settings};
use learngene_nn::{DitConfig, Sharing};
use learngene_train::Trainable;

pub(super) struct Lora;

const SETTINGS: &[Setting] = &[
    RANK,
    ALPHA,
    Setting {
        name: "null",
        default: "adapted",
        about: "what runs for the null label: adapted or base",
    },
];

/// The numerator of the factor on a change.
pub(super) const ALPHA: Setting = Setting {
    name: "alpha",
    default: "8",
    about: "the change is scaled by alpha over rank",
};

impl Method for Lora {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn about(&self) -> &'static str {
        "W + (alpha / r) B A"
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

    fn trains(&self) -> Trainable {
        shared_tailor()
    }

    fn reached_without_label(&self, settings: &Settings) -> Result<bool> {
        Ok(sharing(settings)? == Sharing::Every)
    }

    fn shape(&self, config: DitConfig, settings: &Settings, _: u64) -> Result<DitConfig> {
        settings.positive("alpha")?;
        Ok(config.with_shared_tailor(settings.count("rank")?, sharing(settings)?)?)
    }

    fn start(&self, start: &mut Start<'_>) -> Result<()> {
        let rank = start.config.tailor_rank;
        let scale = (start.settings.positive("alpha")? / rank as f64) as f32;
        for l in 0..start.config.depth {
            for (site, ..) in shapes(start.config) {
                start.set(&name(l, site, "tailors.s"), vec![scale; rank])?;
                // Uniform within 1 / sqrt(n), n numbers have a length of sqrt(1 / 3).
                let a = &mut start.of(&name(l, site, "tailors.v"))?.values;
                a.iter_mut().for_each(|v| *v *= (1f32 / 3.0).sqrt());
            }
        }
        Ok(())
    }

    fn added(&self, config: &DitConfig, settings: &Settings) -> Result<Added> {
        let rank = settings.count("rank")?;
        Ok(beside(config, rank))
    }
}

fn sharing(settings: &Settings) -> Result<Sharing> {
    let choice = settings.choice("null", &["adapted", "base"])?;
    Ok([Sharing::Every, Sharing::Labelled][choice])
}

/// Both factors and label rows; sigmas stay.
pub(super) fn shared_tailor() -> Trainable {
    Trainable {
        tailor_sigmas: Some(0.0),
        ..Trainable::added_only()
    }
}

/// Two factors beside every matrix.
pub(super) fn beside(config: &DitConfig, rank: usize) -> Added {
    let both = over_matrices(config, |m, n| rank * (m + n));
    Added {
        trained: both,
        macs: config.tokens() as u64 * both,
    }
}
