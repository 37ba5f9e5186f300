//! Folders of diffusers: `config.json` and safetensors of a `DiTTransformer2DModel`.
//!
//! Two things there are not as in DiT. The code of a time has other frequencies (`TimeCode::Diffusers`), and the norm
//! before the MLP has an epsilon of its own, 1e-5 if nothing is said. A folder is read as what diffusers would compute.
//! A model with DiT's frequencies is written as it is, and computes the same only once diffusers is told, in one line
//! of Python (`docs/python.md`).
//!
//! Below `_learngene`, which diffusers passes over, `config.json` keeps what diffusers has no place for: names of
//! classes, schedule and target, the code of times.

use super::names::Names;
use super::plain::plain;
use super::wrappers::all_bare;
use super::{Imported, OF_AVERAGES, Remark, Shape, pipeline, unknown_run, write_folder};
use crate::error::{Error, Result};
use burn::tensor::Device;
use learngene_formats::shards::{self, Weights};
use learngene_nn::{Dit, DitConfig, NORM_EPS, TimeCode};
use learngene_train::{RunConfig, weights};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The folder of the network in that of a pipeline.
pub const TRANSFORMER: &str = "transformer";
/// The folder of its moving average in a checkpoint of diffusers' training scripts.
const AVERAGE: &str = "transformer_ema";
/// The description of a model.
pub const CONFIG: &str = "config.json";
/// The weights, without the end of the name.
const WEIGHTS: &str = "diffusion_pytorch_model";
/// Where `config.json` keeps our own configuration.
const OURS: &str = "_learngene";

/// What is meant by a path: the folder with `config.json`, or the network's in that of a pipeline, or a file of weights
/// beside its `config.json`.
pub fn find(path: &Path) -> Option<PathBuf> {
    let described = |folder: &Path| folder.join(CONFIG).is_file();
    let name = path.file_name().and_then(|name| name.to_str());
    if path.is_file() {
        let is_weights = name.is_some_and(|name| name.starts_with(WEIGHTS));
        let is_one = is_weights && path.parent().is_some_and(described);
        return is_one.then(|| path.to_path_buf());
    }
    let folders = [path.join(TRANSFORMER), path.to_path_buf()];
    folders.into_iter().find(|folder| described(folder))
}

/// Writes the model without its tailors into `folder/transformer`; returns whether diffusers computes with other
/// frequencies of the time until it is told.
///
/// # Errors
/// What diffusers has no place for; files that cannot be written.
pub fn write(config: &RunConfig, model: &Dit, folder: &Path) -> Result<bool> {
    let (config, values) = plain(config, model)?;
    let tensors = Names::diffusers(&config.model).write(&values)?;
    let folder = folder.join(TRANSFORMER);
    write_folder(&folder, WEIGHTS, tensors, CONFIG, &describe(&config))?;
    Ok(config.model.time_code == TimeCode::Dit)
}

/// The model in a folder with `config.json`, or in one of the files of weights there, with what a pipeline around it says.
///
/// # Errors
/// A description of anything but a DiT that can be computed here; tensors that are not its own, all listed in one
/// error; files that are damaged.
pub fn read(found: &Path, device: &Device) -> Result<Imported> {
    let (folder, weights) = match found.is_file() {
        true => {
            let folder = found.parent().unwrap_or(found);
            (folder, Ok(Weights::at(found)))
        }
        false => (found, shards::required(found, WEIGHTS)),
    };
    let path = folder.join(CONFIG);
    let described: Map<String, Value> = shards::read_json(&path)?;
    let mut config = understand(&described, &path)?;
    let mut remarks = pipeline::apply(&mut config, folder, described.contains_key(OURS))?;
    let average = folder.with_file_name(AVERAGE);
    if folder.ends_with(TRANSFORMER) && average.join(CONFIG).is_file() {
        remarks.push(Remark::Note(format!(
            "beside it lies {AVERAGE}, its moving average: import that folder for it"
        )));
    }
    let weights = weights?;
    if let Some(variant) = &weights.variant {
        remarks.push(Remark::Note(format!(
            "there are weights of the variant {variant} only: they are taken"
        )));
    }
    let tensors = all_bare(weights.read()?).map_err(|reason| Error::Import {
        path: folder.into(),
        reason,
    })?;
    let parameters = Names::diffusers(&config.model).read(tensors, &config.model, folder)?;
    let model = Dit::of(&config.model, parameters, device)?;
    Ok(Imported {
        config,
        model,
        remarks,
    })
}

/// `config.json` of a dense model.
fn describe(config: &RunConfig) -> Value {
    let model = &config.model;
    json!({
        "_class_name": "DiTTransformer2DModel",
        OURS: config,
        "activation_fn": "gelu-approximate",
        "attention_bias": true,
        "attention_head_dim": model.hidden / model.heads,
        "dropout": 0.0,
        "in_channels": model.input[0],
        "norm_elementwise_affine": false,
        "norm_eps": model.mlp_norm_eps.unwrap_or(NORM_EPS),
        "norm_num_groups": 32,
        "norm_type": "ada_norm_zero",
        "num_attention_heads": model.heads,
        "num_embeds_ada_norm": model.num_classes,
        "num_layers": model.depth,
        "out_channels": model.out_channels(),
        "patch_size": model.patch,
        "sample_size": model.input[1],
        "upcast_attention": false,
    })
}

/// The configuration that `config.json` describes; what is absent has diffusers' default.
fn understand(described: &Map<String, Value>, path: &Path) -> Result<RunConfig> {
    let refuse = |reason: String| Error::Import {
        path: path.into(),
        reason,
    };
    let class = described.get("_class_name").and_then(Value::as_str);
    if !matches!(class, Some("DiTTransformer2DModel" | "Transformer2DModel")) {
        let found = class.unwrap_or("none");
        return Err(refuse(format!(
            "its `_class_name` is {found}, expected DiTTransformer2DModel"
        )));
    }
    let model = shape(described).map_err(refuse)?.config()?;
    let Some(ours) = described.get(OURS) else {
        return Ok(unknown_run(model, path.parent().unwrap_or(path)));
    };
    let config = weights::checked(ours).map_err(|e| refuse(format!("`{OURS}`: {e}")))?;
    let described = DitConfig {
        time_code: config.model.time_code,
        mlp_norm_eps: model.mlp_norm_eps.or(config.model.mlp_norm_eps),
        ..model
    };
    if described != config.model {
        return Err(refuse(format!(
            "what stands below `{OURS}` is another model than the rest of it describes: remove it, then diffusers' \
             description alone counts"
        )));
    }
    Ok(config)
}

/// Settings that must have this value, which is diffusers' default.
fn fixed() -> [(&'static str, Value); 5] {
    [
        ("attention_type", json!("default")),
        ("activation_fn", json!("gelu-approximate")),
        ("attention_bias", json!(true)),
        ("norm_type", json!("ada_norm_zero")),
        ("norm_elementwise_affine", json!(false)),
    ]
}

/// Settings that change nothing about what is computed in f32 after training.
const WITHOUT_EFFECT: [&str; 3] = ["dropout", "norm_num_groups", "upcast_attention"];

fn shape(described: &Map<String, Value>) -> std::result::Result<Shape, String> {
    let mut rest = described.clone();
    let mut count = |key: &str, default: Option<usize>| match rest.remove(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => match value.as_u64().and_then(|v| usize::try_from(v).ok()) {
            Some(count) if (1..=1 << 20).contains(&count) => Ok(Some(count)),
            _ => Err(format!(
                "`{key}` is {value}, expected a whole number from 1"
            )),
        },
    };
    let missing = |key: &str| format!("`{key}` is missing");
    let of = |key: &str, value: Option<usize>| value.ok_or_else(|| missing(key));
    let heads = of(
        "num_attention_heads",
        count("num_attention_heads", Some(16))?,
    )?;
    let width = of("attention_head_dim", count("attention_head_dim", Some(72))?)?;
    let channels = of("in_channels", count("in_channels", Some(4))?)?;
    let out = of("out_channels", count("out_channels", Some(channels))?)?;
    let depth = of("num_layers", count("num_layers", Some(28))?)?;
    let side = of("sample_size", count("sample_size", Some(32))?)?;
    let patch = of("patch_size", count("patch_size", Some(2))?)?;
    let num_classes = of(
        "num_embeds_ada_norm",
        count("num_embeds_ada_norm", Some(1000))?,
    )?;
    if out != channels && out != 2 * channels {
        let both = 2 * channels;
        return Err(format!(
            "`out_channels` is {out}, expected {channels}, or {both} with a learned variance"
        ));
    }
    let eps = rest.remove("norm_eps").unwrap_or(json!(1e-5));
    let eps = eps
        .as_f64()
        .ok_or_else(|| format!("`norm_eps` is {eps}, expected a number"))?;
    for (key, expected) in fixed() {
        let found = rest.remove(key).unwrap_or_else(|| expected.clone());
        if found != expected {
            return Err(format!(
                "`{key}` is {found}, only {expected} can be computed here"
            ));
        }
    }
    // Older versions of diffusers list what other models have, as null or false.
    rest.retain(|key, value| {
        let absent = value.is_null() || *value == json!(false);
        let known = WITHOUT_EFFECT.iter().chain(&OF_AVERAGES);
        !key.starts_with('_') && !absent && !known.into_iter().any(|known| known == key)
    });
    if let Some((key, value)) = rest.iter().next() {
        return Err(format!("`{key}` is {value}, which a DiT does not have"));
    }
    Ok(Shape {
        input: [channels, side, side],
        patch,
        hidden: heads * width,
        depth,
        heads,
        num_classes,
        learn_sigma: out != channels,
        time_code: TimeCode::Diffusers,
        mlp_norm_eps: (eps != NORM_EPS).then_some(eps),
    })
}
