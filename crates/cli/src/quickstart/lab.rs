//! Losses and images of a model under a gate of one's choice.

use super::Effort;
use crate::failure::Result;
use learngene_data::{Dataset, Image, Split};
use learngene_diffusion::{Clip, Objective, SamplerKind, Sampling, Schedule};
use learngene_nn::Dit;
use learngene_train::{Evaluation, Gating, Generation, Request, evaluate, generate};

/// The tailor, if any, that runs for images of a class.
pub type Tailor<'a> = dyn Fn(usize) -> Option<usize> + 'a;

/// What losses and images need besides a model.
pub struct Lab {
    pub schedule: Schedule,
    pub objective: Objective,
    pub seed: u64,
    pub effort: Effort,
}

impl Lab {
    /// Losses on the validation split.
    pub fn losses(&self, model: &Dit, dataset: &Dataset, gating: Gating) -> Result<Evaluation> {
        let (schedule, objective) = (&self.schedule, &self.objective);
        Ok(evaluate(
            model,
            schedule,
            objective,
            dataset,
            Split::Val,
            gating,
            self.effort.repeats,
        )?)
    }

    /// `count` images of each class, class after class, with the tailor that `tailor` names for it. The noise of image
    /// `i` of a class depends on `i` and the seed alone.
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
            // At 25 steps the ancestral noise is worth having: with guidance, DDIM's images are less often what
            // their tailor says.
            sampling: Sampling {
                kind: SamplerKind::Ddpm,
                steps: 25,
                clip: Clip::Range,
                ..Sampling::default()
            },
            guidance,
            interval: None,
            seed: self.seed,
        };
        let target = self.objective.target;
        Ok(generate(model, &self.schedule, target, &how, &requests)?)
    }

    /// The images of each class that are shown.
    pub fn strip(&self, model: &Dit, classes: usize, tailor: &Tailor<'_>) -> Result<Vec<Image>> {
        self.images(model, classes, self.effort.shown, 2.0, tailor)
    }
}
