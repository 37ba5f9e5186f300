//! What can be typed where something trains: `quickstart`, `pretrain`, `resume`, `transfer`, `factorise`.

use super::Reading;
use clap::ValueEnum;
use std::path::PathBuf;

const ABOUT_PRETRAIN: &str = "Examples:
  learngene pretrain --data builtin:emoji --classes base --rank-split 96,8 --out runs/kind
  learngene pretrain --data builtin:emoji --classes base --dense --set train.ema=0.99 --out runs/dense
  learngene pretrain --config runs/kind/config.toml --seed 1 --out runs/kind-1
  learngene pretrain --data builtin:emoji --classes base --set train.hide_label=0.2 --out runs/hidden
  learngene pretrain --data builtin:emoji --classes base --init runs/kind --steps 500 --out runs/longer
  learngene pretrain --data photos/ --set train.evaluate_every=100 --set train.patience=3 --out runs/photos

Options win over --config, and --set over both. The config.toml that a run leaves lists every key with its value. \
train.hide_label shows that share of the images with their tailors but without their label, train.gate_dropout with \
their label but without their tailors. train.null_pressure=0.1 adds a loss on what labels say without tailors. train.thin_learngene=0.5 runs only some of the learngene's first components in \
half of the steps, so that `assemble` can make smaller models of it. train.patience=3 ends the training after three validations in a row \
that are no better than the best; train.best=true saves a checkpoint whenever a validation is. Either way the best of \
the checkpoints saved with a validation is kept: it is the MODEL named RUN/best.

A run that was stopped before its first checkpoint is started again by the same command.";

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

const ABOUT_FACTORISE: &str = "Examples:
  learngene factorise dit.safetensors --rank-split 256,0 --out factorised.safetensors
  learngene factorise runs/dense --rank-split 96,8 --fine-tune 200 --out runs/factorised

The largest N_G singular components of every matrix become the learngene, the next N_T the tailor that every class starts \
with; a model's own tailors are kept. Fine-tuning trains everything, on the classes and by the settings of the model.";

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
}

/// What the factors of products are rounded to.
#[derive(Clone, Copy, ValueEnum)]
pub enum Precision {
    /// 32 bits: nothing.
    F32,
    /// The upper 16 of them.
    Bf16,
}

impl Precision {
    /// What is typed for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl From<Precision> for learngene_nn::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// Options of `pretrain`.
#[derive(clap::Args)]
#[command(after_help = ABOUT_PRETRAIN)]
pub struct Pretrain {
    /// Where the images come from, as in `data inspect`; may stand in --config instead.
    #[arg(long, value_name = "SOURCE", required_unless_present = "config")]
    pub data: Option<String>,
    /// base, novel, all, or names with commas [default: all]. A name with a comma in it, or that is one of these words,
    /// stands in double quotes: '"a,b",c'.
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
    /// Components of the learngene and of a tailor in every matrix [default: half of the width and a 24th, 96,8 for dit-nano].
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
    /// Start from the weights of this model instead of at random. It has the same shape, which is taken from it unless
    /// options say one, and the classes of the images, whose label rows and tailors are found by name.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["image_size", "class_tree"])]
    pub init: Option<PathBuf>,
    /// A TOML with deviations from the defaults, such as the config.toml of another run.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A single deviation, such as train.ema=0.99; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Leave no report.html in the run folder.
    #[arg(long)]
    pub no_report: bool,
    /// Folder of the run, which must not hold one yet.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

const ABOUT_RESUME: &str = "Examples:
  learngene resume runs/kind
  learngene resume runs/kind --steps 2000

A run ends with the weights it would have without the interruption. With --steps it trains to so many steps in all, a \
finished one too. The learning rate follows the new number: it is back at its peak, and falls over the last \
train.decay_share of all steps.";

/// Options of `resume`.
#[derive(clap::Args)]
#[command(after_help = ABOUT_RESUME)]
pub struct Resume {
    /// Folder of the run.
    pub run: PathBuf,
    /// Steps to train to, those that are done included; as many as planned by default.
    #[arg(long)]
    pub steps: Option<u64>,
    /// Go on although the images, or the model that the run was started from, are others than at its start.
    #[arg(long)]
    pub accept_changes: bool,
    /// Leave no report.html in the run folder.
    #[arg(long)]
    pub no_report: bool,
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
    /// base, novel, all, or names with commas, as in `pretrain`.
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
    /// A class tree as in `pretrain`, for the methods with tailors of classes, instead of a tailor that all of them share.
    /// A superclass of the same name in the base lends its tailor as a start, if the ranks agree.
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
    /// Leave no report.html in the run folder.
    #[arg(long)]
    pub no_report: bool,
    /// Folder of the run, which must not hold one yet.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

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
    /// Leave no report.html in the run folder.
    #[arg(long, requires = "fine_tune")]
    pub no_report: bool,
    /// File to write; one that is there is replaced.
    #[arg(long, value_name = "FILE|DIR")]
    pub out: PathBuf,
}
