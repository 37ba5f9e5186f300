//! The moving average of the weights against the formula, in f64.

mod common;

use common::{State, config, data, quick, small_kind, start, train};
use learngene_train::{RunConfig, TrainConfig};

/// `e_k = d e_{k-1} + (1 - d) w_k` from `e_0 = w_0`, so `e_2 = d^2 w_0 + d (1 - d) w_1 + (1 - d) w_2`.
#[test]
fn the_average_is_the_recursion_over_the_saved_weights() {
    let dataset = data().load().unwrap();
    let settings = TrainConfig {
        ema: 0.75,
        ema_warmup: None,
        checkpoint_every: 1,
        keep_last: 10,
        ..quick(3)
    };
    let config = config(small_kind(), settings, &dataset);
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &config, start(&config), &dataset).unwrap();
    let states: Vec<State> = (0..=3)
        .map(|step| State::read(folder.path(), step))
        .collect();
    assert_eq!(
        states[0].ema, states[0].model,
        "the average starts at the weights"
    );
    assert_ne!(states[3].ema, states[3].model);
    let powers: [f64; 4] = [0.421_875, 0.140_625, 0.187_5, 0.25];
    for (name, average) in &states[3].ema {
        for (i, found) in average.values.iter().enumerate() {
            let weights = states.iter().map(|s| f64::from(s.model[name].values[i]));
            let expected: f64 = weights.zip(powers).map(|(w, p)| w * p).sum();
            // three roundings of f32 at the size of the weights, which are at most about one
            let apart = (f64::from(*found) - expected).abs();
            assert!(apart < 4e-7, "{name}[{i}]: {found}, expected {expected}");
        }
    }
}

/// Tailors whose class is not in the batch rest, and their averages follow late: each step with the decay it had,
/// `min(ema, (1 + n) / (10 + n))`, and to the bit as if they followed at once, which the average of every checkpoint does.
#[test]
fn a_warm_average_is_the_recursion_also_of_what_rests() {
    const STEPS: u64 = 12;
    let dataset = data().load().unwrap();
    let settings = TrainConfig {
        ema: 0.5,
        classes_per_step: Some(3),
        checkpoint_every: 1,
        keep_last: 20,
        ..quick(STEPS)
    };
    let config = config(small_kind(), settings, &dataset);
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &config, start(&config), &dataset).unwrap();
    let states: Vec<State> = (0..=STEPS)
        .map(|step| State::read(folder.path(), step))
        .collect();
    let tailor = "blocks.0.mlp.input.tailors.u";
    let updates = &states[STEPS as usize].updates[tailor];
    assert!(updates.iter().any(|&n| n < STEPS), "{updates:?}");
    for (name, last) in &states[STEPS as usize].ema {
        for (i, found) in last.values.iter().enumerate() {
            let mut average = states[0].ema[name].values[i];
            for (n, state) in states[1..].iter().enumerate() {
                let decay = 0.5f64.min((1.0 + n as f64) / (10.0 + n as f64)) as f32;
                average += (1.0 - decay) * (state.model[name].values[i] - average);
            }
            assert_eq!(*found, average, "{name}[{i}]");
        }
    }
}

/// A configuration from before the warm-up was a setting is read without it and written as it was; new ones write it.
#[test]
fn an_old_configuration_stays_without_a_warm_up() {
    let dataset = data().load().unwrap();
    let new = config(small_kind(), quick(1), &dataset);
    let text = new.to_toml().unwrap();
    assert!(text.contains("ema_warmup = true\n"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let old = text.replace("ema_warmup = true\n", "");
    std::fs::write(&path, &old).unwrap();
    let read = RunConfig::read(&path).unwrap();
    assert_eq!(read.train.ema_warmup, None);
    assert_eq!(read.to_toml().unwrap(), old);
}
