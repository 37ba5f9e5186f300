//! Feature extractors, the class probe and the pictures and reports made of their results.
//!
//! *In*: 8-bit images ([`ImageView`]), class labels, and numbers and PNG bytes that others computed.
//! *Out*: feature vectors ([`Lite0`], [`Inception`]), a classifier on them ([`Probe`]), rates with their uncertainty
//! ([`Rates`]), distances and scores ([`metrics`]) and one self-contained HTML page ([`Report`]).
//!
//! This crate must not know what made the images, or how: no diffusion model, gate or factor, no data set
//! and no file (of the crate of data it uses the random streams only). It decides nothing from the numbers that a report shows.

mod doubts;
mod error;
mod inception;
mod layers;
mod lite0;
mod matrix;
pub mod metrics;
mod probe;
mod rates;
pub mod report;
mod resize;

pub use doubts::{doubts, failures, is_reliable, unknown};
pub use error::EvalError;
pub use inception::{Inception, InceptionFeatures};
pub use lite0::Lite0;
pub use matrix::RowMatrix;
pub use probe::{Labelled, Probe, Selection};
pub use rates::{Rate, Rates};
pub use report::Report;
pub use resize::ImageView;
