//! The only place that writes to the terminal: results to stdout, everything else to stderr.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the terminal's place"
)]

use crate::failure::{Failure, Result};
use learngene_formats::atomic::write_bytes_atomically;
use std::path::Path;

/// A line of a result.
pub fn say(text: &str) {
    println!("{text}");
}

/// A line about how things go.
pub fn note(text: &str) {
    eprintln!("{text}");
}

/// One JSON document.
pub fn json<T: serde::Serialize>(value: &T) {
    say(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// A table with aligned columns; the first is text, the others numbers.
pub fn table(columns: &[&str], rows: &[Vec<String>]) {
    let width = |i: usize| {
        let cells = rows.iter().map(|r| r[i].chars().count());
        cells.chain([columns[i].chars().count()]).max().unwrap_or(0)
    };
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().enumerate().map(|(i, c)| match i {
            0 => format!("{c:<w$}", w = width(i)),
            _ => format!("{c:>w$}", w = width(i)),
        });
        say(padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    line(columns.to_vec());
    rows.iter()
        .for_each(|r| line(r.iter().map(String::as_str).collect()));
}

/// Writes a file whole or not at all, making its folder.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        let fail = |source| Failure::Write {
            path: folder.display().to_string(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    Ok(write_bytes_atomically(path, bytes)?)
}
