//! The section `[train]`.

use crate::error::{Error, Result};
use learngene_data::BatchOrder;
use learngene_diffusion::{Objective, ScheduleKind};
use learngene_nn::{DitConfig, Mode, Precision, params::Part};
use serde::{Deserialize, Serialize};

/// The most steps of a run.
const MAX_STEPS: u64 = 1 << 40;
/// The most images of a step, of each class of it, or parts of it.
const MAX_IMAGES: u64 = 1 << 24;

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// It stays.
    None,
    /// Linearly to zero over the last [`TrainConfig::decay_share`] of the steps.
    #[default]
    Linear,
    /// Along half a cosine to zero over the last [`TrainConfig::decay_share`] of the steps.
    Cosine,
}

/// Learning-rate factors of the parts of a model; zero freezes a part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trainable {
    /// Learngene components.
    pub learngene: f64,
    /// Tailors.
    pub tailors: f64,
    /// The sigmas of tailors; as tailors if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tailor_sigmas: Option<f64>,
    /// Label rows.
    pub labels: f64,
    /// Terms, bottlenecks and prompts.
    pub adapters: f64,
    /// Biases; as the rest if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub biases: Option<f64>,
    /// adaLN, embeddings, dense matrices, output.
    pub rest: f64,
}

impl Default for Trainable {
    fn default() -> Self {
        Self {
            learngene: 1.0,
            tailors: 1.0,
            tailor_sigmas: None,
            labels: 1.0,
            adapters: 1.0,
            biases: None,
            rest: 1.0,
        }
    }
}

impl Trainable {
    /// What is added to a frozen model: tailors, terms, bottlenecks, prompts and label rows.
    pub fn added_only() -> Self {
        Self {
            learngene: 0.0,
            rest: 0.0,
            ..Self::default()
        }
    }

    /// The largest factor, or NaN if one is negative or no number.
    fn largest(&self) -> f64 {
        let given = [self.tailor_sigmas, self.biases];
        let all = [
            self.learngene,
            self.tailors,
            self.labels,
            self.adapters,
            self.rest,
        ];
        let all: Vec<f64> = given.into_iter().flatten().chain(all).collect();
        match all.iter().all(|f| f.is_finite() && *f >= 0.0) {
            true => all.into_iter().fold(0.0, f64::max),
            false => f64::NAN,
        }
    }

    /// The factor of a parameter.
    pub fn factor(&self, name: &str) -> f64 {
        match Part::of(name) {
            Part::Learngene => self.learngene,
            Part::Tailors if name.ends_with(".s") => self.tailor_sigmas.unwrap_or(self.tailors),
            Part::Tailors => self.tailors,
            Part::Labels => self.labels,
            Part::Adapters => self.adapters,
            Part::Fixed => 0.0,
            Part::Biases => self.biases.unwrap_or(self.rest),
            Part::Rest => self.rest,
        }
    }
}

/// How to train. The defaults are those that worked at small scale for `dit-nano/4`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Optimiser steps.
    pub steps: u64,
    /// Peak learning rate.
    pub lr: f64,
    /// Steps over which the learning rate rises from zero.
    pub warmup: u64,
    /// How it falls at the end.
    pub decay: Decay,
    /// Share of the steps over which it falls.
    pub decay_share: f64,
    /// AdamW's decay of the two moments.
    pub betas: [f64; 2],
    /// AdamW's epsilon.
    pub eps: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient; 0 for none.
    pub clip: f64,
    /// Decay of the moving average of the weights.
    pub ema: f64,
    /// Whether that decay rises at the start, as `min(ema, (1 + n) / (10 + n))` in step n counted from 0, so that the average
    /// of a short run is not that of its random start. Absent, as in files older than this setting: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_warmup: Option<bool>,
    /// Images of each class in a batch; 0 for plain shuffled batches.
    pub per_class: usize,
    /// Images with the null label in a stratified batch.
    pub null: usize,
    /// Classes in a stratified batch; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes_per_step: Option<usize>,
    /// Images in a batch: of plain batches what is set, of stratified ones what follows from the three settings above and
    /// the number of classes, which a run writes here.
    pub batch: usize,
    /// Share of a plain batch that gets the null label.
    pub label_drop: f64,
    /// Share of the labelled images whose gate stays closed while their label stays: what an image needs of its class and
    /// the label can say has to be in the learngene too.
    pub gate_dropout: f64,
    /// Share of the labelled images whose label is hidden, the null row in its place, while their tailors stay on: what
    /// an image needs of its class has to be in its tailors.
    pub hide_label: f64,
    /// Weight of a loss on what labels say without tailors: the mean squared distance between what the model predicts of an
    /// image under its label with no tailor and what it predicts under the null label, which is the goal and stays. What a
    /// class needs has then to be in its tailor, and the null branch knows no more than the learngene. A step takes about
    /// twice as long. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_pressure: Option<f64>,
    /// Share of the steps in which only the first components of every learngene run, from an eighth of them to all but one,
    /// as many as falls (nested dropout, Rippel et al., arXiv 1402.0915). Components then come to stand in the order of
    /// their use, and `assemble` and `curve` leave out the last instead of those of least energy.
    pub thin_learngene: f64,
    /// Parts a batch is computed in, to save memory; the sum is that of the whole batch.
    pub accumulate: usize,
    /// Whether the backward pass on the CPU computes what lies inside a block again instead of keeping it: less memory,
    /// more time, the same weights to the bit.
    pub recompute: bool,
    /// What the products of the blocks round their factors to, `f32` (nothing) or `bf16`: less time where the processor
    /// has AVX512-BF16, and less still with AMX. Weights, sums, norms, softmax, losses, optimiser and validation stay in 32
    /// bits.
    pub precision: Precision,
    /// Whether images are mirrored at random.
    pub flip: bool,
    /// Seed of everything random.
    pub seed: u64,
    /// Noise schedule.
    pub schedule: ScheduleKind,
    /// Steps of the noise schedule.
    pub diffusion_steps: usize,
    /// What is predicted and how errors are weighed.
    pub objective: Objective,
    /// What trains, and how fast.
    pub trainable: Trainable,
    /// Steps between step events; 0 for the end only.
    pub log_every: u64,
    /// Steps between validations; 0 for the end only.
    pub evaluate_every: u64,
    /// Steps between checkpoints; 0 for the end only.
    pub checkpoint_every: u64,
    /// Steps between sample grids; 0 for none.
    pub sample_every: u64,
    /// Checkpoints kept besides the best, which is the one of the lowest validation loss among those saved with one.
    pub keep_last: usize,
    /// Whether a validation that is better than all before saves a checkpoint even where none is due.
    #[serde(skip_serializing_if = "is_false")]
    pub best: bool,
    /// Validations in a row that are no better than the best before them, after which training stops early; absent for
    /// never. Saves as `best` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 1000,
            lr: 1.5e-3,
            warmup: 50,
            decay: Decay::Linear,
            decay_share: 0.3,
            betas: [0.9, 0.99],
            eps: 1e-8,
            weight_decay: 0.0,
            clip: 1.0,
            ema: 0.995,
            ema_warmup: Some(true),
            per_class: 3,
            null: 3,
            classes_per_step: None,
            batch: 32,
            label_drop: 0.1,
            gate_dropout: 0.0,
            hide_label: 0.0,
            null_pressure: None,
            thin_learngene: 0.0,
            accumulate: 1,
            recompute: false,
            precision: Precision::F32,
            flip: false,
            seed: 0,
            schedule: ScheduleKind::Cosine,
            diffusion_steps: 1000,
            objective: Objective::default(),
            trainable: Trainable::default(),
            log_every: 10,
            evaluate_every: 250,
            checkpoint_every: 250,
            sample_every: 0,
            keep_last: 2,
            best: false,
            patience: None,
        }
    }
}

const fn is_false(value: &bool) -> bool {
    !*value
}

impl TrainConfig {
    /// Whether a validation that is the best so far saves a checkpoint.
    pub fn saves_best(&self) -> bool {
        self.best || self.patience.is_some()
    }

    /// How the blocks compute in a training step.
    pub fn mode(&self) -> Mode {
        Mode {
            recompute: self.recompute,
            precision: self.precision,
        }
    }

    /// How batches are put together.
    pub fn order(&self) -> BatchOrder {
        match self.per_class {
            0 => BatchOrder::Plain {
                batch: self.batch,
                label_drop: self.label_drop,
            },
            per_class => BatchOrder::Stratified {
                per_class,
                null: self.null,
                classes_per_step: self.classes_per_step,
            },
        }
    }

    /// Refuses settings with which no model of that shape could be trained.
    ///
    /// # Errors
    /// The first such setting, and what would be right.
    pub fn validate_for(&self, model: &DitConfig) -> Result<()> {
        self.validate()?;
        if self.null_pressure.is_some() && model.groups == 0 {
            return Err(Error::Config {
                path: None,
                message: "`train.null_pressure` is set for a model without tailors, in which it would take all that labels \
                          say: leave it out, or give the model tailors (--rank-split)"
                    .into(),
            });
        }
        Ok(())
    }

    /// Refuses settings nothing could be trained with.
    pub fn validate(&self) -> Result<()> {
        let unit = |x: f64| (0.0..1.0).contains(&x);
        let positive = |x: f64| x > 0.0 && x.is_finite();
        // So far beyond use that numbers of samples, which are products of these, stay below 2^64.
        for (name, found, most) in [
            ("steps", self.steps, MAX_STEPS),
            ("batch", self.batch as u64, MAX_IMAGES),
            ("per_class", self.per_class as u64, MAX_IMAGES),
            ("null", self.null as u64, MAX_IMAGES),
            ("accumulate", self.accumulate as u64, MAX_IMAGES),
        ] {
            if found > most {
                let message = format!("`train.{name}` is {found}, expected at most {most}");
                return Err(Error::Config {
                    path: None,
                    message,
                });
            }
        }
        for (good, name, found, expected) in [
            (self.steps > 0, "steps", self.steps as f64, "at least 1"),
            (
                positive(self.lr),
                "lr",
                self.lr,
                "a positive number such as 1.5e-3",
            ),
            (
                unit(self.betas[0]),
                "betas[0]",
                self.betas[0],
                "from 0 to below 1",
            ),
            (
                unit(self.betas[1]),
                "betas[1]",
                self.betas[1],
                "from 0 to below 1",
            ),
            (positive(self.eps), "eps", self.eps, "a positive number"),
            (unit(self.ema), "ema", self.ema, "from 0 to below 1"),
            (
                self.clip >= 0.0,
                "clip",
                self.clip,
                "0 (none) or a positive norm",
            ),
            (
                self.weight_decay >= 0.0,
                "weight_decay",
                self.weight_decay,
                "0 or more",
            ),
            (
                self.accumulate > 0,
                "accumulate",
                self.accumulate as f64,
                "at least 1",
            ),
            (
                self.patience != Some(0),
                "patience",
                0.0,
                "at least 1 validation, or no such line",
            ),
            (
                self.patience.is_none() || self.evaluate_every > 0,
                "evaluate_every",
                0.0,
                "at least 1, since `train.patience` counts validations",
            ),
            (
                self.keep_last > 0,
                "keep_last",
                self.keep_last as f64,
                "at least 1",
            ),
            (
                (0.0..=1.0).contains(&self.gate_dropout),
                "gate_dropout",
                self.gate_dropout,
                "0 to 1",
            ),
            (
                (0.0..=1.0).contains(&self.hide_label),
                "hide_label",
                self.hide_label,
                "0 to 1",
            ),
            (
                self.null_pressure.is_none_or(positive),
                "null_pressure",
                self.null_pressure.unwrap_or_default(),
                "a positive weight such as 0.1",
            ),
            (
                (0.0..=1.0).contains(&self.thin_learngene),
                "thin_learngene",
                self.thin_learngene,
                "0 to 1",
            ),
            (
                (0.0..=1.0).contains(&self.decay_share),
                "decay_share",
                self.decay_share,
                "0 to 1",
            ),
            (
                positive(self.trainable.largest()),
                "trainable",
                self.trainable.largest(),
                "factors of 0 or more, at least one above 0",
            ),
        ] {
            if !good {
                let message = format!("`train.{name}` is {found}, expected {expected}");
                return Err(Error::Config {
                    path: None,
                    message,
                });
            }
        }
        Ok(())
    }
}
