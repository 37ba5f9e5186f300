//! What changes from step to step: the learning rate, and how much of the average stays.

use crate::config::{Decay, TrainConfig};

/// Factor of the peak learning rate for step `step`, counted from 0.
pub(crate) fn factor(config: &TrainConfig, step: u64) -> f64 {
    let warm = ((step + 1) as f64 / config.warmup.max(1) as f64).min(1.0);
    let span = config.steps as f64 * config.decay_share;
    let left = (config.steps.saturating_sub(step) as f64 / span.max(1.0)).min(1.0);
    warm * match config.decay {
        Decay::None => 1.0,
        Decay::Linear => left,
        Decay::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * left).cos()),
    }
}

/// Share of the moving average that stays in step `step`, counted from 0: with the warm-up `min(ema, (1 + n) / (10 + n))`
/// of step n, as `tf.train.ExponentialMovingAverage` has it with `num_updates`, and diffusers' `EMAModel` from its
/// second step on (its first forgets all of the start, where this one keeps a tenth).
pub(crate) fn average(config: &TrainConfig, step: u64) -> f64 {
    match config.ema_warmup {
        Some(true) => config.ema.min((1.0 + step as f64) / (10.0 + step as f64)),
        _ => config.ema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFFUSERS: [(u64, f64); 7] = [
        (2, 0.181_818_181_818_181_82),
        (3, 0.25),
        (10, 0.526_315_789_473_684_2),
        (80, 0.898_876_404_494_382),
        (81, 0.9),
        (82, 0.9),
        (100, 0.9),
    ];

    /// Reference: diffusers 0.42.1 and torch 2.15.0,
    ///
    /// ```text
    /// p = torch.nn.Parameter(torch.zeros(1)); e = EMAModel([p], decay=0.9)
    /// for k in range(1, 101):
    ///     e.step([p]); print(k, e.cur_decay_value)
    /// ```
    ///
    /// prints for k = 2, 3, 10, 80, 81, 82, 100 what is below; for k = 1 it is 0. Its step k is our step k - 1.
    #[test]
    fn the_average_warms_up_as_that_of_diffusers() {
        let c = TrainConfig {
            ema: 0.9,
            ..TrainConfig::default()
        };
        for (step, expected) in DIFFUSERS {
            assert!((average(&c, step - 1) - expected).abs() < 1e-12, "{step}");
        }
        assert_eq!(average(&c, 0), 0.1);
        let old = TrainConfig {
            ema_warmup: None,
            ..c
        };
        assert_eq!(average(&old, 0), 0.9);
    }

    #[test]
    fn rises_stays_and_falls() {
        let mut c = TrainConfig {
            steps: 100,
            warmup: 10,
            decay_share: 0.5,
            ..TrainConfig::default()
        };
        assert!((factor(&c, 0) - 0.1).abs() < 1e-12);
        assert_eq!(factor(&c, 9), 1.0);
        assert_eq!(factor(&c, 50), 1.0);
        assert!((factor(&c, 75) - 0.5).abs() < 1e-12);
        c.decay = Decay::Cosine;
        assert!((factor(&c, 75) - 0.5).abs() < 1e-12);
        assert!(factor(&c, 99) < 0.001);
    }
}
