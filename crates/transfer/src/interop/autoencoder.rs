//! Autoencoders: the folder of diffusers' `AutoencoderKL`, and single files with its names or those of latent diffusion.
//!
//! A file says nothing of how latents are scaled, and a wrong factor spoils everything that is trained or drawn, so one
//! is only read with a `config.json` beside it.

use super::wrappers::bare_from_start;
use super::{OF_AVERAGES, write_folder};
use crate::error::{Error, Result};
use burn::tensor::Device;
use learngene_formats::{Mismatch, Take, TensorEntry, container, shards, torch};
use learngene_nn::{Autoencoder, AutoencoderConfig, params};
use learngene_train::weights;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The folder of the autoencoder in that of a pipeline.
const VAE: &str = "vae";
const CONFIG: &str = "config.json";
/// The weights, without the end of the name.
const WEIGHTS: &str = "diffusion_pytorch_model";
/// What stands before the names in the checkpoint of a whole pipeline.
const FIRST_STAGE: &str = "first_stage_model.";
/// What the names of an autoencoder begin with.
const PARTS: [&str; 4] = ["encoder.", "decoder.", "quant_conv.", "post_quant_conv."];

/// Times as many parameters as there are numbers in a file that a description may ask for, before any is made.
const FAR_MORE: usize = 8;
/// As many are made in any case.
const SMALL: usize = 1 << 20;

type Tensors = BTreeMap<String, TensorEntry>;

/// The autoencoder in a folder of diffusers, in the `vae` of a pipeline, or in a single file with `config.json` beside it.
///
/// # Errors
/// A description of anything else; missing, unexpected and mis-shaped tensors, all in one error; values that are not
/// finite; damaged files.
pub fn read(path: &Path, device: &Device) -> Result<Autoencoder> {
    let (described, tensors) = match path.is_file() {
        true => (path.with_file_name(CONFIG), of_file(path)?),
        false => {
            let inner = path.join(VAE);
            let folder = if inner.join(CONFIG).is_file() {
                &inner
            } else {
                path
            };
            (folder.join(CONFIG), shards::read(folder, WEIGHTS)?)
        }
    };
    let refuse = |reason: String| Error::Import {
        path: path.into(),
        reason,
    };
    if !described.is_file() {
        let missing = described.display();
        return Err(refuse(format!(
            "there is no {missing}, which says how it is built and how its latents are scaled: take that of the model"
        )));
    }
    let config = understand(&shards::read_json(&described)?).map_err(|reason| Error::Import {
        path: described.clone(),
        reason,
    })?;
    // What is made for it may take no more than a few times what there is.
    let held: usize = tensors.values().map(|tensor| tensor.values.len()).sum();
    let least = config.least_parameters();
    if least / FAR_MORE > held.max(SMALL) {
        return Err(refuse(format!(
            "its tensors hold {held} numbers, and {} describes more than {least}: it is of another model",
            described.display()
        )));
    }
    let start = Autoencoder::init(&config, 0, device)?;
    let tensors = named_alike(tensors, config.channels.len()).map_err(refuse)?;
    Mismatch::between(&tensors, &params::shapes(&start)).refuse(path)?;
    let whole = params::replace(start, weights::parameters(tensors))?;
    match params::first_not_finite(&whole) {
        Some(name) => Err(refuse(format!("`{name}` holds NaN or infinite values"))),
        None => Ok(whole),
    }
}

/// Writes `config.json` and weights as diffusers loads them.
///
/// # Errors
/// Files that cannot be written.
pub fn write(autoencoder: &Autoencoder, folder: &Path) -> Result<()> {
    write_folder(
        folder,
        WEIGHTS,
        weights::entries(&autoencoder.values()),
        CONFIG,
        &describe(autoencoder.config()),
    )
}

/// The tensors of an autoencoder in a file that may hold more.
fn of_file(path: &Path) -> Result<Tensors> {
    let take = |name: &str| {
        let name = bare_from_start(name);
        let name = name.strip_prefix(FIRST_STAGE).unwrap_or(&name);
        match PARTS.iter().any(|part| name.starts_with(part)) {
            true => Take::Floats,
            false => Take::Nothing,
        }
    };
    Ok(match torch::is_one(path)? {
        true => torch::read_taking(path, None, take)?.tensors,
        false => container::read_taking(path, take)?.tensors,
    })
}

/// The tensors under the names that diffusers gives them today, and matrices of attention as matrices: older files have
/// them as 1x1 convolutions.
fn named_alike(tensors: Tensors, levels: usize) -> std::result::Result<Tensors, String> {
    let mut named = Tensors::new();
    for (old, mut tensor) in tensors {
        let name = current(&old, levels);
        if let [m, n, 1, 1] = tensor.shape[..]
            && name.contains(".attentions.0.to_")
        {
            tensor.shape = vec![m, n];
        }
        if named.insert(name.clone(), tensor).is_some() {
            return Err(format!(
                "it has `{name}` under two names, one of them `{old}`"
            ));
        }
    }
    Ok(named)
}

/// What diffusers calls a tensor today that it, or latent diffusion, called `name`.
fn current(name: &str, levels: usize) -> String {
    let bare = bare_from_start(name);
    let name = bare.strip_prefix(FIRST_STAGE).unwrap_or(&bare);
    let parts: Vec<&str> = name.split('.').collect();
    let joined = |start: String, rest: &[&str]| [&[start.as_str()], rest].concat().join(".");
    match parts[..] {
        [half, "mid", block @ ("block_1" | "block_2"), ref rest @ ..] => {
            let number = usize::from(block == "block_2");
            joined(format!("{half}.mid_block.resnets.{number}"), rest)
        }
        [half, "mid", "attn_1", module, ref rest @ ..] => {
            let module = of_attention(module);
            joined(format!("{half}.mid_block.attentions.0.{module}"), rest)
        }
        [half, "mid_block", "attentions", "0", module, ref rest @ ..] => {
            let module = of_attention(module);
            joined(format!("{half}.mid_block.attentions.0.{module}"), rest)
        }
        [half, "norm_out", ref rest @ ..] => joined(format!("{half}.conv_norm_out"), rest),
        [half, way @ ("down" | "up"), level, ref rest @ ..] => {
            // Latent diffusion numbers levels by size in both halves, diffusers in the order of computation.
            let level = match (way, level.parse::<usize>()) {
                ("up", Ok(level)) if level < levels => (levels - 1 - level).to_string(),
                _ => level.to_owned(),
            };
            let start = format!("{half}.{way}_blocks.{level}");
            match *rest {
                ["block", number, "nin_shortcut", part] => {
                    format!("{start}.resnets.{number}.conv_shortcut.{part}")
                }
                ["block", number, ref rest @ ..] => {
                    joined(format!("{start}.resnets.{number}"), rest)
                }
                ["downsample", ref rest @ ..] => joined(format!("{start}.downsamplers.0"), rest),
                ["upsample", ref rest @ ..] => joined(format!("{start}.upsamplers.0"), rest),
                _ => joined(start, rest),
            }
        }
        _ => name.to_owned(),
    }
}

fn of_attention(module: &str) -> &str {
    match module {
        "q" | "query" => "to_q",
        "k" | "key" => "to_k",
        "v" | "value" => "to_v",
        "proj_out" | "proj_attn" => "to_out.0",
        "norm" => "group_norm",
        other => other,
    }
}

fn describe(config: &AutoencoderConfig) -> Value {
    let levels = config.channels.len();
    json!({
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": config.channels,
        "down_block_types": vec!["DownEncoderBlock2D"; levels],
        "force_upcast": true,
        "in_channels": config.image_channels,
        "latent_channels": config.latent_channels,
        "layers_per_block": config.layers,
        "mid_block_add_attention": config.attention,
        "norm_num_groups": config.norm_groups,
        "out_channels": config.image_channels,
        "sample_size": config.sample_size,
        "scaling_factor": config.scaling_factor,
        "shift_factor": (config.shift_factor != 0.0).then_some(config.shift_factor),
        "up_block_types": vec!["UpDecoderBlock2D"; levels],
        "use_post_quant_conv": config.post_quant_conv,
        "use_quant_conv": config.quant_conv,
    })
}

/// The configuration that `config.json` describes; what is absent has diffusers' default.
fn understand(described: &Map<String, Value>) -> std::result::Result<AutoencoderConfig, String> {
    let mut rest: Map<String, Value> = described.clone();
    let class = rest.remove("_class_name").unwrap_or_default();
    if class != json!("AutoencoderKL") {
        return Err(format!(
            "its `_class_name` is {class}, expected \"AutoencoderKL\""
        ));
    }
    let mut take = |key: &str, default: Value| match rest.remove(key) {
        None | Some(Value::Null) => default,
        Some(value) => value,
    };
    let channels = take("block_out_channels", json!([64]));
    let levels = channels.as_array().map_or(0, Vec::len);
    for (key, only) in [
        ("down_block_types", "DownEncoderBlock2D"),
        ("up_block_types", "UpDecoderBlock2D"),
    ] {
        let found = take(key, json!([only]));
        let expected = json!(vec![only; levels]);
        if found != expected {
            return Err(format!(
                "`{key}` is {found}, only {expected} can be computed here"
            ));
        }
    }
    let act = take("act_fn", json!("silu"));
    if act != json!("silu") {
        return Err(format!(
            "`act_fn` is {act}, only \"silu\" can be computed here"
        ));
    }
    let counted = |key: &str, value: &Value| {
        let count = value.as_u64().and_then(|v| usize::try_from(v).ok());
        count.ok_or_else(|| format!("`{key}` is {value}, expected a whole number"))
    };
    let mut count = |key: &str, default: usize| counted(key, &take(key, json!(default)));
    let image_channels = count("in_channels", 3)?;
    let out_channels = count("out_channels", 3)?;
    if image_channels != out_channels {
        return Err(format!(
            "`in_channels` is {image_channels} and `out_channels` {out_channels}, expected the same"
        ));
    }
    let (latent_channels, layers) = (count("latent_channels", 4)?, count("layers_per_block", 1)?);
    let (norm_groups, sample_size) = (count("norm_num_groups", 32)?, count("sample_size", 32)?);
    let mut flag = |key: &str| {
        let value = take(key, json!(true));
        value
            .as_bool()
            .ok_or_else(|| format!("`{key}` is {value}, expected true or false"))
    };
    let attention = flag("mid_block_add_attention")?;
    let (quant_conv, post_quant_conv) = (flag("use_quant_conv")?, flag("use_post_quant_conv")?);
    flag("force_upcast")?;
    let mut number = |key: &str, default: f64| {
        let value = take(key, json!(default));
        value
            .as_f64()
            .ok_or_else(|| format!("`{key}` is {value}, expected a number"))
    };
    let (scaling_factor, shift_factor) = (
        number("scaling_factor", 0.18215)?,
        number("shift_factor", 0.0)?,
    );
    rest.retain(|key, value| {
        let said = !value.is_null() && *value != json!(false);
        !key.starts_with('_') && said && !OF_AVERAGES.contains(&key.as_str())
    });
    if let Some((key, value)) = rest.iter().next() {
        return Err(format!("`{key}` is {value}, which cannot be computed here"));
    }
    let each = channels.as_array().into_iter().flatten();
    let config = AutoencoderConfig {
        image_channels,
        latent_channels,
        channels: each
            .map(|c| counted("block_out_channels", c))
            .collect::<std::result::Result<_, _>>()?,
        layers,
        norm_groups,
        attention,
        quant_conv,
        post_quant_conv,
        sample_size,
        scaling_factor,
        shift_factor,
    };
    config.validate().map_err(|e| e.to_string())?;
    Ok(config)
}
