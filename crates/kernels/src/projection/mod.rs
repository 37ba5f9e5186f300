//! The gated factorised projection: learngene components for every row, a tailor's for the rows of its class.
//!
//! ```text
//! y = b + sum_{i < N_G} s_i (x . v_i) u_i + sum over (g, a) in the gate of  a * sum_{i in tailor g} s_i (x . v_i) u_i
//! ```
//!
//! The fused form cuts the rows into tasks that share one list of tailors, puts the learngene's and the tailors'
//! components side by side in the task's own memory, and runs two products forward and four backward on them. Cost
//! follows the active rank `N_G + N_T`, never the stored one.

mod backward;
mod forward;
mod task;

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use forward::forward;

use crate::flex;
use crate::plan::GatePlan;
use crate::reference;

/// Rank-one components, one per row: `u` is `[r, m]`, `s` is `[r]`, `v` is `[r, n]`.
#[derive(Clone, Debug)]
pub struct Factors {
    /// Row `i` is `u_i`.
    pub u: Tensor<2>,
    /// `s_i`, of any sign.
    pub s: Tensor<1>,
    /// Row `i` is `v_i`.
    pub v: Tensor<2>,
}

impl Factors {
    fn is_fused(&self) -> bool {
        flex::is_fused(&self.u) && flex::is_fused(&self.s) && flex::is_fused(&self.v)
    }

    pub(crate) fn rank(&self) -> usize {
        self.s.dims()[0]
    }
}

/// The projection of the module's formula.
///
/// - x: `[b * t, n]`, the rows of a sample one after another
/// - tailors: the same number of components for each group of the plan, group after group
/// - bias: `[m]`
/// - output: `[b * t, m]`
///
/// # Panics
/// If the shapes do not fit together, or the number of rows is no multiple of the plan's batch.
pub fn gated_projection(
    x: Tensor<2>,
    learngene: Factors,
    tailors: Option<Factors>,
    bias: Tensor<1>,
    plan: &GatePlan,
) -> Tensor<2> {
    let [rows, n] = x.dims();
    let m = bias.dims()[0];
    let tailors = tailors.filter(|_| !plan.is_closed());
    let all_factors = || std::iter::once(&learngene).chain(&tailors);
    for factors in all_factors() {
        let rank = factors.rank();
        assert_eq!(factors.u.dims(), [rank, m], "u is [rank, m]");
        assert_eq!(factors.v.dims(), [rank, n], "v is [rank, n]");
    }
    assert!(
        tailors
            .as_ref()
            .is_none_or(|t| t.rank().is_multiple_of(plan.groups)),
        "the same number of components for every group"
    );
    assert!(
        rows.is_multiple_of(plan.batch.max(1)),
        "the same number of rows for every sample"
    );
    let fused = all_factors().all(Factors::is_fused) && flex::is_fused(&x) && flex::is_fused(&bias);
    if !fused {
        return reference::gated_projection(x, learngene, tailors, bias, plan);
    }
    let [x, u, s, v, bias] = [
        x.into_dispatch(),
        learngene.u.into_dispatch(),
        learngene.s.into_dispatch(),
        learngene.v.into_dispatch(),
        bias.into_dispatch(),
    ];
    Tensor::from_dispatch(match tailors {
        None => <Dispatch as Projection>::ungated(x, u, s, v, bias),
        Some(Factors {
            u: tu,
            s: ts,
            v: tv,
        }) => {
            let (tu, ts, tv) = (tu.into_dispatch(), ts.into_dispatch(), tv.into_dispatch());
            <Dispatch as Projection>::gated(x, u, s, v, bias, tu, ts, tv, plan.clone())
        }
    })
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Projection: Backend {
    fn ungated(
        x: FloatTensor<Self>,
        u: FloatTensor<Self>,
        s: FloatTensor<Self>,
        v: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    #[allow(
        clippy::too_many_arguments,
        reason = "one argument per tensor of the formula"
    )]
    fn gated(
        x: FloatTensor<Self>,
        u: FloatTensor<Self>,
        s: FloatTensor<Self>,
        v: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        tailor_u: FloatTensor<Self>,
        tailor_s: FloatTensor<Self>,
        tailor_v: FloatTensor<Self>,
        gate: GatePlan,
    ) -> FloatTensor<Self>;
}

/// Tensors of one call: x, then u, s and v of the learngene, the bias, then u, s and v of the tailors if there are any.
#[derive(Clone, Debug)]
pub(crate) struct Inputs<const N: usize> {
    pub(crate) tensors: [FlexTensor; N],
    pub(crate) gate: Option<GatePlan>,
}

impl Projection for Flex {
    fn ungated(
        x: FlexTensor,
        u: FlexTensor,
        s: FlexTensor,
        v: FlexTensor,
        bias: FlexTensor,
    ) -> FlexTensor {
        let tensors = [x, u, s, v, bias];
        forward(&Inputs {
            tensors,
            gate: None,
        })
        .0
    }

    fn gated(
        x: FlexTensor,
        u: FlexTensor,
        s: FlexTensor,
        v: FlexTensor,
        bias: FlexTensor,
        tailor_u: FlexTensor,
        tailor_s: FlexTensor,
        tailor_v: FlexTensor,
        gate: GatePlan,
    ) -> FlexTensor {
        let tensors = [x, u, s, v, bias, tailor_u, tailor_s, tailor_v];
        forward(&Inputs {
            tensors,
            gate: Some(gate),
        })
        .0
    }
}

impl<C: CheckpointStrategy> Projection for Autodiff<Flex, C> {
    fn ungated(
        x: FloatTensor<Self>,
        u: FloatTensor<Self>,
        s: FloatTensor<Self>,
        v: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        tracked::<C, 5>([x, u, s, v, bias], None)
    }

    fn gated(
        x: FloatTensor<Self>,
        u: FloatTensor<Self>,
        s: FloatTensor<Self>,
        v: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        tailor_u: FloatTensor<Self>,
        tailor_s: FloatTensor<Self>,
        tailor_v: FloatTensor<Self>,
        gate: GatePlan,
    ) -> FloatTensor<Self> {
        let tensors = [x, u, s, v, bias, tailor_u, tailor_s, tailor_v];
        tracked::<C, 8>(tensors, Some(gate))
    }
}

fn tracked<C: CheckpointStrategy, const N: usize>(
    tensors: [FloatTensor<Autodiff<Flex, C>>; N],
    gate: Option<GatePlan>,
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes = tensors.each_ref().map(|t| t.node());
    let tensors = tensors.map(|t| t.into_primitive());
    let inputs = Inputs { tensors, gate };
    match Step::<N>.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (y, inner) = forward(&inputs);
            prep.finish(
                Saved {
                    inputs,
                    inner: inner.into(),
                },
                y,
            )
        }
        OpsKind::UnTracked(prep) => prep.finish(forward(&inputs).0),
    }
}

#[derive(Debug)]
struct Step<const N: usize>;

/// What the backward pass reads: the inputs, and `x V^T` of every task.
#[derive(Clone, Debug)]
struct Saved<const N: usize> {
    inputs: Inputs<N>,
    inner: std::sync::Arc<[f32]>,
}

impl<const N: usize> Backward<Flex, N> for Step<N> {
    type State = Saved<N>;

    fn backward(self, ops: Ops<Saved<N>, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let Saved { inputs, inner } = ops.state;
        let found = backward::backward(&inputs, &inner, grad, wanted);
        for (parent, grad) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(grad)) = (parent, grad) {
                grads.register::<Flex>(parent.id, grad);
            }
        }
    }
}
