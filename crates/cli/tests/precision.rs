//! `--precision bf16`: training, going on, adapting and drawing, or a refusal where the processor cannot.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{SMALL, contents, fails, pretrain, succeeds, transfer};
use std::fs;
use std::path::Path;

const BF16: &[&str] = &["--precision", "bf16"];

fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    let found = is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    let found = false;
    found
}

/// Trained losses by step.
fn losses(folder: &Path) -> Vec<f64> {
    let text = fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let events = text.lines().map(|l| serde_json::from_str(l).unwrap());
    let loss = |event: serde_json::Value| event.get("loss")?.as_f64();
    events.filter_map(loss).collect()
}

#[test]
fn a_processor_without_bf16_is_told_so_before_there_is_a_folder() {
    if has_bf16() {
        eprintln!("skipped: this processor has AVX512-BF16");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let args = [&["pretrain", "--out", "run"], SMALL, BF16].concat();
    fails(folder, &args, 2, &["AVX512-BF16", "--precision f32"]);
    assert!(!folder.join("run").exists());
}

#[test]
fn runs_in_bf16_follow_those_in_f32_and_go_on_to_the_bit() {
    if !has_bf16() {
        eprintln!("skipped: no AVX512-BF16");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The gates of the blocks begin closed: a few steps at a high rate open them far enough to see what is inside.
    let steps = [
        "--lr",
        "0.01",
        "--set",
        "train.warmup=1",
        "--set",
        "train.ema=0",
        "--steps",
        "8",
        "--checkpoint-every",
        "4",
        "--set",
        "train.log_every=1",
    ];
    let bf16 = [&steps, BF16].concat();
    pretrain(folder, "base", &bf16);
    pretrain(folder, "f32", &steps);
    let [short, full] = ["base", "f32"].map(|name| losses(&folder.join(name)));
    assert_eq!(short.len(), 8);
    assert_ne!(short, full);
    for (short, full) in short.iter().zip(&full) {
        assert!((short / full - 1.0).abs() < 0.01, "{short} {full}");
    }

    pretrain(folder, "again", &bf16);
    let last = folder.join("again/checkpoints/step-00000008");
    let expected = contents(&last);
    fs::remove_dir_all(&last).unwrap();
    succeeds(folder, &["resume", "again"]);
    assert!(contents(&last) == expected);

    transfer(folder, "novel", &[]);
    let config = fs::read_to_string(folder.join("novel/config.toml")).unwrap();
    assert!(config.contains("precision = \"bf16\""), "{config}");

    let draw = |name: &str, precision| {
        let args = [
            "sample", "base", "--count", "2", "--steps", "4", "--out", name,
        ];
        succeeds(folder, &[&args[..], &["--precision", precision]].concat());
        fs::read(folder.join(name)).unwrap()
    };
    assert!(draw("short.png", "bf16") != draw("full.png", "f32"));
}
