//! One training step, top to bottom.

use crate::{
    batch::{self, Images, Item, Keys},
    config::TrainConfig,
    error::{Error, Result},
    optimiser::{self, GradMap, Update},
    pressure::{Told, components, told},
    rate,
};
use burn::tensor::Tensor;
use learngene_data::{Dataset, Draw, Purpose, Split, Stream};
use learngene_diffusion::Schedule;
use learngene_nn::{ClassGate, Dit, params};

/// What a step measured.
#[derive(Clone, Copy, Debug)]
pub struct StepLosses {
    /// The loss that was trained on.
    pub trained: f64,
    /// Error of v.
    pub velocity: f64,
    /// Error of the noise.
    pub epsilon: f64,
    /// Norm of the whole gradient before clipping.
    pub grad_norm: f64,
    /// The learning rate.
    pub lr: f64,
}

/// The images of a batch and their noise.
///
/// # Errors
/// Images that cannot be read, of a data set that streams.
pub(crate) fn images(config: &TrainConfig, dataset: &Dataset, draws: &[Draw]) -> Result<Images> {
    let items: Vec<Item> = draws.iter().map(item).collect();
    Images::read(dataset, Split::Train, &items, Keys::training(config.seed))
}

/// Losses and gradients of the batch `draws`, whose images those are.
///
/// # Errors
/// [`Error::NotFinite`] with the first bad tensor; errors of the model and the losses.
pub(crate) fn step(
    model: &Dit,
    config: &TrainConfig,
    schedule: &Schedule,
    images: &Images,
    draws: &[Draw],
    number: u64,
) -> Result<(Update, StepLosses)> {
    let not_finite = |what: String| Error::not_finite(number, what);
    let device = model.device();
    let times = timesteps(config.seed, number, draws, schedule.len());
    let part = draws.len().div_ceil(config.accumulate);
    let told: Vec<Told> = draws.iter().map(|draw| told(config, draw)).collect();
    let gate_of = |told: &[Told]| model.fit_gate(ClassGate::one_hot(told.iter().map(|t| t.gate)));
    let groups = gate_of(&told).used_groups();
    let components = components(config, number, model.config().learngene_rank());
    let running = running(model, &groups, components)?;
    let mut grads = GradMap::new();
    let mut losses = StepLosses {
        trained: 0.0,
        velocity: 0.0,
        epsilon: 0.0,
        grad_norm: 0.0,
        lr: 0.0,
    };
    let parts = told.chunks(part).zip(times.chunks(part));
    for (k, (told_part, times_part)) in parts.enumerate() {
        let share = told_part.len() as f64 / draws.len() as f64;
        let images = images.tensors(k * part..k * part + told_part.len(), &device);
        let labels: Vec<Option<usize>> = told_part.iter().map(|t| t.label).collect();
        let gate = gate_of(told_part).among(&groups)?;
        let objective = &config.objective;
        let pressure = match config.null_pressure {
            None => None,
            Some(weight) => {
                let images = images.clone();
                let told = batch::told_by_labels(&running, schedule, images, times_part, &labels)?;
                Some(told * weight)
            }
        };
        let mut found = batch::losses(
            &running, schedule, objective, images, times_part, labels, gate,
        )?;
        if let Some(pressure) = pressure {
            found.trained = found.trained + pressure;
        }
        losses.trained += share * mean(found.trained.clone());
        losses.velocity += share * mean(found.velocity);
        losses.epsilon += share * mean(found.epsilon);
        if !losses.trained.is_finite() {
            let weight = params::first_not_finite(&running);
            return Err(not_finite(
                weight.map_or("the loss".into(), |name| format!("the weight `{name}`")),
            ));
        }
        // A part of null labels alone reaches nothing that trains where only tailors and label rows do.
        if found.trained.is_tracked() {
            let mut of_part = found.trained.backward();
            optimiser::collect(&running, &mut of_part, share as f32, &mut grads);
        }
    }
    losses.grad_norm = optimiser::norm(&grads).map_err(not_finite)?;
    losses.lr = config.lr * rate::factor(config, number);
    let clip = config.clip > 0.0 && losses.grad_norm > config.clip;
    let scale = if clip {
        (config.clip / losses.grad_norm) as f32
    } else {
        1.0
    };
    let null = model.config().null_label();
    let update = Update {
        grads,
        scale,
        lr: losses.lr,
        groups,
        components,
        labels: told.iter().map(|t| t.label.unwrap_or(null)).collect(),
    };
    Ok((update, losses))
}

/// What of the model runs: the tailors of the groups that the batch switches on, and the first components of the
/// learngene. The gradients of all others are zero, and are not even written.
fn running(model: &Dit, groups: &[usize], components: Option<usize>) -> Result<Dit> {
    let model = match groups.len() {
        0 => model.clone(),
        used if used == model.config().groups => model.clone(),
        _ => model.of_groups(groups)?,
    };
    match components {
        Some(count) => Ok(model.of_components(count)?),
        None => Ok(model),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DataConfig;
    use burn::tensor::Device;
    use learngene_data::Batches;
    use learngene_nn::{DitConfig, FactorInit};

    fn dataset() -> Dataset {
        let config = DataConfig {
            classes: "base".into(),
            image_size: Some(8),
            ..DataConfig::of("builtin:emoji")
        };
        config.load().unwrap()
    }

    #[test]
    fn a_batch_has_one_timestep_in_each_equal_slice_of_the_schedule() {
        let (config, dataset) = (TrainConfig::default(), dataset());
        let mut batches = Batches::new(&dataset, config.order(), config.seed, false).unwrap();
        let draws = batches.batch(4);
        let times = timesteps(config.seed, 4, &draws, 1000);
        let mut slices: Vec<usize> = times.iter().map(|t| t * draws.len() / 1000).collect();
        slices.sort_unstable();
        // 1000 / 39 is no whole number: a time may fall just below the bound of its slice
        for (k, slice) in slices.into_iter().enumerate() {
            assert!(k.abs_diff(slice) <= 1, "slice {slice} at place {k}");
        }
        // a function of the step alone, not of the steps asked for before
        let mut others = Batches::new(&dataset, config.order(), config.seed, false).unwrap();
        for step in [9, 0, 4] {
            let again = timesteps(config.seed, step, &others.batch(step), 1000);
            assert_eq!(again == times, step == 4, "step {step}");
        }
    }

    #[test]
    fn a_weight_that_is_not_finite_is_named() {
        let (train, dataset) = (TrainConfig::default(), dataset());
        let config = DitConfig {
            hidden: 8,
            heads: 2,
            depth: 2,
            ..DitConfig::from_size("dit-micro/4", dataset.shape(), 12).unwrap()
        };
        let device = Device::flex().autodiff();
        let model = Dit::init(&config, FactorInit::Orthogonal, 1, &device).unwrap();
        let mut poisoned = params::values(&model);
        for name in ["blocks.1.mlp.output.weight", "output.bias"] {
            poisoned.get_mut(name).unwrap().values[5] = f32::NAN;
        }
        let model = params::replace(model, poisoned).unwrap();
        let schedule = Schedule::new(train.schedule, train.diffusion_steps).unwrap();
        let mut batches = Batches::new(&dataset, train.order(), train.seed, false).unwrap();
        let draws = batches.batch(0);
        let batch = images(&train, &dataset, &draws).unwrap();
        let result = step(&model, &train, &schedule, &batch, &draws, 3);
        match result.map(|r| r.1) {
            Err(Error::NotFinite { step: 3, what, .. }) => {
                assert_eq!(what, "the weight `blocks.1.mlp.output.weight`");
            }
            other => panic!("{other:?}"),
        }
    }

    /// The pressure is its weight times what labels tell with all tailors off, summed here by hand from two predictions.
    #[test]
    fn pressure_is_the_distance_between_two_predictions_without_tailors() {
        let dataset = dataset();
        let split = learngene_nn::RankSplit {
            learngene: 4,
            tailor: 2,
        };
        let config = DitConfig {
            hidden: 8,
            heads: 2,
            depth: 1,
            ..DitConfig::from_size("dit-micro/4", dataset.shape(), 12).unwrap()
        };
        let config = config.with_rank_split(split).unwrap();
        let device = Device::flex().autodiff();
        let model = Dit::init(&config, FactorInit::Orthogonal, 1, &device).unwrap();
        // What starts at zero says nothing.
        let mut filled = params::values(&model);
        for (k, values) in filled.values_mut().enumerate() {
            let mut stream = Stream::new(7, k as u64, Purpose::Step);
            let mut value = || stream.uniform() as f32 - 0.5;
            values.values.iter_mut().for_each(|v| *v = value());
        }
        let model = params::replace(model, filled).unwrap();
        let of = |null_pressure| TrainConfig {
            null_pressure,
            ..TrainConfig::default()
        };
        let train = of(None);
        let schedule = Schedule::new(train.schedule, train.diffusion_steps).unwrap();
        let mut batches = Batches::new(&dataset, train.order(), train.seed, false).unwrap();
        let draws = batches.batch(0);
        let batch = images(&train, &dataset, &draws).unwrap();
        let trained = |config: &TrainConfig| {
            let (_, losses) = step(&model, config, &schedule, &batch, &draws, 0).unwrap();
            losses.trained
        };
        let found = trained(&of(Some(2.5))) - trained(&train);

        let times = timesteps(train.seed, 0, &draws, schedule.len());
        let (x0, noise) = batch.tensors(0..draws.len(), &device);
        let levels = learngene_diffusion::NoiseLevels::at(&schedule, &times).unwrap();
        let x_t = levels.diffuse(x0, noise);
        let under = |labels: Vec<Option<usize>>| {
            let conditions = learngene_nn::Conditions {
                times: times.iter().map(|&t| t as f64).collect(),
                labels,
                gate: ClassGate::closed(draws.len()),
            };
            params::to_vec(model.forward(x_t.clone(), &conditions).unwrap())
        };
        // Images without a label are the same under both.
        let told = under(draws.iter().map(|draw| draw.label).collect());
        let null = under(vec![None; draws.len()]);
        let squares = told
            .iter()
            .zip(&null)
            .map(|(a, b)| f64::from(a - b).powi(2));
        let expected = 2.5 * squares.sum::<f64>() / told.len() as f64;
        assert!(expected > 1e-3, "{expected}");
        assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
    }
}
