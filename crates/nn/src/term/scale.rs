//! `diag(l) W` and `W diag(l)`: outputs or inputs of a matrix scaled one by one.

use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// See [`super::Formula::Rows`].
#[derive(Module, Debug)]
pub struct Rows {
    /// `[m]`, ones to start with.
    pub l: Param<Tensor<1>>,
}

/// See [`super::Formula::Columns`].
#[derive(Module, Debug)]
pub struct Columns {
    /// `[n]`, ones to start with.
    pub l: Param<Tensor<1>>,
}

pub(super) fn shapes(side: usize) -> Vec<(&'static str, Vec<usize>)> {
    vec![("l", vec![side])]
}

impl Rows {
    pub(super) fn init(m: usize, init: &mut Init) -> Self {
        Self {
            l: init.full([m], 1.0),
        }
    }

    pub(super) fn apply(&self, weight: Tensor<2>) -> Tensor<2> {
        weight * self.l.val().unsqueeze_dim::<2>(1)
    }
}

impl Columns {
    pub(super) fn init(n: usize, init: &mut Init) -> Self {
        Self {
            l: init.full([n], 1.0),
        }
    }

    pub(super) fn apply(&self, weight: Tensor<2>) -> Tensor<2> {
        weight * self.l.val().unsqueeze_dim::<2>(0)
    }
}
