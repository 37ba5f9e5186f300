//! Every way the program can fail, the exit code it fails with, and what to do next.

use std::fmt::Display;
use std::path::PathBuf;

/// An error of any crate, or of the program itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The run stopped early on request.
    #[error("interrupted at step {0}; the state is checkpointed")]
    Interrupted(u64),
    /// The training of an autoencoder stopped early on request.
    #[error("interrupted at step {step}; the state is checkpointed in {}", checkpoints.display())]
    InterruptedHere {
        /// Steps done.
        step: u64,
        /// The folder.
        checkpoints: PathBuf,
    },
    /// Stopped on request between two runs.
    #[error("interrupted between two stages; what is finished lies in the folder")]
    Stopped,
    /// Stopped on request, leaving what the text says.
    #[error("interrupted: {0}")]
    StoppedHere(&'static str),
    /// It ran to its end, and something that must hold does not.
    #[error("a check failed: {0}; please report it")]
    Check(&'static str),
    /// A training that came to less than nothing.
    #[error(
        "the training diverged: the {what} is {loss:.4}, and that of a model that predicts nothing {nothing:.4}; train again with \
         a learning rate below {lr}"
    )]
    Diverged {
        /// What was lost.
        what: &'static str,
        /// How much.
        loss: f64,
        /// How much is lost without a model.
        nothing: f64,
        /// The learning rate.
        lr: f64,
    },
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
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A feature extractor that cannot be used.
    #[error("{path}: failed to {source}")]
    Extractor {
        /// The weight file.
        path: String,
        /// Why.
        source: learngene_eval::EvalError,
    },
    /// Weights that are no numbers.
    #[error(
        "{}: tensor `{tensor}` holds NaN or infinite values: take an earlier checkpoint", path.display()
    )]
    NotFinite {
        /// The weight file.
        path: PathBuf,
        /// The first such tensor.
        tensor: String,
    },
    /// A failure while a run was under way.
    #[error("{failure}")]
    InRun {
        /// The run folder.
        folder: PathBuf,
        /// What happened.
        failure: Box<Failure>,
    },
    /// A row of a comparison that cannot start.
    #[error("row `{row}`: {failure}")]
    InRow {
        /// Its name.
        row: String,
        /// Why.
        failure: Box<Failure>,
    },
    /// From a comparison itself.
    #[error(transparent)]
    Compare(learngene_compare::Error),
    /// From the data.
    #[error("failed to {0}")]
    Data(#[from] learngene_data::Error),
    /// From the model.
    #[error(transparent)]
    Model(#[from] learngene_nn::Error),
    /// From samplers.
    #[error(transparent)]
    Diffusion(#[from] learngene_diffusion::DiffusionError),
    /// From weight files.
    #[error(transparent)]
    Format(#[from] learngene_formats::FormatError),
    /// From the Hub.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] learngene_hub::Error),
    /// From metrics.
    #[error("failed to {0}")]
    Eval(#[from] learngene_eval::EvalError),
    /// From training itself.
    #[error(transparent)]
    Train(learngene_train::Error),
    /// From taking apart itself.
    #[error(transparent)]
    Transfer(learngene_transfer::Error),
}

impl From<learngene_train::Error> for Failure {
    fn from(error: learngene_train::Error) -> Self {
        use learngene_train::Error as Train;
        match error {
            Train::Data(error) => error.into(),
            Train::Model(error) => error.into(),
            Train::Diffusion(error) => error.into(),
            Train::Format(error) => error.into(),
            error => Self::Train(error),
        }
    }
}

impl From<learngene_transfer::Error> for Failure {
    fn from(error: learngene_transfer::Error) -> Self {
        use learngene_transfer::Error as Transfer;
        match error {
            Transfer::Model(error) => error.into(),
            Transfer::Format(error) => error.into(),
            Transfer::Train(error) => error.into(),
            error => Self::Transfer(error),
        }
    }
}

impl From<learngene_compare::Error> for Failure {
    fn from(error: learngene_compare::Error) -> Self {
        use learngene_compare::Error as Compare;
        match error {
            Compare::Data(error) => error.into(),
            Compare::Model(error) => error.into(),
            Compare::Diffusion(error) => error.into(),
            Compare::Format(error) => error.into(),
            Compare::Eval(error) => error.into(),
            Compare::Train(error) => error.into(),
            Compare::Transfer(error) => error.into(),
            Compare::Row { row, source } => Self::InRow {
                row,
                failure: Box::new((*source).into()),
            },
            error => Self::Compare(error),
        }
    }
}

/// Ran, but a check failed.
pub const CHECK: u8 = 1;
/// Usage or configuration.
const USAGE: u8 = 2;
/// Data or file.
const FILE: u8 = 3;
/// Numbers that are not finite.
const NUMERICAL: u8 = 4;
/// Stopped on request, checkpointed.
const INTERRUPTED: u8 = 5;
/// Stopped by a second request, without a checkpoint: what shells say of a program that SIGINT ended.
pub const STOPPED_AT_ONCE: u8 = 130;

impl Failure {
    /// The exit code scripts rely on.
    pub fn exit_code(&self) -> u8 {
        use learngene_compare::Error as Compare;
        use learngene_data::Error as Data;
        use learngene_eval::EvalError as Eval;
        use learngene_nn::Error as Model;
        use learngene_train::Error as Train;
        use learngene_transfer::Error as Transfer;
        match self {
            Self::InRun { failure, .. } | Self::InRow { failure, .. } => failure.exit_code(),
            Self::Interrupted(_)
            | Self::InterruptedHere { .. }
            | Self::Stopped
            | Self::StoppedHere(_)
            | Self::Compare(Compare::Interrupted { .. }) => INTERRUPTED,
            Self::Check(_) | Self::Diverged { .. } => CHECK,
            Self::NotFinite { .. }
            | Self::Compare(Compare::NotFinite { .. })
            | Self::Train(Train::NotFinite { .. } | Train::Drawn { .. })
            | Self::Eval(Eval::NotFinite { .. } | Eval::NoConvergence)
            | Self::Model(Model::NoConvergence(_)) => NUMERICAL,
            Self::Usage(_)
            | Self::Compare(Compare::Config { .. })
            | Self::Model(_)
            | Self::Diffusion(_)
            | Self::Train(Train::Config { .. } | Train::Latents { .. })
            | Self::Data(
                Data::UnknownClass { .. }
                | Data::ClassList { .. }
                | Data::ClassMap { .. }
                | Data::ClassTree { .. }
                | Data::NoPartition { .. }
                | Data::NoImages { .. }
                | Data::NoStream { .. }
                | Data::PictureEnding { .. }
                | Data::Setting { .. },
            ) => USAGE,
            #[cfg(feature = "hub")]
            Self::Hub(
                learngene_hub::Error::Repo { .. } | learngene_hub::Error::Occupied { .. },
            ) => USAGE,
            #[cfg(feature = "hub")]
            Self::Hub(_) => FILE,
            Self::Format(learngene_formats::FormatError::Occupied { .. }) => USAGE,
            Self::Transfer(Transfer::Setting { .. } | Transfer::Import { .. }) => FILE,
            Self::Transfer(_) => USAGE,
            Self::Write { .. }
            | Self::Read { .. }
            | Self::Extractor { .. }
            | Self::Compare(_)
            | Self::Data(_)
            | Self::Format(_)
            | Self::Eval(_)
            | Self::Train(_) => FILE,
        }
    }

    /// The same failure, known to have happened to the run in that folder.
    pub fn in_run(self, folder: impl Into<PathBuf>) -> Self {
        Self::InRun {
            folder: folder.into(),
            failure: Box::new(self),
        }
    }
}

impl miette::Diagnostic for Failure {
    /// The next step, where the message does not name it already.
    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        use learngene_data::Error as Data;
        use learngene_train::Error as Train;
        let text = match self {
            Self::InRun { folder, failure } => {
                let folder = folder.display();
                match &**failure {
                    Self::Interrupted(_) => format!("go on with `learngene resume {folder}`"),
                    Self::Train(Train::NotFinite { .. }) => format!(
                        "lower `lr` or `clip` under [train] in {folder}/config.toml, then `learngene resume {folder}`"
                    ),
                    other => return other.help(),
                }
            }
            Self::InterruptedHere { .. }
            | Self::Compare(learngene_compare::Error::Interrupted { .. }) => {
                "the same command goes on where it was".into()
            }
            Self::Interrupted(_) => "go on with `learngene resume` and the run's folder".into(),
            Self::Data(Data::EmptyClass { .. }) => {
                "`learngene data inspect SOURCE` counts the images of each class".into()
            }
            Self::Write { .. } => "choose a place you may write to".into(),
            _ => return None,
        };
        Some(Box::new(text))
    }
}

/// Result with a failure.
pub type Result<T> = std::result::Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::*;
    use miette::Diagnostic;

    #[test]
    fn a_failure_keeps_its_code_inside_a_run_and_gains_the_next_step() {
        let failure = Failure::Interrupted(7).in_run("runs/a");
        assert_eq!(failure.exit_code(), 5);
        let help = failure.help().expect("a next step").to_string();
        assert_eq!(help, "go on with `learngene resume runs/a`");
    }

    #[test]
    fn what_was_typed_is_usage_and_what_lies_on_disk_is_a_file() {
        let list: Failure = "a,a"
            .parse::<learngene_data::ClassSelection>()
            .expect_err("named twice")
            .into();
        assert_eq!(list.exit_code(), 2);
        let missing: Failure = learngene_formats::Header::read("/no/such/file")
            .expect_err("missing")
            .into();
        assert_eq!(missing.exit_code(), 3);
    }
}
