//! Layer normalisation without affine parameters, followed by a per-sample shift and scale (adaptive layer norm).

use std::sync::Arc;

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::flex::{self, TOKENS, Values};
use crate::{reference, simd};

/// `(x - mean) / sqrt(var + eps) * (1 + scale) + shift`, mean and (biased) variance over the features of each token.
///
/// The adaptive layer norm of DiT (Peebles and Xie, arXiv 2212.09748). `x_btd` is `[b, t, d]`; `shift_bd` and `scale_bd`
/// are `[b, d]`, one row per sample for all its tokens. The result has the shape of `x_btd`.
///
/// # Panics
/// If the shapes do not fit together.
pub fn modulated_layer_norm(
    x_btd: Tensor<3>,
    shift_bd: Tensor<2>,
    scale_bd: Tensor<2>,
    eps: f64,
) -> Tensor<3> {
    let [b, _, d] = x_btd.dims();
    assert_eq!(shift_bd.dims(), [b, d], "one shift per sample and feature");
    assert_eq!(scale_bd.dims(), [b, d], "one scale per sample and feature");
    if !(flex::is_fused(&x_btd) && flex::is_fused(&shift_bd) && flex::is_fused(&scale_bd)) {
        return reference::modulated_layer_norm(x_btd, shift_bd, scale_bd, eps);
    }
    let [x, shift, scale] = [
        x_btd.into_dispatch(),
        shift_bd.into_dispatch(),
        scale_bd.into_dispatch(),
    ];
    Tensor::from_dispatch(<Dispatch as LayerNorm>::modulated_layer_norm(
        x, shift, scale, eps,
    ))
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait LayerNorm: Backend {
    fn modulated_layer_norm(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self>;
}

impl LayerNorm for Flex {
    fn modulated_layer_norm(
        x: FlexTensor,
        shift: FlexTensor,
        scale: FlexTensor,
        eps: f64,
    ) -> FlexTensor {
        forward(x, shift, scale, eps).0
    }
}

impl<C: CheckpointStrategy> LayerNorm for Autodiff<Flex, C> {
    fn modulated_layer_norm(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (shift, shift_node) = shift.into_parts();
        let (scale, scale_node) = scale.into_parts();
        let nodes = [x_node, shift_node, scale_node];
        match Step.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (y, moments) = forward(x.clone(), shift, scale.clone(), eps);
                prep.finish(
                    Saved {
                        x,
                        scale,
                        moments: moments.into(),
                    },
                    y,
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(forward(x, shift, scale, eps).0),
        }
    }
}

/// Mean and inverse standard deviation of one token.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moments {
    mean: f32,
    inverse: f32,
}

fn forward(
    x: FlexTensor,
    shift: FlexTensor,
    scale: FlexTensor,
    eps: f64,
) -> (FlexTensor, Vec<Moments>) {
    let shape = x.shape();
    let [t, d] = [shape[1], shape[2]];
    let [x, shift, scale] = [x, shift, scale].map(Values::new);
    let mut y = vec![0.0; x.len()];
    let mut moments = vec![Moments::default(); x.len() / d];
    y.par_chunks_mut(t * d)
        .zip(moments.par_chunks_mut(t))
        .zip(x.par_chunks(t * d))
        .zip(shift.par_chunks(d).zip(scale.par_chunks(d)))
        .for_each(|(((y, moments), x), (shift, scale))| {
            y.par_chunks_mut(TOKENS * d)
                .zip(moments.par_chunks_mut(TOKENS))
                .zip(x.par_chunks(TOKENS * d))
                .for_each(|((y, moments), x)| {
                    simd::run(Forward {
                        x,
                        shift,
                        scale,
                        eps: eps as f32,
                        y,
                        moments,
                    });
                });
        });
    (flex::tensor(y, shape), moments)
}

/// Some tokens of one sample.
pub(crate) struct Forward<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) eps: f32,
    pub(crate) y: &'a mut [f32],
    pub(crate) moments: &'a mut [Moments],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let d = self.shift.len();
        let rows = self.y.chunks_exact_mut(d).zip(self.x.chunks_exact(d));
        for ((y, x), moments) in rows.zip(self.moments) {
            let mean = simd::sum(x, |x| x) / d as f32;
            let variance = simd::sum(x, |x| (x - mean) * (x - mean)) / d as f32;
            let inverse = 1.0 / (variance + self.eps).sqrt();
            for (((y, &x), &shift), &scale) in y.iter_mut().zip(x).zip(self.shift).zip(self.scale) {
                *y = (x - mean) * inverse * (1.0 + scale) + shift;
            }
            *moments = Moments { mean, inverse };
        }
    }
}

#[derive(Debug)]
struct Step;

#[derive(Debug, Clone)]
struct Saved {
    x: FlexTensor,
    scale: FlexTensor,
    moments: Arc<[Moments]>,
}

impl Backward<Flex, 3> for Step {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let all = backward(ops.state, grad);
        for (parent, grad) in ops.parents.into_iter().zip(all) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, grad);
            }
        }
    }
}

/// Gradients of x, shift and scale. With `n` the normalised token and `g = grad * (1 + scale)`,
/// `dx = (g - mean(g) - n mean(g n)) / std`, `dshift = sum over tokens of grad`, `dscale = sum over tokens of grad n`.
fn backward(saved: Saved, grad: FlexTensor) -> [FlexTensor; 3] {
    let [shape, row_shape] = [saved.x.shape(), saved.scale.shape()];
    let [t, d] = [shape[1], shape[2]];
    let [x, scale] = [saved.x, saved.scale].map(Values::new);
    let mut to = grad.to_contiguous();
    // A second handle would make `storage_mut` copy.
    drop(grad);
    let rows: Vec<[Vec<f32>; 2]> = to
        .storage_mut::<f32>()
        .par_chunks_mut(t * d)
        .zip(x.par_chunks(t * d))
        .zip(saved.moments.par_chunks(t))
        .zip(scale.par_chunks(d))
        .map(|(((grad, x), moments), scale)| {
            let parts = grad
                .par_chunks_mut(TOKENS * d)
                .zip(x.par_chunks(TOKENS * d))
                .zip(moments.par_chunks(TOKENS))
                .map(|((grad, x), moments)| {
                    simd::run(Back {
                        x,
                        scale,
                        moments,
                        grad,
                    })
                })
                .collect();
            flex::add_parts(parts)
        })
        .collect();
    let [shift, scale] = [0, 1].map(|part| {
        let values = rows.iter().flat_map(|row| &row[part]).copied().collect();
        flex::tensor(values, row_shape.clone())
    });
    [to, shift, scale]
}

/// Some tokens of one sample; turns `grad` from the gradient of the result into that of x.
pub(crate) struct Back<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) moments: &'a [Moments],
    pub(crate) grad: &'a mut [f32],
}

impl WithSimd for Back<'_> {
    type Output = [Vec<f32>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [Vec<f32>; 2] {
        let d = self.scale.len();
        let mut shift_sum = vec![0.0; d];
        let mut scale_sum = vec![0.0; d];
        let rows = self.grad.chunks_exact_mut(d).zip(self.x.chunks_exact(d));
        for ((grad, x), &Moments { mean, inverse }) in rows.zip(self.moments) {
            let normal = |x: f32| (x - mean) * inverse;
            let sums = shift_sum.iter_mut().zip(scale_sum.iter_mut());
            for ((g, &x), (shift, scale)) in grad.iter().zip(x).zip(sums) {
                *shift += g;
                *scale += g * normal(x);
            }
            for (g, &scale) in grad.iter_mut().zip(self.scale) {
                *g *= 1.0 + scale;
            }
            let mean_g = simd::sum(grad, |g| g) / d as f32;
            let mean_gn = simd::dot(grad, x, normal) / d as f32;
            for (g, &x) in grad.iter_mut().zip(x) {
                *g = inverse * (*g - mean_g - normal(x) * mean_gn);
            }
        }
        [shift_sum, scale_sum]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let wave =
            |n: usize, step: f32| (0..n).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
        let (x, shift, scale) = (wave(3 * 77, 0.7), wave(77, 1.1), wave(77, 0.3));
        let outcome = |wide: bool| {
            let mut y = vec![0.0; x.len()];
            let mut moments = vec![Moments::default(); 3];
            let forward = Forward {
                x: &x,
                shift: &shift,
                scale: &scale,
                eps: 1e-6,
                y: &mut y,
                moments: &mut moments,
            };
            if wide {
                simd::run(forward)
            } else {
                forward.with_simd(pulp::Scalar)
            }
            let mut grad = wave(x.len(), 0.5);
            let back = Back {
                x: &x,
                scale: &scale,
                moments: &moments,
                grad: &mut grad,
            };
            let rows = if wide {
                simd::run(back)
            } else {
                back.with_simd(pulp::Scalar)
            };
            (y, grad, rows)
        };
        assert_eq!(outcome(true), outcome(false));
    }
}
