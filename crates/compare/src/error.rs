//! What can go wrong in a comparison.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that describes no comparison.
    #[error("invalid comparison{}: {message}", path.as_ref().map(|p| format!(" in {}", p.display())).unwrap_or_default())]
    Config {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Bases or data that cannot be compared on.
    #[error("{what} cannot be compared with: {message}")]
    Unfit {
        /// The base or the data.
        what: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// A row whose method cannot start from its base.
    #[error("row `{row}`: {source}")]
    Row {
        /// Its name.
        row: String,
        /// Why.
        source: Box<Error>,
    },
    /// A number that is none.
    #[error("{what} is not finite; train it with a lower rate")]
    NotFinite {
        /// What.
        what: String,
    },
    /// Asked to stop.
    #[error("interrupted in cell `{cell}`; everything before it is kept")]
    Interrupted {
        /// The cell.
        cell: String,
    },
    /// A file of a cell that cannot be used.
    #[error("cannot {action} {}: {message}; remove it and compare again", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// From the data.
    #[error("failed to {0}")]
    Data(#[from] learngene_data::Error),
    /// From the model.
    #[error(transparent)]
    Model(#[from] learngene_nn::Error),
    /// From samplers.
    #[error(transparent)]
    Diffusion(#[from] learngene_diffusion::DiffusionError),
    /// From weight files and checkpoints.
    #[error(transparent)]
    Format(#[from] learngene_formats::FormatError),
    /// From metrics.
    #[error("failed to {0}")]
    Eval(#[from] learngene_eval::EvalError),
    /// From training.
    #[error(transparent)]
    Train(#[from] learngene_train::Error),
    /// From the methods.
    #[error(transparent)]
    Transfer(#[from] learngene_transfer::Error),
}

impl Error {
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::Config {
            path: None,
            message: message.into(),
        }
    }

    pub(crate) fn unfit(what: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Unfit {
            what: what.into(),
            message: message.into(),
        }
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
        why: impl std::fmt::Display,
    ) -> Self {
        Self::File {
            action,
            path: path.into(),
            message: why.to_string(),
        }
    }

    /// The same, known to be about that row.
    pub(crate) fn in_row(self, row: &str) -> Self {
        Self::Row {
            row: row.into(),
            source: Box::new(self),
        }
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
