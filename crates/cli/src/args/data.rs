//! What can be typed about images: `data`, and how they are read.

use clap::{Subcommand, ValueEnum};
use learngene_train::DataConfig;
use std::path::PathBuf;

const ABOUT_TREE: &str = "Example:
  learngene data tree imagenet/ --wordnet /usr/share/wordnet/data.noun --depth 9 --out tree.toml
  learngene pretrain --data imagenet/ --class-tree tree.toml --out runs/tree

data.noun is a file of WordNet 3.0, which ImageNet's class names count in; Debian's package wordnet-base has it.";

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
    /// Print counts, sizes and statistics of a data set, and draw some images of each class.
    #[command(
        after_help = "Examples:\n  learngene data inspect builtin:emoji --contact-sheet sheet.png\n  learngene data inspect photos/ --image-size 64 --fit pad --contact-sheet sheet.png\n  learngene data inspect photos/ --json\n  learngene data inspect photos/ --advise"
    )]
    Inspect {
        /// builtin:emoji, builtin:emoji-fluent3d, a folder of images or of class folders, WebDataset shards, Parquet files,
        /// or an idx or CIFAR path.
        source: String,
        /// A TOML that merges and picks classes.
        #[arg(long, value_name = "FILE")]
        class_map: Option<PathBuf>,
        /// Show images as training with this image size sees them, and advise for it; by default they are shown as they are, and
        /// the side advised for is theirs if they share a small one, else 32.
        #[arg(long, value_name = "PIXELS")]
        image_size: Option<usize>,
        /// Show images as a transfer of this model sees them: in its size.
        #[arg(long, conflicts_with = "image_size")]
        model: Option<PathBuf>,
        #[command(flatten)]
        prepared: Prepared,
        /// Write a picture with images of each class, chosen at random: .png, .jpg or .webp.
        #[arg(long, value_name = "FILE.png")]
        contact_sheet: Option<PathBuf>,
        /// Which images are on it: another number, other images.
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        seed: u64,
        /// Say how to train on these images - patch, size, steps - and how long it takes on this machine, by a trial of a few
        /// steps, which takes some seconds.
        #[arg(long)]
        advise: bool,
    },
    /// Write a class tree of classes named like ImageNet's (n02084071): superclasses by what WordNet says they are.
    #[command(after_help = ABOUT_TREE)]
    Tree {
        /// A data set, as in `data inspect`.
        source: String,
        /// Which of its classes: base, novel, all, or names with commas.
        #[arg(long, default_value = "all")]
        classes: String,
        /// A TOML that merges and picks classes.
        #[arg(long, value_name = "FILE")]
        class_map: Option<PathBuf>,
        /// WordNet's data.noun.
        #[arg(long, value_name = "FILE")]
        wordnet: PathBuf,
        /// Steps from WordNet's root to a superclass: 6 parts animals from vehicles, 9 mammals from birds.
        #[arg(long, default_value_t = 9)]
        depth: usize,
        /// File to write; one that is there is replaced.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// How images are read.
#[derive(Clone, Copy, clap::Args)]
pub struct Reading {
    /// Leave images where they are and read them for each batch, instead of all into memory: for sets larger than that. Of
    /// a folder of images, WebDataset shards, Parquet files or latents; images need an image size.
    #[arg(long)]
    pub stream: bool,
    /// Refuse broken images instead of leaving them out with a warning.
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub prepared: Prepared,
}

/// What becomes of images before a model sees them.
#[derive(Clone, Copy, Default, clap::Args)]
pub struct Prepared {
    /// How images become squares: `crop` cuts out the middle, `pad` adds white beside it [default: crop].
    #[arg(long, value_enum, value_name = "HOW")]
    pub fit: Option<Fit>,
    /// The part of the images that validates, where the source has no validation images of its own [default: 0.1].
    #[arg(long, value_name = "SHARE")]
    pub val: Option<f64>,
    /// The part of the images that tests, where the source has no splits of its own [default: 0.1]. Of a source that has
    /// training images of its own, nothing tests unless this is given.
    #[arg(long, value_name = "SHARE")]
    pub test: Option<f64>,
}

impl Prepared {
    /// All images of a source, prepared like this.
    pub fn of(&self, source: &str) -> DataConfig {
        DataConfig {
            fit: self.fit.map(Into::into).unwrap_or_default(),
            val: self.val,
            test: self.test,
            ..DataConfig::of(source)
        }
    }
}

impl Reading {
    /// All images of a source, read like this.
    pub fn of(&self, source: &str) -> DataConfig {
        DataConfig {
            stream: self.stream,
            strict: self.strict,
            ..self.prepared.of(source)
        }
    }
}

/// How an image that is no square becomes one.
#[derive(Clone, Copy, ValueEnum)]
pub enum Fit {
    /// The middle is cut out.
    Crop,
    /// White is added beside the shorter side.
    Pad,
}

impl From<Fit> for learngene_data::Fit {
    fn from(fit: Fit) -> Self {
        match fit {
            Fit::Crop => Self::Crop,
            Fit::Pad => Self::Pad,
        }
    }
}
