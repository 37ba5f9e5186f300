//! The moving average of the weights against the formula, in f64.

mod common;

use common::{State, config, data, quick, small_kind, start, train};
use learngene_train::TrainConfig;

/// `e_k = d e_{k-1} + (1 - d) w_k` from `e_0 = w_0`, so `e_2 = d^2 w_0 + d (1 - d) w_1 + (1 - d) w_2`.
#[test]
fn the_average_is_the_recursion_over_the_saved_weights() {
    let dataset = data().load().unwrap();
    let settings = TrainConfig {
        ema: 0.75,
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
