//! How a picture is to be turned before it is looked at: the Exif tag `Orientation` (CIPA DC-008, 4.6.5), as Pillow's
//! `ImageOps.exif_transpose` obeys it, and where Exif does not say it, the same tag in XMP.

use std::io::Read;

use flate2::read::ZlibDecoder;
use image::DynamicImage;
use image::metadata::Orientation;

use super::format::Format;
use super::{Image, chunks, jpeg};

/// The most bytes that a packed piece of metadata may unpack to.
const MAX_METADATA_BYTES: u64 = 1 << 20;

/// The number of the tag.
pub(super) const TAG: u16 = 0x112;

/// The orientation that a PNG, JPEG or WebP file states, 1 (as it is) to 8; 1 where it states none or nonsense. Of TIFF it
/// is a tag of the picture itself.
pub(super) fn stated(bytes: &[u8], format: Format) -> u8 {
    let (exif, xmp) = match format {
        Format::Jpeg => {
            let parts = jpeg::Parts::of(bytes);
            (
                parts.exif.map(<[u8]>::to_vec),
                parts.xmp.map(<[u8]>::to_vec),
            )
        }
        Format::Png => png(bytes),
        Format::WebP => webp(bytes),
        Format::Tiff | Format::Gif | Format::Bmp => (None, None),
    };
    let stated = exif.and_then(|exif| in_exif(&exif));
    valid(stated.or_else(|| in_xmp(&xmp?)))
}

/// A number from 1 to 8, else 1.
pub(super) fn valid(stated: Option<u32>) -> u8 {
    match stated {
        Some(number @ 2..=8) => number as u8,
        _ => 1,
    }
}

/// Whether width and height change places.
pub(super) const fn swaps_sides(orientation: u8) -> bool {
    orientation > 4
}

/// The picture as it is to be looked at.
pub(super) fn turned(image: Image, orientation: u8) -> Image {
    let Some(way) = Orientation::from_exif(orientation).filter(|_| orientation > 1) else {
        return image;
    };
    let (width, height, channels) = (image.width, image.height, image.channels);
    let mut dynamic = match channels {
        1 => image::GrayImage::from_raw(width, height, image.pixels).map(DynamicImage::from),
        _ => image::RgbImage::from_raw(width, height, image.pixels).map(DynamicImage::from),
    }
    .unwrap_or_default();
    dynamic.apply_orientation(way);
    Image {
        width: dynamic.width(),
        height: dynamic.height(),
        channels,
        pixels: dynamic.into_bytes(),
    }
}

/// The orientation in Exif: a TIFF file of tags alone.
fn in_exif(exif: &[u8]) -> Option<u32> {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let big = match exif.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let bytes = |at: usize, count: usize| exif.get(at..at.checked_add(count)?);
    let number = |at: usize, count: usize| {
        let bytes = bytes(at, count)?.iter();
        let join = |n: u32, byte: &u8| n << 8 | u32::from(*byte);
        Some(match big {
            true => bytes.fold(0, join),
            false => bytes.rev().fold(0, join),
        })
    };
    let first = usize::try_from(number(4, 4)?).ok()?;
    let entries = number(first, 2)? as usize;
    (0..entries).find_map(|i| {
        let at = first + 2 + 12 * i;
        if number(at, 2)? != u32::from(TAG) {
            return None;
        }
        match number(at + 2, 2)? {
            1 => number(at + 8, 1),
            3 => number(at + 8, 2),
            4 => number(at + 8, 4),
            _ => None,
        }
    })
}

/// The orientation in XMP, which is XML: `tiff:Orientation="6"` or `<tiff:Orientation>6<`.
fn in_xmp(xmp: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"tiff:Orientation";
    let at = xmp.windows(NAME.len()).position(|part| part == NAME)?;
    match xmp.get(at + NAME.len()..)? {
        [b'=', b'"', digit, ..] | [b'>', digit, ..] => char::from(*digit).to_digit(10),
        _ => None,
    }
}

type Metadata = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Exif and XMP of a PNG file, which may stand before or behind the pixels.
fn png(bytes: &[u8]) -> Metadata {
    let (mut exif, mut xmp, mut raw) = (None, None, None);
    for (name, contents) in chunks::png(bytes) {
        match name {
            b"eXIf" => exif = exif.or_else(|| Some(contents.to_vec())),
            b"iTXt" => xmp = xmp.or_else(|| text(contents, b"XML:com.adobe.xmp\0", 4)),
            // As ImageMagick writes it: Exif in hexadecimal numbers.
            b"tEXt" => raw = raw.or_else(|| text(contents, b"Raw profile type exif\0", 0)),
            b"zTXt" => raw = raw.or_else(|| text(contents, b"Raw profile type exif\0", 1)),
            _ => {}
        }
    }
    (exif.or_else(|| from_hexadecimal(&raw?)), xmp)
}

/// The text of that keyword, behind so many bytes that say how it is written: 0 plain, 1 packed, 4 either.
fn text(contents: &[u8], keyword: &[u8], head: usize) -> Option<Vec<u8>> {
    let text = contents.strip_prefix(keyword)?;
    let packed = match head {
        0 => false,
        1 => true,
        _ => *text.first()? == 1,
    };
    let text = match head {
        4 => {
            // Flag, method, then a language and a translated keyword, each up to a zero.
            let mut parts = text.get(2..)?.splitn(3, |byte| *byte == 0);
            parts.nth(2)?
        }
        _ => text.get(head..)?,
    };
    if !packed {
        return Some(text.to_vec());
    }
    let mut unpacked = Vec::new();
    let mut whole = ZlibDecoder::new(text).take(MAX_METADATA_BYTES);
    whole.read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

/// `\nexif\n  LENGTH\nHEX...`
fn from_hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.splitn(4, |byte| *byte == b'\n').nth(3)?;
    let digits: Option<Vec<u8>> = (digits.iter())
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| Some(char::from(*byte).to_digit(16)? as u8))
        .collect();
    Some(
        digits?
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

/// Exif and XMP of a WebP file.
fn webp(bytes: &[u8]) -> Metadata {
    let find = |wanted: &[u8]| {
        let mut chunks = chunks::webp(bytes);
        Some(chunks.find(|(name, _)| *name == wanted)?.1.to_vec())
    };
    (find(b"EXIF"), find(b"XMP "))
}
