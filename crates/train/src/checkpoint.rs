//! The state of a run on disk: raw weights, their moving average and the optimiser, one folder per step.

use crate::{
    config::RunConfig,
    error::{Error, Result},
    optimiser::{AdamW, Slot},
    weights,
};
use burn::module::Module;
use burn::tensor::Device;
use learngene_formats::{
    Checkpoint, CheckpointWriter, Checkpoints, Content, FormatError, Header, Kind, TensorSource,
    WeightFile, WeightWriter,
};
use learngene_nn::{Dit, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MODEL: &str = "model.safetensors";
const EMA: &str = "ema.safetensors";
const OPTIMISER: &str = "optimiser.safetensors";
/// The folder of a run's checkpoints.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// Metadata of the optimiser's file, which nobody passes on: the section `[data]` of the run, with the place of the images.
const DATA: &str = "data";
/// Metadata of the optimiser's file: how many updates each parameter had.
const UPDATES: &str = "updates/";

/// Saves the state.
///
/// # Errors
/// [`Error::NotFinite`] with the first weight that is not finite: such a state must not push out a good one.
pub(crate) fn save(
    writer: &CheckpointWriter,
    config: &RunConfig,
    model: &Dit,
    optimiser: &AdamW,
    metric: Option<f64>,
) -> Result<Checkpoint> {
    let step = optimiser.done;
    if let Some(what) = params::first_not_finite(model) {
        return Err(Error::not_finite(step, format!("the weight `{what}`")));
    }
    // Each is written tensor by tensor: whole in memory they would take three times the model.
    let raw = weights::file(Kind::Model, config, weights::of_model(model));
    let mut averaged = weights::of_model(model);
    averaged.extend(optimiser.averages(model, &config.train));
    let averaged = weights::file(Kind::Ema, config, averaged);
    let mut state = optimiser_file(optimiser);
    let data = serde_json::to_string(&config.data).unwrap_or_default();
    state.header.extra.insert(DATA.to_owned(), data);
    let files: [(&str, Content<'_>); 3] = [
        (MODEL, Content::Stream(&|out| raw.write_to(out))),
        (EMA, Content::Stream(&|out| averaged.write_to(out))),
        (OPTIMISER, Content::Stream(&|out| state.write_to(out))),
    ];
    Ok(writer.save(step, metric, &files)?.checkpoint)
}

/// The configuration of a checkpoint.
///
/// # Errors
/// A file that is damaged or of another kind.
pub(crate) fn config(checkpoint: &Checkpoint) -> Result<RunConfig> {
    let path = checkpoint.file(MODEL)?;
    let mut config = weights::config_of(&Header::read(&path)?, &path)?;
    let path = checkpoint.file(OPTIMISER)?;
    // Before, the model's file said it.
    if let Some(data) = Header::read(&path)?.extra.get(DATA) {
        config.data = serde_json::from_str(data).map_err(|error| FormatError::Metadata {
            path,
            key: DATA.into(),
            reason: error.to_string(),
        })?;
    }
    Ok(config)
}

/// The state of a checkpoint: configuration, model and optimiser.
///
/// # Errors
/// A file of another kind; missing, unexpected and mis-shaped tensors of a file, all of them; update counts that are not
/// one whole number per group (or one for the whole parameter), none above the steps done.
pub(crate) fn load(checkpoint: &Checkpoint, device: &Device) -> Result<(RunConfig, Dit, AdamW)> {
    let (config, model) = weights::read(&checkpoint.file(MODEL)?, device)?;
    let mut optimiser = AdamW::unfilled(&model, config.model.groups, &config.train);
    let mut average = WeightFile::read(checkpoint.file(EMA)?)?;
    average.require_kind(Kind::Ema)?;
    average.check_strict(&params::layout(&config.model))?;
    load_moments(&mut optimiser, checkpoint)?;
    for (name, slot) in &mut optimiser.slots {
        if let Some(values) = average.tensors.remove(name) {
            slot.ema = values.values;
        }
    }
    Ok((config, model, optimiser))
}

/// Moments, update counts and the number of steps done, of an optimiser for the same parameters.
fn load_moments(optimiser: &mut AdamW, checkpoint: &Checkpoint) -> Result<()> {
    let mut state = WeightFile::read(checkpoint.file(OPTIMISER)?)?;
    state.require_kind(Kind::Optimiser)?;
    let moments = |(name, slot): (&String, &Slot)| {
        ["m", "v"].map(|moment| (format!("{name}/{moment}"), slot.shape.clone()))
    };
    state.check_strict(&optimiser.slots.iter().flat_map(moments).collect())?;
    let mut counts = update_counts(&state, optimiser, checkpoint)?;
    let mut take = |name: String| state.tensors.remove(&name).map(|moment| moment.values);
    for (name, slot) in &mut optimiser.slots {
        slot.m = take(format!("{name}/m")).unwrap_or_default();
        slot.v = take(format!("{name}/v")).unwrap_or_default();
        slot.updates = counts.remove(name).unwrap_or_default();
    }
    optimiser.done = checkpoint.step();
    Ok(())
}

/// Saves any module and its optimiser, without an average. `about` is what has to be the same for whoever goes on with it.
pub(crate) fn save_module<M: Module>(
    writer: &CheckpointWriter,
    about: &serde_json::Value,
    model: &M,
    optimiser: &AdamW,
) -> Result<()> {
    let header = Header::new(Kind::Model, about.clone());
    let weights = WeightWriter::new(header, weights::of_model(model));
    let state = optimiser_file(optimiser);
    let files: [(&str, Content<'_>); 2] = [
        (MODEL, Content::Stream(&|out| weights.write_to(out))),
        (OPTIMISER, Content::Stream(&|out| state.write_to(out))),
    ];
    writer.save(optimiser.done, None, &files)?;
    Ok(())
}

/// A module of the same shape with the values that [`save_module`] saved, its optimiser brought to that state, and what was
/// said about it.
pub(crate) fn load_module<M: Module>(
    checkpoint: &Checkpoint,
    model: M,
    optimiser: &mut AdamW,
) -> Result<(M, serde_json::Value)> {
    let file = WeightFile::read(checkpoint.file(MODEL)?)?;
    file.require_kind(Kind::Model)?;
    file.check_strict(&params::shapes(&model))?;
    load_moments(optimiser, checkpoint)?;
    let model = params::replace(model, weights::parameters(file.tensors))?;
    Ok((model, file.header.config))
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

pub(crate) fn optimiser_file(optimiser: &AdamW) -> WeightWriter<'_> {
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
        let lend = |values| TensorSource::lent(shape.clone(), values);
        tensors.insert(format!("{name}/m"), lend(m));
        tensors.insert(format!("{name}/v"), lend(v));
        let counts: Vec<String> = updates.iter().map(u64::to_string).collect();
        header
            .extra
            .insert(format!("{UPDATES}{name}"), counts.join(","));
    }
    WeightWriter::new(header, tensors)
}

/// What a user adds to the path of a run or a checkpoint to mean its weights as the last step left them.
pub const RAW: &str = "raw";
/// What a user adds to the path of a run to mean its checkpoint of the lowest validation loss.
pub const BEST: &str = "best";

/// The weight file a user means by MODEL. A safetensors file is itself; a run folder is its newest complete checkpoint,
/// `RUN/best` the one of the lowest validation loss; a checkpoint is its moving average, and with `/raw` behind it or
/// behind a run the weights as the last step left them. Also returns why better checkpoints were passed over.
///
/// # Errors
/// A path that is none of these; [`BEST`] of a run without a validated checkpoint; [`RAW`] of a file.
pub fn find_model(path: &Path) -> Result<(PathBuf, Vec<FormatError>)> {
    let wrong = |message: &str| Error::Folder {
        path: path.into(),
        message: message.into(),
    };
    if path.is_file() {
        return Ok((path.into(), Vec::new()));
    }
    let (path_of_run, raw) = without_suffix(path, RAW);
    let (folder, best) = without_suffix(path_of_run, BEST);
    if raw && folder.is_file() {
        return Err(wrong(
            "a file holds one set of weights; name the run or the checkpoint to choose between its moving average and \
             its raw weights",
        ));
    }
    let file = if raw { MODEL } else { EMA };
    let direct = folder.join(file);
    if direct.is_file() && !best {
        return Ok((direct, Vec::new()));
    }
    let checkpoints = folder.join(CHECKPOINTS);
    if checkpoints.is_dir() {
        let checkpoints = Checkpoints::at(&checkpoints);
        let found = if best {
            checkpoints.best()?
        } else {
            checkpoints.latest()?
        };
        if let Some(chosen) = found.checkpoint {
            return Ok((chosen.file(file)?, found.rejected));
        }
        if best {
            return Err(wrong(
                "no checkpoint of this run has a validation loss; leave `/best` out to take the newest",
            ));
        }
    }
    Err(wrong(
        "expected a safetensors file, a checkpoint, or a run folder with a complete checkpoint",
    ))
}

/// A path without that last part, if nothing of that name is there; and whether it had it.
fn without_suffix<'a>(path: &'a Path, suffix: &str) -> (&'a Path, bool) {
    match path.parent() {
        Some(parent) if path.ends_with(suffix) && !path.exists() => (parent, true),
        _ => (path, false),
    }
}
