//! Right factors of the small products of a head, in 32 bits or in bf16.

use pulp::Simd;

use crate::gemm::{Panels, Precision, Target, View, ViewMut};
use crate::matmul::{Matrix, Packed};

/// The right factor of products, packed.
#[derive(Default)]
pub(super) struct Right {
    precision: Precision,
    shape: [usize; 2],
    single: Packed,
    half: Panels,
    /// What a product in bf16 is before it goes where it belongs.
    product: Vec<f32>,
}

impl Right {
    /// Packs a factor, into the memory of the one before it.
    #[inline(always)]
    pub(super) fn pack<S: Simd>(
        &mut self,
        simd: S,
        precision: Precision,
        b: Matrix<'_>,
        inner: usize,
        columns: usize,
    ) {
        self.precision = precision;
        self.shape = [inner, columns];
        match precision {
            Precision::F32 => self.single.pack(simd, b, inner, columns),
            Precision::Bf16 => self.half.pack(view(b, inner, columns)),
        }
    }

    /// `a b` for `rows` rows of `a`; `store(row, column, values)` receives the result piece by piece, each piece once.
    #[inline(always)]
    pub(super) fn multiply<S: Simd>(
        &mut self,
        simd: S,
        a: Matrix<'_>,
        rows: usize,
        mut store: impl FnMut(usize, usize, &[f32]),
    ) {
        let [inner, columns] = self.shape;
        match self.precision {
            Precision::F32 => self.single.multiply(simd, a, rows, store),
            Precision::Bf16 => {
                self.product.resize(rows * columns, 0.0);
                let to = ViewMut::new(&mut self.product, columns);
                self.half.gemm(to, Target::Set, view(a, rows, inner));
                for (i, row) in self.product.chunks_exact(columns).enumerate() {
                    store(i, 0, row);
                }
            }
        }
    }
}

fn view(matrix: Matrix<'_>, rows: usize, columns: usize) -> View<'_> {
    if matrix.transposed {
        View::strided(matrix.data, columns, rows, matrix.stride).transposed()
    } else {
        View::strided(matrix.data, rows, columns, matrix.stride)
    }
}
