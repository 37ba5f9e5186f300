//! The resolved configuration of a run: what `config.toml` holds.

mod data;
mod training;

use crate::error::{Error, Result};
use burn::tensor::Device;
pub use data::{DataConfig, ImagesPerClass};
use learngene_formats::read_text;
use learngene_nn::{DitConfig, FactorInit, Precision};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
pub use training::{Decay, TrainConfig, Trainable};

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

    /// What its losses are losses of; where two models differ in this, their losses do not compare.
    pub fn task(&self) -> String {
        let train = &self.train;
        let latents = self.data.encoder.as_ref().map_or(String::new(), |encoder| {
            format!(
                ", latents of the encoder {}",
                encoder.get(..12).unwrap_or(encoder)
            )
        });
        format!(
            "inputs of {:?} (channels, height, width){latents} with a {} schedule of {} steps, target {:?}",
            self.model.input, train.schedule, train.diffusion_steps, train.objective.target
        )
    }

    /// Refuses what nothing could be trained with.
    ///
    /// # Errors
    /// A shape, settings, or settings that this shape has no use for.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        self.train.validate_for(&self.model)
    }

    /// Reads a `config.toml`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path).map_err(|e| Error::Folder {
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
        let text = read_text(path).map_err(|e| bad(e.to_string()))?;
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
    config.validate()?;
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
