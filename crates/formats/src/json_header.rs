//! The JSON header of a safetensors file, read with every name exactly once.
//!
//! Deserialising into a map would keep the last of two equal names and drop the first unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use safetensors::tensor::TensorInfo;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The name under which the header keeps its strings.
pub(crate) const METADATA_KEY: &str = "__metadata__";

/// What parsed JSON may take, in units of 32 bytes: 192 MiB. A hundred megabytes of text, which a header may have, can be
/// gigabytes of tiny objects.
const MAX_WEIGHT: usize = 6 << 20;

/// Refuses JSON that takes too much memory when it is parsed, by its marks alone: each part of a list is a value of 32
/// bytes, and lists and objects make room for more parts than they have.
///
/// # Errors
/// The reason.
pub(crate) fn require_light(json: &[u8]) -> std::result::Result<(), String> {
    let weight = |byte: &u8| match byte {
        b',' | b':' => 1,
        b'[' => 5,
        b'{' => 20,
        _ => 0,
    };
    match json.iter().map(weight).sum::<usize>() {
        ..=MAX_WEIGHT => Ok(()),
        _ => Err("its JSON has more lists and objects than any description of a model".into()),
    }
}

/// The JSON header with every name exactly once.
#[derive(Default)]
pub(crate) struct HeaderIn {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for HeaderIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = HeaderIn;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<HeaderIn, A::Error> {
        let mut header = HeaderIn::default();
        let mut seen = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format_args!(
                    "`{name}` stands there twice"
                )));
            }
            if name == METADATA_KEY {
                header.metadata = map.next_value::<UniqueStrings>()?.0;
            } else {
                header.tensors.push((name, map.next_value()?));
            }
        }
        Ok(header)
    }
}

/// A map of strings with every key exactly once.
pub(crate) struct UniqueStrings(pub(crate) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for UniqueStrings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueStringsVisitor)
    }
}

struct UniqueStringsVisitor;

impl<'de> Visitor<'de> for UniqueStringsVisitor {
    type Value = UniqueStrings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(
        self,
        mut map: A,
    ) -> std::result::Result<UniqueStrings, A::Error> {
        let mut strings = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if strings.contains_key(&key) {
                return Err(A::Error::custom(format_args!("`{key}` stands there twice")));
            }
            strings.insert(key, value);
        }
        Ok(UniqueStrings(strings))
    }
}
