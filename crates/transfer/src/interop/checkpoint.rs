//! Checkpoints of DiT: a state dictionary as `torch.save` writes it, alone or as a part of a training checkpoint.
//!
//! The file says nothing about the model but by its shapes. They tell all but the number of heads, which is that of the
//! published size with this width or has to be given, and the sides of the image, which is taken to be square.

use super::names::Names;
use super::plain::plain;
use super::{Shape, unknown_run};
use crate::error::{Error, Result};
use burn::tensor::Device;
use learngene_formats::{FormatError, TensorEntry, container, torch};
use learngene_nn::{Dit, FactorInit, NORM_EPS, SIZES, TimeCode, fixed_positions, params};
use learngene_train::RunConfig;
use std::collections::BTreeMap;
use std::path::Path;

/// The fixed positions, which the file keeps and a model here computes.
const POSITIONS: &str = "pos_embed";
/// How far stored positions may lie from the computed ones: they are rounded to f32 once or twice.
const POSITION_TOLERANCE: f32 = 1e-5;

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

/// The model in a `.pt`, or in a safetensors file of the same tensors.
///
/// - part: of a training checkpoint; `ema` or `model` if not said
/// - heads: of the attention; those of the published size of that width if not said
///
/// # Errors
/// A file that is no such checkpoint, tensors that are not a DiT's, all listed in one error, positions that were trained.
pub fn read(
    path: &Path,
    part: Option<&str>,
    heads: Option<usize>,
    device: &Device,
) -> Result<(RunConfig, Dit)> {
    let refuse = |reason: String| Error::Import {
        path: path.into(),
        reason,
    };
    let mut tensors = match torch::is_one(path)? {
        true => torch::read(path, part)?,
        false if part.is_some() => return Err(refuse("a safetensors file has no parts".into())),
        false => container::read(path)?.tensors,
    };
    let shape = shape(&tensors, heads).map_err(refuse)?;
    let config = unknown_run(shape.config()?, path);
    let model = &config.model;
    let stored = tensors
        .remove(POSITIONS)
        .map(|t| t.values)
        .unwrap_or_default();
    let computed = fixed_positions(model);
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= POSITION_TOLERANCE;
    if stored.len() != computed.len() || !stored.iter().zip(&computed).all(near) {
        return Err(refuse(format!(
            "`{POSITIONS}` is not the fixed code of sines and cosines: trained positions cannot be kept here"
        )));
    }
    let parameters = Names::dit(model).read(tensors, model, path)?;
    let start = Dit::init(model, FactorInit::ZeroStart, 0, device)?;
    Ok((config, params::replace(start, &parameters)?))
}

/// Whether the file is one that [`read`] understands: of `torch.save`, or a safetensors file with DiT's names.
///
/// # Errors
/// A file that cannot be read at all.
pub fn is_one(path: &Path) -> Result<bool> {
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
        let tensor =
            tensor.ok_or_else(|| format!("it has no `{name}`, so it is no checkpoint of DiT"))?;
        let shape = tensor.shape.as_slice().try_into();
        shape.map_err(|_| format!("`{name}` has shape {:?}, expected {N} sides", tensor.shape))
    }
    let [hidden, channels, patch, _] = of(tensors, "x_embedder.proj.weight")?;
    let [rows, _] = of(tensors, "y_embedder.embedding_table.weight")?;
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
