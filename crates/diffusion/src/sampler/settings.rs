//! How to sample, as it stands in configurations and on the command line.

use serde::{Deserialize, Serialize};

use super::Clip;
use crate::{DiffusionError, Schedule};

/// Which sampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SamplerKind {
    /// Ancestral sampling, [`super::ddpm`].
    Ddpm,
    /// First-order steps, noiseless at eta 0, [`super::ddim`].
    #[default]
    Ddim,
    /// Second-order multistep solver, [`super::dpm_solver_2m`].
    DpmSolver2M,
    /// First-order steps along v, [`super::euler`].
    Euler,
    /// Second-order steps along v with two evaluations each, [`super::heun`].
    Heun,
}

impl SamplerKind {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("ddpm", Self::Ddpm),
        ("ddim", Self::Ddim),
        ("dpm++2m", Self::DpmSolver2M),
        ("euler", Self::Euler),
        ("heun", Self::Heun),
    ];

    /// The names of all samplers.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|(name, _)| *name)
    }
}

crate::name::named!(SamplerKind, "sampler");

/// Variance of a DDPM step when the network has not learned it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FixedVariance {
    /// The posterior's: exact for a data set of one image.
    #[default]
    Small,
    /// The step's beta: exact for data that are themselves standard normal.
    Large,
}

impl FixedVariance {
    const NAMES: &'static [(&'static str, Self)] =
        &[("small", Self::Small), ("large", Self::Large)];
}

crate::name::named!(FixedVariance, "fixed variance");

/// How to sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Which sampler.
    pub kind: SamplerKind,
    /// Steps to take, from 1 to the length of the training schedule.
    pub steps: usize,
    /// For DDIM: share of the ancestral noise, from 0 (none) to 1 (as DDPM).
    pub eta: f64,
    /// For DDPM: the variance if the network has not learned it.
    pub variance: FixedVariance,
    /// What keeps predicted images within range.
    pub clip: Clip,
}

impl Sampling {
    /// The times of the training schedule that this visits: whole ones for DDPM and DDIM
    /// ([`Schedule::respace`]), fractional ones for Euler and Heun ([`Schedule::respace_evenly`]), fractional ones
    /// without the first for DPM-Solver++ ([`Schedule::respace_intervals`]).
    ///
    /// # Errors
    /// Zero steps, or more than the schedule has.
    pub fn times(&self, training: &Schedule) -> Result<Schedule, DiffusionError> {
        match self.kind {
            SamplerKind::Ddpm | SamplerKind::Ddim => training.respace(self.steps),
            SamplerKind::Euler | SamplerKind::Heun => training.respace_evenly(self.steps),
            SamplerKind::DpmSolver2M => training.respace_intervals(self.steps),
        }
    }
}

impl Default for Sampling {
    /// DDIM in 50 steps without noise and without clipping.
    fn default() -> Self {
        Self {
            kind: SamplerKind::default(),
            steps: 50,
            eta: 0.0,
            variance: FixedVariance::default(),
            clip: Clip::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sampler_is_read_back_from_its_name() {
        for name in SamplerKind::names() {
            assert_eq!(name.parse::<SamplerKind>().unwrap().to_string(), name);
        }
        let error = "dpm++".parse::<SamplerKind>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown sampler 'dpm++', did you mean 'dpm++2m'?; known: ddpm, ddim, dpm++2m, euler, heun"
        );
    }

    #[test]
    fn a_configuration_holds_deviations_from_the_defaults() {
        let read: Sampling =
            serde_json::from_str(r#"{"kind": "heun", "clip": "dynamic"}"#).unwrap();
        let expected = Sampling {
            kind: SamplerKind::Heun,
            clip: Clip::Dynamic,
            ..Sampling::default()
        };
        assert_eq!(read, expected);
        let text = serde_json::to_string(&expected).unwrap();
        assert_eq!(serde_json::from_str::<Sampling>(&text).unwrap(), expected);
        assert!(serde_json::from_str::<Sampling>(r#"{"kinds": "heun"}"#).is_err());
    }
}
