//! The record of a run: `events.jsonl`, the TensorBoard file, and whoever watches.

use crate::{
    error::Result,
    events::{Event, EventLog},
    tensorboard::EventWriter,
};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A picture that goes with an event.
pub(crate) struct Picture {
    pub width: u32,
    pub height: u32,
    /// The bytes of a PNG.
    pub png: Vec<u8>,
}

/// Where the events of a run go.
pub(crate) struct Record<'a> {
    log: EventLog,
    board: EventWriter,
    observe: &'a mut dyn FnMut(&Event),
}

impl<'a> Record<'a> {
    /// Goes on with the record of the run in `folder` after `step` steps.
    pub fn open(folder: &Path, step: u64, observe: &'a mut dyn FnMut(&Event)) -> Result<Self> {
        Ok(Self {
            log: EventLog::open(&folder.join("events.jsonl"), step)?,
            // TensorBoard forgets what earlier files hold of the step it is given and of later ones.
            board: EventWriter::create(folder.join("tb"), step + 1, now())?,
            observe,
        })
    }

    /// v losses of the validations before it was opened.
    pub fn validations(&self) -> impl Iterator<Item = f64> {
        self.log.validations.iter().copied()
    }

    /// Writes the event everywhere, then shows it.
    pub fn add(&mut self, event: &Event) -> Result<()> {
        self.log.write(event)?;
        for (tag, value) in scalars(event) {
            self.board.scalar(tag, event.step(), value as f32, now())?;
        }
        self.board.flush()?;
        (self.observe)(event);
        Ok(())
    }

    /// Shows the event and writes it nowhere.
    pub fn show(&mut self, event: &Event) {
        (self.observe)(event);
    }

    /// [`Record::add`] for an event with a picture.
    pub fn add_picture(&mut self, event: &Event, picture: &Picture) -> Result<()> {
        let Picture { width, height, png } = picture;
        self.board
            .image_png("samples", event.step(), *width, *height, png, now())?;
        self.add(event)
    }
}

/// The numbers of an event by their name in TensorBoard.
fn scalars(event: &Event) -> Vec<(&'static str, f64)> {
    match event {
        Event::Step {
            loss,
            velocity,
            epsilon,
            grad_norm,
            lr,
            images_per_second,
            ..
        } => {
            vec![
                ("train/loss", *loss),
                ("train/v_loss", *velocity),
                ("train/epsilon_loss", *epsilon),
                ("train/grad_norm", *grad_norm),
                ("train/lr", *lr),
                ("train/images_per_second", *images_per_second),
            ]
        }
        Event::Validation {
            velocity,
            epsilon,
            raw_velocity,
            raw_epsilon,
            ..
        } => {
            vec![
                ("validation/v_loss", *velocity),
                ("validation/epsilon_loss", *epsilon),
                ("validation/v_loss_raw", *raw_velocity),
                ("validation/epsilon_loss_raw", *raw_epsilon),
            ]
        }
        _ => Vec::new(),
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}
