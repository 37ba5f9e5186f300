//! What can be wrong with a configuration or with what is asked of a model.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration that describes no model.
    #[error("invalid model configuration: {field} is {found}, expected {expected}")]
    Config {
        /// The field, by its path in the configuration.
        field: &'static str,
        /// What was given.
        found: String,
        /// What would have been accepted, and often what to do.
        expected: String,
    },
    /// A size nobody defined.
    #[error("unknown size `{found}`; known sizes: {known}{}", nearest.as_ref().map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default())]
    UnknownSize {
        /// What was given.
        found: String,
        /// Every known size.
        known: String,
        /// The known name nearest to it.
        nearest: Option<String>,
    },
    /// A gate, label or input that does not fit the model.
    #[error("{what}: expected {expected}, found {found}")]
    Input {
        /// The argument.
        what: &'static str,
        /// What the model accepts.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Stored tensors that are not the model's.
    #[error("the tensors do not fit the model: {}", .0.join("; "))]
    Parameters(Vec<String>),
    /// A numerical routine that did not converge.
    #[error("{0} did not converge; the matrix holds values that are not finite or is badly scaled")]
    NoConvergence(&'static str),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
