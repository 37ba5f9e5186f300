//! Images to be judged: from a data set, an archive or a folder.

use crate::failure::{Failure, Result};
use crate::features::views;
use crate::{output, verbs};
use learngene_data::{Dataset, Image, Split, source};
use learngene_eval::ImageView;
use learngene_formats::ImageArchive;
use learngene_train::DataConfig;
use std::path::Path;

/// Images, and what class each is of.
pub struct Pictures {
    store: Store,
    pub labels: Labels,
    /// The data set that they are of.
    pub dataset: Option<Dataset>,
}

/// Where the pixels lie. An archive may be many gigabytes and stays in one piece.
enum Store {
    Images(Vec<Image>),
    Archive(ImageArchive),
}

/// How classes are told.
pub enum Labels {
    None,
    /// By number.
    Numbers(Vec<i64>),
    /// By name.
    Names(Vec<String>),
}

impl Pictures {
    /// Opens whatever lies at `data.source`: an archive, a folder that holds images itself, or a data set.
    pub fn open(data: &DataConfig) -> Result<Self> {
        let (source, split) = split_of(&data.source);
        let path = Path::new(source);
        let unlabelled = |store| Self {
            store,
            labels: Labels::None,
            dataset: None,
        };
        let npz = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("npz"));
        if npz && path.is_file() {
            plain(data, split, "an archive")?;
            let mut archive = ImageArchive::read(path)?;
            return Ok(Self {
                labels: archive.labels.take().map_or(Labels::None, Labels::Numbers),
                ..unlabelled(Store::Archive(archive))
            });
        }
        if path.is_dir() && (source::open(source, None).is_err() || source::is_flat(path)?) {
            let images = source::images_in(path)?;
            if !images.is_empty() {
                plain(data, split, "a folder without class folders")?;
                return Ok(unlabelled(Store::Images(images)));
            }
        }
        let data = DataConfig {
            source: source.to_owned(),
            ..data.clone()
        };
        let dataset = verbs::load(&data)?;
        let splits = Split::ALL
            .into_iter()
            .filter(|s| split.is_none_or(|split| split == *s));
        let places = splits.flat_map(|split| (0..dataset.len(split)).map(move |i| (split, i)));
        let class = |(split, i)| dataset.classes()[dataset.class_of(split, i)].clone();
        Ok(Self {
            store: Store::Images(
                (places.clone())
                    .map(|(split, i)| dataset.image(split, i))
                    .collect::<learngene_data::Result<_>>()?,
            ),
            labels: Labels::Names(places.map(class).collect()),
            dataset: Some(dataset),
        })
    }

    /// The images.
    pub fn views(&self) -> Vec<ImageView<'_>> {
        match &self.store {
            Store::Images(images) => views(images),
            Store::Archive(archive) => {
                let view = |pixels| ImageView {
                    width: archive.width,
                    height: archive.height,
                    channels: archive.channels,
                    pixels,
                };
                archive.images().map(view).collect()
            }
        }
    }

    /// The class of each image as a number among `classes`.
    pub fn classes_among(&self, classes: &[String]) -> Result<Vec<usize>> {
        let unknown = |found: &dyn std::fmt::Display| {
            Failure::Usage(format!(
                "a generated image is of class `{found}`, which is none of {}: give the classes in the model's order with --classes",
                classes.join(", ")
            ))
        };
        match &self.labels {
            Labels::None => Err(Failure::Usage(
                "the probe needs the class of each generated image: give an archive with arr_1, or class folders".into(),
            )),
            Labels::Numbers(numbers) => {
                let place = |&n: &i64| usize::try_from(n).ok().filter(|&n| n < classes.len());
                numbers.iter().map(|n| place(n).ok_or_else(|| unknown(n))).collect()
            }
            Labels::Names(names) => {
                let place = |name: &String| classes.iter().position(|class| class == name);
                names.iter().map(|n| place(n).ok_or_else(|| unknown(n))).collect()
            }
        }
    }
}

/// Refuses what can only be asked of a data set.
fn plain(data: &DataConfig, split: Option<Split>, what: &str) -> Result<()> {
    if split.is_some() || data.classes != "all" || data.class_map.is_some() {
        return Err(Failure::Usage(format!(
            "{} is {what}: it has no splits and no class names to choose by",
            data.source
        )));
    }
    if data.image_size.is_some() {
        output::note(
            "warning: --image-size is for data sets alone; these images are taken as they are",
        );
    }
    Ok(())
}

/// `SOURCE:test` is one split of SOURCE.
fn split_of(spec: &str) -> (&str, Option<Split>) {
    let named = spec.rsplit_once(':').and_then(|(source, name)| {
        let split = Split::ALL.into_iter().find(|split| split.name() == name)?;
        Some((source, Some(split)))
    });
    named.unwrap_or((spec, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_told_from_a_source() {
        assert_eq!(split_of("builtin:emoji"), ("builtin:emoji", None));
        let test = ("builtin:emoji", Some(Split::Test));
        assert_eq!(split_of("builtin:emoji:test"), test);
        assert_eq!(split_of("a:b/:training"), ("a:b/:training", None));
    }
}
