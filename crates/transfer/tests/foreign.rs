//! Models and adapters of other programs: the numbers those programs computed, and files that are not what they say.
//!
//! The fixture is random weights of diffusers' and PEFT's own making with their answers: `reference/diffusers_dit.py`.
//! `cli/tests/python.rs` asks those programs themselves, at the size of DiT-S/2.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{difference, filled, shape};
use learngene_formats::{container, torch};
use learngene_nn::{
    AdaLn, ClassGate, Conditions, Dit, DitConfig, FactorInit, RankSplit, Sharing, TimeCode, params,
};
use learngene_train::RunConfig;
use learngene_transfer::interop::{
    checkpoint, diffusers,
    lora::{self, Lora},
};
use std::fs;
use std::path::{Path, PathBuf};

/// The codes of times differ by this much: diffusers computes them in f32, with angles up to 999.
const TOLERANCE: f32 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/diffusers")
        .join(name)
}

/// What our model says to the fixture's questions, with this gate for every sample.
fn said(model: &Dit, gate: &[(usize, f32)]) -> Vec<f32> {
    let asked = container::read(fixture("answers.safetensors"))
        .unwrap()
        .tensors;
    let x = &asked["x"];
    let x = TensorData::new(x.values.clone(), x.shape.clone());
    let classes = model.config().num_classes;
    let labels = asked["y"]
        .values
        .iter()
        .map(|&y| Some(y as usize).filter(|&y| y < classes));
    let conditions = Conditions {
        times: asked["t"].values.iter().map(|&t| f64::from(t)).collect(),
        labels: labels.collect(),
        gate: ClassGate::new(vec![gate.to_vec(); asked["t"].values.len()]),
    };
    params::to_vec(
        model
            .forward(Tensor::from_data(x, &Device::flex()), &conditions)
            .unwrap(),
    )
}

/// What the other program said.
fn answer(name: &str) -> Vec<f32> {
    container::read(fixture("answers.safetensors"))
        .unwrap()
        .tensors[name]
        .values
        .clone()
}

fn close(a: &[f32], b: &[f32]) {
    let apart = difference(a, b);
    assert!(apart < TOLERANCE, "{apart:e}");
}

fn from_diffusers() -> (RunConfig, Dit) {
    diffusers::read(&fixture("transformer"), &Device::flex()).unwrap()
}

/// A factorised model with a shared adaLN matrix and tailors of three classes.
fn kind() -> (RunConfig, Dit) {
    let split = RankSplit {
        learngene: 8,
        tailor: 3,
    };
    filled(shape().with_rank_split(split).unwrap())
}

#[test]
fn a_model_of_diffusers_computes_what_diffusers_does() {
    let (config, model) = from_diffusers();
    assert_eq!(config.model.time_code, TimeCode::Diffusers);
    assert_eq!(config.model.mlp_norm_eps, Some(1e-5));
    assert_eq!(config.classes, ["0", "1", "2", "3", "4"]);
    let apart = difference(&said(&model, &[]), &answer("out"));
    assert!(apart < 1e-5, "{apart:e}");
    // Both peculiarities of diffusers are in the answer: without either it is another one.
    for other in [
        DitConfig {
            time_code: TimeCode::Dit,
            ..config.model.clone()
        },
        DitConfig {
            mlp_norm_eps: Some(1e-2),
            ..config.model.clone()
        },
    ] {
        let start = Dit::init(&other, FactorInit::ZeroStart, 0, &Device::flex()).unwrap();
        let model = params::replace(start, &params::values(&model)).unwrap();
        assert!(difference(&said(&model, &[]), &answer("out")) > TOLERANCE);
    }
}

#[test]
fn what_was_read_is_written_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (config, model) = from_diffusers();
    assert!(!diffusers::write(&config, &model, folder.path()).unwrap());
    let weights = "diffusion_pytorch_model.safetensors";
    let written = container::read(folder.path().join("transformer").join(weights)).unwrap();
    let original = container::read(fixture("transformer").join(weights)).unwrap();
    assert_eq!(written.tensors, original.tensors);
    let found = diffusers::find(folder.path()).unwrap();
    let (again, copy) = diffusers::read(&found, &Device::flex()).unwrap();
    assert_eq!(again, config);
    assert_eq!(params::values(&copy), params::values(&model));
}

#[test]
fn a_checkpoint_of_dit_computes_what_dit_does() {
    let device = Device::flex();
    let path = fixture("dit.pt");
    let (config, model) = checkpoint::read(&path, None, Some(2), &device).unwrap();
    assert_eq!(
        (config.model.time_code, config.model.mlp_norm_eps),
        (TimeCode::Dit, None)
    );
    assert_eq!(
        (config.model.input, config.model.num_classes),
        ([3, 8, 8], 5)
    );
    assert!(config.model.learn_sigma && config.train.objective.learned_variance);
    close(&said(&model, &[]), &answer("dit"));
    assert!(difference(&answer("out"), &answer("dit")) > TOLERANCE);

    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("written.pt");
    checkpoint::write(&config, &model, &written).unwrap();
    let read = |path: &Path| torch::read(path, None).unwrap();
    let (mut ours, mut theirs) = (read(&written), read(&path));
    // Computed, and only within rounding the same.
    let positions = [&mut ours, &mut theirs].map(|t| t.remove("pos_embed").unwrap());
    close(&positions[0].values, &positions[1].values);
    assert_eq!(ours, theirs);
    let (_, again) = checkpoint::read(&written, None, Some(2), &device).unwrap();
    assert_eq!(params::values(&again), params::values(&model));
}

#[test]
fn checkpoints_that_are_no_dit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.pt");
    let original = torch::read(&fixture("dit.pt"), None).unwrap();
    let refused = |heads, parts: &[&str]| {
        let error = checkpoint::read(&path, None, heads, &Device::flex())
            .err()
            .unwrap()
            .to_string();
        for part in parts {
            assert!(error.contains(part), "`{error}` does not say `{part}`");
        }
    };
    torch::write(&path, &original).unwrap();
    refused(None, &["width 16 is of no published size", "--heads"]);
    refused(Some(3), &["16 with 3 heads"]);
    let mut moved = original.clone();
    moved.get_mut("pos_embed").unwrap().values[20] += 0.01;
    torch::write(&path, &moved).unwrap();
    refused(Some(2), &["`pos_embed` is not the fixed code"]);
    let mut lost = original.clone();
    lost.remove("blocks.0.mlp.fc1.bias");
    lost.insert("y_embedder.extra".into(), original["pos_embed"].clone());
    lost.get_mut("blocks.1.attn.qkv.bias").unwrap().shape = vec![3, 16];
    torch::write(&path, &lost).unwrap();
    refused(
        Some(2),
        &[
            "missing 1: blocks.0.mlp.fc1.bias",
            "unexpected 1: y_embedder.extra",
            "blocks.1.attn.qkv.bias expected [48] found [3, 16]",
        ],
    );
    let mut deep = original.clone();
    deep.insert(
        "blocks.18446744073709551615.x".into(),
        original["pos_embed"].clone(),
    );
    torch::write(&path, &deep).unwrap();
    refused(Some(2), &["depth", "at most 1024"]);
    let mut unlike = original;
    unlike.remove("x_embedder.proj.weight");
    torch::write(&path, &unlike).unwrap();
    refused(
        Some(2),
        &["has no `x_embedder.proj.weight`, so it is no checkpoint of DiT"],
    );
}

#[test]
fn adapters_of_peft_compute_what_peft_does() {
    let (config, model) = from_diffusers();
    for (name, rank) in [("lora-0", 2), ("lora-1", 3)] {
        let change = Lora::read(&fixture(name), &config.model).unwrap();
        let (config, adapted) = lora::attach(&config, &model, &[(None, change)]).unwrap();
        assert_eq!(
            (config.model.tailor_rank, config.model.sharing),
            (rank, Sharing::Every)
        );
        close(&said(&adapted, &[(0, 1.0)]), &answer(name));
        assert!(difference(&said(&adapted, &[]), &answer(name)) > TOLERANCE);
    }
    // As tailors of classes, ranks that differ are filled up with zeros.
    let read = |class: &str, name| {
        let change = Lora::read(&fixture(name), &config.model).unwrap();
        (Some(class.to_owned()), change)
    };
    let (joined, gated) =
        lora::attach(&config, &model, &[read("3", "lora-0"), read("1", "lora-1")]).unwrap();
    assert_eq!((joined.model.groups, joined.model.tailor_rank), (5, 3));
    close(&said(&gated, &[(3, 1.0)]), &answer("lora-0"));
    close(&said(&gated, &[(1, 1.0)]), &answer("lora-1"));
    close(&said(&gated, &[(0, 1.0)]), &answer("out"));
    let twice = lora::attach(&config, &model, &[read("3", "lora-0"), read("3", "lora-1")]);
    assert!(
        twice
            .err()
            .unwrap()
            .to_string()
            .contains("one for each class")
    );
    let unknown = lora::attach(&config, &model, &[read("9", "lora-0")]);
    assert!(unknown.err().unwrap().to_string().contains("no class `9`"));
    let again = lora::attach(&joined, &gated, &[read("3", "lora-0")]);
    assert!(
        again
            .err()
            .unwrap()
            .to_string()
            .contains("model with tailors")
    );
}

#[test]
fn an_adapter_is_written_as_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = from_diffusers();
    let change = Lora::read(&fixture("lora-0"), &config.model).unwrap();
    change.write(folder.path(), &config.model).unwrap();
    let read = |folder: &Path| container::read(folder.join("adapter_model.safetensors")).unwrap();
    assert_eq!(
        read(folder.path()).tensors,
        read(&fixture("lora-0")).tensors
    );
    let text = fs::read_to_string(folder.path().join("adapter_config.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["r"], &json["lora_alpha"]), (&2.into(), &5.0.into()));
}

#[test]
fn a_learngene_and_its_tailors_are_a_dense_model_and_its_adapters() {
    let folder = tempfile::tempdir().unwrap();
    let (config, model) = kind();
    assert!(diffusers::write(&config, &model, folder.path()).unwrap());
    let found = diffusers::find(folder.path()).unwrap();
    let (plain, learngene) = diffusers::read(&found, &Device::flex()).unwrap();
    assert_eq!(plain.classes, config.classes);
    assert_eq!(
        (plain.model.adaln, plain.model.time_code),
        (AdaLn::PerBlock, TimeCode::Dit)
    );
    close(&said(&learngene, &[]), &said(&model, &[]));
    for (i, (class, tailor)) in lora::of_model(&config, &model).into_iter().enumerate() {
        assert_eq!(class.as_deref(), Some(["a", "b", "c"][i]));
        let path = folder.path().join(format!("tailors/{i}"));
        tailor.write(&path, &config.model).unwrap();
        let read = Lora::read(&path, &plain.model).unwrap();
        let (_, adapted) = lora::attach(&plain, &learngene, &[(class, read)]).unwrap();
        close(&said(&adapted, &[(i, 1.0)]), &said(&model, &[(i, 1.0)]));
        assert!(difference(&said(&adapted, &[]), &said(&model, &[(i, 1.0)])) > TOLERANCE);
    }
}

/// The fixture's adapter under other names, in one file.
fn renamed(folder: &Path, rename: impl Fn(&str) -> String, alpha: Option<f32>) -> PathBuf {
    let mut contents = container::read(fixture("lora-0/adapter_model.safetensors")).unwrap();
    let tensors = std::mem::take(&mut contents.tensors);
    for (name, tensor) in tensors {
        let new = rename(name.strip_prefix("base_model.model.").unwrap());
        if let (Some(alpha), true) = (alpha, new.ends_with(".lora_down.weight")) {
            let alpha = container::TensorEntry {
                shape: vec![],
                values: vec![alpha],
            };
            contents
                .tensors
                .insert(new.replace("lora_down.weight", "alpha"), alpha);
        }
        contents.tensors.insert(new, tensor);
    }
    let path = folder.join("other.safetensors");
    container::write(&path, &contents).unwrap();
    path
}

/// `transformer_blocks.0.attn1.to_q.lora_A.weight` as kohya's scripts have it.
fn kohya(name: &str) -> String {
    let (module, end) = name.rsplit_once(".lora_").unwrap();
    let end = end.replace("A.", "down.").replace("B.", "up.");
    format!("lora_unet_{}.lora_{end}", module.replace('.', "_"))
}

#[test]
fn files_of_kohya_and_diffusers_are_the_same_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let (config, model) = from_diffusers();
    let adapted = |path: &Path| {
        let change = Lora::read(path, &config.model).unwrap();
        lora::attach(&config, &model, &[(None, change)]).unwrap().1
    };
    // The fixture's alpha is 5.
    let path = renamed(folder.path(), kohya, Some(5.0));
    close(&said(&adapted(&path), &[(0, 1.0)]), &answer("lora-0"));
    // A file whose matrices have different ranks is one of the largest, filled up with zeros.
    let mut contents = container::read(&path).unwrap();
    let tensors = &mut contents.tensors;
    let first = "lora_unet_transformer_blocks_0_attn1_to_q";
    let [down, up, alpha] =
        ["lora_down.weight", "lora_up.weight", "alpha"].map(|end| format!("{first}.{end}"));
    let entry = |shape: &[usize], values| container::TensorEntry {
        shape: shape.to_vec(),
        values,
    };
    // A third component of A, and zeros for it in B.
    let a = [&tensors[&down].values[..], &[9.0; 16]].concat();
    let b = tensors[&up]
        .values
        .chunks(2)
        .flat_map(|b| [b[0], b[1], 0.0])
        .collect();
    tensors.insert(down, entry(&[3, 16], a));
    tensors.insert(up, entry(&[16, 3], b));
    tensors.insert(alpha, entry(&[], vec![7.5]));
    let uneven = folder.path().join("uneven.safetensors");
    container::write(&uneven, &contents).unwrap();
    close(&said(&adapted(&uneven), &[(0, 1.0)]), &answer("lora-0"));
    let change = Lora::read(&uneven, &config.model).unwrap();
    change
        .write(&folder.path().join("again"), &config.model)
        .unwrap();
    let again = adapted(&folder.path().join("again"));
    close(&said(&again, &[(0, 1.0)]), &answer("lora-0"));
    // Without one there is no factor, as if alpha were the rank, 2.
    let path = renamed(folder.path(), kohya, Some(2.0));
    let by_two = said(&adapted(&path), &[(0, 1.0)]);
    let path = renamed(folder.path(), |name| format!("transformer.{name}"), None);
    assert_eq!(said(&adapted(&path), &[(0, 1.0)]), by_two);
}

#[test]
fn adapters_of_another_architecture_are_refused_with_every_difference() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = from_diffusers();
    let refused = |path: &Path, shape: &DitConfig, parts: &[&str]| {
        let error = Lora::read(path, shape).err().unwrap().to_string();
        for part in parts {
            assert!(error.contains(part), "`{error}` does not say `{part}`");
        }
    };
    let wide = DitConfig {
        hidden: 32,
        ..config.model.clone()
    };
    let a = "A of blocks.0.attention.q expected [2, 32] found [2, 16]";
    let b = "B of blocks.1.mlp.output expected [32, 2] found [16, 2]";
    refused(&fixture("lora-0"), &wide, &[a, b]);
    let other = |name: &str| name.replace("attn1.to_q", "attn2.to_q");
    let path = renamed(folder.path(), other, None);
    refused(
        &path,
        &config.model,
        &[
            "unexpected 4",
            "transformer_blocks.1.attn2.to_q.lora_B.weight",
        ],
    );
    let lost = |name: &str| name.replace("transformer_blocks.0.ff.net.2.lora_B", "x");
    let path = renamed(folder.path(), lost, None);
    refused(
        &path,
        &config.model,
        &[
            "missing 1: A or B of blocks.0.mlp.output",
            "unexpected 1: x.weight",
        ],
    );

    let text = fs::read_to_string(fixture("lora-0/adapter_config.json")).unwrap();
    let weights = fs::read(fixture("lora-0/adapter_model.safetensors")).unwrap();
    fs::write(folder.path().join("adapter_model.safetensors"), weights).unwrap();
    for (from, to, part) in [
        ("\"LORA\"", "\"LOHA\"", "its `peft_type` is `LOHA`"),
        (
            "\"use_dora\": false",
            "\"use_dora\": true",
            "`use_dora` is true",
        ),
        (
            "\"bias\": \"none\"",
            "\"bias\": \"all\"",
            "`bias` is \"all\"",
        ),
        (
            "\"alpha_pattern\": {}",
            "\"alpha_pattern\": {\"to_q\": 2}",
            "`alpha_pattern` is",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(
            folder.path().join("adapter_config.json"),
            text.replace(from, to),
        )
        .unwrap();
        refused(folder.path(), &config.model, &[part]);
    }
}

#[test]
fn folders_that_are_no_dit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = fs::read_to_string(fixture("transformer/config.json")).unwrap();
    let file = "diffusion_pytorch_model.safetensors";
    fs::copy(fixture("transformer").join(file), folder.join(file)).unwrap();
    let refused = |parts: &[&str]| {
        let error = diffusers::read(folder, &Device::flex())
            .err()
            .unwrap()
            .to_string();
        for part in parts {
            assert!(error.contains(part), "`{error}` does not say `{part}`");
        }
    };
    for (from, to, part) in [
        (
            "DiTTransformer2DModel",
            "UNet2DModel",
            "`_class_name` is UNet2DModel",
        ),
        ("gelu-approximate", "geglu", "`activation_fn` is \"geglu\""),
        (
            "\"out_channels\": 6",
            "\"out_channels\": 7",
            "`out_channels` is 7, expected 3, or 6",
        ),
        (
            "\"num_layers\": 2",
            "\"num_layers\": -2",
            "`num_layers` is -2",
        ),
        (
            "\"num_layers\": 2",
            "\"num_layers\": 1000000",
            "at most 1024",
        ),
        (
            "\"dropout\"",
            "\"cross_attention_dim\": 8, \"dropout\"",
            "`cross_attention_dim` is 8",
        ),
        ("\"norm_eps\": 1e-05", "\"norm_eps\": -1", "mlp_norm_eps"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(folder.join("config.json"), text.replace(from, to)).unwrap();
        refused(&[part]);
    }
    let more = text.replace("\"num_layers\": 2", "\"num_layers\": 3");
    let more = more.replace("\"num_embeds_ada_norm\": 5", "\"num_embeds_ada_norm\": 6");
    fs::write(folder.join("config.json"), more).unwrap();
    let table = "transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight expected [7, 16] found [6, 16]";
    refused(&[
        "missing 19",
        "transformer_blocks.2.attn1.to_out.0.bias",
        table,
    ]);

    fs::write(folder.join("config.json"), &text).unwrap();
    let mut contents = container::read(folder.join(file)).unwrap();
    let copy = "transformer_blocks.1.norm1.emb.timestep_embedder.linear_2.bias";
    contents.tensors.get_mut(copy).unwrap().values[3] += 1.0;
    container::write(folder.join(file), &contents).unwrap();
    refused(&[copy, "differs from the same tensor of another block"]);
}

#[test]
fn what_other_programs_have_no_place_for_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (config, _) = kind();
    for (shape, part) in [
        (
            DitConfig {
                bottleneck: 2,
                ..config.model.clone()
            },
            "a bottleneck is no part of any matrix",
        ),
        (
            DitConfig {
                input: [3, 8, 4],
                ..config.model.clone()
            },
            "square inputs, this one 8x4",
        ),
        (
            DitConfig {
                mlp_ratio: 2,
                ..config.model.clone()
            },
            "4 times as wide as a token, this one 2",
        ),
    ] {
        let config = RunConfig {
            model: shape,
            ..config.clone()
        };
        let model = Dit::init(&config.model, config.init, 0, &Device::flex()).unwrap();
        let error = diffusers::write(&config, &model, &out)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
        assert!(!out.exists());
    }
}
