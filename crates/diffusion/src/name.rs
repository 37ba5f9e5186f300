//! Names of enum variants as they stand in configurations and on the command line.

use crate::DiffusionError;

/// How different a word may be and still be taken for a slip of the keyboard.
const SLIP: f64 = 0.6;

/// Finds `found` among `known`, ignoring case, or names the nearest.
pub(crate) fn parse<T: Copy>(
    what: &'static str,
    found: &str,
    known: &[(&'static str, T)],
) -> Result<T, DiffusionError> {
    let lower = found.to_lowercase();
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == lower) {
        return Ok(*value);
    }
    let nearest = known
        .iter()
        .map(|(name, _)| (strsim::jaro_winkler(&spoken(name), &spoken(&lower)), *name))
        .filter(|(likeness, _)| *likeness >= SLIP)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name);
    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
    Err(DiffusionError::UnknownName {
        what,
        found: found.to_owned(),
        known: names.join(", "),
        nearest,
    })
}

/// A name as one says it: programs write `dpm++2m` as `dpmpp_2m` too.
fn spoken(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric() || *c == '+');
    letters.map(|c| if c == '+' { 'p' } else { c }).collect()
}

/// Implements `Display`, `FromStr` and serde as the names in the variant table `NAMES`.
macro_rules! named {
    ($type:ty, $what:literal) => {
        impl $type {
            /// Its name in configurations and on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                Self::NAMES
                    .iter()
                    .find(|(_, value)| *value == self)
                    .map_or("", |(name, _)| *name)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::DiffusionError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::name::parse($what, text, Self::NAMES)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use named;
