//! Which columns of a Parquet file hold images and classes, and their values.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader, SerializedPageReader};
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};
use serde_json::Value;

use super::pages::{Bounded, Checked};
use crate::error::{Error, Result};
use crate::guard::unless_it_panics;

/// The most bytes that a column of one row group may unpack to.
const MAX_COLUMN_BYTES: u64 = 2 << 30;
/// As many in any case, and otherwise no more than so many times what the file has: images hardly shrink.
const SMALL_COLUMN_BYTES: u64 = 256 << 20;
const MOST_TIMES: u64 = 64;

/// What a column is looked for by.
struct Wanted {
    what: &'static str,
    /// Names of such a column, the likeliest first.
    names: &'static [&'static str],
    /// The type `datasets` notes for it.
    feature: &'static str,
    fits: fn(&ColumnDescriptor) -> bool,
    /// Whether one that fits is taken whatever its name, where it is the only one.
    by_type: bool,
}

const IMAGES: Wanted = Wanted {
    what: "encoded images",
    names: &["image", "img", "jpg", "jpeg", "png", "webp", "bytes"],
    feature: "Image",
    fits: holds_images,
    by_type: true,
};
const CLASSES: Wanted = Wanted {
    what: "classes, numbers or names",
    names: &[
        "label",
        "labels",
        "cls",
        "class",
        "class_name",
        "category",
        "target",
        "fine_label",
    ],
    feature: "ClassLabel",
    fits: holds_classes,
    // A column of numbers may well count the images, one of text describe them.
    by_type: false,
};

/// An opened file.
pub(super) struct Table {
    file: SerializedFileReader<File>,
    /// The same file, for its pages.
    raw: File,
    size: u64,
    image: usize,
    /// The column of paths beside that of images.
    paths: Option<usize>,
    class: usize,
    names: Option<Vec<String>>,
}

/// The classes of a row group's rows, as they stand there.
pub(super) enum Labels {
    Numbers(Vec<Option<i64>>),
    Names(Vec<Option<ByteArray>>),
}

/// The images of a row group's rows.
pub(super) struct Column {
    bytes: Vec<Option<ByteArray>>,
    /// Where images lie of which there are no bytes.
    paths: Vec<Option<ByteArray>>,
}

impl Column {
    /// The encoded image of a row.
    pub(super) fn bytes(&self, row: usize) -> Option<&ByteArray> {
        self.bytes.get(row)?.as_ref()
    }

    /// Where the image of a row without bytes lies, as the row has it.
    pub(super) fn path(&self, row: usize) -> Option<String> {
        let path = self.paths.get(row)?.as_ref()?;
        Some(String::from_utf8_lossy(path.data()).into_owned())
    }
}

impl Labels {
    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Names(names) => names.len(),
        }
    }
}

impl Table {
    /// Opens a file and finds its columns.
    ///
    /// # Errors
    /// No Parquet file, or none with one column of images and one of classes.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let size = file.metadata().map_err(Error::io(path))?.len();
        let raw = file.try_clone().map_err(Error::io(path))?;
        let file = guarded(path, || SerializedFileReader::new(file))?;
        let counts = file.metadata().row_groups().iter().map(|g| g.num_rows());
        let mut rows = 0_u64;
        for count in counts {
            // Rows cost memory while they are listed, and a file of few bytes can claim any number.
            match u64::try_from(count).ok().and_then(|n| rows.checked_add(n)) {
                Some(all) if all <= size => rows = all,
                _ => {
                    let expected = format!("at most a row for each of its {size} bytes");
                    let found = format!("a row group of {count} rows after {rows}");
                    return Err(Error::format(path, expected, found));
                }
            }
        }
        let features = features(file.metadata(), path)?;
        let columns = file.metadata().file_metadata().schema_descr().columns();
        let find = |of: &Wanted| find(columns, &features, of, path);
        let (image, class) = (find(&IMAGES)?, find(&CLASSES)?);
        let beside =
            |column: &ColumnDescPtr| match (column.path().parts(), columns[image].path().parts()) {
                ([top, inner], [of_image, _]) => {
                    top == of_image && inner == "path" && is_text(column)
                }
                _ => false,
            };
        let paths = columns.iter().position(beside);
        Ok(Self {
            names: class_names(&features[columns[class].name()], path)?,
            file,
            raw,
            size,
            image,
            paths,
            class,
        })
    }

    pub(super) fn metadata(&self) -> &ParquetMetaData {
        self.file.metadata()
    }

    /// The names of the classes that `datasets` wrote into the file, if it did.
    pub(super) fn class_names(&mut self) -> Option<Vec<String>> {
        self.names.take()
    }

    /// The classes of a row group.
    ///
    /// # Errors
    /// A damaged file.
    pub(super) fn labels(&self, group: usize, path: &Path) -> Result<Labels> {
        guarded(path, || {
            let (reader, shape) = self.column(self.class, group)?;
            Ok(match reader {
                ColumnReader::Int32ColumnReader(reader) => {
                    Labels::Numbers(values(reader, shape, i64::from)?)
                }
                ColumnReader::Int64ColumnReader(reader) => {
                    Labels::Numbers(values(reader, shape, |value| value)?)
                }
                ColumnReader::ByteArrayColumnReader(reader) => {
                    Labels::Names(values(reader, shape, |value| value)?)
                }
                _ => Labels::Names(Vec::new()),
            })
        })
    }

    /// The encoded images of a row group.
    ///
    /// # Errors
    /// A damaged file.
    pub(super) fn images(&self, group: usize, path: &Path) -> Result<Column> {
        guarded(path, || {
            let texts = |column: usize| match self.column(column, group)? {
                (ColumnReader::ByteArrayColumnReader(reader), shape) => {
                    values(reader, shape, |value| value)
                }
                _ => Ok(Vec::new()),
            };
            let bytes = texts(self.image)?;
            let paths = match self.paths.filter(|_| bytes.contains(&None)) {
                Some(paths) => texts(paths)?,
                None => Vec::new(),
            };
            Ok(Column { bytes, paths })
        })
    }

    /// Bytes that the images of a row group unpack to, as the file has it.
    pub(super) fn size(&self, group: usize) -> u64 {
        let column = self.metadata().row_group(group).column(self.image);
        u64::try_from(column.uncompressed_size()).unwrap_or_default()
    }

    fn column(
        &self,
        column: usize,
        group: usize,
    ) -> parquet::errors::Result<(ColumnReader, Shape)> {
        let found = self.metadata().row_group(group);
        let claimed = found.column(column).uncompressed_size();
        match found.column(column).compression() {
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => {}
            other => {
                let found = format!("a column in {other}: write it with snappy, zstd or neither");
                return Err(parquet::errors::ParquetError::General(found));
            }
        }
        let most = self.size.saturating_mul(MOST_TIMES);
        let most = most.clamp(SMALL_COLUMN_BYTES, MAX_COLUMN_BYTES);
        if !u64::try_from(claimed).is_ok_and(|claimed| claimed <= most) {
            let found = format!(
                "a column of {claimed} bytes in row group {group}, of which at most {most} are read of a file of {} bytes: \
                 write smaller row groups",
                self.size
            );
            return Err(parquet::errors::ParquetError::General(found));
        }
        let claimed = usize::try_from(claimed)?;
        let shape = Shape {
            rows: usize::try_from(found.num_rows())?,
            level: found.column(column).column_descr().max_def_level(),
        };
        let bounded = Bounded {
            file: self.raw.try_clone()?,
            length: self.size,
            most: claimed,
        };
        let pages =
            SerializedPageReader::new(Arc::new(bounded), found.column(column), shape.rows, None)?;
        let of = found.column(column).column_descr_ptr();
        let width = match of.physical_type() {
            Type::INT64 => 8,
            // Numbers of 32 bits, and lengths in front of bytes.
            _ => 4,
        };
        let pages = Checked::new(Box::new(pages), claimed, width);
        Ok((get_column_reader(of, Box::new(pages)), shape))
    }
}

/// Of a column in a row group.
#[derive(Clone, Copy)]
struct Shape {
    rows: usize,
    /// The level of a row that has a value.
    level: i16,
}

/// The column that is wanted: by its name, by what `datasets` notes, as the only one of its type.
fn find(columns: &[ColumnDescPtr], features: &Value, of: &Wanted, path: &Path) -> Result<usize> {
    let top = |i: usize| columns[i].path().parts().first().map_or("", String::as_str);
    let fitting: Vec<usize> = (0..columns.len())
        .filter(|i| (of.fits)(&columns[*i]))
        .collect();
    let is = |i: &usize, name: &str| top(*i) == name;
    if let Some(named) = (of.names.iter()).find_map(|name| fitting.iter().find(|i| is(i, name))) {
        return Ok(*named);
    }
    let noted = |i: &usize| features[top(*i)]["_type"] == of.feature;
    let noted: Vec<usize> = fitting.iter().copied().filter(noted).collect();
    // A column of that name and another type is what was meant, and is not to be passed over.
    let misfit = (0..columns.len()).any(|i| of.names.contains(&top(i)));
    match (&noted[..], &fitting[..]) {
        ([found], _) => Ok(*found),
        ([], [found]) if of.by_type && !misfit => Ok(*found),
        _ => {
            let kind = |c: &ColumnDescriptor| match is_text(c) {
                true => "text".to_owned(),
                false => c.physical_type().to_string(),
            };
            let all = (columns.iter()).map(|c| format!("{} ({})", c.path().string(), kind(c)));
            Err(Error::format(
                path,
                format!("a column of {}, named {}", of.what, of.names.join(", ")),
                all.collect::<Vec<_>>().join(", "),
            ))
        }
    }
}

/// What `datasets` notes of the columns, by their names; null where it wrote nothing.
fn features(metadata: &ParquetMetaData, path: &Path) -> Result<Value> {
    let written = metadata.file_metadata().key_value_metadata();
    let mut written = written.into_iter().flatten();
    let text = written.find(|pair| pair.key == "huggingface");
    let Some(text) = text.and_then(|pair| pair.value.as_deref()) else {
        return Ok(Value::Null);
    };
    let mut json: Value = serde_json::from_str(text).map_err(|error| {
        Error::format(
            path,
            "JSON under `huggingface` in its metadata",
            error.to_string(),
        )
    })?;
    Ok(json["info"]["features"].take())
}

/// The names of classes in what `datasets` notes of a column: a list, or an object from numbers to names.
fn class_names(feature: &Value, path: &Path) -> Result<Option<Vec<String>>> {
    let names = &feature["names"];
    let listed: Option<Vec<&str>> = match names {
        Value::Null => return Ok(None),
        Value::Array(names) => names.iter().map(Value::as_str).collect(),
        Value::Object(names) => {
            let of = |i: usize| names.get(&i.to_string()).and_then(Value::as_str);
            (0..names.len()).map(of).collect()
        }
        _ => None,
    };
    let mut seen = BTreeSet::new();
    let listed = listed.filter(|names| !names.is_empty());
    match listed.filter(|names| names.iter().all(|n| !n.is_empty() && seen.insert(*n))) {
        Some(names) => Ok(Some(names.into_iter().map(str::to_owned).collect())),
        None => {
            let expected =
                "names of classes from 0, each once, under `huggingface` in its metadata";
            Err(Error::format(path, expected, names.to_string()))
        }
    }
}

/// What reads a file that may be damaged. The `parquet` crate reports most damage and panics on some; either is an error
/// of the file.
fn guarded<T>(path: &Path, read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    let damaged = |found: String| Error::format(path, "a whole Parquet file", found);
    match unless_it_panics(read) {
        Some(read) => read.map_err(|error| {
            damaged(match error {
                parquet::errors::ParquetError::General(found) => found,
                other => other.to_string(),
            })
        }),
        None => Err(damaged("pages that contradict each other".into())),
    }
}

/// The values of all rows of a column, nothing where there is none.
fn values<T: DataType, U>(
    mut reader: ColumnReaderImpl<T>,
    Shape { rows, level }: Shape,
    mut convert: impl FnMut(T::T) -> U,
) -> parquet::errors::Result<Vec<Option<U>>> {
    let (mut found, mut levels) = (Vec::new(), Vec::new());
    let mut read = 0;
    while read < rows {
        let (records, ..) =
            reader.read_records(rows - read, Some(&mut levels), None, &mut found)?;
        if records == 0 {
            let found = format!("{read} of {rows} rows");
            return Err(parquet::errors::ParquetError::General(found));
        }
        read += records;
    }
    let mut found = found.into_iter();
    let mut next = || found.next().map(&mut convert);
    Ok(match level {
        0 => (0..rows).map(|_| next()).collect(),
        _ => (levels.iter())
            .map(|found| (*found == level).then(&mut next).flatten())
            .collect(),
    })
}

/// Encoded images: a binary column, or the one of that name in a struct, as `datasets` writes them.
fn holds_images(column: &ColumnDescriptor) -> bool {
    let place = match column.path().parts() {
        [_] => true,
        [_, inner] => inner == "bytes",
        _ => false,
    };
    place
        && column.max_rep_level() == 0
        && column.physical_type() == Type::BYTE_ARRAY
        && !is_text(column)
}

fn holds_classes(column: &ColumnDescriptor) -> bool {
    let kind = match column.physical_type() {
        Type::INT32 | Type::INT64 => true,
        Type::BYTE_ARRAY => is_text(column),
        _ => false,
    };
    kind && column.path().parts().len() == 1 && column.max_rep_level() == 0
}

fn is_text(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::String))
        || column.converted_type() == ConvertedType::UTF8
}
