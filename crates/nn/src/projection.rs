//! The one seam of the model: a matrix that is dense or made of components, with a tailor per group or without.
//!
//! For a row vector x in R^n and W in R^{m x n}:
//!
//! ```text
//! y = b + base(x) + sum over (g, a) in the gate of  a * sum_{i in tailor g} sigma_i (x . v_i) u_i
//! base(x) = W x                                     dense
//!         = sum_{i < N_G} sigma_i (x . v_i) u_i     factorised (the learngene)
//! ```
//!
//! The same layer has three forms, equal within float tolerance: *gathered* (any mix of classes; what `forward` runs),
//! *single-class* and *merged* (what [`Projection::specialise`] makes for a gate that all samples share).

use crate::{
    config::Basis,
    error::Result,
    init::{FactorInit, Init},
};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use learngene_kernels::{self as kernels, Factors, GatePlan};

/// Rank-one components stored one per row, so that a tailor is a contiguous block of rows.
///
/// Layers can share `u` and `v` and keep an `s` of their own, as in FINE (arXiv 2409.19289): a clone of a parameter is the
/// same parameter, and automatic differentiation gives it the sum over layers (`tests/hooks.rs`). What a model with shared
/// factors would need besides is a name for them in [`crate::params`], which names, counts and replaces those of each
/// layer as parameters apart.
#[derive(Module, Debug)]
pub struct Components {
    /// `[r, m]`: row `i` is `u_i`.
    pub u: Param<Tensor<2>>,
    /// `[r]`: `sigma_i`, unconstrained in sign.
    pub s: Param<Tensor<1>>,
    /// `[r, n]`: row `i` is `v_i`.
    pub v: Param<Tensor<2>>,
}

/// An ordinary weight matrix.
#[derive(Module, Debug)]
pub struct DenseProjection {
    /// `[m, n]`; a [`crate::term`] may stand between what is stored and its value.
    pub weight: Param<Tensor<2>>,
    /// `[groups * N_T]` components, group after group.
    pub tailors: Option<Components>,
    /// `[m]`.
    pub bias: Param<Tensor<1>>,
}

/// A learngene and its tailors.
#[derive(Module, Debug)]
pub struct FactorisedProjection {
    /// `[N_G]` components, active for every sample.
    pub learngene: Components,
    /// `[groups * N_T]` components, group after group.
    pub tailors: Option<Components>,
    /// `[m]`.
    pub bias: Param<Tensor<1>>,
}

/// A projection from `n` to `m` numbers per token.
#[derive(Module, Debug)]
pub enum Projection {
    /// Base of ordinary weights.
    Dense(DenseProjection),
    /// Base of learngene components.
    Factorised(FactorisedProjection),
}

/// The shape of a projection: what [`Projection::init`] needs to know of the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProjectionShape {
    pub inputs: usize,
    pub outputs: usize,
    pub basis: Basis,
    pub tailor_rank: usize,
    pub groups: usize,
    /// Tailors that a sample switches on.
    pub switched_on: usize,
}

/// Ways to compute the same projection when all samples share one gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Learngene and tailors as they are stored; the only form for batches of mixed classes.
    Gathered,
    /// Learngene and the gate's tailors side by side as one pair of factors of rank R.
    SingleClass,
    /// One dense matrix.
    Merged,
}

impl Form {
    /// The cheapest form for a gate shared by all samples, by multiply-accumulates per token: `R (m + n)` for a pair of
    /// factors, `m n` for the merged matrix, which therefore pays once `R > m n / (m + n)`. Depends on nothing else, so
    /// that a model and its assembly choose alike.
    pub fn cheapest(rank: usize, inputs: usize, outputs: usize) -> Self {
        if rank * (inputs + outputs) > inputs * outputs {
            Self::Merged
        } else {
            Self::SingleClass
        }
    }
}

impl Components {
    /// New parameters, whatever the tensors were computed from.
    pub(crate) fn from_tensors(u: Tensor<2>, s: Tensor<1>, v: Tensor<2>) -> Self {
        Self {
            u: Param::from_tensor(u.detach()),
            s: Param::from_tensor(s.detach()),
            v: Param::from_tensor(v.detach()),
        }
    }

    /// Number of components.
    pub fn rank(&self) -> usize {
        self.s.dims()[0]
    }

    /// `diag(sigma) U`, `[r, m]`.
    fn scaled_u(&self) -> Tensor<2> {
        self.u.val() * self.s.val().unsqueeze_dim::<2>(1)
    }

    fn factors(&self) -> Factors {
        Factors {
            u: self.u.val(),
            s: self.s.val(),
            v: self.v.val(),
        }
    }

    /// The product `U^T diag(sigma) V`, `[m, n]`.
    pub fn product(&self) -> Tensor<2> {
        self.scaled_u().transpose().matmul(self.v.val())
    }

    /// These components followed by others.
    fn followed_by(&self, others: &[Self]) -> Self {
        let all: Vec<&Self> = std::iter::once(self).chain(others).collect();
        Self::from_tensors(
            Tensor::cat(all.iter().map(|c| c.u.val()).collect(), 0),
            Tensor::cat(all.iter().map(|c| c.s.val()).collect(), 0),
            Tensor::cat(all.iter().map(|c| c.v.val()).collect(), 0),
        )
    }

    /// The tailor of one group, its sigma times `weight`.
    fn group(&self, group: usize, rank: usize, weight: f32) -> Self {
        let rows = group * rank..(group + 1) * rank;
        Self::from_tensors(
            self.u.val().slice([rows.clone()]),
            self.s.val().slice([rows.clone()]) * weight,
            self.v.val().slice([rows]),
        )
    }
}

impl Projection {
    pub(crate) fn init(shape: &ProjectionShape, init: &mut Init) -> Result<Self> {
        let (n, m) = (shape.inputs, shape.outputs);
        let bias = Param::from_tensor(Tensor::zeros([m], init.device()));
        let active = shape.basis_rank() + shape.switched_on * shape.tailor_rank;
        let mut factors = init.factors(m, n, active);
        Ok(match shape.basis {
            Basis::Dense => {
                let tailors = init.zero_tailors(shape, &mut factors)?;
                Self::Dense(DenseProjection {
                    weight: init.xavier(m, n),
                    tailors,
                    bias,
                })
            }
            Basis::Factorised { learngene } => {
                let learngene = init.learngene(&mut factors, learngene)?;
                let tailors = match init.tailors() {
                    FactorInit::ZeroStart => init.zero_tailors(shape, &mut factors)?,
                    _ => init.full_tailors(shape, &mut factors)?,
                };
                Self::Factorised(FactorisedProjection {
                    learngene,
                    tailors,
                    bias,
                })
            }
        })
    }

    /// - x: `[b, t, n]`
    /// - output: `[b, t, m]`
    pub fn forward(&self, x_btn: Tensor<3>, plan: &GatePlan) -> Tensor<3> {
        let [b, t, n] = x_btn.dims();
        let y = kernels::projection(x_btn.reshape([b * t, n]), self.weights(), plan);
        let m = y.dims()[1];
        y.reshape([b, t, m])
    }

    /// Its tensors, as the operators take them.
    pub(crate) fn weights(&self) -> kernels::Projection {
        let (base, tailors, bias) = match self {
            Self::Dense(p) => (kernels::Base::Dense(p.weight.val()), &p.tailors, &p.bias),
            Self::Factorised(p) => {
                let base = kernels::Base::Factorised(p.learngene.factors());
                (base, &p.tailors, &p.bias)
            }
        };
        kernels::Projection {
            base,
            tailors: tailors.as_ref().map(Components::factors),
            bias: bias.val(),
        }
    }

    /// The projection for samples that all share the gate `list`, in that form and without tailors.
    pub(crate) fn specialise(
        &self,
        list: &[(usize, f32)],
        groups: usize,
        form: Option<Form>,
    ) -> Self {
        let of = |tailors: &Option<Components>| -> Vec<Components> {
            let Some(tailors) = tailors else {
                return Vec::new();
            };
            let rank = tailors.rank() / groups;
            list.iter()
                .map(|&(g, a)| tailors.group(g, rank, a))
                .collect()
        };
        match self {
            Self::Dense(p) => {
                let product = |w: Tensor<2>, t: Components| w + t.product();
                let weight = of(&p.tailors).into_iter().fold(p.weight.val(), product);
                Self::dense(weight, p.bias.val())
            }
            Self::Factorised(p) => {
                let active = p.learngene.followed_by(&of(&p.tailors));
                let (n, m) = (active.v.dims()[1], active.u.dims()[1]);
                match form.unwrap_or_else(|| Form::cheapest(active.rank(), n, m)) {
                    Form::Merged => Self::dense(active.product(), p.bias.val()),
                    _ => Self::Factorised(FactorisedProjection {
                        learngene: active,
                        tailors: None,
                        bias: Param::from_tensor(p.bias.val()),
                    }),
                }
            }
        }
    }

    fn dense(weight: Tensor<2>, bias: Tensor<1>) -> Self {
        Self::Dense(DenseProjection {
            weight: Param::from_tensor(weight.detach()),
            tailors: None,
            bias: Param::from_tensor(bias),
        })
    }
}

impl ProjectionShape {
    fn basis_rank(&self) -> usize {
        match self.basis {
            Basis::Dense => 0,
            Basis::Factorised { learngene } => learngene,
        }
    }
}
