//! Noise schedules, losses, samplers and guidance over any denoiser.
//!
//! **In:** the raw output of a network for a noisy image and a timestep, either as a tensor (training,
//! [`Objective`]) or behind the trait [`Denoiser`] (sampling, [`sample`]).
//! **Out:** a loss to differentiate with what it is made of, or finished images.
//! **Must not know:** what is inside the network. No class, gate, factor or file is named here;
//! a conditional network shows this crate only the trait [`Conditional`].
//!
//! # Conventions
//!
//! * Tensors carry shape suffixes: b batch, c channels, h height, w width. A network may answer with
//!   `c` channels (the prediction) or with `2c` (the prediction, then the variance of each channel).
//! * The forward process preserves variance: `x_t = alpha x_0 + sigma noise` with
//!   `alpha = sqrt(alpha_bar_t)` and `sigma = sqrt(1 - alpha_bar_t)`.
//! * Timesteps count from 0 (nearly clean) to `T - 1` (nearly noise), as in DDPM's code. `x_0` without a
//!   timestep is the clean image, where `alpha_bar` is 1.
//! * `log_snr` is `ln(alpha_bar / (1 - alpha_bar))`, twice the lambda of the DPM-Solver papers.
//! * Coefficients are computed in `f64` and meet the tensor in its own type, so the same code runs in
//!   `f32` and `f64`.

mod denoiser;
mod error;
mod loss;
mod name;
mod sampler;
mod schedule;
mod target;
mod variance;

pub use denoiser::{Conditional, Denoiser, Guided, Prediction};
pub use error::DiffusionError;
pub use loss::{Losses, Objective};
pub use sampler::{
    Clip, FixedVariance, NoiseSource, Observer, Predictor, SamplerKind, Sampling, ddim, ddpm,
    dpm_solver_2m, euler, heun, sample,
};
pub use schedule::{Posterior, Schedule, ScheduleKind};
pub use target::{NoiseLevels, Target};
pub use variance::gaussian_bin_log_likelihood;
