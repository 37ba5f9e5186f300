//! Models of other programs, in and out.
//!
//! A foreign layout is a list of tensors, each of which is some of our parameters one below the other in another shape
//! ([`names`]). One list serves both directions, so what is written is read back to the bit.
//!
//! * [`diffusers`]: the folder of a `DiTTransformer2DModel`;
//! * [`checkpoint`]: the `.pt` of the published DiT checkpoints;
//! * [`lora`]: changes of low rank as PEFT, diffusers and kohya's scripts keep them. A tailor beside a merged learngene
//!   is exactly that.
//!
//! Those programs know ordinary weights only. [`plain`] makes them of any model, its tailors left out.

pub mod checkpoint;
pub mod diffusers;
pub mod lora;
mod names;
mod plain;

use learngene_diffusion::{Objective, ScheduleKind, Target};
use learngene_nn::{AdaLn, Basis, DitConfig, FactorInit, Sharing, TimeCode};
use learngene_train::{DataConfig, RunConfig, TrainConfig};
use std::path::Path;

/// What a foreign layout tells of a model's shape.
struct Shape {
    input: [usize; 3],
    patch: usize,
    hidden: usize,
    depth: usize,
    heads: usize,
    num_classes: usize,
    learn_sigma: bool,
    time_code: TimeCode,
    mlp_norm_eps: Option<f64>,
}

impl Shape {
    /// A dense model of that shape, as DiT is.
    fn config(&self) -> DitConfig {
        DitConfig {
            input: self.input,
            patch: self.patch,
            hidden: self.hidden,
            depth: self.depth,
            heads: self.heads,
            mlp_ratio: 4,
            num_classes: self.num_classes,
            adaln: AdaLn::PerBlock,
            learn_sigma: self.learn_sigma,
            time_code: self.time_code,
            mlp_norm_eps: self.mlp_norm_eps,
            basis: Basis::Dense,
            attention_basis: None,
            tailor_rank: 0,
            groups: 0,
            sharing: Sharing::Class,
            terms: Vec::new(),
            bottleneck: 0,
        }
    }
}

/// The configuration of a model that came without one: trained as DiT was, on the noise with the linear schedule, and
/// its classes called by their numbers.
fn unknown_run(model: DitConfig, source: &Path) -> RunConfig {
    RunConfig {
        data: DataConfig {
            source: source.display().to_string(),
            classes: "all".into(),
            image_size: None,
            channels: None,
            class_map: None,
        },
        train: TrainConfig {
            schedule: ScheduleKind::Linear,
            objective: Objective {
                target: Target::Epsilon,
                learned_variance: model.learn_sigma,
                ..Objective::default()
            },
            ..TrainConfig::default()
        },
        classes: (0..model.num_classes).map(|i| i.to_string()).collect(),
        model,
        init: FactorInit::default(),
        method: None,
    }
}
