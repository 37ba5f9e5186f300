//! Who takes part, and how each is started.

use crate::Result;
use crate::options::Options;
use crate::workload::{DDIM_STEPS, GUIDANCE, Task, Workload};
use clap::ValueEnum;
use learngene_data::BatchOrder;
use learngene_nn::{AdaLn, DitConfig};
use serde::Serialize;
use std::path::PathBuf;
use std::process::Command;

/// One that does the work of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// This project, on all threads.
    Ours,
    /// This project with products in bf16.
    OursBf16,
    /// This project with the dense model of the same shape.
    OursDense,
    /// This project on one thread.
    OursOneThread,
    /// A PyTorch peer.
    PyTorch(Variant),
}

/// How a PyTorch peer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Operator by operator, f32.
    Eager,
    /// `torch.compile`, f32.
    Compile,
    /// Operator by operator under bf16 autocast.
    Bf16,
    /// `torch.compile` under bf16 autocast.
    Bf16Compile,
    /// diffusers' transformer and sampler as its pipeline calls them, f32.
    Diffusers,
}

/// How a peer computes attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    /// `scaled_dot_product_attention`.
    Sdpa,
    /// A batched product, softmax, a batched product.
    Bmm,
}

/// Contenders whose best is compared with ours as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Group {
    /// PyTorch in f32, eager or compiled.
    #[serde(rename = "PyTorch f32")]
    F32,
    /// PyTorch with bf16 autocast, eager or compiled.
    #[serde(rename = "PyTorch bf16")]
    Bf16,
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "PyTorch f32",
            Self::Bf16 => "PyTorch bf16",
        })
    }
}

impl Contender {
    /// What `--only` and the table call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursBf16 => "ours-bf16",
            Self::OursDense => "ours-dense",
            Self::OursOneThread => "ours-1-thread",
            Self::PyTorch(Variant::Eager) => "eager",
            Self::PyTorch(Variant::Compile) => "compile",
            Self::PyTorch(Variant::Bf16) => "bf16",
            Self::PyTorch(Variant::Bf16Compile) => "bf16-compile",
            Self::PyTorch(Variant::Diffusers) => "diffusers",
        }
    }

    /// Whose best it may be.
    pub fn group(self) -> Option<Group> {
        match self {
            Self::PyTorch(Variant::Eager | Variant::Compile) => Some(Group::F32),
            Self::PyTorch(Variant::Bf16 | Variant::Bf16Compile) => Some(Group::Bf16),
            _ => None,
        }
    }

    /// Whether the others go on without it: compiling needs a C++ compiler, our bf16 a processor, and diffusers a package
    /// that not every machine has.
    pub fn may_fail(self) -> bool {
        matches!(
            self,
            Self::OursBf16
                | Self::PyTorch(Variant::Compile | Variant::Bf16Compile | Variant::Diffusers)
        )
    }

    /// The attentions to choose the faster from; ours and diffusers' have only their own.
    pub fn attentions(self, options: &Options) -> Vec<Option<Attention>> {
        match (self, options.attention) {
            (Self::PyTorch(Variant::Diffusers), _) => vec![None],
            (Self::PyTorch(_), Some(one)) => vec![Some(one)],
            (Self::PyTorch(_), None) => vec![Some(Attention::Sdpa), Some(Attention::Bmm)],
            _ => vec![None],
        }
    }

    /// The command that starts it.
    pub fn command(
        self,
        workload: &Workload,
        attention: Option<Attention>,
        options: &Options,
    ) -> Result<Command> {
        if let Self::PyTorch(variant) = self {
            return peer(workload, variant, attention, options);
        }
        let threads = match self {
            Self::OursOneThread => 1,
            _ => options.threads()?,
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve-ours", workload.name]);
        match self {
            Self::OursDense => command.arg("--dense"),
            Self::OursBf16 => command.arg("--bf16"),
            _ => &mut command,
        };
        command.env("RAYON_NUM_THREADS", threads.to_string());
        Ok(command)
    }
}

/// The PyTorch program with the arguments that describe the workload.
fn peer(
    workload: &Workload,
    variant: Variant,
    attention: Option<Attention>,
    options: &Options,
) -> Result<Command> {
    let dataset = workload.load()?;
    let config = workload.model(&dataset, false)?;
    let mut command = describe(&config, attention, options)?;
    let variant = Contender::PyTorch(variant).name();
    let batch = workload.batch(config.num_classes).to_string();
    command.args(["--variant", variant, "--batch", &batch]);
    match workload.task {
        Task::Train(order) => {
            command.args(["--mode", "train"]);
            if let BatchOrder::Stratified {
                null,
                classes_per_step,
                ..
            } = order
            {
                command.args(["--labels", "stratified", "--null", &null.to_string()]);
                if let Some(classes) = classes_per_step {
                    command.args(["--classes-per-step", &classes.to_string()]);
                }
            }
        }
        Task::Sample(_) => {
            command.args(["--mode", "sample"]);
            command.args(["--ddim-steps", &DDIM_STEPS.to_string()]);
            command.args(["--guidance", &GUIDANCE.to_string()]);
        }
    }
    Ok(command)
}

/// The PyTorch program with the arguments that describe a model.
pub fn describe(
    config: &DitConfig,
    attention: Option<Attention>,
    options: &Options,
) -> Result<Command> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/peer.py");
    let mut command = Command::new(options.python()?);
    command.arg("-B").arg(script);
    command.args(["--threads", &options.threads()?.to_string(), "--image"]);
    command.args(config.input.map(|n| n.to_string()));
    for (name, value) in [
        ("--patch", config.patch),
        ("--hidden", config.hidden),
        ("--depth", config.depth),
        ("--heads", config.heads),
        ("--classes", config.num_classes),
    ] {
        command.args([name, &value.to_string()]);
    }
    let adaln = match config.adaln {
        AdaLn::Shared => "shared",
        AdaLn::PerBlock => "per-block",
    };
    command.args(["--adaln", adaln]);
    if let Some(learngene) = config.learngene_rank() {
        command.args(["--rank-split", &learngene.to_string()]);
        command.arg(config.tailor_rank.to_string());
    }
    let attention = attention.unwrap_or(Attention::Sdpa);
    let attention = attention
        .to_possible_value()
        .ok_or("an attention without a name")?;
    command.args(["--attention", attention.get_name()]);
    for setting in &options.peer_env {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("--peer-env {setting}: expected NAME=VALUE"))?;
        command.env(name, value);
    }
    Ok(command)
}
