//! Ancestral sampling.

use burn::tensor::Tensor;

use super::{FixedVariance, NoiseSource, Observer, Predictor, backwards, draw};
use crate::variance::log_variance;
use crate::{DiffusionError, Schedule};

/// DDPM (Ho et al. 2020, algorithm 2) on a schedule that may be respaced: each step draws from the posterior
/// with the predicted clean image in place of the true one. The variance is the network's own, if it
/// has learned one (Nichol & Dhariwal 2021), else `variance`.
///
/// # Shapes
/// `x_bchw` and the result `[b, c, h, w]`.
///
/// # Errors
/// Outputs of the network or the noise source of another shape.
pub fn ddpm(
    predictor: &Predictor<'_>,
    schedule: &Schedule,
    variance: FixedVariance,
    x_bchw: Tensor<4>,
    noise: &mut NoiseSource<'_>,
    observer: &mut Observer<'_>,
) -> Result<Tensor<4>, DiffusionError> {
    let mut x = x_bchw;
    let shape = x.dims();
    for (step, i) in backwards(schedule) {
        let mut said = predictor.ask(x, schedule.times()[i], schedule.alpha_bars()[i])?;
        let posterior = schedule.posterior(i);
        let fresh = if i > 0 {
            let drawn = draw(noise, step, shape)?;
            Some(match (said.raw_variance.take(), variance) {
                (Some(raw), _) => (drawn * (log_variance(raw, schedule, &[i]) * 0.5).exp(), 1.0),
                (None, FixedVariance::Small) => (drawn, posterior.variance.sqrt()),
                (None, FixedVariance::Large) => (drawn, schedule.betas()[i].sqrt()),
            })
        } else {
            None
        };
        x = said.next([posterior.x_t, posterior.x0], fresh);
        observer(step, &x);
    }
    Ok(x)
}
