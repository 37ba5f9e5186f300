//! Which columns of a Parquet file hold images and classes, and their values.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::error::{Error, Result};

/// The most bytes that a column of one row group may unpack to.
const MAX_COLUMN_BYTES: i64 = 2 << 30;
/// Names of a column of images, the likeliest first.
const IMAGES: [&str; 7] = ["image", "img", "jpg", "jpeg", "png", "webp", "bytes"];
/// Names of a column of classes.
const CLASSES: [&str; 8] = [
    "label",
    "labels",
    "cls",
    "class",
    "class_name",
    "category",
    "target",
    "fine_label",
];

/// An opened file.
pub(super) struct Table {
    file: SerializedFileReader<File>,
    image: usize,
    class: usize,
}

/// The classes of a row group's rows, as they stand there.
pub(super) enum Labels {
    Numbers(Vec<Option<i64>>),
    Names(Vec<Option<String>>),
}

impl Table {
    /// Opens a file and finds its columns.
    ///
    /// # Errors
    /// No Parquet file, or none with one column of images and one of classes.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let file = guarded(path, || SerializedFileReader::new(file))?;
        let columns = file.metadata().file_metadata().schema_descr().columns();
        let find = |what, names: &[&str], fits: fn(&ColumnDescriptor) -> bool| {
            let fitting: Vec<usize> = (0..columns.len()).filter(|i| fits(&columns[*i])).collect();
            let named = names.iter().find_map(|name| {
                let is = |i: &&usize| {
                    columns[**i]
                        .path()
                        .parts()
                        .first()
                        .is_some_and(|p| p == name)
                };
                fitting.iter().find(is)
            });
            match (named, &fitting[..]) {
                (Some(found), _) | (None, [found]) => Ok(*found),
                _ => {
                    let all = columns
                        .iter()
                        .map(|c| format!("{} ({})", c.path().string(), c.physical_type()));
                    Err(Error::format(
                        path,
                        format!("a column of {what}, named {}", names.join(", ")),
                        all.collect::<Vec<_>>().join(", "),
                    ))
                }
            }
        };
        let image = find("encoded images", &IMAGES, holds_images)?;
        let class = find("classes, numbers or names", &CLASSES, holds_classes)?;
        Ok(Self { file, image, class })
    }

    pub(super) fn metadata(&self) -> &ParquetMetaData {
        self.file.metadata()
    }

    /// The names of the classes that `datasets` wrote into the file, if it did.
    pub(super) fn class_names(&self) -> Option<Vec<String>> {
        let metadata = self.metadata().file_metadata();
        let written = metadata.key_value_metadata()?.iter();
        let text = written.filter(|pair| pair.key == "huggingface");
        let text = text.filter_map(|pair| pair.value.as_deref()).next()?;
        let json: serde_json::Value = serde_json::from_str(text).ok()?;
        let column = metadata.schema_descr().column(self.class);
        let names = json
            .pointer("/info/features")?
            .get(column.name())?
            .get("names")?;
        names
            .as_array()?
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect()
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
                    let text =
                        |value: ByteArray| String::from_utf8_lossy(value.data()).into_owned();
                    Labels::Names(values(reader, shape, text)?)
                }
                _ => Labels::Names(Vec::new()),
            })
        })
    }

    /// The encoded images of a row group.
    ///
    /// # Errors
    /// A damaged file.
    pub(super) fn images(&self, group: usize, path: &Path) -> Result<Vec<Option<ByteArray>>> {
        guarded(path, || match self.column(self.image, group)? {
            (ColumnReader::ByteArrayColumnReader(reader), shape) => values(reader, shape, |v| v),
            _ => Ok(Vec::new()),
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
        if !(0..=MAX_COLUMN_BYTES).contains(&claimed) {
            let found = format!(
                "a column of {claimed} bytes in row group {group}, of which at most {MAX_COLUMN_BYTES} are read: write \
                 smaller row groups"
            );
            return Err(parquet::errors::ParquetError::General(found));
        }
        let shape = Shape {
            rows: usize::try_from(found.num_rows())?,
            level: found.column(column).column_descr().max_def_level(),
        };
        let reader = self.file.get_row_group(group)?;
        Ok((reader.get_column_reader(column)?, shape))
    }
}

/// Of a column in a row group.
#[derive(Clone, Copy)]
struct Shape {
    rows: usize,
    /// The level of a row that has a value.
    level: i16,
}

/// What reads a file that may be damaged. The `parquet` crate reports most damage and panics on some; either is an error
/// of the file, and nothing that a panic interrupts is used again.
fn guarded<T>(path: &Path, read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    let damaged = |found: String| Error::format(path, "a whole Parquet file", found);
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| damaged(error.to_string())),
        Err(_) => Err(damaged("pages that contradict each other".into())),
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
