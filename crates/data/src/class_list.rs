//! Lists of class names as they are typed: `a,b,c`.
//!
//! A name with a comma in it, or one called `base`, `novel` or `all`, stands in double quotes, in which a quote is written
//! twice, as in CSV: `"a,b",c`. Outside of quotes a backslash takes the next character as it is: `a\,b,c`. A text that is a
//! class's name as it stands is that class.

use std::collections::HashSet;

use crate::error::{Error, Result};

/// Words that stand for many classes.
const WORDS: [&str; 3] = ["base", "novel", "all"];

/// The names in a text, of which those of `known` need no quotes where the whole text, or what stands between two commas,
/// is one of them.
///
/// # Errors
/// [`Error::ClassList`] for an empty name.
pub fn names(text: &str, known: &[String]) -> Result<Vec<String>> {
    let known: HashSet<&str> = known.iter().map(String::as_str).collect();
    let is_known = |name: &str| known.contains(name);
    if is_known(text.trim()) {
        return Ok(vec![text.trim().to_owned()]);
    }
    let name = |part: &str| match part.trim() {
        plain if is_known(plain) => plain.to_owned(),
        typed => unquoted(typed),
    };
    let names: Vec<String> = parts(text).into_iter().map(name).collect();
    if names.iter().any(String::is_empty) {
        return Err(Error::ClassList {
            list: text.to_owned(),
            reason: "a name is empty; write base, novel, all or names like a,b,c".to_owned(),
        });
    }
    Ok(names)
}

/// The names in all of some texts, as [`names`] finds them.
///
/// # Errors
/// Those of [`names`].
pub fn names_in_all(texts: &[String], known: &[String]) -> Result<Vec<String>> {
    let each = texts.iter().map(|text| names(text, known));
    Ok(each.collect::<Result<Vec<_>>>()?.concat())
}

/// The text that [`names`] makes these names of.
pub fn joined(names: &[String]) -> String {
    let quoted = |name: &String| {
        let plain = !name.contains([',', '"', '\\'])
            && name.trim() == name
            && !name.is_empty()
            && !WORDS.contains(&name.as_str());
        match plain {
            true => name.clone(),
            false => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    };
    names.iter().map(quoted).collect::<Vec<_>>().join(",")
}

/// What stands between the commas that are in no name.
pub fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        match end_of_name(rest, ',') {
            Some(end) => {
                parts.push(&rest[..end]);
                rest = &rest[end + 1..];
            }
            None => {
                parts.push(rest);
                return parts;
            }
        }
    }
}

/// What stands before and behind the first `=` that is in no name, the name without its quotes.
pub fn split_at_equals(text: &str) -> Option<(String, &str)> {
    let end = end_of_name(text, '=')?;
    Some((unquoted(text[..end].trim()), &text[end + 1..]))
}

/// Where the first `mark` is that is neither in quotes nor behind a backslash. Quotes count where a name begins, if they
/// end somewhere.
fn end_of_name(text: &str, mark: char) -> Option<usize> {
    let start = text.len() - text.trim_start().len();
    let from = start + quoted_len(&text[start..]).unwrap_or(0);
    let mut escaped = false;
    let found = text[from..].char_indices().find(|&(_, c)| {
        let here = c == mark && !escaped;
        escaped = c == '\\' && !escaped;
        here
    });
    found.map(|(at, _)| from + at)
}

/// The length of a quoted name that the text begins with, its quotes included.
fn quoted_len(text: &str) -> Option<usize> {
    let mut quotes = text.match_indices('"').map(|(at, _)| at);
    if quotes.next() != Some(0) {
        return None;
    }
    loop {
        let end = quotes.next()?;
        if !text[end + 1..].starts_with('"') {
            return Some(end + 1);
        }
        quotes.next();
    }
}

/// A name without the quotes and backslashes around what would mean something else.
pub fn unquoted(name: &str) -> String {
    if quoted_len(name) == Some(name.len()) {
        return name[1..name.len() - 1].replace("\"\"", "\"");
    }
    let mut escaped = false;
    let kept = name.chars().filter(|&c| {
        escaped = c == '\\' && !escaped;
        !escaped
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_told_apart_whatever_stands_in_them() {
        let classes = known(&[
            "a",
            "b",
            "a,b",
            "base",
            r"back\slash",
            "say \"x\"",
            " wide ",
        ]);
        for (typed, expected) in [
            ("a, b", &["a", "b"][..]),
            ("a,b", &["a,b"]),
            (r#""a","b""#, &["a", "b"]),
            (r"a\,b,a", &["a,b", "a"]),
            (r#""a,b",base"#, &["a,b", "base"]),
            (r"back\slash,b", &[r"back\slash", "b"]),
            (r"back\\slash,b", &[r"back\slash", "b"]),
            (r#""say ""x""",a"#, &["say \"x\"", "a"]),
            (r#"say "x",a"#, &["say \"x\"", "a"]),
            (r#"" wide ",a"#, &[" wide ", "a"]),
            (r#""open,a"#, &["\"open", "a"]),
        ] {
            assert_eq!(names(typed, &classes).unwrap(), expected, "{typed}");
        }
        assert!(names("a,,b", &classes).is_err());
        assert!(names("", &classes).is_err());
        // With nothing known, as the names of a model that comes without.
        assert_eq!(names("a,b", &[]).unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_joined_list_is_read_back() {
        let all = known(&[
            "a",
            "a,b",
            "base",
            "all",
            r"c\",
            "\"",
            "\"q\"",
            " w ",
            "\u{e9},\u{e8}",
            "x=1",
        ]);
        assert_eq!(names(&joined(&all), &[]).unwrap(), all);
        assert_eq!(joined(&known(&["face", "flag"])), "face,flag");
    }

    #[test]
    fn a_name_ends_at_the_first_mark_outside_of_it() {
        let split = |text| split_at_equals(text);
        assert_eq!(split("face=lora/"), Some(("face".into(), "lora/")));
        assert_eq!(split(r#""a=b,c"=x=y"#), Some(("a=b,c".into(), "x=y")));
        assert_eq!(split(r"a\=b=x"), Some(("a=b".into(), "x")));
        assert_eq!(split("face"), None);
        assert_eq!(parts(r#""a,b"=0.5, c=1"#), [r#""a,b"=0.5"#, " c=1"]);
    }
}
