//! The class probe: a linear classifier on fixed features, which judges what class an image looks like.
//!
//! With features standardised to mean 0 and variance 1 over the `n` training rows (`X`, `[n, d]`) and
//! centred one-hot targets (`Y`, `[n, classes]`) the weights minimise
//!
//! ```text
//! |Y - X W|^2 / n + lambda |W|^2
//! ```
//!
//! so that `lambda` means the same for any number of rows. The solution comes from the smaller of two
//! systems: `W = (X'X + n lambda I)^-1 X'Y` (`[d, d]`) or `W = X' (XX' + n lambda I)^-1 Y` (`[n, n]`).

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};

use crate::error::EvalError;
use crate::matrix::{RowMatrix, check_finite};
use crate::rates::check_labels;

/// Rows with the class of each.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// One row of features per image.
    pub features: &'a RowMatrix,
    /// One class per row, counted from 0.
    pub labels: &'a [usize],
}

/// A fitted classifier.
#[derive(Debug, Clone)]
pub struct Probe {
    standard: Standardiser,
    /// `[columns, classes]`.
    weights: Mat<f64>,
    /// Share of each class among the training rows.
    intercept: Vec<f64>,
    lambda: f64,
}

/// A probe and how its penalty was found.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The probe with the best validation accuracy.
    pub probe: Probe,
    /// (lambda, validation accuracy) of every value that was tried.
    pub tried: Vec<(f64, f64)>,
}

impl Probe {
    /// Penalties that [`Self::select`] usually tries: with 1,280 features and a thousand rows the best one
    /// has lain well inside this range.
    pub const LAMBDAS: [f64; 6] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

    /// Fits with a given penalty. A class without rows is never predicted.
    ///
    /// # Errors
    /// [`EvalError::LabelCount`], [`EvalError::LabelRange`], [`EvalError::NotFinite`],
    /// [`EvalError::Penalty`] or [`EvalError::Singular`].
    pub fn fit(train: Labelled<'_>, classes: usize, lambda: f64) -> Result<Self, EvalError> {
        System::new(train, classes)?.solve(lambda)
    }

    /// Fits once per penalty and keeps the fit with the highest accuracy on `validation`; of equals the
    /// one with the largest penalty.
    ///
    /// # Errors
    /// As [`Self::fit`], for both sets; [`EvalError::Penalty`] if `lambdas` is empty.
    pub fn select(
        train: Labelled<'_>,
        validation: Labelled<'_>,
        classes: usize,
        lambdas: &[f64],
    ) -> Result<Selection, EvalError> {
        check(validation, classes)?;
        let system = System::new(train, classes)?;
        let mut best: Option<(f64, Self)> = None;
        let mut tried = Vec::with_capacity(lambdas.len());
        for &lambda in lambdas {
            let probe = system.solve(lambda)?;
            let accuracy = probe.accuracy(validation)?;
            tried.push((lambda, accuracy));
            let better = best.as_ref().is_none_or(|(top, kept)| {
                accuracy > *top || (accuracy == *top && lambda > kept.lambda)
            });
            if better {
                best = Some((accuracy, probe));
            }
        }
        let Some((_, probe)) = best else {
            return Err(EvalError::Penalty {
                found: "an empty list".to_owned(),
            });
        };
        Ok(Selection { probe, tried })
    }

    /// One row of scores per row of features, one column per class. They are fitted to 1 for the class and
    /// 0 for all others, but are no probabilities.
    ///
    /// # Errors
    /// [`EvalError::Width`] for rows of another length than those of the fit, [`EvalError::NotFinite`] for
    /// the first row with a NaN or an infinity.
    pub fn scores(&self, features: &RowMatrix) -> Result<RowMatrix, EvalError> {
        if features.columns() != self.standard.mean.len() {
            return Err(EvalError::Width {
                expected: self.standard.mean.len(),
                found: features.columns(),
            });
        }
        check_finite(features)?;
        let scores = self.standard.apply(features) * &self.weights;
        let classes = self.intercept.len();
        let rows = (0..features.rows()).flat_map(|row| (0..classes).map(move |class| (row, class)));
        let values = rows.map(|(row, class)| (scores[(row, class)] + self.intercept[class]) as f32);
        RowMatrix::new(classes, values.collect())
    }

    /// The class with the highest score, for each row.
    ///
    /// # Errors
    /// As [`Self::scores`].
    pub fn predict(&self, features: &RowMatrix) -> Result<Vec<usize>, EvalError> {
        Ok(self.scores(features)?.argmax())
    }

    /// The penalty of this fit.
    pub fn lambda(&self) -> f64 {
        self.lambda
    }

    fn accuracy(&self, set: Labelled<'_>) -> Result<f64, EvalError> {
        let predicted = self.predict(set.features)?;
        let hits = predicted
            .iter()
            .zip(set.labels)
            .filter(|(a, b)| a == b)
            .count();
        Ok(hits as f64 / set.labels.len() as f64)
    }
}

/// Everything about a fit that does not depend on the penalty.
struct System {
    standard: Standardiser,
    x: Mat<f64>,
    /// `X'X` if there are at least as many rows as columns (primal), else `XX'` (dual).
    gram: Mat<f64>,
    /// `X'Y` (primal) or `Y` (dual).
    right: Mat<f64>,
    intercept: Vec<f64>,
    primal: bool,
}

impl System {
    fn new(train: Labelled<'_>, classes: usize) -> Result<Self, EvalError> {
        check(train, classes)?;
        let rows = train.features.rows();
        let mut intercept = vec![0.0; classes];
        for &label in train.labels {
            intercept[label] += 1.0 / rows as f64;
        }
        let y = Mat::from_fn(rows, classes, |row, class| {
            f64::from(u8::from(train.labels[row] == class)) - intercept[class]
        });
        let standard = Standardiser::fit(train.features);
        let x = standard.apply(train.features);
        let primal = rows >= x.ncols();
        let (gram, right) = if primal {
            (x.transpose() * &x, x.transpose() * &y)
        } else {
            (&x * x.transpose(), y)
        };
        Ok(Self {
            standard,
            x,
            gram,
            right,
            intercept,
            primal,
        })
    }

    fn solve(&self, lambda: f64) -> Result<Probe, EvalError> {
        if !(lambda.is_finite() && lambda > 0.0) {
            return Err(EvalError::Penalty {
                found: lambda.to_string(),
            });
        }
        let mut matrix = self.gram.clone();
        for i in 0..matrix.nrows() {
            matrix[(i, i)] += lambda * self.x.nrows() as f64;
        }
        let factor =
            Llt::new(matrix.as_ref(), Side::Lower).map_err(|_| EvalError::Singular { lambda })?;
        let solution = factor.solve(&self.right);
        Ok(Probe {
            standard: self.standard.clone(),
            weights: if self.primal {
                solution
            } else {
                self.x.transpose() * solution
            },
            intercept: self.intercept.clone(),
            lambda,
        })
    }
}

/// Shifts and scales each column by the mean and the deviation of the training rows.
#[derive(Debug, Clone)]
struct Standardiser {
    mean: Vec<f64>,
    /// Reciprocal of the deviation; 0 for a column that does not vary.
    scale: Vec<f64>,
}

impl Standardiser {
    fn fit(features: &RowMatrix) -> Self {
        let rows = features.rows() as f64;
        let mut mean = vec![0.0; features.columns()];
        for row in features.iter() {
            for (mean, &value) in mean.iter_mut().zip(row) {
                *mean += f64::from(value) / rows;
            }
        }
        let mut variance = vec![0.0; features.columns()];
        for row in features.iter() {
            for ((variance, mean), &value) in variance.iter_mut().zip(&mean).zip(row) {
                *variance += (f64::from(value) - mean).powi(2) / rows;
            }
        }
        // A constant column keeps a variance of rounding errors, some 1e-32 of its square.
        let scale = variance
            .iter()
            .zip(&mean)
            .map(|(&variance, mean): (&f64, &f64)| {
                if variance > 1e-24 * mean * mean {
                    variance.sqrt().recip()
                } else {
                    0.0
                }
            });
        Self {
            scale: scale.collect(),
            mean,
        }
    }

    fn apply(&self, features: &RowMatrix) -> Mat<f64> {
        let (columns, values) = (features.columns(), features.values());
        Mat::from_fn(features.rows(), columns, |row, column| {
            (f64::from(values[row * columns + column]) - self.mean[column]) * self.scale[column]
        })
    }
}

fn check(set: Labelled<'_>, classes: usize) -> Result<(), EvalError> {
    let (rows, labels) = (set.features.rows(), set.labels.len());
    if rows != labels || rows == 0 {
        return Err(EvalError::LabelCount { rows, labels });
    }
    check_labels(set.labels, classes)?;
    check_finite(set.features)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: &[&[f32]]) -> RowMatrix {
        RowMatrix::new(rows[0].len(), rows.concat()).unwrap()
    }

    /// Standardised orthogonal columns have `X'X = n I`, so `W = X'Y / (n (1 + lambda))`: the columns of a
    /// Hadamard matrix, given with an offset and a scale that standardising must undo.
    #[test]
    fn orthogonal_design_has_the_closed_form() {
        let design = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0_f32]];
        let given: Vec<f32> = design
            .iter()
            .flat_map(|[a, b]| [5.0 + 3.0 * a, 0.5 * b - 7.0])
            .collect();
        let features = RowMatrix::new(2, given).unwrap();
        let labels = [0, 0, 1, 0];
        let lambda = 0.6;
        let train = Labelled {
            features: &features,
            labels: &labels,
        };
        let scores = Probe::fit(train, 2, lambda)
            .unwrap()
            .scores(&features)
            .unwrap();
        for (row, found) in design.iter().zip(scores.iter()) {
            // X'Y for class 1 (y = 0, 0, 1, 0): column a gives -1, column b gives +1; the share is 1/4.
            let expected = 0.25 + (row[1] - row[0]) / (4.0 * (1.0 + lambda as f32));
            assert!((found[1] - expected).abs() < 1e-6, "{found:?} {expected}");
            assert!(
                (found[0] - (1.0 - expected)).abs() < 1e-6,
                "{found:?} {expected}"
            );
        }
    }

    /// `m` copies of one standardised column share the weight: `w = x'y / (n (m + lambda))` each, so the
    /// score is `share + m w x`. With fewer rows than columns this goes through the dual system.
    #[test]
    fn copied_columns_share_the_weight_in_the_dual_system() {
        let copies = 7;
        let values = [1.0, 1.0, -1.0, -1.0_f32];
        let features = values
            .iter()
            .flat_map(|&value| vec![value; copies])
            .collect();
        let features = RowMatrix::new(copies, features).unwrap();
        let labels = [1, 0, 0, 0];
        let lambda = 0.5;
        let train = Labelled {
            features: &features,
            labels: &labels,
        };
        let scores = Probe::fit(train, 2, lambda)
            .unwrap()
            .scores(&features)
            .unwrap();
        let weight = 0.25 / (copies as f32 + lambda as f32);
        for (x, found) in values.iter().zip(scores.iter()) {
            let expected = 0.25 + copies as f32 * weight * x;
            assert!((found[1] - expected).abs() < 1e-6, "{found:?} {expected}");
        }
    }

    #[test]
    fn validation_picks_the_penalty_and_breaks_ties_upwards() {
        let features = matrix(&[&[0.0, 1.0], &[0.2, 1.0], &[1.0, 1.0], &[1.2, 1.0]]);
        let train = Labelled {
            features: &features,
            labels: &[0, 0, 1, 1],
        };
        let found = Probe::select(train, train, 2, &[0.1, 1.0, 0.3]).unwrap();
        assert_eq!(found.tried, [(0.1, 1.0), (1.0, 1.0), (0.3, 1.0)]);
        assert_eq!(found.probe.lambda(), 1.0);
        assert_eq!(found.probe.predict(&features).unwrap(), [0, 0, 1, 1]);
    }

    #[test]
    fn bad_input_is_refused() {
        let features = matrix(&[&[0.0], &[1.0]]);
        let fit = |labels: &[usize], lambda| {
            Probe::fit(
                Labelled {
                    features: &features,
                    labels,
                },
                2,
                lambda,
            )
        };
        assert!(matches!(
            fit(&[0], 1.0),
            Err(EvalError::LabelCount { rows: 2, labels: 1 })
        ));
        assert!(matches!(
            fit(&[0, 2], 1.0),
            Err(EvalError::LabelRange {
                index: 1,
                label: 2,
                ..
            })
        ));
        assert!(matches!(fit(&[0, 1], 0.0), Err(EvalError::Penalty { .. })));
        assert!(matches!(
            fit(&[0, 1], f64::NAN),
            Err(EvalError::Penalty { .. })
        ));
        let probe = fit(&[0, 1], 1.0).unwrap();
        assert!(matches!(
            probe.scores(&matrix(&[&[0.0, 1.0]])),
            Err(EvalError::Width { .. })
        ));
        assert!(matches!(
            probe.scores(&matrix(&[&[0.0], &[f32::NAN]])),
            Err(EvalError::NotFinite { row: 1 })
        ));
        let train = Labelled {
            features: &features,
            labels: &[0, 1],
        };
        assert!(matches!(
            Probe::select(train, train, 2, &[]),
            Err(EvalError::Penalty { .. })
        ));
    }
}
