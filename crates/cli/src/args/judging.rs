//! What can be typed to measure: `eval`, `compare`.

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use std::path::PathBuf;

const ABOUT_EVAL: &str = "Examples:
  learngene sample runs/kind --count 50 --npz samples.npz
  learngene eval --real builtin:emoji:train --classes base --generated samples.npz
  learngene eval --real photos/ --image-size 64 --generated drawn/ --inception inception.safetensors --cache cache/

The probe is trained on the train and val splits of --real, whatever split is named. It needs the class of each generated \
image: arr_1 of an archive counts --classes from 0, folders are named like classes.

InceptionV3 is read from pytorch-fid's weights, converted once by

  import torch
  from safetensors.torch import save_file
  weights = torch.load(\"pt_inception-2015-12-05-6726825d.pth\", map_location=\"cpu\")
  weights = {name: value.contiguous() for name, value in weights.items()}
  save_file(weights, \"inception.safetensors\")";

const ABOUT_COMPARE: &str = "\
Example:
  learngene compare experiments/novel.toml --out runs/novel

The file names base models, data, and rows of methods; all but [data], [base] and [[row]] has the values shown here:

  seeds = [0]                # a cell of every row for each
  steps = 150                # of every training
  images_per_class = [0]     # training images of each class, rows for each number; 0 is all
  # against = \"LoRA\"         the row that all others are put beside; the first, if none is named

  [data]
  source = \"builtin:emoji\"
  classes = \"novel\"
  # of a large set, for example: images_per_class = { train = 400, val = 50, test = 100 }

  [base]                     # run folders or weight files; {seed} stands for the seed
  kind = \"runs/kind-{seed}\"

  [sweep]                    # of every row's learning rate, chosen on validation images
  factors = [0.5, 1.0, 2.0]  # on the method's own rate; a single one is no sweep
  seeds = \"first\"            # or \"all\"

  [judge]
  repeats = 8                # (time, noise) draws of each test image
  images = 16                # drawn of each class, for each guidance
  guidance = [1.0, 2.0]
  sampler = \"ddpm\"
  steps = 25                 # of the sampler
  shown = 2                  # images of each class on the page
  resamples = 0              # of 95 % intervals on images; those of shares need none
  # inception = \"inception.safetensors\"  # for FID and its like: see `learngene eval --help`

  [train]                    # settings of training for all rows, as in a run's config.toml

  [[row]]
  name = \"KIND, learngene at 0.3\"
  base = \"kind\"
  method = \"kind\"            # `learngene transfer --help` lists methods and settings
  settings = { rank = 8, shared = \"no\" }
  train = { trainable = { learngene = 0.3 } }

DIR then holds report.html, table.csv, table.tex, classes.csv, seeds.csv, results.json, and in cells/ a run folder for \
each cell. \
Interrupted or killed, the same command goes on where it was.";

/// Options of `eval`.
#[derive(clap::Args)]
#[command(after_help = ABOUT_EVAL)]
pub struct Eval {
    /// Real images: a SOURCE as in `data inspect`, of one split with :train, :val or :test, or an .npz archive.
    #[arg(long, value_name = "SOURCE[:SPLIT]")]
    pub real: String,
    /// Generated images: an .npz archive, a folder of images, or a SOURCE.
    #[arg(long, value_name = "FOLDER|NPZ")]
    pub generated: String,
    /// Real classes: base, novel, all, or names with commas.
    #[arg(long, default_value = "all")]
    pub classes: String,
    /// A TOML that merges and picks the real classes.
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
    /// Crop and resize real images to this side.
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<usize>,
    /// Weights of InceptionV3 to take features with, instead of the built-in EfficientNet-Lite0.
    #[arg(long, value_name = "FILE.safetensors")]
    pub inception: Option<PathBuf>,
    /// What to measure [default: fd,kid,prdc, and with --inception sfid,is].
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub metrics: Vec<Metric>,
    /// Resamples of the 95 % bootstrap intervals; 0 for none but those of shares, which need no resamples.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(..=1_000_000))]
    pub resamples: usize,
    /// Seed of the resamples.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder in which features are kept for the next time.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

/// Options of `compare`.
#[derive(clap::Args)]
#[command(after_help = ABOUT_COMPARE)]
pub struct Compare {
    /// A TOML that says what is compared, as below.
    #[arg(value_name = "FILE.toml")]
    pub file: PathBuf,
    /// Folder for cells, tables and page. What is finished in it is not done again.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Metric {
    /// Frechet distance: FD-Lite0, or FID with --inception.
    Fd,
    /// Kernel distance: KID-Lite0, or KID with --inception.
    Kid,
    /// Precision, recall, density and coverage.
    Prdc,
    /// Share of generated images that a classifier of the real ones takes for their class.
    Probe,
    /// Frechet distance of spatial features; needs --inception.
    Sfid,
    /// Inception score; needs --inception.
    Is,
}

#[cfg(test)]
mod tests {
    use super::*;
    use learngene_compare::Comparison;

    #[test]
    fn help_of_compare_states_its_defaults() {
        let from = ABOUT_COMPARE.find("  seeds = ").unwrap();
        let example = &ABOUT_COMPARE[from..ABOUT_COMPARE.find("DIR then").unwrap()];
        let (found, least): (Comparison, Comparison) = (
            toml::from_str(example).unwrap(),
            toml::from_str("base = {}\ndata = { source = \"\" }").unwrap(),
        );
        found.validate().unwrap();
        assert_eq!(found.seeds, least.seeds);
        assert_eq!(found.steps, least.steps);
        assert_eq!(found.images_per_class, least.images_per_class);
        assert_eq!((&found.sweep, &found.judge), (&least.sweep, &least.judge));
        // Every key that a file can have is named.
        let all = toml::Value::try_from(&least).unwrap();
        for (section, value) in all.as_table().unwrap() {
            let keys = value.as_table().into_iter().flat_map(|t| t.keys());
            for key in keys.chain([section]) {
                assert!(example.contains(key.as_str()), "{key}");
            }
        }
    }
}
