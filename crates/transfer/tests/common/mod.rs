//! A small model that no parameter of is at its start.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use burn::tensor::{Device, Distribution, Tensor};
use learngene_nn::{Dit, DitConfig, FactorInit, params};
use learngene_train::{DataConfig, RunConfig, TrainConfig};

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
        data: DataConfig {
            source: "builtin:emoji".into(),
            classes: "all".into(),
            image_size: None,
            channels: None,
            class_map: None,
        },
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
    (config, params::replace(model, &values).unwrap())
}

/// The largest difference relative to the largest value of `b`.
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0, |m: f32, x| m.max(x.abs()));
    let apart = (a.iter().zip(b)).fold(0.0, |m: f32, (a, b)| m.max((a - b).abs()));
    apart / largest
}
