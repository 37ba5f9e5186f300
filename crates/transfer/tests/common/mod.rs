//! A small model no parameter of which is at its start, and the fixture of `foreign.rs` and `lora.rs`.
#![allow(dead_code, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use learngene_formats::container;
use learngene_nn::{
    ClassGate, Conditions, Dit, DitConfig, FactorInit, RankSplit, Superclass, params,
};
use learngene_train::{DataConfig, RunConfig, TrainConfig};
use learngene_transfer::interop::diffusers;
use std::path::{Path, PathBuf};

/// The codes of times differ by this much: diffusers computes them in f32, with angles up to 999.
pub const TOLERANCE: f32 = 1e-4;

/// Its width.
pub const WIDTH: usize = 24;

/// Dense, 8x8 pixels, for three classes.
pub fn shape() -> DitConfig {
    DitConfig {
        hidden: WIDTH,
        heads: 3,
        depth: 2,
        ..DitConfig::from_size("dit-micro/2", [3, 8, 8], 3).unwrap()
    }
}

/// A model of that configuration with random values everywhere.
pub fn filled(model: DitConfig) -> (RunConfig, Dit) {
    let config = RunConfig {
        data: DataConfig::of("builtin:emoji"),
        train: TrainConfig::default(),
        model,
        init: FactorInit::Orthogonal,
        classes: ["a", "b", "c"].map(String::from).to_vec(),
        method: None,
    };
    let device = Device::flex();
    let model = Dit::init(&config.model, config.init, 3, &device).unwrap();
    let mut values = params::values(&model);
    for value in values.values_mut() {
        let noise = Distribution::Normal(0.0, 0.2);
        value.values = params::to_vec(Tensor::<1>::random([value.values.len()], noise, &device));
    }
    (config, params::replace(model, values).unwrap())
}

/// The largest difference relative to the largest value of `b`.
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0, |m: f32, x| m.max(x.abs()));
    let apart = (a.iter().zip(b)).fold(0.0, |m: f32, (a, b)| m.max((a - b).abs()));
    apart / largest
}

/// A file of the fixture.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/diffusers")
        .join(name)
}

/// What our model says to the fixture's questions, with this gate for every sample.
pub fn said(model: &Dit, gate: &[(usize, f32)]) -> Vec<f32> {
    let asked = container::read(fixture("answers.safetensors"))
        .unwrap()
        .tensors;
    let x = &asked["x"];
    let x = TensorData::new(x.values.clone(), x.shape.clone());
    let classes = model.config().num_classes;
    let labels = asked["y"]
        .values
        .iter()
        .map(|&y| Some(y as usize).filter(|&y| y < classes));
    let conditions = Conditions {
        times: asked["t"].values.iter().map(|&t| f64::from(t)).collect(),
        labels: labels.collect(),
        gate: ClassGate::new(vec![gate.to_vec(); asked["t"].values.len()]),
    };
    params::to_vec(
        model
            .forward(Tensor::from_data(x, &Device::flex()), &conditions)
            .unwrap(),
    )
}

/// What the other program said.
pub fn answer(name: &str) -> Vec<f32> {
    container::read(fixture("answers.safetensors"))
        .unwrap()
        .tensors[name]
        .values
        .clone()
}

/// Asserts that two programs said the same.
pub fn close(a: &[f32], b: &[f32]) {
    let apart = difference(a, b);
    assert!(apart < TOLERANCE, "{apart:e}");
}

/// The model of the fixture.
pub fn from_diffusers() -> (RunConfig, Dit) {
    let read = diffusers::read(&fixture("transformer"), &Device::flex()).unwrap();
    (read.config, read.model)
}

/// A factorised model with a shared adaLN matrix and tailors of three classes, of which the first and the last share
/// another one, group 3.
pub fn kind() -> (RunConfig, Dit) {
    let split = RankSplit {
        learngene: 8,
        tailor: 3,
    };
    let superclass = Superclass::new("x", [0, 2]);
    let shape = shape().with_rank_split(split).unwrap();
    filled(shape.with_superclasses(vec![superclass]).unwrap())
}
