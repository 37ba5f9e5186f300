//! Elementwise activations: GELU in its tanh form, and SiLU.

use std::marker::PhantomData;

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

use crate::flex::{self, TASK, Values};
use crate::{reference, simd};

/// Coefficient of the cubic term (Hendrycks and Gimpel, arXiv 1606.08415).
pub(crate) const GELU_CUBIC: f32 = 0.044_715;
/// `2 sqrt(2 / pi)`.
pub(crate) const TWO_SQRT_2_OVER_PI: f32 = 1.595_769;

/// GELU in its tanh form, elementwise: `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
pub fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !flex::is_fused(&x) {
        return reference::gelu_tanh(x);
    }
    Tensor::from_dispatch(<Dispatch as Activations>::gelu_tanh(x.into_dispatch()))
}

/// SiLU, elementwise: `x sigmoid(x)`.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !flex::is_fused(&x) {
        return reference::silu(x);
    }
    Tensor::from_dispatch(<Dispatch as Activations>::silu(x.into_dispatch()))
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Activations: Backend {
    fn gelu_tanh(x: FloatTensor<Self>) -> FloatTensor<Self>;
    fn silu(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl Activations for Flex {
    fn gelu_tanh(x: FlexTensor) -> FlexTensor {
        forward::<Gelu>(x)
    }

    fn silu(x: FlexTensor) -> FlexTensor {
        forward::<Silu>(x)
    }
}

impl<C: CheckpointStrategy> Activations for Autodiff<Flex, C> {
    fn gelu_tanh(x: FloatTensor<Self>) -> FloatTensor<Self> {
        tracked::<Gelu, C>(x)
    }

    fn silu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        tracked::<Silu, C>(x)
    }
}

/// A scalar function and its derivative, free of branches.
trait Activation: std::fmt::Debug + Send + Sync + 'static {
    fn value(x: f32) -> f32;
    fn slope(x: f32) -> f32;
}

#[derive(Debug)]
struct Gelu;

impl Activation for Gelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        let two_z = TWO_SQRT_2_OVER_PI * x * (1.0 + GELU_CUBIC * x * x);
        x / (1.0 + simd::exp(-two_z))
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        Self::both(x)[1]
    }
}

impl Gelu {
    /// Value and slope.
    #[inline(always)]
    fn both(x: f32) -> [f32; 2] {
        // At |x| = 9.5 the slope is 0 or 1 to the last bit; beyond, x^3 could overflow.
        let near = x.clamp(-9.5, 9.5);
        let square = GELU_CUBIC * near * near;
        let two_z = TWO_SQRT_2_OVER_PI * near * (1.0 + square);
        let e = simd::exp(-two_z);
        let s = 1.0 / (1.0 + e);
        // 1 - s = e s keeps its precision where s is close to one.
        let slope = s + near * s * (e * s) * TWO_SQRT_2_OVER_PI * (1.0 + 3.0 * square);
        [x * s, slope]
    }
}

#[derive(Debug)]
struct Silu;

impl Activation for Silu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x / (1.0 + simd::exp(-x))
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let x = x.clamp(-80.0, 80.0);
        let e = simd::exp(-x);
        let s = 1.0 / (1.0 + e);
        s + x * s * (e * s)
    }
}

fn forward<A: Activation>(x: FlexTensor) -> FlexTensor {
    let shape = x.shape();
    let x = Values::new(x);
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(TASK)
        .zip(x.par_chunks(TASK))
        .for_each(|(y, x)| {
            simd::run(Map::<A> {
                x,
                y,
                activation: PhantomData,
            })
        });
    flex::tensor(y, shape)
}

/// `grad * slope(x)`, in the gradient's own memory when nothing else refers to it.
fn backward<A: Activation>(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
    let x = Values::new(x);
    let mut to = grad.to_contiguous();
    // A second handle would make `storage_mut` copy.
    drop(grad);
    to.storage_mut::<f32>()
        .par_chunks_mut(TASK)
        .zip(x.par_chunks(TASK))
        .for_each(|(grad, x)| {
            simd::run(Scale::<A> {
                x,
                grad,
                activation: PhantomData,
            })
        });
    to
}

/// `y = gelu(x)`, on the calling thread.
pub(crate) fn gelu_into(x: &[f32], y: &mut [f32]) {
    simd::run(Map::<Gelu> {
        x,
        y,
        activation: PhantomData,
    });
}

/// `y = gelu(x)`, and `grad` times the slope of GELU at `x`, on the calling thread.
pub(crate) fn gelu_and_back(x: &[f32], y: &mut [f32], grad: &mut [f32]) {
    simd::run(GeluAndBack { x, y, grad });
}

struct GeluAndBack<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    grad: &'a mut [f32],
}

impl WithSimd for GeluAndBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((y, grad), &x) in self.y.iter_mut().zip(self.grad).zip(self.x) {
            let [value, slope] = Gelu::both(x);
            *y = value;
            *grad *= slope;
        }
    }
}

struct Map<'a, A> {
    x: &'a [f32],
    y: &'a mut [f32],
    activation: PhantomData<A>,
}

impl<A: Activation> WithSimd for Map<'_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = A::value(x);
        }
    }
}

struct Scale<'a, A> {
    x: &'a [f32],
    grad: &'a mut [f32],
    activation: PhantomData<A>,
}

impl<A: Activation> WithSimd for Scale<'_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (grad, &x) in self.grad.iter_mut().zip(self.x) {
            *grad *= A::slope(x);
        }
    }
}

/// Registers the backward step; only the input is kept for it.
fn tracked<A: Activation, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<Flex, C>>,
) -> FloatTensor<Autodiff<Flex, C>> {
    let (x, node) = x.into_parts();
    match Step::<A>(PhantomData)
        .prepare::<C>([node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => prep.finish(x.clone(), forward::<A>(x)),
        OpsKind::UnTracked(prep) => prep.finish(forward::<A>(x)),
    }
}

#[derive(Debug)]
struct Step<A>(PhantomData<A>);

impl<A: Activation> Backward<Flex, 1> for Step<A> {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<Flex>(parent.id, backward::<A>(ops.state, grad));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same_everywhere<A: Activation>() {
        let x: Vec<f32> = (-2000..2000).map(|i| i as f32 * 0.0123).collect();
        let mut results = [vec![0.0; x.len()], vec![0.0; x.len()]];
        let mut slopes = [vec![1.0; x.len()], vec![1.0; x.len()]];
        let [wide, scalar] = &mut results;
        simd::run(Map::<A> {
            x: &x,
            y: wide,
            activation: PhantomData,
        });
        Map::<A> {
            x: &x,
            y: scalar,
            activation: PhantomData,
        }
        .with_simd(pulp::Scalar);
        let [wide, scalar] = &mut slopes;
        simd::run(Scale::<A> {
            x: &x,
            grad: wide,
            activation: PhantomData,
        });
        Scale::<A> {
            x: &x,
            grad: scalar,
            activation: PhantomData,
        }
        .with_simd(pulp::Scalar);
        assert_eq!(results[0], results[1]);
        assert_eq!(slopes[0], slopes[1]);
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        same_everywhere::<Gelu>();
        same_everywhere::<Silu>();
    }
}
