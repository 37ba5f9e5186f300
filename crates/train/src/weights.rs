//! Models as weight files.

use crate::{config::RunConfig, error::Result};
use burn::module::Module;
use burn::tensor::Device;
use learngene_formats::{
    FormatError, Header, Kind, TensorEntry, TensorSource, WeightFile, WeightWriter, fingerprint,
    fingerprint_of,
};
use learngene_nn::{
    Dit,
    params::{self, Part, Values},
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// Parameters by name.
pub type Parameters = BTreeMap<String, Values>;

/// Parameters as the tensors of a file.
pub fn entries(parameters: &Parameters) -> BTreeMap<String, TensorEntry> {
    let entry = |v: &Values| TensorEntry {
        shape: v.shape.clone(),
        values: v.values.clone(),
    };
    parameters
        .iter()
        .map(|(n, v)| (n.clone(), entry(v)))
        .collect()
}

/// Parameters on their way to a file.
pub type Sources<'a> = BTreeMap<String, TensorSource<'a>>;

/// Parameters that are lent to a file.
pub fn lent(parameters: &Parameters) -> Sources<'_> {
    let mut sources = Sources::new();
    for (name, Values { shape, values }) in parameters {
        sources.insert(name.clone(), TensorSource::lent(shape.clone(), values));
    }
    sources
}

/// The parameters of a model, each of them read when its turn comes.
pub fn of_model<'a, M: Module>(model: &M) -> Sources<'a> {
    let source = |lent: params::Lent| {
        TensorSource::new(lent.shape.clone(), move || Cow::Owned(lent.values()))
    };
    params::lent(model)
        .into_iter()
        .map(|(name, lent)| (name, source(lent)))
        .collect()
}

/// Identity of what tailors are trained against: BLAKE3 of everything but tailors, adapters and the label rows of
/// classes. The null row counts, because guidance draws with it.
pub fn learngene_hash(parameters: &Sources<'_>) -> String {
    let added = [Part::Tailors, Part::Adapters, Part::Fixed];
    let shared = parameters
        .iter()
        .filter(|(name, _)| !added.contains(&Part::of(name)))
        .map(|(name, tensor)| {
            let null_alone = name == "label.table";
            let width = tensor.shape.last().copied().unwrap_or(0);
            let shape = match null_alone {
                true => vec![1, width],
                false => tensor.shape.clone(),
            };
            let values = move || match (null_alone, tensor.values()) {
                (true, all) => Cow::Owned(all[all.len().saturating_sub(width)..].to_vec()),
                (false, all) => all,
            };
            (name.clone(), TensorSource::new(shape, values))
        });
    fingerprint_of(&shared.collect())
}

/// A file of that kind that needs no side file: configuration, class names and the learngene's hash are in its header. Where
/// the images lie that it was trained on is not ([`crate::DataConfig::without_place`]), as such files are passed on.
pub fn file<'a>(kind: Kind, config: &RunConfig, parameters: Sources<'a>) -> WeightWriter<'a> {
    let header = header(kind, config, learngene_hash(&parameters));
    WeightWriter::new(header, parameters)
}

/// Bytes of [`file()`] for a model of that configuration, whatever its values are.
///
/// # Errors
/// A configuration whose header no file can hold.
pub fn size(kind: Kind, config: &RunConfig) -> Result<u64> {
    let unread = |shape: Vec<usize>| TensorSource::new(shape, || Cow::Owned(Vec::new()));
    let tensors = params::layout(&config.model)
        .into_iter()
        .map(|(name, shape)| (name, unread(shape)))
        .collect();
    // every hash is as long as this one
    let header = header(kind, config, fingerprint(&BTreeMap::new()));
    Ok(WeightWriter::new(header, tensors).size()?)
}

fn header(kind: Kind, config: &RunConfig, learngene: String) -> Header {
    let config = RunConfig {
        data: config.data.without_place(),
        ..config.clone()
    };
    let json = serde_json::to_value(&config).unwrap_or_default();
    let mut header = Header::new(kind, json);
    header.class_names = config.classes;
    header.learngene = Some(learngene);
    header
}

/// The configuration in a file's header.
pub fn config_of(header: &Header, path: &Path) -> Result<RunConfig> {
    checked(&header.config).map_err(|reason| {
        FormatError::Metadata {
            path: path.into(),
            key: "config".into(),
            reason,
        }
        .into()
    })
}

/// A configuration as a file of another program may carry it.
///
/// # Errors
/// What is wrong with it.
pub fn checked(json: &serde_json::Value) -> std::result::Result<RunConfig, String> {
    let config: RunConfig = serde_json::from_value(json.clone()).map_err(|e| e.to_string())?;
    config.model.validate().map_err(|e| e.to_string())?;
    config.train.validate().map_err(|e| e.to_string())?;
    let (names, classes) = (config.classes.len(), config.model.num_classes);
    if names != classes {
        return Err(format!(
            "{names} class names for a model of {classes} classes"
        ));
    }
    Ok(config)
}

/// A model read from a file of kind model or moving average, strictly: every tensor, and nothing else.
pub fn read(path: &Path, device: &Device) -> Result<(RunConfig, Dit)> {
    let file = WeightFile::read(path)?;
    if file.header.kind != Kind::Ema {
        file.require_kind(Kind::Model)?;
    }
    let config = config_of(&file.header, path)?;
    file.check_strict(&params::layout(&config.model))?;
    let model = Dit::of(&config.model, parameters(file.tensors), device)?;
    Ok((config, model))
}

/// The tensors of a file as parameters.
pub fn parameters(tensors: BTreeMap<String, TensorEntry>) -> Parameters {
    let value = |t: TensorEntry| Values {
        shape: t.shape,
        values: t.values,
    };
    tensors.into_iter().map(|(n, t)| (n, value(t))).collect()
}
