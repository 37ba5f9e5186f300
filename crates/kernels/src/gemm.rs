//! Products of matrices inside slices, on the calling thread.
//!
//! A safe door to the `gemm` crate, the one Burn's CPU backend multiplies with. Callers cut their work into tasks of a
//! fixed size and run one product per task, so a sum is added in the same order on any number of threads.

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// Row-major, `columns` apart.
    pub(crate) fn new(data: &'a [f32], columns: usize) -> Self {
        Self {
            data,
            rows: data.len() / columns.max(1),
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    pub(crate) fn row_count(&self) -> usize {
        self.rows
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// `count` columns from `first` on.
    pub(crate) fn columns(self, first: usize, count: usize) -> Self {
        let data = self.data.get(first * self.column_stride..).unwrap_or(&[]);
        Self {
            data,
            columns: count,
            ..self
        }
    }

    /// The rows of a matrix that is not transposed.
    pub(crate) fn iter_rows(self) -> impl Iterator<Item = &'a [f32]> {
        debug_assert_eq!(self.column_stride, 1);
        (0..self.rows).map(move |i| &self.data[i * self.row_stride..][..self.columns])
    }

    /// One past the last element.
    fn end(&self) -> usize {
        if self.rows == 0 || self.columns == 0 {
            return 0;
        }
        (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1
    }
}

/// Where a product goes: rows `stride` apart inside a slice.
pub(crate) struct ViewMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> ViewMut<'a> {
    /// Row-major, `columns` apart.
    pub(crate) fn new(data: &'a mut [f32], columns: usize) -> Self {
        Self {
            rows: data.len() / columns.max(1),
            columns,
            stride: columns,
            data,
        }
    }

    /// Sets every row to `values`.
    pub(crate) fn fill_rows(&mut self, values: &[f32]) {
        for i in 0..self.rows {
            self.data[i * self.stride..][..self.columns].copy_from_slice(values);
        }
    }

    pub(crate) fn reborrow(&mut self) -> ViewMut<'_> {
        ViewMut {
            data: self.data,
            ..*self
        }
    }

    /// `count` columns from `first` on.
    pub(crate) fn columns(self, first: usize, count: usize) -> Self {
        Self {
            data: self.data.get_mut(first..).unwrap_or(&mut []),
            columns: count,
            ..self
        }
    }
}

/// What a product does with what its target holds.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// Overwritten.
    Set,
    /// Added to.
    Add,
}

/// `to = a b` or `to += a b`.
///
/// # Panics
/// If the shapes do not fit together.
pub(crate) fn gemm(to: ViewMut<'_>, target: Target, a: View<'_>, b: View<'_>) {
    assert_eq!(a.columns, b.rows, "inner dimensions");
    assert_eq!(
        (to.rows, to.columns),
        (a.rows, b.columns),
        "size of the result"
    );
    if to.rows == 0 || to.columns == 0 {
        return;
    }
    assert!(
        to.columns <= to.stride && (to.rows - 1) * to.stride + to.columns <= to.data.len(),
        "the result inside its slice"
    );
    assert!(
        a.end() <= a.data.len() && b.end() <= b.data.len(),
        "views inside their slices"
    );
    #[expect(
        unsafe_code,
        reason = "the product reads and writes within the bounds asserted above"
    )]
    // SAFETY: `to` is exclusively borrowed and holds every element its rows and columns address, none of them twice; `a`
    // and `b` hold every element their shapes and strides address.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            to.data.as_mut_ptr(),
            1,
            to.stride as isize,
            target == Target::Add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_small_integers_are_exact() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (17, 33, 9), (64, 7, 65), (4, 0, 3)] {
            let a: Vec<f32> = (0..m * k).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
            let exact =
                |i: usize, j: usize| -> f32 { (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum() };
            let across: Vec<f32> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
            let (left, right) = (
                View {
                    rows: m,
                    ..View::new(&a, k)
                },
                View {
                    rows: k,
                    ..View::new(&b, n)
                },
            );
            let turned = View {
                rows: n,
                ..View::new(&across, k)
            }
            .transposed();
            for right in [right, turned] {
                let mut c = vec![1.0; m * n];
                gemm(ViewMut::new(&mut c, n), Target::Add, left, right);
                for (at, c) in c.iter().enumerate() {
                    assert_eq!(*c, 1.0 + exact(at / n, at % n));
                }
                gemm(ViewMut::new(&mut c, n), Target::Set, left, right);
                for (at, c) in c.iter().enumerate() {
                    assert_eq!(*c, exact(at / n, at % n));
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "inner dimensions")]
    fn shapes_that_do_not_fit_are_refused() {
        gemm(
            ViewMut::new(&mut [0.0; 4], 2),
            Target::Set,
            View::new(&[0.0; 6], 3),
            View::new(&[0.0; 4], 2),
        );
    }
}
