//! What can go wrong when a model is taken apart or extended.

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
    /// From the model.
    #[error(transparent)]
    Model(#[from] learngene_nn::Error),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
