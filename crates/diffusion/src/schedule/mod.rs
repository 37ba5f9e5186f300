//! Noise schedules in `f64`: how much of the image is left at each timestep.

mod kind;
mod posterior;
mod respace;

pub use kind::ScheduleKind;
pub use posterior::Posterior;

use crate::DiffusionError;

/// A discrete diffusion process: a rising list of times, each with its `alpha_bar`.
///
/// A training schedule has the times `0, 1, ..., T - 1`; [`Schedule::respace`] and
/// [`Schedule::respace_evenly`] keep some of them for a sampler. `beta` and `alpha_bar` obey
/// `alpha_bar[i] = (1 - beta[i]) alpha_bar[i - 1]` in both, with `alpha_bar` = 1 before the first.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    times: Vec<f64>,
    betas: Vec<f64>,
    alpha_bars: Vec<f64>,
}

impl Schedule {
    /// The training schedule over `steps` timesteps (the field's usual number is 1000).
    ///
    /// # Errors
    /// Zero steps or more than 100000; a linear schedule of fewer than 21 steps, whose betas would reach 1.
    pub fn new(kind: ScheduleKind, steps: usize) -> Result<Self, DiffusionError> {
        let betas = kind.betas(steps)?;
        let alpha_bars = betas
            .iter()
            .scan(1.0, |product, beta| {
                *product *= 1.0 - beta;
                Some(*product)
            })
            .collect();
        Ok(Self {
            times: (0..steps).map(|t| t as f64).collect(),
            betas,
            alpha_bars,
        })
    }

    /// Number of timesteps.
    #[expect(clippy::len_without_is_empty, reason = "no schedule is empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// The times in units of training timesteps, strictly rising. Whole numbers unless
    /// [`Schedule::respace_evenly`] made them.
    #[must_use]
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// Variance added by each step.
    #[must_use]
    pub fn betas(&self) -> &[f64] {
        &self.betas
    }

    /// Share of the image's variance left after each step, strictly falling within (0, 1).
    #[must_use]
    pub fn alpha_bars(&self) -> &[f64] {
        &self.alpha_bars
    }

    /// `alpha_bar` one step nearer to the clean image; 1 for the first step.
    ///
    /// # Panics
    /// When `index` is not smaller than [`Schedule::len`].
    #[must_use]
    pub fn alpha_bar_before(&self, index: usize) -> f64 {
        assert!(index < self.len(), "step {index} of {}", self.len());
        index.checked_sub(1).map_or(1.0, |i| self.alpha_bars[i])
    }

    /// `ln(alpha_bar / (1 - alpha_bar))` at a possibly fractional time, linear between the listed times and
    /// held constant outside them.
    #[must_use]
    pub fn log_snr_at(&self, time: f64) -> f64 {
        let after = self.times.partition_point(|&known| known <= time);
        let log_snr = |i: usize| log_snr(self.alpha_bars[i]);
        if after == 0 {
            return log_snr(0);
        }
        if after == self.len() {
            return log_snr(self.len() - 1);
        }
        let (t0, t1) = (self.times[after - 1], self.times[after]);
        let share = (time - t0) / (t1 - t0);
        log_snr(after - 1) * (1.0 - share) + log_snr(after) * share
    }

    /// `alpha_bar` at a possibly fractional time; exact at the listed times, between them interpolated as
    /// [`Schedule::log_snr_at`] does.
    #[must_use]
    pub fn alpha_bar_at(&self, time: f64) -> f64 {
        match self.times.binary_search_by(|known| known.total_cmp(&time)) {
            Ok(index) => self.alpha_bars[index],
            Err(_) => 1.0 / (1.0 + (-self.log_snr_at(time)).exp()),
        }
    }

    /// The time at which the log signal-to-noise ratio is `log_snr`: the inverse of
    /// [`Schedule::log_snr_at`], held within the first and the last time.
    #[must_use]
    pub fn time_at_log_snr(&self, log_snr: f64) -> f64 {
        let ratio = |i: usize| self::log_snr(self.alpha_bars[i]);
        let after = self
            .alpha_bars
            .partition_point(|&alpha_bar| self::log_snr(alpha_bar) >= log_snr);
        if after == 0 {
            return self.times[0];
        }
        if after == self.len() {
            return self.times[self.len() - 1];
        }
        let (high, low) = (ratio(after - 1), ratio(after));
        let share = (high - log_snr) / (high - low);
        self.times[after - 1] * (1.0 - share) + self.times[after] * share
    }
}

/// `ln(alpha_bar / (1 - alpha_bar))`.
pub(crate) fn log_snr(alpha_bar: f64) -> f64 {
    alpha_bar.ln() - (-alpha_bar).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn interpolation_is_exact_at_whole_times_and_held_outside() {
        let schedule = Schedule::new(ScheduleKind::Cosine, 1000).unwrap();
        for (t, &alpha_bar) in schedule.alpha_bars().iter().enumerate() {
            assert_eq!(schedule.alpha_bar_at(t as f64), alpha_bar);
        }
        let (first, last) = (schedule.alpha_bars()[0], schedule.alpha_bars()[999]);
        assert!((schedule.alpha_bar_at(-3.0) - first).abs() < 1e-12);
        assert!((schedule.alpha_bar_at(2000.0) - last).abs() < 1e-20);
        assert_eq!(schedule.time_at_log_snr(f64::INFINITY), 0.0);
        assert_eq!(schedule.time_at_log_snr(f64::NEG_INFINITY), 999.0);
    }

    /// The closed form of the cosine is smooth, so interpolation in log-SNR must come near it half-way.
    #[test]
    fn interpolation_follows_the_closed_form() {
        let schedule = Schedule::new(ScheduleKind::Cosine, 1000).unwrap();
        let cosine = |t: f64| {
            ((t / 1000.0 + 0.008) / 1.008 * std::f64::consts::PI / 2.0)
                .cos()
                .powi(2)
        };
        for t in [20.5, 300.25, 777.75, 950.5] {
            let exact = cosine(t + 1.0) / cosine(0.0);
            let found = schedule.alpha_bar_at(t);
            assert!((found - exact).abs() < 3e-6, "{t}: {found} {exact}");
        }
    }

    #[test]
    fn names_are_read_and_slips_are_met_with_a_suggestion() {
        assert_eq!("Cosine".parse(), Ok(ScheduleKind::Cosine));
        assert_eq!(
            serde_json::to_string(&ScheduleKind::Linear).unwrap(),
            "\"linear\""
        );
        let error = "cosin".parse::<ScheduleKind>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown noise schedule 'cosin', did you mean 'cosine'?; known: linear, cosine"
        );
        let error = serde_json::from_str::<ScheduleKind>("\"zzz\"")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("unknown noise schedule 'zzz'; known: linear, cosine"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn time_and_log_snr_are_inverse(time in 0.0..999.0f64, linear: bool) {
            let kind = if linear { ScheduleKind::Linear } else { ScheduleKind::Cosine };
            let schedule = Schedule::new(kind, 1000).unwrap();
            let back = schedule.time_at_log_snr(schedule.log_snr_at(time));
            prop_assert!((back - time).abs() < 1e-8, "{} {}", back, time);
        }
    }
}
