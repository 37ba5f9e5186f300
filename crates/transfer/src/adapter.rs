//! What a method trained, apart from what it was trained on.

use crate::adapt::adapt;
use crate::error::{Error, Result};
use crate::methods::{Method, method};
use crate::superclasses::add_superclasses;
use burn::tensor::Device;
use learngene_formats::{FormatError, Kind, WeightFile};
use learngene_nn::{
    Dit,
    params::{self, Layout},
};
use learngene_train::{
    self as train, RunConfig,
    weights::{self, Parameters},
};
use std::path::{Path, PathBuf};

/// Name of the labels, which are new whatever trains.
const LABELS: &str = "label.table";

/// Everything that trained, the label table, and the identity of the base.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    path: PathBuf,
    config: RunConfig,
    made: train::Method,
    values: Parameters,
}

impl Adapter {
    /// That of a model that [`adapt`] started; none for another one.
    pub fn of(config: &RunConfig, model: &Dit, path: impl Into<PathBuf>) -> Option<Self> {
        let mut values = params::values(model);
        let kept = Self::layout(config);
        values.retain(|name, _| kept.contains_key(name));
        Some(Self {
            path: path.into(),
            config: config.clone(),
            made: config.method.clone()?,
            values,
        })
    }

    /// Reads a file of kind adapter, strictly: every tensor, and nothing else.
    ///
    /// # Errors
    /// A damaged file, one of another kind, or one whose tensors are not those its configuration implies.
    pub fn read(path: &Path) -> Result<Self> {
        let file = WeightFile::read(path)?;
        file.require_kind(Kind::Adapter)?;
        let config = weights::config_of(&file.header, path)?;
        file.check_strict(&Self::layout(&config))?;
        let made = config.method.clone().ok_or_else(|| FormatError::Metadata {
            path: path.into(),
            key: "config".into(),
            reason: "it names no method".into(),
        })?;
        Ok(Self {
            path: path.into(),
            config,
            made,
            values: weights::parameters(file.tensors),
        })
    }

    /// Writes a file of kind adapter, whole or not at all.
    ///
    /// # Errors
    /// A folder that is not there or not writable, a full disk.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut file = weights::file(Kind::Adapter, &self.config, weights::lent(&self.values));
        file.header.learngene = Some(self.made.base.clone());
        Ok(file.write(path)?)
    }

    /// The method that trained it.
    ///
    /// # Errors
    /// One that this program does not have.
    pub fn method(&self) -> Result<&'static dyn Method> {
        method(&self.made.name)
    }

    /// Numbers in the file.
    pub fn numbers(&self) -> usize {
        self.values.values().map(|v| v.values.len()).sum()
    }

    /// The adapted model, made of its base again.
    ///
    /// # Errors
    /// Another base than it was trained on, or one that computes in another way.
    pub fn attach(
        &self,
        base: &RunConfig,
        model: &Dit,
        device: &Device,
    ) -> Result<(RunConfig, Dit)> {
        let hash = weights::learngene_hash(&weights::of_model(model));
        if hash != self.made.base {
            return Err(FormatError::Learngene {
                path: self.path.clone(),
                expected: hash,
                found: self.made.base.clone(),
            }
            .into());
        }
        let (classes, method) = (&self.config.classes, self.method()?);
        let mut settings = self.made.settings.clone();
        if method.settings().iter().any(|s| s.name == "shared") {
            // Before there was this setting, no tailor was shared.
            settings.entry("shared".into()).or_insert("no".into());
        }
        let seed = self.config.train.seed;
        let start = adapt(base, model, classes, method, &settings, seed, device)?;
        let superclasses = self.config.model.superclasses.clone();
        let (made, start) = add_superclasses((base, model), start, superclasses)?;
        // None of the base's settings shows in the shape of a tensor, so the hash does not see them all.
        let setting = |what, found: String, expected: String| Error::Setting {
            path: self.path.clone(),
            what,
            found,
            expected,
        };
        let (ours, theirs) = (&self.config, &made);
        if ours.model != theirs.model {
            let [found, expected] = [ours, theirs].map(|c| format!("{:?}", c.model));
            return Err(setting("model", found, expected));
        }
        let diffusion = |c: &RunConfig| {
            let train = &c.train;
            format!(
                "{:?}, {} steps, {:?}",
                train.schedule, train.diffusion_steps, train.objective.target
            )
        };
        if diffusion(ours) != diffusion(theirs) {
            return Err(setting("diffusion", diffusion(ours), diffusion(theirs)));
        }
        Ok((ours.clone(), params::replace(start, self.values.clone())?))
    }
}

impl Adapter {
    /// Name and shape of every tensor in the file: what trains, and the labels.
    pub fn layout(config: &RunConfig) -> Layout {
        let mut layout = params::layout(&config.model);
        layout.retain(|name, _| name == LABELS || config.train.trainable.factor(name) > 0.0);
        layout
    }
}
