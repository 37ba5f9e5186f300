//! The section `[data]`.

use crate::error::{Error, Result};
use learngene_data::{ClassSelection, Dataset, Fit, LoadOptions, Shares, Source, Split, source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Where the images come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A built-in pack or a path, as `learngene data inspect` takes. Empty where a file that is passed on does not say it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// `base`, `novel`, `all` or a list of names with commas.
    #[serde(default = "all")]
    pub classes: String,
    /// Side of the square that images become; the images' own size if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// How images become that square: `crop` cuts out the middle, `pad` adds white.
    #[serde(default, skip_serializing_if = "Fit::is_crop")]
    pub fit: Fit,
    /// The part of the images without a split of the source's own that validates; a tenth if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<f64>,
    /// The part of them that tests; a tenth if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<f64>,
    /// 1 or 3; the images' own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// A TOML that merges and picks classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_map: Option<PathBuf>,
    /// Whether images stay where they are and are read for each batch, instead of once into memory.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stream: bool,
    /// Whether a broken image is an error instead of being left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
    /// How many images to keep.
    #[serde(default, skip_serializing_if = "ImagesPerClass::is_all")]
    pub images_per_class: ImagesPerClass,
    /// Of latents: the BLAKE3 of the encoder that made them ([`learngene_data::LatentSpace`]). Absent for images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
}

/// Images kept of each class, evenly spaced in their order; all of a split of which nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagesPerClass {
    /// To train on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<usize>,
    /// To validate on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val: Option<usize>,
    /// To test on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<usize>,
}

impl ImagesPerClass {
    fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

const fn is_false(value: &bool) -> bool {
    !*value
}

fn all() -> String {
    "all".into()
}

impl DataConfig {
    /// All images of a source, as they are.
    pub fn of(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            classes: all(),
            image_size: None,
            fit: Fit::default(),
            val: None,
            test: None,
            channels: None,
            class_map: None,
            stream: false,
            strict: false,
            images_per_class: ImagesPerClass::default(),
            encoder: None,
        }
    }

    /// What a file that is passed on may say: how images were chosen and prepared, and which built-in pack they are of, but
    /// no place on the machine of whoever trained on them.
    #[must_use]
    pub fn without_place(&self) -> Self {
        let mut data = self.clone();
        if !data.source.starts_with("builtin:") {
            data.source.clear();
        }
        data.class_map = None;
        data
    }

    /// Opens the source, of which nothing but its list of samples is read.
    ///
    /// # Errors
    /// No source, or one that cannot be read.
    pub fn open(&self) -> Result<Box<dyn Source>> {
        if self.source.is_empty() {
            return Err(Error::Config {
                path: None,
                message: "no data source: files that are passed on do not say where their images lie; give --data, or \
                          `source` under [data]"
                    .into(),
            });
        }
        Ok(source::open(&self.source, self.class_map.as_deref())?)
    }

    /// How images are read.
    pub fn options(&self) -> LoadOptions {
        LoadOptions {
            image_size: self.image_size,
            fit: self.fit,
            shares: Shares {
                val: self.val,
                test: self.test,
            },
            channels: self.channels,
            class_map: self.class_map.clone(),
            stream: self.stream,
            strict: self.strict,
        }
    }

    /// Reads the data set. If an encoder is named, it must be latents of that one.
    pub fn load(&self) -> Result<Dataset> {
        self.load_from(self.open()?, None)
    }

    /// As [`DataConfig::load`], from the opened source. If these are the `known` classes in another order, they are
    /// numbered as those: an older version may have listed them otherwise.
    pub fn load_from(&self, source: Box<dyn Source>, known: Option<&[String]>) -> Result<Dataset> {
        let mut selection: ClassSelection = self.classes.parse()?;
        if let Some(known) = known {
            let names = selection.resolve(&*source)?;
            let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
            if names.len() == known.len() && sorted(&names) == sorted(known) {
                selection = ClassSelection::Names(known.to_vec());
            }
        }
        let mut dataset = Dataset::from_source(source, &selection, &self.options())?;
        let found = dataset.latent_space().map(|space| &space.encoder);
        if self.encoder.is_some() && self.encoder.as_ref() != found {
            let found = found.map_or("images", String::as_str);
            let message = format!(
                "{} holds {found}, not latents of the encoder {}: encode the images with the autoencoder that the model \
                 was trained with",
                self.source,
                self.encoder.as_deref().unwrap_or_default()
            );
            return Err(Error::Config {
                path: None,
                message,
            });
        }
        let ImagesPerClass { train, val, test } = self.images_per_class;
        for (split, count) in [
            (Split::Train, train),
            (Split::Val, val),
            (Split::Test, test),
        ] {
            if let Some(count) = count {
                dataset = dataset.with_images(split, count)?;
            }
        }
        Ok(dataset)
    }
}
