//! Samplers against diffusers on the same exact network: tests/reference/samplers.py
//!
//! diffusers' "leading" timesteps 0, 20, ..., 980 are the only ones at which its DDIM and DDPM step to the
//! very timestep they visit next; its DPM-Solver++ uses 20, 40, ..., 999 and ends at sigma 0. Both are
//! given here as kept times. diffusers rounds its betas to f32, hence the tolerance.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use burn::tensor::{DType, Device, Tensor, TensorData};
use common::{TILTED, no_noise, points, values};
use learngene_diffusion::{
    Clip, FixedVariance, Predictor, Schedule, ScheduleKind, Target, ddim, ddpm, dpm_solver_2m,
};

const TOLERANCE: f64 = 1e-6;

fn start() -> Tensor<4> {
    points(&[[0.3, -1.2], [1.5, 0.4]])
}

fn full() -> Schedule {
    Schedule::new(ScheduleKind::Cosine, 1000).unwrap()
}

fn leading() -> Schedule {
    let times: Vec<f64> = (0..50).map(|k| f64::from(20 * k)).collect();
    full().keep(&times).unwrap()
}

fn wave(step: usize, shape: [usize; 4]) -> Tensor<4> {
    let values: Vec<f64> = (0..4)
        .map(|k| (1.7 * f64::from(k) + 0.9 * step as f64).sin())
        .collect();
    Tensor::from_data(
        TensorData::new(values, shape),
        (&Device::flex(), DType::F64),
    )
}

fn assert_points(found: Tensor<4>, expected: [f64; 4]) {
    for (found, expected) in values(&found).into_iter().zip(expected) {
        assert!((found - expected).abs() < TOLERANCE, "{found} {expected}");
    }
}

#[test]
fn ddim_equals_diffusers() {
    let training = full();
    let network = TILTED.network(&training, Target::Velocity);
    let predictor = Predictor::new(&network, Target::Velocity, Clip::Off);
    let x = ddim(
        &predictor,
        &leading(),
        0.0,
        start(),
        &mut no_noise,
        &mut |_, _| (),
    )
    .unwrap();
    assert_points(x, [0.302535234, -0.833875947, 1.553423586, 0.284075387]);
    let x = ddim(
        &predictor,
        &leading(),
        0.5,
        start(),
        &mut wave,
        &mut |_, _| (),
    )
    .unwrap();
    assert_points(x, [0.525980478, -0.428016040, 0.752599771, -0.083097338]);
}

#[test]
fn ddpm_equals_diffusers() {
    let training = full();
    let network = TILTED.network(&training, Target::Velocity);
    let predictor = Predictor::new(&network, Target::Velocity, Clip::Off);
    for (variance, expected) in [
        (
            FixedVariance::Small,
            [0.434889204, -0.329271471, 0.403843925, -0.257725153],
        ),
        (
            FixedVariance::Large,
            [0.393940526, -0.324443947, 0.443697983, -0.272807331],
        ),
    ] {
        let x = ddpm(
            &predictor,
            &leading(),
            variance,
            start(),
            &mut wave,
            &mut |_, _| (),
        );
        assert_points(x.unwrap(), expected);
    }
}

#[test]
fn ddpm_with_learned_variance_equals_diffusers() {
    let schedule = full();
    let mean = TILTED.network(&schedule, Target::Velocity);
    let network = |x: Tensor<4>, t: f64| Tensor::cat(vec![mean(x.clone(), t), x.full_like(0.3)], 1);
    let predictor = Predictor::new(&network, Target::Velocity, Clip::Off);
    let variance = FixedVariance::Small;
    let x = ddpm(
        &predictor,
        &leading(),
        variance,
        start(),
        &mut wave,
        &mut |_, _| (),
    )
    .unwrap();
    assert_points(x, [0.415513741, -0.331578143, 0.423907307, -0.260584850]);
}

#[test]
fn dpm_solver_equals_diffusers() {
    let times: Vec<f64> = (1..=50)
        .map(|k| (999.0 * f64::from(k) / 50.0).round_ties_even())
        .collect();
    let schedule = full().keep(&times).unwrap();
    assert_eq!(schedule.times()[..3], [20.0, 40.0, 60.0]);
    assert_eq!(schedule.times()[47..], [959.0, 979.0, 999.0]);
    let training = full();
    let network = TILTED.network(&training, Target::Velocity);
    let predictor = Predictor::new(&network, Target::Velocity, Clip::Off);
    let x = dpm_solver_2m(&predictor, &schedule, start(), &mut |_, _| ()).unwrap();
    assert_points(x, [0.309903663, -0.853470056, 1.589184427, 0.294399526]);
}
