//! Images of our samplers and of diffusers', in 50 steps from the same noise with the same weights.
//!
//! The fixture is what diffusers draws with its random DiT: `reference/diffusers_sampling.py`. Found, of values
//! from -1 to 1: v with DDIM 3.8e-6, with DPM-Solver++(2M) 1.9e-6; relative to the largest value: noise with DDIM 5.8e-7,
//! with DPM-Solver++(2M) 1.2e-6.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may panic as tests do"
)]

mod common;

use burn::tensor::{Device, Tensor, TensorData};
use common::{difference, fixture, from_diffusers};
use learngene_diffusion::{
    Clip, Denoiser, Predictor, Schedule, ScheduleKind, Target, ddim, dpm_solver_2m,
};
use learngene_formats::container;
use learngene_nn::{ClassGate, Conditions, Dit, params};

/// A step of an 8-bit image, of values from -1 to 1.
const PIXEL: f32 = 2.0 / 255.0;

fn network(model: &Dit) -> impl Denoiser {
    |x: Tensor<4>, t: f64| {
        let conditions = Conditions {
            times: vec![t; 2],
            labels: vec![Some(1), Some(4)],
            gate: ClassGate::new(vec![Vec::new(); 2]),
        };
        model.forward(x, &conditions).unwrap()
    }
}

/// Our images and those of diffusers, by the sampler's name and the schedule's.
fn both(sampler: &str, name: &str, kind: ScheduleKind, target: Target) -> [Vec<f32>; 2] {
    let samples = container::read(fixture("samples.safetensors"))
        .unwrap()
        .tensors;
    let noise = &samples["noise"];
    let data = TensorData::new(noise.values.clone(), noise.shape.clone());
    let noise = Tensor::from_data(data, &Device::flex());
    let (_, model) = from_diffusers();
    let network = network(&model);
    let predictor = Predictor::new(&network, target, Clip::Off);
    let training = Schedule::new(kind, 1000).unwrap();
    // The times that diffusers visits: `diffusion/tests/diffusers.rs`.
    let drawn = match sampler {
        "ddim" => {
            let times: Vec<f64> = (0..50).map(|k| f64::from(20 * k)).collect();
            let kept = training.keep(&times).unwrap();
            let none = &mut |_: usize, _: [usize; 4]| panic!("no noise at eta 0");
            ddim(&predictor, &kept, 0.0, noise, none, &mut |_, _| ())
        }
        _ => {
            let time = |k| (999.0 * f64::from(k) / 50.0).round_ties_even();
            let times: Vec<f64> = (1..=50).map(time).collect();
            let kept = training.keep(&times).unwrap();
            dpm_solver_2m(&predictor, &kept, noise, &mut |_, _| ())
        }
    };
    let expected = samples[&format!("{sampler}.{name}")].values.clone();
    [params::to_vec(drawn.unwrap()), expected]
}

#[test]
fn images_of_v_are_those_of_diffusers() {
    for sampler in ["ddim", "dpm++2m"] {
        let [ours, theirs] = both(sampler, "v", ScheduleKind::Cosine, Target::Velocity);
        let apart = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        println!("{sampler}, v: {apart:.1e}");
        assert!(apart < PIXEL, "{sampler}: {apart:e}");
    }
}

/// A random network that says what the noise is soon leaves the range of images: values reach 600, and diffusers rounds
/// its schedule to f32. So differences are relative to the largest value.
#[test]
fn images_of_noise_are_those_of_diffusers() {
    for sampler in ["ddim", "dpm++2m"] {
        let [ours, theirs] = both(sampler, "noise", ScheduleKind::Linear, Target::Epsilon);
        let apart = difference(&ours, &theirs);
        println!("{sampler}, noise: {apart:.1e}");
        assert!(apart < PIXEL / 2.0, "{sampler}: {apart:e}");
    }
}
