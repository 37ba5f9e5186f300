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

    /// Keeps the given times, which may be fractional.
    ///
    /// # Errors
    /// No times, or times that do not rise strictly from at least the first to at most the last of this
    /// schedule.
    pub fn keep(&self, times: &[f64]) -> Result<Self, DiffusionError> {
        if times.is_empty() {
            return Err(DiffusionError::NoSteps { what: "a schedule" });
        }
        let last = self.times[self.len() - 1];
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
        if steps == 0 {
            return Err(DiffusionError::NoSteps { what: "sampling" });
        }
        if steps > self.len() {
            return Err(DiffusionError::TooManySteps {
                steps,
                training: self.len(),
            });
        }
        let (first, last) = (self.times[0], self.times[self.len() - 1]);
        if steps == 1 {
            return Ok(vec![last]);
        }
        let intervals = (steps - 1) as f64;
        Ok((0..steps)
            .map(|i| {
                let i = i as f64;
                (first * (intervals - i) + last * i) / intervals
            })
            .collect())
    }
}
