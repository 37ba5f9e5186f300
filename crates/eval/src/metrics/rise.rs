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
    /// Of pairs (loss, the other loss), one an image.
    ///
    /// # Errors
    /// [`EvalError::TooFewImages`] for no image.
    pub fn of(pairs: &[(f64, f64)], bootstrap: &Bootstrap) -> Result<Self, EvalError> {
        super::features::at_least(1, pairs.len(), "measured")?;
        let percent = |rows: &mut dyn Iterator<Item = usize>| {
            let add = |(a, b): (f64, f64), row: usize| (a + pairs[row].0, b + pairs[row].1);
            let (base, other) = rows.fold((0.0, 0.0), add);
            100.0 * (other / base - 1.0)
        };
        let drawn = bootstrap.draws(|stream| {
            let rows = resample(stream, pairs.len());
            Ok(percent(&mut rows.into_iter()))
        })?;
        Ok(Self {
            percent: percent(&mut (0..pairs.len())),
            interval: percentiles(drawn),
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
        let pairs: Vec<(f64, f64)> = (0..12)
            .map(|i| f64::from(1 << i))
            .map(|x| (x, 1.1 * x))
            .collect();
        let found = Rise::of(&pairs, &BOOTSTRAP).unwrap();
        let Interval { low, high } = found.interval.unwrap();
        for value in [found.percent, low, high] {
            assert!((value - 10.0).abs() < 1e-9, "{found:?}");
        }
        assert_eq!(found.to_string(), "+10.0 % (+10.0 to +10.0)");
    }

    /// With equal losses of the first model, the rise is a mean, whose interval is that of the normal approximation.
    #[test]
    fn an_interval_is_that_of_the_mean_where_the_first_losses_are_equal() {
        let pairs: Vec<(f64, f64)> = (0..400)
            .map(|i| (2.0, 2.0 + f64::from(i % 20) / 100.0))
            .collect();
        let found = Rise::of(&pairs, &BOOTSTRAP).unwrap();
        assert!((found.percent - 4.75).abs() < 1e-9);
        let half = 1.959_964 * (399.0_f64 / 12.0).sqrt() / 20.0 / 2.0;
        let Interval { low, high } = found.interval.unwrap();
        assert!((low - (4.75 - half)).abs() < 0.05 * half, "{found:?}");
        assert!((high - (4.75 + half)).abs() < 0.05 * half, "{found:?}");
        let none = Bootstrap {
            resamples: 0,
            ..BOOTSTRAP
        };
        assert_eq!(Rise::of(&pairs, &none).unwrap().interval, None);
        assert!(Rise::of(&[], &none).is_err());
    }
}
