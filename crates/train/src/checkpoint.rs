//! The state of a run on disk: raw weights, their moving average and the optimiser, one folder per step.

use crate::{
    config::RunConfig,
    error::{Error, Result},
    optimiser::{AdamW, Slot},
    weights,
};
use burn::tensor::Device;
use learngene_formats::{
    Checkpoint, CheckpointWriter, Checkpoints, Content, FormatError, Header, Kind, TensorEntry,
    WeightFile,
};
use learngene_nn::{Dit, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MODEL: &str = "model.safetensors";
const EMA: &str = "ema.safetensors";
const OPTIMISER: &str = "optimiser.safetensors";
/// Metadata of the optimiser's file: how many updates each parameter had.
const UPDATES: &str = "updates/";

/// Saves the state after `step` steps.
///
/// # Errors
/// [`Error::NotFinite`] with the first weight that is not finite: such a state must not push out a good one.
pub(crate) fn save(
    writer: &CheckpointWriter,
    config: &RunConfig,
    model: &Dit,
    optimiser: &AdamW,
    step: u64,
    metric: Option<f64>,
) -> Result<Checkpoint> {
    if let Some(what) = params::first_not_finite(model) {
        return Err(Error::not_finite(step, format!("the weight `{what}`")));
    }
    let mut values = params::values(model);
    let model_file = weights::file(Kind::Model, config, &values).to_bytes()?;
    values.extend(optimiser.averaged(model, &config.train));
    let ema = weights::file(Kind::Ema, config, &values).to_bytes()?;
    let state = optimiser_file(optimiser).to_bytes()?;
    let files = [
        (MODEL, Content::Bytes(&model_file)),
        (EMA, Content::Bytes(&ema)),
        (OPTIMISER, Content::Bytes(&state)),
    ];
    Ok(writer.save(step, metric, &files)?.checkpoint)
}

/// The state of a checkpoint: configuration, model and optimiser.
///
/// # Errors
/// A file of another kind; missing, unexpected and mis-shaped tensors of a file, all of them; update counts that are not
/// one whole number per group (or one for the whole parameter), none above the steps done.
pub(crate) fn load(checkpoint: &Checkpoint, device: &Device) -> Result<(RunConfig, Dit, AdamW)> {
    let (config, model) = weights::read(&checkpoint.file(MODEL)?, device)?;
    let mut optimiser = AdamW::new(&model, config.model.groups, &config.train);
    let average = WeightFile::read(checkpoint.file(EMA)?)?;
    average.require_kind(Kind::Ema)?;
    average.check_strict(&params::layout(&config.model))?;
    let state = WeightFile::read(checkpoint.file(OPTIMISER)?)?;
    state.require_kind(Kind::Optimiser)?;
    let moments = |(name, slot): (&String, &Slot)| {
        ["m", "v"].map(|moment| (format!("{name}/{moment}"), slot.shape.clone()))
    };
    state.check_strict(&optimiser.slots.iter().flat_map(moments).collect())?;
    let mut counts = update_counts(&state, &optimiser, checkpoint)?;
    let take = |file: &WeightFile, name: &str| file.tensors[name].values.clone();
    for (name, slot) in &mut optimiser.slots {
        slot.m = take(&state, &format!("{name}/m"));
        slot.v = take(&state, &format!("{name}/v"));
        slot.ema = take(&average, name);
        slot.updates = counts.remove(name).unwrap_or_default();
    }
    Ok((config, model, optimiser))
}

/// The stored update counts of every slot, as many as the slot has and none above the steps done; all faults in one error.
fn update_counts(
    file: &WeightFile,
    optimiser: &AdamW,
    checkpoint: &Checkpoint,
) -> Result<BTreeMap<String, Vec<u64>>> {
    let (stored, steps) = (&file.header.extra, checkpoint.step());
    let mut faults: Vec<String> = stored
        .keys()
        .filter_map(|key| key.strip_prefix(UPDATES))
        .filter(|name| !optimiser.slots.contains_key(*name))
        .map(|name| format!("`{name}` is not trained"))
        .collect();
    let mut counts = BTreeMap::new();
    for (name, slot) in &optimiser.slots {
        let Some(text) = stored.get(&format!("{UPDATES}{name}")) else {
            faults.push(format!("`{name}` has none"));
            continue;
        };
        let expected = slot.updates.len();
        let parsed: std::result::Result<Vec<u64>, _> = text.split(',').map(str::parse).collect();
        match parsed {
            Err(_) => faults.push(format!("`{name}` has counts that are not whole numbers")),
            Ok(found) if found.len() != expected => {
                faults.push(format!("`{name}` has {}, expected {expected}", found.len()))
            }
            Ok(found) if found.iter().any(|&count| count > steps) => {
                faults.push(format!(
                    "`{name}` has more updates than the {steps} steps done"
                ));
            }
            Ok(found) => drop(counts.insert(name.clone(), found)),
        }
    }
    if faults.is_empty() {
        return Ok(counts);
    }
    let error = FormatError::Damaged {
        path: checkpoint.path.clone(),
        reason: format!("the update counts do not fit: {}", faults.join("; ")),
    };
    Err(error.into())
}

pub(crate) fn optimiser_file(optimiser: &AdamW) -> WeightFile {
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
            .insert(format!("{UPDATES}{name}"), counts.join(","));
    }
    WeightFile::new(header, tensors)
}

/// The weight file a user means by MODEL: a safetensors file itself; for a run folder the moving average of its newest
/// complete checkpoint; for a checkpoint folder its moving average. Also returns why newer checkpoints were passed over.
pub fn find_model(path: &Path) -> Result<(PathBuf, Vec<FormatError>)> {
    if path.is_file() {
        return Ok((path.into(), Vec::new()));
    }
    let direct = path.join(EMA);
    if direct.is_file() {
        return Ok((direct, Vec::new()));
    }
    let folder = path.join("checkpoints");
    if folder.is_dir() {
        let found = Checkpoints::at(&folder).latest()?;
        if let Some(newest) = found.checkpoint {
            return Ok((newest.file(EMA)?, found.rejected));
        }
    }
    Err(Error::Folder {
        path: path.into(),
        message:
            "expected a safetensors file, a checkpoint, or a run folder with a complete checkpoint"
                .into(),
    })
}
