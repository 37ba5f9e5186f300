//! The training step, the loop around it, checkpoints and the record of a run.
//!
//! In: a [`RunConfig`], a data set, a model at its start or a run folder to go on with.
//! Out: autoencoders and latents of images; a run folder (`config.toml inputs.json events.jsonl tb/ samples/ checkpoints/`),
//! losses, generated images; from a
//! [`Trainer`], training steps without a folder.
//! Must not know: file formats of other programs, how a method chose what trains, the terminal.

mod autoencoder;
mod batch;
pub mod checkpoint;
pub mod config;
mod course;
pub mod encode;
mod error;
pub mod evaluate;
mod events;
pub mod generate;
mod inputs;
pub mod memory;
mod optimiser;
mod pressure;
mod rate;
mod record;
pub mod run;
mod run_folder;
mod step;
pub mod tensorboard;
mod trainer;
mod watch;
pub mod weights;

pub use autoencoder::{AutoencoderRun, AutoencoderTraining, Fitted};
pub use config::{DataConfig, Decay, Method, RunConfig, TrainConfig, Trainable, require_precision};
pub use encode::{Encoded, encode, latent_space};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, Gating, Measuring, evaluate, untrained};
pub use events::Event;
pub use generate::{Generation, Request, generate, generate_decoded};
pub use inputs::{Inputs, Origin};
pub use run::{Outcome, Run};
pub use step::StepLosses;
pub use trainer::{Trainer, Validation};
pub use watch::Watch;
