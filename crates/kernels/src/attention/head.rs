//! One head of one sample, a block of queries at a time.
//!
//! Inputs start at the head's first feature of the first token; tokens are `d` apart. Results are given as one slice per
//! token. The block bounds the memory: weights of [`QUERIES`] queries, for however many keys.

use pulp::{Simd, WithSimd};

use super::right::Right;
use crate::gemm::Precision;
use crate::matmul::Matrix;
use crate::simd;

/// Queries per block: with 64 features per head, a block of any operand is 16 KiB.
const QUERIES: usize = 64;

/// What turns a row of scores into weights: `exp((score - max) / sqrt(head features)) * inverse`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RowSoftmax {
    max: f32,
    inverse: f32,
}

/// Memory that one head leaves to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    packed: [Right; 4],
    weights: Vec<f32>,
    slopes: Vec<f32>,
}

pub(crate) struct Forward<'a, 'b> {
    pub(crate) q: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) v: &'a [f32],
    pub(crate) d: usize,
    pub(crate) keys: usize,
    pub(crate) out: &'a mut [&'b mut [f32]],
    pub(crate) rows: &'a mut [RowSoftmax],
    /// Of the factors of products.
    pub(crate) precision: Precision,
    pub(crate) scratch: &'a mut Scratch,
}

impl WithSimd for Forward<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            q,
            k,
            v,
            d,
            keys,
            out,
            rows,
            precision,
            scratch,
        } = self;
        let width = out.first().map_or(0, |row| row.len());
        let scale = 1.0 / (width as f32).sqrt();
        let [keys_across, values, ..] = &mut scratch.packed;
        keys_across.pack(simd, precision, Matrix::new(k, d).transposed(), width, keys);
        values.pack(simd, precision, Matrix::new(v, d), keys, width);
        let weights = &mut scratch.weights;
        weights.resize(QUERIES * keys, 0.0);
        let blocks = out.chunks_mut(QUERIES).zip(rows.chunks_mut(QUERIES));
        for ((out, rows), q) in blocks.zip(q.chunks(QUERIES * d)) {
            write(
                simd,
                keys_across,
                Matrix::new(q, d),
                rows.len(),
                weights,
                keys,
            );
            for (row, softmax) in weights.chunks_exact_mut(keys).zip(&mut *rows) {
                let max = simd::max(row);
                for x in &mut *row {
                    *x = simd::exp((*x - max) * scale);
                }
                *softmax = RowSoftmax {
                    max,
                    inverse: 1.0 / simd::sum(row, |x| x),
                };
            }
            values.multiply(
                simd,
                Matrix::new(weights, keys),
                rows.len(),
                |i, j, values| {
                    for (out, &value) in out[i][j..].iter_mut().zip(values) {
                        *out = value * rows[i].inverse;
                    }
                },
            );
        }
    }
}

pub(crate) struct Back<'a, 'b> {
    pub(crate) q: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) v: &'a [f32],
    pub(crate) d: usize,
    pub(crate) grad: &'a [f32],
    /// Distance of the tokens of `grad`.
    pub(crate) grad_d: usize,
    pub(crate) rows: &'a [RowSoftmax],
    pub(crate) dq: &'a mut [&'b mut [f32]],
    pub(crate) dk: &'a mut [&'b mut [f32]],
    pub(crate) dv: &'a mut [&'b mut [f32]],
    /// Of the factors of products.
    pub(crate) precision: Precision,
    pub(crate) scratch: &'a mut Scratch,
}

impl WithSimd for Back<'_, '_> {
    type Output = ();

    /// With P the weights and S the scaled scores: `dP = dO V^T`, `dS = P (dP - sum over keys of P dP)`,
    /// `dQ = dS K`, `dK = dS^T Q`, `dV = P^T dO` (Dao et al., arXiv 2205.14135, section 3.1 and appendix B).
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            q,
            k,
            v,
            d,
            grad,
            grad_d,
            rows,
            dq,
            dk,
            dv,
            precision,
            scratch,
        } = self;
        let keys = dk.len();
        let width = dq.first().map_or(0, |row| row.len());
        let scale = 1.0 / (width as f32).sqrt();
        let [keys_across, values_across, keys_down, block] = &mut scratch.packed;
        keys_across.pack(simd, precision, Matrix::new(k, d).transposed(), width, keys);
        values_across.pack(simd, precision, Matrix::new(v, d).transposed(), width, keys);
        keys_down.pack(simd, precision, Matrix::new(k, d), keys, width);
        let [weights, slopes] = [&mut scratch.weights, &mut scratch.slopes];
        weights.resize(QUERIES * keys, 0.0);
        slopes.resize(QUERIES * keys, 0.0);
        let mut first = true;
        let results = dq.chunks_mut(QUERIES).zip(rows.chunks(QUERIES));
        let inputs = q.chunks(QUERIES * d).zip(grad.chunks(QUERIES * grad_d));
        for ((dq, rows), (q, grad)) in results.zip(inputs) {
            let queries = rows.len();
            write(simd, keys_across, Matrix::new(q, d), queries, weights, keys);
            write(
                simd,
                values_across,
                Matrix::new(grad, grad_d),
                queries,
                slopes,
                keys,
            );
            let both = weights
                .chunks_exact_mut(keys)
                .zip(slopes.chunks_exact_mut(keys));
            for ((weights, slopes), row) in both.zip(rows) {
                for x in &mut *weights {
                    *x = simd::exp((*x - row.max) * scale) * row.inverse;
                }
                let mean = simd::dot(weights, slopes, |slope| slope);
                for (slope, &weight) in slopes.iter_mut().zip(&*weights) {
                    *slope = weight * (*slope - mean) * scale;
                }
            }
            let slopes = Matrix::new(slopes, keys);
            keys_down.multiply(simd, slopes, queries, |i, j, values| {
                dq[i][j..][..values.len()].copy_from_slice(values);
            });
            block.pack(simd, precision, Matrix::new(q, d), queries, width);
            block.multiply(simd, slopes.transposed(), keys, |i, j, values| {
                gather(&mut dk[i][j..], values, first)
            });
            block.pack(simd, precision, Matrix::new(grad, grad_d), queries, width);
            let weights = Matrix::new(weights, keys).transposed();
            block.multiply(simd, weights, keys, |i, j, values| {
                gather(&mut dv[i][j..], values, first)
            });
            first = false;
        }
    }
}

/// `a b` into consecutive rows of `out`.
#[inline(always)]
fn write<S: Simd>(
    simd: S,
    b: &mut Right,
    a: Matrix<'_>,
    rows: usize,
    out: &mut [f32],
    columns: usize,
) {
    b.multiply(simd, a, rows, |i, j, values| {
        out[i * columns + j..][..values.len()].copy_from_slice(values);
    });
}

/// Sets the sums at first, and adds to them later.
#[inline(always)]
fn gather(sums: &mut [f32], values: &[f32], first: bool) {
    let sums = &mut sums[..values.len()];
    if first {
        sums.copy_from_slice(values);
    } else {
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
}
