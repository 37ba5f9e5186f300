//! Are generated images where real ones are, and everywhere where they are? Both are asked of balls around the images of
//! one set that reach to the k-th nearest neighbour in the same set.
//!
//! * precision, recall: Kynkaanniemi et al., arXiv 1904.06991, equation 1, k = 3;
//! * density, coverage: Naeem et al., arXiv 2002.09797, equations 2 and 3, k = 5.

use super::pairwise::{map_rows, squared_lengths};
use super::{Bootstrap, Interval, Measure, Pair};
use crate::error::EvalError;
use crate::matrix::RowMatrix;
use crate::rates::Rate;

/// k of precision and recall.
pub const PRECISION_NEIGHBOURS: usize = 3;
/// k of density and coverage.
pub const DENSITY_NEIGHBOURS: usize = 5;

/// The four measures.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifold {
    /// Share of generated images inside a ball of the real ones.
    pub precision: Measure,
    /// Share of real images inside a ball of the generated ones.
    pub recall: Measure,
    /// Balls of real images that a generated one lies in, over k; 1 is expected of equal distributions.
    pub density: Measure,
    /// Share of real images whose ball holds a generated one.
    pub coverage: Measure,
}

/// Precision, recall, density and coverage. Time grows with the square of the number of images.
///
/// Intervals are over draws of the images that are counted, the balls being taken for given: a bootstrap for density, and
/// Wilson's for the three shares ([`Rate`]), which do not collapse at 0 and 1.
///
/// # Errors
/// [`EvalError::TooFewImages`] if a set has no more images than [`DENSITY_NEIGHBOURS`].
pub fn manifold(pair: &Pair<'_>, bootstrap: &Bootstrap) -> Result<Manifold, EvalError> {
    let sets = pair.rows(DENSITY_NEIGHBOURS + 1)?;
    let [real, generated] = sets.map(Balls::new);
    let of_generated = map_rows(generated.rows, real.rows, |row, products| {
        let squared = |i: usize| real.squared(i, products[i], generated.lengths[row]);
        let balls = 0..products.len();
        let inside = balls.clone().any(|i| squared(i) <= real.narrow[i]);
        let around = balls.filter(|&i| squared(i) < real.wide[i]).count();
        (inside, around as f64 / DENSITY_NEIGHBOURS as f64)
    });
    let of_real = map_rows(real.rows, generated.rows, |row, products| {
        let squared = |i: usize| generated.squared(i, products[i], real.lengths[row]);
        let balls = 0..products.len();
        let inside = balls.clone().any(|i| squared(i) <= generated.narrow[i]);
        let covered = balls.map(squared).any(|d| d < real.wide[row]);
        (inside, covered)
    });
    let (precision, density): (Vec<bool>, Vec<f64>) = of_generated.into_iter().unzip();
    let (recall, coverage): (Vec<bool>, Vec<bool>) = of_real.into_iter().unzip();
    let measure = |name: &str, value, interval| Measure {
        name: pair.origin().named(name),
        value,
        real: real.rows.rows(),
        generated: generated.rows.rows(),
        interval,
        caveats: Vec::new(),
    };
    let share = |name: &str, holds: &[bool]| {
        let rate = Rate::new(holds.iter().filter(|&&h| h).count(), holds.len());
        let (low, high) = (rate.low, rate.high);
        measure(
            name,
            rate.rate.unwrap_or_default(),
            Some(Interval { low, high }),
        )
    };
    let mean = density.iter().sum::<f64>() / density.len() as f64;
    Ok(Manifold {
        precision: share("precision", &precision),
        recall: share("recall", &recall),
        density: measure("density", mean, bootstrap.of_means(&[&density])?),
        coverage: share("coverage", &coverage),
    })
}

/// A set and the squared radii of the balls around its rows.
struct Balls<'a> {
    rows: &'a RowMatrix,
    lengths: Vec<f64>,
    /// To neighbour [`PRECISION_NEIGHBOURS`].
    narrow: Vec<f64>,
    /// To neighbour [`DENSITY_NEIGHBOURS`].
    wide: Vec<f64>,
}

impl<'a> Balls<'a> {
    fn new(rows: &'a RowMatrix) -> Self {
        let lengths = squared_lengths(rows);
        let radii = map_rows(rows, rows, |row, products| {
            for (product, length) in products.iter_mut().zip(&lengths) {
                *product = (length + lengths[row] - 2.0 * *product).max(0.0);
            }
            // A row is no neighbour of itself.
            products[row] = f64::INFINITY;
            let (nearer, wide, _) =
                products.select_nth_unstable_by(DENSITY_NEIGHBOURS - 1, f64::total_cmp);
            let wide = *wide;
            nearer.sort_by(f64::total_cmp);
            (nearer[PRECISION_NEIGHBOURS - 1], wide)
        });
        let (narrow, wide) = radii.into_iter().unzip();
        Self {
            rows,
            lengths,
            narrow,
            wide,
        }
    }

    /// Squared distance of row `i` to one of the given product and squared length.
    fn squared(&self, i: usize, product: f64, length: f64) -> f64 {
        (self.lengths[i] + length - 2.0 * product).max(0.0)
    }
}
