//! Where the tensors of an adapter lie, and where what is said of them.

use super::peft::PeftConfig;
use super::{CONFIG, PEFT_PREFIX, WEIGHTS};
use crate::error::{Error, Result};
use learngene_formats::{FormatError, Take, TensorEntry, container, shards, torch};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// What diffusers calls the file in a folder, without the end of the name.
const DIFFUSERS_WEIGHTS: &str = "pytorch_lora_weights";
/// Where diffusers and SimpleTuner keep PEFT's configuration in the header of a safetensors file.
const IN_HEADER: &str = "lora_adapter_metadata";
/// What diffusers puts before a name, and before the keys of that configuration.
const NETWORKS: [&str; 2] = ["transformer.", "unet."];

/// An adapter as it was saved.
pub(super) struct Saved {
    pub tensors: BTreeMap<String, TensorEntry>,
    /// What PEFT says of it, if anything does.
    pub config: Option<PeftConfig>,
}

impl Saved {
    /// A folder of PEFT's or of diffusers', or one file.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Self::of_file(path);
        }
        let described = path.join(CONFIG);
        if !described.is_file() && shards::Weights::find(path, WEIGHTS)?.is_none() {
            let weights = shards::Weights::find(path, DIFFUSERS_WEIGHTS)?;
            if let Some(weights) = weights {
                return Self::of_file(weights.path());
            }
        }
        let weights = shards::required(path, WEIGHTS)?;
        let tensors = match weights.path().extension().is_some_and(|end| end == "json") {
            true => weights.read()?,
            false => tensors(weights.path())?,
        };
        let config = Some(config_at(&described)?);
        Ok(Self { tensors, config })
    }

    fn of_file(path: &Path) -> Result<Self> {
        let tensors = tensors(path)?;
        let of_peft = tensors.keys().any(|name| name.starts_with(PEFT_PREFIX));
        let name = path.file_stem().and_then(|name| name.to_str());
        let beside = path.with_file_name(CONFIG);
        if (of_peft || name == Some(WEIGHTS)) && beside.is_file() {
            let config = Some(config_at(&beside)?);
            return Ok(Self { tensors, config });
        }
        let config = match torch::is_one(path)? {
            true => None,
            false => in_header(path, &tensors)?,
        };
        if of_peft && config.is_none() {
            return Err(Error::Import {
                path: path.into(),
                reason: format!(
                    "its names are PEFT's, and {CONFIG}, which says its alpha, is not beside it: give both files in one folder"
                ),
            });
        }
        Ok(Self { tensors, config })
    }
}

/// All tensors of a file; alphas may be whole numbers.
fn tensors(path: &Path) -> Result<BTreeMap<String, TensorEntry>> {
    let take = |name: &str| match name.ends_with(".alpha") {
        true => Take::Numbers,
        false => Take::Floats,
    };
    Ok(match torch::is_one(path)? {
        true => torch::read_taking(path, None, take)?.tensors,
        false => container::read_taking(path, take)?.tensors,
    })
}

fn config_at(path: &Path) -> Result<PeftConfig> {
    let described: Map<String, Value> = shards::read_json(path)?;
    let refuse = |reason: String| Error::Import {
        path: path.into(),
        reason,
    };
    if !described.contains_key("peft_type") {
        return Err(refuse(
            "its `peft_type` is missing, only LORA can be read".into(),
        ));
    }
    PeftConfig::understand(&described).map_err(refuse)
}

/// PEFT's configuration in the header of a safetensors file. Its keys begin as the names of the tensors do.
fn in_header(path: &Path, tensors: &BTreeMap<String, TensorEntry>) -> Result<Option<PeftConfig>> {
    let metadata = container::read_metadata(path)?;
    let Some(text) = metadata.get(IN_HEADER) else {
        return Ok(None);
    };
    let described: Map<String, Value> =
        serde_json::from_str(text).map_err(|e| FormatError::Foreign {
            path: path.into(),
            reason: format!("`{IN_HEADER}` in its header is no JSON: {e}"),
        })?;
    let network = NETWORKS
        .into_iter()
        .find(|network| tensors.keys().any(|name| name.starts_with(network)));
    let own = described
        .into_iter()
        .filter_map(|(key, value)| match network {
            Some(network) => Some((key.strip_prefix(network)?.to_owned(), value)),
            None => (!key.contains('.')).then_some((key, value)),
        });
    let own: Map<String, Value> = own.collect();
    if own.is_empty() {
        return Ok(None);
    }
    let config = PeftConfig::understand(&own).map_err(|reason| Error::Import {
        path: path.into(),
        reason: format!("`{IN_HEADER}` in its header: {reason}"),
    })?;
    Ok(Some(config))
}
