//! What can go wrong while images are judged and reports are written.

use thiserror::Error;

/// Errors of this crate. Each text says what was expected, what was found and what to do.
#[derive(Debug, Error)]
pub enum EvalError {
    /// The bytes are not a readable safetensors file.
    #[error(
        "read the feature extractor's weights: {source}; the file is damaged or not safetensors, fetch it again"
    )]
    WeightsUnreadable {
        /// What the reader said.
        source: safetensors::SafeTensorError,
    },

    /// The file is readable but holds another network.
    #[error(
        "use the feature extractor's weights: {}; the file is not {network}",
        shortened(problems)
    )]
    WeightsMismatch {
        /// What the file should hold.
        network: &'static str,
        /// One entry per missing, unexpected, mis-shaped or unusable tensor.
        problems: Vec<String>,
    },

    /// An image whose bytes do not fit its dimensions.
    #[error(
        "read image {index}: {width}x{height} with {channels} channels needs {expected} bytes, found {found}; \
         give rows of 8-bit grey (1 channel) or RGB (3 channels) pixels without padding"
    )]
    ImageSize {
        /// Position in the list that was given.
        index: usize,
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Values per pixel.
        channels: usize,
        /// Bytes such an image has (0 for a size or channel count that is not supported).
        expected: usize,
        /// Bytes it has.
        found: usize,
    },

    /// The network cannot run at this input size.
    #[error(
        "resize to {found}x{found}: the input size must lie between {lowest} and {highest} pixels"
    )]
    InputSize {
        /// What was asked for.
        found: usize,
        /// Smallest size allowed.
        lowest: usize,
        /// Largest size allowed.
        highest: usize,
    },

    /// The values do not fill whole rows.
    #[error("form a matrix of {columns} columns from {values} values: the last row is incomplete")]
    RaggedRows {
        /// Columns asked for.
        columns: usize,
        /// Values given.
        values: usize,
    },

    /// Rows of another length than those the probe or the layer was made for.
    #[error("use rows of {found} values: {expected} are needed, take them from the same extractor")]
    Width {
        /// Columns needed.
        expected: usize,
        /// Columns given.
        found: usize,
    },

    /// There is not one label per row.
    #[error("pair {rows} rows with {labels} labels: give one label per row, and at least one row")]
    LabelCount {
        /// Rows given.
        rows: usize,
        /// Labels given.
        labels: usize,
    },

    /// A label that names no class.
    #[error("use label {label} at position {index}: there are {classes} classes, counted from 0")]
    LabelRange {
        /// Position of the label.
        index: usize,
        /// The label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },

    /// A feature that is NaN or infinite.
    #[error(
        "use row {row}: it holds a value that is not finite; was it made by a model that diverged?"
    )]
    NotFinite {
        /// First such row.
        row: usize,
    },

    /// A ridge penalty that is not a positive number, or no penalty at all to choose from.
    #[error("fit the probe: the penalty must be a positive number, found {found}")]
    Penalty {
        /// What was given.
        found: String,
    },

    /// The normal equations could not be solved.
    #[error(
        "fit the probe with penalty {lambda}: the equations have no stable solution; try a larger penalty"
    )]
    Singular {
        /// The penalty in use.
        lambda: f64,
    },

    /// Features that different networks, weights or recipes made.
    #[error(
        "compare features: the real images have {real}, the generated ones {generated}; \
         extract both with the same network, weights and size"
    )]
    Origins {
        /// What made those of the real images.
        real: String,
        /// What made those of the generated images.
        generated: String,
    },

    /// Losses of two models that are not of the same images.
    #[error("compare losses image by image: there are {base} and {other}, expected as many")]
    Unpaired {
        /// Images of the one.
        base: usize,
        /// Images of the other.
        other: usize,
    },

    /// Too few images for a measure to have a value.
    #[error("compare {found} images of the {set} set: at least {least} are needed")]
    TooFewImages {
        /// Which set.
        set: &'static str,
        /// Images in it.
        found: usize,
        /// Images needed.
        least: usize,
    },

    /// Features that are no logits of InceptionV3.
    #[error("compute the inception score: it is defined on the logits of InceptionV3 alone")]
    NotLogits,

    /// The eigenvalues of a covariance were not found.
    #[error(
        "find the eigenvalues of a covariance: no convergence; are the features of a sensible size?"
    )]
    NoConvergence,

    /// A picture for a report that is not PNG.
    #[error(
        "use a picture of {length} bytes: they are not a PNG file; encode the picture as PNG first"
    )]
    NotPng {
        /// Number of bytes given.
        length: usize,
    },
}

/// The first problems, and how many more there are.
fn shortened(problems: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = problems.iter().take(SHOWN).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match problems.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
