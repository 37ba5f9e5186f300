//! A training run with a progress bar and an answer to Ctrl-C.

use crate::failure::{Failure, INTERRUPTED, Result};
use crate::output;
use indicatif::ProgressBar;
use learngene_data::Dataset;
use learngene_train::{Event, Outcome, Run};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by Ctrl-C.
pub fn stop() -> &'static AtomicBool {
    static STOP: OnceLock<&'static AtomicBool> = OnceLock::new();
    STOP.get_or_init(|| {
        let flag: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        // The second time there is no waiting: a checkpoint on disk is whole at any moment.
        let handler = || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(i32::from(INTERRUPTED));
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

/// The progress of a training.
pub struct Progress(ProgressBar);

impl Progress {
    /// After `done` of so many steps.
    pub fn new(steps: u64, done: u64, name: &str) -> Self {
        Self(output::bar(steps, name).with_position(done))
    }

    /// Shows an event.
    pub fn see(&self, event: &Event) {
        if let Event::Step {
            step,
            velocity,
            images_per_second,
            ..
        } = event
        {
            self.0.set_position(*step);
            self.0.set_message(format!(
                "v loss {velocity:.4}, {images_per_second:.0} images/s,"
            ));
        }
    }

    /// Takes it away.
    pub fn end(self) {
        self.0.finish_and_clear();
    }
}

/// Trains to the end. Interrupted runs are checkpointed and reported as such.
pub fn train(run: Run, dataset: &Dataset, name: &str, events: &mut Vec<Event>) -> Result<Outcome> {
    let progress = Progress::new(run.config().train.steps, run.done(), name);
    let mut broken = dataset.broken().len();
    let mut observe = |event: &Event| {
        progress.see(event);
        // Of images that stream, what is broken comes out on the way.
        let found = dataset.broken();
        if found.len() > broken {
            broken = found.len();
            progress.0.suspend(|| output::broken(&found));
        }
        events.push(event.clone());
    };
    let outcome = run.train(dataset, stop(), &mut observe)?;
    progress.end();
    if outcome.interrupted {
        Err(Failure::Interrupted(outcome.step))
    } else {
        Ok(outcome)
    }
}
