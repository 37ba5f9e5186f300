//! One projection as an operator: dense or factorised, with tailors or without.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;

use crate::buffer::Buffer;
use crate::flex::{self, Values};
use crate::gemm::{Precision, Target, View, ViewMut};
use crate::linear::{
    Active, Direction, Kind, Linear, Pass, Piece, Task, Tensors, cut, gradients, on_every_thread,
};
use crate::operator::{self, Operator};
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

/// What a projection does for every sample.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "made for a call and moved into it"
)]
pub enum Base {
    /// An ordinary matrix, `[m, n]`.
    Dense(Tensor<2>),
    /// The components of the learngene.
    Factorised(Factors),
}

/// A projection from `n` to `m` numbers.
#[derive(Clone, Debug)]
pub struct Projection {
    /// For every sample.
    pub base: Base,
    /// The same number of components for each group of a plan, group after group.
    pub tailors: Option<Factors>,
    /// `[m]`.
    pub bias: Tensor<1>,
}

impl Projection {
    /// Columns of x and of y.
    ///
    /// # Panics
    /// If the shapes do not fit together, or the groups of the plan.
    pub(crate) fn check(&self, plan: &GatePlan) -> [usize; 2] {
        let [m] = self.bias.dims();
        let (n, learngene) = match &self.base {
            Base::Dense(weight) => {
                assert_eq!(weight.dims()[0], m, "one bias per row of the weight");
                (weight.dims()[1], None)
            }
            Base::Factorised(learngene) => (learngene.v.dims()[1], Some(learngene)),
        };
        for factors in learngene.into_iter().chain(&self.tailors) {
            let rank = factors.rank();
            assert_eq!(factors.u.dims(), [rank, m], "u is [rank, m]");
            assert_eq!(factors.v.dims(), [rank, n], "v is [rank, n]");
        }
        assert!(
            self.tailors
                .as_ref()
                .is_none_or(|t| t.rank().is_multiple_of(plan.groups)),
            "the same number of components for every group"
        );
        [n, m]
    }

    /// Without tailors if the gate switches none on, so that they cost nothing.
    pub(crate) fn under(self, plan: &GatePlan) -> Self {
        Self {
            tailors: self.tailors.filter(|_| !plan.is_closed()),
            ..self
        }
    }

    /// Whether two projections have tensors of the same kinds.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let factorised = |p: &Self| matches!(p.base, Base::Factorised(_));
        factorised(self) == factorised(other) && self.tailors.is_some() == other.tailors.is_some()
    }

    pub(crate) fn is_fused(&self) -> bool {
        let base = match &self.base {
            Base::Dense(weight) => flex::is_fused(weight),
            Base::Factorised(learngene) => learngene.is_fused(),
        };
        base && flex::is_fused(&self.bias) && self.tailors.as_ref().is_none_or(Factors::is_fused)
    }

    pub(crate) fn into_tensors(self) -> Tensors<Dispatch> {
        let bias = self.bias.into_dispatch();
        let split = |f: Factors| {
            [
                f.u.into_dispatch(),
                f.s.into_dispatch(),
                f.v.into_dispatch(),
            ]
        };
        match (self.base, self.tailors.map(split)) {
            (Base::Dense(weight), None) => Tensors::Dense {
                weight: weight.into_dispatch(),
                bias,
            },
            (Base::Dense(weight), Some([u, s, v])) => Tensors::DenseTailored {
                weight: weight.into_dispatch(),
                bias,
                u,
                s,
                v,
            },
            (Base::Factorised(learngene), tailors) => {
                let [u, s, v] = split(learngene);
                match tailors {
                    None => Tensors::Factorised { u, s, v, bias },
                    Some([tailor_u, tailor_s, tailor_v]) => Tensors::FactorisedTailored {
                        u,
                        s,
                        v,
                        bias,
                        tailor_u,
                        tailor_s,
                        tailor_v,
                    },
                }
            }
        }
    }
}

/// `b + base(x) + sum over (g, a) in the gate of  a * sum_{i in tailor g} s_i (x . v_i) u_i`.
///
/// - x: `[b * t, n]`, the rows of a sample one after another
/// - output: `[b * t, m]`
///
/// # Panics
/// If the shapes do not fit together, or the number of rows is no multiple of the plan's batch.
pub fn projection(x: Tensor<2>, weights: Projection, plan: &GatePlan) -> Tensor<2> {
    let [rows, columns] = x.dims();
    let weights = weights.under(plan);
    assert_eq!(
        weights.check(plan)[0],
        columns,
        "as many columns of x as of the weights"
    );
    assert!(
        rows.is_multiple_of(plan.batch),
        "the same number of rows for every sample"
    );
    if !(flex::is_fused(&x) && weights.is_fused()) {
        return reference::projection(x, weights, plan);
    }
    let (x, weights) = (x.into_dispatch(), weights.into_tensors());
    Tensor::from_dispatch(<Dispatch as Extension>::projection(
        x,
        weights,
        plan.clone(),
    ))
}

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
    let weights = Projection {
        base: Base::Dense(weight),
        tailors: None,
        bias,
    };
    let plan = GatePlan::closed(x.dims()[0]);
    projection(x, weights, &plan)
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Extension: Backend {
    fn projection(
        x: FloatTensor<Self>,
        #[extension_type] weights: Tensors<Self>,
        gate: GatePlan,
    ) -> FloatTensor<Self>;
}

impl Extension for Flex {
    fn projection(x: FlexTensor, weights: Tensors<Self>, gate: GatePlan) -> FlexTensor {
        let mut tensors = vec![x];
        let kind = weights.flatten(&mut tensors);
        Call { kind, gate }.forward(&tensors, false).0
    }
}

impl<C: CheckpointStrategy> Extension for Autodiff<Flex, C> {
    fn projection(
        x: FloatTensor<Self>,
        weights: Tensors<Self>,
        gate: GatePlan,
    ) -> FloatTensor<Self> {
        let mut tensors = vec![x];
        let kind = weights.flatten(&mut tensors);
        operator::run::<_, C>(Call { kind, gate }, tensors)
    }
}

#[derive(Clone, Debug)]
struct Call {
    kind: Kind,
    gate: GatePlan,
}

impl Call {
    fn linear(&self, inputs: &[FlexTensor]) -> Linear {
        Linear::new(self.kind, &inputs[1..], self.gate.groups, Precision::F32)
    }

    fn tasks(&self, rows: usize) -> Vec<Task<'_>> {
        let per_sample = rows / self.gate.batch.max(1);
        let runs = self.gate.runs.iter();
        cut(runs.map(|run| (run.samples * per_sample, &run.list[..])), 1)
    }
}

impl Operator for Call {
    /// `x V^T` of each task.
    type Kept = Vec<Buffer>;

    fn forward(&self, inputs: &[FlexTensor], _keep: bool) -> (FlexTensor, Self::Kept) {
        let linear = [self.linear(inputs)];
        let [base] = Linear::bases(&linear, Direction::Forward);
        let [linear] = &linear;
        let x = Values::new(inputs[0].clone());
        let (n, m) = (linear.n, linear.m);
        let rows = x.len() / n;
        let mut y = vec![0.0; rows * m];
        let tasks = flex::pieces(&mut y, self.tasks(rows), |task| task.rows.len() * m);
        let kept = on_every_thread(
            tasks,
            || {
                let longest = self.gate.longest();
                Active::new(linear, base.as_ref(), Direction::Forward, longest)
            },
            |active, (task, y)| {
                active.switch(task.list);
                let x = View::new(&x[task.rows.start * n..task.rows.end * n], n);
                let mut h = Buffer::default();
                active.forward(x, &mut h, ViewMut::new(y, m));
                h
            },
        );
        (flex::tensor(y, Shape::new([rows, m])), kept)
    }

    fn backward(
        &self,
        inputs: &[FlexTensor],
        kept: &Self::Kept,
        grad: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let linear = [self.linear(inputs)];
        let [base] = Linear::bases(&linear, Direction::Backward);
        let [linear] = &linear;
        let (x, grad) = (Values::new(inputs[0].clone()), Values::new(grad));
        let (n, m) = (linear.n, linear.m);
        let rows = x.len() / n;
        let width = if wanted[0] { n } else { 0 };
        let mut dx = vec![0.0; rows * width];
        let dy = |task: &Task<'_>| View::new(&grad[task.rows.start * m..task.rows.end * m], m);
        let tasks = flex::pieces(&mut dx, self.tasks(rows), |task| task.rows.len() * width);
        let dh = on_every_thread(
            tasks,
            || {
                let longest = self.gate.longest();
                Active::new(linear, base.as_ref(), Direction::Backward, longest)
            },
            |active, (task, dx)| {
                active.switch(task.list);
                let mut dh = Buffer::default();
                let dx = (width > 0).then(|| (ViewMut::new(dx, n), Target::Set));
                active.backward(dy(&task), &mut dh, dx);
                dh
            },
        );
        let stride = linear.stride(self.gate.longest());
        let tasks = self.tasks(rows);
        let pieces = tasks
            .iter()
            .zip(kept)
            .zip(&dh)
            .map(|((task, h), dh)| Piece {
                x: View::new(&x[task.rows.start * n..task.rows.end * n], n),
                dy: dy(task),
                h: View::new(h, stride),
                dh: View::new(dh, stride),
                list: task.list,
            });
        let pass = Pass {
            linear,
            pieces: pieces.collect(),
            wanted: &wanted[1..],
        };
        let weights = gradients(&[pass]).into_iter().flatten();
        let dx = wanted[0].then_some(dx);
        std::iter::once(dx).chain(weights).collect()
    }
}
