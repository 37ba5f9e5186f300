//! Checkpoints of DiT: a state dictionary as `torch.save` writes it, alone or as a part of a training checkpoint.
//!
//! The file says nothing about the model but by its shapes. They tell all but the number of heads, which is that of the
//! published size with this width or has to be given, and the sides of the image, which is taken to be square.

mod labels;
mod positions;
mod process;

use super::names::Names;
use super::plain::plain;
use super::wrappers::{is_weight, unwrapped};
use super::{Imported, Remark, Shape, unknown_run};
use crate::error::{Error, Result};
use burn::tensor::Device;
use learngene_formats::shards::Weights;
use learngene_formats::torch::StateDict;
use learngene_formats::{FormatError, Take, TensorEntry, container, torch};
use learngene_nn::{Dit, NORM_EPS, SIZES, TimeCode, fixed_positions};
use learngene_train::RunConfig;
use std::collections::BTreeMap;
use std::path::Path;

/// The fixed positions, which the file keeps and a model here computes.
const POSITIONS: &str = "pos_embed";
/// The tensor that says where the network's names begin.
const FIRST: &str = "x_embedder.proj.weight";
/// The rows of classes.
const LABELS: &str = "y_embedder.embedding_table.weight";
/// What `accelerate` and `transformers` call the weights in a folder, without the end of the name.
const STEMS: [&str; 2] = ["model", "pytorch_model"];

/// What a file does not say, or what of it is meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The part of a training checkpoint; the moving average, else the weights, if not said.
    pub part: Option<&'a str>,
    /// Heads of the attention; those of the published size of that width if not said.
    pub heads: Option<usize>,
    /// Classes without "no class"; one fewer than the label table has rows if not said.
    pub classes: Option<usize>,
}

/// Writes the model without its tailors as a `.pt` with DiT's names.
///
/// # Errors
/// What DiT has no place for; a file that cannot be written.
pub fn write(config: &RunConfig, model: &Dit, path: &Path) -> Result<()> {
    let (config, values) = plain(config, model)?;
    let shape = &config.model;
    if shape.time_code != TimeCode::Dit || shape.mlp_norm_eps.is_some_and(|eps| eps != NORM_EPS) {
        return Err(Error::Export(
            "it codes times, or normalises before the MLP, as diffusers does, which the code of DiT does not: export it \
             in the format diffusers"
                .into(),
        ));
    }
    let mut tensors = Names::dit(shape).write(&values)?;
    let positions = TensorEntry {
        shape: vec![1, shape.tokens(), shape.hidden],
        values: fixed_positions(shape),
    };
    tensors.insert(POSITIONS.into(), positions);
    Ok(torch::write(path, &tensors)?)
}

/// The model in a `.pt`, in a safetensors file of the same tensors, or in a folder that `accelerate` saved.
///
/// # Errors
/// A file that is no such checkpoint, tensors that are not a DiT's, all listed in one error, positions that were trained,
/// a network that was trained for another process than diffusion.
pub fn read(path: &Path, asked: &Asked<'_>, device: &Device) -> Result<Imported> {
    let refuse = |reason: String| Error::Import {
        path: path.into(),
        reason,
    };
    let StateDict { tensors, settings } = state(path, asked.part)?;
    let mut remarks = process::of(&settings, path).map_err(refuse)?;
    let (mut tensors, others) = unwrapped(tensors, FIRST, asked.part).map_err(refuse)?;
    if others > 0 {
        remarks.push(Remark::Note(format!(
            "left out {others} tensors that belong to something else than the network"
        )));
    }
    let stated = settings.get("num_classes").and_then(|n| n.parse().ok());
    let classes = asked.classes.or(stated);
    if let Some(remark) = labels::with_null_row(&mut tensors, LABELS, classes) {
        remarks.push(remark);
    }
    let shape = shape(&tensors, asked.heads).map_err(refuse)?;
    let config = unknown_run(shape.config()?, path);
    let model = &config.model;
    let stored = tensors
        .remove(POSITIONS)
        .map(|t| t.values)
        .unwrap_or_default();
    if !positions::are_fixed(&stored, &fixed_positions(model)) {
        return Err(refuse(format!(
            "`{POSITIONS}` is not the fixed code of sines and cosines: trained positions cannot be kept here"
        )));
    }
    let parameters = Names::dit(model).read(tensors, model, path)?;
    let model = Dit::of(model, parameters, device)?;
    Ok(Imported {
        config,
        model,
        remarks,
    })
}

/// The tensors of a file or folder.
fn state(path: &Path, part: Option<&str>) -> Result<StateDict> {
    // Counters beside the weights may be whole numbers.
    let take = |name: &str| match is_weight(name) {
        true => Take::Floats,
        false => Take::Numbers,
    };
    if path.is_dir() {
        let weights = weights_of(path)?.ok_or_else(|| FormatError::Foreign {
            path: path.into(),
            reason: format!(
                "expected {}.safetensors in it",
                STEMS.join(".safetensors or ")
            ),
        })?;
        return Ok(StateDict {
            tensors: weights.read()?,
            ..StateDict::default()
        });
    }
    if torch::is_one(path)? {
        return Ok(torch::read_taking(path, part, take)?);
    }
    let tensors = container::read_taking(path, take)?.tensors;
    let below = |name: &String, part: &str| {
        let rest = name.strip_prefix(part);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    match part {
        Some(part) if !tensors.keys().any(|name| below(name, part)) => Err(Error::Import {
            path: path.into(),
            reason: format!(
                "a safetensors file has no parts, and none of its names begins with {part}."
            ),
        }),
        _ => Ok(StateDict {
            tensors,
            ..StateDict::default()
        }),
    }
}

fn weights_of(folder: &Path) -> Result<Option<Weights>> {
    for stem in STEMS {
        if let Some(weights) = Weights::find(folder, stem)? {
            return Ok(Some(weights));
        }
    }
    Ok(None)
}

/// Whether the path is one that [`read`] understands: a file of `torch.save`, a safetensors file that is not ours, or a
/// folder with such a file under one of the names that `accelerate` gives.
///
/// # Errors
/// A file that cannot be read at all.
pub fn is_one(path: &Path) -> Result<bool> {
    if path.is_dir() {
        return match weights_of(path)? {
            Some(weights) if weights.path().extension().is_some_and(|end| end == "json") => {
                Ok(true)
            }
            Some(weights) => is_one(weights.path()),
            None => Ok(false),
        };
    }
    if torch::is_one(path)? {
        return Ok(true);
    }
    match learngene_formats::Header::read(path) {
        Err(FormatError::NotLearngene { .. }) => Ok(true),
        _ => Ok(false),
    }
}

/// What the tensors' shapes say of the model.
fn shape(
    tensors: &BTreeMap<String, TensorEntry>,
    heads: Option<usize>,
) -> std::result::Result<Shape, String> {
    fn of<const N: usize>(
        tensors: &BTreeMap<String, TensorEntry>,
        name: &str,
    ) -> std::result::Result<[usize; N], String> {
        let tensor = tensors.get(name);
        let tensor = tensor.ok_or_else(|| {
            let hint = match tensors.keys().any(|name| name.contains("transformer_blocks.")) {
                true => {
                    "; its names are those of diffusers: import the folder with its config.json, or, if they are a LoRA, give \
                     the model it is for and --lora or --tailor"
                }
                false => "",
            };
            format!("it has no `{name}`, so it is no checkpoint of DiT{hint}")
        })?;
        let shape = tensor.shape.as_slice().try_into();
        shape.map_err(|_| format!("`{name}` has shape {:?}, expected {N} sides", tensor.shape))
    }
    let [hidden, channels, patch, _] = of(tensors, FIRST)?;
    let [rows, _] = of(tensors, LABELS)?;
    let [_, tokens, _] = of(tensors, POSITIONS)?;
    let [outputs, _] = of(tensors, "final_layer.linear.weight")?;
    let blocks = tensors.keys().filter_map(|name| {
        let number = name.strip_prefix("blocks.")?.split('.').next()?;
        number.parse::<usize>().ok()
    });
    let depth = blocks.max().map_or(0, |last| last.saturating_add(1));
    let side = tokens.isqrt();
    if side * side != tokens {
        return Err(format!("it has {tokens} tokens, expected a square number"));
    }
    let pixels = patch.saturating_mul(patch).saturating_mul(channels);
    if outputs != pixels && outputs != pixels.saturating_mul(2) {
        return Err(format!(
            "`final_layer.linear` has {outputs} outputs, expected {pixels}, or twice as many with a learned variance"
        ));
    }
    let published = SIZES
        .iter()
        .filter(|size| size.0 != "dit-micro" && size.0 != "dit-nano");
    let published = published
        .map(|size| (size.1, size.3))
        .find(|size| size.0 == hidden);
    let heads = heads.or(published.map(|size| size.1)).ok_or_else(|| {
        format!("its width {hidden} is of no published size, and it does not say its number of heads: give --heads")
    })?;
    Ok(Shape {
        input: [
            channels,
            side.saturating_mul(patch),
            side.saturating_mul(patch),
        ],
        patch,
        hidden,
        depth,
        heads,
        num_classes: rows.saturating_sub(1),
        learn_sigma: outputs != pixels,
        time_code: TimeCode::Dit,
        mlp_norm_eps: None,
    })
}
