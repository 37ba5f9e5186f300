//! The settings of a method: what there is, what was given, and what follows.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::str::FromStr;

/// A setting that a method has.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its value if nothing is said.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// A value for every setting of a method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// The defaults, and what was given over them.
    ///
    /// # Errors
    /// A setting the method does not have.
    pub fn new(
        method: &'static str,
        known: &[Setting],
        given: &BTreeMap<String, String>,
    ) -> Result<Self> {
        if let Some(found) = given
            .keys()
            .find(|name| known.iter().all(|s| s.name != **name))
        {
            let names: Vec<&str> = known.iter().map(|s| s.name).collect();
            let nearest = names
                .iter()
                .min_by_key(|name| strsim::levenshtein(name, found));
            return Err(Error::UnknownSetting {
                method,
                found: found.clone(),
                known: match nearest {
                    None => "it has none".into(),
                    Some(near) => format!("it has {} (did you mean `{near}`?)", names.join(", ")),
                },
            });
        }
        let value = |s: &Setting| {
            given
                .get(s.name)
                .map_or(s.default, String::as_str)
                .to_owned()
        };
        Ok(Self(
            known.iter().map(|s| (s.name.into(), value(s))).collect(),
        ))
    }

    /// Every value by name.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The text of a setting.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A whole number of at least one.
    ///
    /// # Errors
    /// Anything else.
    pub fn count(&self, name: &'static str) -> Result<usize> {
        self.parsed(name, "a whole number of 1 or more", |&n: &usize| n > 0)
    }

    /// A positive number.
    ///
    /// # Errors
    /// Anything else.
    pub fn positive(&self, name: &'static str) -> Result<f64> {
        self.parsed(name, "a positive number", |&x: &f64| {
            x > 0.0 && x.is_finite()
        })
    }

    /// A share of something that is not all of it.
    ///
    /// # Errors
    /// Anything else.
    pub fn share(&self, name: &'static str) -> Result<f64> {
        self.parsed(name, "a number of 0 or more, below 1", |x: &f64| {
            (0.0..1.0).contains(x)
        })
    }

    /// One of some words.
    ///
    /// # Errors
    /// Another word.
    pub fn choice(&self, name: &'static str, words: &[&str]) -> Result<usize> {
        let found = self.text(name);
        let at = words.iter().position(|word| *word == found);
        at.ok_or_else(|| self.bad(name, &words.join(" or ")))
    }

    /// The error for a value that cannot be.
    pub fn bad(&self, name: &'static str, expected: &str) -> Error {
        Error::SettingValue {
            setting: name,
            found: self.text(name).into(),
            expected: expected.into(),
        }
    }

    fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        expected: &str,
        good: impl Fn(&T) -> bool,
    ) -> Result<T> {
        let parsed = self.text(name).parse().ok().filter(good);
        parsed.ok_or_else(|| self.bad(name, expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Setting; 2] = [
        Setting {
            name: "rank",
            default: "8",
            about: "",
        },
        Setting {
            name: "alpha",
            default: "16",
            about: "",
        },
    ];

    fn with(name: &str, value: &str) -> Result<Settings> {
        Settings::new(
            "lora",
            &KNOWN,
            &BTreeMap::from([(name.into(), value.into())]),
        )
    }

    #[test]
    fn defaults_hold_where_nothing_is_given() {
        let settings = with("rank", "4").unwrap();
        assert_eq!(settings.count("rank").unwrap(), 4);
        assert_eq!(settings.positive("alpha").unwrap(), 16.0);
    }

    #[test]
    fn wrong_names_and_values_say_what_would_be_right() {
        let text = with("rnak", "4").unwrap_err().to_string();
        assert!(text.contains("did you mean `rank`"), "{text}");
        for value in ["0", "-1", "x", "2.5"] {
            let text = with("rank", value)
                .unwrap()
                .count("rank")
                .unwrap_err()
                .to_string();
            assert!(
                text.contains("`method.rank`") && text.contains("1 or more"),
                "{text}"
            );
        }
        let text = with("alpha", "inf")
            .unwrap()
            .positive("alpha")
            .unwrap_err()
            .to_string();
        assert!(text.contains("positive"), "{text}");
        for value in ["1", "-0.1", "NaN", "half"] {
            let text = with("alpha", value)
                .unwrap()
                .share("alpha")
                .unwrap_err()
                .to_string();
            assert!(text.contains("below 1"), "{text}");
        }
    }
}
