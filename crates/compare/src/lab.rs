//! Losses and images of a model under a gate of one's choice.

use crate::error::Result;
use learngene_data::{Dataset, Image, Split};
use learngene_diffusion::{Objective, Sampling, Schedule};
use learngene_nn::{Dit, Mode, Precision};
use learngene_train::{
    Evaluation, Gating, Generation, Measuring, Request, RunConfig, Watch, evaluate, generate,
};

/// The tailor, if any, that runs for images of a class.
pub type Tailor<'a> = dyn Fn(usize) -> Option<usize> + 'a;

/// What losses and images need besides a model.
#[derive(Debug)]
pub struct Lab {
    /// How noise is added.
    pub schedule: Schedule,
    /// What the model predicts.
    pub objective: Objective,
    /// How images are drawn.
    pub sampling: Sampling,
    /// What products round their factors to while images are drawn; losses are in 32 bits.
    pub precision: Precision,
    /// Seed of the noise that images are drawn from.
    pub seed: u64,
    /// (time, noise) draws of each image.
    pub repeats: usize,
    /// Is told how far losses and images are.
    pub watch: Watch,
}

impl Lab {
    /// That of a run, which draws in 32 bits.
    ///
    /// # Errors
    /// A schedule that cannot be.
    pub fn of(config: &RunConfig, sampling: Sampling, seed: u64, repeats: usize) -> Result<Self> {
        let train = &config.train;
        Ok(Self {
            schedule: Schedule::new(train.schedule, train.diffusion_steps)?,
            objective: train.objective,
            sampling,
            precision: Precision::F32,
            seed,
            repeats,
            watch: Watch::default(),
        })
    }

    /// Losses on a split.
    ///
    /// # Errors
    /// Images that are not those of the model.
    pub fn losses(
        &self,
        model: &Dit,
        dataset: &Dataset,
        split: Split,
        gating: Gating,
    ) -> Result<Evaluation> {
        let how = Measuring {
            schedule: &self.schedule,
            objective: &self.objective,
            repeats: self.repeats,
            watch: self.watch.clone(),
        };
        Ok(evaluate(model, dataset, split, gating, &how)?)
    }

    /// `count` images of each class, class after class, with the tailor that `tailor` names for it. The noise of image
    /// `i` of a class depends on `i` and the seed alone.
    ///
    /// # Errors
    /// A sampler that cannot be; an image that is not finite.
    pub fn images(
        &self,
        model: &Dit,
        classes: usize,
        count: usize,
        guidance: f64,
        tailor: &Tailor<'_>,
    ) -> Result<Vec<Image>> {
        let request = |i: usize| {
            let class = i / count;
            Request {
                label: Some(class),
                tailors: tailor(class).map(|t| (t, 1.0)).into_iter().collect(),
                index: (i % count) as u64,
            }
        };
        let requests: Vec<_> = (0..classes * count).map(request).collect();
        let how = Generation {
            sampling: self.sampling,
            guidance,
            interval: None,
            seed: self.seed,
            watch: self.watch.clone(),
        };
        let target = self.objective.target;
        let model = model.clone().in_mode(Mode {
            precision: self.precision,
            ..Mode::default()
        });
        Ok(generate(&model, &self.schedule, target, &how, &requests)?)
    }
}
