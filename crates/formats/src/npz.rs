//! Image archives: NumPy's `.npz` as ADM's `evaluator.py` reads and writes it.
//!
//! `arr_0` is uint8 `[n, height, width, channels]` in row-major order; `arr_1`, if there, has one class number per image.
//! Other arrays are passed over.
//!
//! # Threat model
//! As of [`crate::container`]: a file may come from anyone. No size that a file states is allocated before it is checked
//! against the length of the file, decompression stops at the stated size, which a deflate stream of that length can
//! reach, checksums are compared, and nothing is unpickled.

mod npy;

use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use flate2::Crc;

use crate::atomic::write_atomically;
use crate::container::open;
use crate::error::{FormatError, Result};
use crate::zip::{self, Member, invalid};
use npy::Kind;

/// The most bytes of pixels that are read: 50,000 images of 256x256 in colour are 9.2 GiB.
const MAX_BYTES: u64 = 16 << 30;
/// The most bytes that a compressed array may unpack to if that is far more than it has.
const MAX_UNPACKED: u64 = 128 << 20;
/// What is far more: pictures, also those of few colours, are compressed to no less than a thirtieth.
const MAX_RATIO: u64 = 32;

/// Images of one size and their class numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageArchive {
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// Values of a pixel: 1 or 3.
    pub channels: usize,
    /// Bytes of all images, one after another, each in rows with channels last.
    pub pixels: Vec<u8>,
    /// One class number per image.
    pub labels: Option<Vec<i64>>,
}

impl ImageArchive {
    /// Bytes of one image.
    pub const fn image_bytes(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Each image.
    pub fn images(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.pixels.chunks_exact(self.image_bytes().max(1))
    }

    /// Writes the archive, uncompressed and atomically. Equal images give equal bytes.
    ///
    /// # Errors
    /// [`FormatError::Archive`] if the pixels do not fill whole images, or there is not one label for each;
    /// otherwise as [`write_atomically`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let (count, bytes) = (self.images().len(), self.image_bytes());
        let wrong_labels = (self.labels.as_ref()).is_some_and(|labels| labels.len() != count);
        if count * bytes != self.pixels.len() || wrong_labels {
            return Err(FormatError::Archive {
                path: path.as_ref().to_path_buf(),
                reason: format!(
                    "{} bytes for images of {bytes}, {} labels",
                    self.pixels.len(),
                    self.labels.as_ref().map_or(0, Vec::len)
                ),
            });
        }
        let shape = [count, self.height, self.width, self.channels];
        let labels = self.labels.as_ref().map(|labels| {
            let values: Vec<u8> = labels.iter().flat_map(|l| l.to_le_bytes()).collect();
            (npy::head(Kind::Int64, &[count]), values)
        });
        let pixels = (npy::head(Kind::Uint8, &shape), &self.pixels[..]);
        let mut arrays = vec![("arr_0.npy", &pixels.0[..], pixels.1)];
        arrays.extend((labels.iter()).map(|(head, values)| ("arr_1.npy", &head[..], &values[..])));
        write_atomically(path, |file| write(file, &arrays))
    }

    /// Reads an archive, compressed or not.
    ///
    /// # Errors
    /// [`FormatError::Archive`] for anything but images and labels as described above, [`FormatError::NotAFile`] or
    /// [`FormatError::Io`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (file, length) = open(path)?;
        read(&mut BufReader::new(file), length).map_err(|error| fault(path, error))
    }

    /// Reads an archive in memory that is called `name` in errors.
    ///
    /// # Errors
    /// As [`ImageArchive::read`].
    pub fn from_bytes(bytes: &[u8], name: impl AsRef<Path>) -> Result<Self> {
        read(&mut io::Cursor::new(bytes), bytes.len() as u64)
            .map_err(|error| fault(name.as_ref(), error))
    }
}

/// Tells what is wrong with the file from what is wrong with reading it.
fn fault(path: &Path, error: io::Error) -> FormatError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            FormatError::Archive {
                path: path.to_path_buf(),
                reason: error.to_string(),
            }
        }
        _ => FormatError::io("read", path, error),
    }
}

/// Name, head and values of arrays into a ZIP file.
fn write(file: &mut dyn Write, arrays: &[(&str, &[u8], &[u8])]) -> io::Result<()> {
    let mut members = Vec::new();
    let mut offset = 0;
    for (name, head, values) in arrays {
        let mut crc = Crc::new();
        crc.update(head);
        crc.update(values);
        let size = (head.len() + values.len()) as u64;
        let member = Member::stored(name, crc.sum(), size, offset);
        let local = member.local_header();
        offset += local.len() as u64 + size;
        for part in [&local[..], head, values] {
            file.write_all(part)?;
        }
        members.push(member);
    }
    file.write_all(&zip::directory_of(&members, offset))
}

fn read(file: &mut (impl Read + Seek), length: u64) -> io::Result<ImageArchive> {
    let members = zip::directory(file, length)?;
    zip::require_proportion(&members, length)?;
    let member = |name: &str| {
        let mut named = members.iter().filter(|m| m.name == name);
        match (named.next(), named.next()) {
            (found, None) => Ok(found),
            _ => Err(invalid(format!("`{name}` stands in it twice"))),
        }
    };
    let Some(images) = member("arr_0.npy")? else {
        let names: Vec<&str> = members.iter().take(8).map(|m| &m.name[..]).collect();
        return Err(invalid(format!(
            "it has no array `arr_0` (but: {})",
            names.join(", ")
        )));
    };
    let (shape, _, pixels) = array(file, length, images, &[Kind::Uint8])?;
    let &[count, height, width, channels] = &shape[..] else {
        return Err(invalid(format!(
            "`arr_0` has shape {shape:?}, expected [n, height, width, channels]"
        )));
    };
    if height == 0 || width == 0 || !matches!(channels, 1 | 3) {
        return Err(invalid(format!(
            "`arr_0` has shape {shape:?}: images have at least one pixel, and 1 or 3 channels"
        )));
    }
    let labels = match member("arr_1.npy")? {
        None => None,
        Some(labels) => {
            let (shape, kind, bytes) = array(file, length, labels, &[Kind::Int64, Kind::Int32])?;
            if shape != [count] {
                return Err(invalid(format!(
                    "`arr_1` has shape {shape:?}, expected a class number for each of {count} images"
                )));
            }
            Some(npy::integers(kind, &bytes))
        }
    };
    Ok(ImageArchive {
        height,
        width,
        channels,
        pixels,
        labels,
    })
}

/// Shape, kind and bytes of the values of an array.
fn array(
    file: &mut (impl Read + Seek),
    length: u64,
    member: &Member,
    kinds: &[Kind],
) -> io::Result<(Vec<usize>, Kind, Vec<u8>)> {
    let name = &member.name;
    if member.size > MAX_BYTES {
        return Err(invalid(format!(
            "`{name}` is larger than {} GiB",
            MAX_BYTES >> 30
        )));
    }
    let most = MAX_UNPACKED.max(member.packed.saturating_mul(MAX_RATIO));
    if !member.is_stored() && member.size > most {
        return Err(invalid(format!(
            "`{name}` unpacks from {} bytes to {}, more than pictures do: write it without compression",
            member.packed, member.size
        )));
    }
    let mut data = member.open(file, length)?;
    let (head, head_bytes) = npy::read_head(&mut data)?;
    if !kinds.contains(&head.kind) {
        let of = |kind: &Kind| format!("{kind:?}").to_lowercase();
        return Err(invalid(format!(
            "`{name}` is of type {}, expected {}",
            of(&head.kind),
            kinds.iter().map(of).collect::<Vec<_>>().join(" or ")
        )));
    }
    let bytes = (head.shape.iter()).try_fold(head.kind.bytes(), |n, &side| n.checked_mul(side));
    let bytes = bytes.filter(|&bytes| bytes as u64 + head_bytes == member.size);
    let Some(bytes) = bytes else {
        return Err(invalid(format!(
            "`{name}` holds {} bytes, which do not fill shape {:?}",
            member.size, head.shape
        )));
    };
    Ok((head.shape, head.kind, member.rest(data, bytes)?))
}
