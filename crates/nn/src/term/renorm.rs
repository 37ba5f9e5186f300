//! `g (W + scale B A) / |W + scale B A|`: direction and length of the rows apart.

use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// See [`super::Formula::Renorm`].
#[derive(Module, Debug)]
pub struct Renorm {
    /// `[r, n]`.
    pub a: Param<Tensor<2>>,
    /// `[m, r]`, zero to start with.
    pub b: Param<Tensor<2>>,
    /// `[m]`: the lengths of the rows; [`row_norms`] of W to start with.
    pub g: Param<Tensor<1>>,
    scale: f64,
}

pub(super) fn shapes(rank: usize, m: usize, n: usize) -> Vec<(&'static str, Vec<usize>)> {
    vec![("a", vec![rank, n]), ("b", vec![m, rank]), ("g", vec![m])]
}

impl Renorm {
    pub(super) fn init(rank: usize, scale: f64, m: usize, n: usize, init: &mut Init) -> Self {
        Self {
            a: init.kaiming([rank, n], n),
            b: init.zeros([m, rank]),
            g: init.zeros([m]),
            scale,
        }
    }

    pub(super) fn apply(&self, weight: Tensor<2>) -> Tensor<2> {
        let moved = weight + self.b.val().matmul(self.a.val()) * self.scale;
        // A constant for the backward pass, as in section 4.3 of the paper.
        let norms = row_norms(moved.clone().detach());
        moved * (self.g.val() / norms).unsqueeze_dim::<2>(1)
    }
}

/// The Euclidean length of every row, `[m]`; of a row of zeros a very small number.
pub fn row_norms(weight: Tensor<2>) -> Tensor<1> {
    let squares = weight.square().sum_dim(1).squeeze_dim::<1>(1);
    squares.sqrt().clamp_min(f32::MIN_POSITIVE)
}
