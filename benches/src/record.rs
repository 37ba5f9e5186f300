//! Everything that was measured in one run of one workload, as it is stored.

use crate::Result;
use crate::contender::{Attention, Group};
use crate::machine::Machine;
use crate::options::Options;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One run of one workload.
#[derive(Debug, Serialize)]
pub struct Record {
    pub workload: String,
    pub about: String,
    /// What is timed: a training step or a batch of images.
    pub unit: String,
    /// UTC.
    pub started: String,
    pub machine: Machine,
    pub load_at_end: [f64; 3],
    pub options: Settings,
    /// Speed of matrix products, by round.
    pub gemm_flops_per_second: Vec<f64>,
    /// Ours first.
    pub times: Vec<Times>,
    pub absent: Vec<Absent>,
}

/// The options that a time depends on.
#[derive(Debug, Serialize)]
pub struct Settings {
    rounds: usize,
    warm_up: usize,
    turn_seconds: f64,
    pause_seconds: f64,
    peer_env: Vec<String>,
}

impl From<&Options> for Settings {
    fn from(options: &Options) -> Self {
        Self {
            rounds: options.rounds,
            warm_up: options.warm_up,
            turn_seconds: options.turn,
            pause_seconds: options.pause,
            peer_env: options.peer_env.clone(),
        }
    }
}

/// The times of one contender.
#[derive(Debug, Serialize)]
pub struct Times {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// The attention that was faster, if there was a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<Attention>,
    pub version: String,
    pub threads: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flops_per_step: Option<f64>,
    pub steps_per_turn: u64,
    /// With compilation, where there is any.
    pub first_step_seconds: f64,
    /// Memory before there was a model.
    pub baseline_kib: u64,
    /// Peak of memory until the rounds began, compilation included.
    pub peak_of_warm_up_kib: u64,
    /// Peak of memory in the rounds.
    pub peak_kib: u64,
    /// One for each round.
    pub seconds_per_step: Vec<f64>,
}

/// One that could not take part.
#[derive(Debug, Serialize)]
pub struct Absent {
    pub name: String,
    /// Its last words.
    pub why: String,
}

impl Times {
    /// Peak of memory in the rounds beyond program and libraries.
    pub fn work_kib(&self) -> u64 {
        self.peak_kib.saturating_sub(self.baseline_kib)
    }
}

impl Record {
    /// Writes it into the folder as `<started>-<workload>.json`.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("{}-{}.json", self.started, self.workload));
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        Ok(path)
    }
}
