//! What a finished transfer leaves for whoever has the base: what was trained, in a file of its own.

use crate::adapter::Adapter;
use crate::error::Result;
use crate::tailor_set::TailorSet;
use learngene_nn::{Dit, Sharing, params};
use learngene_train::RunConfig;
use std::path::{Path, PathBuf};

/// The file in which a transfer leaves its tailors.
pub const TAILORS: &str = "tailors.safetensors";

/// The file in which a transfer by another method leaves what it trained.
pub const ADAPTER: &str = "adapter.safetensors";

/// A file that was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shipped {
    /// New tailors alone, to be attached with `assemble`.
    Tailors(PathBuf),
    /// Everything that trained, so many numbers, to be attached with `merge`.
    Adapter(PathBuf, usize),
}

impl Shipped {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        match self {
            Self::Tailors(path) | Self::Adapter(path, _) => path,
        }
    }
}

/// Writes that file into the run folder: tailors where nothing else was trained, else what the method trained; nothing
/// for a run that no method started.
///
/// # Errors
/// A folder that is not there or not writable, a full disk.
pub fn ship(config: &RunConfig, model: &Dit, folder: &Path) -> Result<Option<Shipped>> {
    if trains_tailors_alone(config) {
        let path = folder.join(TAILORS);
        TailorSet::of(config, model, folder).write(&path)?;
        return Ok(Some(Shipped::Tailors(path)));
    }
    let Some(adapter) = Adapter::of(config, model, folder) else {
        return Ok(None);
    };
    let path = folder.join(ADAPTER);
    adapter.write(&path)?;
    Ok(Some(Shipped::Adapter(path, adapter.numbers())))
}

/// Numbers that train, label rows among them.
pub fn trained_parameters(config: &RunConfig) -> u64 {
    let trainable = config.train.trainable;
    let layout = params::layout(&config.model);
    let trains = layout
        .iter()
        .filter(|(name, _)| trainable.factor(name) > 0.0);
    trains
        .map(|(_, shape)| shape.iter().product::<usize>() as u64)
        .sum()
}

/// Whether the learngene comes out as it went in, so that the tailors can be attached to it elsewhere.
fn trains_tailors_alone(config: &RunConfig) -> bool {
    let trainable = &config.train.trainable;
    // Null labels would train the null row, which guidance draws with and which is the learngene's.
    let (train, labelled) = (&config.train, config.train.per_class > 0);
    let unlabelled = if labelled {
        train.null > 0
    } else {
        train.label_drop > 0.0
    };
    let null = unlabelled || train.hide_label > 0.0;
    config.model.groups > 0
        && config.model.sharing == Sharing::Class
        && trainable.learngene == 0.0
        && trainable.rest == 0.0
        && trainable.biases.unwrap_or(0.0) == 0.0
        && !(null && trainable.labels > 0.0)
}
