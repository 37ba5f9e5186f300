//! What is exported, loaded by the real diffusers and PEFT of PyPI, and the other way round.
//!
//! The Python that has them is named by `LEARNGENE_DIFFUSERS_PYTHON`; where it is not set the tests say so and check
//! nothing. To run them: `python3 -m venv v && v/bin/pip install torch diffusers peft pytorch-fid` and
//! `LEARNGENE_DIFFUSERS_PYTHON=v/bin/python cargo test --release --workspace --test python -- --nocapture`.
//!
//! Largest difference relative to the largest answer, in f32, with torch 2.15.0, diffusers 0.42.1 and peft 0.21.2:
//! DiT-S/2 with random weights of diffusers' 1.1e-6; after 12 steps of training the learngene 3.6e-7, with the tailors of
//! face, flag and hand 2.8e-7, 3.2e-7 and 2.8e-7; an autoencoder with the shape of Stable Diffusion's: mean 1.5e-6,
//! log-variance 1.8e-6, image 7.9e-6. Pictures drawn from the same noise: no pixel differs.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests may say what they measure, and panic as tests do"
)]

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{diffusers_python as python, fails, pretrain, run_python, succeeds};
use learngene_data::image::decode_png;
use learngene_data::{Purpose, Stream};
use learngene_formats::ImageArchive;
use learngene_formats::container::{self, Contents, TensorEntry};
use learngene_nn::{ClassGate, Conditions, Dit, params};
use learngene_train::{checkpoint, weights};
use learngene_transfer::interop::autoencoder;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const TOLERANCE: f32 = 1e-4;

type Tensors = BTreeMap<String, TensorEntry>;

fn model(path: &Path) -> Dit {
    let (file, _) = checkpoint::find_model(path).unwrap();
    weights::read(&file, &Device::flex()).unwrap().1
}

/// What our model answers, every sample with this gate.
fn said(model: &Dit, asked: &Tensors, gate: &[(usize, f32)]) -> Vec<f32> {
    let (x, t) = (&asked["x"], &asked["t"].values);
    let classes = model.config().num_classes;
    let labels = asked["y"]
        .values
        .iter()
        .map(|&y| Some(y as usize).filter(|&y| y < classes));
    let conditions = Conditions {
        times: t.iter().map(|&t| f64::from(t)).collect(),
        labels: labels.collect(),
        gate: ClassGate::new(vec![gate.to_vec(); t.len()]),
    };
    let x = TensorData::new(x.values.clone(), x.shape.clone());
    params::to_vec(
        model
            .forward(Tensor::from_data(x, &Device::flex()), &conditions)
            .unwrap(),
    )
}

fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0, |m: f32, x| m.max(x.abs()));
    let apart = a
        .iter()
        .zip(b)
        .fold(0.0, |m: f32, (a, b)| m.max((a - b).abs()));
    apart / largest
}

fn close(what: &str, a: &[f32], b: &[f32]) {
    let apart = difference(a, b);
    eprintln!("{what}: {apart:.1e}");
    assert!(apart < TOLERANCE, "{what}: {apart:e}");
}

/// The blocks of Python in `docs/python.md`.
fn scripts() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/python.md");
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```python\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// Asks the exported model and each of its tailors what stands in `asked.safetensors`.
const ASK: &str = r#"
from pathlib import Path
from safetensors.torch import load_file, save_file

asked = load_file("asked.safetensors")
answers = {}

def answer():
    with torch.no_grad():
        return gated(asked["x"], timestep=asked["t"].long(), class_labels=asked["y"].long()).sample

with gated.disable_adapter():
    answers["learngene"] = answer()
for folder in Path("exported/tailors").iterdir():
    if folder.name not in gated.peft_config:
        gated.load_adapter(str(folder), adapter_name=folder.name)
    gated.set_adapter(folder.name)
    answers[folder.name] = answer()
save_file(answers, "answers.safetensors")
"#;

/// Loads a .pt, and finds the tensors of the folder for diffusers in it.
const LOAD_DIT: &str = r#"
import torch
from safetensors.torch import load_file

dit = torch.load("dit.pt", weights_only=True)
folder = load_file("exported/transformer/diffusion_pytorch_model.safetensors")
qkv = torch.cat([folder[f"transformer_blocks.3.attn1.to_{x}.weight"] for x in "qkv"])
assert torch.equal(dit["blocks.3.attn.qkv.weight"], qkv)
assert torch.equal(dit["x_embedder.proj.weight"], folder["pos_embed.proj.weight"])
assert dit["pos_embed"].shape == (1, 64, 96) and len(dit) == 1 + 2 + 4 + 1 + 4 + 4 * 10, len(dit)
"#;

#[test]
fn a_trained_model_and_every_tailor_compute_the_same_in_diffusers_and_peft() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let long = "--steps 12 --lr 1e-2 --set train.warmup=0";
    pretrain(folder, "base", &long.split(' ').collect::<Vec<_>>());
    succeeds(
        folder,
        &[
            "export",
            "base",
            "--format",
            "diffusers",
            "--out",
            "exported",
        ],
    );

    let noise = |i: usize| ((i * 37 % 101) as f32 / 50.0) - 1.0;
    let entry = |shape: &[usize], values: Vec<f32>| TensorEntry {
        shape: shape.to_vec(),
        values,
    };
    let x: Vec<f32> = (0..4 * 3 * 32 * 32).map(noise).collect();
    let asked = Tensors::from([
        ("x".into(), entry(&[4, 3, 32, 32], x)),
        ("t".into(), entry(&[4], vec![0.0, 20.0, 500.0, 999.0])),
        ("y".into(), entry(&[4], vec![0.0, 1.0, 2.0, 3.0])),
    ]);
    let contents = Contents {
        tensors: asked.clone(),
        ..Contents::default()
    };
    container::write(folder.join("asked.safetensors"), &contents).unwrap();
    let [_, learngene, tailor, lora] = &scripts()[..] else {
        panic!("four scripts");
    };
    fs::write(folder.join("ask.py"), [learngene, tailor, ASK].concat()).unwrap();
    run_python(&python, folder, &["ask.py"]);

    succeeds(
        folder,
        &["export", "base", "--format", "dit", "--out", "dit.pt"],
    );
    fs::write(folder.join("dit.py"), LOAD_DIT).unwrap();
    run_python(&python, folder, &["dit.py"]);

    let answers = tensors(&folder.join("answers.safetensors"));
    assert_eq!(answers.len(), 4);
    let base = model(&folder.join("base"));
    let closed = said(&base, &asked, &[]);
    close("learngene", &closed, &answers["learngene"].values);
    for (group, class) in ["face", "flag", "hand"].into_iter().enumerate() {
        let ours = said(&base, &asked, &[(group, 1.0)]);
        close(class, &ours, &answers[class].values);
        assert!(
            difference(&closed, &ours) > TOLERANCE,
            "the tailor of {class} does nothing"
        );
    }

    let script = format!("import torch\nfrom diffusers import DiTTransformer2DModel\n{lora}");
    fs::write(folder.join("lora.py"), script).unwrap();
    run_python(&python, folder, &["lora.py"]);
    let line = "import exported --tailor face=lora --out with-lora.safetensors";
    succeeds(folder, &line.split(' ').collect::<Vec<_>>());
    let with = model(&folder.join("with-lora.safetensors"));
    assert_eq!((with.config().groups, with.config().tailor_rank), (3, 4));
    close("imported again", &said(&with, &asked, &[]), &closed);
    assert!(difference(&said(&with, &asked, &[(0, 1.0)]), &closed) > TOLERANCE);
}

/// What `draw.py` starts from, if its noise is ours.
const NOISE: &str = r#"__import__("safetensors.torch").torch.load_file("noise.safetensors")["x"]"#;

#[test]
fn the_script_of_the_docs_draws_what_sample_draws_from_the_same_noise() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // As many steps of diffusion as of drawing, so that both visit the same times.
    let long = "--steps 40 --lr 5e-3 --set train.warmup=0 --set train.diffusion_steps=50";
    pretrain(folder, "base", &long.split(' ').collect::<Vec<_>>());
    let run = |line: &str| succeeds(folder, &line.split(' ').collect::<Vec<_>>());
    run("export base --format diffusers --out exported");
    run("sample base --class flag --count 4 --steps 50 --cfg 2 --seed 1 --npz ours.npz");

    let (count, size) = (4, 3 * 32 * 32);
    let mut noise = vec![0.0; count * size];
    for (i, image) in noise.chunks_mut(size).enumerate() {
        Stream::new(1, i as u64, Purpose::SampleNoise).fill_normal(image);
    }
    let x = TensorEntry {
        shape: vec![count, 3, 32, 32],
        values: noise,
    };
    let contents = Contents {
        tensors: Tensors::from([("x".into(), x)]),
        ..Contents::default()
    };
    container::write(folder.join("noise.safetensors"), &contents).unwrap();
    let script = &scripts()[0];
    let line = script
        .lines()
        .find(|line| line.starts_with("x = "))
        .unwrap();
    assert!(line.starts_with("x = torch.randn("), "{line}");
    let script = script.replace(line, &format!("x = {NOISE}"));
    fs::write(folder.join("draw.py"), script).unwrap();
    run_python(&python, folder, &["draw.py"]);

    let ours = ImageArchive::read(folder.join("ours.npz")).unwrap();
    let mut apart = 0;
    for (i, image) in ours.images().enumerate() {
        let file = folder.join(format!("flag-{i}.png"));
        let drawn = decode_png(&fs::read(&file).unwrap(), &file, 32).unwrap();
        assert_eq!((drawn.pixels.len(), drawn.width), (image.len(), 32));
        let pairs = image.iter().zip(&drawn.pixels);
        apart = apart.max(pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap());
    }
    eprintln!("pixels differ by at most {apart} of 255");
    assert!(apart <= 2, "{apart}");
}

/// Writes a folder with a `.bin` of `torch.save`.
const SAVE_PICKLED: &str = r#"
from diffusers import DiTTransformer2DModel
DiTTransformer2DModel.from_pretrained("transformer").save_pretrained("old", safe_serialization=False)
"#;

fn tensors(path: &Path) -> Tensors {
    container::read(path).unwrap().tensors
}

#[test]
fn dit_s_of_diffusers_computes_the_same_here_and_comes_back_to_the_bit() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../transfer/tests/reference/diffusers_dit.py")
        .canonicalize()
        .unwrap();
    let script = script.to_str().unwrap();
    run_python(&python, folder, &[script, "make", ".", "s"]);
    // In shards, with an index.
    assert!(
        folder
            .join("transformer/diffusion_pytorch_model.safetensors.index.json")
            .exists()
    );
    succeeds(folder, &["import", "transformer", "--out", "s.safetensors"]);
    // As older versions wrote folders.
    run_python(&python, folder, &["-c", SAVE_PICKLED]);
    assert!(folder.join("old/diffusion_pytorch_model.bin").exists());
    succeeds(folder, &["import", "old", "--out", "old.safetensors"]);
    assert!(
        tensors(&folder.join("old.safetensors")) == tensors(&folder.join("s.safetensors")),
        "a .bin holds the same"
    );
    succeeds(
        folder,
        &[
            "export",
            "s.safetensors",
            "--format",
            "diffusers",
            "--out",
            "exported",
        ],
    );
    run_python(
        &python,
        folder,
        &[script, "again", "exported/transformer", "."],
    );

    let draw: Vec<&str> = "sample s.safetensors --class 3 --out x.png"
        .split(' ')
        .collect();
    fails(folder, &draw, 2, &["latents of 4 channels", "--vae"]);
    let asked = tensors(&folder.join("answers.safetensors"));
    assert_eq!(asked["again"], asked["out"]);
    let ours = said(&model(&folder.join("s.safetensors")), &asked, &[]);
    close("DiT-S/2", &ours, &asked["out"].values);
}

/// The hub's own reader takes the front matter of a card.
#[test]
fn a_card_is_one_to_the_hub() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pretrain(folder, "base", &["--steps", "1"]);
    let card = ["card", "base", "--count", "0", "--license", "cc-by-4.0"];
    succeeds(folder, &[&card[..], &["--out", "tiny"]].concat());
    let read = "from huggingface_hub import ModelCard\n\
        card = ModelCard.load('tiny/README.md')\n\
        assert card.data.license == 'cc-by-4.0', card.data\n\
        assert card.data.library_name == 'learngene', card.data\n\
        assert 'diffusion' in card.data.tags, card.data\n\
        assert card.text.lstrip().startswith('# tiny'), card.text\n";
    run_python(&python, folder, &["-c", read]);
}

#[test]
fn the_autoencoder_of_stable_diffusion_computes_the_same_here_and_in_diffusers() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../transfer/tests/reference/diffusers_vae.py")
        .canonicalize()
        .unwrap();
    let script = script.to_str().unwrap();
    run_python(&python, folder, &[script, "make", ".", "sd"]);
    let vae = autoencoder::read(folder, &Device::flex()).unwrap();
    assert_eq!(vae.config().scaling_factor, 0.18215);
    autoencoder::write(&vae, &folder.join("ours")).unwrap();
    run_python(&python, folder, &[script, "again", "ours", "."]);

    let asked = tensors(&folder.join("answers.safetensors"));
    let tensor = |name: &str| {
        let data = TensorData::new(asked[name].values.clone(), asked[name].shape.clone());
        Tensor::from_data(data, &Device::flex())
    };
    let moments = vae.encode(tensor("images")).unwrap();
    let decoded = vae.decode(tensor("latents")).unwrap();
    for (name, found) in [
        ("mean", moments.mean),
        ("log_variance", moments.log_variance),
        ("decoded", decoded),
    ] {
        close(name, &params::to_vec(found), &asked[name].values);
        assert_eq!(asked[&format!("again.{name}")], asked[name], "{name}");
    }
}
