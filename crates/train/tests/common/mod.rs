//! Short runs on the built-in images, and their checkpoints as numbers.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, reason = "each test file uses its own part")]

#[path = "../../../nn/tests/common/mod.rs"]
pub mod models;

use burn::tensor::Device;
use learngene_data::Dataset;
use learngene_formats::{TensorEntry, WeightFile};
use learngene_nn::{Dit, DitConfig, FactorInit, RankSplit, Superclass};
use learngene_train::{DataConfig, Event, Outcome, Result, Run, RunConfig, TrainConfig};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The twelve base classes at 16 x 16.
pub fn data() -> DataConfig {
    DataConfig {
        classes: "base".into(),
        image_size: Some(16),
        ..DataConfig::of("builtin:emoji")
    }
}

/// A dense model small enough for dozens of steps in a test, for the images of [`data`].
pub fn small() -> DitConfig {
    DitConfig {
        hidden: 16,
        heads: 2,
        depth: 2,
        ..DitConfig::from_size("dit-micro/4", [3, 16, 16], 12).unwrap()
    }
}

/// The same factorised, with a tailor per class.
pub fn small_kind() -> DitConfig {
    let split = RankSplit {
        learngene: 6,
        tailor: 2,
    };
    small().with_rank_split(split).unwrap()
}

/// The same with three superclasses of four classes each, which have a tailor as well.
pub fn small_tree() -> DitConfig {
    in_fours(small_kind())
}

/// A model of twelve classes, four of each of three superclasses.
pub fn in_fours(config: DitConfig) -> DitConfig {
    let superclass = |first| {
        let classes: Vec<usize> = (first..first + 4).collect();
        Superclass::new(format!("from {first}"), classes)
    };
    let tree = [0, 4, 8].map(superclass).to_vec();
    config.with_superclasses(tree).unwrap()
}

/// `dit-micro/4` with a tailor per class, on the base classes at their own size.
pub fn micro(train: TrainConfig) -> (RunConfig, Dataset) {
    let source = DataConfig {
        image_size: None,
        ..data()
    };
    let dataset = source.load().unwrap();
    let split = RankSplit {
        learngene: 32,
        tailor: 4,
    };
    let model = DitConfig::from_size("dit-micro/4", dataset.shape(), 12).unwrap();
    let mut config = config(model.with_rank_split(split).unwrap(), train, &dataset);
    config.data = source;
    (config, dataset)
}

/// One image per class and one with the null label, no warm-up, every step logged.
pub fn quick(steps: u64) -> TrainConfig {
    TrainConfig {
        steps,
        warmup: 0,
        per_class: 1,
        null: 1,
        log_every: 1,
        evaluate_every: 0,
        checkpoint_every: 0,
        ..TrainConfig::default()
    }
}

pub fn config(model: DitConfig, train: TrainConfig, dataset: &Dataset) -> RunConfig {
    RunConfig {
        data: data(),
        train,
        model,
        init: FactorInit::Orthogonal,
        classes: dataset.classes().to_vec(),
        method: None,
    }
}

pub fn device() -> Device {
    Device::flex().autodiff()
}

/// The model a run of that configuration starts from.
pub fn start(config: &RunConfig) -> Dit {
    Dit::init(&config.model, config.init, config.train.seed, &device()).unwrap()
}

/// Trains until the end or, if `until` says so, until after that step's checkpoint.
pub fn go_on(run: Run, dataset: &Dataset, until: Option<u64>) -> Result<(Outcome, Vec<Event>)> {
    let stop = AtomicBool::new(false);
    let mut events = Vec::new();
    let mut observe = |event: &Event| {
        if matches!(event, Event::Checkpoint { step } if Some(*step) == until) {
            stop.store(true, Ordering::Relaxed);
        }
        events.push(event.clone());
    };
    let outcome = run.train(dataset, &stop, &mut observe)?;
    Ok((outcome, events))
}

/// A whole run from `model` in a new folder.
pub fn train(
    folder: &Path,
    config: &RunConfig,
    model: Dit,
    dataset: &Dataset,
) -> Result<(Outcome, Vec<Event>)> {
    go_on(Run::create(folder, config.clone(), model)?, dataset, None)
}

/// The trained loss of every step.
pub fn losses(events: &[Event]) -> Vec<f64> {
    let loss = |event: &Event| match event {
        Event::Step { loss, .. } => Some(*loss),
        _ => None,
    };
    events.iter().filter_map(loss).collect()
}

pub fn checkpoint(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("checkpoints/step-{step:08}"))
}

pub fn read(folder: &Path, step: u64, file: &str) -> WeightFile {
    WeightFile::read(checkpoint(folder, step).join(file)).unwrap()
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, TensorEntry>;

/// The state of a run after a step, as its files tell it.
pub struct State {
    pub model: Tensors,
    pub ema: Tensors,
    /// `name/m` and `name/v`.
    pub moments: Tensors,
    /// Updates of each trained parameter, one count per group for tailors.
    pub updates: BTreeMap<String, Vec<u64>>,
}

impl State {
    pub fn read(folder: &Path, step: u64) -> Self {
        let optimiser = read(folder, step, "optimiser.safetensors");
        let counts = |text: &String| text.split(',').map(|c| c.parse().unwrap()).collect();
        let name = |key: &String| key.strip_prefix("updates/").map(str::to_owned);
        let extra = optimiser.header.extra.iter();
        Self {
            model: read(folder, step, "model.safetensors").tensors,
            ema: read(folder, step, "ema.safetensors").tensors,
            updates: extra
                .filter_map(|(key, text)| Some((name(key)?, counts(text))))
                .collect(),
            moments: optimiser.tensors,
        }
    }
}

/// The part of a tensor that belongs to block `index` of `count` equal blocks of rows.
pub fn block(tensor: &TensorEntry, index: usize, count: usize) -> &[f32] {
    let size = tensor.values.len() / count;
    &tensor.values[index * size..(index + 1) * size]
}
