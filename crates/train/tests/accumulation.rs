//! A batch computed in parts gives the gradient of the whole; computing activations again changes nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{State, config, data, losses, models::filled, quick, small_kind, train};
use learngene_train::TrainConfig;

/// Both sums are of f32 products in another order, over some thousand terms: a few 1e-6 of the largest.
const TOLERANCE: f32 = 2e-5;

#[test]
fn three_parts_are_the_whole_batch() {
    are_the_whole_batch(None);
    are_the_whole_batch(Some(3.0));
}

fn are_the_whole_batch(null_pressure: Option<f64>) {
    let dataset = data().load().unwrap();
    let one_step = |accumulate| {
        // 13 images: parts of 5, 5 and 3
        let settings = TrainConfig {
            accumulate,
            null_pressure,
            ..quick(1)
        };
        let config = config(small_kind(), settings, &dataset);
        let folder = tempfile::tempdir().unwrap();
        let model = filled(&config.model, 3, &common::device());
        let (_, events) = train(folder.path(), &config, model, &dataset).unwrap();
        (losses(&events)[0], State::read(folder.path(), 1))
    };
    let (whole_loss, whole) = one_step(1);
    let (parts_loss, parts) = one_step(3);
    assert!(
        (parts_loss / whole_loss - 1.0).abs() < 1e-5,
        "{parts_loss} {whole_loss}"
    );
    assert_eq!(whole.updates, parts.updates);
    // after one step the first moment is the clipped gradient times 1 - beta1
    let first = |name: &&String| name.ends_with("/m") && !name.ends_with("attention.k.bias/m");
    for name in whole.moments.keys().filter(first) {
        let (a, b) = (&whole.moments[name].values, &parts.moments[name].values);
        let largest = a.iter().fold(0f32, |m, v| m.max(v.abs()));
        let apart = a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(
            apart <= TOLERANCE * largest,
            "{name}: {apart:e} of {largest:e}"
        );
    }
}

#[test]
fn computing_activations_again_gives_the_same_weights_to_the_bit() {
    let dataset = data().load().unwrap();
    let trained = |recompute| {
        let settings = TrainConfig {
            recompute,
            ..quick(3)
        };
        let config = config(small_kind(), settings, &dataset);
        let folder = tempfile::tempdir().unwrap();
        let model = filled(&config.model, 3, &common::device());
        let (_, events) = train(folder.path(), &config, model, &dataset).unwrap();
        let state = State::read(folder.path(), 3);
        (losses(&events), state.model, state.moments)
    };
    assert!(trained(true) == trained(false));
}
