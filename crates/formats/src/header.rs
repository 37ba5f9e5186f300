//! What a weight file says about itself, kept in the string metadata of the safetensors container.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::container;
use crate::error::{FormatError, Result};

/// The version written, and the newest one read.
pub const FORMAT_VERSION: u32 = 1;

const VERSION_KEY: &str = "format_version";
const KIND_KEY: &str = "kind";
const CONFIG_KEY: &str = "config";
const CLASS_NAMES_KEY: &str = "class_names";
const LEARNGENE_KEY: &str = "learngene_blake3";
const RESERVED_KEYS: [&str; 5] = [
    VERSION_KEY,
    KIND_KEY,
    CONFIG_KEY,
    CLASS_NAMES_KEY,
    LEARNGENE_KEY,
];

/// What a weight file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A whole model that can sample.
    Model,
    /// What all classes share.
    Learngene,
    /// What some classes add to one learngene.
    Tailor,
    /// What another adaptation method adds to one model.
    Adapter,
    /// Moments of the optimiser.
    Optimiser,
    /// The exponential moving average of a model's weights.
    Ema,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Model,
        Self::Learngene,
        Self::Tailor,
        Self::Adapter,
        Self::Optimiser,
        Self::Ema,
    ];

    /// The name in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Learngene => "learngene",
            Self::Tailor => "tailor",
            Self::Adapter => "adapter",
            Self::Optimiser => "optimiser",
            Self::Ema => "ema",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a weight file says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// What the file holds.
    pub kind: Kind,
    /// The whole config.
    pub config: serde_json::Value,
    /// Names of the classes, in label order.
    pub class_names: Vec<String>,
    /// The [`crate::fingerprint`] of the learngene this belongs to.
    pub learngene: Option<String>,
    /// Anything else, as strings; the names of the fields above are taken.
    pub extra: BTreeMap<String, String>,
}

impl Header {
    /// A header without class names, learngene and extras.
    pub fn new(kind: Kind, config: serde_json::Value) -> Self {
        Self {
            kind,
            config,
            class_names: Vec::new(),
            learngene: None,
            extra: BTreeMap::new(),
        }
    }

    /// Reads the header of `path` alone; the tensors stay on disk.
    ///
    /// # Errors
    /// Those of [`crate::WeightFile::read`], tensor types aside.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_metadata(container::read_metadata(path)?, path)
    }

    pub(crate) fn to_metadata(&self) -> Result<BTreeMap<String, String>> {
        let mut metadata = self.extra.clone();
        if let Some(name) = RESERVED_KEYS
            .iter()
            .find(|name| metadata.contains_key(**name))
        {
            return Err(container::unstorable(
                name,
                "an extra cannot have the name of a header field",
            ));
        }
        let json = |value: serde_json::Result<String>| {
            value.map_err(|_| container::unstorable(CONFIG_KEY, "it is not representable as JSON"))
        };
        metadata.insert(VERSION_KEY.into(), FORMAT_VERSION.to_string());
        metadata.insert(KIND_KEY.into(), self.kind.to_string());
        metadata.insert(
            CONFIG_KEY.into(),
            json(serde_json::to_string(&self.config))?,
        );
        metadata.insert(
            CLASS_NAMES_KEY.into(),
            json(serde_json::to_string(&self.class_names))?,
        );
        if let Some(hash) = &self.learngene {
            metadata.insert(LEARNGENE_KEY.into(), hash.clone());
        }
        Ok(metadata)
    }

    pub(crate) fn from_metadata(
        mut metadata: BTreeMap<String, String>,
        path: &Path,
    ) -> Result<Self> {
        let unusable = |key: &str, reason: String| FormatError::Metadata {
            path: path.to_path_buf(),
            key: key.to_owned(),
            reason,
        };
        let Some(version) = metadata.remove(VERSION_KEY) else {
            return Err(FormatError::NotLearngene {
                path: path.to_path_buf(),
            });
        };
        match version.parse::<u32>() {
            Ok(FORMAT_VERSION) => {}
            Ok(found) if found > FORMAT_VERSION => {
                return Err(FormatError::NewerVersion {
                    path: path.to_path_buf(),
                    found,
                    supported: FORMAT_VERSION,
                });
            }
            _ => return Err(unusable(VERSION_KEY, format!("`{version}` is no version"))),
        }
        let mut take = |key| {
            metadata
                .remove(key)
                .ok_or_else(|| unusable(key, "it is missing".into()))
        };
        let kind = take(KIND_KEY)?;
        let config = take(CONFIG_KEY)?;
        let class_names = take(CLASS_NAMES_KEY)?;
        let learngene = metadata.remove(LEARNGENE_KEY);
        if let Some(hash) = &learngene
            && !is_fingerprint(hash)
        {
            let reason = format!("`{hash}` is not 64 lower-case hex digits");
            return Err(unusable(LEARNGENE_KEY, reason));
        }
        Ok(Self {
            kind: Kind::ALL
                .into_iter()
                .find(|known| known.as_str() == kind)
                .ok_or_else(|| unusable(KIND_KEY, format!("`{kind}` is unknown")))?,
            config: serde_json::from_str(&config)
                .map_err(|error| unusable(CONFIG_KEY, error.to_string()))?,
            class_names: serde_json::from_str(&class_names)
                .map_err(|error| unusable(CLASS_NAMES_KEY, error.to_string()))?,
            learngene,
            extra: metadata,
        })
    }
}

fn is_fingerprint(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
