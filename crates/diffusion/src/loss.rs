//! The training loss, and both losses that are always reported.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::expect_shape;
use crate::variance::{bound_bits, per_sample_mean, split};
use crate::{DiffusionError, NoiseLevels, Schedule, Target};

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objective {
    /// What the network predicts.
    pub target: Target,
    /// Bound gamma of min-SNR weighting (5 in Hang et al. 2023); none means equal weights.
    pub min_snr_gamma: Option<f64>,
    /// Whether the network has `2c` output channels and learns its variances with the hybrid loss.
    pub learned_variance: bool,
}

/// The loss of one batch and what it is made of.
#[derive(Debug, Clone)]
pub struct Losses {
    /// The loss to differentiate, `[1]`: the weighted mean, plus the bound if variances are learned.
    pub trained: Tensor<1>,
    /// Mean squared error of v of each sample, `[b]`, unweighted, outside the autodiff graph.
    pub velocity: Tensor<1>,
    /// Mean squared error of the noise of each sample, `[b]`, unweighted, outside the autodiff graph.
    pub epsilon: Tensor<1>,
    /// The variational bound's term of each sample in bits per dimension, `[b]`, outside the autodiff graph,
    /// if variances are learned.
    pub bound_bits: Option<Tensor<1>>,
}

/// Step count for which the bound's weight is 1: `L_simple + 0.001 L_vlb` of Nichol & Dhariwal 2021, whose
/// `L_vlb` sums T terms of which each sample draws one, weighs that term `T / 1000`.
const BOUND_REFERENCE_STEPS: f64 = 1000.0;

impl Objective {
    /// Channels the network must have for images of `channels` channels.
    #[must_use]
    pub fn output_channels(&self, channels: usize) -> usize {
        if self.learned_variance {
            2 * channels
        } else {
            channels
        }
    }

    /// The losses of a network that said `output` for `NoiseLevels::at(schedule, t)?.diffuse(x0, noise)`.
    ///
    /// With learned variances the loss is `L_simple + T/1000 * L_t`, where `L_t` in bits per dimension trains
    /// the variances only: the prediction enters it as a constant.
    ///
    /// # Shapes
    /// `output` `[b, c, h, w]`, or `[b, 2c, h, w]` with learned variances; `x0_bchw` and `noise_bchw`
    /// `[b, c, h, w]`; `t` one index into `schedule` per sample.
    ///
    /// # Errors
    /// Shapes that do not fit, a timestep outside the schedule, a gamma that is not positive.
    pub fn losses(
        &self,
        schedule: &Schedule,
        output: Tensor<4>,
        x0_bchw: Tensor<4>,
        noise_bchw: Tensor<4>,
        t: &[usize],
    ) -> Result<Losses, DiffusionError> {
        let [b, c, h, w] = x0_bchw.dims();
        expect_shape("output", output.dims(), [b, self.output_channels(c), h, w])?;
        expect_shape("noise", noise_bchw.dims(), x0_bchw.dims())?;
        expect_shape(
            "x0 (samples as many as timesteps)",
            [b, c, h, w],
            [t.len(), c, h, w],
        )?;
        let levels = NoiseLevels::at(schedule, t)?;
        let weights = self.weights(&levels)?;

        let (prediction, raw) = if self.learned_variance {
            let (prediction, raw) = split(output, c);
            (prediction, Some(raw))
        } else {
            (output, None)
        };
        let bound_bits = raw
            .map(|raw| {
                let (x0, noise) = (x0_bchw.clone(), noise_bchw.clone());
                bound_bits(self.target, schedule, prediction.clone(), raw, x0, noise, t)
            })
            .transpose()?;

        let error = prediction - self.target.truth(x0_bchw, noise_bchw, &levels);
        let squared = per_sample_mean(error.square());
        let reported = squared.clone().without_autodiff();
        let factors = |which: usize| {
            let factor = |&alpha_bar: &f64| self.target.error_factors(alpha_bar)[which];
            vector(levels.alpha_bars().iter().map(factor), &reported)
        };
        let velocity = reported.clone() * factors(0);
        let epsilon = reported.clone() * factors(1);

        let mut trained = match weights {
            None => squared.mean(),
            Some(weights) => (squared * vector(weights, &reported)).mean(),
        };
        if let Some(bits) = &bound_bits {
            let weight = schedule.len() as f64 / BOUND_REFERENCE_STEPS;
            trained = trained + bits.clone().mean() * weight;
        }
        Ok(Losses {
            trained,
            velocity,
            epsilon,
            bound_bits: bound_bits.map(Tensor::without_autodiff),
        })
    }

    fn weights(&self, levels: &NoiseLevels) -> Result<Option<Vec<f64>>, DiffusionError> {
        let Some(gamma) = self.min_snr_gamma else {
            return Ok(None);
        };
        if !(gamma > 0.0 && gamma.is_finite()) {
            return Err(DiffusionError::Setting {
                setting: "min_snr_gamma",
                found: gamma.to_string(),
                expected: "a positive number (5 is usual)",
            });
        }
        let weight = |&alpha_bar: &f64| self.target.min_snr_weight(alpha_bar, gamma);
        Ok(Some(levels.alpha_bars().iter().map(weight).collect()))
    }
}

/// `values` as `[b]`, a constant in the type and on the device of `like`.
fn vector(values: impl IntoIterator<Item = f64>, like: &Tensor<1>) -> Tensor<1> {
    let values: Vec<_> = values.into_iter().collect();
    let len = values.len();
    let data = TensorData::new(values, [len]);
    Tensor::from_data(data, (&like.device().without_autodiff(), like.dtype()))
}
