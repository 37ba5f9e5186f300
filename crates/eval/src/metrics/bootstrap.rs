//! Percentile bootstrap intervals (Efron and Tibshirani 1993, chapter 13).

use learngene_data::{Purpose, Stream};
use rayon::prelude::*;

use super::measure::Interval;
use crate::error::EvalError;

/// Ends of a 95 % interval, as shares of the resamples below them.
const ENDS: [f64; 2] = [0.025, 0.975];

/// How intervals are found.
#[derive(Debug, Clone, Copy)]
pub struct Bootstrap {
    /// Seed of all draws; equal seeds give equal intervals, whatever the number of threads.
    pub seed: u64,
    /// Number of resamples; 0 for no intervals.
    pub resamples: usize,
}

impl Bootstrap {
    /// Values of a statistic on resamples. Each gets a random stream of its own.
    pub(super) fn draws(
        &self,
        statistic: impl Fn(&mut Stream) -> Result<f64, EvalError> + Sync,
    ) -> Result<Vec<f64>, EvalError> {
        let draw =
            |index: usize| statistic(&mut Stream::new(self.seed, index as u64, Purpose::Metric));
        (0..self.resamples).into_par_iter().map(draw).collect()
    }

    /// Interval of a sum of means, each over rows of its own that are drawn again independently.
    pub(super) fn of_means(&self, sets: &[&[f64]]) -> Result<Option<Interval>, EvalError> {
        let mean = |stream: &mut Stream, values: &[f64]| {
            let drawn = (0..values.len()).map(|_| values[stream.below(values.len())]);
            drawn.sum::<f64>() / values.len() as f64
        };
        let draws = self.draws(|stream| Ok(sets.iter().map(|set| mean(stream, set)).sum()))?;
        Ok(percentiles(draws))
    }
}

/// As many row numbers as there are rows, drawn with replacement.
pub(super) fn resample(stream: &mut Stream, rows: usize) -> Vec<usize> {
    (0..rows).map(|_| stream.below(rows)).collect()
}

/// The interval that holds 95 % of the draws.
pub(super) fn percentiles(mut draws: Vec<f64>) -> Option<Interval> {
    draws.sort_by(f64::total_cmp);
    let [low, high] = ENDS.map(|share| quantile(&draws, share));
    Some(Interval {
        low: low?,
        high: high?,
    })
}

/// Linear interpolation between order statistics (number 7 of Hyndman and Fan 1996).
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let position = share * sorted.len().checked_sub(1)? as f64;
    let below = sorted[position as usize];
    let above = sorted.get(position as usize + 1).unwrap_or(&below);
    Some(below + position.fract() * (above - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([1, 2, 4, 8, 16], [0.025, 0.975, 1]) gives 1.1, 15.2, 16.
        let values = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (share, expected) in [(0.025, 1.1), (0.975, 15.2), (1.0, 16.0)] {
            assert!((quantile(&values, share).unwrap() - expected).abs() < 1e-12);
        }
        assert_eq!(quantile(&[], 0.5), None);
    }

    /// The mean of n values has the standard error s / sqrt(n), and 95 % of a normal distribution lie within 1.96 of it.
    #[test]
    fn interval_of_a_mean_is_that_of_the_normal_approximation() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let bootstrap = Bootstrap {
            seed: 3,
            resamples: 4000,
        };
        let found = bootstrap.of_means(&[&values]).unwrap().unwrap();
        let half = 1.959_964 * (399.0_f64 / 12.0).sqrt() / 20.0;
        assert!((found.low - (9.5 - half)).abs() < 0.05 * half, "{found:?}");
        assert!((found.high - (9.5 + half)).abs() < 0.05 * half, "{found:?}");
        assert_eq!(bootstrap.of_means(&[&values]).unwrap().unwrap(), found);
        let none = Bootstrap {
            resamples: 0,
            ..bootstrap
        };
        assert_eq!(none.of_means(&[&values]).unwrap(), None);
    }
}
