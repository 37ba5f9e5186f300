//! `W + scale C (x) (B A)`: a Kronecker product, of high rank from few numbers.

use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// See [`super::Formula::Kronecker`].
#[derive(Module, Debug)]
pub struct Kronecker {
    /// `[f, f]`, zero to start with.
    pub c: Param<Tensor<2>>,
    /// `[r, n / f]`.
    pub a: Param<Tensor<2>>,
    /// `[m / f, r]`.
    pub b: Param<Tensor<2>>,
    scale: f64,
}

pub(super) fn shapes(f: usize, rank: usize, m: usize, n: usize) -> Vec<(&'static str, Vec<usize>)> {
    vec![
        ("c", vec![f, f]),
        ("a", vec![rank, n / f]),
        ("b", vec![m / f, rank]),
    ]
}

impl Kronecker {
    pub(super) fn init(
        f: usize,
        rank: usize,
        scale: f64,
        [m, n]: [usize; 2],
        init: &mut Init,
    ) -> Self {
        Self {
            c: init.zeros([f, f]),
            a: init.kaiming([rank, n / f], n / f),
            b: init.kaiming([m / f, rank], rank),
            scale,
        }
    }

    pub(super) fn apply(&self, weight: Tensor<2>) -> Tensor<2> {
        let [f, _] = self.c.dims();
        let small = self.b.val().matmul(self.a.val());
        let [p, q] = small.dims();
        let product = self.c.val().reshape([f, 1, f, 1]) * small.reshape([1, p, 1, q]);
        weight + product.reshape([f * p, f * q]) * self.scale
    }
}
