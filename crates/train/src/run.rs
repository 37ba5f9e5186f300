//! A run from its folder: start or go on, train, validate, checkpoint, stop.

use crate::{
    checkpoint,
    config::RunConfig,
    error::{Error, Result},
    evaluate::{Evaluation, Gating, evaluate},
    events::Event,
    generate::class_grid,
    optimiser::AdamW,
    record::{Picture, Record},
    step::step,
    weights::Parameters,
};
use burn::module::Module;
use burn::tensor::Device;
use learngene_data::{Batches, Dataset, Split};
use learngene_diffusion::Schedule;
use learngene_formats::{CheckpointWriter, Checkpoints, Retention, write_atomically};
use learngene_nn::{Dit, params};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// (time, noise) draws of each validation image.
const VALIDATION_REPEATS: usize = 4;

/// A run ready to train.
pub struct Run {
    folder: PathBuf,
    config: RunConfig,
    model: Dit,
    optimiser: AdamW,
    done: u64,
    writer: CheckpointWriter,
}

/// How training ended.
pub struct Outcome {
    /// Steps done.
    pub step: u64,
    /// Whether it was asked to stop early; the state is checkpointed.
    pub interrupted: bool,
    /// The model with averaged weights, off the autodiff device.
    pub model: Dit,
    /// Its validation, if the data set has validation images.
    pub validation: Option<Evaluation>,
}

impl Run {
    /// Creates a run folder for a model at its start. A folder that already holds a run is refused.
    pub fn create(folder: &Path, config: RunConfig, model: Dit) -> Result<Self> {
        config.train.validate()?;
        if config.model != *model.config() {
            return Err(Error::Config {
                path: None,
                message: "[model] is not the configuration of the model to be trained".into(),
            });
        }
        let file = folder.join("config.toml");
        if file.exists() || folder.join("checkpoints").exists() {
            return Err(Error::Folder {
                path: folder.into(),
                message:
                    "already holds a run; go on with `learngene resume`, or choose another --out"
                        .into(),
            });
        }
        let checkpoints = folder.join("checkpoints");
        let writer = CheckpointWriter::open(checkpoints, retention(&config))?;
        let text = config.to_toml()?;
        write_atomically(&file, |out| out.write_all(text.as_bytes()))?;
        let model = trainable(model, &config);
        let optimiser = AdamW::new(&model, &config.train);
        Ok(Self {
            folder: folder.into(),
            config,
            model,
            optimiser,
            done: 0,
            writer,
        })
    }

    /// Goes on from the newest complete checkpoint of a run folder. Also returns why newer ones were passed over.
    pub fn resume(folder: &Path, device: &Device) -> Result<(Self, Vec<String>)> {
        let config = RunConfig::read(&folder.join("config.toml"))?;
        let writer = CheckpointWriter::open(folder.join("checkpoints"), retention(&config))?;
        let found = Checkpoints::at(folder.join("checkpoints")).latest()?;
        let rejected = found.rejected.iter().map(ToString::to_string).collect();
        let device = device.clone().autodiff();
        let (model, optimiser, done) = match found.checkpoint {
            Some(newest) => {
                let (saved, model, optimiser) = checkpoint::load(&newest, &device)?;
                check_unchanged(folder, &config, &saved)?;
                (trainable(model, &config), optimiser, newest.step())
            }
            None => {
                return Err(Error::Folder {
                    path: folder.into(),
                    message:
                        "holds no complete checkpoint to go on from; start again with another --out"
                            .into(),
                });
            }
        };
        Ok((
            Self {
                folder: folder.into(),
                config,
                model,
                optimiser,
                done,
                writer,
            },
            rejected,
        ))
    }

    /// The configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Steps done so far.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Trains to the end, or until `stop` is set; then the state is checkpointed.
    pub fn train(
        mut self,
        dataset: &Dataset,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(&Event),
    ) -> Result<Outcome> {
        let config = self.config.clone();
        let train = &config.train;
        let schedule = Schedule::new(train.schedule, train.diffusion_steps)?;
        let mut batches = Batches::new(dataset, train.order(), train.seed, train.flip)?;
        let mut record = Record::open(&self.folder, self.done, observe)?;
        if self.done > 0 {
            record.add(&Event::Resumed { step: self.done })?;
        } else {
            self.save(None, None)?;
        }
        let mut saved = self.done;
        let mut validation = None;
        let (mut since, mut at) = (Instant::now(), self.done);
        while self.done < train.steps && !stop.load(Ordering::Relaxed) {
            let draws = batches.batch(self.done);
            let result = step(
                self.model.clone(),
                &mut self.optimiser,
                train,
                &schedule,
                dataset,
                &draws,
                self.done,
            );
            let (model, losses) = result.map_err(|e| at_checkpoint(e, Some(saved)))?;
            self.model = model;
            self.done += 1;
            let end = self.done == train.steps;
            let due = |every: u64| end || (every > 0 && self.done.is_multiple_of(every));
            if due(train.log_every) {
                let images = (self.done - at) * batches.batch_size() as u64;
                let images_per_second = images as f64 / since.elapsed().as_secs_f64();
                (since, at) = (Instant::now(), self.done);
                let event = Event::Step {
                    step: self.done,
                    loss: losses.trained,
                    velocity: losses.velocity,
                    epsilon: losses.epsilon,
                    grad_norm: losses.grad_norm,
                    lr: losses.lr,
                    images_per_second,
                };
                record.add(&event)?;
            }
            validation = None;
            if due(train.evaluate_every) {
                validation = self.validate(&schedule, dataset)?;
                if let Some(v) = &validation {
                    let event = Event::Validation {
                        step: self.done,
                        velocity: v.velocity,
                        epsilon: v.epsilon,
                        draws: v.draws,
                    };
                    record.add(&event)?;
                }
            }
            if train.sample_every > 0 && due(train.sample_every) {
                let (path, picture) = self.sample_grid(&schedule, dataset.classes())?;
                record.add_picture(
                    &Event::Samples {
                        step: self.done,
                        path,
                    },
                    &picture,
                )?;
            }
            if due(train.checkpoint_every) {
                self.save(validation.as_ref().map(|v| v.velocity), Some(saved))?;
                saved = self.done;
                record.add(&Event::Checkpoint { step: saved })?;
            }
        }
        let interrupted = self.done < train.steps;
        if interrupted && saved < self.done {
            self.save(None, Some(saved))?;
            record.add(&Event::Checkpoint { step: self.done })?;
        }
        if validation.is_none() && !interrupted {
            validation = self.validate(&schedule, dataset)?;
        }
        Ok(Outcome {
            step: self.done,
            interrupted,
            model: self.averaged()?,
            validation,
        })
    }

    /// Saves the state; `last` is the step of the checkpoint before.
    fn save(&self, metric: Option<f64>, last: Option<u64>) -> Result<()> {
        checkpoint::save(
            &self.writer,
            &self.config,
            &self.model,
            &self.optimiser,
            self.done,
            metric,
        )
        .map_err(|e| at_checkpoint(e, last))?;
        Ok(())
    }

    /// The model with averaged weights, off the autodiff device.
    fn averaged(&self) -> Result<Dit> {
        let ema: Parameters = self.optimiser.ema();
        Ok(params::replace(self.model.valid(), &ema)?)
    }

    fn validate(&self, schedule: &Schedule, dataset: &Dataset) -> Result<Option<Evaluation>> {
        if dataset.is_empty(Split::Val) {
            return Ok(None);
        }
        let (model, objective) = (self.averaged()?, &self.config.train.objective);
        let repeats = VALIDATION_REPEATS;
        evaluate(
            &model,
            schedule,
            objective,
            dataset,
            Split::Val,
            Gating::Right,
            repeats,
        )
        .map(Some)
    }

    fn sample_grid(&self, schedule: &Schedule, classes: &[String]) -> Result<(PathBuf, Picture)> {
        let train = &self.config.train;
        let target = train.objective.target;
        let grid = class_grid(&self.averaged()?, schedule, target, train.seed, classes)?;
        let png = learngene_data::image::encode_png(&grid)?;
        let folder = self.folder.join("samples");
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let path = folder.join(format!("step-{:08}.png", self.done));
        write_atomically(&path, |out| out.write_all(&png))?;
        let (width, height) = (grid.width, grid.height);
        Ok((path, Picture { width, height, png }))
    }
}

fn trainable(model: Dit, config: &RunConfig) -> Dit {
    let trainable = config.train.trainable;
    params::set_trainable(model, |name| trainable.factor(name) > 0.0)
}

/// Refuses to go on with another model, or with other parts of it training, than the checkpoint's.
fn check_unchanged(folder: &Path, config: &RunConfig, saved: &RunConfig) -> Result<()> {
    let changed = [
        ("model", config.model != saved.model),
        ("classes", config.classes != saved.classes),
        (
            "train.trainable",
            config.train.trainable != saved.train.trainable,
        ),
    ];
    let Some((section, _)) = changed.into_iter().find(|(_, changed)| *changed) else {
        return Ok(());
    };
    Err(Error::Config {
        path: Some(folder.join("config.toml")),
        message: format!(
            "`{section}` is not what the checkpoint was trained with; set it back, or start a new run"
        ),
    })
}

fn retention(config: &RunConfig) -> Retention {
    Retention {
        last: config.train.keep_last,
        best: true,
    }
}

fn at_checkpoint(error: Error, saved: Option<u64>) -> Error {
    match error {
        Error::NotFinite { step, what, .. } => Error::NotFinite {
            step,
            what,
            checkpoint: saved,
        },
        other => other,
    }
}
