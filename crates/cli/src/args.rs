//! What can be typed.

mod data;
mod exchange;
#[cfg(feature = "hub")]
mod hub;
mod judging;
mod models;
mod training;

use crate::progress;
use clap::{Parser, Subcommand};
pub use data::{Data, DataVerb, Reading};
pub use exchange::{Autoencoder, AutoencoderVerb, Encode, Export, Format, Import};
#[cfg(feature = "hub")]
pub use hub::{Hub, HubVerb};
pub use judging::{Compare, Eval, Metric};
pub use models::{Assemble, Card, Curve, Inspect, Merge, Plan, Sample};
use std::num::NonZeroUsize;
pub use training::{Factorise, Precision, Pretrain, Quickstart, Resume, Transfer};

const ABOUT_MODELS_AND_CODES: &str = "\
Start with: learngene quickstart

A MODEL is a run folder, a checkpoint folder or a safetensors file; of a run folder it is the moving average of the \
newest complete checkpoint, of RUN/best the checkpoint of the lowest validation loss. /raw behind a run or a checkpoint \
means the weights as the last step left them instead of their moving average.

Exit codes: 0 done; 1 ran, but a check failed; 2 usage or configuration; 3 data or file; 4 numbers that are not \
finite; 5 interrupted and checkpointed; 130 stopped at once, by a second Ctrl-C a second or more after the first.";

/// Train an image generator that comes apart: a shared part, and a small part for each class of pictures.
///
/// Train it once, on your own pictures sorted into folders. Afterwards hand out a smaller model for any choice of classes,
/// which draws exactly the same images as the whole, or add new classes as small files without touching the rest.
#[derive(Parser)]
#[command(
    version,
    after_help = "Start with: learngene quickstart",
    after_long_help = ABOUT_MODELS_AND_CODES
)]
pub struct Args {
    /// Threads to compute with; all cores by default. The results do not depend on it.
    #[arg(long, global = true, value_name = "N", help_heading = "Machine", value_parser = clap::value_parser!(u16).range(1..=1024))]
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
    /// Print one JSON document on standard output and nothing else there: `verb`, `wrote` (a list of the paths of what was
    /// written), and the numbers that the verb has to say.
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// Seconds between the lines on standard error that say how far things are, where it is no terminal; on one, there is a
    /// bar. 0 for neither.
    #[arg(long, global = true, value_name = "SECONDS", help_heading = "Output", default_value_t = progress::EVERY, value_parser = seconds)]
    pub progress_every: f64,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// A number of seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|s| (0.0..=1e6).contains(s));
    seconds.ok_or_else(|| "expected a number of seconds from 0 to 1000000".into())
}

/// A number of things of which there has to be one.
pub fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .map_err(|_| "expected a whole number of at least 1".into())
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
    /// Bring a model folder from the Hugging Face Hub, or take one there, in a program that is built for it.
    #[cfg(not(feature = "hub"))]
    #[command(hide = true, disable_help_flag = true)]
    Hub {
        /// Whatever comes after it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        _rest: Vec<String>,
    },
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use learngene_train::TrainConfig;

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
