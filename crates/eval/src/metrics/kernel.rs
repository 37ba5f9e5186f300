//! The kernel distance (Binkowski et al., arXiv 1801.01401): the unbiased estimate of the squared maximum mean
//! discrepancy with the kernel `(x . y / d + 1)^3`.

use learngene_data::{Purpose, Stream};

use super::features::at_least;
use super::pairwise::map_rows;
use super::{Bootstrap, Measure, Pair};
use crate::error::EvalError;
use crate::matrix::RowMatrix;

/// The kernel distance of all images: `KID` or `KID-Lite0`. It may be below 0, being unbiased.
///
/// The interval is a bootstrap of the estimate's first-order part, over both sets.
///
/// # Errors
/// [`EvalError::TooFewImages`] for less than two images.
pub fn kernel_distance(pair: &Pair<'_>, bootstrap: &Bootstrap) -> Result<Measure, EvalError> {
    let [real, generated] = pair.rows(2)?;
    let terms = Terms::new(real, generated);
    // The estimate is of degree two in each set, so its derivatives are twice the means of the terms.
    let doubled = |terms: &[f64]| terms.iter().map(|t| 2.0 * t).collect::<Vec<f64>>();
    let (of_real, of_generated) = (doubled(&terms.real), doubled(&terms.generated));
    let value = terms.estimate();
    let interval = bootstrap.of_means(&[&of_real, &of_generated])?;
    Ok(Measure {
        name: pair.origin().named("KID"),
        value,
        real: real.rows(),
        generated: generated.rows(),
        // The mean of the derivatives is twice the estimate.
        interval: interval.map(|mut interval| {
            interval.low -= value;
            interval.high -= value;
            interval
        }),
        caveats: Vec::new(),
    })
}

/// Kernel distances of random subsets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SubsetEstimate {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, which is that of an estimate from `size` images.
    pub deviation: f64,
}

/// The kernel distance as it is usually reported: mean and deviation over `subsets` subsets of `size` images of each
/// set, drawn without replacement. It needs less time than [`kernel_distance`] for very many images, and has a larger
/// variance.
///
/// # Errors
/// [`EvalError::TooFewImages`] if a set has less than `size` images, or for sizes or numbers that give no estimate.
pub fn kernel_distance_over_subsets(
    pair: &Pair<'_>,
    subsets: usize,
    size: usize,
    seed: u64,
) -> Result<SubsetEstimate, EvalError> {
    let [real, generated] = pair.rows(size.max(2))?;
    at_least(2, size, "subset")?;
    at_least(1, subsets, "list of subsets")?;
    let estimates: Vec<f64> = (0..subsets as u64)
        .map(|index| {
            let mut stream = Stream::new(seed, index, Purpose::Metric);
            let mut draw = |rows: &RowMatrix| {
                let order = stream.permutation(rows.rows());
                rows.select(&order[..size])
            };
            let (real, generated) = (draw(real), draw(generated));
            Terms::new(&real, &generated).estimate()
        })
        .collect();
    let count = subsets as f64;
    let mean = estimates.iter().sum::<f64>() / count;
    let squares = estimates.iter().map(|e| (e - mean).powi(2)).sum::<f64>();
    Ok(SubsetEstimate {
        mean,
        deviation: (squares / count).sqrt(),
    })
}

/// For every image its mean kernel with its own set less that with the other. The estimate is the sum of both means.
struct Terms {
    real: Vec<f64>,
    generated: Vec<f64>,
}

impl Terms {
    fn new(real: &RowMatrix, generated: &RowMatrix) -> Self {
        let of = |own: &RowMatrix, other: &RowMatrix| {
            let within = map_rows(own, own, |row, products| {
                (kernels(products, own) - kernels(&[products[row]], own))
                    / (own.rows() as f64 - 1.0)
            });
            let across = map_rows(own, other, |_, products| {
                kernels(products, own) / other.rows() as f64
            });
            within.iter().zip(across).map(|(w, a)| w - a).collect()
        };
        Self {
            real: of(real, generated),
            generated: of(generated, real),
        }
    }

    fn estimate(&self) -> f64 {
        let mean = |terms: &[f64]| terms.iter().sum::<f64>() / terms.len() as f64;
        mean(&self.real) + mean(&self.generated)
    }
}

/// Sum of the kernels of rows with these products.
fn kernels(products: &[f64], rows: &RowMatrix) -> f64 {
    let width = rows.columns() as f64;
    products.iter().map(|p| (p / width + 1.0).powi(3)).sum()
}
