//! Our side of a workload, in a process of its own as the peers are.

use crate::Result;
use crate::protocol::{self, Ready};
use crate::workload::{DDIM_STEPS, GUIDANCE, Task, Workload};
use crate::{machine, workload};
use burn::tensor::Device;
use learngene_data::{BatchOrder, Dataset};
use learngene_diffusion::{Sampling, Schedule, ScheduleKind, Target};
use learngene_nn::cost::plan;
use learngene_nn::{Dit, DitConfig, FactorInit, Mode, Precision};
use learngene_train::{Decay, Generation, Request, TrainConfig, Trainer, generate};

/// A backward pass takes twice the products of the forward pass: gradients of both factors.
const PASSES_OF_A_STEP: f64 = 3.0;

/// Answers the runner until it hangs up; `dense` takes the dense model of the workload's shape, `bf16` rounds the factors
/// of products.
pub fn serve(name: &str, dense: bool, bf16: bool) -> Result<()> {
    let baseline_kib = machine::memory(std::process::id())?.now_kib;
    let workload = workload::find(name)?;
    let dataset = workload.load()?;
    let config = workload.model(&dataset, dense)?;
    let ready = Ready {
        version: env!("CARGO_PKG_VERSION").into(),
        threads: rayon::current_num_threads(),
        baseline_kib,
        flops_per_step: Some(flops(workload, &config)),
    };
    let precision = if bf16 {
        Precision::Bf16
    } else {
        Precision::F32
    };
    match workload.task {
        Task::Train(order) => {
            let settings = TrainConfig {
                precision,
                ..settings(order)
            };
            train(&ready, &dataset, &config, settings)
        }
        Task::Sample(images) => sample(&ready, &config, images, precision),
    }
}

fn train(ready: &Ready, dataset: &Dataset, config: &DitConfig, how: TrainConfig) -> Result<()> {
    let device = Device::flex().autodiff();
    let model = Dit::init(config, FactorInit::default(), 0, &device)?;
    let mut trainer = Trainer::new(model, how, dataset)?;
    protocol::serve(ready, || Ok(trainer.step().map(drop)?))
}

/// As the program trains, at a rate that suits every size and does not fall.
fn settings(order: BatchOrder) -> TrainConfig {
    let common = TrainConfig {
        steps: 1 << 40,
        lr: 3e-4,
        decay: Decay::None,
        ..TrainConfig::default()
    };
    match order {
        BatchOrder::Plain { batch, label_drop } => TrainConfig {
            per_class: 0,
            batch,
            label_drop,
            ..common
        },
        BatchOrder::Stratified {
            per_class,
            null,
            classes_per_step,
        } => TrainConfig {
            per_class,
            null,
            classes_per_step,
            ..common
        },
    }
}

fn sample(ready: &Ready, config: &DitConfig, images: usize, precision: Precision) -> Result<()> {
    if !precision.is_available(&Device::flex()) {
        return Err("bf16 takes a processor with AVX512-BF16".into());
    }
    let model = Dit::init(config, FactorInit::default(), 0, &Device::flex())?.in_mode(Mode {
        precision,
        ..Mode::default()
    });
    let schedule = Schedule::new(ScheduleKind::Cosine, 1000)?;
    let how = Generation {
        sampling: Sampling {
            steps: DDIM_STEPS,
            ..Sampling::default()
        },
        guidance: GUIDANCE,
        interval: None,
        seed: 0,
        watch: learngene_train::Watch::default(),
    };
    let request = |i| Request::of_class(i % config.num_classes, i as u64);
    let mut requests: Vec<Request> = (0..images).map(request).collect();
    // neighbours of one class share the products of its tailor, as in `learngene sample`
    requests.sort_by_key(|r| r.label);
    protocol::serve(ready, || {
        generate(&model, &schedule, Target::Velocity, &how, &requests)?;
        Ok(())
    })
}

/// Floating-point operations of the matrix products of a step, two for a multiply-accumulate.
fn flops(workload: &Workload, config: &DitConfig) -> f64 {
    let plan = plan(config);
    let (all, tailor) = (plan.learngene_only.macs as f64, plan.tailor.macs as f64);
    let batch = workload.batch(config.num_classes) as f64;
    let gated = match workload.task {
        Task::Train(BatchOrder::Plain { label_drop, .. }) => batch * (1.0 - label_drop),
        Task::Train(BatchOrder::Stratified { null, .. }) => batch - null as f64,
        Task::Sample(_) => batch,
    };
    match workload.task {
        Task::Train(_) => PASSES_OF_A_STEP * 2.0 * (batch * all + gated * tailor),
        // with guidance every image is predicted twice, once without a tailor
        Task::Sample(_) => DDIM_STEPS as f64 * 2.0 * (2.0 * batch * all + gated * tailor),
    }
}
