//! MNIST's idx format, plain or gzipped: a big-endian header (magic, count, for images rows and columns), then bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::{Sample, Source, text};
use crate::error::{Error, Result};
use crate::{Image, Split};

const IMAGES_MAGIC: u32 = 0x0803;
const LABELS_MAGIC: u32 = 0x0801;

/// The most one file may hold when unpacked, bytes; the largest common one (EMNIST) holds 0.6 GB.
const MAX_BYTES: u64 = 4 << 30;

/// An images file and its labels.
#[derive(Debug)]
struct Part {
    stem: String,
    split: Option<Split>,
    rows: u32,
    columns: u32,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

/// One or two parts in memory.
#[derive(Debug)]
pub(super) struct Idx {
    name: String,
    classes: Vec<String>,
    labels: Vec<u8>,
    parts: Vec<Part>,
}

impl Idx {
    /// Opens a folder with files of the usual names or an images file; `None` if the path is neither. The classes are
    /// the labels that occur, named by their number.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let mut parts = Vec::new();
        if path.is_dir() {
            for (stem, split) in [("train", Split::Train), ("t10k", Split::Test)] {
                if let Some(images) = find(
                    path,
                    &[
                        &format!("{stem}-images-idx3-ubyte"),
                        &format!("{stem}-images.idx3-ubyte"),
                    ],
                ) {
                    parts.push(Part::read(stem, Some(split), &images)?);
                }
            }
        } else if is_idx_file(path)? {
            parts.push(Part::read("image", None, path)?);
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let mut labels: Vec<u8> = parts
            .iter()
            .flat_map(|part| part.labels.iter().copied())
            .collect();
        labels.sort_unstable();
        labels.dedup();
        let classes = labels.iter().map(u8::to_string).collect();
        Ok(Some(Self {
            name: text(path),
            classes,
            labels,
            parts,
        }))
    }
}

impl Source for Idx {
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
        Box::new(self.parts.iter().flat_map(move |part| {
            let size = part.rows as usize * part.columns as usize;
            let images = part.pixels.chunks_exact(size);
            images
                .zip(&part.labels)
                .enumerate()
                .map(move |(number, (pixels, label))| {
                    let image = Image {
                        width: part.columns,
                        height: part.rows,
                        channels: 1,
                        pixels: pixels.to_vec(),
                    };
                    let class = self.labels.partition_point(|other| other < label);
                    Ok(Sample {
                        content: image.into(),
                        class,
                        split: part.split,
                        id: format!("{}-{number}", part.stem),
                    })
                })
        }))
    }
}

impl Part {
    fn read(stem: &str, split: Option<Split>, images: &Path) -> Result<Self> {
        let (header, pixels) = read(images, IMAGES_MAGIC, "idx images (magic 0x00000803)")?;
        let [count, rows, columns] = header[..] else {
            return Err(Error::format(
                images,
                "three dimensions",
                format!("{}", header.len()),
            ));
        };
        let labels_path = labels_beside(images)?;
        let (header, labels) = read(&labels_path, LABELS_MAGIC, "idx labels (magic 0x00000801)")?;
        if header != [count] {
            return Err(Error::format(
                labels_path,
                format!("{count} labels, as there are images"),
                format!("{header:?}"),
            ));
        }
        Ok(Self {
            stem: stem.to_owned(),
            split,
            rows,
            columns,
            pixels,
            labels,
        })
    }
}

/// The first of `names`, plain or gzipped, that is in the folder.
fn find(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    let candidates = names
        .iter()
        .flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]);
    candidates.into_iter().find(|path| path.is_file())
}

fn labels_beside(images: &Path) -> Result<PathBuf> {
    let name = images.file_name().unwrap_or_default().to_string_lossy();
    let stem = name
        .trim_end_matches(".gz")
        .replace("images", "labels")
        .replace("idx3", "idx1");
    let folder = images.parent().unwrap_or(Path::new(""));
    find(folder, &[&stem])
        .filter(|path| path != images)
        .ok_or_else(|| {
            Error::format(
                images,
                format!("its labels beside it, in `{stem}` or `{stem}.gz`"),
                "no such file",
            )
        })
}

/// Whether a file is one of idx images, by name or by its first bytes.
fn is_idx_file(path: &Path) -> Result<bool> {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    if name.contains("idx3-ubyte") {
        return Ok(true);
    }
    let mut magic = [0; 4];
    let mut file = File::open(path).map_err(Error::io(path))?;
    Ok(file.read_exact(&mut magic).is_ok() && u32::from_be_bytes(magic) == IMAGES_MAGIC)
}

/// Reads dimensions and bytes. What the header claims is checked before anything is allocated: against the length of a
/// plain file, and against [`MAX_BYTES`] for a gzipped one, of which no more than claimed is ever unpacked.
fn read(path: &Path, magic: u32, kind: &str) -> Result<(Vec<u32>, Vec<u8>)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let gzipped = path.extension().is_some_and(|extension| extension == "gz");
    let mut reader: Box<dyn Read> = if gzipped {
        Box::new(GzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    let mut number = || -> Result<u32> {
        let mut bytes = [0; 4];
        reader
            .read_exact(&mut bytes)
            .map_err(|error| Error::format(path, kind, format!("no whole header ({error})")))?;
        Ok(u32::from_be_bytes(bytes))
    };
    let found = number()?;
    if found != magic {
        return Err(Error::format(path, kind, format!("magic {found:#010x}")));
    }
    let dimensions = (0..magic & 0xff)
        .map(|_| number())
        .collect::<Result<Vec<u32>>>()?;
    let claimed = dimensions
        .iter()
        .try_fold(1u64, |size, side| size.checked_mul(u64::from(*side)));
    let claimed = match claimed {
        Some(0) => {
            return Err(Error::format(
                path,
                "at least one image of at least one pixel",
                format!("{dimensions:?}"),
            ));
        }
        Some(size) if size <= MAX_BYTES => size,
        _ => {
            return Err(Error::format(
                path,
                format!("at most {MAX_BYTES} bytes"),
                format!("a header claiming {dimensions:?}"),
            ));
        }
    };
    let header = 4 + 4 * dimensions.len() as u64;
    if !gzipped && length != header + claimed {
        return Err(Error::format(
            path,
            format!("{} bytes, as {dimensions:?} needs", header + claimed),
            format!("{length}"),
        ));
    }
    let mut bytes = Vec::new();
    reader
        .take(claimed + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::format(path, kind, error.to_string()))?;
    if bytes.len() as u64 != claimed {
        let found = if (bytes.len() as u64) < claimed {
            format!("{}", bytes.len())
        } else {
            "more".to_owned()
        };
        return Err(Error::format(
            path,
            format!("{claimed} bytes after the header, as {dimensions:?} needs"),
            found,
        ));
    }
    Ok((dimensions, bytes))
}
