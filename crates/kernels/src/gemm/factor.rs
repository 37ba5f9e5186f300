//! Right factors made ready once for the products of all threads.

use rayon::prelude::*;

use super::bf16::{Panels, Piece};
use super::{Precision, Target, View, ViewMut, gemm};
use crate::buffer::Buffer;
use crate::matmul::transpose;

/// A right factor as products of a precision read it fastest.
pub(crate) struct Factor<'a> {
    view: View<'a>,
    form: Form,
}

enum Form {
    /// Rows side by side in memory, where they are.
    InPlace,
    /// The same in memory of its own.
    Rows(Buffer),
    /// Pairs of bf16 in panels.
    Panels(Panels),
}

/// Rows of a factor that one task copies: as many as the floats of a cache line.
const ROWS: usize = 16;

/// Part of a factor being made ready.
enum Task<'a> {
    /// Rows of the factor, from that one on.
    Rows(View<'a>, usize, &'a mut [f32]),
    Panels(Piece<'a>),
}

impl Task<'_> {
    fn run(self) {
        match self {
            Self::Rows(view, first, to) => {
                let from = &view.data[first..];
                transpose(from, view.column_stride, view.columns, to, view.columns);
            }
            Self::Panels(piece) => piece.pack(),
        }
    }
}

impl<'a> Factor<'a> {
    /// Makes all of them ready, on all threads.
    ///
    /// # Panics
    /// If the processor does not have that precision, or neither rows nor columns of a factor lie side by side.
    pub(crate) fn all<const N: usize>(
        precision: Precision,
        views: [Option<View<'a>>; N],
    ) -> [Option<Self>; N] {
        let mut factors = views.map(|view| Some(Self::blank(precision, view?)));
        Self::fill(factors.iter_mut().flatten());
        factors
    }

    /// Makes blank factors ready, on all threads.
    ///
    /// # Panics
    /// As [`Self::all`].
    pub(crate) fn fill<'b>(factors: impl Iterator<Item = &'b mut Self>)
    where
        'a: 'b,
    {
        let tasks: Vec<_> = factors.flat_map(Self::tasks).collect();
        tasks.into_par_iter().for_each(Task::run);
    }

    /// With memory that is still to be written, by [`Self::fill`].
    pub(crate) fn blank(precision: Precision, view: View<'a>) -> Self {
        let form = match precision {
            Precision::Bf16 => Form::Panels(Panels::default()),
            _ if view.column_stride == 1 => Form::InPlace,
            _ => {
                assert_eq!(view.row_stride, 1, "rows or columns side by side in memory");
                Form::Rows(Buffer::new(view.rows * view.columns))
            }
        };
        Self { view, form }
    }

    fn tasks(&mut self) -> Vec<Task<'_>> {
        let view = self.view;
        match &mut self.form {
            Form::InPlace => Vec::new(),
            Form::Rows(rows) => {
                let rows = rows.chunks_mut(ROWS * view.columns).enumerate();
                rows.map(|(i, rows)| Task::Rows(view, i * ROWS, rows))
                    .collect()
            }
            Form::Panels(panels) => panels.pieces(view).map(Task::Panels).collect(),
        }
    }

    /// `to = a b` or `to += a b`, this being `b`.
    ///
    /// # Panics
    /// If the shapes do not fit together.
    pub(crate) fn gemm(&self, to: ViewMut<'_>, target: Target<'_>, a: View<'_>) {
        match &self.form {
            Form::InPlace => gemm(Precision::F32, to, target, a, self.view),
            Form::Rows(rows) => {
                let b = View::new(rows, self.view.columns);
                gemm(Precision::F32, to, target, a, b);
            }
            Form::Panels(panels) => panels.gemm(to, target, a),
        }
    }

    /// The same for as many of the columns as the result has, from `first` on.
    ///
    /// # Panics
    /// Also, in bf16, if `first` is not the first column of a panel.
    pub(crate) fn gemm_columns(
        &self,
        first: usize,
        to: ViewMut<'_>,
        target: Target<'_>,
        a: View<'_>,
    ) {
        let b = match &self.form {
            Form::InPlace => self.view,
            Form::Rows(rows) => View::new(rows, self.view.columns),
            Form::Panels(panels) => return panels.gemm_columns(first, to, target, a),
        };
        let b = b.columns(first, to.columns);
        gemm(Precision::F32, to, target, a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_made_ready_is_the_factor() {
        let numbers = |count: usize, of: usize| -> Vec<f32> {
            (0..count).map(|i| (i * 7 % of) as f32 - 5.0).collect()
        };
        let precisions = [Precision::F32, Precision::Bf16];
        for precision in precisions.into_iter().filter(|p| p.is_in_processor()) {
            for [m, k, n] in [
                [1, 1, 1],
                [5, 0, 3],
                [7, 3, 40],
                [70, 387, 300],
                [3, 33, 17],
            ] {
                let (a, b, across) = (numbers(m * k, 11), numbers(k * n, 13), numbers(n * k, 9));
                let straight = View {
                    rows: k,
                    ..View::new(&b, n)
                };
                let across = View {
                    rows: n,
                    ..View::new(&across, k)
                };
                let views = [Some(straight), None, Some(across.transposed())];
                let factors = Factor::all(precision, views);
                assert!(factors[1].is_none());
                for (view, factor) in views.into_iter().zip(factors) {
                    let (Some(view), Some(factor)) = (view, factor) else {
                        continue;
                    };
                    let mut c = vec![1.0; m * n];
                    let left = View {
                        rows: m,
                        ..View::new(&a, k)
                    };
                    factor.gemm(ViewMut::new(&mut c, n), Target::Add, left);
                    for (at, &c) in c.iter().enumerate() {
                        let right =
                            |p| view.data[p * view.row_stride + at % n * view.column_stride];
                        let exact: f32 = (0..k).map(|p| a[at / n * k + p] * right(p)).sum();
                        assert_eq!(c, 1.0 + exact, "{precision:?} {m} {k} {n} at {at}");
                    }
                }
            }
        }
    }
}
