//! A batch and its losses, the same way for training and for evaluation.

use crate::error::Result;
use burn::tensor::{Device, Int, Tensor, TensorData};
use learngene_data::{Dataset, Purpose, Split, Stream};
use learngene_diffusion::{Losses, NoiseLevels, Objective, Schedule};
use learngene_nn::{ClassGate, Conditions, Dit};
use rayon::prelude::*;
use std::ops::Range;

/// One image of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    /// Number of the image in its split.
    pub sample: usize,
    /// Whether it is mirrored left to right.
    pub flip: bool,
    /// What its noise is keyed by, beside the seed and the purpose.
    pub index: u64,
}

/// What the random numbers of an item are keyed by, beside its index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    seed: u64,
    noise: Purpose,
    posterior: Purpose,
}

impl Keys {
    /// Of a training sample.
    pub const fn training(seed: u64) -> Self {
        Self {
            seed,
            noise: Purpose::Noise,
            posterior: Purpose::Posterior,
        }
    }

    /// Of a validation sample.
    pub const fn evaluation(seed: u64) -> Self {
        Self {
            seed,
            noise: Purpose::EvaluationNoise,
            posterior: Purpose::EvaluationPosterior,
        }
    }
}

/// Images, or latents drawn from their distributions, and their noise, in host memory.
pub(crate) struct Images {
    shape: [usize; 3],
    images: Vec<f32>,
    noise: Vec<f32>,
}

impl Images {
    /// Those of a batch. What is drawn is a function of the keys and the index, so it is the same in whatever batch an item
    /// stands.
    ///
    /// # Errors
    /// Images that cannot be read, of a data set that streams.
    pub fn read(dataset: &Dataset, split: Split, items: &[Item], keys: Keys) -> Result<Self> {
        let shape = dataset.shape();
        let size = shape.iter().product();
        let mut images = vec![0.0; items.len() * size];
        let mut noise = vec![0.0; items.len() * size];
        (
            images.par_chunks_mut(size),
            noise.par_chunks_mut(size),
            items,
        )
            .into_par_iter()
            .try_for_each(|(image, noise, item)| {
                let posterior = Stream::new(keys.seed, item.index, keys.posterior);
                Stream::new(keys.seed, item.index, keys.noise).fill_normal(noise);
                dataset.write_chw(split, item.sample, item.flip, Some(posterior), image)
            })?;
        Ok(Self {
            shape,
            images,
            noise,
        })
    }

    /// Images and noise of a part of the batch, `[b, c, h, w]` each.
    pub fn tensors(&self, part: Range<usize>, device: &Device) -> (Tensor<4>, Tensor<4>) {
        let [c, h, w] = self.shape;
        let size = c * h * w;
        let tensor = |values: &[f32]| {
            let values = values[part.start * size..part.end * size].to_vec();
            Tensor::from_data(TensorData::new(values, [part.len(), c, h, w]), device)
        };
        (tensor(&self.images), tensor(&self.noise))
    }
}

/// The losses of a model on images with that noise at those times, each sample under its label and gate, which is one of
/// the model's groups.
pub(crate) fn losses(
    model: &Dit,
    schedule: &Schedule,
    objective: &Objective,
    (x0, noise): (Tensor<4>, Tensor<4>),
    times: &[usize],
    labels: Vec<Option<usize>>,
    gate: ClassGate,
) -> Result<Losses> {
    let x_t = NoiseLevels::at(schedule, times)?.diffuse(x0.clone(), noise.clone());
    let conditions = Conditions {
        times: times.iter().map(|&t| t as f64).collect(),
        labels,
        gate,
    };
    let output = model.forward(x_t, &conditions)?;
    Ok(objective.losses(schedule, output, x0, noise, times)?)
}

/// What labels say without tailors ([`TrainConfig::null_pressure`](crate::TrainConfig::null_pressure)): the squared distance
/// between the predictions under each image's label and under the null label, no tailor running, `[1]`: a mean over all
/// images of the batch, of which those without a label count as zero. The second prediction is taken for given.
pub(crate) fn told_by_labels(
    model: &Dit,
    schedule: &Schedule,
    (x0, noise): (Tensor<4>, Tensor<4>),
    times: &[usize],
    labels: &[Option<usize>],
) -> Result<Tensor<1>> {
    let known: Vec<usize> = (0..labels.len()).filter(|&i| labels[i].is_some()).collect();
    let device = x0.device();
    if known.is_empty() {
        return Ok(Tensor::zeros([1], &device));
    }
    let rows: Vec<i64> = known.iter().map(|&i| i as i64).collect();
    let rows = Tensor::<1, Int>::from_data(TensorData::from(rows.as_slice()), &device);
    let [x0, noise] = [x0, noise].map(|images| images.select(0, rows.clone()));
    let times: Vec<usize> = known.iter().map(|&i| times[i]).collect();
    let x_t = NoiseLevels::at(schedule, &times)?.diffuse(x0, noise);
    let under = |labels: Vec<Option<usize>>| {
        let conditions = Conditions {
            times: times.iter().map(|&t| t as f64).collect(),
            labels,
            gate: ClassGate::closed(known.len()),
        };
        model.forward(x_t.clone(), &conditions)
    };
    // Behind the prediction may stand channels of a variance.
    let channels = x_t.dims()[1];
    let prediction = |output: Tensor<4>| output.narrow(1, 0, channels);
    let told = prediction(under(known.iter().map(|&i| labels[i]).collect())?);
    let null = prediction(under(vec![None; known.len()])?).detach();
    let share = known.len() as f64 / labels.len() as f64;
    Ok((told - null).square().mean() * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use learngene_data::{ClassSelection, LoadOptions};
    use learngene_nn::params::to_vec;

    #[test]
    fn an_item_is_the_same_in_whatever_batch_it_stands() {
        let selection: ClassSelection = "base".parse().unwrap();
        let dataset = Dataset::load("builtin:emoji", &selection, &LoadOptions::default()).unwrap();
        let items: Vec<Item> = (0..7)
            .map(|i| Item {
                sample: 11 * i,
                flip: i % 2 == 1,
                index: 1000 + i as u64,
            })
            .collect();
        let of = |items: &[Item], keys| {
            let device = Device::flex();
            let images = Images::read(&dataset, Split::Train, items, keys).unwrap();
            let (x, noise) = images.tensors(0..items.len(), &device);
            (to_vec(x), to_vec(noise))
        };
        let whole = of(&items, Keys::training(5));
        let (mut images, mut noise) = (Vec::new(), Vec::new());
        for part in items.chunks(3) {
            let (x, n) = of(part, Keys::training(5));
            images.extend(x);
            noise.extend(n);
        }
        assert_eq!((&images, &noise), (&whole.0, &whole.1));
        assert_ne!(of(&items, Keys::training(6)).1, whole.1);
        assert_ne!(of(&items, Keys::evaluation(5)).1, whole.1);
    }
}
