//! CIFAR-10's binary batches: records of one label byte and 3 x 1024 bytes, the planes of a 32x32 RGB image.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use learngene_formats::read_text;

use super::{CIFAR10_CLASSES, Sample, Source, owned, text};
use crate::error::{Error, Result};
use crate::{Image, Split};

const SIDE: u32 = 32;
const AREA: usize = 1024;
const RECORD: usize = 1 + 3 * AREA;

/// The largest batch file that is read, bytes; the real ones hold 31 MB.
const MAX_BYTES: u64 = 1 << 30;

/// The batches of a folder, or one batch file.
#[derive(Debug)]
pub(super) struct CifarBinary {
    name: String,
    classes: Vec<String>,
    batches: Vec<(PathBuf, Option<Split>)>,
    records: usize,
}

impl CifarBinary {
    /// Opens a folder with `data_batch_*.bin` or `test_batch.bin`, or one such file; `None` if the path is neither.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let mut batches = Vec::new();
        if path.is_dir() {
            let mut paths = Vec::new();
            for entry in fs::read_dir(path).map_err(Error::io(path))? {
                paths.push(entry.map_err(Error::io(path))?.path());
            }
            paths.sort();
            batches.extend(
                paths
                    .into_iter()
                    .filter_map(|path| batch_split(&path).map(|split| (path, Some(split)))),
            );
        } else if batch_split(path).is_some() {
            batches.push((path.to_owned(), None));
        }
        if batches.is_empty() {
            return Ok(None);
        }
        let folder = if path.is_dir() {
            path
        } else {
            path.parent().unwrap_or(Path::new(""))
        };
        let mut records = 0;
        for (batch, _) in &batches {
            let length = fs::metadata(batch).map_err(Error::io(batch))?.len();
            if length == 0 || length % RECORD as u64 != 0 || length > MAX_BYTES {
                return Err(Error::format(
                    batch,
                    format!("whole records of {RECORD} bytes"),
                    format!("{length} bytes"),
                ));
            }
            records += length as usize / RECORD;
        }
        Ok(Some(Self {
            name: text(path),
            classes: class_names(&folder.join("batches.meta.txt"))?,
            batches,
            records,
        }))
    }

    /// The records of a batch, one after another.
    fn read<'a>(
        &'a self,
        path: &'a Path,
        split: Option<Split>,
    ) -> Result<impl Iterator<Item = Result<Sample>> + 'a> {
        let file = File::open(path).map_err(Error::io(path))?;
        let records = file.metadata().map_err(Error::io(path))?.len() / RECORD as u64;
        let mut file = BufReader::new(file);
        let mut record = [0; RECORD];
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let sample = move |number: u64| {
            file.read_exact(&mut record).map_err(Error::io(path))?;
            let class = usize::from(record[0]);
            if class >= self.classes.len() {
                let expected = format!("labels below {}", self.classes.len());
                return Err(Error::format(
                    path,
                    expected,
                    format!("label {class} in record {number}"),
                ));
            }
            let pixels = (0..AREA)
                .flat_map(|at| [0, 1, 2].map(|channel| record[1 + channel * AREA + at]))
                .collect();
            let image = Image {
                width: SIDE,
                height: SIDE,
                channels: 3,
                pixels,
            };
            Ok(Sample {
                content: image.into(),
                class,
                split,
                id: format!("{stem}-{number}"),
            })
        };
        Ok((0..records).map(sample))
    }
}

/// The split of a batch file, `None` if the name is not one of a batch.
fn batch_split(path: &Path) -> Option<Split> {
    let name = path.file_name()?.to_str()?.strip_suffix(".bin")?;
    match name {
        "test_batch" => Some(Split::Test),
        _ if name.starts_with("data_batch_") => Some(Split::Train),
        _ => None,
    }
}

fn class_names(path: &Path) -> Result<Vec<String>> {
    if !path.is_file() {
        return Ok(owned(&CIFAR10_CLASSES));
    }
    let names = read_text(path).map_err(Error::io(path))?;
    let names: Vec<String> = names
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    if names.is_empty() || names.len() > 256 {
        return Err(Error::format(
            path,
            "1 to 256 class names, one a line",
            format!("{}", names.len()),
        ));
    }
    Ok(names)
}

impl Source for CifarBinary {
    fn name(&self) -> &str {
        &self.name
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn known_len(&self) -> Option<usize> {
        Some(self.records)
    }

    fn samples(&self) -> Box<dyn Iterator<Item = Result<Sample>> + '_> {
        Box::new(self.batches.iter().flat_map(|(path, split)| {
            let (samples, failed) = match self.read(path, *split) {
                Ok(samples) => (Some(samples), None),
                Err(error) => (None, Some(Err(error))),
            };
            samples.into_iter().flatten().chain(failed)
        }))
    }
}
