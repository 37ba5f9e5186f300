//! Fewer steps for sampling than for training.

use super::Schedule;
use crate::DiffusionError;

impl Schedule {
    /// Keeps `steps` of the times, evenly spaced from the first to the last and rounded to whole timesteps
    /// (ties to even), as ADM's `space_timesteps` does for one section. A single step keeps the last time,
    /// where ADM would keep the first, from which nothing can be sampled.
    ///
    /// Each new beta joins the steps it spans: `1 - alpha_bar[i] / alpha_bar[i - 1]`.
    ///
    /// # Errors
    /// Zero steps, or more than the schedule has.
    pub fn respace(&self, steps: usize) -> Result<Self, DiffusionError> {
        let times: Vec<_> = self
            .evenly_spaced(steps)?
            .into_iter()
            .map(f64::round_ties_even)
            .collect();
        self.keep(&times)
    }

    /// Like [`Schedule::respace`] without rounding: for samplers that follow the continuous-time equation,
    /// with networks that take fractional timesteps. `alpha_bar` is [`Schedule::alpha_bar_at`].
    ///
    /// # Errors
    /// Zero steps, or more than the schedule has.
    pub fn respace_evenly(&self, steps: usize) -> Result<Self, DiffusionError> {
        self.keep(&self.evenly_spaced(steps)?)
    }

    /// Cuts the time into `steps` equal intervals and keeps the upper end of each, unrounded, so that the first
    /// time is left out: for multistep solvers in log signal-to-noise, whose stride to the first time would be
    /// many times the one before it.
    ///
    /// # Errors
    /// Zero steps, or more than the schedule has.
    pub fn respace_intervals(&self, steps: usize) -> Result<Self, DiffusionError> {
        self.check_steps(steps)?;
        let times: Vec<_> = (1..=steps).map(|i| self.time_at_share(i, steps)).collect();
        self.keep(&times)
    }

    /// Keeps the given times, which may be fractional.
    ///
    /// # Errors
    /// No times, or times that do not rise strictly from at least the first to at most the last of this
    /// schedule.
    pub fn keep(&self, times: &[f64]) -> Result<Self, DiffusionError> {
        if times.is_empty() {
            return Err(DiffusionError::NoSteps { what: "a schedule" });
        }
        let last = self.last_time();
        let mut floor = self.times[0];
        for (position, &time) in times.iter().enumerate() {
            let rises = if position == 0 {
                time >= floor
            } else {
                time > floor
            };
            if !(rises && time <= last) {
                return Err(DiffusionError::KeptTime {
                    position,
                    time,
                    last,
                });
            }
            floor = time;
        }
        let alpha_bars: Vec<_> = times.iter().map(|&time| self.alpha_bar_at(time)).collect();
        let mut before = 1.0;
        let betas = alpha_bars
            .iter()
            .map(|&alpha_bar| 1.0 - alpha_bar / std::mem::replace(&mut before, alpha_bar))
            .collect();
        Ok(Self {
            times: times.to_vec(),
            betas,
            alpha_bars,
        })
    }

    fn evenly_spaced(&self, steps: usize) -> Result<Vec<f64>, DiffusionError> {
        self.check_steps(steps)?;
        if steps == 1 {
            return Ok(vec![self.last_time()]);
        }
        let intervals = steps - 1;
        Ok((0..steps)
            .map(|i| self.time_at_share(i, intervals))
            .collect())
    }

    fn check_steps(&self, steps: usize) -> Result<(), DiffusionError> {
        if steps == 0 {
            return Err(DiffusionError::NoSteps { what: "sampling" });
        }
        if steps > self.len() {
            return Err(DiffusionError::TooManySteps {
                steps,
                training: self.len(),
            });
        }
        Ok(())
    }

    /// The time after `part` of `whole` equal intervals; exact at both ends.
    fn time_at_share(&self, part: usize, whole: usize) -> f64 {
        let weighted = self.times[0] * (whole - part) as f64 + self.last_time() * part as f64;
        weighted / whole as f64
    }

    fn last_time(&self) -> f64 {
        self.times[self.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleKind;
    use proptest::prelude::*;

    fn schedule(kind: ScheduleKind) -> Schedule {
        Schedule::new(kind, 1000).unwrap()
    }

    /// numpy's `linspace(0, T - 1, n).round()`: tests/reference/schedules.py
    #[test]
    fn kept_times_equal_numpys() {
        let kept = schedule(ScheduleKind::Linear).respace(7).unwrap();
        assert_eq!(
            kept.times(),
            [0.0, 166.0, 333.0, 500.0, 666.0, 832.0, 999.0]
        );
        let tie = Schedule::new(ScheduleKind::Cosine, 10)
            .unwrap()
            .respace(3)
            .unwrap();
        assert_eq!(tie.times(), [0.0, 4.0, 9.0]);
    }

    #[test]
    fn all_steps_kept_is_the_schedule_itself() {
        for kind in [ScheduleKind::Linear, ScheduleKind::Cosine] {
            let full = schedule(kind);
            for kept in [
                full.respace(1000).unwrap(),
                full.respace_evenly(1000).unwrap(),
            ] {
                assert_eq!(kept.times(), full.times());
                assert_eq!(kept.alpha_bars(), full.alpha_bars());
                for (kept, beta) in kept.betas().iter().zip(full.betas()) {
                    assert!((kept - beta).abs() < 1e-13, "{kept} {beta}");
                }
            }
        }
    }

    #[test]
    fn one_step_starts_from_noise() {
        let full = schedule(ScheduleKind::Cosine);
        for one in [
            full.respace(1),
            full.respace_evenly(1),
            full.respace_intervals(1),
        ] {
            assert_eq!(one.unwrap().times(), [999.0]);
        }
    }

    #[test]
    fn intervals_leave_the_first_time_out() {
        let kept = schedule(ScheduleKind::Cosine).respace_intervals(3).unwrap();
        assert_eq!(kept.times(), [333.0, 666.0, 999.0]);
        assert_eq!(
            schedule(ScheduleKind::Cosine)
                .respace_intervals(1000)
                .unwrap()
                .len(),
            1000
        );
    }

    #[test]
    fn impossible_step_counts_are_refused() {
        let full = schedule(ScheduleKind::Linear);
        let none = DiffusionError::NoSteps { what: "sampling" };
        let many = DiffusionError::TooManySteps {
            steps: 1001,
            training: 1000,
        };
        assert_eq!(full.respace(0), Err(none.clone()));
        assert_eq!(full.respace_intervals(0), Err(none));
        assert_eq!(full.respace_evenly(1001), Err(many.clone()));
        assert!(full.respace_intervals(usize::MAX).is_err());
        assert_eq!(
            many.to_string(),
            "sampling in 1001 steps, but the schedule has 1000; give at most 1000"
        );
    }

    #[test]
    fn kept_times_must_rise_within_the_schedule() {
        let full = schedule(ScheduleKind::Linear);
        let bad: [&[f64]; 6] = [
            &[],
            &[5.0, 5.0],
            &[9.0, 3.0],
            &[-1.0],
            &[0.0, 999.5],
            &[0.0, f64::NAN],
        ];
        for times in bad {
            assert!(full.keep(times).is_err(), "{times:?}");
        }
    }

    proptest! {
        #[test]
        fn kept_levels_are_those_of_the_full_schedule(steps in 1usize..=1000) {
            let full = schedule(ScheduleKind::Cosine);
            let kept = full.respace(steps).unwrap();
            prop_assert_eq!(kept.len(), steps);
            for (&time, &alpha_bar) in kept.times().iter().zip(kept.alpha_bars()) {
                prop_assert_eq!(alpha_bar, full.alpha_bars()[time as usize]);
            }
        }
    }
}
