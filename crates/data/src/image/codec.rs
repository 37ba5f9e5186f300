//! Image files to and from memory, with limits on what a file may claim.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::format::Format;
use super::{Image, chunks, jpeg, orientation, tiff};
use crate::error::{Error, Result};
use crate::guard::unless_it_panics;

/// The largest width and height that are decoded, pixels. Less where a fuzzer tries inputs, a few bytes of which may make
/// an image of any size and take seconds.
pub const MAX_SIDE: u32 = if cfg!(fuzzing) { 256 } else { 16_384 };

/// The most memory that decoding one image may take, its file included.
const MAX_BYTES: u64 = 512 << 20;

/// An image, and what its file holds besides.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub image: Image,
    /// Whether the file holds more pictures, of which this is the first.
    pub several: bool,
}

/// Decodes a PNG, JPEG, WebP, TIFF, GIF or BMP file held in memory; `path` is for the error. Grey images have 1 channel,
/// all others 3; transparent pixels are laid on white; 16 bits are reduced to 8; the image is turned as its file says
/// (Exif). Of several pictures the first is taken.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Image> {
    Ok(decode_first(bytes, path)?.image)
}

/// As [`decode`], and says whether there are more pictures.
pub(crate) fn decode_first(bytes: &[u8], path: &Path) -> Result<Decoded> {
    let format = Format::of(bytes).map_err(|reason| Error::Decode {
        path: path.to_owned(),
        reason,
    })?;
    decode_as(bytes, format, path, MAX_SIDE)
}

/// Decodes a PNG whose sides are at most `max_side` pixels; `path` is for the error.
pub fn decode_png(bytes: &[u8], path: &Path, max_side: u32) -> Result<Image> {
    Ok(decode_as(bytes, Format::Png, path, max_side)?.image)
}

/// Why an image is not had.
enum Fault {
    Damaged(String),
    TooLarge,
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

impl From<ImageError> for Fault {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            other => Self::Damaged(other.to_string()),
        }
    }
}

fn decode_as(bytes: &[u8], format: Format, path: &Path, max_side: u32) -> Result<Decoded> {
    // The decoders report most damage and panic on some.
    let decoded = unless_it_panics(|| match format {
        Format::Tiff => of_tiff(bytes, max_side),
        _ => of_others(bytes, format, max_side),
    });
    decoded
        .unwrap_or_else(|| Err(Fault::Damaged("its parts contradict each other".into())))
        .map_err(|fault| match fault {
            Fault::TooLarge => Error::ImageTooLarge {
                path: path.to_owned(),
                limit: max_side,
            },
            Fault::Damaged(reason) => Error::Decode {
                path: path.to_owned(),
                reason,
            },
        })
}

fn of_tiff(bytes: &[u8], max_side: u32) -> std::result::Result<Decoded, Fault> {
    let head = tiff::Head::of(bytes)?;
    let sides = head.size.map(|side| side as usize);
    let needed = || head.bytes_needed() + bytes.len() as u64;
    require_room(sides, max_side, needed)?;
    let read = head.read()?;
    Ok(Decoded {
        image: orientation::turned(read.image, read.orientation),
        several: read.several,
    })
}

/// Refuses a picture with a longer side, or that takes more memory than one may.
fn require_room(
    sides: [usize; 2],
    max_side: u32,
    needed: impl Fn() -> u64,
) -> std::result::Result<(), Fault> {
    if sides.contains(&0) {
        return Err(Fault::Damaged("a picture without pixels".into()));
    }
    match sides.iter().any(|side| *side > max_side as usize) || needed() > MAX_BYTES {
        true => Err(Fault::TooLarge),
        false => Ok(()),
    }
}

fn of_others(
    mut bytes: &[u8],
    format: Format,
    max_side: u32,
) -> std::result::Result<Decoded, Fault> {
    let turn = orientation::stated(bytes, format);
    let mut file_copies = 1;
    let (format, besides, several) = match format {
        Format::Jpeg => {
            let parts = jpeg::Parts::of(bytes);
            // The decoder would fill the missing part with grey.
            let end = parts.end.ok_or("the JPEG file ends early".to_owned())?;
            bytes = &bytes[..end];
            file_copies = 2;
            let coefficients = if parts.progressive { 8 } else { 0 };
            (ImageFormat::Jpeg, coefficients, false)
        }
        Format::WebP => {
            let several = chunks::webp(bytes).any(|(name, _)| name == b"ANIM");
            (ImageFormat::WebP, 6, several)
        }
        // The first picture is unpacked apart where it does not fill the screen.
        Format::Gif => (ImageFormat::Gif, 4, has_several(bytes)),
        Format::Bmp => (ImageFormat::Bmp, 0, false),
        _ => {
            let several = chunks::png(bytes).any(|(name, _)| name == b"acTL");
            (ImageFormat::Png, 0, several)
        }
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(max_side);
    limits.max_image_height = Some(max_side);
    limits.max_alloc = Some(MAX_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let area = u64::from(width) * u64::from(height);
    let colour = decoder.color_type();
    let whole = area * u64::from(colour.bytes_per_pixel());
    let reduced = match u16::from(colour.bytes_per_pixel()) / u16::from(colour.channel_count()) {
        1 => 0,
        _ => whole / 2,
    };
    let result = area * u64::from(colour.channel_count().min(3));
    let turning = if orientation::swaps_sides(turn) {
        2 * result
    } else {
        0
    };
    let decoding = (whole + besides * area).max(whole + reduced).max(turning);
    let needed = || decoding + file_copies * bytes.len() as u64;
    require_room([width, height].map(|side| side as usize), max_side, needed)?;
    let (channels, pixels) = reduce(DynamicImage::from_decoder(decoder)?);
    let image = Image {
        width,
        height,
        channels,
        pixels,
    };
    Ok(Decoded {
        image: orientation::turned(image, turn),
        several,
    })
}

/// Whether a GIF holds a second picture.
fn has_several(bytes: &[u8]) -> bool {
    let mut options = gif::DecodeOptions::new();
    options.skip_frame_decoding(true);
    let decoder = options.read_info(bytes);
    decoder.is_ok_and(|mut pictures| {
        let mut next = || matches!(pictures.next_frame_info(), Ok(Some(_)));
        next() && next()
    })
}

/// Pixels of 8 bits without transparency, and their channels. Memory is taken once more for 16 bits alone.
fn reduce(decoded: DynamicImage) -> (u32, Vec<u8>) {
    let colour = decoded.color();
    match (colour.has_color(), colour.has_alpha()) {
        (false, false) => (1, decoded.into_luma8().into_raw()),
        (true, false) => (3, decoded.into_rgb8().into_raw()),
        (false, true) => (1, without_alpha::<1>(decoded.into_luma_alpha8().into_raw())),
        (true, true) => (3, without_alpha::<3>(decoded.into_rgba8().into_raw())),
    }
}

/// Pixels of `N` values and an alpha, laid on white in their place.
fn without_alpha<const N: usize>(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / (N + 1);
    for pixel in 0..count {
        let from = pixel * (N + 1);
        let alpha = pixels[from + N];
        for value in 0..N {
            pixels[pixel * N + value] = on_white(pixels[from + value], alpha);
        }
    }
    pixels.truncate(count * N);
    pixels
}

pub(super) fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// The same of a value that was multiplied with its alpha before.
pub(super) fn premultiplied_on_white(value: u8, alpha: u8) -> u8 {
    value.saturating_add(255 - alpha)
}

/// Encodes an image of 1 or 3 channels as PNG.
pub fn encode_png(image: &Image) -> Result<Vec<u8>> {
    let colour = super::encode::colour(image)?;
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    image::ImageEncoder::write_image(encoder, &image.pixels, image.width, image.height, colour)
        .map_err(|error| Error::Encode(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: u32, height: u32, channels: u32) -> Image {
        let count = (width * height * channels) as usize;
        let mut stream = crate::Stream::new(1, 0, crate::Purpose::Test);
        Image {
            width,
            height,
            channels,
            pixels: (0..count).map(|_| stream.bits() as u8).collect(),
        }
    }

    fn encoded(format: ImageFormat, image: &Image) -> Vec<u8> {
        let buffer =
            image::RgbImage::from_raw(image.width, image.height, image.pixels.clone()).unwrap();
        let mut bytes = Cursor::new(Vec::new());
        buffer.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn png_round_trips_and_webp_agrees() {
        let path = Path::new("a.png");
        for channels in [1, 3] {
            let image = noise(7, 5, channels);
            assert_eq!(decode(&encode_png(&image).unwrap(), path).unwrap(), image);
        }
        let image = noise(9, 9, 3);
        assert_eq!(
            decode(&encoded(ImageFormat::WebP, &image), path).unwrap(),
            image
        );
    }

    #[test]
    fn transparent_pixels_are_laid_on_white() {
        let rgba = image::RgbaImage::from_raw(2, 1, vec![0, 100, 255, 0, 0, 100, 255, 51]).unwrap();
        let mut bytes = Cursor::new(Vec::new());
        rgba.write_to(&mut bytes, ImageFormat::Png).unwrap();
        let image = decode(bytes.get_ref(), Path::new("a.png")).unwrap();
        // 51 of 255 is a fifth: 255 - 255 / 5 = 204, 255 - 155 / 5 = 224.
        assert_eq!(image.pixels, [255, 255, 255, 204, 224, 255]);
    }

    #[test]
    fn files_cut_short_anywhere_are_errors_that_name_them() {
        let image = noise(40, 40, 3);
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::WebP,
            ImageFormat::Gif,
            ImageFormat::Bmp,
        ] {
            let bytes = encoded(format, &image);
            assert!(decode(&bytes, Path::new("whole")).is_ok());
            for kept in [0, 1, 7, 20, 60, bytes.len() / 2, bytes.len() - 20] {
                let error = decode(&bytes[..kept], Path::new("cut")).unwrap_err();
                assert!(
                    matches!(&error, Error::Decode { .. }),
                    "{format:?} cut to {kept}: {error}"
                );
                assert!(error.to_string().contains("cut"));
            }
        }
    }

    #[test]
    fn a_picture_without_pixels_is_refused() {
        let mut bytes = encoded(ImageFormat::Gif, &noise(4, 4, 3));
        // The width of the screen.
        bytes[6..8].fill(0);
        let error = decode(&bytes, Path::new("none.gif")).unwrap_err();
        assert!(error.to_string().contains("without pixels"), "{error}");
    }

    #[test]
    fn a_huge_claimed_size_is_refused_before_memory_is_taken() {
        let mut bytes = encode_png(&noise(4, 4, 3)).unwrap();
        // IHDR: width at byte 16, its checksum at byte 29.
        bytes[16..24].copy_from_slice(&[0x40, 0, 0, 0, 0x40, 0, 0, 0]);
        let checksum = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = decode(&bytes, Path::new("bomb.png")).unwrap_err();
        assert!(matches!(error, Error::ImageTooLarge { .. }), "{error}");
        let error =
            decode_png(&encode_png(&noise(9, 4, 3)).unwrap(), Path::new("a.png"), 8).unwrap_err();
        assert!(
            matches!(error, Error::ImageTooLarge { limit: 8, .. }),
            "{error}"
        );
    }

    /// PNG's checksum (ISO 3309), bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 {
                    crc >> 1 ^ 0xedb8_8320
                } else {
                    crc >> 1
                }
            })
        })
    }

    #[test]
    fn pixels_that_do_not_fill_the_image_are_not_encoded() {
        let image = Image {
            width: 2,
            height: 2,
            channels: 3,
            pixels: vec![0; 11],
        };
        assert!(matches!(encode_png(&image), Err(Error::Encode(_))));
    }
}
