//! Tailors apart from their learngene: what a transfer leaves for others to attach.

use crate::error::{Error, Result};
use learngene_formats::{FormatError, Kind, WeightFile};
use learngene_nn::{
    Dit, NORM_EPS, Superclass,
    params::{self, Layout, Part},
};
use learngene_train::{
    RunConfig,
    weights::{self, Parameters},
};
use std::fmt::Debug;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Name of the label rows in a tailor file: the table without its null row, which belongs to the learngene.
const LABEL_ROWS: &str = "label.rows";

/// The tailors and label rows of some classes, the tailors of their superclasses, and the identity of the learngene they
/// were trained with.
#[derive(Clone, Debug, PartialEq)]
pub struct TailorSet {
    path: PathBuf,
    config: RunConfig,
    learngene: String,
    values: Parameters,
}

impl TailorSet {
    /// Those of a model. `path` is where it came from, for errors.
    pub fn of(config: &RunConfig, model: &Dit, path: impl Into<PathBuf>) -> Self {
        let learngene = weights::learngene_hash(&weights::of_model(model));
        let own = |name: &str| matches!(Part::of(name), Part::Tailors | Part::Labels);
        let mut values = params::values_of(model, own);
        let labels = values.remove("label.table");
        if let Some(mut rows) = labels {
            rows.shape[0] -= 1;
            rows.values.truncate(rows.shape.iter().product());
            values.insert(LABEL_ROWS.into(), rows);
        }
        Self {
            path: path.into(),
            config: config.clone(),
            learngene,
            values,
        }
    }

    /// Reads a file of kind tailor, strictly: every tensor, and nothing else.
    ///
    /// # Errors
    /// A damaged file, one of another kind, or one whose tensors are not those its configuration implies.
    pub fn read(path: &Path) -> Result<Self> {
        let file = WeightFile::read(path)?;
        file.require_kind(Kind::Tailor)?;
        let config = weights::config_of(&file.header, path)?;
        file.check_strict(&Self::layout(&config))?;
        let learngene = file.header.learngene.clone();
        Ok(Self {
            path: path.into(),
            config,
            learngene: learngene.ok_or_else(|| FormatError::Metadata {
                path: path.into(),
                key: "learngene_blake3".into(),
                reason: "it is missing".into(),
            })?,
            values: weights::parameters(file.tensors),
        })
    }

    /// Writes a file of kind tailor, whole or not at all.
    ///
    /// # Errors
    /// A folder that is not there or not writable, a full disk.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut file = weights::file(Kind::Tailor, &self.config, weights::lent(&self.values));
        file.header.learngene = Some(self.learngene.clone());
        Ok(file.write(path)?)
    }

    /// Where it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its classes, in the order of its tailors.
    pub fn classes(&self) -> &[String] {
        &self.config.classes
    }

    /// `N_T`: components of each of its tailors; 0 for a model that has label rows only.
    pub fn rank(&self) -> usize {
        self.config.model.tailor_rank
    }

    /// Checks that these tailors go with the learngene of `base` and run there as they did in training.
    ///
    /// # Errors
    /// Another learngene, or a setting of the model or its diffusion that differs.
    pub fn require_same_learngene(&self, base: &Self) -> Result<()> {
        if self.learngene != base.learngene {
            return Err(FormatError::Learngene {
                path: self.path.clone(),
                expected: base.learngene.clone(),
                found: self.learngene.clone(),
            }
            .into());
        }
        let (a, b) = (&self.config, &base.config);
        // None of these shows in the shape of a shared tensor, so the hash does not see them.
        self.same("number of attention heads", a.model.heads, b.model.heads)?;
        self.same("input", a.model.input, b.model.input)?;
        self.same("code of times", a.model.time_code, b.model.time_code)?;
        let eps = [a, b].map(|c| c.model.mlp_norm_eps.unwrap_or(NORM_EPS));
        self.same("epsilon of the norm before the MLP", eps[0], eps[1])?;
        self.same("schedule", a.train.schedule, b.train.schedule)?;
        let steps = [a, b].map(|c| c.train.diffusion_steps);
        self.same("number of diffusion steps", steps[0], steps[1])?;
        let targets = [a, b].map(|c| c.train.objective.target);
        self.same("target", targets[0], targets[1])
    }

    fn same<T: PartialEq + Debug>(&self, what: &'static str, found: T, expected: T) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        Err(Error::Setting {
            path: self.path.clone(),
            what,
            found: format!("{found:?}"),
            expected: format!("{expected:?}"),
        })
    }

    /// Its superclasses and their classes.
    pub fn superclasses(&self) -> &[Superclass] {
        &self.config.model.superclasses
    }

    /// The rows of a parameter that belong to class number `class`: `N_T` components, or its label row.
    pub(crate) fn rows(&self, parameter: &str, class: usize) -> &[f32] {
        match Part::of(parameter) {
            Part::Labels => self.blocks(LABEL_ROWS, class..class + 1, self.classes().len()),
            _ => self.blocks(parameter, class..class + 1, self.config.model.groups),
        }
    }

    /// The components of the tailors of superclass number `superclass`.
    pub(crate) fn superclass_rows(&self, parameter: &str, superclass: usize) -> &[f32] {
        let model = &self.config.model;
        let groups = model.groups_of_superclass(superclass);
        self.blocks(parameter, groups, model.groups)
    }

    /// Some of `count` equal blocks of rows.
    fn blocks(&self, stored: &str, some: Range<usize>, count: usize) -> &[f32] {
        let Some(value) = self.values.get(stored) else {
            return &[];
        };
        let size = value.values.len() / count.max(1);
        &value.values[some.start * size..some.end * size]
    }
}

impl TailorSet {
    /// Name and shape of every tensor in the tailor file of that configuration.
    pub fn layout(config: &RunConfig) -> Layout {
        let mut layout = params::layout(&config.model);
        layout.retain(|name, _| Part::of(name) == Part::Tailors);
        let rows = vec![config.model.num_classes, config.model.hidden];
        layout.insert(LABEL_ROWS.into(), rows);
        layout
    }
}
