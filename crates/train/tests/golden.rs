//! The losses of the first 20 steps of `dit-micro/4` on the built-in base classes, as committed text.
//!
//! To write them anew, after a change that is meant to change them:
//! `LEARNGENE_WRITE_GOLDEN=1 cargo test --release --workspace --test golden`

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{losses, micro, models::normals, quick, start, train};
use learngene_nn::params;
use learngene_train::TrainConfig;
use std::fmt::Write;

/// Largest relative difference. Instruction sets sum products in different orders: AVX2 instead of AVX-512 (the test's
/// program under `qemu-x86_64 -cpu Haswell`, version 7.2) moves a loss by 2e-7 at most, and a start changed by 1e-6 by
/// 5e-7 (`the_tolerance_is_that_of_rounding`).
const TOLERANCE: f64 = 1e-5;

const STEPS: u64 = 20;

/// Losses of every step, from a start whose values are each scaled by `1 + nudge` or `1 - nudge`.
fn golden_run(nudge: f32) -> Vec<f64> {
    let settings = TrainConfig {
        warmup: 5,
        ..quick(STEPS)
    };
    let (config, dataset) = micro(settings);
    let start = start(&config);
    let mut values = params::values(&start);
    for value in values.values_mut() {
        let signs = normals(1, value.values.len());
        let pairs = value.values.iter_mut().zip(signs);
        pairs.for_each(|(v, sign)| *v *= 1.0 + nudge * sign.signum());
    }
    let start = params::replace(start, values).unwrap();
    let folder = tempfile::tempdir().unwrap();
    losses(&train(folder.path(), &config, start, &dataset).unwrap().1)
}

/// The largest relative difference and its step.
fn apart(found: &[f64], expected: &[f64]) -> (f64, usize) {
    assert_eq!(found.len(), expected.len());
    let each = found.iter().zip(expected).map(|(f, e)| (f / e - 1.0).abs());
    let numbered = each.zip(1..);
    numbered.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn the_first_losses_are_those_committed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/dit-micro.txt");
    let found = golden_run(0.0);
    if std::env::var_os("LEARNGENE_WRITE_GOLDEN").is_some() {
        let mut text =
            String::from("# trained loss of steps 1 to 20; written by tests/golden.rs\n");
        found
            .iter()
            .for_each(|loss| writeln!(text, "{loss:.9}").unwrap());
        std::fs::write(path, text).unwrap();
    }
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let expected: Vec<f64> = lines.map(|line| line.parse().unwrap()).collect();
    let (difference, step) = apart(&found, &expected);
    assert!(
        difference < TOLERANCE,
        "step {step} is {difference:e} apart: {found:.6?}"
    );
}

/// A start changed by one part in a million, ten times what a sum's order changes, stays within the tolerance.
#[test]
fn the_tolerance_is_that_of_rounding() {
    let (difference, step) = apart(&golden_run(1e-6), &golden_run(0.0));
    assert!(
        difference > 0.0 && difference < TOLERANCE,
        "step {step}: {difference:e}"
    );
}
