//! What reaches a terminal: texts without characters that steer it, and whether results got there at all.

use crate::failure::{Failure, Result};
use std::borrow::Cow;
use std::io::{Error, ErrorKind, Write};
use std::sync::OnceLock;

/// Why results could not be written, the first time that happened.
static UNWRITTEN: OnceLock<Error> = OnceLock::new();

/// A line on standard output. That it cannot be written is told by [`end`].
pub fn say(text: &str) {
    if let Err(error) = writeln!(std::io::stdout(), "{text}") {
        let _only_the_first = UNWRITTEN.set(error);
    }
}

/// A line on standard error.
pub fn note(text: &str) {
    let _nowhere_to_say_it = writeln!(std::io::stderr(), "{text}");
}

/// Fails if a result could not be written, because a disk is full for instance. A reader that went away, as in
/// `learngene ... | head`, is no failure.
pub fn end() -> Result<()> {
    let flushed = std::io::stdout().flush();
    let unwritten = UNWRITTEN.get().map(|error| Error::from(error.kind()));
    printed(unwritten.map_or(flushed, Err))
}

/// The same of what was printed elsewhere.
pub fn printed(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => Err(Failure::Write {
            path: "the results to standard output".into(),
            source,
        }),
        _ => Ok(()),
    }
}

/// A text as a terminal may get it: names come from files, and a terminal obeys control characters. Lines and tabs stay.
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |c| !matches!(c, '\n' | '\t') && is_control(c),
        &as_in_rust,
    )
}

/// A text that is to be one line.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_control, &as_in_rust)
}

/// A JSON document without control characters. What JSON itself does not escape can only stand in its strings.
pub fn plain_json(text: &str) -> Cow<'_, str> {
    let as_in_json = |c: char| {
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units).iter();
        units.map(|unit| format!("\\u{unit:04x}")).collect()
    };
    escaped(text, |c| c != '\n' && is_control(c), &as_in_json)
}

fn as_in_rust(c: char) -> String {
    c.escape_default().to_string()
}

/// What moves the cursor, changes colours or the direction of writing, or hides text.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn escaped<'a>(
    text: &'a str,
    is_bad: impl Fn(char) -> bool,
    escape: &dyn Fn(char) -> String,
) -> Cow<'a, str> {
    if !text.contains(&is_bad) {
        return text.into();
    }
    let each = text.chars().map(|c| match is_bad(c) {
        true => escape(c),
        false => c.into(),
    });
    each.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_out_of_files_do_not_steer_a_terminal() {
        let kept = "two\n\tlines \u{e9}";
        assert_eq!(plain(kept), kept);
        let steering = "a\u{1b}[2J\u{9b}\u{202e}\r";
        assert_eq!(plain(steering), "a\\u{1b}[2J\\u{9b}\\u{202e}\\r");
        assert_eq!(one_line("a\nb"), "a\\nb");
        assert_eq!(plain_json("{\n\"\u{9b}\"}"), "{\n\"\\u009b\"}");
    }
}
