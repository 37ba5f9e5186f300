//! What happened in a run, one JSON object a line.

use crate::error::{Error, Result};
use learngene_formats::atomic::write_bytes_atomically;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A training step; losses are of that step's batch.
    Step {
        /// Steps done.
        step: u64,
        /// The trained loss.
        loss: f64,
        /// Mean squared error of v.
        velocity: f64,
        /// Mean squared error of the noise.
        epsilon: f64,
        /// Norm of the whole gradient before clipping.
        grad_norm: f64,
        /// Learning rate.
        lr: f64,
        /// Images per second since the last event.
        images_per_second: f64,
    },
    /// A step was done. It is shown and not written: a run has as many as steps.
    Underway {
        /// Steps done.
        step: u64,
        /// Mean squared error of v in that step's batch.
        velocity: f64,
        /// Images per second since training began or went on.
        images_per_second: f64,
    },
    /// A validation of the averaged weights, and beside it one of the weights as they are.
    Validation {
        /// Steps done.
        step: u64,
        /// Mean squared error of v.
        velocity: f64,
        /// Mean squared error of the noise.
        epsilon: f64,
        /// Mean squared error of v of the weights as they are.
        raw_velocity: f64,
        /// Mean squared error of the noise of the weights as they are.
        raw_epsilon: f64,
        /// Draws it is a mean of.
        draws: usize,
    },
    /// A checkpoint was completed.
    Checkpoint {
        /// Steps done.
        step: u64,
    },
    /// The checkpoint just completed is the best of the run so far.
    Best {
        /// Steps done.
        step: u64,
        /// Its validation: mean squared error of v of the averaged weights.
        velocity: f64,
    },
    /// Training ended before its last step, since validations were no better any more.
    StoppedEarly {
        /// Steps done.
        step: u64,
        /// Validations in a row that were no better than the best before them.
        validations: u64,
    },
    /// A sample grid was written.
    Samples {
        /// Steps done.
        step: u64,
        /// The picture.
        path: PathBuf,
    },
    /// Training went on from a checkpoint.
    Resumed {
        /// Steps done.
        step: u64,
    },
}

impl Event {
    /// Steps done when it happened.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step { step, .. }
            | Self::Underway { step, .. }
            | Self::Validation { step, .. }
            | Self::Checkpoint { step }
            | Self::Best { step, .. }
            | Self::StoppedEarly { step, .. }
            | Self::Samples { step, .. }
            | Self::Resumed { step } => *step,
        }
    }
}

/// The file `events.jsonl`.
pub(crate) struct EventLog {
    path: PathBuf,
    file: File,
    /// v losses of the validations that were in it when it was opened.
    pub validations: Vec<f64>,
}

impl EventLog {
    /// Opens the log of a run that has done `done` steps. What a killed run noted beyond them is dropped, a line it did
    /// not finish as well: those steps are yet to come.
    pub fn open(path: &Path, done: u64) -> Result<Self> {
        let mut validations = Vec::new();
        if path.is_file() {
            let text = std::fs::read(path).map_err(Error::io("read", path))?;
            let kept = text
                .split_inclusive(|&byte| byte == b'\n')
                .filter(|line| step_of(line).is_some_and(|step| step <= done));
            let kept = kept.collect::<Vec<_>>().concat();
            if kept != text {
                write_bytes_atomically(path, &kept)?;
            }
            validations.extend(kept.split(|&byte| byte == b'\n').filter_map(validation_of));
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            path: path.into(),
            file: file.map_err(Error::io("open", path))?,
            validations,
        })
    }

    pub fn write(&mut self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(Error::io("write", &self.path))
    }
}

/// The step of a whole line.
fn step_of(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\n")?;
    let event: serde_json::Value = serde_json::from_slice(line).ok()?;
    event.get("step")?.as_u64()
}

/// The v loss of a line, if it is a validation.
fn validation_of(line: &[u8]) -> Option<f64> {
    let event: serde_json::Value = serde_json::from_slice(line).ok()?;
    let validation = event.get("event")?.as_str()? == "validation";
    validation.then(|| event.get("velocity")?.as_f64())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried() {
        let folder = tempfile::tempdir().unwrap();
        let text = match EventLog::open(folder.path(), 0) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("a folder is no log"),
        };
        assert!(text.starts_with("cannot open "), "{text}");
        let full = Path::new("/dev/full");
        if full.exists() {
            let mut log = EventLog::open(full, 0).unwrap();
            let text = log
                .write(&Event::Checkpoint { step: 1 })
                .unwrap_err()
                .to_string();
            assert!(text.starts_with("cannot write /dev/full"), "{text}");
        }
    }

    #[test]
    fn going_on_drops_what_is_beyond_the_checkpoint_and_half_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::open(&path, 0).unwrap();
        for step in [10, 20, 30] {
            log.write(&Event::Checkpoint { step }).unwrap();
        }
        log.file.write_all(b"{\"event\":\"checkp").unwrap();
        let mut log = EventLog::open(&path, 20).unwrap();
        log.write(&Event::Resumed { step: 20 }).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let steps: Vec<_> = text
            .split_inclusive('\n')
            .map(|l| step_of(l.as_bytes()))
            .collect();
        assert_eq!(steps, [Some(10), Some(20), Some(20)]);
    }
}
