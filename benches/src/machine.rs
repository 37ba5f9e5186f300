//! What a measurement depends on besides the code: machine, versions, what else is running. Reads Linux's `/proc`.

use crate::Result;
use serde::Serialize;
use std::fs::read_to_string;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Load average per core above which something else is computing.
const BUSY: f64 = 0.3;

/// The machine and the code, when a measurement starts.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model of the CPU.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_kib: u64,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Commit, with `+` behind it if the work tree differs.
    pub commit: String,
    /// Compiler.
    pub rustc: String,
}

impl Machine {
    /// This machine, now.
    pub fn now() -> Result<Self> {
        let cpu = read_to_string("/proc/cpuinfo")?;
        let model = cpu.lines().find_map(|l| l.strip_prefix("model name"));
        let text = |program: &str, arguments: &[&str]| {
            let root = env!("CARGO_MANIFEST_DIR");
            let output = Command::new(program)
                .args(arguments)
                .current_dir(root)
                .output();
            let output = output.ok().filter(|o| o.status.success())?;
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let unknown = || "unknown".to_owned();
        // Files of earlier runs are no change of what is measured.
        let changed = text("git", &["status", "--porcelain", "--untracked-files=no"])
            .is_some_and(|t| !t.is_empty());
        let commit = text("git", &["rev-parse", "HEAD"]).unwrap_or_else(unknown);
        Ok(Self {
            cpu: model.map_or_else(unknown, |m| m.trim_start_matches([' ', '\t', ':']).into()),
            cores: std::thread::available_parallelism()?.get(),
            memory_kib: field(&read_to_string("/proc/meminfo")?, "MemTotal:")?,
            load: load()?,
            commit: commit + if changed { "+" } else { "" },
            rustc: text("rustc", &["--version"]).unwrap_or_else(unknown),
        })
    }

    /// Whether something else was computing when this was looked at.
    pub fn is_busy(&self) -> bool {
        self.load[0] > BUSY * self.cores as f64
    }
}

/// Load averages over 1, 5 and 15 minutes.
pub fn load() -> Result<[f64; 3]> {
    let text = read_to_string("/proc/loadavg")?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || numbers.next().ok_or("/proc/loadavg is too short");
    Ok([next()??, next()??, next()??])
}

/// Memory of a process.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// In RAM now.
    pub now_kib: u64,
    /// The most that ever was, since the start or since [`forget_peak`].
    pub peak_kib: u64,
}

/// Memory of a running process.
pub fn memory(process: u32) -> Result<Memory> {
    let text = read_to_string(format!("/proc/{process}/status"))?;
    Ok(Memory {
        now_kib: field(&text, "VmRSS:")?,
        peak_kib: field(&text, "VmHWM:")?,
    })
}

/// Makes the peak of a process start anew from what it uses now (`proc(5)`, `clear_refs`).
pub fn forget_peak(process: u32) -> Result<()> {
    Ok(std::fs::write(format!("/proc/{process}/clear_refs"), "5")?)
}

fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name));
    let number = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("no number after `{name}` in what /proc says").into())
}

/// The time in UTC as `2026-11-23T160412Z`, fit for a file name.
pub fn time_stamp() -> Result<String> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(utc(seconds))
}

fn utc(seconds: u64) -> String {
    let (mut day, time) = (seconds / 86_400, seconds % 86_400);
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!(
        "{year}-{month:02}-{:02}T{hour:02}{minute:02}{second:02}Z",
        day + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `date -u -d @N +%Y-%m-%dT%H%M%SZ`
    #[test]
    fn time_stamps_are_those_of_date() {
        for (seconds, text) in [
            (0, "1970-01-01T000000Z"),
            (951_782_400, "2000-02-29T000000Z"),
            (1_709_251_199, "2024-02-29T235959Z"),
            (1_709_251_200, "2024-03-01T000000Z"),
            (1_798_761_599, "2026-12-31T235959Z"),
            (4_107_542_400, "2100-03-01T000000Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }

    #[test]
    fn a_field_of_proc_is_found() {
        let text = "VmPeak:\t  5000 kB\nVmHWM:\t   312 kB\nVmRSS:\t   300 kB\n";
        assert_eq!(field(text, "VmHWM:").unwrap(), 312);
        assert!(field(text, "VmSwap:").is_err());
    }
}
