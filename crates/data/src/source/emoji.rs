//! The built-in pack: emoji drawings of 32x32 pixels on white, 20 classes, embedded in the program.
//!
//! One sheet of tiles (64 a row) and one list of labels, splits and drawings for each style. A drawing is in one split
//! whatever its vendor or skin tone. See `assets/emoji/LICENCES.md` for whose drawings these are.

use std::path::Path;

use serde::Deserialize;

use super::{Partition, Sample, Source};
use crate::error::{Error, Result};
use crate::image::decode_png;
use crate::{Image, Split};

/// The packs there are, without the `builtin:` before them.
pub(super) const NAMES: [&str; 2] = ["emoji", "emoji-fluent3d"];

const FLAT: [&[u8]; 2] = [
    include_bytes!("../../../../assets/emoji/emoji-flat.png"),
    include_bytes!("../../../../assets/emoji/emoji-flat.json"),
];
const FLUENT_3D: [&[u8]; 2] = [
    include_bytes!("../../../../assets/emoji/emoji-fluent3d.png"),
    include_bytes!("../../../../assets/emoji/emoji-fluent3d.json"),
];

/// The list beside a sheet.
#[derive(Debug, Deserialize)]
struct List {
    tile: u32,
    columns: u32,
    classes: Vec<String>,
    base: Vec<String>,
    novel: Vec<String>,
    labels: Vec<usize>,
    split: Vec<Split>,
    source: Vec<String>,
}

/// One opened pack.
#[derive(Debug)]
pub(super) struct Emoji {
    name: String,
    list: List,
    partition: Partition,
    sheet: Image,
}

impl Emoji {
    /// Opens the pack of this name, or `None` if there is none.
    pub(super) fn open(name: &str) -> Result<Option<Self>> {
        let [png, json] = match name {
            "emoji" => FLAT,
            "emoji-fluent3d" => FLUENT_3D,
            _ => return Ok(None),
        };
        let name = format!("builtin:{name}");
        let list: List = serde_json::from_slice(json).map_err(|error| {
            Error::format(
                &name,
                "a list of labels, splits and drawings",
                error.to_string(),
            )
        })?;
        let sheet = decode_png(png, Path::new(&name), crate::image::MAX_SIDE)?;
        let partition = Partition {
            base: list.base.clone(),
            novel: list.novel.clone(),
        };
        Ok(Some(Self {
            name,
            list,
            partition,
            sheet,
        }))
    }
}

impl Source for Emoji {
    fn name(&self) -> &str {
        &self.name
    }

    fn class_names(&self) -> &[String] {
        &self.list.classes
    }

    fn partition(&self) -> Option<&Partition> {
        Some(&self.partition)
    }

    fn known_len(&self) -> Option<usize> {
        Some(self.list.labels.len())
    }

    fn samples(&self) -> Box<dyn Iterator<Item = Result<Sample>> + '_> {
        let List { tile, columns, .. } = self.list;
        let entries = self
            .list
            .labels
            .iter()
            .zip(&self.list.split)
            .zip(&self.list.source);
        Box::new(
            (0..)
                .zip(entries)
                .map(move |(number, ((class, split), id))| {
                    let image = self.sheet.cropped(
                        number % columns * tile,
                        number / columns * tile,
                        tile,
                        tile,
                    );
                    Ok(Sample {
                        content: image.into(),
                        class: *class,
                        split: Some(*split),
                        id: id.clone(),
                    })
                }),
        )
    }
}
