//! From the network's output to the next image.

use burn::tensor::Tensor;
use learngene_kernels::{SamplerStep, sampler_step, sampler_step_and_clean};

use crate::error::expect_shape;
use crate::target::amplitudes;
use crate::variance::split;
use crate::{Denoiser, DiffusionError, Prediction, Target};

/// What keeps predicted clean images within the range of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Clip {
    /// Nothing: for latents, and wherever exactness counts.
    #[default]
    Off,
    /// Values are cut to -1 to 1, the range of pixels.
    Range,
    /// Each image is scaled down by the 99.5th percentile of its absolute values, if that exceeds 1, then cut
    /// to -1 to 1 (Saharia et al. 2022, section 2.3): for strong guidance of pixels.
    Dynamic,
}

impl Clip {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("off", Self::Off),
        ("range", Self::Range),
        ("dynamic", Self::Dynamic),
    ];

    /// The largest magnitude left.
    fn limit(self) -> Option<f64> {
        match self {
            Self::Off => None,
            Self::Range | Self::Dynamic => Some(1.0),
        }
    }
}

crate::name::named!(Clip, "clipping");

const DYNAMIC_PERCENTILE: f64 = 0.995;

/// Per sample, `[b, 1, 1, 1]`: the smallest magnitude not exceeded by 99.5 % of the values.
fn percentile_of_magnitude(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let values = c * h * w;
    let rank = (DYNAMIC_PERCENTILE * (values.saturating_sub(1)) as f64).ceil() as usize;
    let sorted = x.abs().reshape([b, values]).sort(1);
    sorted.narrow(1, rank, 1).reshape([b, 1, 1, 1])
}

/// A network with what its output means.
#[derive(Clone, Copy)]
pub struct Predictor<'a> {
    denoiser: &'a dyn Denoiser,
    target: Target,
    clip: Clip,
}

impl std::fmt::Debug for Predictor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Predictor")
            .field("target", &self.target)
            .field("clip", &self.clip)
            .finish_non_exhaustive()
    }
}

/// What the network said about an image, with all that makes the next one of it.
///
/// On the CPU guidance, the clean image, its clipping and the sampler's update are one pass over memory; for dynamic
/// clipping, which needs to see a whole image first, two and a sort. Learned variances are computed apart.
pub(crate) struct Answer {
    x: Tensor<4>,
    prediction: Tensor<4>,
    step: SamplerStep,
    /// The raw learned variances, `[b, c, h, w]`, if the network has them.
    pub raw_variance: Option<Tensor<4>>,
}

impl Answer {
    /// `a x + b clean`, plus a third term with its weight; `clean` is the predicted clean image, clipped.
    pub(super) fn next(self, [a, b]: [f64; 2], other: Option<(Tensor<4>, f64)>) -> Tensor<4> {
        let step = SamplerStep {
            next: [a, b],
            ..self.step
        };
        sampler_step(self.x, self.prediction, other, step)
    }

    /// The same, with the clean image: `(next, clean)`.
    pub(super) fn next_and_clean(
        self,
        [a, b]: [f64; 2],
        other: Option<(Tensor<4>, f64)>,
    ) -> (Tensor<4>, Tensor<4>) {
        let step = SamplerStep {
            next: [a, b],
            ..self.step
        };
        sampler_step_and_clean(self.x, self.prediction, other, step)
    }

    /// The predicted clean image, clipped.
    pub(crate) fn clean(self) -> Tensor<4> {
        self.next(CLEAN, None)
    }
}

/// Weights of a step that ends with the clean image.
const CLEAN: [f64; 2] = [0.0, 1.0];

impl<'a> Predictor<'a> {
    /// Reads the output of `denoiser` as `target`.
    #[must_use]
    pub fn new(denoiser: &'a dyn Denoiser, target: Target, clip: Clip) -> Self {
        Self {
            denoiser,
            target,
            clip,
        }
    }

    /// Evaluates the network once.
    pub(crate) fn ask(
        &self,
        x: Tensor<4>,
        time: f64,
        alpha_bar: f64,
    ) -> Result<Answer, DiffusionError> {
        let [b, c, h, w] = x.dims();
        let Prediction { output, guidance } = self.denoiser.predict(x.clone(), time);
        let output = output.without_autodiff();
        let rows = if guidance.is_some() { 2 * b } else { b };
        let (prediction, raw_variance) = if output.dims() == [rows, 2 * c, h, w] {
            let (prediction, raw) = split(output, c);
            (prediction, Some(raw.narrow(0, 0, b)))
        } else {
            expect_shape("network output", output.dims(), [rows, c, h, w])?;
            (output, None)
        };
        let (alpha, sigma) = amplitudes(alpha_bar);
        let mut answer = Answer {
            x,
            prediction,
            step: SamplerStep {
                guidance,
                clean: self.target.x0_weights(alpha, sigma),
                limit: self.clip.limit(),
                next: CLEAN,
            },
            raw_variance,
        };
        if self.clip == Clip::Dynamic {
            let whole = SamplerStep {
                limit: None,
                ..answer.step
            };
            let x0 = sampler_step(answer.x.clone(), answer.prediction, None, whole);
            let scale = percentile_of_magnitude(x0.clone()).clamp_min(1.0);
            answer.prediction = x0 / scale;
            answer.step.guidance = None;
            answer.step.clean = CLEAN;
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn clipping_keeps_images_in_range() {
        // 1000 magnitudes from 0.002 to 2: the 99.5th percentile is the 996th.
        let ramp: Vec<f32> = (1..=1000)
            .map(|k| if k % 2 == 0 { 2.0 } else { -2.0 } * k as f32 / 1000.0)
            .collect();
        let small: Vec<f32> = ramp.iter().map(|x| x / 4.0).collect();
        let data = TensorData::new([ramp.clone(), small.clone()].concat(), [2, 1, 25, 40]);
        let x = Tensor::<4>::from_data(data, &Device::flex());
        // Alpha equals sigma here, so that of an empty image the clean one is the noise, negated.
        let network = |_: Tensor<4>, _: f64| x.clone().neg();
        let values = |clip: Clip| {
            let predictor = Predictor::new(&network, Target::Epsilon, clip);
            let said = predictor.ask(x.zeros_like(), 0.0, 0.5).unwrap();
            said.clean().try_into_vec_as::<f32>().unwrap()
        };

        assert_eq!(values(Clip::Off)[..1000], ramp);
        let range = values(Clip::Range);
        assert_eq!((range[399], range[999], range[998]), (0.8, 1.0, -1.0));
        let dynamic = values(Clip::Dynamic);
        for (k, (found, was)) in dynamic.iter().zip(&ramp).enumerate() {
            let expected = (was / 1.992).clamp(-1.0, 1.0);
            assert!((found - expected).abs() < 1e-6, "{k}: {found} {expected}");
        }
        assert_eq!(
            dynamic[1000..],
            small,
            "an image within range is left alone"
        );
    }

    #[test]
    fn outputs_of_another_shape_are_refused() {
        let network = |x: Tensor<4>, _: f64| x.repeat_dim(1, 3);
        let predictor = Predictor::new(&network, Target::Velocity, Clip::Off);
        let x = Tensor::zeros([2, 3, 4, 4], &Device::flex());
        let error = predictor.ask(x, 0.0, 0.5).err().unwrap();
        assert_eq!(
            error.to_string(),
            "network output has shape [2, 9, 4, 4], expected [2, 3, 4, 4]"
        );
    }
}
