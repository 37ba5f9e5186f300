//! A contender as a running process.

use crate::Result;
use crate::machine::{self, Memory};
use crate::protocol::{self, Done, Ready};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Lines of a failed contender's last words that are passed on.
const LAST_WORDS: usize = 6;
/// How long one has to end by itself after its stdin was closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running contender. Ends with this value.
pub struct Child {
    process: std::process::Child,
    /// Dropped to say that it is over.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    errors: File,
    /// What it said about itself.
    pub ready: Ready,
}

impl Child {
    /// Starts it and waits until it is ready.
    pub fn start(mut command: Command) -> Result<Self> {
        let errors = tempfile::tempfile()?;
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone()?)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", command.get_program().display()))?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let output = output.ok_or("a contender without stdout")?;
        let ready = Ready {
            version: String::new(),
            threads: 0,
            baseline_kib: 0,
            flops_per_step: None,
        };
        let mut child = Self {
            process,
            input,
            output: BufReader::new(output),
            errors,
            ready,
        };
        child.ready = child.answer()?;
        Ok(child)
    }

    /// Has it do so many steps; how long they took, seconds.
    pub fn steps(&mut self, count: u64) -> Result<f64> {
        let input = self.input.as_mut().ok_or("a contender without stdin")?;
        // If it is gone, waiting for the answer says why.
        let _ = input.write_all(protocol::request(count).as_bytes());
        self.answer().map(|done: Done| done.seconds)
    }

    /// Its memory.
    pub fn memory(&self) -> Result<Memory> {
        machine::memory(self.process.id())
    }

    /// Makes its peak of memory start anew.
    pub fn forget_peak(&self) -> Result<()> {
        machine::forget_peak(self.process.id())
    }

    fn answer<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.is_empty() {
            return Err(self.last_words().into());
        }
        serde_json::from_str(&line).map_err(|e| format!("answered `{}`: {e}", line.trim()).into())
    }

    fn last_words(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = self
            .errors
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.errors.read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        match read {
            Ok(_) if !lines.is_empty() => {
                lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
            }
            // A signal that nobody here sent is mostly that of a system out of memory.
            _ => match self.end() {
                Ok(Some(status)) => format!("it ended without a word ({status})"),
                Ok(None) => "it closed its stdout, went on without a word and was killed".into(),
                Err(error) => format!("it went silent, and how it ended is not known: {error}"),
            },
        }
    }

    /// Has it end; how, if it did so by itself.
    fn end(&mut self) -> std::io::Result<Option<ExitStatus>> {
        drop(self.input.take());
        let pieces = 100;
        for _ in 0..pieces {
            if let Some(status) = self.process.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(PATIENCE / pieces);
        }
        self.process.kill()?;
        self.process.wait().map(|_| None)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
