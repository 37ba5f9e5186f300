//! A run from its folder: start or go on, train, validate, checkpoint, stop.

use crate::{
    checkpoint::{self, CHECKPOINTS},
    config::{RunConfig, TrainConfig},
    course::Course,
    error::{Error, Result},
    evaluate::Evaluation,
    events::Event,
    generate::class_grid,
    record::{Picture, Record},
    run_folder::{CONFIG, check_unchanged, make_room, newest, write_config},
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
    config_restored: bool,
}

/// How training ended.
pub struct Outcome {
    /// Steps done.
    pub step: u64,
    /// Whether it was interrupted before its last step; the state is checkpointed.
    pub interrupted: bool,
    /// Whether validations were no better for as long as `train.patience` says, so that it ended before its last step.
    pub stopped_early: bool,
    /// Step and validation loss of v of the best checkpoint, if one has a validation.
    pub best: Option<(u64, f64)>,
    /// The model with averaged weights, off the autodiff device.
    pub model: Dit,
    /// Its validation, if the data set has validation images.
    pub validation: Option<Evaluation>,
    /// The same losses of the weights as the last step left them.
    pub raw_validation: Option<Evaluation>,
}

impl Run {
    /// Creates a run folder for a model at its start, with its first checkpoint and, last, its config.toml. A folder that
    /// already holds a run is refused; what a creation that was cut short left there is none.
    pub fn create(folder: &Path, mut config: RunConfig, model: Dit) -> Result<Self> {
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
        make_room(folder)?;
        config.train.batch = config.train.order().images(config.model.num_classes);
        let writer = CheckpointWriter::open(folder.join(CHECKPOINTS), retention(&config))?;
        let state = State::start(model, &config.train);
        checkpoint::save(&writer, &config, state.model(), &state.optimiser, None)?;
        write_config(folder, &config)?;
        Ok(Self {
            folder: folder.into(),
            state,
            config,
            writer,
            config_restored: false,
        })
    }

    /// Goes on from the newest complete checkpoint of a run folder. A config.toml that is gone is written anew from it.
    /// Also returns why newer checkpoints were passed over.
    pub fn resume(folder: &Path, device: &Device) -> Result<(Self, Vec<String>)> {
        let file = folder.join(CONFIG);
        let checkpoints = Checkpoints::at(folder.join(CHECKPOINTS));
        let config_restored = !file.exists();
        let config = match config_restored {
            false => RunConfig::read(&file)?,
            true => checkpoint::config(&newest(folder, &checkpoints)?.0)?,
        };
        config.require_memory(device)?;
        if !checkpoints.folder().is_dir() {
            // The writer would make it.
            newest(folder, &checkpoints)?;
        }
        let writer = CheckpointWriter::open(checkpoints.folder(), retention(&config))?;
        let (newest, rejected) = newest(folder, &checkpoints)?;
        let (saved, model, optimiser) = checkpoint::load(&newest, &device.clone().autodiff())?;
        check_unchanged(folder, &config, &saved)?;
        if config_restored {
            write_config(folder, &config)?;
        }
        let run = Self {
            folder: folder.into(),
            state: State::after(model, optimiser, &config.train),
            config,
            writer,
            config_restored,
        };
        Ok((run, rejected))
    }

    /// Whether config.toml was gone when the run was resumed, and was written anew from the checkpoint.
    pub fn config_restored(&self) -> bool {
        self.config_restored
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
        self.state.done()
    }

    /// Trains to so many steps, from now on, whatever it was planned for. The learning rate follows: it falls over the last
    /// part of all these steps.
    ///
    /// # Errors
    /// Fewer steps than are done.
    pub fn set_steps(&mut self, steps: u64) -> Result<()> {
        let done = self.done();
        if steps < done {
            return Err(Error::Config {
                path: None,
                message: format!(
                    "--steps is {steps}, and {done} steps are done: expected as many or more; earlier states lie in {} as \
                     far as they are kept",
                    self.folder.join(CHECKPOINTS).display()
                ),
            });
        }
        self.config.train.steps = steps;
        self.config.validate()?;
        write_config(&self.folder, &self.config)
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
            ..
        } = self;
        let train = &config.train;
        let mut trainer = Trainer::from_state(state, train.clone(), dataset)?;
        // `last` is the step of the checkpoint before.
        let save = |trainer: &Trainer, metric: Option<f64>, last: u64| {
            let state = trainer.state();
            let (model, optimiser) = (state.model(), &state.optimiser);
            checkpoint::save(&writer, &config, model, optimiser, metric)
                .map_err(|e| at_checkpoint(e, last))
        };
        let started = trainer.done();
        let mut saved = started;
        let mut record = Record::open(&folder, started, observe)?;
        if started > 0 {
            record.add(&Event::Resumed { step: started })?;
        }
        let mut course = Course::after(record.validations());
        let mut validation = None;
        let (begun, before) = (Instant::now(), started);
        let (mut since, mut at) = (begun, before);
        let over =
            |done: u64, course: &Course| done >= train.steps || course.is_exhausted(train.patience);
        while !over(trainer.done(), &course) && !stop.load(Ordering::Relaxed) {
            let losses = trainer.step().map_err(|e| at_checkpoint(e, saved))?;
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
            let mut improved = false;
            if due(train.evaluate_every) {
                validation = trainer.validate()?;
                if let Some(v) = &validation {
                    let event = Event::Validation {
                        step,
                        velocity: v.averaged.velocity,
                        epsilon: v.averaged.epsilon,
                        raw_velocity: v.raw.velocity,
                        raw_epsilon: v.raw.epsilon,
                        draws: v.averaged.draws,
                    };
                    record.add(&event)?;
                    improved = course.add(v.averaged.velocity);
                }
            }
            // Before the samples, which cost no checkpoint when they cannot be drawn or written.
            let best = improved && train.saves_best();
            if due(train.checkpoint_every) || best || over(step, &course) {
                let metric = validation.as_ref().map(|v| v.averaged.velocity);
                save(&trainer, metric, saved)?;
                saved = step;
                record.add(&Event::Checkpoint { step })?;
                if let Some(velocity) = metric.filter(|_| improved) {
                    record.add(&Event::Best { step, velocity })?;
                }
            }
            if train.sample_every > 0 && due(train.sample_every) {
                let (path, picture) = sample_grid(&trainer, &folder, train, dataset.classes())?;
                record.add_picture(&Event::Samples { step, path }, &picture)?;
            }
        }
        let step = trainer.done();
        let stopped_early = step < train.steps && course.is_exhausted(train.patience);
        if let (true, Some(validations)) = (stopped_early && step > started, train.patience) {
            record.add(&Event::StoppedEarly { step, validations })?;
        }
        let interrupted = step < train.steps && !stopped_early;
        if interrupted && saved < step {
            save(&trainer, None, saved)?;
            record.add(&Event::Checkpoint { step })?;
        }
        if validation.is_none() && !interrupted {
            validation = trainer.validate()?;
        }
        let (validation, raw_validation) = validation.map(|v| (v.averaged, v.raw)).unzip();
        Ok(Outcome {
            step,
            interrupted,
            stopped_early,
            best: writer.checkpoints().best_metric()?,
            model: trainer.averaged()?,
            validation,
            raw_validation,
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

fn retention(config: &RunConfig) -> Retention {
    Retention {
        last: config.train.keep_last,
        best: true,
    }
}

fn at_checkpoint(error: Error, saved: u64) -> Error {
    match error {
        Error::NotFinite { step, what, .. } => Error::NotFinite {
            step,
            what,
            checkpoint: Some(saved),
        },
        other => other,
    }
}
