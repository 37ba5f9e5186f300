//! What can be typed.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Pre-train a diffusion transformer that can be taken apart: one learngene, a small tailor per class.
#[derive(Parser)]
#[command(version, after_help = "Start with: learngene quickstart")]
pub struct Args {
    /// Threads to compute with; all cores by default.
    #[arg(long, global = true)]
    pub threads: Option<usize>,
    /// Where to compute: cpu, and cuda or wgpu if built with that feature.
    #[arg(long, global = true, default_value = "cpu")]
    pub device: String,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Subcommand)]
pub enum Verb {
    /// Pre-train on the built-in images, take the model apart, extend it, and leave a report.
    Quickstart(Quickstart),
    /// Look at a data set.
    Data(Data),
    /// Train a model from its start.
    Pretrain(Pretrain),
    /// Go on with a run that was stopped.
    Resume(Resume),
    /// Show what a model is made of.
    Inspect(Inspect),
    /// Make a smaller model for some classes, without training.
    Assemble(Assemble),
    /// Train tailors for new classes on a frozen learngene.
    Transfer(Transfer),
    /// Generate images.
    Sample(Sample),
    /// Say what a model would cost: parameters, multiply-accumulates, bytes.
    Plan(Plan),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Options of `quickstart`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  learngene quickstart --minutes 5 --out demo")]
pub struct Quickstart {
    /// Scale the training so that the whole takes about so many minutes on two cores.
    #[arg(long, default_value_t = 12.0)]
    pub minutes: f64,
    /// Folder for weights and report.
    #[arg(long, default_value = "learngene-quickstart")]
    pub out: PathBuf,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Also train the control: a dense model, and class-gated tailors on it (doubles the time).
    #[arg(long)]
    pub control: bool,
}

/// Options of `data`.
#[derive(clap::Args)]
pub struct Data {
    /// What to do with the data set.
    #[command(subcommand)]
    pub verb: DataVerb,
}

/// Verbs of `data`.
#[derive(Subcommand)]
pub enum DataVerb {
    /// Print counts, sizes and statistics, and write a contact sheet.
    #[command(
        after_help = "Examples:\n  learngene data inspect builtin:emoji\n  learngene data inspect photos/ --contact-sheet sheet.png --json"
    )]
    Inspect {
        /// builtin:emoji, builtin:emoji-fluent3d, a folder of class folders, or an idx or CIFAR path.
        source: String,
        /// A TOML that merges and picks classes.
        #[arg(long)]
        class_map: Option<PathBuf>,
        /// Write a picture with some images of each class.
        #[arg(long)]
        contact_sheet: Option<PathBuf>,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
    },
}

/// Options of `pretrain`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  learngene pretrain --data builtin:emoji --classes base --rank-split 96,8 --out runs/kind\n  learngene pretrain --data builtin:emoji --classes base --dense --out runs/dense --set train.lr=1e-3"
)]
pub struct Pretrain {
    /// Where the images come from.
    #[arg(long)]
    pub data: String,
    /// base, novel, all, or names with commas.
    #[arg(long, default_value = "all")]
    pub classes: String,
    /// A TOML that merges and picks classes.
    #[arg(long)]
    pub class_map: Option<PathBuf>,
    /// Crop and resize images to this side.
    #[arg(long)]
    pub image_size: Option<usize>,
    /// Size of the model.
    #[arg(long, default_value = "dit-nano/4")]
    pub size: String,
    /// Components of the learngene and of a tailor in every matrix.
    #[arg(long, default_value = "96,8")]
    pub rank_split: String,
    /// Ordinary weight matrices instead of factors.
    #[arg(long, conflicts_with = "rank_split")]
    pub dense: bool,
    /// Steps to train.
    #[arg(long)]
    pub steps: Option<u64>,
    /// Images in a batch: makes batches plain shuffled ones instead of class-stratified.
    #[arg(long)]
    pub batch: Option<usize>,
    /// Peak learning rate.
    #[arg(long)]
    pub lr: Option<f64>,
    /// Seed of everything random.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Steps between checkpoints.
    #[arg(long)]
    pub checkpoint_every: Option<u64>,
    /// Steps between sample grids.
    #[arg(long)]
    pub sample_every: Option<u64>,
    /// A TOML with deviations from the defaults.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// A single deviation, such as train.ema=0.99; may be repeated.
    #[arg(long)]
    pub set: Vec<String>,
    /// Folder of the run.
    #[arg(long)]
    pub out: PathBuf,
}

/// Options of `resume`.
#[derive(clap::Args)]
pub struct Resume {
    /// Folder of the run.
    pub run: PathBuf,
}

/// Options of `inspect`.
#[derive(clap::Args)]
pub struct Inspect {
    /// A run folder, a checkpoint or a safetensors file.
    pub model: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Options of `assemble`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  learngene assemble runs/kind --classes face,flag --out two.safetensors"
)]
pub struct Assemble {
    /// A run folder, a checkpoint or a safetensors file.
    pub model: PathBuf,
    /// Classes to keep, in this order.
    #[arg(long, value_delimiter = ',', required = true)]
    pub classes: Vec<String>,
    /// Keep only so many learngene components of every matrix.
    #[arg(long)]
    pub learngene: Option<usize>,
    /// File to write.
    #[arg(long)]
    pub out: PathBuf,
}

/// Options of `transfer`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  learngene transfer runs/kind --data builtin:emoji --classes novel --out runs/novel"
)]
pub struct Transfer {
    /// A run folder, a checkpoint or a safetensors file.
    pub model: PathBuf,
    /// Where the images come from.
    #[arg(long)]
    pub data: String,
    /// base, novel, all, or names with commas.
    #[arg(long, default_value = "all")]
    pub classes: String,
    /// How to adapt.
    #[arg(long, default_value = "kind", value_parser = ["kind"])]
    pub method: String,
    /// Components of a new tailor; as in pre-training by default.
    #[arg(long)]
    pub tailor_rank: Option<usize>,
    /// Steps to train.
    #[arg(long, default_value_t = 150)]
    pub steps: u64,
    /// Peak learning rate.
    #[arg(long, default_value_t = 3e-3)]
    pub lr: f64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// A single deviation, such as train.trainable.learngene=0.3; may be repeated.
    #[arg(long)]
    pub set: Vec<String>,
    /// Folder of the run.
    #[arg(long)]
    pub out: PathBuf,
}

/// Options of `sample`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  learngene sample runs/kind --class face,flag --count 8 --out faces.png"
)]
pub struct Sample {
    /// A run folder, a checkpoint or a safetensors file.
    pub model: PathBuf,
    /// Classes to draw; all by default.
    #[arg(long, value_delimiter = ',')]
    pub class: Vec<String>,
    /// Images of each class.
    #[arg(long, default_value_t = 8)]
    pub count: usize,
    /// Steps of the sampler.
    #[arg(long, default_value_t = 50)]
    pub steps: usize,
    /// Scale of classifier-free guidance; 1 is none.
    #[arg(long, default_value_t = 2.0)]
    pub cfg: f64,
    /// ddim, ddpm, dpm++2m, euler or heun.
    #[arg(long, default_value = "ddim")]
    pub sampler: String,
    /// Seed of the noise.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Picture to write.
    #[arg(long)]
    pub out: PathBuf,
}

/// Options of `plan`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  learngene plan --size dit-l/2 --num-classes 1000 --input 4x32x32 --learn-sigma\n  learngene plan --size dit-nano/4 --rank-split 96,8 --num-classes 12 --json"
)]
pub struct Plan {
    /// Size of the model.
    #[arg(long)]
    pub size: String,
    /// Components of the learngene and of a tailor; dense without it.
    #[arg(long)]
    pub rank_split: Option<String>,
    /// Classes.
    #[arg(long, default_value_t = 1000)]
    pub num_classes: usize,
    /// Channels, height and width of the input.
    #[arg(long, default_value = "3x32x32")]
    pub input: String,
    /// Count an output of twice the channels, as DiT has for its variance.
    #[arg(long)]
    pub learn_sigma: bool,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}
