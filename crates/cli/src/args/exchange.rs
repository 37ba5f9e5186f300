//! What can be typed about models of other programs and autoencoders: `import`, `export`, `autoencoder`, `encode`.

use super::Reading;
use super::data::Fit;
use clap::{Subcommand, ValueEnum};
use learngene_train::AutoencoderTraining;
use std::path::PathBuf;

const ABOUT_IMPORT: &str = "Examples:
  learngene import DiT-XL-2-256/ --out dit.safetensors
  learngene import DiT-XL-2-256x256.pt --out dit.safetensors
  learngene import dit.safetensors --tailor 207=lora-retriever/ --tailor 281=tabby.safetensors --out two.safetensors

SOURCE is a folder of diffusers' DiTTransformer2DModel (config.json beside safetensors, in shards or not, or a .bin), one of \
its files, or a pipeline with one, whose scheduler says what it predicts and on which schedule; a checkpoint with the names \
of the published DiT, as .pt or safetensors, or a folder of accelerate's with one; or a MODEL. All is read as data: nothing \
in a file is run.

LORA is a folder of PEFT's (adapter_config.json), or a file with the names of PEFT, of diffusers or of kohya's scripts.

docs/formats.md lists what is read, refused or warned of.";

const ABOUT_EXPORT: &str = "Examples:
  learngene export runs/kind --format diffusers --out exported
  learngene export runs/dense --format dit --out dense.pt

diffusers: DIR/transformer is the learngene multiplied out, as a DiTTransformer2DModel; DIR/tailors/CLASS is the tailor of \
each class, a LoRA for PEFT. docs/python.md shows how they are loaded.

dit: a .pt with the names of the published DiT checkpoints, without tailors.";

const ABOUT_AUTOENCODER: &str = "Example:
  learngene autoencoder train --data builtin:emoji --out autoencoder
  learngene encode --data builtin:emoji --vae autoencoder --out latents

A small one for small images: four channels at a quarter of the side. It learns to give images back (mean absolute error), \
its latents kept near a normal distribution, and leaves a folder of diffusers' AutoencoderKL with a scaling and a shift \
factor measured on the training images.";

const ABOUT_ENCODE: &str = "Example:
  learngene encode --data photos/ --image-size 256 --vae sd-vae-ft-ema/ --out latents/
  learngene pretrain --data latents/ --size dit-s/2 --out runs/latents
  learngene sample runs/latents --vae sd-vae-ft-ema/ --out drawn.png

VAE is a folder of diffusers' AutoencoderKL (config.json beside safetensors) or of a pipeline with one in vae/, or a \
single file, also one with the names of latent diffusion, with such a config.json beside it.

DIR then is a SOURCE: for each image and its mirror image the mean and log-variance of its latent, in shards of 256 \
images. Training draws a latent from that distribution each time, and takes mirror images where train.flip is set. \
Interrupted or killed, the same command goes on where it was, and leaves the files it would have left.";

/// Options of `import`.
#[derive(clap::Args)]
#[command(after_help = ABOUT_IMPORT)]
pub struct Import {
    /// Weights of another program, or a MODEL to put LoRA on.
    pub source: PathBuf,
    /// Names of the classes in the order of their numbers, with commas, as in `assemble`; the numbers if nothing else is
    /// known. As many as a checkpoint's label table has rows say that none of them is "no class".
    #[arg(long, value_name = "NAMES")]
    pub classes: Vec<String>,
    /// Part of a training checkpoint to take [default: a moving average, else the weights, by their usual names].
    #[arg(long, value_name = "NAME")]
    pub part: Option<String>,
    /// Attention heads of a .pt, which does not say; by default those of the published size of its width.
    #[arg(long, value_name = "N")]
    pub heads: Option<usize>,
    /// A LoRA as the tailor of a class; may be repeated. Classes without one get a tailor of zeros.
    #[arg(long, value_name = "CLASS=LORA")]
    pub tailor: Vec<String>,
    /// A LoRA as one tailor that all images share.
    #[arg(long, value_name = "LORA", conflicts_with = "tailor")]
    pub lora: Option<PathBuf>,
    /// File to write; one that is there is replaced.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Options of `export`.
#[derive(clap::Args)]
#[command(after_help = ABOUT_EXPORT)]
pub struct Export {
    /// A run folder, a checkpoint or a safetensors file.
    pub model: PathBuf,
    /// For whom.
    #[arg(long, value_enum, value_name = "NAME")]
    pub format: Format,
    /// What to write: for diffusers a folder that is not there yet or is empty, for dit a file.
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
}

/// Formats of other programs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A folder for diffusers and PEFT.
    Diffusers,
    /// A .pt with the names of the published DiT checkpoints.
    Dit,
}

/// Options of `autoencoder`.
#[derive(clap::Args)]
pub struct Autoencoder {
    /// What to do.
    #[command(subcommand)]
    pub verb: AutoencoderVerb,
}

/// Verbs of `autoencoder`.
#[derive(Subcommand)]
pub enum AutoencoderVerb {
    /// Train a small one on a data set's images.
    #[command(after_help = ABOUT_AUTOENCODER)]
    Train {
        /// Where the images come from, as in `data inspect`.
        #[arg(long, value_name = "SOURCE")]
        data: String,
        /// Crop and resize images to this side.
        #[arg(long, value_name = "PIXELS")]
        image_size: Option<usize>,
        #[command(flatten)]
        reading: Reading,
        /// Steps to train.
        #[arg(long, default_value_t = AutoencoderTraining::default().steps)]
        steps: u64,
        /// Images in a batch.
        #[arg(long, default_value_t = AutoencoderTraining::default().batch)]
        batch: usize,
        /// Peak learning rate.
        #[arg(long, default_value_t = AutoencoderTraining::default().lr)]
        lr: f64,
        /// Seed of everything random.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Steps between checkpoints; 0 for the end and interruptions only. They lie in DIR.checkpoints until DIR is
        /// written; the same command goes on from there.
        #[arg(long, value_name = "STEPS", default_value_t = AutoencoderTraining::default().checkpoint_every)]
        checkpoint_every: u64,
        /// Folder to make, which is not there yet or is empty.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Options of `encode`.
#[derive(clap::Args)]
#[command(after_help = ABOUT_ENCODE)]
pub struct Encode {
    /// Where the images come from, as in `data inspect`.
    #[arg(long, value_name = "SOURCE")]
    pub data: String,
    /// The autoencoder.
    #[arg(long, value_name = "VAE")]
    pub vae: PathBuf,
    /// Bring images to squares of this side.
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<usize>,
    /// How: `crop` cuts out the middle, `pad` adds white beside it [default: crop].
    #[arg(long, value_enum, value_name = "HOW")]
    pub fit: Option<Fit>,
    /// Refuse broken images instead of leaving them out with a warning.
    #[arg(long)]
    pub strict: bool,
    /// Folder for the latents; one with the beginning of the same latents is gone on with.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
