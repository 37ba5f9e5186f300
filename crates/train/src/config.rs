//! The resolved configuration of a run: what `config.toml` holds.

use crate::error::{Error, Result};
use burn::tensor::Device;
use learngene_data::{BatchOrder, ClassSelection, Dataset, LoadOptions, Split};
use learngene_diffusion::{Objective, ScheduleKind};
use learngene_nn::{DitConfig, FactorInit, Mode, Precision, params::Part};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Everything that decides what a run computes, but for the data themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Where the images come from.
    pub data: DataConfig,
    /// How to train.
    #[serde(default)]
    pub train: TrainConfig,
    /// The model.
    pub model: DitConfig,
    /// How factors start.
    #[serde(default)]
    pub init: FactorInit,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Where the start of the model comes from, if it was made from another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
}

/// What made the start of a model from another one. Training does not look at it; whoever reads a file may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Its name.
    pub name: String,
    /// What the other model was: [`crate::weights::learngene_hash`].
    pub base: String,
    /// Every setting it has.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// Where the images come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A built-in pack or a path, as `learngene data inspect` takes.
    pub source: String,
    /// `base`, `novel`, `all` or a list of names with commas.
    #[serde(default = "all")]
    pub classes: String,
    /// Side to crop and resize to; the images' own size if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// 1 or 3; the images' own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// A TOML that merges and picks classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_map: Option<PathBuf>,
    /// Whether images stay where they are and are read for each batch, instead of once into memory.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stream: bool,
    /// Whether a broken image is an error instead of being left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
    /// How many images to keep.
    #[serde(default, skip_serializing_if = "ImagesPerClass::is_all")]
    pub images_per_class: ImagesPerClass,
    /// Of latents: the BLAKE3 of the encoder that made them ([`learngene_data::LatentSpace`]). Absent for images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
}

/// Images kept of each class, evenly spaced in their order; all of a split of which nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagesPerClass {
    /// To train on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<usize>,
    /// To validate on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val: Option<usize>,
    /// To test on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<usize>,
}

impl ImagesPerClass {
    fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

const fn is_false(value: &bool) -> bool {
    !*value
}

fn all() -> String {
    "all".into()
}

impl DataConfig {
    /// All images of a source, as they are.
    pub fn of(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            classes: all(),
            image_size: None,
            channels: None,
            class_map: None,
            stream: false,
            strict: false,
            images_per_class: ImagesPerClass::default(),
            encoder: None,
        }
    }

    /// Reads the data set. If an encoder is named, it must be latents of that one.
    pub fn load(&self) -> Result<Dataset> {
        let selection: ClassSelection = self.classes.parse()?;
        let options = LoadOptions {
            image_size: self.image_size,
            channels: self.channels,
            class_map: self.class_map.clone(),
            stream: self.stream,
            strict: self.strict,
        };
        let mut dataset = Dataset::load(&self.source, &selection, &options)?;
        let found = dataset.latent_space().map(|space| &space.encoder);
        if self.encoder.is_some() && self.encoder.as_ref() != found {
            let found = found.map_or("images", String::as_str);
            let message = format!(
                "{} holds {found}, not latents of the encoder {}: encode the images with the autoencoder that the model \
                 was trained with",
                self.source,
                self.encoder.as_deref().unwrap_or_default()
            );
            return Err(Error::Config {
                path: None,
                message,
            });
        }
        let ImagesPerClass { train, val, test } = self.images_per_class;
        for (split, count) in [
            (Split::Train, train),
            (Split::Val, val),
            (Split::Test, test),
        ] {
            if let Some(count) = count {
                dataset = dataset.with_images(split, count)?;
            }
        }
        Ok(dataset)
    }
}

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
    /// Terms and bottlenecks.
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
    /// What is added to a frozen model: tailors, terms, bottlenecks and label rows.
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
    /// Images of each class in a batch; 0 for plain shuffled batches.
    pub per_class: usize,
    /// Images with the null label in a stratified batch.
    pub null: usize,
    /// Classes in a stratified batch; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes_per_step: Option<usize>,
    /// Images in a plain batch.
    pub batch: usize,
    /// Share of a plain batch that gets the null label.
    pub label_drop: f64,
    /// Share of the labelled images whose gate stays closed while their label stays: what an image needs of its class and
    /// the label can say has to be in the learngene too.
    pub gate_dropout: f64,
    /// Share of the labelled images whose label is hidden, the null row in its place, while their tailors stay on: what
    /// an image needs of its class has to be in its tailors.
    pub hide_label: f64,
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
    /// Checkpoints kept besides the best.
    pub keep_last: usize,
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
            per_class: 3,
            null: 3,
            classes_per_step: None,
            batch: 32,
            label_drop: 0.1,
            gate_dropout: 0.0,
            thin_learngene: 0.0,
            hide_label: 0.0,
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
        }
    }
}

impl TrainConfig {
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

    /// Refuses settings nothing could be trained with.
    pub fn validate(&self) -> Result<()> {
        let unit = |x: f64| (0.0..1.0).contains(&x);
        let positive = |x: f64| x > 0.0 && x.is_finite();
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

/// Refuses a precision that a device does not compute in.
///
/// # Errors
/// bf16 without AVX512-BF16.
pub fn require_precision(precision: Precision, device: &Device) -> Result<()> {
    if precision.is_available(device) {
        return Ok(());
    }
    let message = "precision is bf16, which takes a CPU with AVX512-BF16; this device computes in f32: use --precision \
         f32, or `train.precision = \"f32\"` in the config.toml of a run to resume";
    Err(Error::Config {
        path: None,
        message: message.into(),
    })
}

impl RunConfig {
    /// Whether the model makes latents, of which an autoencoder makes images.
    pub fn makes_latents(&self) -> bool {
        self.data.encoder.is_some() || !matches!(self.model.input[0], 1 | 3)
    }

    /// Reads a `config.toml`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::Folder {
            path: path.into(),
            message: format!("cannot be read ({e}); a run folder holds one"),
        })?;
        parse(&text, Some(path))
    }

    /// The text of `config.toml`.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|e| Error::Config {
            path: None,
            message: e.to_string(),
        })
    }

    /// This configuration with `section.key=value` settings laid over it; an unknown key is an error that names the
    /// nearest known one.
    pub fn with_settings<'a>(&self, settings: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut text = self.to_toml()?;
        for setting in settings {
            text = lay_over(&text, setting)?;
        }
        parse(&text, None)
    }

    /// This configuration with the sections of a TOML file laid over it.
    pub fn with_file(&self, path: &Path) -> Result<Self> {
        let bad = |message: String| Error::Config {
            path: Some(path.into()),
            message,
        };
        let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        let over: toml::Table = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let mut base: toml::Table =
            toml::from_str(&self.to_toml()?).map_err(|e| bad(e.to_string()))?;
        merge(&mut base, over);
        parse(&base.to_string(), Some(path))
    }
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(over)) => merge(inner, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn lay_over(text: &str, setting: &str) -> Result<String> {
    let bad = |message: String| Error::Config {
        path: None,
        message,
    };
    let (key, value) = setting
        .split_once('=')
        .ok_or_else(|| bad(format!("`{setting}` is not of the form section.key=value")))?;
    let as_is = format!("{key} = {value}");
    let over: toml::Table = toml::from_str(&as_is)
        .or_else(|_| toml::from_str(&format!("{key} = {value:?}")))
        .map_err(|e| bad(format!("`{setting}`: {e}")))?;
    let mut base: toml::Table = toml::from_str(text).map_err(|e| bad(e.to_string()))?;
    merge(&mut base, over);
    Ok(base.to_string())
}

fn parse(text: &str, path: Option<&Path>) -> Result<RunConfig> {
    let config: RunConfig = toml::from_str(text).map_err(|e| Error::Config {
        path: path.map(Into::into),
        message: with_nearest(&e.to_string()),
    })?;
    config.model.validate()?;
    config.train.validate()?;
    Ok(config)
}

/// Adds the nearest known key to serde's "unknown field `x`, expected one of `a`, `b`".
pub fn with_nearest(message: &str) -> String {
    let Some(at) = message.find("unknown field") else {
        return message.into();
    };
    let names: Vec<&str> = message[at..].split('`').skip(1).step_by(2).collect();
    let Some((unknown, known)) = names.split_first() else {
        return message.into();
    };
    let nearest = known.iter().min_by_key(|k| strsim::levenshtein(unknown, k));
    match nearest {
        Some(nearest) => format!("{}; did you mean `{nearest}`?", message.trim_end()),
        None => message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RunConfig {
        RunConfig {
            data: DataConfig {
                classes: "base".into(),
                ..DataConfig::of("builtin:emoji")
            },
            train: TrainConfig::default(),
            model: DitConfig::from_size("dit-micro/4", [3, 32, 32], 12).unwrap(),
            init: FactorInit::default(),
            classes: vec!["a".into()],
            method: None,
        }
    }

    #[test]
    fn a_config_is_read_back_as_written() {
        let text = config().to_toml().unwrap();
        assert_eq!(parse(&text, None).unwrap(), config());
    }

    #[test]
    fn settings_override_and_unknown_keys_name_the_nearest() {
        let set = config()
            .with_settings(["train.lr=3e-4", "train.decay=cosine"])
            .unwrap();
        assert_eq!((set.train.lr, set.train.decay), (3e-4, Decay::Cosine));
        let text = config()
            .with_settings(["train.warmpu=3"])
            .unwrap_err()
            .to_string();
        assert!(text.contains("did you mean `warmup`"), "{text}");
        let text = config()
            .with_settings(["train.steps=0"])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("`train.steps` is 0, expected at least 1"),
            "{text}"
        );
    }
}
