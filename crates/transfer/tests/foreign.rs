//! Models of other programs: the numbers those programs computed, and files that are not what they say.
//!
//! The fixture is random weights of diffusers' and PEFT's own making with their answers: `reference/diffusers_dit.py`.
//! `cli/tests/python.rs` asks those programs themselves, at the size of DiT-S/2.

mod common;

use burn::tensor::Device;
use common::{TOLERANCE, answer, close, difference, fixture, from_diffusers, kind, said};
use learngene_formats::{container, torch};
use learngene_nn::{AdaLn, Dit, DitConfig, FactorInit, Prompts, TimeCode, params};
use learngene_train::RunConfig;
use learngene_transfer::interop::{
    Imported,
    checkpoint::{self, Asked},
    diffusers,
    lora::{self, Lora},
};
use std::fs;
use std::path::Path;

/// The attention of the fixture, which a checkpoint does not tell.
const TWO_HEADS: Asked<'_> = Asked {
    part: None,
    heads: Some(2),
    classes: None,
};

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
        let model = params::replace(start, params::values(&model)).unwrap();
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
    let again = diffusers::read(&found, &Device::flex()).unwrap();
    assert_eq!(again.config, config);
    assert_eq!(params::values(&again.model), params::values(&model));
}

#[test]
fn a_checkpoint_of_dit_computes_what_dit_does() {
    let device = Device::flex();
    let path = fixture("dit.pt");
    let Imported { config, model, .. } = checkpoint::read(&path, &TWO_HEADS, &device).unwrap();
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
    let again = checkpoint::read(&written, &TWO_HEADS, &device).unwrap();
    assert_eq!(params::values(&again.model), params::values(&model));
}

#[test]
fn checkpoints_that_are_no_dit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.pt");
    let original = torch::read(&fixture("dit.pt"), None).unwrap();
    let refused = |heads, parts: &[&str]| {
        let asked = Asked {
            heads,
            ..Asked::default()
        };
        let error = checkpoint::read(&path, &asked, &Device::flex())
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
fn a_learngene_and_its_tailors_are_a_dense_model_and_its_adapters() {
    let folder = tempfile::tempdir().unwrap();
    let (config, model) = kind();
    assert!(diffusers::write(&config, &model, folder.path()).unwrap());
    let found = diffusers::find(folder.path()).unwrap();
    let read = diffusers::read(&found, &Device::flex()).unwrap();
    let (plain, learngene) = (read.config, read.model);
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
        let gate = [(i, 1.0), (3, 1.0)];
        let ours = said(&model, &gate[..if i == 1 { 1 } else { 2 }]);
        close(&said(&adapted, &[(i, 1.0)]), &ours);
        assert!(difference(&said(&adapted, &[]), &ours) > TOLERANCE);
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
                prompts: Prompts::Plain,
                ..config.model.clone()
            },
            "a prompt is no part of any matrix",
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
