//! The state of a run on disk: raw weights, their moving average and the optimiser, one folder per step.

use crate::{
    config::RunConfig,
    error::{Error, Result},
    optimiser::{AdamW, Slot},
    weights::{self, Parameters},
};
use burn::tensor::Device;
use learngene_formats::{
    Checkpoint, CheckpointWriter, Checkpoints, Content, Header, Kind, TensorEntry, WeightFile,
};
use learngene_nn::{Dit, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MODEL: &str = "model.safetensors";
const EMA: &str = "ema.safetensors";
const OPTIMISER: &str = "optimiser.safetensors";

/// Weights with the moving average in place of every trained parameter.
pub(crate) fn averaged(model: &Dit, optimiser: &AdamW) -> Parameters {
    let mut all = params::values(model);
    all.extend(optimiser.ema());
    all
}

/// Saves the state after `step` steps.
pub(crate) fn save(
    writer: &CheckpointWriter,
    config: &RunConfig,
    model: &Dit,
    optimiser: &AdamW,
    step: u64,
    metric: Option<f64>,
) -> Result<Checkpoint> {
    let model_file = weights::file(Kind::Model, config, &params::values(model)).to_bytes()?;
    let ema = weights::file(Kind::Ema, config, &averaged(model, optimiser)).to_bytes()?;
    let state = optimiser_file(optimiser).to_bytes()?;
    let files = [
        (MODEL, Content::Bytes(&model_file)),
        (EMA, Content::Bytes(&ema)),
        (OPTIMISER, Content::Bytes(&state)),
    ];
    Ok(writer.save(step, metric, &files)?.checkpoint)
}

/// The state of a checkpoint: configuration, model and optimiser.
pub(crate) fn load(checkpoint: &Checkpoint, device: &Device) -> Result<(RunConfig, Dit, AdamW)> {
    let (config, model) = weights::read(&checkpoint.file(MODEL)?, device)?;
    let ema = WeightFile::read(checkpoint.file(EMA)?)?;
    let state = WeightFile::read(checkpoint.file(OPTIMISER)?)?;
    state.require_kind(Kind::Optimiser)?;
    let fresh = AdamW::new(&model, &config.train);
    let mut expected = BTreeMap::new();
    for (name, slot) in &fresh.slots {
        expected.insert(format!("{name}/m"), slot.shape.clone());
        expected.insert(format!("{name}/v"), slot.shape.clone());
    }
    state.check_strict(&expected)?;
    let mut slots = fresh.slots;
    for (name, slot) in &mut slots {
        let take = |suffix: &str| state.tensors[&format!("{name}/{suffix}")].values.clone();
        (slot.m, slot.v) = (take("m"), take("v"));
        if let Some(entry) = ema.tensors.get(name) {
            slot.ema = entry.values.clone();
        }
        if let Some(counts) = state.header.extra.get(&format!("updates/{name}")) {
            slot.updates = counts.split(',').filter_map(|c| c.parse().ok()).collect();
        }
    }
    Ok((config, model, AdamW { slots }))
}

fn optimiser_file(optimiser: &AdamW) -> WeightFile {
    let mut header = Header::new(Kind::Optimiser, serde_json::json!({"name": "adamw"}));
    let mut tensors = BTreeMap::new();
    for (
        name,
        Slot {
            shape,
            m,
            v,
            updates,
            ..
        },
    ) in &optimiser.slots
    {
        let entry = |values: &Vec<f32>| TensorEntry {
            shape: shape.clone(),
            values: values.clone(),
        };
        tensors.insert(format!("{name}/m"), entry(m));
        tensors.insert(format!("{name}/v"), entry(v));
        let counts: Vec<String> = updates.iter().map(u64::to_string).collect();
        header
            .extra
            .insert(format!("updates/{name}"), counts.join(","));
    }
    WeightFile::new(header, tensors)
}

/// The weight file a user means by MODEL: a safetensors file itself; for a run folder the moving average of its newest
/// complete checkpoint; for a checkpoint folder its moving average.
pub fn find_model(path: &Path) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path.into());
    }
    let direct = path.join(EMA);
    if direct.is_file() {
        return Ok(direct);
    }
    let folder = path.join("checkpoints");
    if folder.is_dir()
        && let Some(newest) = Checkpoints::at(&folder).latest()?.checkpoint
    {
        return Ok(newest.file(EMA)?);
    }
    Err(Error::Folder {
        path: path.into(),
        message:
            "expected a safetensors file, a checkpoint, or a run folder with a complete checkpoint"
                .into(),
    })
}
