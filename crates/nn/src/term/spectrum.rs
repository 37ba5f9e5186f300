//! `W + U (relu(s + d) - s) V`: shifted singular values.

use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation::relu};

/// See [`super::Formula::Spectrum`].
#[derive(Module, Debug)]
pub struct Spectrum {
    /// `[k]` with `k = min(m, n)`: the shifts, zero to start with.
    pub d: Param<Tensor<1>>,
    /// The decomposition of W.
    pub fixed: Decomposition,
}

/// `W = U^T diag(s) V`, one component a row.
#[derive(Module, Debug)]
pub struct Decomposition {
    /// `[k, m]`.
    pub u: Param<Tensor<2>>,
    /// `[k]`, from the largest down.
    pub s: Param<Tensor<1>>,
    /// `[k, n]`.
    pub v: Param<Tensor<2>>,
}

pub(super) fn shapes(m: usize, n: usize) -> Vec<(&'static str, Vec<usize>)> {
    let k = m.min(n);
    vec![
        ("d", vec![k]),
        ("fixed.u", vec![k, m]),
        ("fixed.s", vec![k]),
        ("fixed.v", vec![k, n]),
    ]
}

impl Spectrum {
    pub(super) fn init(m: usize, n: usize, init: &mut Init) -> Self {
        let k = m.min(n);
        Self {
            d: init.zeros([k]),
            fixed: Decomposition {
                u: init.zeros([k, m]),
                s: init.zeros([k]),
                v: init.zeros([k, n]),
            },
        }
    }

    pub(super) fn apply(&self, weight: Tensor<2>) -> Tensor<2> {
        let Decomposition { u, s, v } = &self.fixed;
        let change = relu(s.val() + self.d.val()) - s.val();
        weight
            + (u.val() * change.unsqueeze_dim::<2>(1))
                .transpose()
                .matmul(v.val())
    }
}
