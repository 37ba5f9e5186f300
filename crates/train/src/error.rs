//! What can go wrong while training.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting out of range or unknown.
    #[error("invalid configuration{}: {message}", path.as_ref().map(|p| format!(" in {}", p.display())).unwrap_or_default())]
    Config {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A loss, gradient or weight that is not finite. It was neither used for an update nor saved.
    #[error(
        "step {step}: {what} is not finite; {}. \
         Lower the learning rate, or resume with a smaller `train.clip`",
        checkpoint.map_or("nothing was saved".into(), |s| format!("the last checkpoint (step {s}) is whole"))
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// The first bad tensor.
        what: String,
        /// Step of the last checkpoint.
        checkpoint: Option<u64>,
    },
    /// A generated image that is not finite.
    #[error(
        "image {index}{} comes out with NaN or infinite values: the weights are too large; take an earlier checkpoint, \
         or train with a lower rate", label.map(|l| format!(" of class {l}")).unwrap_or_default()
    )]
    Drawn {
        /// The number of the image.
        index: u64,
        /// Its class; none for the null label.
        label: Option<usize>,
    },
    /// A run folder that is not one, or already holds a run.
    #[error("{}: {message}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// A file or folder of the run that cannot be used.
    #[error("cannot {action} {}: {source}; check the path, its permissions and the free space", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// From the model.
    #[error(transparent)]
    Model(#[from] learngene_nn::Error),
    /// A picture was asked of a model that makes latents.
    #[error(
        "the model makes latents of {channels} channels, not images of 1 or 3: draw with their autoencoder (`learngene sample --vae`)"
    )]
    Latents {
        /// Channels of the model.
        channels: usize,
    },
    /// From the data.
    #[error(transparent)]
    Data(#[from] learngene_data::Error),
    /// From losses and samplers.
    #[error(transparent)]
    Diffusion(#[from] learngene_diffusion::DiffusionError),
    /// From weight files and checkpoints.
    #[error(transparent)]
    Format(#[from] learngene_formats::FormatError),
    /// From the TensorBoard file.
    #[error(transparent)]
    Events(#[from] crate::tensorboard::EventError),
}

impl Error {
    /// Not finite, before it is known what the last checkpoint is.
    pub(crate) fn not_finite(step: u64, what: String) -> Self {
        Self::NotFinite {
            step,
            what,
            checkpoint: None,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
