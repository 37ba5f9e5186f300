//! A training run: what it is before it begins, how far it is, an answer to Ctrl-C, and whether it came to anything.

use crate::failure::{Failure, Result, STOPPED_AT_ONCE};
use crate::output;
use crate::progress::{self, Progress};
use learngene_data::{Dataset, Split};
use learngene_diffusion::{Schedule, Target};
use learngene_nn::params;
use learngene_train::{Event, Measuring, Outcome, Run, RunConfig, untrained};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Signals so close together are one wish: a terminal and the process above may both pass Ctrl-C on.
const ONE_WISH: Duration = Duration::from_secs(1);

/// Set by Ctrl-C.
pub fn stop() -> &'static AtomicBool {
    static STOP: OnceLock<&'static AtomicBool> = OnceLock::new();
    STOP.get_or_init(|| {
        let flag: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let mut first: Option<Instant> = None;
        // The second time there is no waiting: a checkpoint on disk is whole at any moment.
        let handler = move || {
            flag.store(true, Ordering::Relaxed);
            if first.get_or_insert_with(Instant::now).elapsed() > ONE_WISH {
                output::note(
                    "stopped at once: what was done since the last checkpoint is lost; `learngene resume` and the run's \
                     folder go on from it",
                );
                std::process::exit(i32::from(STOPPED_AT_ONCE));
            }
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            output::note(&format!("warning: Ctrl-C will not checkpoint ({error})"));
        }
        flag
    })
}

/// Whether Ctrl-C was pressed since the first training began.
pub fn stop_requested() -> bool {
    stop().load(Ordering::Relaxed)
}

/// What is trained on what.
#[derive(Serialize)]
pub struct About {
    run: PathBuf,
    classes: usize,
    images: Images,
    images_a_step: usize,
    #[serde(skip)]
    made_of: String,
    parameters: u64,
    trained_parameters: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensorboard: Option<PathBuf>,
}

/// Images of each split.
#[derive(Serialize)]
struct Images {
    train: usize,
    val: usize,
    test: usize,
    /// Classes without images to validate on.
    not_validated: Vec<String>,
}

impl Images {
    fn of(dataset: &Dataset) -> Self {
        let [train, val, test] = Split::ALL.map(|split| dataset.len(split));
        let names = dataset.classes().iter().enumerate();
        let lacking = names.filter(|&(class, _)| dataset.of_class(Split::Val, class).is_empty());
        Self {
            train,
            val,
            test,
            not_validated: lacking.map(|(_, name)| name.clone()).collect(),
        }
    }
}

impl About {
    /// A run of that configuration in that folder.
    pub fn run(folder: &Path, config: &RunConfig, dataset: &Dataset) -> Self {
        let (classes, order) = (dataset.classes().len(), config.train.order());
        let layout = params::layout(&config.model);
        let numbers = layout.values().map(|shape| shape.iter().product::<usize>());
        Self {
            run: folder.into(),
            classes,
            images: Images::of(dataset),
            images_a_step: order.images(classes),
            made_of: order.made_of(classes),
            parameters: numbers.sum::<usize>() as u64,
            trained_parameters: learngene_transfer::trained_parameters(config),
            tensorboard: Some(folder.join("tb")),
        }
    }

    /// The training of an autoencoder of so many parameters.
    pub fn autoencoder(folder: &Path, dataset: &Dataset, batch: usize, parameters: u64) -> Self {
        Self {
            run: folder.into(),
            classes: dataset.classes().len(),
            images: Images::of(dataset),
            images_a_step: batch,
            made_of: "of all classes shuffled, half of them mirrored".into(),
            parameters,
            trained_parameters: parameters,
            tensorboard: None,
        }
    }

    /// What a person reads before the first step.
    pub fn announce(&self) {
        self.lines().iter().for_each(|line| output::note(line));
    }

    fn lines(&self) -> Vec<String> {
        let Images {
            train,
            val,
            test,
            not_validated,
        } = &self.images;
        let classes = output::class_count(self.classes);
        let mut lines = vec![
            format!("run folder: {}", self.run.display()),
            format!("images: {train} to train on, {val} to validate, {test} to test, of {classes}"),
        ];
        if *val == 0 {
            lines.push("note: there are no images to validate on".into());
        } else if !not_validated.is_empty() {
            let names = output::shortened(not_validated.iter().cloned());
            lines.push(format!("note: no images to validate on of {names}"));
        }
        lines.push(format!(
            "{} images a step: {}",
            self.images_a_step, self.made_of
        ));
        lines.push(match self.parameters == self.trained_parameters {
            true => format!("parameters: {}, all trained", self.parameters),
            false => format!(
                "parameters: {}, of which {} are trained",
                self.parameters, self.trained_parameters
            ),
        });
        let board = self.tensorboard.as_ref();
        lines.extend(
            board.map(|folder| format!("curves: tensorboard --logdir {}", folder.display())),
        );
        lines
    }
}

/// The progress of a training after `done` of so many steps.
pub fn progress(what: &str, steps: u64, done: u64) -> Progress {
    Progress::after(what, done, steps, "steps")
}

/// Shows an event.
pub fn see(progress: &Progress, event: &Event) {
    if let Event::Underway {
        step,
        velocity,
        images_per_second,
    } = event
    {
        progress.set(*step as f64);
        progress.note(format!(
            "v loss {velocity:.4}, {images_per_second:.0} images/s"
        ));
    }
}

/// Trains to the end. Interrupted runs are checkpointed and reported as such.
pub fn train(run: Run, dataset: &Dataset, name: &str, events: &mut Vec<Event>) -> Result<Outcome> {
    let outcome = train_on(run, dataset, name, events)?;
    match outcome.interrupted {
        true => Err(Failure::Interrupted(outcome.step)),
        false => Ok(outcome),
    }
}

/// Trains to the end, or until it is interrupted and checkpointed.
pub fn train_on(
    run: Run,
    dataset: &Dataset,
    name: &str,
    events: &mut Vec<Event>,
) -> Result<Outcome> {
    About::run(run.folder(), run.config(), dataset).announce();
    let progress = progress(name, run.config().train.steps, run.done());
    let mut broken = dataset.broken().len();
    let mut observe = |event: &Event| {
        see(&progress, event);
        // Of images that stream, what is broken comes out on the way.
        let found = dataset.broken();
        if found.len() > broken {
            broken = found.len();
            output::broken(&found);
        }
        if !matches!(event, Event::Underway { .. }) {
            events.push(event.clone());
        }
    };
    Ok(run.train(dataset, stop(), &mut observe)?)
}

/// A loss so many times that of a model that predicts nothing is one of a training that came to nothing.
pub const DIVERGED: f64 = 1.2;
/// What a model that predicts nothing loses at most, of noise and of images between -1 and 1.
pub const NOTHING: f64 = 1.0;

/// Whether the loss that was trained on came out far above that of a model that predicts nothing: on the validation
/// images, or where there are none in the last steps.
pub fn diverged(
    config: &RunConfig,
    outcome: &Outcome,
    dataset: &Dataset,
    events: &[Event],
) -> Result<Option<Failure>> {
    let train = &config.train;
    let of_noise = train.objective.target == Target::Epsilon;
    let (loss, nothing) = match &outcome.validation {
        Some(v) => {
            let loss = if of_noise { v.epsilon } else { v.velocity };
            if loss <= NOTHING {
                return Ok(None);
            }
            let schedule = Schedule::new(train.schedule, train.diffusion_steps)?;
            let how = Measuring {
                schedule: &schedule,
                objective: &train.objective,
                repeats: 1,
                watch: progress::watch(),
            };
            let found = untrained(&outcome.model, dataset, Split::Val, &how)?;
            let nothing = if of_noise {
                found.epsilon
            } else {
                found.velocity
            };
            (loss, nothing)
        }
        None => {
            let losses = events.iter().rev().filter_map(|event| match event {
                Event::Step {
                    velocity, epsilon, ..
                } => Some(if of_noise { *epsilon } else { *velocity }),
                _ => None,
            });
            let last: Vec<f64> = losses.take(10).collect();
            let mean = last.iter().sum::<f64>() / last.len().max(1) as f64;
            (mean, NOTHING)
        }
    };
    Ok((loss > DIVERGED * nothing).then_some(Failure::Diverged {
        what: if of_noise { "epsilon loss" } else { "v loss" },
        loss,
        nothing,
        lr: train.lr,
    }))
}
