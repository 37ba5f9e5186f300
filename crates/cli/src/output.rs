//! The only place that writes to the terminal: results to stdout, everything else to stderr. A result is lines for a
//! person, or one JSON document for a program: a verb tells both here, and what was asked for is written.

use crate::failure::{Failure, Result};
use crate::{progress, terminal};
use learngene_data::image::PictureFormat;
use learngene_data::picture::Grid;
use learngene_data::source::Note;
use learngene_formats::atomic::write_bytes_atomically;
use miette::Diagnostic;
use serde_json::{Map, Value};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The document, if one was asked for.
static DOCUMENT: Mutex<Option<Map<String, Value>>> = Mutex::new(None);

/// Runs with the members of the document, if there is one.
fn with_document<T>(run: impl FnOnce(&mut Map<String, Value>) -> T) -> Option<T> {
    let mut document = DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner);
    document.as_mut().map(run)
}

/// From now on results become a document.
pub fn begin_document(verb: &str) {
    let members = [("verb", verb.into()), ("wrote", Value::Array(Vec::new()))];
    let members = members.map(|(name, value)| (name.to_owned(), value));
    *DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(members.into_iter().collect());
}

/// Writes the document, if there is one.
pub fn end_document() {
    let mut document = DOCUMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(members) = document.take() {
        let text = serde_json::to_string_pretty(&members).unwrap_or_default();
        progress::above(|| terminal::say(&terminal::plain_json(&text)));
    }
}

/// The members of a value in the document.
pub fn json<T: serde::Serialize>(value: &T) {
    with_document(|document| {
        if let Ok(Value::Object(members)) = serde_json::to_value(value) {
            document.extend(members);
        }
    });
}

/// Says what was written.
pub fn wrote(path: &Path) {
    say(&format!("wrote {}", path.display()));
    keep(path);
}

/// Says what was written and what it is: `report: page.html`.
pub fn wrote_as(what: &str, path: &Path) {
    say(&format!("{what}: {}", path.display()));
    keep(path);
}

/// A path among those under `wrote` in the document.
pub fn keep(path: &Path) {
    with_document(|document| {
        if let Some(Value::Array(paths)) = document.get_mut("wrote") {
            paths.push(path.display().to_string().into());
        }
    });
}

/// A line of a result for a person.
pub fn say(text: &str) {
    if with_document(|_| ()).is_none() {
        write_line(text);
    }
}

/// A line on standard output.
fn write_line(text: &str) {
    progress::above(|| terminal::say(&terminal::plain(text)));
}

/// A line about how things go.
pub fn note(text: &str) {
    progress::above(|| terminal::note(&terminal::plain(text)));
}

/// Says that a newer checkpoint than the one in use is damaged.
pub fn passed_over(reason: &impl std::fmt::Display) {
    note(&format!(
        "warning: passed over a damaged checkpoint: {reason}"
    ));
}

/// Names files of a source that were left out.
pub fn left_out(files: &[PathBuf]) {
    if !files.is_empty() {
        let names = files.iter().map(|path| path.display().to_string());
        note(&format!(
            "warning: left out, no images: {}",
            shortened(names)
        ));
    }
}

/// Says which images were left out because they are broken.
pub fn broken(images: &[String]) {
    if let Some(first) = images.first() {
        let more = match images.len() - 1 {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        note(&format!(
            "warning: left out a broken image: {first}{more} (--strict refuses them)"
        ));
    }
}

/// Says what a source left out or took otherwise than one may expect.
pub fn notes(notes: &[Note]) {
    for found in notes {
        let names = shortened(found.of.iter().cloned());
        note(&format!("warning: {}: {names}", found.what));
    }
}

/// Names shown before the rest is counted.
const SHOWN: usize = 5;

/// The first few, and how many more there are.
pub fn shortened(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<String> = names.take(SHOWN).collect();
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    shown.join(", ") + &rest
}

/// An error and the next step; coloured on a terminal unless `NO_COLOR` is set (no-color.org).
pub fn report(failure: &dyn Diagnostic) {
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    terminal::note(&rendered(failure, colour));
}

fn rendered(failure: &dyn Diagnostic, colour: bool) -> String {
    let heading = |word: &str, code: &str| match colour {
        true => format!("\u{1b}[{code}m{word}:\u{1b}[0m"),
        false => format!("{word}:"),
    };
    let mut text = format!(
        "{} {}",
        heading("error", "1;31"),
        terminal::plain(failure.to_string().trim_end())
    );
    if let Some(help) = failure.help() {
        let help = help.to_string();
        text.push_str(&format!(
            "\n{} {}",
            heading("help", "1;36"),
            terminal::plain(&help)
        ));
    }
    text
}

/// A table with aligned columns; the first is text, the others numbers.
pub fn table(columns: &[&str], rows: &[Vec<String>]) {
    let head: Vec<_> = columns.iter().map(|c| terminal::one_line(c)).collect();
    let below = rows.iter();
    let below = below.map(|row| row.iter().map(|c| terminal::one_line(c)).collect());
    let lines: Vec<Vec<_>> = std::iter::once(head).chain(below).collect();
    let mut widths = vec![0; columns.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for line in &lines {
        let padded = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (c, w))| match i {
                0 => format!("{c:<w$}"),
                _ => format!("{c:>w$}"),
            });
        say(padded.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// Makes the folder that a file is to lie in.
pub fn make_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|source| Failure::Write {
        path: folder.display().to_string(),
        source,
    })
}

/// Writes a file whole or not at all, making its folder.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    make_folder_of(path)?;
    Ok(write_bytes_atomically(path, bytes)?)
}

/// Writes a picture of tiles in the format that its name ends in, and says if it does not hold them all.
pub fn write_grid(path: &Path, grid: &Grid) -> Result<()> {
    write(path, &PictureFormat::of(path)?.encode(&grid.paint()?)?)?;
    if let Some(shown) = grid.shown()? {
        note(&format!("note: {} shows {shown}", path.display()));
    }
    Ok(())
}

/// Refuses a name to write to that promises another kind of file than it would get.
pub fn require_ending(option: &str, path: &Path, endings: &[&str]) -> Result<()> {
    let found = path.extension().and_then(|ending| ending.to_str());
    if found.is_some_and(|found| endings.iter().any(|e| found.eq_ignore_ascii_case(e))) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{option} is {}, expected a name that ends in .{}",
        path.display(),
        endings.join(" or .")
    )))
}

/// A text as one word of a command that a shell is given.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// So many classes, in words.
pub fn class_count(classes: usize) -> String {
    match classes {
        1 => "1 class".to_owned(),
        classes => format!("{classes} classes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_no_control_characters_but_its_own() {
        let failure = Failure::Usage("class `\u{1b}]0;x\u{7}`".into());
        let plain = "error: class `\\u{1b}]0;x\\u{7}`";
        assert_eq!(rendered(&failure, false), plain);
        assert!(
            rendered(&failure, true).starts_with("\u{1b}[1;31merror:\u{1b}[0m class `\\u{1b}]")
        );
    }

    #[test]
    fn a_report_is_plain_text_unless_colour_is_wanted() {
        let failure = Failure::Interrupted(3).in_run("runs/a");
        assert_eq!(
            rendered(&failure, false),
            "error: interrupted at step 3; the state is checkpointed\nhelp: go on with `learngene resume runs/a`"
        );
        assert!(rendered(&failure, true).starts_with("\u{1b}[1;31merror:\u{1b}[0m interrupted"));
    }
}
