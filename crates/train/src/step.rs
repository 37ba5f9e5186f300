//! One training step, top to bottom.

use crate::{
    batch::{Item, images_and_noise},
    config::TrainConfig,
    error::{Error, Result},
    optimiser::{self, AdamW, GradMap},
    rate,
};
use burn::tensor::Tensor;
use learngene_data::{Dataset, Draw, Purpose, Split, Stream};
use learngene_diffusion::{NoiseLevels, Schedule};
use learngene_nn::{ClassGate, Conditions, Dit, params};

/// What a step measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepLosses {
    pub trained: f64,
    pub velocity: f64,
    pub epsilon: f64,
    pub grad_norm: f64,
    pub lr: f64,
}

/// One update of the model from the batch `draws`.
///
/// # Errors
/// [`Error::NotFinite`] with the first bad tensor, before anything is updated; errors of the model and the losses.
pub(crate) fn step(
    model: Dit,
    optimiser: &mut AdamW,
    config: &TrainConfig,
    schedule: &Schedule,
    dataset: &Dataset,
    draws: &[Draw],
    number: u64,
) -> Result<(Dit, StepLosses)> {
    let not_finite = |what: String| Error::not_finite(number, what);
    let device = model.device();
    let times = timesteps(config.seed, number, draws, schedule.len());
    let part = draws.len().div_ceil(config.accumulate);
    let mut grads = GradMap::new();
    let mut losses = StepLosses {
        trained: 0.0,
        velocity: 0.0,
        epsilon: 0.0,
        grad_norm: 0.0,
        lr: 0.0,
    };
    for (draws_part, times_part) in draws.chunks(part).zip(times.chunks(part)) {
        let share = draws_part.len() as f64 / draws.len() as f64;
        let items: Vec<Item> = draws_part.iter().map(item).collect();
        let key = (config.seed, Purpose::Noise);
        let (x0, noise) = images_and_noise(dataset, Split::Train, &items, key, &device);
        let levels = NoiseLevels::at(schedule, times_part)?;
        let x_t = levels.diffuse(x0.clone(), noise.clone());
        let labels: Vec<_> = draws_part.iter().map(|d| d.label).collect();
        let conditions =
            Conditions::of_labels(times_part.iter().map(|&t| t as f64).collect(), labels);
        let output = model.forward(x_t, &conditions)?;
        let found = config
            .objective
            .losses(schedule, output, x0, noise, times_part)?;
        losses.trained += share * mean(found.trained.clone());
        losses.velocity += share * mean(found.velocity);
        losses.epsilon += share * mean(found.epsilon);
        if !losses.trained.is_finite() {
            let weight = params::first_not_finite(&model);
            return Err(not_finite(
                weight.map_or("the loss".into(), |name| format!("the weight `{name}`")),
            ));
        }
        optimiser::collect(
            &model,
            &mut found.trained.backward(),
            share as f32,
            &mut grads,
        );
    }
    losses.grad_norm = optimiser::norm(&grads).map_err(not_finite)?;
    losses.lr = config.lr * rate::factor(config, number);
    let clip = config.clip > 0.0 && losses.grad_norm > config.clip;
    let scale = if clip {
        (config.clip / losses.grad_norm) as f32
    } else {
        1.0
    };
    let used = ClassGate::one_hot(draws.iter().map(|d| d.label)).used_groups();
    let model = optimiser.update(model, &grads, config, losses.lr, scale, &used);
    Ok((model, losses))
}

fn item(draw: &Draw) -> Item {
    Item {
        sample: draw.sample,
        flip: draw.flip,
        index: draw.index,
    }
}

/// A timestep per sample, stratified over the batch: each sample owns one of `b` equal slices of the schedule, dealt
/// out anew each step, and falls somewhere within it.
fn timesteps(seed: u64, step: u64, draws: &[Draw], steps: usize) -> Vec<usize> {
    let slices = Stream::new(seed, step, Purpose::Step).permutation(draws.len());
    let at = |(slice, draw): (usize, &Draw)| {
        let within = Stream::new(seed, draw.index, Purpose::Timestep).uniform();
        let t = (slice as f64 + within) / draws.len() as f64 * steps as f64;
        (t as usize).min(steps - 1)
    };
    slices.into_iter().zip(draws).map(at).collect()
}

fn mean(values: Tensor<1>) -> f64 {
    let values = params::to_vec(values);
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len().max(1) as f64
}
