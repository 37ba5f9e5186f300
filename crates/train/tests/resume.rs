//! A run that was stopped and resumed leaves the same bytes as one that was not; a checkpoint that does not fit is
//! refused with everything that is wrong with it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use common::{
    checkpoint, config, data, device, go_on, quick, read, small_kind, small_tree, start, train,
};
use learngene_formats::{CheckpointWriter, Content, Kind, Retention, WeightFile};
use learngene_nn::DitConfig;
use learngene_train::{Run, RunConfig, TrainConfig};
use std::path::Path;

const FILES: [&str; 3] = [
    "model.safetensors",
    "ema.safetensors",
    "optimiser.safetensors",
];

/// Different classes each step, images mirrored, a falling rate: everything that depends on the step.
fn settings() -> TrainConfig {
    TrainConfig {
        classes_per_step: Some(5),
        flip: true,
        warmup: 3,
        checkpoint_every: 4,
        keep_last: 5,
        ..quick(10)
    }
}

#[test]
fn four_steps_and_six_are_ten() {
    assert_parts_are_the_whole(small_kind(), settings());
}

#[test]
fn with_superclasses_images_that_show_half_their_class_and_thin_steps() {
    let settings = TrainConfig {
        gate_dropout: 0.3,
        hide_label: 0.3,
        null_pressure: Some(0.5),
        thin_learngene: 0.5,
        ..settings()
    };
    assert_parts_are_the_whole(small_tree(), settings);
}

fn assert_parts_are_the_whole(model: DitConfig, settings: TrainConfig) {
    let dataset = data().load().unwrap();
    let config = config(model, settings, &dataset);
    let [straight, broken] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (outcome, _) = train(straight.path(), &config, start(&config), &dataset).unwrap();
    assert!(!outcome.interrupted);

    let run = Run::create(broken.path(), config.clone(), start(&config)).unwrap();
    let (outcome, _) = go_on(run, &dataset, Some(4)).unwrap();
    assert!(outcome.interrupted && outcome.step == 4);
    let (run, rejected) = Run::resume(broken.path(), &device()).unwrap();
    assert!(run.done() == 4 && rejected.is_empty());
    let (outcome, events) = go_on(run, &dataset, None).unwrap();
    assert!(!outcome.interrupted);
    assert_eq!(common::losses(&events).len(), 6);
    for step in [0, 4, 8, 10] {
        for file in FILES {
            let bytes = |run: &Path| std::fs::read(checkpoint(run, step).join(file)).unwrap();
            assert!(
                bytes(straight.path()) == bytes(broken.path()),
                "{file} of step {step}"
            );
        }
    }
}

/// A run of one step, to whose checkpoint the test does something.
struct Tampered {
    folder: tempfile::TempDir,
}

impl Tampered {
    fn new() -> Self {
        let dataset = data().load().unwrap();
        let config: RunConfig = config(small_kind(), quick(1), &dataset);
        let folder = tempfile::tempdir().unwrap();
        train(folder.path(), &config, start(&config), &dataset).unwrap();
        Self { folder }
    }

    /// What resuming says once `change` was made to a file, its checksums being in order.
    fn resume(&self, file: &str, change: impl Fn(&mut WeightFile)) -> String {
        let contents = FILES.map(|name| {
            let mut weights = read(self.folder.path(), 1, name);
            if name == file {
                change(&mut weights);
            }
            (name, weights.to_bytes().unwrap())
        });
        let files = contents
            .each_ref()
            .map(|(name, bytes)| (*name, Content::Bytes(bytes)));
        let retention = Retention {
            last: 5,
            best: false,
        };
        let folder = self.folder.path().join("checkpoints");
        let writer = CheckpointWriter::open(folder, retention).unwrap();
        writer.save(2, None, &files).unwrap();
        drop(writer);
        match Run::resume(self.folder.path(), &device()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn update_counts_that_do_not_fit_are_listed_together() {
    let run = Tampered::new();
    assert_eq!(run.resume("optimiser.safetensors", |_| {}), "");
    let text = run.resume("optimiser.safetensors", |file| {
        let extra = &mut file.header.extra;
        let tailors = |part: &str| format!("updates/blocks.0.mlp.input.tailors.{part}");
        extra.insert(tailors("u"), "1,1".into());
        extra.insert(tailors("s"), ["x"; 12].join(","));
        extra.insert(tailors("v"), ["3"; 12].join(","));
        extra.remove("updates/label.table").unwrap();
        extra.insert("updates/label.tabel".into(), "1".into());
    });
    let wrong = [
        "`blocks.0.mlp.input.tailors.u` has 2, expected 12",
        "`blocks.0.mlp.input.tailors.s` has counts that are not whole numbers",
        "`blocks.0.mlp.input.tailors.v` has more updates than the 2 steps done",
        "`label.table` has none",
        "`label.tabel` is not trained",
        "use an earlier one",
    ];
    assert_says(&text, &wrong);
}

#[test]
fn an_average_of_another_kind_or_model_is_refused() {
    let run = Tampered::new();
    let text = run.resume("ema.safetensors", |file| file.header.kind = Kind::Model);
    assert_says(&text, &["holds model, expected ema"]);
    let text = run.resume("ema.safetensors", |file| {
        let bias = file.tensors.remove("output.bias").unwrap();
        file.tensors.insert("output.bais".into(), bias);
        let table = file.tensors.get_mut("label.table").unwrap();
        table.shape = vec![16, 13];
    });
    let wrong = [
        "missing 1: output.bias",
        "unexpected 1: output.bais",
        "label.table expected [13, 16] found [16, 13]",
    ];
    assert_says(&text, &wrong);
}

#[test]
fn moments_that_do_not_fit_are_refused() {
    let run = Tampered::new();
    let text = run.resume("optimiser.safetensors", |file| {
        file.tensors.remove("output.bias/v").unwrap();
    });
    assert_says(&text, &["missing 1: output.bias/v"]);
}

#[test]
fn a_run_cannot_change_what_trains_on_the_way() {
    let run = Tampered::new();
    let file = run.folder.path().join("config.toml");
    let config = RunConfig::read(&file).unwrap();
    let changed = config
        .with_settings(["train.trainable.learngene=0.0"])
        .unwrap();
    std::fs::write(&file, changed.to_toml().unwrap()).unwrap();
    let text = run.resume("none", |_| {});
    assert_says(
        &text,
        &["config.toml", "`train.trainable`", "start a new run"],
    );
}
