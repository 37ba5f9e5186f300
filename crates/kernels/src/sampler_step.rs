//! From a network's answer to the next image of a sampler: guidance, clean image, limits and update at once.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::flex::{self, TASK, Values};
use crate::{reference, simd};

/// What a step weighs by what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerStep {
    /// Scale `s` of classifier-free guidance; none if the network answered once per sample.
    pub guidance: Option<f64>,
    /// Weights of the image and of the prediction in the clean image.
    pub clean: [f64; 2],
    /// Clean images are cut to `-limit..=limit`; NaN stays.
    pub limit: Option<f64>,
    /// Weights of the image and of the clean image in the next image.
    pub next: [f64; 2],
}

/// The next image of a sampler: `A x + B clean + C other`, where `clean = cut(p x + q m)` and
/// `m = s conditional + (1 - s) null`.
///
/// `x` is `[b, ..]`. `prediction` has its shape; with guidance it is `[2 b, ..]`, the conditional answers first, then
/// those to the null condition. `other`, with its weight, is a third term (noise, or an image from before) in the shape
/// of `x`. In 32 bits, values are within 2e-6 of the largest that occurs on the way. What is tracked by automatic
/// differentiation goes through the composition.
///
/// # Panics
/// If the shapes do not fit together.
pub fn sampler_step<const D: usize>(
    x: Tensor<D>,
    prediction: Tensor<D>,
    other: Option<(Tensor<D>, f64)>,
    step: SamplerStep,
) -> Tensor<D> {
    if !is_fused(&x, &prediction, other.as_ref(), step) {
        return reference::sampler_step_and_clean(x, prediction, other, step).0;
    }
    let ([x, prediction, other], weights) = operands(x, prediction, other, step);
    let next = <Dispatch as Update>::next(x, prediction, other, weights);
    Tensor::from_dispatch(next)
}

/// The same, with the clean image it came from: `(next, clean)`.
///
/// # Panics
/// As [`sampler_step`].
pub fn sampler_step_and_clean<const D: usize>(
    x: Tensor<D>,
    prediction: Tensor<D>,
    other: Option<(Tensor<D>, f64)>,
    step: SamplerStep,
) -> (Tensor<D>, Tensor<D>) {
    if !is_fused(&x, &prediction, other.as_ref(), step) {
        return reference::sampler_step_and_clean(x, prediction, other, step);
    }
    let ([x, prediction, other], weights) = operands(x, prediction, other, step);
    let (next, clean) = <Dispatch as Update>::next_and_clean(x, prediction, other, weights);
    (Tensor::from_dispatch(next), Tensor::from_dispatch(clean))
}

/// Checks shapes; says whether one pass can do the step.
fn is_fused<const D: usize>(
    x: &Tensor<D>,
    prediction: &Tensor<D>,
    other: Option<&(Tensor<D>, f64)>,
    step: SamplerStep,
) -> bool {
    let mut said = x.dims();
    said[0] *= if step.guidance.is_some() { 2 } else { 1 };
    assert_eq!(
        prediction.dims(),
        said,
        "one prediction per sample, or two with guidance"
    );
    let other = other.map(|(other, _)| other);
    if let Some(other) = other {
        assert_eq!(other.dims(), x.dims(), "the third term has the shape of x");
    }
    let mut all = [x, prediction].into_iter().chain(other);
    all.all(|x| flex::is_fused(x) && !x.is_autodiff())
}

/// x, the prediction and the third term; without one, the prediction with weight 0, which is never read.
fn operands<const D: usize>(
    x: Tensor<D>,
    prediction: Tensor<D>,
    other: Option<(Tensor<D>, f64)>,
    step: SamplerStep,
) -> ([FloatTensor<Dispatch>; 3], Weights) {
    let (other, weight) = other.unwrap_or_else(|| (prediction.clone(), 0.0));
    let weights = Weights {
        guidance: step
            .guidance
            .map(|scale| [scale, 1.0 - scale].map(|w| w as f32)),
        clean: step.clean.map(|w| w as f32),
        limit: step.limit.map_or(f32::INFINITY, |limit| limit as f32),
        next: [step.next[0], step.next[1], weight].map(|w| w as f32),
    };
    let tensors = [x, prediction, other].map(Tensor::into_dispatch);
    (tensors, weights)
}

/// [`SamplerStep`] in single precision, with the weight of the third term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights {
    guidance: Option<[f32; 2]>,
    clean: [f32; 2],
    limit: f32,
    next: [f32; 3],
}

#[backend_extension(Flex)]
pub(crate) trait Update: Backend {
    fn next(
        x: FloatTensor<Self>,
        prediction: FloatTensor<Self>,
        other: FloatTensor<Self>,
        weights: Weights,
    ) -> FloatTensor<Self>;

    fn next_and_clean(
        x: FloatTensor<Self>,
        prediction: FloatTensor<Self>,
        other: FloatTensor<Self>,
        weights: Weights,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl Update for Flex {
    fn next(
        x: FlexTensor,
        prediction: FlexTensor,
        other: FlexTensor,
        weights: Weights,
    ) -> FlexTensor {
        run(x, [prediction, other], weights, None)
    }

    fn next_and_clean(
        x: FlexTensor,
        prediction: FlexTensor,
        other: FlexTensor,
        weights: Weights,
    ) -> (FlexTensor, FlexTensor) {
        let shape = x.shape();
        let mut clean = vec![0.0; shape.num_elements()];
        let next = run(x, [prediction, other], weights, Some(&mut clean));
        (next, flex::tensor(clean, shape))
    }
}

/// The next image, in the memory of `x` when nothing else refers to it; the clean one if there is a place for it.
fn run(
    x: FlexTensor,
    others: [FlexTensor; 2],
    weights: Weights,
    clean: Option<&mut [f32]>,
) -> FlexTensor {
    let [prediction, other] = others.map(Values::new);
    let mut next = x.to_contiguous();
    // A second handle would make `storage_mut` copy.
    drop(x);
    let values = next.storage_mut::<f32>();
    let (conditional, null) = prediction.split_at(values.len());
    let mut clean = clean.map(|clean| clean.chunks_mut(TASK));
    let tasks: Vec<_> = values
        .chunks_mut(TASK)
        .map(|x| (x, clean.as_mut().and_then(Iterator::next)))
        .collect();
    tasks
        .into_par_iter()
        .enumerate()
        .for_each(|(i, (x, clean))| {
            let here = i * TASK..i * TASK + x.len();
            simd::run(Piece {
                weights,
                conditional: &conditional[here.clone()],
                null: null.get(here.clone()).unwrap_or_default(),
                other: &other[here],
                x,
                clean,
            });
        });
    next
}

/// Values at a time: what is found on the way to the next image stays in the first-level cache.
const BLOCK: usize = 512;

/// Some values; `x` becomes the next image, `null` is empty without guidance.
struct Piece<'a> {
    weights: Weights,
    x: &'a mut [f32],
    conditional: &'a [f32],
    null: &'a [f32],
    other: &'a [f32],
    clean: Option<&'a mut [f32]>,
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        let Weights {
            guidance,
            clean: [p, q],
            limit,
            next: [a, b, c],
        } = self.weights;
        let mut room = [0.0; BLOCK];
        for (i, x) in self.x.chunks_mut(BLOCK).enumerate() {
            let here = i * BLOCK..i * BLOCK + x.len();
            let said = &self.conditional[here.clone()];
            let clean = match &mut self.clean {
                Some(clean) => &mut clean[here.clone()],
                None => &mut room[..x.len()],
            };
            if let Some([s, rest]) = guidance {
                let null = &self.null[here.clone()];
                for (((clean, &x), &said), &null) in
                    clean.iter_mut().zip(x.iter()).zip(said).zip(null)
                {
                    let said = s * said + rest * null;
                    *clean = (p * x + q * said).clamp(-limit, limit);
                }
            } else {
                for ((clean, &x), &said) in clean.iter_mut().zip(x.iter()).zip(said) {
                    *clean = (p * x + q * said).clamp(-limit, limit);
                }
            }
            for (x, &clean) in x.iter_mut().zip(clean.iter()) {
                *x = a * *x + b * clean;
            }
            if c != 0.0 {
                for (x, &other) in x.iter_mut().zip(&self.other[here]) {
                    *x += c * other;
                }
            }
        }
    }
}
