//! `mask * W + scale B A + S`: a change of low rank and one of a few entries, on a W without its smallest ones.

use crate::init::Init;
use burn::module::{Module, Param};
use burn::tensor::{IndexingUpdateOp, Tensor};

/// See [`super::Formula::Sparse`].
#[derive(Module, Debug)]
pub struct Sparse {
    /// `[r, n]`.
    pub a: Param<Tensor<2>>,
    /// `[m, r]`, zero to start with.
    pub b: Param<Tensor<2>>,
    /// `[e]`: the entries of S, zero to start with.
    pub s: Param<Tensor<1>>,
    /// Where they are, and what the mask leaves out.
    pub fixed: Support,
    scale: f64,
}

/// Whole numbers as floats, like all that is stored: exact for any side below `2^24`.
#[derive(Module, Debug)]
pub struct Support {
    /// `[e]`: the row of each entry of S, in `0..m`.
    pub rows: Param<Tensor<1>>,
    /// `[e]`: its column, in `0..n`.
    pub columns: Param<Tensor<1>>,
    /// `[1]`: entries of W that are no larger than this in magnitude count as zero. One number says what a mask of the
    /// size of W would, as long as W is frozen.
    pub threshold: Option<Param<Tensor<1>>>,
}

pub(super) fn shapes(
    [rank, entries]: [usize; 2],
    masked: bool,
    m: usize,
    n: usize,
) -> Vec<(&'static str, Vec<usize>)> {
    let mut shapes = vec![
        ("a", vec![rank, n]),
        ("b", vec![m, rank]),
        ("s", vec![entries]),
        ("fixed.rows", vec![entries]),
        ("fixed.columns", vec![entries]),
    ];
    shapes.extend(masked.then(|| ("fixed.threshold", vec![1])));
    shapes
}

impl Sparse {
    /// Its support and its threshold are to be set.
    pub(super) fn init(
        [rank, entries]: [usize; 2],
        scale: f64,
        masked: bool,
        [m, n]: [usize; 2],
        init: &mut Init,
    ) -> Self {
        Self {
            a: init.kaiming([rank, n], n),
            b: init.zeros([m, rank]),
            s: init.zeros([entries]),
            fixed: Support {
                rows: init.zeros([entries]),
                columns: init.zeros([entries]),
                threshold: masked.then(|| init.zeros([1])),
            },
            scale,
        }
    }

    pub(super) fn apply(&self, weight: Tensor<2>) -> Tensor<2> {
        let [m, n] = weight.dims();
        let kept = match &self.fixed.threshold {
            None => weight,
            Some(threshold) => {
                let threshold = threshold.val().unsqueeze::<2>().expand([m, n]);
                let small = weight.clone().detach().abs().lower_equal(threshold);
                weight.mask_fill(small, 0.0)
            }
        };
        let changed = kept + self.b.val().matmul(self.a.val()) * self.scale;
        // A file may hold any number; none may lead out of the matrix.
        let within = |places: &Param<Tensor<1>>, side: usize| {
            places.val().int().clamp(0, side.saturating_sub(1) as i64)
        };
        let rows = within(&self.fixed.rows, m) * n as i64;
        let places = rows + within(&self.fixed.columns, n);
        let sum =
            changed
                .reshape([m * n])
                .select_assign(0, places, self.s.val(), IndexingUpdateOp::Add);
        sum.reshape([m, n])
    }
}
