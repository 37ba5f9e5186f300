//! Training without a folder, a step at a time.

use crate::{
    batch::Images,
    config::{TrainConfig, require_precision},
    error::Result,
    evaluate::{Evaluation, Gating, Measuring, evaluate},
    optimiser::AdamW,
    step::{StepLosses, images, step},
    watch::Watch,
};
use burn::module::Module;
use learngene_data::{Batches, Dataset, Split};
use learngene_diffusion::Schedule;
use learngene_nn::{Dit, Mode, params};

/// (time, noise) draws of each validation image.
const VALIDATION_REPEATS: usize = 4;

/// What changes from step to step.
pub(crate) struct State {
    /// Absent only while it is updated, so that nothing else refers to its memory then.
    model: Option<Dit>,
    pub optimiser: AdamW,
}

impl State {
    /// Before the first step.
    pub fn start(model: Dit, config: &TrainConfig) -> Self {
        let model = trainable(model, config);
        let optimiser = AdamW::new(&model, model.config().groups, config);
        Self {
            model: Some(model),
            optimiser,
        }
    }

    pub fn model(&self) -> &Dit {
        #[expect(clippy::expect_used, reason = "an update puts it back")]
        self.model.as_ref().expect("a model between updates")
    }

    /// Steps done.
    pub fn done(&self) -> u64 {
        self.optimiser.done
    }

    /// After the steps that the optimiser has done.
    pub fn after(model: Dit, optimiser: AdamW, config: &TrainConfig) -> Self {
        Self {
            model: Some(trainable(model, config)),
            optimiser,
        }
    }
}

fn trainable(model: Dit, config: &TrainConfig) -> Dit {
    params::set_trainable(model, |name| config.trainable.factor(name) > 0.0).in_mode(config.mode())
}

/// Losses on validation images, the same draws for both.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Of the averaged weights: those that are drawn with, judged and exported.
    pub averaged: Evaluation,
    /// Of the weights as the last step left them.
    pub raw: Evaluation,
}

/// A model, its optimiser and the batches it learns from: all that a training step needs.
pub struct Trainer<'a> {
    config: TrainConfig,
    dataset: &'a Dataset,
    schedule: Schedule,
    batches: Batches,
    state: State,
    ahead: Option<Ahead>,
}

/// The images of a step to come, read while another one computes.
struct Ahead {
    step: u64,
    images: Result<Images>,
}

impl<'a> Trainer<'a> {
    /// Starts to train a model, which is on an autodiff device.
    ///
    /// # Errors
    /// Settings nothing could be trained with.
    pub fn new(model: Dit, config: TrainConfig, dataset: &'a Dataset) -> Result<Self> {
        config.validate_for(model.config())?;
        let state = State::start(model, &config);
        Self::from_state(state, config, dataset)
    }

    pub(crate) fn from_state(
        state: State,
        config: TrainConfig,
        dataset: &'a Dataset,
    ) -> Result<Self> {
        require_precision(config.precision, &state.model().device())?;
        Ok(Self {
            schedule: Schedule::new(config.schedule, config.diffusion_steps)?,
            batches: Batches::new(dataset, config.order(), config.seed, config.flip)?,
            config,
            dataset,
            state,
            ahead: None,
        })
    }

    /// One update from the next batch.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`] with the first bad tensor, before anything is updated; errors of the model, the losses
    /// and the images.
    pub fn step(&mut self) -> Result<StepLosses> {
        let (state, config, dataset) = (&mut self.state, &self.config, self.dataset);
        let done = state.done();
        let draws = self.batches.batch(done);
        let batch = match self.ahead.take() {
            Some(Ahead { step, images }) if step == done => images,
            _ => images(config, dataset, &draws),
        }?;
        let next = done + 1;
        let ahead = dataset.streams() && next < config.steps;
        let ahead = ahead.then(|| self.batches.batch(next));
        let computed = std::thread::scope(|scope| {
            let reader = ahead.map(|draws| scope.spawn(move || images(config, dataset, &draws)));
            let model = state.model();
            let computed = step(model, config, &self.schedule, &batch, &draws, done);
            // A reader that panicked is as none: the next step reads for itself and meets the same.
            let images = reader.and_then(|reader| reader.join().ok());
            self.ahead = images.map(|images| Ahead { step: next, images });
            computed
        });
        let (update, losses) = computed?;
        let model = state.model.take();
        state.model = model.map(|model| state.optimiser.update(model, &update, &self.config));
        Ok(losses)
    }

    /// Steps done so far.
    pub fn done(&self) -> u64 {
        self.state.done()
    }

    /// Images in a batch.
    pub fn batch_size(&self) -> usize {
        self.batches.batch_size()
    }

    /// The model with averaged weights, off the autodiff device, computing as a model read from a file does.
    pub fn averaged(&self) -> Result<Dit> {
        let model = self.state.model();
        let average = self.state.optimiser.averages(model, &self.config);
        let average = average.into_iter().map(|(name, source)| {
            let values = source.values().into_owned();
            let shape = source.shape;
            (name, params::Values { shape, values })
        });
        let model = params::replace(model.valid(), average.collect())?;
        Ok(model.in_mode(Mode::default()))
    }

    /// The model as it is, off the autodiff device, computing as a model read from a file does.
    pub fn raw(&self) -> Dit {
        self.state.model().valid().in_mode(Mode::default())
    }

    /// Losses on the validation images, if there are any: of the averaged weights and of those as they are.
    pub fn validate(&self) -> Result<Option<Validation>> {
        if self.dataset.is_empty(Split::Val) {
            return Ok(None);
        }
        let how = Measuring {
            schedule: &self.schedule,
            objective: &self.config.objective,
            repeats: VALIDATION_REPEATS,
            watch: Watch::default(),
        };
        let losses = |model: &Dit| evaluate(model, self.dataset, Split::Val, Gating::Right, &how);
        Ok(Some(Validation {
            averaged: losses(&self.averaged()?)?,
            raw: losses(&self.raw())?,
        }))
    }

    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use learngene_nn::{DitConfig, FactorInit};

    #[test]
    fn the_setting_reaches_the_model() {
        let config = DitConfig::from_size("dit-micro/4", [3, 8, 8], 2).unwrap();
        for recompute in [false, true] {
            let device = Device::flex().autodiff();
            let model = Dit::init(&config, FactorInit::Orthogonal, 0, &device).unwrap();
            let settings = TrainConfig {
                recompute,
                ..TrainConfig::default()
            };
            let state = State::start(model, &settings);
            assert_eq!(state.model().mode().recompute, recompute);
        }
    }
}
