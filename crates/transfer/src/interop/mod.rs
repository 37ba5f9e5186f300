//! Models of other programs, in and out.
//!
//! A foreign layout is a list of tensors, each of which is some of our parameters one below the other in another shape
//! (`names`). One list serves both directions, so what is written is read back to the bit.
//!
//! * [`diffusers`]: the folder of a `DiTTransformer2DModel`;
//! * [`checkpoint`]: the `.pt` of the published DiT checkpoints;
//! * [`lora`]: changes of low rank as PEFT, diffusers and kohya's scripts keep them. A tailor beside a merged learngene
//!   is exactly that;
//! * [`autoencoder`]: the folder of an `AutoencoderKL`, and single files of one.
//!
//! Those programs know ordinary weights only. `plain` makes them of any model, its tailors left out.

pub mod autoencoder;
pub mod checkpoint;
pub mod diffusers;
pub mod lora;
mod names;
mod pipeline;
mod plain;
mod wrappers;

use crate::error::Result;
use learngene_diffusion::{Objective, ScheduleKind, Target};
use learngene_formats::{
    FormatError, TensorEntry, atomic::write_bytes_atomically, container, container::Contents,
};
use learngene_nn::{Dit, DitConfig, FactorInit, TimeCode};
use learngene_train::{DataConfig, RunConfig, TrainConfig};
use std::collections::BTreeMap;
use std::path::Path;

/// A model of another program.
pub struct Imported {
    /// Its configuration: what the file says, and what is taken for granted where it says nothing.
    pub config: RunConfig,
    /// The model itself.
    pub model: Dit,
    /// What a person should know of it.
    pub remarks: Vec<Remark>,
}

/// A sentence about what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// How something was understood that the file leaves open, or what was passed over as other programs do.
    Note(String),
    /// What is not as the other program has it.
    Warning(String),
}

impl std::fmt::Display for Remark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Note(text) => write!(f, "note: {text}"),
            Self::Warning(text) => write!(f, "warning: {text}"),
        }
    }
}

/// Settings that the moving averages of diffusers' training scripts (`EMAModel`) leave in a model's `config.json`. They
/// say how it was averaged and nothing of the model.
const OF_AVERAGES: [&str; 7] = [
    "decay",
    "inv_gamma",
    "min_decay",
    "optimization_step",
    "power",
    "update_after_step",
    "use_ema_warmup",
];

/// What a foreign layout tells of a model's shape.
struct Shape {
    input: [usize; 3],
    patch: usize,
    hidden: usize,
    depth: usize,
    heads: usize,
    num_classes: usize,
    learn_sigma: bool,
    time_code: TimeCode,
    mlp_norm_eps: Option<f64>,
}

impl Shape {
    /// A dense model of that shape; all else is as in the published sizes.
    fn config(&self) -> Result<DitConfig> {
        let config = DitConfig {
            input: self.input,
            patch: self.patch,
            hidden: self.hidden,
            depth: self.depth,
            heads: self.heads,
            num_classes: self.num_classes,
            learn_sigma: self.learn_sigma,
            time_code: self.time_code,
            mlp_norm_eps: self.mlp_norm_eps,
            ..DitConfig::from_size("dit-s/1", [1, 1, 1], 1)?
        };
        config.validate()?;
        Ok(config)
    }
}

/// The configuration of a model that came without one: trained as DiT was, on the noise with the linear schedule, and
/// its classes called by their numbers.
fn unknown_run(model: DitConfig, source: &Path) -> RunConfig {
    RunConfig {
        data: DataConfig::of(source.display().to_string()),
        train: TrainConfig {
            schedule: ScheduleKind::Linear,
            objective: Objective {
                target: Target::Epsilon,
                learned_variance: model.learn_sigma,
                ..Objective::default()
            },
            ..TrainConfig::default()
        },
        classes: (0..model.num_classes).map(|i| i.to_string()).collect(),
        model,
        init: FactorInit::default(),
        method: None,
    }
}

/// Makes a folder with weights, and the JSON that describes them: last, so that a folder without it is not whole.
fn write_folder(
    folder: &Path,
    weights: &str,
    tensors: BTreeMap<String, TensorEntry>,
    description: &str,
    described: &serde_json::Value,
) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| FormatError::Io {
        action: "make the folder",
        path: folder.into(),
        source,
    })?;
    // PyTorch programs ask for this.
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let contents = Contents { metadata, tensors };
    container::write(folder.join(format!("{weights}.safetensors")), &contents)?;
    let text = serde_json::to_string_pretty(described).unwrap_or_default() + "\n";
    Ok(write_bytes_atomically(
        folder.join(description),
        text.as_bytes(),
    )?)
}
