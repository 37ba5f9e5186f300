//! Multi-head attention that reads the heads where they are and never stores all the attention weights.

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
use rayon::prelude::*;

use crate::flex::{self, Values};
use crate::gemm::Precision;
use crate::{reference, simd};

pub(crate) mod head;
mod right;

use head::{Back, Forward, RowSoftmax, Scratch};

/// `softmax(q k^T / sqrt(d / heads)) v` for each head, the heads side by side in the features.
///
/// `q_btd` is `[b, t, d]`; `k_btd` and `v_btd` are `[b, s, d]` (`s = t` in self-attention). The result is `[b, t, d]`.
/// For the backward pass it keeps the inputs and two numbers per query, and computes the weights again.
///
/// # Panics
/// If the shapes do not fit together or `heads` does not divide `d`.
pub fn attention(q_btd: Tensor<3>, k_btd: Tensor<3>, v_btd: Tensor<3>, heads: usize) -> Tensor<3> {
    let [b, _, d] = q_btd.dims();
    let [_, s, _] = k_btd.dims();
    assert!(
        heads > 0 && d % heads == 0,
        "{heads} heads do not divide {d} features"
    );
    assert_eq!(
        k_btd.dims(),
        [b, s, d],
        "keys have the samples and features of the queries"
    );
    assert_eq!(v_btd.dims(), [b, s, d], "one value per key");
    if ![&q_btd, &k_btd, &v_btd].into_iter().all(flex::is_fused) {
        return reference::attention(q_btd, k_btd, v_btd, heads);
    }
    let [q, k, v] = [q_btd, k_btd, v_btd].map(Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as Attention>::multi_head(q, k, v, heads))
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Attention: Backend {
    fn multi_head(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self>;
}

impl Attention for Flex {
    fn multi_head(q: FlexTensor, k: FlexTensor, v: FlexTensor, heads: usize) -> FlexTensor {
        forward([q, k, v], heads).0
    }
}

impl<C: CheckpointStrategy> Attention for Autodiff<Flex, C> {
    fn multi_head(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        let (q, q_node) = q.into_parts();
        let (k, k_node) = k.into_parts();
        let (v, v_node) = v.into_parts();
        match Step
            .prepare::<C>([q_node, k_node, v_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let qkv = [q, k, v];
                let (out, rows) = forward(qkv.clone(), heads);
                prep.finish(
                    Saved {
                        qkv,
                        heads,
                        rows: rows.into(),
                    },
                    out,
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(forward([q, k, v], heads).0),
        }
    }
}

/// The rows of `[t, d]` cut into heads: for each head, its part of every row.
pub(crate) fn by_head(rows: &mut [f32], d: usize, heads: usize) -> Vec<Vec<&mut [f32]>> {
    let mut parts: Vec<Vec<_>> = (0..heads)
        .map(|_| Vec::with_capacity(rows.len() / d))
        .collect();
    for row in rows.chunks_exact_mut(d) {
        for (part, head) in parts.iter_mut().zip(row.chunks_exact_mut(d / heads)) {
            part.push(head);
        }
    }
    parts
}

/// The result, and each query's softmax as `[b, heads, t]`.
fn forward(qkv: [FlexTensor; 3], heads: usize) -> (FlexTensor, Vec<RowSoftmax>) {
    let shape = qkv[0].shape();
    let [b, t, d] = [shape[0], shape[1], shape[2]];
    let s = qkv[1].shape()[1];
    let [q, k, v] = qkv.map(Values::new);
    let mut out = vec![0.0; q.len()];
    let mut rows = vec![RowSoftmax::default(); b * heads * t];
    out.par_chunks_mut(t * d)
        .zip(rows.par_chunks_mut(heads * t))
        .zip(
            q.par_chunks(t * d)
                .zip(k.par_chunks(s * d).zip(v.par_chunks(s * d))),
        )
        .for_each(|((out, rows), (q, (k, v)))| {
            by_head(out, d, heads)
                .into_par_iter()
                .zip(rows.par_chunks_mut(t))
                .enumerate()
                .for_each(|(head, (mut out, rows))| {
                    let first = head * (d / heads);
                    let [q, k, v] = [&q[first..], &k[first..], &v[first..]];
                    simd::run(Forward {
                        q,
                        k,
                        v,
                        d,
                        keys: s,
                        out: &mut out,
                        rows,
                        precision: Precision::F32,
                        scratch: &mut Scratch::default(),
                    });
                });
        });
    (flex::tensor(out, shape), rows)
}

#[derive(Debug)]
struct Step;

#[derive(Debug, Clone)]
struct Saved {
    qkv: [FlexTensor; 3],
    heads: usize,
    rows: Arc<[RowSoftmax]>,
}

impl Backward<Flex, 3> for Step {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        for (parent, grad) in ops.parents.into_iter().zip(backward(ops.state, grad)) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, grad);
            }
        }
    }
}

/// Gradients of q, k and v.
fn backward(Saved { qkv, heads, rows }: Saved, grad: FlexTensor) -> [FlexTensor; 3] {
    let shapes = [qkv[0].shape(), qkv[1].shape(), qkv[2].shape()];
    let [t, s, d] = [shapes[0][1], shapes[1][1], shapes[0][2]];
    let [q, k, v] = qkv.map(Values::new);
    let grad = Values::new(grad);
    let mut dq = vec![0.0; q.len()];
    let mut dk = vec![0.0; k.len()];
    let mut dv = vec![0.0; v.len()];
    let results = dq
        .par_chunks_mut(t * d)
        .zip(dk.par_chunks_mut(s * d).zip(dv.par_chunks_mut(s * d)));
    let inputs = q
        .par_chunks(t * d)
        .zip(k.par_chunks(s * d).zip(v.par_chunks(s * d)));
    results
        .zip(inputs)
        .zip(grad.par_chunks(t * d).zip(rows.par_chunks(heads * t)))
        .for_each(|(((dq, (dk, dv)), (q, (k, v))), (grad, rows))| {
            by_head(dq, d, heads)
                .into_par_iter()
                .zip(
                    by_head(dk, d, heads)
                        .into_par_iter()
                        .zip(by_head(dv, d, heads)),
                )
                .zip(rows.par_chunks(t))
                .enumerate()
                .for_each(|(head, ((mut dq, (mut dk, mut dv)), rows))| {
                    let first = head * (d / heads);
                    let [q, k, v, grad] = [&q[first..], &k[first..], &v[first..], &grad[first..]];
                    let [dq, dk, dv] = [&mut dq, &mut dk, &mut dv].map(Vec::as_mut_slice);
                    simd::run(Back {
                        q,
                        k,
                        v,
                        d,
                        grad,
                        grad_d: d,
                        rows,
                        dq,
                        dk,
                        dv,
                        precision: Precision::F32,
                        scratch: &mut Scratch::default(),
                    });
                });
        });
    let [q_shape, k_shape, v_shape] = shapes;
    [
        flex::tensor(dq, q_shape),
        flex::tensor(dk, k_shape),
        flex::tensor(dv, v_shape),
    ]
}
