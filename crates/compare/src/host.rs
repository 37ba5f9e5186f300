//! What a comparison needs from the program around it.

use learngene_data::{Dataset, Image};
use learngene_eval::metrics::Extraction;
use learngene_nn::Dit;
use learngene_train::{DataConfig, Event, RunConfig, Watch};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Opens models and data, extracts features, shows how things go.
pub trait Host {
    /// Its failures, this crate's among them.
    type Failure: From<crate::Error>;

    /// The model at a path, as the moving average of its newest checkpoint. Weights that are not finite are refused.
    ///
    /// # Errors
    /// No model, or a damaged one.
    fn model(&mut self, path: &Path) -> Result<(RunConfig, Dit), Self::Failure>;

    /// The images.
    ///
    /// # Errors
    /// Whatever reading them reports.
    fn data(&mut self, data: &DataConfig) -> Result<Dataset, Self::Failure>;

    /// What a network says of images, one row each; `what` is what a progress bar says. The network is the built-in one, or
    /// InceptionV3 with the weights of a file.
    ///
    /// # Errors
    /// Images or a network that cannot be used.
    fn features(
        &mut self,
        inception: Option<&Path>,
        images: &[Image],
        what: &str,
    ) -> Result<Extraction, Self::Failure>;

    /// Opens InceptionV3 with the weights of a file: the BLAKE3 (hex) of their bytes.
    ///
    /// # Errors
    /// No such file, or no such weights.
    fn inception(&mut self, weights: &Path) -> Result<String, Self::Failure>;

    /// Set when the comparison is to stop.
    fn stop(&self) -> &'static AtomicBool;

    /// Who is told how far losses and images are.
    fn watch(&self) -> Watch {
        Watch::default()
    }

    /// Shows it.
    fn notice(&mut self, notice: &Notice<'_>);
}

/// What is done to a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It is trained.
    Training,
    /// Its losses are measured, its images drawn and judged.
    Judging,
}

/// Something to show.
#[derive(Debug)]
pub enum Notice<'a> {
    /// The next piece of work; those found finished are counted and not announced.
    Cell {
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        count: usize,
        /// What is done.
        doing: Doing,
        /// The cell.
        name: &'a str,
    },
    /// Training started, or goes on, after so many of so many steps.
    Training {
        /// Steps done.
        done: u64,
        /// Steps in all.
        steps: u64,
    },
    /// Something happened in training.
    Event(&'a Event),
    /// It ended.
    Trained,
    /// What a reader of the results must know.
    Warning(&'a str),
}
