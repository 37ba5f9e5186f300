//! What can go wrong when a model is taken apart or extended.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A class the model does not have.
    #[error("the model has no class `{found}`; its classes are {known}{}", nearest.as_ref().map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default())]
    UnknownClass {
        /// What was asked for.
        found: String,
        /// Every class of the model.
        known: String,
        /// The name nearest to it.
        nearest: Option<String>,
    },
    /// A request that makes no model.
    #[error("{what}: found {found}, expected {expected}")]
    Request {
        /// The argument.
        what: &'static str,
        /// What was given.
        found: String,
        /// What would work.
        expected: String,
    },
    /// A method nobody wrote.
    #[error("unknown method `{found}`; known methods: {known} (did you mean `{nearest}`?)")]
    UnknownMethod {
        /// What was asked for.
        found: String,
        /// Every method.
        known: String,
        /// The name nearest to it.
        nearest: String,
    },
    /// A setting the method does not have.
    #[error("the method `{method}` has no setting `{found}`; {known}")]
    UnknownSetting {
        /// The method.
        method: &'static str,
        /// What was given.
        found: String,
        /// Every setting, and the one nearest to it.
        known: String,
    },
    /// A value that a setting cannot have.
    #[error("`method.{setting}` is `{found}`, expected {expected}")]
    SettingValue {
        /// The setting.
        setting: &'static str,
        /// What was given.
        found: String,
        /// What would work.
        expected: String,
    },
    /// A base the method has nothing to do on.
    #[error("the method `{method}` needs a {expected} base, this one is {found}; {next}")]
    Base {
        /// The method.
        method: &'static str,
        /// What it needs.
        expected: &'static str,
        /// What it was given.
        found: &'static str,
        /// What to do.
        next: &'static str,
    },
    /// A model that no ordinary weights can hold.
    #[error("the model cannot be merged: {0}")]
    Merge(&'static str),
    /// A class that several of the given files have.
    #[error(
        "class `{class}` is in {} and in {}: leave one of them out, so that it is clear which is meant",
        first.display(), second.display()
    )]
    AmbiguousClass {
        /// The class.
        class: String,
        /// The first file that has it.
        first: PathBuf,
        /// The second.
        second: PathBuf,
    },
    /// Tailors of different ranks, which no one model holds.
    #[error(
        "the tailor of `{class}` has {found} components, that of `{other}` has {expected}: one model has tailors of one \
         rank; assemble them apart, or train again with --rank {expected}"
    )]
    Rank {
        /// The class whose tailor does not fit.
        class: String,
        /// Its components in every matrix.
        found: usize,
        /// A class chosen before it.
        other: String,
        /// The components of that one's tailor.
        expected: usize,
    },
    /// A budget smaller than any assembly.
    #[error(
        "no assembly fits into {budget}: the smallest keeps {classes} of the classes and one learngene component of every \
         matrix, and has {smallest}; {next}"
    )]
    Budget {
        /// What was asked for.
        budget: String,
        /// Classes of the smallest assembly.
        classes: usize,
        /// Its size.
        smallest: String,
        /// What to do.
        next: &'static str,
    },
    /// Tailors trained for a model that computes in another way.
    #[error(
        "{} was trained with another {what} ({found}) than the model has ({expected}): use the model it was trained on",
        path.display()
    )]
    Setting {
        /// The tailor file.
        path: PathBuf,
        /// The setting.
        what: &'static str,
        /// Its value in the file.
        found: String,
        /// Its value in the model.
        expected: String,
    },
    /// Weights of another program that make no model here.
    #[error("cannot import {}: {reason}", path.display())]
    Import {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A model that another program has no place for.
    #[error("the model cannot be exported: {0}")]
    Export(String),
    /// From weight files.
    #[error(transparent)]
    Format(#[from] learngene_formats::FormatError),
    /// From reading what a weight file says about its training.
    #[error(transparent)]
    Train(#[from] learngene_train::Error),
    /// From the model.
    #[error(transparent)]
    Model(#[from] learngene_nn::Error),
}

impl Error {
    /// No class of that name among those known.
    pub fn unknown_class<'a>(found: &str, known: impl Iterator<Item = &'a String> + Clone) -> Self {
        let near = known.clone().map(|k| (strsim::osa_distance(k, found), k));
        Self::UnknownClass {
            found: found.into(),
            known: known.map(String::as_str).collect::<Vec<_>>().join(", "),
            nearest: near.min().filter(|n| n.0 <= 3).map(|n| n.1.clone()),
        }
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
