//! The betas of the two schedules in use.

use std::f64::consts::FRAC_PI_2;

use crate::DiffusionError;

/// Which family of betas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ScheduleKind {
    /// Betas from 1e-4 to 0.02 in equal steps (Ho et al. 2020), scaled by `1000 / T` so that the whole
    /// process adds as much noise for any `T`.
    Linear,
    /// `alpha_bar` follows a squared cosine (Nichol & Dhariwal 2021, equation 17); no beta exceeds 0.999.
    #[default]
    Cosine,
}

impl ScheduleKind {
    const NAMES: &'static [(&'static str, Self)] =
        &[("linear", Self::Linear), ("cosine", Self::Cosine)];

    /// The betas of a schedule over `steps` timesteps.
    pub(super) fn betas(self, steps: usize) -> Result<Vec<f64>, DiffusionError> {
        if steps == 0 {
            return Err(DiffusionError::NoSteps { what: "a schedule" });
        }
        match self {
            Self::Linear => linear(steps),
            Self::Cosine => Ok(cosine(steps)),
        }
    }
}

crate::name::named!(ScheduleKind, "noise schedule");

/// Number of steps for which DDPM chose its betas.
const LINEAR_REFERENCE_STEPS: f64 = 1000.0;
const LINEAR_FIRST: f64 = 1e-4;
const LINEAR_LAST: f64 = 0.02;

fn linear(steps: usize) -> Result<Vec<f64>, DiffusionError> {
    let scale = LINEAR_REFERENCE_STEPS / steps as f64;
    let (first, last) = (scale * LINEAR_FIRST, scale * LINEAR_LAST);
    if last >= 1.0 {
        return Err(DiffusionError::ScheduleTooShort { steps, beta: last });
    }
    let intervals = (steps - 1).max(1) as f64;
    Ok((0..steps)
        .map(|t| first + (last - first) * (t as f64 / intervals))
        .collect())
}

/// Keeps the first betas from vanishing (the paper's `s`).
const COSINE_OFFSET: f64 = 0.008;
const COSINE_MAX_BETA: f64 = 0.999;

fn cosine(steps: usize) -> Vec<f64> {
    let alpha_bar = |t: usize| {
        let share = t as f64 / steps as f64;
        ((share + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * FRAC_PI_2)
            .cos()
            .powi(2)
    };
    (0..steps)
        .map(|t| (1.0 - alpha_bar(t + 1) / alpha_bar(t)).min(COSINE_MAX_BETA))
        .collect()
}
