//! What the network predicts, and how that, the clean image and the noise follow from one another.

use burn::tensor::{Tensor, TensorData};

use crate::{DiffusionError, Schedule};

/// How noisy each sample of a batch is.
///
/// Holds `alpha_bar` per sample, and builds from it the coefficients of the formulas below in `f64` before they
/// take the tensor's own type.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseLevels {
    alpha_bars: Vec<f64>,
}

impl NoiseLevels {
    /// The levels of a batch at timesteps `t`, one per sample, indexing `schedule`.
    ///
    /// # Errors
    /// A timestep outside the schedule.
    pub fn at(schedule: &Schedule, t: &[usize]) -> Result<Self, DiffusionError> {
        let alpha_bars = t.iter().enumerate().map(|(sample, &found)| {
            let last = schedule.len() - 1;
            let known = schedule.alpha_bars().get(found).copied();
            known.ok_or(DiffusionError::Timestep {
                sample,
                found,
                last,
            })
        });
        Ok(Self {
            alpha_bars: alpha_bars.collect::<Result<_, _>>()?,
        })
    }

    /// Share of the image's variance left, per sample.
    #[must_use]
    pub fn alpha_bars(&self) -> &[f64] {
        &self.alpha_bars
    }

    /// The forward process `q(x_t | x_0)`: `alpha x_0 + sigma noise`.
    ///
    /// # Shapes
    /// `x0_bchw`, `noise_bchw` and the result `[b, c, h, w]`, with as many samples as there are levels.
    #[must_use]
    pub fn diffuse(&self, x0_bchw: Tensor<4>, noise_bchw: Tensor<4>) -> Tensor<4> {
        self.combine(x0_bchw, noise_bchw, |alpha, sigma| [alpha, sigma])
    }

    /// `f(alpha, sigma)` of each sample.
    pub(crate) fn weights(&self, f: impl Fn(f64, f64) -> [f64; 2]) -> Vec<[f64; 2]> {
        let of = |&alpha_bar: &f64| {
            let (alpha, sigma) = amplitudes(alpha_bar);
            f(alpha, sigma)
        };
        self.alpha_bars.iter().map(of).collect()
    }

    /// `x p + y q` with `[p, q] = f(alpha, sigma)` of each sample.
    fn combine(&self, x: Tensor<4>, y: Tensor<4>, f: impl Fn(f64, f64) -> [f64; 2]) -> Tensor<4> {
        let (p, q): (Vec<_>, Vec<_>) = self.weights(f).into_iter().map(|[p, q]| (p, q)).unzip();
        let (p, q) = (column(&p, &x), column(&q, &y));
        x * p + y * q
    }
}

/// `alpha` and `sigma`.
pub(crate) fn amplitudes(alpha_bar: f64) -> (f64, f64) {
    (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt())
}

/// `values` as `[b, 1, 1, 1]`, a constant in the type and on the device of `like`.
pub(crate) fn column(values: &[f64], like: &Tensor<4>) -> Tensor<4> {
    let data = TensorData::new(values.to_vec(), [values.len(), 1, 1, 1]);
    Tensor::from_data(data, (&like.device().without_autodiff(), like.dtype()))
}

/// What the network's prediction stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Target {
    /// `v = alpha noise - sigma x_0` (Salimans & Ho 2022, section 4): well conditioned at every timestep.
    #[default]
    Velocity,
    /// The noise itself (Ho et al. 2020).
    Epsilon,
}

impl Target {
    const NAMES: &'static [(&'static str, Self)] =
        &[("velocity", Self::Velocity), ("epsilon", Self::Epsilon)];

    /// What the network should have said for `x_t = alpha x_0 + sigma noise`.
    ///
    /// # Shapes
    /// All `[b, c, h, w]`, here and in the conversions below.
    #[must_use]
    pub fn truth(
        self,
        x0_bchw: Tensor<4>,
        noise_bchw: Tensor<4>,
        levels: &NoiseLevels,
    ) -> Tensor<4> {
        levels.combine(x0_bchw, noise_bchw, |alpha, sigma| {
            self.truth_weights(alpha, sigma)
        })
    }

    /// Weights of the clean image and of the noise in what the network should have said.
    pub(crate) fn truth_weights(self, alpha: f64, sigma: f64) -> [f64; 2] {
        match self {
            Self::Velocity => [-sigma, alpha],
            Self::Epsilon => [0.0, 1.0],
        }
    }

    /// The clean image that a prediction implies: `alpha x_t - sigma v`, or `(x_t - sigma noise) / alpha`.
    #[must_use]
    pub fn x0(self, prediction: Tensor<4>, x_t: Tensor<4>, levels: &NoiseLevels) -> Tensor<4> {
        levels.combine(x_t, prediction, |alpha, sigma| {
            self.x0_weights(alpha, sigma)
        })
    }

    /// Weights of `x_t` and of the prediction in the clean image.
    pub(crate) fn x0_weights(self, alpha: f64, sigma: f64) -> [f64; 2] {
        match self {
            Self::Velocity => [alpha, -sigma],
            Self::Epsilon => [alpha.recip(), -sigma / alpha],
        }
    }

    /// The noise that a prediction implies: `sigma x_t + alpha v`, or itself.
    #[must_use]
    pub fn epsilon(self, prediction: Tensor<4>, x_t: Tensor<4>, levels: &NoiseLevels) -> Tensor<4> {
        match self {
            Self::Velocity => levels.combine(x_t, prediction, |alpha, sigma| [sigma, alpha]),
            Self::Epsilon => prediction,
        }
    }

    /// The velocity that a prediction implies: itself, or `(noise - sigma x_t) / alpha`.
    #[must_use]
    pub fn velocity(
        self,
        prediction: Tensor<4>,
        x_t: Tensor<4>,
        levels: &NoiseLevels,
    ) -> Tensor<4> {
        match self {
            Self::Velocity => prediction,
            Self::Epsilon => levels.combine(prediction, x_t, |alpha, sigma| {
                [alpha.recip(), -sigma / alpha]
            }),
        }
    }

    /// `[mean squared error of v, mean squared error of the noise]` per unit of this target's own squared
    /// error. With `x_t` given, the noise is `sigma x_t + alpha v`, so an error in v is `alpha` times as
    /// large in the noise: the conversion is a factor, not another pass over the images.
    pub(crate) fn error_factors(self, alpha_bar: f64) -> [f64; 2] {
        match self {
            Self::Velocity => [1.0, alpha_bar],
            Self::Epsilon => [alpha_bar.recip(), 1.0],
        }
    }

    /// Min-SNR weight (Hang et al. 2023): `min(snr, gamma)` on the error in `x_0`, carried over
    /// to this target's own error.
    pub(crate) fn min_snr_weight(self, alpha_bar: f64, gamma: f64) -> f64 {
        let snr = alpha_bar / (1.0 - alpha_bar);
        match self {
            Self::Velocity => snr.min(gamma) / (snr + 1.0),
            Self::Epsilon => snr.min(gamma) / snr,
        }
    }
}

crate::name::named!(Target, "target");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleKind;
    use burn::tensor::{DType, Device};
    use proptest::prelude::*;

    fn tensor(values: &[f64]) -> Tensor<4> {
        let data = TensorData::new(values.to_vec(), [values.len() / 2, 2, 1, 1]);
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    fn gap(a: Tensor<4>, b: Tensor<4>) -> f64 {
        (a - b).abs().max().into_scalar::<f64>()
    }

    #[test]
    fn timesteps_outside_the_schedule_are_refused() {
        let schedule = Schedule::new(ScheduleKind::Cosine, 10).unwrap();
        let error = NoiseLevels::at(&schedule, &[0, 9, 10]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "timestep 10 of sample 2 is outside the schedule; expected 0 to 9"
        );
    }

    #[test]
    fn each_sample_has_its_own_level() {
        let schedule = Schedule::new(ScheduleKind::Linear, 1000).unwrap();
        let levels = NoiseLevels::at(&schedule, &[0, 999]).unwrap();
        let x = levels.diffuse(tensor(&[1.0; 4]), tensor(&[0.0, 1.0, 0.0, 1.0]));
        let found = x.try_into_vec_as::<f64>().unwrap();
        let [a, b] = [schedule.alpha_bars()[0], schedule.alpha_bars()[999]];
        let expected = [
            a.sqrt(),
            a.sqrt() + (1.0 - a).sqrt(),
            b.sqrt(),
            b.sqrt() + (1.0 - b).sqrt(),
        ];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15);
        }
    }

    proptest! {
        /// From the truth of either target, image, noise and velocity all come back.
        #[test]
        fn conversions_round_trip(
            x0 in prop::collection::vec(-2.0..2.0f64, 6),
            noise in prop::collection::vec(-3.0..3.0f64, 6),
            alpha_bars in prop::collection::vec(1e-4..0.9999f64, 3),
        ) {
            let levels = NoiseLevels { alpha_bars };
            let (x0, noise) = (tensor(&x0), tensor(&noise));
            let x_t = levels.diffuse(x0.clone(), noise.clone());
            let v = Target::Velocity.truth(x0.clone(), noise.clone(), &levels);
            for target in [Target::Velocity, Target::Epsilon] {
                let said = target.truth(x0.clone(), noise.clone(), &levels);
                let (said, x_t) = (|| said.clone(), || x_t.clone());
                // Epsilon divides by alpha, at least 0.01 here.
                prop_assert!(gap(target.x0(said(), x_t(), &levels), x0.clone()) < 1e-12);
                prop_assert!(gap(target.epsilon(said(), x_t(), &levels), noise.clone()) < 1e-12);
                prop_assert!(gap(target.velocity(said(), x_t(), &levels), v.clone()) < 1e-12);
            }
        }

        /// A wrong prediction is converted to a wrong image that explains the same x_t.
        #[test]
        fn conversions_of_any_prediction_explain_x_t(
            said in prop::collection::vec(-2.0..2.0f64, 4),
            x_t in prop::collection::vec(-3.0..3.0f64, 4),
            alpha_bar in 1e-4..0.9999f64,
        ) {
            let levels = NoiseLevels { alpha_bars: vec![alpha_bar; 2] };
            let (said, x_t) = (tensor(&said), tensor(&x_t));
            for target in [Target::Velocity, Target::Epsilon] {
                let x0 = target.x0(said.clone(), x_t.clone(), &levels);
                let noise = target.epsilon(said.clone(), x_t.clone(), &levels);
                prop_assert!(gap(levels.diffuse(x0.clone(), noise.clone()), x_t.clone()) < 1e-12);
                prop_assert!(gap(target.truth(x0, noise, &levels), said.clone()) < 1e-10);
            }
        }
    }
}
