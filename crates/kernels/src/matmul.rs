//! Small matrix products inside one task, for the heads of attention.
//!
//! Burn's own product needs every head copied out first and runs its own threads. Here the right factor is packed into
//! panels of two vectors per row; a tile of [`ROWS`] rows by one panel stays in registers over the whole inner dimension.

use crate::tally;
use pulp::Simd;

/// Rows of a register tile; times the two vectors of a panel it makes eight independent sums, which hides the latency.
const ROWS: usize = 4;

/// A matrix inside a slice: rows `stride` apart, or columns if `transposed`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) transposed: bool,
}

impl<'a> Matrix<'a> {
    pub(crate) fn new(data: &'a [f32], stride: usize) -> Self {
        Self {
            data,
            stride,
            transposed: false,
        }
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }
}

/// The right factor of a product, `[inner, columns]`, in panels; what pads the last one makes results nobody reads.
#[derive(Default)]
pub(crate) struct Packed {
    panels: Vec<f32>,
    inner: usize,
    columns: usize,
}

impl Packed {
    /// Packs a factor, into the memory of the one before it.
    #[inline(always)]
    pub(crate) fn pack<S: Simd>(&mut self, _: S, b: Matrix<'_>, inner: usize, columns: usize) {
        let width = 2 * S::F32_LANES;
        self.inner = inner;
        self.columns = columns;
        self.panels
            .resize(columns.div_ceil(width) * inner * width, 0.0);
        for (panel, first) in self
            .panels
            .chunks_exact_mut(inner * width)
            .zip((0..columns).step_by(width))
        {
            let used = width.min(columns - first);
            if b.transposed {
                transpose(&b.data[first * b.stride..], b.stride, used, panel, width);
            } else {
                for (p, row) in panel.chunks_exact_mut(width).enumerate() {
                    row[..used].copy_from_slice(&b.data[p * b.stride + first..][..used]);
                }
            }
        }
    }

    /// `a b` for `rows` rows of `a`; `store(row, column, values)` receives the result piece by piece, each piece once.
    #[inline(always)]
    pub(crate) fn multiply<S: Simd>(
        &self,
        simd: S,
        a: Matrix<'_>,
        rows: usize,
        mut store: impl FnMut(usize, usize, &[f32]),
    ) {
        let width = 2 * S::F32_LANES;
        let inner = self.inner;
        tally::count(rows, inner, self.columns);
        for (panel, first_column) in self
            .panels
            .chunks_exact(inner * width)
            .zip((0..self.columns).step_by(width))
        {
            let used = width.min(self.columns - first_column);
            for first in (0..rows).step_by(ROWS) {
                // Rows past the end repeat the last one and are not stored.
                let row = |i: usize| (first + i).min(rows - 1);
                let sums = if !a.transposed {
                    let [r0, r1, r2, r3] =
                        [0, 1, 2, 3].map(|i| &a.data[row(i) * a.stride..][..inner]);
                    tile(simd, panel, |p| [r0[p], r1[p], r2[p], r3[p]])
                } else if first + ROWS <= rows {
                    tile(simd, panel, |p| {
                        let x = &a.data[p * a.stride + first..][..ROWS];
                        [x[0], x[1], x[2], x[3]]
                    })
                } else {
                    tile(simd, panel, |p| {
                        [0, 1, 2, 3].map(|i| a.data[p * a.stride + row(i)])
                    })
                };
                for (i, sums) in sums.iter().enumerate().take(rows - first) {
                    let values: &[f32] = pulp::bytemuck::cast_slice(sums);
                    // A length known to the compiler makes a copy two stores instead of a call.
                    if used == width {
                        store(first + i, first_column, &values[..width]);
                    } else {
                        store(first + i, first_column, &values[..used]);
                    }
                }
            }
        }
    }
}

/// Rows of `from`, `stride` apart, become the first `rows` columns of `to`; four at a time, which the compiler turns into
/// shuffles where one at a time would be scattered stores.
#[inline(always)]
pub(crate) fn transpose<T: Copy>(
    from: &[T],
    stride: usize,
    rows: usize,
    to: &mut [T],
    width: usize,
) {
    let inner = to.len() / width;
    let mut first = 0;
    while first + 4 <= rows {
        let [r0, r1, r2, r3] = [0, 1, 2, 3].map(|i| &from[(first + i) * stride..][..inner]);
        for (p, out) in to.chunks_exact_mut(width).enumerate() {
            out[first..][..4].copy_from_slice(&[r0[p], r1[p], r2[p], r3[p]]);
        }
        first += 4;
    }
    for row in first..rows {
        let values = &from[row * stride..][..inner];
        for (out, &value) in to.chunks_exact_mut(width).zip(values) {
            out[row] = value;
        }
    }
}

/// One register tile: the sum over the inner dimension of `a(p) * panel[p]`.
#[inline(always)]
fn tile<S: Simd>(simd: S, panel: &[f32], a: impl Fn(usize) -> [f32; ROWS]) -> [[S::f32s; 2]; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
    let (pairs, _) = S::as_simd_f32s(panel).0.as_chunks::<2>();
    for (p, [b0, b1]) in pairs.iter().enumerate() {
        for (sum, a) in sums.iter_mut().zip(a(p)) {
            let a = simd.splat_f32s(a);
            sum[0] = simd.mul_add_e_f32s(a, *b0, sum[0]);
            sum[1] = simd.mul_add_e_f32s(a, *b1, sum[1]);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::WithSimd;

    /// `a b` with integers small enough to be exact, for every combination of transpositions.
    struct Check([usize; 3]);

    impl WithSimd for Check {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            let [m, k, n] = self.0;
            let a = |i: usize, p: usize| ((i * 7 + p * 3) % 11) as f32 - 5.0;
            let b = |p: usize, j: usize| ((p * 5 + j * 2) % 13) as f32 - 6.0;
            let fill =
                |rows: usize, columns: usize, stride: usize, f: &dyn Fn(usize, usize) -> f32| {
                    let mut data = vec![f32::NAN; rows * stride];
                    for i in 0..rows {
                        for j in 0..columns {
                            data[i * stride + j] = f(i, j);
                        }
                    }
                    data
                };
            let (sa, sb) = (k.max(m) + 3, k.max(n) + 1);
            let factors = [
                (fill(m, k, sa, &a), false, fill(k, n, sb, &b), false),
                (
                    fill(k, m, sa, &|p, i| a(i, p)),
                    true,
                    fill(k, n, sb, &b),
                    false,
                ),
                (
                    fill(m, k, sa, &a),
                    false,
                    fill(n, k, sb, &|j, p| b(p, j)),
                    true,
                ),
            ];
            let mut packed = Packed::default();
            for (left, left_transposed, right, right_transposed) in &factors {
                let left = Matrix {
                    data: left,
                    stride: sa,
                    transposed: *left_transposed,
                };
                let right = Matrix {
                    data: right,
                    stride: sb,
                    transposed: *right_transposed,
                };
                let mut c = vec![f32::NAN; m * n];
                packed.pack(simd, right, k, n);
                packed.multiply(simd, left, m, |i, j, values| {
                    c[i * n + j..][..values.len()].copy_from_slice(values);
                });
                for i in 0..m {
                    for j in 0..n {
                        let exact: f32 = (0..k).map(|p| a(i, p) * b(p, j)).sum();
                        assert_eq!(c[i * n + j], exact, "{:?} at {i}, {j}", self.0);
                    }
                }
            }
        }
    }

    #[test]
    fn products_are_exact_on_small_integers() {
        for shape in [
            [1, 1, 1],
            [4, 8, 32],
            [5, 3, 33],
            [64, 64, 64],
            [7, 16, 31],
            [3, 1, 100],
        ] {
            crate::simd::run(Check(shape));
            Check(shape).with_simd(pulp::Scalar);
        }
    }
}
