//! By how much one loss is above another on the same images.

use serde::{Deserialize, Serialize};

use super::bootstrap::{percentiles, resample};
use super::{Bootstrap, Interval};
use crate::error::EvalError;

/// By how many per cent the mean of one loss is above that of another, measured on the same draws of the same images. Much
/// of what makes an image hard is the same for both, so this is known far better than either mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rise {
    /// The estimate; below 0 where the other is smaller.
    pub percent: f64,
    /// 95 % over draws of images, each with both of its losses. Other trainings of the models are not in it.
    pub interval: Option<Interval>,
}

impl Rise {
    /// For whoever has no reason to choose another: it costs next to nothing.
    pub const BOOTSTRAP: Bootstrap = Bootstrap {
        seed: 0,
        resamples: 1000,
    };

    /// Of the losses of two models, one of each an image and in the same order. Of a single image there is no interval.
    ///
    /// # Errors
    /// [`EvalError::Unpaired`] for other numbers of images than one another, [`EvalError::TooFewImages`] for none.
    pub fn of(base: &[f64], other: &[f64], bootstrap: &Bootstrap) -> Result<Self, EvalError> {
        if base.len() != other.len() {
            return Err(EvalError::Unpaired {
                base: base.len(),
                other: other.len(),
            });
        }
        super::features::at_least(1, base.len(), "measured")?;
        let percent = |rows: &mut dyn Iterator<Item = usize>| {
            let add = |(a, b): (f64, f64), row: usize| (a + base[row], b + other[row]);
            let (a, b) = rows.fold((0.0, 0.0), add);
            100.0 * (b / a - 1.0)
        };
        let drawn = bootstrap.draws(|stream| {
            let rows = resample(stream, base.len());
            Ok(percent(&mut rows.into_iter()))
        })?;
        Ok(Self {
            percent: percent(&mut (0..base.len())),
            interval: percentiles(drawn).filter(|_| base.len() > 1),
        })
    }
}

impl std::fmt::Display for Rise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:+.1} %", self.percent)?;
        match self.interval {
            Some(Interval { low, high }) => write!(f, " ({low:+.1} to {high:+.1})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap {
        seed: 5,
        resamples: 4000,
    };

    /// Every image is twice as hard as the one before, and 10 % harder for the other model: the rise is exact, however
    /// far apart the images are.
    #[test]
    fn what_images_have_in_common_is_in_no_interval() {
        let base: Vec<f64> = (0..12).map(|i| f64::from(1 << i)).collect();
        let other: Vec<f64> = base.iter().map(|x| 1.1 * x).collect();
        let found = Rise::of(&base, &other, &BOOTSTRAP).unwrap();
        let Interval { low, high } = found.interval.unwrap();
        for value in [found.percent, low, high] {
            assert!((value - 10.0).abs() < 1e-9, "{found:?}");
        }
        assert_eq!(found.to_string(), "+10.0 % (+10.0 to +10.0)");
    }

    /// With equal losses of the first model, the rise is a mean, whose interval is that of the normal approximation.
    #[test]
    fn an_interval_is_that_of_the_mean_where_the_first_losses_are_equal() {
        let base = [2.0; 400];
        let other: Vec<f64> = (0..400).map(|i| 2.0 + f64::from(i % 20) / 100.0).collect();
        let found = Rise::of(&base, &other, &BOOTSTRAP).unwrap();
        assert!((found.percent - 4.75).abs() < 1e-9);
        let half = 1.959_964 * (399.0_f64 / 12.0).sqrt() / 20.0 / 2.0;
        let Interval { low, high } = found.interval.unwrap();
        assert!((low - (4.75 - half)).abs() < 0.05 * half, "{found:?}");
        assert!((high - (4.75 + half)).abs() < 0.05 * half, "{found:?}");
        let none = Bootstrap {
            resamples: 0,
            ..BOOTSTRAP
        };
        assert_eq!(Rise::of(&base, &other, &none).unwrap().interval, None);
        assert_eq!(Rise::of(&[1.0], &[2.0], &BOOTSTRAP).unwrap().interval, None);
        assert!(Rise::of(&[], &[], &none).is_err());
        let unpaired = Rise::of(&base, &other[1..], &none).unwrap_err().to_string();
        assert!(unpaired.contains("400 and 399"), "{unpaired}");
    }
}
