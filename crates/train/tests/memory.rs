//! Memory stays where it is after the first steps. In a file of its own: other tests would share the process.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{config, data, micro, quick, small_kind, start};
use learngene_train::{Event, Run, RunConfig, TrainConfig};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

/// Held by the run that is being measured.
static ALONE: Mutex<()> = Mutex::new(());

/// Resident memory in MiB, from the second number of `statm` in pages of 4 KiB; none where there is no such file.
fn resident() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages / 256.0)
}

/// Resident memory after each logged step.
fn measure(config: RunConfig) -> BTreeMap<u64, f64> {
    let _alone = ALONE.lock().unwrap();
    let dataset = config.data.load().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let model = start(&config);
    let mut memory = BTreeMap::new();
    let mut observe = |event: &Event| {
        if let (Event::Step { step, .. }, Some(now)) = (event, resident()) {
            memory.insert(*step, now);
        }
    };
    let run = Run::create(folder.path(), config, model).unwrap();
    run.train(&dataset, &AtomicBool::new(false), &mut observe)
        .unwrap();
    memory
}

/// Keeping even one batch's images each step would add 6 MiB.
#[test]
fn a_short_run_does_not_grow() {
    let dataset = data().load().unwrap();
    let settings = TrainConfig {
        log_every: 20,
        checkpoint_every: 50,
        ..quick(220)
    };
    let memory = measure(config(small_kind(), settings, &dataset));
    if !memory.is_empty() {
        assert!(memory[&200] - memory[&60] < 3.0, "MiB by step: {memory:?}");
    }
}

/// `cargo test --release --workspace --test memory -- --ignored --nocapture` (two to five minutes).
#[test]
#[ignore = "takes minutes: a thousand steps of dit-micro/4"]
fn a_thousand_steps_do_not_grow_after_the_first_hundred() {
    let settings = TrainConfig {
        evaluate_every: 250,
        checkpoint_every: 250,
        log_every: 100,
        ..TrainConfig::default()
    };
    let memory = measure(micro(settings).0);
    println!("resident MiB by step: {memory:?}");
    if !memory.is_empty() {
        assert!(
            memory[&1000] - memory[&100] < 8.0,
            "MiB by step: {memory:?}"
        );
    }
}
