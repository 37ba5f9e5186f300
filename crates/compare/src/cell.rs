//! One cell of the comparison: a method on a base with a budget, a rate and a seed, and what is kept of it.

use crate::base::Base;
use crate::config::{Comparison, slug};
use crate::error::{Error, Result};
use learngene_eval::{Rates, metrics::Measure};
use learngene_formats::atomic::write_bytes_atomically;
use learngene_train::{DataConfig, Evaluation, RunConfig};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// The most bytes of what a cell keeps: losses of a million images.
const MOST: u64 = 64 << 20;

/// What training leaves beside the run.
pub(crate) const TRAINED: &str = "training.json";
/// What judging leaves.
pub(crate) const RESULT: &str = "result.json";
/// Digits of the hash in a folder's name.
const SHORT: usize = 8;

/// A place in the comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    /// Number of the row.
    pub row: usize,
    /// Training images of each class; 0 is all.
    pub images: usize,
    /// Seed of the training and the base.
    pub seed: u64,
    /// Factor on the method's rate.
    pub factor: f64,
}

/// Where a cell lies. Its name ends with a hash of all its inputs, so a cell is found again by whoever asks for the same,
/// and a changed comparison leaves the cells of the one before alone.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub name: String,
    pub folder: PathBuf,
    pub inputs: String,
}

impl Place {
    pub fn new(out: &Path, name: &str, inputs: &serde_json::Value) -> Self {
        let inputs = hash(inputs);
        let name = format!("{name}-{}", &inputs[..SHORT]);
        Self {
            folder: out.join("cells").join(&name),
            name,
            inputs,
        }
    }

    /// What a file of the cell says, if it is there, whole and of these inputs.
    pub fn read<T: DeserializeOwned>(&self, file: &str, inputs: &str) -> Option<T> {
        let path = self.folder.join(file);
        let about = std::fs::metadata(&path).ok()?;
        let text =
            (about.is_file() && about.len() <= MOST).then(|| std::fs::read(&path).ok())??;
        let kept: Kept<T> = serde_json::from_slice(&text).ok()?;
        (kept.inputs == inputs).then_some(kept.found)
    }

    /// Writes such a file, whole or not at all, and reads it back: what is shown now is what will be shown next time.
    pub fn write<T: Serialize + DeserializeOwned>(
        &self,
        file: &str,
        inputs: &str,
        found: &T,
    ) -> Result<T> {
        let path = self.folder.join(file);
        let kept = Kept {
            inputs: inputs.into(),
            found,
        };
        let text = serde_json::to_vec_pretty(&kept).map_err(|e| Error::file("write", &path, e))?;
        std::fs::create_dir_all(&self.folder)
            .map_err(|e| Error::file("make the folder of", &path, e))?;
        write_bytes_atomically(&path, &text)?;
        self.read(file, inputs)
            .ok_or_else(|| Error::file("read back", &path, "it is not what was written"))
    }
}

/// A file of a cell.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    /// Hash of everything that decides what is found.
    inputs: String,
    #[serde(flatten)]
    found: T,
}

/// BLAKE3 (hex) of a document.
pub(crate) fn hash(document: &serde_json::Value) -> String {
    blake3::hash(document.to_string().as_bytes())
        .to_hex()
        .to_string()
}

impl Cell {
    /// Everything that decides how the cell is trained, but for the program itself.
    pub fn place(&self, wanted: &Comparison, base: &Base, fingerprint: &str, out: &Path) -> Place {
        let row = &wanted.row[self.row];
        let method = learngene_transfer::method(&row.method).ok();
        // Defaults may change from version to version. Settings that cannot be are refused where the cell is made.
        let settings = method.and_then(|method| {
            learngene_transfer::settings(&base.config.model, method, &row.given()).ok()
        });
        let inputs = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "base": base.identity,
            "base_config": base.inputs(),
            "data": fingerprint,
            "method": row.method,
            "settings": settings.map(|s| s.values().clone()),
            "train": [&wanted.train, &row.train],
            "average": "warmed up",
            "steps": wanted.steps,
            "seed": self.seed,
            "factor": self.factor,
            "rate": method.map(|m| m.rate()),
        });
        let images = match self.images {
            0 => String::new(),
            n => format!("-images{n}"),
        };
        let name = format!(
            "{}{images}-seed{}-lr{}",
            slug(&row.name),
            self.seed,
            self.factor
        );
        Place::new(out, &name, &inputs)
    }

    /// Configuration and start of its run.
    pub fn start(
        &self,
        wanted: &Comparison,
        base: &Base,
        classes: &[String],
        data: &DataConfig,
        device: &burn::tensor::Device,
    ) -> Result<(RunConfig, learngene_nn::Dit)> {
        let row = &wanted.row[self.row];
        let method = learngene_transfer::method(&row.method)?;
        let (mut config, model) = learngene_transfer::adapt(
            &base.config,
            &base.model,
            classes,
            method,
            &row.given(),
            self.seed,
            device,
        )?;
        config.data = data.clone();
        let train = &mut config.train;
        (train.steps, train.lr) = (wanted.steps, method.rate() * self.factor);
        // A kill loses a third of a cell at most, and a cell keeps one checkpoint.
        let third = wanted.steps.div_ceil(3);
        (train.evaluate_every, train.checkpoint_every) = (third, third);
        (train.sample_every, train.keep_last) = (0, 1);
        for table in [&wanted.train, &row.train] {
            if !table.is_empty() {
                let table = toml::Value::Table(table.clone());
                config = config.with_settings([format!("train = {table}").as_str()])?;
            }
        }
        config.validate()?;
        Ok((config, model))
    }
}

/// What training found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trained {
    /// Peak learning rate.
    pub rate: f64,
    /// Images it saw.
    pub images: u64,
    /// Numbers that were trained.
    pub trained_parameters: u64,
    /// Multiply-accumulates of one forward pass of one image, merged if that is possible and cheaper.
    pub macs: u64,
    /// Bytes of the file to pass on to whoever has the base.
    pub ship_bytes: u64,
    /// Wall time of the steps, with validations and checkpoints between them.
    pub seconds: f64,
    /// Losses on the validation images; none if it diverged.
    pub validation: Option<Evaluation>,
    /// Where it diverged.
    pub diverged: Option<String>,
}

/// What judging came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Verdict {
    /// Numbers.
    Judged(Judged),
    /// None: the losses on validation images were numbers, but not this.
    NotFinite {
        /// What is not.
        not_finite: String,
    },
}

/// What judging found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judged {
    /// Losses on the test images.
    pub losses: Evaluation,
    /// v loss of each.
    pub velocity_by_image: Vec<f64>,
    /// Images, a guidance each.
    pub drawn: Vec<Drawn>,
}

/// Images drawn with one guidance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drawn {
    pub guidance: f64,
    /// How often the class probe takes them for their label.
    pub probe: Rates,
    /// Beside the training images.
    pub measured: Measured,
}

/// Images beside the training images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Everything the networks allow.
    pub measures: Vec<Measure>,
    /// What is missing.
    pub missing: Vec<String>,
}

impl Measured {
    /// What makes these numbers say less than they seem to.
    pub fn caveats(&self) -> impl Iterator<Item = String> {
        let of = |measure: &Measure| {
            let line = |caveat| format!("{}: {caveat}", measure.name);
            measure.caveats.iter().map(line).collect::<Vec<_>>()
        };
        let measures = self.measures.iter().flat_map(of);
        measures.chain(self.missing.iter().cloned())
    }
}

/// The bar: what the same judge says of real test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Real {
    pub probe: Rates,
    pub measured: Measured,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_verdict_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "a", &json!({}));
        let evaluation = |velocity| Evaluation {
            draws: 2,
            velocity,
            epsilon: 0.25,
            velocity_by_class: vec![Some(0.5), None],
            velocity_by_image: Vec::new(),
        };
        let judged = Verdict::Judged(Judged {
            losses: evaluation(0.1 + 0.2),
            velocity_by_image: vec![0.25, 0.5],
            drawn: Vec::new(),
        });
        let not_finite = Verdict::NotFinite {
            not_finite: "the loss".into(),
        };
        for verdict in [judged, not_finite] {
            let back = place.write(RESULT, &place.inputs, &verdict).unwrap();
            assert_eq!(back, verdict);
        }
    }

    #[test]
    fn a_file_is_found_again_by_the_same_inputs_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "a", &json!({ "seed": 0 }));
        let other = Place::new(folder.path(), "a", &json!({ "seed": 1 }));
        assert_ne!(place.folder, other.folder);
        let found = Trained {
            rate: 0.1 + 0.2,
            images: 5,
            trained_parameters: 3,
            macs: 2,
            ship_bytes: 1,
            seconds: 0.5,
            validation: None,
            diverged: Some("at step 3".into()),
        };
        assert_eq!(place.read::<Trained>(TRAINED, &place.inputs), None);
        let back = place.write(TRAINED, &place.inputs, &found).unwrap();
        assert_eq!(place.read(TRAINED, &place.inputs), Some(back));
        assert_eq!(place.read::<Trained>(TRAINED, &other.inputs), None);
        let path = place.folder.join(TRAINED);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() / 2]).unwrap();
        assert_eq!(place.read::<Trained>(TRAINED, &place.inputs), None);
    }
}
