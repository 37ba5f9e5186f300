//! The models that are adapted, and whether they may stand side by side.

use crate::config::Comparison;
use crate::error::Error;
use crate::host::Host;
use learngene_formats::{Checkpoints, fingerprint_of};
use learngene_nn::{Dit, cost};
use learngene_train::{RunConfig, TrainConfig, weights};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A base that is open.
pub(crate) struct Base {
    pub config: RunConfig,
    pub model: Dit,
    /// BLAKE3 of every tensor.
    pub identity: String,
}

impl Base {
    /// What decides what becomes of it, besides its weights.
    pub fn inputs(&self) -> serde_json::Value {
        deviations(&self.config)
    }
}

/// A configuration without the settings of training that are at their defaults, so that a setting which is new in this
/// program makes no cell anew.
fn deviations(config: &RunConfig) -> serde_json::Value {
    let mut config = serde_json::json!(config);
    let defaults = serde_json::json!(TrainConfig::default());
    if let Some(train) = config["train"].as_object_mut() {
        train.retain(|key, value| defaults.get(key) != Some(value));
    }
    config
}

/// What a base cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pretraining {
    /// Name of the base.
    pub base: String,
    /// Its path, with `{seed}`.
    pub path: String,
    /// Steps of its training.
    pub steps: u64,
    /// Images it saw.
    pub images: u64,
    /// Multiply-accumulates of one forward pass of one image.
    pub macs: u64,
    /// Stored parameters.
    pub parameters: u64,
}

/// Bases by name and seed.
pub(crate) type Bases = BTreeMap<(String, u64), Base>;

/// Opens what rows name, and checks that losses on them can be compared.
pub(crate) fn open<H: Host>(wanted: &Comparison, host: &mut H) -> Result<Bases, H::Failure> {
    let mut bases = Bases::new();
    for row in &wanted.row {
        for &seed in &wanted.seeds {
            let key = (row.base.clone(), seed);
            if bases.contains_key(&key) {
                continue;
            }
            let path = wanted.path_of(&row.base, seed);
            let (config, model) = host.model(Path::new(&path))?;
            require_finished(&path, &config)?;
            let identity = fingerprint_of(&weights::of_model(&model));
            bases.insert(
                key,
                Base {
                    config,
                    model,
                    identity,
                },
            );
        }
    }
    let first = bases.iter().next();
    for ((name, seed), base) in &bases {
        let Some(((first_name, _), first)) = first else {
            continue;
        };
        let (found, expected) = (base.config.task(), first.config.task());
        if found != expected {
            let message = format!(
                "it takes {found}, `{first_name}` takes {expected}: losses of such models differ in meaning; pre-train both \
                 alike"
            );
            return Err(Error::unfit(format!("base `{name}` (seed {seed})"), message).into());
        }
    }
    Ok(bases)
}

/// A run that is not at its end would be compared as if it were.
fn require_finished(path: &str, config: &RunConfig) -> crate::Result<()> {
    let checkpoints = Path::new(path).join("checkpoints");
    if !checkpoints.is_dir() {
        return Ok(());
    }
    let newest = Checkpoints::at(checkpoints).latest()?.checkpoint;
    let (done, steps) = (newest.map_or(0, |c| c.step()), config.train.steps);
    if done < steps && !stopped_early(Path::new(path), done) {
        let message =
            format!("it is at step {done} of {steps}; finish it with `learngene resume {path}`");
        return Err(Error::unfit(format!("base {path}"), message));
    }
    Ok(())
}

/// Whether a run ended by itself after that step, as `train.patience` asked.
fn stopped_early(run: &Path, step: u64) -> bool {
    let text = std::fs::read_to_string(run.join("events.jsonl")).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut ends = lines.filter(|event| event["event"] == "stopped-early");
    ends.any(|event| event["step"] == step)
}

/// What each base cost, and what is unequal about it.
pub(crate) fn pretraining(wanted: &Comparison, bases: &Bases) -> (Vec<Pretraining>, Vec<String>) {
    let mut found: Vec<Pretraining> = Vec::new();
    let mut caveats = Vec::new();
    for ((name, seed), base) in bases {
        let (train, model) = (&base.config.train, &base.config.model);
        let per_step = match train.per_class {
            0 => train.batch,
            each => each * train.classes_per_step.unwrap_or(model.num_classes) + train.null,
        };
        let plan = cost::plan(model).total;
        let this = Pretraining {
            base: name.clone(),
            path: wanted.base.get(name).cloned().unwrap_or_default(),
            steps: train.steps,
            images: train.steps * per_step as u64,
            macs: plan.macs,
            parameters: plan.parameters,
        };
        match found.iter().find(|other| other.base == *name) {
            Some(other) if *other != this => caveats.push(format!(
                "base `{name}` is not the same for every seed: seed {seed} has {} steps, {} images, {} parameters",
                this.steps, this.images, this.parameters
            )),
            Some(_) => {}
            None => found.push(this),
        }
    }
    let budgets = |p: &Pretraining| (p.steps, p.images);
    if let Some(first) = found.first() {
        for other in found.iter().filter(|p| budgets(p) != budgets(first)) {
            caveats.push(format!(
                "unequal pre-training: `{}` saw {} images in {} steps, `{}` {} in {}",
                first.base, first.images, first.steps, other.base, other.images, other.steps
            ));
        }
    }
    for name in found.iter().map(|p| &p.base) {
        if wanted.seeds.len() > 1 && wanted.is_one_for_all(name) {
            caveats.push(format!(
                "base `{name}` is one pre-training for all seeds: deviations do not hold that of pre-training"
            ));
        }
    }
    (found, caveats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use learngene_nn::{DitConfig, FactorInit};
    use learngene_train::DataConfig;

    #[test]
    fn settings_at_their_defaults_decide_nothing_and_others_do() {
        let of = |train: TrainConfig| {
            deviations(&RunConfig {
                data: DataConfig::of("builtin:emoji"),
                train,
                model: DitConfig::from_size("dit-micro/4", [3, 32, 32], 2).unwrap(),
                init: FactorInit::Orthogonal,
                classes: vec!["a".into(), "b".into()],
                method: None,
            })
        };
        let plain = of(TrainConfig::default());
        assert_eq!(plain["train"], serde_json::json!({}));
        assert_eq!(plain["model"]["hidden"], 96);
        let other = of(TrainConfig {
            weight_decay: 0.25,
            ..TrainConfig::default()
        });
        assert_eq!(other["train"], serde_json::json!({ "weight_decay": 0.25 }));
    }
}
