//! Classes blended into one when sampling.

use crate::{
    dit::Dit,
    error::{Error, Result},
    params,
};
use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use std::ops::Range;

/// Classes, and how strongly each is on.
///
/// Tailors run with these weights as they are: two at 1 are both fully on, one at 0.5 is half itself. The label is the
/// mean of the classes' rows in these proportions, so it stays among the rows that were trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Blend(Vec<(usize, f32)>);

impl Blend {
    /// A blend of (class, weight).
    ///
    /// # Errors
    /// A weight that is negative or not finite, none above zero, a class that is named twice.
    pub fn new(weights: Vec<(usize, f32)>) -> Result<Self> {
        let fail = |expected: &str, found: String| {
            Err(Error::Input {
                what: "blend",
                expected: expected.into(),
                found,
            })
        };
        for (i, &(class, weight)) in weights.iter().enumerate() {
            if !weight.is_finite() || weight < 0.0 {
                return fail("finite weights of 0 or more", format!("{weight}"));
            }
            if weights[..i].iter().any(|other| other.0 == class) {
                return fail("each class once", format!("class number {class} twice"));
            }
        }
        match total(&weights) {
            sum if sum > 0.0 => Ok(Self(weights)),
            _ => fail("a weight above 0", "none".into()),
        }
    }

    /// What it switches on: the (class, weight) of a [`crate::ClassGate`].
    pub fn weights(&self) -> &[(usize, f32)] {
        &self.0
    }

    /// The mean of rows of length `width`.
    fn row(&self, rows: &[f32], width: usize) -> Vec<f32> {
        let mut mean = vec![0.0; width];
        for &(class, weight) in &self.0 {
            let share = (f64::from(weight) / total(&self.0)) as f32;
            let row = &rows[class * width..(class + 1) * width];
            mean.iter_mut().zip(row).for_each(|(m, r)| *m += share * r);
        }
        mean
    }
}

fn total(weights: &[(usize, f32)]) -> f64 {
    weights.iter().map(|w| f64::from(w.1)).sum()
}

impl Dit {
    /// The model with a label more for each blend, and the numbers of these labels. Everything but the label table is
    /// shared; the tailors of a blend are what the gate says.
    ///
    /// # Errors
    /// A class that the model does not have.
    pub fn with_blends(&self, blends: &[Blend]) -> Result<(Self, Range<usize>)> {
        let (classes, width) = (self.config().num_classes, self.config().hidden);
        let mut all = blends.iter().flat_map(|blend| &blend.0);
        if let Some((class, _)) = all.find(|weight| weight.0 >= classes) {
            return Err(Error::Input {
                what: "blend",
                expected: format!("classes below {classes}"),
                found: class.to_string(),
            });
        }
        let rows = params::to_vec(self.label.table.val());
        let null = &rows[classes * width..];
        let mut table = rows[..classes * width].to_vec();
        table.extend(blends.iter().flat_map(|blend| blend.row(&rows, width)));
        table.extend(null);
        let labels = classes..classes + blends.len();
        let table = TensorData::new(table, [labels.end + 1, width]);
        let table = Tensor::from_data(table, &self.device());
        let mut model = self.with_classes(labels.end);
        model.label.table = Param::from_tensor(table);
        Ok((model, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DitConfig, FactorInit};
    use burn::tensor::Device;

    #[test]
    fn a_label_is_the_mean_of_rows_in_these_proportions() {
        let config = DitConfig::from_size("dit-micro/4", [3, 8, 8], 3).unwrap();
        let model = Dit::init(&config, FactorInit::Orthogonal, 1, &Device::flex()).unwrap();
        let blends = [vec![(2, 0.5)], vec![(0, 3.0), (1, 0.0), (2, 1.0)]];
        let blends = blends.map(|weights| Blend::new(weights).unwrap());
        let (blended, labels) = model.with_blends(&blends).unwrap();
        assert_eq!((labels, blended.config().null_label()), (3..5, 5));
        let row = |model: &Dit, i: usize| {
            let table = params::to_vec(model.label.table.val());
            table[i * 96..(i + 1) * 96].to_vec()
        };
        for (new, old) in [(0, 0), (1, 1), (2, 2), (3, 2), (5, 3)] {
            assert_eq!(row(&blended, new), row(&model, old), "row {new}");
        }
        let (mixed, a, b) = (row(&blended, 4), row(&model, 0), row(&model, 2));
        for j in 0..96 {
            assert!((mixed[j] - (0.75 * a[j] + 0.25 * b[j])).abs() < 1e-7);
        }
    }

    #[test]
    fn weights_that_mean_nothing_are_refused() {
        let refused = |weights: &[(usize, f32)]| {
            let error = Blend::new(weights.to_vec()).unwrap_err();
            error.to_string()
        };
        for (text, part) in [
            (refused(&[]), "a weight above 0"),
            (refused(&[(0, 0.0), (1, 0.0)]), "a weight above 0"),
            (refused(&[(0, -0.5), (1, 1.5)]), "found -0.5"),
            (refused(&[(0, f32::NAN)]), "found NaN"),
            (refused(&[(0, f32::INFINITY)]), "found inf"),
            (refused(&[(1, 0.5), (1, 0.5)]), "class number 1 twice"),
        ] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
        let config = DitConfig::from_size("dit-micro/4", [3, 8, 8], 3).unwrap();
        let model = Dit::init(&config, FactorInit::Orthogonal, 1, &Device::flex()).unwrap();
        let beyond = [Blend::new(vec![(3, 1.0)]).unwrap()];
        let text = model.with_blends(&beyond).unwrap_err().to_string();
        assert!(text.contains("classes below 3"), "{text}");
    }
}
