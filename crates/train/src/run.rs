//! A run from its folder: start or go on, train, validate, checkpoint, stop.

use crate::{
    checkpoint,
    config::{RunConfig, TrainConfig},
    error::{Error, Result},
    evaluate::Evaluation,
    events::Event,
    generate::class_grid,
    record::{Picture, Record},
    trainer::{State, Trainer},
};
use burn::tensor::Device;
use learngene_data::Dataset;
use learngene_formats::{CheckpointWriter, Checkpoints, Retention, write_atomically};
use learngene_nn::{Dit, params};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A run ready to train.
pub struct Run {
    folder: PathBuf,
    config: RunConfig,
    state: State,
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
        config.train.validate_for(&config.model)?;
        config.require_memory(&model.device())?;
        if config.model != *model.config() {
            return Err(Error::Config {
                path: None,
                message: "[model] is not the configuration of the model to be trained".into(),
            });
        }
        if config.train.sample_every > 0 && config.makes_latents() {
            return Err(Error::Config {
                path: None,
                message: "`train.sample_every` draws pictures, which latents are not: set it to 0, and draw with \
                          `learngene sample --vae`"
                    .into(),
            });
        }
        if !trains_anything(&config) {
            return Err(Error::Config {
                path: None,
                message: "`train.trainable` leaves nothing of this model to train, expected factors of 0 or more, \
                          at least one above 0 for a part it has"
                    .into(),
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
        Ok(Self {
            folder: folder.into(),
            state: State::start(model, &config.train),
            config,
            writer,
        })
    }

    /// Goes on from the newest complete checkpoint of a run folder. Also returns why newer ones were passed over.
    pub fn resume(folder: &Path, device: &Device) -> Result<(Self, Vec<String>)> {
        let config = RunConfig::read(&folder.join("config.toml"))?;
        config.require_memory(device)?;
        let writer = CheckpointWriter::open(folder.join("checkpoints"), retention(&config))?;
        let found = Checkpoints::at(folder.join("checkpoints")).latest()?;
        let rejected = found.rejected.iter().map(ToString::to_string).collect();
        let device = device.clone().autodiff();
        let state = match found.checkpoint {
            Some(newest) => {
                let (saved, model, optimiser) = checkpoint::load(&newest, &device)?;
                check_unchanged(folder, &config, &saved)?;
                State::after(newest.step(), model, optimiser, &config.train)
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
                state,
                writer,
            },
            rejected,
        ))
    }

    /// The run folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Steps done so far.
    pub fn done(&self) -> u64 {
        self.state.done
    }

    /// Trains to the end, or until `stop` is set; then the state is checkpointed.
    pub fn train(
        self,
        dataset: &Dataset,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(&Event),
    ) -> Result<Outcome> {
        let Self {
            folder,
            config,
            state,
            writer,
        } = self;
        let train = &config.train;
        let mut trainer = Trainer::from_state(state, train.clone(), dataset)?;
        // `last` is the step of the checkpoint before.
        let save = |trainer: &Trainer, metric: Option<f64>, last: Option<u64>| {
            let state = trainer.state();
            let (model, optimiser) = (state.model(), &state.optimiser);
            checkpoint::save(&writer, &config, model, optimiser, state.done, metric)
                .map_err(|e| at_checkpoint(e, last))
        };
        let mut record = Record::open(&folder, trainer.done(), observe)?;
        if trainer.done() > 0 {
            record.add(&Event::Resumed {
                step: trainer.done(),
            })?;
        } else {
            save(&trainer, None, None)?;
        }
        let mut saved = trainer.done();
        let mut validation = None;
        let (begun, before) = (Instant::now(), trainer.done());
        let (mut since, mut at) = (begun, before);
        while trainer.done() < train.steps && !stop.load(Ordering::Relaxed) {
            let losses = trainer.step().map_err(|e| at_checkpoint(e, Some(saved)))?;
            let step = trainer.done();
            let end = step == train.steps;
            record.show(&Event::Underway {
                step,
                velocity: losses.velocity,
                images_per_second: ((step - before) * trainer.batch_size() as u64) as f64
                    / begun.elapsed().as_secs_f64(),
            });
            let due = |every: u64| end || (every > 0 && step.is_multiple_of(every));
            if due(train.log_every) {
                let images = (step - at) * trainer.batch_size() as u64;
                let images_per_second = images as f64 / since.elapsed().as_secs_f64();
                (since, at) = (Instant::now(), step);
                let event = Event::Step {
                    step,
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
                validation = trainer.validate()?;
                if let Some(v) = &validation {
                    let event = Event::Validation {
                        step,
                        velocity: v.velocity,
                        epsilon: v.epsilon,
                        draws: v.draws,
                    };
                    record.add(&event)?;
                }
            }
            if train.sample_every > 0 && due(train.sample_every) {
                let (path, picture) = sample_grid(&trainer, &folder, train, dataset.classes())?;
                record.add_picture(&Event::Samples { step, path }, &picture)?;
            }
            if due(train.checkpoint_every) {
                save(
                    &trainer,
                    validation.as_ref().map(|v| v.velocity),
                    Some(saved),
                )?;
                saved = step;
                record.add(&Event::Checkpoint { step: saved })?;
            }
        }
        let step = trainer.done();
        let interrupted = step < train.steps;
        if interrupted && saved < step {
            save(&trainer, None, Some(saved))?;
            record.add(&Event::Checkpoint { step })?;
        }
        if validation.is_none() && !interrupted {
            validation = trainer.validate()?;
        }
        Ok(Outcome {
            step,
            interrupted,
            model: trainer.averaged()?,
            validation,
        })
    }
}

fn trains_anything(config: &RunConfig) -> bool {
    let trainable = &config.train.trainable;
    let names = params::layout(&config.model).into_keys();
    names
        .map(|name| trainable.factor(&name))
        .any(|factor| factor > 0.0)
}

fn sample_grid(
    trainer: &Trainer,
    folder: &Path,
    train: &TrainConfig,
    classes: &[String],
) -> Result<(PathBuf, Picture)> {
    let target = train.objective.target;
    let (model, schedule) = (trainer.averaged()?, trainer.schedule());
    let grid = class_grid(&model, schedule, target, train.seed, classes)?;
    let png = learngene_data::image::encode_png(&grid)?;
    let folder = folder.join("samples");
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let path = folder.join(format!("step-{:08}.png", trainer.done()));
    write_atomically(&path, |out| out.write_all(&png))?;
    let (width, height) = (grid.width, grid.height);
    Ok((path, Picture { width, height, png }))
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
