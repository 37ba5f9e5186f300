//! TensorBoard event files: scalars, images and text of a run as the `tensorboard` program reads them.
//!
//! A file is a sequence of records in TFRecord framing (length, checksum of the length, data, checksum of the data; all
//! little-endian, CRC-32C masked as in TensorFlow's `core/lib/hash/crc32c.h`), and each record is an `Event` message of
//! `core/util/event.proto` in protobuf wire format. Of that schema only the fields below are written, by hand.
//!
//! Files of one folder are one run: TensorBoard reads them in the order of their names, which begin with the time of
//! their start. A resumed run opens a new file, whose first events make TensorBoard forget what the old one logged after
//! the checkpoint. A record that a killed process cut short is skipped over.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Added to a rotated CRC-32C, so that data that holds checksums can itself be checksummed.
const MASK_DELTA: u32 = 0xa282_ead8;

/// Why an event could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the event file {}: {source}; free some disk space or choose another run folder", path.display())]
pub struct EventError {
    /// The event file, or its folder.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

/// Appends to one event file. Times are in seconds since 1970-01-01 00:00 UTC.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Creates `folder` where needed and in it a new file that sorts after those of earlier starts. `first_step` is the
    /// first step that will be logged, the one behind the last that was: what earlier files hold of this step and after is
    /// no longer shown.
    ///
    /// # Errors
    /// [`EventError`] when the folder or the file cannot be created.
    pub fn create(
        folder: impl AsRef<Path>,
        first_step: u64,
        wall_time: f64,
    ) -> Result<Self, EventError> {
        const SESSION_START: u64 = 1;
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(|source| EventError {
            path: folder.to_path_buf(),
            source,
        })?;
        let (path, file) = create_new(folder, wall_time as u64)?;
        let mut writer = Self {
            path,
            file: BufWriter::new(file),
        };
        let version = Message::default().bytes(field::EVENT_FILE_VERSION, b"brain.Event:2");
        writer.event(0, wall_time, version)?;
        // TensorBoard discards the later steps at the second and any further session start it meets, so that the first
        // file needs one too.
        let log = Message::default().varint(field::SESSION_LOG_STATUS, SESSION_START);
        let start = Message::default().message(field::EVENT_SESSION_LOG, &log);
        writer.event(first_step, wall_time, start)?;
        writer.flush()?;
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One point of the curve `tag`. A slash in the tag groups curves: `loss/v`.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn scalar(
        &mut self,
        tag: &str,
        step: u64,
        value: f32,
        wall_time: f64,
    ) -> Result<(), EventError> {
        let message = Message::default().bytes(field::VALUE_TAG, tag.as_bytes());
        self.summary(step, wall_time, message.float(field::VALUE_SIMPLE, value))
    }

    /// An image: `png` is a whole PNG file of `width` by `height` pixels.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn image_png(
        &mut self,
        tag: &str,
        step: u64,
        width: u32,
        height: u32,
        png: &[u8],
        wall_time: f64,
    ) -> Result<(), EventError> {
        const RGB: u64 = 3;
        let image = Message::default()
            .varint(field::IMAGE_HEIGHT, height.into())
            .varint(field::IMAGE_WIDTH, width.into())
            .varint(field::IMAGE_COLORSPACE, RGB)
            .bytes(field::IMAGE_ENCODED, png);
        let message = Message::default().bytes(field::VALUE_TAG, tag.as_bytes());
        self.summary(step, wall_time, message.message(field::VALUE_IMAGE, &image))
    }

    /// A text in Markdown, such as the resolved config.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn text(
        &mut self,
        tag: &str,
        step: u64,
        markdown: &str,
        wall_time: f64,
    ) -> Result<(), EventError> {
        const DT_STRING: u64 = 7;
        let plugin = Message::default().bytes(field::PLUGIN_NAME, b"text");
        let metadata = Message::default().message(field::METADATA_PLUGIN, &plugin);
        // A tensor of rank 0, whose shape message is empty.
        let tensor = Message::default()
            .varint(field::TENSOR_DTYPE, DT_STRING)
            .message(field::TENSOR_SHAPE, &Message::default())
            .bytes(field::TENSOR_STRING, markdown.as_bytes());
        let message = Message::default()
            .bytes(field::VALUE_TAG, tag.as_bytes())
            .message(field::VALUE_TENSOR, &tensor)
            .message(field::VALUE_METADATA, &metadata);
        self.summary(step, wall_time, message)
    }

    /// Hands everything to the operating system, for a TensorBoard that watches the run.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn flush(&mut self) -> Result<(), EventError> {
        let flushed = self.file.flush();
        flushed.map_err(|source| self.failed(source))
    }

    fn summary(&mut self, step: u64, wall_time: f64, value: Message) -> Result<(), EventError> {
        let summary = Message::default().message(field::SUMMARY_VALUE, &value);
        self.event(
            step,
            wall_time,
            Message::default().message(field::EVENT_SUMMARY, &summary),
        )
    }

    fn event(&mut self, step: u64, wall_time: f64, what: Message) -> Result<(), EventError> {
        let mut event = Message::default()
            .double(field::EVENT_WALL_TIME, wall_time)
            .varint(field::EVENT_STEP, step);
        event.0.extend(what.0);
        let written = self.file.write_all(&record(&event.0));
        written.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> EventError {
        EventError {
            path: self.path.clone(),
            source,
        }
    }
}

/// A name nobody has: start, host, process, and a count for several starts within one second.
fn create_new(folder: &Path, start: u64) -> Result<(PathBuf, File), EventError> {
    let (host, process) = (host_name(), std::process::id());
    let mut count = 0;
    loop {
        let name = format!("events.out.tfevents.{start:010}.{host}.{process}.{count}");
        let path = folder.join(name);
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => count += 1,
            Err(source) => return Err(EventError { path, source }),
        }
    }
}

/// The machine's name as far as it can stand in a file name; the name is a label for people, nothing depends on it.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    if name.is_empty() {
        "localhost".into()
    } else {
        name
    }
}

/// TFRecord framing of `data`.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let length_checksum = masked_crc32c(&length).to_le_bytes();
    let data_checksum = masked_crc32c(data).to_le_bytes();
    [&length[..], &length_checksum, data, &data_checksum].concat()
}

fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(MASK_DELTA)
}

/// Field numbers of TensorFlow's `event.proto`, `summary.proto`, `tensor.proto`.
mod field {
    pub const EVENT_WALL_TIME: u64 = 1;
    pub const EVENT_STEP: u64 = 2;
    pub const EVENT_FILE_VERSION: u64 = 3;
    pub const EVENT_SUMMARY: u64 = 5;
    pub const EVENT_SESSION_LOG: u64 = 7;
    pub const SESSION_LOG_STATUS: u64 = 1;
    pub const SUMMARY_VALUE: u64 = 1;
    pub const VALUE_TAG: u64 = 1;
    pub const VALUE_SIMPLE: u64 = 2;
    pub const VALUE_IMAGE: u64 = 4;
    pub const VALUE_TENSOR: u64 = 8;
    pub const VALUE_METADATA: u64 = 9;
    pub const IMAGE_HEIGHT: u64 = 1;
    pub const IMAGE_WIDTH: u64 = 2;
    pub const IMAGE_COLORSPACE: u64 = 3;
    pub const IMAGE_ENCODED: u64 = 4;
    pub const METADATA_PLUGIN: u64 = 1;
    pub const PLUGIN_NAME: u64 = 1;
    pub const TENSOR_DTYPE: u64 = 1;
    pub const TENSOR_SHAPE: u64 = 2;
    pub const TENSOR_STRING: u64 = 8;
}

/// A protobuf message under construction. A field starts with its number and wire type: 0 varint, 1 eight bytes,
/// 2 length and bytes, 5 four bytes.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(mut self, field: u64, wire_type: u64) -> Self {
        push_varint(&mut self.0, field << 3 | wire_type);
        self
    }

    fn varint(self, field: u64, value: u64) -> Self {
        let mut message = self.key(field, 0);
        push_varint(&mut message.0, value);
        message
    }

    fn double(self, field: u64, value: f64) -> Self {
        let mut message = self.key(field, 1);
        message.0.extend(value.to_le_bytes());
        message
    }

    fn float(self, field: u64, value: f32) -> Self {
        let mut message = self.key(field, 5);
        message.0.extend(value.to_le_bytes());
        message
    }

    fn bytes(self, field: u64, bytes: &[u8]) -> Self {
        let mut message = self.key(field, 2);
        push_varint(&mut message.0, bytes.len() as u64);
        message.0.extend(bytes);
        message
    }

    fn message(self, field: u64, inner: &Message) -> Self {
        self.bytes(field, &inner.0)
    }
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_as_in_the_protobuf_encoding_guide() {
        // "150 is encoded as 9601" (with the key of field 1 in front: 08 96 01).
        assert_eq!(Message::default().varint(1, 150).0, [0x08, 0x96, 0x01]);
        // "field 2 with the value testing: 12 07 74 65 73 74 69 6e 67".
        let testing = [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67];
        assert_eq!(Message::default().bytes(2, b"testing").0, testing);
    }
}
