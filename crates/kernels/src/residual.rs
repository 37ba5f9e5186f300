//! A residual connection whose branch is gated per sample.

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

/// `x + gate * y`, with one gate per sample and feature: `x_btd` and `y_btd` are `[b, t, d]`, `gate_bd` is `[b, d]`.
///
/// # Panics
/// If the shapes do not fit together.
pub fn gated_residual(x_btd: Tensor<3>, y_btd: Tensor<3>, gate_bd: Tensor<2>) -> Tensor<3> {
    let [b, _, d] = x_btd.dims();
    assert_eq!(
        y_btd.dims(),
        x_btd.dims(),
        "the branch has the shape of what it is added to"
    );
    assert_eq!(gate_bd.dims(), [b, d], "one gate per sample and feature");
    if !(flex::is_fused(&x_btd) && flex::is_fused(&y_btd) && flex::is_fused(&gate_bd)) {
        return reference::gated_residual(x_btd, y_btd, gate_bd);
    }
    let [x, y, gate] = [
        x_btd.into_dispatch(),
        y_btd.into_dispatch(),
        gate_bd.into_dispatch(),
    ];
    Tensor::from_dispatch(<Dispatch as Residual>::gated_residual(x, y, gate))
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Residual: Backend {
    fn gated_residual(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gate: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl Residual for Flex {
    fn gated_residual(x: FlexTensor, y: FlexTensor, gate: FlexTensor) -> FlexTensor {
        forward(x, y, gate)
    }
}

impl<C: CheckpointStrategy> Residual for Autodiff<Flex, C> {
    fn gated_residual(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gate: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (y, y_node) = y.into_parts();
        let (gate, gate_node) = gate.into_parts();
        match Step
            .prepare::<C>([x_node, y_node, gate_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish([y.clone(), gate.clone()], forward(x, y, gate)),
            OpsKind::UnTracked(prep) => prep.finish(forward(x, y, gate)),
        }
    }
}

fn forward(x: FlexTensor, y: FlexTensor, gate: FlexTensor) -> FlexTensor {
    let shape = x.shape();
    let [t, d] = [shape[1], shape[2]];
    let [x, y, gate] = [x, y, gate].map(Values::new);
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(t * d)
        .zip(x.par_chunks(t * d).zip(y.par_chunks(t * d)))
        .zip(gate.par_chunks(d))
        .for_each(|((out, (x, y)), gate)| {
            out.par_chunks_mut(TOKENS * d)
                .zip(x.par_chunks(TOKENS * d).zip(y.par_chunks(TOKENS * d)))
                .for_each(|(out, (x, y))| simd::run(Forward { x, y, gate, out }));
        });
    flex::tensor(out, shape)
}

/// Some tokens of one sample.
pub(crate) struct Forward<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) y: &'a [f32],
    pub(crate) gate: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let d = self.gate.len();
        let rows = self.x.chunks_exact(d).zip(self.y.chunks_exact(d));
        for (out, (x, y)) in self.out.chunks_exact_mut(d).zip(rows) {
            for (((out, &x), &y), &gate) in out.iter_mut().zip(x).zip(y).zip(self.gate) {
                *out = x + gate * y;
            }
        }
    }
}

#[derive(Debug)]
struct Step;

impl Backward<Flex, 3> for Step {
    type State = [FlexTensor; 2];

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let [x, y, gate] = ops.parents;
        if y.is_some() || gate.is_some() {
            let [y_grad, gate_grad] = backward(ops.state, grad.clone());
            for (parent, grad) in [(y, y_grad), (gate, gate_grad)] {
                if let Some(parent) = parent {
                    grads.register::<Flex>(parent.id, grad);
                }
            }
        }
        if let Some(x) = x {
            grads.register::<Flex>(x.id, grad);
        }
    }
}

/// Gradients of y, `grad * gate`, and of the gate, `sum over tokens of grad * y`.
fn backward([y, gate]: [FlexTensor; 2], grad: FlexTensor) -> [FlexTensor; 2] {
    let [shape, gate_shape] = [y.shape(), gate.shape()];
    let [t, d] = [shape[1], shape[2]];
    let [y, gate, grad] = [y, gate, grad].map(Values::new);
    let mut y_grad = vec![0.0; y.len()];
    let rows: Vec<[Vec<f32>; 1]> = y_grad
        .par_chunks_mut(t * d)
        .zip(y.par_chunks(t * d).zip(grad.par_chunks(t * d)))
        .zip(gate.par_chunks(d))
        .map(|((y_grad, (y, grad)), gate)| {
            let parts = y_grad
                .par_chunks_mut(TOKENS * d)
                .zip(y.par_chunks(TOKENS * d).zip(grad.par_chunks(TOKENS * d)))
                .map(|(y_grad, (y, grad))| {
                    simd::run(Back {
                        y,
                        gate,
                        grad,
                        y_grad,
                    })
                })
                .collect();
            flex::add_parts(parts)
        })
        .collect();
    let gate_grad = rows.iter().flat_map(|[row]| row).copied().collect();
    [
        flex::tensor(y_grad, shape),
        flex::tensor(gate_grad, gate_shape),
    ]
}

/// Some tokens of one sample; returns the sum over them of `grad * y`.
pub(crate) struct Back<'a> {
    pub(crate) y: &'a [f32],
    pub(crate) gate: &'a [f32],
    pub(crate) grad: &'a [f32],
    pub(crate) y_grad: &'a mut [f32],
}

impl WithSimd for Back<'_> {
    type Output = [Vec<f32>; 1];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [Vec<f32>; 1] {
        let d = self.gate.len();
        let mut gate_sum = vec![0.0; d];
        let rows = self.y.chunks_exact(d).zip(self.grad.chunks_exact(d));
        for (y_grad, (y, grad)) in self.y_grad.chunks_exact_mut(d).zip(rows) {
            for ((y_grad, &grad), &gate) in y_grad.iter_mut().zip(grad).zip(self.gate) {
                *y_grad = grad * gate;
            }
            for ((sum, &grad), &y) in gate_sum.iter_mut().zip(grad).zip(y) {
                *sum += grad * y;
            }
        }
        [gate_sum]
    }
}
