//! How the runner and a contender talk: a line on the contender's stdin, a line of JSON on its stdout.
//!
//! A contender first says that it is [`Ready`], then answers each `steps N` with [`Done`]. It does nothing while it is
//! not asked, and ends when its stdin does.

use crate::Result;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write};
use std::time::Instant;

/// What a contender says about itself before it is asked anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Of this program or of PyTorch.
    pub version: String,
    /// Threads it computes with.
    pub threads: usize,
    /// Memory in use before there was a model: program and libraries.
    pub baseline_kib: u64,
    /// Floating-point operations of a step by the cost model, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops_per_step: Option<f64>,
}

/// What a contender says after its steps.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Done {
    /// How long they took together.
    pub seconds: f64,
}

/// The line that asks for so many steps.
pub fn request(steps: u64) -> String {
    format!("steps {steps}\n")
}

fn requested(line: &str) -> Option<u64> {
    line.strip_prefix("steps ")?.trim().parse().ok()
}

/// A contender's side: does steps until stdin ends.
pub fn serve(ready: &Ready, mut step: impl FnMut() -> Result<()>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(ready)?)?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let steps = requested(&line).ok_or_else(|| format!("`{line}` is not `steps N`"))?;
        let start = Instant::now();
        for _ in 0..steps {
            step()?;
        }
        let seconds = start.elapsed().as_secs_f64();
        writeln!(out, "{}", serde_json::to_string(&Done { seconds })?)?;
        out.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_understood_and_nothing_else_is() {
        assert_eq!(requested(&request(7)), Some(7));
        for line in ["", "steps", "steps -1", "step 3", "steps three"] {
            assert_eq!(requested(line), None, "{line}");
        }
    }
}
