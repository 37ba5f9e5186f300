//! The learning rate of a step.

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

#[cfg(test)]
mod tests {
    use super::*;

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
