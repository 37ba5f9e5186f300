//! TIFF (TIFF Revision 6.0, Adobe 1992), with all that Hugging Face's `datasets` writes it for: palettes, CMYK, 16 bits,
//! whole numbers and floats of 32. Of a file with several pictures the first is taken.
//!
//! 16 bits become 8 by division by 257, so that black stays black and white white. Numbers of 32 bits are taken as Pillow
//! takes them, as 0 to 255; where they plainly are not, the picture is refused rather than made black or white.

mod samples;
mod tags;

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use weezl::BitOrder;
use weezl::decode::Decoder;

use super::Image;
use super::codec::{on_white, premultiplied_on_white};
use super::orientation;
use samples::{Samples, looked_up};
use tags::{Directory, Layout};

/// A picture as it is stored.
pub(super) struct Picture {
    pub image: Image,
    /// How it is to be turned.
    pub orientation: u8,
    /// Whether the file holds more pictures.
    pub several: bool,
}

/// What is known of a file before its pixels are read.
pub(super) struct Head<'a> {
    bytes: &'a [u8],
    layout: Layout,
    /// Pixels in a row, and rows.
    pub size: [u32; 2],
}

impl<'a> Head<'a> {
    /// Reads what stands in front of the pixels.
    ///
    /// # Errors
    /// What is wrong with the file, or of a kind that is not read.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, String> {
        let layout = Layout::of(&Directory::of(bytes)?)?;
        Ok(Self {
            bytes,
            size: [layout.width as u32, layout.height as u32],
            layout,
        })
    }

    /// The most bytes that reading may take besides the file.
    pub(super) fn bytes_needed(&self) -> u64 {
        let layout = &self.layout;
        let part = |width: usize, height: usize| layout.row_bytes(width) as u64 * height as u64;
        let stored = part(layout.width, layout.height) * layout.planes as u64;
        let piece = part(layout.piece_width, layout.piece_height);
        let area = layout.width as u64 * layout.height as u64;
        // Samples of 8 bits are levels as they are stored.
        let levels = match layout.bits {
            8 => 0,
            _ => area * layout.samples as u64,
        };
        // With a part of the pixels while it is unpacked, and what is made of them.
        stored + levels + piece + 3 * area
    }

    /// Reads the pixels.
    ///
    /// # Errors
    /// As [`Head::of`].
    pub(super) fn read(self) -> Result<Picture, String> {
        let layout = &self.layout;
        let planes = (0..layout.planes)
            .map(|plane| self.plane(plane))
            .collect::<Result<Vec<_>, _>>()?;
        let samples = Samples::of(planes, layout)?;
        let (channels, pixels) = match &layout.palette {
            Some(colours) => (3, looked_up(&samples, colours, layout.bits)?),
            None => converted(&samples, layout)?,
        };
        Ok(Picture {
            image: Image {
                width: self.size[0],
                height: self.size[1],
                channels,
                pixels,
            },
            orientation: orientation::valid(layout.orientation),
            several: layout.several,
        })
    }

    /// The bytes of one plane, rows without gaps.
    fn plane(&self, plane: usize) -> Result<Vec<u8>, String> {
        let layout = &self.layout;
        let row_bytes = layout.row_bytes(layout.width);
        let mut whole = vec![0; row_bytes * layout.height];
        let across = layout.width.div_ceil(layout.piece_width);
        let in_plane = across * layout.height.div_ceil(layout.piece_height);
        for number in 0..in_plane {
            let (left, top) = (number % across, number / across);
            let (left, top) = (left * layout.piece_width, top * layout.piece_height);
            // A strip ends with the picture, a tile does not.
            let rows = match layout.tiled {
                true => layout.piece_height,
                false => layout.piece_height.min(layout.height - top),
            };
            let piece_row = layout.row_bytes(layout.piece_width);
            let bytes = self.piece(plane * in_plane + number, piece_row * rows)?;
            let at = layout.row_bytes(left);
            let length = piece_row.min(row_bytes - at);
            for (row, y) in bytes.chunks_exact(piece_row).zip(top..layout.height) {
                whole[y * row_bytes + at..][..length].copy_from_slice(&row[..length]);
            }
        }
        Ok(whole)
    }

    /// A strip or a tile of so many bytes, unpacked.
    fn piece(&self, number: usize, length: usize) -> Result<Vec<u8>, String> {
        let layout = &self.layout;
        let place = layout.offsets.get(number).zip(layout.counts.get(number));
        let (offset, count) = place.ok_or("fewer strips or tiles than its size asks for")?;
        let packed = offset
            .checked_add(*count)
            .and_then(|end| self.bytes.get(*offset..end))
            .ok_or("pixels that lie behind the end of the file")?;
        let mut bytes = match layout.compression {
            1 => packed.get(..length).map(<[u8]>::to_vec),
            5 => unpacked_lzw(packed, length),
            8 | 32946 => {
                let mut bytes = Vec::new();
                let read = ZlibDecoder::new(packed)
                    .take(length as u64)
                    .read_to_end(&mut bytes);
                read.is_ok().then_some(bytes)
            }
            32773 => unpacked_bits(packed, length),
            other => {
                let name = compression(other);
                return Err(format!(
                    "TIFF compressed by {name} is not read: LZW, Deflate and PackBits are"
                ));
            }
        }
        .filter(|bytes| bytes.len() == length)
        .ok_or("pixels that end early or are damaged")?;
        if layout.predictor == 2 {
            layout.add_up(&mut bytes)?;
        }
        Ok(bytes)
    }
}

/// What a number of the tag `Compression` means.
fn compression(number: u32) -> String {
    match number {
        2..=4 => "a fax code".into(),
        6 | 7 => "JPEG".into(),
        50000 => "Zstandard".into(),
        50001 => "WebP".into(),
        34925 => "LZMA".into(),
        other => format!("method {other}"),
    }
}

fn unpacked_lzw(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut decoder = Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    let (mut read, mut written) = (0, 0);
    while written < length {
        let step = decoder.decode_bytes(&packed[read..], &mut bytes[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        if step.status.is_err() || (step.consumed_in == 0 && step.consumed_out == 0) {
            return None;
        }
        if matches!(step.status, Ok(weezl::LzwStatus::Done)) {
            break;
        }
    }
    (written == length).then_some(bytes)
}

/// Runs of one byte, and stretches as they are.
fn unpacked_bits(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while bytes.len() < length {
        match i32::from(*packed.get(at)? as i8) {
            -128 => at += 1,
            count @ 0.. => {
                let end = at + 2 + count as usize;
                bytes.extend(packed.get(at + 1..end)?);
                at = end;
            }
            count => {
                let byte = *packed.get(at + 1)?;
                bytes.resize(bytes.len() + (1 - count) as usize, byte);
                at += 2;
            }
        }
    }
    bytes.truncate(length);
    Some(bytes)
}

/// Grey or RGB pixels.
fn converted(of: &Samples, layout: &Layout) -> Result<(u32, Vec<u8>), String> {
    let over = match layout.associated_alpha {
        true => premultiplied_on_white,
        false => on_white,
    };
    let pixels = 0..layout.width * layout.height;
    Ok(match (layout.photometric, layout.samples, layout.extra) {
        (0 | 1, 1, _) => (1, pixels.map(|p| of.at(p, 0)).collect()),
        (0 | 1, 2.., _) if layout.has_alpha() => {
            (1, pixels.map(|p| over(of.at(p, 0), of.at(p, 1))).collect())
        }
        (0 | 1, 2.., 1..) => (1, pixels.map(|p| of.at(p, 0)).collect()),
        (2, 4.., _) if layout.has_alpha() => {
            let pixel = |p| [0, 1, 2].map(|s| over(of.at(p, s), of.at(p, 3)));
            (3, pixels.flat_map(pixel).collect())
        }
        (2, 3.., _) => (
            3,
            pixels
                .flat_map(|p| [0, 1, 2].map(|s| of.at(p, s)))
                .collect(),
        ),
        (5, 4.., _) => {
            let pixel = |p| [0, 1, 2].map(|s| of_ink(of.at(p, s), of.at(p, 3)));
            (3, pixels.flat_map(pixel).collect())
        }
        (photometric, samples, _) => {
            let kind = match photometric {
                4 => "a mask".into(),
                6 => "YCbCr colours".into(),
                8..=10 => "Lab colours".into(),
                other => format!("kind {other}"),
            };
            return Err(format!(
                "TIFF pixels of {samples} samples that are {kind} are not read"
            ));
        }
    })
}

/// What is left of white under a colour's ink and black ink, as for Pillow.
fn of_ink(ink: u8, black: u8) -> u8 {
    let rest = 255 - u32::from(black);
    let taken = (u32::from(ink) * rest + 127) / 255;
    (rest - taken) as u8
}
