//! Pressures on where knowledge settles: some images of a batch show the model only one side of their class, the label or
//! the tailors, and in some steps only the first components of the learngene run.

use crate::config::TrainConfig;
use learngene_data::{Draw, Purpose, Stream};

/// What the model is told of the class of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The row of the label table; `None` is the null row.
    pub label: Option<usize>,
    /// The class whose tailors are on.
    pub gate: Option<usize>,
}

/// Label and gate of an image: both of its class, but for the shares [`TrainConfig::gate_dropout`] and
/// [`TrainConfig::hide_label`], which fall independently. An image with the null label has neither.
pub(crate) fn told(config: &TrainConfig, draw: &Draw) -> Told {
    let kept = |share: f64, purpose| {
        let falls = || Stream::new(config.seed, draw.index, purpose).uniform() < share;
        draw.label.filter(|_| share == 0.0 || !falls())
    };
    Told {
        label: kept(config.hide_label, Purpose::HiddenLabel),
        gate: kept(config.gate_dropout, Purpose::GateDropout),
    }
}

/// How many learngene components of each matrix step `step` runs, if not all `rank`
/// ([`TrainConfig::thin_learngene`]).
pub(crate) fn components(config: &TrainConfig, step: u64, rank: Option<usize>) -> Option<usize> {
    let rank = rank.filter(|_| config.thin_learngene > 0.0)?;
    let mut stream = Stream::new(config.seed, step, Purpose::Thinning);
    let thin = stream.uniform() < config.thin_learngene;
    let least = rank.div_ceil(THINNEST);
    let count = least + (stream.uniform() * (rank - least) as f64) as usize;
    Some(count).filter(|&count| thin && count < rank)
}

/// Of how many components one runs in the thinnest step.
const THINNEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(config: &TrainConfig, label: Option<usize>, index: u64) -> Told {
        let draw = Draw {
            sample: 0,
            label,
            class: 3,
            flip: false,
            index,
        };
        told(config, &draw)
    }

    fn with(gate_dropout: f64, hide_label: f64) -> TrainConfig {
        TrainConfig {
            gate_dropout,
            hide_label,
            ..TrainConfig::default()
        }
    }

    #[test]
    fn shares_are_met_and_fall_independently() {
        let config = with(0.3, 0.2);
        let all: Vec<Told> = (0..20_000).map(|i| of(&config, Some(3), i)).collect();
        let share =
            |f: fn(&Told) -> bool| all.iter().filter(|t| f(t)).count() as f64 / all.len() as f64;
        // Four standard deviations of a share of 20,000 are below 0.014.
        for (found, expected) in [
            (share(|t| t.gate.is_none()), 0.3),
            (share(|t| t.label.is_none()), 0.2),
            (share(|t| t.gate.is_none() && t.label.is_none()), 0.06),
        ] {
            assert!((found - expected).abs() < 0.014, "{found} {expected}");
        }
        // A draw is a function of its index and of its own share.
        let other = with(0.3, 0.9);
        assert!((0..99).all(|i| of(&other, Some(3), i).gate == all[i as usize].gate));
    }

    #[test]
    fn at_the_ends_every_image_is_told_or_none() {
        let (label, gate) = (Some(3), Some(3));
        for i in 0..50 {
            assert_eq!(of(&with(0.0, 0.0), label, i), Told { label, gate });
            assert_eq!(of(&with(1.0, 0.0), label, i), Told { label, gate: None });
            assert_eq!(of(&with(0.0, 1.0), label, i), Told { label: None, gate });
            let nothing = of(&with(0.5, 0.5), None, i);
            assert_eq!((nothing.label, nothing.gate), (None, None));
        }
    }

    #[test]
    fn steps_are_thin_as_often_as_asked_and_as_thin_as_falls() {
        let config = TrainConfig {
            thin_learngene: 0.4,
            ..TrainConfig::default()
        };
        let found: Vec<_> = (0..20_000)
            .map(|step| components(&config, step, Some(96)))
            .collect();
        let thin: Vec<usize> = found.iter().flatten().copied().collect();
        assert!((thin.len() as f64 / 20_000.0 - 0.4).abs() < 0.014);
        assert_eq!(
            (thin.iter().min(), thin.iter().max()),
            (Some(&12), Some(&95))
        );
        let mean = thin.iter().sum::<usize>() as f64 / thin.len() as f64;
        // Four standard deviations of the mean of 8,000 numbers of 12 to 95.
        assert!((mean - 53.5).abs() < 1.1, "{mean}");

        assert_eq!(components(&config, 1, None), None, "a dense model");
        assert_eq!(components(&TrainConfig::default(), 1, Some(96)), None);
        let always = TrainConfig {
            thin_learngene: 1.0,
            ..config
        };
        assert_eq!(
            components(&always, 1, Some(1)),
            None,
            "nothing to leave out"
        );
    }
}
