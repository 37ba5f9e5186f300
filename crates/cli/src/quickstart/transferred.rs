//! New classes: a transfer and what it changed.

use super::judge::Verdict;
use super::{Judges, Pretrained, swaps};
use crate::failure::Result;
use crate::training;
use burn::module::Module;
use learngene_compare::first_images;
use learngene_data::{Dataset, Image, Split};
use learngene_eval::Rates;
use learngene_train::{DataConfig, Evaluation, Event, Gating, Run, TrainConfig, weights};
use std::path::Path;

/// Tailors trained for new classes.
pub struct Transferred {
    pub classes: Vec<String>,
    pub events: Vec<Event>,
    /// Validation before and after.
    pub losses: [Evaluation; 2],
    /// The first images of each class before anything was trained.
    pub before: Vec<Vec<Image>>,
    /// Real test images of each class.
    pub images: Vec<Vec<Image>>,
    /// For the first drawn image of each class after the transfer, the training image nearest to it.
    pub nearest: Vec<Image>,
    /// What the probe of the new classes says of images after the transfer, guidance 1 and 2.
    pub verdicts: Vec<Verdict>,
    /// That probe on real test images.
    pub real: Rates,
    /// Parameters that were trained.
    pub trained: u64,
    /// Whether everything but tailors and label rows is bit for bit what it was.
    pub learngene_kept: bool,
}

impl Transferred {
    /// Trains tailors of that rank in a run folder and leaves them in a file beside the run.
    pub fn train(
        base: &Pretrained,
        rank: usize,
        (data, novel): (&DataConfig, &Dataset),
        steps: u64,
        folder: &Path,
        judges: &Judges<'_>,
    ) -> Result<Self> {
        let device = base.model.device().autodiff();
        let (lab, classes) = (judges.lab, novel.classes());
        let seed = base.config.train.seed;
        let name = match base.config.model.learngene_rank() {
            Some(_) => "kind",
            None => "gated-tailors",
        };
        let (mut config, start) = learngene_transfer::adapt(
            &base.config,
            &base.model,
            classes,
            learngene_transfer::method(name)?,
            // The paper's: tailors of classes alone.
            &[("rank", rank.to_string()), ("shared", "no".into())]
                .map(|(name, value)| (name.into(), value))
                .into(),
            seed,
            &device,
        )?;
        config.data = data.clone();
        let train = &mut config.train;
        (train.steps, train.evaluate_every) = (steps, steps.div_ceil(5));
        // Few steps: each shows all classes, as the defaults do.
        (train.classes_per_step, train.decay_share) = (None, TrainConfig::default().decay_share);
        let trained = learngene_transfer::trained_parameters(&config);

        let plain = start.valid();
        let before = lab.losses(&plain, novel, Split::Val, Gating::Right)?;
        let shown = judges.effort.shown;
        let before_images = lab.images(&plain, classes.len(), shown, swaps::STRIP, &Some)?;
        let mut events = Vec::new();
        let run = Run::create(folder, config.clone(), start)?;
        let moved = training::train(run, novel, "new tailors", &mut events)
            .map_err(|failure| failure.in_run(folder))?
            .model;
        learngene_transfer::ship(&config, &moved, folder)?;
        let hash = |model| weights::learngene_hash(&weights::of_model(model));
        let verdicts = judges
            .novel
            .own(judges.effort.drawing(lab, &moved, classes.len()))?;
        let drawn = swaps::of(&verdicts, "as trained", swaps::STRIP);
        let first = drawn
            .into_iter()
            .flat_map(|v| &v.shown)
            .flat_map(|images| images.first());
        let first: Vec<Image> = first.cloned().collect();
        Ok(Self {
            classes: classes.to_vec(),
            events,
            losses: [
                before,
                lab.losses(&moved, novel, Split::Val, Gating::Right)?,
            ],
            before: before_images.chunks(shown).map(<[Image]>::to_vec).collect(),
            images: first_images(novel, Split::Test, shown)?,
            nearest: judges.novel.nearest(&first, novel)?,
            verdicts,
            real: judges.novel.real().clone(),
            trained,
            learngene_kept: hash(&base.model) == hash(&moved),
        })
    }
}
