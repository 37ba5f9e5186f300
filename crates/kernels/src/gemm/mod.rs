//! Products of matrices inside slices, on the calling thread.
//!
//! A safe door to the `gemm` crate, the one Burn's CPU backend multiplies with, and to products in bf16 ([`bf16`]). Callers
//! cut their work into tasks of a fixed size and run one product per task, so a sum is added in the same order on any
//! number of threads.

#[cfg(target_arch = "x86_64")]
mod bf16;
#[cfg(not(target_arch = "x86_64"))]
#[path = "bf16/nowhere.rs"]
mod bf16;
mod factor;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::{flex, tally};

pub(crate) use bf16::Panels;
pub(crate) use factor::Factor;

/// What the factors of a product are rounded to. Sums are 32-bit floats always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Nothing: 32-bit floats.
    #[default]
    F32,
    /// 16 bits with the exponent of a 32-bit float, 8 bits of precision.
    Bf16,
}

impl Precision {
    /// Whether the fused operators multiply so on a device: bf16 takes a CPU with AVX512-BF16, and AMX makes it faster.
    pub fn is_available(self, device: &Device) -> bool {
        self == Self::F32 || flex::is_cpu(device) && self.is_in_processor()
    }

    fn is_in_processor(self) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16 => bf16::is_available(),
        }
    }
}

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

    /// Rows of `columns`, `stride` apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self {
            data,
            rows,
            columns,
            row_stride: stride,
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

    /// Makes it what a product adds to.
    pub(crate) fn start(&mut self, target: Target<'_>) {
        let rows = self.data.chunks_mut(self.stride.max(1)).take(self.rows);
        let rows = rows.map(|row| &mut row[..self.columns]);
        match target {
            Target::Set => rows.for_each(|row| row.fill(0.0)),
            Target::Row(values) => rows.for_each(|row| row.copy_from_slice(values)),
            Target::Add => {}
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
pub(crate) enum Target<'a> {
    /// Overwritten.
    Set,
    /// Overwritten, with these numbers added to every row.
    Row(&'a [f32]),
    /// Added to.
    Add,
}

/// `to = a b` or `to += a b`.
///
/// # Panics
/// If the shapes do not fit together, or the processor does not have that precision.
pub(crate) fn gemm(
    precision: Precision,
    to: ViewMut<'_>,
    target: Target<'_>,
    a: View<'_>,
    b: View<'_>,
) {
    if !check(&to, target, a, b) {
        return;
    }
    match precision {
        Precision::F32 => single(to, target, a, b),
        Precision::Bf16 => bf16::gemm(to, target, a, b),
    }
}

/// Whether a product has results.
///
/// # Panics
/// If the shapes do not fit together.
fn check(to: &ViewMut<'_>, target: Target<'_>, a: View<'_>, b: View<'_>) -> bool {
    assert!(b.end() <= b.data.len(), "a view inside its slice");
    check_against(to, target, a, [b.rows, b.columns])
}

/// The same when only the shape of the right factor is left. Every product comes by here once, and is counted.
fn check_against(to: &ViewMut<'_>, target: Target<'_>, a: View<'_>, b: [usize; 2]) -> bool {
    assert_eq!(a.columns, b[0], "inner dimensions");
    assert_eq!((to.rows, to.columns), (a.rows, b[1]), "size of the result");
    if to.rows == 0 || to.columns == 0 {
        return false;
    }
    assert!(
        to.columns <= to.stride && (to.rows - 1) * to.stride + to.columns <= to.data.len(),
        "the result inside its slice"
    );
    assert!(a.end() <= a.data.len(), "a view inside its slice");
    if let Target::Row(row) = target {
        assert_eq!(row.len(), to.columns, "a number for each column");
    }
    tally::count(a.rows, a.columns, to.columns);
    true
}

/// A product of 32-bit floats whose shapes and bounds have been checked.
fn single(mut to: ViewMut<'_>, target: Target<'_>, a: View<'_>, b: View<'_>) {
    if let Target::Row(_) = target {
        to.start(target);
    }
    #[expect(
        unsafe_code,
        reason = "the product reads and writes within the bounds that `gemm` asserts"
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
            target != Target::Set,
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

    type Way = fn(ViewMut<'_>, Target<'_>, View<'_>, View<'_>);

    /// Every way to multiply on this processor.
    fn ways() -> Vec<(&'static str, Way)> {
        let mut ways: Vec<(_, Way)> = vec![("f32", |to, target, a, b| {
            gemm(Precision::F32, to, target, a, b);
        })];
        ways.extend(ways_in_bf16());
        ways
    }

    #[cfg(target_arch = "x86_64")]
    fn ways_in_bf16() -> Vec<(&'static str, Way)> {
        use bf16::Unit;
        let mut ways: Vec<(_, Way)> = Vec::new();
        if bf16::is_available() {
            ways.push(("vectors", |to, target, a, b| {
                if check(&to, target, a, b) {
                    bf16::gemm_by(Unit::Vectors, to, target, a, b);
                }
            }));
        }
        if Unit::best() == Unit::Tiles {
            ways.push(("tiles", |to, target, a, b| {
                if check(&to, target, a, b) {
                    bf16::gemm_by(Unit::Tiles, to, target, a, b);
                }
            }));
        }
        ways
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn ways_in_bf16() -> Vec<(&'static str, Way)> {
        Vec::new()
    }

    /// `[m, k, n]`, at and around the sizes of tiles and blocks.
    const SHAPES: [[usize; 3]; 10] = [
        [1, 1, 1],
        [3, 5, 2],
        [17, 33, 9],
        [64, 7, 65],
        [4, 0, 3],
        [12, 256, 32],
        [13, 257, 33],
        [265, 64, 16],
        [30, 515, 48],
        [5, 20, 800],
    ];

    /// Both factors as they are and lying across.
    struct Factors {
        a: [Vec<f32>; 2],
        b: [Vec<f32>; 2],
    }

    impl Factors {
        fn new([m, k, n]: [usize; 3], a: impl Fn(usize) -> f32, b: impl Fn(usize) -> f32) -> Self {
            let fill = |count: usize, f: &dyn Fn(usize) -> f32| (0..count).map(f).collect();
            let across = |rows: usize, columns: usize, f: &dyn Fn(usize) -> f32| {
                fill(rows * columns, &|i| f(i % rows * columns + i / rows))
            };
            Self {
                a: [fill(m * k, &a), across(m, k, &a)],
                b: [fill(k * n, &b), across(k, n, &b)],
            }
        }

        fn views<'a>(data: &'a [Vec<f32>; 2], rows: usize, columns: usize) -> [View<'a>; 2] {
            let straight = View {
                rows,
                ..View::new(&data[0], columns)
            };
            let across = View {
                rows: columns,
                ..View::new(&data[1], rows)
            };
            [straight, across.transposed()]
        }

        /// Every product of them.
        fn each([m, k, n]: [usize; 3], f: impl Fn(&Self, View<'_>, View<'_>), factors: &Self) {
            for a in Self::views(&factors.a, m, k) {
                for b in Self::views(&factors.b, k, n) {
                    f(factors, a, b);
                }
            }
        }
    }

    #[test]
    fn products_of_small_integers_are_exact() {
        for (shape, (way, gemm)) in SHAPES
            .iter()
            .flat_map(|s| ways().into_iter().map(move |way| (*s, way)))
        {
            let [_, k, n] = shape;
            let a = |i: usize| (i * 7 % 11) as f32 - 5.0;
            let b = |i: usize| (i * 5 % 13) as f32 - 6.0;
            let exact =
                |i: usize, j: usize| -> f32 { (0..k).map(|p| a(i * k + p) * b(p * n + j)).sum() };
            let check = |_: &Factors, left: View<'_>, right: View<'_>| {
                // Two columns more than the result has, which stay as they are.
                let stride = n + 2;
                let mut c = vec![1.0; shape[0] * stride];
                let row = vec![3.0; n];
                for (target, plus) in [
                    (Target::Add, 1.0),
                    (Target::Set, 0.0),
                    (Target::Row(&row), 3.0),
                ] {
                    let to = ViewMut::new(&mut c, stride).columns(0, n);
                    gemm(to, target, left, right);
                    for (at, c) in c.iter().enumerate() {
                        let (i, j) = (at / stride, at % stride);
                        let expected = if j < n { plus + exact(i, j) } else { 1.0 };
                        assert_eq!(*c, expected, "{shape:?} {way} {i} {j}");
                    }
                }
            };
            Factors::each(shape, check, &Factors::new(shape, a, b));
        }
    }

    #[test]
    fn factors_in_bf16_are_rounded_to_nearest_and_sums_are_not() {
        if ways_in_bf16().is_empty() {
            eprintln!("skipped: no AVX512-BF16");
        }
        // numbers whose low halves take every value on the way, also exactly between two
        let a =
            |i: usize| f32::from_bits(0x3f80_0000 + (i as u32).wrapping_mul(0x6789) % 0x80_0000);
        let b =
            |i: usize| -f32::from_bits(0x3f00_0000 + (i as u32).wrapping_mul(0x8000) % 0x80_0000);
        for (shape, (way, gemm)) in SHAPES
            .iter()
            .flat_map(|s| ways_in_bf16().into_iter().map(move |way| (*s, way)))
        {
            let [_, k, n] = shape;
            let rounded = |x: f32| f64::from(half::bf16::from_f32(x).to_f32());
            let check = |factors: &Factors, left: View<'_>, right: View<'_>| {
                let mut c = vec![0.0; shape[0] * n];
                let to = ViewMut::new(&mut c, n);
                gemm(to, Target::Set, left, right);
                for (at, &c) in c.iter().enumerate() {
                    let (i, j) = (at / n, at % n);
                    let product =
                        |p| rounded(factors.a[0][i * k + p]) * rounded(factors.b[0][p * n + j]);
                    let exact: f64 = (0..k).map(product).sum();
                    let bound = 1e-6 * exact.abs();
                    assert!(
                        (f64::from(c) - exact).abs() <= bound,
                        "{shape:?} {way}: {c} {exact}"
                    );
                }
            };
            Factors::each(shape, check, &Factors::new(shape, a, b));
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for (way, gemm) in ways() {
            for (x, expected) in [(f32::NAN, f32::NAN), (f32::INFINITY, f32::INFINITY)] {
                let (a, b) = ([1.0, x], [1.0, 2.0]);
                let mut c = [0.0];
                let to = ViewMut::new(&mut c, 1);
                gemm(to, Target::Set, View::new(&a, 2), View::new(&b, 1));
                assert_eq!(c[0].is_nan(), expected.is_nan(), "{way}");
                assert_eq!(c[0].is_infinite(), expected.is_infinite(), "{way}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "inner dimensions")]
    fn shapes_that_do_not_fit_are_refused() {
        gemm(
            Precision::F32,
            ViewMut::new(&mut [0.0; 4], 2),
            Target::Set,
            View::new(&[0.0; 6], 3),
            View::new(&[0.0; 4], 2),
        );
    }
}
