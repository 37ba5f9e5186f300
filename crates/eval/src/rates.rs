//! Shares of right answers, with the counts and the uncertainty that belong to them.

use serde::{Deserialize, Serialize};

use crate::error::EvalError;

/// Two-sided 95 % quantile of the standard normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// A binomial share: `hits` of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// How often it happened.
    pub hits: usize,
    /// How often it could have happened.
    pub count: usize,
    /// `hits / count`; none if nothing was counted.
    pub rate: Option<f64>,
    /// Lower end of the 95 % Wilson interval, in [0, 1].
    pub low: f64,
    /// Upper end of the 95 % Wilson interval, in [0, 1].
    pub high: f64,
}

impl Rate {
    /// A share with the 95 % score interval of Wilson (JASA 22, 1927), which unlike the usual
    /// `p +- 1.96 s` stays inside [0, 1] and does not collapse at 0 or `count` hits. Without any count the
    /// interval is [0, 1]. `hits` above `count` are cut.
    pub fn new(hits: usize, count: usize) -> Self {
        let hits = hits.min(count);
        if count == 0 {
            return Self {
                hits,
                count,
                rate: None,
                low: 0.0,
                high: 1.0,
            };
        }
        let n = count as f64;
        let p = hits as f64 / n;
        let z2 = Z95 * Z95;
        let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        Self {
            hits,
            count,
            rate: Some(p),
            low: if hits == 0 {
                0.0
            } else {
                (centre - half).max(0.0)
            },
            high: if hits == count {
                1.0
            } else {
                (centre + half).min(1.0)
            },
        }
    }
}

/// How well predicted classes agree with true ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Over all images.
    pub overall: Rate,
    /// Per true class.
    pub per_class: Vec<Rate>,
    /// `confusion[true][predicted]`: number of images.
    pub confusion: Vec<Vec<usize>>,
}

impl Rates {
    /// Counts agreement between `labels` and `predicted`, both below `classes`.
    ///
    /// # Errors
    /// [`EvalError::LabelCount`] if the lists differ in length, [`EvalError::LabelRange`] for the first
    /// entry that names no class.
    pub fn new(labels: &[usize], predicted: &[usize], classes: usize) -> Result<Self, EvalError> {
        if labels.len() != predicted.len() {
            return Err(EvalError::LabelCount {
                rows: predicted.len(),
                labels: labels.len(),
            });
        }
        check_labels(labels, classes)?;
        check_labels(predicted, classes)?;
        let mut confusion = vec![vec![0; classes]; classes];
        for (&label, &answer) in labels.iter().zip(predicted) {
            confusion[label][answer] += 1;
        }
        let per_class: Vec<Rate> = confusion
            .iter()
            .enumerate()
            .map(|(class, row)| Rate::new(row[class], row.iter().sum()))
            .collect();
        let hits = per_class.iter().map(|rate| rate.hits).sum();
        Ok(Self {
            overall: Rate::new(hits, labels.len()),
            per_class,
            confusion,
        })
    }
}

/// Refuses the first label that is not below `classes`.
pub(crate) fn check_labels(labels: &[usize], classes: usize) -> Result<(), EvalError> {
    match labels.iter().position(|&label| label >= classes) {
        None => Ok(()),
        Some(index) => Err(EvalError::LabelRange {
            index,
            label: labels[index],
            classes,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (hits, count, low, high) of statsmodels 0.15.0, `proportion_confint(hits, count, method="wilson")`.
    const WILSON: [(usize, usize, f64, f64); 5] = [
        (0, 10, 0.0, 0.277_532_799_862_889_26),
        (17, 20, 0.639_581_135_259_243, 0.947_631_254_103_783_3),
        (20, 20, 0.838_874_841_947_180_4, 1.0),
        (1, 3, 0.061_491_944_720_396_26, 0.792_340_399_197_952_3),
        (173, 204, 0.792_380_388_137_773_2, 0.890_832_676_309_123_8),
    ];

    #[test]
    fn wilson_interval_agrees_with_statsmodels() {
        for (hits, count, low, high) in WILSON {
            let rate = Rate::new(hits, count);
            assert!(
                (rate.low - low).abs() < 1e-12,
                "{hits}/{count}: {} {low}",
                rate.low
            );
            assert!(
                (rate.high - high).abs() < 1e-12,
                "{hits}/{count}: {} {high}",
                rate.high
            );
        }
    }

    #[test]
    fn nothing_counted_is_not_zero_per_cent() {
        let rate = Rate::new(0, 0);
        assert_eq!((rate.rate, rate.low, rate.high), (None, 0.0, 1.0));
    }

    #[test]
    fn confusion_rows_are_true_classes() {
        let rates = Rates::new(&[0, 0, 0, 1, 1], &[0, 0, 2, 1, 0], 3).unwrap();
        assert_eq!(rates.confusion, [[2, 0, 1], [1, 1, 0], [0, 0, 0]]);
        assert_eq!((rates.overall.hits, rates.overall.count), (3, 5));
        assert_eq!(rates.per_class[2].rate, None);
        assert!(Rates::new(&[0], &[3], 3).is_err());
        assert!(Rates::new(&[0], &[], 3).is_err());
    }
}
