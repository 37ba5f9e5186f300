//! `W R` with R of orthogonal blocks, each the Cayley transform `(I + Q)(I - Q)^-1` of a skew-symmetric Q.

use crate::{init::Init, params};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

/// See [`super::Formula::Rotation`].
#[derive(Module, Debug)]
pub struct Rotation {
    /// `[n / b, b (b - 1) / 2]`: the entries of each Q above its diagonal, row by row; zero to start with.
    pub q: Param<Tensor<2>>,
    block: usize,
}

pub(super) fn shapes(block: usize, n: usize) -> Vec<(&'static str, Vec<usize>)> {
    vec![("q", vec![n / block, block * (block - 1) / 2])]
}

/// Three products of blocks for the transform, one with W.
pub(super) fn macs(block: usize, m: usize, n: usize) -> usize {
    3 * n * block * block + m * n * block
}

impl Rotation {
    pub(super) fn init(block: usize, n: usize, init: &mut Init) -> Self {
        Self {
            q: init.zeros([n / block, block * (block - 1) / 2]),
            block,
        }
    }

    pub(super) fn apply(&self, weight: Tensor<2>) -> Tensor<2> {
        rotate(weight, self.q.val(), self.block)
    }
}

/// `W R`, with the blocks of R made of `q`, `[n / b, b (b - 1) / 2]`.
pub(super) fn rotate(weight: Tensor<2>, q: Tensor<2>, b: usize) -> Tensor<2> {
    let [m, n] = weight.dims();
    let blocks = n / b;
    let q = q.matmul(skew_basis(b, &weight.device()));
    let rotations = cayley(q.reshape([blocks, b, b]));
    let columns = weight.reshape([m, blocks, b]).swap_dims(0, 1);
    columns.matmul(rotations).swap_dims(0, 1).reshape([m, n])
}

/// `[b (b - 1) / 2, b b]`: row (i, j) is the skew-symmetric matrix of 1 at (i, j) and -1 at (j, i).
fn skew_basis(b: usize, device: &Device) -> Tensor<2> {
    let pairs: Vec<_> = (0..b)
        .flat_map(|i| (i + 1..b).map(move |j| (i, j)))
        .collect();
    let mut values = vec![0f32; pairs.len() * b * b];
    for (row, (i, j)) in pairs.iter().enumerate() {
        values[row * b * b + i * b + j] = 1.0;
        values[row * b * b + j * b + i] = -1.0;
    }
    Tensor::from_data(TensorData::new(values, [pairs.len(), b * b]), device)
}

/// `(I + Q)(I - Q)^-1` of each block.
fn cayley(q: Tensor<3>) -> Tensor<3> {
    let [blocks, b, _] = q.dims();
    let identity = Tensor::<2>::eye(b, &q.device()).unsqueeze_dim::<3>(0);
    let minus = identity.clone() - q.clone();
    let values = params::to_vec(minus.clone());
    let inverse: Vec<f32> = values.chunks(b * b).flat_map(|a| inverted(a, b)).collect();
    let y = Tensor::from_data(TensorData::new(inverse, [blocks, b, b]), &q.device());
    // One step of Newton's iteration from the inverse itself: the value stays, and the gradient -Y dA Y is exact.
    let inverse = y.clone().matmul(identity.clone() * 2.0 - minus.matmul(y));
    (identity + q).matmul(inverse)
}

/// The inverse of a `b x b` matrix `I - Q`. Its symmetric part is the identity, so elimination needs no pivots.
fn inverted(matrix: &[f32], b: usize) -> Vec<f32> {
    let mut a: Vec<f64> = matrix.iter().map(|&v| f64::from(v)).collect();
    let mut inverse = vec![0f64; b * b];
    (0..b).for_each(|i| inverse[i * b + i] = 1.0);
    for i in 0..b {
        let pivot = a[i * b + i];
        for k in 0..b {
            a[i * b + k] /= pivot;
            inverse[i * b + k] /= pivot;
        }
        for j in (0..b).filter(|&j| j != i) {
            let factor = a[j * b + i];
            for k in 0..b {
                a[j * b + k] -= factor * a[i * b + k];
                inverse[j * b + k] -= factor * inverse[i * b + k];
            }
        }
    }
    inverse.into_iter().map(|v| v as f32).collect()
}
