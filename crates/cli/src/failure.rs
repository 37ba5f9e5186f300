//! Every way the program can fail, and the exit code it fails with.

/// An error of any crate, or of the program itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The run stopped early on request.
    #[error("interrupted at step {0}; the state is checkpointed, go on with `learngene resume`")]
    Interrupted(u64),
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// A file that cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// From the data.
    #[error(transparent)]
    Data(#[from] learngene_data::Error),
    /// From the model.
    #[error(transparent)]
    Model(#[from] learngene_nn::Error),
    /// From samplers.
    #[error(transparent)]
    Diffusion(#[from] learngene_diffusion::DiffusionError),
    /// From training.
    #[error(transparent)]
    Train(#[from] learngene_train::Error),
    /// From taking apart.
    #[error(transparent)]
    Transfer(#[from] learngene_transfer::Error),
    /// From weight files.
    #[error(transparent)]
    Format(#[from] learngene_formats::FormatError),
    /// From metrics.
    #[error(transparent)]
    Eval(#[from] learngene_eval::EvalError),
}

impl Failure {
    /// The exit code scripts rely on.
    pub fn exit_code(&self) -> u8 {
        use learngene_train::Error as Train;
        match self {
            Self::Interrupted(_) => 5,
            Self::Usage(_) | Self::Model(_) | Self::Diffusion(_) | Self::Transfer(_) => 2,
            Self::Train(Train::NotFinite { .. }) => 4,
            Self::Train(Train::Config { .. } | Train::Model(_) | Train::Diffusion(_)) => 2,
            Self::Train(_)
            | Self::Data(_)
            | Self::Format(_)
            | Self::Write { .. }
            | Self::Eval(_) => 3,
        }
    }
}

/// Result with a failure.
pub type Result<T> = std::result::Result<T, Failure>;
