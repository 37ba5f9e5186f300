//! From noise to images: five samplers over one [`Denoiser`].
//!
//! Each sampler is a plain function of a [`Predictor`], a respaced [`Schedule`], the starting noise and an
//! observer; [`sample`] picks one by its [`Sampling`]. All walk the times of the schedule from the last
//! to the first and end with the clean image that the network predicts there.

mod ddim;
mod ddpm;
mod dpm_solver;
mod euler;
mod heun;
mod predictor;
mod settings;

pub use ddim::ddim;
pub use ddpm::ddpm;
pub use dpm_solver::dpm_solver_2m;
pub use euler::euler;
pub use heun::heun;
pub use predictor::{Clip, Predictor};
pub use settings::{FixedVariance, SamplerKind, Sampling};

use burn::tensor::Tensor;

use crate::error::expect_shape;
use crate::{Denoiser, DiffusionError, Schedule, Target};

/// Standard normal noise for a step (0 is the first one taken) in the shape given, in the type of the
/// images and on their device. Called only where a sampler needs noise.
pub type NoiseSource<'a> = dyn FnMut(usize, [usize; 4]) -> Tensor<4> + 'a;

/// Sees the image after each step; steps count from 0 in the order in which they are taken.
pub type Observer<'a> = dyn FnMut(usize, &Tensor<4>) + 'a;

/// Draws images from the noise `x_bchw`.
///
/// `schedule` is the one of training; `sampling` says how many of its steps to take and how.
/// The step count is that of network evaluations, except for Heun's `2 n - 1`. DDPM and DDIM take whole
/// timesteps ([`Schedule::respace`]), Euler and Heun fractional ones ([`Schedule::respace_evenly`]),
/// DPM-Solver++ fractional ones without the first ([`Schedule::respace_intervals`]).
///
/// # Shapes
/// `x_bchw` and the result `[b, c, h, w]`.
///
/// # Errors
/// Settings outside their range, and outputs of the network or the noise source of another shape.
pub fn sample(
    denoiser: &dyn Denoiser,
    schedule: &Schedule,
    target: Target,
    sampling: &Sampling,
    x_bchw: Tensor<4>,
    noise: &mut NoiseSource<'_>,
    observer: &mut Observer<'_>,
) -> Result<Tensor<4>, DiffusionError> {
    let predictor = Predictor::new(denoiser, target, sampling.clip);
    let steps = sampling.steps;
    match sampling.kind {
        SamplerKind::Ddpm => {
            let schedule = schedule.respace(steps)?;
            ddpm(
                &predictor,
                &schedule,
                sampling.variance,
                x_bchw,
                noise,
                observer,
            )
        }
        SamplerKind::Ddim => {
            let schedule = schedule.respace(steps)?;
            ddim(&predictor, &schedule, sampling.eta, x_bchw, noise, observer)
        }
        SamplerKind::DpmSolver2M => dpm_solver_2m(
            &predictor,
            &schedule.respace_evenly(steps)?,
            x_bchw,
            observer,
        ),
        SamplerKind::Euler => euler(
            &predictor,
            &schedule.respace_evenly(steps)?,
            x_bchw,
            observer,
        ),
        SamplerKind::Heun => heun(
            &predictor,
            &schedule.respace_evenly(steps)?,
            x_bchw,
            observer,
        ),
    }
}

/// The indices of a schedule in the order of sampling, each with the number of the step.
fn backwards(schedule: &Schedule) -> impl Iterator<Item = (usize, usize)> {
    (0..schedule.len()).rev().enumerate()
}

/// `x a + y b`.
fn mix(x: Tensor<4>, a: f64, y: Tensor<4>, b: f64) -> Tensor<4> {
    x * a + y * b
}

/// Draws noise and checks its shape.
fn draw(
    noise: &mut NoiseSource<'_>,
    step: usize,
    shape: [usize; 4],
) -> Result<Tensor<4>, DiffusionError> {
    let drawn = noise(step, shape);
    expect_shape("noise", drawn.dims(), shape)?;
    Ok(drawn)
}
