//! Training a small autoencoder, top to bottom.

use crate::checkpoint;
use crate::config::{TrainConfig, Trainable};
use crate::error::{Error, Result};
use crate::memory::require;
use crate::optimiser::{self, AdamW, GradMap, Update};
use crate::rate;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use learngene_data::{BatchOrder, Batches, Dataset, Draw, Purpose, Split, Stream};
use learngene_formats::{CheckpointWriter, Retention};
use learngene_nn::{Autoencoder, AutoencoderConfig, Moments, is_cpu, params};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Weight of the divergence from a standard normal distribution, mean over the values of a latent, beside the mean absolute
/// error of a pixel: enough to keep latents from drifting apart, too little to blur images.
const DIVERGENCE: f64 = 1e-3;
/// Images that are looked at together after training.
const BATCH: usize = 64;

/// How to train an autoencoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AutoencoderTraining {
    /// Optimiser steps.
    pub steps: u64,
    /// Images in a batch.
    pub batch: usize,
    /// Peak learning rate.
    pub lr: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// Steps between checkpoints; 0 for the end and interruptions only.
    pub checkpoint_every: u64,
}

impl Default for AutoencoderTraining {
    fn default() -> Self {
        Self {
            steps: 500,
            batch: 12,
            lr: 4e-3,
            seed: 0,
            checkpoint_every: 100,
        }
    }
}

/// An autoencoder that was trained.
#[derive(Debug)]
pub struct Fitted {
    /// It, off the autodiff device, with its factors.
    pub autoencoder: Autoencoder,
    /// Peak signal-to-noise ratio of validation images that went through it, decibels, and how many; none without any.
    pub psnr: Option<(f64, usize)>,
}

/// The training of an autoencoder, with its checkpoints in a folder of their own. It ends with the same weights whether it
/// was interrupted or not.
pub struct AutoencoderRun<'a> {
    dataset: &'a Dataset,
    batches: Batches,
    latent: [usize; 3],
    how: AutoencoderTraining,
    train: TrainConfig,
    model: Autoencoder,
    optimiser: AdamW,
    writer: CheckpointWriter,
    /// What has to be the same for whoever goes on.
    about: serde_json::Value,
}

impl<'a> AutoencoderRun<'a> {
    /// Goes on from the checkpoint in that folder, or starts anew if there is none.
    ///
    /// # Errors
    /// Latents instead of images, or images that do not fit; settings nothing could be trained with; a checkpoint of other
    /// settings or images.
    pub fn open(
        folder: &Path,
        config: &AutoencoderConfig,
        dataset: &'a Dataset,
        how: &AutoencoderTraining,
        device: &Device,
    ) -> Result<Self> {
        if dataset.latent_space().is_some() {
            let origin = dataset.name().to_owned();
            return Err(learngene_data::Error::NoImages { origin }.into());
        }
        let latent = config.latent_shape(dataset.shape())?;
        let train = TrainConfig {
            steps: how.steps,
            lr: how.lr,
            seed: how.seed,
            trainable: Trainable::default(),
            ..TrainConfig::default()
        };
        train.validate()?;
        if is_cpu(device) {
            require(
                config.least_step_bytes(how.batch, dataset.shape()),
                &format!("a training step of {} images", how.batch),
                "fewer images (--batch), or smaller ones",
            )?;
        }
        let order = BatchOrder::Plain {
            batch: how.batch,
            label_drop: 0.0,
        };
        let batches = Batches::new(dataset, order, how.seed, true)?;
        let (steps, batch, lr, seed) = (how.steps, how.batch, how.lr, how.seed);
        let about = serde_json::json!({
            "autoencoder": config, "images": dataset.fingerprint(),
            "--steps": steps, "--batch": batch, "--lr": lr, "--seed": seed,
        });
        let retention = Retention {
            last: 1,
            best: false,
        };
        let writer = CheckpointWriter::open(folder, retention)?;
        let start = Autoencoder::init(config, how.seed, &device.clone().autodiff())?;
        let mut optimiser = AdamW::new(&start, 0, &train);
        let model = match writer.checkpoints().latest()?.checkpoint {
            None => start,
            Some(newest) => {
                let (model, saved) = checkpoint::load_module(&newest, start, &mut optimiser)?;
                require_same(folder, &about, &saved)?;
                model
            }
        };
        Ok(Self {
            dataset,
            batches,
            latent,
            how: *how,
            train,
            model: params::set_trainable(model, |_| true),
            optimiser,
            writer,
            about,
        })
    }

    /// Steps done.
    pub fn done(&self) -> u64 {
        self.optimiser.done
    }

    /// Trains on the training images, half of them mirrored, and measures the factors on them: with both, the latents have
    /// mean 0 and standard deviation 1. If it is stopped before the end, the state is checkpointed, and the steps done are
    /// what is left.
    ///
    /// - observe: gets each step's number and mean absolute error, on a scale from -1 to 1
    ///
    /// # Errors
    /// Losses that are not finite; images that cannot be read; checkpoints that cannot be written.
    pub fn train(
        mut self,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(u64, f64),
    ) -> Result<std::result::Result<Fitted, u64>> {
        let steps = self.how.steps;
        while self.done() < steps {
            let step = self.done();
            if stop.load(Ordering::Relaxed) {
                self.save()?;
                return Ok(Err(step));
            }
            let draws = self.batches.batch(step);
            let (update, error) = update(
                &self.model,
                self.dataset,
                &draws,
                self.latent,
                &self.train,
                step,
            )?;
            self.model = self.optimiser.update(self.model, &update, &self.train);
            observe(step + 1, error);
            let every = self.how.checkpoint_every;
            if step + 1 == steps || (every > 0 && (step + 1).is_multiple_of(every)) {
                self.save()?;
            }
        }
        let model = self.model.valid();
        let (mean, deviation) = spread(&model, self.dataset)?;
        if !(mean.is_finite() && deviation.is_finite() && deviation > 0.0) {
            let what = "the spread of its latents".into();
            return Err(Error::not_finite(steps, what));
        }
        let autoencoder = model.with_factors(1.0 / deviation, mean);
        Ok(Ok(Fitted {
            psnr: psnr(&autoencoder, self.dataset)?,
            autoencoder,
        }))
    }

    fn save(&self) -> Result<()> {
        checkpoint::save_module(&self.writer, &self.about, &self.model, &self.optimiser)
    }
}

/// Refuses to go on with the checkpoint of another training.
fn require_same(folder: &Path, now: &serde_json::Value, then: &serde_json::Value) -> Result<()> {
    let differs = |key: &&String| then.get(key.as_str()) != now.get(key.as_str());
    let keys = now.as_object().into_iter().flat_map(|keys| keys.keys());
    let differences: Vec<&str> = keys.filter(differs).map(String::as_str).collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::Folder {
        path: folder.into(),
        message: format!(
            "holds the beginning of a training with other settings or images ({}): give those again to go on with it, or \
             remove the folder to start anew",
            differences.join(", ")
        ),
    })
}

/// The gradient of one batch, and its mean absolute error.
fn update(
    model: &Autoencoder,
    dataset: &Dataset,
    draws: &[Draw],
    [c, h, w]: [usize; 3],
    train: &TrainConfig,
    step: u64,
) -> Result<(Update, f64)> {
    let not_finite = |what: String| Error::not_finite(step, what);
    let device = model.device();
    let chosen = draws.iter().map(|draw| (draw.sample, draw.flip));
    let images = images(dataset, Split::Train, chosen, &device)?;
    let mut noise = vec![0.0; draws.len() * c * h * w];
    for (noise, draw) in noise.chunks_mut(c * h * w).zip(draws) {
        Stream::new(train.seed, draw.index, Purpose::Posterior).fill_normal(noise);
    }
    let noise = Tensor::<4>::from_data(TensorData::new(noise, [draws.len(), c, h, w]), &device);
    let Moments { mean, log_variance } = model.encode(images.clone())?;
    let latents = mean.clone() + (log_variance.clone() / 2.0).exp() * noise;
    let error = (model.decode(latents)? - images).abs().mean();
    let divergence = (mean.square() + log_variance.clone().exp() - log_variance - 1.0).mean() / 2.0;
    let found = params::to_vec(error.clone())
        .iter()
        .map(|&e| f64::from(e))
        .sum::<f64>();
    if !found.is_finite() {
        return Err(not_finite("the loss".into()));
    }
    let mut of_batch = (error + divergence * DIVERGENCE).backward();
    let mut grads = GradMap::new();
    optimiser::collect(model, &mut of_batch, 1.0, &mut grads);
    let norm = optimiser::norm(&grads).map_err(not_finite)?;
    let update = Update {
        grads,
        scale: (train.clip / norm.max(train.clip)) as f32,
        lr: train.lr * rate::factor(train, step),
        groups: Vec::new(),
        components: None,
        labels: BTreeSet::new(),
    };
    Ok((update, found))
}

/// Images by number, mirrored or not, `[b, c, h, w]`.
fn images(
    dataset: &Dataset,
    split: Split,
    chosen: impl ExactSizeIterator<Item = (usize, bool)>,
    device: &Device,
) -> Result<Tensor<4>> {
    let ([c, h, w], count) = (dataset.shape(), chosen.len());
    let mut values = vec![0.0; count * c * h * w];
    for (image, (sample, flip)) in values.chunks_mut(c * h * w).zip(chosen) {
        dataset.write_chw(split, sample, flip, None, image)?;
    }
    let values = TensorData::new(values, [count, c, h, w]);
    Ok(Tensor::from_data(values, device))
}

/// Calls `look` with the images of a split, some at a time.
fn each(
    model: &Autoencoder,
    dataset: &Dataset,
    split: Split,
    look: &mut dyn FnMut(Tensor<4>) -> Result<()>,
) -> Result<()> {
    let numbers: Vec<usize> = (0..dataset.len(split)).collect();
    numbers.chunks(BATCH).try_for_each(|part| {
        let chosen = part.iter().map(|&i| (i, false));
        look(images(dataset, split, chosen, &model.device())?)
    })
}

/// Mean and standard deviation of the latents of all training images, all channels together.
fn spread(model: &Autoencoder, dataset: &Dataset) -> Result<(f64, f64)> {
    let mut sums = [0.0f64; 3];
    each(model, dataset, Split::Train, &mut |images| {
        let Moments { mean, log_variance } = model.encode(images)?;
        let both = params::to_vec(mean)
            .into_iter()
            .zip(params::to_vec(log_variance));
        for (mean, log_variance) in both {
            let mean = f64::from(mean);
            sums[0] += 1.0;
            sums[1] += mean;
            sums[2] += mean * mean + f64::from(log_variance).exp();
        }
        Ok(())
    })?;
    let mean = sums[1] / sums[0];
    Ok((mean, (sums[2] / sums[0] - mean * mean).max(0.0).sqrt()))
}

/// Of the validation images, with the means of their latents.
fn psnr(model: &Autoencoder, dataset: &Dataset) -> Result<Option<(f64, usize)>> {
    let mut sums = [0.0f64; 2];
    each(model, dataset, Split::Val, &mut |images| {
        let drawn = model
            .decode(model.encode(images.clone())?.mean)?
            .clamp(-1.0, 1.0);
        let squares = params::to_vec((drawn - images).square());
        sums[0] += squares.len() as f64;
        sums[1] += squares.iter().map(|&s| f64::from(s)).sum::<f64>();
        Ok(())
    })?;
    // The range of values is 2.
    let mean = sums[1] / sums[0];
    Ok((sums[0] > 0.0).then(|| (10.0 * (4.0 / mean).log10(), dataset.len(Split::Val))))
}
