//! What can be typed.

#[cfg(feature = "hub")]
mod hub;

use clap::{Parser, Subcommand, ValueEnum};
#[cfg(feature = "hub")]
pub use hub::{Hub, HubVerb};
use learngene_train::AutoencoderTraining;
use std::num::NonZeroUsize;
use std::path::PathBuf;

const ABOUT_MODELS_AND_CODES: &str = "\
Start with: learngene quickstart

A MODEL is a run folder, a checkpoint folder or a safetensors file; of a run folder it is the moving average of the \
newest complete checkpoint.

Exit codes: 0 done; 1 ran, but a check failed; 2 usage or configuration; 3 data or file; 4 numbers that are not \
finite; 5 interrupted and checkpointed.";

const ABOUT_TREE: &str = "Example:
  learngene data tree imagenet/ --wordnet /usr/share/wordnet/data.noun --depth 9 --out tree.toml
  learngene pretrain --data imagenet/ --class-tree tree.toml --out runs/tree

data.noun is a file of WordNet 3.0, which ImageNet's class names count in; Debian's package wordnet-base has it.";

const ABOUT_PRETRAIN: &str = "Examples:
  learngene pretrain --data builtin:emoji --classes base --rank-split 96,8 --out runs/kind
  learngene pretrain --data builtin:emoji --classes base --dense --set train.ema=0.99 --out runs/dense
  learngene pretrain --config runs/kind/config.toml --seed 1 --out runs/kind-1
  learngene pretrain --data builtin:emoji --classes base --set train.hide_label=0.2 --out runs/hidden

Options win over --config, and --set over both. The config.toml that a run leaves lists every key with its value. \
train.hide_label shows that share of the images with their tailors but without their label, train.gate_dropout with \
their label but without their tailors. train.thin_learngene=0.5 runs only some of the learngene's first components in \
half of the steps, so that `assemble` can make smaller models of it.";

/// Examples, then every method with its settings.
fn about_transfer() -> String {
    let mut text = "\
Examples:
  learngene transfer runs/kind --data builtin:emoji --classes novel --out runs/novel
  learngene transfer runs/dense --data photos/ --method lora --rank 16 --set method.alpha=32 --out runs/photos

Images are cropped and resized to the size the model has. The run folder is a MODEL of the new classes. New tailors \
alone lie in its tailors.safetensors, for `learngene assemble --tailors`; what another method trained in its \
adapter.safetensors, for `learngene merge --adapter`.

Methods, their learning rates and their settings:
"
    .to_owned();
    for method in learngene_transfer::METHODS {
        let (name, about, rate) = (method.name(), method.about(), method.rate());
        text += &format!("  {name:<14} {about} [lr {rate}]\n");
        for setting in method.settings() {
            let (name, default, about) = (setting.name, setting.default, setting.about);
            text += &format!("                   method.{name}={default}  {about}\n");
        }
    }
    text
}

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

  [train]                    # settings of training for all rows, as in a run's config.toml

  [[row]]
  name = \"KIND, learngene at 0.3\"
  base = \"kind\"
  method = \"kind\"            # `learngene transfer --help` lists methods and settings
  settings = { rank = 8 }
  train = { trainable = { learngene = 0.3 } }

DIR then holds report.html, table.csv, table.tex, classes.csv, results.json, and in cells/ a run folder for each cell. \
Interrupted or killed, the same command goes on where it was.";

/// Pre-train a diffusion transformer that can be taken apart: one learngene, a small tailor per class.
#[derive(Parser)]
#[command(
    version,
    after_help = "Start with: learngene quickstart",
    after_long_help = ABOUT_MODELS_AND_CODES
)]
pub struct Args {
    /// Threads to compute with; all cores by default. The results do not depend on it.
    #[arg(long, global = true, value_name = "N", help_heading = "Machine", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Where to compute: cpu, and cuda or wgpu if built with that feature.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Machine",
        default_value = "cpu"
    )]
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
    /// Measure quality against size: one model with fewer and fewer learngene components.
    Curve(Curve),
    /// Adapt a model to new classes: new tailors on a frozen learngene, or another method.
    Transfer(Transfer),
    /// Work what a method added into ordinary weights.
    Merge(Merge),
    /// Make learngene and tailors of a dense model's matrices.
    Factorise(Factorise),
    /// Make a model of the weights of another program: diffusers, DiT, LoRA.
    Import(Import),
    /// Write a model for another program.
    Export(Export),
    /// Make a folder to publish: weights, configuration, samples, and a page about them.
    Card(Card),
    /// Bring a model folder from the Hugging Face Hub, or take one there.
    #[cfg(feature = "hub")]
    Hub(Hub),
    /// Train a small autoencoder of your own.
    Autoencoder(Autoencoder),
    /// Make latents of a data set's images, to train on instead of them.
    Encode(Encode),
    /// Generate images.
    Sample(Sample),
    /// Judge generated images beside real ones.
    Eval(Eval),
    /// Put methods side by side: equal budgets, seeds, tables and a page.
    Compare(Compare),
    /// Say what a model would cost: parameters, multiply-accumulates, bytes.
    Plan(Plan),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  learngene completions bash > ~/.local/share/bash-completion/completions/learngene"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Options of `quickstart`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  learngene quickstart --minutes 5 --out demo")]
pub struct Quickstart {
    /// Scale the training: at the default the whole takes about so many minutes on two cores. Below it fewer images
    /// are drawn and judged as well; the probe's training takes a minute or so at any length.
    #[arg(long, default_value_t = crate::quickstart::MINUTES)]
    pub minutes: f64,
    /// Folder for weights and report.
    #[arg(long, default_value = "learngene-quickstart")]
    pub out: PathBuf,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// What products round their factors to in training and drawing; bf16 is faster on a CPU with AVX512-BF16.
    #[arg(long, value_enum, value_name = "NAME", default_value = "f32")]
    pub precision: Precision,
    /// Also train the control: a dense model, and class-gated tailors on it (doubles the time).
    #[arg(long)]
    pub control: bool,
    /// Print all results as one JSON document, which also lies in the folder as results.json.
    #[arg(long)]
    pub json: bool,
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
    /// Print counts, sizes and statistics of a data set, and draw some images of each class.
    #[command(
        after_help = "Examples:\n  learngene data inspect builtin:emoji --contact-sheet sheet.png\n  learngene data inspect photos/ --json"
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
        /// Print one JSON document instead of tables.
        #[arg(long)]
        json: bool,
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

/// What the factors of products are rounded to.
#[derive(Clone, Copy, ValueEnum)]
pub enum Precision {
    /// 32 bits: nothing.
    F32,
    /// The upper 16 of them.
    Bf16,
}

impl From<Precision> for learngene_nn::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
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

/// Options of `pretrain`.
#[derive(clap::Args)]
#[command(after_help = ABOUT_PRETRAIN)]
pub struct Pretrain {
    /// Where the images come from, as in `data inspect`; may stand in --config instead.
    #[arg(long, value_name = "SOURCE", required_unless_present = "config")]
    pub data: Option<String>,
    /// base, novel, all, or names with commas [default: all].
    #[arg(long)]
    pub classes: Option<String>,
    /// A TOML that merges and picks classes.
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
    /// Crop and resize images to this side.
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<usize>,
    #[command(flatten)]
    pub reading: Reading,
    /// Size of the model [default: dit-nano/4].
    #[arg(long, value_name = "NAME/PATCH")]
    pub size: Option<String>,
    /// Components of the learngene and of a tailor in every matrix [default: 96,8].
    #[arg(long, value_name = "N_G,N_T")]
    pub rank_split: Option<String>,
    /// Ordinary weight matrices instead of factors.
    #[arg(long, conflicts_with = "rank_split")]
    pub dense: bool,
    /// A TOML with lines like animal = ["cat", "dog"]: each superclass gets a tailor, which its classes switch on besides
    /// their own. It names every class.
    #[arg(long, value_name = "FILE", conflicts_with = "dense")]
    pub class_tree: Option<PathBuf>,
    /// Steps to train [default: 1000].
    #[arg(long)]
    pub steps: Option<u64>,
    /// Images in a batch: makes batches plain shuffled ones instead of class-stratified.
    #[arg(long)]
    pub batch: Option<usize>,
    /// Peak learning rate [default: 0.0015].
    #[arg(long)]
    pub lr: Option<f64>,
    /// What products round their factors to; bf16 is faster on a CPU with AVX512-BF16 [default: f32].
    #[arg(long, value_enum, value_name = "NAME")]
    pub precision: Option<Precision>,
    /// Seed of everything random [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Steps between checkpoints; 0 for the end only [default: 250].
    #[arg(long, value_name = "STEPS")]
    pub checkpoint_every: Option<u64>,
    /// Steps between sample grids; 0 for none [default: 0].
    #[arg(long, value_name = "STEPS")]
    pub sample_every: Option<u64>,
    /// A TOML with deviations from the defaults, such as the config.toml of another run.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A single deviation, such as train.ema=0.99; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder of the run, which must not hold one yet.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Options of `resume`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  learngene resume runs/kind")]
pub struct Resume {
    /// Folder of the run.
    pub run: PathBuf,
}

/// Options of `inspect`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  learngene inspect runs/kind\n  learngene inspect runs/novel/tailors.safetensors --json\n  learngene inspect runs/kind --diversion --data builtin:emoji --out diversion.html"
)]
pub struct Inspect {
    /// A run folder, a checkpoint or a safetensors file, also one of tailors or an adapter.
    pub model: PathBuf,
    /// Measure what learngene and tailors each hold: losses and probe with the right, no and a wrong tailor, energies,
    /// similarity of tailors, drift from orthogonality.
    #[arg(long, requires = "data")]
    pub diversion: bool,
    /// Images of the model's classes, as in `data inspect`.
    #[arg(long, value_name = "SOURCE", requires = "diversion")]
    pub data: Option<String>,
    /// A TOML that merges and picks classes.
    #[arg(long, value_name = "FILE", requires = "diversion")]
    pub class_map: Option<PathBuf>,
    /// Images of each class to draw for the probe with each tailor, at guidance 1 and 2.
    #[arg(long, value_name = "N", default_value_t = 8, requires = "diversion")]
    pub count: usize,
    /// Seed of the images that are drawn.
    #[arg(long, default_value_t = 0, requires = "diversion")]
    pub seed: u64,
    /// Page to write, with heat maps.
    #[arg(long, value_name = "FILE.html", requires = "diversion")]
    pub out: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Options of `assemble`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  learngene assemble runs/kind --classes face,flag --out two.safetensors\n  learngene assemble runs/kind --classes face,heart --tailors runs/novel/tailors.safetensors --out three.safetensors\n  learngene assemble runs/kind --max-params 2.5M --check --data builtin:emoji --out small.safetensors\n\nUnder a budget, the learngene components of least energy are left out, equally many in every matrix, and without \
--classes also the classes whose tailors have the least: always what loses the least energy for each parameter it frees. \
The energy of a component is the squared norm of what it adds to its matrix; that of a tailor counts one C-th for C \
classes, because one image in C uses it. Numbers may end in k, M or G, powers of 1000."
)]
pub struct Assemble {
    /// A run folder, a checkpoint or a safetensors file.
    pub model: PathBuf,
    /// Classes to keep, in this order; under a budget, as many as fit if none are named.
    #[arg(long, value_delimiter = ',', required_unless_present = "budget")]
    pub classes: Vec<String>,
    /// Tailor files of the same learngene, whose classes can be chosen as well.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub tailors: Vec<PathBuf>,
    /// Keep only so many learngene components of every matrix: those of most energy, or the first if the model was trained
    /// with train.thin_learngene (this changes images).
    #[arg(long, value_name = "N_G", conflicts_with = "budget")]
    pub learngene: Option<usize>,
    /// The most stored parameters.
    #[arg(long, value_name = "N", value_parser = learngene_transfer::amount, group = "budget")]
    pub max_params: Option<u64>,
    /// The most multiply-accumulates of one forward pass of one image.
    #[arg(long, value_name = "N", value_parser = learngene_transfer::amount, group = "budget")]
    pub max_macs: Option<u64>,
    /// The most bytes of the file.
    #[arg(long, value_name = "N", value_parser = learngene_transfer::amount, group = "budget")]
    pub max_bytes: Option<u64>,
    /// Measure the validation v loss of what is kept, in the whole model and in the assembly.
    #[arg(long, requires = "data")]
    pub check: bool,
    /// Images of the classes, as in `data inspect`.
    #[arg(long, value_name = "SOURCE", requires = "check")]
    pub data: Option<String>,
    /// A TOML that merges and picks classes.
    #[arg(long, value_name = "FILE", requires = "check")]
    pub class_map: Option<PathBuf>,
    /// File to write; one that is there is replaced.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Options of `curve`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  learngene curve runs/kind --data builtin:emoji --points 8 --out curve.html\n\nEach point is the model with fewer learngene components, as `assemble --learngene` makes it. \
All are measured on the same draws. No model is written."
)]
pub struct Curve {
    /// A run folder, a checkpoint or a safetensors file.
    pub model: PathBuf,
    /// Images of the model's classes, as in `data inspect`.
    #[arg(long, value_name = "SOURCE")]
    pub data: String,
    /// A TOML that merges and picks classes.
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
    /// Classes to measure; all by default.
    #[arg(long, value_delimiter = ',')]
    pub classes: Vec<String>,
    /// Sizes to measure, evenly spaced up to the whole.
    #[arg(long, value_name = "N", default_value = "8")]
    pub points: std::num::NonZeroUsize,
    /// Page to write.
    #[arg(long, value_name = "FILE.html")]
    pub out: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Options of `transfer`.
#[derive(clap::Args)]
#[command(after_help = about_transfer())]
pub struct Transfer {
    /// A run folder, a checkpoint or a safetensors file.
    pub model: PathBuf,
    /// Where the images come from, as in `data inspect`.
    #[arg(long, value_name = "SOURCE")]
    pub data: String,
    /// base, novel, all, or names with commas.
    #[arg(long, default_value = "all")]
    pub classes: String,
    /// A TOML that merges and picks classes.
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
    /// How to adapt: one of the methods below.
    #[arg(long, value_name = "NAME", default_value = "kind")]
    pub method: String,
    /// The same as --set method.rank=R.
    #[arg(long, value_name = "R", alias = "tailor-rank")]
    pub rank: Option<usize>,
    /// A class tree as in `pretrain`, for the methods with tailors of classes. A superclass of the same name in the base
    /// lends its tailor as a start, if the ranks agree.
    #[arg(long, value_name = "FILE")]
    pub class_tree: Option<PathBuf>,
    /// Steps to train.
    #[arg(long, default_value_t = learngene_transfer::STEPS)]
    pub steps: u64,
    /// Peak learning rate; the method's by default.
    #[arg(long)]
    pub lr: Option<f64>,
    /// What products round their factors to; bf16 is faster on a CPU with AVX512-BF16. That of the base by default.
    #[arg(long, value_enum, value_name = "NAME")]
    pub precision: Option<Precision>,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Steps between checkpoints; as in pre-training by default.
    #[arg(long, value_name = "STEPS")]
    pub checkpoint_every: Option<u64>,
    /// A single deviation, such as method.alpha=16 or train.trainable.learngene=0.3; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder of the run, which must not hold one yet.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Options of `merge`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  learngene merge runs/lora --out merged.safetensors\n  learngene merge runs/dense --adapter runs/lora/adapter.safetensors --out merged.safetensors"
)]
pub struct Merge {
    /// An adapted model; with --adapter the one it was adapted from.
    pub model: PathBuf,
    /// An adapter file of that model.
    #[arg(long, value_name = "FILE")]
    pub adapter: Option<PathBuf>,
    /// File to write; one that is there is replaced.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

const ABOUT_FACTORISE: &str = "Examples:
  learngene factorise dit.safetensors --rank-split 256,0 --out factorised.safetensors
  learngene factorise runs/dense --rank-split 96,8 --fine-tune 200 --out runs/factorised

The largest N_G singular components of every matrix become the learngene, the next N_T the tailor that every class starts \
with; a model's own tailors are kept. Fine-tuning trains everything, on the classes and by the settings of the model.";

/// Options of `factorise`.
#[derive(clap::Args)]
#[command(after_help = ABOUT_FACTORISE)]
pub struct Factorise {
    /// A run folder, a checkpoint or a safetensors file of a dense model.
    pub model: PathBuf,
    /// Components of the learngene and of a tailor in every matrix.
    #[arg(long, value_name = "N_G,N_T")]
    pub rank_split: String,
    /// Steps to train afterwards; --out is then the folder of the run.
    #[arg(long, value_name = "STEPS")]
    pub fine_tune: Option<u64>,
    /// Where the images to fine-tune on come from; those of the model's own training by default.
    #[arg(long, value_name = "SOURCE", requires = "fine_tune")]
    pub data: Option<String>,
    /// Peak learning rate of fine-tuning; that of the model's own training by default.
    #[arg(long, requires = "fine_tune")]
    pub lr: Option<f64>,
    /// File to write; one that is there is replaced.
    #[arg(long, value_name = "FILE|DIR")]
    pub out: PathBuf,
    /// Print energy and differences as one JSON document.
    #[arg(long, conflicts_with = "fine_tune")]
    pub json: bool,
}

const ABOUT_IMPORT: &str = "Examples:
  learngene import DiT-XL-2-256/ --out dit.safetensors
  learngene import DiT-XL-2-256x256.pt --out dit.safetensors
  learngene import dit.safetensors --tailor 207=lora-retriever/ --tailor 281=tabby.safetensors --out two.safetensors

SOURCE is a folder of diffusers' DiTTransformer2DModel (config.json beside safetensors, in shards or not, or a .bin) or of a \
pipeline with one; a checkpoint with the names of the published DiT, as .pt or safetensors; or a MODEL. All is read as data: nothing in a \
file is run.

LORA is a folder of PEFT's (adapter_config.json) or a safetensors file with the names of diffusers or of kohya's scripts.";

/// Options of `import`.
#[derive(clap::Args)]
#[command(after_help = ABOUT_IMPORT)]
pub struct Import {
    /// Weights of another program, or a MODEL to put LoRA on.
    pub source: PathBuf,
    /// Names of the classes in the order of their numbers, with commas; the numbers if nothing else is known.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub classes: Vec<String>,
    /// Part of a training checkpoint to take [default: ema, model or state_dict, the first that is there].
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

const ABOUT_EXPORT: &str = "Examples:
  learngene export runs/kind --format diffusers --out exported
  learngene export runs/dense --format dit --out dense.pt

diffusers: DIR/transformer is the learngene multiplied out, as a DiTTransformer2DModel; DIR/tailors/CLASS is the tailor of \
each class, a LoRA for PEFT. docs/python.md shows how they are loaded.

dit: a .pt with the names of the published DiT checkpoints, without tailors.";

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

/// Options of `card`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  learngene card runs/kind --data builtin:emoji --license mit --out emoji-kind\n\nThe folder holds README.md with the front matter that the Hugging Face hub reads, model.safetensors, config.json and samples.png."
)]
pub struct Card {
    /// A run folder, a checkpoint or a safetensors file.
    pub model: PathBuf,
    /// Measure validation losses on these images, as in `data inspect`.
    #[arg(long, value_name = "SOURCE")]
    pub data: Option<String>,
    /// A TOML that merges and picks classes.
    #[arg(long, value_name = "FILE", requires = "data")]
    pub class_map: Option<PathBuf>,
    /// What the model is called; the folder's name by default.
    #[arg(long)]
    pub name: Option<String>,
    /// Licence of the weights, as the hub names it, such as mit or cc-by-4.0.
    #[arg(long, value_name = "ID")]
    pub license: Option<String>,
    /// Sample images of each class; 0 for none.
    #[arg(long, default_value_t = 8)]
    pub count: usize,
    /// Their guidance.
    #[arg(long, default_value_t = 2.0)]
    pub cfg: f64,
    /// Folder to make, which is not there yet or is empty.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

const ABOUT_AUTOENCODER: &str = "Example:
  learngene autoencoder train --data builtin:emoji --out autoencoder
  learngene encode --data builtin:emoji --vae autoencoder --out latents

A small one for small images: four channels at a quarter of the side. It learns to give images back (mean absolute error), \
its latents kept near a normal distribution, and leaves a folder of diffusers' AutoencoderKL with a scaling and a shift \
factor measured on the training images.";

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
        /// Folder to make, which is not there yet or is empty.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

const ABOUT_ENCODE: &str = "Example:
  learngene encode --data photos/ --image-size 256 --vae sd-vae-ft-ema/ --out latents/
  learngene pretrain --data latents/ --size dit-s/2 --out runs/latents
  learngene sample runs/latents --vae sd-vae-ft-ema/ --out drawn.png

VAE is a folder of diffusers' AutoencoderKL (config.json beside safetensors) or of a pipeline with one in vae/, or a \
single file, also one with the names of latent diffusion, with such a config.json beside it.

DIR then is a SOURCE: for each image and its mirror image the mean and log-variance of its latent, in shards of 256 \
images. Training draws a latent from that distribution each time, and takes mirror images where train.flip is set. \
Interrupted or killed, the same command goes on where it was, and leaves the files it would have left.";

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
    /// Crop and resize images to this side.
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<usize>,
    /// Refuse broken images instead of leaving them out with a warning.
    #[arg(long)]
    pub strict: bool,
    /// Folder for the latents; one with the beginning of the same latents is gone on with.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Options of `sample`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  learngene sample runs/kind --class face,flag --count 8 --out faces.png\n  learngene sample runs/kind --count 50 --cfg 1 --npz samples.npz\n  learngene sample runs/kind --blend face=1 --blend face=0.5,flag=0.5 --out blends.png\n  learngene sample runs/latents --vae sd-vae-ft-ema/ --out drawn.png"
)]
pub struct Sample {
    /// A run folder, a checkpoint or a safetensors file.
    pub model: PathBuf,
    /// Classes to draw; all by default.
    #[arg(long, value_delimiter = ',')]
    pub class: Vec<String>,
    /// Draw a blend of classes instead; may be repeated. Tailors run with these weights as they are (0 or more, not scaled
    /// to a sum of 1), the label is the mean of the classes' in these proportions.
    #[arg(
        long,
        value_name = "NAME=WEIGHT[,NAME=WEIGHT...]",
        conflicts_with = "class"
    )]
    pub blend: Vec<String>,
    /// Images of each class or blend.
    #[arg(long, default_value = "8")]
    pub count: NonZeroUsize,
    /// The autoencoder that makes images of latents, as in `encode`; in tiles where they are larger than those it was
    /// trained on.
    #[arg(long, value_name = "VAE")]
    pub vae: Option<PathBuf>,
    /// Steps of the sampler.
    #[arg(long, default_value_t = 50)]
    pub steps: usize,
    /// Scale of classifier-free guidance; 1 is none.
    #[arg(long, default_value_t = 2.0)]
    pub cfg: f64,
    /// ddim, ddpm, dpm++2m, euler or heun.
    #[arg(long, default_value = "ddim")]
    pub sampler: String,
    /// What products round their factors to; bf16 is faster on a CPU with AVX512-BF16.
    #[arg(long, value_enum, value_name = "NAME", default_value = "f32")]
    pub precision: Precision,
    /// Seed of the noise. Image i of a class depends on this and on i, not on what else is drawn.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Picture to write, a row for each class or blend; one that is there is replaced.
    #[arg(long, value_name = "FILE.png", required_unless_present = "npz")]
    pub out: Option<PathBuf>,
    /// NumPy archive to write for ADM's evaluation: arr_0 is uint8 [n, h, w, c], arr_1 the int64 class numbers,
    /// which blends have none of.
    #[arg(long, value_name = "FILE.npz")]
    pub npz: Option<PathBuf>,
}

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
    /// Resamples of the 95 % bootstrap intervals; 0 for no intervals.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub resamples: usize,
    /// Seed of the resamples.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder in which features are kept for the next time.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
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
    /// Print all results as one JSON document, which also lies in the folder as results.json.
    #[arg(long)]
    pub json: bool,
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

/// Options of `plan`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  learngene plan --size dit-l/2 --num-classes 1000 --input 4x32x32 --learn-sigma\n  learngene plan --size dit-nano/4 --rank-split 96,8 --num-classes 12 --json"
)]
pub struct Plan {
    /// Size of the model: dit-micro, dit-nano, dit-s, dit-b, dit-l or dit-xl with the side of a patch.
    #[arg(long, value_name = "NAME/PATCH")]
    pub size: String,
    /// Components of the learngene and of a tailor; dense without it.
    #[arg(long, value_name = "N_G,N_T")]
    pub rank_split: Option<String>,
    /// Classes.
    #[arg(long, default_value_t = 1000, conflicts_with = "class_tree")]
    pub num_classes: usize,
    /// A class tree as in `pretrain`: count its classes and superclasses.
    #[arg(long, value_name = "FILE", requires = "rank_split")]
    pub class_tree: Option<PathBuf>,
    /// Channels, height and width of the input.
    #[arg(long, value_name = "CxHxW", default_value = "3x32x32")]
    pub input: String,
    /// Images in a training step, for the memory it needs.
    #[arg(long, value_name = "IMAGES", default_value_t = 32)]
    pub batch: usize,
    /// Count an output of twice the channels, as DiT has for its variance.
    #[arg(long)]
    pub learn_sigma: bool,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use learngene_compare::Comparison;
    use learngene_train::TrainConfig;

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

    #[test]
    fn help_states_the_defaults_of_training() {
        Args::command().debug_assert();
        let mut command = Args::command();
        let pretrain = command.find_subcommand_mut("pretrain").unwrap();
        let help = pretrain.render_long_help().to_string();
        let default = TrainConfig::default();
        for (option, value) in [
            ("--steps", default.steps.to_string()),
            ("--lr", default.lr.to_string()),
            ("--seed", default.seed.to_string()),
            ("--checkpoint-every", default.checkpoint_every.to_string()),
            ("--sample-every", default.sample_every.to_string()),
        ] {
            let at = help.find(&format!("      {option} ")).unwrap();
            let text = help[at..].split("\n\n").next().unwrap();
            assert!(text.contains(&format!("[default: {value}]")), "{text}");
        }
    }
}
