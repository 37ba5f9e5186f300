//! Checkpoints with DiT's names as training programs leave them, folders of diffusers and pipelines: which weights are
//! taken of them, and what is said.
//!
//! The files are of torch's, diffusers' and safetensors' own making: `reference/foreign.py`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may panic as tests do"
)]

mod common;

use burn::tensor::Device;
use common::fixture;
use learngene_diffusion::{ScheduleKind, Target};
use learngene_formats::container;
use learngene_nn::params;
use learngene_transfer::interop::checkpoint::{self, Asked};
use learngene_transfer::interop::{Imported, Remark, diffusers};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn foreign(name: &str) -> PathBuf {
    fixture("../foreign").join(name)
}

const ASKED: Asked<'_> = Asked {
    part: None,
    heads: Some(2),
    classes: None,
};

fn read(path: &Path, asked: &Asked<'_>) -> Imported {
    let read = checkpoint::read(path, asked, &Device::flex());
    read.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn refusal(name: &str, asked: &Asked<'_>) -> String {
    let read = checkpoint::read(&foreign(name), asked, &Device::flex());
    read.err().unwrap().to_string()
}

fn warnings(imported: &Imported) -> Vec<&str> {
    let remarks = imported.remarks.iter();
    let texts = remarks.filter_map(|remark| match remark {
        Remark::Warning(text) => Some(text.as_str()),
        Remark::Note(_) => None,
    });
    texts.collect()
}

/// One tensor, in which `half` and `average` differ.
fn one(imported: &Imported) -> Vec<f32> {
    params::values(&imported.model)["blocks.0.mlp.input.weight"]
        .values
        .clone()
}

#[test]
fn the_weights_are_found_behind_whatever_stands_before_them() {
    let stored = |name: &str| {
        let mut tensors = container::read(foreign(name)).unwrap().tensors;
        tensors.remove("blocks.0.mlp.fc1.weight").unwrap().values
    };
    let [weights, average] = ["half.safetensors", "average.safetensors"].map(stored);
    assert_ne!(weights, average);
    for (name, expected) in [
        ("half.pt", &weights),
        ("half.safetensors", &weights),
        ("module.pt", &weights),
        ("orig_mod.pt", &weights),
        ("both.pt", &weights),
        ("averaged-model.pt", &weights),
        ("lightning.pt", &weights),
        ("strided.pt", &weights),
        ("accelerate", &weights),
        ("root-tensor.pt", &average),
        ("training.pt", &average),
        ("ema-pytorch.pt", &average),
        ("nested.pt", &average),
    ] {
        assert!(checkpoint::is_one(&foreign(name)).unwrap(), "{name}");
        let imported = read(&foreign(name), &ASKED);
        assert!(one(&imported) == *expected, "{name}");
        assert_eq!(warnings(&imported), [""; 0], "{name}");
        assert_eq!(imported.config.model.num_classes, 3, "{name}");
    }
    for (name, part) in [
        ("root-tensor.pt", "model"),
        ("training.pt", "model"),
        ("ema-pytorch.pt", "online_model"),
        ("nested.pt", "model"),
    ] {
        let part = Some(part);
        let imported = read(&foreign(name), &Asked { part, ..ASKED });
        assert!(one(&imported) == weights, "{name}");
    }
    let part = Some("model");
    let error = refusal("half.safetensors", &Asked { part, ..ASKED });
    assert!(
        error.contains("none of its names begins with model."),
        "{error}"
    );
}

#[test]
fn positions_rounded_to_their_type_are_not_trained_ones() {
    let imported = read(&foreign("bf16.safetensors"), &ASKED);
    assert_eq!(imported.config.model.input, [4, 4, 4]);
    let error = refusal("trained-positions.pt", &ASKED);
    assert!(
        error.contains("trained positions cannot be kept"),
        "{error}"
    );
    let error = refusal("int8.pt", &ASKED);
    assert!(
        error.contains("`blocks.0.mlp.fc1.weight` is a torch.CharStorage"),
        "{error}"
    );
}

#[test]
fn a_network_of_another_process_is_not_taken_for_a_predictor_of_noise() {
    let error = refusal("sit.pt", &ASKED);
    for part in [
        "`model` SiT-S/2",
        "`path_type` Linear",
        "`prediction` velocity",
        "does not predict the noise",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let imported = read(&foreign("SiT-S-2.pt"), &ASKED);
    assert!(matches!(&warnings(&imported)[..], [text] if text.contains("its name says SiT")));
    // Nothing says what any other one predicts: that is said.
    let imported = read(&foreign("half.pt"), &ASKED);
    assert!(
        matches!(&imported.remarks[..], [Remark::Note(text)] if text.contains("taken for the noise"))
    );
}

#[test]
fn a_label_table_without_a_row_of_no_class_gets_one() {
    let stored = container::read(foreign("no-null-row.safetensors"))
        .unwrap()
        .tensors;
    let stored = &stored["y_embedder.embedding_table.weight"];
    assert_eq!(stored.shape, [3, 8]);
    // The options of the training say how many classes there are; where there are none, whoever imports says it.
    let classes = Some(3);
    for imported in [
        read(&foreign("no-null-row.pt"), &ASKED),
        read(
            &foreign("no-null-row.safetensors"),
            &Asked { classes, ..ASKED },
        ),
    ] {
        assert_eq!(imported.config.model.num_classes, 3);
        let table = &params::values(&imported.model)["label.table"];
        assert_eq!(table.shape, [4, 8]);
        assert_eq!(table.values[..24], stored.values);
        let mean = (0..3).map(|row| stored.values[row * 8]).sum::<f32>() / 3.0;
        assert!((table.values[24] - mean).abs() < 1e-6);
        assert!(
            matches!(&warnings(&imported)[..], [text] if text.contains("draw with --guidance 1"))
        );
    }
    let imported = read(&foreign("no-null-row.safetensors"), &ASKED);
    assert_eq!(imported.config.model.num_classes, 2);
}

/// A pipeline with the fixture's network, a scheduler and names of its five classes.
fn pipeline(folder: &Path, scheduler: &str, names: &Value) -> Result<Imported, String> {
    let inner = folder.join("transformer");
    fs::create_dir_all(&inner).unwrap();
    fs::create_dir_all(folder.join("scheduler")).unwrap();
    for file in ["config.json", "diffusion_pytorch_model.safetensors"] {
        fs::copy(fixture("transformer").join(file), inner.join(file)).unwrap();
    }
    let from = foreign("schedulers").join(format!("{scheduler}.json"));
    fs::copy(from, folder.join("scheduler/scheduler_config.json")).unwrap();
    let index = json!({"_class_name": "DiTPipeline", "id2label": names});
    fs::write(folder.join("model_index.json"), index.to_string()).unwrap();
    let found = diffusers::find(folder).unwrap();
    diffusers::read(&found, &Device::flex()).map_err(|error| error.to_string())
}

#[test]
fn a_pipeline_says_what_its_network_predicts_and_on_which_schedule() {
    let folder = tempfile::tempdir().unwrap();
    for (scheduler, target, kind, steps) in [
        ("published", Target::Epsilon, ScheduleKind::Linear, 1000),
        ("v-cosine", Target::Velocity, ScheduleKind::Cosine, 1000),
        ("short", Target::Epsilon, ScheduleKind::Linear, 500),
        ("solver", Target::Epsilon, ScheduleKind::Linear, 1000),
        ("euler", Target::Epsilon, ScheduleKind::Linear, 1000),
    ] {
        let imported = pipeline(folder.path(), scheduler, &Value::Null).unwrap();
        let train = &imported.config.train;
        let found = (
            train.objective.target,
            train.schedule,
            train.diffusion_steps,
        );
        assert_eq!(found, (target, kind, steps), "{scheduler}");
        assert_eq!(warnings(&imported), [""; 0], "{scheduler}");
        let noted = imported.remarks.len();
        assert_eq!(noted, usize::from(scheduler == "solver"), "{scheduler}");
        // Whoever names the network's folder, or its file, means the same network.
        let inner = folder.path().join("transformer");
        for path in [
            inner.clone(),
            inner.join("diffusion_pytorch_model.safetensors"),
        ] {
            let found = diffusers::find(&path).unwrap();
            let again = diffusers::read(&found, &Device::flex()).unwrap();
            assert_eq!(again.config.train, imported.config.train);
        }
    }
    let zero = pipeline(folder.path(), "zero-snr", &Value::Null).unwrap();
    assert_eq!(zero.config.train.schedule, ScheduleKind::Cosine);
    assert_eq!(zero.config.train.objective.target, Target::Velocity);
    assert!(matches!(&warnings(&zero)[..], [text] if text.contains("`rescale_betas_zero_snr`")));
    assert!(
        matches!(&zero.remarks[..], [_, Remark::Note(text)] if text.contains("`timestep_spacing` \"trailing\""))
    );
    for (scheduler, parts) in [
        (
            "stable-diffusion",
            &[
                "`beta_schedule` scaled_linear",
                "`beta_end` 0.012",
                "copy of the folder",
            ][..],
        ),
        ("trained-betas", &["`trained_betas` are no schedule"]),
        ("sample", &["`prediction_type` is sample"]),
        (
            "flow-match",
            &["FlowMatchEulerDiscreteScheduler", "straight path"],
        ),
        ("flow-sigmas", &["`use_flow_sigmas`"]),
    ] {
        let error = pipeline(folder.path(), scheduler, &Value::Null)
            .err()
            .unwrap();
        for part in parts {
            assert!(error.contains(part), "{scheduler}: {error}");
        }
    }
}

#[test]
fn a_pipeline_names_its_classes() {
    let folder = tempfile::tempdir().unwrap();
    let names = json!({"0": "heron", "1": "tench, Tinca tinca", "2": "crane", "3": "crane", "4": "maillot, suit"});
    let imported = pipeline(folder.path(), "published", &names).unwrap();
    assert_eq!(
        imported.config.classes,
        ["heron", "tench", "crane 2", "crane 3", "maillot"]
    );
    let some = pipeline(folder.path(), "published", &json!({"3": "owl"})).unwrap();
    assert_eq!(some.config.classes, ["0", "1", "2", "owl", "4"]);
    for (names, part) in [
        (json!({"5": "x"}), "`id2label` has `5`"),
        (json!({"a": "x"}), "`id2label` has `a`"),
        (json!({"0": 3}), "`id2label` has 3 for `0`"),
        (json!(["a"]), "`id2label` is [\"a\"]"),
    ] {
        let error = pipeline(folder.path(), "published", &names).err().unwrap();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_an_average_leaves_in_a_description_says_nothing_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let file = "diffusion_pytorch_model.safetensors";
    fs::copy(fixture("transformer").join(file), folder.path().join(file)).unwrap();
    fs::copy(
        foreign("ema-config.json"),
        folder.path().join("config.json"),
    )
    .unwrap();
    let text = fs::read_to_string(foreign("ema-config.json")).unwrap();
    assert!(text.contains("\"inv_gamma\""), "{text}");
    let imported = diffusers::read(folder.path(), &Device::flex()).unwrap();
    let plain = diffusers::read(&fixture("transformer"), &Device::flex()).unwrap();
    assert_eq!(
        params::values(&imported.model),
        params::values(&plain.model)
    );
    // The same weights as a variant alone, which diffusers loads if its name is given.
    let variant = folder
        .path()
        .join("diffusion_pytorch_model.fp16.safetensors");
    fs::rename(folder.path().join(file), variant).unwrap();
    let imported = diffusers::read(folder.path(), &Device::flex()).unwrap();
    assert!(
        matches!(&imported.remarks[..], [_, Remark::Note(text)] if text.contains("the variant fp16"))
    );
}
