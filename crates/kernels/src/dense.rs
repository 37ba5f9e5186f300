//! The dense projection `y = x W^T + b`.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::flex::{self, Values};
use crate::gemm::{Target, View, gemm};
use crate::{reference, simd};

/// Rows of x in a task, and rows of W in a task of its gradient: large enough for the product to run at full speed,
/// small enough to give every core of a desktop something to do.
const ROWS: usize = 256;
const WEIGHT_ROWS: usize = 96;

/// `x W^T + b`.
///
/// - x: `[rows, n]`
/// - weight: `[m, n]`
/// - bias: `[m]`
/// - output: `[rows, m]`
///
/// # Panics
/// If the shapes do not fit together.
pub fn dense_projection(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let [m, n] = weight.dims();
    assert_eq!(x.dims()[1], n, "as many columns of x as of the weight");
    assert_eq!(bias.dims(), [m], "one bias per row of the weight");
    if !(flex::is_fused(&x) && flex::is_fused(&weight) && flex::is_fused(&bias)) {
        return reference::dense_projection(x, weight, bias);
    }
    let [x, weight, bias] = [
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ];
    Tensor::from_dispatch(<Dispatch as Dense>::dense(x, weight, bias))
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Dense: Backend {
    fn dense(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl Dense for Flex {
    fn dense(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        forward(x, weight, bias)
    }
}

impl<C: CheckpointStrategy> Dense for Autodiff<Flex, C> {
    fn dense(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let nodes = [x_node, weight_node, bias_node];
        match Step.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = forward(x.clone(), weight.clone(), bias);
                prep.finish([x, weight], y)
            }
            OpsKind::UnTracked(prep) => prep.finish(forward(x, weight, bias)),
        }
    }
}

fn forward(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
    let ([rows, n], m) = ([x.shape()[0], x.shape()[1]], weight.shape()[0]);
    let [x, weight, bias] = [x, weight, bias].map(Values::new);
    let across = View::new(&weight, n).transposed();
    let mut y = vec![0.0; rows * m];
    y.par_chunks_mut(ROWS * m)
        .zip(x.par_chunks(ROWS * n))
        .for_each(|(y, x)| {
            for row in y.chunks_exact_mut(m) {
                row.copy_from_slice(&bias);
            }
            gemm(y, Target::Add, View::new(x, n), across);
        });
    flex::tensor(y, Shape::new([rows, m]))
}

#[derive(Debug)]
struct Step;

impl Backward<Flex, 3> for Step {
    /// x and the weight.
    type State = [FlexTensor; 2];

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = Values::new(grads.consume::<Flex>(&ops.node));
        let shapes = ops.state.each_ref().map(TensorMetadata::shape);
        let ([rows, n], m) = ([shapes[0][0], shapes[0][1]], shapes[1][0]);
        let [x, weight] = ops.state.map(Values::new);
        let [x_parent, weight_parent, bias_parent] = ops.parents;
        if let Some(parent) = x_parent {
            let mut dx = vec![0.0; rows * n];
            dx.par_chunks_mut(ROWS * n)
                .zip(grad.par_chunks(ROWS * m))
                .for_each(|(dx, dy)| {
                    gemm(dx, Target::Set, View::new(dy, m), View::new(&weight, n));
                });
            grads.register::<Flex>(parent.id, flex::tensor(dx, shapes[0].clone()));
        }
        if let Some(parent) = weight_parent {
            let across = View::new(&grad, m).transposed();
            let mut dw = vec![0.0; m * n];
            dw.par_chunks_mut(WEIGHT_ROWS * n)
                .enumerate()
                .for_each(|(block, dw)| {
                    let dy = across.rows(block * WEIGHT_ROWS, dw.len() / n);
                    gemm(dw, Target::Set, dy, View::new(&x, n));
                });
            grads.register::<Flex>(parent.id, flex::tensor(dw, shapes[1].clone()));
        }
        if let Some(parent) = bias_parent {
            let parts: Vec<[Vec<f32>; 1]> = grad
                .par_chunks(ROWS * m)
                .map(|dy| {
                    [simd::run(simd::ColumnSums {
                        values: dy,
                        columns: m,
                    })]
                })
                .collect();
            let [bias] = flex::add_parts(parts);
            grads.register::<Flex>(parent.id, flex::tensor(bias, Shape::new([m])));
        }
    }
}
