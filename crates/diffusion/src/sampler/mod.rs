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

use crate::error::{expect_shape, expect_values};
use crate::{Denoiser, DiffusionError, Schedule, Target};

/// Standard normal noise for a step (0 is the first one taken) in the shape given, in the type of the
/// images and on their device. Called only where a sampler needs noise.
pub type NoiseSource<'a> = dyn FnMut(usize, [usize; 4]) -> Tensor<4> + 'a;

/// Sees the image after each step; steps count from 0 in the order in which they are taken.
pub type Observer<'a> = dyn FnMut(usize, &Tensor<4>) + 'a;

/// Draws images from the noise `x_bchw`.
///
/// `schedule` is the one of training; `sampling` says which of its times to visit ([`Sampling::times`]) and how.
/// A step is one evaluation of the network, except that Heun evaluates `2 n - 1` times.
///
/// # Shapes
/// `x_bchw` and the result `[b, c, h, w]`.
///
/// # Errors
/// Settings outside their range, an empty `x_bchw`, and outputs of the network or the noise source of another shape.
pub fn sample(
    denoiser: &dyn Denoiser,
    schedule: &Schedule,
    target: Target,
    sampling: &Sampling,
    x_bchw: Tensor<4>,
    noise: &mut NoiseSource<'_>,
    observer: &mut Observer<'_>,
) -> Result<Tensor<4>, DiffusionError> {
    expect_values("x", x_bchw.dims())?;
    let predictor = Predictor::new(denoiser, target, sampling.clip);
    let kept = sampling.times(schedule)?;
    let Sampling { eta, variance, .. } = *sampling;
    match sampling.kind {
        SamplerKind::Ddpm => ddpm(&predictor, &kept, variance, x_bchw, noise, observer),
        SamplerKind::Ddim => ddim(&predictor, &kept, eta, x_bchw, noise, observer),
        SamplerKind::DpmSolver2M => dpm_solver_2m(&predictor, &kept, x_bchw, observer),
        SamplerKind::Euler => euler(&predictor, &kept, x_bchw, observer),
        SamplerKind::Heun => heun(&predictor, &kept, x_bchw, observer),
    }
}

/// The indices of a schedule in the order of sampling, each with the number of the step.
fn backwards(schedule: &Schedule) -> impl Iterator<Item = (usize, usize)> {
    (0..schedule.len()).rev().enumerate()
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
