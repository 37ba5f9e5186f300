//! The training loss, and both losses that are always reported.

use burn::tensor::{Tensor, TensorData};
use learngene_kernels::mean_squared_error;
use serde::{Deserialize, Serialize};

use crate::error::{expect_shape, expect_values};
use crate::variance::{bound_bits, split};
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
        expect_values("x0", [b, c, h, w])?;
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

        let truth = levels.weights(|alpha, sigma| self.target.truth_weights(alpha, sigma));
        let squared = mean_squared_error(prediction, x0_bchw, noise_bchw, &truth);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleKind;
    use crate::variance::per_sample_mean;
    use burn::tensor::{DType, Device};

    const T: [usize; 3] = [3, 400, 950];

    fn schedule() -> Schedule {
        Schedule::new(ScheduleKind::Cosine, 1000).unwrap()
    }

    /// `[3, channels, 2, 2]` of some wave.
    fn wave(channels: usize, frequency: f64) -> Tensor<4> {
        let values: Vec<f64> = (0..3 * channels * 4)
            .map(|k| (frequency * k as f64 + 0.3).sin())
            .collect();
        let data = TensorData::new(values, [3, channels, 2, 2]);
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f64> {
        x.try_into_vec_as::<f64>().unwrap()
    }

    fn assert_close(found: &[f64], expected: &[f64], relative: f64) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!(
                (a - b).abs() <= relative * b.abs(),
                "{found:?}, expected {expected:?}"
            );
        }
    }

    fn losses(objective: Objective, output: Tensor<4>) -> Losses {
        let (x0, noise) = (wave(2, 0.7), wave(2, 1.9));
        objective
            .losses(&schedule(), output, x0, noise, &T)
            .unwrap()
    }

    /// The factor that turns one loss into the other, against converting the images themselves.
    #[test]
    fn both_losses_equal_explicit_conversion() {
        let levels = NoiseLevels::at(&schedule(), &T).unwrap();
        let (x0, noise, said) = (wave(2, 0.7), wave(2, 1.9), wave(2, 0.2));
        let x_t = levels.diffuse(x0.clone(), noise.clone());
        for target in [Target::Velocity, Target::Epsilon] {
            let found = losses(
                Objective {
                    target,
                    ..Objective::default()
                },
                said.clone(),
            );
            let v = Target::Velocity.truth(x0.clone(), noise.clone(), &levels);
            let v_error = target.velocity(said.clone(), x_t.clone(), &levels) - v;
            let noise_error = target.epsilon(said.clone(), x_t.clone(), &levels) - noise.clone();
            let velocity = values(per_sample_mean(v_error.square()));
            let epsilon = values(per_sample_mean(noise_error.square()));
            assert_close(&values(found.velocity), &velocity, 1e-11);
            assert_close(&values(found.epsilon), &epsilon, 1e-11);
            let own = if target == Target::Velocity {
                velocity
            } else {
                epsilon
            };
            assert_close(
                &values(found.trained),
                &[own.iter().sum::<f64>() / 3.0],
                1e-12,
            );
        }
    }

    /// Whatever the target, the weighted loss is `min(snr, gamma)` times the squared error of the image.
    #[test]
    fn min_snr_weighs_the_error_of_the_image() {
        let levels = NoiseLevels::at(&schedule(), &T).unwrap();
        let (x0, noise, said) = (wave(2, 0.7), wave(2, 1.9), wave(2, 0.2));
        let x_t = levels.diffuse(x0.clone(), noise);
        for target in [Target::Velocity, Target::Epsilon] {
            let error = target.x0(said.clone(), x_t.clone(), &levels) - x0.clone();
            let errors = values(per_sample_mean(error.square()));
            let bars = levels.alpha_bars().iter();
            let expected: f64 = bars
                .zip(errors)
                .map(|(a, e)| (a / (1.0 - a)).min(5.0) * e)
                .sum();
            let objective = Objective {
                target,
                min_snr_gamma: Some(5.0),
                learned_variance: false,
            };
            let found = losses(objective, said.clone());
            assert_close(&values(found.trained), &[expected / 3.0], 1e-11);
        }
    }

    /// Central differences of the trained loss in every output, for every kind of objective. The bound must
    /// not reach the prediction, so its part is differenced in the variance channels only.
    #[test]
    fn gradients_equal_finite_differences() {
        let step = 1e-6;
        for target in [Target::Velocity, Target::Epsilon] {
            for (min_snr_gamma, learned_variance) in
                [(None, false), (Some(5.0), false), (Some(5.0), true)]
            {
                let objective = Objective {
                    target,
                    min_snr_gamma,
                    learned_variance,
                };
                let output = wave(objective.output_channels(2), 0.2);
                let leaf = output.clone().autodiff().require_grad();
                let gradients = losses(objective, leaf.clone()).trained.backward();
                let gradient = values(leaf.grad(&gradients).unwrap());
                let base = values(output.clone());
                let simple = Objective {
                    learned_variance: false,
                    ..objective
                };
                for k in 0..base.len() {
                    let is_variance = learned_variance && (k / 8) % 2 == 1;
                    let at = |shift: f64| {
                        let mut moved = base.clone();
                        moved[k] += shift;
                        let data = TensorData::new(moved, output.dims());
                        let moved = Tensor::from_data(data, (&output.device(), DType::F64));
                        if is_variance {
                            return values(losses(objective, moved).trained)[0];
                        }
                        values(losses(simple, moved.narrow(1, 0, 2)).trained)[0]
                    };
                    let slope = (at(step) - at(-step)) / (2.0 * step);
                    let scale = slope.abs().max(1e-2);
                    assert!(
                        (gradient[k] - slope).abs() < 1e-6 * scale,
                        "{objective:?} {k}: {} {slope}",
                        gradient[k]
                    );
                }
            }
        }
    }

    #[test]
    fn reported_losses_are_outside_the_graph() {
        let objective = Objective {
            learned_variance: true,
            ..Objective::default()
        };
        let found = losses(objective, wave(4, 0.2).autodiff().require_grad());
        assert!(found.trained.is_tracked());
        for reported in [found.velocity, found.epsilon, found.bound_bits.unwrap()] {
            assert!(!reported.is_autodiff());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (x0, said) = (wave(2, 0.7), wave(4, 0.2));
        let simple = Objective::default();
        let check = |objective: Objective, output: &Tensor<4>, t: &[usize]| {
            let (x0, noise) = (x0.clone(), x0.clone());
            objective
                .losses(&schedule(), output.clone(), x0, noise, t)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            check(simple, &said, &T),
            "output has shape [3, 4, 2, 2], expected [3, 2, 2, 2]"
        );
        let learned = Objective {
            learned_variance: true,
            ..simple
        };
        assert_eq!(
            check(learned, &x0, &T),
            "output has shape [3, 2, 2, 2], expected [3, 4, 2, 2]"
        );
        assert!(check(simple, &x0, &[1, 2]).contains("expected [2, 2, 2, 2]"));
        assert!(check(simple, &x0, &[1, 2, 1000]).contains("timestep 1000 of sample 2"));
        let negative = Objective {
            min_snr_gamma: Some(-1.0),
            ..simple
        };
        assert!(check(negative, &x0, &T).contains("min_snr_gamma is -1"));
        let none = Tensor::zeros([0, 2, 2, 2], &Device::flex());
        let empty = simple.losses(&schedule(), none.clone(), none.clone(), none, &[]);
        assert_eq!(
            empty.unwrap_err().to_string(),
            "x0 has shape [0, 2, 2, 2], expected at least one of everything"
        );
    }
}
