//! Numbers that are not finite stop a run with the first bad tensor named, and never reach a checkpoint.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may panic as tests do"
)]

mod common;

use common::{config, data, device, quick, small_kind, start, train};
use learngene_formats::Checkpoints;
use learngene_nn::params;
use learngene_train::{Error, Run, TrainConfig, weights};
use std::path::Path;

/// Step, tensor and last checkpoint of the error.
fn not_finite<T>(result: Result<T, Error>) -> (u64, String, Option<u64>) {
    match result.map(|_| ()) {
        Err(Error::NotFinite {
            step,
            what,
            checkpoint,
        }) => (step, what, checkpoint),
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("it went on"),
    }
}

/// The newest checkpoint is of that step, loads, and can be resumed from.
fn assert_loads(folder: &Path, step: u64) {
    let found = Checkpoints::at(folder.join("checkpoints"))
        .latest()
        .unwrap();
    let newest = found.checkpoint.unwrap();
    assert_eq!(newest.step(), step);
    let (_, model) = weights::read(&newest.file("model.safetensors").unwrap(), &device()).unwrap();
    assert_eq!(params::first_not_finite(&model), None);
    assert_eq!(Run::resume(folder, &device()).unwrap().0.done(), step);
}

#[test]
fn a_poisoned_start_is_named_and_not_saved() {
    let dataset = data().load().unwrap();
    let config = config(small_kind(), quick(2), &dataset);
    let mut values = params::values(&start(&config));
    let name = "blocks.1.attention.o.learngene.s";
    values.get_mut(name).unwrap().values[3] = f32::INFINITY;
    let model = params::replace(start(&config), values).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let found = not_finite(train(folder.path(), &config, model, &dataset));
    assert_eq!(found, (0, format!("the weight `{name}`"), None));
    assert!(
        std::fs::read_dir(folder.path().join("checkpoints"))
            .unwrap()
            .all(|entry| {
                !entry
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with("step-")
            })
    );
}

/// A rate of 1e30 leaves finite weights whose next prediction overflows.
#[test]
fn a_rate_far_too_high_stops_at_the_loss() {
    let dataset = data().load().unwrap();
    let settings = TrainConfig {
        lr: 1e30,
        ..quick(5)
    };
    let config = config(small_kind(), settings, &dataset);
    let folder = tempfile::tempdir().unwrap();
    let found = not_finite(train(folder.path(), &config, start(&config), &dataset));
    assert_eq!(found, (1, "the loss".into(), Some(0)));
    assert_loads(folder.path(), 0);
}

/// A rate of 1e60 is infinite in f32: the weights themselves overflow, and the checkpoint due is not written.
#[test]
fn weights_that_overflow_do_not_push_out_a_good_checkpoint() {
    let dataset = data().load().unwrap();
    let settings = TrainConfig {
        lr: 1e60,
        checkpoint_every: 1,
        keep_last: 1,
        ..quick(5)
    };
    let config = config(small_kind(), settings, &dataset);
    let folder = tempfile::tempdir().unwrap();
    let (step, what, last) = not_finite(train(folder.path(), &config, start(&config), &dataset));
    assert_eq!((step, last), (1, Some(0)));
    assert!(what.starts_with("the weight `"), "{what}");
    assert_loads(folder.path(), 0);
}
