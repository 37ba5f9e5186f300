//! Parquet files with a column of encoded images and one of classes, as Hugging Face's `datasets` writes them. Classes are
//! read at once, images when they are wanted, a row group at a time.

mod columns;
mod pages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::folder::MAX_FILE_BYTES;
use super::notes::{Note, Notes, SEVERAL};
use super::{Indexed, Sample, Source, WINDOW, files, in_order, numbered, text};
use crate::Split;
use crate::error::{Error, Result};
use crate::image::decode_first;
use crate::latents::{Content, Entry};
use columns::{Column, Labels, Table};

/// What the row groups that are kept may unpack to, bytes; the last one stays in any case.
const KEPT_BYTES: u64 = 512 << 20;

/// What the names of classes may take together, bytes.
const MAX_NAMES_BYTES: usize = 64 << 20;

/// One file.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    /// Its path in the source.
    inside: String,
    split: Option<Split>,
}

/// A row group of which some rows have a class.
#[derive(Debug)]
struct Group {
    part: usize,
    number: usize,
    /// The row of the file that is its first.
    first_row: usize,
    /// What its images unpack to, bytes.
    size: u64,
}

/// One labelled image.
#[derive(Debug)]
struct Row {
    group: usize,
    /// Its number in the row group.
    row: usize,
    class: usize,
}

/// Parquet files that have been listed.
#[derive(Debug)]
pub(super) struct Parquet {
    name: String,
    classes: Vec<String>,
    parts: Vec<Part>,
    groups: Vec<Group>,
    rows: Vec<Row>,
    skipped: Vec<PathBuf>,
    notes: Notes,
    kept: Mutex<Kept>,
}

/// The encoded images of a row group, once one has been asked for.
type Images = Arc<Mutex<Option<Arc<Column>>>>;

/// Row groups used last, the latest at the end.
#[derive(Default)]
struct Kept(Vec<(usize, Images)>);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} row groups", self.0.len())
    }
}

impl Parquet {
    /// Lists a file, a folder of files, one with such a folder `data`, or one with `train/`, `val/` and `test/`; `None` if
    /// the path is none of these. A split stands in the name of its folder or in front of that of a file,
    /// `train-00000-of-00002.parquet`. Rows without a class are noted as skipped.
    ///
    /// # Errors
    /// A damaged file, one without columns of images and of classes, a class without a name.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let parts = files(path, is_parquet)?.into_iter();
        let parts: Vec<Part> = parts.map(|file| part(file, path)).collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let mut found = Listing::default();
        for (number, part) in parts.iter().enumerate() {
            found.add(number, part)?;
        }
        if found.rows.is_empty() {
            return Err(Error::EmptySource {
                origin: text(path),
                hint: "a Parquet file has a row for each image, with its class",
            });
        }
        let (classes, places) = found.classes(path)?;
        for row in &mut found.rows {
            row.class = places[row.class];
        }
        Ok(Some(Self {
            name: text(path),
            classes,
            parts,
            groups: found.groups,
            rows: found.rows,
            skipped: found.skipped,
            notes: Notes::default(),
            kept: Mutex::default(),
        }))
    }

    /// The images of a row group: those kept, or read by the first that asks, while others who ask for it wait.
    fn images(&self, number: usize) -> Result<Arc<Column>> {
        let slot = self.kept().slot(number, |group| self.groups[group].size);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(images) = &*slot {
            return Ok(Arc::clone(images));
        }
        let group = &self.groups[number];
        let path = &self.parts[group.part].path;
        let images = Arc::new(Table::open(path)?.images(group.number, path)?);
        *slot = Some(Arc::clone(&images));
        Ok(images)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The place of a row group's images. What was not used for longest makes room for it.
    fn slot(&mut self, group: usize, size: impl Fn(usize) -> u64) -> Images {
        let at = self.0.iter().position(|(kept, _)| *kept == group);
        let entry = match at {
            Some(at) => self.0.remove(at),
            None => (group, Images::default()),
        };
        let images = Arc::clone(&entry.1);
        self.0.push(entry);
        let mut bytes: u64 = self.0.iter().map(|(group, _)| size(*group)).sum();
        while bytes > KEPT_BYTES && self.0.len() > 1 {
            bytes -= size(self.0.remove(0).0);
        }
        images
    }
}

/// What is found out while files are listed.
#[derive(Default)]
struct Listing {
    groups: Vec<Group>,
    /// Their classes are places in `labels`.
    rows: Vec<Row>,
    /// Classes as they stand in the rows, in the order they come.
    labels: BTreeMap<String, usize>,
    /// Where each of them stands first.
    places: Vec<PathBuf>,
    /// What they take, bytes.
    bytes: usize,
    /// Names of the classes that files have for numbers, and the first file that does.
    names: Option<(Vec<String>, PathBuf)>,
    skipped: Vec<PathBuf>,
}

impl Listing {
    fn add(&mut self, number: usize, part: &Part) -> Result<()> {
        let mut table = Table::open(&part.path)?;
        self.name(table.class_names(), part)?;
        let (mut first_row, mut without) = (0, 0);
        for group in 0..table.metadata().num_row_groups() {
            let labels = table.labels(group, &part.path)?;
            let place = self.groups.len();
            let count = labels.len();
            for row in 0..count {
                let Some(class) = self.class(&labels, row, &part.path, first_row)? else {
                    without += 1;
                    continue;
                };
                self.rows.push(Row {
                    group: place,
                    row,
                    class,
                });
            }
            self.groups.push(Group {
                part: number,
                number: group,
                first_row,
                size: table.size(group),
            });
            first_row += count;
        }
        if without > 0 {
            let rows = format!("{without} rows without a class");
            self.skipped.push(part.path.join(rows));
        }
        Ok(())
    }

    /// The place in `labels` of a row's class; `None` where it has none.
    fn class(
        &mut self,
        labels: &Labels,
        row: usize,
        path: &Path,
        first_row: usize,
    ) -> Result<Option<usize>> {
        let place = || path.join((first_row + row).to_string());
        let number;
        let label = match labels {
            Labels::Numbers(numbers) => match numbers[row] {
                // `datasets` writes -1 where there is no class.
                None | Some(-1) => return Ok(None),
                Some(n) => {
                    number = n.to_string();
                    &number
                }
            },
            Labels::Names(names) => match &names[row] {
                None => return Ok(None),
                Some(name) => std::str::from_utf8(name.data()).map_err(|error| {
                    Error::format(place(), "the name of a class in UTF-8", error.to_string())
                })?,
            },
        };
        if let Some(known) = self.labels.get(label) {
            return Ok(Some(*known));
        }
        self.bytes += label.len();
        if self.bytes > MAX_NAMES_BYTES {
            let expected = format!("names of classes of at most {MAX_NAMES_BYTES} bytes in all");
            return Err(Error::format(place(), expected, "more"));
        }
        let next = self.places.len();
        self.labels.insert(label.to_owned(), next);
        self.places.push(place());
        Ok(Some(next))
    }

    /// Takes the names of a file, which must be those of the others.
    fn name(&mut self, names: Option<Vec<String>>, part: &Part) -> Result<()> {
        match (&self.names, names) {
            (None, Some(names)) => self.names = Some((names, part.path.clone())),
            (Some((known, of)), Some(names)) if *known != names => {
                let expected = format!("the class names of {}", of.display());
                return Err(Error::format(&part.path, expected, names.join(", ")));
            }
            _ => {}
        }
        Ok(())
    }

    /// Class names, and the class of each place in `labels`.
    fn classes(&self, path: &Path) -> Result<(Vec<String>, Vec<usize>)> {
        let mut places = vec![0; self.labels.len()];
        let Some((names, _)) = &self.names else {
            let (names, class) = numbered(self.labels.keys(), path)?;
            for (label, place) in &self.labels {
                places[*place] = class[label];
            }
            return Ok((names, places));
        };
        for (label, place) in &self.labels {
            let class = label.parse().ok().filter(|class| *class < names.len());
            places[*place] = class.ok_or_else(|| {
                let expected = format!("classes 0 to {}, which have names", names.len() - 1);
                Error::format(&self.places[*place], expected, label)
            })?;
        }
        Ok((names.clone(), places))
    }
}

impl Source for Parquet {
    fn name(&self) -> &str {
        &self.name
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    fn notes(&self) -> Vec<Note> {
        self.notes.all()
    }

    fn indexed(&self) -> Option<&dyn Indexed> {
        Some(self)
    }

    fn samples(&self) -> Box<dyn Iterator<Item = Result<Sample>> + '_> {
        in_order(self)
    }
}

impl Indexed for Parquet {
    fn count(&self) -> usize {
        self.rows.len()
    }

    fn entry(&self, i: usize) -> Entry {
        let row = &self.rows[i];
        let group = &self.groups[row.group];
        let part = &self.parts[group.part];
        Entry {
            id: format!("{}/{}", part.inside, group.first_row + row.row),
            class: row.class,
            split: part.split,
        }
    }

    fn content(&self, i: usize) -> Result<Content> {
        let row = &self.rows[i];
        let group = &self.groups[row.group];
        let images = self.images(row.group)?;
        let place = (self.parts[group.part].path).join((group.first_row + row.row).to_string());
        let reason = match images.bytes(row.row) {
            Some(bytes) if bytes.len() as u64 <= MAX_FILE_BYTES => {
                let decoded = decode_first(bytes.data(), &place)?;
                if decoded.several {
                    self.notes.add(SEVERAL, text(&place));
                }
                return Ok(decoded.image.into());
            }
            Some(bytes) => format!(
                "{} bytes, above the limit of {MAX_FILE_BYTES} for one image",
                bytes.len()
            ),
            None => match images.path(row.row) {
                Some(path) => format!(
                    "the row has no image but only its path, `{path}`: give the folder of the images, or write the file with \
                     the images in it (`Dataset.push_to_hub` and `embed_table_storage` of `datasets` do)"
                ),
                None => "the row has no image".into(),
            },
        };
        Err(Error::Decode {
            path: place,
            reason,
        })
    }

    fn block(&self, i: usize) -> usize {
        self.rows[i].group
    }

    fn window(&self) -> usize {
        // Two of them are kept: a batch may end one and begin the next.
        let bytes: u64 = self.groups.iter().map(|group| group.size).sum();
        let fit = KEPT_BYTES / 2 * self.rows.len() as u64 / bytes.max(1);
        usize::try_from(fit).map_or(WINDOW, |fit| fit.min(WINDOW))
    }
}

/// A file of a source.
fn part((file, split): (PathBuf, Option<Split>), root: &Path) -> Part {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let inside = file.strip_prefix(root).unwrap_or(&file);
    Part {
        split,
        inside: match inside.as_os_str().is_empty() {
            true => name.into_owned(),
            false => text(inside),
        },
        path: file.clone(),
    }
}

fn is_parquet(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}
