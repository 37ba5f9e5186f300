//! Products of all rows of one set with all rows of another, a few rows at a time: never the whole table.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

use crate::matrix::RowMatrix;

/// Rows of the left set that one thread works on.
const ROWS: usize = 128;
/// Rows of the right set that are widened to 64 bits at a time.
const COLUMNS: usize = 512;

/// `each(i, products of left row i with every right row)` for every row of `left`, in parallel.
pub(super) fn map_rows<T: Send>(
    left: &RowMatrix,
    right: &RowMatrix,
    each: impl Fn(usize, &mut [f64]) -> T + Sync,
) -> Vec<T> {
    let width = left.columns();
    let blocks = left.values().par_chunks(ROWS * width).enumerate();
    let of_block = blocks.map(|(block, values)| {
        let a = widened(values, width);
        // A column for each row of `left`, so that the products of one row lie together.
        let mut products = Mat::zeros(right.rows(), a.nrows());
        for (part, values) in right.values().chunks(COLUMNS * width).enumerate() {
            let b = widened(values, width);
            matmul(
                products.as_mut().subrows_mut(part * COLUMNS, b.nrows()),
                Accum::Replace,
                &b,
                a.transpose(),
                1.0,
                Par::Seq,
            );
        }
        let row = |i: usize| each(block * ROWS + i, products.col_as_slice_mut(i));
        (0..a.nrows()).map(row).collect::<Vec<T>>()
    });
    of_block.collect::<Vec<_>>().into_iter().flatten().collect()
}

/// Rows of `width` values in 64 bits.
fn widened(values: &[f32], width: usize) -> Mat<f64> {
    let rows = MatRef::from_row_major_slice(values, values.len() / width, width);
    Mat::from_fn(rows.nrows(), width, |i, j| f64::from(rows[(i, j)]))
}

/// Squared Euclidean length of every row.
pub(super) fn squared_lengths(rows: &RowMatrix) -> Vec<f64> {
    let squared = |row: &[f32]| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    rows.iter().map(squared).collect()
}
