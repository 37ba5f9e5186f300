//! What happened in a run, one JSON object a line.

use crate::error::{Error, Result};
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
    /// A validation of the averaged weights.
    Validation {
        /// Steps done.
        step: u64,
        /// Mean squared error of v.
        velocity: f64,
        /// Mean squared error of the noise.
        epsilon: f64,
        /// Draws it is a mean of.
        draws: usize,
    },
    /// A checkpoint was completed.
    Checkpoint {
        /// Steps done.
        step: u64,
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
            | Self::Validation { step, .. }
            | Self::Checkpoint { step }
            | Self::Samples { step, .. }
            | Self::Resumed { step } => *step,
        }
    }
}

/// The file `events.jsonl`.
pub(crate) struct EventLog {
    path: PathBuf,
    file: File,
}

impl EventLog {
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            path: path.into(),
            file: file.map_err(Error::io("open", path))?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried() {
        let folder = tempfile::tempdir().unwrap();
        let text = match EventLog::open(folder.path()) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("a folder is no log"),
        };
        assert!(text.starts_with("cannot open "), "{text}");
        let full = Path::new("/dev/full");
        if full.exists() {
            let mut log = EventLog::open(full).unwrap();
            let text = log
                .write(&Event::Checkpoint { step: 1 })
                .unwrap_err()
                .to_string();
            assert!(text.starts_with("cannot write /dev/full"), "{text}");
        }
    }
}
