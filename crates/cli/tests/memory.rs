//! The most memory that the program holds: of a training with its checkpoints and validations what `plan` says, of verbs that
//! read and write models little more than the model. Only where Linux says what a process held.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

mod common;

use common::{program, stderr, succeeds};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

/// What the program, its built-in images and its threads take in any case, bytes.
const PROGRAM: u64 = 160 << 20;

/// The most bytes that a call held at once, asked for every few milliseconds until it ends.
fn peak(folder: &Path, line: &str) -> u64 {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut child = program(folder, &words)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        most = most.max(kib.unwrap_or(0));
        sleep(Duration::from_millis(3));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{line}: {}", stderr(&output));
    most << 10
}

/// What `plan` says that a step takes, and the bytes of the weights.
fn planned(folder: &Path, size: &str) -> (u64, u64) {
    let line = format!("plan {size} --num-classes 2 --input 3x32x32 --batch 2 --json");
    let words: Vec<&str> = line.split_whitespace().collect();
    let plan: serde_json::Value = serde_json::from_str(&succeeds(folder, &words)).unwrap();
    let of = |path: &str| plan.pointer(path).unwrap().as_u64().unwrap();
    (of("/step/bytes"), of("/cost/total/bytes"))
}

/// Trains, resumes, adapts, cuts and draws with a model of that size.
fn stays_within_its_plan(size: &str) {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (step, weights) = planned(here, size);
    let few = "--no-report --set train.evaluate_every=0 --steps 2";
    let file = "base/checkpoints/step-00000002/ema.safetensors";
    let training = [
        format!(
            "pretrain --data builtin:emoji --classes face,flag {size} {few} --batch 2 --out base"
        ),
        "resume base --steps 3 --no-report".to_owned(),
        format!(
            "transfer {file} --data builtin:emoji --classes heart,bird {few} --set train.per_class=1 --method kind --out new"
        ),
    ];
    for line in training {
        let found = peak(here, &line);
        let bound = step * 5 / 4 + PROGRAM;
        assert!(
            found <= bound,
            "{line}: {} MiB of {}",
            found >> 20,
            bound >> 20
        );
    }
    let using = [
        (
            format!("assemble {file} --classes flag --out part.safetensors"),
            2.0,
        ),
        (
            format!("sample {file} --class flag --count 1 --steps 2 --out one.png"),
            1.3,
        ),
    ];
    for (line, times) in using {
        let found = peak(here, &line);
        let bound = (weights as f64 * times) as u64 + PROGRAM;
        assert!(
            found <= bound,
            "{line}: {} MiB of {}",
            found >> 20,
            bound >> 20
        );
    }
}

#[test]
fn a_small_model_stays_within_its_plan() {
    stays_within_its_plan("--size dit-s/4 --rank-split 128,16");
}

/// `cargo test --release --workspace --test memory -- --ignored`
#[test]
#[ignore = "takes minutes, 3 GB of memory and 5 GB of disk"]
fn a_model_of_a_hundred_million_parameters_stays_within_its_plan() {
    stays_within_its_plan("--size dit-b/4 --rank-split 256,32");
}
