//! The terms of the loss against numbers from diffusers and PyTorch: tests/reference/losses.py
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use burn::tensor::{DType, Device, Tensor, TensorData};
use common::values;
use learngene_diffusion::{Objective, Schedule, ScheduleKind, Target};

const T: [usize; 3] = [0, 400, 900];

fn tensor(f: impl Fn(f64) -> f64) -> Tensor<4> {
    let values: Vec<f64> = (0..12).map(|k| f(f64::from(k))).collect();
    Tensor::from_data(
        TensorData::new(values, [3, 2, 1, 2]),
        (&Device::flex(), DType::F64),
    )
}

/// 8-bit grey levels, the first two at the ends of the range.
fn image(k: f64) -> f64 {
    match k as usize {
        0 => 1.0,
        1 => -1.0,
        _ => (127.5 * ((1.0 + k).sin() + 1.0)).round_ties_even() / 127.5 - 1.0,
    }
}

fn assert_losses(target: Target, velocity: [f64; 3], epsilon: [f64; 3], bits: [f64; 3]) {
    let schedule = Schedule::new(ScheduleKind::Cosine, 1000).unwrap();
    let objective = Objective {
        target,
        learned_variance: true,
        ..Objective::default()
    };
    let prediction = tensor(|k| (0.3 * k + 0.1).sin());
    let output = Tensor::cat(vec![prediction, tensor(|k| (1.1 * k).cos())], 1);
    let noise = tensor(|k| 1.3 * (0.7 * k).cos());
    let found = objective
        .losses(&schedule, output, tensor(image), noise, &T)
        .unwrap();

    // diffusers rounds its betas to f32 (6e-8); 1 - alpha_bar at t = 0 carries that as 1e-6.
    let close = |found: Vec<f64>, expected: [f64; 3]| {
        for (found, expected) in found.into_iter().zip(expected) {
            assert!(
                (found / expected - 1.0).abs() < 2e-6,
                "{found:e} {expected:e}"
            );
        }
    };
    let bound_bits = found.bound_bits.unwrap();
    close(values(&bound_bits), bits);
    close(values(&found.velocity), velocity);
    close(values(&found.epsilon), epsilon);
    // 1000 steps weigh the bound by 1.
    let simple = if target == Target::Velocity {
        velocity
    } else {
        epsilon
    };
    let expected = (simple.iter().sum::<f64>() + bits.iter().sum::<f64>()) / 3.0;
    assert!((values(&found.trained)[0] / expected - 1.0).abs() < 2e-6);
}

#[test]
fn velocity_equals_pytorch() {
    assert_losses(
        Target::Velocity,
        [1.051813253e+00, 2.511120814e+00, 6.893080891e-01],
        [1.051769830e+00, 1.622154336e+00, 1.627877480e-02],
        [1.304433693e+00, 7.635336687e-03, 2.422972360e-04],
    );
}

#[test]
fn epsilon_equals_pytorch() {
    assert_losses(
        Target::Epsilon,
        [1.057229274e+00, 4.850146323e+00, 2.314654998e+01],
        [1.057185627e+00, 3.133137142e+00, 5.466314418e-01],
        [1.306132934e+00, 1.474933243e-02, 8.135995478e-03],
    );
}
