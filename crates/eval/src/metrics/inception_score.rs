//! The inception score (Salimans et al., arXiv 1606.03498): `exp E KL(p(y | x) || p(y))`, the mean over splits.

use learngene_data::{Purpose, Stream};

use super::bootstrap::{percentiles, resample};
use super::features::{Features, Layer, Network, at_least};
use super::{Bootstrap, Caveat, Measure};
use crate::error::EvalError;
use crate::matrix::RowMatrix;

/// Splits of the published scores.
pub const SPLITS: usize = 10;
/// Images that a split needs; with fewer the score is little more than their number.
const SPLIT_IMAGES: usize = 500;

/// The inception score from logits of InceptionV3: the mean over [`SPLITS`] random splits, or over fewer where they would
/// hold less than 500 images, with a caveat.
///
/// The interval is over draws of the images. Drawing images twice makes a set less varied, so the spread is laid around
/// the value.
///
/// # Errors
/// [`EvalError::NotLogits`] for other features, [`EvalError::TooFewImages`] for none.
pub fn inception_score(logits: &Features, bootstrap: &Bootstrap) -> Result<Measure, EvalError> {
    let origin = logits.origin();
    if (origin.network, origin.layer) != (Network::InceptionV3, Layer::Logits) {
        return Err(EvalError::NotLogits);
    }
    let rows = logits.rows();
    at_least(2, rows.rows(), "generated")?;
    let splits = (rows.rows() / SPLIT_IMAGES).clamp(1, SPLITS);
    let probabilities = Probabilities::of(rows);
    let order = Stream::new(bootstrap.seed, 0, Purpose::Metric).permutation(rows.rows());
    let value = probabilities.score(&order, splits);
    let draws = bootstrap
        .draws(|stream| Ok(probabilities.score(&resample(stream, rows.rows()), splits)))?;
    let mean = draws.iter().sum::<f64>() / draws.len() as f64;
    let interval = percentiles(draws).map(|mut interval| {
        interval.low = (interval.low + value - mean).max(1.0);
        interval.high += value - mean;
        interval
    });
    Ok(Measure {
        name: "inception score".to_owned(),
        value,
        real: 0,
        generated: rows.rows(),
        interval,
        caveats: (splits < SPLITS)
            .then_some(Caveat::FewerSplits { splits })
            .into_iter()
            .collect(),
    })
}

/// Softmax of logits, and the negative entropy of each row.
struct Probabilities {
    columns: usize,
    values: Vec<f64>,
    information: Vec<f64>,
}

impl Probabilities {
    fn of(logits: &RowMatrix) -> Self {
        let mut values = Vec::with_capacity(logits.values().len());
        let mut information = Vec::with_capacity(logits.rows());
        for row in logits.iter() {
            let most = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let sum: f64 = row.iter().map(|&v| (f64::from(v) - most).exp()).sum();
            let logs = row.iter().map(|&v| f64::from(v) - most - sum.ln());
            information.push(logs.clone().map(|log| log.exp() * log).sum());
            values.extend(logs.map(f64::exp));
        }
        Self {
            columns: logits.columns(),
            values,
            information,
        }
    }

    /// The mean score of the rows in `order`, cut into `splits` parts.
    fn score(&self, order: &[usize], splits: usize) -> f64 {
        let of_split = |split: usize| {
            let rows = &order[split * order.len() / splits..(split + 1) * order.len() / splits];
            let count = rows.len() as f64;
            let mut mean = vec![0.0; self.columns];
            let mut information = 0.0;
            for &row in rows {
                information += self.information[row] / count;
                let values = &self.values[row * self.columns..][..self.columns];
                for (mean, value) in mean.iter_mut().zip(values) {
                    *mean += value / count;
                }
            }
            // A class that no image can be has no part in the sum.
            let entropy = mean.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln());
            (information + entropy.sum::<f64>()).exp()
        };
        (0..splits).map(of_split).sum::<f64>() / splits as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/reference/metrics.py`: torch-fidelity without shuffling, 3 splits of 150 rows of 24 values.
    #[test]
    fn score_of_rows_in_order_is_that_of_torch_fidelity() {
        let reference: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/reference/metrics.json")).unwrap();
        let rows = crate::matrix::tests::generated(150, 24);
        let logits: Vec<f32> = rows.values().iter().map(|v| v * 8.0).collect();
        let logits = RowMatrix::new(24, logits).unwrap();
        let order: Vec<usize> = (0..150).collect();
        let found = Probabilities::of(&logits).score(&order, 3);
        let expected = reference["inception_score"].as_f64().unwrap();
        assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
    }
}
