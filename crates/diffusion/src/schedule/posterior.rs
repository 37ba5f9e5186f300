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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleKind;
    use proptest::prelude::*;

    /// Numbers from diffusers, whose f32 differences `1 - alpha_bar` lose up to four digits: tests/reference/schedules.py
    #[test]
    fn variances_equal_diffusers() {
        let expected = [
            (
                ScheduleKind::Linear,
                [5.45347939e-05, 5.05172415e-03, 1.99999642e-02],
            ),
            (
                ScheduleKind::Cosine,
                [2.17933593e-05, 1.31759408e-03, 9.98997569e-01],
            ),
        ];
        for (kind, variances) in expected {
            let schedule = Schedule::new(kind, 1000).unwrap();
            for (t, variance) in [1, 250, 999].into_iter().zip(variances) {
                let found = schedule.posterior(t).variance;
                assert!(
                    (found / variance - 1.0).abs() < 1e-3,
                    "{found:e} {variance:e}"
                );
            }
        }
    }

    #[test]
    fn the_first_step_returns_the_image() {
        let schedule = Schedule::new(ScheduleKind::Cosine, 1000).unwrap();
        let first = schedule.posterior(0);
        assert!((first.x0 - 1.0).abs() < 1e-12);
        assert_eq!((first.x_t, first.variance), (0.0, 0.0));
        assert_eq!(
            first.log_variance_clipped,
            schedule.posterior(1).variance.ln()
        );
    }

    #[test]
    fn a_single_step_has_a_finite_log_variance() {
        let schedule = Schedule::new(ScheduleKind::Cosine, 1000)
            .unwrap()
            .respace(1)
            .unwrap();
        assert!(schedule.posterior(0).log_variance_clipped.is_finite());
    }

    proptest! {
        /// Drawing x_t given x_0, then stepping back, must give x_{t-1} given x_0: same mean, same variance.
        #[test]
        fn stepping_back_keeps_the_marginals(steps in 2usize..=1000, linear: bool, share in 0.0..1.0f64) {
            let kind = if linear { ScheduleKind::Linear } else { ScheduleKind::Cosine };
            let schedule = Schedule::new(kind, 1000).unwrap().respace(steps).unwrap();
            let i = (share * steps as f64) as usize;
            let (here, before) = (schedule.alpha_bars()[i], schedule.alpha_bar_before(i));
            let p = schedule.posterior(i);
            let mean = p.x0 + p.x_t * here.sqrt();
            let variance = p.x_t * p.x_t * (1.0 - here) + p.variance;
            prop_assert!((mean - before.sqrt()).abs() < 1e-12);
            prop_assert!((variance - (1.0 - before)).abs() < 1e-12);
        }
    }
}
