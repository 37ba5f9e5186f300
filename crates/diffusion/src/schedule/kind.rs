//! The betas of the two schedules in use.

use std::f64::consts::FRAC_PI_2;

use crate::DiffusionError;

/// Which family of betas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ScheduleKind {
    /// Betas from 1e-4 to 0.02 in equal steps (Ho et al. 2020), scaled by `1000 / T` so that the whole
    /// process adds as much noise for any `T`.
    Linear,
    /// `alpha_bar` follows a squared cosine (Nichol & Dhariwal 2021, equation 17); no beta exceeds 0.999.
    #[default]
    Cosine,
}

impl ScheduleKind {
    const NAMES: &'static [(&'static str, Self)] =
        &[("linear", Self::Linear), ("cosine", Self::Cosine)];

    /// The betas of a schedule over `steps` timesteps.
    pub(super) fn betas(self, steps: usize) -> Result<Vec<f64>, DiffusionError> {
        if steps == 0 {
            return Err(DiffusionError::NoSteps { what: "a schedule" });
        }
        if steps > MOST_STEPS {
            return Err(DiffusionError::Setting {
                setting: "number of training timesteps",
                found: steps.to_string(),
                expected: "at most 100000 (1000 is usual)",
            });
        }
        match self {
            Self::Linear => linear(steps),
            Self::Cosine => Ok(cosine(steps)),
        }
    }
}

crate::name::named!(ScheduleKind, "noise schedule");

/// Far above any use; keeps a slip in a configuration from filling the memory.
const MOST_STEPS: usize = 100_000;

/// Number of steps for which DDPM chose its betas.
const LINEAR_REFERENCE_STEPS: f64 = 1000.0;
const LINEAR_FIRST: f64 = 1e-4;
const LINEAR_LAST: f64 = 0.02;

fn linear(steps: usize) -> Result<Vec<f64>, DiffusionError> {
    let scale = LINEAR_REFERENCE_STEPS / steps as f64;
    let (first, last) = (scale * LINEAR_FIRST, scale * LINEAR_LAST);
    if last >= 1.0 {
        return Err(DiffusionError::ScheduleTooShort { steps, beta: last });
    }
    let intervals = (steps - 1).max(1) as f64;
    Ok((0..steps)
        .map(|t| first + (last - first) * (t as f64 / intervals))
        .collect())
}

/// Keeps the first betas from vanishing (the paper's `s`).
const COSINE_OFFSET: f64 = 0.008;
const COSINE_MAX_BETA: f64 = 0.999;

fn cosine(steps: usize) -> Vec<f64> {
    let alpha_bar = |t: usize| {
        let share = t as f64 / steps as f64;
        ((share + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * FRAC_PI_2)
            .cos()
            .powi(2)
    };
    (0..steps)
        .map(|t| (1.0 - alpha_bar(t + 1) / alpha_bar(t)).min(COSINE_MAX_BETA))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schedule;

    const AT: [usize; 7] = [0, 1, 250, 500, 750, 998, 999];

    /// diffusers keeps `alpha_bar` as a running product of up to 1000 factors in f32.
    const F32_PRODUCT: f64 = 6e-5;

    fn assert_close(found: f64, expected: f64, relative: f64) {
        assert!(
            (found / expected - 1.0).abs() < relative,
            "{found:e}, expected {expected:e}"
        );
    }

    fn assert_levels(schedule: &Schedule, betas: [f64; 7], alpha_bars: [f64; 7]) {
        for (t, (beta, alpha_bar)) in AT.into_iter().zip(betas.into_iter().zip(alpha_bars)) {
            assert_close(schedule.betas()[t], beta, 5e-7);
            assert_close(schedule.alpha_bars()[t], alpha_bar, F32_PRODUCT);
        }
    }

    /// Numbers from diffusers: tests/reference/schedules.py
    #[test]
    fn linear_equals_diffusers() {
        assert_levels(
            &Schedule::new(ScheduleKind::Linear, 1000).unwrap(),
            [
                9.99999975e-05,
                1.19919918e-04,
                5.07998001e-03,
                1.00599602e-02,
                1.50399394e-02,
                1.99800804e-02,
                1.99999996e-02,
            ],
            [
                9.99899983e-01,
                9.99780059e-01,
                5.21423042e-01,
                7.77966604e-02,
                3.30015901e-03,
                4.11819456e-05,
                4.03583072e-05,
            ],
        );
    }

    /// Numbers from diffusers: tests/reference/schedules.py
    #[test]
    fn cosine_equals_diffusers() {
        assert_levels(
            &Schedule::new(ScheduleKind::Cosine, 1000).unwrap(),
            [
                4.12842237e-05,
                4.61417512e-05,
                1.32722396e-03,
                3.15569155e-03,
                7.57912267e-03,
                7.49999404e-01,
                9.99000013e-01,
            ],
            [
                9.99958694e-01,
                9.99912560e-01,
                8.45888019e-01,
                4.92285043e-01,
                1.43178657e-01,
                2.42876627e-06,
                2.42873499e-09,
            ],
        );
        let short = Schedule::new(ScheduleKind::Cosine, 40).unwrap();
        let expected = [
            9.97512817e-01,
            7.19857514e-01,
            2.35341311e-01,
            1.51719303e-06,
        ];
        for (t, alpha_bar) in [0, 13, 26, 39].into_iter().zip(expected) {
            assert_close(short.alpha_bars()[t], alpha_bar, F32_PRODUCT);
        }
    }

    /// Until a beta is capped, the product telescopes to `cos^2((t + 1) / T ...) / cos^2(0 ...)`.
    #[test]
    fn cosine_telescopes() {
        for steps in [7, 100, 1000, 4000] {
            let schedule = Schedule::new(ScheduleKind::Cosine, steps).unwrap();
            let angle = |t: f64| (t / steps as f64 + 0.008) / 1.008 * std::f64::consts::PI / 2.0;
            let start = angle(0.0).cos().powi(2);
            for (t, &alpha_bar) in schedule.alpha_bars().iter().enumerate().take(steps - 1) {
                assert_close(alpha_bar, angle(t as f64 + 1.0).cos().powi(2) / start, 1e-9);
            }
            assert_eq!(schedule.betas()[steps - 1], 0.999);
        }
    }

    /// Half-way, the exponent of the linear schedule is the sum of an arithmetic series whatever T is.
    #[test]
    fn linear_adds_the_same_noise_for_any_step_count() {
        for steps in [21usize, 250, 1000, 4000] {
            let betas = ScheduleKind::Linear.betas(steps).unwrap();
            let sum: f64 = betas.iter().sum();
            assert_close(sum, 1000.0 * (1e-4 + 0.02) / 2.0, 1e-12);
            assert_close(betas[steps - 1] / betas[0], 200.0, 1e-12);
        }
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for kind in [ScheduleKind::Linear, ScheduleKind::Cosine] {
            assert!(matches!(kind.betas(0), Err(DiffusionError::NoSteps { .. })));
            let huge = kind.betas(usize::MAX);
            assert!(matches!(huge, Err(DiffusionError::Setting { .. })));
        }
        let error = Schedule::new(ScheduleKind::Linear, 20).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a linear schedule of 20 steps would reach beta = 1; use at least 21 steps or the cosine schedule"
        );
        assert_eq!(Schedule::new(ScheduleKind::Cosine, 1).unwrap().len(), 1);
    }
}
