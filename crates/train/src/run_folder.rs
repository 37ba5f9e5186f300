//! What of a run folder is looked at before a run is made or gone on with.

use crate::{
    checkpoint::CHECKPOINTS,
    config::RunConfig,
    error::{Error, Result},
};
use learngene_formats::{Checkpoint, Checkpoints, Found, write_atomically};
use std::path::Path;

/// The configuration.
pub const CONFIG: &str = "config.toml";

/// Writes the configuration, replacing one that is there.
pub fn write_config(folder: &Path, config: &RunConfig) -> Result<()> {
    let text = config.to_toml()?;
    Ok(write_atomically(folder.join(CONFIG), |out| {
        out.write_all(text.as_bytes())
    })?)
}

/// Refuses a folder with a run to go on with, or with traces of one that somebody may want to look at. What a run left
/// that was stopped before its first checkpoint goes.
pub fn make_room(folder: &Path) -> Result<()> {
    let (checkpoints, file) = (folder.join(CHECKPOINTS), folder.join(CONFIG));
    let occupied = |message: &str| {
        Err(Error::Folder {
            path: folder.into(),
            message: message.into(),
        })
    };
    if !checkpoints.is_dir() {
        return match file.exists() {
            true => occupied(
                "holds a config.toml and no checkpoint; move it away, or choose another --out",
            ),
            false => Ok(()),
        };
    }
    let (whole, damaged) = Checkpoints::at(checkpoints).list()?;
    if !whole.is_empty() {
        return occupied(
            "already holds a run; go on with `learngene resume`, or choose another --out",
        );
    }
    if !damaged.is_empty() {
        return occupied("holds a run whose checkpoints are all damaged; choose another --out");
    }
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", &file)(error))
        }
        _ => Ok(()),
    }
}

/// The newest complete checkpoint, and why newer ones were passed over.
pub fn newest(folder: &Path, checkpoints: &Checkpoints) -> Result<(Checkpoint, Vec<String>)> {
    let found = match checkpoints.folder().is_dir() {
        true => checkpoints.latest()?,
        false => Found::default(),
    };
    let rejected: Vec<String> = found.rejected.iter().map(ToString::to_string).collect();
    let message = match (found.checkpoint, rejected.first()) {
        (Some(newest), _) => return Ok((newest, rejected)),
        (None, Some(reason)) => format!(
            "holds no checkpoint that is whole ({reason}); start again with another --out"
        ),
        (None, None) if folder.join(CONFIG).exists() => {
            "holds no complete checkpoint, so nothing was trained yet; start with the command that makes the run, such \
             as `learngene pretrain`"
                .into()
        }
        (None, None) => "holds no config.toml and no complete checkpoint; a run folder holds one of each; start with the \
                         command that makes the run, such as `learngene pretrain`"
            .into(),
    };
    Err(Error::Folder {
        path: folder.into(),
        message,
    })
}

/// Refuses to go on with another model, or with other parts of it training, than the checkpoint's.
pub fn check_unchanged(folder: &Path, config: &RunConfig, saved: &RunConfig) -> Result<()> {
    let changed = [
        ("model", config.model != saved.model),
        ("classes", config.classes != saved.classes),
        (
            "train.trainable",
            config.train.trainable != saved.train.trainable,
        ),
    ];
    let Some((section, _)) = changed.into_iter().find(|(_, changed)| *changed) else {
        return Ok(());
    };
    Err(Error::Config {
        path: Some(folder.join("config.toml")),
        message: format!(
            "`{section}` is not what the checkpoint was trained with; set it back, or start a new run"
        ),
    })
}
