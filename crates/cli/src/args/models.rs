//! What can be typed about a model there is: `inspect`, `assemble`, `curve`, `merge`, `sample`, `card`, and `plan` of one that
//! could be.

use super::{Precision, at_least_one};
use std::num::NonZeroUsize;
use std::path::PathBuf;

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
    /// Classes to keep, in this order, with commas; under a budget, as many as fit if none are named. A name with a comma
    /// in it stands in double quotes: '"a,b",c'.
    #[arg(long, value_name = "NAMES", required_unless_present = "budget")]
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
    after_help = "Examples:\n  learngene curve runs/kind --data builtin:emoji --points 8 --out curve.html\n  learngene curve runs/kind --data builtin:emoji --beside runs/dense-128 --beside runs/dense-160\n\nEach point is the model with fewer learngene components, as `assemble --learngene` makes it. \
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
    /// Classes to measure, as in `assemble`; all by default.
    #[arg(long, value_name = "NAMES")]
    pub classes: Vec<String>,
    /// Sizes to measure, evenly spaced up to the whole.
    #[arg(long, value_name = "N", default_value = "8", value_parser = at_least_one)]
    pub points: NonZeroUsize,
    /// Another model of the same classes to measure on the same draws, such as a dense one of another width; may be repeated.
    #[arg(long, value_name = "MODEL")]
    pub beside: Vec<PathBuf>,
    /// Page to write.
    #[arg(long, value_name = "FILE.html")]
    pub out: Option<PathBuf>,
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

/// Options of `sample`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  learngene sample runs/kind --class face,flag --count 8 --out faces.png\n  learngene sample runs/kind --class face --count 100 --out faces/\n  learngene sample runs/kind --count 50 --cfg 1 --npz samples.npz\n  learngene sample runs/kind --blend face=1 --blend face=0.5,flag=0.5 --out blends.png\n  learngene sample runs/latents --vae sd-vae-ft-ema/ --out drawn.png"
)]
pub struct Sample {
    /// A run folder, a checkpoint or a safetensors file.
    pub model: PathBuf,
    /// Draw with the weights of a run or checkpoint as the last step left them, instead of their moving average; the same
    /// as MODEL/raw.
    #[arg(long)]
    pub raw: bool,
    /// Classes to draw, with commas; all by default. A name with a comma in it stands in double quotes: '"a,b",c'.
    #[arg(long, value_name = "NAMES")]
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
    #[arg(long, value_name = "N", default_value = "8", value_parser = at_least_one)]
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
    /// Picture to write, with a row for each class or blend: .png, .jpg (quality 95) or .webp (lossless). Or a folder, which
    /// ends with a slash, is there already, or has no ending: then each image becomes CLASS-0000.png and so on, with its
    /// settings as PNG texts (docs/drawn.md). What has the same name is replaced.
    #[arg(long, value_name = "FILE.png|DIR/", required_unless_present = "npz")]
    pub out: Option<PathBuf>,
    /// NumPy archive to write for ADM's evaluation: arr_0 is uint8 [n, h, w, c], arr_1 the int64 class numbers,
    /// which blends have none of.
    #[arg(long, value_name = "FILE.npz")]
    pub npz: Option<PathBuf>,
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

/// Options of `plan`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  learngene plan --size dit-l/2 --num-classes 1000 --input 4x32x32 --learn-sigma --dense\n  learngene plan --size dit-nano/4 --num-classes 12 --json"
)]
pub struct Plan {
    /// Size of the model: dit-micro, dit-nano, dit-s, dit-b, dit-l or dit-xl with the side of a patch.
    #[arg(long, value_name = "NAME/PATCH")]
    pub size: String,
    /// Components of the learngene and of a tailor [default: half of the width and a 24th, 96,8 for dit-nano].
    #[arg(long, value_name = "N_G,N_T")]
    pub rank_split: Option<String>,
    /// Ordinary weight matrices instead of factors.
    #[arg(long, conflicts_with = "rank_split")]
    pub dense: bool,
    /// Classes.
    #[arg(long, default_value_t = 1000, conflicts_with = "class_tree")]
    pub num_classes: usize,
    /// A class tree as in `pretrain`: count its classes and superclasses.
    #[arg(long, value_name = "FILE", conflicts_with = "dense")]
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
}
