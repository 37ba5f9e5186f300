//! Which weights of a run a MODEL means: the moving average of the newest checkpoint, the raw ones, those of the best.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{fails, pretrain, succeeds};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn draw(folder: &Path, model: &str, more: &[&str]) -> Vec<u8> {
    let args = ["sample", model, "--count", "1", "--steps", "2"];
    succeeds(folder, &[&args, more, &["--npz", "drawn.npz"]].concat());
    fs::read(folder.join("drawn.npz")).unwrap()
}

fn validations(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    let events = text.lines().map(|l| serde_json::from_str(l).unwrap());
    events
        .filter(|e: &Value| e["event"] == "validation")
        .collect()
}

#[test]
fn raw_weights_are_drawn_with_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "run", &["--steps", "6", "--set", "train.ema=0.9"]);
    let step = "run/checkpoints/step-00000006";
    let raw = draw(folder, &format!("{step}/model.safetensors"), &[]);
    for model in ["run", step] {
        assert_eq!(draw(folder, model, &["--raw"]), raw);
        assert_eq!(draw(folder, &format!("{model}/raw"), &[]), raw);
        assert_ne!(draw(folder, model, &[]), raw);
    }
    let file = format!("{step}/ema.safetensors");
    let asked = ["sample", &file, "--raw", "--out", "x.png"];
    fails(folder, &asked, 3, &["a file holds one set of weights"]);
}

/// Before there was a warm-up, a run of 60 steps at a slow average was judged by a model of which 0.9995^60 = 97 % was the
/// random start; now both losses are near each other, and both are said.
#[test]
fn the_average_of_a_short_run_is_near_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let slow = [
        "--steps",
        "60",
        "--set",
        "train.ema=0.9995",
        "--set",
        "train.warmup=5",
    ];
    let old = [&slow[..], &["--set", "train.ema_warmup=false"]].concat();
    let said = pretrain(folder, "new", &slow);
    pretrain(folder, "old", &old);
    let losses = |run: &str| {
        let validations = validations(&folder.join(run));
        let last = validations.last().unwrap();
        ["velocity", "raw_velocity"].map(|key| last[key].as_f64().unwrap())
    };
    let ([average, raw], [stale, same]) = (losses("new"), losses("old"));
    assert_eq!(raw, same, "the average has no say in training");
    assert!(average < 1.15 * raw, "{average} {raw}");
    assert!(stale > 1.3 * raw, "{stale} {raw}");
    let line = format!("validation v loss {average:.4} (raw weights {raw:.4})");
    assert!(said.contains(&line), "{said}");
}
