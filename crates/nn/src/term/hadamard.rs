//! `W + scale (B1 A1) * (B2 A2)`: two products of low rank, entry by entry, of rank up to the square.

use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// See [`super::Formula::Hadamard`].
#[derive(Module, Debug)]
pub struct Hadamard {
    /// `[r, n]`.
    pub a1: Param<Tensor<2>>,
    /// `[m, r]`.
    pub b1: Param<Tensor<2>>,
    /// `[r, n]`.
    pub a2: Param<Tensor<2>>,
    /// `[m, r]`, zero to start with.
    pub b2: Param<Tensor<2>>,
    scale: f64,
}

pub(super) fn shapes(rank: usize, m: usize, n: usize) -> Vec<(&'static str, Vec<usize>)> {
    let (a, b) = (vec![rank, n], vec![m, rank]);
    vec![("a1", a.clone()), ("b1", b.clone()), ("a2", a), ("b2", b)]
}

impl Hadamard {
    pub(super) fn init(rank: usize, scale: f64, m: usize, n: usize, init: &mut Init) -> Self {
        Self {
            a1: init.kaiming([rank, n], n),
            b1: init.kaiming([m, rank], rank),
            a2: init.kaiming([rank, n], n),
            b2: init.zeros([m, rank]),
            scale,
        }
    }

    pub(super) fn apply(&self, weight: Tensor<2>) -> Tensor<2> {
        let first = self.b1.val().matmul(self.a1.val());
        let second = self.b2.val().matmul(self.a2.val());
        weight + first * second * self.scale
    }
}
