//! `q(x_{t-1} | x_t, x_0)`, the step backwards that is known when the clean image is.

use super::Schedule;

/// Coefficients of the Gaussian `q(x_{t-1} | x_t, x_0)` (Ho et al. 2020, equations 6 and 7).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterior {
    /// Weight of `x_0` in the mean.
    pub x0: f64,
    /// Weight of `x_t` in the mean.
    pub x_t: f64,
    /// The variance; zero at the first step, where `x_0` is known.
    pub variance: f64,
    /// Its logarithm, with the second step's variance in place of the first's zero (the first step's beta
    /// when there is only one step).
    pub log_variance_clipped: f64,
}

impl Schedule {
    /// The posterior of step `index`.
    ///
    /// # Panics
    /// When `index` is not smaller than [`Schedule::len`].
    #[must_use]
    pub fn posterior(&self, index: usize) -> Posterior {
        let before = self.alpha_bar_before(index);
        let beta = self.betas[index];
        let noise = 1.0 - self.alpha_bars[index];
        Posterior {
            x0: beta * before.sqrt() / noise,
            x_t: (1.0 - before) * (1.0 - beta).sqrt() / noise,
            variance: self.posterior_variance(index),
            log_variance_clipped: if self.len() == 1 {
                beta.ln()
            } else {
                self.posterior_variance(index.max(1)).ln()
            },
        }
    }

    fn posterior_variance(&self, index: usize) -> f64 {
        self.betas[index] * (1.0 - self.alpha_bar_before(index)) / (1.0 - self.alpha_bars[index])
    }
}
