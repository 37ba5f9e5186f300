//! What can be typed about images: `data`, and how they are read.

use clap::Subcommand;
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
        after_help = "Examples:\n  learngene data inspect builtin:emoji --contact-sheet sheet.png\n  learngene data inspect photos/ --json\n  learngene data inspect photos/ --advise"
    )]
    Inspect {
        /// builtin:emoji, builtin:emoji-fluent3d, a folder of class folders, or an idx or CIFAR path.
        source: String,
        /// A TOML that merges and picks classes.
        #[arg(long, value_name = "FILE")]
        class_map: Option<PathBuf>,
        /// Write a picture with the first images of each class.
        #[arg(long, value_name = "FILE.png")]
        contact_sheet: Option<PathBuf>,
        /// Say how to train on these images - patch, size, steps - and how long it takes on this machine, by a trial of a few
        /// steps, which takes some seconds.
        #[arg(long)]
        advise: bool,
        /// The side to advise for; by default that of the images if they share a small one, else 32.
        #[arg(long, value_name = "PIXELS", requires = "advise")]
        image_size: Option<usize>,
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
}
