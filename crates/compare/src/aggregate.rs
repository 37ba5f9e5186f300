//! Means and deviations over seeds.

use serde::Serialize;

/// Values of several seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stat {
    /// How many.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (divided by n - 1); none of a single value.
    pub sd: Option<f64>,
}

impl Stat {
    /// Of these values; nothing of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        Some(Self {
            n,
            mean,
            sd: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()),
        })
    }

    /// Both numbers with so many digits behind the point.
    pub fn text(&self, digits: usize) -> String {
        match self.sd {
            None => format!("{:.digits$}", self.mean),
            Some(sd) => format!("{:.digits$} \u{b1} {sd:.digits$}", self.mean),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NumPy 2.4: `x = numpy.array([0.1056, 0.1071, 0.1049]); x.mean(), x.std(ddof=1)` gives 0.10586666666666666 and
    /// 0.0011239810200058277.
    #[test]
    fn mean_and_deviation_are_those_of_numpy() {
        let found = Stat::of([0.1056, 0.1071, 0.1049]).unwrap();
        assert_eq!(found.n, 3);
        assert!((found.mean - 0.105_866_666_666_666_66).abs() < 1e-15);
        assert!((found.sd.unwrap() - 0.001_123_981_020_005_827_7).abs() < 1e-15);
        assert_eq!(found.text(4), "0.1059 \u{b1} 0.0011");
    }

    #[test]
    fn one_value_has_no_deviation_and_none_no_mean() {
        let one = Stat::of([2.5]).unwrap();
        assert_eq!((one.mean, one.sd), (2.5, None));
        assert_eq!(one.text(1), "2.5");
        assert_eq!(Stat::of([]), None);
    }
}
