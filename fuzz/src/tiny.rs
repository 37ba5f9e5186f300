//! The smallest model that has all its parts, and the files it makes: what targets of models begin from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use burn::tensor::Device;
use learngene_formats::container::{self, Contents};
use learngene_formats::{Kind, TensorEntry, torch};
use learngene_nn::{Autoencoder, AutoencoderConfig, Dit, DitConfig, FactorInit, RankSplit, params};
use learngene_train::{DataConfig, RunConfig, TrainConfig, weights};
use learngene_transfer::TailorSet;
use learngene_transfer::interop::{autoencoder, checkpoint, diffusers, lora};

use crate::{folder, tensors};

const EXPECT: &str = "files of the smallest model can be made";

/// Two classes, one block, images of 2x2 pixels.
pub static CONFIG: LazyLock<RunConfig> = LazyLock::new(|| {
    let split = RankSplit {
        learngene: 2,
        tailor: 1,
    };
    let model = DitConfig {
        hidden: 4,
        depth: 1,
        heads: 2,
        ..DitConfig::from_size("dit-s/2", [1, 2, 2], 2).expect(EXPECT)
    };
    RunConfig {
        data: DataConfig::of("builtin:emoji"),
        train: TrainConfig::default(),
        model: model.with_rank_split(split).expect(EXPECT),
        init: FactorInit::ZeroStart,
        classes: vec!["a".into(), "b".into()],
        method: None,
    }
});

fn model() -> (&'static RunConfig, Dit) {
    let config = &*CONFIG;
    let model = Dit::init(&config.model, config.init, 0, &Device::flex()).expect(EXPECT);
    (config, model)
}

fn seed(target: &str, name: &str, files: &[&[u8]]) {
    crate::seed(target, name, files).expect("a seed can be written beside the targets");
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect(EXPECT)
}

/// Seeds of `model`: one of each kind of file.
pub fn seed_model() {
    let (config, model) = model();
    let path = folder().join("seed.safetensors");
    let keep = |name: &str| seed("model", name, &[tensors::header(&read(&path))]);
    let whole = weights::file(Kind::Model, config, &params::values(&model));
    whole.write(&path).expect(EXPECT);
    keep("model");
    let tailors = TailorSet::of(config, &model, &path);
    tailors.write(&path).expect(EXPECT);
    keep("tailor");
}

/// Seeds of `run_config`.
pub fn seed_run_config() {
    let text = CONFIG.to_toml().expect(EXPECT);
    seed("run_config", "whole", &[text.as_bytes()]);
    seed(
        "run_config",
        "laid-over",
        &[b"[train]\nlr = 0.01", b"train.steps=7"],
    );
}

/// Seeds of `diffusers`.
pub fn seed_diffusers() {
    let (config, model) = model();
    diffusers::write(config, &model, folder()).expect(EXPECT);
    let inner = folder().join("transformer");
    let described = read(&inner.join("config.json"));
    let file = read(&inner.join("diffusion_pytorch_model.safetensors"));
    fs::remove_dir_all(inner).expect(EXPECT);
    let mut plain: serde_json::Value = serde_json::from_slice(&described).expect(EXPECT);
    seed("diffusers", "ours", &[&described, tensors::header(&file)]);
    plain.as_object_mut().expect(EXPECT).remove("_learngene");
    let whole = plain.to_string();
    let files = [whole.as_bytes(), tensors::header(&file)];
    seed("diffusers", "plain", &files);
    let average = whole.replacen('{', "{\"decay\": 0.9, \"use_ema_warmup\": true,", 1);
    let index =
        br#"{"_class_name": "DiTPipeline", "id2label": {"0": "tench, Tinca tinca", "1": "crane"}}"#;
    for (name, scheduler) in [
        (
            "v-cosine",
            r#"{"_class_name": "DDPMScheduler", "prediction_type": "v_prediction", "beta_schedule": "squaredcos_cap_v2",
                "rescale_betas_zero_snr": true, "timestep_spacing": "trailing"}"#,
        ),
        (
            "trained-betas",
            r#"{"_class_name": "DDIMScheduler", "num_train_timesteps": 2, "trained_betas": [0.1, 0.2]}"#,
        ),
        (
            "linear",
            r#"{"_class_name": "Own", "prediction_type": "epsilon", "beta_schedule": "linear", "beta_start": 0.0001,
                "beta_end": 0.02, "num_train_timesteps": 1000}"#,
        ),
    ] {
        let files = [average.as_bytes(), files[1], scheduler.as_bytes(), index];
        seed("diffusers", name, &files);
    }
}

/// Seeds of `autoencoder`.
pub fn seed_autoencoder() {
    let config = AutoencoderConfig {
        latent_channels: 1,
        channels: vec![1],
        norm_groups: 1,
        attention: true,
        ..AutoencoderConfig::small(1, 2)
    };
    let one = Autoencoder::init(&config, 0, &Device::flex()).expect(EXPECT);
    autoencoder::write(&one, folder()).expect(EXPECT);
    let described = read(&folder().join("config.json"));
    let file = read(&folder().join("diffusion_pytorch_model.safetensors"));
    let files = [&described, tensors::header(&file)];
    seed("autoencoder", "small", &files);
}

/// Seeds of `dit_checkpoint`.
pub fn seed_dit_checkpoint() {
    let (config, model) = model();
    let path = folder().join("seed.pt");
    checkpoint::write(config, &model, &path).expect(EXPECT);
    let contents = Contents {
        tensors: torch::read(&path, None).expect(EXPECT),
        metadata: BTreeMap::new(),
    };
    container::write(&path, &contents).expect(EXPECT);
    seed("dit_checkpoint", "whole", &[&read(&path)]);
    for (name, prefix) in [
        ("module", "module._orig_mod."),
        ("lightning", "model."),
        ("average", "ema_model."),
    ] {
        let tensors = contents.tensors.iter();
        let renamed = tensors.map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone()));
        let counter = TensorEntry {
            shape: Vec::new(),
            values: vec![3.0],
        };
        let renamed = Contents {
            tensors: renamed
                .chain([("n_averaged".to_owned(), counter)])
                .collect(),
            metadata: BTreeMap::new(),
        };
        container::write(&path, &renamed).expect(EXPECT);
        seed("dit_checkpoint", name, &[&read(&path)]);
    }
}

/// Seeds of `lora`: PEFT's and kohya's names.
pub fn seed_lora() {
    let (config, model) = model();
    let to: PathBuf = folder().join("lora");
    for (class, one) in lora::of_model(config, &model) {
        fs::create_dir_all(&to).expect(EXPECT);
        one.write(&to, &config.model).expect(EXPECT);
        let described = read(&to.join("adapter_config.json"));
        let file = read(&to.join("adapter_model.safetensors"));
        let header = tensors::header(&file);
        let name = class.unwrap_or_default();
        seed("lora", &name, &[&described, header]);
        let described = String::from_utf8_lossy(&described).replacen(
            '{',
            "{\"rank_pattern\": {\"^a.to_q\": 2}, \"alpha_pattern\": {\"ff\\\\.net.2\": 3}, \"new\": 1,",
            1,
        );
        seed(
            "lora",
            &format!("patterns-{name}"),
            &[described.as_bytes(), header],
        );
        let of_diffusers =
            String::from_utf8_lossy(header).replace("base_model.model.", "transformer.");
        let said = r#"{"__metadata__": {"lora_adapter_metadata": "{\"transformer.r\": 1, \"transformer.lora_alpha\": 4}"},"#;
        let of_diffusers = of_diffusers.replacen("{\"__metadata__\":{\"format\":\"pt\"},", said, 1);
        seed(
            "lora",
            &format!("header-{name}"),
            &[&[], of_diffusers.as_bytes()],
        );
        let header = String::from_utf8_lossy(header).replace("base_model.model.", "lora_unet_");
        let header = header
            .replace("transformer_blocks.0.", "transformer_blocks_0_")
            .replace("lora_A", "lora_down")
            .replace("lora_B", "lora_up");
        seed("lora", &format!("kohya-{name}"), &[&[], header.as_bytes()]);
    }
}
