//! MNIST's idx format, plain or gzipped: a big-endian header (magic, count, for images rows and columns), then bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::{Sample, Source, text};
use crate::error::{Error, Result};
use crate::image::MAX_SIDE;
use crate::{Image, Split};

const IMAGES_MAGIC: u32 = 0x0803;
const LABELS_MAGIC: u32 = 0x0801;

/// The most one file may hold when unpacked, bytes; the largest common one (EMNIST) holds 0.6 GB.
const MAX_BYTES: u64 = 4 << 30;
/// As many may a gzipped one hold in any case, and otherwise no more than so many times its own: MNIST's shrink to a fifth.
const SMALL_BYTES: u64 = 64 << 20;
const MOST_TIMES: u64 = 64;

/// The most images of a file.
const MAX_IMAGES: u64 = 1 << 26;

/// An images file, whose pixels are read when they are wanted, and its labels.
#[derive(Debug)]
struct Part {
    stem: String,
    split: Option<Split>,
    images: PathBuf,
    rows: u32,
    columns: u32,
    labels: Vec<u8>,
}

/// One or two parts.
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
        let occurs = |label: &u8| parts.iter().any(|part: &Part| part.labels.contains(label));
        let labels: Vec<u8> = (0..=u8::MAX).filter(occurs).collect();
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
            let (images, failed) = match part.images() {
                Ok(images) => (Some(images), None),
                Err(error) => (None, Some(Err(error))),
            };
            let labelled = images.into_iter().flatten().zip(&part.labels).enumerate();
            let sample = move |(number, (image, label)): (usize, (Result<Image>, &u8))| {
                Ok(Sample {
                    content: image?.into(),
                    class: self.labels.partition_point(|other| other < label),
                    split: part.split,
                    id: format!("{}-{number}", part.stem),
                })
            };
            labelled.map(sample).chain(failed)
        }))
    }
}

impl Part {
    fn read(stem: &str, split: Option<Split>, images: &Path) -> Result<Self> {
        let opened = Opened::open(images, IMAGES)?;
        let [count, rows, columns] = opened.dimensions[..] else {
            return Err(Error::format(
                images,
                "three dimensions",
                format!("{}", opened.dimensions.len()),
            ));
        };
        if rows.max(columns) > MAX_SIDE {
            let expected = format!("images of at most {MAX_SIDE} pixels a side");
            return Err(Error::format(images, expected, format!("{rows}x{columns}")));
        }
        if u64::from(count) > MAX_IMAGES {
            let expected = format!("at most {MAX_IMAGES} images");
            return Err(Error::format(images, expected, format!("{count}")));
        }
        let labels_path = labels_beside(images)?;
        let mut opened = Opened::open(&labels_path, LABELS)?;
        if opened.dimensions != [count] {
            return Err(Error::format(
                &labels_path,
                format!("{count} labels, as there are images"),
                format!("{:?}", opened.dimensions),
            ));
        }
        let labels = opened.part(u64::from(count))?;
        opened.end()?;
        Ok(Self {
            stem: stem.to_owned(),
            split,
            images: images.to_owned(),
            rows,
            columns,
            labels,
        })
    }

    /// Its images, one after another. A file that is longer or shorter than it says is an error in place of the last one.
    fn images(&self) -> Result<impl Iterator<Item = Result<Image>> + '_> {
        let mut opened = Opened::open(&self.images, IMAGES)?;
        let size = u64::from(self.rows) * u64::from(self.columns);
        let last = self.labels.len() - 1;
        let image = move |number: usize| {
            let pixels = opened.part(size)?;
            if number == last {
                opened.end()?;
            }
            Ok(Image {
                width: self.columns,
                height: self.rows,
                channels: 1,
                pixels,
            })
        };
        Ok((0..self.labels.len()).map(image))
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

/// A file whose header was read.
struct Opened<'a> {
    path: &'a Path,
    kind: &'static str,
    dimensions: Vec<u32>,
    /// Bytes that the header claims, and those of them that were read.
    claimed: u64,
    done: u64,
    reader: Box<dyn Read + Send>,
}

/// The magic number of a kind of file, and what to call it.
type Kind = (u32, &'static str);
const IMAGES: Kind = (IMAGES_MAGIC, "idx images (magic 0x00000803)");
const LABELS: Kind = (LABELS_MAGIC, "idx labels (magic 0x00000801)");

impl<'a> Opened<'a> {
    /// Reads the dimensions. What they claim is checked before anything is allocated: against the length of a plain file,
    /// and against a multiple of its length for a gzipped one, of which no more than claimed is ever unpacked.
    fn open(path: &'a Path, (magic, kind): Kind) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let gzipped = path.extension().is_some_and(|extension| extension == "gz");
        let mut reader: Box<dyn Read + Send> = if gzipped {
            Box::new(BufReader::new(GzDecoder::new(BufReader::new(file))))
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
        let most = match gzipped {
            true => (length.saturating_mul(MOST_TIMES)).clamp(SMALL_BYTES, MAX_BYTES),
            false => MAX_BYTES,
        };
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
            Some(size) if size <= most => size,
            _ => {
                return Err(Error::format(
                    path,
                    format!("at most {most} bytes"),
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
        Ok(Self {
            path,
            kind,
            dimensions,
            claimed,
            done: 0,
            reader,
        })
    }

    /// The next bytes.
    fn part(&mut self, count: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.reader)
            .take(count)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::format(self.path, self.kind, error.to_string()))?;
        self.done += bytes.len() as u64;
        match bytes.len() as u64 == count {
            true => Ok(bytes),
            false => Err(self.wrong(self.done.to_string())),
        }
    }

    /// Makes sure that nothing follows.
    fn end(&mut self) -> Result<()> {
        let more = self.reader.read(&mut [0]);
        match more.map_err(|error| Error::format(self.path, self.kind, error.to_string()))? {
            0 => Ok(()),
            _ => Err(self.wrong("more".to_owned())),
        }
    }

    fn wrong(&self, found: String) -> Error {
        let expected = format!(
            "{} bytes after the header, as {:?} needs",
            self.claimed, self.dimensions
        );
        Error::format(self.path, expected, found)
    }
}
