//! Projections as the fused operators see them: values in slices, rows cut into tasks.
//!
//! ```text
//! y = b + base(x) + sum over (g, a) in the gate of  a * sum_{i in tailor g} s_i (x . v_i) u_i
//! base(x) = W x   or   sum_{i < N_G} s_i (x . v_i) u_i
//! ```
//!
//! The rows of a task share one list of tailors, whose components stand side by side with the learngene's
//! ([`Active`]), so a task costs two products forward and two backward; the gradients of the weights are products over
//! all rows ([`gradients`]). Cost follows the active rank `N_G + N_T`, never the stored one.

mod active;
mod gradients;
mod tasks;

use burn::backend::{Backend, ExtensionType, TensorMetadata, tensor::FloatTensor};
use burn_flex::FlexTensor;

use crate::flex::Values;
use crate::gemm::{Factor, Precision, View};

pub(crate) use active::{Active, Direction};
pub(crate) use gradients::{Pass, Piece, gradients};
pub(crate) use tasks::{List, Task, cut, on_every_thread};

/// Lanes of the widest vectors: a product whose result has a multiple of so many columns needs no packing.
const LANES: usize = 16;

/// The tensors of a projection on a backend: `weight` is `[m, n]`, `u` is `[r, m]`, `s` is `[r]`, `v` is `[r, n]`,
/// `bias` is `[m]`.
#[derive(ExtensionType)]
pub(crate) enum Tensors<B: Backend> {
    Dense {
        weight: FloatTensor<B>,
        bias: FloatTensor<B>,
    },
    DenseTailored {
        weight: FloatTensor<B>,
        bias: FloatTensor<B>,
        u: FloatTensor<B>,
        s: FloatTensor<B>,
        v: FloatTensor<B>,
    },
    Factorised {
        u: FloatTensor<B>,
        s: FloatTensor<B>,
        v: FloatTensor<B>,
        bias: FloatTensor<B>,
    },
    FactorisedTailored {
        u: FloatTensor<B>,
        s: FloatTensor<B>,
        v: FloatTensor<B>,
        bias: FloatTensor<B>,
        tailor_u: FloatTensor<B>,
        tailor_s: FloatTensor<B>,
        tailor_v: FloatTensor<B>,
    },
}

/// Which tensors a projection has; they are listed base, bias, tailors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    factorised: bool,
    tailored: bool,
}

impl Kind {
    /// Tensors of the base.
    fn base(self) -> usize {
        if self.factorised { 3 } else { 1 }
    }

    /// Tensors in all.
    pub(crate) fn len(self) -> usize {
        self.base() + 1 + if self.tailored { 3 } else { 0 }
    }
}

impl<B: Backend> Tensors<B> {
    /// Appends the tensors in the order of [`Kind`].
    pub(crate) fn flatten(self, to: &mut Vec<FloatTensor<B>>) -> Kind {
        let before = to.len();
        let (factorised, tailored) = match self {
            Self::Dense { weight, bias } => {
                to.extend([weight, bias]);
                (false, false)
            }
            Self::DenseTailored {
                weight,
                bias,
                u,
                s,
                v,
            } => {
                to.extend([weight, bias, u, s, v]);
                (false, true)
            }
            Self::Factorised { u, s, v, bias } => {
                to.extend([u, s, v, bias]);
                (true, false)
            }
            Self::FactorisedTailored {
                u,
                s,
                v,
                bias,
                tailor_u,
                tailor_s,
                tailor_v,
            } => {
                to.extend([u, s, v, bias, tailor_u, tailor_s, tailor_v]);
                (true, true)
            }
        };
        let kind = Kind {
            factorised,
            tailored,
        };
        debug_assert_eq!(to.len() - before, kind.len());
        kind
    }
}

/// Row-major values of a set of components.
pub(crate) struct Components {
    u: Values,
    s: Values,
    v: Values,
}

impl Components {
    fn new(tensors: &[FlexTensor]) -> Self {
        let [u, s, v] = [0, 1, 2].map(|i| Values::new(tensors[i].clone()));
        Self { u, s, v }
    }
}

/// Values of a projection from `n` to `m` numbers.
pub(crate) struct Linear {
    pub(crate) n: usize,
    pub(crate) m: usize,
    /// `[m, n]`, of a dense base.
    weight: Option<Values>,
    /// Components of a factorised base.
    learngene: Option<Components>,
    /// The same number of components for each group, group after group.
    tailors: Option<Components>,
    bias: Values,
    /// `N_G` (0 of a dense base) and `N_T` (0 without tailors).
    ranks: [usize; 2],
    /// Of its products.
    precision: Precision,
}

impl Linear {
    /// From the tensors in the order of `kind`.
    pub(crate) fn new(
        kind: Kind,
        tensors: &[FlexTensor],
        groups: usize,
        precision: Precision,
    ) -> Self {
        let base = kind.base();
        let last = tensors[base - 1].shape();
        let learngene = kind.factorised.then(|| Components::new(tensors));
        let tailors = kind.tailored.then(|| Components::new(&tensors[base + 1..]));
        let rank = |c: &Option<Components>| c.as_ref().map_or(0, |c| c.s.len());
        Self {
            n: last[1],
            m: tensors[base].shape()[0],
            weight: (!kind.factorised).then(|| Values::new(tensors[0].clone())),
            bias: Values::new(tensors[base].clone()),
            ranks: [rank(&learngene), rank(&tailors) / groups.max(1)],
            learngene,
            tailors,
            precision,
        }
    }

    /// The right factors of dense bases in a direction, made ready once for all threads.
    pub(crate) fn bases<'a, const N: usize>(
        linears: &'a [Self; N],
        direction: Direction,
    ) -> [Option<Factor<'a>>; N] {
        let right = |linear: &'a Self| {
            let weight = View::new(linear.weight.as_ref()?, linear.n);
            Some(match direction {
                Direction::Forward => weight.transposed(),
                Direction::Backward => weight,
            })
        };
        let precision = linears.first().map_or(Precision::F32, |l| l.precision);
        Factor::all(precision, linears.each_ref().map(right))
    }

    /// Components that run with a list.
    pub(crate) fn rank(&self, list: &List) -> usize {
        self.ranks[0] + list.len() * self.ranks[1]
    }

    /// Distance of the rows of `x V^T` and `dy (S U)^T` under lists of at most `longest` entries.
    pub(crate) fn stride(&self, longest: usize) -> usize {
        (self.ranks[0] + longest * self.ranks[1]).next_multiple_of(LANES)
    }

    /// Columns of what goes into the first product.
    fn inputs(&self, direction: Direction) -> usize {
        match direction {
            Direction::Forward => self.n,
            Direction::Backward => self.m,
        }
    }

    /// Columns of what comes out of the second.
    fn outputs(&self, direction: Direction) -> usize {
        match direction {
            Direction::Forward => self.m,
            Direction::Backward => self.n,
        }
    }
}
