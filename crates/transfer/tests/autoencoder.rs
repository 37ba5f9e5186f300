//! The autoencoder of diffusers: what it computes, and files that are not what they say.
//!
//! The fixture is random weights of diffusers' own making with its answers: `reference/diffusers_vae.py`. At the shape of
//! Stable Diffusion's, `cli/tests/python.rs` asks diffusers itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::difference;
use learngene_formats::{
    TensorEntry,
    container::{self, Contents},
    torch,
};
use learngene_nn::{Autoencoder, params};
use learngene_transfer::interop::autoencoder;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Sums of f32 in another order. Found, relative to the largest value: mean 3.0e-7, log-variance 4.1e-7, image 7.6e-7.
const TOLERANCE: f32 = 1e-5;

type Tensors = BTreeMap<String, TensorEntry>;

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vae");
    folder.join(name)
}

fn read(path: &Path) -> Autoencoder {
    autoencoder::read(path, &Device::flex()).unwrap()
}

fn refused(path: &Path, parts: &[&str]) {
    let error = autoencoder::read(path, &Device::flex()).unwrap_err();
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

fn tensor(entry: &TensorEntry) -> Tensor<4> {
    let data = TensorData::new(entry.values.clone(), entry.shape.clone());
    Tensor::from_data(data, &Device::flex())
}

fn weights() -> Tensors {
    let path = fixture("vae/diffusion_pytorch_model.safetensors");
    container::read(path).unwrap().tensors
}

/// A folder with the fixture's description and a file of these tensors.
fn folder(file: &str, tensors: Tensors) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(
        fixture("vae/config.json"),
        folder.path().join("config.json"),
    )
    .unwrap();
    let path = folder.path().join(file);
    let contents = Contents {
        tensors,
        ..Contents::default()
    };
    container::write(&path, &contents).unwrap();
    (folder, path)
}

#[test]
fn moments_and_images_are_those_of_diffusers() {
    // The folder of a pipeline, in which the autoencoder lies in `vae`.
    let vae = read(&fixture(""));
    let config = vae.config();
    assert_eq!((config.scaling_factor, config.shift_factor), (0.5, 0.25));
    let asked = container::read(fixture("answers.safetensors"))
        .unwrap()
        .tensors;
    let moments = vae.encode(tensor(&asked["images"])).unwrap();
    let decoded = vae.decode(tensor(&asked["latents"])).unwrap();
    for (name, found) in [
        ("mean", moments.mean),
        ("log_variance", moments.log_variance),
        ("decoded", decoded),
    ] {
        let apart = difference(&params::to_vec(found), &asked[name].values);
        println!("{name}: {apart:.1e}");
        assert!(apart < TOLERANCE, "{name}: {apart:e}");
    }
}

#[test]
fn a_latent_is_drawn_with_the_factors_undone() {
    let vae = read(&fixture(""));
    let asked = container::read(fixture("answers.safetensors"))
        .unwrap()
        .tensors;
    let scaled: Vec<f32> = asked["latents"].values[..2 * 4 * 4]
        .iter()
        .map(|v| (v - 0.25) * 0.5)
        .collect();
    let drawn = vae.draw(&scaled, [2, 4, 4]).unwrap();
    let apart = difference(&drawn, &asked["decoded"].values[..3 * 8 * 8]);
    assert!(apart < TOLERANCE, "{apart:e}");
    // Larger than the images of training and than the least tile: in tiles.
    let large = vae.draw(&scaled.repeat(100), [2, 40, 40]).unwrap();
    assert_eq!(large.len(), 3 * 80 * 80);
    assert!(large.iter().all(|v| v.is_finite()));
    assert!(vae.draw(&scaled, [2, 4, 5]).is_err());
}

#[test]
fn a_written_folder_is_read_back_to_the_bit() {
    let vae = read(&fixture(""));
    let folder = tempfile::tempdir().unwrap();
    autoencoder::write(&vae, folder.path()).unwrap();
    let again = read(folder.path());
    assert_eq!(again.config(), vae.config());
    assert_eq!(again.values(), vae.values());
}

/// The name that latent diffusion has for a tensor of the fixture, which has two levels.
fn of_latent_diffusion(name: &str) -> String {
    let mut name = name.to_owned();
    for (new, old) in [
        ("mid_block.resnets.0", "mid.block_1"),
        ("mid_block.resnets.1", "mid.block_2"),
        ("mid_block.attentions.0", "mid.attn_1"),
        ("group_norm", "norm"),
        ("to_q", "q"),
        ("to_k", "k"),
        ("to_v", "v"),
        ("to_out.0", "proj_out"),
        ("down_blocks", "down"),
        ("up_blocks.0", "up.one"),
        ("up_blocks.1", "up.0"),
        ("up.one", "up.1"),
        ("resnets", "block"),
        ("conv_shortcut", "nin_shortcut"),
        ("downsamplers.0", "downsample"),
        ("upsamplers.0", "upsample"),
        ("conv_norm_out", "norm_out"),
    ] {
        name = name.replace(new, old);
    }
    format!("first_stage_model.{name}")
}

/// The name that diffusers had before 0.15.
fn of_older_diffusers(name: &str) -> String {
    let mut name = name.to_owned();
    for (new, old) in [
        ("to_q", "query"),
        ("to_k", "key"),
        ("to_v", "value"),
        ("to_out.0", "proj_attn"),
    ] {
        name = name.replace(new, old);
    }
    name
}

fn renamed(name_of: fn(&str) -> String, as_convolutions: bool) -> Tensors {
    let rename = |(name, mut tensor): (String, TensorEntry)| {
        if as_convolutions && name.contains(".to_") && tensor.shape.len() == 2 {
            tensor.shape.extend([1, 1]);
        }
        (name_of(&name), tensor)
    };
    weights().into_iter().map(rename).collect()
}

#[test]
fn older_names_and_those_of_latent_diffusion_are_the_same_model() {
    let expected = read(&fixture("")).values();
    let older = renamed(of_older_diffusers, false);
    assert!(older.contains_key("decoder.mid_block.attentions.0.proj_attn.weight"));
    let (kept, _) = folder("diffusion_pytorch_model.safetensors", older);
    assert_eq!(read(kept.path()).values(), expected);

    // A file of a whole pipeline: other tensors in it are passed over.
    let mut whole = renamed(of_latent_diffusion, true);
    assert!(whole.contains_key("first_stage_model.decoder.up.1.upsample.conv.weight"));
    assert_eq!(
        whole["first_stage_model.encoder.mid.attn_1.q.weight"].shape,
        [16, 16, 1, 1]
    );
    let other = TensorEntry {
        shape: vec![1],
        values: vec![7.0],
    };
    whole.insert("model.diffusion_model.out.2.bias".into(), other);
    let (kept, path) = folder("v1-5.safetensors", whole.clone());
    assert_eq!(read(&path).values(), expected);
    let pickled = kept.path().join("v1-5.ckpt");
    torch::write(&pickled, &whole).unwrap();
    assert_eq!(read(&pickled).values(), expected);

    fs::remove_file(kept.path().join("config.json")).unwrap();
    refused(
        &path,
        &["there is no ", "config.json", "how its latents are scaled"],
    );
}

#[test]
fn incomplete_weights_are_refused_by_name() {
    let mut tensors = weights();
    tensors.remove("encoder.conv_in.bias").unwrap();
    tensors.get_mut("quant_conv.bias").unwrap().shape = vec![2, 2];
    let surplus = tensors["decoder.conv_out.bias"].clone();
    tensors.insert("decoder.conv_out.bios".into(), surplus);
    let (kept, _) = folder("diffusion_pytorch_model.safetensors", tensors);
    refused(
        kept.path(),
        &[
            "missing 1: encoder.conv_in.bias",
            "unexpected 1: decoder.conv_out.bios",
            "quant_conv.bias expected [4] found [2, 2]",
        ],
    );

    let mut twice = weights();
    let query = twice["encoder.mid_block.attentions.0.to_q.bias"].clone();
    twice.insert("encoder.mid_block.attentions.0.query.bias".into(), query);
    let (kept, _) = folder("diffusion_pytorch_model.safetensors", twice);
    refused(kept.path(), &["to_q.bias` under two names"]);

    let mut bad = weights();
    bad.get_mut("decoder.conv_in.bias").unwrap().values[3] = f32::NAN;
    let (kept, _) = folder("diffusion_pytorch_model.safetensors", bad);
    refused(kept.path(), &["`decoder.conv_in.bias` holds NaN"]);
}

#[test]
fn descriptions_of_other_autoencoders_are_refused() {
    let (kept, _) = folder("diffusion_pytorch_model.safetensors", weights());
    let path = kept.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to, part) in [
        ("AutoencoderKL", "VQModel", "`_class_name` is \"VQModel\""),
        ("\"silu\"", "\"mish\"", "`act_fn` is \"mish\""),
        (
            "\"latents_mean\": null",
            "\"latents_mean\": [0.1]",
            "`latents_mean` is [0.1]",
        ),
        (
            "\"norm_num_groups\": 4",
            "\"norm_num_groups\": 3",
            "multiple of the 3 groups",
        ),
        (
            "\"scaling_factor\": 0.5",
            "\"scaling_factor\": 0",
            "scaling factor 0",
        ),
        (
            "\"DownEncoderBlock2D\",",
            "\"AttnDownEncoderBlock2D\",",
            "`down_block_types` is",
        ),
        (
            "\"sample_size\": 8",
            "\"sample_size\": \"8\"",
            "`sample_size` is \"8\"",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        refused(kept.path(), &[part]);
    }
    // Of more than a hundred million parameters, which are not made to find that out.
    let mut wide: serde_json::Value = serde_json::from_str(&text).unwrap();
    for width in wide["block_out_channels"].as_array_mut().unwrap() {
        *width = 1024.into();
    }
    fs::write(&path, wide.to_string()).unwrap();
    refused(kept.path(), &["tensors hold", "of another model"]);
}
