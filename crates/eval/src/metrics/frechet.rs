//! The Frechet distance between Gaussians fitted to two sets of features (Heusel et al., arXiv 1706.08500):
//!
//! ```text
//! |m1 - m2|^2 + Tr C1 + Tr C2 - 2 Tr (C1^1/2 C2 C1^1/2)^1/2
//! ```
//!
//! in 64-bit floats. Both roots are of symmetric matrices and come from their eigenvalues, so no complex number
//! arises, also where a covariance is singular.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};
use rayon::prelude::*;

use super::bootstrap::{percentiles, resample};
use super::features::{Layer, Network};
use super::{Bootstrap, Caveat, Interval, Measure, Pair};
use crate::error::EvalError;
use crate::matrix::RowMatrix;

/// Rows that are centred and multiplied at a time.
const ROWS: usize = 1024;
/// Side of the tiles of a covariance that threads share out.
const TILE: usize = 256;

/// The Frechet distance: `FID` or `sFID` of features of InceptionV3, `FD-Lite0` otherwise.
///
/// The interval is over draws of the generated images; the real ones are taken for given. Drawing images twice adds a
/// bias of its own, so the spread of the resamples is laid around the value. `progress` is called after every
/// resample, from any thread.
///
/// # Errors
/// [`EvalError::TooFewImages`] for less than two images; [`EvalError::NoConvergence`] if eigenvalues are not found.
pub fn frechet_distance(
    pair: &Pair<'_>,
    bootstrap: &Bootstrap,
    progress: impl Fn() + Sync,
) -> Result<Measure, EvalError> {
    let [real, generated] = pair.rows(2)?;
    let reference = Reference::new(real)?;
    let value = reference.distance_to(generated)?;
    let draws = bootstrap.draws(|stream| {
        let drawn = generated.select(&resample(stream, generated.rows()));
        let distance = reference.distance_to(&drawn);
        progress();
        distance
    })?;
    let (images, features) = (real.rows().min(generated.rows()), real.columns());
    let singular = Caveat::FewerImagesThanFeatures { images, features };
    let name = match pair.origin().layer {
        Layer::Spatial => "sFID",
        _ if pair.origin().network == Network::InceptionV3 => "FID",
        _ => "FD",
    };
    Ok(Measure {
        name: pair.origin().named(name),
        value,
        real: real.rows(),
        generated: generated.rows(),
        interval: around(value, draws),
        caveats: (images <= features)
            .then_some(singular)
            .into_iter()
            .collect(),
    })
}

/// The spread of the draws about their mean, moved to the value; a distance is not below 0.
fn around(value: f64, draws: Vec<f64>) -> Option<Interval> {
    let mean = draws.iter().sum::<f64>() / draws.len() as f64;
    let Interval { low, high } = percentiles(draws)?;
    Some(Interval {
        low: (value + low - mean).max(0.0),
        high: value + high - mean,
    })
}

/// Mean and covariance (divided by n - 1).
struct Gaussian {
    mean: Vec<f64>,
    covariance: Mat<f64>,
}

impl Gaussian {
    fn of(rows: &RowMatrix) -> Self {
        let (count, width) = (rows.rows() as f64, rows.columns());
        let mean = mean(rows);
        let tiles: Vec<(usize, usize)> = (0..width)
            .step_by(TILE)
            .flat_map(|i| (0..=i).step_by(TILE).map(move |j| (i, j)))
            .collect();
        let side = |at: usize| TILE.min(width - at);
        let mut sums: Vec<Mat<f64>> = tiles
            .iter()
            .map(|&(i, j)| Mat::zeros(side(i), side(j)))
            .collect();
        for block in rows.values().chunks(ROWS * width) {
            let x = centred(block, &mean);
            sums.par_iter_mut().zip(&tiles).for_each(|(sum, &(i, j))| {
                let (left, right) = (x.subcols(i, side(i)), x.subcols(j, side(j)));
                let share = 1.0 / (count - 1.0);
                matmul(sum, Accum::Add, left.transpose(), right, share, Par::Seq);
            });
        }
        let mut covariance = Mat::zeros(width, width);
        for (sum, (i, j)) in sums.iter().zip(tiles) {
            covariance
                .submatrix_mut(i, j, side(i), side(j))
                .copy_from(sum);
            covariance
                .submatrix_mut(j, i, side(j), side(i))
                .copy_from(sum.transpose());
        }
        Self { mean, covariance }
    }
}

/// What the distances to one set have in common.
struct Reference {
    mean: Vec<f64>,
    trace: f64,
    /// `C^1/2`.
    root: Mat<f64>,
}

impl Reference {
    fn new(rows: &RowMatrix) -> Result<Self, EvalError> {
        let Gaussian { mean, covariance } = Gaussian::of(rows);
        let trace = trace(covariance.as_ref());
        let eigen = covariance
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_| EvalError::NoConvergence)?;
        let (vectors, values) = (eigen.U(), eigen.S());
        let width = mean.len();
        // U L^1/4, whose product with its own transpose is the root.
        let half = Mat::from_fn(width, width, |i, j| {
            vectors[(i, j)] * values[j].max(0.0).sqrt().sqrt()
        });
        Ok(Self {
            mean,
            trace,
            root: product(half.as_ref(), half.transpose()),
        })
    }

    fn distance_to(&self, rows: &RowMatrix) -> Result<f64, EvalError> {
        let share = 1.0 / (rows.rows() as f64 - 1.0);
        let (mean, own, inner) = if rows.rows() < rows.columns() {
            // With Y the centred rows, R Y'Y R and Y R R Y' have the same eigenvalues but for zeros.
            let mean = mean(rows);
            let y = centred(rows.values(), &mean);
            let own = y.squared_norm_l2() * share;
            let z = product(y.as_ref(), self.root.as_ref());
            (
                mean,
                own,
                product(z.as_ref(), z.transpose()) * faer::Scale(share),
            )
        } else {
            let Gaussian { mean, covariance } = Gaussian::of(rows);
            let left = product(self.root.as_ref(), covariance.as_ref());
            let own = trace(covariance.as_ref());
            (mean, own, product(left.as_ref(), self.root.as_ref()))
        };
        let eigenvalues = inner
            .self_adjoint_eigenvalues(Side::Lower)
            .map_err(|_| EvalError::NoConvergence)?;
        let shared: f64 = eigenvalues.iter().map(|value| value.max(0.0).sqrt()).sum();
        let apart = self.mean.iter().zip(&mean).map(|(a, b)| (a - b).powi(2));
        Ok(apart.sum::<f64>() + self.trace + own - 2.0 * shared)
    }
}

fn mean(rows: &RowMatrix) -> Vec<f64> {
    let mut mean = vec![0.0; rows.columns()];
    for row in rows.iter() {
        for (mean, &value) in mean.iter_mut().zip(row) {
            *mean += f64::from(value);
        }
    }
    mean.iter_mut().for_each(|m| *m /= rows.rows() as f64);
    mean
}

/// Rows less their mean.
fn centred(values: &[f32], mean: &[f64]) -> Mat<f64> {
    let rows = MatRef::from_row_major_slice(values, values.len() / mean.len(), mean.len());
    Mat::from_fn(rows.nrows(), mean.len(), |i, j| {
        f64::from(rows[(i, j)]) - mean[j]
    })
}

fn product(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(left.nrows(), right.ncols());
    matmul(&mut out, Accum::Replace, left, right, 1.0, Par::Seq);
    out
}

fn trace(matrix: MatRef<'_, f64>) -> f64 {
    matrix.diagonal().column_vector().iter().sum()
}
